"""What a person does from the catalog: approve, reject, promote, roll back; each checked here, whatever the page showed.

Rules:

- only a person whom an OpenID Connect provider knows, under a login that an admin gave that person, may act; an access token
  never can. The gateway's key, with the role `gateway`, passes the word on and names itself and the login;
- a word is about the decision that the page showed: where policy says something else by now, nothing is recorded;
- the ledger is verified before anything is recorded on its word;
- promoting and rolling back are done by `Movements`, with the home's own key; policy and approvals are checked there again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from weighbridge.admit.adoption import check_adopted
from weighbridge.admit.approvals import MAX_REASON, Speaker, say
from weighbridge.admit.judge_revision import record_decision
from weighbridge.admit.people import Person, Roster
from weighbridge.core.errors import Conflict, Denied, NothingCollected
from weighbridge.core.names import ModelName
from weighbridge.serve.web_data import Shelf, WebSources, arrival
from weighbridge.serve.web_session import Visitor, sees_all

DECIDING: Final = ("approve", "reject")
MOVING: Final = ("promote", "rollback")
ACTS: Final = (*DECIDING, *MOVING)


@dataclass(frozen=True, slots=True)
class Order:
    """What a form asks for. `decision` is the digest of the decision that the page showed."""

    act: str
    model_name: ModelName
    revision: str
    reason: str
    channel: str = ""
    decision: str = ""


class Movements(Protocol):
    """Moves revisions and channels with the home's key. Both methods block, and raise `WeighbridgeError`."""

    def promote(self, order: Order, person: str) -> str:
        """Judges again, checks the approvals, copies, and points the channel; says what was done."""
        ...

    def rollback(self, order: Order, person: str) -> str:
        """Points the channel back to what it pointed to before; says what was done."""
        ...


def visitor_of_login(roster: Roster, login: str, name: str) -> Visitor:
    """Whoever came by OpenID Connect: a person where an admin gave that login to one, else a guest."""
    person = next((one for one in roster.active if login in one.logins), None)
    if person is None:
        return Visitor(name, "oidc", login, sees=sees_all)
    roles = tuple(sorted(role.value for role in person.roles))
    return Visitor(person.name, "oidc", login, person.name, roles, may_decide=person.may_approve)


def gateway_of(sources: WebSources, roster: Roster) -> Person | None:
    """The gateway's own entry among the people; None where its key has no such role."""
    if sources.gateway_signer is None:
        return None
    found = roster.of_key(sources.gateway_signer.key_id)
    return found if found is not None and found.may_pass_on else None


def perform(shelf: Shelf, sources: WebSources, movements: Movements | None, visitor: Visitor, order: Order) -> str:
    """Does what a form asks for, and says what was done.

    Raises:
        Denied: the visitor may not, or policy or people are against it.
        Conflict: the decision is no longer the one that was shown.
        WeighbridgeError: something it rests on does not hold or does not answer.
    """
    roster = shelf.roster()
    if not visitor.login or not visitor.may_decide or not roster.person(visitor.person).may_approve:
        raise Denied(
            "you may not decide here",
            rules=("not-a-reviewer",),
            hint="An admin admits reviewers: weighbridge people add NAME --role reviewer --oidc 'ISSUER#SUB'",
        )
    if not order.reason.strip() or len(order.reason) > MAX_REASON or not order.reason.isprintable():
        raise Denied("a reason of a few words in one line is needed", rules=("no-reason",))
    sources.ledger.verify(sources.verifier)
    if order.act in MOVING:
        if movements is None:
            raise Denied("this gateway cannot promote or roll back", rules=("no-key",), hint="Use the command line.")
        moved = movements.promote if order.act == "promote" else movements.rollback
        return moved(order, visitor.person)
    return _say(shelf, sources, visitor, order, roster)


def _say(shelf: Shelf, sources: WebSources, visitor: Visitor, order: Order, roster: Roster) -> str:
    gateway = gateway_of(sources, roster)
    if gateway is None or sources.gateway_signer is None:
        raise Denied(
            "this gateway may not pass on what people say",
            rules=("not-a-gateway",),
            hint="An admin admits it: weighbridge people add NAME --role gateway --key FILE.pub",
        )
    rows = [one for one in sources.ledger.catalog().revisions(order.model_name) if one.revision == order.revision]
    if not rows:
        raise NothingCollected(f"{order.model_name} has no revision {order.revision}")
    opened = shelf.open(arrival(rows, sources.approved_store.address))
    if opened.sealed is None:
        raise NothingCollected(opened.problem)
    store = sources.store_of(opened.row.store)
    decision = shelf.judge(opened.sealed, store)
    if decision is None:
        raise Denied("this gateway has no policy to judge by", rules=("no-policy",))
    if decision.digest != order.decision:
        raise Conflict(
            f"the decision on {order.model_name}@{order.revision[:12]} changed since you looked at it",
            hint="Findings, policy or provenance are not what the page showed. Read it again, then decide.",
        )
    check_adopted(sources.ledger, decision)
    record_decision(store, sources.ledger, decision, actor=visitor.person)
    word = say(
        sources.ledger,
        shelf.case(decision),
        roster,
        Speaker(visitor.person, sources.gateway_signer, gateway.name, visitor.login),
        approves=order.act == "approve",
        reason=order.reason,
        now=sources.clock(),
    )
    after = shelf.standing(shelf.case(decision))
    if not word.approves:
        return f"You rejected {order.model_name}@{order.revision[:12]}. It stands until you approve it."
    return f"You approved {order.model_name}@{order.revision[:12]}: {len(after.approved)} of {decision.approvals} approvals."
