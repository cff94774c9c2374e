"""Tells a tar archive by its first block; what is in the archive is for `tars`."""

from __future__ import annotations

from typing import Final

from weighbridge.core.later import later

BLOCK: Final = 512
OCTAL: Final = later(rb" *([0-7]*)[ \x00]*\Z")
"""A number as headers have it."""


def is_tar_header(block: bytes) -> bool:
    """Whether a block of 512 bytes has the checksum of a header, and a name."""
    if len(block) < BLOCK or not block[0]:
        return False
    match = OCTAL.match(block[148:156])
    if match is None or not match[1]:
        return False
    return int(match[1], 8) == sum(block[:148]) + 8 * 0x20 + sum(block[156:BLOCK])
