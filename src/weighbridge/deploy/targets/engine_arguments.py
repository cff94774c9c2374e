"""Names of the arguments that engines take, as their own parsers and sources gave them for the releases in `ARGUMENTS`.

The `*_arguments.json` beside this file say where each list is from; `scripts/vllm_arguments.py` and `scripts/engine_arguments.py`
make them. Nothing of an engine is imported here. A release between two of them is taken for the older one, and a version that
is not said for the newest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Final

from weighbridge.deploy.engines import minimum_version, read_version

LIKE: Final = 0.85
"""How alike two names are (of 1) before one is taken for a misspelling of the other."""
_LEVEL: Final = re.compile(r"O[0-9]?")
"""The one that vLLM reads before its parser does."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """What one release of an engine takes."""

    engine: str
    release: str
    names: frozenset[str]
    """Without the leading dashes. vLLM's switches also have a form with `no-` before the name."""
    short: Mapping[str, str]
    """Names behind a single dash, and the long ones they stand for."""
    deprecated: frozenset[str]
    """Those of `names` that the release warns of."""
    environment: Mapping[str, str]
    """Variables that stand for arguments, and the arguments' names."""
    is_whole: bool
    """Whether the list is of a version that may be run: where it is not, a name that is unknown here may be a newer one."""

    def knows(self, name: str) -> bool:
        """Whether it takes an argument of this long name."""
        return name in self.names or (self.engine == "vllm" and name.removeprefix("no-") in self.names)

    def meant(self, name: str) -> str:
        """The argument whose name an unknown one is most like; empty when it is like none."""
        return next(iter(get_close_matches(name, self.names, n=1, cutoff=LIKE)), "")

    def long(self, short: str) -> str:
        """The long name behind a single dash; empty when it is none of the engine's."""
        return self.short.get(short) or (
            "optimization-level" if self.engine == "vllm" and _LEVEL.fullmatch(short) else ""
        )


def _read(engine: str) -> tuple[Arguments, ...]:
    # `importlib.resources` takes longer to import than all the lists to read.
    file = Path(__file__).with_name(f"{engine.replace('.', '_')}_arguments.json")
    said = json.loads(file.read_text("utf-8"))
    least = read_version(minimum_version(engine))
    newest = read_version(list(said)[-1])
    return tuple(
        Arguments(
            engine,
            release,
            frozenset(one["names"]),
            MappingProxyType(dict(one["short"])),
            frozenset(one["deprecated"]),
            MappingProxyType(dict(one.get("environment", {}))),
            is_whole=engine != "lmi" and least is not None and newest is not None and newest >= least,
        )
        for release, one in said.items()
    )


ARGUMENTS: Final[Mapping[str, tuple[Arguments, ...]]] = MappingProxyType(
    {engine: _read(engine) for engine in ("vllm", "tgi", "sglang", "llama.cpp", "lmi")}
)
"""By engine: the releases that were asked, oldest first. LMI's are the properties of DJL's own; it takes vLLM's beside them."""


def arguments_of(engine: str, version: str = "") -> Arguments | None:
    """What a version takes: what the newest release does that is no later, or the oldest for one before all.

    None for an engine whose arguments are not known.
    """
    releases = ARGUMENTS.get(engine, ())
    at = read_version(version) if version else None
    if at is None or not releases:
        return releases[-1] if releases else None
    return next((one for one in reversed(releases) if (read_version(one.release) or at) <= at), releases[0])


def others_with(engine: str, name: str) -> list[str]:
    """The releases that take an argument, oldest first."""
    return [one.release for one in ARGUMENTS.get(engine, ()) if one.knows(name)]


def is_property(name: str) -> bool:
    """Whether LMI takes an option of `serving.properties`, without `option.`: DJL's own, or one of any vLLM that is known."""
    plain = name.replace("-", "_")
    return any(plain in one.names for one in ARGUMENTS["lmi"]) or bool(others_with("vllm", plain.replace("_", "-")))


def property_meant(name: str, also: Collection[str] = ()) -> str:
    """The property that an unknown one is most like; empty when it is like none."""
    known = {*also, *ARGUMENTS["lmi"][-1].names, *(one.replace("-", "_") for one in ARGUMENTS["vllm"][-1].names)}
    return next(iter(get_close_matches(name.replace("-", "_"), known, n=1, cutoff=0.9)), "")
