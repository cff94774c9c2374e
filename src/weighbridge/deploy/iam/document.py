"""Reads an IAM policy strictly and writes it again: identity policies, resource policies, trust policies, endpoint policies.

Bounds: 64 KiB of JSON (AWS's largest policy is 32 KiB), 100 levels, 20,000 values. A key that is there twice, a member that IAM does
not know, an element beside its opposite, or a value of another type is an error: what is not understood is not evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import Ambiguous, LimitExceeded, Malformed
from weighbridge.deploy.iam.conditions import Condition
from weighbridge.formats.json_text import Json, parse

MAX_POLICY_BYTES: Final = 64 * 1024
MAX_VALUES: Final = 20_000
VERSION: Final = "2012-10-17"
_VERSIONS: Final = (VERSION, "2008-10-17")
EVERYONE: Final = "*"
_PRINCIPAL_TYPES: Final = ("AWS", "Service", "Federated", "CanonicalUser")
_STATEMENT_KEYS: Final = frozenset(
    ("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")
)


class Effect(Enum):
    """What a statement does when it applies."""

    ALLOW = "Allow"
    DENY = "Deny"


class PolicyKind(Enum):
    """What a policy is attached to."""

    IDENTITY = "identity"
    """A role, user or group: statements have no principal."""
    RESOURCE = "resource"
    """A bucket, a key, a VPC endpoint: statements have one."""
    TRUST = "trust"
    """A role's own: a principal, and no resource."""


@dataclass(frozen=True, slots=True)
class Element:
    """`Action` or `Resource`, or with `excluded` what is none of the values: `NotAction`, `NotResource`."""

    values: tuple[str, ...]
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class Principals:
    """Pairs of a type (`AWS`, `Service`, …) and a value; everyone is `("*", "*")`. With `excluded`: `NotPrincipal`."""

    values: tuple[tuple[str, str], ...]
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement."""

    effect: Effect
    action: Element
    resource: Element | None = None
    principals: Principals | None = None
    conditions: tuple[Condition, ...] = ()
    sid: str = ""

    def to_json(self) -> dict[str, JsonValue]:
        """As IAM writes it; a list of one value is written as the value."""
        record: dict[str, JsonValue] = {"Sid": self.sid} if self.sid else {}
        record["Effect"] = self.effect.value
        if self.principals is not None:
            record["NotPrincipal" if self.principals.excluded else "Principal"] = _principals_json(self.principals)
        record["NotAction" if self.action.excluded else "Action"] = _short(self.action.values)
        if self.resource is not None:
            record["NotResource" if self.resource.excluded else "Resource"] = _short(self.resource.values)
        if self.conditions:
            tests: dict[str, dict[str, JsonValue]] = {}
            for one in self.conditions:
                tests.setdefault(one.operator, {})[one.key] = _short(one.values)
            record["Condition"] = tests
        return record


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """A policy."""

    statements: tuple[Statement, ...]
    version: str = VERSION
    id: str = ""
    name: str = ""
    """What decisions call it; not part of the document."""

    @classmethod
    def parse(cls, data: bytes | str, *, kind: PolicyKind, name: str = "") -> PolicyDocument:
        """Reads the JSON of a policy.

        Raises:
            Malformed, LimitExceeded, Ambiguous: it is no policy of that kind, too large, or has a key twice.
        """
        raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        if len(raw) > MAX_POLICY_BYTES:
            raise LimitExceeded(f"the policy has {len(raw)} bytes, and at most {MAX_POLICY_BYTES} are read")
        text = parse(raw, max_values=MAX_VALUES)
        if text.repeated:
            raise Ambiguous(f"the policy has the key {text.repeated[0][:100]!a} twice in one object")
        if text.marked or text.not_finite:
            raise Malformed(
                "the policy is not plain JSON: it has a byte order mark or a number that JSON does not know"
            )
        return cls.of(text.value, kind=kind, name=name)

    @classmethod
    def of(cls, value: Json, *, kind: PolicyKind, name: str = "") -> PolicyDocument:
        """Reads a policy that is parsed already.

        Raises:
            Malformed: it is no policy of that kind.
        """
        if not isinstance(value, dict):
            raise Malformed("the policy is not a JSON object")
        _only(value, ("Version", "Id", "Statement"), "the policy")
        version = value.get("Version", "2008-10-17")
        if not isinstance(version, str) or version not in _VERSIONS:
            raise Malformed("the policy has a version that IAM does not know")
        id_ = value.get("Id", "")
        if not isinstance(id_, str):
            raise Malformed("the policy's Id is not text")
        items = value.get("Statement")
        items = [items] if isinstance(items, dict) else items
        if not isinstance(items, list) or not items:
            raise Malformed("the policy has no statement")
        statements = tuple(_statement(item, kind, place) for place, item in enumerate(items, start=1))
        return cls(statements, version, id_, name)

    def to_json(self) -> dict[str, JsonValue]:
        """The document."""
        record: dict[str, JsonValue] = {"Version": self.version}
        if self.id:
            record["Id"] = self.id
        record["Statement"] = [one.to_json() for one in self.statements]
        return record

    def to_text(self) -> str:
        """The document as indented JSON with a line's end; the same policy gives the same text."""
        return json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n"

    def label(self, place: int) -> str:
        """What a decision calls the statement at that place, from 0."""
        sid = self.statements[place].sid
        said = f"{sid[:100]!a}" if sid else f"statement {place + 1}"
        return f"{self.name}: {said}" if self.name else said


