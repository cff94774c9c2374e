"""What differs between two revisions, each difference with its risk, in one order: the gravest first.

The order, by which equal inputs give equal lists:

1. risk, from critical to none; what could not be compared comes before what was, within one risk;
2. area, in the order of `Area`: what runs before what is believed, what is believed before what is read;
3. path, location, words.

`NONE` is for what changes nothing a program reads: the words of a model card.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.finding import Severity

FORMAT: Final = "weighbridge.difference/1"
NONE: Final = "none"
MAX_SHOWN: Final = 200
MAX_FILES: Final = 1_000
"""Files of one area that are compared; a model with its code and configurations has some dozens."""
MAX_DETAIL: Final = 40_000
"""Characters of one detail that are kept."""


class Area(Enum):
    """What a change is about. The order breaks ties of risk."""

    CODE = "code"
    TEMPLATE = "template"
    PUBLISHER = "publisher"
    TOKENIZER = "tokenizer"
    CONFIG = "config"
    WEIGHTS = "weights"
    FILES = "files"
    FINDINGS = "findings"
    CARD = "card"


_AREAS: Final = {area: number for number, area in enumerate(Area)}


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `risk` is None for none.

    `location` says where inside the file, `what` is a sentence without its full stop, `before` and `after` are short
    values ("" where there is none), `detail` is text of several lines (a unified diff, a list). `compared` is false when
    this could not be compared, or not all of it: then nothing here says that the rest is equal.
    """

    area: Area
    path: str
    what: str
    risk: Severity | None = None
    location: str = ""
    before: str = ""
    after: str = ""
    detail: str = ""
    compared: bool = True

    def __post_init__(self) -> None:
        """Bounds the detail, and writes halves of surrogate pairs, which JSON can spell and UTF-8 cannot, as escapes."""
        for name in ("what", "location", "before", "after", "detail"):
            text = getattr(self, name)[:MAX_DETAIL]
            object.__setattr__(self, name, text.encode("utf-8", "backslashreplace").decode())

    @property
    def label(self) -> str:
        """The risk as a word."""
        return self.risk.label if self.risk else NONE

    @property
    def rank(self) -> tuple[int, bool, int, str, str, str, str]:
        """Where it stands among others; see the module."""
        return -(self.risk or 0), self.compared, _AREAS[self.area], self.path, self.location, self.what, self.detail

    def to_json(self) -> dict[str, JsonValue]:
        """The record of this change."""
        return {
            "area": self.area.value,
            "path": self.path,
            "location": self.location,
            "what": self.what,
            "risk": self.label,
            "before": self.before,
            "after": self.after,
            "detail": self.detail,
            "compared": self.compared,
        }


@dataclass(frozen=True, slots=True)
class Compared:
    """What one area says: its changes, and in a few words what happened, for the summary ("" where nothing did)."""

    changes: tuple[Change, ...] = ()
    headline: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes from one revision to another, ranked. `before` and `after` name the revisions."""

    before: str
    after: str
    changes: tuple[Change, ...]
    summary: str
    read_bytes: int = 0
    reads: int = 0

    @property
    def highest(self) -> Severity | None:
        """The gravest risk."""
        return max((change.risk for change in self.changes if change.risk), default=None)

    @property
    def complete(self) -> bool:
        """Whether everything was compared."""
        return all(change.compared for change in self.changes)

    @property
    def only_readme(self) -> bool:
        """Whether something changed, all of it was compared, and all of it is words that no program reads."""
        return bool(self.changes) and self.complete and all(change.risk is None for change in self.changes)

    def to_json(self) -> dict[str, JsonValue]:
        """The record of the difference."""
        return {
            "format": FORMAT,
            "before": self.before,
            "after": self.after,
            "summary": self.summary,
            "highest": self.highest.label if self.highest else NONE,
            "complete": self.complete,
            "only_readme": self.only_readme,
            "read_bytes": self.read_bytes,
            "reads": self.reads,
            "changes": [change.to_json() for change in self.changes],
        }


def ranked(changes: Iterable[Change]) -> tuple[Change, ...]:
    """The changes in the module's order."""
    return tuple(sorted(changes, key=lambda change: change.rank))


def not_compared(area: Area, path: str, why: str, *, risk: Severity = Severity.HIGH, location: str = "") -> Change:
    """Says that something differs, or may, and could not be compared."""
    return Change(area, path, f"could not be compared: {why}", risk, location=location, compared=False)


def bounded(
    area: Area, paths: Iterable[str], changes: list[Change], *, first: Container[str] = frozenset()
) -> list[str]:
    """At most `MAX_FILES` paths in order, some `first`; of the rest, one change says that they were not compared."""
    ordered = sorted(paths, key=lambda path: (path not in first, path))
    if len(ordered) > MAX_FILES:
        why = f"{len(ordered) - MAX_FILES} more files than are compared in one area"
        changes.append(not_compared(area, ordered[MAX_FILES], why))
    return ordered[:MAX_FILES]


def shown(value: object) -> str:
    """A stranger's value made printable and short."""
    text = value if isinstance(value, str) else ascii(value)
    text = text if text.isascii() and text.isprintable() else ascii(text)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def listed(names: Iterable[str], *, limit: int = 12) -> str:
    """Some names in a line, the rest counted."""
    every = list(names)
    some = ", ".join(shown(name)[:80] for name in every[:limit])
    return some if len(every) <= limit else f"{some} and {len(every) - limit} more"
