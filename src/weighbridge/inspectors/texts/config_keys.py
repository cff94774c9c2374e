"""Judges one key of a configuration and what it holds: can it make a loader fetch, import or run something?

Only keys that some loader acts on are judged; an unknown key with a plain value is nobody's business. Each judge yields
what is to be said: a rule and a message, or a fact for the repository as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.formats.json_text import Json, texts
from weighbridge.formats.keras_names import FUNCTIONS
from weighbridge.formats.regex_shapes import danger
from weighbridge.inspectors.texts.config_paths import escape, is_absolute, is_pickle_name
from weighbridge.inspectors.texts.config_references import (
    Origin,
    code_reference,
    hub_repository,
    is_dangerous,
    is_dotted,
    is_of_library,
)

MAX_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Node:
    """A value under its key. `strict` when a loader reads the file the node stands in."""

    key: str
    value: Json
    siblings: Mapping[str, Json]
    strict: bool = True


@dataclass(frozen=True, slots=True)
class Said:
    """What a judge says: a rule's id without its prefix and a message; or, under `fact`, a fact's kind and its value."""

    rule: str
    message: str
    fact: str = ""


Judge = Callable[[Node], Iterator[Said]]


def shown(value: Json) -> str:
    """Hostile text for a message: escaped and cut."""
    text = ascii(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


# --- code ---------------------------------------------------------------------------------------


def reference(text: str, what: str) -> Iterator[Said]:
    """What there is to say of a text that a loader of remote code takes as its reference."""
    found = code_reference(text)
    if found.origin is Origin.OUTSIDE:
        yield Said("code-reference-escape", f"{what} is {shown(text)}, which is no class of a module here")
    elif found.origin is Origin.ELSEWHERE:
        yield Said("remote-code-elsewhere", f"{what} is code of the repository {shown(found.repository)}")
        yield Said("", text, fact="code-reference-elsewhere")
    else:
        yield Said("remote-code", f"{what} is code of this repository: {shown(text)}")
        yield Said("", text, fact="code-reference")


def imported(text: str, what: str) -> Iterator[Said]:
    """What there is to say of a dotted path that a loader imports."""
    if is_dangerous(text):
        yield Said("dangerous-callable", f"{what} is {shown(text)}")
    elif not is_dotted(text) and not text.isidentifier():
        yield Said("code-reference-escape", f"{what} is {shown(text)}, which is no dotted name")
    else:
        yield Said("callable", f"{what} is {shown(text)}")


def _auto_map(node: Node) -> Iterator[Said]:
    # transformers takes a text, or a pair of texts (slow and fast tokenizer) either of which may be null.
    entries = node.value.items() if isinstance(node.value, dict) else [("", node.value)]
    for name, value in entries:
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str) and one:
                yield from reference(one, f"auto_map {shown(name)}")
            elif one not in (None, "", False):
                yield Said("code-reference-escape", f"auto_map {shown(name)} is not a text: {shown(one)}")


def _custom_pipelines(node: Node) -> Iterator[Said]:
    for one in node.value.values() if isinstance(node.value, dict) else ():
        implementation = one.get("impl") if isinstance(one, dict) else one
        if isinstance(implementation, str) and implementation:
            yield from reference(implementation, "the implementation of a custom pipeline")
        elif implementation not in (None, ""):
            yield Said("code-reference-escape", f"a custom pipeline is implemented by {shown(implementation)}")


def _referenced(node: Node) -> Iterator[Said]:
    if isinstance(node.value, str) and node.value:
        yield from reference(node.value, node.key)


def _instantiated(node: Node) -> Iterator[Said]:
    for text in texts(node.value):
        yield from imported(text, node.key)


_GRAPH_OPERATOR = re.compile(
    r"torch\.ops\.(?:aten|prims|quantized_decomposed|torchvision)\.(?!from_file\b|save\b)\w+\.\w+"
)
"""Operators of torch's own that compute; not those that touch files."""


