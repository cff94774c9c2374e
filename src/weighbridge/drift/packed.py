"""Finds the matrices that bitsandbytes packed in 4 bits (NF4) among the tensors of a safetensors file, with their real shapes.

A packed matrix is a run of bytes; beside it lies a tensor `<name>.quant_state.bitsandbytes__nf4` with a JSON text that has the shape. At most
`MAX_STATES` such texts of `MAX_STATE_BYTES` are read. What does not fit stays what it is: bytes, which nobody decodes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from weighbridge.core.errors import FormatError
from weighbridge.core.ports import RangeReader
from weighbridge.drift.quantised import NF4
from weighbridge.drift.sampling import read_spans
from weighbridge.drift.tensors import Tensor
from weighbridge.formats.json_text import parse

STATE: Final = ".quant_state.bitsandbytes__nf4"
MAX_STATES: Final = 2_000
MAX_STATE_BYTES: Final = 4_096
MAX_DIMENSIONS: Final = 4


def unpacked(tensors: Sequence[Tensor], reader: RangeReader) -> list[Tensor]:
    """The tensors of a file, with packed ones as what they were packed from.

    Raises:
        Truncated, SourceError, StoreError: the file could not be read.
    """
    states = {one.name.removesuffix(STATE): one for one in tensors if one.name.endswith(STATE)}
    wanted = [
        (states[one.name].start, states[one.name].end, number, 0)
        for number, one in enumerate(tensors)
        if one.name in states and one.dtype == "U8" and 0 < states[one.name].size_bytes <= MAX_STATE_BYTES
    ]
    found = list(tensors)
    for _, _, number, _, text in read_spans(reader, wanted[:MAX_STATES]):
        shape, packed = _shape(text), found[number]
        if shape and -(-math.prod(shape) // 2) == packed.size_bytes:
            found[number] = replace(
                packed, dtype=NF4.name, shape=shape, block_values=2 * NF4.block_bytes, block_bytes=NF4.block_bytes
            )
    return found


def _shape(text: bytes) -> tuple[int, ...]:
    """The shape that a state tells; empty where it tells none."""
    try:
        value = parse(text).value
    except FormatError:
        return ()
    shape = value.get("shape") if isinstance(value, dict) else None
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS:
        return ()
    sizes = [size for size in shape if type(size) is int and 0 < size < 1 << 48]
    return tuple(sizes) if len(sizes) == len(shape) else ()
