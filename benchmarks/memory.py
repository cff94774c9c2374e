"""`memory`: how the peak resident memory of an ingest grows with what is moved."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.crossing import ingest
from benchmarks.data import write_model
from benchmarks.measure import GB, MIB, Cost, Outcome, Target, row
from benchmarks.servers import hub, null_s3
from benchmarks.setting import MODEL, Setting

SIZES = (1, 2, 4)
LARGE = 16
LIMIT_MIB = 512
GROWTH_MIB = 64


def measure(setting: Setting) -> Outcome:
    """One ingest for each size, in shards of 1 GB whose data is a hole in a file on disk."""
    costs: dict[int, Cost] = {}
    for gigabytes in (*SIZES, LARGE) if setting.large else SIZES:
        # On disk, not in memory: there the pages of a hole are cache that the kernel may drop.
        with tempfile.TemporaryDirectory(prefix="weighbridge-bench-") as scratch:
            on_disk = replace(setting, workspace=Path(scratch))
            with on_disk.folder("source") as source:
                write_model(source, shards=gigabytes, shard_bytes=GB, sparse=True)
                with hub({MODEL: source}) as origin, null_s3() as sink:
                    costs[gigabytes] = ingest(setting, origin, sink, gigabytes * GB)
    smallest, largest = min(costs), max(costs)
    peak = max(cost.peak_rss_bytes for cost in costs.values())
    growth = costs[largest].peak_rss_bytes - costs[smallest].peak_rss_bytes
    return Outcome(
        "memory",
        "Peak resident memory of an ingest from Hub to S3",
        [row(f"{gigabytes} GB", cost, gigabytes * GB) for gigabytes, cost in costs.items()],
        [
            Target("peak RSS", peak / MIB, "at most", LIMIT_MIB, "MiB"),
            Target(f"growth from {smallest} to {largest} GB", growth / MIB, "at most", GROWTH_MIB, "MiB"),
        ],
        ["Default settings, one run for each size. The data is zeros, which costs every stage as much as other bytes."],
        {f"{gigabytes} GB": [cost] for gigabytes, cost in costs.items()},
    )
