"""What collectors measure: of a Hub as it answers, of buckets as their servers set them, of our records as they verify."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from tests.conftest import Command
from tests.support import moto_server
from tests.support.gateway import CARD, CONFIG, large
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
from tests.support.moto_server import ACCOUNT, AwsServer
from tests.support.seaweed import S3Server
from weighbridge.attest.keys import TrustedKeys
from weighbridge.cli.channeling import index_reader
from weighbridge.cli.console import Output
from weighbridge.cli.settings import Home
from weighbridge.cli.yard import OpenYard
from weighbridge.core.canonical import JsonValue
from weighbridge.core.config import InspectionSettings, StoreSettings, TransferSettings
from weighbridge.core.errors import FormatError, SourceError, StoreUnreachable
from weighbridge.core.finding import Confidence, Coverage, Finding, Inspection, Report, Severity, Verdict
from weighbridge.core.names import Address, ModelName, Reference
from weighbridge.core.ports import ObjectStore
from weighbridge.core.snapshot import Origin
from weighbridge.posture import bucket_facts, crossing_facts, deployment_facts, hub_facts
from weighbridge.posture.bucket_facts import BucketQuestion
from weighbridge.posture.crossing_facts import CrossingQuestion
from weighbridge.posture.evidence import Dossier, Evidence, Unobtained
from weighbridge.posture.git_commit import signature_of
from weighbridge.posture.hub_facts import Crossed, HubQuestion
from weighbridge.source.hub_questions import HubAsking
from weighbridge.store.ledger import Ledger
from weighbridge.transfer.inspecting import Inspecting
from weighbridge.transfer.scan import Scanner
from weighbridge.vault.records import SealedRevision, open_revision
from weighbridge.wire.http import Http

NOW = (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
"""Soon: after everything that is signed here, and before it expires."""
MODEL = ModelName("acme", "tiny")
SIGNATURE = "-----BEGIN PGP SIGNATURE-----\n\nabcd\n-----END PGP SIGNATURE-----\n"
TOKEN = "hf_" + "Q" * 34


class Quiet:
    """An observer that says nothing."""

    def planned(self, artifacts: int, total_bytes: int, done_bytes: int) -> None:
        pass

    def advanced(self, path: str, size_bytes: int, total_bytes: int) -> None:
        pass

    def retrying(self, path: str, reason: str, wait_seconds: float) -> None:
        pass

    def finished(self, path: str, how: str) -> None:
        pass


@pytest.fixture
def http() -> Iterator[Http]:
    pool = Http(user_agent="posture-tests", connect_timeout_seconds=2, read_timeout_seconds=1.5, connections=8)
    yield pool
    pool.close()


def noted(gathered: Iterable[Evidence | Unobtained], promised: tuple[str, ...]) -> Dossier:
    """A dossier, after the promise of every collector was seen to be kept: each id once, and fit to be a record."""
    everything = list(gathered)
    assert sorted(one.id for one in everything) == sorted(promised)
    dossier = Dossier.of(everything)
    assert Dossier.from_bytes(json.dumps(dossier.to_json()).encode()).to_json() == dossier.to_json()
    assert all(one.observed_at == NOW and one.source for one in dossier)
    assert all(why for why in dossier.unobtained.values())
    return dossier


def value(dossier: Dossier, id_: str) -> JsonValue:
    assert id_ in dossier.facts, dossier.unobtained.get(id_)
    return dossier.facts[id_].value


@contextlib.contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server's address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


# --- the Hub


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
        scanner = Scanner(TransferSettings(), inspecting, Quiet(), Event())
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

    class Babbling(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = anything.answer(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with served(Babbling) as endpoint:
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


# --- buckets


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsServer]:
    """AWS's settings APIs."""
    with moto_server.running() as server:
        yield server


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "weighbridge-tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "weighbridge-tests")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def look(http: Http, aws: AwsServer, name: str, **more: Any) -> Dossier:
    """The evidence of a bucket, with these neighbouring services at hand."""
    services = more.pop("services", ())
    more.setdefault("account", ACCOUNT)
    question = BucketQuestion(
        Address.parse(f"s3://{name}/approved"),
        StoreSettings(s3_endpoint=aws.endpoint),
        endpoints=aws.endpoints(*services),
        **more,
    )
    return noted(bucket_facts.collect(http, question, observed_at=NOW), bucket_facts.IDS)


