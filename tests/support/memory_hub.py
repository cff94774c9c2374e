"""A `Source` over a `Hub` that has no sockets: the same repositories and faults, at the speed of memory.

Rules:

- requests and faults are those of `tests.support.hub`, route for route; only the wire is missing;
- what a client must refuse is refused with the error of `weighbridge.core.errors` that fits, so that a test of whatever
  uses a source sees each fault as the real source would report it;
- nothing waits: a stall is `Unreachable` at once, a drip gives one byte per read, an endless body ends with its range.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn
from urllib.parse import quote, urlsplit

from tests.support.hub import Asked, Content, Hub, Reply
from weighbridge.core.errors import (
    Gated,
    LengthMismatch,
    NotFound,
    PointerInsteadOfFile,
    RateLimited,
    RepositoryMoved,
    RevisionMoved,
    Truncated,
    Unreachable,
)
from weighbridge.core.names import Address, ModelName, check_paths
from weighbridge.core.snapshot import Entry, Origin, Snapshot

_LFS_HEAD = b"version https://git-lfs.github.com/spec/"


class MemorySource:
    """One model of a `Hub` as a `weighbridge.core.ports.Source`."""

    def __init__(self, hub: Hub, name: str, *, ref: str = "main", token: str = "") -> None:
        self._hub = hub
        self._name = name
        self._ref = ref
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._commit = ""

    def pin(self) -> Snapshot:
        """Resolves the ref once and lists the commit it named."""
        api = f"/api/models/{self._name}"
        info = self._object(f"{api}/revision/{quote(self._ref, safe='')}?blobs=true")
        if info["id"] != self._name:
            raise RepositoryMoved(f"{self._name} answers as {info['id']}")
        self._commit = str(info["sha"])
        entries = tuple(self._entries(f"{api}/tree/{self._commit}?recursive=true"))
        check_paths((entry.path for entry in entries), of=self._name)
        owner = self._hub.owners[self._name.partition("/")[0]]
        account = self._object(f"/api/{owner.kind}s/{owner.name}/overview")
        origin = Origin(
            kind="hub",
            address=f"hf://{self._name}@{self._ref}",
            endpoint=self._hub.endpoint,
            repository=self._name,
            repository_id=str(info["_id"]),
            owner=owner.name,
            owner_id=str(account["_id"]),
            owner_kind=owner.kind,
            requested_ref=self._ref,
            commit=self._commit,
            published_at=str(info["lastModified"]),
        )
        source = Address("hf", self._name, self._ref)
        return Snapshot(ModelName.parse(self._name), source, origin, entries, revision=self._commit)

    @contextmanager
    def open(self, entry: Entry, start: int, end: int) -> Iterator[MemoryStream]:
        """Opens a range of a pinned entry, following the Hub's redirect to its CDN and no other."""
        headers = {"range": f"bytes={start}-{end - 1}"} if end > start else {}
        reply = self._resolve(entry, headers)
        location = reply.headers.get("Location", "")
        for attempt in range(2):
            if not 300 <= reply.status < 400:
                break
            if not location.startswith(f"{self._hub.cdn}/"):
                raise RepositoryMoved(f"{entry.path} of {self._name} is said to be elsewhere")
            parts = urlsplit(location)
            served = self._hub.answer(Asked("GET", f"{parts.path}?{parts.query}", headers, origin="cdn"))
            if served.status == 403 and attempt == 0:
                reply = self._resolve(entry, headers)
                location = reply.headers.get("Location", "")
            else:
                reply = served
        if reply.status not in (200, 206):
            self._refuse(reply, entry.path)
        _check_range(reply, entry, start, end)
        yield MemoryStream(reply, entry, end - start)

    def close(self) -> None:
        """There is nothing to let go of."""

    def _resolve(self, entry: Entry, headers: dict[str, str]) -> Reply:
        target = f"/{self._name}/resolve/{self._commit}/{quote(entry.path)}"
        reply = self._hub.answer(Asked("GET", target, {**self._headers, **headers}))
        if reply.status >= 400:
            self._refuse(reply, entry.path)
        if reply.headers.get("X-Repo-Commit", self._commit) != self._commit:
            raise RevisionMoved(f"{entry.path} of {self._name} came from another commit")
        if reply.status in (200, 206) and entry.sha256 and _head(reply).startswith(_LFS_HEAD):
            raise PointerInsteadOfFile(f"{entry.path} of {self._name} is a Git LFS pointer")
        etag = reply.headers.get("X-Linked-Etag") or reply.headers.get("ETag", "")
        if etag.strip('"') not in ("", entry.validator):
            raise RevisionMoved(f"{entry.path} of {self._name} changed at the source")
        return reply

    def _entries(self, target: str) -> Iterator[Entry]:
        while target:
            reply = self._answer(target)
            rows = json.loads(_all(reply))
            for row in rows:
                if row["type"] == "file":
                    lfs = row.get("lfs", {})
                    sha256, blob_id = str(lfs.get("oid", "")), str(row["oid"])
                    git_sha1 = "" if sha256 else blob_id
                    yield Entry(str(row["path"]), int(row["size"]), sha256, git_sha1, sha256 or blob_id)
            following = reply.headers.get("Link", "").partition(">")[0].removeprefix("<")
            target = following.removeprefix(self._hub.endpoint)

    def _object(self, target: str) -> dict[str, object]:
        value: object = json.loads(_all(self._answer(target)))
        assert isinstance(value, dict)
        return value

    def _answer(self, target: str) -> Reply:
        reply = self._hub.answer(Asked("GET", target, self._headers))
        if reply.status != 200:
            self._refuse(reply, target)
        return reply

    def _refuse(self, reply: Reply, what: str) -> NoReturn:
        message = f"{what} of {self._name}: status {reply.status}"
        if reply.status == 429:
            wait = reply.headers.get("Retry-After", "")
            raise RateLimited(message, retry_after_seconds=float(wait) if wait.isdigit() else None)
        if reply.status >= 500:
            raise Unreachable(message)
        if 300 <= reply.status < 400:
            raise RepositoryMoved(message)
        if reply.status in (401, 403):
            raise Gated(message)
        raise NotFound(message)


