"""Licences as facts: what a model card names, and the texts of licence files by the digest of their words.

A text's digest is the SHA-256 of its words: UTF-8 in normal form C, every run of white space one space, none at either end,
no byte order mark. Line ends and wrapping do not change it; every word, number and sign does. What is no UTF-8 has the digest
of its bytes.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import FormatError
from weighbridge.formats.card import read_card

MAX_LICENCE_BYTES: Final = 1024 * 1024
MAX_CARD_BYTES: Final = 2 * 1024 * 1024
MAX_LICENCE_FILES: Final = 32
MAX_LICENCES: Final = 32
_LICENCE_FILE = re.compile(
    r"(?:licen[cs]es?/[^/]{1,200}|(?:un)?(?:licen[cs]e|copying)(?:[-_.][^/]{0,80})?)", re.IGNORECASE
)
_NO_LICENCE: Final = frozenset(("", "unknown", "none"))


@dataclass(frozen=True, slots=True, order=True)
class LicenceFile:
    """A licence file of the revision; `digest` is "" where it is too large to be read."""

    path: str
    digest: str


@dataclass(frozen=True, slots=True)
class Licence:
    """What is known of a revision's licence. `ids` are lowercase, in order; `problem` says why the card could not be read."""

    ids: tuple[str, ...] = ()
    name: str = ""
    link: str = ""
    files: tuple[LicenceFile, ...] = ()
    problem: str = ""

    def to_json(self) -> dict[str, JsonValue]:
        """The record of it."""
        return {
            "ids": list(self.ids),
            "name": self.name,
            "link": self.link,
            "files": {file.path: file.digest for file in self.files},
            "problem": self.problem,
        }


def is_licence_file(path: str) -> bool:
    """Whether a file of the top folder (or of `LICENSES/`) is a licence by its name."""
    return _LICENCE_FILE.fullmatch(path) is not None


def text_digest(data: bytes) -> str:
    """The digest of a licence's words; see the module."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha256(" ".join(unicodedata.normalize("NFC", text).split()).encode("utf-8")).hexdigest()


def licence_of(card: bytes, files: tuple[LicenceFile, ...]) -> Licence:
    """The licence that a README.md (empty where there is none) and the licence files tell."""
    try:
        found = read_card(card)
    except FormatError as error:
        return Licence(files=files, problem=error.message)
    if found is None:
        return Licence(files=files)
    ids = {one.strip().lower() for one in found.licences} - _NO_LICENCE
    if len(ids) > MAX_LICENCES:
        return Licence(files=files, problem=f"the model card names more than {MAX_LICENCES} licences")
    return Licence(tuple(sorted(ids)), found.licence_name.strip().lower(), found.licence_link.strip(), files=files)
