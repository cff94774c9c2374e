"""Keras: configurations that run, fetch or need what Keras does not have do not pass; those that Keras writes do."""

from __future__ import annotations

import contextlib
import json
import random

import pytest

from tests.support.cases import each
from tests.support.graphs import stored
from tests.support.inspecting import Bytes, answer, examined
from weighbridge.core.errors import FormatError
from weighbridge.core.finding import Verdict
from weighbridge.formats import keras_names
from weighbridge.inspectors.graphs.keras import Keras

CODE = "4wEAAAAAAAAAAAAAAAIAAAADAAAA8wwAAACXAHwAZAF6BQAAUwA="
BAD = Verdict.BAD
UNKNOWN = Verdict.UNKNOWN
Config = dict[str, object]


def model(*layers: object, **more: object) -> Config:
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "s", "layers": list(layers)},
        "registered_name": None,
        **more,
    }


def layer(name: str, module: object = "keras.layers", registered: object = None, **config: object) -> Config:
    return {"module": module, "class_name": name, "config": config, "registered_name": registered}


def old(name: str, **config: object) -> Config:
    return {"class_name": name, "config": config}


def function(name: str, module: object, registered: object = None) -> Config:
    return {"module": module, "class_name": "function", "config": name, "registered_name": registered or name}


def lambda3() -> Config:
    return layer(
        "Lambda", function={"class_name": "__lambda__", "config": {"code": CODE, "defaults": None, "closure": None}}
    )


def lambda2(**more: object) -> Config:
    return old("Lambda", function=[CODE, None, None], function_type="lambda", module="__main__", **more)


def within(depth: int, inner: Config) -> Config:
    for _ in range(depth):
        inner = model(inner)
    return inner


