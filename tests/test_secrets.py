"""Secrets in model repositories: what is found, where, what is left alone, and that no secret is ever told."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pickle
import random
import stat
import sys
import zipfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.content import SECRETS, content, looked_into, rules
from tests.support.inspecting import Bytes
from tests.support.secrets_corpus import ALNUM, LETTERS, Leak, Maker, controls, leaks, secrets
from weighbridge.core.errors import InspectorCrashed, InspectorTimedOut
from weighbridge.core.finding import Report, Severity, Verdict
from weighbridge.formats.kinds import HEAD_BYTES
from weighbridge.inspectors.content import secrets as secrets_module
from weighbridge.inspectors.content import session as content_module
from weighbridge.inspectors.content.secrets import MAX_LISTED
from weighbridge.inspectors.content.secrets_engine import Engine
from weighbridge.inspectors.content.session import ContentSession
from weighbridge.inspectors.content.spool import Spool
from weighbridge.inspectors.content.strings import MAX_LINE, Strings
from weighbridge.inspectors.subject import Inspected, Subject

TOKEN = "hf_" + Maker(11).draw(LETTERS, 34)


def searched(found: tuple[Leak, ...]) -> list[list[Report]]:
    """The reports of each file; the engine runs once for all."""
    named = [Bytes(f"{number:04d}/{leak.path}", leak.data) for number, leak in enumerate(found)]
    by_path: dict[str, list[Report]] = defaultdict(list)
    for report in looked_into(named, SECRETS):
        by_path[report.path].append(report)
    return [by_path[one.path] for one in named]


@pytest.fixture(scope="module")
def told() -> list[tuple[Leak, list[Report]]]:
    """Every leak of a corpus that the rules were not written against, and what is said of it."""
    found = leaks(seed=41)
    return list(zip(found, searched(found), strict=True))


def test_the_corpus_is_large_enough_to_mean_something(told: list[tuple[Leak, list[Report]]]) -> None:
    assert len(told) >= 300
    assert len({leak.secret.kind for leak, _ in told if leak.secret}) >= 60


def test_nearly_every_secret_is_found(told: list[tuple[Leak, list[Report]]]) -> None:
    missed = [leak.name for leak, reports in told if not rules(reports)]
    assert len(missed) <= 0.01 * len(told), missed


def test_a_secret_goes_by_the_right_rule(told: list[tuple[Leak, list[Report]]]) -> None:
    wrong = [
        (leak.name, leak.secret.rule, rules(reports))
        for leak, reports in told
        if leak.secret and rules(reports) and leak.secret.rule not in rules(reports)
    ]
    assert len(wrong) <= 0.01 * len(told), wrong


def test_tokens_and_keys_make_an_artifact_bad_and_lesser_ones_do_not(told: list[tuple[Leak, list[Report]]]) -> None:
    for leak, reports in told:
        grave = any(finding.severity.is_grave for report in reports for finding in report.findings)
        assert {report.settled_verdict for report in reports} == {Verdict.BAD if grave else Verdict.CLEAN}, leak.name


def test_no_secret_is_in_anything_that_is_said(told: list[tuple[Leak, list[Report]]]) -> None:
    for leak, reports in told:
        said = json.dumps([finding.to_json() for report in reports for finding in report.findings]) + repr(reports)
        assert leak.secret is not None
        hidden = leak.secret.hidden
        pieces = {hidden[start : start + 12] for start in range(0, max(1, len(hidden) - 11), 4)}
        assert not [piece for piece in pieces if piece in said], leak.name


def test_honest_files_have_none() -> None:
    found = controls()
    alarms = [
        (leak.name, rules(reports)) for leak, reports in zip(found, searched(found), strict=True) if rules(reports)
    ]
    assert len(found) >= 100
    assert alarms == []


def test_honest_files_are_clean_and_seen_to_the_last_byte() -> None:
    found = controls(seed=3)
    for leak, reports in zip(found, searched(found), strict=True):
        (report,) = reports
        assert report.verdict is Verdict.CLEAN, leak.name
        assert report.coverage.complete, leak.name


# --- where ------------------------------------------------------------------------------------------


def findings(path: str, data: bytes) -> list[tuple[str, str]]:
    return [(f.rule, f.location) for report in content(path, data, SECRETS, alone=True) for f in report.findings]


def test_a_finding_names_offset_and_line_in_a_text() -> None:
    data = b"one: 1\r\n\ntwo: \xc3\xa9\xe2\x82\xac\n" + f'key = "{TOKEN}"\n'.encode()
    place = data.index(TOKEN.encode())
    assert findings("notes.yaml", data) == [("secret-provider-token", f"offset {place}, line 4")]


def test_a_finding_names_the_offset_in_one_long_line() -> None:
    def line(before: int) -> bytes:
        return b'{"x": "' + b"word " * (before // 5) + b'", "token": "' + TOKEN.encode() + b'"}' + b" " * 300_000

    files = {f"{n}.json": line(n) for n in (0, 5, 16_000, 70_000, 1_048_560, 1_048_566, 2_500_000)}
    placed = {
        report.path: (finding.rule, finding.location)
        for report in looked_into([Bytes(*one) for one in files.items()], SECRETS, alone=True)
        for finding in report.findings
    }
    assert {path: rule for path, (rule, _) in placed.items()} == dict.fromkeys(files, "secret-provider-token")
    for path, data in files.items():
        assert placed[path][1].startswith(f"offset {data.index(TOKEN.encode())}"), path


def test_a_finding_names_the_offset_in_a_binary_wherever_windows_meet() -> None:
    noise = random.Random(5).randbytes(2_200_000)
    edge = 1_048_576
    starts = (0, 1, 7, edge - 37, edge - 20, edge - 1, edge, 2 * edge - 12)
    files = {f"{n}.bin": noise[:n] + b"\x00" + TOKEN.encode() + b"\x00" + noise[n:] for n in starts}
    placed = {
        (report.path, finding.rule, finding.location)
        for report in looked_into([Bytes(*one) for one in files.items()], SECRETS, alone=True)
        for finding in report.findings
    }
    assert placed == {(f"{n}.bin", "secret-provider-token", f"offset {n + 1}") for n in starts}


def test_lines_are_counted_over_windows() -> None:
    line = b"an ordinary line of text, as there are many\n"
    data = line * 60_000 + f"token: {TOKEN}\n".encode()
    place = data.index(TOKEN.encode())
    assert findings("long.txt", data) == [("secret-provider-token", f"offset {place}, line 60001")]


def test_a_member_is_named_within_its_containers() -> None:
    inner = pickle.dumps({"token": TOKEN}, 2)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("model/data.pkl", inner)
        file.writestr("model/version", "3\n")
        file.writestr("model/byteorder", "little")
    outer = {
        (f.path, f.rule): f.location
        for r in content("pytorch_model.bin", archive.getvalue(), SECRETS)
        for f in r.findings
    }
    assert set(outer) == {("pytorch_model.bin", "secret-provider-token")}


def test_every_secret_of_many_artifacts_is_put_in_the_right_one() -> None:
    maker = Maker(77)
    tokens = ["hf_" + maker.draw(LETTERS, 34) for _ in range(150)]
    files = [
        Bytes(f"f{i}.txt", (f"token {t}\n" if i % 3 else "nothing\n").encode() * (1 + i % 2))
        for i, t in enumerate(tokens)
    ]
    reports = looked_into(files, SECRETS)
    assert {report.path for report in reports if report.findings} == {f"f{i}.txt" for i in range(150) if i % 3}
    assert all(len(report.findings) == (i % 2) + 1 for i, report in enumerate(reports) if i % 3)


def test_no_secret_is_lost_where_the_engine_cuts_what_it_reads() -> None:
    maker = Maker(5)
    tokens = ["hf_" + maker.draw(LETTERS, 34) for _ in range(300)]
    lines = [f"{n} an ordinary line {'of text ' * (n % 90)}\n" * 3 + f"token: {t}\n" for n, t in enumerate(tokens)]
    data = "".join(lines).encode()
    files = [Bytes("text.txt", data), Bytes("binary.bin", b"\0".join([*data.split(b"\n"), b"\1"]))]
    reports = looked_into(files, SECRETS, alone=True)
    for report, file in zip(reports, files, strict=True):
        places = {int(finding.location.split()[1].rstrip(",")) for finding in report.findings}
        wanted = {file.data.index(token.encode()) for token in tokens}
        assert len(places) == min(300, MAX_LISTED)
        assert places <= wanted


def test_no_key_is_lost_where_the_engine_cuts_what_it_reads() -> None:
    whole = next(secret for secret in secrets(Maker(2)) if secret.kind == "pem-rsa").text
    files = [
        Bytes(f"{n}.txt", b"an ordinary line\n" * n + whole.encode() + b"the end\n" * 900)
        for n in range(5600, 6100, 20)
    ]
    for report in looked_into(files, SECRETS, alone=True):
        assert rules([report]) == {"secret-private-key"}, report.path


def test_a_key_that_ends_in_the_next_artifact_is_in_no_other() -> None:
    whole = next(secret for secret in secrets(Maker(2)) if secret.kind == "pem-ec").text
    talk = b"Put what begins with -----BEGIN EC PRIVATE KEY----- here.\n"
    reports = looked_into([Bytes("README.md", talk), Bytes("key.pem", whole.encode())], SECRETS)
    assert {report.path for report in reports if report.findings} == {"key.pem"}


def test_the_same_token_has_the_same_fingerprint_and_a_password_has_none() -> None:
    there = [f for r in content("a.txt", f"x {TOKEN}\n\n\ny {TOKEN}\n".encode(), SECRETS) for f in r.findings]
    assert len(there) == 2
    assert there[0].evidence == there[1].evidence
    assert there[0].evidence.startswith("sha256:")
    word = Maker(9).password()
    (password,) = [f for r in content("a.env", f"DB_PASSWORD={word}\n".encode(), SECRETS) for f in r.findings]
    assert password.severity is Severity.LOW
    assert password.evidence == ""


# --- what must not switch it off ------------------------------------------------------------------------


def test_a_comment_in_the_model_does_not_silence_a_finding() -> None:
    marks = ("gitleaks:allow", "betterleaks:allow", "nosec", "pragma: allowlist secret")
    files = [Bytes(f"{n}.py", f'token = "{TOKEN}"  # {mark}\n'.encode()) for n, mark in enumerate(marks)]
    assert [rules([report]) for report in looked_into(files, SECRETS)] == [{"secret-provider-token"}] * len(marks)


def test_no_path_is_passed_by() -> None:
    paths = ("go.sum", "node_modules/x.js", "a.png", "poetry.lock", "gitleaks.toml", "tests/x_test.py")
    reports = looked_into([Bytes(path, f"token = {TOKEN}\n".encode()) for path in paths], SECRETS)
    assert [rules([report]) for report in reports] == [{"secret-provider-token"}] * len(paths)


def test_tensor_data_is_left_out_unless_all_is_asked_for() -> None:
    header = json.dumps({"w": {"dtype": "U8", "shape": [64], "data_offsets": [0, 64]}}).encode()
    data = len(header).to_bytes(8, "little") + header + (b"\0 " + TOKEN.encode() + b" \0").ljust(64, b"\0")
    (report,) = content("model.safetensors", data, SECRETS)
    assert report.coverage.present_bytes in (len(data) - 64, len(data))
    deep = dataclasses.replace(SECRETS, deep=True)
    assert rules(content("model.safetensors", data, deep)) == {"secret-provider-token"}
    assert content("model.safetensors", data, deep)[0].coverage.present_bytes == len(data)


def test_what_does_not_fit_is_not_a_pass() -> None:
    small = dataclasses.replace(SECRETS, spool_bytes=100_000)
    (report,) = content("big.txt", b"an ordinary line of text\n" * 20_000, small)
    assert report.settled_verdict is Verdict.UNKNOWN
    assert rules([report]) == {"secrets-not-all-searched"}
    assert not report.coverage.complete


# --- the engine -----------------------------------------------------------------------------------------


@pytest.fixture
def spooled() -> Spool:
    spool = Spool.create()
    session = ContentSession(SECRETS, spool)
    session.inspect(Subject(Bytes("a.txt", f"token = {TOKEN}\n".encode()), lambda _: Inspected(())))
    return spool


def engine(**changes: object) -> Engine:
    installed = Engine.installed()
    assert installed is not None
    return dataclasses.replace(installed, **changes)  # type: ignore[arg-type]


def script(folder: Path, body: str) -> Path:
    """A program of our own in the engine's place."""
    program = folder / "engine"
    program.write_text(f"#!{sys.executable}\nimport json, sys, time, os\n{body}\n")
    program.chmod(0o755)
    return program


