"""The weights of a torch checkpoint as named tensors, or why they are not taken to be weights.

A checkpoint is taken when its value is

- a dictionary from names to tensors (a `state_dict`), or
- a dictionary with exactly one such dictionary in it, under one of `WRAPPERS`, where everything else is plain data: texts,
  numbers, and lists and dictionaries of those. Plain data is left behind, and named.

Anything else is refused: a tensor outside of the weights (an optimizer, a moving average) would be lost, and nobody can
tell from the file whether it is needed. Versions of modules (`_metadata`), `requires_grad` and what tensors share are
not carried over; safetensors has no place for them and torch's own converters drop them as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.torch_checkpoint import MAX_TENSORS, Checkpoint, read_checkpoint
from weighbridge.formats.torch_pickle import HINT
from weighbridge.formats.torch_values import ITEM_BYTES, PickleValue, Storage, Table, TensorView, described, shown
from weighbridge.remediate.strides import collapsed, count_of, is_contiguous, runs_of

WRAPPERS: Final = (
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "params",
    "params_ema",
    "net",
    "network",
    "weights",
)
MAX_RUNS: Final = 8_000_000
"""Lines that the tensors of one file may fall into where they are not in order; they are moved one by one."""
MAX_LEFT_BEHIND: Final = 1000

SAFETENSORS_DTYPES: Final[Mapping[str, str]] = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64", "bool": "BOOL",
    "complex64": "C64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e8m0fnu": "F8_E8M0",
}  # fmt: skip
"""What safetensors calls torch's element types; complex128, complex32, packed 4-bit and quantized ones have no name."""


@dataclass(frozen=True, slots=True)
class Weight:
    """One tensor of a checkpoint. `begin` is where its first element lies in the artifact `path`; strides in elements.

    `view` tells tensors that are the very same elements of the same storage: two with equal views are tied.
    """

    name: str
    dtype: str
    item_bytes: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    path: str
    begin: int
    storage: str
    size_bytes: int

    @property
    def contiguous(self) -> bool:
        """Whether its bytes are already in order."""
        return is_contiguous(self.shape, self.strides)

    @property
    def view(self) -> tuple[object, ...]:
        """What it is a view of, and how."""
        return self.path, self.storage, self.begin, self.dtype, self.shape, collapsed(self.shape, self.strides)


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors of one checkpoint in the order of the pickle, and what else it held, in words."""

    path: str
    form: str
    tensors: tuple[Weight, ...]
    left_behind: tuple[str, ...]


def read_weights(reader: RangeReader) -> Weights:
    """Reads what a checkpoint says of its tensors.

    Raises:
        Malformed, Ambiguous, LimitExceeded: it is not understood, or holds more than weights; never guessed.
        Truncated: the reader returned less than the artifact's size promises.
    """
    checkpoint = read_checkpoint(reader)
    table, left = _state_dict(checkpoint)
    if len(table.items) > MAX_TENSORS:
        raise LimitExceeded(f"'{reader.path}' has {len(table.items)} tensors, more than {MAX_TENSORS}", hint=HINT)
    tensors: list[Weight] = []
    runs = 0
    for name, value in table.items.items():
        weight = _weight(checkpoint, name, value)
        if weight.size_bytes and not weight.contiguous:
            runs += runs_of(collapsed(weight.shape, weight.strides))
        if runs > MAX_RUNS:
            message = f"'{reader.path}': with the tensor {shown(name)}, strides fall into more than {MAX_RUNS} runs"
            raise LimitExceeded(message, hint=HINT)
        tensors.append(weight)
    return Weights(reader.path, checkpoint.form, tuple(tensors), tuple(left))


def _state_dict(checkpoint: Checkpoint) -> tuple[Table, list[str]]:
    path, value = checkpoint.path, checkpoint.value
    if not isinstance(value, Table):
        raise Malformed(f"'{path}' holds {described(value)}, not a dictionary of tensors", hint=HINT)
    left: list[str] = []
    beside: list[tuple[str, PickleValue]] = []
    table = value
    if value.items and not any(isinstance(one, TensorView) for one in value.items.values()):
        wrapper, table = _wrapped(path, value)
        left.append(f"the dictionary around {shown(wrapper)}")
        outer = [*value.items.items(), *value.attributes.items()]
        beside += [(shown(key), one) for key, one in outer if one is not table]
    beside += [(f"the attribute {shown(key)} of the dictionary", one) for key, one in table.attributes.items()]
    left += [f"{what}: {described(one)}" for what, one in beside]
    left += [f"the storage {shown(key)}, which nothing names" for key in checkpoint.unused]
    if len(left) > MAX_LEFT_BEHIND:
        raise LimitExceeded(
            f"'{path}' holds {len(left)} things beside its weights, and not all can be named", hint=HINT
        )
    _check_plain(path, beside)
    return table, left


def _wrapped(path: str, outer: Table) -> tuple[str | int, Table]:
    inner = [(key, one) for key, one in outer.items.items() if key in WRAPPERS and isinstance(one, Table)]
    if len(inner) != 1:
        keys = ", ".join(shown(key) for key in list(outer.items)[:8])
        raise Malformed(
            f"'{path}' is no dictionary of tensors, and which of its entries are the weights is not plain: {keys}",
            hint=HINT,
        )
    return inner[0]


def _check_plain(path: str, beside: list[tuple[str, PickleValue]]) -> None:
    """Refuses anything but data without tensors; each container once, however often it is referred to."""
    seen: set[int] = set()
    for what, value in beside:
        waiting = [value]
        while waiting:
            one = waiting.pop()
            if isinstance(one, TensorView | Storage):
                raise Malformed(f"'{path}': {what} holds a tensor beside the weights", hint=HINT)
            if isinstance(one, Table | list | tuple) and id(one) not in seen:
                seen.add(id(one))
                waiting += [*one.items.values(), *one.attributes.values()] if isinstance(one, Table) else one


def _weight(checkpoint: Checkpoint, name: str | int, value: PickleValue) -> Weight:
    path = checkpoint.path
    if not isinstance(name, str) or not _is_name(name):
        raise Malformed(f"'{path}': {shown(name)} cannot be the name of a tensor", hint=HINT)
    if not isinstance(value, TensorView):
        raise Malformed(f"'{path}': {shown(name)} is {described(value)} among tensors", hint=HINT)
    dtype = SAFETENSORS_DTYPES.get(value.dtype)
    if dtype is None:
        raise Malformed(
            f"'{path}': the tensor {shown(name)} is of {value.dtype}, which safetensors does not know", hint=HINT
        )
    item = ITEM_BYTES[value.dtype]
    begin = checkpoint.begin(value, name)
    size_bytes = count_of(value.shape) * item
    return Weight(name, dtype, item, value.shape, value.strides, path, begin, value.storage.key, size_bytes)


def _is_name(name: str) -> bool:
    """Whether safetensors can hold it: any Unicode text but the key of the metadata."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return name != "__metadata__"