CASES: tuple[tuple[str, object, str, Verdict], ...] = (
    ("lambda of Keras 3", model(lambda3()), "bytecode", BAD),
    ("lambda of Keras 2", model(lambda2()), "bytecode", BAD),
    ("lambda as a tuple", model(old("Lambda", function={"class_name": "__tuple__", "items": [CODE, None, None]})), "bytecode", BAD),
    ("lambda as output shape", model(old("Lambda", function="relu", output_shape=[CODE], output_shape_type="lambda")), "bytecode", BAD),
    ("lambda as mask", model(old("Lambda", function="relu", mask=[CODE, None], mask_type="lambda")), "bytecode", BAD),
    ("lambda in a wrapper", model(layer("TimeDistributed", layer=lambda3())), "bytecode", BAD),
    ("lambda in two wrappers", model(layer("Bidirectional", layer=layer("TimeDistributed", layer=lambda2()))), "bytecode", BAD),
    ("lambda deep in models", within(25, lambda3()), "bytecode", BAD),
    ("lambda in compile_config", model(compile_config={"loss": {"class_name": "__lambda__", "config": {"code": CODE}}}), "bytecode", BAD),
    ("lambda as an initializer", model(layer("Dense", kernel_initializer={"class_name": "__lambda__", "config": {"value": CODE}})), "bytecode", BAD),
    ("lambda as the whole", {"class_name": "__lambda__", "config": {"code": CODE}}, "bytecode", BAD),
    ("lambda in a call argument", {**model(), "inbound_nodes": [{"args": [lambda3()]}]}, "bytecode", BAD),
    ("lambda in a jax layer", model(layer("JaxLayer", call_fn={"class_name": "__lambda__", "config": {"code": CODE}})), "bytecode", BAD),
    *((f"{name}", model(layer(name, filepath="x")), "loads-code", BAD) for name in ("TorchModuleWrapper", "TFSMLayer")),
    ("torch module in a wrapper", model(layer("TimeDistributed", layer=layer("TorchModuleWrapper", "keras.src.utils.torch_utils"))), "loads-code", BAD),
    ("torch module, old style", model(old("TorchModuleWrapper", module="UEsDBA==")), "loads-code", BAD),
    *((f"module {module}", model(layer(name, module)), "import", BAD) for module, name in (
        ("os", "system"), ("subprocess", "Popen"), ("posix", "system"), ("nt", "system"), ("shutil", "rmtree"), ("importlib", "import_module"),
        ("pickle", "loads"), ("ctypes.util", "CDLL"), ("socket", "socket"), ("urllib.request", "urlopen"), ("pip._internal", "main"),
        ("torch.hub", "load"), ("numpy.testing", "runstring"), ("joblib", "load"), ("code", "interact"), ("runpy", "run_path"),
    )),
    *((f"function of {module}", model(layer("Dense", activation=function(name, module))), "import", BAD) for module, name in (
        ("os", "system"), ("builtins", "eval"), ("builtins", "exec"), ("builtins", "open"), ("subprocess", "run"), ("webbrowser", "open"),
    )),
    ("lambda layer of os", model(old("Lambda", function="system", function_type="function", module="os")), "import", BAD),
    ("output shape of os", model(old("Lambda", function="relu", output_shape="system", output_shape_module="os")), "import", BAD),
    ("type of another library", model({"class_name": "__typespec__", "spec_name": "X", "module": "os", "config": [], "registered_name": None}), "import", BAD),
    ("builtin class", model(layer("exec", "builtins")), "import", BAD),
    *((f"function {module}.{name}", model(layer("Dense", activation=function(name, module))), "function", BAD) for module, name in (
        ("keras.utils", "get_file"), ("keras.config", "enable_unsafe_deserialization"), ("keras.saving", "load_model"),
        ("keras.models", "load_model"), ("keras.src.saving.saving_api", "load_weights"), ("keras.src.utils.file_utils", "extract_archive"),
        ("keras.utils", "image_dataset_from_directory"), ("keras.datasets.mnist", "load_data"), ("tensorflow.io", "write_file"),
        ("tf_keras.utils", "get_file"), ("keras.utils", "audio_dataset_from_directory"), ("keras.preprocessing.image", "save_img"),
    )),
    ("class of keras.callbacks", model(layer("CSVLogger", "keras.callbacks", filename="x")), "function", BAD),
    ("class of keras.saving", model(layer("KerasFileEditor", "keras.saving", filepath="x")), "function", BAD),
    *((f"tf.{name}", model(old("TFOpLambda", function=name)), "function", BAD) for name in (
        "io.write_file", "io.read_file", "py_function", "numpy_function", "raw_ops.WriteFile", "load_library", "load_op_library",
        "saved_model.load", "data.Dataset", "keras.utils.get_file", "compat.v1.py_func", "io.gfile.GFile",
    )),
    ("named lambda", model(old("Lambda", function="my_function", function_type="function", module="mine")), "lambda", BAD),
    ("named lambda of Keras 3", model(layer("Lambda", function=function("f", "mine"))), "lambda", BAD),
    *((f"vocabulary {path}", model(layer("StringLookup", vocabulary=path)), "outside-file", BAD) for path in (
        "/etc/passwd", "https://host/v.txt", "gs://b/v", "../../v", "~/x/v.txt", "file:///etc/passwd", "s3://b/v",
    )),
    *((f"{name} vocabulary", model(layer(name, vocabulary="/proc/self/environ")), "outside-file", BAD) for name in (
        "IntegerLookup", "TextVectorization", "IndexLookup",
    )),
    ("vocabulary in a wrapper", model(layer("TimeDistributed", layer=layer("StringLookup", vocabulary="/etc/passwd"))), "outside-file", BAD),
    ("vocabulary beside the model", model(layer("StringLookup", vocabulary="vocab.txt")), "file-reference", UNKNOWN),
    ("path in another place", model(layer("Dense", note="/etc/passwd")), "file-reference", UNKNOWN),
    ("address in another place", model(layer("Dense", note="http://host/")), "file-reference", UNKNOWN),
    ("address to be fetched", model(layer("Dense", origin="http://host/")), "outside-file", BAD),
    ("registered elsewhere", model(layer("MyLayer", None, "mine>MyLayer")), "custom-object", UNKNOWN),
    ("registered over a layer of Keras", model(layer("Dense", "keras.layers", "mine>Dense")), "custom-object", UNKNOWN),
    ("class of a project", model(layer("MyLayer", "my_project.layers")), "custom-object", UNKNOWN),
    ("class of keras_hub", model(layer("GemmaBackbone", "keras_hub.src.models.gemma")), "custom-object", UNKNOWN),
    ("no such layer of Keras", model(layer("Magic")), "custom-object", UNKNOWN),
    ("custom activation", model(old("Dense", activation="my_activation")), "custom-object", UNKNOWN),
    ("custom function", model(layer("Dense", activation=function("f", "builtins"))), "custom-object", UNKNOWN),
    ("jax layer", model(layer("JaxLayer")), "opaque-layer", UNKNOWN),
    ("graph node", model(old("TensorFlowOpLayer", node_def="{}")), "opaque-layer", UNKNOWN),
    ("hub layer", model(old("KerasLayer", handle="x")), "opaque-layer", UNKNOWN),
    ("class method", model(old("ClassMethod", cls_ref="raw_ops.X", method_name="y")), "opaque-layer", UNKNOWN),
)  # fmt: skip


