"""Proves that every tensor of the made safetensors has the value that the parent's checkpoint gives it.

For each tensor there are two SHA-256 digests, of its elements in row-major order as little-endian bytes:

1. from the parent: its pickles are read again, and the elements are visited line by line as offset, shape and strides
   say (`Lines`). Nothing of the plan is used: neither its spans nor `remediate.strides`, which made the file;
2. from the file: its header is read by `formats.safetensors`, as any reader would, and the bytes it assigns to each
   tensor are digested, from the first byte of the file to the last. What does not belong to a tensor would be an error.

Names, element types and shapes on both sides must be the same, and so must all digests. An auditor needs neither side's
code: `hashlib.sha256(t.contiguous().view(torch.uint8).numpy())` of a tensor from `torch.load` or from `load_file` is it.

One pass over each side, but for tensors that are laid out otherwise and are larger than `GROUP_BYTES`: those take one
more for each. Memory: `GROUP_BYTES` and a block.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from weighbridge.core.canonical import JsonValue, digest
from weighbridge.core.errors import DigestMismatch, LimitExceeded, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly
from weighbridge.formats.safetensors import LENGTH_BYTES, SafetensorsHeader, read_header
from weighbridge.remediate.checkpoints import Weight, read_weights
from weighbridge.remediate.plan import ReaderOf, Step

GROUP_BYTES: Final = 48 * 1024 * 1024
BLOCK_BYTES: Final = 8 * 1024 * 1024
_MAX_REREADS = 256
_MAX_STEPS = 60_000_000
_FREE_BYTES = 4 * 1024 * 1024 * 1024
_FORMATS: Final[Mapping[int, Literal["B", "H", "I", "Q"]]] = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True, slots=True)
class TensorDigest:
    """A tensor as one side knows it. `sha256` is of its elements, in row-major order, little-endian."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str


def prove(step: Step, parent: ReaderOf, derived: ReaderOf) -> Mapping[str, JsonValue]:
    """The step's proof with both digests of each tensor, and one digest over all of them.

    `derived` opens what was written, by the path it was made under. Reading it back from where it is stored proves the
    most; what is proven is what it returns.

    Raises:
        DigestMismatch: a tensor differs, is missing, or was not in the parent; the message names it.
        Malformed, Ambiguous, LimitExceeded, Truncated: one of the sides cannot be read.
    """
    artifacts: list[JsonValue] = []
    lines: list[JsonValue] = []
    for account in _accounts(step.proof):
        path, source = account["path"], account.get("source")
        if not account["tensors"]:
            artifacts.append(account)
            continue
        assert isinstance(path, str)
        assert isinstance(source, str)
        before = {one.name: one for one in parent_digests(parent(source))}
        after = {one.name: one for one in file_digests(derived(path))}
        compare(before, after, source=source, path=path)
        artifacts.append({**account, "tensors": _with_digests(account["tensors"], before)})
        lines += [[path, one.name, one.dtype, list(one.shape), one.sha256] for _, one in sorted(after.items())]
    equality: dict[str, JsonValue] = {
        "method": "sha256 of each tensor's elements in row-major order, little-endian; of the parent by strides, and of "
        "the safetensors as its header lays them out",
        "tensors": len(lines),
        "digest": digest(lines),
    }
    return {**step.proof, "artifacts": artifacts, "equality": equality}


def compare(before: Mapping[str, TensorDigest], after: Mapping[str, TensorDigest], *, source: str, path: str) -> None:
    """Returns when both sides hold the same tensors.

    Raises:
        DigestMismatch: they do not.
    """
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) == after.get(name):
            continue
        what = "differs from" if name in before and name in after else "is not in both"
        raise DigestMismatch(
            f"the tensor {name[:100]!a} of '{path}' {what} the one of '{source}'",
            hint="Do not use what was made. Run the remediation again; if it fails again, the storage alters bytes.",
        )


def _accounts(proof: Mapping[str, JsonValue]) -> Iterator[Mapping[str, JsonValue]]:
    artifacts = proof.get("artifacts")
    for account in artifacts if isinstance(artifacts, list | tuple) else ():
        if not isinstance(account, Mapping):
            raise Malformed("the proof of a conversion is none")
        yield account


