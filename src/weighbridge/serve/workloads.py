"""Which models, endpoints, images and code switches a Kubernetes object names, wherever in it they stand.

Rules:

- the whole object is walked, so that a template in a Deployment, a CronJob, an InferenceService or a resource that nobody
  here knows is found as in a Pod; more than `MAX_NODES` values or `MAX_DEPTH` levels are refused;
- a mapping with `image`, `args`, `command`, `env` or `envFrom` is taken for a container. Its words are `command` and `args`, those
  of a shell command split as a shell does; `$(NAME)` is replaced from its `env` as the kubelet does;
- what is told is what is written. What only the cluster knows (a value from a Secret, a volume) is told as not known;
- nothing here judges. `admission_webhook` does.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, TypeAlias

from weighbridge.core.errors import LimitExceeded

Json: TypeAlias = "Mapping[str, Json] | list[Json] | str | int | float | bool | None"

MAX_NODES: Final = 50_000
MAX_DEPTH: Final = 100
MAX_WORDS: Final = 10_000
MODEL_FLAGS: Final = frozenset(
    {
        "--model", "--model-id", "--model-path", "--model-name-or-path", "--pretrained-model-name-or-path", "--hf-repo", "-hf", "-hfr",
        "--tokenizer", "--tokenizer-path", "--tokenizer-name", "--speculative-model", "--speculative-draft-model-path", "--draft-model",
        "--hf-repo-draft", "-hfd", "-hfrd", "--hf-config-path", "--model-url", "-mu", "--lora-modules", "--lora-paths", "--model-uri", "--adapter",
    }
)  # fmt: skip
"""Flags of vLLM, SGLang, TGI, TEI, llama.cpp and KServe's servers whose value names a model."""
REVISION_FLAGS: Final = {
    "--revision": "--model",
    "--model-revision": "--model",
    "--tokenizer-revision": "--tokenizer",
    "--code-revision": "",
}
CODE_FLAGS: Final = frozenset({"--trust-remote-code", "--trust-request-chat-template-code"})
MODEL_VARIABLES: Final = frozenset(
    {
        "MODEL_ID", "HF_MODEL_ID", "HUGGING_FACE_MODEL_ID", "MODEL", "VLLM_MODEL", "MODEL_REPO", "HF_REPO", "HF_REPO_ID", "REPO_ID",
        "LLAMA_ARG_HF_REPO", "LLAMA_ARG_MODEL_URL", "LLAMA_ARG_MODEL", "STORAGE_URI", "MODEL_URI", "MODEL_PATH", "TOKENIZER",
    }
)  # fmt: skip
REVISION_VARIABLES: Final = frozenset({"REVISION", "MODEL_REVISION", "HF_REVISION", "HF_MODEL_REVISION"})
ENDPOINT_VARIABLES: Final = frozenset({"HF_ENDPOINT", "MODEL_ENDPOINT"})
CODE_VARIABLES: Final = frozenset(
    {"TRUST_REMOTE_CODE", "HF_TRUST_REMOTE_CODE", "HF_MODEL_TRUST_REMOTE_CODE", "SGLANG_TRUST_REMOTE_CODE"}
)
ELSEWHERE_VARIABLES: Final = frozenset(
    {"VLLM_USE_MODELSCOPE", "SGLANG_USE_MODELSCOPE", "LMDEPLOY_USE_MODELSCOPE", "USE_MODELSCOPE_HUB"}
)
"""Switches that make a server fetch from another hub, whatever the endpoint."""
URI_KEYS: Final = frozenset({"storageUri", "storage_uri", "modelUri", "modelURI", "storageURI"})
_HUB_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")
_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_SHELL_REFERENCE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
_SCHEME = re.compile(r"(?:hf|s3|gs|az|abfss?|oci|pvc|https?|azblob|modelscope|ms|wasbs?)://", re.IGNORECASE)
_SERVERS = re.compile(
    r"vllm|sglang|text-generation-inference|text-embeddings|huggingfaceserver|lmdeploy|llama|tgi|tei|ollama",
    re.IGNORECASE,
)
_CONTAINER_KEYS: Final = ("image", "args", "command", "env", "envFrom")
_TRUE: Final = frozenset({"1", "true", "yes", "on"})


