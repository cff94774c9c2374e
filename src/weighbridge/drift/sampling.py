"""Compares the values of tensors on both sides, by ranged reads of samples within a budget.

- Where both sides know the digests of a file's chunks and a tensor lies at the same place, the chunks tell where it
  changed: equal chunks are not read, and samples are taken from the others.
- The budget is shared out so that each tensor may take as much as any other: small ones are read whole, of larger ones up
  to `MAX_WINDOWS` windows. Where they lie follows from both files' digests and the tensor's name: the same for everybody,
  and not known to whoever makes the later file before it is made.
- Windows that lie near each other are read together. What the budget does not reach is `unread`, and is said to be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.ports import RangeReader
from weighbridge.drift.decoding import DECODERS, Apart, apart
from weighbridge.drift.side import Side
from weighbridge.drift.tensors import READERS, Tensor
from weighbridge.formats.bounded import read_exactly

MAX_WINDOWS: Final = 32
NEAR_BYTES: Final = 32 * 1024
MAX_READ_BYTES: Final = 4 * 1024 * 1024
MIN_EACH_BYTES: Final = 1024
MIN_WINDOW_BYTES: Final = 4 * 1024
MAX_REQUESTED: Final = 4_096
"""Windows of one side."""

Window = tuple[int, int]
"""First block, and the block after the last, of a tensor."""


def _blocks(windows: Iterable[Window]) -> int:
    return sum(end - start for start, end in windows)


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes of values that may be read, both sides together."""

    total_bytes: int = 8 * 1024 * 1024

    def each_bytes(self, sizes: Sequence[int]) -> int:
        """What one tensor of one side may take, when tensors of these sizes share the budget."""
        left, waiting = self.total_bytes // 2, sorted(sizes)
        for place, size in enumerate(waiting):
            share = left // (len(waiting) - place)
            if size > share:
                return max(MIN_EACH_BYTES, share)
            left -= size
        return max(MIN_EACH_BYTES, waiting[-1] if waiting else 0)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is read of a pair: `windows`, out of the `region` of blocks that may differ."""

    before: Tensor
    after: Tensor
    windows: tuple[Window, ...] = ()
    region: tuple[Window, ...] = ()

    @property
    def region_blocks(self) -> int:
        """Blocks that may differ."""
        return _blocks(self.region)

    @property
    def proven_equal(self) -> bool:
        """Whether the chunks' digests leave nothing that may differ."""
        return not self.region

    @property
    def whole(self) -> bool:
        """Whether all that may differ is read."""
        return _blocks(self.windows) == self.region_blocks

    @property
    def cost_bytes(self) -> int:
        """Bytes of both sides."""
        each = self.before.block_bytes + self.after.block_bytes
        return _blocks(self.windows) * each


@dataclass(frozen=True, slots=True)
class Sampled:
    """What the samples of a pair say. `apart` is None where the type is not decoded."""

    plan: Plan
    differs: bool
    apart: Apart | None = None
    read: bool = True

    @property
    def relative(self) -> float:
        """The relative change of the whole tensor, as the samples tell it; 0 where it is not known."""
        if self.apart is None or not self.apart.count:
            return 0.0
        share = self.plan.region_blocks / max(1, self.plan.before.blocks)
        return float(self.apart.relative * share**0.5)


