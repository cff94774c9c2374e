"""Which policy counts here: the one that an admin adopted last, by a signed statement in the ledger.

A policy is a file, and whoever runs a command may name another one. Once an admin has adopted a policy, nothing is approved or
promoted by any other: a lenient file on somebody's machine, or an edited one, closes the gate instead of opening it. Where
none was ever adopted, the policy of the settings counts.
"""

from __future__ import annotations

from typing import Final

from weighbridge.admit.people import Roster, check_admin, roster_of
from weighbridge.attest.statement import Statement, Subject, open_statement, sign_statement, unverified
from weighbridge.core.canonical import Fields
from weighbridge.core.decision import Decision
from weighbridge.core.errors import Denied, FormatError, LedgerError, StatementMismatch, TrustError
from weighbridge.core.ports import Signer
from weighbridge.store.ledger import Event, Ledger

ADOPTION_TYPE: Final = "https://weighbridge.dev/policy-adoption/v1"
ADOPTED: Final = "policy.adopted"


def adopt(ledger: Ledger, name: str, digest: str, *, admin: tuple[str, Signer]) -> None:
    """Makes the policy with that digest the one that counts.

    Raises:
        Denied: `admin` is none. LedgerError, StoreError: it could not be recorded.
    """
    check_admin(roster_of(ledger), admin)
    earlier = list(ledger.events(kinds=(ADOPTED,)))
    after = earlier[-1].digest if earlier else ""
    predicate = {"policy": name, "by": admin[0], "ledger": ledger.identity(), "after": after}
    envelope = sign_statement(Statement((Subject(f"policy:{name}", digest),), ADOPTION_TYPE, predicate), admin[1])
    payload = {"policy": name, "policy_digest": digest, "statement": envelope.decode("utf-8")}
    ledger.append(ADOPTED, f"policy:{name}", payload, actor=admin[0])


def check_adopted(ledger: Ledger, decision: Decision) -> None:
    """Returns when a decision was made by the policy that counts. Raises as `check_counts`."""
    check_counts(ledger, decision.policy_name, decision.policy_digest)


def check_counts(ledger: Ledger, policy_name: str, policy_digest: str) -> None:
    """Returns when the policy with that digest is the one that counts.

    Raises:
        Denied: it is another.
        LedgerError: what the ledger says of the policy does not verify.
    """
    adoptions = list(ledger.events(kinds=(ADOPTED,)))
    if not adoptions:
        return
    event = adoptions[-1]
    name, digest = _read(ledger, event, after=adoptions[-2].digest if len(adoptions) > 1 else "")
    if policy_digest != digest:
        raise Denied(
            f"the policy '{policy_name}' ({policy_digest[:12]}…) is not the one that counts here: "
            f"'{name}' ({digest[:12]}…), adopted {event.time[:10]} by {event.actor}",
            rules=("policy-not-adopted",),
            hint="Use that policy, or have an admin adopt this one: weighbridge policy adopt",
        )


def _read(ledger: Ledger, event: Event, *, after: str) -> tuple[str, str]:
    """Name and digest of the policy that an event adopts, once an admin's signature holds.

    `after` is the digest of the adoption before: an old statement that is entered again is no new adoption.
    """
    try:
        envelope = Fields(event.payload, what="the event").text("statement").encode("utf-8")
        roster = roster_of(ledger)
        statement = open_statement(envelope, roster.keys, predicate_type=ADOPTION_TYPE)
        fields = Fields(statement.predicate, what="the adoption of a policy")
        name, by = fields.text("policy"), fields.text("by")
        made_for, made_after = fields.text("ledger"), fields.text("after")
        fields.done()
        _check_by(roster, by, unverified(envelope)[0])
        if (made_for, made_after) != (ledger.identity(), after) or len(statement.subjects) != 1:
            raise StatementMismatch("the statement was made for another ledger or another time")
        return name, statement.subjects[0].sha256
    except (TrustError, FormatError, Denied) as error:
        raise LedgerError(
            f"event {event.sequence} of the ledger does not adopt a policy: {error.message}",
            hint="Somebody wrote to the ledger without an admin's key, or the admin was removed: adopt a policy again.",
        ) from error


def _check_by(roster: Roster, by: str, signed_by: str) -> None:
    person = roster.person(by)
    if not person.is_admin or person.key_id != signed_by:
        raise StatementMismatch(f"'{by}' is no admin, or another key signed")
