"""What changed in the weights: tensors added, removed, cast, reshaped, moved to other files, and how far values moved.

Only headers and samples are read (`tensors`, `sampling`). What the samples leave open is said: tensors that looked the same
by samples, and tensors that the budget did not reach, are changes of their own that were not fully compared.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from weighbridge.core.counted import plural
from weighbridge.core.errors import FormatError
from weighbridge.core.finding import Severity
from weighbridge.drift.change import Area, Change, Compared, not_compared, shown
from weighbridge.drift.decoding import PRECISION, Apart
from weighbridge.drift.documents import read_document
from weighbridge.drift.files import WEIGHTS, Pairing
from weighbridge.drift.sampling import Budget, Sampled, sample
from weighbridge.drift.side import Side
from weighbridge.drift.tensors import Matched, Tensor, WeightFile, match, read_weights
from weighbridge.formats.kinds import suffix_of

LARGE: Final = 0.5
"""A relative change from which on a tensor is another one rather than a trained one: unrelated values of one size lie 1.4 apart."""
MAX_LISTED: Final = 40
MAX_WEIGHT_FILES: Final = 4_096
SURE: Final = 0.95
_LAYER = re.compile(r"^(?:.*?\.)?(?:layers?|h|blocks?|blk|stages?|transformer_blocks|resblocks)\.\d+(?=\.|$)")


def compare_weights(before: Side, after: Side, pairing: Pairing, budget: Budget) -> tuple[Compared, set[str]]:
    """The changes in safetensors and GGUF files, and the paths they are about.

    Raises:
        SourceError, StoreError: a file could not be reached.
    """
    old_paths = [path for path in (*pairing.differing, *pairing.removed) if _is_weights(path)]
    new_paths = [path for path in (*pairing.differing, *pairing.added) if _is_weights(path)]
    if not old_paths and not new_paths:
        return Compared(), set()
    if len(old_paths) > MAX_WEIGHT_FILES or len(new_paths) > MAX_WEIGHT_FILES:
        why = f"more than {MAX_WEIGHT_FILES} weight files differ"
        whole = not_compared(Area.WEIGHTS, min(old_paths + new_paths), why)
        return Compared((whole,), f"weights: {why}"), {*old_paths, *new_paths}
    with ThreadPoolExecutor(2, thread_name_prefix="sides") as threads:
        reading = threads.submit(read_weights, before, old_paths)
        new = read_weights(after, new_paths)
        old = reading.result()
    broken = [file for file in (*old, *new) if file.problem]
    changes = [not_compared(Area.WEIGHTS, file.path, file.problem) for file in broken]
    lost = {file.path for file in broken}
    # A file that is readable on one side only would look like tensors that came or went.
    matched = match((one for one in old if one.path not in lost), (one for one in new if one.path not in lost))
    changes += _metadata(old, new)
    changes += _one_sided(matched, whole=not lost)
    changes += _moved(matched)
    alike = [
        pair
        for pair in matched.pairs
        if pair[0].shape == pair[1].shape and pair[0].block_values == pair[1].block_values
    ]
    changes += _reshaped(pair for pair in matched.pairs if pair not in set(alike))
    sampled = sample(before, after, alike, budget)
    total = sum(len(file.tensors) for file in new) + _unchanged_tensors(after, set(new_paths))
    changes += _casts([one for one in sampled if one.plan.before.dtype != one.plan.after.dtype])
    plain = [one for one in sampled if one.plan.before.dtype == one.plan.after.dtype]
    changed = sorted((one for one in plain if one.differs), key=_gravity)
    if changed:
        changes.append(_content(changed, total))
    changes += _open_questions(plain)
    if not changes:
        changes += [
            Change(Area.WEIGHTS, path, "written differently, and the same tensors", Severity.LOW)
            for path in sorted({*old_paths, *new_paths})
        ]
    return Compared(tuple(changes), _headline(changes, changed, total)), {*old_paths, *new_paths}


def _is_weights(path: str) -> bool:
    return suffix_of(path) in WEIGHTS


def _headline(changes: Sequence[Change], changed: Sequence[Sampled], total: int) -> str:
    if changed:
        return f"weights changed: {_counts(changed, total)}"
    worst = min(changes, key=lambda change: change.rank)
    return f"weights: {worst.what}" if worst.risk else ""


def _unchanged_tensors(side: Side, read: set[str]) -> int:
    """Tensors in files that were not read, as far as an index tells."""
    count = 0
    for path in side.files:
        if path.endswith(".safetensors.index.json"):
            try:
                document = read_document(side, path)
            except FormatError:
                continue
            places = document.get("weight_map") if isinstance(document, dict) else None
            if isinstance(places, dict):
                folder = path.rpartition("/")[0]
                prefix = f"{folder}/" if folder else ""
                count += sum(
                    1 for place in places.values() if isinstance(place, str) and f"{prefix}{place}" not in read
                )
    return count


# --- what headers tell ---------------------------------------------------------------------------


def _metadata(old: Sequence[WeightFile], new: Sequence[WeightFile]) -> Iterator[Change]:
    known: Mapping[str, WeightFile] = {file.path: file for file in old}
    for file in new:
        earlier = known.get(file.path)
        if earlier is None or earlier.metadata is None or file.metadata is None:
            continue
        keys = sorted(earlier.metadata.keys() | file.metadata.keys())
        differing = [key for key in keys if earlier.metadata.get(key) != file.metadata.get(key)]
        for key in differing[:MAX_LISTED]:
            telling = file.path.endswith(".gguf") and not key.startswith("general.")
            yield Change(
                Area.WEIGHTS,
                file.path,
                "metadata in the header changed",
                Severity.MEDIUM if telling else Severity.LOW,
                location=shown(key),
                before=shown(earlier.metadata.get(key, "")),
                after=shown(file.metadata.get(key, "")),
            )
        if len(differing) > MAX_LISTED:
            risk = Severity.MEDIUM
            yield Change(Area.WEIGHTS, file.path, f"{len(differing) - MAX_LISTED} more keys of metadata changed", risk)


def _one_sided(matched: Matched, *, whole: bool) -> Iterator[Change]:
    for tensors, verb in ((matched.added, "added"), (matched.removed, "removed")):
        if tensors:
            count = plural(len(tensors), "tensor")
            lines = [f"{one.name} {one.dtype} {list(one.shape)} in {one.path}" for one in tensors[:MAX_LISTED]]
            doubt = "" if whole else ", or lie in a file that could not be read"
            yield Change(
                Area.WEIGHTS,
                tensors[0].path,
                f"{count} {verb}{doubt}",
                Severity.MEDIUM,
                detail=_lines(lines, len(tensors)),
            )


def _moved(matched: Matched) -> Iterator[Change]:
    moved = [(one, other) for one, other in matched.pairs if one.path != other.path]
    if moved:
        files = len({other.path for _, other in moved})
        what = f"{plural(len(moved), 'tensor')} moved to {plural(files, 'other file')} (resharded)"
        lines = [f"{one.name}: {one.path} -> {other.path}" for one, other in moved[:MAX_LISTED]]
        yield Change(Area.WEIGHTS, moved[0][1].path, what, Severity.LOW, detail=_lines(lines, len(moved)))


def _reshaped(pairs: Iterable[tuple[Tensor, Tensor]]) -> Iterator[Change]:
    found = list(pairs)
    shapes = [(one, other) for one, other in found if one.shape != other.shape]
    types = [(one, other) for one, other in found if one.shape == other.shape]
    if shapes:
        lines = [f"{one.name}: {list(one.shape)} -> {list(other.shape)}" for one, other in shapes[:MAX_LISTED]]
        what = f"{plural(len(shapes), 'tensor')} of another shape"
        yield Change(Area.WEIGHTS, shapes[0][1].path, what, Severity.HIGH, detail=_lines(lines, len(shapes)))
    if types:
        lines = [f"{one.name}: {one.dtype} -> {other.dtype}" for one, other in types[:MAX_LISTED]]
        what = f"{plural(len(types), 'tensor')} quantised otherwise; the values could not be compared"
        detail = _lines(lines, len(types))
        yield Change(Area.WEIGHTS, types[0][1].path, what, Severity.MEDIUM, detail=detail, compared=False)


# --- what values tell ----------------------------------------------------------------------------


def _casts(sampled: Sequence[Sampled]) -> Iterator[Change]:
    """Tensors of another type: with the same values, as far as the coarser of both can hold them, or with others."""
    kept: list[Sampled] = []
    other: list[Sampled] = []
    unknown: list[Sampled] = []
    for one in sampled:
        types = one.plan.before.dtype, one.plan.after.dtype
        if not one.read or one.apart is None or (types[0] not in PRECISION or types[1] not in PRECISION):
            unknown.append(one)
            continue
        fits = one.relative <= max(PRECISION[types[0]], PRECISION[types[1]]) and not one.apart.not_numbers
        (kept if fits else other).append(one)
    for group, words, risk, compared in (
        (kept, "of another type, with the same values as far as it holds them", Severity.LOW, True),
        (other, "of another type, with other values (quantised, if a scale came with them)", Severity.HIGH, True),
        (unknown, "of another type; the values were not compared", Severity.MEDIUM, False),
    ):
        if group:
            count = plural(len(group), "tensor")
            lines = [
                f"{one.plan.before.name}: {one.plan.before.dtype} -> {one.plan.after.dtype}, {_number(one.relative)}"
                for one in group[:MAX_LISTED]
            ]
            path = group[0].plan.after.path
            detail = _lines(lines, len(group))
            yield Change(Area.WEIGHTS, path, f"{count} {words}", risk, detail=detail, compared=compared)


def _gravity(one: Sampled) -> tuple[float, str]:
    return -one.relative, one.plan.before.name


def _counts(changed: Sequence[Sampled], total: int) -> str:
    worst = changed[0]
    words = f"{len(changed)} of {plural(max(total, len(changed)), 'tensor')}"
    if worst.apart is None:
        return f"{words}, of a type whose values are not decoded"
    return f"{words}, largest relative change {_number(worst.relative)} in {shown(worst.plan.before.name)}"


def _content(changed: Sequence[Sampled], total: int) -> Change:
    grave = any(one.apart is None or one.relative >= LARGE or one.apart.not_numbers for one in changed)
    first = changed[0]
    read = sum(one.plan.cost_bytes for one in changed) // 2
    size = sum(one.plan.before.size_bytes for one in changed)
    lines = ["by layer:", *_layers(changed), "by tensor:"]
    lines += [
        f"  {_number(one.relative) if one.apart else 'not decoded':>12}  {one.plan.before.name} {one.plan.before.dtype}"
        f" {list(one.plan.before.shape)}{_doubt(one)}"
        for one in changed[:MAX_LISTED]
    ]
    lines += [f"  and {len(changed) - MAX_LISTED} more"] if len(changed) > MAX_LISTED else []
    lines.append(f"norm of the difference over the norm before; {read} of {size} bytes of each side were read for it")
    return Change(
        Area.WEIGHTS,
        first.plan.after.path,
        f"values changed in {_counts(changed, total)}",
        Severity.HIGH if grave else Severity.MEDIUM,
        location=shown(first.plan.before.name),
        detail="\n".join(lines),
    )


def _doubt(one: Sampled) -> str:
    words = "" if one.plan.whole else ", by samples"
    broken = one.apart.not_numbers if one.apart else 0
    return f"{words}, {plural(broken, 'value')} no number any more" if broken else words


def _layers(changed: Sequence[Sampled]) -> Iterator[str]:
    sums: dict[str, tuple[Apart, int]] = {}
    for one in changed:
        match_ = _LAYER.match(one.plan.before.name)
        layer = match_[0] if match_ else one.plan.before.name
        before, count = sums.get(layer, (Apart(), 0))
        sums[layer] = before + (one.apart or Apart()), count + 1
    ordered = sorted(sums.items(), key=lambda item: (-item[1][0].relative, item[0]))
    for layer, (found, count) in ordered[:MAX_LISTED]:
        yield f"  {_number(found.relative):>12}  {shown(layer)}, {plural(count, 'tensor')} changed"
    if len(ordered) > MAX_LISTED:
        yield f"  and {len(ordered) - MAX_LISTED} more"


def _open_questions(plain: Sequence[Sampled]) -> Iterator[Change]:
    """Tensors that were not read, or looked the same by samples only."""
    unread = [one for one in plain if not one.read]
    if unread:
        what = f"{plural(len(unread), 'tensor')} not compared: the budget for samples is used up"
        lines = [one.plan.before.name for one in unread[:MAX_LISTED]]
        path = unread[0].plan.after.path
        yield Change(Area.WEIGHTS, path, what, Severity.MEDIUM, detail=_lines(lines, len(unread)), compared=False)
    alike = [one for one in plain if one.read and not one.differs and not one.plan.proven_equal and not one.plan.whole]
    if alike:
        windows = min(len(one.plan.windows) for one in alike)
        share = 1 - (1 - SURE) ** (1 / windows)
        what = (
            f"{plural(len(alike), 'tensor')} in changed files look the same by samples: with {SURE:.0%} confidence, less than "
            f"{share:.0%} of each changed"
        )
        lines = [one.plan.before.name for one in alike[:MAX_LISTED]]
        path = alike[0].plan.after.path
        yield Change(Area.WEIGHTS, path, what, Severity.LOW, detail=_lines(lines, len(alike)), compared=False)


def _number(value: float) -> str:
    return "infinite (it was all zero)" if math.isinf(value) else f"{value:.3g}"


def _lines(lines: Sequence[str], total: int) -> str:
    rest = [f"and {total - len(lines)} more"] if total > len(lines) else []
    return "\n".join([*(shown(line) for line in lines), *rest])
