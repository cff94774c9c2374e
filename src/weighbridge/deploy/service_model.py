"""Checks a request to AWS against the service's own model: every enum, pattern, range, required and unknown member.

botocore itself checks types and names alone: a misspelt enum, a value out of range or a text of the wrong form goes out and
fails at the service, or does not. The models are botocore's own data (`service-2.json`), so what an installed botocore does
not know is refused here although the service may know it meanwhile.

Limits: rules among members (a canary needs a size, a volume does not go with a local disk) are in no model; a pattern that
cannot be understood is a violation, never a pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import Final

from weighbridge.core.errors import ConfigError

MAX_DEPTH: Final = 40
MAX_SHOWN: Final = 10
_CLASSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "L": "A-Za-z\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02c1\u0370-\u1fff\u2c00-\u2fef\u3040-\ud7ff\uf900-\ufdff\ufe70-\ufefc",
        "N": r"\d",
        "Z": " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
        "Zs": " \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000",
        "M": "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f",
        "S": r"$+<=>^`|~\u00a2-\u00a9\u00ac\u00ae-\u00b1\u00b4\u00d7\u00f7\u2000-\u2bff",
        "P": r"!-#%-*,-/:;?@\[-\]_{}\u00a1\u00a7\u00ab\u00b6\u00b7\u00bb\u00bf\u2010-\u2027\u2030-\u205e\u3001-\u3003",
        "Alnum": "0-9A-Za-z",
        "Print": r"\x20-\x7e",
    }
)
"""Java's classes of characters as Python's `re` writes them inside of brackets; roughly, beyond Latin and the large scripts."""
_SURROGATES: Final = r"\uD800\uDC00-\uDBFF\uDFFF"
_ASTRAL: Final = "\U00010000-\U0010ffff"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with a request: `path` is the member (`ProductionVariants[0].VolumeSizeInGB`)."""

    path: str
    rule: str
    """`type`, `required`, `unknown`, `enum`, `pattern`, `min`, `max`, `union`, `operation` or `not-understood`."""
    message: str

    def __str__(self) -> str:
        return f"{self.path or 'the request'}: {self.message}"


class ServiceModel:
    """The operations of one service and their shapes."""

    def __init__(self, name: str, document: Mapping[str, object]) -> None:
        self.name = name
        self.operations = _table(document, "operations")
        self.shapes = _table(document, "shapes")

    def violations(self, operation: str, request: Mapping[str, object]) -> list[Violation]:
        """All that is wrong with a request, in the order of its members; empty when it may be sent."""
        found = self.operations.get(operation)
        if found is None:
            return [Violation("", "operation", f"{self.name} has no operation {operation!r:.80}")]
        if "input" not in found:
            return [Violation("", "unknown", f"{operation} takes nothing")] if request else []
        return list(self._check(_inner(found, "input"), request, "", 0))

    def validate(self, operation: str, request: Mapping[str, object]) -> None:
        """Returns when a request may be sent.

        Raises:
            ConfigError: it may not; names every member that is wrong.
        """
        wrong = self.violations(operation, request)
        if not wrong:
            return
        more = f"; and {len(wrong) - MAX_SHOWN} more" if len(wrong) > MAX_SHOWN else ""
        raise ConfigError(
            f"{self.name} {operation} would be refused: {'; '.join(str(one) for one in wrong[:MAX_SHOWN])}{more}",
            hint="Correct the option it comes from. If AWS knows the value by now, update botocore.",
        )

    def _check(self, shape_name: str, value: object, path: str, depth: int) -> Iterator[Violation]:
        shape = self.shapes.get(shape_name)
        kind = shape.get("type") if shape is not None else None
        check = _CHECKS.get(kind) if isinstance(kind, str) else None
        if shape is None or check is None or depth > MAX_DEPTH:
            yield Violation(path, "not-understood", f"the model's shape {shape_name!r:.80} is not understood")
            return
        yield from check(self, shape, value, path, depth)


