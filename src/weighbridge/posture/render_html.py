"""A posture report as one HTML page with a plot, that needs nothing else: no scripts, no fonts, no requests; fit to be printed.

Everything goes through the template engine's escaping, and characters that show nothing or turn text around are written out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from jinja2 import Environment, StrictUndefined

from weighbridge.posture.render_markdown import short
from weighbridge.posture.report import Posture, Route, Standing, Words
from weighbridge.posture.speech import Speech
from weighbridge.serve.web_words import visible

LABEL_WIDTH: Final = 218
"""Room for the questions, in the plot's own units."""
COLUMN: Final = 96
LINE: Final = 19
TOP: Final = 26
COLUMNS: Final = (Standing.UNPROVED, Standing.NOT_MET, Standing.PARTLY, Standing.MET)
"""From left to right."""
BAR_WIDTH: Final = 560
_COMMAND: Final = re.compile(r"(weighbridge(?: [!-+\--~]+)+)")
"""A command within a sentence of any language: words of ASCII, up to a comma or to other letters."""


@dataclass(frozen=True, slots=True)
class Line:
    """One question of the plot: where each route stands."""

    title: str
    y: int
    hub: int
    bucket: int


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of a route's bar."""

    standing: Standing
    count: int
    x: float
    width: float


def as_html(posture: Posture, speech: Speech) -> str:
    """The report as one HTML document."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=visible
    )
    template = environment.from_string(
        files("weighbridge.posture").joinpath("posture.html.jinja").read_text(encoding="utf-8")
    )
    return template.render(
        posture=posture,
        say=speech.say,
        speech=speech,
        word=lambda text: speech.say(Words(text)),
        routes=tuple(Route),
        standings=tuple(Standing),
        columns=[(standing, LABEL_WIDTH + COLUMN * at + COLUMN // 2) for at, standing in enumerate(COLUMNS)],
        lines=lines(posture, speech),
        bars={route: pieces(posture, route) for route in Route},
        plot={
            "width": LABEL_WIDTH + COLUMN * len(COLUMNS),
            "height": TOP + LINE * len(posture.rows) + 6,
            "top": TOP,
            "bar": BAR_WIDTH,
        },
        short=short,
        with_commands=lambda words: [
            (number % 2 == 1, text) for number, text in enumerate(_COMMAND.split(speech.say(words)))
        ],
        made_at=max((fact.observed_at for fact in posture.dossier), default=""),
    )


def lines(posture: Posture, speech: Speech) -> list[Line]:
    """Where the marks of each question lie."""

    def at(standing: Standing) -> int:
        return LABEL_WIDTH + COLUMN * COLUMNS.index(standing) + COLUMN // 2

    return [
        Line(speech.say(row.title), TOP + LINE * number + LINE // 2, at(row.hub.standing), at(row.bucket.standing))
        for number, row in enumerate(posture.rows)
    ]


def pieces(posture: Posture, route: Route) -> list[Piece]:
    """The bar of a route: how many questions it answers how."""
    found, x, total = [], 0.0, max(1, len(posture.rows))
    for standing in Standing:
        count = posture.count(route, standing)
        width = BAR_WIDTH * count / total
        if count:
            found.append(Piece(standing, count, round(x, 1), round(width, 1)))
        x += width
    return found
