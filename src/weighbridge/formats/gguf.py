"""The head of a GGUF file, believed only when every byte of the file is accounted for.

The format (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): magic, version, counts, key-value pairs, tensor
descriptions, padding, tensor data. Versions 1 to 3, both byte orders (big-endian files have the version's bytes
turned). What llama.cpp or the `gguf` package refuses is refused, and beyond them:

- keys are ASCII without control characters, text is UTF-8, booleans are 0 or 1, an alignment is at most 1 MiB;
- tensors lie in the order of their descriptions, back to back up to padding, and padding is zero;
- nothing follows the last tensor but padding.

Two kinds of file are recognised and not understood (`GgufBeyond`): tensor types that were withdrawn, are internal to
readers or belong to forks, whose sizes cannot be proven, and heads over the limits here and in `gguf_values`. Only the head is read, and the
padding between tensors where there is any, in at most `MAX_PADDING_READS` reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly
from weighbridge.formats.gguf_values import (
    ARRAY,
    MAX_KEY_BYTES,
    SCALARS,
    STRING,
    GgufArray,
    GgufBeyond,
    GgufMalformed,
    Head,
)

MAGIC: Final = b"GGUF"
VERSIONS: Final = (1, 2, 3)
MAX_PAIRS: Final = 100_000
MAX_TENSORS: Final = 200_000
MAX_DIMENSIONS: Final = 4
MAX_NAME_BYTES: Final = 127
"""llama.cpp allows 63, stable-diffusion.cpp 127."""

DEFAULT_ALIGNMENT: Final = 32
MAX_ALIGNMENT: Final = 1024 * 1024
MAX_PADDING_READS: Final = 4_096
MAX_PADDING_BYTES: Final = 64 * 1024 * 1024
ALIGNMENT_KEY: Final = "general.alignment"

_HALF = 1 << 63
_FORKS_END = 512
_NEAR = 64 * 1024
_KEY = re.compile(rb"[\x21-\x7e][\x20-\x7e]*")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")

BLOCKS: Final[Mapping[int, tuple[int, int]]] = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    15: (256, 292),  # Q8_K
    16: (256, 66),  # IQ2_XXS
    17: (256, 74),  # IQ2_XS
    18: (256, 98),  # IQ3_XXS
    19: (256, 50),  # IQ1_S
    20: (32, 18),  # IQ4_NL
    21: (256, 110),  # IQ3_S
    22: (256, 82),  # IQ2_S
    23: (256, 136),  # IQ4_XS
    24: (1, 1),  # I8
    25: (1, 2),  # I16
    26: (1, 4),  # I32
    27: (1, 8),  # I64
    28: (1, 8),  # F64
    29: (256, 56),  # IQ1_M
    30: (1, 2),  # BF16
    34: (256, 54),  # TQ1_0
    35: (256, 66),  # TQ2_0
    39: (32, 17),  # MXFP4
    40: (64, 36),  # NVFP4
    41: (128, 18),  # Q1_0
    42: (64, 18),  # Q2_0
}
"""Elements and bytes of a block, by the number of a tensor type.

Q8_1 (9) is not among them: it is for activations only, and readers disagree on its size (36 or 40 bytes).
"""

Value = int | float | bool | str | GgufArray


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One tensor: bytes `begin` (included) to `end` (excluded) of the data section."""

    name: str
    type: int
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class GgufFile:
    """A head that accounts for the whole file. The data section is `data_start` to `data_end`, padding included."""

    version: int
    alignment: int
    pairs: Mapping[str, Value]
    types: Mapping[str, int]
    tensors: tuple[GgufTensor, ...]
    data_start: int
    data_end: int
    head: Head


def read_gguf(reader: RangeReader) -> GgufFile:
    """Reads and checks the head of a GGUF file, and its padding.

    Raises:
        GgufProblem: the file breaks a rule (`GgufMalformed`) or is not understood (`GgufBeyond`); the first is named.
        Truncated: the reader returned less than the file's size promises.
    """
    head = Head(reader)
    version, tensor_count, pair_count = _read_counts(head)
    pairs, types = _read_pairs(head, pair_count)
    alignment = _alignment(pairs, types)
    tensors = _read_tensors(head, tensor_count)
    data_start = _padded(head.position, alignment)
    gaps = _check_layout(tensors, head.position, data_start, alignment, reader.size_bytes)
    _check_padding(reader, head, gaps)
    return GgufFile(
        version, alignment, pairs, types, tuple(tensors), min(data_start, reader.size_bytes), reader.size_bytes, head
    )


