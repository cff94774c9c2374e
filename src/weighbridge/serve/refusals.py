"""Refuses in the Hub's own words, so that its clients print the reason.

- `X-Error-Code` decides which error a client raises, `X-Error-Message` what it prints.
- A revoked revision is answered as one that is not found (with status 410): for any other error the Hub's Python client
  falls back, without a word, to a copy that it downloaded before.
- Bytes that are not the approved ones are refused with 409, and not with a status of 500 and above: clients try those again and
  again, and no number of tries repairs a store.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from weighbridge.core.errors import (
    ConfigError,
    IntegrityError,
    NothingCollected,
    Revoked,
    UnsafePath,
    WeighbridgeError,
)

REPO_NOT_FOUND: Final = "RepoNotFound"
REVISION_NOT_FOUND: Final = "RevisionNotFound"
ENTRY_NOT_FOUND: Final = "EntryNotFound"
WARNED: Final = frozenset({REPO_NOT_FOUND, REVISION_NOT_FOUND})
"""Errors whose message newer command lines of the Hub replace by words of their own; a warning they print as it is."""
MAX_MESSAGE: Final = 600
Headers = list[tuple[bytes, bytes]]


class Refusal(Exception):
    """A refusal, raised or answered. `code` is the Hub's word for it, "" where it has none."""

    def __init__(
        self, status: int, message: str, code: str = "", *, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = tuple(headers)
        self.instead = ""
        """What there is instead, a sentence at the end of the message."""

    def answer(self) -> tuple[Headers, bytes]:
        """Headers and body."""
        message = f"{self.message} {self.instead}".rstrip()
        body = json.dumps({"error": message[:MAX_MESSAGE]}).encode("ascii")
        headers = [
            (b"content-type", b"application/json; charset=utf-8"),
            (b"content-length", str(len(body)).encode("ascii")),
            (b"cache-control", b"no-store"),
            (b"x-error-message", one_line(message)),
        ]
        if self.code:
            headers.append((b"x-error-code", self.code.encode("ascii")))
        if self.code in WARNED:
            headers.append((b"x-hf-warning", b"weighbridge; " + one_line(message)))
        return [*headers, *self.headers], body


def one_line(text: str) -> bytes:
    """Text as a header may hold it: printable ASCII, one line, bounded."""
    flat = " ".join(text.split())[:MAX_MESSAGE]
    return "".join(one if " " <= one <= "~" else "?" for one in flat).encode("ascii")


def refusal_of(error: WeighbridgeError, *, asking: str) -> Refusal:
    """How an error is answered; `asking` says how to ask for what is not here."""
    if isinstance(error, Revoked):
        return Refusal(410, f"{error.message}. {error.hint}", REVISION_NOT_FOUND)
    if isinstance(error, NothingCollected):
        return Refusal(404, f"{error.message}. {asking}", REVISION_NOT_FOUND)
    if isinstance(error, UnsafePath):
        return Refusal(400, error.message)
    if isinstance(error, IntegrityError):
        return Refusal(409, "the stored bytes are not those that were approved; nothing of them was sent")
    if isinstance(error, ConfigError):
        return Refusal(503, f"the gateway cannot tell what is approved: {error.message}")
    return Refusal(503, f"it cannot be proven now that this is approved: {type(error).__name__}")
