"""Requests: filed by clients that miss something, by people and by hand; settled by reviewers; done by promotion."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command
from tests.support.admission import new_key
from tests.support.cases import each
from tests.support.gateway import Answer, GatewayProcess, Shelf, running
from tests.support.waiting import PATIENCE_SECONDS, eventually
from weighbridge.admit.approvals import Speaker
from weighbridge.admit.asking import Asking, Repeat, Source, State, Wanted
from weighbridge.admit.people import Role, add_person, roster_of
from weighbridge.admit.requests import ACCEPTED, FILED, OPEN_EACH, REPEATED, SUPERSEDED, RequestBook
from weighbridge.attest.keys import LocalKey
from weighbridge.core.errors import ConfigError, Conflict, Denied
from weighbridge.core.names import ModelName
from weighbridge.serve.access import PERMIT, Permit
from weighbridge.serve.requesting import Pace, Requesting, address_class, may_ask
from weighbridge.serve.tokens import Action, Scope, Token
from weighbridge.store.ledger import Ledger

COMMIT = "1d86952e1cd81aed9a17ec35fa23e3506c305fff"
HIDDEN = "safe\u202etxt"


def info(gateway: GatewayProcess, name: str, *, token: str = "", **headers: str) -> Answer:
    """Asks for a model as the Hub's clients do."""
    sent = {**headers, **({"Authorization": f"Bearer {token}"} if token else {})}
    return gateway.ask(f"/api/models/{name}", headers=sent)


# --- the book ----------------------------------------------------------------------------------------


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", head_path=tmp_path / "head", signer=None) as opened:
        yield opened


@pytest.fixture
def people(ledger: Ledger, tmp_path: Path) -> dict[str, Speaker]:
    """An admin, a reviewer and a requester, each with a key."""
    ada = LocalKey.create(tmp_path / "ada.pem")
    keys = {"ada": ada, "rita": new_key(), "quentin": new_key()}
    for name, role in (("ada", Role.ADMIN), ("rita", Role.REVIEWER), ("quentin", Role.REQUESTER)):
        add_person(ledger, name, keys[name].public_pem, roles=frozenset((role,)), logins=(), admin=("ada", ada))
    return {name: Speaker(name, key) for name, key in keys.items()}


def wanted(name: str = "acme/new", ref: str = "") -> Wanted:
    return Wanted.of(ModelName.parse(name), ref)


def asking(name: str = "acme/new", ref: str = "", *, by: str = "token:ci", **more: Any) -> Asking:
    return Asking(wanted(name, ref), more.pop("source", Source.GATEWAY), by, **more)


def promoted(ledger: Ledger, name: str, channel: str, revision: str) -> None:
    """What the ledger is told when a channel is pointed to a revision."""
    payload = {"model": name, "channel": channel, "revision": revision, "manifest_digest": "", "previous": ""}
    ledger.append("channel.set", f"{name}@{channel}", {**payload, "act": "promote", "reason": ""}, actor="ada")


def test_what_is_asked_for_twice_is_one_request_in_every_process(ledger: Ledger) -> None:
    first, second = RequestBook(ledger), RequestBook(ledger)
    request, new = first.file(asking())
    again, newer = second.file(asking(ref="production", by="token:other"))
    assert (new, newer) == (True, False)
    assert again == request
    assert len(list(ledger.events(kinds=(FILED,)))) == 1


def test_two_processes_that_file_in_the_same_instant_make_one_request(ledger: Ledger) -> None:
    book = RequestBook(ledger)
    request, _ = book.file(asking())
    filed = next(ledger.events(kinds=(FILED,)))
    twin = ledger.append(FILED, filed.subject, {**filed.payload, "by": "token:late"}, actor="token:late")
    found = book.refresh().all()
    assert [one.number for one in found] == [request.number]
    assert (found[0].times, found[0].askers) == (2, ("token:ci", "token:late"))
    assert book.get(twin.sequence).number == request.number


def watched(name: str, commit: str) -> Asking:
    return asking(name, commit, by="watch", source=Source.WATCH, evidence={"judgement": "held"})


