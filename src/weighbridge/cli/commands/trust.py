"""`weighbridge trust`: what inference nodes believe, in one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output, write_whole
from weighbridge.cli.loading import trust_of
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home

if TYPE_CHECKING:
    from weighbridge.core.canonical import JsonValue
    from weighbridge.serve.loading.trust import Trust


@click.group(
    "trust", epilog="\b\nExamples:\n  weighbridge trust export trust.json\n  weighbridge trust show trust.json"
)
def trust_command() -> None:
    """Write and read the file that an inference node trusts: root of the index, public keys, store. It holds no secret."""


@trust_command.command(
    "export",
    epilog="\b\nExamples:\n  weighbridge trust export trust.json\n"
    "  weighbridge trust export trust.json --store s3://models-approved\n"
    "  weighbridge trust export                 into this home, for programs on this machine",
)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--store", default="", metavar="STORE", help="How nodes reach the approved store (default: as this home)."
)
@common
def export_command(home: Home, output: Output, /, *, file: Path | None, store: str) -> int:
    """Write what this home trusts of its approved store, and print the digest to be pinned."""
    from weighbridge.cli.yard import OpenYard
    from weighbridge.serve.loading.node import TRUST_FILE

    with OpenYard(home, output) as yard:
        trust = trust_of(yard, store=store)
        target = file or home.path / TRUST_FILE
        write_whole(target, trust.to_bytes())
    if output.as_json:
        output.document({"file": str(target), **_described(trust)})
        return 0
    output.line(f"{trust.digest}  {target}")
    output.say(
        "Give it to nodes by a way you trust, and pin the digest there: WEIGHBRIDGE_TRUST_SHA256, --trust-sha256"
    )
    return 0


@trust_command.command("show", epilog="\b\nExamples:\n  weighbridge trust show trust.json --json")
@click.argument("file", type=click.Path(path_type=Path))
@common
def show_command(_home: Home, output: Output, /, *, file: Path) -> int:
    """Say what a trust file makes a node believe. Needs no network and no store."""
    from weighbridge.serve.loading.trust import read_trust

    trust = read_trust(file)
    described = _described(trust)
    if output.as_json:
        output.document({"file": str(file), **described})
        return 0
    for name in ("sha256", "store", "s3_endpoint", "s3_region", "index_version", "root_version", "root_expires"):
        if described[name]:
            output.line(f"{name.replace('_', ' ')}\t{described[name]}")
    for key_id in trust.verifier.key_ids:
        output.line(f"key\t{key_id}")
    for key_id in trust.revoked:
        output.line(f"revoked key\t{key_id}")
    return 0


def _described(trust: Trust) -> dict[str, JsonValue]:
    from weighbridge.admit.index_keys import read_root

    root = read_root(trust.root).signed
    return {
        "sha256": trust.digest,
        "store": trust.store,
        "s3_endpoint": trust.s3_endpoint,
        "s3_region": trust.s3_region,
        "index_version": trust.index_version,
        "root_version": root.version,
        "root_expires": root.expires.isoformat().replace("+00:00", "Z"),
        "keys": sorted(trust.verifier.key_ids),
        "revoked_keys": list(trust.revoked),
    }
