"""Whether the secrets engine can find nothing in a text, so that it need not be started.

The engine applies a rule only where one of the rule's keywords stands in the text, or in the text with what is encoded in
it decoded (percent signs, code points, hex, base64). All but one of its rules have keywords, and that one judges paths,
which a spool has not. So a text is silent when it has no keyword and nothing that decodes. Keywords that stand in
ordinary names (`storage`), or that are so short that random bytes hold them, count only together with what every rule of
theirs asks for besides.

`rules/secrets_keywords.txt` are the keywords of the rule set that `secrets_engine.RULES_DIGEST` names, ours included. All
doubt means that the engine is asked: this can cost time and never an answer.
"""

from __future__ import annotations

import binascii
import functools
import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from weighbridge.core.later import later

MAX_BYTES: Final = 1024 * 1024
_KEYWORDS: Final = Path(__file__).parent / "rules" / "secrets_keywords.txt"
_DEPTH: Final = 5
"""How often the engine decodes what it has decoded."""

_UNBROKEN_BYTES: Final = 20_000
"""The engine reads 100,000 bytes and up to 25,000 more to a blank line, and else cuts what it would have decoded whole."""
_WHOLE_BYTES: Final = 100_000

_FOLDED: Final = (b"\xe2\x84\xaa", b"\xc4\xb0", b"\xc5\xbf")
"""Letters whose other case is one of ASCII: the Kelvin sign, the dotted I, the long s."""

_BEGINNING: Final = 3
_SHORT_BYTES: Final = 400
"""Up to so many bytes, looking for their beginnings is quicker than for each keyword."""

_DIGITS: Final = bytes.maketrans(b"123456789\n", b"000000000,")
"""Makes all digits one, and lines what commas divide: no keyword has a comma."""

_LETTERS: Final = bytes(
    0x41 if chr(byte) in "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_/+-" else 0x20
    for byte in range(256)
)
_ENCODED_BYTES: Final = 16
_RUN = later(rb"[0-9A-Za-z_/+\-]{16,}")
_HEX_RUN = later(rb"[0-9A-Fa-f]{32,}\Z")
_URL_LETTERS: Final = bytes.maketrans(b"-_", b"+/")
_PERCENT = later(rb"%[0-9A-Fa-f]{2}")
_POINT = later(rb"U\+[0-9A-Fa-f]{4}|\\[uU][0-9A-Fa-f]{4}")
_MARKED = later(rb"%[0-9a-f]{2}|(?:u\+|\\u)[0-9a-f]{4}")
_PRINTABLE: Final = frozenset((*range(0x20, 0x7F), 0x09, 0x0A, 0x0D))

# What each of these keywords needs besides, in lower case; necessary for every rule that the keyword admits, unless another
# keyword admits the rule as well.
_NEEDS: Final = {
    b"ey": rb"ey[a-z0-9_-]{14}",
    b"eyj": rb"ey[a-z0-9]{17}",
    b"://": rb"://[^:/@\s]{0,80}:[^/@\s]{6,200}@",
    b":aa": rb"\d:aa[a-z0-9_-]{33}",
    b"a3-": rb"a3-[a-z0-9]{6}-",
    b"a3t": rb"a3t[a-z0-9][a-z2-7]{16}",
    b"bsa": rb"bsa[a-z0-9_-]{24}",
    b"cs_": rb"cs_[a-f0-9]{40}",
    b"exo": rb"exo[a-z0-9]{24}",
    b"glm": rb"[a-f0-9]{32}\.[a-z0-9]{16}",
    b"zai": rb"[a-f0-9]{32}\.[a-z0-9]{16}",
    b"zlm": rb"[a-f0-9]{32}\.[a-z0-9]{16}",
    b"hf_": rb"hf_[a-z]{34}",
    b"ibm": rb"[a-z0-9_-]{42}",
    b"mux": rb"token",
    b"ovh": rb"key|secret",
    b"pwd": rb"pwd[\s'\"\\\]]{0,4}[=:]",
    b"scw": rb"secret|token",
    b"wiz": rb"[a-z0-9]{53}",
    b"storage": rb"==|storage[_\s.-]{0,64}(?:account[_\s.-]{0,64})?name|storage[_\s.-]{64}|account[_\s.-]{64}",
    **{b"%dq~" % digit: rb"\dq~[a-z0-9_~.-]{31}" for digit in range(10)},
}


