"""Bytes of a tensor in row-major order, gathered from wherever its strides say, in bounded memory.

A tensor that is laid out as safetensors wants it is a `Span` of its artifact, and nothing is computed. Any other is
`Gathered`: cut into tiles of at most `TILE_BYTES` that follow each other in the result, each of which is put together
from blocks of at most `BLOCK_BYTES` of the artifact. A tensor that fits in one tile is read once; a larger one that is
transposed is read once for each tile. Elements are moved by slices of `memoryview`s, a whole axis at a time.

Memory: `KEPT_TILES` tiles for a whole plan, as several threads may read it, and a block.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, Literal

from weighbridge.core.errors import Truncated
from weighbridge.remediate.plan import ReaderOf

TILE_BYTES: Final = 24 * 1024 * 1024
KEPT_TILES: Final = 4
BLOCK_BYTES: Final = 8 * 1024 * 1024

_LONG_ENOUGH = 128
"""Elements that are worth an iteration of Python."""

Axis = tuple[int, int]
"""How many elements, and how far apart in the storage, in elements."""

FORMATS: Final[Mapping[int, Literal["B", "H", "I", "Q"]]] = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""What `memoryview` calls an unsigned integer of so many bytes."""
ReadRange = Callable[[int, int], bytes]


def count_of(shape: Sequence[int]) -> int:
    """How many elements a shape has."""
    return math.prod(shape)


def is_contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the elements lie one after the other in row-major order, as `torch.Tensor.is_contiguous` says."""
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1:
            if stride != expected and count_of(shape):
                return False
            expected *= size
    return True


def collapsed(shape: Sequence[int], strides: Sequence[int]) -> tuple[Axis, ...]:
    """The fewest axes that walk the same elements in the same order: those of one element go, neighbours merge."""
    axes: list[Axis] = []
    for size, stride in zip(shape, strides, strict=True):
        if size == 1:
            continue
        if axes and axes[-1][1] == size * stride:
            axes[-1] = (axes[-1][0] * size, stride)
        else:
            axes.append((size, stride))
    return tuple(axes)


def runs_of(axes: Sequence[Axis]) -> int:
    """How many runs along the last axis there are: what gathering and checking cost beside the bytes."""
    return math.prod(size for size, _ in axes[:-1])


class Tiles:
    """The tiles that were made last, `KEPT_TILES` of them, for all pieces of a plan. Thread-safe: one is made at a time."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, int], tuple[object, bytes]] = OrderedDict()
        self._lock = Lock()

    def get(self, piece: object, number: int, make: Callable[[], bytes]) -> bytes:
        """The tile `number` of `piece`, made where it is not kept."""
        key = (id(piece), number)
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or kept[0] is not piece:
                while len(self._kept) >= KEPT_TILES:
                    self._kept.popitem(last=False)
                kept = self._kept[key] = (piece, make())
            self._kept.move_to_end(key)
            return kept[1]


