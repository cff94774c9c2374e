"""The messages that describe an HDF5 object: datatype, dataspace, layout, filters, attribute, link.

Each function takes a message's bytes and never reads elsewhere. Source: HDF5 File Format Specification 3.0, IV.A.2.
Files whose addresses and lengths are not of 8 bytes are not read.
"""

from __future__ import annotations

from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.formats.hdf5_bytes import Hdf5Limit, Hdf5Problem

MAX_TYPE_DEPTH: Final = 16
MAX_MEMBERS: Final = 10_000

FIXED, FLOAT, TIME, STRING, BITFIELD, OPAQUE, COMPOUND, REFERENCE, ENUM, VLEN, ARRAY, COMPLEX = range(12)
_DESCRIBED_BYTES: Final = {FIXED: 12, BITFIELD: 12, FLOAT: 20, TIME: 10, STRING: 8, REFERENCE: 8, OPAQUE: 8}


@dataclass(frozen=True, slots=True)
class Datatype:
    """A type: its class, the bytes of one element, and the classes that occur anywhere in it."""

    sort: int
    size: int
    inner: frozenset[int]
    is_vlen_text: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """Where raw data lies: `kind` is compact, contiguous, chunked, virtual, or another that is not read.

    Compact data lies at `address` in the message; chunked data under an index at `address`.
    """

    kind: str
    address: int = 0
    size: int = 0
    index: int = 0
    dimensions: tuple[int, ...] = ()
    message: int = 0


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute: its name, its type, how many elements, and its bytes."""

    name: str
    datatype: Datatype | None
    count: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """A link: hard (`address`), soft (`target`), external (`target` with the file first) or of a user's own kind."""

    name: str
    kind: str
    address: int = 0
    target: str = ""


def _number(data: bytes, at: int, length: int) -> int:
    if at + length > len(data):
        raise Hdf5Problem("a message that ends too early", at)
    return int.from_bytes(data[at : at + length], "little")


def datatype(data: bytes, depth: int = 0) -> tuple[Datatype, int]:
    """A datatype and how many bytes its description takes.

    Raises:
        Hdf5Problem: it is none; Hdf5Limit: it is deeper or larger than is read.
    """
    if depth > MAX_TYPE_DEPTH:
        raise Hdf5Limit(f"types within each other, more than {MAX_TYPE_DEPTH} deep")
    sort, version = _number(data, 0, 1) & 15, data[0] >> 4
    bits, size = _number(data, 1, 3), _number(data, 4, 4)
    if not 1 <= version <= 5:
        raise Hdf5Limit(f"a datatype of version {version}")
    if sort in _DESCRIBED_BYTES:
        return Datatype(sort, size, frozenset((sort,))), _DESCRIBED_BYTES[sort] + (bits & 0xFF if sort == OPAQUE else 0)
    if sort == COMPOUND:
        return _compound(data, version, bits & 0xFFFF, size, depth)
    if sort == ENUM:
        return _enum(data, version, bits & 0xFFFF, size, depth)
    if sort in (VLEN, ARRAY, COMPLEX):
        return _wrapped(data, sort, version, bits, size, depth)
    raise Hdf5Limit(f"a datatype of class {sort}")


def _wrapped(data: bytes, sort: int, version: int, bits: int, size: int, depth: int) -> tuple[Datatype, int]:
    at = 8
    if sort == ARRAY:
        rank = _number(data, 8, 1)
        at = 9 + 4 * rank if version >= 3 else 12 + 8 * rank
    base, used = datatype(data[at:], depth + 1)
    return Datatype(sort, size, base.inner | {sort}, sort == VLEN and bits & 15 == 1), at + used


def _name(data: bytes, at: int, *, padded: bool) -> int:
    """Where a name ends, its padding included."""
    end = data.find(b"\0", at)
    if end < 0:
        raise Hdf5Problem("a name without an end", at)
    length = end + 1 - at
    return at + ((length + 7) & ~7 if padded else length)


