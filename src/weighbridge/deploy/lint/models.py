"""Tells which engine a workload runs, which models its settings name, and where those come from.

A name is told apart by its form: a path, a name on a hub, the address of an object store; or open, when only the deployment
knows it. Where the environment names a hub of one's own (HF_ENDPOINT), names are of that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

from weighbridge.core.errors import FormatError
from weighbridge.deploy.engines import ENGINES, Engine, engine_of_image, runtime_of_image, version_in_tag
from weighbridge.deploy.environment import HUB_ADDRESS_VARIABLES, HUB_REVISION_VARIABLES
from weighbridge.deploy.lint.commands import CommandLine, Lines, Option, lines_of, options_of
from weighbridge.deploy.lint.parts import Mount, Place, Said, Variable, Workload, is_on, is_open
from weighbridge.formats import json_text
from weighbridge.serve.loading.engine import HUB_ID_VARIABLES, LLAMA_CPP_OFFLINE
from weighbridge.serve.workloads import MODEL_FLAGS, is_hub_id

PUBLIC_HUBS: Final = ("huggingface.co", "hf.co", "hf-mirror.com", "modelscope.cn", "modelscope.ai", "xethub.hf.co")
_HOME_VARIABLES: Final = frozenset(("HF_MODEL_ID", "SM_VLLM_MODEL", "OPTION_MODEL_ID", "DJL_MODEL_ID"))
"""Variables that name a model whatever reads them."""
_SECOND: Final = re.compile(r"tokenizer|draft|specul|lora|adapter|config", re.IGNORECASE)
"""Settings that name something beside the model itself."""
_PROPERTIES: Final = (
    "option.model_id",
    "option.tokenizer",
    "option.speculative_draft_model",
    "option.speculative_model",
)
_OTHER_SERVERS: Final = re.compile(
    r"text-embeddings-inference|huggingfaceserver|huggingface-pytorch|lmdeploy|mlserver|tritonserver|infinity|tabbyapi|"
    r"text-generation-webui|aphrodite|ray-llm|nim/|kserve-agent|llama-?cpp|llama_cpp|localai",
    re.IGNORECASE,
)
_MODEL_PATH: Final = re.compile(
    r"(?:^|/)(?:\w+[-_])?(?:models?|weights|checkpoints?)(?:[-_](?:store|repo|dir|data|volume|repository))?(?:/|$)",
    re.IGNORECASE,
)
_CACHE_PATH: Final = re.compile(r"cache|huggingface|/hub(?:/|$)|\.ollama", re.IGNORECASE)
_CACHES: Final = (
    *("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE", "XDG_CACHE_HOME", "HF_CACHE"),
    *("OLLAMA_MODELS", "MODELSCOPE_CACHE", "VLLM_CACHE_ROOT", "SENTENCE_TRANSFORMERS_HOME"),
)
_BARE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}\Z")
_WEIGHTS: Final = (".gguf", ".safetensors", ".bin", ".pt", ".pth", ".onnx", ".ckpt")


class Origin(Enum):
    """Where a model comes from, by how it is named."""

    PATH = "path"
    HUB = "hub"
    STORE = "store"
    OPEN = "open"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that names a model: the option, variable or property, its value and its revision."""

    name: str
    value: str
    place: Place
    origin: Origin
    revision: str = ""

    @property
    def is_second(self) -> bool:
        """Whether it names a tokenizer, an adapter or the like, beside the model."""
        return _SECOND.search(self.name) is not None


@dataclass(frozen=True, slots=True)
class Serving:
    """A workload as rules see it."""

    workload: Workload
    lines: Lines
    engine: Engine | None
    settings: tuple[Setting, ...]
    hub: str
    """The hub that is asked: `public`, `private`, or `open` where it is known only later."""
    model_mounts: tuple[Mount, ...]

    @property
    def serves(self) -> bool:
        """Whether it serves a model, as far as can be told."""
        work = self.workload
        return bool(self.engine or work.model or work.properties or self.settings) or _is_server(work)

    @property
    def is_offline(self) -> bool:
        """Whether the engine is told not to ask the Hub."""
        if self.engine is not None and self.engine.name == "llama.cpp":
            return any(is_on(value_of(self.workload, name)) for name in LLAMA_CPP_OFFLINE) or any(
                option.name == "--offline" for _, option in self.options()
            )
        return is_on(value_of(self.workload, "HF_HUB_OFFLINE"))

    @property
    def mounted(self) -> Place | None:
        """Where a model is mounted, if one is."""
        if self.workload.model is not None:
            return self.workload.model.place
        return self.model_mounts[0].place if self.model_mounts else None

    def options(self) -> Iterator[tuple[CommandLine, Option]]:
        """The options of all its commands."""
        for command in self.lines.commands:
            if command.name not in ("echo", "printf", "grep", "cat"):
                for option in options_of(command):
                    yield command, option