@dataclass(frozen=True, slots=True)
class Gathered:
    """The elements of a strided tensor, of which the first lies at `offset` of the parent's artifact `path`.

    `axes` are those of `collapsed`; there is at least one and none is empty.
    """

    path: str
    offset: int
    item_bytes: int
    axes: tuple[Axis, ...]
    tiles: Tiles = field(compare=False)

    @property
    def size_bytes(self) -> int:
        """The bytes of all elements."""
        return self.item_bytes * math.prod(size for size, _ in self.axes)

    @property
    def read_cost(self) -> int:
        """How many bytes of the artifact are read for all tiles together."""
        per_outer, _, split = self._tiling()
        outers = math.prod(size for size, _ in self.axes[:split])
        first = self._tile_axes(0)
        return outers * per_outer * _extent(first) * self.item_bytes

    def read(self, readers: ReaderOf, start: int, end: int) -> bytes:
        """Bytes `start` to `end` of the result.

        Raises:
            Truncated: the artifact's reader returned less than its size promises.
        """
        parts: list[bytes] = []
        while start < end:
            number, within = self._find(start // self.item_bytes)
            at = within * self.item_bytes + start % self.item_bytes
            tile = self.tiles.get(self, number, lambda number=number: self._tile(readers, number))  # type: ignore[misc]
            parts.append(tile[at : at + end - start])
            start += len(parts[-1])
        return b"".join(parts)

    def _tiling(self) -> tuple[int, int, int]:
        """Tiles for each place on the outer axes, indexes of the split axis in a tile, and which axis is split."""
        inner = self.size_bytes
        for split, (size, _) in enumerate(self.axes):
            inner //= size
            if inner <= TILE_BYTES:
                fit = min(size, TILE_BYTES // inner)
                return -(-size // fit), fit, split
        raise AssertionError("an element is smaller than a tile")

    def _find(self, element: int) -> tuple[int, int]:
        """The tile with that element, and the element's place in it."""
        per_outer, fit, split = self._tiling()
        inner = math.prod(size for size, _ in self.axes[split + 1 :])
        outer, rest = divmod(element, self.axes[split][0] * inner)
        part, within = divmod(rest, fit * inner)
        return outer * per_outer + part, within

    def _tile_axes(self, part: int) -> list[Axis]:
        _, fit, split = self._tiling()
        size, stride = self.axes[split]
        return [(min(fit, size - part * fit), stride), *self.axes[split + 1 :]]

    def _tile(self, readers: ReaderOf, number: int) -> bytes:
        per_outer, fit, split = self._tiling()
        outer, part = divmod(number, per_outer)
        place = part * fit * self.axes[split][1]
        for size, stride in reversed(self.axes[:split]):
            outer, index = divmod(outer, size)
            place += index * stride
        reader = readers(self.path)

        def read(element: int, count: int) -> bytes:
            at, length = self.offset + (place + element) * self.item_bytes, count * self.item_bytes
            data = reader.read(at, length)
            if len(data) != length:
                raise Truncated(f"'{self.path}' gave {len(data)} bytes at {at} where it has {length}")
            return data

        return gather(read, self._tile_axes(part), self.item_bytes)


def gather(read: ReadRange, axes: Sequence[Axis], item_bytes: int) -> bytes:
    """The elements that `axes` walk, back to back. `read` returns `count` elements of the source from `element` on.

    Raises:
        Truncated: as `read` does.
    """
    out = bytearray(item_bytes * math.prod(size for size, _ in axes))
    steps: list[int] = []
    step = 1
    for size, _ in reversed(axes):
        steps.insert(0, step)
        step *= size
    with memoryview(out) as plain, plain.cast(FORMATS[item_bytes]) as view:
        triples = [(size, stride, step) for (size, stride), step in zip(axes, steps, strict=True)]
        _fill(read, triples, view, (0, 0))
    return bytes(out)


_Triple = tuple[int, int, int]
"""An axis: how many, how far apart in the source, how far apart in the result."""


def _extent(axes: Sequence[Axis]) -> int:
    return 1 + sum((size - 1) * stride for size, stride in axes)


def _fill(read: ReadRange, axes: list[_Triple], out: memoryview, at: tuple[int, int]) -> None:
    """Fills `out` from the source in blocks; `at` are the first element's places in source and result."""
    extent = _extent([axis[:2] for axis in axes])
    room = BLOCK_BYTES // out.itemsize
    if extent <= room:
        data = read(at[0], extent)
        with memoryview(data) as plain, plain.cast(FORMATS[out.itemsize]) as source:
            _copy(source, axes, out, at[1])
        return
    reach = [(size - 1) * stride for size, stride, _ in axes]
    widest = reach.index(max(reach))
    size, stride, step = axes[widest]
    spare = room - (extent - reach[widest])
    fit = 1 + spare // stride if spare >= 0 else 1
    for index in range(0, size, fit):
        part = axes.copy()
        part[widest] = (min(fit, size - index), stride, step)
        _fill(read, part, out, (at[0] + index * stride, at[1] + index * step))


def _copy(source: memoryview, axes: list[_Triple], out: memoryview, at: int) -> None:
    """Copies whole lines: along the last axis, as writing in order is quicker than reading so, unless it is short."""
    lead = max(range(len(axes)), key=lambda index: min(axes[index][0], _LONG_ENOUGH) + index / len(axes))
    size, stride, step = axes[lead]
    for begin, place in _places([*axes[:lead], *axes[lead + 1 :]]):
        place += at
        if stride:
            line = source[begin : begin + (size - 1) * stride + 1 : stride]
        else:
            line = memoryview(bytes(source[begin : begin + 1]) * size).cast(FORMATS[out.itemsize])
        out[place : place + (size - 1) * step + 1 : step] = line


def _places(axes: Sequence[_Triple]) -> Iterator[tuple[int, int]]:
    """The places in source and result of every combination of indexes."""
    lines = [[(index * stride, index * step) for index in range(size)] for size, stride, step in axes]
    for combination in itertools.product(*lines):
        yield sum(one[0] for one in combination), sum(one[1] for one in combination)
