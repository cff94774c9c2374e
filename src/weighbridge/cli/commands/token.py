"""`weighbridge token`: make, list and revoke the tokens that a gateway accepts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.errors import ConfigError

if TYPE_CHECKING:
    from weighbridge.core.canonical import JsonValue
    from weighbridge.serve.tokens import Token

ACTIONS = ("read", "list", "request", "admin")
_UNITS = {"m": 60, "h": 3_600, "d": 86_400}


@click.group("token")
def token_command() -> None:
    """Make, list and revoke the tokens that the gateway accepts."""


@token_command.command(
    "create",
    epilog="\b\nExamples:\n  weighbridge token create ci\n"
    "  weighbridge token create chat --model 'acme/*' --channel production --expires 30d\n"
    "  weighbridge token create prometheus --action admin --expires never",
)
@click.argument("name")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="ORG/NAME",
    help="A model; * stands for any characters within a part (default: all).",
)
@click.option("--channel", "channels", multiple=True, metavar="CHANNEL", help="A channel (default: all, and commits).")
@click.option(
    "--action", "actions", multiple=True, type=click.Choice(ACTIONS), help="May be repeated (default: read and list)."
)
@click.option(
    "--expires", default="90d", show_default=True, metavar="TIME", help="How long it counts: 30m, 12h, 90d or never."
)
@common
def create_command(
    home: Home,
    output: Output,
    /,
    *,
    name: str,
    models: tuple[str, ...],
    channels: tuple[str, ...],
    actions: tuple[str, ...],
    expires: str,
) -> int:
    """Make a token NAME and print it. It is shown this once and kept nowhere."""
    from weighbridge.admit.asking import channel_of
    from weighbridge.cli.yard import OpenYard
    from weighbridge.serve.token_store import create_token
    from weighbridge.serve.tokens import ANY, Action, Scope

    scope = Scope(
        models or (ANY,),
        tuple(channel_of(channel) for channel in channels) or (ANY,),
        frozenset(Action(action) for action in actions or ("read", "list")),
    )
    lifetime = _lifetime(expires)
    with OpenYard(home, output) as yard:
        secret, token = create_token(yard.ledger(writing=True), name, scope, actor=yard.actor, lifetime=lifetime)
        if output.as_json:
            output.document({**_record(token, "active"), "token": secret})
            return 0
        output.line(secret)
        until = f"until {token.expires_at}" if token.expires_at else "for ever"
        output.say(f"'{name}' counts {until}. Nobody can show it again; clients take it as HF_TOKEN.")
        return 0


@token_command.command("list", epilog="\b\nExamples:\n  weighbridge token list\n  weighbridge token list --json")
@common
def list_command(home: Home, output: Output, /) -> int:
    """List all tokens, with scope and state; never what they are."""
    from weighbridge.cli.yard import OpenYard
    from weighbridge.serve.token_store import list_tokens
    from weighbridge.store.ledger import now_rfc3339

    with OpenYard(home, output) as yard:
        now = now_rfc3339()
        tokens = list_tokens(yard.ledger()) if yard.has_ledger else []
        if output.as_json:
            output.document([_record(token, token.state(now)) for token in tokens])
            return 0
        output.table(
            ("name", "id", "models", "channels", "actions", "expires", "state"),
            [
                (
                    token.name,
                    token.token_id,
                    ", ".join(token.scope.models),
                    ", ".join(token.scope.channels),
                    ", ".join(sorted(action.value for action in token.scope.actions)),
                    token.expires_at[:16] or "never",
                    token.state(now),
                )
                for token in tokens
            ],
        )
        if not tokens:
            output.say("No tokens. `weighbridge token create NAME` makes one.")
        return 0


@token_command.command("revoke", epilog="\b\nExamples:\n  weighbridge token revoke ci --reason 'left in a log'")
@click.argument("token", metavar="NAME|ID")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the ledger.")
@common
def revoke_command(home: Home, output: Output, /, *, token: str, reason: str) -> int:
    """End a token. Every gateway on this ledger refuses it within a second."""
    from weighbridge.cli.yard import OpenYard
    from weighbridge.serve.token_store import revoke_token

    with OpenYard(home, output) as yard:
        ended = revoke_token(yard.ledger(writing=True), token, actor=yard.actor, reason=reason)
        if output.as_json:
            output.document(_record(ended, "revoked"))
            return 0
        output.line(f"{ended.name}\t{ended.token_id}\trevoked")
        return 0


def _record(token: Token, state: str) -> dict[str, JsonValue]:
    return {
        "name": token.name,
        "id": token.token_id,
        "models": list(token.scope.models),
        "channels": list(token.scope.channels),
        "actions": sorted(action.value for action in token.scope.actions),
        "created_at": token.created_at,
        "created_by": token.created_by,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "state": state,
    }


def _lifetime(text: str) -> timedelta | None:
    """`30m`, `12h`, `90d`; None for `never`.

    Raises:
        ConfigError: it is neither.
    """
    if text == "never":
        return None
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isascii() or not number.isdecimal() or len(number) > 6 or int(number) == 0:
        raise ConfigError(f"'{text:.40}' is no length of time", hint="Write for example 30m, 12h, 90d, or never.")
    return timedelta(seconds=int(number) * _UNITS[unit])
