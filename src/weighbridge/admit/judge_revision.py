"""Judges a sealed revision as it stands now, and keeps the decision: a record beside the revision, an event in the ledger.

The record lies where `vault.attested.newest_decision` looks and is written before the event that names it. A decision with the
digest and outcome of the last one leaves no trace: who approved that one approved this one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from weighbridge.admit.facts import Facts, Lineage, earlier_owner_ids, gather
from weighbridge.admit.judge import judge
from weighbridge.admit.policy import Policy
from weighbridge.core.canonical import JsonValue
from weighbridge.core.decision import Decision
from weighbridge.core.errors import ObjectMissing, StatementMismatch
from weighbridge.core.layout import record_key
from weighbridge.core.names import ModelName, Reference
from weighbridge.core.ports import ObjectStore, SignatureVerifier
from weighbridge.core.snapshot import Origin
from weighbridge.remediate.derived import KIND as DERIVED
from weighbridge.store.ledger import Ledger
from weighbridge.vault.attested import DECIDED
from weighbridge.vault.inspections import latest_inspection
from weighbridge.vault.records import SealedRevision, open_revision
from weighbridge.vault.remediated import read_remediation

MAX_PARENTS: Final = 8


@dataclass(frozen=True, slots=True)
class Judged:
    """A decision, the facts it rests on, and the verified revision that they are of."""

    decision: Decision
    facts: Facts
    revision: SealedRevision


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a revision is judged beside: the ledger, the keys that count, and stores by their addresses."""

    ledger: Ledger
    verifier: SignatureVerifier
    store_of: Callable[[str], ObjectStore]


def judge_revision(
    policy: Policy, revision: SealedRevision, *, store: ObjectStore, beside: Surroundings, now: str
) -> Judged:
    """What the policy makes of a verified revision of `store`, with its newest inspection, at a time.

    Raises:
        StoreError, IntegrityError, TrustError, LedgerError, FormatError: something it rests on cannot be read, or is not as
            it was sealed. No decision is made then.
        ConfigError: `now` is no time.
    """
    facts = facts_of(revision, store=store, beside=beside)
    return Judged(judge(policy, facts, now), facts, revision)


def facts_of(revision: SealedRevision, *, store: ObjectStore, beside: Surroundings) -> Facts:
    """The facts of a verified revision of `store`, with its newest inspection.

    Raises:
        StoreError, IntegrityError, TrustError, LedgerError, FormatError: see `judge_revision`.
    """
    rows = beside.ledger.catalog().revisions(revision.manifest.model_name)
    lineage = _lineage(revision, store, beside)
    upstream = lineage.origin if lineage is not None else revision.manifest.origin
    earlier = earlier_owner_ids(
        [row for row in rows if row.revision != revision.manifest.revision],
        upstream,
        sealed_at=revision.seal.sealed_at,
        store_of=beside.store_of,
        verifier=beside.verifier,
    )
    inspection = latest_inspection(store, revision, beside.ledger)
    return gather(store, revision, inspection, lineage=lineage, earlier_owner_ids=earlier)


# --- what it was derived from -------------------------------------------------------------------


def _lineage(revision: SealedRevision, store: ObjectStore, beside: Surroundings) -> Lineage | None:
    """Where a derived revision comes from, by its signed statement; None for one that was not derived.

    Raises:
        StatementMismatch: it was derived, and nothing says how, or its parents do not end.
    """
    found = read_remediation(store, revision, beside.verifier)
    if found is None:
        return None
    return Lineage(found.parent, tuple(sorted(found.remedies)), _upstream(revision, beside))


def _upstream(revision: SealedRevision, beside: Surroundings) -> Origin:
    """The origin of the first parent. What came from a Hub carries it along; for the rest the parents are opened."""
    reference = revision.manifest.reference
    for _ in range(MAX_PARENTS):
        origin = revision.manifest.origin
        if origin.kind != DERIVED:
            return origin
        if origin.repository:
            return replace(origin, kind="hub", address=f"hf://{origin.repository}")
        row = beside.ledger.catalog().resolve(Reference.parse(origin.address))
        revision = open_revision(beside.store_of(row.store), row.model_name, row.revision, beside.verifier)
    raise StatementMismatch(f"{reference} was derived over more than {MAX_PARENTS} revisions")


# --- the record ---------------------------------------------------------------------------------


def record_decision(store: ObjectStore, ledger: Ledger, decision: Decision, *, actor: str) -> bool:
    """Keeps a decision, unless the last one of the revision in that store says the same; whether it was entered.

    Raises:
        StoreError, LedgerError: it could not be made durable.
    """
    key = decision_key(decision.model_name, decision.revision, decision.digest)
    if _is_last(ledger, store, decision) and _is_there(store, key):
        return False
    data = decision.to_bytes()
    # The digest leaves out times: of decisions with one digest, the newest is the one that stands.
    store.put(key, data, replace=True)
    payload: dict[str, JsonValue] = {
        "store": store.address,
        "model": str(decision.model_name),
        "revision": decision.revision,
        "manifest_digest": decision.manifest_digest,
        "decision_digest": decision.digest,
        "record_digest": hashlib.sha256(data).hexdigest(),
        "outcome": decision.outcome.value,
        "rules": list(decision.rules),
        "approvals": decision.approvals,
        "self_approval": decision.self_approval,
        "policy": decision.policy_name,
        "policy_digest": decision.policy_digest,
        "facts_digest": decision.facts_digest,
        "rules_version": decision.rules_version,
        "decided_at": decision.decided_at,
    }
    ledger.append(DECIDED, f"{decision.model_name}@{decision.revision}", payload, actor=actor)
    return True


def _is_last(ledger: Ledger, store: ObjectStore, decision: Decision) -> bool:
    said = {"store": store.address, "decision_digest": decision.digest, "outcome": decision.outcome.value}
    last: dict[str, object] = {}
    for event in ledger.events(subject=f"{decision.model_name}@{decision.revision}", kinds=(DECIDED,)):
        last = {key: event.payload.get(key) for key in said}
    return last == said


def _is_there(store: ObjectStore, key: str) -> bool:
    try:
        store.head(key)
    except ObjectMissing:
        return False
    return True


def decision_key(model_name: ModelName, revision: str, digest: str) -> str:
    """Where a decision lies, by its digest."""
    return record_key(model_name, revision, f"decisions/{digest}.json")