def _is_graph_node(node: Node, text: str) -> bool:
    """Whether it is a node of a graph that `torch.export` wrote, which calls one of torch's own operators."""
    parts = ("inputs", "outputs", "metadata")
    own = node.key == "target" and all(isinstance(node.siblings.get(part), list | dict) for part in parts)
    return own and _GRAPH_OPERATOR.fullmatch(text) is not None


def _imported_if_dotted(node: Node) -> Iterator[Said]:
    """Keys that are ordinary words in most files and dotted paths where they act."""
    text = node.value
    if isinstance(text, str) and "." in text and is_dotted(text) and not _is_graph_node(node, text):
        if is_dangerous(text):
            yield Said("dangerous-callable", f"{node.key} is {shown(text)}")
        elif not is_of_library(text) and (
            "params" in node.siblings or "init_args" in node.siblings or node.key in ("__class__", "class_path")
        ):
            yield Said("callable", f"{node.key} is {shown(text)}")


def _library_import(node: Node) -> Iterator[Said]:
    """A module that PEFT imports by name."""
    for text in [node.value] if isinstance(node.value, str) else []:
        if text and (is_dangerous(text) or not is_of_library(text)):
            yield from imported(text, node.key)


def _megatron_core(node: Node) -> Iterator[Said]:
    if isinstance(node.value, str) and node.value != "megatron.core":
        yield from imported(node.value, "megatron_core, which PEFT imports,")


def _activation(node: Node) -> Iterator[Said]:
    text = node.value
    if isinstance(text, str) and "." in text and not re.fullmatch(r"torch\.nn(?:\.\w+)+", text):
        yield from imported(text, f"{node.key}, which sentence-transformers imports,")


_SKOPS_NODE: Final = frozenset(("__class__", "__module__", "__loader__"))


def _pickled(node: Node) -> Iterator[Said]:
    # In the schema of a skops file these are the arguments of a class that the same node names; skops judges the class.
    if not (node.key == "__reduce__" and node.siblings.keys() >= _SKOPS_NODE):
        yield Said("pickled-object", f"the key {shown(node.key)} rebuilds a Python object: {shown(node.value)}")
    for text in texts(node.value):
        if is_dotted(text) and is_dangerous(text):
            yield Said("dangerous-callable", f"{node.key} is {shown(text)}")


def _langchain(node: Node) -> Iterator[Said]:
    kind, path = node.siblings.get("type"), node.siblings.get("id")
    if kind == "secret":
        yield Said("interpolation", f"a LangChain object reads the secret {shown(path)} from the environment")
    elif kind == "constructor" and isinstance(path, list) and all(isinstance(part, str) for part in path):
        yield from imported(".".join(str(part) for part in path), "a LangChain constructor")


def _keras_class(node: Node) -> Iterator[Said]:
    if node.value == "Lambda" and "config" in node.siblings:
        yield Said("keras-lambda", "a Lambda layer is part of the architecture")
    elif node.value == "__lambda__":
        yield Said("keras-lambda", "a serialised function is part of the architecture")
    module = node.siblings.get("module")
    if module == "builtins" and node.value == "function" and node.siblings.get("config") in FUNCTIONS:
        # So Keras writes its own activations, which are looked up by their name.
        return
    if isinstance(module, str) and is_dangerous(module):
        yield Said("dangerous-callable", f"the class {shown(node.value)} is of the module {shown(module)}")


def module_type(kind: str, what: str) -> Iterator[Said]:
    """What there is to say of a module's type, which sentence-transformers imports."""
    if (kind.count(".") == 1 and is_dotted(kind) and not is_dangerous(kind)) or "--" in kind:
        yield from reference(kind, what)
    elif not is_of_library(kind) or is_dangerous(kind):
        yield from imported(kind, what)


