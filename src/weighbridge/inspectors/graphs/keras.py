"""What would building this Keras model, from its configuration alone, run or need?

Concerns configurations by their shape, whatever the file is called: `config.json` of a Keras archive (which reaches
this inspector as a member), a bare architecture as JSON, and `metadata.json` beside it. An architecture as YAML is
recognised and not parsed: what can be told from its lines (Python tags, Lambda layers) is, and the rest is unknown.
Configurations in HDF5 files and SavedModels are judged by the same rules there.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from weighbridge.core.errors import Ambiguous, FormatError
from weighbridge.core.finding import Report, Verdict
from weighbridge.formats.keras_config import MAX_BYTES, is_configuration, is_metadata, parse
from weighbridge.inspectors.graphs import keras_judge
from weighbridge.inspectors.graphs.keras_judge import BY_ID, NAME, UNSETTLED, judge
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject, report_of

RULES: Final[tuple[Rule, ...]] = keras_judge.RULES
# A letter written as an escape is how a key is hidden from those who search; nobody honest writes one.
_SHAPE: Final = re.compile(rb"class_name|keras_version|\\u00[4-7]")
_YAML: Final = re.compile(rb"(?m)^(?:[ -]*)class_name:\s*\S")
_YAML_BAD: Final = re.compile(
    rb"!!python/(?!tuple\b)[\w/.:]+|class_name:\s*['\"]?Lambda\b|!<tag:yaml.org,2002:python/(?!tuple)"
)
MAX_YAML_BYTES: Final = 16 * 1024 * 1024


class Keras:
    """The inspector `keras`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage for a configuration of Keras' own objects; None for other files.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        if subject.kind.name == "yaml":
            return self._yaml(subject)
        if subject.kind.name not in ("json", "other-text") or subject.head.lstrip()[:1] != b"{":
            return None
        if subject.size_bytes > MAX_BYTES:
            return self._unread(subject, f"{subject.size_bytes} bytes of configuration")
        data = subject.head
        if len(data) < subject.size_bytes:
            data += subject.read_exactly(len(data), subject.size_bytes - len(data))
        if not _SHAPE.search(data):
            return None
        try:
            value = parse(data)
        except Ambiguous as problem:
            return report_of(NAME, subject, [BY_ID["keras-ambiguous"].finding(subject.path, problem.message)], 0)
        except FormatError as problem:
            return self._unread(subject, problem.message)
        if is_metadata(value):
            return report_of(NAME, subject, [], subject.size_bytes, kind=subject.kind.name)
        if not is_configuration(value):
            return None
        findings = judge(value, subject.path)
        return settled(report_of(NAME, subject, findings, subject.size_bytes, kind=subject.kind.name))

    def _unread(self, subject: Subject, message: str) -> Report | None:
        """What begins like a configuration and cannot be read; other texts that cannot are not for this inspector."""
        if not _SHAPE.search(subject.head) or subject.suffix != ".json":
            return None
        return report_of(NAME, subject, [BY_ID["keras-not-understood"].finding(subject.path, message)], 0)

    def _yaml(self, subject: Subject) -> Report | None:
        if subject.size_bytes > MAX_YAML_BYTES or not _YAML.search(subject.head):
            return None
        text = subject.read_exactly(0, subject.size_bytes)
        found = []
        for match in list(_YAML_BAD.finditer(text))[: keras_judge.MAX_SAME]:
            rule = "keras-lambda" if b"Lambda" in match[0] else "keras-import"
            message = f"the architecture, as YAML, has {match[0].decode('ascii', 'replace')!a:.100}"
            found.append(BY_ID[rule].finding(subject.path, message, location=f"offset {match.start()}"))
        message = "an architecture as YAML, which is not parsed"
        found.append(BY_ID["keras-not-understood"].finding(subject.path, message))
        return report_of(NAME, subject, found, 0)


def settled(report: Report) -> Report:
    """The report, unknown where a finding says that nobody knows what the model does."""
    if report.verdict is Verdict.CLEAN and any(finding.rule in UNSETTLED for finding in report.findings):
        return replace(report, verdict=Verdict.UNKNOWN)
    return report
