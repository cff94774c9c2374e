"""Explains a bucket's policy: who may read, write and delete under a prefix, what is denied to everyone, and what bounds requests.

Who "may" is everyone whom the policy allows unless a denial is certain: conditions that only the request could answer count as
met. What is "denied" is certain for every request: conditions that could spare one count against it. Only the bucket's policy
is read: within the bucket's account, roles may be allowed by policies of their own, except where this one denies them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import LimitExceeded
from weighbridge.deploy.iam.conditions import OPERATORS, Condition, bounds, named
from weighbridge.deploy.iam.document import EVERYONE, Effect, PolicyDocument, Statement
from weighbridge.deploy.iam.evaluation import Request, apply, granted
from weighbridge.deploy.iam.patterns import Truth
from weighbridge.deploy.iam.principals import Kind, Principal, account_of

MAX_PAIRS: Final = 4_000
"""The largest policy of a bucket has 20 KB: 40 statements and 100 principals fill it."""
MAX_AGES: Final = 16
"""Of the limits to a signature's age that a policy names, so many are tried, the shortest first."""
READ: Final = ("s3:GetObject", "s3:GetObjectVersion")
WRITE: Final = (
    "s3:PutObject",
    "s3:PutObjectAcl",
    "s3:PutObjectVersionAcl",
    "s3:PutObjectTagging",
    "s3:ReplicateObject",
    "s3:RestoreObject",
)
DELETE: Final = ("s3:DeleteObject", "s3:DeleteObjectVersion")
UNLOCK: Final = ("s3:BypassGovernanceRetention",)
SETTINGS: Final = (
    "s3:PutBucketPolicy",
    "s3:DeleteBucketPolicy",
    "s3:PutBucketVersioning",
    "s3:PutBucketObjectLockConfiguration",
    "s3:PutLifecycleConfiguration",
    "s3:PutEncryptionConfiguration",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketAcl",
    "s3:DeleteBucket",
)
LIST: Final = ("s3:ListBucket", "s3:ListBucketVersions")
_BOUNDING: Final = frozenset(
    (
        "aws:principalaccount",
        "aws:principalarn",
        "aws:principalorgid",
        "aws:principalorgpaths",
        "aws:resourceaccount",
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:sourceip",
        "aws:sourceorgid",
        "aws:sourcevpc",
        "aws:sourcevpce",
        "aws:userid",
        "kms:calleraccount",
        "s3:dataaccesspointaccount",
        "s3:dataaccesspointarn",
    )
)
"""Keys whose fixed values keep an Allow for everyone from being public (S3 User Guide, "The meaning of 'public'")."""
_NETWORK: Final = ("aws:SourceVpce", "aws:SourceVpc")
_TOO_WIDE: Final = {4: 8, 6: 32}
"""Networks of fewer leading bits than this do not bound anybody."""
_NOBODY: Final = "weighbridge-nobody-has-this-name"


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """What a bucket's policy says about one prefix. Principals are ARNs, account ids, service names, or `*`."""

    statements: int
    unproved: tuple[str, ...]
    """Statements that use what is not evaluated here, each with the reason."""
    public: bool
    readers: tuple[str, ...]
    writers: tuple[str, ...]
    deleters: tuple[str, ...]
    unlockers: tuple[str, ...]
    """Who may delete or shorten in spite of an object lock in governance mode."""
    configurers: tuple[str, ...]
    """Who may change the bucket's own settings, this policy among them."""
    cross_account: tuple[str, ...]
    """Principals of other accounts that are allowed anything."""
    write_denied: bool
    """Whether writing is denied to everyone who is not named."""
    write_exempt: tuple[str, ...]
    """Who is named: the denial spares them."""
    delete_denied: bool
    delete_exempt: tuple[str, ...]
    settings_denied: bool
    settings_exempt: tuple[str, ...]
    tls_only: bool
    presigned_seconds: int | None
    """Age at which a signature is denied; None: no limit of the bucket's own (AWS ends them after 7 days)."""
    endpoints: tuple[str, ...]
    """VPC endpoints or VPCs that every request must come through; empty: any network."""

    def to_json(self) -> dict[str, JsonValue]:
        """The record."""
        record: dict[str, JsonValue] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            record[field.name] = list(value) if isinstance(value, tuple) else value
        return record


