"""Does this Core ML model need code that is not in it, or files that are elsewhere?

A `.mlmodel` is one protocol buffer: a description and a model of one of some forty types, some of which hold models. All
of it is numbers but for custom models and custom layers (classes that the application brings), linked models (paths),
and ML programs, whose operations name constants in files of the package. Every nested model is walked, and every layer
and operation of networks and programs; parameters of other types are inert.

The weights of a `.mlpackage` are blobs that fill their file. Its `Manifest.json` lists the package's items; their paths must stay inside it.
Source: Apple's `Model.proto`, `NeuralNetwork.proto`, `MIL.proto`. Limit: `protobuf.Budget`.
"""

from __future__ import annotations

import re
from typing import Final

from weighbridge.core.errors import Malformed
from weighbridge.core.finding import Report, Severity
from weighbridge.formats.bounded import read_whole
from weighbridge.formats.coreml_weights import walk_weights
from weighbridge.formats.json_text import parse
from weighbridge.formats.protobuf import VARINT, Field, Message, ProtobufProblem
from weighbridge.inspectors.notes import Notes, shown
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

NAME: Final = "coreml"
MAX_MANIFEST_BYTES: Final = 1024 * 1024


def _rule(name: str, title: str, severity: Severity, explanation: str) -> Rule:
    remedy = "Do not load the model in an application before it is known what this is for."
    return Rule(f"coreml-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "custom-model",
        "Custom Core ML model",
        Severity.HIGH,
        "The whole model is a class that the application loads by name.",
    ),
    _rule(
        "custom-layer",
        "Custom Core ML layer",
        Severity.MEDIUM,
        "The layer is a class that the application loads by name.",
    ),
    _rule(
        "linked-model",
        "Core ML model in another file",
        Severity.HIGH,
        "The reader loads a model from a path that the file names.",
    ),
    _rule(
        "path",
        "Path that leaves the package",
        Severity.HIGH,
        "An item or a constant lies outside of the model's package.",
    ),
    _rule(
        "script", "Script in a Core ML model's description", Severity.HIGH, "The metadata carries code or a command."
    ),
    _rule("unknown-model", "Core ML model of an unknown type", Severity.MEDIUM, "No published type has this number."),
    _rule("broken", "Core ML model that breaks its format", Severity.MEDIUM, "It cannot be followed to its end."),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}

_PIPELINES: Final = {200: 1, 201: 1, 202: 0}
_NETWORKS: Final = frozenset((303, 403, 500))
_PROGRAM, _CUSTOM, _LINKED, _SERIALIZED = 502, 555, 556, 3000
_INERT: Final = frozenset(
    (300, 301, 302, 304, 400, 401, 402, 404, 501, 560, 600, 601, 602, 603, 604, 606, 607, 609, 610, 900)
) | frozenset(range(2000, 2008))
_SCRIPT: Final = re.compile(
    r"<\s*script\b|javascript:|\beval\s*\(|\bexec\s*\(|os\.system|subprocess\.|__import__|/bin/(?:ba)?sh\b|#!/|powershell"
    r"|(?:curl|wget)\s+-?\S*\s*https?:|\bimport\s+os\b|base64\s+-d",
    re.IGNORECASE,
)


class CoreMl:
    """The inspector `coreml`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage when all is parameters; None for what is no Core ML model.

        Raises:
            JsonProblem, LimitExceeded: a manifest cannot be read.
            Truncated: the reader returned less than the artifact's size promises.
        """
        notes = Notes(subject, _BY_ID)
        if (
            subject.kind.name == "json"
            and subject.path.endswith("Manifest.json")
            and b"itemInfoEntries" in subject.head
        ):
            return notes.report(NAME, _manifest(subject, notes))
        if subject.kind.name == "coreml-weights":
            return notes.report(NAME, _weights(subject, notes))
        if subject.kind.name != "coreml":
            return None
        try:
            understood = _Walk(subject, notes).model(Message.of(subject))
        except ProtobufProblem as problem:
            notes.say("coreml-broken", problem.message)
            understood = False
        return notes.report(NAME, subject.size_bytes if understood else 0)


def _manifest(subject: Subject, notes: Notes) -> int:
    value = parse(read_whole(subject, MAX_MANIFEST_BYTES)).value
    items = value.get("itemInfoEntries") if isinstance(value, dict) else None
    for key, item in items.items() if isinstance(items, dict) else ():
        path = item.get("path") if isinstance(item, dict) else None
        if not isinstance(path, str) or _leaves(path):
            notes.say("coreml-path", f"an item is at {shown(str(path))}", location=shown(key))
        else:
            subject.fact("file-reference", f"Data/{path}", location="Core ML package item")
    return subject.size_bytes


def _weights(subject: Subject, notes: Notes) -> int:
    try:
        for start, end in walk_weights(subject):
            subject.inert(start, end)
    except Malformed as problem:
        notes.say("coreml-broken", problem.message)
        return 0
    return subject.size_bytes


def _leaves(path: str) -> bool:
    return path.startswith(("/", "~", "\\")) or ".." in re.split(r"[/\\]", path) or ":" in path or "\x00" in path


