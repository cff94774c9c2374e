"""Which artifacts of a revision are pickled weights, which belong together, and what their safetensors are called.

By name and, where a name says little (`.bin`, `.pt`), by content. Names follow transformers, diffusers and PEFT:
`pytorch_model*.bin` becomes `model*.safetensors`, everything else keeps its stem; shards and their index keep their
numbers and their variant (`fp16`). State of a training run is known by name only: nothing that serves a model reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from weighbridge.core.errors import Ambiguous
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly
from weighbridge.formats.pickle import looks_like_stream
from weighbridge.formats.torch_checkpoint import HEAD_BYTES, form_of
from weighbridge.remediate.plan import ReaderOf

_TRAINING: Final = re.compile(
    r"(?:optimizer(?:_\d+)?\.(?:pt|bin)|scheduler(?:_\d+)?\.(?:pt|bin)|scaler\.pt|training_args\.bin"
    r"|rng_state(?:_\d+)?\.pth|random_states_\d+\.pkl)"
)
_WEIGHTS: Final = re.compile(r"(?:pytorch_model|adapter_model|diffusion_pytorch_model|pytorch_lora_weights)\b.*\.bin")
_PICKLED: Final = re.compile(r"(?P<stem>.+?)(?P<shard>-\d{2,6}-of-\d{2,6})?\.(?:bin|pt|pth|ckpt)")
_SHARD: Final = re.compile(r"-(\d{2,6})-of-(\d{2,6})")
_INDEX: Final = re.compile(r"(?P<stem>.+)\.(?P<suffix>bin|safetensors)\.index(?P<variant>\.[\w-]+)?\.json")
_SAFE: Final = re.compile(r"(?P<stem>.+?)(?P<shard>-\d{2,6}-of-\d{2,6})?\.safetensors")


class Listed(Protocol):
    """An artifact of the parent, as a snapshot or a manifest lists it."""

    @property
    def path(self) -> str:
        """Its path."""
        ...

    @property
    def size_bytes(self) -> int:
        """Its size."""
        ...


@dataclass(slots=True)
class Family:
    """The files that are one model: pickles and their index, and the safetensors of the same name, if they are there.

    `stem` is the folder and the name that the safetensors have, with their variant.
    """

    stem: str
    pickles: list[str] = field(default_factory=list)
    index: str = ""
    safe: list[str] = field(default_factory=list)
    safe_index: str = ""

    @property
    def sharded(self) -> bool:
        """Whether it is in several numbered files."""
        return bool(self.index) or any(shard_of(path) for path in self.pickles)

    @property
    def index_target(self) -> str:
        """What the index of its safetensors is called."""
        folder, _, name = self.stem.rpartition("/")
        base, dot, variant = name.partition(".")
        if self.index:
            variant = _variant(self.index)
            base, dot = (name.removesuffix(f".{variant}"), ".") if variant else (name, "")
        return f"{folder}/".lstrip("/") + f"{base}.safetensors.index{dot}{variant}.json"


@dataclass(slots=True)
class Sorted:
    """The artifacts that matter here. `left_alone` are those that look like weights by name and are no pickles."""

    families: list[Family] = field(default_factory=list)
    training: list[str] = field(default_factory=list)
    left_alone: list[tuple[str, str]] = field(default_factory=list)


def sorted_files(listed: Sequence[Listed], readers: ReaderOf) -> Sorted:
    """Sorts the artifacts of a revision; the first bytes of those that could be checkpoints are read.

    Raises:
        Ambiguous: two pickles would become the same file.
        Truncated: a reader returned less than the artifact's size promises.
    """
    found = Sorted()
    families: dict[str, Family] = {}
    for path in sorted(one.path for one in listed):
        name = path.rpartition("/")[2]
        if _TRAINING.fullmatch(name):
            found.training.append(path)
        elif _PICKLED.fullmatch(name):
            why = _why_not(name, readers(path))
            if why is None:
                stem = stem_of(path)
                families.setdefault(stem, Family(stem)).pickles.append(path)
            elif why:
                found.left_alone.append((path, why))
    _add_companions(families, (one.path for one in listed))
    found.families = [families[stem] for stem in sorted(families)]
    for family in found.families:
        _check_names(family)
    return found


def _why_not(name: str, reader: RangeReader) -> str | None:
    """None for what must be converted or refused; why it is left alone otherwise, "" where nobody would ask."""
    head = read_exactly(reader, 0, min(HEAD_BYTES, reader.size_bytes))
    form = form_of(head)
    if name.endswith(".bin"):
        torch_zip = form == "zip" and b"/data.pkl" in head
        return None if _WEIGHTS.fullmatch(name) or torch_zip or form == "stream" else ""
    if form or head[:1] == b"\x80" or looks_like_stream(head):
        return None
    return "it is no pickle and no archive"


def _add_companions(families: dict[str, Family], paths: Iterable[str]) -> None:
    for path in sorted(paths):
        folder, slash, name = path.rpartition("/")
        index, safe = _INDEX.fullmatch(name), _SAFE.fullmatch(name)
        if index:
            family = families.get(f"{folder}{slash}{_renamed(index['stem'])}{index['variant'] or ''}")
            if family is not None and index["suffix"] == "bin":
                family.index = path
            elif family is not None:
                family.safe_index = path
        elif safe and (family := families.get(f"{folder}{slash}{safe['stem']}")) is not None:
            family.safe.append(path)


def _check_names(family: Family) -> None:
    numbers = [shard_of(path) for path in family.pickles]
    whole = [path for path, number in zip(family.pickles, numbers, strict=True) if number is None]
    totals = {number[1] for number in numbers if number}
    targets = {target_of(path) for path in family.pickles}
    if len(whole) > 1 or (whole and totals) or len(totals) > 1 or len(targets) < len(family.pickles):
        names = ", ".join(family.pickles[:4])
        raise Ambiguous(
            f"the safetensors of {names} would have one name, '{family.stem}'",
            hint="Which of them is the model cannot be told. Ingest the revision again and --exclude those that are not.",
        )


def stem_of(path: str) -> str:
    """The folder and name, without shard number and suffix, that the safetensors of a pickle have."""
    folder, slash, name = path.rpartition("/")
    match = _PICKLED.fullmatch(name)
    assert match is not None
    return f"{folder}{slash}{_renamed(match['stem'])}"


def target_of(path: str) -> str:
    """What the safetensors of a pickle are called."""
    match = _PICKLED.fullmatch(path.rpartition("/")[2])
    assert match is not None
    return f"{stem_of(path)}{match['shard'] or ''}.safetensors"


def shard_of(path: str) -> tuple[int, int] | None:
    """Which shard of how many a file is by its name; None for a whole one."""
    match = _PICKLED.fullmatch(path.rpartition("/")[2])
    number = _SHARD.fullmatch(match["shard"]) if match and match["shard"] else None
    return (int(number[1]), int(number[2])) if number else None


def _renamed(stem: str) -> str:
    return stem.removeprefix("pytorch_") if stem == "pytorch_model" or stem.startswith("pytorch_model.") else stem


def _variant(index: str) -> str:
    match = _INDEX.fullmatch(index.rpartition("/")[2])
    return (match["variant"] or "").removeprefix(".") if match else ""
