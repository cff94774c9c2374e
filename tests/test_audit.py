"""Copies of the ledger elsewhere: what somebody who holds both the ledger and its head cannot hide from them."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.support.admission import NOW, Office, new_key
from tests.support.postgres import PostgresServer
from weighbridge.attest.trust import TrustedKeys
from weighbridge.core.errors import LedgerError, NothingCollected, SignatureInvalid, WeighbridgeError
from weighbridge.core.ports import SignatureVerifier
from weighbridge.store import history
from weighbridge.store.folder import FolderStore
from weighbridge.store.history import check_shipped, compare, copy_lines, ship
from weighbridge.store.ledger import Ledger
from weighbridge.vault.records import read_record


def trusted(office: Office) -> SignatureVerifier:
    return TrustedKeys().with_key(office.key.public_pem)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path / "office")
    for number in range(20):
        made.ledger.append(
            "test.happened", f"acme/tiny@{number}", {"number": number, "text": "é" * number}, actor="ada"
        )
    yield made
    made.close()


def exported(office: Office) -> list[bytes]:
    return list(copy_lines(office.ledger.events(), office.key, lambda: NOW))


def check(office: Office, lines: list[bytes]) -> None:
    compare(office.ledger, lines, trusted(office), name="copy")


def test_a_copy_is_the_ledger(office: Office) -> None:
    lines = exported(office)
    assert [json.loads(line)["sequence"] for line in lines[:-1]] == list(range(1, 21))
    found = compare(office.ledger, lines, trusted(office), name="copy")
    assert (found.first, found.last, found.key_id) == (1, 20, office.key.key_id)
    office.ledger.append("test.happened", "later", {}, actor="ada")
    check(office, lines)


def test_a_flipped_bit_anywhere_in_a_copy_is_caught(office: Office) -> None:
    whole = b"\n".join(exported(office)) + b"\n"
    generator = random.Random(7)
    for _ in range(500):
        place, bit = generator.randrange(len(whole)), 1 << generator.randrange(8)
        flipped = bytearray(whole)
        flipped[place] ^= bit
        with pytest.raises(WeighbridgeError):
            check(office, bytes(flipped).splitlines())


@pytest.mark.parametrize("cut", [0, 1, 10, 20])
def test_a_copy_that_was_cut_is_caught(office: Office, cut: int) -> None:
    lines = exported(office)
    with pytest.raises(LedgerError):
        check(office, lines[:cut])
    if cut:
        with pytest.raises(LedgerError, match="was cut"):
            check(office, [*lines[: cut - 1], lines[-1]] if cut > 1 else [*lines[:5], lines[-1]])


def test_removed_swapped_repeated_and_added_lines_are_caught(office: Office) -> None:
    lines = exported(office)
    for altered in (
        lines[:5] + lines[6:],
        [*lines[:5], lines[6], lines[5], *lines[7:]],
        [*lines[:5], lines[4], *lines[5:]],
        [*lines, lines[3]],
        [lines[-1]],
    ):
        with pytest.raises(LedgerError):
            check(office, altered)


def test_a_copy_that_a_stranger_signed_proves_nothing(office: Office) -> None:
    lines = list(copy_lines(office.ledger.events(), new_key(), lambda: NOW))
    with pytest.raises(SignatureInvalid):
        check(office, lines)


def test_an_old_ledger_put_back_with_its_old_head_is_shown_by_a_copy(office: Office, tmp_path: Path) -> None:
    old = tmp_path / "old"
    with closing(sqlite3.connect(office.folder / "ledger.sqlite")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(office.folder, old)
    office.ledger.append("revision.revoked", "acme/evil", {}, actor="ada")
    lines = exported(office)
    with Ledger(f"sqlite:///{old / 'ledger.sqlite'}", head_path=old / "head.json", signer=None) as ledger:
        ledger.verify(trusted(office))
        with pytest.raises(LedgerError, match="an older state was put back"):
            compare(ledger, lines, trusted(office), name="copy")


def test_a_rewritten_history_signed_by_the_real_key_is_shown_by_a_copy(office: Office, tmp_path: Path) -> None:
    lines = exported(office)
    (tmp_path / "new").mkdir()
    url = f"sqlite:///{tmp_path / 'new' / 'ledger.sqlite'}"
    with Ledger(url, head_path=tmp_path / "new" / "head.json", signer=office.key, clock=lambda: NOW) as rewritten:
        for event in office.ledger.events():
            subject = "acme/other" if event.sequence == 10 else event.subject
            rewritten.append(event.kind, subject, event.payload, actor=event.actor)
        rewritten.verify(trusted(office))
        with pytest.raises(LedgerError, match="event 10 of the ledger is not the one in 'copy'"):
            compare(rewritten, lines, trusted(office), name="copy")


def test_copies_in_a_store_go_on_where_the_last_one_ended(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_COPY_BYTES", 2_000)
    store = FolderStore(tmp_path / "locked")
    with pytest.raises(NothingCollected, match="no copy of this ledger"):
        check_shipped(office.ledger, store, trusted(office), lambda key: read_record(store, key))
    first = ship(office.ledger, store, office.key, lambda: NOW)
    assert len(first) > 1
    assert ship(office.ledger, store, office.key, lambda: NOW) == []
    office.ledger.append("test.happened", "later", {}, actor="ada")
    (second,) = ship(office.ledger, store, office.key, lambda: NOW)
    assert second.endswith("000000000021-000000000021.jsonl")
    checked = check_shipped(office.ledger, store, trusted(office), lambda key: read_record(store, key))
    assert next(one.first for one in checked) == 1
    assert checked[-1].last == 21
    store.delete(first[0])
    with pytest.raises(LedgerError, match="missing from"):
        ship(office.ledger, store, office.key, lambda: NOW)


def test_the_ledger_in_postgresql_is_copied_and_compared_alike(postgres: PostgresServer, tmp_path: Path) -> None:
    office = Office(tmp_path / "office", postgres.url())
    for number in range(40):
        office.ledger.append("test.happened", f"acme/tiny@{number}", {"number": number}, actor="ada")
    lines = exported(office)
    check(office, lines)
    assert [event.sequence for event in office.ledger.events(kinds=("test.happened",), after=38)] == [39, 40]
    office.close()


def test_the_audit_by_the_command_line(weighbridge: Command, tmp_path: Path) -> None:
    assert weighbridge("audit", "log", code=3).err
    weighbridge("people", "add", "ada", "--role", "admin")
    weighbridge("people", "key", "rob")
    weighbridge("people", "add", "rob", "--role", "reviewer", "--person", "ada")
    logged = weighbridge("audit", "log", "--json").events
    assert [(one["kind"], one["subject"]) for one in logged] == [("person.added", "ada"), ("person.added", "rob")]
    assert weighbridge("audit", "log", "rob", "--kind", "person.added").out.count("\n") == 1
    assert weighbridge("audit", "log", "--by", "nobody").out == ""
    copy, store = tmp_path / "audit.jsonl", tmp_path / "locked"
    weighbridge("audit", "export", "--output", str(copy))
    weighbridge("audit", "export", "--to", str(store))
    assert weighbridge("audit", "export", "--output", str(copy), code=2).err.startswith("error: ")
    assert len(weighbridge("audit", "export").out.splitlines()) == 3
    found = weighbridge("audit", "verify", "--copy", str(copy), "--store", str(store), "--json").json
    assert (found["events"], [one["last"] for one in found["copies"]]) == (2, [2, 2])
    with closing(sqlite3.connect(weighbridge.home / "ledger.sqlite")) as connection:
        connection.execute("UPDATE ledger_events SET actor = 'eve' WHERE sequence = 2")
        connection.commit()
    assert "event 2" in weighbridge("audit", "verify", code=6).err
