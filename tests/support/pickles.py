"""Pickles written opcode by opcode: weapons that are never loaded, and honest ones to tell them from."""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import fractions
import pathlib
import pickle
import struct
import types
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import numpy

CANARY = "weighbridge-canary-file"
"""Every weapon would make a file of that name if it were loaded."""

COMMAND = f"touch {CANARY}"


@dataclass
class Bytes:
    """A file in memory that counts what is read of it."""

    path: str
    data: bytes
    claimed: int = -1
    read_bytes: int = 0
    largest: int = 0

    @property
    def size_bytes(self) -> int:
        return self.claimed if self.claimed >= 0 else len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        self.read_bytes += length
        self.largest = max(self.largest, length)
        return self.data[offset : offset + length]


# --- opcodes -------------------------------------------------------------------------------------


def text(value: str) -> bytes:
    """A text, as protocol 4 writes it."""
    data = value.encode("utf-8", "surrogatepass")
    return b"\x8c" + bytes([len(data)]) + data if len(data) < 256 else b"X" + struct.pack("<I", len(data)) + data


def blob(value: bytes) -> bytes:
    """A bytes constant."""
    return b"C" + bytes([len(value)]) + value if len(value) < 256 else b"B" + struct.pack("<I", len(value)) + value


def glob(name: str) -> bytes:
    """GLOBAL, of `module name`."""
    module, _, attribute = name.partition(" ")
    return f"c{module}\n{attribute}\n".encode()


def stack_global(name: str) -> bytes:
    """STACK_GLOBAL, of `module name`."""
    module, _, attribute = name.partition(" ")
    return text(module) + text(attribute) + b"\x93"


def call(name: str, arguments: bytes = b"", *, end: bytes = b".") -> bytes:
    """A protocol 4 stream that calls `module name` by REDUCE."""
    return b"\x80\x04" + stack_global(name) + b"(" + (arguments or text(COMMAND)) + b"tR" + end


def call_old(name: str) -> bytes:
    """The same in protocol 0."""
    return glob(name) + b"(S'" + COMMAND.encode() + b"'\ntR."


def call_inst(name: str) -> bytes:
    """The same by INST."""
    module, _, attribute = name.partition(" ")
    return b"(S'" + COMMAND.encode() + b"'\n" + f"i{module}\n{attribute}\n.".encode()


def call_obj(name: str) -> bytes:
    """The same by OBJ."""
    return b"(" + glob(name) + text(COMMAND) + b"o."


def call_new(name: str) -> bytes:
    """The same by NEWOBJ."""
    return b"\x80\x02" + glob(name) + text(COMMAND) + b"\x85\x81."


def call_new_ex(name: str) -> bytes:
    """The same by NEWOBJ_EX."""
    return b"\x80\x04" + glob(name) + text(COMMAND) + b"\x85}\x92."


WAYS = (call, call_old, call_inst, call_obj, call_new, call_new_ex)

