"""What the inspector says of weapons, of honest pickles, and of what it cannot know. Nothing here is ever unpickled."""

from __future__ import annotations

import pickle
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.inspecting import answer
from tests.support.pickles import (
    BENIGN,
    CANARY,
    COMMAND,
    DANGEROUS_NAMES,
    UNKNOWN_NAMES,
    WAYS,
    Bytes,
    blob,
    call,
    corpus,
    glob,
    honest_values,
    legacy_torch,
    stack_global,
    state_dict,
    text,
)
from weighbridge.core.errors import Truncated
from weighbridge.core.finding import Report, Severity, Verdict
from weighbridge.formats.pickle_values import Global
from weighbridge.inspectors.dangers import DANGEROUS, DANGEROUS_MODULES, danger_of
from weighbridge.inspectors.pickles.callables import ALLOWED, Danger, allowed, canonical_name
from weighbridge.inspectors.pickles.inspector import NAME, RULES, Pickles
from weighbridge.inspectors.pickles.rules import RULES as PICKLE_RULES

CORPUS = corpus()
HONEST = honest_values()


@pytest.fixture(autouse=True)
def _nothing_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every weapon would leave a file here; the modules that they name are not imported either."""
    monkeypatch.chdir(tmp_path)
    before = "runpy" in sys.modules, "pty" in sys.modules, "webbrowser" in sys.modules
    yield
    assert not (tmp_path / CANARY).exists()
    assert before == ("runpy" in sys.modules, "pty" in sys.modules, "webbrowser" in sys.modules)


def inspect(data: bytes, path: str = "x.pkl") -> Report:
    report = answer(Pickles(), Bytes(path, data))
    assert report is not None
    return report


def rules(report: Report) -> set[str]:
    return {finding.rule.removeprefix("pickle-") for finding in report.findings}


# --- weapons -------------------------------------------------------------------------------------


def test_the_corpus_is_large_and_every_rule_is_in_it() -> None:
    assert len([case for case in CORPUS if case[2] != "unknown-callable"]) >= 250
    assert len({name for name, _, _ in CORPUS}) == len(CORPUS)
    assert {rule for _, _, rule in CORPUS} == {rule.id.removeprefix("pickle-") for rule in PICKLE_RULES}


@each(("name", "data", "rule"), CORPUS, ids=[name for name, _, _ in CORPUS])
def test_every_crafted_pickle_breaks_its_rule(name: str, data: bytes, rule: str) -> None:
    report = inspect(data)
    assert rule in rules(report)
    by_id = {known.id: known for known in RULES}
    graver = any(finding.severity >= Severity.HIGH for finding in report.findings)
    assert report.verdict is (Verdict.BAD if graver else Verdict.UNKNOWN)
    assert graver or by_id[f"pickle-{rule}"].severity < Severity.HIGH
    assert all(finding.location for finding in report.findings)
    if rule == "dangerous-callable":
        assert inspect(data, "model.bin").verdict is Verdict.BAD


@each("way", WAYS)
@each("name", DANGEROUS_NAMES[::5])
def test_a_weapon_is_known_however_it_is_called(name: str, way: object) -> None:
    assert callable(way)
    report = inspect(way(name))
    assert report.verdict is Verdict.BAD
    assert "dangerous-callable" in rules(report)


def test_the_arguments_of_a_weapon_are_evidence() -> None:
    report = inspect(call("os system"))
    (finding,) = report.findings
    assert finding.severity is Severity.CRITICAL
    assert finding.evidence == f"os.system('{COMMAND}')"
    assert "starts processes" in finding.message
    (other,) = inspect(call("socket create_connection")).findings
    assert other.severity is Severity.HIGH


@each("way", WAYS)
def test_a_call_is_bad_once_it_is_made_whatever_follows(way: object) -> None:
    assert callable(way)
    data = way("posix system")
    assert inspect(data[:-1]).verdict is Verdict.BAD
    for follows in (b"", b"\xff", b"(" * 50, b"R", b"\x80", b"0" * 9):
        assert inspect(data[:-1] + follows).verdict is Verdict.BAD


def test_a_crafted_pickle_is_clean_wherever_it_is_cut_in_no_case() -> None:
    for name, data, _ in CORPUS:
        if len(data) > 1500:
            continue
        for cut in range(1, len(data)):
            start = data[:cut]
            if start.replace(BENIGN, b""):
                assert inspect(start).verdict is not Verdict.CLEAN, f"{name} cut at {cut}"


def test_a_byte_more_makes_nothing_better() -> None:
    for name, data, _ in CORPUS:
        verdict = inspect(data).verdict
        for byte in b"\x00.0N\x80\xff\n(" if len(data) <= 1500 else b".":
            after = inspect(data + bytes((byte,))).verdict
            assert verdict is not Verdict.BAD or after is Verdict.BAD, f"{name} and {byte}"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([b"N0", b"]0", b"K\x010", b"(0", b"(N1", b"\x80\x030", b"Np9\n0", b"N20"]), max_size=30)
)
def test_noise_hides_nothing(noise: list[bytes]) -> None:
    quiet = [one.replace(b"\x80\x030", b"\x80\x03") for one in noise]
    data = b"\x80\x04" + b"".join(quiet) + text("os") + b"".join(quiet) + text("system") + b"\x93(" + b"".join(quiet)
    assert inspect(data + text("id") + b"tR.").verdict is Verdict.BAD


# --- honest ones ---------------------------------------------------------------------------------


@each("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@each("name", HONEST)
def test_honest_pickles_are_clean(name: str, protocol: int) -> None:
    data = pickle.dumps(HONEST[name], protocol)
    report = inspect(data)
    assert report.findings == ()
    assert report.verdict is Verdict.CLEAN
    assert report.coverage.complete
    assert inspect(data + data).verdict is Verdict.CLEAN


def test_a_state_dict_of_torch_is_clean() -> None:
    assert inspect(state_dict(50), "archive/data.pkl").verdict is Verdict.CLEAN


def test_the_old_format_of_torch_is_clean_with_its_storages() -> None:
    data = legacy_torch(4)
    report = inspect(data, "pytorch_model.bin")
    assert (report.verdict, report.coverage.inspected_bytes) == (Verdict.CLEAN, len(data))
    for other in (data + b"\x00", data[:-1], data + call("os system")):
        assert inspect(other, "pytorch_model.bin").verdict is not Verdict.CLEAN
    assert inspect(data + call("os system"), "pytorch_model.bin").verdict is Verdict.BAD


def test_a_storage_of_another_count_than_the_pickle_says_is_noticed() -> None:
    data = legacy_torch(3)
    first = data.index(struct.pack("<q6f", 6, *range(6)))
    other = data[:first] + struct.pack("<q", 5) + data[first + 8 :]
    report = inspect(other, "pytorch_model.bin")
    assert report.verdict is Verdict.UNKNOWN
    assert "broken-stream" in rules(report)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.text(max_size=100))
def test_data_is_clean_whatever_it_spells(data: bytes, words: str) -> None:
    report = inspect(pickle.dumps({"data": data, "words": words, "list": [words] * 3}, 4))
    assert report.verdict is Verdict.CLEAN or data[:1] in b"\x80(ci" or words[:1] in "\x80(ci"


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_no_weapon(data: bytes) -> None:
    report = answer(Pickles(), Bytes("weights.bin", b"\x00\x01\x02\xf0" + data))
    assert report is None


# --- whose business it is ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("README.md", b"cos\nhow to use os.system, a guide\n"),
        ("empty.pkl", b""),
        ("model.gguf", b"GGUF" + b"\x00" * 100),
        ("weights.bin", b"\x00" * 5000),
        ("words.txt", b"cat\ndog\neel\n"),
        ("config.json", b"{}"),
    ],
)
def test_other_files_are_left_to_others(path: str, data: bytes) -> None:
    assert answer(Pickles(), Bytes(path, data)) is None


@pytest.mark.parametrize("path", ["model", "weights.dat", "a.safetensors", "README.md", "x.json", "x.bin", "x.pt"])
def test_a_weapon_is_found_under_any_name(path: str) -> None:
    assert inspect(call("os system"), path).verdict is Verdict.BAD
    assert inspect(glob("os system") + b"(" + text(COMMAND) + b"tR.", path).verdict is Verdict.BAD


@each("path", ["x.bin", "x.pt", "weights", "x.pkl"])
@each("start", [b"\x89", b"\x8f0", b"\x97", b"\x00\x00", b"\xff\xfe\x00", b"G" + b"\x00" * 8])
def test_an_odd_beginning_hides_no_weapon(path: str, start: bytes) -> None:
    assert inspect(start + call("os system") + b"\x00", path).verdict is Verdict.BAD
    if start[0] not in b"\x00\xff":  # Those are no opcodes, and a stream without its PROTO is not looked for.
        assert inspect(start + call("os system")[2:], path).verdict is Verdict.BAD


def test_looking_for_streams_behind_garbage_takes_linear_time() -> None:
    assert inspect(BENIGN + b"\xff" + b"c" * 1_000_000).verdict is Verdict.UNKNOWN
    assert inspect(BENIGN + b"\xff" + b"\x80\x04" * 400_000).verdict is Verdict.UNKNOWN


def test_a_file_named_pickle_that_is_none_is_not_passed_over() -> None:
    report = inspect(b"hello world, this is text\n", "x.pkl")
    assert report.verdict is Verdict.UNKNOWN
    assert rules(report) == {"broken-stream"}


def test_a_reader_that_gives_too_little_is_no_answer() -> None:
    with pytest.raises(Truncated):
        answer(Pickles(), Bytes("x.pkl", BENIGN, claimed=100))


# --- bounds --------------------------------------------------------------------------------------


def test_large_constants_are_not_read() -> None:
    size = 50_000_000
    data = b"\x80\x04" + b"B" + struct.pack("<I", size) + b"\x00" * size + b"0" + call("os system")[2:]
    reader = Bytes("x.pkl", data)
    report = answer(Pickles(), reader)
    assert report is not None
    assert report.verdict is Verdict.BAD
    assert reader.read_bytes < 200_000


def test_many_streams_are_all_followed() -> None:
    assert inspect(BENIGN * 2000).verdict is Verdict.CLEAN
    assert inspect(BENIGN * 2000 + call("os system")).verdict is Verdict.BAD
    assert "limit-exceeded" in rules(inspect(b"\x80\x04N." + b"N." * 10_001))


def test_many_findings_are_counted_and_cut() -> None:
    many = b"\x80\x04" + b"".join(stack_global(f"mod{n} name") + b"0" for n in range(1000)) + b"N."
    report = inspect(many)
    assert 200 < len(report.findings) < 400
    assert "limit-exceeded" in rules(report)
    (same,) = inspect(b"\x80\x04" + (stack_global("a b") + b"0") * 50 + b"N.").findings
    assert same.message.endswith("(50 times)")
    weapon = inspect(many[:-2] + stack_global("os system") + b".")
    assert weapon.verdict is Verdict.BAD


def test_pickles_within_pickles_are_bounded() -> None:
    many = b"\x80\x04" + b"".join(blob(BENIGN) + b"0" for _ in range(3000)) + b"N."
    assert {"nested", "limit-exceeded"} <= rules(inspect(many))
    assert inspect(many + call("os system")).verdict is Verdict.BAD


# --- the lists -----------------------------------------------------------------------------------


def test_nothing_is_allowed_and_dangerous() -> None:
    assert not ALLOWED.keys() & DANGEROUS.keys()
    assert not ALLOWED.keys() & DANGEROUS_MODULES.keys()
    assert all(canonical_name(Global(*name.rsplit(".", 1))) == name for name in ALLOWED)


@each("name", DANGEROUS)
def test_every_listed_weapon_is_recognised(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert isinstance(danger_of(Global(module, attribute)), Danger)
    assert allowed(Global(module, attribute)) is None


@each("name", UNKNOWN_NAMES)
def test_what_nobody_listed_is_unknown(name: str) -> None:
    found = Global(*name.split(" "))
    assert danger_of(found) is None
    assert allowed(found) is None


def test_a_new_name_for_an_allowed_one_is_allowed() -> None:
    assert allowed(Global("__builtin__", "set")) is allowed(Global("builtins", "set")) is not None
    assert allowed(Global("__builtin__", "xrange")) is allowed(Global("builtins", "range"))
    assert canonical_name(Global("__builtin__", "reduce")) == "functools.reduce"


def test_every_rule_belongs_here_and_to_nobody_else() -> None:
    assert {*RULES} == {*PICKLE_RULES}
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert {rule.inspector for rule in RULES} == {NAME} == {Pickles().name}
