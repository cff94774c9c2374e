"""Logging in at an OpenID Connect provider that lies: whatever it says, only a true ID token for this very login counts."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.browser import RunningProvider, lying_provider
from tests.support.cases import each
from weighbridge.core.errors import SignatureInvalid, StatementMismatch, WeighbridgeError
from weighbridge.serve.web import BACK
from weighbridge.serve.web_oidc import OpenIdLogin, Provider
from weighbridge.wire.http import Http

Lying = tuple[RunningProvider, dict[str, str], ec.EllipticCurvePrivateKey, Http]
LIES: dict[str, dict[str, object]] = {
    "another_nonce": {"nonce": "other"},
    "no_nonce": {"nonce": None},
    "another_client": {"aud": "somebody-else"},
    "another_party": {"azp": "somebody-else"},
    "two_audiences_and_no_party": {"aud": ["weighbridge", "other"]},
    "another_issuer": {"iss": "https://evil.example"},
    "expired": {"exp": 1},
    "no_end": {"exp": None},
    "not_yet": {"iat": 9_999_999_999, "nbf": 9_999_999_999},
    "no_subject": {"sub": None},
}


@pytest.fixture(scope="module")
def liar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lying]:
    with lying_provider(tmp_path_factory.mktemp("liar")) as (running, says, key), pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(running.authority))
        patch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        http = Http(user_agent="test")
        yield running, says, key, http
        http.close()


def attempt(liar: Lying, **lie: object) -> str:
    """A login at a provider that says whatever it likes; the login that came of it."""
    running, says, key, http = liar
    login = OpenIdLogin(Provider(running.issuer, "weighbridge", f"http://localhost{BACK}"), http)
    _, pending = login.begin()
    now = int(time.time())
    claims = {"iss": running.issuer, "aud": "weighbridge", "sub": "rita", "iat": now, "exp": now + 60}
    signing: dict[str, object] = {"key": key, "algorithm": "ES256", "headers": {"kid": "one"}}
    signing.update({name: lie.pop(name) for name in ("key", "algorithm", "headers") if name in lie})
    whole = {**claims, "nonce": pending["nonce"], **lie}
    says["id_token"] = jwt.encode({name: value for name, value in whole.items() if value is not None}, **signing)  # type: ignore[arg-type]
    return login.finish(pending, {"code": "c", "state": pending["state"]}).login


def test_the_code_is_of_use_only_to_whoever_began_the_login(liar: Lying) -> None:
    running, says, _, http = liar
    login = OpenIdLogin(Provider(running.issuer, "weighbridge", f"http://localhost{BACK}"), http)
    address, pending = login.begin()
    asked = parse_qs(urlsplit(address).query)
    says["raw"] = "{}"
    with pytest.raises(WeighbridgeError):
        login.finish(pending, {"code": "c", "state": pending["state"]})
    says.pop("raw")
    digest = hashlib.sha256(says["verifier"].encode()).digest()
    assert asked["code_challenge"] == [base64.urlsafe_b64encode(digest).rstrip(b"=").decode()]
    for answer in (
        {"code": "c", "state": "other"},
        {"code": "c", "state": ""},
        {"code": "c"},
        {"state": pending["state"]},
        {"code": "c", "state": pending["state"], "iss": "https://evil.example"},
        {"code": "c", "state": pending["state"], "error": "access_denied"},
    ):
        with pytest.raises(StatementMismatch):
            login.finish(pending, answer)


def test_an_honest_answer_is_a_login(
    liar: Lying,
) -> None:
    assert attempt(liar) == f"oidc:{liar[0].issuer}#rita"
    assert attempt(liar, aud=["weighbridge", "other"], azp="weighbridge").endswith("#rita")


@each("case", list(LIES.values()), list(LIES))
def test_an_id_token_that_is_not_for_this_login_is_refused(liar: Lying, case: dict[str, object]) -> None:
    with pytest.raises((SignatureInvalid, StatementMismatch)):
        attempt(liar, **case)


def test_the_token_does_not_choose_how_it_is_verified(
    liar: Lying,
) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    for more in (
        {"key": None, "algorithm": "none"},
        {"key": "x" * 64, "algorithm": "HS256"},
        {"key": stranger},
        {"key": stranger, "headers": {"kid": "unknown"}},
    ):
        with pytest.raises(SignatureInvalid):
            attempt(liar, **more)


def test_a_provider_that_answers_anything_else_is_an_error_of_ours(
    liar: Lying,
) -> None:
    running, says, _, http = liar
    login = OpenIdLogin(Provider(running.issuer, "weighbridge", f"http://localhost{BACK}"), http)
    _, pending = login.begin()
    for raw in ("[]", "{", '{"id_token": 1}', "{}", '{"id_token": "a.b.c"}', "x" * 400_000):
        says["raw"] = raw
        with pytest.raises(WeighbridgeError):
            login.finish(pending, {"code": "c", "state": pending["state"]})
    says.pop("raw")
    for issuer in (f"{running.issuer}/other", running.issuer.replace("localhost", "127.0.0.1")):
        with pytest.raises(WeighbridgeError):
            OpenIdLogin(Provider(issuer, "weighbridge", f"http://localhost{BACK}"), http).begin()