def load_service_model(name: str) -> ServiceModel:
    """The model of a service as the installed botocore holds it.

    Raises:
        ConfigError: botocore is not installed, or holds no such service.
    """
    return ServiceModel(name, _document(name))


@cache
def _document(name: str) -> Mapping[str, object]:
    try:
        from botocore.exceptions import UnknownServiceError
        from botocore.loaders import create_loader
    except ImportError as error:
        raise ConfigError(
            "AWS needs the 'aws' extra, which is not installed", hint="pip install 'weighbridge[aws]'"
        ) from error
    try:
        document: Mapping[str, object] = create_loader().load_service_model(name, "service-2")
    except UnknownServiceError as error:
        raise ConfigError(f"botocore knows no service {name!r:.60}") from error
    return document


def _structure(
    model: ServiceModel, shape: Mapping[str, object], value: object, path: str, depth: int
) -> Iterator[Violation]:
    if shape.get("document"):
        return
    if not isinstance(value, Mapping):
        yield Violation(path, "type", f"is a {_kind(value)} and not an object")
        return
    members = _table(shape, "members")
    required = shape.get("required", ())
    for name in required if isinstance(required, Sequence) else ():
        if name not in value or value[name] is None:
            yield Violation(_join(path, str(name)), "required", "is missing")
    if shape.get("union") and len(value) != 1:
        yield Violation(path, "union", f"has {len(value)} members where exactly one is meant")
    for name, item in value.items():
        member = members.get(name) if isinstance(name, str) else None
        if member is None:
            yield Violation(_join(path, str(name)), "unknown", "is no member of it")
            continue
        if item is None and name in (required if isinstance(required, Sequence) else ()):
            continue
        yield from model._check(str(member.get("shape")), item, _join(path, str(name)), depth + 1)


def _list(
    model: ServiceModel, shape: Mapping[str, object], value: object, path: str, depth: int
) -> Iterator[Violation]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        yield Violation(path, "type", f"is a {_kind(value)} and not a list")
        return
    yield from _range(shape, len(value), path, "entries")
    inner = _inner(shape, "member")
    for index, item in enumerate(value):
        yield from model._check(inner, item, f"{path}[{index}]", depth + 1)


def _map(model: ServiceModel, shape: Mapping[str, object], value: object, path: str, depth: int) -> Iterator[Violation]:
    if not isinstance(value, Mapping):
        yield Violation(path, "type", f"is a {_kind(value)} and not a map")
        return
    yield from _range(shape, len(value), path, "entries")
    key_shape, value_shape = (_inner(shape, part) for part in ("key", "value"))
    for key, item in value.items():
        yield from model._check(key_shape, key, f"{path}.{key} (its name)", depth + 1)
        yield from model._check(value_shape, item, f"{path}.{key}", depth + 1)


def _string(
    _model: ServiceModel, shape: Mapping[str, object], value: object, path: str, _depth: int
) -> Iterator[Violation]:
    if not isinstance(value, str):
        yield Violation(path, "type", f"is a {_kind(value)} and not a text")
        return
    wrong = list(_range(shape, len(value), path, "characters"))
    yield from wrong
    allowed = shape.get("enum")
    if isinstance(allowed, Sequence) and value not in allowed:
        like = get_close_matches(value[:100], [str(one) for one in allowed], n=8, cutoff=0.5)
        shown = ", ".join(like or [str(one) for one in allowed[:8]]) + (" …" if len(allowed) > 8 else "")
        yield Violation(path, "enum", f"{value!a:.80} is none of {shown}")
    pattern = shape.get("pattern")
    # A text of the wrong length is not matched: its length bounds what a match may cost.
    if not isinstance(pattern, str) or wrong:
        return
    compiled = _compiled(pattern)
    if compiled is None:
        yield Violation(path, "not-understood", f"the pattern {pattern!a:.80} is not understood")
    elif compiled.fullmatch(value) is None:
        yield Violation(path, "pattern", f"{value!a:.80} does not match {pattern!a:.120}")


