"""`weighbridge scan` and `weighbridge rules`: what is in it, before it comes in."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output, duration, size
from weighbridge.cli.options import cancellable, common
from weighbridge.cli.settings import Home
from weighbridge.core.errors import InspectError
from weighbridge.core.finding import Inspection, Severity, Verdict

if TYPE_CHECKING:
    from weighbridge.transfer.scan import Scanned


@click.command(
    "scan",
    epilog="\b\nExamples:\n  weighbridge scan hf://org/name           by ranged reads, without downloading\n"
    "  weighbridge scan ./model.pt --json\n  weighbridge scan s3://bucket/prefix --fail-on high",
)
@click.argument("source")
@click.option("--include", multiple=True, metavar="PATTERN", help="Only files that match (may be repeated).")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="No files that match (may be repeated).")
@click.option("--hub", default=None, metavar="URL", help="The Hub's endpoint, instead of HF_ENDPOINT.")
@click.option("--allow-pull-requests", is_flag=True, default=None, help="Accept refs/pr/*, which anyone may open.")
@click.option(
    "--fail-on",
    type=click.Choice(["low", "medium", "high", "critical"]),
    default="low",
    help="Exit 11 to 14 when findings are at least this severe (default: low).",
)
@common
def scan_command(
    home: Home,
    output: Output,
    /,
    *,
    source: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    hub: str | None,
    allow_pull_requests: bool | None,
    fail_on: str,
) -> int:
    """Inspect a model where it lies: hf://org/name[@ref], s3://bucket/prefix, a folder or a file. Nothing is stored.

    Exits 0 only when every inspector answered `clean` with full coverage; 4 when one could not answer; 11 to 14 by the
    highest severity found.
    """
    from weighbridge.cli.progress import watching
    from weighbridge.cli.yard import OpenYard
    from weighbridge.core.names import Address
    from weighbridge.source.opening import open_source
    from weighbridge.transfer.scan import scan

    address = Address.parse(source)
    if address.scheme == "folder" and Path(address.location).is_file():
        path = Path(address.location)
        address, include = Address.parse(str(path.parent)), (_literal(path.name),)
    flags = {"hub.endpoint": hub, "hub.allow_pull_requests": allow_pull_requests}
    started = time.monotonic()
    with OpenYard(home, output, flags) as yard:
        origin = open_source(address, yard.config, yard.http)
        quiet = Output(quiet=output.quiet or output.as_json, colour=output.colour)
        with cancellable(output) as cancelled, watching(quiet, "inspecting") as observer:
            found = scan(origin, yard.config.transfer, observer, cancelled, include=include, exclude=exclude)
    _show(output, found, time.monotonic() - started)
    return _exit_code(found.inspection, Severity[fail_on.upper()])


def _literal(name: str) -> str:
    """A pattern that matches this name and no other."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def _exit_code(inspection: Inspection, fail_on: Severity) -> int:
    highest = inspection.highest_severity
    if highest is not None and highest >= fail_on:
        return int(highest)
    return InspectError.exit_code if inspection.verdict is Verdict.UNKNOWN else 0


def _show(output: Output, found: Scanned, seconds: float) -> None:
    inspection, snapshot = found.inspection, found.snapshot
    if output.as_json:
        output.document(
            {
                "source": str(snapshot.source),
                "revision": snapshot.revision,
                "verdict": inspection.verdict.value,
                "rules_version": inspection.rules_version,
                "files": len(snapshot.entries),
                "total_bytes": snapshot.total_bytes,
                "read_bytes": found.read_bytes,
                "coverage": {
                    name: {"inspected_bytes": part.inspected_bytes, "present_bytes": part.present_bytes}
                    for name, part in sorted(inspection.coverage().items())
                },
                "findings": [finding.to_json() for finding in inspection.findings],
                "milliseconds": round(seconds * 1000),
            }
        )
        return
    output.line(f"{snapshot.source}: {inspection.verdict.value}")
    if inspection.findings:
        output.table(
            ("severity", "rule", "file", "what", "what to do"),
            [(f.severity.label, f.rule, f.path, f.message, f.remedy) for f in inspection.findings],
        )
    for name, part in sorted(inspection.coverage().items()):
        output.say(f"  {name}: {size(part.inspected_bytes)} of {size(part.present_bytes)} understood")
    unread = sorted({report.path for report in inspection.reports if report.verdict is Verdict.UNKNOWN})
    if unread:
        some = ", ".join(unread[:5]) + (f" and {len(unread) - 5} more" if len(unread) > 5 else "")
        output.say(f"  not understood yet: {some}")
    output.say(
        f"  {len(snapshot.entries)} files, {size(snapshot.total_bytes)}; "
        f"{size(found.read_bytes)} read in {duration(seconds)}"
    )


@click.command("rules", epilog="\b\nExamples:\n  weighbridge rules\n  weighbridge rules pickle-dangerous-callable")
@click.argument("rule", required=False, default="")
@common
def rules_command(_home: Home, output: Output, /, *, rule: str) -> int:
    """List every rule, or explain one: what it means and what to do."""
    from weighbridge.inspectors.registry import RULES

    if rule and rule not in RULES:
        raise click.UsageError(f"there is no rule '{rule}'; `weighbridge rules` lists them")
    chosen = [RULES[rule]] if rule else list(RULES.values())
    if output.as_json:
        output.document(
            [
                {
                    "id": one.id,
                    "title": one.title,
                    "severity": one.severity.label,
                    "inspector": one.inspector,
                    "explanation": one.explanation,
                    "remedy": one.remedy,
                }
                for one in chosen
            ]
        )
    elif rule:
        output.line(f"{chosen[0].id} ({chosen[0].severity.label}, {chosen[0].inspector}): {chosen[0].title}")
        output.line(f"  {chosen[0].explanation}")
        output.line(f"  {chosen[0].remedy}")
    else:
        output.table(
            ("rule", "severity", "inspector", "what"),
            [(one.id, one.severity.label, one.inspector, one.title) for one in chosen],
        )
    return 0
