"""Where inspectors meet: files that are two things at once, what a name hides, and a worker in hostile hands."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import lz4.frame
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import graphs, media_corpus, model_bytes
from tests.support.archive_corpus import WEAPON, sevenzip, tarred, zipped
from tests.support.cases import each
from tests.support.gguf_corpus import sound
from tests.support.honest_models import honest
from tests.support.inspecting import Bytes, rules_of, verdict_of
from tests.support.pickles import BENIGN
from tests.support.safetensors_corpus import file_of, tensor
from weighbridge.core.finding import Report, Verdict
from weighbridge.formats.kinds import HEAD_BYTES, PICKLE, kind_of
from weighbridge.inspectors import registry
from weighbridge.inspectors.content.session import ContentSession, ContentSettings
from weighbridge.inspectors.registry import inspect_artifact
from weighbridge.inspectors.subject import Subject
from weighbridge.sandbox import pool as pool_module
from weighbridge.sandbox.frames import Channel, FrameKind
from weighbridge.sandbox.pool import Limits, Pool

EVIL = b"cposix\nsystem\n(S'id'\ntR."
TEXT = b"# a page of words\n"

# --- files that are two things at once -----------------------------------------------------------


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(4.0))
    return buffer.getvalue()


def _fronts() -> dict[str, bytes]:
    """Honest files, by the name that their readers go by."""
    more = {
        "a.pkl": BENIGN,
        "pytorch_model.bin": BENIGN,
        "model.safetensors": file_of({"a": tensor()}, b"12"),
        "model.gguf": sound().build(),
        "a.npy": _npy(),
        "a.npz": zipped({"a.npy": _npy()}),
        "a.tar": tarred({"README.md": TEXT}),
        "a.zip": zipped({"README.md": TEXT}),
        "a.7z": sevenzip({"README.md": TEXT}),
        "README.md.gz": gzip.compress(TEXT, mtime=0),
        "README.md.bz2": bz2.compress(TEXT),
        "README.md.xz": lzma.compress(TEXT),
        "README.md.zst": zstandard.compress(TEXT),
        "README.md.lz4": lz4.frame.compress(TEXT),
        "model.onnx": graphs.onnx_model(),
        "saved_model.pb": graphs.saved_model(),
        "frozen.pb": graphs.graph_def(graphs.tf_node("a", "Relu")),
        "plain.h5": graphs.stored("plain.h5"),
        "q.tflite": graphs.stored("q.tflite"),
        "config.json": b'{"a": 1}',
        "README.md": TEXT,
        "a.py": b"x = 1\n",
        "chat_template.jinja": b"{{ messages[0].content }}",
        "a.csv": b"a,b\n1,2\n",
        "a.toml": b"a = 1\n",
        "requirements.txt": b"torch==2.1\n",
        "a.ipynb": json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode(),
    }
    found = more | {path: data for _, path, data in honest() if len(data) < 100_000}
    # A sound from a pipe does not say how long it is, and Darknet's weights say nothing at all.
    found |= {medium.path: medium.data for medium in media_corpus.HONEST if "pipe" not in medium.name}
    return {path: data for path, data in found.items() if not path.endswith((".pte", ".weights"))}


FRONTS = {path: data for path, data in _fronts().items() if verdict_of(path, data) is Verdict.CLEAN}
BACKS = {
    "zip": zipped({"data.pkl": WEAPON}),
    "pickle": WEAPON,
    "elf": model_bytes.elf() + bytes(200),
    "gzip": gzip.compress(WEAPON, mtime=0),
    "tar": tarred({"a.pkl": WEAPON}),
    "hdf5": graphs.stored("plain.h5"),
    "png": media_corpus.png(),
    "pdf": media_corpus.pdf(b"<< /S /JavaScript /JS (app.alert(1)) >>"),
    "gguf": b"GGUF\x03\x00\x00\x00" + bytes(16),
    "zstd": zstandard.compress(WEAPON),
    "xz": lzma.compress(WEAPON),
    "7z": sevenzip({"a.pkl": WEAPON}),
    "safetensors": file_of({"a": tensor()}, b"12"),
}


def _joined(front: bytes, back: bytes) -> Iterator[bytes]:
    """One behind the other, as far as readers look: at once, at a page, at HDF5's places, beyond the first look."""
    yield front + back
    yield front + bytes(-len(front) % 512) + back
    yield front + bytes(HEAD_BYTES) + back
    yield front + b" " * HEAD_BYTES + b"\n# " + back.replace(b"\n", b"").replace(b"\r", b"") + b"\n"


