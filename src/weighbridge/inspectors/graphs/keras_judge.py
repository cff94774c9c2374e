"""What would loading this Keras configuration run, fetch or need that Keras itself does not have?

Every object in the configuration is judged by name against the classes and functions of Keras (`formats.keras_names`):
default deny. Bytecode, and classes that load other programs, are code; a name in Python's own library is an import that
an old loader makes for the asking (CVE-2025-1550); a function of Keras that is no computation is how its safe mode was
switched off (CVE-2025-8747, CVE-2025-9906); any other name is a custom object and for policy to decide.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from weighbridge.core.errors import Ambiguous, FormatError, LimitExceeded
from weighbridge.core.finding import Finding, Severity
from weighbridge.formats import keras_names
from weighbridge.formats.keras_config import Json, KerasObject, KerasText, parse, walk
from weighbridge.inspectors.rule import Rule

NAME: Final = "keras"
MAX_SAME: Final = 20

_REFUSE: Final = (
    "Do not load the model, with safe_mode or without. Ask its publisher for one built of Keras' own layers."
)
_POLICY: Final = "Decide whether the package that defines it is one you use, or ask for a model without it."


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str = _REFUSE) -> Rule:
    return Rule(f"keras-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "bytecode",
        "Python bytecode in the configuration",
        Severity.CRITICAL,
        "A serialised lambda is marshalled bytecode: whoever loads the model runs it. HDF5 models and Keras 2 do so "
        "whatever safe_mode says (CVE-2024-3660, CVE-2025-9905).",
    ),
    _rule(
        "loads-code",
        "Layer that loads another program",
        Severity.CRITICAL,
        "TorchModuleWrapper unpickles (CVE-2025-49655); TFSMLayer loads a SavedModel from a path (CVE-2026-1462).",
    ),
    _rule(
        "import",
        "Names a module of Python or of another library",
        Severity.CRITICAL,
        "Loaders before Keras 3.9 import any module and call any name in it, with arguments from the file "
        "(CVE-2025-1550). No model's configuration names such a module.",
    ),
    _rule(
        "function",
        "Names a function of Keras or TensorFlow that is no computation",
        Severity.HIGH,
        "get_file fetches and unpacks archives, enable_unsafe_deserialization switches the protection off, io reads "
        "and writes files (CVE-2025-8747, CVE-2025-9906, CVE-2025-12060).",
    ),
    _rule(
        "lambda",
        "Lambda layer",
        Severity.HIGH,
        "A Lambda layer calls whatever function it names, looked up in a module that the configuration chooses.",
    ),
    _rule(
        "outside-file",
        "Vocabulary or weights at a path or address outside the model",
        Severity.HIGH,
        "Lookup layers read the file, or fetch the address, when the model is loaded (CVE-2025-12058).",
    ),
    _rule(
        "file-reference",
        "Path or address in the configuration",
        Severity.MEDIUM,
        "A text in the configuration is a path of a host, or an address; what reads it is not known.",
        "Ask what needs it, and for a model that carries what it needs.",
    ),
    _rule(
        "custom-object",
        "Object that Keras does not have",
        Severity.MEDIUM,
        "The model needs code that comes from elsewhere to be loaded.",
        _POLICY,
    ),
    _rule(
        "opaque-layer",
        "Layer whose content is not read",
        Severity.MEDIUM,
        "A node of a TensorFlow graph, or a function of another framework, inside the configuration.",
        _POLICY,
    ),
    _rule(
        "ambiguous",
        "A key given twice",
        Severity.HIGH,
        "Readers keep the first or the last, so what a person reviews is not what a loader builds.",
    ),
    _rule(
        "not-understood",
        "Configuration that cannot be read",
        Severity.MEDIUM,
        "It is no JSON, or larger or deeper than is read, so nothing is known of the model.",
        "Ask for the model in the current format, written by Keras itself.",
    ),
)
BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}
UNSETTLED: Final = frozenset(
    ("keras-custom-object", "keras-opaque-layer", "keras-file-reference", "keras-not-understood")
)
"""Rules after which nobody knows what the model does: its verdict is unknown at best."""

_DATA: Final = frozenset(
    (
        *("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__", "__tuple__"),
        *("TensorShape", "TypeSpec", "CompositeTensor", "set", "tuple", "list", "dict", "str", "Tuple"),
    )
)
_LOADERS: Final = frozenset(("TorchModuleWrapper", "TFSMLayer"))
_OPAQUE: Final = frozenset(("TensorFlowOpLayer", "JaxLayer", "FlaxLayer", "KerasLayer"))
_TF_FUNCTIONS: Final = frozenset(
    ("TFOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty", "TFClassMethodDispatcher", "SlicingOpLambda")
)
_LOOKUPS: Final = frozenset(
    ("StringLookup", "IntegerLookup", "IndexLookup", "TextVectorization", "TableHandler", "Hashing", "Discretization")
)
_FILE_KEYS: Final = frozenset(
    (
        *("vocabulary", "vocab", "vocabulary_file", "filepath", "file_path", "filename", "fname", "path", "origin"),
        *("cache_dir", "url", "uri", "proto", "tfhub_handle", "handle"),
    )
)
# Dotted names under `tf` that compute; io, raw_ops, data, train, saved_model, load_library and the rest do not.
_TF_SAFE: Final = re.compile(
    r"(?:tf\.)?(?:(?:compat\.v1\.)?(?:math|nn|linalg|image|signal|strings|sparse|ragged|random|bitwise|sets|audio)"
    r"(?:\.[a-z]\w*)+|__operators__\.\w+|keras\.(?:backend|activations|layers|ops|utils)\.[a-z]\w*|[a-z]\w*)"
)
_TF_CALLS: Final = re.compile(
    r"\b(?:py_function|py_func|numpy_function|load_library|load_op_library|read_file|write_file|matching_files|save\w*|"
    r"load\w*|restore\w*|get_file|print|Print|function|group|Assert|import_graph_def|eval|exec|map_fn|while_loop|cond|"
    r"enable_\w*|disable_\w*|get_\w*|set_\w*|run\w*)\b"
)
_ELSEWHERE: Final = re.compile(
    r"(?:https?|ftp|file|gs|s3|hdfs|ssh|smb|data)://|~[\w.-]*/|[A-Za-z]:\\|\\\\\w", re.IGNORECASE
)
_HOST_PATH: Final = re.compile(r"/(?:etc|proc|sys|dev|home|root|var|tmp|usr|opt|mnt|run|srv|Users|private)/")
_STDLIB: Final = frozenset(
    """
    abc aifc antigravity argparse array ast asynchat asyncio asyncore atexit audioop base64 bdb binascii binhex bisect
    bz2 cProfile calendar cgi cgitb chunk cmd code codecs codeop collections colorsys compileall concurrent configparser
    contextlib contextvars copy copyreg crypt csv ctypes curses dataclasses datetime dbm decimal difflib dis distutils
    doctest email encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch fractions ftplib functools
    gc genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http idlelib imaplib imghdr imp
    importlib inspect io ipaddress itertools json keyword lib2to3 linecache locale logging lzma mailbox mailcap marshal
    math mimetypes mmap modulefinder msilib msvcrt multiprocessing netrc nis nntplib nt ntpath nturl2path numbers opcode
    operator optparse os ossaudiodev pathlib pdb pickle pickletools pipes pkgutil platform plistlib poplib posix
    posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc pydoc_data pyexpat queue quopri random re readline
    reprlib resource rlcompleter runpy sched secrets select selectors shelve shlex shutil signal site smtpd smtplib
    sndhdr socket socketserver spwd sqlite3 sre_compile sre_constants sre_parse ssl stat statistics string stringprep
    struct subprocess sunau symtable sys sysconfig syslog tabnanny tarfile telnetlib tempfile termios test textwrap this
    threading time timeit tkinter token tokenize tomllib trace traceback tracemalloc tty turtle turtledemo types typing
    unicodedata unittest urllib uu uuid venv warnings wave weakref webbrowser winreg winsound wsgiref xdrlib xml xmlrpc
    zipapp zipfile zipimport zlib zoneinfo
    pip setuptools pkg_resources joblib dill cloudpickle numpy scipy pandas torch torchvision jax jaxlib sklearn yaml
    requests urllib3 IPython ipykernel matplotlib h5py numba cffi cython pexpect paramiko fabric invoke sh
    """.split()  # noqa: SIM905
)
_KERAS_ROOTS: Final = frozenset(("keras", "tf_keras"))
_BUILTINS: Final = frozenset(
    (
        *(
            "eval",
            "exec",
            "compile",
            "open",
            "__import__",
            "getattr",
            "setattr",
            "delattr",
            "globals",
            "locals",
            "vars",
        ),
        *(
            "input",
            "breakpoint",
            "help",
            "exit",
            "quit",
            "type",
            "object",
            "map",
            "filter",
            "memoryview",
            "super",
            "dir",
        ),
    )
)


def judge_bytes(data: bytes, path: str, where: str = "", *, revived: bool = False) -> list[Finding]:
    """What a configuration as JSON says; `where` is where it lies in the artifact.

    `revived` says that custom classes are made from a graph that lies beside the configuration, not from code.
    """
    try:
        return judge(parse(data), path, where, revived=revived)
    except Ambiguous as problem:
        return [BY_ID["keras-ambiguous"].finding(path, problem.message, location=where)]
    except FormatError as problem:
        return [BY_ID["keras-not-understood"].finding(path, problem.message, location=where)]


def judge(value: Json, path: str, where: str = "", *, revived: bool = False) -> list[Finding]:
    """As `judge_bytes`, for what was parsed."""
    found: list[Finding] = []
    counts = Counter[tuple[str, str]]()
    try:
        for one in walk(value):
            said = _object(one) if isinstance(one, KerasObject) else _text(one)
            for name, message in said:
                if revived and name in ("custom-object", "opaque-layer"):
                    continue
                counts[name, message] += 1
                if counts[name, message] == 1 and sum(1 for key in counts if key[0] == name) <= MAX_SAME:
                    place = f"{where}: {one.where}" if where else one.where
                    found.append(BY_ID[f"keras-{name}"].finding(path, message, location=place[-200:]))
    except LimitExceeded as problem:
        found.append(BY_ID["keras-not-understood"].finding(path, problem.message, location=where))
    return found


Said = Iterator[tuple[str, str]]


def _object(one: KerasObject) -> Said:
    name = one.class_name
    bytecode = name == "__lambda__" or _has_bytecode(one)
    if bytecode:
        yield "bytecode", f"{name!a:.100} carries a serialised function"
    if name == "__lambda__":
        return
    yield from _module(one)
    if name in _LOADERS:
        yield "loads-code", f"{name} loads a program"
    elif name in _OPAQUE:
        yield "opaque-layer", f"{name} computes what is not read"
    elif name == "Lambda":
        if not bytecode and not _is_lambda_object(one):
            yield "lambda", f"a Lambda layer calls {_named_function(one)!a:.100}"
    else:
        yield from _by_name(one)
    if one.registered_name and ">" in one.registered_name:
        yield "custom-object", f"the registered object {one.registered_name!a:.100}"


def _by_name(one: KerasObject) -> Said:
    if one.class_name == "function":
        yield from _function(one)
    elif one.class_name in _TF_FUNCTIONS:
        yield from _tensorflow_function(one)
    elif one.class_name == "__typespec__":
        if (one.module or "tensorflow").partition(".")[0] not in ("tensorflow", *_KERAS_ROOTS):
            yield "import", f"a type of module {one.module!a:.100}"
    else:
        yield from _class(one)


def _module(one: KerasObject) -> Said:
    """Where the name is looked up."""
    for module in (one.module, *_function_modules(one)):
        root = (module or "").partition(".")[0]
        if root in _STDLIB:
            yield "import", f"{one.class_name!a:.100} of module {module!a:.100}"
        elif root == "builtins":
            called = one.config if isinstance(one.config, str) else one.class_name
            if called in _BUILTINS or one.registered_name in _BUILTINS:
                yield "import", f"{called!a:.100} of Python itself"
        elif root == "tensorflow" and not _is_keras(module) and one.class_name != "__typespec__":
            yield "function", f"{one.class_name!a:.100} of module {module!a:.100}"


def _function_modules(one: KerasObject) -> list[str]:
    """A Lambda layer of Keras 2 says in its own configuration where its function is looked up."""
    config = one.config
    if one.class_name != "Lambda" or not isinstance(config, dict):
        return []
    keys = ("module", "output_shape_module", "mask_module")
    return [value for key in keys if isinstance(value := config.get(key), str)]


def _is_keras(module: str | None) -> bool:
    if module is None:
        return True
    plain = module.removeprefix("tensorflow.").removeprefix("python.")
    return plain.partition(".")[0] in _KERAS_ROOTS


def _class(one: KerasObject) -> Said:
    name, module = one.class_name, one.module
    # Keras 2 registers its own optimizers as "Custom>Adam".
    plain = re.sub(r"^(?:[Kk]eras|Custom)>", "", name)
    if name in _DATA or (module or "").partition(".")[0] in (_STDLIB | {"builtins"}):
        return
    if _is_keras(module):
        known = plain in keys_of(module) or (module is None and plain in keras_names.FUNCTIONS)
        if known:
            return
        if module is not None and re.search(r"\.(?:utils|saving|config|export|datasets|callbacks|wrappers)\b", module):
            yield "function", f"{name!a:.100} of module {module!a:.100}"
            return
    yield "custom-object", f"the class {name!a:.100}" + (f" of module {module!a:.100}" if module else "")


def keys_of(module: str | None) -> frozenset[str]:
    """The classes that may be named in a module of Keras."""
    if module is not None and ".ops" in module:
        return keras_names.OPERATIONS
    return keras_names.CLASSES


def _function(one: KerasObject) -> Said:
    config, module = one.config, one.module
    name = config if isinstance(config, str) else str(one.registered_name)
    root = (module or "").partition(".")[0]
    if root in _STDLIB or name in _BUILTINS:
        return
    plain = name.rpartition(">")[2]
    if root == "builtins" or module is None:
        if plain not in keras_names.FUNCTIONS:
            yield "custom-object", f"the function {name!a:.100}"
    elif _is_keras(module):
        computes = re.search(r"\.(?:activations|losses|metrics|initializers|regularizers|constraints)(?:\.|$)", module)
        operation = re.search(r"\.(?:ops|nn|backend|random)(?:\.|$)", module)
        if not (computes and plain in keras_names.FUNCTIONS) and not (operation and plain in keras_names.OPERATIONS):
            yield "function", f"the function {name!a:.100} of module {module!a:.100}"
    elif root != "tensorflow":
        yield "custom-object", f"the function {name!a:.100} of module {module!a:.100}"


def _tensorflow_function(one: KerasObject) -> Said:
    """A layer that calls a function of TensorFlow by its dotted name."""
    config = one.config if isinstance(one.config, dict) else {}
    for key in ("function", "symbol", "cls_symbol", "cls_ref", "method_name"):
        value = config.get(key)
        if isinstance(value, str) and (not _TF_SAFE.fullmatch(value) or _TF_CALLS.search(value.rpartition(".")[2])):
            if key in ("cls_symbol", "cls_ref", "method_name"):
                yield "opaque-layer", f"{one.class_name} calls {value!a:.100}"
            else:
                yield "function", f"{one.class_name} calls tf.{value!a:.100}"
        elif value is not None and not isinstance(value, str):
            yield "opaque-layer", f"{one.class_name} calls what is no name"


def _has_bytecode(one: KerasObject) -> bool:
    """Whether it carries a function as Keras 2 writes one: a list of code, defaults and closure."""
    config = one.config
    if not isinstance(config, dict):
        return False
    if any(str(config.get(f"{key}_type")).lower() == "lambda" for key in ("function", "output_shape", "mask")):
        return True
    return one.class_name == "Lambda" and any(_is_code(config.get(key)) for key in ("function", "output_shape", "mask"))


def _is_code(value: Json) -> bool:
    items = value.get("items") if isinstance(value, dict) else value
    return isinstance(items, list) and bool(items) and isinstance(items[0], str) and len(items[0]) > 16


def _is_lambda_object(one: KerasObject) -> bool:
    """Whether its function is an object of its own, and `__lambda__`: said there."""
    function = one.config.get("function") if isinstance(one.config, dict) else None
    return isinstance(function, dict) and function.get("class_name") == "__lambda__"


def _named_function(one: KerasObject) -> str:
    function = one.config.get("function") if isinstance(one.config, dict) else None
    if isinstance(function, dict):
        function = f"{function.get('module')}.{function.get('config')}"
    return str(function)


def _text(one: KerasText) -> Said:
    value = one.value
    elsewhere = bool(_ELSEWHERE.match(value) or _HOST_PATH.match(value))
    if one.owner in _LOOKUPS and one.key == "vocabulary" and not one.where.endswith("]"):
        if elsewhere or value.startswith("/") or ".." in re.split(r"[/\\]", value):
            yield "outside-file", f"{one.owner} reads its vocabulary from {value!a:.100}"
        else:
            yield "file-reference", f"{one.owner} reads its vocabulary from {value!a:.100}"
    elif elsewhere and not one.where.endswith("]"):
        severe = one.key in _FILE_KEYS
        yield "outside-file" if severe else "file-reference", f"{one.key!a:.60} is {value!a:.100}"
    elif one.key in ("activation", "recurrent_activation") and value not in keras_names.FUNCTIONS:
        yield "custom-object", f"the activation {value!a:.100}"
