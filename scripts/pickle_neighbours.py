# ruff: noqa: SIM905 - lists of words read better as words
"""Lists the classes of libraries of other fields for the pickle profiles, from their sources alone.

`python scripts/pickle_neighbours.py SITE-PACKAGES src/weighbridge/inspectors/pickles/profiles`. Nothing is imported: the
libraries' files are parsed, so that they need not run here. What is written is committed, and all that inspectors read.

A class is listed as `object` when making one without arguments and giving it a dictionary keeps the dictionary and does
no more, and nothing in its source, or its bases', could make a plain state into code later: every base is found, plain
itself or in a list already; none has a method of `WATCHED`, slots, a metaclass or a decorator; none uses a word of
`LOUD`. An enumeration is listed when it defines no lookup of its own. Functions are never listed. `getattr` for a name that stands in
the source is no loud word, and those of the bases in `READ` were weighed by a reader.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

ROOTS = tuple(
    "pyod.models stable_baselines3 timm.layers timm.models river skbase sktime sksurv tslearn implicit interpret".split()
)
WATCHED = frozenset(
    "__setstate__ __getattr__ __getattribute__ __del__ __new__ __hash__ __dict__ __class__ __init_subclass__ __missing__"
    " _missing_ __reduce__ __reduce_ex__ __set_name__ __eq__".split()
)
PLAIN = frozenset(("__hash__", "__eq__"))
"""Looked at in classes that may lie in sets and among keys: allowed where the source is quiet."""
LOUD = frozenset(
    """eval exec compile __import__ import_module open popen system run_module load loads unpickle pickle joblib cloudpickle
    dill marshal shelve subprocess importlib runpy ctypes socket urllib requests urlopen urlretrieve numexpr patsy formulaic
    check_output check_call Popen load_model load_state_dict_from_url memmap attrgetter methodcaller locate query globals
    vars __globals__ __builtins__ __subclasses__ __code__ read_pickle getattr setattr""".split()
)
"""Words that import, evaluate, load, open or start something, or reach a name by its text (of more than itself)."""
READ = frozenset(
    """river.base.base.Base river.base.estimator.Estimator skbase.base._base.BaseObject skbase.base._base.BaseEstimator
    sktime.base._base.BaseObject sktime.utils._estimator_html_repr._HTMLDocumentationLinkMixin
    sksurv.base.SurvivalAnalysisMixin tslearn.bases.bases.TimeSeriesMixin tslearn.bases.bases.BaseModelPackage
    implicit.recommender_base.RecommenderBase interpret.glassbox._ebm._ebm.EBMModel
    stable_baselines3.common.policies.BaseModel""".split()
)
"""Bases that were read one by one: their loud words, and metaclass, serve paths and names that a caller gives or their
own source holds (`load(path)`, `set_params`), and nothing that a state could."""
DECORATORS = frozenset(("register_notrace_module",))
"""Functions that put the class on a list and return it (timm)."""
OF_ITSELF = frozenset(("getattr", "setattr", "vars"))
HOLDERS = ("Env", "Lambda", "Callback", "Distributed")
"""Parts of names of classes that exist to run something else."""
BASES = frozenset(
    "builtins.object abc.ABC typing.Generic typing.Protocol typing.NamedTuple sklearn.base.OutlierMixin"
    " sklearn.base.ClusterMixin".split()
)
ENUMS = frozenset("enum.Enum enum.IntEnum enum.StrEnum builtins.str builtins.int".split())
DEEPEST = 12


class Sources:
    """The packages in a folder, as text."""

    def __init__(self, home: Path, listed: frozenset[str]) -> None:
        self.home, self.listed = home, listed
        self.tree = cache(self._tree)
        self.verdict = cache(self._verdict)
        self.find = cache(self._find)

    def file(self, module: str) -> Path | None:
        """Where a module's source is."""
        place = self.home.joinpath(*module.split("."))
        for path in (place.with_name(place.name + ".py"), place / "__init__.py"):
            if path.is_file():
                return path
        return None

    def _tree(self, module: str) -> ast.Module | None:
        path = self.file(module)
        try:
            return ast.parse(path.read_bytes()) if path else None
        except (SyntaxError, ValueError):
            return None

    def origin(self, module: str, node: ast.ImportFrom) -> str:
        """The module that a relative or absolute import names."""
        if not node.level:
            return node.module or ""
        path = self.file(module)
        keep = len(module.split(".")) - node.level + (path is not None and path.name == "__init__.py")
        return ".".join([*module.split(".")[:keep], *([node.module] if node.module else [])])

    def _find(self, module: str, name: str, depth: int = 0) -> tuple[str, ast.ClassDef | None]:
        """The full name under which a class is defined, and its definition where there is a source of it."""
        head, _, rest = name.partition(".")
        tree = self.tree(module)
        if tree is None or depth > DEEPEST:
            return f"{module}.{name}", None
        defined = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == head]
        if defined and not rest:
            return f"{module}.{head}", defined[0] if len(defined) == 1 else None
        named = self._named(module, tree, head, rest)
        if named is not None:
            return self.find(*named, depth + 1)
        for node in tree.body:
            star = isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
            if isinstance(node, ast.ImportFrom) and star and not rest:
                found = self.find(self.origin(module, node), name, depth + 1)
                if found[1] is not None:
                    return found
        return f"{'builtins' if not rest else module}.{name}", None

    def _named(self, module: str, tree: ast.Module, head: str, rest: str) -> tuple[str, str] | None:
        """The module and name that an import binds to the first word of a name."""
        for node in tree.body:
            origin = self.origin(module, node) if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
                if (alias.asname or alias.name) != head:
                    continue
                if isinstance(node, ast.Import):
                    return self._split(alias.name, rest) if rest else None
                inside = f"{origin}.{alias.name}"
                if rest and self.file(inside):
                    return self._split(inside, rest)
                return origin, f"{alias.name}.{rest}" if rest else alias.name
        return None

    def _split(self, module: str, rest: str) -> tuple[str, str]:
        head, _, tail = rest.partition(".")
        return (f"{module}.{head}", tail) if tail and self.file(f"{module}.{head}") else (module, rest)

    def _verdict(self, module: str, name: str) -> str | None:
        """`object`, `enum` or nothing, for a class that is defined in a module."""
        full, node = self.find(module, name)
        if full in self.listed or full in BASES:
            return "object"
        if full in ENUMS:
            return "enum"
        if node is None or not is_quiet(node, read=full in READ):
            return None
        home = full.rpartition(".")[0]
        roles = set()
        for base in node.bases:
            plain = base.value if isinstance(base, ast.Subscript) else base
            said = ast.unparse(plain)
            if not said.replace(".", "").replace("_", "").isalnum() or (home, said) == (module, name):
                return None
            roles.add(self.verdict(home, said))
        return "object" if roles <= {"object"} else "enum" if roles == {"enum"} and node.bases else None


