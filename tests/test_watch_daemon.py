"""The daemon looks again and again, hears the Hub's calls without believing them, outlives errors and ends when told to."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.conftest import Command
from tests.support.hub import HubServer
from tests.support.in_process import InProcess
from tests.support.scripted import answer, scripted
from tests.support.sinks import SECRET, write_secrets
from tests.support.waiting import PATIENCE_SECONDS, eventually
from tests.test_watch_notify import OK, Office, news_of, webhook
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import ConfigError, Conflict, Interrupted, Malformed, Unreachable
from weighbridge.core.names import ModelName
from weighbridge.serve.server import listen
from weighbridge.watch import daemon as module
from weighbridge.watch import listening
from weighbridge.watch.daemon import Daemon, State, Terms, read_health
from weighbridge.watch.hub_webhook import HubWebhook, check_secret, model_of
from weighbridge.watch.listening import Listening, check_exposure, health_route
from weighbridge.watch.news import Kind, News
from weighbridge.watch.notices.followed import FollowedSinks
from weighbridge.watch.notify import Notifier
from weighbridge.watch.pokes import Pokes

# Rounds that break are meant to; the last of them may end when the next test has begun.
pytestmark = pytest.mark.filterwarnings("ignore:Exception in thread round:pytest.PytestUnhandledThreadExceptionWarning")
HUB_SECRET = "0123456789abcdef-the-hub-sends-this"
TINY, OTHER = ModelName("acme", "tiny"), ModelName("acme", "other")


def event_of(name: str = "acme/tiny", **more: Any) -> dict[str, Any]:
    """What the Hub sends when somebody pushed, payload version 3."""
    return {
        "event": {"action": "update", "scope": "repo.content"},
        "repo": {
            "type": "model",
            "name": name,
            "id": "621ffdc036468d709f17434d",
            "private": False,
            "url": {"web": f"https://huggingface.co/{name}", "api": f"https://huggingface.co/api/models/{name}"},
            "headSha": "c" * 40,
            "owner": {"id": "628b753283ef59b5be89e937"},
        },
        "updatedRefs": [{"ref": "refs/heads/main", "oldSha": "a" * 40, "newSha": "c" * 40}],
        "webhook": {"id": "6390e855e30d9209411de93b", "version": 3},
        **more,
    }


# --- what an event means -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "model"),
    [
        (event_of(), "acme/tiny"),
        (event_of(event={"action": "delete", "scope": "repo"}), "acme/tiny"),
        (event_of(event={"action": "update", "scope": "repo.config.dois"}), "acme/tiny"),
        (event_of(event={"action": "create", "scope": "discussion"}), None),
        (event_of(event={"action": "update", "scope": "repository"}), None),
        (event_of(event="repo"), None),
        (event_of(repo={"type": "dataset", "name": "acme/tiny"}), None),
        (event_of(repo={"type": "model", "name": "acme/../../etc"}), None),
        (event_of(repo={"type": "model", "name": ["acme/tiny"]}), None),
        (event_of(repo=[]), None),
        (event_of(updatedRefs=[{"ref": "refs/pr/1", "oldSha": None, "newSha": "d" * 40}]), None),
        (event_of(updatedRefs=[{"ref": "refs/pr/1"}, {"ref": "refs/heads/main"}]), "acme/tiny"),
        (event_of(updatedRefs="x"), "acme/tiny"),
        ({}, None),
    ],
)
def test_of_an_event_only_the_name_is_read(event: dict[str, Any], model: str | None) -> None:
    found = model_of(json.dumps(event).encode())
    assert (str(found) if found else None) == model


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'"' + b"x" * 300_000 + b'"'])
def test_an_event_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        model_of(body)


def test_many_calls_are_one_look_and_looks_lie_apart() -> None:
    now = [100.0]
    pokes = Pokes(gap_seconds=10, clock=lambda: now[0])
    for _ in range(50):
        pokes.poke(TINY)
    pokes.poke(OTHER)
    assert pokes.take() == [OTHER, TINY]
    assert pokes.take() == []
    pokes.poke(TINY)
    assert pokes.take() == []
    now[0] = 109.0
    pokes.looked([TINY])
    now[0] = 111.0
    assert pokes.take() == []  # a round looked in between: not yet, and not forgotten
    now[0] = 119.0
    assert pokes.take() == [TINY]


@pytest.mark.parametrize("secret", ["", "short", "x" * 1_025, "schlüssel-mit-umlauten", "tab\tand other things"])
def test_a_secret_that_the_hub_would_not_send_is_refused(secret: str) -> None:
    with pytest.raises(ConfigError):
        check_secret(secret)


# --- the server ----------------------------------------------------------------------------------


@dataclass
class Served:
    """A running server of a daemon."""

    port: int
    pokes: Pokes
    well: list[bool]

    def ask(
        self, method: str = "POST", path: str = "/webhooks/hub", *, body: Any = b"", **headers: str
    ) -> tuple[int, bytes]:
        """One request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        with contextlib.closing(connection):
            sent = body if isinstance(body, bytes) else json.dumps(body).encode()
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body=sent, headers=named)
            response = connection.getresponse()
            return response.status, response.read()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    pokes, well = Pokes(gap_seconds=0), [True]
    sock = listen("127.0.0.1", 0)
    served = Served(sock.getsockname()[1], pokes, well)
    routes = [
        HubWebhook(HUB_SECRET, lambda: frozenset({TINY}), pokes).route,
        health_route(lambda: (well[0], {"status": "ok" if well[0] else "late"})),
    ]
    with Listening(sock, routes, certificate=None, private_key=None):
        yield served


