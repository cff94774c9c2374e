"""What can the Python code that comes with a model do, and when?

The source is parsed and never run or imported. Code that a loader would run is worth a word however harmless; that word
is `python-remote-code`, and a module with nothing else is clean. Covers Python by name, scripts that begin with a line
for Python, and the TorchScript sources within torch's archives (`code/__torch__/...`), which follow a grammar of their
own. Says the fact `code-import` for every module of the repository that the source imports.
"""

from __future__ import annotations

import re
from typing import Final

from weighbridge.core.errors import Ambiguous, Malformed
from weighbridge.core.finding import Coverage, Report, Severity, Verdict
from weighbridge.formats.python_code import MAX_SOURCE_BYTES, decode_source
from weighbridge.inspectors.code.python_rules import NAME, RULES, UNJUDGED
from weighbridge.inspectors.code.python_source import Notes, judge_source
from weighbridge.inspectors.code.torchscript import is_torchscript, judge_torchscript
from weighbridge.inspectors.subject import Subject

__all__ = ("NAME", "RULES", "PythonCode")

KINDS: Final = frozenset(("python", "script"))
IMPORT_FACT: Final = "code-import"
_SHEBANG = re.compile(rb"#![^\n]*python")
_RUNS_UNASKED: Final = frozenset(("sitecustomize.py", "usercustomize.py"))
_RUNS_BY_NAME: Final = frozenset(
    ("setup.py", "conftest.py", "handler.py", "hubconf.py", "inference.py", "noxfile.py", "fabfile.py")
)


class PythonCode:
    """The inspector `python-code`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Bad for weapons, clean for what was read to the end, whatever policy makes of its lesser findings.

        None for other kinds, and for scripts of other languages.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        kind = subject.kind.name
        if kind not in KINDS or (kind == "script" and not _SHEBANG.match(subject.head)):
            return None
        notes = Notes(subject.path)
        if subject.size_bytes > MAX_SOURCE_BYTES:
            notes.add("limit", f"the source has {subject.size_bytes} bytes", 0)
            return _report(subject, notes, 0)
        self._by_name(subject.path, notes)
        data = subject.read_exactly(0, subject.size_bytes)
        try:
            text = decode_source(data)
        except Ambiguous as error:
            notes.add("encoding", error.message, 1)
            return _report(subject, notes, 0)
        except Malformed as error:
            notes.add("not-understood", error.message, 0)
            return _report(subject, notes, 0)
        # In the repository itself such a path is Python like any other.
        if subject.depth and is_torchscript(subject.path):
            judge_torchscript(text, notes.add)
        else:
            for module, line in judge_source(text, notes):
                subject.fact(IMPORT_FACT, module, location=f"line {line}")
            if not notes.findings:
                notes.add(
                    "remote-code", "a loader that is told to trust remote code runs it; nothing in it is remarkable", 0
                )
        return _report(subject, notes, subject.size_bytes)

    def _by_name(self, path: str, notes: Notes) -> None:
        base = path.rpartition("/")[2].lower()
        if base in _RUNS_UNASKED:
            notes.add("runs-unasked", f"Python runs {base} whenever it starts there", 0)
        elif base in _RUNS_BY_NAME:
            notes.add("runs-by-name", f"tools run {base} by its name", 0)


def _report(subject: Subject, notes: Notes, covered: int) -> Report:
    findings = tuple(notes.findings)
    if any(finding.severity >= Severity.HIGH for finding in findings):
        verdict = Verdict.BAD
    elif covered < subject.size_bytes or any(finding.rule in UNJUDGED for finding in findings):
        verdict = Verdict.UNKNOWN
    else:
        verdict = Verdict.CLEAN
    return Report(NAME, subject.path, verdict, Coverage(covered, subject.size_bytes), findings, subject.kind.name)
