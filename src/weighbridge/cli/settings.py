"""Finds the home and reads settings: defaults, then the file, then the environment, then flags."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from weighbridge.core.config import Config, Layer, Origins, resolve
from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import ConfigError
from weighbridge.core.folders import data_folder

HOME_VARIABLE = "WEIGHBRIDGE_HOME"
PREFIX = "WEIGHBRIDGE_"


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that holds the embedded store, ledger, keys and settings."""

    path: Path

    @property
    def config_file(self) -> Path:
        """Settings."""
        return self.path / "config.toml"

    @property
    def store(self) -> Path:
        """The embedded quarantine store."""
        return self.path / "store"

    @property
    def approved(self) -> Path:
        """The embedded store of promoted revisions."""
        return self.path / "approved"

    @property
    def ledger(self) -> Path:
        """The embedded ledger."""
        return self.path / "ledger.sqlite"

    @property
    def ledger_head(self) -> Path:
        """The signed head of the ledger, outside of its database."""
        return self.path / "ledger.head.json"

    @property
    def keys(self) -> Path:
        """The signing key, and below it the trusted ones."""
        return self.path / "keys"

    @property
    def signing_key(self) -> Path:
        """The key that signs by default."""
        return self.keys / "signing.pem"

    @property
    def trusted_keys(self) -> Path:
        """Public keys that are trusted besides our own."""
        return self.keys / "trusted"

    @property
    def people(self) -> Path:
        """Private keys of the people who act from this home."""
        return self.keys / "people"

    @property
    def index_trust(self) -> Path:
        """What this machine last saw of each index of channels."""
        return self.path / "index-trust"

    @property
    def session_key(self) -> Path:
        """What the cookies of the gateway's catalog are sealed with."""
        return self.keys / "gateway-session.key"

    @property
    def ended_sessions(self) -> Path:
        """Sessions of the gateway's catalog that people logged out of."""
        return self.path / "gateway-ended-sessions"

    @property
    def downloads(self) -> Path:
        """Downloads from the gateway that are not yet in the ledger."""
        return self.path / "downloads"

    @property
    def posture(self) -> Path:
        """The newest evidence of the posture of each model."""
        return self.path / "posture"

    @property
    def sinks(self) -> Path:
        """Who is told of news, unless the settings name another file."""
        return self.path / "sinks.toml"

    @property
    def watch_lock(self) -> Path:
        """Held by the watch daemon of this home."""
        return self.path / "watch-daemon.lock"

    @property
    def watch_health(self) -> Path:
        """How the watch daemon is."""
        return self.path / "watch-health.json"

    @property
    def fingerprints(self) -> Path:
        """Fingerprints of sealed revisions; derived, and may be deleted."""
        return self.path / "fingerprints"

    @property
    def journals(self) -> Path:
        """How far interrupted ingests came."""
        return self.path / "journal"


def find_home(flag: str = "") -> Home:
    """The home: `--home`, else `WEIGHBRIDGE_HOME`, else the platform's data directory."""
    chosen = flag or os.environ.get(HOME_VARIABLE, "")
    if chosen:
        return Home(Path(chosen).expanduser())
    return Home(Path(data_folder()))


def load(home: Home, flags: Mapping[str, object]) -> tuple[Config, Origins]:
    """All settings and where each came from. Flags are `section.name` to value; None means not given.

    Raises:
        ConfigError: the file is no TOML, or a value is unknown or of the wrong type.
    """
    layers = [*_file(home.config_file), *_environment()]
    for name, value in flags.items():
        if value is not None:
            flag = name.partition(".")[2].replace("_", "-")
            layers.append(Layer(f"flag --{flag}", {name: value}))
    return resolve(layers)


def _file(path: Path) -> list[Layer]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise ConfigError(f"'{path}' is not valid TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"'{path}' cannot be read: {error.strerror}") from error
    import tomllib

    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"'{path}' is not valid TOML: {error}") from error
    values: dict[str, object] = {}
    for section, content in document.items():
        if not isinstance(content, dict):
            raise ConfigError(f"'{section}' in '{path}' must be a section, [{section}]")
        if not content and section not in {field.name for field in fields(Config)}:
            raise ConfigError(f"there is no section [{section}] ({path})", hint="`weighbridge config` lists all.")
        values.update({f"{section}.{name}": value for name, value in content.items()})
    return [Layer(f"file {path}", values)]


def _environment() -> list[Layer]:
    layers = []
    for section in (field.name for field in fields(Config)):
        start = f"{PREFIX}{section.upper()}_"
        for name, value in sorted(os.environ.items()):
            if name.startswith(start):
                layers.append(Layer(f"environment {name}", {f"{section}.{name[len(start) :].lower()}": value}))
    return layers
