"""A Hugging Face Hub in one process: the real protocol over true git ids, with faults on demand.

Rules:

- `Hub` holds repositories, tokens and faults and answers requests; it opens no socket. `HubServer` puts it on two
  loopback ports: the Hub's own origin and a CDN's, which refuses requests that carry an Authorization header as a
  presigned S3 URL does.
- Ids are what git and LFS make of the content: `blobId` is `git hash-object`, commits are git commit objects, LFS
  files are the SHA-256 of their bytes and their pointer's blob.
- A CDN's ETag is not the file's SHA-256, as on S3 (multipart); only `X-Linked-Etag` of the Hub's redirect is.
- Without a token a missing and a private repository answer alike (401); with one that may not read it, 404.
- A fault shapes an answer that was right; faults that concern bytes count only answers that carry an artifact's bytes.

Limits: models only (no datasets, no spaces), nothing can be uploaded, one range per request, no TLS, no Xet storage
(the Xet flavour announces it and still serves plain HTTP).
"""

from __future__ import annotations

import contextlib
import fcntl
import fnmatch
import hashlib
import json
import os
import random
import re
import socket
import socketserver
import struct
import sys
import termios
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Literal, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

Content = bytes | Path
Ending = Literal["keep", "fin", "rst", "stall", "flood"]
Lfs = Callable[[str, int], bool] | Sequence[str]

DEFAULT_LFS = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.gguf", "*.onnx", "*.h5", "*.zip")
ETAG_CHANGED = "f" * 64
_EPOCH = datetime(2025, 1, 20, 12, tzinfo=UTC)
_BLOCK = 1 << 20
_HEX40 = re.compile(r"[0-9a-f]{40}")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


# --- repositories: content and the ids git gives it ---------------------------------------------


@dataclass(frozen=True, slots=True)
class Blob:
    """One file of a commit. `sha256` and `pointer` are empty unless it is kept by Git LFS."""

    path: str
    size: int
    blob_id: str
    content: Content
    sha256: str = ""
    pointer: bytes = b""

    @property
    def etag(self) -> str:
        """The file's own validator: the SHA-256 for LFS, else the git blob id."""
        return self.sha256 or self.blob_id

    @property
    def xet_hash(self) -> str:
        """A stand-in for the Xet hash: right in form, meaningless to a CAS."""
        return hashlib.sha256(b"xet:" + self.sha256.encode()).hexdigest() if self.sha256 else ""


@dataclass(frozen=True, slots=True)
class Commit:
    """A git commit: its id, its files by path, and the tree id of each folder."""

    commit_id: str
    files: Mapping[str, Blob]
    folders: Mapping[str, str]
    message: str
    at: datetime
    parent: str = ""
    body: bytes = b""
    """The commit object itself."""


def git_blob_id(body: bytes) -> str:
    """What `git hash-object` prints for these bytes."""
    return _git_object("blob", body)


def lfs_pointer(sha256: str, size: int) -> bytes:
    """The text that git keeps in place of an LFS file."""
    head = "version https://git-lfs.github.com/spec/v1"
    return f"{head}\noid sha256:{sha256}\nsize {size}\n".encode()


def _git_object(kind: str, body: bytes) -> str:
    header = f"{kind} {len(body)}\0".encode()
    return hashlib.sha1(header + body, usedforsecurity=False).hexdigest()


def _blob(path: str, content: Content, is_lfs: Callable[[str, int], bool]) -> Blob:
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    if is_lfs(path, size):
        if isinstance(content, bytes):
            sha256 = hashlib.sha256(content).hexdigest()
        else:
            with content.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        pointer = lfs_pointer(sha256, size)
        return Blob(path, size, git_blob_id(pointer), content, sha256, pointer)
    digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    if isinstance(content, bytes):
        digest.update(content)
    else:
        with content.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return Blob(path, size, digest.hexdigest(), content)


def _trees(files: Mapping[str, Blob]) -> dict[str, str]:
    """The git tree id of every folder; the root's is under ""."""
    children: dict[str, dict[str, str]] = {"": {}}
    for path, blob in files.items():
        folder, _, name = path.rpartition("/")
        children.setdefault(folder, {})[name] = blob.blob_id
        while folder:
            folder = folder.rpartition("/")[0]
            children.setdefault(folder, {})
    ids: dict[str, str] = {}
    for folder in sorted(children, key=lambda path: path.count("/") if path else -1, reverse=True):
        rows = [(name.encode(), b"100644", oid) for name, oid in children[folder].items()]
        rows += [
            (path.rpartition("/")[2].encode() + b"/", b"40000", oid)
            for path, oid in ids.items()
            if path and path.rpartition("/")[0] == folder
        ]
        body = b"".join(
            mode + b" " + name.removesuffix(b"/") + b"\0" + bytes.fromhex(oid) for name, mode, oid in sorted(rows)
        )
        ids[folder] = _git_object("tree", body)
    return ids


