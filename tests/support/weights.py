"""Bytes that stand for weights: they differ everywhere and hold no text, so that nobody searches text in them.

For tests of how bytes travel. In random bytes every tenth is part of something like a word, and what is read for secrets then
costs more than the transfer.
"""

from __future__ import annotations

import random
from typing import Final

_WORDLESS: Final = bytes(byte | 0x80 for byte in range(256))


def weights(size_bytes: int, *, seed: int | None = None) -> bytes:
    """So many bytes; the same for the same seed, others each time without one."""
    return random.Random(seed).randbytes(size_bytes).translate(_WORDLESS)
