"""The rules of the inspector `pickles`: what each finding about a pickle stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.core.finding import Severity
from weighbridge.inspectors.rule import Rule

NAME: Final = "pickles"
_DO_NOT_LOAD = "Do not load the file. Find out who made it, and take the weights as safetensors."
_SAFETENSORS = "Take the same weights as safetensors, or leave this file out with --exclude."
_REFETCH = "Verify the revision; if the file is the same at its source, take the weights as safetensors."


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str) -> Rule:
    return Rule(f"pickle-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "dangerous-callable",
        "A known weapon is named",
        Severity.CRITICAL,
        "Loading the file imports, and mostly calls, something that runs code, starts processes, reaches other objects, "
        "opens connections or touches files. Weights need none of it.",
        _DO_NOT_LOAD,
    ),
    _rule(
        "unknown-callable",
        "A callable that nobody has judged",
        Severity.MEDIUM,
        "Loading the file imports a callable that is not known to only make data. Most are harmless classes of a "
        "library; a harmless name is also what a new attack looks like.",
        _SAFETENSORS,
    ),
    _rule(
        "odd-arguments",
        "An allowed callable, used as no honest writer uses it",
        Severity.MEDIUM,
        "The callable only makes data when it is given what its own library gives it.",
        _SAFETENSORS,
    ),
    _rule(
        "dynamic-name",
        "What is called is computed",
        Severity.HIGH,
        "The stream names or calls something that is no constant of it. Writers of pickles never do; hiding needs it.",
        _DO_NOT_LOAD,
    ),
    _rule(
        "build-on-global",
        "Attributes of a class or module are overwritten",
        Severity.HIGH,
        "A state is given, or items are put, to something imported instead of to something made from it. That changes "
        "the loading process for good.",
        _DO_NOT_LOAD,
    ),
    _rule(
        "extension-registry",
        "An object by its number in the extension registry",
        Severity.HIGH,
        "What the number stands for is known to the loading process alone, so the stream hides what it calls.",
        _DO_NOT_LOAD,
    ),
    _rule(
        "persistent-id",
        "An object that the loader is to find",
        Severity.MEDIUM,
        "The id is not one of torch's storages; what the loading program makes of it is unknown.",
        _SAFETENSORS,
    ),
    _rule(
        "broken-stream",
        "The stream breaks, or breaks its own rules",
        Severity.MEDIUM,
        "A loader acts as it reads: everything before the break has happened when it notices. What follows is unknown.",
        _REFETCH,
    ),
    _rule(
        "trailing-data",
        "Bytes after the end",
        Severity.MEDIUM,
        "No pickle claims them. Another reader may.",
        _REFETCH,
    ),
    _rule(
        "limit-exceeded",
        "More than is followed",
        Severity.MEDIUM,
        "The stream has more opcodes, values, names or bytes than any honest one, or would make a loader run out of "
        "memory.",
        _SAFETENSORS,
    ),
    _rule(
        "nested",
        "A pickle within a constant",
        Severity.MEDIUM,
        "A pickle carries another as bytes or text. Something is meant to load it, out of sight of those who look at "
        "the outer one.",
        _SAFETENSORS,
    ),
    _rule(
        "readers-disagree",
        "Two readings of the same stream differ",
        Severity.HIGH,
        "Two independent readers of the format do not see the same names, or the same end. An inspector that can be "
        "misled can be evaded.",
        _DO_NOT_LOAD,
    ),
    _rule(
        "module-name-odd",
        "A module name that is none",
        Severity.HIGH,
        "No package has such a name. It is meant to be read differently by people, inspectors and loaders.",
        _DO_NOT_LOAD,
    ),
)
BY_ID: Final[Mapping[str, Rule]] = {rule.id.removeprefix("pickle-"): rule for rule in RULES}
