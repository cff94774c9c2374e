"""Derives a remedied revision from a sealed one: plan, look ahead, ingest, attest, enter into the ledger.

The order decides what a crash leaves behind:

1. nothing is written while it is planned, and while what would come out is inspected at its source;
2. the derived artifacts are ingested like any others: streamed once, hashed, inspected, sealed;
3. the statement about the remediation is written beside the seal; a derived revision without it is refused by whoever
   reads it (`vault.remediated`), and the next run writes it;
4. the ledger gets its event.

A second run finds the event and does nothing. Every byte that is made of the parent's is proven against the parent's
signed manifest when it is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from weighbridge.attest.remediation import Changed, Remediation, Taken, make_remediation, open_remediation
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import Conflict, FormatError, IntegrityError, NothingCollected
from weighbridge.core.finding import Finding, Inspection
from weighbridge.core.names import ModelName
from weighbridge.core.ports import ObjectStore
from weighbridge.remediate import remote_code, secrets
from weighbridge.remediate.derived import DerivedSource
from weighbridge.remediate.equality import prove
from weighbridge.remediate.native import Engine
from weighbridge.remediate.plan import ReaderOf, Step, removed_paths
from weighbridge.remediate.to_safetensors import REMEDY as TO_SAFETENSORS
from weighbridge.remediate.to_safetensors import to_safetensors
from weighbridge.store.ledger import Ledger
from weighbridge.transfer.ingest import Yard, ingest
from weighbridge.transfer.scan import Scanner
from weighbridge.vault.inspections import latest_inspection
from weighbridge.vault.proven import ProvenReaders
from weighbridge.vault.recorded import check_recorded
from weighbridge.vault.records import SealedRevision, open_revision, read_record
from weighbridge.vault.remediated import REMEDIATED, read_remediation, remediation_key
from weighbridge.vault.stored import StoredSource

REMEDIES: Final = (TO_SAFETENSORS, remote_code.NAME, secrets.NAME)
"""All remedies, in the order in which they are planned."""

REMOTE_CODE: Final = frozenset(
    (
        "config-remote-code",
        "config-remote-code-elsewhere",
        "config-code-reference-escape",
        "config-trust-remote-code",
        "config-hub-kernel",
        "config-hub-kernel-community",
        "config-kernels",
        "repository-code-missing",
    )
)
"""Rules of which nothing may be left where remote code was stripped."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done to a sealed revision. `before` is its newest inspection; without steps there is nothing to do."""

    parent: SealedRevision
    before: Inspection
    steps: tuple[Step, ...]
    source: DerivedSource | None
    readers: ReaderOf


@dataclass(frozen=True, slots=True)
class Remedied:
    """The outcome. `fresh` is false when an earlier run had done it all; `how` is that of the ingest, by artifacts."""

    revision: SealedRevision
    remediation: Remediation
    how: Mapping[str, int]
    streamed_bytes: int
    fresh: bool


def plan(
    store: ObjectStore, parent: SealedRevision, ledger: Ledger, remedies: Iterable[str], *, engine: Engine
) -> Plan:
    """The steps of those `remedies` that apply; reads headers and configurations, writes nothing.

    Raises:
        ConfigError, FormatError, InspectError: a remedy is refused; the hint says what to do.
        SourceError, StoreError, IntegrityError: the parent cannot be read, or is not what was sealed.
    """
    source, readers = StoredSource(store, parent), ProvenReaders(store, parent)
    snapshot = source.pin()
    before = latest_inspection(store, parent, ledger)
    wanted, steps = frozenset(remedies), list[Step]()

    def add(step: Step | None) -> None:
        if step is not None:
            steps.append(step)

    if TO_SAFETENSORS in wanted:
        add(to_safetensors(snapshot.entries, readers))
    if remote_code.NAME in wanted:
        add(remote_code.strip_remote_code(snapshot.entries, readers, engine))
    if secrets.NAME in wanted:
        add(secrets.drop_secrets(snapshot.entries, before, without=removed_paths(steps)))
    derived = DerivedSource(source, snapshot, steps, readers) if steps else None
    return Plan(parent, before, tuple(steps), derived, readers)


def look_ahead(scanner: Scanner, planned: Plan) -> Inspection | None:
    """Inspects what would come out, by ranged reads; None when nothing would.

    Raises:
        FormatError: remote code is to be stripped, and some would be left.
        SourceError, StoreError, IntegrityError: the parent cannot be read.
    """
    if planned.source is None:
        return None
    inspection = scanner.scan(planned.source).inspection
    _check_stripped(planned.steps, inspection)
    return inspection


