"""`crossing`: the whole ingest from a Hub into S3, against the floor of one process that only moves and hashes."""

from __future__ import annotations

from pathlib import Path

from benchmarks.data import write_model
from benchmarks.measure import MIB, BenchmarkFailed, Cost, Outcome, Target, median, read_json_line, row, run
from benchmarks.servers import Server, hub, null_s3
from benchmarks.setting import MODEL, Setting, environment, fresh_bucket, weighbridge

SHARDS = 4
OURS = "weighbridge ingest"
FLOOR = "floor: recv + sha256 + crc64 + send"
FLOOR_BLAKE3 = "floor with BLAKE3 as well"


def measure(setting: Setting) -> Outcome:
    """Runs the rounds, interleaved."""
    size = setting.size_bytes
    with setting.folder("source") as source:
        digests = write_model(source, shards=SHARDS, shard_bytes=size // SHARDS)
        with hub({MODEL: source}) as origin, null_s3() as sink:
            rounds: dict[str, list[Cost]] = {FLOOR: [], OURS: [], FLOOR_BLAKE3: []}
            served = 0.0
            for _ in range(setting.rounds):
                rounds[FLOOR].append(floor(setting, origin, sink, digests))
                before = origin.cpu_seconds() + sink.cpu_seconds()
                rounds[OURS].append(ingest(setting, origin, sink, size))
                served += origin.cpu_seconds() + sink.cpu_seconds() - before
                rounds[FLOOR_BLAKE3].append(floor(setting, origin, sink, digests, "--blake3"))
    medians = {who: median(costs) for who, costs in rounds.items()}
    ours, least = medians[OURS], medians[FLOOR]
    per_gb = served / setting.rounds / (size / 1e9)
    return Outcome(
        "crossing",
        f"One ingest of {size / 1e9:g} GB in {SHARDS} shards, Hub to S3, beside the floor",
        [row(who, cost, size) for who, cost in medians.items()],
        [
            Target("CPU, ours over the floor", ours.cpu_seconds / least.cpu_seconds, "at most", 1.5, "x"),
            Target("peak RSS", ours.peak_rss_bytes / MIB, "at most", 512, "MiB"),
        ],
        [
            "CPU and wall time are of whole processes, start-up included. The floor runs on one thread, so its wall time is"
            " no bound for a process that uses two cores.",
            f"During our ingest the Hub and the null S3 used {per_gb:.2f} CPU-s/GB on the same cores.",
        ],
        rounds,
    )


def ingest(setting: Setting, origin: Server, sink: Server, size: int) -> Cost:
    """One whole ingest into a bucket of its own, from a home of its own."""
    with setting.folder("home") as home:
        command = weighbridge("ingest", f"hf://{MODEL}", "--to", f"s3://{fresh_bucket()}", "--json")
        cost = run(command, environment=environment(home, source=origin, sink=sink))
    said = read_json_line(cost.output)
    streamed = said["streamed_bytes"]
    if not isinstance(streamed, int) or streamed < size:
        raise BenchmarkFailed(f"ingest streamed {streamed} of {size} bytes")
    return cost


def floor(setting: Setting, origin: Server, sink: Server, digests: dict[str, str], *flags: str) -> Cost:
    """One run of `benchmarks.floor` over all shards."""
    import sys

    base = f"{origin.endpoint}/{MODEL}/resolve/{origin.commits[MODEL]}"
    urls = [f"{base}/{name}" for name in digests]
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.floor", *urls]
    with setting.folder("floor") as home:
        cost = run(
            [*command, "--to", f"{sink.endpoint}/{fresh_bucket()}", *flags],
            environment=environment(home, source=origin, sink=sink),
        )
    if read_json_line(cost.output)["digests"] != digests:
        raise BenchmarkFailed("the floor read other bytes than were written")
    return cost
