"""Pictures, sounds, fonts and documents built byte by byte: honest ones, and what can be hidden in and behind them."""

from __future__ import annotations

import base64
import io
import json
import struct
import wave
import zlib
from dataclasses import dataclass
from pathlib import Path

from tests.support.archive_corpus import WEAPON, zipped


@dataclass(frozen=True, slots=True)
class Medium:
    """One file, and the rule that it breaks ("" for an honest one)."""

    name: str
    path: str
    data: bytes
    rule: str = ""


def chunk(kind: bytes, data: bytes, *, crc: int | None = None) -> bytes:
    """A chunk of PNG."""
    told = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", told)


def png(*more: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">2L5B", 1, 1, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\x00\x00"))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + pixels + chunk(b"IEND", b"")


def segment(marker: int, data: bytes) -> bytes:
    """A segment of JPEG."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


def jpeg(*more: bytes) -> bytes:
    scan = segment(0xDA, b"\x01\x01\x00\x00\x3f\x00") + b"\x12\xff\x00\x34\xff\xd0\x56"
    frame = segment(0xC0, b"\x08\x00\x01\x00\x01\x01\x01\x11\x00")
    return b"\xff\xd8" + segment(0xE0, b"JFIF\x00\x01\x02" + bytes(7)) + b"".join(more) + frame + scan + b"\xff\xd9"


def gif(*more: bytes) -> bytes:
    image = b"," + bytes(4) + b"\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00"
    return b"GIF89a\x01\x00\x01\x00\x80\x00\x00" + bytes(6) + b"".join(more) + image + b";"


def extension(label: int, data: bytes) -> bytes:
    """An extension of GIF: blocks of up to 255 bytes."""
    blocks = b"".join(bytes((len(data[at : at + 255]),)) + data[at : at + 255] for at in range(0, len(data), 255))
    return b"!" + bytes((label,)) + blocks + b"\x00"


def riff(form: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(kind + struct.pack("<L", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<L", len(body) + 4) + form + body


def wav() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(400))
    return buffer.getvalue()


def box(kind: bytes, data: bytes) -> bytes:
    """A box of MP4."""
    return struct.pack(">L", len(data) + 8) + kind + data


MP4 = box(b"ftyp", b"isom\x00\x00\x02\x00isom") + box(b"moov", bytes(40)) + box(b"mdat", bytes(90))
MP3 = b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10) + (b"\xff\xfb\x90\x00" + bytes(413)) * 5


def ogg(count: int = 3) -> bytes:
    return b"".join(b"OggS\x00" + bytes(21) + b"\x02\x10\x05" + bytes(21) for _ in range(count))


def truetype(hole: int = 0) -> bytes:
    tables = (b"cmap", b"glyf", b"head", b"loca")
    head = b"\x00\x01\x00\x00" + struct.pack(">4H", len(tables), 64, 2, 0)
    start, body = 12 + 16 * len(tables), b""
    for number, name in enumerate(tables):
        place = start + len(body) + (hole if number else 0)
        head += name + struct.pack(">3L", 0, place, 10)
        body += bytes(12) if number else bytes(12) + b"x" * hole
    return head + body


def woff(private: bytes = b"") -> bytes:
    data = zlib.compress(bytes(40))
    padded = data + bytes(-len(data) % 4)
    place = 44 + 20 + len(padded)
    size = place + len(private)
    head = b"wOFF" + struct.pack(">4sLHHLHH", b"\x00\x01\x00\x00", size, 1, 0, 100, 1, 0)
    head += struct.pack(">5L", 0, 0, 0, place if private else 0, len(private))
    return head + b"glyf" + struct.pack(">4L", 64, len(data), 40, 0) + padded + private


def svg(inside: str, before: str = "") -> bytes:
    return f'{before}<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">{inside}</svg>\n'.encode()


def pdf(*objects: bytes) -> bytes:
    body = b"".join(b"%d 0 obj\n%s\nendobj\n" % (number + 2, data) for number, data in enumerate(objects))
    return b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n" + body + b"trailer\n<< >>\n%%EOF\n"


def object_stream(data: bytes, extra: bytes = b"/Filter /FlateDecode") -> bytes:
    packed = zlib.compress(data) if b"Flate" in extra else data
    return b"<< /Type /ObjStm %s /Length %d >>\nstream\n%s\nendstream" % (extra, len(packed), packed)


WEBP = riff(b"WEBP", (b"VP8X", bytes(10)), (b"VP8L", b"\x2f" + bytes(20)), (b"EXIF", b"II*\x00" + bytes(8)))
HONEST = [
    Medium("png", "a.png", png()),
    Medium("png with words", "a.png", png(chunk(b"tEXt", b"Software\x00a tool"), chunk(b"zTXt", b"c\x00\x00" + zlib.compress(b"x")))),
    Medium("png with a workflow", "a.png", png(chunk(b"tEXt", b'workflow\x00{"nodes": []}'))),
    Medium("png with a small private chunk", "a.png", png(chunk(b"prVt", bytes(40)))),
    Medium("jpeg", "a.jpg", jpeg()),
    Medium("jpeg with exif", "a.jpg", jpeg(segment(0xE1, b"Exif\x00\x00II*\x00" + bytes(30)), segment(0xFE, b"made by a tool"))),
    Medium("jpeg of two pictures", "a.jpg", jpeg(segment(0xE2, b"MPF\x00MM" + bytes(30))) + jpeg()),
    Medium("gif", "a.gif", gif()),
    Medium("gif that moves", "a.gif", gif(extension(0xFF, b"NETSCAPE2.0\x01\x00\x00"), extension(0xF9, bytes(4)))),
    Medium("webp", "a.webp", WEBP),
    Medium("wav", "a.wav", wav()),
    Medium("wav from a pipe", "a.wav", b"RIFF\xff\xff\xff\xffWAVE" + wav()[12:40] + b"\xff\xff\xff\xff" + bytes(60)),
    Medium("mp3", "a.mp3", MP3),
    Medium("mp3 with an old tag", "a.mp3", MP3 + b"TAG" + bytes(125)),
    Medium("mp4", "a.mp4", MP4),
    Medium("ogg", "a.ogg", ogg()),
    Medium("truetype", "a.ttf", truetype()),
    Medium("woff", "a.woff", woff()),
    Medium("svg", "a.svg", svg('<a href="https://example.org"><path d="M0 0"/></a><use href="#x"/>')),
    Medium("svg of a drawing tool", "a.svg", svg("<foreignObject><p>words</p></foreignObject>"), "svg-foreign-object"),
    Medium("svg of illustrator", "a.svg", svg("<g/>", '<!DOCTYPE svg [<!ENTITY ns "http://www.w3.org/2000/svg">]>')),
    Medium("pdf", "a.pdf", pdf(b"<< /Type /Page /A << /S /URI /URI (https://example.org) >> >>")),
    Medium("pdf with packed objects", "a.pdf", pdf(object_stream(b"1 0 << /Type /Font >>"))),
]  # fmt: skip


def aiff(*chunks: tuple[bytes, bytes], sort: bytes = b"AIFF") -> bytes:
    """A form of AIFF: chunks with a length, big end first, and padded to even ones."""
    body = b"".join(kind + struct.pack(">L", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks)
    return b"FORM" + struct.pack(">L", len(body) + 4) + sort + body


def long_wave(*chunks: tuple[bytes, bytes], form: bytes = b"RF64", said: int = -1) -> bytes:
    """A WAV whose sizes are of 64 bits, in a chunk of their own; `said` is a size of the samples that is not theirs."""
    body = b"".join(
        kind + struct.pack("<L", 0xFFFFFFFF if kind == b"data" else len(data)) + data + bytes(len(data) % 2)
        for kind, data in chunks
    )
    samples = next((len(data) for kind, data in chunks if kind == b"data"), 0) if said < 0 else said
    sizes = b"ds64" + struct.pack("<LQQQL", 28, len(body) + 40, samples, samples, 0)
    return form + b"\xff\xff\xff\xffWAVE" + sizes + body


def wave64(*chunks: tuple[bytes, bytes]) -> bytes:
    """A Wave64 of chunks by the first four letters of their names."""
    end = bytes.fromhex("f3acd3118cd100c04f8edb8a")
    body = b"".join(
        kind + end + struct.pack("<Q", len(data) + 24) + data + bytes(-len(data) % 8) for kind, data in chunks
    )
    return (
        b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000") + struct.pack("<Q", len(body) + 40) + b"wave" + end + body
    )


_WRITTEN = json.loads((Path(__file__).parents[1] / "data" / "sounds" / "libsndfile.json").read_text())
COMM = (b"COMM", struct.pack(">hLh", 1, 10, 8) + bytes.fromhex("400bfa00000000000000"))
SSND = (b"SSND", bytes(8 + 10))
_FORMAT, _DATA = (b"fmt ", struct.pack("<HHLLHH", 1, 1, 8000, 8000, 1, 8)), (b"data", bytes(16))
HONEST += [Medium(name, path, base64.b64decode(data)) for name, (path, data) in _WRITTEN.items()]
HONEST += [
    Medium("aiff with notes", "a.aif", aiff((b"NAME", b"a song"), (b"ANNO", b"made by a tool"), COMM, SSND)),
    Medium("aiff of no samples", "a.aif", aiff((b"COMM", struct.pack(">hLh", 1, 0, 8) + bytes(10)))),
    Medium("bw64 with objects", "a.wav", long_wave(_FORMAT, (b"chna", bytes(4)), _DATA, (b"axml", b"<a/>"), form=b"BW64")),
]  # fmt: skip

_BEHIND = {
    "bytes": (b"hidden things", "media-trailing-data"),
    "a program": (b"\x7fELF\x02\x01\x01" + bytes(60), "media-embedded"),
    "a pickle": (WEAPON, "pickle-dangerous-callable"),
    "a zip": (zipped({"x": b"y"}), "media-embedded"),
    "a page": (b"<?php system($_GET[0]); ?>", "media-embedded"),
}
_CARRIERS = {
    "png": ("a.png", png()),
    "jpeg": ("a.jpg", jpeg()),
    "gif": ("a.gif", gif()),
    "webp": ("a.webp", WEBP),
    "wav": ("a.wav", wav()),
    "mp3": ("a.mp3", MP3),
    "mp4": ("a.mp4", MP4),
    "ogg": ("a.ogg", ogg()),
    "truetype": ("a.ttf", truetype()),
    "pdf": ("a.pdf", pdf()),
}
HOSTILE = [
    *[
        Medium(f"{what} behind {name}", path, data + more, rule)
        for name, (path, data) in _CARRIERS.items()
        for what, (more, rule) in _BEHIND.items()
    ],
    *[
        Medium(f"{name}, cut", path, data[:-3], "media-broken")
        for name, (path, data) in _CARRIERS.items()
        if name in ("png", "jpeg", "webp", "wav", "mp4", "truetype", "ogg")
    ],
    Medium("png, a program in a chunk", "a.png", png(chunk(b"prVt", b"\x7fELF\x02\x01\x01" + bytes(60))), "media-embedded"),
    Medium("png, a pickle in a text", "a.png", png(chunk(b"tEXt", b"x\x00" + WEAPON)), "media-embedded"),
    Medium("png, a page in a text", "a.png", png(chunk(b"tEXt", b"x\x00<?php x ?>")), "media-embedded"),
    Medium("png, a wrong checksum", "a.png", png(chunk(b"tEXt", b"x\x00y", crc=1)), "media-broken"),
    Medium("png, no first chunk", "a.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b""), "media-broken"),
    Medium("jpeg, a zip in a segment", "a.jpg", jpeg(segment(0xEA, zipped({"x": b"y"}))), "media-embedded"),
    Medium("jpeg, a page in a comment", "a.jpg", jpeg(segment(0xFE, b"<?php x ?>")), "media-embedded"),
    Medium("jpeg, another behind without a word", "a.jpg", jpeg() + jpeg(), "media-trailing-data"),
    Medium("gif, a program in a comment", "a.gif", gif(extension(0xFE, b"#!/bin/sh\nid\n" * 3)), "media-embedded"),
    Medium("gif, no blocks", "a.gif", gif()[:19] + b"x" * 30, "media-broken"),
    Medium("webp, a zip in a chunk", "a.webp", riff(b"WEBP", (b"VP8L", bytes(20)), (b"XXXX", zipped({"x": b"y"}))), "media-embedded"),
    Medium("mp4, a program in a free box", "a.mp4", MP4 + box(b"free", b"\x7fELF" + bytes(60)), "media-embedded"),
    Medium("mp3, no sound", "a.mp3", b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(300), "media-broken"),
    Medium("truetype, a hole", "a.ttf", truetype(hole=64), "media-broken"),
    Medium("woff, a program in private data", "a.woff", woff(b"\x7fELF" + bytes(60)), "media-embedded"),
    Medium("svg, a script", "a.svg", svg("<script>alert(1)</script>"), "svg-script"),
    Medium("svg, a script of a namespace", "a.svg", svg("<svg:script>alert(1)</svg:script>"), "svg-script"),
    Medium("svg, an event", "a.svg", svg('<rect onclick="alert(1)"/>'), "svg-script"),
    Medium("svg, an event on load", "a.svg", svg("<image href=x onerror=alert(1)>"), "svg-script"),
    Medium("svg, an address that runs", "a.svg", svg('<a href="javascript:alert(1)">x</a>'), "svg-script"),
    Medium("svg, the same in references", "a.svg", svg('<a href="&#106;avascript:alert(1)">x</a>'), "svg-script"),
    Medium("svg, a page in an address", "a.svg", svg('<a href="data:text/html,x">x</a>'), "svg-script"),
    Medium("svg, a frame", "a.svg", svg('<iframe src="x"/>'), "svg-script"),
    Medium("svg, a file of the reader", "a.svg", svg("&x;", '<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>'), "svg-entity"),
    Medium("svg, entities that grow", "a.svg", svg("&b;", '<!DOCTYPE svg [<!ENTITY a "x"><!ENTITY b "&a;&a;">]>'), "svg-entity"),
    Medium("svg, a picture from outside", "a.svg", svg('<image xlink:href="https://example.org/x.png"/>'), "svg-external"),
    Medium("svg, a style from outside", "a.svg", svg("<style>@import 'https://example.org/x.css';</style>"), "svg-external"),
    Medium("pdf, a script", "a.pdf", pdf(b"<< /S /JavaScript /JS (app.alert(1)) >>"), "pdf-active"),
    Medium("pdf, a script spelled otherwise", "a.pdf", pdf(b"<< /S /J#61vaScript >>"), "pdf-active"),
    Medium("pdf, a script in packed objects", "a.pdf", pdf(object_stream(b"1 0 << /S /JavaScript >>")), "pdf-active"),
    Medium("pdf, a program", "a.pdf", pdf(b"<< /S /Launch /F (cmd.exe) >>"), "pdf-active"),
    Medium("pdf, a file", "a.pdf", pdf(b"<< /Type /EmbeddedFile >>"), "pdf-active"),
    Medium("pdf, no end", "a.pdf", pdf()[:-8], "media-broken"),
]  # fmt: skip
_SOUNDS = {
    "aiff": ("a.aiff", aiff(COMM, SSND)),
    "rf64": ("a.wav", long_wave(_FORMAT, _DATA)),
    "wave64": ("a.w64", wave64((b"fmt ", _FORMAT[1]), (b"data", bytes(16)))),
}
_ELF = b"\x7fELF\x02\x01\x01" + bytes(60)
HOSTILE += [
    *[
        Medium(f"{name}, {what} behind", path, data + behind, rule)
        for name, (path, data) in _SOUNDS.items()
        for what, (behind, rule) in _BEHIND.items()
    ],
    *[Medium(f"{name}, cut", path, data[:-9], "media-broken") for name, (path, data) in _SOUNDS.items()],
    Medium("aiff, a program in a note", "a.aif", aiff((b"ANNO", _ELF), COMM, SSND), "media-embedded"),
    Medium("aiff, a pickle for a program", "a.aif", aiff((b"APPL", WEAPON), COMM, SSND), "media-embedded"),
    Medium("aiff, a script in a comment", "a.aif", aiff((b"COMT", b"\0\1#!/bin/sh\nid"), COMM, SSND), "media-embedded"),
    Medium("aiff, a zip behind the samples", "a.aif", aiff(COMM, (b"SSND", SSND[1] + zipped({"x": b"y"}))), "media-embedded"),
    Medium("aiff, a program before the samples", "a.aif", aiff(COMM, (b"SSND", struct.pack(">LL", len(_ELF), 0) + _ELF + bytes(10))), "media-embedded"),
    Medium("aiff, fewer samples than said", "a.aif", aiff(COMM, (b"SSND", bytes(12))), "media-broken"),
    Medium("aiff, two descriptions", "a.aif", aiff(COMM, SSND, COMM), "media-broken"),
    Medium("aiff, no description", "a.aif", aiff(SSND), "media-broken"),
    Medium("aiff, no samples", "a.aif", aiff(COMM), "media-broken"),
    Medium("aiff, a short description", "a.aif", aiff((b"COMM", bytes(4)), SSND), "media-broken"),
    Medium("aiff, a chunk beyond the form", "a.aif", aiff(COMM, SSND)[:-22] + struct.pack(">L", 9999) + bytes(18), "media-broken"),
    Medium("aiff-c, a short description", "a.aifc", aiff(COMM, SSND, sort=b"AIFC"), "media-broken"),
    Medium("rf64, a program in a chunk", "a.wav", long_wave(_FORMAT, _DATA, (b"xtra", _ELF)), "media-embedded"),
    Medium("rf64, no sizes", "a.wav", b"RF64\xff\xff\xff\xffWAVE" + bytes(60), "media-broken"),
    Medium("rf64, samples beyond the end", "a.wav", long_wave(_FORMAT, _DATA, said=1 << 40), "media-broken"),
    Medium("rf64, a table beyond its chunk", "a.wav", long_wave(_FORMAT, _DATA).replace(struct.pack("<QL", 16, 0), struct.pack("<QL", 16, 99), 1), "media-broken"),
    Medium("rf64, no samples", "a.wav", long_wave(_FORMAT), "media-broken"),
    Medium("rifx, a chunk beyond the end", "a.wav", b"RIFX" + struct.pack(">L", 12) + b"WAVEdata" + struct.pack(">L", 99), "media-broken"),
    Medium("wave64, a program in a chunk", "a.w64", wave64((b"fmt ", _FORMAT[1]), (b"data", bytes(16)), (b"evil", _ELF)), "media-embedded"),
    Medium("wave64, a chunk shorter than its head", "a.w64", wave64((b"data", b"")).replace(struct.pack("<Q", 24), struct.pack("<Q", 3)), "media-broken"),
    Medium("wave64, no samples", "a.w64", wave64((b"fmt ", _FORMAT[1])), "media-broken"),
]  # fmt: skip
