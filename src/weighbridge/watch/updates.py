"""What stands between here and upstream now, model by model, from what was seen and told; nothing is asked of anybody."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from weighbridge.admit.asking import Request, State
from weighbridge.admit.requests import RequestBook
from weighbridge.core.canonical import JsonValue
from weighbridge.core.names import ModelName
from weighbridge.store.ledger import Ledger
from weighbridge.vault.remediated import with_parents
from weighbridge.watch.news import Judgement, Kind, News
from weighbridge.watch.state import CONDITIONS, Watch, WatchBook, hours_between, key_of

LATELY_HOURS: Final = 24 * 30
"""For how long what happened once is shown: a moved tag, an advisory, another judgement."""


@dataclass(frozen=True, slots=True)
class Update:
    """One watched model. `ours` is the newest revision that came from the Hub, or the newest, `upstream` what was seen last, "" each where there is none.

    `superseded` are the requests that its upstream commit took the place of, the newest first.
    """

    watch: Watch
    ours: str
    upstream: str
    checked_at: str
    failing_since: str
    news: tuple[News, ...]
    superseded: tuple[Request, ...] = ()

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
            "superseded": [
                {
                    "request": one.number,
                    "commit": one.wanted.ref,
                    "by": taken.by,
                    "by_request": taken.request,
                    "at": taken.at,
                }
                for one in self.superseded
                if (taken := one.superseded) is not None
            ],
        }


def updates(
    ledger: Ledger,
    book: WatchBook,
    requests: RequestBook,
    *,
    approved: str,
    now: str,
    of: Collection[ModelName] | None = None,
) -> Iterator[Update]:
    """Every watched model in order of name, or those `of` them; `approved` is the address of the approved store.

    Raises:
        LedgerError, StoreError: the ledger cannot be read.
    """
    superseded: dict[ModelName, list[Request]] = {}
    for request in requests.refresh().all():
        if request.state is State.SUPERSEDED:
            superseded.setdefault(request.wanted.model_name, []).append(request)
    for watch in book.refresh().watches():
        if of is not None and watch.model_name not in of:
            continue
        checked = book.checked(watch.model_name)
        known = ledger.catalog().revisions(watch.model_name)
        rows = [row for row in known if row.store != approved]
        stored = {row.revision for row in rows}
        promoted: set[str] = set()
        if any(one.upstream in stored for one in book.news(watch.model_name, Kind.NEW_REVISION)):
            promoted = with_parents(ledger, watch.model_name, {row.revision for row in known if row.store == approved})
        upstream = checked.seen.commit if checked is not None else ""
        conditions = checked.conditions if checked is not None else frozenset()
        news = [
            one for one in book.news(watch.model_name) if _matters(one, upstream, (stored, promoted), conditions, now)
        ]
        yield Update(
            watch,
            # What was made here of a revision has a number of its own, which upstream never has.
            next((row.revision for row in rows if row.source.startswith("hf://")), rows[0].revision if rows else ""),
            upstream,
            checked.at if checked is not None else "",
            checked.failing_since if checked is not None else "",
            tuple(sorted(_newest(news), key=lambda one: -(one.risk or 0))),
            tuple(
                one
                for one in superseded.get(watch.model_name, ())
                if (taken := one.superseded) is not None
                and taken.by == upstream
                and hours_between(taken.at, now) < LATELY_HOURS
            ),
        )


def _matters(news: News, upstream: str, here: tuple[set[str], set[str]], conditions: frozenset[str], now: str) -> bool:
    """`here` is what is stored, and what of it was promoted: people let that in, and nothing of it is left to be said."""
    if news.kind is Kind.NEW_REVISION:
        stored, promoted = here
        if news.upstream not in stored:
            return news.upstream == upstream
        settled = news.upstream in promoted and news.judgement is not Judgement.PASSED
        return not settled and hours_between(news.seen_at, now) < LATELY_HOURS
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
