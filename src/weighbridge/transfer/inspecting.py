"""Inspects the artifacts of one revision in confined processes, and then the revision as a whole.

A session gathers what is said of each artifact; `finish` adds what only all of them together tell: how the files fit each
other, and what the engines (secrets, antivirus) find in everything that was set aside for them.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from weighbridge.core.closing import Closing
from weighbridge.core.config import InspectionSettings
from weighbridge.core.finding import Coverage, Finding, Inspection, Report, Verdict
from weighbridge.core.ports import RangeReader
from weighbridge.inspectors.content.session import ContentSettings, begin, finish
from weighbridge.inspectors.registry import RULES_VERSION, preload
from weighbridge.inspectors.repository.inspector import RepositoryFile, inspect_repository
from weighbridge.inspectors.subject import Fact, Inspected
from weighbridge.sandbox.pool import Limits, Pool, Spooled

if TYPE_CHECKING:
    from weighbridge.inspectors.content.secrets_engine import Waiting

MAX_WORKERS: Final = 4
ABOUT_THE_ENGINE: Final = frozenset(("secrets-engine-missing", "secrets-engine-failed", "malware-engine-missing"))
"""Rules that are broken for every artifact alike; said once, of the whole."""


class Session:
    """One revision under inspection. `inspect` is thread-safe."""

    def __init__(self, pool: Pool, settings: ContentSettings, *, content: bool, waiting: Waiting | None = None) -> None:
        self._pool = pool
        self._waiting = waiting
        self._settings = settings
        self._content = content
        self._lock = threading.Lock()
        self._found: dict[str, Inspected] = {}

    def inspect(self, reader: RangeReader) -> None:
        """Inspects one artifact; a second time replaces the first.

        Raises:
            SourceError, StoreError, Interrupted: the bytes could not be reached.
        """
        self.inspect_each([reader])

    def inspect_each(self, readers: Sequence[RangeReader]) -> None:
        """As `inspect`, for several artifacts that are small: cheaper than one by one.

        Raises:
            SourceError, StoreError, Interrupted: the bytes of one could not be reached.
        """
        found = self._pool.inspect_each(readers, content=self._content)
        with self._lock:
            for reader, one in zip(readers, found, strict=True):
                self._found[reader.path] = one

    def finish(self, sizes: Mapping[str, int], *, alone: bool = False) -> Inspection:
        """Everything that was found; `sizes` are all files of the revision, also those that were not inspected.

        `alone`: what lies beside them is not known.
        """
        reports: list[Report] = []
        facts: list[Fact] = []
        for path in sorted(self._found):
            reports += self._found[path].reports
            facts += self._found[path].facts
        files = [RepositoryFile(path, size) for path, size in sorted(sizes.items())]
        reports += inspect_repository(files, facts, alone=alone)
        if self._content:
            reports += self._searched(self._pool.collect())
        return Inspection(tuple(_said_once(reports)), self._rules_version())

    def _searched(self, collected: Sequence[Spooled]) -> Iterator[Report]:
        """What the engines say of everything that was set aside; side by side, for each runs in a process of its own."""

        def search(spooled: Spooled, waiting: Waiting | None = None) -> tuple[Report, ...]:
            return finish(self._settings, spooled.facts, text=spooled.text, raw=spooled.raw, waiting=waiting)

        if len(collected) < 2:
            for spooled in collected:
                yield from search(spooled, self._waiting)
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(len(collected), thread_name_prefix="search") as threads:
            yield from itertools.chain.from_iterable(threads.map(search, collected))

    def _rules_version(self) -> str:
        """The rule set, and what of it was switched off: a verdict without it is another verdict."""
        settings = self._settings
        without = [] if self._content and settings.secrets else ["secrets"]
        without += [] if self._content and settings.malware else ["malware"]
        return "".join((RULES_VERSION, "+deep" if settings.deep else "", *(f"-{name}" for name in without)))


def _said_once(reports: Iterable[Report]) -> Iterator[Report]:
    """What is wrong with an engine is said of the whole, and the artifacts are unknown without a word each."""
    said: dict[str, tuple[Finding, Coverage]] = {}
    for report in reports:
        about = [finding for finding in report.findings if finding.rule in ABOUT_THE_ENGINE]
        if not about:
            yield report
            continue
        finding, coverage = said.get(report.inspector, (about[0], Coverage(0, 0)))
        said[report.inspector] = (finding, coverage + report.coverage)
        others = tuple(finding for finding in report.findings if finding not in about)
        if others:
            yield Report(report.inspector, report.path, report.verdict, Coverage(0, 0), others)
    for inspector, (finding, coverage) in sorted(said.items()):
        whole = Finding("", finding.rule, finding.severity, finding.confidence, finding.message, remedy=finding.remedy)
        yield Report(inspector, "", Verdict.UNKNOWN, coverage, (whole,))


class Inspecting(Closing):
    """The processes that inspect, for as long as a command runs. A context manager."""

    def __init__(self, settings: InspectionSettings) -> None:
        self._settings = ContentSettings(
            deep=settings.deep,
            secrets=settings.secrets,
            malware=settings.malware,
            clamd=settings.clamd,
            rule_folders=(Path(settings.malware_rules).expanduser(),) if settings.malware_rules else (),
        )
        self._closing = ExitStack()
        limits = Limits(settings.seconds, settings.memory_bytes)
        self.workers = min(MAX_WORKERS, os.cpu_count() or 1)
        self._pool = self._closing.enter_context(Pool(limits, workers=self.workers, content=self._settings))

    def start(self, at_most: int | None = None, *, suffixes: Iterable[str] = ()) -> None:
        """Starts the processes, all or as many as will be needed; best called before any thread is.

        `suffixes` are endings of names that will come: what looks at those is imported once, before.

        Raises:
            ConfigError: a folder of malware rules cannot be used.
        """
        preload(suffixes)
        self._pool.start(at_most)

    @contextmanager
    def session(self, *, content: bool = True, brief: bool = False) -> Iterator[Session]:
        """The inspection of one revision, one at a time; without `content`, malware and secrets are not looked for.

        Where it is `brief`, engines are started at once: a small scan would wait for them at its end.
        """
        self._pool.begin()
        waiting = begin(self._settings) if content and brief else None
        try:
            yield Session(self._pool, self._settings, content=content, waiting=waiting)
        finally:
            if waiting is not None:
                waiting.close()

    def close(self) -> None:
        """Ends the processes."""
        self._closing.close()
