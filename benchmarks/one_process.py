"""Asks our inspectors of many files in one process: `python -m benchmarks.one_process < QUESTIONS > ANSWERS`.

A question is a JSON list `[id, path]`; an answer is `[id, exit code, wall seconds, CPU seconds, peak bytes]`, the code as the command
line `weighbridge scan` says it, or "timed out". The engines for secrets and malware are off.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from weighbridge.core.finding import Verdict
from weighbridge.inspectors.registry import inspect_artifact

CASE_SECONDS = 60
UNKNOWN = 4


class TimedOut(BaseException):
    """A case took longer than it may."""


class File:
    """A file, under its own name alone."""

    def __init__(self, path: Path) -> None:
        self.path = path.name
        self.size_bytes = path.stat().st_size
        self._file = path.open("rb")

    def read(self, offset: int, length: int) -> bytes:
        """These bytes, or fewer at the end."""
        self._file.seek(offset)
        return self._file.read(length)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def code_of(path: Path) -> int:
    """What the exit code of a scan would be."""
    file = File(path)
    try:
        inspected = inspect_artifact(file)
    finally:
        file.close()
    worst = max((finding.severity for report in inspected.reports for finding in report.findings), default=None)
    if worst is not None:
        return int(worst)
    return 0 if inspected.verdict is Verdict.CLEAN else UNKNOWN


def _late(_signal: int, _frame: FrameType | None) -> None:
    raise TimedOut


def main() -> int:
    """Answers every question."""
    signal.signal(signal.SIGALRM, _late)
    for line in sys.stdin:
        case, path = json.loads(line)
        began, before = time.monotonic(), time.process_time()
        signal.alarm(CASE_SECONDS)
        try:
            said: int | str = code_of(Path(path))
        except TimedOut:
            said = "timed out"
        finally:
            signal.alarm(0)
        spent = round(time.monotonic() - began, 4), round(time.process_time() - before, 4)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps([case, said, *spent, peak]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
