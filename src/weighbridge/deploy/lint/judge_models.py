"""Judges what a workload loads: hubs, precedence, code, tokens, ways of loading, downloads, what keeps it offline."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from weighbridge.core.finding import Severity
from weighbridge.core.names import is_revision
from weighbridge.deploy.environment import TOKEN_VARIABLES
from weighbridge.deploy.lint import rules
from weighbridge.deploy.lint.commands import CommandLine, Option
from weighbridge.deploy.lint.judge_arguments import judge_arguments
from weighbridge.deploy.lint.models import (
    Origin,
    Serving,
    Setting,
    host_of,
    is_public,
    origin_of,
    variables_matching,
)
from weighbridge.deploy.lint.parts import Findings, Place, Variable, is_on, is_open, shown
from weighbridge.deploy.lint.unresolved import say_unknown
from weighbridge.deploy.targets.arguments import REFUSED
from weighbridge.serve.loading.engine import asks_for_remote_code

_TRUST: Final = re.compile(r"trust[_-]?remote[_-]?code|trust[_-]?request[_-]?chat", re.IGNORECASE)
_NO: Final = frozenset(("false", "0", "no", "off"))
_BY_NAME: Final = frozenset(f"--{name}" for name, why in REFUSED.items() if why == "it imports code by name")
_OWN_BACKENDS: Final = ("mp", "ray", "uni", "external_launcher")
"""What vLLM has itself; any other name of a backend is imported."""
_TRANSFERS: Final = frozenset(("--kv-transfer-config", "--ec-transfer-config"))
_OTHER_HUB: Final = re.compile(r"\A(?:\w+_)?USE_MODELSCOPE(?:_HUB)?\Z")
_ENDPOINT: Final = re.compile(r"\A(?:HF_ENDPOINT|HF_HUB_ENDPOINT|HUGGINGFACE_CO_RESOLVE_ENDPOINT)\Z")
_LOAD_FORMAT: Final = re.compile(r"\A(?:--load-format|(?:OPTION|SM_VLLM|VLLM)_LOAD_FORMAT|option\.load_format)\Z")
_EMBEDS: Final = re.compile(r"enable[_-](?:prompt|mm)[_-]embeds", re.IGNORECASE)
_UNSAFE: Final = ("VLLM_ALLOW_INSECURE_SERIALIZATION", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
_PICKLED: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_BLANKS: Final = re.compile(
    r"your|token[_-]?here|xxx|\.\.\.|change|replace|placeholder|example|dummy|todo|redacted|\*{3}", re.IGNORECASE
)
HUB_TOKEN: Final = re.compile(r"\bhf_[A-Za-z0-9]{30,64}\b")
_DOWNLOADERS: Final = re.compile(
    r"snapshot_download|hf_hub_download|load_dataset\(|modelscope\.snapshot|from_pretrained\(|\bpipeline\(|\bLLM\(|"
    r"SentenceTransformer\("
)
_LITERAL: Final = re.compile(r"[\"']([\w.-]{1,96}/[\w.-]{1,96})[\"']")
_COPIERS: Final = {
    "aws": ("s3",), "gsutil": ("cp", "rsync"), "gcloud": ("storage",), "s5cmd": ("cp", "sync"), "rclone": ("copy", "sync"),
    "azcopy": ("copy", "cp", "sync"), "mc": ("cp", "mirror"), "oras": ("pull",), "skopeo": ("copy",), "dvc": ("pull",),
}  # fmt: skip
_FETCHERS: Final = frozenset(("curl", "wget", "aria2c", "axel"))
_MODELISH: Final = re.compile(r"model|weight|checkpoint|\.safetensors|\.gguf|\.bin\b", re.IGNORECASE)


def judge_models(serving: Serving, findings: Findings, *, isolated: bool = False) -> None:
    """Everything about what a workload loads; `isolated` says that its platform lets it reach no network."""
    _commands(serving, findings)
    for place, what in serving.lines.not_followed:
        findings.say(rules.NOT_READ, place, what)
    if not serving.serves and not serving.workload.is_init:
        return
    for command in serving.lines.commands:
        if command.is_made and serving.workload.name != "RUN":
            what = f"{shown(command.text)}: what it runs is known only when it runs"
            findings.say(rules.NOT_READ, command.place, what)
    _sources(serving, findings)
    _precedence(serving, findings)
    _switches(serving, findings)
    _tokens(serving, findings)
    _environment(serving, findings)
    _offline(serving, findings, isolated=isolated)
    judge_arguments(serving, findings)


# --- where models come from ------------------------------------------------------------------------


def _sources(serving: Serving, findings: Findings) -> None:
    workload = serving.workload
    if workload.model is not None and origin_of(workload.model.text, bare=False) is Origin.HUB:
        findings.say(rules.HUB_MODEL, workload.model.place, f"{shown(workload.model.text)} is fetched from a hub")
    elif workload.model is not None and is_open(workload.model.text.partition("://")[0]):
        say_unknown(findings, workload.model.place, "the model's address", workload.model.text)
    if workload.has_more is not None and serving.serves and not workload.is_init:
        findings.say(
            rules.NOT_READ,
            workload.has_more,
            "variables that are not among these files may name a model or allow its code",
        )
    for setting in serving.settings:
        if setting.origin is Origin.HUB:
            _hub(serving, setting, findings)
        elif setting.origin is Origin.OPEN and not setting.is_second:
            named = f"{setting.name} is {shown(setting.value)}" if setting.value else f"{setting.name} is set elsewhere"
            findings.say(rules.NOT_READ, setting.place, f"{named}: which model that is cannot be told from these files")
        elif setting.origin is Origin.STORE and not setting.is_second:
            what = f"{setting.name} is {shown(setting.value)}: the engine reads it as it is"
            findings.say(rules.UNVERIFIED, setting.place, what)
        if setting.value.lower().endswith(_PICKLED) and setting.origin is not Origin.OPEN:
            findings.say(rules.PICKLE, setting.place, f"{setting.name} is {shown(setting.value)}, which may be pickled")


def _hub(serving: Serving, setting: Setting, findings: Findings) -> None:
    """A name on a hub: worst beside a mounted model; nothing bad where it is asked of one's own hub."""
    said = f"{setting.name} is {shown(setting.value)}, a name on a hub"
    mounted = serving.mounted
    if mounted is not None and not setting.is_second:
        wins, severity = _wins(serving, setting)
        where = serving.workload.folder or (
            serving.model_mounts[0].path if serving.model_mounts else "the model's folder"
        )
        findings.say(
            rules.HUB_BESIDE_MOUNT,
            setting.place,
            f"{said}, and a model is mounted at {where}: {wins}",
            severity=severity,
        )
        return
    if serving.hub == "private" and "://" not in setting.value:
        return
    if serving.hub == "open":
        findings.say(
            rules.NOT_READ, setting.place, f"{said}; which hub HF_ENDPOINT names cannot be told from these files"
        )
        return
    if serving.is_offline and "://" not in setting.value:
        return
    findings.say(rules.HUB_MODEL, setting.place, said)
    if is_open(setting.revision):
        say_unknown(findings, setting.place, f"the revision of {shown(setting.value)}", setting.revision)
    elif not is_revision(setting.revision) and not setting.is_second:
        how = f"at {shown(setting.revision)}" if setting.revision else "at whatever its main branch is"
        findings.say(rules.UNPINNED, setting.place, f"{setting.name} is {shown(setting.value)} {how}")