def _read_counts(head: Head) -> tuple[int, int, int]:
    head.require(4, "the magic")
    if head.data[:4] != MAGIC:
        raise GgufMalformed("gguf-not-gguf", "the file does not begin as GGUF does", location="offset 0")
    head.position = 4
    version = head.integer("I", "the version")
    if version & 0xFFFF == 0:
        head.big_endian = True
        version = int.from_bytes(version.to_bytes(4, "little"), "big")
    if version not in VERSIONS:
        raise GgufMalformed("gguf-version", f"the version {version} is none that exists", location="offset 4")
    head.wide = version > 1
    tensors, pairs = head.length("the number of tensors"), head.length("the number of keys")
    # The least that a key takes: its length, one letter, its type, one byte of value. A tensor: name, rank, type, place.
    width = 8 if head.wide else 4
    for what, count, least, limit in (
        ("keys", pairs, width + 6, MAX_PAIRS),
        ("tensors", tensors, width + 16, MAX_TENSORS),
    ):
        if count * least > head.left:
            message = f"the file says it has {count} {what}, and {head.left} bytes are left"
            raise GgufMalformed("gguf-count", message, location="offset 8")
        if count > limit:
            raise GgufBeyond("gguf-limit", f"the file has {count} {what}, over {limit}")
    return version, tensors, pairs


def _read_pairs(head: Head, count: int) -> tuple[dict[str, Value], dict[str, int]]:
    pairs: dict[str, Value] = {}
    types: dict[str, int] = {}
    for number in range(count):
        place = f"offset {head.position}"
        raw = head.text(f"key {number}", MAX_KEY_BYTES, "gguf-key")
        if not _KEY.fullmatch(raw):
            raise GgufMalformed("gguf-key", f"the key {_shown(raw)} is not printable ASCII", location=place)
        key = raw.decode("ascii")
        if key in pairs:
            raise GgufMalformed("gguf-duplicate-key", f"the key {_shown(raw)} is repeated", location=place)
        kind = head.integer("I", f"the type of {_shown(raw)}")
        pairs[key], types[key] = _value(head, kind, _shown(raw)), kind
    return pairs, types


def _value(head: Head, kind: int, shown: str) -> Value:
    if kind == ARRAY:
        return head.array(shown)
    if kind == STRING:
        place = f"offset {head.position}"
        raw = head.text(shown)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise GgufMalformed("gguf-text", f"{shown} is not UTF-8", location=place) from error
        if "\x00" in text:
            raise GgufMalformed("gguf-text", f"{shown} holds a NUL, where readers in C stop", location=place)
        return text
    code = SCALARS.get(kind)
    if code is None:
        place = f"offset {head.position - 4}"
        raise GgufMalformed("gguf-value-type", f"{shown} is of the unknown type {kind}", location=place)
    return head.number(code, shown)


def _alignment(pairs: Mapping[str, Value], types: Mapping[str, int]) -> int:
    value = pairs.get(ALIGNMENT_KEY, DEFAULT_ALIGNMENT)
    if types.get(ALIGNMENT_KEY, 4) != 4 or not isinstance(value, int):
        raise GgufMalformed("gguf-alignment", "the alignment is not a 32-bit number", location=ALIGNMENT_KEY)
    if value <= 0 or value & (value - 1) or value > MAX_ALIGNMENT:
        message = f"the alignment {value} is not a power of two up to {MAX_ALIGNMENT}"
        raise GgufMalformed("gguf-alignment", message, location=ALIGNMENT_KEY)
    return value


def _read_tensors(head: Head, count: int) -> list[GgufTensor]:
    tensors: list[GgufTensor] = []
    names: set[str] = set()
    for number in range(count):
        place = f"offset {head.position}"
        raw = head.text(f"the name of tensor {number}", MAX_NAME_BYTES, "gguf-tensor-name")
        name = _tensor_name(raw, place)
        if name in names:
            raise GgufMalformed("gguf-duplicate-tensor", f"the tensor {_shown(raw)} is repeated", location=place)
        names.add(name)
        tensors.append(_read_tensor(head, name, _shown(raw)))
    return tensors


def _tensor_name(raw: bytes, place: str) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise GgufMalformed("gguf-tensor-name", f"the name {_shown(raw)} is not UTF-8", location=place) from error
    if not name or _CONTROL.search(name):
        raise GgufMalformed("gguf-tensor-name", f"the name {_shown(raw)} is empty or holds a control", location=place)
    return name


def _read_tensor(head: Head, name: str, shown: str) -> GgufTensor:
    rank = head.integer("I", f"the rank of {shown}")
    if rank > MAX_DIMENSIONS:
        raise GgufMalformed("gguf-dimensions", f"the tensor {shown} has {rank} dimensions, over 4", location=shown)
    shape = tuple(head.length(f"a dimension of {shown}") for _ in range(rank))
    kind = head.integer("I", f"the type of {shown}")
    begin = head.integer("Q", f"the offset of {shown}")
    elements = product = 1
    for dimension in shape:
        elements *= dimension
        # A zero does not excuse the others: careless readers multiply in another order.
        product *= max(dimension, 1)
        if product >= _HALF:
            message = f"the tensor {shown} has more elements than 63 bits can count"
            raise GgufMalformed("gguf-dimension-overflow", message, location=shown)
    return GgufTensor(name, kind, shape, begin, begin + _size(kind, shape, elements, shown))


