"""What is owed to whom, as the ledger tells it: news that a sink has neither been told nor been spared.

Events:

- `notice.sink`, subject the sink's name: `type`, `place` (no secret). The first time a sink is seen, and when it lies elsewhere.
  It is owed the news that come after the first of them, never the history before it;
- `notice.claimed`, subject `notices`: `holder` (who tells), `sinks` (by the sink's name, numbers of the news that are handed to it
  now). For `LEASE_SECONDS` nobody else on the ledger hands those over, so that of several homes one does; of two claims of the
  same the first in the ledger counts. A holder that is gone is waited for no longer than that;
- `notice.settled`, subject the model's name: `news` (the number of the event `upstream.news`), `id` (of the notice), and lists
  of sinks: `delivered`, `passed_over` (they did not want it), `given_up`. Several may settle the same news, for several sinks.

So nothing of it lies in files of its own: a kill between sending and recording sends once more, under the same id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.errors import ConfigError, Malformed
from weighbridge.store.ledger import Event, Ledger
from weighbridge.watch.news import News
from weighbridge.watch.notices.sending import Notice
from weighbridge.watch.notices.sinks import Sink
from weighbridge.watch.state import NEWS, hours_between

SINK: Final = "notice.sink"
CLAIMED: Final = "notice.claimed"
SETTLED: Final = "notice.settled"
_KINDS: Final = (NEWS, SINK, CLAIMED, SETTLED)
LEASE_SECONDS: Final = 300.0
"""Longer than one call of telling takes."""
RENEW_SECONDS: Final = 150.0
"""After which a claim of one's own is too old to begin with."""


@dataclass(frozen=True, slots=True)
class Owed:
    """News that a sink is owed: the event they are in, when that was, and how they go out."""

    sequence: int
    time: str
    notice: Notice


