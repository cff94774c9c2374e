"""Does this ONNX model compute, and nothing else: no code from outside, no file outside its folder, no byte unread?

A graph is data: what a runtime does with it is decided by the operators it names. Those of the standard and those
compiled into ONNX Runtime (`com.microsoft`) bring no code along and pass, and so do functions that the model itself
defines in domains of its own. Any other domain needs a library that somebody must load first: a matter of policy, and
unknown. What calls out of the runtime (Python operators, ATen, another engine's program) does not pass.

Tensors are numbers by the format's own rules, and inert, whether they lie here or in another file of the same folder.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.finding import Finding, Report, Severity, Verdict
from weighbridge.formats import onnx_ops
from weighbridge.formats.onnx import STRING, Model, Operator, Tensor, read_model
from weighbridge.formats.protobuf import ProtobufLimit, ProtobufProblem
from weighbridge.formats.zip_tail import zip_at_the_end
from weighbridge.inspectors.notes import first_of_each
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject, report_of

NAME: Final = "onnx"
KIND: Final = "onnx"
TENSOR_KIND: Final = "onnx-tensor"
MAX_SAME: Final = 20
"""Findings of one rule in one model."""

_UNTOUCHED: Final = "Do not load the file. Ask its publisher for a model exported without it."
_POLICY: Final = "Decide whether the library that implements it is one you use, or ask for a model without it."


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str = _UNTOUCHED) -> Rule:
    return Rule(f"onnx-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "code-operator",
        "Operator that calls Python or another framework",
        Severity.HIGH,
        "PythonOp and PyOp run Python functions of the process by name; ATen runs any operator of PyTorch.",
    ),
    _rule(
        "engine-program",
        "Program for another engine in the graph",
        Severity.MEDIUM,
        "EPContext, Snpe and their like carry a compiled program that a device's driver runs; nobody here can read it.",
        "Take the model without a compiled context, and let your own runtime compile it.",
    ),
    _rule(
        "custom-operator",
        "Operator that neither the standard nor the runtime has",
        Severity.MEDIUM,
        "It runs only with a library of custom operators, which the model's user is asked to load.",
        _POLICY,
    ),
    _rule(
        "unknown-operator",
        "Operator that the domain does not have",
        Severity.MEDIUM,
        "A standard domain, and a name that no version of it has. A newer standard, or a plug-in in disguise.",
        _POLICY,
    ),
    _rule(
        "external-path",
        "Tensor in a file outside the model's folder",
        Severity.HIGH,
        "The location is absolute, climbs out with '..', is an address, or names memory of the process. A runtime that "
        "follows it reads a file of the host into the model (CVE-2022-25882, CVE-2024-27318, CVE-2024-5187).",
    ),
    _rule(
        "external-entry",
        "External data described by what the format does not have",
        Severity.HIGH,
        "Only location, offset, length and checksum belong there; readers that set whatever is named set attributes of "
        "their own objects (CVE-2026-34445). Offsets and lengths are numbers.",
    ),
    _rule(
        "tensor-size",
        "Raw data that shape and type do not come to",
        Severity.HIGH,
        "Careless readers read beyond it, or leave bytes that nobody looks at.",
    ),
    _rule(
        "function-override",
        "Function under the name of a standard operator",
        Severity.HIGH,
        "The graph shows a well-known operator, and a runtime that expands functions first runs another.",
    ),
    _rule(
        "repeated-field",
        "Several graphs or headers where one belongs",
        Severity.HIGH,
        "Protocol buffers merge them, or keep the last: readers, and people, see different models.",
    ),
    _rule(
        "unknown-field",
        "Fields that the format does not have",
        Severity.MEDIUM,
        "Readers skip them, so anything can lie there; perhaps a version of the format newer than this one.",
        "Ask for a model written by a released version of the format, or wait for rules that know it.",
    ),
    _rule(
        "training",
        "Training steps",
        Severity.LOW,
        "The model says how to change its own weights. Inference does not need that.",
        "Ask for a model exported for inference.",
    ),
    _rule(
        "zip-polyglot",
        "Also a zip archive",
        Severity.HIGH,
        "A reader of zip (or torch, Keras) archives finds another content in it.",
    ),
    _rule(
        "not-readable",
        "Not an ONNX model, whatever it says",
        Severity.HIGH,
        "The name or the first bytes say ONNX, and the rest is no such message.",
        "Do not load the file. Fetch it again from its publisher.",
    ),
    _rule(
        "not-understood",
        "Larger or deeper than is read",
        Severity.MEDIUM,
        "Graphs within graphs beyond any exporter's, or more operators than are judged.",
        "Ask for the model in parts.",
    ),
)
_BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}

_UNKNOWN: Final = frozenset(("onnx-custom-operator", "onnx-unknown-operator", "onnx-engine-program"))
_STANDARD: Final = frozenset(("", "ai.onnx"))
_CODE: Final = frozenset(("PythonOp", "PythonOpGrad", "PyOp", "PyCustomOp", "ATen", "ATenOp", "ATenOpGrad"))
_PROGRAMS: Final = frozenset(("EPContext", "Snpe", "OpenVINO", "TRTEngineOp", "QNN", "CoreMLContext", "DmlFusedNode"))
_MICROSOFT: Final = frozenset(
    ("com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc", "com.microsoft.mlfeaturizers")
)
_KEYS: Final = frozenset(("location", "offset", "length", "checksum", "basepath"))
_OUTSIDE: Final = re.compile(r"^[/\\~]|^[A-Za-z]:|^[A-Za-z][A-Za-z0-9+.-]*:|[\x00-\x1f]|_ORT_MEM_ADDR_|\$\{?\w|%\w+%")


class Onnx:
    """The inspector `onnx`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage for a graph of known operators; None for files of other formats.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        named = subject.suffix in (".onnx", ".ort") and subject.kind.name == "unrecognised" and subject.size_bytes > 0
        tensor = subject.kind.name == TENSOR_KIND
        if subject.kind.name != KIND and not named and not tensor:
            return None
        if subject.head[4:8] == b"ORTM":
            note = _BY_ID["onnx-not-understood"].finding(subject.path, "a model in ONNX Runtime's own format (ORT)")
            return report_of(NAME, subject, [note], 0, kind=subject.kind.name)
        try:
            model = read_model(subject, root="TensorProto" if tensor else "ModelProto")
        except (ProtobufLimit, LimitExceeded) as error:
            return report_of(NAME, subject, [_BY_ID["onnx-not-understood"].finding(subject.path, error.message)], 0)
        except (ProtobufProblem, Malformed) as error:
            return report_of(NAME, subject, [_BY_ID["onnx-not-readable"].finding(subject.path, error.message)], 0)
        if not tensor and not model.has_graph and not model.functions:
            note = _BY_ID["onnx-not-readable"].finding(subject.path, "a message without a graph")
            return report_of(NAME, subject, [note], 0)
        findings = first_of_each(_findings(subject, model), MAX_SAME)
        for start, end in model.data_spans:
            subject.inert(start, end)
        report = report_of(NAME, subject, findings, subject.size_bytes - model.stray_bytes, kind=subject.kind.name)
        if report.verdict is Verdict.CLEAN and any(finding.rule in _UNKNOWN for finding in findings):
            # Every byte was read, and what the model does is still not known.
            return replace(report, verdict=Verdict.UNKNOWN)
        return report


