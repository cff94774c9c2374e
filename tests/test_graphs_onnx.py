"""ONNX: what calls out, reaches out or hides does not pass; what exporters write does."""

from __future__ import annotations

import contextlib
import io
import random
import zipfile

import pytest

from tests.support.cases import each
from tests.support.graphs import attribute, external, f, node, onnx_model, stored, tensor, varint
from tests.support.inspecting import Bytes, answer, examined, subject_of
from weighbridge.core.errors import FormatError, IntegrityError
from weighbridge.core.finding import Verdict
from weighbridge.inspectors.graphs.onnx import Onnx


def zip_of(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, b"x")
    return out.getvalue()


def subgraph(inner: bytes) -> bytes:
    return node("If", attribute("then_branch", f(6, inner), f(20, 5)))


def nested(depth: int, inner: bytes) -> bytes:
    for _ in range(depth):
        inner = subgraph(inner)
    return inner


def function(name: str, domain: str, *body: bytes) -> bytes:
    return f(25, f(1, name) + b"".join(body) + f(10, domain))


WHERE = ("location", "w.bin")
BAD = Verdict.BAD
UNKNOWN = Verdict.UNKNOWN
CASES: tuple[tuple[str, bytes, str, Verdict], ...] = (
    *((f"code {op} {domain}", onnx_model(node(op, domain=domain)), "code-operator", BAD) for op, domain in (
        ("PythonOp", "com.microsoft"), ("PythonOpGrad", "com.microsoft"), ("PyOp", "ai.onnx.contrib"),
        ("PyCustomOp", "ai.onnx.contrib"), ("ATen", "org.pytorch.aten"), ("ATen", "com.microsoft"), ("ATenOp", ""),
    )),
    *((f"outside {path}", onnx_model(external(("location", path))), "external-path", BAD) for path in (
        "/etc/passwd", "../../etc/passwd", "a/../../b", "..\\..\\b", "C:\\windows\\win.ini", "\\\\host\\share\\x", "~/.ssh/id_rsa",
        "file:///etc/passwd", "http://host/w.bin", "https://host/w", "*/_ORT_MEM_ADDR_/*", "", "a\x00b", "$HOME/x", "%APPDATA%/x",
        "s3://bucket/w", "a/b/..", "./../w",
    )),
    ("no location", onnx_model(external(("offset", "0"))), "external-path", BAD),
    ("basepath", onnx_model(external(WHERE, ("basepath", "/etc"))), "external-path", BAD),
    ("constant outside", onnx_model(node("Constant", attribute("value", f(5, external(("location", "/etc/passwd"))[2:]), f(20, 4)))),
     "external-path", BAD),
    ("outside in a subgraph", onnx_model(nested(3, external(("location", "/etc/passwd")))), "external-path", BAD),
    ("outside in a function", onnx_model(node("F", domain="my"), more=function(
        "F", "my", f(7, node("Constant", attribute("value", f(5, external(("location", "../x"))[2:])))[2:]))), "external-path", BAD),
    ("sparse outside", onnx_model(f(15, f(1, external(("location", "/x"))[2:]))), "external-path", BAD),
    ("training outside", onnx_model(more=f(20, f(1, external(("location", "/x"))))), "external-path", BAD),
    ("engine context outside", onnx_model(node("EPContext", attribute("embed_mode", f(3, 0)), attribute(
        "ep_cache_context", f(4, "/opt/evil.bin")), domain="com.microsoft")), "external-path", BAD),
    ("second of many is outside", onnx_model(external(WHERE), external(("location", "/x"))), "external-path", BAD),
    *((f"entry {key}", onnx_model(external(WHERE, (key, value))), "external-entry", BAD) for key, value in (
        ("__class__", "x"), ("offset", "-1"), ("offset", "1e9"), ("length", "0x10"), ("offset", " 5"), ("length", "9" * 40),
    )),
    ("location twice", onnx_model(external(WHERE, ("location", "v.bin"))), "external-entry", BAD),
    ("external length", onnx_model(external(WHERE, ("length", "15"))), "tensor-size", BAD),
    ("raw and external", onnx_model(external(WHERE, more=f(9, b"1234"))), "tensor-size", BAD),
    ("raw too short", onnx_model(tensor(bytes(12), 4)), "tensor-size", BAD),
    ("raw too long", onnx_model(tensor(bytes(4096), 4)), "tensor-size", BAD),
    ("negative dimension", onnx_model(tensor(bytes(16), -4)), "tensor-size", BAD),
    ("raw texts", onnx_model(tensor(b"abc", 3, data_type=8)), "tensor-size", BAD),
    ("huge dimensions", onnx_model(tensor(bytes(16), 1 << 62, 1 << 62)), "tensor-size", BAD),
    ("standard override", onnx_model(more=function("Relu", "")), "function-override", BAD),
    ("standard override, named", onnx_model(more=function("MatMul", "ai.onnx")), "function-override", BAD),
    ("ml override", onnx_model(more=function("Scaler", "ai.onnx.ml")), "function-override", BAD),
    ("runtime override", onnx_model(more=function("FastGelu", "com.microsoft")), "function-override", BAD),
    ("two graphs", onnx_model(more=f(7, node())), "repeated-field", BAD),
    ("two versions", onnx_model(more=f(1, 3)), "repeated-field", BAD),
    ("zip behind", onnx_model() + f(6, zip_of("a")), "zip-polyglot", BAD),
    ("no graph", f(1, 9) + f(2, "pytorch"), "not-readable", BAD),
    ("cut", onnx_model()[:-3], "not-readable", BAD),
    ("garbage behind", onnx_model() + b"\xff\xff\xff", "not-readable", BAD),
    ("group", onnx_model(more=b"\x0b\x0c"), "not-readable", BAD),
    ("long varint", onnx_model(more=b"\x28" + b"\xff" * 10 + b"\x01"), "not-readable", BAD),
    ("field zero", onnx_model(more=b"\x00\x00"), "not-readable", BAD),
    ("length beyond", onnx_model(more=b"\x32\xff\x01abc"), "not-readable", BAD),
    ("unknown field", onnx_model(more=f(99, b"payload")), "unknown-field", UNKNOWN),
    ("unknown field in a node", onnx_model(node("Relu", f(77, "x"))), "unknown-field", UNKNOWN),
    ("wrong wire type", onnx_model(more=f(14, 5)), "unknown-field", UNKNOWN),
    ("custom domain", onnx_model(node("Magic", domain="my.ops")), "custom-operator", UNKNOWN),
    ("extensions", onnx_model(node("BertTokenizer", domain="ai.onnx.contrib")), "custom-operator", UNKNOWN),
    ("custom in a subgraph", onnx_model(nested(5, node("Magic", domain="my.ops"))), "custom-operator", UNKNOWN),
    ("standard domain, no such operator", onnx_model(node("System")), "unknown-operator", UNKNOWN),
    ("runtime domain, no such operator", onnx_model(node("Shell", domain="com.microsoft")), "unknown-operator", UNKNOWN),
    ("engine context", onnx_model(node("EPContext", domain="com.microsoft")), "engine-program", UNKNOWN),
    ("snpe", onnx_model(node("Snpe", domain="com.microsoft")), "engine-program", UNKNOWN),
    ("deep", onnx_model(nested(40, node())), "not-understood", UNKNOWN),
)  # fmt: skip


