"""Inspects what lies elsewhere for as long as a command runs; the processes that do it are started when first needed."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

from weighbridge.cli.console import Output
from weighbridge.core.closing import Closing

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.core.finding import Inspection
    from weighbridge.core.ports import Observer, Source
    from weighbridge.core.snapshot import Snapshot
    from weighbridge.transfer.inspecting import Inspecting
    from weighbridge.transfer.scan import Scanner


class Looking(Closing):
    """The inspecting processes of a command. A context manager. `quiet` shows no progress."""

    def __init__(self, yard: OpenYard, cancelled: threading.Event, *, quiet: bool = False) -> None:
        output = yard.output
        self._yard = yard
        self._cancelled = cancelled
        self._output = Output(quiet=quiet or output.quiet or output.as_json, colour=output.colour)
        self._closing = ExitStack()
        self._inspecting: Inspecting | None = None

    def inspecting(self) -> Inspecting:
        """The processes, started by the first call."""
        if self._inspecting is None:
            from weighbridge.transfer.inspecting import Inspecting

            self._inspecting = self._closing.enter_context(Inspecting(self._yard.config.inspection))
            self._inspecting.start()
        return self._inspecting

    def scanner(self, observer: Observer) -> Scanner:
        """What scans with these processes."""
        from weighbridge.transfer.scan import Scanner

        return Scanner(self._yard.config.transfer, self.inspecting(), observer, self._cancelled)

    def inspect(self, source: Source, whole: Snapshot, selected: Snapshot) -> Inspection:
        """Inspects a selection of a pinned source: a `transfer.comparing.Inspect`."""
        from weighbridge.cli.progress import watching

        # Before anything is shown: the processes are forked, and a progress bar has a thread.
        self.inspecting()
        with watching(self._output, "inspecting") as observer:
            return self.scanner(observer).inspect(source, whole, selected).inspection

    def close(self) -> None:
        """Ends the processes, where they were needed."""
        self._closing.close()
