"""The same journeys on a real S3 server: versions, conditions, checksums, encryption, locks, refusals."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import Command
from tests.support.cutting_proxy import Cue, cutting
from tests.support.hub import Fault, HubServer, Stall
from tests.support.postgres import PostgresServer
from tests.support.seaweed import S3Server
from tests.support.waiting import eventually
from tests.support.weights import weights

pytestmark = [pytest.mark.s3, pytest.mark.xdist_group("s3")]

MIB = 1024 * 1024
SMALL_PARTS = ("--part-bytes", str(8 * MIB), "--memory-bytes", str(32 * MIB), "--streams", "2", "--uploads", "2")


@pytest.fixture
def model(hub: HubServer) -> Callable[..., dict[str, bytes]]:
    """Publishes a model with one file of several parts and some small ones."""

    def publish(size_bytes: int = 20 * MIB, name: str = "acme/tiny") -> dict[str, bytes]:
        files = {"config.json": b"{}", "empty.txt": b"", "w.bin": weights(size_bytes)}
        hub.repository(name).commit(files, lfs=("*.bin",))
        return files

    return publish


@pytest.fixture
def both(on_s3: Command, hub: HubServer) -> Command:
    """The command line with the Hub and the S3 server."""
    on_s3.environment["HF_ENDPOINT"] = hub.endpoint
    return on_s3


def keys(server: S3Server, bucket: str, prefix: str = "") -> list[str]:
    """All current keys."""
    return [item["Key"] for item in server.client().list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]


def uploads(server: S3Server, bucket: str) -> list[Any]:
    """Unfinished uploads."""
    return list(server.client().list_multipart_uploads(Bucket=bucket).get("Uploads", []))


def test_a_model_comes_in_and_every_depth_verifies(
    both: Command, s3_server: S3Server, model: Callable[..., dict[str, bytes]], tmp_path: Path
) -> None:
    files, bucket = model(), s3_server.bucket()
    done = both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}/q", *SMALL_PARTS, "--json").event("ingested")
    prefix = f"q/models/acme/tiny/{done['revision']}/"
    assert sorted(keys(s3_server, bucket, prefix)) == sorted(f"{prefix}{path}" for path in files)
    for path, data in files.items():
        assert s3_server.client().get_object(Bucket=bucket, Key=f"{prefix}{path}")["Body"].read() == data
    assert uploads(s3_server, bucket) == []
    shallow = both("verify", "acme/tiny", "--json").json
    assert shallow["verified"]
    assert shallow["read_bytes"] == 0
    assert any("checksum" in claim for claim in shallow["proved"])
    thirds = [both("verify", "acme/tiny", "--subset", f"{n}/3", "--json").json["read_bytes"] for n in (1, 2, 3)]
    deep = both("verify", "acme/tiny", "--deep", "--json").json
    assert sum(thirds) == deep["read_bytes"] == sum(map(len, files.values()))
    both("export", "acme/tiny", str(tmp_path / "out"), "--no-signature")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == files
    checked = both("check", "--json").json
    assert checked["ledger"] == "ok"
    assert not checked["stores"][0]["problems"]
    assert not checked["stores"][0]["leftovers"]


def test_the_store_records_our_checksum_of_the_full_object(
    both: Command, s3_server: S3Server, model: Callable[..., dict[str, bytes]]
) -> None:
    import base64

    from awscrt.checksums import crc64nvme

    files, bucket = model(), s3_server.bucket()
    done = both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", *SMALL_PARTS, "--json").event("ingested")
    for path in ("w.bin", "config.json"):
        key = f"models/acme/tiny/{done['revision']}/{path}"
        head = s3_server.client().head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        expected = base64.b64encode(crc64nvme(files[path]).to_bytes(8, "big")).decode()
        assert head["ChecksumCRC64NVME"] == expected


def test_an_overwritten_object_is_noticed_without_reading(
    both: Command, s3_server: S3Server, model: Callable[..., dict[str, bytes]]
) -> None:
    files, bucket = model(), s3_server.bucket()
    done = both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", "--json").event("ingested")
    key = f"models/acme/tiny/{done['revision']}/w.bin"
    swapped = bytearray(files["w.bin"])
    swapped[100] ^= 1
    s3_server.client().put_object(Bucket=bucket, Key=key, Body=bytes(swapped))
    found = both("verify", "acme/tiny", "--json", code=6).json
    assert [problem["path"] for problem in found["problems"]] == ["w.bin"]
    assert found["problems"][0]["kind"] in ("checksum", "version")


def test_the_same_bytes_put_again_by_a_stranger_are_noticed(
    both: Command, s3_server: S3Server, model: Callable[..., dict[str, bytes]]
) -> None:
    files, bucket = model(MIB), s3_server.bucket()
    done = both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", "--json").event("ingested")
    key = f"models/acme/tiny/{done['revision']}/config.json"
    s3_server.client().put_object(Bucket=bucket, Key=key, Body=files["config.json"], ChecksumAlgorithm="CRC64NVME")
    found = both("verify", "acme/tiny", "--json", code=6).json
    assert [problem["kind"] for problem in found["problems"]] == ["version"]


def test_a_deleted_and_an_extra_object_are_noticed(
    both: Command, s3_server: S3Server, model: Callable[..., dict[str, bytes]]
) -> None:
    model(MIB)
    bucket = s3_server.bucket()
    done = both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", "--json").event("ingested")
    prefix = f"models/acme/tiny/{done['revision']}/"
    s3_server.client().delete_object(Bucket=bucket, Key=f"{prefix}config.json")
    s3_server.client().put_object(Bucket=bucket, Key=f"{prefix}pytorch_model.bin", Body=b"surprise")
    found = both("verify", "acme/tiny", "--json", code=6).json
    assert {(problem["path"], problem["kind"]) for problem in found["problems"]} == {
        ("config.json", "missing"),
        ("pytorch_model.bin", "extra"),
    }


def test_an_unversioned_bucket_is_refused_unless_told(
    both: Command, s3_server: S3Server, model: Callable[..., dict[str, bytes]]
) -> None:
    model(1000)
    bucket = s3_server.bucket(versioned=False)
    refused = both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", code=1)
    assert "versioning" in refused.err
    assert keys(s3_server, bucket) == []
    both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", "--allow-unversioned")
    both("verify", "acme/tiny", "--deep")


def test_a_suspended_bucket_is_refused(
    both: Command, s3_server: S3Server, model: Callable[..., dict[str, bytes]]
) -> None:
    model(1000)
    bucket = s3_server.bucket()
    s3_server.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert "suspended" in both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", code=1).err


def test_nothing_is_overwritten(both: Command, s3_server: S3Server, model: Callable[..., dict[str, bytes]]) -> None:
    model()
    bucket = s3_server.bucket()
    plan = both("ingest", "hf://acme/tiny", "--dry-run", "--json").json
    key = f"models/acme/tiny/{plan['revision']}/w.bin"
    s3_server.client().put_object(Bucket=bucket, Key=key, Body=b"someone was here first")
    refused = both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", *SMALL_PARTS, code=1)
    assert "already holds other bytes" in refused.err
    assert s3_server.client().get_object(Bucket=bucket, Key=key)["Body"].read() == b"someone was here first"
    assert not keys(s3_server, bucket, "records/")


def test_wrong_secrets_are_refused_and_never_printed(
    both: Command, s3_server: S3Server, model: Callable[..., dict[str, bytes]]
) -> None:
    model(1000)
    bucket = s3_server.bucket()
    wrong = {"AWS_SECRET_ACCESS_KEY": "not-the-secret-4242"}
    refused = both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", env=wrong, code=1)
    assert "not-the-secret-4242" not in refused.err + refused.out
    assert "credentials" in refused.err
    assert keys(s3_server, bucket) == []


def test_no_credentials_at_all(both: Command, s3_server: S3Server) -> None:
    both.environment.pop("AWS_ACCESS_KEY_ID")
    both.environment.pop("AWS_SECRET_ACCESS_KEY")
    refused = both("ingest", "hf://acme/tiny", "--to", "s3://anywhere", code=2)
    assert "AWS_ACCESS_KEY_ID" in refused.err


def test_a_reader_may_verify_and_not_ingest(
    both: Command, s3_server: S3Server, model: Callable[..., dict[str, bytes]]
) -> None:
    model(MIB)
    bucket = s3_server.bucket()
    reader = {"AWS_ACCESS_KEY_ID": s3_server.reader_key, "AWS_SECRET_ACCESS_KEY": s3_server.reader_secret}
    refused = both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", env=reader, code=1)
    assert "AccessDenied" in refused.err
    both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}")
    both("verify", "acme/tiny", "--deep", env=reader)


def test_a_deny_policy_is_obeyed_and_explained(
    both: Command, s3_server: S3Server, model: Callable[..., dict[str, bytes]]
) -> None:
    model(1000)
    bucket = s3_server.bucket()
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:PutObject",
                "Resource": f"arn:aws:s3:::{bucket}/models/*",
            }
        ],
    }
    s3_server.client().put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    refused = both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", code=1)
    assert "AccessDenied" in refused.err
    assert "policy" in refused.err
    assert keys(s3_server, bucket, "models/") == []


@pytest.mark.parametrize(("mode", "key"), [("AES256", ""), ("aws:kms", "weighbridge-test-key")])
def test_encryption_settings_reach_every_object(
    both: Command, s3_server: S3Server, model: Callable[..., dict[str, bytes]], mode: str, key: str
) -> None:
    files, bucket = model(), s3_server.bucket()
    settings = {"WEIGHBRIDGE_STORE_S3_ENCRYPTION": mode, "WEIGHBRIDGE_STORE_S3_KMS_KEY": key}
    both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", *SMALL_PARTS, env=settings)
    for stored in keys(s3_server, bucket):
        head = s3_server.client().head_object(Bucket=bucket, Key=stored)
        assert head["ServerSideEncryption"] == mode
    assert len(keys(s3_server, bucket, "models/")) == len(files)
    both("verify", "acme/tiny", "--deep", env=settings)


def test_object_lock_settings_reach_every_object(
    both: Command, s3_server: S3Server, model: Callable[..., dict[str, bytes]]
) -> None:
    model()
    bucket = s3_server.bucket(locked=True)
    settings = {"WEIGHBRIDGE_STORE_OBJECT_LOCK_MODE": "COMPLIANCE", "WEIGHBRIDGE_STORE_OBJECT_LOCK_DAYS": "1"}
    both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", *SMALL_PARTS, env=settings)
    client = s3_server.client()
    for stored in keys(s3_server, bucket):
        head = client.head_object(Bucket=bucket, Key=stored)
        assert head["ObjectLockMode"] == "COMPLIANCE"
        with pytest.raises(ClientError):
            client.delete_object(Bucket=bucket, Key=stored, VersionId=head["VersionId"])
    both("verify", "acme/tiny")


def test_a_copy_within_a_locked_bucket_is_locked_too(both: Command, s3_server: S3Server, hub: HubServer) -> None:
    small = os.urandom(100_000)
    repository = hub.repository("acme/tiny")
    bucket = s3_server.bucket(locked=True)
    settings = {
        "WEIGHBRIDGE_STORE_OBJECT_LOCK_MODE": "GOVERNANCE",
        "WEIGHBRIDGE_STORE_OBJECT_LOCK_DAYS": "1",
        "WEIGHBRIDGE_STORE_LEGAL_HOLD": "true",
    }
    repository.commit({"README.md": b"one", "w.bin": small}, lfs=("*.bin",))
    both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", env=settings)
    repository.commit({"README.md": b"two", "w.bin": small}, lfs=("*.bin",))
    done = both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", "--json", env=settings).event("ingested")
    assert done["how"]["copied"] == 1
    for stored in keys(s3_server, bucket, "models/"):
        head = s3_server.client().head_object(Bucket=bucket, Key=stored)
        assert head["ObjectLockMode"] == "GOVERNANCE"
        assert head["ObjectLockLegalHoldStatus"] == "ON"


def test_a_folder_into_a_locked_bucket_leaves_no_staging(on_s3: Command, s3_server: S3Server, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "w.bin").write_bytes(os.urandom(50_000))
    bucket = s3_server.bucket(locked=True)
    settings = {"WEIGHBRIDGE_STORE_OBJECT_LOCK_MODE": "COMPLIANCE", "WEIGHBRIDGE_STORE_OBJECT_LOCK_DAYS": "1"}
    on_s3("ingest", str(folder), "--to", f"s3://{bucket}", env=settings)
    assert s3_server.client().list_object_versions(Bucket=bucket, Prefix="incoming/").get("Versions", []) == []
    (stored,) = keys(s3_server, bucket, "models/")
    assert s3_server.client().head_object(Bucket=bucket, Key=stored)["ObjectLockMode"] == "COMPLIANCE"


def test_what_default_retention_keeps_is_named_by_gc(on_s3: Command, s3_server: S3Server, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "w.bin").write_bytes(os.urandom(50_000))
    bucket = s3_server.bucket(locked=True)
    s3_server.client().put_object_lock_configuration(
        Bucket=bucket,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}},
        },
    )
    on_s3("ingest", str(folder), "--to", f"s3://{bucket}")
    on_s3("verify", "local/tiny", "--deep")
    collected = on_s3("gc", "--store", f"s3://{bucket}", "--older-than", "0", "--json").json
    staged = keys(s3_server, bucket, "incoming/")
    assert [item["key"] for item in collected["refused"]] == staged
    assert not collected["removed"]


def test_what_the_bucket_holds_is_copied_on_the_server(both: Command, s3_server: S3Server, hub: HubServer) -> None:
    large = weights(20 * MIB)
    repository = hub.repository("acme/tiny")
    bucket = s3_server.bucket()
    repository.commit({"README.md": b"one", "w.bin": large}, lfs=("*.bin",))
    both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", *SMALL_PARTS)
    repository.commit({"README.md": b"two", "w.bin": large}, lfs=("*.bin",))
    hub.forget_requests()
    done = both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", *SMALL_PARTS, "--json").event("ingested")
    assert done["how"] == {"streamed": 1, "copied": 1, "kept": 0}
    assert hub.bytes_sent("w.bin") == 0
    both("verify", f"acme/tiny@{done['revision'][:8]}", "--deep")


def test_from_a_bucket_to_a_bucket(on_s3: Command, s3_server: S3Server) -> None:
    source, target = s3_server.bucket(), s3_server.bucket()
    files = {"config.json": b"{}", "deep/er/w.bin": weights(20 * MIB), "empty": b""}
    for path, data in files.items():
        s3_server.client().put_object(Bucket=source, Key=f"somewhere/model-x/{path}", Body=data)
    address = f"s3://{source}/somewhere/model-x"
    done = on_s3("ingest", address, "--to", f"s3://{target}", *SMALL_PARTS, "--json").event("ingested")
    assert done["model"] == "local/model-x"
    prefix = f"models/local/model-x/{done['revision']}/"
    assert sorted(keys(s3_server, target, "models/")) == sorted(f"{prefix}{path}" for path in files)
    assert keys(s3_server, target, "incoming/") == []
    on_s3("verify", "local/model-x", "--deep")
    # the same content has the same revision, wherever it lay
    folder = on_s3.home.parent / "model-x"
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    again = on_s3("ingest", str(folder), "--json").event("ingested")
    assert again["revision"] == done["revision"]


def test_a_source_object_replaced_midway_is_refused(on_s3: Command, s3_server: S3Server, hub: HubServer) -> None:
    from weighbridge.core.config import StoreSettings
    from weighbridge.core.errors import ContentChanged, WeighbridgeError
    from weighbridge.core.names import Address
    from weighbridge.source.bucket import S3Source
    from weighbridge.wire.http import Http

    bucket = s3_server.bucket(versioned=False)
    s3_server.client().put_object(Bucket=bucket, Key="m/w.bin", Body=b"a" * 100)
    previous = dict(os.environ)
    os.environ.update(s3_server.environment)
    try:
        http = Http(user_agent="test")
        source = S3Source(
            Address.parse(f"s3://{bucket}/m"), http=http, settings=StoreSettings(s3_endpoint=s3_server.endpoint)
        )
        (entry,) = source.pin().entries
        s3_server.client().put_object(Bucket=bucket, Key="m/w.bin", Body=b"b" * 100)
        with pytest.raises(WeighbridgeError) as caught, source.open(entry, 0, 100):
            pass
        assert isinstance(caught.value, ContentChanged)
    finally:
        os.environ.clear()
        os.environ.update(previous)


@pytest.mark.fault
def test_killed_at_many_moments_it_goes_on_and_leaves_nothing(
    both: Command, s3_server: S3Server, hub: HubServer, model: Callable[..., dict[str, bytes]]
) -> None:
    files = model(72 * MIB)
    reference = both("ingest", "hf://acme/tiny", "--json").event("ingested")
    both.home = both.home.with_name("killed")
    bucket = s3_server.bucket()
    command = ("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", *SMALL_PARTS, "--json")
    hub.forget_requests()
    moments = (1, 2, 4, 6)
    for wait_for in moments:
        # Not all of it comes while it is waited for, however late the kill is.
        hub.faults.add(Fault(Stall(0), path="w.bin", skip=3))
        process = both.start(*command)
        eventually(lambda: _journaled_parts(both.home) >= wait_for)  # noqa: B023
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        hub.faults.clear()
    kills = len(moments)
    done = both(*command).event("ingested")
    assert done["resumed"]
    assert done["manifest_digest"] == reference["manifest_digest"]
    waste = hub.bytes_sent("w.bin") - len(files["w.bin"])
    # Each kill may cost the parts in flight: one for each reading stream and each storing thread.
    assert waste <= kills * 4 * 8 * MIB
    both("verify", "acme/tiny", "--deep")
    assert uploads(s3_server, bucket) == []
    assert both("gc", "--store", f"s3://{bucket}", "--older-than", "0", "--json").json["removed"] == []


def _journaled_parts(home: Path) -> int:
    return sum(path.read_bytes().count(b'"fact":"part"') for path in (home / "journal").glob("*.jsonl"))


@pytest.mark.fault
def test_gc_removes_what_an_abandoned_ingest_left(
    both: Command, s3_server: S3Server, hub: HubServer, model: Callable[..., dict[str, bytes]]
) -> None:
    model(72 * MIB)
    bucket = s3_server.bucket()
    hub.faults.add(Fault(Stall(0), path="w.bin", skip=3))
    process = both.start("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", *SMALL_PARTS)
    eventually(lambda: _journaled_parts(both.home) >= 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    hub.faults.clear()
    assert len(uploads(s3_server, bucket)) == 1
    store = ("--store", f"s3://{bucket}")
    young = both("gc", *store, "--json").json
    assert young["removed"] == []
    assert young["kept"]
    both("gc", *store, "--older-than", "0", "--dry-run")
    assert len(uploads(s3_server, bucket)) == 1
    removed = both("gc", *store, "--older-than", "0", "--json").json["removed"]
    assert {item["kind"] for item in removed} >= {"unfinished upload"}
    assert uploads(s3_server, bucket) == []
    assert keys(s3_server, bucket) == []
    both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", *SMALL_PARTS)
    both("verify", "acme/tiny", "--deep")


def test_rebuild_from_the_bucket_alone(
    both: Command, s3_server: S3Server, model: Callable[..., dict[str, bytes]]
) -> None:
    model(MIB)
    bucket = s3_server.bucket()
    first = both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", "--json").event("ingested")
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm", "ledger.head.json"):
        (both.home / name).unlink(missing_ok=True)
    assert both("ls", "--json").json == []
    rebuilt = both("rebuild", "--store", f"s3://{bucket}", "--json").json
    assert rebuilt["recovered"] == [f"acme/tiny@{first['revision']}"]
    (row,) = both("ls", "--json").json
    assert row["manifest_digest"] == first["manifest_digest"]
    both("verify", "acme/tiny", "--deep")


LOST: dict[str, Cue] = {
    "the answer to a completed upload is lost": Cue(r"^POST .*uploadId=", 1, lose=True),
    "the answer to a small object is lost": Cue(r"^PUT .*config\.json", 1, lose=True),
    "the answer to a part is lost": Cue(r"^PUT .*partNumber=2", 2, lose=True),
    "the answer to the seal is lost": Cue(r"^PUT .*seal\.dsse\.json", 1, lose=True),
    "parts are cut": Cue(r"^PUT .*partNumber=", 4, after=100_000),
    "small objects are cut": Cue(r"^PUT .*\.json", 2, after=10),
    "questions are cut": Cue(r"^(HEAD|GET) ", 3, after=0),
}


@pytest.mark.fault
@pytest.mark.parametrize("name", LOST)
def test_a_lost_answer_is_no_failure_and_no_second_object(
    both: Command, s3_server: S3Server, model: Callable[..., dict[str, bytes]], name: str
) -> None:
    files, bucket = model(), s3_server.bucket()
    with cutting(s3_server.endpoint) as proxy:
        proxy.cues = [replace(LOST[name])]
        through = {"WEIGHBRIDGE_STORE_S3_ENDPOINT": proxy.endpoint}
        both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", *SMALL_PARTS, env=through)
        assert proxy.cues[0].struck >= 1
    both("verify", "acme/tiny", "--deep")
    versions = s3_server.client().list_object_versions(Bucket=bucket, Prefix="models/")["Versions"]
    assert len(versions) == len(files)
    assert uploads(s3_server, bucket) == []


def test_the_ledger_lives_in_postgresql(
    both: Command, s3_server: S3Server, model: Callable[..., dict[str, bytes]], postgres: PostgresServer
) -> None:
    model(MIB)
    bucket = s3_server.bucket()
    both.environment["WEIGHBRIDGE_LEDGER_URL"] = postgres.url()
    done = both("ingest", "hf://acme/tiny", "--to", f"s3://{bucket}", "--json").event("ingested")
    assert not (both.home / "ledger.sqlite").exists()
    (row,) = both("ls", "--json").json
    assert row["revision"] == done["revision"]
    both("verify", "acme/tiny", "--deep")
    assert both("check", "--json").json["ledger"] == "ok"
