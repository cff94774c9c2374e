"""`weighbridge approve` and `reject`: what a person says of a decision, signed with that person's key."""

from __future__ import annotations

import click

from weighbridge.cli.console import Output
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home

EXAMPLES = (
    '\b\nExamples:\n  weighbridge approve org/name@1a2b --reason "read the code, ran the evaluation"\n'
    '  weighbridge approve org/name --person alice --reason "second pair of eyes"\n'
    '  weighbridge reject org/name --reason "the licence forbids our use"'
)


@click.command("approve", epilog=EXAMPLES)
@click.argument("reference", metavar="MODEL[@REV]")
@click.option("--reason", required=True, metavar="TEXT", help="Why, for the ledger.")
@click.option("--person", default=None, metavar="NAME", help="Who approves (default: the one whose key is here).")
@click.option("--valid-days", type=click.IntRange(1, 366), default=30, show_default=True, help="How long it counts.")
@common
def approve_command(
    home: Home, output: Output, /, *, reference: str, reason: str, person: str | None, valid_days: int
) -> int:
    """Approve what policy says of a revision now. If findings or policy change later, the approval counts no more.

    Where nobody is known yet, whoever runs this becomes the first person, an admin.
    """
    return _say(home, output, reference, reason, person=person, valid_days=valid_days)


@click.command("reject", epilog=EXAMPLES)
@click.argument("reference", metavar="MODEL[@REV]")
@click.option("--reason", required=True, metavar="TEXT", help="Why, for the ledger.")
@click.option("--person", default=None, metavar="NAME", help="Who rejects (default: the one whose key is here).")
@common
def reject_command(home: Home, output: Output, /, *, reference: str, reason: str, person: str | None) -> int:
    """Reject a revision. It stands, whatever others say, until the same person approves."""
    return _say(home, output, reference, reason, person=person, valid_days=0)


def _say(home: Home, output: Output, reference: str, reason: str, *, person: str | None, valid_days: int) -> int:
    """Signs a word; `valid_days` 0 rejects."""
    from weighbridge.admit.approvals import VALID_DAYS, Speaker, say, standing_of
    from weighbridge.cli.admission import judge_now, said
    from weighbridge.cli.identity import acting
    from weighbridge.cli.yard import OpenYard
    from weighbridge.store.ledger import now_rfc3339

    with OpenYard(home, output, {"identity.name": person}) as yard:
        yard.resolve_arrival(reference)
        who = acting(yard)
        stand = judge_now(yard, reference)
        word = say(
            yard.ledger(writing=True),
            stand.case,
            stand.roster,
            Speaker(*who),
            approves=valid_days > 0,
            reason=reason,
            now=now_rfc3339(),
            valid_days=valid_days or VALID_DAYS,
        )
        after = standing_of(yard.ledger(), stand.case, stand.roster, now=now_rfc3339())
        decision = stand.decision
        if output.as_json:
            output.document(
                {
                    **said(word),
                    "model": str(decision.model_name),
                    "revision": decision.revision,
                    "decision_digest": decision.digest,
                    "outcome": decision.outcome.value,
                    "approvals": len(after.approved),
                    "needed": decision.approvals,
                    "rejected": bool(after.rejected),
                }
            )
            return 0
        own = " (your own request: nobody else is here)" if word.own and word.approves else ""
        output.line(f"{stand.case.reference}: {'approved' if word.approves else 'rejected'} by {word.person}{own}")
        if word.approves:
            output.say(
                f"  {len(after.approved)} of {decision.approvals} approvals; it counts until {word.expires_at[:10]}"
            )
        if after.complete and decision.outcome.value == "admit":
            output.say(
                f"  next: weighbridge promote {decision.model_name}@{decision.revision[:12]} --channel production"
            )
        elif decision.outcome.value != "admit":
            output.say(f"  policy still says {decision.outcome.value}: `weighbridge decide` says what would change it")
    return 0