@each(("config", "rule", "verdict"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_hostile_configuration_breaks_its_rule(config: object, rule: str, verdict: Verdict) -> None:
    report = answer(Keras(), Bytes("config.json", json.dumps(config).encode()))
    assert report is not None
    worst = max(finding.severity for finding in report.findings)
    assert {finding.rule for finding in report.findings if finding.severity is worst} == {f"keras-{rule}"}
    assert report.settled_verdict is verdict


RAW = (
    ("key twice", b'{"class_name": "Dense", "config": {}, "class_name": "Lambda"}', "keras-ambiguous", BAD),
    ("too deep", b'{"class_name": "Dense", "config": ' + b"[" * 300 + b"]" * 300 + b"}", "keras-not-understood", UNKNOWN),
    ("no JSON", b'{"class_name": "Sequential", "config": {,}}', "keras-not-understood", UNKNOWN),
    ("escaped key", json.dumps(model(lambda2())).replace("class_name", "class\\u005fname").encode(), "keras-bytecode", BAD),
    ("far from the beginning", b'{"config": {"layers": ["' + b"x" * 20_000 + b'"]}, "class_name": "__lambda__"}', "keras-bytecode", BAD),
)  # fmt: skip


@each(("data", "rule", "verdict"), [case[1:] for case in RAW], ids=[case[0] for case in RAW])
def test_a_configuration_that_hides(data: bytes, rule: str, verdict: Verdict) -> None:
    report = answer(Keras(), Bytes("config.json", data))
    assert report is not None
    assert {finding.rule for finding in report.findings} == {rule}
    assert report.settled_verdict is verdict


YAML = b"backend: tensorflow\nclass_name: Sequential\nconfig:\n- class_name: %s\n"


@pytest.mark.parametrize(
    ("data", "rules"),
    [
        (YAML % b"Dense", {"keras-not-understood"}),
        (YAML % b"Lambda", {"keras-lambda", "keras-not-understood"}),
        (YAML % b"!!python/object/apply:os.system ['id']", {"keras-import", "keras-not-understood"}),
        (YAML % b"!!python/name:os.system", {"keras-import", "keras-not-understood"}),
        (YAML % b"Dense\n  shape: !!python/tuple [1, 2]", {"keras-not-understood"}),
    ],
)
def test_an_architecture_as_yaml_is_never_clean(data: bytes, rules: set[str]) -> None:
    report = answer(Keras(), Bytes("model.yaml", data))
    assert report is not None
    assert {finding.rule for finding in report.findings} == rules
    assert report.settled_verdict is not Verdict.CLEAN


BENIGN = {
    **{name: stored(name) for name in ("func.json", "conv.json", "norm.json", "lookup.json", "seq2.json")},
    "metadata.json": b'{"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}',
    "tensorflow functions": json.dumps(
        model(*(old("TFOpLambda", function=name) for name in ("nn.relu", "math.multiply", "__operators__.add", "reshape", "cast")))
    ).encode(),
    "slices": json.dumps(model(old("SlicingOpLambda", function="__operators__.getitem"))).encode(),
    "functions": json.dumps(
        model(
            layer("Dense", activation=function("gelu", "keras.activations")),
            layer("Dense", activation=function("softmax", "builtins")),
            layer("Lambda2" if False else "Activation", activation=function("relu", "keras.ops")),
        )
    ).encode(),
    "vocabulary as a list": json.dumps(model(layer("StringLookup", vocabulary=["/etc/passwd", "http://host"]))).encode(),
    "wrapped": json.dumps(within(20, layer("TimeDistributed", layer=layer("Dense")))).encode(),
    "type of TensorFlow": json.dumps(
        model({"class_name": "__typespec__", "spec_name": "TensorSpec", "module": "tensorflow.python.framework.tensor",
               "config": [[None], "float32"], "registered_name": None})
    ).encode(),
    "tokenizer": json.dumps({"class_name": "Tokenizer", "config": {"num_words": 5, "word_index": "{}"}}).encode(),
}  # fmt: skip


@each("name", BENIGN)
def test_what_keras_writes_is_clean(name: str) -> None:
    report = answer(Keras(), Bytes("config.json", BENIGN[name]))
    assert report is not None
    assert (report.findings, report.settled_verdict) == ((), Verdict.CLEAN)
    assert report.coverage.complete


def test_an_archive_of_keras_is_judged_by_its_members() -> None:
    keras = [report for report in examined("m.keras", stored("seq.keras")).reports if report.inspector == "keras"]
    assert [report.settled_verdict for report in keras] == [Verdict.CLEAN]


def test_other_json_is_none_of_its_business() -> None:
    for data in (b"{}", b'{"model_type": "llama"}', b'{"class_name": 5, "config": 1}', b'{"a": "class_name"}', b"[1]"):
        assert answer(Keras(), Bytes("config.json", data)) is None
    assert answer(Keras(), Bytes("a.yaml", b"a: 1\n")) is None


def test_what_carries_code_is_on_no_list() -> None:
    assert not keras_names.CLASSES & {"Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"}
    assert not (keras_names.FUNCTIONS | keras_names.OPERATIONS) & {
        "get_file",
        "enable_unsafe_deserialization",
        "deserialize",
    }


def test_mutations_never_break_out() -> None:
    original, dice = json.dumps(model(lambda3(), layer("Dense", units=3))).encode(), random.Random(3)
    for _ in range(400):
        data = bytearray(original)
        for _ in range(dice.randint(1, 5)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        with contextlib.suppress(FormatError):
            answer(Keras(), Bytes("config.json", bytes(data)))
