"""Finds calls of what is dangerous that are reached through another thing than its own name: `sys.modules`, built-ins, modules.

`import os; os.system(...)` is judged by what it does. Code that walks `sys.modules` for a module that has `system`, takes
`eval` out of `__builtins__` by its text, or `os` out of another module, does the same and hides it: that is
`obscure-access`, wherever it stands. Looking up one's own module, or asking whether a module is loaded, is ordinary.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from weighbridge.formats.python_code import walk
from weighbridge.inspectors.code.python_names import Names
from weighbridge.inspectors.code.python_powers import power_of

Note = Callable[[str, str, int], None]

MAX_LOOKED_AT: Final = 200
"""Nodes of one expression that are looked at."""
MAX_BINDINGS: Final = 5_000
_ROUNDS: Final = 3
"""How many variables in a row a module is followed through."""

_ALARMING: Final = re.compile(
    r"system|popen[234]?|Popen|check_output|check_call|getoutput|getstatusoutput|exec[lv]p?e?|spawn[lv]p?e?|posix_spawnp?|fork|forkpty"
    r"|fork_exec|__import__|import_module|CDLL|PyDLL"
)
"""Functions that hardly anything but the standard library has under these names."""
_AMBIGUOUS: Final = frozenset(("run", "call", "spawn", "startfile"))
_EVALUATING: Final = frozenset(("eval", "exec"))
"""As `_AMBIGUOUS`: every network has `eval`."""
_MEANT: Final = re.compile(r"(?:os|posix|nt|pty|_?posixsubprocess|subproc\w{0,4}|importlib|ctypes)\Z")
_LOOKING_UP: Final = frozenset(("get", "pop", "setdefault", "__getitem__", "items", "values", "keys", "copy"))
_RUNNING: Final = frozenset(("builtins.eval", "builtins.exec", "builtins.compile", "builtins.__import__"))
_IMPORTING: Final = frozenset(("builtins.__import__", "importlib.import_module", "importlib.__import__"))
_INNER: Final = frozenset(("os", "_os", "subprocess", "_subprocess", "posix", "pty", "builtins"))
_BUILTINS: Final = frozenset(("builtins", "builtins.__dict__", "__builtins__"))


class Reached:
    """Looks at one module's `nodes` once."""

    def __init__(self, nodes: Sequence[ast.AST], names: Names, note: Note) -> None:
        self._nodes = nodes
        self._names = names
        self._note = note
        self._carriers: set[str] = set()

    def look(self) -> None:
        """Says each call that is reached so."""
        if any(self._is_registry(node) for node in self._nodes):
            self._follow()
        texts = {node.value for node in self._nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        meant = _AMBIGUOUS if any(_MEANT.match(text) for text in texts) else frozenset[str]()
        meant |= _EVALUATING if texts & {"builtins", "__builtin__", "__builtins__"} else frozenset()
        for node in self._nodes:
            if isinstance(node, ast.Call):
                why = self._why(node, meant)
                if why:
                    self._note("obscure-access", why, node.lineno)

    def _is_registry(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript) and (
            self._names.name(node) == "sys.modules"
        )

    # --- what comes from sys.modules ------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Notes the variables that hold modules which were looked up."""
        bindings = list(islice(self._bindings(), MAX_BINDINGS))
        for _ in range(_ROUNDS):
            before = len(self._carriers)
            for target, value in bindings:
                if self._carries(value):
                    self._carriers |= {
                        part.id for part in islice(walk(target), MAX_LOOKED_AT) if isinstance(part, ast.Name)
                    }
            if len(self._carriers) == before:
                return

    def _bindings(self) -> Iterator[tuple[ast.expr, ast.expr]]:
        for node in self._nodes:
            if isinstance(node, ast.Assign):
                yield from ((target, node.value) for target in node.targets)
            elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
                yield node.target, node.iter
            elif isinstance(node, ast.NamedExpr) or (isinstance(node, ast.AnnAssign) and node.value is not None):
                value = node.value
                if value is not None:
                    yield node.target, value

    def _carries(self, value: ast.expr) -> bool:
        """Whether an expression gives modules that were looked up, other than the one it stands in."""
        if isinstance(value, ast.Call) and not self._looks_up(value.func):
            # What a function of the module makes is no module.
            return any(self._carries(one) for one in value.args[:4])
        for node in islice(walk(value), MAX_LOOKED_AT):
            if isinstance(node, ast.Compare):
                return False
            if isinstance(node, ast.Subscript) and self._is_own(node.slice):
                return False
            if self._is_registry(node) or (isinstance(node, ast.Name) and node.id in self._carriers):
                return True
        return False

    def _looks_up(self, function: ast.expr) -> bool:
        named = isinstance(function, ast.Attribute) and function.attr in _LOOKING_UP
        return named or self._names.name(function) == "builtins.getattr"

    def _is_own(self, key: ast.expr) -> bool:
        """`__name__` and `x.__module__`: the module that the code, or a class, stands in."""
        return (isinstance(key, ast.Name) and key.id == "__name__") or (
            isinstance(key, ast.Attribute) and key.attr == "__module__"
        )

    # --- calls ----------------------------------------------------------------------------------------------------

    def _why(self, node: ast.Call, meant: frozenset[str]) -> str:
        """What there is to say of a call; "" when nothing is. `meant` are names that are alarming here."""
        function = node.func
        if len(node.args) >= 2 and self._names.name(function) == "builtins.getattr":
            fetched = self._names.text(node.args[1]) or ""
            if _ALARMING.fullmatch(fetched) and self._carries(node.args[0]):
                return f"the function {fetched} of a module that sys.modules has is fetched"
        base, attribute = self._parts(function)
        if base is None:
            return ""
        name = self._names.name(function)
        if self._names.name(base) in _BUILTINS and not isinstance(function, ast.Attribute):
            if name in _RUNNING:
                return f"{name} is called by its text"
            if attribute is None and isinstance(base, ast.Name) and base.id == "__builtins__":
                return "a built-in function is called by a name that is put together"
        return self._by_way(function, base, attribute, meant)

    def _by_way(self, function: ast.expr, base: ast.expr, attribute: str | None, meant: frozenset[str]) -> str:
        name = self._names.name(function)
        through = self._carries(base)
        if through and (power_of(name) == "process" or name in _RUNNING):
            return f"{name} is called by way of sys.modules"
        alarming = attribute is not None and _ALARMING.fullmatch(attribute) is not None
        if through and (alarming or attribute in meant):
            return f"the function {attribute} of a module that sys.modules has is called"
        if alarming and self._is_imported_by_text(base):
            return f"the function {attribute} of a module that is chosen at run time is called"
        inner = isinstance(base, ast.Attribute) and base.attr in _INNER
        if inner and isinstance(function, ast.Attribute) and (power_of(name) == "process" or name in _RUNNING):
            return f"{name} is called by way of another module"
        return ""

    def _parts(self, function: ast.expr) -> tuple[ast.expr | None, str | None]:
        """What a function is fetched from and by which name: an attribute, `getattr` or a key."""
        if isinstance(function, ast.Attribute):
            return function.value, function.attr
        if isinstance(function, ast.Subscript):
            return function.value, self._names.text(function.slice)
        if isinstance(function, ast.Call) and len(function.args) >= 2:
            if self._names.name(function.func) == "builtins.getattr":
                return function.args[0], self._names.text(function.args[1])
        elif isinstance(function, ast.Name) and function.id in self._carriers:
            # What was fetched before, by `getattr` or as an attribute.
            return function, self._names.name(function).rpartition(".")[2] or None
        return None, None

    def _is_imported_by_text(self, base: ast.expr) -> bool:
        return (
            isinstance(base, ast.Call)
            and self._names.name(base.func) in _IMPORTING
            and bool(base.args)
            and self._names.text(base.args[0]) is None
        )
