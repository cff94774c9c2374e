"""Who is asking, and whether the token lets them: the layer that every request passes before anything answers it.

Rules:

- a token comes as `Authorization: Bearer …`, or as the password (or, without one, the user) of `Basic …`, as git sends it;
- who is nobody gets 401, who may not gets 403, both with the `X-Error-Code` and `X-Error-Message` of the Hub, whose clients
  print them. Whether a model exists is never asked for that, so a refusal tells nothing about it;
- the path is read by `hub_paths`, as whoever answers reads it, so that both mean the same model; a path that is none of the
  Hub's is open only to who may read everything;
- anonymous reading on loopback ends when the first token is created, and needs a loopback `Host`: a page in a browser that
  points its own name at 127.0.0.1 is not somebody on this machine;
- a token's text is never logged, kept or sent back.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import functools
import ipaddress
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as HttpScope

from weighbridge.core.errors import ConfigError, UnsafePath, WeighbridgeError
from weighbridge.core.names import ModelName
from weighbridge.serve.hub_paths import OF_ANY_CHANNEL, Asked, Kind, asked, asked_by
from weighbridge.serve.token_store import Tokens
from weighbridge.serve.tokens import Action, Scope, Token

OPERATIONAL: Final = frozenset({"/healthz", "/readyz", "/metrics"})
ADMISSION: Final = "/admission/v1"
MAX_CREDENTIALS: Final = 1_024
MAX_MESSAGE: Final = 400
MAX_KEPT_PATH: Final = 256
PERMIT: Final = "weighbridge.permit"
TARGET: Final = "weighbridge.target"
_NOT_KNOWN: Final = "Invalid credentials in Authorization header"
"""The Hub's words, by which its clients tell a wrong token from a missing model."""
_log = logging.getLogger(__name__)
ChannelsOf = Callable[[ModelName], Mapping[str, str]]


class Anonymous(Enum):
    """Whether somebody without a token may read."""

    NEVER = "never"
    UNTIL_TOKENS = "until-tokens"
    """While there is no token, from this machine."""
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class ExposureFlags:
    """What a person said explicitly on the command line."""

    allow_anonymous: bool = False
    allow_plain_http: bool = False
    open_operations: bool = False
    """Whether `/healthz`, `/readyz` and `/metrics` ask for no token, also beyond loopback."""
    open_admission: bool = False
    """Whether `/admission/v1` asks for no token: an API server often has none to send."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """How far a gateway is open, and what to say about it when it starts."""

    anonymous: Anonymous
    open_paths: frozenset[str]
    words: tuple[str, ...]


@functools.lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a socket bound to `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_exposure(
    host: str,
    *,
    tls: bool,
    tokens_exist: bool,
    flags: ExposureFlags = ExposureFlags(),
) -> Exposure:
    """How open a gateway on `host` is.

    Raises:
        ConfigError: it would serve others than this machine without authentication or TLS, and nobody said that it may.
    """
    here = is_loopback(host)
    words: list[str] = []
    if not here and not tokens_exist and not flags.allow_anonymous:
        raise ConfigError(
            f"there is no token, and on {host} whoever reaches it could read every approved model",
            hint="Make one: weighbridge token create NAME. Or say that everybody may read: --allow-anonymous.",
        )
    if not here and not tls and not flags.allow_plain_http:
        raise ConfigError(
            f"without TLS, tokens and models would cross the network to {host} in the clear",
            hint="Name a certificate and its key. Or, behind a proxy that ends TLS: --allow-plain-http.",
        )
    anonymous = Anonymous.NEVER
    if flags.allow_anonymous:
        anonymous = Anonymous.ALWAYS
        words.append("everybody who reaches this address may read, as --allow-anonymous says")
    elif here and not tokens_exist:
        anonymous = Anonymous.UNTIL_TOKENS
        words.append(
            "no token exists yet: everybody on this machine may read, until `weighbridge token create` makes one"
        )
    if not here and not tls:
        words.append("no TLS, as --allow-plain-http says: tokens cross the network in the clear")
    open_paths = OPERATIONAL if here or flags.open_operations else frozenset[str]()
    if flags.open_admission:
        open_paths |= {ADMISSION}
    return Exposure(anonymous, open_paths, tuple(words))


# --- what is asked for ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names. `route` is one of few words, fit for a metric; `action` None: whoever has a token."""

    route: str
    action: Action | None = None
    model_name: ModelName | None = None
    ref: str = ""
    path: str = ""


OTHER: Final = Target("other")
_OF_MODELS: Final = frozenset(Kind) - {Kind.LISTING, Kind.WHOAMI}
_OF_ANY_CHANNEL: Final = frozenset(kind.value for kind in OF_ANY_CHANNEL)


def target_of(scope: HttpScope) -> Target:
    """What a request's path names, read as the answering side reads it; `OTHER` for what is none of the Hub's."""
    known = scope.get(TARGET)
    if isinstance(known, Target):
        return known
    scope[TARGET] = found = _target_of(scope)
    return found


