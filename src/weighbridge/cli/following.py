"""Follows the keys of a home while a command runs for long: which signatures count, and what signs, as they are now.

- `keys trust`, `keys revoke` and `keys rotate` change files; a look at their names, sizes and times tells whether to read
  them again, so that looking costs microseconds.
- The ledger tells of keys that were revoked from other homes on it, as those of other gateways; while it cannot be read, what it
  told before counts.
- While a trusted key cannot be read nothing is verified: it might be the revoked one.
- Whoever signs is handed the new key when the home has one; one that cannot be opened is logged and tried again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from weighbridge.attest.key_files import PUBLIC_SUFFIX
from weighbridge.attest.trust import REVOKED_FOLDER, Revocation
from weighbridge.cli.commands.keys import REVOKED
from weighbridge.core.errors import WeighbridgeError
from weighbridge.wire.marks import Mark, mark_of

if TYPE_CHECKING:
    from weighbridge.attest.public_keys import SigningKey
    from weighbridge.attest.trust import TrustedKeys
    from weighbridge.cli.yard import OpenYard
    from weighbridge.store.ledger import Ledger

POLL_SECONDS: Final = 0.5
_log = logging.getLogger("weighbridge.gateway")


class FollowedKeys:
    """The keys of a home as `refresh` last found them; a `core.ports.SignatureVerifier`. Thread-safe.

    `signs` is called with the signing key whenever that became another one.

    Raises:
        ConfigError, LedgerError, StoreError: keys or ledger cannot be read at the start.
    """

    def __init__(self, yard: OpenYard, ledger: Ledger, *, signs: Callable[[SigningKey], None]) -> None:
        self._yard = yard
        self._lock = threading.Lock()
        self._mark: Mark | None = None
        self._ledger = ledger
        self._ledger_end = 0
        self._revoked: dict[str, Revocation] = {}
        self._read_ledger()
        self._signs = signs
        self._own = (yard.key_path, yard.key_path.with_name(yard.key_path.name + PUBLIC_SUFFIX))
        # Before anything is read: what changes meanwhile is then read once more.
        self._mark = self._seen()
        self._key_mark: Mark | None = mark_of(*self._own)
        self._key_id = yard.key.key_id
        self._keys: TrustedKeys = yard.read_trusted().without(self._revoked.values())
        self._generation = 0

    def _seen(self) -> Mark:
        folder = self._yard.home.trusted_keys
        return mark_of(folder, folder / REVOKED_FOLDER, *self._own)

    def refresh(self) -> int:
        """Reads again what changed; a number that changes whenever the trusted keys do.

        Raises:
            ConfigError: a trusted key cannot be read, so that nobody knows what counts.
        """
        with self._lock:
            self._refresh_key()
            mark = self._seen()
            if mark != self._mark:
                # Forgotten first: while the files cannot be read, each look tries again.
                self._mark = None
                self._keys = self._yard.read_trusted().without(self._revoked.values())
                self._mark = mark
                self._generation += 1
            return self._generation

    def _read_ledger(self) -> None:
        """Takes in what was revoked since the last time; one look at the ledger's end while nothing happened."""
        end = self._ledger.last_sequence()
        if end == self._ledger_end:
            return
        found = {}
        for event in self._ledger.events(after=self._ledger_end, kinds=(REVOKED,)):
            key_id, reason, at = (str(event.payload.get(name, "")) for name in ("key_id", "reason", "revoked_at"))
            found[key_id] = Revocation(key_id, reason, at, event.actor)
        with self._lock:
            self._ledger_end = end
            if not found.keys() <= self._revoked.keys():
                self._revoked.update(found)
                self._mark = None

    def _refresh_key(self) -> None:
        mark = mark_of(*self._own)
        if mark == self._key_mark:
            return
        self._key_mark = None
        try:
            key = self._yard.read_key()
        except WeighbridgeError as error:
            _log.error("the signing key changed and cannot be opened: %s", error.message)
            return
        self._key_mark = mark
        if key.key_id != self._key_id:
            self._key_id = key.key_id
            self._signs(key)

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Looks at the keys again and again until the end of the block, also while nobody asks for anything."""
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            with suppress(WeighbridgeError):
                await asyncio.to_thread(self._read_ledger)
            with suppress(WeighbridgeError):
                await asyncio.to_thread(self.refresh)

    def verify(self, data: bytes, signature: bytes, *, key_id: str) -> None:
        """See `TrustedKeys.verify`.

        Raises:
            SignatureInvalid, Revoked: see there.
        """
        self._keys.verify(data, signature, key_id=key_id)
