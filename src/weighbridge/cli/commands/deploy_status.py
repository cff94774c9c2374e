"""`weighbridge deploy status`: deployments on record, whether each may still run, and what the platform says of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from weighbridge.cli.commands.deploy import CONTEXT, PLACE, TARGETS, found_of, platform_for
from weighbridge.cli.console import Output
from weighbridge.cli.deploying import standing_now
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import TrustError

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.deploy.deployments import Deployment
    from weighbridge.deploy.platforms import Part


@click.command(
    "status",
    epilog="\b\nExamples:\n  weighbridge deploy status            all deployments on record\n"
    "  weighbridge deploy status r1         and what the platform says of one\n"
    "\b\nExit codes: 0 all may run · 7 one runs a revision that is revoked, not approved or not proven ·\n"
    "1 a part of the named one is not ready",
)
@click.argument("name", required=False, default="")
@click.option("--target", type=click.Choice(TARGETS), default=None, help="Only deployments of this target.")
@PLACE
@CONTEXT
@common
def status_command(home: Home, output: Output, /, *, name: str, target: str | None, place: str, context: str) -> int:
    """List deployments on record, and whether each still runs an approved, unrevoked revision."""
    from weighbridge.cli.yard import OpenYard
    from weighbridge.deploy.deployments import deployments

    with OpenYard(home, output) as yard:
        if name:
            found = [found_of(yard, name, target, place)]
        else:
            ledger = yard.ledger() if yard.has_ledger else None
            if ledger is not None:
                ledger.verify(yard.trusted)
            every = deployments(ledger) if ledger is not None else {}
            found = [one for key, one in sorted(every.items()) if target in (None, key[0]) and place in ("", key[1])]
        rows = [_row(yard, one) for one in found]
        parts = _parts(yard, found[0], context) if name else ()
    if output.as_json:
        listed: list[JsonValue] = [
            {"kind": one.kind, "name": one.name, "state": one.state, "ready": one.ready} for one in parts
        ]
        output.document({"deployments": rows, **({"parts": listed} if name else {})})
    else:
        _show_status(output, rows, parts)
        if name and found[0].running is None and not found[0].deleted:
            output.say(
                "  the platform was not asked: no apply of it has ended. One that was stopped is taken up by the same command"
            )
    if any(not row["may_run"] for row in rows):
        return TrustError.exit_code
    return int(any(part.ready is False for part in parts))


def _row(yard: OpenYard, one: Deployment) -> dict[str, JsonValue]:
    shown = one.running or one.newest
    standing, why = standing_now(yard, shown)
    return {
        "target": shown.target.value,
        "place": shown.place,
        "name": shown.name,
        "state": one.state,
        "model": str(shown.model_name),
        "channel": shown.channel,
        "revision": shown.revision,
        "standing": standing.value,
        "why": why,
        "may_run": standing.may_run or one.deleted,
        "by": shown.actor,
        "at": shown.at,
        "reason": shown.reason,
        "accepted": list(shown.accepted),
    }


def _parts(yard: OpenYard, one: Deployment, context: str) -> tuple[Part, ...]:
    """What the platform says; nothing of a deployment that was only rendered, or deleted."""
    running = one.running
    return platform_for(yard, running, context).status(running) if running else ()


def _show_status(output: Output, rows: list[dict[str, JsonValue]], parts: tuple[Part, ...]) -> None:
    if not rows:
        output.say("no deployment is on record")
        return

    def text(row: Mapping[str, JsonValue], *keys: str) -> str:
        return "/".join(str(row[key]) for key in keys if row[key])

    columns = ("deployment", "state", "model", "standing", "since", "by")
    output.table(
        columns,
        [
            (
                text(row, "target", "place", "name"),
                text(row, "state"),
                f"{row['model']}@{row['revision']}",
                text(row, "standing"),
                text(row, "at"),
                text(row, "by"),
            )
            for row in rows
        ],
    )
    for row in rows:
        if row["why"] and row["state"] != "deleted":
            output.say(f"{row['name']}: {row['why']}")
    if parts:
        output.table(("kind", "part", "state"), [(part.kind, part.name, part.state) for part in parts])
