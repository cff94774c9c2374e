"""The ledger: append-only, hash-chained events with a signed head, the one source of truth.

Rules:

- events are numbered from 1 without gaps; each carries the digest of the one before it, and its own digest is the SHA-256
  of the canonical JSON of all its other fields;
- an event that `append` returned is durable, and the catalog already knows it: both are written in one transaction;
- the head file is replaced after the commit. A kill in between leaves it one event behind, which `verify` accepts and tells,
  and which the next `append` heals; so events beyond the head are chained, but not yet vouched for by the signature;
- an unknown kind of event is kept; only the catalog ignores it;
- memory is bounded by a few events, whatever the number of events. Open a `Ledger` after a fork, not before.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, func, insert, select

from weighbridge.core import canonical
from weighbridge.core.canonical import JsonObject
from weighbridge.core.closing import Closing
from weighbridge.core.errors import ConfigError, LedgerError, Malformed
from weighbridge.core.ports import SignatureVerifier, Signer
from weighbridge.store.catalog import Catalog, project, recreate
from weighbridge.store.chain import (
    ALTERED_HINT,
    GENESIS,
    PAGE,
    Event,
    check_digest,
    fetch_rows,
    last_event,
    read_event,
    walk,
)
from weighbridge.store.database import Database
from weighbridge.store.head import Head, HeadFile
from weighbridge.store.tables import EVENTS

__all__ = ["GENESIS", "Event", "Ledger", "LedgerState", "now_rfc3339"]

MAX_LABEL_CHARACTERS = 512
_KIND = re.compile(r"[a-z][a-z0-9._-]{0,63}")


def now_rfc3339() -> str:
    """The present time in UTC, RFC 3339 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class LedgerState:
    """A ledger that was verified: how many events, the digest of the last one (64 zeros when there is none).

    `head_sequence` is the event the head file names, 0 without one; events after it are chained but not signed for.
    `head_signed` says whether the head's signature was verified.
    """

    events: int
    digest: str
    head_sequence: int
    head_signed: bool

    @property
    def unsigned_events(self) -> int:
        """How many events the chain extends beyond the head."""
        return self.events - self.head_sequence


