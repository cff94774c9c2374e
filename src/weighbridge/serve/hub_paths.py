"""Reads what a URL of the Hub's protocol asks for, from its raw bytes, so that there is one way to read it.

- Components are split at literal slashes first and percent-decoded afterwards, strictly: an encoded slash never makes a
  component. Only a ref may hold one (clients send `refs%2Fpr%2F1`), and is then a name that nothing here has.
- A path is looked up among the names in a signed manifest; it is never joined to a folder.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import MutableMapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from weighbridge.core.errors import ConfigError, UnsafePath
from weighbridge.core.names import ModelName, check_path

MAX_RAW_BYTES: Final = 8_192
MAX_REF_CHARACTERS: Final = 200
MAX_REMEMBERED_BYTES: Final = 300
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_PLAIN = re.compile(rb"[!-~]*")


class Kind(Enum):
    """What is asked for."""

    LISTING = "listing"
    WHOAMI = "whoami"
    INFO = "info"
    TREE = "tree"
    PATHS_INFO = "paths-info"
    REFS = "refs"
    AUTH_CHECK = "auth-check"
    LIKERS = "likers"
    DISCUSSIONS = "discussions"
    COMMITS = "commits"
    RESOLVE = "resolve"
    RAW = "raw"


OF_ANY_CHANNEL: Final = frozenset({Kind.REFS, Kind.AUTH_CHECK, Kind.LIKERS, Kind.DISCUSSIONS})
"""What is asked of a model as a whole, under no ref: open to who may read any channel of it."""


_API: Final = ("/api/models", "/api/whoami-v2")


def is_always_the_hubs(path: str) -> bool:
    """Whether a decoded path is the protocol's whatever else is served: no page and no other route ever gets it."""
    return path.startswith(_API) or "/resolve/" in path


@dataclass(frozen=True, slots=True)
class Asked:
    """What a URL asks for. `model_name` is None where no model of that name can exist; `name` is it as written."""

    kind: Kind
    name: str = ""
    model_name: ModelName | None = None
    ref: str = "main"
    path: str = ""


def asked(raw_path: bytes) -> Asked | None:
    """What a raw path asks for; None when it is none of the protocol's.

    Raises:
        UnsafePath: it could be read in two ways, or names a file that no manifest may hold.
    """
    if len(raw_path) > MAX_RAW_BYTES or not _PLAIN.fullmatch(raw_path) or _BROKEN_ESCAPE.search(raw_path):
        raise UnsafePath("the address is too long, or not percent-encoded as it should be")
    if not raw_path.startswith(b"/"):
        return None
    parts = raw_path[1:].split(b"/")
    if parts[0] == b"api":
        return _of_api(parts[1:])
    if len(parts) >= 2 and parts[1] in (b"resolve", b"raw"):
        return Asked(Kind(parts[1].decode()), _text(parts[0]))
    if len(parts) >= 3 and parts[2] in (b"resolve", b"raw"):
        if parts[0] in (b"datasets", b"spaces"):
            return None
        return _of_file(parts)
    return None


_remembered = functools.lru_cache(4_096)(asked)


def asked_by(scope: MutableMapping[str, Any]) -> Asked | None:
    """What an ASGI request asks for. Raises as `asked`."""
    raw = scope.get("raw_path") or quote(scope["path"], safe="/%").encode("ascii")
    path = raw.partition(b"?")[0]
    return _remembered(path) if len(path) <= MAX_REMEMBERED_BYTES else asked(path)


def _of_api(parts: list[bytes]) -> Asked | None:
    if parts == [b"whoami-v2"]:
        return Asked(Kind.WHOAMI)
    if parts[0] != b"models" or parts[-1] == b"":
        return None
    if len(parts) == 1:
        return Asked(Kind.LISTING)
    if len(parts) == 2:
        return Asked(Kind.INFO, _text(parts[1]))
    name, model_name = _model(parts[1], parts[2])
    if len(parts) == 3:
        return Asked(Kind.INFO, name, model_name)
    word, rest = parts[3], parts[4:]
    if word in (b"refs", b"auth-check", b"likers", b"discussions") and not rest:
        return Asked(Kind(word.decode()), name, model_name)
    if word == b"revision" and len(rest) == 1:
        return Asked(Kind.INFO, name, model_name, _ref(rest[0]))
    if word == b"tree" and rest:
        return Asked(Kind.TREE, name, model_name, _ref(rest[0]), _path(rest[1:]))
    if word in (b"paths-info", b"commits") and len(rest) == 1:
        return Asked(Kind(word.decode()), name, model_name, _ref(rest[0]))
    return None


def _of_file(parts: list[bytes]) -> Asked | None:
    name, model_name = _model(parts[0], parts[1])
    if len(parts) < 5:
        return None
    return Asked(Kind(parts[2].decode()), name, model_name, _ref(parts[3]), _path(parts[4:]))


def _model(organisation: bytes, name: bytes) -> tuple[str, ModelName | None]:
    first, second = _text(organisation), _text(name)
    try:
        return f"{first}/{second}", ModelName(first, second)
    except ConfigError:
        return f"{first}/{second}", None


def _ref(part: bytes) -> str:
    ref = _text(part, slash=True)
    if not ref or len(ref) > MAX_REF_CHARACTERS:
        raise UnsafePath("the address names no revision")
    return ref


def _path(parts: list[bytes]) -> str:
    path = "/".join(_text(part) for part in parts)
    return check_path(path, of="the address") if path else ""


def _text(part: bytes, *, slash: bool = False) -> str:
    try:
        text = unquote_to_bytes(part).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnsafePath("the address is not UTF-8") from error
    if "\\" in text or ("/" in text and not slash) or any(unicodedata.category(one) == "Cc" for one in text):
        raise UnsafePath("the address has an encoded slash, a backslash or a control character in a name")
    return text
