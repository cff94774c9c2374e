"""Looks into a zip archive: its structure, the pickles in it, the storages they name, and every other member.

Pickles come first, for they say which members are tensors: stored, of exactly the size that the pickle gives them, they
are data and neither read nor handed down. Everything else is an artifact of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Final

from weighbridge.core.errors import Truncated
from weighbridge.core.ports import RangeReader
from weighbridge.formats.decoders import (
    Cursor,
    Decoder,
    Inflate,
    StreamDefect,
    bzip2,
    decode,
    lzma_properties,
    raw_lzma,
)
from weighbridge.formats.held import Held
from weighbridge.formats.kinds import NAMED_PICKLES, PICKLE, kind_of, read_head, suffix_of
from weighbridge.formats.members import Replayed, Slice
from weighbridge.formats.zips import BZIP2, LZMA, METHODS, STORED, ZipArchive, ZipMember, crc_of, shown
from weighbridge.inspectors.archives.exported import is_raw, listed_tensors
from weighbridge.inspectors.archives.looking import Looking

MAX_CHECKED_BYTES = 24 * 1024 * 1024
"""Largest stored pickle that is read for its checksum; other members are checked where they are read whole anyway."""

_COPIED_BYTES = 1024 * 1024
_TRIFLES: Final = (
    "version",
    "byteorder",
    "archive_format",
    "archive_version",
    ".format_version",
    ".storage_alignment",
    ".data/serialization_id",
)
_TRIFLE_BYTES = 64
_WEIGHTS: Final = {BZIP2: 8, LZMA: 3}


class ZipLook:
    """One archive: `look` says everything there is to say on a `Looking` of the family `zip`."""

    def __init__(self, looking: Looking, archive: ZipArchive) -> None:
        self._looking = looking
        self._archive = archive
        self._storages: dict[str, tuple[int, ...]] = {}
        """Bytes of the storages that pickles name, by the member that holds them."""
        self._missing: dict[tuple[str, ...], int] = {}
        self._exported: frozenset[str] = frozenset()
        """Members that are raw tensors by a list of `torch.export`."""

    def look(self) -> None:
        """Hands down the members, pickles first, and checks the whole.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        members, subject = self._archive.members, self._looking.subject
        named = [index for index, one in enumerate(members) if suffix_of(one.name) in NAMED_PICKLES]
        for index in named:
            self._member(index)
        first = frozenset(named)
        self._exported = listed_tensors(members, lambda index: self._open(self._archive.locate(index)))
        for index in sorted(range(len(members)), key=lambda one: members[one].header_offset):
            if index not in first and not self._is_storage(index):
                self._member(index)
        self._check_missing()
        self._archive.settle()
        for problem in self._archive.problems:
            self._looking.say(problem.rule, problem.message, f"offset {problem.offset}")
        if not self._archive.readable:
            self._looking.leave_out(subject.size_bytes)

    def _is_storage(self, index: int) -> bool:
        member = self._archive.members[index]
        sizes = self._storages.get(member.name)
        if not sizes or member.method != STORED or member.encrypted or member.size_bytes != member.packed_bytes:
            return False
        if member.packed_bytes and any(size != member.packed_bytes for size in sizes):
            message = (
                f"{shown(member)} has {member.packed_bytes} bytes, and the pickle makes {sizes[0]} of them a tensor"
            )
            self._archive.say("storage-size", message, member.header_offset)
            return False
        # TorchScript keeps traced inputs without their numbers: nothing is there, and nothing can hide.
        start = member.header_offset + 30 + member.name_bytes
        self._looking.subject.inert(start, start + member.packed_bytes)
        return True

    def _member(self, index: int) -> None:
        member = self._archive.members[index]
        if member.is_folder:
            return
        if self._looking.stopped:
            self._looking.leave_out(member.packed_bytes)
            return
        member = self._archive.locate(index)
        if member.is_link:
            self._archive.say("link", f"{shown(member)} is a symbolic link", member.header_offset)
        content = self._open(member)
        if content is None:
            self._looking.leave_out(member.packed_bytes)
            return
        if _is_trifle(content):
            return
        if member.name in self._exported and is_raw(member, content):
            self._looking.subject.inert(member.data_offset, member.end_offset)
            return
        unpacked = content.size_bytes if member.method != STORED else 0
        found = self._looking.descend(content, unpacked_bytes=unpacked, packed_bytes=member.packed_bytes)
        if found is None:
            return
        self._looking.subject.inert(member.data_offset, member.end_offset)
        storages = found.values("torch-storage")
        # Those of a container are its own: they lie in it.
        if storages and kind_of(member.name, read_head(content), content.size_bytes) is PICKLE:
            self._name_storages(member.name, storages)

    def _name_storages(self, pickle: str, storages: dict[str, str]) -> None:
        """Where torch looks for a storage: beside its pickle, in a folder of the pickle's name, or a package's data."""
        present = {member.name for member in self._archive.members} if storages else set()
        folder, slash, base = pickle.rpartition("/")
        root = pickle.partition("/")[0]
        for key, size in storages.items():
            places = (
                f"{folder}{slash}{base.rpartition('.')[0]}/{key}",
                f"{folder}{slash}data/{key}",
                f"{root}/.data/{key}.storage",
            )
            # Writers count; a key that is a name would make a tensor of what somebody else opens by it.
            name = next((place for place in places if key.isascii() and key.isdecimal() and place in present), None)
            if name is None:
                self._missing[places] = int(size)
            else:
                self._storages[name] = (*self._storages.get(name, ()), int(size))

    def _check_missing(self) -> None:
        if self._missing:
            first = min(self._missing)[0]
            self._archive.say(
                "storage-size", f"{len(self._missing)} storages are not there, such as {first[:100]!a}", 0
            )

    # --- content ---------------------------------------------------------------------------------

    def _open(self, member: ZipMember) -> RangeReader | None:
        """A member's content; None when it is not there or cannot be unpacked, which is said."""
        if member.data_offset < 0 or member.end_offset > self._archive.blocks.size_bytes:
            return None
        if member.encrypted or member.method not in METHODS:
            return None
        if member.method == STORED:
            return self._stored(member)
        if member.size_bytes > self._looking.may_unpack or member.grows_too_much:
            self._archive.say("limit", f"{shown(member)} unpacks to more than is unpacked", member.header_offset)
            return None
        return self._unpacked(member)

    def _stored(self, member: ZipMember) -> RangeReader:
        content: RangeReader = Slice(member.name, self._archive.blocks, member.data_offset, member.packed_bytes)
        limit = MAX_CHECKED_BYTES if suffix_of(member.name) in NAMED_PICKLES else _COPIED_BYTES
        if member.packed_bytes > limit:
            return content
        if member.packed_bytes <= min(_COPIED_BYTES, self._looking.may_hold):
            content = Held(member.name, _whole(content), self._looking.subject.reader)
        if crc_of(content) != member.crc32:
            self._archive.say("checksum", f"{shown(member)} has another checksum", member.header_offset)
        return content

    def _unpacked(self, member: ZipMember) -> RangeReader | None:
        """Unpacks once from end to end, for the checksum and for what is hidden behind; holds it when it is small."""
        hold = member.size_bytes <= self._looking.may_hold
        out, crc, size = bytearray(), 0, 0
        cursor = Cursor(self._archive.blocks, member.data_offset, member.end_offset)
        place = member.header_offset
        try:
            for chunk in decode(cursor, _decoder(cursor, member)):
                crc, size = zlib.crc32(chunk, crc), size + len(chunk)
                if size > member.size_bytes:
                    break
                if hold:
                    out += chunk
        except StreamDefect as defect:
            rule = defect.rule if defect.rule in ("limit", "method", "checksum") else "broken"
            self._archive.say(rule, f"{shown(member)}: {defect.message}", place)
            # What came out is what a reader that acts as it reads has acted on.
            return Held(member.name, out, self._looking.subject.reader) if out else None
        if size != member.size_bytes or crc != member.crc32:
            message = f"{shown(member)} unpacks to something else than the directory says"
            self._archive.say("checksum", message, place)
        elif cursor.remaining:
            self._archive.say("extra-data", f"{shown(member)} is followed by bytes nobody unpacks", place)
        if hold:
            return Held(member.name, out, self._looking.subject.reader)
        return Replayed(
            member.name,
            min(size, member.size_bytes),
            _again(self._archive.blocks, member),
            outer=self._looking.subject.reader,
            weight=_WEIGHTS.get(member.method, 1),
        )


