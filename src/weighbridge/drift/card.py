"""What changed in the model card: the licence and the lineage that it declares, and the words, which rank lowest.

Only the front matter is read by programs. A card that cannot be read on one side is said so where it declares something
on the other.
"""

from __future__ import annotations

import re
from typing import Final

from weighbridge.core.errors import FormatError, LimitExceeded
from weighbridge.core.finding import Severity
from weighbridge.drift.change import Area, Change, Compared, bounded, listed, not_compared, shown
from weighbridge.drift.files import Pairing
from weighbridge.drift.lines import unified
from weighbridge.drift.side import Side
from weighbridge.formats.card import Card, fields_of, read_card

MAX_CARD_BYTES: Final = 4 * 1024 * 1024
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
_NAMES: Final = {"licences": "licence", "licence_name": "licence name", "licence_link": "licence link", "base_models": "base model"}  # fmt: skip


def is_card(path: str) -> bool:
    """Whether it is the model card."""
    return path.lower() == "readme.md"


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
    for side in (before, after):
        try:
            card = side.whole(path, MAX_CARD_BYTES)
            declared.append(read_card(card) or Card())
            fields.append(fields_of(card))
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
    return [*changes, body]


def _value(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
