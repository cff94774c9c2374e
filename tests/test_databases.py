"""SQLite databases: what vector stores and trackers write is clean, and what is hidden in one is said by its rule."""

from __future__ import annotations

import random
import sqlite3
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.content import SECRETS, content, rules
from tests.support.database_corpus import HONEST, HOSTILE, INSERT, VECTORS, Stored, database, vectors
from tests.support.inspecting import Bytes, answer, examined, rules_of, verdict_of
from weighbridge.core.errors import FormatError
from weighbridge.core.finding import Verdict
from weighbridge.formats.held import Held
from weighbridge.formats.sqlite import Database, Field
from weighbridge.inspectors.families import databases
from weighbridge.inspectors.families.databases import RULES, Databases


@each("stored", HONEST, ids=lambda stored: stored.name)
def test_what_the_library_writes_is_clean_to_the_last_page(stored: Stored) -> None:
    report = answer(Databases(), Bytes(stored.path, stored.data))
    assert report is not None
    assert [finding.rule for finding in report.findings] == ([stored.rule] if stored.rule else [])
    assert report.coverage.complete
    assert verdict_of(stored.path, stored.data) is Verdict.CLEAN


@each("stored", HOSTILE, ids=lambda stored: stored.name)
def test_what_is_hidden_breaks_its_rule(stored: Stored) -> None:
    found = examined(stored.path, stored.data)
    said = {finding.rule for report in found.reports for finding in report.findings}
    assert stored.rule in said
    by_policy = ("sqlite-unknown-function", "sqlite-schema-oddity", "sqlite-virtual-table")
    assert found.verdict is not Verdict.CLEAN or stored.rule in by_policy


def test_every_rule_is_in_the_corpus() -> None:
    beyond = {"sqlite-not-understood"}
    assert {rule.id for rule in RULES} - beyond <= {stored.rule for stored in (*HONEST, *HOSTILE)}
    assert len({stored.name for stored in HOSTILE}) == len(HOSTILE) >= 40


@each("stored", HONEST, ids=lambda stored: stored.name)
def test_the_rows_are_those_that_the_library_reads(stored: Stored) -> None:
    with tempfile.NamedTemporaryFile(suffix=".db") as file:
        Path(file.name).write_bytes(stored.data)
        opened = sqlite3.connect(f"file:{file.name}?immutable=1", uri=True)
        try:
            roots = opened.execute(
                "select name, rootpage from sqlite_master where type = 'table' and rootpage"
            ).fetchall()
            expected = {name: opened.execute(f'select * from "{name}"').fetchall() for name, _ in roots}
        finally:
            opened.close()
    read = Database(Held("a.db", stored.data))
    for name, root in roots:
        rows = [[one.value if isinstance(one, Field) else one for one in row.values] for row in read.rows(root)]
        texts = sorted(str([value for value in row if isinstance(value, str | bytes)]) for row in rows)
        assert texts == sorted(
            str([value for value in row if isinstance(value, str | bytes)]) for row in expected[name]
        )


@each("stored", [HONEST[0], HONEST[1], HONEST[4], HONEST[7]], ids=lambda stored: stored.name)
def test_a_byte_more_or_less_is_noticed(stored: Stored) -> None:
    assert verdict_of(stored.path, stored.data + b"x") is not Verdict.CLEAN
    for cut in range(1, len(stored.data), max(1, len(stored.data) // 12)):
        assert verdict_of(stored.path, stored.data[:cut]) is not Verdict.CLEAN


def test_what_is_bad_stays_bad_beside_more_rows() -> None:
    bad = next(stored for stored in HOSTILE if stored.name == "a pickle, plain")
    blob = next(row.values[1] for row in Database(Held("", bad.data)).rows(2))
    assert isinstance(blob, Field)
    data = database(VECTORS, rows=[*vectors(40), (INSERT, (blob.value, "")), *vectors(40)])
    assert "pickle-dangerous-callable" in rules_of("a.sqlite3", data)
    assert verdict_of("a.sqlite3", data + bytes(4096)) is Verdict.BAD


def test_vectors_are_no_objects_whatever_they_begin_with() -> None:
    # As a packed object, or a pickle, begins: some of a million vectors do.
    source = random.Random(3)
    starts = (b"\x78\x9c\x8c\x3f", b"\x80\x04\x95\x3f", b"\x80\x02\x7d\x3e", b"\xc7\x71\x10\x3d")
    blobs = [start + struct.pack("<63f", *(source.gauss(0, 1) for _ in range(63))) for start in starts * 10]
    data = database(VECTORS, rows=[(INSERT, (blob, "")) for blob in blobs])
    assert verdict_of("a.sqlite3", data) is Verdict.CLEAN


def test_a_secret_over_two_pages_and_one_of_two_byte_letters_are_found() -> None:
    token = "ghp_" + "".join(random.Random(5).choices("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=36))
    text = "x" * 3_950 + f" token = '{token}' " + "y" * 5_000
    for first in ((), ("pragma encoding='UTF-16be'",)):
        data = database(VECTORS, rows=[(INSERT, (b"", text))], first=first)
        assert "secret-provider-token" in rules(content("a.sqlite3", data, SECRETS))


def test_more_objects_than_are_looked_at_leave_it_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    data = database(VECTORS, rows=[(INSERT, (b"\x80\x04]\x94.", "")) for _ in range(5)])
    assert verdict_of("a.sqlite3", data) is Verdict.CLEAN
    monkeypatch.setattr(databases, "MAX_DESCENDED", 3)
    assert "sqlite-not-understood" in rules_of("a.sqlite3", data)
    assert verdict_of("a.sqlite3", data) is Verdict.UNKNOWN


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_a_damaged_database_is_never_a_surprise(draw: st.DataObject) -> None:
    stored = draw.draw(st.sampled_from([one for one in (*HONEST, *HOSTILE) if len(one.data) < 40_000]))
    data = bytearray(stored.data)
    for _ in range(draw.draw(st.integers(1, 6))):
        data[draw.draw(st.integers(0, min(len(data), 9_000) - 1))] = draw.draw(st.integers(0, 255))
    reader = Bytes(stored.path, bytes(data))
    try:
        answer(Databases(), reader)
    except FormatError:
        return
    assert reader.read_bytes < 64 * len(data) + 1_000_000


def test_pages_that_lead_in_circles_end() -> None:
    data = bytearray(HONEST[1].data)
    size = 4096
    for number in range(1, len(data) // size):
        if data[number * size] in (2, 5):
            data[number * size + 8 : number * size + 12] = (number + 1).to_bytes(4, "big")
    assert verdict_of("a.sqlite3", bytes(data)) is Verdict.UNKNOWN