def is_quiet(node: ast.ClassDef, *, read: bool = False) -> bool:
    """Whether a definition has nothing of its own that acts when a state is given, and no loud word (unless it was read)."""
    if any(part in node.name for part in HOLDERS):
        return False
    if any(ast.unparse(one) not in DECORATORS for one in node.decorator_list):
        return False
    if not read and any(ast.unparse(word.value) not in ("ABCMeta", "abc.ABCMeta") for word in node.keywords):
        return False
    own = {part.name for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    for part in node.body:
        if not isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own |= {
                word.id for word in ast.walk(part) if isinstance(word, ast.Name) and isinstance(word.ctx, ast.Store)
            }
            if isinstance(part, ast.If | ast.For | ast.While | ast.With | ast.Try):
                return False
    if own & (WATCHED - PLAIN | {"__slots__"}):
        return False
    return read or not _words(node) & LOUD


def _words(node: ast.ClassDef) -> set[str]:
    """Every name, attribute and import in a definition; of `OF_ITSELF`, those that are more than that."""
    words = {word.id for word in ast.walk(node) if isinstance(word, ast.Name)} - OF_ITSELF
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in OF_ITSELF:
            words |= set() if _is_plain_reach(call) else {call.func.id}
    words |= {word.attr for word in ast.walk(node) if isinstance(word, ast.Attribute)}
    words |= {
        alias.name.partition(".")[0] for word in ast.walk(node) if isinstance(word, ast.Import) for alias in word.names
    }
    words |= {
        part for word in ast.walk(node) if isinstance(word, ast.ImportFrom)
        for part in ((word.module or "").partition(".")[0], *(alias.name for alias in word.names))
    }  # fmt: skip
    return words


def _is_plain_reach(call: ast.Call) -> bool:
    """Whether `getattr`, `setattr` or `vars` reaches into the object itself, or for an ordinary name that stands there."""
    if call.args and ast.unparse(call.args[0]) in ("self", "cls", "cls.__init__"):
        return True
    name = call.args[1] if len(call.args) > 1 else None
    return isinstance(name, ast.Constant) and isinstance(name.value, str) and not name.value.startswith("__")


def modules(sources: Sources, root: str) -> list[str]:
    """A package's modules, without its tests."""
    path = sources.file(root)
    if path is None:
        print("no source of", root, file=sys.stderr)
        return []
    if path.name != "__init__.py":
        return [root]
    found = []
    for one in sorted(path.parent.rglob("*.py")):
        parts = one.relative_to(sources.home).with_suffix("").parts
        if not any(part.startswith(("test", "_test", "conftest", "setup")) for part in parts):
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def main() -> None:
    """Writes the list."""
    home, folder = Path(sys.argv[1]), Path(sys.argv[2])
    listed = frozenset(
        f"{module}.{name}"
        for path in folder.glob("*.txt") if path.name != "neighbours.txt"
        for line in path.read_text().splitlines() if line.startswith("object ")
        for module, *names in (line.split()[1:],) for name in names
    )  # fmt: skip
    sources = Sources(home, listed)
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for root in ROOTS:
        for module in modules(sources, root):
            tree = sources.tree(module)
            for node in tree.body if tree else ():
                role = sources.verdict(module, node.name) if isinstance(node, ast.ClassDef) else None
                if isinstance(node, ast.ClassDef) and role is not None:
                    found[role, module].add(node.name)
    lines = sorted(f"{role} {module} {' '.join(sorted(names))}" for (role, module), names in found.items())
    (folder / "neighbours.txt").write_text("\n".join(lines) + "\n", encoding="ascii")
    print(len(lines), "lines,", sum(map(len, found.values())), "names")


if __name__ == "__main__":
    main()
