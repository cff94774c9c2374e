"""`conversion`: a torch checkpoint becomes safetensors, folder to folder, against `torch.load` and `save_file`.

Ours streams as an ingest does: it plans, reads what it needs of the parent, writes the file and digests it on the way,
in a second thread.
With the proof it then reads both sides again and digests every tensor of each. torch loads the whole checkpoint (or
maps it) and saves it; it digests nothing, so that a variant that digests the file as it lies afterwards is measured as
well. Every contender has to end with the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from benchmarks.measure import GB, MIB, Cell, Cost, Outcome, Target, clean_environment, median, read_json_line, row, run
from benchmarks.setting import Setting

BLOCK_BYTES = MIB
"""A block is digested while the next is read and written; larger ones leave the caches and cost page faults."""
SPEED, MEMORY_MIB = 3.0, 200.0
OURS, PROVEN = "weighbridge, SHA-256 of the file", "the same, every tensor proven"
LOADED, MAPPED = "torch.load + save_file", "torch.load(mmap=True) + save_file"
LOADED_SHA, MAPPED_SHA = f"{LOADED} + SHA-256", f"{MAPPED} + SHA-256"
CONTENDERS = {
    OURS: "ours", LOADED: "load", MAPPED: "map", PROVEN: "prove", LOADED_SHA: "load-sha256", MAPPED_SHA: "map-sha256",
}  # fmt: skip


def measure(setting: Setting, form: str = "zip") -> Outcome:
    """Writes a checkpoint and converts it in interleaved rounds, each in a process of its own."""
    rounds: dict[str, list[Cost]] = {who: [] for who in CONTENDERS}
    digests = set()
    with setting.folder("conversion") as folder:
        folder.mkdir(parents=True)
        source = folder / "pytorch_model.bin"
        _run("write", source, str(setting.size_bytes), form)
        size = source.stat().st_size
        for number in range(setting.rounds):
            names = list(CONTENDERS)
            for who in names if number % 2 == 0 else names[::-1]:
                target = folder / "model.safetensors"
                cost = _run(CONTENDERS[who], source, str(target))
                rounds[who].append(cost)
                digests.add(read_json_line(cost.output).get("sha256") or _sha256(target))
                target.unlink()
    if len(digests) != 1:
        raise SystemExit(f"the contenders wrote different files: {digests}")
    return _outcome(form, size, rounds)


def _outcome(form: str, size: int, rounds: dict[str, list[Cost]]) -> Outcome:
    costs = {who: median(one) for who, one in rounds.items()}
    ours = costs[OURS]
    targets = [
        Target(f"wall, {LOADED} over ours", costs[LOADED].wall_seconds / ours.wall_seconds, "at least", SPEED, "x")
    ]
    ratios = [
        f"{who} over ours: wall {costs[who].wall_seconds / ours.wall_seconds:.2f} x,"
        f" CPU time {costs[who].cpu_seconds / ours.cpu_seconds:.2f} x"
        for who in (LOADED, MAPPED, LOADED_SHA, MAPPED_SHA)
    ]
    targets.append(Target("peak memory", ours.peak_rss_bytes / MIB, "at most", MEMORY_MIB, "MiB"))
    rows: list[dict[str, Cell]] = [row(who, cost, size) for who, cost in costs.items()]
    notes = [
        f"torch {version('torch')}, safetensors {version('safetensors')}; whole processes, the import of torch included;"
        " the files lie where the operating system keeps them in memory if it can. Peak memory counts mapped pages.",
        "All contenders wrote the same bytes. torch loads with weights_only=True.",
        *ratios,
    ]
    return Outcome("conversion", f"Conversion of {size / GB:.2f} GB, {form} form", rows, targets, notes, rounds)


def _run(what: str, source: Path, *words: str) -> Cost:
    return run([sys.executable, "-m", "benchmarks.conversion", what, source, *words], environment=clean_environment())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- the contenders, each in a process of its own ------------------------------------------------


class _File:
    """A file as a `core.ports.RangeReader`."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = name
        self._descriptor = os.open(path, os.O_RDONLY)
        self.size_bytes = os.fstat(self._descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)


def _ours(source: Path, target: Path, *, proven: bool) -> str:
    from weighbridge.core.snapshot import Entry
    from weighbridge.remediate.equality import prove
    from weighbridge.remediate.to_safetensors import to_safetensors

    parent = _File(source, source.name)
    step = to_safetensors([Entry(parent.path, parent.size_bytes)], lambda _: parent)
    assert step is not None
    (made,) = step.made
    sha256 = hashlib.sha256()
    with target.open("wb", buffering=0) as out, ThreadPoolExecutor(1) as hashing:
        pending: deque[Future[None]] = deque()
        for piece in made.pieces:
            for start in range(0, piece.size_bytes, BLOCK_BYTES):
                data = piece.read(lambda _: parent, start, min(start + BLOCK_BYTES, piece.size_bytes))
                pending.append(hashing.submit(sha256.update, data))
                out.write(data)
                if len(pending) > 2:
                    pending.popleft().result()
        for one in pending:
            one.result()
    if proven:
        prove(step, lambda _: parent, lambda path: _File(target, path))
    return sha256.hexdigest()


def _torch(source: Path, target: Path, *, mapped: bool) -> None:
    import torch
    from safetensors.torch import save_file

    tensors = torch.load(source, weights_only=True, mmap=mapped, map_location="cpu")
    save_file(tensors, target, metadata={"format": "pt"})


def _write(source: Path, size: int, form: str) -> None:
    """A checkpoint of about that size: layers as those of a model with 4096 channels, in bfloat16."""
    import torch

    channels, inner = 4096, 11008
    shapes = {"q": (channels, channels), "up": (inner, channels), "down": (channels, inner), "norm": (channels,)}
    layer = sum(rows[0] * (rows[1] if len(rows) > 1 else 1) * 2 for rows in shapes.values())
    count = max(1, round(size / layer))
    noise = torch.randint(-(2**15), 2**15, (inner * channels,), dtype=torch.int16)
    tensors = {}
    for number in range(count):
        for name, shape in shapes.items():
            data = noise[: torch.Size(shape).numel()].roll(number + 1).view(torch.bfloat16).reshape(shape)
            tensors[f"layers.{number}.{name}.weight"] = data.clone()
    torch.save(tensors, source, _use_new_zipfile_serialization=form == "zip")


def _contend(what: str, source: Path, target: Path) -> None:
    digest = ""
    if what in ("ours", "prove"):
        digest = _ours(source, target, proven=what == "prove")
    else:
        _torch(source, target, mapped=what.startswith("map"))
        digest = _sha256(target) if what.endswith("sha256") else ""
    print(json.dumps({"sha256": digest}))


def main(arguments: Sequence[str] | None = None) -> int:
    """Without a contender's name: measures, and prints the table."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] == "write":
        _write(Path(words[1]), int(words[2]), words[3])
        return 0
    if words and words[0] in CONTENDERS.values():
        _contend(words[0], Path(words[1]), Path(words[2]))
        return 0
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conversion", description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0, help="size of the checkpoint")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; medians are reported")
    parser.add_argument("--form", choices=("zip", "stream"), default="zip", help="which form of checkpoint")
    parser.add_argument("--workspace", type=Path, default=Path(tempfile.gettempdir()), help="where the files go")
    chosen = parser.parse_args(words)
    from benchmarks.report import section

    setting = Setting(chosen.workspace, Path(), chosen.gigabytes, chosen.rounds, large=False)
    print(section(measure(setting, chosen.form).to_json() | {"name": "conversion"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