def test_a_newer_commit_supersedes_what_watching_asked_and_no_slower_look_undoes_that(
    ledger: Ledger, people: dict[str, Speaker]
) -> None:
    old, new, back = "1" * 40, "2" * 40, "3" * 40
    book, slow = RequestBook(ledger), RequestBook(ledger)
    roster = roster_of(ledger)
    first, _ = book.file(watched("acme/new", old), after=ledger.last_sequence())
    wished, _ = book.file(watched("acme/new", back), after=ledger.last_sequence())
    book.record_repeats([Repeat(wished.number, "token:ci", 1, "2026-11-23T12:00:00Z")], actor="gateway")
    other, _ = book.file(asking("acme/new", "4" * 40))
    elsewhere, _ = book.file(watched("acme/else", old), after=ledger.last_sequence())
    accepted, _ = book.file(watched("acme/new", "5" * 40), after=ledger.last_sequence())
    book.decide(accepted.number, people["rita"], roster, accepts=True, reason="")
    # A slow look, of another home, saw the old commit.
    began = ledger.last_sequence()
    second, _ = book.file(watched("acme/new", new), after=ledger.last_sequence())
    (closed,) = book.supersede(second.wanted.model_name, new, after=ledger.last_sequence(), actor="watch")
    assert (closed.number, closed.state) == (first.number, State.SUPERSEDED)
    assert closed.superseded is not None
    assert (closed.superseded.by, closed.superseded.request) == (new, second.number)
    assert slow.file(watched("acme/new", old), after=began) == (book.get(first.number), False)
    assert slow.supersede(second.wanted.model_name, old, after=began, actor="watch") == []
    # The same, by a process that knew of nothing when it wrote.
    payload: dict[str, Any] = {**next(ledger.events(kinds=(FILED,))).payload, "after": began}
    ledger.append(FILED, f"acme/new@{old}", payload, actor="watch")
    said: dict[str, Any] = {"request": second.number, "by": old, "by_request": 0, "after": began}
    ledger.append(SUPERSEDED, f"acme/new@{new}", said, actor="watch")
    ledger.append(SUPERSEDED, f"acme/new@{new}", {"request": "x"}, actor="watch")
    states = {one.number: one.state for one in RequestBook(ledger).refresh().all()}
    assert states == {
        first.number: State.SUPERSEDED,
        second.number: State.OPEN,
        **dict.fromkeys((wished.number, other.number, elsewhere.number), State.OPEN),
        accepted.number: State.ACCEPTED,
    }
    with pytest.raises(Conflict, match="superseded"):
        book.decide(first.number, people["rita"], roster, accepts=True, reason="")
    # A look that began since sees the old one again; and a person may ask for what watching asks for no longer.
    again, fresh = book.file(watched("acme/new", old), after=ledger.last_sequence())
    assert (again.number, again.state, fresh) == (first.number, State.OPEN, False)
    book.supersede(second.wanted.model_name, old, after=ledger.last_sequence(), actor="watch")
    mine, fresh = book.file(asking("acme/new", new, by="quentin", source=Source.PERSON))
    assert (mine.state, fresh, mine.number > second.number) == (State.OPEN, True, True)


@each(
    "ref, commands",
    [
        ("main", "ingest hf://NAME|production"),
        ("staging", "ingest hf://NAME|staging"),
        ("v1.2", "ingest hf://NAME@v1.2|v1.2"),
        (COMMIT, f"ingest hf://NAME@{COMMIT}|production"),
    ],
    ["main", "a channel that there is", "a tag", "a commit"],
)
def test_a_request_is_done_when_what_it_asked_for_is_promoted(ledger: Ledger, ref: str, commands: str) -> None:
    from weighbridge.admit.asking import next_steps

    promoted(ledger, "acme/old", "staging", "a" * 40)
    name = f"acme/new-{ref[:5]}"
    book = RequestBook(ledger)
    request, _ = book.file(asking(name, ref))
    steps = next_steps(request, is_channel=book.is_channel(request.wanted.ref))
    assert f"{' '.join(steps[0][1:])}|{steps[-1][-1]}" == commands.replace("NAME", name)
    promoted(ledger, "acme/other", request.wanted.channel or "production", COMMIT)
    promoted(ledger, name, "elsewhere", "b" * 40)
    assert book.refresh().get(request.number).state is State.OPEN
    promoted(ledger, name, request.wanted.channel or "production", COMMIT)
    done = book.refresh().get(request.number)
    assert (done.state, done.done_revision) == (State.DONE, COMMIT)
    assert RequestBook(ledger).refresh().all() == book.all()
    assert book.file(asking(name, ref))[1]


