"""Lays tensors out as a safetensors file: a header, and pieces of the parent in the order that the format's own writer uses.

Written as https://github.com/huggingface/safetensors writes (`prepare` in `tensor.rs`): tensors by element type, the
widest first, then by name, so that each begins at a multiple of its element's size; the header padded with spaces to a
multiple of 8. For the same tensors and metadata the result is the reference's, byte for byte.

Limits: a header of 100 MB, as in the format; a file of `MAX_GROWTH` times its parent and `FREE_BYTES`, as a few bytes of
storage can be expanded to, or named as, tensors of any size; and what is read for tensors that must be gathered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from weighbridge.core.errors import LimitExceeded
from weighbridge.formats.safetensors import LENGTH_BYTES, MAX_HEADER_BYTES, METADATA_KEY
from weighbridge.formats.torch_pickle import HINT
from weighbridge.remediate.checkpoints import Weight
from weighbridge.remediate.plan import Literal, Made, Piece, Span
from weighbridge.remediate.strides import Gathered, Tiles, collapsed

MAX_GROWTH: Final = 8
MAX_REREADS: Final = 64
FREE_BYTES: Final = 1024 * 1024 * 1024

ORDER: Final = (
    "BOOL", "F4", "F6_E2M3", "F6_E3M2", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ",
    "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "C64", "F64", "I64", "U64",
)  # fmt: skip
"""Element types as the reference orders them; files have them the other way round."""


def laid_out(path: str, weights: Sequence[Weight], parent_bytes: int, tied: Mapping[str, str], tiles: Tiles) -> Made:
    """The safetensors file with these tensors. `tied` maps a name to the one it shares every element with.

    Raises:
        LimitExceeded: the file would be far larger than its parent, or its header larger than the format allows.
    """
    ordered = sorted(weights, key=lambda one: (-ORDER.index(one.dtype), one.name.encode("utf-8")))
    header: dict[str, object] = {METADATA_KEY: {**_metadata(tied), "format": "pt"}}
    pieces: list[Piece] = []
    position = read = 0
    for weight in ordered:
        end = position + weight.size_bytes
        header[weight.name] = {"dtype": weight.dtype, "shape": list(weight.shape), "data_offsets": [position, end]}
        position = end
        if weight.size_bytes:
            piece = _piece(weight, tiles)
            read += piece.read_cost if isinstance(piece, Gathered) else 0
            pieces.append(piece)
    if position > MAX_GROWTH * parent_bytes + FREE_BYTES:
        message = f"'{path}' would have {position} bytes of tensors, made of a checkpoint of {parent_bytes}"
        raise LimitExceeded(message, hint=HINT)
    if read > MAX_REREADS * parent_bytes + FREE_BYTES:
        message = (
            f"'{path}' would take reading {read} bytes of a checkpoint of {parent_bytes}: its tensors are scattered"
        )
        raise LimitExceeded(message, hint=HINT)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % LENGTH_BYTES)
    if len(text) > MAX_HEADER_BYTES:
        raise LimitExceeded(f"'{path}' would have a header of {len(text)} bytes; the format allows {MAX_HEADER_BYTES}")
    return Made(path, (Literal(len(text).to_bytes(LENGTH_BYTES, "little") + text), *pieces))


def _piece(weight: Weight, tiles: Tiles) -> Span | Gathered:
    if weight.contiguous:
        return Span(weight.path, weight.begin, weight.size_bytes)
    axes = collapsed(weight.shape, weight.strides)
    return Gathered(weight.path, weight.begin, weight.item_bytes, axes, tiles)


def _metadata(tied: Mapping[str, str]) -> dict[str, str]:
    """Which names are one tensor, written as safetensors' `save_model` writes it; a name `format` says nothing."""
    return {name: kept for name, kept in sorted(tied.items()) if name != "format"}
