"""`weighbridge scan`: what is in it, before it comes in, or where it already is."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge import __version__
from weighbridge.cli import reporting
from weighbridge.cli.accepting import Accepting
from weighbridge.cli.console import Output
from weighbridge.cli.options import (
    cancellable,
    common,
    content_options,
    content_settings,
    fail_on_option,
    severity_code,
)
from weighbridge.cli.settings import Home
from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import InspectError
from weighbridge.core.names import Address, ModelName

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.core.ports import Source
    from weighbridge.reports.document import ScanDocument
    from weighbridge.transfer.scan import Scanner


MAX_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class _Selection:
    include: tuple[str, ...]
    exclude: tuple[str, ...]


@click.command(
    "scan",
    epilog="\b\nExamples:\n  weighbridge scan hf://org/name              by ranged reads, without downloading\n"
    "  weighbridge scan ./model.pt s3://bucket/prefix --fail-on high\n"
    "  weighbridge scan org/name@main              what is in the store, by today's rules\n"
    "  weighbridge scan hf://org/name --format sarif --output scan.sarif\n"
    '  weighbridge scan ./model --write-baseline accepted.json --reason "read by Ada" --expires 2027-06-30\n'
    "  weighbridge scan ./model --baseline accepted.json\n"
    "  weighbridge scan --explain pickle-dangerous-callable",
)
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@click.option("--include", multiple=True, metavar="PATTERN", help="Only files that match (may be repeated).")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="No files that match (may be repeated).")
@click.option("--hub", default=None, metavar="URL", help="The Hub's endpoint, instead of HF_ENDPOINT.")
@click.option("--allow-pull-requests", is_flag=True, default=None, help="Accept refs/pr/*, which anyone may open.")
@click.option("--format", "chosen", type=click.Choice(reporting.FORMATS), default=None, help="How to report.")
@click.option("--output", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the report to a file.")
@fail_on_option("low")
@click.option("--baseline", type=click.Path(path_type=Path, dir_okay=False), help="Findings that were accepted.")
@click.option(
    "--write-baseline", type=click.Path(path_type=Path, dir_okay=False), help="Accept what is found now, in this file."
)
@click.option("--reason", default="", metavar="TEXT", help="Why, with --write-baseline.")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), help="Until when, with --write-baseline (90 days).")
@content_options
@click.option("--explain", metavar="RULE", help="Explain a rule instead: what it means, and what to do.")
@common
def scan_command(
    home: Home,
    output: Output,
    /,
    *,
    sources: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    hub: str | None,
    allow_pull_requests: bool | None,
    chosen: str | None,
    file: Path | None,
    fail_on: str,
    explain: str | None,
    deep: bool | None,
    without: tuple[str, ...],
    **baseline: object,
) -> int:
    """Inspect models where they lie: hf://org/name[@ref], s3://bucket/prefix, a folder, a file, or org/name[@revision]
    in the store. Nothing is stored.

    Exits 0 only when every inspector answered `clean` with full coverage and nothing was found; 4 when one could not
    answer; 11 to 14 by the highest severity found. What a baseline accepts does not count.
    """
    if explain:
        from weighbridge.cli.commands.rules import explain as explain_rule

        return explain_rule(output, explain)
    if not sources:
        raise click.UsageError("name at least one source, or a rule with --explain")
    if chosen == "html" and len(sources) > 1:
        raise click.UsageError("an HTML report is about one source; scan one at a time")
    accepting = Accepting.from_options(baseline)
    documents = _scan_all(
        home,
        output,
        sources,
        _Selection(include, exclude),
        {
            "hub.endpoint": hub,
            "hub.allow_pull_requests": allow_pull_requests,
            **content_settings(deep, without),
        },
        accepting,
    )
    accepting.save(output)
    reporting.write(output, documents, chosen or ("json" if output.as_json else "table"), file)
    return max(_exit_code(document, fail_on) for document in documents)


def _scan_all(
    home: Home,
    output: Output,
    sources: tuple[str, ...],
    selection: _Selection,
    flags: dict[str, object],
    accepting: Accepting,
) -> list[ScanDocument]:
    from weighbridge.cli.progress import watching
    from weighbridge.cli.yard import OpenYard
    from weighbridge.transfer.inspecting import Inspecting
    from weighbridge.transfer.scan import Scanner

    documents = []
    with OpenYard(home, output, flags) as yard, Inspecting(yard.config.inspection) as inspecting:
        places = [Path(Address.parse(source).location) for source in sources]
        alone = len(places) == 1 and os.path.isfile(places[0])  # noqa: PTH113 - answers where `Path` raises
        inspecting.start(1 if alone else None, suffixes=_suffixes(places))
        quiet = Output(quiet=output.quiet or output.as_json, colour=output.colour)
        for source in sources:
            origin = _open(yard, source)
            with cancellable(output) as cancelled, watching(quiet, "inspecting") as observer:
                scanner = Scanner(yard.config.transfer, inspecting, observer, cancelled)
                documents.append(_scan(scanner, origin, selection, accepting))
    return documents


def _suffixes(places: list[Path]) -> set[str]:
    """Endings of names in folders that are there: of a few, for no more than a guess."""
    found: set[str] = set()
    for place in places:
        with contextlib.suppress(OSError), os.scandir(place) as items:
            found |= {Path(item.name).suffix.lower() for item in itertools.islice(items, MAX_LOOKED_AT)}
    return found


def _open(yard: OpenYard, source: str) -> Source:
    """The source that a word names: an address, a file, a folder, or a revision in the store."""
    address = Address.parse(source)
    missing = address.scheme == "folder" and not os.path.lexists(address.location)
    if missing and yard.has_ledger and _may_be_reference(source):
        return yard.stored_source(source)
    # Nothing is stored, so a folder may have a name that no model can have.
    name = None if address.scheme == "hf" else ModelName("local", "scanned")
    if address.scheme == "folder":
        # What speaks to networks takes longer to import than most files take to scan.
        from weighbridge.source.folder import FolderSource

        return FolderSource(address, as_name=name, compiled=True)
    from weighbridge.source.opening import open_source

    return open_source(address, yard.config, yard.http, as_name=name)


def _may_be_reference(text: str) -> bool:
    return not text.startswith((".", "/", "~")) and text.partition("@")[0].count("/") == 1


def _scan(scanner: Scanner, source: Source, selection: _Selection, accepting: Accepting) -> ScanDocument:
    from weighbridge.reports.document import ScanDocument

    started = time.monotonic()
    found = scanner.scan(source, include=selection.include, exclude=selection.exclude)
    entries = {entry.path: entry for entry in found.snapshot.entries}
    accepted = accepting.judge(found, lambda path: scanner.digest(source, entries[path]))
    return ScanDocument(
        source=str(found.snapshot.source),
        revision=found.snapshot.revision,
        inspection=found.inspection,
        files=len(entries),
        total_bytes=found.snapshot.total_bytes,
        read_bytes=found.read_bytes,
        milliseconds=round((time.monotonic() - started) * 1000),
        version=__version__,
        accepted=accepted,
    )


def _exit_code(document: ScanDocument, fail_on: str) -> int:
    unanswered = not document.answered and fail_on != "never"
    return severity_code(document.highest_severity, fail_on) or (InspectError.exit_code if unanswered else 0)
