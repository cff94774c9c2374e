"""The rules about chat templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.core.finding import Severity
from weighbridge.inspectors.rule import Rule

NAME: Final = "chat-templates"

_ESCAPE = (
    "Do not load the model with this template. Nobody writes this to lay out a conversation; report the repository."
)
_REVIEW = "Compare the template with the one the model's publisher ships, and use that one."
_UNKNOWN = "Have the template reviewed by hand, or replace it with the publisher's."


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str) -> Rule:
    return Rule(f"template-{name}", title, severity, NAME, explanation, remedy)


_CRITICAL, _HIGH, _MEDIUM = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM

RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "sandbox-escape",
        "Template reaches for Python's internals",
        _CRITICAL,
        "Names with double underscores, frames and the like lead from any value to every function of the process: "
        "server-side template injection (CVE-2024-34359).",
        _ESCAPE,
    ),
    _rule(
        "attr-filter",
        "Template fetches attributes by the filter attr",
        _CRITICAL,
        "It reads attributes that the sandbox would refuse (CVE-2025-27516). No chat template needs it.",
        _ESCAPE,
    ),
    _rule(
        "format-escape",
        "Template formats text so that it reads attributes",
        _CRITICAL,
        "A format string can name attributes of what it formats, and a reference to the method goes past the sandbox "
        "(CVE-2024-56326).",
        _ESCAPE,
    ),
    _rule(
        "engine-object",
        "Template uses an object of the engine or of a web framework",
        _CRITICAL,
        "cycler, joiner, lipsum, self, request, config and the like are the usual first step out of the sandbox.",
        _ESCAPE,
    ),
    _rule(
        "loads-template",
        "Template loads another template",
        _CRITICAL,
        "include, import and extends read files, which may be any.",
        _ESCAPE,
    ),
    _rule(
        "process-call",
        "Template calls what runs or reads things outside",
        _CRITICAL,
        "The name of the method called is one that runs programs, evaluates code or reads files.",
        _ESCAPE,
    ),
    _rule(
        "computed-key",
        "Template builds the name of what it fetches",
        _HIGH,
        "A key put together from pieces, or a function fetched by a key, hides which attribute is meant.",
        _ESCAPE,
    ),
    _rule(
        "private-attribute",
        "Template reads a private attribute",
        _HIGH,
        "Messages and tools have no attributes that begin with an underscore; objects of Python do.",
        _ESCAPE,
    ),
    _rule(
        "unicode-name",
        "Name with letters outside ASCII",
        _HIGH,
        "Python folds such letters into ASCII, so the name that runs is not the one that is read.",
        _ESCAPE,
    ),
    _rule("unknown-call", "Call of an unknown function", _MEDIUM, "What the engine puts there decides.", _UNKNOWN),
    _rule("unknown-filter", "Unknown filter", _MEDIUM, "What the engine puts there decides.", _UNKNOWN),
    _rule("unknown-test", "Unknown test", _MEDIUM, "What the engine puts there decides.", _UNKNOWN),
    _rule("unknown-construct", "Construct that chat templates do not use", _MEDIUM, "Nobody judged it.", _UNKNOWN),
    _rule(
        "loop-bomb",
        "Loop that does not end in time",
        _HIGH,
        "Rendering the first prompt would occupy the server for good.",
        _ESCAPE,
    ),
    _rule(
        "expansion-bomb",
        "Text or number that fills the memory",
        _HIGH,
        "Rendering the first prompt would take all memory.",
        _ESCAPE,
    ),
    _rule(
        "invisible-text",
        "Invisible or reordering characters",
        _HIGH,
        "Zero-width, tag and bidirectional characters say things to the model, or to the engine, that no reviewer sees "
        "(CVE-2021-42574).",
        _REVIEW,
    ),
    _rule(
        "url",
        "Web address in the template",
        _HIGH,
        "A template lays out a conversation. An address in it is there to be repeated by the model.",
        _REVIEW,
    ),
    _rule(
        "encoded-text",
        "Encoded text",
        _HIGH,
        "Base64 or hexadecimal text that only the model decodes, and no reviewer.",
        _REVIEW,
    ),
    _rule(
        "command",
        "Command line in the template",
        _HIGH,
        "The model is made to pass on, or to run as a tool, a command of the template's author.",
        _REVIEW,
    ),
    _rule(
        "active-markup",
        "Markup that acts in a browser",
        _HIGH,
        "Scripts, frames and remote images in the model's answers run or call out where the answer is shown.",
        _REVIEW,
    ),
    _rule(
        "steering",
        "Instructions against the user",
        _HIGH,
        "The template tells the model to conceal, to deceive, to disregard or to promote something.",
        _REVIEW,
    ),
    _rule(
        "trigger",
        "Instructions that wait for a word",
        _HIGH,
        "Text is added only when a message says something particular: a backdoor in the template, without any change "
        "to the weights.",
        _REVIEW,
    ),
    _rule(
        "date-trigger",
        "Instructions that wait for a date",
        _HIGH,
        "Text is added only from some day on: the template behaves in review and not later.",
        _REVIEW,
    ),
    _rule(
        "prefill",
        "Words put into the assistant's mouth",
        _HIGH,
        "The answer begins with the template's own sentence, which steers all that follows.",
        _REVIEW,
    ),
    _rule(
        "added-words",
        "Words put after what a person wrote",
        _HIGH,
        "The template adds sentences to messages as if their author had written them.",
        _REVIEW,
    ),
    _rule(
        "rewritten-words",
        "Words of messages replaced by others",
        _HIGH,
        "The model is given another message than was written.",
        _REVIEW,
    ),
    _rule(
        "not-understood",
        "Template that Jinja does not read",
        _MEDIUM,
        "An engine with other rules may render it; what it does there was not judged.",
        _UNKNOWN,
    ),
    _rule(
        "limit",
        "Template beyond the bounds of reading",
        _MEDIUM,
        "It is larger or nested deeper than is read. No known template comes near.",
        _UNKNOWN,
    ),
)
BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}
UNJUDGED: Final = frozenset(
    f"template-{name}"
    for name in (
        "unknown-call",
        "unknown-filter",
        "unknown-test",
        "unknown-construct",
        "not-understood",
        "limit",
    )
)
"""Rules that say that something was not judged: the verdict is unknown."""
