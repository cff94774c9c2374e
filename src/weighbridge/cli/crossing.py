"""What an ingest needs, from the home of a command."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.core.ports import ObjectStore, Observer
    from weighbridge.transfer.ingest import Yard
    from weighbridge.transfer.inspecting import Inspecting


def ingesting(
    yard: OpenYard, store: ObjectStore, inspecting: Inspecting, observer: Observer, cancelled: threading.Event
) -> Yard:
    """The bridge of a home into a store, without a look ahead."""
    from weighbridge.store.ledger import now_rfc3339
    from weighbridge.transfer.ingest import Yard

    return Yard(
        store=store,
        ledger=yard.ledger(writing=True),
        signer=yard.key,
        verifier=yard.trusted,
        settings=yard.config.transfer,
        observer=observer,
        cancelled=cancelled,
        journals=yard.home.journals,
        actor=yard.actor,
        clock=now_rfc3339,
        inspecting=inspecting,
    )
