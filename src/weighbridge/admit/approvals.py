"""What people said of a decision: signed, for one manifest, one decision and one ledger, for a limited time.

Rules:

- an approval is a statement that the person's own key signed; it counts while the person may approve, the decision is still
  the one that was approved, and its time is not over;
- what a person said last counts; a statement entered a second time (a replay) says nothing;
- a standing rejection outweighs any number of approvals;
- whoever asked for the revision cannot approve it, unless policy lets people approve their own and nobody else could;
- a gateway may pass on the word of a person whom it authenticated: it signs, names itself and the login, and the word is the
  person's. It needs the role for that, and the login must be the person's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from weighbridge.admit.people import Person, Roster
from weighbridge.attest.statement import Statement, Subject, open_statement, sign_statement, unverified
from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.decision import Decision, Outcome
from weighbridge.core.errors import Denied, FormatError, StatementMismatch, TrustError
from weighbridge.core.ports import Signer
from weighbridge.store.ledger import Event, Ledger
from weighbridge.vault.events import requester_of

APPROVAL_TYPE: Final = "https://weighbridge.dev/approval/v1"
APPROVED: Final = "revision.approved"
REJECTED: Final = "revision.rejected"
VALID_DAYS: Final = 30
MAX_REASON: Final = 2_000


@dataclass(frozen=True, slots=True)
class Approval:
    """One signed word about one decision; times are RFC 3339 in UTC.

    `digest` is the SHA-256 of what was signed and not of the envelope: of one ECDSA signature anybody can make a second
    that is valid too, and a replay under it must not look new.
    """

    person: str
    approves: bool
    own: bool
    reason: str
    reference: str
    manifest_digest: str
    decision_digest: str
    said_at: str
    expires_at: str
    ledger: str
    digest: str
    through: str = ""
    """The gateway that passed it on; "" where the person's own key signed."""


@dataclass(frozen=True, slots=True)
class Heritage:
    """Words about another revision that stand for this one; only `admit.succession.heritage_of` makes it, from sealed bytes.

    `predecessor` is `org/name@revision`; `why` says why no word of it counts, "" where they do.
    """

    predecessor: str
    words: tuple[Approval, ...]
    envelope: bytes = b""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who says something: a person with a key of one's own, or through a gateway's key with the login that it proved."""

    name: str
    signer: Signer
    through: str = ""
    login: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a decision has come with people. `set_aside` says, for each word that does not count, why."""

    decision: Decision
    approved: tuple[Approval, ...]
    rejected: tuple[Approval, ...]
    set_aside: tuple[str, ...]
    requester: str
    reachable: int
    """How many of the people here may approve."""
    known: bool
    """Whether anybody is known here; the first one to approve makes himself known."""
    heritage: Heritage | None = None
    """Where `approved` holds words about the revision that this one follows; see `admit.succession`."""

    @property
    def missing(self) -> int:
        """How many approvals are still needed."""
        return max(0, self.decision.approvals - len(self.approved))

    @property
    def complete(self) -> bool:
        """Whether nothing of people is missing."""
        return not self.missing and not self.rejected

    def check(self) -> None:
        """Returns when policy has no objection and everybody who must has approved.

        Raises:
            Denied: with the rule ids, and what would change it.
        """
        decision = self.decision
        reference = f"{decision.model_name}@{decision.revision}"
        if decision.outcome is not Outcome.ADMIT:
            changes = [f"{one.rule}: {one.change}" for one in decision.reasons if one.outcome is decision.outcome]
            raise Denied(
                f"policy '{decision.policy_name}' says {decision.outcome.value} to {reference}: "
                + "; ".join(one.message for one in decision.reasons if one.outcome is decision.outcome),
                rules=decision.rules,
                hint="\n".join(changes),
            )
        if self.rejected:
            word = self.rejected[0]
            raise Denied(
                f"{reference} was rejected by '{word.person}': {word.reason}",
                rules=("rejected",),
                hint="Only that person can take it back, by approving.",
            )
        if self.missing:
            raise Denied(
                f"{reference} has {len(self.approved)} of {decision.approvals} approvals",
                rules=("approvals-missing",),
                hint=self._how(),
            )

    def _how(self) -> str:
        lines = list(self.set_aside)
        lines.append(
            f'Have it approved: weighbridge approve {self.decision.model_name}@{self.decision.revision[:12]} --reason "…"'
        )
        if self.reachable < self.decision.approvals - (not self.known):
            lines.append(f"Only {self.reachable} of the people here may approve it; admit more: weighbridge people add")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Case:
    """What is to be approved: a decision, who asked for the revision, and where it is written down."""

    decision: Decision
    requester: str
    ledger: str

    @property
    def reference(self) -> str:
        """`org/name@revision`."""
        return f"{self.decision.model_name}@{self.decision.revision}"

    def is_requester(self, person: Person) -> bool:
        """Whether the person asked for the revision."""
        return person.is_actor(self.requester)

    def may_approve_own(self, roster: Roster) -> bool:
        """Whether policy lets a person approve what that person asked for, and nobody else is here who could."""
        return self.decision.self_approval and sum(one.may_approve for one in roster.people) == 1


