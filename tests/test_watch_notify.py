"""News reach those who asked for them: signed, readable, never anybody's tool, at least once and not for ever."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.in_process import InProcess
from tests.support.scripted import answer, scripted
from tests.support.sinks import LOGIN, PASSWORD, SECRET, OwnTls, mail_server, own_tls, write_secrets
from tests.support.waiting import PATIENCE_SECONDS, eventually
from weighbridge.core.config import TransferSettings
from weighbridge.core.errors import ConfigError
from weighbridge.core.finding import Severity
from weighbridge.core.names import ModelName
from weighbridge.store.ledger import Ledger
from weighbridge.watch.news import Judgement, Kind, News
from weighbridge.watch.notices.owed import CLAIMED, SETTLED
from weighbridge.watch.notices.sending import Notice, Sending
from weighbridge.watch.notices.sinks import Sink, read_sinks
from weighbridge.watch.notices.wording import letter, slack_message, subject
from weighbridge.watch.notify import Handing, Notifier, Told
from weighbridge.watch.state import NEWS
from weighbridge.wire.outbound import Outbound

QUICK = TransferSettings(attempts=3, retry_wait_seconds=0.01, retry_wait_limit_seconds=0.05)
SCHEMA = json.loads((Path(__file__).parents[1] / "docs/reference/news.schema.json").read_text(encoding="utf-8"))
HOSTILE = (
    "<!channel> <@U123> <https://evil.example/approve|Approve here> `code` *bold* @here & [click](https://evil.example)"
    "\r\nBcc: everybody@example.org\r\n\r\n\u202egnp.exe hf_abcdefghijklmnop"
)
OK = answer(b"ok")
DOWN = answer(b"no", status="503 Service Unavailable")


def news_of(name: str = "acme/tiny", **more: Any) -> News:
    """News with everything in it."""
    given: dict[str, Any] = {
        "kind": Kind.NEW_REVISION,
        "model_name": ModelName.parse(name),
        "seen_at": "2026-11-23T12:00:00Z",
        "summary": "the tokenizer was remapped",
        "judgement": Judgement.HELD,
        "stored": "a" * 40,
        "upstream": "b" * 40,
        "risk": Severity.HIGH,
        "reasons": ("tokenizer-remapped: 3 tokens stand for others",),
        "request": 17,
        "details": {"files": 1},
    }
    return News(**{**given, **more})


class Office:
    """A ledger, a folder with files of sinks, and a clock that a test moves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = "2026-11-23T12:00:00Z"
        folder.mkdir(parents=True, exist_ok=True)
        self.ledger = Ledger(
            f"sqlite:///{folder / 'ledger.sqlite'}",
            head_path=folder / "head.json",
            signer=None,
            clock=lambda: self.now,
        )
        write_secrets(folder)

    def notifier(self, text: str, *, holder: str = "here") -> Notifier:
        """What a daemon that starts now has, in a home of its own for each holder."""
        handing = Handing(_sinks(self, text), _sending(), patience=QUICK)
        lock = self.folder / f"{holder}.lock"
        made = Notifier(
            self.ledger, handing, actor="watch", holder=holder, lock=lock, keep_hours=72, clock=lambda: self.now
        )
        made.begin()
        return made

    def happens(self, news: News) -> None:
        """A round tells."""
        self.ledger.append(NEWS, str(news.model_name), news.to_json(), actor="watch")

    def settled(self) -> list[dict[str, Any]]:
        """What the ledger says of notices."""
        return [dict(event.payload) for event in self.ledger.events(kinds=(SETTLED,))]


def _sinks(office: Office, text: str) -> tuple[Sink, ...]:
    file = office.folder / "sinks.toml"
    file.write_text(text)
    return read_sinks(file)


def _sending() -> Sending:
    return Sending(Outbound(user_agent="weighbridge-test", read_seconds=PATIENCE_SECONDS))


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path / "office")
    yield made
    made.ledger.close()


@pytest.fixture(autouse=True)
def own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the tester's own proxies and authorities leaks in."""
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> OwnTls:
    return own_tls(tmp_path_factory.mktemp("tls"))


