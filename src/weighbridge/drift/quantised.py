"""Reads quantised values a block at a time, each with how far the value that was quantised may lie from it.

Types: GGUF's Q4_0 to Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS and MXFP4 (layouts: ggml's `ggml-common.h`, `dequantize_row_*`), and NF4 of bitsandbytes
(QLoRA, appendix E), whose scales lie elsewhere and are taken for one. A block is a number of runs; a value of a run is `scale * level + offset`,
and its level is what its code stands for.

Every type's quantiser takes the nearest level at last, so the value before lies within half a gap between levels; beyond the outermost levels
anything may have been cut, and `CUT` gaps are allowed. Scales that are no numbers make values that are none, which a sketch counts.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

Run = tuple[float, float, Sequence[int]]
"""A scale, an offset, and codes."""

CUT: Final = 4.0
_FOUR_BITS: Final = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
_E2M1: Final = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)
"""The 4-bit floats of the OCP microscaling specification, doubled."""


_NORMAL: Final = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)


@dataclass(frozen=True, slots=True)
class BlockType:
    """A quantised type: its name, the bytes of a block, what each code stands for, and how a block is taken apart."""

    name: str
    block_bytes: int
    levels: Sequence[float]
    runs: Callable[[bytes], Iterable[Run]]
    reaches: tuple[float, ...] = field(init=False)
    """How far from each level a value may have been, in units of the scale."""

    def __post_init__(self) -> None:
        order = sorted(set(self.levels))
        gaps = [high - low for low, high in pairwise(order)]
        reach = {level: max(gaps[max(0, n - 1) : n + 1]) / 2 for n, level in enumerate(order)}
        reach[order[0]] = CUT * gaps[0]
        reach[order[-1]] = CUT * gaps[-1]
        object.__setattr__(self, "reaches", tuple(reach[level] for level in self.levels))

    def decode(self, data: bytes) -> tuple[list[float], list[float]]:
        """The values of whole blocks, and how far each may lie from what it was. What is left over is no block."""
        values: list[float] = []
        reaches: list[float] = []
        for start in range(0, len(data) - self.block_bytes + 1, self.block_bytes):
            for scale, offset, codes in self.runs(data[start : start + self.block_bytes]):
                values += [scale * self.levels[code] + offset for code in codes]
                reaches += [abs(scale) * self.reaches[code] for code in codes]
        return values, reaches


def _halves(packed: bytes) -> list[int]:
    """The low four bits of all bytes, then the high ones."""
    return [byte & 15 for byte in packed] + [byte >> 4 for byte in packed]


def _q4_0(block: bytes) -> Iterator[Run]:
    yield struct.unpack_from("<e", block)[0], 0.0, _halves(block[2:])


def _q4_1(block: bytes) -> Iterator[Run]:
    scale, least = struct.unpack_from("<2e", block)
    yield scale, least, _halves(block[4:])


def _with_fifth(packed: bytes, fifth: bytes) -> list[int]:
    bits = int.from_bytes(fifth, "little")
    return [code | (bits >> place & 1) << 4 for place, code in enumerate(_halves(packed))]


def _q5_0(block: bytes) -> Iterator[Run]:
    yield struct.unpack_from("<e", block)[0], 0.0, _with_fifth(block[6:], block[2:6])


def _q5_1(block: bytes) -> Iterator[Run]:
    scale, least = struct.unpack_from("<2e", block)
    yield scale, least, _with_fifth(block[8:], block[4:8])


def _q8_0(block: bytes) -> Iterator[Run]:
    yield struct.unpack_from("<e", block)[0], 0.0, [byte ^ 128 for byte in block[2:]]


def _q2_k(block: bytes) -> Iterator[Run]:
    scale, least = struct.unpack_from("<2e", block, 80)
    for number in range(16):
        both, row = block[number], number // 2
        start = 16 + row // 4 * 32 + number % 2 * 16
        codes = [byte >> row % 4 * 2 & 3 for byte in block[start : start + 16]]
        yield scale * (both & 15), -least * (both >> 4), codes


def _q3_k(block: bytes) -> Iterator[Run]:
    scale = struct.unpack_from("<e", block, 108)[0]
    packed = block[96:108]
    for number in range(16):
        low = packed[number % 8] >> number // 8 * 4 & 15
        high = packed[8 + number % 4] >> number // 4 * 2 & 3
        row, within = number // 2, number % 2 * 16
        start = 32 + row // 4 * 32 + within
        codes = [
            byte >> row % 4 * 2 & 3 | (mask >> row & 1) << 2
            for byte, mask in zip(block[start : start + 16], block[within : within + 16], strict=True)
        ]
        yield scale * ((low | high << 4) - 32), 0.0, codes


def _scale_and_least(packed: bytes, number: int) -> tuple[int, int]:
    """Six bits each, of eight runs in twelve bytes."""
    if number < 4:
        return packed[number] & 63, packed[number + 4] & 63
    low, scale, least = packed[number + 4], packed[number - 4], packed[number]
    return low & 15 | scale >> 6 << 4, low >> 4 | least >> 6 << 4


def _q4_k(block: bytes) -> Iterator[Run]:
    scale, least = struct.unpack_from("<2e", block)
    for number in range(8):
        part, part_least = _scale_and_least(block[4:16], number)
        start = 16 + number // 2 * 32
        codes = [byte >> number % 2 * 4 & 15 for byte in block[start : start + 32]]
        yield scale * part, -least * part_least, codes


def _q5_k(block: bytes) -> Iterator[Run]:
    scale, least = struct.unpack_from("<2e", block)
    for number in range(8):
        part, part_least = _scale_and_least(block[4:16], number)
        start = 48 + number // 2 * 32
        codes = [
            byte >> number % 2 * 4 & 15 | (fifth >> number & 1) << 4
            for byte, fifth in zip(block[start : start + 32], block[16:48], strict=True)
        ]
        yield scale * part, -least * part_least, codes


def _q6_k(block: bytes) -> Iterator[Run]:
    scale = struct.unpack_from("<e", block, 208)[0]
    parts = struct.unpack_from("<16b", block, 192)
    for number in range(16):
        row, within = number // 2, number % 2 * 16
        half, place = divmod(row, 4)
        low = half * 64 + place % 2 * 32 + within
        high = 128 + half * 32 + within
        codes = [
            byte >> place // 2 * 4 & 15 | (two >> place * 2 & 3) << 4
            for byte, two in zip(block[low : low + 16], block[high : high + 16], strict=True)
        ]
        yield scale * parts[number], 0.0, codes


def _iq4_xs(block: bytes) -> Iterator[Run]:
    scale, high = struct.unpack_from("<eH", block)
    for number in range(8):
        part = block[4 + number // 2] >> number % 2 * 4 & 15 | (high >> 2 * number & 3) << 4
        start = 8 + 16 * number
        yield scale * (part - 32), 0.0, _halves(block[start : start + 16])


def _mxfp4(block: bytes) -> Iterator[Run]:
    # The levels are doubled, so the exponent is one less than the specification's.
    yield math.ldexp(1.0, block[0] - 128), 0.0, _halves(block[1:])


def _nf4(block: bytes) -> Iterator[Run]:
    # Two neighbours share a byte, the first of them in its high half.
    yield 1.0, 0.0, [code for byte in block for code in (byte >> 4, byte & 15)]


BY_NUMBER: Final[Mapping[int, BlockType]] = {
    2: BlockType("Q4_0", 18, range(-8, 8), _q4_0),
    3: BlockType("Q4_1", 20, range(16), _q4_1),
    6: BlockType("Q5_0", 22, range(-16, 16), _q5_0),
    7: BlockType("Q5_1", 24, range(32), _q5_1),
    8: BlockType("Q8_0", 34, range(-128, 128), _q8_0),
    10: BlockType("Q2_K", 84, range(4), _q2_k),
    11: BlockType("Q3_K", 110, range(-4, 4), _q3_k),
    12: BlockType("Q4_K", 144, range(16), _q4_k),
    13: BlockType("Q5_K", 176, range(32), _q5_k),
    14: BlockType("Q6_K", 210, range(-32, 32), _q6_k),
    20: BlockType("IQ4_NL", 18, _FOUR_BITS, _q4_0),
    23: BlockType("IQ4_XS", 136, _FOUR_BITS, _iq4_xs),
    39: BlockType("MXFP4", 17, _E2M1, _mxfp4),
}
"""By the number of a tensor type of GGUF."""
NF4: Final = BlockType("NF4", 8, _NORMAL, _nf4)
BLOCK_TYPES: Final[Mapping[str, BlockType]] = {made.name: made for made in (*BY_NUMBER.values(), NF4)}
