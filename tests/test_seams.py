"""Where inspectors meet: files that are two things at once, what a name hides, and a worker in hostile hands."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.support.inspecting import Bytes
from weighbridge.core.finding import Report, Verdict
from weighbridge.inspectors import registry
from weighbridge.inspectors.content import ContentSettings
from weighbridge.inspectors.subject import Subject
from weighbridge.sandbox.frames import Channel, FrameKind
from weighbridge.sandbox.pool import Limits, Pool

EVIL = b"cposix\nsystem\n(S'id'\ntR."


# --- a worker in hostile hands -------------------------------------------------------------------


def _channel() -> Channel:
    """The worker's own end, as code that took it over would find it."""
    frame = sys._getframe()
    while not isinstance(frame.f_locals.get("channel"), Channel):
        assert frame.f_back is not None
        frame = frame.f_back
    found = frame.f_locals["channel"]
    assert isinstance(found, Channel)
    return found


def _ask(offset: int, length: int) -> None:
    _channel().send(FrameKind.READ, struct.pack("<QI", offset, length))


def _flood() -> None:
    while True:
        _ask(0, 1)
        _channel().receive()


def _flood_with_much() -> None:
    while True:
        _ask(0, 8 * 1024 * 1024)
        _channel().receive()


def _ask_and_not_listen() -> None:
    while True:
        _ask(0, 4 * 1024 * 1024)


def _answer(reports: bytes, rest: bytes) -> None:
    _channel().send(FrameKind.ANSWER, struct.pack("<I", len(reports)) + reports + rest)
    _channel().receive()


def _report(path: bytes) -> bytes:
    return (
        b'{"format":"weighbridge.inspection/1","reports":[{"findings":[],"inspected_bytes":1,"inspector":"x","kind":"",'
        b'"path":"%s","present_bytes":1,"verdict":"clean"}],"rules_version":"1","verdict":"clean"}' % path
    )


def _spooled(size: int, labels: bytes = b"") -> bytes:
    return (
        b'{"facts":[["content-label","label of nothing","","9"]],"spooled":{"text":{"size_bytes":%d,"lines":0,'
        b'"broken":true,"labels":[%s]},"raw":null}}' % (size, labels)
    )


LABEL = (
    b'{"path":"x","start":%d,"line":1,"end":%d,"wanted_bytes":1,"looked_bytes":1,"verbatim":true,"inserted":[],'
    b'"spooled":[%d],"origin":[0]}'
)
DEEDS: dict[str, Callable[[], None]] = {
    "asks without end": _flood,
    "asks for everything again and again": _flood_with_much,
    "asks and does not listen": _ask_and_not_listen,
    "asks for more than an answer holds": lambda: _ask(0, 0xFFFFFFFF),
    "speaks of another file": lambda: _answer(_report(b"other"), b'{"facts":[],"spooled":{}}'),
    "answers with no spool": lambda: _answer(_report(b"answers with no spool"), b'{"facts":[],"spooled":{}}'),
    "a fact of another file": lambda: _answer(_report(b"a fact of another file"), _spooled(0)),
    "labels before the spool": lambda: _answer(_report(b"labels before the spool"), _spooled(0, LABEL % (-5, 9, 0))),
    "numbers beyond any": lambda: _answer(_report(b"numbers beyond any"), _spooled(0, LABEL % (0, 0, 1 << 70))),
    "nonsense": lambda: _answer(b"{", b"}"),
    "half a frame": lambda: os._exit(0),
    "an empty request": lambda: _channel().send(FrameKind.READ, b""),
}


@dataclass(frozen=True)
class TakenOver:
    """An inspector whose process does what it likes for files of some names."""

    name: str = "taken-over"

    def inspect(self, subject: Subject) -> Report | None:
        deed = DEEDS.get(subject.path)
        if deed is not None:
            deed()
        if subject.path == "asks beyond the end":
            _ask(1 << 63, 100)
            assert _channel().receive() == (FrameKind.BYTES, b"")
            _ask(subject.size_bytes - 1, 1000)
            assert len(_channel().receive()[1]) == 1
        return None


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "INSPECTORS", (*registry.INSPECTORS, TakenOver()))
        with Pool(
            Limits(seconds=2.0, memory_bytes=512 * 1024 * 1024), workers=1, content=ContentSettings(malware=False)
        ) as made:
            made.start()
            yield made


@pytest.mark.skipif(sys.platform != "linux", reason="workers that are forked inherit the patch")
@pytest.mark.parametrize("deed", DEEDS)
def test_a_worker_in_hostile_hands_costs_its_artifact_and_nothing_else(pool: Pool, deed: str) -> None:
    found = pool.inspect(Bytes(deed, bytes(9 * 1024 * 1024)))
    rules = {finding.rule for report in found.reports for finding in report.findings}
    assert (found.verdict, len(rules)) == (Verdict.UNKNOWN, 1)
    assert rules <= {"inspector-crashed", "inspector-timed-out"}
    assert pool.inspect(Bytes("evil.pkl", EVIL)).verdict is Verdict.BAD


@pytest.mark.skipif(sys.platform != "linux", reason="workers that are forked inherit the patch")
def test_ranges_beyond_the_end_hold_nothing(pool: Pool) -> None:
    found = pool.inspect(Bytes("asks beyond the end", b"\x00\x01" * 50_000))
    assert "inspector-crashed" not in {finding.rule for report in found.reports for finding in report.findings}