def webhook(address: str, name: str = "siem", more: str = "") -> str:
    return f'[[webhook]]\nname = "{name}"\nurl = "{address}/hooks?token=sesame"\nsecret_file = "hook.secret"\nprivate = true\n{more}\n'


def mail(port: int, security: str, more: str = f'login = "{LOGIN}"\npassword_file = "mail.password"') -> str:
    return (
        f'[[email]]\nname = "mail"\nhost = "localhost"\nport = {port}\nsecurity = "{security}"\nprivate = true\n'
        f'from = "weighbridge@example.org"\nto = ["ada@example.org", "sec@example.org"]\n{more}\n'
    )


def chat(office: Office, address: str) -> str:
    (office.folder / "chat.url").write_text(f"{address}/services/T000/B000/sesame\n")
    return '[[slack]]\nname = "chat"\nurl_file = "chat.url"\nprivate = true\n'


def tell(notifier: Notifier) -> Told:
    return notifier.tell(threading.Event())


# --- webhooks ------------------------------------------------------------------------------------


def test_a_webhook_gets_news_that_an_independent_verifier_takes(office: Office) -> None:
    with scripted(OK) as server:
        notifier = office.notifier(webhook(server.address))
        office.happens(news_of())
        told = tell(notifier)
    (asked,) = server.asked
    assert (told.delivered, told.owed) == (1, 0)
    assert asked.line == "POST /hooks?token=sesame HTTP/1.1"
    assert asked.headers["content-type"] == "application/json"
    record = Webhook(SECRET).verify(asked.body, asked.headers)
    assert record == json.loads(json.dumps(news_of().to_json()))
    jsonschema.Draft202012Validator(SCHEMA).validate(record)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(asked.body.replace(b"held", b"good"), asked.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(asked.body, {**asked.headers, "webhook-id": "another"})


def test_a_sink_that_was_down_gets_its_news_later_under_the_same_id_and_once(office: Office) -> None:
    with scripted(DOWN) as server:
        text = webhook(server.address)
        notifier = office.notifier(text)
        office.happens(news_of())
        office.happens(news_of(kind=Kind.TAG_MOVED))
        told = tell(notifier)
        assert (told.delivered, told.owed) == (0, 2)
        assert ["503" in one.words for one in told.outcomes] == [True]  # the second notice waits for the first
        assert len(server.asked) == QUICK.attempts
        server.answers = [OK]
        again = office.notifier(text)  # a new process: what is owed is in the ledger
        assert tell(again).delivered == 2
        assert tell(again).delivered == 0
        assert tell(office.notifier(text)).delivered == 0
    ids = [asked.headers["webhook-id"] for asked in server.asked]
    assert len(ids) == QUICK.attempts + 2
    assert len(set(ids)) == 2
    assert ids[0] == ids[QUICK.attempts]
    assert [one["delivered"] for one in office.settled()] == [["siem"], ["siem"]]


def test_news_are_given_up_after_a_while_and_that_is_said(office: Office) -> None:
    with scripted(DOWN) as server:
        notifier = office.notifier(webhook(server.address))
        office.happens(news_of())
        office.now = "2026-11-26T11:59:59Z"
        assert not any(one.given_up for one in tell(notifier).outcomes)
        office.now = "2026-11-26T12:00:01Z"
        told = tell(notifier)
        assert [(one.given_up, one.delivered) for one in told.outcomes] == [(True, False)]
        assert told.owed == 0
        server.answers = [OK]
        assert tell(notifier).outcomes == []
    assert office.settled()[0]["given_up"] == ["siem"]


def test_news_that_nobody_could_be_told_for_days_are_still_tried_once(office: Office) -> None:
    with scripted(OK) as server:
        text = webhook(server.address)
        office.notifier(text)
        office.happens(news_of())
        office.now = "2026-12-20T12:00:00Z"
        assert tell(office.notifier(text)).delivered == 1
        office.happens(news_of(kind=Kind.DELETED))
        office.now = "2027-02-20T12:00:00Z"
        assert tell(office.notifier(text)).outcomes == []  # a sink that comes back is not flooded


def test_a_new_sink_is_not_told_the_history(office: Office) -> None:
    with scripted(OK) as server:
        office.happens(news_of())
        notifier = office.notifier(webhook(server.address))
        assert tell(notifier).outcomes == []
        office.happens(news_of(kind=Kind.DELETED))
        assert tell(notifier).delivered == 1
        other = office.notifier(webhook(server.address) + webhook(server.address, "late"))
        assert tell(other).outcomes == []


def test_of_two_homes_on_a_ledger_one_tells_and_the_other_takes_over_once_it_is_gone(office: Office) -> None:
    with scripted(OK) as server:
        text = webhook(server.address)
        here, there = office.notifier(text), office.notifier(text, holder="there")
        office.happens(news_of())
        # Both look at the ledger before either writes: the first claim in it counts.
        both = [(one, {"siem": list(one._owing.to(one.sinks[0]))}) for one in (here, there)]
        claimed = [one._owing.claim(owed, office.now) for one, owed in both]
        assert [len(one["siem"]) for one in claimed] == [1, 0]
        told = tell(there)
        assert (told.outcomes, told.owed) == ([], 1)
        assert server.asked == []
        # The first is gone without a word: for no longer than its lease nobody tells.
        office.now = "2026-11-23T12:04:59Z"
        assert tell(there).owed == 1
        office.now = "2026-11-23T12:05:01Z"
        assert tell(there).delivered == 1
        assert tell(here).outcomes == []
        # A clock that is years ahead claims nothing for years.
        office.now = "2036-11-23T12:00:00Z"
        office.happens(news_of(kind=Kind.DELETED))
        here._owing.claim({"siem": list(here._owing.to(here.sinks[0]))}, office.now)
        office.now = "2026-11-23T12:06:00Z"
        assert tell(there).delivered == 1
        unreadable: tuple[dict[str, Any], ...] = (
            {},
            {"holder": 1, "sinks": []},
            {"holder": "x", "sinks": {"siem": ["1", None, 7]}},
        )
        for payload in unreadable:
            office.ledger.append(CLAIMED, "notices", payload, actor="watch")
        office.happens(news_of(kind=Kind.RENAMED))
        assert tell(here).delivered == 1
    ids = [asked.headers["webhook-id"] for asked in server.asked]
    assert len(ids) == len(set(ids)) == 3


def test_homes_that_tell_at_the_same_moment_tell_once(office: Office, tmp_path: Path) -> None:
    with scripted(OK) as server:
        text = webhook(server.address)
        office.notifier(text)
        for kind in (Kind.DELETED, Kind.RENAMED, Kind.CLOSED):
            office.happens(news_of(kind=kind))
        together = threading.Barrier(4)

        def tells(holder: str) -> None:
            notifier = office.notifier(text, holder=holder)
            together.wait(30)
            notifier.tell(threading.Event())

        # Two of them are processes of one home, which tell one after another.
        threads = [threading.Thread(target=tells, args=(holder,)) for holder in ("here", "here", "there", "yonder")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    ids = [asked.headers["webhook-id"] for asked in server.asked]
    assert len(ids) == len(set(ids)) == 3


def test_one_sink_that_hangs_keeps_no_other_waiting_and_ends_with_the_daemon(office: Office) -> None:
    cancelled = threading.Event()
    with scripted(answer(b"", length=0, ending="stall"), OK) as server, scripted(OK) as other:
        server.answers = [replace(OK, data=b"", ending="stall")]
        notifier = office.notifier(webhook(server.address, "hangs") + webhook(other.address, "quick"))
        office.happens(news_of())

        def cancel() -> None:
            eventually(office.settled)
            cancelled.set()

        ending = threading.Thread(target=cancel)
        ending.start()
        told = notifier.tell(cancelled)  # waited for to its end, the one that hangs would be an outcome as well
        ending.join()
        assert [(one.sink, one.delivered) for one in told.outcomes] == [("quick", True)]
        assert told.owed == 1
    assert office.settled()[0]["delivered"] == ["quick"]


@pytest.mark.parametrize(
    ("status", "extra", "tries", "words"),
    [
        ("302 Found", ["Location: http://169.254.169.254/latest/meta-data/"], 1, "redirects are not followed"),
        ("401 Unauthorized", [], 1, "answered 401"),
        ("429 Too Many Requests", ["Retry-After: 86400"], 1, "asks to wait 86400 seconds"),
        ("500 Internal Server Error", [], 3, "answered 500"),
    ],
)
def test_what_a_webhook_answers_is_judged(
    office: Office, status: str, extra: list[str], tries: int, words: str
) -> None:
    with scripted(answer(b"secret words of the other side", status=status, headers=extra)) as server:
        notifier = office.notifier(webhook(server.address))
        office.happens(news_of())
        (outcome,) = tell(notifier).outcomes
        assert not outcome.delivered
        assert words in outcome.words
        assert "secret words" not in outcome.words
        assert len(server.asked) == tries


def test_a_webhook_over_tls_must_be_who_it_says(office: Office, tls: OwnTls, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(OK, tls=tls.context) as server:
        notifier = office.notifier(webhook(server.address.replace("127.0.0.1", "localhost")))
        office.happens(news_of())
        (outcome,) = tell(notifier).outcomes
        assert "could not be trusted" in outcome.words
        assert server.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))
        assert tell(notifier).delivered == 1
        assert server.asked[0].headers["host"] == server.address.replace("https://127.0.0.1", "localhost")


@pytest.mark.parametrize(
    ("address", "private", "words"),
    [
        ("https://169.254.169.254/", True, "nothing is ever sent to"),
        ("https://[fd00:ec2::254]/", True, "nothing is ever sent to"),
        ("https://[::ffff:169.254.169.254]/", True, "nothing is ever sent to"),
        ("https://0.0.0.0/", True, "nothing is ever sent to"),
        ("https://127.0.0.1/", False, "not a public address"),
        ("https://10.0.0.1/", False, "not a public address"),
        ("https://localhost/", False, "not a public address"),
        ("http://1.1.1.1/", True, "not https"),
    ],
)
def test_nothing_is_sent_to_where_only_we_could_reach(office: Office, address: str, private: bool, words: str) -> None:
    text = webhook(address).replace("private = true", f"private = {str(private).lower()}")
    notifier = office.notifier(text)
    office.happens(news_of())
    (outcome,) = tell(notifier).outcomes
    assert words in outcome.words


def test_a_connection_goes_to_the_address_that_was_judged(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = ["127.0.0.1", "127.0.0.2"]
    real = socket.getaddrinfo

    def changes_its_mind(host: str, *asked: Any, **more: Any) -> list[Any]:
        return real(answers.pop(0) if host == "sink.example" else host, *asked, **more)

    with scripted(OK) as server:
        port = server.address.rpartition(":")[2]
        (office.folder / "hook.url").write_text(f"http://sink.example:{port}/hooks\n")
        text = webhook("").replace('url = "/hooks?token=sesame"', 'url_file = "hook.url"')
        notifier = office.notifier(text)
        office.happens(news_of())
        with monkeypatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", changes_its_mind)
            assert tell(notifier).delivered == 1
    assert server.asked[0].headers["host"] == f"sink.example:{port}"
    assert answers == ["127.0.0.2"]  # asked once: what it would say next is nobody's business


def test_a_proxy_carries_notices_where_the_environment_names_one(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted(OK) as proxy:
        monkeypatch.setenv("http_proxy", proxy.address)
        for address in ("http://10.1.2.3", "http://169.254.169.254"):
            (outcome,) = Handing(_sinks(office, webhook(address)), _sending(), patience=QUICK).test(threading.Event())
            assert outcome.delivered is (address == "http://10.1.2.3"), outcome.words
    assert [asked.line for asked in proxy.asked] == ["POST http://10.1.2.3/hooks?token=sesame HTTP/1.1"]


# --- mail ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_goes_out_protected_and_with_a_login(
    office: Office, tls: OwnTls, monkeypatch: pytest.MonkeyPatch, security: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))
    with mail_server(tls, implicit=security == "tls") as box:
        notifier = office.notifier(mail(box.port, security))
        office.happens(news_of(summary=HOSTILE, reasons=(HOSTILE,)))
        (outcome,) = tell(notifier).outcomes
        assert outcome.delivered, outcome.words
    message = box.read()
    assert box.logins == [LOGIN]
    assert box.protected == [True]
    assert box.recipients == [["ada@example.org", "sec@example.org"]]
    assert message["Subject"] == "[weighbridge] held: acme/tiny: new revision (high)"
    assert message["To"] == "ada@example.org, sec@example.org"
    assert message["Bcc"] is None
    assert message["Auto-Submitted"] == "auto-generated"
    assert str(message["Message-ID"]).startswith("<news_")
    assert {name.lower() for name in message} == {
        *("from", "to", "subject", "date", "message-id", "auto-submitted", "mime-version", "content-type"),
        "content-transfer-encoding",
    }
    text = message.get_content()
    assert message.get_content_type() == "text/plain"
    assert "https://" not in text
    assert "\u202e" not in text
    assert "hf_abcdefghijklmnop" not in text
    assert "\nBcc" not in text
    assert "weighbridge requests show 17" in text


def test_a_mail_server_without_protection_or_with_another_name_gets_nothing(
    office: Office, tls: OwnTls, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mail_server() as box:
        notifier = office.notifier(mail(box.port, "starttls"))
        office.happens(news_of())
        (outcome,) = tell(notifier).outcomes
        assert "offers no STARTTLS" in outcome.words
        assert (box.logins, box.mails) == ([], [])
        assert tell(office.notifier(mail(box.port, "none", ""))).delivered == 1
    with mail_server(tls) as box:
        notifier = office.notifier(mail(box.port, "starttls").replace('"mail"', '"other"', 1))
        office.happens(news_of())
        (outcome,) = tell(notifier).outcomes
        assert "could not be trusted" in outcome.words
        assert box.logins == []


def test_a_mail_server_that_repeats_the_password_or_is_not_ready_is_told_of_by_number(
    office: Office, tls: OwnTls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))
    with mail_server(tls) as box:
        (office.folder / "mail.password").write_text("wrong-but-secret\n")
        notifier = office.notifier(mail(box.port, "starttls"))
        office.happens(news_of())
        (outcome,) = tell(notifier).outcomes
        assert outcome.words == f"localhost port {box.port} refused the login (535)"
        (office.folder / "mail.password").write_text(PASSWORD)
        box.answer = f"451 not now, {PASSWORD}"
        (outcome,) = tell(notifier).outcomes
        assert outcome.words == f"localhost port {box.port} refused the mail (451)"
        box.answer = ""
        assert tell(notifier).delivered == 1


# --- chat ----------------------------------------------------------------------------------------


def texts_of(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """All text objects of a message, and its own text."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield value["text"], value
        for inner in value.values():
            yield from texts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_of(inner)


def test_a_chat_gets_a_message_that_mentions_nobody_and_links_nowhere(office: Office) -> None:
    with scripted(OK) as server:
        notifier = office.notifier(chat(office, server.address))
        # Names may look like an address; nothing else fits into one.
        office.happens(news_of("evil.example/approve", summary=HOSTILE, reasons=(HOSTILE,) * 40, upstream=HOSTILE))
        assert tell(notifier).delivered == 1
    (asked,) = server.asked
    assert asked.line == "POST /services/T000/B000/sesame HTTP/1.1"
    assert asked.body.isascii()
    message = json.loads(asked.body)
    assert (message["parse"], message["link_names"], message["unfurl_links"]) == ("none", False, False)
    for text, where in texts_of(message):
        assert "<" not in text
        assert ">" not in text
        assert len(text) <= 3_000
        outside = "".join(text.split("`")[::2])  # what stands outside of code spans
        assert text.count("`") % 2 == 0
        for sign in ("@", "evil.example", "http", "[", "channel"):
            assert sign not in outside, text
        assert where.get("type") != "mrkdwn" or where["verbatim"] is True
    assert "&lt;!channel&gt;" in message["text"]


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_of_news_has_words(kind: Kind) -> None:
    news = news_of(kind=kind, risk=None, request=0, stored="", upstream="", reasons=(), summary="")
    assert subject(news).isascii()
    assert "Model:     acme/tiny" in letter(news)
    assert slack_message(news)["text"]
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(Notice("id", news).body()))


# --- who wants what ------------------------------------------------------------------------------

HELD = news_of()
README = news_of(judgement=Judgement.PASSED, risk=None)


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ("", (True, True)),
        ('lowest_risk = "none"', (True, True)),
        ('lowest_risk = "low"', (True, False)),
        ('lowest_risk = "critical"', (False, False)),
        ('judgements = ["passed"]', (False, True)),
        ('kinds = ["deleted"]', (False, False)),
        ('kinds = ["deleted", "new-revision"]', (True, True)),
        ('models = ["acme/*"]', (True, True)),
        ('models = ["other/*", "acme/tin"]', (False, False)),
    ],
)
def test_a_sink_is_told_what_it_wants(office: Office, more: str, wanted: tuple[bool, bool]) -> None:
    file = office.folder / "wants.toml"
    file.write_text(webhook("http://127.0.0.1", more=more))
    (sink,) = read_sinks(file)
    assert (sink.wanted.wants(HELD), sink.wanted.wants(README)) == wanted


def test_what_a_sink_did_not_want_is_not_told_once_it_wants_more(office: Office) -> None:
    with scripted(OK) as server:
        notifier = office.notifier(webhook(server.address, more='lowest_risk = "critical"'))
        office.happens(news_of())
        assert tell(notifier).outcomes == []
        assert office.settled()[0]["passed_over"] == ["siem"]
        assert tell(office.notifier(webhook(server.address))).outcomes == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[webhook]]\nname = 'a'\n", "'secret_file' is missing"),
        ("[[webhook]]\nname = 'a'\nsecret_file = 's'\n", "either 'url' or 'url_file'"),
        ("[[webhook]]\nname = 'a'\nurl = 'http://hook.example/sesame'\nsecret_file = 's'\n", "is not https"),
        (
            "[[webhook]]\nname = 'a'\nurl = 'https://u:sesame@hook.example'\nsecret_file = 's'\n",
            "a user name or a password",
        ),
        ("[[webhook]]\nname = 'a'\nurl = 'ftp://hook.example'\nsecret_file = 's'\n", "no http or https URL"),
        (
            "[[webhook]]\nname = 'a'\nurl = 'https://h'\nsecret_file = 's'\nlowest_risk = 'hgih'\n",
            "did you mean 'high'",
        ),
        (
            "[[webhook]]\nname = 'a'\nurl = 'https://h'\nsecret = 'sesame'\n",
            "there is no such key; did you mean 'secret_file'",
        ),
        ("[[slack]]\nname = 'a'\nurl = 'https://hooks.example/sesame'\n", "there is no such key"),
        ("[[slack]]\nname = 'a'\nurl_file = 'u'\n[[slack]]\nname = 'a'\nurl_file = 'u'\n", "another one has that name"),
        ("[[email]]\nname = 'a'\nhost = 'h'\nfrom = 'a@b'\nto = []\n", "must not be empty"),
        ('[[email]]\nname = "a"\nhost = "h"\nfrom = "a@b\\nBcc: c@d"\nto = ["a@b"]\n', "is no mail address"),
        ('[[email]]\nname = "a"\nhost = "h"\nfrom = "a@b"\nto = ["a@b, c@d"]\n', "is no mail address"),
        (
            '[[email]]\nname = "a"\nhost = "h"\nfrom = "a@b"\nto = ["a@b"]\nsecurity = "none"\n',
            "servers without a login",
        ),
        ('[[email]]\nname = "a"\nhost = "h"\nfrom = "a@b"\nto = ["a@b"]\nlogin = "x"\n', "go together"),
        ("[[pager]]\nname = 'a'\n", "there is no such key"),
        ("[[webhook]\n", "is not valid TOML"),
        ("webhook = 3\n", "must be a list"),
    ],
)
def test_a_file_that_says_something_impossible_is_refused_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "sinks.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_sinks(file)
    assert words in refused.value.message
    assert "sesame" not in refused.value.diagnostics()


# --- secrets, and the command --------------------------------------------------------------------


def test_the_command_sends_a_test_to_every_sink_and_says_what_happened(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: OwnTls
) -> None:
    for name, value in (("SSL_CERT_FILE", str(tls.authority)), ("WEIGHBRIDGE_DEBUG", "1")):
        monkeypatch.setenv(name, value)
    run = InProcess(tmp_path / "home")
    assert "nobody is to be told" in run("watch", "test-notify", code=2).err
    write_secrets(run.home)
    with scripted(OK) as good, scripted(answer(status="404 Not Found")) as bad, mail_server(tls) as box:
        (run.home / "chat.url").write_text(f"{bad.address}/services/sesame")
        (run.home / "sinks.toml").write_text(
            webhook(good.address, more='kinds = ["deleted"]')
            + mail(box.port, "starttls")
            + '[[slack]]\nname = "chat"\nurl_file = "chat.url"\nprivate = true\n'
        )
        ran = run("watch", "test-notify", code=1)
        shown = json.loads(run("watch", "test-notify", "--json", code=1).out)
        (run.home / "hook.secret").write_text("whsec_sesame-is-too-short")
        broken = run("watch", "test-notify", code=1)
    lines = [line.split("\t") for line in ran.out.splitlines()]
    assert [(line[0], line[1], line[3]) for line in lines] == [
        ("siem", "webhook", "ok"),
        ("mail", "email", "ok"),
        ("chat", "slack", "failed"),
    ]
    assert [one["delivered"] for one in shown["sinks"]] == [True, True, False]
    assert Webhook(SECRET).verify(good.asked[0].body, good.asked[0].headers)["details"] == {"test": True}
    assert box.read()["Subject"].startswith("[test] [weighbridge] ")
    assert "This is a test" in json.loads(bad.asked[0].body)["blocks"][0]["text"]["text"]
    assert "24 to 64 bytes" in broken.out
    for said in (ran.out, ran.err, json.dumps(shown), broken.out, broken.err):
        assert not any(secret in said for secret in ("sesame", PASSWORD, SECRET))


def test_no_secret_is_in_the_ledger_whatever_happens(office: Office) -> None:
    with scripted(DOWN) as server:
        text = webhook(server.address) + chat(office, server.address) + mail(1, "starttls")
        notifier = office.notifier(text)
        office.happens(news_of())
        office.now = "2026-12-10T00:00:00Z"
        told = tell(notifier)
        assert sorted(one.sink for one in told.outcomes if one.given_up) == ["chat", "mail", "siem"]
    office.ledger.close()
    said = (office.folder / "ledger.sqlite").read_bytes() + b"".join(one.words.encode() for one in told.outcomes)
    assert b"siem" in said
    assert not any(secret.encode() in said for secret in ("sesame", PASSWORD, SECRET, SECRET[6:]))


def test_news_of_any_size_are_sent_within_bounds() -> None:
    news = news_of(summary="x" * 10**6, reasons=("y" * 10**5,) * 100, details={"z": "z" * 10**6})
    body = Notice("id", news).body()
    assert len(body) < 256 * 1024
    assert json.loads(body)["details"] == {"cut": True}
    assert len(letter(news)) < 10_000
    assert len(json.dumps(slack_message(news))) < 10_000


def test_what_a_later_version_wrote_is_nobodys(office: Office) -> None:
    with scripted(OK) as server:
        notifier = office.notifier(webhook(server.address))
        office.ledger.append(NEWS, "acme/tiny", {**news_of().to_json(), "kind": "of-2030"}, actor="watch")
        office.ledger.append(SETTLED, "acme/tiny", {"news": "x"}, actor="watch")
        office.happens(news_of())
        assert tell(notifier).delivered == 1
