"""Further arguments for engines: those that would undo what a deployment promises are refused; vLLM's are known by name.

vLLM's names are those of `vllm serve` in version 0.32.0, read from its source; no engine was run to record them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from weighbridge.core.errors import ConfigError, Denied
from weighbridge.deploy.targets.vllm_arguments import NAMES, RECORDED_FOR
from weighbridge.serve.loading.engine import asks_for_remote_code

MAX_ARGUMENTS: Final = 100
MAX_CHARACTERS: Final = 4096
REFUSED: Final = {
    "model": "the model is the mounted folder",
    "model-id": "the model is the mounted folder",
    "model-path": "the model is the mounted folder",
    "model-tag": "the model is the mounted folder",
    "tokenizer": "a tokenizer elsewhere was never approved",
    "tokenizer-path": "a tokenizer elsewhere was never approved",
    "tokenizer-name": "a tokenizer elsewhere was never approved",
    "hf-config-path": "a configuration elsewhere was never approved",
    "speculative-model": "a second model was never approved for this",
    "speculative-config": "it can name a model on the Hub",
    "spec-model": "a second model was never approved for this",
    "revision": "it names a revision on the Hub",
    "code-revision": "it names code on the Hub",
    "tokenizer-revision": "it names a revision on the Hub",
    "hf-token": "an engine needs no token of the Hub",
    "hf-repo": "it names a model on the Hub",
    "hf-file": "it names a file on the Hub",
    "model-url": "it fetches a model",
    "docker-repo": "it fetches a model",
    "download-dir": "nothing is downloaded",
    "huggingface-hub-cache": "nothing is downloaded",
    "load-format": "other formats than safetensors can run code",
    "pt-load-map-location": "other formats than safetensors can run code",
    "enable-prompt-embeds": "embeddings of strangers are loaded with torch.load",
    "enable-mm-embeds": "embeddings of strangers are loaded with torch.load",
    "allowed-local-media-path": "callers would read files of the node",
    "lora-modules": "an adapter was never approved for this",
    "default-mm-loras": "an adapter was never approved for this",
    "enable-lora": "an adapter was never approved for this",
    "chat-template": "the model's own template is the one that was inspected",
    "generation-config": "it can name a model on the Hub",
    "hf-overrides": "the model's own configuration is the one that was inspected",
    "tool-server": "the engine would call other servers",
    "weight-transfer-config": "weights would come from elsewhere while it runs",
    "kv-transfer-config": "it imports code by name",
    "ec-transfer-config": "it imports code by name",
    "logging-config": "it imports code by name",
    "log-config-file": "it imports code by name",
    "middleware": "it imports code by name",
    "logits-processors": "it imports code by name",
    "enable-custom-logit-processor": "callers would send code",
    "worker-cls": "it imports code by name",
    "worker-extension-cls": "it imports code by name",
    "scheduler-cls": "it imports code by name",
    "io-processor-plugin": "it imports code by name",
    "model-class-overrides": "it imports code by name",
    "reasoning-parser-plugin": "it imports code by name",
    "tool-parser-plugin": "it imports code by name",
    "config": "it can hold any argument, unseen here",
    "trust-request-chat-template": "callers would bring their own templates",
    "api-key": "a secret in an argument is read by everybody who lists processes",
    "host": "it is set by the deployment",
    "hostname": "it is set by the deployment",
    "port": "it is set by the deployment",
    "served-model-name": "it has an option of its own",
    "tensor-parallel-size": "it has an option of its own",
    "pipeline-parallel-size": "it has an option of its own",
    "num-shard": "it has an option of its own",
    "max-model-len": "it has an option of its own",
    "max-total-tokens": "it has an option of its own",
}
"""Names of arguments that are refused, for any engine, and why. A shortened name counts as what it stands for."""
_NAME = re.compile(r"--?([A-Za-z][A-Za-z0-9_.-]{0,99})")
_SHORT: Final = {"tp": "tensor-parallel-size", "pp": "pipeline-parallel-size", "q": "quantization", "cc": "", "O": ""}


def check_arguments(engine: str, arguments: Sequence[str]) -> None:
    """Returns when arguments may be given to an engine beside its own.

    Raises:
        ConfigError: too many, or one that vLLM does not know.
        Denied: one would undo what the deployment promises.
    """
    if len(arguments) > MAX_ARGUMENTS or any(len(one) > MAX_CHARACTERS for one in arguments):
        raise ConfigError(f"at most {MAX_ARGUMENTS} arguments of {MAX_CHARACTERS} characters")
    if not all(one and one.isprintable() for one in arguments):
        raise ConfigError("an argument is not empty, and one line without control characters")
    if engine == "lmi" and arguments:
        raise ConfigError("LMI takes no arguments", hint="Its options are those of serving.properties.")
    if word := asks_for_remote_code(arguments):
        raise Denied(f"{word!r:.100} would run code that the model brings", rules=("remote-code",), hint="Take it out.")
    for argument in arguments:
        if argument.startswith("-") and not _is_number(argument):
            _check(engine, argument)


def _check(engine: str, argument: str) -> None:
    found = _NAME.match(argument)
    if found is None:
        raise ConfigError(f"{argument!r:.100} is no argument")
    name = found.group(1).replace("_", "-").split(".", 1)[0]
    name = _SHORT.get(name, name) or name
    refused = [one for one in REFUSED if one == name or (len(name) >= 3 and one.startswith(name) and name not in NAMES)]
    if refused:
        raise Denied(
            f"{argument!r:.100} is not to be given: {REFUSED[refused[0]]}",
            rules=("deploy-argument",),
            hint="Take it out.",
        )
    if engine == "vllm" and argument.startswith("--") and name.removeprefix("no-") not in NAMES:
        raise ConfigError(f"vLLM {RECORDED_FOR} knows no {argument!r:.100}", hint="Is it spelt right?")


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-\d{1,20}(?:\.\d{1,20})?", text) is not None