def _target_of(scope: HttpScope) -> Target:
    plain = scope["path"]
    if plain in OPERATIONAL:
        return Target(plain[1:], Action.ADMIN if plain == "/metrics" else None)
    if plain == ADMISSION:
        return Target("admission", Action.LIST)
    raw: bytes = scope.get("raw_path") or b""
    if 0 < len(raw) <= MAX_KEPT_PATH:
        return _target_of_raw(raw)
    try:
        return _meant(asked_by(scope))
    except UnsafePath:
        return OTHER


@functools.lru_cache(maxsize=2_048)
def _target_of_raw(raw: bytes) -> Target:
    """Most requests repeat a few paths, and reading one takes longer than all else here."""
    try:
        return _meant(asked(raw.partition(b"?")[0]))
    except UnsafePath:
        return OTHER


def _meant(found: Asked | None) -> Target:
    if found is None:
        return OTHER
    if found.kind in _OF_MODELS:
        # Of no model, where none can have that name: then there is nothing to be read.
        ref = "" if found.kind in OF_ANY_CHANNEL else found.ref
        return Target(found.kind.value, Action.READ, found.model_name, ref, found.path)
    return Target(found.kind.value, Action.LIST if found.kind is Kind.LISTING else None)


# --- who asks ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Permit:
    """Who asks and what they may. `who` is fit for the ledger; `key` tells one asker from another for limits."""

    who: str
    key: str
    scope: Scope
    token: Token | None = None

    def may(self, action: Action, model_name: ModelName | None = None) -> bool:
        """Whether the action is allowed, on the model when one is named."""
        return action in self.scope.actions and (model_name is None or self.scope.covers(model_name))

    def may_read(self, model_name: ModelName, ref: str, channels: Mapping[str, str]) -> bool:
        """Whether the model may be read under `ref`; `channels` says where its channels point now."""
        return self.scope.allows_ref(model_name, ref, channels)

    def shown(self, model_name: ModelName, channels: Mapping[str, str]) -> dict[str, str]:
        """Those of a model's channels that may be read."""
        return {name: commit for name, commit in channels.items() if self.may_read(model_name, name, channels)}


def address_key(scope: HttpScope) -> str:
    """Whoever cannot be told apart: an IPv4 address, or the /64 network of an IPv6 one."""
    return _network_of(str((scope.get("client") or ("unknown", 0))[0]))


