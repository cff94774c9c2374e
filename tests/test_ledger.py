"""The ledger keeps what it acknowledged, and notices every change to it. Real SQLite, real PostgreSQL."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, delete, insert, select, text, update

from tests.conftest import template
from tests.support import ledger_writer
from tests.support.forking import Forked
from tests.support.ledger_writer import EcKey
from tests.support.postgres import PASSWORD, PostgresServer, postgres
from weighbridge.core.errors import (
    AccessRefused,
    Busy,
    ConfigError,
    LedgerError,
    Malformed,
    SignatureInvalid,
    StoreUnreachable,
    WeighbridgeError,
)
from weighbridge.store.head import Head, HeadFile
from weighbridge.store.ledger import Event, Ledger
from weighbridge.store.tables import EVENTS

__all__ = ["postgres"]
EVENT_COUNT = 50
COLUMNS = [column.name for column in EVENTS.columns]


class Bench:
    """A ledger's URL, head and key, and the raw access that somebody with the database's password has."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.head_path = folder / "head.json"
        self.key = EcKey()
        self._engine = create_engine(url)

    def open(self, *, signed: bool = True, wait_seconds: float = 30.0) -> Ledger:
        signer = self.key if signed else None
        return Ledger(self.url, head_path=self.head_path, signer=signer, wait_seconds=wait_seconds)

    def fill(self, count: int = EVENT_COUNT) -> list[Event]:
        with self.open() as ledger:
            return [
                ledger.append(
                    "test.happened", f"subject {number % 3}", {"number": number, "word": 'é\x00"\\'}, actor="tester"
                )
                for number in range(1, count + 1)
            ]

    def verify(self, verifier: EcKey | None = None) -> object:
        with self.open() as ledger:
            return ledger.verify(verifier or self.key)

    def refused(self) -> str:
        with pytest.raises(LedgerError) as caught:
            self.verify()
        assert caught.value.hint
        return caught.value.message

    def execute(self, *statements: object) -> None:
        with self._engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement) if isinstance(statement, str) else statement)  # type: ignore[call-overload]

    def row(self, sequence: int) -> dict[str, object]:
        with self._engine.connect() as connection:
            return dict(connection.execute(select(EVENTS).where(EVENTS.c.sequence == sequence)).mappings().one())

    def set(self, sequence: int, /, **values: object) -> None:
        self.execute(update(EVENTS).where(EVENTS.c.sequence == sequence).values(**values))

    def rewrite(self, event: Event) -> None:
        """Puts an event into its place whose digest fits, as a forger would."""
        self.execute(delete(EVENTS).where(EVENTS.c.sequence == event.sequence), insert(EVENTS).values(**columns(event)))

    def restore(self, row: dict[str, object]) -> None:
        self.execute(delete(EVENTS).where(EVENTS.c.sequence == row["sequence"]), insert(EVENTS).values(**row))

    def close(self) -> None:
        self._engine.dispose()


