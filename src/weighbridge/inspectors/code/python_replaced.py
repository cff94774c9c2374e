"""Judges what Python source puts in the place of something else: functions of Python and of other modules, code, variables."""

from __future__ import annotations

import ast
from collections.abc import Callable

from weighbridge.inspectors.code.python_marks import PATCHED_PYTHON, PRELOADED, RISKY_MODULES
from weighbridge.inspectors.code.python_names import Names


class Replaced:
    """Looks at the assignments of one module; `early` says whether a node runs at import. `note` is as `python_judge.Note`."""

    def __init__(
        self, names: Names, note: Callable[[str, str, int], None], *, early: Callable[[ast.AST], bool]
    ) -> None:
        self._names = names
        self._note = note
        self._early = early

    def look(self, node: ast.Assign | ast.Delete | ast.AugAssign) -> None:
        """Tells what an assignment or deletion replaces outside of its own module."""
        targets = [node.target] if isinstance(node, ast.AugAssign) else node.targets
        for target in targets:
            if isinstance(target, ast.Attribute):
                self.told(_bare(target, self._names), node)
                if target.attr == "__code__":
                    self._note("obscure-access", "the code of a function is replaced", node.lineno)
            elif isinstance(target, ast.Subscript):
                base = self._names.name(target.value)
                if base == "sys.modules" and not (isinstance(target.slice, ast.Name) and target.slice.id == "__name__"):
                    self._note("patches-modules", "a module is put into sys.modules", node.lineno)
                elif (
                    base == "os.environ"
                    and self._names.text(target.slice) in PRELOADED
                    and isinstance(node, ast.Assign)
                ):
                    self._note("persistence", "a variable that makes programs load code is set", node.lineno)
                elif base in ("builtins.__dict__", "builtins"):
                    self._note("patches-python", "a built-in function is replaced", node.lineno)

    def told(self, name: str, node: ast.stmt | ast.expr) -> None:
        """Tells that something of that name is replaced, where that matters."""
        if not name or name == "builtins._" or "()" in name or ("." not in name and name not in RISKY_MODULES):
            return
        if name.startswith("builtins.") and name.count(".") > 1:
            # Built-in functions have no attributes that could be set: a variable has the name of one.
            return
        if name.startswith(PATCHED_PYTHON) or name == "builtins" or "trust_remote_code" in name:
            self._note("patches-python", f"{name} is replaced", node.lineno)
        elif self._early(node) and not name.startswith("self"):
            self._note("patches-modules", f"{name[:80]} is replaced", node.lineno)


def _bare(target: ast.Attribute, names: Names) -> str:
    base = names.name(target.value)
    return f"{base}.{target.attr}" if base else ""
