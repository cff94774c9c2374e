"""How much one asker, and all together, may take: sizes, rates, requests at once, connections, and time.

Rules:

- `Bounds` comes first, before anybody is known: the size of headers, address and body, how slowly a body may arrive, and
  how many requests run at once;
- `Fair` comes after `Access`: for each token, or each address (IPv6: each /64) without one, a rate and how many at once;
- `guarded` adds to uvicorn's protocol what that server leaves out: the most connections, in all and from one address, and
  how long the head of a request may take;
- what is refused gets 429 (this asker) or 503 (all together) with `Retry-After`; clients of the Hub wait and come again;
- memory is bounded: of askers only the last `Rates.askers` are remembered, and who has a request running is never forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as HttpScope

from weighbridge.serve.access import PERMIT, Permit, Refusal, address_key

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

NEVER_LIMITED: Final = "/healthz"
Hit = Callable[[str], None]
"""Told which limit was hit, in one word of few."""


def _nothing(_limit: str) -> None:
    """Who does not count hits."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What one request may be. Bytes and seconds."""

    header_bytes: int = 32 * 1024
    header_count: int = 100
    target_bytes: int = 8 * 1024
    body_bytes: int = 1024 * 1024
    large_body_paths: tuple[tuple[str, int], ...] = (("/admission/v1", 8 * 1024 * 1024),)
    """Paths whose bodies may be larger."""
    body_seconds: float = 20.0
    """From the head of a request to the end of its body."""
    requests: int = 1_024
    """Running at once, all together."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What one asker may have."""

    requests: int = 256
    """Running at once."""
    per_second: float = 1_000.0
    burst: int = 2_000
    askers: int = 10_000
    """Remembered at most."""


def _full(
    limit: str, wait: float, message: str, *, status: int = 429, extra: tuple[tuple[bytes, bytes], ...] = ()
) -> Refusal:
    headers = (
        (b"retry-after", str(max(1, math.ceil(wait))).encode()),
        (b"x-weighbridge-limit", limit.encode()),
        *extra,
    )
    return Refusal(status, "", message, headers)


class _Stopped(HTTPException):
    """Ends the reading of a body, in a way that frameworks let through."""


