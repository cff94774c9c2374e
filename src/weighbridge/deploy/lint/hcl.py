"""Reads Terraform's HCL as plain values, within bounds: blocks, attributes, literals; nothing is evaluated.

A block becomes nested mappings by its type and labels, several alike a list. An expression that is no literal becomes the text
`${…}` of its source, so that a rule sees that something is said and does not guess what. Heredocs and templates keep
their placeholders. Source: the HCL native syntax specification.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Final

from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.deploy.lint.yaml_text import escaped
from weighbridge.formats.json_text import Json

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 40
MAX_VALUES: Final = 100_000
_BLANK: Final = re.compile(r"(?:[ \t\r]+|#[^\n]*|//[^\n]*|/\*.*?\*/)+", re.DOTALL)
_BLANK_LINES: Final = re.compile(r"(?:[ \t\r\n]+|#[^\n]*|//[^\n]*|/\*.*?\*/)+", re.DOTALL)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,255}")
_NUMBER: Final = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?(?:[eE][+-]?\d{1,3})?(?![\w.])")
_HEREDOC: Final = re.compile(r"<<(-?)([A-Za-z_][A-Za-z0-9_-]{0,80})[ \t]*\r?\n")
_ENDS: Final = "\n,]}"
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}


def read_hcl(data: bytes) -> tuple[dict[str, Json], dict[str, int]]:
    """The values of a file, and the line of each by JSON pointer.

    Raises:
        LimitExceeded: it is larger or deeper than is read.
        Malformed: it is no HCL in UTF-8.
    """
    if len(data) > MAX_BYTES:
        raise LimitExceeded(f"the file has {len(data)} bytes, and at most {MAX_BYTES} are read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(f"the text is not UTF-8 from byte {error.start} on") from error
    reading = _Reading(text)
    try:
        body = reading.body("", 0)
    except RecursionError as error:
        raise LimitExceeded("texts are nested too deeply") from error
    if reading.at < len(text):
        raise reading.error("a bracket that nothing opened")
    return body, reading.lines


class _Reading:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[str, int] = {}
        self.count = 0
        self._breaks = [found.start() for found in re.finditer("\n", text)]

    def error(self, what: str) -> Malformed:
        return Malformed(f"it is no HCL: {what} at line {self.line()}")

    def line(self) -> int:
        return bisect_left(self._breaks, self.at) + 1

    def _skip(self, *, lines: bool) -> None:
        found = (_BLANK_LINES if lines else _BLANK).match(self.text, self.at)
        self.at = found.end() if found else self.at

    def _comment(self) -> None:
        before = self.at
        self._skip(lines=False)
        if self.at == before:
            raise self.error("a comment that does not end")

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _told(self, pointer: str) -> None:
        self.count += 1
        if self.count > MAX_VALUES:
            raise LimitExceeded(f"the file has more than {MAX_VALUES} values")
        self.lines.setdefault(pointer, self.line())

    def body(self, pointer: str, depth: int) -> dict[str, Json]:
        """Attributes and blocks up to the end or a closing bracket."""
        if depth > MAX_DEPTH:
            raise LimitExceeded(f"blocks are nested deeper than {MAX_DEPTH} levels")
        found: dict[str, Json] = {}
        while True:
            self._skip(lines=True)
            if not self._peek() or self._peek() == "}":
                return found
            key = self._word()
            self._skip(lines=False)
            if self._peek() == "=" and self.text[self.at : self.at + 2] != "==":
                self._told(f"{pointer}/{escaped(key)}")
                self.at += 1
                found[key] = self._expression(f"{pointer}/{escaped(key)}", depth + 1)
            else:
                self._block(found, key, pointer, depth)

    def _word(self) -> str:
        if self._peek() == '"':
            return self._string()
        read = _NAME.match(self.text, self.at)
        if read is None:
            raise self.error(f"{self._peek()!a} where a name should be")
        self.at = read.end()
        return read.group()

    def _block(self, into: dict[str, Json], kind: str, pointer: str, depth: int) -> None:
        labels = []
        while self._peek() not in ("{", ""):
            labels.append(self._word())
            self._skip(lines=False)
        if not self._peek():
            raise self.error("a block without its body")
        self.at += 1
        path, at = [kind, *labels], pointer
        for part in path:
            at += f"/{escaped(part)}"
        inner, key = into, path[-1]
        for part in path[:-1]:
            below = inner.setdefault(part, {})
            if not isinstance(below, dict):
                raise self.error(f"{part!a} is an attribute and a block")
            inner = below
        before = inner.get(key)
        many = isinstance(before, list)
        if before is not None and not many:
            before = [before]
        if isinstance(before, list):
            at += f"/{len(before)}"
        self._told(at)
        value = self.body(at, depth + 1)
        if self._peek() != "}":
            raise self.error("a block that does not end")
        self.at += 1
        inner[key] = [*before, value] if isinstance(before, list) else value

    def _expression(self, pointer: str, depth: int) -> Json:
        if depth > MAX_DEPTH:
            raise LimitExceeded(f"values are nested deeper than {MAX_DEPTH} levels")
        self._skip(lines=False)
        start = self.at
        value = self._literal(pointer, depth)
        self._skip(lines=False)
        if value is not None and (not self._peek() or self._peek() in _ENDS):
            return value[0]
        self.at = start
        return f"${{{self._source()[:2000]}}}"

    def _literal(self, pointer: str, depth: int) -> tuple[Json] | None:
        """The value of a literal, or None where something else stands."""
        letter = self._peek()
        if letter == '"':
            return (self._string(),)
        if letter == "[":
            return self._list(pointer, depth)
        if letter == "{":
            return self._object(pointer, depth)
        if heredoc := _HEREDOC.match(self.text, self.at):
            return (self._heredoc(heredoc),)
        if number := _NUMBER.match(self.text, self.at):
            self.at = number.end()
            text = number.group()
            return (float(text) if re.search(r"[.eE]", text) else int(text),)
        word = _NAME.match(self.text, self.at)
        if word and word.group() in ("true", "false", "null"):
            self.at = word.end()
            return ({"true": True, "false": False}.get(word.group()),)
        return None

    def _list(self, pointer: str, depth: int) -> tuple[Json] | None:
        self.at += 1
        found: list[Json] = []
        while True:
            self._skip(lines=True)
            if self._peek() == "]":
                self.at += 1
                return (found,)
            if not self._peek() or self.text.startswith("for ", self.at):
                return None
            at = f"{pointer}/{len(found)}"
            self._told(at)
            found.append(self._expression(at, depth + 1))
            self._skip(lines=True)
            if self._peek() == ",":
                self.at += 1
            elif self._peek() != "]":
                return None

    def _object(self, pointer: str, depth: int) -> tuple[Json] | None:
        self.at += 1
        found: dict[str, Json] = {}
        while True:
            self._skip(lines=True)
            if self._peek() == "}":
                self.at += 1
                return (found,)
            if not self._peek() or self.text.startswith("for ", self.at):
                return None
            if self._peek() == "(":
                key = self._bracketed()
            else:
                key = self._word()
            self._skip(lines=False)
            if self._peek() not in "=:":
                return None
            self.at += 1
            at = f"{pointer}/{escaped(key)}"
            self._told(at)
            found[key] = self._expression(at, depth + 1)
            self._skip(lines=True)
            if self._peek() == ",":
                self.at += 1

    def _bracketed(self) -> str:
        start = self.at
        self._balanced()
        return f"${{{self.text[start : self.at]}}}"

    def _string(self) -> str:
        self.at += 1
        parts: list[str] = []
        while (letter := self._peek()) != '"':
            if not letter or letter == "\n":
                raise self.error("a text that does not end")
            if letter == "\\":
                code = self.text[self.at + 1 : self.at + 2]
                parts.append(_ESCAPES.get(code, f"\\{code}"))
                self.at += 2
            elif letter in "$%" and self.text.startswith(letter + letter + "{", self.at):
                parts.append(letter + "\u200b{")
                self.at += 3
            elif letter in "$%" and self.text.startswith(letter + "{", self.at):
                start = self.at
                self.at += 1
                self._balanced()
                parts.append("$" + self.text[start + 1 : self.at])
            else:
                parts.append(letter)
                self.at += 1
        self.at += 1
        return "".join(parts)

    def _heredoc(self, found: re.Match[str]) -> str:
        end = re.compile(rf"^[ \t]*{re.escape(found.group(2))}[ \t]*\r?$", re.MULTILINE).search(self.text, found.end())
        if end is None:
            raise self.error("a heredoc that does not end")
        self.at = end.end()
        return self.text[found.end() : end.start()]

    def _balanced(self) -> None:
        """Goes past a bracket and all within it."""
        depth = 0
        while self.at < len(self.text):
            letter = self._peek()
            if letter == '"':
                self._string()
                continue
            if letter == "#" or self.text.startswith(("//", "/*"), self.at):
                self._comment()
                continue
            self.at += 1
            if letter in "([{":
                depth += 1
                if depth > MAX_DEPTH:
                    raise LimitExceeded(f"brackets are nested deeper than {MAX_DEPTH} levels")
            elif letter in ")]}":
                depth -= 1
                if depth <= 0:
                    return
        raise self.error("a bracket that does not end")

    def _source(self) -> str:
        """The text of an expression up to the end of its line, or of what it stands in."""
        start = self.at
        while self.at < len(self.text):
            letter = self._peek()
            if letter in _ENDS or letter == ")":
                break
            if letter == '"':
                self._string()
            elif letter in "([{":
                self._balanced()
            elif heredoc := _HEREDOC.match(self.text, self.at):
                self._heredoc(heredoc)
            elif letter == "#" or self.text.startswith(("//", "/*"), self.at):
                self._comment()
            else:
                self.at += 1
        if self.at == start:
            raise self.error("an attribute without a value")
        return self.text[start : self.at].strip()
