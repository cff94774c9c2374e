"""Says in plain words what a policy means, and what in it deserves a second look."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from weighbridge.admit.policy import Policy, PolicyException
from weighbridge.core.decision import Outcome
from weighbridge.core.finding import Severity

_DOES = {Outcome.ADMIT: "is taken", Outcome.HOLD: "is held", Outcome.DENY: "is denied"}


def meaning(policy: Policy) -> Iterator[str]:
    """What the policy does, one sentence each."""
    hold, deny = policy.findings.hold, policy.findings.deny
    yield f"Findings: {_from(deny, 'deny')}, {_from(hold, 'hold')}; everything below is taken."
    for rule in policy.findings.rules:
        yield f"Findings of {rule.id}: {rule.outcome.value}{f' ({rule.reason})' if rule.reason else ''}."
    percent = policy.coverage.minimum_percent
    below = f", and denied below {percent} % of its bytes" if percent else ""
    yield f"What could not be inspected {_DOES[policy.coverage.unknown]}{below}."
    for name in policy.coverage.require:
        yield f"An inspection without {name} {_DOES[policy.coverage.unknown]}."
    if policy.formats.allow:
        yield f"Only these kinds are taken: {', '.join(policy.formats.allow)}; any other {_DOES[policy.formats.unlisted]}."
    if policy.formats.deny:
        yield f"These kinds are denied: {', '.join(policy.formats.deny)}."
    if policy.callables:
        yield f"Pickles may also name: {', '.join(policy.callables)}."
    yield from _provenance(policy)
    yield from _licences(policy)
    yield _remote_code(policy)
    for word, limit in (("A model", policy.sizes.total_bytes), ("An artifact", policy.sizes.artifact_bytes)):
        if limit:
            yield f"{word} of more than {limit} bytes is denied."
    if policy.cooldown.days:
        since = "publication" if policy.cooldown.since == "publication" else "it came in"
        yield f"A revision is held until {policy.cooldown.days} days after {since}."
    numbers = ", ".join(f"{severity.label} {policy.approvals.needed(severity)}" for severity in Severity)
    own = "may be one of them" if policy.approvals.self_approval else "may not be one of them"
    yield f"Approvals, by the worst finding: {numbers}; whoever asked {own}."
    yield from _served(policy)
    yield from _watched(policy)
    for one in policy.exceptions:
        yield f"Exception '{one.id}': {', '.join(one.rules)}{_narrowed(one)}, by {one.person} until {one.expires}: {one.reason}"


def _watched(policy: Policy) -> Iterator[str]:
    if policy.watch.passes:
        moves = f", and {', '.join(policy.watch.channels)} moves to it" if policy.watch.channels else ""
        yield f"A revision that changes only the words of an approved one's model card comes in by itself{moves}."


def _served(policy: Policy) -> Iterator[str]:
    if policy.serve.redirects:
        yield "A gateway may send clients to the store for large files; nobody but they then prove the bytes."


def _from(severity: Severity | None, word: str) -> str:
    return f"{severity.label} and worse {word}" if severity is not None else f"none {word}"


def _narrowed(one: PolicyException) -> str:
    parts = (("in", one.paths), ("of", one.models), ("at", tuple(revision[:12] for revision in one.revisions)))
    return "".join(f" {word} {' or '.join(values)}" for word, values in parts if values)


def _provenance(policy: Policy) -> Iterator[str]:
    publishers, sources = policy.publishers, policy.sources
    listed = [f"{one.name}{f' (id {one.id})' if one.id else ''}" for one in publishers.allow]
    known = f"Listed publishers: {', '.join(listed)}. " if listed else ""
    yield f"{known}Any other publisher {_DOES[publishers.unlisted]}; a known name under another id is denied."
    for one in publishers.deny:
        yield f"The publisher {one.name or one.id} is denied."
    if publishers.kinds:
        yield f"Publishers other than of kind {' or '.join(publishers.kinds)} are held."
    for word, places in (("Hubs", sources.hubs), ("Buckets", sources.buckets), ("Folders", sources.folders)):
        if places != ("*",):
            yield f"{word}: {', '.join(places) or 'none'}; anywhere else {_DOES[sources.unlisted]}."


def _licences(policy: Policy) -> Iterator[str]:
    terms = policy.licences
    if terms.allow:
        yield f"{len(terms.allow)} licences are named; any other {_DOES[terms.unlisted]}."
    if terms.deny:
        yield f"Denied licences: {', '.join(terms.deny)}."
    yield (
        f"A model from a Hub without a licence {_DOES[terms.missing]}, "
        f"one from elsewhere {_DOES[terms.missing_elsewhere]}."
    )
    if terms.texts:
        yield f"{len(terms.texts)} texts of licences are listed; any other text {_DOES[terms.unlisted_text]}."


def _remote_code(policy: Policy) -> str:
    says = {
        "deny": "is denied",
        "strip": "is held until the code is stripped",
        "hold": "is held until the revision is named",
        "allow": "is taken",
    }
    named = f"; {len(policy.remote_code.revisions)} revisions are named" if policy.remote_code.revisions else ""
    return f"A model with code of its own {says[policy.remote_code.mode]}{named}."


def warnings(policy: Policy, today: date) -> Iterator[str]:
    """What a reviewer should look at twice."""
    for one in policy.exceptions:
        if not one.in_force(today):
            yield f"the exception '{one.id}' ended on {one.expires} and has no effect"
        elif not one.revisions and not one.models:
            yield f"the exception '{one.id}' is for every model and every revision to come"
    for publisher in policy.publishers.allow:
        if not publisher.id:
            yield f"the publisher '{publisher.name}' is listed without an id: whoever takes the name is taken"
    if policy.findings.deny is None or policy.findings.deny > Severity.HIGH:
        yield "findings that say bad are not all denied by their severity"
    if not policy.approvals.needed(None):
        yield "revisions without findings need no approval at all"
