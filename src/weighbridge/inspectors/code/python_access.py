"""Judges how Python source gets at functions that matter without calling them by their names.

A function that runs programs and is only mentioned (in a list, as an argument, as what `__reduce__` returns) is called by
whoever it is handed to; a module that is itself handed on is asked for its functions by text.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from weighbridge.formats.python_code import walk
from weighbridge.inspectors.code.python_flows import Flows
from weighbridge.inspectors.code.python_marks import INTERNALS, PRELOADED, REVEALING, RISKY_MODULES
from weighbridge.inspectors.code.python_names import Names
from weighbridge.inspectors.code.python_powers import power_of

Note = Callable[[str, str, int], None]

_HANDED_OPENLY: Final = frozenset(("builtins.getattr", "hasattr", "isinstance", "id", "repr", "builtins.str", "importlib.reload", "builtins.print", "builtins.setattr", "builtins.delattr"))  # fmt: skip
_HARMLESS_MODULES: Final = frozenset(("sys", "shutil", "socket", "importlib", "builtins"))
_HIDING: Final = frozenset(("__dict__", "__getattribute__", "__getattr__"))
_SEARCHED: Final = frozenset(("gc.get_objects", "gc.get_referrers", "gc.get_referents"))
_LOOKED_UP: Final = frozenset(("sys.modules.items", "sys.modules.values", "sys.modules.copy"))
_PATHS: Final = re.compile(r"sys\.path\.(?:append|insert|extend)|site\.addsitedir")
_SETTING: Final = re.compile(r"os\.environ\.(?:update|setdefault|__setitem__)|os\.putenv")
_CODE_IN_TEXT: Final = re.compile(
    r"__import__\s*\(\s*['\"](?:os|subprocess|socket|pty|posix|builtins)\b|!!python/(?:object|name|module)|"
    r"__(?:globals|subclasses|builtins)__"
)
MAX_LOOKED_AT: Final = 2_000
"""Nodes of one call that are looked at for words that stand together."""

_NATIVE: Final = re.compile(r"torch\.utils\.cpp_extension\.|cffi\.|cupy\.|cython\.|Cython\.")
_PROGRAM_OF_LIBRARY: Final = re.compile(
    r"(?:ctypes|cffi|numpy\.ctypeslib)\.[\w.()]{1,200}\.(?:_?system|_?w?popen|exec[lv]p?e?|v?fork|PyRun_\w+|WinExec|"
    r"ShellExecute\w*|CreateProcess\w*|posix_spawnp?)\Z|ctypes\.pythonapi\.PyRun"
)
_STARTING: Final = frozenset(
    ("subprocess_shell", "subprocess_exec", "create_subprocess_shell", "create_subprocess_exec", "run_process")
)
_NATIVE_PROGRAM: Final = re.compile(r"\b(?:system|popen|exec[lv]p?e?|fork|posix_spawnp?)\s*\(\s*[\w\"&]")


class Access:
    """Looks at the nodes of one module; `early` and `loading` say when they run."""

    def __init__(
        self, names: Names, flows: Flows, note: Note, *, early: Callable[[ast.AST], bool], loading: set[int]
    ) -> None:
        self._names = names
        self._flows = flows
        self._note = note
        self._is_early = early
        self._loading = loading

    def look(self, node: ast.AST) -> None:
        """What there is to say of one node."""
        if isinstance(node, ast.Name | ast.Attribute):
            self._mentioned(node)
        elif isinstance(node, ast.Call):
            self._called(node)
        elif isinstance(node, ast.Constant):
            self._code(node)
        elif isinstance(node, ast.Subscript):
            self._keyed(node)

    def _mentioned(self, node: ast.Name | ast.Attribute) -> None:
        if not isinstance(node.ctx, ast.Load):
            return
        name, parent = self._names.name(node), self._flows.parent(node)
        if isinstance(node, ast.Attribute) and node.attr in _HIDING:
            base = self._names.name(node.value)
            if base in RISKY_MODULES - {"importlib"}:
                self._note("obscure-access", f"{base}.{node.attr} is used", node.lineno)
        if isinstance(parent, ast.Attribute) or (isinstance(parent, ast.Call) and parent.func is node):
            return
        if name.endswith(".Popen"):
            # As an annotation, and in `isinstance`, it is a mere class.
            if isinstance(parent, ast.ClassDef):
                self._handed(name, node)
        elif power_of(name) == "process" and "()" not in name:
            self._handed(name, node)
        elif name in ("builtins.exec", "builtins.eval", "builtins.compile"):
            self._evaluates(name, node, parent)

    def _evaluates(self, name: str, node: ast.expr, parent: ast.AST | None) -> None:
        if isinstance(parent, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            self._note("hidden-code", f"{name} decorates", node.lineno)
        elif name != "builtins.eval" or not isinstance(parent, ast.keyword | ast.Compare):
            self._note("dynamic-code", f"{name} is handed on", node.lineno)

    def _handed(self, name: str, node: ast.expr) -> None:
        early = self._is_early(node) or id(node) in self._loading
        self._note("runs-at-import" if early else "process", f"{name} is handed on", node.lineno)

    def _called(self, node: ast.Call) -> None:
        name = self._names.name(node.func)
        bare = name or getattr(node.func, "id", "")
        if bare not in _HANDED_OPENLY:
            for one in node.args:
                module = self._names.name(one)
                if module in RISKY_MODULES - _HARMLESS_MODULES:
                    self._note("obscure-access", f"the module {module} is handed on", node.lineno)
        if name == "builtins.getattr" and len(node.args) > 1:
            self._fetched(node)
        elif name in _SEARCHED:
            self._note("obscure-access", f"{name} is called", node.lineno)
        elif name in _LOOKED_UP or _PATHS.fullmatch(name):
            self._note("dynamic-import", f"{name} is called", node.lineno)
        elif _SETTING.fullmatch(name):
            self._set(node)
        elif name == "builtins.open":
            self._opened(node)
        else:
            self._reached(node, name)

    def _reached(self, node: ast.Call, name: str) -> None:
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if _PROGRAM_OF_LIBRARY.match(name) or (method in _STARTING and not power_of(name)):
            self._handed(name or method, node)
        elif method in ("load_extension", "enable_load_extension"):
            self._note("native-code", f"the method {method} is called", node.lineno)
        elif _NATIVE.match(name):
            self._native(node)
        elif name.startswith("builtins.__dict__.") or name in ("sys.meta_path.extend", "sys.path_hooks.extend"):
            self._note("patches-python", f"{name} is called", node.lineno)

    def _fetched(self, node: ast.Call) -> None:
        owner, text = self._names.name(node.args[0]), self._names.text(node.args[1])
        computed = not isinstance(node.args[1], ast.Constant)
        if computed and owner in RISKY_MODULES - {"sys", "shutil", "importlib"}:
            self._note("obscure-access", f"an attribute of {owner} is fetched by a computed name", node.lineno)
        elif text in REVEALING or (computed and text in INTERNALS):
            self._note("obscure-access", f"the attribute {text} is fetched by its name", node.lineno)

    def _opened(self, node: ast.Call) -> None:
        """Files of Python's own folders that are opened for writing."""
        modes = [*node.args[1:2], *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
        if not any(set(self._names.text(mode) or "") & set("wax+") for mode in modes):
            return
        for part in islice(walk(node.args[0]), 50) if node.args else ():
            name = self._names.name(part) if isinstance(part, ast.Attribute | ast.Call) else ""
            if name.endswith(".__file__") or name.startswith(("site.get", "sysconfig.get_path")):
                self._note("persistence", f"a file in the place of {name} is opened for writing", node.lineno)

    def _set(self, node: ast.Call) -> None:
        said = {keyword.arg or "" for keyword in node.keywords}
        said |= {self._names.text(one) or "" for one in node.args[:1]}
        for one in node.args[:1]:
            if isinstance(one, ast.Dict):
                said |= {self._names.text(key) or "" for key in one.keys if key is not None}
        if said & PRELOADED:
            self._note("persistence", "a variable that makes programs load code is set", node.lineno)

    def _native(self, node: ast.Call) -> None:
        values: Sequence[ast.expr] = [*node.args, *(keyword.value for keyword in node.keywords)]
        for one in values:
            found = _NATIVE_PROGRAM.search(self._names.text(one) or "")
            if found:
                self._note("dangerous-command", f"the native code says {found.group()[:80]!a}", node.lineno)

    def _keyed(self, node: ast.Subscript) -> None:
        value = node.value
        if isinstance(value, ast.Attribute) and value.attr == "__globals__":
            self._note("obscure-access", "a global of a function is fetched by its name", node.lineno)
        if isinstance(node.ctx, ast.Store | ast.Del) and self._names.name(value) in ("sys.meta_path", "sys.path_hooks"):
            self._note("patches-python", "the import system is changed", node.lineno)

    def _code(self, node: ast.Constant) -> None:
        """Code as text that is handed to a call."""
        text = self._names.text(node)
        if text is None or len(text) > 20_000 or ("__" not in text and "!!" not in text):
            return
        parent = self._flows.parent(node)
        if isinstance(parent, ast.Call | ast.keyword):
            found = _CODE_IN_TEXT.search(text)
            if found:
                self._note("obscure-access", f"a text says {found.group()[:80]!a}", node.lineno)


def has_fileno(node: ast.Call) -> bool:
    """Whether a call is given the number of an open file."""
    return any(isinstance(part, ast.Attribute) and part.attr == "fileno" for part in islice(walk(node), MAX_LOOKED_AT))


def is_chr_join(node: ast.Call) -> bool:
    """`"".join(chr(c) for c in ...)` and its like."""
    if not (isinstance(node.func, ast.Attribute) and node.func.attr == "join" and node.args):
        return False
    return any(
        isinstance(part, ast.Name) and part.id in ("chr", "unichr")
        for part in islice(walk(node.args[0]), MAX_LOOKED_AT)
    )


def is_trust(key: ast.expr | None) -> bool:
    """Whether a key of a dictionary is that of trust in remote code."""
    return isinstance(key, ast.Constant) and key.value == "trust_remote_code"
