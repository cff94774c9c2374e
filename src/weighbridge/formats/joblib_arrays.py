"""The arrays that joblib writes into the middle of a pickle: where each ends.

joblib's pickler writes a wrapper (`joblib.numpy_pickle.NumpyArrayWrapper`) with the array's type, shape and order, and
behind the BUILD that gives the wrapper its state the array itself: one byte with the length of a padding and the padding
(since joblib 1.3, when the wrapper says `numpy_array_alignment_bytes`), then the raw elements. An array of objects is a
pickle of its own in that place. Source: `read_array` in joblib's `numpy_pickle.py`.
"""

from __future__ import annotations

from typing import Final

from weighbridge.formats.pickle_values import Global, Instance, Items, Value
from weighbridge.formats.pickle_window import ByteWindow, StreamBroken

MAX_DTYPES = 100_000
MAX_ITEM_BYTES = 1 << 31

_WRAPPERS: Final = frozenset(("joblib.numpy_pickle", "sklearn.externals.joblib.numpy_pickle"))
_FIELDS: Final = frozenset(("dtype", "shape", "order", "allow_mmap", "numpy_array_alignment_bytes", "subclass"))
_HAS_OBJECT = 0x01
"""numpy's `NPY_ITEM_HASOBJECT`, in the last item of a type's state."""


def is_wrapper(value: Global) -> bool:
    """Whether a global is joblib's wrapper of an array."""
    return value.name == "NumpyArrayWrapper" and value.module in _WRAPPERS


class Wrapped:
    """What a machine remembers of array types and of the wrapper whose state is being put together."""

    __slots__ = ("_dtypes", "_state", "wanted")

    def __init__(self) -> None:
        self.wanted = False
        """Whether a wrapper was made and its array has not come yet."""
        self._state: dict[str, Value] = {}
        self._dtypes: list[tuple[str, bool]] = []

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
        self._dtypes.append((arguments[0], arguments[0].startswith("O")))
        return Instance(made.of, len(self._dtypes))

    def describe(self, target: Instance, state: Value) -> None:
        """A type's state: whether objects are in its fields."""
        items = state.items if isinstance(state, Items) else ()
        if len(items) >= 8 and isinstance(items[7], int) and items[7] & _HAS_OBJECT:
            self._dtypes[target.serial - 1] = self._dtypes[target.serial - 1][0], True

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
