"""The standard library beyond containers: exceptions, bound methods, types of None, time zones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.core.later import later
from weighbridge.formats.pickle_values import Global, Instance, Items, Value
from weighbridge.inspectors.pickles.checks import (
    ANY_DATA,
    NAME_ONLY,
    NO_ARGUMENTS,
    OBJECT,
    Allowed,
    Danger,
    a_dict,
    a_list,
    a_tuple,
    args,
    either,
    integer,
    made_by,
    mapping_state,
    nothing,
    text,
    under,
)
from weighbridge.inspectors.pickles.names import canonical_name

_EXCEPTIONS: Final = under(
    "builtins",
    "Exception ValueError TypeError KeyError IndexError RuntimeError ArithmeticError AssertionError AttributeError"
    " FloatingPointError ZeroDivisionError OverflowError LookupError NotImplementedError StopIteration UserWarning"
    " Warning DeprecationWarning FutureWarning RuntimeWarning",
)
_BOUND: Final = frozenset(("_lazy_load_hook", "_infer_parameters", "_call_linear", "_call_nearest", "_call_spline"))
"""Methods that honest states hold bound to their object."""


_REACHING: Final = later(
    r"system|popen|Popen|spawn|run|call|eval|exec|compile|open|loads?|read_pickle|import_module|find_class|globals|builtins"
    r"|modules"
)
"""Names that no honest state binds, and that lead from harmless objects to others."""
_FRAMES: Final = ("__", "f_", "gi_", "cr_", "ag_", "tb_", "co_", "func_", "im_")
_CHAINED: Final = ("builtins.getattr", "builtins.type", "functools.partial")


def _attribute(value: Value) -> bool:
    """`getattr` of a class, which makes another name that is judged in its turn, or of an object's ordinary method."""
    if not isinstance(value, Items) or len(value.items) != 2:
        return False
    owner, name = value.items
    if not isinstance(name, str):
        return False
    if isinstance(owner, Global):
        return True
    return isinstance(owner, Instance) and (
        name in _BOUND or (canonical_name(owner.of) not in _CHAINED and _ordinary(name))
    )


def _ordinary(name: str) -> bool:
    return name.isidentifier() and not name.startswith(_FRAMES) and _REACHING.fullmatch(name) is None


def _method(value: Value) -> bool:
    """A method of an object that is not known to hold it."""
    return isinstance(value, Items) and isinstance(value.items[0], Instance) and value.items[1] not in _BOUND


def _always(_value: Value) -> bool:
    return True


def _callable(value: Value) -> bool:
    return isinstance(value, Global) or (isinstance(value, Instance) and canonical_name(value.of) in _CHAINED)


def _partial_state(value: Value) -> bool:
    """The function, arguments, keyword arguments and attributes of a partial, as its own `__reduce__` writes them."""
    if not isinstance(value, Items) or not value.whole or len(value.items) != 4:
        return False
    function, given, named, kept = value.items
    return _callable(function) and a_tuple(given) and mapping_state(named) and mapping_state(kept)


def _of_types(value: Value) -> bool:
    """`typing.Union[...]` and the like of named types; texts would be evaluated by who asks for them."""
    if not isinstance(value, Items) or not value.whole or len(value.items) != 2:
        return False
    generic, types = value.items
    return isinstance(generic, Global) and generic.module == "typing" and _types(types)


def _types(value: Value) -> bool:
    if isinstance(value, Items):
        return value.whole and all(map(_types, value.items))
    return value is None or isinstance(value, Global) or made_by("_operator.getitem", "builtins.type")(value)


def _of_builtin(value: Value) -> bool:
    """A class, its builtin base, and the base's content, as protocols 0 and 1 write objects."""
    if not isinstance(value, Items) or len(value.items) != 3:
        return False
    base, content = value.items[1:]
    if not isinstance(base, Global):
        return False
    match canonical_name(base):
        case "builtins.object":
            return nothing(content)
        case "builtins.dict":
            return a_dict(content)
        case "builtins.list" | "builtins.tuple":
            return a_list(content)
    return False


REVIEWED: Final[Mapping[str, Allowed]] = {
    **dict.fromkeys(_EXCEPTIONS, Allowed(ANY_DATA, mapping_state)),
    # Whose class it makes is judged apart: see `Judge`.
    "copyreg._reconstructor": Allowed(_of_builtin, mapping_state),
    "copyreg.__newobj__": Allowed(lambda value: isinstance(value, Items) and len(value.items) == 1),
    "builtins.getattr": Allowed(_attribute, unless_called=Danger.INTROSPECTION, undecided=_method),
    # What they make is kept, and called by whoever uses the model: never clean, and no weapon by itself.
    "functools.partial": Allowed(args(_callable), _partial_state, unless_called=Danger.EXECUTION, undecided=_always),
    "_operator.getitem": Allowed(_of_types, unless_called=Danger.INTROSPECTION, undecided=_always),
    # Reads pickles of its own from the folder that it names, when something is called through it.
    "joblib.memory.Memory": Allowed(
        state=mapping_state, new=NO_ARGUMENTS, unless_called=Danger.EXECUTION, undecided=_always
    ),
    "inspect._empty": NAME_ONLY,
    "inspect._ParameterKind": Allowed(args(integer)),
    "inspect.Parameter": Allowed(args(text, made_by("inspect._ParameterKind")), mapping_state),
    "inspect.Signature": Allowed(args(a_tuple), mapping_state),
    "builtins.type": Allowed(args(nothing), unless_called=Danger.INTROSPECTION),
    "builtins.Ellipsis": NAME_ONLY,
    # Word vectors keep it as an attribute.
    "builtins.hash": NAME_ONLY,
    "builtins.NotImplemented": NAME_ONLY,
    **dict.fromkeys(("argparse.Namespace", "types.SimpleNamespace"), Allowed(NO_ARGUMENTS, mapping_state)),
    "uuid.UUID": OBJECT,
    "uuid.SafeUUID": Allowed(args(either(integer, nothing))),
    "ipaddress.IPv4Address": Allowed(args(integer)),
    "random.Random": Allowed(NO_ARGUMENTS, a_tuple),
    "pytz._UTC": Allowed(NO_ARGUMENTS),
    "pytz._p": Allowed(ANY_DATA),
    "zoneinfo.ZoneInfo": NAME_ONLY,
    "zoneinfo.ZoneInfo._unpickle": Allowed(args(text, integer)),
    "dateutil.tz.tz.tzutc": Allowed(NO_ARGUMENTS, mapping_state),
    **dict.fromkeys(("pathlib._local.PosixPath", "pathlib._local.WindowsPath", "pathlib._local.PurePosixPath",
                     "pathlib._local.PureWindowsPath"), Allowed(args(rest=text))),
}  # fmt: skip
