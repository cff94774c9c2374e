"""Gathers what the catalog's pages show: from the ledger, the two stores and the signed index. Reads only; blocks.

Sealed revisions are verified when they are opened and kept by the digest of their seal; whatever cannot be read or does not
hold is told as such on the page (`Opened.problem`), and never left out.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from weighbridge.admit.approvals import Case, Heritage, Standing, case_of, standing_of
from weighbridge.admit.judge_revision import Surroundings
from weighbridge.admit.people import ADDED, REMOVED, Roster, read_roster
from weighbridge.admit.policy import Policy
from weighbridge.admit.succession import Lying, heritage_of, judge_following
from weighbridge.core.decision import Decision
from weighbridge.core.errors import Busy, NothingCollected, WeighbridgeError
from weighbridge.core.finding import Coverage, Inspection, Verdict
from weighbridge.core.layout import record_key
from weighbridge.core.names import ModelName
from weighbridge.core.ports import ObjectStore, RangeReader, SignatureVerifier, Signer
from weighbridge.drift.change import Difference
from weighbridge.drift.compare import compare
from weighbridge.drift.side import Side
from weighbridge.serve.approved import Approved
from weighbridge.serve.web_posture import PostureOf, no_posture
from weighbridge.serve.web_watched import Watched, nothing_watched
from weighbridge.store.catalog import CataloguedRevision
from weighbridge.store.ledger import Event, Ledger
from weighbridge.vault.attested import newest_decision
from weighbridge.vault.inspections import latest_inspection
from weighbridge.vault.readers import StoredReader
from weighbridge.vault.records import SealedRevision, open_revision

MAX_KEPT: Final = 256
MAX_KEPT_ARTIFACTS: Final = 20_000
MAX_RECORDS: Final = 200
"""Records of a revision that are listed."""
WINDOW: Final = 2_000
WINDOWS: Final = 10
"""Events of the ledger that one page of the audit looks through, in windows."""
COMPARE_SECONDS: Final = 8.0
MAX_WAITING: Final = 4


@dataclass(frozen=True, slots=True)
class WebSources:
    """What the catalog is shown from.

    `clock` gives RFC 3339 in UTC. `policy` judges revisions as they stand now (None: only recorded decisions are shown).
    `gateway_signer` passes on people's words; None leaves approving to the command line. `journals` is the home's folder of
    interrupted and running ingests, None where there is none. `keys_now` is as for `Approved`.
    `posture` gives the newest posture report about a model, `watched` what is known of upstream.
    """

    ledger: Ledger
    quarantine: ObjectStore
    approved_store: ObjectStore
    verifier: SignatureVerifier
    approved: Approved
    policy: Policy | None
    clock: Callable[[], str]
    gateway_signer: Signer | None = None
    journals: Path | None = None
    keys_now: Callable[[], int] = lambda: 0
    posture: PostureOf = no_posture
    watched: Watched = nothing_watched

    def store_of(self, address: str) -> ObjectStore:
        """The store at an address.

        Raises:
            NothingCollected: it is neither of the two that the gateway has open.
        """
        for store in (self.quarantine, self.approved_store):
            if store.address == address:
                return store
        raise NothingCollected(f"the gateway does not read the store {address}")


@dataclass(frozen=True, slots=True)
class Opened:
    """A revision as its records say, or why they could not be believed."""

    row: CataloguedRevision
    sealed: SealedRevision | None
    inspection: Inspection | None
    problem: str = ""

    @property
    def coverage(self) -> Coverage | None:
        """Bytes that were understood, of all bytes; None where nobody knows.

        Only inspectors that tell what a file is count: those that search all bytes understand none of them.
        """
        if self.sealed is None or self.inspection is None:
            return None
        best: dict[str, int] = {}
        for report in self.inspection.reports:
            if report.kind and not (report.verdict is Verdict.UNKNOWN and report.coverage.complete):
                best[report.path] = max(best.get(report.path, 0), report.coverage.inspected_bytes)
        sizes = {one.path: one.size_bytes for one in self.sealed.manifest.artifacts}
        return Coverage(sum(min(best.get(path, 0), size) for path, size in sizes.items()), sum(sizes.values()))


@dataclass(frozen=True, slots=True)
class Standpoint:
    """What policy says, who decides, and what people said. `problem` is why nothing can be decided now."""

    decision: Decision | None
    standing: Standing | None
    judged: bool
    problem: str = ""


class Shelf:
    """Opens revisions and keeps what was opened. Thread-safe."""

    def __init__(self, sources: WebSources) -> None:
        self._sources = sources
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str, str, str, int], SealedRevision] = OrderedDict()
        self._roster: tuple[int, Roster] = (-1, Roster())

    def open(self, row: CataloguedRevision) -> Opened:
        """The revision, verified, with its newest inspection."""
        try:
            store = self._sources.store_of(row.store)
            sealed = self._sealed(store, row)
            return Opened(row, sealed, latest_inspection(store, sealed, self._sources.ledger))
        except WeighbridgeError as error:
            return Opened(row, None, None, error.message)

    def _sealed(self, store: ObjectStore, row: CataloguedRevision) -> SealedRevision:
        key = (row.store, str(row.model_name), row.revision, row.seal_digest, self._sources.keys_now())
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        sealed = open_revision(store, row.model_name, row.revision, self._sources.verifier)
        if len(sealed.manifest.artifacts) <= MAX_KEPT_ARTIFACTS:
            with self._lock:
                self._kept[key] = sealed
                while len(self._kept) > MAX_KEPT:
                    self._kept.popitem(last=False)
        return sealed

    def roster(self) -> Roster:
        """Everybody, as the ledger's statements say; verified again when there are new ones.

        Raises:
            LedgerError: a statement does not hold.
        """
        events = list(self._sources.ledger.events(kinds=(ADDED, REMOVED)))
        last = events[-1].sequence if events else 0
        if self._roster[0] != last:
            self._roster = (last, read_roster(events, self._sources.ledger.identity()))
        return self._roster[1]

    def standpoint(self, opened: Opened, *, judge: bool) -> Standpoint:
        """How a revision stands with policy and people; `judge` asks policy now, else the newest record is told."""
        if opened.sealed is None:
            return Standpoint(None, None, judged=False, problem=opened.problem)
        sources, ledger = self._sources, self._sources.ledger
        try:
            store = sources.store_of(opened.row.store)
            judged = judge and sources.policy is not None
            decision = self.judge(opened.sealed, store) if judged else None
            decision = decision or newest_decision(store, opened.sealed.manifest, ledger)
            if decision is None:
                return Standpoint(None, None, judged=False)
            case = self.case(decision)
            return Standpoint(decision, self.standing(case, self._heritage(opened.sealed, store)), judged=judged)
        except WeighbridgeError as error:
            return Standpoint(None, None, judged=False, problem=error.message)

    def judge(self, sealed: SealedRevision, store: ObjectStore) -> Decision | None:
        """What policy says now; None where the gateway has no policy. Raises as `admit.judge_revision`."""
        sources = self._sources
        if sources.policy is None:
            return None
        beside = Surroundings(sources.ledger, sources.verifier, sources.store_of)
        return judge_following(sources.policy, sealed, store=store, beside=beside, now=sources.clock()).decision

    def case(self, decision: Decision) -> Case:
        """A decision with who asked for the revision."""
        return case_of(self._sources.ledger, decision)

    def standing(self, case: Case, heritage: Heritage | None = None) -> Standing:
        """What people said of a case until now; `heritage` is what they said of the revision that it follows."""
        return standing_of(self._sources.ledger, case, self.roster(), now=self._sources.clock(), heritage=heritage)

    def _heritage(self, sealed: SealedRevision, store: ObjectStore) -> Heritage | None:
        """What was said of an approved revision that this one follows; see `admit.succession`."""
        sources = self._sources
        lying = Lying(store, sealed, latest_inspection(store, sealed, sources.ledger))
        beside = Surroundings(sources.ledger, sources.verifier, sources.store_of)
        return heritage_of(sources.policy, lying, beside=beside, roster=self.roster(), now=sources.clock())


def arrival(rows: list[CataloguedRevision], approved_address: str) -> CataloguedRevision:
    """Of the records of one revision the one in the store that it came into, else the only one."""
    return next((row for row in rows if row.store != approved_address), rows[0])


def records_of(sources: WebSources, row: CataloguedRevision) -> list[tuple[str, int, str]]:
    """Name, size and store of the records of a revision, of both stores, at most `MAX_RECORDS`.

    Raises:
        StoreError: a store cannot be read.
    """
    prefix = record_key(row.model_name, row.revision, "")
    found: dict[str, tuple[str, int, str]] = {}
    for store in (sources.approved_store, sources.quarantine):
        for one in islice(store.list(prefix), MAX_RECORDS):
            name = one.key.removeprefix(prefix)
            found.setdefault(name, (name, one.size_bytes, store.address))
    return sorted(found.values())


# --- what changed -----------------------------------------------------------------------------------


class Comparisons:
    """Compares revisions, one at a time beside the pages, and keeps the answers. Thread-safe."""

    def __init__(self, sources: WebSources, *, seconds: float = COMPARE_SECONDS) -> None:
        self._sources = sources
        self._seconds = seconds
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="web-compare")
        self._answers: OrderedDict[tuple[str, str], Future[Difference]] = OrderedDict()

    def close(self) -> None:
        """Takes no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def get(self, before: Opened, after: Opened) -> Difference | None:
        """The difference; None while it is still being worked out.

        Raises:
            Busy: too many are waiting.
            WeighbridgeError: a side cannot be read, or is not what was sealed.
        """
        key = before.row.seal_digest, after.row.seal_digest
        with self._lock:
            answer = self._answers.get(key)
            if answer is None:
                if sum(not one.done() for one in self._answers.values()) >= MAX_WAITING:
                    raise Busy("too many comparisons are waiting", hint="Look again in a minute.")
                answer = self._answers[key] = self._thread.submit(self._compare, before, after)
                while len(self._answers) > MAX_WAITING * 8:
                    self._answers.popitem(last=False)
        try:
            return answer.result(self._seconds)
        except NotYet:
            return None
        except WeighbridgeError:
            with self._lock:
                self._answers.pop(key, None)
            raise

    def _compare(self, before: Opened, after: Opened) -> Difference:
        return compare(self._side(before), self._side(after))

    def _side(self, opened: Opened) -> Side:
        sealed = opened.sealed
        if sealed is None:
            raise NothingCollected(opened.problem)
        store = self._sources.store_of(opened.row.store)

        def reader(path: str) -> RangeReader:
            return StoredReader(store, sealed.placed[path], path)

        return Side.of_manifest(sealed.manifest, reader, inspection=opened.inspection)


