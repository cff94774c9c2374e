"""What a torch checkpoint's pickle is made of: storages, the tensors that are views of them, dictionaries, and their words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.formats.pickle_values import Global

ITEM_BYTES: Final[Mapping[str, int]] = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1,
    "uint16": 2, "uint32": 4, "uint64": 8, "bool": 1, "complex32": 4, "complex64": 8, "complex128": 16,
    "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1, "float8_e8m0fnu": 1,
    "float4_e2m1fn_x2": 1,
}  # fmt: skip
"""The element types that torch has globals for, and the bytes of one element."""

STORAGES: Final[Mapping[str, str]] = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128", "UntypedStorage": "uint8",
}  # fmt: skip
STORAGE_MODULES: Final = frozenset(("torch", "torch.cuda", "torch.storage"))


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of elements that tensors are views of. `count` elements from `first` on of a root with `numel`."""

    key: str
    dtype: str
    numel: int
    first: int = 0
    count: int = -1
    untyped: bool = False


@dataclass(frozen=True, slots=True)
class TensorView:
    """A tensor as the pickle describes it; offset and strides count elements of `dtype`."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Opaque:
    """A constant of which only the sort is kept: bytes, or a long text."""

    what: str


@dataclass(slots=True, eq=False)
class Table:
    """A dictionary. `attributes` are what its instance was given beside its items."""

    items: dict[str | int, PickleValue] = field(default_factory=dict)
    ordered: bool = False
    attributes: dict[str | int, PickleValue] = field(default_factory=dict)


PickleValue = (
    None
    | int
    | float
    | str
    | Opaque
    | Global
    | Storage
    | TensorView
    | Table
    | list["PickleValue"]
    | tuple["PickleValue", ...]
)


def dtype_of(named: PickleValue) -> str | None:
    """The torch name of the element type that a global stands for; None when it stands for none."""
    if isinstance(named, Global) and named.module == "torch" and named.name in ITEM_BYTES:
        return named.name
    return None


def storage_dtype(named: PickleValue) -> tuple[str, bool] | None:
    """The element type of a storage class, and whether the class is the untyped one."""
    if isinstance(named, Global) and named.module in STORAGE_MODULES and named.name in STORAGES:
        return STORAGES[named.name], named.name == "UntypedStorage"
    return None


def shown(value: object) -> str:
    """A stranger's text, short and printable."""
    text = ascii(value[:80] if isinstance(value, str) else value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def described(value: PickleValue) -> str:
    """What a value is, in few words."""
    if isinstance(value, Global):
        return shown(value.full_name)
    if isinstance(value, Opaque):
        return value.what
    if isinstance(value, Table | list | tuple):
        return {Table: "a dictionary", list: "a list", tuple: "a tuple"}[type(value)]
    if isinstance(value, Storage | TensorView):
        return "a storage" if isinstance(value, Storage) else "a tensor"
    return f"the {type(value).__name__} {shown(value)}" if value is not None else "None"
