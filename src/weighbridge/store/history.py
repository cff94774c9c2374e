"""Copies of the ledger outside of its database: JSON lines that end in a signed head, and their comparison with the ledger.

A ledger and its head can be put back together to an older state, and nothing local shows it. A copy elsewhere does: in a
file that somebody keeps, or in an object-locked prefix that nobody can shorten.

Format: one event per line, canonical JSON with all fields, in order and without gaps; the last line is `{"head": …}`, the
signed head of `store.head` for the last event above it. A copy may begin at any event; its first line's `previous` ties it
to what comes before. In a store, copies lie under `audit/<ledger>/<first>-<last>.jsonl` and never overlap.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonObject
from weighbridge.core.errors import Conflict, FormatError, LedgerError, Malformed, NothingCollected
from weighbridge.core.layout import AUDIT
from weighbridge.core.ports import ObjectStore, SignatureVerifier, Signer
from weighbridge.store.chain import GENESIS, Event
from weighbridge.store.head import Head
from weighbridge.store.ledger import Ledger

MAX_COPY_BYTES: Final = 32 * 1024 * 1024
"""A copy in a store ends with the event that takes it beyond this; one event is at most some 3 MB."""
_KEY = re.compile(r"audit/[0-9a-f]{16}/(\d{12})-(\d{12})\.jsonl")
_ALTERED: Final = "Compare it with other copies of the ledger, and find out who altered it."


@dataclass(frozen=True, slots=True)
class Compared:
    """What a copy was found to hold: its first and last event, and who signed its end."""

    name: str
    first: int
    last: int
    key_id: str


def encode_event(event: Event) -> bytes:
    """One line of a copy, without the line break."""
    return canonical.encode({name: getattr(event, name) for name in Event.__slots__})


def copy_lines(events: Iterable[Event], signer: Signer, clock: Callable[[], str]) -> Iterator[bytes]:
    """The lines of a copy, the signed head last.

    Raises:
        NothingCollected: there are no events.
    """
    last: Event | None = None
    for event in events:
        last = event
        yield encode_event(event)
    if last is None:
        raise NothingCollected("the ledger holds no event to export")
    yield _head_line(last, signer, clock)


def _head_line(last: Event, signer: Signer, clock: Callable[[], str]) -> bytes:
    head = Head(last.sequence, last.digest, clock()).signed_by(signer)
    return canonical.encode({"head": canonical.decode_object(head.encode(), what="the head")})


def compare(ledger: Ledger, lines: Iterable[bytes], verifier: SignatureVerifier, *, name: str) -> Compared:
    """Returns when a copy holds together, its end is signed by a trusted key, and the ledger holds the same events.

    `name` names the copy in errors. Takes memory for one event.

    Raises:
        LedgerError: the copy was altered or cut, or the ledger differs from it; says where.
        SignatureInvalid, Revoked: no trusted key signed its end.
    """
    previous: Event | None = None
    first = 0
    head: Head | None = None
    ours: Iterator[Event] = iter(())
    for line in lines:
        if head is not None:
            raise LedgerError(f"'{name}' goes on after its end", hint=_ALTERED)
        try:
            record = canonical.decode_object(line, what=f"a line of '{name}'")
            if canonical.encode(record) != line:
                raise Malformed("a line is not in canonical form")
            if "head" in record:
                head = _read_head(record)
                continue
            event = _read_event(record)
        except FormatError as error:
            raise LedgerError(f"'{name}' is no copy of a ledger: {error.message}", hint=_ALTERED) from error
        if previous is None:
            first = event.sequence
            ours = ledger.events(after=first - 1)
        _check_link(event, previous, name)
        _check_same(event, next(ours, None), name)
        previous = event
    if previous is None or head is None:
        raise LedgerError(f"'{name}' is empty or cut: its signed end is missing", hint=_ALTERED)
    if (head.sequence, head.digest) != (previous.sequence, previous.digest):
        raise LedgerError(f"'{name}' was cut: its end is signed for event {head.sequence}", hint=_ALTERED)
    head.check(verifier)
    return Compared(name, first, head.sequence, head.key_id)


def _read_head(record: JsonObject) -> Head:
    if set(record) != {"head"}:
        raise Malformed("its last line holds more than the head")
    inner = record["head"]
    if not isinstance(inner, dict):
        raise Malformed("its head is no record")
    return Head.decode(canonical.encode(inner))


def _read_event(record: JsonObject) -> Event:
    fields = Fields(record, what="the event")
    payload = record.get("payload")
    if not isinstance(payload, dict):
        raise Malformed("an event has no payload")
    fields.value("payload")
    texts = {name: fields.text(name) for name in ("time", "actor", "kind", "subject", "previous", "digest")}
    event = Event(sequence=fields.integer("sequence"), payload=payload, **texts)
    fields.done()
    return event


def _check_link(event: Event, previous: Event | None, name: str) -> None:
    if event.computed_digest() != event.digest:
        raise LedgerError(f"event {event.sequence} in '{name}' was altered", hint=_ALTERED)
    if previous is not None and (event.sequence, event.previous) != (previous.sequence + 1, previous.digest):
        raise LedgerError(
            f"event {event.sequence} in '{name}' does not follow event {previous.sequence}", hint=_ALTERED
        )
    if previous is None and (event.sequence < 1 or (event.sequence == 1) != (event.previous == GENESIS)):
        raise LedgerError(f"'{name}' begins with an event {event.sequence} that cannot be one", hint=_ALTERED)


def _check_same(event: Event, ours: Event | None, name: str) -> None:
    if ours is None:
        raise LedgerError(
            f"the ledger ends before event {event.sequence}, which '{name}' holds: an older state was put back",
            hint="Restore the ledger from a newer backup; the copy holds what is missing.",
        )
    if ours.digest != event.digest:
        raise LedgerError(
            f"event {event.sequence} of the ledger is not the one in '{name}': the history was replaced",
            hint="Whoever can write to the ledger rewrote it, or the copy is of another ledger.",
        )


def ship(ledger: Ledger, store: ObjectStore, signer: Signer, clock: Callable[[], str]) -> list[str]:
    """Copies what the store does not hold yet, and returns the keys of the new copies.

    Objects appear whole or not at all, and never in place of others; the store's own locks (retention, legal hold) apply.

    Raises:
        LedgerError: the store's copies have gaps. StoreError: it did not take one.
    """
    folder = _folder(ledger)
    shipped = _shipped(store, folder)
    keys: list[str] = []
    lines: list[bytes] = []
    size = 0
    first = 0
    last: Event | None = None

    def flush() -> None:
        nonlocal size
        assert last is not None
        key = f"{folder}{first:012d}-{last.sequence:012d}.jsonl"
        body = b"\n".join([*lines, _head_line(last, signer, clock), b""])
        try:
            store.put(key, body)
        except Conflict as error:
            raise Conflict(f"'{key}' in {store.address} was written by somebody else meanwhile") from error
        keys.append(key)
        lines.clear()
        size = 0

    for event in ledger.events(after=shipped[-1][1] if shipped else 0):
        if not lines:
            first = event.sequence
        lines.append(encode_event(event))
        size += len(lines[-1])
        last = event
        if size > MAX_COPY_BYTES:
            flush()
    if lines:
        flush()
    return keys


def check_shipped(
    ledger: Ledger, store: ObjectStore, verifier: SignatureVerifier, read: Callable[[str], bytes]
) -> list[Compared]:
    """Compares every copy that the store holds with the ledger; `read` fetches an object whole.

    Raises:
        NothingCollected: the store holds none. LedgerError, TrustError: see `compare`.
    """
    folder = _folder(ledger)
    shipped = _shipped(store, folder)
    if not shipped:
        raise NothingCollected(
            f"{store.address} holds no copy of this ledger", hint="weighbridge audit export --to STORE makes one."
        )
    keys = [f"{folder}{first:012d}-{last:012d}.jsonl" for first, last in shipped]
    return [compare(ledger, read(key).splitlines(), verifier, name=key) for key in keys]


def _folder(ledger: Ledger) -> str:
    identity = ledger.identity()
    if not identity:
        raise NothingCollected("the ledger holds no event to export")
    return f"{AUDIT}{identity[:16]}/"


def _shipped(store: ObjectStore, folder: str) -> list[tuple[int, int]]:
    """First and last events of the copies in a store, in order.

    Raises:
        LedgerError: they overlap or have gaps.
    """
    spans = [(int(found[1]), int(found[2])) for one in store.list(folder) if (found := _KEY.fullmatch(one.key))]
    spans.sort()
    expected = 1
    for first, last in spans:
        if first != expected or last < first:
            raise LedgerError(f"a copy of events {expected} and on is missing from {store.address}", hint=_ALTERED)
        expected = last + 1
    return spans
