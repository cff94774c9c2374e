"""`weighbridge diff`: what changed between two revisions, by meaning, the gravest first."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import STYLES, Output, printable, size
from weighbridge.cli.options import cancellable, common, fail_on_option, severity_code
from weighbridge.cli.settings import Home
from weighbridge.core.errors import InspectError
from weighbridge.core.names import Address, ModelName

if TYPE_CHECKING:
    import threading

    from weighbridge.cli.yard import OpenYard
    from weighbridge.core.config import TransferSettings
    from weighbridge.core.ports import Source
    from weighbridge.core.snapshot import Entry, Snapshot
    from weighbridge.drift.change import Change, Difference
    from weighbridge.drift.side import Side

FORMATS = ("table", "json", "markdown")
MIB = 1024 * 1024
RENDERING = "weighbridge.cli.commands.diff:render_confined"


@dataclass(frozen=True, slots=True)
class _Opened:
    """One side, and what it is inspected from where it is not sealed."""

    side: Side
    source: Source | None = None
    snapshot: Snapshot | None = None
    selection: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


@dataclass(frozen=True, slots=True)
class UpstreamReader:
    """An artifact at its source as a `core.ports.RangeReader`: exactly what is asked for, through cuts."""

    source: Source
    settings: TransferSettings
    stop: threading.Event
    entry: Entry

    @property
    def path(self) -> str:
        """The artifact's path."""
        return self.entry.path

    @property
    def size_bytes(self) -> int:
        """The artifact's announced size."""
        return self.entry.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Bytes `offset` to `offset + length`, fewer at the end.

        Raises:
            SourceError, IntegrityError: they cannot be read.
        """
        from weighbridge.transfer.fetch import fetch
        from weighbridge.vault.patience import Patience

        buffer = bytearray(max(0, min(length, self.size_bytes - offset)))
        patience = Patience(self.settings, self.stop, lambda _reason, _seconds: None)
        fetch(self, self.entry, offset, memoryview(buffer), lambda _view: None, patience, self.stop)
        return bytes(buffer)


@click.command(
    "diff",
    epilog="\b\nExamples:\n  weighbridge diff org/name@1a2b3c org/name@4d5e6f   two revisions in the store\n"
    "  weighbridge diff org/name hf://org/name            what is upstream now, before it comes in\n"
    "  weighbridge diff org/name ./folder --fail-on high\n"
    "  weighbridge diff org/name@production org/name@staging --format markdown --output diff.md",
)
@click.argument("before", metavar="BEFORE")
@click.argument("after", metavar="AFTER")
@click.option("--hub", default=None, metavar="URL", help="The Hub's endpoint, instead of HF_ENDPOINT.")
@click.option("--allow-pull-requests", is_flag=True, default=None, help="Accept refs/pr/*, which anyone may open.")
@click.option("--format", "chosen", type=click.Choice(FORMATS), default=None, help="How to report.")
@click.option("--output", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the report to a file.")
@click.option(
    "--samples",
    type=click.IntRange(0, 4096),
    default=8,
    metavar="MIB",
    help="How much of the weights' values is read, both sides together (default: 8).",
)
@fail_on_option("never")
@common
def diff_command(
    home: Home,
    output: Output,
    /,
    *,
    before: str,
    after: str,
    hub: str | None,
    allow_pull_requests: bool | None,
    chosen: str | None,
    file: Path | None,
    samples: int,
    fail_on: str,
) -> int:
    """Compare two revisions by meaning: code, chat templates, tokenizer, configuration, weights, card, publisher, files.

    Each side is org/name[@revision] in the store, hf://org/name[@ref], s3://bucket/prefix or a folder. Of weights only
    headers and samples are read. Exits 0; with --fail-on 11 to 14 by the gravest change, 4 when something could not be
    compared.
    """
    from weighbridge.cli.yard import OpenYard

    flags = {"hub.endpoint": hub, "hub.allow_pull_requests": allow_pull_requests}
    with OpenYard(home, output, flags) as yard, cancellable(output) as cancelled:
        difference = _compare(yard, (before, after), samples * MIB, cancelled)
    _write(output, difference, chosen or ("json" if output.as_json else "table"), file)
    unanswered = not difference.complete and fail_on != "never"
    return severity_code(difference.highest, fail_on) or (InspectError.exit_code if unanswered else 0)


def render_confined() -> None:
    """What the process that renders chat templates runs: confined like an inspector, then `drift.rendering.serve`."""
    from weighbridge.drift.rendering import MEMORY_BYTES, OUTPUT_BYTES, serve
    from weighbridge.sandbox.limits import confine

    confine(MEMORY_BYTES, written_bytes=OUTPUT_BYTES)
    serve(sys.stdin.buffer, sys.stdout.buffer)


# --- the two sides -------------------------------------------------------------------------------


def _compare(yard: OpenYard, names: tuple[str, str], sample_bytes: int, cancelled: threading.Event) -> Difference:
    from weighbridge.drift.compare import Options, compare
    from weighbridge.drift.files import pair
    from weighbridge.drift.rendering import Rendering
    from weighbridge.drift.sampling import Budget

    old, new = (_open(yard, name, cancelled) for name in names)
    old, new = _alike(old, new)
    pairing = pair(old.side, new.side)
    sides = _inspected(yard, (old, {*pairing.differing, *pairing.removed}), (new, {*pairing.touched}), cancelled)
    options = Options(Budget(sample_bytes), Rendering(RENDERING))
    return compare(*sides, options, pairing=pairing)


def _open(yard: OpenYard, text: str, cancelled: threading.Event) -> _Opened:
    from weighbridge.source.opening import open_source

    address = Address.parse(text)
    stored = address.scheme == "folder" and not Path(address.location).exists() and yard.has_ledger
    if stored and not text.startswith((".", "/", "~")):
        return _sealed(yard, text)
    name = None if address.scheme == "hf" else ModelName("local", "compared")
    return _upstream(yard, open_source(address, yard.config, yard.http, as_name=name), cancelled)


def _sealed(yard: OpenYard, text: str) -> _Opened:
    from weighbridge.drift.side import Side
    from weighbridge.vault.inspections import latest_inspection
    from weighbridge.vault.readers import StoredReader

    row = yard.resolve(text)
    store = yard.store(row.store)
    revision = yard.open_sealed(row)
    inspection = latest_inspection(store, revision, yard.ledger())
    manifest = revision.manifest
    side = Side.of_manifest(
        manifest, lambda path: StoredReader(store, revision.placed[path], path), inspection=inspection
    )
    return _Opened(side, selection=(manifest.include, manifest.exclude))


def _upstream(yard: OpenYard, source: Source, cancelled: threading.Event) -> _Opened:
    from weighbridge.drift.side import Side
    from weighbridge.vault.patience import Patience

    settings = yard.config.transfer
    snapshot = Patience(settings, cancelled, lambda reason, _seconds: yard.output.say(reason)).call(source.pin)
    entries = {entry.path: entry for entry in snapshot.entries}
    source_name = str(snapshot.source)
    name = f"{source_name.partition('@')[0]}@{snapshot.revision}" if snapshot.revision else source_name
    side = Side.of_snapshot(
        name,
        snapshot,
        lambda path: UpstreamReader(source, settings, cancelled, entries[path]),
    )
    return _Opened(side, source, snapshot)


def _alike(old: _Opened, new: _Opened) -> tuple[_Opened, _Opened]:
    """Where one side was brought in by a selection, the same is chosen from the other's source."""

    def chosen(one: _Opened, other: _Opened) -> _Opened:
        if one.snapshot is None or not any(other.selection):
            return one
        selected = one.snapshot.select(*other.selection)
        files = {entry.path: entry for entry in selected.entries}
        return replace(one, snapshot=selected, side=replace(one.side, files=files))

    return chosen(old, new), chosen(new, old)