def _passes(path: str, front: bytes, both: bytes) -> bool:
    """Clean, and nothing is said that is not said of the front alone (HDF5 allows for a text in front, which is told)."""
    return verdict_of(path, both) is Verdict.CLEAN and rules_of(path, both) <= rules_of(path, front)


def test_the_matrix_has_most_formats() -> None:
    kinds = {kind_of(path, data[:HEAD_BYTES], len(data)).name for path, data in FRONTS.items()}
    assert len(kinds) > 40
    assert {"safetensors", "gguf", "onnx", "hdf5", "pickle", "zip", "tar", "png", "yaml", "json", "tflite"} <= kinds


@each("second", BACKS)
def test_no_file_that_is_two_things_at_once_passes(second: str) -> None:
    # Raw numbers of a checkpoint's shard are bytes without any structure; the index of the repository proves them.
    passed = [
        (path, number)
        for path, data in FRONTS.items()
        for number, both in enumerate(_joined(data, BACKS[second]))
        if not path.endswith("-00001") and _passes(path, data, both)
    ]
    assert passed == []


@pytest.mark.parametrize("second", ["hdf5", "zip", "tar"])
def test_a_picture_in_front_of_a_container_that_has_room_for_one_does_not_pass(second: str) -> None:
    for path, front in FRONTS.items():
        for base in (512, 1024, 2048):
            if len(front) < base:
                both = front + bytes(base - len(front)) + BACKS[second]
                assert not _passes(path, front, both), (path, base)


def test_a_zip_in_a_field_of_a_vocabulary_is_a_zip_to_those_who_look_for_one() -> None:
    vocabulary = model_bytes.sentencepiece("<unk>", "<s>", "\u2581a")
    hidden = vocabulary + model_bytes.message(2, model_bytes.message(1, zipped({"data.pkl": WEAPON})))
    assert verdict_of("tokenizer.model", vocabulary) is Verdict.CLEAN
    assert "zip-ambiguous" in rules_of("tokenizer.model", hidden)


# --- what a name hides ---------------------------------------------------------------------------

NAMES = [
    *(
        "config.json",
        "README.md",
        "model.safetensors",
        "model.onnx",
        "model.gguf",
        "a.npy",
        "notes.txt",
        "notes",
        "vocab.txt",
    ),
    *(
        "merges.txt",
        "a.csv",
        "a.yaml",
        "model.h5",
        "saved_model.pb",
        "a.png",
        "chat_template.jinja",
        "a.toml",
        "LICENSE",
    ),
    *(
        "requirements.txt",
        "tokenizer.model",
        "a.svg",
        ".gitattributes",
        "a.pmml",
        "lightgbm.txt",
        "a.ipynb",
        "x.data",
        "a.pdf",
    ),
    *(
        "a.wav",
        "a.ttf",
        "a.mlmodel",
        "a.tflite",
        "x.params",
        "x.pdiparams",
        "a.parquet",
        "a.rds",
        "a.msgpack",
        "a.pte",
        "a.log",
    ),
]
# Each is a whole program of protocol 0 and, to who reads it, text.
PRINTABLE = {
    "call": EVIL,
    "behind a number": b"I1\n0" + EVIL,
    "behind a heading": b"S'# A model card'\n0" + EVIL,
    "behind a line of words": b"Vname,value,and words\n0" + EVIL,
    "behind a tuple": b"(I1\nI2\nt0" + EVIL,
    "behind a list": b"(lp0\n0" + EVIL,
    "behind a dict": b"(S'a'\nI1\nd0" + EVIL,
    "behind nothing": b"N0)0]0}0" + EVIL,
    "behind a short number": b"K 0M  0" + EVIL,
    "behind a short text": b"U\x20" + b"x" * 32 + b"0" + EVIL,
    "behind a stream": b"(l." + EVIL,
    "object": b"(cposix\nsystem\nS'id'\no.",
    "instance": b"(S'id'\niposix\nsystem\n.",
}


