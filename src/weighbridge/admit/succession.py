"""Lets the approvals of one revision stand for the next one, where only the words of the model card changed.

Who approved a revision approved everything in it that a program reads. A revision that differs from it in nothing but the words
of its card needs no second word of theirs, where policy says so (`watch.pass` names `card`). How that is kept honest:

- a statement says it: this revision, by its manifest, differs from that one, by its manifest and decision, by this difference,
  by digest. It is signed, and an event of the ledger (`revision.succeeds`);
- the statement alone is worth nothing. Whenever approvals are counted, the difference is made anew from the sealed bytes of
  both revisions, proven against their manifests, and must be the one that was signed;
- the approved revision must stand now: admitted by today's policy, under the decision that people approved, not revoked, its
  approvals not expired and nobody's rejection standing. It must have been approved by people itself: words are not inherited
  twice, so small steps do not add up;
- whoever asked for the later revision cannot count for it, and a rejection of it outweighs everything, as ever.

What policy says of the approved revision by its name (a named revision, an exception for it alone) is said of files. Where the
later one has the same file, byte for byte, it holds there too, as long as it holds: `judge_following`. Of the card, of what lies
in no file, and of a publisher, a licence or an age it is never taken over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from weighbridge.admit.approvals import Approval, Case, Heritage, case_of, standing_of
from weighbridge.admit.channels import check_not_revoked
from weighbridge.admit.facts import Follows
from weighbridge.admit.judge import judge
from weighbridge.admit.judge_revision import Judged, Surroundings, judge_revision
from weighbridge.admit.people import Roster
from weighbridge.admit.policy import Policy
from weighbridge.attest.statement import Statement, Subject, open_statement, sign_statement
from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.decision import Outcome
from weighbridge.core.errors import (
    Denied,
    FormatError,
    NothingCollected,
    StatementMismatch,
    WeighbridgeError,
)
from weighbridge.core.finding import Inspection
from weighbridge.core.names import Reference
from weighbridge.core.ports import ObjectStore, Signer
from weighbridge.drift.card import is_card, naming_card
from weighbridge.drift.change import Difference
from weighbridge.drift.compare import Options, compare
from weighbridge.drift.files import Pairing, pair
from weighbridge.drift.sampling import Budget
from weighbridge.drift.side import Side
from weighbridge.store.ledger import Ledger
from weighbridge.vault.attested import newest_decision
from weighbridge.vault.inspections import latest_inspection
from weighbridge.vault.readers import StoredReader
from weighbridge.vault.records import SealedRevision, open_revision

SUCCESSION_TYPE: Final = "https://weighbridge.dev/succession/v1"
SUCCEEDS: Final = "revision.succeeds"
CARD: Final = "card"
"""What `watch.pass` calls this."""


@dataclass(frozen=True, slots=True)
class Lying:
    """A sealed revision, where it lies, and its newest inspection."""

    store: ObjectStore
    revision: SealedRevision
    inspection: Inspection

    @property
    def side(self) -> Side:
        """As a side of a comparison."""
        return Side.of_manifest(
            self.revision.manifest,
            lambda path: StoredReader(self.store, self.revision.placed[path], path),
            inspection=self.inspection,
        )


@dataclass(frozen=True, slots=True)
class Succession:
    """What the signed statement says; `predecessor` is `org/name@revision`, digests are of manifests, decision, difference."""

    reference: str
    manifest_digest: str
    predecessor: str
    predecessor_manifest_digest: str
    predecessor_decision_digest: str
    difference_digest: str
    ledger: str
    said_at: str


def beside_cards(pairing: Pairing) -> list[str]:
    """The files that differ, come or go, or cannot be told, and are no changed model card."""
    return [
        *pairing.added,
        *pairing.removed,
        *pairing.unproven,
        *(path for pairs in pairing.renamed for path in pairs),
        *(path for path in pairing.changed if not is_card(path)),
    ]


def card_reader(before: Side, pairing: Pairing) -> str:
    """Why words of the card may be more than words: a file of both revisions names it; "" where none does.

    Raises:
        StoreError, SourceError, IntegrityError: the earlier side cannot be read, or is not what its digests say.
    """
    path = naming_card(before, pairing.same)
    return f"{path!a:.80} names the model card, or is too large to be asked, so a program may read it" if path else ""


def only_card(before: Side, after: Side) -> Difference:
    """The difference of two revisions, when it is the words of the model card and nothing else at all.

    Raises:
        Denied: it is more, or nothing, or could not be compared.
        StoreError, SourceError, IntegrityError: a side cannot be read, or is not what its digests say.
    """
    pairing = pair(before, after)
    others = beside_cards(pairing)
    if others or not pairing.changed:
        what = f"{min(others)!a:.80} differs" if others else "nothing differs"
        raise Denied(f"it is not only the model card that changed: {what}", rules=("not-only-card",))
    difference = compare(before, after, Options(Budget(0)), pairing=pairing)
    if not difference.only_readme:
        raise Denied(
            f"it is not only words of the model card that changed: {difference.summary}", rules=("not-only-card",)
        )
    why = card_reader(before, pairing)
    if why:
        raise Denied(f"words of the model card are not only words: {why}", rules=("not-only-card",))
    return difference


def digest_of(difference: Difference) -> str:
    """A difference by its content: 64 hex digits, the same wherever and however it was read."""
    record = difference.to_json()
    for name in ("read_bytes", "reads"):
        del record[name]
    return canonical.digest(record)


def record_succession(
    later: Lying, predecessor: Lying, decision_digest: str, *, ledger: Ledger, signer: Signer, by: tuple[str, str]
) -> Succession:
    """Signs and records that a revision differs from an approved one in the words of its card alone; `by` is actor and time.

    Raises:
        Denied: it differs in more. StoreError, IntegrityError, LedgerError: bytes cannot be read, or it cannot be recorded.
    """
    actor, now = by
    manifest, earlier = later.revision.manifest, predecessor.revision.manifest
    made = Succession(
        manifest.reference,
        manifest.digest,
        earlier.reference,
        earlier.digest,
        decision_digest,
        digest_of(only_card(predecessor.side, later.side)),
        ledger.identity(),
        now,
    )
    predicate: dict[str, JsonValue] = {
        "predecessor": made.predecessor,
        "predecessor_manifest_digest": made.predecessor_manifest_digest,
        "predecessor_decision_digest": made.predecessor_decision_digest,
        "difference_digest": made.difference_digest,
        "differs": CARD,
        "ledger": made.ledger,
        "said_at": made.said_at,
    }
    statement = Statement((Subject(made.reference, made.manifest_digest),), SUCCESSION_TYPE, predicate)
    envelope = sign_statement(statement, signer)
    payload: dict[str, JsonValue] = {
        "model": str(manifest.model_name),
        "revision": manifest.revision,
        "predecessor": earlier.reference,
        "difference_digest": made.difference_digest,
        "statement": envelope.decode("utf-8"),
    }
    ledger.append(SUCCEEDS, made.reference, payload, actor=actor)
    return made


def read_succession(envelope: bytes, beside: Surroundings) -> Succession:
    """A signed statement.

    Raises:
        SignatureInvalid, Revoked: no trusted key signed it. StatementMismatch: it is another one.
    """
    statement = open_statement(envelope, beside.verifier, predicate_type=SUCCESSION_TYPE)
    if len(statement.subjects) != 1:
        raise StatementMismatch("the succession is not of one revision")
    try:
        fields = Fields(statement.predicate, what="the succession")
        found = Succession(
            statement.subjects[0].name,
            statement.subjects[0].sha256,
            *(
                fields.text(name)
                for name in (
                    *("predecessor", "predecessor_manifest_digest", "predecessor_decision_digest"),
                    *("difference_digest", "ledger", "said_at"),
                )
            ),
        )
        if fields.text("differs") != CARD:
            raise StatementMismatch("the succession is of a kind that this version does not know")
        fields.done()
    except FormatError as error:
        raise StatementMismatch(f"the signed statement is no succession: {error.message}") from error
    return found


def recorded(ledger: Ledger, reference: str) -> bytes:
    """The newest envelope on record for a revision; empty where there is none.

    Raises:
        LedgerError, StoreError: the ledger cannot be read.
    """
    last = b""
    for event in ledger.events(subject=reference, kinds=(SUCCEEDS,)):
        last = str(event.payload.get("statement", "")).encode("utf-8")
    return last


def predecessor_of(ledger: Ledger, reference: str, beside: Surroundings) -> str:
    """The approved revision that a revision follows by its signed statement, as `org/name@revision`; "" for none."""
    envelope = recorded(ledger, reference)
    if not envelope:
        return ""
    try:
        return read_succession(envelope, beside).predecessor
    except WeighbridgeError:
        return ""


def heritage_of(
    policy: Policy | None, later: Lying, *, beside: Surroundings, roster: Roster, now: str
) -> Heritage | None:
    """The approvals that stand for a revision because only its card changed; None where no succession is on record.

    Everything is proven here, each time; see the module. What does not hold is told as `why`, with no words. Without a policy
    (where a report is made, and nothing passes by it) the recorded decision on the approved revision counts.
    """
    reference = later.revision.manifest.reference
    envelope = recorded(beside.ledger, reference)
    if not envelope:
        return None
    said = ""
    try:
        found = read_succession(envelope, beside)
        said = found.predecessor
        words = _proven(policy, later, found, beside=beside, roster=roster, now=now)
    except WeighbridgeError as error:
        return Heritage(said, (), why=error.message)
    return Heritage(said, words, envelope=envelope)


def _proven(
    policy: Policy | None, later: Lying, said: Succession, *, beside: Surroundings, roster: Roster, now: str
) -> tuple[Approval, ...]:
    predecessor = _followed(policy, later, said, beside=beside)
    case = standing_case(policy, predecessor, beside=beside, now=now)
    if case.decision.digest != said.predecessor_decision_digest:
        raise StatementMismatch(f"{said.predecessor} is judged otherwise than when it was followed")
    return check_standing(beside.ledger, case, roster, now=now)


def _followed(policy: Policy | None, later: Lying, said: Succession, *, beside: Surroundings) -> Lying:
    """The revision that the statement names, once the bytes of both say what the statement does."""
    manifest = later.revision.manifest
    if policy is not None and CARD not in policy.watch.passes:
        raise Denied("policy lets no change of a card pass by itself", rules=("watch.pass",))
    if (said.reference, said.manifest_digest) != (manifest.reference, manifest.digest):
        raise StatementMismatch("the succession is about another revision")
    if said.ledger != beside.ledger.identity():
        raise StatementMismatch("the succession was said for another ledger")
    predecessor = open_predecessor(said.predecessor, beside)
    earlier = predecessor.revision.manifest
    if earlier.digest != said.predecessor_manifest_digest or earlier.model_name != manifest.model_name:
        raise StatementMismatch("the succession is from another revision")
    if digest_of(only_card(predecessor.side, later.side)) != said.difference_digest:
        raise StatementMismatch("the difference is not the one that was signed")
    return predecessor


def judge_following(
    policy: Policy, revision: SealedRevision, *, store: ObjectStore, beside: Surroundings, now: str
) -> Judged:
    """As `judge_revision`, and what policy says of the files of an approved revision holds for the same files of one that follows it.

    That is proven here, each time, from the sealed bytes of both; see the module. Raises as `judge_revision`.
    """
    judged = judge_revision(policy, revision, store=store, beside=beside, now=now)
    if judged.decision.lasting is Outcome.ADMIT:
        return judged
    follows = follows_of(policy, Lying(store, revision, judged.facts.inspection), beside=beside)
    if follows is None:
        return judged
    facts = replace(judged.facts, follows=follows)
    decision = judge(policy, facts, now)
    return replace(judged, decision=decision, facts=facts) if decision.lasting is Outcome.ADMIT else judged


def follows_of(policy: Policy | None, later: Lying, *, beside: Surroundings) -> Follows | None:
    """The revision that a revision follows, and the files that are the same, from the sealed bytes; None where none is proven.

    Raises:
        LedgerError, StoreError: the ledger cannot be read.
    """
    envelope = recorded(beside.ledger, later.revision.manifest.reference)
    try:
        predecessor = _followed(policy, later, read_succession(envelope, beside), beside=beside) if envelope else None
    except WeighbridgeError:
        # It is judged as it is, then.
        return None
    if predecessor is None:
        return None
    return Follows(predecessor.revision.manifest.revision, frozenset(pair(predecessor.side, later.side).same))


def open_predecessor(reference: str, beside: Surroundings) -> Lying:
    """A revision that came in here, verified, with its newest inspection.

    Raises:
        NothingCollected: there is none. Revoked: it was revoked. StoreError, TrustError: it cannot be opened.
    """
    wanted = Reference.parse(reference)
    check_not_revoked(beside.ledger, wanted.model_name, wanted.selector)
    rows = [one for one in beside.ledger.catalog().revisions(wanted.model_name) if one.revision == wanted.selector]
    # The one that came in first: approved copies are recorded later.
    for row in sorted(rows, key=lambda one: one.sequence)[:1]:
        store = beside.store_of(row.store)
        revision = open_revision(store, row.model_name, row.revision, beside.verifier)
        return Lying(store, revision, latest_inspection(store, revision, beside.ledger))
    raise NothingCollected(f"{reference} is not here any more")


def standing_case(policy: Policy | None, lying: Lying, *, beside: Surroundings, now: str) -> Case:
    """A revision as people are asked about it, judged by today's policy, or by none as it was recorded.

    Raises:
        NothingCollected: no decision is recorded. Others as `judge_revision`.
    """
    if policy is None:
        decision = newest_decision(lying.store, lying.revision.manifest, beside.ledger)
        if decision is None:
            raise NothingCollected(f"no decision on {lying.revision.manifest.reference} is recorded")
        return case_of(beside.ledger, decision)
    judged = judge_revision(policy, lying.revision, store=lying.store, beside=beside, now=now)
    return case_of(beside.ledger, judged.decision)


def check_standing(ledger: Ledger, case: Case, roster: Roster, *, now: str) -> tuple[Approval, ...]:
    """The approvals of a revision that stands by people's own words about it.

    Raises:
        Denied: policy does not admit it, somebody rejected it, or approvals are missing.
    """
    standing = standing_of(ledger, case, roster, now=now)
    standing.check()
    return standing.approved
