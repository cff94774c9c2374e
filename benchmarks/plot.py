"""Draws a results file: `python -m benchmarks.plot OUT.svg < results.json`. Runs in the peers' environment."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found, unused-ignore] # only in the peers' environment

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "weighbridge"
mpl.rcParams["font.size"] = 8.5

from matplotlib import pyplot  # type: ignore[import-not-found, unused-ignore] # noqa: E402 (the backend is chosen first)

OURS = "#1b6ca8"
OTHER = "#b8bec6"
HONEST = "#c0392b"
TALL = 4.2


def bars(axis: Any, outcome: dict[str, Any], column: str, unit: str, title: str) -> None:
    """Horizontal bars of one column; rows that are steps of another row are left out."""
    rows = [row for row in outcome["rows"] if row.get(column) not in (None, "") and not row["what"].startswith("- ")]
    names = [row["what"].replace(" + ", " +\n", 1) for row in rows]
    values = [row[column] for row in rows]
    colours = [OURS if row["what"].startswith("weighbridge") else OTHER for row in rows]
    drawn = axis.barh(names, values, color=colours, height=0.62)
    axis.bar_label(drawn, labels=[f"{value:g} {unit}" for value in values], padding=3)
    axis.set_xlim(0, max(values) * 1.28)
    _finish(axis, title)
    axis.invert_yaxis()
    axis.xaxis.set_visible(False)
    axis.spines["bottom"].set_visible(False)


def _finish(axis: Any, title: str) -> None:
    axis.set_title(title, loc="left", fontsize=9.5, fontweight="bold")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def line(axis: Any, outcome: dict[str, Any], column: str, title: str, *, limit: float | None = None) -> None:
    """Points of one column over the rows, which are sizes."""
    names = [row["what"] for row in outcome["rows"]]
    values = [row[column] for row in outcome["rows"]]
    axis.plot(names, values, "o-", color=OURS)
    for at, value in enumerate(values):
        axis.annotate(f"{value:g}", (at, value), textcoords="offset points", xytext=(0, 6), ha="center")
    top = max(values)
    if limit is not None:
        axis.axhline(limit, color="#c0392b", linewidth=0.9, linestyle="--")
        axis.annotate(f"limit {limit:g}", (0, limit), textcoords="offset points", xytext=(-8, 4), color="#c0392b")
        top = max(top, limit)
    axis.set_ylim(0, top * 1.25)
    _finish(axis, title)


def shares(axis: Any, outcome: dict[str, Any], key: str, title: str) -> None:
    """Two bars for each scanner: the share of hostile files that it stops, and of honest ones; pale: ended in an error."""
    points = outcome["details"]["scatter"]
    for at, point in enumerate(points):
        ours = point["what"].startswith("weighbridge")
        for side, place, colour in (("malicious", at - 0.2, OURS if ours else "#6b7280"), ("benign", at + 0.2, HONEST)):
            value, errors = point[f"{side}{key}"], point[f"{side}{key} errors"]
            axis.barh(place, value, color=colour, height=0.36)
            axis.barh(place, errors, left=value, color=colour, height=0.36, alpha=0.25)
            said = f"{value:g} %" + (f" + {errors:g}" if errors else "")
            axis.annotate(said, (value + errors, place), textcoords="offset points", xytext=(3, -3), fontsize=6.5)
    axis.set_yticks(range(len(points)), [point["what"] for point in points])
    axis.set_xlim(0, 124)
    axis.invert_yaxis()
    axis.xaxis.set_visible(False)
    axis.spines["bottom"].set_visible(False)
    _finish(axis, title)


PANELS: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "peers": lambda axis, found: bars(axis, found, "wall s", "s", "Hub to S3: wall time (s)"),
    "crossing": lambda axis, found: bars(axis, found, "CPU-s/GB", "", "CPU-seconds per GB"),
    "hashes": lambda axis, found: bars(axis, found, "CPU-s/GB", "", "Hashes: CPU-seconds per GB"),
    "verify": lambda axis, found: bars(axis, found, "GB/s", "", "Verification of every byte (GB/s)"),
    "memory": lambda axis, found: line(axis, found, "peak RSS MiB", "Peak memory of an ingest (MiB)", limit=512),
    "inspection-accuracy": lambda axis, found: shares(
        axis, found, "", "Hostile (dark) and honest (red) stopped; pale: errors"
    ),
    "inspection-claimed": lambda axis, found: shares(axis, found, " claimed", "The same, of the classes each reads"),
    "small-files": lambda axis, found: line(axis, found, "wall ms/file", "Small files: ms per file"),
}


def main() -> int:
    """Reads the results from standard input and writes the picture."""
    results = json.load(sys.stdin)["results"]
    if "inspection-accuracy" in results:
        results["inspection-claimed"] = results["inspection-accuracy"]
    names = [name for name in PANELS if name in results]
    rows = -(-len(names) // 2)
    heights = [TALL if any("inspection" in name for name in names[row * 2 :][:2]) else 2.35 for row in range(rows)]
    size, room = (10.5, sum(heights)), {"height_ratios": heights}
    figure, axes = pyplot.subplots(rows, 2, figsize=size, squeeze=False, gridspec_kw=room)
    for axis, name in zip(axes.flat, names, strict=False):
        PANELS[name](axis, results[name])
    for axis in list(axes.flat)[len(names) :]:
        axis.remove()
    figure.tight_layout()
    figure.savefig(sys.argv[1], metadata={"Date": None} if sys.argv[1].endswith(".svg") else None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