DANGEROUS = """
os system|posix system|nt system|os popen|os execv|os spawnl|os remove|os startfile|subprocess Popen|subprocess call
subprocess check_output|subprocess run|subprocess getoutput|_posixsubprocess fork_exec|builtins eval|builtins exec
builtins compile|builtins open|builtins getattr|builtins __import__|__builtin__ eval|__builtin__ execfile|__builtin__ apply
builtins setattr|builtins globals|builtins breakpoint|builtins map|importlib import_module|importlib.machinery SourceFileLoader
runpy run_path|runpy _run_code|pty spawn|sys exit|sys modules|socket create_connection|socket socket|shutil rmtree
shutil copyfile|ctypes CDLL|ctypes.util find_library|_ctypes dlopen|pickle loads|_pickle loads|cPickle loads|dill loads
dill._dill load|joblib load|joblib.numpy_pickle load|operator attrgetter|operator methodcaller|_operator attrgetter
functools partial|functools reduce|webbrowser open|pip main|pip._internal main|timeit timeit|timeit Timer
code InteractiveInterpreter|code interact|bdb Bdb|bdb Bdb.run|pdb run|pdb Pdb|pydoc pipepager|pydoc locate
asyncio create_subprocess_shell|asyncio.unix_events _UnixSubprocessTransport._start|multiprocessing.util spawnv_passfds
multiprocessing.reduction ForkingPickler.loads|multiprocessing.popen_fork Popen|torch load|torch.hub load
torch.hub load_state_dict_from_url|torch._dynamo.guards GuardBuilder.get|torch.storage _load_from_bytes
torch._inductor.codecache compile_file|torch.utils.bottleneck.__main__ run_autograd_prof|torch.utils.cpp_extension load
torch.serialization load|torch.utils._config_module ConfigModule.load_config|torch.utils.collect_env run
torch.testing._internal.common_utils run|torch.jit load|torch.package PackageImporter|torch.ops load_library
numpy.testing._private.utils runstring|numpy.f2py.crackfortran getlincoef|numpy.f2py.crackfortran _eval_length
numpy.f2py.crackfortran myeval|numpy load|numpy fromfile|numpy.ctypeslib load_library|numpy.distutils.exec_command exec_command
pandas read_pickle|pandas.io.pickle read_pickle|pandas eval|sklearn.utils._joblib load|cProfile run|cProfile runctx|profile run
profile Profile.run|trace Trace.run|doctest debug_script|idlelib.pyshell ModifiedInterpreter.runcode
idlelib.run Executive.runcode|idlelib.autocomplete AutoComplete.get_entity|idlelib.calltip get_entity
idlelib.debugobj ObjectTreeItem.SetText|ensurepip _run_pip|venv create|lib2to3.pgen2.grammar Grammar.loads
lib2to3.pgen2.pgen ParserGenerator.make_label|unittest.mock _importer|platform popen|sqlite3 connect|marshal loads
types CodeType|types FunctionType|inspect getsource|gc get_objects|linecache getlines|http.client HTTPSConnection
urllib.request urlopen|requests get|ftplib FTP|smtplib SMTP|ssl get_server_certificate|xmlrpc.client ServerProxy
zipimport zipimporter|pkgutil resolve_name|pkgutil find_loader|imp load_source|modulefinder ModuleFinder|logging.config _resolve
logging FileHandler|tempfile NamedTemporaryFile|io FileIO|io open|_io FileIO|codecs open|fileinput input|mmap mmap|signal signal
distutils.file_util write_file|distutils.spawn spawn|setuptools setup|py_compile compile|compileall compile_dir|yaml unsafe_load
jinja2 Template|cloudpickle.cloudpickle loads|hydra.utils instantiate|cffi FFI|tensorflow.python.framework.load_library load_op_library
keras.models load_model|transformers.dynamic_module_utils get_class_in_module|mlflow.pyfunc load_model
site main|rlcompleter Completer|itertools starmap|dataclasses _create_fn|copyreg add_extension|concurrent.futures ThreadPoolExecutor
_thread start_new_thread|nose run|pexpect spawn|celery Celery|IPython start_ipython|numba jit|sympy.utilities.lambdify lambdify
scipy.LowLevelCallable __init__|onnxruntime InferenceSession|huggingface_hub hf_hub_download|torch.utils.data._utils.worker _worker_loop
""".replace("\n", "|")
DANGEROUS_NAMES = [name for name in DANGEROUS.split("|") if name.strip()]

UNKNOWN_NAMES = [
    "catboost.core Pool",
    "mylib thing",
    "a b",
    "__main__ Net",
    "fastai.learner Learner",
    "collections OrderedDict.fromkeys",
    "torch.nn.parallel.distributed DistributedDataParallel",
    "scipy.stats._continuous_distns norm_gen",
    "scipy.spatial._ckdtree cKDTree",
    "torch Tensor.numpy",
    "builtins list.append",
    "datetime datetime.now",
    "sklearn.metrics._dist_metrics PyFuncDistance64",
    "torch.jit._script RecursiveScriptModule",
    "json loads",
    "re compile",
]
MISUSED_NAMES = [
    "sklearn.linear_model._logistic LogisticRegression",
    "transformers.training_args TrainingArguments",
    "torch.nn.modules.linear Linear",
    "xgboost.core Booster",
    "lightgbm.basic Booster",
    "pandas DataFrame",
    "numpy array",
    "numpy zeros",
    "numpy ndarray",
    "sklearn.metrics._classification f1_score",
    "sklearn.tree._tree Tree",
    "sklearn.pipeline Pipeline",
    "torch.nn.functional relu",
    "torch.optim.adam Adam",
    "scipy.sparse._csr csr_matrix",
    "pandas._libs.internals _unpickle_block",
    "joblib.numpy_pickle NumpyArrayWrapper",
    "torch.utils.hooks RemovableHandle",
    "sklearn.utils._bunch Bunch",
    "copyreg __newobj__",
    "copyreg _reconstructor",
]
"""Names that an honest stream may hold, and never calls with a text."""

