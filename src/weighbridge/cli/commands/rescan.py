"""`weighbridge rescan`: what is stored, judged by today's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output, size
from weighbridge.cli.options import (
    cancellable,
    common,
    content_options,
    content_settings,
    fail_on_option,
    severity_code,
)
from weighbridge.cli.settings import Home
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import InspectError, NothingCollected, WeighbridgeError
from weighbridge.core.finding import Verdict

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.store.catalog import CataloguedRevision
    from weighbridge.transfer.inspecting import Inspecting
    from weighbridge.transfer.rescan import Rescanned


@click.command(
    "rescan",
    epilog="\b\nExamples:\n  weighbridge rescan org/name@main     one revision\n"
    "  weighbridge rescan --all             everything in the stores, after a new version of weighbridge",
)
@click.argument("references", nargs=-1, metavar="[MODEL[@REV]]...")
@click.option("--all", "everything", is_flag=True, help="Every revision of every store that the ledger knows.")
@fail_on_option("high")
@content_options
@common
def rescan_command(
    home: Home,
    output: Output,
    /,
    *,
    references: tuple[str, ...],
    everything: bool,
    fail_on: str,
    deep: bool | None,
    without: tuple[str, ...],
) -> int:
    """Inspect stored revisions again, by today's rules and by ranged reads; what is new goes into the ledger.

    Exits 11 to 14 by the highest severity found, 4 when an inspector could not answer, 1 when a revision could not be
    read.
    """
    from weighbridge.cli.yard import OpenYard
    from weighbridge.transfer.inspecting import Inspecting

    if bool(references) == everything:
        raise click.UsageError("name revisions, or take --all")
    flags = content_settings(deep, without)
    with OpenYard(home, output, flags) as yard, Inspecting(yard.config.inspection) as inspecting:
        inspecting.start()
        rows = _rows(yard, references)
        codes = [_rescan(yard, inspecting, row, fail_on) for row in rows]
    return max(codes)


def _rows(yard: OpenYard, references: tuple[str, ...]) -> list[CataloguedRevision]:
    if references:
        return [yard.resolve(reference) for reference in references]
    rows = yard.ledger().catalog().revisions() if yard.has_ledger else []
    if not rows:
        raise NothingCollected("there is nothing in the stores yet", hint="weighbridge ingest brings a model in.")
    return rows


def _rescan(yard: OpenYard, inspecting: Inspecting, row: CataloguedRevision, fail_on: str) -> int:
    from weighbridge.cli.progress import watching
    from weighbridge.transfer.rescan import rescan
    from weighbridge.transfer.scan import Scanner

    output = yard.output
    quiet = Output(quiet=output.quiet or output.as_json, colour=output.colour)
    try:
        store = yard.store(row.store)
        revision = yard.open_sealed(row)
        with cancellable(output) as cancelled, watching(quiet, "inspecting") as observer:
            scanner = Scanner(yard.config.transfer, inspecting, observer, cancelled)
            found = rescan(scanner, store, revision, yard.ledger(writing=True), actor=yard.actor)
    except WeighbridgeError as error:
        if error.exit_code > 128:
            raise
        # One revision that cannot be read must not keep the others from being looked at.
        output.error(WeighbridgeError(f"{row.model_name}@{row.revision}: {error.message}", hint=error.hint))
        return error.exit_code
    _show(output, row, found)
    return _code(found, fail_on)


def _code(found: Rescanned, fail_on: str) -> int:
    inspection = found.scanned.inspection
    unanswered = inspection.verdict is Verdict.UNKNOWN and fail_on != "never"
    return severity_code(inspection.highest_severity, fail_on) or (InspectError.exit_code if unanswered else 0)


def _show(output: Output, row: CataloguedRevision, found: Rescanned) -> None:
    scanned = found.scanned
    if output.as_json:
        record: dict[str, JsonValue] = {
            "model": str(row.model_name),
            "revision": row.revision,
            "store": row.store,
            "rules_version": {"before": found.before.rules_version, "now": scanned.inspection.rules_version},
            "verdict": {"before": found.before.verdict.value, "now": scanned.inspection.verdict.value},
            "new": [finding.to_json() for finding in found.new],
            "gone": [finding.to_json() for finding in found.gone],
            "read_bytes": scanned.read_bytes,
            "entered": found.entered,
        }
        output.document(record)
        return
    before, now = found.before.verdict.value, scanned.inspection.verdict.value
    change = now if before == now else f"{before} -> {now}"
    output.line(f"{row.model_name}@{row.revision}: {change}")
    for sign, findings in (("+", found.new), ("-", found.gone)):
        for finding in findings:
            output.line(f"  {sign} {finding.severity.label}\t{finding.rule}\t{finding.path}\t{finding.message}")
    output.say(
        f"  rules {found.before.rules_version} -> {scanned.inspection.rules_version}; {size(scanned.read_bytes)} read"
    )
