"""What the catalog shows of upstream: watched models and what is new of them, made elsewhere and handed in.

Summaries, reasons and refs were written upstream or name what lies there: they are shown to people who are known, what happened
and what was made of it to whoever sees the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from weighbridge.core.finding import Severity
from weighbridge.core.names import ModelName

JUDGEMENTS: Final[Mapping[str, str]] = {
    "held": "held",
    "requested": "asked for",
    "passed": "came in",
    "noted": "noted",
}
"""What was made of news, and how a page says it."""


@dataclass(frozen=True, slots=True)
class WatchedNews:
    """One thing that happened. `kind` and `judgement` are words with hyphens, `request` is a request's number, 0 for none."""

    kind: str
    summary: str
    risk: Severity | None
    judgement: str
    seen_at: str
    reasons: tuple[str, ...] = ()
    request: int = 0

    @property
    def judged(self) -> str:
        """What was made of it, as a page says it."""
        return JUDGEMENTS.get(self.judgement, self.judgement)


@dataclass(frozen=True, slots=True)
class WatchedModel:
    """One watched model. `ours` is the newest revision here, `upstream` what was seen last, "" each where there is none.

    `checked_at` is the last recorded look, `failing_since` is "" unless upstream gives no answer; RFC 3339 in UTC. `news` are
    the gravest first; `superseded` are numbers of requests that the upstream commit took the place of.
    """

    name: ModelName
    ref: str
    channel: str
    ours: str
    upstream: str
    checked_at: str
    failing_since: str
    news: tuple[WatchedNews, ...] = ()
    superseded: tuple[int, ...] = ()


Watched = Callable[[], Mapping[ModelName, WatchedModel]]
"""Every watched model, in order of name, as things stand now. Quick, may be asked for every page.

Raises `WeighbridgeError` where it cannot be read.
"""


def nothing_watched() -> Mapping[ModelName, WatchedModel]:
    """Nobody watches here."""
    return {}
