"""Judges where a revision came from and when: source, publisher, cooldown.

Publishers are judged by what the Hub itself said when the revision was pinned: the owner's name, the Hub's stable id of the
owner, and whether it is a person or an organisation. A name can be given up and taken by a stranger; the id cannot.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from weighbridge.admit.facts import Facts
from weighbridge.admit.judge_terms import Ground, excusing
from weighbridge.admit.policy import Policy, Publisher
from weighbridge.core.decision import Outcome
from weighbridge.core.snapshot import Origin


def time_of(text: str) -> datetime | None:
    """An RFC 3339 time in UTC; None for what is none, or has no offset."""
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def provenance_grounds(policy: Policy, facts: Facts, now: datetime) -> Iterator[Ground]:
    """What the policy says of source, publisher and age."""
    yield from _source(policy, facts.upstream)
    if facts.upstream.kind == "hub":
        yield from _publisher(policy, facts)
    yield from _cooldown(policy, facts, now)


# --- where --------------------------------------------------------------------------------------


def _source(policy: Policy, origin: Origin) -> Iterator[Ground]:
    terms = policy.sources
    places = {"hub": ("hubs", terms.hubs), "bucket": ("buckets", terms.buckets), "folder": ("folders", terms.folders)}
    word, listed = places.get(origin.kind, ("", ()))
    place = origin.endpoint if origin.kind == "hub" else origin.address
    if terms.unlisted is Outcome.ADMIT or any(_lies_in(origin.kind, place, one) for one in listed):
        return
    message = f"it came from {place[:200]!a}, which the policy does not name"
    listing = f"name the place in sources.{word}" if word else "no policy names such a place"
    yield Ground("source", terms.unlisted, message, f"{listing}, or {excusing('source')}", "sources.unlisted")


def _lies_in(kind: str, place: str, listed: str) -> bool:
    if listed == "*":
        return True
    if ".." in place.split("/") or not place:
        return False
    known = listed.rstrip("/")
    if kind == "hub":
        return place.rstrip("/").lower() == known.lower()
    if kind == "folder":
        place = posixpath.normpath(place)
    return place.rstrip("/") == known or place.startswith(f"{known}/")


# --- who ----------------------------------------------------------------------------------------


def _publisher(policy: Policy, facts: Facts) -> Iterator[Ground]:
    terms, origin = policy.publishers, facts.upstream
    known = f"id {origin.owner_id[:64]!a}" if origin.owner_id else "id unknown"
    who = f"{origin.owner[:100]!a} ({known})"
    for place, one in enumerate(terms.deny):
        if _same_name(one, origin) or (one.id and one.id == origin.owner_id):
            message = f"the publisher {who} is refused{f': {one.reason}' if one.reason else ''}"
            change = f"use another publisher's model, or {excusing('publisher-denied')}"
            yield Ground("publisher-denied", Outcome.DENY, message, change, f"publishers.deny[{place}]")
    named = [(place, one) for place, one in enumerate(terms.allow) if _same_name(one, origin)]
    proven = [one for _, one in named if one.id and one.id == origin.owner_id]
    if not proven:
        yield from _taken_over(facts, who, named)
        yield from _unproven(policy, origin, who, [one for _, one in named])
    if terms.kinds and origin.owner_kind not in terms.kinds:
        message = f"the publisher {who} is of kind '{origin.owner_kind or 'unknown'}', not {' or '.join(terms.kinds)}"
        change = f"use another publisher's model, or {excusing('publisher-kind')}"
        yield Ground("publisher-kind", Outcome.HOLD, message, change, "publishers.kinds")


def _same_name(one: Publisher, origin: Origin) -> bool:
    return bool(one.name) and one.name.lower() == origin.owner.lower()


def _taken_over(facts: Facts, who: str, named: list[tuple[int, Publisher]]) -> Iterator[Ground]:
    """A name that is known by another id than the owner has now: in the policy, or of what came in before."""
    owner_id = facts.upstream.owner_id
    ids = {one.id: place for place, one in named if one.id}
    change = "find out who holds the name now; then list the owner with name and id in [[publishers.allow]]"
    if ids and owner_id:
        message = f"the publisher {who} has the name of a listed one whose id is {', '.join(sorted(ids))}"
        yield Ground("publisher-taken-over", Outcome.DENY, message, change, f"publishers.allow[{min(ids.values())}]")
    before = facts.earlier_owner_ids
    if before and owner_id not in before:
        message = f"the publisher {who} had the id {', '.join(before)} when earlier revisions came in"
        outcome = Outcome.DENY if owner_id else Outcome.HOLD
        yield Ground("publisher-taken-over", outcome, message, change, "publishers.allow")


def _unproven(policy: Policy, origin: Origin, who: str, named: list[Publisher]) -> Iterator[Ground]:
    terms = policy.publishers
    if any(not one.id for one in named):
        return
    if named and not origin.owner_id:
        message = f"the publisher {who} is listed with an id, and the Hub did not tell this one's"
        change = f"ingest again from a Hub that tells owner ids, or {excusing('publisher-unlisted')}"
        yield Ground("publisher-unlisted", Outcome.HOLD, message, change, "publishers.allow")
    elif not named and terms.unlisted is not Outcome.ADMIT:
        message = f"the publisher {who} is not listed"
        change = f"list the owner with name and id in [[publishers.allow]], or {excusing('publisher-unlisted')}"
        yield Ground("publisher-unlisted", terms.unlisted, message, change, "publishers.unlisted")


# --- when ---------------------------------------------------------------------------------------


def _cooldown(policy: Policy, facts: Facts, now: datetime) -> Iterator[Ground]:
    terms = policy.cooldown
    if not terms.days:
        return
    since = facts.upstream.published_at if terms.since == "publication" else facts.sealed_at
    word = "published" if terms.since == "publication" else "brought in"
    moment = time_of(since)
    try:
        end = moment + timedelta(days=terms.days) if moment is not None else None
    except OverflowError:
        end = None
    if end is None:
        message = f"when it was {word} is not known, and the policy wants {terms.days} days since"
        yield Ground("cooldown", Outcome.HOLD, message, excusing("cooldown"), "cooldown.days")
    elif now < end:
        message = f"it was {word} on {since[:10]}; the policy wants {terms.days} days since"
        change = f"wait until {end.isoformat(timespec='minutes').replace('+00:00', 'Z')}"
        yield Ground("cooldown", Outcome.HOLD, message, change, "cooldown.days", timed=True)