class _Walk:
    def __init__(self, subject: Subject, notes: Notes) -> None:
        self._subject = subject
        self._notes = notes

    def model(self, message: Message) -> bool:
        """Whether all of a model was understood."""
        understood, kinds = True, 0
        for field in message.fields():
            if field.number in (1, 10):
                if field.wire_type != VARINT:
                    raise ProtobufProblem(f"field {field.number} is no number", field.at)
            elif field.number == 2:
                self._texts(message.within(field))
            else:
                kinds += 1
                understood = self._type(message, field) and understood
        if not kinds:
            raise ProtobufProblem("the model has no type", message.start)
        return understood

    def _type(self, message: Message, field: Field) -> bool:
        number = field.number
        if number in _PIPELINES:
            pipeline = message.within(field)
            return self._pipeline(pipeline, nested=bool(_PIPELINES[number]))
        if number in _NETWORKS:
            self._network(message.within(field))
        elif number == _PROGRAM:
            self._program(message.within(field))
        elif number == _CUSTOM:
            self._notes.say(
                "coreml-custom-model", f"the model is the class {shown(self._first_text(message.within(field), 10))}"
            )
        elif number in (_LINKED, _SERIALIZED):
            name = self._first_text(message.within(field), 1)
            self._notes.say("coreml-linked-model", f"the model is loaded from {shown(name)}")
        elif number not in _INERT:
            self._notes.say("coreml-unknown-model", f"the model has the type {number}")
            return False
        return True

    def _pipeline(self, message: Message, *, nested: bool) -> bool:
        understood = True
        for field in message.fields():
            if field.number != 1:
                continue
            inner = message.within(field)
            understood = (self._pipeline(inner, nested=False) if nested else self.model(inner)) and understood
        return understood

    def _network(self, message: Message) -> None:
        for field in message.fields():
            if field.number == 1:
                self._layer(message.within(field))

    def _layer(self, layer: Message) -> None:
        name = ""
        for field in layer.fields():
            if field.number == 1:
                name = layer.text(field)
            elif field.number == 500:
                kind = self._first_text(layer.within(field), 10)
                self._notes.say("coreml-custom-layer", f"the layer {shown(name)} is the class {shown(kind)}")
            elif field.is_bytes and field.number > 500:
                self._nested_networks(layer.within(field), field.number)

    def _nested_networks(self, params: Message, number: int) -> None:
        """Branches and loops (numbers from 600 on) hold networks of their own."""
        if number not in (605, 615):
            return
        for field in params.fields():
            if field.is_bytes and field.length > 1 and params.through.bytes_at(field.start, 1) == b"\x0a":
                self._network(params.within(field))

    def _texts(self, description: Message) -> None:
        """The texts a person or a tool reads: descriptions of features, and the metadata."""
        for field in description.fields():
            if not field.is_bytes:
                continue
            data = description.payload(field, at_most=4 * 1024 * 1024).decode("utf-8", "replace")
            found = _SCRIPT.search(data)
            if found:
                self._notes.say("coreml-script", f"the description says {shown(data[found.start() :])}")

    def _first_text(self, message: Message, number: int) -> str:
        for field in message.fields():
            if field.number == number and field.is_bytes:
                return message.text(field)
        return ""

    # --- ML programs ---------------------------------------------------------------------------------

    def _program(self, program: Message) -> None:
        for function in self._values(program, 2):
            for block in self._values(function, 3):
                self._block(block)

    def _values(self, message: Message, number: int) -> list[Message]:
        """The values of a map field."""
        found = []
        for field in message.fields():
            if field.number == number:
                entry = message.within(field)
                found += [entry.within(one) for one in entry.fields() if one.number == 2]
        return found

    def _block(self, block: Message) -> None:
        for field in block.fields():
            if field.number == 3:
                self._operation(block.within(field))

    def _operation(self, operation: Message) -> None:
        kind = ""
        for field in operation.fields():
            if field.number == 1:
                kind = operation.text(field)
            elif field.number == 4:
                self._block(operation.within(field))
            elif field.number == 5:
                self._attribute(operation.within(field), kind)
        if "custom" in kind.lower() or not re.fullmatch(r"[a-z][a-z0-9_]{0,80}", kind):
            self._notes.say("coreml-custom-layer", f"an operation is {shown(kind)}")

    def _attribute(self, entry: Message, kind: str) -> None:
        for field in entry.fields():
            if field.number == 1 and entry.text(field) in ("class_name", "bindings"):
                self._notes.say("coreml-custom-layer", f"the operation {shown(kind)} is a class of the application")
            elif field.number == 2:
                value = entry.within(field)
                for one in value.fields():
                    if one.number == 5:
                        self._blob(self._first_text(value.within(one), 1))

    def _blob(self, path: str) -> None:
        inside = path.removeprefix("@model_path/")
        if _leaves(inside):
            self._notes.say("coreml-path", f"a constant lies in {shown(path)}")
        else:
            self._subject.fact("file-reference", inside, location="Core ML constant")
