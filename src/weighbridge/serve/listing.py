"""Narrows and orders the list of models as `GET /api/models` is asked to.

Everything that narrows is a condition on names and claims; one that nothing is known about here (what other places run a
model) fits no model, so that a list is never longer than it should be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from weighbridge.core.names import ModelName
from weighbridge.serve.claims import Claims
from weighbridge.serve.refusals import Refusal

_UNKNOWN_HERE: Final = frozenset({"inference", "inference_provider", "apps"})
_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_NUMBER = re.compile(r"(min|max):(\d{1,15}(?:\.\d{1,3})?)([KMBT]?)", re.IGNORECASE)
_SORTS: Final = frozenset({"createdAt", "lastModified", "downloads", "likes", "trendingScore", "trending_score"})
MAX_WORDS: Final = 50


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for. `tags` must all be there; `least` and `most` are numbers of parameters, `most` 0 without bound."""

    search: str = ""
    author: str = ""
    tags: tuple[str, ...] = ()
    task: str = ""
    least: int = 0
    most: int = 0
    impossible: bool = False
    dated: bool = False
    """Whether models are wanted in order of their dates."""
    newest_first: bool = True

    @classmethod
    def of(cls, query: Mapping[str, Sequence[str]]) -> Wanted:
        """What a query asks for.

        Raises:
            Refusal: a parameter has no meaning.
        """

        def last(name: str) -> str:
            return query.get(name, [""])[-1]

        tags = tuple(tag.strip() for value in query.get("filter", ()) for tag in value.split(",") if tag.strip())
        if len(tags) > MAX_WORDS:
            raise Refusal(400, f"a list is narrowed by at most {MAX_WORDS} tags")
        if (sort := last("sort")) and sort not in _SORTS:
            raise Refusal(400, f"models are sorted by one of {', '.join(sorted(_SORTS))}")
        least, most = _parameters(last("num_parameters"))
        return cls(
            search=last("search").lower(),
            author=last("author"),
            tags=tags,
            task=last("pipeline_tag"),
            least=least,
            most=most,
            impossible=bool(_UNKNOWN_HERE & query.keys()) or last("gated").lower() in ("true", "1"),
            dated=sort in ("createdAt", "lastModified"),
            newest_first=last("direction") != "1",
        )

    @property
    def by_claims(self) -> bool:
        """Whether what models claim decides."""
        return bool(self.tags or self.task or self.least or self.most)

    def names(self, model_name: ModelName) -> bool:
        """Whether the name fits."""
        fits = self.search in str(model_name).lower() and self.author in ("", model_name.organisation)
        return fits and not self.impossible

    def fits(self, claims: Claims) -> bool:
        """Whether the claims fit."""
        tags = {*claims.tags, claims.pipeline_tag}
        if not all(tag in tags for tag in self.tags) or self.task not in ("", claims.pipeline_tag):
            return False
        return claims.total >= self.least and (not self.most or 0 < claims.total <= self.most)


def _parameters(text: str) -> tuple[int, int]:
    least = most = 0
    for part in filter(None, text.split(",")):
        found = _NUMBER.fullmatch(part.strip())
        if found is None:
            raise Refusal(400, "num_parameters is like min:6B,max:128B")
        number = int(float(found[2]) * _UNITS[found[3].upper()])
        if found[1].lower() == "min":
            least = max(1, number)
        else:
            most = max(1, number)
    return least, most
