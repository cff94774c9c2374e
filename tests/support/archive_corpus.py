"""Containers made to deceive, built byte by byte: what they are called, their bytes, and the rule that each breaks."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import lz4.frame
import zstandard

from tests.support.pickles import BENIGN, call

WEAPON = call("os system")
WEAPON_RULE = "pickle-dangerous-callable"
README = b"# A model\n"


@dataclass(frozen=True, slots=True)
class Case:
    """One hostile container."""

    name: str
    path: str
    data: bytes
    rule: str


# --- builders ------------------------------------------------------------------------------------


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
        archive.comment = comment
    return buffer.getvalue()


def tarred(files: Mapping[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def entry(
    name: bytes,
    data: bytes = b"",
    *,
    flag: bytes = b"0",
    target: bytes = b"",
    mode: bytes = b"0000644\x00",
    size: bytes | None = None,
    magic: bytes = b"ustar\x0000",
    checksum: bytes | None = None,
) -> bytes:
    """One member of a tar, header and content, with any field as it should not be."""
    told = size if size is not None else b"%011o\x00" % len(data)
    head = name.ljust(100, b"\x00") + mode + b"0000000\x000000000\x00" + told + b"00000000000\x00"
    rest = flag + target.ljust(100, b"\x00") + magic + bytes(247)
    total = sum(head) + 8 * 0x20 + sum(rest)
    block = head + (b"%06o\x00 " % total if checksum is None else checksum) + rest
    return block.ljust(512, b"\x00") + data + bytes(-len(data) % 512)


def pax(records: Mapping[str, str], flag: bytes = b"x") -> bytes:
    text = b""
    for key, value in records.items():
        line = f" {key}={value}\n".encode()
        length = len(line) + 1
        while len(str(length)) + len(line) != length:
            length += 1
        text += str(length).encode() + line
    return entry(b"PaxHeaders/x", text, flag=flag)


def ended(*entries: bytes, end: bytes = bytes(1024)) -> bytes:
    return b"".join(entries) + end


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gz", lambda data: gzip.compress(data, mtime=0)),
    "bzip2": ("bz2", bz2.compress),
    "xz": ("xz", lzma.compress),
    "lzma": ("lzma", lambda data: lzma.compress(data, lzma.FORMAT_ALONE)),
    "zlib": ("z", zlib.compress),
    "zstd": ("zst", zstandard.compress),
    "lz4": ("lz4", lz4.frame.compress),
}


def number(value: int) -> bytes:
    """A number of 7z."""
    return bytes((value,)) if value < 0x80 else b"\xff" + struct.pack("<Q", value)


def sevenzip(
    files: Mapping[str, bytes],
    *,
    attributes: int | None = None,
    method: bytes = b"\x00",
    anti: bool = False,
    crc: int | None = None,
    junk: bytes = b"",
) -> bytes:
    """A 7z archive of stored files, one folder each, with any field as it should not be."""
    content = [data for data in files.values() if data]
    count = len(content)
    streams = b"\x06" + number(0) + number(count) + b"\x09" + b"".join(number(len(data)) for data in content) + b"\x00"
    coder = bytes((len(method),)) + method
    streams += b"\x07\x0b" + number(count) + b"\x00" + (b"\x01" + coder) * count
    streams += b"\x0c" + b"".join(number(len(data)) for data in content) + b"\x0a\x01"
    streams += b"".join(struct.pack("<L", zlib.crc32(data) if crc is None else crc) for data in content) + b"\x00\x00"
    names = b"\x00" + b"".join(name.encode("utf-16-le") + b"\x00\x00" for name in files)
    parts = b"\x11" + number(len(names)) + names
    if count < len(files):
        empty = sum(0x80 >> place for place, data in enumerate(files.values()) if not data)
        parts += b"\x0e\x01" + bytes((empty,)) + (b"\x10\x01\xff" if anti else b"")
    if attributes is not None:
        told = b"\x01\x00" + struct.pack("<L", attributes) * len(files)
        parts += b"\x15" + number(len(told)) + told
    header = b"\x01" + (b"\x04" + streams if count else b"") + b"\x05" + number(len(files)) + parts + b"\x00\x00"
    return sevenzip_around(header, b"".join(content) + junk)


def sevenzip_around(header: bytes, content: bytes, *, crc: int | None = None) -> bytes:
    start = struct.pack("<QQL", len(content), len(header), zlib.crc32(header) if crc is None else crc)
    return b"7z\xbc\xaf\x27\x1c\x00\x04" + struct.pack("<L", zlib.crc32(start)) + start + content + header


SEVENZIP_PACKED = base64.b64decode(
    "N3q8ryccAARzuikgpwAAAAAAAAAVAAAAAAAAAI62iBzgADcAJl0AEYgLgOQX+QV+RVvCUhhiGpEbYHhrZHwUV/MwI5uN1U3IB7DkAAAA4ACYAH"
    "FdAACBMweuD9Dij7yfORCcbOpWGo7hzkIb9+HupNfGE7fgTrhXb9Ux8ZUZn2Z1BHWgLbY4r/3TkZqLGUbZXkKptKECwQeLcFa8ZKSwqTtRDYg2"
    "0mKkgWMnUEHmVyxIO+55a6nP/fkmOt8/zDfVpquWjgAAABcGLgEJeQAHCwEAASEhARgMgJkAAA=="
)  # fmt: skip
"""README.md and two pickles, packed by py7zr with LZMA2, its header too."""

SEVENZIP_ENCRYPTED = base64.b64decode(
    "N3q8ryccAAQc1/AkjQAAAAAAAAAUAAAAAAAAAK6uPjrh+G2zKXi7TGmruN+s5sFpdseXgiLUD+tRHE3Uv0LCXAEAaAEEBgABCSAKAQILpZ0ABw"
    "sBAAIkBvEHARJTD88UU2DYX+Ll4Dwlz9+WVTMhIQEYAQAMHhoACAoBX5F34gAABQEREQBkAC8AYQAuAHAAawBsAAAAFAoBAPBlDEkEe90BFQYB"
    "ACCAgIEAAAAXBiABCW0ABwsBAAEhIQEYDGkAAA=="
)  # fmt: skip
"""By py7zr with a password."""

SEVENZIP_HIDDEN_NAMES = base64.b64decode(
    "N3q8ryccAARHlr5EkAAAAAAAAAAoAAAAAAAAANJF6S+NXqQ1vllelz1KFI7Ichu07s0yaLFYloG36nh6zF9TV3fIVbVco1BBSbfDX4Bjulzs89"
    "64X0noWTdP2ZYQu8uZrLecWSa7ApKgJOHbMN295zQqThhqopAKUNJnZy180mLCzMYHED5Sq15Nl9VNyZxZUGo4FQ+clKXtKL30wagwAnb00njZ"
    "oGniiJRpXd4rtskXBiABCXAABwsBAAEkBvEHARJTD50WCr5oGXRwskOGBBKA1/gMaQAA"
)  # fmt: skip
"""By py7zr with a password, the names as well."""


# --- cases ---------------------------------------------------------------------------------------


def _weapons() -> list[Case]:
    """A weapon in every container, and in containers within each other."""
    found = []
    shells: dict[str, Callable[[bytes], bytes]] = {
        "zip": lambda data: zipped({"d/data.pkl": data}),
        "deflated": lambda data: zipped({"d/x": data}, zipfile.ZIP_DEFLATED),
        "bzip2 in a zip": lambda data: zipped({"x.bin": data}, zipfile.ZIP_BZIP2),
        "lzma in a zip": lambda data: zipped({"x.bin": data}, zipfile.ZIP_LZMA),
        "ustar": lambda data: tarred({"README.md": README, "x": data}, tarfile.USTAR_FORMAT),
        "gnu tar": lambda data: tarred({"y" * 200: data}),
        "pax": lambda data: tarred({"ü" * 150: data}, tarfile.PAX_FORMAT),
        "v7 tar": lambda data: ended(entry(b"x", data, magic=bytes(8), flag=b"\x00")),
        "tar without end": lambda data: entry(b"x", data),
        "second tar": lambda data: tarred({"README.md": README}) + tarred({"x": data}),
        "7z": lambda data: sevenzip({"README.md": README, "x": data}),
        **{name: pack for name, (_, pack) in PACKERS.items()},
    }
    for name, shell in shells.items():
        found.append(Case(f"weapon in {name}", "x.bin", shell(WEAPON), WEAPON_RULE))
        for outer in ("zip", "gnu tar", "gzip", "7z", "zstd"):
            found.append(Case(f"weapon in {name} in {outer}", "x.bin", shells[outer](shell(WEAPON)), WEAPON_RULE))
    for name, (suffix, pack) in PACKERS.items():
        if name not in ("zlib", "lzma"):
            found.append(Case(f"second {name} stream", f"a.pkl.{suffix}", pack(BENIGN) + pack(WEAPON), WEAPON_RULE))
        found.append(Case(f"tar in {name}", f"a.tar.{suffix}", pack(tarred({"a": WEAPON})), WEAPON_RULE))
    deep = WEAPON
    for _ in range(5):
        deep = gzip.compress(zipped({"x": deep})) if len(deep) % 2 else zipped({"x": deep})
    found.append(Case("weapon five zips deep", "x.zip", deep, WEAPON_RULE))
    return found


def _tars() -> list[Case]:
    weapon, good = entry(b"w.pkl", WEAPON), entry(b"README.md", README)
    huge, minus = b"\x80" + bytes(3) + b"\x7f" * 8, b"\xff" * 12
    cases: dict[str, tuple[bytes, str]] = {
        "parent folder": (ended(entry(b"../README.md", README)), "traversal"),
        "from the root": (ended(entry(b"/README.md", README)), "traversal"),
        "a drive": (ended(entry(b"C:/README.md", README)), "traversal"),
        "backslashes": (ended(entry(b"..\\README.md", README)), "traversal"),
        "parent folder in the middle": (ended(entry(b"a/../../README.md", README)), "traversal"),
        "a name with an escape sequence": (ended(entry(b"a\x1b[2J.md", README)), "traversal"),
        "no name but in pax": (ended(pax({"path": ""}), good), "traversal"),
        "parent folder in pax": (ended(pax({"path": "../" + "x" * 200}), good), "traversal"),
        "parent folder in a long name": (ended(entry(b"././@LongLink", b"../" + b"x" * 200, flag=b"L"), good), "traversal"),
        "link to the root": (ended(entry(b"a", flag=b"2", target=b"/etc")), "link"),
        "link upwards": (ended(entry(b"a", flag=b"2", target=b"../x")), "link"),
        "link upwards from a folder": (ended(entry(b"d/a", flag=b"2", target=b"../../x")), "link"),
        "link to a drive": (ended(entry(b"a", flag=b"2", target=b"C:\\x")), "link"),
        "link to nowhere": (ended(entry(b"a", flag=b"2")), "link"),
        "written through a link": (ended(entry(b"a", flag=b"2", target=b"b"), entry(b"a/README.md", README)), "link"),
        "link through a link": (
            ended(entry(b"a", flag=b"2", target=b"d"), entry(b"b", flag=b"2", target=b"a/x")),
            "link",
        ),
        "a long target in pax": (ended(pax({"linkpath": "/" + "x" * 300}), entry(b"a", flag=b"2")), "link"),
        "a long target of GNU": (ended(entry(b"././@LongLink", b"/etc" * 60, flag=b"K"), entry(b"a", flag=b"2")), "link"),
        "hard link outside": (ended(entry(b"a", flag=b"1", target=b"/etc/passwd")), "link"),
        "hard link to what is not there": (ended(entry(b"a", flag=b"1", target=b"b")), "link"),
        "hard link to a link": (
            ended(entry(b"l", flag=b"2", target=b"d"), entry(b"a", flag=b"1", target=b"l")),
            "link",
        ),
        "link inside": (ended(good, entry(b"a", flag=b"2", target=b"README.md")), "symbolic-link"),
        "character device": (ended(entry(b"a", flag=b"3")), "device"),
        "block device": (ended(entry(b"a", flag=b"4")), "device"),
        "pipe": (ended(entry(b"a", flag=b"6")), "device"),
        "setuid": (ended(entry(b"README.md", README, mode=b"0004755\x00")), "setuid"),
        "setgid": (ended(entry(b"README.md", README, mode=b"0002755\x00")), "setuid"),
        "two of one name": (ended(good, good), "duplicate-name"),
        "two of one name, spelled otherwise": (ended(good, entry(b"./README.md", README)), "duplicate-name"),
        "two that differ in case": (ended(good, entry(b"readme.md", README)), "similar-name"),
        "two that differ in composition": (
            ended(entry("ä.md".encode(), README), entry("a\u0308.md".encode(), README)),
            "similar-name",
        ),
        "another name in pax": (ended(pax({"path": "README.md"}), entry(b"other", README)), "header-mismatch"),
        "another size in pax": (ended(pax({"size": "1024"}), entry(b"a", flag=b"0"), weapon, weapon), "header-mismatch"),
        "no size in pax": (ended(pax({"size": "0"}), entry(b"a", bytes(512)), weapon), "header-mismatch"),
        "a size that is none in pax": (ended(pax({"size": "-1"}), good), "number"),
        "a huge size in pax": (ended(pax({"size": "9" * 17}), good), "broken"),
        "one size for all": (ended(pax({"size": "5"}, b"g"), good), "header-mismatch"),
        "one name for all": (ended(pax({"path": "x"}, b"g"), good), "header-mismatch"),
        "a name in pax and of GNU": (
            ended(pax({"path": "ü" * 80}), entry(b"././@LongLink", b"x" * 120, flag=b"L"), good),
            "header-mismatch",
        ),
        "a long name that is another": (ended(entry(b"././@LongLink", b"x" * 120, flag=b"L"), good), "header-mismatch"),
        "a short long name": (ended(entry(b"././@LongLink", b"x", flag=b"L"), good), "header-mismatch"),
        "two long names": (
            ended(*[entry(b"././@LongLink", b"x" * 120, flag=b"L")] * 2, entry(b"x" * 100, README)),
            "header-mismatch",
        ),
        "something behind a long name": (
            ended(entry(b"././@LongLink", b"x" * 120 + b"\x00y", flag=b"L"), entry(b"x" * 100, README)),
            "extra-data",
        ),
        "two pax headers": (ended(pax({"path": "ü"}), pax({"path": "ö"}), good), "header-mismatch"),
        "a field twice": (ended(entry(b"p", b"9 path=a\n9 path=b\n", flag=b"x"), good), "header-mismatch"),
        "a broken pax header": (ended(entry(b"p", b"99 path=a\n", flag=b"x"), good), "broken"),
        "a pax header of text": (ended(entry(b"p", b"hello\n", flag=b"x"), good), "broken"),
        "an unknown field": (ended(pax({"payload": "x"}), good), "extra-data"),
        "a huge pax header": (ended(entry(b"p", bytes(1_100_000), flag=b"x"), good), "limit"),
        "content of a folder": (ended(entry(b"d", WEAPON, flag=b"5"), good), "header-mismatch"),
        "content of a link": (ended(entry(b"a", bytes(512), flag=b"2", target=b"b")), "header-mismatch"),
        "an unknown kind": (ended(entry(b"a", README, flag=b"Z")), "type"),
        "sparse of GNU": (ended(entry(b"a", bytes(512), flag=b"S")), "sparse"),
        "sparse in pax": (ended(pax({"GNU.sparse.major": "1", "GNU.sparse.name": "a"}), entry(b"b", bytes(512))), "sparse"),
        "a negative size": (ended(entry(b"a", size=minus)), "number"),
        "a size beyond measure": (ended(entry(b"a", size=huge)), "number"),
        "a size that is no number": (ended(entry(b"a", size=b"12345678xyz\x00")), "number"),
        "a mode that is no number": (ended(entry(b"a", README, mode=b"rw-r--r-")), "number"),
        "a size beyond the end": (ended(entry(b"a", size=b"77777777777\x00")), "broken"),
        "a wrong checksum later": (ended(good, entry(b"b", checksum=b"000001\x00 ")), "checksum"),
        "text later": (ended(good, b"x" * 512), "checksum"),
        "more members behind the end": (ended(good) + ended(weapon), "ambiguous"),
        "more members behind one empty block": (ended(good, end=bytes(512)) + ended(weapon), "ambiguous"),
        "bytes behind the end": (ended(good) + b"hidden" * 100, "trailing-data"),
        "no end": (entry(b"README.md", README), "no-end"),
        "half an end": (ended(good, end=bytes(512)), "no-end"),
        "cut in a member": (ended(entry(b"README.md", README * 100))[:900], "broken"),
        "cut in a header": (ended(good) [:1024] + good[:300], "broken"),
    }  # fmt: skip
    return [Case(f"tar: {name}", "x.tar", data, f"tar-{rule}") for name, (data, rule) in cases.items()]


def _gz(flags: int = 0, fields: bytes = b"", method: int = 8) -> bytes:
    whole = gzip.compress(BENIGN, mtime=0)
    return whole[:2] + bytes((method, flags)) + whole[4:10] + fields + whole[10:]


def _changed(data: bytes, place: int, value: bytes) -> bytes:
    place %= len(data)
    return data[:place] + value + data[place + len(value) :]


def _streams() -> list[Case]:
    gz, zst, l4, xz = (PACKERS[name][1](BENIGN) for name in ("gzip", "zstd", "lz4", "xz"))
    hidden = struct.pack("<2L", 0x184D2A50, len(WEAPON)) + WEAPON
    cases: dict[str, tuple[str, bytes, str]] = {
        "gzip, another checksum": ("a.gz", _changed(gz, -8, b"\x00\x01\x02\x03"), "checksum"),
        "gzip, another size": ("a.gz", _changed(gz, -4, b"\xff\xff\xff\x7f"), "checksum"),
        "gzip, no trailer": ("a.gz", gz[:-8], "broken"),
        "gzip, a name that climbs": ("a.gz", _gz(8, b"../a.pkl\x00"), "name"),
        "gzip, a name from the root": ("a.gz", _gz(8, b"/etc/x\x00"), "name"),
        "gzip, a name with an escape sequence": ("a.gz", _gz(8, b"\x1b[2J\x00"), "name"),
        "gzip, a comment": ("a.gz", _gz(16, WEAPON.replace(b"\x00", b"") + b"\x00"), "hidden-field"),
        "gzip, a zip in the comment": ("a.gz", _gz(16, zipped({"x": b"y"}).replace(b"\x00", b"\x01") + b"\x00"), "hidden-field"),
        "gzip, an extra field": ("a.gz", _gz(4, struct.pack("<H", 9) + b"somebytes"), "hidden-field"),
        "gzip, a name without end": ("a.gz", _gz(8, b"x" * 5000), "broken"),
        "gzip, a wrong header checksum": ("a.gz", _gz(2, b"\x00\x00"), "checksum"),
        "gzip, a reserved flag": ("a.gz", _gz(0x80), "method"),
        "gzip, zeros and more": ("a.gz", gz + bytes(100) + b"x", "trailing-data"),
        "zlib, a dictionary": ("a.z", b"\x78\xf9" + bytes(30), "dictionary"),
        "zlib, another checksum": ("a.z", _changed(zlib.compress(BENIGN), -4, b"\x00\x00\x00\x01"), "checksum"),
        "xz, no checksum": ("a.xz", lzma.compress(BENIGN, check=lzma.CHECK_NONE), "no-checksum"),
        "xz, a damaged index": ("a.xz", _changed(xz, -20, b"\xff\xff"), "broken"),
        "xz, odd padding": ("a.xz", xz + bytes(3) + xz, "trailing-data"),
        "lzma, a huge dictionary": (
            "a.lzma",
            b"\x5d\x00\x00\x00\x08" + lzma.compress(BENIGN, lzma.FORMAT_ALONE)[5:],
            "limit",
        ),
        "zstd, a dictionary": ("a.zst", _changed(zst[:4] + b"\x21\x01" + zst[5:], 4, b"\x21"), "dictionary"),
        "zstd, a reserved bit": ("a.zst", _changed(zst, 4, bytes((zst[4] | 8,))), "method"),
        "zstd, another checksum": (
            "a.zst",
            _changed(zstandard.ZstdCompressor(write_checksum=True).compress(BENIGN), -4, b"abcd"),
            "checksum",
        ),
        "zstd, a weapon in a frame to be skipped": ("a.zst", hidden + zst, "skippable-frame"),
        "zstd, the same behind": ("a.zst", zst + hidden, "skippable-frame"),
        "zstd, a frame to be skipped beyond the end": ("a.zst", zst + struct.pack("<2L", 0x184D2A5F, 99), "broken"),
        "lz4, a weapon in a frame to be skipped": ("a.lz4", l4 + hidden, "skippable-frame"),
        "lz4, a dictionary": ("a.lz4", _changed(l4, 4, bytes((l4[4] | 1,))), "dictionary"),
        "lz4, another version": ("a.lz4", _changed(l4, 4, b"\x90"), "method"),
        "lz4, of old": ("a.lz4", b"\x02\x21\x4c\x18" + bytes(30), "method"),
        "gzip bomb": ("a.gz", _bomb(), "bomb"),
        "bzip2 bomb": ("a.bz2", bz2.compress(bytes(900_000)) * 110, "bomb"),
        **{f"{name}, cut": (f"a.{end}", pack(BENIGN * 500)[:-5], "broken") for name, (end, pack) in PACKERS.items()},
        **{
            f"{name}, bytes behind": (f"a.{end}", pack(BENIGN) + b"hidden", "trailing-data")
            for name, (end, pack) in PACKERS.items()
        },
    }  # fmt: skip
    return [Case(f"stream: {name}", path, data, f"stream-{rule}") for name, (path, data, rule) in cases.items()]


def _bomb() -> bytes:
    """600 MB of zeros. The stream of each 64 MB is that of the first, for it starts anew."""
    pack = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = pack.compress(bytes(64 << 20)) + pack.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\x00" + bytes(6) + block * 10


def _sevenzips() -> list[Case]:
    link = 0xA1FF8000 | 0
    cases: dict[str, tuple[bytes, str]] = {
        "parent folder": (sevenzip({"../README.md": README}), "traversal"),
        "from the root": (sevenzip({"/README.md": README}), "traversal"),
        "backslashes": (sevenzip({"..\\README.md": README}), "traversal"),
        "two of one name": (_twice(), "duplicate-name"),
        "link": (sevenzip({"a": b"/etc"}, attributes=link), "link"),
        "reparse point": (sevenzip({"a": b"C:\\"}, attributes=0x400), "link"),
        "an entry that deletes": (sevenzip({"README.md": README, "x": b""}, anti=True), "anti"),
        "another checksum": (sevenzip({"README.md": README}, crc=1), "checksum"),
        "another header checksum": (sevenzip_around(b"\x01\x00", b"", crc=5), "checksum"),
        "encrypted": (SEVENZIP_ENCRYPTED, "encrypted"),
        "encrypted names": (SEVENZIP_HIDDEN_NAMES, "encrypted"),
        "unknown method": (sevenzip({"README.md": README}, method=b"\x04\xf7\x11\x01"), "method"),
        "hidden bytes": (sevenzip({"README.md": README}, junk=b"hidden"), "extra-data"),
        "bytes behind": (sevenzip({"README.md": README}) + b"hidden", "extra-data"),
        "cut": (sevenzip({"README.md": README})[:-3], "broken"),
        "cut in the signature": (sevenzip({"README.md": README})[:20], "broken"),
        "packed, cut": (SEVENZIP_PACKED[:-3], "broken"),
        "a header of no kind": (sevenzip_around(b"\x55\x00", b""), "broken"),
        "a header that goes on": (sevenzip_around(b"\x01\x00\x00", b""), "broken"),
        "too many files": (sevenzip_around(b"\x01\x05\xff" + struct.pack("<Q", 1 << 40), b""), "limit"),
        "streams elsewhere": (sevenzip_around(b"\x01\x03", b""), "not-understood"),
    }
    return [Case(f"7z: {name}", "x.7z", data, f"7z-{rule}") for name, (data, rule) in cases.items()]


def _twice() -> bytes:
    whole = sevenzip({"a": README, "b": README})
    start = 32 + 2 * len(README)
    header = whole[start:].replace(b"b\x00\x00\x00", b"a\x00\x00\x00")
    return sevenzip_around(header, whole[32:start])


def _patched(data: bytes, find: bytes, offset: int, value: bytes) -> bytes:
    return _changed(data, data.index(find) + offset, value)


def _zips() -> list[Case]:
    good = {"README.md": README}
    plain, packed = zipped(good), zipped({"README.md": README * 50}, zipfile.ZIP_DEFLATED)
    link = zipfile.ZipInfo("a")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, "/etc")
    other = zipfile.ZipInfo("README.md")
    raw = b"evil.py"
    other.extra = struct.pack("<2HBL", 0x7075, 5 + len(raw), 1, zlib.crc32(b"README.md")) + raw
    named = io.BytesIO()
    with zipfile.ZipFile(named, "w") as archive:
        archive.writestr(other, README)
    cases: dict[str, tuple[bytes, str]] = {
        "link": (buffer.getvalue(), "link"),
        "another name in Unicode": (named.getvalue(), "header-mismatch"),
        "two that differ in composition": (zipped({"ä": b"", "a\u0308": b""}), "duplicate-name"),
        "a name with an escape sequence": (zipped({"a\x1b[2J": b""}), "traversal"),
        "a name that turns round": (zipped({"a\u202egnp.exe": b""}), "traversal"),
        "an end record in the comment": (zipped(good, comment=b"PK\x05\x06" + bytes(18)), "ambiguous"),
        "a program in the comment": (zipped(good, comment=b"\x7fELF" + bytes(60)), "extra-data"),
        "the number of members": (_patched(plain, b"PK\x05\x06", 8, b"\x09\x00\x09\x00"), "header-mismatch"),
        "a size smaller than what comes out": (_smaller(packed), "checksum"),
        "encrypted": (_patched(_patched(plain, b"PK\x01\x02", 8, b"\x01"), b"PK\x03\x04", 6, b"\x01"), "encrypted"),
        "an unknown method": (
            _patched(_patched(plain, b"PK\x01\x02", 10, b"\x61"), b"PK\x03\x04", 8, b"\x61"),
            "method",
        ),
        "strong encryption": (_patched(_patched(plain, b"PK\x01\x02", 8, b"\x41"), b"PK\x03\x04", 6, b"\x41"), "encrypted"),
        "bytes before": (b"PK\x03\x04" + bytes(40) + plain, "extra-data"),
        "cut": (plain[:-1], "broken"),
    }  # fmt: skip
    return [Case(f"zip: {name}", "x.zip", data, f"zip-{rule}") for name, (data, rule) in cases.items()]


def _smaller(packed: bytes) -> bytes:
    return _patched(_patched(packed, b"PK\x01\x02", 24, b"\x0a\x00"), b"PK\x03\x04", 22, b"\x0a\x00")


def _polyglots() -> list[Case]:
    behind = zipped({"x.pkl": BENIGN})
    starts: dict[str, tuple[str, bytes, str]] = {
        "pickle": ("a.pkl", BENIGN, "zip-ambiguous"),
        "program": ("a", b"\x7fELF\x02\x01\x01" + bytes(200), "zip-ambiguous"),
        "program of Windows": ("a.exe", b"MZ" + bytes(58) + struct.pack("<L", 64) + b"PE\x00\x00" + bytes(99), "zip-ambiguous"),
        "tar": ("a.tar", tarred({"README.md": README}), "zip-ambiguous"),
        "gzip": ("a.gz", gzip.compress(BENIGN, mtime=0), "zip-ambiguous"),
        "zstd": ("a.zst", zstandard.compress(BENIGN), "zip-ambiguous"),
        "7z": ("a.7z", sevenzip({"README.md": README}), "zip-ambiguous"),
        "document": ("a.pdf", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n%%EOF\n", "zip-ambiguous"),
        "picture": ("a.gif", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "zip-ambiguous"),
        "picture and program": ("a.gif", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "media-embedded"),
        "gguf": ("a.gguf", b"GGUF\x03\x00\x00\x00" + bytes(16), "zip-ambiguous"),
        "hdf5": ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(99), "zip-ambiguous"),
        "unknown": ("a.bin", b"\x00\x01\x02\x03" * 30, "zip-ambiguous"),
        "rar": ("a.rar", b"Rar!\x1a\x07\x01\x00" + bytes(50), "zip-ambiguous"),
    }  # fmt: skip
    found = [Case(f"{name} and zip ({rule})", path, data + behind, rule) for name, (path, data, rule) in starts.items()]
    unread = {"rar": b"Rar!\x1a\x07\x01\x00", "cpio": b"070701" + bytes(30), "ar": b"!<arch>\n" + bytes(30), "cab": b"MSCF" + bytes(30)}  # fmt: skip
    found += [Case(f"{name}", f"a.{name}", data, "archive-not-understood") for name, data in unread.items()]
    # The name of the first member is a program of protocol 0.
    both = ended(entry(b"cos\nsystem\n(S'id'\ntR.", README))
    found.append(Case("pickle and tar", "a.bin", both, "archive-ambiguous"))
    return found


def corpus() -> list[Case]:
    """All hostile containers."""
    return [*_weapons(), *_zips(), *_tars(), *_streams(), *_sevenzips(), *_polyglots()]
