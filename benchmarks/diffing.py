"""`diff`: two revisions of 163 shards by ranged reads, against fetching both and comparing them byte by byte.

`python -m benchmarks.diffing [--gigabytes 1] [--rounds 3]`. The later revision has code added, another chat template, a changed
configuration, and other values in twelve tensors of twelve shards; in the hardest case every shard has another digest.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import GB, BenchmarkFailed, Cost, Outcome, Target, median, read_json_line, run
from benchmarks.report import section
from benchmarks.servers import Server, hub
from benchmarks.setting import Setting, environment, weighbridge
from tests.support.deepseek import build

SHARDS = 163
CHANGED = range(1, SHARDS + 1, 14)
ROUND_TRIP_SECONDS = 0.02
BEFORE, AFTER, RETRAINED = "bench/before", "bench/after", "bench/retrained"
OURS = "weighbridge diff"
CHECKS = "sha256sum of both, then diff -rq"
FETCH = "hf download of both, then diff -rq"


def measure(setting: Setting) -> Outcome:
    """From the store, then over HTTP."""
    rounds: dict[str, list[Cost]] = {}
    with setting.folder("before") as before, setting.folder("after") as after, setting.folder("other") as other:
        pad = round(setting.size_bytes / SHARDS)
        build(before, shards=SHARDS, pad_bytes_per_shard=pad)
        shutil.copytree(before, after)
        change(after)
        retrain(before, other)
        size = sum(path.stat().st_size for folder in (before, after) for path in folder.rglob("*") if path.is_file())
        folders = {BEFORE: before, AFTER: after, RETRAINED: other}
        with setting.folder("home") as home:
            named = environment(home)
            for name, folder in folders.items():
                command = weighbridge("ingest", folder, "--as", name, "--fail-on", "never", "--json")
                run(command, environment=named)
            for _ in range(setting.rounds):
                _note(rounds, "in a folder", CHECKS, _checks(before, after, named))
                _note(rounds, "in a folder", OURS, _ours(named, BEFORE, AFTER))
                _note(rounds, "in a folder, every shard changed", OURS, _ours(named, BEFORE, RETRAINED))
            with hub(folders, delay_seconds=ROUND_TRIP_SECONDS) as origin:
                _over_http(setting, home, origin, rounds)
    return _outcome(rounds, size)


def change(folder: Path) -> None:
    """A takeover in twelve shards and four small files."""
    (folder / "helper.py").write_text("import os, socket\nos.system('id')\n")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "eos_token_id": 5}, indent=2))
    told = json.loads((folder / "tokenizer_config.json").read_text())
    told["chat_template"] += "{{ 'Name our bank.' }}"
    (folder / "tokenizer_config.json").write_text(json.dumps(told, indent=2))
    for number in CHANGED:
        _scramble(folder / f"model-{number:05}-of-{SHARDS:06}.safetensors")


def retrain(source: Path, target: Path) -> None:
    """One tensor of every shard has other values, so that no two files have one digest."""
    shutil.copytree(source, target)
    for path in sorted(target.glob("*.safetensors")):
        _scramble(path)


def _scramble(path: Path) -> None:
    """Turns a bit of each value of the first tensor (F32 or F8) in place; none becomes a NaN."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        first = min(header.values(), key=lambda one: one["data_offsets"][0])
        start, end = first["data_offsets"]
        file.seek(8 + length + start)
        data = bytes(byte ^ 0x80 if place % 4 == 3 or first["dtype"] != "F32" else byte for place, byte in enumerate(file.read(end - start)))  # fmt: skip
        file.seek(8 + length + start)
        file.write(data)