SYSTEM = stack_global("os system")
RUN = b"(" + text(COMMAND) + b"tR"
BENIGN = b"\x80\x04]\x94(K\x01K\x02e."


def _name_tricks() -> Iterator[tuple[str, bytes, str]]:
    """Names that are not written where they are used; all of os.system."""
    yield (
        "memo of both names",
        text("os") + b"\x940" + text("system") + b"\x940h\x00h\x01\x93" + RUN + b".",
        "dangerous-callable",
    )
    yield "names by PUT and GET", b"Vos\np7\n0Vsystem\np9\n0g7\ng9\n\x93" + RUN + b".", "dangerous-callable"
    yield (
        "memo overwritten",
        text("json") + b"q\x050" + text("os") + b"q\x050h\x05" + text("system") + b"\x93" + RUN + b".",
        "dangerous-callable",
    )
    yield (
        "long memo key",
        text("os") + b"r\x00\x01\x00\x000j\x00\x01\x00\x00" + text("system") + b"\x93" + RUN + b".",
        "dangerous-callable",
    )
    yield (
        "memoize after sparse put",
        text("os") + b"q\x050" + text("system") + b"\x940h\x05h\x01\x93" + RUN + b".",
        "dangerous-callable",
    )
    yield "DUP and POP", text("os") + b"20" + text("system") + b"20\x93" + RUN + b".", "dangerous-callable"
    yield (
        "junk removed by POP_MARK",
        text("os") + b"(KK]}N1" + text("system") + b"\x93" + RUN + b".",
        "dangerous-callable",
    )
    yield "a mark removed by POP", text("os") + b"(0" + text("system") + b"\x93" + RUN + b".", "dangerous-callable"
    yield "function kept in the memo", SYSTEM + b"\x940" + b"h\x00" + RUN + b".", "dangerous-callable"
    yield "arguments kept in the memo", text(COMMAND) + b"\x85\x940" + SYSTEM + b"h\x00R.", "dangerous-callable"
    yield "all string opcodes", b"U\x02osX\x06\x00\x00\x00system\x93" + RUN + b".", "dangerous-callable"
    yield "escaped name", b"S'\\x6f\\163'\nV\\u0073ystem\n\x93" + RUN + b".", "dangerous-callable"
    yield "BINUNICODE8", b"\x8d\x02" + b"\0" * 7 + b"os" + text("system") + b"\x93" + RUN + b".", "dangerous-callable"
    yield "BINSTRING", b"T\x02\0\0\0os" + text("system") + b"\x93" + RUN + b".", "dangerous-callable"
    yield "no PROTO", SYSTEM + RUN + b".", "dangerous-callable"
    yield (
        "PROTO in the middle",
        b"\x80\x00" + text("os") + b"\x80\x05" + text("system") + b"\x80\x02\x93" + RUN + b".",
        "dangerous-callable",
    )
    yield "PROTO that does not exist", b"\x80\xff" + SYSTEM + RUN + b".", "dangerous-callable"
    yield "frame too long", b"\x80\x04\x95" + b"\xff" * 7 + b"\x00" + SYSTEM + RUN + b".", "dangerous-callable"
    yield "frame too short", b"\x80\x04\x95\x01" + b"\0" * 7 + SYSTEM + RUN + b".", "dangerous-callable"
    yield "walk to os", b"\x80\x04" + stack_global("sklearn os.system") + RUN + b".", "dangerous-callable"
    yield (
        "walk through a class",
        b"\x80\x04" + stack_global("collections OrderedDict.__init__.__globals__.get") + RUN + b".",
        "dangerous-callable",
    )
    yield "walk by module", glob("torch.serialization.os system") + RUN + b".", "dangerous-callable"
    yield "module object", b"\x80\x04" + stack_global("shutil os") + b".", "dangerous-callable"
    yield "called, then thrown away", b"]" + SYSTEM + RUN + b"0.", "dangerous-callable"
    yield "under a benign list", b"]" + SYSTEM + RUN + b"a.", "dangerous-callable"
    yield "inside a dict's values", b"}" + text("k") + SYSTEM + RUN + b"s.", "dangerous-callable"
    yield "named and not called", SYSTEM + b".", "dangerous-callable"
    yield "as default factory", glob("collections defaultdict") + SYSTEM + b"\x85R.", "dangerous-callable"
    yield "odd integer before", b"Ihello\n0" + SYSTEM + RUN + b".", "dangerous-callable"
    yield "odd float before", b"Fx\n0" + SYSTEM + RUN + b".", "dangerous-callable"
    yield "duplicate PUT", b"Np0\np0\n0" + SYSTEM + RUN + b".", "dangerous-callable"
    yield "not UTF-8 before", b"X\x01\0\0\0\xff0" + SYSTEM + RUN + b".", "dangerous-callable"
    yield "Python 2 name", glob("__builtin__ eval") + RUN + b".", "dangerous-callable"
    yield "unterminated INST", b"(S'x'\nios\nsystem\x00", "dangerous-callable"
    deep = text("x") * 2200 + text("os") + text("x") * 2200 + b"0" * 2200 + text("system") + b"\x93" + RUN + b"."
    yield "name left far below", deep, "limit-exceeded"
    yield (
        "computed by encode",
        glob("_codecs encode") + text("os") + text("latin1") + b"\x86R" + text("system") + b"\x93" + RUN + b".",
        "dynamic-name",
    )
    yield "computed by a call", stack_global("a b") + b")R" + text("system") + b"\x93" + RUN + b".", "dynamic-name"
    yield "from a list", b"]" + text("system") + b"\x93" + RUN + b".", "dynamic-name"
    yield "from a number", b"K\x01" + text("system") + b"\x93" + RUN + b".", "dynamic-name"
    yield "from a persistent object", b"Pos\n" + text("system") + b"\x93" + RUN + b".", "dynamic-name"
    yield "a result is called", glob("collections OrderedDict") + b")R" + RUN + b".", "dynamic-name"
    yield "an extension is called", b"\x80\x02\x82\x01" + RUN + b".", "dynamic-name"
    yield "a text is called", text("os.system") + RUN + b".", "dynamic-name"
    long_walk = text("os") + text("path.os." * 200 + "system") + b"\x93" + RUN + b"."
    yield "name beyond all length", long_walk, "dynamic-name"