def _size(kind: int, shape: Sequence[int], elements: int, shown: str) -> int:
    block = BLOCKS.get(kind)
    if block is None:
        if kind >= _FORKS_END:
            raise GgufMalformed("gguf-tensor-type", f"the tensor {shown} is of the unknown type {kind}", location=shown)
        message = f"the tensor {shown} is of the type {kind}, which no released reader stores"
        raise GgufBeyond("gguf-type-not-understood", message, location=shown)
    row = shape[0] if shape else 1
    if row % block[0]:
        message = f"the tensor {shown} has rows of {row} elements, not whole blocks of {block[0]}"
        raise GgufMalformed("gguf-block-size", message, location=shown)
    size = elements // block[0] * block[1]
    if size >= _HALF:
        raise GgufMalformed(
            "gguf-size-overflow", f"the tensor {shown} has more bytes than 63 bits count", location=shown
        )
    return size


def _check_layout(
    tensors: Sequence[GgufTensor], head_end: int, data_start: int, alignment: int, size: int
) -> list[tuple[int, int]]:
    """Each byte after the head belongs to one tensor or to padding; returns where the padding is, in the file."""
    gaps = [(head_end, min(data_start, size))]
    if not tensors:
        if size > data_start:
            raise _trailing(size - data_start, data_start)
        return gaps
    position = 0
    ordered = sorted(tensors, key=lambda tensor: (tensor.begin, tensor.end))
    for tensor in ordered:
        _check_place(tensor, position, alignment)
        gaps.append((data_start + position, data_start + tensor.begin))
        position = tensor.end
    if ordered != list(tensors):
        raise GgufMalformed("gguf-tensor-order", "the tensors do not lie in the order of their descriptions")
    end, padded = data_start + position, data_start + _padded(position, alignment)
    if end >= _HALF:
        raise GgufMalformed("gguf-size-overflow", "the tensors have more bytes than 63 bits count")
    if end > size:
        message = f"the tensors reach to {end} and the file has {size} bytes"
        raise GgufMalformed("gguf-data-truncated", message, location=_shown(ordered[-1].name.encode()))
    if size > padded:
        raise _trailing(size - padded, padded)
    return [*gaps, (end, size)]


def _check_place(tensor: GgufTensor, position: int, alignment: int) -> None:
    shown = _shown(tensor.name.encode())
    if tensor.begin % alignment:
        message = f"the tensor {shown} begins at {tensor.begin}, not a multiple of {alignment}"
        raise GgufMalformed("gguf-offset-alignment", message, location=shown)
    if tensor.begin < position:
        message = f"the tensor {shown} begins at {tensor.begin}, before the previous one's end at {position}"
        raise GgufMalformed("gguf-overlap", message, location=shown)
    if tensor.end >= _HALF:
        raise GgufMalformed("gguf-size-overflow", f"the tensor {shown} ends beyond 63 bits", location=shown)
    if tensor.begin > _padded(position, alignment):
        message = f"the bytes from {position} to {tensor.begin}, before the tensor {shown}, belong to no tensor"
        raise GgufMalformed("gguf-hole", message, location=shown)


def _check_padding(reader: RangeReader, head: Head, gaps: Sequence[tuple[int, int]]) -> None:
    """Padding is zero. Gaps that lie near each other are read together."""
    gaps = [gap for gap in gaps if gap[1] > gap[0]]
    reads = total = index = 0
    while index < len(gaps):
        start, last = gaps[index][0], index
        while last + 1 < len(gaps) and gaps[last + 1][1] - start <= _NEAR:
            last += 1
        end = gaps[last][1]
        reads, total = reads + 1, total + end - start
        if reads > MAX_PADDING_READS or total > MAX_PADDING_BYTES:
            raise GgufBeyond("gguf-limit", "there is more padding between the tensors than is read")
        data = head.raw(start, end) if end <= len(head.data) else read_exactly(reader, start, end - start)
        for first, after in gaps[index : last + 1]:
            if any(data[first - start : after - start]):
                message = f"the padding from {first} to {after} is not zero"
                raise GgufMalformed("gguf-padding", message, location=f"offset {first}")
        index = last + 1


def _trailing(count: int, place: int) -> GgufMalformed:
    message = f"{count} bytes after the last tensor belong to none"
    return GgufMalformed("gguf-trailing-data", message, location=f"offset {place}")


def _padded(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


def _shown(raw: bytes) -> str:
    """A stranger's text made printable and short, so that it can go into a report."""
    text = ascii(raw[:80].decode("utf-8", "backslashreplace"))
    return text if len(text) <= 100 else f"{text[:97]}..."
