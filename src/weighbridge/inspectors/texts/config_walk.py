"""Walks a configuration and gathers what its judges say, without recursion and within bounds.

Vocabularies (an object of many keys that all hold integers) and shard indexes are data and are not walked; chat templates
are left to who judges templates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import LimitExceeded
from weighbridge.formats.json_text import Json, JsonProblem, parse
from weighbridge.inspectors.texts.config_components import (
    is_module_list,
    is_pipeline,
    module_list,
    pipeline,
    shard_index,
)
from weighbridge.inspectors.texts.config_keys import Node, Said, judge_of, shown
from weighbridge.inspectors.texts.config_references import is_dotted, is_shell_or_loader

MAX_SAID: Final = 500
"""What is said of one file at most; the rest is as bad as what was listed."""

MAX_KEY: Final = 200
MAX_WRITTEN: Final = 256 * 1024
"""Characters of a text that is read as JSON in its turn."""
TEMPLATE_KEY: Final = re.compile(r"(?:\w+_)?chat_template(?:_jinja)?")
_FREE_TEXT: Final = re.compile(
    r"(?:\w*(?:prompt|template|description|instruction|text|comment|note|example|message|content|title|citation|readme"
    r"|documentation|license|card|explanation|hints?)\w*)",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"__import__\s*\(|\b(?:eval|exec)\s*\(|(?<!torch\.)(?<!re\.)\bcompile\s*\(|\bos\.(?:system|popen|exec\w+)\s*\(|\bsubprocess\.\w+\s*\("
    r"|__(?:globals|subclasses|builtins|mro|bases|code|reduce)__|\bimport_module\s*\(|\bb64decode\s*\("
    r"|\bpickle\.loads?\s*\(|\b(?:curl|wget)\s[^|\n]{1,300}\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b|\brm\s+-rf\s+[/~]"
    r"|/bin/(?:ba)?sh\b|\bpowershell(?:\.exe)?\s+-|\bimport\s+(?:os|subprocess|socket|pty)\b"
)
_ENVIRONMENT = re.compile(r"\$\{(?:oc\.)?env:|\$\{oc\.decode|\$\{eval:|\$\{hydra:")
_REORDERS = re.compile("[\u202a-\u202e\u2066-\u2069\U000e0001-\U000e007f]")
_SHOWS_NOTHING = re.compile("[\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0001-\U000e007f]")
_LARGE = 256


@dataclass(frozen=True, slots=True)
class Located:
    """Something said, and where inside the file."""

    location: str
    said: Said


def judge(value: Json, *, strict: bool, name: str = "") -> list[Located]:
    """All that is to be said of a configuration.

    `strict` when a loader reads the file; `name` is the file's, lowercase, without its folder.
    """
    found = _everything(value, strict, name)
    gathered, findings = [], 0
    for one in found:
        gathered.append(one)
        findings += not one.said.fact
        if findings >= MAX_SAID:
            break
    return gathered


def _everything(value: Json, strict: bool, name: str) -> Iterator[Located]:
    if is_pipeline(value, name):
        yield from (Located(where, said) for where, said in pipeline(value))
    if is_module_list(value):
        yield from (Located(where, said) for where, said in module_list(value))
    if isinstance(value, str):
        yield from (Located("", said) for said in _text("", value, strict))
    waiting: list[tuple[Json, str, str]] = [(value, "", "")]
    while waiting:
        outer, key, where = waiting.pop()
        if isinstance(outer, dict):
            if not is_vocabulary(outer):
                yield from _object(outer, where, strict, waiting)
        elif isinstance(outer, list):
            yield from _list(outer, key, where, strict, waiting)


def is_vocabulary(value: dict[str, Json]) -> bool:
    """Whether it is an object of many keys that all hold integers."""
    return len(value) > _LARGE and all(type(one) is int for one in value.values())


def _object(
    outer: dict[str, Json], where: str, strict: bool, waiting: list[tuple[Json, str, str]]
) -> Iterator[Located]:
    small = len(outer) <= _LARGE
    for key, value in outer.items():
        here = f"{where}.{key[:80]}" if where else key[:80]
        if key == "weight_map":
            yield from (Located(here, said) for _, said in shard_index(value))
            continue
        if small and strict and not key.isascii() and _SHOWS_NOTHING.search(key) and type(value) is not int:
            yield Located(here, Said("hidden-text", f"the key {shown(key)} has characters that show nothing"))
        named = judge_of(key)
        if named is not None:
            yield from (Located(here, said) for said in named(Node(key, value, outer, strict)))
        if isinstance(value, str):
            yield from (Located(here, said) for said in _text(key, value, strict))
            inner = _written(key, value) if strict else None
            if inner is not None:
                waiting.append((inner, key, here))
        elif isinstance(value, (dict, list)):
            waiting.append((value, key, here))


def _written(key: str, text: str) -> Json:
    """The object or list that a text is the JSON of, as some loaders nest one configuration in another; or None."""
    if text[:1] not in ("{", "[") or text[-1:] not in ("}", "]") or not 8 < len(text) <= MAX_WRITTEN:
        return None
    if text[1] in "%{#" or (key != "context" and _FREE_TEXT.fullmatch(key[:MAX_KEY])):
        return None
    try:
        value = parse(text.encode("utf-8", "surrogatepass")).value
    except (JsonProblem, LimitExceeded):
        return None
    return value if isinstance(value, (dict, list)) else None


def _list(
    outer: list[Json], key: str, where: str, strict: bool, waiting: list[tuple[Json, str, str]]
) -> Iterator[Located]:
    for number, value in enumerate(outer):
        if isinstance(value, str):
            yield from (Located(f"{where}[{number}]", said) for said in _text(key, value, strict))
        elif isinstance(value, (dict, list)):
            waiting.append((value, key, f"{where}[{number}]"))


def _text(key: str, text: str, strict: bool) -> Iterator[Said]:
    """What is to be said of a text wherever it stands."""
    # No loader has a longer key; matching one again for each of its texts would have no end.
    key = key[:MAX_KEY]
    if not strict or len(text) < 4 or TEMPLATE_KEY.fullmatch(key):
        return
    # The spelling of a token is whatever the texts had that it was learned from.
    if not text.isascii() and key != "token_str" and _REORDERS.search(text):
        yield Said("hidden-text", f"{shown(key)} holds characters that reorder or hide text: {shown(text)}")
    if "." in text and len(text) < 100 and is_dotted(text) and is_shell_or_loader(text):
        if judge_of(key) is None:
            yield Said("dangerous-callable", f"{shown(key)} is {shown(text)}")
    elif len(text) > 6 and not _FREE_TEXT.fullmatch(key) and _CODE.search(text):
        yield Said("code-text", f"{shown(key)} is {shown(text)}")
    if "${" in text and _ENVIRONMENT.search(text):
        yield Said("interpolation", f"{shown(key)} is {shown(text)}")


@dataclass(frozen=True, slots=True)
class Template:
    """A chat template inside a configuration."""

    name: str
    location: str
    text: str


def templates(value: Json) -> Iterator[Template]:
    """The chat templates of a configuration: a text, a list of `{name, template}`, or an object of name and text.

    Those of nested objects are found too: processors keep the tokenizer's configuration inside.
    """
    waiting: list[tuple[Json, str]] = [(value, "")]
    while waiting:
        outer, where = waiting.pop()
        if isinstance(outer, list):
            waiting += [(one, f"{where}[{number}]") for number, one in enumerate(islice(outer, 1000))]
        elif isinstance(outer, dict) and not is_vocabulary(outer):
            for key, one in outer.items():
                here = f"{where}.{key[:80]}" if where else key[:80]
                if TEMPLATE_KEY.fullmatch(key):
                    yield from _templates_of(one, here)
                elif isinstance(one, (dict, list)):
                    waiting.append((one, here))


def _templates_of(value: Json, where: str) -> Iterator[Template]:
    if isinstance(value, str):
        yield Template("", where, value)
    elif isinstance(value, dict):
        yield from (Template(name, f"{where}.{name[:80]}", one) for name, one in value.items() if isinstance(one, str))
    elif isinstance(value, list):
        for one in value:
            if isinstance(one, dict) and isinstance(text := one.get("template"), str):
                name = one.get("name")
                label = name if isinstance(name, str) else "unnamed"
                yield Template(label, f"{where}.{label[:80]}", text)
