"""Runs the gateway: one socket, one process, an orderly end, and a successor that takes over the socket.

- SIGTERM and SIGINT stop accepting and let running answers end for `drain_seconds`.
- SIGHUP starts a successor on the same listening socket; once that one serves, this one drains. No connection is refused
  meanwhile. A successor that does not come up changes nothing.
- A socket handed over by systemd (`LISTEN_FDS`) is used in place of host and port.
- uvicorn bounds neither the head of a request nor how long an answer waits to be taken: its protocol is bounded here.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from weighbridge.core.errors import ConfigError
from weighbridge.wire.signals import on_stop

if TYPE_CHECKING:
    from starlette.types import ASGIApp

MAX_HEAD_BYTES: Final = 64 * 1024
STALL_SECONDS: Final = 60.0
KEEP_ALIVE_SECONDS: Final = 75
BACKLOG: Final = 2_048
LINGER_SECONDS: Final = 0.5
"""How long a process that was succeeded still reads requests on connections that it accepted."""
SOCKET_VARIABLE: Final = "WEIGHBRIDGE_INHERITED_SOCKET"
_SYSTEMD_FIRST: Final = 3
_log = logging.getLogger("weighbridge.gateway")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How the server runs. `command` starts a successor; without it SIGHUP is ignored."""

    certificate: Path | None = None
    private_key: Path | None = None
    drain_seconds: int = 30
    head_bytes: int = MAX_HEAD_BYTES
    stall_seconds: float = STALL_SECONDS
    command: tuple[str, ...] = field(default=())
    protocol: type[HttpToolsProtocol] = HttpToolsProtocol


def bounded(base: type[HttpToolsProtocol], *, head_bytes: int, stall_seconds: float) -> type[HttpToolsProtocol]:
    """Uvicorn's protocol, with a bound on a request's head while it is read and on how long an answer may wait."""

    class Bounded(base):  # type: ignore[misc, valid-type]
        """See above."""

        _in_head = True
        _head = 0
        _stalled: asyncio.TimerHandle | None = None

        def data_received(self, data: bytes) -> None:
            self._head += len(data)
            super().data_received(data)
            if self._in_head and self._head > head_bytes and not self.transport.is_closing():
                self.transport.write(
                    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                )
                self.transport.close()

        def on_message_begin(self) -> None:
            self._in_head, self._head = True, 0
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._in_head = False
            super().on_headers_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._stalled = self.loop.call_later(stall_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            self._moved()
            super().resume_writing()

        def connection_lost(self, exc: Exception | None) -> None:
            self._moved()
            super().connection_lost(exc)

        def _moved(self) -> None:
            if self._stalled is not None:
                self._stalled.cancel()
                self._stalled = None

    return Bounded


def listen(host: str, port: int) -> socket.socket:
    """The listening socket: inherited, or bound to host and port (0 for any free one).

    Raises:
        ConfigError: it cannot be bound.
    """
    inherited = os.environ.get(SOCKET_VARIABLE, "").partition(":")[0]
    if inherited.isdecimal():
        return socket.socket(fileno=int(inherited))
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        return socket.socket(fileno=_SYSTEMD_FIRST)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as error:
        raise ConfigError(f"'{host}' port {port} cannot be listened on: {error.strerror or error}") from error
    sock.listen(BACKLOG)
    return sock


def address_of(sock: socket.socket, *, tls: bool) -> str:
    """The address of a socket as a URL."""
    host, port = sock.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port}"


class _Server(uvicorn.Server):
    """uvicorn's server with our signals."""

    def __init__(self, config: uvicorn.Config, sock: socket.socket, settings: ServerSettings) -> None:
        super().__init__(config)
        self._sock = sock
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._successor: subprocess.Popen[bytes] | None = None
        self.on_ready: Callable[[], None] = _tell_predecessor

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, and says so."""
        await super().startup(sockets)
        if self.started:
            self._loop = asyncio.get_running_loop()
            if self._settings.command:
                self._loop.add_signal_handler(signal.SIGHUP, self._hand_over)
            _tell_predecessor()
            self.on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but ends with code 0 rather than by the signal."""
        with on_stop(self.handle_exit):
            yield

    def _hand_over(self) -> None:
        if self._successor is not None and self._successor.poll() is None:
            return
        assert self._loop is not None
        ready, told = os.pipe()
        environment = {**os.environ, SOCKET_VARIABLE: f"{self._sock.fileno()}:{told}"}
        try:
            self._successor = subprocess.Popen(
                self._settings.command, pass_fds=(self._sock.fileno(), told), env=environment
            )
        except OSError as error:
            _log.error("no successor could be started: %s", error)
            os.close(ready)
            return
        finally:
            os.close(told)
        self._loop.add_reader(ready, self._heard, ready)

    def _heard(self, ready: int) -> None:
        assert self._loop is not None
        self._loop.remove_reader(ready)
        said = os.read(ready, 1)
        os.close(ready)
        if not said:
            _log.error("the successor did not come up; this process goes on")
            return
        # From here on the successor accepts. What was accepted here a moment ago is still to be read and answered.
        for server in self.servers:
            server.close()
        self._loop.call_later(LINGER_SECONDS, self._leave)

    def _leave(self) -> None:
        self.should_exit = True


def _tell_predecessor() -> None:
    told = os.environ.pop(SOCKET_VARIABLE, "").partition(":")[2]
    if told.isdecimal():
        with suppress(OSError):
            os.write(int(told), b"1")
            os.close(int(told))


def serve(app: ASGIApp, sock: socket.socket, settings: ServerSettings, *, on_ready: Callable[[], None]) -> None:
    """Serves until a signal ends it; `on_ready` is called when requests are answered.

    Raises:
        ConfigError: the certificate or its key cannot be used; the application did not start.
    """
    protocol = bounded(settings.protocol, head_bytes=settings.head_bytes, stall_seconds=settings.stall_seconds)
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.drain_seconds,
    )
    config.load()
    if settings.certificate is not None:
        config.ssl = tls_context(settings.certificate, settings.private_key or settings.certificate)
    server = _Server(config, sock, settings)
    server.on_ready = on_ready
    server.run(sockets=[sock])
    if not server.started:
        raise ConfigError("the gateway did not start", hint="What it said before tells why.")


def tls_context(certificate: Path, private_key: Path) -> ssl.SSLContext:
    """TLS 1.2 or newer with that certificate (PEM, with its chain) and key (PEM, not encrypted).

    Raises:
        ConfigError: they cannot be read, or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(certificate, private_key, password=_no_password)
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{certificate}' and '{private_key}' cannot be used for TLS: {error}") from error
    return context


def _no_password() -> bytes:
    raise ConfigError("the private key for TLS is encrypted", hint="Give one that is not, readable by this user only.")


def own_command() -> tuple[str, ...]:
    """How this process was started, to start a successor in the same way."""
    return (sys.executable, *sys.orig_argv[1:])
