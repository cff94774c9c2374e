"""Evidence: one measured fact, where it was seen, and when. Without it nothing in a report is more than unproved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.errors import Malformed

FORMAT = "weighbridge.evidence/1"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One fact.

    `id` is dotted lower case, its first part the route or the place it speaks of (`hub.revision.pinned`,
    `bucket.versioning`); `value` is what was measured; `source` names the file, setting or API call it was read from;
    `digest` is the SHA-256 of what was read, where that is a document; `observed_at` is RFC 3339.
    """

    id: str
    value: JsonValue
    source: str
    observed_at: str
    digest: str = ""

    def to_json(self) -> dict[str, JsonValue]:
        """The record of this fact."""
        return {
            "id": self.id,
            "value": self.value,
            "source": self.source,
            "observed_at": self.observed_at,
            "digest": self.digest,
        }


@dataclass(frozen=True, slots=True)
class Unobtained:
    """A fact that was looked for and could not be had: `why` says what stood in the way (a permission, a network)."""

    id: str
    why: str


@dataclass(frozen=True)
class Dossier:
    """All evidence of one report, by id, and what could not be had."""

    facts: Mapping[str, Evidence] = field(default_factory=dict)
    unobtained: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, gathered: Iterable[Evidence | Unobtained]) -> Dossier:
        """The dossier of what collectors gave; of two with one id the later one counts."""
        facts: dict[str, Evidence] = {}
        unobtained: dict[str, str] = {}
        for one in gathered:
            if isinstance(one, Evidence):
                facts[one.id] = one
            else:
                unobtained[one.id] = one.why
        return cls(facts, {id_: why for id_, why in unobtained.items() if id_ not in facts})

    def without(self, *ids: str) -> Dossier:
        """The same with some facts taken out."""
        return Dossier({id_: one for id_, one in self.facts.items() if id_ not in ids}, self.unobtained)

    def __iter__(self) -> Iterator[Evidence]:
        return iter(self.facts[id_] for id_ in sorted(self.facts))

    def to_json(self) -> dict[str, JsonValue]:
        """The record; the same facts give the same bytes."""
        return {
            "format": FORMAT,
            "facts": [one.to_json() for one in self],
            "unobtained": [{"id": id_, "why": self.unobtained[id_]} for id_ in sorted(self.unobtained)],
        }

    @classmethod
    def from_bytes(cls, data: bytes) -> Dossier:
        """Reads a stored dossier.

        Raises:
            Malformed, LimitExceeded: it is not what `to_json` gives.
        """
        what = "the evidence"
        record = canonical.decode_object(data, what=what)
        fields = Fields(record, what=what)
        if fields.text("format") != FORMAT:
            raise Malformed("the evidence has a format this version does not read")
        gathered: list[Evidence | Unobtained] = []
        for item in fields.items("facts"):
            one = Fields(item, what="a fact")
            texts = [one.text(key) for key in ("id", "source", "observed_at", "digest")]
            gathered.append(Evidence(texts[0], one.value("value"), texts[1], texts[2], texts[3]))
        for item in fields.items("unobtained"):
            one = Fields(item, what="what could not be had")
            gathered.append(Unobtained(one.text("id"), one.text("why")))
        return cls.of(gathered)
