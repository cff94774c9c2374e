"""Finds what runs in a compose file: services with their commands, variables, mounts and networks.

Variables of compose (`${NAME:-default}`) get their default, or what a linted `.env` says; others stay open. An `env_file` is read
where it is linted too. Source: the compose specification.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from weighbridge.deploy.lint.commands import GREAT_CAPABILITIES, bind, script_of
from weighbridge.deploy.lint.parts import (
    Document,
    Json,
    Mount,
    Place,
    Said,
    Variable,
    Workload,
    mapping,
    pointer_of,
    sequence,
    text_of,
)
from weighbridge.deploy.lint.properties import expanded
from weighbridge.deploy.lint.unresolved import open_text, switch_of

EnvFiles = Mapping[str, Mapping[str, Variable]]
"""Files of variables by their names without folders."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service, and whether all its networks are internal."""

    workload: Workload
    is_internal: bool
    git: Said | None = None
    """A repository that its image is built from."""
    hooks: tuple[Workload, ...] = ()
    """What it is made to run beside its own command: at its start and end, and to probe it."""


def services_of(document: Document, env_files: EnvFiles) -> Iterator[Service]:
    """All services of a compose file."""
    root = mapping(document.value)
    known = {name: one.value for name, one in env_files.get(".env", {}).items() if one.value is not None}
    networks = {name: mapping(one) for name, one in mapping(root.get("networks")).items()}
    for name, value in mapping(root.get("services")).items():
        one = _interpolated(mapping(value), known)
        if isinstance(one, dict):
            at = pointer_of("services", name)
            yield Service(
                _workload(document, at, name, one, env_files),
                _internal(one, networks),
                _git(document, at, one),
                tuple(_hooks(document, at, name, one)),
            )


def scripts_of(document: Document) -> Iterator[Workload]:
    """Scripts that a compose file carries along as configurations."""
    for key, value in mapping(mapping(document.value).get("configs")).items():
        text = text_of(mapping(value).get("content")) or ""
        script = script_of(key, text.replace("$$", "$"), document.place(pointer_of("configs", key, "content")))
        if script is not None:
            yield script


def _hooks(document: Document, at: str, name: str, one: dict[str, Json]) -> Iterator[Workload]:
    said = [
        (mapping(hook).get("command"), pointer_of(key, place, "command"))
        for key in ("post_start", "pre_stop")
        for place, hook in enumerate(sequence(one.get(key)))
    ]
    test = mapping(one.get("healthcheck")).get("test")
    said.append((sequence(test)[1:] if isinstance(test, list) else test, "/healthcheck/test"))
    for command, pointer in said:
        place = document.place(at + pointer)
        words = tuple(Said(word, place) for word in _words(command))
        if words:
            yield Workload("compose", name, place, words=words, is_init=True)


def _interpolated(value: Json, known: dict[str, str]) -> Json:
    """The value with compose's variables put in; as deep as the value, which is bounded."""
    if isinstance(value, str):
        return expanded(value, known) if "$" in value else value
    if isinstance(value, list):
        return [_interpolated(one, known) for one in value]
    if isinstance(value, dict):
        return {key: _interpolated(one, known) for key, one in value.items()}
    return value


def _workload(document: Document, at: str, name: str, one: dict[str, Json], env_files: EnvFiles) -> Workload:
    variables, more = _variables(document, at, one, env_files)
    image = one.get("image")
    words = [
        Said(text, document.place(at + pointer_of(key)))
        for key in ("entrypoint", "command")
        for text in _words(one.get(key))
    ]
    if "extends" in one:
        more = document.place(at + "/extends")
    return Workload(
        platform="compose",
        name=name,
        place=document.place(at),
        image=Said(image, document.place(at + "/image")) if isinstance(image, str) else None,
        words=tuple(words),
        variables=variables,
        mounts=tuple(_mounts(document, at, one)),
        has_more=more,
        has_devices=one.get("runtime") == "nvidia" or "gpus" in one or "devices" in _reservations(one),
        rights=tuple(_rights(document, at, one)),
        unknown=tuple(_unknown(document, at, one)),
        shares=tuple(
            Said(f"{key}: host", document.place(at + pointer_of(key)))
            for key in ("network_mode", "pid")
            if one.get(key) == "host"
        ),
    )


