"""Access to the gateway: who may, how much, and what is left of it in the ledger; over real HTTP, with real clients."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import fnmatch
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from click.testing import CliRunner
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Receive, Scope, Send

from tests.conftest import Command
from tests.support.admission import new_key
from tests.support.cases import each
from tests.support.gateway import running
from tests.support.waiting import PATIENCE_SECONDS, eventually
from weighbridge.cli.commands.token import token_command
from weighbridge.core.errors import ConfigError, LedgerError, NothingCollected, StoreUnreachable
from weighbridge.core.names import ModelName
from weighbridge.serve import tokens as words
from weighbridge.serve.access import Anonymous, Exposure, ExposureFlags, check_exposure, target_of
from weighbridge.serve.downloads import DOWNLOADS, Downloads
from weighbridge.serve.health import Readiness, operational_routes
from weighbridge.serve.journal import Download
from weighbridge.serve.layers import Layering, layers_of
from weighbridge.serve.limits import Connections, Fair, Rates, Sizes, guarded
from weighbridge.serve.metrics import Metrics, traceparent_of
from weighbridge.serve.token_store import CREATED, Tokens, create_token, list_tokens, revoke_token
from weighbridge.serve.tokens import Action, new_secret
from weighbridge.store.ledger import Ledger

COMMIT, OLDER = "a" * 40, "b" * 40
CONTENT = b"x" * 300_000
CHANNELS = {"production": COMMIT, "staging": OLDER}
TINY = ModelName("acme", "tiny")
Everyone = Exposure(Anonymous.ALWAYS, frozenset(), ())
Nobody = Exposure(Anonymous.NEVER, frozenset(), ())


def ledger_at(folder: Path) -> Ledger:
    folder.mkdir(parents=True, exist_ok=True)
    return Ledger(f"sqlite:///{folder / 'ledger.sqlite'}", head_path=folder / "head.json", signer=new_key())


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with ledger_at(tmp_path) as made:
        yield made


def token_for(ledger: Ledger, name: str = "ci", **scope: Any) -> str:
    return create_token(ledger, name, words.Scope(**scope), actor="ada", lifetime=timedelta(days=1))[0]


# --- a small gateway on a real server ------------------------------------------------------------


async def small_hub(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers as the Hub does for one model, and reads bodies."""
    target = target_of(scope)
    headers = [(b"x-repo-commit", COMMIT.encode()), (b"etag", b'"' + b"e" * 40 + b'"')]
    body = json.dumps(
        {"id": str(target.model_name), "sha": COMMIT, "siblings": [], "trace": traceparent_of(scope)}
    ).encode()
    if target.route in ("resolve", "raw"):
        body = CONTENT
    if scope["method"] == "POST":
        count, more = 0, True
        while more:
            message = await receive()
            count += len(message.get("body", b""))
            more = message.get("more_body", False)
        body = json.dumps({"count": count}).encode()
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["method"] == "HEAD":
        body = b""
    for at in range(0, len(body), 100_000):
        await send({"type": "http.response.body", "body": body[at : at + 100_000], "more_body": True})
        if scope["query_string"] == b"stall":
            while (await receive())["type"] != "http.disconnect":
                pass
            return
    await send({"type": "http.response.body", "body": b""})


class Gateway:
    """The layers around `small_hub`, or another application, served by uvicorn on loopback."""

    def __init__(self, ledger: Ledger, folder: Path, exposure: Exposure = Nobody, **made: Any) -> None:
        self.metrics = Metrics()
        self.client = httpx.Client(verify=False)
        self.tokens = Tokens(ledger, poll_seconds=0.05)
        self.downloads = Downloads(ledger, folder / "downloads", flush_seconds=0.2)
        connections = made.pop("connections", Connections())
        app = made.pop("app", small_hub)
        layering = Layering(
            self.tokens,
            exposure,
            made.pop("channels_of", lambda _model: CHANNELS),
            self.downloads,
            self.metrics,
            **made,
        )
        for layer in reversed(layers_of(layering)):
            app = layer(app)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        protocol = guarded(connections, hit=self.metrics.limit_hit)
        self.server = uvicorn.Server(
            uvicorn.Config(app, http=protocol, ws="none", lifespan="off", log_config=None, timeout_graceful_shutdown=1)
        )
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def get(self, path: str, token: str = "", **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return self.client.get(self.url + path, headers={**headers, **options.pop("headers", {})}, **options)

    def close(self) -> None:
        if self.server.should_exit:
            return
        self.client.close()
        self.server.should_exit = True
        self.thread.join(10)
        self.downloads.close()
        self.tokens.close()

    def limits(self) -> dict[str, float]:
        return {
            sample.labels["limit"]: sample.value
            for sample in samples(self.metrics.exposition())
            if sample.name == "weighbridge_limits_total"
        }


def samples(exposition: bytes) -> list[Any]:
    return [one for family in text_string_to_metric_families(exposition.decode()) for one in family.samples]


Opening = Callable[..., Gateway]


@pytest.fixture
def gateway(ledger: Ledger, tmp_path: Path) -> Iterator[Opening]:
    opened: list[Gateway] = []

    def opening(exposure: Exposure = Nobody, **made: Any) -> Gateway:
        opened.append(Gateway(ledger, tmp_path, exposure, **made))
        return opened[-1]

    yield opening
    for one in opened:
        one.close()


# --- what a token is and covers -------------------------------------------------------------------


def test_a_token_has_the_form_that_every_client_sends() -> None:
    made = {new_secret() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(r"hf_[A-Za-z0-9]{34,253}", one) for one in made)
    assert all(62 ** (len(one) - 3) > 2**256 for one in made)


NAMES = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9._]{0,8}[A-Za-z0-9_])?", fullmatch=True).filter(
    lambda one: ".." not in one
)
PIECES = st.text("ab.-_*", min_size=1, max_size=10)