def test_an_engine_that_is_missing_is_said_and_never_a_pass(monkeypatch: pytest.MonkeyPatch, spooled: Spool) -> None:
    monkeypatch.setattr(Engine, "installed", classmethod(lambda cls: None))
    (report,) = secrets_module.reports_of(spooled, {0: ("a.txt", "")})
    assert report.verdict is Verdict.UNKNOWN
    assert rules([report]) == {"secrets-engine-missing"}


@pytest.mark.parametrize(
    "body",
    [
        "sys.exit(2)",
        "os.kill(os.getpid(), 9)",
        "print('{')",
        "print(json.dumps({'schema_version': '2', 'scan': {}}))",
        "sys.stdin.read(); print(json.dumps({'schema_version': '1', 'scan': {'state': 'partial', 'bytes_scanned': 1}}))",
        "sys.stdout.write(sys.stdin.read())",
        "pass",
        "print('[' * 100000)",
    ],
)
def test_an_engine_that_fails_is_said_and_never_a_pass(tmp_path: Path, spooled: Spool, body: str) -> None:
    (report,) = secrets_module.reports_of(spooled, {0: ("a.txt", "")}, engine(program=script(tmp_path, body)))
    assert report.verdict is Verdict.UNKNOWN
    assert rules([report]) == {"secrets-engine-failed"}
    assert TOKEN not in repr(report)


