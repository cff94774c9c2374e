"""Callables that are known to run code, start processes, or lead to what does, when a pickle names them.

The names come from published bypasses and advisories and from reading what the callables do. A whole module stands for
everything in it and below it. The lists only name and grade a refusal: what is on no list is refused as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.formats.pickle_values import Global
from weighbridge.inspectors.pickles.callables import allowed
from weighbridge.inspectors.pickles.checks import Danger
from weighbridge.inspectors.pickles.names import canonical_name


def _words(text: str) -> list[str]:
    return text.split()


_MODULES: Final[Mapping[Danger, str]] = {
    Danger.EXECUTION: """
        code codeop runpy timeit profile cProfile trace bdb pdb doctest cmd idlelib IPython pty py_compile compileall
        lib2to3 pydoc unittest test distutils setuptools pip ensurepip venv zipapp nt posix tkinter turtle
        _pyrepl _testcapi _xxsubinterpreters _interpreters concurrent.interpreters sched _thread
        concurrent.futures asyncio multiprocessing numpy.testing numpy.f2py numpy.distutils torch._dynamo
        torch._inductor torch._export torch.utils.cpp_extension torch.utils.bottleneck torch.utils.collect_env
        torch.utils._config_module torch.testing torch.multiprocessing torch._appdirs
        torch.package jinja2 mako cffi numba sympy.utilities tensorflow.python.framework.load_library
        cloudpickle hydra fire invoke fabric pexpect sh plumbum nose pytest _pytest coverage nbconvert ipykernel
        jupyter_client celery rq dask.distributed distributed ray pyspark smtpd wsgiref cgitb
        torch.utils.hipify torch.utils.data.datapipes torch.utils.model_dump transformers.dynamic_module_utils
        scipy._lib._uarray scipy._lib.deprecation pandas.core.computation numexpr
        pipes torch.fx fickling picklescan modelscan modelaudit modelaudit_picklescan torch.utils.data.datapipes
        ctypes.util sqlite3.dbapi2 gdb site sitecustomize usercustomize rlcompleter this antigravity
    """,
    Danger.PROCESS: "_osx_support _aix_support os subprocess _posixsubprocess popen2 commands webbrowser platform _winapi msvcrt winreg signal",
    Danger.IMPORTING: "importlib _frozen_importlib _frozen_importlib_external pkgutil zipimport imp modulefinder zipfile"
    " pkg_resources _imp",
    Danger.INTROSPECTION: "__builtins__ sys inspect gc operator _operator functools _functools copyreg linecache atexit",
    Danger.LOADER: """
        pickle _pickle cPickle pickletools dill joblib shelve marshal klepto jsonpickle yaml hickle sklearn.utils._joblib
        joblib.numpy_pickle torch.serialization torch.hub numpy.lib.npyio numpy.lib._npyio_impl
        numpy.lib.format pandas.io.pickle pandas.compat.pickle_compat logging.config dbm
    """,
    Danger.NATIVE: "ctypes _ctypes mmap cffi _cffi_backend pybind11 numpy.ctypeslib torch.ops torch._ops torch.classes"
    " llvmlite pycuda",
    Danger.NETWORK: "socket _socket ssl http urllib urllib3 requests httpx aiohttp ftplib smtplib poplib imaplib nntplib"
    " telnetlib xmlrpc socketserver asyncore asynchat paramiko websocket boto3 botocore uuid._uuid"
    " huggingface_hub fsspec",
    Danger.FILES: "shutil tempfile io _io fileinput mailbox mailcap tarfile gzip bz2 lzma sqlite3 _sqlite3 netrc codecs"
    " ntpath posixpath genericpath",
    Danger.SYSTEM: "faulthandler resource syslog fcntl termios tty pwd grp spwd readline curses",
}
_NAMES: Final[Mapping[Danger, str]] = {
    Danger.EXECUTION: """
        typing._eval_type typing.get_type_hints typing.ForwardRef._evaluate uuid._get_command_stdout
        builtins.eval builtins.exec builtins.compile builtins.execfile builtins.map builtins.filter builtins.breakpoint
        builtins.help builtins.input builtins.apply functools.reduce functools.singledispatch
        itertools.starmap itertools.accumulate itertools.groupby itertools.takewhile itertools.dropwhile
        itertools.filterfalse types.CodeType types.FunctionType types.LambdaType dataclasses._create_fn torch.jit.unsupported_tensor_ops.execWrapper torch.jit._script.script
        numpy.testing._private.utils.runstring numpy.testing._private.utils.measure numpy.vectorize
        numpy.apply_along_axis numpy.apply_over_axes numpy.piecewise numpy.fromfunction numpy.frompyfunc numpy.savetxt
        numpy.f2py.crackfortran.getlincoef numpy.f2py.crackfortran.param_eval numpy.f2py.crackfortran._eval_length
        numpy.f2py.crackfortran._eval_scalar numpy.f2py.diagnose.run_command numpy.core.overrides.array_function_dispatch
        pandas.eval pandas.core.frame.DataFrame.eval pandas.core.frame.DataFrame.query pandas.DataFrame.eval
        sympy.sympify sympy.core.sympify.sympify sympy.parsing.sympy_parser.parse_expr sympy.lambdify
        sklearn.utils._testing.check_skip_network
        joblib.parallel.Parallel joblib.parallel.delayed joblib.hashing.hash
        joblib.func_inspect.get_func_code joblib._parallel_backends.ImmediateResult sklearn.utils.parallel.Parallel
        sklearn.utils.parallel._FuncWrapper torch.utils.data._utils.worker._worker_loop torch.compile
        torch.nn.modules.module._global_forward_hooks torch.utils.checkpoint.checkpoint torch.func.vmap
        torch._functorch.vmap torch.overrides.handle_torch_function torch.library.Library
        torch.cuda._lazy_call torch.utils._import_utils.check_module_exists torch._jit_internal.boolean_dispatch
        torch.utils._pytree.tree_map torch._C._dynamo torch._C._jit_pass_onnx
        tensorflow.python.ops.script_ops.py_func tensorflow.py_function keras.layers.Lambda
        keras.src.layers.core.lambda_layer.Lambda keras.utils.get_source_inputs keras.saving.deserialize_keras_object
        transformers.utils.import_utils._LazyModule transformers.utils.import_utils.define_import_structure
        transformers.pipelines.pipeline transformers.utils.hub.cached_file lightgbm.compat.dask_Client
        scipy.optimize._numdiff.approx_derivative scipy.integrate._quadpack_py.quad scipy.LowLevelCallable
        unittest.mock._importer unittest.mock.patch ensurepip._run_pip cloudpickle.cloudpickle._builtin_type
        cloudpickle.cloudpickle._make_function cloudpickle.cloudpickle.subimport fickling.fickle.Pickled
        networkx.utils.decorators.argmap numba.core.serialize._unpickle__CustomPickled
    """,
    Danger.INTROSPECTION: """
        builtins.setattr builtins.delattr builtins.hasattr builtins.globals builtins.locals
        builtins.vars builtins.dir builtins.super builtins.property builtins.classmethod
        builtins.staticmethod builtins.memoryview builtins.id builtins.callable builtins.iter builtins.next
        builtins.__build_class__ builtins.object.__reduce_ex__ operator.attrgetter operator.methodcaller
        operator.itemgetter operator.call _operator.attrgetter _operator.methodcaller _operator.itemgetter
        copyreg.add_extension copyreg.pickle collections.namedtuple
        collections.UserDict collections.ChainMap enum.Enum enum._make_class_unpicklable
        torch.nn.modules.module.Module.__getattr__
    """,
    Danger.IMPORTING: """
        builtins.__import__ unittest.mock._dot_lookup logging.config._resolve pydoc.locate pydoc.safeimport
        xml.sax.make_parser encodings.search_function hydra.utils.instantiate hydra.utils.get_class
        hydra._internal.utils._locate omegaconf.resolvers pytorch_lightning.utilities.imports torch.hub._load_local
        keras.utils.get_registered_object django.utils.module_loading.import_string werkzeug.utils.import_string
    """,
    Danger.LOADER: """
        torch.load torch.jit.load torch.hub.load torch.package.PackageImporter torch.storage._load_from_bytes
        torch.serialization.load torch._weights_only_unpickler.load numpy.load numpy.loads numpy.fromregex
        numpy.genfromtxt numpy.loadtxt numpy.core.multiarray.loads numpy.lib.npyio.load numpy.lib.format.read_array
        pandas.read_pickle pandas.read_hdf pandas.read_csv pandas.io.pickle.read_pickle pandas.io.pytables.HDFStore
        sklearn.datasets.fetch_openml sklearn.datasets._base.load_files joblib.load joblib.numpy_pickle.load
        joblib.numpy_pickle_compat.load_compatibility joblib.numpy_pickle.NumpyUnpickler
        multiprocessing.reduction.ForkingPickler.loads multiprocessing.connection.Client
        xgboost.core.Booster.load_model scipy.io.loadmat tensorflow.keras.models.load_model
        keras.models.load_model keras.saving.load_model tensorflow.saved_model.load onnxruntime.InferenceSession
        transformers.AutoModel.from_pretrained transformers.AutoTokenizer.from_pretrained
        statsmodels.iolib.smpickle.load_pickle mlflow.pyfunc.load_model skops.io.load nltk.data.load
        gensim.utils.unpickle datasets.load_dataset lib2to3.pgen2.grammar.Grammar.loads
        torch.distributed.distributed_c10d._tensor_to_object torch.utils.model_zoo.load_url
        yaml.load yaml.unsafe_load yaml.full_load dask.dataframe.read_parquet ray.cloudpickle.loads spacy.load
    """,
    Danger.FILES: """
        builtins.open builtins.print io.open io.FileIO _io.open _io.FileIO _io.open_code codecs.open numpy.fromfile
        numpy.save numpy.savez numpy.memmap numpy.core.records.fromfile numpy.DataSource numpy.lib._datasource.open
        torch.save torch.from_file pandas.read_json pandas.read_table pandas.core.generic.NDFrame.to_csv
        linecache.getlines distutils.file_util.write_file logging.FileHandler logging.handlers.RotatingFileHandler
        torch.UntypedStorage.from_file PIL.Image.open safetensors.torch.save_file json.tool.main xml.etree.ElementTree.parse
    """,
    Danger.SYSTEM: """
        builtins.exit builtins.quit _sitebuiltins.Quitter random._os._exit
    """,
}
_SUFFIXES: Final = frozenset(
    _words("os posix nt subprocess sys builtins __builtins__ importlib ctypes socket shutil pty runpy pickle")
)
_REACHING: Final = frozenset(
    _words(
        "__globals__ __subclasses__ __mro__ __bases__ __base__ __builtins__ __dict__ __class__ __import__ __loader__"
        " __spec__ __getattribute__ __getattr__ __reduce__ __reduce_ex__ __code__ __closure__ __call__ __func__ __self__"
        " __init__ __new__ __setattr__ __delattr__ __setstate__ f_globals f_builtins gi_frame"
    )
)


def _by_name() -> dict[str, Danger]:
    return {name: danger for danger, names in _NAMES.items() for name in _words(names)}


def _by_module() -> dict[str, Danger]:
    return {module: danger for danger, modules in _MODULES.items() for module in _words(modules)}


DANGEROUS: Final[Mapping[str, Danger]] = _by_name()
DANGEROUS_MODULES: Final[Mapping[str, Danger]] = _by_module()


def danger_of(value: Global, protocol: int = 0) -> Danger | None:
    """What is known against a global, also when the name walks from one object to another (`os.path.os.system`)."""
    entry = allowed(value, protocol)
    if entry is not None:
        return entry.unless_called
    full = canonical_name(value, protocol)
    parts = full.split(".")
    found = _listed(parts)
    if found is not None:
        return found
    for place in range(1, len(parts)):
        if parts[place] in _SUFFIXES:
            # A bare module reached through another still has to be called by something.
            return _listed(parts[place:]) or Danger.INTROSPECTION
    if any(part in _REACHING for part in value.name.split(".")):
        return Danger.INTROSPECTION
    return None


def _listed(parts: list[str]) -> Danger | None:
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        found = DANGEROUS.get(name) or DANGEROUS_MODULES.get(name)
        if found is not None:
            return found
    return None