def test_only_reviewers_settle_requests_and_only_with_their_own_key(ledger: Ledger, people: dict[str, Speaker]) -> None:
    book, roster = RequestBook(ledger), roster_of(ledger)
    number = book.file(asking())[0].number
    for speaker in (people["quentin"], Speaker("rita", people["quentin"].signer), Speaker("nobody", new_key())):
        with pytest.raises(Denied):
            book.decide(number, speaker, roster, accepts=True, reason="")
    for reason in ("", " ", "a\nb", HIDDEN, "x" * 501):
        with pytest.raises(Denied):
            book.decide(number, people["rita"], roster, accepts=False, reason=reason)
    assert book.refresh().get(number).state is State.OPEN
    declined = book.decide(number, people["rita"], roster, accepts=False, reason="its licence", seen=State.OPEN)
    assert (declined.state, declined.word and declined.word.person) == (State.DECLINED, "rita")
    with pytest.raises(Conflict, match="declined by 'rita' since"):
        book.decide(number, people["ada"], roster, accepts=True, reason="", seen=State.OPEN)
    with pytest.raises(Conflict, match="already"):
        book.decide(number, people["ada"], roster, accepts=False, reason="me too")
    assert book.decide(number, people["ada"], roster, accepts=True, reason="").state is State.ACCEPTED
    promoted(ledger, "acme/new", "production", COMMIT)
    with pytest.raises(Conflict, match="is done"):
        book.decide(number, people["rita"], roster, accepts=False, reason="too late")


def test_what_was_declined_stays_so_until_somebody_asks_again(ledger: Ledger, people: dict[str, Speaker]) -> None:
    book = RequestBook(ledger)
    first = book.file(asking())[0]
    book.decide(first.number, people["rita"], roster_of(ledger), accepts=False, reason="no")
    assert book.file(asking(by="token:other")) == (book.get(first.number), False)
    second, new = book.file(asking(by="quentin", source=Source.PERSON, note="it has a licence now"), again=True)
    assert new
    assert second.number != first.number
    assert book.newest(wanted()) == second


def test_one_asker_fills_its_share_and_nobody_elses(ledger: Ledger) -> None:
    book, most = RequestBook(ledger), OPEN_EACH[Source.GATEWAY]
    for number in range(most):
        book.file(asking(f"made/up-{number}"))
    with pytest.raises(Denied, match=f"{most} open requests of token:ci"):
        book.file(asking("made/up-more"))
    assert book.file(asking("acme/real", by="token:other"))[1]
    assert book.file(asking("acme/real-2", by="token:ci", source=Source.PERSON))[1]
    assert len(book.all()) == most + 2


def test_a_watch_files_with_what_it_saw(ledger: Ledger) -> None:
    seen = {"revision": COMMIT, "previous": "a" * 40, "changed": ["model.safetensors"]}
    book = RequestBook(ledger)
    request, _ = book.file(asking(ref=COMMIT, by="watch", source=Source.WATCH, evidence=seen))
    assert RequestBook(ledger).refresh().get(request.number).asking.evidence == seen
    with pytest.raises(ConfigError, match="8192 bytes"):
        asking(evidence={"x": "y" * 9_000})
    with pytest.raises(ConfigError, match="no plain record"):
        asking(evidence={"x": {1.5}})


@each("ref", ["refs/pr/1", "../x", "Main", "a b", "a\nb", HIDDEN, "-x", "x" * 300, "abcdef", "--help"])
def test_a_ref_that_could_never_be_served_cannot_be_asked_for(ref: str) -> None:
    with pytest.raises(ConfigError) as error:
        wanted(ref=ref)
    assert error.value.message.isprintable()