def test_an_engine_that_takes_too_long_is_ended(tmp_path: Path, spooled: Spool) -> None:
    slow = engine(program=script(tmp_path, "time.sleep(60)"), timeout_seconds=0.5)
    with pytest.raises(InspectorTimedOut):
        secrets_module.search(spooled, slow)


def test_an_engine_that_finds_without_end_is_ended(
    tmp_path: Path, spooled: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weighbridge.inspectors.content.secrets_engine.MAX_ANSWER_BYTES", 100_000)
    with pytest.raises(InspectorCrashed):
        secrets_module.search(spooled, engine(program=script(tmp_path, "while True: print('x' * 1000)")))


def test_an_engine_with_other_rules_does_not_answer(spooled: Spool) -> None:
    (report,) = secrets_module.reports_of(spooled, {}, engine(rules_digest="0" * 64))
    assert rules([report]) == {"secrets-engine-failed"}


def test_the_engine_learns_nothing_but_the_bytes_and_leaves_nothing(tmp_path: Path, spooled: Spool) -> None:
    seen = tmp_path / "seen.json"
    body = f"json.dump([sys.argv, dict(os.environ), os.getcwd()], open({str(seen)!r}, 'w')); sys.exit(1)"
    secrets_module.reports_of(spooled, {}, engine(program=script(tmp_path, body)))
    arguments, environment, folder = json.loads(seen.read_text())
    assert TOKEN not in repr(arguments)
    assert "a.txt" not in repr(arguments)
    assert set(environment) <= {"LC_CTYPE"}
    assert folder == "/"


def test_the_spool_has_no_name_and_one_reader(tmp_path: Path) -> None:
    spool = Spool.create(str(tmp_path))
    spool.begin("a", 3)
    spool.append(b"abc\n", 0)
    spool.flush()
    assert os.listdir(tmp_path) == []
    assert stat.S_IMODE(os.fstat(spool.descriptor).st_mode) & 0o077 == 0
    spool.close()


def test_a_spool_that_cannot_be_written_is_not_a_pass() -> None:
    spool = Spool(os.open("/dev/full", os.O_RDWR))
    ContentSession(SECRETS, spool).inspect(Subject(Bytes("a.txt", b"an ordinary line\n" * 9), lambda _: Inspected(())))
    across = Spool.from_json(json.loads(json.dumps(spool.to_json())), spool.descriptor)
    (report,) = secrets_module.reports_of(across, {})
    assert report.verdict is Verdict.UNKNOWN
    assert rules([report]) == {"secrets-engine-failed"}
    spool.close()


def test_both_ways_of_searching_find_the_same() -> None:
    filler = b"an ordinary line of text, as there are many\n" * 60_000
    small, large = b"token: " + TOKEN.encode() + b"\n", filler + b"token: " + TOKEN.encode() + b"\n"
    assert rules(content("a.txt", small, SECRETS, alone=True)) == rules(content("a.txt", large, SECRETS, alone=True))


# --- reading ----------------------------------------------------------------------------------------------


def spool_text(data: bytes, cuts: list[int]) -> bytes:
    """The lines made of data that comes in pieces."""
    maker, lines, position = Strings(), [], 0
    for end in [*sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]:
        lines += maker.feed(data[position:end], position)
        position = end
    return b"".join(line.data for line in [*lines, *maker.end()])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 4000), max_size=6), st.integers(0, 3))
