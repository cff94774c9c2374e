"""Reports: every format says the same, hostile names cannot act in any, and what was accepted stays accepted only so long."""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest

from tests.conftest import Command
from weighbridge.core.finding import Confidence, Coverage, Finding, Inspection, Report, Severity, Verdict
from weighbridge.inspectors.all_rules import RULES
from weighbridge.reports.baseline import Baseline
from weighbridge.reports.document import ScanDocument, schema
from weighbridge.reports.html import as_html
from weighbridge.reports.markdown import as_markdown, code
from weighbridge.reports.sarif import as_sarif

EVIL = b"cposix\nsystem\n(S'id'\ntR."
HOSTILE = 'a"><img src=x onerror=alert(1)>`</code>|[x](javascript:1)\u202e\x1b[31m.pkl'
SARIF = json.loads(lzma.decompress((Path(__file__).parent / "data" / "sarif-schema-2.1.0.json.xz").read_bytes()))


def valid(value: object, against: Mapping[str, object]) -> None:
    """Against a schema of the draft that it names."""
    judge = jsonschema.validators.validator_for(against)
    judge(against, format_checker=jsonschema.FormatChecker()).validate(value)


def document(path: str = "model.pkl", message: str = "os.system", location: str = "offset 2") -> ScanDocument:
    finding = Finding(
        path, "pickle-dangerous-callable", Severity.CRITICAL, Confidence.HIGH, message, location, "", "No."
    )
    reports = (
        Report("pickles", path, Verdict.BAD, Coverage(10, 10), (finding,), "pickle"),
        Report("file-kinds", "strange.xyz", Verdict.CLEAN, Coverage(3, 10), (), "unrecognised"),
    )
    return ScanDocument("./model", "", Inspection(reports, "2026.1"), 2, 20, 13, 5, "1.0.0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "evil.pkl").write_bytes(EVIL)
    (folder / "README.md").write_text("# Words\n")
    return folder


def test_the_json_is_what_the_published_schema_says(weighbridge: Command, folder: Path) -> None:
    valid(weighbridge("scan", str(folder), "--json", code=14).json, schema())
    valid(document().to_json(), schema())
    broken = document().to_json()
    broken["verdict"] = "fine"
    with pytest.raises(jsonschema.ValidationError):
        valid(broken, schema())


def test_sarif(weighbridge: Command, folder: Path) -> None:
    log = json.loads(weighbridge("scan", str(folder), "--format", "sarif", code=14).out)
    valid(log, SARIF)
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    worst = run["results"][0]
    assert worst["level"] == "error"
    assert rules[worst["ruleIndex"]] == worst["ruleId"]
    assert worst["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "evil.pkl"
    valid(as_sarif(document(HOSTILE), RULES), SARIF)
    del run["tool"]
    with pytest.raises(jsonschema.ValidationError):
        valid(log, SARIF)


def test_what_was_not_understood_is_no_success_in_sarif() -> None:
    (run,) = as_sarif(document(), RULES)["runs"]  # type: ignore[misc]
    (invocation,) = run["invocations"]  # type: ignore[call-overload, index]
    assert invocation["executionSuccessful"] is False
    (told,) = invocation["toolExecutionNotifications"]
    assert "3 of 10 bytes of 'strange.xyz'" in told["message"]["text"]


def test_several_sources_are_several_runs(weighbridge: Command, folder: Path) -> None:
    out = weighbridge("scan", str(folder), str(folder / "README.md"), "--format", "sarif", code=14).out
    assert len(json.loads(out)["runs"]) == 2
    weighbridge("scan", str(folder), str(folder / "README.md"), "--format", "html", code=2)


class Collected(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_shows_hostile_names_and_runs_nothing() -> None:
    page = Collected()
    page.feed(as_html(document(HOSTILE, message="<script>alert(1)</script>"), RULES))
    assert not {"script", "img", "iframe", "a", "link"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href")]
    assert "<img src=x onerror=alert(1)>" in page.text
    assert "<script>alert(1)</script>" in page.text
    for words in ("critical", "offset 2", "strange.xyz", "Not understood"):
        assert words in page.text


def test_markdown_keeps_hostile_names_in_code() -> None:
    text = as_markdown(document(HOSTILE), RULES)
    for line in text.splitlines():
        outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line)
        assert "<img" not in outside
        assert "](javascript" not in outside
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert code("``` a") == "```` ``` a````"[:0] + "```` ``` a ````"


@pytest.mark.parametrize("form", ["table", "json", "sarif", "html", "markdown"])
def test_every_format_names_the_finding_and_can_be_a_file(weighbridge: Command, folder: Path, form: str) -> None:
    file = folder.parent / "report"
    ran = weighbridge("scan", str(folder), "--format", form, "--output", str(file), code=14)
    assert ran.out == ""
    text = file.read_text()
    assert "evil.pkl" in text
    assert "posix.system" in text
    weighbridge("scan", str(folder), "--format", form, "--output", str(folder / "no" / "such"), code=2)


def test_a_baseline_accepts_these_findings_in_these_bytes_until_then(weighbridge: Command, folder: Path) -> None:
    file = folder.parent / "accepted.json"
    weighbridge("scan", str(folder), "--write-baseline", str(file), code=2)
    weighbridge("scan", str(folder), "--reason", "why", code=2)
    weighbridge("scan", str(folder), "--write-baseline", str(file), "--reason", "read by Ada")
    weighbridge("scan", str(folder), "--write-baseline", str(file), "--reason", "again", code=2)
    entries = json.loads(file.read_text())["accepted"]
    assert {entry["path"] for entry in entries} == {"evil.pkl"}
    assert {entry["reason"] for entry in entries} == {"read by Ada"}
    found = weighbridge("scan", str(folder), "--baseline", str(file), "--json").json
    valid(found, schema())
    assert found["verdict"] == "bad"
    assert found["findings"] == []
    assert {one["acceptance"]["reason"] for one in found["accepted"]} == {"read by Ada"}
    log = json.loads(weighbridge("scan", str(folder), "--baseline", str(file), "--format", "sarif").out)
    valid(log, SARIF)
    assert all(result["suppressions"] for result in log["runs"][0]["results"])

    (folder / "new.pkl").write_bytes(EVIL)
    assert {
        one["path"]
        for one in weighbridge("scan", str(folder), "--baseline", str(file), "--json", code=14).json["findings"]
    } == {"new.pkl"}
    (folder / "new.pkl").unlink()
    (folder / "evil.pkl").write_bytes(EVIL + b"\x80\x04N.")
    weighbridge("scan", str(folder), "--baseline", str(file), code=14)


def test_an_acceptance_ends(weighbridge: Command, folder: Path) -> None:
    file = folder.parent / "accepted.json"
    yesterday = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%d")
    arguments = ("--write-baseline", str(file), "--reason", "for now", "--expires", yesterday)
    weighbridge("scan", str(folder), *arguments, code=14)
    ran = weighbridge("scan", str(folder), "--baseline", str(file), code=14)
    assert f"ended on {yesterday}" in ran.err


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": "weighbridge.baseline/2", "accepted": []}',
        '{"format": "weighbridge.baseline/1", "accepted": [{"path": "x"}]}',
        '{"format": "weighbridge.baseline/1", "accepted": [{"path": "x", "rule": "r", "location": "", "digest": "d",'
        ' "reason": " ", "expires": "2030-01-01", "accepted_by": "a"}]}',
        '{"format": "weighbridge.baseline/1", "accepted": [{"path": "x", "rule": "r", "location": "", "digest": "d",'
        ' "reason": "r", "expires": "soon", "accepted_by": "a"}]}',
    ],
)
def test_a_broken_baseline_is_refused(weighbridge: Command, folder: Path, text: str) -> None:
    file = folder.parent / "accepted.json"
    file.write_text(text)
    assert "is no baseline" in weighbridge("scan", str(folder), "--baseline", str(file), code=2).err


def test_an_empty_baseline_is_one() -> None:
    assert Baseline.from_bytes(json.dumps(Baseline().to_json()).encode(), name="x") == Baseline()


def test_a_rule_is_explained(weighbridge: Command) -> None:
    text = weighbridge("scan", "--explain", "pickle-dangerous-callable").out
    assert text == weighbridge("rules", "pickle-dangerous-callable").out
    assert RULES["pickle-dangerous-callable"].remedy in text
    assert (
        "did you mean 'pickle-dangerous-callable'"
        in weighbridge("scan", "--explain", "pickle-dangerous-calable", code=2).err
    )
    weighbridge("scan", code=2)