@each(
    "change",
    [
        {"model": "no name"},
        {"ref": "refs/pr/1"},
        {"source": "elsewhere"},
        {"by": ""},
        {"by": HIDDEN},
        {"note": "a\nb"},
        {"evidence": []},
        {"again": "yes"},
    ],
)
def test_an_event_that_is_none_makes_no_request_and_harms_no_other(ledger: Ledger, change: dict[str, Any]) -> None:
    book = RequestBook(ledger)
    good, _ = book.file(asking())
    payload = next(ledger.events(kinds=(FILED,))).payload
    ledger.append(FILED, "acme/bad@main", {**payload, "model": "acme/bad", **change}, actor="x")
    ledger.append(FILED, "acme/bad@main", {}, actor="x")
    ledger.append(REPEATED, "requests", {"lines": [{"request": good.number}, 7]}, actor="x")
    ledger.append(
        REPEATED, "requests", {"lines": [{"request": 999, "by": "x", "times": 1, "last_at": "now"}]}, actor="x"
    )
    word: dict[str, Any] = {"request": good.number, "person": "x", "reason": "", "through": "", "login": ""}
    ledger.append(ACCEPTED, "acme/other@main", word, actor="x")
    assert book.refresh().all() == [good]
    assert RequestBook(ledger).refresh().all() == [good]


def test_counts_are_recorded_together(ledger: Ledger) -> None:
    book = RequestBook(ledger)
    one, two = book.file(asking())[0], book.file(asking("acme/two"))[0]
    book.record_repeats(
        [Repeat(one.number, "anonymous", 4, "2030-01-01T00:00:00Z"), Repeat(two.number, "token:ci", 1, two.first_at)],
        actor="gateway",
    )
    book.record_repeats([], actor="gateway")
    assert len(list(ledger.events(kinds=(REPEATED,)))) == 1
    counted = book.refresh().get(one.number)
    assert (counted.times, counted.last_at, counted.askers) == (5, "2030-01-01T00:00:00Z", ("token:ci", "anonymous"))


# --- by hand -----------------------------------------------------------------------------------------


def test_a_person_asks_and_a_reviewer_settles_by_the_command_line(weighbridge: Command) -> None:
    assert weighbridge("requests", "list", "--json").json == []
    asked = weighbridge("request", "acme/new", "--reason", "for the support desk", "--json").json
    assert (asked["new"], asked["state"], asked["ref"], asked["source"]) == (True, "open", "main", "person")
    number = str(asked["number"])
    assert "already" in weighbridge("request", "acme/new@main").err
    weighbridge("request", "acme/new@refs/pr/1", code=2)
    assert weighbridge("requests", "list", "--search", "NEW acme").out.startswith(f"{number}\tacme/new\tmain\topen\t")
    accepted = weighbridge("requests", "accept", number)
    assert "weighbridge ingest hf://acme/new" in accepted.err
    shown = weighbridge("requests", "show", number)
    assert "reason: for the support desk" in shown.out
    assert "accepted by" in shown.out
    weighbridge("requests", "accept", number, code=1)
    weighbridge("requests", "decline", number, code=2)
    weighbridge("requests", "decline", number, "--reason", "its licence")
    assert "its licence" in weighbridge("request", "acme/new").err
    again = weighbridge("request", "acme/new", "--again", "--reason", "another licence", "--json").json
    assert again["new"]
    by = weighbridge("requests", "decline", "--by", again["by"], "--reason", "nobody needs it", "--json").json
    assert [one["number"] for one in by] == [again["number"]]
    states = {one["number"]: one["state"] for one in weighbridge("requests", "list", "--all", "--json").json}
    assert states == {asked["number"]: "declined", again["number"]: "declined"}


def test_a_requester_cannot_accept(weighbridge: Command) -> None:
    weighbridge("people", "add", "ada", "--role", "admin")
    weighbridge("people", "key", "quentin")
    weighbridge("people", "add", "quentin", "--role", "requester", "--person", "ada")
    number = str(
        weighbridge("request", "acme/new", "--json", env={"WEIGHBRIDGE_IDENTITY_NAME": "quentin"}).json["number"]
    )
    refused = weighbridge("requests", "accept", number, "--person", "quentin", code=5)
    assert "may not accept" in refused.err
    weighbridge("requests", "accept", number, "--person", "ada")


def test_accepting_brings_it_in_when_told_to(on_hub: Command, publish: Any, tmp_path: Path) -> None:
    publish("acme/asked", _model(tmp_path / "model"))
    on_hub("request", "acme/asked")
    done = on_hub("requests", "accept", "1", "--ingest", "--json", code=None)
    assert done.events[0]["state"] == "accepted"
    assert done.event("ingested")["model"] == "acme/asked"
    (there,) = on_hub("requests", "show", "1", "--json").json["revisions"]
    assert there["revision"] == done.event("ingested")["revision"]
    on_hub("approve", "acme/asked", "--reason", "fine", code=None)