class Ledger(Closing):
    """The ledger in one database. Thread-safe, and safe among processes.

    `url` is `sqlite:///path` or `postgresql+psycopg://…`; opening creates or migrates the schema. `wait_seconds` bounds how
    long any call waits for other writers.

    Raises:
        ConfigError: the URL is of another kind, a driver is missing, or the schema is newer than this code.
        LedgerError: the database is damaged, or missing though the head file says that there was one.
        StoreError: it is locked, full, out of reach or out of bounds.
    """

    def __init__(
        self,
        url: str,
        *,
        head_path: Path,
        signer: Signer | None,
        clock: Callable[[], str] = now_rfc3339,
        wait_seconds: float = 30.0,
    ) -> None:
        self._database = Database(url, wait_seconds=wait_seconds)
        self._head = HeadFile(head_path, wait_seconds=wait_seconds)
        self._signer = signer
        self._clock = clock
        try:
            self._open()
        except BaseException:
            self._database.close()
            raise

    def _open(self) -> None:
        if self._database.is_current():
            return
        with self._head.locked():
            if not self._database.holds_data() and self._head.read() is not None:
                raise LedgerError(
                    f"the ledger {self._database.shown} is missing, though its head {self._head.path} is there",
                    hint="Restore the database from a backup, or correct the ledger's URL.",
                )
            self._database.bring_up_to_date()

    def close(self) -> None:
        """Lets go of connections."""
        self._database.close()

    def sign_with(self, signer: Signer) -> None:
        """Has another key sign the head from the next event on, where the key was exchanged meanwhile."""
        self._signer = signer

    def append(self, kind: str, subject: str, payload: JsonObject, *, actor: str) -> Event:
        """Records that something happened; durable, signed for and in the catalog when it returns.

        Raises:
            ConfigError: kind, subject or actor are no plain words.
            Malformed: the payload is no canonical record, or lacks what the catalog reads from this kind.
            LedgerError: the history does not fit its head, so nothing may be added to it.
            Busy, StoreError: the database did not take it; nothing was recorded.
        """
        _check_labels(kind, subject, actor)
        text, payload = _canonical_payload(kind, payload)
        with self._head.locked():
            present = self._head.read()
            with self._database.writing() as connection:
                sequence, previous = self._end(connection, present)
                draft = Event(sequence + 1, self._clock(), actor, kind, subject, payload, previous, "")
                event = replace(draft, digest=draft.computed_digest())
                connection.execute(insert(EVENTS), [{**_labels(event), "payload": text}])
                _project(connection, event)
                # Signed before the commit: a signer that fails must not leave an event that nobody vouches for.
                head = Head(event.sequence, event.digest, event.time).signed_by(self._signer)
            self._head.write(head)
        return event

    def _end(self, connection: Connection, head: Head | None) -> tuple[int, str]:
        """The last sequence and digest, once what lies beyond the head was found to follow from it."""
        last, digest = last_event(connection)
        if head is None:
            if last > 1:
                raise self._headless(last)
            head = Head(0, GENESIS, "")
        self._check_reach(last, head)
        if head.sequence:
            found = connection.execute(select(EVENTS.c.digest).where(EVENTS.c.sequence == head.sequence)).scalar()
            if found != head.digest:
                raise self._replaced(head)
        if last > head.sequence:
            for event in walk(connection, after=head.sequence, previous=head.digest):
                last, digest = event.sequence, event.digest
        return last, digest

    def events(
        self, *, after: int = 0, subject: str = "", kinds: tuple[str, ...] = (), limit: int = 0
    ) -> Iterator[Event]:
        """Events with a sequence above `after` in order, of one subject or some kinds when given, at most `limit`.

        Each event's digest is checked, the chain among them is not; no transaction stays open between two events.

        Raises:
            LedgerError: an event was altered, or the database cannot be read.
        """
        left = limit if limit > 0 else -1
        while left:
            size = PAGE if left < 0 else min(PAGE, left)
            with self._database.reading() as connection:
                rows = fetch_rows(connection, after=after, subject=subject, kinds=kinds, size=size)
            for row in rows:
                event = read_event(row)
                check_digest(event)
                after = event.sequence
                yield event
            if len(rows) < size:
                return
            left -= size if left > 0 else 0

    def identity(self) -> str:
        """What tells this ledger from every other: the digest of its first event; "" while there is none.

        Raises:
            LedgerError: the first event was altered, or the database cannot be read.
        """
        return next((event.digest for event in self.events(limit=1)), "")

    def last_sequence(self) -> int:
        """The number of the last event, 0 while there is none; nothing of the event is looked at.

        Raises:
            LedgerError, Busy, StoreError: the database cannot be read now.
        """
        with self._database.reading() as connection:
            return last_event(connection)[0]

    def verify(self, verifier: SignatureVerifier | None) -> LedgerState:
        """Walks the whole chain and compares it with the head; without a verifier the signature is not judged.

        Raises:
            LedgerError: an event was altered, removed, inserted or moved, or the end was cut off; says which.
            SignatureInvalid, Revoked: the head's signature does not hold.
            Busy, StoreError: the database cannot be read now.
        """
        # The head first: events recorded while the chain is walked then only extend it.
        head = self._head.read()
        with self._database.reading() as connection:
            count, digest = self._walk_whole(connection, head)
            self._check_reach(count, head)
        if head is None and verifier is not None and count > 1:
            raise self._headless(count)
        if head is not None and verifier is not None:
            head.check(verifier)
        return LedgerState(count, digest, head.sequence if head else 0, head is not None and verifier is not None)

    def catalog(self) -> Catalog:
        """The catalog of this ledger; usable while the ledger is open."""
        return Catalog(self._database)

    def rebuild_catalog(self) -> int:
        """Drops the projection and replays all events, verifying the chain; returns how many there are.

        Raises:
            LedgerError: the chain does not hold; the catalog stays as it was.
            Busy, StoreError: the database did not take it; the catalog stays as it was.
        """
        with self._head.locked():
            head = self._head.read()
            with self._database.writing() as connection:
                recreate(connection)
                count, _ = self._walk_whole(connection, head, visit=_project)
                self._check_reach(count, head)
        return count

    def sign_head(self) -> LedgerState:
        """Verifies the chain and signs its present end, where no head is left or a new machine joins a shared database.

        What the chain was before cannot be proven by it: this is a decision of a person, and no other call makes it.

        Raises:
            LedgerError: the chain does not hold, or contradicts the head that is there.
            Busy, StoreError: the database cannot be read now.
        """
        with self._head.locked():
            present = self._head.read()
            with self._database.reading() as connection:
                count, digest = self._walk_whole(connection, present)
                self._check_reach(count, present)
            if count:
                self._head.write(Head(count, digest, self._clock()).signed_by(self._signer))
        return LedgerState(count, digest, count, head_signed=count > 0 and self._signer is not None)

    def _walk_whole(
        self,
        connection: Connection,
        head: Head | None,
        visit: Callable[[Connection, Event], None] = lambda _connection, _event: None,
    ) -> tuple[int, str]:
        first = connection.execute(select(func.min(EVENTS.c.sequence))).scalar()
        if first is not None and first < 1:
            raise LedgerError(f"event {first} was inserted into the ledger: the first is 1", hint=ALTERED_HINT)
        count, digest = 0, GENESIS
        for event in walk(connection, after=0, previous=GENESIS):
            if head is not None and event.sequence == head.sequence and event.digest != head.digest:
                raise self._replaced(head)
            visit(connection, event)
            count, digest = event.sequence, event.digest
        return count, digest

    def _check_reach(self, last: int, head: Head | None) -> None:
        if head is not None and last < head.sequence:
            raise LedgerError(
                f"the ledger {self._database.shown} was cut: it ends with event {last}, its head names event "
                f"{head.sequence}, so events {last + 1} to {head.sequence} are missing",
                hint="An older state was put back or the end was removed. Restore the ledger from a newer backup.",
            )

    def _replaced(self, head: Head) -> LedgerError:
        return LedgerError(
            f"event {head.sequence} of the ledger {self._database.shown} is not the one its head names: the history up "
            "to it was replaced",
            hint=ALTERED_HINT,
        )

    def _headless(self, count: int) -> LedgerError:
        return LedgerError(
            f"the ledger {self._database.shown} holds {count} events, but its head {self._head.path} is missing, so a "
            "cut would not show",
            hint="Put the head file back (a machine that joins takes a copy), or sign the present end anew.",
        )


