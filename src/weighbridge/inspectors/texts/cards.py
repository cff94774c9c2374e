"""Does this model card, or text beside the model, lead its reader to run something, or show other text than it holds?

People copy from model cards. Judged is what a card can do to them: installation by a pipe into a shell, downloads of
programs, HTML that runs in a browser, addresses that carry their content, characters that hide or reorder text, and the
instruction to trust remote code. Code blocks, badges, images, links to the Hub and to papers are what cards are made of.

Says as facts: the licence (SPDX identifier where the text or the front matter names a known one) and the base models.
Covers Markdown, licence and other plain text. The front matter is read line by line; as YAML it is judged elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.finding import Coverage, Finding, Report, Severity
from weighbridge.formats.bounded import read_whole
from weighbridge.formats.held import Held
from weighbridge.formats.kinds import is_legacy_text
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.steering_phrases import broken
from weighbridge.inspectors.subject import Subject, report_of

NAME: Final = "model-cards"
MAX_CARD_BYTES: Final = 16 * 1024 * 1024
MAX_FOUND: Final = 20
"""Findings of one rule in one text."""
MAX_FIELDS: Final = 20
"""Fields of a front matter that are read."""

_ASK = "Do not follow the instruction. Ask the publisher why a model needs it."


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str = _ASK) -> Rule:
    return Rule(f"card-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "pipe-to-shell",
        "Tells the reader to run what a server sends",
        Severity.HIGH,
        "What is downloaded goes into a shell unread; fake installers of models spread in this way.",
    ),
    _rule(
        "known-installer",
        "Tells the reader to install a tool by its own script",
        Severity.LOW,
        "A well-known tool is installed by piping its script into a shell; the model does not come with it.",
        "Install such tools from where software comes from.",
    ),
    _rule(
        "obfuscated-command",
        "Tells the reader to run an encoded command",
        Severity.HIGH,
        "A command is decoded and run, or fetched by a hidden shell; nobody who means well hides a command.",
    ),
    _rule(
        "program-download",
        "Links to a program or a packed archive elsewhere",
        Severity.MEDIUM,
        "Models need no installer; password-locked archives and programs beside model cards have carried malware.",
    ),
    _rule(
        "trust-remote-code",
        "Tells the reader to trust remote code",
        Severity.LOW,
        "The example runs Python code of the repository.",
        "Have the code reviewed and pin the revision.",
    ),
    _rule(
        "script",
        "HTML that runs",
        Severity.MEDIUM,
        "A script, frame or event handler runs where the card is shown without a filter.",
        "Show cards as text, or through a filter.",
    ),
    _rule(
        "data-address",
        "Address that carries a page or a program",
        Severity.MEDIUM,
        "A data: or javascript: address holds what it shows; a filter of links does not see it.",
        "Do not follow the link.",
    ),
    _rule(
        "assistant-steering",
        "Instructions to language models against their users",
        Severity.HIGH,
        "A file that coding assistants obey, or a part of the card that no person sees, tells them to conceal, to disregard or "
        "to send something.",
        "Do not open the repository with a coding assistant, and do not feed the card to a model.",
    ),
    _rule(
        "hidden-text",
        "Characters that hide or reorder text",
        Severity.MEDIUM,
        "A person reads another text than a program, or a language model that is given the card.",
        "Read the text with such characters made visible.",
    ),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}

_FETCHES = r"(?:curl|wget|iwr|irm|invoke-webrequest|invoke-restmethod)"
_PIPED = re.compile(
    rf"(?i)\b{_FETCHES}\b[^\n|`]{{0,400}}\|\s*(?:sudo\s+(?:-\w+\s+)*)?(?:env\s+)?(?:/(?:usr/)?bin/)?"
    r"(?:(?:ba|z|da|k|fi|a)?sh|python[\d.]*|perl|ruby|node|php|iex|invoke-expression|powershell|cmd)\b"
    rf"|\b(?:ba|z|da)?sh\s+(?:-\w+\s+)*(?:<\(\s*|-c\s+[\"']?\$\(\s*|[\"']?`){_FETCHES}\b"
    rf"|\b(?:eval|source|iex|invoke-expression)\s*[\"'(]*\s*[$<`]?\(?\s*{_FETCHES}\b"
    rf"|\biex\s*\(?\s*\(?\s*new-object\s+(?:system\.)?net\.webclient"
)
_NOWHERE = re.compile(rf"(?i)\A{_FETCHES}\s+(?:-\w+\s+){{0,5}}(?:\.\.\.|\u2026)\s*\\?\|")
"""A command with an ellipsis for its address is spoken of; nobody can run it."""
_KNOWN_INSTALLERS = re.compile(
    r"(?i)https://(?:ollama\.com/install\.sh|ollama\.ai/install\.sh|sh\.rustup\.rs|astral\.sh/uv/[\w./-]*install\.(?:sh|ps1)"
    r"|get\.docker\.com|raw\.githubusercontent\.com/(?:Homebrew|nvm-sh|LlamaEdge|WasmEdge|second-state|ggml-org"
    r"|git-lfs|huggingface|pyenv)/[\w./-]+|packagecloud\.io/install/repositories/github/git-lfs/[\w./-]+"
    r"|hf\.co/cli/install\.sh|install\.python-poetry\.org|brew\.sh/[\w./-]+|pixi\.sh/install\.sh|get\.pnpm\.io/install\.sh"
    r"|bun\.sh/install|lmstudio\.ai/install\.sh|nvidia\.github\.io/libnvidia-container/[\w./-]+)"
)
_OBFUSCATED = re.compile(
    r"(?i)\bbase64\s+(?:-\w+\s+)*(?:-d|-D|--decode)\b[^\n]{0,200}\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b"
    r"|\bpowershell(?:\.exe)?\s[^\n]{0,200}-(?:e|en|enc|encodedcommand)\s+[\w+/=]{16,}"
    r"|\bexec\s*\(\s*(?:__import__|base64|zlib|codecs|requests|urllib)[^\n]{0,200}\("
    r"|\bmshta\s+https?:|\bcertutil\b[^\n]{0,80}-urlcache|\bbitsadmin\b[^\n]{0,80}/transfer"
    r"|\bregsvr32\b[^\n]{0,80}https?:|/dev/tcp/[\w.]+/\d+|\bnc\s+-\w*e\b"
)
_PROGRAM_ENDING = re.compile(
    r"(?i)\.(?:exe|msi|dmg|pkg|scr|bat|cmd|ps1|vbs|jar|apk|appx|hta|lnk|iso|rar|7z)(?=$|[\s\"'<>()\]?#`,])"
)
_ADDRESS = re.compile(r"(?i)https?://[^\s\"'<>()\]]{1,400}\Z")
# What such commands cannot do without; only around these words are they looked for.
_PIPED_HINT = re.compile(r"(?i)\b(?:curl|wget|iwr|irm|invoke-webrequest|invoke-restmethod|webclient)\b")
_OBFUSCATED_HINT = re.compile(r"(?i)\b(?:base64|powershell|exec|mshta|certutil|bitsadmin|regsvr32|nc)\b|/dev/tcp")
_BEFORE, _AFTER = 60, 460
MAX_HINTS: Final = 5_000
"""Places of one text that are looked at closely; a text with more of them is not judged to its end."""
_KNOWN_HOST = re.compile(
    r"(?i)https?://(?:[\w-]+\.)*(?:huggingface\.co|hf\.co|github\.com|githubusercontent\.com|modelscope\.cn|nvidia\.com"
    r"|microsoft\.com|python\.org|pytorch\.org|zenodo\.org|localhost|127\.0\.0\.1)(?::\d+)?/"
)
_TRUST = re.compile(r"(?i)\btrust[_-]remote[_-]code[\"']?\s*(?:=|:)\s*true|--trust[_-]remote[_-]code\b(?!\s+false)")
_SCRIPT = re.compile(
    r"(?i)<\s*script\b|<\s*(?:object|embed|applet|meta\s+http-equiv\s*=\s*[\"']?refresh)\b"
    r"|<[a-z][^<>]{0,400}\son(?:error|load|click|mouseover|focus|toggle|begin|pointer\w+)\s*="
    r"|<\s*iframe\b(?![^>]{0,400}(?:huggingface\.co|\.hf\.space|youtube(?:-nocookie)?\.com|player\.bilibili\.com|vimeo\.com))"
)
_FENCE = re.compile(r"(`{3,40}|~{3,40})[ \t]{0,4}[\w+#.-]{0,40}")
_KEEPS_HTML_OPEN = re.compile(r"(?i)<(?:!|\?|pre\b|style\b|textarea\b)")
"""HTML that an empty line does not end (CommonMark 4.6, conditions 1 to 5, without the script itself)."""
_DATA = re.compile(
    r"(?i)\bdata:(?:text/html|application/(?!json|pdf|font)[\w.+-]+|text/javascript|image/svg\+xml)[;,]"
    r"|(?:\]\(|href\s*=\s*[\"']?)\s*(?:javascript|vbscript)\s*:"
)
_HIDDEN = re.compile("[\u202a-\u202e\u2066-\u2069\U000e0020-\U000e007f]|[\u200b\u2060-\u2064]{4,}")
_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007e]{1,8}\U000e007f")
_FOR_AGENTS = re.compile(
    r"(?i)(?:.*/)?(?:agents|claude|gemini|skill|copilot-instructions|llms|\.?(?:cursor|windsurf|cline)rules|conventions)"
    r"(?:\.local)?(?:\.md|\.txt)?|(?:.*/)?\.(?:cursor|claude|windsurf|continue|github)/.{1,200}\.(?:md|mdc)"
)
_NOT_SHOWN = re.compile(
    r"<!--(?:(?!-->)[\s\S]){1,4000}|(?i:<\w{1,10}\s[^<>]{0,200}(?:display\s*:\s*none|font-size\s*:\s*0|\bhidden\b)[^<>]{0,200}>[^<]{1,2000})"
)
MAX_STEERING: Final = 64 * 1024
_CHECKS: Final = (
    ("trust-remote-code", _TRUST),
    ("script", _SCRIPT),
    ("data-address", _DATA),
    ("hidden-text", _HIDDEN),
)
_ONCE: Final = frozenset(("trust-remote-code", "hidden-text"))

_LICENCES: Final = (
    ("Apache-2.0", r"Apache License\s+Version 2\.0"),
    ("AGPL-3.0", r"GNU AFFERO GENERAL PUBLIC LICENSE\s+Version 3"),
    ("LGPL-3.0", r"GNU LESSER GENERAL PUBLIC LICENSE\s+Version 3"),
    ("GPL-3.0", r"GNU GENERAL PUBLIC LICENSE\s+Version 3"),
    ("GPL-2.0", r"GNU GENERAL PUBLIC LICENSE\s+Version 2"),
    ("MPL-2.0", r"Mozilla Public License Version 2\.0"),
    ("BSD-3-Clause", r"Redistribution and use in source and binary forms[\s\S]{0,1500}Neither the name"),
    ("BSD-2-Clause", r"Redistribution and use in source and binary forms"),
    ("MIT", r"Permission is hereby granted, free of charge, to any person obtaining a copy"),
    ("CC-BY-NC-SA-4.0", r"Attribution-NonCommercial-ShareAlike 4\.0"),
    ("CC-BY-NC-4.0", r"Attribution-NonCommercial 4\.0"),
    ("CC-BY-SA-4.0", r"Attribution-ShareAlike 4\.0"),
    ("CC-BY-4.0", r"Attribution 4\.0 International"),
    ("CC0-1.0", r"CC0 1\.0 Universal"),
    ("Unlicense", r"This is free and unencumbered software released into the public domain"),
    ("LicenseRef-llama-3", r"(?:META )?LLAMA 3(?:\.\d)? COMMUNITY LICENSE"),
    ("LicenseRef-llama-2", r"LLAMA 2 COMMUNITY LICENSE"),
    ("LicenseRef-gemma", r"Gemma Terms of Use"),
    ("LicenseRef-openrail-m", r"Open RAIL-?M"),
)
_LICENCE_TEXTS: Final = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _LICENCES)
_LICENCE_NAMES: Final = {
    name.lower(): name for name, _ in _LICENCES if not name.startswith("LicenseRef-")
} | {"bsd-3-clause": "BSD-3-Clause", "openrail": "LicenseRef-openrail-m", "gemma": "LicenseRef-gemma"}  # fmt: skip
_LICENCE_FILE = re.compile(r"(?i)(?:.*/)?(?:licen[cs]e|copying)(?:[-_.][\w.-]+)?")
_FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
MAX_FRONT: Final = 200_000
_OBJECTS = re.compile(r"!!?\w*python|tag:yaml\.org|(?m:^%TAG)|!(?:new|apply|name|module):")
"""Tags that make an unsafe loader of YAML construct objects."""
_FIELD = re.compile(r"(?m)^(license|licence|base_model)[ \t]*:[ \t]*(.*)$")
_ITEM = re.compile(r"[ \t]*-[ \t]+(\S+)[ \t]*")


class ModelCards:
    """The inspector `model-cards`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """What a text tells its reader to do; None for what is no prose. Bytes that are no UTF-8 are left out.

        Raises:
            LimitExceeded: the text is longer than is read.
            Truncated: the reader returned less than the artifact's size promises.
        """
        if subject.kind.name not in ("markdown", "text"):
            return None
        data = read_whole(subject, MAX_CARD_BYTES)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            if subject.kind.name == "text" and is_legacy_text(data):
                return report_of(NAME, subject, _judge(subject.path, data.decode("latin-1")), subject.size_bytes)
            # The census has counted what is text; the rest is nobody's.
            return Report(NAME, subject.path, report_of(NAME, subject, (), 0).verdict, Coverage(error.start, len(data)))
        _say_facts(subject, text)
        front = _FRONT.match(text[:MAX_FRONT])
        if front is not None and _OBJECTS.search(front[1]):
            # Readers of cards differ in the loader they use; who judges YAML judges this.
            said = front[1].encode()
            subject.descend(Held("front-matter.yaml", said), unpacked_bytes=len(said))
        hints = max(sum(1 for _ in hint.finditer(text)) for hint in (_PIPED_HINT, _OBFUSCATED_HINT, _PROGRAM_ENDING))
        judged = subject.size_bytes if hints <= MAX_HINTS else 0
        return report_of(NAME, subject, _judge(subject.path, text), judged)


