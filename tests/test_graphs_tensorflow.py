"""TensorFlow: operations that do more than compute do not pass; what TensorFlow itself saves does."""

from __future__ import annotations

import contextlib
import io
import json
import random
import zipfile

import pytest

from tests.support.cases import each
from tests.support.graphs import (
    f,
    graph_def,
    keras_metadata,
    saved_model,
    stored,
    tf_attr,
    tf_function,
    tf_node,
    tf_text,
)
from tests.support.inspecting import Bytes, answer, examined, subject_of
from weighbridge.core.errors import FormatError, IntegrityError
from weighbridge.core.finding import Verdict
from weighbridge.formats.kinds import kind_of
from weighbridge.formats.tensorflow_ops import REGISTERED
from weighbridge.inspectors.graphs import tensorflow_dangers as dangers
from weighbridge.inspectors.graphs.tensorflow import TensorFlow

BAD = Verdict.BAD
UNKNOWN = Verdict.UNKNOWN
PB = "saved_model.pb"


def zip_of(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, b"x")
    return out.getvalue()


def asset(name: str, tensor: str = "a:0") -> bytes:
    return f(6, f(1, f(1, tensor)) + f(2, name))


def save_at(text: str, op: str = "SaveV2") -> bytes:
    return tf_text("path", text) + tf_node("id", "Identity", "path") + tf_node("s", op, "id", "names", "slices", "v")


LAMBDA = json.dumps(
    {
        "class_name": "Lambda",
        "config": {"function": ["4wAAAAAAAAAAAAAAAAAAAA==", None, None], "function_type": "lambda"},
    }
)
PRINT = tf_node("p", "PrintV2", "x", attrs=tf_attr("output_stream", f(2, "file:///etc/profile")))
CASES: tuple[tuple[str, str, bytes, str, Verdict], ...] = (
    *((f"python {op}", PB, saved_model(tf_node("n", op)), "tensorflow-python-operation", BAD) for op in sorted(dangers.PYTHON)),
    *((f"file {op}", PB, saved_model(tf_node("n", op)), "tensorflow-file-operation", BAD) for op in sorted(dangers.FILES)),
    *((f"network {op}", PB, saved_model(tf_node("n", op)), "tensorflow-network-operation", BAD) for op in sorted(dangers.NETWORK)),
    *((f"nested {op}", PB, saved_model(tf_node("n", op)), "tensorflow-nested-program", UNKNOWN) for op in sorted(dangers.NESTED)),
    ("print to a file", PB, saved_model(PRINT), "tensorflow-file-operation", BAD),
    ("in a function", PB, saved_model(library=tf_function("f", tf_node("n", "ReadFile", number=3))), "tensorflow-file-operation", BAD),
    ("frozen graph", "model.pb", graph_def(tf_node("n", "WriteFile", attrs=tf_attr("T", f(6, 7)))), "tensorflow-file-operation", BAD),
    ("frozen, another name", "weights.bin", graph_def(tf_node("n", "WriteFile", attrs=tf_attr("T", f(6, 7)))), "tensorflow-file-operation", BAD),
    ("saved model, another name", "model.bin", saved_model(tf_node("n", "ReadFile")), "tensorflow-file-operation", BAD),
    ("saved model as onnx", "model.onnx", saved_model(tf_node("n", "ReadFile")), "tensorflow-file-operation", BAD),
    ("second meta graph", PB, saved_model(more=f(2, f(1, f(4, "train")) + f(2, graph_def(tf_node("n", "PyFunc"))))), "tensorflow-python-operation", BAD),
    ("custom", PB, saved_model(tf_node("n", "SentencepieceOp")), "tensorflow-custom-operation", UNKNOWN),
    ("custom in a function", PB, saved_model(library=tf_function("f", tf_node("n", "Magic", number=3))), "tensorflow-custom-operation", UNKNOWN),
    ("override", PB, saved_model(library=tf_function("Identity", tf_node("n", "Relu", number=3))), "tensorflow-function-override", BAD),
    *((f"{op} at {text}", PB, saved_model(save_at(text, op)), "tensorflow-fixed-path", BAD) for op, text in (
        ("SaveV2", "/etc/ssh/authorized_keys"), ("RestoreV2", "/etc/shadow"), ("Save", "../../x"), ("SaveV2", "gs://bucket/x"),
        ("RestoreV2", "~/x/y"), ("SaveSlices", "s3://x/y"), ("MergeV2Checkpoints", "/x"), ("SaveV2", "C:\\x"), ("Restore", "a/../../b"),
    )),
    ("joined path", PB, saved_model(tf_text("a", "/etc/"), tf_text("b", "x"), tf_node("j", "StringJoin", "a", "b"), tf_node("s", "SaveV2", "j")),
     "tensorflow-fixed-path", BAD),
    ("table at a path", PB, saved_model(tf_text("p", "/etc/passwd"), tf_node("t", "InitializeTableFromTextFileV2", "h", "p")),
     "tensorflow-fixed-path", BAD),
    ("cache at a path", PB, saved_model(tf_text("p", "/tmp/x/y"), tf_node("t", "CacheDataset", "h", "p")), "tensorflow-fixed-path", BAD),
    ("path as a constant", PB, saved_model(tf_text("p", "/etc/passwd")), "tensorflow-path-constant", UNKNOWN),
    ("address as a constant", PB, saved_model(tf_text("p", "https://host/x")), "tensorflow-path-constant", UNKNOWN),
    ("asset outside", PB, saved_model(meta=asset("../../etc/passwd")), "tensorflow-asset-path", BAD),
    ("asset absolute", PB, saved_model(meta=asset("/etc/passwd")), "tensorflow-asset-path", BAD),
    ("asset nameless", PB, saved_model(meta=asset("")), "tensorflow-asset-path", BAD),
    ("unknown field", PB, saved_model(more=f(50, b"payload")), "tensorflow-unknown-field", UNKNOWN),
    ("zip behind", PB, saved_model(more=f(3, zip_of("a"))), "tensorflow-zip-polyglot", BAD),
    ("cut", PB, saved_model(tf_node("n", "Relu"))[:-2], "tensorflow-not-readable", BAD),
    ("garbage behind", PB, saved_model() + b"\xff\xff", "tensorflow-not-readable", BAD),
    ("real model that reads files", PB, stored("files.saved_model.pb"), "tensorflow-file-operation", BAD),
    ("keras lambda", "keras_metadata.pb", keras_metadata('{"class_name": "Sequential", "config": {}}', LAMBDA), "keras-bytecode", BAD),
    ("keras lambda, real", "keras_metadata.pb", stored("lambda.keras_metadata.pb"), "keras-bytecode", BAD),
    ("keras lambda, another name", "x.pb", stored("lambda.keras_metadata.pb"), "keras-bytecode", BAD),
    ("keras lambda in the object graph", PB, saved_model(meta=f(7, f(1, f(4, f(1, "_tf_keras_layer") + f(3, LAMBDA))))), "keras-bytecode", BAD),
    ("keras ambiguous", "keras_metadata.pb", keras_metadata('{"class_name": "Dense", "class_name": "Lambda", "config": {}}'), "keras-ambiguous", BAD),
    ("text", "saved_model.pbtxt", b'saved_model_schema_version: 1\nmeta_graphs {\n graph_def { node { name: "n" op: "WriteFile" } } }',
     "tensorflow-file-operation", BAD),
    ("text, harmless", "graph.pbtxt", b'node {\n name: "n"\n op: "Relu"\n}\n', "tensorflow-not-understood", UNKNOWN),
)  # fmt: skip


