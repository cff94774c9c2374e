"""Judges one Python source, and keeps what there is to say of it."""

from __future__ import annotations

import io
import re
import tokenize
import unicodedata
from collections.abc import Iterator
from typing import Final

from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.finding import Confidence, Finding
from weighbridge.formats.python_code import MAX_SOURCE_BYTES, parse_source
from weighbridge.inspectors.code.python_judge import Judge
from weighbridge.inspectors.code.python_names import MAX_MADE
from weighbridge.inspectors.code.python_powers import COMMANDS, DROP_SITES
from weighbridge.inspectors.code.python_rules import BY_ID

MAX_FINDINGS: Final = 80
_UNSEEN = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e0fff]")
_REORDERING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_ALIKE: Final = frozenset("\u03bf\u039f\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u03a1\u03a4\u03a5\u03a7")
_ORDINARY: Final = frozenset(
    f"python-{name}"
    for name in [
        "network",
        "process",
        "deserialises",
        "writes-files",
        "dynamic-code",
        "dynamic-import",
        "native-code",
        "installs",
    ]
)
_RAW_WEAPON = re.compile(
    r"\b(?:exec|eval)\s*\(\s*(?:\w+\.)*(?:b64decode|decompress|loads|unhexlify|fromhex|urlopen)|\bexec\s+\S{0,40}decode|"
    r"\bos\.system\s*\(|__import__\s*\(\s*['\"](?:os|subprocess|socket|pty)"
)


class Notes:
    """The findings of one source, each rule once a line, and not without end."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._seen: set[tuple[str, int]] = set()
        self.findings: list[Finding] = []

    def add(self, rule: str, message: str, line: int) -> None:
        """Takes a rule without its prefix."""
        known = (rule, -1) in self._seen
        if (rule, line) in self._seen or (known and len(self.findings) >= MAX_FINDINGS):
            return
        self._seen |= {(rule, line), (rule, -1)}
        confidence = Confidence.LOW if f"python-{rule}" in _ORDINARY else Confidence.HIGH
        location = f"line {line}" if line else ""
        self.findings.append(
            BY_ID[f"python-{rule}"].finding(self.path, message[:300], location=location, confidence=confidence)
        )


def judge_source(text: str, notes: Notes) -> list[tuple[str, int]]:
    """Everything there is to say of a source; returns the modules of its own package that it imports."""
    _letters(text, notes)
    try:
        tree = parse_source(text)
    except (Malformed, LimitExceeded) as error:
        notes.add("limit" if isinstance(error, LimitExceeded) else "not-understood", error.message, 0)
        for rule, pattern in (("hidden-code", _RAW_WEAPON), ("dangerous-command", COMMANDS), ("drop-site", DROP_SITES)):
            found = pattern.search(text[:MAX_SOURCE_BYTES])
            if found:
                notes.add(rule, f"the text {found.group()[:80]!a}", text.count("\n", 0, found.start()) + 1)
        return []
    if not text.isascii():
        for name, number in _outlandish(text):
            notes.add("homoglyph", f"the name {name[:60]!a}", number)
    judge = Judge(tree, notes.add, installs=notes.path.rpartition("/")[2] == "setup.py")
    judge.judge()
    if judge.names.made > MAX_MADE:
        notes.add("limit", "the source puts together more text than is judged", 0)
    return list(judge.relative_imports())


def _letters(text: str, notes: Notes) -> None:
    """What the letters hide: order, existence, likeness."""
    if text.isascii():
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.isascii():
            continue
        found = _REORDERING.search(line) or (_UNSEEN.search(line) if not _in_quotes(line) else None)
        if found:
            notes.add("invisible-text", f"the character {found.group()!a}", number)


def _outlandish(text: str) -> Iterator[tuple[str, int]]:
    """Names that look like others; the tree has them folded already, so they are taken from the tokens."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME and not token.string.isascii() and _is_mixed(token.string):
                yield token.string, token.start[0]
    except (tokenize.TokenError, SyntaxError):
        return


def _in_quotes(line: str) -> bool:
    return '"' in line or "'" in line


def _is_mixed(word: str) -> bool:
    """Whether a name has letters of several alphabets, or ones that Python reads as others."""
    if unicodedata.normalize("NFKC", word) != word and unicodedata.normalize("NFKC", word).isascii():
        return True
    alphabets = {unicodedata.name(letter, "?").split(" ")[0] for letter in word if letter.isalpha()}
    return "LATIN" in alphabets and (bool(alphabets & {"CYRILLIC", "ARMENIAN", "CHEROKEE"}) or bool(_ALIKE & set(word)))
