"""Loads random models with chunks of 64 bytes, so that tensors and chunks meet in every way: `python -m tests.support.small_chunks SEED CASES`.

Chunks are 8 MiB everywhere else; here they are made small before anything that knows their size is imported.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

import numpy
from safetensors.numpy import save

import weighbridge.core.digests

SMALL = 64
SIZES = (0, 1, 3, 7, SMALL - 1, SMALL, SMALL + 1, 2 * SMALL)


def random_model(chance: random.Random) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Files of one to three shards, and the bytes of their tensors."""
    files, truth = {}, {}
    for shard in range(chance.randint(1, 3)):
        tensors = {
            f"s{shard}.t{number}": chance.randbytes(chance.choice((*SIZES, chance.randint(0, 400))))
            for number in range(chance.randint(0, 12))
        }
        files[f"s{shard}.safetensors"] = save(
            {name: numpy.frombuffer(data, "uint8") for name, data in tensors.items()},
            metadata={"padding": "x" * chance.randint(0, 200)},
        )
        truth.update(tensors)
    return files, truth


def main(seed: int, cases: int) -> int:
    """How many loads gave what was approved; ends with an assertion at the first that did not."""
    weighbridge.core.digests.CHUNK_BYTES = SMALL  # type: ignore[misc]
    from tests.support.loading import Depot
    from weighbridge.serve.loader import VerifiedTensors
    from weighbridge.serve.loading import stream

    assert stream.CHUNK_BYTES == SMALL
    chance, loads = random.Random(seed), 0
    with tempfile.TemporaryDirectory() as folder:
        depot = Depot(Path(folder))
        models = {f"acme/m{case}": random_model(chance) for case in range(cases)}
        for name, (files, _) in models.items():
            depot.approve(files, name=name)
        with depot.node() as node:
            for name, (_, truth) in models.items():
                for memory_bytes in (1, 100, 1_000, 1 << 30):
                    with VerifiedTensors(
                        node, node.resolve(name), memory_bytes=memory_bytes, streams=chance.randint(1, 4)
                    ) as tensors:
                        assert {one: bytes(tensor.data) for one, tensor in tensors.stream()} == truth, name
                        some = [one for one in truth if chance.random() < 0.4]
                        got = {one: bytes(tensor.data) for one, tensor in tensors.stream(some)}
                        assert got == {one: truth[one] for one in some}, name
                        loads += 1
    return loads


if __name__ == "__main__":
    print(main(int(sys.argv[1]), int(sys.argv[2])))
