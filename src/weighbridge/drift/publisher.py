"""Whether the same people publish: owner and repository by their stable ids, and the time that must not run backwards.

A name that was given up can be registered by anyone; the Hub's ids cannot. Commits and times that move on are what a
new revision is, and no change here.
"""

from __future__ import annotations

from datetime import datetime

from weighbridge.core.finding import Severity
from weighbridge.core.snapshot import Origin
from weighbridge.drift.change import Area, Change, Compared, shown
from weighbridge.drift.side import Side


def compare_publishers(before: Side, after: Side) -> Compared:
    """What changed about who publishes."""
    old, new = before.origin, after.origin
    if old.kind != new.kind:
        what = "the two come from different kinds of place, so who publishes is not comparable"
        return Compared((Change(Area.PUBLISHER, "", what, Severity.LOW, before=_place(old), after=_place(new)),))
    changes = [change for change in _identity(old, new) if change.before != change.after]
    changes += _times(old, new)
    words = [change.what for change in changes if (change.risk or 0) >= Severity.MEDIUM]
    return Compared(tuple(changes), "; ".join(words))


def _identity(old: Origin, new: Origin) -> list[Change]:
    reused = bool(old.owner and old.owner == new.owner and old.owner_id and new.owner_id)
    owner_risk = Severity.CRITICAL if reused else Severity.HIGH
    owner_words = "another owner under the same name" if reused else "the owner's id changed"
    same_repository = bool(old.repository and old.repository == new.repository)
    repository_words = "another repository under the same name" if same_repository else "another repository"
    rows = (
        ("owner_id", owner_words, owner_risk, old.owner_id, new.owner_id),
        ("owner", "the owner's name changed", Severity.HIGH, old.owner, new.owner),
        ("owner_kind", "the owner's kind changed", Severity.MEDIUM, old.owner_kind, new.owner_kind),
        ("repository_id", repository_words, Severity.HIGH, old.repository_id, new.repository_id),
        ("repository", "the repository's name changed", Severity.MEDIUM, old.repository, new.repository),
        ("endpoint", "it comes from another server", Severity.MEDIUM, old.endpoint, new.endpoint),
    )
    hub = old.kind == "hub"
    return [
        Change(Area.PUBLISHER, "", what, risk, location=location, before=shown(a), after=shown(b))
        for location, what, risk, a, b in rows
        if hub
    ]


def _times(old: Origin, new: Origin) -> list[Change]:
    try:
        earlier, later = datetime.fromisoformat(old.published_at), datetime.fromisoformat(new.published_at)
        backwards = later < earlier
    except (ValueError, TypeError):
        return []
    if not backwards or old.kind != "hub":
        return []
    what = "the second revision was published before the first"
    times = old.published_at, new.published_at
    return [Change(Area.PUBLISHER, "", what, Severity.LOW, "published_at", *times)]


def _place(origin: Origin) -> str:
    return shown(f"{origin.kind} {origin.address}")
