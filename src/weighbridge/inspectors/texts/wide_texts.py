"""Text in UTF-16 with a byte order mark, read as its loaders read it: decoded, and inspected under the same name.

Spreadsheets export so ("Unicode text"), and so do PowerShell and Notepad. The decoded text is an artifact of its own for
every inspector, so that a formula, a tag of YAML, a secret or a remote class counts as it would in UTF-8. Python, the
loaders of configurations and templates and the engines read UTF-8 alone: a file of theirs in UTF-16 is told.

Text in UTF-8 with a mark is read by the inspectors of its kind.

Limit: `MAX_BYTES`; larger texts are unknown.
"""

from __future__ import annotations

import re
from typing import Final

from weighbridge.core.finding import Report, Severity
from weighbridge.formats.bounded import read_whole
from weighbridge.formats.held import Held
from weighbridge.inspectors.notes import Notes
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

NAME: Final = "wide-texts"
MAX_BYTES: Final = 64 * 1024 * 1024
_LOADED: Final = re.compile(
    r"(?i)(?:^|/)(?:[^/]*\.(?:jinja2?|j2|py|ipynb|toml|bpe|vocab|tiktoken)|(?:merges|vocab)\.txt"
    r"|(?:[^/]*config[^/]*|tokenizer|vocab|added_tokens|special_tokens_map|[^/]*\.index|modules|preprocessor[^/]*)\.json)\Z"
)
"""What Python, transformers and the engines open as UTF-8."""


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str) -> Rule:
    return Rule(f"text-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "wrong-encoding",
        "Text that its loader does not read",
        Severity.MEDIUM,
        "The loader reads UTF-8 and fails, or falls back to something else; other programs read what is written there.",
        "Have it saved as UTF-8 without a byte order mark.",
    ),
    _rule(
        "broken-encoding",
        "Text that breaks its encoding",
        Severity.MEDIUM,
        "It begins as UTF-16 and holds what is none, so that programs differ in what they read.",
        "Have it saved again, as UTF-8.",
    ),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}


class WideTexts:
    """The inspector `wide-texts`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage for what decodes, beside what is said of the decoded text; None for other files.

        Raises:
            LimitExceeded: the text is longer than is read.
            Truncated: the reader returned less than the artifact's size promises.
        """
        notes = Notes(subject, _BY_ID)
        if subject.kind.name != "utf-16-text" or subject.suffix in (".xml", ".pmml"):
            # XML says its encoding itself, and its inspector reads it.
            return None
        if _LOADED.search(subject.path):
            notes.say("text-wrong-encoding", "the text is UTF-16; its loader reads UTF-8")
        covered = self._decoded(subject, notes)
        return notes.report(NAME, covered)

    def _decoded(self, subject: Subject, notes: Notes) -> int:
        data = read_whole(subject, MAX_BYTES)
        order = "utf-16-le" if data.startswith(b"\xff\xfe") else "utf-16-be"
        try:
            text = data[2:].decode(order)
        except UnicodeDecodeError as error:
            notes.say("text-broken-encoding", "what follows is no UTF-16", location=f"offset {error.start + 2}")
            return 0
        plain = text.encode("utf-8")
        subject.descend(Held(subject.path, plain, subject.reader), unpacked_bytes=len(plain))
        return subject.size_bytes
