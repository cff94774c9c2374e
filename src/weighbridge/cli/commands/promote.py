"""`weighbridge promote`: an admitted and approved revision into the approved store, and a channel pointed to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output, size
from weighbridge.cli.options import cancellable, common
from weighbridge.cli.settings import Home
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import ConfigError

if TYPE_CHECKING:
    from weighbridge.cli.admission import Stand
    from weighbridge.cli.yard import OpenYard
    from weighbridge.vault.records import SealedRevision


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
    from weighbridge.admit.channels import check_not_revoked
    from weighbridge.cli.admission import judge_now
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        stand = judge_now(yard, reference)
        check_not_revoked(yard.ledger(), stand.decision.model_name, stand.decision.revision)
        stand.standing.check()
        if dry_run:
            output.say(f"{stand.case.reference} may be promoted")
            return 0
        promoted = _promote(yard, stand)
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


def _promote(yard: OpenYard, stand: Stand) -> SealedRevision:
    from weighbridge.admit.promote import Admission, Passage, promote
    from weighbridge.cli.progress import watching
    from weighbridge.store.ledger import now_rfc3339
    from weighbridge.vault.events import PROMOTED, record_ingested

    judged = stand.judged
    admission = Admission(stand.store, judged.revision, judged.facts.inspection, lambda: _records(yard, stand))
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


def _point(yard: OpenYard, promoted: SealedRevision, channel: str, reason: str) -> None:
    from weighbridge.cli.channeling import channels_of

    manifest = promoted.manifest
    channels_of(yard).point(manifest.model_name, channel, manifest.revision, manifest.digest, reason=reason)
