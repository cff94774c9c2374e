"""The standard library beyond containers: exceptions, bound methods, types of None, time zones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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


def _attribute(value: Value) -> bool:
    """`getattr` of a class, which makes another name that is judged in its turn, or of an object's own hook."""
    if not isinstance(value, Items) or len(value.items) != 2 or not isinstance(value.items[1], str):
        return False
    owner, name = value.items
    return isinstance(owner, Global) or (isinstance(owner, Instance) and name in _BOUND)


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
    "builtins.getattr": Allowed(_attribute, unless_called=Danger.INTROSPECTION),
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
