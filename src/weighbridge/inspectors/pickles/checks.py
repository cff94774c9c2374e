"""What may be done with an allowed callable, and the checks of arguments and states that say so.

Contents of lists and dictionaries are not remembered; whatever lies in them was judged where it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.finding import Severity
from weighbridge.formats.pickle import Blob, LongText
from weighbridge.formats.pickle_values import Global, Instance, Items, Sort, Value
from weighbridge.inspectors.pickles.names import canonical_name

Check = Callable[[Value], bool]
"""Says whether an argument, or a state, is what an honest writer gives."""


class Danger(Enum):
    """What a weapon does."""

    EXECUTION = "runs code"
    PROCESS = "starts processes"
    IMPORTING = "imports modules"
    INTROSPECTION = "reaches other objects by name"
    LOADER = "loads other serialised objects"
    NATIVE = "calls native code"
    NETWORK = "opens connections"
    FILES = "touches files"
    SYSTEM = "changes the running process"

    @property
    def severity(self) -> Severity:
        """How bad a call is."""
        grave = self not in (Danger.NETWORK, Danger.FILES, Danger.SYSTEM)
        return Severity.CRITICAL if grave else Severity.HIGH


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be done with a global. None: it may not be done. A mere name (a type given as an argument) has neither.

    `call` judges the arguments of a call (REDUCE, INST, OBJ); `new` those of a making without `__init__` (NEWOBJ and
    copyreg's reconstructor), which is judged as a call where it is None. `state` judges what BUILD gives to the result,
    `fillable` says whether items may be put into it. With `unless_called`, the name passes only where every use of it is
    a call that `call` accepts, and is that danger otherwise. `undecided` says of which accepted arguments nobody knows what
    comes of them later: they are worth a finding for policy.
    """

    call: Check | None = None
    state: Check | None = None
    fillable: bool = False
    new: Check | None = None
    unless_called: Danger | None = None
    undecided: Check | None = None


def text(value: Value) -> bool:
    """A text."""
    return isinstance(value, str | LongText) or value is Sort.TEXT


def integer(value: Value) -> bool:
    """An integer, or a truth value."""
    return isinstance(value, int) or value is Sort.INT


def number(value: Value) -> bool:
    """A number."""
    return integer(value) or isinstance(value, float) or value is Sort.FLOAT


def data_bytes(value: Value) -> bool:
    """Bytes, as any protocol writes them."""
    if isinstance(value, Instance):
        return value.of.full_name in ("_codecs.encode", "builtins.bytes", "__builtin__.bytes", "builtins.bytearray",
                                      "__builtin__.bytearray")  # fmt: skip
    return isinstance(value, Blob | str | LongText) or value in (Sort.BYTES, Sort.BYTEARRAY, Sort.BUFFER, Sort.TEXT)


def plain(value: Value) -> bool:
    """Anything but a callable, or what nobody can say; in tuples too."""
    if isinstance(value, Items):
        return all(map(plain, value.items))
    return not isinstance(value, Global) and value is not Sort.UNKNOWN


def a_tuple(value: Value) -> bool:
    """A tuple."""
    return isinstance(value, Items) or value is Sort.TUPLE


def a_list(value: Value) -> bool:
    """A list or a tuple."""
    return value is Sort.LIST or a_tuple(value)


def a_dict(value: Value) -> bool:
    """A dictionary."""
    return value is Sort.DICT


def nothing(value: Value) -> bool:
    """None."""
    return value is None


def mapping_state(value: Value) -> bool:
    """A state that only fills the object's own dictionary."""
    return value is Sort.DICT or value is None


def slotted_state(value: Value) -> bool:
    """The object's dictionary, and a dictionary of its slots."""
    return mapping_state(value) or (
        isinstance(value, Items) and value.whole and len(value.items) == 2 and all(map(mapping_state, value.items))
    )


def one_of(*texts: str) -> Check:
    """One of these texts."""
    return lambda value: isinstance(value, str) and value in texts


def global_in(names: Iterable[str]) -> Check:
    """One of these globals, as a value."""
    known = frozenset(names)
    return lambda value: isinstance(value, Global) and canonical_name(value) in known


def made_by(*names: str) -> Check:
    """The result of calling one of these."""
    return lambda value: isinstance(value, Instance) and canonical_name(value.of) in names


def either(*checks: Check) -> Check:
    """What any of these accepts."""
    return lambda value: any(check(value) for check in checks)


def under(module: str, names: str) -> tuple[str, ...]:
    """The full names of some words in a module."""
    return tuple(f"{module}.{name}" for name in names.split())


def args(*checks: Check, optional: int = 0, rest: Check | None = None) -> Check:
    """A tuple with these items, of which the last `optional` may be missing; `rest` is for any that follow."""

    def check(value: Value) -> bool:
        if not isinstance(value, Items):
            return False
        items = value.items
        if len(items) < len(checks) - optional or ((len(items) > len(checks) or not value.whole) and rest is None):
            return False
        return all(one(item) for one, item in zip(checks, items, strict=False)) and all(
            rest is not None and rest(item) for item in items[len(checks) :]
        )

    return check


NO_ARGUMENTS: Final = args()
ANY_DATA: Final = args(rest=plain)
OBJECT: Final = Allowed(state=mapping_state, new=NO_ARGUMENTS)
"""A class that is made without arguments and given a dictionary, which it keeps."""
NAME_ONLY: Final = Allowed()
NATIVE_OBJECT: Final = Allowed(ANY_DATA, plain)
"""A reviewed class of compiled code: made from data, given a state of data."""
