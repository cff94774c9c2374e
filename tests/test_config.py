"""Settings come from the file, the environment and flags, in that order, and each one says where it came from."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from tests.conftest import Command
from tests.support.cases import each
from weighbridge.cli.settings import HOME_VARIABLE, Home, find_home, load
from weighbridge.core.config import MIB, Config, Layer, Origins, may_hold_secret, resolve
from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import ConfigError, WeighbridgeError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home without settings, in an environment without any."""
    for name in list(os.environ):
        if name.startswith("WEIGHBRIDGE_"):
            monkeypatch.delenv(name)
    return Home(tmp_path)


def write(home: Home, text: str) -> None:
    home.config_file.write_text(text, encoding="utf-8")


# --- layers --------------------------------------------------------------------------------------


def test_without_any_settings_the_defaults_hold(home: Home) -> None:
    config, origins = load(home, {})
    assert config == Config()
    assert config.transfer.streams == 0
    assert origins == Origins({})
    assert origins.of("transfer", "streams") == "default"


def test_the_environment_wins_over_the_file_and_a_flag_over_both(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, "[transfer]\nstreams = 2\nuploads = 2\nattempts = 2\n")
    monkeypatch.setenv("WEIGHBRIDGE_TRANSFER_UPLOADS", "3")
    monkeypatch.setenv("WEIGHBRIDGE_TRANSFER_ATTEMPTS", "3")
    config, origins = load(home, {"transfer.attempts": 4})
    transfer = config.transfer
    assert (transfer.streams, transfer.uploads, transfer.attempts) == (2, 3, 4)
    assert transfer.part_bytes == Config().transfer.part_bytes
    assert origins.of("transfer", "streams") == f"file {home.config_file}"
    assert origins.of("transfer", "uploads") == "environment WEIGHBRIDGE_TRANSFER_UPLOADS"
    assert origins.of("transfer", "attempts") == "flag --attempts"
    assert origins.of("transfer", "part_bytes") == "default"


def test_a_flag_that_was_not_given_changes_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHBRIDGE_HUB_ENDPOINT", "https://mirror.example.org")
    config, origins = load(home, {"hub.endpoint": None, "hub.allow_pull_requests": True})
    assert config.hub.endpoint == "https://mirror.example.org"
    assert config.hub.allow_pull_requests is True
    assert origins.of("hub", "allow_pull_requests") == "flag --allow-pull-requests"


def test_every_setting_can_be_given_in_each_layer(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Config()
    for section in fields(Config):
        for setting in fields(getattr(defaults, section.name)):
            value = getattr(getattr(defaults, section.name), setting.name)
            text = str(value).lower() if isinstance(value, bool) else str(value)
            with monkeypatch.context() as patched:
                patched.setenv(f"WEIGHBRIDGE_{section.name}_{setting.name}".upper(), text)
                config, origins = load(home, {})
            assert config == defaults
            assert origins.of(section.name, setting.name).startswith("environment WEIGHBRIDGE_")
            write(home, f"[{section.name}]\n{setting.name} = {json.dumps(value)}\n")
            assert load(home, {})[0] == defaults
            home.config_file.unlink()
            assert load(home, {f"{section.name}.{setting.name}": value})[0] == defaults


@given(st.permutations(range(1, 5)), st.integers(1, 4))
@budget(max_examples=40, deadline=None)
def test_the_last_layer_wins(values: list[int], count: int) -> None:
    layers = [Layer(f"place {value}", {"transfer.streams": value}) for value in values[:count]]
    config, origins = resolve(layers)
    assert config.transfer.streams == values[count - 1]
    assert origins.of("transfer", "streams") == f"place {values[count - 1]}"


def test_a_layer_below_is_checked_even_where_it_is_overridden() -> None:
    with pytest.raises(ConfigError, match="place one"):
        resolve([Layer("place one", {"transfer.streams": "many"}), Layer("place two", {"transfer.streams": 1})])


# --- names and types -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["transfer.stream", "transfers.streams", "streams", "", ".", "transfer.", "Transfer.streams", "transfer.a.b"],
)
def test_an_unknown_name_is_refused_with_its_origin(name: str) -> None:
    with pytest.raises(ConfigError, match="somewhere") as refused:
        resolve([Layer("somewhere", {name: 1})])
    assert refused.value.exit_code == 2