def columns(event: Event) -> dict[str, object]:
    payload = json.dumps(event.payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return {name: getattr(event, name) for name in COLUMNS} | {"payload": payload}


def sealed(event: Event) -> Event:
    return replace(event, digest=event.computed_digest())


@pytest.fixture(params=["sqlite", "postgresql"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "sqlite":
        bench = Bench(f"sqlite:///{tmp_path}/ledger.db", tmp_path)
        yield bench
        bench.close()
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    bench = Bench(server.url(), tmp_path)
    yield bench
    bench.close()
    server.drop(bench.url)


@pytest.fixture
def sqlite_bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(f"sqlite:///{tmp_path}/ledger.db", tmp_path)
    yield bench
    bench.close()


# --- what goes in comes out ------------------------------------------------------------------------------------------


def test_events_come_back_as_they_were_acknowledged(bench: Bench) -> None:
    acknowledged = bench.fill()
    with bench.open() as ledger:
        assert list(ledger.events()) == acknowledged
        assert [event.sequence for event in acknowledged] == list(range(1, EVENT_COUNT + 1))
        assert acknowledged[0].previous == "0" * 64
        assert [event.previous for event in acknowledged[1:]] == [event.digest for event in acknowledged[:-1]]
        assert acknowledged[4].payload == {"number": 5, "word": 'é\x00"\\'}
        state = ledger.verify(bench.key)
    assert (state.events, state.digest) == (EVENT_COUNT, acknowledged[-1].digest)
    assert (state.head_sequence, state.head_signed, state.unsigned_events) == (EVENT_COUNT, True, 0)


def test_events_are_selected_by_place_subject_and_number(bench: Bench) -> None:
    bench.fill()
    with bench.open() as ledger:
        assert [event.sequence for event in ledger.events(after=45)] == [46, 47, 48, 49, 50]
        assert [event.sequence for event in ledger.events(after=10, limit=20)] == list(range(11, 31))
        assert [event.sequence for event in ledger.events(subject="subject 1")] == list(range(1, 51, 3))
        assert [event.sequence for event in ledger.events(subject="subject 2", after=10, limit=2)] == [11, 14]
        assert list(ledger.events(subject="nobody")) == []
        assert len([ledger.append("test.more", "x", {}, actor="a") for _ in ledger.events(limit=3)]) == 3


def test_an_empty_ledger_is_sound(bench: Bench) -> None:
    with bench.open() as ledger:
        state = ledger.verify(bench.key)
    assert (state.events, state.digest, state.head_sequence, state.head_signed) == (0, "0" * 64, 0, False)


def test_the_digest_is_sha256_of_the_canonical_fields(sqlite_bench: Bench) -> None:
    import hashlib

    event = sqlite_bench.fill(1)[0]
    fields = {name: getattr(event, name) for name in COLUMNS if name != "digest"}
    data = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert hashlib.sha256(data).hexdigest() == event.digest


@pytest.mark.parametrize(
    ("kind", "subject", "actor", "payload", "error"),
    [
        ("", "s", "a", {}, ConfigError),
        ("Upper", "s", "a", {}, ConfigError),
        ("a.b", "s\n", "a", {}, ConfigError),
        ("a.b", "s", "", {}, ConfigError),
        ("a.b", "s", "a\x00", {}, ConfigError),
        ("a.b", "s" * 513, "a", {}, ConfigError),
        ("a.b", "s", "a", {"x": 0.5}, Malformed),
        ("a.b", "s", "a", {"x": float("nan")}, Malformed),
        ("a.b", "s", "a", {"x": "\ud800"}, Malformed),
        ("a.b", "s", "a", {"x": b"bytes"}, Malformed),
        ("a.b", "s", "a", {"1": 1, 1: 2}, Malformed),
        ("revision.ingested", "s", "a", {"model": "a/b"}, Malformed),
        ("channel.set", "s", "a", {"model": "a/b", "channel": "x", "revision": "main"}, Malformed),
    ],
)
def test_what_cannot_be_read_back_is_not_recorded(
    bench: Bench, kind: str, subject: str, actor: str, payload: dict[str, object], error: type[Exception]
) -> None:
    with bench.open() as ledger:
        with pytest.raises(error):
            ledger.append(kind, subject, payload, actor=actor)  # type: ignore[arg-type]
        assert ledger.append("a.b", "s", {"é": [1, None, True]}, actor="a").sequence == 1
        assert ledger.verify(bench.key).events == 1


def test_a_signer_that_fails_records_nothing(sqlite_bench: Bench) -> None:
    class Broken:
        key_id = "0" * 64

        def sign(self, data: bytes) -> bytes:
            raise SignatureInvalid("the card was pulled")

    sqlite_bench.fill(2)
    with Ledger(sqlite_bench.url, head_path=sqlite_bench.head_path, signer=Broken()) as ledger:
        with pytest.raises(SignatureInvalid):
            ledger.append("a.b", "s", {}, actor="a")
        assert ledger.verify(sqlite_bench.key).events == 2


# --- every alteration shows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", COLUMNS)
def test_an_altered_column_shows_and_is_named(bench: Bench, column: str) -> None:
    bench.fill()
    for sequence in (1, 2, 17, 33, EVENT_COUNT):
        row = bench.row(sequence)
        altered: list[object] = [1000] if column == "sequence" else ["", "x" + str(row[column]), str(row[column]) + " "]
        if column == "payload":
            altered += ['{"number":0}', '{"number":1,"number":1}', "[" * 5000, "{", "[]", "{}"]
        if column in ("previous", "digest"):
            altered += ["0" * 63 + "1", str(row[column]).upper()]
        for value in (value for value in altered if value != row[column]):
            bench.set(sequence, **{column: value})
            message = bench.refused()
            if column == "sequence" and sequence == EVENT_COUNT:
                assert f"events {EVENT_COUNT} to 999 are missing" in message
            else:
                assert f"event {sequence} " in message, (value, message)
            bench.execute(delete(EVENTS).where(EVENTS.c.sequence == 1000))
            bench.restore(row)
    bench.verify()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    sequence=st.integers(1, 5),
    column=st.sampled_from([name for name in COLUMNS if name != "sequence"]),
    value=st.text() | st.binary() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False),
)
def test_any_value_in_any_field_shows(sqlite_bench: Bench, sequence: int, column: str, value: object) -> None:
    if not sqlite_bench.head_path.exists():
        sqlite_bench.fill(5)
    row = sqlite_bench.row(sequence)
    with closing(sqlite3.connect(sqlite_bench.folder / "ledger.db")) as raw:
        try:
            raw.execute(f"UPDATE ledger_events SET {column} = ? WHERE sequence = ?", (value, sequence))
        except UnicodeEncodeError:
            assume(False)  # a lone surrogate cannot be stored as text at all
        raw.commit()
        stored = raw.execute(f"SELECT {column} FROM ledger_events WHERE sequence = ?", (sequence,)).fetchone()[0]
    try:
        if stored == row[column]:
            sqlite_bench.verify()
        else:
            assert f"event {sequence} " in sqlite_bench.refused()
    finally:
        sqlite_bench.restore(row)


def test_bytes_that_are_no_text_show(sqlite_bench: Bench) -> None:
    sqlite_bench.fill(5)
    sqlite_bench.execute("UPDATE ledger_events SET actor = CAST(x'ff41' AS TEXT) WHERE sequence = 3")
    sqlite_bench.refused()


@pytest.mark.parametrize("sequence", [1, 2, 25, 49])
def test_a_removed_event_shows(bench: Bench, sequence: int) -> None:
    bench.fill()
    bench.execute(delete(EVENTS).where(EVENTS.c.sequence == sequence))
    assert f"event {sequence} is missing" in bench.refused()


def test_several_removed_events_show(bench: Bench) -> None:
    bench.fill()
    bench.execute(delete(EVENTS).where(EVENTS.c.sequence.between(20, 22)))
    assert "events 20 to 22 are missing" in bench.refused()


@pytest.mark.parametrize("left", [0, 1, 30, 49])
def test_a_cut_end_shows_and_nothing_can_be_added_to_it(bench: Bench, left: int) -> None:
    bench.fill()
    bench.execute(delete(EVENTS).where(EVENTS.c.sequence > left))
    assert f"events {left + 1} to {EVENT_COUNT} are missing" in bench.refused()
    with bench.open() as ledger:
        with pytest.raises(LedgerError, match="was cut"):
            ledger.append("a.b", "s", {}, actor="a")
        with pytest.raises(LedgerError, match="was cut"):
            ledger.sign_head()
        with pytest.raises(LedgerError, match="was cut"):
            ledger.rebuild_catalog()


@pytest.mark.parametrize(("first", "second"), [(1, 2), (10, 11), (3, 40), (49, 50), (1, 50)])
def test_two_events_that_changed_places_show(bench: Bench, first: int, second: int) -> None:
    bench.fill()
    move = "UPDATE ledger_events SET sequence = {} WHERE sequence = {}"
    bench.execute(move.format(5000, first), move.format(first, second), move.format(second, 5000))
    message = bench.refused()
    assert f"in place {first} stands what was recorded as event {second}" in message


def test_an_inserted_event_shows(bench: Bench) -> None:
    events = bench.fill()
    forged = sealed(replace(events[20], payload={"forged": True}))
    shift = "UPDATE ledger_events SET sequence = -sequence - 1 WHERE sequence >= 21"
    bench.execute(
        shift,
        "UPDATE ledger_events SET sequence = -sequence WHERE sequence < 0",
        insert(EVENTS).values(**columns(forged)),
    )
    assert "in place 22 stands what was recorded as event 21" in bench.refused()


@pytest.mark.parametrize("sequence", [0, -7])
def test_an_event_before_the_first_shows(bench: Bench, sequence: int) -> None:
    events = bench.fill()
    bench.execute(insert(EVENTS).values(**columns(sealed(replace(events[0], sequence=sequence)))))
    assert f"event {sequence} was inserted" in bench.refused()


def test_a_forged_event_with_a_fitting_digest_breaks_the_chain_after_it(bench: Bench) -> None:
    events = bench.fill()
    bench.rewrite(sealed(replace(events[20], actor="somebody else")))
    assert "event 22 of the ledger does not follow event 21" in bench.refused()


@pytest.mark.parametrize("since", [1, 20, EVENT_COUNT])
def test_a_rewritten_history_shows_against_the_signed_head(bench: Bench, since: int) -> None:
    previous = None
    for event in bench.fill()[since - 1 :]:
        forged = sealed(replace(event, actor="somebody else", previous=previous or event.previous))
        bench.rewrite(forged)
        previous = forged.digest
    assert f"event {EVENT_COUNT} " in (message := bench.refused())
    assert "not the one its head names" in message
    with bench.open() as ledger, pytest.raises(LedgerError, match="not the one its head names"):
        ledger.append("a.b", "s", {}, actor="a")


def test_single_events_are_checked_when_they_are_read(bench: Bench) -> None:
    bench.fill(5)
    bench.set(3, actor="somebody else")
    with bench.open() as ledger:
        assert [event.sequence for event in ledger.events(limit=2)] == [1, 2]
        with pytest.raises(LedgerError, match="event 3 "):
            list(ledger.events())


# --- the head --------------------------------------------------------------------------------------------------------


def test_another_key_is_not_accepted(bench: Bench) -> None:
    bench.fill(3)
    with pytest.raises(SignatureInvalid, match="head"):
        bench.verify(EcKey())


@pytest.mark.parametrize("field", ["digest", "key_id", "sequence", "signature", "time"])
def test_an_altered_head_is_not_accepted(bench: Bench, field: str) -> None:
    bench.fill(3)
    head = json.loads(bench.head_path.read_bytes())
    signature = base64.b64decode(head["signature"])
    other = {
        "digest": bench.row(2)["digest"],
        "key_id": EcKey().key_id,
        "sequence": 2,
        "signature": base64.b64encode(signature[:-1] + bytes([signature[-1] ^ 1])).decode(),
        "time": "2020-01-01T00:00:00Z",
    }
    bench.head_path.write_text(json.dumps(head | {field: other[field]}))
    with pytest.raises((SignatureInvalid, LedgerError)):
        bench.verify()


def test_an_older_head_with_its_digest_but_the_newer_signature_is_not_accepted(bench: Bench) -> None:
    bench.fill(3)
    head = json.loads(bench.head_path.read_bytes())
    bench.head_path.write_text(json.dumps(head | {"sequence": 2, "digest": bench.row(2)["digest"]}))
    with pytest.raises(SignatureInvalid):
        bench.verify()


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b"{" * 20_000, b'{"sequence":0}'])
def test_a_damaged_head_is_an_error_with_a_hint(sqlite_bench: Bench, data: bytes) -> None:
    sqlite_bench.fill(3)
    sqlite_bench.head_path.write_bytes(data)
    assert "head" in sqlite_bench.refused()
    with sqlite_bench.open() as ledger, pytest.raises(LedgerError, match="head"):
        ledger.append("a.b", "s", {}, actor="a")