def say(
    ledger: Ledger,
    case: Case,
    roster: Roster,
    speaker: Speaker,
    *,
    approves: bool,
    reason: str,
    now: str,
    valid_days: int = VALID_DAYS,
) -> Approval:
    """Signs and records an approval or a rejection.

    Raises:
        Denied: the person may not, policy denies the revision, or it would be the person's own.
        LedgerError, StoreError: it could not be recorded.
    """
    who = _person(case, roster, speaker, approves=approves)
    if not reason.strip() or len(reason) > MAX_REASON:
        raise Denied("a reason of a few words is needed", rules=("no-reason",), hint='Say why: --reason "…"')
    predicate: dict[str, JsonValue] = {
        "person": who.name,
        "says": "approved" if approves else "rejected",
        "own": case.is_requester(who),
        "reason": reason,
        "manifest_digest": case.decision.manifest_digest,
        "decision_digest": case.decision.digest,
        "policy_digest": case.decision.policy_digest,
        "said_at": now,
        "expires_at": _plus(now, valid_days),
        "ledger": case.ledger,
        "through": speaker.through,
        "login": speaker.login,
    }
    subject = Subject(case.reference, case.decision.manifest_digest)
    envelope = sign_statement(Statement((subject,), APPROVAL_TYPE, predicate), speaker.signer)
    word = read_approval(envelope, roster)
    payload: dict[str, JsonValue] = {
        "model": str(case.decision.model_name),
        "revision": case.decision.revision,
        "person": who.name,
        "own": word.own,
        "through": speaker.through,
        "reason": reason,
        "decision_digest": word.decision_digest,
        "statement": envelope.decode("utf-8"),
    }
    ledger.append(APPROVED if approves else REJECTED, case.reference, payload, actor=who.name)
    return word


def _person(case: Case, roster: Roster, speaker: Speaker, *, approves: bool) -> Person:
    who = roster.person(speaker.name)
    if not speaks_for(who, speaker.signer.key_id, roster, through=speaker.through, login=speaker.login):
        raise Denied(f"this is not the key of '{who.name}'", rules=("not-the-persons-key",))
    if not who.may_approve:
        raise Denied(
            f"'{who.name}' may not approve or reject",
            rules=("not-a-reviewer",),
            hint="An admin admits reviewers: weighbridge people add NAME --role reviewer --key FILE.pub",
        )
    if approves and case.decision.outcome is Outcome.DENY:
        raise Denied(
            f"policy '{case.decision.policy_name}' denies {case.reference}; no approval lifts that",
            rules=case.decision.rules,
            hint="`weighbridge decide` says what would change it.",
        )
    if approves and case.is_requester(who) and not case.may_approve_own(roster):
        raise Denied(
            f"'{who.name}' asked for {case.reference} and cannot approve it",
            rules=("four-eyes",),
            hint="Somebody else must: " + (", ".join(_others(case, roster)) or "weighbridge people add NAME"),
        )
    return who


def speaks_for(who: Person, key_id: str, roster: Roster, *, through: str, login: str) -> bool:
    """Whether a key may sign what a person says: it is the person's, or a gateway's that knows the person's login."""
    if not through:
        return key_id == who.key_id and not login
    gateway = roster.person(through)
    return gateway.may_pass_on and gateway.key_id == key_id and login.startswith("oidc:") and login in who.logins


def _others(case: Case, roster: Roster) -> list[str]:
    return sorted(one.name for one in roster.people if one.may_approve and not case.is_requester(one))


def read_approval(envelope: bytes, roster: Roster) -> Approval:
    """An approval or rejection, once the key of the person it names is known to have signed it.

    Raises:
        SignatureInvalid, Revoked: no active person's key signed it.
        StatementMismatch: it is another kind of statement, or signed by somebody else than it names.
    """
    statement = open_statement(envelope, roster.keys, predicate_type=APPROVAL_TYPE)
    try:
        fields = Fields(statement.predicate, what="the approval")
        says = fields.text("says")
        word = Approval(
            person=fields.text("person"),
            approves=says == "approved",
            own=fields.boolean("own"),
            reason=fields.text("reason"),
            reference=statement.subjects[0].name,
            manifest_digest=fields.text("manifest_digest"),
            decision_digest=fields.text("decision_digest"),
            said_at=fields.text("said_at"),
            expires_at=fields.text("expires_at"),
            ledger=fields.text("ledger"),
            through=fields.text("through"),
            digest=canonical.digest(statement.to_json()),
        )
        fields.text("policy_digest")
        login = fields.text("login")
        fields.done()
    except FormatError as error:
        raise StatementMismatch(f"the signed statement is no approval: {error.message}") from error
    if says not in ("approved", "rejected") or len(statement.subjects) != 1:
        raise StatementMismatch("the signed statement neither approves nor rejects one revision")
    if statement.subjects[0].sha256 != word.manifest_digest:
        raise StatementMismatch("the approval names another manifest than it is about")
    signed_by = unverified(envelope)[0]
    if not speaks_for(roster.person(word.person), signed_by, roster, through=word.through, login=login):
        raise StatementMismatch(f"the approval says it is by '{word.person}', but another key signed it")
    return word


