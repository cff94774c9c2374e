"""Further arguments for engines: those that would undo what a deployment promises are refused; vLLM's are known by name.

For the others every argument is taken that is not refused, by its long name alone: what a short one stands for is their secret.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from weighbridge.core.errors import ConfigError, Denied
from weighbridge.deploy.targets.vllm_arguments import RELEASES, Arguments, arguments_of
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
    "speculative-draft-model-path": "a second model was never approved for this",
    "speculative-draft-model": "a second model was never approved for this",
    "speculative-draft-load-format": "other formats than safetensors can run code",
    "speculative-token-map": "it can name a file on the Hub",
    "model-draft": "a second model was never approved for this",
    "spec-draft-model": "a second model was never approved for this",
    "hf-repo-draft": "it names a model on the Hub",
    "spec-draft-hf": "it names a model on the Hub",
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
    "lora-adapters": "an adapter was never approved for this",
    "lora-paths": "an adapter was never approved for this",
    "lora": "an adapter was never approved for this",
    "lora-scaled": "an adapter was never approved for this",
    "uno-lora-path": "an adapter was never approved for this",
    "control-vector": "it was never approved for this",
    "control-vector-scaled": "it was never approved for this",
    "mmproj": "a second file of weights is the model's own or none",
    "mmproj-url": "it fetches a model",
    "default-mm-loras": "an adapter was never approved for this",
    "enable-lora": "an adapter was never approved for this",
    "chat-template": "the model's own template is the one that was inspected",
    "chat-template-file": "the model's own template is the one that was inspected",
    "hf-chat-template-name": "the model's own template is the one that was inspected",
    "completion-template": "the model's own template is the one that was inspected",
    "tokenizer-config-path": "the model's own template is the one that was inspected",
    "json-model-override-args": "the model's own configuration is the one that was inspected",
    "decrypted-config-file": "a configuration elsewhere was never approved",
    "weights-cache-override": "the model is the mounted folder",
    "weight-cache-socket": "weights would come from elsewhere",
    "weight-cache-mode": "weights would come from elsewhere",
    "kt-weight-path": "weights elsewhere were never approved",
    "modelopt-checkpoint-restore-path": "weights elsewhere were never approved",
    "remote-instance-weight-loader-backend": "weights would come from elsewhere",
    "remote-instance-weight-loader-seed-instance-ip": "weights would come from elsewhere",
    "generation-config": "it can name a model on the Hub",
    "hf-overrides": "the model's own configuration is the one that was inspected",
    "tool-server": "the engine would call other servers",
    "weight-transfer-config": "weights would come from elsewhere while it runs",
    "kv-transfer-config": "it imports code by name",
    "ec-transfer-config": "it imports code by name",
    "logging-config": "it imports code by name",
    "log-config-file": "it imports code by name",
    "middleware": "it imports code by name",
    "structured-outputs-config": "it imports code by name",
    "distributed-executor-backend": "it imports code by name",
    "ec-manager-config": "it imports code by name",
    "custom-weight-loader": "it imports code by name",
    "forward-hooks": "it imports code by name",
    "custom-sigquit-handler": "it imports code by name",
    "stat-loggers": "it imports code by name",
    "warmups": "it imports code by name",
    "hicache-storage-backend-extra-config": "it imports code by name",
    "unified-cache-external-linker-config": "it imports code by name",
    "sidecar": "it starts another program",
    "sidecar-args": "it starts another program",
    "rpc": "weights and requests would go to other hosts",
    "ngrok": "it opens a tunnel to the internet",
    "ngrok-authtoken": "it opens a tunnel to the internet",
    "ngrok-edge": "it opens a tunnel to the internet",
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
    "admin-api-key": "a secret in an argument is read by everybody who lists processes",
    "ssl-keyfile-password": "a secret in an argument is read by everybody who lists processes",
    "watermark-key": "a secret in an argument is read by everybody who lists processes",
    "usage-stats": "it is set by the deployment",
    "api-key": "a secret in an argument is read by everybody who lists processes",
    "host": "it is set by the deployment",
    "hostname": "it is set by the deployment",
    "port": "it is set by the deployment",
    "served-model-name": "it has an option of its own",
    "tensor-parallel-size": "it has an option of its own",
    "pipeline-parallel-size": "it has an option of its own",
    "tp": "it has an option of its own",
    "pp": "it has an option of its own",
    "tp-size": "it has an option of its own",
    "pp-size": "it has an option of its own",
    "context-length": "it has an option of its own",
    "ctx-size": "it has an option of its own",
    "num-shard": "it has an option of its own",
    "max-model-len": "it has an option of its own",
    "max-total-tokens": "it has an option of its own",
}
"""Names of arguments that are refused, for any engine, and why. A shortened name counts as what it stands for."""
_NAME = re.compile(r"--?([A-Za-z][A-Za-z0-9_.-]{0,99})")
_LEVEL = re.compile(r"O[0-9]?")
"""The one that vLLM reads before its parser does."""


def check_arguments(engine: str, arguments: Sequence[str], version: str = "") -> None:
    """Returns when arguments may be given to a version of an engine beside its own (a late one when it is not said).

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
            _check(engine, argument, version)


def _check(engine: str, argument: str, version: str) -> None:
    found = _NAME.match(argument)
    if found is None:
        raise ConfigError(f"{argument!r:.100} is no argument")
    known = arguments_of(version) if engine == "vllm" else None
    names = known.names if known else frozenset[str]()
    name = found.group(1).replace("_", "-").split(".", 1)[0]
    if not argument.startswith("--"):
        name = _written_out(known, name, argument)
    refused = [one for one in REFUSED if one == name or (len(name) >= 3 and one.startswith(name) and name not in names)]
    if refused:
        raise Denied(
            f"{argument!r:.100} is not to be given: {REFUSED[refused[0]]}",
            rules=("deploy-argument",),
            hint="Take it out.",
        )
    if known and name.removeprefix("no-") not in names:
        others = [one.release for one in RELEASES if name.removeprefix("no-") in one.names]
        hint = f"vLLM {others[0]} does." if others else "Is it spelt right?"
        raise ConfigError(f"vLLM {known.release} knows no {argument!r:.100}", hint=hint)


def _written_out(known: Arguments | None, name: str, argument: str) -> str:
    """The long name behind a single dash: an engine's parser may guess at what it does not know, and so nothing is guessed here."""
    long = known.short.get(name, "optimization-level" if _LEVEL.fullmatch(name) else "") if known else ""
    if not long:
        raise ConfigError(f"what {argument!r:.100} stands for is not known", hint="Write its long name: --name.")
    return long


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-\d{1,20}(?:\.\d{1,20})?", text) is not None
