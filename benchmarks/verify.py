"""`verify`: a shallow verification of 163 shards, and a deep one against reading and hashing the same files."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.crossing import SHARDS
from benchmarks.data import write_model
from benchmarks.measure import BenchmarkFailed, Cost, Outcome, Target, median, read_json_line, row, run
from benchmarks.servers import hub, null_s3
from benchmarks.setting import MODEL, Setting, environment, fresh_bucket, weighbridge
from tests.support.deepseek import build

R1_SHARDS = 163
SECONDS = 2.0
SHARE = 0.9
DEEP = "weighbridge verify --deep"
RAW = "hashlib SHA-256, two threads"


def measure(setting: Setting) -> Outcome:
    """The shallow part, then the deep part."""
    rounds = shallow(setting) | deep(setting)
    medians = {who: median(costs) for who, costs in rounds.items()}
    share = medians[RAW].wall_seconds / medians[DEEP].wall_seconds
    shallow_names = [who for who in medians if who not in (DEEP, RAW)]
    rows = [row(who, medians[who], setting.size_bytes) for who in (RAW, DEEP)]
    for who in shallow_names:
        rows.append({"what": who, "wall s": round(medians[who].wall_seconds, 2)})
        rows[-1] |= {"GB/s": "", "CPU s": round(medians[who].cpu_seconds, 2), "CPU-s/GB": ""}
        rows[-1]["peak RSS MiB"] = medians[who].peak_rss_bytes >> 20
    targets = [Target(f"wall, {who}", medians[who].wall_seconds, "at most", SECONDS, "s") for who in shallow_names]
    return Outcome(
        "verify",
        f"Verification: {R1_SHARDS} shards shallow, {setting.gigabytes:g} GB deep",
        rows,
        [*targets, Target("speed of --deep over raw SHA-256", share, "at least", SHARE, "x")],
        [
            f"The {R1_SHARDS} shards are small: shallow verification reads no content, but a manifest of 690 GB has 80,000"
            " chunk digests where this one has some hundreds.",
            "The deep pair reads the same files of the folder store in memory (tmpfs); whole processes, start-up included.",
        ],
        rounds,
    )


def shallow(setting: Setting) -> dict[str, list[Cost]]:
    """Verification by the store's own records, of a folder store and of S3."""
    rounds: dict[str, list[Cost]] = {}
    with setting.folder("r1") as source:
        build(source, shards=R1_SHARDS)
        with hub({MODEL: source}) as origin, null_s3() as sink:
            for where in ("a folder", "the null S3"):
                with setting.folder("home") as home:
                    named = environment(home, source=origin, sink=sink)
                    store = str(home / "store") if where == "a folder" else f"s3://{fresh_bucket()}"
                    bring(named, store)
                    name = f"weighbridge verify, {R1_SHARDS} shards in {where}"
                    rounds[name] = [_verify(named) for _ in range(setting.rounds)]
    return rounds


def deep(setting: Setting) -> dict[str, list[Cost]]:
    """Verification of every byte in a folder store, and raw hashing of the same files, interleaved."""
    size = setting.size_bytes
    rounds: dict[str, list[Cost]] = {RAW: [], DEEP: []}
    with setting.folder("home") as home:
        store = home / "store"
        with setting.folder("source") as source:
            digests = write_model(source, shards=SHARDS, shard_bytes=size // SHARDS)
            with hub({MODEL: source}) as origin:
                bring(environment(home, source=origin), str(store))
        named = environment(home)
        files = sorted(path for path in store.rglob("*.safetensors") if path.is_file())
        for _ in range(setting.rounds):
            raw = run([sys.executable, "-m", "benchmarks.raw_sha256", "2", *files], environment=named)
            found = {Path(path).name: digest for path, digest in read_json_line(raw.output).items()}
            if found != digests:
                raise BenchmarkFailed("the folder store holds other bytes than were written")
            rounds[RAW].append(raw)
            rounds[DEEP].append(_verify(named, "--deep"))
    return rounds


def bring(named: dict[str, str], store: str) -> Cost:
    """Ingests the model that the Hub has into a store; findings are beside the point here."""
    return run(weighbridge("ingest", f"hf://{MODEL}", "--to", store, "--json", "--fail-on", "never"), environment=named)


def _verify(named: dict[str, str], *flags: str) -> Cost:
    cost = run(weighbridge("verify", MODEL, "--json", *flags), environment=named)
    if read_json_line(cost.output)["verified"] is not True:
        raise BenchmarkFailed("a sound revision did not verify")
    return cost
