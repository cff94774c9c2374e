"""What changed in how text becomes numbers: tokens that were given other numbers, new control tokens, rewriting parts.

A token with another number makes the model read another word; a number with another token makes it write one. Both need
no change of weights. New tokens at the end of the vocabulary need weights that know them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from weighbridge.core.counted import plural
from weighbridge.core.errors import FormatError
from weighbridge.core.finding import Severity
from weighbridge.drift.change import Area, Change, Compared, bounded, listed, not_compared, shown
from weighbridge.drift.documents import MISSING, Missing, differences, read_both, same
from weighbridge.drift.files import Pairing, text_diff
from weighbridge.drift.side import Side
from weighbridge.drift.vocabularies import (
    FLAGS,
    SCORES,
    Vocabulary,
    gguf_vocabulary,
    is_vocabulary,
    read_vocabulary,
)
from weighbridge.formats.json_text import Json

MAX_LISTED: Final = 40
MAX_DECODED: Final = 20_000
_TOKEN_FILES: Final = ("special_tokens_map.json", "tokenizer_config.json")
_REWRITING: Final = ("normalizer", "pre_tokenizer", "post_processor", "decoder", "denormalizer")
_QUIET: Final = ("version", "trainer", "self-test", "truncation", "padding")


def compare_tokenizers(before: Side, after: Side, pairing: Pairing) -> tuple[Compared, set[str]]:
    """The changes in vocabularies and token files, and the paths they are about."""
    paths = [*pairing.differing, *pairing.added, *pairing.removed]
    vocabularies = [path for path in sorted(paths) if is_vocabulary(path)]
    changes: list[Change] = []
    for path in bounded(Area.TOKENIZER, vocabularies, changes):
        changes += _file(before, after, path)
    merges = [path for path in sorted(paths) if path.rpartition("/")[2].lower() == "merges.txt"]
    changes += [_merges(before, after, path) for path in bounded(Area.TOKENIZER, merges, changes)]
    beside = [path for path in paths if path.rpartition("/")[2] in _TOKEN_FILES]
    for path in bounded(Area.TOKENIZER, beside, changes):
        changes += _tokens_beside(before, after, path)
    for path in bounded(Area.TOKENIZER, (path for path in pairing.differing if path.endswith(".gguf")), changes):
        changes += _gguf(before, after, path)
    maps = {path for path in paths if path.rpartition("/")[2] == "special_tokens_map.json"}
    taken = {*vocabularies, *merges, *maps}
    return Compared(tuple(changes), _headline(changes)), taken


def _headline(changes: list[Change]) -> str:
    worst = sorted((change for change in changes if change.risk), key=lambda change: change.rank)
    return f"tokenizer: {worst[0].what}" if worst else ""


def _file(before: Side, after: Side, path: str) -> Iterator[Change]:
    found: list[Vocabulary] = []
    for side in (before, after):
        try:
            found.append(read_vocabulary(side, path) if path in side.files else Vocabulary({}))
        except FormatError as error:
            yield not_compared(Area.TOKENIZER, path, f"{side.name}: {error.message}")
            return
    if path not in before.files or path not in after.files:
        count = plural(len(found[path not in before.files].numbers), "token")
        verb = "added" if path not in before.files else "removed"
        yield Change(Area.TOKENIZER, path, f"a vocabulary was {verb}, {count}", Severity.MEDIUM)
        return
    yield from compare_vocabularies(path, *found)


def compare_vocabularies(path: str, before: Vocabulary, after: Vocabulary) -> Iterator[Change]:
    """The changes from one vocabulary to another. Nothing remarkable is one change without risk."""
    changes = [
        *_numbers(path, before, after),
        *_control(path, before.control, after.control),
        *_rest(path, before.rest, after.rest),
    ]
    yield from changes
    if not changes:
        yield Change(Area.TOKENIZER, path, "written differently, and the same vocabulary")


def _numbers(path: str, before: Vocabulary, after: Vocabulary) -> Iterator[Change]:
    old, new = {**before.numbers, **before.control}, {**after.numbers, **after.control}
    moved = [(token, number, new[token]) for token, number in old.items() if token in new and new[token] != number]
    if moved:
        lines = [f"{shown(token)}: {a} -> {b}" for token, a, b in moved[:MAX_LISTED]]
        lines += [f"and {len(moved) - MAX_LISTED} more"] if len(moved) > MAX_LISTED else []
        first = moved[0]
        what = f"{plural(len(moved), 'token')} given another number"
        yield Change(
            Area.TOKENIZER,
            path,
            what,
            Severity.HIGH,
            location=shown(first[0]),
            before=str(first[1]),
            after=str(first[2]),
            detail="\n".join(lines),
        )
    added, removed = [token for token in new if token not in old], [token for token in old if token not in new]
    gone = {old[token]: token for token in removed}
    replaced = [(new[token], gone[new[token]], token) for token in added if new[token] in gone]
    if replaced:
        lines = [f"{number}: {shown(a)} -> {shown(b)}" for number, a, b in replaced[:MAX_LISTED]]
        what = f"{plural(len(replaced), 'number')} given another token"
        yield Change(Area.TOKENIZER, path, what, Severity.HIGH, detail="\n".join(lines))
    ordinary = [token for token in added if token not in after.control]
    if len(ordinary) > len(replaced):
        what = f"{plural(len(ordinary), 'token')} added"
        yield Change(
            Area.TOKENIZER, path, what, Severity.LOW, after=str(len(new)), before=str(len(old)), detail=listed(ordinary)
        )
    if len(removed) > len(replaced):
        what = f"{plural(len(removed), 'token')} removed"
        yield Change(
            Area.TOKENIZER,
            path,
            what,
            Severity.MEDIUM,
            before=str(len(old)),
            after=str(len(new)),
            detail=listed(removed),
        )


def _control(path: str, before: Mapping[str, int], after: Mapping[str, int]) -> Iterator[Change]:
    fresh = [token for token in after if token not in before]
    if fresh:
        lines = "\n".join(f"{after[token]}: {shown(token)}" for token in fresh[:MAX_LISTED])
        what = f"{plural(len(fresh), 'new control token')}: {listed(fresh, limit=4)}"
        yield Change(Area.TOKENIZER, path, what, Severity.MEDIUM, detail=lines)
    gone = [token for token in before if token not in after]
    if gone:
        what = f"{plural(len(gone), 'token')} no longer a control token: {listed(gone, limit=4)}"
        yield Change(Area.TOKENIZER, path, what, Severity.HIGH)


def _rest(path: str, before: Mapping[str, Json], after: Mapping[str, Json]) -> Iterator[Change]:
    for key in sorted(before.keys() | after.keys()):
        old, new = _common(key, before.get(key, MISSING), after.get(key, MISSING))
        if same(old, new):
            continue
        if key.startswith(_REWRITING):
            what, risk = f"the {key}, which rewrites or cuts text, changed", Severity.HIGH
        elif key == "model.merges":
            what, risk = f"the merges changed{_moved(old, new)}", Severity.MEDIUM
        elif key in _QUIET:
            what, risk = f"{shown(key)} changed", Severity.LOW
        else:
            what, risk = f"{shown(key)} changed", Severity.MEDIUM
        detail = "\n".join(_leaves(old, new)) if not isinstance(old, Missing) and not isinstance(new, Missing) else ""
        yield Change(
            Area.TOKENIZER, path, what, risk, location=shown(key), before=_short(old), after=_short(new), detail=detail
        )


def _common(key: str, old: Json | Missing, new: Json | Missing) -> tuple[Json | Missing, Json | Missing]:
    """Of what is said of each token, that of tokens on both sides: others are told as added and removed."""
    if key not in (SCORES, FLAGS) or not isinstance(old, dict) or not isinstance(new, dict):
        return old, new
    tokens = old.keys() & new.keys()
    return {token: old[token] for token in tokens}, {token: new[token] for token in tokens}


def _moved(old: Json | Missing, new: Json | Missing) -> str:
    if not isinstance(old, list) or not isinstance(new, list):
        return ""
    first = next(
        (place for place, (a, b) in enumerate(zip(old, new, strict=False)) if not same(a, b)), min(len(old), len(new))
    )
    return f" from merge {first} on ({len(old)} before, {len(new)} after)"


def _leaves(old: Json, new: Json) -> Iterator[str]:
    try:
        for number, leaf in enumerate(differences(old, new)):
            if number >= MAX_LISTED:
                yield "…"
                return
            yield f"{shown(leaf.path or '(all)')}: {_short(leaf.before)} -> {_short(leaf.after)}"
    except FormatError:
        yield "too many differences to list"


def _short(value: Json | Missing) -> str:
    return "" if isinstance(value, Missing) else shown(value)


def _merges(before: Side, after: Side, path: str) -> Change:
    if path not in before.files or path not in after.files:
        return Change(Area.TOKENIZER, path, "added" if path in after.files else "removed", Severity.MEDIUM)
    detail = text_diff(before, after, path)
    return Change(Area.TOKENIZER, path, "the merges changed", Severity.MEDIUM, detail=detail, compared=bool(detail))


def _tokens_beside(before: Side, after: Side, path: str) -> Iterator[Change]:
    """The tokens that a configuration names: roles, and the numbers of `added_tokens_decoder`."""
    old, new, why = read_both(before, after, path)
    whole = path.endswith("special_tokens_map.json")
    if why:
        if whole:
            yield not_compared(Area.TOKENIZER, path, why)
        return
    key = "added_tokens_decoder"
    maps = [value.get(key, {}) if isinstance(value, dict) and not whole else {} for value in (old, new)]
    tables = [value if isinstance(value, dict) else {} for value in maps]
    table = [*differences(*tables)] if len(tables[0]) + len(tables[1]) <= MAX_DECODED else None
    special = [*differences(old, new)] if whole and not why else []
    if table is None:
        yield not_compared(Area.TOKENIZER, path, f"more than {MAX_DECODED} entries", location=key)
        return
    for leaves, words, start in (
        (table, "an added token changed", f"{key}."),
        (special, "a special token changed", ""),
    ):
        for leaf in leaves[:MAX_LISTED]:
            place = shown(f"{start}{leaf.path}")
            yield Change(Area.TOKENIZER, path, words, Severity.MEDIUM, place, _short(leaf.before), _short(leaf.after))
        if len(leaves) > MAX_LISTED:
            more = f"{len(leaves) - MAX_LISTED} more: {words}"
            yield Change(Area.TOKENIZER, path, more, Severity.MEDIUM)


def _gguf(before: Side, after: Side, path: str) -> Iterator[Change]:
    try:
        old, new = (gguf_vocabulary(side.gguf(path)) for side in (before, after))
    except FormatError as error:
        yield not_compared(Area.TOKENIZER, path, error.message, location="GGUF metadata")
        return
    if old is None or new is None:
        if old is not new:
            yield Change(
                Area.TOKENIZER, path, "a vocabulary came or went", Severity.MEDIUM, location="tokenizer.ggml.tokens"
            )
        return
    changes = list(compare_vocabularies(path, old, new))
    yield from (change for change in changes if change.risk is not None)
