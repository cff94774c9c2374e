"""Names of the arguments of `vllm serve`, as the real parsers of the releases in `RELEASES` gave them.

`vllm_arguments.json` is made by `scripts/vllm_arguments.py`; nothing of vLLM is imported here. A release between two of them is
taken for the older one, and a version that is not said for the newest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Final

from weighbridge.deploy.engines import read_version


@dataclass(frozen=True, slots=True)
class Arguments:
    """What one release takes."""

    release: str
    names: frozenset[str]
    """Without the leading dashes; switches also have a form with `no-` before the name."""
    short: Mapping[str, str]
    """Names behind a single dash, and the long ones they stand for."""
    deprecated: frozenset[str]
    """Those of `names` that the release warns of."""


def _read() -> tuple[Arguments, ...]:
    text = resources.files("weighbridge.deploy.targets").joinpath("vllm_arguments.json").read_text("utf-8")
    return tuple(
        Arguments(
            release, frozenset(said["names"]), MappingProxyType(dict(said["short"])), frozenset(said["deprecated"])
        )
        for release, said in json.loads(text).items()
    )


RELEASES: Final = _read()
"""The releases that were asked, oldest first."""


def arguments_of(version: str = "") -> Arguments:
    """What a version takes: what the newest release does that is no later, or the oldest for one before all."""
    at = read_version(version) if version else None
    if at is None:
        return RELEASES[-1]
    return next((one for one in reversed(RELEASES) if (read_version(one.release) or at) <= at), RELEASES[0])
