"""A TCP proxy between the command and a server, that cuts connections and loses answers on cue."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

_BLOCK = 256 * 1024


@dataclass
class Cue:
    """What to do to the next `times` requests whose head matches `request` (method and target).

    `lose` lets the server act and throws its answer away; otherwise the connection is reset after `after` bytes.
    """

    request: str
    times: int
    lose: bool = False
    after: int = 0
    struck: int = field(default=0, init=False)


class CuttingProxy:
    """Listens on loopback and forwards to `target` (host, port)."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self.cues: list[Cue] = []
        self.heads: list[str] = []
        """Of every request that came through, in order."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        """Where to connect instead of the server."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        """Stops listening."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _cue(self, head: bytes) -> Cue | None:
        line = head.split(b"\r\n", 1)[0].decode("latin-1")
        if not re.match(r"(GET|PUT|POST|HEAD|DELETE) ", line):
            return None
        with self._lock:
            self.heads.append(head.partition(b"\r\n\r\n")[0].decode("latin-1"))
            for cue in self.cues:
                if cue.struck < cue.times and re.search(cue.request, line):
                    cue.struck += 1
                    return cue
        return None

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(self._target)
        losing = threading.Event()
        answers = threading.Thread(target=self._answer, args=(server, client, losing), daemon=True)
        answers.start()
        with contextlib.suppress(OSError):
            while data := client.recv(_BLOCK):
                cue = self._cue(data)
                if cue is not None and cue.lose:
                    losing.set()
                elif cue is not None:
                    server.sendall(data[: cue.after])
                    _reset(client)
                    break
                server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)
        answers.join()
        server.close()
        client.close()

    def _answer(self, server: socket.socket, client: socket.socket, losing: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(_BLOCK):
                if losing.is_set() and not data.startswith(b"HTTP/1.1 100"):
                    _reset(client)
                    return
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextlib.contextmanager
def cutting(endpoint: str) -> Iterator[CuttingProxy]:
    """A proxy in front of an `http://host:port` endpoint."""
    host, _, port = endpoint.removeprefix("http://").partition(":")
    proxy = CuttingProxy((host, int(port)))
    try:
        yield proxy
    finally:
        proxy.close()
