"""A small decoder with random weights, and the copies of it that people make: other types, shards, containers, names."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors.torch import save_file

from weighbridge.drift.fingerprint import Fingerprint, fingerprint
from weighbridge.drift.quantised import NF4
from weighbridge.inventory.places import FolderPlace, Troubles
from weighbridge.inventory.weight_files import chosen, format_of

State = dict[str, torch.Tensor]
HEADS = 4


def decoder(seed: int, *, hidden: int = 64, layers: int = 3, vocabulary: int = 320, deviation: float = 0.02) -> State:
    """Weights of a Llama-shaped decoder, as transformers names them."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * deviation

    state = {"model.embed_tokens.weight": random(vocabulary, hidden), "model.norm.weight": torch.ones(hidden)}
    shapes = {
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (hidden // 2, hidden),
        "self_attn.v_proj": (hidden // 2, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (3 * hidden, hidden),
        "mlp.up_proj": (3 * hidden, hidden),
        "mlp.down_proj": (hidden, 3 * hidden),
    }
    for layer in range(layers):
        for name, shape in shapes.items():
            state[f"model.layers.{layer}.{name}.weight"] = random(*shape)
        state[f"model.layers.{layer}.input_layernorm.weight"] = torch.ones(hidden)
    state["lm_head.weight"] = random(vocabulary, hidden)
    return state


def each_matrix(state: State, change: Callable[[torch.Tensor], torch.Tensor]) -> State:
    """The weights with every matrix changed."""
    return {name: change(value) if value.dim() > 1 else value for name, value in state.items()}


def with_noise(state: State, relative: float, *, seed: int = 99, names: str = "") -> State:
    """Noise of that size, relative to the weights', on the matrices whose names hold `names`."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: value + relative * value.std() * torch.randn(value.shape, generator=generator)
        if value.dim() > 1 and names in name
        else value
        for name, value in state.items()
    }


def in_eight_bits(value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """8-bit floats with a scale for each 32 columns of a row, as blocks of DeepSeek's are scaled."""
    blocks = value.reshape(value.shape[0], -1, 32)
    scale = blocks.abs().amax(2, keepdim=True) / 448
    return (blocks / scale).to(torch.float8_e4m3fn).reshape(value.shape), scale.squeeze(2)


def scaled_eight_bits(state: State) -> State:
    """All matrices as 8-bit floats beside their scales."""
    made: State = {}
    for name, value in state.items():
        if value.dim() > 1:
            made[name], made[f"{name}_scale_inv"] = in_eight_bits(value)
        else:
            made[name] = value
    return made


def widened(value: torch.Tensor) -> torch.Tensor:
    """Through 8 bits to BF16."""
    small, scale = in_eight_bits(value)
    blocks = small.float().reshape(value.shape[0], scale.shape[1], -1) * scale.unsqueeze(2)
    return blocks.reshape(value.shape).bfloat16()


def int8_rows(value: torch.Tensor) -> torch.Tensor:
    """int8 with a scale for each row, which lies elsewhere."""
    return (value / (value.abs().amax(1, keepdim=True) / 127)).round().to(torch.int8)


def nf4(state: State) -> State:
    """All matrices as bitsandbytes packs them in 4 bits, in blocks of 64 (without its second quantisation, of the scales)."""
    levels = torch.tensor(NF4.levels)
    made: State = {}
    for name, value in state.items():
        if value.dim() < 2 or "embed" in name or "lm_head" in name:
            made[name] = value
            continue
        blocks = value.reshape(-1, 64)
        most = blocks.abs().amax(1, keepdim=True)
        codes = torch.bucketize(blocks / most, (levels[1:] + levels[:-1]) / 2).to(torch.uint8).reshape(-1, 2)
        made[name] = (codes[:, 0] << 4 | codes[:, 1]).reshape(-1, 1)
        said = json.dumps({"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": list(value.shape)})
        made[f"{name}.absmax"], made[f"{name}.quant_map"] = most.flatten(), levels.clone()
        made[f"{name}.quant_state.bitsandbytes__nf4"] = torch.tensor(list(said.encode()), dtype=torch.uint8)
    return made


# --- files ---------------------------------------------------------------------------------------


def write_safetensors(folder: Path, state: State, *, shards: int = 1) -> Path:
    """Writes safetensors, in shards with their index."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(state)
    if shards == 1:
        save_file({name: value.contiguous() for name, value in state.items()}, folder / "model.safetensors")
        return folder
    index: dict[str, str] = {}
    for number in range(shards):
        path = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        part = names[number::shards]
        save_file({name: state[name].contiguous() for name in part}, folder / path)
        index.update(dict.fromkeys(part, path))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return folder


def permuted(value: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query or key as llama.cpp's converter turns them (`LlamaModel.permute`)."""
    split = value.reshape(heads, 2, value.shape[0] // heads // 2, *value.shape[1:])
    return split.swapaxes(1, 2).reshape(value.shape)


GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
}


Quantise = Callable[["numpy.ndarray[Any, Any]", str], "numpy.ndarray[Any, Any]"]


def quantised(values: numpy.ndarray[Any, Any], kind: str) -> numpy.ndarray[Any, Any]:
    """Rows in a type of GGUF: by its own library, and Q4_K and Q6_K, which that only reads, by rounding to the nearest."""
    import gguf

    if kind == "Q4_K":
        return _q4_k(values.reshape(-1, 8, 32)).reshape(values.shape[0], -1)
    if kind == "Q6_K":
        return _q6_k(values.reshape(-1, 16, 16)).reshape(values.shape[0], -1)
    return gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind])