def _wins(serving: Serving, setting: Setting) -> tuple[str, Severity]:
    """Which of the two is served, and how grave that is."""
    engine = serving.engine.name if serving.engine else ""
    by_file = "option.model_id" in serving.workload.properties
    if setting.name == "SM_VLLM_MODEL":
        return "SM_VLLM_MODEL wins, the mounted model is not served", Severity.HIGH
    if serving.workload.platform == "sagemaker" and engine == "vllm" and setting.name == "HF_MODEL_ID":
        return "in AWS's vLLM image the mounted model wins today, in others the name does", Severity.MEDIUM
    if engine == "lmi" and by_file and not setting.name.startswith("option."):
        return "serving.properties wins over the environment", Severity.MEDIUM
    return "the name wins, the mounted model is not served", Severity.HIGH


def _precedence(serving: Serving, findings: Findings) -> None:
    """Settings that name different models."""
    main = [one for one in serving.settings if not one.is_second and one.origin is not Origin.OPEN and one.value]
    values = {one.value.strip().rstrip("/") for one in main}
    if len(values) < 2 or len({one.name for one in main}) < 2:
        return
    ranked = sorted(main, key=_rank)
    first = ranked[0]
    for other in ranked[1:]:
        if other.value.strip().rstrip("/") != first.value.strip().rstrip("/"):
            findings.say(
                rules.AMBIGUOUS,
                other.place,
                f"{other.name} is {shown(other.value)}, and {first.name} is {shown(first.value)}, which usually wins",
            )


def _rank(setting: Setting) -> int:
    order = ("option.model_id", "serve", "--model", "--model-id", "--model-path", "SM_VLLM_MODEL", "OPTION_MODEL_ID")
    return order.index(setting.name) if setting.name in order else len(order)


# --- what loading does -----------------------------------------------------------------------------


