"""`small-files`: what one more small file costs, and whether that stays the same as there are more."""

from __future__ import annotations

from benchmarks.data import write_small_files
from benchmarks.measure import MIB, Cell, Cost, Outcome, Target
from benchmarks.servers import hub
from benchmarks.setting import MODEL, Setting, environment
from benchmarks.verify import bring

COUNTS = (1_000, 3_000, 10_000)
LINEAR = 1.25
"""How much dearer a file may be among the most files than among the fewest before growth is called not linear."""


def measure(setting: Setting) -> Outcome:
    """One ingest for each count, from the Hub into a folder store in memory."""
    costs: dict[int, Cost] = {}
    rows: list[dict[str, Cell]] = []
    for count in COUNTS:
        with setting.folder("small") as source, setting.folder("home") as home:
            write_small_files(source, count)
            with hub({MODEL: source}) as origin:
                cost = costs[count] = bring(environment(home, source=origin), str(home / "store"))
        rows.append(
            {
                "what": f"{count:,} files",
                "wall s": round(cost.wall_seconds, 2),
                "wall ms/file": round(cost.wall_seconds * 1000 / count, 2),
                "CPU s": round(cost.cpu_seconds, 2),
                "CPU ms/file": round(cost.cpu_seconds * 1000 / count, 2),
                "peak RSS MiB": round(cost.peak_rss_bytes / MIB),
            }
        )
    few, some, many = (costs[count].wall_seconds for count in COUNTS)
    early = (some - few) / (COUNTS[1] - COUNTS[0])
    late = (many - some) / (COUNTS[2] - COUNTS[1])
    return Outcome(
        "small-files",
        "Ingest of many files of 1 to 4 kB that git keeps, Hub to a folder store",
        rows,
        [Target("a file's wall time, 3,000 to 10,000 over 1,000 to 3,000", late / early, "at most", LINEAR, "x")],
        ["The ratio is of slopes, so start-up is not in it. The Hub runs on the same cores and is a part of the time."],
        {f"{count} files": [cost] for count, cost in costs.items()},
    )
