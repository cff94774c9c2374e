"""The tensors of the weight files of a side, from their headers alone, and which tensor of one side is which of the other.

Formats: safetensors and GGUF. A tensor is known by its name, wherever it lies: a model that was cut into other shards has
the same tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from weighbridge.core.errors import FormatError, IntegrityError
from weighbridge.core.ports import RangeReader
from weighbridge.drift.quantised import BY_NUMBER
from weighbridge.drift.side import Side
from weighbridge.formats.gguf import BLOCKS, GgufFile
from weighbridge.formats.gguf_values import GgufArray
from weighbridge.formats.safetensors import DTYPE_BITS, LENGTH_BYTES, read_header

READERS: Final = 8
"""Files whose headers are read at once."""
_GGUF_TYPES: Final = {0: "F32", 1: "F16", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 30: "BF16"} | {
    number: kind.name for number, kind in BY_NUMBER.items()
}
_TOLD_ELSEWHERE: Final = ("tokenizer.ggml.", "tokenizer.chat_template")


@dataclass(frozen=True, slots=True)
class Tensor:
    """Bytes `start` to `end` of a file; a block of `block_values` values takes `block_bytes`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: str
    start: int
    end: int
    block_values: int
    block_bytes: int
    gguf: bool = False
    """Whether the shape is GGUF's: the innermost dimension first."""

    @property
    def blocks(self) -> int:
        """How many blocks it has."""
        return (self.end - self.start) // self.block_bytes

    @property
    def size_bytes(self) -> int:
        """Bytes of its data."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class WeightFile:
    """The header of one file. `problem` says why it could not be read."""

    path: str
    tensors: tuple[Tensor, ...] = ()
    metadata: Mapping[str, str] | None = None
    problem: str = ""


def read_weights(side: Side, paths: Iterable[str]) -> list[WeightFile]:
    """The headers of weight files, in order of path, several at once.

    Raises:
        SourceError, StoreError: a file could not be reached.
    """
    with ThreadPoolExecutor(READERS, thread_name_prefix="headers") as threads:
        return list(threads.map(lambda path: _read(side, path), sorted(paths)))


def _read(side: Side, path: str) -> WeightFile:
    try:
        return (
            gguf_tensors(path, side.gguf(path))
            if path.lower().endswith(".gguf")
            else safetensors_tensors(side.reader(path))
        )
    except (FormatError, IntegrityError) as error:
        return WeightFile(path, problem=f"{side.name}: {error.message}")


def safetensors_tensors(reader: RangeReader) -> WeightFile:
    """What the header of a safetensors file says.

    Raises:
        FormatError: it breaks a rule. Truncated, SourceError, StoreError: it could not be read.
    """
    header, path = read_header(reader), reader.path
    data = LENGTH_BYTES + header.header_bytes
    tensors = []
    for entry in header.tensors:
        bits = DTYPE_BITS[entry.dtype]
        values, size = (1, bits // 8) if bits % 8 == 0 else (8, bits)
        place = (path, data + entry.begin, data + entry.end)
        tensors.append(Tensor(entry.name, entry.dtype, entry.shape, *place, values, size))
    return WeightFile(path, tuple(tensors), dict(header.metadata))


def gguf_tensors(path: str, file: GgufFile) -> WeightFile:
    """What the head of a GGUF file says; shapes are as the file has them, the innermost dimension first."""
    tensors = tuple(
        Tensor(
            one.name,
            _GGUF_TYPES.get(one.type, f"GGUF type {one.type}"),
            one.shape,
            path,
            file.data_start + one.begin,
            file.data_start + one.end,
            *BLOCKS[one.type],
            gguf=True,
        )
        for one in file.tensors
    )
    metadata = {
        key: file.head.raw(value.start, value.end).hex() if isinstance(value, GgufArray) else str(value)
        for key, value in file.pairs.items()
        if not key.startswith(_TOLD_ELSEWHERE)
    }
    return WeightFile(path, tensors, metadata)


@dataclass(frozen=True, slots=True)
class Matched:
    """Tensors of both sides by name: the same one on both, and those on one side only."""

    pairs: tuple[tuple[Tensor, Tensor], ...]
    added: tuple[Tensor, ...]
    removed: tuple[Tensor, ...]


def match(before: Iterable[WeightFile], after: Iterable[WeightFile]) -> Matched:
    """Finds for each tensor the other side's of that name: in the file of the same path first, then in any."""
    old, new = _by_name(before), _by_name(after)
    pairs: list[tuple[Tensor, Tensor]] = []
    added: list[Tensor] = []
    removed: list[Tensor] = []
    for name in sorted(old.keys() | new.keys()):
        ones, others = old.get(name, {}), new.get(name, {})
        pairs += [(ones[path], others[path]) for path in ones if path in others]
        left_ones = [one for path, one in ones.items() if path not in others]
        left_others = [one for path, one in others.items() if path not in ones]
        count = min(len(left_ones), len(left_others))
        pairs += zip(left_ones[:count], left_others[:count], strict=True)
        removed += left_ones[count:]
        added += left_others[count:]
    return Matched(tuple(pairs), tuple(added), tuple(removed))


def _by_name(files: Iterable[WeightFile]) -> dict[str, dict[str, Tensor]]:
    found: dict[str, dict[str, Tensor]] = {}
    for file in files:
        for tensor in file.tensors:
            found.setdefault(tensor.name, {})[file.path] = tensor
    return found
