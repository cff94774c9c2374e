"""What does this container hold, and do all its readers find the same in it?

The directory is read, its structure is held against what honest writers leave behind, and every member is inspected
like an artifact of its own, in place where it is stored, unpacked within bounds where it is not. Clean means that every
byte of the container belongs to its structure or to a member that was handed down; what a member is worth is said by
those who inspect it.
"""

from __future__ import annotations

from typing import Final

from weighbridge.core.finding import Report
from weighbridge.formats.members import Replayed
from weighbridge.formats.streams import KINDS as STREAMS
from weighbridge.formats.tar_header import is_tar_header
from weighbridge.formats.zips import ZipArchive, zip_at_the_end
from weighbridge.inspectors.archives.looking import Looking
from weighbridge.inspectors.archives.rules import NAME, RULES
from weighbridge.inspectors.archives.sevenz import look_at_7z
from weighbridge.inspectors.archives.streams import StreamLook
from weighbridge.inspectors.archives.tars import TarLook
from weighbridge.inspectors.archives.zips import ZipLook
from weighbridge.inspectors.subject import Subject

__all__ = ["NAME", "RULES", "Archives"]

NOT_UNDERSTOOD: Final = frozenset(("rar", "cpio", "ar", "cab", "lzip"))
"""Containers that are recognised and not looked into."""

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
        match kind.name:
            case "zip":
                return _zip(subject)
            case "tar":
                return _tar(subject)
            case "7z":
                looking = Looking(subject, "7z")
                return _with_zip(looking, own=look_at_7z(looking))
            case name if name in STREAMS:
                looking = Looking(subject, "stream")
                StreamLook(looking).look()
                return _with_zip(looking)
            case name if name in NOT_UNDERSTOOD:
                looking = Looking(subject, "archive")
                looking.say("not-understood", f"nothing is known of what this {name} container holds")
                looking.leave_out(subject.size_bytes)
                return _with_zip(looking)
        if (kind.family in _CANNOT_END_IN_A_ZIP and kind.name != "sentencepiece") or kind.name == "safetensors":
            return None
        return _polyglot(subject)


def _zip(subject: Subject) -> Report:
    looking = Looking(subject, "zip")
    ZipLook(looking, ZipArchive(subject.reader)).look()
    return looking.report()


def _tar(subject: Subject) -> Report:
    looking = Looking(subject, "tar")
    look = TarLook(looking)
    look.look()
    # A member that is a zip archive itself ends near the end of the tar.
    return _with_zip(looking, own=frozenset(look.starts))


def _with_zip(looking: Looking, own: frozenset[int] = frozenset()) -> Report:
    """The report on a container, which may be a zip archive besides."""
    subject = looking.subject
    if isinstance(subject.reader, Replayed):
        return looking.report()
    place = zip_at_the_end(subject.reader)
    if place is not None and place not in own:
        looking.family = "zip"
        _look_at_zip(looking, place)
    return looking.report()


def _polyglot(subject: Subject) -> Report | None:
    """What a reader from the end finds in a file that begins as something else."""
    place, is_tar = zip_at_the_end(subject.reader), is_tar_header(subject.head[:512])
    if place is None and not is_tar:
        return None
    looking = Looking(subject, "archive")
    if is_tar:
        looking.say(
            "ambiguous", f"the file is {subject.kind.name} and, to those who look for one, a tar archive as well"
        )
        looking.family = "tar"
        TarLook(looking).look()
    if place is not None:
        looking.family = "zip"
        _look_at_zip(looking, place)
    return looking.report(claims=False)


def _look_at_zip(looking: Looking, place: int) -> None:
    message = f"the file is {looking.subject.kind.name} and, to those who read from the end, a zip archive as well"
    looking.say("ambiguous", message, f"offset {place}")
    ZipLook(looking, ZipArchive(looking.subject.reader)).look()