def _judge(path: str, text: str) -> list[Finding]:
    found = []
    for match in _around(text, _PIPED_HINT, _PIPED):
        if _NOWHERE.search(match.said):
            continue
        known = _KNOWN_INSTALLERS.search(match.said)
        found.append(_finding("known-installer" if known else "pipe-to-shell", path, text, match))
    found += [_finding("obfuscated-command", path, text, one) for one in _around(text, _OBFUSCATED_HINT, _OBFUSCATED)]
    found += [_finding("assistant-steering", path, text, one) for one in _steering(path, text)]
    for rule, pattern in _CHECKS:
        if rule == "script":
            found += [_finding(rule, path, text, one) for one in islice(_scripts(text), MAX_FOUND)]
            continue
        matches = pattern.finditer(_FLAG.sub("", text) if rule == "hidden-text" and not text.isascii() else text)
        found += [
            _finding(rule, path, text, _Place(one.start(), one.group()))
            for one in islice(matches, 1 if rule in _ONCE else MAX_FOUND)
        ]
    found += [_finding("program-download", path, text, one) for one in _programs(text)]
    return found


@dataclass(frozen=True, slots=True)
class _Place:
    start: int
    said: str


def _scripts(text: str) -> Iterator[_Place]:
    """HTML that runs, outside of what is shown as code.

    A block of code counts as one only where nothing before it could make a reader of Markdown see HTML instead.
    """
    matches = _SCRIPT.finditer(text)
    first = next(matches, None)
    if first is None:
        return
    blocks = [] if _KEEPS_HTML_OPEN.search(text) else list(_code_blocks(text))
    nth = 0
    for match in chain((first,), matches):
        while nth < len(blocks) and blocks[nth][1] <= match.start():
            nth += 1
        if nth == len(blocks) or not (blocks[nth][0] <= match.start() and match.end() <= blocks[nth][1]):
            yield _Place(match.start(), match.group())


