"""What can be chosen of each target: read from the targets' own `Options`, so that there is one list; and options made of choices.

A choice is a field of an `Options`; its words are the text below the field. Choices come from a TOML file and from a command
line; the file may hold those of several targets: names at its top are for every target that has them, a table is for the
target of its name alone.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import tomllib
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Union, cast, get_args, get_origin, get_type_hints

from weighbridge.core.errors import ConfigError
from weighbridge.deploy.deployable import Deployable
from weighbridge.deploy.plan import Plan, Target
from weighbridge.wire.files import read_small

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MAX_FILE_BYTES: Final = 1024 * 1024
KINDS: Final = ("bool", "int", "float", "text", "path", "texts")


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing that can be chosen, of all targets that have it."""

    name: str
    kind: str
    """One of `KINDS`; `text` where targets differ."""
    targets: tuple[Target, ...]
    words: str
    """What it is, from the field's own text; empty where its name says it."""
    default: object = None


def available() -> tuple[Target, ...]:
    """The targets that this version renders."""
    return tuple(target for target in Target if _module(target) is not None)


@cache
def choices() -> tuple[Choice, ...]:
    """All choices in the order in which targets name them first."""
    found: dict[str, Choice] = {}
    for target in sorted(available(), key=lambda one: one is Target.SAGEMAKER):
        options = _options(target)
        words, kinds = _words(options), _kinds(options)
        for field in fields(options):
            if (kind := kinds.get(field.name)) is None:
                continue
            seen = found.get(field.name)
            if seen is None:
                default = None if field.default is MISSING else field.default
                found[field.name] = Choice(field.name, kind, (target,), words.get(field.name, ""), default)
            else:
                kind = kind if kind == seen.kind else "text"
                found[field.name] = Choice(
                    field.name, kind, (*seen.targets, target), seen.words or words.get(field.name, ""), seen.default
                )
    return tuple(found.values())


def has(target: Target, name: str) -> bool:
    """Whether a target has a choice."""
    return any(choice.name == name and target in choice.targets for choice in choices())


def read_choices(file: Path, target: Target) -> dict[str, object]:
    """What a TOML file chooses for a target.

    Raises:
        ConfigError: it cannot be read, or chooses what no target, or not this one, has.
    """
    try:
        document = tomllib.loads(read_small(file, f"'{file}'", limit=MAX_FILE_BYTES).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"'{file}' is no text", hint="Choices are a TOML file.") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        hint = "Choices are lines such as gpus = 8, and tables such as [vllm] for one target."
        raise ConfigError(f"'{file}' is not valid TOML: {error}", hint=hint) from error
    known = {choice.name for choice in choices()}
    tables = {one.value for one in Target}
    chosen: dict[str, object] = {}
    for name, value in document.items():
        if name in tables and isinstance(value, dict):
            continue
        if name not in known:
            raise ConfigError(
                f"'{name}' in '{file}' is no choice of any target", hint="`weighbridge deploy plan --help` lists them."
            )
        if has(target, name):
            chosen[name] = value
    own = document.get(target.value, {})
    return {**chosen, **(own if isinstance(own, dict) else {})}


def options_of(target: Target, given: Mapping[str, object]) -> object:
    """The options of a target with what was chosen; None is no choice.

    Raises:
        ConfigError: the target has no such choice, or a value is of the wrong type.
    """
    options = _options(target)
    kinds = _kinds(options)
    typed: dict[str, object] = {}
    for name, value in given.items():
        if value is None:
            continue
        if name not in kinds:
            others = ", ".join(one.value for choice in choices() if choice.name == name for one in choice.targets)
            raise ConfigError(
                f"'{name}' cannot be chosen for {target.value}", hint=f"It is for {others}." if others else ""
            )
        typed[name] = _typed(name, kinds[name], value)
    return options(**typed)


def render(target: Target, deployable: Deployable, options: object) -> Plan:
    """The plan that a target makes of its own options.

    Raises:
        ConfigError: a choice is missing, malformed or does not fit. Denied: it is not to be run so.
    """
    module = _module(target)
    if module is None:
        raise ConfigError(f"this version cannot deploy to {target.value}")
    function = cast("Callable[[Deployable, object], Plan]", vars(module)["render"])
    return function(deployable, options)


@cache
def _module(target: Target) -> types.ModuleType | None:
    name = f"weighbridge.deploy.targets.{target.value}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            return None
        raise


def _options(target: Target) -> type[DataclassInstance]:
    module = _module(target)
    if module is None:
        raise ConfigError(f"this version cannot deploy to {target.value}")
    return cast("type[DataclassInstance]", vars(module)["Options"])


def _kinds(options: type[DataclassInstance]) -> dict[str, str]:
    """The kinds of fields that can be written on one line; others are left to whoever renders in Python."""
    hints = get_type_hints(options)
    found = ((field.name, _kind(hints[field.name])) for field in fields(options))
    return {name: kind for name, kind in found if kind}


def _kind(hint: object) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        inner = [part for part in get_args(hint) if part is not type(None)]
        return _kind(inner[0]) if len(inner) == 1 else ""
    if get_origin(hint) is tuple and get_args(hint) == (str, ...):
        return "texts"
    plain: Mapping[object, str] = {bool: "bool", int: "int", float: "float", str: "text", Path: "path"}
    return plain.get(hint, "")


def _typed(name: str, kind: str, value: object) -> object:
    problem = ConfigError(f"'{name}' is to be {_WORDS[kind]}, not {value!r:.80}")
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "texts" and isinstance(value, list | tuple):
        if all(isinstance(part, str) for part in value):
            return tuple(value)
        raise problem
    if isinstance(value, bool) or not isinstance(value, int | float | str | Path):
        raise problem
    if kind in ("text", "path") and not isinstance(value, str | Path):
        raise problem
    try:
        made = _MAKERS[kind](value)
    except (KeyError, ValueError, OverflowError):
        raise problem from None
    if kind == "int" and isinstance(value, float) and value != made:
        raise problem
    return made


_WORDS: Final = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "text": "text",
    "path": "a path",
    "texts": "a list of texts",
}
_MAKERS: Final[Mapping[str, Callable[..., object]]] = {
    "int": int,
    "float": float,
    "text": str,
    "path": lambda text: Path(text).expanduser(),
    "texts": lambda text: (str(text),),
}


def _words(options: type[object]) -> dict[str, str]:
    """The first sentence below each field, in the class and those that it is made from."""
    found: dict[str, str] = {}
    for one in reversed(options.__mro__[:-1]):
        try:
            tree = ast.parse(inspect.getsource(one))
        except (OSError, SyntaxError):
            continue
        found.update(_attribute_words(tree))
    return found


def _attribute_words(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        body = node.body if isinstance(node, ast.ClassDef) else []
        for before, after in itertools.pairwise(body):
            if not (isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name)):
                continue
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                yield (
                    before.target.id,
                    " ".join(str(after.value.value).replace("`", "").replace("when None", "when not given").split()),
                )
