"""Says when the nodes of a Python module run: at import, when a model is loaded, or when somebody calls them.

Functions that the module itself calls at import, hands to others there, or that Python calls while it makes classes and
objects, run at import.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Final

from weighbridge.inspectors.code.python_names import Names

_LOADING: Final = frozenset(
    [
        "__init__",
        "__new__",
        "__post_init__",
        "__setstate__",
        "__reduce__",
        "__reduce_ex__",
        "__getattr__",
        "__dir__",
        "__set_name__",
        "__init_subclass__",
        "__mro_entries__",
        "from_pretrained",
        "_from_config",
        "_load_from_state_dict",
        "load_state_dict",
        "_missing_",
        "finalize_options",
        "initialize_options",
    ]
)


class Moments:
    """The bodies that are entered, of one module."""

    def __init__(self, tree: ast.Module, names: Names, nodes: Sequence[ast.AST]) -> None:
        self._tree = tree
        self._names = names
        self._all = nodes

    def early(self) -> set[int]:
        """The nodes that run at import, bodies of functions that are called at import among them."""
        early: set[int] = set()
        entered: set[str] = set()
        waiting: list[ast.AST] = list(self._tree.body)
        while waiting:
            node = waiting.pop()
            if id(node) in early:
                continue
            early.add(id(node))
            if isinstance(node, ast.If) and _asks_for_main(node.test):
                waiting.extend(node.orelse)
                continue
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                waiting.extend([*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d)])
                waiting.extend(_annotations(node))
                waiting.extend(self._body_of(node.decorator_list, entered))
                waiting.extend(self._run_at_once(node, entered))
                continue
            if isinstance(node, ast.ClassDef):
                waiting.extend(self._body_of([*node.decorator_list, *(k.value for k in node.keywords)], entered))
            if isinstance(node, ast.Attribute):
                waiting.extend(self._property(node.attr, entered))
            if isinstance(node, ast.Call):
                waiting.extend(self._entered(node, entered))
            waiting.extend(ast.iter_child_nodes(node))
        return early

    def _entered(self, node: ast.Call, entered: set[str]) -> list[ast.AST]:
        """The body of what is called, by its bare name; what is handed to threads, timers and exit hooks is called too."""
        called = [node.func] + [
            one for one in (*node.args, *(k.value for k in node.keywords)) if isinstance(one, ast.Name)
        ]
        if isinstance(node.func, ast.Attribute):
            # `f.remote()`, `f.delay()`: what wraps a function calls it.
            called.append(node.func.value)
        return self._body_of(called, entered)

    def _body_of(self, called: Sequence[ast.expr], entered: set[str]) -> list[ast.AST]:
        """The bodies of functions, and of the special methods of classes, that are called by those names."""
        found: list[ast.AST] = []
        for one in called:
            name = one.id if isinstance(one, ast.Name) else one.attr if isinstance(one, ast.Attribute) else ""
            function, made = self._names.functions.get(name), self._names.classes.get(name)
            if name in entered:
                continue
            entered.add(name)
            if function is not None:
                found.extend(function.body)
            if made is not None:
                for method in made.body:
                    if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and method.name.startswith("_"):
                        found.extend(method.body)
        return found

    def _property(self, name: str, entered: set[str]) -> list[ast.AST]:
        function = self._names.functions.get(name)
        return self._body_of([ast.Name(name)], entered) if function is not None and function.decorator_list else []

    def loading(self) -> set[int]:
        """What runs when a model is loaded, or an object of the module is made."""
        found: set[int] = set()
        waiting: list[ast.AST] = [function for function in self._all if _is_of_loading(function)]
        while waiting:
            node = waiting.pop()
            if id(node) not in found:
                found.add(id(node))
                waiting.extend(ast.iter_child_nodes(node))
        return found

    def _run_at_once(self, node: ast.FunctionDef | ast.AsyncFunctionDef, entered: set[str]) -> list[ast.AST]:
        """Functions that Python calls while it makes classes and modules."""
        if (
            node.name in ("__init_subclass__", "__set_name__", "__class_getitem__", "__prepare__")
            and node.name not in entered
        ):
            entered.add(node.name)
            return list(node.body)
        return []


def _is_of_loading(node: ast.AST) -> bool:
    if isinstance(node, ast.ClassDef):
        # What an installer is told to run.
        bases = [getattr(base, "id", getattr(base, "attr", "")) for base in node.bases]
        return bool({"install", "build_py", "build_ext", "develop", "egg_info", "sdist", "bdist_wheel"} & set(bases))
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in _LOADING


def _annotations(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.AST]:
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    found: list[ast.AST] = [one.annotation for one in every if one is not None and one.annotation is not None]
    return [*found, node.returns] if node.returns is not None else found


def _asks_for_main(test: ast.expr) -> bool:
    """`__name__ == "__main__"`, and nothing else."""
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == "__name__"
        and isinstance(test.ops[0], ast.Eq)
        and isinstance(test.comparators[0], ast.Constant)
        and test.comparators[0].value == "__main__"
    )
