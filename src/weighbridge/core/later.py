"""Regular expressions that are compiled when they are first used: most of those that a command imports it never asks.

Compiling the expressions by which kinds of files are told took longer than looking at a file. What comes back has the
methods of a compiled expression; an error in an expression shows at its first use.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, AnyStr

if TYPE_CHECKING:

    def later(pattern: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
        """As `re.compile`."""
        ...

else:

    class later:  # noqa: N801 - it stands for a function
        """As `re.compile`."""

        def __init__(self, pattern, flags=0):
            self._given = (pattern, flags)

        def __getattr__(self, name):
            # Kept as the instance's own, so that the next use goes to the expression directly.
            method = getattr(re.compile(*self._given), name)
            setattr(self, name, method)
            return method
