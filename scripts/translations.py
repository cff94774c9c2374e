"""Keeps the catalogues of the posture report: sentences out of the code, translations in .po, compiled to .mo.

`python scripts/translations.py` adds new sentences to each `posture.po` (empty, to be translated), drops those that are gone and
compiles; `--check` changes nothing and fails where a catalogue has drifted or a sentence has no translation.
A sentence is the first argument of `Words(...)` in the room's code, or of `word(...)` in its template.
"""

from __future__ import annotations

import argparse
import ast
import re
import struct
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOM = Path(__file__).parents[1] / "src" / "weighbridge" / "posture"
LOCALE = ROOM / "locale"
IN_TEMPLATE = re.compile(r'\bword\("((?:[^"\\]|\\.)*)"\)')
PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]|%%|%")
HEAD = (
    'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n"Content-Transfer-Encoding: 8bit\\n"\n'
    '"Language: {language}\\n"\n'
)


def sentences() -> list[str]:
    """All sentences that a report may say, in the order in which the code has them."""
    found: dict[str, None] = {}
    for path in sorted(ROOM.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Words" and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value:
                    found[first.value] = None
    for path in sorted(ROOM.glob("*.jinja")):
        found |= dict.fromkeys(IN_TEMPLATE.findall(path.read_text(encoding="utf-8")))
    return list(found)


def placeholders(text: str) -> list[str]:
    """The values that a sentence shows, and stray percent signs, sorted."""
    return sorted(found[0] for found in PLACEHOLDER.finditer(text))


def read_po(path: Path) -> dict[str, str]:
    """The translations of a .po file. What it may hold is what `write_po` writes: no plurals, no contexts."""
    found: dict[str, str] = {}
    parts: dict[str, str] = {}
    current = ""
    for line in [*path.read_text(encoding="utf-8").splitlines(), ""]:
        if line.startswith("#"):
            continue
        keyword, _, rest = line.partition(" ")
        if keyword in ("msgid", "msgstr"):
            current = keyword
            parts[current] = ast.literal_eval(rest)
        elif line.startswith('"'):
            parts[current] += ast.literal_eval(line)
        elif not line.strip() and parts:
            if parts["msgid"]:
                found[parts["msgid"]] = parts["msgstr"]
            parts = {}
    return found


def write_po(language: str, translations: Mapping[str, str], wanted: Iterable[str]) -> str:
    """The text of a .po file."""
    parts = [HEAD.format(language=language)]
    parts += [f"msgid {_quoted(one)}\nmsgstr {_quoted(translations.get(one, ''))}\n" for one in wanted]
    return "\n".join(parts)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def compile_mo(language: str, translations: Mapping[str, str]) -> bytes:
    """The .mo file of gettext: sorted pairs behind a table of lengths and offsets."""
    head = f"Content-Type: text/plain; charset=UTF-8\nLanguage: {language}\n"
    pairs = sorted((key.encode(), value.encode()) for key, value in {"": head, **translations}.items() if value)
    count, start = len(pairs), 28
    ids = b"".join(key + b"\0" for key, _ in pairs)
    strings_at = start + 16 * count + len(ids)
    tables: list[list[int]] = [[], []]
    at = [start + 16 * count, strings_at]
    for pair in pairs:
        for side, text in enumerate(pair):
            tables[side] += [len(text), at[side]]
            at[side] += len(text) + 1
    header = struct.pack("<7I", 0x950412DE, 0, count, start, start + 8 * count, 0, 0)
    return (
        header
        + struct.pack(f"<{4 * count}I", *tables[0], *tables[1])
        + ids
        + b"".join(value + b"\0" for _, value in pairs)
    )


def problems(language: str) -> list[str]:
    """What is wrong with a catalogue."""
    wanted, found = sentences(), read_po(LOCALE / language / "posture.po")
    said = [f"{language}: not translated: {one}" for one in wanted if not found.get(one)]
    said += [f"{language}: no longer said: {one}" for one in found if one not in wanted]
    said += [
        f"{language}: other placeholders: {one}"
        for one, translated in found.items()
        if translated and placeholders(one) != placeholders(translated)
    ]
    if (LOCALE / language / "posture.mo").read_bytes() != compile_mo(language, found):
        said.append(f"{language}: posture.mo is not compiled from posture.po")
    return said


def main() -> int:
    """Updates or checks all catalogues."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail where something has drifted")
    checking = parser.parse_args().check
    languages = sorted(path.name for path in LOCALE.iterdir() if path.is_dir())
    for language in () if checking else languages:
        path = LOCALE / language / "posture.po"
        kept = read_po(path) if path.exists() else {}
        wanted = sentences()
        path.write_text(write_po(language, kept, wanted), encoding="utf-8")
        translations = {one: kept.get(one, "") for one in wanted}
        (path.with_suffix(".mo")).write_bytes(compile_mo(language, translations))
    found = [problem for language in languages for problem in problems(language)]
    print("\n".join(found) if found else f"{len(sentences())} sentences, {', '.join(languages)}: complete")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