def _with_digests(tensors: JsonValue, digests: Mapping[str, TensorDigest]) -> list[JsonValue]:
    said: list[JsonValue] = []
    for tensor in tensors if isinstance(tensors, list | tuple) else ():
        assert isinstance(tensor, Mapping)
        said.append({**tensor, "sha256": digests[str(tensor["name"])].sha256})
    return said


# --- from the file -------------------------------------------------------------------------------


class FileDigests:
    """Digests the tensors of a safetensors file while its bytes go by, so that writing it needs no second read.

    Feed it the bytes behind the header, in order; any cuts will do.
    """

    def __init__(self, header: SafetensorsHeader) -> None:
        self._tensors = header.tensors
        self._done: list[TensorDigest] = []
        self._position = 0
        self._hash = hashlib.sha256()
        self._finish_ended()

    def update(self, data: bytes | memoryview) -> None:
        """The next bytes of the data section.

        Raises:
            Malformed: there are more than the header tells of.
        """
        with memoryview(data) as view:
            at = 0
            while at < len(view):
                if len(self._done) == len(self._tensors):
                    raise Malformed("more bytes follow the last tensor")
                wanted = self._tensors[len(self._done)].end - self._position
                part = view[at : at + wanted]
                self._hash.update(part)
                at += len(part)
                self._position += len(part)
                self._finish_ended()

    def _finish_ended(self) -> None:
        while len(self._done) < len(self._tensors) and self._tensors[len(self._done)].end <= self._position:
            tensor = self._tensors[len(self._done)]
            self._done.append(TensorDigest(tensor.name, tensor.dtype, tensor.shape, self._hash.hexdigest()))
            self._hash = hashlib.sha256()

    def finish(self) -> tuple[TensorDigest, ...]:
        """The digests of all tensors.

        Raises:
            Malformed: the bytes ended early.
        """
        if len(self._done) != len(self._tensors):
            raise Malformed(f"the bytes ended before the tensor {self._tensors[len(self._done)].name[:100]!a} did")
        return tuple(self._done)


def file_digests(reader: RangeReader) -> tuple[TensorDigest, ...]:
    """The digests of all tensors of a safetensors file, in order of its bytes.

    Raises:
        Malformed, Ambiguous, LimitExceeded, Truncated: it is no safetensors file, or its reader broke off.
    """
    header = read_header(reader)
    digests = FileDigests(header)
    position = LENGTH_BYTES + header.header_bytes
    while position < reader.size_bytes:
        data = read_exactly(reader, position, min(BLOCK_BYTES, reader.size_bytes - position))
        digests.update(data)
        position += len(data)
    return digests.finish()


# --- from the parent -----------------------------------------------------------------------------


def parent_digests(reader: RangeReader) -> Iterator[TensorDigest]:
    """The digests of all tensors of a checkpoint, in order of its bytes.

    Raises:
        Malformed, Ambiguous, LimitExceeded: it is not understood, or its tensors are too scattered to be read.
        Truncated: the reader returned less than the artifact's size promises.
    """
    window = _Window(reader, _MAX_REREADS * reader.size_bytes + _FREE_BYTES)
    for weight in sorted(read_weights(reader).tensors, key=lambda one: (one.begin, one.name)):
        sha256 = hashlib.sha256()
        if weight.size_bytes:
            for data in Lines(weight).elements(window):
                sha256.update(data)
        yield TensorDigest(weight.name, weight.dtype, weight.shape, sha256.hexdigest())


class _Window:
    """Reads an artifact under a budget, and keeps the last block."""

    def __init__(self, reader: RangeReader, budget_bytes: int) -> None:
        self._reader = reader
        self._left = budget_bytes
        self._steps = _MAX_STEPS
        self._start = 0
        self._data = b""

    def spend(self, steps: int) -> None:
        """Counts how often a line is looked up in a block.

        Raises:
            LimitExceeded: too often; short lines that reach far take forever.
        """
        self._steps -= steps
        if self._steps < 0:
            raise LimitExceeded(f"the tensors of '{self._reader.path}' are too scattered to be checked")

    def view(self, start: int, end: int) -> memoryview:
        """Bytes `start` to `end`."""
        if not self._start <= start <= end <= self._start + len(self._data):
            self._left -= end - start
            if self._left < 0:
                raise LimitExceeded(f"the tensors of '{self._reader.path}' are too scattered to be checked")
            self._data = b""
            self._data = read_exactly(self._reader, start, end - start)
            self._start = start
        return memoryview(self._data)[start - self._start : end - self._start]


