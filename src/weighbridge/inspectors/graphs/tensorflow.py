"""What would running this TensorFlow graph do besides computing?

A SavedModel is a program: loading it runs its initializers, and serving it the rest. Every operation is judged by name:
those that read or write files, call Python, talk to others or carry another program do not pass; those that TensorFlow
does not have need a library, and are unknown. Saving and restoring is part of every SavedModel and passes, unless the
graph itself fixes the path. Keras' descriptions inside are judged like any Keras configuration.

Concerns `saved_model.pb`, MetaGraphs (`.meta`), frozen graphs (`.pb`), `keras_metadata.pb`, `fingerprint.pb` and checkpoints, by content
where it tells and else by name; graphs written as text are searched for known operations, and not understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from weighbridge.core.errors import LimitExceeded
from weighbridge.core.finding import Finding, Report, Severity, Verdict
from weighbridge.formats.protobuf import ProtobufLimit, ProtobufProblem
from weighbridge.formats.tensor_bundle import is_index, read_index
from weighbridge.formats.tensorflow import MAX_METADATA_BYTES, Graphs, Node, Scope, read_graphs
from weighbridge.formats.tensorflow_ops import REGISTERED
from weighbridge.formats.zip_tail import zip_at_the_end
from weighbridge.inspectors.graphs import keras_judge
from weighbridge.inspectors.graphs import tensorflow_dangers as dangers
from weighbridge.inspectors.notes import first_of_each
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject, report_of

NAME: Final = "tensorflow"
MAX_SAME: Final = 20
MAX_TEXT_BYTES: Final = 64 * 1024 * 1024
_TRACE_STEPS: Final = 200
_REFUSE: Final = "Do not load the model. Ask its publisher for one that computes and nothing else."
_POLICY: Final = "Decide whether the library that implements it is one you use, or ask for a model without it."


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str = _REFUSE) -> Rule:
    return Rule(f"tensorflow-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "python-operation", "Operation that calls Python", Severity.HIGH, "It calls a function of the process by name."
    ),
    _rule(
        "file-operation",
        "Operation that reads or writes files",
        Severity.HIGH,
        "It does so with the rights of whoever runs the model, at a path that the graph chooses.",
    ),
    _rule(
        "network-operation",
        "Operation that talks to another machine",
        Severity.HIGH,
        "Data leaves, or programs come in, at an address that the graph chooses.",
    ),
    _rule(
        "fixed-path",
        "Saves, restores or reads a table at a path that the graph fixes",
        Severity.HIGH,
        "These operations take their path from outside in every ordinary model; here it leads out of the model's folder.",
    ),
    _rule(
        "path-constant",
        "Path of a host, or an address, as a constant",
        Severity.MEDIUM,
        "What the graph does with it is not known.",
        "Ask what it is for.",
    ),
    _rule(
        "nested-program",
        "Operation that carries another program",
        Severity.MEDIUM,
        "A serialised graph, StableHLO or an engine's program inside the graph, which is not read here.",
        "Ask for a model in TensorFlow's own operations.",
    ),
    _rule(
        "custom-operation",
        "Operation that TensorFlow does not have",
        Severity.MEDIUM,
        "It runs only with a library of custom operations, which the model's user is asked to load.",
        _POLICY,
    ),
    _rule(
        "function-override",
        "Function under the name of an operation",
        Severity.HIGH,
        "The graph shows a well-known operation, and TensorFlow runs the function instead.",
    ),
    _rule(
        "asset-path",
        "Asset outside the model's folder",
        Severity.HIGH,
        "An asset's name is a file in the model's assets folder; this one climbs out of it.",
    ),
    _rule(
        "unknown-field",
        "Fields that the format does not have",
        Severity.MEDIUM,
        "Readers skip them, so anything can lie there; perhaps a newer TensorFlow than these rules know.",
        "Ask for a model written by a released version, or wait for rules that know it.",
    ),
    _rule("zip-polyglot", "Also a zip archive", Severity.HIGH, "A reader of zip archives finds another content in it."),
    _rule(
        "not-readable",
        "Not the message it says",
        Severity.HIGH,
        "The name or the first bytes say TensorFlow, and the rest is no such message.",
        "Do not load the file. Fetch it again from its publisher.",
    ),
    _rule(
        "not-understood",
        "Larger or deeper than is read, or written as text",
        Severity.MEDIUM,
        "The graph was not followed, so nothing is known of it.",
        "Ask for a SavedModel in binary form.",
    ),
)
_BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}
_UNSETTLED: Final = frozenset(
    f"tensorflow-{name}" for name in ("path-constant", "nested-program", "custom-operation", "not-understood")
) | (keras_judge.UNSETTLED - {"keras-file-reference"})
_BY_DANGER: Final = (
    (dangers.PYTHON, "python-operation"),
    (dangers.FILES, "file-operation"),
    (dangers.NETWORK, "network-operation"),
    (dangers.NESTED, "nested-program"),
)
_DATA_FILE: Final = re.compile(r"\.data-[0-9]{5}-of-[0-9]{5}$")
_TEXT_OP: Final = re.compile(rb"""\bop\s*:\s*["']([A-Za-z_][\w>.]{0,100})["']""")
_TEXT_GRAPH: Final = re.compile(
    rb"(?m)^\s*(?:node\s*\{|node_def\s*\{|meta_graphs\s*\{|graph_def\s*\{|saved_model_schema_version\s*:)"
)


class TensorFlow:
    """The inspector `tensorflow`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage for a graph of known operations; None for files of other formats.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        if subject.suffix in (".pbtxt", ".prototxt") and subject.kind.name == "structured-text":
            return self._text(subject)
        root = root_of(subject)
        if root is None:
            return self._checkpoint(subject)
        try:
            graphs = read_graphs(subject, root)
        except (ProtobufLimit, LimitExceeded) as error:
            note = _BY_ID["tensorflow-not-understood"].finding(subject.path, error.message)
            return report_of(NAME, subject, [note], 0)
        except ProtobufProblem as error:
            if root == "graph-def" and subject.kind.name == "unrecognised":
                return None
            return report_of(NAME, subject, [_BY_ID["tensorflow-not-readable"].finding(subject.path, error.message)], 0)
        if subject.kind.name == "unrecognised" and graphs.strays and not graphs.scopes:
            # Some other message under a name that TensorFlow's share with many: not for this inspector.
            return None
        for start, end in graphs.data_spans:
            subject.inert(start, end)
        findings = [*first_of_each(_findings(subject, graphs), MAX_SAME), *_keras(subject, graphs)]
        report = report_of(NAME, subject, findings, subject.size_bytes - graphs.stray_bytes, kind=subject.kind.name)
        return _settled(report)

    def _checkpoint(self, subject: Subject) -> Report | None:
        """A checkpoint's index, every byte of it; or its data file, which is tensors by the format's own rules."""
        if subject.kind.name != "unrecognised":
            return None
        if _DATA_FILE.search(subject.path):
            return report_of(NAME, subject, [], subject.size_bytes, kind=subject.kind.name)
        if subject.suffix != ".index" or not is_index(subject):
            return None
        try:
            index = read_index(subject)
        except LimitExceeded as error:
            note = _BY_ID["tensorflow-not-understood"].finding(subject.path, error.message)
            return report_of(NAME, subject, [note], 0)
        except ProtobufProblem as error:
            return report_of(NAME, subject, [_BY_ID["tensorflow-not-readable"].finding(subject.path, error.message)], 0)
        stem = subject.path.rpartition("/")[2].removesuffix(".index")
        for number in range(min(index.shards, 10_000)):
            subject.fact("file-reference", f"{stem}.data-{number:05}-of-{index.shards:05}", location="index")
        return report_of(NAME, subject, [], index.covered_bytes, kind=subject.kind.name)

    def _text(self, subject: Subject) -> Report | None:
        if subject.size_bytes > MAX_TEXT_BYTES or not _TEXT_GRAPH.search(subject.head):
            return None
        text = subject.read_exactly(0, subject.size_bytes)
        found = []
        for name in sorted({match[1].decode("ascii") for match in _TEXT_OP.finditer(text)}):
            for names, rule in _BY_DANGER:
                if name in names:
                    found.append(_BY_ID[f"tensorflow-{rule}"].finding(subject.path, f"operation {name!a:.100}"))
        message = "a graph written as text, which is not followed"
        found.append(_BY_ID["tensorflow-not-understood"].finding(subject.path, message))
        return report_of(NAME, subject, found, 0)


def root_of(subject: Subject) -> str | None:
    """Which message the artifact is, by content, then by name; None when it is none of TensorFlow's."""
    kind, base = subject.kind.name, subject.path.rpartition("/")[2].lower()
    if kind in ("saved-model", "graph-def", "keras-metadata"):
        return "meta-graph" if subject.suffix == ".meta" and kind != "saved-model" else kind
    if kind not in ("unrecognised", "onnx") or not subject.size_bytes:
        return None
    by_name = {"saved_model.pb": "saved-model", "keras_metadata.pb": "keras-metadata", "fingerprint.pb": "fingerprint"}
    if base in by_name:
        return by_name[base]
    if subject.suffix == ".meta" and subject.head[:1] == b"\x0a":
        return "meta-graph"
    return "graph-def" if subject.suffix == ".pb" and subject.head[:1] in (b"\x0a", b"\x12", b"\x22") else None


def _settled(report: Report) -> Report:
    if report.verdict is Verdict.CLEAN and any(finding.rule in _UNSETTLED for finding in report.findings):
        return replace(report, verdict=Verdict.UNKNOWN)
    return report


def _findings(subject: Subject, graphs: Graphs) -> Iterator[Finding]:
    path = subject.path
    functions = {scope.name for scope in graphs.scopes if scope.name}
    assets = {tensor for _, tensor in graphs.assets}
    for scope in graphs.scopes:
        if scope.name in REGISTERED:
            message = f"the function {scope.name!a:.100} has the name of an operation"
            yield _BY_ID["tensorflow-function-override"].finding(path, message, location=f"offset {scope.at}")
        yield from _scope(path, scope, functions, assets)
    for name, _ in graphs.assets:
        if not name or dangers.ELSEWHERE.match(name):
            yield _BY_ID["tensorflow-asset-path"].finding(path, f"the asset {name!a:.100}")
        else:
            subject.fact("file-reference", f"assets/{name}", location="asset")
    for stray in graphs.strays:
        message = f"{stray.message} has a field {stray.number}, of {stray.end - stray.start} bytes"
        yield _BY_ID["tensorflow-unknown-field"].finding(path, message, location=f"offset {stray.start}")
    place = zip_at_the_end(subject)
    if place is not None:
        message = "a zip archive's directory ends at the end"
        yield _BY_ID["tensorflow-zip-polyglot"].finding(path, message, location=f"offset {place}")


def _scope(path: str, scope: Scope, functions: set[str], assets: set[str]) -> Iterator[Finding]:
    nodes = {node.name: node for node in scope.nodes}
    within = f"function {scope.name!a:.80}, " if scope.name else ""
    said = set()
    for node in scope.nodes:
        for rule, message in _node(node, nodes, functions, assets):
            if (rule, message) not in said:
                said.add((rule, message))
                place = f"{within}node {node.name!a:.80}, offset {node.at}"
                yield _BY_ID[f"tensorflow-{rule}"].finding(path, message, location=place)


def _node(node: Node, nodes: Mapping[str, Node], functions: set[str], assets: set[str]) -> Iterator[tuple[str, str]]:
    op = node.op
    danger = next((rule for names, rule in _BY_DANGER if op in names), "")
    if danger:
        yield danger, f"operation {op!a:.100}{_told(node, nodes)}"
    elif op not in REGISTERED and op not in functions:
        yield "custom-operation", f"operation {op!a:.100}"
    elif op == "PrintV2":
        stream = _attribute(node, "output_stream")
        if stream.startswith("file:"):
            yield "file-operation", f"operation 'PrintV2' writes to {stream!a:.100}"
    elif op == "Const":
        if node.name not in assets:
            yield from _constant(node)
    elif op in dangers.CHECKPOINTS:
        for text in filter(dangers.ELSEWHERE.match, _reached(node, nodes, assets)):
            yield "fixed-path", f"operation {op!a} at {text!a:.100}"


def _constant(node: Node) -> Iterator[tuple[str, str]]:
    texts = node.attributes["value"].texts if "value" in node.attributes else ()
    if len(texts) == 1 and len(texts[0]) < 1024 and dangers.HOST_PATH.match(texts[0]):
        yield "path-constant", f"the constant {texts[0]!a:.100}"


def _attribute(node: Node, name: str) -> str:
    attribute = node.attributes.get(name)
    return attribute.texts[0] if attribute and attribute.texts else ""


def _told(node: Node, nodes: Mapping[str, Node]) -> str:
    """The first constant text that reaches an operation, for the reader."""
    text = next(_reached(node, nodes, frozenset(), every_input=True), "")
    return f" with {text!a:.100}" if text else ""


def _reached(
    node: Node, nodes: Mapping[str, Node], assets: set[str] | frozenset[str], *, every_input: bool = False
) -> Iterator[str]:
    """The constant texts that become the path an operation is given."""
    place = 1 if node.op.startswith(("InitializeTable", "CacheDataset")) else 0
    waiting = list(node.inputs if every_input else node.inputs[place : place + 1])
    if node.op == "MergeV2Checkpoints" and not every_input:
        waiting = list(node.inputs[:2])
    seen: set[str] = set()
    while waiting and len(seen) < _TRACE_STEPS:
        name = waiting.pop().lstrip("^").partition(":")[0]
        source = nodes.get(name)
        if source is None or name in seen or name in assets:
            continue
        seen.add(name)
        if source.op == "Const":
            yield from source.attributes["value"].texts if "value" in source.attributes else ()
        else:
            waiting += source.inputs


def _keras(subject: Subject, graphs: Graphs) -> list[Finding]:
    """Keras rebuilds layers from their description when it loads a SavedModel; custom classes come from the graph."""
    found: list[Finding] = []
    for start, end in graphs.keras:
        length = end - start
        if length > MAX_METADATA_BYTES:
            message = f"{length} bytes of Keras configuration"
            found.append(_BY_ID["tensorflow-not-understood"].finding(subject.path, message))
            continue
        data = subject.read_exactly(start, length)
        if data.lstrip()[:1] == b"{":
            found += keras_judge.judge_bytes(data, subject.path, f"offset {start}", revived=True)
    return first_of_each(found, MAX_SAME)
