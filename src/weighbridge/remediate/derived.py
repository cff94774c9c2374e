"""A derived revision as a source: what is kept of its parent, and what the steps of a plan make of it.

Nothing is stored in between. A made artifact is put together while it is read, some MiB at a time, from whatever range and
in however many threads it is asked for. What is kept has the parent's own claims, so that a store that holds it already
copies it and nobody reads it again.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import accumulate
from typing import Final

from weighbridge import __version__
from weighbridge.core import canonical
from weighbridge.core.errors import ConfigError, ContentChanged, NotFound, NothingCollected
from weighbridge.core.names import Address, check_paths
from weighbridge.core.ports import ByteStream, Source
from weighbridge.core.snapshot import Entry, Snapshot
from weighbridge.remediate.plan import Literal, Made, Piece, ReaderOf, Step, removed_paths

KIND: Final = "derived"
"""`Origin.kind` of a derived revision; its `address` is `org/name@<revision>` of the parent."""
STEP_BYTES: Final = 1024 * 1024


class DerivedSource:
    """See `core.ports.Source`. The snapshot has no revision: it is known from the bytes, as for every folder.

    `parent` serves what is kept, `readers` what the pieces are made from; both belong to somebody else.

    Raises:
        ConfigError: the steps do not fit each other, or change nothing.
        UnsafePath: a made artifact collides with another one.
        NothingCollected: nothing would be left.
    """

    def __init__(self, parent: Source, snapshot: Snapshot, steps: Sequence[Step], readers: ReaderOf) -> None:
        self._parent = parent
        self._readers = readers
        self._made = _made(steps)
        self._digest = plan_digest(snapshot, steps)
        self._snapshot = self._derive(snapshot, removed_paths(steps))

    @property
    def digest(self) -> str:
        """What was planned, as 64 hex digits: equal for the same parent, steps and version of weighbridge."""
        return self._digest

    def pin(self) -> Snapshot:
        """The derived revision's artifacts."""
        return self._snapshot

    def open(self, entry: Entry, start: int, end: int) -> AbstractContextManager[ByteStream]:
        """Opens a range of an artifact, kept or made.

        Raises:
            SourceError, StoreError, IntegrityError: the parent's bytes cannot be read.
        """
        made = self._made.get(entry.path)
        if made is None:
            return self._parent.open(entry, start, end)
        if not 0 <= start <= end <= made.size_bytes:
            raise NotFound(f"'{entry.path}' has {made.size_bytes} bytes; {start} to {end} were asked for")
        return _opened(_MadeStream(made, self._readers, start, end))

    def close(self) -> None:
        """The parent is somebody else's to close."""

    def _derive(self, parent: Snapshot, removed: frozenset[str]) -> Snapshot:
        missing = removed - {entry.path for entry in parent.entries} - set(self._made)
        if missing:
            raise ConfigError(f"{min(missing)!r} is to be dropped and is not part of {parent.model_name}")
        kept = [entry for entry in parent.entries if entry.path not in removed]
        entries = tuple(sorted([*kept, *map(self._entry, self._made.values())], key=lambda entry: entry.path))
        reference = f"{parent.model_name}@{parent.revision}"
        if not entries:
            raise NothingCollected(f"nothing of {reference} would be left")
        check_paths((entry.path for entry in entries), of=f"what is derived from {reference}")
        return Snapshot(
            model_name=parent.model_name,
            # The plan is part of the address, so that two plans of one parent do not share what was begun.
            source=Address("folder", f"{reference}+{self._digest[:16]}"),
            origin=replace(parent.origin, kind=KIND, address=reference),
            entries=entries,
        )

    def _entry(self, made: Made) -> Entry:
        """A made artifact as announced; its digest only where its bytes are known already."""
        digest = ""
        if all(isinstance(piece, Literal) for piece in made.pieces):
            literals = (piece.data for piece in made.pieces if isinstance(piece, Literal))
            digest = hashlib.sha256(b"".join(literals)).hexdigest()
        return Entry(made.path, made.size_bytes, sha256=digest, validator=self._digest)


def plan_digest(parent: Snapshot, steps: Sequence[Step]) -> str:
    """The digest of what is to be done to which revision by which version."""
    return canonical.digest(
        {
            "parent": f"{parent.model_name}@{parent.revision}",
            "weighbridge_version": __version__,
            "steps": [
                {
                    "remedy": step.remedy,
                    "dropped": sorted(step.dropped),
                    "made": [{"path": made.path, "size_bytes": made.size_bytes} for made in step.made],
                    "proof": dict(step.proof),
                }
                for step in steps
            ],
        }
    )


def _made(steps: Sequence[Step]) -> dict[str, Made]:
    """All made artifacts by path."""
    if not steps:
        raise ConfigError("there is nothing to remedy")
    made: dict[str, Made] = {}
    dropped = {path: step.remedy for step in steps for path in step.dropped}
    for step in steps:
        for one in step.made:
            if one.path in made or dropped.get(one.path, step.remedy) != step.remedy:
                raise ConfigError(
                    f"two remedies change '{one.path}'", hint="Remedy the model in two runs, one remedy each."
                )
            made[one.path] = one
    return made


class _MadeStream:
    """Bytes `start` to `end` of a made artifact; see `core.ports.ByteStream`."""

    def __init__(self, made: Made, readers: ReaderOf, start: int, end: int) -> None:
        self._path = made.path
        self._pieces: Sequence[Piece] = made.pieces
        self._ends = list(accumulate(piece.size_bytes for piece in made.pieces))
        self._readers = readers
        self._position = start
        self._end = end

    def readinto(self, view: memoryview, /) -> int:
        """Fills some of `view`; 0 only at the end of the range."""
        wanted = min(len(view), self._end - self._position, STEP_BYTES)
        if wanted <= 0:
            return 0
        # Empty pieces end where they begin, so the one found always has a byte at the position.
        number = bisect_right(self._ends, self._position)
        piece = self._pieces[number]
        begins = self._ends[number] - piece.size_bytes
        inside = self._position - begins
        data = piece.read(self._readers, inside, min(inside + wanted, piece.size_bytes))
        if not data or len(data) > wanted:
            raise ContentChanged(f"a piece of '{self._path}' gave {len(data)} bytes instead of up to {wanted}")
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


@contextmanager
def _opened(stream: _MadeStream) -> Iterator[ByteStream]:
    yield stream
