"""Finds the shapes of regular expressions that make a backtracking engine run for ever.

Tokenizers run expressions from the file over every prompt (tokenizers uses Oniguruma). A repetition without bound around
a body that is itself one unbounded repetition, or that can match the same text in two ways, takes time exponential in the
length of the text (CVE-2024-12720, CVE-2025-2099 and their kin). This is a reader of shapes, not of expressions: character
classes, properties and look-arounds are opaque.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import Final

from weighbridge.core.dataclass import dataclass

MAX_PATTERN: Final = 20_000
MAX_NESTING: Final = 50
_MAX_COUNT: Final = 1_000
_QUANTIFIER = re.compile(r"(?:[*+?]|\{\d*,?\d*\})[+?]?")
_ESCAPE = re.compile(r"\\(?:[pPk]\{[^}]*\}|x\{[^}]*\}|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_OPENING = re.compile(r"\((?:\?(?:[a-zA-Z]*(?:-[a-zA-Z]*)?:|[=!>]|<[=!]|P?<\w+>|[a-zA-Z-]+(?=\))))?")


@dataclass(slots=True)
class _Piece:
    """One element of a sequence: its text, and how often it may be repeated."""

    text: str
    optional: bool = False
    unbounded: bool = False


@dataclass(slots=True)
class _Group:
    """A group that is being read: its finished alternatives and the one under way."""

    start: int
    looks: bool = False
    alternatives: list[list[_Piece]] = field(default_factory=lambda: [[]])


def danger(pattern: str) -> str:
    """Why the expression may run for ever; "" when no such shape was found."""
    if len(pattern) > MAX_PATTERN:
        return f"has {len(pattern)} characters"
    groups = [_Group(0)]
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "(":
            opening = _OPENING.match(pattern, position)
            text = opening.group() if opening else "("
            groups.append(_Group(position, looks=text[1:3] in ("?=", "?!") or text[1:4] in ("?<=", "?<!")))
            position += len(text)
            if len(groups) > MAX_NESTING:
                return "has groups nested beyond reason"
        elif character == "|":
            groups[-1].alternatives.append([])
            position += 1
        else:
            reason, position = _piece(pattern, position, groups)
            if reason:
                return reason
    return ""


def _piece(pattern: str, position: int, groups: list[_Group]) -> tuple[str, int]:
    """Reads one element, or the end of a group, with its quantifier; answers a reason and the next position."""
    start, closed = position, None
    if pattern[position] == ")" and len(groups) > 1:
        closed, position = groups.pop(), position + 1
        start = closed.start
    elif pattern[position] == "[":
        position = _class_end(pattern, position)
    else:
        escape = _ESCAPE.match(pattern, position)
        position = escape.end() if escape else position + 1
    piece = _Piece(pattern[start:position])
    quantifier = _QUANTIFIER.match(pattern, position)
    if quantifier:
        position = quantifier.end()
        lowest, highest = _bounds(quantifier.group())
        piece.optional, piece.unbounded = lowest == 0, highest is None
        if max(lowest, highest or 0) > _MAX_COUNT:
            return f"repeats more than {_MAX_COUNT} times", position
        possessive = quantifier.group().endswith("+") and len(quantifier.group()) > 1
        if closed and piece.unbounded and not possessive and _explodes(closed):
            return f"repeats a repetition: {pattern[start:position][:60]!a}", position
    if closed:
        piece.optional |= closed.looks
        # A group that is nothing but a repetition is one, whatever stands behind it.
        piece.unbounded |= _is_repetition(closed)
    groups[-1].alternatives[-1].append(piece)
    return "", position


def _explodes(group: _Group) -> bool:
    texts = ["".join(piece.text for piece in one) for one in group.alternatives]
    return len(set(texts)) < len(texts) or _is_repetition(group)


def _is_repetition(group: _Group) -> bool:
    """Whether some alternative is one unbounded repetition and nothing else that must be there."""
    for pieces in group.alternatives:
        mandatory = [piece for piece in pieces if not piece.optional]
        if any(piece.unbounded for piece in pieces) and (
            not mandatory or (len(mandatory) == 1 and mandatory[0].unbounded)
        ):
            return True
    return False


def _bounds(quantifier: str) -> tuple[int, int | None]:
    kind = quantifier[0]
    if kind != "{":
        return (1 if kind == "+" else 0), (1 if kind == "?" else None)
    low, comma, high = quantifier[1:].partition("}")[0].partition(",")
    lowest = int(low[:9] or "0")
    return lowest, (int(high[:9]) if high else None if comma else lowest)


def _class_end(pattern: str, position: int) -> int:
    """The position after a character class, which may hold classes."""
    depth, position = 1, position + 1
    if pattern.startswith("^", position):
        position += 1
    if pattern.startswith("]", position):
        position += 1
    while position < len(pattern) and depth:
        character = pattern[position]
        if character == "\\":
            position += 1
        elif character == "[":
            depth += 1
        elif character == "]":
            depth -= 1
        position += 1
    return position
