"""A whole gateway, as users run it, and clients that mean harm: what they send is refused, bounded, and changes no answer."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.support.cases import each
from tests.support.gateway import GatewayProcess, Shelf, large, running

GOOD = "/acme/tiny/resolve/main/config.json"
EVIL = "evil.example"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    base = tmp_path_factory.mktemp("hostile")
    shelf = Shelf(Command(base / "home"))
    shelf.ingest("tiny", large(base / "tiny", seed=4, chunks=0.05))
    shelf.approve("tiny")
    with running(shelf.command) as process:
        yield process


def heads(raw: bytes) -> list[int]:
    """The statuses of all answers in what came back."""
    return [int(part[:3]) for part in raw.split(b"HTTP/1.1 ")[1:]]


@each(
    "path",
    [
        "/acme/tiny/resolve/main/%E2%80%A4%E2%80%A4/config.json",  # one dot leaders
        "/acme/tiny/resolve/main/%EF%BC%8E%EF%BC%8E/config.json",  # fullwidth full stops
        "/acme/tiny/resolve/main/%E2%80%A5/config.json",  # a two dot leader
        "/acme/tiny/resolve/main/..%E2%88%95config.json",  # a division slash
        "/acme/tiny/resolve/main/..%EF%BC%8Fconfig.json",  # a fullwidth solidus
        "/acme/tiny/resolve/main/%252e%252e%252fconfig.json",  # encoded twice
        "/acme/tiny/resolve/main/%E2%80%AEgifnoc.json",  # turned around
        "/acme/tiny/resolve/main/config%E2%80%8D.json",  # joined by nothing
        "/acme/tiny/resolve/main/ｃonfig.json".encode().decode("latin-1"),
        "/аcme/tiny/resolve/main/config.json".encode().decode("latin-1"),  # a Cyrillic letter
        "/%D0%B0cme/tiny/resolve/main/config.json",
        "/acme%E2%88%95tiny/resolve/main/config.json",
        "/api/models/acme/%2e%2e",
        "/api/models/acme/tiny/revision/%E2%80%A4%E2%80%A4%2fmain",
        "/api/models/acme/tiny/auth-check/..",
        "/api/models/acme%2ftiny/auth-check",
        "/static/web/..%2f..%2fweb.py",
        "/static/web/%2e%2e/web.py",
        "/records/acme/tiny/" + "0" * 40 + "/..%2f..%2fseal.json",
        "/records/acme/tiny/" + "0" * 40 + "/../../../etc/passwd",
        "/models/acme/tiny/" + "0" * 40 + "%0d%0aX-Evil:%201",
    ],
)
def test_names_that_only_look_like_others_reach_nothing(path: str, gateway: GatewayProcess) -> None:
    line = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode("latin-1")
    raw = gateway.raw(line)
    assert heads(raw)[0] in (400, 404), raw[:200]
    assert b"x-evil" not in raw.lower()


@each(
    "path",
    [
        f"//{EVIL}",
        f"//{EVIL}/%2e%2e",
        f"///{EVIL}/acme/tiny/resolve/main/config.json",
        f"/\\{EVIL}",
        f"/%5c{EVIL}",
        f"/%2f%2f{EVIL}",
        f"/login?next=//{EVIL}",
        f"/login?next=https:%2f%2f{EVIL}",
        f"/login?next=%09//{EVIL}",
        f"/login/oidc?next=https://{EVIL}",
        f"/models?next=//{EVIL}&x=//{EVIL}",
        f"http://{EVIL}/acme/tiny/resolve/main/config.json",
        f"/api/models/?redirect=//{EVIL}",
    ],
)
def test_nobody_is_sent_to_another_place(path: str, gateway: GatewayProcess) -> None:
    for host in ("127.0.0.1", EVIL):
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}", f"X-Forwarded-Host: {EVIL}", f"X-Forwarded-Proto: {EVIL}"]
        raw = gateway.raw(
            ("\r\n".join([*lines, f"Referer: https://{EVIL}/", "Connection: close"]) + "\r\n\r\n").encode()
        )
        head = raw.partition(b"\r\n\r\n")[0].lower()
        locations = [line for line in head.split(b"\r\n") if line.startswith((b"location:", b"link:", b"refresh:"))]
        for line in locations:
            target = line.partition(b":")[2].strip()
            assert target.startswith(b"/"), line
            assert not target.startswith((b"//", b"/\\")), line


@each(
    "request_",
    [
        # Two lengths, or a length and chunks: what one reader takes for a body is the next request for another.
        b"POST /api/models/acme/tiny/paths-info/main HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nContent-Length: 44\r\n\r\nx=1&GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\nGET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0x4\r\n\r\nabcdGET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\nx",
        b"GET /api/models HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: b\r\n X-Folded: c\r\nX-\x00: y\r\n\r\n",
    ],
)
def test_no_request_hides_in_another(request_: bytes, gateway: GatewayProcess) -> None:
    raw = gateway.raw(request_, seconds=1.0)
    statuses = heads(raw)
    assert statuses[:1] in ([], [400], [403], [404], [413], [501]), raw[:300]
    assert b"weighbridge_requests_total" not in raw


@each(
    "header, value",
    [
        ("Range", "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 3_000, 2))),
        ("Range", "bytes=0-18446744073709551616"),
        ("Range", "bytes=" + "9" * 5_000 + "-"),
        ("If-None-Match", ",".join('"' + "a" * 60 + '"' for _ in range(300))),
        ("If-Range", '"' * 8_000),
        ("If-Modified-Since", "x" * 8_000),
        ("Cookie", "weighbridge=" + "." * 15_000),
        ("Cookie", "; ".join(f"c{n}=v" for n in range(2_000))),
        ("Authorization", "Bearer " + "x" * 15_000),
        ("Authorization", "Basic " + "=" * 500),
        ("traceparent", "0" * 15_000),
        ("Accept-Encoding", ",".join(f"gzip;q=0.{n}" for n in range(1_500))),
        ("Content-Type", "multipart/form-data; boundary=" + "b" * 10_000),
        ("X-Forwarded-For", ", ".join(["10.0.0.1"] * 1_500)),
    ],
)
def test_no_header_costs_much_or_breaks_anything(header: str, value: str, gateway: GatewayProcess) -> None:
    for path in (GOOD, "/api/models/acme/tiny", "/login"):
        answer = gateway.ask(path, headers={header: value})
        assert answer.status in (200, 206, 304, 400, 401, 412, 416, 431), (path, answer.status)


PATHS = "/api/models/acme/tiny/paths-info/main"


@each(
    "body, status",
    [
        (b'{"paths": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
        (b'{"paths": ["' + b"\\u0000" * 100_000 + b'"]}', 200),
        (b'{"paths": ["\\ud800"]}', 200),
        (b'{"paths": [' + b"1" * 200_000 + b"]}", 400),
        (b'{"paths": NaN}', 400),
        (b'{"paths": {"a": ' * 2_000 + b"1" + b"}}" * 2_000, 400),
        (b'{"paths": [' + b'"",' * 999 + b'""]}', 200),
        (b'{"paths": ["a"], "paths": ["config.json"]}', 200),
        (b'{"expand": true}', 200),
        (b"\xef\xbb\xbf{}", 200),
        (b"null", 400),
        (b"{}" + b" " * 1_100_000, 413),
    ],
)
def test_json_of_any_kind_is_bounded(body: bytes, status: int, gateway: GatewayProcess) -> None:
    answer = gateway.ask(PATHS, method="POST", body=body, headers={"Content-Type": "application/json"})
    assert answer.status == status, answer
    assert status != 200 or len(answer.body) < 1_000


@each(
    "query",
    [
        "limit=" + "9" * 4_000,
        "limit=-1",
        "limit=0",
        "limit=1&cursor=%ff%fe",
        "cursor=" + "A" * 5_000,
        "cursor=Li4vLi4v",
        "search=" + "%F0%9F%98%80" * 500,
        "filter=" + "a," * 49,
        "filter=%00",
        "sort=../../x",
        "num_parameters=min:" + "9" * 300,
        "num_parameters=min:1e400",
        "expand=" + "&expand=".join(["sha"] * 90),
        "expand=__class__&expand=siblings",
        "full=true&cardData=true&config=true&full=0",
        "&".join(f"k{n}=v" for n in range(150)),
        "%",
        "a%00b=c%0d%0aX-Evil:%201",
    ],
)
def test_questions_of_any_kind_are_answered_or_refused(query: str, gateway: GatewayProcess) -> None:
    for path in ("/api/models", "/api/models/acme/tiny", "/api/models/acme/tiny/tree/main"):
        answer = gateway.ask(f"{path}?{query}")
        assert answer.status in (200, 400, 414), (path, answer)
        assert "x-evil" not in answer.headers
        json.loads(answer.body)


@each("method", ["PUT", "DELETE", "PATCH", "POST", "OPTIONS", "TRACE", "CONNECT", "BREW", "get"])
def test_nothing_can_be_written(method: str, gateway: GatewayProcess) -> None:
    for path in (GOOD, "/api/models/acme/tiny", "/api/repos/create", "/acme/tiny/info/lfs/objects/batch"):
        raw = gateway.raw(
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nX-Secret: s3cr3t\r\n\r\n".encode()
        )
        assert heads(raw)[:1] in ([], [400], [403], [404], [405]), raw[:200]
        assert b"s3cr3t" not in raw


def test_no_address_in_a_model_is_ever_asked(tmp_path: Path) -> None:
    """Addresses in a card are words like any others, and what LFS would be asked by is not there."""
    with socket.create_server(("127.0.0.1", 0)) as outside:
        outside.settimeout(0.2)
        address = f"http://127.0.0.1:{outside.getsockname()[1]}"
        folder = large(tmp_path / "model", seed=9, chunks=0.01)
        card = f"---\nlicense: apache-2.0\nlicense_link: {address}/x\n---\n![x]({address}/y)\n"
        (folder / "README.md").write_text(card)
        shelf = Shelf(Command(tmp_path / "home"))
        shelf.ingest("links", folder)
        shelf.approve("links")
        with running(shelf.command) as gateway:
            assert gateway.ask("/acme/links/resolve/main/README.md").body == card.encode()
            assert gateway.ask("/api/models/acme/links").json["cardData"]["license_link"] == f"{address}/x"
            assert gateway.ask("/models/acme/links").status == 200
            lfs = gateway.ask("/acme/links.git/info/lfs/objects/batch", method="POST", body=b'{"operation":"download"}')
            assert lfs.status in (403, 404)
        with pytest.raises(TimeoutError):
            outside.accept()


def test_dripping_clients_keep_nobody_waiting(gateway: GatewayProcess) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(60):
            sock = stack.enter_context(socket.create_connection(gateway.address))
            sock.sendall(b"GET /api/models HTTP/1.1\r\nHost: 127.0.0.1\r\nX-" + str(number).encode())
        for _ in range(20):
            assert gateway.ask(GOOD).status == 200
    assert gateway.process.poll() is None


def test_after_all_that_it_serves_as_before(gateway: GatewayProcess) -> None:
    assert gateway.ask(GOOD).status == 200
    assert gateway.ask("/readyz").status == 200
    assert not [line for line in gateway.said if "Traceback" in line]
