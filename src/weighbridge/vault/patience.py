"""Tries again what may pass: bounded, with growing waits and jitter, and only as long as nothing moves.

Progress resets the count: a stream of 50 GB may be cut a hundred times, as long as each try brings bytes. A server's
Retry-After is obeyed up to the limit; one that asks for more is told to the user instead of being slept through.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from weighbridge.core.config import TransferSettings
from weighbridge.core.errors import Interrupted, RateLimited, WeighbridgeError

Result = TypeVar("Result")

PROGRESS_BYTES = 1024 * 1024
"""What must move before earlier failures are forgotten: a peer that hands out single bytes earns no new tries."""


_BRIEF = TransferSettings(attempts=5, retry_wait_seconds=0.2, retry_wait_limit_seconds=5.0)


def brief_patience() -> Patience:
    """For small requests to our own store: a few tries within some seconds, without a word."""
    return Patience(_BRIEF, threading.Event(), lambda _reason, _seconds: None)


class Patience:
    """The tries of one request."""

    def __init__(
        self, settings: TransferSettings, cancelled: threading.Event, notify: Callable[[str, float], None]
    ) -> None:
        self._settings = settings
        self._cancelled = cancelled
        self._notify = notify
        self._failures = 0
        self._moved = 0

    def moved(self, count_bytes: int) -> None:
        """Bytes arrived; enough of them, and the count of failures begins anew."""
        self._moved += count_bytes
        if self._moved >= PROGRESS_BYTES:
            self._moved = 0
            self._failures = 0

    def failed(self, error: WeighbridgeError) -> None:
        """Waits before the next try, or raises `error` when there should be none."""
        if not error.transient or self._cancelled.is_set():
            raise error
        self._failures += 1
        if self._failures >= self._settings.attempts:
            raise error
        wait = self._wait(error)
        self._notify(error.message, wait)
        if self._cancelled.wait(wait):
            raise Interrupted("the transfer was stopped")

    def _wait(self, error: WeighbridgeError) -> float:
        limit = self._settings.retry_wait_limit_seconds
        asked = error.retry_after_seconds if isinstance(error, RateLimited) else None
        if asked is not None and asked > limit:
            error.hint = (
                f"It asks to wait {asked:.0f} seconds, more than transfer.retry_wait_limit_seconds ({limit:.0f})."
            )
            raise error
        import random

        backoff = min(limit, self._settings.retry_wait_seconds * 2.0 ** (self._failures - 1))
        return max(asked or 0.0, backoff * random.uniform(0.5, 1.0))  # noqa: S311 (jitter is no secret)

    def call(self, action: Callable[[], Result]) -> Result:
        """Runs `action` until it returns or fails for good."""
        while True:
            try:
                return action()
            except WeighbridgeError as error:
                self.failed(error)