def test_a_string_survives_any_cut(cuts: list[int], seed: int) -> None:
    noise = random.Random(seed)
    data = noise.randbytes(1500) + b"\x00" + TOKEN.encode() + b"\x00" + noise.randbytes(1500)
    assert TOKEN.encode() in spool_text(data, cuts)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=3000), st.lists(st.integers(1, 3000), max_size=5))
def test_any_bytes_give_bounded_lines(data: bytes, cuts: list[int]) -> None:
    text = spool_text(data, cuts)
    assert len(text) <= 4 * len(data) + 200
    assert max(map(len, text.split(b"\n"))) <= MAX_LINE + 200


def test_a_string_is_found_in_every_protocol_of_pickle_whatever_stands_before_it() -> None:
    maker, files = Maker(1), []
    for protocol in range(6):
        for length in range(4, 110, 7):
            value = "sk-ant-api03-" + maker.draw(ALNUM, 93) + "AA" if length % 2 else "hf_" + maker.draw(LETTERS, 34)
            data = pickle.dumps({"x" * length: value, "n": bytes(range(256))}, protocol)
            files.append(Bytes(f"{protocol}-{length}.bin", data))
    found = {
        report.path for report in looked_into(files, SECRETS, alone=True) if "secret-provider-token" in rules([report])
    }
    assert found == {file.path for file in files}


