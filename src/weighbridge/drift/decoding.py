"""Reads the values of tensors out of their bytes, and measures how far two runs of values lie apart.

Types: F64, F32, F16, BF16, F8_E4M3, F8_E5M2, whole numbers and booleans. Little-endian, as safetensors and GGUF have them.
Values that are no numbers (NaN, infinities) are left out of sums and counted.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import mul, sub
from typing import Final

Values = Sequence[float]


def _native(code: str, data: bytes) -> array[float] | array[int]:
    values: array[float] = array(code)
    values.frombytes(data)
    if sys.byteorder != "little":
        values.byteswap()
    return values


def _bf16(data: bytes) -> Values:
    """A BF16 value is the upper half of an F32."""
    wide = bytearray(2 * len(data))
    wide[2::4], wide[3::4] = data[0::2], data[1::2]
    return _native("f", bytes(wide))


def _f16(data: bytes) -> Values:
    return struct.unpack(f"<{len(data) // 2}e", data)


@cache
def _table(name: str) -> tuple[float, ...]:
    """The value of each byte of an 8-bit float (OCP 8-bit floating point specification, 2023)."""
    if name == "F8_E5M2":
        return tuple(struct.unpack("<e", bytes((0, byte)))[0] for byte in range(256))
    return tuple(_e4m3(byte) for byte in range(256))


def _e4m3(byte: int) -> float:
    sign, exponent, mantissa = -1.0 if byte & 0x80 else 1.0, byte >> 3 & 15, byte & 7
    if byte & 0x7F == 0x7F:
        return math.nan
    return sign * (mantissa / 8 * 2.0**-6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7))


def _f8(name: str) -> Callable[[bytes], Values]:
    return lambda data: list(map(_table(name).__getitem__, data))


def _plain(code: str) -> Callable[[bytes], Values]:
    return lambda data: _native(code, data)


DECODERS: Final[Mapping[str, Callable[[bytes], Values]]] = {
    "F64": _plain("d"),
    "F32": _plain("f"),
    "F16": _f16,
    "BF16": _bf16,
    "F8_E4M3": _f8("F8_E4M3"),
    "F8_E5M2": _f8("F8_E5M2"),
    "I64": _plain("q"),
    "U64": _plain("Q"),
    "I32": _plain("i"),
    "U32": _plain("I"),
    "I16": _plain("h"),
    "U16": _plain("H"),
    "I8": _plain("b"),
    "U8": _plain("B"),
    "BOOL": _plain("B"),
}

PRECISION: Final[Mapping[str, float]] = {
    "F64": 2.0**-52,
    "F32": 2.0**-23,
    "F16": 2.0**-10,
    "BF16": 2.0**-7,
    "F8_E4M3": 2.0**-3,
    "F8_E5M2": 2.0**-2,
}
"""The step between neighbouring values of a type, relative to them: what a cast may change."""


@dataclass(frozen=True, slots=True)
class Apart:
    """How far values lie apart: sums of squares of differences and of the earlier values, over `count` of them."""

    differences: float = 0.0
    squares: float = 0.0
    count: int = 0
    not_numbers: int = 0
    """Later values that are no numbers where the earlier ones were."""

    def __add__(self, other: Apart) -> Apart:
        return Apart(
            self.differences + other.differences,
            self.squares + other.squares,
            self.count + other.count,
            self.not_numbers + other.not_numbers,
        )

    @property
    def relative(self) -> float:
        """The norm of the difference over the norm of the earlier values; infinite where those are all zero."""
        if self.differences == 0:
            return 0.0
        return math.sqrt(self.differences / self.squares) if self.squares > 0 else math.inf


def apart(before: Values, after: Values) -> Apart:
    """Measures two runs of values, one by one."""
    gaps = list(map(sub, after, before))
    differences, squares = sum(map(mul, gaps, gaps)), sum(map(mul, before, before))
    if math.isfinite(differences) and math.isfinite(squares):
        return Apart(float(differences), float(squares), len(gaps))
    kept = [(a, b) for a, b in zip(before, after, strict=False) if abs(a) < 1e150 and abs(b) < 1e150]
    broken = sum(1 for a, b in zip(before, after, strict=False) if math.isfinite(a) and not math.isfinite(b))
    return Apart(sum((b - a) ** 2 for a, b in kept), sum(a * a for a, _ in kept), len(kept), broken)