def test_an_unsigned_head_is_not_accepted_where_signatures_are_checked(sqlite_bench: Bench) -> None:
    with sqlite_bench.open(signed=False) as ledger:
        ledger.append("a.b", "s", {}, actor="a")
        assert not ledger.verify(None).head_signed
    assert "not signed" in sqlite_bench.refused()
    with sqlite_bench.open() as ledger:
        ledger.append("a.b", "s", {}, actor="a")
        assert ledger.verify(sqlite_bench.key).head_signed


def test_a_head_that_lags_is_told_and_healed_by_the_next_event(bench: Bench) -> None:
    bench.fill(3)
    lagging = bench.head_path.read_bytes()
    bench.fill(1)
    bench.head_path.write_bytes(lagging)  # as a kill between commit and head leaves it
    with bench.open() as ledger:
        state = ledger.verify(bench.key)
        assert (state.events, state.head_sequence, state.unsigned_events) == (4, 3, 1)
        ledger.append("a.b", "s", {}, actor="a")
        assert ledger.verify(bench.key).unsigned_events == 0


def test_an_altered_event_beyond_a_lagging_head_is_not_signed_over(bench: Bench) -> None:
    bench.fill(3)
    lagging = bench.head_path.read_bytes()
    bench.fill(1)
    bench.head_path.write_bytes(lagging)
    bench.set(4, actor="somebody else")
    with bench.open() as ledger, pytest.raises(LedgerError, match="event 4 "):
        ledger.append("a.b", "s", {}, actor="a")