def test_each_byte_is_read_once() -> None:
    data = random.Random(1).randbytes(3_000_000)
    reader = Bytes("blob.bin", data)
    session = ContentSession(dataclasses.replace(SECRETS, deep=True), Spool.create())
    session.inspect(Subject(reader, lambda _: Inspected(())))
    assert reader.read_bytes <= len(data) + HEAD_BYTES
    assert len(reader.reads) <= 5


def test_every_rule_is_explained() -> None:
    ids = [rule.id for rule in secrets_module.RULES]
    assert len(ids) == len(set(ids))
    assert all(rule.explanation and rule.remedy for rule in secrets_module.RULES)
    assert content_module.LABEL


def test_two_spools_in_one_say_the_same_as_two() -> None:
    text = f"one\ntwo\ntoken = {TOKEN}\n".encode()
    binary = b"\x00\x01" * 50 + TOKEN.encode() + b"\x00"
    spools = []
    for files in (
        [Bytes("a.txt", text), Bytes("b.bin", binary)],
        [Bytes("c.txt", b"\n" * 9 + text), Bytes("d.bin", binary)],
    ):
        spools.append(Spool.create())
        session = ContentSession(SECRETS, spools[-1])
        for file in files:
            session.inspect(Subject(file, lambda _: Inspected(())))
    apart = [
        finding for spool in spools for report in secrets_module.reports_of(spool, {}) for finding in report.findings
    ]
    assert spools[0].absorb(spools[1]) == 2
    together = [finding for report in secrets_module.reports_of(spools[0], {}) for finding in report.findings]
    assert sorted(together) == sorted(apart)
    assert len({(finding.path, finding.location) for finding in together}) == 4
    for spool in spools:
        spool.close()


@pytest.mark.parametrize("lines", [10, 20_000, 40_000])
def test_an_engine_that_was_started_ahead_finds_the_same(lines: int) -> None:
    spool = Spool.create()
    session = ContentSession(SECRETS, spool)
    text = b"an ordinary line of text, as there are many\n" * lines
    for number in range(3):
        session.inspect(
            Subject(Bytes(f"{number}.txt", text[number * 9 :] + f"token = {TOKEN}\n".encode()), lambda _: Inspected(()))
        )
    waiting = engine().begin()
    assert waiting is not None
    found = engine().search(spool, waiting)
    assert found == engine().search(spool)
    assert len({place.line for place in found}) == 3
    waiting.close()
    assert waiting.process.returncode is not None
    spool.close()


def test_an_engine_that_was_started_ahead_for_nothing_is_ended() -> None:
    waiting = engine().begin()
    assert waiting is not None
    assert engine().search(Spool.create(), waiting) == []
    waiting.close()
    waiting.close()
    assert waiting.process.returncode == -9


def test_an_engine_that_was_started_ahead_and_died_is_replaced(spooled: Spool) -> None:
    waiting = engine().begin()
    assert waiting is not None
    waiting.process.kill()
    waiting.process.wait()
    (report,) = secrets_module.reports_of(spooled, {0: ("a.txt", "")}, engine(), waiting=waiting)
    assert rules([report]) == {"secret-provider-token"}