def _findings(subject: Subject, model: Model) -> Iterator[Finding]:
    path = subject.path
    yield from _operators(path, model)
    for tensor in model.tensors:
        yield from _tensor(subject, tensor)
    for function in model.functions:
        if _is_known(function.domain, function.name):
            message = f"the model defines {function.name!a:.100} of domain {function.domain!a:.100} itself"
            yield _BY_ID["onnx-function-override"].finding(path, message, location=f"offset {function.at}")
    if model.repeated:
        message = f"the model has more than one {', '.join(model.repeated)}"
        yield _BY_ID["onnx-repeated-field"].finding(path, message)
    for stray in model.strays:
        message = f"{stray.message} has a field {stray.number}, of {stray.end - stray.start} bytes"
        yield _BY_ID["onnx-unknown-field"].finding(path, message, location=f"offset {stray.start}")
    if model.has_training:
        yield _BY_ID["onnx-training"].finding(path, "the model has training_info")
    place = zip_at_the_end(subject)
    if place is not None:
        yield _BY_ID["onnx-zip-polyglot"].finding(
            path, "a zip archive's directory ends at the end", location=f"offset {place}"
        )


def _is_known(domain: str, name: str) -> bool:
    """Whether an operator comes with the standard or the runtime."""
    if domain in _STANDARD:
        return name in onnx_ops.STANDARD
    if domain == "ai.onnx.ml":
        return name in onnx_ops.ML
    if domain in ("ai.onnx.training", "ai.onnx.preview.training", "ai.onnx.preview"):
        return name in onnx_ops.PREVIEW
    return domain in _MICROSOFT and (name in onnx_ops.MICROSOFT or name in onnx_ops.STANDARD)