@each(
    ("name", "raw", "value"),
    [
        ("transfer.streams", "12", 12),
        ("transfer.streams", 12, 12),
        ("transfer.streams", " 12 ", 12),
        ("transfer.retry_wait_seconds", "0.5", 0.5),
        ("transfer.retry_wait_seconds", 2, 2.0),
        ("store.legal_hold", "true", True),
        ("store.legal_hold", "YES", True),
        ("store.legal_hold", "1", True),
        ("store.legal_hold", "on", True),
        ("store.legal_hold", "False", False),
        ("store.legal_hold", "no", False),
        ("store.legal_hold", "0", False),
        ("store.legal_hold", "off", False),
        ("store.legal_hold", True, True),
        ("hub.endpoint", "", ""),
    ],
)
def test_text_is_read_as_the_type_of_its_setting(name: str, raw: object, value: object) -> None:
    config, _ = resolve([Layer("somewhere", {name: raw})])
    section, _, setting = name.partition(".")
    found = getattr(getattr(config, section), setting)
    assert found == value
    assert type(found) is type(value)


@each(
    ("name", "raw"),
    [
        ("transfer.streams", "many"),
        ("transfer.streams", ""),
        ("transfer.streams", "1.5"),
        ("transfer.streams", "0x10"),
        ("transfer.streams", True),
        ("transfer.streams", [1]),
        ("transfer.streams", None),
        ("transfer.streams", {"a": 1}),
        ("transfer.streams", float("nan")),
        ("transfer.streams", "9" * 5_000),
        ("transfer.retry_wait_seconds", "soon"),
        ("transfer.retry_wait_seconds", False),
        ("transfer.retry_wait_seconds", []),
        ("store.legal_hold", 1),
        ("store.legal_hold", "maybe"),
        ("store.legal_hold", ""),
        ("hub.endpoint", 1),
        ("hub.endpoint", True),
        ("hub.endpoint", ["https://hub.example.org"]),
        ("hub.endpoint", {}),
    ],
)
def test_a_value_of_another_type_is_refused_with_name_and_origin(name: str, raw: object) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' must be .*somewhere"):
        resolve([Layer("somewhere", {name: raw})])


@pytest.mark.parametrize("raw", [8.5, 1.0001, -0.5 + 2])
def test_a_fraction_is_no_whole_number(raw: float) -> None:
    with pytest.raises(ConfigError, match="whole number"):
        resolve([Layer("somewhere", {"transfer.streams": raw})])


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("transfer.streams", float("inf")),
        ("transfer.streams", float("-inf")),
        ("transfer.read_timeout_seconds", 10**400),
    ],
)
def test_a_number_too_large_for_its_type_is_refused(name: str, raw: object) -> None:
    with pytest.raises(ConfigError):
        resolve([Layer("somewhere", {name: raw})])


# --- bounds --------------------------------------------------------------------------------------


