"""Environment variables of engines: those that keep them offline, and those by which they fall through to the Hub.

What keeps an engine offline is the list of `weighbridge run`: there is one list. These variables keep honest libraries at
home; they stop no program that wants out, which is the network's to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from weighbridge.serve.loading.engine import LLAMA_CPP_OFFLINE, OFFLINE

_OF_ENGINES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "vllm": {"VLLM_DO_NOT_TRACK": "1", "VLLM_USE_MODELSCOPE": "0"},
        "tgi": {"USAGE_STATS": "off", "HF_HUB_ENABLE_HF_TRANSFER": "0"},
        "lmi": {"OPT_OUT_TRACKING": "true", "DJL_OFFLINE": "true", "VLLM_DO_NOT_TRACK": "1"},
        "sglang": {"SGLANG_USE_MODELSCOPE": "0"},
        "llama.cpp": LLAMA_CPP_OFFLINE,
        "ollama": {"OLLAMA_NO_CLOUD": "1"},
    }
)
"""What an engine has of its own to stay at home."""

HUB_REVISION_VARIABLES: Final = ("HF_MODEL_REVISION", "HF_REVISION", "REVISION", "OPTION_REVISION", "SM_VLLM_REVISION")
"""Variables that name a revision on the Hub: beside a mounted model they mean nothing, or the Hub."""

TOKEN_VARIABLES: Final = (
    "HF_TOKEN",
    "HF_API_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HUGGINGFACE_HUB_TOKEN",
    "HUGGINGFACE_TOKEN",
    "HUGGINGFACEHUB_API_TOKEN",
    "HUGGINGFACE_API_TOKEN",
    "HUGGING_FACE_TOKEN",
    "HUGGINGFACE_API_KEY",
    "HF_API_KEY",
)
"""Variables that carry a token of the Hub: an engine that loads a mounted model needs none."""

CODE_SWITCHES: Final = (
    "TRUST_REMOTE_CODE",
    "HF_TRUST_REMOTE_CODE",
    "HF_MODEL_TRUST_REMOTE_CODE",
    "OPTION_TRUST_REMOTE_CODE",
    "SM_VLLM_TRUST_REMOTE_CODE",
    "SM_SGLANG_TRUST_REMOTE_CODE",
)
"""Variables by which an engine runs code that a model brings."""

CODE_ARGUMENTS: Final = ("--trust-remote-code", "--trust_remote_code")
"""Arguments by which an engine runs code that a model brings."""

HUB_ADDRESS_VARIABLES: Final = (
    "HF_ENDPOINT",
    "HF_HUB_ENDPOINT",
    "HUGGINGFACE_CO_RESOLVE_ENDPOINT",
    "VLLM_USE_MODELSCOPE",
)
"""Variables that say which hub is asked."""


def offline_environment(engine: str = "") -> dict[str, str]:
    """The variables that keep any engine offline, with those that the named one has of its own."""
    return {**OFFLINE, **_OF_ENGINES.get(engine, {})}