@dataclass(slots=True)
class _Open:
    owed: Owed | None
    """None: the event cannot be read by this version, and is nobody's."""
    settled: set[str] = field(default_factory=set)
    claims: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Holder and time by sink."""


class Owing:
    """Follows a ledger: each call reads what came since the one before. Not thread-safe.

    `holder` is who claims here: the same for all who tell one after another, as the processes of a home do.
    """

    def __init__(self, ledger: Ledger, *, actor: str, holder: str) -> None:
        self._ledger = ledger
        self._actor = actor
        self._holder = holder
        self.start_over()

    def start_over(self) -> None:
        """Reads the ledger from its beginning at the next call, as for other sinks than those of which something was forgotten."""
        self._after = 0
        self._since: dict[str, int] = {}
        self._places: dict[str, tuple[str, str]] = {}
        self._open: dict[int, _Open] = {}

    def meet(self, sinks: Sequence[Sink]) -> None:
        """Records sinks that the ledger has not seen, or not there; from here on they are owed news.

        Raises:
            LedgerError, StoreError: the ledger cannot be read or written.
        """
        self._follow()
        for sink in sinks:
            place, known = (sink.type, place_of(sink)), self._places.get(sink.name)
            if known is None or (place[1] and place != known):
                payload = {"type": place[0], "place": place[1]}
                self._met(self._ledger.append(SINK, sink.name, payload, actor=self._actor))

    def to(self, sink: Sink) -> Iterator[Owed]:
        """What a sink is owed, the oldest first; what it does not want as well.

        Raises:
            LedgerError, StoreError: the ledger cannot be read.
        """
        self._follow()
        since = self._since.get(sink.name)
        if since is None:
            return
        for sequence, one in list(self._open.items()):
            if one.owed is not None and sequence > since and sink.name not in one.settled:
                yield one.owed

    def claim(self, wanted: Mapping[str, Sequence[Owed]], now: str) -> dict[str, list[Owed]]:
        """Of what sinks are to be told, by their names, what this holder tells now; the rest somebody else is telling.

        Raises:
            LedgerError, StoreError: the ledger cannot be read or written.
        """
        self._follow()
        anew: dict[str, JsonValue] = {}
        for name, owed in wanted.items():
            free: list[JsonValue] = [one.sequence for one in owed if self._is_free(one, name, now)]
            if free:
                anew[name] = free
        if anew:
            self._ledger.append(CLAIMED, "notices", {"holder": self._holder, "sinks": anew}, actor=self._actor)
            self._follow()
        return {name: [one for one in owed if self._is_ours(one, name)] for name, owed in wanted.items()}

    def _is_free(self, owed: Owed, sink: str, now: str) -> bool:
        """Whether a claim is to be made: nobody's is in force, or one's own is old."""
        holder, time = self._claim(owed, sink)
        age = abs(hours_between(time, now)) * 3_600 if time else LEASE_SECONDS
        return age >= (RENEW_SECONDS if holder == self._holder else LEASE_SECONDS)

    def _is_ours(self, owed: Owed, sink: str) -> bool:
        one = self._open.get(owed.sequence)
        return one is not None and sink not in one.settled and self._claim(owed, sink)[0] == self._holder

    def _claim(self, owed: Owed, sink: str) -> tuple[str, str]:
        one = self._open.get(owed.sequence)
        return one.claims.get(sink, ("", "")) if one is not None else ("", "")

    def settle(self, owed: Owed, **sinks: list[str]) -> None:
        """Records what became of news: `delivered`, `passed_over`, `given_up`, each a list of sinks.

        Raises:
            LedgerError, StoreError: it was not recorded.
        """
        payload: dict[str, JsonValue] = {
            "news": owed.sequence,
            "id": owed.notice.id,
            **{how: sorted(sinks.get(how, [])) for how in ("delivered", "passed_over", "given_up")},
        }
        self._ledger.append(SETTLED, str(owed.notice.news.model_name), payload, actor=self._actor)
        self._open[owed.sequence].settled.update(name for names in sinks.values() for name in names)

    def drop(self, owed: Owed) -> None:
        """Lets news be nobody's any more; nothing is recorded."""
        self._open.pop(owed.sequence, None)

    def forget(self, sinks: Sequence[Sink]) -> None:
        """Drops from memory what is settled for all of these sinks."""
        names = {sink.name: self._since.get(sink.name, 0) for sink in sinks}
        for sequence, one in list(self._open.items()):
            if all(name in one.settled for name, since in names.items() if sequence > since):
                del self._open[sequence]

    def _follow(self) -> None:
        for event in self._ledger.events(after=self._after, kinds=_KINDS):
            self._after = event.sequence
            if event.kind == NEWS:
                self._open[event.sequence] = _Open(_owed(event))
            elif event.kind == SINK:
                self._met(event)
            elif event.kind == CLAIMED:
                self._read_claimed(event)
            else:
                self._read_settled(event)

    def _met(self, event: Event) -> None:
        self._since.setdefault(event.subject, event.sequence)
        self._places[event.subject] = (str(event.payload.get("type")), str(event.payload.get("place")))

    def _read_claimed(self, event: Event) -> None:
        """Takes a claim where no other is in force. Times are the ledger's; one that is far off is in force for nobody."""
        holder, sinks = event.payload.get("holder"), event.payload.get("sinks")
        if not isinstance(holder, str) or not isinstance(sinks, dict):
            return
        for name, sequences in sinks.items():
            for sequence in sequences if isinstance(sequences, list) else ():
                one = self._open.get(sequence) if isinstance(sequence, int) else None
                if one is None:
                    continue
                other, time = one.claims.get(name, ("", ""))
                if other in ("", holder) or abs(hours_between(time, event.time)) * 3_600 >= LEASE_SECONDS:
                    one.claims[name] = (holder, event.time)

    def _read_settled(self, event: Event) -> None:
        try:
            fields = Fields(event.payload, what=f"event {event.sequence}")
            one = self._open.get(fields.integer("news"))
            names = [name for how in ("delivered", "passed_over", "given_up") for name in fields.texts(how)]
        except Malformed:
            return
        if one is not None:
            one.settled.update(names)


def place_of(sink: Sink) -> str:
    """What may be shown of where a sink is; "" while the file that says it cannot be read."""
    try:
        return sink.place()
    except ConfigError:
        return ""


def _owed(event: Event) -> Owed | None:
    try:
        news = News.from_json(event.payload)
    except Malformed:
        return None
    return Owed(event.sequence, event.time, Notice(f"news_{event.digest[:40]}", news))
