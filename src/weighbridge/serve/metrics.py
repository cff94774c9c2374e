"""What a gateway counts, in the text form that Prometheus reads, and the trace that a request belongs to.

Rules:

- every label has few values, known beforehand: routes of `access.target_of`, statuses, limits. Nothing that a client wrote
  becomes a label, so hostile requests cannot make the exposition grow;
- counting is a few additions under one lock; numbers are this process's own and begin with it;
- traces are W3C Trace Context: a valid `traceparent` goes into the log and on to whoever asks `traceparent_of`; where traces
  are sent (`serve.telemetry`) each request is a span.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as HttpScope

from weighbridge.core.errors import WeighbridgeError
from weighbridge.serve.access import target_of
from weighbridge.serve.telemetry import Answer, Tracing

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""Upper bounds of latencies, seconds."""
MAX_ENDED: Final = 256
"""Requests that ended and are not counted yet."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
TRACEPARENT: Final = "weighbridge.traceparent"
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_access_log = logging.getLogger("weighbridge.serve.requests")
Labels = tuple[tuple[str, str], ...]

HELP: Final = {
    "weighbridge_requests_total": ("counter", "Requests answered, by route, method and status."),
    "weighbridge_requests_running": ("gauge", "Requests that are being answered."),
    "weighbridge_request_seconds": ("histogram", "Time to the end of the answer, by route."),
    "weighbridge_first_byte_seconds": ("histogram", "Time to the head of the answer, by route."),
    "weighbridge_sent_bytes_total": ("counter", "Bytes of bodies handed to the network, by route."),
    "weighbridge_chunks_total": ("counter", "Chunks of artifacts compared with the manifest, by result."),
    "weighbridge_chunk_cache_total": ("counter", "Lookups in the chunk cache, by result."),
    "weighbridge_limits_total": ("counter", "Requests and connections refused by a limit, by limit."),
    "weighbridge_model_requests_total": (
        "counter",
        "Misses of who may file a request, by result: filed, known, refused.",
    ),
    "weighbridge_admission_total": ("counter", "Objects of Kubernetes judged, by result."),
    "weighbridge_downloads_waiting": ("gauge", "Downloads journalled, and not yet in the ledger."),
    "weighbridge_index_age_seconds": ("gauge", "Time since the index of channels was last proven."),
}


class _Histogram:
    """Counts by upper bound, their sum."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(BUCKETS, value)] += 1
        self.total += value

    def lines(self, name: str, labels: Labels) -> Iterator[str]:
        sum_of = 0
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self.counts, strict=True):
            sum_of += count
            yield _line(f"{name}_bucket", (*labels, ("le", bound)), sum_of)
        yield _line(f"{name}_sum", labels, self.total)
        yield _line(f"{name}_count", labels, sum_of)


class _Route:
    """What is counted of one route."""

    __slots__ = ("answered", "first", "sent", "whole")

    def __init__(self) -> None:
        self.answered: defaultdict[tuple[str, int], int] = defaultdict(int)
        """By method and status."""
        self.first = _Histogram()
        self.whole = _Histogram()
        self.sent = 0

    def add(self, method: str, status: int, *, first: float, whole: float, sent: int) -> None:
        self.answered[method, status] += 1
        self.sent += sent
        self.whole.add(whole)
        self.first.add(first)


