"""What stands between here and upstream now, model by model, from what was seen and told; nothing is asked of anybody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.names import ModelName
from weighbridge.store.ledger import Ledger
from weighbridge.watch.news import Kind, News
from weighbridge.watch.state import CONDITIONS, Watch, WatchBook, hours_between, key_of

LATELY_HOURS: Final = 24 * 30
"""For how long what happened once is shown: a moved tag, an advisory, another judgement."""


@dataclass(frozen=True, slots=True)
class Update:
    """One watched model. `ours` is the newest revision here, `upstream` what was seen last, "" each where there is none."""

    watch: Watch
    ours: str
    upstream: str
    checked_at: str
    failing_since: str
    news: tuple[News, ...]

    @property
    def model_name(self) -> ModelName:
        """Which."""
        return self.watch.model_name

    def to_json(self) -> dict[str, JsonValue]:
        """As JSON."""
        return {
            "model": str(self.model_name),
            "ref": self.watch.ref,
            "channel": self.watch.channel,
            "ours": self.ours,
            "upstream": self.upstream,
            "checked_at": self.checked_at,
            "failing_since": self.failing_since,
            "news": [one.to_json() for one in self.news],
        }


def updates(ledger: Ledger, book: WatchBook, *, approved: str, now: str) -> Iterator[Update]:
    """Every watched model in order of name; `approved` is the address of the approved store.

    Raises:
        LedgerError, StoreError: the ledger cannot be read.
    """
    for watch in book.refresh().watches():
        checked = book.checked(watch.model_name)
        rows = [row for row in ledger.catalog().revisions(watch.model_name) if row.store != approved]
        stored = {row.revision for row in rows}
        upstream = checked.seen.commit if checked is not None else ""
        conditions = checked.conditions if checked is not None else frozenset()
        news = [one for one in book.news(watch.model_name) if _matters(one, upstream, stored, conditions, now)]
        yield Update(
            watch,
            rows[0].revision if rows else "",
            upstream,
            checked.at if checked is not None else "",
            checked.failing_since if checked is not None else "",
            tuple(sorted(_newest(news), key=lambda one: -(one.risk or 0))),
        )


def _matters(news: News, upstream: str, stored: set[str], conditions: frozenset[str], now: str) -> bool:
    if news.kind is Kind.NEW_REVISION:
        waiting = news.upstream == upstream and news.upstream not in stored
        return waiting or (news.upstream in stored and hours_between(news.seen_at, now) < LATELY_HOURS)
    if news.kind in CONDITIONS:
        return key_of(news) in conditions
    return hours_between(news.seen_at, now) < LATELY_HOURS


def _newest(news: list[News]) -> Iterator[News]:
    """Of several judgements of one revision the last."""
    seen = set()
    for one in news:
        if one.kind is Kind.NEW_REVISION:
            if one.upstream in seen:
                continue
            seen.add(one.upstream)
        yield one
