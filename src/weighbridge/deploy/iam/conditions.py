"""Judges the conditions of an IAM statement, and says "unknown" where AWS's own documentation leaves the answer open.

Sources: IAM User Guide, "IAM JSON policy elements: Condition operators" and "Multivalued context keys". What is not decided:
operators that are not listed here, values that are not of the operator's type, an IPv6 address and `NotIpAddress` of IPv4
networks, several values of a key without a set operator, `ForAnyValue` with `IfExists` on a key that is absent, and keys of a
request that is only partly described.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final

from weighbridge.deploy.iam.patterns import (
    Pattern,
    Truth,
    all_of,
    any_of,
    is_plain,
    literal,
    lowered,
    matches,
    matches_arn,
    read_pattern,
)

MAX_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Condition:
    """One test: `operator` and `key` as they are written."""

    operator: str
    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of a request.

    `values` go by key in lower case; an empty tuple says that the request does not have the key. A key that is not there at all
    is absent too when the context is `complete`, and unknown otherwise.
    """

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    complete: bool = True
    variables: bool = True
    """Whether `${key}` in a policy is a variable: from version 2012-10-17 on."""

    def held(self, key: str) -> tuple[str, ...] | None:
        """The key's values, none of them when it is absent, None when nothing is known."""
        found = self.values.get(key.lower())
        return () if found is None and self.complete else found

    def pattern(self, text: str, *, wild: bool) -> Pattern | None:
        """The pattern of a policy's text; None when one of its variables is not known."""
        if not self.variables:
            return read_pattern(text) if wild else literal(text)
        if wild:
            return read_pattern(text, self._variable)
        if "${" not in text:
            return literal(text)
        # An operator without wildcards: what it holds beside variables is literal, also `*`.
        pattern = read_pattern(text, self._variable)
        return None if pattern is None else tuple(one if isinstance(one, str) else one.value for one in pattern)

    def _variable(self, key: str) -> str | None:
        held = self.held(key)
        return held[0] if held and len(held) == 1 else None


Compare = Callable[[Pattern, str], Truth]


def _equal(pattern: Pattern, value: str) -> Truth:
    return Truth.of(pattern == tuple(value))


def _equal_ignoring_case(pattern: Pattern, value: str) -> Truth:
    return Truth.of(lowered(pattern) == tuple(value.lower()))


def _like(pattern: Pattern, value: str) -> Truth:
    return Truth.of(matches(pattern, value))


def _arn(pattern: Pattern, value: str) -> Truth:
    return matches_arn(pattern, value)


def _text(pattern: Pattern) -> str:
    return "".join(piece for piece in pattern if isinstance(piece, str))


_NUMBER: Final = re.compile(r"[+-]?\d{1,30}(?:\.\d{1,30})?")


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text) if _NUMBER.fullmatch(text) else None
    except InvalidOperation:
        return None


