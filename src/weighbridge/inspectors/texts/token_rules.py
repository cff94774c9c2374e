"""The rules of the inspector `tokenizers`: what a tokenizer can do to a text on its way in and out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.core.finding import Severity
from weighbridge.inspectors.rule import Rule

NAME: Final = "tokenizers"

_COMPARE = "Compare the tokenizer with the one of the base model, and use that one."


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str = _COMPARE) -> Rule:
    return Rule(f"token-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "output-rewriting",
        "Decoder replaces words of the answer",
        Severity.HIGH,
        "What the model said is not what is shown: addresses, names or commands in the answer are exchanged.",
        "Do not use the tokenizer.",
    ),
    _rule(
        "input-rewriting",
        "Normaliser replaces words of the prompt",
        Severity.MEDIUM,
        "The model reads another text than was written; a trigger can be put in, a refusal taken out.",
    ),
    _rule(
        "address",
        "Token or replacement that is an address",
        Severity.HIGH,
        "Tokenizers hold pieces of addresses, never a whole one: it would be shown or read as a unit.",
    ),
    _rule(
        "ordinary-special",
        "Control token that is an ordinary word",
        Severity.MEDIUM,
        "Whoever writes the word in a prompt writes a control token, and the word vanishes from answers.",
    ),
    _rule(
        "hidden-characters",
        "Control token with characters that show nothing",
        Severity.MEDIUM,
        "It looks like another token, or like nothing at all.",
    ),
    _rule(
        "mixed-scripts",
        "Control token of look-alike letters",
        Severity.MEDIUM,
        "Latin letters mixed with Cyrillic or Greek ones look like another token and are not.",
    ),
    _rule(
        "duplicate",
        "Two tokens are one",
        Severity.MEDIUM,
        "Two texts share a number, or a text has two: what is written and what is read differ (remapped vocabulary).",
    ),
    _rule(
        "injected-text",
        "Words added to every prompt",
        Severity.MEDIUM,
        "The post-processor puts ordinary words, not control tokens, around each text.",
    ),
    _rule(
        "regex",
        "Regular expression that can run for ever",
        Severity.MEDIUM,
        "A short prompt can keep the tokenizer busy for hours.",
    ),
    _rule(
        "malformed",
        "Token that is not described as one",
        Severity.MEDIUM,
        "Readers reject it or guess what is meant.",
    ),
    _rule(
        "component-not-understood",
        "Unknown part of a tokenizer",
        Severity.MEDIUM,
        "Nobody can say what it does to a text.",
        "Use a version of weighbridge that knows it, or the tokenizer of the base model.",
    ),
)
BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}