def policy_of(name: str, *statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [*statements]})


def statement(name: str, effect: str, actions: list[str], **more: Any) -> dict[str, Any]:
    resources = [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
    return {"Effect": effect, "Principal": "*", "Action": actions, "Resource": resources, **more}


PROMOTER = f"arn:aws:iam::{ACCOUNT}:role/promoter"
FOREIGN = "arn:aws:iam::210987654321:role/partner"


def set_policy(aws: AwsServer, name: str, *statements: dict[str, Any]) -> None:
    aws.client("s3").put_bucket_policy(Bucket=name, Policy=policy_of(name, *statements))


@pytest.fixture
def kept(aws: AwsServer) -> str:
    """A bucket as it should be."""
    name = aws.bucket(ObjectLockEnabledForBucket=True)
    s3, kms = aws.client("s3"), aws.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    kms.enable_key_rotation(KeyId=key)
    flags = dict.fromkeys(bucket_facts.FLAGS, True)
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=flags)
    s3.put_bucket_ownership_controls(
        Bucket=name, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    )
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=rules)
    s3.put_object_lock_configuration(
        Bucket=name,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Years": 1}},
        },
    )
    others = {"ArnNotEquals": {"aws:PrincipalArn": PROMOTER}}
    set_policy(
        aws,
        name,
        statement(name, "Deny", ["s3:*"], Sid="Tls", Condition={"Bool": {"aws:SecureTransport": "false"}}),
        statement(name, "Deny", ["s3:*"], Sid="Age", Condition={"NumericGreaterThan": {"s3:signatureAge": "600000"}}),
        statement(
            name, "Deny", ["s3:*"], Sid="Net", Condition={"StringNotEquals": {"aws:SourceVpce": "vpce-1a2b3c4d"}}
        ),
        statement(name, "Deny", ["s3:Put*", "s3:ReplicateObject", "s3:RestoreObject"], Sid="Write", Condition=others),
        statement(name, "Deny", ["s3:DeleteObject*"], Sid="Delete"),
        statement(name, "Allow", ["s3:PutObject"], Sid="Promote", Principal={"AWS": PROMOTER}),
    )
    return name


def test_a_bucket_as_it_should_be(http: Http, aws: AwsServer, kept: str, credentials: None) -> None:
    found = look(http, aws, kept, services=("kms",))
    expected: dict[str, JsonValue] = {
        "bucket.public_access_block": True,
        "bucket.public_access_block.off": [],
        "bucket.ownership": "BucketOwnerEnforced",
        "bucket.acl.public": False,
        "bucket.acl.grants": [],
        "bucket.policy": {"present": True, "statements": 6, "unproved": []},
        "bucket.policy.public": False,
        "bucket.policy.writers": [PROMOTER],
        "bucket.policy.deleters": [],
        "bucket.policy.administrators": [],
        "bucket.policy.cross_account": [],
        "bucket.policy.write_denied": True,
        "bucket.policy.delete_denied": True,
        "bucket.policy.tls_only": True,
        "bucket.policy.presigned_limit": 600,
        "bucket.vpc_endpoint": ["vpce-1a2b3c4d"],
        "bucket.encryption": "aws:kms",
        "bucket.kms_key.rotated": True,
        "bucket.kms_key.users": [f"arn:aws:iam::{ACCOUNT}:root"],
        "bucket.versioning": "Enabled",
        "bucket.object_lock": "COMPLIANCE",
        "bucket.retention_days": 365,
        "bucket.logging": "",
        "bucket.replication": [],
        "bucket.lifecycle.deletes": [],
    }
    assert {id_: value(found, id_) for id_ in expected} == expected


def test_a_bucket_left_as_it_was_made_has_no_controls(http: Http, aws: AwsServer, credentials: None) -> None:
    """What is not set is a fact, and a bad one; it is not unobtained."""
    found = look(http, aws, aws.bucket())
    expected: dict[str, JsonValue] = {
        "bucket.public_access_block": False,
        "bucket.ownership": "",
        "bucket.policy": {"present": False, "statements": 0, "unproved": []},
        "bucket.policy.public": False,
        "bucket.policy.write_denied": False,
        "bucket.policy.delete_denied": False,
        "bucket.policy.tls_only": False,
        "bucket.policy.presigned_limit": None,
        "bucket.vpc_endpoint": [],
        "bucket.encryption": "",
        "bucket.kms_key": "",
        "bucket.versioning": "Never",
        "bucket.object_lock": "",
        "bucket.retention_days": 0,
    }
    assert {id_: value(found, id_) for id_ in expected} == expected


