"""`weighbridge promote`: an admitted and approved revision into the approved store, and a channel pointed to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output, size
from weighbridge.cli.options import cancellable, common
from weighbridge.cli.settings import Home
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import ConfigError, ObjectMissing

if TYPE_CHECKING:
    from weighbridge.cli.admission import Stand
    from weighbridge.cli.yard import OpenYard
    from weighbridge.core.ports import ObjectStore
    from weighbridge.vault.records import SealedRevision

REMEDIATION = "remediation.dsse.json"


@click.command(
    "promote",
    epilog="\b\nExamples:\n  weighbridge promote org/name@1a2b --channel production\n"
    "  weighbridge promote org/name --dry-run       what is still missing",
)
@click.argument("reference", metavar="MODEL[@REV]")
@click.option("--channel", default="", metavar="NAME", help="Point this channel to it, for example production.")
@click.option("--reason", default="", metavar="TEXT", help="Why the channel moves, for the ledger.")
@click.option("--dry-run", is_flag=True, help="Only say whether it may be promoted, and what is missing.")
@common
def promote_command(home: Home, output: Output, /, *, reference: str, channel: str, reason: str, dry_run: bool) -> int:
    """Copy a revision to the approved store, on the store's own side, once policy admits it and people approved.

    It is judged again first, by today's policy. An interrupted promotion is taken up by the same command.
    """
    from weighbridge.cli.admission import check_not_revoked, judge_now
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        stand = judge_now(yard, reference)
        check_not_revoked(yard, reference)
        stand.standing.check()
        if dry_run:
            output.say(f"{stand.case.reference} may be promoted")
            return 0
        promoted = _promote(yard, stand, reference)
        document: dict[str, JsonValue] = {
            "model": str(promoted.manifest.model_name),
            "revision": promoted.manifest.revision,
            "store": yard.approved().address,
            "artifacts": len(promoted.manifest.artifacts),
            "total_bytes": promoted.manifest.total_bytes,
            "decision_digest": stand.decision.digest,
            "approved_by": [word.person for word in stand.standing.approved],
            "channel": channel,
        }
        if channel:
            _point(yard, promoted, channel, reason)
        if output.as_json:
            output.document(document)
            return 0
        manifest = promoted.manifest
        output.line(f"{manifest.reference}\t{yard.approved().address}{f'  @{channel}' if channel else ''}")
        output.say(f"  {len(manifest.artifacts)} files, {size(manifest.total_bytes)}, copied by the store and sealed")
        if not channel:
            output.say("  no channel points to it yet: promote again with --channel NAME")
    return 0


def _promote(yard: OpenYard, stand: Stand, reference: str) -> SealedRevision:
    from weighbridge.admit.promote import Admission, Passage, promote
    from weighbridge.cli.progress import watching
    from weighbridge.store.ledger import now_rfc3339
    from weighbridge.vault.events import PROMOTED, record_ingested
    from weighbridge.vault.inspections import latest_inspection
    from weighbridge.vault.records import open_revision

    row = yard.resolve_arrival(reference)
    revision = open_revision(stand.store, row.model_name, row.revision, yard.trusted)
    inspection = latest_inspection(stand.store, revision, yard.ledger())
    admission = Admission(stand.store, revision, inspection, _records(yard, stand, revision, reference))
    approved = yard.approved()
    quiet = Output(quiet=True, colour=yard.output.colour) if yard.output.as_json else yard.output
    with cancellable(yard.output) as cancelled, watching(quiet, "promoting") as observer:
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
        },
    )
    return promoted


def _records(yard: OpenYard, stand: Stand, revision: SealedRevision, reference: str) -> dict[str, bytes]:
    """What goes along: decision, approvals, attestations, bills of materials, and how it was derived."""
    from weighbridge.attest.bom import write
    from weighbridge.cli.admission import envelopes
    from weighbridge.cli.commands.attest import make_attestations
    from weighbridge.cli.commands.bom import gather_facts

    decided = f"decisions/{stand.decision.digest}.json"
    records = {decided: stand.decision.to_bytes(), **envelopes(yard.ledger(), stand.standing)}
    records.update({one.record: one.envelope for one in make_attestations(yard, reference, "all")[0]})
    facts = gather_facts(yard, reference)
    try:
        records.update({f"bom.{form}.json": write(facts, form) for form in ("cyclonedx", "spdx")})
    except ConfigError as error:
        yard.output.say(f"  without a bill of materials: {error.message}")
    derived = _read(stand.store, revision, REMEDIATION)
    return {**records, REMEDIATION: derived} if derived else records


def _read(store: ObjectStore, revision: SealedRevision, name: str) -> bytes:
    from weighbridge.core.layout import record_key
    from weighbridge.vault.records import read_record

    try:
        return read_record(store, record_key(revision.manifest.model_name, revision.manifest.revision, name))
    except ObjectMissing:
        return b""


def _point(yard: OpenYard, promoted: SealedRevision, channel: str, reason: str) -> None:
    from weighbridge.cli.channeling import channels_of

    manifest = promoted.manifest
    channels_of(yard).point(manifest.model_name, channel, manifest.revision, manifest.digest, reason=reason)