class Claim(Enum):
    """What something in an object says."""

    MODEL = "model"
    """A model: a repository's name, a URI, or a path within the container."""
    ENDPOINT = "endpoint"
    IMAGE = "image"
    REMOTE_CODE = "remote code"
    OTHER_HUB = "other hub"
    UNKNOWN = "unknown"
    """Something that bears on models, and whose value only the cluster knows."""


@dataclass(frozen=True, slots=True)
class Said:
    """One claim, where it stands (`spec.containers[0].args[1]`), and for a model its revision and its container's endpoint."""

    claim: Claim
    field: str
    value: str
    revision: str = ""
    endpoint: str = ""
    container: str = ""
    """The field of the container; "" outside of one."""


@dataclass(frozen=True, slots=True)
class _Word:
    field: str
    text: str


def claims_of(workload: Json) -> list[Said]:
    """Everything that a Kubernetes object says of models.

    Raises:
        LimitExceeded: it is too deep or too large to be judged.
    """
    said: list[Said] = []
    for field, node, inside in _walk(workload):
        if isinstance(node, str):
            said.extend(_uri_claims(field, node))
        elif isinstance(node, Mapping) and not inside and any(key in node for key in _CONTAINER_KEYS):
            said.extend(_container_claims(field, node))
    return said


def is_hub_id(text: str) -> bool:
    """Whether the text could name a repository of a hub, `org/name`."""
    return _HUB_ID.fullmatch(text) is not None


def has_scheme(text: str) -> bool:
    """Whether the text is a URI of a kind that models come by."""
    return _SCHEME.match(text) is not None


def _walk(root: Json) -> Iterator[tuple[str, Json, bool]]:
    """Field, value, and whether it lies in the words or variables of a container (which are read with the container)."""
    left = MAX_NODES
    stack: list[tuple[str, Json, bool, int]] = [("", root, False, 0)]
    while stack:
        field, node, inside, depth = stack.pop()
        left -= 1
        if left < 0 or depth > MAX_DEPTH:
            raise LimitExceeded("the object is too large or too deep to be judged")
        yield field, node, inside
        if isinstance(node, Mapping):
            is_container = any(key in node for key in _CONTAINER_KEYS)
            for key in reversed(list(node)):
                if not field and key in ("status", "metadata"):
                    continue
                within = inside or (is_container and key in ("args", "command", "env"))
                stack.append((f"{field}.{key}" if field else str(key), node[key], within, depth + 1))
        elif isinstance(node, list):
            stack.extend((f"{field}[{at}]", node[at], inside, depth + 1) for at in range(len(node) - 1, -1, -1))


def _uri_claims(field: str, text: str) -> Iterator[Said]:
    """A URI in a field that is one by its name."""
    key = field.rpartition(".")[2].partition("[")[0]
    parent = field.rpartition(".")[0].rpartition(".")[2].partition("[")[0]
    if key in URI_KEYS or (key == "uri" and (parent == "model" or "adapter" in parent.lower())):
        yield Said(Claim.MODEL, field, text)
    elif key == "reference" and parent == "image":
        yield Said(Claim.IMAGE, field, text)


# --- containers ----------------------------------------------------------------------------------


