"""What changed in the code that comes with a model: a unified diff, new imports, and how much of it is new.

Nothing is parsed or run here; what the code can do is the inspectors' to say (`drift.findings`).
"""

from __future__ import annotations

import re
from typing import Final

from weighbridge.core.counted import plural
from weighbridge.core.errors import LimitExceeded
from weighbridge.core.finding import Severity
from weighbridge.drift.change import Area, Change, Compared, bounded, listed, not_compared
from weighbridge.drift.files import Kinds, Pairing
from weighbridge.drift.lines import unified
from weighbridge.drift.side import Side
from weighbridge.formats.kinds import suffix_of

MAX_CODE_BYTES: Final = 4 * 1024 * 1024
LOADED: Final = frozenset((".py", ".pyi", ".pyx", ".so", ".pyc"))
"""Code that a loader imports when it trusts remote code; other code waits for a person."""
_CODE: Final = frozenset(
    [
        ".py",
        ".pyi",
        ".pyx",
        ".pxd",
        ".ipynb",
        ".sh",
        ".bash",
        ".zsh",
        ".bat",
        ".cmd",
        ".ps1",
        ".js",
        ".mjs",
        ".ts",
        ".rb",
        ".pl",
        ".php",
        ".lua",
        ".c",
        ".cc",
        ".cpp",
        ".cu",
        ".cuh",
        ".h",
        ".hpp",
        ".rs",
        ".go",
        ".java",
        ".r",
        ".jl",
    ]
)
_IMPORT = re.compile(r"^[ \t]*(?:import[ \t]+([\w.]{1,100}(?:[ \t]*,[ \t]*[\w.]{1,100}){0,20})|from[ \t]+([\w.]{1,100})[ \t]+import\b)", re.MULTILINE)  # fmt: skip


def is_code(path: str, kinds: Kinds) -> bool:
    """Whether a file of a side is code, by its name or its content."""
    return suffix_of(path) in _CODE or kinds.of(path).family == "code" or kinds.of(path).name == "script"


def compare_code(before: Side, after: Side, pairing: Pairing, kinds: tuple[Kinds, Kinds]) -> tuple[Compared, set[str]]:
    """The changes in code, and the paths they are about."""
    changed = [path for path in pairing.differing if is_code(path, kinds[0]) or is_code(path, kinds[1])]
    added = [path for path in pairing.added if is_code(path, kinds[1])]
    changes: list[Change] = []
    changes += [_changed(before, after, path) for path in bounded(Area.CODE, changed, changes)]
    changes += [_added(after, path) for path in bounded(Area.CODE, added, changes)]
    changes += [
        Change(Area.CODE, path, "code removed", Severity.LOW) for path in pairing.removed if is_code(path, kinds[0])
    ]
    words = [
        f"code {verb}: {listed(paths, limit=3)}"
        for verb in ("added", "changed", "removed")
        if (paths := [change.path for change in changes if _verb(change) == verb])
    ]
    return Compared(tuple(changes), "; ".join(words)), {*changed, *added, *(change.path for change in changes)}


def _verb(change: Change) -> str:
    if change.what.startswith("code removed"):
        return "removed"
    return "added" if change.what.startswith("code added") else "changed"


def _risk(path: str) -> Severity:
    return Severity.HIGH if suffix_of(path) in LOADED else Severity.MEDIUM


def _text(side: Side, path: str) -> str:
    return side.whole(path, MAX_CODE_BYTES).decode("utf-8", "backslashreplace")


def _added(side: Side, path: str) -> Change:
    try:
        text = _text(side, path)
    except LimitExceeded as error:
        return not_compared(Area.CODE, path, error.message)
    diff = unified("", text)
    what = f"code added, {plural(diff.added, 'line')}{_importing(_imports(text))}"
    return Change(Area.CODE, path, what, _risk(path), detail=diff.text)


def _changed(before: Side, after: Side, path: str) -> Change:
    try:
        old, new = _text(before, path), _text(after, path)
    except LimitExceeded as error:
        return not_compared(Area.CODE, path, error.message)
    diff = unified(old, new)
    fresh = _imports(new) - _imports(old)
    what = f"code changed, {plural(diff.added, 'line')} added and {diff.removed} removed{_importing(fresh)}"
    return Change(Area.CODE, path, what, _risk(path), detail=diff.text)


def _imports(text: str) -> set[str]:
    """Modules that lines of the text import, as far as a line tells."""
    found: set[str] = set()
    for match in _IMPORT.finditer(text):
        names = match[1].split(",") if match[1] else [match[2]]
        found |= {name.strip() for name in names if not name.strip().startswith(".")}
    return found


def _importing(names: set[str]) -> str:
    return f"; imports that were not there: {listed(sorted(names))}" if names else ""
