"""What would this chat template do to the process that renders it, and to the conversation?

A chat template is a program in Jinja that turns messages into the model's prompt, for every conversation. It is parsed
by Jinja's own parser and never rendered. Its code is held against what chat templates use (all else is named), its words
against what templates say when somebody else speaks through them. Covers files that are templates by name, and the
members that other inspectors hand over from tokenizer files and GGUF metadata.
"""

from __future__ import annotations

import re
from typing import Final

from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.finding import Coverage, Finding, Report, Severity, Verdict
from weighbridge.formats.kinds import is_text
from weighbridge.formats.media_texts import svg_acts
from weighbridge.formats.templates import MAX_TEMPLATE_BYTES, parse_template
from weighbridge.inspectors.code.template_code import CodeJudge
from weighbridge.inspectors.code.template_folding import MAX_MADE
from weighbridge.inspectors.code.template_rules import BY_ID, NAME, RULES, UNJUDGED
from weighbridge.inspectors.code.template_words import WordsJudge
from weighbridge.inspectors.steering_phrases import broken, invisible
from weighbridge.inspectors.subject import Subject

__all__ = ("NAME", "RULES", "ChatTemplates")

KIND: Final = "jinja"
MAX_FINDINGS: Final = 60
_RAW_ESCAPE = re.compile(
    r"__\s*(?:class|globals|init|subclasses|builtins|import|mro|base|bases|getattribute|self)\s*__"
)
_CONVERSATION = re.compile(
    r"messages?\b|conversation|add_generation_prompt|bos_token|eos_token|<\|im_|assistant|system_prompt"
)
_MARKUP = re.compile(
    r"<(?:!doctype html|html|head|body|div|span|table|tr|td|th|ul|ol|li|p|h[1-6]|img|br|a|details|figure|style|svg|section)[\s>/]",
    re.IGNORECASE,
)
_SOURCE = re.compile(
    r"(?:cmakelists\.txt|makefile|dockerfile|[^/]{1,100}\.(?:py|pyx|c|h|cc|hh|cpp|hpp|cu|cuh|cmake|rs|go|java|js|ts))\.j(?:inja2?|2)"
)
_RAW_LOADING = re.compile(r"\{%[-+]?\s*(?:include|import|extends|from)\b")


class ChatTemplates:
    """The inspector `chat-templates`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean when every construct is one of chat templates and every word is unremarkable; None for other kinds.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        if subject.kind.name != KIND:
            return None
        notes = _Notes(subject.path)
        if subject.size_bytes > MAX_TEMPLATE_BYTES:
            notes.add("limit", f"the template has {subject.size_bytes} bytes", 0)
            return self._report(subject, notes, 0)
        data = subject.read_exactly(0, subject.size_bytes)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            notes.add("not-understood", f"byte {error.start} is no UTF-8", 0)
            return self._report(subject, notes, 0)
        top = subject.depth == 0
        page, source = top and is_page(subject.path, text), top and is_source(subject.path, text)
        judge_text(text, notes, page=page, source=source)
        if not is_text(data, whole=True):
            notes.add("not-understood", "the file is not text to its end", 0)
            return self._report(subject, notes, 0)
        return self._report(subject, notes, subject.size_bytes)

    def _report(self, subject: Subject, notes: _Notes, covered: int) -> Report:
        findings = tuple(notes.findings)
        if any(finding.severity >= Severity.HIGH for finding in findings):
            verdict = Verdict.BAD
        elif any(finding.rule in UNJUDGED for finding in findings) or covered < subject.size_bytes:
            verdict = Verdict.UNKNOWN
        else:
            verdict = Verdict.CLEAN
        return Report(NAME, subject.path, verdict, Coverage(covered, subject.size_bytes), findings, KIND)


class _Notes:
    """The findings of one template, each said once a line."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: set[tuple[str, int]] = set()
        self.findings: list[Finding] = []

    def add(self, rule: str, message: str, line: int) -> None:
        """Takes a rule without its prefix."""
        if (rule, line) in self._seen or (len(self.findings) >= MAX_FINDINGS and (rule, -1) in self._seen):
            return
        self._seen |= {(rule, line), (rule, -1)}
        location = f"line {line}" if line else ""
        self.findings.append(BY_ID[f"template-{rule}"].finding(self._path, message, location=location))

    def of_source(self, rule: str, message: str, line: int) -> None:
        """As `add`, for the template of a program's file."""
        if rule == "url":
            rule, message = "not-understood", f"{message}, in what makes a file of a program"
        self.add(rule, message, line)


def is_page(path: str, text: str) -> bool:
    """Whether a template lays out a page: it is no chat template by name, names nothing of a conversation, has markup."""
    return not _is_chat(path) and not _CONVERSATION.search(text) and _MARKUP.search(text) is not None


def is_source(path: str, text: str) -> bool:
    """Whether a template makes a file of a program (`CMakeLists.txt.jinja`): by its name, and no conversation in it."""
    base = path.rpartition("/")[2].lower()
    return _SOURCE.fullmatch(base) is not None and not _is_chat(path) and not _CONVERSATION.search(text)


def _is_chat(path: str) -> bool:
    base = path.rpartition("/")[2].lower()
    return "chat" in base or "additional_chat_templates/" in path or "tokenizer" in base or "prompt" in base


def judge_text(text: str, notes: _Notes, *, page: bool = False, source: bool = False) -> None:
    """Everything there is to say of a template's text. What a `page` says is not said to a model.

    An address in a program's `source` is what that program is to fetch, and programs are not judged here.
    """
    hidden = invisible(text)
    if hidden:
        line = text.count("\n", 0, text.find(hidden)) + 1
        notes.add("invisible-text", f"the character {hidden[:1]!a}", line)
    try:
        tree = parse_template(text)
    except (Malformed, LimitExceeded) as error:
        notes.add("limit" if isinstance(error, LimitExceeded) else "not-understood", error.message, 0)
        _judge_raw(text, notes)
        return
    code = CodeJudge(tree, notes.add, page=page)
    code.judge()
    if code.folding.made > MAX_MADE:
        notes.add("limit", "the template puts together more text than is judged", 0)
    if not page:
        WordsJudge(tree, notes.of_source if source else notes.add).judge()
    for act in svg_acts(text) if page else ():
        if act.rule != "svg-foreign-object":
            notes.add("active-markup", act.message.replace("picture", "page"), text.count("\n", 0, act.offset) + 1)


def _judge_raw(text: str, notes: _Notes) -> None:
    """What can be said of a text that is no template to Jinja, and may be one to another engine."""
    found = _RAW_ESCAPE.search(text)
    if found:
        notes.add("sandbox-escape", f"the text {found.group()[:80]!a}", text.count("\n", 0, found.start()) + 1)
    if _RAW_LOADING.search(text):
        notes.add("loads-template", "another template is read", 0)
    for rule, part in broken(text):
        notes.add(rule, f"the template says {part[:80]!a}", 0)
