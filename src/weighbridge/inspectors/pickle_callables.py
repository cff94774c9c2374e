"""Which callables a pickle may use, in which role and with what arguments, and which are known weapons.

What is not allowed here does not pass; the list of weapons only decides what a refusal is called. An entry is allowed
only when neither the call nor a state given to its result can do more than make data. Names are compared after
`canonical_name`, which knows Python 2's modules. No installed library is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from weighbridge.core.finding import Severity
from weighbridge.formats.pickle import Blob, LongText
from weighbridge.formats.pickle_values import Global, Instance, Items, Sort, Value

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
    """What may be done with a global. None: it may not be called, or its results take no state.

    `fillable` says whether items may be put into its results. A mere name (a type given as an argument) has neither.
    """

    call: Check | None = None
    state: Check | None = None
    fillable: bool = False


# --- arguments -----------------------------------------------------------------------------------


def _text(value: Value) -> bool:
    return isinstance(value, str | LongText) or value is Sort.TEXT


def _int(value: Value) -> bool:
    return isinstance(value, int) or value is Sort.INT


def _number(value: Value) -> bool:
    return _int(value) or isinstance(value, float) or value is Sort.FLOAT


def _bytes(value: Value) -> bool:
    if isinstance(value, Instance):
        return value.of.full_name in ("_codecs.encode", "builtins.bytes", "__builtin__.bytes", "builtins.bytearray")
    return isinstance(value, Blob | str | LongText) or value in (Sort.BYTES, Sort.BYTEARRAY, Sort.BUFFER, Sort.TEXT)


def _data(value: Value) -> bool:
    """Anything but a callable, or what nobody can say."""
    return not isinstance(value, Global) and value is not Sort.UNKNOWN


def _tuple(value: Value) -> bool:
    return isinstance(value, Items) or value is Sort.TUPLE


def _list(value: Value) -> bool:
    return value is Sort.LIST or _tuple(value)


def _mapping_state(value: Value) -> bool:
    """A state that only fills the object's own dictionary."""
    return value is Sort.DICT or value is None


def _one_of(*texts: str) -> Check:
    return lambda value: isinstance(value, str) and value in texts


def _global_in(names: Iterable[str]) -> Check:
    known = frozenset(names)
    return lambda value: isinstance(value, Global) and canonical_name(value) in known


def _made_by(*names: str) -> Check:
    return lambda value: isinstance(value, Instance) and canonical_name(value.of) in names


def _or(*checks: Check) -> Check:
    return lambda value: any(check(value) for check in checks)


def _under(module: str, names: str) -> tuple[str, ...]:
    return tuple(f"{module}.{name}" for name in names.split())


def _nothing(value: Value) -> bool:
    return value is None


def _args(*checks: Check, optional: int = 0, rest: Check | None = None) -> Check:
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


_NONE_AT_ALL: Final = _args()
_ANY_DATA: Final = _args(rest=_data)
_PLAIN_TYPES: Final = _under("builtins", "list dict set tuple int float str bool bytes object")
_FACTORIES: Final = ("collections.OrderedDict", "collections.Counter", *_PLAIN_TYPES)

