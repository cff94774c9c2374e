"""`peers`: one ingest against the usual steps one after the other: download, hash, scan, upload."""

from __future__ import annotations

from pathlib import Path

from benchmarks.crossing import OURS, SHARDS, ingest
from benchmarks.data import write_model
from benchmarks.measure import BenchmarkFailed, Cost, Outcome, Target, median, row, run
from benchmarks.servers import hub, null_s3
from benchmarks.setting import MODEL, Setting, environment, fresh_bucket

LONG = "hf download + sha256sum + modelscan + aws s3 cp"
SHORT = "hf download + openssl dgst + s5cmd cp"

MODELSCAN_SKIPPED_ALL = 3
"""modelscan's exit code when no file was of a kind that it inspects, which safetensors files are not."""


def measure(setting: Setting) -> Outcome:
    """Runs the rounds: ours, the long route, the short route, ours, ..."""
    size = setting.size_bytes
    rounds: dict[str, list[Cost]] = {OURS: [], LONG: [], SHORT: []}
    steps: dict[str, list[Cost]] = {}
    with setting.folder("source") as source:
        digests = write_model(source, shards=SHARDS, shard_bytes=size // SHARDS)
        with hub({MODEL: source}) as origin, null_s3() as sink:
            for _ in range(setting.rounds):
                rounds[OURS].append(ingest(setting, origin, sink, size))
                for name, route in ((LONG, long_route), (SHORT, short_route)):
                    with setting.folder("peer") as home:
                        costs = route(setting, home, environment(home, source=origin, sink=sink), digests)
                    rounds[name].append(sum(costs.values(), Cost(0, 0, 0)))
                    for step, cost in costs.items():
                        steps.setdefault(f"- {step}", []).append(cost)
    medians = {who: median(costs) for who, costs in rounds.items()}
    ours = medians[OURS]
    rows = [row(who, cost, size) for who, cost in medians.items()]
    rows += [row(step, median(costs), size) for step, costs in steps.items()]
    targets = []
    for name, bound in ((LONG, 3.0), (SHORT, 2.0)):
        targets.append(Target(f"wall, {name}", medians[name].wall_seconds / ours.wall_seconds, "at least", bound, "x"))
    return Outcome(
        "peers",
        f"The same {size / 1e9:g} GB from Hub to S3: one pass beside the usual steps",
        rows,
        targets,
        [
            "All routes end with proof of the digests; only ours also inspects what is inside, signs and keeps a record.",
            f"modelscan inspects no safetensors: it skipped every file (exit code {MODELSCAN_SKIPPED_ALL}).",
            "The steps' files lie in memory (tmpfs): on a disk they would pay for writing and reading again.",
        ],
        {**rounds, **steps},
    )


def _download(setting: Setting, home: Path, named: dict[str, str]) -> Cost:
    command: list[str | Path] = [setting.tools / "hf", "download", MODEL, "--local-dir", home / "model"]
    return run(command, environment=named)


def long_route(setting: Setting, home: Path, named: dict[str, str], digests: dict[str, str]) -> dict[str, Cost]:
    """The route of the standard tools."""
    model = home / "model"
    shards = [model / name for name in digests]
    bucket = fresh_bucket()
    costs = {"hf download (long)": _download(setting, home, named)}
    costs["sha256sum"] = run(["sha256sum", *shards], environment=named)
    lines = (line.split() for line in costs["sha256sum"].output.splitlines())
    _check({Path(path).name: digest for digest, path in lines}, digests)
    costs["modelscan"] = run(
        [setting.tools / "modelscan", "-p", model],
        environment=named,
        codes=frozenset({0, MODELSCAN_SKIPPED_ALL}),
    )
    upload: list[str | Path] = [
        "s3",
        "cp",
        "--recursive",
        "--only-show-errors",
        "--exclude",
        ".cache/*",
        model,
        f"s3://{bucket}/model",
    ]
    costs["aws s3 cp"] = run([setting.tools / "aws", *upload], environment=named)
    return costs


def short_route(setting: Setting, home: Path, named: dict[str, str], digests: dict[str, str]) -> dict[str, Cost]:
    """The route of the fastest tools, without a scan."""
    model = home / "model"
    shards = [model / name for name in digests]
    bucket = fresh_bucket()
    costs = {"hf download (short)": _download(setting, home, named)}
    costs["openssl dgst"] = run(["openssl", "dgst", "-sha256", "-r", *shards], environment=named)
    lines = (line.split(" *") for line in costs["openssl dgst"].output.splitlines())
    _check({Path(path).name: digest for digest, path in lines}, digests)
    upload = [
        "--endpoint-url",
        named["AWS_ENDPOINT_URL"],
        "cp",
        "--exclude",
        ".cache/*",
        f"{model}/",
        f"s3://{bucket}/",
    ]
    costs["s5cmd cp"] = run([setting.tools / "s5cmd", *upload], environment=named)
    return costs


def _check(found: dict[str, str], wanted: dict[str, str]) -> None:
    if found != wanted:
        raise BenchmarkFailed("a peer printed other digests than the files have")
