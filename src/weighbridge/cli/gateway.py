"""Puts the gateway of a home together: what is approved, who may ask, the catalog, metrics, the admission webhook."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.core.errors import ConfigError

if TYPE_CHECKING:
    from starlette.routing import BaseRoute
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    from weighbridge.cli.yard import OpenYard
    from weighbridge.serve.access import Exposure, ExposureFlags
    from weighbridge.serve.app import Gateway
    from weighbridge.serve.approved import Approved
    from weighbridge.serve.metrics import Metrics
    from weighbridge.serve.token_store import Tokens
    from weighbridge.serve.web_oidc import OpenIdLogin

SESSION_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the command line said; `address` is where clients reach the gateway when `public_url` is empty."""

    host: str
    address: str
    tls: bool
    flags: ExposureFlags
    public_url: str = ""
    cache: Path | None = None
    cache_bytes: int = 0

    @property
    def url(self) -> str:
        """What clients call the gateway."""
        return (self.public_url or self.address).rstrip("/")


@dataclass(frozen=True, slots=True)
class Opened:
    """A gateway, ready to be served, and what to say when it is."""

    app: Gateway
    protocol: type[HttpToolsProtocol]
    words: tuple[str, ...]


@contextmanager
def open_gateway(yard: OpenYard, chosen: Chosen) -> Iterator[Opened]:
    """The gateway of a home; what it holds open is closed at the end, and the last downloads are in the ledger.

    Raises:
        ConfigError: it would be open to strangers and nobody said that it may; or a setting does not fit.
        LedgerError, StoreError, TrustError: what it serves by cannot be read.
    """
    from weighbridge.cli.channeling import index_reader
    from weighbridge.serve.access import check_exposure
    from weighbridge.serve.app import GatewayOptions, build_app
    from weighbridge.serve.approved import Approved
    from weighbridge.serve.downloads import Downloads
    from weighbridge.serve.health import Readiness, operational_routes
    from weighbridge.serve.layers import Layering, layers_of
    from weighbridge.serve.limits import Connections, guarded
    from weighbridge.serve.metrics import Metrics
    from weighbridge.serve.token_store import Tokens
    from weighbridge.serve.web import is_catalog

    ledger, metrics = yard.ledger(writing=True), Metrics()
    approved = Approved(yard.approved(), index_reader(yard), yard.trusted)
    with Tokens(ledger) as tokens:
        exposure = check_exposure(chosen.host, tls=chosen.tls, tokens_exist=tokens.exist, flags=chosen.flags)
        with Downloads(ledger, yard.home.downloads) as downloads:
            catalog = _catalog(yard, chosen, approved, tokens, exposure)
            readiness = Readiness({"index": approved.index, "tokens": lambda: tokens.find("")})
            hook = _webhook(yard, chosen, approved, metrics)
            layering = Layering(
                tokens,
                exposure,
                approved.channels,
                downloads,
                metrics,
                elsewhere=is_catalog([*catalog]),  # type: ignore[list-item]
            )
            options = GatewayOptions(
                public_url=chosen.public_url,
                cache_folder=chosen.cache,
                cache_bytes=chosen.cache_bytes,
                routes=[*operational_routes(readiness, metrics), hook, *catalog],
                layers=layers_of(layering),
                metrics=metrics,
            )
            app = build_app(approved, options)
            yield Opened(app, guarded(Connections(), hit=metrics.limit_hit), exposure.words)


def _webhook(yard: OpenYard, chosen: Chosen, approved: Approved, metrics: Metrics) -> BaseRoute:
    from weighbridge.serve.admission_webhook import AdmissionWebhook, Rules

    rules = Rules(endpoints=(chosen.url,), stores=(yard.approved().address,))
    return AdmissionWebhook(rules, lambda name, ref: approved.resolve(name, ref).manifest.revision, metrics).route


def _catalog(yard: OpenYard, chosen: Chosen, approved: Approved, tokens: Tokens, exposure: Exposure) -> list[BaseRoute]:
    from weighbridge.cli.commands.decide import open_policy
    from weighbridge.serve.access import is_open
    from weighbridge.serve.web import WebSettings, routes
    from weighbridge.serve.web_data import WebSources
    from weighbridge.serve.web_movements import CommandMovements
    from weighbridge.serve.web_session import Sessions
    from weighbridge.serve.web_tokens import TokensDoor
    from weighbridge.store.ledger import now_rfc3339

    ledger = yard.ledger(writing=True)
    sources = WebSources(
        ledger,
        yard.store(),
        yard.approved(),
        yard.trusted,
        approved,
        open_policy(yard).policy,
        now_rfc3339,
        gateway_signer=yard.key,
        journals=yard.home.journals,
    )
    settings = WebSettings(
        Sessions(_session_key(yard.home.session_key), secure=chosen.url.startswith("https://")),
        is_open=lambda scope: is_open(scope, tokens, exposure),
        doors=TokensDoor(tokens, ledger),
        login=_login(yard, chosen),
        movements=CommandMovements(yard.home.path),
    )
    return [*routes(sources, settings)]


def _login(yard: OpenYard, chosen: Chosen) -> OpenIdLogin | None:
    settings = yard.config.gateway
    if not settings.oidc_issuer:
        return None
    from weighbridge.serve.web_oidc import OpenIdLogin, Provider

    secret = ""
    if settings.oidc_client_secret_file:
        try:
            secret = Path(settings.oidc_client_secret_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"'gateway.oidc_client_secret_file' cannot be read: {error.strerror}") from error
    back = f"{chosen.url}/login/oidc/back"
    provider = Provider(settings.oidc_issuer, settings.oidc_client_id, back, secret, settings.oidc_name)
    return OpenIdLogin(provider, yard.http)


def _session_key(path: Path) -> bytes:
    """The key of the cookies, made when it is first needed, so that people stay logged in over a restart."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(SESSION_KEY_BYTES))
            temporary.replace(path)
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"'{path}' cannot be read or written: {error.strerror}") from error
