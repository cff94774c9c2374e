"""What our own records say of a revision's crossing, each verified now and not only present: the evidence of the bridge.

A record that is there and does not hold is a fact (`holds` is false, `why` says it); one that cannot be reached is unobtained.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from weighbridge.admit.approvals import case_of, standing_of
from weighbridge.admit.index import Index
from weighbridge.admit.judge_revision import Surroundings, facts_of
from weighbridge.admit.people import roster_of
from weighbridge.admit.succession import Lying, follows_of, heritage_of
from weighbridge.attest.statement import unverified
from weighbridge.core.canonical import JsonValue
from weighbridge.core.decision import Decision
from weighbridge.core.errors import (
    Expired,
    FormatError,
    IntegrityError,
    LedgerError,
    NothingCollected,
    ObjectMissing,
    TrustError,
    UnsafePath,
    WeighbridgeError,
)
from weighbridge.core.finding import Inspection, Severity, Verdict
from weighbridge.core.ports import ObjectStore, SignatureVerifier
from weighbridge.core.shown import plain
from weighbridge.inspectors.registry import RULES_VERSION
from weighbridge.posture.crossing_documents import Shelf, attestations, bom
from weighbridge.posture.evidence import Evidence
from weighbridge.posture.gathering import Gathered, Notes, gathered, listed, sha256
from weighbridge.store.catalog import CataloguedRevision
from weighbridge.store.ledger import Event, Ledger
from weighbridge.vault.attested import newest_decision
from weighbridge.vault.events import INGESTED, RECOVERED
from weighbridge.vault.inspections import latest_inspection
from weighbridge.vault.records import SealedRevision, open_revision
from weighbridge.vault.remediated import read_remediation
from weighbridge.vault.verify import check_against_ledger

IDS: Final = tuple(
    f"crossing.{name}"
    for name in (
        *("manifest", "seal", "inspection", "coverage", "decision", "approvals", "channel"),
        *("attestations", "bom", "audit", "remediation", "upstream_checked_at"),
    )
)
"""All that `collect` promises: each comes out, as evidence or as unobtained."""
UPSTREAM_READ: Final = ("revision.ingested", "revision.recovered", "upstream.checked", "watch.checked")
"""Kinds of event that say that upstream was asked for this model."""
BROKEN: Final = (TrustError, FormatError, IntegrityError, ObjectMissing, UnsafePath, LedgerError)
"""Errors that say that a record does not hold; others only that it was not reached."""


@dataclass(frozen=True, slots=True)
class CrossingQuestion:
    """Which crossing: a catalogued revision, and everything to verify it with.

    `store_of` opens stores by address; `approved` is the address of the approved one; `index` reads the signed index of
    channels, where a root is trusted.
    """

    row: CataloguedRevision
    ledger: Ledger
    verifier: SignatureVerifier
    store_of: Callable[[str], ObjectStore]
    approved: str = ""
    index: Callable[[], Index] | None = None

    @property
    def reference(self) -> str:
        """`org/name@revision`."""
        return f"{self.row.model_name}@{self.row.revision}"


def collect(question: CrossingQuestion, *, observed_at: str) -> Gathered:
    """The evidence of the crossing; never raises for what cannot be read."""
    looking = _Looking(question, Notes(observed_at))
    for name, part in (
        ("manifest", looking.manifest),
        ("seal", looking.seal),
        ("inspection", looking.inspection),
        ("coverage", looking.coverage),
        ("decision", looking.decision),
        ("approvals", looking.approvals),
        ("channel", looking.channel),
        ("attestations", looking.attestations),
        ("bom", looking.bom),
        ("audit", looking.audit),
        ("remediation", looking.remediation),
        ("upstream_checked_at", looking.upstream),
    ):
        yield from gathered((f"crossing.{name}",), part)


class _Looking:
    """One look at one crossing; what was opened once is kept."""

    def __init__(self, question: CrossingQuestion, notes: Notes) -> None:
        self._question = question
        self._notes = notes
        self._opened: tuple[ObjectStore, SealedRevision] | None = None

    def _broken(self, name: str, error: WeighbridgeError) -> Evidence:
        value: dict[str, JsonValue] = {"holds": False, "why": plain(error.message, 400)}
        return self._notes.saw(f"crossing.{name}", value, f"the records of {self._question.reference}")

    def _held(self, name: str, source: str, digest: str = "", /, *, holds: bool = True, **more: JsonValue) -> Evidence:
        return self._notes.saw(f"crossing.{name}", {"holds": holds, "why": "", **more}, source, digest=digest)

    def _rows(self) -> list[CataloguedRevision]:
        """The revision in every store that it lies in, where it came in first."""
        rows = self._question.ledger.catalog().revisions(self._question.row.model_name)
        same = [row for row in rows if row.revision == self._question.row.revision]
        return sorted(same, key=lambda row: (row.store == self._question.approved, row.sequence))

    def _arrival(self) -> tuple[ObjectStore, SealedRevision]:
        """The store that it came into, and the revision there, verified. Raises as `open_revision`."""
        if self._opened is None:
            row = next(iter(self._rows()), self._question.row)
            store = self._question.store_of(row.store)
            revision = open_revision(store, row.model_name, row.revision, self._question.verifier)
            check_against_ledger(revision, row)
            self._opened = store, revision
        return self._opened

    # --- records

    def manifest(self) -> Iterator[Evidence]:
        """The list of artifacts, by its seal and the ledger."""
        try:
            _, revision = self._arrival()
        except BROKEN as error:
            yield self._broken("manifest", error)
            return
        manifest, origin = revision.manifest, revision.manifest.origin
        yield self._held(
            "manifest",
            f"manifest.json of {manifest.reference}, by its seal",
            sha256(manifest.to_bytes()),
            digest=manifest.digest,
            revision=manifest.revision,
            artifacts=len(manifest.artifacts),
            bytes=manifest.total_bytes,
            commit=plain(origin.commit),
            source=plain(origin.address),
        )

    def seal(self) -> Iterator[Evidence]:
        """The seals in every store that the ledger says it lies in."""
        newest: SealedRevision | None = None
        stores = []
        try:
            for row in self._rows():
                store = self._question.store_of(row.store)
                newest = open_revision(store, row.model_name, row.revision, self._question.verifier)
                check_against_ledger(newest, row)
                stores.append(row.store)
        except BROKEN as error:
            yield self._broken("seal", error)
            return
        if newest is None:
            raise NothingCollected(f"the ledger knows no store that {self._question.reference} lies in")
        yield self._held(
            "seal",
            f"seal.dsse.json of {self._question.reference}, in {len(stores)} stores",
            sha256(newest.seal_bytes),
            key_id=unverified(newest.seal_bytes)[0],
            sealed_at=newest.seal.sealed_at,
            in_ledger=True,
            stores=listed(stores),
        )

    def _inspected(self) -> tuple[SealedRevision, Inspection]:
        store, revision = self._arrival()
        return revision, latest_inspection(store, revision, self._question.ledger)

    def inspection(self) -> Iterator[Evidence]:
        """The newest inspection, and whether the present rules made it."""
        try:
            _, found = self._inspected()
        except BROKEN as error:
            yield self._broken("inspection", error)
            return
        counts = Counter(finding.severity for finding in found.findings)
        yield self._held(
            "inspection",
            f"the newest inspection of {self._question.reference}",
            sha256(found.to_bytes()),
            verdict=found.verdict.value,
            rules_version=found.rules_version,
            findings={severity.label: counts[severity] for severity in Severity},
            rules=listed(finding.rule for finding in found.findings),
            current=found.rules_version == RULES_VERSION,
        )

    def coverage(self) -> Iterator[Evidence]:
        """Bytes that no inspector left out; an artifact that nobody reported on counts as left out whole."""
        try:
            revision, found = self._inspected()
        except BROKEN as error:
            yield self._broken("coverage", error)
            return
        sizes = {artifact.path: artifact.size_bytes for artifact in revision.manifest.artifacts}
        left: dict[str, int] = {}
        for report in found.reports:
            out = max(0, report.coverage.present_bytes - report.coverage.inspected_bytes)
            left[report.path] = max(left.get(report.path, 0), out)
        unsure = {report.path for report in found.reports if report.settled_verdict is Verdict.UNKNOWN}
        incomplete = [path for path in sizes if path not in left or path in unsure]
        missed = sum(min(size, left.get(path, size)) for path, size in sizes.items())
        yield self._held(
            "coverage",
            f"the newest inspection of {self._question.reference}",
            sha256(found.to_bytes()),
            inspected_bytes=sum(sizes.values()) - missed,
            present_bytes=sum(sizes.values()),
            incomplete=listed(incomplete),
        )

    # --- policy and people

    def _decided(self) -> tuple[ObjectStore, SealedRevision, Decision]:
        store, revision = self._arrival()
        decision = newest_decision(store, revision.manifest, self._question.ledger)
        if decision is None:
            raise NothingCollected(
                f"no decision on {self._question.reference} is recorded",
                hint=f"Decide: weighbridge decide {self._question.reference}",
            )
        return store, revision, decision

    def decision(self) -> Iterator[Evidence]:
        """What policy said, and whether the facts are still those that it judged."""
        try:
            store, revision, decision = self._decided()
            beside = Surroundings(self._question.ledger, self._question.verifier, self._question.store_of)
            facts = facts_of(revision, store=store, beside=beside)
            if facts.digest != decision.facts_digest:
                follows = follows_of(None, Lying(store, revision, facts.inspection), beside=beside)
                facts = replace(facts, follows=follows)
        except BROKEN as error:
            yield self._broken("decision", error)
            return
        yield self._held(
            "decision",
            f"the newest decision on {self._question.reference}",
            decision.digest,
            outcome=decision.outcome.value,
            policy=plain(decision.policy_name),
            policy_digest=decision.policy_digest,
            decided_at=decision.decided_at,
            rules=listed(decision.rules),
            current=facts.digest == decision.facts_digest,
        )

    def approvals(self) -> Iterator[Evidence]:
        """Whose signed words count now. Without enough of them it does not hold."""
        try:
            store, revision, decision = self._decided()
            ledger, now = self._question.ledger, self._notes.observed_at
            case, roster = case_of(ledger, decision), roster_of(ledger)
            beside = Surroundings(ledger, self._question.verifier, self._question.store_of)
            lying = Lying(store, revision, latest_inspection(store, revision, ledger))
            inherited = heritage_of(None, lying, beside=beside, roster=roster, now=now)
            stands = standing_of(ledger, case, roster, now=now, heritage=inherited)
        except BROKEN as error:
            yield self._broken("approvals", error)
            return
        value: dict[str, JsonValue] = {
            "holds": stands.complete,
            "why": "" if stands.complete else plain(_lacking(stands.missing, [one.person for one in stands.rejected])),
            "needed": decision.approvals,
            "approved": listed(one.person for one in stands.approved),
            "rejected": listed(one.person for one in stands.rejected),
            "requester": plain(stands.requester),
        }
        source = f"signed words on {self._question.reference} in the ledger"
        yield self._notes.saw("crossing.approvals", value, source, digest=decision.digest)

    def channel(self) -> Iterator[Evidence]:
        """Which channels lead to it by the signed index."""
        if self._question.index is None:
            raise NothingCollected(
                "no index of channels is trusted here", hint="weighbridge channels refresh makes one."
            )
        try:
            index = self._question.index()
        except (*BROKEN, Expired) as error:
            yield self._broken("channel", error)
            return
        row = self._question.row
        entries = index.entries.get(row.model_name, {})
        pointed = {name: one for name, one in entries.items() if one.revision == row.revision}
        wrong = [name for name, one in pointed.items() if one.manifest_sha256 != row.manifest_digest]
        revoked = (row.model_name, row.revision) in index.revocations
        value: dict[str, JsonValue] = {
            "holds": not wrong,
            "why": f"another manifest is meant by {', '.join(sorted(wrong))}" if wrong else "",
            "channels": listed(pointed),
            "revoked": revoked,
        }
        yield self._notes.saw("crossing.channel", value, "the signed index of channels")

    # --- documents and history

    def attestations(self) -> Iterator[Evidence]:
        """Every attestation that the ledger names, opened."""
        try:
            store, revision = self._arrival()
            shelf = Shelf(store, revision, self._question.ledger, self._question.verifier)
            value, digest = attestations(shelf, now=self._notes.observed_at)
        except BROKEN as error:
            yield self._broken("attestations", error)
            return
        source = f"attestations of {self._question.reference}, opened"
        yield self._notes.saw("crossing.attestations", value, source, digest=digest)

    def bom(self) -> Iterator[Evidence]:
        """Whether a bill of materials can be made from the proven files."""
        try:
            store, revision = self._arrival()
            value = bom(store, revision, latest_inspection(store, revision, self._question.ledger))
        except BROKEN as error:
            yield self._broken("bom", error)
            return
        yield self._notes.saw("crossing.bom", value, f"proven files of {self._question.reference}")

    def audit(self) -> Iterator[Evidence]:
        """The whole chain of events and its signed end."""
        try:
            state = self._question.ledger.verify(self._question.verifier)
        except BROKEN as error:
            yield self._broken("audit", error)
            return
        yield self._held(
            "audit",
            "the ledger, from its first event",
            state.digest,
            events=state.events,
            head_signed=state.head_signed,
            unsigned_events=state.unsigned_events,
        )

    def remediation(self) -> Iterator[Evidence]:
        """How it was derived, by the signed statement; a revision that was not derived needs none."""
        try:
            store, revision = self._arrival()
            found = read_remediation(store, revision, self._question.verifier)
        except BROKEN as error:
            yield self._broken("remediation", error)
            return
        yield self._held(
            "remediation",
            f"remediation statement of {self._question.reference}" if found else "the manifest: it was not derived",
            derived=found is not None,
            parent=plain(found.parent) if found else "",
            remedies=listed(found.remedies) if found else [],
        )

    def upstream(self) -> Iterator[Evidence]:
        """When upstream was last asked for this model: by an ingest, or by a watch."""
        newest, kind = "", ""
        name = str(self._question.row.model_name)
        for event in self._question.ledger.events(kinds=UPSTREAM_READ):
            about = event.subject == name or event.subject.startswith(f"{name}@")
            if about and event.time >= newest and _answered(event):
                newest, kind = event.time, event.kind
        if not newest:
            raise NothingCollected("the ledger says nothing of upstream being asked for this model")
        yield self._notes.saw("crossing.upstream_checked_at", newest, f"the ledger: {kind}")


def _answered(event: Event) -> bool:
    """Whether upstream gave an answer: to an ingest from the Hub, or to a look of a watch."""
    if event.kind in (INGESTED, RECOVERED):
        return _from_hub(event.payload)
    return not event.payload.get("failing_since")


def _from_hub(payload: object) -> bool:
    source = payload.get("source") if isinstance(payload, dict) else None
    return isinstance(source, str) and source.startswith("hf://")


def _lacking(missing: int, rejected: list[str]) -> str:
    if rejected:
        return f"rejected by {', '.join(sorted(rejected))}"
    return f"{missing} approvals are missing"
