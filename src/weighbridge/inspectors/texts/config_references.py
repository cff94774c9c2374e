"""What does a text in a configuration name that a loader would import: which module, from where?

The forms are those of transformers (`module.Class`, `org/repo--module.Class`), diffusers (`["module", "Class"]`) and of
every loader that imports a dotted path (hydra, PEFT, sentence-transformers, jsonpickle). Nothing is resolved: the verdict
must not depend on what is installed.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.inspectors.dotted_names import Standing, standing_of

_NAME = r"[^\W\d]\w*"
_LOCAL = re.compile(rf"({_NAME})\.({_NAME})")
# A module file may lie in a folder of the repository, written with dots or slashes.
_LOCAL_DEEP = re.compile(rf"(?:{_NAME}[./])+({_NAME})\.({_NAME})")
_REPOSITORY = re.compile(r"[\w.-]{1,96}(?:/[\w.-]{1,96})?")
_DOTTED = re.compile(rf"{_NAME}(?:\.{_NAME})+")
_HUB_KERNEL = re.compile(r"[^/:\s]+/[^/:\s]+(?:@[^/:\s]+)?(?::[^/:\s]+)?")

_UNMISTAKABLE = re.compile(
    r"(?:os|posix|nt)\.(?:system|popen\w*|exec\w+|spawn\w+|startfile|remove|unlink|posix_spawnp?)"
    r"|subprocess\.\w+|(?:builtins|__builtin__|__builtins__)\.\w+|importlib\.import_module|runpy\.run_\w+|pty\.spawn"
    r"|shutil\.rmtree|webbrowser\.open|ctypes\.(?:CDLL|cdll\.LoadLibrary)|pickle\.loads?|marshal\.loads|torch\.hub\.load"
)

_DANGEROUS_ROOTS_NAMES = """
os posix nt sys subprocess builtins __builtin__ __builtins__ importlib imp runpy code codeop pty popen2 commands
shutil socket ctypes cffi pickle _pickle cPickle dill cloudpickle joblib marshal shelve webbrowser multiprocessing
asyncio pdb bdb trace timeit cProfile profile doctest pip setuptools distutils ensurepip venv pkgutil zipimport
zipapp gc antigravity urllib requests httpx http ftplib smtplib telnetlib xmlrpc socketserver paramiko fabric invoke
plumbum sh pexpect execnet idlelib lib2to3 site sitecustomize usercustomize
numpy.testing numpy.distutils numpy.f2py torch.hub torch.utils.cpp_extension torch.utils.bottleneck
torch.utils.collect_env torch.utils.benchmark torch.distributed.run torch.distributed.launch torch.package
torch.serialization torch.jit torch.ops torch.classes torch.load torch.save torch._inductor torch._dynamo
torch.fx.graph_module transformers.dynamic_module_utils transformers.utils.import_utils transformers.utils.hub
huggingface_hub diffusers.utils.dynamic_modules_utils pandas.read_pickle pandas.eval numpy.load hydra.utils
tensorflow.io tensorflow.py_function tensorflow.numpy_function tensorflow.load_op_library
keras.utils.get_file yaml.load yaml.unsafe_load jinja2 mako
"""
DANGEROUS_ROOTS: Final = frozenset(_DANGEROUS_ROOTS_NAMES.split())
"""Modules (or single callables) that a configuration has no honest reason to name as something to be called."""

_LIBRARY_ROOTS_NAMES = """
transformers diffusers peft sentence_transformers torch torchvision torchaudio timm open_clip accelerate optimum
onnxruntime optimum.onnxruntime pylate keras tf_keras tensorflow setfit model2vec bitsandbytes
"""
LIBRARY_ROOTS: Final = frozenset(_LIBRARY_ROOTS_NAMES.split())
"""Libraries whose classes loaders take by name every day."""


MAX_NAME: Final = 300
"""Characters of the longest reference that is read as one."""


class Origin(Enum):
    """Where the code that is named lies."""

    HERE = "here"
    """In the same repository."""
    ELSEWHERE = "elsewhere"
    """In another repository: whatever it holds on the day of loading."""
    OUTSIDE = "outside"
    """The text is no reference that any loader documents, or leads out of the repository."""


@dataclass(frozen=True, slots=True)
class CodeReference:
    """A class in a module that a loader fetches and runs. `module` has no ending; `repository` is empty for this one."""

    origin: Origin
    module: str = ""
    name: str = ""
    repository: str = ""


def code_reference(text: str) -> CodeReference:
    """Reads what `auto_map` holds: `module.Class` or `org/repo--module.Class`."""
    if len(text) > MAX_NAME:
        return CodeReference(Origin.OUTSIDE)
    repository, separator, rest = text.partition("--")
    if not separator:
        repository, rest = "", text
    elif not _REPOSITORY.fullmatch(repository) or ".." in repository:
        return CodeReference(Origin.OUTSIDE)
    local = _LOCAL.fullmatch(rest) or _LOCAL_DEEP.fullmatch(rest)
    if local is None:
        return CodeReference(Origin.OUTSIDE)
    module = rest.rpartition(".")[0].replace(".", "/")
    origin = Origin.ELSEWHERE if separator else Origin.HERE
    return CodeReference(origin, module, local.group(2), repository)


def is_dotted(text: str) -> bool:
    """Whether it is `package.module.name`: something an importing loader could take."""
    return len(text) <= MAX_NAME and _DOTTED.fullmatch(text) is not None


def is_dangerous(dotted: str) -> bool:
    """Whether it names what runs code or reaches out of the process; also the bare name of such a module."""
    # Prefixes are compared one by one; no honest name has more parts, and the last one is looked at anyway.
    parts = [*dotted[:MAX_NAME].split(".")[:8], dotted.rpartition(".")[2][:MAX_NAME]]
    if is_dotted(dotted) and standing_of(dotted) is Standing.WEAPON:
        return True
    return any(".".join(parts[:count]) in DANGEROUS_ROOTS for count in range(1, len(parts))) or parts[-1] in (
        "system",
        "popen",
        "Popen",
        "eval",
        "exec",
        "__import__",
        "import_module",
        "check_output",
        "loads",
        "run_path",
        "run_module",
    )


def is_shell_or_loader(dotted: str) -> bool:
    """Whether it names one of the few callables that are recognised wherever they stand, whatever the key."""
    return _UNMISTAKABLE.fullmatch(dotted) is not None


def is_of_library(dotted: str) -> bool:
    """Whether its module belongs to a library that loaders of models know."""
    parts = dotted.split(".")
    return parts[0] in LIBRARY_ROOTS or ".".join(parts[:2]) in LIBRARY_ROOTS


def hub_repository(text: str) -> str:
    """The repository that a kernel reference names (`org/repo[@revision][:function]`, `paged|org/repo`), or ""."""
    name = text.rpartition("|")[2]
    if "/" not in name:
        return ""
    return name.partition("@")[0].partition(":")[0] if _HUB_KERNEL.fullmatch(name) else name