class Metrics:
    """The counts of one process. Thread-safe. Each method is a hook for whoever does the thing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: defaultdict[tuple[str, Labels], float] = defaultdict(float)
        self._routes: defaultdict[str, _Route] = defaultdict(_Route)
        self._ended: deque[tuple[tuple[str, str, int], float, float, int]] = deque()
        self._gauges: dict[str, Callable[[], float]] = {}

    def add(self, name: str, value: float = 1, **labels: str) -> None:
        """Adds to a counter or gauge that `HELP` names."""
        assert name in HELP
        with self._lock:
            self._counts[name, tuple(labels.items())] += value

    def chunk_verified(self, *, good: bool = True) -> None:
        """A chunk was compared with the manifest."""
        self.add("weighbridge_chunks_total", result="good" if good else "bad")

    def cache(self, *, hit: bool) -> None:
        """A chunk was looked up in the cache."""
        self.add("weighbridge_chunk_cache_total", result="hit" if hit else "miss")

    def limit_hit(self, limit: str) -> None:
        """A limit refused something; see `serve.limits`."""
        self.add("weighbridge_limits_total", limit=limit)

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        """Has a gauge read when it is asked for. One that raises a `WeighbridgeError` is left out."""
        assert name in HELP
        self._gauges[name] = read

    def request(self, labels: tuple[str, str, int], *, first: float, whole: float, sent: int) -> None:
        """A request ended: route, method and status; seconds to its head and end; bytes of its body."""
        self._ended.append((labels, first, whole, sent))
        if len(self._ended) >= MAX_ENDED:
            self._count_ended()

    def _count_ended(self) -> None:
        """Counts the requests that ended since the last time, together: that costs each of them less."""
        with self._lock:
            while self._ended:
                (route, method, status), first, whole, sent = self._ended.popleft()
                self._routes[route].add(method, status, first=first, whole=whole, sent=sent)

    def exposition(self) -> bytes:
        """Everything, as Prometheus reads it."""
        self._count_ended()
        with self._lock:
            lines = {name: [f"# HELP {name} {text}", f"# TYPE {name} {kind}"] for name, (kind, text) in HELP.items()}
            for (name, labels), value in sorted(self._counts.items()):
                lines[name].append(_line(name, labels, value))
            for route, counted in sorted(self._routes.items()):
                by_route = (("route", route),)
                for (method, status), count in sorted(counted.answered.items()):
                    labels = (*by_route, ("method", method), ("status", str(status)))
                    lines["weighbridge_requests_total"].append(_line("weighbridge_requests_total", labels, count))
                lines["weighbridge_sent_bytes_total"].append(
                    _line("weighbridge_sent_bytes_total", by_route, counted.sent)
                )
                for name, histogram in (("request", counted.whole), ("first_byte", counted.first)):
                    name = f"weighbridge_{name}_seconds"
                    lines[name].extend(histogram.lines(name, by_route))
        for name, read in self._gauges.items():
            try:
                lines[name].append(_line(name, (), read()))
            except WeighbridgeError:
                continue
        return "".join(f"{line}\n" for found in lines.values() for line in found).encode()

    async def endpoint(self, _request: Request) -> Response:
        """The route `/metrics`."""
        return Response(self.exposition(), headers={"content-type": CONTENT_TYPE, "cache-control": "no-store"})


def _line(name: str, labels: Labels, value: float) -> str:
    # Values of labels are words of this program: they need no escapes.
    inner = ",".join(f'{key}="{text}"' for key, text in labels)
    shown = str(int(value)) if value == int(value) else repr(value)
    return f"{name}{{{inner}}} {shown}" if inner else f"{name} {shown}"


class Measured:
    """The middleware that counts requests and follows traces; outermost, so that it sees refusals as well."""

    def __init__(self, app: ASGIApp, metrics: Metrics, *, log: bool = False, tracing: Tracing | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._log = log
        self._tracing = tracing
        self._running = 0
        metrics.gauge("weighbridge_requests_running", lambda: self._running)

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        answer, first = Answer(), 0.0

        async def counting(message: Message) -> None:
            nonlocal first
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                first = time.perf_counter() - begun
                await send(message)
                return
            await send(message)
            answer.sent += len(message.get("body", b""))

        target = target_of(scope)
        route = target.route
        scope[TRACEPARENT] = trace = _traceparent(scope)
        self._running += 1
        try:
            if self._tracing is None:
                await self._app(scope, receive, counting)
            else:
                with self._tracing.request(scope["method"], target, trace, answer):
                    await self._app(scope, receive, counting)
        finally:
            whole = time.perf_counter() - begun
            self._running -= 1
            method = scope["method"] if scope["method"] in METHODS else "other"
            # 0: the connection or the program broke before there was an answer.
            status, sent = answer.status, answer.sent
            self._metrics.request((route, method, status), first=first or whole, whole=whole, sent=sent)
            if self._log:
                _access_log.info("%s %s %d %d bytes %.4f s trace=%s", method, route, status, sent, whole, trace or "-")


def traceparent_of(scope: HttpScope) -> str:
    """The `traceparent` that came with a request, when it is a valid one; else ""."""
    found = scope.get(TRACEPARENT, "")
    return found if isinstance(found, str) else ""


def _traceparent(scope: HttpScope) -> str:
    found: list[bytes] = []
    for name, value in scope["headers"]:
        if name == b"traceparent":
            found.append(value)
    text = found[0].decode("latin-1") if len(found) == 1 else ""
    return text if text and _TRACEPARENT.fullmatch(text) else ""