# --- the ledger, newest first -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events are wanted; empty words want all. `subject` is a part of the subject's name."""

    kind: str = ""
    actor: str = ""
    subject: str = ""

    def fits(self, event: Event) -> bool:
        """Whether the event is one of them."""
        return (
            event.kind.startswith(self.kind)
            and self.actor.lower() in event.actor.lower()
            and self.subject.lower() in event.subject.lower()
        )


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events, newest first, and where older ones begin (0: there are none)."""

    events: tuple[Event, ...]
    last: int
    older: int


def events_before(ledger: Ledger, wanted: Filter, *, before: int, count: int) -> EventPage:
    """Up to `count` events below the number `before` (0: from the end); looks through so many windows and no further."""
    last = ledger.last_sequence()
    upper = min(before, last + 1) if before > 0 else last + 1
    found: list[Event] = []
    for _ in range(WINDOWS):
        if upper <= 1:
            return EventPage(tuple(found), last, 0)
        lower = max(1, upper - WINDOW)
        window = [one for one in ledger.events(after=lower - 1, limit=upper - lower) if wanted.fits(one)]
        for event in reversed(window):
            found.append(event)
            if len(found) == count:
                return EventPage(tuple(found), last, event.sequence if event.sequence > 1 else 0)
        upper = lower
    return EventPage(tuple(found), last, upper if upper > 1 else 0)


def names_of(rows: list[CataloguedRevision]) -> Mapping[ModelName, list[CataloguedRevision]]:
    """Rows by model, each in the order given."""
    models: dict[ModelName, list[CataloguedRevision]] = {}
    for row in rows:
        models.setdefault(row.model_name, []).append(row)
    return models
