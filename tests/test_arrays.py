"""npy files: what numpy writes is clean, everything else is refused by its rule, and nothing is evaluated."""

from __future__ import annotations

import io
import struct

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.gguf_corpus import PAYLOADS, archive
from tests.support.inspecting import Bytes, answer, subject_of, verdict_of
from weighbridge.core.finding import Report, Verdict
from weighbridge.inspectors.all_rules import RULES
from weighbridge.inspectors.weights.arrays import PlainArrays


def saved(array: numpy.ndarray, version: tuple[int, int] | None = None) -> bytes:
    held = io.BytesIO()
    numpy.lib.format.write_array(held, array, version=version)
    return held.getvalue()


def made(header: str, data: bytes = b"", version: int = 1, pad: bool = True) -> bytes:
    text = header.encode("utf-8" if version == 3 else "latin-1")
    width = 2 if version == 1 else 4
    if pad:
        text += b" " * (-(8 + width + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + data


def plain(descr: str = "'<f4'", order: str = "False", shape: str = "(2,)", data: bytes = bytes(8)) -> bytes:
    return made(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}", data)


def judged(data: bytes) -> Report:
    report = answer(PlainArrays(), Bytes("a.npy", data))
    assert report is not None
    return report


def is_clean(data: bytes) -> bool:
    report = judged(data)
    assert report.findings == ()
    assert (report.kind, report.coverage.complete) == ("npy", True)
    return report.verdict is Verdict.CLEAN


TYPES = "? i1 u1 <i2 >i2 <u2 <i4 >i4 <u4 <i8 >u8 <f2 <f4 >f4 <f8 <f16 <c8 <c16 <U3 >U3 S5 V7 <M8[ns] <m8[D] <M8".split()  # noqa: SIM905


@each("dtype", TYPES)
@each("shape", [(), (1,), (3, 4), (0, 5), (2, 1, 3)])
def test_what_numpy_writes_is_clean(dtype: str, shape: tuple[int, ...]) -> None:
    for order in "CF":
        assert is_clean(saved(numpy.zeros(shape, dtype, order=order)))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_is_clean(version: tuple[int, int]) -> None:
    assert is_clean(saved(numpy.arange(10), version))


@pytest.mark.parametrize(
    "dtype",
    [
        [("a", "<f4"), ("b", "<i8", (2,))],
        [("x", "S3"), ("inner", [("y", "u1"), ("z", "<c8")])],
        {"names": ["a", "b"], "formats": ["u1", "<f8"], "offsets": [0, 8], "itemsize": 24},
        [(("a title", "a"), "<f4")],
        [("größe", "<f4")],
    ],
)
def test_records_are_clean(dtype: object) -> None:
    assert is_clean(saved(numpy.zeros(3, numpy.dtype(dtype))))


def test_what_python_2_wrote_is_clean() -> None:
    assert is_clean(plain(shape="(2L,)"))


def test_numbers_are_inert_and_texts_are_not() -> None:
    for array, inert in ((numpy.ones(9), True), (numpy.zeros(3, "S9"), False), (numpy.zeros(3, "V9"), False)):
        data = saved(array)
        subject = subject_of(Bytes("a.npy", data))
        PlainArrays().inspect(subject)
        assert [(s.start, s.end) for s in subject.inert_spans] == ([(128, len(data))] if inert else [])
    assert verdict_of("a.npy", saved(numpy.ones(3))) is Verdict.CLEAN


def test_arrays_of_objects_are_left_to_those_who_judge_pickles() -> None:
    for array in (numpy.array([{}, []], dtype=object), numpy.zeros(2, [("a", "O"), ("b", "<f4")])):
        assert answer(PlainArrays(), Bytes("a.npy", saved(array))) is None
    assert answer(PlainArrays(), Bytes("README.md", b"# x\n")) is None


HOSTILE: list[tuple[str, bytes, str]] = [
    *((f"version {a}.{b}", b"\x93NUMPY" + bytes([a, b]) + plain()[8:], "npy-version") for a, b in ((0, 0), (1, 1), (4, 0), (255, 0))),
    ("eight bytes", b"\x93NUMPY\x01\x00", "npy-truncated"),
    ("header longer than the file", b"\x93NUMPY\x01\x00\xff\xff{}  ", "npy-truncated"),
    ("header of 4 GiB", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", "npy-truncated"),
    ("header of 70,000", made("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }" + " " * 70_000, bytes(8), 2), "npy-header-limit"),
    ("header of 12,000", made("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }" + " " * 12_000, bytes(8), 2), "npy-header-limit"),
    *(
        (f"header {text[:40]!r}", made(text, bytes(8)), "npy-header")
        for text in (
            "", "{}", "[]", "None", "1", "'x'", "{'descr': '<f4'}", "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
            "{'descr': '<f4', 'fortran_order': None, 'shape': (2,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} # x",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}\x00",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}; import os",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (+2,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2.0,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1+1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (0x2,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}",
            "{'descr': '<f4', 'fortran_order': False 'shape': (2,)}",
            "{'descr': '\\x3cf4', 'fortran_order': False, 'shape': (2,)}",
            "{'descr': '<f' '4', 'fortran_order': False, 'shape': (2,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': __import__('os')}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), **{}}",
            "dict(descr='<f4')", "(" * 500, "{" * 500, "[" * 5_000, "{'a': " * 500, "{1: 2}", "{'descr'}", "{'descr': }", "{,}",
        )
    ),
    ("key twice", made("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", bytes(8)), "npy-duplicate-key"),
    *(
        (f"type {text}", plain(descr=text), "npy-type")
        for text in (
            "'f'", "''", "'<x4'", "'<f3'", "'<f1'", "'<i3'", "'?'", "'float32'", "'<f4 '", "'<M8[x]'", "'<f4[ns]'", "'<i16'", "'f4,i4'",
            "'V'", "True", "4", "[]", "('<f4',)", "[('a',)]", "[('a', '<f4', 2, 3)]", "[(1, '<f4')]", "['<f4']", "'numpy.float32'", "{}",
        )
    ),
    *(
        (f"shape {text}", plain(shape=text), "npy-shape")
        for text in ("2", "[2]", "'2'", "(True,)", "('2',)", "((2,),)", "{}", "(" + "1," * 65 + ")")
    ),
    *(
        (f"shape {text}", plain(shape=text), "npy-size-overflow")
        for text in ("(9223372036854775808,)", "(4294967296, 4294967296)", "(0, 9223372036854775808)", "(4611686018427387904,)", "(1" + "0" * 30 + ",)")
    ),
    ("field that wraps", plain(descr="[('a', '<f4', (4294967296, 4294967296))]"), "npy-size-overflow"),
    ("a byte short", plain()[:-1], "npy-truncated"),
    ("no data", plain(data=b""), "npy-truncated"),
    ("too large a shape", plain(shape="(3,)"), "npy-truncated"),
    ("a byte more", plain() + b"\x00", "npy-trailing-data"),
    ("a pickle after it", plain() + b"\x80\x04\x95cos\nsystem\n", "npy-trailing-data"),
    ("a second array", plain() * 2, "npy-trailing-data"),
    ("data for none", plain(shape="(0,)"), "npy-trailing-data"),
    ("a zip in the array", plain(descr="'<f4'", shape=f"({(len(archive()) + 3) // 4},)", data=archive() + bytes(-len(archive()) % 4)), "npy-zip-polyglot"),
    *(
        (f"{name} as bytes", plain(descr="'|u1'", shape=f"({len(data) + 70_000},)", data=data + bytes(70_000)), "npy-payload")
        for name, data in PAYLOADS.items()
    ),
    ("program as one text", plain(descr="'|S70100'", shape="()", data=PAYLOADS["elf"] + bytes(70_100 - len(PAYLOADS["elf"]))), "npy-payload"),
    ("program as one void", plain(descr="'|V70100'", shape="()", data=PAYLOADS["pe"] + bytes(70_100 - len(PAYLOADS["pe"]))), "npy-payload"),
]  # fmt: skip


def test_every_rule_has_a_case() -> None:
    assert {rule for _, _, rule in HOSTILE} == {rule for rule in RULES if rule.startswith("npy-")}


@each(("data", "rule"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_an_unsound_file_is_refused_by_its_rule(data: bytes, rule: str) -> None:
    report = judged(data)
    assert [finding.rule for finding in report.findings] == [rule]
    assert report.verdict is (Verdict.BAD if RULES[rule].severity.is_grave else Verdict.UNKNOWN)


def test_a_large_array_is_judged_by_its_header() -> None:
    reader = Bytes("a.npy", saved(numpy.zeros(2_000_000)))
    report = answer(PlainArrays(), reader)
    assert report is not None
    assert report.verdict is Verdict.CLEAN
    assert reader.read_bytes < 90_000


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(TYPES), st.lists(st.integers(0, 3), max_size=3), st.data())
def test_a_damaged_file_is_refused_with_a_rule_or_read_as_numpy_reads_it(
    dtype: str, shape: list[int], draw: st.DataObject
) -> None:
    good = saved(numpy.zeros(shape, dtype))
    start = draw.draw(st.integers(6, len(good) - 1))
    end = draw.draw(st.integers(start, min(len(good), start + 4)))
    data = good[:start] + draw.draw(st.binary(max_size=4)) + good[end:]
    report = answer(PlainArrays(), Bytes("a.npy", data))
    if report is None:
        assert b"O" in data
    elif report.verdict is Verdict.CLEAN:
        array = numpy.load(io.BytesIO(data), allow_pickle=False)
        assert data.endswith(array.tobytes("A"))
    else:
        assert all(finding.rule in RULES for finding in report.findings)