@each("name", NAMES)
def test_no_name_makes_a_weapon_harmless(name: str) -> None:
    weapons = {
        "pickle": WEAPON,
        "zip": zipped({"data.pkl": WEAPON}),
        "tar": tarred({"a.pkl": WEAPON}),
        "gzip": gzip.compress(WEAPON, mtime=0),
        "zlib": zlib.compress(WEAPON),
        "program": model_bytes.elf() + bytes(500),
        **PRINTABLE,
    }
    assert [what for what, data in weapons.items() if verdict_of(name, data) is Verdict.CLEAN] == []


@each("words", [
    "cat\ndog\n", "cab\ncat\nRome\n", "Value\nname\n", "(a)\n", "(d)\n(l)\n", "I am\nyou are\n", "N.B. this\n", "]\n}\n",
    "Vx\ncab\ncad\ncar\n", "S'\n", "time\nRome\n", "ios\nandroid\n", "Ko\nJa\nMa\n", "(1) one\n(2) two\n", "0.5\n1.5\n",
])  # fmt: skip
def test_ordinary_words_are_no_program(words: str) -> None:
    for name in ("vocab.txt", "notes.txt", "README.md", "a.csv"):
        assert kind_of(name, words.encode(), len(words)) is not PICKLE


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="cioR(S'\n0.tlNVI1d ab)", max_size=60))
def test_text_that_calls_nothing_is_text(words: str) -> None:
    if not {"R", "o", "i"} & set(words):
        assert kind_of("vocab.txt", words.encode(), len(words)) is not PICKLE or words.startswith(tuple("c(dl]}IFLSV"))


def _storages(key: bytes, member: str, data: bytes) -> bytes:
    """A torch archive whose pickle calls `key` a tensor of 16 bytes, and the member that would be it."""
    pickled = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX"
        + struct.pack("<I", len(key)) + key
        + b"X\x03\x00\x00\x00cpuK\x04tQK\x00(K\x04t(K\x01t\x89ccollections\nOrderedDict\n)RtR."
    )  # fmt: skip
    return zipped({"a/data.pkl": pickled, f"a/data/{member}": data, "a/version": b"3\n"})


def test_a_storage_is_a_number_and_no_name_that_somebody_opens() -> None:
    assert verdict_of("m.pt", _storages(b"0", "0", bytes(16))) is Verdict.CLEAN
    program = model_bytes.elf()[:16]
    for key in ("hook", "data.pkl", "x.py", "module", "\u0664"):
        name = key.encode()
        assert verdict_of("m.pt", _storages(name, key, program)) is not Verdict.CLEAN, key


# --- what is passed by as numbers ----------------------------------------------------------------


def test_malware_rules_see_what_no_format_proves_to_be_numbers() -> None:
    look = ContentSession(ContentSettings(secrets=False))
    program = b"MZ" + bytes(58) + struct.pack("<L", 64) + b"PE\x00\x00" + struct.pack("<2H", 0x8664, 1) + bytes(12)
    program += (
        struct.pack("<2H", 0xF0, 0x22)
        + b"\x0b\x02"
        + bytes(400)
        + b"This program cannot be run in DOS mode"
        + bytes(490)
    )
    weights = struct.pack("<3iQ", 0, 2, 0, 32013312) + bytes(4000) + program + bytes(-len(program) % 4)
    found = inspect_artifact(Bytes("yolov3.weights", weights), look)
    assert "malware" in {report.inspector for report in found.reports if report.coverage.present_bytes == len(weights)}