@given(PIECES, PIECES, st.text("ab._", min_size=1, max_size=10), st.text("ab._", min_size=1, max_size=10))
def test_a_pattern_fits_what_its_stars_can_stand_for_and_nothing_else(
    first: str, second: str, org: str, name: str
) -> None:
    try:
        model = ModelName(org, name)
    except ConfigError:
        return
    expected = fnmatch.fnmatchcase(org, first) and fnmatch.fnmatchcase(name, second)
    assert words.fits(f"{first}/{second}", model) == expected


@given(NAMES, NAMES, PIECES)
def test_a_pattern_of_one_organisation_never_fits_another(org: str, name: str, tail: str) -> None:
    assert not words.fits(f"x{org}/{tail}", ModelName(org, name))
    assert words.fits(f"{org}/*", ModelName(org, name))
    assert words.fits(f"{org}/{name}", ModelName(org, name))


@given(st.sampled_from([*Action]), st.sets(st.sampled_from([*Action]), min_size=1), NAMES, NAMES)
def test_no_action_implies_another(asked: Action, given_: set[Action], org: str, name: str) -> None:
    scope = words.Scope(actions=frozenset(given_))
    assert scope.allows(asked, ModelName(org, name)) == (asked in given_)


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    assert not words.fits("*a" * 40 + "/*", ModelName("a" * 39 + "b" * 50, "x"))


@each("pattern", ["", "acme", "acme/", "a/b/c", "acme/[a-z]", "acme/ti?y", "../x", "acme/tiny\n", "**/x/"])
def test_a_pattern_that_could_never_match_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match="no pattern"):
        words.check_scope(words.Scope(models=(pattern,)))


def test_a_channel_lets_its_commit_be_read_and_no_other() -> None:
    scope = words.Scope(channels=("staging",))
    readable = {
        ref
        for ref in ("main", "production", "staging", COMMIT, OLDER, "c" * 40)
        if scope.allows_ref(TINY, ref, CHANNELS)
    }
    assert readable == {"staging", OLDER}


# --- tokens in the ledger -------------------------------------------------------------------------


def test_the_ledger_never_holds_a_token(ledger: Ledger, tmp_path: Path) -> None:
    secret = token_for(ledger)
    everything = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert secret.encode() not in everything
    assert words.hash_of(secret).encode() in everything


def test_a_later_record_neither_widens_nor_revives_a_token(ledger: Ledger) -> None:
    secret = token_for(ledger, models=("acme/tiny",))
    revoke_token(ledger, "ci", actor="ada")
    wider = {**words.encode(list_tokens(ledger)[0]), "models": ["*"]}
    ledger.append(CREATED, "token:x", wider, actor="mallory")
    (token,) = list_tokens(ledger)
    assert (token.scope.models, token.state("2000")) == (("acme/tiny",), "revoked")
    with Tokens(ledger) as tokens:
        found = tokens.find(secret)
        assert found is not None
        assert tokens.state(found) == "revoked"


def test_a_record_that_cannot_be_read_is_no_token_and_spoils_no_other(ledger: Ledger) -> None:
    ledger.append(CREATED, "token:x", {"name": "x", "sha256": "zz", "models": [], "surprise": 1}, actor="mallory")
    secret = token_for(ledger)
    with Tokens(ledger) as tokens:
        assert tokens.find(secret) is not None
        assert [one.name for one in list_tokens(ledger)] == ["ci"]


def test_a_token_ends_when_its_time_comes(ledger: Ledger) -> None:
    now = "2026-01-01T00:00:00.000000Z"
    _, token = create_token(ledger, "ci", words.Scope(), actor="ada", lifetime=timedelta(hours=1), clock=lambda: now)
    assert token.state("2026-01-01T00:59:59.999999Z") == "active"
    assert token.state("2026-01-01T01:00:00.000000Z") == "expired"


