"""Hands tests out to processes group by group, in the order in which they were collected.

Each process that runs tests works the groups out and leaves them in a file; the process that hands tests out reads it. The plugin
(pytest-xdist 3.8) has a way of its own, which changes a test's name; that of pytest 9.2 cannot be changed, and nothing says so.
"""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadGroupScheduling

KEY = "groups"
"""Under which a process that runs tests is told of the file."""


@functools.cache
def _file() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="wb-groups-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / "groups.json"


class Grouped(LoadGroupScheduling):
    """Tests of one group go to one process; a test without a group is one of its own."""

    groups: Mapping[str, str]

    def schedule(self) -> None:
        """Begins, once all processes have collected."""
        self.config.option.loadscopereorder = False
        self.groups = json.loads(_file().read_text(encoding="utf-8")) if _file().exists() else {}
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return self.groups.get(nodeid) or str(super()._split_scope(nodeid))


def tell(workerinput: dict[str, Any]) -> None:
    """Tells a process that is about to begin where to leave the groups."""
    workerinput[KEY] = str(_file())


def leave(config: pytest.Config, groups: Mapping[str, str]) -> None:
    """Leaves the groups of tests, by their names, for the process that hands them out, if there is one."""
    place = getattr(config, "workerinput", {}).get(KEY)
    if place is None:
        return
    own = Path(f"{place}.{config.workerinput['workerid']}")  # type: ignore[attr-defined]
    own.write_text(json.dumps(groups), encoding="utf-8")
    own.replace(place)