def test_with_the_secret_every_event_gets_the_same_answer(served: Served) -> None:
    answers = {
        served.ask(body=event_of(name), x_webhook_secret=HUB_SECRET)
        for name in ("acme/tiny", "acme/unknown", "acme/../x", "x" * 1_000)
    }
    answers.add(served.ask(body=event_of(event={"scope": "discussion"}), x_webhook_secret=HUB_SECRET))
    assert answers == {(202, b'{"status":"heard"}')}
    assert served.pokes.take() == [TINY]


@pytest.mark.parametrize("given", [None, "", "wrong", HUB_SECRET[:-1], HUB_SECRET + "x", "x" * 5_000])
def test_without_the_secret_nothing_is_heard(served: Served, given: str | None) -> None:
    headers = {} if given is None else {"x_webhook_secret": given}
    status, body = served.ask(body=event_of(), **headers)
    assert status == 401
    assert b"acme" not in body
    assert HUB_SECRET.encode() not in body
    assert served.pokes.take() == []


def test_the_secret_does_not_count_in_the_address(served: Served) -> None:
    assert served.ask(path=f"/webhooks/hub?secret={HUB_SECRET}", body=event_of())[0] == 401


def test_what_is_too_large_or_no_event_is_refused(served: Served) -> None:
    large = event_of(comment={"content": "x" * 300_000})
    assert served.ask(body=large, x_webhook_secret=HUB_SECRET)[0] == 413
    assert served.ask(body=b"{", x_webhook_secret=HUB_SECRET)[0] == 400
    assert served.ask("GET", x_webhook_secret=HUB_SECRET)[0] == 405
    assert served.ask("GET", "/other")[0] == 404
    assert served.pokes.take() == []


def test_health_is_told_in_a_status(served: Served) -> None:
    assert served.ask("GET", "/healthz") == (200, b'{"status":"ok"}')
    served.well[0] = False
    assert served.ask("GET", "/healthz")[0] == 503
    served.well[0] = True


def test_a_flood_is_slowed_down_and_health_still_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    # However slowly this machine asks, nothing is granted meanwhile.
    monkeypatch.setattr(listening, "RATES", replace(listening.RATES, per_second=0.001))
    sock = listen("127.0.0.1", 0)
    served = Served(sock.getsockname()[1], Pokes(gap_seconds=0), [True])
    refused: list[int] = []
    hook = HubWebhook(HUB_SECRET, frozenset, served.pokes, refused=refused.append)
    routes = [hook.route, health_route(lambda: (True, {}))]
    with Listening(sock, routes, certificate=None, private_key=None):
        statuses = [served.ask(body=b"{}", x_webhook_secret="guess")[0] for _ in range(80)]
        assert statuses == [401] * 60 + [429] * 20
        assert served.ask("GET", "/healthz")[0] == 200
    assert refused == [1]  # the log is no way to fill a disk


