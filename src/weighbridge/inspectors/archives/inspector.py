"""What does this container hold, and do all its readers find the same in it?

The directory is read, its structure is held against what honest writers leave behind, and every member is inspected
like an artifact of its own, in place where it is stored, unpacked within bounds where it is not. Clean means that every
byte of the container belongs to its structure or to a member that was handed down; what a member is worth is said by
those who inspect it.
"""

from __future__ import annotations

from typing import Final

from weighbridge.core.finding import Report
from weighbridge.formats.tar_header import is_tar_header
from weighbridge.formats.zips import zip_at_the_end
from weighbridge.inspectors.archives.rules import NAME, RULES
from weighbridge.inspectors.subject import Subject

__all__ = ["NAME", "RULES", "Archives"]

_CANNOT_END_IN_A_ZIP: Final = frozenset(("text", "config", "code", "empty", "pointer"))
"""Families that are text: whoever reads them whole meets a zip's control characters."""


class Archives:
    """The inspector `archives`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Bad for structures made to deceive, clean when all was handed down, unknown for all else.

        None for what is no container.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        kind = subject.kind
        if kind.family == "archive":
            from weighbridge.inspectors.archives.containers import look_into

            report = look_into(subject)
            if report is not None:
                return report
        if (kind.family in _CANNOT_END_IN_A_ZIP and kind.name != "sentencepiece") or kind.name == "safetensors":
            return None
        # What a reader from the end finds in a file that begins as something else.
        place, is_tar = zip_at_the_end(subject.reader), is_tar_header(subject.head[:512])
        if place is None and not is_tar:
            return None
        from weighbridge.inspectors.archives.containers import polyglot

        return polyglot(subject, place, is_tar=is_tar)
