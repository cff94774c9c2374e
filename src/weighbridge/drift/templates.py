"""What changed in chat templates: as text, and in what a model is given to read, shown on sample dialogues.

Every copy counts: a string, list or map in `tokenizer_config.json`, `processor_config.json` and `chat_template.json`,
`*.jinja` files, GGUF metadata. A copy that is new is compared with the one that it takes the place of. Copies that changed
in the same way are told once, at the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from weighbridge.core.counted import plural
from weighbridge.core.errors import FormatError
from weighbridge.core.finding import Severity
from weighbridge.drift.change import MAX_DETAIL, Area, Change, Compared, listed, not_compared
from weighbridge.drift.documents import read_document
from weighbridge.drift.files import Pairing
from weighbridge.drift.lines import unified
from weighbridge.drift.rendering import Rendered, Rendering, render
from weighbridge.drift.side import Side
from weighbridge.formats.json_text import Json
from weighbridge.formats.templates import MAX_TEMPLATE_BYTES
from weighbridge.inspectors.template_copies import template_digest

MAX_COPIES: Final = 200
MAX_RENDERED: Final = 12
"""Pairs of templates that are rendered; more are compared as text, and it is said."""
MAX_SHOWN_DIALOGUES: Final = 6
_KEY: Final = "chat_template"
_GGUF_KEY: Final = "tokenizer.chat_template"
_HOLDERS: Final = ("tokenizer_config.json", "processor_config.json", "chat_template.json")
_ROLES: Final = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_CONTROL: Final = re.compile(r"<[^<>\s]{1,60}>|\[/?[A-Z_]{1,30}\]|<\|[^|]{1,60}\|>")
_WORD: Final = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True, slots=True, order=True)
class Copy:
    """Where a copy of a template is: a file, and where in it. `role` is its name among several, "" for the default."""

    path: str
    location: str
    role: str


@dataclass(frozen=True, slots=True)
class _Pair:
    before: str
    after: str
    copies: tuple[Copy, ...]
    instead: bool = False
    """Whether the later copy is new and takes the place of one elsewhere."""


def is_template(path: str) -> bool:
    """Whether a file is a template, and nothing else."""
    return path.lower().endswith((".jinja", ".jinja2", ".j2")) or path.rpartition("/")[2] == "chat_template.json"


def compare_templates(before: Side, after: Side, pairing: Pairing, how: Rendering) -> tuple[Compared, set[str]]:
    """The changes in chat templates, and the paths that are about nothing else."""
    touched = {*pairing.differing, *pairing.added, *pairing.removed}
    holding = {path for path in touched if _holds(path)}
    if not holding:
        return Compared(), set()
    problems: list[Change] = []
    copies = [_copies(side, holding, problems) for side in (before, after)]
    pairs, changes = _pairs(copies[0], copies[1])
    rendered_differently: list[str] = []
    for number, one in enumerate(pairs):
        result = (
            render((one.before, one.after), [_tokens(before), _tokens(after)], how) if number < MAX_RENDERED else None
        )
        changes.append(_change(one, result))
        first = one.copies[0]
        changes += [
            Change(Area.TEMPLATE, copy.path, f"changed in the same way as in {first.path}", Severity.LOW, copy.location)
            for copy in one.copies[1:]
        ]
        if result is not None and result.differing:
            rendered_differently.append(f"{len(result.differing)} of {plural(len(result.dialogues), 'dialogue')}")
    every = [*problems, *changes]
    words = f"chat template renders differently in {rendered_differently[0]}" if rendered_differently else ""
    if every and not words:
        worst = min(every, key=lambda change: change.rank)
        words = f"chat template: {worst.what}" if worst.risk else ""
    return Compared(tuple(every), words), {path for path in touched if is_template(path)}


def _holds(path: str) -> bool:
    return is_template(path) or path.rpartition("/")[2] in _HOLDERS or path.endswith(".gguf")


# --- copies --------------------------------------------------------------------------------------


def _copies(side: Side, holding: set[str], problems: list[Change]) -> dict[Copy, str]:
    """All copies of a side; of GGUF files only those that changed."""
    found: dict[Copy, str] = {}
    for path in sorted(side.files):
        if not _holds(path) or (path.endswith(".gguf") and path not in holding):
            continue
        try:
            found |= {Copy(path, location, role): text for location, role, text in _in_file(side, path)}
        except (FormatError, UnicodeDecodeError) as error:
            why = error.message if isinstance(error, FormatError) else "it is not UTF-8"
            if path in holding:
                problems.append(not_compared(Area.TEMPLATE, path, f"{side.name}: {why}"))
        if len(found) > MAX_COPIES:
            problems.append(not_compared(Area.TEMPLATE, path, f"{side.name} has more than {MAX_COPIES} templates"))
            break
    return found


def _in_file(side: Side, path: str) -> Iterator[tuple[str, str, str]]:
    """Location, role and text of each copy in one file."""
    base = path.rpartition("/")[2]
    if path.endswith(".gguf"):
        for key, value in side.gguf(path).pairs.items():
            if isinstance(value, str) and (key == _GGUF_KEY or key.startswith(f"{_GGUF_KEY}.")):
                yield key, key[len(_GGUF_KEY) + 1 :], value
    elif base in _HOLDERS:
        document = read_document(side, path)
        yield from _in_value(document.get(_KEY) if isinstance(document, dict) else None)
    else:
        text = side.whole(path, MAX_TEMPLATE_BYTES).decode()
        yield "", "" if base == "chat_template.jinja" else base.partition(".")[0], text


def _in_value(value: Json) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, str):
        yield _KEY, "", value
    elif isinstance(value, dict):
        for key, one in value.items():
            if isinstance(one, str):
                yield f"{_KEY}.{key}", "" if key == "default" else key, one
    elif isinstance(value, list):
        for number, item in enumerate(value):
            name, template = (item.get("name"), item.get("template")) if isinstance(item, dict) else (None, None)
            if isinstance(template, str):
                role = name if isinstance(name, str) else str(number)
                yield f"{_KEY}[{number}]", "" if role == "default" else role, template


def _tokens(side: Side) -> dict[str, str]:
    """The special tokens that the tokenizer hands to its template."""
    try:
        document = read_document(side, "tokenizer_config.json") if "tokenizer_config.json" in side.files else None
    except FormatError:
        return {}
    found: dict[str, str] = {}
    for role in _ROLES:
        value = document.get(role) if isinstance(document, dict) else None
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str):
            found[role] = text
    return found


# --- pairs ---------------------------------------------------------------------------------------


def _digest(text: str) -> str:
    return template_digest(text.encode("utf-8", "surrogatepass"))


def _pairs(before: Mapping[Copy, str], after: Mapping[Copy, str]) -> tuple[list[_Pair], list[Change]]:
    grouped: dict[tuple[str, str, bool], list[Copy]] = {}
    changes: list[Change] = []
    for copy, text in after.items():
        old = before.get(copy)
        instead = old is None
        if old is None:
            old = next((one for place, one in before.items() if place.role == copy.role), None)
        if old is None:
            detail = unified("", _broken_up(text)).text
            changes.append(
                Change(Area.TEMPLATE, copy.path, "a template was added", Severity.MEDIUM, copy.location, detail=detail)
            )
        elif _digest(old) != _digest(text):
            grouped.setdefault((old, text, instead), []).append(copy)
        elif instead:
            what = "a copy of the same template was added"
            changes.append(Change(Area.TEMPLATE, copy.path, what, Severity.LOW, copy.location))
    left = {(place.role, _digest(text)) for place, text in after.items()}
    for copy, text in before.items():
        if copy not in after:
            kept = (copy.role, _digest(text)) in left
            what = "a copy of the template was removed" if kept else "a template was removed"
            risk = Severity.LOW if kept else Severity.MEDIUM
            changes.append(Change(Area.TEMPLATE, copy.path, what, risk, copy.location))
    pairs = [_Pair(old, new, tuple(copies), instead) for (old, new, instead), copies in grouped.items()]
    return pairs, changes


# --- what is said of a pair ----------------------------------------------------------------------


def _change(pair: _Pair, rendered: Rendered | None) -> Change:
    first = pair.copies[0]
    others = [f"{copy.path} {copy.location}".strip() for copy in pair.copies[1:]]
    also = f" (and so did {listed(others, limit=4)})" if others else ""
    verb = "a new copy says something else than the one before" if pair.instead else "changed"
    text = unified(_broken_up(pair.before), _broken_up(pair.after)).text
    if rendered is None:
        why = f"{verb}{also}; only {MAX_RENDERED} pairs of templates are rendered"
        return Change(Area.TEMPLATE, first.path, why, Severity.HIGH, first.location, detail=text, compared=False)
    detail = f"{text}\n\n{_shown(rendered)}".strip()[:MAX_DETAIL]
    count = len(rendered.dialogues)
    if rendered.differing:
        risk = Severity.HIGH if _new_words(rendered) or not rendered.complete else Severity.MEDIUM
        outcome = f"renders differently in {len(rendered.differing)} of {plural(count, 'dialogue')}"
    else:
        risk = Severity.LOW
        outcome = f"renders the same in all of {plural(count, 'sample dialogue')}"
    if not rendered.complete:
        risk = Severity.HIGH
        said = "; ".join(f"{('before', 'after')[side]}: {why}" for side, why in sorted(rendered.problems.items()))
        outcome = f"could not be compared by rendering: {said}"
    return Change(
        Area.TEMPLATE,
        first.path,
        f"{verb}{also}; {outcome}",
        risk,
        first.location,
        detail=detail,
        compared=rendered.complete,
    )


def _new_words(rendered: Rendered) -> bool:
    """Whether the later template says words that neither the earlier one nor the dialogue does."""
    before, after = rendered.texts
    return any(_words(after[name]) - _words(before[name]) for name in rendered.differing)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(_CONTROL.sub(" ", text)))


def _shown(rendered: Rendered) -> str:
    """The dialogues that rendered differently, and how."""
    parts: list[str] = []
    for name in rendered.differing[:MAX_SHOWN_DIALOGUES]:
        before, after = (texts[name] for texts in rendered.texts)
        parts.append(f"rendered, {name}:\n{_window(before, after)}")
    if len(rendered.differing) > MAX_SHOWN_DIALOGUES:
        parts.append(f"and: {listed(rendered.differing[MAX_SHOWN_DIALOGUES:])}")
    return "\n".join(parts)


def _window(before: str, after: str, around: int = 60, most: int = 600) -> str:
    """The part that differs, with a little of what stands around it."""
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    end = 0
    while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
        end += 1
    lines = []
    for sign, text in (("-", before), ("+", after)):
        cut = text[max(0, start - around) : len(text) - max(0, end - around)]
        told = cut if len(cut) <= most else f"{cut[:most]}…"
        lines.append(f"{sign} {'…' if start > around else ''}{told!r}{'…' if end > around else ''}")
    return "\n".join(lines)


def _broken_up(text: str) -> str:
    """The template with a line for each of its tags, for the eye: most are one long line."""
    return re.sub(r"(?<=[^\n])(\{[%{#])", r"\n\1", text) if max(map(len, text.split("\n"))) > 200 else text
