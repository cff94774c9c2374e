"""The safetensors header: every malformed one by its rule, and whatever is accepted, the reference accepts too."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

import numpy
import pytest
import safetensors
import safetensors.numpy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.inspecting import answer
from weighbridge.core.errors import Ambiguous, FormatError, LimitExceeded, Malformed, Truncated
from weighbridge.core.finding import Severity, Verdict
from weighbridge.formats.safetensors import DTYPE_BITS, MAX_HEADER_BYTES, HeaderProblem, TensorEntry, read_header
from weighbridge.formats.safetensors_survey import WHOLE_BYTES, survey
from weighbridge.inspectors.all_rules import RULES
from weighbridge.inspectors.registry import inspect_artifact
from weighbridge.inspectors.weights.safetensors import SafetensorsStructure


@dataclass
class Bytes:
    """A file in memory; `reads` notes what was asked for."""

    data: bytes
    path: str = "model.safetensors"
    claimed: int = -1

    def __post_init__(self) -> None:
        self.reads: list[tuple[int, int]] = []

    @property
    def size_bytes(self) -> int:
        return self.claimed if self.claimed >= 0 else len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        return self.data[offset : offset + length]


def file_of(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype: object = "U8", shape: object = (2,), offsets: object = (0, 2), **more: object) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets} | more


GOOD = file_of({"a": tensor(), "b": tensor("F32", [], [2, 6])}, b"123456")
RAW = b'{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}'


def raw(text: bytes, data: bytes = b"12") -> bytes:
    return file_of(text, data)


def field(text: bytes) -> bytes:
    """The header of one tensor whose description is `text`."""
    return raw(b'{"a":{' + text + b"}}")


BIG = b"18446744073709551616"
MALFORMED: list[tuple[str, bytes, str]] = [
    # The file and the header's length
    ("empty", b"", "safetensors-truncated"),
    ("seven bytes", b"\x02\x00\x00\x00\x00\x00\x00", "safetensors-truncated"),
    ("length alone", struct.pack("<Q", 2), "safetensors-header-overflow"),
    ("length beyond the file", struct.pack("<Q", 99) + b"{}", "safetensors-header-overflow"),
    ("length one too many", struct.pack("<Q", 3) + b"{}", "safetensors-header-overflow"),
    ("length 2^64-1", b"\xff" * 8 + b"{}", "safetensors-header-overflow"),
    ("length 2^63", struct.pack("<Q", 1 << 63) + b"{}", "safetensors-header-overflow"),
    ("length big-endian", struct.pack(">Q", 2) + b"{}", "safetensors-header-overflow"),
    ("length zero", struct.pack("<Q", 0) + b"{}", "safetensors-header-start"),
    # The header's text
    ("array", raw(b"[]"), "safetensors-header-start"),
    ("leading space", raw(b" " + RAW), "safetensors-header-start"),
    ("byte order mark", raw(b"\xef\xbb\xbf" + RAW), "safetensors-header-start"),
    ("utf-16", raw(RAW.decode().encode("utf-16-le"))[:], "safetensors-header-json"),
    ("latin-1 name", raw(b'{"\xe9":1}'), "safetensors-header-encoding"),
    ("overlong utf-8", raw(b'{"\xc0\xaf":1}'), "safetensors-header-encoding"),
    ("raw surrogate", raw(b'{"\xed\xa0\x80":1}'), "safetensors-header-encoding"),
    ("cut json", raw(RAW[:-1]), "safetensors-header-json"),
    ("only a brace", raw(b"{"), "safetensors-header-json"),
    ("trailing comma", raw(b'{"a":1,}'), "safetensors-header-json"),
    ("single quotes", raw(b"{'a':1}"), "safetensors-header-json"),
    ("comment", raw(b"{/**/}"), "safetensors-header-json"),
    ("leading zero", field(b'"dtype":"U8","shape":[02],"data_offsets":[0,2]'), "safetensors-header-json"),
    ("hexadecimal", field(b'"dtype":"U8","shape":[0x2],"data_offsets":[0,2]'), "safetensors-header-json"),
    ("plus sign", field(b'"dtype":"U8","shape":[+2],"data_offsets":[0,2]'), "safetensors-header-json"),
    ("control character in a name", raw(b'{"a\x01":1}'), "safetensors-header-json"),
    ("nul in a name", raw(b'{"a\x00":1}'), "safetensors-header-json"),
    ("huge number of digits", raw(b'{"a":' + b"9" * 5000 + b"}"), "safetensors-number-overflow"),
    ("deep arrays", raw(b'{"a":' + b"[" * 100_000), "safetensors-header-nesting"),
    ("deep objects", raw(b'{"a":' * 100_000), "safetensors-header-nesting"),
    ("dense values", raw(b'{"a":[' + b"[]," * 2_000_001 + b"[]]}"), "safetensors-header-values"),
    # After the header's text
    ("nul padding", raw(RAW + b"\x00\x00"), "safetensors-header-padding"),
    ("newline padding", raw(RAW + b"\n"), "safetensors-header-padding"),
    ("tab padding", raw(RAW + b"\t"), "safetensors-header-padding"),
    ("second object", raw(RAW + b"{}"), "safetensors-header-padding"),
    ("payload after spaces", raw(RAW + b"    cos\nsystem\n"), "safetensors-header-padding"),
    # Repeated keys
    ("tensor twice", raw(RAW[:-1] + b"," + RAW[1:]), "safetensors-duplicate-key"),
    (
        "tensor twice by escape",
        raw(RAW[:-1] + b"," + RAW[1:].replace(b"a", b"\\u0061", 1)),
        "safetensors-duplicate-key",
    ),
    ("field twice", field(b'"dtype":"U8","shape":[2],"shape":[2],"data_offsets":[0,2]'), "safetensors-duplicate-key"),
    ("metadata twice", raw(b'{"__metadata__":{},"__metadata__":{}}', b""), "safetensors-duplicate-key"),
    ("metadata key twice", raw(b'{"__metadata__":{"k":"1","k":"2"}}', b""), "safetensors-duplicate-key"),
    # Names and metadata
    ("half a surrogate pair in a name", raw(RAW.replace(b"a", b"\\ud800", 1)), "safetensors-name"),
    ("half a pair in metadata", raw(b'{"__metadata__":{"k":"\\udc00"}}', b""), "safetensors-name"),
    ("half a pair in a metadata key", raw(b'{"__metadata__":{"\\udc00":"v"}}', b""), "safetensors-name"),
    ("metadata null", file_of({"__metadata__": None}), "safetensors-metadata"),
    ("metadata list", file_of({"__metadata__": []}), "safetensors-metadata"),
    ("metadata number", file_of({"__metadata__": {"k": 1}}), "safetensors-metadata"),
    ("metadata nested", file_of({"__metadata__": {"k": {}}}), "safetensors-metadata"),
    ("metadata null value", file_of({"__metadata__": {"k": None}}), "safetensors-metadata"),
    # Descriptions
    ("tensor is a list", file_of({"a": ["U8", [2], [0, 2]]}, b"12"), "safetensors-entry"),
    ("tensor is null", file_of({"a": None}), "safetensors-entry"),
    ("tensor is a number", file_of({"a": 1}), "safetensors-entry"),
    ("no dtype", field(b'"shape":[2],"data_offsets":[0,2]'), "safetensors-missing-field"),
    ("no shape", field(b'"dtype":"U8","data_offsets":[0,2]'), "safetensors-missing-field"),
    ("no offsets", field(b'"dtype":"U8","shape":[2]'), "safetensors-missing-field"),
    ("no fields", field(b""), "safetensors-missing-field"),
    ("more fields", file_of({"a": tensor(strides=[1])}, b"12"), "safetensors-unknown-field"),
    ("field in other case", file_of({"a": tensor(Dtype="U8")}, b"12"), "safetensors-unknown-field"),
    ("dtype unknown", file_of({"a": tensor("U9")}, b"12"), "safetensors-unknown-dtype"),
    ("dtype lowercase", file_of({"a": tensor("u8")}, b"12"), "safetensors-unknown-dtype"),
    ("dtype with a space", file_of({"a": tensor("U8 ")}, b"12"), "safetensors-unknown-dtype"),
    ("dtype null", file_of({"a": tensor(None)}, b"12"), "safetensors-unknown-dtype"),
    ("dtype list", file_of({"a": tensor(["U8"])}, b"12"), "safetensors-unknown-dtype"),
    ("dtype number", file_of({"a": tensor(8)}, b"12"), "safetensors-unknown-dtype"),
    ("shape number", file_of({"a": tensor(shape=2)}, b"12"), "safetensors-shape"),
    ("shape null", file_of({"a": tensor(shape=None)}, b"12"), "safetensors-shape"),
    ("shape object", file_of({"a": tensor(shape={})}, b"12"), "safetensors-shape"),
    # Numbers
    ("shape true", file_of({"a": tensor(shape=[True, 2])}, b"12"), "safetensors-not-an-integer"),
    ("shape text", file_of({"a": tensor(shape=["2"])}, b"12"), "safetensors-not-an-integer"),
    ("shape null inside", file_of({"a": tensor(shape=[None])}, b"12"), "safetensors-not-an-integer"),
    ("shape nested", file_of({"a": tensor(shape=[[2]])}, b"12"), "safetensors-not-an-integer"),
    ("shape float", file_of({"a": tensor(shape=[2.0])}, b"12"), "safetensors-not-an-integer"),
    ("shape exponent", field(b'"dtype":"U8","shape":[2e0],"data_offsets":[0,2]'), "safetensors-not-an-integer"),
    ("shape NaN", field(b'"dtype":"U8","shape":[NaN],"data_offsets":[0,2]'), "safetensors-not-an-integer"),
    ("shape Infinity", field(b'"dtype":"U8","shape":[Infinity],"data_offsets":[0,2]'), "safetensors-not-an-integer"),
    ("offset false", file_of({"a": tensor(offsets=[False, 2])}, b"12"), "safetensors-not-an-integer"),
    ("offset float", file_of({"a": tensor(offsets=[0, 2.0])}, b"12"), "safetensors-not-an-integer"),
    ("shape negative", file_of({"a": tensor(shape=[-2])}, b"12"), "safetensors-negative"),
    ("two negatives", file_of({"a": tensor(shape=[-1, -2])}, b"12"), "safetensors-negative"),
    ("minus zero", field(b'"dtype":"U8","shape":[-0],"data_offsets":[0,0]'), "safetensors-negative"),
    ("offset negative", file_of({"a": tensor(offsets=[-2, 0])}, b"12"), "safetensors-negative"),
    (
        "dimension 2^64",
        field(b'"dtype":"U8","shape":[' + BIG + b'],"data_offsets":[0,2]'),
        "safetensors-number-overflow",
    ),
    ("offset 2^64", field(b'"dtype":"U8","shape":[2],"data_offsets":[0,' + BIG + b"]"), "safetensors-number-overflow"),
    ("product over 2^64", file_of({"a": tensor(shape=[1 << 32, 1 << 32])}, b"12"), "safetensors-shape-overflow"),
    ("product wraps to 2", file_of({"a": tensor(shape=[(1 << 63) + 1, 2])}, b"12"), "safetensors-shape-overflow"),
    (
        "overflow before zero",
        file_of({"a": tensor(shape=[1 << 63, 2, 0], offsets=[0, 0])}),
        "safetensors-shape-overflow",
    ),
    ("bits over 2^64", file_of({"a": tensor("U64", [1 << 58], [0, 0])}), "safetensors-shape-overflow"),
    # Offsets and sizes
    ("one offset", file_of({"a": tensor(offsets=[0])}, b"12"), "safetensors-offsets"),
    ("three offsets", file_of({"a": tensor(offsets=[0, 1, 2])}, b"12"), "safetensors-offsets"),
    ("offsets reversed", file_of({"a": tensor(offsets=[2, 0])}, b"12"), "safetensors-offsets"),
    ("offsets object", file_of({"a": tensor(offsets={"begin": 0})}, b"12"), "safetensors-offsets"),
    ("too few bytes", file_of({"a": tensor(shape=[3])}, b"12"), "safetensors-size-mismatch"),
    ("too many bytes", file_of({"a": tensor(shape=[1])}, b"12"), "safetensors-size-mismatch"),
    ("bytes for an empty tensor", file_of({"a": tensor(shape=[0])}, b"12"), "safetensors-size-mismatch"),
    ("no bytes for a scalar", file_of({"a": tensor(shape=[], offsets=[0, 0])}), "safetensors-size-mismatch"),
    ("wrong width", file_of({"a": tensor("F32", [2], [0, 4])}, b"1234"), "safetensors-size-mismatch"),
    ("half a byte", file_of({"a": tensor("F4", [3], [0, 2])}, b"12"), "safetensors-subbyte"),
    ("six bits", file_of({"a": tensor("F6_E2M3", [1], [0, 1])}, b"1"), "safetensors-subbyte"),
    # Layout
    ("hole at the start", file_of({"a": tensor(offsets=[1, 3])}, b"123"), "safetensors-hole"),
    ("hole in between", file_of({"a": tensor(), "b": tensor(offsets=[3, 5])}, b"12345"), "safetensors-hole"),
    ("empty tensor out of place", file_of({"a": tensor(shape=[0], offsets=[9, 9])}), "safetensors-hole"),
    ("same bytes twice", file_of({"a": tensor(), "b": tensor()}, b"12"), "safetensors-overlap"),
    ("one byte shared", file_of({"a": tensor(), "b": tensor(offsets=[1, 3])}, b"123"), "safetensors-overlap"),
    (
        "empty tensor inside",
        file_of({"a": tensor(), "b": tensor(shape=[0], offsets=[1, 1])}, b"12"),
        "safetensors-overlap",
    ),
    ("one byte short", GOOD[:-1], "safetensors-truncated"),
    ("no data", GOOD[:-6], "safetensors-truncated"),
    ("one byte more", GOOD + b"\x00", "safetensors-trailing-data"),
    ("data without tensors", file_of({}, b"payload"), "safetensors-trailing-data"),
    ("data with metadata alone", file_of({"__metadata__": {}}, b"x"), "safetensors-trailing-data"),
]


def test_the_table_is_long_and_its_rules_are_all_explained() -> None:
    assert len(MALFORMED) >= 60
    assert len({name for name, _, _ in MALFORMED}) == len(MALFORMED)
    assert {rule for _, _, rule in MALFORMED} <= set(RULES)
    structural = {rule for rule in RULES if rule.startswith("safetensors-") and "-metadata-" not in rule}
    untested = structural - {rule for _, _, rule in MALFORMED}
    assert untested == {"safetensors-header-limit", "safetensors-not-safetensors", "safetensors-zip-polyglot"}


@each(("data", "rule"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
def test_a_malformed_file_is_refused_by_its_rule_and_reported_bad(data: bytes, rule: str) -> None:
    with pytest.raises(HeaderProblem) as caught:
        read_header(Bytes(data))
    assert caught.value.rule == rule
    assert not caught.value.transient
    report = answer(SafetensorsStructure(), Bytes(data))
    assert report is not None
    assert [finding.rule for finding in report.findings] == [rule]
    expected = Verdict.UNKNOWN if rule == "safetensors-header-values" else Verdict.BAD
    assert report.verdict is expected
    assert report.findings[0].severity is RULES[rule].severity
    json.dumps([finding.to_json() for finding in report.findings], ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ("safetensors-hole", Malformed),
        ("safetensors-overlap", Ambiguous),
        ("safetensors-duplicate-key", Ambiguous),
        ("safetensors-header-nesting", LimitExceeded),
        ("safetensors-truncated", Truncated),
    ],
)
def test_problems_are_of_the_error_tree(rule: str, kind: type[Exception]) -> None:
    data = next(data for _, data, named in MALFORMED if named == rule)
    with pytest.raises(kind) as caught:
        read_header(Bytes(data))
    assert isinstance(caught.value, FormatError)


def test_a_header_over_the_limit_is_refused_before_it_is_read() -> None:
    reader = Bytes(struct.pack("<Q", MAX_HEADER_BYTES + 1) + b"{", claimed=MAX_HEADER_BYTES + 100)
    with pytest.raises(HeaderProblem) as caught:
        read_header(reader)
    assert caught.value.rule == "safetensors-header-limit"
    assert reader.reads == [(0, 8)]


def test_a_reader_that_breaks_its_promise_is_no_fault_of_the_file() -> None:
    with pytest.raises(Truncated) as caught:
        read_header(Bytes(GOOD[:20], claimed=len(GOOD)))
    assert not isinstance(caught.value, HeaderProblem)
    reports = inspect_artifact(Bytes(GOOD[:20], claimed=len(GOOD))).reports
    assert {report.verdict for report in reports} == {Verdict.UNKNOWN}
    assert {f.rule for report in reports for f in report.findings} == {"inspector-could-not-answer"}


def test_a_good_header_is_read_in_two_reads_and_comes_in_order_of_bytes() -> None:
    header = {
        "__metadata__": {"format": "pt", "ü": "日本 \U0001f600"},
        "z": tensor("BF16", [2, 3], [4, 16]),
        "empty": tensor("F32", [0, 7], [4, 4]),
        "a": tensor("I32", [], [0, 4]),
    }
    data = file_of(json.dumps(header, ensure_ascii=False).encode() + b"     ", bytes(16))
    reader = Bytes(data)
    read = read_header(reader)
    assert read.tensors == (
        TensorEntry("a", "I32", (), 0, 4),
        TensorEntry("empty", "F32", (0, 7), 4, 4),
        TensorEntry("z", "BF16", (2, 3), 4, 16),
    )
    assert read.metadata == header["__metadata__"]
    assert read.header_bytes == len(data) - 8 - 16
    assert reader.reads == [(0, 8), (8, read.header_bytes)]


@each("dtype", sorted(DTYPE_BITS))
def test_every_type_has_the_size_the_reference_gives_it(dtype: str) -> None:
    bits = DTYPE_BITS[dtype]
    data = file_of({"a": tensor(dtype, [8, 3], [0, 3 * bits])}, bytes(3 * bits))
    assert read_header(Bytes(data)).tensors[0].shape == (8, 3)
    assert safetensors.deserialize(data)[0][1]["dtype"] == dtype


def test_files_of_the_reference_are_clean_with_full_coverage() -> None:
    arrays = {f"layer.{i}.weight": numpy.ones(i * 7, dtype=t) for i, t in enumerate(["f4", "i8", "u1", "f2", "?"])}
    data = safetensors.numpy.save(arrays, metadata={"format": "np"})
    reports = {report.inspector: report for report in inspect_artifact(Bytes(data)).reports}
    assert {report.verdict for report in reports.values()} == {Verdict.CLEAN}
    structure = reports["safetensors-structure"]
    assert structure.coverage.complete
    assert structure.coverage.present_bytes == len(data)
    assert (structure.findings, structure.kind, reports["file-kinds"].kind) == ((), "safetensors", "safetensors")


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda name: name != "__metadata__")
shapes = st.lists(st.integers(0, 4), max_size=4)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Valid files: any types, any order in the header, metadata or none, padding or none."""
    header: dict[str, object] = {}
    position = 0
    for name in draw(st.lists(names, unique=True, max_size=5)):
        dtype, shape = draw(st.sampled_from(sorted(DTYPE_BITS))), [*draw(shapes), 4]
        count = 1
        for dimension in shape:
            count *= dimension
        size = count * DTYPE_BITS[dtype] // 8
        header[name] = tensor(dtype, shape, [position, position + size])
        position += size
    header = {key: header[key] for key in draw(st.permutations(list(header)))}
    if draw(st.booleans()):
        header["__metadata__"] = draw(st.dictionaries(names, names, max_size=3))
    text = json.dumps(header, ensure_ascii=draw(st.booleans())).encode() + b" " * draw(st.integers(0, 9))
    return file_of(text, draw(st.binary(min_size=position, max_size=position)))