def _code_blocks(text: str) -> Iterator[tuple[int, int]]:
    """Fenced blocks that begin behind an empty line and are closed, from first to last byte of their lines.

    The first fence that readers of Markdown could take in two ways ends the search: what follows is not taken for code.
    """
    opened, fence, blank, place = -1, "", True, 0
    for line in text.split("\n"):
        said = line.removesuffix("\r").rstrip(" \t")
        marked = "```" in said or "~~~" in said
        if "\r" in said:
            return
        if opened >= 0:
            bare = said.lstrip(" \t")
            if len(bare) >= len(fence) and bare.strip(fence[0]) == "":
                if bare != said:
                    return
                yield opened, place
                opened = -1
        elif marked:
            found = _FENCE.fullmatch(said)
            if found is None or not blank:
                return
            opened, fence = place, found.group(1)
        blank = not said
        place += len(line) + 1


def _steering(path: str, text: str) -> list[_Place]:
    """What a file for coding assistants, or a part that is not shown, says against the user."""
    parts = [(0, text[:MAX_STEERING])] if _FOR_AGENTS.fullmatch(path) else []
    parts += [(one.start(), one.group()) for one in islice(_NOT_SHOWN.finditer(text), MAX_FOUND)]
    for start, part in parts:
        for rule, said in broken(part):
            if rule == "steering":
                return [_Place(start + max(0, part.find(said)), said)]
    return []


