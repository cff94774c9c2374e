"""What is gathered of our own records as they verify, and of the objects in a real S3 store."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command
from tests.support.gateway import large
from tests.support.gathered import NOW, http_pool, noted, value
from tests.support.hub import (
    HubServer,
)
from tests.support.seaweed import S3Server
from weighbridge.attest.keys import TrustedKeys
from weighbridge.cli.channeling import index_reader
from weighbridge.cli.console import Output
from weighbridge.cli.settings import Home
from weighbridge.cli.yard import OpenYard
from weighbridge.core.errors import StoreUnreachable
from weighbridge.core.names import Address, ModelName, Reference
from weighbridge.core.ports import ObjectStore
from weighbridge.posture import bucket_facts, crossing_facts
from weighbridge.posture.bucket_facts import BucketQuestion
from weighbridge.posture.crossing_facts import CrossingQuestion
from weighbridge.posture.evidence import Dossier
from weighbridge.store.ledger import Ledger
from weighbridge.vault.records import SealedRevision, open_revision
from weighbridge.wire.http import Http

MODEL = ModelName("acme", "tiny")


@pytest.fixture
def http() -> Iterator[Http]:
    with http_pool() as pool:
        yield pool


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