def _operators(path: str, model: Model) -> Iterator[Finding]:
    own = {(function.domain, function.name) for function in model.functions}
    said = set()
    for operator in model.operators:
        if operator.op_type in _PROGRAMS:
            yield from _context(path, operator)
        key = (operator.domain, operator.op_type)
        if key in said:
            continue
        said.add(key)
        rule = _rule_for(operator, key in own)
        if rule:
            message = f"operator {operator.op_type!a:.100} of domain {operator.domain!a:.100}"
            yield _BY_ID[f"onnx-{rule}"].finding(path, message, location=f"offset {operator.at}")


def _rule_for(operator: Operator, is_own: bool) -> str:
    if operator.op_type in _CODE:
        return "code-operator"
    if operator.op_type in _PROGRAMS:
        return "engine-program"
    if is_own or _is_known(operator.domain, operator.op_type):
        return ""
    standard = operator.domain in _STANDARD or operator.domain.startswith("ai.onnx.") or operator.domain in _MICROSOFT
    return "unknown-operator" if standard and operator.domain != "ai.onnx.contrib" else "custom-operator"


def _context(path: str, operator: Operator) -> Iterator[Finding]:
    """A compiled context may lie in a file of its own."""
    if operator.numbers.get("embed_mode", 1) == 0:
        location = operator.texts.get("ep_cache_context", "")
        if is_outside(location):
            message = f"the engine's program is at {location!a:.100}"
            yield _BY_ID["onnx-external-path"].finding(path, message, location=f"offset {operator.at}")


def is_outside(location: str) -> bool:
    """Whether a path leaves the folder it is read from, or names no file at all."""
    return not location or bool(_OUTSIDE.search(location)) or ".." in re.split(r"[/\\]", location)


def _tensor(subject: Subject, tensor: Tensor) -> Iterator[Finding]:
    path, where = subject.path, f"tensor {tensor.name!a:.100}, offset {tensor.at}"
    if not tensor.is_external:
        if tensor.raw_bytes >= 0 and (tensor.data_type == STRING or tensor.expected_bytes != tensor.raw_bytes):
            expected = tensor.expected_bytes
            said = "no size" if expected is None else f"{expected} bytes"
            message = f"{tensor.raw_bytes} bytes of raw data where shape and type come to {said}"
            yield _BY_ID["onnx-tensor-size"].finding(path, message, location=where)
        return
    counts = Counter(key for key, _ in tensor.external)
    said_twice = sorted(key for key, count in counts.items() if count > 1)
    for key in sorted(counts.keys() - _KEYS) + said_twice:
        yield _BY_ID["onnx-external-entry"].finding(path, f"external data has the entry {key!a:.100}", location=where)
    entries = dict(tensor.external)
    for key in ("offset", "length"):
        value = entries.get(key, "0")
        if not re.fullmatch(r"[0-9]{1,18}", value):
            message = f"the {key} of external data is {value!a:.100}"
            yield _BY_ID["onnx-external-entry"].finding(path, message, location=where)
    location = entries.get("location", "")
    base = entries.get("basepath", "")
    if is_outside(location) or (base and is_outside(base)):
        message = f"the tensor lies at {(base + ' ' + location).strip()!a:.100}"
        yield _BY_ID["onnx-external-path"].finding(path, message, location=where)
    else:
        subject.fact("file-reference", location, location=where)
    yield from _reach(path, where, tensor, entries)


def _reach(path: str, where: str, tensor: Tensor, entries: Mapping[str, str]) -> Iterator[Finding]:
    length, expected = entries.get("length", ""), tensor.expected_bytes
    if re.fullmatch(r"[0-9]{1,18}", length) and expected is not None and int(length) != expected:
        message = f"{length} bytes of external data where shape and type come to {expected}"
        yield _BY_ID["onnx-tensor-size"].finding(path, message, location=where)
    if tensor.raw_bytes > 0:
        message = f"{tensor.raw_bytes} bytes of raw data in a tensor whose data is elsewhere"
        yield _BY_ID["onnx-tensor-size"].finding(path, message, location=where)
