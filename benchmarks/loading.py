"""`python -m benchmarks.loading [--megabytes 1024] [--rounds 5] [--threads 2] [--runai PYTHON] [--hf HF] [--store folder]`, `… races 10000`.

The verified load beside the same load without proof, plain reads of the same objects, `runai-model-streamer` and `hf download` with
safetensors after it. Contenders take turns, each in a process of its own; seconds and CPU seconds are those of the load, without
interpreter and imports. The store is a SeaweedFS on this machine (`--store folder`: a folder in memory), and shares its processors.
Where both of its processors are taken ("idle" is near 0), the hash shows as what it costs; `--link GBIT` puts store and loaders into a
network namespace whose loopback gives that much, for what the parts of the store say to each other too (root, `tc`). `--runai` is a
Python with `runai-model-streamer` and `runai-model-streamer-s3`, `--hf` the `hf` command; without them, those rows are left out. Every bar is told as met or missed; nothing is asserted.

`races N` runs the races of `tests/test_loader.py` so many times: tensors are loaded while somebody changes the objects.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT

MODEL = "acme/big"
SHARDS = 4
TENSOR_ROWS, TENSOR_COLUMNS = 2_048, 7_168
"""One expert's projection of DeepSeek-R1; 14.7 MB in a type of one byte."""
RANGE_BYTES = 16 * 1024 * 1024
BAR = 0.95