def _container_claims(field: str, container: Mapping[str, Json]) -> Iterator[Said]:
    variables, unknown = _variables(container)
    words = _words(field, container, variables)
    endpoint = next((variables[name] for name in sorted(ENDPOINT_VARIABLES) if name in variables), "")
    models = [*_model_words(words, container), *_model_variables(field, container, variables)]
    for said in models:
        yield replace(said, endpoint=endpoint, container=field)
    yield from (Said(Claim.UNKNOWN, _under(field, where), what, container=field) for where, what in unknown)
    yield from _code_claims(field, words, container)
    for name, where, value in _literal(field, container):
        if name in ENDPOINT_VARIABLES:
            yield Said(Claim.ENDPOINT, where, value, container=field)
        elif name in ELSEWHERE_VARIABLES and value.lower() in _TRUE:
            yield Said(Claim.OTHER_HUB, where, name, container=field)
    image = container.get("image")
    if isinstance(image, str):
        yield Said(Claim.IMAGE, _under(field, "image"), image, container=field)
    if models and container.get("envFrom"):
        yield Said(Claim.UNKNOWN, _under(field, "envFrom"), "variables of a ConfigMap or Secret", container=field)
    if _is_server(container, words):
        for word in words:
            if word.text == "--config":
                yield Said(Claim.UNKNOWN, word.field, "a server's configuration file", container=field)


