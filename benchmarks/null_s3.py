"""A throwaway S3 endpoint that forgets what it is given, so that a benchmark measures the client and not the store.

Bodies are dropped inside the kernel (`recv` with MSG_TRUNC copies nothing). What stays is metadata: size, ETag, version
id and the CRC64NVME that the client announced. Objects of at most 1 MiB are kept and can be read back; larger ones read
as zeros.

Limits: checks no signature, no checksum and no precondition but `If-None-Match: *`; every bucket exists and is versioned,
with one version of each object; a body needs a Content-Length; no TLS; listings come in one page. Linux only. Never a
place to keep anything.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from urllib.parse import parse_qs, unquote, urlsplit

from benchmarks.s3_metadata import CHECKSUM, Asked, Body, Metadata, Refused, Reply, error_reply

KEPT_BYTES = 1024 * 1024
"""Objects up to this size can be read back: records and small files."""

_TAIL_BYTES = 1024
"""The end of an aws-chunked body is read, because its trailer may carry the checksum."""

_SINK_BYTES = 4 * 1024 * 1024
_HEAD_LIMIT_BYTES = 64 * 1024


class Connection:
    """One client's connection, served until it leaves."""

    def __init__(self, wire: socket.socket, metadata: Metadata) -> None:
        self._wire = wire
        self._metadata = metadata
        self._sink: bytearray | None = None

    def serve(self) -> None:
        """Answers requests until the client closes."""
        with self._wire:
            self._wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while (asked := self._read_head()) is not None:
                    self._send(asked, self._answer(asked))
            except ConnectionError as error:
                print(f"null S3: a connection was cut: {error!r}", file=sys.stderr, flush=True)

    def _answer(self, asked: Asked) -> Reply:
        try:
            body = self._read_body(asked)
            return self._metadata.answer(asked, body)
        except Refused as refusal:
            return error_reply(refusal)

    def _read_head(self) -> Asked | None:
        """Looks at what has come without taking it, so that exactly the head is taken and no byte of the body."""
        wanted = 4096
        while True:
            seen = self._wire.recv(wanted, socket.MSG_PEEK)
            if not seen:
                return None
            end = seen.find(b"\r\n\r\n")
            if end >= 0:
                break
            if len(seen) >= _HEAD_LIMIT_BYTES:
                raise ConnectionAbortedError("the head of a request is too long")
            if len(seen) == wanted:
                wanted *= 4
            else:
                # Part of a head has come: take the lock step of waiting for one byte more than that.
                self._wire.recv(len(seen) + 1, socket.MSG_PEEK | socket.MSG_WAITALL)
        head = self._take(end + 4).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ", 2)
        parts = urlsplit(target)
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        return Asked(method, unquote(parts.path), query, headers)

    def _take(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self._wire.recv(size - len(data))
            if not piece:
                raise ConnectionAbortedError("the body is shorter than announced")
            data += piece
        return bytes(data)

    def _drop(self, size: int) -> None:
        """Takes bytes off the wire without copying them out of the kernel."""
        if self._sink is None:
            self._sink = bytearray(_SINK_BYTES)
        while size:
            taken = self._wire.recv_into(self._sink, min(size, _SINK_BYTES), socket.MSG_TRUNC)
            if not taken:
                raise ConnectionAbortedError("the body is shorter than announced")
            size -= taken

    def _read_body(self, asked: Asked) -> Body:
        headers = asked.headers
        if "transfer-encoding" in headers:
            raise ConnectionAbortedError("a body needs a Content-Length here")
        size = int(headers.get("content-length", 0))
        if not size:
            return Body(checksum=headers.get(CHECKSUM, ""))
        if headers.get("expect", "").lower() == "100-continue":
            self._wire.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        chunked = "x-amz-decoded-content-length" in headers
        decoded = int(headers["x-amz-decoded-content-length"]) if chunked else size
        announced = headers.get(CHECKSUM, "")
        if decoded <= KEPT_BYTES:
            raw = self._take(size)
            content = b"".join(_unchunked(raw)) if chunked else raw
            return Body(decoded, content, announced or (_trailer(raw) if chunked else ""))
        if not chunked:
            self._drop(size)
            return Body(decoded, None, announced)
        self._drop(size - _TAIL_BYTES)
        return Body(decoded, None, announced or _trailer(self._take(_TAIL_BYTES)))

    def _send(self, asked: Asked, reply: Reply) -> None:
        length = reply.zeros or len(reply.body)
        lines = [f"HTTP/1.1 {reply.status} -", f"Content-Length: {length}", "Server: null-s3"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        if asked.method == "HEAD":
            self._wire.sendall(head)
            return
        self._wire.sendall(head + reply.body)
        left, zeros = reply.zeros, bytes(min(reply.zeros, 1 << 20))
        while left:
            piece = min(left, len(zeros))
            self._wire.sendall(memoryview(zeros)[:piece])
            left -= piece


def _unchunked(raw: bytes) -> Iterator[bytes]:
    """The data of an aws-chunked body."""
    at = 0
    while True:
        end = raw.index(b"\r\n", at)
        size = int(raw[at:end].partition(b";")[0], 16)
        if not size:
            return
        yield raw[end + 2 : end + 2 + size]
        at = end + 2 + size + 2


def _trailer(tail: bytes) -> str:
    """The CRC64NVME in the trailer at the end of an aws-chunked body, or nothing."""
    _, found, rest = tail.rpartition(f"\r\n{CHECKSUM}:".encode())
    return rest.partition(b"\r\n")[0].strip().decode("latin-1") if found else ""


def serve(listener: socket.socket) -> None:
    """Takes connections until the listener is closed, one thread for each."""
    metadata = Metadata()
    while True:
        try:
            wire, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=Connection(wire, metadata).serve, daemon=True).start()


def main() -> int:
    """Prints one JSON line with the endpoint and serves until it is interrupted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.null_s3", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    port = parser.parse_args().port
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with socket.create_server(("127.0.0.1", port), backlog=256) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        print(json.dumps({"endpoint": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
