"""The project's `dataclass` makes classes that behave as the standard library's do."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field, fields, replace
from typing import Any

import pytest

from weighbridge.core.dataclass import BY_HAND, dataclass

OPTIONS: tuple[dict[str, bool], ...] = (
    {},
    {"slots": True},
    {"frozen": True},
    {"frozen": True, "slots": True},
    {"frozen": True, "slots": True, "order": True},
    {"slots": True, "eq": False},
)
REFERENCE: Any = dataclasses.dataclass
OURS: Any = dataclass


def _classes(options: dict[str, bool]) -> list[Any]:
    """The same class by the standard decorator and by ours, each with one derived from it."""
    made = []
    for decorate in (REFERENCE, OURS):

        class Point:
            x: int
            name: str = "none"
            seen: list[int] = field(default_factory=list, compare=False, repr=False)
            length: int = field(init=False, default=3)
            kept: dict[str, int] = field(init=False, default_factory=dict, hash=False)
            named: int = field(kw_only=True, default=1)

            def __post_init__(self) -> None:
                self.seen.append(self.x)

        base = decorate(**options)(Point)

        class Place(base):  # type: ignore[misc,valid-type]
            height: float = 0.5

        made.append((base, decorate(**options)(Place)))
    return list(zip(*made, strict=True))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_instances_are_made_compared_and_shown_alike(options: dict[str, bool]) -> None:
    for reference, ours in _classes(options):
        # The first of a class are made in another way than those after them.
        for values, named in 3 * (((1,), {}), ((2, "two", [5]), {"named": 7}), ((3,), {"name": "three"})):
            theirs, mine = reference(*values, **named), ours(*values, **named)
            assert repr(mine) == repr(theirs)
            assert [getattr(mine, one.name) for one in fields(mine)] == [
                getattr(theirs, one.name) for one in fields(theirs)
            ]
            assert (mine == ours(*values, **named)) is (theirs == reference(*values, **named))
            assert mine != theirs
            assert replace(mine, x=9).x == replace(theirs, x=9).x == 9
            assert dataclasses.asdict(mine) == dataclasses.asdict(theirs)
            assert copy.deepcopy(mine).name == copy.copy(mine).name == theirs.name
        assert [one.name for one in fields(ours)] == [one.name for one in fields(reference)]
        assert ours.__match_args__ == reference.__match_args__
        assert hasattr(ours(1), "__dict__") is hasattr(reference(1), "__dict__")


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_what_is_refused_is_refused_alike(options: dict[str, bool]) -> None:
    attempts: tuple[Callable[[Any], object], ...] = (
        lambda one: one(),
        lambda one: one(1, "a", [], 4, 5, 6),
        lambda one: one(1, unknown=2),
        lambda one: one(1, length=2),
        lambda one: one(1, x=2),
        lambda one: setattr(one(1), "x", 2),
        lambda one: delattr(one(1), "x"),
        lambda one: one(1) < one(2),
        lambda one: one(1) >= "no point",
        lambda one: hash(one(1)) == hash(one(1)),
        lambda one: {one(1, "a"): 1},
    )
    for attempt in attempts:
        for reference, ours in _classes(options):
            for earlier in (0, BY_HAND):
                for number in range(earlier):
                    ours(number)
                assert _outcome(attempt, ours) == _outcome(attempt, reference)


def _outcome(attempt: Callable[[Any], object], one: Any) -> str:
    try:
        return type(attempt(one)).__name__
    except (TypeError, FrozenInstanceError) as error:
        return f"{type(error).__name__}: {error}".partition("' not supported")[0].partition(".")[0]


@pytest.mark.parametrize("order", [False, True])
def test_order_is_that_of_the_fields(order: bool) -> None:
    reference, ours = _classes({"frozen": True, "slots": True, "order": order})[0]
    if not order:
        with pytest.raises(TypeError):
            sorted([ours(2), ours(1)])
        return
    values = [(2, "b"), (1, "z"), (2, "a")]
    assert [(one.x, one.name) for one in sorted(ours(*value) for value in values)] == [
        (one.x, one.name) for one in sorted(reference(*value) for value in values)
    ]


def test_what_a_class_says_itself_stays() -> None:
    @dataclass(frozen=True, slots=True)
    class Own:
        value: int

        def __init__(self, text: str) -> None:
            object.__setattr__(self, "value", int(text))

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 5

    assert repr(Own("3")) == "own"
    assert Own("3").value == 3
    assert Own("3") == Own("4")
    assert hash(Own("3")) == 5
