"""Says which classes an engine has built in, and since which version, from a table that is part of weighbridge.

`native_architectures.json` is made from the releases themselves (`scripts/native_architectures.py`). An engine newer than
the table is taken to have what the newest release in it has. Names are compared as they are: a model type that is another
one's copy under a new name is not native, and nobody guesses that it could be.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from weighbridge.core.canonical import Fields
from weighbridge.core.errors import ConfigError

ENGINES: Final = ("transformers", "vllm")
GENERIC_TOKENIZERS: Final = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""Tokenizers that are nothing but their `tokenizer.json`."""

_SPAN = re.compile(r"(?P<name>\w+)(?:>=(?P<since>[\d.]+))?(?:<(?P<gone>[\d.]+))?")
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})(?:[.+-]?[\w.+-]{0,40})?")

Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Built:
    """A class that an engine has: `since` is the oldest version known to have it, `gone` the first without it."""

    since: Version
    gone: Version | None = None


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine at the version that it has at least; `version` is (major, minor)."""

    name: str
    version: Version

    def __str__(self) -> str:
        return f"{self.name} {shown(self.version)}"


def shown(version: Version) -> str:
    """`major.minor`."""
    return f"{version[0]}.{version[1]}"


def engine(name: str, version: str = "") -> Engine:
    """The engine that a model is made for; without a version, the newest one in the table.

    Raises:
        ConfigError: there is no such engine in the table, or the version is none or older than all in the table.
    """
    if name not in ENGINES:
        raise ConfigError(f"'{name}' is not an engine", hint=f"Use {' or '.join(ENGINES)}.")
    known = _versions(name)
    if not version:
        return Engine(name, known[-1])
    found = _VERSION.fullmatch(version)
    if found is None:
        raise ConfigError(f"{version!r} is not a version", hint=f"Write it like {shown(known[-1])}.")
    chosen = (int(found[1]), int(found[2]))
    if chosen < known[0]:
        raise ConfigError(
            f"nothing is known of {name} {version}: the table begins with {shown(known[0])}",
            hint="Serve with a newer version, or review the model's code and keep it.",
        )
    return Engine(name, chosen)


def transformers_of(target: Engine) -> Engine:
    """The transformers that an engine reads configurations and tokenizers with: itself, or the least one it asks for."""
    if target.name == "transformers":
        return target
    known = [version for version in _versions(target.name) if version <= target.version]
    least = _table().fields(target.name).fields("transformers").text(shown(known[-1]))
    return engine("transformers", least)


def built(target: Engine, loader: str, key: str, name: str) -> Built | None:
    """Where `target` has the class `name` for a model type (or task) `key` behind a loader such as `AutoModel`.

    For vLLM the loader is `architectures`, and the key is the name.
    """
    return _at(target, _spans(target.name, loader, key).get(name))


def class_of(target: Engine, loader: str, key: str) -> tuple[str, ...]:
    """What `target` has for a key behind a loader: the names of its classes."""
    spans = _spans(target.name, loader, key)
    return tuple(name for name, span in spans.items() if _at(target, span) is not None)


def any_built(target: Engine, loader: str, name: str) -> Built | None:
    """As `built`, for whatever key: what a file may name by itself, such as an image processor."""
    for key in _keys(target.name, loader):
        found = built(target, loader, key, name)
        if found is not None:
            return found
    return None


def in_any_loader(target: Engine, model_type: str, name: str) -> Built | None:
    """As `built`, behind whichever loader of models (`AutoModel…`) has it for the model type."""
    found = (
        built(target, loader, model_type, name) for loader in _loaders(target.name) if loader.startswith("AutoModel")
    )
    return next((one for one in found if one is not None), None)


def tokenizer(target: Engine, name: str) -> Built | None:
    """Where `target`, a version of transformers, has a tokenizer of that name."""
    if name in GENERIC_TOKENIZERS:
        return Built((5, 0) if name == "TokenizersBackend" else _versions(target.name)[0])
    found = built(target, "AutoTokenizer", "", name)
    if found is None and target.version >= (5, 0):
        return built(target, "AutoTokenizer", "", name.removesuffix("Fast"))
    return found


def has_loader(target: Engine, loader: str) -> bool:
    """Whether the table knows that loader at all."""
    return bool(_keys(target.name, loader))


def _at(target: Engine, span: Built | None) -> Built | None:
    """The span when it holds the engine's version."""
    newest = min(target.version, _versions(target.name)[-1])
    if span is None or newest < span.since or (span.gone is not None and newest >= span.gone):
        return None
    return span


# --- the table ----------------------------------------------------------------------------------


@cache
def _table() -> Fields:
    text = resources.files("weighbridge.remediate").joinpath("native_architectures.json").read_text("utf-8")
    return Fields(json.loads(text), what="the table of native architectures")


def _version(text: str) -> Version:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


@cache
def _versions(name: str) -> tuple[Version, ...]:
    return tuple(_version(text) for text in _table().fields(name).texts("versions"))


@cache
def _classes(name: str) -> dict[str, dict[str, dict[str, Built]]]:
    """By loader, key and class."""
    classes = _table().fields(name).value("classes")
    assert isinstance(classes, dict)
    return {
        loader: {key: dict(_span(name, text) for text in texts) for key, texts in table.items()}
        for loader, table in classes.items()
        if isinstance(table, dict)
    }


def _span(name: str, text: str) -> tuple[str, Built]:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ConfigError(f"the table of native architectures holds {text!r}", hint="Reinstall weighbridge.")
    since = _version(found["since"]) if found["since"] else _versions(name)[0]
    return found["name"], Built(since, _version(found["gone"]) if found["gone"] else None)


def _loaders(name: str) -> tuple[str, ...]:
    return tuple(_classes(name))


def _keys(name: str, loader: str) -> tuple[str, ...]:
    return tuple(_classes(name).get(loader, {}))


def _spans(name: str, loader: str, key: str) -> dict[str, Built]:
    return _classes(name).get(loader, {}).get(key, {})
