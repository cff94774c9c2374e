"""What is gathered of a Hub as it answers: settings, owner, scans, history, commits as Git hands them out, recorded runs."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.support.gateway import CARD, CONFIG
from tests.support.gathered import NOW, answering, http_pool, noted, served, value
from tests.support.hub import (
    Cut,
    Endless,
    Fault,
    HubServer,
    Listing,
    Redirect,
    Refuse,
    Repository,
    Stall,
    Truncate,
)
from weighbridge.cli.progress import Silent
from weighbridge.core.canonical import JsonValue
from weighbridge.core.config import InspectionSettings, TransferSettings
from weighbridge.core.errors import FormatError, SourceError
from weighbridge.core.finding import Confidence, Coverage, Finding, Inspection, Report, Severity, Verdict
from weighbridge.core.names import Address, ModelName
from weighbridge.core.snapshot import Origin
from weighbridge.posture import hub_facts
from weighbridge.posture.evidence import Dossier
from weighbridge.posture.git_commit import signature_of
from weighbridge.posture.hub_facts import Crossed, HubQuestion
from weighbridge.source.hub_questions import HubAsking
from weighbridge.transfer.inspecting import Inspecting
from weighbridge.transfer.scan import Scanner
from weighbridge.wire.http import Http

MODEL = ModelName("acme", "tiny")
SIGNATURE = "-----BEGIN PGP SIGNATURE-----\n\nabcd\n-----END PGP SIGNATURE-----\n"
TOKEN = "hf_" + "Q" * 34


@pytest.fixture
def http() -> Iterator[Http]:
    with http_pool() as pool:
        yield pool


@pytest.fixture
def tiny(hub: HubServer) -> Repository:
    """A repository with some of everything."""
    hub.account("acme", verified=True)
    repository = hub.repository("acme/tiny")
    repository.card = {"license": "apache-2.0"}
    repository.downloads, repository.likes = 123, 7
    repository.commit(
        {
            "README.md": CARD.encode(),
            "config.json": json.dumps({**CONFIG, "auto_map": {"AutoModel": "code.Model"}}).encode(),
            "code.py": b"print('hello')\n",
            "model.safetensors": b"\x08\0\0\0\0\0\0\0{}      " + bytes(1000),
            "old/pytorch_model.bin": b"\x80\x02}q\x00.",
        },
        signature=SIGNATURE,
    )
    return repository


def ask(http: Http, hub: HubServer, **more: Any) -> Dossier:
    address = Address.parse(more.pop("address", "hf://acme/tiny"))
    question = HubQuestion(address, hub.endpoint, **more)
    return noted(hub_facts.collect(http, question, observed_at=NOW), hub_facts.IDS)


def origin(hub: HubServer, commit: str, **more: str) -> Origin:
    """What the signed manifest of a model says that came in at that commit."""
    known = {
        "kind": "hub",
        "address": "hf://acme/tiny",
        "repository": "acme/tiny",
        "repository_id": hub.repository_id("acme/tiny"),
        "owner": "acme",
        "owner_id": hub.owners["acme"].owner_id,
        "requested_ref": "main",
        "commit": commit,
    }
    return Origin(**{**known, **more})


def test_the_hub_is_described_as_it_answers(http: Http, hub: HubServer, tiny: Repository) -> None:
    found = ask(http, hub, measure_bytes=1 << 20)
    commit = tiny.refs["refs/heads/main"]
    expected: dict[str, JsonValue] = {
        "hub.revision.ref": "main",
        "hub.revision.commit": commit,
        "hub.revision.pinned": False,
        "hub.owner.name": "acme",
        "hub.owner.kind": "organization",
        "hub.owner.verified": True,
        "hub.gated": False,
        "hub.private": False,
        "hub.licence": "apache-2.0",
        "hub.downloads": 123,
        "hub.likes": 7,
        "hub.commit.signed": True,
        "hub.commit.signature": "pgp",
        "hub.scan.not_scanned": [],
        "hub.scan.flagged": [],
        "hub.formats": {"md": 1, "json": 1, "py": 1, "safetensors": 1, "bin": 1},
        "hub.formats.unsafe": ["old/pytorch_model.bin"],
        "hub.code": ["code.py", "config.json#auto_map"],
        "hub.history.commits": 1,
        "hub.history.renamed": False,
    }
    assert {id_: value(found, id_) for id_ in expected} == expected
    measured = value(found, "hub.load.measured")
    assert isinstance(measured, dict)
    assert measured["read_bytes"] == 1016
    assert value(found, "hub.load_seconds") == 1


def test_a_commit_in_the_reference_is_a_pin(http: Http, hub: HubServer, tiny: Repository) -> None:
    commit = tiny.refs["refs/heads/main"]
    tiny.commit({"README.md": b"newer"})
    found = ask(http, hub, address=f"hf://acme/tiny@{commit}")
    assert value(found, "hub.revision.pinned") is True
    assert value(found, "hub.revision.commit") == commit


def test_a_commit_without_a_signature_is_told_from_one_that_is_not_shown(http: Http, hub: HubServer) -> None:
    hub.repository("acme/tiny").commit({"README.md": b"words"})
    found = ask(http, hub)
    assert value(found, "hub.commit.signed") is False
    hub.faults.add(Fault(Refuse(404), on="git"))
    assert "404" in ask(http, hub).unobtained["hub.commit.signed"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("-----BEGIN SSH SIGNATURE-----\nU1NI\n-----END SSH SIGNATURE-----", "ssh"),
        ("-----BEGIN SIGNED MESSAGE-----\nMII\n-----END SIGNED MESSAGE-----", "x509"),
        ("trust me", "other"),
    ],
)
def test_signatures_are_told_apart(http: Http, hub: HubServer, text: str, kind: str) -> None:
    hub.repository("acme/tiny").commit({"README.md": b"words"}, signature=text)
    assert value(ask(http, hub), "hub.commit.signature") == kind


def test_a_message_that_looks_like_a_signature_is_none(http: Http, hub: HubServer) -> None:
    hub.repository("acme/tiny").commit({"README.md": b"words"}, message="words\n\ngpgsig -----BEGIN PGP SIGNATURE-----")
    assert value(ask(http, hub), "hub.commit.signed") is False


def test_not_scanned_is_not_clean(http: Http, hub: HubServer, tiny: Repository) -> None:
    """Queued, failed, silent and unknown words are all "not scanned"."""
    tiny.scans = {
        "README.md": "queued",
        "config.json": "error",
        "code.py": None,
        "model.safetensors": "unscanned",
        "old/pytorch_model.bin": "all is well, believe me",
    }
    found = ask(http, hub)
    paths = ["README.md", "code.py", "config.json", "model.safetensors", "old/pytorch_model.bin"]
    assert value(found, "hub.scan.not_scanned") == paths
    files = value(found, "hub.scan.files")
    assert isinstance(files, list)
    assert {one["path"]: one["status"] for one in files if isinstance(one, dict)} == {
        "README.md": "queued",
        "code.py": "unscanned",
        "config.json": "error",
        "model.safetensors": "unscanned",
        "old/pytorch_model.bin": "unscanned",
    }


def test_the_worse_of_two_words_counts(http: Http, hub: HubServer, tiny: Repository) -> None:
    """One scanner's finding outweighs a status that says safe, and so does the repository's own list."""
    tiny.scans["code.py"] = {"status": "safe", "protectAiScan": {"status": "suspicious"}, "avScan": {"status": "safe"}}
    tiny.scans["config.json"] = {"status": "safe", "avScan": {"virusFound": True}}
    tiny.issues = [{"path": "model.safetensors", "level": "unsafe"}, {"path": "hidden.bin", "level": "unsafe"}]
    found = ask(http, hub)
    assert value(found, "hub.scan.flagged") == ["code.py", "config.json", "hidden.bin", "model.safetensors"]
    assert value(found, "hub.scan.not_scanned") == []


def test_a_user_has_no_badge_and_an_age(http: Http, hub: HubServer, tiny: Repository) -> None:
    hub.account("acme", kind="user", created_at="2026-11-01T00:00:00.000Z")
    found = ask(http, hub)
    assert value(found, "hub.owner.kind") == "user"
    assert value(found, "hub.owner.verified") is False
    assert value(found, "hub.owner.created_at") == "2026-11-01T00:00:00.000Z"


def test_an_age_that_the_hub_does_not_tell_is_unobtained(http: Http, hub: HubServer, tiny: Repository) -> None:
    assert "does not say" in ask(http, hub).unobtained["hub.owner.created_at"]


def test_what_moved_since_it_came_in_is_seen(http: Http, hub: HubServer, tiny: Repository) -> None:
    first = tiny.refs["refs/heads/main"]
    still = ask(http, hub, crossed=Crossed(origin(hub, first)))
    assert value(still, "hub.revision.moved_since") is False
    assert value(still, "hub.owner.id_unchanged") is True
    assert value(still, "hub.repository.id_unchanged") is True
    tiny.commit({"README.md": b"newer"})
    moved = ask(http, hub, crossed=Crossed(origin(hub, first)))
    assert value(moved, "hub.revision.moved_since") is True
    assert value(moved, "hub.revision.still_there") is True
    assert value(moved, "hub.history.commits") == 2
    del tiny.refs["refs/heads/main"]
    tiny.commit({"README.md": b"another history"})
    rewritten = ask(http, hub, crossed=Crossed(origin(hub, first)))
    assert value(rewritten, "hub.revision.still_there") is False


def test_a_name_that_a_stranger_registered_has_other_ids(http: Http, hub: HubServer, tiny: Repository) -> None:
    before = Crossed(origin(hub, tiny.refs["refs/heads/main"]))
    hub.recreate("acme/tiny", owner_id="f" * 24)
    found = ask(http, hub, crossed=before)
    assert value(found, "hub.owner.id_unchanged") is False
    assert value(found, "hub.repository.id_unchanged") is False


def test_a_renamed_repository_is_not_followed(http: Http, hub: HubServer, tiny: Repository) -> None:
    hub.rename("acme/tiny", "evil/tiny")
    hub.forget_requests()
    found = ask(http, hub)
    assert value(found, "hub.history.renamed") is True
    assert value(found, "hub.history.renamed_to") == "evil/tiny"
    assert "hub.scan.files" in found.unobtained
    assert not [one for one in hub.requests if "evil" in one.path]


def test_what_is_not_there_is_unobtained_and_not_an_error(http: Http, hub: HubServer) -> None:
    found = ask(http, hub, address="hf://acme/nothing")
    assert set(found.facts) == {"hub.revision.ref", "hub.revision.pinned"}
    nobody = HubQuestion(Address.parse("hf://acme/tiny"), "http://127.0.0.1:9")
    noted(hub_facts.collect(http, nobody, observed_at=NOW), hub_facts.IDS)


def test_secrets_are_those_of_an_inspection_of_exactly_this_commit(
    http: Http, hub: HubServer, tiny: Repository
) -> None:
    commit = tiny.refs["refs/heads/main"]
    secret = Finding("README.md", "secret-provider-token", Severity.HIGH, Confidence.HIGH, "a token")
    report = Report("secrets", "README.md", Verdict.BAD, Coverage(1, 1), (secret,))
    inspection = Inspection((report,), "2026.11.4")
    found = ask(http, hub, crossed=Crossed(origin(hub, commit), inspection))
    assert value(found, "hub.secrets") == [{"path": "README.md", "rule": "secret-provider-token"}]
    tiny.commit({"README.md": b"newer"})
    assert "hub.secrets" in ask(http, hub, crossed=Crossed(origin(hub, commit), inspection)).unobtained


def test_an_inspection_that_could_not_look_for_secrets_says_nothing_of_them(
    http: Http, hub: HubServer, tiny: Repository
) -> None:
    missing = Finding("", "secrets-engine-missing", Severity.MEDIUM, Confidence.HIGH, "no engine")
    inspection = Inspection((Report("secrets", "", Verdict.UNKNOWN, Coverage(0, 0), (missing,)),), "2026.11.4")
    found = ask(http, hub, crossed=Crossed(origin(hub, tiny.refs["refs/heads/main"]), inspection))
    assert "secrets-engine-missing" in found.unobtained["hub.secrets"]


def test_where_nothing_was_inspected_the_texts_are_searched(http: Http, hub: HubServer, tiny: Repository) -> None:
    token = "hf_" + "".join(random.Random(3).choices("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", k=34))
    tiny.commit({"train.py": f"HF_TOKEN = '{token}'\n".encode(), "model.safetensors": bytes(2_000_000)})
    with Inspecting(InspectionSettings()) as inspecting:
        scanner = Scanner(TransferSettings(), inspecting, Silent(), Event())
        found = ask(http, hub, scanner=scanner)
    assert value(found, "hub.secrets") == [{"path": "train.py", "rule": "secret-provider-token"}]
    assert token not in json.dumps(found.to_json())
    assert hub.bytes_sent("model.safetensors") == 0


FAULTS = {
    "info refused": Fault(Refuse(500), on="info"),
    "info limited": Fault(Refuse(429), on="info"),
    "info cut": Fault(Cut(20), on="info"),
    "info truncated": Fault(Truncate(20), on="info"),
    "info stalls": Fault(Stall(5), on="info", times=2),
    "info redirected inside": Fault(Redirect("http://169.254.169.254/latest/meta-data/"), on="info"),
    "tree cut": Fault(Cut(20), on="tree"),
    "tree redirected": Fault(Redirect("http://127.0.0.1:9/"), on="tree"),
    "tree names hostile paths": Fault(Listing(extra=("../../etc/passwd", "a\nb", "x" * 5000)), on="tree"),
    "owner refused": Fault(Refuse(503), on="owner"),
    "commits cut": Fault(Cut(3), on="commits"),
    "git truncated": Fault(Truncate(40), on="git", method="POST"),
    "git cut": Fault(Cut(10), on="git"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_no_fault_of_the_hub_stops_the_rest_or_turns_into_a_fact(
    http: Http, hub: HubServer, tiny: Repository, name: str
) -> None:
    whole = ask(http, hub)
    hub.faults.add(FAULTS[name])
    if name == "info stalls":
        with http_pool(read_seconds=0.5) as impatient:
            found = ask(impatient, hub)
    else:
        found = ask(http, hub)
    assert hub.faults.fired
    about = {
        "info": "hub.revision.commit",
        "tree": "hub.scan.files",
        "owner": "hub.owner.kind",
        "commits": "hub.history.commits",
    }
    lost = {**about, "git": "hub.commit.signed"}[name.partition(" ")[0]]
    if name != "tree names hostile paths":
        assert lost not in found.facts
    for id_, one in found.facts.items():
        if not id_.startswith(("hub.scan", "hub.formats", "hub.load")):
            assert one.value == value(whole, id_)


def test_hostile_names_are_bounded_and_shown_harmless(http: Http, hub: HubServer, tiny: Repository) -> None:
    hub.faults.add(Fault(Listing(extra=("a\nb\x1b[31m", "x" * 5000, f"{TOKEN}.bin"))))
    text = json.dumps(ask(http, hub).to_json())
    assert "\\u001b" not in text
    assert "x" * 300 not in text
    assert TOKEN not in text


def test_a_next_page_elsewhere_is_not_asked_for(http: Http) -> None:
    """A listing that leads the token to another host is not followed."""
    asked: list[str] = []

    class Luring(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Link", '<http://127.0.0.1:9/api/models/acme/tiny/tree/x?cursor=1>; rel="next"')
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with served(Luring) as endpoint:
        asking = HubAsking(http, endpoint, MODEL, token=TOKEN)
        with pytest.raises(SourceError, match="next page elsewhere"):
            list(asking.pages("/tree/x", limit=10))
    assert len(asked) == 1


def test_an_answer_without_an_end_is_bounded(http: Http, hub: HubServer, tiny: Repository) -> None:
    hub.faults.add(Fault(Endless(), on="info"))
    assert "hub.revision.commit" in ask(http, hub).unobtained


def test_the_token_goes_to_the_hub_alone_and_into_no_record(http: Http, hub: HubServer, tiny: Repository) -> None:
    hub.token(TOKEN, access=("acme/tiny",))
    question = HubQuestion(Address.parse("hf://acme/tiny"), hub.endpoint)
    found = noted(hub_facts.collect(http, question, observed_at=NOW, token=TOKEN), hub_facts.IDS)
    assert value(found, "hub.revision.commit")
    assert TOKEN not in json.dumps(found.to_json())


WORDS = (
    *("id", "_id", "sha", "author", "tags", "cardData", "license", "createdAt", "lastModified", "downloads", "gated"),
    *("securityRepoStatus", "filesWithIssues", "path", "level", "type", "oid", "size", "lfs", "sha256", "siblings"),
    *("securityFileStatus", "status", "avScan", "isVerified", "name", "authors", "date", "title", "message"),
)


class _Anything:
    """JSON of the Hub's words in no order of the Hub's, the same for one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self, depth: int = 0) -> Any:
        kind = self.random.randrange(12)
        if kind < 2 and depth < 4:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        if kind < 5 and depth < 4:
            return {self.random.choice(WORDS): self.value(depth + 1) for _ in range(self.random.randrange(8))}
        return self.random.choice(
            [None, True, -1, 1.5, 10**30, "", "a/../b", "é", "2025-01-01T00:00:00.000Z", "1" * 40, "safe"]
        )

    def answer(self, path: str) -> bytes:
        """About right for what was asked, more often than not."""
        some = {self.random.choice(WORDS): self.value() for _ in range(self.random.randrange(3))}
        value: Any = self.value()
        if self.random.random() < 0.8 and "/revision/" in path:
            value = {"_id": "a" * 24, "id": "acme/tiny", "author": "acme", "sha": "1" * 40, "siblings": [], **some}
        elif self.random.random() < 0.8 and "/tree/" in path:
            value = [{"type": "file", "path": "config.json", "oid": "2" * 40, "size": 10, **some}]
        return json.dumps(value).encode()


