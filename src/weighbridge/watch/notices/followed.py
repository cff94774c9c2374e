"""Follows the file that says who is told while a daemon runs: what it says now counts, and a bad one changes nothing.

Rules: a look at the file's name, size and time tells whether to read it again, so that looking costs microseconds; a file that
cannot be used, or that is gone, leaves those who were told before, and is a trouble until it is mended. To tell nobody, empty it.
"""

from __future__ import annotations

from pathlib import Path

from weighbridge.core.errors import ConfigError
from weighbridge.watch.notices.sinks import Sink, read_sinks
from weighbridge.wire.marks import mark_of


class FollowedSinks:
    """The sinks of a file as `refresh` last found them. Not thread-safe. Unless it is `needed`, a missing file names nobody.

    Raises:
        ConfigError: the file cannot be used at the start.
    """

    def __init__(self, file: Path, *, needed: bool) -> None:
        self._file = file
        # Before it is read: what changes meanwhile is then read once more.
        self._mark = self._seen = mark_of(file)
        self.sinks: tuple[Sink, ...] = read_sinks(file) if needed or file.exists() else ()
        self.trouble: ConfigError | None = None

    def refresh(self) -> bool:
        """Whether the file changed and is as it was at the last look; then `sinks` or `trouble` say what it came to."""
        mark = mark_of(self._file)
        still, self._seen = mark == self._seen, mark
        # What is being written is read once it stays as it is.
        if mark == self._mark or not still:
            return False
        self._mark = mark
        try:
            self.sinks, self.trouble = read_sinks(self._file), None
        except ConfigError as error:
            self.trouble = error
        return True
