"""What the name of a file in a repository does by itself: on another system, in a shell, to a tool that finds it.

A name is judged alone (`judge_name`) and beside the others (`collisions`). Names that every model repository has (`.gitattributes`,
`.gitignore`, `.DS_Store` and the caches of tools) are ordinary.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from weighbridge.core.later import later

MAX_COMPONENTS: Final = 16

_DEVICE = later(
    r"(?:con|prn|aux|nul|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3]|conin\$|conout\$)\s*(?:\..*)?",
    re.IGNORECASE,
)
_RESERVED = later(r"[<>:\"|?*]")
_SHOWS_NOTHING = later(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\u2028\u2029\U000e0100-\U000e01ef]"
)
_DATA_ENDINGS = "safetensors|gguf|json|md|txt|onnx|bin|pt|pdf|png|jpg|jpeg|csv|parquet|model"
_PROGRAM_ENDINGS = "exe|scr|bat|cmd|com|ps1|vbs|lnk|js|jar|msi|sh|py|pyc|so|dll|dylib|pkl|pickle|hta|desktop|app"
_DOUBLE = later(rf".+\.(?:{_DATA_ENDINGS})\.(?:{_PROGRAM_ENDINGS})", re.IGNORECASE)
_LOOK_ALIKE: Final = str.maketrans(
    "аеорсухіѕԁјһոցԛԝАВЕКМНОРСТХІЅοαιρυνκτωΟΑΒΕΗΙΚΜΝΡΤΥΧΖıɡ․‐‑‒–—−⁄∕＿．",
    "aeopcyxisdjhngqwABEKMHOPCTXISoaipuvktwOABEHIKMNPTYXZig.------//_.",
)

_PLAIN = later(
    r"(?!(?i:con|prn|aux|nul|com|lpt|dockerfile))[A-Za-z0-9_][A-Za-z0-9_-]*"
    r"\.(?:safetensors|gguf|pkl|pickle|pt|pth|bin|ckpt|npy|npz|onnx|h5|joblib)"
)
"""Names in the top folder of which nothing that is judged here can be true."""

_STARTUP: Final = frozenset(("sitecustomize.py", "usercustomize.py", "none.py"))
_RUN_BY_NAME: Final = frozenset(
    ("handler.py", "hubconf.py", "conftest.py", "setup.py", "noxfile.py", "fabfile.py", "tasks.py", "__main__.py")
)
_WORKFLOWS = later(
    r"(?i)(?:\.github/(?:workflows|actions)/.+|\.gitlab-ci\.yml|\.circleci/.+|\.travis\.yml|jenkinsfile|\.pre-commit-config"
    r"\.yaml|\.devcontainer/.+|\.devcontainer\.json|\.vscode/(?:tasks|launch|settings)\.json|\.idea/.+|\.envrc|(?:.*/)?dockerfile"
    r"(?:\..+)?|(?:.*/)?(?:docker-)?compose\.ya?ml|(?:.*/)?makefile|\.husky/.+|azure-pipelines\.yml|cloudbuild\.yaml)"
)
_CREDENTIALS = later(
    r"(?i)(?:.*/)?(?:\.env(?:\.(?:local|prod|production|development|dev|test|staging))?|\.netrc|_netrc|\.npmrc|\.pypirc"
    r"|\.git-credentials|\.ssh/.+|\.aws/.+|\.azure/.+|\.kube/.+|\.gnupg/.+|\.docker/.+|\.huggingface/token|id_(?:rsa|dsa|ecdsa"
    r"|ed25519)|\.(?:bash|zsh|python)_history|\.htpasswd|credentials\.json|service[-_]account[\w-]*\.json|\.pgpass|.+\.(?:pem|pfx"
    r"|p12|keystore|jks|kdbx|ovpn))"
)
_ORDINARY_HIDDEN = later(
    r"(?i)(?:.*/)?(?:\.gitattributes|\.gitignore|\.gitkeep|\.keep|\.ds_store|\._[^/]*|\.editorconfig|\.dockerignore|\.nojekyll"
    r"|\.ipynb_checkpoints/.*|\.cache/.*|\.locks?/.*|\.hfignore|\.huggingface/(?!token$).*|\.mdl|\.msc|\.mv|\.flake8|\.pylintrc|\.style"
    r"\.yapf|\.clang-format|\.python-version|\.env\.(?:example|sample|template)|\.github/[^/]*|\.github/issue_template/.*"
    r"|\.eval_results/.*|\.assets/.*|\.ruff_cache/.*|\.pytest_cache/.*|\.vscode/extensions\.json|\.lfsconfig|\.hydra/.*"
    r"|\.argilla/.*|\.placeholder|\.no_exist/.*|\.tmp_?\w*/.*|\.summary|\.metadata|\.model-index\.ya?ml)"
)
_LIBRARIES = """
torch transformers tokenizers safetensors huggingface_hub numpy accelerate diffusers peft vllm sglang tensorflow jax flax
keras onnx onnxruntime sentencepiece datasets einops scipy pandas sklearn requests tqdm yaml packaging filelock regex typing
json os sys re io abc ast math time types copy enum random logging pathlib subprocess socket ssl pickle struct hashlib inspect
importlib functools itertools collections contextlib dataclasses warnings tempfile shutil threading asyncio urllib http email
zipfile tarfile ctypes platform string queue signal site codecs
"""
_LIBRARY_NAMES: Final = frozenset(_LIBRARIES.split())
_KNOWN_NAMES: Final = frozenset(
    (
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors",
        "adapter_config.json", "adapter_model.safetensors", "special_tokens_map.json", "chat_template.jinja",
        "preprocessor_config.json", "model_index.json", "model.safetensors.index.json", "tokenizer.model", "readme.md",
        "vocab.json", "merges.txt", "pytorch_model.bin", "added_tokens.json", "modules.json", "license",
    )
)  # fmt: skip


def judge_name(path: str) -> Iterator[tuple[str, str]]:
    """What the name does, as (a rule's id without its prefix, a message)."""
    if _PLAIN.fullmatch(path):
        return
    components = path.split("/")
    if _escapes(path, components):
        yield "name-escape", "the name is no relative path of plain components"
    if _SHOWS_NOTHING.search(path) or any(unicodedata.category(one) in ("Cc", "Cf", "Cs", "Co") for one in path):
        yield "name-hidden", "the name has control, reordering or invisible characters"
    if any(_is_reserved(one) for one in components):
        yield "name-reserved", "a component of the name is another one on Windows"
    if len(components) > MAX_COMPONENTS:
        yield "name-deep", f"the file lies {len(components) - 1} folders deep"
    base = components[-1]
    if _DOUBLE.fullmatch(base):
        yield "name-double", "the name has two endings, and the last is a program's or a pickle's"
    plain = base.translate(_LOOK_ALIKE)
    if not base.isascii() and plain != base and plain.isascii() and _is_known(plain):
        yield "name-lookalike", f"the name looks like {plain!a} and is not"
    yield from _acts(path, components)


def _escapes(path: str, components: list[str]) -> bool:
    return (
        not path
        or path.startswith("~")
        or "\\" in path
        or any(one in ("", ".", "..") for one in components)
        or re.match(r"[A-Za-z]:", path) is not None
    )


def _is_reserved(component: str) -> bool:
    if component in ("", ".", ".."):
        return False
    return component[-1] in ". " or _DEVICE.fullmatch(component) is not None or bool(_RESERVED.search(component))


def _is_known(name: str) -> bool:
    return name.lower() in _KNOWN_NAMES or re.fullmatch(r"[\w.-]+\.(?:safetensors|gguf|json|py|bin)", name) is not None


def _acts(path: str, components: list[str]) -> Iterator[tuple[str, str]]:
    base, lower = components[-1].lower(), path.lower()
    if base in _STARTUP:
        yield "startup-code", "Python or a loader imports a file of this name by itself"
    elif base in _RUN_BY_NAME or (base == "entry_points.txt" and _is_metadata(components)):
        yield "runs-by-name", "tools run a file of this name"
    elif _shadows(components):
        yield "shadowing", "the module has the name of a library"
    if ".git" in (one.lower() for one in components) or base in (".gitmodules", ".gitconfig"):
        yield "git-folder", "the file belongs to the inside of a Git repository"
    elif _CREDENTIALS.fullmatch(path) and not _ORDINARY_HIDDEN.fullmatch(path):
        yield "credentials", "a file of this name keeps credentials"
    elif _WORKFLOWS.fullmatch(path):
        yield "workflow", "the file automates or builds something"
    elif any(one.startswith(".") and one.strip(".") for one in lower.split("/")) and not _ORDINARY_HIDDEN.fullmatch(
        path
    ):
        yield "hidden-file", "the name is hidden"


def _is_metadata(components: list[str]) -> bool:
    """Whether the file lies in the metadata of a Python package: entry points of any folder on the path are plugins."""
    return len(components) > 1 and components[-2].lower().endswith((".dist-info", ".egg-info"))


def _shadows(components: list[str]) -> bool:
    top = components[0]
    module = top.removesuffix(".py") if len(components) == 1 else top if components[1] == "__init__.py" else ""
    return module in _LIBRARY_NAMES and (len(components) > 1 or top.endswith(".py"))


def collisions(paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pairs of a path and another that is the same where case and Unicode form are ignored, or lies inside of it."""
    seen: dict[str, str] = {}
    for path in paths:
        folded = unicodedata.normalize("NFKC", path).casefold()
        if folded in seen:
            yield path, seen[folded]
        seen.setdefault(folded, path)
    for folded, path in seen.items():
        parent = folded.rpartition("/")[0]
        while parent:
            if parent in seen:
                yield path, seen[parent]
            parent = parent.rpartition("/")[0]