def sample(before: Side, after: Side, pairs: Sequence[tuple[Tensor, Tensor]], budget: Budget) -> list[Sampled]:
    """Compares the values of pairs with equal shapes, in the order given.

    Raises:
        SourceError, StoreError, IntegrityError: values could not be read.
    """
    regions = [(one, other, _region(before, one, after, other)) for one, other in pairs]
    sizes = [_blocks(region) * max(one.block_bytes, other.block_bytes) for one, other, region in regions if region]
    each = budget.each_bytes(sizes)
    large = sum(1 for size in sizes if size > each)
    count = max(1, min(MAX_WINDOWS, MAX_REQUESTED // (2 * max(1, large)), each // MIN_WINDOW_BYTES))
    plans = [Plan(one, other, _windows(before, one, after, other, region, each, count), region) for one, other, region in regions]  # fmt: skip
    chosen = _within(plans, budget.total_bytes)
    with ThreadPoolExecutor(2, thread_name_prefix="sides") as threads:
        values = list(threads.map(lambda number: _read((before, after)[number], chosen, number), (0, 1)))
    return [
        Sampled(plan, False, read=plan.proven_equal)
        if plan.proven_equal or place not in chosen
        else _judge(plan, values[0][place], values[1][place])
        for place, plan in enumerate(plans)
    ]


def _region(before: Side, one: Tensor, after: Side, other: Tensor) -> tuple[Window, ...]:
    """The blocks that may differ: all, or those in chunks with other digests."""
    blocks = min(one.blocks, other.blocks)
    whole = ((0, blocks),) if blocks else ()
    if (one.path, one.start, one.end, one.dtype) != (other.path, other.start, other.end, other.dtype):
        return whole
    old, new = before.chunks_of(one.path, one.start, one.end), after.chunks_of(one.path, one.start, one.end)
    if not old or len(old) != len(new):
        return whole
    first = one.start // CHUNK_BYTES
    found: list[Window] = []
    for number, (a, b) in enumerate(zip(old, new, strict=True)):
        if a == b:
            continue
        start = max(0, (first + number) * CHUNK_BYTES - one.start) // one.block_bytes
        end = -(-min(one.size_bytes, (first + number + 1) * CHUNK_BYTES - one.start) // one.block_bytes)
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return tuple(found)


def _windows(  # a pair is two sides and two tensors
    before: Side, one: Tensor, after: Side, other: Tensor, region: Sequence[Window], each_bytes: int, count: int
) -> tuple[Window, ...]:
    """Windows over the region: all of it where that is little enough, else at places drawn from the digests."""
    size = _blocks(region)
    room = max(1, each_bytes // max(one.block_bytes, other.block_bytes))
    if size <= room:
        return tuple(region)
    digests = f"{before.files[one.path].sha256}|{after.files[other.path].sha256}|{one.name}"
    seed = hashlib.shake_256(digests.encode("utf-8", "surrogatepass")).digest(8 * count)
    length, stride = max(1, room // count), size // count
    found: list[Window] = []
    for number in range(count):
        draw = int.from_bytes(seed[8 * number : 8 * number + 8], "little")
        place = number * stride + draw % max(1, stride - length + 1)
        found += _located(region, place, length)
    return tuple(found)


def _located(region: Sequence[Window], place: int, length: int) -> list[Window]:
    """The blocks from the `place`-th of the region on, in one run."""
    for start, end in region:
        if place < end - start:
            return [(start + place, min(end, start + place + length))]
        place -= end - start
    return []


def _within(plans: Sequence[Plan], total_bytes: int) -> dict[int, Plan]:
    """The plans that the budget reaches: drawn, so that no layer is left out for its name."""
    order = sorted(
        (place for place, plan in enumerate(plans) if plan.windows),
        key=lambda place: hashlib.sha256(plans[place].before.name.encode("utf-8", "surrogatepass")).digest(),
    )
    chosen: dict[int, Plan] = {}
    left, requests = total_bytes, MAX_REQUESTED
    for place in order:
        plan = plans[place]
        if plan.cost_bytes <= left and len(plan.windows) <= requests:
            chosen[place] = plan
            left -= plan.cost_bytes
            requests -= len(plan.windows)
    return chosen


def _read(side: Side, chosen: dict[int, Plan], number: int) -> dict[int, list[bytes]]:
    """The bytes of each plan's windows on one side, file by file, several files at once."""
    wanted: dict[str, list[tuple[int, int, int, int]]] = {}
    for place, plan in chosen.items():
        tensor = (plan.before, plan.after)[number]
        for index, (start, end) in enumerate(plan.windows):
            span = tensor.start + start * tensor.block_bytes, tensor.start + end * tensor.block_bytes
            wanted.setdefault(tensor.path, []).append((*span, place, index))
    found: dict[int, list[bytes]] = {place: [b""] * len(plan.windows) for place, plan in chosen.items()}

    def read(path: str) -> None:
        for start, end, place, index, data in read_spans(side.reader(path), wanted[path]):
            assert len(data) == end - start
            found[place][index] = data

    with ThreadPoolExecutor(2 * READERS, thread_name_prefix="values") as threads:
        for _ in threads.map(read, sorted(wanted)):
            pass
    return found


def read_spans(
    reader: RangeReader, spans: list[tuple[int, int, int, int]]
) -> Iterable[tuple[int, int, int, int, bytes]]:
    """Bytes of an artifact for each (start, end, and two numbers of the caller's); what lies near is read together."""
    spans.sort()
    position = 0
    while position < len(spans):
        last, end = position, spans[position][1]
        while last + 1 < len(spans) and spans[last + 1][0] - end <= NEAR_BYTES:
            if max(end, spans[last + 1][1]) - spans[position][0] > MAX_READ_BYTES:
                break
            last += 1
            end = max(end, spans[last][1])
        begin = spans[position][0]
        data = read_exactly(reader, begin, end - begin)
        for start, stop, place, index in spans[position : last + 1]:
            yield start, stop, place, index, data[start - begin : stop - begin]
        position = last + 1


def _judge(plan: Plan, before: list[bytes], after: list[bytes]) -> Sampled:
    cast = plan.before.dtype != plan.after.dtype
    if before == after and not cast:
        return Sampled(plan, False)
    decoders = DECODERS.get(plan.before.dtype), DECODERS.get(plan.after.dtype)
    if decoders[0] is None or decoders[1] is None:
        return Sampled(plan, True)
    total = Apart()
    for old, new in zip(before, after, strict=True):
        total += apart(decoders[0](old), decoders[1](new))
    return Sampled(plan, True, total)
