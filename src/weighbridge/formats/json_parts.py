"""Reads a JSON text of very many values in parts, so that it is never in memory as a whole.

What is small is built; large objects and lists come as several parts, one after another. Anything out of the ordinary
ends the reading (`Unordinary`): text that is no JSON, a key that one object has twice, numbers that JSON does not have, a
mark in front, large containers deep within each other. Whoever asked reads the text whole then (`json_text`), and is told
what it is.
"""

from __future__ import annotations

import codecs
import json
import re
from array import array
from collections.abc import Iterator
from dataclasses import field
from typing import Final, NoReturn

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import FormatError
from weighbridge.core.ports import RangeReader
from weighbridge.formats.json_text import Json

SMALL_CHARACTERS: Final = 32 * 1024
"""A container of up to so many characters is built whole."""

MAX_OPEN: Final = 8
"""Large containers that lie within each other."""

_READ_BYTES: Final = 256 * 1024
_AHEAD: Final = 2 * SMALL_CHARACTERS
_COMPARED: Final = 150_000
"""Keys that are compared at once."""

_SPACE = re.compile(r"[ \t\n\r]*")
_STEP = re.compile(r'[^"\[\]{},]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^"\[\]{},]*)*[\[\]{},]', re.DOTALL)
"""To the next bracket or comma that is in no text."""


class Unordinary(FormatError):
    """There is something about the text for which it has to be read whole."""


@dataclass(frozen=True, slots=True)
class Part:
    """Members of one object, or elements of one list; `key` is that under which it stands, `level` 1 for the outermost.

    A large container begins with a part without members.
    """

    value: dict[str, Json] | list[Json]
    key: str
    level: int


@dataclass(slots=True)
class _Open:
    """A large container that is being read."""

    key: str
    is_object: bool
    hashes: array[int] = field(default_factory=lambda: array("q"))

    @property
    def closing(self) -> str:
        """What ends it."""
        return "}" if self.is_object else "]"

    def check(self) -> None:
        """Raises `Unordinary` when two keys look alike; they need not be."""
        passes = len(self.hashes) // _COMPARED + 1
        for number in range(passes):
            some = self.hashes if passes == 1 else [one for one in self.hashes if one % passes == number]
            if len(set(some)) != len(some):
                raise Unordinary("a key may be there twice")


def _refuse(text: str) -> NoReturn:
    raise Unordinary(f"{text} is no number")


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    built = dict(pairs)
    if len(built) != len(pairs):
        raise Unordinary("a key is there twice")
    return built


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse)


