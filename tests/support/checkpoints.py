"""Torch checkpoints of all three forms, honest and hostile, built without torch."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weighbridge.core.ports import RangeReader
from weighbridge.core.snapshot import Entry
from weighbridge.formats.held import Held
from weighbridge.remediate.plan import Made, Step
from weighbridge.remediate.to_safetensors import to_safetensors


@dataclass(frozen=True)
class Name:
    """A global."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """A global, called."""

    module: str
    name: str
    arguments: tuple[object, ...]


@dataclass(frozen=True)
class Id:
    """An object that the loader finds by this id."""

    identity: object


@dataclass(frozen=True)
class Raw:
    """Opcodes as they are."""

    opcodes: bytes


def opcodes(value: object) -> bytes:
    """The opcodes that make a value, as protocol 2 has them, without a memo."""
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    return _WRITERS[type(value)](value)


def _integer(value: int) -> bytes:
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def _text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


_WRITERS: dict[type, Callable[[Any], bytes]] = {
    int: _integer,
    float: lambda value: b"G" + struct.pack(">d", value),
    str: _text,
    tuple: lambda value: b"(" + b"".join(map(opcodes, value)) + b"t",
    list: lambda value: b"](" + b"".join(map(opcodes, value)) + b"e",
    dict: lambda value: b"}(" + b"".join(opcodes(one) for pair in value.items() for one in pair) + b"u",
    Name: lambda value: f"c{value.module}\n{value.name}\n".encode(),
    Call: lambda value: opcodes(Name(value.module, value.name)) + opcodes(value.arguments) + b"R",
    Id: lambda value: opcodes(value.identity) + b"Q",
    Raw: lambda value: value.opcodes,
}


def pickled(value: object) -> bytes:
    """A whole pickle."""
    return b"\x80\x02" + opcodes(value) + b"."


def storage(key: str, numel: int, kind: str = "FloatStorage", *, location: str = "cpu") -> Id:
    """A storage of the zip form."""
    return Id(("storage", Name("torch", kind), key, location, numel))


def tensor(
    of: object, shape: Sequence[int], strides: Sequence[int] | None = None, offset: int = 0, *rest: object
) -> Call:
    """A tensor as torch writes it; row-major where no strides are given."""
    if strides is None:
        strides, step = [], 1
        for size in reversed(shape):
            strides.insert(0, step)
            step *= size
    hooks = Call("collections", "OrderedDict", ())
    return Call("torch._utils", "_rebuild_tensor_v2", (of, offset, tuple(shape), tuple(strides), False, hooks, *rest))


def zip_checkpoint(
    value: object,
    storages: Mapping[str, bytes],
    *,
    prefix: str = "archive",
    byteorder: bytes = b"little",
    more: Sequence[tuple[str, bytes]] = (),
    packed: Sequence[str] = (),
) -> bytes:
    """A checkpoint of the zip form. `value` may be a pickle already; members in `packed` are deflated."""
    out = io.BytesIO()
    members = [("data.pkl", value if isinstance(value, bytes) else pickled(value)), ("byteorder", byteorder)]
    members += [(f"data/{key}", data) for key, data in storages.items()]
    members += [("version", b"3\n"), (".data/serialization_id", b"0" * 40), *more]
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members:
            method = zipfile.ZIP_DEFLATED if name in packed else zipfile.ZIP_STORED
            archive.writestr(zipfile.ZipInfo(f"{prefix}/{name}"), data, method)
    return out.getvalue()


def stream_checkpoint(
    value: object, storages: Sequence[tuple[str, int, bytes]], *, little_endian: bool = True, after: bytes = b""
) -> bytes:
    """A checkpoint of the stream form; storages are key, number of elements, bytes."""
    writer = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = b"".join(map(pickled, (0x1950A86A20F9469CFC6C, 1001, writer, value, [key for key, _, _ in storages])))
    return head + b"".join(struct.pack("<q", count) + data for _, count, data in storages) + after


def tar_checkpoint(
    value: object,
    storages: Sequence[tuple[int, str, int, bytes]],
    tensors: Sequence[tuple[int, int, Sequence[int], Sequence[int], int]],
    *,
    views: Sequence[tuple[int, int, int, int]] = (),
) -> bytes:
    """A checkpoint of the tar form: storages are key, type, elements, bytes; tensors key, storage, sizes, strides, offset."""
    stored = pickled(len(storages))
    for key, kind, count, data in storages:
        stored += pickled((key, "cpu", Name("torch", kind))) + struct.pack("<q", count) + data
    stored += pickled([tuple(view) for view in views])
    described = pickled(len(tensors))
    for key, of, sizes, strides, offset in tensors:
        described += pickled((key, of, Name("torch", "FloatTensor"))) + struct.pack("<ii", len(sizes), 0)
        described += struct.pack(f"<{2 * len(sizes) + 1}q", *sizes, *strides, offset)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in (
            ("sys_info", pickled({})),
            ("pickle", pickled(value)),
            ("tensors", described),
            ("storages", stored),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def index_of(weight_map: Mapping[str, str]) -> bytes:
    """An index of shards as transformers writes it."""
    return json.dumps({"metadata": {"total_size": 0}, "weight_map": dict(weight_map)}).encode()


class Revision:
    """A revision in memory, and what is made of it."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.made: dict[str, bytes] = {}

    def reader(self, path: str) -> RangeReader:
        """An artifact of the parent."""
        return Held(path, self.files[path])

    def derived(self, path: str) -> RangeReader:
        """An artifact that was made."""
        return Held(path, self.made[path])

    def plan(self) -> Step | None:
        """The step, if there is one."""
        return to_safetensors([Entry(path, len(data)) for path, data in self.files.items()], self.reader)

    def convert(self, block: int = 1_000_003) -> Step:
        """The step, after everything it makes was written."""
        step = self.plan()
        assert step is not None
        self.made = {made.path: self.write(made, block) for made in step.made}
        return step

    def write(self, made: Made, block: int) -> bytes:
        """The bytes of a made artifact, asked for in blocks."""
        parts = []
        for piece in made.pieces:
            for start in range(0, piece.size_bytes, block):
                end = min(start + block, piece.size_bytes)
                parts.append(piece.read(self.reader, start, end))
                assert len(parts[-1]) == end - start
        written = b"".join(parts)
        assert len(written) == made.size_bytes
        return written
