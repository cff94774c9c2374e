"""Flax checkpoints: what the library writes is clean, everything else is refused by its rule."""

from __future__ import annotations

import struct

import msgpack
import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.gguf_corpus import PAYLOADS, archive
from tests.support.inspecting import Bytes, answer, subject_of, verdict_of
from weighbridge.core.finding import Report, Verdict
from weighbridge.inspectors.all_rules import RULES
from weighbridge.inspectors.weights.flax import FlaxCheckpoints


def extension(code: int, value: object) -> msgpack.ExtType:
    return msgpack.ExtType(code, msgpack.packb(value, use_bin_type=True))


def array(values: numpy.ndarray, name: str = "") -> msgpack.ExtType:
    """As flax.serialization writes an array."""
    return extension(1, (values.shape, name or values.dtype.name, values.tobytes()))


def packed(value: object) -> bytes:
    return msgpack.packb(value, use_bin_type=True)


ONES = numpy.ones((3, 4), numpy.float32)
KERNEL = array(ONES)
TREE = {
    "params": {
        "encoder": {"layer_0": {"kernel": KERNEL, "bias": array(numpy.zeros(4, numpy.float16))}},
        "embed": array(numpy.arange(40_000, dtype=numpy.int64)),
        "empty": array(numpy.zeros((0, 7), numpy.float32)),
        "bf16": array(numpy.ones(4, numpy.uint16), "bfloat16"),
        "chunked": {"__msgpack_chunked_array__": True, "shape": {"0": 3, "1": 4}, "chunks": {"0": KERNEL, "1": KERNEL}},
    },
    "opt_state": {"0": {"count": extension(3, ((), "int32", b"\x01\x00\x00\x00")), "mu": None}, "1": {}},
    "step": 12_345,
    "loss": 0.25,
    "done": False,
    "z": extension(2, (1.0, -2.5)),
    "names": ["a", "b"],
}
GOOD = packed(TREE)


def judged(data: bytes, path: str = "flax_model.msgpack") -> Report:
    report = answer(FlaxCheckpoints(), Bytes(path, data))
    assert report is not None
    return report


def rules(data: bytes) -> list[str]:
    return [finding.rule for finding in judged(data).findings]


def test_a_checkpoint_is_clean_and_its_arrays_inert() -> None:
    subject = subject_of(Bytes("flax_model.msgpack", GOOD))
    report = FlaxCheckpoints().inspect(subject)
    assert report is not None
    assert (report.verdict, report.findings, report.kind, report.coverage.complete) == (
        Verdict.CLEAN,
        (),
        "msgpack",
        True,
    )
    held = [GOOD[span.start : span.end] for span in subject.inert_spans]
    assert ONES.tobytes() in held
    assert sum(map(len, held)) > 0.9 * len(GOOD)
    assert verdict_of("flax_model.msgpack", GOOD) is Verdict.CLEAN


def test_content_decides_whatever_the_name() -> None:
    assert judged(packed({"params": {"kernel": KERNEL}}), "checkpoint_100").verdict is Verdict.CLEAN
    assert answer(FlaxCheckpoints(), Bytes("weights.bin", packed({"a": 1}))) is None
    assert answer(FlaxCheckpoints(), Bytes("README.md", b"# x\n")) is None


@each(
    "name",
    "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64 complex64 complex128".split(),  # noqa: SIM905
)
def test_every_type_of_numpy_is_known(name: str) -> None:
    values = numpy.ones((2, 3), name)
    assert judged(packed({"a": array(values), "b": extension(3, ((), name, values[0, 0].tobytes()))})).findings == ()


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "int4"])
def test_small_types_of_jax_are_known(name: str) -> None:
    assert judged(packed({"a": array(numpy.ones((2, 3), numpy.uint8), name)})).findings == ()


def raw(text: bytes) -> bytes:
    return b"\x81\xa1a" + text