def _check_labels(kind: str, subject: str, actor: str) -> None:
    if not _KIND.fullmatch(kind):
        raise ConfigError(f"{kind!r} is not a kind of event", hint="Write lowercase words joined by dots.")
    for what, text in (("subject", subject), ("actor", actor)):
        hidden = any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
        if hidden or len(text) > MAX_LABEL_CHARACTERS or (what == "actor" and not text):
            raise ConfigError(
                f"the {what} of an event is empty, longer than {MAX_LABEL_CHARACTERS} characters or not plain text",
                hint="Name who or what it is in a few words.",
            )


def _canonical_payload(kind: str, payload: JsonObject) -> tuple[str, JsonObject]:
    """The payload's canonical text and what it reads back as, so that nothing is recorded that cannot be read."""
    what = f"the payload of '{kind}'"
    try:
        data = canonical.encode(payload)
    except (TypeError, ValueError, RecursionError) as error:
        raise Malformed(f"{what} is not a canonical record ({error})") from error
    return data.decode("utf-8"), canonical.decode_object(data, what=what)


def _labels(event: Event) -> dict[str, int | str]:
    return {
        "sequence": event.sequence,
        "time": event.time,
        "actor": event.actor,
        "kind": event.kind,
        "subject": event.subject,
        "previous": event.previous,
        "digest": event.digest,
    }


def _project(connection: Connection, event: Event) -> None:
    project(connection, event.kind, event.payload, sequence=event.sequence, time=event.time)