class MemoryStream:
    """The bytes of one answer, with the ending that a fault ordered for it."""

    def __init__(self, reply: Reply, entry: Entry, size: int) -> None:
        self._reply = reply
        self._entry = entry
        self._size = size
        self._at = 0

    def readinto(self, view: memoryview, /) -> int:
        """Fills `view` as far as the answer goes.

        Raises:
            Truncated: the body ended early.
            Unreachable: the connection was reset, or nothing more came.
        """
        wanted = min(len(view), self._size - self._at)
        if wanted == 0:
            return 0
        sendable = self._reply.to_send - self._at
        if sendable <= 0:
            if self._reply.ending in ("rst", "stall"):
                raise Unreachable(f"{self._entry.path}: the connection failed after {self._at} bytes")
            raise Truncated(f"{self._entry.path}: {self._at} of {self._size} bytes came")
        count = 1 if self._reply.bytes_per_second else min(wanted, sendable)
        start = self._reply.start + self._at
        view[:count] = _read(self._reply.content, start, start + count)
        for offset, mask in self._reply.flips.items():
            if start <= offset < start + count:
                view[offset - start] ^= mask
        self._at += count
        return count


def _check_range(reply: Reply, entry: Entry, start: int, end: int) -> None:
    """Refuses an answer that is not exactly the range that was asked for."""
    if "Content-Encoding" in reply.headers:
        raise LengthMismatch(f"{entry.path} came encoded, which was not asked for")
    said = reply.headers.get("Content-Range", f"bytes 0-{entry.size_bytes - 1}/{entry.size_bytes}")
    if end > start and said != f"bytes {start}-{end - 1}/{entry.size_bytes}":
        raise LengthMismatch(f"{entry.path}: another range came than {start} to {end}")
    if reply.declared not in (None, end - start):
        raise LengthMismatch(f"{entry.path}: {reply.declared} bytes are announced for {end - start}")


def _read(content: Content, start: int, stop: int) -> bytes:
    if isinstance(content, bytes):
        return content[start:stop]
    with content.open("rb") as stream:
        stream.seek(start)
        return stream.read(stop - start)


def _head(reply: Reply) -> bytes:
    return _read(reply.content, 0, len(_LFS_HEAD))


def _all(reply: Reply) -> bytes:
    return _read(reply.content, reply.start, reply.stop)