def test_a_name_belongs_to_one_active_token(ledger: Ledger) -> None:
    token_for(ledger)
    with pytest.raises(ConfigError, match="already"):
        token_for(ledger)
    revoke_token(ledger, "ci", actor="ada")
    token_for(ledger)
    with pytest.raises(NothingCollected):
        revoke_token(ledger, "other", actor="ada")


def test_no_token_counts_while_nobody_knows_what_was_revoked(ledger: Ledger) -> None:
    secret = token_for(ledger)
    now = [0.0]
    with Tokens(ledger, monotonic=lambda: now[0], poll_seconds=3_600) as tokens:
        assert tokens.find(secret) is not None
        now[0] = 6.0
        with pytest.raises(StoreUnreachable):
            tokens.find(secret)
        tokens.refresh()
        assert tokens.find(secret) is not None


def test_tokens_are_found_behind_and_before_many_other_events(ledger: Ledger) -> None:
    first = token_for(ledger, "first")
    for number in range(40):
        ledger.append("other.thing", f"s{number}", {}, actor="ada")
    with Tokens(ledger, poll_seconds=3_600) as tokens:
        second = token_for(ledger, "second")
        assert tokens.find(second) is None
        tokens.refresh()
        assert tokens.find(first) is not None
        assert tokens.find(second) is not None


# --- how far a gateway is open ---------------------------------------------------------------------


@each("host", ["0.0.0.0", "::", "10.0.0.7", "gateway.example", "", "127.0.0.1.evil.example"])
def test_beyond_loopback_it_needs_tokens_and_tls_or_a_word_for_each(host: str) -> None:
    with pytest.raises(ConfigError, match="no token"):
        check_exposure(host, tls=True, tokens_exist=False)
    with pytest.raises(ConfigError, match="TLS"):
        check_exposure(host, tls=False, tokens_exist=True)
    with pytest.raises(ConfigError, match="TLS"):
        check_exposure(host, tls=False, tokens_exist=False, flags=ExposureFlags(allow_anonymous=True))
    with pytest.raises(ConfigError, match="no token"):
        check_exposure(host, tls=False, tokens_exist=False, flags=ExposureFlags(allow_plain_http=True))
    closed = check_exposure(host, tls=True, tokens_exist=True)
    assert (closed.anonymous, closed.open_paths, closed.words) == (Anonymous.NEVER, frozenset(), ())
    flags = ExposureFlags(allow_anonymous=True, allow_plain_http=True)
    assert len(check_exposure(host, tls=False, tokens_exist=False, flags=flags).words) == 2


@each("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.9.10"])
def test_on_loopback_anonymous_reading_is_served_and_said(host: str) -> None:
    exposure = check_exposure(host, tls=False, tokens_exist=False)
    assert exposure.anonymous is Anonymous.UNTIL_TOKENS
    assert "everybody on this machine" in exposure.words[0]
    assert check_exposure(host, tls=False, tokens_exist=True).anonymous is Anonymous.NEVER


def test_anonymous_reading_on_loopback_ends_with_the_first_token(gateway: Opening, ledger: Ledger) -> None:
    here = gateway(check_exposure("127.0.0.1", tls=False, tokens_exist=False))
    assert here.get("/api/models/acme/tiny").status_code == 200
    assert here.get("/api/models/acme/tiny", "hf_" + "T" * 34).status_code == 200, (
        "a token of the public Hub does no harm"
    )
    secret = token_for(ledger)
    eventually(lambda: here.get("/api/models/acme/tiny").status_code == 401)
    assert here.get("/api/models/acme/tiny", secret).status_code == 200


def test_a_page_that_calls_itself_by_loopbacks_address_is_not_on_this_machine(gateway: Opening) -> None:
    here = gateway(check_exposure("127.0.0.1", tls=False, tokens_exist=False))
    for host, status in (
        ("rebound.example", 401),
        ("localhost:80", 200),
        ("[::1]:80", 200),
        ("127.0.0.1.evil.example", 401),
    ):
        assert here.get("/api/models/acme/tiny", headers={"host": host}).status_code == status


# --- asking with a token ---------------------------------------------------------------------------


def test_a_revoked_token_is_refused_within_a_second(ledger: Ledger, gateway: Opening) -> None:
    secret = token_for(ledger)
    here = gateway()
    assert here.get("/api/models/acme/tiny", secret).status_code == 200
    revoke_token(ledger, "ci", actor="ada")
    eventually(lambda: here.get("/api/models/acme/tiny", secret).status_code == 401)
    answer = here.get("/api/models/acme/tiny", secret)
    assert "was revoked" in answer.json()["error"]
    assert {"Bearer", "Basic"} <= {one.split()[0] for one in answer.headers.get_list("www-authenticate")}


