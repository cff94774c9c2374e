"""`weighbridge init`, `config` and `doctor`: the home, its settings, and whether everything answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output, duration
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.config import Config, may_hold_secret
from weighbridge.core.errors import ConfigError, Gated, WeighbridgeError

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard

HEADING = "# Settings of weighbridge. `weighbridge config` shows every value and where it came from.\n"


@click.command("init", epilog="\b\nExamples:\n  weighbridge init\n  weighbridge init --store s3://models-quarantine")
@click.option("--store", default="", metavar="STORE", help="The quarantine store (default: a folder in the home).")
@click.option("--s3-endpoint", default="", metavar="URL", help="Base URL of an S3-compatible server.")
@common
def init_command(home: Home, output: Output, /, *, store: str, s3_endpoint: str) -> int:
    """Make a home: settings, a signing key, a ledger and a store. What is already there is left as it is."""
    from weighbridge.cli.yard import OpenYard

    home.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not home.config_file.exists():
        home.config_file.write_text(_initial(store, s3_endpoint), encoding="utf-8")
    elif store or s3_endpoint:
        raise ConfigError(f"'{home.config_file}' is already there", hint="Edit it to change the store.")
    with OpenYard(home, output) as yard:
        yard.store().check()
        key = yard.key
        state = yard.ledger(writing=True).verify(yard.trusted)
        if output.as_json:
            output.document(
                {
                    "home": str(home.path),
                    "store": yard.store().address,
                    "key_id": key.key_id,
                    "public_key": str(yard.key_path) + ".pub",
                    "ledger_events": state.events,
                }
            )
            return 0
        output.line(str(home.path))
        output.say(f"  settings    {home.config_file}")
        output.say(f"  store       {yard.store().address}")
        output.say(f"  public key  {yard.key_path}.pub (give it to whoever verifies)")
        output.say("Next: weighbridge ingest hf://org/name")
    return 0


def _initial(store: str, s3_endpoint: str) -> str:
    """A settings file with every setting in a comment, and the given ones set."""
    given = {"store.quarantine": store, "store.s3_endpoint": s3_endpoint}
    lines = [HEADING]
    for name, value in _values(Config()):
        section, _, setting = name.partition(".")
        if f"[{section}]\n" not in lines:
            lines.append("\n")
            lines.append(f"[{section}]\n")
        chosen = given.get(name, "")
        lines.append(f"{setting} = {_toml(chosen)}\n" if chosen else f"# {setting} = {_toml(value)}\n")
    return "".join(lines)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def _values(config: Config) -> Iterator[tuple[str, object]]:
    for section in fields(Config):
        content = getattr(config, section.name)
        for setting in fields(content):
            yield f"{section.name}.{setting.name}", getattr(content, setting.name)


@click.command(
    "config", epilog="\b\nExamples:\n  weighbridge config\n  WEIGHBRIDGE_TRANSFER_STREAMS=4 weighbridge config --json"
)
@common
def config_command(home: Home, output: Output, /) -> int:
    """Show every setting, its value, and where the value came from."""
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        rows = []
        for name, value in _values(yard.config):
            section, _, setting = name.partition(".")
            shown = _without_password(str(value)) if may_hold_secret(name) and value else value
            rows.append((name, shown, yard.origins.of(section, setting)))
        if output.as_json:
            output.document(
                {
                    "home": str(home.path),
                    "settings": {
                        name: {"value": value if isinstance(value, str | int | bool) else str(value), "origin": origin}
                        for name, value, origin in rows
                    },
                }
            )
            return 0
        output.say(f"home: {home.path}")
        output.table(("setting", "value", "from"), [(name, str(value), origin) for name, value, origin in rows])
    return 0


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "(not a URL)"


@click.command("doctor", epilog="\b\nExamples:\n  weighbridge doctor\n  weighbridge doctor --offline")
@click.option("--offline", is_flag=True, help="Do not ask the Hub.")
@common
def doctor_command(home: Home, output: Output, /, *, offline: bool) -> int:
    """Try everything that an ingest needs: settings, key, store, ledger, Hub."""
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        checks: list[tuple[str, Callable[[OpenYard], str]]] = [
            ("settings", lambda y: f"{len(set(y.origins.by_name))} set, the others by default"),
            ("key", _try_key),
            ("store", _try_store),
            ("ledger", _try_ledger),
            ("hash", _try_hash),
        ]
        if not offline:
            checks.append(("hub", _try_hub))
        results = [_try(name, check, yard) for name, check in checks]
        if output.as_json:
            output.document([{"check": n, "ok": ok, "detail": detail, "hint": hint} for n, ok, detail, hint in results])
        else:
            output.table(
                ("check", "state", "detail"), [(n, "ok" if ok else "failed", detail) for n, ok, detail, _ in results]
            )
            for name, ok, _, hint in results:
                if not ok and hint:
                    output.say(f"{name}: {hint}")
    return 0 if all(ok for _, ok, _, _ in results) else 1


def _try(name: str, check: Callable[[OpenYard], str], yard: OpenYard) -> tuple[str, bool, str, str]:
    try:
        return name, True, check(yard), ""
    except WeighbridgeError as error:
        return name, False, error.message, error.hint


def _try_key(yard: OpenYard) -> str:
    if not yard.key_path.exists() and not yard.config.signing.key:
        return "none yet; the first ingest makes one"
    return f"{yard.key.key_id[:16]}… in {yard.key.place}"


def _try_store(yard: OpenYard) -> str:
    store = yard.store()
    store.check()
    features = ", ".join(sorted(feature.value for feature in store.features)) or "plain"
    return f"{store.address} ({features})"


def _try_ledger(yard: OpenYard) -> str:
    if not yard.has_ledger:
        return "none yet; the first ingest makes one"
    state = yard.ledger().verify(yard.trusted)
    return f"{state.events} events, chain and head hold"


def _try_hash(_yard: OpenYard) -> str:
    from weighbridge.transfer.sha256 import ResumableSha256

    if ResumableSha256().state() is None:
        raise ConfigError(
            "this Python's OpenSSL does not let a hash be saved",
            hint="Ingests work, but a killed one reads its unfinished files from their beginning.",
        )
    return "a killed ingest goes on within one part"


def _try_hub(yard: OpenYard) -> str:
    from huggingface_hub import constants, get_token

    from weighbridge.wire.http import MAX_ERROR_BODY_BYTES, place

    endpoint = (yard.config.hub.endpoint or constants.ENDPOINT).rstrip("/")
    started = time.monotonic()
    with yard.http.request("GET", f"{endpoint}/api/models?limit=1") as response:
        response.read(MAX_ERROR_BODY_BYTES)
        status = response.status
    if status in (401, 403) or status >= 500:
        raise Gated(f"{place(endpoint)} answers {status}", hint="Check HF_ENDPOINT, the token and the proxy settings.")
    token = "with a token" if get_token() else "without a token"
    return f"{place(endpoint)} answers {status} in {duration(time.monotonic() - started)}, {token}"