def standing(
    case: Case, roster: Roster, events: Iterable[Event], *, now: str, heritage: Heritage | None = None
) -> Standing:
    """What people's words, as the ledger's events hold them, come to for one case at one time.

    `heritage` adds words about the revision that this one follows, of people who said nothing about this one.
    """
    last: dict[str, Approval] = {}
    seen: set[str] = set()
    aside: list[str] = []
    for event in events:
        if event.kind not in (APPROVED, REJECTED) or event.subject != case.reference:
            continue
        try:
            word = read_approval(Fields(event.payload, what="the event").text("statement").encode("utf-8"), roster)
        except (TrustError, FormatError, Denied) as error:
            aside.append(f"event {event.sequence} does not count: {error.message}")
            continue
        if word.digest in seen:
            aside.append(f"event {event.sequence} does not count: it repeats an earlier word of '{word.person}'")
            continue
        seen.add(word.digest)
        last[word.person] = word
    counted: dict[bool, list[Approval]] = {True: [], False: []}
    for word in last.values():
        reason = _void(word, case, roster, now=now)
        if reason:
            aside.append(f"the word of '{word.person}' does not count: {reason}")
        else:
            counted[word.approves].append(word)
    if heritage is not None:
        counted[True] += _inherited(case, roster, heritage, said=frozenset(last))
        if heritage.why:
            aside.append(
                f"approvals of {heritage.predecessor or 'another revision'} do not stand for it: {heritage.why}"
            )
    own = case.may_approve_own(roster)
    reachable = sum(one.may_approve and (own or not case.is_requester(one)) for one in roster.people)
    approved, rejected = tuple(counted[True]), tuple(counted[False])
    return Standing(
        case.decision, approved, rejected, tuple(aside), case.requester, reachable, bool(roster.people), heritage
    )


def _inherited(case: Case, roster: Roster, heritage: Heritage, *, said: frozenset[str]) -> list[Approval]:
    """The words that count although they are about the revision before: not of whoever asked, or spoke of this one."""
    own = case.may_approve_own(roster)
    return [
        word
        for word in heritage.words
        if word.person not in said and (own or not case.is_requester(roster.person(word.person)))
    ]


def case_of(ledger: Ledger, decision: Decision) -> Case:
    """A decision as people are asked about it: with who brought the revision in, by the ledger.

    Raises:
        LedgerError, StoreError: the ledger cannot be read.
    """
    requester = requester_of(ledger, f"{decision.model_name}@{decision.revision}")
    return Case(decision, requester, ledger.identity())


def standing_of(ledger: Ledger, case: Case, roster: Roster, *, now: str, heritage: Heritage | None = None) -> Standing:
    """What people said of a case until now, by the ledger; `heritage` as of `standing`. Raises as `case_of`."""
    events = ledger.events(subject=case.reference, kinds=(APPROVED, REJECTED))
    return standing(case, roster, events, now=now, heritage=heritage)


def _void(word: Approval, case: Case, roster: Roster, *, now: str) -> str:
    """Why a word does not count in this case; "" when it does."""
    person = roster.person(word.person)
    if word.ledger != case.ledger:
        return "it was said for another ledger"
    if (word.reference, word.manifest_digest) != (case.reference, case.decision.manifest_digest):
        return "it is about another revision"
    if not person.may_approve:
        return "the person may not approve"
    if not word.approves:
        return ""
    if word.decision_digest != case.decision.digest:
        return "what was approved is not what policy says now (other findings, other policy, or another decision)"
    if _time(now) < _time(word.said_at):
        return f"it is dated {word.said_at}, which has not come yet"
    if _time(now) >= _time(word.expires_at):
        return f"it expired at {word.expires_at}"
    if case.is_requester(person) and not case.may_approve_own(roster):
        return "whoever asked for a revision cannot approve it"
    return ""


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise StatementMismatch(f"{text!r} is not a time") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _plus(now: str, days: int) -> str:
    return (_time(now) + timedelta(days=days)).astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
