"""Inspectors in processes of their own: what crashes, hangs or eats memory is unknown, and nothing else suffers."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.cases import each
from tests.support.inspecting import Bytes
from tests.support.waiting import PATIENCE_SECONDS
from weighbridge.core.errors import InspectorCrashed, Interrupted, NotFound, Truncated
from weighbridge.core.finding import Report, Verdict
from weighbridge.inspectors import registry
from weighbridge.inspectors.content.session import ContentSettings
from weighbridge.inspectors.registry import inspect_artifact
from weighbridge.inspectors.subject import Subject
from weighbridge.sandbox import pool as pool_module
from weighbridge.sandbox.frames import Channel, FrameKind
from weighbridge.sandbox.pool import Limits, Pool, decode
from weighbridge.sandbox.worker import Station, serve

linux = pytest.mark.skipif(sys.platform != "linux", reason="the filter of system calls is Linux's")
EVIL = b"cposix\nsystem\n(S'id'\ntR."
LIMITS = Limits(seconds=PATIENCE_SECONDS, memory_bytes=256 * 1024 * 1024)
HASTY = replace(LIMITS, seconds=3.0)
"""For what never ends."""


@dataclass(frozen=True)
class Misbehaving:
    """A real inspector with a defect that one file's name sets off."""

    deeds: dict[str, Callable[[], object]]
    name: str = "misbehaving"

    def inspect(self, subject: Subject) -> Report | None:
        deed = self.deeds.get(subject.path)
        if deed is not None:
            deed()
        return None


def hang() -> None:
    while True:
        pass


def recurse() -> None:
    recurse()


DEEDS: dict[str, Callable[[], object]] = {
    "hangs": hang,
    "eats": lambda: bytearray(2 * 1024**3),
    "aborts": os.abort,
    "recurses": recurse,
    "raises": lambda: {}["missing"],
    "dies": lambda: os.kill(os.getpid(), 9),
    "segfaults": lambda: ctypes.string_at(0),
}
FORBIDDEN: dict[str, Callable[[], object]] = {
    "talks": socket.socket,
    "starts": lambda: os.execv(sys.executable, [sys.executable, "-c", "print()"]),
    "spawns": lambda: subprocess.run([sys.executable, "-c", "print()"], check=False),
    "kills": lambda: os.kill(os.getppid(), 0),
}


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Pool]:
    (tmp_path / "kept").write_text("as it was")
    files: dict[str, Callable[[], object]] = {
        "writes": lambda: os.open(tmp_path / "new", os.O_WRONLY | os.O_CREAT),
        "overwrites": lambda: os.open(tmp_path / "kept", os.O_RDWR),
        "removes": lambda: os.unlink(tmp_path / "kept"),
        "renames": lambda: os.rename(tmp_path / "kept", tmp_path / "new"),
    }
    monkeypatch.setattr(registry, "INSPECTORS", (*registry.INSPECTORS, Misbehaving(DEEDS | FORBIDDEN | files)))
    # A test runner of several processes has a second thread; a new interpreter would not know what was added here.
    monkeypatch.setattr(pool_module, "_may_fork", lambda: True)
    with Pool(HASTY, workers=1) as made:
        made.start()
        yield made


def test_the_answers_are_those_of_the_inspectors() -> None:
    files = {"evil.pkl": EVIL, "README.md": b"# hello\n", "x.bin": bytes(range(256)) * 1000, "empty.txt": b""}
    with Pool(LIMITS, workers=2) as pool:
        for path, data in files.items():
            assert pool.inspect(Bytes(path, data)) == inspect_artifact(Bytes(path, data))


@pytest.mark.parametrize("deed", DEEDS)
def test_what_goes_wrong_is_unknown_and_the_next_file_is_judged(pool: Pool, deed: str) -> None:
    found = pool.inspect(Bytes(deed, b"hello"))
    assert found.verdict is Verdict.UNKNOWN
    rules = {finding.rule for report in found.reports for finding in report.findings}
    assert rules == {"inspector-timed-out" if deed == "hangs" else "inspector-crashed"}
    assert {report.coverage.inspected_bytes for report in found.reports} == {0}
    assert pool.inspect(Bytes("evil.pkl", EVIL)).verdict is Verdict.BAD


@linux
@pytest.mark.parametrize("deed", [*FORBIDDEN, "writes", "overwrites", "removes", "renames"])
def test_an_inspector_has_no_network_no_programs_and_no_files(pool: Pool, deed: str, tmp_path: Path) -> None:
    found = pool.inspect(Bytes(deed, b"hello"))
    assert {finding.rule for report in found.reports for finding in report.findings} == {"inspector-crashed"}
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"kept": "as it was"}


