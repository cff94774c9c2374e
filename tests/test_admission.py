"""From quarantine to a channel by the command line: what must be true of every step, and what each attack runs into."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.support import deepseek
from tests.support.postgres import PostgresServer
from tests.support.safetensors_corpus import described
from tests.support.seaweed import S3Server
from weighbridge.store.ledger import Ledger

CARD = "---\nlicense: apache-2.0\n---\n# Tiny\n"


def make(folder: Path, words: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(CARD + words)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
    (folder / "model.safetensors").write_bytes(described())
    return folder


def arrive(weighbridge: Command, folder: Path, words: str = "") -> str:
    """Ingests a version of acme/tiny and returns its revision."""
    done = weighbridge("ingest", str(make(folder, words)), "--as", "acme/tiny", "--json")
    return str(done.event("ingested")["revision"])


@pytest.fixture
def arrived(weighbridge: Command, tmp_path: Path) -> Command:
    arrive(weighbridge, tmp_path / "tiny")
    return weighbridge


def kinds(weighbridge: Command) -> list[str]:
    return [event["kind"] for event in weighbridge("audit", "log", "--json", "--limit", "0").events]


def test_the_whole_way_and_back(arrived: Command, tmp_path: Path) -> None:
    assert arrived("decide", "acme/tiny", "--json").json["outcome"] == "admit"
    assert "0 of 1 approvals" in arrived("promote", "acme/tiny", code=5).err
    approved = arrived("approve", "acme/tiny", "--reason", "looked at it", "--json").json
    assert (approved["own"], approved["approvals"], approved["needed"]) == (True, 1, 1)
    first = arrived("promote", "acme/tiny", "--channel", "production", "--json").json["revision"]
    second = arrive(arrived, tmp_path / "tiny", "More words.\n")
    assert second != first
    arrived("approve", f"acme/tiny@{second}", "--reason", "only words")
    arrived("promote", f"acme/tiny@{second}", "--channel", "production")
    assert arrived("show", "acme/tiny@production", "--json").json["revision"] == second
    assert arrived("rollback", "acme/tiny", "--channel", "production", "--json").json["revision"] == first
    arrived("revoke", f"acme/tiny@{second}", "--reason", "it talks")
    assert "was revoked: it talks" in arrived("promote", f"acme/tiny@{second}", "--channel", "production", code=7).err
    assert "revoked" in arrived("rollback", "acme/tiny", "--channel", "production", "--to", second, code=7).err
    rows = {row["revision"]: row for row in arrived("ls", "--json").json if row["stage"] == "approved"}
    assert rows[first]["channels"] == ["production"]
    arrived("check")
    arrived("audit", "verify")
    for kind in ("revision.decided", "revision.approved", "revision.promoted", "channel.set", "revision.revoked"):
        assert kind in kinds(arrived)


def test_the_approved_store_carries_its_own_proof(arrived: Command) -> None:
    arrived("approve", "acme/tiny", "--reason", "looked at it")
    arrived("promote", "acme/tiny", "--channel", "production")
    records = arrived.home / "approved" / "records"
    names = {path.name for path in records.rglob("*.json")}
    assert {"manifest.json", "seal.dsse.json", "bom.cyclonedx.json", "bom.spdx.json"} <= names
    assert len(list(records.rglob("decisions/*.json"))) == len(list(records.rglob("approvals/*.json"))) == 1
    (summary,) = records.rglob("vsa.*.dsse.json")
    assert arrived("attest", "acme/tiny", "--verify", str(summary)).out
    assert arrived("verify", "acme/tiny", "--deep", "--json").json["verified"]


def test_a_second_opinion_is_needed_where_policy_asks(arrived: Command, tmp_path: Path) -> None:
    four = {"WEIGHBRIDGE_POLICY_FILE": str(tmp_path / "four.toml")}
    (tmp_path / "four.toml").write_text(
        'name = "four"\nextends = "balanced"\n[approvals]\nlow = 2\nmedium = 2\nself_approval = false\n'
    )
    arrived("people", "add", "ada", "--role", "admin")
    refused = arrived("approve", "acme/tiny", "--reason", "mine", env=four, code=5).err
    assert "asked for" in refused
    for name in ("rob", "rita"):
        arrived("people", "key", name)
        arrived("people", "add", name, "--role", "reviewer", "--person", "ada")
    arrived("approve", "acme/tiny", "--person", "rob", "--reason", "one", env=four)
    assert "1 of 2 approvals" in arrived("promote", "acme/tiny", env=four, code=5).err
    arrived("approve", "acme/tiny", "--person", "rita", "--reason", "two", env=four)
    arrived("promote", "acme/tiny", env=four)
    assert arrived("promote", "acme/tiny", code=5).err.count("0 of 1") == 1  # other policy, other decision


def test_a_rejection_keeps_it_out(arrived: Command) -> None:
    arrived("reject", "acme/tiny", "--reason", "the licence forbids it")
    assert "rejected by" in arrived("promote", "acme/tiny", code=5).err


def test_what_policy_denies_nobody_promotes(weighbridge: Command, tmp_path: Path) -> None:
    folder = make(tmp_path / "tiny")
    (folder / "weights.pkl").write_bytes(b"cposix\nsystem\n(S'id'\ntR.")
    weighbridge("ingest", str(folder), "--as", "acme/tiny", "--fail-on", "never", code=None)
    assert "no approval lifts that" in weighbridge("approve", "acme/tiny", "--reason", "trust me", code=5).err
    refused = weighbridge("promote", "acme/tiny", "--json", code=5)
    assert refused.json["error"] == "Denied"
    assert not (weighbridge.home / "approved" / "models").exists()


def test_a_removed_or_broken_policy_closes_the_gate(arrived: Command, tmp_path: Path) -> None:
    arrived("approve", "acme/tiny", "--reason", "looked at it")
    missing = {"WEIGHBRIDGE_POLICY_FILE": str(tmp_path / "gone.toml")}
    assert "gone.toml" in arrived("promote", "acme/tiny", env=missing, code=2).err
    (tmp_path / "gone.toml").write_text("[findings\n")
    arrived("promote", "acme/tiny", env=missing, code=2)
    assert not (arrived.home / "approved").exists()


def test_an_altered_ledger_closes_the_gate(arrived: Command) -> None:
    arrived("approve", "acme/tiny", "--reason", "looked at it")
    with closing(sqlite3.connect(arrived.home / "ledger.sqlite")) as connection:
        connection.execute("UPDATE ledger_events SET actor = 'somebody' WHERE kind = 'revision.ingested'")
        connection.commit()
    assert "was altered" in arrived("promote", "acme/tiny", code=6).err


def test_findings_that_appear_later_undo_the_approval(arrived: Command, tmp_path: Path) -> None:
    """A new rule set finds something after the approval: what was approved is not what would be promoted."""
    arrived("approve", "acme/tiny", "--reason", "looked at it")
    arrived("rescan", "acme/tiny", "--without", "malware", code=None)
    refused = arrived("promote", "acme/tiny", code=5).err
    assert "coverage" in refused or "not what policy says now" in refused or "hold" in refused


def test_swapped_shard_163_of_163_is_not_promoted(weighbridge: Command, r1_folder: Path, tmp_path: Path) -> None:
    """The last shard of another revision, of the same size, in the place of this one's."""
    policy = tmp_path / "code.toml"
    policy.write_text(
        'name = "code"\nextends = "balanced"\n[[exception]]\nid = "code"\nrules = ["remote-code"]\nmodels = ["acme/r1"]\n'
        'reason = "read"\nperson = "ada"\nexpires = 2099-01-01\n'
    )
    weighbridge.environment["WEIGHBRIDGE_POLICY_FILE"] = str(policy)
    other = deepseek.build(tmp_path / "other", seed=1)
    weighbridge("ingest", str(r1_folder), "--as", "acme/r1", "--fail-on", "never", code=None)
    decided = weighbridge("decide", "acme/r1", "--json", code=None).json
    assert decided["outcome"] == "admit", decided["reasons"]
    weighbridge("approve", "acme/r1", "--reason", "read it all")
    name = "model-00163-of-000163.safetensors"
    (stored,) = (weighbridge.home / "store" / "models").rglob(name)
    original = stored.read_bytes()
    stored.chmod(0o644)
    stored.write_bytes((other / name).read_bytes())
    assert name in weighbridge("promote", "acme/r1", code=6).err
    assert not list((weighbridge.home / "approved").rglob("seal.dsse.json"))
    stored.write_bytes(original)
    process = weighbridge.start("promote", "acme/r1", "--channel", "production")
    while len(list((weighbridge.home / "approved").rglob("model-*.safetensors"))) < 170 and process.poll() is None:
        if len(list((weighbridge.home / "approved").rglob("*.safetensors"))) > 20:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    process.communicate()
    done = weighbridge("promote", "acme/r1", "--channel", "production", "--json").json
    assert done["artifacts"] == sum(path.is_file() for path in (weighbridge.home / "approved" / "models").rglob("*"))
    weighbridge("verify", "acme/r1", "--subset", "1/40", "--quiet")


