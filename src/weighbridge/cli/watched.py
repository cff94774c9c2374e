"""What the catalog shows of upstream, from the ledger: made anew for those models of which the ledger was told something since."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from weighbridge.admit.requests import SUPERSEDED, RequestBook
from weighbridge.core.errors import ConfigError
from weighbridge.core.names import ModelName
from weighbridge.core.shown import plain
from weighbridge.serve.web_watched import WatchedModel, WatchedNews
from weighbridge.store.ledger import Event, Ledger, now_rfc3339
from weighbridge.vault.events import ENTERED
from weighbridge.vault.remediated import REMEDIATED
from weighbridge.watch.news import News
from weighbridge.watch.state import ADDED, CHECKED, NEWS, REMOVED, WatchBook, hours_between
from weighbridge.watch.updates import Update, updates

KINDS: Final = (ADDED, REMOVED, CHECKED, NEWS, SUPERSEDED, *ENTERED, REMEDIATED, "revision.removed")
"""Events that change what `watch.updates` says of their model; all have the model's name before the `@` of their subject."""
ANEW_HOURS: Final = 1.0
"""After which all is made anew: news grow old without an event."""
MAX_NEWS: Final = 20
MAX_SUPERSEDED: Final = 5
MAX_REASONS: Final = 12
MAX_SUMMARY: Final = 400
MAX_REASON: Final = 300


class WatchedHere:
    """`serve.web_watched.Watched` of a home. Thread-safe. `approved` is the address of the approved store."""

    def __init__(self, ledger: Ledger, approved: str, *, clock: Callable[[], str] = now_rfc3339) -> None:
        self._ledger = ledger
        self._approved = approved
        self._clock = clock
        self._lock = threading.Lock()
        self._book = WatchBook(ledger)
        self._requests = RequestBook(ledger)
        self._after = 0
        self._made_at = ""
        self._kept: Mapping[ModelName, WatchedModel] = {}

    def __call__(self) -> Mapping[ModelName, WatchedModel]:
        """Every watched model.

        Raises:
            LedgerError, StoreError: the ledger cannot be read.
        """
        with self._lock:
            last, now = self._ledger.last_sequence(), self._clock()
            if not self._made_at or hours_between(self._made_at, now) >= ANEW_HOURS:
                self._kept = {one.model_name: _shown(one) for one in self._updates(now)}
                self._made_at = now
            elif last > self._after:
                changed = _models(self._ledger.events(after=self._after, kinds=KINDS))
                if changed:
                    kept = {name: one for name, one in self._kept.items() if name not in changed}
                    kept |= {one.model_name: _shown(one) for one in self._updates(now, changed)}
                    self._kept = {name: kept[name] for name in sorted(kept)}
            self._after = max(self._after, last)
            return self._kept

    def _updates(self, now: str, of: frozenset[ModelName] | None = None) -> Iterable[Update]:
        return updates(self._ledger, self._book, self._requests, approved=self._approved, now=now, of=of)


def _models(events: Iterable[Event]) -> frozenset[ModelName]:
    found = set()
    for event in events:
        try:
            found.add(ModelName.parse(event.subject.partition("@")[0]))
        except ConfigError:
            continue
    return frozenset(found)


def _shown(update: Update) -> WatchedModel:
    return WatchedModel(
        update.model_name,
        plain(update.watch.ref),
        plain(update.watch.channel),
        update.ours,
        plain(update.upstream),
        update.checked_at,
        update.failing_since,
        tuple(_news(one) for one in update.news[:MAX_NEWS]),
        tuple(one.number for one in update.superseded[:MAX_SUPERSEDED]),
    )


def _news(news: News) -> WatchedNews:
    # A page names the model, the commit and what happened by itself.
    summary = news.summary.removeprefix(f"{news.model_name} has a new revision {news.upstream[:12]}").lstrip(":, ")
    return WatchedNews(
        news.kind.value,
        plain(summary, MAX_SUMMARY),
        news.risk,
        news.judgement.value,
        news.seen_at,
        tuple(plain(one, MAX_REASON) for one in news.reasons[:MAX_REASONS]),
        news.request,
    )
