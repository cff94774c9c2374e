"""What every kind of deployment is told in: workloads with their words, variables and mounts; and resources of a cloud.

A text that is known only when it is deployed keeps its placeholder, always written `${…}`: of a shell, a template, a
parameter. `is_open` tells such texts; rules say nothing bad of what they cannot know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from weighbridge.core.finding import Finding, Severity
from weighbridge.formats.json_text import Json
from weighbridge.inspectors.notes import MAX_OF_A_RULE, shown
from weighbridge.inspectors.rule import Rule

__all__ = ["Json", "shown"]

NO_TEXT: Final = frozenset(("", "0", "false", "no", "off", "none", "null", "disabled"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: a file, a JSON pointer into its values, a line (0 where it is not known)."""

    file: str
    pointer: str = ""
    line: int = 0

    @property
    def location(self) -> str:
        """As findings write it."""
        pointer = self.pointer if len(self.pointer) <= 300 else f"{self.pointer[:300]}…"
        return ", ".join(part for part in (f"line {self.line}" if self.line else "", pointer) if part)


@dataclass(frozen=True, slots=True)
class Document:
    """One value of a file, and the lines of what is in it."""

    file: str
    value: Json
    lines: Mapping[str, int] = field(default_factory=dict)

    def place(self, pointer: str = "") -> Place:
        """The place of a pointer; its line is that of the nearest value around it that has one."""
        at = pointer
        while at and at not in self.lines:
            at = at.rpartition("/")[0]
        return Place(self.file, pointer, self.lines.get(at, 0))


@dataclass(frozen=True, slots=True)
class Said:
    """A text, and where it stands."""

    text: str
    place: Place

    @property
    def is_open(self) -> bool:
        """Whether it is known only when it is deployed."""
        return is_open(self.text)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable's value: None where only the cluster, the account or the machine knows it."""

    value: str | None
    place: Place
    is_secret: bool = False
    """Whether a place for secrets gives it."""

    @property
    def is_known(self) -> bool:
        """Whether the value is written here."""
        return self.value is not None and not is_open(self.value)


@dataclass(frozen=True, slots=True)
class Mount:
    """Something mounted into a workload. `source` is `claim`, `host`, `scratch`, `volume`, `config`, `secret`, `image` …"""

    path: str
    source: str
    read_only: bool
    place: Place
    capacity_bytes: int | None = None
    """How much it holds, where that is said."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One process and what it is given."""

    platform: str
    """`kubernetes`, `compose`, `sagemaker`, `ecs`, `docker`, `systemd`, `shell`, `env` or `properties`."""
    name: str
    place: Place
    image: Said | None = None
    words: tuple[Said, ...] = ()
    """Its command line, word by word; a shell's script is one word after `-c`."""
    script: Said | None = None
    """A shell script that it runs."""
    variables: Mapping[str, Variable] = field(default_factory=dict)
    properties: Mapping[str, Said] = field(default_factory=dict)
    """What a `serving.properties` that it is given says."""
    mounts: tuple[Mount, ...] = ()
    model: Said | None = None
    """The address of a model that the platform mounts."""
    is_init: bool = False
    has_more: Place | None = None
    """Where it says that it gets variables or arguments that are not written here."""
    folder: str = ""
    """The model's folder, where the platform mounts one."""
    rights: tuple[Said, ...] = ()
    """What it has of the machine's rights: `privileged`, a capability, a socket …"""
    shares: tuple[Said, ...] = ()
    """Which of the host's namespaces it shares."""
    reads_from: Said | None = None
    """A file of variables that it is given, to be looked up among the linted ones."""
    has_devices: bool = False
    """Whether it asks for accelerators."""
    is_model_server: bool = False
    """Whether the platform says that it serves a model, whatever its image."""
    unknown: tuple[Said, ...] = ()
    """Rights and namespaces that only the deployment decides: what each is, and as what it stands there."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of AWS with properties named as in CloudFormation, whatever it was written in."""

    kind: str
    name: str
    properties: Mapping[str, Json]
    document: Document
    pointer: str
    style: str = "cloudformation"
    """How the properties are spelt where they stand: `cloudformation`, `terraform` or `request`."""
    doubts: tuple[tuple[Place, str], ...] = ()
    """Where only the deployment decides what the properties are, and what decides it."""

    def place(self, *keys: str) -> Place:
        """The place of a property."""
        spelt = [_snake(key) for key in keys] if self.style == "terraform" else keys
        return self.document.place("/".join((self.pointer, *spelt)))

    def get(self, *keys: str) -> Json:
        """A property within properties; None where it is not."""
        value: Json = dict(self.properties)
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value


class Findings:
    """What was found, once each, and no more than `MAX_OF_A_RULE` of a rule in a file."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str, str], Finding] = {}
        self._count: dict[tuple[str, str], int] = {}
        self.tokens: dict[Place, tuple[str, str]] = {}
        """Names and values of tokens by where they stand or are referred to; which of the two is told when all was read."""
        self.tokens_given: dict[Place, str] = {}
        """What is to be said of engines that are given a token, by where; not where the token itself is told."""

    def say(self, rule: Rule, place: Place, message: str, *, severity: Severity | None = None) -> None:
        """Notes that what stands there breaks the rule."""
        key = (place.file, rule.id, place.location, message)
        times = self._count.get((place.file, rule.id), 0)
        if key in self._found or times >= MAX_OF_A_RULE:
            return
        self._count[place.file, rule.id] = times + 1
        found = rule.finding(place.file, message[:1000], location=place.location)
        self._found[key] = found if severity is None else replace(found, severity=severity)

    def add(self, findings: Iterable[Finding]) -> None:
        """Takes in findings made elsewhere."""
        for one in findings:
            self._found.setdefault((one.path, one.rule, one.location, one.message), one)

    @property
    def found(self) -> list[Finding]:
        """All of them, worst first."""
        return sorted(self._found.values(), key=lambda one: (one.path, -one.severity, one.rule, one.location))


_PLACEHOLDER: Final = re.compile(r"\$\{|\$\(|\{\{|<[A-Za-z][\w .-]{0,60}>")


def is_open(text: str) -> bool:
    """Whether a text has a part that is known only when it is deployed, or that somebody is to fill in."""
    return _PLACEHOLDER.search(text) is not None


def text_of(value: Json) -> str | None:
    """A value as a program is given it: None for null and for what is no scalar."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    return value if isinstance(value, str) else None


def is_on(value: str | None) -> bool:
    """Whether a switch is on; one that is known only later is not."""
    return value is not None and not is_open(value) and value.strip().strip("\"'").lower() not in NO_TEXT


def mapping(value: Json) -> dict[str, Json]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: Json) -> list[Json]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def number_of(value: Json) -> float | None:
    """A number, also one written as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"\d{1,15}(?:\.\d{1,6})?", value.strip()):
        return float(value)
    return None


_UNITS: Final = {
    "": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40,
    "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40, "pi": 2**50, "p": 10**15,
}  # fmt: skip


def quantity_of(value: Json) -> int | None:
    """Bytes of a quantity (`50Gi`, `500G`, `1073741824`); None where it is none."""
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,3})?)\s*([A-Za-z]{0,2})", (text_of(value) or "").strip())
    unit = _UNITS.get(found.group(2).lower()) if found else None
    return int(float(found.group(1)) * unit) if found and unit is not None else None


def pointer_of(*parts: str | int) -> str:
    """A JSON pointer of parts (RFC 6901)."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", key).lower() if not key.isdigit() else key