@each(("data", "rule", "verdict"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_hostile_model_breaks_its_rule(data: bytes, rule: str, verdict: Verdict) -> None:
    report = answer(Onnx(), Bytes("model.onnx", data))
    assert report is not None
    worst = max(finding.severity for finding in report.findings)
    assert {finding.rule for finding in report.findings if finding.severity is worst} == {f"onnx-{rule}"}
    assert report.settled_verdict is verdict
    assert examined("model.onnx", data).verdict is not Verdict.CLEAN


BENIGN = {
    "logisticregression.onnx": stored("logisticregression.onnx"),
    "randomforestclassifier.onnx": stored("randomforestclassifier.onnx"),
    "mm.onnx": stored("mm.onnx"),
    "ext.onnx": stored("ext.onnx"),
    "subgraphs": onnx_model(nested(8, node())),
    "runtime operators": onnx_model(node("FastGelu", domain="com.microsoft"), node("QLinearAdd", domain="com.microsoft")),
    "fused": onnx_model(node("Conv", domain="com.microsoft.nchwc")),
    "own function": onnx_model(node("F", domain="pkg.mine"), more=function("F", "pkg.mine", f(7, node()[2:]))),
    "own domain in subgraph": onnx_model(nested(2, node("F", domain="p")), more=function("F", "p")),
    "metadata": onnx_model(more=f(14, f(1, "author") + f(2, "me")) + f(6, "words")),
    "half precision": onnx_model(tensor(bytes(8), 2, 2, data_type=10)),
    "four bits": onnx_model(tensor(bytes(2), 3, data_type=22)),
    "single value": onnx_model(tensor(bytes(4))),
    "packed dimensions": onnx_model(f(5, f(1, varint(2) + varint(3)) + f(2, 1) + f(9, bytes(24)))),
    "external with all": onnx_model(external(("location", "dir/w.bin"), ("offset", "4096"), ("length", "16"), ("checksum", "ab"))),
    "old experimental": onnx_model(node("Affine")),
}  # fmt: skip


@each("name", BENIGN)
def test_what_exporters_write_is_clean(name: str) -> None:
    report = answer(Onnx(), Bytes("model.onnx", BENIGN[name]))
    assert report is not None
    assert (report.findings, report.settled_verdict) == ((), Verdict.CLEAN)
    assert report.coverage.complete


def test_the_whole_registry_agrees_on_a_real_model() -> None:
    found = examined("model.onnx", stored("randomforestclassifier.onnx"))
    assert found.verdict is Verdict.CLEAN
    assert [finding for report in found.reports for finding in report.findings] == []


def test_a_file_beside_the_model_is_a_fact_for_the_repository() -> None:
    subject = subject_of(Bytes("model.onnx", stored("ext.onnx")))
    Onnx().inspect(subject)
    assert [(fact.kind, fact.value) for fact in subject.facts] == [("file-reference", "ext.bin")]


def test_training_is_worth_a_word() -> None:
    report = answer(Onnx(), Bytes("model.onnx", onnx_model(more=f(20, f(1, node())))))
    assert report is not None
    assert {finding.rule for finding in report.findings} == {"onnx-training"}
    assert report.settled_verdict is Verdict.CLEAN


def test_tensors_are_inert_and_never_read() -> None:
    data = onnx_model(tensor(bytes(4_000_000), 1000, 1000))
    reader = Bytes("model.onnx", data)
    subject = subject_of(reader)
    report = Onnx().inspect(subject)
    assert report is not None
    assert report.settled_verdict is Verdict.CLEAN
    assert reader.read_bytes < 300_000
    assert sum(span.end - span.start for span in subject.inert_spans) == 4_000_000


def test_other_files_are_none_of_its_business() -> None:
    for name, data in (
        ("a.bin", b"\x00\x01\x02"),
        ("README.md", b"# ONNX\n"),
        ("m.onnx", b""),
        ("m.pb", stored("frozen.pb")),
    ):
        assert answer(Onnx(), Bytes(name, data)) is None


def test_millions_of_operators_are_not_followed_to_their_end() -> None:
    data = b"\x08\x07" + f(7, f(1, f(4, "Add")) * 500_000)
    reader = Bytes("m.onnx", data)
    report = answer(Onnx(), reader)
    assert report is not None
    assert report.verdict is Verdict.UNKNOWN
    assert reader.read_bytes < len(data) / 2


def test_many_findings_of_one_rule_are_cut() -> None:
    report = answer(Onnx(), Bytes("m.onnx", onnx_model(*(node(f"Op{i}", domain="x") for i in range(500)))))
    assert report is not None
    assert len(report.findings) <= 20


@pytest.mark.parametrize("name", ["mm.onnx", "randomforestclassifier.onnx"])
def test_mutations_never_break_out(name: str) -> None:
    original, dice = stored(name), random.Random(7)
    for _ in range(300):
        data = bytearray(original)
        for _ in range(dice.randint(1, 6)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        reader = Bytes("m.onnx", bytes(data[: dice.randrange(len(data) // 2, len(data) + 1)]))
        with contextlib.suppress(FormatError, IntegrityError):
            answer(Onnx(), reader)
        assert reader.read_bytes <= 8 * len(data) + 300_000


@each("case", [case for case in CASES if case[3] is BAD and len(case[1]) < 4000], ids=lambda case: case[0])
def test_a_byte_more_or_less_never_makes_a_bad_model_clean(case: tuple[str, bytes, str, Verdict]) -> None:
    for data in (case[1][:-1], case[1] + b"\0", case[1] + b"A"):
        report = answer(Onnx(), Bytes("model.onnx", data))
        assert report is None or report.settled_verdict is not Verdict.CLEAN


def test_a_forest_of_a_million_nodes_passes() -> None:
    """Exporters of tree ensembles write each number as a field of its own: nine a node."""
    count = 1_000_000
    forest = attribute("nodes_values", b"\x3d\x00\x00\x80\x3f" * count, f(20, 6))
    forest += attribute("nodes_featureids", b"\x40\x07\x40\x87\x01" * (count // 2), f(20, 7))
    forest += attribute("nodes_modes", f(9, "BRANCH_LEQ") * (count // 2) + f(9, "LEAF") * (count // 2), f(20, 8))
    data = onnx_model(node("TreeEnsembleRegressor", forest, domain="ai.onnx.ml"))
    found = answer(Onnx(), Bytes("model.onnx", data))
    assert found is not None
    assert (found.verdict, found.findings, found.coverage.complete) == (Verdict.CLEAN, (), True)