@each(
    "values",
    [
        {"transfer.part_bytes": 0},
        {"transfer.part_bytes": -CHUNK_BYTES},
        {"transfer.part_bytes": CHUNK_BYTES - 1},
        {"transfer.part_bytes": CHUNK_BYTES + 1},
        {"transfer.memory_bytes": 0},
        {"transfer.memory_bytes": 2 * Config().transfer.part_bytes - 1},
        {"transfer.part_bytes": 256 * MIB},
        {"transfer.streams": -1},
        {"transfer.streams": 257},
        {"transfer.uploads": -1},
        {"transfer.uploads": 257},
        {"transfer.attempts": 0},
        {"transfer.attempts": 257},
        {"inspection.fail_on": ""},
        {"inspection.fail_on": "HIGH"},
        {"inspection.fail_on": "severe"},
        {"store.s3_encryption": "aes256"},
        {"store.s3_encryption": "none"},
        {"store.object_lock_mode": "governance"},
        {"store.object_lock_mode": "GOVERNANCE"},
        {"store.object_lock_mode": "COMPLIANCE", "store.object_lock_days": 0},
        {"store.object_lock_mode": "COMPLIANCE", "store.object_lock_days": -1},
    ],
)
def test_a_value_outside_of_its_bounds_is_refused_by_name(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as refused:
        resolve([Layer("somewhere", values)])
    assert any(name.partition(".")[0] in refused.value.message for name in values)


@pytest.mark.parametrize(
    "values",
    [
        {"transfer.part_bytes": CHUNK_BYTES, "transfer.memory_bytes": 2 * CHUNK_BYTES},
        {"transfer.streams": 1, "transfer.uploads": 1, "transfer.attempts": 1},
        {"transfer.streams": 256, "transfer.uploads": 256, "transfer.attempts": 256},
        {"inspection.fail_on": "never"},
        {"store.s3_encryption": "aws:kms"},
        {"store.object_lock_mode": "GOVERNANCE", "store.object_lock_days": 1},
    ],
)
def test_values_on_their_bounds_are_taken(values: dict[str, object]) -> None:
    config, _ = resolve([Layer("somewhere", values)])
    for name, value in values.items():
        section, _, setting = name.partition(".")
        assert getattr(getattr(config, section), setting) == value


@pytest.mark.parametrize(
    "values",
    [
        {"transfer.connect_timeout_seconds": 0},
        {"transfer.read_timeout_seconds": -1},
        {"transfer.read_timeout_seconds": "nan"},
        {"transfer.retry_wait_seconds": -1},
        {"transfer.retry_wait_seconds": "nan"},
        {"transfer.retry_wait_limit_seconds": "inf"},
        {"transfer.retry_wait_limit_seconds": -1},
        {"transfer.minimum_rate_bytes_per_second": -1},
        {"store.object_lock_days": -1},
    ],
)
def test_waits_and_timeouts_have_bounds(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        resolve([Layer("somewhere", values)])


RAW = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(-1e9, 1e9),
    st.text(max_size=8),
    st.lists(st.text()),
)
NAMES = [f"{section.name}.{s.name}" for section in fields(Config) for s in fields(getattr(Config(), section.name))]


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), RAW, max_size=3))
@budget(max_examples=200, deadline=None)
def test_any_values_give_settings_of_the_right_types_or_a_configuration_error(values: dict[str, object]) -> None:
    try:
        config, origins = resolve([Layer("somewhere", values)])
    except ConfigError:
        return
    assert set(origins.by_name) == set(values)
    for section in fields(Config):
        for setting in fields(getattr(config, section.name)):
            found = getattr(getattr(config, section.name), setting.name)
            assert type(found) is type(getattr(getattr(Config(), section.name), setting.name))


def test_the_ledger_url_is_known_to_carry_a_password() -> None:
    assert may_hold_secret("ledger.url")
    assert not may_hold_secret("hub.endpoint")


# --- the file ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "[transfer",
        "streams",
        "[transfer]\nstreams = ",
        "[transfer]\nstreams = 1\nstreams = 2\n",
        "[a]\n[a]\n",
        "\x00",
    ],
)
def test_a_file_that_is_no_toml_is_refused_by_its_path(home: Home, text: str) -> None:
    write(home, text)
    with pytest.raises(ConfigError, match="not valid TOML") as refused:
        load(home, {})
    assert str(home.config_file) in refused.value.message


def test_a_file_that_is_no_text_is_refused(home: Home) -> None:
    home.config_file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load(home, {})


