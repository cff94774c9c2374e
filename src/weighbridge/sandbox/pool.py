"""Inspects artifacts in confined worker processes, and says so when one crashes, hangs or eats memory.

The parent reads for the worker: the worker asks for ranges, so it needs neither files nor network. Time counts only
while the worker thinks, not while its bytes are fetched. A worker that fails is thrown away with the artifact it was
working on, whose verdict is `unknown`. It may be told of several at once: it answers one by one, each has its own time,
and those after the one that it failed on go to another worker.

A worker has read hostile bytes and may be in their hands. So what it asks for is bounded (`READS_OF_SIZE` times the
artifact and `READ_BYTES`, a request counting for `REQUEST_BYTES` more than it asks for), nothing waits for it without
end, and it can speak only of the artifact that it was asked about.
"""

from __future__ import annotations

import gc
import json
import os
import queue
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field, replace
from typing import Final, NoReturn

from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.closing import Closing
from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import (
    FormatError,
    InspectError,
    InspectorCrashed,
    InspectorTimedOut,
    IntegrityError,
    WeighbridgeError,
)
from weighbridge.core.finding import Coverage, Report, Verdict
from weighbridge.core.ports import RangeReader
from weighbridge.inspectors.content.malware import Malware
from weighbridge.inspectors.content.session import LABEL, ContentSettings
from weighbridge.inspectors.content.spool import Spool
from weighbridge.inspectors.registry import CRASHED, TIMED_OUT
from weighbridge.inspectors.subject import Fact, Inspected
from weighbridge.sandbox import answers, worker
from weighbridge.sandbox.frames import MAX_FRAME_BYTES, Channel, FrameKind

NAME: Final = "sandbox"
HEAD_BYTES: Final = 96 * 1024
NO_CONTENT: Final = ContentSettings(secrets=False, malware=False)
READS_OF_SIZE: Final = 16
READ_BYTES: Final = 256 * 1024 * 1024
REQUEST_BYTES: Final = 256
ABSORBED_BYTES: Final = 2 * 1024 * 1024
"""How much text the workers may have set aside together for it to be searched at once."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one worker may use: seconds of thinking for one artifact, bytes of memory."""

    seconds: float = 120.0
    memory_bytes: int = 1024 * 1024 * 1024


@dataclass(slots=True)
class Spooled:
    """What one worker set aside for the engines: its files, and the facts that say where each part is from."""

    text: Spool | None
    raw: Spool | None
    facts: list[Fact] = field(default_factory=list)

    @property
    def spools(self) -> tuple[Spool, ...]:
        """Those that there are."""
        return tuple(spool for spool in (self.text, self.raw) if spool is not None)

    def learn(self, news: JsonValue) -> None:
        """Takes over what the worker spooled for one artifact."""
        fields = Fields(news, what="the spools' news")
        for name, spool in (("text", self.text), ("raw", self.raw)):
            if spool is not None:
                spool.learn(fields.value(name))

    def absorb(self, other: Spooled) -> bool:
        """Takes over what another worker has set aside, if it is little: an engine costs more to start than to search that.

        False where nothing was taken, since it is much, or of another sort.
        """
        if self.raw is not None or self.text is None or other.text is None:
            return False
        sizes = self.text.size_bytes + other.text.size_bytes
        if sizes > ABSORBED_BYTES or self.text.broken or other.text.broken:
            return False
        first = self.text.absorb(other.text)
        self.facts += [replace(fact, value=str(int(fact.value) + first)) for fact in other.facts]
        return True

    def knows(self, fact: Fact) -> bool:
        """Whether a fact names a label that there is."""
        number = int(fact.value) if fact.value.isascii() and fact.value.isdigit() and len(fact.value) < 10 else -1
        return any(0 <= number < len(spool.labels) for spool in self.spools)

    def cut(self) -> None:
        """Drops what a worker that is gone had written and not told of."""
        for spool in self.spools:
            os.ftruncate(spool.descriptor, spool.size_bytes)

    def clear(self) -> None:
        """Empties everything, for another session."""
        self.facts.clear()
        for spool in self.spools:
            spool.clear()

    def close(self) -> None:
        """Gives the files up."""
        for spool in self.spools:
            spool.close()


@dataclass(slots=True)
class _Worker:
    """One process; `stop` ends it at once."""

    channel: Channel
    stop: Callable[[], None]
    spooled: Spooled


