"""What would running this notebook do, and what do its outputs do in the browser that shows them?

The code cells are judged together as Python (what they do is done when a person runs them, not at import), with the
shell lines and cells apart. Outputs are looked at for scripts; texts, numbers and pictures are inert. An ordinary notebook
gets the one finding `notebook-code`, which names what its code uses, and is clean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import FormatError, LimitExceeded, Malformed
from weighbridge.core.finding import Coverage, Finding, Report, Severity, Verdict
from weighbridge.formats.json_text import Json, read_json
from weighbridge.formats.python_code import parse_source
from weighbridge.inspectors.code.python_judge import Judge
from weighbridge.inspectors.code.python_powers import COMMANDS, DROP_SITES, PERSISTENCE, SECRET_FILES
from weighbridge.inspectors.code.python_rules import BY_ID as PYTHON_RULES
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

NAME: Final = "notebooks"
KIND: Final = "notebook"
MAX_CELLS: Final = 10_000
MAX_FINDINGS: Final = 80
_LOOK = "Read the notebook before it is run, or leave it out with --exclude."
_NEVER = "Do not open the notebook as trusted, and do not run it. Report the repository."


def _rule(name: str, title: str, severity: Severity, explanation: str) -> Rule:
    return Rule(f"notebook-{name}", title, severity, NAME, explanation, _NEVER if severity.is_grave else _LOOK)


RULES: Final[tuple[Rule, ...]] = (
    _rule("code", "Notebook with code", Severity.MEDIUM, "A person may run it; nothing in it is remarkable."),
    _rule("command", "Shell line that attacks the machine", Severity.HIGH, "The line is one of known attacks."),
    _rule(
        "installs",
        "Packages from elsewhere",
        Severity.MEDIUM,
        "Packages are installed from an address of the author's.",
    ),
    _rule(
        "active-output",
        "Output that acts in the browser",
        Severity.MEDIUM,
        "JavaScript in an output runs where the notebook is shown as trusted.",
    ),
    _rule(
        "hostile-output",
        "Output that attacks whoever looks at it",
        Severity.HIGH,
        "It runs code on the kernel, reads cookies, or loads scripts from elsewhere.",
    ),
    _rule("not-understood", "Notebook that was not understood", Severity.MEDIUM, "What it does was not judged."),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}
_SHELL_CELLS = re.compile(r"%%(?:bash|sh|script|cmd|system|sx|!)\b|%%!")
_OTHER_CELLS = re.compile(
    r"%%(?:writefile|html|latex|markdown|svg|javascript|js|perl|ruby|R|cython|file|sql|bigquery)\b"
)
_LINE = re.compile(r"^(\s*)(?:\w[\w, ]*=\s*)?([!%?].*|\w[\w.]*\?+\s*)$")
_INSTALL = re.compile(r"\b(?:pip3?|conda|mamba|uv)\b.{0,20}\binstall\b")
_ELSEWHERE = re.compile(r"--(?:extra-)?index-url|--trusted-host|git\+|https?://|\s-i\s|--find-links")
_KNOWN_PLACES = re.compile(
    r"(?:git\+)?https?://(?:github\.com|download\.pytorch\.org|huggingface\.co|data\.pyg\.org|storage\.googleapis\.com)/"
)
_HOSTILE_OUTPUT = re.compile(
    r"kernel\.execute|requestExecute|document\.cookie|eval\s*\(\s*(?:atob|unescape)|new\s+WebSocket|navigator\.sendBeacon|"
    r"localStorage|XMLHttpRequest|\bfetch\s*\(|<iframe[^>]+src=['\"]?https?:(?!//(?:www\.youtube|player\.vimeo))|\bon(?:error|load)\s*=|<object|<embed|"
    r"execute_cell|_xsrf|/api/(?:terminals|contents|kernels)",
    re.IGNORECASE,
)
_SCRIPT = re.compile(r"<script|javascript:", re.IGNORECASE)
_ACTIVE: Final = frozenset(("application/javascript", "text/javascript", "application/x-javascript"))


@dataclass(frozen=True, slots=True)
class _Cell:
    number: int
    kind: str
    source: str
    outputs: Json


class Notebooks:
    """The inspector `notebooks`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Bad for attacks, clean for what was read to the end; None for other kinds.

        Raises:
            LimitExceeded, Truncated: it is too large, or shorter than promised.
        """
        if subject.kind.name != KIND:
            return None
        notes = _Notes(subject.path)
        try:
            text = read_json(subject)
            cells = list(_cells(text.value))
        except LimitExceeded:
            raise
        except Malformed as error:
            notes.add("not-understood", error.message, 0)
            return _report(subject, notes, 0)
        if text.repeated:
            notes.add("not-understood", f"the key {text.repeated[0][:40]!a} is there twice", 0)
        _judge_code(cells, notes, python=_is_python(text.value))
        for cell in cells:
            _judge_outputs(cell, notes)
        return _report(subject, notes, subject.size_bytes)


class _Notes:
    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: set[tuple[str, int]] = set()
        self.findings: list[Finding] = []
        self.powers: set[str] = set()

    def add(self, rule: str, message: str, cell: int) -> None:
        """A rule of notebooks, or of Python code with `python-` before it."""
        if (rule, cell) in self._seen or len(self.findings) >= MAX_FINDINGS:
            return
        self._seen.add((rule, cell))
        known = PYTHON_RULES[rule] if rule in PYTHON_RULES else _BY_ID[f"notebook-{rule}"]
        self.findings.append(known.finding(self._path, message[:300], location=f"cell {cell}" if cell else ""))


def _cells(value: Json) -> Iterator[_Cell]:
    """All cells: those of format 4, and those of format 3, whatever the file says which it is."""
    held = value if isinstance(value, dict) else {}
    sheets = held.get("worksheets")
    parts = [held.get("cells")] if "cells" in held else []
    parts += [one.get("cells") for one in sheets if isinstance(one, dict)] if isinstance(sheets, list) else []
    cells = [cell for part in parts if isinstance(part, list) for cell in part]
    if not any(isinstance(part, list) for part in parts):
        raise Malformed("the notebook has no list of cells")
    if len(cells) > MAX_CELLS:
        raise LimitExceeded(f"the notebook has more than {MAX_CELLS} cells")
    for number, cell in enumerate(cells, start=1):
        if not isinstance(cell, dict):
            raise Malformed(f"cell {number} is no object")
        source = "\n".join(_joined(cell[key]) for key in ("source", "input") if key in cell)
        yield _Cell(number, str(cell.get("cell_type", "")), source, cell.get("outputs"))


def _joined(value: Json) -> str:
    return "".join(one for one in value if isinstance(one, str)) if isinstance(value, list) else str(value or "")


def _is_python(value: Json) -> bool:
    metadata = value.get("metadata") if isinstance(value, dict) else None
    spec = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    language = spec.get("language", "python") if isinstance(spec, dict) else "python"
    return str(language).lower() in ("python", "ipython", "")


def _judge_code(cells: list[_Cell], notes: _Notes, *, python: bool) -> None:
    """All code cells as one source, each after the other; what is no Python is looked at by patterns."""
    lines: list[str] = []
    cell_of: list[int] = []
    for cell in cells:
        if cell.kind != "code" or not cell.source.strip():
            continue
        source, shell = _parted(cell.source)
        for line in shell:
            _judge_shell(line, notes, cell.number)
        if not _is_readable(source) or not python:
            _judge_raw(cell, notes, python=python)
            continue
        added = source.split("\n")
        lines.extend(added)
        cell_of.extend([cell.number] * len(added))
    if any(cell.kind == "code" and cell.source.strip() for cell in cells):
        notes.powers.add("")
    if not lines:
        return
    _judge_python("\n".join(lines), cell_of, notes)


def _judge_python(source: str, cell_of: list[int], notes: _Notes) -> None:
    def note(rule: str, message: str, line: int) -> None:
        if PYTHON_RULES[f"python-{rule}"].severity.is_grave:
            notes.add(f"python-{rule}", message, cell_of[line - 1] if 0 < line <= len(cell_of) else 0)
        else:
            notes.powers.add(rule)

    try:
        tree = parse_source(source)
    except FormatError as error:
        notes.add("not-understood", error.message, 0)
        return
    Judge(tree, note, at_import=False).judge()


def _is_readable(source: str) -> bool:
    try:
        parse_source(source)
    except FormatError:
        return False
    return True


def _parted(source: str) -> tuple[str, list[str]]:
    """The Python of a cell, and its lines for the shell."""
    first = source.lstrip().split("\n", 1)[0]
    if _SHELL_CELLS.match(first):
        return "", source.split("\n")[1:]
    if _OTHER_CELLS.match(first):
        return "", source.split("\n") if first.startswith(("%%writefile", "%%file")) else []
    kept, shell = [], []
    for line in source.split("\n"):
        found = _LINE.match(line)
        if found is None or (found.group(2).startswith("%") and "=" in line.split("%")[0] and "'" in line):
            kept.append(line)
            continue
        kept.append(f"{found.group(1)}pass")
        shell.append(found.group(2).lstrip("!%? "))
    return "\n".join(kept), shell


def _judge_shell(line: str, notes: _Notes, cell: int) -> None:
    if line.lstrip().startswith("#"):
        return
    for pattern in (COMMANDS, DROP_SITES, PERSISTENCE, SECRET_FILES):
        found = pattern.search(line[:20_000])
        if found:
            notes.add("command", f"the line says {found.group()[:80]!a}", cell)
    if _INSTALL.search(line) and _ELSEWHERE.search(line) and not _KNOWN_PLACES.search(line):
        notes.add("installs", f"{line.strip()[:80]!a}", cell)


def _judge_raw(cell: _Cell, notes: _Notes, *, python: bool) -> None:
    for line in cell.source.split("\n"):
        _judge_shell(line, notes, cell.number)
    what = "is no Python" if python else "is in another language"
    notes.add("not-understood", f"the cell {what}", cell.number)


def _judge_outputs(cell: _Cell, notes: _Notes) -> None:
    outputs = cell.outputs if isinstance(cell.outputs, list) else []
    for output in outputs:
        data = output.get("data") if isinstance(output, dict) else None
        for kind, value in data.items() if isinstance(data, dict) else ():
            if kind in _ACTIVE:
                _judge_markup(_joined(value), notes, cell.number, active=True)
            elif kind in ("text/html", "image/svg+xml", "text/markdown"):
                _judge_markup(_joined(value), notes, cell.number, active=False)
    if cell.kind == "markdown":
        _judge_markup(cell.source, notes, cell.number, active=False)


def _judge_markup(text: str, notes: _Notes, cell: int, *, active: bool) -> None:
    if (
        not active
        and not _SCRIPT.search(text)
        and not re.search(r"\bon\w+\s*=|<iframe|<object|<embed", text, re.IGNORECASE)
    ):
        return
    found = _HOSTILE_OUTPUT.search(text)
    if found:
        notes.add("hostile-output", f"an output says {found.group()[:60]!a}", cell)
    elif active or _SCRIPT.search(text):
        notes.add("active-output", "an output holds a script", cell)


def _report(subject: Subject, notes: _Notes, covered: int) -> Report:
    if not notes.findings and notes.powers:
        used = ", ".join(sorted(power for power in notes.powers if power and power != "remote-code"))
        notes.add("code", f"code cells; they show: {used}" if used else "code cells; nothing in them is remarkable", 0)
    findings = tuple(notes.findings)
    if any(finding.severity.is_grave for finding in findings):
        verdict = Verdict.BAD
    elif covered < subject.size_bytes or any(finding.rule == "notebook-not-understood" for finding in findings):
        verdict = Verdict.UNKNOWN
    else:
        verdict = Verdict.CLEAN
    return Report(NAME, subject.path, verdict, Coverage(covered, subject.size_bytes), findings, KIND)