def _routed(node: Node) -> Iterator[Said]:
    """The modules of a router or of an asymmetric model of sentence-transformers, by name."""
    if isinstance(node.value, dict) and ("structure" in node.siblings or "parameters" in node.siblings):
        for name, kind in node.value.items():
            if isinstance(kind, str):
                yield from module_type(kind, f"the type of the module {shown(name)}")


def _custom_imports(node: Node) -> Iterator[Said]:
    """Modules that OpenMMLab's readers of configurations import."""
    for text in texts(node.value.get("imports") if isinstance(node.value, dict) else node.value):
        yield from imported(text, "custom_imports")


def _factory(node: Node) -> Iterator[Said]:
    """The module that torch imports to read how a model's values are nested (`treespec_loads`)."""
    if isinstance(node.value, str) and node.value not in ("builtins", "collections", "typing"):
        yield from imported(f"{node.value}.{node.siblings.get('default_factory_name')}", "the factory of a dictionary")


def _served_by(node: Node) -> Iterator[Said]:
    """The class that MLServer imports, also from the folder of the model."""
    text = node.value
    if isinstance(text, str) and "name" in node.siblings and is_dotted(text) and not _OWN_RUNTIME.match(text):
        yield from imported(text, "the implementation of the served model")


_OWN_RUNTIME: Final = re.compile(r"mlserver(?:_\w+)?\.")


def _native(node: Node) -> Iterator[Said]:
    for text in texts(node.value):
        if text:
            yield Said("native-library", f"{node.key} is {shown(text)}")


def _library_file(node: Node) -> Iterator[Said]:
    """The compiled model of MLC: ordinarily a name, which its own tools build; a file of that name is loaded."""
    for text in texts(node.value):
        if re.search(r"(?i)[/\\]|\.(?:so|dll|dylib)(?:\.|\Z)", text):
            yield Said("native-library", f"{node.key} is {shown(text)}")


def _expression(node: Node) -> Iterator[Said]:
    """A regular expression that a response is parsed with (transformers' `response_template`)."""
    for text in texts(node.value):
        reason = danger(text)
        if reason:
            yield Said("regex", f"the expression {shown(text)} {reason}")


def _adapters(node: Node) -> Iterator[Said]:
    """The adapters that X-LoRA loads: folders, or repositories."""
    if node.siblings.get("peft_type") == "XLORA":
        for text in texts(node.value):
            reason = escape(text) or ("is an absolute path" if is_absolute(text) else "")
            if reason:
                yield Said("path-escape", f"an adapter is {shown(text)}, which {reason}")
            else:
                yield Said("", text[:300], fact="base-model")


def _trust(node: Node) -> Iterator[Said]:
    if node.value in (None, False, 0, "", "false", "False", "no", "0"):
        return
    rule = "trust-remote-code" if node.strict else "trust-mentioned"
    yield Said(rule, f"{node.key} is {shown(node.value)}")


def _allow_pickle(node: Node) -> Iterator[Said]:
    wanted = node.key != "weights_only"
    if isinstance(node.value, bool) and node.value is wanted:
        yield Said("allow-pickle", f"{node.key} is {shown(node.value)}")


# --- kernels ------------------------------------------------------------------------------------


def _kernel(node: Node) -> Iterator[Said]:
    for text in texts(node.value):
        repository = hub_repository(text)
        if repository.startswith("kernels-community/"):
            yield Said("hub-kernel-community", f"{node.key} is {shown(text)}")
        elif repository:
            yield Said("hub-kernel", f"{node.key} is {shown(text)}")


def _kernel_switch(node: Node) -> Iterator[Said]:
    if node.value is True:
        yield Said("kernels", f"{node.key} is true")
    else:
        yield from _kernel(node)


# --- places -------------------------------------------------------------------------------------


def _file(node: Node) -> Iterator[Said]:
    """A file that the loader opens."""
    for text in texts(node.value):
        reason = escape(text)
        if reason:
            yield Said("path-escape", f"{node.key} is {shown(text)}, which {reason}")
        elif is_absolute(text):
            yield Said("absolute-path", f"{node.key} is {shown(text)}")
        if is_pickle_name(text):
            yield Said("pickle-reference", f"{node.key} is {shown(text)}")


