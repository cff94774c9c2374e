"""Statements of an AWS policy, read strictly, and what they say of one request: yes, no, or "it depends".

Rules: a key, an effect or a principal of a form that is not known makes the policy unreadable, never narrower; a condition
that is not understood, or whose key the request leaves open, holds `MAYBE`. So whoever might be allowed is taken to be, and a
denial counts only where it is certain.

Sources: IAM User Guide, "IAM JSON policy elements reference" and "Condition operators"; S3 User Guide, "Bucket policies".
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.formats.json_text import Json, parse

MAX_POLICY_BYTES: Final = 256 * 1024
MAX_STATEMENTS: Final = 500
MAX_VALUES: Final = 1_000
_KEYS: Final = frozenset(
    ("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")
)
_PRINCIPALS: Final = frozenset(("AWS", "Service", "Federated", "CanonicalUser"))
_ACCOUNT: Final = re.compile(r"(?:arn:aws[a-z-]*:iam::)?(\d{12})(?::root)?")


class Held(Enum):
    """Whether a condition, or a statement, applies to a request."""

    YES = "yes"
    NO = "no"
    MAYBE = "maybe"


@dataclass(frozen=True, slots=True)
class Principal:
    """A principal as a statement names it: `AWS`, `Service`, … or `*` for everyone, and its name."""

    kind: str
    name: str

    @property
    def account(self) -> str:
        """The account it is of; "" where its name does not say."""
        match = re.match(r"arn:aws[a-z-]*:(?:iam|sts)::(\d{12}):", self.name)
        return match[1] if match else (self.name if re.fullmatch(r"\d{12}", self.name) else "")

    @property
    def is_account(self) -> bool:
        """Whether it stands for a whole account."""
        return self.kind == "AWS" and _ACCOUNT.fullmatch(self.name) is not None


EVERYONE: Final = Principal("*", "*")


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator over one key. `quantified` is `any`, `all` or ""."""

    operator: str
    key: str
    values: tuple[str, ...]
    if_exists: bool = False
    quantified: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. `principals` is empty in an identity policy."""

    sid: str
    allows: bool
    principals: tuple[Principal, ...]
    not_principals: bool
    actions: tuple[str, ...]
    not_actions: bool
    resources: tuple[str, ...]
    not_resources: bool
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks for what. `facts` are the values of condition keys in lower case: None: absent; not there: left open.

    `resource` is one ARN; where it ends with `*`, all below it are meant.
    """

    who: Principal
    action: str
    resource: str
    facts: Mapping[str, str | None]


def read_policy(data: bytes) -> tuple[Statement, ...]:
    """The statements of a policy document.

    Raises:
        LimitExceeded: it is larger than any honest one. Malformed: it is no policy that can be understood.
    """
    if len(data) > MAX_POLICY_BYTES:
        raise LimitExceeded(f"the policy is {len(data)} bytes, more than {MAX_POLICY_BYTES}")
    text = parse(data)
    if text.repeated:
        raise Malformed(f"the policy repeats the key {text.repeated[0]!a:.80}")
    value = text.value
    if not isinstance(value, dict) or set(value) - {"Version", "Id", "Statement"}:
        raise Malformed("the policy is no object of Version, Id and Statement")
    if value.get("Version", "2008-10-17") not in ("2012-10-17", "2008-10-17"):
        raise Malformed("the policy has a version that is not known")
    statements = value.get("Statement")
    rows = statements if isinstance(statements, list) else [statements]
    if len(rows) > MAX_STATEMENTS:
        raise LimitExceeded(f"the policy has more than {MAX_STATEMENTS} statements")
    return tuple(_statement(row, number) for number, row in enumerate(rows, start=1))


