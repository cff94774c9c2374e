"""`python -m benchmarks.latency [--megabytes 256] [--rounds 3] [--links 25:5,25:40,50:20] [--json FILE]`: predicted and measured loads.

A model goes to a node by each route (from a Hub with `hf download`, from the gateway with the same client, from a SeaweedFS by
`weighbridge fetch`, and proven again where it lies) over links of a known rate (MB/s) and round trip (ms): `benchmarks.shaped`.
`deploy.latency` predicts the same. What a program takes to start is measured with a model of next to nothing, in turns with the load
that is compared; what this machine proves a second, with half the model. Nothing is fitted to what is compared. The bar: within a tenth.

Loads over a link are told by their medians. Proving is bound by the processor alone, where other work only ever adds, and most of a
short proof is the program's start: there the least of all rounds counts, of what is predicted from and of what is compared.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.measure import ROOT
from weighbridge.deploy.latency import (
    GATEWAY,
    HUB,
    STORE,
    Link,
    Machine,
    Manner,
    Predicted,
    predict,
    predict_cached,
)

BAR = 0.10
MB = 1_000_000
FILES = 8
STREAMS = 8
PROOFS = 2
"""Proofs for each round of loads."""
MODEL, HALF, SMALL = "acme/large", "acme/half", "acme/small"
FAST = 10_000 * MB
BIN = Path(sys.executable).parent
PROVE = """
import sys, threading, time
from pathlib import Path
from weighbridge.cli.progress import Silent
from weighbridge.serve.loading.checking import check_folder
from weighbridge.serve.loading.node import NodeSettings, open_node
with open_node(NodeSettings()) as node:
    artifacts = node.resolve(sys.argv[1]).manifest.artifacts
    began = time.perf_counter()
    check_folder(Path(sys.argv[2]), artifacts, {}, int(sys.argv[3]), observer=Silent(), cancelled=threading.Event())
    print(time.perf_counter() - began)