RUNAI = """
import json, os, resource, sys, time
from runai_model_streamer import SafetensorsStreamer
began, cpu = time.perf_counter(), time.process_time()
total = 0
with SafetensorsStreamer() as streamer:
    streamer.stream_files(sys.argv[1:])
    for name, tensor in streamer.get_tensors():
        total += tensor.numel() * tensor.element_size()
print(json.dumps({"bytes": total, "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu,
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""


def measured(load: Callable[[], int]) -> None:
    """Runs a load and prints what it cost."""
    before, began, cpu = _processors(), time.perf_counter(), time.process_time()
    total = load()
    used = {"bytes": total, "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
    spent = [after - earlier for earlier, after in zip(before, _processors(), strict=True)]
    used["idle"] = sum(spent[3:5]) / max(1, sum(spent))
    print(json.dumps({**used, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def _processors() -> list[int]:
    """What all processors did since the start (proc_stat(5)): user, nice, system, idle, waiting, interrupts."""
    with Path("/proc/stat").open() as file:
        return [int(number) for number in file.readline().split()[1:8]]


class _Whatever:
    """A digest that fits every other."""

    def __eq__(self, _other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def _tensors(trust: str, threads: int, *, proven: bool) -> None:
    from weighbridge.core.errors import Truncated
    from weighbridge.serve.loader import open_tensors
    from weighbridge.vault import chunks

    if not proven:

        def unproven(stream: Any, rooms: Any, _stored: object, _store: object) -> Any:
            for room in rooms:
                filled = 0
                while filled < len(room):
                    count = stream.readinto(room[filled:])
                    if not count:
                        raise Truncated("the object ended early")
                    filled += count
            return _Whatever()

        chunks._filled = unproven

    with open_tensors(MODEL, trust=trust, streams=threads) as tensors:
        measured(lambda: sum(tensor.size_bytes for _, tensor in tensors.stream()))


def _plain(trust: str, threads: int) -> None:
    """The same objects by the same HTTP, into one buffer for each thread."""
    import threading
    from concurrent.futures import ThreadPoolExecutor

    from weighbridge.serve.loading.node import NodeSettings, open_node

    with open_node(NodeSettings(trust=Path(trust))) as node, ThreadPoolExecutor(threads) as pool:
        sealed = node.resolve(MODEL)
        own = threading.local()

        def read(place: tuple[str, int, int]) -> int:
            buffer = own.__dict__.setdefault("buffer", bytearray(RANGE_BYTES))
            path, start, end = place
            stored, filled = sealed.placed[path], 0
            with node.store.open(stored.key, start, end, version_id=stored.version_id) as stream:
                while filled < end - start:
                    filled += stream.readinto(memoryview(buffer)[filled : end - start])
            return filled

        ranges = [
            (one.path, start, min(one.size_bytes, start + RANGE_BYTES))
            for one in sealed.manifest.artifacts
            if one.path.endswith(".safetensors")
            for start in range(0, one.size_bytes, RANGE_BYTES)
        ]
        measured(lambda: sum(pool.map(read, ranges)))


def _files(folder: str) -> None:
    from safetensors.torch import load_file

    def load() -> int:
        total = 0
        for path in sorted(Path(folder).glob("*.safetensors")):
            total += sum(tensor.clone().nbytes for tensor in load_file(path).values())
        return total

    measured(load)


def _races(count: int) -> None:
    """One race in fifty is over a model of several chunks, where objects also change within one tensor."""
    from tests.support.loading import Depot, lying_node, race, race_files
    from weighbridge.core.digests import CHUNK_BYTES
    from weighbridge.core.errors import IntegrityError, StoreError
    from weighbridge.serve.loader import VerifiedTensors

    whole = refused = handed = wrong = lies = seed = attacked = 0
    sizes: tuple[dict[str, int], ...] = ({}, {"shards": 2, "elements": CHUNK_BYTES // 4 + 1})
    with tempfile.TemporaryDirectory() as name:
        depot, models = Depot(Path(name)), []
        for number, size in enumerate(sizes):
            (older, _), (newer, truth) = race_files(0.5, **size), race_files(0.75, **size)
            depot.approve(older, name=f"{MODEL}{number}")
            depot.approve(newer, name=f"{MODEL}{number}")
            models.append((older, truth))
        with depot.node() as node:
            sealed = [node.resolve(f"{MODEL}{number}") for number in range(len(models))]
            while attacked < count:
                seed += 1
                number = int(seed % 50 == 0)
                older, truth = models[number]
                store = race(node.store, older, seed)
                try:
                    with lying_node(node, store), VerifiedTensors(node, sealed[number], streams=2) as tensors:
                        for tensor_name, tensor in tensors.stream():
                            handed += tensor.size_bytes
                            wrong += tensor.size_bytes * (bytes(tensor.data) != truth[tensor_name])
                    whole += 1
                except (IntegrityError, StoreError):
                    refused += 1
                lies += store.lies
                attacked += bool(store.lies)
    print(
        f"{attacked} races with {lies} false answers, {seed - attacked} without: {whole} loads whole, {refused} refused"
    )
    print(f"{handed} bytes handed out, {wrong} of them unproven")


# --- the setting ---------------------------------------------------------------------------------


def _shards(size_bytes: int, folder: Path) -> None:
    """Safetensors files of that many bytes together, of tensors as large models have them."""
    import numpy
    from safetensors.numpy import save_file

    random = numpy.random.default_rng(6)
    each = max(1, size_bytes // SHARDS // (TENSOR_ROWS * TENSOR_COLUMNS))
    for shard in range(SHARDS):
        tensors = {
            f"model.layers.{shard}.mlp.experts.{number}.weight": random.integers(
                0, 255, (TENSOR_ROWS, TENSOR_COLUMNS), dtype="uint8"
            )
            for number in range(each)
        }
        tensors[f"model.layers.{shard}.norm.weight"] = random.integers(0, 255, 7_168, dtype="uint8")
        save_file(tensors, folder / f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors")


def _prepare(size_bytes: int, base: Path, address: str, endpoint: str) -> None:
    """Writes the shards, and an approved store that holds them."""
    from tests.support.loading import Depot
    from weighbridge.core.config import StoreSettings
    from weighbridge.core.names import Address
    from weighbridge.serve.loading.trust import Trust
    from weighbridge.store.opening import open_store
    from weighbridge.wire.http import Http

    folder = base / "model"
    folder.mkdir()
    _shards(size_bytes, folder)
    (folder / "config.json").write_text("{}")
    http = Http(user_agent="benchmark")
    depot = Depot(base / "depot", open_store(Address.parse(address), StoreSettings(s3_endpoint=endpoint), http))
    depot.approve({path.name: path.read_bytes() for path in sorted(folder.iterdir())}, name=MODEL)
    trust = Trust.from_bytes(depot.trust().read_bytes())
    with_endpoint = Trust(
        trust.store,
        trust.root,
        trust.keys,
        trust.revoked,
        trust.index_version,
        endpoint,
        "us-east-1" if endpoint else "",
    )
    (base / "trust.json").write_bytes(with_endpoint.to_bytes())
    print(json.dumps({"revision": depot.manifests[MODEL].revision}))


def _child(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    ran = subprocess.run(command, cwd=ROOT, env=dict(environment), capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{' '.join(command[:6])} failed:\n{ran.stdout}\n{ran.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(ran.stdout.rstrip().rpartition("\n")[2])
    return found


def _compare(options: argparse.Namespace) -> None:
    from contextlib import ExitStack

    from tests.support import seaweed

    with ExitStack() as closing:
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
        base = Path(tempfile.mkdtemp(prefix="wb-loading-", dir=memory))
        closing.callback(shutil.rmtree, base, ignore_errors=True)
        environment = {**os.environ, "WEIGHBRIDGE_STATE": str(base / "state")}
        address, endpoint = str(base / "approved"), ""
        if options.store == "s3":
            server = closing.enter_context(seaweed.running())
            address, endpoint = f"s3://{server.bucket()}/approved", server.endpoint
            environment.update(server.environment)
        ours = [sys.executable, "-m", "benchmarks.loading"]
        prepared = _child(
            [*ours, "prepare", str(options.megabytes * 1_000_000), str(base), address, endpoint], environment
        )
        contenders = _contenders(options, base, address, prepared["revision"], environment)
        rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
        for _ in range(options.rounds):
            for name, run in contenders.items():
                rounds[name].append(run())
                print(name, rounds[name][-1], file=sys.stderr, flush=True)
        _tell(rounds)


def _contenders(
    options: argparse.Namespace, base: Path, address: str, revision: str, environment: dict[str, str]
) -> dict[str, Callable[[], dict[str, Any]]]:
    ours = [sys.executable, "-m", "benchmarks.loading"]
    trust, threads = str(base / "trust.json"), str(options.threads)
    found: dict[str, Callable[[], dict[str, Any]]] = {
        kind: lambda kind=kind: _child([*ours, kind, trust, threads], environment)  # type: ignore[misc]
        for kind in ("verified", "unverified", "plain")
    }
    if options.hf:
        found["hf download + safetensors"] = lambda: _hub(options.hf, base, environment)
    if options.runai and address.startswith("s3://"):
        names = [f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors" for shard in range(SHARDS)]
        urls = [f"{address}/models/{MODEL}/{revision}/{name}" for name in names]
        more = {
            "RUNAI_STREAMER_CONCURRENCY": threads,
            "RUNAI_STREAMER_S3_ENDPOINT": environment["WEIGHBRIDGE_STORE_S3_ENDPOINT"],
            "AWS_ENDPOINT_URL": environment["WEIGHBRIDGE_STORE_S3_ENDPOINT"],
            "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "0",
            "RUNAI_STREAMER_MEMORY_LIMIT": str(512 * 1024 * 1024),
        }
        found["runai-model-streamer"] = lambda: _child([options.runai, "-c", RUNAI, *urls], {**environment, **more})
    return found


def _hub(hf: str, base: Path, environment: dict[str, str]) -> dict[str, Any]:
    """`hf download` from a Hub on this machine, and safetensors' own loader after it."""
    from benchmarks.measure import run
    from benchmarks.servers import hub

    with hub({MODEL: base / "model"}) as origin, tempfile.TemporaryDirectory(dir=base) as home:
        named = {
            **environment,
            "HF_ENDPOINT": origin.endpoint,
            "HF_HOME": home,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        cost = run([hf, "download", MODEL, "--local-dir", f"{home}/model"], environment=named)
        loaded = _child([sys.executable, "-m", "benchmarks.loading", "files", f"{home}/model"], environment)
    return {
        **loaded,
        "seconds": loaded["seconds"] + cost.wall_seconds,
        "cpu": loaded["cpu"] + cost.cpu_seconds,
        "peak": max(loaded["peak"], cost.peak_rss_bytes),
    }


def _tell(rounds: Mapping[str, list[dict[str, Any]]]) -> None:
    print(f"{'what':30} {'s':>8} {'GB/s':>7} {'CPU-s/GB':>9} {'peak MB':>8} {'idle':>5}")
    for name, costs in rounds.items():
        size = costs[0]["bytes"] / 1e9
        middle = {figure: statistics.median(cost[figure] for cost in costs) for figure in ("seconds", "cpu", "peak")}
        rates = f"{middle['seconds']:8.2f} {size / middle['seconds']:7.2f} {middle['cpu'] / size:9.2f} {middle['peak'] / 1e6:8.0f}"
        idle = f"{statistics.median(cost['idle'] for cost in costs):5.0%}" if "idle" in costs[0] else ""
        print(f"{name:30} {rates} {idle}")
    for name, bar in (("unverified", BAR), ("hf download + safetensors", 1.0), ("runai-model-streamer", None)):
        if name in rounds:
            pairs = zip(rounds[name], rounds["verified"], strict=True)
            ratio = statistics.median(other["seconds"] / ours["seconds"] for other, ours in pairs)
            said = "" if bar is None else f"bar {bar:.2f}: {'met' if ratio >= bar else 'MISSED'}"
            print(f"verified to {name}: {ratio:.3f} {said}")


def main() -> None:
    """See the module's docstring."""
    words = sys.argv[1:]
    if words[:1] in (["verified"], ["unverified"]):
        _tensors(words[1], int(words[2]), proven=words[0] == "verified")
    elif words[:1] == ["plain"]:
        _plain(words[1], int(words[2]))
    elif words[:1] == ["files"]:
        _files(words[1])
    elif words[:1] == ["prepare"]:
        _prepare(int(words[1]), Path(words[2]), words[3], words[4])
    elif words[:1] == ["races"]:
        _races(int(words[1]) if words[1:] else 10_000)
    else:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--megabytes", type=int, default=1_024)
        parser.add_argument("--rounds", type=int, default=5)
        parser.add_argument("--threads", type=int, default=2)
        parser.add_argument("--runai", default="")
        parser.add_argument("--hf", default="")
        parser.add_argument("--store", choices=("s3", "folder"), default="s3")
        parser.add_argument("--link", type=float, default=0.0, metavar="GBIT")
        options = parser.parse_args()
        if options.link and not os.environ.get("SHAPED"):
            shape = f"ip link set lo up && tc qdisc add dev lo root tbf rate {options.link}gbit burst 4mb latency 100ms"
            again = [sys.executable, "-m", "benchmarks.loading", *words]
            os.environ["SHAPED"] = "1"
            os.execvp("unshare", ["unshare", "--net", "sh", "-c", f'{shape} && exec "$@"', "sh", *again])
        _compare(options)


if __name__ == "__main__":
    main()