def serving_of(workload: Workload) -> Serving:
    """What a workload runs and loads."""
    lines = lines_of(workload)
    if lines.assigned:
        set_by = {name: Variable(said.text, said.place) for name, said in lines.assigned.items()}
        workload = replace(workload, variables={**workload.variables, **set_by})
    engine = _engine(workload, lines)
    settings = tuple(_settings(workload, lines, engine))
    mounts = tuple(mount for mount in workload.mounts if _holds_model(mount, workload, lines, settings))
    return Serving(workload, lines, engine, settings, _hub(workload), mounts)


def value_of(workload: Workload, name: str) -> str | None:
    """The value of a variable; None where it is not set, or not known."""
    one = workload.variables.get(name)
    return one.value if one is not None else None


def origin_of(value: str, *, bare: bool = True) -> Origin:
    """Where a model of this name comes from; `bare` says whether a name without an organisation is one of a hub."""
    text = value.strip().strip("\"'")
    if not text:
        return Origin.OTHER
    if is_open(text) or "$" in text:
        return Origin.OPEN
    scheme, separator, rest = text.partition("://")
    if separator:
        return _origin_of_address(scheme.lower(), rest)
    if text.startswith(("/", ".", "~")) or (text.endswith(_WEIGHTS) and text.count("/") != 1):
        return Origin.PATH
    name = text.split(":", 1)[0].split("@", 1)[0]
    if is_hub_id(name) or name.lower().startswith(("hf.co/", "huggingface.co/")):
        return Origin.HUB
    return Origin.HUB if bare and _BARE.match(name) and "=" not in name else Origin.OTHER


def _origin_of_address(scheme: str, rest: str) -> Origin:
    if scheme in ("hf", "huggingface", "ms", "modelscope", "ollama"):
        return Origin.HUB
    if scheme in ("s3", "gs", "gcs", "az", "abfs", "abfss", "azblob", "wasbs", "wasb", "oss"):
        return Origin.STORE
    if scheme in ("http", "https"):
        host = rest.split("/", 1)[0].rsplit("@", maxsplit=1)[-1].split(":", maxsplit=1)[0].lower()
        return Origin.HUB if is_public(host) else Origin.OTHER
    return Origin.PATH if scheme in ("pvc", "file") else Origin.OTHER


def is_public(host: str) -> bool:
    """Whether a host is a public hub or a mirror of one."""
    return any(host == hub or host.endswith(f".{hub}") for hub in PUBLIC_HUBS)


def host_of(address: str) -> str:
    """The host of an address, in small letters."""
    try:
        return (urlsplit(address if "://" in address else f"//{address}").hostname or "").lower()
    except ValueError:
        return ""


def version_of(workload: Workload, engine: Engine) -> str:
    """The engine's version as its published image's tag tells it; empty where it does not."""
    if workload.image is None:
        return ""
    named = engine_of_image(workload.image.text) or runtime_of_image(workload.image.text)
    if named is not engine and (named is not None or ".dkr.ecr." not in workload.image.text):
        return ""
    name = workload.image.text.split("@", 1)[0].rsplit("/", 1)[-1]
    tag = name.partition(":")[2]
    return version_in_tag(engine.name, tag) if tag and not is_open(tag) else ""


