"""The census of kinds, honest about what nobody has judged, and the registry that runs every inspector."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import marshal
import pickle
import py_compile
import struct
import sys
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.inspecting import Bytes, answer, inspection_of
from weighbridge.core.errors import Malformed, StoreUnreachable, Truncated
from weighbridge.core.finding import Report, Severity, Verdict
from weighbridge.formats.kinds import HEAD_BYTES, kind_of
from weighbridge.inspectors import registry
from weighbridge.inspectors.all_rules import RULES
from weighbridge.inspectors.census import MAX_PROSE_BYTES, FileKinds
from weighbridge.inspectors.examples import EXAMPLES
from weighbridge.inspectors.registry import INSPECTORS, inspect_artifact

WEIGHTS = safetensors.numpy.save({"w": numpy.ones((4, 4), dtype="f4")})
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1234\n"


def census(path: str, data: bytes) -> Report:
    """What the census says by itself, before others take the account of the content."""
    report = answer(FileKinds(), Bytes(path, data))
    assert report is not None
    return report


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/a.txt", b"text")
    return buffer.getvalue()


def tarred(form: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())
    return buffer.getvalue()


def npy() -> bytes:
    buffer = io.BytesIO()
    numpy.save(buffer, numpy.zeros(3))
    return buffer.getvalue()


def compiled(tmp_path: Path) -> bytes:
    source = tmp_path / "x.py"
    source.write_text("x = 1\n")
    return Path(py_compile.compile(str(source), cfile=str(tmp_path / "x.pyc"))).read_bytes()


KINDS: list[tuple[str, bytes, str, str]] = [
    ("model.safetensors", WEIGHTS, "safetensors", "weights"),
    ("misnamed.bin", WEIGHTS, "safetensors", "weights"),
    ("m.gguf", b"GGUF\x03\x00\x00\x00" + bytes(16), "gguf", "weights"),
    ("ggml-model.bin", b"lmgg\x01\x00\x00\x00" + bytes(16), "ggml", "weights"),
    ("m.tflite", b"\x1c\x00\x00\x00TFL3" + bytes(16), "tflite", "weights"),
    ("m.h5", b"\x89HDF\r\n\x1a\n" + bytes(16), "hdf5", "weights"),
    ("userblock.h5", bytes(512) + b"\x89HDF\r\n\x1a\n" + bytes(16), "hdf5", "weights"),
    ("m.onnx", b"\x08\x07\x12\x07pytorch\x1a\x051.8.0", "onnx", "weights"),
    ("saved_model.pb", b"\x08\x01\x12\x14\x0a\x10\x0a\x00" + bytes(16), "saved-model", "weights"),
    ("pytorch_model.bin", zipped(), "zip", "archive"),
    ("empty.zip", b"PK\x05\x06" + bytes(18), "zip", "archive"),
    ("a.tar", tarred(tarfile.USTAR_FORMAT), "tar", "archive"),
    ("b.tar", tarred(tarfile.GNU_FORMAT), "tar", "archive"),
    ("c.pt", tarred(tarfile.PAX_FORMAT), "tar", "archive"),
    ("a.gz", gzip.compress(b"x"), "gzip", "archive"),
    ("a.bz2", bz2.compress(b"x"), "bzip2", "archive"),
    ("empty.bz2", bz2.compress(b""), "bzip2", "archive"),
    ("a.xz", lzma.compress(b"x"), "xz", "archive"),
    ("a.z", zlib.compress(b"x" * 99), "zlib", "archive"),
    ("a.zst", b"\x28\xb5\x2f\xfd\x24\x01", "zstd", "archive"),
    ("a.lz4", b"\x04\x22\x4d\x18\x64\x40", "lz4", "archive"),
    ("a.7z", b"7z\xbc\xaf\x27\x1c\x00\x04", "7z", "archive"),
    ("a.rar", b"Rar!\x1a\x07\x01\x00", "rar", "archive"),
    *[(f"p{p}.pkl", pickle.dumps({"a": [1, 2.5]}, protocol=p), "pickle", "serialised") for p in range(6)],
    *[(f"q{p}.bin", pickle.dumps(Path("x"), protocol=p), "pickle", "serialised") for p in range(6)],
    ("handmade.bin", b"cos\nsystem\n(S'id'\ntR.", "pickle", "serialised"),
    ("inst.dat", b"(S'id'\nios\nsystem\n.", "pickle", "serialised"),
    ("legacy.pt", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "pickle", "serialised"),
    ("a.npy", npy(), "npy", "serialised"),
    ("a.parquet", b"PAR1\x15\x04\x15\x00", "parquet", "serialised"),
    ("lib.so", b"\x7fELF\x02\x01\x01" + bytes(20), "elf", "executable"),
    ("setup.exe", b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\x00\x00" + bytes(20), "pe", "executable"),
    ("a.dylib", b"\xcf\xfa\xed\xfe\x07\x00\x00\x01", "mach-o", "executable"),
    ("fat", b"\xca\xfe\xba\xbe\x00\x00\x00\x02", "mach-o", "executable"),
    ("a.wasm", b"\x00asm\x01\x00\x00\x00", "wasm", "executable"),
    ("run", b"#!/bin/sh\nrm -rf /\n", "script", "executable"),
    ("run.sh", b"echo hello\n", "script", "executable"),
    ("tool", b"#!/usr/bin/env python3\nprint()\n", "script", "executable"),
    ("modeling.py", b"#!/usr/bin/env python3\nprint()\n", "python", "code"),
    ("modeling_x.py", b"import os\n", "python", "code"),
    ("demo.ipynb", b'{"cells": []}', "notebook", "code"),
    ("kernel.cu", b"__global__ void f() {}\n", "source", "code"),
    ("config.json", b'{"a": 1}', "json", "config"),
    ("bom.json", b"\xef\xbb\xbf{}", "json", "config"),
    ("data.jsonl", b"[1]\n[2]\n", "json", "config"),
    ("noextension", b'{"a": 1}', "json", "config"),
    ("a.yaml", b"a: 1\n", "yaml", "config"),
    ("chat_template.jinja", b"{% for m in messages %}{% endfor %}", "jinja", "config"),
    ("merges.txt", b"#version: 0.2\na b\n", "vocabulary", "config"),
    ("vocab.txt", b"cat\ndog\nqueen\n", "vocabulary", "config"),
    ("requirements.txt", b"torch\n", "requirements", "config"),
    ("tokenizer.model", b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02", "sentencepiece", "config"),
    ("README.md", b"# hello\n", "markdown", "text"),
    ("cards/README.md", b"GGUF files of a model\n", "markdown", "text"),
    ("about.md", b"ID3 tags and RIFF files\n", "markdown", "text"),
    ("words.txt", b"cat\ndog\nqueen\n", "text", "text"),
    ("intro.txt", b"Introduction\nplease read\n", "text", "text"),
    ("LICENSE", "Lizenz für alle\n".encode(), "text", "text"),
    ("LICENSE-MODEL", b"free\n", "text", "text"),
    (".gitattributes", b"*.bin filter=lfs\n", "text", "text"),
    ("notes.xyz", b"who knows\n", "other-text", "text"),
    ("sunspots.dat", b"1700 5.0\n1701 11.0\n", "text", "text"),
    ("cut.md", b"x" * (HEAD_BYTES - 1) + "ü".encode() + b"rest", "markdown", "text"),
    ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(9), "png", "media"),
    ("a.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF", "jpeg", "media"),
    ("a.gif", b"GIF89a\x01\x00\x01\x00", "gif", "media"),
    ("a.webp", b"RIFF\x10\x00\x00\x00WEBPVP8 ", "webp", "media"),
    ("a.wav", b"RIFF\x10\x00\x00\x00WAVEfmt ", "wav", "media"),
    ("a.mp3", b"ID3\x03\x00\x00\x00", "mp3", "media"),
    ("a.mp4", b"\x00\x00\x00\x18ftypmp42", "mp4", "media"),
    ("a.pdf", b"%PDF-1.7\n", "pdf", "media"),
    ("weights.bin", POINTER, "lfs-pointer", "pointer"),
    ("__init__.py", b"", "empty", "empty"),
    ("noise", b"\x00\x01\x02\x03\xff\xfe", "unrecognised", "unrecognised"),
    ("utf16.txt", "hello".encode("utf-16"), "utf-16-text", "text"),
    ("escape.txt", b"\x1b[2Jcleared\n", "unrecognised", "unrecognised"),
    ("nul.md", b"text\x00hidden\n", "unrecognised", "unrecognised"),
]


@each(("name", "data", "kind", "family"), KINDS, ids=[f"{n}-{k}" for n, _, k, _ in KINDS])
def test_kinds_by_content(name: str, data: bytes, kind: str, family: str) -> None:
    found = kind_of(name, data[:HEAD_BYTES], len(data))
    assert (found.name, found.family) == (kind, family)


def test_compiled_python_is_executable(tmp_path: Path) -> None:
    for name, data in (("x.pyc", compiled(tmp_path)), ("x.bin", compiled(tmp_path))):
        assert kind_of(name, data, len(data)).name == "python-bytecode"
    assert sys.version_info >= (3, 11)
    data = marshal.dumps(compile("1", "x", "eval"))
    assert kind_of("x", data, len(data)).family == "unrecognised"


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=20), st.binary(max_size=600))
def test_any_content_under_any_name_is_of_some_kind_and_is_reported(name: str, data: bytes) -> None:
    assert kind_of(name, data, len(data)).family
    report = inspect_artifact(Bytes(name, data)).reports[0]
    assert report.inspector == "file-kinds"
    assert report.coverage.inspected_bytes <= max(report.coverage.present_bytes, 0)
    assert {finding.rule for finding in report.findings} <= set(RULES)


@each(
    ("path", "data", "expected", "severity"),
    [
        ("a.json", pickle.dumps([]), {"kind-disguise"}, Severity.HIGH),
        ("a.txt", b"\x7fELF" + bytes(60), {"kind-disguise", "kind-executable"}, Severity.HIGH),
        ("a.md", b"#!/bin/sh\nid\n", {"kind-disguise", "kind-script"}, Severity.HIGH),
        ("a.png", zipped(), {"kind-disguise", "kind-archive"}, Severity.HIGH),
        ("pytorch_model.bin", WEIGHTS, {"kind-disguise"}, Severity.HIGH),
        ("a.pt", WEIGHTS, {"kind-disguise"}, Severity.HIGH),
        ("a.jpg", b"RIFF\x10\x00\x00\x00WAVEfmt ", {"kind-extension-mismatch"}, Severity.MEDIUM),
        ("config.json", b"not json\n", {"kind-extension-mismatch"}, Severity.MEDIUM),
        ("a.pt", b"\x89HDF\r\n\x1a\n" + bytes(9), {"kind-extension-mismatch"}, Severity.MEDIUM),
        ("run.sh", b"echo\n", {"kind-script"}, Severity.MEDIUM),
        ("a.pt", zipped(), {"kind-archive"}, Severity.LOW),
        ("a.zip", zipped(), {"kind-archive"}, Severity.LOW),
        ("modeling.py", b"import os\n", {"kind-python-code"}, Severity.MEDIUM),
        ("demo.ipynb", b"{}", {"kind-python-code"}, Severity.MEDIUM),
        ("kernel.cu", b"int x;\n", {"kind-source-code"}, Severity.LOW),
        ("weights.bin", POINTER, {"kind-lfs-pointer"}, Severity.HIGH),
        ("noise.dat", b"\x00\x01\x02", {"kind-unrecognised"}, Severity.LOW),
    ],
)
def test_findings_of_the_census(path: str, data: bytes, expected: set[str], severity: Severity) -> None:
    report = census(path, data)
    assert {finding.rule for finding in report.findings} == expected
    assert max(finding.severity for finding in report.findings) is severity
    assert report.verdict is (Verdict.BAD if severity >= Severity.HIGH else Verdict.UNKNOWN)
    assert all(finding.remedy for finding in report.findings)


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("config.json", b'{"auto_map": {"AutoModel": "modeling.X"}}'),
        ("chat_template.jinja", b"{{ messages }}"),
        ("tokenizer.model", b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02"),
        ("vocab.txt", b"cat\ndog\n"),
        ("a.yaml", b"a: !!python/object:os.system x\n"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(9)),
        ("notes.xyz", b"who knows\n"),
    ],
)
def test_what_the_census_only_names_is_unknown_without_a_complaint(path: str, data: bytes) -> None:
    report = census(path, data)
    assert (report.verdict, report.findings) == (Verdict.UNKNOWN, ())


def test_prose_and_weights_alone_are_clean_and_every_byte_is_accounted_for() -> None:
    files = {
        "README.md": b"# Ein Modell\n" + "ä".encode() * 2_000_001,
        "LICENSE": b"free\n",
        ".gitattributes": b"*.safetensors filter=lfs\n",
        "model.safetensors": WEIGHTS,
        "empty": b"",
    }
    inspection = inspection_of(files)
    assert (inspection.verdict, inspection.findings) == (Verdict.CLEAN, ())
    coverage = inspection.coverage()
    assert all(part.complete for part in coverage.values())
    accounted = coverage["file-kinds"] + coverage["safetensors-structure"]
    assert accounted.inspected_bytes == sum(map(len, files.values()))


def test_a_revision_with_remote_code_is_judged_and_named() -> None:
    inspection = inspection_of(
        {
            "model.safetensors": WEIGHTS,
            "README.md": b"# x\n",
            "config.json": b'{"auto_map": {}}',
            "configuration_x.py": b"class X: ...\n",
        }
    )
    assert inspection.verdict is Verdict.CLEAN
    assert {finding.rule for finding in inspection.findings} == {"python-remote-code"}
    assert inspection.coverage()["python-code"].present_bytes == len(b"class X: ...\n")


@each("tail", [b"\x00", b"\xff", b"\xc3", b"\x1b[2J", "ü".encode("latin-1")])
@each("length", [10, HEAD_BYTES - 1, HEAD_BYTES, 1024 * 1024 - 1, 1024 * 1024, 3_000_000])
def test_prose_is_read_to_its_end(length: int, tail: bytes) -> None:
    assert census("README.md", b"x" * length).verdict is Verdict.CLEAN
    assert census("README.md", b"x" * length + tail).settled_verdict is Verdict.UNKNOWN


def test_prose_too_long_to_read_is_unknown() -> None:
    report = answer(FileKinds(), Bytes("README.md", b"x" * HEAD_BYTES, claimed=MAX_PROSE_BYTES + 1))
    assert report is not None
    assert (report.verdict, report.coverage.inspected_bytes) == (Verdict.UNKNOWN, 0)


def test_damaged_weights_are_bad_and_unread_ones_are_not_left_to_nobody() -> None:
    for data in (WEIGHTS[:-1], WEIGHTS + b"\x00", WEIGHTS[:5], b"", bytes(100)):
        assert inspection_of({"model.safetensors": data}).verdict is Verdict.BAD


def test_rules_are_well_formed_and_belong_to_their_inspector() -> None:
    named = {inspector.name for inspector in INSPECTORS}
    named |= {"registry", "repository", "malware", "secrets", "antivirus"}
    for id_, rule in RULES.items():
        assert id_ == rule.id
        assert id_.replace("-", "").isalnum()
        assert id_ == id_.lower()
        assert rule.inspector in named
        assert min(map(len, (rule.title, rule.explanation, rule.remedy))) >= len("Cut short")
    assert set(EXAMPLES) <= set(RULES)
    with pytest.raises(TypeError):
        RULES["x"] = RULES["kind-archive"]  # type: ignore[index]


@dataclass
class Failing:
    """A reader whose bytes cannot be had."""

    error: Exception
    path: str = "model.safetensors"
    size_bytes: int = 100

    def read(self, offset: int, length: int) -> bytes:
        raise self.error


@pytest.mark.parametrize("error", [Malformed("broken"), Truncated("short")])
def test_an_inspector_that_cannot_answer_leaves_an_unknown_report(error: Exception) -> None:
    reports = inspect_artifact(Failing(error)).reports
    assert [report.inspector for report in reports] == [inspector.name for inspector in INSPECTORS]
    for report in reports:
        assert report.verdict is Verdict.UNKNOWN
        assert (report.coverage.inspected_bytes, report.coverage.present_bytes) == (0, 100)
        (finding,) = report.findings
        assert finding == registry.COULD_NOT_ANSWER.finding("model.safetensors", finding.message)
        assert error.args[0] in finding.message


@pytest.mark.parametrize("error", [StoreUnreachable("gone"), ZeroDivisionError()])
def test_what_is_no_answer_about_the_bytes_is_raised(error: Exception) -> None:
    with pytest.raises(type(error)):
        inspect_artifact(Failing(error))


def test_an_inspection_becomes_a_record_whatever_strangers_wrote() -> None:
    evil = json.dumps({"\ud800\u202e": {"dtype": "\ud800", "shape": [], "data_offsets": [0, 0]}}).encode()
    data = struct.pack("<Q", len(evil)) + evil
    inspection = inspection_of({"model.safetensors": data})
    assert inspection.verdict is Verdict.BAD
    assert "\u202e" not in inspection.to_bytes().decode("utf-8")


def test_a_container_that_another_inspector_reads_is_no_longer_unread() -> None:
    def answers(member: str, data: bytes) -> dict[str, Report]:
        whole = io.BytesIO()
        with zipfile.ZipFile(whole, "w") as packed:
            packed.writestr(member, data)
        return {report.inspector: report for report in inspect_artifact(Bytes("m.pt", whole.getvalue())).reports}

    read = answers("archive/data.pkl", pickle.dumps([1]))
    assert {report.verdict for report in read.values()} == {Verdict.CLEAN}
    assert not read["file-kinds"].findings
    assert answers("archive/data.pkl", b"cos\nsystem\n(S'id'\ntR.")["pickles"].verdict is Verdict.BAD
    assert answers("strange.xyz", b"who knows\n")["file-kinds"].settled_verdict is Verdict.UNKNOWN
