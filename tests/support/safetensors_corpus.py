"""Safetensors files made byte by byte: every way in which one can be unsound, with the rule that it breaks."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator

from tests.support.gguf_corpus import PAYLOADS, SCRIPTS, TRAPS, archive

Case = tuple[str, bytes, str]


def file_of(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype: object = "U8", shape: object = (2,), offsets: object = (0, 2), **more: object) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets} | more


def with_metadata(metadata: object, **tensors: object) -> bytes:
    return file_of({"__metadata__": metadata, "a": tensor()} | tensors, b"12")


def one(text: str, data: bytes = b"12") -> bytes:
    """A file of one tensor whose description is written as it is."""
    return file_of(f'{{"a":{{{text}}}}}'.encode(), data)


def described(dtype: str = '"U8"', shape: str = "[2]", offsets: str = "[0,2]", data: bytes = b"12") -> bytes:
    return one(f'"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}', data)


def hostile() -> list[Case]:
    """All cases: name, bytes, and the one rule that each breaks."""
    return [*_length(), *_text(), *_keys(), *_fields(), *_numbers(), *_layout(), *_metadata(), *_disguised()]


def _length() -> Iterator[Case]:
    good = file_of({"a": tensor()}, b"12")
    yield "one letter", b"5", "safetensors-not-safetensors"
    for size in (0, *range(2, 8)):
        yield f"{size} bytes alone", good[:size], "safetensors-truncated"
    for bits in (16, 24, 31, 32, 40, 47, 48, 62, 63):
        yield f"length 2^{bits}", struct.pack("<Q", 1 << bits) + good[8:], "safetensors-header-overflow"
    for more in (1, 2, 3, 7, 255):
        length = len(good) - 8 + more
        yield f"length {more} too many", struct.pack("<Q", length) + good[8:], "safetensors-header-overflow"
    for less in (1, 2, 9):
        length = len(good) - 10 - less
        yield f"length {less} too few", struct.pack("<Q", length) + good[8:], "safetensors-header-json"
    yield "length takes the data in", struct.pack("<Q", len(good) - 8) + good[8:], "safetensors-header-padding"


def _text() -> Iterator[Case]:
    record = b'{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}'
    for name, start in (
        ("space", b" "), ("newline", b"\n"), ("tab", b"\t"), ("NUL", b"\x00"), ("mark of UTF-8", b"\xef\xbb\xbf"),
        ("mark of UTF-16", b"\xff\xfe"), ("list", b"["), ("quote", b'"'), ("comment", b"/**/"), ("brace shut", b"}"),
    ):  # fmt: skip
        yield f"{name} before the header", file_of(start + record, b"12"), "safetensors-header-start"
    for number, end in enumerate(
        (b"\x00", b"\n", b"\r", b"\t", b"\x0b", b"\xc2\xa0", b" x", b"   {", b"]", b"\x7f", b"  \x00  ")
    ):
        yield f"padding {number}", file_of(record + end, b"12"), "safetensors-header-padding"
    for name, bad in (
        ("latin-1", b'{"\xe4":1}'), ("overlong", b'{"\xc1\x81":1}'), ("lone", b'{"a\x80":1}'), ("cut", b'{"a":"\xe2\x82'),
        ("surrogate", b'{"\xed\xbf\xbf":1}'), ("beyond", b'{"\xf4\x90\x80\x80":1}'), ("five bytes", b'{"\xf8\x88\x80\x80\x80":1}'),
    ):  # fmt: skip
        yield f"encoding: {name}", file_of(bad), "safetensors-header-encoding"
    for number, bad in enumerate(
        (b"{,}", b"{:}", b'{"a"}', b'{"a":}', b'{"a" 1}', b'{"a":1 "b":2}', b"{a:1}", b'{"a":"x}', b'{"a":.5}',
         b'{"a":tru}', b'{"a":nul}', b'{"a":[1,]}', b'{"a":[1}', b'{"a":"\\x41"}', b'{"a":"\\u12"}', b'{"a":"\t"}',
         b'{"a":1;}', b"{\x00}", b'{"a":0777}', b'{"a":"\\u{41}"}', b'{"a":1_000}', b'{"a":1//2\n}'),
    ):  # fmt: skip
        yield f"no JSON {number}", file_of(bad), "safetensors-header-json"
    for depth in (5_000, 60_000, 400_000):
        yield (
            f"lists {depth} deep",
            file_of(b'{"a":' + b"[" * depth + b"]" * depth + b"}"),
            "safetensors-header-nesting",
        )


def _keys() -> Iterator[Case]:
    pair = b'"dtype":"U8","shape":[2],"data_offsets":[0,2]'
    for again in (b'"dtype":"U8"', b'"shape":[2]', b'"data_offsets":[0,2]', b'"dtype":"F64"', b'"d\\u0074ype":"U8"'):
        yield f"{again!r} again", file_of(b'{"a":{' + pair + b"," + again + b"}}", b"12"), "safetensors-duplicate-key"
    for name in (b"", b"a", b"\\u0061", b"model.layers.0"):
        body = b'{"' + name + b'":{' + pair + b'},"' + name + b'":{' + pair + b"}}"
        yield f"tensor {name!r} twice", file_of(body, b"12"), "safetensors-duplicate-key"
    for escape in ("\\ud800", "\\udfff", "\\ud800\\ud800", "\\udc00\\ud800", "x\\udbff"):
        yield f"name {escape}", file_of(f'{{"{escape}":{{{pair.decode()}}}}}'.encode(), b"12"), "safetensors-name"
        text = f'{{"__metadata__":{{"k":"{escape}"}}}}'
        yield f"metadata {escape}", file_of(text.encode()), "safetensors-name"


def _fields() -> Iterator[Case]:
    for value in (None, 1, "U8", [], [1], True, False, ""):
        yield f"tensor is {value!r}", file_of({"a": value}), "safetensors-entry"
    whole = tensor()
    for field in whole:
        rest = {key: value for key, value in whole.items() if key != field}
        yield f"without {field}", file_of({"a": rest}, b"12"), "safetensors-missing-field"
        yield f"{field} in capitals", file_of({"a": whole | {field.upper(): 1}}, b"12"), "safetensors-unknown-field"
    for field in ("", "strides", "offset", "__metadata__", "__class__", "dtype ", "requires_grad", "device", "payload"):
        yield f"field {field!r}", file_of({"a": whole | {field: "x"}}, b"12"), "safetensors-unknown-field"
    for dtype in (
        "",
        "f32",
        "F32 ",
        "F128",
        "I4",
        "U4",
        "F8",
        "FLOAT",
        "O",
        "object",
        "U8\x00",
        "Q4_K",
        "BF16\n",
        "C128",
        "I128",
    ):
        yield f"type {dtype!r}", file_of({"a": tensor(dtype)}, b"12"), "safetensors-unknown-dtype"
    for number, odd in enumerate((None, 1, True, ["U8"], {"U8": 1})):
        yield f"type {number} of another kind", file_of({"a": tensor(odd)}, b"12"), "safetensors-unknown-dtype"
    for number, odd in enumerate((None, 2, "2", {}, {"0": 2}, True)):
        yield f"shape {number} of another kind", file_of({"a": tensor(shape=odd)}, b"12"), "safetensors-shape"
        yield f"offsets {number} of another kind", file_of({"a": tensor(offsets=odd)}, b"12"), "safetensors-offsets"


def _numbers() -> Iterator[Case]:
    for text in ("2.0", "2e0", "2E0", "NaN", "Infinity", '"2"', "null", "true", "[2]", "{}"):
        yield f"dimension {text}", described(shape=f"[{text}]"), "safetensors-not-an-integer"
        yield f"offset {text}", described(offsets=f"[0,{text}]"), "safetensors-not-an-integer"
    yield "dimension -Infinity", described(shape="[-Infinity]"), "safetensors-not-an-integer"
    for text in ("-1", "-2", "-0", "-9223372036854775808"):
        yield f"dimension {text}", described(shape=f"[{text}]"), "safetensors-negative"
        yield f"offset {text}", described(offsets=f"[{text},2]"), "safetensors-negative"
    for number in (1 << 64, (1 << 64) + 2, 10**20, 10**40, 10**4_000):
        yield (
            f"dimension over 64 bits {len(str(number))}-{number % 10}",
            described(shape=f"[{number}]"),
            "safetensors-number-overflow",
        )
        yield (
            f"offset over 64 bits {len(str(number))}-{number % 10}",
            described(offsets=f"[0,{number}]"),
            "safetensors-number-overflow",
        )
    for shape in ("[4294967296,4294967296]", "[18446744073709551615,2]", "[9223372036854775809,2]", "[65536,65536,65536,65536]",
                  "[18446744073709551615]", "[3,6148914691236517206]", "[2305843009213693952]"):  # fmt: skip
        yield f"shape {shape}", described(shape=shape), "safetensors-shape-overflow"


def _layout() -> Iterator[Case]:
    for offsets in ([], [0], [0, 1, 2], [2, 0], [1, 0], [5, 2]):
        yield f"offsets {offsets}", file_of({"a": tensor(offsets=offsets)}, b"12"), "safetensors-offsets"
    for dtype, shape, end in (
        ("U8", [1], 2), ("U8", [3], 2), ("U8", [0], 2), ("U8", [], 2), ("F16", [2], 2), ("F32", [1], 2), ("F64", [], 4),
        ("I64", [1], 2), ("BF16", [1, 2], 2), ("C64", [1], 4), ("F8_E4M3", [3], 2), ("BOOL", [2, 2], 2), ("F4", [2], 2),
        ("U8", [1 << 40], 2), ("U8", [2, 0], 2), ("F6_E2M3", [4], 2),
    ):  # fmt: skip
        header = {"a": tensor(dtype, shape, [0, end])}
        yield f"{dtype} of {shape} in {end}", file_of(header, bytes(end)), "safetensors-size-mismatch"
    for dtype, shape in (
        ("F4", [1]),
        ("F4", [3]),
        ("F4", [3, 3]),
        ("F6_E2M3", [1]),
        ("F6_E3M2", [3]),
        ("F6_E3M2", [2]),
    ):
        yield f"{dtype} of {shape}", file_of({"a": tensor(dtype, shape, [0, 2])}, b"12"), "safetensors-subbyte"
    for begin in (1, 2, 8, 4096):
        header = {"a": tensor(offsets=[begin, begin + 2])}
        yield f"hole of {begin} first", file_of(header, bytes(begin + 2)), "safetensors-hole"
        header = {"a": tensor(), "b": tensor(offsets=[begin + 2, begin + 4])}
        yield f"hole of {begin} between", file_of(header, bytes(begin + 4)), "safetensors-hole"
    for second in ([0, 2], [1, 3], [1, 2], [0, 1]):
        header = {"a": tensor(), "b": tensor(shape=[second[1] - second[0]], offsets=second)}
        yield f"overlap at {second}", file_of(header, bytes(3)), "safetensors-overlap"
    for tail in (b"\x00", b"x", b"\x80\x04.", b"PK\x03\x04", b"#!/bin/sh\n", bytes(4096)):
        yield f"tail {tail[:9]!r}", file_of({"a": tensor()}, b"12" + tail), "safetensors-trailing-data"
        yield f"tail {tail[:9]!r} alone", file_of({"__metadata__": {}}, tail), "safetensors-trailing-data"
    for end in (3, 1 << 20, 1 << 40, 1 << 60):
        yield f"data to {end}", file_of({"a": tensor(shape=[end], offsets=[0, end])}, b"12"), "safetensors-truncated"
    inside = archive()
    yield (
        "a zip in the tensor",
        file_of({"a": tensor(shape=[len(inside)], offsets=[0, len(inside)])}, inside),
        "safetensors-zip-polyglot",
    )
    more = inside + b"junk after the archive"
    yield (
        "a zip and more",
        file_of({"a": tensor(shape=[len(more)], offsets=[0, len(more)])}, more),
        "safetensors-zip-polyglot",
    )


def _metadata() -> Iterator[Case]:
    for number, value in enumerate((None, [], "text", 1, True)):
        yield f"metadata {number} of another kind", with_metadata(value), "safetensors-metadata"
    for number, value in enumerate((None, 1, 1.5, True, [], {}, ["pt"])):
        rule = "safetensors-not-an-integer" if value == 1.5 else "safetensors-metadata"
        yield f"metadata value {number} of another kind", with_metadata({"format": value}), rule
    for name, data in PAYLOADS.items():
        for coding, text in (("base64", base64.b64encode(data).decode()), ("hexadecimal", data.hex())):
            yield f"{name} in {coding}", with_metadata({"note": text}), "safetensors-metadata-payload"
        url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
        yield f"{name} as a picture", with_metadata({"modelspec.thumbnail": url}), "safetensors-metadata-payload"
    for text in SCRIPTS:
        yield f"script {text}", with_metadata({"ss_training_comment": f"nice {text}"}), "safetensors-metadata-script"
    yield "script in a key", with_metadata({SCRIPTS[0]: "x"}), "safetensors-metadata-script"
    yield "script in JSON", with_metadata({"workflow": json.dumps({"n": SCRIPTS[0]})}), "safetensors-metadata-script"
    escaped = '{"n":"\\u003cscript\\u003ealert(1)"}'
    yield "script in escapes", with_metadata({"workflow": escaped}), "safetensors-metadata-script"
    for text in TRAPS:
        yield f"trap {text}", with_metadata({"modelspec.license": text}), "safetensors-metadata-url-suspicious"
    yield "address", with_metadata({"format": "https://example.test/x"}), "safetensors-metadata-url"
    yield "long text", with_metadata({"format": "pt " * 30_000}), "safetensors-metadata-long"


def _disguised() -> Iterator[Case]:
    for name, data in PAYLOADS.items():
        yield f"{name} under the name", data, "safetensors-not-safetensors"
    for name, data in (
        ("GGUF", b"GGUF\x03\x00\x00\x00" + bytes(64)),
        ("npy", b"\x93NUMPY\x01\x00" + bytes(64)),
        ("JSON", b'{"a": 1}'),
    ):
        yield f"{name} under the name", data, "safetensors-not-safetensors"
