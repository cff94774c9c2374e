"""Models of Paddle, MXNet, Caffe, Darknet and ncnn: do they name operators that run a program's code, and is the rest data?

- Paddle: `.pdmodel` (ProgramDesc), every operator of every block; `.pdiparams`, tensors end to end; PIR as JSON.
- MXNet: `-symbol.json`, every node's operator; `.params`, arrays end to end.
- Caffe: `.prototxt`, every layer's type as its text says it; `.caffemodel`, every layer.
- Darknet: `.cfg` sections, `.weights` header; ncnn: `.param` lines.

Operators are judged by what is known against them: those that call Python or native code of the program, or touch files
and the network. Others are taken as the framework's own; a name that no framework has is not told from one that it has.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from weighbridge.core.errors import Malformed
from weighbridge.core.finding import Report, Severity
from weighbridge.formats.bounded import read_whole
from weighbridge.formats.json_text import parse
from weighbridge.formats.kinds import is_text
from weighbridge.formats.protobuf import Message, ProtobufProblem
from weighbridge.formats.tensor_lists import mxnet_arrays, paddle_tensors
from weighbridge.inspectors.notes import Notes, shown
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

NAME: Final = "older-frameworks"
MAX_TEXT_BYTES: Final = 32 * 1024 * 1024


def _rule(name: str, title: str, severity: Severity, explanation: str) -> Rule:
    remedy = "Do not run the model before it is known what this is for; ask for one of the framework's own operators."
    return Rule(name, title, severity, NAME, explanation, remedy)


_CODE, _FILES = (
    "It calls code of the program by name or number.",
    "It reads, writes or sends files or tensors elsewhere.",
)
RULES: Final[tuple[Rule, ...]] = (
    _rule("paddle-code-operator", "Paddle operator that runs code", Severity.HIGH, _CODE),
    _rule("paddle-file-operator", "Paddle operator that touches files or the network", Severity.HIGH, _FILES),
    _rule(
        "paddle-engine",
        "Paddle operator with a compiled engine",
        Severity.MEDIUM,
        "It carries what another library made.",
    ),
    _rule("paddle-broken", "Paddle file that breaks its format", Severity.MEDIUM, "It cannot be followed to its end."),
    _rule(
        "mxnet-code-operator",
        "MXNet operator that runs code",
        Severity.HIGH,
        "It calls a function by its address, or a script.",
    ),
    _rule(
        "mxnet-custom-operator",
        "MXNet custom operator",
        Severity.MEDIUM,
        "It needs a Python class that the program registers.",
    ),
    _rule("mxnet-library", "MXNet symbol that loads a library", Severity.HIGH, "An attribute names a native library."),
    _rule("mxnet-broken", "MXNet file that breaks its format", Severity.MEDIUM, "It cannot be followed to its end."),
    _rule(
        "caffe-python-layer",
        "Caffe layer in Python",
        Severity.HIGH,
        "Loading the network imports the module that it names.",
    ),
    _rule("caffe-broken", "Caffe model that breaks its format", Severity.MEDIUM, "It cannot be followed to its end."),
    _rule(
        "darknet-section",
        "Darknet section that is not known",
        Severity.LOW,
        "Darknet ignores it, or another program reads it.",
    ),
    _rule(
        "darknet-broken",
        "Darknet weights of no whole numbers",
        Severity.MEDIUM,
        "Its header or length is not Darknet's.",
    ),
    _rule(
        "ncnn-broken",
        "ncnn parameters that break their format",
        Severity.MEDIUM,
        "The counts and the lines do not agree.",
    ),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PADDLE_CODE: Final = _words("py_func py_layer pylayer run_program cinn_launch run_cpp custom_op")
_PADDLE_FILES: Final = _words(
    "load load_combine save save_combine read_file read send recv send_v2 recv_v2 listen_and_serv fl_listen_and_serv"
    " send_barrier fetch_barrier send_and_recv checkpoint_notify gen_nccl_id gen_bkcl_id c_gen_nccl_id c_comm_init"
    " distributed_lookup_table distributed_push_sparse push_dense pull_sparse pull_sparse_v2 heter_listen_and_serv prefetch"
    " sparse_tensor_load"
)
_PADDLE_ENGINES: Final = _words("tensorrt_engine lite_engine anakin_engine ngraph_engine dlnne_engine openvino_engine")
_MXNET_CODE: Final = _words(
    "_Native _NDArray _CustomFunction CaffeOp CaffeLoss CaffeDataIter TorchModule TorchCriterion _TVMOp _FusedOp"
    " _PyFunc"
)
_DARKNET: Final = _words(
    "net network convolutional conv deconvolutional deconv local dropout softmax maxpool local_avgpool avgpool avg route"
    " shortcut sam scale_channels upsample yolo Gaussian_yolo region detection detect cost crop normalization lrn"
    " batchnorm connected conn rnn gru lstm conv_lstm crnn reorg reorg3d reorg_old activation logistic l2norm iseg"
    " contrastive history implicit_add implicit_mul implicit sway empty silence"
)


class OlderFrameworks:
    """The inspector `older-frameworks`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage when all is data and ordinary operators; None for what is of none of these.

        Raises:
            LimitExceeded: it is larger than is read; JsonProblem: its JSON is none.
            Truncated: the reader returned less than the artifact's size promises.
        """
        reading = _reading_of(subject)
        if reading is None:
            return None
        notes = Notes(subject, _BY_ID)
        family = reading.__name__.split("_")[1]
        try:
            covered = reading(subject, notes)
        except (ProtobufProblem, Malformed) as problem:
            notes.say(f"{family}-broken", problem.message)
            covered = 0
        return notes.report(NAME, covered)


def _reading_of(subject: Subject) -> Callable[[Subject, Notes], int] | None:
    kind, suffix, head = subject.kind.name, subject.suffix, subject.head
    known = {
        "paddle-model": _paddle_program,
        "paddle-params": _paddle_params,
        "mxnet-params": _mxnet_params,
        "caffe-model": _caffe_model,
    }
    if kind in known:
        return known[kind]
    if kind == "json":
        if b'"nodes"' in head and (subject.path.endswith("symbol.json") or b'"mxnet_version"' in head):
            return _mxnet_symbol
        return _paddle_json if re.search(rb'"magic"\s*:\s*"pir"', head) else None
    if kind in ("structured-text", "other-text") and suffix == ".prototxt":
        return _caffe_text
    if kind == "settings" and suffix == ".cfg" and re.match(rb"(?:\s|#[^\n]*\n)*\[net(?:work)?\]", head):
        return _darknet_cfg
    if suffix == ".weights" and kind == "unrecognised":
        return _darknet_weights
    return _ncnn_param if kind == "other-text" and head.startswith(b"7767517\n") else None


def _text(subject: Subject, limit_bytes: int) -> str:
    """The whole of a text, which its first bytes alone do not make one: comments may hold anything."""
    data = read_whole(subject, limit_bytes)
    if not is_text(data, whole=True):
        raise Malformed("the file is not text to its end")
    return data.decode("utf-8")


# --- Paddle --------------------------------------------------------------------------------------


def _paddle_program(subject: Subject, notes: Notes) -> int:
    program = Message.of(subject)
    for field in program.fields():
        if field.number == 1:
            block = program.within(field)
            for one in block.fields():
                if one.number == 4:
                    _paddle_operator(block.within(one), notes)
        elif field.number not in (2, 3, 4, 5):
            raise ProtobufProblem(f"field {field.number} is none of a program", field.at)
    return subject.size_bytes


def _paddle_operator(operator: Message, notes: Notes) -> None:
    for field in operator.fields():
        if field.number == 3:
            _paddle_name(operator.text(field), f"offset {field.start}", notes)


def _paddle_name(name: str, where: str, notes: Notes) -> None:
    if name in _PADDLE_CODE or name.startswith("custom_"):
        notes.say("paddle-code-operator", f"the operator {shown(name)} runs code", location=where)
    elif name in _PADDLE_FILES:
        notes.say("paddle-file-operator", f"the operator {shown(name)} reaches outside", location=where)
    elif name in _PADDLE_ENGINES:
        notes.say("paddle-engine", f"the operator {shown(name)} carries an engine", location=where)


def _paddle_json(subject: Subject, notes: Notes) -> int:
    todo = [parse(read_whole(subject, MAX_TEXT_BYTES)).value]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            name = one.get("#")
            if isinstance(name, str):
                _paddle_name(name.rpartition(".")[2].rstrip("_"), shown(name), notes)
            todo.extend(one.values())
        elif isinstance(one, list):
            todo.extend(one)
    return subject.size_bytes


def _paddle_params(subject: Subject, _notes: Notes) -> int:
    for start, end in paddle_tensors(subject):
        subject.inert(start, end)
    return subject.size_bytes


# --- MXNet ---------------------------------------------------------------------------------------


def _mxnet_symbol(subject: Subject, notes: Notes) -> int:
    value = parse(read_whole(subject, MAX_TEXT_BYTES)).value
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, list):
            todo.extend(one)
        elif isinstance(one, dict):
            todo.extend(one.values())
            _mxnet_node(str(one.get("op", "")), notes)
            for key, said in one.items():
                if isinstance(said, str) and re.search(r"\.(?:so|dll|dylib)(?:\.\d+)*\Z", said):
                    notes.say("mxnet-library", f"{shown(key)} is {shown(said)}")
    return subject.size_bytes


def _mxnet_node(operator: str, notes: Notes) -> None:
    if operator in _MXNET_CODE:
        notes.say("mxnet-code-operator", f"a node is {shown(operator)}")
    elif operator == "Custom":
        notes.say("mxnet-custom-operator", "a node is a custom operator")


def _mxnet_params(subject: Subject, _notes: Notes) -> int:
    for start, end in mxnet_arrays(subject):
        subject.inert(start, end)
    return subject.size_bytes


# --- Caffe ---------------------------------------------------------------------------------------

_PROTO_TOKEN: Final = re.compile(
    r"""\s+|\#[^\n]*|(?P<text>(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))|(?P<word>[\w.+-]+)|(?P<sign>[{}<>\[\]:;,])""",
    re.DOTALL,
)


