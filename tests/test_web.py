"""The web catalog: read by people in a real browser, acted on by those who may, and attacked by those who may not."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import urllib3
from playwright.sync_api import Browser, BrowserContext, Page

from tests.conftest import Command
from tests.support.admission import new_key
from tests.support.browser import (
    RunningProvider,
    chromium,
    free_socket,
    provider,
    serving,
    sources_of,
)
from tests.support.cases import each
from tests.support.safetensors_corpus import described
from tests.support.waiting import PATIENCE_SECONDS, eventually
from weighbridge.admit.people import Role, add_person, oidc_login
from weighbridge.attest.keys import LocalKey
from weighbridge.cli.console import Output
from weighbridge.cli.settings import Home
from weighbridge.cli.yard import OpenYard
from weighbridge.core.names import ModelName
from weighbridge.serve.token_store import Tokens, create_token, revoke_token
from weighbridge.serve.tokens import Scope
from weighbridge.serve.web import BACK, HEADERS, WebSettings, is_catalog, routes
from weighbridge.serve.web_data import Filter, WebSources, events_before
from weighbridge.serve.web_movements import CommandMovements
from weighbridge.serve.web_oidc import OpenIdLogin, Provider
from weighbridge.serve.web_session import Sessions, own_path
from weighbridge.serve.web_tokens import TokensDoor
from weighbridge.wire.http import Http

HOSTILE = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>"
REVERSED = "safe\u202etxt.exe"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def named(**cases: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """As `each`, for cases with a name and one value."""
    return each("case", list(cases.values()), list(cases))


@dataclass
class Gateway:
    """A gateway over a filled home, and who may come in."""

    url: str
    home: Home
    sources: WebSources
    tokens: Tokens
    issuer: str
    routes: list[object]
    revisions: dict[str, str] = field(default_factory=dict)

    def page(self, model: str, more: str = "") -> str:
        """The address of a model's revision."""
        return f"{self.url}/models/{model}/{self.revisions[model]}{more}"

    def kinds(self, model: str) -> list[str]:
        """What the ledger says happened to a model's revision."""
        events = self.sources.ledger.events(subject=f"{model}@{self.revisions[model]}")
        return [event.kind for event in events]


def fill(weighbridge: Command, folder: Path, issuer: str) -> dict[str, str]:
    """Models that are approved, waiting, unknown and bad; reviewers; and a gateway that may pass on their words."""
    found = {}
    more: dict[str, dict[str, bytes]] = {
        "zoo/poisoned-llm": {
            "weights.pkl": b"cposix\nsystem\n(S'id'\ntR.",
            "config.json": b'{"auto_map": {"AutoModel": "modeling_poisoned.PoisonedLanguageModelForCausalLanguageModelling"}}',
        },
    }
    names = ("acme/tiny-chat", "acme/speech-base", "acme/walked", "zoo/poisoned-llm")
    for name in names:
        model = folder / name
        model.mkdir(parents=True)
        (model / "README.md").write_text(f"---\nlicense: apache-2.0\n---\n# {name}\n")
        (model / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
        (model / "model.safetensors").write_bytes(described())
        for path, data in more.get(name, {}).items():
            (model / path).write_bytes(data)
        ran = weighbridge("ingest", str(model), "--as", name, "--fail-on", "never", "--json", code=None)
        found[name] = str(ran.event("ingested")["revision"])
        if name in more:
            weighbridge("decide", name, code=None)
    admit_people(Home(weighbridge.home), issuer)
    weighbridge("approve", "acme/tiny-chat", "--person", "ada", "--reason", "ran the evaluation")
    weighbridge("promote", "acme/tiny-chat", "--channel", "production")
    (folder / "acme/tiny-chat/README.md").write_text("---\nlicense: apache-2.0\n---\n# acme/tiny-chat\nMore words.\n")
    newer = weighbridge("ingest", str(folder / "acme/tiny-chat"), "--as", "acme/tiny-chat", "--json")
    found["acme/tiny-chat"] = str(newer.event("ingested")["revision"])
    return found


def admit_people(home: Home, issuer: str) -> None:
    """An admin with a key in the home, a reviewer and a requester whom the provider knows, and the gateway."""
    key = new_key()
    home.people.mkdir(parents=True, mode=0o700)
    with OpenYard(home, Output(quiet=True)) as yard:
        ada = LocalKey.create(home.people / "ada.pem")
        people: tuple[tuple[str, Role, bytes, tuple[str, ...]], ...] = (
            ("ada", Role.ADMIN, ada.public_pem, ()),
            ("edge", Role.GATEWAY, yard.key.public_pem, ()),
            ("rita", Role.REVIEWER, key.public_pem, (oidc_login(issuer, "rita"),)),
            ("quentin", Role.REQUESTER, new_key().public_pem, (oidc_login(issuer, "quentin"),)),
        )
        for name, role, public, logins in people:
            ledger = yard.ledger(writing=True)
            add_person(ledger, name, public, roles=frozenset((role,)), logins=logins, admin=("ada", ada))


@pytest.fixture(scope="module")
def oidc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProvider]:
    with provider(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, oidc: RunningProvider) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("web")
    weighbridge = Command(folder / "home")
    revisions = fill(weighbridge, folder / "models", oidc.issuer)
    home, sock = Home(weighbridge.home), free_socket()
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
            movements=CommandMovements(home.path),
        )
        found = routes(sources, settings)
        with serving(found, sock) as address:
            assert address == url
            yield Gateway(url, home, sources, tokens, oidc.issuer, list(found), revisions)
    http.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    found = browser.new_context(ignore_https_errors=True, viewport={"width": 1280, "height": 800})
    found.set_default_timeout(1_000 * PATIENCE_SECONDS)
    yield found
    found.close()


