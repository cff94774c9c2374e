"""The verification summary: what policy made of a revision, for those who will not look at findings themselves.

A SLSA verification summary v1, with one more field, `weighbridge_decision`, that names everything the answer rests on: the
decision and policy by digest, rule set, findings and coverage, origin, and each person's approval by digest. `PASSED` is said
when policy admits and enough different people approved, else `FAILED`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from weighbridge import __version__
from weighbridge.attest.attestations import (
    STEPS,
    Kind,
    coverage_of,
    findings_digest,
    open_about,
    resource_of,
    subjects_of,
)
from weighbridge.attest.statement import Statement, unverified
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.decision import Decision, Outcome
from weighbridge.core.digests import is_sha256
from weighbridge.core.errors import Expired, FormatError, RolledBack, StatementMismatch
from weighbridge.core.finding import Inspection
from weighbridge.core.manifest import Manifest
from weighbridge.core.ports import SignatureVerifier

VERIFIER: Final = "https://weighbridge.dev/admit/v1"
LEVEL: Final = "WEIGHBRIDGE_ADMITTED"
SLSA_VERSION: Final = "1.0"
CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far the signer's clock may be ahead."""


@dataclass(frozen=True, slots=True)
class Cited:
    """An attestation that a summary rests on: where its envelope is, and the SHA-256 of that envelope."""

    uri: str
    sha256: str


@dataclass(frozen=True, slots=True, order=True)
class Approved:
    """A person's approval: by whom, the SHA-256 of what that person signed, and when (RFC 3339)."""

    person: str
    sha256: str
    said_at: str


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a summary rests on beside the decision."""

    found: Inspection
    attestations: tuple[Cited, ...]
    approvals: tuple[Approved, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a valid summary says. `verified_at` is RFC 3339 in UTC and the signer's word."""

    reference: str
    passed: bool
    outcome: str
    decision_digest: str
    policy_name: str
    policy_digest: str
    facts_digest: str
    rules_version: str
    findings_digest: str
    verified_at: str
    attestations: tuple[Cited, ...]
    approvals: tuple[Approved, ...]
    weighbridge_version: str
    key_id: str
    steps: tuple[str, ...]


def summary(manifest: Manifest, decision: Decision, grounds: Grounds, *, version: str = __version__) -> Statement:
    """What policy made of a revision.

    Raises:
        StatementMismatch: the decision is about another revision or rule set than the rest.
    """
    about = (decision.model_name, decision.revision, decision.manifest_digest)
    if about != (manifest.model_name, manifest.revision, manifest.digest):
        raise StatementMismatch(
            f"the decision is about {decision.model_name}@{decision.revision}, not about {manifest.reference}"
        )
    if decision.rules_version != grounds.found.rules_version:
        raise StatementMismatch(
            f"the decision on {manifest.reference} rests on rules {decision.rules_version}, the inspection on "
            f"{grounds.found.rules_version}",
            hint="Decide again: weighbridge decide MODEL@REV.",
        )
    passed = _passes(decision.outcome.value, decision.approvals, grounds.approvals)
    predicate: dict[str, JsonValue] = {
        "verifier": {"id": VERIFIER, "version": {"weighbridge": version}},
        "timeVerified": max([decision.decided_at, *(one.said_at for one in grounds.approvals)], key=time_of),
        "resourceUri": resource_of(manifest),
        "policy": {
            "uri": f"weighbridge:policy/{decision.policy_name}",
            "digest": {"sha256": decision.policy_digest},
        },
        "inputAttestations": [{"uri": one.uri, "digest": {"sha256": one.sha256}} for one in grounds.attestations],
        "verificationResult": "PASSED" if passed else "FAILED",
        "verifiedLevels": [LEVEL if passed else "FAILED"],
        "slsaVersion": SLSA_VERSION,
        "weighbridge_decision": {
            "digest": decision.digest,
            "outcome": decision.outcome.value,
            "rules": list(decision.rules),
            "factsDigest": decision.facts_digest,
            "manifestDigest": manifest.digest,
            "rulesVersion": decision.rules_version,
            "findingsDigest": findings_digest(grounds.found),
            "coverage": coverage_of(grounds.found),
            "commit": manifest.origin.commit,
            "owner": manifest.origin.owner,
            "ownerId": manifest.origin.owner_id,
            "decidedAt": decision.decided_at,
            "approvalsNeeded": decision.approvals,
            "approvals": [_word(one) for one in sorted(grounds.approvals)],
        },
    }
    return Statement(subjects_of(manifest), Kind.SUMMARY.predicate_type, predicate)


@dataclass(frozen=True, slots=True)
class Freshness:
    """What a reader knows of time: `now`; how old a summary may be; the newest decision known to it, RFC 3339."""

    now: datetime
    max_age: timedelta | None = None
    newest_decision: str = ""


def open_summary(
    envelope: bytes,
    manifest: Manifest,
    verifier: SignatureVerifier,
    *,
    fresh: Freshness,
    policy_digest: str = "",
) -> Summary:
    """What a summary says of the revision; whether it `passed` is for the caller to look at.

    Raises:
        SignatureInvalid, Revoked: no trusted key signed it.
        StatementMismatch: it is about something else, contradicts itself, or rests on another policy.
        Expired: it is older than `max_age`, or of a time to come.
        RolledBack: a newer decision is known.
    """
    statement = open_about(envelope, Kind.SUMMARY, manifest, verifier)
    try:
        found = _read(statement, manifest, key_id=unverified(envelope)[0])
    except FormatError as error:
        raise StatementMismatch(f"the signed statement is no summary of ours: {error.message}") from error
    if policy_digest and found.policy_digest != policy_digest:
        raise StatementMismatch(
            f"the summary of {manifest.reference} rests on another policy ({found.policy_name})",
            hint="Decide by the policy that holds now, then attest again.",
        )
    _check_time(found, fresh)
    return found


