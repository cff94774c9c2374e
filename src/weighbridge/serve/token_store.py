"""The gateway's tokens, as the ledger's events make them, followed so closely that a revocation counts within a second.

Rules:

- a token is created and revoked by an event, `token.created` with its hash and scope and `token.revoked`; both are part of
  the audit, and every gateway on the same ledger knows them;
- `Tokens` asks the ledger every `POLL_SECONDS` in a thread of its own, for what came after what it has seen;
- while the ledger cannot be read nobody knows whether a token was revoked: after `STALE_SECONDS` no token counts;
- a record that cannot be read is no token. It never makes another token one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from weighbridge.core.closing import Closing
from weighbridge.core.errors import ConfigError, NothingCollected, StoreUnreachable, WeighbridgeError
from weighbridge.serve.following import Following
from weighbridge.serve.tokens import (
    Scope,
    Token,
    check_name,
    check_scope,
    decode,
    encode,
    has_form,
    hash_of,
    new_secret,
    same_hash,
)
from weighbridge.store.ledger import Event, Ledger, now_rfc3339

CREATED: Final = "token.created"
REVOKED: Final = "token.revoked"
POLL_SECONDS: Final = 0.4
STALE_SECONDS: Final = 5.0
MAX_TOKENS: Final = 100_000
_log = logging.getLogger(__name__)


class _Roll:
    """The tokens that events come to, by hash."""

    def __init__(self) -> None:
        self.by_hash: dict[str, Token] = {}
        self.after = 0

    def apply(self, event: Event) -> None:
        self.after = max(self.after, event.sequence)
        if event.kind == CREATED:
            self._create(event)
        elif event.kind == REVOKED:
            digest = event.payload.get("sha256")
            known = self.by_hash.get(digest) if isinstance(digest, str) else None
            if known is not None and not known.revoked_at:
                self.by_hash[known.sha256] = known.revoked(event.time)

    def _create(self, event: Event) -> None:
        try:
            token = decode(event.payload, created_at=event.time, created_by=event.actor)
        except WeighbridgeError as error:
            _log.warning("event %d of the ledger makes no token: %s", event.sequence, error.message)
            return
        # The first record of a hash is the one that counts: a later one could lift a revocation or widen the scope.
        if len(self.by_hash) < MAX_TOKENS:
            self.by_hash.setdefault(token.sha256, token)


def list_tokens(ledger: Ledger) -> list[Token]:
    """All tokens that were ever created, oldest first.

    Raises:
        LedgerError, StoreError: the ledger cannot be read.
    """
    return list(_replayed(ledger).by_hash.values())


def create_token(
    ledger: Ledger,
    name: str,
    scope: Scope,
    *,
    actor: str,
    lifetime: timedelta | None,
    clock: Callable[[], str] = now_rfc3339,
) -> tuple[str, Token]:
    """Makes a token and records it; returns the secret, which is kept nowhere, and what is kept. No lifetime: for ever.

    Raises:
        ConfigError: name or scope cannot be, or an active token has the name.
        LedgerError, StoreError: it could not be recorded.
    """
    check_name(name)
    check_scope(scope)
    now = clock()
    known = list_tokens(ledger)
    if any(one.name == name and one.state(now) == "active" for one in known):
        raise ConfigError(f"there is a token '{name}' already", hint=f"weighbridge token revoke {name}")
    if len(known) >= MAX_TOKENS:
        raise ConfigError(f"there are {MAX_TOKENS} tokens already")
    secret = new_secret()
    token = Token(name, hash_of(secret), scope, now, actor, expires_at=_after(now, lifetime))
    event = ledger.append(CREATED, f"token:{token.token_id}", encode(token), actor=actor)
    return secret, decode(event.payload, created_at=event.time, created_by=event.actor)


def revoke_token(
    ledger: Ledger, named: str, *, actor: str, reason: str = "", clock: Callable[[], str] = now_rfc3339
) -> Token:
    """Ends a token, named by its name or id; when this returns it is recorded, and gateways know within a second.

    Raises:
        NothingCollected: there is none that is active.
        LedgerError, StoreError: it could not be recorded.
    """
    now = clock()
    found = [one for one in list_tokens(ledger) if named in (one.token_id, one.name) and one.state(now) == "active"]
    if not found:
        raise NothingCollected(
            f"there is no active token '{named:.100}'", hint="`weighbridge token list` names all tokens."
        )
    # Of two with one name only one is active, except where two machines made them in the same instant: end both.
    for token in found:
        payload = {"name": token.name, "sha256": token.sha256, "reason": reason}
        event = ledger.append(REVOKED, f"token:{token.token_id}", payload, actor=actor)
        last = token.revoked(event.time)
    return last


def _after(now: str, lifetime: timedelta | None) -> str:
    if lifetime is None:
        return ""
    if lifetime <= timedelta(0):
        raise ConfigError("a token cannot expire before it begins")
    try:
        at = datetime.fromisoformat(now) + lifetime
    except OverflowError as error:
        raise ConfigError("that is beyond the calendar; leave the expiry out") from error
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _replayed(ledger: Ledger) -> _Roll:
    roll = _Roll()
    for event in ledger.events(kinds=(CREATED, REVOKED)):
        roll.apply(event)
    return roll


class Tokens(Closing):
    """The tokens of a running gateway. Thread-safe; `find` never waits for the ledger.

    Raises:
        LedgerError, StoreError: the ledger cannot be read at the start.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        clock: Callable[[], str] = now_rfc3339,
        monotonic: Callable[[], float] = time.monotonic,
        poll_seconds: float = POLL_SECONDS,
        stale_seconds: float = STALE_SECONDS,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._monotonic = monotonic
        self._stale_seconds = stale_seconds
        last = ledger.last_sequence()
        self._roll = _replayed(ledger)
        # Everything up to there was replayed just now, and most of it is not about tokens.
        self._roll.after = max(self._roll.after, last)
        self._read_at = monotonic()
        self._lock = threading.Lock()
        self._following = Following("tokens", self.refresh, poll_seconds)

    def close(self) -> None:
        """Stops following the ledger."""
        self._following.end()

    @property
    def exist(self) -> bool:
        """Whether a token was ever created: then a gateway was meant to ask for one."""
        return bool(self._roll.by_hash)

    def find(self, presented: str) -> Token | None:
        """The token that was presented, whatever its state; None when it is none of ours.

        Raises:
            StoreUnreachable: the ledger has not answered for so long that a revocation may have been missed.
        """
        if self._monotonic() - self._read_at > self._stale_seconds:
            raise StoreUnreachable("the ledger does not answer, so nobody knows which tokens were revoked")
        if not has_form(presented):
            return None
        digest = hash_of(presented)
        # Finding by hash tells by its time at most how a hash begins, which helps nobody to find a token that has it.
        token = self._roll.by_hash.get(digest)
        return token if token is not None and same_hash(token.sha256, digest) else None

    def state(self, token: Token) -> str:
        """Whether a token is `active`, `expired` or `revoked` now."""
        return self._roll.by_hash.get(token.sha256, token).state(self._clock())

    def refresh(self) -> None:
        """Reads what happened since the last time.

        Raises:
            LedgerError, StoreError: the ledger cannot be read.
        """
        with self._lock:
            at = self._monotonic()
            for event in self._ledger.events(after=self._roll.after):
                self._roll.apply(event)
            self._read_at = at
