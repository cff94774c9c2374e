"""Which files are the same, changed, added, removed or renamed; and what is said of those that no other area reads.

Equal digests are equal files. Where a side does not tell digests that can be compared, files up to `MAX_HASHED_BYTES` are
read and hashed, within `MAX_HASHED_TOTAL` together; larger ones are `unproven`: they have one size and may differ.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from weighbridge.core.counted import plural
from weighbridge.core.errors import LimitExceeded
from weighbridge.core.finding import Severity
from weighbridge.drift.change import Area, Change, Compared, bounded, listed, not_compared
from weighbridge.drift.lines import unified
from weighbridge.drift.side import File, Side
from weighbridge.formats.kinds import UNRECOGNISED, Kind, kind_of, read_head, suffix_of

MAX_HASHED_BYTES: Final = 64 * 1024 * 1024
MAX_HASHED_TOTAL: Final = 512 * 1024 * 1024
MAX_HASHED_WEIGHTS: Final = 1024 * 1024
MAX_TEXT_BYTES: Final = 1024 * 1024
HEADS_AT_ONCE: Final = 16
MAX_HEADS: Final = 2_000
"""Files whose beginning is looked at; of more it is not known what they are."""
WEIGHTS: Final = frozenset((".safetensors", ".gguf"))
RUNNING_WEIGHTS: Final = frozenset(
    (
        ".bin",
        ".pt",
        ".pth",
        ".ckpt",
        ".pkl",
        ".pickle",
        ".p",
        ".joblib",
        ".dill",
        ".cloudpickle",
        ".nemo",
        ".mar",
        ".t7",
    )
)
"""Endings of files that a loader unpickles, whatever they begin with."""
_FAMILY_RISK: Final = {
    "serialised": Severity.HIGH,
    "executable": Severity.HIGH,
    "code": Severity.HIGH,
    "archive": Severity.MEDIUM,
    "unrecognised": Severity.MEDIUM,
    "pointer": Severity.MEDIUM,
    "weights": Severity.MEDIUM,
}
_LICENCE = re.compile(r"(?i)(?:^|/)(?:licen[cs]e|copying|notice|usage[_-]?policy|use[_-]?policy)[^/]*$")


@dataclass(frozen=True, slots=True)
class Pairing:
    """All paths of two sides, each in one list, in order. `renamed` are (before, after) with equal digests."""

    same: tuple[str, ...]
    changed: tuple[str, ...]
    unproven: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]

    @property
    def differing(self) -> tuple[str, ...]:
        """Paths on both sides that are not known to be equal."""
        return tuple(sorted((*self.changed, *self.unproven)))

    @property
    def touched(self) -> frozenset[str]:
        """Paths of the later side whose bytes are not known from the earlier one."""
        return frozenset((*self.differing, *self.added))


def pair(before: Side, after: Side) -> Pairing:
    """Tells the files of two sides apart.

    Raises:
        SourceError, StoreError, IntegrityError: a file that must be read could not be.
    """
    hashing = _Hashing(MAX_HASHED_TOTAL)
    same: list[str] = []
    changed: list[str] = []
    unproven: list[str] = []
    for path in sorted(before.files.keys() & after.files.keys()):
        answer = hashing.equal(before, before.files[path], after, after.files[path])
        (unproven if answer is None else same if answer else changed).append(path)
    added = sorted(after.files.keys() - before.files.keys())
    removed = sorted(before.files.keys() - after.files.keys())
    renamed = list(_renamed(before, removed, after, added))
    gone, come = {one for one, _ in renamed}, {one for _, one in renamed}
    return Pairing(
        tuple(same),
        tuple(changed),
        tuple(unproven),
        tuple(path for path in added if path not in come),
        tuple(path for path in removed if path not in gone),
        tuple(renamed),
    )


def _renamed(before: Side, removed: Iterable[str], after: Side, added: Iterable[str]) -> Iterator[tuple[str, str]]:
    known: dict[tuple[str, str], list[str]] = {}
    for path in removed:
        for key in _keys(before.files[path]):
            known.setdefault(key, []).append(path)
    used: set[str] = set()
    for path in added:
        fitting = (one for key in _keys(after.files[path]) for one in known.get(key, ()) if one not in used)
        found = next(fitting, None)
        if found is not None and after.files[path].size_bytes:
            used.add(found)
            yield found, path


def _keys(file: File) -> list[tuple[str, str]]:
    return [key for key in (("sha256", file.sha256), ("git", file.git_sha1)) if key[1]]


class _Hashing:
    def __init__(self, left: int) -> None:
        self._left = left

    def equal(self, before: Side, one: File, after: Side, other: File) -> bool | None:
        """Whether two files of one path are equal; None where that is not known."""
        if one.size_bytes != other.size_bytes:
            return False
        if one.sha256 and other.sha256:
            return one.sha256 == other.sha256
        if one.git_sha1 and other.git_sha1:
            return one.git_sha1 == other.git_sha1
        limit = MAX_HASHED_WEIGHTS if suffix_of(one.path) in WEIGHTS else MAX_HASHED_BYTES
        cost = sum(file.size_bytes for file in (one, other) if not file.sha256)
        if one.size_bytes > limit or cost > self._left:
            return None
        self._left -= cost
        return self._digest(before, one) == self._digest(after, other)

    def _digest(self, side: Side, file: File) -> str:
        return file.sha256 or hashlib.sha256(side.whole(file.path, MAX_HASHED_BYTES)).hexdigest()


class Kinds:
    """What the files of one side are, by content, looked at once. Files over the limit are not recognised."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._known: dict[str, Kind] = {}

    def of(self, path: str) -> Kind:
        """The kind of a file of this side.

        Raises:
            SourceError, StoreError, Truncated: it could not be read.
        """
        if path not in self._known:
            self._known[path] = self._look(path, len(self._known) < MAX_HEADS)
        return self._known[path]

    def look_ahead(self, paths: Iterable[str]) -> None:
        """Looks at several files at once: over a network that is one round trip for all of them.

        Raises:
            SourceError, StoreError, Truncated: one could not be read.
        """
        ordered = sorted(paths, key=lambda path: (suffix_of(path) not in RUNNING_WEIGHTS, path))
        with ThreadPoolExecutor(HEADS_AT_ONCE, thread_name_prefix="heads") as threads:
            kinds = threads.map(lambda item: self._look(item[1], item[0] < MAX_HEADS), enumerate(ordered))
            self._known |= dict(zip(ordered, kinds, strict=True))

    def _look(self, path: str, inside: bool) -> Kind:
        if not inside:
            return UNRECOGNISED
        return kind_of(path, read_head(self._side.reader(path)), self._side.files[path].size_bytes)


