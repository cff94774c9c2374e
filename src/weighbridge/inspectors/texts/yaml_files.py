"""Does this YAML do more than say values: construct objects, name callables to call, or explode when it is read?

YAML can act in three ways. Tags make a loader construct Python objects (`!!python/object/apply:os.system`) or, in
hyperpyyaml (SpeechBrain), import and call (`!new:`, `!apply:`). Keys of hydra, NeMo, Lightning and latent diffusion
(`_target_`, `class_path`, `target`) name what a loader imports and calls. Aliases multiply what was written once.

A text in which no tag, alias, escape or such key can occur is inert as it stands and is passed without being parsed.
Any other is followed as events of PyYAML's parser in pure Python; nothing is ever constructed.

Limits: `MAX_BYTES` of text, `MAX_EVENT_BYTES` of text that must be parsed, `MAX_EXPANDED` values after aliases.
Covers `yaml` by name of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field
from typing import Final

import yaml

from weighbridge.core.dataclass import dataclass
from weighbridge.core.finding import Report, Severity
from weighbridge.formats.bounded import read_whole
from weighbridge.formats.kinds import is_text
from weighbridge.inspectors.dotted_names import Standing, standing_of
from weighbridge.inspectors.notes import Notes, shown
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

NAME: Final = "yaml"
MAX_BYTES: Final = 16 * 1024 * 1024
MAX_EVENT_BYTES: Final = 96 * 1024
MAX_EXPANDED: Final = 1_000_000
MAX_DEPTH: Final = 200
MAX_COLLECTED: Final = 50_000


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str) -> Rule:
    return Rule(f"yaml-{name}", title, severity, NAME, explanation, remedy)


_VALUES = "Ask its publisher for a file of plain values; read YAML only with a safe loader."
RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "python-tag",
        "Tag that makes a loader construct Python objects",
        Severity.CRITICAL,
        "`!!python/...` tags import modules, call functions and build objects of any class in unsafe and full loaders.",
        _VALUES,
    ),
    _rule(
        "weapon",
        "Names a callable that runs code",
        Severity.CRITICAL,
        "A tag or a key that loaders import and call (`!apply:`, `_target_`, `class_path`) names one that runs code, "
        "starts processes, loads other objects or reaches files.",
        "Do not instantiate anything from this file.",
    ),
    _rule(
        "callable",
        "Names a callable that is not known",
        Severity.MEDIUM,
        "A loader imports and calls it when it builds the model; nothing here knows what it does.",
        "Find out which package it is from and what it does, or do not instantiate it.",
    ),
    _rule(
        "unknown-tag",
        "Tag of no known meaning",
        Severity.MEDIUM,
        "Only an application that registers a constructor for it can read it; what that does is not known.",
        _VALUES,
    ),
    _rule(
        "include",
        "Takes in another file",
        Severity.MEDIUM,
        "An include tag or environment tag makes the loader read what lies outside this file.",
        "Look at what is included, or have it written out.",
    ),
    _rule(
        "interpolation",
        "Evaluates or reads the environment",
        Severity.MEDIUM,
        "An interpolation with a resolver (`${oc.env:...}`, `${eval:...}`) reads secrets of the environment or computes.",
        "Replace it by the value, or review the resolver.",
    ),
    _rule(
        "code",
        "Code in a value",
        Severity.HIGH,
        "Builders of networks from YAML (YOLO's) evaluate names, activations and arguments as Python; others run commands.",
        _VALUES,
    ),
    _rule(
        "download-script",
        "Script that fetches the data set",
        Severity.MEDIUM,
        "Ultralytics runs what stands under `download` as Python, or in a shell, when the data set is not there.",
        "Fetch the data set yourself, and leave the file out with --exclude.",
    ),
    _rule(
        "trust-remote-code",
        "Settings that let a model bring its own code",
        Severity.LOW,
        "Started with this file, trainers and servers (LLaMA-Factory, axolotl, `vllm serve --config`) run the code of the "
        "model or data set that it names, without asking.",
        "Write your own settings, and let only code be run that you have reviewed.",
    ),
    _rule(
        "alias-bomb",
        "Aliases that multiply without measure",
        Severity.HIGH,
        "Written out, the document has more values than any honest one: whoever copies or prints it runs out of memory.",
        "Do not load the file.",
    ),
    _rule(
        "recursive",
        "Value that contains itself",
        Severity.MEDIUM,
        "An alias leads into the value it stands in; code that walks the document does not end.",
        _VALUES,
    ),
    _rule(
        "not-understood",
        "YAML that cannot be followed",
        Severity.LOW,
        "It is broken, too large or too deep, or of another dialect, so it is not known what a loader makes of it.",
        "Ask its publisher for a file that follows YAML 1.1.",
    ),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}

_TRUST: Final = re.compile(
    rb"(?i)(?<![\w-])[\"']?trust[-_]remote[-_]code[\"']?[ \t]{0,20}:[ \t]{0,20}[\"']?(?:true|yes|on|1)[\"']?[ \t]{0,20}(?:[\r\n#,}]|\Z)"
)
# What must be there for a text to be more than values; anything here sends it through the parser.
_ACTING: Final = re.compile(
    rb"""[!\\*]|&\S|^%|\$\{|_target_|class_path|\btarget\b|\b(?:_partial_|__target__|_call_|callable)\b"""
    rb"""|__import__|\b(?:eval|exec) {0,4}\(|\bos\.|\bsubprocess\.|\bdownload\b|\b(?:curl|wget)\b|custom_imports""",
    re.MULTILINE,
)
_PLAIN_TAGS: Final = "null bool int float binary timestamp omap pairs set str seq map merge value"
_SAFE_TAGS: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in _PLAIN_TAGS.split()) | {"!"}
_HYPER_PLAIN: Final = ("!ref", "!copy", "!tuple", "!PLACEHOLDER")
_HYPER_CALLS: Final = ("!new:", "!name:", "!apply:", "!module:")
_INCLUDES: Final = ("!include", "!env", "!secret", "!path", "!file")
_TARGET_KEYS: Final = frozenset(("_target_", "__target__", "_call_", "class_path", "target", "callable"))
_CODE: Final = re.compile(
    r"\b__import__\s{0,4}\(|\b(?:eval|exec)\s{0,4}\(|\bos\.(?:system|popen|exec\w{1,3}|spawn\w{1,3})\s{0,4}\("
    r"|\bsubprocess\.\w{1,20}\s{0,4}\(|\b(?:curl|wget)\s[^\n|]{1,300}+\|\s{0,4}(?:sudo\s+)?(?:ba|z|da|k)?sh\b"
)
_FREE_TEXT: Final = ("prompt", "template", "description", "instruction", "text", "comment", "note", "example", "title")
_DOTTED: Final = re.compile(r"[A-Za-z_]\w*(?:\.\w+)+\Z")
_RESOLVER: Final = re.compile(r"\$\{\s*(?:oc\.)?(?:env|eval|decode|python|exec|shell|file|import)\b[^}]{0,80}")


class YamlFiles:
    """The inspector `yaml`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage for plain values and ordinary callables; None for what is no YAML by its name.

        Raises:
            LimitExceeded: the text is larger than is read.
            Truncated: the reader returned less than the artifact's size promises.
        """
        if subject.kind.name != "yaml":
            return None
        notes = Notes(subject, _BY_ID)
        data = read_whole(subject, MAX_BYTES)
        if not is_text(data, whole=True):
            # Its first bytes made it text; what lies further on may be a program or an archive.
            notes.say("yaml-not-understood", "the file is not text to its end")
        understood = judge(data, notes) and is_text(data, whole=True)
        return notes.report(NAME, len(data) if understood else 0)


def judge(data: bytes, notes: Notes) -> bool:
    """Says what the text could do; whether it was understood."""
    trusting = _TRUST.search(data)
    if trusting:
        line = f"line {data.count(10, 0, trusting.start()) + 1}"
        notes.say("yaml-trust-remote-code", "the settings say that code of the model may be run", location=line)
    if not _ACTING.search(data):
        return True
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        notes.say("yaml-not-understood", f"the text is not UTF-8 at offset {error.start}")
        return False
    if len(data) > MAX_EVENT_BYTES:
        # A tag may be anywhere; what is obvious is said although the rest is not understood.
        if "!!python/" in text or "tag:yaml.org,2002:python/" in text:
            notes.say("yaml-python-tag", "the text holds a `!!python/` tag")
        notes.say("yaml-not-understood", f"{len(data)} bytes would have to be parsed, and {MAX_EVENT_BYTES} are")
        return False
    walk = _Walk(notes)
    try:
        for event in _events(text):
            if not walk.take(event):
                return False
    except yaml.YAMLError as error:
        notes.say("yaml-not-understood", f"the text is no YAML: {shown(str(error))}")
        _obvious(text, notes)
        return False
    return True


def _events(text: str) -> Iterator[yaml.Event]:
    yield from yaml.parse(text, Loader=yaml.SafeLoader)


def _obvious(text: str, notes: Notes) -> None:
    """What a broken or foreign text says before and after the place where it broke."""
    for found in re.finditer(r"!!python/[\w/]+:?[\w.]*|!(?:new|apply|name):([\w.]+)", text):
        named = found.group(1)
        if named is None:
            notes.say("yaml-python-tag", f"the text holds the tag {shown(found.group())}")
        elif standing_of(named) is Standing.WEAPON:
            notes.say("yaml-weapon", f"the text names {shown(named)}")


def _names_something(value: str) -> bool:
    """Whether an everyday key names a class or a weapon, and not a host or a file."""
    if not _DOTTED.match(value):
        return False
    return standing_of(value) is not Standing.UNKNOWN or value.rpartition(".")[2][:1].isupper()


@dataclass(slots=True)
class _Open:
    """A collection under way. `count` is how many values it has, written out."""

    mapping: bool
    anchor: str
    count: int = 1
    key: str | None = None
    at_key: bool = True


@dataclass(slots=True)
class _Walk:
    """Follows events; keeps the size of what each anchor stands for."""

    notes: Notes
    stack: list[_Open] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def take(self, event: yaml.Event) -> bool:
        """Whether the walk can go on."""
        line = f"line {event.start_mark.line + 1}" if event.start_mark is not None else ""
        match event:
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._tag(event.tag, "", line)
                self.stack.append(_Open(isinstance(event, yaml.MappingStartEvent), event.anchor or ""))
                if len(self.stack) > MAX_DEPTH:
                    self.notes.say("yaml-not-understood", f"more than {MAX_DEPTH} collections within each other")
                    return False
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                done = self.stack.pop()
                return self._add(done.count, done.anchor, None)
            case yaml.ScalarEvent():
                self._tag(event.tag, event.value, line)
                self._scalar(event.value, line)
                if event.anchor:
                    self.texts[event.anchor] = event.value
                return self._add(1, event.anchor or "", event.value)
            case yaml.AliasEvent():
                return self._alias(event.anchor or "", line)
            case _:
                return True
        return True

    def _alias(self, anchor: str, line: str) -> bool:
        if any(anchor == one.anchor for one in self.stack):
            self.notes.say("yaml-recursive", f"{shown(anchor)} contains itself", location=line)
        text = self.texts.get(anchor)
        if text is not None:
            self._scalar(text, line)
        return self._add(self.sizes.get(anchor, 1), "", text)

    def _add(self, count: int, anchor: str, scalar: str | None) -> bool:
        if anchor:
            self.sizes[anchor] = count
            if scalar is None:
                self.texts.pop(anchor, None)
        if not self.stack:
            return True
        top = self.stack[-1]
        top.count += count
        if top.mapping:
            top.key = (scalar or "") if top.at_key else None
            top.at_key = not top.at_key
        if top.count > MAX_EXPANDED:
            self.notes.say("yaml-alias-bomb", f"the document has more than {MAX_EXPANDED} values, written out")
            return False
        return True

    def _scalar(self, value: str, line: str) -> None:
        top = self.stack[-1] if self.stack else None
        if _RESOLVER.search(value):
            self.notes.say("yaml-interpolation", f"{shown(value)} is evaluated by a resolver", location=line)
        key = (top.key or "") if top is not None and top.mapping and not top.at_key else ""
        if _CODE.search(value) and not any(word in key.lower() for word in _FREE_TEXT):
            self.notes.say("yaml-code", f"{shown(key)} is {shown(value)}", location=line)
        elif not (top is None or top.mapping) and self._is_layer() and standing_of(value) is Standing.WEAPON:
            self.notes.say("yaml-code", f"a layer is {shown(value)}", location=line)
        elif key == "download" and len(self.stack) == 1 and re.search(r"\s", value.strip()):
            self.notes.say("yaml-download-script", f"the script is {shown(value)}", location=line)
        if self._is_import():
            # Readers of OpenMMLab's configurations import every module that stands here.
            self._callable(value, "custom_imports", line)
        if top is None or not top.mapping or top.at_key or top.key not in _TARGET_KEYS:
            return
        if top.key in ("target", "callable") and not _names_something(value.strip()):
            return
        if "${" in value or not value.strip():
            return
        self._callable(value, f"{top.key}", line)

    def _is_layer(self) -> bool:
        """Whether the value at hand is part of a layer that YOLO's builders evaluate."""
        return any(one.key in ("backbone", "head", "neck") for one in self.stack if one.mapping and not one.at_key)

    def _is_import(self) -> bool:
        """Whether the value at hand is one of `custom_imports: {imports: ...}`."""
        keys = [one.key for one in self.stack if one.mapping and not one.at_key]
        return keys[-2:] == ["custom_imports", "imports"]

    def _callable(self, name: str, by: str, line: str) -> None:
        standing = standing_of(name)
        if standing is Standing.WEAPON:
            self.notes.say("yaml-weapon", f"{by} names {shown(name)}", location=line)
        elif standing is Standing.UNKNOWN:
            self.notes.say("yaml-callable", f"{by} names {shown(name)}", location=line)

    def _tag(self, tag: str | None, value: str, line: str) -> None:
        if not tag or tag in _SAFE_TAGS:
            return
        if tag.startswith("tag:yaml.org,2002:python/") or "python/" in tag:
            self.notes.say("yaml-python-tag", f"the tag is {shown(tag)}", location=line)
        elif tag.startswith(_HYPER_CALLS):
            self._callable(tag.partition(":")[2], shown(tag.partition(":")[0]), line)
        elif tag.startswith(_INCLUDES):
            self.notes.say("yaml-include", f"the tag {shown(tag)} takes in {shown(value)}", location=line)
        elif not (tag in _HYPER_PLAIN or tag.startswith("!ref")):
            self.notes.say("yaml-unknown-tag", f"the tag is {shown(tag)}", location=line)
