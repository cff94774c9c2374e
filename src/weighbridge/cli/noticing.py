"""Who is told of a home's news: reads the sinks of the settings and opens what hands notices to them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge import __version__

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.watch.notify import Handing, Notifier


def sinks_file(yard: OpenYard) -> Path:
    """The file that says who is told; it need not be there unless the settings name it."""
    chosen = yard.config.watch.sinks
    return Path(chosen).expanduser() if chosen else yard.home.sinks


def open_handing(yard: OpenYard) -> Handing | None:
    """What hands notices to the sinks of a home; None where nobody is to be told. No ledger is opened.

    Raises:
        ConfigError: the file is not what it should be, or the settings name one that is missing.
    """
    file = sinks_file(yard)
    if not yard.config.watch.sinks and not file.exists():
        return None
    from weighbridge.watch.notices.sending import Sending
    from weighbridge.watch.notices.sinks import read_sinks
    from weighbridge.watch.notify import Handing
    from weighbridge.wire.outbound import Outbound

    sinks = read_sinks(file)
    python = f"python/{sys.version_info.major}.{sys.version_info.minor}"
    return Handing(sinks, Sending(Outbound(user_agent=f"weighbridge/{__version__}; {python}"))) if sinks else None


def open_notifier(yard: OpenYard) -> Notifier | None:
    """What tells the sinks of a home their news; None where nobody is to be told.

    Before a round call `begin`, after it `tell`.

    Raises:
        ConfigError: see `open_handing`.
        LedgerError, StoreError, TrustError: the ledger cannot be opened.
    """
    handing = open_handing(yard)
    if handing is None:
        return None
    from weighbridge.watch.notify import Notifier

    return Notifier(yard.ledger(writing=True), handing, actor="watch", keep_hours=yard.config.watch.notify_hours)


@contextmanager
def telling(yard: OpenYard, cancelled: threading.Event) -> Iterator[None]:
    """Tells who is to be told of what the ledger learns in the block; what nobody took is owed, and said.

    Raises:
        ConfigError, LedgerError, StoreError, TrustError: see `open_notifier`.
    """
    notifier = open_notifier(yard)
    if notifier is None:
        yield
        return
    notifier.begin()
    yield
    told = notifier.tell(cancelled)
    for one in told.outcomes:
        if not one.delivered:
            how = "given up" if one.given_up else "it is tried again in the next round"
            of = f" of {one.model}" if one.model else ""
            yard.output.say(f"'{one.sink}' was not told{of}: {one.words}; {how}")
    if told.delivered:
        yard.output.say(f"{told.delivered} notices were handed over")
