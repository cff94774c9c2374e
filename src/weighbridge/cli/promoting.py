"""Promotes a revision that may be promoted: the copy, the records that go along, the event, and the channel."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import ConfigError

if TYPE_CHECKING:
    from weighbridge.cli.admission import Stand
    from weighbridge.cli.yard import OpenYard
    from weighbridge.core.ports import Observer
    from weighbridge.vault.records import SealedRevision


def promote_now(yard: OpenYard, stand: Stand, observer: Observer, cancelled: threading.Event) -> SealedRevision:
    """The revision in the approved store, and in the ledger; whoever calls has checked that it may go there.

    Raises:
        As `admit.promote.promote`.
    """
    from weighbridge.admit.promote import Admission, Passage, promote
    from weighbridge.store.ledger import now_rfc3339
    from weighbridge.vault.events import PROMOTED, record_ingested

    judged = stand.judged
    admission = Admission(stand.store, judged.revision, judged.facts.inspection, lambda: _records(yard, stand))
    approved = yard.approved()
    passage = Passage(yard.key, yard.trusted, observer, cancelled, now_rfc3339())
    promoted = promote(admission, approved, passage)
    decision = stand.decision
    record_ingested(
        yard.ledger(writing=True),
        approved,
        promoted,
        actor=yard.actor,
        kind=PROMOTED,
        more={
            "from": stand.store.address,
            "decision_digest": decision.digest,
            "policy_digest": decision.policy_digest,
            "approved_by": [word.person for word in stand.standing.approved],
            "own_approval": any(word.own for word in stand.standing.approved),
            **_followed(stand),
        },
    )
    return promoted


def _records(yard: OpenYard, stand: Stand) -> dict[str, bytes]:
    """What goes along: decision, approvals, attestations, bills of materials, and how it was derived."""
    from weighbridge.attest.bom import FORMATS, write
    from weighbridge.attest.remediation import REMEDIATION
    from weighbridge.cli.admission import envelopes
    from weighbridge.cli.commands.attest import make_attestations
    from weighbridge.cli.commands.bom import gather_facts
    from weighbridge.remediate.derived import KIND
    from weighbridge.vault.records import read_record
    from weighbridge.vault.remediated import remediation_key

    revision, inspection = stand.judged.revision, stand.judged.facts.inspection
    decided = f"decisions/{stand.decision.digest}.json"
    records = {decided: stand.decision.to_bytes(), **envelopes(yard.ledger(), stand.standing)}
    made, _ = make_attestations(yard, (stand.store, revision, inspection), "all")
    records.update({one.record: one.envelope for one in made})
    facts = gather_facts(yard, stand.store, revision, inspection)
    try:
        records.update({name: write(facts, form) for form, name in FORMATS.items()})
    except ConfigError as error:
        yard.output.say(f"  without a bill of materials: {error.message}")
    if revision.manifest.origin.kind == KIND:
        records[REMEDIATION] = read_record(stand.store, remediation_key(revision))
    return records


def _followed(stand: Stand) -> dict[str, JsonValue]:
    """Which revision it was that people approved, where their words stand for this one."""
    heritage = stand.standing.heritage
    return {"follows": heritage.predecessor} if heritage is not None and heritage.words else {}


def point(yard: OpenYard, promoted: SealedRevision, channel: str, reason: str) -> None:
    """Points a channel to a promoted revision. Raises as `admit.channels.Channels.point`."""
    from weighbridge.cli.channeling import channels_of

    manifest = promoted.manifest
    channels_of(yard).point(manifest.model_name, channel, manifest.revision, manifest.digest, reason=reason)
