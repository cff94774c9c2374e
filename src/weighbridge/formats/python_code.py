"""Reads Python source into its syntax tree, within bounds, and runs none of it.

The tree is made by the interpreter's own parser, held to the grammar of Python 3.11 (`feature_version`), so that code
which only a newer interpreter reads is not understood on any. (One exception: inside f-strings, interpreters from 3.12 on
also read what 3.11 does not.) The bytes are decoded here: a declaration of an encoding that could hide code is refused.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from typing import Final

from weighbridge.core.errors import Ambiguous, LimitExceeded, Malformed

MAX_SOURCE_BYTES: Final = 1024 * 1024
MAX_TOKENS: Final = 200_000
GRAMMAR: Final = (3, 11)

_TOKEN = re.compile(r"\w+|[^\w\s]")
MAX_BRACKETS: Final = 30
"""Brackets within each other. On text that is no Python, the parser's time grows with their depth beyond all bounds."""
_QUOTED = re.compile(r"(\"{3}|'{3})[\s\S]*?\1|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|#[^\n]*|\\.")
_BRACKET = re.compile(r"[()\[\]{}]")
_LONG_NUMBER = re.compile(r"(?<![\w.])\d[\d_]{4000}")
_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_ENCODINGS: Final = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "utf-8-sig": "utf-8",
    "ascii": "utf-8",
    "us-ascii": "utf-8",
} | dict.fromkeys(
    ("latin-1", "latin1", "iso-8859-1", "iso-8859-15", "cp1252", "windows-1252", "iso-latin-1"), "latin-1"
)


def decode_source(data: bytes) -> str:
    """The text of a source file.

    Raises:
        Ambiguous: it declares an encoding in which other code can be read than is seen.
        Malformed: it is not in the encoding that it has by its declaration, or by default.
    """
    encoding = "utf-8"
    # Python ends lines at any of these, whatever an editor shows.
    for line in re.split(rb"\r\n|\r|\n", data.removeprefix(b"\xef\xbb\xbf"), maxsplit=2)[:2]:
        found = _COOKIE.match(line)
        if found:
            named = found.group(1).decode("ascii", "replace").lower().replace("_", "-")
            if named not in _ENCODINGS:
                raise Ambiguous(f"the source declares the encoding {named[:40]!a}")
            encoding = _ENCODINGS[named]
            break
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise Malformed(f"byte {error.start} is no {encoding}") from error


def parse_source(text: str) -> ast.Module:
    """The syntax tree of a module.

    Raises:
        LimitExceeded: it is larger, or nested deeper, than is read.
        Malformed: it is no Python 3.11 (Python 2, or newer).
    """
    if len(text) > MAX_SOURCE_BYTES:
        raise LimitExceeded(f"the source is longer than {MAX_SOURCE_BYTES} characters")
    if _LONG_NUMBER.search(text):
        raise LimitExceeded("the source has a number of more than 4,000 digits")
    if sum(1 for _ in _TOKEN.finditer(text)) > MAX_TOKENS:
        raise LimitExceeded(f"the source has more than {MAX_TOKENS} tokens")
    deep = 0
    for bracket in _BRACKET.finditer(_QUOTED.sub("", text)):
        deep = deep + 1 if bracket.group() in "([{" else max(0, deep - 1)
        if deep > MAX_BRACKETS:
            raise LimitExceeded(f"the source has more than {MAX_BRACKETS} brackets within each other")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text, feature_version=GRAMMAR)
    except SyntaxError as error:
        raise Malformed(f"line {error.lineno}: {str(error.msg)[:100]!a}") from error
    except (RecursionError, MemoryError) as error:
        raise LimitExceeded("the source is nested deeper than is read") from error
    except (ValueError, OverflowError) as error:
        raise Malformed("the source holds a value that Python does not read") from error


def walk(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node in the order of the source, without recursion."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(list(ast.iter_child_nodes(node))))