def test_a_bucket_open_to_everyone(http: Http, aws: AwsServer, credentials: None) -> None:
    name = aws.bucket()
    s3 = aws.client("s3")
    s3.put_bucket_acl(Bucket=name, ACL="public-read")
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    set_policy(aws, name, statement(name, "Allow", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]))
    found = look(http, aws, name)
    assert value(found, "bucket.acl.public") is True
    assert value(found, "bucket.acl.grants") == ["http://acs.amazonaws.com/groups/global/AllUsers: READ"]
    assert value(found, "bucket.policy.public") is True
    assert value(found, "bucket.policy.writers") == ["*"]
    assert value(found, "bucket.policy.deleters") == ["*"]
    assert value(found, "bucket.policy.cross_account") == ["*"]
    assert value(found, "bucket.versioning") == "Suspended"


def test_words_of_a_policy_that_do_not_hold_count_for_nothing(http: Http, aws: AwsServer, credentials: None) -> None:
    """TLS asked of one action, a limit that spares writing, a denial of reading elsewhere: each looks right to a search."""
    name = aws.bucket()
    elsewhere = {"Resource": [f"arn:aws:s3:::{name}/other/*"]}
    set_policy(
        aws,
        name,
        statement(name, "Deny", ["s3:GetObject"], Condition={"Bool": {"aws:SecureTransport": "false"}}),
        {**statement(name, "Deny", ["s3:DeleteObject*"]), **elsewhere},
        statement(
            name,
            "Deny",
            ["s3:*"],
            Condition={"Bool": {"aws:SecureTransport": "false"}, "StringEquals": {"aws:PrincipalTag/team": "red"}},
        ),
        statement(name, "Deny", ["s3:PutObject"], Condition={"StringLike": {"s3:prefix": "secret/*"}}),
    )
    found = look(http, aws, name)
    assert value(found, "bucket.policy.tls_only") is False
    assert value(found, "bucket.policy.delete_denied") is False
    assert value(found, "bucket.policy.write_denied") is False


def test_another_account_is_named_as_such(http: Http, aws: AwsServer, credentials: None) -> None:
    name = aws.bucket()
    allowed = [statement(name, "Allow", ["s3:GetObject"], Principal={"AWS": [FOREIGN, PROMOTER]})]
    set_policy(aws, name, *allowed)
    assert value(look(http, aws, name, services=("sts",), account=""), "bucket.policy.cross_account") == [FOREIGN]
    without = look(http, aws, name, account="")
    assert "account is not known" in without.unobtained["bucket.policy.cross_account"]


def test_a_condition_nobody_knows_makes_its_statement_unproved(http: Http, aws: AwsServer, credentials: None) -> None:
    name = aws.bucket()
    set_policy(aws, name, statement(name, "Deny", ["s3:*"], Sid="Odd", Condition={"MoonPhase": {"aws:Moon": "full"}}))
    found = look(http, aws, name)
    policy = value(found, "bucket.policy")
    assert isinstance(policy, dict)
    assert len(policy["unproved"]) == 1
    assert value(found, "bucket.policy.write_denied") is False


