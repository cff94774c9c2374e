"""Shows a transfer while it runs: bars on a terminal, a line now and then in a log, JSON events in a pipe."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from weighbridge.cli.console import Output, duration, printable, size
from weighbridge.core.ports import Observer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_EVERY_SECONDS = 10.0
EVENT_EVERY_SECONDS = 1.0
BARS_AT_ONCE = 10


class Silent:
    """Watches and says nothing."""

    def planned(self, artifacts: int, total_bytes: int, done_bytes: int) -> None:
        """See `core.ports.Observer`."""

    def advanced(self, path: str, size_bytes: int, total_bytes: int) -> None:
        """See `core.ports.Observer`."""

    def retrying(self, path: str, reason: str, wait_seconds: float) -> None:
        """See `core.ports.Observer`."""

    def finished(self, path: str, how: str) -> None:
        """See `core.ports.Observer`."""


class OnlyRetries(Silent):
    """Passes on what is tried again, and nothing else."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def retrying(self, path: str, reason: str, wait_seconds: float) -> None:
        """Passes it on."""
        self._observer.retrying(path, reason, wait_seconds)


class Lines(Silent):
    """Counts bytes, and says at most one line in a while; as JSON, one event a second and one for each artifact."""

    def __init__(self, output: Output, verb: str) -> None:
        self._output = output
        self._verb = verb
        self._lock = threading.Lock()
        self._total = 0
        self._done = 0
        self._started = self._said = time.monotonic()

    def planned(self, artifacts: int, total_bytes: int, done_bytes: int) -> None:
        """Begins to count."""
        self._total, self._done = total_bytes, done_bytes
        if self._output.as_json:
            self._output.document({"event": "planned", "artifacts": artifacts, "total_bytes": total_bytes})
        else:
            self._output.say(f"{self._verb} {artifacts} files, {size(total_bytes)}")

    def advanced(self, path: str, size_bytes: int, total_bytes: int) -> None:
        """Counts, and speaks when it is time."""
        now = time.monotonic()
        with self._lock:
            self._done += size_bytes
            every = EVENT_EVERY_SECONDS if self._output.as_json else LINE_EVERY_SECONDS
            if now - self._said < every:
                return
            self._said = now
            done, rate = self._done, self._done / max(now - self._started, 0.001)
        if self._output.as_json:
            self._output.document(
                {"event": "progress", "done_bytes": done, "total_bytes": self._total, "bytes_per_second": int(rate)}
            )
        else:
            left = duration((self._total - done) / rate) if rate > 0 else "unknown"
            self._output.say(f"  {size(done)} of {size(self._total)}, {size(rate)}/s, {left} left")

    def retrying(self, path: str, reason: str, wait_seconds: float) -> None:
        """Says that a request is tried again."""
        if self._output.as_json:
            self._output.document(
                {"event": "retry", "path": path, "reason": reason, "wait_milliseconds": int(wait_seconds * 1000)}
            )
        else:
            self._output.say(f"  trying again in {wait_seconds:.1f} s: {reason}")

    def finished(self, path: str, how: str) -> None:
        """One event for each artifact, as JSON only."""
        if self._output.as_json:
            self._output.document({"event": "artifact", "path": path, "how": how})


class Bars(Silent):
    """One bar for all, and one for each artifact under way."""

    def __init__(self, progress: Progress, verb: str) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._whole = progress.add_task(verb, total=None)
        self._tasks: dict[str, TaskID] = {}

    def planned(self, artifacts: int, total_bytes: int, done_bytes: int) -> None:
        """Sets the whole bar's length."""
        self._progress.update(self._whole, total=total_bytes, completed=done_bytes)

    def advanced(self, path: str, size_bytes: int, total_bytes: int) -> None:
        """Moves the bars."""
        self._progress.update(self._whole, advance=size_bytes)
        with self._lock:
            task = self._tasks.get(path)
            if task is None and len(self._tasks) < BARS_AT_ONCE and total_bytes > 0:
                task = self._tasks[path] = self._progress.add_task(_short(path), total=total_bytes)
        if task is not None:
            self._progress.update(task, advance=size_bytes)

    def retrying(self, path: str, reason: str, wait_seconds: float) -> None:
        """Says so above the bars."""
        self._progress.console.print(f"trying again in {wait_seconds:.1f} s: {printable(reason)}", markup=False)

    def finished(self, path: str, how: str) -> None:
        """Takes the artifact's bar away."""
        with self._lock:
            task = self._tasks.pop(path, None)
        if task is not None:
            self._progress.remove_task(task)


def _short(path: str) -> str:
    text = printable(path)
    return text if len(text) <= 40 else f"…{text[-39:]}"


@contextmanager
def watching(output: Output, verb: str) -> Iterator[Observer]:
    """The observer that fits where the output goes."""
    if not output.rich_talk:
        yield Silent() if output.quiet and not output.as_json else Lines(output, verb)
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=output.console(talk=True), transient=True, refresh_per_second=5) as progress:
        yield Bars(progress, verb)