def agree(data: bytes) -> None:
    """The reference reads the same tensors, with the same bytes, out of what we accept."""
    header = read_header(Bytes(data))
    start = 8 + header.header_bytes
    ours = {t.name: (t.dtype, t.shape, data[start + t.begin : start + t.end]) for t in header.tensors}
    reference = safetensors.deserialize(data)
    theirs = {name: (t["dtype"], tuple(t["shape"]), bytes(t["data"])) for name, t in reference}
    assert ours == theirs
    assert sum(len(part) for _, _, part in ours.values()) == len(data) - start


@settings(max_examples=200, deadline=None)
@given(files())
def test_what_is_valid_is_accepted_as_the_reference_reads_it(data: bytes) -> None:
    agree(data)


@settings(max_examples=200, deadline=None)
@given(files(), st.binary(min_size=1, max_size=1), st.data())
def test_one_byte_more_or_less_is_never_clean(data: bytes, extra: bytes, draw: st.DataObject) -> None:
    for changed in (data + extra, data[:-1], data[: draw.draw(st.integers(0, len(data) - 1))]):
        report = answer(SafetensorsStructure(), Bytes(changed))
        assert report is not None
        assert report.verdict is Verdict.BAD


def verdict_or_agreement(data: bytes) -> None:
    report = answer(SafetensorsStructure(), Bytes(data))
    assert report is not None
    if report.verdict is Verdict.CLEAN:
        agree(data)
    else:
        assert report.findings
        assert all(finding.rule in RULES for finding in report.findings)


