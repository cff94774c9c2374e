"""Speaks with clamd, the ClamAV daemon, over its socket: version, and one verdict for each stream of bytes.

Protocol: clamd(8), commands `zVERSION` and `zINSTREAM`: chunks with their length in four bytes, big end first, then a
length of zero; the answer ends with a zero byte.

clamd does not look at what lies beyond its limits, and above 2 GiB it answers OK without having read anything. So streams
are at most `MAX_STREAM_BYTES`, below the oldest default of its StreamMaxLength (25 MiB); whoever has more cuts it into
windows that overlap. Everything but a plain OK or FOUND is an error, never a pass.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from weighbridge.core.errors import ConfigError, InspectorCrashed, InspectorTimedOut

MAX_STREAM_BYTES: Final = 20 * 1024 * 1024
CHUNK_BYTES: Final = 256 * 1024
MAX_ANSWER_BYTES: Final = 4096
DEFAULT_PORT: Final = 3310


@dataclass(frozen=True, slots=True)
class Clamd:
    """A daemon at `address`: the path of a Unix socket, `unix:PATH`, `tcp:HOST:PORT` or `HOST:PORT`."""

    address: str
    timeout_seconds: float = 60.0

    def version(self) -> str:
        """What it says of itself and of its signatures, such as `ClamAV 1.4.6/27800/Mon Nov 16 2026`.

        Raises:
            InspectorCrashed, InspectorTimedOut: it does not answer.
            ConfigError: there can be no daemon at such an address.
        """
        with self._connected() as connection:
            connection.sendall(b"zVERSION\0")
            return self._answer(connection)

    def scan(self, data: bytes | memoryview) -> str:
        """The name of the signature that matched, or "" when none did.

        Raises:
            InspectorCrashed, InspectorTimedOut: it does not answer, or did not look at all of it.
            ConfigError: there can be no daemon at such an address.
        """
        if len(data) > MAX_STREAM_BYTES:
            raise InspectorCrashed(f"{len(data)} bytes are more than clamd is given at once")
        view = memoryview(data)
        with self._connected() as connection:
            connection.sendall(b"zINSTREAM\0")
            for start in range(0, len(view), CHUNK_BYTES):
                chunk = view[start : start + CHUNK_BYTES]
                connection.sendall(struct.pack("!I", len(chunk)))
                connection.sendall(chunk)
            connection.sendall(b"\0\0\0\0")
            answer = self._answer(connection)
        if answer == "stream: OK":
            return ""
        if answer.startswith("stream: ") and answer.endswith(" FOUND"):
            return answer[len("stream: ") : -len(" FOUND")]
        raise InspectorCrashed(f"clamd answered {answer[:100]!a}")

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        family, place = _place(self.address)
        try:
            with socket.socket(family, socket.SOCK_STREAM) as connection:
                connection.settimeout(self.timeout_seconds)
                connection.connect(place)
                yield connection
        except TimeoutError as error:
            raise InspectorTimedOut(f"clamd did not answer within {self.timeout_seconds:.0f} seconds") from error
        except OSError as error:
            raise InspectorCrashed(f"clamd cannot be reached: {error.strerror or type(error).__name__}") from error

    @staticmethod
    def _answer(connection: socket.socket) -> str:
        answer = b""
        while not answer.endswith(b"\0"):
            part = connection.recv(MAX_ANSWER_BYTES)
            if not part or len(answer) > MAX_ANSWER_BYTES:
                raise InspectorCrashed("clamd broke off its answer")
            answer += part
        return answer[:-1].decode("utf-8", "replace")


def _place(address: str) -> tuple[socket.AddressFamily, str | tuple[str, int]]:
    if address.startswith(("unix:", "/")):
        return socket.AF_UNIX, address.removeprefix("unix:").removeprefix("//")
    host, colon, port = address.removeprefix("tcp:").removeprefix("//").rpartition(":")
    if not colon:
        host, port = port, str(DEFAULT_PORT)
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(
            f"'{address}' is not where clamd can be", hint="Use unix:/run/clamav/clamd.ctl or tcp:host:3310."
        )
    host = host.removeprefix("[").removesuffix("]")
    return (socket.AF_INET6 if ":" in host else socket.AF_INET), (host, int(port))
