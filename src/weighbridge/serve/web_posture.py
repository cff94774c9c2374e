"""What the catalog shows of a model's posture: the answers of both routes, made elsewhere and handed in.

Reasons and next steps may name accounts, roles and hosts: they are shown to people who are known, the standings to whoever sees the
model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from weighbridge.core.names import ModelName


@dataclass(frozen=True, slots=True)
class PostureAnswer:
    """How one route answers a question: `standing` is `met`, `partly`, `not_met` or `unproved`, `called` its name."""

    standing: str
    called: str
    why: str
    next_step: str


@dataclass(frozen=True, slots=True)
class PostureLine:
    """One question and both answers."""

    title: str
    hub: PostureAnswer
    bucket: PostureAnswer


@dataclass(frozen=True, slots=True)
class PostureSheet:
    """The report about a model. `made_at` is when its evidence was gathered, `revision` which one it is about."""

    revision: str
    made_at: str
    recommendation: tuple[str, ...]
    lines: tuple[PostureLine, ...]


PostureOf = Callable[[ModelName], PostureSheet | None]
"""The newest report about a model; None where none was made. Raises `WeighbridgeError` where it cannot be read."""


def no_posture(_model_name: ModelName) -> PostureSheet | None:
    """Nobody makes reports here."""
    return None
