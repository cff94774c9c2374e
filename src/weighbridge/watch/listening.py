"""The small server of the watch daemon: the Hub's webhooks, and whether the daemon is well; in a thread of its own.

Rules: bodies, heads, rates and connections are bounded as the gateway's are; beyond this machine it wants TLS, or somebody's
word that a proxy in front ends it; nobody is told more of the daemon's health than times and counts.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import ConfigError
from weighbridge.serve.access import is_loopback
from weighbridge.serve.limits import Bounds, Connections, Fair, Rates, Sizes, guarded
from weighbridge.serve.server import MAX_HEAD_BYTES, STALL_SECONDS, bounded, tls_context
from weighbridge.watch.hub_webhook import MAX_BODY_BYTES

SIZES: Final = Sizes(
    header_bytes=16 * 1024, body_bytes=MAX_BODY_BYTES, large_body_paths=(), body_seconds=10.0, requests=64
)
RATES: Final = Rates(requests=8, per_second=5.0, burst=60, askers=1_000)
"""The Hub sends at most 1,000 events of a webhook a day."""
CONNECTIONS: Final = Connections(most=256, per_address=64, head_seconds=5.0)
START_SECONDS: Final = 10.0
STOP_SECONDS: Final = 1.0
Health = Callable[[], tuple[bool, Mapping[str, JsonValue]]]


def check_exposure(host: str, *, tls: bool, plain_http: bool) -> None:
    """Returns when a secret may be sent to a server on `host`.

    Raises:
        ConfigError: it would cross a network in the clear, and nobody said that it may.
    """
    if not (is_loopback(host) or tls or plain_http):
        raise ConfigError(
            f"without TLS, the webhook's secret would cross the network to {host} in the clear",
            hint="Name a certificate and its key. Or, behind a proxy that ends TLS: --allow-plain-http.",
        )


def health_route(health: Health) -> BaseRoute:
    """`GET /healthz`: 200 while the daemon looks as often as it should, else 503."""

    async def answer(_request: Request) -> Response:
        well, record = health()
        return JSONResponse(dict(record), status_code=200 if well else 503, headers={"cache-control": "no-store"})

    return Route("/healthz", answer, methods=["GET"])


class Listening:
    """A running server; a context manager: leaving it ends it.

    Raises:
        ConfigError: the certificate cannot be used, or the server did not start.
    """

    def __init__(
        self, sock: socket.socket, routes: Sequence[BaseRoute], *, certificate: Path | None, private_key: Path | None
    ) -> None:
        app = Starlette(
            routes=list(routes), middleware=[Middleware(Bounds, sizes=SIZES), Middleware(Fair, rates=RATES)]
        )
        config = uvicorn.Config(
            app,
            http=bounded(guarded(CONNECTIONS), head_bytes=MAX_HEAD_BYTES, stall_seconds=STALL_SECONDS),
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        config.load()
        if certificate is not None:
            config.ssl = tls_context(certificate, private_key or certificate)
        self._server = uvicorn.Server(config)
        self._sock = sock
        self._thread = threading.Thread(target=self._server.run, args=([sock],), name="listening", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise ConfigError("the server of the daemon did not start")
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)
        with suppress(OSError):
            self._sock.close()

    @property
    def alive(self) -> bool:
        """Whether it still answers."""
        return self._thread.is_alive()
