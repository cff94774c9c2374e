"""Turns what was said of a JSON text into findings and facts, the same way for every inspector that reads one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from weighbridge.core.finding import Coverage, Finding, Report, Verdict
from weighbridge.formats.json_text import JsonProblem, JsonText
from weighbridge.inspectors.subject import Subject
from weighbridge.inspectors.texts.config_keys import shown
from weighbridge.inspectors.texts.config_rules import BY_ID
from weighbridge.inspectors.texts.config_walk import Located


def base_name(path: str) -> str:
    """The last component of a path, lowercase."""
    return path.rpartition("/")[2].lower()


def not_understood(inspector: str, subject: Subject, problem: JsonProblem) -> Report:
    """The report on a text that is not one JSON value."""
    rule = "config-trailing-data" if problem.rule == "trailing-data" else "config-not-understood"
    finding = BY_ID[rule].finding(subject.path, problem.message)
    return Report(inspector, subject.path, Verdict.UNKNOWN, Coverage(0, subject.size_bytes), (finding,), "json")


def about_text(subject: Subject, text: JsonText) -> Iterator[Finding]:
    """What a strict reader would not have read."""
    for key in text.repeated:
        yield BY_ID["config-duplicate-key"].finding(subject.path, f"one object has the key {shown(key)} twice")
    if text.marked:
        yield BY_ID["config-byte-order-mark"].finding(subject.path, "the text begins with a byte order mark")


def findings_of(subject: Subject, said: Iterable[Located]) -> Iterator[Finding]:
    """The findings among what was said; facts go to the subject."""
    for one in said:
        if one.said.fact:
            subject.fact(one.said.fact, one.said.message, location=one.location)
        else:
            yield BY_ID[f"config-{one.said.rule}"].finding(subject.path, one.said.message, location=one.location)
