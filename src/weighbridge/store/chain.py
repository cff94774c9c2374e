"""The chain: events as the database holds them, each proven to follow the one before it.

Nothing here writes. Whoever can write to the database may have put anything into it, so a row is looked at field by field
before it counts as an event, and only as many rows as fit in memory are fetched at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from weighbridge.core import canonical
from weighbridge.core.canonical import JsonObject
from weighbridge.core.errors import FormatError, LedgerError
from weighbridge.store.tables import EVENTS

GENESIS = "0" * 64
"""What the first event names as the digest before it."""

PAGE = 16
"""Events fetched at once: one event may hold ten thousand artifacts, some 3 MB."""

ALTERED_HINT = "The history was changed behind weighbridge's back. Restore the ledger from a backup and verify that."


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `digest` covers all other fields; `previous` is the digest of the event before."""

    sequence: int
    time: str
    actor: str
    kind: str
    subject: str
    payload: JsonObject
    previous: str
    digest: str

    def computed_digest(self, *, sequence: int | None = None) -> str:
        """The digest these fields have, or would have under another sequence."""
        return canonical.digest(
            {
                "actor": self.actor,
                "kind": self.kind,
                "payload": self.payload,
                "previous": self.previous,
                "sequence": self.sequence if sequence is None else sequence,
                "subject": self.subject,
                "time": self.time,
            }
        )


def last_event(connection: Connection) -> tuple[int, str]:
    """The last event's sequence and digest as they stand there; 0 and 64 zeros in an empty ledger."""
    row = connection.execute(
        select(EVENTS.c.sequence, EVENTS.c.digest).order_by(EVENTS.c.sequence.desc()).limit(1)
    ).first()
    return (0, GENESIS) if row is None else (int(row[0]), str(row[1]))


def fetch_rows(
    connection: Connection, *, after: int, size: int, subject: str = "", kinds: tuple[str, ...] = ()
) -> list[tuple[object, ...]]:
    """At most `size` rows above `after`, in order, of one subject or some kinds when given; see `read_event`."""
    query = select(*(EVENTS.c[name] for name in Event.__slots__)).where(EVENTS.c.sequence > after)
    if subject:
        query = query.where(EVENTS.c.subject == subject)
    if kinds:
        query = query.where(EVENTS.c.kind.in_(kinds))
    return [tuple(row) for row in connection.execute(query.order_by(EVENTS.c.sequence).limit(size))]


def read_event(row: Sequence[object]) -> Event:
    """The event a row holds; SQLite keeps whatever type somebody puts into a column, so each is looked at.

    Raises:
        LedgerError: the row does not hold an event.
    """
    sequence = row[0]
    if not isinstance(sequence, int):
        raise LedgerError(f"an event of the ledger is numbered {sequence!r}", hint=ALTERED_HINT)
    texts = [value for value in row[1:] if isinstance(value, str)]
    if len(texts) != len(row) - 1:
        raise _altered(sequence, "a field is not text")
    time, actor, kind, subject, stored, previous, digest = texts
    try:
        payload = canonical.decode_object(stored.encode("utf-8"), what="its payload")
        if canonical.encode(payload).decode("utf-8") != stored:
            raise _altered(sequence, "its payload is not canonical")
    except (FormatError, UnicodeEncodeError, RecursionError) as error:
        raise _altered(sequence, str(error)) from error
    return Event(sequence, time, actor, kind, subject, payload, previous, digest)


def walk(connection: Connection, *, after: int, previous: str) -> Iterator[Event]:
    """All events above `after`, each proven to follow the one before it.

    Raises:
        LedgerError: an event was altered, moved, replaced or inserted, or one is missing; says which.
    """
    expected = after
    while True:
        rows = fetch_rows(connection, after=expected, size=PAGE)
        for row in rows:
            event = read_event(row)
            expected += 1
            if event.sequence != expected:
                last = event.sequence - 1
                gone = f"event {expected} is" if last == expected else f"events {expected} to {last} are"
                raise LedgerError(f"{gone} missing from the ledger", hint=ALTERED_HINT)
            check_digest(event, connection)
            if event.previous != previous:
                raise LedgerError(
                    f"event {expected} of the ledger does not follow event {expected - 1}: one of them was replaced or "
                    "inserted",
                    hint=ALTERED_HINT,
                )
            previous = event.digest
            yield event
        if len(rows) < PAGE:
            return


def check_digest(event: Event, connection: Connection | None = None) -> None:
    """Returns when the event's digest fits its fields; `connection` lets it find out where a moved event was.

    Raises:
        LedgerError: it does not.
    """
    if event.computed_digest() == event.digest:
        return
    origin = _origin(connection, event) if connection is not None else 0
    if origin:
        raise LedgerError(
            f"the ledger was reordered: in place {event.sequence} stands what was recorded as event {origin}",
            hint=ALTERED_HINT,
        )
    raise _altered(event.sequence, "its digest does not fit its fields")


def _origin(connection: Connection, event: Event) -> int:
    """The sequence under which the event's digest holds, 0 when there is none: its neighbours in the chain tell."""
    candidates = {event.sequence - 1, event.sequence + 1}
    links = select(EVENTS.c.sequence).where((EVENTS.c.previous == event.digest) | (EVENTS.c.digest == event.previous))
    for (sequence,) in connection.execute(links.limit(8)):
        candidates.update((sequence - 1, sequence, sequence + 1))
    return next((one for one in sorted(candidates) if event.computed_digest(sequence=one) == event.digest), 0)


def _altered(sequence: int, reason: str) -> LedgerError:
    return LedgerError(f"event {sequence} of the ledger was altered: {reason}", hint=ALTERED_HINT)
