"""How collectors take notes: facts with their source, what could not be had with its reason, both fit to be shown.

Rules: every id that a collector promises comes out, as evidence or as unobtained; nothing that could not be read stops the
rest; lists and texts are bounded; what looks like a credential is never kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import WeighbridgeError
from weighbridge.posture.evidence import Evidence, Unobtained

MAX_LISTED: Final = 1_000
MAX_TEXT: Final = 200
MAX_INTEGER: Final = (1 << 53) - 1
"""The largest number that a record holds."""
MORE: Final = "…"
_SECRET: Final = re.compile(
    r"(?i)hf_[a-z0-9]{8,}|\b(?:bearer|basic)\s+\S+|(?:AKIA|ASIA)[A-Z0-9]{12,}|eyJ[\w-]{8,}\.[\w.-]+"
    r"|(?<=[?&])(?:token|access_token|signature|x-amz-[a-z-]+|policy|key-pair-id)=[^&\s]*"
)

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


def plain(text: str, limit: int = MAX_TEXT) -> str:
    """Text as it may be shown: no credentials, no control characters, cut."""
    cleaned = _SECRET.sub("<redacted>", text[: limit * 4])
    cleaned = "".join(one if one.isprintable() else (" " if one in "\n\t" else ascii(one)[1:-1]) for one in cleaned)
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + MORE


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