def _under(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


def _is_server(container: Mapping[str, Json], words: list[_Word]) -> bool:
    """Whether a known model server runs here, by its image or its first words."""
    image = container.get("image")
    named = isinstance(image, str) and _SERVERS.search(image.partition("@")[0]) is not None
    return named or any(_SERVERS.search(word.text) is not None for word in words[:6] if not word.text.startswith("-"))


def _entries(container: Mapping[str, Json]) -> Iterator[tuple[int, str, Mapping[str, Json]]]:
    env = container.get("env")
    for at, entry in enumerate(env if isinstance(env, list) else []):
        if isinstance(entry, Mapping) and isinstance(name := entry.get("name"), str):
            yield at, name, entry


def _literal(field: str, container: Mapping[str, Json]) -> Iterator[tuple[str, str, str]]:
    """Name, field and value of the variables that are written out."""
    variables, _ = _variables(container)
    for at, name, entry in _entries(container):
        if "valueFrom" not in entry:
            yield name, _under(field, f"env[{at}]"), variables.get(name, "")


def _variables(container: Mapping[str, Json]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The variables as the kubelet sets them, and those that bear on models and are not known."""
    known: dict[str, str] = {}
    unknown: list[tuple[str, str]] = []
    telling = MODEL_VARIABLES | REVISION_VARIABLES | ENDPOINT_VARIABLES | CODE_VARIABLES | ELSEWHERE_VARIABLES
    for at, name, entry in _entries(container):
        value = entry.get("value")
        if "valueFrom" in entry:
            known.pop(name, None)
            if name in telling:
                unknown.append((f"env[{at}]", f"{name}, which is set from elsewhere"))
        else:
            known[name] = _expanded(value if isinstance(value, str) else "", known)
    return known, unknown


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    """`$(NAME)` replaced where the variable is known, as the kubelet does it; one pass, so nothing grows twice."""
    if len(text) > 64 * 1024:
        raise LimitExceeded("a value of the object is too long to be judged")
    return _REFERENCE.sub(lambda found: variables.get(found[1], found[0])[:4_096], text)


def _words(field: str, container: Mapping[str, Json], variables: Mapping[str, str]) -> list[_Word]:
    """The words of a container's command line, in order, flags and values apart."""
    found: list[_Word] = []
    for key in ("command", "args"):
        texts = container.get(key)
        for at, text in enumerate(texts if isinstance(texts, list) else []):
            where = _under(field, f"{key}[{at}]")
            expanded = _expanded(text if isinstance(text, str) else str(text), variables)
            if any(letter.isspace() for letter in expanded):
                expanded = _SHELL_REFERENCE.sub(lambda found: variables.get(found[1], found[0])[:4_096], expanded)
            found.extend(_Word(where, part) for part in _parts(expanded))
            if len(found) > MAX_WORDS:
                raise LimitExceeded("a command of the object is too long to be judged")
    return found


def _parts(text: str) -> Iterator[str]:
    """`--flag=value` as two words; a shell's command as its words."""
    words = [text]
    if any(letter.isspace() for letter in text):
        try:
            words = shlex.split(text, comments=True)
        except ValueError:
            words = text.split()
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name.startswith("-"):
            yield from (name, value)
        elif equals and name in MODEL_VARIABLES | REVISION_VARIABLES | ENDPOINT_VARIABLES | CODE_VARIABLES:
            yield from (f"{name}=", value)
        else:
            yield word


def _flag(word: str) -> str:
    return word.replace("_", "-") if word.startswith("--") else word


def _model_words(words: list[_Word], container: Mapping[str, Json]) -> Iterator[Said]:
    revisions = {
        REVISION_FLAGS[_flag(word.text)]: after.text
        for word, after in itertools.pairwise(words)
        if _flag(word.text) in REVISION_FLAGS
    }
    named = False
    for at, word in enumerate(words[:-1]):
        flag = _flag(word.text)
        if flag in MODEL_FLAGS or word.text[:-1] in (MODEL_VARIABLES if word.text.endswith("=") else ()):
            named = named or flag in ("--model", "--model-id", "--model-path")
            revision = revisions.get("--tokenizer" if "tokenizer" in flag else "--model", "")
            yield from _values(words[at + 1 :], flag, revision)
    if not named:
        yield from _positional(words, container, revisions.get("--model", ""))


def _values(after: list[_Word], flag: str, revision: str) -> Iterator[Said]:
    """The value of a flag; of those that take several, all, each without its `name=`."""
    several = flag in ("--lora-modules", "--lora-paths")
    for word in after if several else after[:1]:
        if several and word.text.startswith("-"):
            return
        value = word.text.partition("=")[2] or word.text if several else word.text
        yield Said(Claim.MODEL, word.field, value, revision)


def _positional(words: list[_Word], container: Mapping[str, Json], revision: str) -> Iterator[Said]:
    """The model that a server takes without a flag: `vllm serve MODEL`, or the first word for a server's image."""
    for at, word in enumerate(words[:-1]):
        if word.text == "serve" and at and _SERVERS.search(words[at - 1].text):
            if not words[at + 1].text.startswith("-"):
                yield Said(Claim.MODEL, words[at + 1].field, words[at + 1].text, revision)
            return
    image = container.get("image")
    is_server = isinstance(image, str) and _SERVERS.search(image.partition("@")[0]) is not None
    if is_server and not container.get("command") and words and not words[0].text.startswith("-"):
        yield Said(Claim.MODEL, words[0].field, words[0].text, revision)
        words = words[1:]
    # An init container names what it fetches, as KServe's storage initializer does.
    fetches = is_server or (isinstance(image, str) and "storage-initializer" in image)
    for word in words:
        if has_scheme(word.text) and (fetches or word.text.lower().startswith("hf://")):
            yield Said(Claim.MODEL, word.field, word.text, revision)


def _model_variables(field: str, container: Mapping[str, Json], variables: Mapping[str, str]) -> Iterator[Said]:
    revision = next((variables[name] for name in sorted(REVISION_VARIABLES) if name in variables), "")
    serves = _is_server(container, _words(field, container, variables))
    for name, where, value in _literal(field, container):
        if name not in MODEL_VARIABLES or not value:
            continue
        # Elsewhere a plain word may be the name of anything; a server would look for it on a hub.
        if serves or is_hub_id(value) or has_scheme(value) or value.startswith(("/", "$")):
            yield Said(Claim.MODEL, where, value, revision)


def _code_claims(field: str, words: list[_Word], container: Mapping[str, Json]) -> Iterator[Said]:
    for at, word in enumerate(words):
        after = words[at + 1].text.lower() if at + 1 < len(words) else ""
        if _flag(word.text) in CODE_FLAGS and after not in ("false", "0", "no"):
            yield Said(Claim.REMOTE_CODE, word.field, word.text, container=field)
    for name, where, value in _literal(field, container):
        if name in CODE_VARIABLES and value.lower() in _TRUE:
            yield Said(Claim.REMOTE_CODE, where, name, container=field)
