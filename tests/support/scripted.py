"""A loopback server that answers what a test scripts, byte by byte, and counts the connections it accepted."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

Ending = Literal["keep", "close", "reset", "stall"]


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes to send for one request, and what happens to the connection afterwards."""

    data: bytes
    ending: Ending = "keep"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came in."""

    line: str
    headers: dict[str, str]
    body: bytes


def answer(
    body: bytes = b"", *, status: str = "200 OK", headers: Sequence[str] = (), length: int | None = None,
    ending: Ending = "keep",
) -> Answer:  # fmt: skip
    """A plain answer; `length` is the announced Content-Length where it differs from the body's, -1 for none."""
    announced = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", *([f"Content-Length: {announced}"] if announced >= 0 else []), *headers, "", ""]
    return Answer("\r\n".join(lines).encode("latin-1") + body, ending)


@dataclass
class Scripted:
    """What the server is to do, and what it saw. The last answer is given again and again."""

    address: str
    answers: Sequence[Answer]
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: threading.Event = field(default_factory=threading.Event)
    streams: list[socket.socket] = field(default_factory=list)

    def take(self, asked: Asked) -> Answer:
        """Notes a request and returns its answer."""
        with self.lock:
            self.asked.append(asked)
            return self.answers[min(len(self.asked), len(self.answers)) - 1]


@contextlib.contextmanager
def scripted(*answers: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """Runs the server on a free loopback port; nothing of it is left afterwards."""
    listener = socket.create_server(("127.0.0.1", 0))
    scheme = "https" if tls else "http"
    server = Scripted(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}", answers)
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            if server.stopped.is_set():
                connection.close()
                return
            with server.lock:
                server.connections += 1
            thread = threading.Thread(target=_serve, args=(server, connection, tls), daemon=True)
            threads.append(thread)
            thread.start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield server
    finally:
        server.stopped.set()
        with contextlib.suppress(OSError):
            socket.create_connection(listener.getsockname(), timeout=5).close()
        accepting.join(timeout=5)
        listener.close()
        for connection in server.streams:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(timeout=5)


def _serve(server: Scripted, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
    wrap: Callable[[socket.socket], socket.socket] = (
        (lambda plain: tls.wrap_socket(plain, server_side=True)) if tls else (lambda plain: plain)
    )
    with contextlib.suppress(OSError), wrap(connection) as stream, stream.makefile("rb") as lines:
        server.streams.append(stream)
        while True:
            line = lines.readline().decode("latin-1").rstrip("\r\n")
            if not line:
                return
            headers = {}
            while header := lines.readline().decode("latin-1").rstrip("\r\n"):
                name, _, value = header.partition(":")
                headers[name.strip().lower()] = value.strip()
            body = lines.read(int(headers.get("content-length", "0")))
            given = server.take(Asked(line, headers, body))
            stream.sendall(given.data)
            if given.ending == "stall":
                server.stopped.wait(30)
            if given.ending == "reset":
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if given.ending != "keep":
                return
