"""Sketches a tensor from samples of its values, so that copies in another type, file or name have the same sketch.

Rules:

- Where samples lie follows from the shape alone: of a matrix, its beginning and its end. These rows stay where they are when a converter
  permutes rows within attention heads (as for GGUF). Of a tall matrix (an embedding) the rows are drawn by the shape.
- A bit is the sign of a contrast: the sum of 4 of 8 neighbouring values less the sum of the other 4. A positive scale, or a
  constant that is added, changes no bit; so values whose scales lie elsewhere (8-bit floats, int8) need no scale.
- Values that are no numbers, or larger than any honest one, count as zero. A tensor of which many contrasts are zero says
  nothing (constants, masks, padding): it has no sketch.
- 8 of the values are kept as `witness`: whether two alike tensors are the same within what their types can hold is decided there. Of
  values in blocks, how far each may lie from what was quantised is kept as well (`quantised`).
"""

from __future__ import annotations

import hashlib
import math
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import Final

from weighbridge.drift.decoding import Values

BITS: Final = 128
QUANTISED: Final = (
    *("F8", "I8", "Q8_0", "Q6_K", "Q5_K", "Q5_1", "Q5_0"),
    *("Q4_K", "Q4_1", "IQ4_XS", "IQ4_NL", "NF4", "Q4_0", "MXFP4", "Q3_K", "Q2_K"),
)
"""Types that hold a model in fewer bits than it was trained in, the finest first."""
GRAINS: Final = ("F32", "F16", "BF16", "F8W", *QUANTISED)
"""How finely values are held, the finest first. `F8W` are 8-bit floats that were widened again."""
GROUP: Final = 8
WINDOW_VALUES: Final = 512
"""Neighbouring values of one window; a multiple of every block of quantised types that is decoded."""
MIN_VALUES: Final = 256
TALL_ROWS: Final = 16_384
ALIGNED: Final = 256
MAX_FLAT_BITS: Final = BITS // 10
MAX_EVEN_BITS: Final = BITS * 3 // 8
"""As many contrasts of codes of two bits are zero by chance: a fifth, and up to a third of heavy-tailed weights."""
MAX_BROKEN: Final = WINDOW_VALUES // 16
HUGE: Final = 1e30
_NOTHING: Final = 1e-6
_GRID_VALUES: Final = 32
_MIN_DISTINCT: Final = 6
_SIGNS: Final = tuple(
    tuple(1.0 - 2.0 * ((place & row).bit_count() & 1) for place in range(GROUP)) for row in range(GROUP)
)
"""The rows of an 8 by 8 Walsh matrix: all but the first are balanced, and any two are orthogonal."""

