"""Watches without end: rounds at an interval, looks when the Hub calls, notices in between, and an orderly end.

Rules:

- the interval has jitter; it doubles, up to `MAX_SLOWER` times, while upstream gives no answer about any model, or rounds fail;
- no error of a round ends the daemon. After one that nobody foresaw every model is looked at in a round of its own, so that the
  one which brings it about keeps no other from being looked at;
- rounds run in a thread, and this loop looks at the clock, the signals and the calls meanwhile. Once `cancelled` is set, a round
  has `GRACE_SECONDS` to end at its next safe place; after that it is left as a kill would leave it, which costs nothing that
  was recorded;
- who is told is read again when its file changes. A file that cannot be used leaves those who were told before: it is said once,
  and the daemon is `degraded`, which is still well: to end it for that would tell nobody at all;
- the health file is written anew at least every `BEAT_SECONDS` and says until when it is good.
"""

from __future__ import annotations

import os
import queue
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.counted import plural
from weighbridge.core.errors import Busy, Conflict, FormatError, Interrupted, NothingCollected, WeighbridgeError
from weighbridge.core.names import ModelName
from weighbridge.store.ledger import now_rfc3339
from weighbridge.watch.news import News
from weighbridge.watch.notices.followed import FollowedSinks
from weighbridge.watch.notify import Notifier, Outcome
from weighbridge.watch.pokes import Pokes
from weighbridge.wire.files import locked_file, replace_file

HEALTH_FORMAT: Final = "weighbridge.watch-health/1"
JITTER: Final = 0.1
"""Of an interval, either way."""
MAX_SLOWER: Final = 8
GRACE_SECONDS: Final = 2.0
BEAT_SECONDS: Final = 30.0
GOOD_SECONDS: Final = 300
"""How long a health file is good: longer than notices may take."""
MAX_ROUND_SECONDS: Final = 6 * 3_600.0
"""A round that takes longer is stuck."""
RETRY_NOTICES_SECONDS: Final = 60.0
BUSY_SECONDS: Final = 15.0
"""How soon a round is tried again that another process was in the middle of."""
GLANCE_SECONDS: Final = 2.0
"""How often it is seen what is watched: a webhook about a model that was just added is heard."""
LOCK_SECONDS: Final = 0.5
_TICK_SECONDS: Final = 0.2


class Rounds(Protocol):
    """What the daemon does again and again."""

    def watched(self) -> frozenset[ModelName]:
        """What is watched now."""

    def failing(self) -> int:
        """About how many of them upstream gave no answer."""

    def look(self, model_names: Sequence[ModelName], cancelled: threading.Event) -> Iterator[News]:
        """A round; see `watch.rounds.run_round`."""


class Journal(Protocol):
    """Where the daemon says what it does."""

    def event(self, name: str, words: str, record: Mapping[str, JsonValue]) -> None:
        """One line, in words or as JSON."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How the daemon goes about it."""

    interval_seconds: float = 900.0
    health_file: Path | None = None


@dataclass(frozen=True, slots=True)
class State:
    """How the daemon is, in times and counts."""

    started_at: str
    models: int = 0
    failing: int = 0
    rounds: int = 0
    failed_rounds: int = 0
    """Since the last one that did not fail."""
    news: int = 0
    owed: int = 0
    """Notices that wait for their sinks."""
    last_round_at: str = ""
    next_round_at: str = ""
    round_since: str = ""
    """When the present round began; "" between rounds."""
    sinks: int = 0
    """How many are told."""
    degraded: str = ""
    """What cannot be used as it is now, so that what was before counts: `sinks`; "" for nothing."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """A round's end; `error` is what ended it, and None of it when it was done."""

    error: BaseException | None = None


