"""A headless Chromium for tests, and a real gateway and OpenID Connect provider for it to look at.

Debian's package `chromium` is installed once where it is missing and this user may; otherwise what needs it is skipped, and says
why. Playwright drives it; no browser is ever downloaded.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import flask
import pytest
import uvicorn
import werkzeug.serving
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from playwright.sync_api import Browser, sync_playwright
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from tests.support.certificates import ALWAYS, Authority, pem, usage
from tests.support.debian import install
from tests.support.waiting import PATIENCE_SECONDS, eventually
from weighbridge.cli.channeling import index_reader
from weighbridge.cli.commands.decide import open_policy
from weighbridge.cli.yard import OpenYard
from weighbridge.serve.approved import Approved
from weighbridge.serve.web_data import WebSources
from weighbridge.store.ledger import now_rfc3339

CANDIDATES = ("chromium", "chromium-browser", "google-chrome-stable")


@cache
def executable() -> str:
    """Where Chromium is."""
    for attempt in ("look", "install"):
        if attempt == "install":
            install("chromium", is_there=lambda: any(shutil.which(name) for name in CANDIDATES))
        found = next((path for name in CANDIDATES if (path := shutil.which(name))), None)
        if found is not None:
            return found
    pytest.skip("CHROMIUM IS MISSING, so the web catalog is not tested in a browser: apt-get install chromium")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, running."""
    path = executable()
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb"]
        browser = playwright.chromium.launch(
            executable_path=path, headless=True, args=flags, timeout=1_000 * PATIENCE_SECONDS
        )
        try:
            yield browser
        finally:
            browser.close()


# --- the gateway ------------------------------------------------------------------------------------


def free_socket() -> socket.socket:
    """A socket that listens on a port of its own."""
    found = socket.socket()
    found.bind(("127.0.0.1", 0))
    return found


@contextlib.contextmanager
def serving(routes: Sequence[BaseRoute], bound: socket.socket) -> Iterator[str]:
    """The routes, served on that socket; yields the address."""
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
    thread.start()
    eventually(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def sources_of(yard: OpenYard, *, speaks: bool) -> WebSources:
    """What the catalog of a home is shown from. With `speaks`, the home's key passes on what people say."""
    ledger = yard.ledger(writing=True)
    return WebSources(
        ledger,
        yard.store(),
        yard.approved(),
        yard.trusted,
        Approved(yard.approved(), index_reader(yard), yard.trusted),
        open_policy(yard).policy,
        now_rfc3339,
        gateway_signer=yard.key if speaks else None,
        journals=yard.home.journals,
    )


# --- the provider -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunningProvider:
    """A provider of OpenID Connect over TLS, and the authority that its certificate is from."""

    issuer: str
    authority: Path


@contextlib.contextmanager
def provider(folder: Path) -> Iterator[RunningProvider]:
    """The real server of `oidc-provider-mock`, behind TLS, on a port of its own."""
    with warnings.catch_warnings():
        import authlib.deprecate  # noqa: F401 (has its warnings shown, whatever was said of them)

        warnings.simplefilter("ignore")
        from oidc_provider_mock import app

    with _over_tls(folder, app()) as running:
        yield running


@contextlib.contextmanager
def lying_provider(folder: Path) -> Iterator[tuple[RunningProvider, dict[str, str], ec.EllipticCurvePrivateKey]]:
    """A provider that answers for a code what the yielded dictionary says, and names the yielded key as its own."""
    from jwt.algorithms import ECAlgorithm

    says: dict[str, str] = {}
    key = ec.generate_private_key(ec.SECP256R1())
    liar = flask.Flask("liar")

    def described() -> dict[str, str]:
        issuer = flask.request.host_url.rstrip("/")
        places = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return {"issuer": issuer, **{name: f"{issuer}/{place}" for name, place in places.items()}}

    def answered() -> flask.Response:
        says["verifier"] = flask.request.form.get("code_verifier", "")
        raw = says.get("raw")
        return flask.Response(raw, mimetype="application/json") if raw else flask.jsonify(id_token=says["id_token"])

    def keys() -> dict[str, list[dict[str, str]]]:
        public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": "one", "use": "sig", "alg": "ES256"}]}

    liar.get("/.well-known/openid-configuration")(described)
    liar.get("/keys")(keys)
    liar.post("/token")(answered)
    with _over_tls(folder, liar) as running:
        yield running, says, key


@contextlib.contextmanager
def _over_tls(folder: Path, application: flask.Flask) -> Iterator[RunningProvider]:
    authority = Authority("test authority")
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    certificate = authority.issue(
        public,
        key_usage=usage(digital_signature=True),
        extended=(ExtendedKeyUsageOID.SERVER_AUTH,),
        more=(x509.SubjectAlternativeName([x509.DNSName("localhost")]),),
        **ALWAYS,
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "provider.pem").write_bytes(private + pem(certificate))
    (folder / "authority.pem").write_bytes(pem(authority.certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "provider.pem")
    server = werkzeug.serving.make_server("localhost", 0, application, threaded=True, ssl_context=context)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield RunningProvider(f"https://localhost:{server.server_port}", folder / "authority.pem")
    finally:
        server.shutdown()
        thread.join(5)
