"""The types of numpy's arrays as pickles write them, and the arrays that joblib writes into the middle of one.

joblib's pickler writes a wrapper (`joblib.numpy_pickle.NumpyArrayWrapper`) with the array's type, shape and order, and
behind the BUILD that gives the wrapper its state the array itself: one byte with the length of a padding and the padding
(since joblib 1.3, when the wrapper says `numpy_array_alignment_bytes`), then the raw elements. An array of objects is a
pickle of its own in that place. Source: `read_array` in joblib's `numpy_pickle.py`.

numpy believes what the state of a type says of itself: a type of objects whose flags say that it holds none makes raw
bytes into addresses of objects, and a size or an offset that is too large reaches beyond the array's memory
(`arraydescr_setstate` in numpy's `descriptor.c`). `describe` says what no writer writes.
"""

from __future__ import annotations

import re
from typing import Final

from weighbridge.formats.pickle_values import Global, Instance, Items, Sort, Value
from weighbridge.formats.pickle_window import ByteWindow, StreamBroken

MAX_DTYPES = 100_000
MAX_ITEM_BYTES = 1 << 31

_WRAPPERS: Final = frozenset(("joblib.numpy_pickle", "sklearn.externals.joblib.numpy_pickle"))
_FIELDS: Final = frozenset(("dtype", "shape", "order", "allow_mmap", "numpy_array_alignment_bytes", "subclass"))
_HAS_OBJECT = 0x01
"""numpy's `NPY_ITEM_HASOBJECT`, in the last item of a type's state."""
_OF_OBJECTS = 0x1B
"""The flags that every type with objects in it has: they are counted, made, and reached through Python."""
_PLAIN_TEXT = re.compile(r"[<>|=]?(?:[?biufcmMSaUVO]\d{0,10}|bool|object|record)")


def is_wrapper(value: Global) -> bool:
    """Whether a global is joblib's wrapper of an array."""
    return value.name == "NumpyArrayWrapper" and value.module in _WRAPPERS


class Wrapped:
    """What a machine remembers of array types and of the wrapper whose state is being put together."""

    __slots__ = ("_dtypes", "_objects_within", "_reach", "_state", "wanted")

    def __init__(self) -> None:
        self.wanted = False
        """Whether a wrapper was made and its array has not come yet."""
        self._state: dict[str, Value] = {}
        self._dtypes: list[tuple[str, bool]] = []
        self._objects_within = False
        self._reach = 0

    @property
    def any_types(self) -> bool:
        """Whether any array's type was named."""
        return bool(self._dtypes)

    def begin(self) -> None:
        """A wrapper was made; its state follows."""
        self.wanted = True
        self._state = {}

    def finish(self) -> None:
        """The array was passed."""
        self.wanted = False

    def collect(self, values: list[Value]) -> None:
        """Items of a dictionary: the wrapper's, if they have its keys."""
        for key, value in zip(values[::2], values[1::2], strict=False):
            if isinstance(key, str) and key in _FIELDS:
                self._state[key] = value

    def dtype(self, made: Instance, arguments: tuple[Value, ...]) -> Instance:
        """The result of `numpy.dtype(...)`, told apart from others so that its size is found again."""
        if not arguments or not isinstance(arguments[0], str) or len(self._dtypes) >= MAX_DTYPES:
            return made
        text = arguments[0]
        simple = _PLAIN_TEXT.fullmatch(text) is not None
        self._dtypes.append((text, "O" in text or "object" in text or not simple))
        return Instance(made.of, len(self._dtypes))

    def fields(self, values: list[Value]) -> None:
        """Items of any dictionary: remembers the fields of a type among them, `(type, offset)` or with a title."""
        for value in values:
            if isinstance(value, Items) and len(value.items) in (2, 3):
                kind, offset = value.items[:2]
                if isinstance(kind, Instance) and kind.serial and isinstance(offset, int):
                    text, objects = self._dtypes[kind.serial - 1]
                    self._objects_within |= objects
                    self._reach = max(self._reach, offset + (_size_of(text) or 0), -offset << 40)

    def describe(self, target: Instance, state: Value) -> str:
        """A type's state: whether objects are in its fields. Returns what is wrong with it, or ""."""
        text, objects = self._dtypes[target.serial - 1]
        items = state.items if isinstance(state, Items) else ()
        if len(items) < 8 or not isinstance(items[7], int):
            return "the state of an array's type has another form"
        within, names, fields, size, flags = items[2], items[3], items[4], items[5], items[7]
        if flags & _HAS_OBJECT:
            self._dtypes[target.serial - 1] = text, True
        reach = 0
        if names is not None:
            reach, self._reach = self._reach, 0
            objects |= self._objects_within
        if isinstance(within, Items) and within.items and isinstance(within.items[0], Instance):
            inner = within.items[0]
            kind, holds = self._dtypes[inner.serial - 1] if inner.serial else ("", True)
            objects |= holds
            reach = max(reach, _repeated(_size_of(kind) or 0, within.items[1:]))
        elif within is not None:
            return "an array's type repeats what is no type"
        if not (fields is None or fields is Sort.DICT):
            return "the fields of an array's type are no dictionary"
        if objects and flags & _OF_OBJECTS != _OF_OBJECTS:
            return "an array's type holds objects and says that it holds none"
        known = _size_of(text)
        if not isinstance(size, int) or (known is not None and size not in (-1, known)):
            return "an array's type says another size than it was made with"
        return "an array's type reaches beyond its own size" if reach > max(size, known or 0) else ""

    def _type(self) -> tuple[str, bool] | None:
        kind = self._state.get("dtype")
        return self._dtypes[kind.serial - 1] if isinstance(kind, Instance) and kind.serial else None

    def holds_objects(self) -> bool:
        """Whether the array is one of objects, and so a pickle of its own."""
        kind = self._type()
        return kind is not None and kind[1]

    def length(self, window: ByteWindow) -> int:
        """Reads the padding, and returns how many bytes of elements follow.

        Raises:
            StreamBroken: the wrapper does not say which array follows.
        """
        kind, shape = self._type(), self._state.get("shape")
        item = None if kind is None else _item_bytes(kind[0])
        if item is None or not isinstance(shape, Items) or not shape.whole:
            raise StreamBroken("joblib's wrapper does not say which array follows", window.position)
        for length in shape.items:
            if not isinstance(length, int) or length < 0:
                raise StreamBroken("joblib's wrapper gives an impossible shape", window.position)
            item *= length
        if isinstance(self._state.get("numpy_array_alignment_bytes"), int):
            window.skip(window.byte())
        return item


def _item_bytes(kind: str) -> int | None:
    """The bytes of one element of a type such as `f8`, `U3` (in characters of four bytes) or `V16`."""
    digits = kind[1:]
    if kind[:1] not in tuple("?biufcmMSaUV") or not digits.isdecimal() or len(digits) > 10:
        return None
    size = int(digits) * (4 if kind.startswith("U") else 1)
    return size if size <= MAX_ITEM_BYTES else None


def _size_of(kind: str) -> int | None:
    """As `_item_bytes`, whatever the order of the bytes."""
    return _item_bytes(kind.lstrip("<>|="))


def _repeated(size: int, shape: tuple[Value, ...]) -> int:
    """The bytes of a type that is repeated in a shape."""
    lengths = shape[0].items if shape and isinstance(shape[0], Items) else shape
    for length in lengths:
        size *= length if isinstance(length, int) and length >= 0 else 1 << 40
    return size
