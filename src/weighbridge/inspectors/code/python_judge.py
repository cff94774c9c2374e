"""Judges what Python source can do, and when: at import, or when its functions are called.

Every call is resolved to the full name of what it calls, and looked up. Text that flows from decoding or from the
network into what runs code is a weapon wherever it stands; most else is a matter of when. Functions that the module
itself calls at import count as import.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Final

from weighbridge.core.errors import FormatError
from weighbridge.formats.python_code import parse_source, walk
from weighbridge.inspectors.code.python_access import MAX_LOOKED_AT, Access, has_fileno, is_chr_join, is_trust
from weighbridge.inspectors.code.python_flows import DECODED, FETCHED, TOLD, Flows
from weighbridge.inspectors.code.python_internals import LOOKED_AT, asks_for_itself, climbs, is_callback, is_hook
from weighbridge.inspectors.code.python_marks import (
    C_MEMORY,
    EXECUTING,
    FETCHING,
    INTERNALS,
    MAX_CODE_IN_CODE,
    READING_CODE,
    REVEALING,
    RISKY_MODULES,
    SHELLCODE,
)
from weighbridge.inspectors.code.python_modules import Reached
from weighbridge.inspectors.code.python_moments import Moments
from weighbridge.inspectors.code.python_names import Names
from weighbridge.inspectors.code.python_powers import (
    PLAIN_SENDING,
    PRIMITIVE_DESTROYED,
    SECRET_FILES,
    SECRET_NAMES,
    SENDING,
    power_of,
)
from weighbridge.inspectors.code.python_replaced import Replaced
from weighbridge.inspectors.code.python_texts import Texts

MAX_INNER_TEXTS: Final = 200
MAX_INNER: Final = 256 * 1024
"""Characters of code as text that are judged, of one module."""

Note = Callable[[str, str, int], None]
"""Takes a rule without its prefix, a message and a line."""


class Judge:
    """Goes through one module once; `note` is told what it can do."""

    def __init__(
        self, tree: ast.Module, note: Note, *, deep: int = 0, at_import: bool = True, installs: bool = False
    ) -> None:
        self._tree = tree
        self._installs = installs
        self._note = note
        self._deep = deep
        self._all = list(walk(tree))
        self.names = Names(self._all)
        self._early_matters = at_import
        moments = Moments(tree, self.names, self._all)
        self._early = moments.early() if at_import else set()
        self._loading = moments.loading()
        self._flows = Flows(tree, self._source, self.names.functions)
        self._replaced = Replaced(self.names, note, early=self._is_early)
        self._inside: set[str] = set()
        self._seen: dict[str, int] = {}
        """The first line of each power that is used, for judging what stands together."""

    def judge(self) -> None:
        """Looks at every node, then at what stands together."""
        access = Access(self.names, self._flows, self._note, early=self._is_early, loading=self._loading)
        texts = Texts(self.names, self._all, self._note, self._use)
        for node in self._all:
            access.look(node)
            if isinstance(node, ast.Call):
                self._call(node)
            elif isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
                texts.look(node)
            elif isinstance(node, ast.Attribute):
                self._attribute(node)
            elif isinstance(node, ast.Assign | ast.Delete | ast.AugAssign):
                self._replaced.look(node)
            elif isinstance(node, ast.Subscript):
                self._environment(node)
            elif isinstance(node, ast.Dict):
                if any(is_trust(key) and _is_true(one) for key, one in zip(node.keys, node.values, strict=True)):
                    self._trusts(node)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                self._decorated(node)
        Reached(self._all, self.names, self._note).look()
        self._together()

    def relative_imports(self) -> Iterator[tuple[str, int]]:
        """Modules of the same package that are imported, with the line: `x` of `from .x import y`, `.x` one level up."""
        for node in self._all:
            if isinstance(node, ast.ImportFrom) and node.level:
                dots = "." * (node.level - 1)
                modules = [node.module] if node.module else [alias.name for alias in node.names if alias.name != "*"]
                yield from ((dots + module, node.lineno) for module in modules)

    # --- when ---------------------------------------------------------------------------------------------------

    def _is_early(self, node: ast.AST) -> bool:
        return id(node) in self._early

    # --- what flows where ---------------------------------------------------------------------------------------

    def _source(self, node: ast.AST) -> int:
        """The marks that an expression has by itself: it decodes, it asks the network, it describes the machine."""
        if isinstance(node, ast.Call):
            name = self.names.name(node.func)
            power = power_of(name)
            method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            decodes = power == "decode" or method in ("fromhex", "decrypt") or is_chr_join(node)
            fetches = (power == "network" and not name.startswith("socket.")) or method in ("recv", "recvfrom")
            return decodes * DECODED | fetches * FETCHED | self._is_telling(node) * TOLD
        if isinstance(node, ast.Attribute):
            return self._is_telling(node) * TOLD
        backwards = (
            isinstance(node, ast.Subscript)
            and isinstance(node.slice, ast.Slice)
            and isinstance(node.slice.step, ast.UnaryOp)
        )
        return DECODED if backwards and self.names.text(node) is not None else 0

    # --- calls --------------------------------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> None:
        name = self.names.name(node.func)
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        plain = PLAIN_SENDING.search(name) is not None
        if SENDING.search(name) and (
            not plain or (self._tells(arguments) and not asks_for_itself(node, name, self.names))
        ):
            self._use("send", node)
            handed = [*node.args, *(k.value for k in node.keywords if k.arg not in ("token", "headers", "auth"))]
            if name.startswith("huggingface_hub.") and self._tells(handed):
                self._note("exfiltration", f"what the machine keeps to itself is given to {name}", node.lineno)
        if any(self.names.name(one) == "os.environ" for one in arguments):
            self._use("recon", node)
        self._keywords(node, name)
        if not name:
            self._nameless(node)
            return
        power = power_of(name)
        act = self._ACTS.get(power)
        if act is not None:
            act(self, node, name, arguments)
        if power in ("recon", "secrets", "network", "process"):
            self._use(power, node)
        if name in ("os.dup2", "socket.socket().connect", "socket.socket().bind", "socket.create_connection"):
            self._use("joins" if name == "os.dup2" else "connects", node)
        self._other(node, name, arguments)

    def _tells(self, arguments: Sequence[ast.expr]) -> bool:
        """Whether what is handed over describes the machine or holds its secrets."""
        return bool(self._flows.of(arguments) & TOLD)

    def _is_telling(self, node: ast.Call | ast.Attribute) -> bool:
        name = self.names.name(node.func if isinstance(node, ast.Call) else node)
        if isinstance(node, ast.Attribute):
            return name == "os.environ"
        return (
            power_of(name) == "recon"
            or name.endswith(".get_token")
            or (name in ("builtins.open", "os.getenv") and self._is_secret(node))
        )

    def _is_secret(self, node: ast.Call) -> bool:
        text = self.names.text(node.args[0]) if node.args else None
        return text is not None and bool(SECRET_FILES.search(text) or SECRET_NAMES.search(text))

    def _nameless(self, node: ast.Call) -> None:
        """Calls of what was fetched by a computed name."""
        function = node.func
        if isinstance(function, ast.Call) and self.names.name(function.func) == "builtins.getattr" and function.args:
            owner = self.names.name(function.args[0])
            if owner in RISKY_MODULES:
                self._note(
                    "obscure-access", f"a function of {owner} is called by a name that is put together", node.lineno
                )
        elif isinstance(function, ast.Subscript) and self.names.name(function.value) in ("builtins.globals()", "builtins.__dict__", "os.__dict__", "sys.modules"):  # fmt: skip
            self._note("dynamic-code", "a function is called by a computed name", node.lineno)

    def _process(self, node: ast.Call, name: str, arguments: Sequence[ast.expr]) -> None:
        line = node.lineno
        text = " ".join(self._said(one) for one in arguments)
        decoded, fetched = self._sum([*node.args, *(k.value for k in node.keywords if k.arg in ("args", "input"))])
        if fetched and name != "webbrowser.open":
            self._note("downloaded-code", f"what was fetched is given to {name}", line)
        elif decoded and name != "webbrowser.open":
            self._note("hidden-code", f"what was decoded is given to {name}", line)
        if name == "pty.spawn":
            self._use("shell", node)
        if re.search(r"(?:/bin/)?(?:ba|z|da)?sh\b|cmd(?:\.exe)?\b|powershell", text) and (
            has_fileno(node) or "stdin" in [k.arg for k in node.keywords]
        ):
            self._use("shell", node)
        if re.search(r"\bpip3?\b.{0,20}\binstall\b|\bconda\b.{0,10}install|\bnpm\s+i", text):
            self._note("installs", f"{text.strip()[:80]!a} is run", line)
        if self._is_early(node):
            self._note("runs-at-import", f"{name} is called", line)
        elif id(node) in self._loading and self._early_matters:
            self._note("runs-at-import", f"{name} is called when the model is loaded", line)
        else:
            self._note("process", f"{name} is called", line)

    def _said(self, node: ast.expr) -> str:
        """The text of an argument: a constant, or those of a list of them."""
        text = self.names.text(node)
        if text is not None:
            return text
        return " ".join(
            found
            for part in islice(walk(node), MAX_LOOKED_AT)
            if isinstance(part, ast.Constant) and (found := self.names.text(part))
        )

    def _sum(self, arguments: Sequence[ast.expr]) -> tuple[bool, bool]:
        """Whether expressions take from decoding, and from the network."""
        marks = self._flows.of(arguments)
        return bool(marks & DECODED), bool(marks & FETCHED)

    def _network(self, node: ast.Call, name: str, arguments: Sequence[ast.expr]) -> None:
        early = self._is_early(node) and not re.search(
            r"\.(?:Session|Request|PoolManager|urljoin|urlparse|quote|urlencode|HfApi)$|^urllib\.parse\.", name
        )
        self._note("network-at-import" if early else "network", f"{name} is called", node.lineno)

    def _dynamic(self, node: ast.Call, name: str, arguments: Sequence[ast.expr]) -> None:
        if name in ("builtins.eval", "builtins.exec", "builtins.compile") and not node.args:
            return
        code = self.names.text(node.args[0]) if node.args else None
        decoded, fetched = self._sum(arguments)
        line = node.lineno
        if fetched:
            self._note("downloaded-code", f"what was fetched is given to {name}", line)
        if decoded or name.startswith("marshal."):
            self._note("hidden-code", f"what was decoded is given to {name}", line)
        elif not fetched:
            self._note("dynamic-code", f"{name} is called", line)
        if name in FETCHING and self._is_early(node):
            self._note("downloaded-code", f"{name} is called when the module is imported", line)
        elif code is None and name.startswith(EXECUTING) and self._is_early(node) and not self._installs:
            self._note("hidden-code", f"{name} is called at import on what is put together there", line)
        if name in READING_CODE and self._is_early(node):
            self._note("runs-at-import", f"{name} is called", line)
        if (
            code is not None
            and self._deep < MAX_CODE_IN_CODE
            and name in ("builtins.exec", "builtins.eval", "builtins.compile")
        ):
            self._inner(code, line)

    def _inner(self, code: str, line: int) -> None:
        """Code that stands in the module as text, judged as if it stood there itself."""
        if code in self._inside:
            return
        self._inside.add(code)
        if sum(map(len, self._inside)) > MAX_INNER or len(self._inside) > MAX_INNER_TEXTS:
            self._note("limit", "the module holds more code as text than is judged", line)
            return
        try:
            tree = parse_source(code)
        except FormatError:
            return
        Judge(
            tree, lambda rule, message, _: self._note(rule, f"in code as text: {message}", line), deep=self._deep + 1
        ).judge()

    def _import(self, node: ast.Call, name: str, arguments: Sequence[ast.expr]) -> None:
        module = self.names.text(node.args[0]) if node.args else None
        decoded, fetched = self._sum(node.args[:1])
        plain = node.args and isinstance(node.args[0], ast.Constant)
        if decoded or (module is not None and not plain and module.partition(".")[0] in RISKY_MODULES):
            self._note(
                "obscure-access", f"the module {module!a} is imported by a name that is put together", node.lineno
            )
        elif module is None or fetched:
            self._note("dynamic-import", f"{name} is called with a computed name", node.lineno)

    def _deserialise(self, node: ast.Call, name: str, arguments: Sequence[ast.expr]) -> None:
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        safe = keywords.get("weights_only")
        if name.endswith("torch.load") and isinstance(safe, ast.Constant) and safe.value is True:
            return
        if name == "numpy.load" and not _is_true(keywords.get("allow_pickle")):
            return
        loader = keywords.get("Loader") or (node.args[1] if len(node.args) > 1 else None)
        if (
            name.startswith("yaml.load")
            and loader is not None
            and "Safe" in (self.names.name(loader) or getattr(loader, "id", ""))
        ):
            return
        _, fetched = self._sum(node.args)
        pickled = re.match(r"_?c?[pP]ickle|dill|cloudpickle", name) is not None
        if pickled and fetched:
            self._note("downloaded-code", f"what was fetched is given to {name}", node.lineno)
        elif pickled and node.args and self._stands_here(node.args[0]):
            self._note("hidden-code", f"what stands in the source is given to {name}", node.lineno)
        else:
            self._note("deserialises", f"{name} is called", node.lineno)

    def _stands_here(self, value: ast.expr) -> bool:
        """Whether what is loaded stands in the source, perhaps encoded."""
        if self.names.text(value) is not None:
            return True
        return any(
            len(self.names.text(part) or "") > 15
            for part in islice(walk(value), MAX_LOOKED_AT)
            if isinstance(part, ast.Constant | ast.Name)
        )

    def _native(self, node: ast.Call, name: str, arguments: Sequence[ast.expr]) -> None:
        if any(word in name for word in SHELLCODE):
            self._note("shellcode", f"{name} is called", node.lineno)
        else:
            self._note("native-code", f"{name} is called", node.lineno)

    def _delete(self, node: ast.Call, name: str, arguments: Sequence[ast.expr]) -> None:
        text = self.names.text(node.args[0]) if node.args else None
        if text is not None and (PRIMITIVE_DESTROYED.match(text) or text == "~"):
            self._note("destroys", f"{name} is called on {text[:60]!a}", node.lineno)
        else:
            self._note("writes-files", f"{name} is called", node.lineno)

    def _write(self, node: ast.Call, name: str, arguments: Sequence[ast.expr]) -> None:
        self._note("writes-files", f"{name} is called", node.lineno)

    def _secret(self, node: ast.Call, name: str, arguments: Sequence[ast.expr]) -> None:
        self._note("reads-secrets", f"{name} is called", node.lineno)

    def _keywords(self, node: ast.Call, name: str) -> None:
        for keyword in node.keywords:
            if keyword.arg == "trust_remote_code" and _is_true(keyword.value):
                self._trusts(node)
            elif keyword.arg == "cmdclass" and name.endswith("setup"):
                self._use("cmdclass", node)
            elif keyword.arg in ("process_group", "preexec_fn") and power_of(name) == "process":
                self._use("detached", node)

    def _trusts(self, node: ast.expr) -> None:
        self._note("deserialises", "further models are loaded with trust_remote_code", node.lineno)
        if self._is_early(node):
            self._note("downloaded-code", "code of another repository runs when the module is imported", node.lineno)

    def _other(self, node: ast.Call, name: str, arguments: Sequence[ast.expr]) -> None:
        if is_hook(node, name):
            self._note("patches-python", f"{name} is called", node.lineno)
        elif name == "builtins.open" or name in ("io.open", "codecs.open", "os.fdopen", "pathlib.Path().open"):
            self._open(node)
        elif name in ("os.environ.get", "os.getenv"):
            self._named_variable(self.names.text(node.args[0]) if node.args else None, node)
        elif name in ("os.environ.items", "os.environ.values", "os.environ._data"):
            self._use("recon", node)
        elif name == "builtins.setattr" and node.args:
            self._replaced.told(self.names.name(node.args[0]), node)
        elif name in C_MEMORY and not is_callback(node, name, self.names):
            self._use(f"c:{name}", node)
        elif name.startswith("importlib.util.spec_from_file") or name == "atexit.register":
            self._note("dynamic-code", f"{name} is called", node.lineno)
        for one in arguments:
            if isinstance(one, ast.Name | ast.Attribute | ast.Call):
                self._handed_on(one, name, node)

    def _handed_on(self, argument: ast.expr, name: str, node: ast.Call) -> None:
        """Functions that are handed to others to call: `map(exec, ...)`, `Thread(target=os.system)`."""
        handed = self.names.name(argument) if isinstance(argument, ast.Name | ast.Attribute) else ""
        if (
            handed
            and power_of(handed) in ("process", "dynamic")
            and not handed.endswith("()")
            and name != "builtins.getattr"
        ):
            # The marks of the call are those of all its arguments.
            decoded, fetched = self._sum([node])
            if decoded or fetched:
                self._note(
                    "hidden-code" if decoded else "downloaded-code", f"{handed} is handed to {name}", node.lineno
                )
            early = self._is_early(node) and power_of(handed) == "process"
            self._note("runs-at-import" if early else "dynamic-code", f"{handed} is handed to {name}", node.lineno)

    def _open(self, node: ast.Call) -> None:
        mode = node.args[1] if len(node.args) > 1 else next((k.value for k in node.keywords if k.arg == "mode"), None)
        text = self.names.text(mode) if mode is not None else ""
        if text and set(text) & set("wax+"):
            self._note("writes-files", "a file is opened for writing", node.lineno)
            self._use("write", node)

    # --- texts, names, assignments --------------------------------------------------------------------------------

    def _attribute(self, node: ast.Attribute) -> None:
        if node.attr in INTERNALS:
            through = isinstance(node.value, ast.Attribute) and node.value.attr == "__init__"
            if node.attr in REVEALING or (node.attr == "__globals__" and through):
                plain = node.attr in LOOKED_AT and not self._climbing
                rule = "internals" if plain else "obscure-access"
                self._note(rule, f"the attribute {node.attr} is used", node.lineno)

    @cached_property
    def _climbing(self) -> bool:
        return climbs(self._all, self.names)

    def _environment(self, node: ast.Subscript) -> None:
        if isinstance(node.ctx, ast.Load) and self.names.name(node.value) == "os.environ":
            self._named_variable(self.names.text(node.slice), node)

    def _named_variable(self, name: str | None, node: ast.expr) -> None:
        if name is not None and SECRET_NAMES.search(name):
            self._note("reads-secrets", f"the environment variable {name[:60]!a}", node.lineno)
            self._use("secrets", node)

    def _decorated(self, node: ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            name = self.names.name(decorator)
            if power_of(name) in ("process", "dynamic") and not isinstance(decorator, ast.Call):
                self._note(
                    "runs-at-import" if power_of(name) == "process" else "dynamic-code",
                    f"{name} decorates",
                    node.lineno,
                )
            if name == "atexit.register":
                self._note("dynamic-code", "a function runs when the process ends", node.lineno)

    # --- what stands together ---------------------------------------------------------------------------------------

    def _use(self, power: str, node: ast.AST) -> None:
        self._seen.setdefault(power, getattr(node, "lineno", 0))

    def _together(self) -> None:
        seen = self._seen
        connected = "connects" in seen or "socket.socket" in " ".join(self.names.known.values())
        if connected and ({"joins", "shell"} & seen.keys() or ("process" in seen and self._receives())):
            self._note(
                "reverse-shell",
                "a connection and a shell, or what it sends and a program",
                seen.get("joins") or seen.get("shell") or seen["process"],
            )
        if "send" in seen and {"secret-file", "recon"} & seen.keys():
            self._note("exfiltration", "what is read of the machine stands beside what sends", seen["send"])
        elif "send" in seen and "secrets" in seen and self._sends_away():
            self._note("exfiltration", "credentials are read beside what sends", seen["send"])
        if "c:ctypes.CFUNCTYPE()" in seen and (
            {"c:ctypes.memmove", "c:ctypes.create_string_buffer"} & seen.keys()
            or "mmap.mmap" in self.names.known.values()
            or "mmap" in self.names.known.values()
        ):
            self._note("shellcode", "a function pointer is made into a buffer", seen["c:ctypes.CFUNCTYPE()"])

    def _receives(self) -> bool:
        return any(
            isinstance(node, ast.Attribute) and node.attr in ("recv", "recvfrom", "recv_into") for node in self._all
        )

    def _sends_away(self) -> bool:
        """Whether data goes out by more than reading an address."""
        return any(
            SENDING.search(name) and not PLAIN_SENDING.search(name) and not name.startswith("huggingface_hub.")
            for node in self._all
            if isinstance(node, ast.Call) and (name := self.names.name(node.func))
        )

    _ACTS: Final = {
        "process": _process,
        "network": _network,
        "dynamic": _dynamic,
        "dynamic-import": _import,
        "deserialises": _deserialise,
        "native": _native,
        "delete": _delete,
        "write": _write,
        "secrets": _secret,
    }


def _is_true(node: ast.expr | None) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return isinstance(node.operand, ast.Constant) and not node.operand.value
    return isinstance(node, ast.Constant) and bool(node.value)