class Repository:
    """A model's history: commits and the refs that name them. Thread-safe."""

    def __init__(self, name: str, *, private: bool, gated: bool, xet: bool) -> None:
        self.name = name
        self.private = private
        self.gated = gated
        self.xet = xet
        self.tags: list[str] = ["safetensors", "text-generation"]
        self.card: dict[str, object] = {}
        self.downloads = 0
        self.likes = 0
        self.scans: dict[str, object] = {}
        """What `securityFileStatus` of a path is; a word stands for that status, None for no answer. Others are safe."""
        self.issues: list[dict[str, str]] = []
        """`filesWithIssues` of the repository's own status."""
        self.disabled = False
        self.generation = 0
        self.commits: dict[str, Commit] = {}
        self.refs: dict[str, str] = {}
        self._lock = threading.RLock()

    def commit(
        self,
        files: Mapping[str, Content],
        *,
        lfs: Lfs = DEFAULT_LFS,
        message: str = "Upload",
        committed_at: datetime | None = None,
        ref: str = "main",
        signature: str = "",
    ) -> str:
        """Records `files` as the whole new content, moves `ref` to it, and returns the commit's id.

        `files` maps paths, hostile ones included, to bytes or to a file on disk that must not change afterwards.
        `ref` is a branch, or a full name such as `refs/pr/1`. `signature` is the text of the commit's `gpgsig`.
        """
        with self._lock:
            parent = self.refs.get(_full_ref(ref), "")
            at = committed_at or _EPOCH + timedelta(hours=len(self.commits))
            is_lfs = lfs if callable(lfs) else _matching(tuple(lfs))
            blobs = {path: _blob(path, files[path], is_lfs) for path in sorted(files)}
            folders = _trees(blobs)
            lines = [f"tree {folders['']}", *([f"parent {parent}"] if parent else [])]
            who = f"Publisher <publisher@example.org> {int(at.timestamp())} +0000"
            signed = ["gpgsig " + signature.strip().replace("\n", "\n ")] if signature else []
            lines += [f"author {who}", f"committer {who}", *signed, "", message, ""]
            body = "\n".join(lines).encode()
            commit_id = _git_object("commit", body)
            self.commits[commit_id] = Commit(commit_id, blobs, folders, message, at, parent, body)
            self.refs[_full_ref(ref)] = commit_id
            return commit_id

    def rewrite(self, files: Mapping[str, Content], *, message: str = "Rewritten", ref: str = "main") -> str:
        """As `commit`, and as if nothing had been there before: what was is no ancestor of the new commit."""
        with self._lock:
            self.refs.pop(_full_ref(ref), None)
            return self.commit(files, message=message, ref=ref)

    def branch(self, name: str, commit: str) -> None:
        """Points a branch, or a full ref such as `refs/pr/1`, at a commit."""
        with self._lock:
            self.refs[_full_ref(name)] = self.commits[commit].commit_id

    def tag(self, name: str, commit: str) -> None:
        """Points a tag at a commit."""
        self.branch(f"refs/tags/{name}", commit)

    def resolve(self, ref: str) -> Commit | None:
        """The commit that a branch, a tag, a full ref or a 40-hex id names."""
        with self._lock:
            if _HEX40.fullmatch(ref):
                return self.commits.get(ref)
            for name in (_full_ref(ref), f"refs/tags/{ref}"):
                if name in self.refs:
                    return self.commits[self.refs[name]]
            return None

    def history(self, commit: Commit) -> Iterator[Commit]:
        """The commit and its ancestors, newest first."""
        yield commit
        while commit.parent:
            commit = self.commits[commit.parent]
            yield commit


def _full_ref(ref: str) -> str:
    return ref if ref.startswith("refs/") else f"refs/heads/{ref}"


def _matching(patterns: tuple[str, ...]) -> Callable[[str, int], bool]:
    return lambda path, size: any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


# --- one request and its answer -----------------------------------------------------------------


@dataclass(slots=True)
class Asked:
    """A request, and what it turned out to be about. Header names are lower-case.

    `on` names the routes it took: `whoami`, `owner`, `info`, `tree`, `paths`, `refs`, `commits`, `git`, `xet`, `resolve`,
    `cdn`, and `content` when its answer carries an artifact's bytes.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""
    origin: Literal["hub", "cdn"] = "hub"
    repository: str = ""
    artifact: str = ""
    blob: Blob | None = None
    on: set[str] = field(default_factory=set)

    @property
    def query(self) -> dict[str, list[str]]:
        """The decoded query."""
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    def flag(self, name: str) -> bool:
        """Whether the query switches `name` on."""
        return self.query.get(name, [""])[0].lower() in ("true", "1")


@dataclass(slots=True)
class Reply:
    """An answer before it is sent: bytes `start` to `stop` of `content`, and how the sending goes wrong.

    `declared` is the Content-Length (None: none is sent and the body ends with the connection). After `limit` body
    bytes `ending` happens. `flips` maps an offset in `content` to the bits to invert there.
    """

    status: int
    headers: dict[str, str]
    content: Content = b""
    start: int = 0
    stop: int = 0
    declared: int | None = 0
    limit: int | None = None
    ending: Ending = "keep"
    flips: dict[int, int] = field(default_factory=dict)
    bytes_per_second: float = 0.0

    @property
    def to_send(self) -> int:
        """How many bytes of content are sent before the ending."""
        span = self.stop - self.start
        return span if self.limit is None else min(self.limit, span)


def text_reply(status: int, text: str | bytes, **headers: str) -> Reply:
    """An answer with a small body; underscores in header names stand for dashes."""
    body = text if isinstance(text, bytes) else text.encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, named, body, 0, len(body), len(body))


def json_reply(value: object, **headers: str) -> Reply:
    """A 200 with a JSON body."""
    return text_reply(200, json.dumps(value), Content_Type="application/json", **headers)


def error_reply(status: int, code: str, message: str) -> Reply:
    """An error in the Hub's own form; `code` may be empty."""
    reply = text_reply(status, json.dumps({"error": message}), Content_Type="application/json")
    if code:
        reply.headers["X-Error-Code"] = code
    reply.headers["X-Error-Message"] = " ".join(message.split())
    if status == HTTPStatus.UNAUTHORIZED:
        reply.headers["WWW-Authenticate"] = 'Bearer realm="Authentication required"'
    return reply


def content_reply(asked: Asked, content: Content, size: int) -> Reply:
    """200, 206 or 416 as the request's Range asks."""
    reply = Reply(200, {"Accept-Ranges": "bytes"}, content, 0, size, size)
    match = _RANGE.fullmatch(asked.headers.get("range", ""))
    if match is None or match[0] == "bytes=-":
        return reply
    first, last = match[1], match[2]
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        reply = text_reply(416, "")
        reply.headers["Content-Range"] = f"bytes */{size}"
        return reply
    reply.status, reply.start, reply.stop, reply.declared = 206, start, stop, stop - start
    reply.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return reply


# --- faults -------------------------------------------------------------------------------------


class Effect:
    """What a fault does to a right answer. `on` is the route it belongs to unless the fault says otherwise."""

    on: ClassVar[str] = "content"

    def concerns(self, reply: Reply) -> bool:
        """Whether there is anything to spoil; answers without it do not use up the fault's count."""
        return True

    def shape(self, reply: Reply, asked: Asked) -> Reply:
        """The spoiled answer."""
        raise NotImplementedError


@dataclass(frozen=True)
class Cut(Effect):
    """The connection ends after `after` body bytes, by FIN or RST; the announced length stays."""

    after: int
    how: Literal["fin", "rst"] = "rst"

    def shape(self, reply: Reply, asked: Asked) -> Reply:
        return replace(reply, limit=self.after, ending=self.how)


@dataclass(frozen=True)
class Truncate(Effect):
    """Only `to` body bytes come; Content-Length is right for them, wrong (the whole), or absent."""

    to: int
    length: Literal["right", "wrong", "absent"] = "right"

    def shape(self, reply: Reply, asked: Asked) -> Reply:
        declared = {"right": self.to, "wrong": reply.declared, "absent": None}[self.length]
        ending: Ending = "keep" if self.length == "right" else "fin"
        return replace(reply, limit=self.to, declared=declared, ending=ending)


