"""What happened to a watched model, as a value: made by a look upstream, kept in the ledger, sent to those who asked for it.

News says what was seen and what was made of it; it holds no text of a model longer than a line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.errors import ConfigError, Malformed
from weighbridge.core.finding import Severity
from weighbridge.core.names import ModelName

FORMAT: Final = "weighbridge.news/1"


class Kind(Enum):
    """What happened."""

    NEW_REVISION = "new-revision"
    """The watched ref names another commit."""
    HISTORY_REWRITTEN = "history-rewritten"
    """The commit that is stored is no ancestor of the watched ref any more, or is gone."""
    TAG_MOVED = "tag-moved"
    """A tag, which is meant to stay, names another commit."""
    DELETED = "deleted"
    """Upstream does not show the repository any more: deleted, private or disabled."""
    RENAMED = "renamed"
    """The name leads to another name."""
    REPOSITORY_REPLACED = "repository-replaced"
    """The name stands for another repository: its id is not the one that came in."""
    OWNER_CHANGED = "owner-changed"
    """The owner's name stands for another owner: its id is not the one that published what came in."""
    CLOSED = "closed"
    """Access is now gated, or the token may not read it."""
    FLAGGED = "flagged"
    """The Hub's own scan has a new word on a file of the stored revision."""
    ADVISORY = "advisory"
    """The rule set has a new advisory that concerns a stored revision."""
    REJUDGED = "rejudged"
    """Today's rules say otherwise of a stored revision than those by which it was judged."""
    UNREACHABLE = "unreachable"
    """Upstream could not be asked for longer than is usual."""


class Judgement(Enum):
    """What was made of it."""

    PASSED = "passed"
    """It came in by itself, because policy says so."""
    REQUESTED = "requested"
    """Policy has no objection; people are asked."""
    HELD = "held"
    """Policy, or the difference, says that somebody must look first."""
    NOTED = "noted"
    """There is nothing to bring in."""


@dataclass(frozen=True, slots=True)
class News:
    """One thing that happened to one watched model.

    `stored` and `upstream` are commits or names, "" where there is none; `summary` is a line; `risk` is the gravest change's,
    None for none; `reasons` are lines of policy and of the difference, the gravest first; `request` is a request's number, 0 for
    none; `details` is an object for machines (bounded by whoever makes it).
    """

    kind: Kind
    model_name: ModelName
    seen_at: str
    summary: str
    judgement: Judgement = Judgement.NOTED
    stored: str = ""
    upstream: str = ""
    risk: Severity | None = None
    reasons: tuple[str, ...] = ()
    request: int = 0
    details: Mapping[str, JsonValue] = field(default_factory=dict)

    def to_json(self) -> dict[str, JsonValue]:
        """The record: what the ledger keeps and a webhook sends."""
        return {
            "format": FORMAT,
            "kind": self.kind.value,
            "model": str(self.model_name),
            "seen_at": self.seen_at,
            "summary": self.summary,
            "judgement": self.judgement.value,
            "stored": self.stored,
            "upstream": self.upstream,
            "risk": self.risk.label if self.risk else "none",
            "reasons": list(self.reasons),
            "request": self.request,
            "details": dict(self.details),
        }

    @classmethod
    def from_json(cls, record: JsonValue) -> News:
        """Reads what `to_json` wrote; keys of later versions are ignored.

        Raises:
            Malformed: it is no such record, or of a kind that this version does not know.
        """
        fields = Fields(record, what="the news")
        risk = fields.text("risk")
        details = fields.value("details")
        try:
            if fields.text("format") != FORMAT or not isinstance(details, Mapping):
                raise ValueError("it has another format")
            return cls(
                kind=Kind(fields.text("kind")),
                model_name=ModelName.parse(fields.text("model")),
                seen_at=fields.text("seen_at"),
                summary=fields.text("summary"),
                judgement=Judgement(fields.text("judgement")),
                stored=fields.text("stored"),
                upstream=fields.text("upstream"),
                risk=None if risk == "none" else Severity[risk.upper()],
                reasons=fields.texts("reasons"),
                request=fields.integer("request"),
                details=dict(details),
            )
        except (ConfigError, KeyError, ValueError) as error:
            raise Malformed(f"the news are of a form that this version does not read ({error})") from error
