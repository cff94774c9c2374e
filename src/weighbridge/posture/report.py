"""The nouns of a posture report: questions, a cell for each route, a recommendation that follows from the cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Union

from weighbridge.core.canonical import JsonValue
from weighbridge.posture.evidence import Dossier

FORMAT = "weighbridge.posture/1"


class Route(Enum):
    """Where an engine would get the model from."""

    HUB = "hub"
    BUCKET = "bucket"


class Standing(Enum):
    """How a route answers a question."""

    MET = "met"
    PARTLY = "partly"
    NOT_MET = "not_met"
    UNPROVED = "unproved"


Shown = Union[str, int, "Words", tuple["Words", ...]]


@dataclass(frozen=True, slots=True)
class Words:
    """A sentence in English that gettext can translate: `template % values`.

    Text and numbers among the values are shown as they are; Words among them are translated, several joined by commas.
    """

    template: str
    values: Mapping[str, Shown] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cell:
    """The answer of one route to one question.

    `evidence` are ids of the dossier; `next_step` is empty when met; `also` are further reasons that point the same way, or, in
    a cell that is unproved, what is known already.
    """

    standing: Standing
    why: Words
    evidence: tuple[str, ...] = ()
    next_step: Words = Words("")
    also: tuple[Words, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One question, both answers. `question` is its stable id, `title` what people read, `asks` what `met` takes."""

    question: str
    title: Words
    hub: Cell
    bucket: Cell
    asks: Words = Words("")

    def cell(self, route: Route) -> Cell:
        """The answer of a route."""
        return self.hub if route is Route.HUB else self.bucket


@dataclass(frozen=True)
class Posture:
    """The report about one model."""

    model_name: str
    revision: str
    rows: tuple[Row, ...]
    recommendation: tuple[Words, ...]
    dossier: Dossier

    def count(self, route: Route, standing: Standing) -> int:
        """How many questions a route answers so."""
        return sum(row.cell(route).standing is standing for row in self.rows)

    def to_json(self) -> dict[str, JsonValue]:
        """The report as one JSON document, in English."""
        return {
            "format": FORMAT,
            "model": self.model_name,
            "revision": self.revision,
            "counts": {
                route.value: {standing.value: self.count(route, standing) for standing in Standing} for route in Route
            },
            "rows": [
                {
                    "question": row.question,
                    "title": english(row.title),
                    "asks": english(row.asks),
                    "hub": _cell(row.hub),
                    "bucket": _cell(row.bucket),
                }
                for row in self.rows
            ],
            "recommendation": [english(words) for words in self.recommendation],
            "evidence": self.dossier.to_json(),
        }


def english(words: Words) -> str:
    """The sentence, untranslated."""
    if not words.values:
        return words.template
    return words.template % {key: _shown(value) for key, value in words.values.items()}


def _shown(value: Shown) -> str:
    if isinstance(value, Words):
        return english(value)
    if isinstance(value, tuple):
        return ", ".join(english(one) for one in value)
    return f"{value:,}" if isinstance(value, int) else value


def _cell(cell: Cell) -> dict[str, JsonValue]:
    return {
        "standing": cell.standing.value,
        "why": english(cell.why),
        "also": [english(words) for words in cell.also],
        "evidence": list(cell.evidence),
        "next_step": english(cell.next_step),
    }