def is_licence(path: str) -> bool:
    """Whether the file is the text of a licence, by its name."""
    return _LICENCE.search(path) is not None


def compare_rest(before: Side, after: Side, pairing: Pairing, kinds: tuple[Kinds, Kinds], taken: set[str]) -> Compared:
    """What there is to say of files: added, removed and renamed ones, and changed ones that no other area has `taken`."""
    changes = [
        Change(Area.FILES, new, "renamed, the bytes are the same", _renaming_risk(old, new), before=old, after=new)
        for old, new in pairing.renamed
    ]
    added = [path for path in pairing.added if path not in taken]
    changes += [
        _added(path, kinds[1].of(path), after)
        for path in bounded(Area.FILES, added, changes, first=_running(added, kinds[1]))
    ]
    changes += [
        Change(Area.FILES, path, "removed", Severity.LOW, before=_size(before, path))
        for path in pairing.removed
        if path not in taken
    ]
    differing = [path for path in pairing.changed if path not in taken]
    changes += [_changed(before, after, path, kinds) for path in bounded(Area.FILES, differing, changes)]
    changes += [
        not_compared(
            Area.FILES, path, "neither side tells a digest, and it is too large to be read", risk=Severity.MEDIUM
        )
        for path in pairing.unproven
        if path not in taken
    ]
    return Compared(tuple(changes), _headline(changes, pairing))