def _switches(serving: Serving, findings: Findings) -> None:
    for _command, option in serving.options():
        _option(serving, option, findings)
    _undecided(serving, findings)
    settings = [(name, one.value or "", one.place) for name, one in serving.workload.variables.items() if one.is_known]
    settings += [(name, said.text, said.place) for name, said in serving.workload.properties.items()]
    for name, value, place in settings:
        if (_TRUST.search(name) and is_on(value)) or _asks(value):
            findings.say(rules.REMOTE_CODE, place, f"{name} is {shown(value)}: code of the model is run")
        if _EMBEDS.search(name) and is_on(value):
            findings.say(rules.EMBEDS, place, f"{name} is {shown(value)}")
        if _LOAD_FORMAT.match(name):
            _load_format(name, value, place, findings)
        if name in _UNSAFE and is_on(value):
            findings.say(rules.PICKLE, place, f"{name} is {shown(value)}: pickles are loaded")


def _undecided(serving: Serving, findings: Findings) -> None:
    """Switches that only the deployment sets."""
    said = [(name, one.value, one.place) for name, one in serving.workload.variables.items() if not one.is_known]
    said += [(name, one.text, one.place) for name, one in serving.workload.properties.items() if one.is_open]
    for name, value, place in said:
        if _matters(name):
            say_unknown(findings, place, name, value)


def _matters(name: str) -> bool:
    """Whether what a setting is decides on what is loaded, and how."""
    return any(one.search(name) for one in (_TRUST, _EMBEDS, _LOAD_FORMAT, _OTHER_HUB)) or name in _UNSAFE


def _option(serving: Serving, option: Option, findings: Findings) -> None:
    off = option.value.lower() in _NO or option.name.startswith("--no-")
    if _TRUST.search(option.name) and not off:
        findings.say(rules.REMOTE_CODE, option.place, f"{option.name} lets code of the model run")
    elif option.has_value and _asks(option.value):
        findings.say(rules.REMOTE_CODE, option.place, f"{option.name} {shown(option.value)} lets code of the model run")
    if _EMBEDS.search(option.name) and not off:
        findings.say(rules.EMBEDS, option.place, f"{option.name} is set")
    if _LOAD_FORMAT.match(option.name):
        _load_format(option.name, option.value, option.place, findings)
    if option.name == "--config" and serving.engine is not None and serving.engine.name in ("vllm", "sglang"):
        findings.say(rules.NOT_READ, option.place, f"the options in {shown(option.value)} are not read")
    by_name = option.name in _BY_NAME and option.name not in _TRANSFERS
    if option.name == "--distributed-executor-backend" and option.value in _OWN_BACKENDS:
        by_name = False
    if by_name or (option.name in _TRANSFERS and "module_path" in option.value):
        findings.say(rules.CODE_BY_NAME, option.place, f"{option.name} is {shown(option.value)}")


def _asks(text: str) -> bool:
    """Whether a text that holds options or a call asks for code of the model."""
    if not _TRUST.search(text):
        return False
    return bool(asks_for_remote_code(re.split(r"[\s,;]+", re.sub(r"\s*([:=])\s*", r"\1", text[:65_536]))))


def _load_format(name: str, value: str, place: Place, findings: Findings) -> None:
    if is_open(value):
        say_unknown(findings, place, name, value)
    elif value.strip("\"'").lower() in ("pt", "npcache", "pickle"):
        findings.say(rules.PICKLE, place, f"{name} is {shown(value)}: pickles are loaded")


# --- tokens, endpoints, offline ------------------------------------------------------------------


def _tokens(serving: Serving, findings: Findings) -> None:
    for name in TOKEN_VARIABLES:
        one = serving.workload.variables.get(name)
        if one is not None:
            _token(serving, name, one, findings)
    for _command, option in serving.options():
        if option.name in ("--hf-token", "--hf-api-token", "--huggingface-token", "--token") and option.has_value:
            _token(serving, option.name, Variable(option.value, option.place), findings)


def _token(serving: Serving, name: str, one: Variable, findings: Findings) -> None:
    value = (one.value or "").strip()
    if one.value is not None and not value:
        return
    if one.is_known and "$" not in value and not _BLANKS.search(value):
        findings.tokens.setdefault(one.place, (name, value))
    if serving.hub != "private":
        findings.tokens_given.setdefault(one.place, f"{name} is given to {shown(serving.workload.name)}")


def _environment(serving: Serving, findings: Findings) -> None:
    variables = serving.workload.variables
    for name, one in variables_matching(variables, _ENDPOINT):
        if not one.is_known:
            say_unknown(findings, one.place, name, one.value)
        if not one.is_known or not one.value:
            continue
        host = host_of(one.value)
        if is_public(host):
            findings.say(rules.HUB_ENDPOINT, one.place, f"{name} is {shown(one.value)}")
        elif one.value.lower().startswith("http://") and host not in ("localhost", "127.0.0.1", "::1"):
            findings.say(rules.PLAIN_HTTP, one.place, f"{name} is {shown(one.value)}")
    for name, one in variables_matching(variables, _OTHER_HUB):
        if is_on(one.value):
            findings.say(rules.OTHER_HUB, one.place, f"{name} is {shown(one.value or '')}")