def _around(text: str, hint: re.Pattern[str], pattern: re.Pattern[str]) -> list[_Place]:
    """What the pattern finds near its hints, each once."""
    found: dict[int, _Place] = {}
    for near in islice(hint.finditer(text), MAX_HINTS):
        start = max(0, near.start() - _BEFORE)
        match = pattern.search(text[start : near.end() + _AFTER])
        if match:
            found.setdefault(start + match.start(), _Place(start + match.start(), match.group()))
            if len(found) >= MAX_FOUND:
                break
    return list(found.values())


def _programs(text: str) -> list[_Place]:
    found = []
    for ending in islice(_PROGRAM_ENDING.finditer(text), MAX_HINTS):
        start = max(0, ending.start() - 400)
        address = _ADDRESS.search(text[start : ending.end()], max(0, text.rfind("http", start, ending.start()) - start))
        if address and not _KNOWN_HOST.match(address.group()):
            found.append(_Place(start + address.start(), address.group()))
            if len(found) >= MAX_FOUND:
                break
    return found


def _finding(rule: str, path: str, text: str, place: _Place) -> Finding:
    shown = ascii(place.said)
    line = text.count("\n", 0, place.start) + 1
    message = f"the text says {shown if len(shown) <= 100 else shown[:100] + '…'}"
    return _BY_ID[f"card-{rule}"].finding(path, message, location=f"line {line}")


