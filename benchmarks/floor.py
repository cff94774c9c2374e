"""The least that one process can spend on moving and proving bytes: receive, SHA-256, CRC64NVME, send; no more.

`python -m benchmarks.floor SOURCE_URL... --to ENDPOINT/BUCKET [--blake3]`. One thread, plain sockets, one buffer that stays
in the cache. No retry, no chunk, no record: it proves nothing, it is the measure for what does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import socket
import sys
from urllib.parse import urlsplit

from awscrt.checksums import crc64nvme

BUFFER_BYTES = 512 * 1024


def _ask(url: str, head: str) -> socket.socket:
    parts = urlsplit(url)
    wire = socket.create_connection((parts.hostname or "", parts.port or 80))
    wire.sendall(f"{head} HTTP/1.1\r\nHost: {parts.netloc}\r\n".encode())
    return wire


def _answer(wire: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers, and the beginning of the body that came with them."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        piece = wire.recv(4096)
        if not piece:
            raise ConnectionError("no answer")
        seen += piece
    head, _, rest = seen.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split(" ")[1]), headers, rest


def _open(url: str) -> tuple[socket.socket, int, bytes]:
    """The body of a GET, redirects followed."""
    while True:
        parts = urlsplit(url)
        wire = _ask(url, f"GET {parts.path}{'?' + parts.query if parts.query else ''}")
        wire.sendall(b"\r\n")
        status, headers, rest = _answer(wire)
        if status == 200:
            return wire, int(headers["content-length"]), rest
        wire.close()
        if status not in (302, 307):
            raise ConnectionError(f"{url} answered {status}")
        url = headers["location"]


def cross(url: str, target: str, *, with_blake3: bool) -> tuple[str, int]:
    """Moves one file; returns its SHA-256 and its size."""
    buffer = bytearray(BUFFER_BYTES)
    whole = memoryview(buffer)
    sha256, crc = hashlib.sha256(), 0
    chunks = None
    if with_blake3:
        from blake3 import blake3

        chunks = blake3()
    source, size, first = _open(url)
    sink = _ask(target, f"PUT {urlsplit(target).path}")
    sink.sendall(f"Content-Length: {size}\r\n\r\n".encode())
    whole[: len(first)] = first
    count, left = len(first) or source.recv_into(whole), size
    while left:
        if not count:
            raise ConnectionError("the source ended early")
        view = whole[:count]
        sha256.update(view)
        crc = crc64nvme(view, crc)
        if chunks is not None:
            chunks.update(view)
        sink.sendall(view)
        left -= count
        if left:
            count = source.recv_into(whole)
    status, _, _ = _answer(sink)
    if status != 200:
        raise ConnectionError(f"the sink answered {status}")
    source.close()
    sink.close()
    return sha256.hexdigest(), size


def main() -> int:
    """Prints one JSON object: path to SHA-256, and the bytes in all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor", description=__doc__)
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--to", required=True)
    parser.add_argument("--blake3", action="store_true")
    chosen = parser.parse_args()
    found = {url: cross(url, f"{chosen.to}/{url.rpartition('/')[2]}", with_blake3=chosen.blake3) for url in chosen.urls}
    digests = {url.rpartition("/")[2]: digest for url, (digest, _) in found.items()}
    print(json.dumps({"digests": digests, "total_bytes": sum(size for _, size in found.values())}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
