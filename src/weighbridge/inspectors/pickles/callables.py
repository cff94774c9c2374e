"""Which callables a pickle may use, in which role and with what arguments.

What is not allowed here, or in a profile of a library (`profiles`), does not pass; the list of weapons
(`inspectors.dangers`) only decides what a refusal is called. An entry is allowed only when neither the call nor a state given
to its result can do more than make data. Names are compared after `canonical_name`, which knows Python 2's modules. No
installed library is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from weighbridge.formats.pickle_values import Global, Sort
from weighbridge.inspectors.pickles import profiles as pickle_profiles
from weighbridge.inspectors.pickles.checks import (
    NO_ARGUMENTS,
    Allowed,
    Check,
    Danger,
    a_list,
    a_tuple,
    args,
    data_bytes,
    either,
    global_in,
    integer,
    made_by,
    mapping_state,
    nothing,
    number,
    one_of,
    plain,
    text,
    under,
)
from weighbridge.inspectors.pickles.names import canonical_name

__all__ = ["ALLOWED", "STORAGES", "Allowed", "Danger", "allowed", "canonical_name"]

_PLAIN_TYPES: Final = under("builtins", "list dict set tuple int float str bool bytes object")
_FACTORIES: Final = ("collections.OrderedDict", "collections.Counter", *_PLAIN_TYPES)

_DTYPE: Final = made_by("numpy.dtype")
_BIT_GENERATORS: Final = tuple(
    f"numpy.random.{module}.{name}"
    for module, name in (
        ("_mt19937", "MT19937"),
        ("_pcg64", "PCG64"),
        ("_pcg64", "PCG64DXSM"),
        ("_philox", "Philox"),
        ("_sfc64", "SFC64"),
    )
)
_TENSOR_TYPES: Final = ("torch.Tensor", "torch._tensor.Tensor", "torch.nn.parameter.Parameter", "torch.nn.Parameter")
_TORCH_DTYPES: Final = under(
    "torch",
    "float16 float32 float64 half float double bfloat16 uint8 uint16 uint32 uint64 int8 int16 int32 int64 short int"
    " long bool complex32 complex64 complex128 cfloat cdouble quint8 qint8 qint32 quint4x2 quint2x4 float8_e4m3fn"
    " float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu",
)
STORAGES: Final[Mapping[str, int]] = {
    f"torch.{name}Storage": size
    for name, size in (
        ("Double", 8), ("Float", 4), ("Half", 2), ("Long", 8), ("Int", 4), ("Short", 2), ("Char", 1), ("Byte", 1),
        ("Bool", 1), ("BFloat16", 2), ("ComplexDouble", 16), ("ComplexFloat", 8), ("QUInt8", 1), ("QInt8", 1),
        ("QInt32", 4), ("QUInt4x2", 1), ("QUInt2x4", 1),
    )
} | {"torch.storage.UntypedStorage": 1, "torch.UntypedStorage": 1}  # fmt: skip
"""Torch's storage classes, and the bytes of one of their elements."""

_STORAGE: Final[Check] = lambda value: value is Sort.PERSISTENT  # noqa: E731
_HOOKS: Final = either(made_by("collections.OrderedDict"), nothing)
_SHAPE: Final = either(a_tuple, made_by("torch.Size"))
_TENSOR_MAKERS: Final = (
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._utils._rebuild_sparse_tensor",
    "torch._utils._rebuild_qtensor",
    "torch._utils._rebuild_device_tensor_from_numpy",
    "torch._utils._rebuild_meta_tensor_no_storage",
    "torch._tensor._rebuild_from_type_v2",
)
_TENSOR: Final = made_by(*_TENSOR_MAKERS)
_BOOL: Final[Check] = lambda value: isinstance(value, int) or value is Sort.INT  # noqa: E731
_TORCH: Final[dict[str, Allowed]] = {
    **dict.fromkeys((*_TENSOR_TYPES, *_TORCH_DTYPES, *STORAGES), Allowed()),
    **dict.fromkeys(("torch.per_tensor_affine", "torch.per_channel_affine", "torch.storage.TypedStorage"), Allowed()),
    "torch.Size": Allowed(args(a_list, optional=1)),
    "torch.device": Allowed(args(text, integer, optional=1)),
    "torch.serialization._get_layout": Allowed(args(text)),
    "torch._utils._rebuild_tensor": Allowed(args(_STORAGE, integer, _SHAPE, _SHAPE)),
    "torch._utils._rebuild_tensor_v2": Allowed(
        args(_STORAGE, integer, _SHAPE, _SHAPE, _BOOL, _HOOKS, mapping_state, optional=1), mapping_state
    ),
    "torch._utils._rebuild_parameter": Allowed(args(_TENSOR, _BOOL, _HOOKS), mapping_state),
    "torch._utils._rebuild_parameter_with_state": Allowed(args(_TENSOR, _BOOL, _HOOKS, mapping_state)),
    "torch._tensor._rebuild_from_type_v2": Allowed(
        args(
            global_in(("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter")),
            global_in(_TENSOR_TYPES),
            a_tuple,
            mapping_state,
        )
    ),
}  # fmt: skip