def test_beyond_this_machine_the_secret_wants_tls() -> None:
    check_exposure("127.0.0.1", tls=False, plain_http=False)
    check_exposure("0.0.0.0", tls=True, plain_http=False)
    check_exposure("0.0.0.0", tls=False, plain_http=True)
    with pytest.raises(ConfigError, match="in the clear"):
        check_exposure("0.0.0.0", tls=False, plain_http=False)


# --- the loop ------------------------------------------------------------------------------------

Round = Callable[[Sequence[ModelName], threading.Event], Iterator[News]]


@dataclass
class Script:
    """Rounds as a test wants them, one function for each; the last one again and again."""

    rounds: Sequence[Round]
    asked: list[list[str]] = field(default_factory=list)
    fail: int = 0

    def watched(self) -> frozenset[ModelName]:
        """Two models."""
        return frozenset({TINY, OTHER})

    def failing(self) -> int:
        """As many as the test says."""
        return self.fail

    def look(self, model_names: Sequence[ModelName], cancelled: threading.Event) -> Iterator[News]:
        """The next of them."""
        self.asked.append([str(one) for one in model_names])
        return self.rounds[min(len(self.asked), len(self.rounds)) - 1](model_names, cancelled)


@dataclass
class Heard:
    """What a daemon said."""

    events: queue.SimpleQueue[tuple[str, str]] = field(default_factory=queue.SimpleQueue)

    def event(self, name: str, words: str, record: Mapping[str, JsonValue]) -> None:
        """Keeps it."""
        json.dumps(record)
        self.events.put((name, words))

    def wait(self, name: str, seconds: float = PATIENCE_SECONDS) -> str:
        """The words of the next event of that name."""
        end = time.monotonic() + seconds
        while True:
            found, words = self.events.get(timeout=max(0.01, end - time.monotonic()))
            if found == name:
                return words


@contextlib.contextmanager
def going(
    script: Script, *, interval: float = 0.1, health: Path | None = None, notifier: Notifier | None = None
) -> Iterator[tuple[Daemon, Heard]]:
    """A daemon in a thread, until the end of the block; it must end by itself then."""
    heard = Heard()
    terms = Terms(interval, health)
    daemon = Daemon(script, notifier, Pokes(gap_seconds=0), heard, threading.Event(), terms)
    thread = threading.Thread(target=daemon.run, daemon=True)
    thread.start()
    try:
        yield daemon, heard
    finally:
        daemon.cancelled.set()
        thread.join(module.GRACE_SECONDS + 10)
        assert not thread.is_alive()


def quiet(_names: Sequence[ModelName], _cancelled: threading.Event) -> Iterator[News]:
    return iter(())


def telling(names: Sequence[ModelName], _cancelled: threading.Event) -> Iterator[News]:
    yield from (news_of(str(name)) for name in names)


def unreachable(_names: Sequence[ModelName], _cancelled: threading.Event) -> Iterator[News]:
    raise Unreachable("the Hub does not answer")


def busy(_names: Sequence[ModelName], _cancelled: threading.Event) -> Iterator[News]:
    raise Conflict("another process is in the middle of a round")


def test_a_model_that_breaks_the_round_keeps_no_other_from_being_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    def slowly(broken: threading.ExceptHookArgs) -> None:
        time.sleep(0.3)
        shown.append(broken.exc_type.__name__)

    monkeypatch.setattr(threading, "excepthook", slowly)

    def breaks(names: Sequence[ModelName], cancelled: threading.Event) -> Iterator[News]:
        if not names or OTHER in names:
            raise ZeroDivisionError("acme/other holds something that nobody foresaw")
        return telling(names, cancelled)

    with going(Script([breaks]), interval=60) as (daemon, heard):
        for number in (1, 2):
            assert "ZeroDivisionError" in heard.wait("trouble")
            # A round is over once its thread is: nothing of it is shown in the middle of what comes next.
            assert len(shown) >= number
        assert "acme/tiny: new-revision, held" in heard.wait("news")
        assert daemon.health()[0]