@dataclass(frozen=True)
class Flip(Effect):
    """The bits `mask` of the artifact's byte at `offset` arrive inverted."""

    offset: int
    mask: int = 1

    def concerns(self, reply: Reply) -> bool:
        return reply.start <= self.offset < reply.stop

    def shape(self, reply: Reply, asked: Asked) -> Reply:
        return replace(reply, flips={**reply.flips, self.offset: self.mask})


@dataclass(frozen=True)
class Whole(Effect):
    """The range is ignored: 200 with the whole body."""

    def concerns(self, reply: Reply) -> bool:
        return reply.status == HTTPStatus.PARTIAL_CONTENT

    def shape(self, reply: Reply, asked: Asked) -> Reply:
        size = _size(reply.content)
        headers = {k: v for k, v in reply.headers.items() if k != "Content-Range"}
        return replace(reply, status=200, headers=headers, start=0, stop=size, declared=size)


@dataclass(frozen=True)
class Shift(Effect):
    """Bytes from `by` further on (or before, at the end) come under the Content-Range that was asked for."""

    by: int = 1

    def concerns(self, reply: Reply) -> bool:
        room = max(_size(reply.content) - reply.stop, reply.start)
        return reply.status == HTTPStatus.PARTIAL_CONTENT and room >= self.by

    def shape(self, reply: Reply, asked: Asked) -> Reply:
        by = self.by if reply.stop + self.by <= _size(reply.content) else -self.by
        return replace(reply, start=reply.start + by, stop=reply.stop + by)


@dataclass(frozen=True)
class Relabel(Effect):
    """Headers are replaced: a changed ETag, another X-Repo-Commit, a lying Content-Encoding or Content-Range."""

    headers: Mapping[str, str]

    def shape(self, reply: Reply, asked: Asked) -> Reply:
        return replace(reply, headers={**reply.headers, **self.headers})


@dataclass(frozen=True)
class Endless(Effect):
    """The body goes on with zeros until the client leaves; no Content-Length."""

    def shape(self, reply: Reply, asked: Asked) -> Reply:
        return replace(reply, declared=None, ending="flood")


@dataclass(frozen=True)
class Stall(Effect):
    """After `after` body bytes nothing more comes and the connection stays open."""

    after: int = 0

    def shape(self, reply: Reply, asked: Asked) -> Reply:
        return replace(reply, limit=self.after, ending="stall")


@dataclass(frozen=True)
class Drip(Effect):
    """The body comes byte by byte."""

    bytes_per_second: float = 1.0

    def shape(self, reply: Reply, asked: Asked) -> Reply:
        return replace(reply, bytes_per_second=self.bytes_per_second)


@dataclass(frozen=True)
class Refuse(Effect):
    """Another status instead of the answer: 429 with any Retry-After (`retry_after`, verbatim), 5xx, 401 ..."""

    on: ClassVar[str] = "resolve"
    status: int
    retry_after: str = ""
    code: str = ""

    def shape(self, reply: Reply, asked: Asked) -> Reply:
        refused = error_reply(self.status, self.code, HTTPStatus(self.status).phrase)
        if self.retry_after:
            refused.headers["Retry-After"] = self.retry_after
        return refused


@dataclass(frozen=True)
class Expire(Effect):
    """The CDN says that its signed link has expired; resolving again gives a new one."""

    on: ClassVar[str] = "cdn"

    def shape(self, reply: Reply, asked: Asked) -> Reply:
        return _cdn_error(403, "AccessDenied", "Request has expired")


@dataclass(frozen=True)
class Redirect(Effect):
    """The file is said to be elsewhere: a metadata service, `file://`, a stranger's host."""

    on: ClassVar[str] = "resolve"
    location: str
    status: int = 302

    def shape(self, reply: Reply, asked: Asked) -> Reply:
        kept = {k: v for k, v in reply.headers.items() if k.startswith("X-") or k == "ETag"}
        moved = text_reply(self.status, "", Location=self.location)
        return replace(moved, headers={**kept, **moved.headers})


@dataclass(frozen=True)
class Pointer(Effect):
    """The LFS pointer's text comes in place of the file that it points at."""

    on: ClassVar[str] = "resolve"

    def shape(self, reply: Reply, asked: Asked) -> Reply:
        if asked.blob is None or not asked.blob.pointer:
            return reply
        pointed = content_reply(asked, asked.blob.pointer, len(asked.blob.pointer))
        kept = {k: v for k, v in reply.headers.items() if k == "X-Repo-Commit"}
        pointed.headers.update(kept | {"ETag": f'"{asked.blob.blob_id}"'})
        return pointed


@dataclass(frozen=True)
class Missing(Effect):
    """A listed file is not there."""

    on: ClassVar[str] = "resolve"

    def shape(self, reply: Reply, asked: Asked) -> Reply:
        return error_reply(404, "EntryNotFound", "Entry not found")


@dataclass(frozen=True)
class Listing(Effect):
    """The tree listing names files that do not exist (`extra`) and hides those that match `drop`."""

    on: ClassVar[str] = "tree"
    extra: tuple[str, ...] = ()
    drop: str = r"(?!)"

    def concerns(self, reply: Reply) -> bool:
        return reply.status == HTTPStatus.OK

    def shape(self, reply: Reply, asked: Asked) -> Reply:
        assert isinstance(reply.content, bytes)
        listed: object = json.loads(reply.content)
        assert isinstance(listed, list)
        rows: list[object] = [row for row in listed if not re.fullmatch(self.drop, row["path"])]
        if "cursor" not in asked.query:
            oid = git_blob_id(b"{}")
            rows += [{"type": "file", "oid": oid, "size": 2, "path": path} for path in self.extra]
        edited = json_reply(rows)
        edited.headers.update({k: v for k, v in reply.headers.items() if k == "Link"})
        return edited


@dataclass(frozen=True)
class Then(Effect):
    """The answer is right; before it leaves, `action` changes the world (moves a ref, deletes the repository)."""

    on: ClassVar[str] = "info"
    action: Callable[[], object]

    def shape(self, reply: Reply, asked: Asked) -> Reply:
        self.action()
        return reply