HOSTILE: list[tuple[str, bytes, str]] = [
    ("byte that begins nothing", raw(b"\xc1"), "flax-malformed"),
    *((f"cut at {cut}", GOOD[:cut], "flax-truncated") for cut in (20, 60, 130, 300, 1_000, len(GOOD) - 1)),
    ("map of 2^32 - 1", raw(b"\xdf\xff\xff\xff\xff"), "flax-truncated"),
    ("list of 2^32 - 1", raw(b"\xdd\xff\xff\xff\xff"), "flax-truncated"),
    ("text of 2^32 - 1", raw(b"\xdb\xff\xff\xff\xffx"), "flax-truncated"),
    ("binary of 2^32 - 1", raw(b"\xc6\xff\xff\xff\xffx"), "flax-truncated"),
    ("extension of 2^32 - 1", raw(b"\xc9\xff\xff\xff\xff\x01x"), "flax-truncated"),
    ("map of 2^16 - 1", raw(b"\xde\xff\xff"), "flax-truncated"),
    ("half a number", raw(b"\xcf\x00"), "flax-truncated"),
    ("lists 5,000 deep", raw(b"\x91" * 5_000 + b"\xc0"), "flax-nesting"),
    ("maps 5,000 deep", b"\x81\xa1a" * 5_000 + b"\xc0", "flax-nesting"),
    ("list at the root", b"\x91\xa3abc\xc0", "flax-root"),
    ("text at the root", b"\xd9\x05hello\xff\xfe", "flax-root"),
    ("key twice", b"\x82\xa1a\x01\xa1a\x02", "flax-duplicate-key"),
    ("key twice, longer", b"\x82\xa1a\x01\xd9\x01a\x02", "flax-duplicate-key"),
    ("number twice as key", b"\x83\xa1a\xc0\x01\xc0\xcc\x01\xc0", "flax-duplicate-key"),
    ("key is nothing", b"\x82\xa1a\x01\xc0\x02", "flax-key"),
    ("key is a truth", b"\x82\xa1a\x01\xc3\x02", "flax-key"),
    ("key is a number with a point", b"\x82\xa1a\x01\xca\x00\x00\x00\x00\x02", "flax-key"),
    ("key is a list", b"\x82\xa1a\x01\x91\x01\x02", "flax-key"),
    ("key is a map", b"\x82\xa1a\x01\x81\x01\x01\x02", "flax-key"),
    ("key is an array", b"\x82\xa1a\x01\xd4\x01\x00\x02", "flax-key"),
    ("key is not UTF-8", b"\x82\xa1a\x01\xa1\xff\x02", "flax-key"),
    ("key of 5,000 bytes", packed({"a": 1, "k" * 5_000: 2}), "flax-key"),
    ("a byte more", GOOD + b"\x00", "flax-trailing-data"),
    ("a second tree", GOOD + GOOD, "flax-trailing-data"),
    ("a pickle after it", GOOD + b"\x80\x04\x95cos\nsystem\n", "flax-trailing-data"),
    *((f"extension {code}", packed({"a": msgpack.ExtType(code, b"1234")}), "flax-extension") for code in (0, 4, 42, 127)),
    ("time stamp", packed({"a": msgpack.Timestamp(1)}), "flax-extension"),
    ("array is empty", packed({"a": msgpack.ExtType(1, b"")}), "flax-truncated"),
    ("array is a number", packed({"a": extension(1, 1)}), "flax-array"),
    ("array of two", packed({"a": extension(1, ((2,), "int8"))}), "flax-array"),
    ("array of four", packed({"a": extension(1, ((2,), "int8", b"12", 1))}), "flax-array"),
    ("array and more", packed({"a": msgpack.ExtType(1, KERNEL.data + b"\x00")}), "flax-array"),
    ("array in the wrong order", packed({"a": extension(1, ("int8", (2,), b"12"))}), "flax-array"),
    ("array of text", packed({"a": extension(1, ((2,), "int8", "12"))}), "flax-array"),
    ("shape is a number", packed({"a": extension(1, (2, "int8", b"12"))}), "flax-array"),
    ("shape of text", packed({"a": extension(1, (("2",), "int8", b"12"))}), "flax-array"),
    ("shape with a point", packed({"a": extension(1, ((2.0,), "int8", b"12"))}), "flax-array"),
    ("shape below zero", packed({"a": extension(1, ((-1,), "int8", b"12"))}), "flax-array"),
    ("shape of 65", packed({"a": extension(1, ((1,) * 65, "int8", b"1"))}), "flax-array"),
    ("shape nested", packed({"a": extension(1, (((2,),), "int8", b"12"))}), "flax-array"),
    ("long type", packed({"a": extension(1, ((2,), "int8" * 20, b"12"))}), "flax-array"),
    *((f"type {name}", packed({"a": extension(1, ((2,), name, b"12"))}), "flax-dtype") for name in ("O", "object", "|O8", "V2", "i1", "", "str", "f4,O")),
    ("bytes too few", packed({"a": extension(1, ((3,), "int8", b"12"))}), "flax-size-mismatch"),
    ("bytes too many", packed({"a": extension(1, ((1,), "int8", b"12"))}), "flax-size-mismatch"),
    ("bytes for nothing", packed({"a": extension(1, ((0,), "int8", b"12"))}), "flax-size-mismatch"),
    ("shape that wraps", packed({"a": extension(1, ((1 << 32, 1 << 32), "int8", b""))}), "flax-size-mismatch"),
    ("scalar too wide", packed({"a": extension(3, ((), "int8", b"12"))}), "flax-size-mismatch"),
    ("half a complex number", packed({"a": extension(2, (1.0,))}), "flax-array"),
    ("complex text", packed({"a": extension(2, ("1", "2"))}), "flax-array"),
    ("text that is not UTF-8", raw(b"\xa2\xff\xfe"), "flax-malformed"),
    ("binary data", packed({"a": bytes(70_000)}), "flax-binary"),
    *((f"{name} as binary", packed({"a": data + bytes(90_000)}), "flax-text-payload") for name, data in PAYLOADS.items()),
    ("script", packed({"a": "__import__('os').system('id')"}), "flax-text-script"),
    ("address", packed({"a": "https://example.test/x"}), "flax-text-url"),
    ("trap", packed({"a": "http://203.0.113.9/x"}), "flax-text-url-suspicious"),
    ("long text", packed({"a": "word " * 5_000}), "flax-text-long"),
    ("more text than is judged", packed({"a": "word " * 900_000}), "flax-text-limit"),
    ("text over the limit", packed({"a": "w" * (16 * 1024 * 1024 + 1)}), "flax-limit"),
    ("too many values", raw(b"\xdd" + struct.pack(">I", 250_000) + b"\x00" * 250_000), "flax-limit"),
    ("a zip in the last array", packed({"a": array(numpy.frombuffer(archive(), numpy.uint8))}), "flax-zip-polyglot"),
]  # fmt: skip


