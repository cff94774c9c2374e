"""The inspection benchmark counts what it says: its cases are written once each, and its samples hold one another."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

from benchmarks.cases import Case, assets, corpora, write
from benchmarks.inspection_accuracy import Told, is_wrong, sample
from benchmarks.inspection_speed import small_pickles, torch_archive
from benchmarks.scanners import SCANNERS, WEIGHBRIDGE, Judged, requirements
from tests.support.cases import each
from tests.support.inspecting import examined
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
    assert set(small) <= set(large)


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