@settings(max_examples=400, deadline=None)
@given(files(), st.data())
def test_a_damaged_file_is_refused_with_a_rule_or_read_as_the_reference_reads_it(data: bytes, draw) -> None:
    start = draw.draw(st.integers(0, len(data)))
    end = draw.draw(st.integers(start, min(len(data), start + 4)))
    verdict_or_agreement(data[:start] + draw.draw(st.binary(max_size=4)) + data[end:])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 1 << 65) | st.floats() | st.text(max_size=4) | st.sampled_from(["U8"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["dtype", "shape", "x"]), inner),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(json_values, json_values, json_values, st.binary(max_size=8))
@example("U8", [2], [0, 2], b"12")
def test_odd_values_in_a_description_are_refused_with_a_rule_or_agreed_on(dtype, shape, offsets, data: bytes) -> None:
    verdict_or_agreement(file_of({"a": tensor(dtype, shape, offsets)}, data))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=64))
def test_noise_is_refused_with_a_rule(noise: bytes) -> None:
    verdict_or_agreement(noise)
    verdict_or_agreement(file_of(b"{" + noise))


def test_a_hundred_thousand_tensors_are_read() -> None:
    header = {f"layers.{i}.experts.weight": tensor("F8_E4M3", [1, 2], [2 * i, 2 * i + 2]) for i in range(100_000)}
    assert len(read_header(Bytes(file_of(header, bytes(200_000)))).tensors) == 100_000


