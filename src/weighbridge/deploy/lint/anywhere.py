"""Judges what may stand anywhere: tokens in a file's text, and keys of resources that nobody here knows which name models or switches.

Resources of operators (Ray, KubeAI, a production stack …) have the same settings under names of their own: `hf://` addresses, a
`trustRemoteCode`, a `modelURL`. Texts that are YAML themselves (Ray's `serveConfigV2`, a ConfigMap with vLLM's options) are read as
such, once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from weighbridge.core.errors import FormatError
from weighbridge.deploy.lint import rules
from weighbridge.deploy.lint.judge_models import HUB_TOKEN
from weighbridge.deploy.lint.models import Origin, origin_of
from weighbridge.deploy.lint.parts import Document, Findings, Json, Place, is_open, mapping, pointer_of, shown, text_of
from weighbridge.deploy.lint.unresolved import say_unknown
from weighbridge.deploy.lint.yaml_text import read_yaml
from weighbridge.serve.workloads import is_hub_id

MAX_TEXT: Final = 4 * 1024 * 1024
_MODEL_KEYS: Final = frozenset(
    ("modelurl", "modelsource", "hfmodelid", "huggingfacemodelid", "modelid", "hfrepo", "hfrepoid")
)
_TRUST_KEYS: Final = frozenset(("trustremotecode", "allowremotecode"))
_OPTIONS_OF_VLLM: Final = frozenset(
    (
        "maxmodellen",
        "tensorparallelsize",
        "pipelineparallelsize",
        "gpumemoryutilization",
        "servedmodelname",
        "trustremotecode",
    )
)
"""Beside which `model` in a file of options is the model that vLLM serves."""
_EMBEDDED: Final = re.compile(
    r"(?:trust|allow)[_-]?remote[_-]?code|hf://|(?:hf|model)[_-]?(?:repo|source|id|url)|(?:^|[\s\"'{,-])model[\"']?\s*:",
    re.IGNORECASE | re.MULTILINE,
)
MAX_EMBEDDED: Final = 128 * 1024
"""Characters of all texts within one document that are read as YAML."""
_WITHIN_CONTAINERS: Final = frozenset(("env", "args", "command", "envFrom", "image"))
"""Where they are lists or texts, as in containers: those are read as such."""
_SAYS_NOTHING: Final = frozenset(("status", "annotations", "labels"))


def judge_tokens(files: Mapping[str, bytes], findings: Findings) -> None:
    """Tokens of the Hub, each once for every place where it is written: by what it is the value of, else by its line.

    A value that stands elsewhere, and is only referred to, is told where it stands.
    """
    texts = {file: _tokens_in(data) for file, data in files.items()}
    written = {token for lines in texts.values() for token in lines}
    values = []
    for place, (name, value) in findings.tokens.items():
        found = HUB_TOKEN.search(value)
        lines = texts.get(place.file, {}).get(found.group(), []) if found else []
        # A value stands where its key begins, or after it; where lines are not known, anywhere.
        near = min((line - place.line for line in lines if line >= place.line), default=MAX_TEXT)
        values.append((near, place, name, lines, found is not None and found.group() in written))
    for _, place, name, lines, is_in_a_text in sorted(values, key=lambda one: one[0]):
        if is_in_a_text and not lines:
            continue
        findings.say(rules.HUB_TOKEN, place, f"{name} is written out")
        findings.tokens_given.pop(place, None)
        if lines:
            lines.remove(next((line for line in lines if line >= place.line), lines[0]))
    for file, found_in in texts.items():
        for line in sorted(line for lines in found_in.values() for line in lines):
            findings.say(rules.HUB_TOKEN, Place(file, "", line), "a token of the Hub stands in this line")
    for place, what in findings.tokens_given.items():
        findings.say(rules.TOKEN_GIVEN, place, what)


def _tokens_in(data: bytes) -> dict[str, list[int]]:
    """The lines in which each token of a text stands."""
    text = data[:MAX_TEXT].decode("utf-8", "replace")
    places: dict[str, list[int]] = {}
    line, at = 1, 0
    for found in HUB_TOKEN.finditer(text):
        line, at = line + text.count("\n", at, found.start()), found.start()
        if len(set(found.group()[3:])) > 8:
            places.setdefault(found.group(), []).append(line)
    return places


def judge_anywhere(document: Document, findings: Findings, *, under: str = "") -> None:
    """Keys that name models or let their code run, in any object; `under` one key of it alone, if that is given."""
    root = mapping(document.value).get(under) if under else document.value
    found = list(_scalars(root, pointer_of(under) if under else ""))
    _judge(document, found, findings)
    left = MAX_EMBEDDED
    for pointer, _, value in found:
        if isinstance(value, str) and "\n" in value and _EMBEDDED.search(value):
            left -= len(value)
            if left < 0:
                findings.say(
                    rules.NOT_READ, document.place(pointer), "a text that may hold settings is too long to be read"
                )
                return
            _judge(document, list(_within(pointer, value)), findings)


def _within(pointer: str, text: str) -> Iterator[tuple[str, str, Json]]:
    """The scalars of a text that is YAML or JSON with keys; none of any other. All stand where the text does."""
    try:
        documents = read_yaml(text.encode("utf-8", "replace"))
    except FormatError:
        return
    for one in documents:
        options = {_plain(key) for key in mapping(one.value)}
        for _, key, value in _scalars(one.value, "") if isinstance(one.value, (dict, list)) else ():
            named = "modelid" if _plain(key) == "model" and options & _OPTIONS_OF_VLLM else key
            yield pointer, named, value


def _plain(key: str) -> str:
    return re.sub(r"[_-]", "", key).lower()


def _judge(document: Document, found: list[tuple[str, str, Json]], findings: Findings) -> None:
    for pointer, key, value in found:
        plain = _plain(key)
        text = text_of(value) or ""
        if is_open(text) and (plain in _TRUST_KEYS or plain in _MODEL_KEYS):
            say_unknown(findings, document.place(pointer), key, text)
        elif plain in _TRUST_KEYS and text.lower() in ("true", "1", "yes", "on"):
            findings.say(
                rules.REMOTE_CODE, document.place(pointer), f"{key} is {shown(text)}: code of the model is run"
            )
        elif text.startswith("hf://") or (plain in _MODEL_KEYS and is_hub_id(text) and origin_of(text) is Origin.HUB):
            if plain not in ("storageuri", "uri", "modeluri"):
                findings.say(rules.HUB_MODEL, document.place(pointer), f"{key} is {shown(text)}, a name on a hub")
        elif plain == "modelurl" and not text.startswith(("http", "/", "s3://")) and is_hub_id(text):
            findings.say(rules.HUB_MODEL, document.place(pointer), f"{key} is {shown(text)}, a name on a hub")


def _scalars(root: Json, at: str) -> Iterator[tuple[str, str, Json]]:
    """Pointer, key and value of every scalar that is no part of a container's settings."""
    stack: list[tuple[str, str, Json]] = [(at, "", root)]
    while stack:
        pointer, key, value = stack.pop()
        if isinstance(value, dict):
            for inner, one in reversed(list(value.items())):
                if inner not in _SAYS_NOTHING and (inner not in _WITHIN_CONTAINERS or isinstance(one, dict)):
                    stack.append((pointer + pointer_of(inner), inner, one))
        elif isinstance(value, list):
            stack.extend((f"{pointer}/{at}", key, one) for at, one in reversed(list(enumerate(value))))
        else:
            yield pointer, key, value