def _inspected(
    yard: OpenYard, old: tuple[_Opened, set[str]], new: tuple[_Opened, set[str]], cancelled: threading.Event
) -> tuple[Side, Side]:
    """Both sides with their inspections: the sealed ones, or made now of the files that changed."""
    from weighbridge.core.finding import Inspection

    if not any(opened.source is not None and paths for opened, paths in (old, new)):
        nothing = Inspection((), "")
        sides = [replace(one.side, inspection=one.side.inspection or nothing) for one, _ in (old, new)]
        return sides[0], sides[1]
    from weighbridge.cli.progress import watching
    from weighbridge.transfer.inspecting import Inspecting
    from weighbridge.transfer.scan import Scanner

    output = yard.output
    quiet = Output(quiet=output.quiet or output.as_json, colour=output.colour)
    with Inspecting(yard.config.inspection) as inspecting:
        inspecting.start()

        def inspected(opened: _Opened, paths: set[str]) -> Side:
            if opened.source is None or opened.snapshot is None:
                return opened.side
            entries = tuple(entry for entry in opened.snapshot.entries if entry.path in paths)
            with watching(quiet, "inspecting") as observer:
                scanner = Scanner(yard.config.transfer, inspecting, observer, cancelled)
                found = scanner.inspect(opened.source, opened.snapshot, replace(opened.snapshot, entries=entries))
            return replace(opened.side, inspection=found.inspection)

        return inspected(*old), inspected(*new)


