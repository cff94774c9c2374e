"""Whether a commit carries a signature, read from the commit object itself: the Hub's own API does not say it.

The object is asked for over Git's smart HTTP, protocol version 2 (gitprotocol-v2, gitformat-pack), without its files, and
proven by its id, which is the SHA-1 of the object. The signature is recognised and not verified: that needs the signer's key.

Limits: an answer of at most `hub_questions.MAX_ANSWER_BYTES`, a commit object of at most `MAX_COMMIT_BYTES`; of an answer with
many objects the first `MAX_OBJECTS` are looked at.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from weighbridge.core.errors import LimitExceeded, Malformed, SourceError
from weighbridge.core.shown import plain
from weighbridge.posture.gathering import sha256
from weighbridge.source.hub_questions import Answer, HubAsking

MAX_COMMIT_BYTES: Final = 1024 * 1024
MAX_OBJECTS: Final = 2_000
_COMMIT: Final = 1
_DATA, _PROGRESS, _ERROR = 1, 2, 3
_KINDS: Final = (
    (b"-----BEGIN PGP", "pgp"),
    (b"-----BEGIN SSH", "ssh"),
    (b"-----BEGIN SIGNED MESSAGE", "x509"),
)


@dataclass(frozen=True, slots=True)
class Signature:
    """`kind` is `pgp`, `ssh`, `x509`, `other` or "" for none; `digest` is the SHA-256 of the commit object."""

    kind: str
    digest: str
    source: str


def signature_of(hub: HubAsking, commit: str) -> Signature:
    """What signs a commit.

    Raises:
        SourceError, FormatError: the repository does not hand the object out, or it is not the one of that id.
    """
    repository = f"/{hub.model_name}"
    able = _capabilities(hub, repository)
    answer = hub.post(
        f"{repository}/git-upload-pack",
        _request(commit, filtered="filter" in able),
        {
            "Content-Type": "application/x-git-upload-pack-request",
            "Accept": "application/x-git-upload-pack-result",
            "Git-Protocol": "version=2",
        },
    )
    _check_status(answer)
    body = _commit_object(_pack(answer.body), commit)
    return Signature(_kind(body), sha256(body), f"{answer.asked}: commit {commit}")


def _capabilities(hub: HubAsking, repository: str) -> str:
    """What the server's `fetch` can do besides."""
    path = f"{repository}/info/refs"
    answer = hub.get_with(path, {"Git-Protocol": "version=2"}, service="git-upload-pack")
    _check_status(answer)
    lines = [line.rstrip(b"\n") for line in _lines(answer.body) if line]
    if b"version 2" not in lines:
        raise Malformed(f"{answer.asked}: the server does not speak version 2 of Git's protocol")
    fetch = next((line for line in lines if line == b"fetch" or line.startswith(b"fetch=")), None)
    if fetch is None:
        raise Malformed(f"{answer.asked}: the server hands out no objects")
    return fetch.partition(b"=")[2].decode("ascii", "replace")


def _check_status(answer: Answer) -> None:
    if answer.status != 200:
        where = f": a redirect to {plain(answer.location)}, which is not followed" if answer.location else ""
        raise SourceError(f"{answer.asked} answers status {answer.status}{where}")


def _request(commit: str, *, filtered: bool) -> bytes:
    wants = [b"no-progress\n", b"deepen 1\n", *([b"filter tree:0\n"] if filtered else [])]
    wants += [b"want " + commit.encode("ascii") + b"\n", b"done\n"]
    return _line(b"command=fetch\n") + b"0001" + b"".join(map(_line, wants)) + b"0000"


def _line(text: bytes) -> bytes:
    return b"%04x%s" % (len(text) + 4, text)


def _lines(data: bytes) -> Iterator[bytes]:
    """The packet lines of an answer; flush, delimiter and end are empty ones."""
    at = 0
    while at < len(data):
        head = data[at : at + 4]
        if len(head) < 4 or not all(one in b"0123456789abcdefABCDEF" for one in head):
            raise Malformed("the answer of the Git server is no packet line")
        size = int(head, 16)
        if size < 4:
            yield b""
            at += 4
            continue
        if at + size > len(data):
            raise Malformed("the answer of the Git server ends within a packet line")
        yield data[at + 4 : at + size]
        at += size


def _pack(data: bytes) -> bytes:
    """The pack file of a fetch's answer."""
    pack, inside = bytearray(), False
    for line in _lines(data):
        if not inside:
            if line.startswith(b"ERR "):
                raise SourceError(f"the Git server says: {plain(line[4:].decode('utf-8', 'replace'))}")
            inside = line.rstrip(b"\n") == b"packfile"
        elif line and line[0] == _DATA:
            pack += line[1:]
        elif line and line[0] == _ERROR:
            raise SourceError(f"the Git server says: {plain(line[1:].decode('utf-8', 'replace'))}")
        elif line and line[0] != _PROGRESS:
            raise Malformed("the answer of the Git server holds a channel that there is not")
    return bytes(pack)


def _commit_object(pack: bytes, commit: str) -> bytes:
    """The object of that id. A pack gives its commits first, so looking stops at the first that is none."""
    if pack[:4] != b"PACK" or int.from_bytes(pack[4:8], "big") not in (2, 3):
        raise Malformed("the Git server answers no pack")
    at = 12
    for _ in range(min(int.from_bytes(pack[8:12], "big"), MAX_OBJECTS)):
        kind, size, at = _object_head(pack, at)
        if kind != _COMMIT:
            break
        if size > MAX_COMMIT_BYTES:
            raise LimitExceeded(f"a commit object has {size} bytes, more than {MAX_COMMIT_BYTES}")
        body, at = _inflated(pack, at, size)
        if hashlib.sha1(b"commit %d\0" % size + body, usedforsecurity=False).hexdigest() == commit:
            return body
    raise Malformed(f"the Git server's pack does not begin with commit {commit}")


def _object_head(pack: bytes, at: int) -> tuple[int, int, int]:
    if at >= len(pack):
        raise Malformed("the Git server's pack ends early")
    first = pack[at]
    kind, size, shift = first >> 4 & 7, first & 15, 4
    more = first & 0x80
    at += 1
    while more:
        if at >= len(pack) or shift > 60:
            raise Malformed("an object of the Git server's pack has no size")
        size |= (pack[at] & 0x7F) << shift
        more, shift, at = pack[at] & 0x80, shift + 7, at + 1
    return kind, size, at


def _inflated(pack: bytes, at: int, size: int) -> tuple[bytes, int]:
    inflating = zlib.decompressobj()
    try:
        body = inflating.decompress(pack[at:], size + 1)
    except zlib.error as error:
        raise Malformed("an object of the Git server's pack cannot be unpacked") from error
    if len(body) != size or not inflating.eof:
        raise Malformed("an object of the Git server's pack has another size than it says")
    return body, len(pack) - len(inflating.unused_data)


def _kind(body: bytes) -> str:
    """What signs it: the header `gpgsig` (`gpgsig-sha256`), which ends with the first empty line."""
    for line in body.partition(b"\n\n")[0].split(b"\n"):
        name, _, value = line.partition(b" ")
        if name in (b"gpgsig", b"gpgsig-sha256"):
            return next((kind for start, kind in _KINDS if value.startswith(start)), "other")
    return ""
