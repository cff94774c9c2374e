"""`weighbridge diff`: what changed between two revisions, by meaning, the gravest first."""

from __future__ import annotations

import sys
from collections.abc import Iterator
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
    from weighbridge.drift.change import Change, Difference
    from weighbridge.transfer.comparing import Opened

FORMATS = ("table", "json", "markdown")
MIB = 1024 * 1024
RENDERING = "weighbridge.cli.commands.diff:render_confined"


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
    from weighbridge.cli.looking import Looking
    from weighbridge.drift.compare import Options
    from weighbridge.drift.rendering import Rendering
    from weighbridge.drift.sampling import Budget
    from weighbridge.transfer.comparing import compare_opened

    old, new = (_open(yard, name, cancelled) for name in names)
    options = Options(Budget(sample_bytes), Rendering(RENDERING))
    with Looking(yard, cancelled) as looking:
        return compare_opened(old, new, looking.inspect, options).difference


def _open(yard: OpenYard, text: str, cancelled: threading.Event) -> Opened:
    from weighbridge.source.opening import open_source
    from weighbridge.transfer.comparing import open_stored, open_upstream
    from weighbridge.vault.inspections import latest_inspection

    address = Address.parse(text)
    stored = address.scheme == "folder" and not Path(address.location).exists() and yard.has_ledger
    if stored and not text.startswith((".", "/", "~")):
        row = yard.resolve(text)
        store = yard.store(row.store)
        revision = yard.open_sealed(row)
        return open_stored(store, revision, latest_inspection(store, revision, yard.ledger()))
    name = None if address.scheme == "hf" else ModelName("local", "compared")
    source = open_source(address, yard.config, yard.http, as_name=name)
    return open_upstream(source, yard.config.transfer, cancelled, yard.output.say)


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
