"""Looks at a model where it lies before any of it is stored, and stops what must not come in."""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.core.errors import FoundAhead
from weighbridge.core.finding import Severity
from weighbridge.core.ports import Source
from weighbridge.core.snapshot import Snapshot
from weighbridge.transfer.scan import Scanner

MAX_NAMED = 3
AUTO_BYTES = 256 * 1024 * 1024
"""From this size on a look ahead saves more than it costs; what is smaller is judged once it is in quarantine."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """A scan by ranged reads of models of at least `least_bytes`, and the severity that stops an ingest."""

    scanner: Scanner
    stop_at: Severity
    least_bytes: int

    def check(self, source: Source, whole: Snapshot, selected: Snapshot) -> None:
        """Returns when nothing as severe was found.

        Raises:
            FoundAhead: something was; nothing is stored.
            SourceError: the source did not answer.
        """
        if selected.total_bytes < self.least_bytes:
            return
        inspection = self.scanner.inspect(source, whole, selected).inspection
        grave = [finding for finding in inspection.findings if finding.severity >= self.stop_at]
        if not grave:
            return
        named = "; ".join(f"{finding.path}: {finding.message} ({finding.rule})" for finding in grave[:MAX_NAMED])
        more = f"; and {len(grave) - MAX_NAMED} more" if len(grave) > MAX_NAMED else ""
        error = FoundAhead(
            f"{selected.source} was not brought in, because of what a first look found: {named}{more}",
            hint="`weighbridge scan` shows everything; --no-preflight brings it into quarantine all the same.",
        )
        error.exit_code = int(grave[0].severity)
        raise error
