"""`weighbridge audit`: what happened, whether the record of it still holds, and copies of it elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import ConfigError, LedgerError, NothingCollected

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.store.chain import Event
    from weighbridge.store.ledger import Ledger

MAX_LINE_BYTES = 64 * 1024 * 1024
SHOWN = 50


@click.group("audit")
def audit_command() -> None:
    """Read the ledger, prove it, and keep copies of it elsewhere."""


def _ledger(yard: OpenYard) -> Ledger:
    if not yard.has_ledger:
        raise NothingCollected("there is no ledger yet", hint="weighbridge ingest makes one.")
    return yard.ledger()


@audit_command.command(
    "log",
    epilog="\b\nExamples:\n  weighbridge audit log\n  weighbridge audit log org/name --limit 10\n"
    "  weighbridge audit log --kind revision.approved --json",
)
@click.argument("subject", required=False, default="")
@click.option("--kind", "kinds", multiple=True, help="Only events of this kind (may be repeated).")
@click.option("--by", "actor", default="", metavar="NAME", help="Only what this person or login did.")
@click.option("--since", default="", metavar="TIME", help="Only events from this time on, for example 2026-11-01.")
@click.option("--limit", default=SHOWN, show_default=True, help="The last so many events; 0: all.")
@common
def log_command(
    home: Home, output: Output, /, *, subject: str, kinds: tuple[str, ...], actor: str, since: str, limit: int
) -> int:
    """List what happened, oldest first; of one SUBJECT (org/name, org/name@revision, a person) when given."""
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        chosen = (
            event
            for event in _ledger(yard).events(kinds=kinds)
            if _about(event, subject) and actor in ("", event.actor) and event.time >= since
        )
        if output.as_json:
            for event in chosen if not limit else _last(chosen, limit):
                output.document(_record(event))
            return 0
        output.table(
            ("#", "time", "who", "what", "about", ""),
            [
                (
                    str(event.sequence),
                    event.time[:19].replace("T", " "),
                    event.actor,
                    event.kind,
                    _short(event.subject),
                    _summary(event),
                )
                for event in (chosen if not limit else _last(chosen, limit))
            ],
            right=("#",),
        )
        return 0


def _last(events: Iterator[Event], limit: int) -> list[Event]:
    from collections import deque

    return list(deque(events, limit))


def _about(event: Event, subject: str) -> bool:
    return not subject or event.subject == subject or event.subject.startswith((f"{subject}@", f"{subject}:"))


def _short(subject: str) -> str:
    name, at, revision = subject.partition("@")
    return f"{name}@{revision[:12]}" if at and len(revision) == 40 else subject


def _summary(event: Event) -> str:
    """The few words of a payload that a person looks for."""
    payload = event.payload
    for key in ("reason", "channel", "outcome", "verdict", "person"):
        if isinstance(payload.get(key), str):
            return f"{key}: {payload[key]}"
    return ""


def _record(event: Event) -> dict[str, JsonValue]:
    from weighbridge.store.history import encode_event

    record: dict[str, JsonValue] = json.loads(encode_event(event))
    return record


@audit_command.command(
    "verify",
    epilog="\b\nExamples:\n  weighbridge audit verify\n  weighbridge audit verify --copy audit.jsonl\n"
    "  weighbridge audit verify --store s3://audit-locked",
)
@click.option("--copy", "copies", multiple=True, metavar="FILE", help="Hold the ledger against this export as well.")
@click.option("--store", default="", metavar="STORE", help="Hold it against the copies in this store.")
@common
def verify_command(home: Home, output: Output, /, *, copies: tuple[str, ...], store: str) -> int:
    """Prove that no event was altered, removed, inserted or moved, and that a trusted key signed the end.

    An older ledger and its older head, put back together, look whole; a copy kept elsewhere shows it.
    """
    from weighbridge.cli.yard import OpenYard
    from weighbridge.store.history import check_shipped, compare
    from weighbridge.vault.records import read_record

    with OpenYard(home, output) as yard:
        ledger = _ledger(yard)
        state = ledger.verify(yard.trusted)
        compared = [compare(ledger, _lines(Path(name)), yard.trusted, name=name) for name in copies]
        if store:
            opened = yard.store(store)
            compared += check_shipped(ledger, opened, yard.trusted, lambda key: read_record(opened, key))
        if output.as_json:
            output.document(
                {
                    "ledger": "ok",
                    "events": state.events,
                    "digest": state.digest,
                    "head": {"event": state.head_sequence, "signed": state.head_signed},
                    "copies": [
                        {"name": one.name, "first": one.first, "last": one.last, "key_id": one.key_id}
                        for one in compared
                    ],
                }
            )
            return 0
        output.line(f"ledger: ok, {state.events} events, digest {state.digest}")
        if state.unsigned_events:
            output.say(f"  the last {state.unsigned_events} follow the signed head and are not yet vouched for by it")
        for one in compared:
            output.line(f"{one.name}: the same events {one.first} to {one.last}, signed by {one.key_id[:16]}")
        if not compared:
            output.say("  not proved: that nobody put an older state back (hold it against a copy: --copy, --store)")
        return 0


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            while line := stream.readline(MAX_LINE_BYTES):
                if not line.endswith(b"\n"):
                    raise LedgerError(f"'{path}' was cut, or is no copy of a ledger")
                yield line[:-1]
    except OSError as error:
        raise ConfigError(f"'{path}' cannot be read: {error.strerror}") from error


@audit_command.command(
    "export",
    epilog="\b\nExamples:\n  weighbridge audit export --output audit.jsonl\n"
    "  weighbridge audit export --to s3://audit-locked     what is not there yet; run it every hour",
)
@click.option("--output", "target", default="", metavar="FILE", help="Write all events to a new file.")
@click.option("--to", "store", default="", metavar="STORE", help="Add what is missing to a store's audit/ prefix.")
@common
def export_command(home: Home, output: Output, /, *, target: str, store: str) -> int:
    """Copy the ledger out: as JSON lines with a signed end, to stdout, a file, or an (object-locked) store."""
    from weighbridge.cli.yard import OpenYard
    from weighbridge.store.history import copy_lines, ship
    from weighbridge.store.ledger import now_rfc3339

    if target and store:
        raise click.UsageError("--output and --to exclude each other")
    with OpenYard(home, output) as yard:
        ledger = _ledger(yard)
        ledger.verify(yard.trusted)
        if store:
            opened = yard.store(store)
            opened.check()
            keys = ship(ledger, opened, yard.key, now_rfc3339)
            if output.as_json:
                output.document({"store": opened.address, "new": list(keys)})
            else:
                for key in keys:
                    output.line(key)
                output.say(f"{len(keys)} new copies in {opened.address}")
            return 0
        lines = copy_lines(ledger.events(), yard.key, now_rfc3339)
        if not target:
            for line in lines:
                sys.stdout.write(line.decode("utf-8") + "\n")
            return 0
        _write(Path(target), lines)
        output.say(f"wrote {target}")
        return 0


def _write(path: Path, lines: Iterator[bytes]) -> None:
    """A file that appears whole or not at all, and never in place of another."""
    import os

    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as stream:
            for line in lines:
                stream.write(line + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, path)
    except FileExistsError as error:
        raise ConfigError(f"'{path}' exists already", hint="Name a new file.") from error
    except OSError as error:
        raise ConfigError(f"'{path}' cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
