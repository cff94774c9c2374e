"""Finds what runs in a Dockerfile, a systemd unit and a shell script.

Sources: the Dockerfile reference; systemd.service(5), systemd.exec(5), systemd.syntax(7).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from weighbridge.core.errors import FormatError, Malformed
from weighbridge.deploy.lint.parts import Mount, Place, Said, Variable, Workload
from weighbridge.deploy.lint.properties import expanded, lines_of
from weighbridge.formats import json_text

_INSTRUCTION: Final = re.compile(r"\s*([A-Za-z]+)\s+(.*)\Z", re.DOTALL)
_HERE: Final = re.compile(r"<<-?\s*([\"']?)([A-Za-z_]\w*)\1")
_GIT_SOURCE: Final = re.compile(r"(?:https?://\S+\.git\b|git@|git://|https?://git(?:hub|lab)\.com/\S+#)\S*")


@dataclass(slots=True)
class Image:
    """What a Dockerfile makes: its bases, what its last stage runs and is given, and what it is built from."""

    workloads: list[Workload] = field(default_factory=list)
    bases: list[Said] = field(default_factory=list)
    git: list[Said] = field(default_factory=list)


def read_dockerfile(data: bytes, file: str) -> Image:
    """What a Dockerfile makes.

    Raises:
        LimitExceeded, Malformed: it is too large, or no Dockerfile.
    """
    made = Image()
    arguments: dict[str, str] = {}
    stages: set[str] = set()
    variables: dict[str, Variable] = {}
    ran: list[Said] = []
    started: dict[str, tuple[Said, ...]] = {}
    for number, name, raw in _instructions(lines_of(data, "Dockerfile")):
        place = Place(file, f"/{name}", number)
        text = expanded(raw, arguments) if name not in ("RUN", "CMD", "ENTRYPOINT") else raw
        if name == "ARG":
            arguments = {**{key: value for key, value in _pairs(text) if value}, **arguments}
        elif name == "FROM":
            variables, started = {}, {}
            _base(text, place, made, stages)
        elif name == "ENV":
            variables |= {key: Variable(value, place) for key, value in _pairs(text)}
            arguments |= {key: one.value for key, one in variables.items() if one.value is not None}
        elif name == "RUN":
            ran.append(Said(re.sub(r"^(?:--\w+=\S+\s+)+", "", text), place))
        elif name in ("CMD", "ENTRYPOINT"):
            started[name] = _started(text, place)
        elif name == "ADD" and _GIT_SOURCE.search(text):
            made.git.append(Said(text, place))
    if not made.bases and not stages:
        raise Malformed("there is no FROM in it")
    made.workloads += [
        Workload("docker", "RUN", script.place, script=script, variables=variables, is_init=True) for script in ran
    ]
    words = (*started.get("ENTRYPOINT", ()), *started.get("CMD", ()))
    base = made.bases[-1] if made.bases else None
    place = words[0].place if words else Place(file, "/FROM", base.place.line if base else 1)
    made.workloads.append(Workload("docker", "image", place, image=base, words=words, variables=variables))
    return made


def _instructions(lines: list[str]) -> Iterator[tuple[int, str, str]]:
    """Line, name and text of each instruction, continued lines and here-documents taken in."""
    at = 0
    while at < len(lines):
        start, line = at, lines[at]
        at += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        while line.rstrip().endswith("\\") and at < len(lines):
            line = line.rstrip()[:-1]
            while at < len(lines) and (lines[at].lstrip().startswith("#") or not lines[at].strip()):
                at += 1
            if at < len(lines):
                line += " " + lines[at]
                at += 1
        read = _INSTRUCTION.match(line)
        if read is None or read.group(1).upper() not in _KNOWN:
            raise Malformed(f"line {start + 1} is no instruction of a Dockerfile")
        name, text = read.group(1).upper(), read.group(2).strip()
        here = _HERE.search(text) if name in ("RUN", "COPY") else None
        if here is not None:
            body = []
            while at < len(lines) and lines[at].strip() != here.group(2):
                body.append(lines[at])
                at += 1
            at += 1
            text = "\n".join(body) if name == "RUN" else text
        yield start + 1, name, text


_KNOWN: Final = frozenset(
    [
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ]
)


def _base(text: str, place: Place, made: Image, stages: set[str]) -> None:
    words = [word for word in text.split() if not word.startswith("--")]
    if not words:
        raise Malformed(f"line {place.line} names no image")
    if words[0].lower() not in stages and words[0] != "scratch":
        made.bases.append(Said(words[0], place))
    if len(words) == 3 and words[1].lower() == "as":
        stages.add(words[2].lower())


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    if words and "=" not in words[0]:
        return [(words[0], " ".join(words[1:]))]
    return [(key, value) for key, _, value in (word.partition("=") for word in words)]


def _started(text: str, place: Place) -> tuple[Said, ...]:
    if text.startswith("["):
        try:
            value = json_text.parse(text.encode("utf-8")).value
        except FormatError:
            value = None
        if isinstance(value, list):
            return tuple(Said(word, place) for word in value if isinstance(word, str))
    return (Said("/bin/sh", place), Said("-c", place), Said(text, place))


@dataclass(slots=True)
class _Unit:
    """What the settings of a unit give to all that it starts."""

    variables: dict[str, Variable] = field(default_factory=dict)
    mounts: list[Mount] = field(default_factory=list)
    shares: list[Said] = field(default_factory=list)
    more: Said | None = None
    image: Said | None = None

    def take(self, key: str, value: str, place: Place) -> None:
        """Takes in a setting."""
        if key == "Environment":
            self.variables |= {name: Variable(text, place) for name, text in _pairs(value)}
        elif key == "EnvironmentFile":
            self.more = Said(value.lstrip("-"), place)
        elif key == "Image":
            self.image = Said(value, place)
        elif key in ("ReadOnlyPaths", "BindReadOnlyPaths", "ReadWritePaths", "BindPaths"):
            paths = [part.lstrip("-+").split(":")[-1] for part in value.split()]
            self.mounts += [Mount(path, "host", "ReadOnly" in key, place) for path in paths]
        elif key == "Volume":
            parts = value.split(":")
            self.mounts.append(Mount(parts[min(1, len(parts) - 1)], "host", "ro" in parts[-1].split(","), place))
        elif key == "Network" and value == "host":
            self.shares.append(Said("Network=host", place))

    def workload(self, name: str, place: Place, words: tuple[Said, ...] = ()) -> Workload:
        """What a command of the unit is."""
        return Workload(
            "systemd",
            name,
            place,
            image=self.image,
            words=words,
            variables=self.variables,
            mounts=tuple(self.mounts),
            is_init=name == "ExecStartPre",
            has_more=self.more.place if self.more else None,
            reads_from=self.more,
            shares=tuple(self.shares),
        )


def read_unit(data: bytes, file: str) -> list[Workload]:
    """What a systemd unit, or a container of Podman's Quadlet, starts.

    Raises:
        LimitExceeded, Malformed: it is too large, or no unit.
    """
    settings = list(_settings(lines_of(data, "unit"), file))
    if not settings:
        raise Malformed("there is no section in it")
    unit = _Unit()
    for _section, key, value, place in settings:
        unit.take(key, value, place)
    found = [
        unit.workload(key, place, tuple(Said(word, place) for word in _exec(value)))
        for section, key, value, place in settings
        if (section == "Container" and key == "Exec")
        or key in ("ExecStart", "ExecStartPre", "ExecStartPost", "ExecReload")
    ]
    if not found and unit.image is not None:
        found.append(unit.workload("container", unit.image.place))
    return found


def _settings(lines: list[str], file: str) -> Iterator[tuple[str, str, str, Place]]:
    section, at = "", 0
    while at < len(lines):
        start, line = at, lines[at].strip()
        at += 1
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
            continue
        while line.endswith("\\") and at < len(lines):
            following = lines[at].strip()
            at += 1
            line = line[:-1] + " " + ("" if following[:1] in ("#", ";") else following)
        key, equals, value = line.partition("=")
        if not equals or not section:
            raise Malformed(f"line {start + 1} is no setting of a unit")
        yield section, key.strip(), value.strip(), Place(file, f"/{section}/{key.strip()}", start + 1)


def _exec(value: str) -> list[str]:
    text = value.lstrip("@-:+!|")
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
