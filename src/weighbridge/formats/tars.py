"""The members of a tar archive, front to back, and everything that makes its readers disagree.

Written after POSIX.1-2001 (ustar, pax) and GNU tar's manual (long names, base-256 numbers, sparse files); v7 headers are
known by their checksum alone. Python's tarfile and GNU tar differ in what they make of broken headers, of sizes on
things without content and of what follows the end: all of that is a `TarProblem`, and none is repaired in silence.
Problems are collected and not raised.

Limits: `MAX_MEMBERS` members, `MAX_EXTENDED_BYTES` of one extended header, one read for each member that is large,
one for many that are small. Sparse files are recognised and their content is not put together.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import field
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import Truncated
from weighbridge.core.later import later
from weighbridge.core.ports import RangeReader
from weighbridge.formats.members import Blocks
from weighbridge.formats.tar_header import BLOCK, OCTAL, is_tar_header

MAX_MEMBERS: Final = 30_000
MAX_EXTENDED_BYTES: Final = 1024 * 1024
MAX_PROBLEMS: Final = 200
MAX_PADDING_BYTES: Final = 16 * 1024 * 1024
"""Zeros behind the end that are read; writers fill up a record of some 10 kB."""

_AHEAD_BYTES = 64 * 1024
_ZEROS = bytes(BLOCK)
_FITS_IN_A_HEADER = 8 * 1024**3
_REGULAR = frozenset(b"\x007")
_EXTENDED = frozenset(b"xgLK")
_HARD_LINK, _SYMBOLIC_LINK, _FOLDER, _SPARSE = ord("1"), ord("2"), ord("5"), ord("S")
_DEVICES = frozenset(b"346")
_ACTS_ON_NAMES = ("path", "linkpath", "size")
_ORDINARY_KEYS = later(
    r"path|linkpath|size|[acm]time|[ug]id|[ug]name|comment|charset|hdrcharset|"
    r"(?:SCHILY|LIBARCHIVE|RHT|GNU|SUN|ATTR)\..{1,200}|MSWINDOWS\.\w+",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class TarProblem:
    """Something to be said; `rule` is its stable id without `tar-`."""

    rule: str
    message: str
    offset: int


@dataclass(frozen=True, slots=True)
class TarMember:
    """One member. `type_flag` is the header's byte; `size_bytes` lie from `data_offset` on."""

    name: str
    type_flag: int
    size_bytes: int
    mode: int
    target: str
    header_offset: int
    data_offset: int
    sparse: bool = False

    @property
    def is_file(self) -> bool:
        """Whether it is a file with content of its own."""
        return not (self.is_folder or self.is_link or self.type_flag in _DEVICES)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder; old writers say so by the name alone."""
        return self.type_flag == _FOLDER or (self.type_flag == 0 and self.name.endswith("/"))

    @property
    def is_link(self) -> bool:
        """Whether it stands for something else."""
        return self.type_flag in (_HARD_LINK, _SYMBOLIC_LINK)

    @property
    def end_offset(self) -> int:
        """Where its content ends."""
        return self.data_offset + self.size_bytes


@dataclass(slots=True)
class _Said:
    """What extended headers say of the member that follows them."""

    values: dict[str, str] = field(default_factory=dict)
    long_name: bytes | None = None
    """The name as GNU's long header says it."""


class _Stop(Exception):
    """The walk cannot go on."""