class Pool(Closing):
    """Workers, started when they are first needed. Thread-safe but for `begin` and `collect`; a context manager.

    What belongs together for the engines (secrets, antivirus) is a session: one at a time.
    """

    def __init__(self, limits: Limits, *, workers: int, content: ContentSettings = NO_CONTENT) -> None:
        self._limits = limits
        self._content = content
        self._session = 1
        self._spooled: list[Spooled] = []
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        self._lock = threading.Lock()
        for _ in range(max(1, workers)):
            self._idle.put(None)

    def start(self, at_most: int | None = None) -> None:
        """Starts the workers now, while this process has one thread: a fork is far cheaper than a new interpreter.

        `at_most` is how many will be needed; any others are started when they are.
        """
        if not _may_fork():
            return
        if self._content.malware:
            # Compiled once, and shared by all workers that are forked.
            Malware.load(self._content.rule_folders)
        waiting = [self._idle.get() for _ in range(self._idle.qsize())]
        wanted = len(waiting) if at_most is None else at_most
        # Those that run are taken first: the last that was put is the first to be taken.
        for place, current in enumerate(waiting):
            self._idle.put(current or (self._start() if place >= len(waiting) - wanted else None))

    def begin(self) -> None:
        """Begins a session: what was set aside in the last one is forgotten."""
        self._session += 1
        for spooled in self._spooled:
            spooled.clear()

    def collect(self) -> list[Spooled]:
        """What the workers have set aside in this session, to be asked for once; valid until the next one begins."""
        collected: list[Spooled] = []
        for spooled in self._spooled:
            if any(spool.labels for spool in spooled.spools) and not any(one.absorb(spooled) for one in collected):
                collected.append(spooled)
        return collected

    def inspect(self, reader: RangeReader, *, content: bool = True) -> Inspected:
        """As `inspectors.registry.inspect_artifact`; a worker that fails gives an `unknown` report.

        Without `content`, malware and secrets are not looked for, and nothing is read for them.

        Raises:
            SourceError, StoreError, Interrupted: the bytes could not be reached.
        """
        (found,) = self.inspect_each([reader], content=content)
        return found

    def inspect_each(self, readers: Sequence[RangeReader], *, content: bool = True) -> list[Inspected]:
        """As `inspect` for several artifacts, best small ones: the worker is told of all at once and answers in order.

        Where it fails, only the artifact that it was working on is unknown; those after it go to another worker.

        Raises:
            SourceError, StoreError, Interrupted: the bytes of one could not be reached.
        """
        # Many threads fetch what every inspection begins with, while few workers think.
        waiting = [(reader, _head_of(reader)) for reader in readers]
        found: list[Inspected] = []
        while len(found) < len(waiting):
            self._inspect_some(waiting[len(found) :], self._session if content else 0, found)
        return found

    def _inspect_some(self, asked: Sequence[tuple[RangeReader, bytes]], session: int, found: list[Inspected]) -> None:
        """Adds what one worker answers until it fails, and that it failed."""
        current, before, answered = self._idle.get(), len(found), False
        try:
            current = current or self._start()
            for one in self._converse(current, asked, session):
                found.append(one)  # noqa: PERF402 - what came before it failed is kept
            answered = True
        except InspectError as error:
            found.append(_failed(asked[len(found) - before][0], error))
        finally:
            if current is not None and not answered:
                current.stop()
                current.spooled.cut()
                current = None
            self._idle.put(current)

    def _converse(
        self, current: _Worker, asked: Sequence[tuple[RangeReader, bytes]], session: int
    ) -> Iterator[Inspected]:
        """The answers about these artifacts, in order; whatever is raised is about the next one."""
        current.channel.send(FrameKind.INSPECT, *worker.question(asked, session), seconds=self._limits.seconds)
        for reader, _ in asked:
            yield self._answer(current, reader, session)

    def _answer(self, current: _Worker, reader: RangeReader, session: int) -> Inspected:
        channel, left = current.channel, self._limits.seconds
        failure: WeighbridgeError | None = None
        may_ask = READS_OF_SIZE * reader.size_bytes + READ_BYTES
        while True:
            began = time.monotonic()
            kind, payload = channel.receive(left)
            left -= time.monotonic() - began
            if kind is FrameKind.READ:
                offset, length = _range_of(payload, reader.size_bytes)
                may_ask -= length + REQUEST_BYTES
                if may_ask < 0:
                    raise InspectorCrashed("the inspecting process asks for more bytes than any inspection needs")
                failure = self._read_for(channel, reader, offset, length) or failure
            elif kind is FrameKind.STOPPED and failure is not None:
                raise failure
            elif kind is FrameKind.ANSWER:
                return decode(payload, current.spooled if session else None, path=reader.path)
            else:
                raise InspectorCrashed("the inspecting process talks nonsense")

    def _read_for(self, channel: Channel, reader: RangeReader, offset: int, length: int) -> WeighbridgeError | None:
        """Reads what the worker asks for; the error that it must not be told of, if there is one."""
        seconds = self._limits.seconds
        try:
            data = reader.read(offset, length) if length else b""
        except (FormatError, IntegrityError) as error:
            channel.send(FrameKind.BROKEN, error.message.encode("utf-8", "replace")[:2000], seconds=seconds)
            return None
        except WeighbridgeError as error:
            channel.send(FrameKind.GONE, b"", seconds=seconds)
            return error
        channel.send(FrameKind.BYTES, data, seconds=seconds)
        return None

    def _start(self) -> _Worker:
        with self._lock:
            content = self._content
            text, raw = (
                Spool.create(max_bytes=content.spool_bytes) if wanted else None
                for wanted in (content.secrets, bool(content.clamd))
            )
            spooled = Spooled(text, raw)
            descriptors = [spool.descriptor if spool is not None else 0 for spool in (text, raw)]
            station = worker.Station(self._limits.memory_bytes, content, *descriptors)
            self._spooled.append(spooled)
            return _fork(station, spooled) if _may_fork() else _spawn(station, spooled)

    def close(self) -> None:
        """Ends all idle workers and drops what they set aside."""
        for _ in range(self._idle.qsize()):
            current = self._idle.get()
            if current is not None:
                current.stop()
        for spooled in self._spooled:
            spooled.close()
        self._spooled.clear()


