"""Opens what a command works with: settings, keys, ledger, stores, each only when it is asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge import __version__
from weighbridge.cli.console import Output
from weighbridge.cli.settings import Home, load
from weighbridge.core.closing import Closing
from weighbridge.core.config import StoreSettings
from weighbridge.core.errors import NothingCollected
from weighbridge.core.names import Address, Reference
from weighbridge.core.ports import ObjectStore, Source

if TYPE_CHECKING:
    from weighbridge.attest.keys import TrustedKeys
    from weighbridge.attest.public_keys import SigningKey
    from weighbridge.store.catalog import CataloguedRevision
    from weighbridge.store.ledger import Ledger
    from weighbridge.vault.records import SealedRevision
    from weighbridge.wire.http import Http


def user_name() -> str:
    """Who runs this process."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid-{os.getuid()}"


class OpenYard(Closing):
    """One command's view of one home. A context manager: what was opened is closed."""

    def __init__(self, home: Home, output: Output, flags: Mapping[str, object] | None = None) -> None:
        self.home = home
        self.output = output
        self.config, self.origins = load(home, flags or {})
        self._closing = ExitStack()
        self._stores: dict[tuple[str, StoreSettings], ObjectStore] = {}
        self._ledgers: dict[bool, Ledger] = {}

    @property
    def login(self) -> str:
        """User and host of this process."""
        return f"{user_name()}@{os.uname().nodename}"

    @property
    def actor(self) -> str:
        """Who acts, for the ledger: the person of the settings, else user and host of this process."""
        return self.config.identity.name or self.login

    @cached_property
    def http(self) -> Http:
        """The pool of connections."""
        from weighbridge.wire.http import Http

        transfer = self.config.transfer
        http = Http(
            user_agent=f"weighbridge/{__version__}; python/{sys.version_info.major}.{sys.version_info.minor}",
            connect_timeout_seconds=transfer.connect_timeout_seconds,
            read_timeout_seconds=transfer.read_timeout_seconds,
            connections=max(32, transfer.streams + transfer.uploads),
        )
        self._closing.callback(http.close)
        return http

    def store(self, address: str = "") -> ObjectStore:
        """The store at an address; by default the quarantine store of the settings."""
        chosen = address or self.config.store.quarantine or str(self.home.store)
        return self._open_store(chosen, self.config.store)

    def approved(self) -> ObjectStore:
        """The store of promoted revisions, with the locks that are set for it."""
        settings = self.config.store
        if settings.approved_lock_mode:
            mode, days = settings.approved_lock_mode, settings.approved_lock_days
            settings = replace(settings, object_lock_mode=mode, object_lock_days=days)
        if settings.approved_legal_hold:
            settings = replace(settings, legal_hold=True)
        return self._open_store(settings.approved or str(self.home.approved), settings)

    def _open_store(self, address: str, settings: StoreSettings) -> ObjectStore:
        if (address, settings) not in self._stores:
            from weighbridge.store.opening import open_store

            store = open_store(Address.parse(address), settings, self.http)
            self._closing.callback(store.close)
            self._stores[address, settings] = store
        return self._stores[address, settings]

    @property
    def key_path(self) -> Path:
        """Where the signing key is; of one that is in no file, where its public half (`.pub`) is kept."""
        key = self.config.signing.key
        if not key:
            return self.home.signing_key
        if key.startswith(("pkcs11:", "awskms://")):
            import hashlib

            return self.home.keys / f"{key.partition(':')[0]}-{hashlib.sha256(key.encode('utf-8')).hexdigest()[:16]}"
        return Path(key).expanduser()

    @cached_property
    def key(self) -> SigningKey:
        """The signing key; the home's own is made when it is first needed.

        Raises:
            ConfigError: it cannot be opened, anyone may read it, or the name now stands for another key.
            TrustError: its certificate does not hold, or what holds the key does not answer.
        """
        from weighbridge.attest.keys import LocalKey

        if not self.config.signing.key and not self.key_path.exists():
            self.home.keys.mkdir(parents=True, exist_ok=True, mode=0o700)
            key = LocalKey.create(self.key_path)
            self.output.say(f"made a signing key: {self.key_path}")
            return key
        return self.read_key()

    def read_key(self) -> SigningKey:
        """The signing key as it is now; a command that runs for long sees that it was exchanged. Raises as `key`."""
        from weighbridge.attest.signers import open_signer, read_password, remember

        signing = self.config.signing
        opened = open_signer(
            signing.key or str(self.key_path),
            password=read_password(signing.password_file),
            certificate_chain=signing.certificate_chain,
        )
        remember(opened, self.key_path)
        return opened

    @cached_property
    def trusted(self) -> TrustedKeys:
        """The keys whose signatures count: those in `keys/trusted`, and our own."""
        return self.read_trusted()

    def read_trusted(self) -> TrustedKeys:
        """As `trusted`, as they are now.

        Raises:
            ConfigError: one cannot be read.
        """
        from weighbridge.attest.keys import TrustedKeys

        folder = self.home.trusted_keys
        trusted = TrustedKeys.load(folder) if folder.is_dir() else TrustedKeys()
        public = self.key_path.with_name(self.key_path.name + ".pub")
        if public.is_file():
            return trusted.with_key(public.read_bytes())
        if self.key_path.exists() or self.config.signing.key.startswith(("pkcs11:", "awskms://")):
            return trusted.with_key(self.key.public_pem)
        return trusted

    def forget_trusted(self) -> None:
        """Has the trusted keys read again when they are needed next; for commands that run for long."""
        self.__dict__.pop("trusted", None)

    @property
    def has_ledger(self) -> bool:
        """Whether there is a ledger to read, so that looking does not make one."""
        return bool(self.config.ledger.url) or self.home.ledger.exists()

    def ledger(self, *, writing: bool = False) -> Ledger:
        """The ledger, opened once for each purpose; for reading it needs no key."""
        if writing not in self._ledgers:
            self._ledgers[writing] = self._open_ledger(writing=writing)
        return self._ledgers[writing]

    def _open_ledger(self, *, writing: bool) -> Ledger:
        from weighbridge.store.ledger import Ledger

        if not self.config.ledger.url:
            self.home.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        url = self.config.ledger.url or f"sqlite:///{self.home.ledger.absolute()}"
        signer = self.key if writing else None
        return self._closing.enter_context(Ledger(url, head_path=self.home.ledger_head, signer=signer))

    def resolve(self, reference: str) -> CataloguedRevision:
        """The catalogued revision that a reference names.

        Raises:
            NothingCollected: none. ConfigError: no reference, or several fit.
        """
        return self.ledger().catalog().resolve(Reference.parse(reference))

    def resolve_arrival(self, reference: str) -> CataloguedRevision:
        """The revision that a reference names, as it lies in the store that it came into.

        Raises:
            NothingCollected: none, or it lies in the approved store alone. ConfigError: no reference, or several fit.
        """
        found = self.resolve(reference)
        approved = self.approved().address
        for row in self.ledger().catalog().revisions(found.model_name):
            if row.revision == found.revision and row.store != approved:
                return row
        raise NothingCollected(f"{found.model_name}@{found.revision} is only in the approved store, {approved}")

    def open_sealed(self, row: CataloguedRevision) -> SealedRevision:
        """The records of a catalogued revision, verified, and sealed as the ledger saw it.

        Raises:
            TrustError, FormatError, StoreError: see `vault.verify.open_catalogued`.
        """
        from weighbridge.vault.verify import open_catalogued

        return open_catalogued(self.store(row.store), row, self.trusted)

    def stored_source(self, reference: str) -> Source:
        """A sealed revision of a store, verified, as a source.

        Raises:
            NothingCollected, ConfigError: there is none, or several fit.
            TrustError, IntegrityError, StoreError: it is not as it was sealed.
        """
        from weighbridge.vault.records import open_revision
        from weighbridge.vault.stored import StoredSource

        row = self.resolve(reference)
        store = self.store(row.store)
        return StoredSource(store, open_revision(store, row.model_name, row.revision, self.trusted))

    def close(self) -> None:
        """Closes what was opened."""
        self._closing.close()
