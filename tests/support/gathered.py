"""What tests of posture's collectors share: a dossier of what was gathered, once every promise was seen to be kept."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from tests.support.waiting import PATIENCE_SECONDS
from weighbridge.core.canonical import JsonValue
from weighbridge.posture.evidence import Dossier, Evidence, Unobtained
from weighbridge.wire.http import Http

NOW = (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
"""Soon: after everything that is signed here, and before it expires."""


@contextlib.contextmanager
def http_pool(*, read_seconds: float = PATIENCE_SECONDS) -> Iterator[Http]:
    """Connections as posture asks by."""
    pool = Http(user_agent="posture-tests", connect_timeout_seconds=2, read_timeout_seconds=read_seconds, connections=8)
    try:
        yield pool
    finally:
        pool.close()


def noted(gathered: Iterable[Evidence | Unobtained], promised: tuple[str, ...]) -> Dossier:
    """A dossier, after the promise of every collector was seen to be kept: each id once, and fit to be a record."""
    everything = list(gathered)
    assert sorted(one.id for one in everything) == sorted(promised)
    dossier = Dossier.of(everything)
    assert Dossier.from_bytes(json.dumps(dossier.to_json()).encode()).to_json() == dossier.to_json()
    assert all(one.observed_at == NOW and one.source for one in dossier)
    assert all(why for why in dossier.unobtained.values())
    return dossier


def value(dossier: Dossier, id_: str) -> JsonValue:
    assert id_ in dossier.facts, dossier.unobtained.get(id_)
    return dossier.facts[id_].value


@contextlib.contextmanager
def answering(answer: Callable[[str], bytes]) -> Iterator[str]:
    """The address of a server to which every request is a success, with the body that is given for its path."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answer(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with served(Answering) as address:
        yield address


@contextlib.contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server's address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
