"""A unified diff of two texts in bounded time and size.

The shortest edit by Myers' algorithm (1986), up to `MAX_EDITS` added and removed lines; what differs more is shown as one
block replaced by another. `difflib` has no such bound: texts can be made that keep it busy for hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

MAX_EDITS: Final = 600
MAX_COMPARED: Final = 40_000
"""Lines of both texts together, between what is equal at their beginnings and ends, that are compared one by one."""
MAX_LINES: Final = 400
"""Lines of a diff that are shown."""
MAX_LINE_LENGTH: Final = 400
CONTEXT: Final = 3


@dataclass(frozen=True, slots=True)
class Edit:
    """Lines `before[a:b]` become `after[c:d]`."""

    a: int
    b: int
    c: int
    d: int


@dataclass(frozen=True, slots=True)
class TextDiff:
    """A unified diff as text, and how many lines it adds and removes in all."""

    text: str
    added: int
    removed: int


def unified(before: str, after: str) -> TextDiff:
    """The diff of two texts, line by line; at most `MAX_LINES` lines of it."""
    old, new = before.splitlines(), after.splitlines()
    edits = list(edits_of(old, new))
    added, removed = sum(edit.d - edit.c for edit in edits), sum(edit.b - edit.a for edit in edits)
    if not edits:
        return TextDiff("(only line ends differ)" if before != after else "", 0, 0)
    shown: list[str] = []
    total = 0
    for line in _hunks(old, new, edits):
        total += 1
        if total <= MAX_LINES:
            shown.append(line if len(line) <= MAX_LINE_LENGTH else f"{line[:MAX_LINE_LENGTH]}…")
    if total > MAX_LINES:
        shown.append(f"… {total - MAX_LINES} more lines")
    return TextDiff("\n".join(shown), added, removed)


def edits_of(old: Sequence[str], new: Sequence[str]) -> Iterator[Edit]:
    """The edits, in order, none next to another."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    middle_old, middle_new = old[start : len(old) - end], new[start : len(new) - end]
    if not middle_old and not middle_new:
        return
    numbers: dict[str, int] = {}
    a, b = ([numbers.setdefault(line, len(numbers)) for line in lines] for lines in (middle_old, middle_new))
    matches = _matches(a, b) if a and b and len(a) + len(b) <= MAX_COMPARED else []
    x = y = 0
    for i, j in [*(matches or []), (len(a), len(b))]:
        if i > x or j > y:
            yield Edit(start + x, start + i, start + y, start + j)
        x, y = i + 1, j + 1


def _matches(a: Sequence[int], b: Sequence[int]) -> list[tuple[int, int]] | None:
    """Pairs of equal places on a shortest path; None where it is longer than `MAX_EDITS`."""
    trace: list[dict[int, tuple[int, int]]] = []
    for steps in range(min(MAX_EDITS, len(a) + len(b)) + 1):
        earlier = trace[-1] if trace else {1: (0, 0)}
        here: dict[int, tuple[int, int]] = {}
        for k in range(-steps, steps + 1, 2):
            x, came = _step(earlier, k, len(a), len(b))
            if x < 0:
                continue
            start = x
            while x < len(a) and x - k < len(b) and a[x] == b[x - k]:
                x += 1
            here[k] = x, start if came == k + 1 else -start - 1
            if x == len(a) and x - k == len(b):
                return _walk_back([*trace, here], x, x - k)
        trace.append(here)
    return None


def _step(earlier: dict[int, tuple[int, int]], k: int, count_a: int, count_b: int) -> tuple[int, int]:
    """How far one more edit leads on diagonal `k`, and from which; -1 where no edit leads there."""
    best = -1, k
    above, left = earlier.get(k + 1), earlier.get(k - 1)
    if above is not None and above[0] - k <= count_b:
        best = above[0], k + 1
    if left is not None and left[0] + 1 <= count_a and left[0] + 1 > best[0]:
        best = left[0] + 1, k - 1
    return best


def _walk_back(trace: Sequence[dict[int, tuple[int, int]]], x: int, y: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for step in range(len(trace) - 1, -1, -1):
        k = x - y
        start = trace[step][k][1]
        down, start = start >= 0, start if start >= 0 else -start - 1
        while x > start:
            x, y = x - 1, y - 1
            found.append((x, y))
        if step:
            x, y = (x, y - 1) if down else (x - 1, y)
    return found[::-1]


def _hunks(old: Sequence[str], new: Sequence[str], edits: Sequence[Edit]) -> Iterator[str]:
    position = 0
    while position < len(edits):
        last = position
        while last + 1 < len(edits) and edits[last + 1].a - edits[last].b <= 2 * CONTEXT:
            last += 1
        group = edits[position : last + 1]
        yield from _hunk(old, new, group)
        position = last + 1


def _hunk(old: Sequence[str], new: Sequence[str], group: Sequence[Edit]) -> Iterator[str]:
    lead = min(CONTEXT, group[0].a)
    a, c = group[0].a - lead, group[0].c - lead
    b = min(len(old), group[-1].b + CONTEXT)
    d = group[-1].d + (b - group[-1].b)
    # As `diff` has it: a side without lines stands before its first.
    yield f"@@ -{a + (b > a)},{b - a} +{c + (d > c)},{d - c} @@"
    position = a
    for edit in group:
        yield from (f" {line}" for line in old[position : edit.a])
        yield from (f"-{line}" for line in old[edit.a : edit.b])
        yield from (f"+{line}" for line in new[edit.c : edit.d])
        position = edit.b
    yield from (f" {line}" for line in old[position:b])
