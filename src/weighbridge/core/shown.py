"""Makes a stranger's text fit to be shown or kept: no credentials, no control characters, cut."""

from __future__ import annotations

import re
from typing import Final

MAX_TEXT: Final = 200
MORE: Final = "…"
_SECRET: Final = re.compile(
    r"(?i)hf_[a-z0-9]{8,}|\b(?:bearer|basic)\s+\S+|(?:AKIA|ASIA)[A-Z0-9]{12,}|eyJ[\w-]{8,}\.[\w.-]+"
    r"|(?<=[?&])(?:token|access_token|signature|x-amz-[a-z-]+|policy|key-pair-id)=[^&\s]*"
)


def plain(text: str, limit: int = MAX_TEXT) -> str:
    """Text as it may be shown: no credentials, no control characters, cut."""
    cleaned = _SECRET.sub("<redacted>", text[: limit * 4])
    cleaned = "".join(one if one.isprintable() else (" " if one in "\n\t" else ascii(one)[1:-1]) for one in cleaned)
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + MORE