Window = tuple[int, int]
"""First value, and how many, in row-major order."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """What samples of a tensor say. `grain` is one of `GRAINS`."""

    bits: int
    grain: str
    witness: tuple[float, ...]
    reach: tuple[float, ...] = ()
    """How far each of the witness may lie from what was quantised; empty where the type says it."""


def windows_of(shape: Sequence[int]) -> tuple[Window, ...]:
    """Where the samples of a tensor of that shape lie."""
    count = math.prod(shape)
    if count <= 2 * WINDOW_VALUES:
        return ((0, count),)
    if shape[0] > TALL_ROWS:
        seed = hashlib.sha256("x".join(map(str, shape)).encode()).digest()
        room = (count // 2 - WINDOW_VALUES) // ALIGNED
        first, second = (int.from_bytes(seed[at : at + 8], "little") % room * ALIGNED for at in (0, 8))
        return (first, WINDOW_VALUES), (count // 2 // ALIGNED * ALIGNED + second, WINDOW_VALUES)
    return (0, WINDOW_VALUES), ((count - WINDOW_VALUES) // 32 * 32, WINDOW_VALUES)


def sketch(values: Values, dtype: str, reach: Values = ()) -> Sketch | None:
    """The sketch of sampled values that were stored as `dtype`; None where they say nothing.

    `reach` is how far each may lie from what was quantised, for a type of `QUANTISED` in blocks, whose name is then `dtype`.
    """
    sound = [float(value) if -HUGE < value < HUGE else 0.0 for value in values]
    if sum(1 for value in values if not -HUGE < value < HUGE) > MAX_BROKEN:
        return None
    groups = len(sound) // GROUP
    if groups * (GROUP - 1) < BITS:
        return None
    bits = flat = 0
    for number in range(BITS):
        start = number % groups * GROUP
        group = sound[start : start + GROUP]
        contrast = sum(map(mul, _SIGNS[1 + number // groups], group))
        if abs(contrast) <= _NOTHING * sum(map(abs, group)):
            flat += 1
        bits = bits << 1 | (contrast > 0)
    if flat > (MAX_EVEN_BITS if reach else MAX_FLAT_BITS):
        return None
    start = groups // 3 * GROUP
    kept = slice(start, start + GROUP)
    if reach:
        return Sketch(bits, dtype, _as_kept(sound[kept]), _as_kept([min(abs(one), HUGE) for one in reach[kept]]))
    return Sketch(bits, _grain(sound, dtype), _as_kept(sound[kept]))


def _as_kept(values: Sequence[float]) -> tuple[float, ...]:
    return struct.unpack(f"<{GROUP}f", struct.pack(f"<{GROUP}f", *values))


# --- how finely values are held ------------------------------------------------------------------

_SCALED: Final = {"F8_E4M3": "F8", "F8_E5M2": "F8", "I8": "I8"}
_RELATIVE: Final = {"F32": 2.0**-23, "F16": 2.0**-10, "BF16": 2.0**-7, "F8": 2.0**-3, "F8W": 2.0**-3}
"""How far rounding, or cutting, may move a value, relative to it."""
_COARSE: Final = frozenset(("F8", "F8W", "I8", "NF4"))
"""Types whose values have to be brought to one scale first."""
_ABSOLUTE: Final = {"F16": 2.0**-24, "F8": 2.0**-9, "I8": 1.0}
"""The least step of a type, in its own units: small values are held no better."""
_FLOOR: Final = {"F8": 4 * 2.0**-9 / 448, "F8W": 4 * 2.0**-9 / 448}
"""How far it may move, relative to the largest of the witness; what decides is the largest of a block, a few times that."""


def _grain(values: Sequence[float], dtype: str) -> str:
    """The coarsest type that holds all values: a copy that was widened again is still told by what it lost."""
    if dtype in _SCALED:
        return _SCALED[dtype]
    if on_small_grid(values[:_GRID_VALUES]) and on_small_grid(values[-WINDOW_VALUES:][:_GRID_VALUES]):
        return "F8W"
    words = array("I", array("f", values).tobytes())
    if not any(word & 0xFFFF for word in words):
        return "BF16"
    try:
        halves = struct.unpack(f"<{len(values)}e", struct.pack(f"<{len(values)}e", *values))
    except OverflowError:
        return "F32"
    return "F16" if halves == tuple(values) else "F32"


def on_small_grid(values: Sequence[float]) -> bool:
    """Whether the values are, up to one scale and rounding to BF16, 8-bit floats with 3 bits of mantissa."""
    sizes = {abs(value) for value in values if value}
    if len(sizes) < _MIN_DISTINCT:
        return False
    largest = max(sizes)
    return any(all(_is_near(size / largest * step) for size in sizes) for step in range(8, 16))


def _is_near(size: float) -> bool:
    mantissa = 16 * math.frexp(size)[0]
    return abs(mantissa - round(mantissa)) <= 16 * 2.0**-7


SLACK: Final = 1.1
"""Scales are rounded themselves: a value may have been this many times its reach away."""
STRAY: Final = 2
"""Of the witness of a tensor in blocks, this many may lie farther away: some quantisers fit the scale after they chose the codes."""


def outside(one: Sketch, other: Sketch) -> int:
    """How many of the witness are not the same numbers, as far as both types can show."""
    first, second = one.witness, other.witness
    grains = {one.grain, other.grain}
    if first == second:
        return 0
    if len(grains) == 1 and not grains & _COARSE and not (one.reach or other.reach):
        return GROUP
    scale = 1.0
    if grains & _COARSE:
        squares = sum(map(mul, second, second))
        scale = sum(map(mul, first, second)) / squares if squares else 0.0
        if not 0 < scale < HUGE:
            return GROUP
    if "NF4" in grains:
        return min(_beyond(one, other, scale * (1 + step / _STEPS)) for step in range(-_STEPS // 4, _STEPS // 4 + 1))
    return _beyond(one, other, scale)


_STEPS: Final = 100
"""A scale that is found from eight values of four bits may be wrong by several percent: those about it are tried as well."""


def _beyond(one: Sketch, other: Sketch, scale: float) -> int:
    """How many of the witness lie too far apart when the other's are brought to that scale."""
    first, second = one.witness, other.witness
    relative, floor = _tolerance(one.grain, other.grain)
    least = floor * max(map(abs, first)) + _ABSOLUTE.get(one.grain, 0.0) + scale * _ABSOLUTE.get(other.grain, 0.0)
    return sum(
        abs(a - scale * b) > relative * abs(a) + least + SLACK * (near + scale * far)
        for a, b, near, far in zip(first, second, one.reach or _EXACT, other.reach or _EXACT, strict=True)
    )


_EXACT: Final = (0.0,) * GROUP


def _tolerance(one: str, other: str) -> tuple[float, float]:
    if {one, other} <= {"F8", "F8W"}:
        return 2.0**-6, 0.0
    return _RELATIVE.get(one, 0.0) + _RELATIVE.get(other, 0.0), _FLOOR.get(one, 0.0) + _FLOOR.get(other, 0.0)


def agree(one: Sketch, other: Sketch, apart: int, strays: int) -> bool:
    """Whether they are the same values, where `apart` bits differ and `strays` of the witness are outside.

    Values in blocks are told by the witness alone: how many bits turn depends on how coarse they are, and what is alike is near enough.
    """
    if one.reach or other.reach:
        return strays <= STRAY
    grains = {one.grain, other.grain}
    allowed = 12 if grains & _COARSE else 6 if len(grains) > 1 else 0
    return apart <= allowed and not strays