def _short(values: Sequence[str]) -> JsonValue:
    return values[0] if len(values) == 1 else list(values)


def _principals_json(principals: Principals) -> JsonValue:
    if principals.values == ((EVERYONE, EVERYONE),):
        return EVERYONE
    by_type: dict[str, list[str]] = {}
    for kind, value in principals.values:
        by_type.setdefault(kind, []).append(value)
    return {kind: _short(values) for kind, values in by_type.items()}


def _only(record: Mapping[str, Json], known: Iterable[str], what: str) -> None:
    for key in record:
        if key not in known:
            raise Malformed(f"{what} has the member {key[:100]!a}, which IAM does not know")


def _statement(item: Json, kind: PolicyKind, place: int) -> Statement:
    what = f"statement {place} of the policy"
    if not isinstance(item, dict):
        raise Malformed(f"{what} is not a JSON object")
    _only(item, _STATEMENT_KEYS, what)
    sid, effect = item.get("Sid", ""), item.get("Effect")
    if not isinstance(sid, str):
        raise Malformed(f"the Sid of {what} is not text")
    if effect not in ("Allow", "Deny"):
        raise Malformed(f"the Effect of {what} is neither Allow nor Deny")
    action = _element(item, "Action", what)
    if action is None:
        raise Malformed(f"{what} has neither Action nor NotAction")
    resource, principals = _element(item, "Resource", what), _principals(item, what)
    if (resource is None) != (kind is PolicyKind.TRUST):
        raise Malformed(f"{what} has {'no' if resource is None else 'a'} resource, unlike any {kind.value} policy")
    if (principals is None) != (kind is PolicyKind.IDENTITY):
        raise Malformed(f"{what} has {'no' if principals is None else 'a'} principal, unlike any {kind.value} policy")
    return Statement(Effect(effect), action, resource, principals, _conditions(item.get("Condition"), what), sid)


def _element(item: Mapping[str, Json], key: str, what: str) -> Element | None:
    if key in item and f"Not{key}" in item:
        raise Malformed(f"{what} has both {key} and Not{key}")
    for name, excluded in ((key, False), (f"Not{key}", True)):
        if name in item:
            return Element(_texts(item[name], f"{name} of {what}"), excluded)
    return None


def _texts(value: Json, what: str) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    texts = tuple(one for one in values if isinstance(one, str) and one)
    if not texts or len(texts) != len(values):
        raise Malformed(f"the {what} is not text or a list of texts")
    return texts


def _principals(item: Mapping[str, Json], what: str) -> Principals | None:
    if "Principal" in item and "NotPrincipal" in item:
        raise Malformed(f"{what} has both Principal and NotPrincipal")
    for name, excluded in (("Principal", False), ("NotPrincipal", True)):
        if name not in item:
            continue
        value = item[name]
        if value == EVERYONE:
            return Principals(((EVERYONE, EVERYONE),), excluded)
        if not isinstance(value, dict) or not value:
            raise Malformed(f"the {name} of {what} is neither '*' nor an object")
        _only(value, _PRINCIPAL_TYPES, f"the {name} of {what}")
        found = [(kind, one) for kind, held in value.items() for one in _texts(held, f"{name} of {what}")]
        return Principals(tuple(found), excluded)
    return None


def _conditions(value: Json, what: str) -> tuple[Condition, ...]:
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise Malformed(f"the Condition of {what} is not an object")
    found = []
    for operator, tests in value.items():
        if not isinstance(tests, dict):
            raise Malformed(f"{operator[:100]!a} in the Condition of {what} is not an object")
        seen: set[str] = set()
        for key, held in tests.items():
            if key.lower() in seen:
                raise Ambiguous(f"{operator[:100]!a} in the Condition of {what} tests {key[:100]!a} twice")
            seen.add(key.lower())
            found.append(Condition(operator, key, _scalars(held, what)))
    return tuple(found)


def _scalars(value: Json, what: str) -> tuple[str, ...]:
    texts = []
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, bool):
            texts.append("true" if one else "false")
        elif isinstance(one, (str, int, float)):
            texts.append(str(one))
        else:
            raise Malformed(f"a value in the Condition of {what} is neither text, number nor truth value")
    if not texts:
        raise Malformed(f"a test in the Condition of {what} has no value")
    return tuple(texts)