class _Text:
    """The text from where it is read on."""

    def __init__(self, reader: RangeReader) -> None:
        self._reader, self._read = reader, 0
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self.held, self.at = "", 0

    def fill(self) -> None:
        """Sees to it that `_AHEAD` characters are held, or all that are left."""
        while len(self.held) - self.at < _AHEAD and self._read < self._reader.size_bytes:
            data = self._reader.read(self._read, min(_READ_BYTES, self._reader.size_bytes - self._read))
            if not data:
                raise Unordinary("the text is shorter than promised")
            self._read += len(data)
            fresh = self._decode(data, final=self._read >= self._reader.size_bytes)
            self.held, self.at = self.held[self.at :] + fresh, 0

    def next(self) -> str:
        """The next character that is no space, "" at the end."""
        self.fill()
        space = _SPACE.match(self.held, self.at)
        self.at = space.end() if space is not None else self.at
        return self.held[self.at : self.at + 1]

    def expect(self, *wanted: str) -> str:
        """Takes one of these characters."""
        found = self.next()
        if found not in wanted:
            raise Unordinary("the text is no JSON")
        self.at += 1
        return found

    def whole(self) -> tuple[Json, bool]:
        """The next value, and True; nothing and False where it is a large container."""
        if self.next() in ("[", "{") and not self._is_small():
            return None, False
        value, self.at = _DECODER.raw_decode(self.held, self.at)
        if len(self.held) - self.at < 1 and self._read < self._reader.size_bytes:
            raise Unordinary("a value is longer than is read at once")
        return value, True

    def name(self) -> str:
        """The next key."""
        if self.next() != '"':
            raise Unordinary("the text is no JSON")
        value, self.at = _DECODER.raw_decode(self.held, self.at)
        assert isinstance(value, str)
        return value

    def _is_small(self) -> bool:
        depth, at, end = 0, self.at, self.at + SMALL_CHARACTERS
        while (step := _STEP.match(self.held, at, end)) is not None:
            at = step.end()
            one = self.held[at - 1]
            depth += (one in "[{") - (one in "]}")
            if not depth:
                return True
        return False

    def run(self, is_object: bool) -> Json:
        """The members or elements that come next, as many as are held; None where not even one is."""
        held, at, end, depth, cut = self.held, self.at, self.at + SMALL_CHARACTERS, 0, -1
        match = _STEP.match
        while (step := match(held, at, end)) is not None:
            at = step.end()
            one = held[at - 1]
            if one == ",":
                if not depth:
                    cut = at - 1
            elif one in "[{":
                depth += 1
            else:
                depth -= 1
                if depth < 0:
                    cut = at - 1
                    break
        if cut < 0:
            return None
        inner, self.at = held[self.at : cut], cut
        value: Json = _DECODER.decode(f"{{{inner}}}" if is_object else f"[{inner}]")
        if not value:
            # A comma or a bracket with nothing before it.
            raise Unordinary("the text is no JSON")
        return value


def parts_of(reader: RangeReader) -> Iterator[Part]:
    """The parts of the one value of a text, in order, each less than `SMALL_CHARACTERS` long.

    Raises:
        Unordinary: it has to be read whole.
    """
    text = _Text(reader)
    try:
        opened = text.expect("{", "[")
        yield from _parts(text, _Open("", opened == "{"))
        if text.next():
            raise Unordinary("something follows the value")
    except (ValueError, RecursionError) as error:
        raise Unordinary("the text is no JSON") from error


def _parts(text: _Text, outermost: _Open) -> Iterator[Part]:
    stack, first = [outermost], True
    while stack:
        current = stack[-1]
        if not (first and text.next() == current.closing):
            taken, key, deeper = _taken(text, current)
            if deeper:
                stack.append(_Open(key, text.expect("{", "[") == "{"))
                first = True
                if len(stack) > MAX_OPEN:
                    raise Unordinary("large values lie deep within each other")
                yield Part({} if stack[-1].is_object else [], key, len(stack))
                continue
            assert isinstance(taken, dict | list)
            yield Part(taken, current.key, len(stack))
            if text.next() == ",":
                text.at, first = text.at + 1, False
                continue
        _close(text, stack)
        first = False


def _close(text: _Text, stack: list[_Open]) -> None:
    """Takes what closes the innermost container, and those around it that end there as well, or the comma after it."""
    while stack:
        text.expect(stack[-1].closing)
        stack.pop().check()
        if stack and text.next() != stack[-1].closing:
            text.expect(",")
            return


def _taken(text: _Text, current: _Open) -> tuple[Json, str, bool]:
    """What comes next of a container: several of its members or elements, or as `_one`."""
    text.fill()
    taken = text.run(current.is_object)
    key, deeper = current.key, False
    if taken is None:
        taken, key, deeper = _one(text, current)
    if isinstance(taken, dict):
        current.hashes.extend(map(hash, taken))
    return taken, key, deeper


def _one(text: _Text, current: _Open) -> tuple[Json, str, bool]:
    """One member or element: as a container of its own, the key for what is below, and whether that is large."""
    key = current.key
    if current.is_object:
        key = text.name()
        text.expect(":")
        current.hashes.append(hash(key))
    value, whole = text.whole()
    if not whole:
        return None, key, True
    if not current.is_object:
        return [value], key, False
    current.hashes.pop()
    return {key: value}, key, False
