"""Verification finds whatever was changed, at the depth that can find it, and says what it did not look at."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.support.in_process import keep, restore
from tests.support.weights import weights

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Command, Path]:
    """A model of two files, 30 MiB, in the embedded store; and where its revision lies. The folder it is from lies beside."""
    base = tmp_path_factory.mktemp("kept")
    folder = base / "tiny"
    folder.mkdir()
    (folder / "a.txt").write_text("a" * 1000)
    (folder / "w.bin").write_bytes(weights(30 * MIB, seed=3))
    weighbridge = Command(base / "home")
    done = weighbridge("ingest", str(folder), "--json").event("ingested")
    keep(weighbridge.home)
    return weighbridge, weighbridge.home / "store" / "models" / "local" / "tiny" / done["revision"]


@pytest.fixture
def ingested(kept: tuple[Command, Path]) -> tuple[Command, Path]:
    """That home as it was at first: what a test did to it is gone."""
    restore(kept[0].home)
    return kept


def rewrite(path: Path, change: Callable[[bytearray], None]) -> None:
    """Changes a stored file in place."""
    data = bytearray(path.read_bytes())
    change(data)
    path.chmod(0o644)
    path.write_bytes(data)


def test_each_depth_says_what_it_proved(ingested: tuple[Command, Path]) -> None:
    weighbridge, _ = ingested
    shallow = weighbridge("verify", "local/tiny", "--json").json
    assert shallow["depth"] == "recorded"
    assert any("no checksums of its own" in claim for claim in shallow["not_proved"])
    deep = weighbridge("verify", "local/tiny", "--deep", "--json").json
    assert deep["not_proved"] == []
    assert deep["read_bytes"] == 30 * MIB + 1000


def test_one_flipped_bit_is_found_by_reading(ingested: tuple[Command, Path]) -> None:
    weighbridge, revision = ingested

    def flip(data: bytearray) -> None:
        data[17 * MIB] ^= 1

    rewrite(revision / "w.bin", flip)
    assert weighbridge("verify", "local/tiny", "--json").json["verified"]  # a folder records nothing: that is said
    found = weighbridge("verify", "local/tiny", "--deep", "--json", code=6).json
    assert [(problem["path"], problem["kind"]) for problem in found["problems"]] == [("w.bin", "content")]
    codes = [weighbridge("verify", "local/tiny", "--subset", f"{n}/4", code=None).code for n in (1, 2, 3, 4)]
    assert sorted(codes) == [0, 0, 0, 6]


def test_truncated_grown_missing_and_extra_are_found_without_reading(ingested: tuple[Command, Path]) -> None:
    weighbridge, revision = ingested
    rewrite(revision / "w.bin", lambda data: data.pop())
    (revision / "pytorch_model.bin").write_bytes(b"surprise")
    (revision / "a.txt").unlink()
    found = weighbridge("verify", "local/tiny", "--json", code=6).json
    assert {(problem["path"], problem["kind"]) for problem in found["problems"]} == {
        ("w.bin", "size"),
        ("pytorch_model.bin", "extra"),
        ("a.txt", "missing"),
    }
    checked = weighbridge("check", "--json", code=6).json
    assert len(next(iter(checked["stores"][0]["problems"].values()))) == 3


def test_a_file_swapped_for_a_link_is_found(ingested: tuple[Command, Path]) -> None:
    weighbridge, revision = ingested
    (revision / "a.txt").unlink()
    (revision / "a.txt").symlink_to("/etc/hostname")
    assert weighbridge("verify", "local/tiny", "--deep", code=None).code != 0


@pytest.mark.parametrize(
    "record", ["manifest.json", "model.sig", "placement.json", "inspection.json", "seal.dsse.json"]
)
def test_any_changed_record_is_found(ingested: tuple[Command, Path], record: str) -> None:
    weighbridge, revision = ingested
    path = weighbridge.home / "store" / "records" / "local" / "tiny" / revision.name / record
    original = path.read_bytes()
    rng = random.Random(record)
    for _ in range(3):
        position, bit = rng.randrange(len(original)), 1 << rng.randrange(8)

        def flip(data: bytearray, position: int = position, bit: int = bit) -> None:
            data[position] ^= bit

        rewrite(path, flip)
        assert weighbridge("verify", "local/tiny", code=None).code in (6, 7), (position, bit)
        path.write_bytes(original)
    path.unlink()
    assert weighbridge("verify", "local/tiny", code=None).code == 1
    path.write_bytes(original)
    weighbridge("verify", "local/tiny")


def test_records_of_another_revision_do_not_fit(weighbridge: Command, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    revisions = []
    for content in ("one", "two"):
        (folder / "a.txt").write_text(content)
        revisions.append(weighbridge("ingest", str(folder), "--json").event("ingested")["revision"])
    records = weighbridge.home / "store" / "records" / "local" / "tiny"
    shutil.rmtree(records / revisions[0])
    shutil.copytree(records / revisions[1], records / revisions[0])
    failed = weighbridge("verify", f"local/tiny@{revisions[0]}", "--json", code=7)
    assert failed.event("error")["error"] == "StatementMismatch"


def test_a_seal_by_a_key_nobody_trusts(weighbridge: Command, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "a.txt").write_text("one")
    weighbridge("ingest", str(folder))
    for key in (weighbridge.home / "keys").glob("signing.pem*"):
        key.rename(key.with_name(f"old-{key.name}"))
    weighbridge("init", code=None)
    failed = weighbridge("verify", "local/tiny", "--json", code=7)
    assert failed.event("error")["error"] == "SignatureInvalid"
    trusted = weighbridge.home / "keys" / "trusted"
    trusted.mkdir()
    shutil.copy(weighbridge.home / "keys" / "old-signing.pem.pub", trusted / "old.pub")
    weighbridge("verify", "local/tiny")
    (trusted / "revoked").mkdir()
    shutil.move(trusted / "old.pub", trusted / "revoked" / "old.pub")
    failed = weighbridge("verify", "local/tiny", "--json", code=7)
    assert failed.event("error")["error"] == "Revoked"


def test_resealed_by_somebody_with_the_key_is_not_what_the_ledger_saw(ingested: tuple[Command, Path]) -> None:
    from weighbridge.attest.keys import LocalKey, TrustedKeys
    from weighbridge.attest.seal import make_seal
    from weighbridge.core.finding import Verdict
    from weighbridge.core.manifest import Manifest
    from weighbridge.store.folder import FolderStore
    from weighbridge.vault.records import open_revision, read_record

    weighbridge, revision = ingested
    key = LocalKey.load(weighbridge.home / "keys" / "signing.pem")
    store = FolderStore(weighbridge.home / "store")
    prefix = f"records/local/tiny/{revision.name}/"
    records = {
        name: read_record(store, f"{prefix}{name}")
        for name in ("manifest.json", "model.sig", "placement.json", "inspection.json")
    }
    manifest = Manifest.from_bytes(records["manifest.json"])
    seal = make_seal(
        manifest, records, verdict=Verdict.CLEAN, rules_version="0", sealed_at="2030-01-01T00:00:00Z", signer=key
    )
    store.put(f"{prefix}seal.dsse.json", seal, replace=True)
    open_revision(store, manifest.model_name, manifest.revision, TrustedKeys().with_key(key.public_pem))
    failed = weighbridge("verify", "local/tiny", "--json", code=7)
    assert failed.event("error")["error"] == "StatementMismatch"
    assert "ledger" in failed.err


def test_an_export_is_proven_or_not_there(ingested: tuple[Command, Path], tmp_path: Path) -> None:
    weighbridge, revision = ingested

    def flip(data: bytearray) -> None:
        data[-1] ^= 128

    rewrite(revision / "w.bin", flip)
    out = tmp_path / "out"
    failed = weighbridge("export", "local/tiny", str(out), code=6)
    assert "w.bin" in failed.err
    assert not out.exists()
    assert not list(tmp_path.glob(".out.partial-*"))


@pytest.mark.parametrize("lost", [1, 2, 3, 4])
def test_killed_between_the_records_the_same_command_finishes(weighbridge: Command, tmp_path: Path, lost: int) -> None:
    """The state after a kill: the first records are there, the seal is not, the journal still is."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "a.txt").write_text("one")
    journals = weighbridge.home / "journal"
    saved = tmp_path / "saved"
    done = _ingest_keeping_the_journal(weighbridge, folder, saved)
    records = weighbridge.home / "store" / "records" / "local" / "tiny" / done["revision"]
    for name in ["seal.dsse.json", "inspection.json", "placement.json", "model.sig"][:lost]:
        (records / name).unlink()
    for path in weighbridge.home.glob("ledger*"):
        path.unlink()
    shutil.copytree(saved, journals, dirs_exist_ok=True)
    again = weighbridge("ingest", str(folder), "--json").event("ingested")
    assert again["manifest_digest"] == done["manifest_digest"]
    weighbridge("verify", "local/tiny", "--deep")