def _model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# asked\n")
    return folder


# --- at the gateway, without a server ----------------------------------------------------------------


def request_scope(
    client: str = "127.0.0.1", host: str = "localhost:8080", *, token: Scope | None = None
) -> dict[str, Any]:
    """A request as a gateway's layers hand it on."""
    known = Token("ci", "0" * 64, token, "", "") if token is not None else None
    permit = Permit("token:ci" if known else "anonymous", "key", token or Scope(), known)
    return {"client": (client, 5), "headers": [(b"host", host.encode())], PERMIT: permit}


ASKS = frozenset((Action.READ, Action.REQUEST))


@each(
    "client, host, token, may",
    [
        ("127.0.0.1", "localhost", None, True),
        ("::1", "[::1]:8080", None, True),
        ("::ffff:127.0.0.1", "127.0.0.1", None, True),
        ("127.0.0.1", "models.example", None, False),
        ("10.0.0.5", "localhost", None, False),
        ("", "localhost", None, False),
        ("10.0.0.5", "models.example", Scope(actions=ASKS), True),
        ("10.0.0.5", "models.example", Scope(), False),
        ("127.0.0.1", "localhost", Scope(), False),
        ("127.0.0.1", "localhost", Scope(models=("zoo/*",), actions=ASKS), False),
    ],
)
def test_who_may_ask(client: str, host: str, token: Scope | None, may: bool) -> None:
    scope = request_scope(client, host, token=token)
    assert may_ask(scope[PERMIT], ModelName("acme", "new"), scope) is may


@each(
    "client, found",
    [("127.0.0.1", "loopback"), ("::ffff:10.1.2.3", "private"), ("fe80::1%eth0", "private"), ("8.8.8.8", "public")],
)
def test_only_the_kind_of_an_address_is_kept(client: str, found: str) -> None:
    assert address_class(request_scope(client)) == found


def test_a_ledger_that_is_busy_delays_no_answer_but_the_first(ledger: Ledger, tmp_path: Path) -> None:
    old, new = ModelName("acme", "old"), ModelName("acme", "new")

    async def run() -> list[str]:
        said = [str(await requesting.words(old, "main", request_scope()))]
        blocking = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
        blocking.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(requesting.words(new, "main", request_scope()))
        await asyncio.sleep(0)
        said.append(str(await requesting.words(old, "main", request_scope())))
        assert not waiting.done()
        said.append(str(await waiting))
        blocking.execute("ROLLBACK")
        blocking.close()
        for _ in range(900):
            await asyncio.sleep(0.1)
            said[3:] = [str(await requesting.words(new, "main", request_scope()))]
            if "already filed" in said[3]:
                break
        return said

    counted: list[str] = []
    with Requesting(ledger, counted=counted.append) as requesting:
        filed, known, pending, later = asyncio.run(run())
    assert "is filed" in filed
    assert "already filed" in known
    assert pending == "'acme/new' is not approved here; your request is being filed"
    assert "already filed" in later
    assert counted[:2] == ["filed", "known"]
    times = {str(one.wanted): one.times for one in RequestBook(ledger).refresh().all()}
    assert times == {"acme/old@main": 2, "acme/new@main": 2}


def test_new_names_are_filed_at_a_pace_for_each_asker_and_for_all(ledger: Ledger) -> None:
    now, book = [0.0], RequestBook(ledger)

    async def ask(key: str) -> int:
        scope = request_scope(token=Scope(actions=ASKS))
        scope[PERMIT] = replace(scope[PERMIT], key=key, who=f"token:{key}")
        before = len(book.refresh().all())
        for number in range(6):
            await requesting.words(ModelName(key, f"{now[0]:.0f}-{number}"), "main", scope)
        return len(book.refresh().all()) - before

    async def run() -> list[int]:
        found = [await ask("one"), await ask("two"), await ask("three")]
        now[0] = 10.0
        return [*found, await ask("one"), await ask("three")]

    pace = Pace(burst=3, per_second=0.1, burst_in_all=5, per_second_in_all=1.0)
    with Requesting(ledger, pace=pace, monotonic=lambda: now[0]) as requesting:
        assert asyncio.run(run()) == [3, 2, 0, 1, 3]