def _running(paths: Iterable[str], kinds: Kinds) -> set[str]:
    """Those that can run code: harmless ones in any number must not push them out of a report."""
    families = ("serialised", "executable", "code")
    return {path for path in paths if suffix_of(path) in RUNNING_WEIGHTS or kinds.of(path).family in families}


def _headline(changes: list[Change], pairing: Pairing) -> str:
    risky = [change for change in changes if change.what.startswith("added") and (change.risk or 0) >= Severity.HIGH]
    parts = []
    if risky:
        parts.append(f"file that can run code added: {listed([change.path for change in risky], limit=3)}")
    others = [change for change in changes if change not in risky]
    parts += [f"{plural(len(others), 'other file')} changed, added, removed or renamed"] if others else []
    if pairing.renamed and len(pairing.renamed) == len(changes):
        parts = [f"{plural(len(pairing.renamed), 'file')} renamed"]
    return "; ".join(parts)


def _renaming_risk(old: str, new: str) -> Severity:
    """A new ending makes another loader read the same bytes."""
    return Severity.LOW if suffix_of(old) == suffix_of(new) else Severity.MEDIUM


def _added(path: str, kind: Kind, side: Side) -> Change:
    what, risk = f"added: {kind.name}", _FAMILY_RISK.get(kind.family, Severity.LOW)
    if suffix_of(path) in RUNNING_WEIGHTS and kind.family not in ("text", "empty"):
        what, risk = f"added: {kind.name}, a format that can run code when it is loaded", Severity.HIGH
    elif kind.family == "serialised":
        what = f"added: {kind.name}, which can run code when it is loaded"
    return Change(Area.FILES, path, what, risk, after=_size(side, path))


def _changed(before: Side, after: Side, path: str, kinds: tuple[Kinds, Kinds]) -> Change:
    old, new = kinds[0].of(path), kinds[1].of(path)
    sizes = _size(before, path), _size(after, path)
    if old != new:
        risk = max(Severity.MEDIUM, _FAMILY_RISK.get(new.family, Severity.LOW))
        return Change(Area.FILES, path, f"was {old.name} and is {new.name}", risk, "", *sizes)
    if suffix_of(path) in RUNNING_WEIGHTS or new.family in ("serialised", "executable", "weights", "archive"):
        told = _changed_chunks(before, after, path)
        return not_compared(Area.FILES, path, f"{new.name} is not compared by meaning{told}")
    if new.family in ("text", "config", "media", "code") or is_licence(path):
        risk = Severity.MEDIUM if is_licence(path) else Severity.LOW
        what = "the text of the licence changed" if is_licence(path) else f"{new.name} changed"
        return Change(Area.FILES, path, what, risk, "", *sizes, detail=text_diff(before, after, path))
    return not_compared(Area.FILES, path, f"the kind {new.name} is not known", risk=Severity.MEDIUM)


def _changed_chunks(before: Side, after: Side, path: str) -> str:
    old, new = before.chunks.get(path, ()), after.chunks.get(path, ())
    if not old or not new:
        return ""
    differing = sum(a != b for a, b in zip(old, new, strict=False)) + abs(len(old) - len(new))
    return f"; {differing} of {plural(max(len(old), len(new)), 'chunk')} of 8 MiB differ"


def text_diff(before: Side, after: Side, path: str, limit_bytes: int = MAX_TEXT_BYTES) -> str:
    """The unified diff of a text of both sides; "" where it is none, or too large."""
    try:
        old, new = before.whole(path, limit_bytes).decode(), after.whole(path, limit_bytes).decode()
    except (LimitExceeded, UnicodeDecodeError):
        return ""
    return unified(old, new).text


def _size(side: Side, path: str) -> str:
    return f"{side.files[path].size_bytes} bytes"