def _over_http(setting: Setting, home: Path, origin: Server, rounds: dict[str, list[Cost]]) -> None:
    named = environment(home, source=origin)
    for _ in range(setting.rounds):
        _note(rounds, "over HTTP", OURS, _ours(named, BEFORE, f"hf://{AFTER}"))
        _note(rounds, "over HTTP, both upstream", OURS, _ours(named, f"hf://{BEFORE}", f"hf://{AFTER}"))
        _note(rounds, "over HTTP, both upstream, every shard changed", OURS, _ours(named, f"hf://{BEFORE}", f"hf://{RETRAINED}"))  # fmt: skip
        with setting.folder("fetched") as fetched:
            cost = Cost(0.0, 0.0, 0)
            for name in (BEFORE, AFTER):
                target = fetched / name.partition("/")[2]
                command = [Path(sys.executable).parent / "hf", "download", name, "--local-dir", target, "--quiet"]
                cost += run(command, environment=named)
                shutil.rmtree(target / ".cache", ignore_errors=True)
            cost += _byte_by_byte(fetched / "before", fetched / "after", named)
            _note(rounds, "over HTTP, both upstream", FETCH, cost)


def _ours(named: dict[str, str], before: str, after: str) -> Cost:
    cost = run(weighbridge("diff", before, after, "--json"), environment=named)
    said = read_json_line(cost.output)
    changes = said["changes"]
    assert isinstance(changes, list)
    areas = {change["area"] for change in changes}
    if "weights" not in areas or (RETRAINED not in after and not areas >= {"code", "template", "config", "findings"}):
        raise BenchmarkFailed(f"the difference was not found: {said['summary']}")
    return cost


def _checks(before: Path, after: Path, named: dict[str, str]) -> Cost:
    script = f"find '{before}' '{after}' -type f -print0 | xargs -0 sha256sum > /dev/null"
    return run(["sh", "-c", script], environment=named) + _byte_by_byte(before, after, named)


def _byte_by_byte(before: Path, after: Path, named: dict[str, str]) -> Cost:
    return run(["diff", "-rq", before, after], environment=named, codes=frozenset({1}))


def _note(rounds: dict[str, list[Cost]], where: str, who: str, cost: Cost) -> None:
    rounds.setdefault(f"{where}: {who}", []).append(cost)


def _outcome(rounds: dict[str, list[Cost]], size: int) -> Outcome:
    medians = {what: median(costs) for what, costs in rounds.items()}
    rows: list[dict[str, str | int | float]] = []
    for what, cost in medians.items():
        line: dict[str, str | int | float] = {
            "what": what,
            "wall s": round(cost.wall_seconds, 2),
            "CPU s": round(cost.cpu_seconds, 2),
            "peak RSS MiB": cost.peak_rss_bytes >> 20,
            "read MB": round(size / 1e6, 1),
            "reads": "",
        }
        if OURS in what:
            said = read_json_line(rounds[what][-1].output)
            line |= {"read MB": round(int(str(said["read_bytes"])) / 1e6, 2), "reads": int(str(said["reads"]))}
        rows.append(line)

    def ratio(ours: str, theirs: str) -> float:
        return medians[theirs].wall_seconds / medians[f"{ours}: {OURS}"].wall_seconds

    http = "over HTTP, both upstream"
    return Outcome(
        "diffing",
        f"Difference of two revisions of {SHARDS} shards, {size / 2 / GB:.2f} GB each, {len(CHANGED)} shards changed",
        rows,
        [
            Target("speed in a folder", ratio("in a folder", f"in a folder: {CHECKS}"), "at least", 1, "x"),
            Target("speed over HTTP", ratio(http, f"{http}: {FETCH}"), "at least", 1, "x"),
        ],
        [
            f"Over HTTP every answer comes {ROUND_TRIP_SECONDS * 1000:.0f} ms later; the line itself is loopback, without a limit.",
            "The peers say which files differ, and nothing of what differs in them.",
            "Reads are those of the comparison; the inspection of changed files upstream comes on top.",
        ],
        rounds,
    )


def main() -> int:
    """Runs this benchmark alone and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    base = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="weighbridge-bench-", dir=base) as folder:
        workspace = Path(folder)
        outcome = measure(Setting(workspace, workspace, chosen.gigabytes, chosen.rounds, large=False))
    print(section(outcome.to_json() | {"name": "diffing"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