# --- at the gateway ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """A home with one approved model, and no token yet."""
    base = tmp_path_factory.mktemp("requests")
    shelf = Shelf(Command(base / "home"))
    shelf.ingest("there", _model(base / "there"))
    shelf.approve("there")
    return shelf


@pytest.fixture(scope="module")
def asked(home: Shelf) -> Iterator[GatewayProcess]:
    """A gateway over it, with requests on, that needs no token on this machine."""
    with running(home.command, "--requests", "on") as process:
        yield process


def listed(home: Shelf, *more: str) -> dict[str, dict[str, Any]]:
    """The requests, by what they ask for."""
    found = home.command("requests", "list", "--all", "--json", *more).json
    return {f"{one['model']}@{one['ref']}": one for one in found}


CLIENT = """
import json
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
said = []
def tries(call):
    try: call()
    except Exception as error: said.append([type(error).__name__, str(error)])
tries(lambda: HfApi().model_info("acme/wished"))
tries(lambda: snapshot_download("acme/wished"))
tries(lambda: hf_hub_download("acme/there", "config.json", revision="beta"))
tries(lambda: hf_hub_download("acme/there", "config.json", revision="refs/pr/1"))
tries(lambda: hf_hub_download("acme/there", "nothing.json"))
print(json.dumps(said))
"""


def test_the_hubs_own_library_prints_how_the_request_stands(home: Shelf, asked: GatewayProcess, tmp_path: Path) -> None:
    def client() -> list[list[str]]:
        command = [sys.executable, "-c", CLIENT]
        ran = subprocess.run(
            command, env=asked.client(tmp_path), capture_output=True, text=True, timeout=60, check=True
        )
        found: list[list[str]] = json.loads(ran.stdout.splitlines()[-1])
        return found

    said = client()
    wished, beta = (listed(home)[name]["number"] for name in ("acme/wished@main", "acme/there@beta"))
    kinds = [one[0] for one in said]
    assert kinds[:4] == ["RepositoryNotFoundError", "RepositoryNotFoundError", *["RevisionNotFoundError"] * 2]
    assert f"'acme/wished' is not approved here; your request {wished} for it is filed" in said[0][1]
    assert f"request {wished} for it is already filed and waits" in said[1][1]
    assert f"'acme/there' is not approved here at 'beta'; your request {beta} for it is filed" in said[2][1]
    assert "Channels of acme/there: production" in said[2][1]
    assert "not approved here at that revision" in said[3][1]
    assert kinds[4] == "RemoteEntryNotFoundError"
    assert set(listed(home)) == {"acme/wished@main", "acme/there@beta"}
    one = listed(home)["acme/wished@main"]
    assert (one["by"], one["address"], one["source"]) == ("anonymous", "loopback", "gateway")
    home.command("requests", "decline", str(wished), "--reason", "its licence forbids our use")
    eventually(lambda: "declined on" in info(asked, "acme/wished").json["error"])
    assert "because: its licence forbids our use" in client()[0][1]
    assert len(listed(home)) == 2


def test_a_promotion_settles_the_request_of_a_client(home: Shelf, asked: GatewayProcess, tmp_path: Path) -> None:
    assert "is filed" in info(asked, "acme/last").json["error"]
    home.ingest("last", _model(tmp_path / "last"))
    home.approve("last")
    eventually(lambda: info(asked, "acme/last").status == 200)
    done = listed(home)["acme/last@main"]
    assert (done["state"], done["done_revision"]) == ("done", home.revisions["last"])


