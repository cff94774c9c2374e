"""Applies a baseline to what was found, or gathers what is to be accepted into a new one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click

from weighbridge.cli.console import Output
from weighbridge.cli.yard import user_name
from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import ConfigError
from weighbridge.core.finding import Finding
from weighbridge.reports.baseline import Acceptance, Baseline, accept
from weighbridge.reports.document import NOT_UNDERSTOOD, Gap, gaps_of

if TYPE_CHECKING:
    from weighbridge.transfer.scan import Scanned

DEFAULT_DAYS = 90


@dataclass(slots=True)
class Accepting:
    """The baseline in force, and the one being written."""

    baseline: Baseline = field(default_factory=Baseline)
    target: Path | None = None
    reason: str = ""
    expires: date | None = None
    entries: list[Acceptance] = field(default_factory=list)

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        """From the options of `scan`.

        Raises:
            ConfigError: the baseline cannot be read.
            click.UsageError: a new one is asked for without a reason.
        """
        file, target, expires = (options.get(name) for name in ("baseline", "write_baseline", "expires"))
        reason = str(options.get("reason") or "")
        if target is not None and not reason.strip():
            raise click.UsageError("--write-baseline needs a --reason; reviewers will ask")
        if target is None and (reason or expires):
            raise click.UsageError("--reason and --expires go with --write-baseline")
        baseline = _read(file) if isinstance(file, Path) else Baseline()
        return cls(
            baseline,
            target if isinstance(target, Path) else None,
            reason,
            expires.date() if isinstance(expires, datetime) else None,
        )

    def judge(self, found: Scanned, digest: Callable[[str], str]) -> dict[Finding | Gap, Acceptance]:
        """What of it is accepted, and by which entry; with a new baseline, all of it."""
        digests: dict[str, str] = {}

        def digest_of(path: str) -> str:
            if path not in digests:
                paths = {entry.path for entry in found.snapshot.entries}
                digests[path] = digest(path) if path in paths else f"revision:{found.snapshot.revision}"
            return digests[path]

        places: dict[Finding | Gap, tuple[str, str, str]] = {
            finding: (finding.path, finding.rule, finding.location) for finding in found.inspection.findings
        }
        places |= {gap: (gap.path, NOT_UNDERSTOOD, gap.inspector) for gap in gaps_of(found.inspection)}
        baseline = self.baseline
        if self.target is not None:
            until = self.expires or datetime.now(UTC).date() + timedelta(days=DEFAULT_DAYS)
            baseline = accept(
                places.values(),
                digest_of=digest_of,
                reason=self.reason,
                expires=until,
                accepted_by=user_name(),
            )
            self.entries += baseline.accepted
        today = datetime.now(UTC).date()
        accepted = {}
        for one, (path, rule, location) in places.items():
            entry = baseline.find(path=path, rule=rule, location=location, digest_of=digest_of, today=today)
            if entry is not None:
                accepted[one] = entry
        return accepted

    def save(self, output: Output) -> None:
        """Writes the new baseline, if one was asked for.

        Raises:
            ConfigError: it cannot be written, or something is there.
        """
        today = datetime.now(UTC).date()
        for entry in self.baseline.expired(today):
            output.say(f"the acceptance of {entry.rule} in '{entry.path}' ended on {entry.expires}")
        if self.target is None:
            return
        text = json.dumps(Baseline(tuple(self.entries)).to_json(), ensure_ascii=False, indent=1) + "\n"
        try:
            with self.target.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError as error:
            raise ConfigError(f"'{self.target}' is there already", hint="Give another name, or remove it.") from error
        except OSError as error:
            raise ConfigError(f"'{self.target}' cannot be written: {error.strerror}") from error
        output.say(f"accepted {len(self.entries)} findings in {self.target}")


def _read(file: Path) -> Baseline:
    try:
        return Baseline.from_bytes(file.read_bytes(), name=str(file))
    except OSError as error:
        raise ConfigError(f"the baseline '{file}' cannot be read: {error.strerror}") from error
