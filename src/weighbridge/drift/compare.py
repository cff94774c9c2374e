"""Compares two revisions area by area and ranks what changed.

Every area reads what it needs through the sides' readers and nothing else is touched. A file belongs to the areas that
read its meaning; what none of them takes is told as a file. Nothing that differs is left without a change.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from weighbridge.core.counted import plural
from weighbridge.core.finding import Severity
from weighbridge.drift.card import compare_cards
from weighbridge.drift.change import Area, Change, Compared, Difference, listed, ranked
from weighbridge.drift.code import compare_code
from weighbridge.drift.configuration import compare_configurations
from weighbridge.drift.files import Kinds, Pairing, compare_rest, pair
from weighbridge.drift.findings import compare_findings
from weighbridge.drift.publisher import compare_publishers
from weighbridge.drift.rendering import Rendering
from weighbridge.drift.sampling import Budget
from weighbridge.drift.side import Side
from weighbridge.drift.templates import compare_templates
from weighbridge.drift.tokenizer import compare_tokenizers
from weighbridge.drift.weights import compare_weights


@dataclass(frozen=True, slots=True)
class Options:
    """How much is read for samples of weights, and how templates are rendered."""

    budget: Budget = field(default_factory=Budget)
    rendering: Rendering = field(default_factory=Rendering)


def compare(before: Side, after: Side, options: Options | None = None, *, pairing: Pairing | None = None) -> Difference:
    """All changes from one revision to another. `pairing` is `files.pair` of both, where the caller has it already.

    Raises:
        SourceError, StoreError: a side could not be read.
        DigestMismatch, Truncated: a side's bytes are not what its digests or sizes say.
    """
    chosen = options or Options()
    found = pairing or pair(before, after)
    kinds = Kinds(before), Kinds(after)
    kinds[0].look_ahead({*found.differing, *found.removed})
    kinds[1].look_ahead({*found.differing, *found.added})
    told: list[Compared] = []
    taken: set[str] = set()

    def take(answer: tuple[Compared, set[str]]) -> None:
        told.append(answer[0])
        taken.update(answer[1])

    take(compare_code(before, after, found, kinds))
    take(compare_templates(before, after, found, chosen.rendering))
    told.append(compare_publishers(before, after))
    take(compare_tokenizers(before, after, found))
    take(compare_configurations(before, after, found))
    weights, weight_files = compare_weights(before, after, found, chosen.budget)
    take((weights, weight_files))
    take(compare_cards(before, after, found))
    told.append(compare_rest(before, after, found, kinds, taken))
    told.append(compare_findings(before, after, found))
    seen = {change.path for one in told for change in one.changes} | weight_files
    told.append(Compared(tuple(_unremarkable(path) for path in found.changed if path not in seen)))
    changes = ranked(change for one in told for change in one.changes)
    return Difference(
        before.name,
        after.name,
        changes,
        _summary(changes, [one.headline for one in told]),
        before.tally.bytes + after.tally.bytes,
        before.tally.reads + after.tally.reads,
    )


def _unremarkable(path: str) -> Change:
    """A file that differs and in which nobody found what: line ends in a template, the order of a list that has none."""
    return Change(Area.FILES, path, "differs, and no difference in meaning was found", Severity.LOW)


def _summary(changes: tuple[Change, ...], headlines: list[str]) -> str:
    """In a line what happened: every area's own words, or that it was the card's words only."""
    if not changes:
        return "nothing changed"
    open_ = [change for change in changes if not change.compared]
    doubt = [f"{plural(len(open_), 'comparison')} left open"] if open_ else []
    words = [headline for headline in headlines if headline]
    if words or doubt:
        return "; ".join([*words, *doubt])
    if all(change.risk is None for change in changes):
        paths = sorted({change.path for change in changes})
        return (
            "README only"
            if [path.lower() for path in paths] == ["readme.md"]
            else f"words only: {listed(paths, limit=3)}"
        )
    return f"{plural(len(changes), 'small change')}"