def test_a_page_of_somebody_elses_files_nothing(home: Shelf, asked: GatewayProcess) -> None:
    """An address in a page makes any browser on this machine ask; a name that points here does as well."""
    for number, headers in enumerate(
        (
            {"Origin": "https://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "none"},
            {"Host": "evil.example"},
        )
    ):
        answer = info(asked, f"evil/page-{number}", **headers)
        assert answer.status in (401, 404)
        # It is told to ask for it otherwise, and no request is spoken of.
        assert answer.status == 401 or "weighbridge request evil/page" in answer.json["error"]
    assert not [one for one in listed(home) if one.startswith("evil/")]


HOSTILE = (
    "/api/models/acme/%E2%80%AEtxt",
    "/api/models/acme/%3Cscript%3E",
    "/api/models/acme/..%2F..",
    "/api/models/acme/x%0d%0aX-Evil:1",
    "/api/models/one-part",
    "/api/models/acme/new/revision/%E2%80%AE",
    "/api/models/acme/new/revision/..%2F..%2Fetc",
    "/api/models/acme/new/revision/--help",
    f"/api/models/acme/{'n' * 97}",
    "/datasets/acme/new/resolve/main/x",
    "/acme/new/resolve/main/../../x",
)


def test_hostile_names_are_no_requests_and_are_never_sent_back_raw(home: Shelf, asked: GatewayProcess) -> None:
    before = set(listed(home))
    for path in HOSTILE:
        answer = asked.ask(path)
        assert answer.status in (400, 404), path
        assert answer.headers.get("x-error-message", "").isascii()
        assert "x-evil" not in answer.headers
        assert "<script>" not in answer.body.decode() or answer.headers["content-type"].startswith("application/json")
    assert set(listed(home)) == before


def test_a_flood_of_made_up_names_is_bounded_and_everything_else_is_served(home: Shelf, asked: GatewayProcess) -> None:
    before = len(listed(home))

    def flood(part: int) -> list[int]:
        return [info(asked, f"flood/model-{part}-{number}").status for number in range(25)]

    with ThreadPoolExecutor(8) as threads:
        floods = [threads.submit(flood, part) for part in range(8)]
        served = [info(asked, "acme/there").status for _ in range(20)]
        statuses = [status for one in floods for status in one.result()]
    assert set(served) == {200}
    assert set(statuses) <= {404, 429}
    found = listed(home)
    made_up = [one for one in found.values() if one["model"].startswith("flood/")]
    assert 0 < len(made_up) <= 12
    assert len(found) - before == len(made_up)
    refused = info(asked, "flood/one-more").json["error"]
    assert "asked for at once" in refused or "open requests of anonymous" in refused
    done = home.command("requests", "decline", "--by", "anonymous", "--reason", "made up", "--json").json
    assert len(done) >= len(made_up)


def test_two_gateways_file_one_request_and_a_killed_one_loses_none(home: Shelf, asked: GatewayProcess) -> None:
    command, one = home.command, asked
    reader = command("token", "create", "reader", "--quiet").out.strip()
    tokens = [
        command("token", "create", f"asker-{number}", "--action", "read", "--action", "request", "--quiet").out.strip()
        for number in (1, 2)
    ]
    narrow = command(
        "token", "create", "narrow", "--model", "acme/*", "--action", "read", "--action", "request", "--quiet"
    ).out.strip()
    with running(command, "--requests", "on") as two:
        pair = list(zip((one, two), tokens, strict=True))
        # A gateway learns of a new token within half a second.
        known = [*pair, (one, reader), (one, narrow)]
        eventually(lambda: all(info(gateway, "acme/there", token=token).status == 200 for gateway, token in known))
        for name in ("both/first", "both/second", "both/third"):
            with ThreadPoolExecutor(8) as threads:
                answers = list(threads.map(lambda each: info(each[0], name, token=each[1]), pair * 4))  # noqa: B023
            assert {answer.status for answer in answers} == {404}
            numbers = {re.search(r"request (\d+) for it", answer.json["error"])[1] for answer in answers}  # type: ignore[index]
            assert str(listed(home)[f"{name}@main"]["number"]) in numbers
        assert "weighbridge request read/only" in info(one, "read/only", token=reader).json["error"]
        assert info(one, "other/model", token=narrow).status == 403
        assert "weighbridge request" not in info(one, "acme/fits", token=narrow).json["error"]
        assert info(one, "acme/nobody").status == 401
        filed = info(two, "killed/after", token=tokens[1])
        two.process.kill()
        assert "is filed" in filed.json["error"]
        assert "already filed" in info(one, "killed/after", token=tokens[0]).json["error"]
    one.process.terminate()
    one.process.wait(PATIENCE_SECONDS)
    found = listed(home)
    assert {"both/first@main", "both/second@main", "both/third@main", "killed/after@main"} <= set(found)
    assert found["killed/after@main"]["by"] == "token:asker-2"
    assert "token:asker-1" in found["killed/after@main"]["askers"]
    assert found["acme/fits@main"]["by"] == "token:narrow"
    assert not {"read/only@main", "other/model@main", "acme/nobody@main"} & set(found)
    assert home.command("audit", "verify").code == 0