@pytest.fixture(scope="module")
def kept(gateway: Gateway, browser: Browser) -> Any:
    """The cookies of a reviewer who logged in."""
    context = browser.new_context(ignore_https_errors=True)
    enter(context.new_page(), gateway, "rita")
    return context.storage_state()


@pytest.fixture
def rita(browser: Browser, kept: Any) -> Iterator[Page]:
    """A page of the reviewer's browser."""
    context = browser.new_context(storage_state=kept, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(1_000 * PATIENCE_SECONDS)
    yield context.new_page()
    context.close()


def enter(page: Page, gateway: Gateway, name: str, target: str = "/") -> None:
    """Logs in as somebody whom the provider knows."""
    page.goto(f"{gateway.url}/login?{urlencode({'next': target})}")
    page.get_by_role("link", name="Log in with single sign-on").click()
    page.locator("input[name=sub]").fill(name)
    page.get_by_role("button", name="Authorize").click()
    page.wait_for_url(f"{gateway.url}/**")


# --- in a browser ------------------------------------------------------------------------------------


def test_a_reviewer_approves_promotes_and_rolls_back(gateway: Gateway, context: BrowserContext) -> None:
    model, page = "acme/tiny-chat", context.new_page()
    enter(page, gateway, "rita", f"/models/{model}/{gateway.revisions[model]}")
    assert page.url == gateway.page(model)
    page.get_by_label("Why it may be used").fill("only words changed")
    page.get_by_role("button", name="Approve").click()
    assert "1 of 1 approvals" in str(page.get_by_role("status").text_content())
    assert "through edge" in str(page.locator("#decision").text_content())
    page.get_by_label("Why now").fill("for everybody")
    page.get_by_role("button", name="Promote").click()
    assert "@production points to it" in str(page.get_by_role("status").text_content())
    approved = gateway.sources.approved
    # What the signed index said is kept for half a second.
    eventually(lambda: approved.channels(ModelName.parse(model)).get("production") == gateway.revisions[model])
    page.goto(f"{gateway.url}/models/{model}")
    page.locator("summary", has_text="Roll back").click()
    page.get_by_label("Why back").fill("it talks too much")
    page.get_by_role("button", name="Roll @production back").click()
    page.get_by_role("status").wait_for()
    eventually(lambda: approved.channels(ModelName.parse(model))["production"] != gateway.revisions[model])
    moved = list(gateway.sources.ledger.events(kinds=("channel.set",)))[-1]
    assert (moved.actor, moved.payload["reason"]) == ("rita", "it talks too much")


def test_the_whole_way_by_keyboard_alone(gateway: Gateway, rita: Page) -> None:
    page = rita
    page.goto(f"{gateway.url}/queue")

    def reach(words: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "(() => { const one = document.activeElement, label = one.labels && one.labels[0]; const at ="
                " getComputedStyle(one); return [(one.textContent || '') + (label ? label.textContent : ''),"
                " at.outlineStyle !== 'none' && parseFloat(at.outlineWidth) >= 2]; })()"
            )
            if words in focused[0]:
                assert focused[1], f"nothing shows that '{words}' has the focus"
                return
        raise AssertionError(f"the keyboard does not reach '{words}'")

    reach("Skip to the content")
    page.keyboard.press("Enter")
    reach("acme/walked")
    page.keyboard.press("Enter")
    page.wait_for_url("**/models/acme/walked/*")
    reach("Why it may not be used")
    page.keyboard.type("not by my keyboard")
    reach("Reject")
    page.keyboard.press("Enter")
    assert "You rejected acme/walked" in str(page.get_by_role("status").text_content())
    assert gateway.kinds("acme/walked")[-1] == "revision.rejected"


def every_page(gateway: Gateway) -> list[str]:
    poisoned, chat = gateway.page("zoo/poisoned-llm"), gateway.page("acme/tiny-chat", "/diff")
    words = (
        "/",
        "/?q=nothing-fits",
        "/queue",
        "/queue?show=all",
        "/audit",
        "/ingests",
        "/rules?q=pickle",
        "/models/acme/tiny-chat",
    )
    rest = ("/rules/pickle-dangerous-callable", "/models/no/such")
    return [f"{gateway.url}{one}" for one in (*words, *rest)] + [poisoned, chat]


CHECK = """
() => {
  const said = [];
  const seen = (one) => one.checkVisibility && one.checkVisibility({opacityProperty: true, visibilityProperty: true});
  const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; })
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (one) => { for (; one; one = one.parentElement) { const c = rgb(getComputedStyle(one).backgroundColor);
    if (c.length === 3 || c[3] === 1) return c; } return [255, 255, 255]; };
  for (const one of document.querySelectorAll("body *")) {
    const words = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!words || !seen(one) || one.closest(".away, .skip, option, datalist")) continue;
    const style = getComputedStyle(one), a = luminance(rgb(style.color)), b = luminance(ground(one));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) said.push(`contrast ${ratio.toFixed(2)}: ${one.tagName}.${one.className} ${one.textContent.trim().slice(0, 30)}`);
  }
  const one = (what, count) => { if (document.querySelectorAll(what).length !== count) said.push(`${what} is not there ${count} time(s)`); };
  one("main", 1); one("h1", 1); one("body > header", 1); one("body > footer", 1); one('nav[aria-label="Main"]', 1);
  if (document.documentElement.lang !== "en") said.push("no language");
  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
    if (!field.labels.length) said.push(`no label: ${field.outerHTML.slice(0, 80)}`);
  for (const thing of document.querySelectorAll("a, button, summary"))
    if (!(thing.getAttribute("aria-label") || thing.textContent).trim()) said.push(`no name: ${thing.outerHTML.slice(0, 80)}`);
  for (const nav of document.querySelectorAll("nav")) if (!nav.getAttribute("aria-label")) said.push("a nav without a name");
  for (const table of document.querySelectorAll("table")) {
    if (!table.caption) said.push("a table without a caption");
    if ([...table.querySelectorAll("th")].some((th) => !th.scope)) said.push("a header without a scope");
  }
  const ids = [...document.querySelectorAll("[id]")].map((thing) => thing.id);
  if (new Set(ids).size !== ids.length) said.push("an id twice");
  let level = 1;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4")) { const now = Number(heading.tagName[1]);
    if (now > level + 1) said.push(`a heading skipped: ${heading.textContent}`); level = now; }
  if (document.documentElement.scrollWidth > innerWidth) said.push(`wider than the window by ${document.documentElement.scrollWidth - innerWidth}`);
  return said;
}
"""


def test_every_page_can_be_read_by_everybody(gateway: Gateway, rita: Page) -> None:
    """Contrast, names, labels, landmarks, headings; and nothing that the policy of the page had to stop."""
    complaints: list[str] = []
    rita.on("console", lambda message: complaints.append(message.text))
    rita.on("pageerror", lambda error: complaints.append(str(error)))
    titles = set()
    for address in every_page(gateway):
        rita.goto(address)
        titles.add(rita.title())
        for scheme in SCHEMES:
            rita.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            for width in (1280, 390):
                rita.set_viewport_size({"width": width, "height": 800})
                assert rita.evaluate(CHECK) == [], f"{address} at {width}, {scheme}"
    assert len(titles) >= 9
    assert [one for one in complaints if "404" not in one] == []


def test_what_strangers_wrote_is_shown_and_never_run(gateway: Gateway, rita: Page) -> None:
    page = rita
    ledger, revision = gateway.sources.ledger, gateway.revisions["acme/speech-base"]
    payload = {"model": "acme/speech-base", "revision": revision, "reason": HOSTILE}
    ledger.append("revision.noted", f"acme/speech-base@{HOSTILE}", payload, actor=HOSTILE)
    ledger.append("revision.noted", f"acme/speech-base@{revision}", {"reason": REVERSED}, actor="x" * 200)
    for address in (
        f"{gateway.url}/audit",
        f"{gateway.url}/audit?{urlencode({'subject': HOSTILE, 'actor': HOSTILE, 'kind': HOSTILE})}",
        f"{gateway.url}/?{urlencode({'q': HOSTILE, 'channel': HOSTILE, 'page': HOSTILE})}",
        f"{gateway.url}/queue?{urlencode({'show': HOSTILE, 'said': HOSTILE})}",
        f"{gateway.url}/rules/{HOSTILE.replace('/', '')}",
        gateway.page("acme/speech-base") + f"?{urlencode({'said': HOSTILE, 'done': HOSTILE})}",
    ):
        page.goto(address)
        assert page.evaluate("document.querySelectorAll('img, main script').length") == 0, address
        assert "pwned" not in page.title()
    page.goto(f"{gateway.url}/audit")
    shown = str(page.locator("main").text_content())
    assert "onerror=" in shown
    assert "safe\\u202etxt.exe" in shown
    assert "\u202e" not in shown


def test_what_is_coming_in_is_shown_while_it_comes(gateway: Gateway, rita: Page) -> None:
    from weighbridge.transfer.journal import Journal

    page = rita
    page.goto(f"{gateway.url}/ingests")
    assert "Nothing is coming in" in str(page.locator("main").text_content())
    journal = Journal(gateway.home.journals, "a" * 32, started_at="2026-11-23T09:00:00Z", part_bytes=8)
    try:
        page.get_by_text("Name not known yet").wait_for()
    finally:
        journal.close()
        (gateway.home.journals / f"{'a' * 32}.jsonl").unlink()


# --- what is shown to whom ---------------------------------------------------------------------------


class Visit:
    """A client that keeps cookies and follows nothing."""

    def __init__(self, gateway: Gateway) -> None:
        self._url = gateway.url
        self._pool = urllib3.PoolManager()
        self.cookies: dict[str, str] = {}

    def ask(
        self, path: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> urllib3.BaseHTTPResponse:
        """GET, or POST of a form as this server's own page sends it."""
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        body = None
        if form is not None:
            sent |= {"Origin": self._url, "Content-Type": "application/x-www-form-urlencoded"}
            body = urlencode(form)
        method = "GET" if form is None else "POST"
        answer = self._pool.request(
            method, self._url + path, headers={**sent, **(headers or {})}, body=body, redirect=False, retries=False
        )
        for cookie in answer.headers.getlist("Set-Cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def code(self, path: str = "/login") -> str:
        """The code of this session's forms."""
        found = re.search(r'name="code" value="([^"]+)"', self.ask(path).data.decode())
        return found[1] if found else ""

    def with_token(self, token: str, target: str = "/") -> urllib3.BaseHTTPResponse:
        """Logs in with an access token."""
        return self.ask("/login", {"code": self.code(), "token": token, "next": target})


@pytest.fixture
def visit(gateway: Gateway) -> Visit:
    return Visit(gateway)


def token(gateway: Gateway, name: str, *models: str) -> str:
    secret, _ = create_token(
        gateway.sources.ledger, name, Scope(models=models), lifetime=timedelta(days=1), actor="ada"
    )
    gateway.tokens.refresh()
    return secret


def test_nobody_sees_anything_before_a_login(gateway: Gateway, visit: Visit) -> None:
    chat = urlsplit(gateway.page("acme/tiny-chat")).path
    for path in ("/", "/queue", "/audit", "/ingests", "/rules", "/models/acme/tiny-chat", chat, f"{chat}/diff"):
        answer = visit.ask(path)
        assert (answer.status, answer.headers["Location"]) == (303, f"/login?{urlencode({'next': path})}")
    assert visit.ask(f"/records{chat.removeprefix('/models')}/manifest.json").status == 303
    assert visit.with_token("hf_" + "x" * 40).status == 403


def test_a_token_shows_its_models_until_it_is_revoked_and_never_acts(gateway: Gateway, visit: Visit) -> None:
    entered = visit.with_token(token(gateway, "acme-readers", "acme/*"))
    assert (entered.status, entered.headers["Location"]) == (303, "/")
    shown = visit.ask("/").data.decode()
    assert "tiny-chat" in shown
    assert "poisoned" not in shown
    assert visit.ask(urlsplit(gateway.page("zoo/poisoned-llm")).path).status == 404
    audit = visit.ask("/audit").data.decode()
    assert "acme/tiny-chat" in audit
    assert "poisoned" not in audit
    assert "rita" not in visit.ask("/audit?kind=person.added").data.decode().partition("<table")[2]
    order = {"code": visit.code("/"), "model": "acme/speech-base", "reason": "let me"}
    answer = visit.ask("/acts/approve", {**order, "revision": gateway.revisions["acme/speech-base"]})
    assert answer.status == 403
    assert "revision.approved" not in gateway.kinds("acme/speech-base")
    revoke_token(gateway.sources.ledger, "acme-readers", actor="ada")
    gateway.tokens.refresh()
    assert visit.ask("/").status == 303


def test_models_are_found_by_words_verdict_stage_and_channel(gateway: Gateway, visit: Visit) -> None:
    visit.with_token(token(gateway, "finder", "*"))

    def found(**asked: str) -> set[str]:
        table = visit.ask(f"/?{urlencode(asked)}").data.decode().partition("<tbody>")[2]
        return set(re.findall(r'<th scope="row"><a href="/models/([^"]+)"', table))

    assert len(found()) == 4
    assert found(q="TINY acme") == {"acme/tiny-chat"}
    assert found(verdict="bad") == {"zoo/poisoned-llm"}
    assert found(stage="approved") == found(channel="production") == {"acme/tiny-chat"}
    assert found(q="zoo", stage="approved") == set()


def test_a_revision_tells_its_findings_files_and_records(gateway: Gateway, visit: Visit) -> None:
    visit.with_token(token(gateway, "reader", "*"))
    path = urlsplit(gateway.page("zoo/poisoned-llm")).path
    shown = visit.ask(path).data.decode()
    for words in ("pickle-dangerous-callable", "weights.pkl", "What to do", "denied", "posix.system"):
        assert words in shown
    record = visit.ask(f"/records{path.removeprefix('/models')}/manifest.json")
    assert json.loads(record.data)["model"] == "zoo/poisoned-llm"
    assert record.headers["Content-Disposition"].startswith("attachment")
    for name in ("../../x", "%2e%2e/%2e%2e/people", "seal.dsse.json%00", "nothing.json", "%0d%0aX-Evil:1"):
        assert visit.ask(f"/records{path.removeprefix('/models')}/{name}").status == 404, name


def test_events_are_told_newest_first_however_they_are_paged(gateway: Gateway) -> None:
    ledger = gateway.sources.ledger
    every = list(ledger.events())
    assert ledger.last_sequence() == every[-1].sequence == len(every)
    before, told = 0, []
    while True:
        page = events_before(ledger, Filter(kind="revision.decided"), before=before, count=2)
        told += page.events
        if not page.older:
            break
        before = page.older
    assert told == [one for one in reversed(every) if one.kind == "revision.decided"]


# --- attacks -----------------------------------------------------------------------------------------


def test_every_answer_carries_the_headers_that_keep_others_out(gateway: Gateway, visit: Visit) -> None:
    css = re.findall(r'href="(/static/[^"]+)"', visit.ask("/login").data.decode())[0]
    for path in ("/login", "/", "/queue", "/rules/none", css, "/static/web/none", "/login/oidc"):
        answer = visit.ask(path)
        for name in ("Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options", "Referrer-Policy"):
            assert answer.headers[name] == HEADERS[name], (path, name)
    policy = HEADERS["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


@named(
    no_code={"form": {"code": ""}},
    code_of_another={"form": {"code": "other"}},
    foreign_page={"headers": {"Origin": "https://evil.example"}},
    sandboxed_page={"headers": {"Origin": "null"}},
    said_by_the_browser={"headers": {"Sec-Fetch-Site": "same-site"}},
    sent_as_text={"headers": {"Content-Type": "text/plain"}},
    too_long={"form": {"reason": "x" * 20_000}},
)
def test_a_form_of_somebody_elses_page_does_nothing(gateway: Gateway, case: dict[str, dict[str, str]]) -> None:
    visit = Visit(gateway)
    visit.with_token(token(gateway, f"csrf-{time.monotonic_ns()}", "*"))
    other = Visit(gateway)
    form = {
        "code": visit.code("/"),
        "model": "acme/speech-base",
        "revision": "1" * 40,
        "reason": "x",
        **case.get("form", {}),
    }
    if form["code"] == "other":
        form["code"] = other.code()
    before = gateway.sources.ledger.last_sequence()
    for act in ("/acts/approve", "/acts/reject", "/acts/promote", "/acts/rollback", "/logout"):
        assert visit.ask(act, form, case.get("headers")).status == 403, act
    assert gateway.sources.ledger.last_sequence() == before
    assert visit.ask("/").status == 200  # and the logout did nothing either


def test_nobody_is_logged_in_by_somebody_elses_form(gateway: Gateway) -> None:
    secret = token(gateway, "attackers", "*")
    attacker, victim = Visit(gateway), Visit(gateway)
    code = attacker.code()
    assert victim.ask("/login", {"code": code, "token": secret}).status == 403
    victim.code()
    assert victim.ask("/login", {"code": code, "token": secret}).status == 403
    assert victim.ask("/").status == 303


def test_a_session_is_new_after_a_login_and_over_after_a_logout(gateway: Gateway, visit: Visit) -> None:
    code = visit.code()
    before = dict(visit.cookies)
    visit.ask("/login", {"code": code, "token": token(gateway, "fixed", "*")})
    assert visit.cookies != before
    kept = dict(visit.cookies)
    assert visit.ask("/").status == 200
    assert visit.ask("/logout", {"code": visit.code("/")}).status == 303
    visit.cookies = kept
    assert visit.ask("/").status == 303
    for forged in ("x", kept["weighbridge"][:-2], kept["weighbridge"] + "A", "." * 5_000, "e30.x"):
        visit.cookies = {"weighbridge": forged}
        assert visit.ask("/").status == 303


@named(
    another_server="https://evil.example/",
    no_scheme="//evil.example",
    backslash="/\\evil.example",
    three="///evil.example",
    later="/a//evil.example",
    script="javascript:alert(1)",
    header="/x\r\nSet-Cookie: a=b",
    hidden="/\t/evil.example",
    credentials="https:/@evil.example",
    unicode="/\u2215evil.example",
    nothing="",
)
def test_nobody_is_sent_elsewhere_after_a_login(gateway: Gateway, case: str) -> None:
    assert own_path(case) == "/"
    visit = Visit(gateway)
    answer = visit.with_token(token(gateway, f"sent-{time.monotonic_ns()}", "*"), case)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert own_path("/audit?kind=x") == "/audit?kind=x"


def test_an_approval_is_about_what_the_page_showed(gateway: Gateway, rita: Page) -> None:
    page = rita
    page.goto(gateway.page("acme/speech-base"))
    page.evaluate("document.querySelector('input[name=decision]').value = '0'.repeat(64)")
    page.get_by_label("Why it may be used").fill("fine")
    page.get_by_role("button", name="Approve").click()
    assert "changed since you looked" in str(page.locator("main").text_content())
    assert "revision.approved" not in gateway.kinds("acme/speech-base")


def test_words_of_a_form_are_words_and_no_options(gateway: Gateway, kept: Any) -> None:
    visit = Visit(gateway)
    visit.cookies = {one["name"]: one["value"] for one in kept["cookies"] if one["name"] == "weighbridge"}
    known = gateway.revisions["acme/speech-base"]
    form = {"code": visit.code("/"), "model": "acme/speech-base", "revision": known, "reason": "because"}
    before = gateway.sources.ledger.last_sequence()
    for more in (
        {"reason": "a\x00b"},
        {"reason": "a\nb"},
        {"reason": " "},
        {"reason": "x" * 2_001},
        {"channel": "../production"},
        {"channel": "--help"},
        {"channel": ""},
        {"model": "--help"},
        {"model": "acme/../acme"},
        {"revision": "main"},
        {"revision": "f" * 40, "channel": "production"},
    ):
        for act in ("promote", "rollback")[: 1 if "revision" in more else 2]:
            answer = visit.ask(f"/acts/{act}", {**form, **more})
            assert answer.status in (400, 403, 404), (act, more)
            assert b"Traceback" not in answer.data
    assert visit.ask("/acts/burn", form).status == 404
    assert gateway.sources.ledger.last_sequence() == before


def test_who_is_no_reviewer_has_no_buttons_and_no_acts(gateway: Gateway, context: BrowserContext) -> None:
    page, address = context.new_page(), urlsplit(gateway.page("acme/speech-base")).path
    for name in ("quentin", "nobody-in-particular"):
        enter(page, gateway, name, address)
        assert page.locator("form.act").count() == 0
        code = page.locator("input[name=code]").first.get_attribute("value")
        status = page.evaluate(
            "async (form) => (await fetch('/acts/reject', {method: 'POST', body: new URLSearchParams(form)})).status",
            {
                "code": code,
                "model": "acme/speech-base",
                "revision": gateway.revisions["acme/speech-base"],
                "reason": "x",
            },
        )
        assert status == 403
        context.clear_cookies()


def test_the_catalog_takes_no_path_of_the_protocol(gateway: Gateway) -> None:
    ours = is_catalog(gateway.routes)  # type: ignore[arg-type]

    def scope(path: str, method: str = "GET") -> dict[str, object]:
        return {"type": "http", "path": path, "method": method, "root_path": "", "headers": []}

    for path in ("/", "/queue", "/models/acme/tiny", f"/models/acme/tiny/{'a' * 40}"):
        assert ours(scope(path)), path
    for path in ("/api/models", "/api/models/acme/tiny", "/acme/tiny/resolve/main/config.json", "/healthz", "/metrics"):
        assert not ours(scope(path)), path
    assert not ours(scope("/models/x/resolve/main/config.json"))
    assert not ours(scope("/", "POST"))


# --- the provider ------------------------------------------------------------------------------------


def test_a_login_asks_for_a_code_that_only_this_browser_can_use(gateway: Gateway, visit: Visit) -> None:
    answer = visit.ask("/login/oidc")
    asked = {name: value[0] for name, value in parse_qs(urlsplit(answer.headers["Location"]).query).items()}
    assert (asked["response_type"], asked["code_challenge_method"], asked["scope"]) == (
        "code",
        "S256",
        "openid profile",
    )
    assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) >= 43
    assert visit.ask("/login/oidc").headers["Location"] != answer.headers["Location"]
    stranger = Visit(gateway)
    back = f"{BACK}?{urlencode({'code': 'c', 'state': asked['state']})}"
    assert stranger.ask(back).status == 403
    assert visit.ask(back).status != 303  # the state of a login that was begun again since
    assert visit.ask(f"{BACK}?state=x&error={HOSTILE.replace(' ', '+')}").data.count(b"<img") == 0
