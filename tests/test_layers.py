"""The shape of the tree: who may import whom, where anything is caught, how large things grow, what is never named."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.cases import each

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "weighbridge"
MODULES = sorted(SOURCE.rglob("*.py"))
NAMES = [path.relative_to(SOURCE).as_posix() for path in MODULES]

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 80
UNLOADABLE = frozenset(
    {"torch", "transformers", "joblib", "dill", "marshal", "cloudpickle", "pickle", "shelve", "_pickle"}
)
SKIPPED = frozenset({"__pycache__", "build", "dist", "node_modules", "uv.lock"})
"""What is built, not written."""


@functools.cache
def tree_of(name: str) -> ast.Module:
    """A module, parsed once: not while tests are collected, which every process does."""
    return ast.parse((SOURCE / name).read_text(encoding="utf-8"))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods of a module."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_the_tree_was_found() -> None:
    assert {"core/names.py", "cli/app.py", "transfer/stream.py"} <= set(NAMES)


def test_every_import_follows_the_layers() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run(
        [command, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "0 broken" in ran.stdout


# --- what is caught ------------------------------------------------------------------------------


def broad_handlers(tree: ast.Module) -> Iterator[tuple[str, ast.ExceptHandler]]:
    """Handlers that catch whatever comes, with the innermost function around each."""

    def visit(node: ast.AST, function: str) -> Iterator[tuple[str, ast.ExceptHandler]]:
        for child in ast.iter_child_nodes(node):
            inner = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
            if isinstance(child, ast.ExceptHandler) and _is_broad(child.type):
                yield inner, child
            yield from visit(child, inner)

    return visit(tree, "")


def _is_broad(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(_is_broad(one) for one in caught.elts)
    name = caught.id if isinstance(caught, ast.Name) else caught.attr if isinstance(caught, ast.Attribute) else ""
    return caught is None or name in ("Exception", "BaseException")


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_a_broad_handler_is_recognised_however_it_is_written() -> None:
    for caught in ("", " Exception", " BaseException as e", " (OSError, Exception)", " builtins.Exception"):
        tree = ast.parse(f"def f():\n    try: pass\n    except{caught}:\n        log()\n        raise\n")
        ((function, handler),) = broad_handlers(tree)
        assert function == "f"
        assert _raises_again(handler)
    assert not list(broad_handlers(ast.parse("try: pass\nexcept (OSError, ValueError): pass\n")))


@each("name", NAMES)
def test_everything_is_caught_only_at_the_named_boundaries(name: str) -> None:
    boundary = name.startswith("inspectors/sandbox")
    for function, handler in broad_handlers(tree_of(name)):
        at_boundary = boundary or (name, function) == ("cli/app.py", "main")
        assert at_boundary or _raises_again(handler), f"{name}:{handler.lineno} catches everything in '{function}'"


def test_a_suppressed_error_is_never_just_any_error() -> None:
    for name in NAMES:
        for node in ast.walk(tree_of(name)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("suppress", "contextlib.suppress"):
                assert not any(_is_broad(argument) for argument in node.args), f"{name}:{node.lineno}"


# --- sizes and words -----------------------------------------------------------------------------


@each("name", NAMES)
def test_a_module_says_in_its_first_line_what_it_does(name: str) -> None:
    said = ast.get_docstring(tree_of(name), clean=False) or ""
    first = said.split("\n", 1)[0]
    assert len(first.split()) >= 3, f"{name} begins with {first!r}"
    assert first == first.strip()
    assert first.endswith((".", ":", "?")), f"the first line of {name} is no sentence: {first!r}"


def test_no_file_and_no_function_grows_out_of_sight() -> None:
    files = {
        path.name: lines
        for path in MODULES
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_FILE_LINES
    }
    long = {
        f"{name}:{function.name}": lines
        for name in NAMES
        for function in functions(tree_of(name))
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert files == {}
    assert long == {}


@each("name", NAMES)
def test_no_class_is_named_for_nothing(name: str) -> None:
    names = [node.name for node in ast.walk(tree_of(name)) if isinstance(node, ast.ClassDef)]
    assert [one for one in names if re.search(r"(?:Manager|Helper|Handler|Utils?)$", one)] == []


# --- what is never loaded ------------------------------------------------------------------------


def imported(tree: ast.Module) -> Iterator[str]:
    """The top names of everything a module imports, also by a function call with a constant name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (str(one.value).partition(".")[0] for one in node.args if isinstance(one, ast.Constant))


def test_every_way_of_importing_is_seen() -> None:
    text = (
        "import a.b\nfrom c.d import e\nimportlib.import_module('f.g')\n__import__('h')\ndef i():\n    import j as k\n"
    )
    assert set(imported(ast.parse(text))) == {"a", "c", "f", "h", "j"}


@each("name", NAMES)
def test_nothing_that_could_run_a_models_code_is_imported(name: str) -> None:
    assert UNLOADABLE.isdisjoint(imported(tree_of(name)))


@each("name", NAMES)
def test_nothing_is_evaluated(name: str) -> None:
    called = {ast.unparse(node.func) for node in ast.walk(tree_of(name)) if isinstance(node, ast.Call)}
    assert called.isdisjoint({"eval", "exec", "builtins.eval", "builtins.exec", "compile", "__import__", "os.system"})


# --- what is never named -------------------------------------------------------------------------

REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"), ("pythonhosted", "org"), ("crates", "io"), ("npmjs", "org"), ("npmjs", "com"),
        ("proxy", "golang", "org"), ("rubygems", "org"), ("anaconda", "org"), ("conda", "io"),
    )
)  # fmt: skip


def written_files() -> Iterator[Path]:
    """Every file that people wrote: nothing hidden but the repository's own configuration, nothing built."""
    for folder, folders, files in os.walk(ROOT):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if _written(name, top=here == ROOT))
        yield from (here / name for name in sorted(files) if _written(name, top=here == ROOT))


def _written(name: str, *, top: bool) -> bool:
    hidden = name.startswith(".") and not (top and name in (".gitignore", ".github", ".ci"))
    return not hidden and name not in SKIPPED and not name.endswith((".egg-info", ".pyc"))


def _own_places() -> re.Pattern[str]:
    """The folders of this machine that would mean nothing on another."""
    places = [place for place in (ROOT, ROOT.parent / "shared") if len(place.parts) > 2]
    named = [re.escape(str(place)) for place in places] + [
        re.escape(f"{Path.home()}/") + r"[\w.]",
        r"/(?:home|Users)/[a-z]\w*/",
    ]
    return re.compile(rf"(?<![\w/.])(?:{'|'.join(named)})")


def test_the_tree_names_no_place_of_this_machine_and_no_package_registry() -> None:
    places = _own_places()
    assert places.search(f"see {ROOT}/src")
    found = []
    for path in written_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if places.search(line) or any(registry in line for registry in REGISTRIES):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    assert found == []


def test_this_file_is_among_those_that_are_searched() -> None:
    searched = set(written_files())
    assert {Path(__file__).resolve(), ROOT / "pyproject.toml", SOURCE / "core" / "names.py"} <= searched
    assert not any(".venv" in path.parts for path in searched)
