"""Where in a torch checkpoint the bytes of each tensor lie, in the zip, the stream and the tar form, without unpickling.

- zip (torch 1.6 and later): `<any name>/data.pkl` and one stored member for each storage;
- stream (before): a magic number, a protocol, a note on the writer, the pickle, the keys of the storages, the storages;
- tar (before 0.2): members `storages`, `tensors` and `pickle`.

What a loader would have to guess is refused: storages of another size than the pickle says, a key that stands for two
storages, archives that readers disagree about (every `formats.zips` or `formats.tars` problem), bytes in big-endian
order, TorchScript. Checksums of zip members are not read: what is converted is digested anyway.

Sources: `torch/serialization.py` (`_load`, `_legacy_load`, and `legacy_load` for tar).

Limits: those of `formats.torch_pickle`, `MAX_TENSORS` tensors, archives as in `formats.zips`.
"""

from __future__ import annotations

import re
import struct
from dataclasses import field
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import Ambiguous, LimitExceeded, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly
from weighbridge.formats.members import Slice
from weighbridge.formats.tar_header import is_tar_header
from weighbridge.formats.tars import TarArchive, TarMember
from weighbridge.formats.torch_pickle import HINT, MAX_NUMBER, CheckpointPickle
from weighbridge.formats.torch_values import (
    ITEM_BYTES,
    PickleValue,
    Storage,
    Table,
    TensorView,
    described,
    shown,
    storage_dtype,
)
from weighbridge.formats.zips import STORED, ZipArchive

MAX_TENSORS: Final = 100_000
HEAD_BYTES: Final = 512

_MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
_MAGIC_NUMBER, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_ZIP = b"PK\x03\x04"
_DEVICE: Final = re.compile(r"(?:cpu|cuda|mps|xpu|hpu|xla|npu|mlu|musa|mtia|privateuseone)(?::\d{1,4})?")
"""What storages are restored to: where they were has no part in what they are. `meta` has no bytes."""
_NOTES: Final = frozenset(("version", ".data/serialization_id", ".format_version", ".storage_alignment"))


