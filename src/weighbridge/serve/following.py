"""Follows something in a thread of its own, step by step, until it is told to end.

A step that fails with an error of ours is logged and tried again at the next one; whoever follows says what an old state is worth.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from weighbridge.core.errors import WeighbridgeError

_log = logging.getLogger("weighbridge.gateway")


class Following:
    """Calls `step` every `seconds` from now on; `what` names the thread, and in the log what the ledger is read for."""

    def __init__(self, what: str, step: Callable[[], None], seconds: float) -> None:
        self._what = what
        self._step = step
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=what, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Returns when no step runs and none will."""
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self._step()
            except WeighbridgeError as error:
                _log.warning("the ledger cannot be read for %s: %s", self._what, error.message)
