"""Where the user's things are kept: the places of the XDG specification, and those the library `platformdirs` names."""

from __future__ import annotations

import sys

import platformdirs
import pytest

from weighbridge.core.folders import cache_folder, data_folder, state_folder

VARIABLES = ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME")


@pytest.mark.parametrize("chosen", ["", "/somewhere/else", "relative"])
def test_the_folders_are_those_that_the_library_names(chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, chosen)
    found = (data_folder(), cache_folder(), state_folder())
    kinds = (platformdirs.user_data_dir, platformdirs.user_cache_dir, platformdirs.user_state_dir)
    assert found == tuple(str(kind("weighbridge")) for kind in kinds)


@pytest.mark.skipif(sys.platform != "linux", reason="the specification is not followed elsewhere")
def test_a_variable_moves_its_own_folder_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", "/people/ada")
    monkeypatch.setenv("XDG_CACHE_HOME", "/fast")
    assert (data_folder(), cache_folder()) == ("/people/ada/.local/share/weighbridge", "/fast/weighbridge")
