"""How a revision stands with policy and with people right now, for the commands that approve and promote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from weighbridge.cli.yard import OpenYard
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import LedgerError

if TYPE_CHECKING:
    from weighbridge.admit.approvals import Approval, Case, Heritage, Standing
    from weighbridge.admit.judge_revision import Judged
    from weighbridge.admit.people import Roster
    from weighbridge.admit.succession import Lying
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
    from weighbridge.admit.judge_revision import Surroundings, record_decision
    from weighbridge.admit.people import roster_of
    from weighbridge.admit.succession import heritage_of
    from weighbridge.cli.commands.decide import judged_by
    from weighbridge.store.ledger import now_rfc3339

    ledger = yard.ledger()
    ledger.verify(yard.trusted)
    policy, judged, store = judged_by(yard, reference)
    check_adopted(ledger, judged.decision)
    record_decision(store, yard.ledger(writing=True), judged.decision, actor=yard.actor)
    case, roster, now = case_of(ledger, judged.decision), roster_of(ledger), now_rfc3339()
    beside = Surroundings(ledger, yard.trusted, yard.store)
    heritage = heritage_of(policy.policy, lying(judged, store), beside=beside, roster=roster, now=now)
    return Stand(store, judged, case, roster, standing_of(ledger, case, roster, now=now, heritage=heritage))


def heritage(yard: OpenYard, reference: str) -> Heritage | None:
    """The words about another revision that stand for this one, proven now; None where no succession is on record.

    Raises:
        As `judged_by`.
    """
    from weighbridge.admit.judge_revision import Surroundings
    from weighbridge.admit.people import roster_of
    from weighbridge.admit.succession import heritage_of, recorded
    from weighbridge.cli.commands.decide import judged_by
    from weighbridge.store.ledger import now_rfc3339

    ledger = yard.ledger()
    if not recorded(ledger, reference):
        return None
    policy, judged, store = judged_by(yard, reference)
    beside = Surroundings(ledger, yard.trusted, yard.store)
    return heritage_of(policy.policy, lying(judged, store), beside=beside, roster=roster_of(ledger), now=now_rfc3339())


def lying(judged: Judged, store: ObjectStore) -> Lying:
    """A judged revision, where it lies."""
    from weighbridge.admit.succession import Lying

    return Lying(store, judged.revision, judged.facts.inspection)


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
    """The signed statements of the approvals that count, by record name; and why those of another revision do.

    Raises:
        LedgerError: one of them is not in the ledger any more.
    """
    from weighbridge.admit.approvals import APPROVED
    from weighbridge.attest.attestations import digest_of
    from weighbridge.attest.statement import unverified

    wanted = {word.digest for word in standing.approved}
    found: dict[str, bytes] = {}
    for reference in sorted({word.reference for word in standing.approved}):
        for event in ledger.events(subject=reference, kinds=(APPROVED,)):
            envelope = str(event.payload.get("statement", "")).encode("utf-8")
            digest = digest_of(unverified(envelope)[1])
            if digest in wanted:
                found[f"approvals/{digest}.dsse.json"] = envelope
    if len(found) != len(wanted):
        raise LedgerError("an approval that was counted is not in the ledger any more", hint="Run the command again.")
    heritage = standing.heritage
    if heritage is not None and heritage.envelope and any(word in heritage.words for word in standing.approved):
        found["succession.dsse.json"] = heritage.envelope
    return found