@dataclass(frozen=True, slots=True)
class Located:
    """A storage and where its bytes lie: `size_bytes` from `offset` of the artifact on."""

    key: str
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint holds: its value with `TensorView`s for tensors, and the place of every storage they name.

    `form` is `zip`, `stream` or `tar`. `unused` are storages in the artifact that the pickle does not name.
    """

    path: str
    form: str
    value: PickleValue
    storages: dict[str, Located]
    unused: tuple[str, ...] = ()

    def begin(self, tensor: TensorView, name: str) -> int:
        """Where the first element of a tensor lies in the artifact; all others are checked to lie in its storage.

        Raises:
            Malformed: the tensor reaches beyond its storage.
            LimitExceeded: it has more elements than can be counted.
        """
        storage, item = tensor.storage, ITEM_BYTES[tensor.dtype]
        place, unit = self.storages[storage.key], ITEM_BYTES[storage.dtype]
        count, last = item, tensor.offset
        for size, stride in zip(tensor.shape, tensor.strides, strict=True):
            count *= size
            last += max(0, size - 1) * stride
            if count > MAX_NUMBER or last > MAX_NUMBER:
                raise LimitExceeded(f"'{self.path}': the tensor {shown(name)} has too many elements", hint=HINT)
        room = storage.count * unit
        needed = (last + 1) * item if count else tensor.offset * item
        if needed > room:
            raise Malformed(
                f"'{self.path}': the tensor {shown(name)} needs {needed} bytes of a storage of {room}", hint=HINT
            )
        return place.offset + storage.first * unit + tensor.offset * item


def form_of(head: bytes) -> str:
    """`zip`, `stream`, `tar`, or nothing, by the first `HEAD_BYTES` of an artifact."""
    if head.startswith(_ZIP):
        return "zip"
    if head[:1] == b"\x80" and _MAGIC in head[:64]:
        return "stream"
    return "tar" if is_tar_header(head) else ""


def read_checkpoint(reader: RangeReader) -> Checkpoint:
    """Reads the pickles of a checkpoint and places its storages; no tensor is read.

    Raises:
        Malformed: it is no checkpoint, breaks the rules of its form, or holds more than plain values and tensors.
        Ambiguous: readers could understand it in different ways.
        LimitExceeded: it needs more than any honest one.
        Truncated: the reader returned less than the artifact's size promises.
    """
    form = form_of(read_exactly(reader, 0, min(HEAD_BYTES, reader.size_bytes)))
    reading = {"zip": _read_zip, "stream": _read_stream, "tar": _read_tar}.get(form)
    if reading is None:
        raise Malformed(
            f"'{reader.path}' is no checkpoint of torch: it begins as none of the three forms",
            hint="A bare pickle holds no storages. Remove the file, or ask the publisher for safetensors.",
        )
    return reading(reader)


@dataclass(slots=True)
class _Named:
    """The storages that a pickle names, each as it was named first."""

    path: str
    legacy: bool = False
    roots: dict[str, Storage] = field(default_factory=dict)
    views: dict[str, Storage] = field(default_factory=dict)

    def load(self, identity: PickleValue) -> PickleValue:
        """The storage with that id: `("storage", type, key, location, numel)`, and a view of it in the stream form."""
        if not isinstance(identity, tuple) or len(identity) != 5 + self.legacy or identity[0] != "storage":
            raise self._refused(f"an object has the id {described(identity)}, which is that of no storage")
        kind, key, location, numel = identity[1:5]
        dtype = storage_dtype(kind)
        if dtype is None or (dtype[1] and self.legacy):
            # In the stream form torch writes untyped storages and cannot read them.
            raise self._refused(f"a storage is of the type {described(kind)}, which holds no plain numbers here")
        if not isinstance(key, str) or not isinstance(location, str) or not _DEVICE.fullmatch(location):
            raise self._refused(
                f"a storage has no key, or is on {described(location)}: no device with bytes of its own"
            )
        count = self._number(numel)
        storage = Storage(key, dtype[0], count, 0, count, dtype[1])
        self._once(self.roots, key, storage)
        return self._view(storage, identity[5]) if self.legacy else storage

    def _view(self, root: Storage, view: PickleValue) -> Storage:
        if view is None:
            return root
        if not isinstance(view, tuple) or len(view) != 3 or not isinstance(view[0], str):
            raise self._refused("a view of a storage is not described as one")
        first, count = self._number(view[1]), self._number(view[2])
        if first + count > root.numel:
            raise self._refused(f"a view of the storage {shown(root.key)} reaches beyond it")
        storage = Storage(root.key, root.dtype, root.numel, first, count, root.untyped)
        self._once(self.views, view[0], storage)
        return storage

    def _once(self, known: dict[str, Storage], key: str, storage: Storage) -> None:
        if known.setdefault(key, storage) != storage:
            raise Ambiguous(
                f"'{self.path}': the storage {shown(key)} is described in two ways, and loaders take the first",
                hint=HINT,
            )

    def _number(self, value: PickleValue) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_NUMBER:
            raise self._refused(f"a storage has {described(value)} elements")
        return value

    def _refused(self, what: str) -> Malformed:
        return Malformed(f"'{self.path}': {what}", hint=HINT)


def _sized(path: str, storage: Storage, size_bytes: int) -> None:
    expected = storage.numel * ITEM_BYTES[storage.dtype]
    if size_bytes != expected:
        raise Malformed(
            f"'{path}': the storage {shown(storage.key)} has {size_bytes} bytes and the pickle says {expected}",
            hint=HINT,
        )


# --- zip -----------------------------------------------------------------------------------------


def _read_zip(reader: RangeReader) -> Checkpoint:
    path = reader.path
    archive = ZipArchive(reader)
    names = {member.name: index for index, member in enumerate(archive.members)}
    _agreed(path, archive)
    pickles = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise Malformed(f"'{path}' is a zip archive with {len(pickles)} members 'data.pkl'", hint=HINT)
    prefix = pickles[0].removesuffix("data.pkl")
    keys = {
        name.removeprefix(f"{prefix}data/"): index for name, index in names.items() if name.startswith(f"{prefix}data/")
    }
    for name, index in names.items():
        _known_member(path, name.removeprefix(prefix))
        if archive.members[index].method != STORED:
            raise Malformed(f"'{path}': the member {shown(name)} is packed, and torch stores all of them", hint=HINT)
    order = names.get(f"{prefix}byteorder")
    if order is not None and _member(reader, archive, order, 16) != b"little":
        raise Malformed(
            f"'{path}' was written on a big-endian machine",
            hint="Load and save it once on a little-endian machine, where that is acceptable.",
        )
    pickled = archive.locate(names[pickles[0]])
    _agreed(path, archive)
    named = _Named(path)
    machine = CheckpointPickle(Slice(f"{path}!data.pkl", reader, pickled.data_offset, pickled.size_bytes))
    value = machine.read(0, pickled.size_bytes, named.load)
    if machine.position != pickled.size_bytes:
        raise Malformed(f"'{path}': something follows the pickle in 'data.pkl'", hint=HINT)
    if missing := sorted(named.roots.keys() - keys.keys()):
        raise Malformed(f"'{path}': the storage {shown(missing[0])} is not in the archive", hint=HINT)
    storages = {}
    # In the order of the file, so that neighbours cost one read.
    for key in sorted(named.roots, key=lambda key: archive.members[keys[key]].header_offset):
        member = archive.locate(keys[key])
        _sized(path, named.roots[key], member.size_bytes)
        storages[key] = Located(key, member.data_offset, member.size_bytes)
    archive.settle()
    _agreed(path, archive)
    return Checkpoint(path, "zip", value, storages, tuple(sorted(keys.keys() - storages.keys())))


def _agreed(path: str, archive: ZipArchive) -> None:
    if archive.problems:
        problem = archive.problems[0]
        raise Ambiguous(f"'{path}', offset {problem.offset} (zip-{problem.rule}): {problem.message}", hint=HINT)


def _known_member(path: str, name: str) -> None:
    if name.startswith("code/") or name == "constants.pkl":
        raise Malformed(
            f"'{path}' is TorchScript: a program, of which the weights are a part",
            hint="Programs are not converted. Remove the file, or ask the publisher for safetensors.",
        )
    key = name.removeprefix("data/")
    if name not in _NOTES and name not in ("data.pkl", "byteorder") and (key == name or not key or "/" in key):
        raise Malformed(f"'{path}': the member {shown(name)} is none that torch.save writes", hint=HINT)


def _member(reader: RangeReader, archive: ZipArchive, index: int, limit: int) -> bytes:
    member = archive.locate(index)
    if member.data_offset < 0 or member.size_bytes > limit:
        raise Malformed(f"'{reader.path}': the member {shown(member.name)} cannot be read", hint=HINT)
    return read_exactly(reader, member.data_offset, member.size_bytes)


# --- stream --------------------------------------------------------------------------------------


def _read_stream(reader: RangeReader) -> Checkpoint:
    path, size = reader.path, reader.size_bytes
    machine = CheckpointPickle(reader)
    magic, protocol, writer = (machine.read(machine.position, size) for _ in range(3))
    if magic != _MAGIC_NUMBER or protocol != _PROTOCOL:
        raise Malformed(f"'{path}': the magic number or the protocol is not torch's", hint=HINT)
    if not isinstance(writer, Table) or writer.items.get("little_endian") is not True:
        raise Malformed(f"'{path}' was not written on a little-endian machine, or does not say so", hint=HINT)
    named = _Named(path, legacy=True)
    value = machine.read(machine.position, size, named.load)
    keys = machine.read(machine.position, size)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Malformed(f"'{path}': the list of storages is none", hint=HINT)
    storages: dict[str, Located] = {}
    position = machine.position
    for key in keys:
        storage = named.roots.get(str(key))
        if storage is None or key in storages:
            raise Ambiguous(f"'{path}': the storage {shown(key)} is listed twice, or used nowhere", hint=HINT)
        placed = _counted(reader, position, storage)
        storages[storage.key] = placed
        position = placed.offset + placed.size_bytes
    if storages.keys() != named.roots.keys():
        missing = min(named.roots.keys() - storages.keys())
        raise Malformed(f"'{path}': the storage {shown(missing)} is not in the file", hint=HINT)
    if position != size:
        raise Malformed(f"'{path}': {size - position} bytes follow the last storage", hint=HINT)
    return Checkpoint(path, "stream", value, storages)


def _counted(reader: RangeReader, position: int, storage: Storage) -> Located:
    """A storage that is preceded by its number of elements."""
    if position + 8 > reader.size_bytes:
        raise Malformed(f"'{reader.path}' ends before the storage {shown(storage.key)}", hint=HINT)
    count = int.from_bytes(read_exactly(reader, position, 8), "little")
    size_bytes = count * ITEM_BYTES[storage.dtype]
    _sized(reader.path, storage, size_bytes)
    if position + 8 + size_bytes > reader.size_bytes:
        raise Malformed(f"'{reader.path}' ends within the storage {shown(storage.key)}", hint=HINT)
    return Located(storage.key, position + 8, size_bytes)


# --- tar -----------------------------------------------------------------------------------------


def _read_tar(reader: RangeReader) -> Checkpoint:
    path = reader.path
    archive = TarArchive(reader)
    members = {member.name: member for member in archive.walk() if not member.is_folder}
    if archive.problems or not archive.complete:
        problem = archive.problems[0] if archive.problems else None
        said = f"offset {problem.offset} (tar-{problem.rule}): {problem.message}" if problem else "it does not end"
        raise Ambiguous(f"'{path}', {said}", hint=HINT)
    if not members.keys() >= {"storages", "tensors", "pickle"} or members.keys() - {
        "storages", "tensors", "pickle", "sys_info"
    }:  # fmt: skip
        raise Malformed(f"'{path}' is a tar archive, and none that torch wrote", hint=HINT)
    machine = CheckpointPickle(reader)
    storages, objects = _tar_storages(reader, machine, members["storages"])
    tensors = _tar_tensors(reader, machine, members["tensors"], objects)

    def load(identity: PickleValue) -> PickleValue:
        key = _key(path, identity)
        if key not in tensors and key not in objects:
            raise Malformed(f"'{path}': an object has the id {shown(key)}, which nothing has", hint=HINT)
        return tensors[key] if key in tensors else objects[key]

    pickled = members["pickle"]
    value = machine.read(pickled.data_offset, pickled.end_offset, load)
    if machine.position != pickled.end_offset:
        raise Malformed(f"'{path}': something follows the pickle", hint=HINT)
    return Checkpoint(path, "tar", value, storages)


def _tar_storages(
    reader: RangeReader, machine: CheckpointPickle, member: TarMember
) -> tuple[dict[str, Located], dict[str, Storage]]:
    path, end = reader.path, member.end_offset
    located: dict[str, Located] = {}
    objects: dict[str, Storage] = {}
    count = _count(path, machine.read(member.data_offset, end))
    for _ in range(count):
        described_as = machine.read(machine.position, end)
        if not isinstance(described_as, tuple) or len(described_as) != 3:
            raise Malformed(f"'{path}': a storage is not described as one", hint=HINT)
        key, dtype = _key(path, described_as[0]), storage_dtype(described_as[2])
        if dtype is None or key in objects or machine.position + 8 > end:
            raise Malformed(f"'{path}': the storage {shown(key)} is there twice, cut, or of an unknown type", hint=HINT)
        numel = int.from_bytes(read_exactly(reader, machine.position, 8), "little")
        objects[key] = Storage(key, dtype[0], numel, 0, numel, dtype[1])
        located[key] = Located(key, machine.position + 8, numel * ITEM_BYTES[dtype[0]])
        machine.position += 8 + located[key].size_bytes
        if machine.position > end:
            raise Malformed(f"'{path}' ends within the storage {shown(key)}", hint=HINT)
    _tar_views(path, machine.read(machine.position, end), objects)
    if machine.position != end:
        raise Malformed(f"'{path}': something follows the storages", hint=HINT)
    return located, objects


def _tar_views(path: str, views: PickleValue, objects: dict[str, Storage]) -> None:
    if not isinstance(views, list):
        raise Malformed(f"'{path}': the list of views is none", hint=HINT)
    for view in views:
        if not isinstance(view, tuple) or len(view) != 4:
            raise Malformed(f"'{path}': a view of a storage is not described as one", hint=HINT)
        key, root_key = _key(path, view[0]), _key(path, view[1])
        root, first, count = objects.get(root_key), _count(path, view[2]), _count(path, view[3])
        if root is None or key in objects or first + count > root.count:
            raise Malformed(f"'{path}': the view {shown(key)} of a storage reaches beyond it", hint=HINT)
        objects[key] = Storage(root.key, root.dtype, root.numel, root.first + first, count, root.untyped)


def _tar_tensors(
    reader: RangeReader, machine: CheckpointPickle, member: TarMember, objects: dict[str, Storage]
) -> dict[str, TensorView]:
    path, end = reader.path, member.end_offset
    tensors: dict[str, TensorView] = {}
    for _ in range(_count(path, machine.read(member.data_offset, end))):
        described_as = machine.read(machine.position, end)
        if not isinstance(described_as, tuple) or len(described_as) != 3:
            raise Malformed(f"'{path}': a tensor is not described as one", hint=HINT)
        key, storage = _key(path, described_as[0]), objects.get(_key(path, described_as[1]))
        if storage is None or key in tensors or key in objects:
            raise Malformed(f"'{path}': the tensor {shown(key)} is there twice, or has no storage", hint=HINT)
        numbers, machine.position = _tar_numbers(reader, machine.position, end)
        ndim = (len(numbers) - 1) // 2
        sizes = (numbers[:ndim], numbers[ndim : 2 * ndim])
        tensors[key] = machine.view(storage, storage.dtype, numbers[-1], sizes)
    if machine.position != end:
        raise Malformed(f"'{path}': something follows the tensors", hint=HINT)
    return tensors


def _tar_numbers(reader: RangeReader, position: int, end: int) -> tuple[tuple[int, ...], int]:
    """Sizes, strides and offset of a tensor, behind the number of its dimensions in 8 bytes; and where they end."""
    count = struct.unpack("<i", read_exactly(reader, position, 4))[0] if position + 8 <= end else -1
    after = position + 8 + 8 * (2 * count + 1)
    if not 0 <= count <= 64 or after > end:
        raise Malformed(f"'{reader.path}': a tensor has {count} dimensions, or is cut", hint=HINT)
    return struct.unpack(f"<{2 * count + 1}q", read_exactly(reader, position + 8, after - position - 8)), after


def _key(path: str, value: PickleValue) -> str:
    """A key of the tar form: an integer, or the same as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return str(int(value))
    raise Malformed(f"'{path}': an object has the id {described(value)}", hint=HINT)


def _count(path: str, value: PickleValue) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_NUMBER:
        raise Malformed(f"'{path}': {described(value)} stands where a number belongs", hint=HINT)
    return value