def _engine(workload: Workload, lines: Lines) -> Engine | None:
    if workload.image is not None:
        of_image = engine_of_image(workload.image.text)
        if of_image is not None:
            return of_image
        last = workload.image.text.split("@", 1)[0].rsplit("/", 1)[-1].split(":", 1)[0].lower()
        if last in ("vllm", "sglang", "tgi", "djl-serving", "text-generation-inference"):
            return ENGINES[{"djl-serving": "lmi", "text-generation-inference": "tgi"}.get(last, last)]
    for command in lines.commands:
        first = [word.text for word in command.words[:6]]
        for engine in ENGINES.values():
            if command.name in engine.commands and (engine.name != "transformers-serve" or "serve" in first):
                return engine
            if "-m" in first and any(word in engine.commands for word in first):
                return engine
    if "SM_VLLM_MODEL" in workload.variables:
        return ENGINES["vllm"]
    if workload.properties or "OPTION_MODEL_ID" in workload.variables:
        return ENGINES["lmi"]
    return None


def _settings(workload: Workload, lines: Lines, engine: Engine | None) -> Iterator[Setting]:
    revision = next((text for name in HUB_REVISION_VARIABLES if (text := value_of(workload, name))), "")
    for name in HUB_ID_VARIABLES:
        one = workload.variables.get(name)
        known = name in _HOME_VARIABLES or engine is not None or name.startswith(("SM_", "OPTION_", "LLAMA_ARG_"))
        if one is not None and (known or _is_server(workload)):
            yield _setting(name, one, revision)
    for name, one in workload.variables.items():
        if name not in HUB_ID_VARIABLES and (one.value or "").startswith("hf://"):
            yield _setting(name, one, revision)
    # With accelerators and a name on a hub, what nobody here knows serves or trains a model.
    for name in ("MODEL", "MODEL_ID", "MODEL_NAME", "MODEL_PATH", "HF_MODEL", "HF_MODEL_NAME", "MODEL_NAME_OR_PATH"):
        one = workload.variables.get(name)
        if workload.has_devices and engine is None and one is not None and is_hub_id(one.value or ""):
            yield _setting(name, one, revision)
    for name in _PROPERTIES:
        said = workload.properties.get(name)
        if said is not None and said.text:
            origin = origin_of(said.text)
            where = workload.properties.get("option.revision")
            yield Setting(name, said.text, said.place, origin, where.text if where else "")
    for command in lines.commands:
        yield from _of_command(command, workload, engine)


def _is_server(workload: Workload) -> bool:
    named = workload.image is not None and _OTHER_SERVERS.search(workload.image.text) is not None
    return workload.is_model_server or named


def _setting(name: str, one: Variable, revision: str) -> Setting:
    if one.value is None:
        return Setting(name, "", one.place, Origin.OPEN, revision)
    return Setting(name, one.value, one.place, origin_of(one.value), revision)


_OF_CLIENTS: Final = frozenset(
    (
        "--base-url",
        "--url",
        "--endpoint",
        "--api-base",
        "--openai-api-base",
        "--backend",
        "--api-url",
        "--target",
        "--upstream",
    )
)
"""Options of programs that call a server, and name the model that they ask it for."""
_LAUNCHERS: Final = frozenset(
    ["python", "python3", "torchrun", "accelerate", "mpirun", "deepspeed", "uv", "ray", "bash", "sh"]
)


def _of_command(command: CommandLine, workload: Workload, engine: Engine | None) -> Iterator[Setting]:
    """The models that a command names, if it may be one of a server."""
    options = list(options_of(command))
    revision = next((one.value for one in options if one.name in ("--revision", "--model-revision")), "")
    starts = starts_server(command, workload, engine)
    launches = command.name in _LAUNCHERS or command.name.startswith("-")
    calls = any(option.name in _OF_CLIENTS for option in options)
    named = False
    for option in options:
        if option.name not in MODEL_FLAGS or not option.has_value:
            continue
        if not starts and not (is_hub_id(option.value) and launches and not calls):
            continue
        named = named or option.name in ("--model", "--model-id", "--model-path")
        values = _several(command, option) if "lora" in option.name else [Said(option.value, option.place)]
        for value in values:
            yield Setting(option.name, value.text, value.place, origin_of(value.text), revision)
    yield from _speculative(options)
    if starts and not named:
        yield from _positional(command, workload, revision)


