"""Waits for a state, however long a busy machine takes to get there.

A test that waits for a time fails by chance: too short on a busy machine, too long on all others. What must come is waited for
with `eventually`; a limit is there only for what never comes, and lies far beyond what any machine needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 90.0
"""Far less than a whole test may take (`--timeout`)."""
_TICK_SECONDS = 0.01
Found = TypeVar("Found")


def eventually(holds: Callable[[], Found], *, seconds: float = PATIENCE_SECONDS) -> Found:
    """Asks again and again, and returns the first answer that is true."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, f"it did not come within {seconds:g} seconds"
        time.sleep(_TICK_SECONDS)
    return found