def test_segments_of_a_program_for_devices_end_where_its_header_says() -> None:
    table = model_bytes.flat_buffer({0: 1, 1: [{0: "forward"}]}, b"ET12")
    root = int.from_bytes(table[:4], "little")
    # The extended header lies between the identifier and the tables, which all move by its length.
    program = (
        struct.pack("<I", root + 32)
        + b"ET12"
        + b"eh00"
        + struct.pack("<IQQQ", 32, len(table) + 32, len(table) + 32, 64)
    )
    program += table[8:]
    assert verdict_of("m.pte", program + bytes(64)) is Verdict.CLEAN
    assert verdict_of("m.pte", program + bytes(64) + model_bytes.elf()) is not Verdict.CLEAN


def test_pipelines_of_spark_are_of_its_own_classes() -> None:
    said = '{"class":"%s","timestamp":1,"sparkVersion":"3.5.0","uid":"a","paramMap":{}}'
    own = said % "org.apache.spark.ml.classification.LogisticRegressionModel"
    assert (verdict_of("m/metadata/part-00000", own.encode()), rules_of("m/metadata/part-00000", own.encode())) == (
        Verdict.CLEAN,
        set(),
    )
    assert rules_of("m/metadata/part-00000", (said % "evil.Stage").encode()) == {"java-spark-class"}


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(sorted(FRONTS)), st.data())
def test_no_damage_makes_an_inspector_fall_over(path: str, data: st.DataObject) -> None:
    broken = bytearray(FRONTS[path])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(len(broken), data.draw(st.sampled_from((64, 1 << 20))))))
        piece = data.draw(
            st.one_of(
                st.binary(max_size=8), st.sampled_from((b"\xff" * 8, b"9" * 5000, b"\\ud800", b"[" * 400, b"NaN"))
            )
        )
        broken[at : at + data.draw(st.sampled_from((0, 1, len(piece))))] = piece
    registry.inspect_artifact(Bytes(path, bytes(broken)))


