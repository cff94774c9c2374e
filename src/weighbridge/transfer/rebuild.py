"""Rebuilds ledger and catalog from what the store itself holds.

A sealed revision carries everything that the catalog knows of it. What the store cannot give back is the order and the
actors of past events: recovered revisions are entered as such, at the end of whatever chain is there.
"""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.core.errors import WeighbridgeError
from weighbridge.core.names import Reference
from weighbridge.core.ports import ObjectStore, SignatureVerifier
from weighbridge.store.ledger import Ledger
from weighbridge.transfer.audit import sealed_revisions
from weighbridge.vault.events import RECOVERED, record_ingested
from weighbridge.vault.records import open_revision


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """`replayed` events of the ledger; revisions `recovered` from the store, and `refused` ones with the reason."""

    replayed: int
    recovered: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]


def rebuild(ledger: Ledger, store: ObjectStore, verifier: SignatureVerifier, *, actor: str) -> Rebuilt:
    """Replays the ledger into the catalog, then enters every sealed revision that the ledger lacks.

    Raises:
        LedgerError, StoreError: ledger or store cannot be read or written.
    """
    replayed = ledger.rebuild_catalog()
    recovered: list[str] = []
    refused: list[tuple[str, str]] = []
    for name in sorted(sealed_revisions(store)):
        reference = Reference.parse(name)
        try:
            revision = open_revision(store, reference.model_name, reference.selector, verifier)
        except WeighbridgeError as error:
            refused.append((name, error.message))
            continue
        if record_ingested(ledger, store, revision, actor=actor, kind=RECOVERED):
            recovered.append(name)
    return Rebuilt(replayed, tuple(recovered), tuple(refused))
