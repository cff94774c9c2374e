"""Builders of small model files, byte by byte: protocol buffers, FlatBuffers, R objects, headers of programs."""

from __future__ import annotations

import struct
from collections.abc import Sequence

# --- protocol buffers ----------------------------------------------------------------------------


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, *parts: bytes | str) -> bytes:
    data = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return varint(field << 3 | 2) + varint(len(data)) + data


def real(field: int, value: float) -> bytes:
    return varint(field << 3 | 5) + struct.pack("<f", value)


# --- FlatBuffers: every part is written behind what refers to it ---------------------------------

Flat = int | str | bytes | dict[int, "Flat"] | list["Flat"] | None
"""A field: a 32-bit number, a text, raw bytes of a vector, a table by field number, a vector of texts or tables."""


def flat_buffer(table: dict[int, Flat], identifier: bytes = b"", *, gap: bytes = b"") -> bytes:
    out = bytearray(b"\x00\x00\x00\x00" + identifier + gap)
    struct.pack_into("<I", out, 0, _table(out, table))
    return bytes(out)


def _align(out: bytearray) -> None:
    out.extend(b"\x00" * (-len(out) % 8))


def _table(out: bytearray, table: dict[int, Flat]) -> int:
    count = max(table, default=-1) + 1
    _align(out)
    listed = len(out)
    size = 4 + 4 * count
    out.extend(struct.pack("<HH", 4 + 2 * count, size))
    out.extend(struct.pack(f"<{count}H", *(4 + 4 * n if table.get(n) is not None else 0 for n in range(count))))
    _align(out)
    at = len(out)
    out.extend(struct.pack("<i", at - listed) + bytes(4 * count))
    for field, value in table.items():
        place = at + 4 + 4 * field
        if isinstance(value, int):
            struct.pack_into("<I", out, place, value)
        elif value is not None:
            struct.pack_into("<I", out, place, _part(out, value) - place)
    return at


def _part(out: bytearray, value: Flat) -> int:
    if isinstance(value, dict):
        return _table(out, value)
    _align(out)
    at = len(out)
    if isinstance(value, list):
        out.extend(struct.pack("<I", len(value)) + bytes(4 * len(value)))
        for index, one in enumerate(value):
            place = at + 4 + 4 * index
            struct.pack_into("<I", out, place, _part(out, one) - place)
        return at
    data = value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else b""
    out.extend(struct.pack("<I", len(data)) + data + b"\x00")
    return at


# --- R objects -----------------------------------------------------------------------------------

NIL = struct.pack(">i", 254)
GLOBAL = struct.pack(">i", 253)
UNBOUND = struct.pack(">i", 252)
R_HEAD = b"X\n" + struct.pack(">3i", 2, 0x40300, 0x20300)


def word(*values: int) -> bytes:
    return struct.pack(f">{len(values)}i", *values)


def r_text(text: str) -> bytes:
    return word(0x40009, len(text)) + text.encode()


def r_symbol(name: str) -> bytes:
    return word(1) + r_text(name)


def r_texts(*texts: str) -> bytes:
    return word(16, len(texts)) + b"".join(map(r_text, texts))


def r_integers(*values: int) -> bytes:
    return word(13, len(values), *values)


def r_reals(*values: float) -> bytes:
    return word(14, len(values)) + struct.pack(f">{len(values)}d", *values)


def r_list(*items: bytes) -> bytes:
    return word(19, len(items)) + b"".join(items)


def r_pairs(*pairs: tuple[str, bytes]) -> bytes:
    return b"".join(word(0x402) + r_symbol(name) + value for name, value in pairs) + NIL


def r_call(function: str, *arguments: bytes) -> bytes:
    return word(6) + r_symbol(function) + b"".join(word(2) + one for one in arguments) + NIL


def r_closure(body: bytes, formals: bytes = NIL) -> bytes:
    return word(0x403) + GLOBAL + formals + body


def r_promise(expression: bytes, value: bytes = UNBOUND) -> bytes:
    return word(0x405) + GLOBAL + value + expression


def r_environment(frame: bytes = NIL) -> bytes:
    return word(4, 0) + GLOBAL + frame + NIL + NIL


def r_with_attributes(vector: bytes, attributes: bytes) -> bytes:
    kind = struct.unpack(">i", vector[:4])[0]
    return word(kind | 0x200) + vector[4:] + attributes


def r_data(item: bytes) -> bytes:
    return R_HEAD + item


def r_data_3(item: bytes) -> bytes:
    return b"X\n" + word(3, 0x40300, 0x30500, 5) + b"UTF-8" + item