def _say_facts(subject: Subject, text: str) -> None:
    if _LICENCE_FILE.fullmatch(subject.path):
        start = text[:20_000]
        name = next((name for name, pattern in _LICENCE_TEXTS if pattern.search(start)), "")
        if name:
            subject.fact("licence", name, location="text")
    for key, value in front_matter(text):
        if key == "base_model":
            subject.fact("base-model", value, location="front matter")
        else:
            subject.fact("licence", _LICENCE_NAMES.get(value.lower(), value), location="front matter")


def front_matter(text: str) -> Iterator[tuple[str, str]]:
    """The licence and base models that a card's front matter names, as (`licence` or `base_model`, value)."""
    front = _FRONT.match(text[:MAX_FRONT])
    if front is None:
        return
    body = front.group(1)
    for field in islice(_FIELD.finditer(body), MAX_FIELDS):
        key = "base_model" if field.group(1) == "base_model" else "licence"
        value = field.group(2).strip()
        values = re.split(r"[,\s]+", value.strip("[]")) if value else _items(body[field.end() : field.end() + 10_000])
        for one in values:
            name = one.strip("\"'")
            if name and len(name) <= 200:
                yield key, name


def _items(rest: str) -> Iterator[str]:
    for line in rest.lstrip("\r\n").splitlines():
        item = _ITEM.fullmatch(line)
        if item is None:
            return
        yield item.group(1)
