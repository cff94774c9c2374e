"""How a revision stands with policy and with people right now, for the commands that approve and promote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from weighbridge.cli.yard import OpenYard
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import LedgerError

if TYPE_CHECKING:
    from weighbridge.admit.approvals import Approval, Case, Standing
    from weighbridge.admit.judge_revision import Judged
    from weighbridge.admit.people import Roster
    from weighbridge.core.decision import Decision
    from weighbridge.core.ports import ObjectStore
    from weighbridge.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Stand:
    """A revision, judged by policy now; the decision is recorded. Who is here, and how far it came with them."""

    store: ObjectStore
    judged: Judged
    case: Case
    roster: Roster
    standing: Standing

    @property
    def decision(self) -> Decision:
        """What policy says."""
        return self.judged.decision


def judge_now(yard: OpenYard, reference: str) -> Stand:
    """Judges a revision by the policy of the settings, records the decision, and counts what people said of it.

    Raises:
        LedgerError: the ledger does not hold; nothing is approved or promoted on its word then.
        Denied: another policy was adopted.
        ConfigError, NothingCollected, TrustError, StoreError: see `judged_by`.
    """
    from weighbridge.admit.adoption import check_adopted
    from weighbridge.admit.approvals import case_of, standing_of
    from weighbridge.admit.judge_revision import record_decision
    from weighbridge.admit.people import roster_of
    from weighbridge.cli.commands.decide import judged_by
    from weighbridge.store.ledger import now_rfc3339

    ledger = yard.ledger()
    ledger.verify(yard.trusted)
    _, judged, store = judged_by(yard, reference)
    check_adopted(ledger, judged.decision)
    record_decision(store, yard.ledger(writing=True), judged.decision, actor=yard.actor)
    case, roster = case_of(ledger, judged.decision), roster_of(ledger)
    return Stand(store, judged, case, roster, standing_of(ledger, case, roster, now=now_rfc3339()))


def said(word: Approval) -> dict[str, JsonValue]:
    """A word of a person, as JSON."""
    return {
        "person": word.person,
        "says": "approved" if word.approves else "rejected",
        "own": word.own,
        "through": word.through,
        "reason": word.reason,
        "said_at": word.said_at,
        "expires_at": word.expires_at,
        "digest": word.digest,
    }


def envelopes(ledger: Ledger, standing: Standing) -> dict[str, bytes]:
    """The signed statements of the approvals that count, by record name.

    Raises:
        LedgerError: one of them is not in the ledger any more.
    """
    from weighbridge.admit.approvals import APPROVED
    from weighbridge.attest.attestations import digest_of
    from weighbridge.attest.statement import unverified

    wanted = {word.digest for word in standing.approved}
    found: dict[str, bytes] = {}
    decision = standing.decision
    for event in ledger.events(subject=f"{decision.model_name}@{decision.revision}", kinds=(APPROVED,)):
        envelope = str(event.payload.get("statement", "")).encode("utf-8")
        digest = digest_of(unverified(envelope)[1])
        if digest in wanted:
            found[f"approvals/{digest}.dsse.json"] = envelope
    if len(found) != len(wanted):
        raise LedgerError("an approval that was counted is not in the ledger any more", hint="Run the command again.")
    return found
