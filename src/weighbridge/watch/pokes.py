"""Keeps which models are to be looked at soon, because somebody said so: each once, and with a pause between two looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Final

from weighbridge.core.names import ModelName

_FORGET_AFTER: Final = 10_000


class Pokes:
    """Models to be looked at soon. Thread-safe."""

    def __init__(self, *, gap_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._gap_seconds = gap_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._wanted: set[ModelName] = set()
        self._looked: dict[ModelName, float] = {}

    def poke(self, model_name: ModelName) -> None:
        """Somebody says that there is something to be seen."""
        with self._lock:
            self._wanted.add(model_name)

    def take(self) -> list[ModelName]:
        """Those that may be looked at now; they are looked at by whoever takes them."""
        with self._lock:
            now = self._clock()
            due = sorted(one for one in self._wanted if now - self._looked.get(one, float("-inf")) >= self._gap_seconds)
            self._wanted.difference_update(due)
            self._note(due, now)
            return due

    def looked(self, model_names: Collection[ModelName]) -> None:
        """These are being looked at, for another reason. A poke that came before is not forgotten by it."""
        with self._lock:
            self._note(model_names, self._clock())

    def _note(self, model_names: Collection[ModelName], now: float) -> None:
        if len(self._looked) > _FORGET_AFTER:
            self._looked.clear()
        self._looked.update(dict.fromkeys(model_names, now))
