"""Inspects the artifacts of one revision in confined processes, and then the revision as a whole.

A session gathers what is said of each artifact; `finish` adds what only all of them together tell.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

from weighbridge.core.config import InspectionSettings
from weighbridge.core.finding import Inspection, Report
from weighbridge.core.ports import RangeReader
from weighbridge.inspectors.registry import RULES_VERSION
from weighbridge.inspectors.subject import Fact, Inspected
from weighbridge.sandbox.pool import Limits, Pool

MAX_WORKERS = 4


class Session:
    """One revision under inspection. `inspect` is thread-safe."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._found: dict[str, Inspected] = {}

    def inspect(self, reader: RangeReader) -> None:
        """Inspects one artifact; a second time replaces the first.

        Raises:
            SourceError, StoreError, Interrupted: the bytes could not be reached.
        """
        found = self._pool.inspect(reader)
        with self._lock:
            self._found[reader.path] = found

    def finish(self, sizes: Mapping[str, int]) -> Inspection:
        """Everything that was found; `sizes` are all files of the revision, also those that were not inspected."""
        reports: list[Report] = []
        facts: list[Fact] = []
        for path in sorted(self._found):
            reports += self._found[path].reports
            facts += self._found[path].facts
        return Inspection(tuple(reports), RULES_VERSION)


class Inspecting:
    """The processes that inspect, for as long as a command runs. A context manager."""

    def __init__(self, settings: InspectionSettings) -> None:
        limits = Limits(settings.seconds, settings.memory_bytes)
        self._closing = ExitStack()
        self._pool = self._closing.enter_context(Pool(limits, workers=min(MAX_WORKERS, os.cpu_count() or 1)))

    def start(self) -> None:
        """Starts the first process; best called before any thread is."""
        self._pool.start()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """The inspection of one revision."""
        yield Session(self._pool)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()
