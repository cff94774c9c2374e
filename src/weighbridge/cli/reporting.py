"""Writes scan documents in the form that was asked for: a table for people, or a file for tools."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.cli.console import STYLES, Output, duration, printable, size
from weighbridge.core.canonical import JsonValue
from weighbridge.core.finding import Finding
from weighbridge.reports.document import ScanDocument, by_rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from weighbridge.inspectors.rule import Rule

FORMATS = ("table", "json", "sarif", "html", "markdown")
MAX_PLACES = 12
"""Places shown for one rule in a terminal; the other formats list more, or all."""


def write(
    output: Output,
    documents: Sequence[ScanDocument],
    chosen: str,
    file: Path | None,
    rules: Mapping[str, Rule] | None = None,
) -> None:
    """Writes what was found to stdout, or to a file that appears whole; `rules` are those of the inspectors if not given.

    Raises:
        ConfigError: the file cannot be written.
    """
    if chosen == "table" and file is None:
        for document in documents:
            _show(output, document, rules)
        return
    output.deliver("".join(_rendered(documents, chosen, rules)), file)


def _rules() -> Mapping[str, Rule]:
    """All rules; importing them takes longer than most scans, so only where they are shown."""
    from weighbridge.inspectors.all_rules import RULES

    return RULES


def _rendered(documents: Sequence[ScanDocument], chosen: str, rules: Mapping[str, Rule] | None) -> Iterator[str]:
    if chosen == "sarif":
        from weighbridge.reports.sarif import as_sarif

        logs = [as_sarif(document, rules or _rules()) for document in documents]
        runs: list[JsonValue] = [run for log in logs for run in _items(log["runs"])]
        yield json.dumps({**logs[0], "runs": runs}, ensure_ascii=False, indent=1) + "\n"
    elif chosen == "html":
        from weighbridge.reports.html import as_html

        (document,) = documents
        yield as_html(document, rules or _rules()) + "\n"
    elif chosen == "markdown":
        from weighbridge.reports.markdown import as_markdown

        yield "\n".join(as_markdown(document, rules or _rules()) for document in documents)
    elif chosen == "json":
        for document in documents:
            yield json.dumps(document.to_json(), ensure_ascii=False) + "\n"
    else:
        for document in documents:
            yield from (f"{line}\n" for line in _plain(document))


def _items(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _plain(document: ScanDocument) -> Iterator[str]:
    """One line of the verdict, then one line with tabs for each finding."""
    yield printable(f"{document.source}: {document.inspection.verdict.value}")
    for f in document.findings:
        cells = (f.severity.label, f.rule, f.path, f.location, f.message, f.remedy)
        yield printable("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in cells))


def _show(output: Output, document: ScanDocument, rules: Mapping[str, Rule] | None) -> None:
    if output.rich:
        _panel(output, document, rules or _rules())
    else:
        for line in _plain(document):
            output.line(line)
    for name, part in sorted(document.inspection.coverage().items()):
        output.say(f"  {name}: {size(part.inspected_bytes)} of {size(part.present_bytes)} understood")
    if document.gaps:
        paths = sorted({gap.path for gap in document.gaps})
        some = ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
        output.say(f"  not understood: {some}")
    if document.accepted_findings:
        output.say(f"  {len(document.accepted_findings)} findings accepted by the baseline")
    output.say(
        f"  {document.files} files, {size(document.total_bytes)}; "
        f"{size(document.read_bytes)} read in {duration(document.milliseconds / 1000)}"
    )


def _panel(output: Output, document: ScanDocument, rules: Mapping[str, Rule]) -> None:
    """What, where, why it matters, what to do; one block for each rule, the worst first."""
    from rich.padding import Padding
    from rich.text import Text

    verdict = document.inspection.verdict.value
    output.show(Text.assemble((printable(document.source), "bold"), ": ", (verdict, STYLES[verdict])))
    for rule_id, findings in by_rule(document.findings).items():
        worst = max(finding.severity for finding in findings).label
        title = rules[rule_id].title if rule_id in rules else rule_id
        output.show(Text.assemble("\n", (f"{worst:8} ", STYLES[worst]), (title, "bold"), (f"  {rule_id}", "dim")))
        for finding in findings[:MAX_PLACES]:
            output.show(Padding(_place(finding), (0, 0, 0, 9)))
        if len(findings) > MAX_PLACES:
            output.show(Padding(Text(f"and {len(findings) - MAX_PLACES} more", "dim"), (0, 0, 0, 9)))
        if rule_id in rules:
            output.show(Padding(Text.assemble(("why  ", "dim"), rules[rule_id].explanation), (0, 0, 0, 9)))
            output.show(Padding(Text.assemble(("do   ", "dim"), rules[rule_id].remedy), (0, 0, 0, 9)))


def _place(finding: Finding) -> str:
    from rich.markup import escape

    where = f" [dim]at {escape(printable(finding.location))}[/dim]" if finding.location else ""
    return f"[cyan]{escape(printable(finding.path))}[/cyan]{where}: {escape(printable(finding.message))}"
