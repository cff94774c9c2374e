"""Files that say to a server, a trainer or a logger what to load: what they make it run is said, ordinary ones say nothing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.inspecting import Described, check_nothing_is_said, rules_of, verdict_of
from weighbridge.core.finding import Verdict
from weighbridge.inspectors.texts.serving_files import RULES

MLFLOW = (
    "artifact_path: model\nflavors:\n  python_function:\n    env:\n      conda: conda.yaml\n      virtualenv: python_env.yaml\n"
    "    loader_module: {loader}\n    model_path: {path}\n    predict_fn: predict\n    python_version: 3.11.0\n  sklearn:\n    code: null\n"
    "    pickled_model: model.pkl\n    serialization_format: cloudpickle\nmlflow_version: 2.9.0\nmodel_uuid: abc\n"
)
TRITON = (
    'name: "m"\nbackend: "python"\nmax_batch_size: 8\ninput [ { name: "a" data_type: TYPE_FP32 dims: [ -1 ] } ]\n'
    "instance_group [ { kind: KIND_GPU } ]  # two of them\n"
)
PARAMETER = 'parameters: {{ key: "EXECUTION_ENV_PATH", value: {{ string_value: "{}" }} }}\n'
LOGGING = (
    "[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=f\n[logger_root]\nlevel=INFO\nhandlers=h\n[handler_h]\nclass={}\n"
    "level=DEBUG\nformatter=f\nargs={}\n[formatter_f]\nformat=%(asctime)s __main__ (%(levelname)s) for %(message)s\n"
)
YOLO = "nc: 80\nbackbone:\n  - [-1, 1, {}, [64, 3, 2]]\nhead:\n  - [-1, 1, nn.Upsample, [None, 2, nearest]]\n"
ELSEWHERE = "https://packages.host.example/simple"

HONEST = [
    Described("MLmodel", MLFLOW.format(loader="mlflow.sklearn", path="model.pkl")),
    Described("model/MLmodel", "artifacts:\n  x: {path: artifacts/x, uri: /mnt/models/x}\n# from ../x\nversion: 1..2\n"),
    Described("config.pbtxt", TRITON),
    Described("m/config.pbtxt", TRITON.replace("python", "onnxruntime") + 'default_model_filename: "model.onnx"\n'),
    Described("Modelfile", 'FROM ./model.gguf\nTEMPLATE """{{ .System }} {{ .Prompt }}"""\nPARAMETER stop "</s>"\n'),
    Described("Modelfile", "# ollama modelfile\nFROM .\nPARAMETER num_ctx 4096\nSYSTEM You are a helpful assistant.\n"),
    Described("logging.ini", LOGGING.format("StreamHandler", "(sys.stdout,)")),
    Described("logging.conf", LOGGING.format("handlers.RotatingFileHandler", "('a (1).log', 'a', 2000, 5)")),
    Described("logging.ini", LOGGING.format("FileHandler", "(os.getenv('LOG', 'x.log'), 'w')")),
    Described("config.toml", '[model]\n_target_ = "torch.nn.Linear"\nargs = "eval(x)"\n'),
    Described("setup.cfg", "[metadata]\nname = x\n[options]\nclass = x()\n"),
    Described("train.yaml", "model_name_or_path: a/b\ntrust_remote_code: false\nnote: trust_remote_code\n"),
    Described("yolov8.yaml", YOLO.format("Conv")),
    Described("bentofile.yaml", "service: 'service:svc'\npython:\n  packages:\n    - torch==2.1.0\n"),
    Described("bentofile.yaml", "python:\n  extra_index_url: ['https://download.pytorch.org/whl/cu121']\n"),
    Described("mlc-chat-config.json", '{"model_type": "llama", "model_lib": "llama_q4f16_1"}'),
]  # fmt: skip
HOSTILE = [
    Described("MLmodel", MLFLOW.format(loader="loader_of_mine", path="m"), "serving-loader"),
    Described("MLmodel", MLFLOW.format(loader="mlflow.sklearn", path="../../other/model.pkl"), "serving-path-escape"),
    Described("MLmodel", "flavors: {python_function: {'loader_module': 'os.system', data: x}}\n", "serving-weapon"),
    Described("config.pbtxt", TRITON + PARAMETER.format("$$TRITON_MODEL_DIRECTORY/env.tar.gz"), "serving-loader"),
    Described("config.pbtxt", TRITON + PARAMETER.format("/x/../../env.tar.gz"), "serving-path-escape"),
    Described("config.pbtxt", TRITON.replace('"python"', '"../../x"'), "serving-path-escape"),
    Described("config.pbtxt", TRITON + 'model_operations { op_library_filename: [ "x.so" ] }\n', "serving-library"),
    Described("Modelfile", "FROM ./m.gguf\nADAPTER /etc/passwd\n", "serving-path-escape"),
    Described("Modelfile", "FROM ../../../var/lib/x.gguf\n", "serving-path-escape"),
    *[Described(name, LOGGING.format(*how), "serving-evaluated") for name, how in (
        ("logging.ini", ("__import__('os').system", "('id',)")), ("x.conf", ("StreamHandler", "(open('x', 'w'),)")),
        ("x.cfg", ("StreamHandler", "[x\n  for x in (1,)]")), ("logging.ini", ("os.system", "('id',)")),
        ("logging.ini", ("FileHandler", "((lambda: 'x'),)")),
    )],
    Described("config.toml", '[model]\n_target_ = "os.system"\ncommand = "id"\n', "serving-weapon"),
    Described("config.toml", 'model = { class_path = "subprocess.Popen" }\n', "serving-weapon"),
    Described("app.conf", "model { _target_: builtins.exec }\n", "serving-weapon"),
    Described("train.yaml", "model_name_or_path: a/b\ntrust_remote_code: true\n", "yaml-trust-remote-code"),
    Described("config.yaml", "model: a/b\ntrust-remote-code: yes # sure\n", "yaml-trust-remote-code"),
    Described("x.yml", "{dataset_kwargs: {'trust_remote_code': True}}\n", "yaml-trust-remote-code"),
    Described("yolov5.yaml", YOLO.format("os.system"), "yaml-code"),
    Described("bentofile.yaml", f"python:\n  index_url: {ELSEWHERE}\n", "environment-index"),
    Described("bentofile.yaml", f"conda:\n  pip: ['--extra-index-url {ELSEWHERE}', 'x']\n", "environment-index"),
    Described("environment.yml", f"dependencies: [python, {{pip: ['-i {ELSEWHERE}', 'x']}}]\n", "environment-index"),
    Described("python_env.yaml", "build_dependencies:\n- x @ https://host.example/x.whl\n", "requirements-address"),
    Described("constraints.txt", f"--index-url {ELSEWHERE}\n", "requirements-index"),
    Described("mlc-chat-config.json", '{"model_type": "llama", "model_lib": "./lib/x.so"}', "config-native-library"),
]  # fmt: skip


@each("described", HONEST, ids=lambda one: one.path)
def test_ordinary_files_say_nothing(described: Described) -> None:
    check_nothing_is_said(described)


@each("described", HOSTILE, ids=lambda one: f"{one.path} {one.rule}")
def test_what_is_loaded_or_run_is_said(described: Described) -> None:
    assert described.rule in rules_of(described.path, described.text.encode())
    behind = b" \n" if described.path.endswith("json") else b"\n# the end\n"
    assert described.rule in rules_of(described.path, described.text.encode() + behind)


def test_every_rule_is_in_the_corpus() -> None:
    assert {rule.id for rule in RULES} <= {one.rule for one in HOSTILE}


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_text_is_answered(draw: st.DataObject) -> None:
    one = draw.draw(st.sampled_from([*HONEST, *HOSTILE]))
    cut = draw.draw(st.integers(0, len(one.text)))
    text = one.text[:cut] + draw.draw(st.text(max_size=30)) + one.text[cut:]
    assert verdict_of(one.path, text.encode("utf-8", "replace")) in Verdict


@each("path, text", [
    ("logging.ini", "[loggers]\nargs=" + "a.b(" * 50_000),
    ("logging.ini", "[loggers]\n" + "class=x\n  y\n" * 50_000),
    ("config.pbtxt", '"EXECUTION_ENV_PATH"' + ", " * 100_000),
    ("MLmodel", "loader_module: " * 50_000),
    ("x.yaml", "trust_remote_code:" + " " * 100_000),
    ("x.conf", "_target_ = " * 50_000),
])  # fmt: skip
def test_long_texts_take_linear_time(path: str, text: str) -> None:
    assert verdict_of(path, text.encode()) in Verdict
