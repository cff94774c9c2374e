"""The two ends of every benchmark: a Hub that serves folders by sendfile, and an S3 endpoint that forgets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import ROOT, BenchmarkFailed, clean_environment


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `commits` maps the Hub's repositories to their commit."""

    endpoint: str
    commits: Mapping[str, str]
    pid: int

    def cpu_seconds(self) -> float:
        """CPU time that the server has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def hub(folders: Mapping[str, Path], *, delay_seconds: float = 0.0) -> Iterator[Server]:
    """A Hub with one model repository for each folder, `org/name` to its files; every answer comes so much later."""
    named = [f"--folder={name}={folder}" for name, folder in folders.items()]
    with _server(["tests.support.hub_main", f"--delay={delay_seconds}", *named]) as server:
        yield server


@contextmanager
def null_s3() -> Iterator[Server]:
    """See `benchmarks.null_s3`."""
    with _server(["benchmarks.null_s3"]) as server:
        yield server


@contextmanager
def _server(module: Sequence[str]) -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, "-m", *module], cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise BenchmarkFailed(f"{module[0]} did not start")
        said = json.loads(line)
        yield Server(said["endpoint"], said.get("commits", {}), process.pid)
    finally:
        if process.poll() is not None:
            print(f"{module[0]} had ended by itself with {process.returncode}", file=sys.stderr)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