HOSTILE_PATHS = (
    "../outside.txt",
    "a/../../outside.txt",
    "/etc/absolute",
    "back\\slash.txt",
    "..\\..\\outside.txt",
    "nul\0byte.txt",
    "CONFIG.json",
    "empty//component.txt",
    "./dot.txt",
    "C:drive.txt",
    "aux.txt",
    "right\u202eto-left.txt",
)
"""Names that a repository could list and no client may write. `CONFIG.json` collides with `config.json`."""

RETRY_AFTER = ("2", "Wed, 21 Oct 2026 07:28:00 GMT", "soon", "1000000000", "-5")
"""Retry-After as seconds, a date, junk, absurdly long, and negative."""

FOREIGN_LOCATIONS = (
    "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://127.0.0.1:9/",
    "http://2130706433:9/",
    "http://0x7f.1:9/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:9/",
    "//169.254.169.254/",
)
"""Places that a redirect must never lead to."""


@dataclass(frozen=True)
class Fault:
    """An effect and when it strikes: where the regular expressions match in full, from the `skip`-th time on, `times`
    times (None: always), each with `probability`. `on` overrides the effect's route; `method` limits it."""

    effect: Effect
    repository: str = r".*"
    path: str = r"(?s:.*)"
    on: str = ""
    method: str = ""
    times: int | None = None
    skip: int = 0
    probability: float = 1.0

    def matches(self, asked: Asked, reply: Reply) -> bool:
        """Whether this answer is one that the fault is about."""
        return (
            (self.on or self.effect.on) in asked.on
            and self.method in ("", asked.method)
            and re.fullmatch(self.repository, asked.repository) is not None
            and re.fullmatch(self.path, asked.artifact) is not None
            and self.effect.concerns(reply)
        )


class Faults:
    """The switches. Thread-safe; chances depend on the seed and the request, not on the order of threads."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._faults: list[Fault] = []
        self._seen: Counter[int] = Counter()
        self._drawn: Counter[str] = Counter()
        self._fired: Counter[int] = Counter()
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        """Switches faults on, after those that are already on."""
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        """Switches all faults off and forgets their counts."""
        with self._lock:
            self._faults.clear()
            self._seen.clear()
            self._drawn.clear()
            self._fired.clear()

    @property
    def fired(self) -> int:
        """How often any fault struck since the last `clear`."""
        with self._lock:
            return self._fired.total()

    def apply(self, asked: Asked, reply: Reply) -> Reply:
        """The answer after every fault that strikes, in the order in which they were added."""
        for index, fault in enumerate(list(self._faults)):
            if fault.matches(asked, reply) and self._strikes(index, fault, asked):
                reply = fault.effect.shape(reply, asked)
        return reply

    def _strikes(self, index: int, fault: Fault, asked: Asked) -> bool:
        with self._lock:
            self._seen[index] += 1
            if self._seen[index] <= fault.skip:
                return False
            if fault.times is not None and self._fired[index] >= fault.times:
                return False
            if fault.probability < 1.0:
                what = (index, asked.method, asked.repository, asked.artifact, asked.headers.get("range"))
                key = f"{self._seed}:{what}"
                self._drawn[key] += 1
                # A seeded draw per request makes schedules repeatable; it guards nothing.
                draw = random.Random(f"{key}:{self._drawn[key]}").random()
                if draw >= fault.probability:
                    return False
            self._fired[index] += 1
            return True


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _cdn_error(status: int, code: str, message: str) -> Reply:
    text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return text_reply(status, text, Content_Type="application/xml")


# --- the Hub: what is asked is answered ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Owner:
    """An account. `owner_id` is 24 hex digits that a stranger who takes the name over does not get."""

    name: str
    owner_id: str
    kind: Literal["organization", "user"] = "organization"
    verified: bool = False
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and the private or gated repositories that it opens."""

    user: str
    access: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Grant:
    repository: str
    blob: Blob
    expires: int