class TarArchive:
    """Walks an archive once. `covered` tells up to where its bytes were understood; `complete`, whether to the end."""

    def __init__(self, reader: RangeReader) -> None:
        self.blocks = Blocks(reader)
        self.problems: list[TarProblem] = []
        self.covered = 0
        self.complete = False
        self.count = 0
        self._names = _Names(self)

    def say(self, rule: str, message: str, offset: int) -> None:
        """Notes a problem, up to `MAX_PROBLEMS`."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(TarProblem(rule, message, offset))

    def walk(self) -> Iterator[TarMember]:
        """The members in order, as they are read.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        position, said, ended = 0, _Said(), False
        try:
            while True:
                block = self._header(position)
                if block == _ZEROS or not block:
                    following = self._end(position, bool(block), ended)
                    if following is None:
                        return
                    position, ended, said = following, True, _Said()
                    continue
                self._check_count(position)
                member = self._member(block, position, said)
                position = self._follow(member)
                if member.type_flag in _EXTENDED:
                    said = self._extended(member, said)
                    continue
                self._check(member)
                self._names.take(member)
                yield member
                said = _Said()
        except _Stop:
            return

    # --- headers ---------------------------------------------------------------------------------

    def _read(self, offset: int, length: int) -> bytes:
        wanted = min(length, self.blocks.size_bytes - offset)
        data = self.blocks.read_ahead(offset, wanted, max(wanted, _AHEAD_BYTES))
        if len(data) != wanted:
            raise Truncated(f"'{self.blocks.path}' gave {len(data)} bytes at {offset} where it has {wanted}")
        return data

    def _header(self, position: int) -> bytes:
        block = self._read(position, BLOCK) if position < self.blocks.size_bytes else b""
        if block and len(block) < BLOCK:
            self.say("broken", "the last header is cut short", position)
            raise _Stop
        if block and block != _ZEROS and not is_tar_header(block):
            self.say("checksum", "a header's checksum is wrong: some readers stop here and some go on", position)
            raise _Stop
        return block

    def _check_count(self, position: int) -> None:
        self.count += 1
        if self.count > MAX_MEMBERS:
            self.say("limit", f"the archive has more than {MAX_MEMBERS} members", position)
            raise _Stop

    def _number(self, raw: bytes, what: str, position: int) -> int:
        if raw[0] & 0x80:
            value = int.from_bytes(raw, "big") & ~(0x80 << 8 * (len(raw) - 1))
            if raw[0] & 0x40 or value >= 1 << 62:
                self.say("number", f"{what} is negative, or beyond all measure", position)
                raise _Stop
            return value
        match = OCTAL.match(raw)
        if match is None:
            self.say("number", f"{what} is {raw!a}, which is no octal number", position)
            raise _Stop
        return int(match[1] or b"0", 8)

    def _member(self, block: bytes, position: int, said: _Said) -> TarMember:
        size = self._number(block[124:136], "the size", position)
        mode = self._number(block[100:108], "the mode", position)
        flag, target = block[156], _text(block[157:257])
        name = _text(block[:100])
        if block[257:263] == b"ustar\x00" and block[345]:
            name = f"{_text(block[345:500])}/{name}"
        if flag in _EXTENDED:
            return TarMember(name, flag, size, mode, target, position, position + BLOCK)
        name = self._said_name(name, block[:100].partition(b"\x00")[0], said, position)
        size = self._said_size(size, said, position)
        target = said.values.get("linkpath", target)
        sparse = flag == _SPARSE or any(key.startswith("GNU.sparse.") for key in said.values)
        start = position + BLOCK
        if flag == _SPARSE and block[482]:
            start = self._sparse_end(start)
        return TarMember(name, flag, size, mode, target, position, start, sparse)

    def _said_name(self, name: str, short: bytes, said: _Said, position: int) -> str:
        other = said.values.get("GNU.sparse.name", said.values.get("path"))
        if other is None or other == name:
            return name
        # Writers shorten what does not fit and replace what is not ASCII; nothing else needs a second name.
        needed = len(other.encode("utf-8", "replace")) > 100 or not other.isascii() or "GNU.sparse.name" in said.values
        shortened = said.long_name is None or said.long_name.startswith(short.rstrip(b"/"))
        if not needed or not shortened:
            self.say("header-mismatch", f"{name[:100]!a} has the other name {other[:100]!a}", position)
        return other

    def _said_size(self, size: int, said: _Said, position: int) -> int:
        raw = said.values.get("size")
        if raw is None:
            return size
        if not raw.isascii() or not raw.isdigit() or len(raw) > 18:
            self.say("number", f"an extended header says the size {raw[:40]!a}", position)
            raise _Stop
        if int(raw) != size and int(raw) < _FITS_IN_A_HEADER:
            self.say("header-mismatch", f"a member has {size} bytes to some readers and {raw} to others", position)
        return int(raw)

    def _sparse_end(self, position: int) -> int:
        for _ in range(1000):
            block = self._read(position, BLOCK)
            position += BLOCK
            if len(block) < BLOCK or not block[504]:
                return position
        self.say("limit", "a sparse file has more parts than are read", position)
        raise _Stop

    def _extended(self, member: TarMember, said: _Said) -> _Said:
        if member.size_bytes > MAX_EXTENDED_BYTES:
            self.say("limit", f"an extended header has {member.size_bytes} bytes", member.header_offset)
            raise _Stop
        data = self._read(member.data_offset, member.size_bytes)
        if member.type_flag in b"LK":
            key = "path" if member.type_flag == ord("L") else "linkpath"
            if key in said.values:
                self.say("header-mismatch", "a member's name is given more than once", member.header_offset)
            text, _, rest = data.partition(b"\x00")
            if rest.strip(b"\x00"):
                self.say("extra-data", "something follows a long name", member.data_offset)
            said.values[key] = _text(text)
            if key == "path":
                said.long_name = text
            return said
        records = self._records(data, member.data_offset)
        if member.type_flag == ord("g"):
            if any(key in records for key in _ACTS_ON_NAMES) or any(key.startswith("GNU.sparse") for key in records):
                message = "a global header gives all members one name or size"
                self.say("header-mismatch", message, member.header_offset)
            return said
        if said.values.keys() & records.keys():
            self.say("header-mismatch", "a member's name or size is given more than once", member.header_offset)
        said.values |= records
        return said

    def _records(self, data: bytes, offset: int) -> dict[str, str]:
        """Records `length key=value newline` of a pax header."""
        found: dict[str, str] = {}
        at = 0
        while at < len(data):
            match = re.compile(rb"([1-9]\d{0,7}) ([^=\x00]{1,256})=").match(data, at)
            end = at + int(match[1]) if match else 0
            if match is None or end > len(data) or end <= match.end() or data[end - 1] != 0x0A:
                if data[at:].strip(b"\x00"):
                    self.say("broken", "an extended header breaks its own rules", offset + at)
                break
            key = match[2].decode("utf-8", "backslashreplace")
            if key in found:
                self.say("header-mismatch", f"an extended header says {key[:50]!a} twice", offset + at)
            if not _ORDINARY_KEYS.fullmatch(key):
                self.say("extra-data", f"an extended header has the unknown field {key[:50]!a}", offset + at)
            found[key] = data[match.end() : end - 1].decode("utf-8", "backslashreplace")
            at = end
        return found

    # --- members ---------------------------------------------------------------------------------

    def _follow(self, member: TarMember) -> int:
        """Where the next header is."""
        end = member.data_offset + -(-member.size_bytes // BLOCK) * BLOCK
        if member.end_offset > self.blocks.size_bytes:
            message = f"{member.name[:100]!a} ends beyond the end of the file"
            self.say("broken", message, member.header_offset)
            raise _Stop
        self.covered = min(end, self.blocks.size_bytes)
        return end

    def _check(self, member: TarMember) -> None:
        name, place = f"{member.name[:100]!a}", member.header_offset
        if member.size_bytes and not member.is_file:
            message = f"{name} has content and is of a kind that has none: readers differ in where the next member is"
            self.say("header-mismatch", message, place)
        if member.type_flag in _DEVICES:
            self.say("device", f"{name} is a device or a pipe", place)
        elif member.type_flag not in _REGULAR | {_HARD_LINK, _SYMBOLIC_LINK, _FOLDER, _SPARSE, ord("0")}:
            self.say("type", f"{name} is of the unknown kind {chr(member.type_flag)!a}", place)
        if member.sparse:
            self.say("sparse", f"{name} is a sparse file, which is not put together", place)
        if member.is_file and member.mode & 0o6000:
            self.say("setuid", f"{name} would run with its owner's rights", place)

    def _end(self, position: int, zeros: bool, ended: bool) -> int | None:
        """Behind the last member. Where another archive follows, or None; notes what is odd."""
        size = self.blocks.size_bytes
        if not zeros and not ended:
            self.say("no-end", "the archive ends without the two empty blocks that say so", position)
        at = position
        while at < size:
            if at - position > MAX_PADDING_BYTES:
                self.say("limit", "more padding follows the end than is read", position)
                return None
            data = self._read(at, _AHEAD_BYTES)
            if data.strip(b"\x00"):
                return self._behind(at, data, position)
            at += len(data)
        if zeros and size - position < 2 * BLOCK and not ended:
            self.say("no-end", "the archive ends with one empty block instead of two", position)
        self.covered, self.complete = size, True
        return None

    def _behind(self, at: int, data: bytes, position: int) -> int | None:
        first = at + len(data) - len(data.lstrip(b"\x00"))
        start = first - first % BLOCK
        block = self._read(start, BLOCK)
        if len(block) == BLOCK and is_tar_header(block):
            message = "more members follow the end: some readers stop there and some go on"
            self.say("ambiguous", message, start)
            return start
        self.say("trailing-data", f"{self.blocks.size_bytes - first} bytes follow the end of the archive", first)
        self.covered = position
        return None


class _Names:
    """All names so far: what escapes, what is there twice, what is written through a link."""

    def __init__(self, archive: TarArchive) -> None:
        self._archive = archive
        self._exact: dict[str, bool] = {}
        self._folded: set[str] = set()
        self._links: set[str] = set()

    def take(self, member: TarMember) -> None:
        """Checks a member's name and target against those before it."""
        shown, place, say = f"{member.name[:100]!a}", member.header_offset, self._archive.say
        if escapes(member.name):
            say("traversal", f"{shown} would be written outside, or nowhere", place)
        plain = _plain(member.name)
        folded = unicodedata.normalize("NFC", plain).casefold()
        if plain in self._exact:
            if not (member.is_folder and self._exact[plain]):
                say("duplicate-name", f"{shown} is there twice", place)
        elif folded in self._folded:
            say("similar-name", f"{shown} differs from another name in case or spelling only", place)
        parts = plain.split("/")
        if any("/".join(parts[:depth]) in self._links for depth in range(1, len(parts))):
            say("link", f"{shown} would be written through a link", place)
        if member.is_link:
            self._take_link(member, shown)
        self._exact[plain] = member.is_folder
        self._folded.add(folded)

    def _take_link(self, member: TarMember, shown: str) -> None:
        place, say, target = member.header_offset, self._archive.say, member.target
        if member.type_flag == _HARD_LINK:
            if escapes(target) or _plain(target) not in self._exact or _plain(target) in self._links:
                say("link", f"{shown} is a second name of {target[:100]!a}, which is no file before it", place)
            return
        resolved = _resolved(member.name, target)
        if resolved is None:
            say("link", f"{shown} is a link to {target[:100]!a}, outside", place)
        elif any("/".join(resolved[:depth]) in self._links for depth in range(1, len(resolved) + 1)):
            say("link", f"{shown} is a link to {target[:100]!a}, through another link", place)
        else:
            say("symbolic-link", f"{shown} is a link to {target[:100]!a}", place)
        self._links.add(_plain(member.name))


def escapes(name: str) -> bool:
    """Whether a name would be written outside of the folder that an archive is unpacked into, or nowhere."""
    parts = name.replace("\\", "/").split("/")
    return not name or ".." in parts or not parts[0] or ":" in parts[0] or not name.isprintable()


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _resolved(name: str, target: str) -> list[str] | None:
    """The parts of the path that a link leads to; None when that is outside."""
    if not target or target.startswith(("/", "\\")) or "\\" in target or ":" in target or not target.isprintable():
        return None
    parts = _plain(name).split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return parts


def _text(raw: bytes) -> str:
    return raw.partition(b"\x00")[0].decode("utf-8", "backslashreplace")
