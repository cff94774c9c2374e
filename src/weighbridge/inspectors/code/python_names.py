"""Resolves names in Python source to what they stand for, and folds text that constants alone make. Nothing is run.

Scopes are not told apart: a name stands for whatever it is bound to anywhere, the risky meaning first. Chains of calls
are kept as `name()`, so that `requests.get(...).content` is seen as what it is.
"""

from __future__ import annotations

import ast
import base64
import binascii
import builtins
import codecs
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Final

MAX_TEXT: Final = 64 * 1024
MAX_STEPS_DEEP: Final = 60
MAX_NAME: Final = 400
MAX_MADE: Final = 2 * 1024 * 1024
"""Characters of all texts that are put together for one module; what goes beyond is not judged."""

_FOLDED: Final = (ast.BinOp, ast.JoinedStr, ast.Subscript, ast.Call)

_BUILTINS: Final = frozenset(dir(builtins)) & frozenset(
    (
        "exec", "eval", "compile", "__import__", "open", "getattr", "setattr", "delattr", "globals", "locals", "vars",
        "chr", "input", "breakpoint", "bytes", "bytearray", "int", "str", "map", "print", "type", "object", "dir",
        "memoryview", "__build_class__", "reversed",
    )
)  # fmt: skip
_ALWAYS: Final = frozenset(("exec", "eval", "compile", "__import__", "getattr"))
_GLOBALS: Final = {
    "__builtins__": "builtins",
    "__loader__": "__loader__",
    "__spec__": "__spec__",
    "get_ipython": "IPython.get_ipython",
}
_RESOLVING: Final = frozenset(
    (
        "pkgutil.resolve_name", "pydoc.locate", "hydra.utils.get_method", "hydra.utils.get_class", "hydra.utils.get_object",
        "django.utils.module_loading.import_string", "werkzeug.utils.import_string", "sys.modules.get",
        "importlib.machinery.BuiltinImporter.load_module", "__loader__.load_module", "__spec__.loader.load_module",
    )
)  # fmt: skip
_PYTHON_2: Final = frozenset(("execfile", "raw_input", "unichr"))


