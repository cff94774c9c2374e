"""An inventory as Markdown, and as one HTML page that needs nothing else: no scripts, no fonts, no requests."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from weighbridge.core.counted import plural
from weighbridge.inventory.report import HEADINGS, Inventory, Line, Status, cells, told
from weighbridge.reports.markdown import code
from weighbridge.serve.web_words import visible

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#1b1f24;background:#fff}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #d5d9de;
overflow-wrap:anywhere}th{font-weight:600}.unknown{color:#a40e26;font-weight:600}.related{color:#8a5a00;font-weight:600}
.sealed,.copy{color:#14692e;font-weight:600}small{color:#57606a;display:block}
@media(prefers-color-scheme:dark){body{color:#e6e8eb;background:#14171a}th,td{border-color:#3a4047}.unknown{color:#ff8a94}
.related{color:#f0b429}.sealed,.copy{color:#6fd08c}small{color:#a2abb5}}@media print{body{margin:0}}"""


def summary(inventory: Inventory) -> str:
    """One sentence."""
    counts = ", ".join(f"{inventory.count(status)} {status.value}" for status in Status)
    return (
        f"{plural(len(inventory.lines), 'model')} in {plural(inventory.files, 'file')}: {counts}; held against "
        f"{plural(inventory.known, 'sealed revision')}; {plural(inventory.trouble_count, 'place')} not looked at"
    )


def as_markdown(inventory: Inventory) -> str:
    """The inventory as Markdown; whatever a model says stands in code, where it cannot act."""
    return "\n".join(_markdown(inventory)) + "\n"


def _markdown(inventory: Inventory) -> Iterator[str]:
    yield f"# Inventory of {code(told(inventory.root))}"
    yield ""
    yield summary(inventory)
    yield ""
    yield f"| {' | '.join(HEADINGS)} |"
    yield f"|{'---|' * len(HEADINGS)}"
    for line in inventory.lines:
        shown = [code(cell) if cell else "" for cell in cells(line)]
        shown[1] = line.words
        yield f"| {' | '.join(shown)} |"
    notes = [(line, text) for line in inventory.lines for text in _notes(line)]
    if notes:
        yield ""
        yield "## Notes"
        yield ""
        yield from (f"- {code(told(line.model.place))}: {code(text)}" for line, text in notes)
    if inventory.troubles:
        yield ""
        yield "## Not looked at"
        yield ""
        yield from (f"- {code(told(one.path))}: {code(told(one.what))}" for one in inventory.troubles)


def _notes(line: Line) -> tuple[str, ...]:
    return tuple(map(told, (*((line.basis,) if line.basis else ()), *line.about.notes)))


def as_html(inventory: Inventory) -> str:
    """The inventory as a page; everything is escaped, and characters that show nothing are written out."""
    return "\n".join(_html(inventory)) + "\n"


def _html(inventory: Inventory) -> Iterator[str]:
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Inventory</title>'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    yield f"<style>{_STYLE}</style></head><body>"
    yield f"<h1>Inventory of {_text(told(inventory.root))}</h1><p>{_text(summary(inventory))}</p>"
    yield "<table><thead><tr>" + "".join(f"<th>{heading}</th>" for heading in HEADINGS) + "</tr></thead><tbody>"
    for line in inventory.lines:
        shown = [f"<td>{_text(cell)}</td>" for cell in cells(line)]
        shown[0] = (
            f"<td>{_text(told(line.model.place))}"
            + "".join(f"<small>{_text(one)}</small>" for one in _notes(line))
            + "</td>"
        )
        shown[1] = f'<td class="{line.status.value}">{line.words}</td>'
        yield f"<tr>{''.join(shown)}</tr>"
    yield "</tbody></table>"
    if inventory.troubles:
        yield "<h2>Not looked at</h2><ul>"
        yield from (f"<li>{_text(told(one.path))}: {_text(told(one.what))}</li>" for one in inventory.troubles)
        yield "</ul>"
    yield "</body></html>"


def _text(text: str) -> str:
    return escape(str(visible(text)))