def test_every_rule_has_a_case() -> None:
    assert {rule for _, _, rule in HOSTILE} == {rule for rule in RULES if rule.startswith("flax-")}


@each(("data", "rule"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_an_unsound_file_is_refused_by_its_rule(data: bytes, rule: str) -> None:
    report = judged(data)
    assert rule in [finding.rule for finding in report.findings]
    assert len(report.findings) == 1 or rule in ("flax-text-limit", "flax-text-long")
    if RULES[rule].severity.is_grave:
        assert report.verdict is Verdict.BAD
    elif rule in ("flax-extension", "flax-limit", "flax-text-limit"):
        assert report.verdict is Verdict.UNKNOWN


def test_the_data_of_arrays_is_not_read() -> None:
    data = packed({f"layer_{number}": array(numpy.zeros(500_000, numpy.float32)) for number in range(4)})
    reader = Bytes("flax_model.msgpack", data)
    report = answer(FlaxCheckpoints(), reader)
    assert report is not None
    assert report.verdict is Verdict.CLEAN
    assert reader.read_bytes < 200_000
    assert len(reader.reads) <= 9


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused_with_a_rule_or_read_by_the_library(draw: st.DataObject) -> None:
    good = packed({"params": {"kernel": KERNEL, "step": 3, "x": [1, 2.5, None]}})
    start = draw.draw(st.integers(0, len(good) - 1))
    end = draw.draw(st.integers(start, min(len(good), start + 3)))
    data = good[:start] + draw.draw(st.binary(max_size=3)) + good[end:]
    report = answer(FlaxCheckpoints(), Bytes("m.msgpack", data))
    if report is None or report.verdict is not Verdict.CLEAN:
        assert report is None or all(finding.rule in RULES for finding in report.findings)
        return
    msgpack.unpackb(data, raw=False, strict_map_key=False)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_noise_is_refused_with_a_rule(noise: bytes) -> None:
    report = judged(b"\x81\xa1a" + noise)
    assert report.verdict is Verdict.CLEAN or all(finding.rule in RULES for finding in report.findings)