def _reservations(one: dict[str, Json]) -> dict[str, Json]:
    return mapping(mapping(mapping(one.get("deploy")).get("resources")).get("reservations"))


def _words(value: Json) -> list[str]:
    if isinstance(value, list):
        return [text for one in value if (text := text_of(one)) is not None]
    text = text_of(value)
    if text is None:
        return []
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _variables(
    document: Document, at: str, one: dict[str, Json], env_files: EnvFiles
) -> tuple[dict[str, Variable], Place | None]:
    found: dict[str, Variable] = {}
    more: Place | None = None
    files = one.get("env_file")
    for item in [files] if isinstance(files, (str, dict)) else sequence(files):
        path = text_of(mapping(item).get("path")) if isinstance(item, dict) else text_of(item)
        read = env_files.get((path or "").rsplit("/", 1)[-1])
        if read is None:
            more = document.place(at + "/env_file")
        found |= read or {}
    environment = one.get("environment")
    if isinstance(environment, dict):
        for name, value in environment.items():
            place = document.place(at + pointer_of("environment", name))
            found[name] = Variable(text_of(value), place)
    for at_item, item in enumerate(sequence(environment)):
        name, equals, text = (text_of(item) or "").partition("=")
        found[name] = Variable(text if equals else None, document.place(at + pointer_of("environment", at_item)))
    return found, more


def _mounts(document: Document, at: str, one: dict[str, Json]) -> Iterator[Mount]:
    for place, item in enumerate(sequence(one.get("volumes"))):
        where = document.place(at + pointer_of("volumes", place))
        if isinstance(item, str):
            mount = bind(item, where)
            if mount is not None:
                yield mount
        elif isinstance(item, dict) and (target := text_of(item.get("target"))):
            kind = {"bind": "host", "tmpfs": "memory", "image": "image"}.get(text_of(item.get("type")) or "", "volume")
            source = text_of(item.get("source")) or ""
            if kind == "host" and (source == "/" or source.endswith(("docker.sock", "containerd.sock"))):
                kind = "root" if source == "/" else "socket"
            yield Mount(target, kind, item.get("read_only") is True or kind == "image", where)
    for key in ("configs", "secrets"):
        for place, item in enumerate(sequence(one.get(key))):
            if isinstance(item, dict) and (target := text_of(item.get("target"))):
                yield Mount(target, "config", read_only=True, place=document.place(at + pointer_of(key, place)))


def _unknown(document: Document, at: str, one: dict[str, Json]) -> Iterator[Said]:
    """Rights and namespaces that are decided when it is started."""
    said = [(key, one.get(key), pointer_of(key)) for key in ("privileged", "network_mode", "pid")]
    for place, name in enumerate(sequence(one.get("cap_add"))):
        said.append(("a capability", name, pointer_of("cap_add", place)))
    for what, value, pointer in said:
        if text := open_text(value):
            yield Said(f"{what} is {text}", document.place(at + pointer))


def _rights(document: Document, at: str, one: dict[str, Json]) -> Iterator[Said]:
    if switch_of(one.get("privileged")):
        yield Said("privileged", document.place(at + "/privileged"))
    for place, name in enumerate(sequence(one.get("cap_add"))):
        if (text_of(name) or "").upper() in GREAT_CAPABILITIES:
            yield Said(f"capability {text_of(name)}", document.place(at + pointer_of("cap_add", place)))


def _internal(one: dict[str, Json], networks: Mapping[str, dict[str, Json]]) -> bool:
    """Whether a service can reach nothing but its neighbours."""
    if one.get("network_mode") == "none":
        return True
    if "network_mode" in one:
        return False
    named = one.get("networks")
    names = list(named) if isinstance(named, dict) else [text_of(item) or "" for item in sequence(named)]
    return all(networks.get(name, {}).get("internal") is True for name in names or ["default"])


def _git(document: Document, at: str, one: dict[str, Json]) -> Said | None:
    build = one.get("build")
    context = text_of(mapping(build).get("context")) if isinstance(build, dict) else text_of(build)
    if context and ("://" in context or context.startswith("git@")) and ("git" in context):
        return Said(context, document.place(at + "/build"))
    return None
