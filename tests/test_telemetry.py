"""Traces, sent to the receiving end of OTLP by a gateway that runs as users run it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.support.gateway import GatewayProcess, Shelf, large, running
from tests.support.otlp import Collector, Span, collector
from weighbridge.serve.telemetry import open_tracing

PARENT = "00-" + "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7" + "-01"
SERVER, CLIENT = 2, 3


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    base = tmp_path_factory.mktemp("traced")
    shelf = Shelf(Command(base / "home"))
    shelf.ingest("tiny", large(base / "tiny", seed=5, chunks=0.1))
    shelf.approve("tiny")
    return shelf


@pytest.fixture(scope="module")
def traced(shelf: Shelf) -> Iterator[tuple[GatewayProcess, Collector]]:
    with collector() as received:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.endpoint,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=weighbridge",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        with running(shelf.command, env=environment) as gateway:
            yield gateway, received


def of(trace: str) -> str:
    """A `traceparent` with that trace."""
    return f"00-{trace}-00f067aa0ba902b7-01"


def test_a_request_and_its_reads_of_the_store_are_one_trace(traced: tuple[GatewayProcess, Collector]) -> None:
    gateway, received = traced
    answer = gateway.ask("/acme/tiny/resolve/main/model.safetensors?secret=in-a-query", headers={"traceparent": PARENT})
    assert answer.status == 200
    trace = PARENT.split("-")[1]
    request = received.wait(lambda one: one.trace == trace and one.kind == SERVER)
    assert request.name == "GET /{model}/resolve/{ref}/{path}"
    assert request.parent == PARENT.split("-")[2]
    assert request.attributes == {
        "http.request.method": "GET",
        "http.route": "/{model}/resolve/{ref}/{path}",
        "http.response.status_code": 200,
        "http.response.body.size": len(answer.body),
        "weighbridge.model": "acme/tiny",
    }
    assert request.resource["service.name"] == "weighbridge"
    assert "service.version" in request.resource
    read = received.wait(
        lambda one: one.trace == trace and one.name == "store read" and "safetensors" in str(one.attributes)
    )
    assert (read.parent, read.kind) == (request.span, CLIENT)
    assert read.attributes["weighbridge.store"] == "folder"
    assert read.attributes["weighbridge.store.bytes"] == len(answer.body)
    assert set(received.paths) == {"/v1/traces"}


def test_refusals_are_spans_and_nothing_of_a_client_is_in_them(
    traced: tuple[GatewayProcess, Collector], shelf: Shelf
) -> None:
    gateway, received = traced
    secret = "hf_" + "s3cr3t" * 6
    headers = {"Authorization": f"Bearer {secret}", "User-Agent": "agent-with-a-name", "Cookie": "c=cookie-of-mine"}
    for number, path in enumerate(
        (
            f"/api/models/acme/none?token={secret}",
            f"/acme/tiny/resolve/{secret}/config.json?X-Amz-Signature={secret}",
            f"/random/{secret}",
            "/acme/tiny/resolve/main/..%2f..%2fsecret-path",
        )
    ):
        trace = f"{number + 1:032x}"
        status = gateway.ask(path, headers={**headers, "traceparent": of(trace)}).status
        assert status in (400, 404)
        found = received.wait(lambda one, trace=trace: one.trace == trace and one.kind == SERVER)  # type: ignore[misc]
        assert found.attributes["http.response.status_code"] == status
        assert not found.failed  # the client's mistake, not ours
    sent = b"".join(received.raw)
    for words in (secret, "agent-with-a-name", "cookie-of-mine", "secret-path", "in-a-query", "127.0.0.1"):
        assert words.encode() not in sent
    assert all(not one.events for one in received.spans)


@pytest.mark.parametrize(
    "parent", ["", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "zz" + PARENT[2:], PARENT + "-x", "x" * 9000]
)
def test_a_trace_that_is_none_begins_a_new_one(parent: str, traced: tuple[GatewayProcess, Collector]) -> None:
    gateway, received = traced
    before = {one.span for one in received.spans}
    gateway.ask("/api/whoami-v2", headers={"traceparent": parent} if parent else {})

    def fresh(one: Span) -> bool:
        return one.span not in before and one.attributes.get("http.route") == "/api/whoami-v2"

    found = received.wait(fresh)
    assert (found.parent, len(found.trace)) == ("", 32)
    assert found.trace != PARENT.split("-")[1]


def test_what_waits_is_sent_at_the_end_and_a_dead_collector_holds_nothing_up(shelf: Shelf) -> None:
    with collector() as received:
        slow = {"OTEL_EXPORTER_OTLP_ENDPOINT": received.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "600000"}
        with running(shelf.command, env=slow) as gateway:
            gateway.hear("traces go to the collector")
            assert gateway.ask("/api/models/acme/tiny").status == 200
            assert not received.spans
        assert [one.attributes["http.route"] for one in received.spans if one.kind == SERVER] == [
            "/api/models/{model}/revision/{ref}"
        ]
        gone = received.endpoint
    with running(shelf.command, env={"OTEL_EXPORTER_OTLP_ENDPOINT": gone}) as gateway:
        assert gateway.ask("/api/models/acme/tiny").status == 200
    # `running` ends it by SIGTERM and waits for it; it is not killed.
    assert gateway.process.returncode == 0


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "wants grpc"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "zipkin"}, "wants zipkin"),
    ],
)
def test_what_is_not_asked_for_is_not_done(environ: dict[str, str], words: str) -> None:
    opened = open_tracing(environ)
    assert opened.tracing is None
    assert words in opened.words
    assert bool(words) == bool(opened.words)


def test_without_the_environment_nothing_of_it_is_imported(tmp_path: Path) -> None:
    script = (
        "import sys; import weighbridge.serve.layers, weighbridge.serve.telemetry as t; t.open_tracing({});"
        "print([one for one in sys.modules if one.startswith('opentelemetry')])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ran.stdout.strip() == "[]"


def test_without_the_extra_it_says_so_and_goes_on(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['opentelemetry.sdk'] = None\n"
        "from weighbridge.serve.telemetry import open_tracing\n"
        "print(open_tracing({'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://c'}))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "tracing=None" in ran.stdout
    assert "pip install 'weighbridge[telemetry]'" in ran.stdout
