"""What every benchmark is given: how much to move, how often, and where it may put it."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import GB, clean_environment
from benchmarks.servers import Server

MODEL = "bench/model"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Setting:
    """`workspace` lies in memory where the machine allows it; `tools` is the peers' virtual environment."""

    workspace: Path
    tools: Path
    gigabytes: float
    rounds: int
    large: bool
    corpus_python: Path | None = None
    """An interpreter with the libraries of `corpus.txt`; None to make one."""
    sample: int = 25
    """Inspection: so many files of each class and side at most; 0 for all."""
    jobs: int = 2
    """Inspection: so many scanners at a time."""
    fresh: bool = False
    """Inspection: ask again what was answered before."""

    @property
    def size_bytes(self) -> int:
        """The size of the moved model's shards together: a multiple of four."""
        return round(self.gigabytes * GB / 4) * 4

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """The path of a folder that does not exist yet; removed with its content afterwards."""
        path = self.workspace / f"{name}-{next(_numbers)}"
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def weighbridge(*words: str | Path) -> list[str | Path]:
    """The command line as installed beside this interpreter."""
    return [Path(sys.executable).parent / "weighbridge", *words]


def environment(
    home: Path, *, source: Server | None = None, sink: Server | None = None, **extra: str
) -> dict[str, str]:
    """Points weighbridge and all peers at the servers, with everything that they write under `home`."""
    found = clean_environment(
        HOME=str(home),
        WEIGHBRIDGE_HOME=str(home / "weighbridge"),
        HF_HOME=str(home / "huggingface"),
        HF_HUB_DISABLE_XET="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        AWS_ACCESS_KEY_ID="benchmark",
        AWS_SECRET_ACCESS_KEY="benchmark",
        AWS_EC2_METADATA_DISABLED="true",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_REGION="us-east-1",
    )
    if source is not None:
        found["HF_ENDPOINT"] = source.endpoint
    if sink is not None:
        found |= {"WEIGHBRIDGE_STORE_S3_ENDPOINT": sink.endpoint, "AWS_ENDPOINT_URL": sink.endpoint}
    return found | extra


def fresh_bucket() -> str:
    """A bucket's name that was not used before in this run; the null S3 has every bucket."""
    return f"bench-{next(_numbers)}"