def _leftover_file(node: Node) -> Iterator[Said]:
    """A file that was opened when this was written. Caches in a home folder are ordinary here."""
    for text in texts(node.value):
        reason = escape(text)
        if reason and "/.cache/" not in text.replace("\\", "/"):
            yield Said("path-escape", f"{node.key} is {shown(text)}, which {reason}")


def _origin(node: Node) -> Iterator[Said]:
    """A model by name or by the path it had on somebody's disk."""
    text = node.value
    if not isinstance(text, str) or not text:
        return
    yield Said("", text[:300], fact="base-model")
    # Where it lay relative to somebody's working folder or home is left over, and leads nowhere.
    reason = escape(re.sub(r"\A(?:(?:\.{1,2}|~|\$\{?\w+\}?)/)+|\Ahttps://huggingface\.co/", "", text))
    if reason:
        yield Said("path-escape", f"{node.key} is {shown(text)}, which {reason}")


def _versioned_files(node: Node) -> Iterator[Said]:
    """Transformers picks its configuration or tokenizer among these, with a regular expression (CVE-2025-3263)."""
    for text in texts(node.value):
        if not re.fullmatch(r"(?:config|tokenizer)(?:\.[\w-]{1,30}){0,8}\.json", text):
            yield Said("odd-name", f"{node.key} names {shown(text)}")


# --- names --------------------------------------------------------------------------------------

_TYPE_NAME = re.compile(r"[\w.+-]{0,120}(?: [\w.+-]{1,60}){0,4}")
_DTYPE = re.compile(
    r"(?:torch\.)?(?:auto|none|half|float|double|int|long|bool|string|b?float\d{1,3}\w{0,12}|u?int\d{1,2}|q?u?int\d{1,2}|bf16"
    r"|fp\d{1,2}\w{0,8}|complex\d{2,3}|float8_\w{3,12}|float4_\w{3,14}|(?:mx|nv)?fp\d\w{0,8})",
    re.IGNORECASE,
)


def _name(node: Node) -> Iterator[Said]:
    for text in texts(node.value):
        if is_dotted(text) and is_dangerous(text):
            yield Said("dangerous-callable", f"{node.key} is {shown(text)}")
        elif "--" in text and code_reference(text).origin is Origin.ELSEWHERE:
            yield from reference(text, node.key)
        elif not _TYPE_NAME.fullmatch(text) or ".." in text:
            yield Said("odd-name", f"{node.key} is {shown(text)}")


_ARRAY_DTYPE = re.compile(r"[<>|=][biufcmMOSUV]\d{1,5}(?:\[[a-zA-Z]{1,6}\])?")
"""As NumPy and zarr write it: order of bytes, kind, width."""
_KERAS_POLICY = re.compile(r"keras(?:\.\w+)*|\w*DTypePolicy(?:Map)?|Policy|mixed_\w{3,20}")


def _dtype(node: Node) -> Iterator[Said]:
    own = isinstance(node.value, dict) and isinstance(node.value.get("class_name"), str)
    for text in texts(node.value) if node.strict else ():
        if own and _KERAS_POLICY.fullmatch(text):
            continue
        if text and not _DTYPE.fullmatch(text) and not _ARRAY_DTYPE.fullmatch(text):
            yield Said("dtype", f"{node.key} is {shown(text)}")


def _evaluated(node: Node) -> Iterator[Said]:
    if isinstance(node.value, str) and not re.fullmatch(r"[\[\](),\d\s+*.\-]{0,2000}", node.value):
        yield Said("evaluated-text", f"{node.key} is {shown(node.value)}")


# --- which key is judged by whom ----------------------------------------------------------------