def test_rules_that_delete_under_the_prefix_are_told_and_others_are_not(
    http: Http, aws: AwsServer, credentials: None
) -> None:
    name = aws.bucket()
    rules = [
        {"ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}},
        {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 1}},
        {"ID": "off", "Status": "Disabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 2}},
        {
            "ID": "old",
            "Status": "Enabled",
            "Filter": {"Prefix": "approved/models/"},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
        },
    ]
    aws.client("s3").put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
    assert value(look(http, aws, name), "bucket.lifecycle.deletes") == [
        {"rule": "all", "prefix": "", "what": "objects", "days": 30},
        {"rule": "old", "prefix": "approved/models/", "what": "versions", "days": 7},
    ]


def test_logs_and_copies_are_named(http: Http, aws: AwsServer, credentials: None) -> None:
    name, other = aws.bucket(), aws.bucket()
    s3 = aws.client("s3")
    for one in (name, other):
        s3.put_bucket_versioning(Bucket=one, VersioningConfiguration={"Status": "Enabled"})
    delivery = statement(
        other,
        "Allow",
        ["s3:PutObject"],
        Principal={"Service": "logging.s3.amazonaws.com"},
        Resource=f"arn:aws:s3:::{other}/*",
    )
    set_policy(aws, other, delivery)
    target = {"TargetBucket": other, "TargetPrefix": "logs/"}
    s3.put_bucket_logging(Bucket=name, BucketLoggingStatus={"LoggingEnabled": target})
    rule = {"ID": "copy", "Status": "Enabled", "Prefix": "", "Destination": {"Bucket": f"arn:aws:s3:::{other}"}}
    replication = {"Role": f"arn:aws:iam::{ACCOUNT}:role/copier", "Rules": [rule]}
    s3.put_bucket_replication(Bucket=name, ReplicationConfiguration=replication)
    found = look(http, aws, name)
    assert value(found, "bucket.logging") == f"s3://{other}/logs/"
    assert value(found, "bucket.replication") == [f"arn:aws:s3:::{other}"]
    assert value(look(http, aws, other), "bucket.policy.cross_account") == []


def test_an_endpoint_that_lets_everything_through_is_told_from_a_bounded_one(
    http: Http, aws: AwsServer, credentials: None
) -> None:
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    ours = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::ours/*"}
    made = [
        ec2.create_vpc_endpoint(
            VpcId=vpc,
            ServiceName="com.amazonaws.us-east-1.s3",
            PolicyDocument=policy_of("", {**ours, **more}),
        )["VpcEndpoint"]["VpcEndpointId"]
        for more in ({}, {"Action": "*", "Resource": "*"})
    ]
    name = aws.bucket()
    set_policy(aws, name, statement(name, "Deny", ["s3:*"], Condition={"StringNotEquals": {"aws:SourceVpce": made}}))
    rows = value(look(http, aws, name, services=("ec2",)), "bucket.vpc_endpoint.policy")
    assert isinstance(rows, list)
    assert {one["endpoint"]: one["bounded"] for one in rows if isinstance(one, dict)} == dict(
        zip(made, (True, False), strict=True)
    )


def test_roles_whose_own_policies_reach_the_prefix_are_named(http: Http, aws: AwsServer, credentials: None) -> None:
    iam, name = aws.client("iam"), aws.bucket()
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    arns = {}
    for role, action, resource in (
        ("writer", "s3:Put*", f"arn:aws:s3:::{name}/approved/*"),
        ("reader", "s3:Get*", "*"),
        ("elsewhere", "s3:*", f"arn:aws:s3:::{name}/other/*"),
        ("admin", "*", "*"),
    ):
        arns[role] = iam.create_role(RoleName=f"{name}-{role}", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        document = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": action, "Resource": resource}}
        iam.put_role_policy(RoleName=f"{name}-{role}", PolicyName="own", PolicyDocument=json.dumps(document))
    found = look(http, aws, name, services=("iam",))
    writers, deleters = value(found, "bucket.iam.writers"), value(found, "bucket.iam.deleters")
    assert isinstance(writers, list)
    assert isinstance(deleters, list)
    ours = set(arns.values())
    assert ours & set(map(str, writers)) == {arns["writer"], arns["admin"]}
    assert ours & set(map(str, deleters)) == {arns["admin"]}


def test_a_missing_permission_is_named(
    http: Http, aws: AwsServer, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    iam, name = aws.client("iam"), aws.bucket()
    iam.create_user(UserName=name)
    document = {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "s3:GetBucketVersioning", "Resource": "*"},
    }
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    with aws.enforcing():
        found = look(http, aws, name, services=("iam",))
    assert value(found, "bucket.versioning") == "Never"
    for id_, permission in (
        ("bucket.public_access_block", "s3:GetBucketPublicAccessBlock"),
        ("bucket.acl.public", "s3:GetBucketAcl"),
        ("bucket.policy.public", "s3:GetBucketPolicy"),
        ("bucket.encryption", "s3:GetEncryptionConfiguration"),
        ("bucket.iam.writers", "iam:GetAccountAuthorizationDetails"),
    ):
        assert permission in found.unobtained[id_], found.unobtained[id_]


def test_no_bucket_no_credentials_no_server_is_all_unobtained(
    http: Http, aws: AwsServer, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not look(http, aws, "wb-there-is-none").facts.keys() & {
        "bucket.versioning",
        "bucket.policy",
        "bucket.encryption",
    }
    gone = BucketQuestion(Address.parse("s3://b"), StoreSettings(s3_endpoint="http://127.0.0.1:9"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    assert not noted(bucket_facts.collect(http, gone, observed_at=NOW), bucket_facts.IDS).facts
    folder = replace(gone, address=Address.parse("/tmp"))
    assert not noted(bucket_facts.collect(http, folder, observed_at=NOW), bucket_facts.IDS).facts


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>welcome</html>",
        b"<AccessControlPolicy><AccessControlList><Grant/></AccessControlList></AccessControlPolicy>",
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>',
    ],
)
def test_a_server_that_answers_something_else_gives_no_good_fact(http: Http, credentials: None, body: bytes) -> None:
    """A success with another body must not read as "no rule deletes" or "nobody is allowed"."""

    class Welcoming(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with served(Welcoming) as endpoint:
        server = AwsServer(endpoint)
        found = look(http, server, "bucket", services=("iam",) if b"html" in body else (), account="")
    known = {id_: one.value for id_, one in found.facts.items() if not id_.startswith("bucket.acl")}
    assert known == {
        "bucket.versioning": "Never",
        "bucket.versioning.mfa_delete": False,
        "bucket.logging": "",
    }


# --- objects in a real S3 store, and the crossing


@dataclass
class Bridge:
    """A model that came from a Hub into S3, was approved, attested and promoted, and everything to verify it with."""

    yard: OpenYard
    hub: HubServer
    commit: str
    bucket: str
    environment: dict[str, str]
    server: S3Server

    @property
    def approved(self) -> ObjectStore:
        return self.yard.approved()

    @property
    def sealed(self) -> SealedRevision:
        return open_revision(self.approved, MODEL, self.commit, self.yard.trusted)

    def put(self, key: str, body: bytes) -> None:
        """Writes behind everybody's back."""
        self.server.client().put_object(Bucket=self.bucket, Key=key, Body=body)

    @contextlib.contextmanager
    def altered(self, key: str, body: bytes) -> Iterator[None]:
        """Within the block other bytes lie there; afterwards the version that was there before is the newest again."""
        self.put(key, body)
        client = self.server.client()
        try:
            yield
        finally:
            version = client.head_object(Bucket=self.bucket, Key=key)["VersionId"]
            client.delete_object(Bucket=self.bucket, Key=key, VersionId=version)

    def keys(self, prefix: str) -> list[str]:
        listed = self.server.client().list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return [one["Key"] for one in listed.get("Contents", [])]

    def look(self, http: Http) -> Dossier:
        question = BucketQuestion(
            Address.parse(f"s3://{self.bucket}/approved"),
            self.yard.config.store,
            store=self.approved,
            revision=self.sealed,
            verifier=self.yard.trusted,
            measure_bytes=1 << 20,
        )
        return noted(bucket_facts.collect(http, question, observed_at=NOW), bucket_facts.IDS)

    def crossing(self, **more: Any) -> Dossier:
        question = CrossingQuestion(
            self.yard.resolve(str(Reference(MODEL, self.commit))),
            self.yard.ledger(),
            self.yard.trusted,
            self.yard.store,
            self.approved.address,
            index_reader(self.yard).current,
        )
        asked = replace(question, **more)
        return noted(crossing_facts.collect(asked, observed_at=NOW), crossing_facts.IDS)


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server) -> Iterator[Bridge]:
    base = tmp_path_factory.mktemp("bridge")
    bucket = s3_server.bucket(locked=True)
    patched = pytest.MonkeyPatch()
    with HubServer() as hub:
        folder = large(base / "tiny", seed=5, chunks=0.05)
        commit = hub.repository("acme/tiny").commit({one.name: one for one in folder.iterdir()})
        environment = {
            **s3_server.environment,
            "HF_ENDPOINT": hub.endpoint,
            "WEIGHBRIDGE_STORE_QUARANTINE": f"s3://{bucket}/quarantine",
            "WEIGHBRIDGE_STORE_APPROVED": f"s3://{bucket}/approved",
            "WEIGHBRIDGE_STORE_APPROVED_LOCK_MODE": "GOVERNANCE",
            "WEIGHBRIDGE_STORE_APPROVED_LOCK_DAYS": "1",
        }
        command = Command(base / "home", environment)
        reference = f"acme/tiny@{commit}"
        command("ingest", "hf://acme/tiny", "--fail-on", "never", code=None)
        command("approve", reference, "--reason", "looked at it")
        command("attest", reference)
        command("promote", reference, "--channel", "production")
        for name, text in environment.items():
            patched.setenv(name, text)
        with OpenYard(Home(base / "home"), Output(quiet=True)) as yard:
            yield Bridge(yard, hub, commit, bucket, environment, s3_server)
    patched.undo()


s3 = pytest.mark.s3
together = pytest.mark.xdist_group("s3")


@s3
@together
def test_everything_of_a_whole_crossing_holds(bridge: Bridge) -> None:
    found = bridge.crossing()
    for id_ in crossing_facts.IDS[:-1]:
        one = value(found, id_)
        assert isinstance(one, dict)
        assert one["holds"] is True, (id_, one)
    inspection, decision = value(found, "crossing.inspection"), value(found, "crossing.decision")
    assert isinstance(inspection, dict)
    assert isinstance(decision, dict)
    assert (inspection["verdict"], inspection["current"]) == ("clean", True)
    assert decision["current"] is True
    channel, attested = value(found, "crossing.channel"), value(found, "crossing.attestations")
    assert isinstance(channel, dict)
    assert isinstance(attested, dict)
    assert (channel["channels"], channel["revoked"]) == (["production"], False)
    assert attested["kinds"] == ["inspection", "provenance", "vsa"]
    coverage = value(found, "crossing.coverage")
    assert isinstance(coverage, dict)
    assert coverage["inspected_bytes"] == coverage["present_bytes"]
    assert coverage["incomplete"] == []
    assert str(value(found, "crossing.upstream_checked_at")).startswith("20")


@s3
@together
@pytest.mark.parametrize(
    ("record", "id_"),
    [
        ("approved/records/acme/tiny/{}/seal.dsse.json", "crossing.seal"),
        ("quarantine/records/acme/tiny/{}/manifest.json", "crossing.manifest"),
        ("quarantine/records/acme/tiny/{}/inspection.json", "crossing.inspection"),
        ("quarantine/records/acme/tiny/{}/attestations/provenance.", "crossing.attestations"),
        ("quarantine/records/acme/tiny/{}/decisions/", "crossing.decision"),
        ("quarantine/models/acme/tiny/{}/README.md", "crossing.bom"),
    ],
)
def test_a_record_that_was_altered_is_there_and_does_not_hold(bridge: Bridge, record: str, id_: str) -> None:
    (key,) = bridge.keys(record.format(bridge.commit))
    body = bridge.server.client().get_object(Bucket=bridge.bucket, Key=key)["Body"].read()
    with bridge.altered(key, body.replace(b"1", b"2")):
        one = value(bridge.crossing(), id_)
    assert isinstance(one, dict)
    if id_ == "crossing.bom":
        assert one["holds"] is True, "the sealed version is read, whatever hides it"
        return
    assert one["holds"] is False
    assert one["why"] or one["failed"]


@s3
@together
def test_a_stranger_s_key_holds_nothing(bridge: Bridge) -> None:
    found = bridge.crossing(verifier=TrustedKeys())
    for name in ("manifest", "seal", "inspection", "audit", "attestations"):
        one = value(found, f"crossing.{name}")
        assert isinstance(one, dict)
        assert one["holds"] is False, name


@s3
@together
def test_a_store_out_of_reach_is_unobtained_and_not_broken(bridge: Bridge) -> None:
    def nowhere(address: str) -> ObjectStore:
        raise StoreUnreachable(f"{address} does not answer")

    found = bridge.crossing(store_of=nowhere, index=None)
    assert set(found.facts) == {"crossing.audit", "crossing.upstream_checked_at"}
    assert "does not answer" in found.unobtained["crossing.seal"]


@s3
@together
def test_a_ledger_that_was_altered_does_not_hold(bridge: Bridge, tmp_path: Path) -> None:
    shutil.copy(bridge.yard.home.ledger_head, tmp_path / "head.json")
    with sqlite3.connect(bridge.yard.home.ledger) as whole, sqlite3.connect(tmp_path / "ledger.sqlite") as copy:
        whole.backup(copy)
        copy.execute("UPDATE ledger_events SET actor = 'nobody' WHERE sequence = 2")
    with Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", head_path=tmp_path / "head.json", signer=None) as ledger:
        one = value(bridge.crossing(ledger=ledger), "crossing.audit")
    assert isinstance(one, dict)
    assert one["holds"] is False
    assert "event 2" in str(one["why"])


@s3
@together
def test_objects_are_held_against_the_signed_manifest(bridge: Bridge, http: Http) -> None:
    prefix = f"approved/models/acme/tiny/{bridge.commit}"
    found = bridge.look(http)
    for name in ("objects.extra", "objects.missing", "objects.differ", "models.unsigned", "models.unscanned"):
        assert value(found, f"bucket.{name}") == []
    sample = value(found, "bucket.object_lock.sample")
    assert isinstance(sample, dict)
    assert (sample["objects"], sample["retained"], sample["held"]) == (3, 3, 0)
    assert str(sample["until"]) > "2026"
    assert value(found, "bucket.load_seconds") == 1
    strange = "2" * 40
    bridge.put(f"{prefix}/evil.py", b"import os")
    bridge.put(f"approved/models/acme/other/{strange}/model.safetensors", b"weights")
    bridge.put("approved/loose/model.gguf", b"GGUF")
    bridge.put(f"{prefix}/README.md", b"# other words\n")
    bridge.server.client().delete_object(Bucket=bridge.bucket, Key=f"{prefix}/config.json")
    found = bridge.look(http)
    assert value(found, "bucket.objects.extra") == ["evil.py"]
    assert value(found, "bucket.objects.missing") == ["config.json"]
    assert value(found, "bucket.objects.differ") == ["README.md"]
    assert value(found, "bucket.models.unsigned") == [f"acme/other@{strange}", "loose/"]
    assert value(found, "bucket.models.unscanned") == [f"acme/other@{strange}", "loose/"]


@s3
@together
def test_what_an_s3_server_does_not_have_is_said(bridge: Bridge, http: Http) -> None:
    """A server of one's own has no KMS, IAM or EC2 beside it, and need not know every call."""
    found = bridge.look(http)
    assert value(found, "bucket.versioning") == "Enabled"
    for id_ in ("bucket.iam.writers", "bucket.kms_key.users"):
        assert found.unobtained[id_]
    assert "IAM was not asked" in found.unobtained["bucket.iam.writers"]


# --- deployments


CLOSED = {
    "pod.yaml": b"""
apiVersion: apps/v1
kind: Deployment
metadata: {name: llm, namespace: models}
spec:
  template:
    metadata: {labels: {app: llm}}
    spec:
      containers:
      - name: engine
        image: vllm/vllm-openai@sha256:%(image)s
        args: [--model, /mnt/models]
        env:
        - {name: HF_HUB_OFFLINE, value: "1"}
        volumeMounts: [{name: model, mountPath: /mnt/models/acme/tiny/%(commit)s, readOnly: true}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: models}
spec:
  podSelector: {matchLabels: {app: llm}}
  policyTypes: [Ingress, Egress]
  egress:
  - to: [{podSelector: {matchLabels: {app: gateway}}}]
"""
    % {b"image": b"a" * 64, b"commit": b"1" * 40}
}


def deployed(files: dict[str, bytes]) -> Dossier:
    return noted(deployment_facts.collect(files, observed_at=NOW), deployment_facts.IDS)


def states(files: dict[str, bytes]) -> tuple[JsonValue, ...]:
    found = deployed(files)
    return tuple(value(found, f"deployment.{name}") for name in ("offline", "isolated", "pinned"))


def test_a_closed_deployment_is_offline_isolated_and_pinned() -> None:
    assert states(CLOSED) == (True, True, True)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (b'value: "1"', b'value: "0"', (False, True, True)),
        (b"HF_HUB_OFFLINE", b"HF_HUB_ONLINE", (False, True, True)),
        (b"--model, /mnt/models", b"--model, deepseek-ai/DeepSeek-R1", (False, True, True)),
        (b"--model, /mnt/models", b"--model=deepseek-ai/DeepSeek-R1", (False, True, True)),
        (b'value: "1"}', b'value: "1"}\n        - {name: HF_MODEL_ID, value: org/name}', (False, True, True)),
        (b'value: "1"}', b"valueFrom: {configMapKeyRef: {name: a, key: b}}}", (False, True, True)),
        (b"namespace: models}\nspec:\n  podSelector", b"namespace: other}\nspec:\n  podSelector", (True, False, True)),
        (b"podSelector: {matchLabels: {app: llm}}", b"podSelector: {matchLabels: {app: web}}", (True, False, True)),
        (b"policyTypes: [Ingress, Egress]", b"policyTypes: [Ingress]", (True, False, True)),
        (b"- to: [{podSelector: {matchLabels: {app: gateway}}}]", b"- {}", (True, False, True)),
        (b"[{podSelector: {matchLabels: {app: gateway}}}]", b"[{ipBlock: {cidr: 0.0.0.0/0}}]", (True, False, True)),
        (b"@sha256:" + b"a" * 64, b":latest", (True, True, False)),
        (b"1" * 40, b"main", (True, True, False)),
    ],
)
def test_one_open_end_opens_a_deployment(before: bytes, after: bytes, expected: tuple[bool, ...]) -> None:
    assert CLOSED["pod.yaml"].count(before) == 1
    assert states({"pod.yaml": CLOSED["pod.yaml"].replace(before, after)}) == expected


def test_a_second_engine_that_is_open_opens_the_whole() -> None:
    open_one = b"services:\n  side:\n    image: vllm/vllm-openai:latest\n    command: [--model, org/name]\n"
    assert states({**CLOSED, "compose.yaml": open_one}) == (False, False, False)


def sagemaker(flag: str) -> dict[str, bytes]:
    return {
        "template.yaml": f"""
Resources:
  Model:
    Type: AWS::SageMaker::Model
    Properties:
      EnableNetworkIsolation: {flag}
      PrimaryContainer:
        Image: 1.dkr.ecr.us-east-1.amazonaws.com/vllm@sha256:{"a" * 64}
        Environment: {{HF_HUB_OFFLINE: "1", SM_VLLM_MODEL: /opt/ml/model}}
        ModelDataSource: {{S3DataSource: {{S3Uri: "s3://b/models/acme/tiny/{"1" * 40}/"}}}}
""".encode()
    }


@pytest.mark.parametrize(("flag", "isolated"), [("true", True), ("false", False)])
def test_network_isolation_of_sagemaker(flag: str, isolated: bool) -> None:
    assert states(sagemaker(flag)) == (True, isolated, True)


def test_an_isolation_that_is_told_only_when_it_is_deployed_is_no_fact() -> None:
    found = deployed(sagemaker("!Ref Isolation"))
    assert "cannot be told from these files" in found.unobtained["deployment.isolated"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("main.tf", b'resource "aws_sagemaker_model" "m" {'),
        ("deploy.py", b"import sagemaker"),
        ("chart.yaml", b"kind: Pod\nspec: {{ .Values.spec }}\n"),
        ("a.yaml", b"a: &a [*a]"),
        ("a.yaml", b"a: !!python/object/apply:os.system [id]"),
        ("a.yaml", b"kind: Pod\nkind: Service\n"),
        ("a.yaml", b"\xff\xfe"),
        ("a.json", b"{" * 100_000),
        (
            "a.yaml",
            b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(b"b%d: &b%d [*a,*a,*a]\n" % (n, n) for n in range(20_000)),
        ),
        ("a.yaml", b"words: only\n"),
    ],
)
def test_a_file_that_is_not_read_leaves_all_states_unobtained(name: str, data: bytes) -> None:
    found = deployed({**CLOSED, name: data} if name != "a.yaml" or b"words" not in data else {name: data})
    assert not [id_ for id_ in found.facts if id_ in deployment_facts.STATE_IDS]


def test_what_lint_finds_is_evidence() -> None:
    pod = CLOSED["pod.yaml"].replace(b"/mnt/models]", b"org/name, --trust-remote-code]")
    found = deployed({"pod.yaml": pod})
    rows = value(found, "deployment.findings")
    assert isinstance(rows, list)
    said = {str(one["rule"]): one for one in rows if isinstance(one, dict)}
    assert said["deploy-remote-code"]["severity"] == "high"
    assert said["deploy-remote-code"]["path"] == "pod.yaml"
    assert found.facts["deployment.findings"].digest
    assert not deployed({}).facts
