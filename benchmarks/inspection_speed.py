"""`inspection-speed`: what an inspection costs, beside the peers: many small files, few large ones, and bombs.

Files of gigabytes are holes with real structure around them: they lie on disk, not in memory.
"""

from __future__ import annotations

import json
import pickle
import random
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bombs import NAMED
from benchmarks.data import write_model
from benchmarks.measure import GB, MIB, ROOT, BenchmarkFailed, Cell, Cost, Outcome, Target, median, read_json_line, run
from benchmarks.scanners import OURS, SCANNERS, Judged, Limits, Scanner, interpreter, judge, quiet_environment
from benchmarks.servers import hub
from benchmarks.setting import MODEL, Setting, weighbridge

SMALL, TORCH, SHARD = "1,000 small pickles, 7.9 MB", "torch archive, 2 GB", "safetensors shard, 4.3 GB"
LIGHT = "weighbridge without content engines"
FIRST = "weighbridge, its first run"
"""Before it has kept the compiled malware rules."""
QUICK = ("picklescan", "fickling", "modelscan", "hayward", "aisbom")
SLOW = ("purser", "modelaudit")
"""Run once, and not waited for longer than this."""
PATIENCE_SECONDS = 60
SHARD_BYTES = 4_300_000_000
SHARDS, TENSORS = 163, 560
BOMB = "bomb: "
LIMITS = Limits(180, 60, 4 << 30)
ROUND_TRIP_SECONDS = 0.02
ANY = frozenset(range(256))


