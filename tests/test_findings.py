"""Findings, coverage and verdicts: bad wins, unknown never passes, and a report has one spelling."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from weighbridge.core import canonical
from weighbridge.core.finding import (
    Confidence,
    Coverage,
    Finding,
    Inspection,
    Report,
    Severity,
    Verdict,
    combine,
)

CLEAN, BAD, UNKNOWN = Verdict.CLEAN, Verdict.BAD, Verdict.UNKNOWN
WHOLE = Coverage(10, 10)


def finding(path: str = "a.bin", rule: str = "pickle-call", severity: Severity = Severity.HIGH, **more: Any) -> Finding:
    return Finding(path, rule, severity, **({"confidence": Confidence.HIGH, "message": "It calls os.system."} | more))


def report(verdict: Verdict = CLEAN, *, inspector: str = "census", path: str = "a.bin", **more: Any) -> Report:
    return Report(inspector, path, verdict, **({"coverage": WHOLE} | more))


# --- verdicts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        ([], UNKNOWN),
        ([CLEAN], CLEAN),
        ([UNKNOWN], UNKNOWN),
        ([BAD], BAD),
        ([CLEAN, CLEAN], CLEAN),
        ([CLEAN, UNKNOWN], UNKNOWN),
        ([CLEAN, BAD], BAD),
        ([UNKNOWN, BAD], BAD),
        ([CLEAN, UNKNOWN, BAD], BAD),
    ],
)
def test_bad_wins_then_unknown_and_nothing_is_unknown(verdicts: list[Verdict], whole: Verdict) -> None:
    for order in itertools.permutations(verdicts):
        assert combine(order) is whole
        assert Inspection(tuple(report(verdict) for verdict in order), "1").verdict is whole


@given(st.lists(st.sampled_from(Verdict)), st.lists(st.sampled_from(Verdict)))
@budget(max_examples=100, deadline=None)
def test_more_verdicts_never_make_it_better(some: list[Verdict], more: list[Verdict]) -> None:
    badness = {CLEAN: 0, UNKNOWN: 1, BAD: 2}
    if some:
        assert badness[combine(some + more)] >= badness[combine(some)]
    assert combine(some + more) is combine(more + some)
    if some and more:
        assert combine([combine(some), combine(more)]) is combine(some + more)


def test_a_clean_answer_about_a_part_of_the_bytes_is_no_clean_answer() -> None:
    reports = (report(CLEAN), report(CLEAN, path="b.bin", coverage=Coverage(9, 10)))
    assert Inspection(reports, "1").verdict is UNKNOWN


# --- coverage ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inspected", "present", "complete"), [(0, 0, True), (1, 1, True), (0, 1, False), (9, 10, False), (10, 10, True)]
)
def test_coverage_is_complete_when_nothing_was_left_out(inspected: int, present: int, complete: bool) -> None:
    assert Coverage(inspected, present).complete is complete


BYTES = st.integers(0, 1 << 40)
COVERAGES = st.builds(Coverage, BYTES, BYTES)


@given(st.lists(COVERAGES, min_size=1, max_size=5))
@budget(max_examples=100, deadline=None)
def test_coverage_adds_up_in_any_grouping(parts: list[Coverage]) -> None:
    total = sum(parts, Coverage(0, 0))
    assert total == sum(reversed(parts), Coverage(0, 0))
    assert total.inspected_bytes == sum(part.inspected_bytes for part in parts)
    assert total.present_bytes == sum(part.present_bytes for part in parts)


def test_coverage_is_counted_per_inspector() -> None:
    inspection = Inspection(
        (
            report(inspector="census", path="a", coverage=Coverage(1, 2)),
            report(inspector="weights", path="a", coverage=Coverage(3, 3)),
            report(inspector="census", path="b", coverage=Coverage(4, 5)),
        ),
        "1",
    )
    assert inspection.coverage() == {"census": Coverage(5, 7), "weights": Coverage(3, 3)}
    assert Inspection((), "1").coverage() == {}


# --- findings ------------------------------------------------------------------------------------


def test_severities_are_ordered_and_are_the_exit_codes() -> None:
    assert [int(severity) for severity in sorted(Severity)] == [11, 12, 13, 14]
    assert [severity.label for severity in sorted(Severity)] == ["low", "medium", "high", "critical"]


def test_findings_come_worst_first_then_by_place() -> None:
    ordered = [
        finding("z.bin", "b", Severity.CRITICAL),
        finding("a.bin", "a", Severity.HIGH),
        finding("a.bin", "b", Severity.HIGH, location="0"),
        finding("a.bin", "b", Severity.HIGH, location="1"),
        finding("b.bin", "a", Severity.HIGH),
        finding("a.bin", "a", Severity.LOW),
    ]
    for seed in range(10):
        shuffled = ordered[:]
        random.Random(seed).shuffle(shuffled)
        inspection = Inspection(tuple(report(BAD, findings=(one,)) for one in shuffled), "1")
        assert list(inspection.findings) == ordered
        assert inspection.highest_severity is Severity.CRITICAL


def test_without_findings_there_is_no_highest_severity() -> None:
    assert Inspection((report(),), "1").highest_severity is None
    assert Inspection((report(),), "1").findings == ()


def test_a_finding_is_recorded_whole() -> None:
    one = finding(location="data.pkl", evidence="os.system", remedy="Do not load it.", confidence=Confidence.LOW)
    assert one.to_json() == {
        "path": "a.bin",
        "rule": "pickle-call",
        "severity": "high",
        "confidence": "low",
        "message": "It calls os.system.",
        "location": "data.pkl",
        "evidence": "os.system",
        "remedy": "Do not load it.",
    }


# --- the stored record ---------------------------------------------------------------------------

WORDS = st.sampled_from(["a", "b", "a/b", "é", "模"])
FINDINGS = st.builds(
    Finding, WORDS, WORDS, st.sampled_from(Severity), st.just(Confidence.HIGH), WORDS, WORDS, WORDS, WORDS
)
REPORTS = st.builds(
    Report, WORDS, WORDS, st.sampled_from(Verdict), COVERAGES, st.lists(FINDINGS, max_size=4).map(tuple), WORDS
)


@given(
    st.lists(REPORTS, max_size=6, unique_by=lambda one: (one.inspector, one.path)), st.randoms(use_true_random=False)
)
@budget(max_examples=100, deadline=None)
def test_the_record_does_not_depend_on_the_order_of_answers(reports: list[Report], order: random.Random) -> None:
    shuffled = []
    for one in reports:
        found = list(one.findings)
        order.shuffle(found)
        shuffled.append(Report(one.inspector, one.path, one.verdict, one.coverage, tuple(found), one.kind))
    order.shuffle(shuffled)
    inspection = Inspection(tuple(reports), "2025.1")
    data = inspection.to_bytes()
    assert Inspection(tuple(shuffled), "2025.1").to_bytes() == data
    record = json.loads(data)
    assert canonical.encode(record) == data
    assert record["verdict"] == inspection.verdict.value
    assert len(record["reports"]) == len(reports)
    assert sum(len(one["findings"]) for one in record["reports"]) == len(inspection.findings)


def test_the_record_says_under_which_rules_it_was_made() -> None:
    reports = (report(BAD, findings=(finding(),), kind="pickle", coverage=Coverage(3, 4)),)
    record = json.loads(Inspection(reports, "2025.1").to_bytes())
    assert record == {
        "format": "weighbridge.inspection/1",
        "rules_version": "2025.1",
        "verdict": "bad",
        "reports": [
            {
                "inspector": "census",
                "path": "a.bin",
                "kind": "pickle",
                "verdict": "bad",
                "inspected_bytes": 3,
                "present_bytes": 4,
                "findings": [finding().to_json()],
            }
        ],
    }
    assert Inspection(reports, "2025.2").to_bytes() != Inspection(reports, "2025.1").to_bytes()


def test_findings_that_differ_only_in_confidence_have_an_order_too() -> None:
    sure, unsure = finding(confidence=Confidence.HIGH), finding(confidence=Confidence.LOW)
    one = Inspection((report(BAD, findings=(sure, unsure)),), "1").to_bytes()
    other = Inspection((report(BAD, findings=(unsure, sure)),), "1").to_bytes()
    assert one == other


def test_two_answers_about_one_artifact_have_an_order_too() -> None:
    clean, bad = report(CLEAN), report(BAD, findings=(finding(),))
    assert Inspection((clean, bad), "1").to_bytes() == Inspection((bad, clean), "1").to_bytes()