def test_a_file_that_cannot_be_read_is_refused(home: Home) -> None:
    home.config_file.mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load(home, {})


def test_a_home_that_is_a_file_is_refused(home: Home) -> None:
    home.store.write_text("")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(Home(home.store), {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("streams = 1\n", "must be a section"),
        ("[transfer]\nstream = 1\n", "no setting 'transfer.stream'"),
        ("[transferred]\nstreams = 1\n", "no setting 'transferred.streams'"),
        ("[transfer]\nstreams = 'many'\n", "must be a whole number"),
        ("[transfer.streams]\nvalue = 1\n", "must be a whole number"),
        ("[hub]\nendpoint = 2025-01-20\n", "must be text"),
        ("[store]\nlegal_hold = 'perhaps'\n", "must be true or false"),
        ("[[transfer]]\nstreams = 1\n", "must be a section"),
    ],
)
def test_a_wrong_setting_in_the_file_is_refused_with_the_file(home: Home, text: str, said: str) -> None:
    write(home, text)
    with pytest.raises(ConfigError) as refused:
        load(home, {})
    assert said in refused.value.message
    assert str(home.config_file) in refused.value.message


def test_a_file_nested_without_end_is_refused(home: Home) -> None:
    write(home, f"a = {'[' * 5_000}{']' * 5_000}\n")
    with pytest.raises(ConfigError):
        load(home, {})


def test_an_unknown_section_is_refused_even_when_it_is_empty(home: Home) -> None:
    write(home, "[transferr]\n")
    with pytest.raises(ConfigError):
        load(home, {})


@given(st.text(alphabet="[]=\"'.,\n#ab1 {}\\", max_size=24))
@budget(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_file_is_settings_or_a_typed_refusal(home: Home, text: str) -> None:
    write(home, text)
    try:
        config, _ = load(home, {})
    except WeighbridgeError:
        return
    assert config == Config()


# --- the environment -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("WEIGHBRIDGE_TRANSFER_STREAM", "1", "no setting 'transfer.stream'"),
        ("WEIGHBRIDGE_TRANSFER_", "1", "no setting 'transfer.'"),
        ("WEIGHBRIDGE_TRANSFER_STREAMS", "many", "must be a whole number"),
        ("WEIGHBRIDGE_STORE_LEGAL_HOLD", "perhaps", "must be true or false"),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(
    home: Home, monkeypatch: pytest.MonkeyPatch, variable: str, text: str, said: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigError, match=f"environment {variable}") as refused:
        load(home, {})
    assert said in refused.value.message


def test_variables_of_others_are_not_read(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WEIGHBRIDGE_HOME", "WEIGHBRIDGE_DEBUG", "TRANSFER_STREAMS", "weighbridge_transfer_streams"):
        monkeypatch.setenv(name, "x")
    assert load(home, {}) == (Config(), Origins({}))


# --- the home ------------------------------------------------------------------------------------


def test_the_flag_names_the_home_before_the_environment(
    tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "named"))
    assert find_home().path == tmp_path / "named"
    assert find_home(str(tmp_path / "flag")).path == tmp_path / "flag"
    monkeypatch.delenv(HOME_VARIABLE)
    assert find_home().path.name == "weighbridge"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_home("~/wb").path == tmp_path / "wb"


def test_everything_of_a_home_lies_in_it(home: Home) -> None:
    places: list[Any] = [
        home.config_file, home.store, home.ledger, home.ledger_head, home.keys, home.signing_key, home.trusted_keys,
        home.journals,
    ]  # fmt: skip
    assert len(set(places)) == len(places)
    assert all(place.is_relative_to(home.path) for place in places)


def test_the_command_says_where_a_wrong_setting_came_from(weighbridge: Command) -> None:
    ran = weighbridge("config", env={"WEIGHBRIDGE_TRANSFER_STREAMS": "many"}, code=2)
    assert "WEIGHBRIDGE_TRANSFER_STREAMS" in ran.err
    assert ran.out == ""