def explain(
    policy: PolicyDocument, *, account: str, bucket: str, prefix: str = "", partition: str = "aws"
) -> BucketAccess:
    """What a bucket's policy says. `account` owns the bucket; `prefix` ends in a slash or is empty.

    Raises:
        LimitExceeded: its statements times the principals that it names are more than `MAX_PAIRS`.
    """
    view = _View(policy, account, f"arn:{partition}:s3:::{bucket}", prefix)
    number = len(_names(policy))
    if len(policy.statements) * number > MAX_PAIRS:
        raise LimitExceeded(
            f"the policy has {len(policy.statements)} statements and names {number} principals: too many to explain"
        )
    network = view.network()
    return BucketAccess(
        statements=len(policy.statements),
        unproved=unproved(policy),
        public=view.public(),
        readers=view.allowed(READ),
        writers=view.allowed(WRITE),
        deleters=view.allowed(DELETE),
        unlockers=view.allowed(UNLOCK),
        configurers=view.allowed(SETTINGS),
        cross_account=view.foreign(),
        write_denied=view.denied_to_others(WRITE),
        write_exempt=view.exempt(WRITE),
        delete_denied=view.denied_to_others(DELETE),
        delete_exempt=view.exempt(DELETE),
        settings_denied=view.denied_to_others(SETTINGS),
        settings_exempt=view.exempt(SETTINGS),
        tls_only=view.everyone_denied({"aws:SecureTransport": "false"}),
        presigned_seconds=view.presigned_seconds(),
        endpoints=network,
    )


def opened(policy: PolicyDocument, requests: Iterable[Request]) -> tuple[str, ...]:
    """The statements of a resource's policy by which a stranger may do any of these, and which nothing bounds; no denial is certain.

    Whoever a request is of is not asked about: strangers are, signed and not, from some address that no policy knows.
    """
    denying = PolicyDocument(tuple(one for one in policy.statements if one.effect is Effect.DENY), policy.version)
    left = [
        asked
        for one in requests
        for asked in (replace(one, principal=who) for who in _STRANGERS)
        if not any(said.truth is Truth.YES for said in apply(denying, replace(asked, context=_ELSEWHERE)))
    ]
    found = []
    for place, statement in enumerate(policy.statements):
        alone = PolicyDocument((statement,), policy.version)
        is_open = statement.effect is Effect.ALLOW and _is_open(statement)
        if is_open and any(granted(apply(alone, replace(one, context={}))) is not Truth.NO for one in left):
            found.append(policy.label(place))
    return tuple(found)


def unproved(policy: PolicyDocument) -> tuple[str, ...]:
    """Statements of a resource's policy of which something is not understood, each with the reason."""
    return tuple(
        f"{policy.label(place)}: {'; '.join(reasons)}"
        for place, statement in enumerate(policy.statements)
        if (reasons := _not_understood(statement))
    )