def test_a_lost_head_is_an_error_until_a_person_signs_anew(bench: Bench) -> None:
    bench.fill(5)
    bench.head_path.unlink()
    assert "is missing" in bench.refused()
    with bench.open() as ledger:
        with pytest.raises(LedgerError, match="head"):
            ledger.append("a.b", "s", {}, actor="a")
        assert ledger.sign_head().head_sequence == 5
        assert ledger.append("a.b", "s", {}, actor="a").sequence == 6
        assert ledger.verify(bench.key).head_signed


def test_the_first_event_killed_before_its_head_is_healed(bench: Bench) -> None:
    bench.fill(1)
    bench.head_path.unlink()
    with bench.open() as ledger:
        assert ledger.verify(bench.key).unsigned_events == 1
        ledger.append("a.b", "s", {}, actor="a")
        assert ledger.verify(bench.key).unsigned_events == 0


def test_the_head_never_moves_backwards(tmp_path: Path) -> None:
    file = HeadFile(tmp_path / "head.json")
    newer = Head(5, "5" * 64, "2026-01-01T00:00:05Z").signed_by(EcKey())
    with file.locked():
        file.write(newer)
        file.write(Head(4, "4" * 64, "2026-01-01T00:00:09Z"))
        assert file.read() == newer
        with pytest.raises(LedgerError, match="another event 5"):
            file.write(Head(5, "6" * 64, "2026-01-01T00:00:09Z"))
    assert file.read() == newer