def test_a_token_comes_as_git_sends_it(ledger: Ledger, gateway: Opening) -> None:
    secret = token_for(ledger)
    here = gateway()
    for pair, status in ((f"user:{secret}", 200), (f"{secret}:", 200), ("user:wrong", 401), (secret, 200), (":", 401)):
        header = "Basic " + base64.b64encode(pair.encode()).decode()
        assert here.get("/api/models/acme/tiny", headers={"authorization": header}).status_code == status, pair


@each(
    "value",
    ["Bearer", "Basic %%%", "Basic /w==", "Digest x", "bearer hf_\xff", "Bearer hf_" + "a" * 2_000, "hf_x"],
)
def test_what_is_no_token_is_refused_whatever_it_is(value: str, gateway: Opening) -> None:
    here = gateway()
    answer = here.get("/api/models/acme/tiny", headers={"authorization": value.encode("latin-1")})
    assert answer.status_code == 401


def test_two_authorizations_are_none(ledger: Ledger, gateway: Opening) -> None:
    secret = token_for(ledger)
    here = gateway()
    pair = [("authorization", f"Bearer {secret}"), ("authorization", "Bearer hf_other")]
    assert here.client.get(f"{here.url}/api/models/acme/tiny", headers=pair).status_code == 401


SCOPED = {"models": ("acme/*",), "channels": ("staging",)}


@each(
    ("path", "status"),
    [
        ("/acme/tiny/resolve/staging/config.json", 200),
        (f"/acme/tiny/resolve/{OLDER}/config.json", 200),
        (f"/acme/tiny/resolve/{COMMIT}/config.json", 403),
        ("/acme/tiny/resolve/main/config.json", 403),
        ("/acme/tiny/resolve/production/config.json", 403),
        ("/acme/tiny/resolve/staging%2F..%2Fproduction/config.json", 403),
        ("/acme/tiny/resolve/staging/%2e%2e/main/config.json", 403),
        ("/acme%2Ftiny/resolve/staging/config.json", 403),
        ("/other/tiny/resolve/staging/config.json", 403),
        ("/%61cme/tiny/resolve/main/config.json", 403),
        ("/%6fther/tiny/resolve/staging/config.json", 403),
        ("/api/models/acme/tiny", 403),
        ("/api/models/acme/tiny/revision/staging", 200),
        ("/api/models/acme/tiny/revision/main", 403),
        ("/api/models/acme/tiny/tree/staging/sub", 200),
        ("/api/models/acme/tiny/tree/main", 403),
        ("/api/models/acme/tiny/refs", 200),
        ("/api/models/other/tiny/refs", 403),
        ("/api/models", 200),
        ("/api/whoami-v2", 200),
        ("/api/datasets/acme/tiny", 403),
        ("/metrics", 403),
        ("/healthz", 200),
        ("/anything/else", 403),
        ("/", 403),
    ],
)
def test_a_scoped_token_opens_what_its_scope_names(path: str, status: int, scoped: tuple[Gateway, str]) -> None:
    here, secret = scoped
    with socket.create_connection(("127.0.0.1", int(here.url.rpartition(":")[2]))) as raw:
        raw.sendall(
            f"HEAD {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\nConnection: close\r\n\r\n".encode()
        )
        assert raw.makefile("rb").readline().split()[1] == str(status).encode()


@pytest.fixture(scope="module")
def scoped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, str]]:
    folder = tmp_path_factory.mktemp("scoped")
    with ledger_at(folder) as ledger:
        secret = token_for(ledger, **SCOPED)
        made = Gateway(ledger, folder)
        yield made, secret
        made.close()


def test_where_channels_cannot_be_read_nothing_is_opened(ledger: Ledger, gateway: Opening) -> None:
    secret = token_for(ledger, **SCOPED)

    def unreadable(_model: ModelName) -> Mapping[str, str]:
        raise LedgerError("no index")

    here = gateway(channels_of=unreadable)
    answer = here.get("/acme/tiny/resolve/staging/config.json", secret)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


# --- what huggingface_hub prints -------------------------------------------------------------------


def test_huggingface_hub_prints_why_a_token_is_wrong(ledger: Ledger, gateway: Opening) -> None:
    secret = token_for(ledger)
    revoke_token(ledger, "ci", actor="ada")
    here = gateway()
    with pytest.raises(HfHubHTTPError, match="The token 'ci' was revoked") as caught:
        HfApi(endpoint=here.url, token=secret).model_info("acme/tiny")
    assert "Invalid credentials" in str(caught.value)


def test_huggingface_hub_prints_that_a_token_is_needed(gateway: Opening, tmp_path: Path) -> None:
    here = gateway()
    with pytest.raises(GatedRepoError, match="Set HF_TOKEN"):
        HfApi(endpoint=here.url, token=False).model_info("acme/tiny")


