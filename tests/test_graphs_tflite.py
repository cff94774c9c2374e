"""TensorFlow Lite: operators from elsewhere and hidden bytes do not pass; what the converter writes does."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import zipfile

import pytest

from tests.support.cases import each
from tests.support.graphs import stored
from tests.support.inspecting import Bytes, answer, examined, subject_of
from weighbridge.core.errors import FormatError, IntegrityError
from weighbridge.core.finding import Verdict
from weighbridge.inspectors.graphs.tflite import Tflite

BAD = Verdict.BAD
UNKNOWN = Verdict.UNKNOWN
REAL = stored("q.tflite")


class Flat:
    """A flatbuffer written front to back: tables first, what they refer to behind them."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0\0\0\0TFL3")
        self.pending: list[tuple[int, object]] = []

    def table(self, *fields: object) -> int:
        """A table of 4-byte fields: an int is a number, None is absent, anything else is referred to."""
        vtable = 4 + 2 * len(fields)
        start = len(self.data)
        places = [4 + 4 * i if one is not None else 0 for i, one in enumerate(fields)]
        self.data += struct.pack(f"<{2 + len(fields)}H", vtable, 4 + 4 * len(fields), *places)
        self.data += bytes(-len(self.data) % 4)
        at = len(self.data)
        self.data += struct.pack("<i", at - start)
        for one in fields:
            if not isinstance(one, int) and one is not None:
                self.pending.append((len(self.data), one))
            self.data += struct.pack("<I", one if isinstance(one, int) else 0)
        return at

    def finish(self, *root: object) -> bytes:
        self.data[:4] = struct.pack("<I", self.table(*root))
        while self.pending:
            place, value = self.pending.pop(0)
            self.data += bytes(-len(self.data) % 4)
            target = len(self.data)
            if isinstance(value, tuple):
                target = self.table(*value)
            elif isinstance(value, list):
                self.data += struct.pack("<I", len(value))
                for one in value:
                    if not isinstance(one, int):
                        self.pending.append((len(self.data), one))
                    self.data += struct.pack("<I", one if isinstance(one, int) else 0)
            else:
                text = value if isinstance(value, bytes) else str(value).encode()
                self.data += struct.pack("<I", len(text)) + text + b"\0"
            self.data[place : place + 4] = struct.pack("<I", target - place)
        return bytes(self.data)


def model(
    *codes: tuple[int, str | None],
    used: int = 0,
    version: int = 3,
    buffer: int = 0,
    metadata: list[object] | None = None,
) -> bytes:
    listed = [(None, name, 1, code) for code, name in codes or ((9, None),)]
    graph = ([([1, 2], 0, buffer, "t")], [0], [0], [(used, [0], [0])], "main")
    return Flat().finish(version, listed, [graph], "test", [(None,), (b"\1\2\3\4",)], None, metadata)


def zip_of(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, b"x")
    return out.getvalue()


CASES: tuple[tuple[str, bytes, str, Verdict], ...] = (
    *((f"Flex{op}", model((32, f"Flex{op}")), "flex-danger", BAD) for op in (
        "ReadFile", "WriteFile", "PyFunc", "EagerPyFunc", "MatchingFiles", "TFRecordDataset", "DebugIdentity", "DataServiceDataset",
    )),
    ("second code", model((9, None), (32, "FlexWriteFile"), used=1), "flex-danger", BAD),
    ("code that nobody uses", model((9, None), (32, "FlexWriteFile")), "flex-danger", BAD),
    ("custom", model((32, "MyOperator")), "custom-operator", UNKNOWN),
    ("custom without a name", model((32, None)), "custom-operator", UNKNOWN),
    ("flex that TensorFlow does not have", model((32, "FlexMagic")), "custom-operator", UNKNOWN),
    ("number of the future", model((900, None)), "custom-operator", UNKNOWN),
    ("code that is not there", model(used=7), "bad-reference", BAD),
    ("buffer that is not there", model(buffer=99), "bad-reference", BAD),
    ("metadata that is not there", model(metadata=[("m", 50)]), "bad-reference", BAD),
    ("trailing", model() + b"payload", "trailing-data", BAD),
    ("trailing zeros", model() + bytes(500), "trailing-data", BAD),
    ("trailing behind a real model", REAL + b"payload", "trailing-data", BAD),
    ("zip behind", model() + zip_of("a"), "zip-polyglot", BAD),
    ("labels behind", model(metadata=[("TFLITE_METADATA", 1)]) + zip_of("labels.txt"), "packed-files", UNKNOWN),
    ("another version", model(version=4), "not-understood", UNKNOWN),
    ("root beyond", b"\xff\xff\xff\x7fTFL3" + bytes(50), "not-readable", BAD),
    ("no table", struct.pack("<I", 8) + b"TFL3" + bytes(50), "not-readable", BAD),
    ("cut", REAL[: len(REAL) // 2], "not-readable", BAD),
)  # fmt: skip


@each(("data", "rule", "verdict"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_hostile_model_breaks_its_rule(data: bytes, rule: str, verdict: Verdict) -> None:
    report = answer(Tflite(), Bytes("model.tflite", data))
    assert report is not None
    assert {finding.rule for finding in report.findings} == {f"tflite-{rule}"}
    assert report.settled_verdict is verdict
    assert examined("model.tflite", data).verdict is not Verdict.CLEAN


@pytest.mark.parametrize(
    "data",
    [
        REAL,
        model(),
        model((9, None), (0, None), used=1),
        model((32, "FlexErf")),
        model(metadata=[("min_runtime_version", 1)]),
    ],
)
def test_what_the_converter_writes_is_clean(data: bytes) -> None:
    report = answer(Tflite(), Bytes("model.tflite", data))
    assert report is not None
    assert (report.findings, report.settled_verdict) == ((), Verdict.CLEAN)
    assert examined("model.tflite", data).verdict is Verdict.CLEAN


def test_buffers_are_inert_and_other_files_none_of_its_business() -> None:
    subject = subject_of(Bytes("m.tflite", stored("q.tflite")))
    assert Tflite().inspect(subject) is not None
    assert answer(Tflite(), Bytes("a.tflite", b"nothing")) is None


def test_mutations_never_break_out() -> None:
    dice = random.Random(9)
    for original in (REAL, model((32, "FlexWriteFile"))):
        for _ in range(150):
            data = bytearray(original)
            for _ in range(dice.randint(1, 6)):
                data[8 + dice.randrange(len(data) - 8)] = dice.randrange(256)
            reader = Bytes("m.tflite", bytes(data))
            with contextlib.suppress(FormatError, IntegrityError):
                answer(Tflite(), reader)
            assert reader.read_bytes <= 40 * len(data) + 3_000_000
