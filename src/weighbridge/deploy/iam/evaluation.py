"""Decides whether a request is allowed, by AWS's evaluation logic, and never guesses: what is not certain is unproved.

An explicit deny in any policy wins. Within one account either side's allow is enough, except for keys and role trust, where the
resource's own policy must allow or hand the decision to the account; between accounts both sides must allow. A VPC endpoint's
policy and a permissions boundary only narrow. Source: IAM User Guide, "Policy evaluation logic" and "Cross-account policy
evaluation logic"; KMS Developer Guide, "Key policies".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Final

from weighbridge.deploy.iam.conditions import Context, judge
from weighbridge.deploy.iam.document import VERSION, Effect, Element, PolicyDocument
from weighbridge.deploy.iam.patterns import (
    Pattern,
    Truth,
    all_of,
    any_of,
    matches,
    matches_arn,
    matches_under,
    read_pattern,
)
from weighbridge.deploy.iam.principals import Kind, Named, Principal, naming

NOT_SEEN: Final = (
    "service control policies and resource control policies of the organisation",
    "session policies given when a role is assumed",
    "access control lists of buckets and objects",
    "grants on KMS keys",
)
"""What decides too and is no part of a decision here. None of these can allow what a policy denies."""


_KEPT_CHARACTERS: Final = 512
"""What longer names match is not remembered."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    `account` owns the resource. With `complete`, a key that the context lacks is absent from the request; otherwise it is
    unknown, and a decision holds for every value that it could have. With `under`, the resource stands for all resources whose
    ARN begins like it.
    """

    principal: Principal
    action: str
    resource: str
    account: str
    context: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    complete: bool = True
    under: bool = False

    def seen_by(self, version: str) -> Context:
        """The context for a policy of that version."""
        values = self.principal.context()
        for key, value in self.context.items():
            values[key.lower()] = (value,) if isinstance(value, str) else tuple(value)
        return Context(values, self.complete, version == VERSION)


class Outcome(Enum):
    """What comes of a request."""

    ALLOWED = "allowed"
    DENIED = "denied"
    UNPROVED = "unproved"
    """Neither is certain from what is given."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What comes of a request, and why."""

    outcome: Outcome
    explicit: bool = False
    """Whether a statement denies it; otherwise a denial is for want of one that allows."""
    statements: tuple[str, ...] = ()
    """What decided: those that deny, or those that allow."""
    doubts: tuple[str, ...] = ()
    """What kept it from being decided, or could turn it."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What one statement says to a request; without a name where it is about other actions."""

    statement: str
    effect: Effect
    truth: Truth
    named: Named
    doubt: str = ""


def evaluate(
    request: Request,
    identity_policies: Sequence[PolicyDocument] = (),
    resource_policy: PolicyDocument | None = None,
    *,
    endpoint_policy: PolicyDocument | None = None,
    boundary: PolicyDocument | None = None,
) -> Decision:
    """The decision. `NOT_SEEN` lists what it leaves out.

    `resource_policy` None means that there is none; `endpoint_policy` None that no VPC endpoint, or one without bounds, is used.
    """
    identity = [one for policy in identity_policies for one in apply(policy, request)]
    resource = apply(resource_policy, request) if resource_policy else []
    endpoint = apply(endpoint_policy, request) if endpoint_policy else []
    bound = apply(boundary, request) if boundary else []
    everything = [*identity, *resource, *endpoint, *bound]
    denying = [one for one in everything if one.effect is Effect.DENY and one.truth is not Truth.NO]
    certain = tuple(one.statement for one in denying if one.truth is Truth.YES)
    if certain:
        return Decision(Outcome.DENIED, explicit=True, statements=certain)
    narrowed = _allows(bound) if boundary else Truth.YES
    allowed = _combined(request, all_of([_allows(identity), narrowed]), resource, narrowed)
    if endpoint_policy:
        allowed = all_of([allowed, _allows(endpoint)])
    if allowed is Truth.NO:
        return Decision(Outcome.DENIED)
    doubts = tuple(f"{one.statement}: {one.doubt}" for one in everything if one.truth is Truth.UNKNOWN)
    allowing = tuple(one.statement for one in everything if one.effect is Effect.ALLOW and one.truth is Truth.YES)
    if allowed is Truth.UNKNOWN or denying:
        return Decision(Outcome.UNPROVED, statements=allowing, doubts=doubts)
    return Decision(Outcome.ALLOWED, statements=allowing, doubts=doubts)


def apply(policy: PolicyDocument, request: Request) -> list[Applied]:
    """What each statement of a policy says to the request."""
    context = request.seen_by(policy.version)
    return [_apply(policy, place, request, context) for place in range(len(policy.statements))]