class Bounds:
    """The outermost middleware; see the rules above."""

    def __init__(self, app: ASGIApp, sizes: Sizes = Sizes(), *, hit: Hit = _nothing) -> None:
        self._app = app
        self._sizes = sizes
        self._larger = dict(sizes.large_body_paths)
        self._hit = hit
        self._running = 0

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit, refusal = self._judge(scope)
        if refusal is not None:
            self._hit(limit)
            await refusal.send(scope, send)
            return
        self._running += 1
        try:
            if _has_body(scope):
                await self._run(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        finally:
            self._running -= 1

    def _judge(self, scope: HttpScope) -> tuple[str, Refusal | None]:
        sizes = self._sizes
        headers = scope["headers"]
        header_bytes, length = 0, b"0"
        for name, value in headers:
            header_bytes += len(name) + len(value)
            if name == b"content-length":
                length = value
        if len(headers) > sizes.header_count or header_bytes > sizes.header_bytes:
            return "headers", Refusal(431, "", "The headers of this request are too large.")
        raw = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
        if len(raw) + len(scope.get("query_string", b"")) > sizes.target_bytes:
            return "target", Refusal(414, "", "The address of this request is too long.")
        if length != b"0" and (not length.isdigit() or len(length) > 18 or int(length) > self._most(scope)):
            return "body", Refusal(413, "", "The body of this request is too large.")
        if self._running >= sizes.requests and scope["path"] != NEVER_LIMITED:
            refusal = _full("requests", 1, "The gateway is busy; try again.", status=503)
            return "requests", refusal
        return "", None

    def _most(self, scope: HttpScope) -> int:
        return self._larger.get(scope["path"], self._sizes.body_bytes)

    async def _run(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        guard = _BodyGuard(receive, most=self._most(scope), seconds=self._sizes.body_seconds)
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            if guard.refusal is not None and not begun:
                return
            begun = True
            await send(message)

        with contextlib.suppress(_Stopped):
            await self._app(scope, guard.receive, sending)
        if guard.refusal is not None and not begun:
            self._hit("body" if guard.refusal.status == 413 else "slow-body")
            await guard.refusal.send(scope, send)


def _has_body(scope: HttpScope) -> bool:
    for name, value in scope["headers"]:  # without a generator: every request comes here
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return True
    return False


class _BodyGuard:
    """Counts a body and its time; once it is too much, `refusal` is the answer."""

    def __init__(self, receive: Receive, *, most: int, seconds: float) -> None:
        self._receive = receive
        self._most = most
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._count = 0
        self._whole = False
        self.refusal: Refusal | None = None

    async def receive(self) -> Message:
        """The next message; raises when the body is too much."""
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            self.refusal = Refusal(
                408, "", "The body of this request arrives too slowly.", ((b"connection", b"close"),)
            )
            raise _Stopped(408) from None
        self._count += len(message.get("body", b""))
        if self._count > self._most:
            self.refusal = Refusal(413, "", "The body of this request is too large.", ((b"connection", b"close"),))
            raise _Stopped(413)
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message


# --- among askers --------------------------------------------------------------------------------


@dataclass(slots=True)
class _Asker:
    """One bucket of tokens: `left` of them at the time `at`; `running` requests."""

    left: float
    at: float
    running: int = 0


class Fair:
    """The middleware after `Access`: everybody has a rate and a number of requests at once; see the rules above."""

    def __init__(
        self, app: ASGIApp, rates: Rates = Rates(), *, hit: Hit = _nothing, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._rates = rates
        self._hit = hit
        self._clock = clock
        self._askers: OrderedDict[str, _Asker] = OrderedDict()

    @property
    def remembered(self) -> int:
        """How many askers are kept in memory."""
        return len(self._askers)

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["path"] == NEVER_LIMITED:
            await self._app(scope, receive, send)
            return
        permit = scope.get(PERMIT)
        asker = self._asker(permit.key if isinstance(permit, Permit) else address_key(scope))
        refusal = self._take(asker)
        if refusal is not None:
            await refusal.send(scope, send)
            return
        asker.running += 1
        try:
            await self._app(scope, receive, send)
        finally:
            asker.running -= 1

    def _asker(self, key: str) -> _Asker:
        asker = self._askers.get(key)
        if asker is None:
            asker = self._askers[key] = _Asker(float(self._rates.burst), self._clock())
            self._forget()
        self._askers.move_to_end(key)
        return asker

    def _forget(self) -> None:
        """Drops who was longest not seen; who has something running moves on, which `Sizes.requests` bounds."""
        spare = len(self._askers)
        while len(self._askers) > self._rates.askers and spare > 0:
            spare -= 1
            key, asker = next(iter(self._askers.items()))
            if asker.running:
                self._askers.move_to_end(key)
            else:
                del self._askers[key]

    def _take(self, asker: _Asker) -> Refusal | None:
        rates = self._rates
        now = self._clock()
        asker.left = min(float(rates.burst), asker.left + max(0.0, now - asker.at) * rates.per_second)
        asker.at = now
        if asker.running >= rates.requests:
            self._hit("asker-requests")
            return _full("asker-requests", 1, f"More than {rates.requests} requests at once; try again.")
        if asker.left < 1:
            self._hit("rate")
            wait = max(1, math.ceil((1 - asker.left) / rates.per_second))
            window = max(1, math.ceil(rates.burst / rates.per_second))
            told = (
                (b"ratelimit", f'"requests";r=0;t={wait}'.encode()),
                (b"ratelimit-policy", f'"burst";"requests";q={rates.burst};w={window}'.encode()),
            )
            return _full("rate", wait, f"Too many requests; try again in {wait} s.", extra=told)
        asker.left -= 1
        return None


# --- connections ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connections:
    """What uvicorn's connections may be."""

    most: int = 4_096
    per_address: int = 1_024
    head_seconds: float = 10.0
    """From the connection, or the first byte of a further request, to the end of that request's head."""


class _Open:
    """The connections of one process: counted by address, and those whose request's head is not here yet.

    One timer looks after all of them: a timer for each request costs more than all else that is counted here.
    """

    def __init__(self, limits: Connections, hit: Hit) -> None:
        self._limits = limits
        self._hit = hit
        self._count = 0
        self._from: Counter[str] = Counter()
        self._heads: dict[asyncio.Transport, float] = {}
        """Since when each is waited for, the oldest first."""
        self._looking = False

    def enter(self, address: str) -> bool:
        """Counts a connection; False when it is one too many."""
        if self._count >= self._limits.most or self._from[address] >= self._limits.per_address:
            self._hit("connections")
            return False
        self._count += 1
        self._from[address] += 1
        return True

    def leave(self, address: str, transport: asyncio.Transport) -> None:
        """Counts it no more."""
        self._heads.pop(transport, None)
        self._count -= 1
        self._from[address] -= 1
        if not self._from[address]:
            del self._from[address]

    def head_begins(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """A head is waited for, unless one is already."""
        self._heads.setdefault(transport, loop.time())
        if not self._looking:
            self._looking = True
            loop.call_later(self._limits.head_seconds / 8, self._look, loop)

    def head_is_here(self, transport: asyncio.Transport) -> None:
        """It is waited for no more."""
        self._heads.pop(transport, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        latest = loop.time() - self._limits.head_seconds
        late = list(itertools.takewhile(lambda transport: self._heads[transport] <= latest, self._heads))
        for transport in late:
            del self._heads[transport]
            self._hit("slow-head")
            transport.abort()
        self._looking = bool(self._heads)
        if self._looking:
            loop.call_later(self._limits.head_seconds / 8, self._look, loop)


def guarded(limits: Connections = Connections(), *, hit: Hit = _nothing) -> type[HttpToolsProtocol]:
    """A protocol class for `uvicorn.Config(http=…)`. Counts are kept per call, so one class serves one process."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    open_ = _Open(limits, hit)

    class Guarded(HttpToolsProtocol):
        """uvicorn's protocol with limits on connections and on the time of a request's head."""

        _address = ""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            address = address_key({"client": self.client})
            if not open_.enter(address):
                transport.abort()
                return
            self._address = address
            open_.head_begins(transport, self.loop)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._address:
                open_.leave(self._address, self.transport)
                self._address = ""
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            if self._address:
                open_.head_begins(self.transport, self.loop)
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            open_.head_is_here(self.transport)
            super().on_headers_complete()

    return Guarded
