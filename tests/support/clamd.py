"""A small clamd: the real protocol over a real socket, one signature (EICAR), and faults on demand.

Faithful in what matters here: commands with a `z` prefix end in a zero byte and so do answers; INSTREAM takes chunks with
their length in four bytes, big end first; a stream beyond StreamMaxLength is answered with an error and closed.
"""

from __future__ import annotations

import contextlib
import socketserver
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

VERSION = "ClamAV 1.4.6/27800/Mon Nov 16 08:12:01 2026"
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR" + b"-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


@dataclass
class Daemon:
    """What a test asks of it and what it saw."""

    address: str = ""
    stream_max_length: int = 25 * 1024 * 1024
    fault: str = ""
    """"" for none; "silent" never answers, "breaks" closes in the middle, "confused" answers something else."""

    streams: list[int] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)


class _Talk(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        daemon: Daemon = self.server.daemon  # type: ignore[attr-defined]
        command = b""
        while not command.endswith(b"\0"):
            part = self.rfile.read(1)
            if not part:
                return
            command += part
        if command == b"zVERSION\0":
            self.wfile.write(VERSION.encode() + b"\0")
        elif command == b"zINSTREAM\0":
            self._stream(daemon)
        else:
            self.wfile.write(b"UNKNOWN COMMAND\0")

    def _stream(self, daemon: Daemon) -> None:
        data = b""
        while length := struct.unpack("!I", self.rfile.read(4))[0]:
            if len(data) + length > daemon.stream_max_length:
                self.wfile.write(b"INSTREAM size limit exceeded. ERROR\0")
                return
            data += self.rfile.read(length)
        daemon.streams.append(len(data))
        if daemon.fault == "silent":
            daemon.release.wait(30)
        elif daemon.fault == "breaks":
            self.wfile.write(b"stream: O")
        elif daemon.fault == "confused":
            self.wfile.write(b"stream: perhaps\0")
        else:
            self.wfile.write(b"stream: Eicar-Signature FOUND\0" if EICAR[:33] in data else b"stream: OK\0")


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True


class _Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextlib.contextmanager
def clamd(socket_path: Path | None = None) -> Iterator[Daemon]:
    """A daemon at a Unix socket, or at a TCP port of its own."""
    daemon = Daemon()
    server: socketserver.BaseServer
    if socket_path is not None:
        server, daemon.address = _Unix(str(socket_path), _Talk), f"unix:{socket_path}"
    else:
        tcp = _Tcp(("127.0.0.1", 0), _Talk)
        server, daemon.address = tcp, f"tcp:127.0.0.1:{tcp.server_address[1]}"
    server.daemon = daemon  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield daemon
    finally:
        daemon.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
