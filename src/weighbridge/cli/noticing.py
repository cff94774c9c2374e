"""Who is told of a home's news: reads the sinks of the settings and opens what hands notices to them."""

from __future__ import annotations

import hashlib
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge import __version__

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.watch.notices.followed import FollowedSinks
    from weighbridge.watch.notices.sinks import Sink
    from weighbridge.watch.notify import Handing, Notifier


def sinks_file(yard: OpenYard) -> Path:
    """The file that says who is told; it need not be there unless the settings name it."""
    chosen = yard.config.watch.sinks
    return Path(chosen).expanduser() if chosen else yard.home.sinks


def follow_sinks(yard: OpenYard) -> FollowedSinks:
    """Who is told, by that file, now and as it changes.

    Raises:
        ConfigError: the file is not what it should be, or the settings name one that is missing.
    """
    from weighbridge.watch.notices.followed import FollowedSinks

    return FollowedSinks(sinks_file(yard), needed=bool(yard.config.watch.sinks))


def open_handing(sinks: Sequence[Sink]) -> Handing:
    """What hands notices to sinks. No ledger is opened."""
    from weighbridge.watch.notices.sending import Sending
    from weighbridge.watch.notify import Handing
    from weighbridge.wire.outbound import Outbound

    python = f"python/{sys.version_info.major}.{sys.version_info.minor}"
    return Handing(sinks, Sending(Outbound(user_agent=f"weighbridge/{__version__}; {python}")))


def open_notifier(yard: OpenYard, sinks: Sequence[Sink]) -> Notifier:
    """What tells sinks of a home their news. Before a round call `begin`, after it `tell`.

    Raises:
        LedgerError, StoreError, TrustError: the ledger cannot be opened.
    """
    from weighbridge.watch.notify import Notifier

    home = yard.home.path.resolve()
    return Notifier(
        yard.ledger(writing=True),
        open_handing(sinks),
        actor="watch",
        # The same in every process of the home, so that one that was killed keeps the next from nothing.
        holder=hashlib.sha256(f"{socket.gethostname()}\0{home}".encode(errors="surrogateescape")).hexdigest()[:32],
        lock=home / "notices.lock",
        keep_hours=yard.config.watch.notify_hours,
    )


@contextmanager
def telling(yard: OpenYard, cancelled: threading.Event) -> Iterator[None]:
    """Tells who is to be told of what the ledger learns in the block; what nobody took is owed, and said.

    Raises:
        ConfigError, LedgerError, StoreError, TrustError: see `follow_sinks`, `open_notifier`.
    """
    sinks = follow_sinks(yard).sinks
    if not sinks:
        yield
        return
    notifier = open_notifier(yard, sinks)
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