def _head_of(reader: RangeReader) -> bytes:
    """What the worker is given with the question; nothing when it cannot be had, so that the worker asks and is told."""
    try:
        return reader.read(0, min(HEAD_BYTES, reader.size_bytes))
    except (FormatError, IntegrityError):
        return b""


def _range_of(payload: bytes, size_bytes: int) -> tuple[int, int]:
    """The part of what a worker asks for that there is.

    Raises:
        InspectorCrashed: it asks for nothing that can be.
    """
    try:
        offset, length = worker.unpack_range(payload)
    except struct.error as error:
        raise InspectorCrashed("the inspecting process talks nonsense") from error
    if length > MAX_FRAME_BYTES:
        raise InspectorCrashed("the inspecting process asks for more at once than an answer can hold")
    return offset, max(0, min(length, size_bytes - offset))


def decode(payload: bytes, spooled: Spooled | None = None, *, path: str = "") -> Inspected:
    """What a worker answered of the artifact at `path`; what it says of its spools goes to `spooled`.

    Raises:
        InspectorCrashed: it is no answer.
    """
    try:
        answer = answers.parse(payload, path)
        if spooled is not None:
            spooled.learn(answer.spooled)
            spooled.facts += [fact for fact in answer.facts if fact.kind == LABEL and spooled.knows(fact)]
    except (LookupError, ValueError, TypeError, OverflowError, RecursionError, FormatError) as error:
        raise InspectorCrashed("the inspecting process talks nonsense") from error
    return Inspected(answer.reports, tuple(fact for fact in answer.facts if fact.kind != LABEL))


def _failed(reader: RangeReader, error: InspectError) -> Inspected:
    rule = TIMED_OUT if isinstance(error, InspectorTimedOut) else CRASHED
    finding = rule.finding(reader.path, f"the inspection of {reader.size_bytes} bytes did not end: {error.message}")
    return Inspected((Report(NAME, reader.path, Verdict.UNKNOWN, Coverage(0, reader.size_bytes), (finding,)),))


def _may_fork() -> bool:
    """A process with several threads must not: a lock that another thread holds would stay locked in the child."""
    return sys.platform == "linux" and threading.active_count() == 1


def _fork(station: worker.Station, spooled: Spooled) -> _Worker:
    """A copy of this process that forgets everything but two pipes."""
    questions, ask = os.pipe()
    listen, answers = os.pipe()
    child = os.fork()
    if child == 0:
        _become_worker(questions, answers, station)
    os.close(questions)
    os.close(answers)

    def stop() -> None:
        channel.close()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    channel = Channel(listen, ask, patient=False)
    return _Worker(channel, stop, spooled)


def _become_worker(incoming: int, outgoing: int, station: worker.Station) -> NoReturn:
    code = 1
    try:
        # What was there before the fork is no garbage; looking for it would copy every page.
        gc.freeze()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1) if os.environ.get("WEIGHBRIDGE_DEBUG") else (0, 1, 2):
            os.dup2(nothing, standard)
        kept = sorted(number for number in (incoming, outgoing, station.text, station.raw) if number > 2)
        for first, last in zip([2, *kept], [*kept, os.sysconf("SC_OPEN_MAX")], strict=True):
            os.closerange(first + 1, last)
        worker.run(incoming, outgoing, station)
        code = 0
    finally:
        os._exit(code)


def _spawn(station: worker.Station, spooled: Spooled) -> _Worker:
    """A new interpreter."""
    import subprocess

    questions, ask = os.pipe()
    listen, answers = os.pipe()
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG", "LC_ALL") if name in os.environ}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", worker.__name__, str(questions), str(answers), json.dumps(station.to_json())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None if os.environ.get("WEIGHBRIDGE_DEBUG") else subprocess.DEVNULL,
        pass_fds=(questions, answers, *(spool.descriptor for spool in spooled.spools)),
        env=kept,
        start_new_session=True,
    )
    os.close(questions)
    os.close(answers)

    def stop() -> None:
        channel.close()
        process.kill()
        process.wait()

    channel = Channel(listen, ask, patient=False)
    return _Worker(channel, stop, spooled)
