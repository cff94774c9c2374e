"""`weighbridge verify` and `weighbridge check`: is it still what was sealed?"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output, duration, size
from weighbridge.cli.options import cancellable, common
from weighbridge.cli.settings import Home
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import IntegrityError, LedgerError, NothingCollected

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.transfer.audit import Audit
    from weighbridge.vault.recorded import Problem
    from weighbridge.vault.verify import Depth, Verified


@click.command(
    "verify",
    epilog="\b\nExamples:\n  weighbridge verify org/name              signatures and the store's own records\n"
    "  weighbridge verify org/name --subset 3/10   and every tenth chunk, the third lot\n"
    "  weighbridge verify org/name --deep       and every byte",
)
@click.argument("reference", metavar="MODEL[@REV]")
@click.option("--deep", is_flag=True, help="Read and prove every byte.")
@click.option("--subset", default="", metavar="N/T", help="Read and prove every T-th chunk, beginning with the N-th.")
@common
def verify_command(home: Home, output: Output, /, *, reference: str, deep: bool, subset: str) -> int:
    """Prove that a revision is the one that was sealed. Says what was proved, and what was not."""
    from weighbridge.cli.progress import watching
    from weighbridge.cli.yard import OpenYard
    from weighbridge.vault.verify import verify

    depth = _depth(deep, subset)
    started = time.monotonic()
    with OpenYard(home, output) as yard:
        row = yard.resolve(reference)
        with cancellable(output) as cancelled, watching(_talk(output, depth), "verifying") as observer:
            outcome = verify(
                yard.store(row.store), row, yard.trusted, depth=depth, observer=observer, cancelled=cancelled
            )
        _show(output, outcome, time.monotonic() - started)
    return IntegrityError.exit_code if outcome.problems else 0


def _talk(output: Output, depth: Depth) -> Output:
    """Nothing is read at the shallow depth, so there is no progress to show; JSON stays one document."""
    return Output(quiet=True, colour=output.colour) if not depth.t or output.as_json else output


def _depth(deep: bool, subset: str) -> Depth:
    from weighbridge.vault.verify import DEEP, RECORDED, Depth

    if deep and subset:
        raise click.UsageError("--deep and --subset exclude each other")
    if deep:
        return DEEP
    if not subset:
        return RECORDED
    found = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", subset)
    if not found or int(found[1]) > int(found[2]):
        raise click.UsageError("--subset takes N/T with 1 <= N <= T, for example 3/10")
    return Depth(int(found[1]), int(found[2]))


def _show(output: Output, outcome: Verified, seconds: float) -> None:
    manifest = outcome.revision.manifest
    if output.as_json:
        output.document(
            {
                "model": str(manifest.model_name),
                "revision": manifest.revision,
                "depth": outcome.depth.name,
                "verified": not outcome.problems,
                "problems": [_problem(problem) for problem in outcome.problems],
                "proved": list(outcome.proved) if not outcome.problems else [],
                "not_proved": list(outcome.not_proved),
                "read_bytes": outcome.read_bytes,
                "milliseconds": round(seconds * 1000),
            }
        )
        return
    word = "failed" if outcome.problems else "ok"
    output.line(f"{manifest.reference}: {word}")
    for problem in outcome.problems:
        output.line(f"  {problem.kind}: {problem.message}")
    if not outcome.problems:
        for claim in outcome.proved:
            output.say(f"  proved: {claim}")
    for claim in outcome.not_proved:
        output.say(f"  not proved: {claim}")
    output.say(f"  {outcome.depth.name}: {size(outcome.read_bytes)} read in {duration(seconds)}")


def _problem(problem: Problem) -> dict[str, JsonValue]:
    return {"path": problem.path, "kind": problem.kind, "message": problem.message}


@click.command("check", epilog="\b\nExamples:\n  weighbridge check\n  weighbridge check --store s3://models-quarantine")
@click.option("--store", default="", metavar="STORE", help="Only this store (default: all that the ledger knows).")
@common
def check_command(home: Home, output: Output, /, *, store: str) -> int:
    """Audit everything: the ledger's chain, every revision by the store's own records, and what belongs to none."""
    from weighbridge.cli.yard import OpenYard
    from weighbridge.transfer.audit import audit

    with OpenYard(home, output) as yard:
        if not yard.has_ledger:
            raise NothingCollected(
                "there is no ledger yet", hint="weighbridge ingest makes one; weighbridge rebuild recovers one."
            )
        broken = _ledger_problem(yard)
        catalog = yard.ledger().catalog()
        addresses = [store] if store else sorted({row.store for row in catalog.revisions()} or {yard.store().address})
        audits = []
        for address in addresses:
            opened = yard.store(address)
            audits.append(audit(opened, catalog.revisions(store=opened.address), yard.trusted, yard.home.journals))
        _show_check(output, broken, audits)
    return IntegrityError.exit_code if broken or not all(found.sound for found in audits) else 0


def _ledger_problem(yard: OpenYard) -> str:
    try:
        yard.ledger().verify(yard.trusted)
    except LedgerError as error:
        return error.message
    return ""


def _show_check(output: Output, broken: str, audits: list[Audit]) -> None:
    if output.as_json:
        output.document(
            {
                "ledger": broken or "ok",
                "stores": [
                    {
                        "store": found.store,
                        "revisions": found.revisions,
                        "problems": {
                            name: [_problem(p) for p in problems] for name, problems in found.problems.items()
                        },
                        "not_in_ledger": list(found.unentered),
                        "leftovers": [
                            {
                                "kind": left.kind.value,
                                "key": left.key,
                                "size_bytes": left.size_bytes,
                                "since": left.since,
                            }
                            for left in found.leftovers
                        ],
                        "interrupted_ingests": list(found.interrupted),
                    }
                    for found in audits
                ],
            }
        )
        return
    output.line(f"ledger: {broken or 'ok'}")
    for found in audits:
        bad = len(found.problems)
        output.line(
            f"{found.store}: {found.revisions} revisions, {bad} with problems"
            if bad
            else f"{found.store}: {found.revisions} revisions, ok"
        )
        for name, problems in found.problems.items():
            for problem in problems:
                output.line(f"  {name}: {problem.kind}: {problem.message}")
        for name in found.unentered:
            output.line(f"  {name}: sealed, but not in the ledger (weighbridge rebuild enters it)")
        for left in found.leftovers:
            output.line(f"  {left.kind.value}: {left.key}")
        if found.interrupted:
            output.say(f"  {len(found.interrupted)} interrupted ingests can be taken up again by the same command")
