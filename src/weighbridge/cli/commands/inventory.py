"""`weighbridge inventory`: which models lie on a disk or in a bucket, and which of them are known."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from weighbridge.cli.console import Output, printable, size
from weighbridge.cli.options import cancellable, common
from weighbridge.cli.settings import Home
from weighbridge.core.errors import ConfigError, InspectError
from weighbridge.core.finding import Severity
from weighbridge.core.names import Address

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.inventory.places import Place
    from weighbridge.inventory.report import Inventory, Line

FORMATS: Final = ("table", "json", "markdown", "html")
FAIL_ON: Final = ("unknown", "related", "copy", "never")


@click.command(
    "inventory",
    epilog="\b\nExamples:\n  weighbridge inventory ~/.cache/huggingface\n"
    "  weighbridge inventory /srv/models --fail-on unknown\n"
    "  weighbridge inventory s3://bucket/prefix --format html --output inventory.html\n"
    "  weighbridge inventory /srv/models --hash --json",
)
@click.argument("place", metavar="DIR|s3://…|gs://…|az://…")
@click.option("--hash", "deep", is_flag=True, help="Read every byte of what looks like a sealed revision.")
@click.option("--format", "chosen", type=click.Choice(FORMATS), default=None, help="How to report.")
@click.option("--output", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the report to a file.")
@click.option(
    "--fail-on",
    type=click.Choice(FAIL_ON),
    default="never",
    show_default=True,
    help="Exit 12 when a model is so little known; 4 when something could not be looked at.",
)
@common
def inventory_command(
    home: Home,
    output: Output,
    /,
    *,
    place: str,
    deep: bool,
    chosen: str | None,
    file: Path | None,
    fail_on: str,
) -> int:
    """Find the models in a folder or a bucket, by content, and say of each whether it is known.

    A model is sealed (its weight files are a sealed revision's), a copy (the same weights under other names, in other
    shards or another type), related (weights made from a sealed revision's), or unknown. Names that it claims are only
    claimed. Nothing is changed, no link is followed out of the folder, and what cannot be read is told.
    """
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard, cancellable(output) as stop:
        found = _take(yard, _open(yard, place), deep, stop)
    _write(output, found, chosen or ("json" if output.as_json else "table"), file)
    return _code(found, fail_on)


def _open(yard: OpenYard, text: str) -> Place:
    from weighbridge.inventory.places import BucketPlace, FolderPlace

    address = Address.parse(text)
    if address.scheme == "hf":
        raise ConfigError("an inventory is of a folder or a bucket", hint="For the Hub: weighbridge fingerprint hf://…")
    if address.scheme == "folder":
        return FolderPlace(address.location)
    return BucketPlace(yard.store(str(address)))


def _take(yard: OpenYard, place: Place, deep: bool, stop: threading.Event) -> Inventory:
    from weighbridge.cli.inventorying import Now, against
    from weighbridge.inventory.places import Trouble
    from weighbridge.inventory.taking import Taking

    known, unusable = against(yard, stop)
    found = Taking(place, known, deep, Now(yard.output), stop).take()
    more = tuple(Trouble("", line) for line in unusable)
    return replace(found, troubles=(*more, *found.troubles), trouble_count=found.trouble_count + len(more))


def _code(found: Inventory, fail_on: str) -> int:
    from weighbridge.inventory.report import Status

    if fail_on == "never":
        return 0
    counted = {"unknown": 1, "related": 2, "copy": 3}[fail_on]
    bad = (Status.UNKNOWN, Status.RELATED, Status.COPY)[:counted]
    if any(found.count(status) for status in bad):
        return int(Severity.MEDIUM)
    return InspectError.exit_code if found.trouble_count else 0


def _write(output: Output, found: Inventory, chosen: str, file: Path | None) -> None:
    from weighbridge.inventory.rendering import as_html, as_markdown

    if chosen == "json":
        output.deliver(json.dumps(found.to_json(), ensure_ascii=False) + "\n", file)
    elif chosen == "markdown":
        output.deliver(as_markdown(found), file)
    elif chosen == "html":
        output.deliver(as_html(found), file)
    elif file is not None:
        output.deliver("".join(f"{line}\n" for line in _plain(found)), file)
    else:
        _show(output, found)


def _plain(found: Inventory) -> list[str]:
    from weighbridge.inventory.report import cells

    return [
        "\t".join(printable(cell).replace("\t", " ").replace("\n", " ") for cell in cells(line)) for line in found.lines
    ]


def _row(line: Line) -> list[str]:
    """A line of the table for people."""
    from weighbridge.inventory.report import cells

    shown = list(cells(line))
    name, _, revision = line.of.partition("@")
    shown[2] = f"{name}@{revision[:12]}" if revision else ""
    return [*shown[:4], size(line.model.size_bytes), *shown[4:]]


def _show(output: Output, found: Inventory) -> None:
    from weighbridge.inventory.rendering import summary
    from weighbridge.inventory.report import HEADINGS, told

    if not output.rich:
        for text in _plain(found):
            output.line(text)
    else:
        columns = (*HEADINGS[:4], "Size", *HEADINGS[4:])
        output.table(columns, [_row(line) for line in found.lines], spare=("Mind", "Claims to be", "Formats", "Size"))
    for line in found.lines:
        for text in (*((line.basis,) if line.basis else ()), *line.about.notes):
            output.say(f"  {told(line.model.place)}: {told(text)}")
    for trouble in found.troubles:
        output.say(told(f"not looked at: {trouble.path + ': ' if trouble.path else ''}{trouble.what}"))
    output.say(summary(found))
