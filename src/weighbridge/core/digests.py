"""The digests that tie bytes together, and the shapes they are written in.

- an artifact: SHA-256 of the whole (what the Hub's Git LFS records, what OpenSSF model signatures carry); for files
  that Git itself keeps, also Git's blob SHA-1 (`sha1("blob <size>\\0" + bytes)`);
- a chunk: BLAKE3, 256 bits, of each `CHUNK_BYTES` of an artifact, so that a range can be proven without the whole.
  BLAKE3 costs 0.3 CPU-seconds per GB where a second SHA-256 costs 0.63 (`docs/decisions/0002-digests.md`).

All are lowercase hexadecimal text.
"""

from __future__ import annotations

import re

CHUNK_BYTES = 8 * 1024 * 1024
CHUNK_ALGORITHM = "blake3"
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")


def is_sha256(text: str) -> bool:
    """Whether `text` is 64 lowercase hexadecimal digits (SHA-256 and BLAKE3-256 alike)."""
    return _SHA256.fullmatch(text) is not None


def is_sha1(text: str) -> bool:
    """Whether `text` is 40 lowercase hexadecimal digits."""
    return _SHA1.fullmatch(text) is not None


def chunk_count(size_bytes: int) -> int:
    """How many chunks an artifact of that size has; an empty one has none."""
    return -(-size_bytes // CHUNK_BYTES)


def git_blob_header(size_bytes: int) -> bytes:
    """What Git hashes before the bytes of a blob (git-hash-object(1))."""
    return b"blob %d\x00" % size_bytes