_FROM_BUFFER: Final = Allowed(args(data_bytes, _DTYPE, a_tuple, text))
_RANDOM_STATE: Final = either(mapping_state, a_tuple)
_RANDOM: Final = Allowed(
    # numpy 1.24 to 1.26 name the maker beside the name of what it makes.
    args(
        either(text, made_by("numpy.random._pickle.__bit_generator_ctor")),
        global_in(("numpy.random._pickle.__bit_generator_ctor",)),
        optional=2,
    ),
    _RANDOM_STATE,
)
_NUMPY: Final[dict[str, Allowed]] = {
    **dict.fromkeys(_BIT_GENERATORS, Allowed()),
    **{f"numpy.{core}.multiarray.scalar": Allowed(args(_DTYPE, plain)) for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _FROM_BUFFER for core in ("core", "_core")},
    "numpy.random._pickle.__randomstate_ctor": _RANDOM,
    "numpy.random._pickle.__generator_ctor": _RANDOM,
    "numpy.random._pickle.__bit_generator_ctor": Allowed(
        args(either(text, global_in(_BIT_GENERATORS)), optional=1), _RANDOM_STATE
    ),
}  # fmt: skip

_INTS: Final = args(integer, integer, integer, optional=2)
_ENCODED: Final = args(text, one_of("latin1", "latin-1"))
_STANDARD: Final[dict[str, Allowed]] = {
    **dict.fromkeys(_PLAIN_TYPES, Allowed()),
    "builtins.bytes": Allowed(NO_ARGUMENTS),
    "builtins.set": Allowed(args(a_list, optional=1), None, fillable=True),
    "builtins.frozenset": Allowed(args(a_list, optional=1)),
    "builtins.bytearray": Allowed(
        either(args(data_bytes, optional=1), args(text, one_of("latin1", "latin-1")))
    ),
    "builtins.complex": Allowed(args(number, number, optional=2)),
    "builtins.range": Allowed(_INTS),
    "builtins.slice": Allowed(args(*([either(integer, nothing)] * 3), optional=2)),
    "collections.OrderedDict": Allowed(args(a_list, optional=1), mapping_state, fillable=True),
    "collections.Counter": Allowed(args(either(a_list, lambda value: value is Sort.DICT), optional=1), fillable=True),
    "collections.defaultdict": Allowed(
        args(either(nothing, global_in(_FACTORIES)), optional=1), fillable=True
    ),
    "collections.deque": Allowed(args(a_list, either(integer, nothing), optional=2), fillable=True),
    "_codecs.encode": Allowed(_ENCODED),
    "datetime.datetime": Allowed(args(data_bytes, made_by("datetime.timezone"), optional=1)),
    "datetime.date": Allowed(args(data_bytes)),
    "datetime.time": Allowed(args(data_bytes, made_by("datetime.timezone"), optional=1)),
    "datetime.timedelta": Allowed(_INTS),
    "datetime.timezone": Allowed(args(made_by("datetime.timedelta"), text, optional=1)),
    "decimal.Decimal": Allowed(args(text)),
    "fractions.Fraction": Allowed(args(either(text, integer), integer, optional=1)),
    **dict.fromkeys(
        ("pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath", "pathlib.PureWindowsPath"),
        Allowed(args(rest=text)),
    ),
}  # fmt: skip
ALLOWED: Final[Mapping[str, Allowed]] = {**_STANDARD, **_NUMPY, **_TORCH, **pickle_profiles.REVIEWED}


@lru_cache(maxsize=4096)
def allowed(value: Global, protocol: int = 0) -> Allowed | None:
    """What may be done with a global in a stream of that protocol; None when nothing."""
    full = canonical_name(value, protocol)
    return ALLOWED.get(full) or pickle_profiles.profiled(full)
