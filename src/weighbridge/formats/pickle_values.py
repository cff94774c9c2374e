"""The abstract values on which a pickle is followed, and the events that following it yields.

Constants are themselves (`str`, `int`, `float`, `bool`, `None`); what can grow or act is described: a list is `LIST`
whatever it holds, the result of a call is an `Instance` of what was called. `Sort.UNKNOWN` is what nobody can say.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.formats.pickle import Blob, LongText

TUPLE_ITEMS = 16
TUPLE_WEIGHT = 64


class Sort(Enum):
    """Values of which only the sort is known."""

    LIST = "list"
    DICT = "dict"
    SET = "set"
    FROZENSET = "frozenset"
    TUPLE = "tuple"
    TEXT = "text"
    BYTES = "bytes"
    BYTEARRAY = "bytearray"
    INT = "int"
    FLOAT = "float"
    BUFFER = "out-of-band buffer"
    PERSISTENT = "persistent object"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Global:
    """Whatever `module` calls `name`; nothing is imported to find out."""

    module: str
    name: str

    @property
    def full_name(self) -> str:
        """Both, with a dot between them."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Instance:
    """The result of calling a global. `serial` finds what its machine knows of it; 0 when nothing is kept."""

    of: Global
    serial: int = 0


@dataclass(frozen=True, slots=True)
class Items:
    """A tuple: its first `TUPLE_ITEMS` items, and whether those are all. `weight` bounds what hangs on it."""

    items: tuple[Value, ...]
    whole: bool = True
    weight: int = 1


Value = str | int | float | None | Blob | LongText | Sort | Global | Instance | Items
EMPTY: Final = Items(())


def weight_of(value: Value) -> int:
    """Roughly the bytes a value holds, in units of 64."""
    if isinstance(value, str):
        return 1 + len(value) // 16
    if isinstance(value, Items):
        return value.weight
    return 2 if isinstance(value, Blob | LongText) else 1


def blurred(value: Value) -> Value:
    """What is remembered of a value when there is no room for it: its sort."""
    if value is None or isinstance(value, bool | Sort | Global | Instance):
        return value
    if isinstance(value, str | LongText):
        return Sort.TEXT
    if isinstance(value, int):
        return Sort.INT
    if isinstance(value, float):
        return Sort.FLOAT
    return Sort.BYTES if isinstance(value, Blob) else Sort.TUPLE


def tuple_of(values: list[Value]) -> Value:
    """A tuple of these, with as much of them as is remembered."""
    if not values:
        return EMPTY
    kept = tuple(values[:TUPLE_ITEMS])
    weight = 1 + sum(map(weight_of, kept))
    if weight > TUPLE_WEIGHT:
        kept = tuple(map(blurred, kept))
        weight = 1 + len(kept)
    return Items(kept, len(values) <= TUPLE_ITEMS, weight)


def shown(value: Value) -> str:
    """A value as a report shows it: short and printable."""
    if isinstance(value, Global):
        text = value.full_name.encode("unicode-escape").decode("ascii")
    elif isinstance(value, Instance):
        text = f"{shown(value.of)}(...)"
    elif isinstance(value, Items):
        inner = [shown(item) for item in value.items[:6]]
        text = f"({', '.join(inner)}{'' if value.whole and len(value.items) <= 6 else ', ...'})"
    elif isinstance(value, Sort):
        text = f"<{value.value}>"
    elif isinstance(value, Blob):
        text = f"<{value.length} bytes>"
    elif isinstance(value, LongText):
        text = f"<{value.length} bytes of text>"
    else:
        text = ascii(value[:80] if isinstance(value, str) else value)
    return text if len(text) <= 160 else f"{text[:157]}..."


class EventKind(Enum):
    """What happened at one opcode."""

    RESOLVED = "resolved"
    """A global was named; `subject` is the Global, `argument` the stream's protocol so far."""
    CALLED = "called"
    """`subject` is called with `argument`, by REDUCE, INST, OBJ, NEWOBJ or NEWOBJ_EX."""
    BUILT = "built"
    """BUILD gives `subject` the state `argument`; `message` says what contradicts itself in it."""
    FILLED = "filled"
    """`subject`, which is no plain list, dict or set, is handed items; or a dict, a callable under the name `argument`."""
    DYNAMIC = "dynamic"
    """A global is named by values that are no constants; `argument` is the pair."""
    EXTENSION = "extension"
    """An object of the extension registry; `argument` is its code."""
    PERSISTENT = "persistent"
    """An object that the loader finds by the id `argument`."""
    CONSTANT = "constant"
    """A constant that begins as a pickle does; `subject` is it."""
    ODD = "odd"
    """Something that no honest writer writes; `message` says what."""
    DATA = "data"
    """Bytes that a loader takes for an array: from `argument` (an offset) up to `offset`."""
    EXCESS = "excess"
    """Something that would make the loader allocate without bound."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing the machine saw, at `offset` of the artifact."""

    kind: EventKind
    offset: int
    opcode: str
    subject: Value = None
    argument: Value = None
    message: str = ""


class Ending(Enum):
    """How a stream ended."""

    STOPPED = "stopped"
    BROKEN = "broken"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one stream: at `end` when it stopped, at the opcode that could not be followed otherwise."""

    ending: Ending
    end: int
    opcodes: int
    result: Value = None
    message: str = ""
