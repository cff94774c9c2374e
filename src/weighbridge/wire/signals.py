"""Says what Ctrl-C and SIGTERM do while something runs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_stop(does: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Calls `does` for both, instead of what they did before; afterwards they do that again. For the main thread alone."""
    previous = {number: signal.signal(number, does) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
