"""Reads lines of names and values: `.env` files as compose does, `.properties` files as Java does.

Sources: the compose specification's "Env file syntax"; java.util.Properties.load.
"""

from __future__ import annotations

import re
from typing import Final

from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.deploy.lint.parts import Place, Said, Variable, pointer_of

MAX_BYTES: Final = 256 * 1024
MAX_LINES: Final = 10_000
_ENV: Final = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]{0,200})\s*(?:=(.*))?\Z", re.DOTALL)
_SHELL: Final = re.compile(r"\$(?:\{(\w+)(?::?[-=]([^{}]*))?\}|(\w+))")


def lines_of(data: bytes, what: str) -> list[str]:
    """The lines of a text.

    Raises:
        LimitExceeded: it is longer than is read. Malformed: it is not UTF-8, or holds a NUL.
    """
    if len(data) > MAX_BYTES:
        raise LimitExceeded(f"the {what} has {len(data)} bytes, and at most {MAX_BYTES} are read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(f"the {what} is not UTF-8 from byte {error.start} on") from error
    if "\0" in text:
        raise Malformed(f"the {what} holds a NUL")
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) > MAX_LINES:
        raise LimitExceeded(f"the {what} has more than {MAX_LINES} lines")
    return lines


def read_env(data: bytes, file: str) -> dict[str, Variable]:
    """The variables of an `.env` file; the last of a name counts.

    Raises:
        LimitExceeded, Malformed: it is too large, or no such file.
    """
    found: dict[str, Variable] = {}
    for number, line in enumerate(lines_of(data, "file of variables"), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        read = _ENV.match(text)
        if read is None:
            raise Malformed(f"line {number} sets no variable")
        place = Place(file, pointer_of(read.group(1)), number)
        if read.group(2) is None:
            found[read.group(1)] = Variable(None, place)
        else:
            found[read.group(1)] = Variable(_env_value(read.group(2).strip(), found), place)
    return found


def _env_value(text: str, before: dict[str, Variable]) -> str:
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1]
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    else:
        text = re.split(r"\s#", text, maxsplit=1)[0].rstrip()
    return expanded(text, {name: one.value for name, one in before.items() if one.value is not None})


def expanded(text: str, known: dict[str, str]) -> str:
    """`$NAME`, `${NAME}` and `${NAME:-default}` replaced where they are known, else left as `${NAME}`; one pass."""

    def value(found: re.Match[str]) -> str:
        name = found.group(1) or found.group(3)
        if name in known:
            return known[name][:4_096]
        return found.group(2) if found.group(2) is not None else f"${{{name}}}"

    return _SHELL.sub(value, text[:65_536].replace("$$", "\0")).replace("\0", "$")


def read_properties(data: bytes, file: str, *, pointer: str = "", first_line: int = 1) -> dict[str, Said]:
    """The properties of a Java properties file; the last of a name counts.

    Raises:
        LimitExceeded, Malformed: it is too large, or not UTF-8.
    """
    found: dict[str, Said] = {}
    pending, start = "", 0
    for number, line in enumerate(lines_of(data, "properties file"), start=first_line):
        text = line.lstrip()
        if not pending and (not text or text[0] in "#!"):
            continue
        start = start if pending else number
        pending += text
        if len(pending) - len(pending.rstrip("\\")) & 1:
            pending = pending[:-1]
            if len(pending) > MAX_BYTES:
                raise LimitExceeded("a property is longer than is read")
            continue
        key, value = _split(pending)
        found[key] = Said(value, Place(file, pointer + pointer_of(key), start))
        pending = ""
    if pending:
        key, value = _split(pending)
        found[key] = Said(value, Place(file, pointer + pointer_of(key), start))
    return found


def _split(line: str) -> tuple[str, str]:
    read = re.match(r"((?:[^\\=:\s]|\\.)*)\s*[=:]?\s*(.*)\Z", line, re.DOTALL)
    key, value = (read.group(1), read.group(2)) if read else (line, "")
    return _plain(key), _plain(value).rstrip()


def _plain(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        code = found.group(1)
        if code[0] == "u" and len(code) == 5:
            return chr(int(code[1:], 16))
        return {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}.get(code, code)

    return re.sub(r"\\(u[0-9A-Fa-f]{4}|.)", one, text, flags=re.DOTALL)
