"""How each engine is told to serve a folder: its command, arguments and environment. It loads safetensors (GGUF for llama.cpp).

No argument or variable here names anything but the mounted folder, and none lets a model's own code run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from weighbridge.core.errors import ConfigError
from weighbridge.deploy.deployable import Deployable
from weighbridge.deploy.environment import offline_environment
from weighbridge.deploy.targets.choices import Chosen

CACHE: Final = "/cache"
"""Writable: what engines compile, and what libraries want a home for."""
SAFETENSORS: Final = ".safetensors"
GGUF: Final = ".gguf"
LMI_FOLDER: Final = "/opt/ml/model"
LMI_FILE: Final = "serving.properties"


@dataclass(frozen=True, slots=True)
class Serving:
    """An engine that is to serve a folder. An empty command is the image's own."""

    command: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    port: int
    health_path: str
    files: Mapping[str, str] = field(default_factory=dict)
    """Files that the engine reads beside the model, by their absolute paths."""


def serving_of(chosen: Chosen, *, folder: str = "") -> Serving:
    """How the chosen engine serves the chosen model, mounted at `folder` (the choices' own when empty).

    Raises:
        ConfigError: the engine cannot load this model from a folder.
    """
    write = _WRITERS.get(chosen.engine.name)
    if write is None:
        raise ConfigError(
            f"{chosen.engine.title} loads models from a store of its own, not from a folder",
            hint=f"Use one of {', '.join(_WRITERS)}.",
        )
    return write(chosen, folder or chosen.folder)


def _vllm(chosen: Chosen, folder: str) -> Serving:
    _needs(chosen.deployable, SAFETENSORS, "vLLM")
    port = chosen.engine.port
    arguments = [folder, "--served-model-name", chosen.served_name, "--host", "0.0.0.0", "--port", str(port)]  # noqa: S104
    arguments += ["--load-format", "safetensors"]
    arguments += ["--tensor-parallel-size", str(chosen.layout.tensor)]
    if chosen.layout.pipeline > 1:
        arguments += ["--pipeline-parallel-size", str(chosen.layout.pipeline)]
    arguments += _context(chosen, "--max-model-len")
    return _serving(chosen, ("vllm", "serve"), (*arguments, *chosen.options.arguments))


def _tgi(chosen: Chosen, folder: str) -> Serving:
    _needs(chosen.deployable, SAFETENSORS, "TGI")
    arguments = ["--model-id", folder, "--hostname", "0.0.0.0", "--port", "8080", "--json-output"]  # noqa: S104
    arguments += ["--usage-stats", "off"]
    if chosen.on_gpus:
        arguments += ["--num-shard", str(chosen.layout.tensor)]
    arguments += _context(chosen, "--max-total-tokens")
    return _serving(chosen, ("text-generation-launcher",), (*arguments, *chosen.options.arguments), port=8080)


def _lmi(chosen: Chosen, folder: str) -> Serving:
    _needs(chosen.deployable, SAFETENSORS, "LMI")
    path = f"{LMI_FOLDER}/{LMI_FILE}"
    return _serving(chosen, (), ("serve",), files={path: serving_properties(chosen, folder)})


def _sglang(chosen: Chosen, folder: str) -> Serving:
    _needs(chosen.deployable, SAFETENSORS, "SGLang")
    arguments = ["--model-path", folder, "--served-model-name", chosen.served_name, "--host", "0.0.0.0"]  # noqa: S104
    arguments += ["--port", str(chosen.engine.port), "--load-format", "safetensors"]
    arguments += ["--tp-size", str(chosen.layout.tensor)]
    if chosen.layout.pipeline > 1:
        arguments += ["--pp-size", str(chosen.layout.pipeline)]
    arguments += _context(chosen, "--context-length")
    return _serving(chosen, ("python3", "-m", "sglang.launch_server"), (*arguments, *chosen.options.arguments))


