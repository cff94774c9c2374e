"""What changed in the model card: the licence and the lineage that it declares, and the words, which rank lowest.

Only the front matter is read by programs. A card that cannot be read on one side is said so where it declares something
on the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from weighbridge.core.errors import FormatError, LimitExceeded
from weighbridge.core.finding import Severity
from weighbridge.drift.change import Area, Change, Compared, bounded, listed, not_compared, shown
from weighbridge.drift.files import RUNNING_WEIGHTS, WEIGHTS, Pairing, is_licence
from weighbridge.drift.lines import unified
from weighbridge.drift.side import Side
from weighbridge.formats.card import Card, fields_of, is_read_one_way, read_card
from weighbridge.formats.kinds import suffix_of

MAX_CARD_BYTES: Final = 4 * 1024 * 1024
MAX_NAMING_BYTES: Final = 32 * 1024 * 1024
"""Of a file that may name the card; an index of weights, or a tokenizer, has a third of that."""
WORDS_ONLY: Final = re.compile(
    r"(?i)(?:^|/)(?:\.gitattributes|\.gitignore|(?:[^/]*\.)?(?:md|markdown|png|jpe?g|gif|webp|svg|bib|cff))$"
)
"""Files that no loader reads; a change of theirs is one of words, unless inspectors find something in it."""
_RISKS: Final = {
    "licences": Severity.MEDIUM,
    "licence_name": Severity.MEDIUM,
    "licence_link": Severity.MEDIUM,
    "base_models": Severity.MEDIUM,
    "base_model_relation": Severity.MEDIUM,
    "datasets": Severity.LOW,
    "library": Severity.LOW,
    "pipeline_tag": Severity.LOW,
}
"""Fields of `formats.card.Card`. What else the front matter declares is told under one name, but for `_WORDS`."""
_WORDS: Final = frozenset(("language", "model-index", "metrics", "thumbnail"))
"""What only people read. Of all else some client makes something: tags, `widget`, `inference`, `new_version`, `configs` …"""
_READ: Final = frozenset(
    (
        *("license", "license_name", "license_link", "base_model", "base_model_relation", "datasets"),
        *("library_name", "pipeline_tag"),
    )
)
"""The keys of the fields in `_RISKS`."""
_ESCAPE: Final = re.compile(rb"\\(?:u00|x)([0-9A-Fa-f]{2})")
_NAMED: Final = re.compile(rb"(?i)readme\.md")
_NAMED_IN_CODE: Final = re.compile(rb"""(?i)(?:readme|\.md)['"]""")
"""At the end of a string: what a comment says of the card is read by people."""
_NAMES: Final = {"licences": "licence", "licence_name": "licence name", "licence_link": "licence link", "base_models": "base model"}  # fmt: skip


def is_card(path: str) -> bool:
    """Whether it is the model card."""
    return path.lower() == "readme.md"


def naming_card(side: Side, paths: Iterable[str]) -> str:
    """The first of these files that names the model card, so that a program may read its words as something else; "" for none.

    An index of weights, a tokenizer, a graph or code can name any file. What is too large to be looked through counts as one
    that does; weights do not name files, and other files of words are read by people.

    Raises:
        SourceError, StoreError, IntegrityError: a file cannot be read, or is not what its digest says.
    """
    for path in sorted(paths):
        suffix = suffix_of(path)
        if suffix in WEIGHTS | RUNNING_WEIGHTS or WORDS_ONLY.search(path) or is_licence(path):
            continue
        if side.files[path].size_bytes > MAX_NAMING_BYTES:
            return path
        data = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), side.whole(path, MAX_NAMING_BYTES))
        if (_NAMED_IN_CODE if suffix == ".py" else _NAMED).search(data):
            return path
    return ""


def compare_cards(before: Side, after: Side, pairing: Pairing) -> tuple[Compared, set[str]]:
    """The changes in the card and in other files of words, and the paths they are about."""
    words = [path for path in pairing.differing if WORDS_ONLY.search(path)]
    changes: list[Change] = []
    for path in bounded(Area.CARD, words, changes):
        changes += _card(before, after, path) if is_card(path) else [_words(before, after, path)]
    taken = set(words)
    for paths, what in ((pairing.added, "added"), (pairing.removed, "removed")):
        chosen = [path for path in paths if WORDS_ONLY.search(path)]
        changes += [Change(Area.CARD, path, what) for path in bounded(Area.CARD, chosen, changes) if not is_card(path)]
        changes += [
            Change(Area.CARD, path, f"the model card was {what}", Severity.LOW) for path in chosen if is_card(path)
        ]
        taken |= set(chosen)
    declared = [change.location for change in changes if change.risk is not None and change.location]
    headline = f"the card declares another {listed(declared)}" if declared else ""
    return Compared(tuple(changes), headline), taken


def _words(before: Side, after: Side, path: str) -> Change:
    try:
        old, new = before.whole(path, MAX_CARD_BYTES), after.whole(path, MAX_CARD_BYTES)
    except LimitExceeded as error:
        return not_compared(Area.CARD, path, error.message, risk=Severity.LOW)
    try:
        detail = unified(old.decode(), new.decode()).text
    except UnicodeDecodeError:
        detail = ""
    return Change(Area.CARD, path, "words or pictures changed", before=f"{len(old)} bytes", after=f"{len(new)} bytes", detail=detail)  # fmt: skip


def _card(before: Side, after: Side, path: str) -> list[Change]:
    body = _words(before, after, path)
    if not body.compared:
        return [body]
    declared: list[Card] = []
    fields: list[dict[str, str]] = []
    one_way = True
    for side in (before, after):
        try:
            card = side.whole(path, MAX_CARD_BYTES)
            declared.append(read_card(card) or Card())
            fields.append(fields_of(card))
            one_way = one_way and is_read_one_way(card)
        except FormatError as error:
            return [not_compared(Area.CARD, path, f"{side.name}: {error.message}", risk=Severity.MEDIUM), body]
    changes = []
    for name, risk in _RISKS.items():
        old, new = (_value(getattr(card, name)) for card in declared)
        if old != new:
            words = _NAMES.get(name, name.replace("_", " "))
            what = f"the card declares another {words}" if new else f"the card declares no {words} any more"
            changes.append(Change(Area.CARD, path, what, risk, words, shown(old), shown(new)))
    others = sorted(
        key for key in {*fields[0], *fields[1]} - _WORDS - _READ if fields[0].get(key, "") != fields[1].get(key, "")
    )
    if others:
        what = f"other fields of the front matter changed: {listed([shown(key) or '(all)' for key in others])}"
        changes.append(Change(Area.CARD, path, what, Severity.LOW, "front matter"))
    if not one_way:
        what = "readers differ on where the front matter of the card begins and ends"
        changes.append(Change(Area.CARD, path, what, Severity.LOW, "front matter"))
    return [*changes, body]


def _value(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