_BY_KEY: Final[Mapping[str, Judge]] = {
    "auto_map": _auto_map,
    "custom_pipelines": _custom_pipelines,
    **dict.fromkeys(("tool_class", "custom_generate", "custom_pipeline"), _referenced),
    **dict.fromkeys(("_target_", "_class_", "_callable_", "__target__"), _instantiated),
    **dict.fromkeys(("__class__", "class_path", "target", "_type_", "_cls", "_partial_target"), _imported_if_dotted),
    "parent_library": _library_import,
    "types": _routed,
    "custom_imports": _custom_imports,
    "implementation": _served_by,
    "default_factory_module": _factory,
    "adapters": _adapters,
    **dict.fromkeys(
        (
            "custom_ops_library",
            "custom_op_library",
            "custom_ops_libraries",
            "custom_op_library_path",
            "op_library_filename",
        ),
        _native,
    ),
    "model_lib": _library_file,
    **dict.fromkeys(("open_pattern", "close_pattern", "start_anchor_pattern", "tag_pattern"), _expression),
    "megatron_core": _megatron_core,
    **dict.fromkeys(
        ("activation_function", "activation_fn", "sbert_ce_default_activation_function", "default_activation_function"),
        _activation,
    ),
    **dict.fromkeys(("__reduce__", "__reduce_ex__", "__setstate__", "__pickle__", "__dill__"), _pickled),
    "lc": _langchain,
    "class_name": _keras_class,
    **dict.fromkeys(("trust_remote_code", "trust_remote_codes", "hf_trust_remote_code", "_trust_remote_code"), _trust),
    **dict.fromkeys(("allow_pickle", "weights_only", "allow_dangerous_deserialization"), _allow_pickle),
    **dict.fromkeys(("use_kernels", "use_kernel", "hub_kernels", "use_hub_kernels"), _kernel_switch),
    **dict.fromkeys(("configuration_files", "fast_tokenizer_files"), _versioned_files),
    **dict.fromkeys(("special_tokens_map_file", "added_tokens_file", "init_checkpoint"), _leftover_file),
    "transformers_weights": _file,
    **dict.fromkeys(
        (
            "architectures",
            "model_type",
            "tokenizer_class",
            "processor_class",
            "image_processor_type",
            "feature_extractor_type",
            "video_processor_type",
            "config_class",
            "quant_method",
            "peft_type",
            "task_type",
        ),
        _name,
    ),
    **dict.fromkeys(("torch_dtype", "dtype"), _dtype),
    **dict.fromkeys(("conv_feature_layers", "conv_pos_layers"), _evaluated),
}
_BY_FORM: Final[tuple[tuple[re.Pattern[str], Judge], ...]] = (
    (
        re.compile(r"py/(?:object|reduce|type|function|repr|newargs(?:ex)?|state|mod|ref|id|method|b64|set|tuple)"),
        _pickled,
    ),
    (re.compile(r"_*(?:attn|attention|experts|moe)_impl(?:ementation)?\w*"), _kernel),
    (re.compile(r"\w*kernel\w*"), _kernel),
    (re.compile(r"(?:_|base_model_|tokenizer_|pretrained_|model_|teacher_)*(?:name_or_path|model_path)"), _origin),
    (
        re.compile(
            r"(?:vocab|vocabulary|merges|tokenizer|spm|sp_model|source_spm|target_spm|sentencepiece_model|monolingual_vocab"
            r"|pretrained_vocab|config|index|passages|prompt|embeddings?|checkpoint|bpe|kv_cache_scales?|scales?)"
            r"(?:_file(?:name)?|_path|_uri)"
        ),
        _file,
    ),
)


@lru_cache(maxsize=4096)
def judge_of(key: str) -> Judge | None:
    """Who judges what stands under a key, if anybody does."""
    found = _BY_KEY.get(key)
    if found is None and len(key) <= 64:
        found = next((judge for form, judge in _BY_FORM if form.fullmatch(key)), None)
    return found
