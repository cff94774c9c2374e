"""`dataclasses.dataclass`, made for a command that ends soon: what a class needs is written when it is first used.

The standard decorator writes the text of six methods for each frozen class and compiles it, which was a third of the
start of every command. This one asks it for fields and slots alone; comparing, hashing and showing need no text of their
own, and `__init__` is written when there are more than a few instances. Classes behave the same, but for the signature
that they show before that. Of the options, those are there that this project uses: `frozen`, `slots`, `eq` and `order`.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeVar, cast

__all__ = ["BY_HAND", "dataclass"]

T = TypeVar("T")
_Init = Callable[..., None]
_MISSING: Final = dataclasses.MISSING
BY_HAND: Final = 4
"""Instances that are filled before the method is written: of most classes there are no more."""


def _made(cls: type[T], frozen: bool, slots: bool, eq: bool, order: bool) -> type[T]:
    if cls.__doc__ is None:
        # The standard decorator would work out a signature to describe it with.
        cls.__doc__ = cls.__name__
    own, hashable = "__init__" in cls.__dict__, cls.__dict__.get("__hash__") is not None
    cls = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots)(cls)
    _add(cls, {"__repr__": _repr})
    if not own:
        type.__setattr__(cls, "__init__", _first_init(cls))
    if frozen:
        _add(cls, {**_FROZEN, **(_STATE if slots else {})})
    if eq:
        _compare(cls, order)
        if not hashable:
            type.__setattr__(cls, "__hash__", _hash(cls) if frozen else None)
    return cls


def _add(cls: type, methods: Mapping[str, object]) -> None:
    for name, method in methods.items():
        if name not in cls.__dict__:
            type.__setattr__(cls, name, method)


def _fields(one: object) -> tuple[dataclasses.Field[object], ...]:
    return dataclasses.fields(one)  # type: ignore[arg-type]


# --- beginning -----------------------------------------------------------------------------------


def _first_init(cls: type) -> _Init:
    made = 0

    def begin(self: object, *values: object, **named: object) -> None:
        nonlocal made
        made += 1
        if made <= BY_HAND and _filled(cls, self, values, named):
            return
        written = _written_init(cls)
        type.__setattr__(cls, "__init__", written)
        written(self, *values, **named)

    return begin


def _filled(cls: type, made: object, values: Sequence[object], named: dict[str, object]) -> bool:
    """Sets an instance's fields without a text; false, and nothing is set, where the arguments are none that fit."""
    found: dict[str, object] = {}
    place = used = 0
    for field in _fields(cls):
        positional = field.init and not field.kw_only
        if positional and place < len(values):
            if field.name in named:
                return False
            found[field.name] = values[place]
        elif field.init and field.name in named:
            found[field.name] = named[field.name]
            used += 1
        elif (value := _default(field)) is not _MISSING:
            found[field.name] = value
        elif field.init:
            return False
        place += positional
    if used < len(named) or place < len(values):
        return False
    for name, value in found.items():
        object.__setattr__(made, name, value)
    if hasattr(cls, "__post_init__"):
        made.__post_init__()  # type: ignore[attr-defined]
    return True


def _default(field: dataclasses.Field[object]) -> object:
    return field.default if field.default_factory is _MISSING else field.default_factory()


def _written_init(cls: type) -> _Init:
    """What the standard decorator writes, for a class with the same fields."""
    listed = [(field.name, object, _again(field)) for field in _fields(cls)]
    own: dict[str, object] = {"__doc__": cls.__name__}
    if hasattr(cls, "__post_init__"):
        own["__post_init__"] = cls.__post_init__
    frozen = getattr(cls, "__setattr__") is _refuse  # noqa: B009 - a type checker knows better
    made = dataclasses.make_dataclass(cls.__name__, listed, namespace=own, eq=False, repr=False, frozen=frozen)
    written = cast("_Init", made.__dict__["__init__"])
    written.__qualname__ = f"{cls.__qualname__}.__init__"
    return written


def _again(field: dataclasses.Field[object]) -> object:
    init, named = field.init, field.kw_only
    if field.default_factory is not _MISSING:
        return dataclasses.field(default_factory=field.default_factory, init=init, kw_only=named)
    if field.default is _MISSING:
        return dataclasses.field(init=init, kw_only=named)
    if not init:
        # Of a class with slots it is no attribute of the class.
        return dataclasses.field(default_factory=lambda: field.default, init=False, kw_only=named)
    return dataclasses.field(default=field.default, kw_only=named)


# --- comparing and showing -----------------------------------------------------------------------


def _values(names: Iterable[str]) -> Callable[[object], object]:
    """A function that gives the values of these fields, as something that compares like a tuple of them."""
    listed = list(names)
    return attrgetter(*listed) if listed else lambda _: ()


def _hash(cls: type) -> Callable[[object], int]:
    counting = (one for one in _fields(cls) if (one.compare if one.hash is None else one.hash))
    values = _values(one.name for one in counting)
    return lambda self: hash(values(self))


def _compare(cls: type, order: bool) -> None:
    values = _values(one.name for one in _fields(cls) if one.compare)

    def comparing(do: Callable[[object, object], bool]) -> Callable[[object, object], bool]:
        def compare(self: object, other: object) -> bool:
            return do(values(self), values(other)) if other.__class__ is self.__class__ else NotImplemented

        return compare

    operators = (operator.lt, operator.le, operator.gt, operator.ge) if order else ()
    _add(cls, {f"__{do.__name__}__": comparing(do) for do in (operator.eq, *operators)})


def _repr(self: object) -> str:
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in _fields(self) if field.repr)
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


# --- frozen --------------------------------------------------------------------------------------


def _refuse(_: object, name: str, __: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _keep(_: object, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: object) -> list[object]:
    return [getattr(self, field.name) for field in _fields(self)]


def _restore(self: object, state: Iterable[object]) -> None:
    for field, value in zip(_fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)


_FROZEN: Final[Mapping[str, object]] = {"__setattr__": _refuse, "__delattr__": _keep}
_STATE: Final[Mapping[str, object]] = {"__getstate__": _state, "__setstate__": _restore}

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, slots=False, eq=True, order=False):
        """See `dataclasses.dataclass`."""
        if cls is None:
            return lambda given: _made(given, frozen, slots, eq, order)
        return _made(cls, frozen, slots, eq, order)