def _again(reader: RangeReader, member: ZipMember) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        cursor = Cursor(reader, member.data_offset, member.end_offset)
        return decode(cursor, _decoder(cursor, member))

    return chunks


def _decoder(cursor: Cursor, member: ZipMember) -> Decoder:
    """Raises StreamDefect."""
    match member.method:
        case 8:
            return Inflate(-15)
        case 12:
            return bzip2()
        case 14:
            # APPNOTE 5.8.8: the version of the LZMA SDK, the size of the properties, the properties.
            head = cursor.take(4)
            if head[2:4] != b"\x05\x00":
                raise StreamDefect("LZMA's properties are missing")
            return raw_lzma([lzma_properties(cursor.take(5))])
        case _:
            raise StreamDefect(f"the method {member.method} is not unpacked", "method")


def _whole(reader: RangeReader) -> bytes:
    data = reader.read(0, reader.size_bytes)
    if len(data) != reader.size_bytes:
        raise Truncated(f"'{reader.path}' gave {len(data)} bytes where it has {reader.size_bytes}")
    return data


def _is_trifle(content: RangeReader) -> bool:
    """The word or number that torch's writers put into a file of its own."""
    if not content.path.endswith(_TRIFLES) or content.size_bytes > _TRIFLE_BYTES:
        return False
    return content.read(0, _TRIFLE_BYTES).strip().isalnum()