def test_a_new_interpreter_does_as_well_as_a_fork() -> None:
    ended = threading.Event()
    other = threading.Thread(target=ended.wait)
    other.start()
    try:
        with Pool(LIMITS, workers=1) as pool:
            pool.start()
            assert pool.inspect(Bytes("evil.pkl", EVIL)).verdict is Verdict.BAD
    finally:
        ended.set()
        other.join()


@dataclass(frozen=True)
class Failing:
    """A reader whose bytes end after the first block."""

    error: Exception
    path: str = "model.safetensors"
    size_bytes: int = 200_000

    def read(self, offset: int, length: int) -> bytes:
        if offset + length > 65_536:
            raise self.error
        header = (100_000).to_bytes(8, "little") + b'{"a":' + b" " * 65_536
        return header[offset : offset + length]


def test_bytes_that_cannot_be_reached_are_no_answer_about_them(pool: Pool) -> None:
    with pytest.raises(NotFound, match="gone away"):
        pool.inspect(Failing(NotFound("gone away")))
    with pytest.raises(Interrupted):
        pool.inspect(Failing(Interrupted("stop")))
    found = pool.inspect(Failing(Truncated("cut short")))
    assert found.verdict is Verdict.UNKNOWN
    assert "cut short" in {f.message.partition(": ")[2] for r in found.reports for f in r.findings}
    assert pool.inspect(Bytes("evil.pkl", EVIL)).verdict is Verdict.BAD


@each(
    "payload",
    [
        b"",
        b"\xff\xff\xff\xff",
        b"{}",
        b"[]",
        b"[[],[],{},0]",
        b"[" * 100_000,
        b'[[["x","fine",1,1,"",[]]],[],{}]',
        b'[[["x","clean",-1,1,"",[]]],[],{}]',
        b'[[["x","clean",1,true,"",[]]],[],{}]',
        b'[[[1,"clean",1,1,"",[]]],[],{}]',
        b'[[["x","clean",1,1,"",[["a-rule","high","sure","m","","",""]]]],[],{}]',
        b'[[["x","clean",1,1,"",["texts"]]],[],{}]',
        b'[["texts!"],[],{}]',
        b'[[],[["a","b"]],{}]',
    ],
)
def test_a_worker_that_talks_nonsense_has_crashed(payload: bytes) -> None:
    with pytest.raises(InspectorCrashed):
        decode(payload)


def test_a_worker_whose_parent_was_killed_ends_without_a_word() -> None:
    questions, asking = os.pipe()
    listening, answers = os.pipe()
    os.close(asking)
    try:
        serve(Channel(questions, answers), Station(LIMITS.memory_bytes, ContentSettings()))
    finally:
        for one in (questions, answers, listening):
            os.close(one)


def test_a_frame_is_bounded() -> None:
    read, write = os.pipe()
    channel = Channel(read, write)
    os.write(write, bytes([FrameKind.ANSWER]) + b"\xff\xff\xff\xff")
    with pytest.raises(InspectorCrashed):
        channel.receive(1.0)
    channel.close()


def test_many_threads_share_the_workers() -> None:
    verdicts: dict[int, Verdict] = {}
    with Pool(LIMITS, workers=2) as pool:

        def inspect(number: int) -> None:
            data = EVIL if number % 2 else b"# words\n"
            verdicts[number] = pool.inspect(Bytes(f"{number}.{'pkl' if number % 2 else 'md'}", data)).verdict

        threads = [threading.Thread(target=inspect, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert verdicts == {number: Verdict.BAD if number % 2 else Verdict.CLEAN for number in range(20)}


def test_of_many_that_are_asked_about_at_once_only_the_bad_one_is_lost(pool: Pool) -> None:
    asked = [Bytes("a.md", b"# words\n"), Bytes("evil.pkl", EVIL), Bytes("dies", b"hello"), Bytes("raises", b"hello")]
    asked += [Bytes("b.pkl", EVIL), Bytes("c.md", b"# words\n")]
    found = pool.inspect_each(asked)
    assert [{finding.rule for report in one.reports for finding in report.findings} for one in found[2:4]] == [
        {"inspector-crashed"}
    ] * 2
    assert [one.verdict.value for one in found] == ["clean", "bad", "unknown", "unknown", "bad", "clean"]
    assert [found[place] for place in (0, 1, 4, 5)] == [inspect_artifact(asked[place]) for place in (0, 1, 4, 5)]


def test_one_that_hangs_takes_no_time_from_those_asked_about_with_it(pool: Pool) -> None:
    found = pool.inspect_each([Bytes("evil.pkl", EVIL), Bytes("hangs", b"hello"), Bytes("c.md", b"# words\n")])
    assert [one.verdict.value for one in found] == ["bad", "unknown", "clean"]
    assert {finding.rule for report in found[1].reports for finding in report.findings} == {"inspector-timed-out"}


def test_none_is_asked_about(pool: Pool) -> None:
    assert pool.inspect_each([]) == []