def remedy(yard: Yard, planned: Plan) -> Remedied:
    """Makes the derived revision, or finds it.

    Raises:
        NothingCollected: the plan has no steps.
        Conflict: what would come out is there already and came from elsewhere.
        FormatError: remote code is left in what came out; nothing says that it was remedied.
        SourceError, IntegrityError, StoreError, LedgerError, TrustError: as `ingest`.
    """
    if planned.source is None:
        raise NothingCollected(f"there is nothing to remedy in {planned.parent.manifest.reference}")
    done = _done_before(yard, planned, planned.source.digest)
    if done is not None:
        return done
    ingested = ingest(planned.source, yard)
    revision = ingested.revision
    parent = planned.parent.manifest
    if revision.manifest.origin.address != parent.reference:
        raise Conflict(
            f"what comes out is {revision.manifest.reference}, which is there already and came from "
            f"{revision.manifest.origin.address}",
            hint=f"Use it: weighbridge show {revision.manifest.reference}",
        )
    _check_stripped(planned.steps, revision.inspection)
    remediation = _attest(yard, planned, revision)
    return Remedied(revision, remediation, ingested.how, ingested.streamed_bytes, fresh=True)


def _check_stripped(steps: Sequence[Step], inspection: Inspection) -> None:
    if not any(step.remedy == remote_code.NAME for step in steps):
        return
    left = [finding for finding in inspection.findings if finding.rule in REMOTE_CODE]
    if left:
        raise FormatError(
            f"remote code would be left in '{left[0].path}': {left[0].message}"
            + (f" (and {len(left) - 1} more)" if len(left) > 1 else ""),
            hint="It is not of a kind that can be taken out without changing the model. Review the code and keep it.",
        )


def _done_before(yard: Yard, planned: Plan, digest: str) -> Remedied | None:
    """What an earlier run of the same plan came to, if it is all there."""
    parent = planned.parent.manifest
    for event in yard.ledger.events(kinds=(REMEDIATED,)):
        told = event.payload
        if (told.get("store"), told.get("parent"), told.get("plan_digest")) != (
            yard.store.address,
            parent.reference,
            digest,
        ):
            continue
        name = ModelName.parse(str(told.get("model")))
        revision = open_revision(yard.store, name, str(told.get("revision")), yard.verifier)
        problems = check_recorded(yard.store, revision)
        if problems:
            raise IntegrityError(
                f"{revision.manifest.reference} is no longer as it was sealed: {problems[0].message}",
                hint=f"`weighbridge verify {revision.manifest.reference}` lists all differences.",
            )
        remediation = read_remediation(yard.store, revision, yard.verifier)
        if remediation is not None:
            kept = {"kept": len(revision.manifest.artifacts)}
            return Remedied(revision, remediation, kept, 0, fresh=False)
    return None


def _attest(yard: Yard, planned: Plan, revision: SealedRevision) -> Remediation:
    """Writes the statement, unless an interrupted run did, and enters it into the ledger."""
    manifest, source = revision.manifest, planned.source
    assert source is not None
    envelope = make_remediation(
        manifest,
        planned.parent.manifest,
        [_taken(step, yard, planned, revision) for step in planned.steps],
        remediated_at=yard.clock(),
        signer=yard.signer,
    )
    key = remediation_key(revision)
    try:
        yard.store.put(key, envelope)
    except Conflict:
        envelope = read_record(yard.store, key)
    remediation = open_remediation(envelope, manifest, yard.verifier)
    yard.ledger.append(
        REMEDIATED,
        manifest.reference,
        {
            "store": yard.store.address,
            "model": str(manifest.model_name),
            "revision": manifest.revision,
            "manifest_digest": manifest.digest,
            "parent": planned.parent.manifest.reference,
            "parent_manifest_digest": planned.parent.manifest.digest,
            "remedies": list(remediation.remedies),
            "plan_digest": source.digest,
            "remediation_digest": hashlib.sha256(envelope).hexdigest(),
        },
        actor=yard.actor,
    )
    return remediation


def _taken(step: Step, yard: Yard, planned: Plan, revision: SealedRevision) -> Taken:
    """A step as it was taken: what it made, by the digests that the derived manifest has."""
    made = []
    for one in step.made:
        artifact = revision.manifest.artifact(one.path)
        if artifact is None:
            raise FormatError(f"'{one.path}' was to be made and is not part of {revision.manifest.reference}")
        made.append(Changed(artifact.path, artifact.size_bytes, artifact.sha256))
    return Taken(step.remedy, step.dropped, tuple(made), _proof(step, yard, planned, revision))


def _proof(step: Step, yard: Yard, planned: Plan, revision: SealedRevision) -> Mapping[str, JsonValue]:
    """What the step says of itself; of converted weights, the digest of each tensor as read back from either side.

    Raises:
        IntegrityError: a tensor is not the same on both sides.
    """
    if step.remedy != TO_SAFETENSORS:
        return step.proof
    return prove(step, planned.readers, ProvenReaders(yard.store, revision))


def gone(before: Inspection, after: Inspection) -> tuple[Finding, ...]:
    """Findings that are not there any more."""
    known = set(after.findings)
    return tuple(finding for finding in before.findings if finding not in known)