def test_two_machines_with_a_head_each_share_a_database(bench: Bench) -> None:
    bench.fill(3)
    other = bench.folder / "other" / "head.json"
    with bench.open() as ours, Ledger(bench.url, head_path=other, signer=bench.key) as theirs:
        theirs.sign_head()
        for _ in range(3):
            ours.append("a.b", "s", {}, actor="ours")
            theirs.append("a.b", "s", {}, actor="theirs")
        assert ours.verify(bench.key).unsigned_events == 1
        assert theirs.verify(bench.key).unsigned_events == 0


# --- many writers ----------------------------------------------------------------------------------------------------


def writer(bench: Bench, events: int) -> Forked:
    key_path = bench.folder / "key.pem"
    key_path.write_bytes(bench.key.pem())
    arguments = (bench.url, str(bench.head_path), str(key_path), str(events))
    return template().start(arguments, os.environ, program=ledger_writer.__name__)


def test_two_processes_that_create_and_append_at_once(bench: Bench) -> None:
    processes = [writer(bench, 50) for _ in range(2)]
    answers = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    acknowledged = {line for out, _ in answers for line in out.splitlines()}
    with bench.open() as ledger:
        assert ledger.verify(bench.key).unsigned_events == 0
        assert {f"{event.sequence} {event.digest}" for event in ledger.events()} == acknowledged
    assert len(acknowledged) == 100


