"""Inspects artifacts in confined worker processes, and says so when one crashes, hangs or eats memory.

The parent reads for the worker: the worker asks for ranges, so it needs neither files nor network. Time counts only
while the worker thinks, not while its bytes are fetched. A worker that fails is thrown away with the artifact it was
working on, whose verdict is `unknown`.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NoReturn, Self

from weighbridge.core.errors import (
    FormatError,
    InspectError,
    InspectorCrashed,
    InspectorTimedOut,
    IntegrityError,
    WeighbridgeError,
)
from weighbridge.core.finding import Coverage, Inspection, Report, Verdict
from weighbridge.core.ports import RangeReader
from weighbridge.inspectors.registry import CRASHED, TIMED_OUT
from weighbridge.inspectors.subject import Fact, Inspected
from weighbridge.sandbox import worker
from weighbridge.sandbox.frames import Channel, FrameKind

NAME: Final = "sandbox"
HEAD_BYTES: Final = 64 * 1024
MAX_FACTS_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one worker may use: seconds of thinking for one artifact, bytes of memory."""

    seconds: float = 120.0
    memory_bytes: int = 1024 * 1024 * 1024


@dataclass(slots=True)
class _Worker:
    """One process; `stop` ends it at once."""

    channel: Channel
    stop: Callable[[], None]


class Pool:
    """Workers, started when they are first needed. Thread-safe; a context manager."""

    def __init__(self, limits: Limits, *, workers: int) -> None:
        self._limits = limits
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        self._lock = threading.Lock()
        for _ in range(max(1, workers)):
            self._idle.put(None)

    def start(self) -> None:
        """Starts the workers now, while this process has one thread: a fork is far cheaper than a new interpreter."""
        if not _may_fork():
            return
        waiting = [self._idle.get() for _ in range(self._idle.qsize())]
        for current in waiting:
            self._idle.put(current or _fork(self._limits))

    def inspect(self, reader: RangeReader) -> Inspected:
        """As `inspectors.registry.inspect_artifact`; a worker that fails gives an `unknown` report.

        Raises:
            SourceError, StoreError, Interrupted: the bytes could not be reached.
        """
        worker_or_none = self._idle.get()
        current: _Worker | None = worker_or_none
        try:
            current = worker_or_none or self._start()
            return self._converse(current, reader)
        except InspectError as error:
            if current is not None:
                current.stop()
                current = None
            return _failed(reader, error)
        except BaseException:
            if current is not None:
                current.stop()
                current = None
            raise
        finally:
            self._idle.put(current)

    def _converse(self, current: _Worker, reader: RangeReader) -> Inspected:
        head = reader.read(0, min(HEAD_BYTES, reader.size_bytes))
        channel, left = current.channel, self._limits.seconds
        channel.send(FrameKind.INSPECT, *worker.question(reader.path, reader.size_bytes, head))
        failure: WeighbridgeError | None = None
        while True:
            began = time.monotonic()
            kind, payload = channel.receive(left)
            left -= time.monotonic() - began
            if kind is FrameKind.READ:
                failure = self._read_for(channel, reader, payload) or failure
            elif kind is FrameKind.STOPPED and failure is not None:
                raise failure
            elif kind is FrameKind.ANSWER:
                return decode(payload)
            else:
                raise InspectorCrashed("the inspecting process talks nonsense")

    def _read_for(self, channel: Channel, reader: RangeReader, payload: bytes) -> WeighbridgeError | None:
        """Reads what the worker asks for; the error that it must not be told of, if there is one."""
        try:
            data = reader.read(*worker.unpack_range(payload))
        except (FormatError, IntegrityError) as error:
            channel.send(FrameKind.BROKEN, error.message.encode("utf-8")[:2000])
            return None
        except WeighbridgeError as error:
            channel.send(FrameKind.GONE, b"")
            return error
        channel.send(FrameKind.BYTES, data)
        return None

    def _start(self) -> _Worker:
        with self._lock:
            return _fork(self._limits) if _may_fork() else _spawn(self._limits)

    def close(self) -> None:
        """Ends all idle workers."""
        while True:
            try:
                current = self._idle.get_nowait()
            except queue.Empty:
                return
            if current is not None:
                current.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def decode(payload: bytes) -> Inspected:
    """What a worker answered.

    Raises:
        InspectorCrashed: it is no answer.
    """
    try:
        (length,) = struct.unpack_from("<I", payload)
        inspection = Inspection.from_bytes(payload[4 : 4 + length])
        rest = payload[4 + length :]
        if len(rest) > MAX_FACTS_BYTES:
            raise InspectorCrashed("the inspecting process answers too much")
        facts = tuple(Fact(*(str(part) for part in fact)) for fact in json.loads(rest))
    except (struct.error, ValueError, TypeError, RecursionError, FormatError) as error:
        raise InspectorCrashed("the inspecting process talks nonsense") from error
    return Inspected(inspection.reports, facts)


def _failed(reader: RangeReader, error: InspectError) -> Inspected:
    rule = TIMED_OUT if isinstance(error, InspectorTimedOut) else CRASHED
    finding = rule.finding(reader.path, f"the inspection of {reader.size_bytes} bytes did not end: {error.message}")
    return Inspected((Report(NAME, reader.path, Verdict.UNKNOWN, Coverage(0, reader.size_bytes), (finding,)),))


def _may_fork() -> bool:
    """A process with several threads must not: a lock that another thread holds would stay locked in the child."""
    return sys.platform == "linux" and threading.active_count() == 1


def _fork(limits: Limits) -> _Worker:
    """A copy of this process that forgets everything but two pipes."""
    questions, ask = os.pipe()
    listen, answers = os.pipe()
    child = os.fork()
    if child == 0:
        _become_worker(questions, answers, limits)
    os.close(questions)
    os.close(answers)

    def stop() -> None:
        channel.close()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    channel = Channel(listen, ask)
    return _Worker(channel, stop)


def _become_worker(incoming: int, outgoing: int, limits: Limits) -> NoReturn:
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1) if os.environ.get("WEIGHBRIDGE_DEBUG") else (0, 1, 2):
            os.dup2(nothing, standard)
        low, high = sorted((incoming, outgoing))
        for first, last in ((3, low), (low + 1, high), (high + 1, os.sysconf("SC_OPEN_MAX"))):
            os.closerange(first, last)
        worker.run(incoming, outgoing, limits.memory_bytes)
        code = 0
    finally:
        os._exit(code)


def _spawn(limits: Limits) -> _Worker:
    """A new interpreter."""
    questions, ask = os.pipe()
    listen, answers = os.pipe()
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG", "LC_ALL") if name in os.environ}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", worker.__name__, str(questions), str(answers), str(limits.memory_bytes)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None if os.environ.get("WEIGHBRIDGE_DEBUG") else subprocess.DEVNULL,
        pass_fds=(questions, answers),
        env=kept,
        start_new_session=True,
    )
    os.close(questions)
    os.close(answers)

    def stop() -> None:
        channel.close()
        process.kill()
        process.wait()

    channel = Channel(listen, ask)
    return _Worker(channel, stop)
