"""The recorder of a client's requests on a socket of a test's choosing, and a relay to one server."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator, Mapping

from weighbridge.posture.recorder import Recorder, relay


@contextlib.contextmanager
def recording(listening: socket.socket, answers: Mapping[str, tuple[str, int]]) -> Iterator[Recorder]:
    """A recorder on a socket; `answers` maps a host (with its port, if it is not 80) to where it is, nobody else answers."""

    def connect(host: str, port: int) -> socket.socket:
        where = answers.get(host if port in (80, 443) else f"{host}:{port}")
        if where is None:
            raise OSError("nobody answers for this host")
        return socket.create_connection(where, timeout=30)

    with Recorder(listening, connect).serving() as recorder:
        yield recorder


@contextlib.contextmanager
def relaying(listening: socket.socket, target: tuple[str, int]) -> Iterator[None]:
    """Passes the bytes of every connection to one server and back."""
    ended = threading.Event()

    def pass_on(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(target, timeout=30) as server:
            relay(client, server)

    def accept() -> None:
        with selectors.DefaultSelector() as waiting:
            waiting.register(listening, selectors.EVENT_READ)
            while not ended.is_set():
                if waiting.select(0.2):
                    with contextlib.suppress(OSError):
                        client, _ = listening.accept()
                        threading.Thread(target=pass_on, args=(client,), daemon=True).start()

    listening.setblocking(False)
    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield
    finally:
        ended.set()
        accepting.join(5)
