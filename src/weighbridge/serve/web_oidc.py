"""Logs people in at an OpenID Connect provider: the authorization code flow with PKCE, state and nonce.

What is checked (OpenID Connect Core 1.0, sections 3.1.2 and 3.1.3.7; RFC 7636; RFC 9207):

- the provider's own description names the issuer of the settings, and https addresses;
- the answer carries the state of this very browser, and `iss`, where sent, is the issuer;
- the ID token is signed by a key of the provider with an asymmetric algorithm of `ALGORITHMS`, which the token cannot choose
  beyond; issuer, audience, authorised party, times and nonce are as they must be.

Answers are bounded. The provider is the one address beyond the stores that a gateway speaks to, and only when it is set.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import quote, urlencode, urlsplit

import jwt

from weighbridge.admit.people import oidc_login
from weighbridge.core.canonical import JsonObject, decode_object
from weighbridge.core.errors import ConfigError, FormatError, SignatureInvalid, StatementMismatch, Unreachable
from weighbridge.wire.http import Http

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "ES384", "RS384", "RS512", "PS384", "PS512", "EdDSA")
MAX_ANSWER: Final = 256 * 1024
DESCRIPTION_SECONDS: Final = 3_600
KEYS_AGAIN_SECONDS: Final = 30
LEEWAY_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenID Connect provider, and how this gateway is known there.

    `redirect_uri` is this gateway's address that the provider sends browsers back to, ending in `/login/oidc/back`. Without a
    `client_secret` the gateway is a public client; PKCE protects both.
    """

    issuer: str
    client_id: str
    redirect_uri: str
    client_secret: str = ""
    name: str = "single sign-on"


@dataclass(frozen=True, slots=True)
class Known:
    """Whom the provider knows: `login` as `admit.people.oidc_login` writes it, `name` for the eye."""

    login: str
    name: str


class Authenticator(Protocol):
    """A way in over a page elsewhere. `finish` blocks."""

    @property
    def name(self) -> str:
        """What the button says."""
        ...

    def begin(self) -> tuple[str, Mapping[str, str]]:
        """Where to send the browser, and what to remember until it comes back."""
        ...

    def finish(self, pending: Mapping[str, str], answer: Mapping[str, str]) -> Known:
        """Who came back."""
        ...


