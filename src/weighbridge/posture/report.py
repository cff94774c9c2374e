"""The nouns of a posture report: questions, a cell for each route, a recommendation that follows from the cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

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


@dataclass(frozen=True, slots=True)
class Words:
    """A sentence in English that gettext can translate: `template % values`. Values are shown, never translated."""

    template: str
    values: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cell:
    """The answer of one route to one question. `evidence` are ids of the dossier; `next_step` is empty when met."""

    standing: Standing
    why: Words
    evidence: tuple[str, ...] = ()
    next_step: Words = Words("")


@dataclass(frozen=True, slots=True)
class Row:
    """One question, both answers. `question` is its stable id, `title` what people read."""

    question: str
    title: Words
    hub: Cell
    bucket: Cell


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
        return sum(getattr(row, route.value).standing is standing for row in self.rows)

    def to_json(self) -> dict[str, JsonValue]:
        """The report as one JSON document, in English."""
        return {
            "format": FORMAT,
            "model": self.model_name,
            "revision": self.revision,
            "rows": [
                {
                    "question": row.question,
                    "title": _said(row.title),
                    "hub": _cell(row.hub),
                    "bucket": _cell(row.bucket),
                }
                for row in self.rows
            ],
            "recommendation": [_said(words) for words in self.recommendation],
            "evidence": self.dossier.to_json(),
        }


def _said(words: Words) -> str:
    return words.template % words.values if words.values else words.template


def _cell(cell: Cell) -> dict[str, JsonValue]:
    return {
        "standing": cell.standing.value,
        "why": _said(cell.why),
        "evidence": list(cell.evidence),
        "next_step": _said(cell.next_step),
    }