def _without(archive: Mapping[str, bytes], method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as out:
        for name, data in archive.items():
            out.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_looked_into_however_they_are_named(method: int) -> None:
    for name in ("a/version", "a/.data/extern_modules", "a/byteorder", "a/data/0", "x/data.pkl/", "a/notes.txt", "a"):
        packed = _without({"a/data.pkl": BENIGN, name: WEAPON}, method)
        assert verdict_of("m.pt", packed) is not Verdict.CLEAN, name


# --- a worker in hostile hands -------------------------------------------------------------------


def _channel() -> Channel:
    """The worker's own end, as code that took it over would find it."""
    frame = sys._getframe()
    while not isinstance(frame.f_locals.get("channel"), Channel):
        assert frame.f_back is not None
        frame = frame.f_back
    found = frame.f_locals["channel"]
    assert isinstance(found, Channel)
    return found


def _ask(offset: int, length: int) -> None:
    _channel().send(FrameKind.READ, struct.pack("<QI", offset, length))


def _flood() -> None:
    while True:
        _ask(0, 1)
        _channel().receive()


def _flood_with_much() -> None:
    while True:
        _ask(0, 8 * 1024 * 1024)
        _channel().receive()


def _ask_and_not_listen() -> None:
    while True:
        _ask(0, 4 * 1024 * 1024)


def _answer(reports: bytes, facts: bytes, spooled: bytes) -> None:
    _channel().send(FrameKind.ANSWER, b"[%s,%s,%s]" % (reports, facts, spooled))
    _channel().receive()


REPORT = b'[["x","clean",1,1,"",[]]]'


def _spooled(size: int, labels: bytes = b"") -> tuple[bytes, bytes]:
    """The fact of a label, and the spools' news."""
    news = b'{"text":{"size_bytes":%d,"lines":0,"broken":true,"labels":[%s]},"raw":null}' % (size, labels)
    return b'[["content-label","","9"]]', news


LABEL = (
    b'{"path":"x","start":%d,"line":1,"end":%d,"wanted_bytes":1,"looked_bytes":1,"verbatim":true,"inserted":"",'
    b'"spooled":%s,"origin":""}'
)
DEEDS: dict[str, Callable[[], None]] = {
    "asks without end": _flood,
    "asks for everything again and again": _flood_with_much,
    "asks and does not listen": _ask_and_not_listen,
    "asks for more than an answer holds": lambda: _ask(0, 0xFFFFFFFF),
    "names another file": lambda: _answer(b'[["x","clean",1,1,"",[],"other"]]', b"[]", b"{}"),
    "answers with no spool": lambda: _answer(REPORT, b"[]", b"{}"),
    "a fact of another file": lambda: _answer(REPORT, b'[["content-label","other","","9"]]', _spooled(0)[1]),
    "labels before the spool": lambda: _answer(REPORT, *_spooled(0, LABEL % (-5, 9, b'""'))),
    "places that are none": lambda: _answer(REPORT, *_spooled(0, LABEL % (0, 0, b'"AAAAAAAAAA=="'))),
    "numbers beyond any": lambda: _answer(REPORT, *_spooled(0, LABEL % (0, 1 << 70, b'""'))),
    "half a character": lambda: _answer(b'[["\\ud800","clean",1,1,"",[]]]', *_spooled(0)),
    "nonsense": lambda: _answer(b"{", b"}", b""),
    "half a frame": lambda: os._exit(0),
    "an empty request": lambda: _channel().send(FrameKind.READ, b""),
}


@dataclass(frozen=True)
class TakenOver:
    """An inspector whose process does what it likes for files of some names."""

    name: str = "taken-over"

    def inspect(self, subject: Subject) -> Report | None:
        deed = DEEDS.get(subject.path)
        if deed is not None:
            deed()
        if subject.path == "asks beyond the end":
            _ask(1 << 63, 100)
            assert _channel().receive() == (FrameKind.BYTES, b"")
            _ask(subject.size_bytes - 1, 1000)
            assert len(_channel().receive()[1]) == 1
        return None


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "INSPECTORS", (*registry.INSPECTORS, TakenOver()))
        # A test runner of several processes has a second thread; a new interpreter would not know what was added here.
        patch.setattr(pool_module, "_may_fork", lambda: True)
        with Pool(
            Limits(seconds=2.0, memory_bytes=512 * 1024 * 1024), workers=1, content=ContentSettings(malware=False)
        ) as made:
            made.start()
            yield made


@pytest.mark.skipif(sys.platform != "linux", reason="workers that are forked inherit the patch")
@pytest.mark.parametrize("deed", DEEDS)
def test_a_worker_in_hostile_hands_costs_its_artifact_and_nothing_else(pool: Pool, deed: str) -> None:
    found = pool.inspect(Bytes(deed, bytes(9 * 1024 * 1024)))
    rules = {finding.rule for report in found.reports for finding in report.findings}
    assert (found.verdict, len(rules)) == (Verdict.UNKNOWN, 1)
    assert rules <= {"inspector-crashed", "inspector-timed-out"}
    assert pool.inspect(Bytes("evil.pkl", EVIL)).verdict is Verdict.BAD


@pytest.mark.skipif(sys.platform != "linux", reason="workers that are forked inherit the patch")
def test_ranges_beyond_the_end_hold_nothing(pool: Pool) -> None:
    found = pool.inspect(Bytes("asks beyond the end", b"\x00\x01" * 50_000))
    assert "inspector-crashed" not in {finding.rule for report in found.reports for finding in report.findings}
