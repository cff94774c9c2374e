"""The antivirus daemon: its protocol, its limits, its faults; an answer that stays away is never a pass."""

from __future__ import annotations

import dataclasses
import os
import socket
from pathlib import Path

import pytest

from tests.support.clamd import EICAR, VERSION, clamd
from tests.support.content import looked_into, rules
from tests.support.inspecting import Bytes
from tests.support.waiting import PATIENCE_SECONDS
from weighbridge.core.errors import ConfigError, InspectorCrashed, InspectorTimedOut
from weighbridge.core.finding import Report, Verdict
from weighbridge.inspectors.content import antivirus
from weighbridge.inspectors.content.session import ContentSession, ContentSettings
from weighbridge.inspectors.content.spool import Spool
from weighbridge.inspectors.subject import Inspected, Subject
from weighbridge.wire.clamd import MAX_STREAM_BYTES, Clamd

NOTHING_ELSE = ContentSettings(secrets=False, malware=False)


def said(address: str, *files: Bytes) -> list[Report]:
    return looked_into(files, dataclasses.replace(NOTHING_ELSE, clamd=address))


@pytest.mark.parametrize("unix", [True, False])
def test_a_daemon_answers_over_either_kind_of_socket(tmp_path: Path, unix: bool) -> None:
    with clamd(tmp_path / "clamd.ctl" if unix else None) as daemon:
        client = Clamd(daemon.address)
        assert client.version() == VERSION
        assert client.scan(b"harmless") == ""
        assert client.scan(b"") == ""
        assert client.scan(b"\x00" + EICAR) == "Eicar-Signature"
    with clamd(tmp_path / "again.ctl") as daemon:
        assert Clamd(daemon.address.removeprefix("unix:")).scan(b"x") == ""


def test_a_signature_makes_an_artifact_bad_and_names_the_version() -> None:
    with clamd() as daemon:
        good, bad = said(daemon.address, Bytes("a.bin", b"\x00good"), Bytes("b.bin", b"\x00" + EICAR))
    assert (good.settled_verdict, good.coverage.complete) == (Verdict.CLEAN, True)
    assert bad.verdict is Verdict.BAD
    assert rules([bad]) == {"antivirus-signature"}
    assert "Eicar-Signature" in bad.findings[0].message
    assert VERSION[:12] in bad.findings[0].message


@pytest.mark.parametrize("place", [0, MAX_STREAM_BYTES - 40, MAX_STREAM_BYTES - 1, MAX_STREAM_BYTES + 5])
def test_large_artifacts_are_sent_in_windows_that_overlap(place: int) -> None:
    data = bytearray(MAX_STREAM_BYTES + 3_000_000)
    data[place : place + len(EICAR)] = EICAR
    with clamd() as daemon:
        (report,) = said(daemon.address, Bytes("model.bin", bytes(data)))
        assert rules([report]) == {"antivirus-signature"}
        assert max(daemon.streams) <= MAX_STREAM_BYTES
        assert sum(daemon.streams) >= len(data)


@pytest.mark.parametrize(
    ("fault", "error"), [("breaks", InspectorCrashed), ("confused", InspectorCrashed), ("silent", InspectorTimedOut)]
)
def test_a_daemon_that_fails_is_an_error(fault: str, error: type[Exception]) -> None:
    with clamd() as daemon:
        daemon.fault = fault
        with pytest.raises(error):
            Clamd(daemon.address, timeout_seconds=0.5 if fault == "silent" else PATIENCE_SECONDS).scan(b"x")


@pytest.mark.parametrize("fault", ["breaks", "confused"])
def test_a_daemon_that_fails_leaves_the_answer_open(fault: str) -> None:
    with clamd() as daemon:
        daemon.fault = fault
        (report,) = said(daemon.address, Bytes("a.bin", b"\x00good"))
    assert report.verdict is Verdict.UNKNOWN
    assert rules([report]) == {"antivirus-did-not-answer"}
    assert report.coverage.inspected_bytes == 0


def test_a_daemon_with_a_lower_limit_leaves_the_answer_open() -> None:
    with clamd() as daemon:
        daemon.stream_max_length = 1000
        (report,) = said(daemon.address, Bytes("a.bin", bytes(5000)))
    assert rules([report]) == {"antivirus-did-not-answer"}


def test_a_daemon_that_is_not_there_leaves_every_answer_open(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = f"tcp:127.0.0.1:{taken.getsockname()[1]}"
        for address in (closed, f"unix:{tmp_path}/nothing"):
            reports = said(address, Bytes("a.bin", b"\x00a"), Bytes("b.bin", b"\x00b"))
            assert [report.verdict for report in reports] == [Verdict.UNKNOWN] * 2
            assert rules(reports) == {"antivirus-did-not-answer"}


@pytest.mark.parametrize("address", ["tcp:", "tcp::3310", "tcp:host:none", "tcp:host:99999", ":1"])
def test_an_address_that_is_none_is_a_setting_gone_wrong(address: str) -> None:
    with pytest.raises(ConfigError):
        Clamd(address).scan(b"x")


def test_more_than_a_daemon_looks_at_is_refused_before_it_is_sent() -> None:
    with clamd() as daemon, pytest.raises(InspectorCrashed):
        Clamd(daemon.address).scan(bytes(MAX_STREAM_BYTES + 1))


def test_what_did_not_fit_into_the_spool_is_not_a_pass() -> None:
    spool = Spool.create(max_bytes=1_500_000)
    session = ContentSession(NOTHING_ELSE, raw=spool)
    session.inspect(Subject(Bytes("model.bin", os.urandom(3_000_000)), lambda _: Inspected(())))
    with clamd() as daemon:
        (report,) = antivirus.reports_of(spool, {}, daemon.address)
    assert report.settled_verdict is Verdict.UNKNOWN
    assert 0 < report.coverage.inspected_bytes < report.coverage.present_bytes
    spool.close()
