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
import hashlib
import itertools
import json
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

KEPT_BYTES = 1024 * 1024
"""Objects up to this size can be read back: records and small files."""

_TAIL_BYTES = 1024
"""The end of an aws-chunked body is read, because its trailer may carry the checksum."""

_SINK_BYTES = 4 * 1024 * 1024
_HEAD_LIMIT_BYTES = 64 * 1024
_CHECKSUM = "x-amz-checksum-crc64nvme"
_XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request whose body is still on the wire."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def bucket(self) -> str:
        """The first segment of the path."""
        return self.path[1:].partition("/")[0]

    @property
    def key(self) -> str:
        """Everything after the bucket."""
        return self.path[1:].partition("/")[2]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `zeros` is the length of a body of zeros, for what was forgotten."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    zeros: int = 0


@dataclass(frozen=True, slots=True)
class Body:
    """What is left of a request's body: its size without framing, its bytes if small, the checksum it announced."""

    size_bytes: int = 0
    kept: bytes | None = b""
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """An object's metadata, and its bytes if it is small."""

    size_bytes: int
    etag: str
    version_id: str
    checksum: str
    content: bytes | None

    def headers(self) -> dict[str, str]:
        """As S3 sends them with an object."""
        found = {
            "ETag": f'"{self.etag}"',
            "x-amz-version-id": self.version_id,
            "Last-Modified": formatdate(usegmt=True),
        }
        if self.checksum:
            found |= {_CHECKSUM: self.checksum, "x-amz-checksum-type": "FULL_OBJECT"}
        return found


@dataclass(slots=True)
class Upload:
    """A multipart upload: number to (size, ETag)."""

    bucket: str
    key: str
    parts: dict[int, tuple[int, str]] = field(default_factory=dict)