@functools.lru_cache(maxsize=4_096)
def _network_of(host: str) -> str:
    """Asked several times for each request, and reading an address takes as long as much else there."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def presented_token(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The token of an `Authorization` header; None without one, "" when what is there cannot be a token."""
    found = [value for name, value in headers if name == b"authorization"]
    if not found:
        return None
    if len(found) > 1 or len(found[0]) > MAX_CREDENTIALS:
        return ""
    scheme, _, rest = found[0].partition(b" ")
    if scheme.lower() == b"bearer":
        return rest.strip().decode("latin-1")
    if scheme.lower() != b"basic":
        return ""
    try:
        pair = base64.b64decode(rest.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    user, _, password = pair.partition(":")
    return password or user


# --- answers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer in the Hub's words for errors."""

    status: int
    code: str
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    detail: str = ""
    """More than the header may say, for the body; empty: the message."""

    async def send(self, scope: HttpScope, send: Send) -> None:
        """Sends it; to a HEAD without its body."""
        body = json.dumps({"error": (self.detail or self.message)[:MAX_MESSAGE]}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (b"x-error-message", header_text(self.message)),
            *self.headers,
        ]
        if self.code:
            headers.append((b"x-error-code", self.code.encode("ascii")))
            # Newer command lines of the Hub replace the message by words of their own; a warning they print as it is.
            headers.append((b"x-hf-warning", b"weighbridge; " + header_text(self.message)))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def header_text(text: str) -> bytes:
    """Text as the value of a header: plain ASCII on one line, of bounded length."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text[:MAX_MESSAGE]).encode("ascii")


_CHALLENGE: Final = (
    (b"www-authenticate", b'Bearer realm="weighbridge"'),
    (b"www-authenticate", b'Basic realm="weighbridge"'),
)


def _unknown(why: str) -> Refusal:
    return Refusal(401, "", _NOT_KNOWN, _CHALLENGE, why)


def _nobody(target: Target) -> Refusal:
    what = f"{target.model_name} is served" if target.model_name else "This gateway answers"
    message = f"{what} only to who has a token of this gateway. Set HF_TOKEN to yours, or ask an operator for one."
    return Refusal(401, "GatedRepo", message, _CHALLENGE)


def _forbidden(permit: Permit, target: Target) -> Refusal:
    if target.model_name is None:
        message = f"{permit.who} may not do this here. Ask an operator for a token with a wider scope."
        return Refusal(403, "", message)
    at = f" at '{target.ref[:60]}'" if target.ref else ""
    message = f"{permit.who} may not read {target.model_name}{at}. Ask an operator for a token whose scope names it."
    return Refusal(403, "GatedRepo", message)


_UNPROVEN: Final = Refusal(503, "", "The gateway cannot check tokens now; try again.", ((b"retry-after", b"5"),))
_EVERYTHING: Final = Scope()


@functools.lru_cache(maxsize=4_096)
def _visitor(key: str) -> Permit:
    """Who asks without a token where everybody may read."""
    return Permit("anonymous", key, _EVERYTHING)


class Access:
    """The middleware. What passes has a `Permit` in its scope, under `PERMIT`.

    `elsewhere` says which requests another layer authenticates (pages for people); they pass without a permit.
    `channels_of` says where a model's channels point; it may block, and is asked only for tokens of some channels.
    """

    def __init__(
        self,
        app: ASGIApp,
        tokens: Tokens,
        exposure: Exposure,
        *,
        channels_of: ChannelsOf,
        elsewhere: Callable[[HttpScope], bool] = lambda _scope: False,
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._exposure = exposure
        self._channels_of = channels_of
        self._elsewhere = elsewhere

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["path"] in self._exposure.open_paths:
            scope[PERMIT] = Permit("anonymous", address_key(scope), Scope(actions=frozenset()))
            await self._app(scope, receive, send)
            return
        if self._elsewhere(scope):
            await self._app(scope, receive, send)
            return
        target = target_of(scope)
        try:
            found = self._who(scope, target)
            refusal = found if isinstance(found, Refusal) else self._judge(found, target)
            if refusal is None and isinstance(found, Permit) and _is_of_channels(found.scope, target):
                refusal = await self._judge_channels(found, target)
        except WeighbridgeError as error:
            _log.warning("access cannot be judged: %s", error.message)
            refusal = _UNPROVEN
            found = refusal
        if refusal is not None or isinstance(found, Refusal):
            assert refusal is not None
            _log.info("refused %s: %d %s", target.route, refusal.status, refusal.detail or refusal.message)
            await refusal.send(scope, send)
            return
        scope[PERMIT] = found
        await self._app(scope, receive, send)

    def _who(self, scope: HttpScope, target: Target) -> Permit | Refusal:
        presented = presented_token(scope["headers"])
        anonymous = self._anonymous(scope)
        if presented is None:
            return anonymous or _nobody(target)
        token = self._tokens.find(presented)
        if token is None:
            # Clients send the token that they have, often one of the public Hub: who may read without one still may.
            return anonymous or _unknown("This is no token of this gateway. HF_TOKEN may hold one of another place.")
        state = self._tokens.state(token)
        if state != "active":
            what = "was revoked" if state == "revoked" else f"expired at {token.expires_at}"
            return _unknown(f"The token '{token.name}' {what}. Ask an operator for a new one.")
        return Permit(f"token:{token.name}", f"token:{token.token_id}", token.scope, token)

    def _anonymous(self, scope: HttpScope) -> Permit | None:
        allowed = is_open(scope, self._tokens, self._exposure)
        return _visitor(address_key(scope)) if allowed else None

    def _judge(self, permit: Permit, target: Target) -> Refusal | None:
        """None when the permit covers the target, as far as that does not depend on where channels point."""
        scope = permit.scope
        if scope.everywhere and target.action in scope.actions:
            return None
        if target.route == OTHER.route:
            wide = scope.everywhere and scope.actions & {Action.READ, Action.LIST}
            return None if wide else _forbidden(permit, target)
        if target.action is None:
            return None
        if target.model_name is None:
            return None if permit.may(target.action) else _forbidden(permit, target)
        return None if permit.may(Action.READ, target.model_name) else _forbidden(permit, target)

    async def _judge_channels(self, permit: Permit, target: Target) -> Refusal | None:
        assert target.model_name is not None
        channels: Mapping[str, str] = {}
        if "*" not in permit.scope.channels:
            channels = await asyncio.to_thread(self._channels_of, target.model_name)
        allowed = permit.may_read(target.model_name, target.ref, channels)
        return None if allowed else _forbidden(permit, target)


def _is_of_channels(scope: Scope, target: Target) -> bool:
    """Whether what may be read depends on where channels point."""
    if scope.everywhere or target.model_name is None or target.action is None:
        return False
    return target.route not in _OF_ANY_CHANNEL


def is_open(scope: Mapping[str, Any], tokens: Tokens, exposure: Exposure) -> bool:
    """Whether whoever asks may read without a token, as things stand now; the first token may exist by then."""
    return exposure.anonymous is Anonymous.ALWAYS or (
        exposure.anonymous is Anonymous.UNTIL_TOKENS and not tokens.exist and host_is_here(scope)
    )


def host_is_here(scope: Mapping[str, Any]) -> bool:
    """Whether a request names this machine by a loopback name or address, or by none."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    return _is_here(hosts[0]) if len(hosts) == 1 else not hosts


@functools.lru_cache(maxsize=256)
def _is_here(value: bytes) -> bool:
    host = value.decode("latin-1")
    return is_loopback(host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0])
