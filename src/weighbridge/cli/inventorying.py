"""What the commands that recognise models share: the sealed revisions of the home to hold them against, and progress."""

from __future__ import annotations

import threading
import time
from functools import lru_cache
from typing import Final

from weighbridge.cli.console import Output
from weighbridge.cli.yard import OpenYard
from weighbridge.core.errors import Interrupted, WeighbridgeError
from weighbridge.core.manifest import Manifest
from weighbridge.inventory.known import KnownRevision, Records, once
from weighbridge.inventory.taking import Against

EVERY_SECONDS: Final = 5.0
MAX_MANIFESTS: Final = 64


class Now:
    """Says how far work is, at most one line in a while."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._said = time.monotonic()

    def __call__(self, line: str) -> None:
        """Says it, when it is time."""
        now = time.monotonic()
        if now - self._said >= EVERY_SECONDS:
            self._said = now
            self._output.say(f"  {line}")


def records_of(yard: OpenYard) -> Records:
    """Where the home keeps fingerprints of what is sealed."""
    return Records(yard.home.fingerprints, yard.open_sealed, yard.store)


def against(yard: OpenYard, stop: threading.Event) -> tuple[Against, list[str]]:
    """All sealed revisions, and those that cannot be used, in words. Fingerprints that are missing are made and kept.

    Raises:
        Interrupted: `stop` was set; what was made so far is kept.
    """
    if not yard.has_ledger:
        return Against(), []
    rows = once(yard.ledger().catalog().revisions())
    records, tell = records_of(yard), Now(yard.output)
    known: list[KnownRevision] = []
    by_reference = {f"{row.model_name}@{row.revision}": row for row in rows}
    unusable: list[str] = []
    for number, (reference, row) in enumerate(by_reference.items()):
        if stop.is_set():
            raise Interrupted("stopped")
        tell(f"sealed revision {number + 1} of {len(rows)}: {reference}")
        try:
            known.append(records.known(row))
        except WeighbridgeError as error:
            unusable.append(f"nothing is held against {reference}: {error.message}")

    @lru_cache(MAX_MANIFESTS)
    def opened(reference: str) -> Manifest:
        return yard.open_sealed(by_reference[reference]).manifest

    def manifest_of(one: KnownRevision) -> Manifest:
        return opened(one.reference)

    return Against(known, manifest_of), unusable
