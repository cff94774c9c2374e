"""Matches IAM's wildcards, and says of a whole prefix at once whether a pattern covers it, touches it or misses it.

`*` stands for any characters, `?` for one, `${key}` for a value of the request, `${*}`, `${?}` and `${$}` for the characters
themselves. What a variable brings is never read as a wildcard. Matching takes time proportional to pattern times text.
Three answers are possible wherever something may not be known: yes, no, unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from functools import lru_cache
from typing import Final

ARN_SEGMENTS: Final = 6
_VARIABLE: Final = re.compile(r"\$\{([^{}$]{1,256}|[$*?])\}")
_KEPT_CHARACTERS: Final = 512
"""Patterns up to this length are kept once they are read."""
_UNLIKELY: Final = "\x00"
"""No key or pattern holds it, so only a wildcard can match it."""


class Truth(Enum):
    """Yes, no, or not decidable from what is known."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"

    @classmethod
    def of(cls, value: bool) -> Truth:
        """Yes or no."""
        return cls.YES if value else cls.NO

    @property
    def negated(self) -> Truth:
        """No for yes, yes for no."""
        if self is Truth.UNKNOWN:
            return self
        return Truth.NO if self is Truth.YES else Truth.YES


def any_of(truths: Iterable[Truth]) -> Truth:
    """Yes when one is, no when all are."""
    answer = Truth.NO
    for truth in truths:
        if truth is Truth.YES:
            return truth
        if truth is Truth.UNKNOWN:
            answer = truth
    return answer


def all_of(truths: Iterable[Truth]) -> Truth:
    """No when one is, yes when all are."""
    answer = Truth.YES
    for truth in truths:
        if truth is Truth.NO:
            return truth
        if truth is Truth.UNKNOWN:
            answer = truth
    return answer


class Wild(Enum):
    """A wildcard in a pattern."""

    ANY = "*"
    ONE = "?"


Pattern = tuple[str | Wild, ...]
"""Single characters and wildcards."""

Resolve = Callable[[str], str | None]
"""The value of a policy variable; None when it is not known."""


def literal(text: str) -> Pattern:
    """A pattern without wildcards."""
    return tuple(text)


def read_pattern(text: str, resolve: Resolve | None = None) -> Pattern | None:
    """The pattern; None when it holds a variable whose value is not known. Without `resolve`, `$` is a plain character."""
    if resolve is None or "${" not in text:
        return _short(text) if len(text) <= _KEPT_CHARACTERS else tuple(_wildcards(text))
    pieces: list[str | Wild] = []
    at = 0
    for found in _VARIABLE.finditer(text):
        pieces += _wildcards(text[at : found.start()])
        name = found[1]
        value = name if name in ("*", "?", "$") else _variable(name, resolve)
        if value is None:
            return None
        pieces += value
        at = found.end()
    rest = text[at:]
    return None if "${" in rest else tuple(pieces + _wildcards(rest))


@lru_cache(maxsize=2048)
def _short(text: str) -> Pattern:
    return tuple(_wildcards(text))


def _variable(name: str, resolve: Resolve) -> str | None:
    key, comma, default = name.partition(",")
    value = resolve(key.strip())
    if value is None and comma:
        default = default.strip()
        quoted = len(default) > 1 and default[0] == default[-1] == "'"
        return default[1:-1] if quoted else None
    return value


def _wildcards(text: str) -> list[str | Wild]:
    return [Wild(one) if one in "*?" else one for one in text]


def matches(pattern: Pattern, text: str) -> bool:
    """Whether the pattern matches the whole text."""
    if Wild.ANY not in pattern and len(pattern) != len(text):
        return False
    at = reached = 0
    star, resumed = -1, 0
    while reached < len(text):
        piece = pattern[at] if at < len(pattern) else None
        if piece is Wild.ANY:
            star, resumed = at, reached
            at += 1
        elif piece is Wild.ONE or piece == text[reached]:
            at += 1
            reached += 1
        elif star >= 0:
            resumed += 1
            at, reached = star + 1, resumed
        else:
            return False
    return all(piece is Wild.ANY for piece in pattern[at:])


def matches_under(pattern: Pattern, prefix: str) -> Truth:
    """Yes when the pattern matches every text that begins with the prefix and goes on; no when it matches none."""
    if matches(pattern, prefix + _UNLIKELY) and matches(pattern, prefix + _UNLIKELY * (len(pattern) + 1)):
        return Truth.YES
    return Truth.UNKNOWN if _touches(pattern, prefix) else Truth.NO


def _touches(pattern: Pattern, prefix: str) -> bool:
    """Whether some text that begins with the prefix is matched."""
    places = _skipped(pattern, {0})
    for character in prefix:
        after = set()
        for place in places:
            if place == len(pattern):
                continue
            piece = pattern[place]
            if piece is Wild.ANY:
                after.add(place)
            elif piece is Wild.ONE or piece == character:
                after.add(place + 1)
        places = _skipped(pattern, after)
        if not places:
            return False
    # A pattern that ends here matches the prefix itself, and nothing under it.
    return any(place < len(pattern) for place in places)


def _skipped(pattern: Pattern, places: set[int]) -> set[int]:
    waiting, reached = list(places), set(places)
    while waiting:
        place = waiting.pop()
        if place < len(pattern) and pattern[place] is Wild.ANY and place + 1 not in reached:
            reached.add(place + 1)
            waiting.append(place + 1)
    return reached


@lru_cache(maxsize=2048)
def segments(pattern: Pattern) -> tuple[Pattern, ...]:
    """The pattern of an ARN, split at its first five colons."""
    parts: list[list[str | Wild]] = [[]]
    for piece in pattern:
        if piece == ":" and len(parts) < ARN_SEGMENTS:
            parts.append([])
        else:
            parts[-1].append(piece)
    return tuple(tuple(part) for part in parts)


def matches_arn(pattern: Pattern, arn: str, *, under: bool = False) -> Truth:
    """Whether an ARN's pattern matches, segment by segment; with `under`, every ARN that begins with `arn`.

    A pattern of fewer segments is no ARN: unknown. `*` alone is not special here.
    """
    wanted, given = segments(pattern), arn.split(":", ARN_SEGMENTS - 1)
    if len(wanted) < ARN_SEGMENTS:
        return Truth.UNKNOWN
    if len(given) < ARN_SEGMENTS:
        return Truth.NO
    if not all(matches(one, text) for one, text in zip(wanted[:-1], given[:-1], strict=True)):
        return Truth.NO
    return matches_under(wanted[-1], given[-1]) if under else Truth.of(matches(wanted[-1], given[-1]))


@lru_cache(maxsize=2048)
def lowered(pattern: Pattern) -> Pattern:
    """The same in lower case."""
    return tuple(piece if isinstance(piece, Wild) else piece.lower() for piece in pattern)


def is_plain(pattern: Sequence[str | Wild]) -> bool:
    """Whether it holds no wildcard."""
    return not any(isinstance(piece, Wild) for piece in pattern)
