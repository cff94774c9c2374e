"""`weighbridge gc` and `weighbridge rebuild`: what crashes leave, and what disasters take."""

from __future__ import annotations

from datetime import timedelta

import click

from weighbridge.cli.console import Output, size
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.errors import TrustError


@click.command("gc", epilog="\b\nExamples:\n  weighbridge gc --dry-run\n  weighbridge gc --older-than 0")
@click.option("--store", default="", metavar="STORE", help="The store (default: the quarantine store).")
@click.option("--older-than", type=float, default=24.0, metavar="HOURS", help="Keep what is younger (default: 24).")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@common
def gc_command(home: Home, output: Output, /, *, store: str, older_than: float, dry_run: bool) -> int:
    """Remove unfinished uploads, and artifacts and records of revisions that were never sealed."""
    from weighbridge.cli.yard import OpenYard
    from weighbridge.transfer.gc import collect

    if older_than < 0:
        raise click.UsageError("--older-than takes hours, 0 or more")
    with OpenYard(home, output) as yard:
        opened = yard.store(store)
        outcome = collect(opened, home.journals, older_than=timedelta(hours=older_than), dry_run=dry_run)
        if outcome.removed and not dry_run:
            yard.ledger(writing=True).append(
                "store.collected",
                "",
                {"store": opened.address, "removed": [item.key for item in outcome.removed]},
                actor=yard.actor,
            )
        if output.as_json:
            output.document(
                {
                    "store": opened.address,
                    "dry_run": dry_run,
                    "removed": [{"kind": item.kind.value, "key": item.key} for item in outcome.removed],
                    "kept": [{"kind": item.kind.value, "key": item.key} for item in outcome.kept],
                    "refused": [{"kind": item.kind.value, "key": item.key} for item in outcome.refused],
                    "journals": list(outcome.journals),
                }
            )
            return 0
        for item in outcome.removed:
            output.line(f"{'would remove' if dry_run else 'removed'}\t{item.kind.value}\t{item.key}")
        for item in outcome.kept:
            output.say(f"kept, younger than {older_than:g} h: {item.kind.value}: {item.key}")
        for item in outcome.refused:
            output.line(f"refused\t{item.kind.value}\t{item.key}")
        if outcome.refused:
            output.say("The store refuses to remove these: they are locked, or the permission is missing.")
        total = sum(item.size_bytes for item in outcome.removed)
        output.say(f"{len(outcome.removed)} leftovers, {size(total)}, in {opened.address}")
    return 0


@click.command(
    "rebuild", epilog="\b\nExamples:\n  weighbridge rebuild\n  weighbridge rebuild --store s3://models-quarantine"
)
@click.option("--store", default="", metavar="STORE", help="The store (default: the quarantine store).")
@click.option(
    "--sign-head",
    is_flag=True,
    help="First verify the chain and sign its present end: after its head was lost, or on a new machine.",
)
@common
def rebuild_command(home: Home, output: Output, /, *, store: str, sign_head: bool) -> int:
    """Rebuild the catalog from the ledger, and enter what the ledger lacks from the store's sealed records."""
    from weighbridge.cli.yard import OpenYard
    from weighbridge.transfer.rebuild import rebuild

    with OpenYard(home, output) as yard:
        if sign_head:
            state = yard.ledger(writing=True).sign_head()
            output.say(f"signed the ledger's end: event {state.events}")
        opened = yard.store(store)
        outcome = rebuild(yard.ledger(writing=True), opened, yard.trusted, actor=yard.actor)
        if output.as_json:
            output.document(
                {
                    "store": opened.address,
                    "replayed_events": outcome.replayed,
                    "recovered": list(outcome.recovered),
                    "refused": [{"revision": name, "reason": reason} for name, reason in outcome.refused],
                }
            )
        else:
            for name in outcome.recovered:
                output.line(f"recovered\t{name}")
            for name, reason in outcome.refused:
                output.line(f"refused\t{name}\t{reason}")
            output.say(f"{outcome.replayed} events replayed, {len(outcome.recovered)} revisions recovered")
    return TrustError.exit_code if outcome.refused else 0
