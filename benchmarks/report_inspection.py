"""Writes the figures of an inspection run as Markdown: `python -m benchmarks.report_inspection RESULTS [PAGE]`.

With a page, what stands there between the two marks is replaced and the rest stays; without one, it is printed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- figures of the inspection: begin -->", "<!-- figures of the inspection: end -->"
EVERY_CASE = "weighbridge, every case"
OURS = "weighbridge"
PEERS_FILES = "test files of peers"
PICKLES = ("pickle streams", "published pickle bypasses", "torch archives")
WRITTEN = ("honest: ", "kept apart: ", "unseen: ")
BOMB = "bomb: "

Line = tuple[int, int, int]
"""Stopped, errors, asked."""


def total(found: Mapping[str, Any], side: str, families: Iterable[str] | None = None) -> Line:
    """The sum of some classes of one side, or of all."""
    chosen = found if families is None else [family for family in families if family in found]
    lines = [found[family][side] for family in chosen if side in found[family]]
    stopped, errors, asked = (sum(line[place] for line in lines) for place in range(3))
    return stopped, errors, asked


def share(line: Line) -> str:
    """In per cent, with what ended in an error behind it."""
    stopped, errors, asked = line
    if not asked:
        return ""
    return f"{100 * stopped / asked:.1f} %" + (f" +{100 * errors / asked:.1f}" if errors else "")


def cell(line: Line | None) -> str:
    """As counts."""
    if line is None or not line[2]:
        return ""
    stopped, errors, asked = line
    return f"{stopped}/{asked}" + (f" +{errors}" if errors else "")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A table of Markdown."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(str(one) for one in row) + " |" for row in rows), ""]


# --- accuracy ------------------------------------------------------------------------------------


def accuracy(found: Mapping[str, Any]) -> list[str]:
    """Who was compared, the sums, the classes, what the cases cost."""
    details = found["details"]
    answers, scanners = details["answers"], details["scanners"]
    names = [name for name in (EVERY_CASE, OURS, *scanners) if name in answers]
    names = list(dict.fromkeys(names))
    lines = ["### Which files are stopped", "", *_sums(details, names), *_targets(found["targets"])]
    lines += [f"- {note}" for note in found["notes"]]
    lines += [*_wrong(details), "", "### The same by class", ""]
    lines += ["Hostile files stopped, of those asked:", "", *_classes(answers, names, "malicious")]
    lines += ["Honest files stopped (none should be):", "", *_classes(answers, names, "benign")]
    lines += ["Honest, and by design for somebody to decide:", "", *_classes(answers, names, "policy")]
    return [*lines, *_who(scanners), *_cost(details, names)]


def _sums(details: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    answers, scanners = details["answers"], details["scanners"]
    rows = []
    for name in names:
        found = answers[name]
        reads = scanners.get(name, {}).get("reads")
        claimed = [family for family in found if reads is None or claims(reads, family)]
        written = [family for family in found if family.startswith(WRITTEN)]
        row = [name if name not in (OURS, EVERY_CASE) else f"**{name}**"]
        row += [share(total(found, side)) for side in ("malicious", "benign")]
        row += [share(total(found, side, claimed)) for side in ("malicious", "benign")]
        row += [share(total(found, "malicious", PICKLES)), share(total(found, "benign", written))]
        row += [share(total(found, side, [PEERS_FILES])) for side in ("malicious", "benign")]
        rows.append(row)
    head = ["scanner", "hostile, all", "honest, all", "hostile, of what it claims to read", "honest of it"]
    head += ["hostile, pickles", "honest, pickles and the like", "hostile, a peer's files", "honest, a peer's files"]
    return [
        "Share of files stopped; `+n` per cent more ended in an error, which stops whoever treats every non-zero exit as a "
        f"stop. {_asked(details)}",
        "",
        *table(head, rows),
    ]


def claims(reads: Sequence[str], family: str) -> bool:
    """Whether a scanner claims a class; what libraries wrote counts as pickles."""
    if family == PEERS_FILES or family in reads:
        return True
    return family.startswith(WRITTEN) and not set(PICKLES).isdisjoint(reads)


def _asked(details: Mapping[str, Any]) -> str:
    sizes = details["cases"]
    count = {side: sum(one.get(side, 0) for one in sizes.values()) for side in ("malicious", "benign", "policy")}
    sampled = [total(details["answers"][OURS], side)[2] for side in ("malicious", "benign")]
    return (
        f"All scanners judged the same {sampled[0]} hostile and {sampled[1]} honest files, a sample of "
        f"{count['malicious']} and {count['benign']} (at most {details['sample']} of each class); the first line is ours "
        "over all of them, without the engines for secrets and malware."
    )


def _targets(targets: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = []
    for one in targets:
        state = "reached" if one["reached"] else "not reached"
        wanted = f"{one['sense']} {one['bound']:g} {one['unit']}"
        rows.append((one["name"], f"**{one['value']:.2f} {one['unit']}**", wanted, state))
    return table(["target", "value", "wanted", ""], rows) if rows else []


def _wrong(details: Mapping[str, Any]) -> list[str]:
    lines = []
    for what in ("misses", "false alarms"):
        found: dict[str, int] = {}
        for one in details[what]:
            found[one["family"]] = found.get(one["family"], 0) + 1
        said = ", ".join(f"{count} of {family}" for family, count in sorted(found.items(), key=lambda item: -item[1]))
        lines.append(f"- Our {what} over every case: {said or 'none'}.")
    return lines


def _classes(answers: Mapping[str, Any], names: Sequence[str], side: str) -> list[str]:
    families = dict.fromkeys(family for name in names for family in answers[name] if side in answers[name][family])
    rows = [[family, *(cell(answers[name].get(family, {}).get(side)) for name in names)] for family in families]
    return table(["class", *names], rows)


def _who(scanners: Mapping[str, Any]) -> list[str]:
    lines = ["What was run, and the classes that its own documentation says it looks into:", ""]
    for name, one in scanners.items():
        reads = "all" if one["reads"] is None else ", ".join(one["reads"])
        lines.append(f"- {name}: `{' '.join(one['packages'])}`, `{' '.join(one['arguments'])}`. Reads: {reads}.")
    return [*lines, ""]


def _cost(details: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    keys = ("files", "CPU s", "median", "slowest", "peak MiB")
    rows = [[name, *(f"{details['cost'][name][key]:g}" for key in keys)] for name in names]
    head = ["scanner", "files", "CPU seconds, all", "median", "slowest", "peak MiB"]
    return ["What these files cost, the start of the interpreter and imports not counted:", "", *table(head, rows)]


# --- speed ---------------------------------------------------------------------------------------


def speed(found: Mapping[str, Any]) -> list[str]:
    """Many small files, few large ones, a repository; then the bombs."""
    plain = [row for row in found["rows"] if not str(row["what"]).startswith(BOMB)]
    bombs = [row for row in found["rows"] if str(row["what"]).startswith(BOMB)]
    lines = ["### What an inspection costs", ""]
    columns = ("what", "scanner", "wall s", "CPU s", "peak RSS MiB", "read MB", "verdict")
    lines += table(columns, ([row.get(column, "") for column in columns] for row in plain))
    lines += [*_targets(found["targets"]), *(f"- {note}" for note in found["notes"]), "", "### Bombs", ""]
    kept = [column for column in columns if column != "read MB"]
    rows = ([str(row.get(column, "")).removeprefix(BOMB) for column in kept] for row in bombs)
    return [*lines, *table(["bomb", *kept[1:]], rows)]


def figures(document: Mapping[str, Any]) -> str:
    """All of it, with what it ran on."""
    machine, results = document["machine"], document["results"]
    lines = [
        f"Figures of {document['taken_at'][:10]}: {machine['cores']} cores of an {machine['processor']} (virtual), "
        f"{machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}; load average before the run "
        f"{machine['load_before']:g}.",
        "",
    ]
    for name, write in (("inspection-accuracy", accuracy), ("inspection-speed", speed)):
        if name in results:
            lines += write(results[name])
    return "\n".join(lines).rstrip() + "\n"


def placed(page: str, text: str) -> str:
    """The page with the text between the marks.

    Raises:
        ValueError: the page has not each mark once, in order.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"the page needs one {BEGIN} and, after it, one {END}")
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}\n\n{text}\n{END}{rest.partition(END)[2]}"


def main() -> int:
    """Prints the figures, or puts them into the page."""
    text = figures(json.loads(Path(sys.argv[1]).read_text()))
    if len(sys.argv) > 2:
        page = Path(sys.argv[2])
        page.write_text(placed(page.read_text(), text))
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
