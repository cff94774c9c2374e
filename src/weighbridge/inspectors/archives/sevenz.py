"""Looks into a 7z archive: its header, and every file of the folders that can be unpacked."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from weighbridge.core.ports import RangeReader
from weighbridge.formats.decoders import StreamDefect
from weighbridge.formats.held import Held
from weighbridge.formats.members import Replayed, Slice
from weighbridge.formats.sevenz import Folder, SevenZipArchive, SevenZipDefect, SevenZipFile, read_archive
from weighbridge.formats.tars import escapes
from weighbridge.formats.zips import crc_of
from weighbridge.inspectors.archives.looking import Looking

_WEIGHT = 3


def look_at_7z(looking: Looking) -> frozenset[int]:
    """Says everything there is to say on a `Looking` of the family `7z`, and hands down the files.

    Returns where files begin that are stored as they are.

    Raises:
        Truncated: the reader returned less than the artifact's size promises.
    """
    try:
        archive = read_archive(looking.subject.reader)
    except SevenZipDefect as defect:
        looking.say(defect.rule, defect.message)
        looking.leave_out(looking.subject.size_bytes)
        return frozenset()
    if archive.holes:
        looking.say("extra-data", f"{archive.holes} bytes belong to no file, or to more than one")
    _check_names(looking, archive)
    inside: dict[int, list[SevenZipFile]] = {}
    for file in archive.files:
        inside.setdefault(file.folder, []).append(file)
    for number, folder in enumerate(archive.folders):
        _folder(looking, folder, inside.get(number, []))
    stored = {number for number, folder in enumerate(archive.folders) if folder.stored}
    return frozenset(archive.folders[one.folder].start + one.start for one in archive.files if one.folder in stored)


def _check_names(looking: Looking, archive: SevenZipArchive) -> None:
    seen: set[str] = set()
    for file in archive.files:
        shown, folded = f"{file.name[:100]!a}", file.name.replace("\\", "/").casefold()
        if folded in seen:
            looking.say("duplicate-name", f"{shown} is there twice")
        seen.add(folded)
        if escapes(file.name):
            looking.say("traversal", f"{shown} would be written outside, or nowhere")
        if file.is_link:
            looking.say("link", f"{shown} is a symbolic link")
        if file.anti:
            looking.say("anti", f"{shown} is to be deleted")


def _folder(looking: Looking, folder: Folder, files: list[SevenZipFile]) -> None:
    content = None if looking.stopped else _content(looking, folder)
    if content is None:
        looking.leave_out(folder.packed_bytes)
        return
    share = folder.packed_bytes // max(1, len(files))
    for file in files:
        member = Slice(file.name, content, file.start, file.size_bytes)
        if file.crc is not None and isinstance(content, Held) and crc_of(member) != file.crc:
            looking.say("checksum", f"{file.name[:100]!a} has another checksum")
        looking.descend(member, unpacked_bytes=file.size_bytes, packed_bytes=share)


def _content(looking: Looking, folder: Folder) -> RangeReader | None:
    reader = looking.subject.reader
    if folder.start + folder.packed_bytes > reader.size_bytes:
        looking.say("broken", "a folder lies beyond the end of the file")
        return None
    if folder.encrypted:
        looking.say("encrypted", "a folder is encrypted")
        return None
    if folder.size_bytes > looking.may_unpack // _WEIGHT:
        looking.say("limit", f"a folder unpacks to {folder.size_bytes} bytes, which is more than is unpacked")
        return None
    out, hold = bytearray(), folder.size_bytes <= looking.may_hold
    try:
        for chunk in folder.chunks(reader):
            if hold:
                out += chunk
    except StreamDefect as defect:
        rule = defect.rule if defect.rule in ("method", "limit", "checksum") else "broken"
        looking.say(rule, f"a folder: {defect.message}")
        return None
    if hold:
        return Held(looking.subject.path, out, reader)
    return Replayed(looking.subject.path, folder.size_bytes, _again(folder, reader), outer=reader, weight=_WEIGHT)


def _again(folder: Folder, reader: RangeReader) -> Callable[[], Iterator[bytes]]:
    return lambda: folder.chunks(reader)
