"""Follows what is decoded, fetched or told of the machine through the names of one Python module.

Scopes are not told apart: a name carries whatever it is given anywhere. Every node is marked at most once with each mark,
so the time is linear in the size of the source, however deep functions and calls stand within each other.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

DECODED: Final = 1
FETCHED: Final = 2
TOLD: Final = 4
_MARKS: Final = (DECODED, FETCHED, TOLD)


class Flows:
    """The marks of every expression; `source` says which an expression has by itself."""

    def __init__(
        self,
        tree: ast.AST,
        source: Callable[[ast.AST], int],
        functions: Mapping[str, ast.FunctionDef | ast.AsyncFunctionDef],
    ) -> None:
        self._nodes: list[ast.AST] = []
        self._parents: list[int] = []
        self._places: dict[int, int] = {}
        self._enter(tree)
        self._marks = bytearray(len(self._nodes))
        self._said: dict[str, list[int]] = defaultdict(list)
        """Where each name is used, and each attribute of `self`."""
        self._given: dict[int, list[str]] = defaultdict(list)
        """The names that take what the node at a place holds."""
        self._carried: dict[str, int] = defaultdict(int)
        for place, node in enumerate(self._nodes):
            if isinstance(node, ast.Name):
                self._said[node.id].append(place)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
                self._said[node.attr].append(place)
            self._follow(node, functions)
        self._returned()
        for place, node in enumerate(self._nodes):
            self._mark(place, source(node))

    def of(self, expressions: Iterable[ast.AST]) -> int:
        """The marks of some expressions of the tree together."""
        marks = 0
        for one in expressions:
            marks |= self._marks[self._places[id(one)]]
        return marks

    def parent(self, node: ast.AST) -> ast.AST | None:
        """What a node stands in."""
        place = self._parents[self._places[id(node)]]
        return self._nodes[place] if place >= 0 else None

    def _enter(self, tree: ast.AST) -> None:
        waiting = [(tree, -1)]
        while waiting:
            node, parent = waiting.pop()
            place = len(self._nodes)
            self._nodes.append(node)
            self._parents.append(parent)
            self._places[id(node)] = place
            waiting.extend((child, place) for child in ast.iter_child_nodes(node))

    def _follow(self, node: ast.AST, functions: Mapping[str, ast.FunctionDef | ast.AsyncFunctionDef]) -> None:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.NamedExpr) and node.value is not None:
            self._give(node.targets if isinstance(node, ast.Assign) else [node.target], node.value)
        elif isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                if item.optional_vars is not None:
                    self._give([item.optional_vars], item.context_expr)
        elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            self._give([node.target], node.iter)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self._defaults(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
            self._arguments(node, functions[node.func.id])

    def _defaults(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        named = [*node.args.posonlyargs, *node.args.args]
        for parameter, value in zip(reversed(named), reversed(node.args.defaults), strict=False):
            self._given[self._places[id(value)]].append(parameter.arg)
        for parameter, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=False):
            if default is not None:
                self._given[self._places[id(default)]].append(parameter.arg)

    def _arguments(self, node: ast.Call, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for parameter, value in zip([*function.args.posonlyargs, *function.args.args], node.args, strict=False):
            self._given[self._places[id(value)]].append(parameter.arg)
        for keyword in node.keywords:
            if keyword.arg is not None:
                self._given[self._places[id(keyword.value)]].append(keyword.arg)

    def _give(self, targets: Sequence[ast.expr], value: ast.expr) -> None:
        names: list[str] = []
        waiting: list[ast.AST] = list(targets)
        while waiting:
            target = waiting.pop()
            if isinstance(target, ast.Name):
                names.append(target.id)
            elif isinstance(target, ast.Attribute):
                names.append(target.attr)
                waiting.append(target.value)
            elif isinstance(target, ast.Subscript):
                waiting.append(target.value)
            else:
                waiting.extend(ast.iter_child_nodes(target))
        self._given[self._places[id(value)]].extend(names)

    def _returned(self) -> None:
        """What a function returns or yields is what its name gives."""
        within: list[str] = []
        for place, node in enumerate(self._nodes):
            parent = self._parents[place]
            within.append(within[parent] if parent >= 0 else "")
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                within[place] = node.name
            elif isinstance(node, ast.Return | ast.Yield | ast.YieldFrom) and node.value is not None and within[place]:
                self._given[self._places[id(node.value)]].append(within[place])

    def _mark(self, place: int, marks: int) -> None:
        for mark in _MARKS:
            if marks & mark:
                self._spread(place, mark)

    def _spread(self, start: int, mark: int) -> None:
        """Marks a node and all that it stands in, and the names it is given to, and so on."""
        waiting = [start]
        while waiting:
            place = waiting.pop()
            while place >= 0 and not self._marks[place] & mark:
                self._marks[place] |= mark
                for name in self._given.get(place, ()):
                    if not self._carried[name] & mark:
                        self._carried[name] |= mark
                        waiting.extend(self._said.get(name, ()))
                place = self._parents[place]