class Hub:
    """Repositories, accounts and faults, and the answers that the Hub gives about them. No socket.

    `link_lifetime_seconds` is how long signed CDN links live; negative links have expired when they are given.
    `resolve_cache` sends readers of small files on by a relative 307, as the Hub does for some.
    """

    def __init__(self, *, seed: int = 0, page_size: int = 1000, resolve_cache: bool = False) -> None:
        self.endpoint = "http://hub.invalid"
        self.cdn = "http://cdn.invalid"
        self.faults = Faults(seed)
        self.page_size = page_size
        self.resolve_cache = resolve_cache
        self.link_lifetime_seconds = 3600
        self.repositories: dict[str, Repository] = {}
        self.renamed: dict[str, str] = {}
        self.owners: dict[str, Owner] = {}
        self.tokens: dict[str, Token] = {}
        self._grants: dict[str, _Grant] = {}

    def repository(
        self,
        name: str,
        *,
        owner_id: str = "",
        private: bool = False,
        gated: bool = False,
        xet: bool = False,
    ) -> Repository:
        """A new, empty repository `org/name`; the owner's account is made if it is not there."""
        organisation = name.partition("/")[0]
        if owner_id or organisation not in self.owners:
            self.account(organisation, owner_id=owner_id)
        created = Repository(name, private=private, gated=gated, xet=xet)
        self.repositories[name] = created
        return created

    def account(
        self,
        name: str,
        *,
        owner_id: str = "",
        kind: Literal["organization", "user"] = "organization",
        verified: bool = False,
        created_at: str = "",
    ) -> Owner:
        """Registers or replaces an account."""
        owner = Owner(name, owner_id or _hex24(f"owner:{name}"), kind, verified, created_at)
        self.owners[name] = owner
        return owner

    def token(self, value: str, *, user: str = "reader", access: Iterable[str] = ()) -> None:
        """Makes a bearer token valid; `access` names the private or gated repositories it may read."""
        self.tokens[value] = Token(user, frozenset(access))

    def rename(self, old: str, new: str) -> None:
        """Renames a repository; the old name answers 307 until someone registers it again."""
        moved = self.repositories.pop(old)
        moved.name = new
        self.repositories[new] = moved
        self.renamed[old] = new
        organisation = new.partition("/")[0]
        if organisation not in self.owners:
            self.account(organisation)

    def delete(self, name: str) -> Repository:
        """The repository is not shown any more; what it was comes back, to be put in its place again."""
        return self.repositories.pop(name)

    def recreate(self, name: str, *, owner_id: str) -> None:
        """The account is deleted and a stranger registers it: same names and commits, other ids."""
        self.account(name.partition("/")[0], owner_id=owner_id)
        self.repositories[name].generation += 1

    def repository_id(self, name: str) -> str:
        """The repository's stable id, 24 hex digits."""
        owner = self.owners[name.partition("/")[0]]
        return _hex24(f"repository:{name}:{owner.owner_id}:{self.repositories[name].generation}")

    def answer(self, asked: Asked) -> Reply:
        """The reply to one request, faults included."""
        reply = self._answer_cdn(asked) if asked.origin == "cdn" else self._answer_hub(asked)
        if asked.blob is not None and reply.content is asked.blob.content and reply.status < 300:
            asked.on.add("content")
        return self.faults.apply(asked, reply)

    # The CDN's origin.

    def _answer_cdn(self, asked: Asked) -> Reply:
        asked.on.add("cdn")
        parts = urlsplit(asked.target)
        grant = self._grants.get(asked.query.get("Signature", [""])[0])
        if grant is not None:
            asked.repository, asked.artifact, asked.blob = grant.repository, grant.blob.path, grant.blob
        if "authorization" in asked.headers:
            message = "Only one auth mechanism allowed"
            return _cdn_error(400, "InvalidArgument", message)
        if grant is None or parts.path != f"/cdn/{grant.blob.sha256}":
            return _cdn_error(403, "SignatureDoesNotMatch", "The signature does not match")
        if asked.query.get("Expires") != [str(grant.expires)] or grant.expires <= time.time():
            return _cdn_error(403, "AccessDenied", "Request has expired")
        reply = content_reply(asked, grant.blob.content, grant.blob.size)
        reply.headers["ETag"] = f'"{grant.blob.sha256[:32]}-2"'
        reply.headers["Content-Type"] = "binary/octet-stream"
        return reply

    def _signed_link(self, repository: Repository, blob: Blob) -> str:
        expires = int(time.time()) + self.link_lifetime_seconds
        what = f"{repository.name}:{blob.path}:{blob.sha256}:{expires}"
        signature = hashlib.sha256(what.encode()).hexdigest()
        self._grants[signature] = _Grant(repository.name, blob, expires)
        name = quote(blob.path.rpartition("/")[2])
        disposition = quote(f'attachment; filename="{name}"', safe="")
        query = f"response-content-disposition={disposition}&Expires={expires}&Signature={signature}"
        return f"{self.cdn}/cdn/{blob.sha256}?{query}"

    # The Hub's own origin.

    def _answer_hub(self, asked: Asked) -> Reply:
        segments = [unquote(part) for part in urlsplit(asked.target).path.split("/")[1:]]
        authorization = asked.headers.get("authorization", "")
        value = authorization.removeprefix("Bearer ").strip()
        if value and value not in self.tokens:
            return error_reply(401, "", "Invalid credentials in Authorization header")
        token = self.tokens.get(value)
        match segments:
            case ["api", "whoami-v2"]:
                asked.on.add("whoami")
                return self._whoami(token)
            case ["api", ("organizations" | "users") as kind, name, "overview"]:
                asked.on.add("owner")
                return self._overview(kind, name)
            case ["api", "models", organisation, name, *rest]:
                asked.repository = f"{organisation}/{name}"
                return self._answer_api(asked, token, rest)
            case ["api", "resolve-cache", "models", organisation, name, commit, *path]:
                asked.repository = f"{organisation}/{name}"
                return self._resolve(asked, token, [commit, *path], cached=True)
            case [organisation, name, "resolve", *rest] if len(rest) > 1:
                asked.repository = f"{organisation}/{name}"
                return self._resolve(asked, token, rest, cached=False)
            case [organisation, name, "info", "refs"] | [organisation, name, "git-upload-pack"]:
                asked.repository = f"{organisation}/{name}"
                return self._git(asked, token)
        return error_reply(404, "", "Sorry, we can't find the page you are looking for.")

    def _whoami(self, token: Token | None) -> Reply:
        if token is None:
            return error_reply(401, "", "Invalid username or password.")
        account = {"type": "user", "id": _hex24(f"owner:{token.user}"), "name": token.user}
        return json_reply({**account, "fullname": token.user, "orgs": [], "isPro": False})

    def _overview(self, kind: str, name: str) -> Reply:
        owner = self.owners.get(name)
        if owner is None or f"{owner.kind}s" != kind:
            return error_reply(404, "", "This organization or user does not exist")
        account: dict[str, object] = {"_id": owner.owner_id, "avatarUrl": "", "fullname": name}
        if owner.kind == "organization":
            account |= {"name": name, "type": "org", "isVerified": owner.verified, "numUsers": 1}
        else:
            account |= {"user": name, "type": "user", "isPro": False, "orgs": []}
            if owner.created_at:
                account["createdAt"] = owner.created_at
        owned = sum(known.partition("/")[0] == name for known in self.repositories)
        return json_reply({**account, "numModels": owned})

    def _open(self, asked: Asked, token: Token | None, *, for_bytes: bool) -> Repository | Reply:
        """The repository, or the Hub's refusal: moved, missing, private, gated."""
        name = asked.repository
        if name in self.renamed and name not in self.repositories:
            location = asked.target.replace(f"/{name}", f"/{self.renamed[name]}", 1)
            text = f"Temporary Redirect. Redirecting to {location}"
            return text_reply(307, text, Location=location)
        found = self.repositories.get(name)
        allowed = token is not None and name in token.access
        if found is None or (found.private and not allowed):
            if token is None:
                return error_reply(401, "RepoNotFound", "Invalid username or password.")
            return error_reply(404, "RepoNotFound", "Repository not found")
        if for_bytes and found.gated and not allowed:
            text = f"Access to model {name} is restricted"
            if token is None:
                text += ". You must have access to it and be authenticated to access it."
                return error_reply(401, "GatedRepo", f"{text} Please log in.")
            text += " and you are not in the authorized list."
            return error_reply(403, "GatedRepo", f"{text} Visit its page to ask for access.")
        return found

    def _answer_api(self, asked: Asked, token: Token | None, rest: list[str]) -> Reply:
        routes: dict[str, tuple[str, Callable[[Asked, Repository, list[str]], Reply]]] = {
            "": ("info", self._info),
            "revision": ("info", self._info),
            "tree": ("tree", self._tree),
            "paths-info": ("paths", self._paths_info),
            "refs": ("refs", self._refs),
            "commits": ("commits", self._commits),
            "xet-read-token": ("xet", self._xet_read_token),
        }
        route, *tail = rest or [""]
        if route not in routes or (asked.method == "POST") != (route == "paths-info"):
            return error_reply(404, "", "Sorry, we can't find the page you are looking for.")
        on, respond = routes[route]
        asked.on.add(on)
        opened = self._open(asked, token, for_bytes=on == "xet")
        return opened if isinstance(opened, Reply) else _validated(asked, respond(asked, opened, tail))

    def _info(self, asked: Asked, repository: Repository, tail: list[str]) -> Reply:
        ref, _ = _split_revision(tail or ["main"])
        commit = repository.resolve(ref)
        if commit is None:
            return error_reply(404, "RevisionNotFound", f"Invalid rev id: {ref}")
        siblings: list[dict[str, object]] = []
        for blob in commit.files.values():
            row: dict[str, object] = {"rfilename": blob.path}
            if asked.flag("blobs"):
                row |= {"blobId": blob.blob_id, "size": blob.size}
                if blob.sha256:
                    lfs = {"sha256": blob.sha256, "size": blob.size}
                    row["lfs"] = {**lfs, "pointerSize": len(blob.pointer)}
            siblings.append(row)
        first = min(known.at for known in repository.commits.values())
        info: dict[str, object] = {
            "_id": self.repository_id(repository.name),
            "id": repository.name,
            "modelId": repository.name,
            "author": repository.name.partition("/")[0],
            "sha": commit.commit_id,
            "lastModified": _iso(commit.at),
            "createdAt": _iso(first),
            "private": repository.private,
            "gated": "manual" if repository.gated else False,
            "disabled": repository.disabled,
            "tags": repository.tags,
            "downloads": repository.downloads,
            "likes": repository.likes,
            **({"cardData": repository.card} if repository.card else {}),
            "usedStorage": sum(blob.size for blob in commit.files.values()),
            "siblings": siblings,
        }
        if asked.flag("securityStatus"):
            info["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": repository.issues}
        wanted = asked.query.get("expand", []) + asked.query.get("expand[]", [])
        if wanted:
            info = {key: info[key] for key in ("_id", "id", *wanted) if key in info}
        return json_reply(info)

    def _tree(self, asked: Asked, repository: Repository, tail: list[str]) -> Reply:
        ref, path = _split_revision(tail or ["main"])
        commit = repository.resolve(ref)
        if commit is None:
            return error_reply(404, "RevisionNotFound", f"Invalid rev id: {ref}")
        base = path.strip("/")
        if base not in commit.folders and base not in commit.files:
            return error_reply(404, "EntryNotFound", f'"{base}" does not exist on "{ref}"')
        names = [name for name in (*commit.folders, *commit.files) if name]
        below = f"{base}/" if base else ""
        names = [name for name in names if name.startswith(below)]
        if not asked.flag("recursive"):
            names = [name for name in names if "/" not in name.removeprefix(below)]
        names.sort()
        expand = asked.flag("expand")
        size = min(self.page_size, 50) if expand else self.page_size
        at = int(asked.query.get("cursor", ["0"])[0])
        page = [_row(repository, commit, name, expand) for name in names[at : at + size]]
        reply = json_reply(page)
        if at + size < len(names):
            reply.headers["Link"] = self._next(asked, {"cursor": at + size})
        return reply

    def _next(self, asked: Asked, change: Mapping[str, int]) -> str:
        query = {name: values[0] for name, values in asked.query.items()}
        query |= {name: str(value) for name, value in change.items()}
        text = "&".join(f"{quote(name)}={quote(value)}" for name, value in query.items())
        return f'<{self.endpoint}{urlsplit(asked.target).path}?{text}>; rel="next"'

    def _paths_info(self, asked: Asked, repository: Repository, tail: list[str]) -> Reply:
        ref, _ = _split_revision(tail or ["main"])
        commit = repository.resolve(ref)
        if commit is None:
            return error_reply(404, "RevisionNotFound", f"Invalid rev id: {ref}")
        if "json" in asked.headers.get("content-type", ""):
            sent: object = json.loads(asked.body)
            paths = sent.get("paths", []) if isinstance(sent, dict) else []
            expand = isinstance(sent, dict) and sent.get("expand") is True
        else:
            form = parse_qs(asked.body.decode())
            paths, expand = form.get("paths", []), form.get("expand", [""])[0].lower() == "true"
        known = [p for p in paths if p and (p in commit.files or p in commit.folders)]
        return json_reply([_row(repository, commit, path, expand) for path in known])

    def _refs(self, asked: Asked, repository: Repository, tail: list[str]) -> Reply:
        answer: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": []}
        if asked.flag("include_prs"):
            answer["pullRequests"] = []
        kinds = {"heads": "branches", "convert": "converts", "tags": "tags", "pr": "pullRequests"}
        for ref, commit in sorted(repository.refs.items()):
            _, kind, name = ref.split("/", 2)
            if kinds[kind] in answer:
                answer[kinds[kind]].append({"name": name, "ref": ref, "targetCommit": commit})
        return json_reply(answer)

    def _commits(self, asked: Asked, repository: Repository, tail: list[str]) -> Reply:
        ref, _ = _split_revision(tail or ["main"])
        commit = repository.resolve(ref)
        if commit is None:
            return error_reply(404, "RevisionNotFound", f"Invalid rev id: {ref}")
        history = list(repository.history(commit))
        size = min(self.page_size, 50)
        page = int(asked.query.get("p", ["0"])[0])
        rows = [
            {
                "id": past.commit_id,
                "title": past.message.partition("\n")[0],
                "message": past.message.partition("\n")[2].strip(),
                "authors": [{"user": repository.name.partition("/")[0], "avatar": ""}],
                "date": _iso(past.at),
            }
            for past in history[page * size : (page + 1) * size]
        ]
        reply = json_reply(rows, X_Total_Count=str(len(history)))
        if (page + 1) * size < len(history):
            reply.headers["Link"] = self._next(asked, {"p": page + 1})
        return reply

    def _git(self, asked: Asked, token: Token | None) -> Reply:
        """Git's smart HTTP, version 2, as far as handing out single commits goes."""
        asked.on.add("git")
        opened = self._open(asked, token, for_bytes=False)
        if isinstance(opened, Reply):
            return opened
        if asked.headers.get("git-protocol") != "version=2":
            return error_reply(400, "", "only version 2 is spoken here")
        if asked.method == "GET":
            lines = [b"# service=git-upload-pack\n", b"", b"version 2\n", b"ls-refs\n", b"fetch=shallow filter\n", b""]
            body = b"".join(map(_packet, lines))
            return text_reply(200, body, Content_Type="application/x-git-upload-pack-advertisement")
        wanted = re.search(rb"want ([0-9a-f]{40})\n", asked.body)
        commit = opened.commits.get(wanted[1].decode()) if wanted else None
        if commit is None:
            body = _packet(b"ERR upload-pack: not our ref\n")
        else:
            lines = [b"shallow-info\n", f"shallow {commit.commit_id}\n".encode()]
            pack = b"\1" + _pack_of(commit.body)
            body = b"".join(map(_packet, lines)) + b"0001" + b"".join(map(_packet, (b"packfile\n", pack, b"")))
        return text_reply(200, body, Content_Type="application/x-git-upload-pack-result")

    def _xet_read_token(self, asked: Asked, repository: Repository, tail: list[str]) -> Reply:
        expires = int(time.time()) + 3600
        value = {"accessToken": "xet", "exp": expires, "casUrl": f"{self.cdn}/cas"}
        reply = json_reply(value, X_Xet_Cas_Url=f"{self.cdn}/cas", X_Xet_Access_Token="xet")
        reply.headers["X-Xet-Token-Expiration"] = str(expires)
        return reply

    def _resolve(self, asked: Asked, token: Token | None, rest: list[str], *, cached: bool) -> Reply:
        asked.on.add("resolve")
        ref, path = _split_revision(rest)
        asked.artifact = path
        if asked.method not in ("GET", "HEAD"):
            return error_reply(405, "", "Method not allowed")
        opened = self._open(asked, token, for_bytes=True)
        if isinstance(opened, Reply):
            return opened
        commit = opened.resolve(ref)
        if commit is None:
            return error_reply(404, "RevisionNotFound", f"Invalid rev id: {ref}")
        asked.blob = blob = commit.files.get(path)
        if blob is None:
            reply = error_reply(404, "EntryNotFound", "Entry not found")
        elif blob.sha256:
            location = self._signed_link(opened, blob)
            reply = text_reply(302, f"Found. Redirecting to {location}", Location=location)
        elif self.resolve_cache and not cached:
            head = f"/api/resolve-cache/models/{asked.repository}/{commit.commit_id}"
            location = f"{head}/{quote(path, safe='')}"
            reply = text_reply(307, f"Temporary Redirect to {location}", Location=location)
        else:
            reply = content_reply(asked, blob.content, blob.size)
            reply.headers["Content-Type"] = "text/plain; charset=utf-8"
        reply.headers["X-Repo-Commit"] = commit.commit_id
        if blob is not None and reply.status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            reply.headers |= {"ETag": f'"{blob.etag}"', "Accept-Ranges": "bytes"}
        if blob is not None and 300 <= reply.status < 400:
            reply.headers |= {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(blob.size)}
        if blob is not None and blob.sha256 and opened.xet:
            auth = f"{self.endpoint}/api/models/{opened.name}/xet-read-token/{commit.commit_id}"
            plan = f"{self.cdn}/cas/v1/reconstructions/{blob.xet_hash}"
            reply.headers["X-Xet-Hash"] = blob.xet_hash
            links = f'<{auth}>; rel="xet-auth", <{plan}>; rel="xet-reconstruction-info"'
            reply.headers["Link"] = links
        return reply


