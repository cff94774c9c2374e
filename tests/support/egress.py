"""What a client sends out, recorded: a forward proxy that answers for named hosts, and a relay to one server.

The recording is what `weighbridge posture --egress FILE` reads: a list of {host, method, path, user_agent, authorization}. A
header's value never enters it, only whether there was one. Requests to hosts that nobody answers for are recorded as well,
and refused; of a tunnel (CONNECT) only the host is seen.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_BLOCK = 256 * 1024
_MAX_HEAD = 64 * 1024


@dataclass
class Recorder:
    """A forward proxy on a listening socket. `answers` maps a host (with its port, if it is not 80) to where it is."""

    listening: socket.socket
    answers: Mapping[str, tuple[str, int]]
    requests: list[dict[str, str | bool]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, file: Path) -> Path:
        """The recording as a file."""
        file.write_text(json.dumps(self.requests, indent=1) + "\n")
        return file

    def serve(self, client: socket.socket) -> None:
        """One request on one connection, passed on to whoever answers for its host."""
        with client, contextlib.suppress(OSError):
            head, rest = _head(client, b"")
            if head:
                self._pass_on(client, head, rest)

    def _pass_on(self, client: socket.socket, head: bytes, rest: bytes) -> None:
        line, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ", 2)
        headers = {name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
        url = urlsplit(target if "://" in target else f"//{target}")
        host = url.netloc if url.port not in (None, 80, 443) else str(url.hostname)
        path = "" if method == "CONNECT" else url._replace(scheme="", netloc="").geturl() or "/"
        with self._lock:
            self.requests.append(
                {
                    "host": str(url.hostname),
                    "method": method,
                    "path": path,
                    "user_agent": headers.get("user-agent", ""),
                    "authorization": "authorization" in headers,
                }
            )
        where = self.answers.get(host)
        if where is None or method == "CONNECT":
            client.sendall(
                b"HTTP/1.1 502 nobody answers for this host\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            return
        kept = [one for one in lines if one and not one.lower().startswith(("connection:", "proxy-"))]
        sent = "\r\n".join([f"{method} {path} HTTP/1.1", *kept, "Connection: close", "", ""])
        with socket.create_connection(where, timeout=30) as server:
            server.sendall(sent.encode("latin-1") + rest)
            # The client must not send its next request on a connection that ends here.
            said, body = _head(server, b"")
            status, *said_lines = said.decode("latin-1").split("\r\n")
            told = [one for one in said_lines if not one.lower().startswith(("connection:", "keep-alive:"))]
            client.sendall("\r\n".join([status, *told, "Connection: close", "", ""]).encode("latin-1") + body)
            while block := server.recv(_BLOCK):
                client.sendall(block)


def _head(client: socket.socket, pending: bytes) -> tuple[bytes, bytes]:
    """A request's head and what came after it; empty at the end of the connection."""
    while b"\r\n\r\n" not in pending and len(pending) < _MAX_HEAD:
        block = client.recv(_BLOCK)
        if not block:
            return b"", b""
        pending += block
    head, _, rest = pending.partition(b"\r\n\r\n")
    return head, rest


@contextlib.contextmanager
def recording(listening: socket.socket, answers: Mapping[str, tuple[str, int]]) -> Iterator[Recorder]:
    """A recorder on a socket, which stays open afterwards."""
    recorder = Recorder(listening, answers)
    with _accepting(listening, recorder.serve):
        yield recorder


@contextlib.contextmanager
def relaying(listening: socket.socket, target: tuple[str, int]) -> Iterator[None]:
    """Passes the bytes of every connection to one server and back."""

    def relay(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(target, timeout=30) as server:
            server.settimeout(None)
            there = threading.Thread(target=_pump, args=(client, server), daemon=True)
            there.start()
            _pump(server, client)
            there.join(5)

    with _accepting(listening, relay):
        yield


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(_BLOCK):
            sink.sendall(block)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def _accepting(listening: socket.socket, serve: object) -> Iterator[None]:
    assert callable(serve)
    ended = threading.Event()

    def accept() -> None:
        with selectors.DefaultSelector() as waiting:
            waiting.register(listening, selectors.EVENT_READ)
            while not ended.is_set():
                if waiting.select(0.2):
                    with contextlib.suppress(OSError):
                        client, _ = listening.accept()
                        client.settimeout(None)
                        threading.Thread(target=serve, args=(client,), daemon=True).start()

    listening.setblocking(False)
    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield
    finally:
        ended.set()
        accepting.join(5)
