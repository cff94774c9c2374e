"""Runs whole processes and says what they cost: wall time, CPU time of the process tree, peak resident memory.

CPU time and memory come from `wait4`, so they include every descendant that was waited for; peak memory is that of the
largest single process. Linux starts a child's peak at its parent's, so this process must stay small: it imports nothing
heavy, and what it starts that is not weighbridge or a peer is a process of its own as well.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

GB = 1_000_000_000
MIB = 1024 * 1024
ROOT = Path(__file__).resolve().parent.parent

Cell = str | int | float


class BenchmarkFailed(Exception):
    """A process that was measured did not do its work."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one or several processes, one after the other, cost."""

    wall_seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    output: str = ""

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.wall_seconds + other.wall_seconds,
            self.cpu_seconds + other.cpu_seconds,
            max(self.peak_rss_bytes, other.peak_rss_bytes),
            self.output + other.output,
        )


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio or an amount, and what it should be."""

    name: str
    value: float
    sense: Literal["at most", "at least"]
    bound: float
    unit: str

    @property
    def reached(self) -> bool:
        """Whether the value is on the right side of its bound."""
        return self.value <= self.bound if self.sense == "at most" else self.value >= self.bound

    def to_json(self) -> dict[str, Cell]:
        """As it goes into the results file."""
        return {
            "name": self.name,
            "value": round(self.value, 3),
            "sense": self.sense,
            "bound": self.bound,
            "unit": self.unit,
            "reached": self.reached,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one benchmark found: a table of medians, targets, and what must be known to read them."""

    name: str
    title: str
    rows: Sequence[Mapping[str, Cell]]
    targets: Sequence[Target] = ()
    notes: Sequence[str] = ()
    rounds: Mapping[str, Sequence[Cost]] = field(default_factory=dict)
    details: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """As it goes into the results file, every round included."""
        return {
            "title": self.title,
            "rows": [dict(row) for row in self.rows],
            "targets": [target.to_json() for target in self.targets],
            "notes": list(self.notes),
            "rounds": {
                who: [[round(cost.wall_seconds, 3), round(cost.cpu_seconds, 3), cost.peak_rss_bytes] for cost in costs]
                for who, costs in self.rounds.items()
            },
            "details": dict(self.details),
        }


def run(
    command: Sequence[str | Path], *, environment: Mapping[str, str], codes: frozenset[int] = frozenset({0})
) -> Cost:
    """Runs one process to its end.

    Raises:
        BenchmarkFailed: its exit code is not among `codes`.
    """
    words = [str(word) for word in command]
    with tempfile.TemporaryFile("w+b") as said, tempfile.TemporaryFile("w+b") as complained:
        started = time.perf_counter()
        process = subprocess.Popen(
            words, cwd=ROOT, env=dict(environment), stdin=subprocess.DEVNULL, stdout=said, stderr=complained
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        output = said.read().decode("utf-8", "replace")
        if process.returncode not in codes:
            complained.seek(0)
            told = complained.read().decode("utf-8", "replace")
            raise BenchmarkFailed(
                f"{' '.join(words)} ended with {process.returncode}\n{output[-1000:]}\n{told[-3000:]}"
            )
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, output)


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each figure by itself."""
    return Cost(
        statistics.median(cost.wall_seconds for cost in costs),
        statistics.median(cost.cpu_seconds for cost in costs),
        int(statistics.median(cost.peak_rss_bytes for cost in costs)),
    )


def row(who: str, cost: Cost, size_bytes: int) -> dict[str, Cell]:
    """A row of a table of throughput."""
    return {
        "what": who,
        "wall s": round(cost.wall_seconds, 2),
        "GB/s": round(size_bytes / GB / cost.wall_seconds, 3),
        "CPU s": round(cost.cpu_seconds, 2),
        "CPU-s/GB": round(cost.cpu_seconds / (size_bytes / GB), 2),
        "peak RSS MiB": round(cost.peak_rss_bytes / MIB),
    }


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment of this process without anything that would steer weighbridge or a peer, and with `extra`."""
    steering = ("WEIGHBRIDGE_", "AWS_", "HF_", "HUGGING", "S3_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    return kept | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"} | extra


def read_json_line(output: str) -> dict[str, object]:
    """The JSON document on the last line that a process printed; progress may come before it."""
    document = json.loads(output.rstrip().rpartition("\n")[2])
    if not isinstance(document, dict):
        raise BenchmarkFailed(f"expected a JSON object, not {output[:200]!r}")
    return document