def test_another_machines_claim_is_respected(weighbridge: Command, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "a.txt").write_text("one")
    done = weighbridge("ingest", str(folder), "--json").event("ingested")
    records = weighbridge.home / "store" / "records" / "local" / "tiny" / done["revision"]
    (records / "seal.dsse.json").unlink()
    claimed = (records / "manifest.json").read_bytes()
    failed = weighbridge("ingest", str(folder), "--json", code=1)
    assert failed.event("error")["error"] == "Conflict"
    assert (records / "manifest.json").read_bytes() == claimed


def _ingest_keeping_the_journal(weighbridge: Command, folder: Path, saved: Path) -> dict[str, object]:
    """Runs an ingest and keeps a copy of its journal as it was just before it was removed."""
    script = (
        "import pathlib, shutil, sys\n"
        "from weighbridge.cli.app import main\n"
        "from weighbridge.transfer.journal import Journal\n"
        "finish = Journal.finish\n"
        "def keep(journal):\n"
        "    shutil.copytree(journal._path.parent, sys.argv[1])\n"
        "    finish(journal)\n"
        "Journal.finish = keep\n"
        "raise SystemExit(main(sys.argv[2:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(saved), "ingest", str(folder), "--json"],
        env=weighbridge.environ(),
        capture_output=True,
        text=True,
        check=True,
    )
    event: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return event


