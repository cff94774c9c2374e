"""The inspection benchmark counts what it says: its cases are written once each, and its samples hold one another."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from benchmarks import answers, scanners
from benchmarks.__main__ import machine
from benchmarks.cases import Case, assets, corpora, write
from benchmarks.inspection_accuracy import (
    ALL,
    Told,
    costs,
    counts,
    is_wrong,
    sample,
    scatter,
    sizes,
    targets,
    told,
    told_of,
)
from benchmarks.inspection_speed import bomb_line, small_pickles, torch_archive
from benchmarks.report_inspection import BEGIN, END, figures, placed
from benchmarks.scanners import SCANNERS, WEIGHBRIDGE, Judged, Limits, Scanner, judge, requirements
from tests.support.cases import each
from tests.support.inspecting import examined
from tests.support.waiting import PATIENCE_SECONDS
from weighbridge.core.finding import Verdict

QUICK = ("pickles", "published bypasses", "safetensors", "templates", "cards", "notebooks and scripts")


@each("name", QUICK)
def test_a_corpus_has_cases_of_a_known_side(name: str) -> None:
    cases = list(corpora()[name]())
    assert len(cases) >= 40
    assert {case.side for case in cases} <= {"malicious", "benign", "policy"}
    assert "malicious" in {case.side for case in cases}
    assert all(case.data or case.side == "malicious" for case in cases)


def test_every_case_is_written_once_and_none_outside(tmp_path: Path) -> None:
    cases = [
        Case("a", "one", "benign", "model.pkl", b"1"),
        Case("a", "two", "malicious", "sub/model.pkl", b"2"),
        Case("a", "up", "malicious", "../model.pkl", b"3"),
        Case("a", "root", "malicious", "/model.pkl", b"4"),
    ]
    assert write(cases, tmp_path / "out") == 2
    lines = [json.loads(line) for line in (tmp_path / "out" / "cases.jsonl").read_text().splitlines()]
    assert [(line["name"], line["side"]) for line in lines] == [("one", "benign"), ("two", "malicious")]
    assert [(tmp_path / "out" / line["id"] / line["path"]).read_bytes() for line in lines] == [b"1", b"2"]
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_published_files_are_judged_by_their_names(tmp_path: Path) -> None:
    for name in (
        "exploits/exploit1.pkl",
        "samples/safe_model.pkl",
        "samples/edge_cases/empty.json",
        "samples/other.bin",
    ):
        place = tmp_path / "peer" / "tests" / "assets" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"x")
    assert {(case.path, case.side) for case in assets(tmp_path)} == {
        ("exploit1.pkl", "malicious"),
        ("safe_model.pkl", "benign"),
    }


def test_a_larger_sample_holds_the_smaller_one() -> None:
    cases = [Told(str(n), "a", f"case {n}", ("malicious", "benign")[n % 2], Path("x")) for n in range(100)]
    small, large = sample(cases, 6), sample(cases, 25)
    assert (len(small), len(large), len(sample(cases, 0))) == (12, 50, 100)
    assert list(large)[:12] == list(small)


def test_only_a_pass_of_malice_or_a_stop_of_honesty_is_wrong() -> None:
    def wrong(side: str, code: int | str) -> bool:
        return is_wrong(Told("1", "a", "x", side, Path("x")), Judged(WEIGHBRIDGE.says(code), code, 0.1, 0.1))

    assert [wrong("malicious", code) for code in (0, 4, 11, 14, 70, "timed out")] == [True, *[False] * 5]
    assert [wrong("benign", code) for code in (0, 4, 11, 14, 70, "timed out")] == [False, *[True] * 5]
    assert not any(wrong("policy", code) for code in (0, 12))


def test_every_scanner_has_an_environment_with_a_pinned_version() -> None:
    assert {scanner.environment for scanner in SCANNERS} == set(requirements())
    assert all("==" in package for packages in requirements().values() for package in packages)


def test_what_is_timed_is_what_it_claims_to_be(tmp_path: Path) -> None:
    path = torch_archive(tmp_path / "t" / "model.pt", storages=3, storage_bytes=4000)
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 6
    assert examined("model.pt", path.read_bytes()).verdict is Verdict.CLEAN
    small = sorted(small_pickles(tmp_path / "small").iterdir())
    assert len(small) == 1000
    assert examined(small[0].name, small[0].read_bytes()).verdict is Verdict.CLEAN


SAYS = """
import os, sys, time

def main():
    word = open(sys.argv[1]).read()
    if word == "stop":
        return 1
    if word == "crash":
        raise ValueError(word)
    if word == "fill":
        kept = bytearray(4 << 30)
    if word == "burn":
        while True:
            pass
    if word == "wait":
        time.sleep(600)
    if word == "die":
        os.kill(os.getpid(), 9)
    return 0
