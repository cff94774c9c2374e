"""Attestations: what is said of a revision to those who were not there, each an in-toto statement that others' tools read.

- *provenance* (SLSA v1): where the bytes came from, whose they were there, and what brought them in;
- *inspection* (`https://weighbridge.dev/inspection/v1`): by which rules they were inspected, how much of them, and what came out;
- *summary* (SLSA verification summary v1): what policy made of it, on which statements and whose words it rests.

The subjects of each are the stored manifest and every artifact by SHA-256, so that a tool that holds one file finds it. All
functions are pure: a revision's facts make one statement, byte for byte, whenever they are asked. What is opened is held
against the manifest, and against the inspection where it is given, by the steps in `STEPS`; each failure is a typed error.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import Final

from weighbridge import __version__
from weighbridge.attest.statement import Statement, Subject, open_statement, unverified
from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.digests import is_sha256
from weighbridge.core.errors import FormatError, StatementMismatch
from weighbridge.core.finding import Inspection, Severity
from weighbridge.core.manifest import Manifest
from weighbridge.core.ports import SignatureVerifier

BUILD_TYPE: Final = "https://weighbridge.dev/ingest/v1"
BUILDER: Final = "https://weighbridge.dev/bridge/v1"
MANIFEST_NAME: Final = "manifest.json"

STEPS: Final = (
    "the envelope is spelt the one way it can be, and has one signature",
    "its payload says that it is an in-toto statement",
    "a trusted key that was not revoked signed type and payload",
    "the statement is of the kind that was asked for",
    "its subjects are the manifest and every artifact of the revision, and nothing else",
    "what it says of the revision's origin is what the manifest says",
)
"""What every opening proves, in this order: SignatureInvalid (1 to 3), Revoked (3), StatementMismatch (4 to 6)."""


class Kind(Enum):
    """The kinds of attestation; the value is the word in commands and record names."""

    PROVENANCE = "provenance"
    INSPECTION = "inspection"
    SUMMARY = "vsa"

    @property
    def predicate_type(self) -> str:
        """The URI that says what the predicate means."""
        return _PREDICATE_TYPES[self]


_PREDICATE_TYPES: Final = {
    Kind.PROVENANCE: "https://slsa.dev/provenance/v1",
    Kind.INSPECTION: "https://weighbridge.dev/inspection/v1",
    Kind.SUMMARY: "https://slsa.dev/verification_summary/v1",
}


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a valid provenance says. Times are RFC 3339 in UTC and the signer's word."""

    reference: str
    source: str
    commit: str
    owner: str
    owner_id: str
    started_at: str
    finished_at: str
    weighbridge_version: str
    key_id: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a valid inspection statement says; `counts` is findings by severity."""

    reference: str
    verdict: str
    rules_version: str
    inspection_digest: str
    findings_digest: str
    counts: dict[str, int]
    weighbridge_version: str
    key_id: str
    steps: tuple[str, ...]


def kind_of(envelope: bytes) -> Kind:
    """The kind of attestation an envelope says it is, before anything of it is believed.

    Raises:
        SignatureInvalid: it is no envelope.
        StatementMismatch: it is another kind of statement.
    """
    said = unverified(envelope)[1].predicate_type
    for kind, predicate_type in _PREDICATE_TYPES.items():
        if predicate_type == said:
            return kind
    raise StatementMismatch(f"the statement is about '{said[:200]}', which is no attestation of a revision")


def digest_of(statement: Statement) -> str:
    """The SHA-256 of what is signed: the same for every signature of one statement."""
    return canonical.digest(statement.to_json())


def resource_of(manifest: Manifest) -> str:
    """The URI of a revision."""
    return f"weighbridge:{manifest.reference}"


def subjects_of(manifest: Manifest) -> tuple[Subject, ...]:
    """The stored manifest, by a name that no artifact can have, and every artifact."""
    whole = Subject(f"{resource_of(manifest)}/{MANIFEST_NAME}", hashlib.sha256(manifest.to_bytes()).hexdigest())
    return (whole, *(Subject(artifact.path, artifact.sha256) for artifact in manifest.artifacts))


def provenance(manifest: Manifest, *, finished_at: str, version: str = __version__) -> Statement:
    """Where a revision came from. `finished_at` is when it was sealed, `version` the tool that brought it in."""
    origin = manifest.origin
    upstream: dict[str, JsonValue] = {
        "uri": f"{origin.address}@{origin.commit}" if origin.commit else origin.address,
        "annotations": _origin(manifest),
    }
    if origin.commit:
        upstream["digest"] = {"gitCommit": origin.commit}
    predicate: dict[str, JsonValue] = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "source": origin.address,
                "endpoint": origin.endpoint,
                "ref": origin.requested_ref,
                "model": str(manifest.model_name),
                "include": list(manifest.include),
                "exclude": list(manifest.exclude),
            },
            "internalParameters": {"revision": manifest.revision, "manifestDigest": manifest.digest},
            "resolvedDependencies": [upstream],
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": {"weighbridge": version}},
            "metadata": {
                "invocationId": f"{resource_of(manifest)}#{manifest.created_at}",
                "startedOn": manifest.created_at,
                "finishedOn": finished_at,
            },
        },
    }
    return Statement(subjects_of(manifest), Kind.PROVENANCE.predicate_type, predicate)


def inspection(manifest: Manifest, found: Inspection, *, version: str = __version__) -> Statement:
    """What was found in a revision, by which rules, in how much of it."""
    predicate: dict[str, JsonValue] = {
        "resourceUri": resource_of(manifest),
        "revision": manifest.revision,
        "manifestDigest": manifest.digest,
        "origin": _origin(manifest),
        "inspector": {"id": BUILDER, "version": {"weighbridge": version}},
        "rulesVersion": found.rules_version,
        "verdict": found.verdict.value,
        "inspection": {"digest": {"sha256": hashlib.sha256(found.to_bytes()).hexdigest()}},
        "findings": {"digest": {"sha256": findings_digest(found)}, "counts": dict(counts_of(found))},
        "coverage": coverage_of(found),
    }
    return Statement(subjects_of(manifest), Kind.INSPECTION.predicate_type, predicate)


def findings_digest(found: Inspection) -> str:
    """SHA-256 over all findings of an inspection, in an order of their own."""
    return canonical.digest([finding.to_json() for finding in sorted(found.findings, key=lambda one: one.sort_key())])


def counts_of(found: Inspection) -> dict[str, int]:
    """How many findings there are of each severity."""
    counts = Counter(finding.severity for finding in found.findings)
    return {severity.label: counts[severity] for severity in Severity}


def coverage_of(found: Inspection) -> dict[str, JsonValue]:
    """Bytes inspected and bytes present, by inspector."""
    return {
        name: {"inspectedBytes": one.inspected_bytes, "presentBytes": one.present_bytes}
        for name, one in found.coverage().items()
    }


def open_provenance(envelope: bytes, manifest: Manifest, verifier: SignatureVerifier) -> Provenance:
    """What a provenance says of the revision, by the steps of `STEPS`.

    Raises:
        SignatureInvalid, Revoked: no trusted key signed it.
        StatementMismatch: it is another kind of statement, or about something else.
    """
    statement = open_about(envelope, Kind.PROVENANCE, manifest, verifier)
    try:
        run = Fields(statement.predicate, what="the provenance").fields("runDetails")
        version = run.fields("builder").fields("version").text("weighbridge")
        finished_at = run.fields("metadata").text("finishedOn")
    except FormatError as error:
        raise StatementMismatch(f"the signed statement is no provenance of ours: {error.message}") from error
    expected = provenance(manifest, finished_at=finished_at, version=version)
    _check_same(statement, expected, Kind.PROVENANCE, manifest)
    origin = manifest.origin
    return Provenance(
        manifest.reference,
        origin.address,
        origin.commit,
        origin.owner,
        origin.owner_id,
        manifest.created_at,
        finished_at,
        version,
        unverified(envelope)[0],
        STEPS,
    )


def open_inspection(envelope: bytes, manifest: Manifest, found: Inspection, verifier: SignatureVerifier) -> Inspected:
    """What an inspection statement says of the revision, recomputed from the inspection that it is about.

    Raises:
        SignatureInvalid, Revoked: no trusted key signed it.
        StatementMismatch: it is another kind of statement, or about another revision or inspection.
    """
    statement = open_about(envelope, Kind.INSPECTION, manifest, verifier)
    try:
        inspector = Fields(statement.predicate, what="the inspection statement").fields("inspector")
        version = inspector.fields("version").text("weighbridge")
    except FormatError as error:
        raise StatementMismatch(f"the signed statement is no inspection of ours: {error.message}") from error
    _check_same(statement, inspection(manifest, found, version=version), Kind.INSPECTION, manifest)
    return Inspected(
        manifest.reference,
        found.verdict.value,
        found.rules_version,
        hashlib.sha256(found.to_bytes()).hexdigest(),
        findings_digest(found),
        counts_of(found),
        version,
        unverified(envelope)[0],
        (*STEPS, "verdict, counts, coverage and digests are those of the inspection it is about"),
    )


def inspection_named(envelope: bytes) -> str:
    """The digest of the inspection that an inspection statement says it is about; nothing of it is believed yet.

    Raises:
        SignatureInvalid, StatementMismatch: it is no such statement.
    """
    try:
        record = Fields(unverified(envelope)[1].predicate, what="the inspection statement").fields("inspection")
        named = record.fields("digest").text("sha256")
    except FormatError as error:
        raise StatementMismatch(f"the statement is no inspection of ours: {error.message}") from error
    if not is_sha256(named):
        raise StatementMismatch("the statement names no inspection by its SHA-256")
    return named


def open_about(envelope: bytes, kind: Kind, manifest: Manifest, verifier: SignatureVerifier) -> Statement:
    """The statement in an envelope, once signature, kind and subjects hold: steps 1 to 5.

    Raises:
        SignatureInvalid, Revoked, StatementMismatch: one does not.
    """
    statement = open_statement(envelope, verifier, predicate_type=kind.predicate_type)
    if statement.subjects != subjects_of(manifest):
        raise StatementMismatch(
            f"the {kind.value} attestation is not about {manifest.reference}: {_difference(statement, manifest)}",
            hint="It belongs to another revision, or the manifest was altered. Attest the revision again.",
        )
    return statement


def _difference(statement: Statement, manifest: Manifest) -> str:
    said, known = (
        {one.name: one.sha256 for one in subjects} for subjects in (statement.subjects, subjects_of(manifest))
    )
    for name in sorted(set(said) | set(known)):
        if said.get(name) != known.get(name):
            how = (
                "is another file"
                if name in said and name in known
                else "is missing"
                if name in known
                else "is too much"
            )
            return f"{name!r} {how}"
    return "its subjects are in another order"


def _check_same(statement: Statement, expected: Statement, kind: Kind, manifest: Manifest) -> None:
    if statement != expected:
        keys = [key for key in sorted(expected.predicate) if statement.predicate.get(key) != expected.predicate[key]]
        raise StatementMismatch(
            f"the {kind.value} attestation says something else of {manifest.reference} than its records do: "
            f"{', '.join(keys) or 'unknown fields'}",
            hint="Whoever signed it described another revision. Attest this one again: weighbridge attest MODEL@REV.",
        )


def _origin(manifest: Manifest) -> dict[str, JsonValue]:
    origin = manifest.origin
    return {
        "kind": origin.kind,
        "commit": origin.commit,
        "owner": origin.owner,
        "ownerId": origin.owner_id,
        "ownerKind": origin.owner_kind,
        "repository": origin.repository,
        "repositoryId": origin.repository_id,
        "publishedAt": origin.published_at,
    }
