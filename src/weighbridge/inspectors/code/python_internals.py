"""Tells ordinary uses of Python's internals from the ways that lead through them to the built-ins.

Registries enumerate subclasses, tracebacks walk frames, servers look up their own address. What climbs from an object to
all classes, or from a frame to the built-ins, names more than that somewhere in the module.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Final

from weighbridge.inspectors.code.python_marks import HOOKS
from weighbridge.inspectors.code.python_names import Names

LOOKED_AT: Final = frozenset(("__subclasses__", "f_globals", "tb_frame", "gi_frame"))
"""What ordinary code looks at when nothing leads on from there."""
_CLIMBING: Final = frozenset(
    ("__base__", "__bases__", "__globals__", "__builtins__", "f_builtins", "__getattribute__", "__loader__")
)
_CLIMBING_NAMES = """
__base__ __bases__ __globals__ __builtins__ f_builtins __loader__ builtins __import__ os sys posix system subprocess
popen Popen eval exec _wrap_close catch_warnings _module load_module BuiltinImporter
"""
_CLIMBING_TEXTS: Final = frozenset(_CLIMBING_NAMES.split())
_OFF: Final = ("sys.settrace", "sys.setprofile", "threading.settrace", "threading.setprofile")


def climbs(nodes: Sequence[ast.AST], names: Names) -> bool:
    """Whether a module goes from some object to all classes, or from a frame or function to the built-ins."""
    for node in nodes:
        if isinstance(node, ast.Attribute) and (node.attr in _CLIMBING or _is_root_of_all(node, names)):
            return True
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in _CLIMBING_TEXTS:
            return True
        if isinstance(node, ast.Subscript | ast.Call) and _changes_globals(node):
            return True
        if isinstance(node, ast.BinOp | ast.JoinedStr) and names.text(node) in _CLIMBING_TEXTS:
            return True
    return False


def _changes_globals(node: ast.Subscript | ast.Call) -> bool:
    """Whether the variables of another frame's module are set."""
    if isinstance(node, ast.Subscript):
        place: ast.expr = node.value
        if isinstance(node.ctx, ast.Load):
            return False
    elif isinstance(node.func, ast.Attribute) and node.func.attr in ("update", "setdefault", "pop", "__setitem__"):
        place = node.func.value
    else:
        return False
    return isinstance(place, ast.Attribute) and place.attr == "f_globals"


def _is_root_of_all(node: ast.Attribute, names: Names) -> bool:
    """`object.__subclasses__`, `type.__subclasses__`, and `__subclasses__` of what is no plain name."""
    if node.attr != "__subclasses__":
        return False
    base = node.value
    if isinstance(base, ast.Attribute) and base.attr == "__class__":
        return not isinstance(base.value, ast.Name)
    plain = isinstance(base, ast.Name | ast.Attribute)
    return not plain or names.name(base) in ("builtins.object", "builtins.type", "builtins.BaseException")


def is_hook(node: ast.Call, name: str) -> bool:
    """Whether Python itself is hooked; `sys.settrace(None)` takes a hook away."""
    if name not in HOOKS:
        return False
    plain = len(node.args) == 1 and isinstance(node.args[0], ast.Constant) and node.args[0].value is None
    return not (plain and name in _OFF)


def asks_for_itself(node: ast.Call, name: str, names: Names) -> bool:
    """Whether the machine looks up its own address by its own name, as every other server does."""
    own = node.args[0] if node.args else None
    return (
        name in ("socket.gethostbyname", "socket.getaddrinfo")
        and isinstance(own, ast.Call)
        and not own.args
        and names.name(own.func) in ("socket.gethostname", "socket.getfqdn", "platform.node")
    )


def is_callback(node: ast.Call, name: str, names: Names) -> bool:
    """Whether a function of the module is made into a C callback, not a buffer into a function."""
    if name != "ctypes.CFUNCTYPE()":
        return False
    own = node.args[0] if len(node.args) == 1 else None
    if isinstance(own, ast.Attribute) and isinstance(own.value, ast.Name) and own.value.id == "self":
        return own.attr in names.functions
    return isinstance(own, ast.Lambda) or (isinstance(own, ast.Name) and own.id in names.functions)