def r_workspace(item: bytes) -> bytes:
    return b"RDX2\n" + r_data(item)


# --- programs ------------------------------------------------------------------------------------


def elf(machine: int = 62, kind: int = 2, *, wide: bool = True, big: bool = False) -> bytes:
    order = ">" if big else "<"
    head = b"\x7fELF" + bytes((2 if wide else 1, 2 if big else 1, 1)) + bytes(9)
    word_code = "Q" if wide else "I"
    rest = struct.pack(f"{order}HHI3{word_code}I6H", kind, machine, 1, 0, 0, 0, 0, 64, 56, 0, 64, 0, 0)
    return head + rest + bytes(200)


def pe(machine: int = 0x8664, flags: int = 0x22, subsystem: int = 3) -> bytes:
    dos = b"MZ\x90\x00" + bytes(56) + struct.pack("<I", 64)
    optional = struct.pack("<H", 0x20B) + bytes(66) + struct.pack("<H", subsystem) + bytes(170)
    return dos + b"PE\x00\x00" + struct.pack("<HHIIIHH", machine, 2, 0, 0, 0, 240, flags) + optional


def mach_o(cpu: int = 0x0100000C, kind: int = 2) -> bytes:
    load = struct.pack("<2I", 0xC, 24) + bytes(16)
    return struct.pack("<8I", 0xFEEDFACF, cpu, 0, kind, 1, len(load), 0, 0) + load


# --- tensors -------------------------------------------------------------------------------------


def paddle_tensor(dims: Sequence[int], data: bytes, *, kind: int = 5) -> bytes:
    described = number(1, kind) + b"".join(number(2, dim) for dim in dims)
    return struct.pack("<IQIi", 0, 0, 0, len(described)) + described + data


def mxnet_params(*arrays: tuple[Sequence[int], bytes], names: Sequence[str] = ()) -> bytes:
    out = struct.pack("<QQQ", 0x112, 0, len(arrays))
    for shape, data in arrays:
        out += struct.pack(f"<Iii{len(shape)}qiii", 0xF993FAC9, 0, len(shape), *shape, 1, 0, 0) + data
    return out + struct.pack("<Q", len(names)) + b"".join(struct.pack("<Q", len(n)) + n.encode() for n in names)


def fasttext(words: Sequence[str], columns: int = 2, *, quantised: bool = False) -> bytes:
    head = struct.pack("<ii12id", 793712314, 12, *([1] * 12), 0.0001)
    entries = b"".join(word.encode() + b"\x00" + struct.pack("<qb", 1, 0) for word in words)
    matrix = struct.pack("<?qq", quantised, len(words), columns) + bytes(4 * len(words) * columns)
    if quantised:
        quantiser = struct.pack("<4i", columns, 1, 2, 2) + bytes(columns * 256 * 4)
        shape = struct.pack("<??qqi", True, True, len(words), columns, len(words))
        matrix = (
            shape + bytes(len(words)) + quantiser + bytes(len(words)) + struct.pack("<4i", 1, 1, 1, 1) + bytes(1024)
        )
    return head + struct.pack("<3i2q", len(words), len(words), 0, 9, -1) + entries + matrix * 2


def crfsuite() -> bytes:
    """A model of CRFsuite: five chunks, each at a multiple of four."""
    body, places = b"", []
    for name in (b"FEAT", b"CQDB", b"CQDB", b"LFRF", b"AFRF"):
        body += bytes(-len(body) % 4)
        places.append(48 + len(body))
        body += name + struct.pack("<I", 13) + b"12345"
    return b"lCRF" + struct.pack("<I4s4I", 48 + len(body), b"FOMC", 100, 0, 2, 3) + struct.pack("<5I", *places) + body


def coreml_weights(*blobs: bytes) -> bytes:
    """A `weight.bin` of a Core ML package."""
    found = struct.pack("<II", len(blobs), 2) + bytes(56)
    for blob in blobs:
        found += bytes(-len(found) % 64)
        found += struct.pack("<IIQQ", 0xDEADBEEF, 2, len(blob), len(found) + 64) + b"left here!".ljust(40) + blob
    return found


def sentencepiece(*pieces: str, charsmap: bytes = b"", extra: bytes = b"") -> bytes:
    listed = b"".join(message(1, message(1, piece), real(2, -1.5)) for piece in pieces)
    return listed + message(2, number(3, 1)) + message(3, message(1, "nmt_nfkc"), message(2, charsmap)) + extra


def trie(*units: int, texts: bytes = b"a\x00") -> bytes:
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + texts
