"""Where words go: data to stdout, talk to stderr; colour and tables for people, plain text and JSON for pipes."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from weighbridge.core.canonical import JsonValue
from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import ConfigError, WeighbridgeError

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.console import RenderableType
    from rich.table import Table as RichTable


@dataclass(frozen=True, slots=True)
class Output:
    """How one command speaks."""

    as_json: bool = False
    quiet: bool = False
    colour: bool = True

    @property
    def rich(self) -> bool:
        """Whether a person is looking at stdout."""
        return not self.as_json and sys.stdout.isatty()

    @property
    def rich_talk(self) -> bool:
        """Whether a person is looking at stderr and wants to be told."""
        return not self.quiet and not self.as_json and sys.stderr.isatty()

    def document(self, value: JsonValue) -> None:
        """One JSON document, or one JSON line of many."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def line(self, text: str) -> None:
        """One line of data."""
        sys.stdout.write(printable(text) + "\n")

    def say(self, text: str) -> None:
        """One line of talk; where nobody can hear it, the work goes on."""
        if not self.quiet:
            try:
                sys.stderr.write(printable(text) + "\n")
                sys.stderr.flush()
            except OSError:
                let_go(sys.stderr)

    def show(self, renderable: RenderableType) -> None:
        """A table or panel for a person."""
        self.console().print(renderable)

    def console(self, *, talk: bool = False) -> RichConsole:
        """A console on stdout, or on stderr for talk."""
        from rich.console import Console

        return Console(stderr=talk, no_color=not self.colour, highlight=False, soft_wrap=False)

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        right: Sequence[str] = (),
        spare: Sequence[str] = (),
    ) -> None:
        """A table for people; tab-separated lines in a pipe, without a heading.

        Args:
            columns: the headings.
            rows: as many cells each.
            right: the columns of numbers.
            spare: columns that a narrow terminal goes without, the first one first; a pipe gets all of them.
        """
        if not self.rich:
            for row in rows:
                self.line("\t".join(cell.replace("\t", " ") for cell in row))
            return
        console = self.console()
        cells = [[printable(cell) for cell in row] for row in rows]
        shown = list(columns)
        table = _table(columns, cells, shown, right)
        for name in spare:
            if console.measure(table, options=console.options.update(width=10_000)).maximum <= console.width:
                break
            shown.remove(name)
            table = _table(columns, cells, shown, right)
        console.print(table)

    def deliver(self, text: str, file: Path | None) -> None:
        """Writes a document to stdout, or to a file that appears whole.

        Raises:
            ConfigError: the file cannot be written.
        """
        if file is None:
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        write_whole(file, text.encode("utf-8"))
        self.say(f"wrote {file}")

    def error(self, error: WeighbridgeError) -> None:
        """What went wrong and what to do next."""
        if self.as_json:
            self.document(
                {
                    "event": "error",
                    "error": type(error).__name__,
                    "message": error.message,
                    "hint": error.hint,
                    "exit_code": error.exit_code,
                }
            )
        if sys.stderr.isatty() and self.colour:
            console = self.console(talk=True)
            from rich.text import Text

            console.print(Text("error: ", style="bold red") + Text(printable(error.message)))
            if error.hint:
                console.print(Text("  " + printable(error.hint), style="dim"))
            return
        sys.stderr.write(f"error: {printable(error.message)}\n")
        if error.hint:
            sys.stderr.write(f"  {printable(error.hint)}\n")


def _table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], shown: Sequence[str], right: Sequence[str]
) -> RichTable:
    """A table of some of the columns; a heading is never broken."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in shown:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold", min_width=len(name))
    for row in rows:
        kept = (cell for name, cell in zip(columns, row, strict=True) if name in shown)
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in kept))
    return table


def let_go(stream: TextIO) -> None:
    """Sends nowhere what the stream, on which writing failed, still holds: else Python fails again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def write_whole(file: Path, data: bytes) -> None:
    """Writes a file that appears whole, or not at all; a device or a pipe (`/dev/stdout`) is written to as it is.

    Raises:
        ConfigError: it cannot be written.
    """
    from weighbridge.wire.files import replace_file

    try:
        if file.exists() and not (file.is_file() or file.is_dir()):
            # In its place a file would be left, for everybody.
            with file.open("wb") as device:
                device.write(data)
            return
        replace_file(file, data, flush=False)
    except OSError as error:
        raise ConfigError(f"'{file}' cannot be written: {error.strerror}") from error


STYLES = {
    "clean": "green",
    "unknown": "yellow",
    "bad": "bold red",
    "critical": "bold red",
    "high": "red",
    "medium": "yellow",
    "low": "cyan",
    "admit": "green",
    "hold": "yellow",
    "deny": "bold red",
    "ok": "green",
    "failed": "bold red",
}


def printable(text: str) -> str:
    """Text without control and formatting characters, which a file name could use to lie on a terminal."""
    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co")
        else f"\\u{ord(character):04x}"
        for character in text
    )


def size(count_bytes: float) -> str:
    """Bytes in decimal units, as disks and the Hub count them."""
    value = float(count_bytes)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(value) < 1000 or unit == "TB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def duration(seconds: float) -> str:
    """A length of time for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
