"""Knows who looks at the catalog: a signed cookie per browser, tokens and logins that are checked again on every request.

Rules:

- the cookie holds an identity and a random id, signed by HMAC-SHA256 for one purpose, and ends after `SESSION_SECONDS`; it is
  never a token. Whoever the identity stands for is asked again on every request, so that what was revoked ends now;
- a logout holds in every process of a home and after a restart (`web_ended`);
- logging in makes a new random id, so that a cookie from before is worth nothing afterwards;
- every form carries a code that is bound to the random id (login forms too, against login CSRF), and a request that names
  another origin is refused before that;
- where a browser is sent back to is a path of this server and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

from weighbridge.core.names import ModelName
from weighbridge.serve.web_ended import EndedSessions

SESSION_SECONDS: Final = 8 * 3600
PENDING_SECONDS: Final = 600
MAX_COOKIE: Final = 4_096
MIN_KEY_BYTES: Final = 32
BY_ACCESS: Final = "token"
BY_LOGIN: Final = "oidc"
NOBODY: Final = ""


def sees_all(_model: ModelName) -> bool:
    """Every model may be seen."""
    return True


@dataclass(frozen=True, slots=True)
class Guest:
    """Whoever an access token belongs to. `identity` names the token (never its secret) for `TokenDoor.still`."""

    identity: str
    name: str
    sees: Callable[[ModelName], bool] = sees_all


class TokenDoor(Protocol):
    """Where access tokens are known. Both methods may block."""

    def enter(self, token: str) -> Guest | None:
        """Who the token belongs to; None when it opens nothing."""
        ...

    def still(self, identity: str) -> Guest | None:
        """The same of a token that entered before; None once it was revoked or expired."""
        ...


@dataclass(frozen=True, slots=True)
class Session:
    """What a browser's cookie says: `kind` is `token`, `oidc` or "" (nobody), `at` seconds since 1970."""

    sid: str
    kind: str = NOBODY
    identity: str = ""
    name: str = ""
    at: int = 0


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page: `person` and `roles` are set where a login belongs to a person of the ledger.

    `login` is the OpenID Connect login (`admit.people.oidc_login`), "" for anybody else. `sees` says which models.
    """

    name: str = ""
    kind: str = NOBODY
    login: str = ""
    person: str = ""
    roles: tuple[str, ...] = ()
    may_decide: bool = False
    sees: Callable[[ModelName], bool] = sees_all

    @property
    def known(self) -> bool:
        """Whether somebody is logged in."""
        return self.kind != NOBODY


class Sessions:
    """Makes and reads the cookies of one gateway. Thread-safe.

    `key` is at least 32 random bytes, the same for all processes of a gateway; `secure` says whether browsers come by TLS.
    `ended` keeps what was ended; None: this process, as long as it runs.

    Raises:
        ValueError: the key is too short.
    """

    def __init__(
        self, key: bytes, *, secure: bool, clock: Callable[[], float] = time.time, ended: EndedSessions | None = None
    ) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise ValueError("a session key has at least 32 bytes")
        self._key = key
        self._secure = secure
        self._clock = clock
        # A minute more, which clocks of machines may differ by.
        self._ended = ended or EndedSessions(lifetime_seconds=SESSION_SECONDS + 60)

    # --- the session

    @property
    def cookie(self) -> str:
        """The session's cookie."""
        return "__Host-weighbridge" if self._secure else "weighbridge"

    @property
    def pending_cookie(self) -> str:
        """The cookie of a login that is under way at a provider."""
        return f"{self.cookie}-login"

    def read(self, cookies: Mapping[str, str]) -> Session | None:
        """The session of a browser; None without one that is good.

        Raises:
            StoreUnreachable: nobody knows which sessions were ended.
        """
        said = self._open("session", cookies.get(self.cookie, ""))
        if said is None or set(said) != {"sid", "kind", "identity", "name", "at"}:
            return None
        session = Session(
            str(said["sid"]), str(said["kind"]), str(said["identity"]), str(said["name"]), _whole(said["at"])
        )
        age = self._clock() - session.at
        if not -60 <= age < SESSION_SECONDS or self._ended.has(session.sid, session.at, now=int(self._clock())):
            return None
        return session

    def start(self, kind: str = NOBODY, identity: str = "", name: str = "") -> Session:
        """A session with a new random id."""
        return Session(secrets.token_urlsafe(24), kind, identity, name[:200], int(self._clock()))

    def end(self, session: Session) -> None:
        """Ends a session also for whoever kept its cookie; one of nobody opens nothing, and need not be ended.

        Raises:
            StoreUnreachable: that cannot be written down.
        """
        if session.kind != NOBODY:
            self._ended.end(session.sid, session.at, now=int(self._clock()))

    def header(self, session: Session) -> str:
        """The `Set-Cookie` of a session."""
        record = {
            "sid": session.sid,
            "kind": session.kind,
            "identity": session.identity,
            "name": session.name,
            "at": session.at,
        }
        return self._set(self.cookie, self._seal("session", record), SESSION_SECONDS)

    # --- forms

    def code(self, session: Session) -> str:
        """What every form of the session carries."""
        return self._mac("form", session.sid.encode("utf-8"))

    def is_own(self, session: Session | None, code: str) -> bool:
        """Whether a form was this session's."""
        return session is not None and hmac.compare_digest(self.code(session).encode(), code.encode("utf-8", "replace"))

    def note(self, session: Session, text: str) -> str:
        """A message to the session's next page, which no link of a stranger can make."""
        return self._seal("note", {"sid": session.sid, "text": text[:500]})

    def noted(self, session: Session, sealed: str) -> str:
        """The message, or "" where there is none of this session."""
        said = self._open("note", sealed)
        return str(said.get("text", "")) if said is not None and said.get("sid") == session.sid else ""

    # --- a login that is under way

    def pending_header(self, record: Mapping[str, str]) -> str:
        """The `Set-Cookie` that remembers a login until the browser comes back."""
        sealed = self._seal("login", {**record, "at": int(self._clock())})
        return self._set(self.pending_cookie, sealed, PENDING_SECONDS)

    def pending(self, cookies: Mapping[str, str]) -> Mapping[str, str] | None:
        """The login that is under way; None when it took too long or there is none."""
        said = self._open("login", cookies.get(self.pending_cookie, ""))
        if said is None or not 0 <= self._clock() - _whole(said.pop("at", 0)) < PENDING_SECONDS:
            return None
        return {name: str(value) for name, value in said.items()}

    def forget_pending(self) -> str:
        """The `Set-Cookie` that ends it."""
        return self._set(self.pending_cookie, "", 0)

    # --- sealing

    def _set(self, name: str, value: str, seconds: int) -> str:
        secure = "; Secure" if self._secure else ""
        return f"{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}"

    def _seal(self, purpose: str, record: Mapping[str, object]) -> str:
        body = base64.urlsafe_b64encode(json.dumps(record, separators=(",", ":")).encode("utf-8"))
        return f"{body.decode('ascii')}.{self._mac(purpose, body)}"

    def _open(self, purpose: str, sealed: str) -> dict[str, object] | None:
        body, dot, mac = sealed.rpartition(".")
        if not dot or len(sealed) > MAX_COOKIE or not sealed.isascii():
            return None
        if not hmac.compare_digest(self._mac(purpose, body.encode("ascii")), mac):
            return None
        try:
            record = json.loads(base64.urlsafe_b64decode(body))
        except (binascii.Error, ValueError):
            return None
        return record if isinstance(record, dict) else None

    def _mac(self, purpose: str, body: bytes) -> str:
        digest = hmac.new(self._key, purpose.encode("ascii") + b"\x00" + body, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def own_path(target: str) -> str:
    """A place of this server to send a browser to: the path given, or `/` when it could lead elsewhere."""
    plain = target.isascii() and target.isprintable() and "\\" not in target and len(target) <= 1_000
    if not plain or not target.startswith("/") or target.startswith("//"):
        return "/"
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    return target if not parts.scheme and not parts.netloc and "//" not in parts.path else "/"


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that a form came from a page of this server. Browsers always say where a form came from."""
    site = headers.get("sec-fetch-site", "")
    if site and site != "same-origin":
        return False
    origin = headers.get("origin", "")
    if not origin:
        return site == "same-origin"
    try:
        return bool(urlsplit(origin).netloc) and urlsplit(origin).netloc == headers.get("host", "")
    except ValueError:
        return False