@dataclass(slots=True)
class Lines:
    """The elements of a tensor, line by line along its last axis, as a reader of the definition of strides would go.

    Element `(i, j, ..., k)` lies at `begin + item_bytes * (i * strides[0] + j * strides[1] + ... + k * strides[-1])`.
    """

    weight: Weight
    _count: int = field(init=False, default=1)
    _stride: int = field(init=False, default=1)
    _outer: list[tuple[int, int]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        """Axes that continue the last one make its lines longer; those of one element move nothing."""
        axes = [axis for axis in zip(self.weight.shape, self.weight.strides, strict=True) if axis[0] != 1]
        if axes:
            self._count, self._stride = axes.pop()
        while axes and axes[-1][1] == self._count * self._stride:
            self._count *= axes.pop()[0]
        self._outer = axes

    def elements(self, window: _Window) -> Iterator[bytes | memoryview]:
        """All elements in order, in pieces. Raises as `_Window.view` does."""
        item = self.weight.item_bytes
        if self._count == 1 or self._stride == 1:
            yield from self._runs(window, item * self._count)
            return
        group: list[int] = []
        low = high = 0
        for start in self._starts():
            reach = (self._count - 1) * self._stride + 1
            wider = (min(low, start), max(high, start + reach)) if group else (start, start + reach)
            full = (len(group) + 1) * self._count * item > GROUP_BYTES
            far = reach * item <= BLOCK_BYTES < (wider[1] - wider[0]) * item
            if group and (full or far):
                yield self._together(window, group, low, high)
                group, wider = [], (start, start + reach)
            group.append(start)
            low, high = wider
        yield self._together(window, group, low, high)

    def _starts(self) -> Iterator[int]:
        """Where each line begins, in elements from the tensor's first."""
        places = [range(0, size * stride, stride) if stride else [0] * size for size, stride in self._outer]
        return (sum(combination) for combination in itertools.product(*places))

    def _runs(self, window: _Window, run: int) -> Iterator[memoryview]:
        """Lines that are in order already: neighbours are read together."""
        item, pending, end = self.weight.item_bytes, -1, -1
        for start in self._starts():
            at = self.weight.begin + start * item
            if at != end:
                yield from self._bytes(window, pending, end)
                pending = at
            end = at + run
        yield from self._bytes(window, pending, end)

    def _bytes(self, window: _Window, start: int, end: int) -> Iterator[memoryview]:
        if start < 0:
            return
        for at in range(start, end, BLOCK_BYTES):
            yield window.view(at, min(at + BLOCK_BYTES, end))

    def _together(self, window: _Window, group: Sequence[int], low: int, high: int) -> bytes:
        """Lines that interleave, each filled from block after block of the bytes that they span."""
        item, count, stride = self.weight.item_bytes, self._count, self._stride
        out = bytearray(len(group) * count * item)
        filled = memoryview(out).cast(_FORMATS[item])
        room = BLOCK_BYTES // item
        for first in range(low, high, room):
            last = min(first + room, high)
            at = self.weight.begin + first * item
            window.spend(len(group))
            block = window.view(at, self.weight.begin + last * item).cast(_FORMATS[item])
            for line, start in enumerate(group):
                begin, end = _within(start, stride, count, (first, last))
                if begin < end:
                    place = start + begin * stride - first
                    source = block[place : place + (end - begin - 1) * stride + 1 : stride] if stride else block[place:]
                    target = filled[line * count + begin : line * count + end]
                    target[:] = source if stride else memoryview(bytes(source[:1]) * count).cast(_FORMATS[item])
        return bytes(out)


def _within(start: int, stride: int, count: int, block: tuple[int, int]) -> tuple[int, int]:
    """Which indexes of a line lie in a block: from the first (included) to the last (excluded)."""
    if not stride:
        return (0, count) if block[0] <= start < block[1] else (0, 0)
    begin = max(0, -(-(block[0] - start) // stride))
    end = min(count, -(-(block[1] - start) // stride))
    return begin, max(begin, end)