def measure(setting: Setting) -> Outcome:
    """All parts; every figure is of whole processes."""
    rows: list[dict[str, Cell]] = []
    rounds: dict[str, list[Cost]] = {}
    notes = [
        "`read MB` is what our scanner says it read of the files. The engines for content look at what is no tensor data.",
        f"{' and '.join(SLOW)} ran once for each input, and were ended after {PATIENCE_SECONDS} s.",
        f"Bombs: peers were given {LIMITS.cpu_seconds} s of processor and {LIMITS.room_bytes >> 30} GiB of address space "
        "each, their start is not counted, and an answer that they gave before is taken again (`--fresh`: not). Ours are "
        "whole processes without a limit.",
    ]
    # The peers' modules are compiled as well: nobody is charged for that.
    subprocess.run([sys.executable, "-m", "compileall", "-q", ROOT / "src"], check=False, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory(prefix="weighbridge-speed-") as scratch:
        folder = Path(scratch)
        for what, path in (
            (SMALL, small_pickles(folder / "small")),
            (TORCH, torch_archive(folder / "torch" / "model.pt")),
            (SHARD, one_shard(folder / "shard")),
        ):
            rows += _compared(what, path, setting.rounds, rounds, notes)
        rows.append(_repository(folder / "repository", setting, rounds))
        rows += _sizes(folder, rounds)
        rows += _bombs(folder / "bombs", setting, rounds, notes)
    return Outcome(
        "inspection-speed", "What an inspection costs, whole processes", rows, _targets(rounds, rows), notes, rounds
    )


# --- what is inspected ---------------------------------------------------------------------------


def small_pickles(folder: Path) -> Path:
    """A thousand pickles of dicts and byte arrays, as plain as training scripts leave behind."""
    folder.mkdir(parents=True)
    numbers = random.Random(1)
    for number in range(1000):
        value: dict[str, object] = {"step": number, "names": [f"layer.{place}" for place in range(20)]}
        value["losses"] = [numbers.random() for _ in range(200)]
        value["data"] = numbers.randbytes(5500)
        (folder / f"{number:04}.pkl").write_bytes(pickle.dumps(value, protocol=4))
    return folder


def torch_archive(path: Path, *, storages: int = 200, storage_bytes: int = 10_000_000) -> Path:
    """A state dict as torch saves it, with holes for its storages; the central directory knows their real checksums."""
    path.parent.mkdir(parents=True)
    head = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01("
    pieces = [head]
    for number in range(storages):
        weight, key = f"layers.{number}.weight".encode(), str(number).encode()
        count = storage_bytes // 4
        pieces.append(b"X" + struct.pack("<I", len(weight)) + weight + b"ctorch._utils\n_rebuild_tensor_v2\n((")
        pieces.append(b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX" + struct.pack("<I", len(key)) + key)
        pieces.append(b"X\x03\x00\x00\x00cpuJ" + struct.pack("<i", count) + b"tQK\x00J" + struct.pack("<i", count))
        pieces.append(b"\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR")
    members = [("archive/data.pkl", b"".join([*pieces, b"u."]), 0), ("archive/byteorder", b"little", 0)]
    members += [(f"archive/data/{number}", b"", storage_bytes) for number in range(storages)]
    members.append(("archive/version", b"3\n", 0))
    checksum = zlib.crc32(bytes(storage_bytes))
    directory = b""
    with path.open("wb") as out:
        for name, data, hole in members:
            size, crc = hole or len(data), checksum if hole else zlib.crc32(data)
            fields = struct.pack("<HHHHIIIHH", 0, 0, 0, 0x21, crc, size, size, len(name), 0)
            directory += b"PK\x01\x02\x14\x00\x14\x00" + fields[:24] + fields[24:]
            # The torch writer aligns storages to 64 bytes by a field of padding.
            place = out.tell()
            padding = -(place + 30 + len(name) + 4) % 64
            extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
            local = fields[:-2] + struct.pack("<H", len(extra))
            directory += struct.pack("<HHHII", 0, 0, 0, 0, place) + name.encode()
            out.write(b"PK\x03\x04\x14\x00" + local + name.encode() + extra + data)
            if hole:
                out.seek(hole - 1, 1)
                out.write(b"\0")
        start, count = out.tell(), len(members)
        out.write(directory + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), start, 0))
    return path


def one_shard(folder: Path, size: int = SHARD_BYTES) -> Path:
    """One safetensors file, its data a hole."""
    write_model(folder, shards=1, shard_bytes=size, sparse=True)
    return folder / "model-00001-of-00001.safetensors"


# --- measuring -----------------------------------------------------------------------------------


def _line(what: str, who: str, cost: Cost, **more: Cell) -> dict[str, Cell]:
    found: dict[str, Cell] = {
        "what": what,
        "scanner": who,
        "wall s": round(cost.wall_seconds, 2),
        "CPU s": round(cost.cpu_seconds, 2),
        "peak RSS MiB": round(cost.peak_rss_bytes / MIB),
    }
    return found | more


def _ours(source: str | Path, *more: str, **variables: str) -> Cost:
    with quiet_environment() as named:
        return run([*weighbridge("scan", source, "--format", "json"), *more], environment=named | variables, codes=ANY)


def _peer(scanner: Scanner, path: Path) -> Cost:
    program = interpreter(scanner).parent / scanner.environment
    with quiet_environment() as named:
        limited = ["timeout", "-k", "5", str(PATIENCE_SECONDS), program] if scanner.name in SLOW else [program]
        return run([*limited, *scanner.words(path)[1:]], environment=named, codes=ANY)


def _compared(
    what: str, path: Path, count: int, rounds: dict[str, list[Cost]], notes: list[str]
) -> list[dict[str, Cell]]:
    """Ours, ours without engines, and the peers that end in time, by turns."""
    quick = [scanner for scanner in SCANNERS if scanner.name in QUICK]
    if path.is_dir():
        quick = [scanner for scanner in quick if scanner.name != "fickling"]
    slow = [scanner for scanner in SCANNERS if scanner.name in SLOW]
    with quiet_environment() as kept:
        costs: dict[str, list[Cost]] = {FIRST: [_ours(path, **kept)]}
        for turn in range(count):
            costs.setdefault(OURS, []).append(_ours(path, **kept))
            costs.setdefault(LIGHT, []).append(_ours(path, "--without", "malware", "--without", "secrets"))
            for scanner in quick if turn else [*quick, *slow]:
                try:
                    costs.setdefault(scanner.name, []).append(_peer(scanner, path))
                except BenchmarkFailed as error:
                    notes.append(f"{scanner.name}, {what}: {str(error).splitlines()[0]}")
    rows = []
    for who, found in costs.items():
        rounds[f"{what}: {who}"] = found
        more: dict[str, Cell] = {}
        if who in (OURS, LIGHT, FIRST):
            said = read_json_line(found[-1].output)
            more = {"read MB": round(int(str(said["read_bytes"])) / 1e6, 2), "verdict": str(said["verdict"])}
        elif who in SLOW and found[-1].wall_seconds >= PATIENCE_SECONDS:
            more = {"verdict": f"none in {PATIENCE_SECONDS} s"}
        rows.append(_line(what, who, median(found), **more))
    return rows


def _repository(folder: Path, setting: Setting, rounds: dict[str, list[Cost]]) -> dict[str, Cell]:
    """A repository with as many shards as DeepSeek-R1, and headers as large; by ranged reads from a Hub on this machine."""
    folder.mkdir()
    names: dict[str, str] = {}
    for number in range(1, SHARDS + 1):
        name = f"model-{number:05}-of-{SHARDS:05}.safetensors"
        tensors = {
            f"model.layers.{number}.mlp.experts.{place}.down_proj.weight_scale_inv": {
                "dtype": "BF16",
                "shape": [128, 64],
                "data_offsets": [place * 16384, (place + 1) * 16384],
            }
            for place in range(TENSORS)
        }
        header = json.dumps(tensors, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
        with (folder / name).open("wb") as out:
            out.write(struct.pack("<Q", len(header)) + header)
            out.truncate(8 + len(header) + TENSORS * 16384)
        names |= dict.fromkeys(tensors, name)
    index = {"metadata": {"total_size": SHARDS * TENSORS * 16384}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    what = f"{SHARDS} shards over HTTP, {ROUND_TRIP_SECONDS * 1000:.0f} ms round trip"
    with hub({MODEL: folder}, delay_seconds=ROUND_TRIP_SECONDS) as origin:
        found = [_ours(f"hf://{MODEL}", HF_ENDPOINT=origin.endpoint) for _ in range(setting.rounds)]
    rounds[f"{what}: {OURS}"] = found
    said = read_json_line(found[-1].output)
    read = round(int(str(said["read_bytes"])) / 1e6, 2)
    more: dict[str, Cell] = {"read MB": read, "verdict": str(said["verdict"])}
    return _line(what, OURS, median(found), **more)


def _sizes(folder: Path, rounds: dict[str, list[Cost]]) -> list[dict[str, Cell]]:
    rows = []
    for gigabytes in (1, 4, 16):
        cost = _ours(one_shard(folder / f"shard-{gigabytes}", gigabytes * GB))
        rounds[f"one shard of {gigabytes} GB: {OURS}"] = [cost]
        rows.append(_line(f"one shard of {gigabytes} GB", OURS, cost))
    return rows


def _bombs(folder: Path, setting: Setting, rounds: dict[str, list[Cost]], notes: list[str]) -> list[dict[str, Cell]]:
    rows: list[dict[str, Cell]] = []
    made = written_bombs(folder)
    for what, path in made.items():
        cost = _ours(path)
        rounds[f"{BOMB}{what}: {OURS}"] = [cost]
        rows.append(_line(f"{BOMB}{what}", OURS, cost, verdict=str(read_json_line(cost.output)["verdict"])))
    asked = {what: made[what] for what in NAMED}
    # The variants of one program read alike.
    for scanner in (one for one in SCANNERS if one.name in (*QUICK, *SLOW, "fickling, as a library")):
        try:
            found = judge(scanner, asked, limits=LIMITS, keep=True, fresh=setting.fresh)
        except BenchmarkFailed as error:
            notes.append(f"{scanner.name}, bombs: {str(error).splitlines()[0]}")
            continue
        for what, said in found.items():
            rows.append(bomb_line(what, scanner.name, said))
    return sorted(rows, key=lambda row: list(made).index(str(row["what"]).removeprefix(BOMB)))


def written_bombs(folder: Path) -> dict[str, Path]:
    """Each bomb's path by its name."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bombs", folder], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchmarkFailed(f"the bombs cannot be written\n{done.stderr[-2000:]}")
    return {name: Path(path) for name, path in json.loads(done.stdout).items()}


def bomb_line(what: str, who: str, said: Judged) -> dict[str, Cell]:
    """A row for what a peer made of a bomb."""
    cost = Cost(said.wall_seconds, said.cpu_seconds, said.peak_bytes)
    ended = said.code if isinstance(said.code, str) else f"{said.answer} (exit {said.code})"
    return _line(f"{BOMB}{what}", who, cost, verdict=ended)


def _targets(rounds: dict[str, list[Cost]], rows: Sequence[dict[str, Cell]]) -> list[Target]:
    def cost(what: str, who: str) -> Cost:
        return median(rounds[f"{what}: {who}"])

    ratio = cost(SMALL, OURS).cpu_seconds / cost(SMALL, "picklescan").cpu_seconds
    light = cost(SMALL, LIGHT).cpu_seconds / cost(SMALL, "picklescan").cpu_seconds
    largest = max(float(row["peak RSS MiB"]) for row in rows if str(row["what"]).startswith("one shard of"))
    repository = next(row for row in rows if str(row["what"]).startswith(f"{SHARDS} shards"))
    burst = [found[0] for what, found in rounds.items() if what.startswith(BOMB)]
    return [
        Target("wall, slowest bomb", max(one.wall_seconds for one in burst), "at most", 10, "s"),
        Target("peak RSS, largest for a bomb", max(one.peak_rss_bytes for one in burst) / MIB, "at most", 150, "MiB"),
        Target(f"CPU, {SMALL}, over picklescan", ratio, "at most", 0.5, "x"),
        Target(f"the same without content engines ({json.dumps(LIGHT)})", light, "at most", 0.5, "x"),
        Target(f"wall, {TORCH}", cost(TORCH, OURS).wall_seconds, "at most", 0.3, "s"),
        Target(f"wall, {SHARD}", cost(SHARD, OURS).wall_seconds, "at most", 0.2, "s"),
        Target("wall, repository over HTTP", float(repository["wall s"]), "at most", 5, "s"),
        Target("read, repository over HTTP", float(repository["read MB"]), "at most", 40, "MB"),
        Target("peak RSS, one shard", largest, "at most", 150, "MiB"),
    ]