def _transformers(chosen: Chosen, folder: str) -> Serving:
    _needs(chosen.deployable, SAFETENSORS, "transformers serve")
    arguments = ["--force-model", folder, "--host", "0.0.0.0", "--port", str(chosen.engine.port)]  # noqa: S104
    return _serving(chosen, ("transformers", "serve"), (*arguments, *chosen.options.arguments))


def _llama_cpp(chosen: Chosen, folder: str) -> Serving:
    found = sorted(path for path in chosen.deployable.files if path.endswith(GGUF))
    if not found:
        _needs(chosen.deployable, GGUF, "llama.cpp")
    arguments = ["--model", f"{folder}/{found[0]}", "--alias", chosen.served_name, "--host", "0.0.0.0"]  # noqa: S104
    arguments += ["--port", str(chosen.engine.port), "--offline", *_context(chosen, "--ctx-size")]
    if chosen.on_gpus:
        arguments += ["--n-gpu-layers", "999"]
    return _serving(chosen, ("/app/llama-server",), (*arguments, *chosen.options.arguments))


_WRITERS: Final[Mapping[str, Callable[[Chosen, str], Serving]]] = MappingProxyType(
    {
        "vllm": _vllm,
        "tgi": _tgi,
        "lmi": _lmi,
        "sglang": _sglang,
        "transformers-serve": _transformers,
        "llama.cpp": _llama_cpp,
    }
)


def serving_properties(chosen: Chosen, folder: str) -> str:
    """LMI's `serving.properties`: it overrides the environment, so everything that matters is here and nothing there."""
    lines = {
        "engine": "Python",
        "option.model_id": folder,
        "option.async_mode": "true",
        "option.rolling_batch": "disable",
        "option.entryPoint": "djl_python.lmi_vllm.vllm_async_service",
        "option.trust_remote_code": "false",
        "option.load_format": "safetensors",
        "option.served_model_name": chosen.served_name,
        "option.tensor_parallel_degree": str(chosen.layout.tensor) if chosen.on_gpus else "1",
        "option.model_loading_timeout": str(3600),
    }
    if (length := context_length(chosen)) is not None:
        lines["option.max_model_len"] = str(length)
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def context_length(chosen: Chosen) -> int | None:
    """The context that was asked for, refused where it is more than the model was made for.

    Raises:
        ConfigError: it is more.
    """
    asked = chosen.options.context_length
    shape = chosen.deployable.architecture
    most = shape.context_length if shape else None
    if asked is not None and most is not None and asked > most:
        raise ConfigError(f"{asked} tokens of context are more than the {most} that the model was made for")
    return asked


def engine_environment(chosen: Chosen) -> dict[str, str]:
    """What any engine in a container gets: nothing that goes out, and a home that it may write to."""
    return {
        **offline_environment(chosen.engine.name),
        "HOME": CACHE,
        "USER": "engine",
        "LOGNAME": "engine",
        "XDG_CACHE_HOME": CACHE,
        "HF_HOME": CACHE,
        "HF_HUB_CACHE": CACHE,
        "TRITON_CACHE_DIR": f"{CACHE}/triton",
        "TORCHINDUCTOR_CACHE_DIR": f"{CACHE}/inductor",
    }


def _serving(
    chosen: Chosen,
    command: tuple[str, ...],
    arguments: tuple[str, ...],
    *,
    port: int = 0,
    files: Mapping[str, str] | None = None,
) -> Serving:
    engine = chosen.engine
    return Serving(command, arguments, engine_environment(chosen), port or engine.port, engine.health_path, files or {})


def _context(chosen: Chosen, argument: str) -> list[str]:
    length = context_length(chosen)
    return [] if length is None else [argument, str(length)]


def _needs(deployable: Deployable, suffix: str, title: str) -> None:
    if not any(path.endswith(suffix) for path in deployable.files):
        raise ConfigError(
            f"{deployable.reference} has no {suffix} files, and {title} is given no others here",
            hint="`weighbridge remediate` converts pickled weights; GGUF is for llama.cpp.",
        )