def _offline(serving: Serving, findings: Findings, *, isolated: bool) -> None:
    workload = serving.workload
    engine = serving.engine.name if serving.engine else ""
    mounted = workload.model is not None and origin_of(workload.model.text, bare=False) is not Origin.HUB
    local = mounted or any(one.origin is Origin.PATH for one in serving.settings)
    if workload.is_init or not local or engine in ("llama.cpp", "ollama") or serving.is_offline:
        return
    one = workload.variables.get("HF_HUB_OFFLINE")
    place = one.place if one is not None else workload.place
    if workload.has_more is not None and one is None:
        return
    said = "HF_HUB_OFFLINE is not set"
    if one is not None:
        said = f"HF_HUB_OFFLINE is {shown(one.value)}" if one.value is not None else "HF_HUB_OFFLINE is set elsewhere"
    if workload.platform == "properties":
        return
    findings.say(
        rules.NOT_OFFLINE,
        place,
        f"{said} for {shown(workload.name)}, which serves a model from a folder",
        severity=Severity.LOW if isolated else None,
    )


# --- commands that fetch -----------------------------------------------------------------------------


def _commands(serving: Serving, findings: Findings) -> None:
    for command in serving.lines.commands:
        words = [word.text for word in command.words]
        fetched = _downloads(command, words)
        if fetched and not (serving.hub == "private" and "http" not in fetched and command.name != "git"):
            findings.say(rules.DOWNLOAD, command.place, f"{shown(fetched)} is run")
        kinds = _COPIERS.get(command.name, ())
        elsewhere = "://" in command.text or command.name in ("rclone", "mc", "oras", "dvc")
        if any(word in kinds for word in words[1:3]) and _MODELISH.search(command.text) and elsewhere:
            findings.say(rules.UNVERIFIED, command.place, f"{shown(command.text)} is run")


def judge_git(serving: Serving, findings: Findings) -> None:
    """Code that is taken from a branch, by what serves a model or is built or started for it."""
    for command in serving.lines.commands:
        for what in _unpinned(command, [word.text for word in command.words]):
            findings.say(rules.UNPINNED_GIT, command.place, f"{shown(what)} is run")


def _downloads(command: CommandLine, words: list[str]) -> str:
    """The command, if it fetches from a hub."""
    name = command.name
    text = command.text
    at_hub = any(
        is_public(host_of(word)) or (is_open(word) and "/resolve/" in word)
        for word in words
        if "://" in word or "/" in word or word.startswith("git@hf.co")
    )
    if name in ("hf", "huggingface-cli", "modelscope") and "download" in words[1:4]:
        return text
    if name == "hf" and {"sync", "cp"} & set(words[1:4]) and "hf://" in text:
        return text
    if name.startswith("python") and "download" in words and any(word.startswith("huggingface_hub") for word in words):
        return text
    if name == "git" and at_hub and {"clone", "pull", "fetch", "lfs"} & set(words[1:4]):
        return text
    if name in _FETCHERS and at_hub:
        return text
    if name == "ollama" and len(words) > 2 and words[1] in ("pull", "run"):
        return text
    if name == "text-generation-server" and "download-weights" in words[1:3]:
        return text
    if name.startswith("python") and "-c" in words[1:4] and _DOWNLOADERS.search(text) and _fetches(text):
        return text
    return ""


def _fetches(text: str) -> bool:
    """Whether a call of a loader names something on a hub."""
    if any(origin_of(found.group(1)) is Origin.HUB for found in _LITERAL.finditer(text)):
        return True
    for called in re.finditer(
        r"(?:download|snapshot|from_pretrained|load_dataset)\(\s*(?:repo_id\s*=\s*)?([^,)\s]+)", text
    ):
        argument = called.group(1).strip("\"'\\")
        if origin_of(argument) in (Origin.HUB, Origin.OPEN):
            return True
    return False


def _unpinned(command: CommandLine, words: list[str]) -> Iterator[str]:
    if command.name in ("pip", "pip3", "uv", "python", "python3") and "install" in words[1:5]:
        for word in words:
            if word.startswith("git+") or " @ git+" in word:
                ref = word.partition("git+")[2].partition("://")[2].split("#")[0].rpartition("@")
                if not ref[1] or not re.fullmatch(r"[0-9a-f]{7,40}", ref[2]):
                    yield word
    if command.name == "git" and "clone" in words[1:4]:
        hub = any(is_public(host_of(word)) for word in words if "://" in word)
        pinned = any(word.startswith(("--revision", "--branch", "-b")) for word in words)
        if not hub and not pinned and any("://" in word or word.startswith("git@") for word in words):
            yield command.text
