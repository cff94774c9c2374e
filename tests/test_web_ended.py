"""Logging out of the catalog: it holds for every process and for good, whatever becomes of the file that says so."""

from __future__ import annotations

import multiprocessing
import re
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.support.gateway import GatewayProcess, running
from weighbridge.core.errors import StoreUnreachable
from weighbridge.serve.web_ended import EndedSessions
from weighbridge.serve.web_session import SESSION_SECONDS, Sessions

KEY = b"k" * 32
LIFE = SESSION_SECONDS + 60
NOW = 1_700_000_000


def gateway_of(path: Path, *, now: int = NOW, most: int = 50_000) -> Sessions:
    """A process of the gateway, as far as its sessions go."""
    ended = EndedSessions(path, lifetime_seconds=LIFE, most=most)
    return Sessions(KEY, secure=False, clock=lambda: now, ended=ended)


def cookie_of(sessions: Sessions, name: str = "ada") -> dict[str, str]:
    """A browser's cookies after a login."""
    header = sessions.header(sessions.start("token", name, name))
    return {sessions.cookie: header.partition("=")[2].partition(";")[0]}


def log_out(sessions: Sessions, cookies: dict[str, str]) -> None:
    session = sessions.read(cookies)
    assert session is not None
    sessions.end(session)


def test_a_logout_holds_in_other_processes_and_after_a_restart(tmp_path: Path) -> None:
    one, other = gateway_of(tmp_path / "ended"), gateway_of(tmp_path / "ended")
    ada, bob = cookie_of(one), cookie_of(one, "bob")
    assert other.read(ada) is not None
    log_out(one, ada)
    for sessions in (one, other, gateway_of(tmp_path / "ended")):
        assert sessions.read(ada) is None
        assert sessions.read(bob) is not None
    log_out(other, bob)
    assert one.read(bob) is None


def test_a_line_that_a_kill_cut_off_swallows_no_other(tmp_path: Path) -> None:
    path = tmp_path / "ended"
    one = gateway_of(path)
    ada, bob = cookie_of(one), cookie_of(one, "bob")
    log_out(one, ada)
    with path.open("ab") as file:
        file.write(b"0123456789abcdef")
    log_out(gateway_of(path), bob)
    assert one.read(bob) is None
    assert gateway_of(path).read(ada) is None
    assert gateway_of(path).read(bob) is None


def test_when_there_are_too_many_older_sessions_end_rather_than_come_back(tmp_path: Path) -> None:
    path, ended = tmp_path / "ended", []
    old = cookie_of(gateway_of(path))
    for second in range(1, 60):
        sessions = gateway_of(path, now=NOW + second, most=10)
        cookies = cookie_of(sessions)
        ended.append(cookies)
        log_out(sessions, cookies)
        assert path.stat().st_size < 45 * 25
    last = gateway_of(path, now=NOW + 61, most=10)
    fresh = cookie_of(last)
    assert [last.read(cookies) for cookies in ended] == [None] * len(ended)
    assert last.read(old) is None  # as old as those that were forgotten
    assert last.read(fresh) is not None


def test_what_is_too_old_to_be_taken_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "ended"
    for second in range(20):
        sessions = gateway_of(path, now=NOW + second, most=10)
        log_out(sessions, cookie_of(sessions))
    later = gateway_of(path, now=NOW + 2 * LIFE, most=10)
    kept = cookie_of(later)
    log_out(later, cookie_of(later))
    assert len(path.read_bytes().splitlines()) < 5
    assert later.read(kept) is not None


def test_while_the_list_cannot_be_read_nobody_is_known(tmp_path: Path) -> None:
    path = tmp_path / "ended"
    sessions = gateway_of(path)
    cookies = cookie_of(sessions)
    path.mkdir()
    with pytest.raises(StoreUnreachable):
        sessions.read(cookies)
    path.rmdir()
    assert sessions.read(cookies) is not None


def test_logouts_at_once_are_all_written_down(tmp_path: Path) -> None:
    path = tmp_path / "ended"
    made = gateway_of(path)
    people = [[cookie_of(made, f"{process}-{n}") for n in range(20)] for process in range(4)]
    spawn = multiprocessing.get_context("fork")
    running_ = [spawn.Process(target=_log_all_out, args=(path, cookies)) for cookies in people]
    for process in running_:
        process.start()
    for process in running_:
        process.join(30)
        assert process.exitcode == 0
    assert not any(made.read(cookies) for one in people for cookies in one)


def _log_all_out(path: Path, people: list[dict[str, str]]) -> None:
    for cookies in people:
        sessions = gateway_of(path, most=8)
        session = sessions.read(cookies)
        if session is not None:
            sessions.end(session)


def test_logging_out_at_one_gateway_of_a_home_holds_at_the_others(tmp_path: Path) -> None:
    command = Command(tmp_path / "home")
    made = command("token", "create", "reader", "--json").json
    with running(command) as one, running(command) as other:
        cookie = _enter(one, str(made["token"]))
        page = other.ask("/", headers={"Cookie": cookie})
        assert page.status == 200
        _form(other, "/logout", cookie, page.body)
        for gateway in (one, other):
            assert gateway.ask("/", headers={"Cookie": cookie}).status == 303


def _enter(gateway: GatewayProcess, token: str) -> str:
    page = gateway.ask("/login")
    before = page.headers["set-cookie"].partition(";")[0]
    return _form(gateway, "/login", before, page.body, f"&token={token}").partition(";")[0]


def _form(gateway: GatewayProcess, path: str, cookie: str, page: bytes, more: str = "") -> str:
    found = re.search(rb'name="code" value="([^"]+)"', page)
    assert found is not None
    headers = {
        "Cookie": cookie,
        "Content-Type": "application/x-www-form-urlencoded",
        "Sec-Fetch-Site": "same-origin",
    }
    answer = gateway.ask(path, method="POST", headers=headers, body=b"code=" + found[1] + more.encode())
    assert answer.status == 303, answer.body[:500]
    return answer.headers["set-cookie"]
