"""Files that are one tensor after another: Paddle's `.pdiparams` and MXNet's `.params`. Their numbers are not read.

Every length is held against what follows. Limits: `MAX_TENSORS` tensors, `MAX_DIMENSIONS` dimensions.
Sources: Paddle `lod_tensor.cc` and `tensor_util.cc`; MXNet `ndarray.cc`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from math import prod
from typing import Final

from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.pickle_window import Budget, ByteWindow
from weighbridge.formats.protobuf import Message, Window

MAX_TENSORS: Final = 100_000
MAX_DIMENSIONS: Final = 32
_PADDLE_BYTES: Final = {0: 1, 1: 2, 2: 4, 3: 8, 4: 2, 5: 4, 6: 8, 20: 1, 21: 1, 22: 2, 23: 8, 24: 16, 32: 1, 33: 1}
_MXNET_BYTES: Final = {0: 4, 1: 8, 2: 2, 3: 1, 4: 4, 5: 1, 6: 8, 7: 1, 12: 2}
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA


def _numbers(window: ByteWindow, code: str) -> tuple[int, ...]:
    return struct.unpack(f"<{code}", window.take(struct.calcsize(f"<{code}")))


def paddle_tensors(reader: RangeReader) -> Iterator[tuple[int, int]]:
    """Where the numbers of each tensor lie; they end where the file does.

    Raises:
        Malformed: the file is no list of tensors; LimitExceeded: it has too many.
        Truncated: the reader returned less than the artifact's size promises.
    """
    window = ByteWindow(reader, 0, reader.size_bytes, Budget())
    message_window = Window(reader)
    for _ in range(MAX_TENSORS):
        if not window.remaining:
            return
        version, levels = _numbers(window, "IQ")
        if version or levels > MAX_DIMENSIONS:
            raise Malformed(f"a tensor of version {version} with {levels} levels, before {window.position}")
        for _ in range(levels):
            window.skip(_numbers(window, "Q")[0])
        version, length = _numbers(window, "Ii")
        if version or not 0 < length < 4096:
            raise Malformed(f"a tensor's description of version {version} has {length} bytes")
        start = window.position
        window.skip(length)
        size = _paddle_bytes(Message(message_window, start, start + length))
        window.skip(size)
        yield window.position - size, window.position
    raise LimitExceeded(f"there are more than {MAX_TENSORS} tensors")


def _paddle_bytes(description: Message) -> int:
    kind, dims = -1, list[int]()
    for field in description.fields():
        if field.number == 1:
            kind = field.value
        elif field.number == 2:
            dims += description.numbers(field)
        else:
            raise Malformed(f"field {field.number} is none of a tensor's description")
    if kind not in _PADDLE_BYTES or len(dims) > MAX_DIMENSIONS or any(dim < 0 for dim in dims):
        raise Malformed(f"a tensor has the type {kind} and {len(dims)} dimensions")
    return prod(dims) * _PADDLE_BYTES[kind]


def mxnet_arrays(reader: RangeReader) -> Iterator[tuple[int, int]]:
    """Where the numbers of each array lie; after the last come their names, and the end.

    Raises:
        Malformed: the file is no list of dense arrays; LimitExceeded: it has too many.
        Truncated: the reader returned less than the artifact's size promises.
    """
    window = ByteWindow(reader, 0, reader.size_bytes, Budget())
    magic, reserved, count = _numbers(window, "QQQ")
    if magic != 0x112 or reserved or count > MAX_TENSORS:
        raise Malformed(f"the list has {count} arrays")
    for _ in range(count):
        size = _mxnet_header(window)
        window.skip(size)
        yield window.position - size, window.position
    names = _numbers(window, "Q")[0]
    if names not in (0, count):
        raise Malformed(f"{count} arrays have {names} names")
    for _ in range(names):
        length = _numbers(window, "Q")[0]
        if length > 4096:
            raise Malformed(f"a name has {length} bytes")
        window.take(length)
    if window.remaining:
        raise Malformed(f"{window.remaining} bytes follow the last name")


def _mxnet_header(window: ByteWindow) -> int:
    magic = _numbers(window, "I")[0]
    if magic not in (_V1, _V2, _V3):
        raise Malformed(f"an array begins with {magic:#x}")
    if magic != _V1 and _numbers(window, "i")[0] not in (0, -1):
        raise Malformed("sparse arrays are not read")
    dimensions = _numbers(window, "i")[0]
    if not 0 <= dimensions <= MAX_DIMENSIONS:
        raise Malformed(f"an array has {dimensions} dimensions")
    shape = _numbers(window, f"{dimensions}q")
    if any(dim < 0 for dim in shape):
        raise Malformed("an array has a negative dimension")
    if not dimensions:
        return 0
    _, _, kind = _numbers(window, "iii")
    if kind not in _MXNET_BYTES:
        raise Malformed(f"an array has the type {kind}")
    return prod(shape) * _MXNET_BYTES[kind]