@pytest.mark.s3
def test_between_buckets_with_the_ledger_in_postgresql(
    on_s3: Command, s3_server: S3Server, postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.url()
    on_s3.environment["WEIGHBRIDGE_LEDGER_URL"] = url
    on_s3.environment["WEIGHBRIDGE_STORE_QUARANTINE"] = f"s3://{s3_server.bucket()}/in"
    bucket = s3_server.bucket(locked=True)
    on_s3.environment["WEIGHBRIDGE_STORE_APPROVED"] = f"s3://{bucket}/out"
    on_s3.environment["WEIGHBRIDGE_STORE_APPROVED_LOCK_MODE"] = "COMPLIANCE"
    on_s3.environment["WEIGHBRIDGE_STORE_APPROVED_LOCK_DAYS"] = "1"
    revision = arrive(on_s3, tmp_path / "tiny")
    on_s3("approve", "acme/tiny", "--reason", "looked at it")
    on_s3("promote", "acme/tiny", "--channel", "production")
    key = f"out/models/acme/tiny/{revision}/model.safetensors"
    assert s3_server.client().head_object(Bucket=bucket, Key=key)["ObjectLockMode"] == "COMPLIANCE"
    assert "production" in on_s3("channels", "acme/tiny").out
    on_s3("audit", "verify")
    on_s3("check")
    with Ledger(url, head_path=on_s3.home / "ledger.head.json", signer=None) as ledger:
        assert {"revision.approved", "revision.promoted", "channel.set"} <= {event.kind for event in ledger.events()}