def test_rebuild_from_the_store_alone(ingested: tuple[Command, Path]) -> None:
    weighbridge, revision = ingested
    before = weighbridge("show", "local/tiny", "--json").json
    for path in weighbridge.home.glob("ledger*"):
        path.unlink()
    assert weighbridge("ls", "--json").json == []
    rebuilt = weighbridge("rebuild", "--json").json
    assert rebuilt["recovered"] == [f"local/tiny@{revision.name}"]
    after = weighbridge("show", "local/tiny", "--json").json
    for name in ("manifest", "manifest_digest", "verdict", "findings", "artifacts", "total_bytes"):
        assert after[name] == before[name]
    assert weighbridge("rebuild", "--json").json["recovered"] == []


def test_rebuild_refuses_what_nobody_trusted_sealed(ingested: tuple[Command, Path]) -> None:
    weighbridge, _ = ingested
    for path in (*weighbridge.home.glob("ledger*"), *(weighbridge.home / "keys").glob("*")):
        path.unlink()
    refused = weighbridge("rebuild", "--json", code=7).json
    assert refused["recovered"] == []
    assert len(refused["refused"]) == 1


def test_a_lost_ledger_event_is_entered_by_the_next_run(ingested: tuple[Command, Path]) -> None:
    weighbridge, _ = ingested
    for path in weighbridge.home.glob("ledger*"):
        path.unlink()
    weighbridge("ingest", str(weighbridge.home.with_name("tiny")))
    assert len(weighbridge("ls", "--json").json) == 1
    weighbridge("verify", "local/tiny", "--deep")


def test_check_names_what_belongs_to_nothing(ingested: tuple[Command, Path]) -> None:
    weighbridge, _ = ingested
    store = weighbridge.home / "store"
    orphan = store / "models" / "acme" / "ghost" / ("b" * 40) / "w.bin"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"x")
    (store / "README").write_text("someone's own note")
    kinds = {left["key"]: left["kind"] for left in weighbridge("check", "--json").json["stores"][0]["leftovers"]}
    assert "never sealed" in kinds[orphan.relative_to(store).as_posix()]
    assert "not put there" in kinds["README"]
    weighbridge("gc", "--older-than", "0")
    assert not orphan.exists()
    assert (store / "README").exists()
    weighbridge("verify", "local/tiny", "--deep")


def test_an_altered_ledger_is_found(ingested: tuple[Command, Path]) -> None:
    import sqlite3

    weighbridge, _ = ingested
    with sqlite3.connect(weighbridge.home / "ledger.sqlite") as database:
        (table,) = [
            name
            for (name,) in database.execute("select name from sqlite_master where type = 'table'")
            if "event" in name
        ]
        database.execute(f"update {table} set actor = 'mallory@elsewhere'")
    checked = weighbridge("check", "--json", code=6).json
    assert checked["ledger"] != "ok"


def test_the_head_outside_the_database_shows_a_cut_ledger(ingested: tuple[Command, Path], tmp_path: Path) -> None:
    weighbridge, _ = ingested
    saved = tmp_path / "saved"
    saved.mkdir()
    for path in weighbridge.home.glob("ledger.sqlite*"):
        shutil.copy(path, saved)
    other = tmp_path / "other"
    other.mkdir()
    (other / "b.txt").write_text(os.urandom(8).hex())
    weighbridge("ingest", str(other))
    for path in weighbridge.home.glob("ledger.sqlite*"):
        path.unlink()
    for path in saved.iterdir():
        shutil.copy(path, weighbridge.home)
    checked = weighbridge("check", code=6)
    assert "ledger: ok" not in checked.out
    assert json.loads((weighbridge.home / "ledger.head.json").read_text())["sequence"] == 2