def _caffe_text(subject: Subject, notes: Notes) -> int:
    text = _text(subject, 4 * 1024 * 1024)
    at, key, value = 0, "", ""
    while at < len(text):
        found = _PROTO_TOKEN.match(text, at)
        if found is None:
            raise Malformed(f"{shown(text[at : at + 20])} at {at} is no part of a network")
        at = found.end()
        if found.group("text") is not None:
            value += _unescaped(found.group("text")[1:-1])
        elif found.group("word") is not None or found.group("sign") is not None:
            _caffe_setting(key, value, notes)
            value = ""
            if found.group("word") is not None:
                key = found.group("word")
                _caffe_setting(key, "", notes)
    _caffe_setting(key, value, notes)
    return subject.size_bytes


def _caffe_setting(key: str, value: str, notes: Notes) -> None:
    if key == "python_param" or (key == "type" and value == "Python"):
        notes.say("caffe-python-layer", "a layer is Python code")
    elif key == "module" and value:
        notes.say("caffe-python-layer", f"a layer imports {shown(value)}")


def _unescaped(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        said = found.group(1)
        if said[0] in "xX":
            return chr(int(said[1:], 16))
        return chr(int(said, 8)) if said[0] in "01234567" else said

    return re.sub(r"\\([xX][0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", one, text, flags=re.DOTALL)


def _caffe_model(subject: Subject, notes: Notes) -> int:
    network = Message.of(subject)
    for field in network.fields():
        if field.number in (2, 100):
            layer = network.within(field)
            for one in layer.fields():
                python = field.number == 100 and (
                    one.number == 130 or (one.number == 2 and layer.text(one) == "Python")
                )
                if python:
                    notes.say("caffe-python-layer", "a layer is Python code", location=f"offset {one.start}")
        elif field.number > 200:
            raise ProtobufProblem(f"field {field.number} is none of a network", field.at)
    return subject.size_bytes


# --- Darknet, ncnn -------------------------------------------------------------------------------


def _darknet_cfg(subject: Subject, notes: Notes) -> int:
    text = _text(subject, 1024 * 1024)
    understood = True
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        section = re.fullmatch(r"\[(\w+)\]\s*(?:[#;].*)?", line)
        if (section and section.group(1) in _DARKNET) or (not section and re.match(r"[\w-]+\s*=", line)):
            continue
        notes.say("darknet-section", f"{shown(line)} is not Darknet's", location=f"line {number}")
        understood = False
    return subject.size_bytes if understood else 0


def _darknet_weights(subject: Subject, _notes: Notes) -> int:
    major, minor, revision = (int.from_bytes(subject.head[at : at + 4], "little") for at in (0, 4, 8))
    header = 20 if major * 10 + minor >= 2 else 16
    if major > 1 or minor > 5 or revision > 10 or subject.size_bytes < header or (subject.size_bytes - header) % 4:
        raise Malformed(f"version {major}.{minor}.{revision} with {subject.size_bytes} bytes is none of Darknet's")
    # The header does not say how many numbers follow, so nothing proves that they are numbers: the malware rules look.
    return subject.size_bytes


def _ncnn_param(subject: Subject, _notes: Notes) -> int:
    text = _text(subject, MAX_TEXT_BYTES)
    rows = [line for line in text.split("\n")[1:] if line.strip()]
    counts = re.fullmatch(r"\s*(\d{1,7})\s+(\d{1,7})\s*", rows[0]) if rows else None
    layers = rows[1:]
    if counts is None or int(counts.group(1)) != len(layers):
        raise Malformed(f"the counts do not fit {len(layers)} layers")
    for row in layers:
        if not re.match(r"[A-Za-z][\w.]*\s+\S+\s+\d+\s+\d+(?:\s+\S+)*\s*\Z", row):
            raise Malformed(f"{shown(row)} is no layer")
    return subject.size_bytes
