"""Tells every sink what it is owed: in parallel, bounded, at least once, and not for ever.

Rules:

- sinks wait for nobody: each has a thread of its own. Within one call a notice is tried a few times with growing waits; once
  a notice could not be handed over, what else its sink is owed is left for the next call;
- what was taken is recorded in the ledger at once; what was not is owed still. A notice is given up, and said to be, when a try
  fails and the news are older than `keep_hours`; what is older than `STALE_HOURS` is not tried at all;
- before anything is handed over it is claimed in the ledger: of several homes on one ledger one tells, and another takes over
  where that one is gone. Only where a claim was lost on the way, or took too long, a notice goes out twice, under the same id;
- nothing that a sink does raises: it is said, and watching goes on. When `cancelled` is set, threads that still wait for a sink
  are left behind: what they may yet hand over is handed over again later, under the same id.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from weighbridge.core.canonical import JsonValue
from weighbridge.core.config import TransferSettings
from weighbridge.core.errors import Interrupted, WeighbridgeError
from weighbridge.core.names import ModelName
from weighbridge.store.ledger import Ledger, now_rfc3339
from weighbridge.vault.patience import Patience
from weighbridge.watch.news import Judgement, Kind, News
from weighbridge.watch.notices.owed import Owed, Owing, place_of
from weighbridge.watch.notices.sending import Notice, Sending
from weighbridge.watch.notices.sinks import Sink
from weighbridge.watch.state import hours_between
from weighbridge.wire.files import locked_file

PATIENCE: Final = TransferSettings(attempts=3, retry_wait_seconds=1.0, retry_wait_limit_seconds=10.0)
MAX_AT_ONCE: Final = 100
"""Notices to one sink in one call; the rest is owed still."""
STALE_HOURS: Final = 30 * 24
"""News that are older are handed to nobody: a sink that comes back after so long is not told what it missed."""
TELL_SECONDS: Final = 120.0
"""How long one call takes at most; who is slower is left behind."""
_TICK_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to one notice at one sink."""

    sink: str
    type: str
    place: str
    delivered: bool
    words: str
    model: str = ""
    given_up: bool = False

    def to_json(self) -> dict[str, JsonValue]:
        """As it is said to machines."""
        return {
            "sink": self.sink,
            "type": self.type,
            "place": self.place,
            "delivered": self.delivered,
            "given_up": self.given_up,
            "model": self.model,
            "words": self.words,
        }


@dataclass(slots=True)
class Told:
    """What one call came to."""

    outcomes: list[Outcome] = field(default_factory=list)
    owed: int = 0
    """Notices that are still to be handed over."""

    @property
    def delivered(self) -> int:
        """How many were handed over."""
        return sum(one.delivered for one in self.outcomes)


Item = TypeVar("Item", Owed, Notice)


@dataclass(frozen=True, slots=True)
class _Patient:
    """What ends waiting: everything ends, or whoever asked has left."""

    cancelled: threading.Event
    left: threading.Event


class Handing:
    """Hands notices to sinks, each in a thread of its own. Not thread-safe: one caller."""

    def __init__(self, sinks: Sequence[Sink], sending: Sending, *, patience: TransferSettings = PATIENCE) -> None:
        self.sinks = tuple(sinks)
        self._sending = sending
        self._patience = patience
        self._busy: dict[str, threading.Thread] = {}

    def test(self, cancelled: threading.Event, *, clock: Callable[[], str] = now_rfc3339) -> list[Outcome]:
        """Hands a test notice to every sink, whatever it wants; nothing is recorded."""
        now = clock()
        notice = Notice(f"test_{''.join(filter(str.isdigit, now))}", _test_news(now), test=True)
        found = self.run([(sink, [notice]) for sink in self.sinks], cancelled)
        by_name = {sink.name: _outcome(sink, notice.news, words, error) for sink, _, words, error in found}
        return [by_name.get(sink.name, _left_behind(sink)) for sink in self.sinks]

    def is_busy(self, sink: Sink) -> bool:
        """Whether a thread of an earlier call still waits for it."""
        return sink.name in self._busy and self._busy[sink.name].is_alive()

    def run(
        self, work: Sequence[tuple[Sink, Sequence[Item]]], cancelled: threading.Event
    ) -> Iterator[tuple[Sink, Item, str, WeighbridgeError | None]]:
        """What threads report, as it comes; ends when all have ended, nobody wants to wait, or it takes too long."""
        results: queue.SimpleQueue[tuple[Sink, Item, str, WeighbridgeError | None] | None] = queue.SimpleQueue()
        left = threading.Event()
        for sink, items in work:
            hand_over = partial(self._hand_over, sink, items, results.put, _Patient(cancelled, left))
            self._busy[sink.name] = threading.Thread(target=hand_over, name=f"notices-{sink.name}", daemon=True)
            self._busy[sink.name].start()
        running, deadline = len(work), time.monotonic() + TELL_SECONDS
        try:
            while running and not cancelled.is_set() and time.monotonic() < deadline:
                try:
                    one = results.get(timeout=_TICK_SECONDS)
                except queue.Empty:
                    continue
                if one is None:
                    running -= 1
                else:
                    yield one
        finally:
            left.set()

    def _hand_over(
        self,
        sink: Sink,
        items: Sequence[Item],
        report: Callable[[tuple[Sink, Item, str, WeighbridgeError | None] | None], None],
        waiting: _Patient,
    ) -> None:
        try:
            for item in items:
                if waiting.left.is_set():
                    return
                patience = Patience(self._patience, waiting.cancelled, lambda _reason, _seconds: None)
                notice = item.notice if isinstance(item, Owed) else item
                try:
                    words = patience.call(partial(self._sending.send, sink, notice))
                except Interrupted:
                    return
                except WeighbridgeError as error:
                    report((sink, item, "", error))
                    return
                report((sink, item, words, None))
        finally:
            report(None)


