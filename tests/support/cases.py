"""Many cases in one test: each is tried, and a failure names every case that failed, with what it said.

A test of its own costs several milliseconds before it begins, in this process and in the one that hands tests out; a corpus of
a thousand cases that take one each is better off without. For tests whose cases share nothing but their code.
"""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

MAX_SHOWN = 20
"""Cases whose failure is shown in full; of the others, the name."""


def each(
    names: str | Sequence[str], values: Iterable[Any], ids: Callable[[Any], object] | Iterable[str] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """As `pytest.mark.parametrize`, in one test."""
    arguments = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    given = list(values)
    assert given, "there is no case"
    listed = ids if ids is None or callable(ids) else list(ids)
    cases = [_case(number, value, arguments, listed) for number, value in enumerate(given)]

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def all_cases(*args: Any, **fixtures: Any) -> None:
            failed: list[str] = []
            for label, case in cases:
                try:
                    test(*args, **fixtures, **dict(zip(arguments, case, strict=True)))
                except (Exception, pytest.fail.Exception) as error:
                    failed.append(f"[{label}] " + (_told(error) if len(failed) < MAX_SHOWN else ""))
            if failed:
                pytest.fail(f"{len(failed)} of {len(cases)} cases failed\n" + "\n".join(failed), pytrace=False)

        signature = inspect.signature(test)
        left = [one for name, one in signature.parameters.items() if name not in arguments]
        assert len(left) + len(arguments) == len(signature.parameters), "a case has an argument that the test has not"
        all_cases.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        del all_cases.__wrapped__  # type: ignore[attr-defined]
        return all_cases

    return decorate


def _told(error: BaseException) -> str:
    lines = traceback.format_exception(error)
    # Where it was raised and what it says; the frame of the loop above says nothing.
    return "".join(lines[2:])[-2_000:]


def _case(
    number: int, value: Any, arguments: Sequence[str], ids: Callable[[Any], object] | list[str] | None
) -> tuple[str, tuple[Any, ...]]:
    named = getattr(value, "id", None) if hasattr(value, "marks") else None
    if hasattr(value, "marks"):
        assert not value.marks, "a case with a mark needs a test of its own"
        case = tuple(value.values)
    else:
        case = (value,) if len(arguments) == 1 else tuple(value)
    if named:
        return str(named), case
    if isinstance(ids, list):
        return str(ids[number]), case
    label = ids(case[0]) if ids is not None and len(case) == 1 else None
    return str(label) if label is not None else _label(number, case), case


def _label(number: int, case: Sequence[Any]) -> str:
    words = [str(part) for part in case if isinstance(part, str | int) and len(str(part)) <= 80]
    return "-".join(words) or f"case {number}"