class OpenIdLogin:
    """See above. Thread-safe; both methods block on the provider.

    Raises:
        ConfigError: the settings are no https issuer, or name no client or no way back.
    """

    def __init__(self, provider: Provider, http: Http, *, clock: Callable[[], float] = time.monotonic) -> None:
        oidc_login(provider.issuer, "any")
        if not provider.client_id or urlsplit(provider.redirect_uri).scheme not in ("https", "http"):
            raise ConfigError("OpenID Connect needs a client id and the address that browsers come back to")
        self._provider = provider
        self._http = http
        self._clock = clock
        self._lock = threading.Lock()
        self._description: tuple[float, JsonObject] | None = None
        self._keys: tuple[float, jwt.PyJWKSet] | None = None

    @property
    def name(self) -> str:
        """What the button says."""
        return self._provider.name

    def begin(self) -> tuple[str, Mapping[str, str]]:
        """The provider's page for a login, and what the browser's cookie must remember.

        Raises:
            Unreachable, FormatError, StatementMismatch: the provider does not answer as it must.
        """
        page = self._endpoint("authorization_endpoint")
        pending = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        challenge = base64.urlsafe_b64encode(hashlib.sha256(pending["verifier"].encode("ascii")).digest())
        query = {
            "response_type": "code",
            "client_id": self._provider.client_id,
            "redirect_uri": self._provider.redirect_uri,
            "scope": "openid profile",
            "state": pending["state"],
            "nonce": pending["nonce"],
            "code_challenge": challenge.rstrip(b"=").decode("ascii"),
            "code_challenge_method": "S256",
        }
        return f"{page}{'&' if '?' in page else '?'}{urlencode(query)}", pending

    def finish(self, pending: Mapping[str, str], answer: Mapping[str, str]) -> Known:
        """Who came back from the provider; `answer` is the query of the address that the browser came back with.

        Raises:
            StatementMismatch: the answer is not this browser's, or the provider refused.
            SignatureInvalid: the ID token does not hold.
            Unreachable, FormatError: the provider does not answer as it must.
        """
        expected = pending.get("state", "")
        if not expected or not hmac.compare_digest(
            expected.encode(), answer.get("state", "").encode("utf-8", "replace")
        ):
            raise StatementMismatch("this login was not begun in this browser", hint="Begin it again.")
        if answer.get("iss", self._provider.issuer) != self._provider.issuer:
            raise StatementMismatch("another provider answered than the one that was asked")
        code = answer.get("code", "")
        if not code or "error" in answer:
            raise StatementMismatch(f"the provider did not let you in: {ascii(answer.get('error', 'no code'))[:100]}")
        return self._claims(self._exchange(code, pending.get("verifier", "")), pending.get("nonce", ""))

    # --- the provider

    def _exchange(self, code: str, verifier: str) -> str:
        provider = self._provider
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": provider.redirect_uri,
            "code_verifier": verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if provider.client_secret:
            pair = f"{quote(provider.client_id, safe='')}:{quote(provider.client_secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode('utf-8')).decode('ascii')}"
        else:
            form["client_id"] = provider.client_id
        body = urlencode(form).encode("ascii")
        answer = self._ask("POST", self._endpoint("token_endpoint"), headers=headers, body=body)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise StatementMismatch("the provider sent no ID token", hint="Its client needs the scope 'openid'.")
        return token

    def _claims(self, token: str, nonce: str) -> Known:
        try:
            key = self._key(str(jwt.get_unverified_header(token).get("kid", "")))
            claims = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._provider.client_id,
                issuer=self._provider.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise SignatureInvalid(f"the provider's ID token does not hold: {ascii(str(error))[:200]}") from error
        if not nonce or not hmac.compare_digest(
            nonce.encode(), str(claims.get("nonce", "")).encode("utf-8", "replace")
        ):
            raise StatementMismatch("the ID token was made for another login", hint="Begin it again.")
        audience = claims["aud"]
        party = claims.get("azp", self._provider.client_id)
        if party != self._provider.client_id or (
            isinstance(audience, list) and len(audience) > 1 and "azp" not in claims
        ):
            raise StatementMismatch("the ID token was made for another client")
        subject = str(claims["sub"])
        shown = next((str(claims[one]) for one in ("name", "preferred_username", "email") if claims.get(one)), subject)
        return Known(oidc_login(self._provider.issuer, subject), shown[:200])

    def _key(self, kid: str) -> jwt.PyJWK:
        """The provider's key of that id, or its only one; asked for again where the id is new, not more than twice a minute."""
        with self._lock:
            now = self._clock()
            if self._keys is None or now - self._keys[0] >= DESCRIPTION_SECONDS:
                self._keys = now, self._load_keys()
            found = _among(self._keys[1], kid)
            if found is None and now - self._keys[0] >= KEYS_AGAIN_SECONDS:
                self._keys = now, self._load_keys()
                found = _among(self._keys[1], kid)
        if found is None:
            raise SignatureInvalid("the ID token is signed by a key that the provider does not name")
        return found

    def _load_keys(self) -> jwt.PyJWKSet:
        return jwt.PyJWKSet.from_dict(dict(self._ask("GET", self._endpoint("jwks_uri"))))

    def _endpoint(self, name: str) -> str:
        now = self._clock()
        kept = self._description
        if kept is None or now - kept[0] >= DESCRIPTION_SECONDS:
            issuer = self._provider.issuer
            found = self._ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != issuer:
                raise StatementMismatch("the provider calls itself by another issuer than the settings do")
            self._description = kept = now, found
        address = kept[1].get(name)
        if not isinstance(address, str) or not address.startswith("https://") or not address.isprintable():
            raise StatementMismatch(f"the provider has no https address for '{name}'")
        return address

    def _ask(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> JsonObject:
        with self._http.request(method, url, headers=headers, body=body) as answer:
            data = answer.read(MAX_ANSWER)
            if answer.status != 200:
                raise Unreachable(f"{answer.place} answered {answer.status} to a login")
        try:
            return decode_object(data, what="the provider's answer")
        except FormatError as error:
            raise StatementMismatch(f"the provider's answer cannot be read: {error.message}") from error


def _among(keys: jwt.PyJWKSet, kid: str) -> jwt.PyJWK | None:
    signing = [key for key in keys.keys if key.public_key_use in (None, "sig")]
    if not kid:
        return signing[0] if len(signing) == 1 else None
    return next((key for key in signing if key.key_id == kid), None)
