"""Further arguments for engines: those that would undo what a deployment promises are refused, and so are unknown ones.

What an engine knows is in `engine_arguments`. Of one whose list is older than any version that may be run (TGI), an unknown name
is refused where it is like a known one; of one without a list (transformers serve), every long name is taken that is not refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from weighbridge.core.errors import ConfigError, Denied
from weighbridge.deploy.engines import ENGINES
from weighbridge.deploy.targets.engine_arguments import Arguments, arguments_of, others_with
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
    "models-dir": "the model is the mounted folder",
    "models-preset": "it can name a model on the Hub",
    "tools": "the model would run programs and read files of the node",
    "tools-runtime": "the model would run programs",
    "agent": "the model would run programs and read files of the node",
    "mcp-servers-config": "it starts other programs",
    "mcp-servers-json": "it starts other programs",
    "ui-mcp-proxy": "callers would reach other servers through the engine",
    "webui-mcp-proxy": "callers would reach other servers through the engine",
    "media-path": "callers would read files of the node",
    "path": "callers would read files of the node",
    "video-ffmpeg-dir": "it starts another program",
    "decrypted-draft-config-file": "a configuration elsewhere was never approved",
    "speculative-draft-model-revision": "it names a revision on the Hub",
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
_PRESET = re.compile(r"^(?:fim|embd|gpt-oss|vision)-.*-(?:default|spec)$|^embd-gemma-default$")
"""Arguments of llama.cpp that stand for a model on the Hub."""


def check_arguments(engine: str, arguments: Sequence[str], version: str = "") -> None:
    """Returns when arguments may be given to a version of an engine beside its own (a late one when it is not said).

    Raises:
        ConfigError: too many, or one that the engine does not know.
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
    known = arguments_of(engine, version)
    names = known.names if known else frozenset[str]()
    name = found.group(1).replace("_", "-")
    name = name if name in names else name.split(".", 1)[0]
    if not argument.startswith("--"):
        name = _written_out(known, name, argument)
    refused = [one for one in REFUSED if one == name or (len(name) >= 3 and one.startswith(name) and name not in names)]
    if refused or (engine == "llama.cpp" and fetches_by_name(name)):
        raise Denied(
            f"{argument!r:.100} is not to be given: {REFUSED[refused[0]] if refused else 'it fetches a model'}",
            rules=("deploy-argument",),
            hint="Take it out.",
        )
    if known and not known.knows(name) and (known.is_whole or known.meant(name)):
        _refuse_unknown(known, name, argument)


def fetches_by_name(name: str) -> bool:
    """Whether an argument of llama.cpp is one that stands for a model on the Hub."""
    return _PRESET.search(name) is not None


def _refuse_unknown(known: Arguments, name: str, argument: str) -> None:
    title = ENGINES[known.engine].title
    others = others_with(known.engine, name)
    like = known.meant(name)
    hint = f"{title} {others[0]} does." if others else f"Did you mean --{like}?" if like else "Is it spelt right?"
    raise ConfigError(f"{title} {known.release} knows no {argument!r:.100}", hint=hint)


def _written_out(known: Arguments | None, name: str, argument: str) -> str:
    """The long name behind a single dash: an engine's parser may guess at what it does not know, and so nothing is guessed here."""
    long = known.long(name) if known else ""
    if not long:
        raise ConfigError(f"what {argument!r:.100} stands for is not known", hint="Write its long name: --name.")
    return long


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-\d{1,20}(?:\.\d{1,20})?", text) is not None
