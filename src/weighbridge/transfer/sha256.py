"""SHA-256 whose state can be saved after a kill and taken up again, at the speed of OpenSSL.

An unfinished S3 upload cannot be read back, so a resumed artifact whose hash state was lost would have to come over the
network a second time. `hashlib` does not give its state away; OpenSSL's own `SHA256_CTX` is a plain structure, and the
library that `hashlib` is linked with exports it. Where it does not (a static Python), or answers anything else than
`hashlib` in a self-test, `state()` is None and a resumed artifact is read from its beginning (docs/decisions/0003).
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import ssl
import struct
import sys
from functools import cache

_CONTEXT_BYTES = 112
"""`sizeof(SHA256_CTX)`: 8 state words, 64-bit length, 16 words of pending block, two counters (openssl/sha.h)."""

_BLOCK_BYTES = 64
_DIGEST_BYTES = 32
_ROOM_BYTES = 256


def _tag() -> str:
    return f"openssl-{ssl.OPENSSL_VERSION_INFO[0]}-{sys.byteorder}-{_CONTEXT_BYTES}"


class ResumableSha256:
    """Like `hashlib.sha256()`, plus `state` and `restore`. Not thread-safe; releases the GIL while hashing."""

    def __init__(self) -> None:
        self._library = _library()
        self._context = ctypes.create_string_buffer(_ROOM_BYTES)
        self._plain = None if self._library else hashlib.sha256()
        if self._library:
            self._library.SHA256_Init(self._context)

    def update(self, data: bytearray | memoryview) -> None:
        """Hashes a writable buffer."""
        if self._library is None or self._plain is not None:
            assert self._plain is not None
            self._plain.update(data)
            return
        size = len(data)
        if size:
            self._library.SHA256_Update(self._context, (ctypes.c_char * size).from_buffer(data), size)

    def hexdigest(self) -> str:
        """The digest of what was hashed so far; more may follow."""
        if self._library is None or self._plain is not None:
            assert self._plain is not None
            return self._plain.hexdigest()
        copy = ctypes.create_string_buffer(self._context.raw, _ROOM_BYTES)
        digest = ctypes.create_string_buffer(32)
        self._library.SHA256_Final(digest, copy)
        return digest.raw.hex()

    def state(self) -> str | None:
        """What `restore` needs, or None where it cannot be had."""
        if self._library is None:
            return None
        return f"{_tag()}:{self._context.raw[:_CONTEXT_BYTES].hex()}"

    @classmethod
    def restore(cls, state: str) -> ResumableSha256 | None:
        """A hash that goes on from a saved state; None when the state is from another kind of library."""
        tag, _, data = state.partition(":")
        hasher = cls()
        if hasher._library is None or tag != _tag() or not re.fullmatch(f"[0-9a-f]{{{2 * _CONTEXT_BYTES}}}", data):
            return None
        raw = bytes.fromhex(data)
        pending, digest_bytes = struct.unpack("=II", raw[-8:])
        if pending >= _BLOCK_BYTES or digest_bytes != _DIGEST_BYTES:
            return None  # OpenSSL believes these counters and would write beyond its structure
        hasher._context = ctypes.create_string_buffer(raw, _ROOM_BYTES)
        return hasher


@cache
def _library() -> ctypes.CDLL | None:
    """OpenSSL as `hashlib` uses it, when it passes the self-test."""
    try:
        import _hashlib

        library = ctypes.CDLL(_hashlib.__file__)
        library.SHA256_Update.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
        for name in ("SHA256_Init", "SHA256_Final"):
            getattr(library, name)
    except (ImportError, OSError, AttributeError):
        return None
    return library if _self_test(library) else None


def _self_test(library: ctypes.CDLL) -> bool:
    sample = bytearray(range(200)) * 3
    context = ctypes.create_string_buffer(_ROOM_BYTES)
    digest = ctypes.create_string_buffer(32)
    library.SHA256_Init(context)
    library.SHA256_Update(context, (ctypes.c_char * 77).from_buffer(sample), 77)
    if any(context.raw[_CONTEXT_BYTES:]):
        return False
    resumed = ctypes.create_string_buffer(context.raw[:_CONTEXT_BYTES], _ROOM_BYTES)
    rest = bytearray(sample[77:])
    library.SHA256_Update(resumed, (ctypes.c_char * len(rest)).from_buffer(rest), len(rest))
    library.SHA256_Final(digest, resumed)
    return digest.raw == hashlib.sha256(sample).digest()
