"""Sends traces of requests, and of the reads of the store that they cause, to an OpenTelemetry collector.

- It is set up by the standard environment (`OTEL_EXPORTER_OTLP_ENDPOINT` and its kin) and needs the extra `telemetry`. Without
  either nothing of it is imported, and a request costs one comparison.
- A span is named by method and route template, never by what a client wrote. No header, query, token, address of a client or
  presigned address becomes an attribute; of names only a model's, and the keys of objects that were sealed.
- The trace that a valid W3C `traceparent` names is gone on with.
- A collector that does not answer costs spans, never requests: they wait in a bounded queue of the SDK, in a thread of its own.

Names of attributes: https://opentelemetry.io/docs/specs/semconv/http/http-spans/.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from weighbridge import __version__
from weighbridge.core.errors import WeighbridgeError
from weighbridge.core.names import Address

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from weighbridge.core.ports import ByteStream, ObjectStore, StoredObject
    from weighbridge.serve.access import Target

PREFIX: Final = "OTEL_EXPORTER_OTLP"
PROTOCOL: Final = "http/protobuf"
CLOSE_SECONDS: Final = 3.0
"""How long the last spans may take at the end; a collector that is gone must not hold up a restart."""
TEMPLATES: Final[Mapping[str, str]] = {
    "listing": "/api/models",
    "whoami": "/api/whoami-v2",
    "info": "/api/models/{model}/revision/{ref}",
    "tree": "/api/models/{model}/tree/{ref}/{path}",
    "paths-info": "/api/models/{model}/paths-info/{ref}",
    "refs": "/api/models/{model}/refs",
    "commits": "/api/models/{model}/commits/{ref}",
    "auth-check": "/api/models/{model}/auth-check",
    "likers": "/api/models/{model}/likers",
    "discussions": "/api/models/{model}/discussions",
    "resolve": "/{model}/resolve/{ref}/{path}",
    "raw": "/{model}/raw/{ref}/{path}",
    "admission": "/admission/v1",
    "healthz": "/healthz",
    "readyz": "/readyz",
    "metrics": "/metrics",
}
"""Routes as `access.target_of` names them; whatever is not here, as the pages for people, has no template of its own."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Opened:
    """What the environment asks for: tracing, or why there is none; both empty where it asks for nothing."""

    tracing: Tracing | None = None
    words: str = ""


def open_tracing(environ: Mapping[str, str] = os.environ) -> Opened:
    """Tracing as the environment wants it; wanting what is not there is said and stops nothing."""
    endpoint = environ.get(f"{PREFIX}_TRACES_ENDPOINT") or environ.get(f"{PREFIX}_ENDPOINT", "")
    exporter = environ.get("OTEL_TRACES_EXPORTER", "otlp").strip() or "otlp"
    if not endpoint or environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter == "none":
        return Opened()
    protocol = environ.get(f"{PREFIX}_TRACES_PROTOCOL") or environ.get(f"{PREFIX}_PROTOCOL") or PROTOCOL
    if protocol != PROTOCOL or exporter != "otlp":
        asked = protocol if exporter == "otlp" else exporter
        return Opened(
            words=f"traces are not sent: the environment wants {asked:.40}, and here is otlp by {PROTOCOL} alone"
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        return Opened(words="traces are not sent: the extra is not installed; pip install 'weighbridge[telemetry]'")
    # What the environment says of the service (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) counts for more than this.
    named = environ.get("OTEL_SERVICE_NAME") or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    attributes = {SERVICE_VERSION: __version__} | ({} if named else {SERVICE_NAME: "weighbridge"})
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Opened(Tracing(provider), "traces go to the collector that the environment names")


class Tracing:
    """Makes spans. Thread-safe."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("weighbridge.serve", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._current = trace.get_current_span
        self._kinds = trace.SpanKind
        self._failed = trace.StatusCode.ERROR

    def close(self) -> None:
        """Sends what waits, for a moment, and ends."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces-end", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)

    @contextmanager
    def request(self, method: str, target: Target, parent: str, answer: Answer) -> Iterator[None]:
        """A span around the answer to a request, which is filled meanwhile; `parent` is a valid `traceparent` or ""."""
        shown = method if method in METHODS else "_OTHER"
        template = TEMPLATES.get(target.route, "")
        attributes: dict[str, str | int] = {"http.request.method": shown}
        if template:
            attributes["http.route"] = template
        if target.model_name is not None:
            attributes["weighbridge.model"] = str(target.model_name)
        context = self._propagator.extract({"traceparent": parent} if parent else {})
        with self._tracer.start_as_current_span(
            f"{shown} {template or target.route}",
            context=context,
            kind=self._kinds.SERVER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            finally:
                if answer.status:
                    span.set_attribute("http.response.status_code", answer.status)
                span.set_attribute("http.response.body.size", answer.sent)
                # No status: the connection or the program broke before there was an answer.
                if answer.status >= 500 or not answer.status:
                    span.set_status(self._failed)

    def read(self, what: str, attributes: Mapping[str, str | int]) -> AbstractContextManager[object] | None:
        """A span within the request that is answered here; None outside of one."""
        if not self._current().get_span_context().is_valid:
            return None
        return self._span(what, attributes)

    @contextmanager
    def _span(self, what: str, attributes: Mapping[str, str | int]) -> Iterator[None]:
        with self._tracer.start_as_current_span(
            what,
            kind=self._kinds.CLIENT,
            attributes=dict(attributes),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except (WeighbridgeError, OSError) as error:
                # Its name alone: a message may hold an address with a signature.
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(self._failed)
                raise

    def over(self, store: ObjectStore) -> ObjectStore:
        """The store, with a span around each read."""
        return cast("ObjectStore", _TracedStore(store, self))


@dataclass(slots=True)
class Answer:
    """What became of a request: status (0: none was sent) and bytes of the body."""

    status: int = 0
    sent: int = 0


class _TracedStore:
    """A store whose reads are spans; everything else is the store's own."""

    def __init__(self, store: ObjectStore, tracing: Tracing) -> None:
        self._store = store
        self._tracing = tracing
        self._kind = Address.parse(store.address).scheme

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def _about(self, key: str) -> dict[str, str | int]:
        return {"weighbridge.store": self._kind, "weighbridge.store.key": key[:300]}

    def head(self, key: str, *, version_id: str = "") -> StoredObject:
        """See `core.ports.ObjectStore`."""
        span = self._tracing.read("store head", self._about(key))
        if span is None:
            return self._store.head(key, version_id=version_id)
        with span:
            return self._store.head(key, version_id=version_id)

    def open(self, key: str, start: int, end: int, *, version_id: str = "") -> AbstractContextManager[ByteStream]:
        """See `core.ports.ObjectStore`; the span lasts until the stream is closed."""
        span = self._tracing.read("store read", {**self._about(key), "weighbridge.store.bytes": end - start})
        opened = self._store.open(key, start, end, version_id=version_id)
        return opened if span is None else _within(span, opened)


@contextmanager
def _within(span: AbstractContextManager[object], opened: AbstractContextManager[ByteStream]) -> Iterator[ByteStream]:
    with span, opened as stream:
        yield stream