def starts_server(command: CommandLine, workload: Workload, engine: Engine | None) -> bool:
    """Whether a command starts what serves, by its words or as the first of the engine's own image."""
    if engine is None:
        return _is_server(workload) and not workload.is_init
    words = [word.text for word in command.words[:6]]
    if command.name in engine.commands or any(word in engine.commands for word in words):
        return True
    # The first command of an image whose entry point is the engine begins with options or the model.
    in_image = workload.image is not None and engine_of_image(workload.image.text) is engine
    return (
        in_image and (command.name.startswith("-") or command.words[:1] == workload.words[:1]) and not workload.is_init
    )


def _several(command: CommandLine, option: Option) -> list[Said]:
    """The values of an option that takes many, each without its `name=`."""
    found, taking = [], False
    for word in command.words:
        if word.text.startswith("-"):
            taking = word.text.split("=", 1)[0].replace("_", "-") == option.name
        elif taking and not word.text.startswith("{"):
            found.append(Said(word.text.partition("=")[2] or word.text, word.place))
    return found


def _speculative(options: list[Option]) -> Iterator[Setting]:
    for option in options:
        if option.name in ("--speculative-config", "-sc") and option.value.lstrip().startswith("{"):
            try:
                value = json_text.parse(option.value.encode("utf-8")).value
            except FormatError:
                continue
            model = value.get("model") if isinstance(value, dict) else None
            if isinstance(model, str):
                yield Setting("--speculative-config", model, option.place, origin_of(model))


_SERVED_AS: Final = frozenset(("api_server", "gradio"))
"""What LMDeploy has between `serve` and the model."""
_RAY_SERVE: Final = frozenset(("run", "deploy", "build", "start", "config", "status", "shutdown"))
"""What Ray's program `serve` is told to do."""


def _positional(command: CommandLine, workload: Workload, revision: str) -> Iterator[Setting]:
    words = command.words
    at = next((place for place, word in enumerate(words[:4]) if word.text == "serve"), -1)
    in_image = workload.image is not None and engine_of_image(workload.image.text) is ENGINES["vllm"]
    if at == 0 and words[1:] and words[1].text in _RAY_SERVE:
        return
    if at >= 0 and at + 1 < len(words) and words[at + 1].text in _SERVED_AS:
        at += 1
    if at >= 0 and at + 1 < len(words) and not words[at + 1].text.startswith("-"):
        word = words[at + 1]
    elif at < 0 and in_image and command.words[:1] == workload.words[:1] and not words[0].text.startswith("-"):
        word = words[0]
        if word.text.rsplit("/", 1)[-1] in _LAUNCHERS:
            return
    else:
        return
    yield Setting("serve", word.text, word.place, origin_of(word.text), revision)


def _hub(workload: Workload) -> str:
    for name in (*HUB_ADDRESS_VARIABLES[:2], "MODEL_ENDPOINT"):
        one = workload.variables.get(name)
        if one is not None:
            if not one.is_known:
                return "open"
            return "public" if is_public(host_of(one.value or "")) or not one.value else "private"
    return "public"


def _holds_model(mount: Mount, workload: Workload, lines: Lines, settings: tuple[Setting, ...]) -> bool:
    """Whether what is mounted is a model, and not a cache that the engine fills."""
    if mount.source in ("config", "configMap", "secret", "projected", "downwardAPI", "memory", "socket", "root"):
        return False
    path = mount.path.rstrip("/")
    named = (one.value for one in settings if one.origin is Origin.PATH)
    if any(value == path or value.startswith(f"{path}/") for value in named):
        return True
    if _CACHE_PATH.search(path) or not _MODEL_PATH.search(path):
        return False
    caches = [value_of(workload, name) or "" for name in _CACHES]
    caches += [
        option.value
        for command in lines.commands
        for option in options_of(command)
        if option.name in ("--download-dir", "--huggingface-hub-cache", "--cache-dir")
    ]
    return not any(cache == path or cache.startswith(f"{path}/") for cache in caches if cache)


def variables_matching(variables: Mapping[str, Variable], pattern: re.Pattern[str]) -> Iterator[tuple[str, Variable]]:
    """The variables whose names match."""
    return ((name, one) for name, one in variables.items() if pattern.search(name))