def _validated(asked: Asked, reply: Reply) -> Reply:
    """The answer with its ETag, or 304 to whoever has it already."""
    if asked.method != "GET" or reply.status != HTTPStatus.OK or not isinstance(reply.content, bytes):
        return reply
    etag = f'W/"{len(reply.content):x}-{hashlib.sha256(reply.content).hexdigest()[:27]}"'
    if asked.headers.get("if-none-match") == etag:
        return text_reply(304, "", ETag=etag)
    reply.headers["ETag"] = etag
    return reply


def _packet(text: bytes) -> bytes:
    return b"%04x%s" % (len(text) + 4, text) if text else b"0000"


def _pack_of(body: bytes) -> bytes:
    """A pack of one commit object."""
    size, head = len(body), bytearray()
    byte, size = 1 << 4 | size & 15, size >> 4
    while size:
        head.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    head.append(byte)
    pack = b"PACK" + (2).to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes(head) + zlib.compress(body)
    return pack + hashlib.sha1(pack, usedforsecurity=False).digest()


def _row(repository: Repository, commit: Commit, name: str, expand: bool) -> dict[str, object]:
    """One entry of a tree listing."""
    blob = commit.files.get(name)
    row: dict[str, object]
    if blob is None:
        row = {"type": "directory", "oid": commit.folders[name], "size": 0, "path": name}
    else:
        row = {"type": "file", "oid": blob.blob_id, "size": blob.size, "path": name}
        if blob.sha256:
            lfs = {"oid": blob.sha256, "size": blob.size}
            row["lfs"] = {**lfs, "pointerSize": len(blob.pointer)}
            if repository.xet:
                row["xetHash"] = blob.xet_hash
        if expand:
            scan = {"virusFound": False, "virusNames": None}
            status: object = {"status": "safe", "avScan": scan, "pickleImportScan": None}
            if name in repository.scans:
                status = repository.scans[name]
                status = {"status": status, "avScan": {"status": status}} if isinstance(status, str) else status
            row["securityFileStatus"] = status
    if expand:
        title = commit.message.partition("\n")[0]
        row["lastCommit"] = {"id": commit.commit_id, "title": title, "date": _iso(commit.at)}
    return row


