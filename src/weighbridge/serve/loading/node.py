"""Opens an approved store as an inference node does: by a trust file and read access, without ledger and signing key.

What was last seen of the index is remembered in a folder of state, so that an older index shows after a restart. A node
without such a folder still refuses what has expired and what is older than its trust file; it says that it remembers nothing.

Settings come from arguments, else from the environment: `WEIGHBRIDGE_TRUST`, `WEIGHBRIDGE_TRUST_SHA256`, `WEIGHBRIDGE_STORE`,
`WEIGHBRIDGE_STATE`, `WEIGHBRIDGE_STORE_S3_ENDPOINT`, `WEIGHBRIDGE_STORE_S3_REGION`.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from weighbridge import __version__
from weighbridge.admit.asking import PRODUCTION
from weighbridge.admit.index import Index, check_channel
from weighbridge.admit.index_reader import IndexReader
from weighbridge.admit.index_state import ALTERED, trust_folder
from weighbridge.core.config import StoreSettings
from weighbridge.core.errors import ConfigError, RolledBack
from weighbridge.core.folders import data_folder, state_folder
from weighbridge.core.names import Address, Reference, is_revision
from weighbridge.core.ports import ObjectStore
from weighbridge.serve.approved import Approved
from weighbridge.serve.loading.trust import Trust, read_trust
from weighbridge.serve.loading.wholeness import whole
from weighbridge.store.opening import open_store
from weighbridge.vault.records import SealedRevision
from weighbridge.wire.http import Http

TRUST_FILE: Final = "trust.json"
CONNECTIONS: Final = 64
_STATE: Final = "Name one that can be written to and stays between starts: --state DIR, or WEIGHBRIDGE_STATE."
_LONG_HEXADECIMAL = re.compile(r"[0-9a-f]{4,39}")


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Where a node finds what it trusts; what is empty comes from the trust file."""

    trust: Path | None = None
    trust_sha256: str = ""
    store: str = ""
    state: Path | None = None
    s3_endpoint: str = ""
    s3_region: str = ""

    def over(self, environment: Mapping[str, str]) -> NodeSettings:
        """These settings, and where they say nothing those of an environment."""

        def path(given: Path | None, name: str) -> Path | None:
            said = environment.get(name, "")
            return given or (Path(said).expanduser() if said else None)

        return NodeSettings(
            path(self.trust, "WEIGHBRIDGE_TRUST"),
            self.trust_sha256 or environment.get("WEIGHBRIDGE_TRUST_SHA256", ""),
            self.store or environment.get("WEIGHBRIDGE_STORE", ""),
            path(self.state, "WEIGHBRIDGE_STATE"),
            self.s3_endpoint or environment.get("WEIGHBRIDGE_STORE_S3_ENDPOINT", ""),
            self.s3_region or environment.get("WEIGHBRIDGE_STORE_S3_REGION", ""),
        )


@dataclass(frozen=True, slots=True)
class Node:
    """An approved store, opened; `remembers` says whether what was seen of the index is kept until the next start."""

    approved: Approved
    remembers: bool = True

    @property
    def store(self) -> ObjectStore:
        """The approved store."""
        return self.approved.store

    def resolve(self, reference: str) -> SealedRevision:
        """The revision that `org/name[@channel|@revision]` names, proven; without a selector, the channel production.

        Raises:
            ConfigError: it names none. NothingCollected: there is none of that name.
            IntegrityError: a part of it is missing from the store. TrustError, StoreError, FormatError: it cannot be proven now.
        """
        wanted = Reference.parse(reference)
        selector = wanted.selector or PRODUCTION
        if not is_revision(selector):
            if _LONG_HEXADECIMAL.fullmatch(selector):
                raise ConfigError(
                    f"'{selector}' is not a whole revision", hint="Name a channel, or all 40 digits of the revision."
                )
            check_channel(selector)
        with whole(f"{wanted.model_name}@{selector}"):
            return self.approved.resolve(wanted.model_name, selector)


def home_trust_file(environment: Mapping[str, str]) -> Path:
    """Where `weighbridge trust export` puts the file when it is told no other place."""
    chosen = environment.get("WEIGHBRIDGE_HOME", "")
    return (Path(chosen).expanduser() if chosen else Path(data_folder())) / TRUST_FILE


@contextmanager
def open_node(settings: NodeSettings, environment: Mapping[str, str] = os.environ) -> Iterator[Node]:
    """A node by its settings, those of the environment, and the trust file of the home if neither names one.

    Raises:
        ConfigError: there is no trust file, a setting is wrong, or nothing can be written anywhere.
        StatementMismatch: the trust file is not the pinned one.
    """
    chosen = settings.over(environment)
    trust = read_trust(chosen.trust or home_trust_file(environment), pinned=chosen.trust_sha256)
    store_settings = StoreSettings(
        s3_endpoint=chosen.s3_endpoint or trust.s3_endpoint, s3_region=chosen.s3_region or trust.s3_region
    )
    with ExitStack() as closing:
        http = Http(user_agent=f"weighbridge/{__version__}", connections=CONNECTIONS)
        closing.callback(http.close)
        store = open_store(Address.parse(chosen.store or trust.store), store_settings, http)
        closing.callback(store.close)
        folder, remembers = _state(chosen.state, closing)
        reader = _NoOlder(store, trust_folder(folder, store), trust)
        yield Node(Approved(store, reader, trust.verifier), remembers)


class _NoOlder(IndexReader):
    """Also refuses an index that is older than the trust file."""

    def __init__(self, store: ObjectStore, folder: Path, trust: Trust) -> None:
        super().__init__(store, folder, root=trust.root)
        self._least = trust.index_version

    def current(self) -> Index:
        """See `IndexReader.current`."""
        index = super().current()
        if index.version < self._least:
            raise RolledBack(
                f"the index of channels is version {index.version}, older than {self._least} of the trust file",
                hint=ALTERED,
            )
        return index


def _state(chosen: Path | None, closing: ExitStack) -> tuple[Path, bool]:
    """A folder to remember the index in, and whether it stays."""
    folder = chosen or Path(state_folder()) / "index"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder, True
    except OSError as error:
        if chosen is not None:
            raise ConfigError(
                f"the folder of state '{chosen}' cannot be made: {error.strerror}", hint=_STATE
            ) from error
    if chosen is not None:
        raise ConfigError(f"the folder of state '{chosen}' cannot be written to", hint=_STATE)
    try:
        temporary = Path(tempfile.mkdtemp(prefix="weighbridge-state-"))
    except OSError as error:
        raise ConfigError(f"no folder of state can be made: {error.strerror}", hint=_STATE) from error
    closing.callback(shutil.rmtree, temporary, ignore_errors=True)
    return temporary, False
