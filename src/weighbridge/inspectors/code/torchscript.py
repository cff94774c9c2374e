"""Judges TorchScript source, which torch's archives hold under `code/`: computing is clean, all else is named.

It has Python's syntax and is compiled by torch, not by Python. Calls go to `torch.*`, `ops.<namespace>.*`, classes of the
archive (`__torch__.*`) and methods. Source: torch's serialisation (`torch/csrc/jit/serialization/python_print.cpp`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Final

from weighbridge.core.errors import FormatError
from weighbridge.formats.python_code import parse_source, walk

Note = Callable[[str, str, int], None]

_PLACE = re.compile(r"(?:^|/)code/__torch__(?:/|\.py$)|(?:^|/)code/__torch__")
_NAMESPACES: Final = frozenset(
    ("aten", "prim", "quantized", "prepacked", "torchvision", "_caffe2", "sparse", "mkldnn", "xnnpack", "inductor", "torchaudio", "cuda", "mkldnn_prepacked", "onednn", "quantized_decomposed", "image")
)  # fmt: skip
_FILE_OPS: Final = frozenset(("from_file", "save", "load", "_save", "open", "read_file", "write_file", "read_image", "_load_for_lite_interpreter", "load_library", "decode_gif.never", "import_ir_module", "export"))  # fmt: skip
_CALLS: Final = frozenset(
    [
        "annotate",
        "unchecked_cast",
        "uninitialized",
        "len",
        "range",
        "int",
        "float",
        "bool",
        "str",
        "list",
        "dict",
        "tuple",
        "print",
        "abs",
        "min",
        "max",
        "round",
        "ord",
        "chr",
        "hash",
        "getattr",
        "hasattr",
        "isinstance",
        "zip",
        "enumerate",
        "sorted",
        "raise",
        "CONSTANTS",
        "divmod",
        "pow",
        "sum",
        "any",
        "all",
        "complex",
        "bin",
        "hex",
        "oct",
        "unwrap_optional",
        "rpc_async",
        "rpc_sync",
        "fork",
        "awaitable",
    ]
)
_ROOTS: Final = frozenset(
    ("torch", "ops", "__torch__", "math", "self", "CONSTANTS", "inf", "nan", "Exception", "__extras__")
)
_STATEMENTS: Final = (
    ast.ClassDef, ast.FunctionDef, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.If, ast.For, ast.While, ast.Expr,
    ast.Pass, ast.Raise, ast.Assert, ast.Import, ast.Break, ast.Continue, ast.Delete, ast.With,
)  # fmt: skip


def is_torchscript(path: str) -> bool:
    """Whether a source lies where torch's archives keep theirs."""
    return _PLACE.search(path) is not None


def judge_torchscript(text: str, note: Note) -> None:
    """Looks at every statement and call."""
    try:
        tree = parse_source(text)
    except FormatError as error:
        note("torchscript-unknown", error.message, 0)
        return
    for node in walk(tree):
        if isinstance(node, ast.stmt) and not isinstance(node, _STATEMENTS):
            note("torchscript-unknown", f"the statement {type(node).__name__}", node.lineno)
        elif isinstance(node, ast.Import):
            foreign = [one.name for one in node.names if one.name.partition(".")[0] not in ("__torch__", "torch")]
            if foreign:
                note("torchscript", f"the import of {foreign[0][:60]!a}", node.lineno)
        elif isinstance(node, ast.Call):
            _call(node, note)


def _call(node: ast.Call, note: Note) -> None:
    name = _dotted(node.func)
    root, _, rest = name.partition(".")
    last = name.rpartition(".")[2]
    if root == "ops":
        namespace = rest.partition(".")[0]
        if last in _FILE_OPS:
            note("torchscript", f"the operator {name[:80]!a} works on files", node.lineno)
        elif namespace not in _NAMESPACES:
            note("torchscript", f"the operator {name[:80]!a} is not one of torch's own", node.lineno)
    elif root == "torch":
        if last in _FILE_OPS or rest.startswith(("hub", "package", "ops.load", "classes")):
            note("torchscript", f"{name[:80]!a} works on files", node.lineno)
    elif name and "." not in name and name not in _CALLS and name not in _ROOTS:
        note("torchscript-unknown", f"the function {name[:80]!a} is called", node.lineno)
    elif last in ("__subclasses__", "__globals__", "system", "popen") or root in (
        "os",
        "sys",
        "subprocess",
        "builtins",
    ):
        note("torchscript", f"{name[:80]!a} is called", node.lineno)


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.append(node.id)
    elif isinstance(node, ast.Call | ast.Subscript):
        parts.append("()")
    return ".".join(reversed(parts))
