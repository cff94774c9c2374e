"""Whether the process lives (`/healthz`) and whether it can serve (`/readyz`).

- `/healthz` answers 200 as long as the process answers at all: an orchestrator restarts what does not;
- `/readyz` answers 200 when every probe passed within the last second, else 503: the index is readable and fresh, the store
  and the ledger answer, and the gateway is not about to end. An orchestrator sends nothing to what is not ready;
- probes run one at a time in a thread with a time limit, and their result is kept for a second, so that asking often costs
  nothing. What failed is told by name; why only to who may read the metrics: messages name addresses.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from weighbridge.core.errors import WeighbridgeError
from weighbridge.serve.access import PERMIT, Permit
from weighbridge.serve.metrics import Metrics
from weighbridge.serve.tokens import Action

KEPT_SECONDS: Final = 1.0
PROBE_SECONDS: Final = 5.0
Probe = Callable[[], object]
"""Returns when all is well; raises a `WeighbridgeError` that says what is not. May block."""


class Readiness:
    """The probes of one gateway. `drain` ends readiness before the gateway ends."""

    def __init__(
        self,
        probes: Mapping[str, Probe],
        *,
        kept_seconds: float = KEPT_SECONDS,
        probe_seconds: float = PROBE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probes = dict(probes)
        self._kept_seconds = kept_seconds
        self._probe_seconds = probe_seconds
        self._clock = clock
        self._draining = False
        self._at = float("-inf")
        self._failed: dict[str, str] = {}
        self._probing: asyncio.Task[dict[str, str]] | None = None

    def drain(self) -> None:
        """From now on the gateway is not ready."""
        self._draining = True

    async def failed(self) -> dict[str, str]:
        """What is not well, and why; empty when the gateway is ready."""
        if self._draining:
            return {"gateway": "it is about to end"}
        if self._clock() - self._at < self._kept_seconds:
            return self._failed
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe())
        try:
            async with asyncio.timeout(self._probe_seconds):
                self._failed = await asyncio.shield(self._probing)
        except TimeoutError:
            return {"probes": f"they take longer than {self._probe_seconds:g} s"}
        self._at = self._clock()
        return self._failed

    async def _probe(self) -> dict[str, str]:
        failed: dict[str, str] = {}
        for name, probe in self._probes.items():
            try:
                await asyncio.to_thread(probe)
            except WeighbridgeError as error:
                failed[name] = error.message
        return failed

    async def healthz(self, _request: Request) -> Response:
        """The route `/healthz`."""
        return JSONResponse({"status": "ok"}, headers={"cache-control": "no-store"})

    async def readyz(self, request: Request) -> Response:
        """The route `/readyz`."""
        failed = await self.failed()
        permit = request.scope.get(PERMIT)
        trusted = isinstance(permit, Permit) and permit.may(Action.ADMIN)
        probes = dict.fromkeys(self._probes, "ok") | {
            name: why if trusted else "failed" for name, why in failed.items()
        }
        return JSONResponse(
            {"status": "not ready" if failed else "ready", "probes": probes},
            status_code=503 if failed else 200,
            headers={"cache-control": "no-store", **({"retry-after": "1"} if failed else {})},
        )


def operational_routes(readiness: Readiness, metrics: Metrics) -> list[BaseRoute]:
    """`/healthz`, `/readyz` and `/metrics`."""
    return [
        Route("/healthz", readiness.healthz, methods=["GET"]),
        Route("/readyz", readiness.readyz, methods=["GET"]),
        Route("/metrics", metrics.endpoint, methods=["GET"]),
    ]
