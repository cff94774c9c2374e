"""The environment of each image on SageMaker: the mounted model and nothing else, offline, without tokens.

How the images choose a model, highest first:

- vLLM: `SM_VLLM_MODEL`, then what is mounted, then `HF_MODEL_ID`. The first is set to the mount, so no other is asked.
- TGI: `HF_MODEL_ID` alone, and it does not start without; a path is not looked up on the Hub.
- LMI: `serving.properties` beside the model, then the environment. A model that brings the file is refused.

What a person adds is taken by name from a list: none of them names a model, a revision, code or a place on a network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from weighbridge.core.errors import ConfigError, Denied
from weighbridge.deploy.deployable import Deployable
from weighbridge.deploy.environment import offline_environment
from weighbridge.deploy.targets.arguments import check_arguments
from weighbridge.serve.loading.engine import asks_for_remote_code

MOUNT: Final = "/opt/ml/model"
"""Where SageMaker puts what lies under the prefix; read-only."""
SCRATCH: Final = "/tmp"  # noqa: S108 - inside of the container, which has nothing else to write to
ENGINES_HERE: Final = ("vllm", "tgi", "lmi")
_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,127}")
_OBEYED: Final = ("serving.properties", "model.py", "requirements.txt", "handler.py")
"""Files in the mount that images read as instructions."""
_TGI: Final = frozenset(
    (
        "CUDA_MEMORY_FRACTION",
        "DTYPE",
        "KV_CACHE_DTYPE",
        "MAX_BATCH_PREFILL_TOKENS",
        "MAX_BATCH_SIZE",
        "MAX_BATCH_TOTAL_TOKENS",
        "MAX_CONCURRENT_REQUESTS",
        "MAX_INPUT_TOKENS",
        "MAX_WAITING_TOKENS",
        "MESSAGES_API_ENABLED",
        "QUANTIZE",
        "WAITING_SERVED_RATIO",
    )
)
_LMI: Final = frozenset(
    (
        "DTYPE",
        "ENABLE_AUTO_TOOL_CHOICE",
        "ENABLE_CHUNKED_PREFILL",
        "ENABLE_PREFIX_CACHING",
        "ENFORCE_EAGER",
        "GPU_MEMORY_UTILIZATION",
        "KV_CACHE_DTYPE",
        "MAX_NUM_BATCHED_TOKENS",
        "MAX_NUM_SEQS",
        "MAX_ROLLING_BATCH_SIZE",
        "QUANTIZE",
        "REASONING_PARSER",
        "SEED",
        "TOOL_CALL_PARSER",
    )
)
MAX_ADDED: Final = 40


def obeyed_files(deployable: Deployable) -> list[str]:
    """Artifacts that an image would take instructions from."""
    return sorted(path for path in deployable.files if path in _OBEYED or path.startswith("code/"))


def engine_environment(
    engine: str,
    *,
    tensor: int,
    pipeline: int,
    served_name: str,
    context_length: int | None,
    startup_seconds: int,
    added: Sequence[str] = (),
) -> dict[str, str]:
    """The environment of an engine's image.

    Raises:
        ConfigError: an engine that has no image here, or an added variable that is not one of those that may be.
        Denied: an added variable would run code that the model brings, or is refused as an argument is.
    """
    write = _WRITERS.get(engine)
    if write is None:
        raise ConfigError(f"{engine!r:.40} has no image on SageMaker", hint=f"One of {', '.join(ENGINES_HERE)}.")
    environment = {
        **offline_environment(engine),
        "HOME": SCRATCH,
        "HF_HOME": f"{SCRATCH}/hf",
        "HF_HUB_CACHE": f"{SCRATCH}/hf/hub",
        **write(tensor, pipeline, served_name, startup_seconds),
    }
    if context_length is not None:
        environment[_CONTEXT[engine]] = str(context_length)
    return environment | _added(engine, added, environment)


def _vllm(tensor: int, pipeline: int, served_name: str, _startup_seconds: int) -> dict[str, str]:
    found = {
        "SM_VLLM_MODEL": MOUNT,
        "SM_VLLM_SERVED_MODEL_NAME": served_name,
        "SM_VLLM_LOAD_FORMAT": "safetensors",
        "SM_VLLM_TENSOR_PARALLEL_SIZE": str(tensor),
    }
    return found if pipeline == 1 else {**found, "SM_VLLM_PIPELINE_PARALLEL_SIZE": str(pipeline)}


def _tgi(tensor: int, _pipeline: int, _served_name: str, _startup_seconds: int) -> dict[str, str]:
    return {"HF_MODEL_ID": MOUNT, "SM_NUM_GPUS": str(tensor)}


def _lmi(tensor: int, _pipeline: int, served_name: str, startup_seconds: int) -> dict[str, str]:
    return {
        "HF_MODEL_ID": MOUNT,
        "OPTION_ASYNC_MODE": "true",
        "OPTION_ENTRYPOINT": "djl_python.lmi_vllm.vllm_async_service",
        "OPTION_LOAD_FORMAT": "safetensors",
        "OPTION_MODEL_LOADING_TIMEOUT": str(startup_seconds),
        "OPTION_ROLLING_BATCH": "disable",
        "OPTION_SERVED_MODEL_NAME": served_name,
        "OPTION_TENSOR_PARALLEL_DEGREE": str(tensor),
        "OPTION_TRUST_REMOTE_CODE": "false",
    }


_WRITERS: Final = MappingProxyType({"vllm": _vllm, "tgi": _tgi, "lmi": _lmi})
_CONTEXT: Final[Mapping[str, str]] = MappingProxyType(
    {"vllm": "SM_VLLM_MAX_MODEL_LEN", "tgi": "MAX_TOTAL_TOKENS", "lmi": "OPTION_MAX_MODEL_LEN"}
)


def _added(engine: str, added: Sequence[str], present: Mapping[str, str]) -> dict[str, str]:
    if len(added) > MAX_ADDED:
        raise ConfigError(f"at most {MAX_ADDED} variables may be added")
    found: dict[str, str] = {}
    for line in added:
        name, equals, value = line.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise ConfigError(f"{line!a:.80} is no variable", hint="NAME=VALUE")
        if name in present or name in found:
            raise ConfigError(f"{name} is set by the deployment", hint="Leave it out.")
        if asks_for_remote_code((line,)):
            raise Denied(f"{name} would run code that the model brings", rules=("remote-code",), hint="Take it out.")
        _check_added(engine, name, value)
        found[name] = value
    return found


def _check_added(engine: str, name: str, value: str) -> None:
    if engine == "vllm" and name.startswith("SM_VLLM_"):
        argument = "--" + name.removeprefix("SM_VLLM_").lower().replace("_", "-")
        check_arguments("vllm", (argument, value) if not value.startswith("-") else (argument,))
        if value.startswith("-"):
            raise ConfigError(f"the value of {name} would be read as an argument", hint="Values begin with no dash.")
        return
    if engine == "tgi" and name in _TGI:
        return
    if engine == "lmi" and name.startswith("OPTION_") and name.removeprefix("OPTION_") in _LMI:
        return
    allowed = {
        "vllm": "SM_VLLM_ and the name of an argument of vLLM",
        "tgi": ", ".join(sorted(_TGI)),
        "lmi": "OPTION_ and one of " + ", ".join(sorted(_LMI)),
    }[engine]
    raise ConfigError(f"{name:.80} is not among the variables that may be added", hint=f"Allowed: {allowed}.")
