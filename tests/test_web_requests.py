"""Requests in the web catalog: asked for by people, settled by reviewers, and by nobody else's page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.conftest import Command
from tests.support.browser import RunningProvider, chromium, free_socket, provider, serving, sources_of
from tests.support.cases import each
from tests.support.waiting import PATIENCE_SECONDS
from tests.test_web import CHECK, HOSTILE, SCHEMES, Gateway, Visit, admit_people, enter
from weighbridge.admit.asking import Asking, Request, Source, State, Wanted
from weighbridge.admit.requests import RequestBook
from weighbridge.cli.console import Output
from weighbridge.cli.settings import Home
from weighbridge.cli.yard import OpenYard
from weighbridge.core.names import ModelName
from weighbridge.serve.token_store import Tokens, create_token
from weighbridge.serve.tokens import Action, Scope
from weighbridge.serve.web import BACK, WebSettings, routes
from weighbridge.serve.web_oidc import OpenIdLogin, Provider
from weighbridge.serve.web_session import Sessions
from weighbridge.serve.web_tokens import TokensDoor
from weighbridge.wire.http import Http

COMMIT = "1d86952e1cd81aed9a17ec35fa23e3506c305fff"


@pytest.fixture(scope="module")
def oidc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProvider]:
    with provider(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, oidc: RunningProvider) -> Iterator[Gateway]:
    """A catalog over a home with people and requests, and no model."""
    home, sock = Home(tmp_path_factory.mktemp("web") / "home"), free_socket()
    Command(home.path)("init", code=None)
    admit_people(home, oidc.issuer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(oidc.authority))
        patch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        http = Http(user_agent="test")
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    with OpenYard(home, Output(quiet=True)) as yard, Tokens(yard.ledger()) as tokens:
        sources = sources_of(yard, speaks=True)
        settings = WebSettings(
            Sessions(b"k" * 32, secure=False),
            is_open=lambda _scope: False,
            doors=TokensDoor(tokens, yard.ledger()),
            login=OpenIdLogin(Provider(oidc.issuer, "weighbridge", f"{url}{BACK}", "secret"), http),
        )
        found = routes(sources, settings)
        with serving(found, sock):
            yield Gateway(url, home, sources, tokens, oidc.issuer, list(found))
    http.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def kept(gateway: Gateway, browser: Browser) -> dict[str, Any]:
    """The cookies of a reviewer and of a requester who logged in."""
    found = {}
    for name in ("rita", "quentin"):
        context = browser.new_context(ignore_https_errors=True)
        enter(context.new_page(), gateway, name)
        found[name] = context.storage_state()
        context.close()
    return found


@pytest.fixture
def pages(browser: Browser, kept: dict[str, Any]) -> Iterator[dict[str, Page]]:
    """A page of each of their browsers."""
    contexts: list[BrowserContext] = []
    found = {}
    for name, state in kept.items():
        contexts.append(browser.new_context(storage_state=state, viewport={"width": 1280, "height": 800}))
        contexts[-1].set_default_timeout(1_000 * PATIENCE_SECONDS)
        found[name] = contexts[-1].new_page()
    yield found
    for context in contexts:
        context.close()


def book(gateway: Gateway) -> RequestBook:
    return RequestBook(gateway.sources.ledger).refresh()


def filed(gateway: Gateway, name: str, ref: str = "", **more: Any) -> Request:
    """A request that a client filed, or somebody else."""
    wanted = Wanted.of(ModelName.parse(name), ref)
    source = more.pop("source", Source.GATEWAY)
    return book(gateway).file(Asking(wanted, source, more.pop("by", "token:ci"), **more))[0]


def visit_of(gateway: Gateway, kept: dict[str, Any], name: str) -> Visit:
    """The same person, without a browser."""
    visit = Visit(gateway)
    visit.cookies = {one["name"]: one["value"] for one in kept[name]["cookies"] if one["name"] == "weighbridge"}
    return visit


def said(page: Page) -> str:
    return str(page.get_by_role("status").text_content())


def test_a_person_asks_and_a_reviewer_settles_it(gateway: Gateway, pages: dict[str, Page]) -> None:
    quentin, rita = pages["quentin"], pages["rita"]
    quentin.goto(f"{gateway.url}/?{urlencode({'q': 'acme/wished'})}")
    quentin.goto(f"{gateway.url}/requests?{urlencode({'model': 'acme/wished'})}")
    assert quentin.get_by_label("Model").input_value() == "acme/wished"
    quentin.get_by_label("What for").fill("for the support desk")
    quentin.get_by_role("button", name="Ask for it").click()
    request = book(gateway).all()[0]
    assert f"request {request.number} waits for a reviewer" in said(quentin)
    assert (request.asking.by, request.asking.source) == ("quentin", Source.PERSON)
    assert quentin.locator("article form").count() == 0
    rita.goto(f"{gateway.url}/queue")
    card = rita.locator(f"#request-{request.number}")
    assert "for the support desk" in str(card.text_content())
    card.locator("summary", has_text="Accept").click()
    card.get_by_role("button", name="Accept").click()
    assert f"You accepted request {request.number}. Bring it in: weighbridge ingest hf://acme/wished" in said(rita)
    assert rita.url.startswith(f"{gateway.url}/queue")
    accepted = book(gateway).get(request.number)
    assert accepted.word is not None
    assert (accepted.state, accepted.word.person, accepted.word.through) == (State.ACCEPTED, "rita", "edge")
    rita.goto(f"{gateway.url}/requests?state=accepted&q=WISHED")
    card = rita.locator(f"#request-{request.number}")
    card.locator("summary", has_text="Decline").click()
    card.get_by_label("Why not").fill("its licence forbids our use")
    card.get_by_role("button", name="Decline").click()
    assert f"You declined request {request.number}" in said(rita)
    quentin.goto(f"{gateway.url}/requests?state=declined")
    assert "its licence forbids our use" in str(quentin.locator("main").text_content())
    quentin.locator("summary", has_text="Ask again").click()
    quentin.get_by_label("What is different").fill("it has another licence")
    quentin.get_by_role("button", name="Ask again").click()
    assert book(gateway).all()[0].number > request.number


def test_requests_are_found_by_words_and_state(gateway: Gateway, kept: dict[str, Any]) -> None:
    one, two = filed(gateway, "acme/llama-small"), filed(gateway, "zoo/llama", "staging", by="token:other")
    visit = visit_of(gateway, kept, "rita")

    def found(**asked: str) -> set[int]:
        shown = visit.ask(f"/requests?{urlencode(asked)}").data.decode()
        return {number for number in (one.number, two.number) if f'id="request-{number}"' in shown}

    assert found() == {one.number, two.number}
    assert found(q="LLAMA acme") == {one.number}
    assert found(q="token:other") == {two.number}
    assert found(state="declined") == set()
    assert found(state="all", q="staging") == {two.number}
    assert found(state=HOSTILE, q=HOSTILE, page=HOSTILE) == set()


def test_the_pages_of_requests_can_be_read_by_everybody(gateway: Gateway, pages: dict[str, Page]) -> None:
    ledger, rita = gateway.sources.ledger, pages["rita"]
    evidence = {"revision": COMMIT, "note": HOSTILE}
    watched = filed(gateway, "acme/watched", COMMIT, by="watch", source=Source.WATCH, evidence=evidence, note=HOSTILE)
    done = filed(gateway, "acme/settled")
    moved = {
        "model": "acme/settled",
        "channel": "production",
        "revision": COMMIT,
        "manifest_digest": "",
        "previous": "",
    }
    ledger.append("channel.set", "acme/settled@production", {**moved, "act": "promote", "reason": ""}, actor="ada")
    for address in ("/queue", "/requests", "/requests?state=all", "/requests?q=none"):
        rita.goto(f"{gateway.url}{address}")
        assert rita.evaluate("document.querySelectorAll('img, main script').length") == 0, address
        for summary in rita.locator("article summary").all()[:3]:
            summary.click()
        for scheme in SCHEMES:
            rita.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            for width in (1280, 390):
                rita.set_viewport_size({"width": width, "height": 800})
                assert rita.evaluate(CHECK) == [], f"{address} at {width}, {scheme}"
    rita.goto(f"{gateway.url}/requests?state=all")
    assert COMMIT in str(rita.locator(f"#request-{watched.number}").text_content())
    settled = rita.locator(f"#request-{done.number}")
    assert "was promoted" in str(settled.text_content())
    assert settled.locator("form").count() == 0


def test_who_is_no_reviewer_settles_nothing_and_who_is_nobody_asks_for_nothing(
    gateway: Gateway, kept: dict[str, Any]
) -> None:
    request = filed(gateway, "acme/guarded")
    form = {"number": str(request.number), "seen": "open", "reason": "x", "model": "acme/mine"}
    scope = Scope(models=("acme/*",), actions=frozenset(Action))
    secret, _ = create_token(gateway.sources.ledger, "all", scope, lifetime=timedelta(days=1), actor="ada")
    gateway.tokens.refresh()
    holder, nobody = Visit(gateway), Visit(gateway)
    holder.with_token(secret)
    shown = holder.ask("/requests").data.decode()
    assert "guarded" in shown
    assert "zoo/" not in shown
    quentin = visit_of(gateway, kept, "quentin")
    for visit, acts in ((quentin, ("accept", "decline")), (holder, ("accept", "decline", "ask")), (nobody, ("ask",))):
        code = visit.code("/requests") or visit.code()
        for act in acts:
            assert visit.ask(f"/requests/{act}", {**form, "code": code}).status == 403, act
    assert nobody.ask("/requests").status == 303
    assert book(gateway).get(request.number).state is State.OPEN
    assert not [one for one in book(gateway).all() if str(one.wanted.model_name) == "acme/mine"]


@each(
    "more",
    [
        {"code": ""},
        {"headers": {"Origin": "https://evil.example"}},
        {"headers": {"Sec-Fetch-Site": "cross-site"}},
        {"headers": {"Content-Type": "text/plain"}},
        {"reason": "x" * 501},
        {"reason": "a\u202eb"},
        {"seen": "accepted"},
        {"seen": "x"},
        {"number": "0"},
        {"number": "9" * 30},
        {"number": "\u0661"},
        {"model": HOSTILE, "ref": HOSTILE},
        {"ref": "refs/pr/1"},
        {"ref": "--help"},
    ],
)
def test_words_of_a_form_that_mean_nothing_do_nothing(
    gateway: Gateway, kept: dict[str, Any], more: dict[str, Any]
) -> None:
    visit, request = visit_of(gateway, kept, "rita"), filed(gateway, "acme/formed")
    headers = more.get("headers")
    changed = {name: value for name, value in more.items() if name != "headers"}
    form = {"code": visit.code("/requests"), "number": str(request.number), "seen": "open", "reason": "fine"}
    before = gateway.sources.ledger.last_sequence()
    for act in ("accept", "decline", "ask"):
        if act == "ask" and not {"code", "headers", "reason", "model", "ref"} & set(more):
            continue
        if act != "ask" and {"model", "ref"} & set(more):
            continue
        answer = visit.ask(f"/requests/{act}", {**form, "model": "acme/other", **changed}, headers)
        assert answer.status in (400, 403, 404, 409), (act, more)
        assert b"<img" not in answer.data
    assert visit.ask("/requests/burn", form).status == 404
    assert gateway.sources.ledger.last_sequence() == before
