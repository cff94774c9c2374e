"""Values that only the deployment knows: told apart from those that are written, and said to be unknown where a rule needs them.

A reference that must be given (`${Key}`, `${var.key}`) is something; what a condition or an expression chooses may be nothing.
"""

from __future__ import annotations

import re
from typing import Final

from weighbridge.deploy.lint import rules
from weighbridge.deploy.lint.parts import Findings, Json, Place, is_open, shown, text_of

_PLAIN: Final = re.compile(r"\$\{\s*(?:Ref |GetAtt |ImportValue )?[\w.:\[\]\"*-]+\s*\}")
_ON: Final = ("true", "yes", "on", "1")


def switch_of(value: Json) -> bool | None:
    """Whether a switch is on; None where that is known only when it is deployed. One that is not there is off."""
    text = text_of(value)
    if text is not None and is_open(text):
        return None
    return text is not None and text.strip().lower() in _ON


def is_given(value: Json) -> bool | None:
    """Whether there is something under a name; None where only the deployment decides that there is."""
    if not isinstance(value, str) or not is_open(value):
        return value not in (None, "", [], {})
    return True if _PLAIN.fullmatch(value) or not value.strip().startswith("${") else None


def open_text(value: Json) -> str:
    """The value's text where it is known only when it is deployed, else nothing."""
    text = text_of(value) or ""
    return text if is_open(text) else ""


def say_unknown(findings: Findings, place: Place, what: str, value: Json) -> None:
    """Tells that something is not known from these files, and so not judged."""
    text = text_of(value)
    said = f"is {shown(text)}" if text is not None else "is decided elsewhere"
    findings.say(rules.NOT_READ, place, f"{what} {said}: that cannot be told from these files")
