"""Into the approved store: by copies on the store's side, whole or not at all, and only what was judged."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.support.admission import NOW
from tests.support.seaweed import S3Server
from weighbridge.admit.promote import Admission, Passage, promote
from weighbridge.attest.keys import LocalKey, TrustedKeys
from weighbridge.core.config import StoreSettings
from weighbridge.core.errors import ConfigError, Conflict, DigestMismatch, IntegrityError, Interrupted
from weighbridge.core.layout import model_prefix, record_key
from weighbridge.core.names import Address, ModelName
from weighbridge.core.ports import ObjectStore, StoredObject
from weighbridge.store.folder import FolderStore
from weighbridge.store.opening import open_store
from weighbridge.vault.readers import StoredReader
from weighbridge.vault.recorded import check_recorded
from weighbridge.vault.records import SealedRevision, is_sealed, open_revision
from weighbridge.wire.http import Http

MODEL = ModelName("acme", "tiny")


class Quiet:
    """An observer that only counts."""

    def __init__(self) -> None:
        self.how: list[str] = []

    def planned(self, artifacts: int, total_bytes: int, done_bytes: int) -> None:
        pass

    def advanced(self, path: str, size_bytes: int, total_bytes: int) -> None:
        pass

    def retrying(self, path: str, reason: str, wait_seconds: float) -> None:
        pass

    def finished(self, path: str, how: str) -> None:
        self.how.append(how)


class Bridge:
    """A model that was ingested by the command line, its store, and an approved store to bring it to."""

    def __init__(self, home: Path, origin: ObjectStore, approved: ObjectStore) -> None:
        self.home, self.origin, self.approved = home, origin, approved
        self.key = LocalKey.load(home / "keys" / "signing.pem")
        self.trusted = TrustedKeys().with_key(self.key.public_pem)
        (stored,) = (one for one in origin.list("records/") if one.key.endswith("/seal.dsse.json"))
        self.revision = open_revision(origin, MODEL, stored.key.split("/")[3], self.trusted)
        self.prefix = model_prefix(MODEL, self.revision.manifest.revision)
        self.observer = Quiet()
        self.cancelled = threading.Event()

    def promote(self, approved: ObjectStore | None = None) -> SealedRevision:
        admission = Admission(self.origin, self.revision, self.revision.inspection, lambda: {"decision.json": b"{}"})
        passage = Passage(self.key, self.trusted, self.observer, self.cancelled, NOW)
        return promote(admission, approved or self.approved, passage)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    (folder / "sub").mkdir(parents=True)
    (folder / "README.md").write_text("# Words\n")
    (folder / "config.json").write_text("{}")
    (folder / "sub" / "w.bin").write_bytes(os.urandom(300_000))
    return folder


@pytest.fixture
def folders(weighbridge: Command, model: Path, tmp_path: Path) -> Bridge:
    weighbridge("ingest", str(model), "--as", "acme/tiny", "--fail-on", "never", code=None)
    return Bridge(weighbridge.home, FolderStore(weighbridge.home / "store"), FolderStore(tmp_path / "approved"))


@pytest.fixture
def buckets(on_s3: Command, model: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bridge]:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    first, second = s3_server.bucket(), s3_server.bucket(locked=True)
    on_s3("ingest", str(model), "--as", "acme/tiny", "--to", f"s3://{first}/q", "--fail-on", "never", code=None)
    http = Http(user_agent="test", connections=8)
    settings = StoreSettings(s3_endpoint=s3_server.environment["WEIGHBRIDGE_STORE_S3_ENDPOINT"])
    locked = replace(settings, object_lock_mode="GOVERNANCE", object_lock_days=1, legal_hold=True)
    origin = open_store(Address.parse(f"s3://{first}/q"), settings, http)
    approved = open_store(Address.parse(f"s3://{second}/a"), locked, http)
    yield Bridge(on_s3.home, origin, approved)
    http.close()


def held(store: ObjectStore, prefix: str) -> set[str]:
    return {stored.key[len(prefix) :] for stored in store.list(prefix)}


def test_the_approved_prefix_holds_exactly_the_models_files(folders: Bridge) -> None:
    promoted = folders.promote()
    assert held(folders.approved, folders.prefix) == {"README.md", "config.json", "sub/w.bin"}
    assert promoted.manifest == folders.revision.manifest
    assert check_recorded(folders.approved, promoted) == []
    records = held(folders.approved, record_key(MODEL, promoted.manifest.revision, ""))
    assert {
        "manifest.json",
        "model.sig",
        "placement.json",
        "inspection.json",
        "seal.dsse.json",
        "decision.json",
    } == records


def test_who_can_write_to_quarantine_cannot_change_what_was_promoted(folders: Bridge, tmp_path: Path) -> None:
    promoted = folders.promote()
    path = folders.home / "store" / folders.prefix / "sub" / "w.bin"
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(b"other")
    placed = promoted.placed["sub/w.bin"]
    now = StoredReader(folders.approved, placed, "sub/w.bin").read(0, 5)
    assert now != b"other"


def test_a_second_promotion_copies_nothing(folders: Bridge) -> None:
    folders.promote()
    before = {stored.key: stored.modified_at for stored in folders.approved.list("")}
    folders.observer.how.clear()
    folders.promote()
    assert folders.observer.how == ["kept"] * 3
    assert {stored.key: stored.modified_at for stored in folders.approved.list("")} == before


def test_swapped_bytes_in_quarantine_are_not_promoted(folders: Bridge) -> None:
    path = folders.home / "store" / folders.prefix / "sub" / "w.bin"
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(DigestMismatch, match=r"sub/w\.bin"):
        folders.promote()
    assert not is_sealed(folders.approved, MODEL, folders.revision.manifest.revision)


def test_a_missing_or_shorter_file_in_quarantine_is_found_before_anything_is_copied(folders: Bridge) -> None:
    path = folders.home / "store" / folders.prefix / "sub" / "w.bin"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="no longer as it was sealed"):
        folders.promote()
    assert held(folders.approved, "") == set()


def test_something_else_under_the_approved_prefix_stops_it(folders: Bridge) -> None:
    folders.approved.put(f"{folders.prefix}modeling_evil.py", b"import os")
    with pytest.raises(Conflict, match=r"modeling_evil\.py.* is no part of the revision"):
        folders.promote()
    assert not is_sealed(folders.approved, MODEL, folders.revision.manifest.revision)


def test_other_bytes_in_the_place_of_a_file_are_never_overwritten(folders: Bridge) -> None:
    folders.approved.put(f"{folders.prefix}config.json", b'{"auto_map": 1}')
    with pytest.raises(Conflict, match=r"config\.json"):
        folders.promote()
    assert (
        StoredReader(folders.approved, StoredObject(f"{folders.prefix}config.json", 15), "c").read(0, 15)
        == b'{"auto_map": 1}'
    )


def test_what_is_damaged_after_promotion_is_not_promoted_twice(folders: Bridge, tmp_path: Path) -> None:
    folders.promote()
    (tmp_path / "approved" / folders.prefix / "config.json").unlink()
    with pytest.raises(IntegrityError, match="no longer as it was promoted"):
        folders.promote()


def test_a_cancelled_promotion_goes_on(folders: Bridge) -> None:
    folders.cancelled.set()
    with pytest.raises(Interrupted):
        folders.promote()
    folders.cancelled.clear()
    folders.promote()


def test_both_stores_cannot_be_one(folders: Bridge) -> None:
    with pytest.raises(ConfigError, match="are the same"):
        folders.promote(folders.origin)


class Dying:
    """A store whose machine stops before its nth write. The process is gone; what was written stays."""

    def __init__(self, store: ObjectStore, writes: int) -> None:
        self._store, self._left = store, writes
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> object:
        if name not in ("put", "take"):
            return getattr(self._store, name)

        def writing(*arguments: object, **named: object) -> object:
            with self._lock:
                self._left -= 1
                if self._left < 0:
                    raise KeyboardInterrupt
            target = getattr(self._store, name)
            return target(*arguments, **named)

        return writing


def test_stopped_at_each_step_it_is_absent_or_whole_and_goes_on(folders: Bridge, tmp_path: Path) -> None:
    steps = 0
    while True:
        approved = FolderStore(tmp_path / f"approved-{steps}")
        try:
            folders.promote(Dying(approved, steps))  # type: ignore[arg-type]
        except KeyboardInterrupt:
            assert not is_sealed(approved, MODEL, folders.revision.manifest.revision)
            promoted = folders.promote(approved)
            assert check_recorded(approved, promoted) == []
            steps += 1
            continue
        break
    assert steps == 3 + 1 + 5  # files, the decision, and the five records of a seal


@pytest.mark.s3
def test_between_buckets_the_service_copies_and_locks(buckets: Bridge, s3_server: S3Server) -> None:
    promoted = buckets.promote()
    assert check_recorded(buckets.approved, promoted) == []
    assert held(buckets.approved, buckets.prefix) == {"README.md", "config.json", "sub/w.bin"}
    for path, placed in promoted.placed.items():
        assert placed.crc64nvme == buckets.revision.placed[path].crc64nvme
        bucket = buckets.approved.address.removeprefix("s3://").partition("/")[0]
        head = s3_server.client().head_object(Bucket=bucket, Key=f"a/{placed.key}")
        assert (head["ObjectLockMode"], head["ObjectLockLegalHoldStatus"]) == ("GOVERNANCE", "ON")
    buckets.observer.how.clear()
    buckets.promote()
    assert buckets.observer.how == ["kept"] * 3


@pytest.mark.s3
def test_between_buckets_the_judged_version_is_copied_and_not_the_newest(buckets: Bridge, s3_server: S3Server) -> None:
    bucket = buckets.origin.address.removeprefix("s3://").partition("/")[0]
    s3_server.client().put_object(Bucket=bucket, Key=f"q/{buckets.prefix}config.json", Body=b'{"auto_map": 1}')
    with pytest.raises(IntegrityError, match="no longer as it was sealed"):
        buckets.promote()


@pytest.mark.s3
def test_from_a_folder_to_a_bucket_no_service_copies(folders: Bridge, buckets: Bridge) -> None:
    with pytest.raises(ConfigError, match="not of one S3 service"):
        folders.promote(buckets.approved)
    with pytest.raises(ConfigError, match="by the service itself"):
        buckets.promote(folders.approved)
