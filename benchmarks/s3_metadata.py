"""What the null S3 remembers, and how it answers: objects' metadata, multipart uploads, small objects' bytes.

It speaks no HTTP: `benchmarks.null_s3` reads requests and sends answers. The limits are told there.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from xml.sax.saxutils import escape

CHECKSUM = "x-amz-checksum-crc64nvme"
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
            found |= {CHECKSUM: self.checksum, "x-amz-checksum-type": "FULL_OBJECT"}
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
        checksum = {CHECKSUM: body.checksum} if body.checksum else {}
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
        checksum = asked.headers.get(CHECKSUM, "")
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


def error_reply(refusal: Refused) -> Reply:
    """An S3 error document."""
    return _xml("Error", f"<Code>{refusal.code}</Code><Message/>", refusal.status, namespace="")
