"""Judges facts by a policy: a pure function, without clock, file or network; the same input gives the same decision.

Each objection is a `Ground`: a rule of policy, what it comes to, why, what would change it, and the key of the policy that says
so. Grounds only add up: the worst outcome wins, so that finding more never admits what was denied. An exception turns the
objections it is about into reasons that name it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from typing import Final

from weighbridge.admit.facts import Facts
from weighbridge.admit.judge_findings import finding_grounds
from weighbridge.admit.judge_provenance import provenance_grounds, time_of
from weighbridge.admit.judge_terms import Ground, term_grounds
from weighbridge.admit.policy import Policy, PolicyException
from weighbridge.core.decision import Decision, Outcome, Reason, worst
from weighbridge.core.errors import ConfigError
from weighbridge.core.finding import Severity

MAX_LISTED: Final = 4
"""Paths that one reason lists; the inspection has them all."""


def judge(policy: Policy, facts: Facts, now: str) -> Decision:
    """What the policy makes of the facts at a time (RFC 3339 with an offset).

    Raises:
        ConfigError: `now` is no time.
    """
    grounds = grounds_of(policy, facts, now)
    reasons = tuple(dict.fromkeys(ground.reason for ground in grounds))
    return Decision(
        model_name=facts.model_name,
        revision=facts.revision,
        manifest_digest=facts.manifest_digest,
        outcome=worst(reasons),
        reasons=reasons,
        approvals=_approvals(policy, facts, grounds),
        self_approval=policy.approvals.self_approval,
        policy_name=policy.name,
        policy_digest=policy.digest,
        facts_digest=facts.digest,
        rules_version=facts.inspection.rules_version,
        decided_at=now,
    )


def grounds_of(policy: Policy, facts: Facts, now: str) -> tuple[Ground, ...]:
    """Every ground of the decision, worst first, like ones put together, each with the policy's key that decides.

    Raises:
        ConfigError: `now` is no time.
    """
    moment = time_of(now)
    if moment is None:
        raise ConfigError(f"'{now}' is no time", hint="Give RFC 3339, for example 2026-12-01T00:00:00Z.")
    raw = [*finding_grounds(policy, facts), *term_grounds(policy, facts), *provenance_grounds(policy, facts, moment)]
    settled = [one for ground in raw for one in _excepted(ground, policy, facts, moment.date())]
    return tuple(sorted(_together(settled), key=_order))


def _order(ground: Ground) -> tuple[int, str, tuple[str, ...], str, str, str]:
    place = (Outcome.DENY, Outcome.HOLD, Outcome.ADMIT).index(ground.outcome)
    return place, ground.rule, ground.findings, ground.path, ground.exception, ground.message


def _approvals(policy: Policy, facts: Facts, grounds: Iterable[Ground]) -> int:
    """The most that any finding asks for, accepted or not; what only an exception lets through is at least medium."""
    needed = policy.approvals.needed(None)
    for rule, severity in {(finding.rule, finding.severity) for finding in facts.inspection.findings}:
        override = policy.findings.rule_for(rule)
        own = override[1].approvals if override is not None else None
        needed = max(needed, policy.approvals.needed(severity) if own is None else own)
    if any(ground.exception and not ground.timed for ground in grounds):
        needed = max(needed, policy.approvals.needed(Severity.MEDIUM))
    return needed


# --- exceptions ---------------------------------------------------------------------------------


def _excepted(ground: Ground, policy: Policy, facts: Facts, today: date) -> Iterator[Ground]:
    """The ground itself, or what the exceptions of the policy make of it; an expired one is told and changes nothing."""
    if ground.outcome is Outcome.ADMIT:
        yield ground
        return
    rules, model = (ground.rule, *ground.findings), str(facts.model_name)
    fitting = [
        (place, one)
        for place, one in enumerate(policy.exceptions)
        if any(one.fits(rules, ground.path, model, revision) for revision in facts.revisions_of(ground.path))
    ]
    for place, one in fitting:
        if one.in_force(today):
            own = one.fits(rules, ground.path, model, facts.revision)
            yield _lifted(ground, place, one, "" if own else _same_file(facts))
            return
    yield ground
    for place, one in fitting:
        message = f"the exception '{one.id}' for {', '.join(rules)} ended on {one.expires} and has no effect"
        change = f"review it, and give '{one.id}' a new date and reason, or remove it"
        yield Ground("exception-expired", Outcome.ADMIT, message, change, f"exception[{place}]", timed=ground.timed)


def _lifted(ground: Ground, place: int, one: PolicyException, same: str) -> Ground:
    note = f"accepted by {one.person} until {one.expires}: {one.reason}{same}"
    return replace(ground, outcome=Outcome.ADMIT, change="", key=f"exception[{place}]", exception=one.id, note=note)


def _same_file(facts: Facts) -> str:
    assert facts.follows is not None
    return f" (said of {facts.follows.revision[:12]}, which has the same file)"


# --- like grounds together ----------------------------------------------------------------------


def _together(grounds: Iterable[Ground]) -> Iterator[Ground]:
    """Grounds that differ only in where they lie, as one that lists the places."""
    groups: dict[Ground, list[Ground]] = {}
    for ground in grounds:
        alike = replace(ground, detail="")
        if ground.gathers:
            alike = replace(alike, path="", change="")
        if ground.rule == "remote-code":
            alike = replace(alike, findings=())
        groups.setdefault(alike, []).append(ground)
    for group in groups.values():
        yield _told(sorted(group, key=lambda ground: (ground.path, ground.detail, ground.findings, ground.change)))


def _told(group: list[Ground]) -> Ground:
    """One ground for all of the group, in whole words."""
    first, paths = group[0], list(dict.fromkeys(ground.path for ground in group if ground.path))
    message = first.message
    if first.gathers:
        more = f" and {len(paths) - MAX_LISTED} more" if len(paths) > MAX_LISTED else ""
        message += f" ({len(group)} times)" if len(group) > len(paths) > 0 else ""
        message += f" in {', '.join(paths[:MAX_LISTED])}{more}" if paths else ""
    details = list(dict.fromkeys(ground.detail for ground in group if ground.detail))
    if details:
        message += f": {'; '.join(details[:MAX_LISTED])}{' …' * (len(details) > MAX_LISTED)}"
    return replace(
        first,
        message=f"{message}; {first.note}" if first.note else message,
        path=paths[0] if len(paths) == 1 else "",
        findings=tuple(sorted({rule for ground in group for rule in ground.findings})),
        detail="",
        note="",
    )


def reasons_and_keys(policy: Policy, facts: Facts, now: str) -> tuple[tuple[Reason, str], ...]:
    """The reasons of the decision, each with the policy's key that decides it.

    Raises:
        ConfigError: `now` is no time.
    """
    return tuple(dict.fromkeys((ground.reason, ground.key) for ground in grounds_of(policy, facts, now)))
