"""`weighbridge decide`: what policy makes of a revision, and what would change it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.canonical import JsonValue
from weighbridge.core.decision import Decision, Outcome
from weighbridge.core.errors import Denied

if TYPE_CHECKING:
    from weighbridge.admit.judge_revision import Judged
    from weighbridge.admit.policy_file import PolicyFile
    from weighbridge.cli.yard import OpenYard
    from weighbridge.core.ports import ObjectStore


@click.command(
    "decide",
    epilog="\b\nExamples:\n  weighbridge decide org/name                 judge it, and record the decision\n"
    "  weighbridge decide org/name --dry-run       judge it, and record nothing\n"
    "  weighbridge decide org/name --policy p.toml --dry-run   what another policy would say",
)
@click.argument("reference", metavar="MODEL[@REV]")
@click.option("--policy", "policy_name", default="", metavar="FILE", help="A policy file (default: policy.file).")
@click.option("--dry-run", is_flag=True, help="Record nothing.")
@common
def decide_command(home: Home, output: Output, /, *, reference: str, policy_name: str, dry_run: bool) -> int:
    """Judge a revision by policy: admit, hold or deny, each rule with what would change it. Exits 0 or 5."""
    from weighbridge.admit.judge_revision import record_decision
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        policy, judged, store = judged_by(yard, reference, policy_name)
        entered = False
        if not dry_run:
            entered = record_decision(store, yard.ledger(writing=True), judged.decision, actor=yard.actor)
        if output.as_json:
            output.document(_record(policy, judged, entered=entered))
        else:
            _show(output, policy, judged.decision)
            output.say("  recorded" if entered else "  nothing new is recorded")
    return 0 if judged.decision.outcome is Outcome.ADMIT else Denied.exit_code


def open_policy(yard: OpenYard, name: str = "") -> PolicyFile:
    """The policy of a file by its name, or the one of the settings.

    Raises:
        ConfigError: it cannot be read, or is no policy.
    """
    from weighbridge.admit.policy_file import load_policy

    settings = yard.config.policy
    return load_policy(name or settings.file, settings.preset)


def judged_by(yard: OpenYard, reference: str, policy_name: str = "") -> tuple[PolicyFile, Judged, ObjectStore]:
    """A revision, verified against its seal and the ledger, judged now; and the store that it lies in.

    Raises:
        ConfigError, NothingCollected: no policy, or no such revision.
        WeighbridgeError: something that the decision rests on does not hold.
    """
    from weighbridge.admit.judge_revision import Surroundings
    from weighbridge.admit.succession import judge_following
    from weighbridge.store.ledger import now_rfc3339

    policy = open_policy(yard, policy_name)
    row = yard.resolve_arrival(reference)
    store = yard.store(row.store)
    revision = yard.open_sealed(row)
    beside = Surroundings(yard.ledger(), yard.trusted, yard.store)
    judged = judge_following(policy.policy, revision, store=store, beside=beside, now=now_rfc3339())
    return policy, judged, store


def _record(policy: PolicyFile, judged: Judged, *, entered: bool) -> dict[str, JsonValue]:
    decision = judged.decision
    return {
        **decision.to_json(),
        "digest": decision.digest,
        "policy_file": policy.name,
        "facts": judged.facts.to_json(),
        "entered": entered,
    }


def _show(output: Output, policy: PolicyFile, decision: Decision) -> None:
    output.line(f"{decision.model_name}@{decision.revision}: {decision.outcome.value}")
    if decision.reasons:
        output.table(
            ("outcome", "rule", "why", "what would change it"),
            [(one.outcome.value, one.rule, one.message, one.change) for one in decision.reasons],
        )
    output.line("no approval lifts that" if decision.outcome is Outcome.DENY else approvals_words(decision))
    output.say(f"  policy {policy.name}, digest {decision.policy_digest[:12]}; decision {decision.digest}")


def approvals_words(decision: Decision) -> str:
    """How many people must approve, in words."""
    number = decision.approvals
    if not number:
        return "needs no approval"
    people = "1 person" if number == 1 else f"{number} people"
    own = "may be the one who asks" if decision.self_approval else "not the one who asks"
    return f"needs approval by {people} ({own})"
