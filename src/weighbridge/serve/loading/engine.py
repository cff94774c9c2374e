"""The command and the environment of an engine that loads a verified folder: offline, without secrets, without remote code.

Nothing here starts anything. What the engine must not have is taken out of its environment: tokens of the Hub, proxies,
the credentials that read the store, and names of other models, which an engine prefers to none and finds in a cache; what keeps
its libraries offline is put in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from weighbridge.admit.policy import REMOTE_CODE_RULES
from weighbridge.core.errors import ConfigError, Denied
from weighbridge.vault.records import SealedRevision

MODEL_DIR: Final = "MODEL_DIR"
OFFLINE: Final[Mapping[str, str]] = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_TOKEN_PATH": "/dev/null",
    "DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
LLAMA_CPP_OFFLINE: Final[Mapping[str, str]] = {"LLAMA_OFFLINE": "1", "LLAMA_ARG_OFFLINE": "1"}
"""What llama.cpp reads of its own: the former name in older builds, the latter since."""
HUB_ID_VARIABLES: Final = (
    "SM_VLLM_MODEL",
    "SM_VLLM_TOKENIZER",
    "SM_VLLM_HF_CONFIG_PATH",
    "SM_VLLM_SPECULATIVE_MODEL",
    "SM_SGLANG_MODEL_PATH",
    "SM_SGLANG_TOKENIZER_PATH",
    "HF_MODEL_ID",
    "OPTION_MODEL_ID",
    "OPTION_SPECULATIVE_DRAFT_MODEL",
    "OPTION_SPECULATIVE_MODEL",
    "OPTION_TOKENIZER",
    "DJL_MODEL_ID",
    "MODEL_ID",
    "VLLM_MODEL",
    "TOKENIZER_NAME",
    "LLAMA_ARG_HF_REPO",
    "LLAMA_ARG_HFD_REPO",
    "LLAMA_ARG_SPEC_DRAFT_HF_REPO",
    "LLAMA_ARG_MMPROJ_URL",
    "LLAMA_ARG_MODEL_URL",
    "LLAMA_ARG_DOCKER_REPO",
)
"""Variables that name a model, in the order in which they matter: a value that is no path is a name on the Hub."""
_PLACES = re.compile(r"\{\}|\$MODEL_DIR\b|\$\{MODEL_DIR\}")
_TAKEN = re.compile(
    r"(?:(?:https?|ftp|all|no)_proxy"
    r"|hf_token|hf_api_token|hugging_?face_?(?:hub_)?(?:api_)?token|hf_endpoint|hf_hub_endpoint|modelscope_.*|(?:\w+_)?use_modelscope(?:_hub)?"
    r"|aws_(?!region$|default_region$|ca_bundle$).*|google_application_credentials|azure_.*|arm_.*|ngc_api_key|wandb_api_key"
    r"|weighbridge_.*)",
    re.IGNORECASE,
)
"""Names of variables that an engine does not get."""
_TRUST = re.compile(r"trust[_-]?remote", re.IGNORECASE)
_NO = re.compile(
    r"trust[_-]?remote[_-]?code[\"']?\s*[=:]\s*[\"']?(?:false|0|no|off)\b|no[_-]trust[_-]?remote", re.IGNORECASE
)
_OFF: Final = frozenset(("", "0", "false", "no", "off"))


def engine_command(command: Sequence[str], folder: Path) -> list[str]:
    """The command with the folder in the place of `{}`, `$MODEL_DIR` and `${MODEL_DIR}`.

    Raises:
        ConfigError: there is no command.
    """
    if not command:
        raise ConfigError("there is no command to run", hint="weighbridge run MODEL -- vllm serve {}")
    return [_PLACES.sub(lambda _found: str(folder), word) for word in command]


def engine_environment(
    environment: Mapping[str, str], folder: Path, *, keep: Iterable[str] = (), remote_code: bool = False
) -> tuple[dict[str, str], list[str]]:
    """The engine's environment, and the names of the variables that it does not get; those in `keep` it gets."""
    kept, taken = {}, []
    for name, value in environment.items():
        trusts = bool(_TRUST.search(name)) and value.strip().lower() not in _OFF
        elsewhere = name in HUB_ID_VARIABLES and not value.strip().startswith(("/", ".", "~"))
        if name not in keep and (_TAKEN.fullmatch(name) or elsewhere or (trusts and not remote_code)):
            taken.append(name)
        else:
            kept[name] = value
    return {**kept, **OFFLINE, **LLAMA_CPP_OFFLINE, MODEL_DIR: str(folder)}, sorted(taken)


def asks_for_remote_code(command: Sequence[str]) -> str:
    """The word of a command by which the engine would run the model's own code; empty when there is none.

    Options may be shortened and values nested in JSON, so every word is looked at; `--trust-remote-code false` in two words
    counts as asking, because not every engine takes it so.
    """
    return next((word for word in command if _TRUST.search(word) and not _NO.search(word)), "")


def check_remote_code(command: Sequence[str], sealed: SealedRevision, *, allowed: bool) -> None:
    """Returns when the command runs no code of the model's, or only such as was accepted and is allowed here.

    Raises:
        Denied: it would, and it is not allowed or the revision has no code that was looked at and accepted.
    """
    word = asks_for_remote_code(command)
    if not word:
        return
    accepted = any(finding.rule in REMOTE_CODE_RULES for finding in sealed.inspection.findings)
    if allowed and accepted:
        return
    reference = sealed.manifest.reference
    if allowed:
        raise Denied(
            f"{word!r:.100} would run code, and {reference} brings none that policy accepted",
            rules=("remote-code",),
            hint="Take it out of the command.",
        )
    raise Denied(
        f"{word!r:.100} would run code that the model brings",
        rules=("remote-code",),
        hint="Take it out, or say that it may: --allow-remote-code"
        if accepted
        else "Take it out of the command: the model brings no code of its own.",
    )