"""
"""Seconds in which a folder is proven, without what comes before: that of a short proof is most of it, and differs by more."""


@dataclass(frozen=True, slots=True)
class Route:
    """How a model is loaded by one route: a program, where its link leads, and how the program is predicted."""

    name: str
    words: tuple[str, ...]
    manner: Manner
    variable: str
    """The environment variable that names the way: a proxy, or an endpoint."""
    to: str
    """Where the link leads; empty: it is a forward proxy."""


@contextlib.contextmanager
def link(rate: float, round_trip: float, to: str) -> Iterator[str]:
    """A shaped link's address."""
    words = [sys.executable, "-m", "benchmarks.shaped", "--rate", str(rate), "--round-trip", str(round_trip)]
    with subprocess.Popen([*words, "--to", to], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        finally:
            process.terminate()


def model(folder: Path, size_bytes: int) -> Path:
    """A model of so many bytes in `FILES` safetensors files."""
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Made for a benchmark\n")
    (folder / "config.json").write_text("{}")
    each = size_bytes // FILES
    for number in range(FILES):
        header = json.dumps({f"w{number}": {"dtype": "U8", "shape": [each], "data_offsets": [0, each]}}).encode()
        body = random.Random(number).randbytes(each)
        name = f"model-{number + 1:05}-of-{FILES:05}.safetensors"
        (folder / name).write_bytes(len(header).to_bytes(8, "little") + header + body)
    return folder


def sizes(folder: Path) -> list[int]:
    """The sizes of a model's files."""
    return [path.stat().st_size for path in sorted(folder.iterdir())]


def loaded(route: Route, name: str, base: Path, environment: Mapping[str, str], way: str) -> float:
    """Seconds of one load onto an empty node."""
    node = Path(tempfile.mkdtemp(prefix="node-", dir=base))
    words = [word.replace("MODEL", name).replace("NODE", str(node / "model")) for word in route.words]
    given = {**environment, route.variable: way, "HF_HOME": str(node / "hf"), "WEIGHBRIDGE_STATE": str(node / "state")}
    if route.variable == "http_proxy":
        given["HF_ENDPOINT"] = environment["HUB"]
    try:
        began = time.perf_counter()
        ran = subprocess.run(words, env=given, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - began
        if ran.returncode:
            raise SystemExit(f"{route.name}: {' '.join(words)}\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
        return seconds
    finally:
        shutil.rmtree(node, ignore_errors=True)


def proven_again(name: str, folder: Path, environment: Mapping[str, str]) -> float:
    """Seconds in which a folder that holds the revision is proven."""
    began = time.perf_counter()
    words = [BIN / "weighbridge", "fetch", name, folder, "--quiet", "--streams", str(STREAMS)]
    subprocess.run(words, env=dict(environment), check=True, capture_output=True)
    return time.perf_counter() - began


@contextlib.contextmanager
def places(base: Path, folders: Mapping[str, Path]) -> Iterator[tuple[dict[str, str], list[Route]]]:
    """A Hub, a store with the models approved in it, and a gateway over that."""
    from tests.conftest import Command
    from tests.support import seaweed
    from tests.support.gateway import running

    lines = [f"--folder={name}={folder}" for name, folder in folders.items()]
    hub = subprocess.Popen(
        [sys.executable, "-m", "tests.support.hub_main", *lines], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert hub.stdout is not None
    with seaweed.running() as s3, contextlib.ExitStack() as closing:
        closing.callback(hub.terminate)
        bucket = s3.bucket()
        stores = {f"WEIGHBRIDGE_STORE_{one}": f"s3://{bucket}/{one}" for one in ("QUARANTINE", "APPROVED")}
        command = Command(base / "home", {**s3.environment, **stores}, fresh=True)
        for name, folder in folders.items():
            done = command("ingest", str(folder), "--as", name, "--fail-on", "never", "--json").event("ingested")
            command("approve", f"{name}@{done['revision']}", "--reason", "made here")
            command("promote", f"{name}@{done['revision']}", "--channel", "production")
        command("trust", "export", str(base / "trust.json"))
        gateway = closing.enter_context(running(command))
        environment = {
            **command.environ(),
            "WEIGHBRIDGE_TRUST": str(base / "trust.json"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "no_proxy": "",
            "HUB": json.loads(hub.stdout.readline())["endpoint"],
        }
        download = (str(BIN / "hf"), "download", "MODEL", "--local-dir", "NODE")
        fetch = (str(BIN / "weighbridge"), "fetch", "MODEL", "NODE", "--quiet", "--streams", str(STREAMS))
        store = "WEIGHBRIDGE_STORE_S3_ENDPOINT"
        yield (
            environment,
            [
                Route("hub", download, HUB, "http_proxy", ""),
                Route("gateway", download, GATEWAY, "HF_ENDPOINT", urlsplit(gateway.endpoint).netloc),
                Route("store", fetch, replace(STORE, streams=STREAMS), store, urlsplit(s3.endpoint).netloc),
            ],
        )


def measure(base: Path, megabytes: int, rounds: int, links: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    """All routes over all links; one row for each."""
    folders = {
        MODEL: model(base / "large", megabytes * MB),
        HALF: model(base / "half", megabytes * MB // 2),
        SMALL: model(base / "small", 8 * FILES),
    }
    large = sizes(folders[MODEL])
    rows: list[dict[str, Any]] = []
    with places(base, folders) as (environment, routes):
        start, verify_rate, took = _proving(base, environment, sum(sizes(folders[HALF])), rounds)
        said = predict_cached(large, machine=Machine(1, verify_rate, start_seconds=start))
        rows.append(_row("cached", Link(FAST), said, min(took), took))
        for route in routes:
            for rate, trip in links:
                starts, took = [], []
                with link(FAST, 0.0, route.to) as quick, link(rate, trip, route.to) as way:
                    for _ in range(rounds):
                        # In turns: what else this machine does then slows both alike.
                        starts.append(loaded(route, SMALL, base, environment, quick))
                        took.append(loaded(route, MODEL, base, environment, way))
                machine = Machine(1, verify_rate, start_seconds=statistics.median(starts))
                # The loopback connects in the clear: a connection costs one round trip, not TLS's two or three.
                manner = replace(route.manner, connect_round_trips=1)
                said = predict(route.name, large, manner, link=Link(rate, trip), machine=machine)
                rows.append(_row(route.name, Link(rate, trip), said, statistics.median(took), took))
    return rows


def _proving(
    base: Path, environment: Mapping[str, str], half_bytes: int, rounds: int
) -> tuple[float, float, list[float]]:
    """What proving takes to start, the bytes a second of half the model, and the seconds of the whole."""
    folders = {name: base / f"proven-{name[5:]}" for name in (SMALL, HALF, MODEL)}
    for name, folder in folders.items():
        words = [str(BIN / "weighbridge"), "fetch", name, str(folder), "--quiet"]
        subprocess.run(words, env=dict(environment), check=True, capture_output=True)
    starts, halves, took = [], [], []
    for _ in range(PROOFS * rounds):
        starts.append(proven_again(SMALL, folders[SMALL], environment))
        words = [sys.executable, "-c", PROVE, HALF, str(folders[HALF]), str(STREAMS)]
        halves.append(float(subprocess.run(words, env=dict(environment), check=True, capture_output=True).stdout))
        took.append(proven_again(MODEL, folders[MODEL], environment))
    return min(starts), half_bytes / min(halves), took


def _row(name: str, way: Link, said: Predicted, measured: float, took: list[float]) -> dict[str, Any]:
    cached = name == "cached"
    return {
        "route": name,
        "megabytes_per_second": 0.0 if cached else way.bytes_per_second / MB,
        "round_trip_milliseconds": 0.0 if cached else way.round_trip_seconds * 1000,
        "predicted_seconds": said.seconds,
        "measured_seconds": measured,
        "all_seconds": took,
        "error": said.seconds / measured - 1,
        "bound": said.bound,
        "met": abs(said.seconds / measured - 1) <= BAR,
    }


def main() -> int:
    """Prints predicted and measured seconds for each route and link."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--links", default="25:5,25:40,50:20", metavar="MB/s:ms,…")
    parser.add_argument("--json", type=Path, metavar="FILE")
    chosen = parser.parse_args()
    pairs = [pair.split(":") for pair in chosen.links.split(",")]
    links = [(float(rate) * MB, float(trip) / 1000) for rate, trip in pairs]
    base = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="weighbridge-latency-", dir=base) as folder:
        rows = measure(Path(folder), chosen.megabytes, chosen.rounds, links)
    print(
        f"{chosen.megabytes} MB in {FILES} files, medians of {chosen.rounds}; cached: least of {PROOFS * chosen.rounds}"
    )
    print(f"{'route':8} {'MB/s':>6} {'ms':>5} {'predicted':>10} {'measured':>9} {'error':>7}  bound by")
    for row in rows:
        print(
            f"{row['route']:8} {row['megabytes_per_second']:6.0f} {row['round_trip_milliseconds']:5.0f} "
            f"{row['predicted_seconds']:8.2f} s {row['measured_seconds']:7.2f} s {row['error']:+7.1%}  "
            f"{row['bound']}{'' if row['met'] else '  (missed)'}"
        )
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
