"""Looks over a whole store: every catalogued revision by the store's own records, and everything that belongs to none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from weighbridge.core.errors import IntegrityError, StoreError, TrustError, WeighbridgeError
from weighbridge.core.layout import AUDIT, INCOMING, INDEX, MODELS, RECORDS, SEAL, revision_of
from weighbridge.core.ports import ObjectStore, SignatureVerifier, StoredObject, UnfinishedUpload
from weighbridge.store.catalog import CataloguedRevision
from weighbridge.transfer.journal import waiting
from weighbridge.vault.recorded import Problem, check_recorded
from weighbridge.vault.verify import open_catalogued


class Stray(Enum):
    """Why something in a store belongs to no revision."""

    UNFINISHED_UPLOAD = "unfinished upload"
    INCOMING = "left from an interrupted ingest"
    UNSEALED = "artifact or record of a revision that was never sealed"
    FOREIGN = "not put there by weighbridge"


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that belongs to no revision; `upload_id` is set for unfinished uploads."""

    kind: Stray
    key: str
    size_bytes: int = 0
    since: str = ""
    upload_id: str = ""


@dataclass(slots=True)
class Audit:
    """What an audit of one store found."""

    store: str
    revisions: int = 0
    problems: dict[str, list[Problem]] = field(default_factory=dict)
    unentered: list[str] = field(default_factory=list)
    """Sealed revisions that the ledger does not know."""
    leftovers: list[Leftover] = field(default_factory=list)
    interrupted: list[str] = field(default_factory=list)
    """Identities of ingests on this machine that can be taken up again."""

    @property
    def sound(self) -> bool:
        """Whether every revision is as it was sealed and known to the ledger."""
        return not self.problems and not self.unentered


def audit(
    store: ObjectStore, catalogued: Iterable[CataloguedRevision], verifier: SignatureVerifier, journals: Path
) -> Audit:
    """Audits one store. Problems of revisions are collected, not raised.

    Raises:
        StoreError: the store itself did not answer.
    """
    found = Audit(store.address)
    known: set[str] = set()
    for row in catalogued:
        reference = f"{row.model_name}@{row.revision}"
        known.add(reference)
        found.revisions += 1
        problems = _problems(store, row, verifier)
        if problems:
            found.problems[reference] = problems
    sealed = sealed_revisions(store)
    found.unentered = sorted(sealed - known)
    found.leftovers = leftovers(store, sealed)
    found.interrupted = list(waiting(journals)) if journals.is_dir() else []
    return found


def _problems(store: ObjectStore, row: CataloguedRevision, verifier: SignatureVerifier) -> list[Problem]:
    try:
        return check_recorded(store, open_catalogued(store, row, verifier))
    except (TrustError, IntegrityError, StoreError) as error:
        return [Problem("", type(error).__name__, error.message)]
    except WeighbridgeError as error:
        return [Problem("", "records", error.message)]


def sealed_revisions(store: ObjectStore) -> set[str]:
    """`org/name@revision` of every revision that has a seal."""
    sealed: set[str] = set()
    for stored in store.list(RECORDS):
        belongs = revision_of(stored.key)
        if belongs is not None and stored.key.endswith(f"/{SEAL}"):
            sealed.add(f"{belongs[0]}@{belongs[1]}")
    return sealed


def leftovers(store: ObjectStore, sealed: set[str]) -> list[Leftover]:
    """Everything in the store that belongs to no sealed revision."""
    found = [_upload(upload) for upload in store.unfinished("")]
    for stored in store.list(""):
        kind = _stray(stored, sealed)
        if kind is not None:
            found.append(Leftover(kind, stored.key, stored.size_bytes, stored.modified_at))
    return found


def _upload(upload: UnfinishedUpload) -> Leftover:
    return Leftover(Stray.UNFINISHED_UPLOAD, upload.key, since=upload.started_at, upload_id=upload.upload_id)


def _stray(stored: StoredObject, sealed: set[str]) -> Stray | None:
    if stored.key.startswith(INCOMING):
        return Stray.INCOMING
    if stored.key.startswith((INDEX, AUDIT)):
        return None
    belongs = revision_of(stored.key) if stored.key.startswith((MODELS, RECORDS)) else None
    if belongs is None:
        return Stray.FOREIGN
    return None if f"{belongs[0]}@{belongs[1]}" in sealed else Stray.UNSEALED