def granted(applied: Sequence[Applied]) -> Truth:
    """What a resource's policy alone grants: no when it denies for certain or allows nothing."""
    if any(one.effect is Effect.DENY and one.truth is Truth.YES for one in applied):
        return Truth.NO
    doubtful = any(one.effect is Effect.DENY and one.truth is Truth.UNKNOWN for one in applied)
    allowed = _allows(applied)
    return Truth.UNKNOWN if doubtful and allowed is Truth.YES else allowed


def _allows(applied: Sequence[Applied]) -> Truth:
    return any_of(one.truth for one in applied if one.effect is Effect.ALLOW)


def _combined(request: Request, identity: Truth, resource: Sequence[Applied], narrowed: Truth) -> Truth:
    """Whether the allows of both sides together are enough."""
    allowing = [one for one in resource if one.effect is Effect.ALLOW]
    account = any_of(one.truth for one in allowing if one.named in (Named.ACCOUNT, Named.UNKNOWN))
    session = any_of(one.truth for one in allowing if one.named is Named.SESSION)
    role = any_of(one.truth for one in allowing if one.named in (Named.DIRECTLY, Named.UNKNOWN))
    principal = request.principal
    if principal.kind in (Kind.SERVICE, Kind.ANONYMOUS):
        return role
    if principal.kind is Kind.ANYONE:
        return Truth.UNKNOWN
    bounded = role if principal.kind is Kind.USER else all_of([role, narrowed])
    direct = any_of([session, bounded])
    if principal.kind is Kind.ROOT:
        # The root user is bound by nothing but denials.
        identity = Truth.YES
    if principal.account != request.account:
        return all_of([identity, any_of([direct, account, role])])
    if _decides_alone(request.action):
        return any_of([direct, all_of([account, identity])])
    return any_of([direct, identity])


def _decides_alone(action: str) -> bool:
    """Whether a resource's own policy must allow, within its account too: keys, and who may assume a role."""
    service, _, name = action.lower().partition(":")
    return service == "kms" or (service == "sts" and name.startswith("assumerole"))


def _apply(policy: PolicyDocument, place: int, request: Request, context: Context) -> Applied:
    statement = policy.statements[place]
    if not _concerns(statement.action, request.action.lower()):
        return Applied("", statement.effect, Truth.NO, Named.NOT)
    truths: list[Truth] = []
    doubts: list[str] = []
    named = Named.DIRECTLY if statement.principals is None else naming(statement.principals, request.principal)
    truths.append(_truth_of(named))
    if statement.principals is not None and statement.principals.excluded and statement.effect is Effect.ALLOW:
        # AWS supports NotPrincipal in denials only.
        truths.append(Truth.UNKNOWN)
    if Truth.UNKNOWN in truths:
        doubts.append("whom it names is not certain")
    if Truth.NO not in truths and statement.resource is not None:
        truths.append(_resource(statement.resource, request, context))
        if truths[-1] is Truth.UNKNOWN:
            doubts.append("which resources it names is not certain")
    for condition in statement.conditions if Truth.NO not in truths else ():
        truth, why = judge(condition, context)
        truths.append(truth)
        if why:
            doubts.append(why)
    truth = all_of(truths)
    return Applied(
        policy.label(place), statement.effect, truth, named, "; ".join(doubts) if truth is Truth.UNKNOWN else ""
    )


def _truth_of(named: Named) -> Truth:
    if named is Named.NOT:
        return Truth.NO
    return Truth.UNKNOWN if named is Named.UNKNOWN else Truth.YES


@lru_cache(maxsize=4096)
def _concerns(element: Element, action: str) -> bool:
    return any(_action_named(value.lower(), action) for value in element.values) != element.excluded


@lru_cache(maxsize=1024)
def _action_named(value: str, action: str) -> bool:
    pattern = read_pattern(value)
    return pattern is not None and matches(pattern, action)


def _resource(element: Element, request: Request, context: Context) -> Truth:
    truth = any_of(_one_resource(value, request, context) for value in element.values)
    return truth.negated if element.excluded else truth


def _one_resource(value: str, request: Request, context: Context) -> Truth:
    if value == "*":
        return Truth.YES
    if "$" not in value and len(value) <= _KEPT_CHARACTERS:
        return _plain_resource(value, request.resource, request.under)
    return _resource_named(context.pattern(value, wild=True), request.resource, request.under)


@lru_cache(maxsize=4096)
def _plain_resource(value: str, resource: str, under: bool) -> Truth:
    return _resource_named(read_pattern(value), resource, under)


def _resource_named(pattern: Pattern | None, resource: str, under: bool) -> Truth:
    if pattern is None:
        return Truth.UNKNOWN
    if not resource.startswith("arn:"):
        return matches_under(pattern, resource) if under else Truth.of(matches(pattern, resource))
    return matches_arn(pattern, resource, under=under)