def test_huggingface_hub_prints_that_a_scope_is_too_narrow(ledger: Ledger, gateway: Opening, tmp_path: Path) -> None:
    secret = token_for(ledger, models=("acme/other",))
    here = gateway()
    with pytest.raises(GatedRepoError, match="token:ci may not read acme/tiny"):
        HfApi(endpoint=here.url, token=secret).model_info("acme/tiny")
    with pytest.raises(GatedRepoError):
        hf_hub_download("acme/tiny", "config.json", endpoint=here.url, token=secret, cache_dir=tmp_path / "cache")


# --- limits -----------------------------------------------------------------------------------------


def test_who_asks_too_often_waits_and_others_do_not(ledger: Ledger, gateway: Opening) -> None:
    busy, other = token_for(ledger, "busy"), token_for(ledger, "other")
    here = gateway(rates=Rates(per_second=0.01, burst=3))
    answers = [here.get("/api/models/acme/tiny", busy) for _ in range(5)]
    assert [one.status_code for one in answers] == [200, 200, 200, 429, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert here.get("/api/models/acme/tiny", other).status_code == 200
    assert here.limits() == {"rate": 2}
    with pytest.raises(HfHubHTTPError, match="reached your 'requests' rate limit"):
        HfApi(endpoint=here.url, token=busy).model_info("acme/tiny")


def test_requests_at_once_are_limited_for_one_and_for_all(ledger: Ledger, gateway: Opening) -> None:
    secret = token_for(ledger)
    here = gateway(rates=Rates(requests=2), sizes=Sizes(requests=3))
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            client = stack.enter_context(httpx.Client(verify=False))
            stack.enter_context(
                client.stream(
                    "GET", f"{here.url}/acme/tiny/resolve/main/f?stall", headers={"authorization": f"Bearer {secret}"}
                )
            )
        answer = here.get("/api/models/acme/tiny", secret)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        third = token_for(ledger, "third")
        eventually(lambda: here.get("/api/models/acme/tiny", third).status_code == 200)
        client = stack.enter_context(httpx.Client(verify=False))
        stack.enter_context(
            client.stream(
                "GET", f"{here.url}/acme/tiny/resolve/main/f?stall", headers={"authorization": f"Bearer {third}"}
            )
        )
        assert here.get("/api/models/acme/tiny", third).status_code == 503
        assert here.get("/healthz", third).status_code == 200
    eventually(lambda: here.get("/api/models/acme/tiny", secret).status_code == 200)


@each(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(120)) + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 40_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /?" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n", 413),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            + (b"10000\r\n" + b"a" * 65_536 + b"\r\n") * 20,
            413,
        ),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", 408),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Le", None),
        (b"", None),
    ],
)
def test_what_is_too_large_or_too_slow_is_ended(
    request_: bytes, status: int | None, waiting: dict[bool, Gateway]
) -> None:
    here = waiting[status not in (408, None)]
    with socket.create_connection(("127.0.0.1", int(here.url.rpartition(":")[2]))) as raw:
        raw.settimeout(PATIENCE_SECONDS)
        with contextlib.suppress(OSError):
            raw.sendall(request_)
        try:
            line = raw.makefile("rb").readline()
        except ConnectionError:
            line = b""
        assert line.split()[1:2] == ([] if status is None else [str(status).encode()])


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, Gateway]]:
    """A gateway that waits for what comes slowly, and one that hardly does."""
    folder = tmp_path_factory.mktemp("waiting")
    with ledger_at(folder) as ledger:
        hasty = {"sizes": Sizes(body_seconds=0.3), "connections": Connections(head_seconds=0.3)}
        made = {True: Gateway(ledger, folder / "a", Everyone), False: Gateway(ledger, folder / "b", Everyone, **hasty)}
        yield made
        for one in made.values():
            one.close()


def test_connections_of_one_address_are_limited_and_given_back(gateway: Opening) -> None:
    here = gateway(Everyone, connections=Connections(per_address=3, head_seconds=60))
    port = int(here.url.rpartition(":")[2])
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
    eventually(lambda: _refused(here.url))
    for one in idle:
        one.close()
    eventually(lambda: not _refused(here.url))
    assert here.limits()["connections"] >= 1


