"""Judges what an engine is told beside its model: arguments it does not know, keys written out, doors opened, TLS unchecked.

What an engine knows is in `targets.engine_arguments`, and what endangers a deployment in the table by which rendering refuses
arguments. An unknown name is told where the engine's version is known and as new as the lists; where it is not, only one that
is like a known name: it may be of another version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from weighbridge.deploy.engines import read_version
from weighbridge.deploy.lint import rules
from weighbridge.deploy.lint.commands import CommandLine, Option, options_of
from weighbridge.deploy.lint.models import Serving, host_of, starts_server, version_of
from weighbridge.deploy.lint.parts import Findings, Place, is_on, is_open, shown
from weighbridge.deploy.targets.arguments import REFUSED, fetches_by_name
from weighbridge.deploy.targets.engine_arguments import (
    ARGUMENTS,
    Arguments,
    arguments_of,
    is_property,
    others_with,
    property_meant,
)

_DOORS: Final = re.compile(
    r"^(?:it opens a tunnel|it starts (?:another|other) program|the model would run|callers would|weights and requests would go|"
    r"the engine would call)"
)
"""Reasons of refusal that no other rule of lint tells."""
_KEYS: Final = frozenset(f"--{name}" for name, why in REFUSED.items() if why.startswith("a secret in")) | {
    "--ngrok-authtoken"
}
_KEY_VARIABLES: Final = frozenset(
    ("VLLM_API_KEY", "LLAMA_API_KEY", "SGLANG_API_KEY", "SM_VLLM_API_KEY", "NGROK_AUTHTOKEN")
)
_BLANKS: Final = re.compile(
    r"your|xxx|\.\.\.|change|replace|placeholder|dummy|todo|redacted|\*{3}|^(?:none|null|empty)$", re.IGNORECASE
)
_CHECKS: Final = re.compile(
    r"\A(?:(?:\w+_)?(?:VERIFY_SSL|SSL_VERIFY|HTTPSVERIFY|VERIFY_TLS|TLS_VERIFY|USE_HTTPS)|NODE_TLS_REJECT_UNAUTHORIZED)\Z"
)
"""Variables that say whether certificates are checked, or TLS used at all."""
_UNCHECKS: Final = re.compile(
    r"\A(?:\w+_)?(?:SSL_NO_VERIFY|SKIP_TLS_VERIFY|TLS_SKIP_VERIFY|DISABLE_SSL_VERIFICATION|INSECURE_SKIP_VERIFY)\Z"
)
_BUNDLES: Final = frozenset(("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"))
_UNCHECKED: Final = {
    "curl": ("-k", "--insecure"),
    "wget": ("--no-check-certificate",),
    "aws": ("--no-verify-ssl",),
    "s5cmd": ("--no-verify-ssl",),
    "mc": ("--insecure",),
}


def judge_arguments(serving: Serving, findings: Findings) -> None:
    """Everything about an engine's further arguments."""
    if not serving.serves and not serving.workload.is_init:
        return
    version = version_of(serving.workload, serving.engine) if serving.engine else ""
    for command in serving.lines.commands:
        if _is_engines(serving, command):
            for option in options_of(command):
                _known(serving, version, option, findings)
    for option in _by_variables(serving):
        _door(serving, option, findings)
    for _, option in serving.options():
        _door(serving, option, findings)
        if option.name in _KEYS and option.has_value:
            _key(option.name, option.value, option.place, findings)
    for name, one in serving.workload.variables.items():
        if one.is_known and name in _KEY_VARIABLES:
            _key(name, one.value or "", one.place, findings)
    _properties(serving, findings)
    _tls(serving, findings)


def _is_engines(serving: Serving, command: CommandLine) -> bool:
    """Whether a command starts the engine's server, and not another of its programs."""
    engine = serving.engine
    if engine is None or engine.name not in ARGUMENTS or not starts_server(command, serving.workload, engine):
        return False
    words = [word.text for word in command.words[:6]]
    match engine.name:
        case "vllm":
            return "serve" in words or "vllm.entrypoints.openai.api_server" in words or words[0].startswith("-")
        case "sglang":
            return "serve" in words or "sglang.launch_server" in words
        case "tgi":
            return command.name == "text-generation-launcher" or words[0].startswith("-")
        case "llama.cpp":
            return command.name == "llama-server"
    return False


