"""`python -m benchmarks [NAMES] [--gigabytes 4] [--rounds 3] [--json FILE] [--plot FILE]`: all measurements in one run."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import GB, ROOT, Cell, Outcome
from benchmarks.setting import Setting
from benchmarks.tools import tools, versions

INSPECTION = ("inspection-accuracy", "inspection-speed")
NAMES = ("hashes", "crossing", "peers", "memory", "verify", "small-files", *INSPECTION)
LIBRARIES = ("awscrt", "blake3", "botocore", "urllib3")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the named benchmarks, prints tables, writes what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAMES", help=f"of {', '.join(NAMES)}, or inspection (default: all)"
    )
    parser.add_argument("--gigabytes", type=float, default=4.0, help="size of the moved model, in four shards")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; medians are reported")
    parser.add_argument("--large", action="store_true", help="memory: 16 GB as well")
    parser.add_argument("--workspace", type=Path, help="where data goes (default: in memory, /dev/shm)")
    parser.add_argument(
        "--corpus-python", type=Path, help="inspection: an interpreter with the libraries of corpus.txt"
    )
    parser.add_argument(
        "--sample", type=int, default=25, help="inspection: files of each class and side that all judge; 0: all"
    )
    parser.add_argument("--jobs", type=int, default=2, help="inspection: scanners at a time")
    parser.add_argument("--fresh", action="store_true", help="inspection: ask again what was answered before")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw them there (.svg or .png)")
    chosen = parser.parse_args(arguments)
    names = [one for name in chosen.names or NAMES for one in (INSPECTION if name == "inspection" else (name,))]
    if unknown := set(names) - set(NAMES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    if min(chosen.rounds, chosen.jobs) < 1 or chosen.gigabytes <= 0 or chosen.sample < 0:
        parser.error("--rounds, --jobs and --gigabytes must be positive, --sample not negative")
    with ExitStack() as closing:
        # The null S3 drops bodies as Linux does; the memory figures are Linux's as well.
        if sys.platform != "linux":
            parser.error("these benchmarks need Linux")
        memory = Path("/dev/shm")
        base = chosen.workspace or (memory if memory.is_dir() else Path(tempfile.gettempdir()))
        workspace = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="weighbridge-bench-", dir=base)))
        _check_room(workspace, chosen.gigabytes, names, parser)
        folder = tools()
        setting = Setting(
            workspace,
            folder,
            chosen.gigabytes,
            chosen.rounds,
            chosen.large,
            chosen.corpus_python,
            chosen.sample,
            chosen.jobs,
            chosen.fresh,
        )
        document = _document(chosen)
        results: dict[str, object] = {}
        for name in names:
            results[name] = _run(name, setting).to_json()
            text = json.dumps(document | {"results": results}, indent=1)
            if chosen.json is not None:
                chosen.json.write_text(text + "\n")
        if chosen.plot is not None:
            _plot(text, chosen.plot, folder)
    return 0


def _check_room(workspace: Path, gigabytes: float, names: Sequence[str], parser: argparse.ArgumentParser) -> None:
    """The peers' route and the deep verification hold the model twice."""
    if set(names) <= {"hashes", "memory", "small-files", *INSPECTION}:
        return
    free = shutil.disk_usage(workspace).free
    if free < 2.2 * gigabytes * GB:
        parser.error(f"{workspace.parent} has {free / GB:.1f} GB free; --gigabytes {gigabytes:g} needs twice that size")


def _run(name: str, setting: Setting) -> Outcome:
    print(f"{name} ...", file=sys.stderr, flush=True)
    outcome: Outcome = importlib.import_module(f"benchmarks.{name.replace('-', '_')}").measure(setting)
    print(f"\n{outcome.title}\n")
    print(table(outcome.rows))
    for target in outcome.targets:
        state = "reached" if target.reached else "NOT reached"
        print(f"  {target.name}: {target.value:.2f} {target.unit}, target {target.sense} {target.bound:g}: {state}")
    for note in outcome.notes:
        print(f"  note: {note}")
    print(flush=True)
    return outcome


def table(rows: Sequence[Mapping[str, Cell]]) -> str:
    """Rows as a Markdown table."""
    columns = list(rows[0])
    cells = [columns, *([str(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _document(chosen: argparse.Namespace) -> dict[str, object]:
    return {
        "taken_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "machine": machine(),
        "versions": versions() | {name: _version(name) for name in LIBRARIES},
        "gigabytes": chosen.gigabytes,
        "rounds": chosen.rounds,
    }


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def machine() -> dict[str, Cell]:
    """What it ran on, without a host name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "processor": processor or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "load_before": round(_load_at_start, 2),
    }


_load_at_start = os.getloadavg()[0]


def _plot(text: str, plot: Path, folder: Path) -> None:
    command: list[str | Path] = [folder / "python", "-m", "benchmarks.plot", plot.absolute()]
    subprocess.run(command, input=text, text=True, check=True, cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main())
