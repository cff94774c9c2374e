"""What a gateway's token looks like, and what it lets its holder do.

Rules:

- a token is `hf_` and 43 letters and digits: some clients of the Hub drop whatever is not `hf_` with 37 to 256 letters and
  digits in all;
- its 43 characters are drawn by the system's random source and hold 256 bits, so that one SHA-256 is all that needs to be
  kept: there is nothing to guess, and so nothing for a slow hash or a salt to slow down;
- a pattern is `org/name`; `*` stands for any run of characters within one part and never for the slash; `*` alone is
  every model. Nothing else is special, and matching takes time in proportion to pattern and name;
- what a token does not name it does not allow: no model, no channel and no action is implied by another.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from weighbridge.admit.asking import channel_of
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.errors import ConfigError
from weighbridge.core.names import ModelName, is_revision

PREFIX: Final = "hf_"
SECRET_CHARACTERS: Final = 43
"""62 ** 43 is a little more than 2 ** 256."""
MAX_PRESENTED: Final = 256
MAX_PATTERNS: Final = 100
MAX_NAME: Final = 64
ANY: Final = "*"
_ALPHABET: Final = string.ascii_letters + string.digits
_FORM = re.compile(r"hf_[A-Za-z0-9]{34,253}")
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_])?")
_PATTERN_PART = re.compile(r"[A-Za-z0-9._*-]{1,96}")
_CHANNEL = re.compile(r"[a-z][a-z0-9]*(?:[._-][a-z0-9]+)*")


class Action(Enum):
    """What can be done at a gateway."""

    READ = "read"
    """Read a model: its information, its files."""
    LIST = "list"
    """See which models there are, of those that can be read."""
    REQUEST = "request"
    """Ask for a model that is not here."""
    ADMIN = "admin"
    """Read what operators read: metrics, and why something is not ready."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which models (patterns), which channels (`*`: all, and revisions by their commit), and what may be done."""

    models: tuple[str, ...] = (ANY,)
    channels: tuple[str, ...] = (ANY,)
    actions: frozenset[Action] = frozenset((Action.READ, Action.LIST))

    @property
    def everywhere(self) -> bool:
        """Whether no model and no channel is left out."""
        return (ANY in self.models or "*/*" in self.models) and ANY in self.channels

    def covers(self, model_name: ModelName) -> bool:
        """Whether one of the patterns fits the model."""
        return any(fits(pattern, model_name) for pattern in self.models)

    def allows(self, action: Action, model_name: ModelName) -> bool:
        """Whether the action is allowed on the model, on some channel at least."""
        return action in self.actions and self.covers(model_name)

    def allows_ref(self, model_name: ModelName, ref: str, channels: Mapping[str, str]) -> bool:
        """Whether the model may be read under `ref`; `channels` says which revision each channel points to now.

        A commit may be read by who may read a channel that points to it.
        """
        if not self.allows(Action.READ, model_name):
            return False
        if ANY in self.channels:
            return True
        if is_revision(ref):
            return any(channels.get(channel) == ref for channel in self.channels)
        return channel_of(ref) in self.channels


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept: all but the secret. Times are RFC 3339 in UTC; `expires_at` "" means never."""

    name: str
    sha256: str
    scope: Scope
    created_at: str
    created_by: str
    expires_at: str = ""
    revoked_at: str = ""

    @property
    def token_id(self) -> str:
        """Names the token where its secret must not be."""
        return self.sha256[:16]

    def state(self, now: str) -> str:
        """`active`, `expired` or `revoked`; `now` is RFC 3339 with microseconds, as `store.ledger.now_rfc3339` writes it."""
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and now >= self.expires_at else "active"

    def revoked(self, at: str) -> Token:
        """The same token, revoked."""
        return replace(self, revoked_at=at)


def new_secret() -> str:
    """A new token, to be shown once."""
    return PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(SECRET_CHARACTERS))


def has_form(presented: str) -> bool:
    """Whether that can be a token at all."""
    return len(presented) <= MAX_PRESENTED and _FORM.fullmatch(presented) is not None


def hash_of(presented: str) -> str:
    """What is kept of a token, lowercase hexadecimal."""
    return hashlib.sha256(presented.encode("utf-8", "surrogatepass")).hexdigest()


def same_hash(one: str, other: str) -> bool:
    """Whether two hashes are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode("ascii"), other.encode("ascii"))


def fits(pattern: str, model_name: ModelName) -> bool:
    """Whether a pattern names the model; see the rules above."""
    if pattern == ANY:
        return True
    organisation, slash, name = pattern.partition("/")
    return bool(slash) and _part_fits(organisation, model_name.organisation) and _part_fits(name, model_name.name)


def _part_fits(pattern: str, text: str) -> bool:
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, last = rest
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in middle:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def check_scope(scope: Scope) -> Scope:
    """The scope, once everything in it was found to have the form that can match.

    Raises:
        ConfigError: a pattern or channel could never match, or there is nothing.
    """
    if not scope.models or not scope.channels or not scope.actions:
        raise ConfigError("a token needs at least one model, one channel and one action")
    if max(len(scope.models), len(scope.channels)) > MAX_PATTERNS:
        raise ConfigError(f"a token names at most {MAX_PATTERNS} models and {MAX_PATTERNS} channels")
    for pattern in scope.models:
        parts = pattern.split("/")
        if pattern != ANY and (len(parts) != 2 or not all(map(_may_fit, parts))):
            raise ConfigError(
                f"'{pattern:.100}' is no pattern for models",
                hint="Write org/name, where * stands for any characters within a part, or * for every model.",
            )
    for channel in scope.channels:
        if channel != ANY and (not _CHANNEL.fullmatch(channel) or len(channel) > MAX_NAME):
            raise ConfigError(
                f"'{channel:.100}' is no channel", hint="Name a channel (`main` is `production`), or * for all."
            )
    return scope


def _may_fit(part: str) -> bool:
    return _PATTERN_PART.fullmatch(part) is not None and ".." not in part and "--" not in part


def check_name(name: str) -> str:
    """The name of a token, when it is one.

    Raises:
        ConfigError: it is not.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"'{name:.100}' is no name for a token", hint="Use up to 64 letters, digits and . _ -")
    return name


def encode(token: Token) -> dict[str, JsonValue]:
    """The record of a new token."""
    return {
        "name": token.name,
        "sha256": token.sha256,
        "models": list(token.scope.models),
        "channels": list(token.scope.channels),
        "actions": sorted(action.value for action in token.scope.actions),
        "expires_at": token.expires_at,
    }


def decode(payload: Mapping[str, JsonValue], *, created_at: str, created_by: str) -> Token:
    """Reads what `encode` made.

    Raises:
        Malformed, ConfigError: it did not; also for an action that this version does not know.
    """
    fields = Fields(dict(payload), what="the token's record")
    digest = fields.text("sha256")
    try:
        actions = frozenset(Action(action) for action in fields.texts("actions"))
    except ValueError as error:
        raise ConfigError("the token names an action that this version does not know") from error
    scope = check_scope(Scope(fields.texts("models"), fields.texts("channels"), actions))
    token = Token(
        check_name(fields.text("name")), digest, scope, created_at, created_by, expires_at=fields.text("expires_at")
    )
    fields.done()
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ConfigError("the token's record holds no SHA-256")
    return token
