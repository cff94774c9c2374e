"""Removes what interrupted ingests left behind, and never anything of a sealed revision.

Other machines may be ingesting into the same store right now, so only what is older than a limit is removed; nothing that
a process on this machine is working on, and nothing that weighbridge did not put there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from weighbridge.core.errors import AccessRefused, Busy, ObjectMissing
from weighbridge.core.ports import ObjectStore
from weighbridge.transfer.audit import Leftover, Stray, leftovers, sealed_revisions
from weighbridge.transfer.journal import running, waiting


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed (or would be), what was kept because it is too young, what the store refused to remove (because
    it is locked, or for want of a permission), and which journals went with it.
    """

    removed: tuple[Leftover, ...]
    kept: tuple[Leftover, ...]
    refused: tuple[Leftover, ...]
    journals: tuple[str, ...]


def collect(
    store: ObjectStore,
    journals: Path,
    *,
    older_than: timedelta,
    dry_run: bool,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Collected:
    """Removes leftovers older than the limit. With `dry_run` nothing is touched.

    Raises:
        Busy: an ingest runs on this machine.
        StoreError: the store did not answer.
    """
    if journals.is_dir() and any(True for _ in running(journals)):
        raise Busy("an ingest is running on this machine", hint="Wait for it, or stop it, then collect.")
    before = now() - older_than
    old: list[Leftover] = []
    young: list[Leftover] = []
    for leftover in leftovers(store, sealed_revisions(store)):
        if leftover.kind is not Stray.FOREIGN:
            (old if _is_old(leftover.since, before) else young).append(leftover)
    stale = [
        identity
        for identity in (waiting(journals) if journals.is_dir() else ())
        if datetime.fromtimestamp((journals / f"{identity}.jsonl").stat().st_mtime, tz=UTC) <= before
    ]
    refused = [] if dry_run else [leftover for leftover in old if not _remove(store, leftover)]
    if not dry_run:
        for identity in stale:
            (journals / f"{identity}.jsonl").unlink(missing_ok=True)
    removed = [leftover for leftover in old if leftover not in refused]
    return Collected(tuple(removed), tuple(young), tuple(refused), tuple(stale))


def _is_old(since: str, before: datetime) -> bool:
    if not since:
        return False
    moment = datetime.fromisoformat(since)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) <= before


def _remove(store: ObjectStore, leftover: Leftover) -> bool:
    """Whether it is gone."""
    try:
        if leftover.kind is Stray.UNFINISHED_UPLOAD:
            store.abort(leftover.key, leftover.upload_id)
        else:
            store.delete(leftover.key, version_id=store.head(leftover.key).version_id)
    except AccessRefused:
        return False
    except ObjectMissing:
        pass
    return True
