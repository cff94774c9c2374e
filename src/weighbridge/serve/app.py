"""Puts the gateway together: the Hub's protocol, pages and other routes that are handed in, and the layers around them.

Layers run in the order they are given, the first one outermost. What none of the routes takes is the Hub's. While requests
come, the index is asked again before its answer is too old, so that no request waits for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from weighbridge.core.errors import WeighbridgeError
from weighbridge.serve.approved import POLL_SECONDS, Approved
from weighbridge.serve.chunk_cache import ChunkCache
from weighbridge.serve.hub_api import ASKING, Hub, Told, log_trouble
from weighbridge.serve.hub_paths import is_always_the_hubs
from weighbridge.serve.metrics import Metrics
from weighbridge.serve.redirects import Redirects
from weighbridge.serve.requesting import Requesting
from weighbridge.serve.streaming import MEMORY_BYTES, ProvenBytes

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

QUIET_SECONDS: Final = 5.0
"""How long after the last request the index is still asked ahead of time."""
Layer = Callable[["ASGIApp"], "ASGIApp"]
Lifespan = Callable[[], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """What a gateway is made of beside what is approved.

    `routes` are tried before the Hub's protocol and never get its addresses; `layers` are ASGI middleware, outermost first;
    `lifespans` are entered when it starts. `cache_folder` None keeps no chunks on disk.
    """

    public_url: str = ""
    asking: str = ASKING
    cache_folder: Path | None = None
    cache_bytes: int = 0
    memory_bytes: int = MEMORY_BYTES
    routes: Sequence[BaseRoute] = field(default=())
    layers: Sequence[Layer] = field(default=())
    lifespans: Sequence[Lifespan] = field(default=())
    told: Told = log_trouble
    metrics: Metrics | None = None
    """Where chunks and the index are counted; None counts nowhere."""
    redirects: Redirects | None = None
    """What sends clients to the store for large downloads; None sends nobody."""
    requesting: Requesting | None = None
    """What files a request for whatever is missed; None files nothing."""


class Gateway:
    """An ASGI application; see above."""

    def __init__(self, approved: Approved, options: GatewayOptions = GatewayOptions()) -> None:
        cache = ChunkCache(options.cache_folder, options.cache_bytes) if options.cache_folder else None
        self.approved = approved
        metrics = options.metrics or Metrics()
        metrics.gauge("weighbridge_index_age_seconds", approved.index_age)
        self.proven = ProvenBytes(approved.store, cache=cache, memory_bytes=options.memory_bytes, metrics=metrics)
        self._lifespans = options.lifespans
        self._asked_at = float("-inf")
        self.hub = Hub(
            approved,
            self.proven,
            public_url=options.public_url,
            asking=options.asking,
            told=options.told,
            redirects=options.redirects,
            requesting=options.requesting,
        )
        # What is handed in comes first: it may know more of health than this.
        routes = [*options.routes]
        self._routed = Starlette(routes=routes, lifespan=self._lifespan)
        self._routed.router.default = self.hub
        self._routed.router.redirect_slashes = False
        self._layered: ASGIApp = self._inner
        for layer in reversed(options.layers):
            self._layered = layer(self._layered)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            self._asked_at = time.monotonic()
            await self._layered(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._routed(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    async def _inner(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        scope["app"] = self._routed
        await (self.hub if is_always_the_hubs(path) else self._routed)(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for lifespan in self._lifespans:
                await stack.enter_async_context(lifespan())
            asking = asyncio.create_task(self._ask_ahead())
            try:
                yield
            finally:
                asking.cancel()
                self.hub.close()
                self.proven.close()

    async def _ask_ahead(self) -> None:
        while True:
            await asyncio.sleep(0.8 * POLL_SECONDS)
            if time.monotonic() - self._asked_at < QUIET_SECONDS:
                with suppress(WeighbridgeError):
                    await asyncio.to_thread(self.approved.refresh)


def build_app(approved: Approved, options: GatewayOptions = GatewayOptions()) -> Gateway:
    """The gateway over what is approved, with what `options` hands in."""
    return Gateway(approved, options)