def test_errors_of_rounds_are_outlived_and_slow_the_daemon_down() -> None:
    script = Script([unreachable, unreachable, unreachable, quiet])
    with going(script) as (daemon, heard):
        for _ in range(3):
            assert "does not answer" in heard.wait("trouble")
        assert "0 news" in heard.wait("round")
        heard.wait("round")
        assert daemon.state.failed_rounds == 0
        assert daemon._bad == 0


@pytest.mark.parametrize(
    ("rounds", "fail", "least", "most"),
    [
        (quiet, 0, 90, 110),
        (quiet, 1, 90, 110),  # one of two models
        (quiet, 2, 180, 220),
        (unreachable, 0, 180, 220),
        (busy, 0, 13, 17),
    ],
)
def test_the_next_round_comes_when_it_should(rounds: Round, fail: int, least: float, most: float) -> None:
    begun = time.monotonic()
    with going(Script([rounds], fail=fail), interval=100) as (daemon, heard):
        heard.wait("trouble" if rounds is not quiet else "round")
        planned = eventually(lambda: daemon._next_round)
        assert least <= planned - begun
        assert planned - time.monotonic() <= most


def test_a_call_brings_a_look_at_that_model_alone() -> None:
    script = Script([quiet, telling])
    with going(script, interval=60) as (daemon, heard):
        heard.wait("round")
        daemon.pokes.poke(TINY)
        assert heard.wait("news").startswith("acme/tiny")
        heard.wait("round")
        assert script.asked == [[], ["acme/tiny"]]


def test_a_round_that_does_not_end_is_left_and_one_that_does_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.5)
    hang = threading.Event()

    def hangs(_names: Sequence[ModelName], _cancelled: threading.Event) -> Iterator[News]:
        hang.wait(4 * PATIENCE_SECONDS)
        return iter(())

    def obeys(_names: Sequence[ModelName], cancelled: threading.Event) -> Iterator[News]:
        cancelled.wait(4 * PATIENCE_SECONDS)
        raise Interrupted("the round was stopped")

    for rounds, whole in ((hangs, False), (obeys, True)):
        cancelled = threading.Event()
        daemon = Daemon(Script([rounds]), None, Pokes(gap_seconds=0), Heard(), cancelled)
        threading.Timer(0.2, cancelled.set).start()
        assert daemon.run() is whole
    hang.set()


def test_the_health_file_is_good_while_the_daemon_is(tmp_path: Path) -> None:
    file = tmp_path / "health.json"
    assert read_health(file) == (False, "no daemon has run in this home")
    with going(Script([quiet]), interval=60, health=file) as (_, heard):
        heard.wait("round")
        eventually(lambda: read_health(file)[0])
        assert read_health(file) == (True, "the daemon is ok")
        # Of later, and of before the clock was set back by a day, it says nothing.
        assert not read_health(file, now=lambda: "2199-01-01T00:00:00Z")[0]
        assert not read_health(file, now=lambda: "2026-01-01T00:00:00Z")[0]
    assert read_health(file) == (False, "the daemon is stopping")
    file.write_bytes(b"{")
    assert not read_health(file)[0]