class Notifier:
    """Tells the sinks of one home what they are owed. Not thread-safe: one caller.

    `holder` claims for the home, whose processes tell one after another, by `lock`.
    """

    def __init__(
        self,
        ledger: Ledger,
        handing: Handing,
        *,
        actor: str,
        holder: str,
        lock: Path,
        keep_hours: int,
        clock: Callable[[], str] = now_rfc3339,
    ) -> None:
        self._handing = handing
        self._lock = lock
        self._owing = Owing(ledger, actor=actor, holder=holder)
        self._keep_hours = keep_hours
        self._clock = clock

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """Who is told."""
        return self._handing.sinks

    def exchange(self, sinks: Sequence[Sink]) -> None:
        """Others are told from here on. Raises as `begin`; they are exchanged all the same."""
        self._handing.sinks = tuple(sinks)
        # What was forgotten was settled for those before.
        self._owing.start_over()
        self.begin()

    def begin(self) -> None:
        """From here on the sinks are owed what is news; call it before a round.

        Raises:
            LedgerError, StoreError: the ledger cannot be read or written.
        """
        self._owing.meet(self.sinks)

    def tell(self, cancelled: threading.Event) -> Told:
        """Hands over what is owed.

        Raises:
            LedgerError, StoreError: the ledger cannot be read or written; what was handed over may be so once more.
        """
        with self._turn(cancelled) as mine:
            return self._tell(cancelled, mine=mine)

    def _tell(self, cancelled: threading.Event, *, mine: bool) -> Told:
        told = Told()
        self.begin()
        work = self._work_for()
        told.owed = sum(len(owed) for owed in work.values())
        wanted = {one.name: work[one.name][:MAX_AT_ONCE] for one in self.sinks if mine and self._is_ready(one, work)}
        claimed = self._owing.claim(wanted, self._clock())
        ready = [(sink, claimed[sink.name]) for sink in self.sinks if claimed.get(sink.name)]
        for sink, owed, words, error in self._handing.run(ready, cancelled):
            told.outcomes.append(self._settled(sink, owed, words, error))
        if not cancelled.is_set():
            heard = {one.sink for one in told.outcomes}
            # What another home is telling is no word on the sink.
            asked = {sink.name for sink, _ in ready} | {sink.name for sink in self.sinks if self._handing.is_busy(sink)}
            told.outcomes += [_left_behind(one) for one in self.sinks if one.name in asked - heard]
        told.owed -= sum(one.delivered or one.given_up for one in told.outcomes)
        self._owing.forget(self.sinks)
        return told

    @contextmanager
    def _turn(self, cancelled: threading.Event) -> Iterator[bool]:
        """Waits until no other process of the home tells; whether that came to be."""
        mine, deadline = False, time.monotonic() + TELL_SECONDS
        with ExitStack() as held:
            while not mine and not cancelled.is_set() and time.monotonic() < deadline:
                try:
                    held.enter_context(locked_file(self._lock, wait_seconds=_TICK_SECONDS))
                except TimeoutError:
                    continue
                except OSError:
                    # Without a lock, as on a full disk, it is told at least once, which is what is promised.
                    pass
                mine = True
            yield mine

    def _work_for(self) -> dict[str, list[Owed]]:
        """What each sink is owed and wants; what it does not want is settled."""
        work: dict[str, list[Owed]] = {sink.name: [] for sink in self.sinks}
        passed_over: dict[int, tuple[Owed, list[str]]] = {}
        for sink in self.sinks:
            for owed in self._owing.to(sink):
                if self._age(owed) > STALE_HOURS:
                    self._owing.drop(owed)
                elif sink.wanted.wants(owed.notice.news):
                    work[sink.name].append(owed)
                else:
                    passed_over.setdefault(owed.sequence, (owed, []))[1].append(sink.name)
        for owed, names in passed_over.values():
            self._owing.settle(owed, passed_over=names)
        return work

    def _is_ready(self, sink: Sink, work: Mapping[str, Sequence[Owed]]) -> bool:
        """Whether there is something for it, and no thread of an earlier call still waits for it."""
        return bool(work[sink.name]) and not self._handing.is_busy(sink)

    def _settled(self, sink: Sink, owed: Owed, words: str, error: WeighbridgeError | None) -> Outcome:
        if error is None:
            self._owing.settle(owed, delivered=[sink.name])
        elif self._age(owed) >= self._keep_hours:
            self._owing.settle(owed, given_up=[sink.name])
            return _outcome(sink, owed.notice.news, words, error, given_up=True)
        return _outcome(sink, owed.notice.news, words, error)

    def _age(self, owed: Owed) -> float:
        """In hours."""
        return hours_between(owed.time, self._clock())


def _outcome(sink: Sink, news: News, words: str, error: WeighbridgeError | None, *, given_up: bool = False) -> Outcome:
    said = words if error is None else error.diagnostics().replace("\n", ". ")
    return Outcome(sink.name, sink.type, place_of(sink), error is None, said, str(news.model_name), given_up)


def _left_behind(sink: Sink) -> Outcome:
    return Outcome(sink.name, sink.type, place_of(sink), delivered=False, words="it gave no answer in time")


def _test_news(now: str) -> News:
    return News(
        Kind.NEW_REVISION,
        ModelName("weighbridge", "test-notice"),
        now,
        "This is a test of the notices of weighbridge. Nothing happened.",
        Judgement.NOTED,
        details={"test": True},
    )
