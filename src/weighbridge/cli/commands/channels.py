"""`weighbridge rollback`, `revoke` and `channels`: what channels point to, and the signed index that tells readers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from weighbridge.cli.channeling import channels_of, index_reader
from weighbridge.cli.commands.index_keys import (
    init_index_command,
    publish_root_command,
    root_command,
    rotate_keys_command,
    sign_root_command,
    trust_command,
)
from weighbridge.cli.console import Output
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import NothingCollected, ObjectMissing
from weighbridge.core.names import ModelName, Reference

WARNING_HOURS = 48
ROOT_WARNING_DAYS = 60

if TYPE_CHECKING:
    from weighbridge.admit.channels import Channels
    from weighbridge.admit.index import Index
    from weighbridge.cli.yard import OpenYard

# --- rollback, revoke -----------------------------------------------------------------------------


@click.command(
    "rollback",
    epilog="\b\nExamples:\n  weighbridge rollback org/name --channel production --reason 'answers in Latin'\n"
    "  weighbridge rollback org/name --channel production --to 1a2b3c",
)
@click.argument("model")
@click.option("--channel", required=True, metavar="NAME", help="The channel to move.")
@click.option("--to", default="", metavar="REV", help="A promoted revision (default: the one before).")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the ledger.")
@common
def rollback_command(home: Home, output: Output, /, *, model: str, channel: str, to: str, reason: str) -> int:
    """Point a channel of MODEL back to an earlier promoted revision. No weights are moved."""
    from weighbridge.cli.yard import OpenYard

    name = ModelName.parse(model)
    with OpenYard(home, output) as yard:
        _check_ledger(yard)
        revision = yard.resolve(f"{name}@{to}").revision if to else ""
        moved = channels_of(yard).rollback(name, channel, to=revision, reason=reason)
        if output.as_json:
            output.document(
                {
                    "model": model,
                    "channel": channel,
                    "revision": moved.pointed.revision,
                    "manifest_sha256": moved.pointed.manifest_sha256,
                    "set_at": moved.pointed.set_at,
                    "before": moved.before,
                }
            )
            return 0
        output.line(f"{name}@{channel}\t{moved.pointed.revision}")
        output.say(f"{name}@{channel} pointed to {moved.before} until now")
    return 0


@click.command(
    "revoke",
    epilog="\b\nExamples:\n  weighbridge revoke org/name@1a2b3c --reason 'CVE-2026-0001'\n"
    "  weighbridge revoke org/name@1a2b3c --reason 'CVE-2026-0001' --rollback\n"
    "  weighbridge revoke org/name@1a2b3c --undo --reason 'mistaken for another'",
)
@click.argument("reference", metavar="MODEL@REV")
@click.option("--reason", required=True, metavar="TEXT", help="Why, for the ledger and for everyone who is refused.")
@click.option("--rollback", is_flag=True, help="Also roll back the channels that point to it.")
@click.option("--undo", is_flag=True, help="Take the revocation back.")
@common
def revoke_command(home: Home, output: Output, /, *, reference: str, reason: str, rollback: bool, undo: bool) -> int:
    """Make every reader refuse a revision, also where a channel points to it."""
    from weighbridge.cli.yard import OpenYard

    if not Reference.parse(reference).selector:
        raise click.UsageError("name one revision: MODEL@REV")
    if rollback and undo:
        raise click.UsageError("--rollback and --undo exclude each other")
    with OpenYard(home, output) as yard:
        _check_ledger(yard)
        row = yard.resolve(reference)
        channels = channels_of(yard)
        moved: dict[str, str] = {}
        pointing: tuple[str, ...] = ()
        if undo:
            channels.reinstate(row.model_name, row.revision, reason)
        else:
            pointing = channels.revoke(row.model_name, row.revision, reason).channels
            if rollback:
                moved = _roll_back(channels, output, row.model_name, pointing, reason)
        left = [channel for channel in pointing if channel not in moved]
        if output.as_json:
            document: dict[str, JsonValue] = {"model": str(row.model_name), "revision": row.revision, "reason": reason}
            output.document({**document, "revoked": not undo, "rolled_back": moved, "still_pointing": left})
            return 0
        output.line(f"{row.model_name}@{row.revision}\t{'reinstated' if undo else 'revoked'}")
        for channel, revision in moved.items():
            output.line(f"{row.model_name}@{channel}\t{revision}")
        for channel in left:
            output.say(
                f"{row.model_name}@{channel} still points to it, so readers of that channel are refused: "
                f"weighbridge rollback {row.model_name} --channel {channel}"
            )
    return 0


def _roll_back(
    channels: Channels, output: Output, model_name: ModelName, pointing: tuple[str, ...], reason: str
) -> dict[str, str]:
    moved: dict[str, str] = {}
    for channel in pointing:
        try:
            moved[channel] = channels.rollback(model_name, channel, reason=reason).pointed.revision
        except NothingCollected as error:
            output.say(error.message)
    return moved


def _check_ledger(yard: OpenYard) -> None:
    if not yard.has_ledger:
        raise NothingCollected("nothing was ingested here yet", hint="weighbridge ingest hf://org/name")


# --- channels -------------------------------------------------------------------------------------


class _Channels(click.Group):
    """`channels [MODEL]` lists; a word that is no model is a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first = next((one for one in args if not one.startswith("-")), "")
        if args[:1] not in (["--help"], ["-h"]) and first not in self.commands:
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(
    "channels",
    cls=_Channels,
    epilog="\b\nExamples:\n  weighbridge channels\n  weighbridge channels org/name\n  weighbridge channels refresh",
)
def channels_command() -> None:
    """List what the channels point to (of one MODEL, when given), or look after the signed index that says so."""


