"""Takes members out of a JSON text and leaves every other character as it was.

A configuration that is parsed and written again loses how its numbers were spelt, how it was indented, which characters
were escaped; a reviewer could not tell what else changed. Here the text around what is removed stays as it is. What
comes out is parsed again and held against the value without the members: nothing else may have changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from weighbridge.core.errors import Ambiguous, FormatError, LimitExceeded, Malformed
from weighbridge.formats.json_text import Json, parse

Path = tuple[str | int, ...]
"""Where a value stands: keys and positions from the outermost value inwards."""

MAX_EDITED_BYTES: Final = 16 * 1024 * 1024
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def without(data: bytes, unwanted: Collection[Path], *, of: str) -> bytes:
    """The text without those members of its objects.

    `of` names the text in errors.

    Raises:
        Ambiguous: an object has a key twice, so that two readers see different values.
        LimitExceeded: the text is longer than is edited.
        Malformed, JsonProblem: it is no JSON, or the members are not there.
    """
    if len(data) > MAX_EDITED_BYTES:
        raise LimitExceeded(f"'{of}' is {len(data)} bytes; texts of up to {MAX_EDITED_BYTES} are edited")
    before = parse(data)
    if before.repeated:
        raise Ambiguous(
            f"'{of}' has the key {before.repeated[0][:80]!a} twice",
            hint="Readers take the first or the last; ask the publisher for a sound file.",
        )
    edited = _cut(data.decode("utf-8"), frozenset(unwanted)).encode("utf-8")
    expected = before.value
    for path in unwanted:
        expected = _removed(expected, path, of)
    try:
        after = parse(edited)
    except FormatError as error:
        raise Malformed(f"'{of}' is no JSON any more without what was to be removed") from error
    if rest(after.value) != rest(expected):
        raise Malformed(f"'{of}' would have another meaning without what was to be removed")
    return edited


def rest(value: Json) -> str:
    """A value as a text that is equal for equal values, the order of keys included."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def objects(value: Json) -> Iterator[tuple[Path, dict[str, Json]]]:
    """All objects in a value with their paths, without recursion."""
    waiting: list[tuple[Path, Json]] = [((), value)]
    while waiting:
        path, one = waiting.pop()
        if isinstance(one, dict):
            yield path, one
            waiting += [((*path, key), inner) for key, inner in one.items() if isinstance(inner, dict | list)]
        elif isinstance(one, list):
            waiting += [((*path, at), inner) for at, inner in enumerate(one) if isinstance(inner, dict | list)]


def shown(path: Path) -> str:
    """A path for people: `text_config.auto_map`, `[0].type`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part[:80]}"
    return text


def _removed(value: Json, path: Path, of: str) -> Json:
    """The value without the member at `path`; containers on the way are copied."""
    here, *further = path
    if isinstance(value, dict) and isinstance(here, str) and here in value:
        if not further:
            return {key: one for key, one in value.items() if key != here}
        return {key: _removed(one, tuple(further), of) if key == here else one for key, one in value.items()}
    if isinstance(value, list) and isinstance(here, int) and here < len(value) and further:
        return [_removed(one, tuple(further), of) if at == here else one for at, one in enumerate(value)]
    raise Malformed(f"'{of}' has no {shown(path)[:120]!a}")


@dataclass(slots=True)
class _Member:
    start: int
    end: int
    unwanted: bool


@dataclass(slots=True)
class _Open:
    """An object or list whose end was not reached: the key or position it is at, and its members so far."""

    is_object: bool
    key: str | int = 0
    at_key: bool = True
    start: int = 0
    members: list[_Member] = field(default_factory=list)

    @property
    def is_begun(self) -> bool:
        """Whether a member was begun and not ended."""
        return self.start > 0


def _cut(text: str, unwanted: frozenset[Path]) -> str:
    """The text without the members; `text` is JSON, parsed before."""
    cuts: list[tuple[int, int]] = []
    opened: list[_Open] = []
    for token in _TOKEN.finditer(text):
        word = token.group()
        here = opened[-1] if opened else None
        if here is not None and not here.is_begun and word not in "]},":
            here.start = token.start()
            if here.is_object:
                here.key = json.loads(word)
                continue
        if word in "{[":
            opened.append(_Open(word == "{"))
        elif here is not None and word in "]},":
            _end_member(opened, text, token.start(), unwanted)
            if word == ",":
                here.key = here.key if here.is_object else int(here.key) + 1
                continue
            cuts += _cuts(here.members)
            opened.pop()
    pieces, position = [], 0
    for start, end in sorted(cuts):
        # A member inside of one that is removed goes with it.
        if start >= position:
            pieces.append(text[position:start])
        position = max(position, end)
    return "".join([*pieces, text[position:]])


def _end_member(opened: list[_Open], text: str, at: int, unwanted: frozenset[Path]) -> None:
    here = opened[-1]
    if here.is_begun:
        end = len(text[here.start : at].rstrip()) + here.start
        path = tuple(one.key for one in opened)
        here.members.append(_Member(here.start, end, here.is_object and path in unwanted))
        here.start = 0


def _cuts(members: list[_Member]) -> Iterator[tuple[int, int]]:
    """What to cut so that commas are right: with the comma before where something stays before, else with the one after."""
    kept_before = False
    for number, member in enumerate(members):
        if not member.unwanted:
            kept_before = True
        elif kept_before:
            yield members[number - 1].end, member.end
        else:
            yield member.start, members[number + 1].start if number + 1 < len(members) else member.end