class Names:
    """The bindings of one module."""

    def __init__(self, nodes: list[ast.AST]) -> None:
        self.known: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self.functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        self._defined: set[str] = set()
        self._resolved: dict[int, str] | None = None
        self._folded: dict[int, str | None] | None = None
        self.made = 0
        """Characters of texts that were put together."""
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self._defined.add(node.name)
                if isinstance(node, ast.ClassDef):
                    self.classes.setdefault(node.name, node)
                else:
                    self.functions.setdefault(node.name, node)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                self._imported(node)
        for _ in range(2):
            for node in nodes:
                self._assigned(node)
        self._resolved, self._folded = {}, {}
        # From the leaves on, so that nothing is worked out twice and nothing is too deep.
        for node in reversed(nodes):
            if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
                self.name(node)
            if isinstance(node, _FOLDED):
                self.text(node)

    def _imported(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                self.known[alias.asname or top] = alias.name if alias.asname else top
        elif not node.level and node.module:
            for alias in node.names:
                if alias.name != "*":
                    self.known[alias.asname or alias.name] = _tidy(f"{node.module}.{alias.name}")
                else:
                    self._starred(node.module)

    def _starred(self, module: str) -> None:
        """The names that matter of modules that are imported whole."""
        names = {
            "os": "system popen remove unlink environ fork execv execl execvp execve execlp spawnl spawnv spawnlp spawnvp getenv "
            "posix_spawn kill",
            "subprocess": "run Popen call check_output check_call getoutput",
            "socket": "socket create_connection gethostname",
            "ctypes": "CDLL cdll windll CFUNCTYPE memmove",
            "pickle": "load loads Unpickler",
            "base64": "b64decode b32decode b85decode",
            "urllib.request": "urlopen urlretrieve Request",
            "requests": "get post put",
            "shutil": "rmtree copy move",
            "marshal": "loads load",
        }.get(module, "")
        for name in names.split():
            self.known.setdefault(name, f"{module}.{name}")

    def _assigned(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._target(target, node.value)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            self._target(node.target, node.value)
        elif isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                if isinstance(item.optional_vars, ast.Name):
                    self._bind(item.optional_vars.id, item.context_expr)

    def _target(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._bind(target.id, value)
        elif isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List):
            for one, part in zip(target.elts, value.elts, strict=False):
                if isinstance(one, ast.Name):
                    self._bind(one.id, part)
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            self._bind(f"{target.value.id}.{target.attr}", value)

    def _bind(self, name: str, value: ast.expr) -> None:
        stands_for = self.name(value)
        if stands_for:
            self.known.setdefault(name, stands_for)
        text = self.text(value)
        if text is not None and len(text) > len(self.texts.get(name, "")):
            self.texts[name] = text

    # --- what an expression stands for ------------------------------------------------------------------------

    def name(self, node: ast.AST, deep: int = 0) -> str:
        """The full name of what an expression stands for; "" when it is not known."""
        if self._resolved is None:
            return self._name(node, deep)
        if id(node) not in self._resolved:
            self._resolved[id(node)] = self._name(node, deep)[:MAX_NAME]
        return self._resolved[id(node)]

    def _name(self, node: ast.AST, deep: int) -> str:
        if deep > MAX_STEPS_DEEP:
            return ""
        if isinstance(node, ast.Name):
            return self._by_name(node.id)
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and f"{node.value.id}.{node.attr}" in self.known:
                return self.known[f"{node.value.id}.{node.attr}"]
            base = self.name(node.value, deep + 1)
            return _tidy(f"{base}.{node.attr}") if base else ""
        if isinstance(node, ast.Call):
            return self._by_call(node, deep)
        if isinstance(node, ast.Subscript):
            return self._by_key(node, deep)
        if isinstance(node, ast.IfExp | ast.NamedExpr | ast.Await | ast.BoolOp):
            return next((found for value in _operands(node) if (found := self.name(value, deep + 1))), "")
        if isinstance(node, ast.Lambda):
            return self.name(node.body.func, deep + 1) if isinstance(node.body, ast.Call) else ""
        return ""

    def _by_name(self, name: str) -> str:
        if name in self.known:
            return self.known[name]
        if name in _ALWAYS or (name in _BUILTINS and name not in self._defined) or name in _PYTHON_2:
            return f"builtins.{name}"
        return _GLOBALS.get(name, "") if name not in self._defined else ""

    def _by_call(self, node: ast.Call, deep: int) -> str:
        callee = self.name(node.func, deep + 1)
        first = node.args[0] if node.args else None
        if callee in ("builtins.__import__", "importlib.import_module", "importlib.__import__") and first is not None:
            module = self.text(first)
            return module if module and callee != "builtins.__import__" else (module or "").partition(".")[0]
        if callee == "builtins.getattr" and len(node.args) >= 2:
            base, attribute = self.name(node.args[0], deep + 1), self.text(node.args[1])
            return _tidy(f"{base}.{attribute}") if base and attribute else ""
        if callee in _RESOLVING and first is not None:
            return (self.text(first) or "").replace(":", ".")
        fetched = self._fetched_by(node, callee, deep)
        if fetched:
            return fetched
        if callee in ("functools.partial", "staticmethod", "builtins.staticmethod") and first:
            return self.name(first, deep + 1)
        if callee == "builtins.vars" and first is not None:
            base = self.name(first, deep + 1)
            return f"{base}.__dict__" if base else ""
        if callee in ("builtins.globals", "builtins.locals"):
            return "builtins.globals()"
        return f"{callee}()" if callee and len(callee) < 300 else ""

    def _fetched_by(self, node: ast.Call, callee: str, deep: int) -> str:
        """What a call fetches by text: `os.__dict__.get('system')`, `attrgetter('system')(os)`."""
        first = self.text(node.args[0]) if node.args else None
        if first and callee.endswith((".__dict__.get", ".__getattribute__", ".__dict__.__getitem__")):
            return _tidy(f"{callee.rpartition('.')[0].removesuffix('.__dict__')}.{first}")
        made = node.func
        if isinstance(made, ast.Call) and made.args and node.args:
            maker = self.name(made.func, deep + 1)
            if maker in ("operator.attrgetter", "operator.methodcaller", "operator.itemgetter"):
                base, key = self.name(node.args[0], deep + 1).removesuffix(".__dict__"), self.text(made.args[0])
                return _tidy(f"{base}.{key}") if base and key else ""
        return ""

    def _by_key(self, node: ast.Subscript, deep: int) -> str:
        base, key = self.name(node.value, deep + 1), self.text(node.slice)
        if base == "sys.modules":
            return key or ""
        if key and base.startswith("ctypes."):
            return f"{base}.{key}"
        if base == "builtins" and key:
            return f"builtins.{key}"
        if key and base == "builtins.globals()":
            return self._by_name(key)
        if key and base.endswith(".__dict__"):
            return f"{base.removesuffix('.__dict__')}.{key}"
        return base if base.endswith("()") else ""

    # --- texts ------------------------------------------------------------------------------------------------

    def text(self, node: ast.AST | None, deep: int = 0) -> str | None:
        """The text (bytes as Latin-1) that an expression makes, or None where it depends on more than constants."""
        if node is None or deep > MAX_STEPS_DEEP:
            return None
        if not isinstance(node, _FOLDED):
            return self._text(node, deep)
        if self._folded is not None and id(node) in self._folded:
            return self._folded[id(node)]
        text = self._text(node, deep) if self.made <= MAX_MADE else None
        self.made += len(text or "")
        if self._folded is not None:
            self._folded[id(node)] = text
        return text

    def _text(self, node: ast.AST, deep: int) -> str | None:
        if isinstance(node, ast.Constant):
            return _plain(node.value)
        if isinstance(node, ast.Name):
            return self.texts.get(node.id)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return self.texts.get(f"{node.value.id}.{node.attr}")
        if isinstance(node, ast.BinOp):
            return self._operated(node, deep)
        if isinstance(node, ast.JoinedStr):
            parts = [
                self.text(one.value if isinstance(one, ast.FormattedValue) else one, deep + 1) for one in node.values
            ]
            return "".join(part for part in parts if part is not None)[:MAX_TEXT] if None not in parts else None
        if isinstance(node, ast.Subscript):
            return self._cut(node, deep)
        if isinstance(node, ast.Call):
            return self._called(node, deep)
        return None

    def _operated(self, node: ast.BinOp, deep: int) -> str | None:
        left = self.text(node.left, deep + 1)
        if left is None:
            return None
        if isinstance(node.op, ast.Mult) and isinstance(node.right, ast.Constant) and isinstance(node.right.value, int):
            return (left * max(0, min(node.right.value, 64)))[:MAX_TEXT]
        right = self.text(node.right, deep + 1)
        if isinstance(node.op, ast.Mod):
            values = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
            for value in values[:32]:
                left = left.replace("%s", self.text(value, deep + 1) or "", 1)[:MAX_TEXT]
            return left
        return (left + right)[:MAX_TEXT] if right is not None and isinstance(node.op, ast.Add) else None

    def _cut(self, node: ast.Subscript, deep: int) -> str | None:
        text, key = self.text(node.value, deep + 1), node.slice
        if text is None:
            return None
        if isinstance(key, ast.Slice):
            start, stop, step = (_integer(part) for part in (key.lower, key.upper, key.step))
            return text[start:stop:step] if step != 0 else None
        place = _integer(key)
        return text[place] if place is not None and -len(text) <= place < len(text) else None

    def _called(self, node: ast.Call, deep: int) -> str | None:
        callee = self.name(node.func, deep + 1)
        first = node.args[0] if node.args else None
        if callee == "builtins.chr" and first is not None:
            number = _integer(first)
            return chr(number) if number is not None and 0 <= number < 0x110000 else None
        if callee in ("builtins.bytes", "builtins.bytearray") and isinstance(first, ast.List | ast.Tuple):
            numbers = [_integer(one) for one in first.elts[:MAX_TEXT]]
            return "".join(chr(n) for n in numbers if n is not None and 0 <= n < 256)
        decoder = _DECODERS.get(callee)
        if decoder is not None and first is not None:
            return _decoded(decoder, self.text(first, deep + 1))
        if callee in ("builtins.str", "builtins.bytes", "builtins.bytearray") and first is not None:
            return self.text(first, deep + 1)
        if callee in ("os.path.join", "os.path.expanduser", "pathlib.Path", "os.path.expandvars", "pathlib.PurePath"):
            parts = [self.text(one, deep + 1) for one in node.args[:16]]
            return (
                "/".join(part for part in parts if part is not None)[:MAX_TEXT] if parts and None not in parts else None
            )
        if callee == "pathlib.Path.home":
            return "~"
        return self._method(node, node.func, deep) if isinstance(node.func, ast.Attribute) else None

    def _method(self, node: ast.Call, method: ast.Attribute, deep: int) -> str | None:
        if method.attr == "join" and node.args:
            return self._joined(method, node.args[0], deep)
        text = self.text(method.value, deep + 1)
        if text is None:
            return None
        arguments = [self.text(one, deep + 1) for one in node.args[:32]]
        if method.attr in ("decode", "encode"):
            rotated = arguments and arguments[0] in ("rot13", "rot_13", "rot-13")
            return codecs.decode(text, "rot13") if rotated else text
        if method.attr == "replace" and len(arguments) >= 2 and arguments[0] and arguments[1] is not None:
            return text.replace(arguments[0], arguments[1])[:MAX_TEXT]
        if method.attr == "format":
            for argument in arguments:
                text = text.replace("{}", argument or "", 1)[:MAX_TEXT]
            return text
        plain: Mapping[str, Callable[[str], str]] = {"strip": str.strip, "lower": str.lower, "upper": str.upper}
        return plain[method.attr](text) if method.attr in plain and not arguments else None

    def _joined(self, method: ast.Attribute, parts: ast.expr, deep: int) -> str | None:
        between = self.text(method.value, deep + 1)
        if between is None:
            return None
        if isinstance(parts, ast.List | ast.Tuple):
            texts = [self.text(one, deep + 1) for one in parts.elts[:4096]]
            return between.join(text for text in texts if text is not None)[:MAX_TEXT] if None not in texts else None
        if isinstance(parts, ast.GeneratorExp | ast.ListComp) and isinstance(parts.elt, ast.Call):
            numbers = parts.generators[0].iter
            if self.name(parts.elt.func) == "builtins.chr" and isinstance(numbers, ast.List | ast.Tuple):
                return between.join(
                    chr(n) for one in numbers.elts if (n := _integer(one)) is not None and 0 <= n < 0x110000
                )
        if isinstance(parts, ast.Call) and self.name(parts.func) == "builtins.map" and len(parts.args) == 2:
            numbers = parts.args[1]
            if self.name(parts.args[0]) == "builtins.chr" and isinstance(numbers, ast.List | ast.Tuple):
                return between.join(
                    chr(n) for one in numbers.elts if (n := _integer(one)) is not None and 0 <= n < 0x110000
                )
        if isinstance(parts, ast.Call) and self.name(parts.func) == "builtins.reversed" and parts.args:
            text = self.text(parts.args[0], deep + 1)
            return between.join(reversed(text)) if text is not None else None
        return None


def _unpacked(data: bytes) -> bytes:
    return zlib.decompressobj(47).decompress(data, MAX_TEXT)


_DECODERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "base64.b64decode": base64.b64decode,
    "base64.standard_b64decode": base64.b64decode,
    "base64.decodebytes": base64.b64decode,
    "base64.urlsafe_b64decode": base64.urlsafe_b64decode,
    "base64.b32decode": base64.b32decode,
    "base64.b16decode": base64.b16decode,
    "base64.b85decode": base64.b85decode,
    "base64.a85decode": base64.a85decode,
    "binascii.a2b_base64": binascii.a2b_base64,
    "binascii.unhexlify": binascii.unhexlify,
    "binascii.a2b_hex": binascii.unhexlify,
    "builtins.bytes.fromhex": lambda data: bytes.fromhex(data.decode("ascii")),
    "builtins.bytearray.fromhex": lambda data: bytes.fromhex(data.decode("ascii")),
    "zlib.decompress": _unpacked,
    "gzip.decompress": _unpacked,
    "codecs.decode": lambda data: codecs.decode(data.decode("latin-1"), "rot13").encode("latin-1"),
}


def _decoded(decoder: Callable[[bytes], bytes], text: str | None) -> str | None:
    if not text:
        return None
    try:
        return decoder(text.encode("latin-1"))[:MAX_TEXT].decode("latin-1")
    except (ValueError, zlib.error):
        return None


def _plain(value: object) -> str | None:
    if isinstance(value, str):
        return value[:MAX_TEXT]
    return value[:MAX_TEXT].decode("latin-1") if isinstance(value, bytes) else None


def _integer(node: ast.AST | None) -> int | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.UnaryOp):
        inner = _integer(node.operand)
        return None if inner is None else -inner
    if (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Add | ast.Sub | ast.BitXor)
        and not isinstance(node.left, ast.BinOp)
        and not isinstance(node.right, ast.BinOp | ast.UnaryOp)
    ):
        left, right = _integer(node.left), _integer(node.right)
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.BitXor):
            return left ^ right
        return left + right if isinstance(node.op, ast.Add) else left - right
    return node.value if isinstance(node, ast.Constant) and type(node.value) is int else None


def _operands(node: ast.IfExp | ast.NamedExpr | ast.Await | ast.BoolOp) -> list[ast.expr]:
    """What such an expression may turn out to be."""
    if isinstance(node, ast.BoolOp):
        return node.values
    return [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node.value]


_WITHIN = re.compile(r"[\w.]{1,200}?\.(_?(?:os|subprocess|sys|builtins|posix)(?:\.[\w.()]{1,190})?)")


def _tidy(name: str) -> str:
    """`os.__dict__.system` is `os.system`; modules within modules that are only imported there are themselves."""
    for inner, plain in (
        ("subprocess.os.", "os."),
        ("shutil.os.", "os."),
        ("tempfile._os.", "os."),
        ("builtins.__dict__.", "builtins."),
    ):
        if name.startswith(inner):
            return plain + name[len(inner) :]
    found = _WITHIN.fullmatch(name)
    return found.group(1).lstrip("_") if found else name
