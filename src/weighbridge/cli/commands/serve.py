"""`weighbridge serve`: the gateway, for clients of the Hub inside."""

from __future__ import annotations

import gc
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.errors import ConfigError

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.serve.app import Gateway

MEGABYTE = 1024 * 1024


@click.command(
    "serve",
    epilog="\b\nExamples:\n  weighbridge serve\n"
    "  HF_ENDPOINT=http://127.0.0.1:8080 hf download org/name\n"
    "  weighbridge serve --cache /var/cache/weighbridge --cache-bytes 200000000000",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65_535), help="0 takes any free port.")
@click.option("--tls-cert", type=click.Path(path_type=Path), metavar="FILE", help="Certificate with its chain, PEM.")
@click.option("--tls-key", type=click.Path(path_type=Path), metavar="FILE", help="Its private key, PEM.")
@click.option("--cache", type=click.Path(path_type=Path), metavar="DIR", help="Keep chunks of a distant store here.")
@click.option(
    "--cache-bytes", type=click.IntRange(min=1), default=50_000 * MEGABYTE, show_default=True, help="At most so many."
)
@click.option("--public-url", default="", metavar="URL", help="What clients call this gateway, behind a proxy.")
@click.option("--drain-seconds", type=click.IntRange(min=0), default=30, show_default=True, help="For running answers.")
@common
def serve_command(home: Home, output: Output, /, **options: object) -> int:
    """Serve approved models under the Hub's protocol: clients set HF_ENDPOINT and nothing else.

    `main` is the channel `production`; other channels go by their names; a commit by its 40 digits. Nothing is ever
    fetched from outside.
    """
    from weighbridge.cli.yard import OpenYard
    from weighbridge.serve.server import ServerSettings, address_of, listen, own_command, serve

    host, port = str(options["host"]), int(str(options["port"]))
    certificate, key = _path(options["tls_cert"]), _path(options["tls_key"])
    if (certificate is None) != (key is None):
        raise ConfigError("a certificate and its key go together", hint="Give --tls-cert and --tls-key.")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    sock = listen(host, port)
    address = address_of(sock, tls=certificate is not None)
    settings = ServerSettings(certificate, key, int(str(options["drain_seconds"])), command=own_command())
    with OpenYard(home, output) as yard:
        app = _gateway(yard, options)

        def ready() -> None:
            if output.as_json:
                output.line(json.dumps({"event": "serving", "address": address}))
            else:
                output.say(f"serving {yard.approved().address} at {address}")
                output.say(f"clients: HF_ENDPOINT={address}")

        # What was imported lives as long as the process; looking through it again and again would only make it slower.
        gc.freeze()
        serve(app, sock, settings, on_ready=ready)
    return 0


def _gateway(yard: OpenYard, options: dict[str, object]) -> Gateway:
    from weighbridge.cli.channeling import index_reader
    from weighbridge.serve.app import GatewayOptions, build_app
    from weighbridge.serve.approved import Approved

    approved = Approved(yard.approved(), index_reader(yard), yard.trusted)
    chosen = GatewayOptions(
        public_url=str(options["public_url"]),
        cache_folder=_path(options["cache"]),
        cache_bytes=int(str(options["cache_bytes"])),
    )
    return build_app(approved, chosen)


def _path(value: object) -> Path | None:
    return value if isinstance(value, Path) else None