def test_whatever_a_hub_answers_every_promise_is_kept(http: Http) -> None:
    """Answers of wrong types, sizes and orders: never an error, and always a dossier that can be stored."""
    anything = _Anything(20261123)

    with answering(anything.answer) as endpoint:
        before = Origin(
            "hub", "hf://acme/tiny", owner="acme", owner_id="b" * 24, repository_id="a" * 24, commit="1" * 40
        )
        question = HubQuestion(Address.parse("hf://acme/tiny"), endpoint, Crossed(before), measure_bytes=100)
        for _ in range(80):
            noted(hub_facts.collect(http, question, observed_at=NOW), hub_facts.IDS)


# --- a commit, by the real Git


class _Git(BaseHTTPRequestHandler):
    """Git's own `upload-pack` over HTTP."""

    repository = ""

    def do_GET(self) -> None:
        self._answer(["--advertise-refs"], b"")

    def do_POST(self) -> None:
        self._answer([], self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, arguments: list[str], body: bytes) -> None:
        environment = {**os.environ, "GIT_PROTOCOL": self.headers.get("Git-Protocol", "")}
        command = ["git", "-c", "safe.directory=*", "upload-pack", "--stateless-rpc", *arguments, self.repository]
        ran = subprocess.run(command, input=body, capture_output=True, env=environment, check=False)
        self.send_response(200)
        self.send_header("Content-Length", str(len(ran.stdout)))
        self.end_headers()
        self.wfile.write(ran.stdout)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.mark.parametrize("filtered", [True, False])
