"""Looks into containers: the directory, the structure, and each member handed down; see `inspector`.

Apart from it, since what unpacks takes longer to import than most files that are no container take to inspect.
"""

from __future__ import annotations

from typing import Final

from weighbridge.core.finding import Report
from weighbridge.formats.members import Replayed
from weighbridge.formats.streams import KINDS as STREAMS
from weighbridge.formats.zips import ZipArchive, zip_at_the_end
from weighbridge.inspectors.archives.looking import Looking
from weighbridge.inspectors.archives.sevenz import look_at_7z
from weighbridge.inspectors.archives.streams import StreamLook
from weighbridge.inspectors.archives.tars import TarLook
from weighbridge.inspectors.archives.zips import ZipLook
from weighbridge.inspectors.subject import Subject

NOT_UNDERSTOOD: Final = frozenset(("rar", "cpio", "ar", "cab", "lzip"))
"""Containers that are recognised and not looked into."""


def look_into(subject: Subject) -> Report | None:
    """The report on what is a container by its kind; None for kinds that are none of ours.

    Raises:
        Truncated: the reader returned less than the artifact's size promises.
    """
    match subject.kind.name:
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
    return None


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


def polyglot(subject: Subject, place: int | None, *, is_tar: bool) -> Report:
    """The report on a file that begins as something else: an archive ends at `place`, or a tar archive begins here."""
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