@channels_command.command("list", epilog="\b\nExamples:\n  weighbridge channels list org/name --json")
@click.argument("model", required=False, default="")
@common
def list_command(home: Home, output: Output, /, *, model: str) -> int:
    """List channels as readers see them: the signed index is verified first."""
    from weighbridge.cli.yard import OpenYard

    only = ModelName.parse(model) if model else None
    with OpenYard(home, output) as yard:
        try:
            reader = index_reader(yard)
            if not reader.trusted.has_root:
                raise ObjectMissing("no channel was set here yet")
            index = reader.current()
        except ObjectMissing:
            if reader.trusted.seen_version():
                raise
            if output.as_json:
                output.document({"store": yard.approved().address, "version": 0, "channels": [], "revoked": []})
            else:
                output.say("There is no channel yet. Promote a revision: weighbridge promote MODEL@REV --channel NAME")
            return 0
        _show(yard, output, index, only)
    return 0


def _show(yard: OpenYard, output: Output, index: Index, only: ModelName | None) -> None:
    from weighbridge.admit.channels import pending

    rows = [
        (str(name), channel, pointed, (name, pointed.revision) in index.revoked)
        for name, channels in sorted(index.entries.items())
        for channel, pointed in sorted(channels.items())
        if only in (None, name)
    ]
    revoked = [(name, one) for (name, _), one in sorted(index.revocations.items()) if only in (None, name)]
    missing = pending(yard.ledger(), index.mark) if yard.has_ledger and index.mark.ledger else 0
    if output.as_json:
        output.document(
            {
                "store": yard.approved().address,
                "version": index.version,
                "expires": index.expires,
                "root": {"version": index.root_version, "expires": index.root_expires},
                "pending": missing,
                "channels": [
                    {
                        "model": name,
                        "channel": channel,
                        "revision": pointed.revision,
                        "manifest_sha256": pointed.manifest_sha256,
                        "set_at": pointed.set_at,
                        "revoked": is_revoked,
                    }
                    for name, channel, pointed, is_revoked in rows
                ],
                "revoked": [
                    {"model": str(name), "revision": one.revision, "reason": one.reason, "revoked_at": one.revoked_at}
                    for name, one in revoked
                ],
            }
        )
        return
    output.table(
        ("model", "channel", "revision", "since", "state"),
        [
            (name, channel, pointed.revision[:12], _minute(pointed.set_at), "revoked" if is_revoked else "ok")
            for name, channel, pointed, is_revoked in rows
        ],
    )
    for name, one in revoked:
        output.say(f"revoked: {name}@{one.revision} ({one.reason})")
    output.say(f"index {index.version} of {yard.approved().address}, good until {_minute(index.expires)} UTC")
    _warn(output, index)
    if missing:
        output.say(f"It lacks {missing} changes that the ledger has: weighbridge channels refresh")


def _warn(output: Output, index: Index) -> None:
    from weighbridge.admit.index import moment
    from weighbridge.store.ledger import now_rfc3339

    now = moment(now_rfc3339())
    if moment(index.root_expires) - now < timedelta(days=ROOT_WARNING_DAYS):
        output.say(f"Its root expires at {_minute(index.root_expires)} UTC: weighbridge channels rotate-keys")
    elif moment(index.expires) - now < timedelta(hours=WARNING_HOURS):
        output.say("Readers will refuse it soon: weighbridge channels refresh")


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


@channels_command.command("refresh", epilog="\b\nExamples:\n  weighbridge channels refresh")
@click.option("--rebuild", is_flag=True, help="Write all of it anew from the ledger, whatever the store shows.")
@common
def refresh_command(home: Home, output: Output, /, *, rebuild: bool) -> int:
    """Sign the index again before it expires, and bring it up to the ledger."""
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        channels = channels_of(yard)
        version = channels.rebuild() if rebuild else channels.refresh()
        index = index_reader(yard).current()
        if output.as_json:
            output.document({"version": version, "expires": index.expires})
            return 0
        output.line(f"{version}\t{index.expires}")
        output.say(f"index {version}, good until {_minute(index.expires)} UTC")
    return 0


for _command in (
    root_command,
    trust_command,
    init_index_command,
    rotate_keys_command,
    sign_root_command,
    publish_root_command,
):
    channels_command.add_command(_command)
