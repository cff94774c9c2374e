"""Judges what may stand anywhere: tokens in a file's text, and keys of resources that nobody here knows which name models or switches.

Resources of operators (Ray, KubeAI, a production stack …) have the same settings under names of their own: `hf://` addresses, a
`trustRemoteCode`, a `modelURL`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from weighbridge.deploy.lint import rules
from weighbridge.deploy.lint.judge_models import HUB_TOKEN
from weighbridge.deploy.lint.models import Origin, origin_of
from weighbridge.deploy.lint.parts import Document, Findings, Json, Place, is_open, mapping, pointer_of, shown, text_of
from weighbridge.deploy.lint.unresolved import say_unknown
from weighbridge.serve.workloads import is_hub_id

MAX_TEXT: Final = 4 * 1024 * 1024
_MODEL_KEYS: Final = frozenset(
    ("modelurl", "modelsource", "hfmodelid", "huggingfacemodelid", "modelid", "hfrepo", "hfrepoid")
)
_TRUST_KEYS: Final = frozenset(("trustremotecode", "allowremotecode"))
_WITHIN_CONTAINERS: Final = frozenset(("env", "args", "command", "envFrom", "image", "status", "annotations", "labels"))


def judge_text(file: str, data: bytes, findings: Findings) -> None:
    """Tokens of the Hub, wherever in a text they stand."""
    text = data[:MAX_TEXT].decode("utf-8", "replace")
    for found in HUB_TOKEN.finditer(text):
        token = found.group()
        if len(set(token[3:])) > 8:
            line = text.count("\n", 0, found.start()) + 1
            findings.say(rules.HUB_TOKEN, Place(file, "", line), "a token of the Hub stands in this line")


def judge_anywhere(document: Document, findings: Findings, *, under: str = "") -> None:
    """Keys that name models or let their code run, in any object; `under` one key of it alone, if that is given."""
    root = mapping(document.value).get(under) if under else document.value
    for pointer, key, value in _scalars(root, pointer_of(under) if under else ""):
        plain = re.sub(r"[_-]", "", key).lower()
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
                if inner not in _WITHIN_CONTAINERS:
                    stack.append((pointer + pointer_of(inner), inner, one))
        elif isinstance(value, list):
            stack.extend((f"{pointer}/{at}", key, one) for at, one in reversed(list(enumerate(value))))
        else:
            yield pointer, key, value