def _whole(
    _model: ServiceModel, shape: Mapping[str, object], value: object, path: str, _depth: int
) -> Iterator[Violation]:
    if not isinstance(value, int) or isinstance(value, bool):
        yield Violation(path, "type", f"is a {_kind(value)} and not a whole number")
        return
    yield from _range(shape, value, path, "")


def _real(
    _model: ServiceModel, shape: Mapping[str, object], value: object, path: str, _depth: int
) -> Iterator[Violation]:
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value:
        yield Violation(path, "type", f"is a {_kind(value)} and not a number")
        return
    yield from _range(shape, value, path, "")


def _boolean(
    _model: ServiceModel, _shape: Mapping[str, object], value: object, path: str, _depth: int
) -> Iterator[Violation]:
    if not isinstance(value, bool):
        yield Violation(path, "type", f"is a {_kind(value)} and neither true nor false")


def _timestamp(
    _model: ServiceModel, _shape: Mapping[str, object], value: object, path: str, _depth: int
) -> Iterator[Violation]:
    if isinstance(value, bool) or not isinstance(value, datetime | int | float):
        yield Violation(path, "type", f"is a {_kind(value)} and not a time")


def _blob(
    _model: ServiceModel, shape: Mapping[str, object], value: object, path: str, _depth: int
) -> Iterator[Violation]:
    if not isinstance(value, bytes | bytearray):
        yield Violation(path, "type", f"is a {_kind(value)} and not bytes")
        return
    yield from _range(shape, len(value), path, "bytes")


_Check = Callable[[ServiceModel, Mapping[str, object], object, str, int], Iterator[Violation]]
_CHECKS: Final[Mapping[str, _Check]] = MappingProxyType(
    {
        "structure": _structure,
        "list": _list,
        "map": _map,
        "string": _string,
        "character": _string,
        "integer": _whole,
        "long": _whole,
        "float": _real,
        "double": _real,
        "boolean": _boolean,
        "timestamp": _timestamp,
        "blob": _blob,
    }
)


def _range(shape: Mapping[str, object], value: float, path: str, unit: str) -> Iterator[Violation]:
    least, most = shape.get("min"), shape.get("max")
    shown = f"{value} {unit}".strip()
    if isinstance(least, int | float) and value < least:
        yield Violation(path, "min", f"{shown} is less than {least}")
    if isinstance(most, int | float) and value > most:
        yield Violation(path, "max", f"{shown} is more than {most}")


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """A model's pattern as Python reads it; None if it does not."""
    translated = pattern.replace(_SURROGATES, _ASTRAL)
    translated = re.sub(r"\)\$\{(\d+,\d+)\}$", ")", translated)
    translated = re.sub(r"\\p\{([A-Za-z]+)\}", lambda found: _in_brackets(found, translated), translated)
    try:
        return re.compile(translated)
    except re.error:
        return None


def _in_brackets(found: re.Match[str], pattern: str) -> str:
    name = found.group(1)
    text = _CLASSES.get(name)
    if text is None:
        return found.group(0)
    opened = pattern.rfind("[", 0, found.start())
    inside = opened >= 0 and pattern.find("]", opened, found.start()) < 0
    return text if inside else f"[{text}]"


def _table(document: Mapping[str, object], key: str) -> Mapping[str, Mapping[str, object]]:
    value = document.get(key, {})
    return value if isinstance(value, Mapping) else {}


def _inner(shape: Mapping[str, object], part: str) -> str:
    """The name of the shape that a part of another has; empty, which no shape is named, if there is none."""
    reference = shape.get(part)
    return str(reference.get("shape", "")) if isinstance(reference, Mapping) else ""


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _kind(value: object) -> str:
    return {"dict": "object", "str": "text", "bool": "truth value", "int": "whole number", "NoneType": "null"}.get(
        type(value).__name__, type(value).__name__
    )