# --- the report ----------------------------------------------------------------------------------


def _write(output: Output, difference: Difference, chosen: str, file: Path | None) -> None:
    if chosen == "json" and file is None:
        output.document(difference.to_json())
        return
    if chosen == "table" and file is None:
        _show(output, difference)
        return
    text = "\n".join(_markdown(difference) if chosen == "markdown" else _plain(difference)) + "\n"
    if chosen == "json":
        import json

        text = json.dumps(difference.to_json(), ensure_ascii=False) + "\n"
    output.deliver(text, file)


def _heading(difference: Difference) -> str:
    return f"{difference.before} -> {difference.after}: {difference.summary}"


def _values(change: Change) -> str:
    return f"{change.before or '(none)'} -> {change.after or '(none)'}" if change.before or change.after else ""


def _plain(difference: Difference) -> Iterator[str]:
    """One line of the summary, then one line with tabs for each change."""
    yield printable(_heading(difference))
    for change in difference.changes:
        cells = (change.label, change.area.value, change.path, change.location, change.what, _values(change))
        yield "\t".join(printable(cell).replace("\t", " ").replace("\n", " ") for cell in cells)


def _show(output: Output, difference: Difference) -> None:
    if not output.rich:
        for line in _plain(difference):
            output.line(line)
    else:
        from rich.text import Text

        output.show(Text(printable(_heading(difference)), style="bold"))
        for change in difference.changes:
            _show_change(output, change)
    output.say(f"  {len(difference.changes)} changes; {size(difference.read_bytes)} read in {difference.reads} reads")


def _show_change(output: Output, change: Change) -> None:
    from rich.padding import Padding
    from rich.text import Text

    where = f"{change.path} {change.location}".strip()
    head = Text.assemble(
        "\n",
        (f"{change.label:8} ", STYLES.get(change.label, "dim")),
        (f"{change.area.value:10}", "dim"),
        (printable(where), "cyan"),
        f"  {printable(change.what)}",
    )
    output.show(head)
    if values := _values(change):
        output.show(Padding(Text(printable(values)), (0, 0, 0, 9)))
    for line in change.detail.splitlines():
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")
        output.show(Padding(Text(printable(line), style), (0, 0, 0, 9)))


def _markdown(difference: Difference) -> Iterator[str]:
    from weighbridge.reports.markdown import code

    yield f"# {code(difference.before)} to {code(difference.after)}"
    yield ""
    # The summary holds names from the models: it is shown where Markdown cannot act.
    yield f"**{difference.highest.label if difference.highest else 'none'}**: {code(difference.summary)}"
    yield ""
    yield "| risk | area | file | what | before | after |"
    yield "|---|---|---|---|---|---|"
    for change in difference.changes:
        where = f"{change.path} {change.location}".strip()
        cells = (code(where), code(change.what), code(change.before), code(change.after))
        yield f"| {change.label} | {change.area.value} | {' | '.join(cells)} |"
    for change in difference.changes:
        if change.detail:
            yield ""
            yield f"## {change.label}: {code(f'{change.path} {change.location}'.strip())}"
            yield ""
            yield from (f"    {printable(line)}" for line in change.detail.splitlines())
