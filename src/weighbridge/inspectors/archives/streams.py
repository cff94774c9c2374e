"""Looks into a compressed file: what it unpacks to is one member, and what lies beside the data is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from weighbridge.core.ports import RangeReader
from weighbridge.formats.decoders import StreamDefect
from weighbridge.formats.held import Held
from weighbridge.formats.kinds import PICKLE, kind_of, read_head
from weighbridge.formats.members import Replayed
from weighbridge.formats.streams import WEIGHTS, Unpacking, unpack
from weighbridge.inspectors.archives.looking import Looking

MAX_UNPACKED_BYTES: Final = 512 * 1024 * 1024
"""What one file may unpack to, counted as gzip; slower codecs get less."""

BOMB_RATIO: Final = 100
_FIRST_PART_BYTES = 4 * 1024 * 1024
_RENAMED: Final[Mapping[str, str]] = {
    ".tgz": ".tar",
    ".tbz": ".tar",
    ".tbz2": ".tar",
    ".txz": ".tar",
    ".tzst": ".tar",
    ".nemo": ".tar",
    ".svgz": ".svg",
    **dict.fromkeys((".gz", ".bz2", ".xz", ".lzma", ".zst", ".zstd", ".lz4", ".z", ".zlib"), ""),
}


class StreamLook:
    """One compressed file: `look` says everything there is to say on a `Looking` of the family `stream`."""

    def __init__(self, looking: Looking) -> None:
        self._looking = looking
        self._kind = looking.subject.kind.name
        self._reader = looking.subject.reader
        self._weight = WEIGHTS.get(self._kind, 1)

    def look(self) -> None:
        """Unpacks once from end to end, and hands the content down.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        looking, noted = self._looking, Unpacking()
        limit = min(looking.may_unpack, MAX_UNPACKED_BYTES // self._weight)
        held, size, whole = bytearray(), 0, True
        may_hold = looking.may_hold
        try:
            for chunk in unpack(self._kind, self._reader, noted):
                size += len(chunk)
                if len(held) == size - len(chunk) and size <= may_hold:
                    held += chunk
                if size > limit:
                    self._too_much(size, max(1, noted.consumed))
                    whole = False
                    break
        except StreamDefect as defect:
            whole = False
            looking.say(defect.rule, defect.message)
        for note in noted.notes:
            looking.say(note.rule, note.message, f"offset {note.offset}")
        if not whole:
            looking.leave_out(looking.subject.size_bytes)
        self._hand_down(held, size, whole=whole)

    def _too_much(self, size: int, packed: int) -> None:
        if size > BOMB_RATIO * packed:
            self._looking.say("bomb", f"{packed} bytes unpack to more than {size}")
        else:
            self._looking.say("limit", f"the file unpacks to more than {size} bytes, of which the first are looked at")

    def _hand_down(self, held: bytearray, size: int, *, whole: bool) -> None:
        looking, name = self._looking, unpacked_name(self._looking.subject.path)
        if not held:
            return
        if len(held) == size:
            content: RangeReader = Held(name, held, self._reader)
        elif whole or kind_of(name, bytes(held[:8192]), size).name == "tar":
            # Of an archive that is cut, the members before the cut are whole.
            del held[:]
            again = _again(self._kind, self._reader)
            content = Replayed(name, size, again, outer=self._reader, weight=self._weight)
        else:
            del held[_FIRST_PART_BYTES:]
            content = Held(name, held, self._reader)
            if kind_of(name, read_head(content), size) is not PICKLE:
                return
        looking.descend(content, unpacked_bytes=min(size, looking.may_unpack), packed_bytes=looking.subject.size_bytes)


def unpacked_name(path: str) -> str:
    """The name of what a compressed file of that name holds."""
    base = path.rpartition("/")[2]
    stem, dot, suffix = base.rpartition(".")
    renamed = _RENAMED.get(f"{dot}{suffix}".lower()) if stem else None
    return base if renamed is None else f"{stem}{renamed}"


def _again(kind: str, reader: RangeReader) -> Callable[[], Iterator[bytes]]:
    return lambda: unpack(kind, reader, Unpacking())