class _View:
    """A bucket's policy, asked about one prefix."""

    def __init__(self, policy: PolicyDocument, account: str, bucket_arn: str, prefix: str) -> None:
        self.policy = policy
        self.account = account
        self.bucket_arn = bucket_arn
        self.objects = f"{bucket_arn}/{prefix}"
        self.named = _named(policy)
        """Everyone whom the policy names anywhere."""

    def request(self, who: Principal, action: str, context: Mapping[str, str | Sequence[str]]) -> Request:
        """A request of which only this is known."""
        whole = action.lower() in {one.lower() for one in (*SETTINGS, *LIST)}
        resource = self.bucket_arn if whole else self.objects
        return Request(who, action, resource, self.account, context, complete=False, under=not whole)

    def granted(self, who: Principal, action: str) -> Truth:
        """What the policy alone grants."""
        return granted(apply(self.policy, self.request(who, action, {})))

    def denies(self, who: Principal, action: str, context: Mapping[str, str | Sequence[str]]) -> bool:
        """Whether a denial is certain."""
        applied = apply(self.policy, self.request(who, action, context))
        return any(one.effect is Effect.DENY and one.truth is Truth.YES for one in applied)

    def allowed(self, actions: Iterable[str]) -> tuple[str, ...]:
        """Whom the policy may let do any of these."""
        wanted = tuple(actions)
        found = set()
        for name, who in self._candidates():
            if any(self.granted(who, action) is not Truth.NO for action in wanted):
                found.add(name)
        return tuple(sorted(found))

    def _candidates(self) -> Iterable[tuple[str, Principal]]:
        allowing = [one for one in self.policy.statements if one.effect is Effect.ALLOW and one.principals is not None]
        names = {value for one in allowing if one.principals for _, value in one.principals.values}
        if any(one.principals and one.principals.excluded for one in allowing):
            names.add(EVERYONE)
        for name in sorted(names):
            if name == EVERYONE:
                yield name, Principal.anonymous()
                yield name, _stranger("000000000000" if self.account != "000000000000" else "000000000001")
                yield name, _stranger(self.account)
                continue
            # Whom AWS would not take as a principal could be anybody on another server.
            who = _principal(name) or _stranger(self.account)
            yield name, _stranger(who.account) if who.kind is Kind.ROOT else who

    def foreign(self) -> tuple[str, ...]:
        """Principals of other accounts, everyone among them, that are allowed anything."""
        everything = (*READ, *WRITE, *DELETE, *UNLOCK, *SETTINGS, *LIST)
        found = set()
        for name, who in self._candidates():
            if who.account == self.account or who.kind is Kind.SERVICE:
                continue
            if any(self.granted(who, action) is not Truth.NO for action in everything):
                found.add(name)
        return tuple(sorted(found))

    def public(self) -> bool:
        """Whether anybody at all is allowed something, without a condition that bounds who."""
        everything = (*READ, *WRITE, *DELETE, *SETTINGS, *LIST)
        return bool(opened(self.policy, [self.request(_NOBODY_AT_ALL, action, {}) for action in everything]))

    def denied_to_others(self, actions: Iterable[str]) -> bool:
        """Whether somebody whom the policy does not name is denied all of these for certain."""
        wanted = tuple(actions)
        return all(
            self.denies(who, action, {})
            for who in (_stranger(self.account), _stranger("000000000000"), Principal.anonymous())
            for action in wanted
        )

    def exempt(self, actions: Iterable[str]) -> tuple[str, ...]:
        """Whom the policy names and does not deny all of these for certain; nobody when nothing is denied to others."""
        wanted = tuple(actions)
        if not self.denied_to_others(wanted):
            return ()
        spared = {name for name, who in self.named.items() if not all(self.denies(who, one, {}) for one in wanted)}
        return tuple(sorted(spared | self._spared_patterns(wanted)))

    def _spared_patterns(self, actions: Iterable[str]) -> set[str]:
        """Patterns of ARNs that all denials of one of these spare."""
        spared: set[str] = set()
        for action in actions:
            applied = apply(self.policy, self.request(_stranger(self.account), action, {}))
            found = [
                {value for held in _sparing(statement) for value in held.values}
                for statement, one in zip(self.policy.statements, applied, strict=True)
                if one.effect is Effect.DENY and one.truth is Truth.YES
            ]
            spared |= {value for value in set.intersection(*found) if not _is_plain(value)} if found else set()
        return spared

    def everyone_denied(self, context: Mapping[str, str | Sequence[str]], actions: Sequence[str] = ()) -> bool:
        """Whether every request with these keys is denied, whoever asks for whatever under the prefix.

        Whom a denial spares by name is asked about by name.
        """
        others = _View(_without_names(self.policy), self.account, self.bucket_arn, "")
        others.objects = self.objects
        return all(
            others.denies(Principal.anyone(), action, context)
            and all(self.denies(who, action, context) for who in self.named.values())
            for action in actions or (*READ, *WRITE, *DELETE, *LIST)
        )

    def network(self) -> tuple[str, ...]:
        """The endpoints or networks that reading is bound to."""
        absent: dict[str, str | Sequence[str]] = dict.fromkeys(_NETWORK, ())
        keys = {key.lower() for key in _NETWORK}
        values = {
            value
            for one in self.policy.statements
            for condition in one.conditions
            if one.effect is Effect.DENY and condition.key.lower() in keys and named(condition.operator).negated
            for value in condition.values
        }
        return tuple(sorted(values)) if values and self.everyone_denied(absent, READ) else ()

    def presigned_seconds(self) -> int | None:
        """The age from which on a signature is denied for reading; 0 when signatures in an address are denied at all."""
        if self.everyone_denied({"s3:authType": "REST-QUERY-STRING"}, READ):
            return 0
        ages = sorted(
            {
                int(value)
                for one in self.policy.statements
                for condition in one.conditions
                if one.effect is Effect.DENY and condition.key.lower() == "s3:signatureage"
                for value in condition.values
                if value.isascii() and value.isdigit() and len(value) <= 15
            }
        )
        for age in ages[:MAX_AGES]:
            if self.everyone_denied({"s3:signatureAge": str(age + 1)}, READ):
                return age // 1000
        return None


