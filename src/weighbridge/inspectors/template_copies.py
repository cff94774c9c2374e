"""One digest for all copies of a chat template, so that copies in different files can be compared.

Jinja reads every line end as a newline and drops one at the very end; a file ends with one where a text in JSON or GGUF
does not. Copies that differ in nothing else are the same template and have the same digest.
"""

from __future__ import annotations

import hashlib
from typing import Final

TEMPLATE_FACT: Final = "chat-template"
"""A fact whose value is `template_digest` of a template, and whose location names it (`chat_template`, or with a name)."""


def template_digest(template: bytes) -> str:
    """SHA-256 of the template as Jinja reads it, 64 hexadecimal digits."""
    unified = template.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return hashlib.sha256(unified.removesuffix(b"\n")).hexdigest()