def _refused(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/models/acme/tiny", verify=False).status_code != 200
    except httpx.TransportError:
        return True


def test_many_addresses_take_bounded_memory_and_who_is_busy_is_not_forgotten() -> None:
    statuses: list[int] = []
    release = asyncio.Event()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            await release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def nothing() -> Any:
        raise AssertionError

    fair = Fair(app, Rates(requests=1, askers=50), clock=lambda: 0.0)

    def ask(address: str, path: str = "/") -> Any:
        return fair(
            {"type": "http", "method": "GET", "path": path, "client": (address, 1), "headers": []}, nothing, send
        )

    async def run() -> None:
        waiting = asyncio.create_task(ask("192.0.2.1", "/wait"))
        await asyncio.sleep(0)
        for number in range(5_000):
            await ask(f"10.{number // 65_536}.{number // 256 % 256}.{number % 256}")
        assert fair.remembered <= 50
        await ask("192.0.2.1")
        assert statuses[-1] == 429
        release.set()
        await waiting
        before = fair.remembered
        for number in range(100):
            await ask(f"2001:db8::{number:x}")
        assert fair.remembered <= before + 1, "one network is one asker"

    asyncio.run(run())


# --- downloads in the ledger ------------------------------------------------------------------------


def lines(ledger: Ledger) -> list[dict[str, Any]]:
    return [line for event in ledger.events(kinds=(DOWNLOADS,)) for line in event.payload["lines"]]  # type: ignore[union-attr, misc]


def test_every_download_is_in_the_ledger_and_nothing_else(ledger: Ledger, gateway: Opening) -> None:
    secret = token_for(ledger)
    here = gateway()
    for _ in range(3):
        assert here.get("/acme/tiny/resolve/main/model.safetensors", secret).content == CONTENT
    assert here.get("/acm%65/tiny/resolve/main/sub/a%20b.json", secret).status_code == 200
    here.client.head(f"{here.url}/acme/tiny/resolve/main/config.json", headers={"authorization": f"Bearer {secret}"})
    here.get("/api/models/acme/tiny", secret)
    here.get("/acme/tiny/resolve/main/config.json")
    eventually(lambda: sum(line["downloads"] for line in lines(ledger)) == 4)
    first = [line for line in lines(ledger) if line["path"] == "model.safetensors"]
    assert {(line["who"], line["address"], line["model"], line["revision"], line["status"]) for line in first} == {
        ("token:ci", "127.0.0.1", "acme/tiny", COMMIT, 200)
    }
    assert sum(line["sent_bytes"] for line in first) == 3 * len(CONTENT)
    assert {(line["path"], line["model"]) for line in lines(ledger)} == {
        ("model.safetensors", "acme/tiny"),
        ("sub/a b.json", "acme/tiny"),
    }
    assert not any(line["cut"] or line["lost"] for line in lines(ledger))


def test_a_download_that_was_cut_says_so(ledger: Ledger, gateway: Opening) -> None:
    here = gateway(Everyone)
    with here.client.stream("GET", f"{here.url}/acme/tiny/resolve/main/f?stall") as answer:
        next(answer.iter_raw())
    here.close()
    assert [(line["cut"], line["lost"]) for line in lines(ledger)] == [(1, 0)]
    assert 0 < lines(ledger)[0]["sent_bytes"] < len(CONTENT)


def test_while_the_ledger_takes_nothing_downloads_go_on_and_are_recorded_later(tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    with ledger_at(tmp_path) as ledger:
        head = tmp_path / "head.json"
        ledger.append("a.b", "s", {}, actor="ada")
        ledger.append("a.b", "s", {}, actor="ada")
        kept = head.read_bytes()
        head.unlink()
        recorder = Downloads(ledger, folder, flush_seconds=0.05)

        async def some() -> None:
            for _ in range(20):
                number = await recorder.begin(Download(0, "2026", "w", "a", "acme/tiny", COMMIT, "f", 200))
                recorder.end(number, sent_bytes=5, whole=True)
                await asyncio.sleep(0.01)

        asyncio.run(some())
        eventually(lambda: recorder.waiting > 0)
        assert lines(ledger) == []
        head.write_bytes(kept)
        recorder.close()
        assert sum(line["downloads"] for line in lines(ledger)) == 20
        assert list(folder.iterdir()) == []


def test_where_the_journal_cannot_be_written_no_download_begins(
    ledger: Ledger, gateway: Opening, tmp_path: Path
) -> None:
    here = gateway(Everyone)
    descriptor = here.downloads._journal._descriptor
    with open("/dev/full", "wb") as full:
        saved = os.dup(descriptor)
        os.dup2(full.fileno(), descriptor)
        refused = here.get("/acme/tiny/resolve/main/f")
        os.dup2(saved, descriptor)
        os.close(saved)
    assert refused.status_code == 503
    assert "recorded" in refused.headers["x-error-message"]
    assert here.get("/acme/tiny/resolve/main/f").status_code == 200
    here.close()
    assert sum(line["downloads"] for line in lines(ledger)) == 1


DYING = """
    import asyncio, sys
    from pathlib import Path
    from tests.test_gateway_access import Everyone, Gateway, ledger_at
    folder = Path(sys.argv[1])
    gateway = Gateway(ledger_at(folder), folder, Everyone)
    print(gateway.url, flush=True)
    gateway.thread.join()
"""


@pytest.mark.fault
def test_what_a_client_got_before_a_kill_is_in_the_ledger_after_it(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parent.parent
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DYING), str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    whole = 0
    try:
        with (
            httpx.Client(verify=False) as client,
            client.stream("GET", f"{url}/acme/tiny/resolve/main/running?stall") as running,
        ):
            arriving = running.iter_raw()
            next(arriving)
            begun = time.monotonic()
            while time.monotonic() - begun < 0.5:
                whole += client.get(f"{url}/acme/tiny/resolve/main/file-{whole % 7}").status_code == 200
            process.send_signal(signal.SIGKILL)
            process.wait()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    with Ledger(
        f"sqlite:///{tmp_path / 'ledger.sqlite'}", head_path=tmp_path / "head.json", signer=new_key()
    ) as ledger:
        before = sum(line["downloads"] for line in lines(ledger))
        Downloads(ledger, tmp_path / "downloads", flush_seconds=0.05).close()
        with Downloads(ledger, tmp_path / "downloads", flush_seconds=0.05):
            eventually(lambda: sum(line["downloads"] for line in lines(ledger)) >= whole + 1)
        found = lines(ledger)
        assert sum(line["downloads"] for line in found) == whole + 1
        assert before <= whole
        assert [(line["lost"], line["cut"]) for line in found if line["path"] == "running"] == [(1, 0)]
        assert not list((tmp_path / "downloads").glob("*.jsonl"))


def test_a_segment_is_never_recorded_twice(tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    begun = b'{"address":"a","at":"2026","model":"m","number":1,"path":"f","revision":"r","status":200,"who":"w"}\n'
    segment = folder / f"{'0' * 16}-00000000.jsonl"
    with ledger_at(tmp_path) as ledger:
        for _ in range(2):
            segment.write_bytes(begun + b'{"number":1,"sent_bytes":7,"whole":true}\n' + begun[:40])
            with Downloads(ledger, folder, flush_seconds=0.05):
                eventually(lambda: not segment.exists())
        assert [(line["downloads"], line["sent_bytes"]) for line in lines(ledger)] == [(1, 7)]


def test_a_download_that_runs_through_several_segments_is_told_once(tmp_path: Path) -> None:
    with ledger_at(tmp_path) as ledger:
        recorder = Downloads(ledger, tmp_path / "downloads", flush_seconds=0.05)

        shorts = 0

        async def some() -> None:
            nonlocal shorts
            long = await recorder.begin(Download(0, "2026", "w", "a", "acme/tiny", COMMIT, "long", 200))
            while shorts < 3 or not list(ledger.events(kinds=(DOWNLOADS,))):
                number = await recorder.begin(Download(0, "2026", "w", "a", "acme/tiny", COMMIT, "short", 200))
                await asyncio.sleep(0.03)
                recorder.end(number, sent_bytes=1, whole=True)
                shorts += 1
            recorder.end(long, sent_bytes=99, whole=True)

        asyncio.run(some())
        recorder.close()
        found = lines(ledger)
        assert len(list(ledger.events(kinds=(DOWNLOADS,)))) > 1
        assert [line["sent_bytes"] for line in found if line["path"] == "long"] == [99]
        assert sum(line["downloads"] for line in found if line["path"] == "short") == shorts
        assert not any(line["lost"] for line in found)


def test_a_living_gateways_journal_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    with ledger_at(tmp_path) as ledger:
        living = Downloads(ledger, folder, flush_seconds=3_600)
        number = asyncio.run(living.begin(Download(0, "2026", "w", "a", "m", COMMIT, "f", 200)))
        Downloads(ledger, folder, flush_seconds=0.05).close()
        assert lines(ledger) == []
        living.end(number, sent_bytes=3, whole=True)
        living.close()
        assert [line["sent_bytes"] for line in lines(ledger)] == [3]


# --- metrics, traces, health ------------------------------------------------------------------------


def test_metrics_are_what_prometheus_reads_and_hostile_requests_add_no_label(ledger: Ledger, gateway: Opening) -> None:
    here = gateway(Everyone)
    for path in (
        "/api/models/acme/tiny",
        '/x"} evil{',
        "/acme/tiny/resolve/main/f",
        *(f"/random/{n}" for n in range(30)),
    ):
        here.get(path)
    here.client.request("PATCH", f"{here.url}/x")
    here.metrics.chunk_verified()
    here.metrics.cache(hit=True)
    here.metrics.gauge("weighbridge_index_age_seconds", lambda: 0.25)
    eventually(
        lambda: (
            len([one for one in samples(here.metrics.exposition()) if one.name == "weighbridge_requests_total"]) == 4
        )
    )
    found = {(one.name, *sorted(one.labels.values())): one.value for one in samples(here.metrics.exposition())}
    assert found["weighbridge_requests_total", "200", "GET", "info"] == 1
    assert found["weighbridge_requests_total", "200", "GET", "other"] == 31
    assert found["weighbridge_requests_total", "200", "other", "other"] == 1
    assert found["weighbridge_sent_bytes_total", "resolve"] == len(CONTENT)
    assert found["weighbridge_request_seconds_count", "resolve"] == 1
    assert found["weighbridge_request_seconds_bucket", "+Inf", "resolve"] == 1
    assert found["weighbridge_requests_running",] == 0
    assert found["weighbridge_index_age_seconds",] == 0.25


@each(
    ("sent", "kept"),
    [
        ("00-" + "1" * 32 + "-" + "2" * 16 + "-01", True),
        ("ff-" + "1" * 32 + "-" + "2" * 16 + "-01", False),
        ("00-" + "0" * 32 + "-" + "2" * 16 + "-01", False),
        ("00-" + "1" * 32 + "-" + "2" * 16 + "-01\tx", False),
        ("x" * 500, False),
    ],
)
def test_a_trace_is_passed_on_when_it_is_one(sent: str, kept: bool, waiting: dict[bool, Gateway]) -> None:
    answer = waiting[True].get("/api/models/acme/tiny", headers={"traceparent": sent})
    assert answer.json()["trace"] == (sent if kept else "")


def test_health_readiness_and_metrics_ask_for_a_token_unless_they_are_opened(ledger: Ledger, gateway: Opening) -> None:
    from starlette.applications import Starlette

    reader, admin = token_for(ledger), token_for(ledger, "ops", actions=frozenset((Action.ADMIN,)))
    failing = [False]

    def probe() -> None:
        if failing[0]:
            raise LedgerError("the index at s3://secret-bucket is stale")

    readiness = Readiness({"index": probe}, kept_seconds=0.0)
    app = Starlette(routes=operational_routes(readiness, Metrics()))
    shut = gateway(app=app)
    assert [shut.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")] == [401] * 3
    assert [shut.get(path, reader).status_code for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 403]
    assert "weighbridge_requests_total" in shut.get("/metrics", admin).text
    assert shut.get("/api/models/acme/tiny", admin).status_code == 403
    failing[0] = True
    assert (shut.get("/readyz", reader).status_code, "secret" in shut.get("/readyz", reader).text) == (503, False)
    assert "secret-bucket" in shut.get("/readyz", admin).text
    assert shut.get("/healthz", reader).status_code == 200
    failing[0] = False
    assert shut.get("/readyz", reader).json() == {"status": "ready", "probes": {"index": "ok"}}
    readiness.drain()
    assert shut.get("/readyz", reader).status_code == 503
    opened = gateway(
        check_exposure("0.0.0.0", tls=True, tokens_exist=True, flags=ExposureFlags(open_operations=True)), app=app
    )
    assert [opened.get(path).status_code for path in ("/healthz", "/metrics", "/")] == [200, 200, 401]


# --- the command ------------------------------------------------------------------------------------


def test_the_command_makes_lists_and_revokes_tokens(tmp_path: Path) -> None:
    home = str(tmp_path / "home")

    def run(*arguments: str) -> Any:
        ran = CliRunner().invoke(token_command, [*arguments, "--home", home], standalone_mode=False)
        if ran.exception is not None:
            raise ran.exception
        return ran

    made = json.loads(run("create", "ci", "--model", "acme/*", "--channel", "main", "--expires", "2d", "--json").stdout)
    assert re.fullmatch(r"hf_[A-Za-z0-9]{43}", made["token"])
    assert (made["channels"], made["actions"], made["state"]) == (["production"], ["list", "read"], "active")
    (listed,) = json.loads(run("list", "--json").stdout)
    assert listed == {name: value for name, value in made.items() if name != "token"}
    assert made["token"] not in run("list").stdout
    assert "revoked" in run("revoke", made["id"], "--reason", "left in a log").stdout
    assert json.loads(run("list", "--json").stdout)[0]["state"] == "revoked"
    with pytest.raises(NothingCollected):
        run("revoke", "ci")
    for wrong in ("0d", "5y", "d", "-1d", "٣d", "99999999d", ""):
        with pytest.raises(ConfigError):
            run("create", "other", "--expires", wrong)


def test_the_catalog_is_open_to_nobody_whom_the_gateway_would_not_let_read(weighbridge: Command) -> None:
    """On loopback, everybody on this machine until the first token exists; a page that rebinds its name never."""
    with running(weighbridge) as own:
        assert own.ask("/").status == 200
        assert own.ask("/audit", headers={"Host": "rebound.example"}).status == 303
        weighbridge("token", "create", "ci")
        eventually(lambda: own.ask("/").status != 200)
        assert own.ask("/").headers["location"].startswith("/login")
        assert own.ask("/audit").status == 303
