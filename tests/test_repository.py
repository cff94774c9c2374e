"""The repository as a whole: copies that differ, files named and missing, names that act; ordinary shapes say nothing."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.deepseek import build
from tests.support.inspecting import examined
from tests.support.repository_corpus import CONTROLS, INDEX, ORDINARY, SHAPES, Shape, numbered, shards
from weighbridge.core.finding import Severity, Verdict
from weighbridge.inspectors.repository.inspector import RULES, RepositoryFile, inspect_repository
from weighbridge.inspectors.subject import Fact


def broken(shape: Shape) -> set[str]:
    return {finding.rule for report in inspect_repository(shape.files, shape.facts) for finding in report.findings}


def test_the_corpus_is_large_and_names_every_rule() -> None:
    assert len(SHAPES) >= 120
    assert {f"repository-{rule}" for shape in SHAPES for rule in shape.rules} == {rule.id for rule in RULES}


@each("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_shape_breaks_exactly_its_rules(shape: Shape) -> None:
    assert broken(shape) == {f"repository-{rule}" for rule in shape.rules}


@each("shape", CONTROLS, ids=lambda shape: shape.name)
def test_ordinary_repositories_say_nothing(shape: Shape) -> None:
    assert inspect_repository(shape.files, shape.facts) == ()


def test_reports_are_of_the_file_and_bad_when_grave() -> None:
    files = [RepositoryFile(path, 1) for path in ("config.json", "torch.py", "Makefile")]
    reports = {report.path: report for report in inspect_repository(files, ())}
    assert set(reports) == {"torch.py", "Makefile"}
    assert reports["torch.py"].verdict is Verdict.BAD
    assert reports["Makefile"].settled_verdict is Verdict.CLEAN
    assert all(report.coverage.complete for report in reports.values())


def test_the_odd_copy_is_the_one_that_is_named() -> None:
    facts = [
        Fact("chat-template", path, "chat_template", digest)
        for path, digest in {
            "chat_template.jinja": "a",
            "tokenizer_config.json": "a",
            "chat_template.json": "b",
        }.items()
    ]
    (report,) = inspect_repository([RepositoryFile(fact.path, 1) for fact in facts], facts)
    assert report.path == "chat_template.json"
    assert "'chat_template.jinja', 'tokenizer_config.json'" in report.findings[0].message


def test_a_template_of_a_real_pair_of_files_that_differ() -> None:
    files = {
        "tokenizer_config.json": b'{"chat_template": "{{ messages }}"}',
        "chat_template.jinja": b"{{ messages }}{{ 'buy' }}\n",
    }
    facts = [fact for path, data in files.items() for fact in examined(path, data).facts]
    reports = inspect_repository([RepositoryFile(path, len(data)) for path, data in files.items()], facts)
    assert [finding.rule for report in reports for finding in report.findings] == ["repository-template-differs"]
    files["chat_template.jinja"] = b"{{ messages }}\n"
    facts = [fact for path, data in files.items() for fact in examined(path, data).facts]
    assert inspect_repository([RepositoryFile(path, len(data)) for path, data in files.items()], facts) == ()


def test_r1_asks_for_one_decision_and_nothing_more(tmp_path: Path) -> None:
    folder = build(tmp_path / "r1", shards=163)
    files, facts, findings = [], [], []
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        name = path.relative_to(folder).as_posix()
        files.append(RepositoryFile(name, path.stat().st_size))
        # One of the shards speaks for all.
        if name.endswith(".safetensors") and "00001-of" not in name:
            continue
        found = examined(name, path.read_bytes())
        facts += found.facts
        findings += [finding for report in found.reports for finding in report.findings]
    assert inspect_repository(files, facts) == ()
    assert {finding.severity for finding in findings} == {Severity.MEDIUM}
    assert "config-remote-code" in {finding.rule for finding in findings}
    without = [file for file in files if file.path != "modeling_deepseek.py"]
    (report,) = inspect_repository(without, facts)
    assert {finding.rule for finding in report.findings} == {"repository-code-missing"}


def test_findings_are_bounded() -> None:
    files = [RepositoryFile(f"../{number}", 1) for number in range(50_000)]
    reports = inspect_repository(files, ())
    assert 1_000 <= sum(len(report.findings) for report in reports) <= 2_000


def test_messages_escape_what_strangers_name() -> None:
    name = "model-\u202e\x1b[31m.safetensors"
    reports = inspect_repository([RepositoryFile(INDEX, 1), RepositoryFile("a", 1)], [*shards(INDEX, name, "a")])
    assert all(finding.message.isascii() for report in reports for finding in report.findings)


_PATH = st.text(alphabet="aB./\\ ~:\u200be\u0301éоcnul-0123of.safetensorspybin", min_size=0, max_size=40)
_KIND = st.sampled_from(["chat-template", "code-reference", "shard", "file-reference", "x"])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.builds(RepositoryFile, _PATH, st.integers(0, 5)), max_size=12),
    st.lists(st.builds(Fact, _KIND, _PATH, _PATH, _PATH), max_size=12),
)
def test_any_repository_is_answered(files: list[RepositoryFile], facts: list[Fact]) -> None:
    reports = inspect_repository(files, facts)
    assert len({report.path for report in reports}) == len(reports)


@settings(max_examples=50, deadline=None)
@given(st.permutations(SHAPES[-1].paths + ORDINARY), st.randoms())
def test_the_order_of_files_and_facts_does_not_matter(paths: list[str], random: object) -> None:
    facts = shards(INDEX, *numbered(3))
    files = [RepositoryFile(path, 1) for path in [*paths, INDEX, *numbered(2)]]
    answers = {frozenset(f for r in inspect_repository(o, p) for f in r.findings) for o in (files, files[::-1]) for p in (facts, facts[::-1])}  # fmt: skip
    assert len(answers) == 1


def test_the_page_names_every_rule() -> None:
    page = (Path(__file__).parents[1] / "docs/reference/inspectors/repository.md").read_text(encoding="utf-8")
    assert [rule.id for rule in RULES if f"`{rule.id}`" not in page] == []
