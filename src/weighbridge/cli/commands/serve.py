"""`weighbridge serve`: the gateway, for clients of the Hub inside."""

from __future__ import annotations

import gc
import json
import logging
from contextlib import ExitStack
from pathlib import Path

import click

from weighbridge.cli.console import Output
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.errors import ConfigError

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
@click.option("--allow-anonymous", is_flag=True, help="Let everybody who reaches the address read.")
@click.option("--allow-plain-http", is_flag=True, help="Go without TLS, for example behind a proxy that ends it.")
@click.option("--open-operations", is_flag=True, help="Ask for no token at /healthz, /readyz and /metrics.")
@click.option("--open-admission", is_flag=True, help="Ask for no token at /admission/v1 (Kubernetes).")
@click.option(
    "--requests",
    type=click.Choice(["on", "off"]),
    default=None,
    help="File a request for a reviewer when a client asks for what is not approved (default: gateway.requests).",
)
@click.option("--drain-seconds", type=click.IntRange(min=0), default=30, show_default=True, help="For running answers.")
@common
def serve_command(home: Home, output: Output, /, **options: object) -> int:
    """Serve approved models under the Hub's protocol: clients set HF_ENDPOINT and nothing else.

    `main` is the channel `production`; other channels go by their names; a commit by its 40 digits. Nothing is ever
    fetched from outside.
    """
    from weighbridge.cli.gateway import Chosen, open_gateway
    from weighbridge.cli.yard import OpenYard
    from weighbridge.serve.access import ExposureFlags
    from weighbridge.serve.server import ServerSettings, address_of, listen, own_command, serve

    host, port = str(options["host"]), int(str(options["port"]))
    certificate, key = _path(options["tls_cert"]), _path(options["tls_key"])
    if (certificate is None) != (key is None):
        raise ConfigError("a certificate and its key go together", hint="Give --tls-cert and --tls-key.")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    flags = ExposureFlags(
        allow_anonymous=bool(options["allow_anonymous"]),
        allow_plain_http=bool(options["allow_plain_http"]),
        open_operations=bool(options["open_operations"]),
        open_admission=bool(options["open_admission"]),
    )
    with OpenYard(home, output) as yard, ExitStack() as closing:
        sock = listen(host, port)
        closing.callback(sock.close)
        address = address_of(sock, tls=certificate is not None)
        chosen = Chosen(
            host,
            address,
            tls=certificate is not None,
            flags=flags,
            public_url=str(options["public_url"]),
            cache=_path(options["cache"]),
            cache_bytes=int(str(options["cache_bytes"])),
            requests=None if options["requests"] is None else options["requests"] == "on",
        )
        opened = closing.enter_context(open_gateway(yard, chosen))
        drain = int(str(options["drain_seconds"]))
        settings = ServerSettings(certificate, key, drain, command=own_command(), protocol=opened.protocol)

        def ready() -> None:
            if output.as_json:
                output.line(json.dumps({"event": "serving", "address": address}))
                return
            output.say(f"serving {yard.approved().address} at {address}")
            for words in opened.words:
                output.say(f"  {words}")
            output.say(f"people: {chosen.url}/")
            output.say(f"clients: HF_ENDPOINT={chosen.url}")

        # What was imported lives as long as the process; looking through it again and again would only make it slower.
        gc.freeze()
        serve(opened.app, sock, settings, on_ready=ready)
    return 0


def _path(value: object) -> Path | None:
    return value if isinstance(value, Path) else None