def test_who_is_told_is_read_again_and_a_bad_file_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GLANCE_SECONDS", 0.05)
    office, health = Office(tmp_path), tmp_path / "health.json"
    file = office.folder / "sinks.toml"
    with (
        scripted(OK) as server,
        going(Script([quiet]), interval=60, health=health, notifier=office.notifier("")) as (daemon, heard),
    ):
        heard.wait("round")
        daemon.sinks = FollowedSinks(file, needed=False)
        file.write_text(webhook(server.address))
        assert "1 sink" in heard.wait("sinks")

        def told_of(kind: Kind) -> None:
            office.happens(news_of(kind=kind))
            daemon.pokes.poke(TINY)
            assert "told 'siem'" in heard.wait("notice")

        told_of(Kind.DELETED)

        def pipe() -> None:
            file.unlink()
            os.mkfifo(file)

        for spoil, kind in (
            (lambda: file.write_text("[[webhook]]\nname = 7\n"), Kind.RENAMED),
            (pipe, Kind.TAG_MOVED),
            (file.unlink, Kind.CLOSED),
        ):
            spoil()
            assert str(file) in heard.wait("trouble")
            told_of(kind)
            assert daemon.health()[0], "to be ended for that would tell nobody"
            well, words = read_health(health)
            assert (well, "sinks" in words) == (True, True)
        while not heard.events.empty():
            assert heard.events.get()[0] != "trouble", "it is said once"
        file.write_text("")
        assert "0 sinks" in heard.wait("sinks")
        assert daemon.health()[1]["status"] == "ok"
        eventually(lambda: read_health(health) == (True, "the daemon is ok"))
        # What was news meanwhile is owed to whoever comes back.
        office.happens(news_of(kind=Kind.FLAGGED))
        daemon.pokes.poke(TINY)
        heard.wait("round")
        file.write_text(webhook(server.address))
        assert "told 'siem'" in heard.wait("notice")
    assert len(server.asked) == 5


def test_a_daemon_that_is_stuck_is_not_well_whatever_the_clock_says() -> None:
    long = time.monotonic() - module.MAX_ROUND_SECONDS - 1
    for state, since, planned, well in (
        (State("2026-01-01T00:00:00Z"), 0.0, 0.0, True),
        (State("2026-01-01T00:00:00Z", round_since="2199-01-01T00:00:00Z"), long, 0.0, False),
        (State("2026-01-01T00:00:00Z", next_round_at="2199-01-01T00:00:00Z"), 0.0, long, False),
        # The clock was set forward, or back.
        (State("2026-01-01T00:00:00Z", next_round_at="2026-01-01T00:00:00Z"), 0.0, time.monotonic() + 60, True),
        (State("2026-01-01T00:00:00Z", round_since="2026-01-01T00:00:00Z"), time.monotonic(), 0.0, True),
    ):
        daemon = Daemon(Script([quiet]), None, Pokes(gap_seconds=0), Heard(), threading.Event())
        daemon.state, daemon._round_since, daemon._next_round = state, since, planned
        assert daemon.health()[0] is well


# --- the process ---------------------------------------------------------------------------------

SMALL = ("--without", "secrets", "--without", "malware", "--fail-on", "never")


@dataclass
class Process:
    """A daemon, run as a user runs it, with its lines."""

    process: subprocess.Popen[str]
    lines: queue.SimpleQueue[dict[str, Any]]
    said: list[str]

    def wait(self, event: str, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """The next event of that name."""
        end = time.monotonic() + seconds
        while True:
            try:
                found = self.lines.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no '{event}':\n{''.join(self.said)}") from None
            if found["event"] == event:
                return found

    def end(self) -> int:
        """Ends it, which must not take long; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)


@contextlib.contextmanager
def daemon_of(command: Command, *options: str) -> Iterator[Process]:
    """A daemon over a home, until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "weighbridge", "watch", "daemon", "--json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=command.environ(),
    )
    made = Process(process, queue.SimpleQueue(), [])

    def read_out() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            made.said.append(line)
            made.lines.put(json.loads(line))

    def read_err() -> None:
        assert process.stderr is not None
        made.said.extend(process.stderr)

    readers = [threading.Thread(target=read, daemon=True) for read in (read_out, read_err)]
    for reader in readers:
        reader.start()
    try:
        yield made
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for reader in readers:
            reader.join(5)