def test_real_git_hands_out_the_commit_and_its_signature(http: Http, tmp_path: Path, *, filtered: bool) -> None:
    work = tmp_path / "work"
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)

    def git(*arguments: str) -> str:
        settings = [
            "-c",
            "user.name=A",
            "-c",
            "user.email=a@b.c",
            "-c",
            "gpg.format=ssh",
            "-c",
            f"user.signingkey={key}",
        ]
        ran = subprocess.run(["git", *settings, *arguments], cwd=work, capture_output=True, text=True, check=True)
        return ran.stdout.strip()

    work.mkdir()
    git("init", "-q", "-b", "main")
    git("config", "uploadpack.allowFilter", "true" if filtered else "false")
    git("config", "uploadpack.allowAnySHA1InWant", "true")
    (work / "README.md").write_text("words " * 1000)
    git("add", ".")
    git("commit", "-q", "-m", "plain")
    plain_commit = git("rev-parse", "HEAD")
    git("commit", "-q", "--allow-empty", "-S", "-m", "signed")
    signed_commit = git("rev-parse", "HEAD")
    with served(type("Serving", (_Git,), {"repository": str(work)})) as endpoint:
        asking = HubAsking(http, endpoint, MODEL)
        assert signature_of(asking, signed_commit).kind == "ssh"
        found = signature_of(asking, plain_commit)
        assert found.kind == ""
        shown = ["git", "cat-file", "commit", plain_commit]
        body = subprocess.run(shown, cwd=work, capture_output=True, check=True).stdout
        assert found.digest == hashlib.sha256(body).hexdigest()
        with pytest.raises((SourceError, FormatError)):
            signature_of(asking, "1" * 40)