@dataclass(slots=True)
class Daemon:
    """One daemon over one home. `run` returns when `cancelled` is set."""

    rounds: Rounds
    notifier: Notifier | None
    pokes: Pokes
    journal: Journal
    cancelled: threading.Event
    terms: Terms = Terms()
    state: State = field(default_factory=lambda: State(now_rfc3339()))
    watched: frozenset[ModelName] = frozenset()
    """What was watched a moment ago; for the server's thread."""
    sinks: FollowedSinks | None = None
    """Whom the notifier tells; None where that stays as it is."""
    _round_since: float = 0.0
    """When the present round began; 0 between rounds."""
    _next_round: float = 0.0
    _next_notices: float = 0.0
    _next_beat: float = 0.0
    _next_glance: float = 0.0
    _bad: int = 0
    """Rounds in a row that failed, or in which upstream gave no answer at all."""
    _unheard: int = 0
    """Calls in a row that left notices owed."""
    _left: bool = False

    def run(self) -> bool:
        """Goes on until it is cancelled; whether its last round ended, or was left.

        Raises:
            LedgerError, StoreError: what is watched cannot be read, when it starts.
        """
        self.watched = self.rounds.watched()
        if self.notifier is not None:
            self.notifier.begin()
            self.state = replace(self.state, sinks=len(self.notifier.sinks))
        self._beat(force=True)
        while not self.cancelled.is_set():
            now = time.monotonic()
            poked = self.pokes.take()
            if now >= self._next_round:
                self._round(())
            elif poked:
                self._round(poked)
            elif now >= self._next_notices:
                self._tell()
            self._beat()
            self.cancelled.wait(_TICK_SECONDS)
        self._beat(force=True)
        return not self._left

    # --- rounds

    def _round(self, model_names: Sequence[ModelName]) -> None:
        """All that is watched, or some of it; then the notices."""
        self._round_since = time.monotonic()
        self.state = replace(self.state, round_since=now_rfc3339())
        self._beat(force=True)
        error = self._one_round(model_names)
        if error is not None and not isinstance(error, WeighbridgeError) and len(model_names) != 1:
            self._each_alone(model_names or sorted(self.watched))
        done = error is None or isinstance(error, Interrupted)
        self.state = replace(
            self.state,
            round_since="",
            last_round_at=now_rfc3339(),
            rounds=self.state.rounds + 1,
            failed_rounds=0 if done else self.state.failed_rounds + 1,
        )
        if not model_names:
            self._plan(error)
        self._round_since = 0.0
        if not self.cancelled.is_set():
            self._tell()
        self._beat(force=True)

    def _each_alone(self, model_names: Sequence[ModelName]) -> None:
        for model_name in model_names:
            if self.cancelled.is_set():
                return
            self._one_round([model_name])

    def _one_round(self, model_names: Sequence[ModelName]) -> BaseException | None:
        """One round, to its end; what ended it before."""
        begun, found = time.monotonic(), 0
        asked = set(model_names) or set(self.watched)
        self.pokes.looked(asked)
        lines: queue.SimpleQueue[News | _Ended] = queue.SimpleQueue()
        worker = threading.Thread(target=self._work, args=(model_names, lines), name="round", daemon=True)
        worker.start()
        error: BaseException | None = None
        for one in self._lines(lines):
            if isinstance(one, _Ended):
                error = one.error
                break
            found += 1
            self._say_news(one)
        if not self._left:
            # It has said its last word, and may still be showing what nobody foresaw.
            worker.join(GRACE_SECONDS)
        seconds = time.monotonic() - begun
        self.state = replace(self.state, news=self.state.news + found)
        self._say_round(asked, found, seconds, error)
        return error

    def _work(self, model_names: Sequence[ModelName], lines: queue.SimpleQueue[News | _Ended]) -> None:
        error: BaseException | None = None
        try:
            for news in self.rounds.look(model_names, self.cancelled):
                lines.put(news)
        except WeighbridgeError as caught:
            error = caught
        finally:
            # What nobody foresaw goes on to the thread's own end, which shows it whole; here it is only told of.
            lines.put(_Ended(error or sys.exc_info()[1]))

    def _lines(self, lines: queue.SimpleQueue[News | _Ended]) -> Iterator[News | _Ended]:
        """What a round says; once it is to end, it has a moment for that."""
        deadline = float("inf")
        while time.monotonic() < deadline:
            with suppress(queue.Empty):
                yield lines.get(timeout=_TICK_SECONDS)
            if self.cancelled.is_set() and deadline == float("inf"):
                deadline = time.monotonic() + GRACE_SECONDS
            self._beat()
        self._left = True
        yield _Ended(Interrupted("the round was left"))

    def _plan(self, error: BaseException | None) -> None:
        """When the next round is."""
        with suppress(WeighbridgeError):
            self.watched = self.rounds.watched()
            self.state = replace(self.state, models=len(self.watched), failing=self.rounds.failing())
        state, interval = self.state, self.terms.interval_seconds
        if isinstance(error, Conflict | Busy):
            wait = min(BUSY_SECONDS, interval)
        else:
            bad = state.failed_rounds > 0 or 0 < state.models <= state.failing
            self._bad = self._bad + 1 if bad else 0
            wait = interval * min(MAX_SLOWER, 2 ** min(self._bad, 10))
        wait *= random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 (jitter is no secret)
        self._next_round = time.monotonic() + wait
        self.state = replace(self.state, next_round_at=_in(wait))

    # --- notices

    def _tell(self) -> None:
        """Hands over what is owed; what nobody took is tried again, ever later."""
        self._next_notices = float("inf")
        if self.notifier is None:
            return
        try:
            told = self.notifier.tell(self.cancelled)
        except WeighbridgeError as error:
            self._say_trouble("notices", error)
            self._next_notices = time.monotonic() + RETRY_NOTICES_SECONDS
            return
        for one in told.outcomes:
            self._say_outcome(one)
        self.state = replace(self.state, owed=told.owed)
        self._unheard = self._unheard + 1 if told.owed else 0
        if told.owed:
            wait = min(RETRY_NOTICES_SECONDS * 2.0 ** min(self._unheard - 1, 10), self.terms.interval_seconds)
            self._next_notices = time.monotonic() + wait

    def _follow_sinks(self) -> None:
        """Takes over what the file of sinks says now; says once what is wrong with it."""
        if self.notifier is None or self.sinks is None or not self.sinks.refresh():
            return
        if self.sinks.trouble is not None:
            self.state = replace(self.state, degraded="sinks")
            self._say_trouble("sinks", self.sinks.trouble)
        else:
            told = len(self.sinks.sinks)
            self.state = replace(self.state, degraded="", sinks=told)
            # It is done again before anything is told: what the ledger cannot take now is no reason to stop.
            with suppress(WeighbridgeError):
                self.notifier.exchange(self.sinks.sinks)
            self.journal.event("sinks", f"who is told was read again: {plural(told, 'sink')}", {"sinks": told})
            self._next_notices = time.monotonic()
        self._beat(force=True)

    # --- words

    def _say_news(self, news: News) -> None:
        risk = f", risk {news.risk.label}" if news.risk else ""
        words = f"{news.model_name}: {news.kind.value}, {news.judgement.value}{risk}: {news.summary}"
        self.journal.event("news", words, {"news": news.to_json()})

    def _say_round(self, asked: set[ModelName], found: int, seconds: float, error: BaseException | None) -> None:
        record: dict[str, JsonValue] = {"models": len(asked), "news": found, "milliseconds": int(seconds * 1_000)}
        if error is None:
            what = str(next(iter(asked))) if len(asked) == 1 else f"{len(asked)} models"
            self.journal.event("round", f"looked at {what} in {seconds:.1f} s: {found} news", record)
        elif isinstance(error, Interrupted):
            self.journal.event("round", "the round was stopped", {**record, "stopped": True})
        elif isinstance(error, NothingCollected):
            self.journal.event("round", f"nothing to look at: {error.message}", record)
        else:
            self._say_trouble("round", error)

    def _say_trouble(self, what: str, error: BaseException) -> None:
        if isinstance(error, WeighbridgeError):
            message, hint = error.message, error.hint
        else:
            message, hint = f"weighbridge itself made a mistake ({type(error).__name__})", ""
        words = f"{what} failed: {message}{f' ({hint})' if hint else ''}"
        self.journal.event("trouble", words, {"what": what, "error": type(error).__name__, "message": message})

    def _say_outcome(self, one: Outcome) -> None:
        how = "told" if one.delivered else "gave up telling" if one.given_up else "could not yet tell"
        of = f" of {one.model}" if one.model else ""
        words = f"{how} '{one.sink}' ({one.type}, {one.place or 'nowhere'}){of}: {one.words}"
        self.journal.event("notice", words, one.to_json())

    # --- health

    def health(self) -> tuple[bool, dict[str, JsonValue]]:
        """Whether the daemon does what it should, and how it is. Safe from any thread."""
        state = self.state
        # By a clock that nobody sets: a step of the other one makes no round late, and none in time.
        now, since = time.monotonic(), self._round_since
        late = now - since > MAX_ROUND_SECONDS if since else 0.0 < self._next_round < now - GOOD_SECONDS
        record: dict[str, JsonValue] = {
            "format": HEALTH_FORMAT,
            "status": self._status(late=late),
            "written_at": now_rfc3339(),
            "good_until": _in(GOOD_SECONDS),
            "process": os.getpid(),
            **{name: getattr(state, name) for name in State.__slots__},
        }
        return not late and not self.cancelled.is_set(), record

    def _status(self, *, late: bool) -> str:
        if self.cancelled.is_set():
            return "stopping"
        return "late" if late else "degraded" if self.state.degraded else "ok"

    def _beat(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if now >= self._next_glance:
            self._next_glance = now + GLANCE_SECONDS
            self._follow_sinks()
            with suppress(WeighbridgeError):
                self.watched = self.rounds.watched()
                self.state = replace(self.state, models=len(self.watched))
        if not force and now < self._next_beat:
            return
        self._next_beat = now + BEAT_SECONDS
        if self.terms.health_file is not None:
            _, record = self.health()
            # That it cannot be written is seen by whoever reads it.
            with suppress(OSError):
                replace_file(self.terms.health_file, canonical.encode(record) + b"\n", flush=False)


def read_health(file: Path, *, now: Callable[[], str] = now_rfc3339) -> tuple[bool, str]:
    """Whether a daemon's health file is good and says so, and why not."""
    try:
        with file.open("rb") as stream:
            data = stream.read(64 * 1024)
        fields = Fields(canonical.decode_object(data, what="the health file"), what="the health file")
        status, good_until = fields.text("status"), fields.text("good_until")
    except FileNotFoundError:
        return False, "no daemon has run in this home"
    except OSError as error:
        return False, f"the health file cannot be read: {error.strerror}"
    except FormatError as error:
        return False, error.message
    if not timedelta(0) <= _moment(good_until) - _moment(now()) <= timedelta(seconds=2 * GOOD_SECONDS):
        return False, f"the daemon is gone, or stuck: it was last well at {fields.text('written_at', '')}"
    degraded = fields.text("degraded", "") if status == "degraded" else ""
    more = (
        f": what its {degraded} say cannot be used, and what they said before counts; its log says why"
        if degraded
        else ""
    )
    return status in ("ok", "degraded"), f"the daemon is {status}{more}"


def _in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="seconds").replace("+00:00", "Z")


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)


@contextmanager
def only_one(file: Path) -> Iterator[None]:
    """Holds a home's place for one daemon, for as long as the block lasts.

    Raises:
        Busy: another daemon has it.
    """
    held = locked_file(file, wait_seconds=LOCK_SECONDS)
    try:
        held.__enter__()
    except TimeoutError:
        raise Busy(
            "a watch daemon runs in this home already", hint="`weighbridge watch health` says how it is."
        ) from None
    try:
        yield
    finally:
        held.__exit__(None, None, None)