def _in_six_bits(parts: numpy.ndarray[Any, Any], most: int) -> tuple[numpy.ndarray[Any, Any], numpy.ndarray[Any, Any]]:
    """A half-width scale of each block, and each part as a multiple of it."""
    scale = (parts.max(1, keepdims=True) / most).astype("float16")
    return scale, numpy.rint(parts / numpy.maximum(scale.astype("float32"), 1e-12)).astype("uint8")


def _q4_k(runs: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
    least = numpy.maximum(0, -runs.min(2))
    scale, parts = _in_six_bits((runs.max(2) + least) / 15, 63)
    offset, leasts = _in_six_bits(least, 63)
    step = numpy.maximum(scale.astype("float32") * parts, 1e-12)[:, :, None]
    codes = numpy.rint((runs + (offset.astype("float32") * leasts)[:, :, None]) / step).clip(0, 15).astype("uint8")
    pairs = codes.reshape(-1, 4, 2, 32)
    packed = [
        parts[:, :4] | parts[:, 4:] >> 4 << 6,
        leasts[:, :4] | leasts[:, 4:] >> 4 << 6,
        parts[:, 4:] & 15 | (leasts[:, 4:] & 15) << 4,
        (pairs[:, :, 0] | pairs[:, :, 1] << 4).reshape(-1, 128),
    ]
    return numpy.concatenate([scale.view("uint8"), offset.view("uint8"), *packed], 1)


def _q6_k(runs: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
    scale, parts = _in_six_bits(numpy.abs(runs).max(2) / 31, 127)
    step = numpy.maximum(scale.astype("float32") * parts, 1e-12)[:, :, None]
    codes = (numpy.rint(runs / step).clip(-32, 31) + 32).astype("uint8").reshape(-1, 2, 4, 32)
    low = (codes[:, :, :2] & 15 | (codes[:, :, 2:] & 15) << 4).reshape(-1, 128)
    high = sum(codes[:, :, place] >> 4 << 2 * place for place in range(4)).reshape(-1, 64)
    return numpy.concatenate([low, high, parts, scale.view("uint8")], 1)


MIXED = {"Q4_K_M": ("Q4_K", "Q6_K"), "Q5_K_M": ("Q5_K", "Q6_K"), "Q3_K_M": ("Q3_K", "Q5_K")}
"""Mixtures as llama.cpp makes them: the usual type, and that of values, of what goes down and of the head."""


def write_gguf(path: Path, state: State, kind: str, quantise: Quantise = quantised) -> Path:
    """Writes GGUF by its own library, as llama.cpp's converter names and permutes."""
    import gguf

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Tiny")
    writer.add_block_count(3)
    usual, finer = MIXED.get(kind, (kind, kind))
    for name, value in state.items():
        turned = (
            permuted(value, HEADS if "q_proj" in name else HEADS // 2)
            if ".q_proj" in name or ".k_proj" in name
            else value
        )
        new = name.replace("model.layers.", "blk.")
        for old, short in GGUF_NAMES.items():
            new = new.replace(old, short)
        array = turned.float().numpy()
        held = finer if name.endswith(("v_proj.weight", "down_proj.weight", "lm_head.weight")) else usual
        data = quantise(array, held) if array.ndim > 1 else array
        writer.add_tensor(new, data, raw_dtype=gguf.GGMLQuantizationType[held if array.ndim > 1 else "F32"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


# --- fingerprints --------------------------------------------------------------------------------


def of_path(path: Path) -> Fingerprint:
    """The fingerprint of what lies there."""
    place = FolderPlace(str(path))
    weights = [(file.path, kind) for file in place.walk(Troubles()) if (kind := format_of(place.reader(file.path)))]
    return fingerprint(chosen(weights), place.reader)


def of_state(folder: Path, state: Mapping[str, torch.Tensor]) -> Fingerprint:
    """The fingerprint of weights, through a file."""
    made = of_path(write_safetensors(folder, dict(state)))
    (folder / "model.safetensors").unlink()
    return made


@dataclass
class Ranged:
    """Bytes of a file that is mostly zeros: what is read of it is counted."""

    path: str
    size_bytes: int
    pieces: Mapping[int, bytes]
    read_bytes: int = 0
    reads: int = 0

    def read(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size_bytes - offset))
        self.read_bytes += length
        self.reads += 1
        data = bytearray(length)
        for start, piece in self.pieces.items():
            begin, end = max(start, offset), min(start + len(piece), offset + length)
            if begin < end:
                data[begin - offset : end - offset] = piece[begin - start : end - start]
        return bytes(data)
