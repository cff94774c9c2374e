"""Upstream in the web catalog: what is new is listed and stands out, and what strangers wrote is text for those who are known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient

from tests.support.browser import chromium, free_socket, serving, sources_of
from tests.support.cases import each
from tests.support.waiting import PATIENCE_SECONDS
from tests.support.watching import Place, place, take_over
from tests.test_web import CHECK, HOSTILE, REVERSED, SCHEMES, Gateway, Visit
from weighbridge.admit.asking import Asking, Source, Wanted
from weighbridge.admit.requests import RequestBook
from weighbridge.cli.gateway import Chosen, open_gateway
from weighbridge.cli.watched import MAX_NEWS, MAX_SUMMARY, WatchedHere
from weighbridge.core.errors import StoreUnreachable
from weighbridge.core.finding import Severity
from weighbridge.core.names import ModelName
from weighbridge.serve.access import ExposureFlags
from weighbridge.serve.token_store import Tokens, create_token
from weighbridge.serve.tokens import Scope
from weighbridge.serve.web import WebSettings, routes
from weighbridge.serve.web_session import Sessions, Visitor
from weighbridge.serve.web_tokens import TokensDoor
from weighbridge.serve.web_updates import Board
from weighbridge.serve.web_watched import JUDGEMENTS, WatchedModel, WatchedNews
from weighbridge.serve.web_words import age
from weighbridge.store.ledger import now_rfc3339
from weighbridge.watch.news import Judgement, Kind, News
from weighbridge.watch.state import Checked, Seen, Watch, WatchBook, key_of

POLICY = 'name = "watched"\nextends = "balanced"\n'
LINK = "https://evil.example/click"
EMPTY = "acme/never-looked"
QUIET = "acme/quiet"
TAKEN = "acme/taken"
HOSTILE_MODEL = "zoo/hostile"


@dataclass
class Shown:
    """A catalog over a home that watches a Hub, what its board is made from, and who may come in."""

    place: Place
    gateway: Gateway
    watched: WatchedHere
    taken: News
    visits: dict[str, Visit] = field(default_factory=dict)

    def visit(self, models: str = "*") -> Visit:
        """Somebody with an access token for some models."""
        if models not in self.visits:
            scope, name = Scope(models=(models,)), f"reader-{len(self.visits)}"
            secret, _ = create_token(self.gateway.sources.ledger, name, scope, lifetime=timedelta(days=1), actor="ada")
            self.gateway.tokens.refresh()
            self.visits[models] = Visit(self.gateway)
            self.visits[models].with_token(secret)
        return self.visits[models]

    def text(self, visit: Visit, path: str = "/updates", **asked: str) -> str:
        """A page as it was sent."""
        answer = visit.ask(f"{path}?{urlencode(asked)}")
        assert answer.status == 200
        return answer.data.decode()


def tell(book: WatchBook, name: str, kind: Kind, **more: object) -> News:
    """News of a model, told as a round tells them, and so now where they are a condition."""
    model = ModelName.parse(name)
    news = replace(News(kind, model, now_rfc3339(), f"{name} has {kind.value}"), **more)  # type: ignore[arg-type]
    checked = book.checked(model)
    conditions = (checked.conditions if checked else frozenset()) | {key_of(news)}
    book.record_look(model, Checked(now_rfc3339(), "main", Seen(commit="b" * 40), conditions), actor="me")
    assert book.tell(news, actor="me")
    return news


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder, sock = tmp_path_factory.mktemp("updates"), free_socket()
    with place(folder, POLICY) as here:
        here.publish(TAKEN)
        take_over(here.hub.repositories[TAKEN], "code")
        (taken,) = here.look(TAKEN)
        book = here.around.book
        for name in (EMPTY, QUIET, HOSTILE_MODEL, "zoo/gone"):
            book.add(Watch(ModelName.parse(name), "main" if name != HOSTILE_MODEL else "next"), actor="me")
        book.record_look(ModelName.parse(QUIET), Checked(now_rfc3339(), "main", Seen(commit="c" * 40)), actor="me")
        tell(
            book,
            HOSTILE_MODEL,
            Kind.TAG_MOVED,
            risk=Severity.CRITICAL,
            judgement=Judgement.NOTED,
            summary=f"{HOSTILE} {LINK} {REVERSED} {'long ' * 200}",
            reasons=(HOSTILE, LINK, "x" * 5_000, *("more" for _ in range(50))),
        )
        tell(book, "zoo/gone", Kind.DELETED, risk=Severity.MEDIUM, summary="zoo/gone is gone: renamed-to/secret-name")
        ledger = here.yard.ledger(writing=True)
        with Tokens(ledger) as tokens:
            watched = WatchedHere(ledger, here.yard.approved().address)
            sources = replace(sources_of(here.yard, speaks=False), watched=watched)
            doors = TokensDoor(tokens, ledger)
            settings = WebSettings(Sessions(b"k" * 32, secure=False), is_open=lambda _scope: True, doors=doors)
            found = routes(sources, settings)
            with serving(found, sock) as url:
                gateway = Gateway(url, here.yard.home, sources, tokens, "", list(found))
                yield Shown(here, gateway, watched, taken)


def order(html: str) -> list[str]:
    """The models of the list, in the order of its rows."""
    rows = re.findall(r'<th scope="row">(.*?)</th>', html, re.DOTALL)
    return [re.sub(r"<[^>]+>", "", row).split()[0] for row in rows]


# --- the list ---------------------------------------------------------------------------------------


def test_a_takeover_is_shown_held_with_its_request_and_its_reasons(shown: Shown) -> None:
    html = shown.text(shown.visit())
    (row,) = re.findall(r'<tr class="held">.*?</tr>', html, re.DOTALL)
    assert f'href="/models/{TAKEN}#upstream"' in row
    assert shown.taken.upstream[:12] in row
    assert "New revision" in row
    assert "modeling_tiny.py" in row
    assert "u-held" in row
    assert "high" in row
    assert "just now" in row
    (target,) = re.findall(r'href="(/requests[^"]+)"', row)
    assert target.endswith(f"#request-{shown.taken.request}")
    answer = shown.visit().ask(target.replace("&amp;", "&").partition("#")[0])
    assert f'id="request-{shown.taken.request}"' in answer.data.decode()
    assert "waits for a reviewer" in row


@each(
    ("asked", "names"),
    [
        ({}, [HOSTILE_MODEL, TAKEN, "zoo/gone"]),
        ({"order": "newest"}, ["zoo/gone", HOSTILE_MODEL, TAKEN]),
        ({"show": "held"}, [TAKEN]),
        ({"show": "noted"}, [HOSTILE_MODEL, "zoo/gone"]),
        ({"show": "passed"}, []),
        ({"show": "quiet"}, [EMPTY, QUIET]),
        ({"show": "all"}, [HOSTILE_MODEL, TAKEN, "zoo/gone", EMPTY, QUIET]),
        ({"risk": "high"}, [HOSTILE_MODEL, TAKEN]),
        ({"q": "ZOO gone"}, ["zoo/gone"]),
        ({"q": "modeling_tiny"}, [TAKEN]),
        ({"q": HOSTILE, "show": HOSTILE, "risk": HOSTILE, "order": HOSTILE, "page": HOSTILE}, [HOSTILE_MODEL]),
        ({"q": "y" * 5_000}, []),
        ({"page": "99"}, [HOSTILE_MODEL, TAKEN, "zoo/gone"]),
    ],
)
def test_news_are_found_by_words_judgement_and_risk_the_gravest_first(
    shown: Shown, asked: dict[str, str], names: list[str]
) -> None:
    assert order(shown.text(shown.visit(), **asked)) == names


def test_what_strangers_wrote_is_bounded_text_and_leads_nowhere(shown: Shown) -> None:
    for path in ("/updates", "/updates?show=all"):
        html = shown.visit().ask(path).data.decode()
        main = html.partition("<main")[2]
        assert "&lt;img src=x" in main
        assert "<img" not in main
        assert "<script" not in main
        assert LINK in main
        assert 'href="http' not in main
        assert "\u202e" not in main
        assert "x" * 301 not in main
        assert "long " * (MAX_SUMMARY // 5) not in main
        assert len(html) < 40_000


def test_who_is_not_known_sees_that_something_happened_and_not_what(shown: Shown) -> None:
    nobody = Visit(shown.gateway)
    html = shown.text(nobody, show="all")
    assert order(html) == [HOSTILE_MODEL, TAKEN, "zoo/gone", EMPTY, QUIET]
    assert "Deleted" in html
    for hidden in ("modeling_tiny", "secret-name", LINK, "@next", "policy "):
        assert hidden not in html, hidden
    # Nor by asking whether it is there.
    assert order(shown.text(nobody, q="secret-name")) == []
    assert "modeling_tiny" not in shown.text(nobody, f"/models/{TAKEN}")
    assert "Log in to see" in shown.text(nobody, f"/models/{TAKEN}")


def test_a_token_shows_what_is_new_of_its_models_alone(shown: Shown) -> None:
    html = shown.text(shown.visit("zoo/*"), show="all")
    assert order(html) == [HOSTILE_MODEL, "zoo/gone"]
    assert "acme/" not in html.partition("<main")[2]
    assert "2 models watched, nothing held" in html


def test_a_gateway_that_is_not_open_shows_it_after_a_login(shown: Shown) -> None:
    sources = shown.gateway.sources
    settings = WebSettings(Sessions(b"k" * 32, secure=False), is_open=lambda _scope: False)
    with serving(routes(sources, settings), free_socket()) as url:
        answer = Visit(replace(shown.gateway, url=url)).ask("/updates?show=held")
    assert (answer.status, answer.headers["Location"]) == (303, "/login?next=%2Fupdates%3Fshow%3Dheld")


def test_who_watches_nothing_is_told_how(shown: Shown) -> None:
    sources = replace(shown.gateway.sources, watched=dict)
    settings = WebSettings(Sessions(b"k" * 32, secure=False), is_open=lambda _scope: True)
    with serving(routes(sources, settings), free_socket()) as url:
        visit = Visit(replace(shown.gateway, url=url))
        assert "weighbridge watch add org/name" in shown.text(visit)
        assert f"weighbridge watch add {TAKEN}" in shown.text(visit, f"/models/{TAKEN}")


def test_a_ledger_that_cannot_be_read_takes_away_no_page_but_this_one(shown: Shown) -> None:
    def unread() -> dict[ModelName, object]:
        raise StoreUnreachable("the ledger does not answer")

    sources = replace(shown.gateway.sources, watched=unread)  # type: ignore[arg-type]
    settings = WebSettings(Sessions(b"k" * 32, secure=False), is_open=lambda _scope: True)
    with serving(routes(sources, settings), free_socket()) as url:
        visit = Visit(replace(shown.gateway, url=url))
        assert visit.ask("/updates").status in (502, 503)
        assert "the ledger does not answer" in shown.text(visit, f"/models/{TAKEN}")


def test_the_gateway_of_a_home_shows_it(shown: Shown) -> None:
    chosen = Chosen("127.0.0.1", "http://127.0.0.1", False, ExposureFlags(allow_anonymous=True))
    with open_gateway(shown.place.yard, chosen) as opened, TestClient(opened.app, base_url=chosen.address) as client:
        assert TAKEN in order(client.get("/updates?show=held").text)


# --- a model's page ---------------------------------------------------------------------------------


def test_a_models_page_says_how_it_stands_to_upstream(shown: Shown) -> None:
    html = shown.text(shown.visit(), f"/models/{TAKEN}")
    section = html.partition('<section id="upstream"')[2].partition("</section>")[0]
    for words in ("main", "just now", shown.taken.upstream[:12], shown.taken.stored[:12], "New revision", "modeling_"):
        assert words in section, words


# --- what it costs ----------------------------------------------------------------------------------


def test_only_what_the_ledger_was_told_of_is_made_again(shown: Shown) -> None:
    watched, ledger = shown.watched, shown.place.yard.ledger(writing=True)
    before = watched()
    ledger.append("something.else", "acme/other", {}, actor="me")
    assert watched() is before
    book = shown.place.around.book
    name, other = ModelName.parse("acme/passing"), ModelName.parse(TAKEN)
    book.add(Watch(name), actor="me")
    after = watched()
    assert list(after) == sorted([*before, name])
    assert after[other] is before[other]
    for number in range(MAX_NEWS + 5):
        tell(book, str(name), Kind.TAG_MOVED, upstream=f"{number:040x}", summary=f"tag {number} moved")
    assert len(watched()[name].news) == MAX_NEWS
    book.remove(name, actor="me")
    assert list(watched()) == list(before)


def test_news_grow_old_without_an_event(shown: Shown) -> None:
    now = [now_rfc3339()]
    ledger = shown.place.yard.ledger()
    watched = WatchedHere(ledger, shown.place.yard.approved().address, clock=lambda: now[0])
    name = ModelName.parse(HOSTILE_MODEL)
    assert watched()[name].news
    now[0] = "2099-01-01T00:00:00Z"
    assert not watched()[name].news


def test_a_request_for_another_model_is_not_shown_to_who_may_not_see_that(shown: Shown) -> None:
    elsewhere = RequestBook(shown.gateway.sources.ledger).refresh().get(shown.taken.request)
    name = ModelName.parse("zoo/renamed")
    model = WatchedModel(name, "main", "", "", "", "", "", (WatchedNews("renamed", "", None, "held", "", (), 1),))
    board = Board(replace(shown.gateway.sources, watched=lambda: {name: model}), lambda _number: elsewhere)
    for sees, requests in ((lambda one: one.organisation == "zoo", [None]), (lambda _one: True, [elsewhere])):
        page = board.page({}, Visitor(name="ci", kind="token", sees=sees))
        told = page.context["told"]
        assert isinstance(told, list)
        assert [one.request for one in told] == requests


def test_what_a_newer_commit_superseded_is_linked_from_both_sides(shown: Shown) -> None:
    ledger, model = shown.place.yard.ledger(writing=True), ModelName.parse(TAKEN)
    book = RequestBook(ledger)
    before, _ = book.file(Asking(Wanted.of(model, "d" * 40), Source.WATCH, "watch"), after=ledger.last_sequence())
    book.supersede(model, shown.taken.upstream, after=ledger.last_sequence(), actor="watch")
    (row,) = re.findall(r'<tr class="held">.*?</tr>', shown.text(shown.visit()), re.DOTALL)
    assert re.search(rf'in place of <a href="/requests[^"]+#request-{before.number}">', row)
    listed = shown.text(shown.visit(), "/requests", state="superseded")
    (card,) = re.findall(rf'id="request-{before.number}".*?</article>', listed, re.DOTALL)
    assert shown.taken.upstream[:12] in card
    assert f"#request-{shown.taken.request}" in card
    assert "request.superseded" in shown.text(shown.visit(), "/audit", kind="request.superseded")


def test_every_judgement_has_its_words() -> None:
    assert set(JUDGEMENTS) == {one.value for one in Judgement}


@each(
    ("time", "said"),
    [
        ("2026-11-23T11:59:30Z", "just now"),
        ("2026-11-23T12:00:30Z", "just now"),
        ("2026-11-23T11:59:00Z", "1 minute ago"),
        ("2026-11-23T09:00:00Z", "3 hours ago"),
        ("2026-11-20T09:00:00Z", "3 days ago"),
        ("sometime", "sometime"),
        ("", ""),
    ],
)
def test_an_age_is_said_to_its_largest_unit(time: str, said: str) -> None:
    assert age(time, "2026-11-23T12:00:00Z") == said


# --- in a browser -----------------------------------------------------------------------------------


def test_the_list_can_be_read_by_everybody(shown: Shown) -> None:
    """Contrast, names, labels, headings; on a phone, by keyboard, on paper; and nothing runs."""
    visit = shown.visit()
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        context.set_default_timeout(1_000 * PATIENCE_SECONDS)
        cookies = [
            {"name": name, "value": value, "url": shown.gateway.url} for name, value in visit.cookies.items() if value
        ]
        context.add_cookies(cookies)  # type: ignore[arg-type]
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        for address in ("/updates?show=all", f"/models/{TAKEN}", "/updates?q=none"):
            page.goto(f"{shown.gateway.url}{address}")
            for summary in page.locator("main summary").all()[:3]:
                summary.click()
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                for width in (1280, 390):
                    page.set_viewport_size({"width": width, "height": 800})
                    assert page.evaluate(CHECK) == [], f"{address} at {width}, {scheme}"
        assert (page.title(), complaints) == ("Updates · weighbridge", [])
        page.goto(f"{shown.gateway.url}/updates")
        nav = page.get_by_role("navigation", name="Main").get_by_role("link", name="Updates")
        assert nav.get_attribute("aria-current") == "page"
        page.get_by_label("Search").focus()
        page.keyboard.type("taken")
        page.keyboard.press("Enter")
        page.wait_for_url("**q=taken**")
        assert page.locator("tbody tr.held").count() == 1
        # On a phone nothing has to be pushed aside, and on paper there is nothing to press.
        assert page.evaluate("(one => one.scrollWidth <= one.clientWidth)(document.querySelector('.sheet'))")
        page.emulate_media(media="print")
        assert not page.locator("form.filters").is_visible()
        context.close()