@each(("name", "data", "rule", "verdict"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_hostile_graph_breaks_its_rule(name: str, data: bytes, rule: str, verdict: Verdict) -> None:
    report = answer(TensorFlow(), Bytes(name, data))
    assert report is not None
    worst = max(finding.severity for finding in report.findings)
    assert {finding.rule for finding in report.findings if finding.severity is worst} == {rule}
    assert report.settled_verdict is verdict


@each(
    "case", [case for case in CASES if case[0].startswith(("real", "keras", "frozen", "cut"))], ids=lambda case: case[0]
)
def test_the_whole_registry_blocks_it_too(case: tuple[str, str, bytes, str, Verdict]) -> None:
    assert examined(case[1], case[2]).verdict is not Verdict.CLEAN


BENIGN = {
    "v1.saved_model.pb": (PB, stored("v1.saved_model.pb")),
    "a table with its asset": (PB, stored("vocab.saved_model.pb")),
    "exported by Keras 3": (PB, stored("keras3.saved_model.pb")),
    "saved by Keras 2": (PB, stored("keras2.saved_model.pb")),
    "keras_metadata.pb": ("keras_metadata.pb", stored("keras2.keras_metadata.pb")),
    "fingerprint.pb": ("fingerprint.pb", stored("keras2.fingerprint.pb")),
    "frozen.pb": ("frozen.pb", stored("frozen.pb")),
    "model.ckpt.meta": ("model.ckpt.meta", stored("model.ckpt.meta")),
    "an index": ("variables.index", stored("variables.index")),
    "an index of TensorFlow 1": ("model.ckpt.index", stored("model.ckpt.index")),
    "a data file": ("variables.data-00000-of-00001", stored("variables.data-00000-of-00001")),
    "save at a relative default": (PB, saved_model(save_at("model"))),
    "print": (PB, saved_model(tf_node("p", "PrintV2", "x", attrs=tf_attr("output_stream", f(2, "stderr"))))),
    "call of an own function": (PB, saved_model(tf_node("n", "f"), library=tf_function("f", tf_node("n", "Relu", number=3)))),
    "asset constant of TensorFlow 1": (PB, saved_model(tf_text("a", "/tmp/vocab.txt"), meta=asset("vocab.txt"))),
    "words": (PB, saved_model(tf_text("a", "and/or"))),
    "custom class revived from the graph": ("keras_metadata.pb", keras_metadata('{"class_name": "MyModel", "config": {}}')),
}  # fmt: skip


@each("name", BENIGN)
def test_what_tensorflow_saves_is_clean(name: str) -> None:
    report = answer(TensorFlow(), Bytes(*BENIGN[name]))
    assert report is not None
    assert (report.findings, report.settled_verdict) == ((), Verdict.CLEAN)


def test_the_whole_registry_agrees_on_a_real_model() -> None:
    found = examined(PB, stored("keras2.saved_model.pb"))
    assert found.verdict is Verdict.CLEAN, [r for r in found.reports if r.findings]
    assert [finding for report in found.reports for finding in report.findings] == []


def test_restoring_is_registered_and_is_no_danger_by_itself() -> None:
    assert {"RestoreV2", "SaveV2", "ShardedFilename"} <= REGISTERED
    assert not (dangers.CHECKPOINTS & (dangers.FILES | dangers.NETWORK | dangers.PYTHON | dangers.NESTED))


def test_an_asset_is_a_fact_for_the_repository() -> None:
    subject = subject_of(Bytes(PB, stored("vocab.saved_model.pb")))
    TensorFlow().inspect(subject)
    assert [fact.value for fact in subject.facts] == ["assets/vocab.txt"]


def test_an_index_names_its_data_files() -> None:
    subject = subject_of(Bytes("variables/variables.index", stored("variables.index")))
    TensorFlow().inspect(subject)
    assert [fact.value for fact in subject.facts] == ["variables.data-00000-of-00001"]


def test_a_changed_index_is_never_clean_with_more_or_fewer_bytes() -> None:
    data = stored("variables.index")
    footer = data[-48:]
    for changed in (
        data[:-48] + b"payload" + footer,
        data[:-60] + footer,
        data + b"x",
        data[1:],
        data[:-20] + b"x" + data[-19:],
    ):
        report = answer(TensorFlow(), Bytes("variables.index", changed))
        assert report is None or report.settled_verdict is not Verdict.CLEAN
        assert examined("variables.index", changed).verdict is not Verdict.CLEAN


def test_a_pickle_under_a_data_files_name_is_no_tensor() -> None:
    data = b"\x80\x04\x95\x1d\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94."
    assert answer(TensorFlow(), Bytes("v.data-00000-of-00001", data)) is None
    assert examined("v.data-00000-of-00001", data).verdict is BAD


def test_the_path_that_reaches_an_operation_is_told() -> None:
    data = saved_model(tf_text("p", "/etc/passwd"), tf_node("r", "ReadFile", "p"))
    report = answer(TensorFlow(), Bytes(PB, data))
    assert report is not None
    assert any("'ReadFile' with '/etc/passwd'" in finding.message for finding in report.findings)


def test_tensors_are_inert_and_never_read() -> None:
    content = f(8, f(1, 1) + f(4, bytes(3_000_000)))
    reader = Bytes(PB, saved_model(tf_node("w", "Const", attrs=tf_attr("value", content))))
    subject = subject_of(reader)
    report = TensorFlow().inspect(subject)
    assert report is not None
    assert report.settled_verdict is Verdict.CLEAN
    assert sum(span.end - span.start for span in subject.inert_spans) == 3_000_000
    assert reader.read_bytes < 300_000


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("keras2.saved_model.pb", "saved-model"),
        ("v1.saved_model.pb", "saved-model"),
        ("frozen.pb", "graph-def"),
        ("keras2.keras_metadata.pb", "keras-metadata"),
        ("mm.onnx", "onnx"),
    ],
)
def test_content_tells_the_kind_whatever_the_name(name: str, kind: str) -> None:
    data = stored(name)
    assert {kind_of(path, data[:8192], len(data)).name for path in ("a.bin", "b", "c.dat")} == {kind}


def test_other_files_are_none_of_its_business() -> None:
    for name, data in (("x.pb", b"\x00\x01"), ("a.onnx", stored("mm.onnx")), ("b.pbtxt", b"words: 1\n"), ("c.pb", b"")):
        assert answer(TensorFlow(), Bytes(name, data)) is None


@pytest.mark.parametrize("name", ["v1.saved_model.pb", "lambda.keras_metadata.pb"])
def test_mutations_never_break_out(name: str) -> None:
    original, dice = stored(name), random.Random(11)
    for _ in range(60):
        data = bytearray(original)
        for _ in range(dice.randint(1, 6)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        reader = Bytes(name.partition(".")[2], bytes(data[: dice.randrange(len(data) // 2, len(data) + 1)]))
        with contextlib.suppress(FormatError, IntegrityError):
            answer(TensorFlow(), reader)
        assert reader.read_bytes <= 8 * len(data) + 300_000
