"""Puts the gateway of a home together: what is approved, who may ask, the catalog, metrics, the admission webhook."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from weighbridge.core.errors import ConfigError
from weighbridge.wire.files import read_small, replace_file

if TYPE_CHECKING:
    from starlette.routing import BaseRoute
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    from weighbridge.cli.following import FollowedKeys
    from weighbridge.cli.yard import OpenYard
    from weighbridge.serve.access import Exposure, ExposureFlags
    from weighbridge.serve.app import Gateway
    from weighbridge.serve.approved import Approved
    from weighbridge.serve.metrics import Metrics
    from weighbridge.serve.redirects import Redirects
    from weighbridge.serve.requesting import Requesting
    from weighbridge.serve.token_store import Tokens
    from weighbridge.serve.web_oidc import OpenIdLogin

SESSION_KEY_BYTES = 32
REQUESTS_WAIT = "requests: what is not approved and asked for waits for a reviewer: weighbridge requests list"


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
    requests: bool | None = None
    """Whether a miss files a request; None: as `gateway.requests` says."""

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
    from weighbridge.cli.following import FollowedKeys
    from weighbridge.serve.access import check_exposure
    from weighbridge.serve.app import GatewayOptions, build_app
    from weighbridge.serve.approved import Approved
    from weighbridge.serve.downloads import Downloads
    from weighbridge.serve.health import Readiness, operational_routes
    from weighbridge.serve.layers import Layering, layers_of
    from weighbridge.serve.limits import Connections, guarded
    from weighbridge.serve.metrics import Metrics
    from weighbridge.serve.telemetry import open_tracing
    from weighbridge.serve.token_store import Tokens
    from weighbridge.serve.web import is_catalog

    ledger, metrics, closing = yard.ledger(writing=True), Metrics(), ExitStack()
    keys = FollowedKeys(yard, ledger, signs=ledger.sign_with)
    traced, store = open_tracing(), yard.approved()
    if traced.tracing is not None:
        closing.callback(traced.tracing.close)
        store = traced.tracing.over(store)
    approved = Approved(store, index_reader(yard), keys, keys_now=keys.refresh)
    with Tokens(ledger) as tokens:
        exposure = check_exposure(chosen.host, tls=chosen.tls, tokens_exist=tokens.exist, flags=chosen.flags)
        requesting = _requesting(yard, chosen, metrics)
        with requesting or nullcontext(), Downloads(ledger, yard.home.downloads) as downloads:
            catalog = _catalog(yard, chosen, (approved, keys), tokens, exposure, closing=closing)
            readiness = Readiness({"index": approved.known, "tokens": lambda: tokens.find("")})
            hook = _webhook(yard, chosen, approved, metrics)
            layering = Layering(
                tokens,
                exposure,
                approved.channels,
                downloads,
                metrics,
                elsewhere=is_catalog([*catalog]),  # type: ignore[list-item]
                tracing=traced.tracing,
            )
            redirects = _redirects(yard, chosen)
            options = GatewayOptions(
                public_url=chosen.public_url,
                cache_folder=chosen.cache,
                cache_bytes=chosen.cache_bytes,
                routes=[*operational_routes(readiness, metrics), hook, *catalog],
                layers=layers_of(layering),
                lifespans=[keys.followed, lambda: _closed(closing)],
                metrics=metrics,
                redirects=redirects,
                requesting=requesting,
            )
            app = build_app(approved, options)
            asking = () if requesting is None else (REQUESTS_WAIT,)
            words = (*exposure.words, *_redirect_words(yard, redirects), *filter(None, [traced.words]), *asking)
            yield Opened(app, guarded(Connections(), hit=metrics.limit_hit), words)


@asynccontextmanager
async def _closed(closing: ExitStack) -> AsyncIterator[None]:
    """Lets go of things when the gateway has answered its last request."""
    try:
        yield
    finally:
        closing.close()


def _requesting(yard: OpenYard, chosen: Chosen, metrics: Metrics) -> Requesting | None:
    wanted = yard.config.gateway.requests if chosen.requests is None else chosen.requests
    if not wanted:
        return None
    from weighbridge.serve.requesting import Requesting

    def counted(result: str) -> None:
        metrics.add("weighbridge_model_requests_total", result=result)

    return Requesting(yard.ledger(writing=True), counted=counted)


def _redirects(yard: OpenYard, chosen: Chosen) -> Redirects | None:
    settings = yard.config.gateway
    if not settings.redirects:
        return None
    from weighbridge.admit.adoption import check_counts
    from weighbridge.cli.commands.decide import open_policy
    from weighbridge.serve.access import is_loopback
    from weighbridge.serve.hub_api import log_trouble
    from weighbridge.serve.redirects import Redirects, RedirectTerms

    ledger = yard.ledger(writing=True)

    def permits() -> bool:
        policy = open_policy(yard).policy
        if policy.serve.redirects:
            check_counts(ledger, policy.name, policy.digest)
        return policy.serve.redirects

    terms = RedirectTerms(settings.redirect_min_bytes, settings.redirect_seconds)
    redirects = Redirects(yard.approved(), terms, permits, told=log_trouble)
    origin = urlsplit(redirects.origin)
    if origin.scheme != "https" and not is_loopback(origin.hostname or "") and not chosen.flags.allow_plain_http:
        raise ConfigError(
            f"clients would be sent to {redirects.origin} without TLS: addresses and models would go in the clear",
            hint="Give 'store.s3_endpoint' as https://, leave 'gateway.redirects' off, or say --allow-plain-http.",
        )
    return redirects


def _redirect_words(yard: OpenYard, redirects: Redirects | None) -> Iterator[str]:
    settings = yard.config.gateway
    if redirects is None:
        return
    if redirects.permitted():
        yield (
            f"downloads of {settings.redirect_min_bytes} bytes and more go to {redirects.origin}, unproven by the "
            f"gateway, as the policy allows; addresses are good for {settings.redirect_seconds} seconds"
        )
    else:
        yield "gateway.redirects is on, and the policy that counts does not allow it: all bytes come through the gateway"


def _webhook(yard: OpenYard, chosen: Chosen, approved: Approved, metrics: Metrics) -> BaseRoute:
    from weighbridge.serve.admission_webhook import AdmissionWebhook, Rules

    settings = yard.config.admission

    def listed(text: str) -> tuple[str, ...]:
        return tuple(filter(None, (one.strip() for one in text.replace(",", " ").split())))

    rules = Rules(
        endpoints=(chosen.url, *listed(settings.endpoints)),
        stores=(yard.approved().address, *listed(settings.stores)),
        unknown=settings.unknown,
        pinned=settings.pinned,
        remote_code=settings.remote_code,
        images_by_digest=settings.images_by_digest,
        cluster_endpoint=settings.cluster_endpoint,
        images=listed(settings.images),
        exempt_namespaces=listed(settings.exempt_namespaces),
    )
    return AdmissionWebhook(rules, lambda name, ref: approved.resolve(name, ref).manifest.revision, metrics).route


def _catalog(
    yard: OpenYard,
    chosen: Chosen,
    proof: tuple[Approved, FollowedKeys],
    tokens: Tokens,
    exposure: Exposure,
    *,
    closing: ExitStack,
) -> list[BaseRoute]:
    from weighbridge.cli.commands.decide import open_policy
    from weighbridge.cli.posturing import sheet_of
    from weighbridge.cli.watched import WatchedHere
    from weighbridge.serve.access import is_open
    from weighbridge.serve.web import WebSettings, routes
    from weighbridge.serve.web_data import WebSources
    from weighbridge.serve.web_ended import EndedSessions
    from weighbridge.serve.web_movements import CommandMovements
    from weighbridge.serve.web_session import SESSION_SECONDS, Sessions
    from weighbridge.serve.web_tokens import TokensDoor
    from weighbridge.store.ledger import now_rfc3339

    approved, keys = proof
    ledger = yard.ledger(writing=True)
    sources = WebSources(
        ledger,
        yard.store(),
        yard.approved(),
        keys,
        approved,
        open_policy(yard).policy,
        now_rfc3339,
        gateway_signer=yard.key,
        journals=yard.home.journals,
        keys_now=keys.refresh,
        posture=partial(sheet_of, yard.home),
        watched=WatchedHere(ledger, yard.approved().address),
    )
    settings = WebSettings(
        Sessions(
            _session_key(yard.home.session_key),
            secure=chosen.url.startswith("https://"),
            ended=EndedSessions(yard.home.ended_sessions, lifetime_seconds=SESSION_SECONDS + 60),
        ),
        is_open=lambda scope: is_open(scope, tokens, exposure),
        doors=TokensDoor(tokens, ledger),
        login=_login(yard, chosen),
        movements=CommandMovements(yard.home.path),
    )
    return [*routes(sources, settings, closing=closing)]


def _login(yard: OpenYard, chosen: Chosen) -> OpenIdLogin | None:
    settings = yard.config.gateway
    if not settings.oidc_issuer:
        return None
    from weighbridge.serve.web_oidc import OpenIdLogin, Provider

    secret = ""
    if settings.oidc_client_secret_file:
        what = "'gateway.oidc_client_secret_file'"
        try:
            secret = read_small(Path(settings.oidc_client_secret_file), what).decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise ConfigError(f"{what} is not UTF-8") from error
    back = f"{chosen.url}/login/oidc/back"
    provider = Provider(settings.oidc_issuer, settings.oidc_client_id, back, secret, settings.oidc_name)
    return OpenIdLogin(provider, yard.http)


def _session_key(path: Path) -> bytes:
    """The key of the cookies, made when it is first needed, so that people stay logged in over a restart."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_file(path, secrets.token_bytes(SESSION_KEY_BYTES), mode=0o600)
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"'{path}' cannot be read or written: {error.strerror}") from error