def _compound(data: bytes, version: int, count: int, size: int, depth: int) -> tuple[Datatype, int]:
    if count > MAX_MEMBERS:
        raise Hdf5Limit(f"a compound type of {count} members")
    at, inner = 8, {COMPOUND}
    offset_bytes = max(1, (size.bit_length() + 7) // 8)
    for _ in range(count):
        at = _name(data, at, padded=version < 3)
        at += {1: 32, 2: 4}.get(version, offset_bytes)
        member, used = datatype(data[at:], depth + 1)
        inner |= member.inner
        at += used
    return Datatype(COMPOUND, size, frozenset(inner)), at


def _enum(data: bytes, version: int, count: int, size: int, depth: int) -> tuple[Datatype, int]:
    base, used = datatype(data[8:], depth + 1)
    at = 8 + used
    for _ in range(count):
        at = _name(data, at, padded=version < 3)
    return Datatype(ENUM, size, base.inner | {ENUM}), at + count * base.size


def dataspace(data: bytes) -> tuple[int, ...] | None:
    """The dimensions; () for a single value, None for none at all.

    Raises:
        Hdf5Problem: it is no dataspace.
    """
    version, rank = _number(data, 0, 1), _number(data, 1, 1)
    if version not in (1, 2) or rank > 32:
        raise Hdf5Problem(f"a dataspace of version {version} and {rank} dimensions", 0)
    if version == 2 and _number(data, 3, 1) == 2:
        return None
    at = 8 if version == 1 else 4
    return tuple(_number(data, at + 8 * i, 8) for i in range(rank))


def layout(data: bytes) -> Layout:
    """Where raw data lies.

    Raises:
        Hdf5Problem: it is no layout; Hdf5Limit: one that is not read.
    """
    version = _number(data, 0, 1)
    if version in (1, 2):
        return _old_layout(data)
    if version not in (3, 4, 5):
        raise Hdf5Limit(f"a layout of version {version}")
    sort = _number(data, 1, 1)
    if sort == 0:
        return Layout("compact", 4, _number(data, 2, 2))
    if sort == 1:
        return Layout("contiguous", _number(data, 2, 8), _number(data, 10, 8))
    if sort == 2 and version == 3:
        rank = _number(data, 2, 1)
        dimensions = tuple(_number(data, 11 + 4 * i, 4) for i in range(rank))
        return Layout("chunked", _number(data, 3, 8), 0, 0, dimensions)
    if sort == 2:
        return _new_chunks(data)
    if sort == 3:
        return Layout("virtual", _number(data, 2, 8))
    raise Hdf5Problem(f"a layout of class {sort}", 1)


def _old_layout(data: bytes) -> Layout:
    rank, sort = _number(data, 1, 1), _number(data, 2, 1)
    at = 8
    address = 0
    if sort != 0:
        address, at = _number(data, 8, 8), 16
    dimensions = tuple(_number(data, at + 4 * i, 4) for i in range(rank))
    at += 4 * rank
    if sort == 0:
        return Layout("compact", at + 4, _number(data, at, 4))
    if sort == 1:
        size = 1
        for dimension in dimensions:
            size *= dimension
        # The last of them is the size of an element.
        return Layout("contiguous", address, size)
    return Layout("chunked", address, 0, 0, dimensions)


def _new_chunks(data: bytes) -> Layout:
    flags, rank, width = _number(data, 2, 1), _number(data, 3, 1), _number(data, 4, 1)
    if not 1 <= width <= 8:
        raise Hdf5Problem(f"chunk dimensions of {width} bytes", 4)
    dimensions = tuple(_number(data, 5 + width * i, width) for i in range(rank))
    at = 5 + width * rank
    index = _number(data, at, 1)
    at += 1
    size = 0
    if index == 1 and flags & 2:
        size, at = _number(data, at, 8), at + 12
    else:
        at += {1: 0, 2: 0, 3: 1, 4: 5, 5: 6}.get(index, 0)
    return Layout("chunked", _number(data, at, 8), size, index, dimensions)


def filters(data: bytes) -> list[int]:
    """The ids of the filters that chunks go through.

    Raises:
        Hdf5Problem: it is no pipeline.
    """
    version, count = _number(data, 0, 1), _number(data, 1, 1)
    at, found = (8 if version == 1 else 2), []
    for _ in range(count):
        number = _number(data, at, 2)
        at += 2
        named = version == 1 or number >= 256
        name_bytes = _number(data, at, 2) if named else 0
        at += 2 if named else 0
        values = _number(data, at + 2, 2)
        at += 4 + (((name_bytes + 7) & ~7) if version == 1 else name_bytes) + 4 * values
        if version == 1 and values % 2:
            at += 4
        if at > len(data) + 4:
            raise Hdf5Problem("a filter that reaches beyond its message", at)
        found.append(number)
    return found


def attribute(data: bytes) -> Attribute:
    """An attribute message.

    Raises:
        Hdf5Problem: it is none; Hdf5Limit: one that is not read.
    """
    version, flags = _number(data, 0, 1), _number(data, 1, 1)
    if version not in (1, 2, 3):
        raise Hdf5Limit(f"an attribute of version {version}")
    name_bytes, type_bytes, space_bytes = (_number(data, at, 2) for at in (2, 4, 6))
    at = 9 if version == 3 else 8

    def padded(length: int) -> int:
        return (length + 7) & ~7 if version == 1 else length

    name = data[at : at + name_bytes].split(b"\0")[0].decode("utf-8", "backslashreplace")
    at += padded(name_bytes)
    described = data[at : at + type_bytes]
    at += padded(type_bytes)
    space = data[at : at + space_bytes]
    at += padded(space_bytes)
    if at > len(data):
        raise Hdf5Problem(f"the attribute {name!a:.60} reaches beyond its message", at)
    if version > 1 and flags & 3:
        return Attribute(name, None, 0, data[at:])
    dimensions = dataspace(space)
    count = 0 if dimensions is None else 1
    for dimension in dimensions or ():
        count *= dimension
    kind, _ = datatype(described)
    if count * kind.size > len(data) - at:
        raise Hdf5Problem(f"the attribute {name!a:.60} is longer than its message", at)
    return Attribute(name, kind, count, data[at : at + count * kind.size])


def link(data: bytes) -> Link:
    """A link message.

    Raises:
        Hdf5Problem: it is none.
    """
    flags, at = _number(data, 1, 1), 2
    sort = 0
    if flags & 8:
        sort, at = _number(data, at, 1), at + 1
    at += 8 if flags & 4 else 0
    at += 1 if flags & 16 else 0
    width = 1 << (flags & 3)
    length = _number(data, at, width)
    at += width
    name = data[at : at + length].decode("utf-8", "backslashreplace")
    at += length
    if sort == 0:
        return Link(name, "hard", _number(data, at, 8))
    size = _number(data, at, 2)
    value = data[at + 2 : at + 2 + size]
    if sort == 1:
        return Link(name, "soft", target=value.decode("utf-8", "backslashreplace"))
    if sort == 64:
        parts = value[1:].split(b"\0")
        return Link(
            name, "external", target=" ".join(part.decode("utf-8", "backslashreplace") for part in parts if part)
        )
    return Link(name, f"user-defined {sort}", target=value[:100].decode("utf-8", "backslashreplace"))