def _is_plain(text: str) -> bool:
    return not any(one in text for one in "*?$")


def _sparing(statement: Statement) -> list[Condition]:
    """The conditions of a denial that spare whoever has one of these ARNs."""
    return [
        one
        for one in statement.conditions
        if one.key.lower() == "aws:principalarn" and named(one.operator).negated and not named(one.operator).quantifier
    ]


def _without_names(policy: PolicyDocument) -> PolicyDocument:
    """The policy as it is for everyone whom no denial spares by a plain ARN."""
    statements = []
    for statement in policy.statements:
        spares = [one for one in _sparing(statement) if all(_is_plain(value) for value in one.values)]
        kept = tuple(one for one in statement.conditions if one not in spares)
        statements.append(replace(statement, conditions=kept) if statement.effect is Effect.DENY else statement)
    return replace(policy, statements=tuple(statements))


def _not_understood(statement: Statement) -> list[str]:
    reasons = []
    for one in statement.conditions:
        name = named(one.operator)
        known = name.base in OPERATORS or (name.base == "Null" and not name.if_exists)
        if not known or name.quantifier not in ("", "ForAnyValue", "ForAllValues"):
            reasons.append(f"the operator {one.operator[:100]!a} is not known")
    principals = statement.principals
    if principals is not None:
        if principals.excluded:
            reasons.append("NotPrincipal: whom it spares depends on what AWS checks first")
        reasons += [
            f"the principal {value[:100]!a} is not understood"
            for kind, value in principals.values
            if kind == "CanonicalUser"
            or (kind == "AWS" and value != EVERYONE and not (account_of(value) and _is_plain(value)))
        ]
    return reasons


def _names(policy: PolicyDocument) -> set[str]:
    """What statements, or their conditions on `aws:PrincipalArn`, call principals."""
    names = {value for one in policy.statements if one.principals for _, value in one.principals.values}
    for one in policy.statements:
        for condition in one.conditions:
            if condition.key.lower() == "aws:principalarn":
                names.update(condition.values)
    return names


def _named(policy: PolicyDocument) -> dict[str, Principal]:
    """The principals that a policy names."""
    return {name: who for name in _names(policy) if name != EVERYONE and (who := _principal(name)) is not None}


def _principal(name: str) -> Principal | None:
    """The principal of that name; None where it is a pattern or nothing known."""
    if name.endswith((".amazonaws.com", ".amazonaws.com.cn", ".aws.internal")):
        return Principal.service(name)
    account = account_of(name)
    if not account or not _is_plain(name):
        return None
    return Principal.of(name if name != account else f"arn:aws:iam::{account}:root")


def _stranger(account: str) -> Principal:
    """Some role of that account, which no policy names."""
    return Principal.of(f"arn:aws:iam::{account}:role/{_NOBODY}")


_NOBODY_AT_ALL: Final = Principal.anonymous()
_STRANGERS: Final = (_NOBODY_AT_ALL, _stranger("000000000000"))
_ELSEWHERE: Final[Mapping[str, str | Sequence[str]]] = {
    **dict.fromkeys(_NETWORK, ()),
    "aws:PrincipalOrgID": "o-strangers0",
    "aws:SourceIp": "198.51.100.1",
}
"""What is known of a stranger whom a denial is to stop: of no organisation and no network that a policy could name."""


def _is_open(statement: Statement) -> bool:
    """Whether an Allow names everyone and nothing bounds who that is."""
    principals = statement.principals
    if principals is None:
        return False
    everyone = principals.excluded or any(
        value == EVERYONE and kind in ("AWS", EVERYONE) for kind, value in principals.values
    )
    return everyone and not any(_bounds_who(one) for one in statement.conditions)


def _bounds_who(condition: Condition) -> bool:
    key = condition.key.lower()
    if key not in _BOUNDING or not bounds(condition):
        return False
    if key != "aws:sourceip":
        return True
    return all(_is_narrow(value) for value in condition.values)


def _is_narrow(network: str) -> bool:
    try:
        found = ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
    return found.prefixlen >= _TOO_WIDE[found.version]