def test_threads_share_one_ledger(bench: Bench) -> None:
    with bench.open() as ledger:

        def work(name: str) -> None:
            for _ in range(10):
                ledger.append("a.b", name, {}, actor="thread")
                list(ledger.events(limit=5))

        threads = [threading.Thread(target=work, args=(f"thread {number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ledger.verify(bench.key).events == 40
        assert [len(list(ledger.events(subject=f"thread {number}"))) for number in range(4)] == [10] * 4


@pytest.mark.fault
@pytest.mark.slow
def test_no_acknowledged_event_is_lost_to_kills(bench: Bench) -> None:
    chance = random.Random(20)
    acknowledged: dict[int, str] = {}
    for _ in range(20):
        process = writer(bench, 1_000_000)
        for _ in range(chance.randrange(12)):
            sequence, digest = process.stdout.readline().split()
            acknowledged[int(sequence)] = digest
        time.sleep(chance.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        for line in process.stdout.read().splitlines():
            if len(line.split()) == 2 and len(line.split()[1]) == 64:
                acknowledged[int(line.split()[0])] = line.split()[1]
        assert process.wait(20) == -signal.SIGKILL
        process.stdout.close()
        process.stderr.close()
    with bench.open() as ledger:
        state = ledger.verify(bench.key)
        kept = {event.sequence: event.digest for event in ledger.events()}
        assert acknowledged.items() <= kept.items()
        assert len(acknowledged) > 20
        assert state.unsigned_events <= 1
        ledger.append("a.b", "s", {}, actor="a")
        assert ledger.verify(bench.key).unsigned_events == 0


def test_the_walk_holds_few_events_in_memory(sqlite_bench: Bench) -> None:
    with sqlite_bench.open() as ledger:
        for number in range(60):
            ledger.append("a.b", "s", {"text": f"{number}" * 150_000}, actor="a")
        size = (sqlite_bench.folder / "ledger.db").stat().st_size
        tracemalloc.start()
        try:
            assert ledger.verify(sqlite_bench.key).events == 60
            assert sum(1 for _ in ledger.events()) == 60
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert size > 12_000_000
    assert peak < size * 0.75


# --- what can go wrong with a database -------------------------------------------------------------------------------


def test_a_locked_sqlite_is_busy(sqlite_bench: Bench) -> None:
    sqlite_bench.fill(1)
    with closing(sqlite3.connect(sqlite_bench.folder / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with sqlite_bench.open(wait_seconds=0.05) as ledger:
            with pytest.raises(Busy) as caught:
                ledger.append("a.b", "s", {}, actor="a")
            assert ledger.verify(sqlite_bench.key).events == 1  # readers go on
        other.execute("ROLLBACK")
    assert caught.value.hint
    sqlite_bench.fill(1)


def test_a_locked_postgresql_is_busy(postgres: PostgresServer, tmp_path: Path) -> None:
    bench = Bench(postgres.url(), tmp_path)
    bench.fill(1)
    other = create_engine(bench.url)
    with other.begin() as connection, bench.open(wait_seconds=0.05) as ledger:
        connection.execute(text("LOCK TABLE ledger_events IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(Busy):
            ledger.append("a.b", "s", {}, actor="a")
    other.dispose()
    bench.fill(1)
    bench.close()
    postgres.drop(bench.url)


def test_a_held_head_lock_is_busy(sqlite_bench: Bench) -> None:
    sqlite_bench.fill(1)
    with (
        (sqlite_bench.folder / "head.json.lock").open("w") as lock,
        sqlite_bench.open(wait_seconds=0.05) as ledger,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Busy):
            ledger.append("a.b", "s", {}, actor="a")


def _noise(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(64 * 1024))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _overwrite(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))


def _replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [_noise, _cut, _overwrite, _replace_by_folder, Path.unlink])
def test_a_damaged_or_missing_file_is_an_error_with_a_hint(sqlite_bench: Bench, damage: Callable[[Path], None]) -> None:
    sqlite_bench.fill(EVENT_COUNT)
    sqlite_bench.close()
    path = sqlite_bench.folder / "ledger.db"
    damage(path)
    sqlite_bench.refused()


def test_a_path_is_taken_as_it_stands(tmp_path: Path) -> None:
    folder = tmp_path / "a b%20c#d&é%"
    folder.mkdir()
    with Ledger(f"sqlite:///{folder}/ledger.db", head_path=folder / "head.json", signer=None) as ledger:
        ledger.append("a.b", "s", {}, actor="a")
    with closing(sqlite3.connect(folder / "ledger.db")) as raw:
        assert raw.execute("SELECT count(*) FROM ledger_events").fetchone() == (1,)


def test_a_folder_that_does_not_exist_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(LedgerError) as caught:
        Ledger(f"sqlite:///{tmp_path}/nowhere/ledger.db", head_path=tmp_path / "head.json", signer=None)
    assert caught.value.hint


def test_dropped_tables_are_an_error_with_a_hint(bench: Bench) -> None:
    bench.fill(3)
    bench.execute("DROP TABLE ledger_events")
    assert "tables" in bench.refused()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ledger.db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x.db?uri=true",
        "mysql://user:s3cret-word@host/ledger",
        "postgresql+psycopg2://user:s3cret-word@host/ledger",
        "postgresql+psycopg://user:s3cret-word@host:port/ledger",
        "postgresql+psycopg//user:s3cret-word@host/ledger",
    ],
)
def test_other_urls_are_refused_without_being_quoted(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Ledger(url, head_path=tmp_path / "head.json", signer=None)
    assert "s3cret-word" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.hint


def test_no_error_shows_the_password(postgres: PostgresServer, tmp_path: Path) -> None:
    good = postgres.url()
    wrong = "wr0ng word@/"
    cases: list[tuple[str, type[WeighbridgeError]]] = [
        (postgres.url("test_x", password=wrong), AccessRefused),
        (postgres.url("test_nowhere"), LedgerError),
        (
            good.replace("/test_", ":1/test_").replace(f"?host={good.partition('?host=')[2]}", "?host=/nowhere"),
            StoreUnreachable,
        ),
        (good.partition("@")[0] + "@127.0.0.1:1/ledger", StoreUnreachable),
        (good + "&sslmode=nonsense", WeighbridgeError),
        (good.partition("@")[0] + f"@127.0.0.1:1/ledger?sslpassword={PASSWORD}", WeighbridgeError),
    ]
    for url, kind in cases:
        with pytest.raises(kind) as caught:
            Ledger(url, head_path=tmp_path / "head.json", signer=None)
        shown = "".join(traceback.format_exception(caught.value)) + caught.value.diagnostics()
        assert caught.value.hint
        for secret in (PASSWORD, wrong, *[part.split("@")[0] for part in url.split("postgres:")[1:]]):
            assert secret not in shown, shown
    with Ledger(good, head_path=tmp_path / "head.json", signer=None) as ledger:
        postgres.drop(good)
        with pytest.raises(WeighbridgeError) as caught:
            ledger.append("a.b", "s", {}, actor="a")
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_a_missing_driver_names_the_extra(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from pathlib import Path\nfrom weighbridge.store.ledger import Ledger\n"
        "from weighbridge.core.errors import ConfigError\n"
        "try:\n    Ledger('postgresql://u:p@h/d', head_path=Path(sys.argv[1]), signer=None)\n"
        "except ConfigError as error:\n    print(error.diagnostics())\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "h")], capture_output=True, text=True, check=True
    )
    assert "weighbridge[postgres]" in answer.stdout


# --- the schema ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("migrated", [True, False])
def test_migrations_and_a_fresh_start_create_the_same_schema(bench: Bench, migrated: bool) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from weighbridge.store.migrations import migrate
    from weighbridge.store.tables import METADATA, VERSION_TABLE

    engine = create_engine(bench.url)
    if migrated:
        with engine.begin() as connection:
            migrate(connection)
    bench.fill(1)
    bench.verify()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_no_schema_that_needs_no_migration_imports_alembic(bench: Bench) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom weighbridge.store.ledger import Ledger\n"
        "Ledger(sys.argv[1], head_path=Path(sys.argv[2]), signer=None).close()\n"
        "print('alembic' in sys.modules)\n"
    )
    command = [sys.executable, "-c", script, bench.url, str(bench.head_path)]
    answers = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert answers == ["False\n", "False\n"]


def test_a_schema_of_a_newer_version_is_left_alone(bench: Bench) -> None:
    bench.fill(1)
    bench.execute("UPDATE weighbridge_schema SET version_num = '9999'")
    with pytest.raises(ConfigError, match="9999"):
        bench.open()


def test_what_is_committed_is_synced(sqlite_bench: Bench) -> None:
    sqlite_bench.fill(1)
    assert (sqlite_bench.folder / "ledger.db").read_bytes()[
        18:20
    ] == b"\x02\x02"  # write-ahead log, per SQLite's file format


def test_the_schema_and_other_tables_share_a_database(bench: Bench) -> None:
    bench.execute("CREATE TABLE alembic_version (version_num TEXT)", "INSERT INTO alembic_version VALUES ('theirs')")
    bench.fill(1)
    bench.verify()
