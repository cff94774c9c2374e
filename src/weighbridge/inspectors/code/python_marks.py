"""The attributes, functions and literals of Python source that are worth a look by themselves."""

from __future__ import annotations

import re
from typing import Final

MAX_CODE_IN_CODE: Final = 3
LONG: Final = re.compile(r"[A-Za-z0-9+/=_-]{400,}|(?:\\x[0-9a-fA-F]{2}){150,}|[0-9a-fA-F]{600,}")
INTERNALS: Final = frozenset(
    (
        "__subclasses__",
        "__globals__",
        "__builtins__",
        "__code__",
        "__mro__",
        "f_globals",
        "f_builtins",
        "f_back",
        "gi_frame",
        "tb_frame",
    )
)
REVEALING: Final = frozenset(("__subclasses__", "__builtins__", "f_globals", "f_builtins", "tb_frame", "gi_frame"))
C_MEMORY: Final = ("ctypes.CFUNCTYPE()", "ctypes.cast", "ctypes.memmove", "ctypes.create_string_buffer")
PRELOADED: Final = frozenset(
    [
        "LD_PRELOAD",
        "PYTHONSTARTUP",
        "DYLD_INSERT_LIBRARIES",
        "LD_AUDIT",
        "PYTHONBREAKPOINT",
        "PYTHONINSPECT",
        "PAGER",
        "GIT_SSH_COMMAND",
        "GIT_PAGER",
        "BROWSER",
        "BASH_ENV",
        "HF_TRUST_REMOTE_CODE",
        "PYTHONHOME",
        "GIT_EXTERNAL_DIFF",
    ]
)
SHELLCODE: Final = (
    "VirtualAlloc",
    "VirtualProtect",
    "CreateThread",
    "CreateRemoteThread",
    "WriteProcessMemory",
    "RtlMoveMemory",
    "mprotect",
)
PATCHED_PYTHON: Final = (
    "builtins.",
    "sys.meta_path",
    "sys.path_hooks",
    "importlib.",
    "sys.settrace",
    "sys.setprofile",
    "sys.excepthook",
)
HOOKS: Final = ("sys.meta_path.insert", "sys.meta_path.append", "sys.path_hooks.append", "sys.path_hooks.insert", "sys.settrace", "sys.setprofile", "threading.settrace", "sys.addaudithook", "codecs.register")  # fmt: skip
RISKY_MODULES: Final = frozenset(
    ("os", "subprocess", "builtins", "sys", "posix", "nt", "ctypes", "importlib", "pty", "marshal", "shutil", "socket")
)
FETCHING: Final = frozenset(("torch.hub.load", "transformers.dynamic_module_utils.get_class_from_dynamic_module"))
EXECUTING: Final = (
    "builtins.exec",
    "builtins.eval",
    "types.FunctionType",
    "types.CodeType",
    "code.",
    "codeop.",
)
READING_CODE: Final = frozenset(
    (
        "runpy.run_path",
        "runpy.run_module",
        "code.interact",
        "hydra.utils.instantiate",
        "mako.template.Template",
        "sympy.S",
        "sympy.sympify",
    )
)
