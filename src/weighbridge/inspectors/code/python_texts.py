"""Judges the texts in Python source: places that weapons are put, commands, files of secrets, encoded literals.

A text that is a statement of its own is documentation, and says nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from weighbridge.inspectors.code.python_marks import LONG
from weighbridge.inspectors.code.python_names import Names
from weighbridge.inspectors.code.python_powers import COMMANDS, DROP_SITES, PERSISTENCE, SECRET_FILES


class Texts:
    """Looks at the texts of one module, in the order in which the tree is walked: wholes before their parts.

    `note` is told a rule, a message and a line; `use` a power that a text shows, and where.
    """

    def __init__(
        self,
        names: Names,
        nodes: Sequence[ast.AST],
        note: Callable[[str, str, int], None],
        use: Callable[[str, ast.AST], None],
    ) -> None:
        self._names = names
        self._nodes = nodes
        self._note = note
        self._use = use
        self._documented: set[int] | None = None
        self._within: set[int] = set()
        self._unremarkable: set[str] = set()

    def look(self, node: ast.expr) -> None:
        """Tells what is remarkable in a text, also in one that is put together of others."""
        text = self._names.text(node)
        if text is None or len(text) < 4:
            return
        if isinstance(node, ast.BinOp | ast.JoinedStr):
            if len(text) > 4_096:
                return
            # What the parts say is said by the whole; wholes come before their parts.
            self._within.update(id(part) for part in ast.iter_child_nodes(node) if isinstance(part, ast.BinOp))
        if id(node) in self._within or text in self._unremarkable:
            return
        if not self._remarkable(node, text):
            self._unremarkable.add(text)

    def _remarkable(self, node: ast.expr, text: str) -> bool:
        """Says what a text breaks; whether there was anything to be looked at."""
        remarkable = False
        for rule, pattern in (("drop-site", DROP_SITES), ("dangerous-command", COMMANDS), ("persistence", PERSISTENCE)):
            found = pattern.search(text) if len(text) < 20_000 or rule != "persistence" else None
            remarkable |= found is not None
            if found and not self._is_prose(node):
                self._note(rule, f"the text {found.group()[:80]!a}", node.lineno)
        found = SECRET_FILES.search(text) if len(text) < 2_000 else None
        remarkable |= found is not None
        if found and not self._is_prose(node):
            self._note("secret-files", f"the path {found.group()[:80]!a}", node.lineno)
            self._use("secret-file", node)
        if isinstance(node, ast.Constant) and LONG.search(text):
            remarkable = True
            if not self._is_prose(node):
                self._note("encoded-literal", f"a literal of {len(text)} characters", node.lineno)
        return remarkable

    def _is_prose(self, node: ast.expr) -> bool:
        """Whether a text is documentation: a statement of its own."""
        return id(node) in self._documentation()

    def _documentation(self) -> set[int]:
        if self._documented is None:
            self._documented = {id(node.value) for node in self._nodes if isinstance(node, ast.Expr)}
        return self._documented
