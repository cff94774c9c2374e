"""What can this configuration make a loader fetch, import or run, and which chat templates does it carry?

Every JSON file is read whole and walked key by key, at any depth: code by reference (`auto_map` and its kin), kernels from
the Hub, trust switched on by the file itself, callables that configurations instantiate, files outside of the repository.
A key that no loader acts on, with a plain value, is data. Chat templates are handed on as members.

Lines of JSON (`.jsonl`, `.ndjson`) are data sets: each line must be JSON, nothing reads them as a configuration.
The vocabulary of `tokenizer.json` is judged with the tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from weighbridge.core.errors import LimitExceeded
from weighbridge.core.finding import Report
from weighbridge.formats.bounded import read_whole
from weighbridge.formats.held import Held
from weighbridge.formats.json_text import MAX_TEXT_BYTES, MAX_VALUES, JsonProblem, read_json, read_lines
from weighbridge.inspectors.subject import Subject, report_of
from weighbridge.inspectors.template_copies import TEMPLATE_FACT, template_digest
from weighbridge.inspectors.texts.config_findings import about_text, base_name, findings_of, not_understood
from weighbridge.inspectors.texts.config_rules import NAME, RULES
from weighbridge.inspectors.texts.config_walk import Template, judge, templates
from weighbridge.inspectors.texts.plain_json import FROM_BYTES, says_nothing

__all__ = ["NAME", "RULES", "Configurations"]

MAX_TEMPLATES: Final = 50
MAX_NAME: Final = 200
"""Characters of a file's name by which records are known."""

MAX_CONFIGURED: Final = 400_000
"""Values of a text in which something is judged; vocabularies and records, of which nothing is to be said, may hold more."""

_CONFIGURATION = re.compile(r"(?:.*[_.-])?config(?:uration|s)?\.json", re.IGNORECASE)
_RECORDS = re.compile(
    r"(?:\w*results?[\w.-]*|trainer_state|dataset_infos?|\w*metrics\w*|\w*eval\w*|\w*log|vocab|\w*args|\w*history"
    r"|wandb\w*|\w*summary)\.json|.*\.ipynb\.json",
    re.IGNORECASE,
)
"""Names of records that tools write and no loader reads."""
_READ_BY_LOADERS: Final = frozenset(
    ("tokenizer.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "modules.json", "model_index.json")
)


class Configurations:
    """The inspector `configurations`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage when nothing in the file can act; None for what is not JSON.

        Raises:
            LimitExceeded: the text is longer, or holds more, than is read.
            Truncated: the reader returned less than the artifact's size promises.
        """
        if subject.kind.name == "jinja":
            _template_file(subject)
            return None
        if subject.kind.name != "json" or base_name(subject.path) == "tokenizer.json":
            return None
        try:
            if subject.suffix in (".jsonl", ".ndjson"):
                for _ in read_lines(subject):
                    pass
                return report_of(NAME, subject, (), subject.size_bytes, kind="json")
            base = base_name(subject.path)
            named = _CONFIGURATION.fullmatch(base[-MAX_NAME:]) is not None
            strict = _RECORDS.fullmatch(base[-MAX_NAME:]) is None
            large = not named and FROM_BYTES <= subject.size_bytes <= MAX_TEXT_BYTES
            if large and says_nothing(subject, strict=strict, max_values=MAX_VALUES):
                return report_of(NAME, subject, (), subject.size_bytes, kind="json")
            text = read_json(subject, max_values=MAX_CONFIGURED if named or large else MAX_VALUES)
        except JsonProblem as problem:
            return not_understood(NAME, subject, problem)
        said = judge(text.value, strict=strict, name=base)
        if not named and base not in _READ_BY_LOADERS:
            # Readers that do not pass over the mark refuse the text; none reads another.
            text = replace(text, marked=False)
        findings = [*about_text(subject, text), *findings_of(subject, said)]
        hand_on_templates(subject, templates(text.value))
        return report_of(NAME, subject, findings, subject.size_bytes, kind="json")


def hand_on_templates(subject: Subject, found: Iterable[Template]) -> None:
    """Has each chat template inspected as a member, and says its digest to the repository.

    Raises:
        LimitExceeded: more templates than are inspected, or they are too large.
    """
    for number, template in enumerate(found):
        if number >= MAX_TEMPLATES:
            raise LimitExceeded(f"the file holds more than {MAX_TEMPLATES} chat templates")
        data = template.text.encode("utf-8", "surrogatepass")
        label = re.sub(r"[^\w.-]", "_", template.name)[:80]
        subject.fact(TEMPLATE_FACT, template_digest(data), location=template.location)
        name = f"chat_template-{label}.jinja" if label else "chat_template.jinja"
        subject.descend(Held(name, data), unpacked_bytes=len(data))


def _template_file(subject: Subject) -> None:
    """A template that is a file of the repository: its digest only; who judges templates judges the text."""
    named = re.fullmatch(r"(?:.*/)?(?:chat_template|additional_chat_templates/[^/]+)\.jinja2?", subject.path)
    if subject.depth == 0 and named:
        digest = template_digest(read_whole(subject, MAX_TEXT_BYTES))
        label = "" if "additional_chat_templates/" not in subject.path else base_name(subject.path).partition(".")[0]
        subject.fact(TEMPLATE_FACT, digest, location=f"chat_template.{label}" if label else "chat_template")
