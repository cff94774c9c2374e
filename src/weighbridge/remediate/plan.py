"""A plan for a derived revision: which artifacts are kept, left out or made anew, and from which bytes of the parent.

A made artifact is a list of pieces: literal bytes, spans of the parent's artifacts, or bytes computed from spans. Nothing is
read until somebody streams it, and then only what is asked for, so a plan for 690 GB takes no more memory than its headers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from weighbridge.core.canonical import JsonValue
from weighbridge.core.ports import RangeReader

ReaderOf = Callable[[str], RangeReader]
"""Opens an artifact of the parent by path."""


class Piece(Protocol):
    """Some consecutive bytes of a made artifact."""

    @property
    def size_bytes(self) -> int:
        """How many."""
        ...

    def read(self, readers: ReaderOf, start: int, end: int) -> bytes:
        """Bytes `start` (included) to `end` (excluded) of the piece, at most a few MiB at a time.

        Raises:
            SourceError, StoreError, IntegrityError: the parent's bytes cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Literal:
    """Bytes that are known already."""

    data: bytes

    @property
    def size_bytes(self) -> int:
        """How many."""
        return len(self.data)

    def read(self, readers: ReaderOf, start: int, end: int) -> bytes:
        """A part of them."""
        return self.data[start:end]


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `offset` to `offset + size_bytes` of the parent's artifact `path`, as they are."""

    path: str
    offset: int
    size_bytes: int

    def read(self, readers: ReaderOf, start: int, end: int) -> bytes:
        """A part of them."""
        return readers(self.path).read(self.offset + start, min(end, self.size_bytes) - start)


@dataclass(frozen=True, slots=True)
class Made:
    """An artifact of the derived revision that the parent does not have in this form."""

    path: str
    pieces: tuple[Piece, ...]

    @property
    def size_bytes(self) -> int:
        """Its size."""
        return sum(piece.size_bytes for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Step:
    """What one remedy does: `remedy` is its name (`to-safetensors`, `strip-remote-code`, `drop-secrets`).

    `proof` is what the attestation will carry: for each thing that changed, what it was, what it is, and how the two
    are known to be equal where they claim to be. `made` replaces artifacts of the same path.
    """

    remedy: str
    dropped: tuple[str, ...] = ()
    made: tuple[Made, ...] = ()
    proof: Mapping[str, JsonValue] = field(default_factory=dict)


def removed_paths(steps: Sequence[Step]) -> frozenset[str]:
    """Paths of the parent that do not come over as they are."""
    return frozenset(path for step in steps for path in (*step.dropped, *(made.path for made in step.made)))