@pytest.mark.parametrize("comment", [b"", b"a comment of the archive"])
def test_a_file_that_is_also_a_zip_archive_is_bad(comment: bytes) -> None:
    import io
    import zipfile

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("archive/data.pkl", b"cos\nsystem\n(S'id'\ntR.")
        writer.comment = comment
    inside = archive.getvalue()
    data = file_of({"a": tensor(shape=[len(inside)], offsets=[0, len(inside)])}, inside)
    agree(data)  # the reference sees nothing odd
    with zipfile.ZipFile(io.BytesIO(data)) as reader:
        assert reader.namelist() == ["archive/data.pkl"]
    report = answer(SafetensorsStructure(), Bytes(data))
    assert report is not None
    assert (report.verdict, [f.rule for f in report.findings]) == (Verdict.BAD, ["safetensors-zip-polyglot"])


def test_the_letters_of_a_zip_in_a_tensor_are_no_zip() -> None:
    inside = b"PK\x05\x06" + bytes(18)
    data = file_of({"a": tensor(shape=[len(inside)], offsets=[0, len(inside)])}, inside)
    report = answer(SafetensorsStructure(), Bytes(data))
    assert report is not None
    assert report.verdict is Verdict.CLEAN


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04" + bytes(60),
        b"\x80\x04\x95" + bytes(60),
        b"GGUF" + bytes(60),
        b"<html>not found</html>\n",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12\n",
        b"\x7fELF" + bytes(60),
    ],
)
def test_another_format_under_the_name_is_critical(content: bytes) -> None:
    report = answer(SafetensorsStructure(), Bytes(content, path="sub/Model.SafeTensors"))
    assert report is not None
    assert report.verdict is Verdict.BAD
    assert [(f.rule, f.severity) for f in report.findings] == [("safetensors-not-safetensors", Severity.CRITICAL)]


