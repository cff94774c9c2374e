"""An inventory as a value: one line for each model, what was not looked at, and its JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.deploy.architecture import Architecture
from weighbridge.drift.fingerprint import Fingerprint
from weighbridge.drift.likeness import Likeness
from weighbridge.inventory.models import FoundModel, SaidOfItself
from weighbridge.inventory.places import Trouble

FORMAT: Final = "weighbridge.inventory/1"


def told(text: str) -> str:
    """Text that can be written: bytes of a file name that are no UTF-8 are written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class Status(Enum):
    """What a found model is. `sealed`: files of a revision; `copy`: its weights elsewhere; `related`: weights made from them."""

    SEALED = "sealed"
    COPY = "copy"
    RELATED = "related"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Line:
    """One model. `of` is `org/name@revision` unless it is unknown; `basis` says what that rests on."""

    model: FoundModel
    about: SaidOfItself
    status: Status
    of: str = ""
    basis: str = ""
    likeness: Likeness | None = None
    fingerprint: Fingerprint | None = None
    differing: tuple[str, ...] = ()
    """Files beside the weights that are not those of the revision."""
    quantised: str = ""
    """The type that a copy is held in, where that is coarser than the revision's."""

    @property
    def words(self) -> str:
        """The status as a person reads it: `copy (quantised Q4_K)`."""
        return f"{self.status.value} (quantised {self.quantised})" if self.quantised else self.status.value

    def to_json(self) -> dict[str, JsonValue]:
        """The record."""
        made = self.fingerprint
        return {
            "place": told(self.model.place),
            "formats": list(self.model.formats),
            "weight_files": len(self.model.weights),
            "size_bytes": self.model.size_bytes,
            "architecture": architecture_json(self.about.architecture),
            "status": self.status.value,
            "status_text": self.words,
            "quantised": self.quantised,
            "of": self.of,
            "basis": self.basis,
            "likeness": None if self.likeness is None else self.likeness.to_json(),
            "differing": [told(one) for one in self.differing],
            "claims": [{"name": claim.name, "said_by": claim.said_by} for claim in self.about.claims],
            "risks": list(self.about.risks),
            "notes": [told(note) for note in self.about.notes],
            "fingerprint": None if made is None else {"architecture": made.names_digest, "weights": made.digest},
        }


def architecture_json(architecture: Architecture) -> dict[str, JsonValue]:
    """The facts of a configuration that are known."""
    said: dict[str, JsonValue] = {
        "names": list(architecture.names),
        "model_type": architecture.model_type,
        "dtype": architecture.dtype,
        "quantization": architecture.quantization,
        "layers": architecture.layers,
        "hidden_size": architecture.hidden_size,
        "vocabulary": architecture.vocabulary,
    }
    return {key: value for key, value in said.items() if value}


@dataclass(frozen=True, slots=True)
class Inventory:
    """All models of a place. `trouble_count` may be more than are kept."""

    root: str
    lines: tuple[Line, ...]
    troubles: tuple[Trouble, ...] = ()
    trouble_count: int = 0
    files: int = 0
    size_bytes: int = 0
    known: int = 0
    """Sealed revisions that the models were held against."""

    def count(self, status: Status) -> int:
        """How many models are that."""
        return sum(1 for line in self.lines if line.status is status)

    def to_json(self) -> dict[str, JsonValue]:
        """The document of `weighbridge inventory --json`."""
        counts = Counter(line.status for line in self.lines)
        return {
            "format": FORMAT,
            "root": told(self.root),
            "files": self.files,
            "size_bytes": self.size_bytes,
            "held_against": self.known,
            "counts": {status.value: counts[status] for status in Status},
            "complete": not self.trouble_count,
            "models": [line.to_json() for line in self.lines],
            "not_looked_at": [{"path": told(one.path), "why": told(one.what)} for one in self.troubles],
            "not_looked_at_count": self.trouble_count,
        }


def cells(line: Line) -> tuple[str, ...]:
    """Place, status, revision, formats, architecture, claims and risks of a model, in words."""
    architecture = line.about.architecture
    kind = ", ".join(architecture.names) or architecture.model_type
    claims = "; ".join(f"{claim.name} ({claim.said_by})" for claim in line.about.claims)
    risks = ", ".join((*line.about.risks, *line.differing))
    place = line.model.place
    return tuple(map(told, (place, line.words, line.of, "+".join(line.model.formats), kind, claims, risks)))


HEADINGS: Final = ("Place", "Status", "Revision", "Formats", "Architecture", "Claims to be", "Mind")