def _statement(row: Json, number: int) -> Statement:
    if not isinstance(row, dict) or set(row) - _KEYS:
        raise Malformed(f"statement {number} of the policy is no object of known keys")
    if row.get("Effect") not in ("Allow", "Deny"):
        raise Malformed(f"statement {number} of the policy neither allows nor denies")
    for key in ("Action", "Resource"):
        if (key in row) == (f"Not{key}" in row):
            raise Malformed(f"statement {number} of the policy needs one of {key} and Not{key}")
    if "Principal" in row and "NotPrincipal" in row:
        raise Malformed(f"statement {number} of the policy has Principal and NotPrincipal")
    sid = row.get("Sid", "")
    return Statement(
        sid=sid if isinstance(sid, str) and sid else f"#{number}",
        allows=row["Effect"] == "Allow",
        principals=_principals(row.get("Principal", row.get("NotPrincipal")), number),
        not_principals="NotPrincipal" in row,
        actions=tuple(one.lower() for one in _texts(row.get("Action", row.get("NotAction")), number)),
        not_actions="NotAction" in row,
        resources=_texts(row.get("Resource", row.get("NotResource")), number),
        not_resources="NotResource" in row,
        conditions=_conditions(row.get("Condition", {}), number),
    )


def _principals(value: Json, number: int) -> tuple[Principal, ...]:
    if value is None:
        return ()
    if value == "*":
        return (EVERYONE,)
    if not isinstance(value, dict) or not value or set(value) - _PRINCIPALS:
        raise Malformed(f"statement {number} of the policy has a principal of an unknown form")
    found: list[Principal] = []
    for kind, names in value.items():
        for name in _texts(names, number):
            if kind == "AWS" and name == "*":
                found.append(EVERYONE)
            elif "*" in name:
                raise Malformed(f"statement {number} of the policy has a principal with a wildcard in its name")
            else:
                found.append(Principal(kind, name))
    return tuple(found)


def _texts(value: Json, number: int) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    texts = tuple(one for one in values if isinstance(one, str))
    if len(texts) != len(values) or not texts or len(texts) > MAX_VALUES:
        raise Malformed(f"statement {number} of the policy has a list that is none of text")
    return texts


def _conditions(value: Json, number: int) -> tuple[Condition, ...]:
    if not isinstance(value, dict):
        raise Malformed(f"statement {number} of the policy has conditions of an unknown form")
    found: list[Condition] = []
    for name, keys in value.items():
        if not isinstance(keys, dict) or not keys:
            raise Malformed(f"statement {number} of the policy has a condition without a key")
        word, quantified = name, ""
        for prefix, how in (("ForAnyValue:", "any"), ("ForAllValues:", "all")):
            if word.startswith(prefix):
                word, quantified = word.removeprefix(prefix), how
        if_exists = word.endswith("IfExists")
        word = word.removesuffix("IfExists")
        for key, values in keys.items():
            rows = values if isinstance(values, list) else [values]
            texts = tuple(_value(one) for one in rows)
            found.append(Condition(word, key.lower(), texts, if_exists, quantified))
    return tuple(found)


