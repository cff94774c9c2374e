"""Looks into a tar archive: its structure as it is walked, and every file in it."""

from __future__ import annotations

from typing import Final

from weighbridge.core.ports import RangeReader
from weighbridge.formats.held import Held
from weighbridge.formats.members import Replayed, Slice
from weighbridge.formats.tars import TarArchive, TarMember
from weighbridge.inspectors.archives.looking import Looking

_COPIED_BYTES: Final = 8 * 1024 * 1024
"""Largest member of a compressed archive that is held while it is inspected; to go back in it costs unpacking anew."""


class TarLook:
    """One archive: `look` says everything there is to say on a `Looking` of the family `tar`."""

    def __init__(self, looking: Looking) -> None:
        self._looking = looking
        self._archive = TarArchive(looking.subject.reader)
        self._replayed = _is_replayed(looking.subject.reader)
        self.starts: set[int] = set()
        """Where members begin."""

    def look(self) -> None:
        """Hands down the files in order.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        for member in self._archive.walk():
            if member.is_file:
                self._file(member)
        for problem in self._archive.problems:
            self._looking.say(problem.rule, problem.message, f"offset {problem.offset}")
        if not self._archive.complete:
            self._looking.leave_out(self._looking.subject.size_bytes - self._archive.covered)

    def _file(self, member: TarMember) -> None:
        looking = self._looking
        self.starts.add(member.data_offset)
        if not member.size_bytes:
            return
        if member.sparse:
            looking.leave_out(member.size_bytes)
            return
        content: RangeReader = Slice(member.name, self._archive.blocks, member.data_offset, member.size_bytes)
        if self._replayed and member.size_bytes <= min(_COPIED_BYTES, looking.may_hold):
            data = content.read(0, member.size_bytes)
            content = Held(member.name, data, looking.subject.reader)
        if looking.descend(content, packed_bytes=member.size_bytes) is not None:
            looking.subject.inert(member.data_offset, member.end_offset)


def _is_replayed(reader: RangeReader | None) -> bool:
    while reader is not None:
        if isinstance(reader, Replayed):
            return True
        reader = getattr(reader, "outer", None)
    return False