def _split_revision(segments: Sequence[str]) -> tuple[str, str]:
    """The revision and the path after it; `refs/pr/1` may come as one segment or as three."""
    count = 3 if segments[0] == "refs" and len(segments) >= 3 else 1
    return "/".join(segments[:count]), "/".join(segments[count:])


def _hex24(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


# --- the wire -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exchange:
    """One recorded request. `path` is the target as sent, query included; `bytes_sent` counts the body only."""

    method: str
    path: str
    headers: Mapping[str, str]
    status: int
    bytes_sent: int
    origin: str = "hub"
    repository: str = ""
    artifact: str = ""


class HubServer(Hub):
    """A Hub on loopback. A context manager: its ports, threads and connections end with the block."""

    def __init__(
        self,
        *,
        port: int = 0,
        seed: int = 0,
        page_size: int = 1000,
        resolve_cache: bool = False,
        delay_seconds: float = 0.0,
    ) -> None:
        super().__init__(seed=seed, page_size=page_size, resolve_cache=resolve_cache)
        self.delay_seconds = delay_seconds
        self.stopping = threading.Event()
        self._exchanges: dict[int, Exchange] = {}
        self._next_place = 0
        self._lock = threading.Lock()
        self._listeners = [_Listener(self, "hub", port), _Listener(self, "cdn", 0)]
        self.endpoint, self.cdn = (f"http://127.0.0.1:{listener.server_address[1]}" for listener in self._listeners)
        self._threads = [
            threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True) for listener in self._listeners
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopping.set()
        for listener in self._listeners:
            listener.shutdown()
            listener.hang_up()
            listener.server_close()
        for thread in self._threads:
            thread.join()

    @property
    def requests(self) -> list[Exchange]:
        """All requests so far, in the order in which their answers began."""
        with self._lock:
            return list(self._exchanges.values())

    def forget_requests(self) -> None:
        """Empties the record."""
        with self._lock:
            self._exchanges.clear()

    def bytes_sent(self, path: str | None = None) -> int:
        """Body bytes sent, in all or for one artifact path or request target."""
        return sum(one.bytes_sent for one in self.requests if path in (None, one.artifact, one.path))

    def record(self, exchange: Exchange) -> int:
        """Notes an answer before its first byte leaves, and returns its place."""
        with self._lock:
            self._next_place += 1
            self._exchanges[self._next_place] = exchange
            return self._next_place

    def count(self, exchange: Exchange, place: int, sent: int) -> None:
        """Updates how much of an answer has been sent; nothing if the record was emptied meanwhile."""
        with self._lock:
            if place in self._exchanges:
                self._exchanges[place] = replace(exchange, bytes_sent=sent)


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = False
    request_queue_size = 256

    def __init__(self, hub: HubServer, origin: Literal["hub", "cdn"], port: int) -> None:
        self.hub = hub
        self.origin = origin
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(("127.0.0.1", port), _Connection)

    def process_request(self, request: object, client_address: object) -> None:
        """Notes the connection before its thread begins, so that none is overlooked at the end."""
        assert isinstance(request, socket.socket)
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def closed(self, connection: socket.socket) -> None:
        with self._guard:
            self._open.discard(connection)

    def hang_up(self) -> None:
        with self._guard:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that leave midway are expected; anything else is a bug in the server and is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def finish(self) -> None:
        self.server.closed(self.request)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing is printed; `HubServer.requests` has it all."""

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        hub = self.server.hub
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        asked = Asked(self.command, self.path, headers, body, self.server.origin)
        if hub.delay_seconds:
            time.sleep(hub.delay_seconds)
        reply = hub.answer(asked)
        exchange = Exchange(
            asked.method,
            asked.target,
            headers,
            reply.status,
            0,
            asked.origin,
            asked.repository,
            asked.artifact,
        )
        _Sending(self, reply, exchange).run()


class _Sending:
    """One reply on its way, with the ending that was ordered for it."""

    def __init__(self, to: _Connection, reply: Reply, exchange: Exchange) -> None:
        self._to = to
        self._hub = to.server.hub
        self._reply = reply
        self._exchange = exchange
        self._place = self._hub.record(exchange)
        self._sent = 0

    def run(self) -> None:
        reply, to = self._reply, self._to
        lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        if reply.declared is not None:
            lines.append(f"Content-Length: {reply.declared}")
        if reply.declared is None or reply.ending != "keep":
            to.close_connection = True
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode("utf-8")
        if self._exchange.method == "HEAD":
            to.connection.sendall(head)
            return
        if isinstance(reply.content, bytes) and not (reply.flips or reply.bytes_per_second):
            body = memoryview(reply.content)[reply.start : reply.start + reply.to_send]
            first = body[:16384]
            self._count(len(first))
            to.connection.sendall(head + first)
            self._send_memory(body[len(first) :])
        else:
            to.connection.sendall(head)
            self._send_span(reply.start, reply.start + reply.to_send)
        self._end()

    def _send_span(self, start: int, stop: int) -> None:
        """Sends the content's bytes, those that are flipped one by one."""
        for offset in sorted(self._reply.flips):
            if start <= offset < stop:
                self._send_plain(start, offset)
                flipped = _byte_at(self._reply.content, offset) ^ self._reply.flips[offset]
                self._send_memory(memoryview(bytes([flipped])))
                start = offset + 1
        self._send_plain(start, stop)

    def _send_plain(self, start: int, stop: int) -> None:
        content = self._reply.content
        if isinstance(content, bytes):
            self._send_memory(memoryview(content)[start:stop])
            return
        with content.open("rb") as stream:
            if self._reply.bytes_per_second:
                stream.seek(start)
                self._send_memory(memoryview(stream.read(stop - start)))
                return
            while start < stop:
                size = min(_BLOCK, stop - start)
                self._count(size)
                out = os.sendfile(self._to.connection.fileno(), stream.fileno(), start, size)
                self._count(out - size)
                if out == 0:
                    raise ConnectionAbortedError("the file is shorter than it was")
                start += out

    def _send_memory(self, body: memoryview) -> None:
        pace = self._reply.bytes_per_second
        step = 1 if pace else _BLOCK
        for at in range(0, len(body), step):
            if pace and self._hub.stopping.wait(1 / pace):
                raise ConnectionAbortedError("the server stops")
            self._count(len(body[at : at + step]))
            self._to.connection.sendall(body[at : at + step])

    def _count(self, size: int) -> None:
        """Counts bytes before they leave, so that a client that has them finds them counted."""
        self._sent += size
        self._hub.count(self._exchange, self._place, self._sent)

    def _end(self) -> None:
        connection = self._to.connection
        if self._reply.ending == "flood":
            zeros = memoryview(bytes(1 << 16))
            while not self._hub.stopping.is_set():
                self._count(len(zeros))
                connection.sendall(zeros)
        elif self._reply.ending == "stall":
            while not self._hub.stopping.wait(0.05) and not _left(connection):
                pass
        elif self._reply.ending == "rst":
            _reset(connection)


def _byte_at(content: Content, offset: int) -> int:
    if isinstance(content, bytes):
        return content[offset]
    with content.open("rb") as stream:
        stream.seek(offset)
        return stream.read(1)[0]


def _left(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _reset(connection: socket.socket) -> None:
    """Ends a connection by RST, once the peer has acknowledged what was sent before."""
    for _ in range(200):
        unsent = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        if struct.unpack("i", unsent)[0] == 0:
            break
        time.sleep(0.005)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # A plain close() would wait for the request's reader, and shutdown() would send a FIN first.
    os.close(connection.detach())