def _value(value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise Malformed("a condition of the policy has a value that is neither text, number nor truth value")


# --- one statement and one request


def applies(statement: Statement, request: Request) -> Held:
    """Whether a statement is about a request.

    Of an ARN that ends with `*`, an allowance is about the request where it meets some of them, a denial where all.
    """
    if not _principal_applies(statement, request.who):
        return Held.NO
    if any(matches(pattern, request.action.lower()) for pattern in statement.actions) == statement.not_actions:
        return Held.NO
    if not _resource_applies(statement, request.resource):
        return Held.NO
    return _all(_condition(one, request.facts) for one in statement.conditions)


def _principal_applies(statement: Statement, who: Principal) -> bool:
    if not statement.principals:
        return not statement.not_principals
    return any(_is(named, who) for named in statement.principals) != statement.not_principals


def _is(named: Principal, who: Principal) -> bool:
    if named in (EVERYONE, who):
        return True
    match = _ACCOUNT.fullmatch(named.name) if named.kind == "AWS" else None
    return match is not None and who.kind == "AWS" and who.account == match[1]


def _resource_applies(statement: Statement, resource: str) -> bool:
    """See `applies`."""
    wide = statement.allows != statement.not_resources
    met = any((meets if wide else covers)(pattern, resource) for pattern in statement.resources)
    return met != statement.not_resources


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern with `*` and `?` stands for the text; in time of at most their lengths' product."""
    at = inside = 0
    star = held = -1
    while at < len(text):
        if inside < len(pattern) and pattern[inside] == "*":
            star, held = inside, at
            inside += 1
        elif inside < len(pattern) and pattern[inside] in ("?", text[at]):
            at, inside = at + 1, inside + 1
        elif star >= 0:
            held += 1
            at, inside = held, star + 1
        else:
            return False
    return not pattern[inside:].strip("*")


_BELOW: Final = ("\ue000", "\ue000" * 61 + "/\ue001", "/\ue002" * 300)


def covers(pattern: str, resource: str) -> bool:
    """Whether a pattern stands for the resource, or for all below it where it ends with `*`."""
    if not resource.endswith("*"):
        return matches(pattern, resource)
    return all(matches(pattern, resource[:-1] + below) for below in _BELOW)


def meets(pattern: str, resource: str) -> bool:
    """Whether a pattern stands for the resource, or for something below it where it ends with `*`."""
    if not resource.endswith("*"):
        return matches(pattern, resource)
    start = resource[:-1]
    if matches(pattern, start) or any(matches(pattern, start + below) for below in _BELOW):
        return True
    fixed = re.split(r"[*?]", pattern, maxsplit=1)[0]
    return fixed.startswith(start) or (len(fixed) < len(pattern) and start.startswith(fixed))


def _all(held: Iterable[Held]) -> Held:
    result = Held.YES
    for one in held:
        if one is Held.NO:
            return Held.NO
        if one is Held.MAYBE:
            result = Held.MAYBE
    return result


def _condition(condition: Condition, facts: Mapping[str, str | None]) -> Held:
    if condition.operator == "Null":
        if condition.key not in facts:
            return Held.MAYBE
        wanted = {one.lower() for one in condition.values}
        return Held.YES if ("true" if facts[condition.key] is None else "false") in wanted else Held.NO
    test = _TESTS.get(condition.operator)
    if test is None or condition.key not in facts or any("${" in one for one in condition.values):
        return Held.MAYBE
    negated = "Not" in condition.operator
    fact = facts[condition.key]
    if fact is None:
        absent = condition.if_exists or condition.quantified == "all" or (negated and condition.quantified != "any")
        return Held.YES if absent else Held.NO
    try:
        met = any(test(one, fact) for one in condition.values)
    except ValueError:
        return Held.MAYBE
    return Held.YES if met != negated else Held.NO


def _arn(pattern: str, value: str) -> bool:
    """Arn operators compare the six parts one by one."""
    one, other = pattern.split(":", 5), value.split(":", 5)
    return len(one) == len(other) and all(matches(part, text) for part, text in zip(one, other, strict=True))


def _equal(one: str, fact: str) -> bool:
    return one == fact


def _alike(one: str, fact: str) -> bool:
    return one.lower() == fact.lower()


def _number(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    return lambda one, fact: compare(float(fact), float(one))


_TESTS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    **dict.fromkeys(("StringEquals", "StringNotEquals"), _equal),
    **dict.fromkeys(("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "Bool"), _alike),
    **dict.fromkeys(("StringLike", "StringNotLike"), matches),
    **dict.fromkeys(("ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"), _arn),
    **dict.fromkeys(("NumericEquals", "NumericNotEquals"), _number(operator.eq)),
    "NumericLessThan": _number(operator.lt),
    "NumericLessThanEquals": _number(operator.le),
    "NumericGreaterThan": _number(operator.gt),
    "NumericGreaterThanEquals": _number(operator.ge),
}
OPERATORS: Final = frozenset((*_TESTS, "Null", "IpAddress", "NotIpAddress"))
"""Operators that are understood, some only as "it depends"; a statement with another is said to be unproved."""