_DTYPE: Final = _made_by("numpy.dtype")
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
_TORCH_DTYPES: Final = _under(
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
_HOOKS: Final = _or(_made_by("collections.OrderedDict"), _nothing)
_SHAPE: Final = _or(_tuple, _made_by("torch.Size"))
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
_TENSOR: Final = _made_by(*_TENSOR_MAKERS)
_BOOL: Final[Check] = lambda value: isinstance(value, int) or value is Sort.INT  # noqa: E731
_TORCH: Final[dict[str, Allowed]] = {
    **dict.fromkeys((*_TENSOR_TYPES, *_TORCH_DTYPES, *STORAGES, "torch.strided", "torch.sparse_coo"), Allowed()),
    **dict.fromkeys(("torch.per_tensor_affine", "torch.per_channel_affine", "torch.storage.TypedStorage"), Allowed()),
    "torch.Size": Allowed(_args(_list, optional=1)),
    "torch.device": Allowed(_args(_text, _int, optional=1)),
    "torch.serialization._get_layout": Allowed(_args(_text)),
    "torch._utils._rebuild_tensor": Allowed(_args(_STORAGE, _int, _SHAPE, _SHAPE)),
    "torch._utils._rebuild_tensor_v2": Allowed(
        _args(_STORAGE, _int, _SHAPE, _SHAPE, _BOOL, _HOOKS, _mapping_state, optional=1), _mapping_state
    ),
    "torch._utils._rebuild_parameter": Allowed(_args(_TENSOR, _BOOL, _HOOKS), _mapping_state),
    "torch._utils._rebuild_parameter_with_state": Allowed(_args(_TENSOR, _BOOL, _HOOKS, _mapping_state)),
    "torch._utils._rebuild_sparse_tensor": Allowed(
        _args(_or(_global_in(("torch.sparse_coo",)), _made_by("torch.serialization._get_layout")), _tuple)
    ),
    "torch._utils._rebuild_qtensor": Allowed(_args(_STORAGE, _int, _SHAPE, _SHAPE, _tuple, _BOOL, _HOOKS)),
    "torch._utils._rebuild_device_tensor_from_numpy": Allowed(
        _args(_data, _global_in(_TORCH_DTYPES), _text, _BOOL)
    ),
    "torch._utils._rebuild_meta_tensor_no_storage": Allowed(_args(_global_in(_TORCH_DTYPES), _SHAPE, _SHAPE, _BOOL)),
    "torch._tensor._rebuild_from_type_v2": Allowed(
        _args(
            _global_in(("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter")),
            _global_in(_TENSOR_TYPES),
            _tuple,
            _mapping_state,
        )
    ),
}  # fmt: skip

_RECONSTRUCT: Final = Allowed(
    _args(_global_in(("numpy.ndarray",)), _tuple, _bytes),
    _args(_int, _tuple, _DTYPE, _BOOL, _or(_bytes, _list)),
)
_FROM_BUFFER: Final = Allowed(_args(_bytes, _DTYPE, _tuple, _text))
_RANDOM_STATE: Final = _or(_mapping_state, _tuple)
_NUMPY: Final[dict[str, Allowed]] = {
    "numpy.ndarray": Allowed(),
    **dict.fromkeys(_BIT_GENERATORS, Allowed()),
    "numpy.dtype": Allowed(_args(_text, _BOOL, _BOOL, optional=2), _ANY_DATA),
    **{f"numpy.{core}.multiarray._reconstruct": _RECONSTRUCT for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": Allowed(_args(_DTYPE, _data)) for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _FROM_BUFFER for core in ("core", "_core")},
    "numpy.random._pickle.__randomstate_ctor": Allowed(
        _args(_or(_text, _made_by("numpy.random._pickle.__bit_generator_ctor")), optional=1), _RANDOM_STATE
    ),
    "numpy.random._pickle.__generator_ctor": Allowed(
        _args(_or(_text, _made_by("numpy.random._pickle.__bit_generator_ctor")), optional=1), _RANDOM_STATE
    ),
    "numpy.random._pickle.__bit_generator_ctor": Allowed(
        _args(_or(_text, _global_in(_BIT_GENERATORS)), optional=1), _RANDOM_STATE
    ),
    **dict.fromkeys(
        _under(
            "numpy",
            "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool bool_ complex64 complex128",
        ),
        Allowed(),
    ),
}  # fmt: skip

_INTS: Final = _args(_int, _int, _int, optional=2)
_ENCODED: Final = _args(_text, _one_of("latin1", "latin-1"))
_STANDARD: Final[dict[str, Allowed]] = {
    **dict.fromkeys(_PLAIN_TYPES, Allowed()),
    "builtins.bytes": Allowed(_NONE_AT_ALL),
    "builtins.set": Allowed(_args(_list, optional=1), None, fillable=True),
    "builtins.frozenset": Allowed(_args(_list, optional=1)),
    "builtins.bytearray": Allowed(
        _or(_args(_bytes, optional=1), _args(_text, _one_of("latin1", "latin-1")))
    ),
    "builtins.complex": Allowed(_args(_number, _number, optional=2)),
    "builtins.range": Allowed(_INTS),
    "builtins.slice": Allowed(_args(*([_or(_int, _nothing)] * 3), optional=2)),
    "collections.OrderedDict": Allowed(_args(_list, optional=1), _mapping_state, fillable=True),
    "collections.Counter": Allowed(_args(_or(_list, lambda value: value is Sort.DICT), optional=1), fillable=True),
    "collections.defaultdict": Allowed(
        _args(_or(_nothing, _global_in(_FACTORIES)), optional=1), fillable=True
    ),
    "collections.deque": Allowed(_args(_list, _or(_int, _nothing), optional=2), fillable=True),
    "_codecs.encode": Allowed(_ENCODED),
    "datetime.datetime": Allowed(_args(_bytes, _made_by("datetime.timezone"), optional=1)),
    "datetime.date": Allowed(_args(_bytes)),
    "datetime.time": Allowed(_args(_bytes, _made_by("datetime.timezone"), optional=1)),
    "datetime.timedelta": Allowed(_INTS),
    "datetime.timezone": Allowed(_args(_made_by("datetime.timedelta"), _text, optional=1)),
    "decimal.Decimal": Allowed(_args(_text)),
    "fractions.Fraction": Allowed(_args(_or(_text, _int), _int, optional=1)),
    "uuid.UUID": Allowed(_NONE_AT_ALL, _mapping_state),
    "argparse.Namespace": Allowed(_NONE_AT_ALL, _mapping_state),
    "types.SimpleNamespace": Allowed(_NONE_AT_ALL, _mapping_state),
    **dict.fromkeys(
        ("pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath", "pathlib.PureWindowsPath"),
        Allowed(_args(rest=_text)),
    ),
    "copyreg._reconstructor": Allowed(
        _args(
            _global_in(("uuid.UUID", "argparse.Namespace")), _global_in(("builtins.object",)), _nothing
        ),
        _mapping_state,
    ),
}  # fmt: skip
ALLOWED: Final[Mapping[str, Allowed]] = {**_STANDARD, **_NUMPY, **_TORCH}

# --- names ---------------------------------------------------------------------------------------

_RENAMED: Final[Mapping[str, str]] = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "cPickle": "pickle",
    "cStringIO": "io",
    "StringIO": "io",
    "commands": "subprocess",
    "popen2": "subprocess",
    "thread": "_thread",
    "httplib": "http.client",
    "urllib2": "urllib.request",
    "SocketServer": "socketserver",
    "Cookie": "http.cookies",
    "Tkinter": "tkinter",
    "ConfigParser": "configparser",
    "repr": "reprlib",
    "whichdb": "dbm",
    "anydbm": "dbm",
    "_multiprocessing": "multiprocessing",
}
_RENAMED_NAMES: Final[Mapping[str, str]] = {
    "builtins.xrange": "builtins.range",
    "builtins.reduce": "functools.reduce",
    "builtins.intern": "sys.intern",
    "builtins.unicode": "builtins.str",
    "builtins.long": "builtins.int",
    "builtins.unichr": "builtins.chr",
    "builtins.execfile": "builtins.exec",
    "itertools.imap": "builtins.map",
    "itertools.ifilter": "builtins.filter",
}


def canonical_name(value: Global) -> str:
    """The full name under which Python 3 knows a global."""
    full = f"{_RENAMED.get(value.module, value.module)}.{value.name}"
    return _RENAMED_NAMES.get(full, full)


def allowed(value: Global) -> Allowed | None:
    """What may be done with a global; None when nothing."""
    return ALLOWED.get(canonical_name(value))