def test_a_daemon_hears_a_push_looks_at_once_tells_and_ends(on_hub: Command, hub: HubServer) -> None:
    files = {"README.md": b"---\nlicense: apache-2.0\n---\n# Tiny\n", "config.json": b'{"model_type": "llama"}'}
    repository = hub.repository("acme/tiny")
    repository.commit(files)
    on_hub("ingest", "hf://acme/tiny", *SMALL)
    on_hub("watch", "add", "acme/tiny")
    write_secrets(on_hub.home)
    (on_hub.home / "hub.secret").write_text(HUB_SECRET)
    on_hub.environment.update(
        {
            "WEIGHBRIDGE_WATCH_WEBHOOK_SECRET_FILE": str(on_hub.home / "hub.secret"),
            "WEIGHBRIDGE_WATCH_WEBHOOK_GAP_SECONDS": "0",
            "WEIGHBRIDGE_WATCH_REJUDGE": "0",
        }
    )
    with scripted(answer(status="401 Unauthorized")) as sink:
        (on_hub.home / "sinks.toml").write_text(webhook(sink.address))
        with daemon_of(on_hub, "--interval", "1h", "--listen", "127.0.0.1:0") as daemon:
            started = daemon.wait("watching")
            assert (started["models"], started["sinks"], started["interval_seconds"]) == (1, 1, 3_600)
            served = Served(int(started["address"].rpartition(":")[2]), Pokes(gap_seconds=0), [])
            assert daemon.wait("round")["news"] == 0
            assert served.ask("GET", "/healthz")[0] == 200
            assert read_health(on_hub.home / "watch-health.json") == (True, "the daemon is ok")
            assert "runs in this home already" in on_hub("watch", "daemon", code=1).err

            commit = repository.commit({**files, "modeling.py": b"import os\nos.system('id')\n"})
            # What the event says of commits is not believed; that there is something to see is.
            assert served.ask(body=event_of(headSha="e" * 40), x_webhook_secret=HUB_SECRET)[0] == 202
            news = daemon.wait("news")["news"]
            assert (news["kind"], news["upstream"]) == ("new-revision", commit)
            assert daemon.wait("notice")["delivered"] is False
            sink.answers = [OK]
            repository.commit({**files, "modeling.py": b"import os\nos.system('ls')\n"})
            served.ask(body=event_of("acme/unknown"), x_webhook_secret=HUB_SECRET)
            served.ask(body=event_of(), x_webhook_secret=HUB_SECRET)
            told = [daemon.wait("notice") for _ in range(2)]
            assert [one["delivered"] for one in told] == [True, True]

            assert daemon.end() == 0, "".join(daemon.said)
        assert read_health(on_hub.home / "watch-health.json") == (False, "the daemon is stopping")
        # What one round tells by hand is told as well.
        repository.commit({**files, "modeling.py": b"import os\nos.system('ps')\n"})
        assert "1 notices were handed over" in on_hub("watch", "run").err
    ids = [asked.headers["webhook-id"] for asked in sink.asked]
    assert len(ids) == 4
    assert ids[0] == ids[1]
    assert Webhook(SECRET).verify(sink.asked[1].body, sink.asked[1].headers) == news
    said = "".join(daemon.said)
    assert not any(secret in said for secret in (HUB_SECRET, SECRET, "sesame"))
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (("--listen", "127.0.0.1:0"), {}, "needs the secret"),
        (("--listen", "127.0.0.1"), {}, "is no address"),
        (("--listen", "0.0.0.0:0"), {"WEIGHBRIDGE_WATCH_WEBHOOK_SECRET_FILE": "SECRET"}, "in the clear"),
        (("--interval", "soon"), {}, "is no time"),
        (("--interval", "1s"), {}, "must lie between 10"),
        (("--tls-cert", "x.pem"), {}, "go together"),
        ((), {"WEIGHBRIDGE_WATCH_SINKS": "missing.toml"}, "cannot be read"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_watched(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    words: str,
) -> None:
    (tmp_path / "secret").write_text(HUB_SECRET)
    for name, value in environment.items():
        monkeypatch.setenv(name, str(tmp_path / "secret") if value == "SECRET" else value)
    assert words in InProcess(tmp_path / "home")("watch", "daemon", *arguments, code=2).err