def _moment(text: str) -> Decimal | None:
    if (number := _number(text)) is not None:
        return number
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return Decimal(str((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()))


def _ordered(read: Callable[[str], Decimal | None], holds: Callable[[Decimal, Decimal], bool]) -> Compare:
    def compare(pattern: Pattern, value: str) -> Truth:
        wanted, given = read(_text(pattern)), read(value)
        return Truth.UNKNOWN if wanted is None or given is None else Truth.of(holds(given, wanted))

    return compare


def _bool(pattern: Pattern, value: str) -> Truth:
    words = (_text(pattern).lower(), value.lower())
    return Truth.of(words[0] == words[1]) if set(words) <= {"true", "false"} else Truth.UNKNOWN


def _address(pattern: Pattern, value: str) -> Truth:
    try:
        network, address = ipaddress.ip_network(_text(pattern), strict=False), ipaddress.ip_address(value)
    except ValueError:
        return Truth.UNKNOWN
    return Truth.of(network.version == address.version and address in network)


def _outside(pattern: Pattern, value: str) -> Truth:
    """Like `_address`, but an address of the other version is neither in nor certainly out."""
    truth = _address(pattern, value)
    return Truth.UNKNOWN if truth is Truth.NO and (":" in _text(pattern)) != (":" in value) else truth


@dataclass(frozen=True, slots=True)
class _Operator:
    compare: Compare
    negated: bool = False
    wild: bool = False


def _orders(read: Callable[[str], Decimal | None], kind: str) -> dict[str, _Operator]:
    return {
        f"{kind}Equals": _Operator(_ordered(read, lambda given, wanted: given == wanted)),
        f"{kind}NotEquals": _Operator(_ordered(read, lambda given, wanted: given == wanted), negated=True),
        f"{kind}LessThan": _Operator(_ordered(read, lambda given, wanted: given < wanted)),
        f"{kind}LessThanEquals": _Operator(_ordered(read, lambda given, wanted: given <= wanted)),
        f"{kind}GreaterThan": _Operator(_ordered(read, lambda given, wanted: given > wanted)),
        f"{kind}GreaterThanEquals": _Operator(_ordered(read, lambda given, wanted: given >= wanted)),
    }


OPERATORS: Final[Mapping[str, _Operator]] = {
    "StringEquals": _Operator(_equal),
    "StringNotEquals": _Operator(_equal, negated=True),
    "StringEqualsIgnoreCase": _Operator(_equal_ignoring_case),
    "StringNotEqualsIgnoreCase": _Operator(_equal_ignoring_case, negated=True),
    "StringLike": _Operator(_like, wild=True),
    "StringNotLike": _Operator(_like, negated=True, wild=True),
    "ArnEquals": _Operator(_arn, wild=True),
    "ArnLike": _Operator(_arn, wild=True),
    "ArnNotEquals": _Operator(_arn, negated=True, wild=True),
    "ArnNotLike": _Operator(_arn, negated=True, wild=True),
    "Bool": _Operator(_bool),
    "IpAddress": _Operator(_address),
    "NotIpAddress": _Operator(_outside, negated=True),
    "BinaryEquals": _Operator(_equal),
    **_orders(_number, "Numeric"),
    **_orders(_moment, "Date"),
}
_NULL: Final = "Null"
_ANY, _ALL = "ForAnyValue", "ForAllValues"
_IF_EXISTS: Final = "IfExists"


@dataclass(frozen=True, slots=True)
class Named:
    """An operator's name, taken apart."""

    base: str
    quantifier: str
    if_exists: bool

    @property
    def negated(self) -> bool:
        """Whether it holds for what is not listed."""
        return self.base in OPERATORS and OPERATORS[self.base].negated


@lru_cache(maxsize=1024)
def named(operator: str) -> Named:
    """The parts of an operator's name."""
    quantifier, colon, rest = operator.partition(":")
    if not colon:
        quantifier, rest = "", operator
    return Named(rest.removesuffix(_IF_EXISTS), quantifier, rest.endswith(_IF_EXISTS))


def judge(condition: Condition, context: Context) -> tuple[Truth, str]:
    """Whether the condition holds; where that is unknown, also why."""
    name = named(condition.operator)
    if name.base == _NULL and not name.if_exists:
        return _null(condition, context)
    operator = OPERATORS.get(name.base)
    if operator is None or name.quantifier not in ("", _ANY, _ALL):
        return Truth.UNKNOWN, f"the operator {condition.operator[:MAX_SHOWN]!a} is not known"
    held = context.held(condition.key)
    if held is None:
        return Truth.UNKNOWN, f"it depends on {condition.key[:MAX_SHOWN]!a}"
    if not held:
        return _absent(name, condition)
    if not name.quantifier and len(held) > 1:
        return Truth.UNKNOWN, f"{condition.key[:MAX_SHOWN]!a} has several values, and the operator takes one"
    patterns = [context.pattern(value, wild=operator.wild) for value in condition.values]
    answers = [_one(operator, patterns, value) for value in held]
    truth = all_of(answers) if name.quantifier == _ALL else any_of(answers)
    return truth, "" if truth is not Truth.UNKNOWN else _undecided(condition)


def _undecided(condition: Condition) -> str:
    return f"{condition.operator[:MAX_SHOWN]!a} of {condition.key[:MAX_SHOWN]!a} cannot be decided from its values"


def _one(operator: _Operator, patterns: Iterable[Pattern | None], value: str) -> Truth:
    truth = any_of(Truth.UNKNOWN if one is None else operator.compare(one, value) for one in patterns)
    return truth.negated if operator.negated else truth


def _null(condition: Condition, context: Context) -> tuple[Truth, str]:
    held = context.held(condition.key)
    if held is None:
        return Truth.UNKNOWN, f"it depends on {condition.key[:MAX_SHOWN]!a}"
    wanted = {value.lower() for value in condition.values}
    if not wanted <= {"true", "false"}:
        return Truth.UNKNOWN, _undecided(condition)
    return Truth.of(("false" if held else "true") in wanted), ""


def _absent(name: Named, condition: Condition) -> tuple[Truth, str]:
    if name.quantifier == _ALL:
        return Truth.YES, ""
    if name.quantifier == _ANY:
        if name.if_exists:
            return Truth.UNKNOWN, f"AWS does not say what {condition.operator[:MAX_SHOWN]!a} means for an absent key"
        return Truth.NO, ""
    return Truth.of(name.negated or name.if_exists), ""


def bounds(condition: Condition) -> bool:
    """Whether it holds only for requests that have one of a fixed list of values: no wildcard, no negation, no `IfExists`."""
    name = named(condition.operator)
    operator = OPERATORS.get(name.base)
    if operator is None or operator.negated or name.if_exists or name.quantifier == _ALL:
        return False
    patterns = [read_pattern(value) for value in condition.values]
    return not operator.wild or all(pattern is not None and is_plain(pattern) for pattern in patterns)