"""
WORDS = {
    "pass": ("passed", 0),
    "stop": ("stopped", 1),
    "crash": ("error", "crashed"),
    "fill": ("error", "out of memory"),
    "burn": ("error", "out of CPU time"),
    "wait": ("error", "timed out"),
    "die": ("error", "killed"),
}


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Scanner, dict[str, Path]]:
    """A scanner that does what its file says, and a file for each word it knows."""
    (tmp_path / "obedient.py").write_text(SAYS)
    (tmp_path / "bin").mkdir()
    # `quiet_environment` takes every PYTHON variable away: the module is found through the interpreter's own path.
    python = tmp_path / "bin" / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{tmp_path}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(scanners, "interpreter", lambda _: python)
    monkeypatch.setattr(scanners, "requirements", lambda: {"obedient": ["obedient==1"]})
    monkeypatch.setattr(answers, "FOLDER", tmp_path / "answers")
    paths = {}
    for word in WORDS:
        paths[word] = tmp_path / f"{word}.txt"
        paths[word].write_text(word)
    return Scanner("obedient", "obedient", "obedient:main", ("{}",), (1,), (0,)), paths


def test_what_ends_a_case_is_told_apart_from_what_it_says(asked: tuple[Scanner, dict[str, Path]]) -> None:
    scanner, paths = asked
    waits = {"wait": paths.pop("wait")}
    # The clock leaves room for a busy machine, on which a second of processor takes several.
    found = judge(scanner, paths, limits=Limits(PATIENCE_SECONDS, 1, 2 << 30))
    found |= judge(scanner, waits, limits=Limits(1, 10, 2 << 30))
    assert {word: (one.answer, one.code) for word, one in found.items()} == WORDS
    assert all(one.peak_bytes > 1 << 20 for one in found.values())


def test_answers_are_kept_for_the_same_bytes_and_no_others(
    asked: tuple[Scanner, dict[str, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scanner, paths = asked
    some = {word: paths[word] for word in ("pass", "stop", "die")}

    def to_ask(**more: bool) -> str:
        judge(scanner, some, limits=Limits(PATIENCE_SECONDS, 10, 2 << 30), keep=True, **more)
        return capsys.readouterr().err

    assert "3 to ask, 0 known" in to_ask()
    # That the system killed it may be the machine's doing.
    assert "1 to ask, 2 known" in to_ask()
    (kept,) = (tmp_path / "answers").iterdir()
    kept.write_text(kept.read_text()[:-20])
    assert "2 to ask, 1 known" in to_ask()
    assert "1 to ask, 2 known" in to_ask()
    paths["pass"].write_text("stop")
    assert "2 to ask, 1 known" in to_ask()
    assert "3 to ask, 0 known" in to_ask(fresh=True)


def test_what_a_library_wrote_counts_for_who_claims_pickles() -> None:
    named = {scanner.name: scanner for scanner in SCANNERS}
    assert all(WEIGHBRIDGE.claims(family) for family in ("gguf", "unseen: torch", "media"))
    assert named["picklescan"].claims("unseen: torch")
    assert not named["picklescan"].claims("gguf")
    assert named["hayward"].claims("gguf")


def report_of(*, sample_size: int = 2) -> dict[str, Any]:
    """The results of two scanners that judged eight cases."""
    cases = [
        Told(f"{family} {side} {number}", family, f"{number}", side, Path("m"))
        for family in ("pickle streams", "gguf")
        for side in ("malicious", "benign")
        for number in range(2)
    ]
    right = {
        case.key: Judged("stopped" if case.side == "malicious" else "passed", 1, 0.1, 0.2, 1 << 20) for case in cases
    }
    blind = {case.key: Judged("passed" if case.family == "gguf" else "error", 2, 0.1, 0.2, 1 << 20) for case in cases}
    said = {"weighbridge": right, "picklescan": blind, ALL: right}
    details = {
        "sample": sample_size,
        "scanners": {scanner.name: told_of(scanner) for scanner in (WEIGHBRIDGE, SCANNERS[0])},
        "cases": sizes(cases),
        "answers": counts(cases, said),
        "cost": costs(said),
        "misses": [],
        "false alarms": [told(cases[2], right[cases[2].key])],
        "scatter": scatter(cases, said),
    }
    rows = [
        {"what": "x", "scanner": "weighbridge", "wall s": 1.0},
        bomb_line("deep", "picklescan", Judged("error", "crashed", 1, 2)),
    ]
    accuracy = {"details": details, "targets": [t.to_json() for t in targets(cases, right)], "notes": ["a note"]}
    speed = {"rows": rows, "targets": [], "notes": []}
    return {
        "taken_at": "2026-01-02T03:04:05Z",
        "machine": machine() | {"load_before": 0.5},
        "results": {"inspection-accuracy": accuracy, "inspection-speed": speed},
    }


def test_the_report_gives_each_scanner_its_share_and_its_errors() -> None:
    text = figures(json.loads(json.dumps(report_of())))
    assert "| picklescan | 0.0 % +50.0 | 0.0 % +50.0 | 0.0 % +100.0 | 0.0 % +100.0 |" in text
    assert "| **weighbridge** | 100.0 % | 0.0 % | 100.0 % | 0.0 % |" in text
    assert "| gguf | 2/2 | 2/2 | 0/2 |" in text
    assert "| pickle streams | 2/2 | 2/2 | 0/2 +2 |" in text
    assert "false alarms over every case: 1 of pickle streams" in text
    assert "| deep | picklescan | 1 | 2 | 0 | crashed |" in text


def test_the_report_replaces_what_stands_between_its_marks_alone() -> None:
    page = f"# Title\n\n{BEGIN}\nold\n{END}\n\nBehind.\n"
    once = placed(page, "new\n")
    assert once == f"# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nBehind.\n"
    assert placed(once, "new\n") == once
    for broken in ("# Title", page + page, f"{END}\n{BEGIN}"):
        with pytest.raises(ValueError, match="needs one"):
            placed(broken, "new")
