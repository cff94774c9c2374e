"""Upstream in the catalog: the list of what is new there, and what a model's own page says of it. Blocks, so it runs in threads.

Rules:

- a model that a visitor's token does not cover is not there for that visitor;
- who is not known sees what happened and what was made of it; summaries, reasons and refs name people's files and what lies
  upstream, and are neither shown to them nor searched for them;
- of a stranger's text no link is made: links lead to models and requests that this ledger knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from weighbridge.admit.asking import Request
from weighbridge.core.finding import Severity
from weighbridge.serve.web_data import WebSources
from weighbridge.serve.web_rows import Page, paged, pager
from weighbridge.serve.web_session import Visitor
from weighbridge.serve.web_views import MAX_WORDS
from weighbridge.serve.web_watched import JUDGEMENTS, WatchedModel, WatchedNews

UPDATES_A_PAGE: Final = 25
NEWS: Final = "news"
NEW_REVISION: Final = "new-revision"
QUIET: Final = "quiet"
ALL: Final = "all"
SHOWS: Final = {NEWS: "any news", **JUDGEMENTS, QUIET: "nothing new", ALL: "all that is watched"}
RISKS: Final = {one.label: one for one in sorted(Severity, reverse=True)}
ORDERS: Final = {"gravest": "gravest first", "newest": "newest first"}


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the list: a watched model with one of its news, None where there is none."""

    model: WatchedModel
    news: WatchedNews | None

    @property
    def grave(self) -> int:
        """The risk as a number, -1 where nothing is new."""
        return -1 if self.news is None else int(self.news.risk or 0)

    def is_in(self, show: str) -> bool:
        """Whether the row is of those that one of `SHOWS` names."""
        if self.news is None:
            return show in (QUIET, ALL)
        return show in (NEWS, ALL, self.news.judgement)

    def mentions(self, text: str, *, known: bool) -> bool:
        """Whether every word of a search is in the name; for who is known, also in what happened."""
        where = [str(self.model.name)]
        if known and self.news is not None:
            where += [self.news.kind, self.news.summary, *self.news.reasons]
        return all(word in " ".join(where).lower() for word in text.lower().split())


@dataclass(frozen=True, slots=True)
class Told:
    """A row as the page shows it: with the request that was filed, those it took the place of, and whether the model has a page here."""

    row: Row
    request: Request | None
    here: bool
    superseded: tuple[Request, ...] = ()


class Board:
    """What is new upstream. Thread-safe. Raises `WeighbridgeError` for what cannot be read.

    `request` gives the request of a number, None where there is none.
    """

    def __init__(self, sources: WebSources, request: Callable[[int], Request | None]) -> None:
        self._sources = sources
        self._request = request

    def page(self, words: Mapping[str, str], visitor: Visitor) -> Page:
        """All news, searched, filtered and in order."""
        asked = {name: words.get(name, "")[:MAX_WORDS].strip() for name in ("q", "show", "risk", "order")}
        asked["show"] = asked["show"] if asked["show"] in SHOWS else NEWS
        asked["order"] = asked["order"] if asked["order"] in ORDERS else next(iter(ORDERS))
        least = RISKS.get(asked["risk"])
        watched = [one for one in self._sources.watched().values() if visitor.sees(one.name)]
        rows = [Row(model, news) for model in watched for news in model.news or (None,)]
        found = [one for one in rows if one.mentions(asked["q"], known=visitor.known)]
        found = [one for one in found if least is None or one.grave >= least]
        chosen = _ordered([one for one in found if one.is_in(asked["show"])], asked["order"])
        number, shown = paged(chosen, words, UPDATES_A_PAGE)
        context = {
            "told": [self._told(one, visitor) for one in shown],
            "asked": asked,
            "shows": SHOWS,
            "risks": tuple(RISKS),
            "orders": ORDERS,
            "counts": {name: sum(one.is_in(name) for one in found) for name in SHOWS},
            "watched": len(watched),
            "held": sum(one.is_in("held") for one in rows),
            "failing": sum(bool(one.failing_since) for one in watched),
            "now": self._sources.clock(),
            **pager(number, len(chosen), UPDATES_A_PAGE, asked),
        }
        return Page("web_updates", context)

    def _told(self, row: Row, visitor: Visitor) -> Told:
        asked = row.news.request if row.news is not None else 0
        before = row.model.superseded if row.news is not None and row.news.kind == NEW_REVISION else ()
        found = {number: self._request(number) for number in (asked, *before) if number}
        seen = {number: one for number, one in found.items() if one and visitor.sees(one.wanted.model_name)}
        here = bool(row.model.ours) or bool(self._sources.ledger.catalog().revisions(row.model.name))
        return Told(row, seen.get(asked), here, tuple(seen[number] for number in before if number in seen))


def _ordered(rows: list[Row], order: str) -> list[Row]:
    """Rows in one of `ORDERS`; models of which nothing is new are last, by name."""
    told = [one for one in rows if one.news is not None]
    told.sort(key=lambda one: (one.news.seen_at if one.news else "", one.grave), reverse=True)
    if order == "gravest":
        told.sort(key=lambda one: one.grave, reverse=True)
    return told + [one for one in rows if one.news is None]
