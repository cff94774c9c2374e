"""A forward proxy that passes a client's requests on and writes down what each of them gave away.

Rules:

- what is kept of a request is its host, method, path, the client's name for itself, and whether an Authorization header was
  sent; never a header's value, a body, or a query's value that could be a secret;
- what a client sends in a TLS tunnel is read with a certificate of `interception.Authority`, and sent on over TLS whose
  certificate is checked. A client that refuses the certificate is recorded by its host alone, and passed on unread from then on;
- one request on one connection to the server; the answer's bytes are handed on as they come, and not kept.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

import h11

from weighbridge.core.errors import LimitExceeded
from weighbridge.core.shown import plain
from weighbridge.posture.egress import MAX_REQUESTS
from weighbridge.posture.interception import Authority

Connect = Callable[[str, int], socket.socket]
"""Opens a connection to a host and port, or raises OSError."""

IDLE_SECONDS: Final = 120.0
TRIAL_SECONDS: Final = 5.0
MAX_CONNECTIONS: Final = 512
MAX_HEAD_BYTES: Final = 64 * 1024
MAX_SHOWN_VALUE: Final = 40
_BLOCK: Final = 256 * 1024
_HOP_BY_HOP: Final = frozenset(
    b"connection keep-alive proxy-connection proxy-authorization te trailer upgrade expect".split()
)
_SECRETS: Final = ("sig", "token", "credential", "key", "policy", "secret", "password", "auth")


@dataclass(slots=True)
class Recorded:
    """One request. `outcome` is `answered`, `unread` (a tunnel that could not be looked into) or `refused`."""

    host: str
    method: str
    path: str = ""
    user_agent: str = ""
    authorization: bool = False
    outcome: str = "refused"


@dataclass
class Recorder:
    """Serves one listening socket until `close`. `authority` may be None: then tunnels are passed on unread."""

    listening: socket.socket
    connect: Connect
    authority: Authority | None = None
    requests: list[Recorded] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _unreadable: set[str] = field(default_factory=set)
    _trials: dict[str, threading.Event] = field(default_factory=dict)
    """By host, whether it is known what the first client there made of our certificate."""
    _ended: threading.Event = field(default_factory=threading.Event)
    _room: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(MAX_CONNECTIONS))

    def to_bytes(self) -> bytes:
        """The recording as `posture --egress` reads it: a JSON list, in the order in which the requests came.

        Raises:
            LimitExceeded: there were more than a recording may hold.
        """
        with self._lock:
            if len(self.requests) > MAX_REQUESTS:
                raise LimitExceeded(f"the client made more than {MAX_REQUESTS} requests")
            rows = [
                {
                    "host": one.host,
                    "method": one.method,
                    "path": one.path,
                    "user_agent": one.user_agent,
                    "authorization": one.authorization,
                    "outcome": one.outcome,
                }
                for one in self.requests
            ]
        return (json.dumps(rows, ensure_ascii=False, indent=1) + "\n").encode()

    @contextlib.contextmanager
    def serving(self) -> Iterator[Recorder]:
        """Accepts connections in the background; the socket stays open afterwards."""
        self.listening.setblocking(False)
        accepting = threading.Thread(target=self._accept, name="egress", daemon=True)
        accepting.start()
        try:
            yield self
        finally:
            self._ended.set()
            accepting.join(5)

    def _accept(self) -> None:
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.listening, selectors.EVENT_READ)
            while not self._ended.is_set():
                if not waiting.select(0.2):
                    continue
                with contextlib.suppress(OSError):
                    client, _ = self.listening.accept()
                    client.settimeout(IDLE_SECONDS)
                    self._room.acquire()
                    threading.Thread(target=self._serve, args=(client,), name="egress", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, contextlib.suppress(OSError, h11.ProtocolError):
                self._requests(_Peer(client, h11.SERVER))
        finally:
            self._room.release()

    def _requests(self, client: _Peer, tunnel: tuple[str, int] | None = None) -> None:
        """The requests of one connection, one after the other; inside a tunnel they all go to its host."""
        while isinstance(event := client.next(), h11.Request):
            if event.method == b"CONNECT":
                self._tunnel(client, event)
                return
            self._pass_on(client, event, tunnel)
            if client.state.our_state is not h11.DONE or client.state.their_state is not h11.DONE:
                return
            client.state.start_next_cycle()

    def _note(self, one: Recorded) -> Recorded:
        with self._lock:
            # One more than fits: the recording then says that it is not whole.
            if len(self.requests) <= MAX_REQUESTS:
                self.requests.append(one)
        return one

    # --- one request

    def _pass_on(self, client: _Peer, request: h11.Request, tunnel: tuple[str, int] | None) -> None:
        headers = [(name, value) for name, value in request.headers if name not in _HOP_BY_HOP]
        named = {name: value.decode("latin-1") for name, value in request.headers}
        target = request.target.decode("latin-1")
        try:
            url = urlsplit(target)
            host, port = tunnel or (url.hostname or "", url.port or 80)
        except ValueError:
            host, port, url = "", 0, urlsplit("")
        if not host or (tunnel is None and url.scheme != "http"):
            client.refuse(400, "this is a proxy; it wants http://host/path, or CONNECT")
            return
        noted = self._note(
            Recorded(
                host.lower(),
                request.method.decode("latin-1"),
                _shown(url.path or "/", url.query),
                plain(named.get(b"user-agent", "")),
                b"authorization" in named,
            )
        )
        address = url._replace(scheme="", netloc="", fragment="").geturl() or "/"
        sent = h11.Request(method=request.method, target=address, headers=[*headers, (b"connection", b"close")])
        try:
            server = self._reach(host, port, secured=tunnel is not None)
        except OSError as error:
            client.refuse(502, f"{host} does not answer: {error}")
            return
        with server:
            self._exchange(client, _Peer(server, h11.CLIENT), sent, noted)

    def _reach(self, host: str, port: int, *, secured: bool) -> socket.socket:
        connection = self.connect(host, port)
        if not secured:
            return connection
        try:
            return ssl.create_default_context().wrap_socket(connection, server_hostname=host)
        except (OSError, ValueError) as error:
            # A name that no certificate can bear is refused like a server that does not answer.
            connection.close()
            raise OSError(str(error)) from error

    def _exchange(self, client: _Peer, server: _Peer, request: h11.Request, noted: Recorded) -> None:
        server.send(request)
        while isinstance(event := client.next(), h11.Data):
            server.send(h11.Data(data=event.data))
        server.send(h11.EndOfMessage())
        while isinstance(answer := server.next(), h11.InformationalResponse):
            pass
        if not isinstance(answer, h11.Response):
            client.refuse(502, f"{noted.host} gave no answer")
            return
        noted.outcome = "answered"
        kept = [(name, value) for name, value in answer.headers if name not in _HOP_BY_HOP]
        client.send(h11.Response(status_code=answer.status_code, headers=kept, reason=answer.reason))
        while isinstance(event := server.next(), h11.Data):
            client.send(h11.Data(data=event.data))
        # An answer that was cut must not look whole: then there is no end, and the connection closes.
        if isinstance(event, h11.EndOfMessage):
            client.send(h11.EndOfMessage())

    # --- a tunnel

    def _tunnel(self, client: _Peer, request: h11.Request) -> None:
        host, _, digits = request.target.decode("latin-1").rpartition(":")
        host = host.strip("[]").lower()
        if not host or not digits.isdigit() or int(digits) > 65_535:
            client.refuse(400, "CONNECT wants host:port")
            return
        port = int(digits)
        named = {name: value.decode("latin-1") for name, value in request.headers}
        client.next()
        client.socket.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        noted = Recorded(host, "CONNECT", user_agent=plain(named.get(b"user-agent", "")))
        if self.authority is None:
            self._unread(client.socket, (host, port), noted)
            return
        with self._lock:
            first = host not in self._trials
            trial = self._trials.setdefault(host, threading.Event())
        if not first:
            # A client that refused us may be back before that is known; one that says nothing is not waited for long.
            trial.wait(TRIAL_SECONDS)
        if host in self._unreadable:
            self._unread(client.socket, (host, port), noted)
            return
        try:
            secured = self.authority.context(host).wrap_socket(client.socket, server_side=True)
        except OSError:
            self._unreadable.add(host)
            self._note(noted).outcome = "unread"
            return
        finally:
            trial.set()
        with secured:
            self._requests(_Peer(secured, h11.SERVER), (host, port))

    def _unread(self, client: socket.socket, where: tuple[str, int], noted: Recorded) -> None:
        self._note(noted)
        try:
            server = self.connect(*where)
        except OSError:
            return
        noted.outcome = "unread"
        with server:
            relay(client, server)


class _Peer:
    """One side of an exchange: its socket, and what HTTP/1.1 says comes next."""

    def __init__(self, connection: socket.socket, role: type[h11.CLIENT | h11.SERVER]) -> None:
        self.socket = connection
        self.state = h11.Connection(role, max_incomplete_event_size=MAX_HEAD_BYTES)

    def next(self) -> h11.Event | None:
        """The next event; None at the end of the connection.

        Raises:
            OSError: the connection broke. h11.ProtocolError: it does not speak HTTP/1.1.
        """
        while True:
            event = self.state.next_event()
            if event is h11.NEED_DATA:
                if self.state.they_are_waiting_for_100_continue:
                    self.send(h11.InformationalResponse(status_code=100, headers=[]))
                self.state.receive_data(self.socket.recv(_BLOCK))
                continue
            if isinstance(event, h11.ConnectionClosed) or not isinstance(event, h11.Event):
                return None
            return event

    def send(self, event: h11.Event) -> None:
        """Sends an event. Raises OSError, h11.ProtocolError."""
        data = self.state.send(event)
        if data:
            self.socket.sendall(data)

    def refuse(self, status: int, why: str) -> None:
        """Answers with a status and a line, and ends the connection."""
        body = f"{why}\n".encode()
        length = [("Content-Length", str(len(body))), ("Content-Type", "text/plain"), ("Connection", "close")]
        self.send(h11.Response(status_code=status, headers=length))
        self.send(h11.Data(data=body))
        self.send(h11.EndOfMessage())


def connect_directly(host: str, port: int) -> socket.socket:
    """A TCP connection to a host. Raises OSError."""
    connection = socket.create_connection((host, port), timeout=30)
    connection.settimeout(IDLE_SECONDS)
    return connection


def relay(one: socket.socket, other: socket.socket) -> None:
    """Passes bytes both ways until both sides have ended."""
    one.settimeout(None)
    other.settimeout(None)
    there = threading.Thread(target=_pump, args=(one, other), daemon=True)
    there.start()
    _pump(other, one)
    there.join(IDLE_SECONDS)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(_BLOCK):
            sink.sendall(block)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _shown(path: str, query: str) -> str:
    """A path with its query, in which long values and those that name a secret are left out."""
    pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=200) if query.count("&") < 200 else []
    kept = [
        f"{quote(name)}={quote(value)}"
        if len(value) <= MAX_SHOWN_VALUE and not any(word in name.lower() for word in _SECRETS)
        else f"{quote(name)}=…"
        for name, value in pairs
    ]
    return plain(f"{path}?{'&'.join(kept)}" if kept else path)