def time_of(text: str) -> datetime:
    """A time as statements hold it.

    Raises:
        StatementMismatch: it is none, or says no time zone.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise StatementMismatch(f"{text[:40]!r} is not a time") from error
    if found.tzinfo is None:
        raise StatementMismatch(f"{text[:40]!r} says no time zone")
    return found.astimezone(UTC)


def _passes(outcome: str, needed: int, approvals: tuple[Approved, ...]) -> bool:
    """The same person, or the same words, count once."""
    people, words = {one.person for one in approvals}, {one.sha256 for one in approvals}
    return outcome == Outcome.ADMIT.value and min(len(people), len(words)) >= needed


def _word(one: Approved) -> dict[str, JsonValue]:
    return {"person": one.person, "digest": {"sha256": one.sha256}, "saidAt": one.said_at}


def _read(statement: Statement, manifest: Manifest, *, key_id: str) -> Summary:
    fields = Fields(statement.predicate, what="the summary")
    policy, decision = fields.fields("policy"), fields.fields("weighbridge_decision")
    verifier = fields.fields("verifier")
    result, levels = fields.text("verificationResult"), fields.texts("verifiedLevels")
    outcome, needed = decision.text("outcome"), decision.integer("approvalsNeeded")
    approvals = tuple(_read_word(Fields(item, what="an approval")) for item in decision.items("approvals"))
    about = (
        (fields.text("resourceUri"), resource_of(manifest)),
        (decision.text("manifestDigest"), manifest.digest),
        (decision.text("commit"), manifest.origin.commit),
        (decision.text("owner"), manifest.origin.owner),
        (decision.text("ownerId"), manifest.origin.owner_id),
        (fields.text("slsaVersion"), SLSA_VERSION),
        (verifier.text("id"), VERIFIER),
    )
    wrong = next((f"{said!r} instead of {known!r}" for said, known in about if said != known), "")
    if wrong:
        raise StatementMismatch(f"the summary says something else of {manifest.reference}: {wrong}")
    passed = _passes(outcome, needed, approvals)
    if (result, levels) != (("PASSED", (LEVEL,)) if passed else ("FAILED", ("FAILED",))):
        raise StatementMismatch(
            f"the summary of {manifest.reference} says {result}, though policy said {outcome} and {len(approvals)} of {needed} approvals are there"
        )
    name = policy.text("uri").removeprefix("weighbridge:policy/")
    found = Summary(
        reference=manifest.reference,
        passed=passed,
        outcome=outcome,
        decision_digest=decision.text("digest"),
        policy_name=name,
        policy_digest=_sha256(policy),
        facts_digest=decision.text("factsDigest"),
        rules_version=decision.text("rulesVersion"),
        findings_digest=decision.text("findingsDigest"),
        verified_at=fields.text("timeVerified"),
        attestations=tuple(_read_cited(Fields(one, what="an input")) for one in fields.items("inputAttestations")),
        approvals=approvals,
        weighbridge_version=verifier.fields("version").text("weighbridge"),
        key_id=key_id,
        steps=(*STEPS, "it says PASSED exactly when policy admits and enough different people approved"),
    )
    _finish(decision, fields, policy, found)
    return found


def _finish(decision: Fields, fields: Fields, policy: Fields, found: Summary) -> None:
    """Refuses fields that nobody read, and digests that are none."""
    decision.texts("rules")
    decision.value("coverage")
    decided_at = time_of(decision.text("decidedAt"))
    for one in (decision, fields, policy):
        one.done()
    if not all(map(is_sha256, (found.decision_digest, found.facts_digest, found.findings_digest))):
        raise StatementMismatch("a digest in the summary is none")
    latest = max([decided_at, *(time_of(one.said_at) for one in found.approvals)])
    if time_of(found.verified_at) != latest:
        raise StatementMismatch("the summary's time is not that of the decision and its approvals")


def _read_word(fields: Fields) -> Approved:
    word = Approved(fields.text("person"), _sha256(fields), fields.text("saidAt"))
    fields.done()
    return word


def _read_cited(fields: Fields) -> Cited:
    cited = Cited(fields.text("uri"), _sha256(fields))
    fields.done()
    return cited


def _sha256(fields: Fields) -> str:
    digests = fields.mapping("digest")
    if set(digests) != {"sha256"} or not is_sha256(digests["sha256"]):
        raise StatementMismatch("a digest in the summary is no SHA-256")
    return digests["sha256"]


def _check_time(found: Summary, fresh: Freshness) -> None:
    verified_at = time_of(found.verified_at)
    if verified_at > fresh.now + CLOCK_SKEW:
        raise Expired(
            f"the summary of {found.reference} is dated {found.verified_at}, which has not come yet",
            hint="Check the clocks here and where it was signed.",
        )
    if fresh.max_age is not None and fresh.now - verified_at > fresh.max_age:
        raise Expired(
            f"the summary of {found.reference} is of {found.verified_at}, older than {fresh.max_age.days} days",
            hint="Decide again, then attest again.",
        )
    if fresh.newest_decision and verified_at < time_of(fresh.newest_decision):
        raise RolledBack(
            f"the summary of {found.reference} is of {found.verified_at}, but a decision of {fresh.newest_decision} is known",
            hint="An older summary is shown in place of a newer one. Use the newest: weighbridge attest MODEL@REV.",
        )
