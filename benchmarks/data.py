"""Writes the files that are moved: safetensors of a given size, and repositories of many small files."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

TENSOR_BYTES = 4 * 1024 * 1024


def write_model(folder: Path, *, shards: int, shard_bytes: int, sparse: bool = False) -> dict[str, str]:
    """Writes a model of safetensors shards of exactly `shard_bytes` each; returns the SHA-256 of each shard by name.

    A sparse model has a real header and a hole for its data: it takes no room, and no SHA-256 is returned.
    """
    folder.mkdir(parents=True)
    digests: dict[str, str] = {}
    weight_map: dict[str, str] = {}
    for number in range(1, shards + 1):
        name = f"model-{number:05}-of-{shards:05}.safetensors"
        header, tensors = _header(shard_bytes, number)
        weight_map |= dict.fromkeys(tensors, name)
        with (folder / name).open("wb") as stream:
            stream.write(header)
            if sparse:
                stream.truncate(shard_bytes)
                continue
            digest = hashlib.sha256(header)
            for block in _blocks(shard_bytes - len(header), number):
                stream.write(block)
                digest.update(block)
            digests[name] = digest.hexdigest()
    index = {"metadata": {"total_size": shards * shard_bytes}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}))
    return digests


def _header(shard_bytes: int, shard: int) -> tuple[bytes, list[str]]:
    """A safetensors header that accounts for the whole file; padded to a fixed size so that the sizes come out."""
    room = 1024 + 160 * (shard_bytes // TENSOR_BYTES + 1)
    room += -room % 8
    data = shard_bytes - 8 - room
    tensors: dict[str, object] = {}
    for number, start in enumerate(range(0, data, TENSOR_BYTES)):
        end = min(start + TENSOR_BYTES, data)
        name = f"shards.{shard}.layers.{number}.weight"
        tensors[name] = {"dtype": "U8", "shape": [end - start], "data_offsets": [start, end]}
    text = json.dumps(tensors).encode()
    if data <= 0 or len(text) > room:
        raise ValueError(f"a shard of {shard_bytes} bytes is too small")
    return room.to_bytes(8, "little") + text.ljust(room), list(tensors)


def _blocks(size_bytes: int, seed: int) -> Iterator[memoryview]:
    block = memoryview(random.Random(seed).randbytes(TENSOR_BYTES))
    while size_bytes:
        piece = block[: min(size_bytes, TENSOR_BYTES)]
        yield piece
        size_bytes -= len(piece)


def write_small_files(folder: Path, count: int) -> int:
    """Writes `count` text files of 1 to 4 kB, 100 to a folder; returns their bytes in all."""
    numbers = random.Random(count)
    total = 0
    for number in range(count):
        path = folder / f"notes-{number // 100:03}" / f"{number:05}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"number": number, "text": numbers.randbytes(numbers.randrange(480, 1980)).hex()})
        path.write_text(text)
        total += len(text)
    return total
