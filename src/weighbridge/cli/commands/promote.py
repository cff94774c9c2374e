"""`weighbridge promote`: an admitted and approved revision into the approved store, and a channel pointed to it."""

from __future__ import annotations

import click

from weighbridge.cli.console import Output, size
from weighbridge.cli.options import cancellable, common
from weighbridge.cli.settings import Home
from weighbridge.core.canonical import JsonValue


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
    from weighbridge.cli.progress import watching
    from weighbridge.cli.promoting import point, promote_now
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        stand = judge_now(yard, reference)
        check_not_revoked(yard.ledger(), stand.decision.model_name, stand.decision.revision)
        stand.standing.check()
        if dry_run:
            output.say(f"{stand.case.reference} may be promoted")
            return 0
        quiet = Output(quiet=True, colour=output.colour) if output.as_json else output
        with cancellable(output) as cancelled, watching(quiet, "promoting") as observer:
            promoted = promote_now(yard, stand, observer, cancelled)
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
            point(yard, promoted, channel, reason)
        if output.as_json:
            output.document(document)
            return 0
        manifest = promoted.manifest
        output.line(f"{manifest.reference}\t{yard.approved().address}{f'  @{channel}' if channel else ''}")
        output.say(f"  {len(manifest.artifacts)} files, {size(manifest.total_bytes)}, copied by the store and sealed")
        if not channel:
            output.say("  no channel points to it yet: promote again with --channel NAME")
    return 0
