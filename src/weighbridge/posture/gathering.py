"""How collectors take notes: facts with their source, what could not be had with its reason, both fit to be shown.

Rules: every id that a collector promises comes out, as evidence or as unobtained; nothing that could not be read stops the
rest; lists and texts are bounded; what looks like a credential is never kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import WeighbridgeError
from weighbridge.core.shown import MORE, plain
from weighbridge.posture.evidence import Evidence, Unobtained

MAX_LISTED: Final = 1_000
MAX_INTEGER: Final = (1 << 53) - 1
"""The largest number that a record holds."""

Gathered = Iterator[Evidence | Unobtained]


@dataclass(frozen=True, slots=True)
class Notes:
    """Takes notes at one time. `observed_at` is RFC 3339."""

    observed_at: str

    def saw(self, id_: str, value: JsonValue, source: str, *, digest: str = "") -> Evidence:
        """A fact; `digest` is the SHA-256 of the document it was read from."""
        return Evidence(id_, value, plain(source), self.observed_at, digest)


def gathered(promised: tuple[str, ...], gather: Callable[[], Iterable[Evidence | Unobtained]]) -> Gathered:
    """What `gather` notes; what it promised and did not get to is unobtained, with what stood in the way."""
    given: set[str] = set()
    why = "it was not answered"
    try:
        for one in gather():
            given.add(one.id)
            yield one
    except WeighbridgeError as error:
        why = error.diagnostics()
    for id_ in promised:
        if id_ not in given:
            yield Unobtained(id_, plain(why, 400))


def listed(texts: Iterable[str]) -> list[JsonValue]:
    """Different texts in order, bounded."""
    return bounded(sorted({plain(text) for text in texts}))


def bounded(values: Iterable[JsonValue]) -> list[JsonValue]:
    """The first `MAX_LISTED` values; `…` stands for more."""
    kept: list[JsonValue] = []
    for value in values:
        if len(kept) == MAX_LISTED:
            return [*kept, MORE]
        kept.append(value)
    return kept


def sha256(data: bytes) -> str:
    """The SHA-256 of a document."""
    return hashlib.sha256(data).hexdigest()