def test_files_of_other_formats_are_none_of_its_business() -> None:
    assert answer(SafetensorsStructure(), Bytes(b"# hello\n", path="README.md")) is None
    assert answer(SafetensorsStructure(), Bytes(b"{}", path="model.safetensors.index.json")) is None


# --- headers that are read through a window ---------------------------------------------------------------

MANY = 12_000
PADDING = ["", " ", "\n\t "]


def many(*, metadata: object = None, spaces: str = "", reverse: bool = False) -> dict[str, object]:
    """The header of so many tensors that it does not fit into the window; none of them is where another one is."""
    header: dict[str, object] = {} if metadata is None else {"__metadata__": metadata}
    names = [f"layers.{number}.é.weight{'x' * (number % 50)}" for number in range(MANY)]
    tensors = {name: tensor("U8", [1, 2], [2 * n, 2 * n + 2]) for n, name in enumerate(names)}
    return header | dict(reversed(tensors.items()) if reverse else tensors.items())


def written(header: dict[str, object], separators: tuple[str, str] = (",", ":"), *, ascii_only: bool = False) -> bytes:
    return json.dumps(header, separators=separators, ensure_ascii=ascii_only).encode()


def both(header: bytes, data: bytes = bytes(2 * MANY)) -> str:
    """What both ways of reading say of it: "" when it holds, else the rule."""
    assert len(header) > WHOLE_BYTES
    said = []
    for reading in (read_header, survey):
        try:
            found = reading(Bytes(file_of(header, data)))
        except HeaderProblem as problem:
            said.append(problem.rule)
        else:
            tensors = found.tensors if isinstance(found.tensors, int) else len(found.tensors)
            said.append(f"{tensors} {dict(found.metadata)}")
    assert said[0] == said[1]
    return said[0]


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\n", "\t: ")])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_long_header_is_read_as_a_short_one_is(separators: tuple[str, str], reverse: bool) -> None:
    metadata = {"format": "pt", "long": 'a "quoted" \\ text é ' * 500}
    header = many(metadata=metadata, reverse=reverse)
    assert both(written(header, separators)) == f"{MANY} {metadata}"
    assert both(written(header, separators, ascii_only=True) + b" " * 3_000_000) == f"{MANY} {metadata}"