class Refused(Exception):
    """An S3 error to be answered."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class Metadata:
    """Everything that is remembered. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._objects: dict[tuple[str, str], Kept] = {}
        self._uploads: dict[str, Upload] = {}

    def answer(self, asked: Asked, body: Body) -> Reply:
        """The answer to a request whose body has been read."""
        with self._lock:
            if not asked.key:
                return self._bucket(asked)
            if asked.method == "POST":
                return self._begin(asked) if "uploads" in asked.query else self._complete(asked)
            if asked.method == "PUT":
                return self._part(asked, body) if "uploadId" in asked.query else self._put(asked, body)
            if asked.method == "DELETE":
                return self._delete(asked)
            if "uploadId" in asked.query:
                return self._parts(asked)
            return self._get(asked)

    def _bucket(self, asked: Asked) -> Reply:
        prefix = asked.query.get("prefix", "")
        if "versioning" in asked.query:
            return _xml("VersioningConfiguration", "<Status>Enabled</Status>")
        if "location" in asked.query:
            return _xml("LocationConstraint", "")
        if "uploads" in asked.query:
            rows = "".join(
                f"<Upload><Key>{escape(upload.key)}</Key><UploadId>{number}</UploadId></Upload>"
                for number, upload in self._uploads.items()
                if upload.bucket == asked.bucket and upload.key.startswith(prefix)
            )
            return _xml("ListMultipartUploadsResult", f"<IsTruncated>false</IsTruncated>{rows}")
        if asked.method != "GET":
            return Reply(200)
        found = sorted(
            (key, kept)
            for (bucket, key), kept in self._objects.items()
            if bucket == asked.bucket and key.startswith(prefix)
        )
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;{kept.etag}&quot;</ETag><Size>{kept.size_bytes}</Size></Contents>"
            for key, kept in found
        )
        head = f"<Name>{escape(asked.bucket)}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(found)}</KeyCount>"
        return _xml("ListBucketResult", f"{head}<IsTruncated>false</IsTruncated>{rows}")

    def _store(self, asked: Asked, size_bytes: int, etag: str, checksum: str, content: bytes | None) -> Kept:
        place = (asked.bucket, asked.key)
        if asked.headers.get("if-none-match") == "*" and place in self._objects:
            raise Refused(412, "PreconditionFailed")
        kept = Kept(size_bytes, etag, f"v{next(self._numbers)}", checksum, content)
        self._objects[place] = kept
        return kept

    def _etag(self) -> str:
        return f"{next(self._numbers):032x}"

    def _put(self, asked: Asked, body: Body) -> Reply:
        etag = self._etag() if body.kept is None else hashlib.md5(body.kept, usedforsecurity=False).hexdigest()
        kept = self._store(asked, body.size_bytes, etag, body.checksum, body.kept)
        return Reply(200, headers=kept.headers())

    def _get(self, asked: Asked) -> Reply:
        kept = self._objects.get((asked.bucket, asked.key))
        if kept is None:
            raise Refused(404, "NoSuchKey")
        if asked.query.get("versionId", kept.version_id) != kept.version_id:
            raise Refused(404, "NoSuchVersion")
        start, end = _range(asked.headers.get("range", ""), kept.size_bytes)
        headers = kept.headers()
        status = 200
        if "range" in asked.headers:
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{kept.size_bytes}"
        if kept.content is None:
            return Reply(status, headers=headers, zeros=end - start)
        return Reply(status, kept.content[start:end], headers)

    def _delete(self, asked: Asked) -> Reply:
        if "uploadId" in asked.query:
            self._upload(asked)
            del self._uploads[asked.query["uploadId"]]
        else:
            self._objects.pop((asked.bucket, asked.key), None)
        return Reply(204)

    def _begin(self, asked: Asked) -> Reply:
        number = f"u{next(self._numbers)}"
        self._uploads[number] = Upload(asked.bucket, asked.key)
        return _xml("InitiateMultipartUploadResult", f"{_where(asked)}<UploadId>{number}</UploadId>")

    def _upload(self, asked: Asked) -> Upload:
        upload = self._uploads.get(asked.query.get("uploadId", ""))
        if upload is None or (upload.bucket, upload.key) != (asked.bucket, asked.key):
            raise Refused(404, "NoSuchUpload")
        return upload

    def _part(self, asked: Asked, body: Body) -> Reply:
        etag = self._etag()
        self._upload(asked).parts[int(asked.query["partNumber"])] = (body.size_bytes, etag)
        checksum = {_CHECKSUM: body.checksum} if body.checksum else {}
        return Reply(200, headers={"ETag": f'"{etag}"', **checksum})

    def _parts(self, asked: Asked) -> Reply:
        rows = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size></Part>"
            for number, (size, etag) in sorted(self._upload(asked).parts.items())
        )
        return _xml("ListPartsResult", f"{_where(asked)}<IsTruncated>false</IsTruncated>{rows}")

    def _complete(self, asked: Asked) -> Reply:
        upload = self._upload(asked)
        size = sum(part_size for part_size, _ in upload.parts.values())
        checksum = asked.headers.get(_CHECKSUM, "")
        kept = self._store(asked, size, f"{self._etag()}-{len(upload.parts)}", checksum, None)
        del self._uploads[asked.query["uploadId"]]
        said = f"<ETag>&quot;{kept.etag}&quot;</ETag>"
        if checksum:
            said += f"<ChecksumCRC64NVME>{checksum}</ChecksumCRC64NVME><ChecksumType>FULL_OBJECT</ChecksumType>"
        reply = _xml("CompleteMultipartUploadResult", f"{_where(asked)}{said}")
        return Reply(200, reply.body, {**reply.headers, "x-amz-version-id": kept.version_id})


def _where(asked: Asked) -> str:
    return f"<Bucket>{escape(asked.bucket)}</Bucket><Key>{escape(asked.key)}</Key>"


def _xml(root: str, content: str, status: int = 200, namespace: str = f' xmlns="{_XMLNS}"') -> Reply:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}{namespace}>{content}</{root}>'
    return Reply(status, text.encode(), {"Content-Type": "application/xml"})


def _range(text: str, size_bytes: int) -> tuple[int, int]:
    """The half-open range that a Range header asks for, the whole object without one."""
    if not text:
        return 0, size_bytes
    first, _, last = text.removeprefix("bytes=").partition("-")
    start = int(first) if first else max(0, size_bytes - int(last))
    end = min(size_bytes, int(last) + 1) if first and last else size_bytes
    if start >= end:
        raise Refused(416, "InvalidRange")
    return start, end


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
            return _xml("Error", f"<Code>{refusal.code}</Code><Message/>", refusal.status, namespace="")

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
            return Body(checksum=headers.get(_CHECKSUM, ""))
        if headers.get("expect", "").lower() == "100-continue":
            self._wire.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        chunked = "x-amz-decoded-content-length" in headers
        decoded = int(headers["x-amz-decoded-content-length"]) if chunked else size
        announced = headers.get(_CHECKSUM, "")
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
    _, found, rest = tail.rpartition(f"\r\n{_CHECKSUM}:".encode())
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