def _by_variables(serving: Serving) -> Iterator[Option]:
    """The arguments that variables stand for."""
    known = ARGUMENTS.get(serving.engine.name, ()) if serving.engine else ()
    for name, one in serving.workload.variables.items():
        long = next((release.environment[name] for release in known if name in release.environment), "")
        if long and one.is_known and (one.value or "").lower() not in ("", "0", "false", "no", "off"):
            yield Option(f"--{long}", one.value or "", one.place)


def _known(serving: Serving, version: str, option: Option, findings: Findings) -> None:
    engine = serving.engine
    known = arguments_of(engine.name, version) if engine else None
    if (
        engine is None
        or known is None
        or not option.name.startswith("--")
        or len(option.name) < 5
        or is_open(option.name)
    ):
        return
    name = option.name[2:].lower()
    name = name if name in known.names else name.split(".", 1)[0]
    if others_with(engine.name, name) if not version else known.knows(name):
        return
    if any(one.startswith(name.removeprefix("no-")) for one in known.names):
        return
    like = known.meant(name)
    if _is_as_new(known, version) or like:
        meant = f": --{like} is meant?" if like else ""
        findings.say(
            rules.UNKNOWN_ARGUMENT, option.place, f"{engine.title} {known.release} knows no {shown(option.name)}{meant}"
        )


def _is_as_new(known: Arguments, version: str) -> bool:
    at, oldest = read_version(version), read_version(ARGUMENTS[known.engine][0].release)
    return known.is_whole and at is not None and oldest is not None and at >= oldest


def _door(serving: Serving, option: Option, findings: Findings) -> None:
    engine = serving.engine.name if serving.engine else ""
    name = option.name.removeprefix("--")
    if name.startswith("-"):
        known = arguments_of(engine)
        name = known.long(name[1:]) if known else name
    why = REFUSED.get(name, "")
    if engine == "llama.cpp" and fetches_by_name(name):
        findings.say(rules.HUB_MODEL, option.place, f"{option.name} stands for a model on a hub")
    elif _DOORS.match(why) and option.value.lower() != "false" and others_with(engine, name):
        findings.say(rules.DOOR, option.place, f"{shown(option.name)} is given: {why}")


def _key(name: str, value: str, place: Place, findings: Findings) -> None:
    if value.strip() and not is_open(value) and "$" not in value and not _BLANKS.search(value):
        findings.say(rules.WRITTEN_KEY, place, f"{name} is written out")


def _properties(serving: Serving, findings: Findings) -> None:
    said = [(name, one.place) for name, one in serving.workload.properties.items() if name.startswith("option.")]
    said += [(name, one.place) for name, one in serving.workload.variables.items() if name.startswith("OPTION_")]
    for name, place in said if serving.engine is not None and serving.engine.name == "lmi" else ():
        plain = name.removeprefix("option.").removeprefix("OPTION_")
        plain = plain.lower() if name.startswith("OPTION_") else plain
        like = "" if is_property(plain) else property_meant(plain)
        if like:
            findings.say(
                rules.UNKNOWN_ARGUMENT,
                place,
                f"LMI silently ignores {shown(name)}, which it does not know: {like} is meant?",
            )


def _tls(serving: Serving, findings: Findings) -> None:
    for name, one in serving.workload.variables.items():
        if not one.is_known:
            continue
        value = (one.value or "").strip()
        off = value.lower() in ("0", "false", "no", "off")
        if (
            (_CHECKS.match(name) and off)
            or (_UNCHECKS.match(name) and is_on(value))
            or (name in _BUNDLES and not value)
        ):
            findings.say(rules.TLS_UNCHECKED, one.place, f"{name} is {shown(value)}")
    for command in serving.lines.commands:
        for place in _unchecked(command):
            findings.say(rules.TLS_UNCHECKED, place, f"{shown(command.text)} is run")


def _unchecked(command: CommandLine) -> Iterator[Place]:
    flags = _UNCHECKED.get(command.name, ())
    hosts = [host_of(word.text) for word in command.words if "://" in word.text]
    if hosts and all(host in ("localhost", "127.0.0.1", "::1") for host in hosts):
        return
    yield from (word.place for word in command.words if word.text in flags)