def test_an_empty_object_with_much_padding_is_a_header() -> None:
    assert both(b"{" + b" " * 3_000_000 + b"}", b"") == "0 {}"
    assert both(b"{}" + b" " * 3_000_000, b"") == "0 {}"


@each(
    ("change", "rule"),
    [
        (lambda header: header[:-1], "safetensors-header-json"),
        (lambda header: header[:-1] + b",}", "safetensors-header-json"),
        (lambda header: header[:-1] + b' ,"x"}', "safetensors-header-json"),
        (lambda header: header + b" x", "safetensors-header-padding"),
        (lambda header: header + b"\n", "safetensors-header-padding"),
        (lambda header: header[:-1] + b"," + header[1:90].partition(b"},")[0] + b"}}", "safetensors-duplicate-key"),
        (
            lambda header: header[:-1] + b',"y":{"dtype":"U8","shape":[-1],"data_offsets":[0,0]}}',
            "safetensors-negative",
        ),
        (
            lambda header: header[:-1] + b',"y":{"dtype":"U8","shape":[01],"data_offsets":[0,1]}}',
            "safetensors-header-json",
        ),
        (
            lambda header: header[:-1] + b',"y":{"dtype":"U9","shape":[1],"data_offsets":[0,1]}}',
            "safetensors-unknown-dtype",
        ),
        (
            lambda header: header[:-1] + b',"y":{"dtype":"U8","shape":[2],"data_offsets":[0,1]}}',
            "safetensors-size-mismatch",
        ),
        (lambda header: header[:-1] + b',"y":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', "safetensors-overlap"),
        (
            lambda header: header[:-1] + b',"y":{"dtype":"U8","shape":[1],"data_offsets":[30000,30001]}}',
            "safetensors-hole",
        ),
        (
            lambda header: header[:-1] + b',"y\\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
            "safetensors-name",
        ),
        (lambda header: header[:-1] + b',"y":' + b"[" * 100_000 + b"}", "safetensors-header-nesting"),
        (lambda header: header[:-1] + b',"y":7}', "safetensors-entry"),
        (lambda header: header[:-1] + b',"\xff":7}', "safetensors-header-encoding"),
        (lambda header: b" " + header, "safetensors-header-start"),
    ],
)
def test_a_long_header_is_refused_as_a_short_one_is(change, rule: str) -> None:
    assert both(change(written(many()))) == rule


def test_data_that_a_long_header_does_not_account_for() -> None:
    assert both(written(many()), bytes(2 * MANY + 1)) == "safetensors-trailing-data"
    assert both(written(many()), bytes(2 * MANY - 1)) == "safetensors-truncated"
    assert both(written(many(reverse=True)), bytes(2 * MANY + 1)) == "safetensors-trailing-data"


def test_a_long_header_is_never_held_whole() -> None:
    reader = Bytes(file_of(written(many()) + b" " * 20_000_000, bytes(2 * MANY)))
    assert survey(reader).tensors == MANY
    assert max(length for _, length in reader.reads) <= 1024 * 1024


def test_one_member_larger_than_is_read_is_unknown() -> None:
    header = written(many(metadata={"a": "x" * 20_000_000}))
    report = answer(SafetensorsStructure(), Bytes(file_of(header, bytes(2 * MANY))))
    assert report is not None
    assert (report.verdict, [f.rule for f in report.findings]) == (Verdict.UNKNOWN, ["safetensors-header-values"])