def _others() -> Iterator[tuple[str, bytes, str]]:
    """What is wrong without a weapon being named, and weapons out of sight."""
    yield "EXT1", b"\x80\x02\x82\x01.", "extension-registry"
    yield "EXT2", b"\x80\x02\x83\x01\x00.", "extension-registry"
    yield "EXT4", b"\x80\x02\x84\x01\x00\x00\x00.", "extension-registry"
    yield "PERSID", b"\x80\x02Psomething\n.", "persistent-id"
    yield "BINPERSID", b"\x80\x02" + text("something") + b"Q.", "persistent-id"
    yield "BINPERSID of a tuple", b"\x80\x02(" + text("storage") + text("x") + b"tQ.", "persistent-id"
    yield "state for a class", b"\x80\x02" + glob("collections OrderedDict") + b"}b.", "build-on-global"
    yield "items for a class", b"\x80\x02" + glob("collections OrderedDict") + b"NNs.", "build-on-global"
    yield "state with slots", b"\x80\x02" + glob("collections OrderedDict") + b")RN}\x86b.", "odd-arguments"
    yield "items into a number", b"\x80\x02K\x01Na.", "odd-arguments"
    yield "range of a list", b"\x80\x02" + glob("builtins range") + b"]\x85R.", "odd-arguments"
    yield (
        "bytearray of a number",
        b"\x80\x02" + glob("builtins bytearray") + b"J\xff\xff\xff\x7f\x85R.",
        "odd-arguments",
    )
    yield "a plain type called", b"\x80\x02" + glob("builtins list") + b"]\x85R.", "odd-arguments"
    yield (
        "encode to rot13",
        b"\x80\x02" + glob("_codecs encode") + text("x") + text("zlib") + b"\x86R.",
        "odd-arguments",
    )
    yield "defaultdict of an unknown", glob("collections defaultdict") + glob("a b") + b"\x85R.", "odd-arguments"
    yield (
        "reconstruct of a class",
        glob("numpy.core.multiarray _reconstruct") + glob("collections OrderedDict") + b"K\x00\x85C\x01b\x87R.",
        "odd-arguments",
    )
    yield (
        "bit generator of any class",
        glob("numpy.random._pickle __bit_generator_ctor") + glob("builtins set") + b"\x85R.",
        "odd-arguments",
    )
    yield "tensor of no storage", glob("torch._utils _rebuild_tensor_v2") + b"(NK\x00))\x89NtR.", "odd-arguments"
    yield "keyword arguments", b"\x80\x04" + glob("builtins complex") + b")}\x92.", "odd-arguments"
    yield "module with a space", b"\x80\x02" + glob("os\t system") + b".", "module-name-odd"
    yield "empty module", b"\x80\x02c\nsystem\n.", "module-name-odd"
    yield "module of other letters", b"\x80\x04" + text("о\u0455") + text("system") + b"\x93.", "module-name-odd"
    yield "module with a path", b"\x80\x04" + text("../os") + text("system") + b"\x93.", "module-name-odd"
    yield "name of nothing", b"\x80\x04" + text("os") + text("") + b"\x93.", "module-name-odd"
    yield "nothing after PROTO", b"\x80\x04", "broken-stream"
    yield "no STOP", b"\x80\x04]", "broken-stream"
    yield "stack too short", b"\x80\x04.", "broken-stream"
    yield "no mark", b"\x80\x04Nt.", "broken-stream"
    yield "no such memo", b"\x80\x04h\x07.", "broken-stream"
    yield "no such opcode", b"\x80\x04\xff.", "broken-stream"
    yield "negative length", b"\x80\x04T\xff\xff\xff\xff.", "broken-stream"
    yield "length beyond the end", b"\x80\x04B\xff\xff\xff\x7f.", "broken-stream"
    yield "below the mark", b"\x80\x04N(0(R.", "broken-stream"
    yield "a byte after", BENIGN + b"\x00", "trailing-data"
    yield "text after", BENIGN + b"hello world", "trailing-data"
    yield "memo key for a bomb", b"\x80\x02Nr\xff\xff\xff\x7f.", "limit-exceeded"
    yield (
        "a memo that is counted in two ways",
        b"\x80\x04"
        + text("json")
        + b"p-1\n0"
        + text("os")
        + b"\x940"
        + text("a")
        + b"\x940h\x01"
        + text("b")
        + b"\x93.",
        "readers-disagree",
    )
    weapon = call("os system")
    yield "broken after the call", call("os system", end=b"\xff"), "dangerous-callable"
    yield "cut after the call", call("os system", end=b""), "dangerous-callable"
    yield "broken, then the weapon", b"\x80\x04\xff\xff" + weapon, "dangerous-callable"
    yield "the second stream", BENIGN + weapon, "dangerous-callable"
    yield "the sixth stream", BENIGN * 5 + weapon, "dangerous-callable"
    yield "before a benign stream", weapon + BENIGN, "dangerous-callable"
    yield "the second stream, broken", BENIGN + weapon[:-1] + b"\xff", "dangerous-callable"
    yield "behind garbage", BENIGN + b"\x00" * 40 + weapon, "dangerous-callable"
    yield "old protocol behind garbage", BENIGN + b"\x00\x01\x02" + call_old("os system"), "dangerous-callable"
    yield "nested in bytes", b"\x80\x04" + blob(weapon) + b".", "dangerous-callable"
    yield "nested in bytes, as nested", b"\x80\x04" + blob(weapon) + b".", "nested"
    yield (
        "nested in a bytearray",
        b"\x80\x05\x96" + struct.pack("<Q", len(weapon)) + weapon + b".",
        "dangerous-callable",
    )
    yield "nested in text", b"\x80\x02" + text(weapon.decode("latin-1")) + b".", "dangerous-callable"
    yield "nested in Python 2 text", b"\x80\x02U" + bytes([len(weapon)]) + weapon + b".", "dangerous-callable"
    yield "nested, old protocol", b"\x80\x04" + blob(call_old("os system")) + b".", "dangerous-callable"
    yield "nested, benign", b"\x80\x04" + blob(BENIGN) + b".", "nested"
    yield (
        "nested thrice",
        b"\x80\x04" + blob(b"\x80\x04" + blob(b"\x80\x04" + blob(weapon) + b".") + b".") + b".",
        "dangerous-callable",
    )
    nested = weapon
    for _ in range(8):
        nested = b"\x80\x04" + blob(nested) + b"."
    yield "nested too deep", nested, "limit-exceeded"
    yield "nested and cut", b"\x80\x04" + blob(weapon[:-1]) + b".", "dangerous-callable"
    long = b"\x80\x04" + text("x" * 5000) + b"0" + weapon[2:]
    yield "nested in long text", b"\x80\x02" + text(long.decode("latin-1")) + b".", "dangerous-callable"
    yield (
        "nested in old text",
        b"V" + long.decode("latin-1").encode("raw-unicode-escape").replace(b"\n", b"\\u000a") + b"\n.",
        "dangerous-callable",
    )


