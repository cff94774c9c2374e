"""Compares two fingerprints: the same weights, weights that come from the same training, or neither.

A tensor is alike another of its shape when at most `ALIKE_BITS` of 128 bits differ. Bits of unrelated weights agree by chance: one
pair in 1.6e8 is alike so. Which tensor is which is found by its bits, and not by its name.

- `same`: each tensor of either side has a match (two of a tied pair may have one), and none differs from it beyond what the coarser
  type can show; of values in blocks, 0.1 % of each type's may (1 % of some), which a tuned model's do not keep to. Where a model has more tensors than are sketched, a tenth may be missing on the other side, by name as well;
- `related`: three tensors, and a tenth of them, are alike; `similarity` is the mean cosine that their bits tell, 0 for the others;
- `different`: fewer;
- `unknown`: a side has no sketch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.drift.fingerprint import Fingerprint, Sketched
from weighbridge.drift.sketch import BITS, GRAINS, GROUP, agree, outside

ALIKE_BITS: Final = 32
FEW: Final = 3
LEAST_SHARE: Final = 0.1
SAME_SHARE: Final = 0.9
STRAY_SHARE: Final = 0.001
FITTED_STRAY_SHARE: Final = 0.01
FITTED: Final = frozenset(("Q5_1", "Q5_0", "Q4_1", "Q4_0", "Q2_K"))
"""Types whose quantiser, given importances, fits the scale again after it has rounded."""
PROBES: Final = 32


class Verdict(Enum):
    """How two models are related, by their weights."""

    SAME = "same"
    RELATED = "related"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Likeness:
    """What a comparison says. `similarity` is in thousandths; `of` are the tensors of the side that has more."""

    verdict: Verdict
    similarity: int = 0
    alike: int = 0
    agreeing: int = 0
    of: int = 0
    grain: str = ""
    """The coarsest type among the pairs that are alike."""
    same_architecture: bool = False
    same_shapes: bool = False

    @property
    def rank(self) -> tuple[int, int, int]:
        """More is nearer."""
        order = (Verdict.UNKNOWN, Verdict.DIFFERENT, Verdict.RELATED, Verdict.SAME)
        return order.index(self.verdict), self.similarity, self.agreeing

    def to_json(self) -> dict[str, JsonValue]:
        """The record; `similarity_percent` is text with one decimal."""
        return {
            "verdict": self.verdict.value,
            "similarity_percent": f"{self.similarity / 10:.1f}",
            "alike": self.alike,
            "agreeing": self.agreeing,
            "of": self.of,
            "grain": self.grain,
            "same_architecture": self.same_architecture,
            "same_shapes": self.same_shapes,
        }


def compare(one: Fingerprint, other: Fingerprint) -> Likeness:
    """How the weights of two models are related."""
    architecture = one.names_digest == other.names_digest, one.shapes_digest == other.shapes_digest
    few, many = sorted((one.tensors, other.tensors), key=len)
    if not few:
        return Likeness(Verdict.UNKNOWN, same_architecture=architecture[0], same_shapes=architecture[1])
    known = _by_shape(many)
    if not _worth_it(few, known):
        return Likeness(Verdict.DIFFERENT, 0, 0, 0, len(many), "", *architecture)
    there, back = _held_against(few, known), _held_against(many, _by_shape(few))
    share = there.alike / len(many)
    verdict = Verdict.DIFFERENT
    if there.all_same(one.drawn or other.drawn, many) and back.all_same(one.drawn or other.drawn, few):
        verdict = Verdict.SAME
    elif there.alike >= min(FEW, len(many)) and share >= LEAST_SHARE:
        verdict = Verdict.RELATED
    similarity = math.floor(1000 * there.cosines / len(many))
    grain = GRAINS[there.grain] if there.alike else ""
    return Likeness(verdict, similarity, there.alike, there.agreeing, len(many), grain, *architecture)


@dataclass(slots=True)
class _Held:
    """The tensors of one side held against the other's."""

    alike: int = 0
    agreeing: int = 0
    cosines: float = 0.0
    grain: int = 0
    missing: list[Sketched] = field(default_factory=list)
    strays: Counter[int] = field(default_factory=Counter)
    """Values that are farther away than the type tells, by the type; `held` are all of that type."""
    held: Counter[int] = field(default_factory=Counter)

    def all_same(self, drawn: bool, others: Iterable[Sketched]) -> bool:
        """Whether all agree; of a selection a tenth may be missing, where the others have none of that name."""
        if self.agreeing < self.alike or not self.alike:
            return False
        if any(count > self._strays_allowed(grain) for grain, count in self.strays.items()):
            return False
        names = {one.name for one in others}
        allowed = (1 - SAME_SHARE) * (self.alike + len(self.missing)) if drawn else 0
        return len(self.missing) <= allowed and not any(one.name in names for one in self.missing)

    def _strays_allowed(self, grain: int) -> float:
        share = FITTED_STRAY_SHARE if GRAINS[grain] in FITTED else STRAY_SHARE
        return max(1, share * self.held[grain])


def _held_against(tensors: Iterable[Sketched], known: dict[tuple[int, ...], list[Sketched]]) -> _Held:
    held = _Held()
    for tensor in tensors:
        match = _nearest(tensor, known)
        if match is None or (flips := _apart(tensor, match)) > ALIKE_BITS:
            held.missing.append(tensor)
            continue
        held.alike += 1
        held.cosines += math.cos(math.pi * flips / BITS)
        grain = max(GRAINS.index(tensor.sketch.grain), GRAINS.index(match.sketch.grain))
        strays = outside(tensor.sketch, match.sketch)
        held.grain = max(held.grain, grain)
        held.agreeing += agree(tensor.sketch, match.sketch, flips, strays)
        held.strays[grain] += strays
        held.held[grain] += GROUP
    return held


def _by_shape(tensors: Iterable[Sketched]) -> dict[tuple[int, ...], list[Sketched]]:
    found: dict[tuple[int, ...], list[Sketched]] = {}
    for one in tensors:
        found.setdefault(one.shape, []).append(one)
    return found


def _worth_it(few: tuple[Sketched, ...], known: dict[tuple[int, ...], list[Sketched]]) -> bool:
    """Whether any of some tensors, spread over all, is alike: what is different is found to be so at once."""
    step = max(1, len(few) // PROBES)
    for tensor in few[::step]:
        match = _nearest(tensor, known)
        if match is not None and _apart(tensor, match) <= ALIKE_BITS:
            return True
    return False


def _nearest(tensor: Sketched, known: dict[tuple[int, ...], list[Sketched]]) -> Sketched | None:
    """Of the tensors of that shape the one whose bits are nearest; of several, the one of the same name."""
    bits, name = tensor.sketch.bits, tensor.name
    return min(
        known.get(tensor.shape, ()),
        key=lambda one: ((one.sketch.bits ^ bits).bit_count(), one.name != name),
        default=None,
    )


def _apart(one: Sketched, other: Sketched) -> int:
    return (one.sketch.bits ^ other.sketch.bits).bit_count()