@functools.cache
def _keywords() -> tuple[tuple[bytes, bytes], ...]:
    """Each with all its digits made one, and as it is."""
    return tuple((word.translate(_DIGITS), word) for word in _KEYWORDS.read_bytes().split(b"\n")[:-1])


def is_silent(text: bytes) -> bool:
    """Whether the engine finds nothing in this text, for certain."""
    if len(text) > MAX_BYTES:
        return False
    if len(text) > _WHOLE_BYTES and any(len(part) > _UNBROKEN_BYTES for part in text.split(b"\n\n")):
        return False
    for _ in range(_DEPTH + 1):
        if any(letter in text for letter in _FOLDED) or _has_keyword(text.lower()) or _decodes(text):
            return False
        if _PERCENT.search(text) is None:
            return True
        # Only lines that change are looked at again.
        text = b"\n".join(
            unquote_to_bytes(line) for line in text.split(b"\n") if b"%" in line and _PERCENT.search(line)
        )
    return True


def is_silent_in_parts(text: bytes) -> bool:
    """Whether the engine finds nothing in this text, which is in lower case, nor in anything that is a part of it.

    Says no where that is not plain: what might be encoded is told from its beginning, and a part begins elsewhere.
    """
    if any(letter in text for letter in _FOLDED) or _MARKED.search(text) is not None:
        return False
    return b"A" * _ENCODED_BYTES not in text.translate(_LETTERS) and not _has_keyword(text)


@functools.cache
def _by_beginning() -> tuple[dict[bytes, tuple[bytes, ...]], tuple[bytes, ...]]:
    """The keywords by their first bytes, and those that are shorter."""
    found: dict[bytes, tuple[bytes, ...]] = {}
    for _, word in _keywords():
        found[word[:_BEGINNING]] = (*found.get(word[:_BEGINNING], ()), word)
    return found, tuple(word for word in found if len(word) < _BEGINNING)


def _has_keyword(text: bytes) -> bool:
    if len(text) <= _SHORT_BYTES:
        known, short = _by_beginning()
        begun = known.keys() & {text[at : at + _BEGINNING] for at in range(len(text))}
        likely = (*short, *(word for beginning in begun for word in known[beginning]))
        return any(word in text and _counts(word, text) for word in likely)
    # Texts of models are lists that differ in their numbers.
    parts = b",".join(set(text.translate(_DIGITS).split(b",")))
    return any(form in parts and word in text and _counts(word, text) for form, word in _keywords())


def _counts(word: bytes, text: bytes) -> bool:
    needs = _NEEDS.get(word)
    # Compiled when it is asked for: most scans ask for none.
    return needs is None or re.search(needs, text) is not None


def _decodes(text: bytes) -> bool:
    """Whether there is anything in it that the engine might decode, percent signs aside."""
    if (b"\\" in text or b"U+" in text) and _POINT.search(text) is not None:
        return True
    if b"A" * _ENCODED_BYTES not in text.translate(_LETTERS):
        return False
    return any(_is_encoded(run) for run in set(_RUN.findall(text)))


def _is_encoded(run: bytes) -> bool:
    """Whether its beginning decodes to printable characters: the engine takes nothing else for encoded."""
    if _HEX_RUN.match(run):
        return all(byte in _PRINTABLE for byte in binascii.a2b_hex(run[: len(run) // 2 * 2]))
    whole = run[: len(run) // 4 * 4].translate(_URL_LETTERS)
    return all(byte in _PRINTABLE for byte in binascii.a2b_base64(whole))