# --- a recorded run


def egress(http: Http, hub: HubServer, data: bytes) -> Dossier:
    return ask(http, hub, egress=data, egress_source="egress.json")


def test_a_recorded_run_says_whom_a_client_tells_what(http: Http, hub: HubServer, tiny: Repository) -> None:
    agent = "unknown/None; hf_hub/1.0; python/3.11; torch/2.9"
    requests = [
        {"host": "Huggingface.co", "method": "HEAD", "path": "/acme%2Ftiny/resolve/main/config.json", "user_agent": agent,
         "authorization": f"Bearer {TOKEN}"},
        {"host": "cdn.example", "method": "GET", "path": f"/x?Signature=abc&token={TOKEN}", "user_agent": "short", "authorization": False},
        {"host": "cdn.example", "method": "GET", "path": f"/x?Signature=abc&token={TOKEN}", "user_agent": "short", "authorization": False},
    ]  # fmt: skip
    found = egress(http, hub, json.dumps(requests).encode())
    assert value(found, "hub.egress.hosts") == ["cdn.example", "huggingface.co"]
    assert value(found, "hub.egress.token_sent") is True
    assert value(found, "hub.egress.token_hosts") == ["huggingface.co"]
    assert value(found, "hub.egress.user_agent") == agent
    assert value(found, "hub.egress.model_named") is True
    listed = value(found, "hub.egress.requests")
    assert isinstance(listed, list)
    assert len(listed) == 2
    assert TOKEN not in json.dumps(found.to_json())
    assert "abc" not in json.dumps(listed)


def test_a_run_that_contacted_nobody_is_a_fact(http: Http, hub: HubServer, tiny: Repository) -> None:
    found = egress(http, hub, b"[]")
    assert value(found, "hub.egress.hosts") == []
    assert value(found, "hub.egress.token_sent") is False


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[1]",
        b'[{"path": "/"}]',
        b'[{"host": 1}]',
        b'[{"host": "a", "authorization": 3}]',
        b"[" * 10_000,
        b"\xff",
    ],
)
def test_what_is_no_recording_is_no_evidence(http: Http, hub: HubServer, data: bytes) -> None:
    found = egress(http, hub, data)
    assert not [id_ for id_ in found.facts if id_.startswith("hub.egress")]