def corpus() -> list[tuple[str, bytes, str]]:
    """Every crafted pickle: what it is, its bytes, and the rule it must break (without `pickle-`)."""
    cases = [
        (f"{name} by {WAYS[number % len(WAYS)].__name__}", WAYS[number % len(WAYS)](name), "dangerous-callable")
        for number, name in enumerate(DANGEROUS_NAMES)
    ]
    cases += [(f"os system once more by {way.__name__}", way("os system"), "dangerous-callable") for way in WAYS]
    cases += [
        (f"{name} by {WAYS[number % len(WAYS)].__name__}", WAYS[number % len(WAYS)](name), "unknown-callable")
        for number, name in enumerate(UNKNOWN_NAMES)
    ]
    cases += [
        (f"{name} by {WAYS[number % len(WAYS)].__name__}", WAYS[number % len(WAYS)](name), "odd-arguments")
        for number, name in enumerate(MISUSED_NAMES)
    ]
    return [*cases, *_name_tricks(), *_others()]


# --- honest ones ---------------------------------------------------------------------------------


def honest_values() -> dict[str, object]:
    """Values whose pickles make data and nothing else."""
    ordered: collections.OrderedDict[str, object] = collections.OrderedDict()
    for number in range(5):
        ordered[f"layer.{number}.weight"] = numpy.ones((4, number + 1), dtype="f4")
    ordered._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    zone = datetime.timezone(datetime.timedelta(hours=2), "there")
    return {
        "nested containers": {"a": [1, -5, 2.5, None, True, "text", b"bytes", (1, (2, 3)), {"b": [[], {}, ()]}]},
        "many": {"list": list(range(5000)), "dict": {str(i): i for i in range(3000)}, "tuple": tuple(range(3000))},
        "sets": [{1, 2}, frozenset((3,)), set(), frozenset()],
        "numbers": [0, 1 << 70, -(1 << 2000), complex(1, 2), range(1, 9, 2), slice(1, 2), 1e300, float("nan")],
        "bytes": [b"", b"\x80\x04", bytearray(b"abc"), bytearray(), bytes(5000), "x" * 5000, "\ud800", "ä" * 3000],
        "counters": [collections.Counter("abca"), collections.deque([1, 2], 5), collections.defaultdict(list, a=[1])],
        "state dict": ordered,
        "arrays": [numpy.arange(10), numpy.ones((3, 3), order="F"), numpy.array(["a", None], dtype=object)],
        "structured": numpy.zeros(3, dtype=[("a", "i4"), ("b", "f8", (2,))]),
        "texts and dates": [numpy.array(["a", "bc"]), numpy.array(["2020-01-01"], dtype="M8[D]")],
        "scalars": [numpy.float32(1.5), numpy.int64(4), numpy.bool_(True), numpy.dtype("f8"), numpy.float64],
        "random states": [numpy.random.RandomState(1)],
        "dates": [datetime.datetime(2026, 1, 2, 3, tzinfo=zone), datetime.date(2026, 1, 2), datetime.timedelta(3)],
        "others": [decimal.Decimal("1.5"), fractions.Fraction(1, 3), uuid.UUID(int=5), types.SimpleNamespace(a=1)],
        "paths": [pathlib.PurePosixPath("/a/b"), argparse.Namespace(lr=0.1)],
        "words of weapons": ["os.system", b"import subprocess", "eval(input())", "c", "class\nname\n", "(see\nbelow)"],
    }


def state_dict(names: int = 3) -> bytes:
    """What torch.save writes as `data.pkl`: a state dict of tensors in storages, protocol 2."""
    out = b"\x80\x02" + glob("collections OrderedDict") + b")Rq\x00("
    for number in range(names):
        key = str(number)
        persistent = b"(" + text("storage") + glob("torch FloatStorage") + text(key) + text("cpu") + b"K\x06tQ"
        hooks = glob("collections OrderedDict") + b")R"
        tensor = glob("torch._utils _rebuild_tensor_v2") + b"(" + persistent + b"K\x00K\x02K\x03\x86K\x03K\x01\x86\x89"
        out += text(f"layer.{number}.weight") + tensor + hooks + b"tR"
    return out + b"u}" + text("_metadata") + glob("collections OrderedDict") + b")Rsb."


def legacy_torch(names: int = 3) -> bytes:
    """What torch.save wrote before it wrote archives: five streams, then the storages."""
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    system = pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}, 2)
    streams = magic + pickle.dumps(1001, 2) + system + state_dict(names)
    streams += pickle.dumps([str(number) for number in range(names)], 2)
    return streams + b"".join(struct.pack("<q6f", 6, *range(6)) for _ in range(names))
