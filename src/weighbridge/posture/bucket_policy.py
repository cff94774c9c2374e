"""What a bucket's policy comes to: who may write, delete and administer, from where, how, and for how long a signature counts.

Every statement is evaluated for everybody it names and for strangers: somebody else of the owner's account, somebody of
another account, and nobody at all (anonymous). Whoever might be allowed is listed; what is said to be denied is denied in every
case. What identity policies, service control policies and access points allow besides is not seen from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from weighbridge.posture.policy_statements import (
    EVERYONE,
    OPERATORS,
    Condition,
    Held,
    Principal,
    Request,
    Statement,
    applies,
)

WRITES: Final = ("s3:PutObject", "s3:ReplicateObject")
DELETES: Final = ("s3:DeleteObject", "s3:DeleteObjectVersion")
EXPIRES: Final = ("s3:PutLifecycleConfiguration", "s3:DeleteBucket")
ADMINISTERS: Final = (
    *("s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:PutBucketAcl", "s3:PutBucketVersioning"),
    *("s3:PutBucketPublicAccessBlock", "s3:PutEncryptionConfiguration", "s3:PutBucketObjectLockConfiguration"),
)
READS: Final = ("s3:GetObject", "s3:GetObjectVersion")
LISTS: Final = ("s3:ListBucket",)
_SOMEBODY: Final = "Condition"
"""The kind of a principal of whom only a condition is known: its facts are left open."""
_ABOUT_PEOPLE: Final = ("aws:principalorg", "aws:principaltag", "aws:userid", "aws:username", "aws:principaltype")
OTHER_ACCOUNT: Final = "000000000001"
"""An account that nobody has: numbers begin higher."""
NO_ACCOUNT: Final = "000000000000"
_BOUNDING: Final = frozenset(
    (
        *("aws:sourcearn", "aws:sourcevpc", "aws:sourcevpce", "aws:sourceaccount", "aws:sourceowner", "aws:sourceip"),
        *("aws:sourceorgid", "aws:principalorgid", "aws:principalorgpaths", "aws:principalarn", "aws:principalaccount"),
        *("aws:userid", "aws:viaawsservice", "s3:dataaccesspointarn", "s3:dataaccesspointaccount"),
    )
)
"""Keys whose fixed values keep a statement for everyone from being public (S3 User Guide, "The meaning of public")."""


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """What a policy comes to. `presigned_limit` is in seconds, None without a limit; `unproved` are statements' ids."""

    public: bool
    writers: tuple[str, ...]
    deleters: tuple[str, ...]
    administrators: tuple[str, ...]
    cross_account: tuple[str, ...]
    accounts_known: bool
    write_denied: bool
    delete_denied: bool
    tls_only: bool
    presigned_limit: int | None
    networks: tuple[str, ...]
    unproved: tuple[str, ...]


class BucketPolicy:
    """A policy on one bucket. `prefix` is what is asked about; `account` is the owner's, "" where it is not known."""

    def __init__(
        self, statements: tuple[Statement, ...], bucket: str, *, prefix: str, account: str, partition: str = "aws"
    ) -> None:
        self._statements = statements
        self._bucket = f"arn:{partition}:s3:::{bucket}"
        self._objects = f"{self._bucket}/{prefix.strip('/') + '/' if prefix.strip('/') else ''}*"
        self._account = account
        self._named = tuple(dict.fromkeys(self._candidates()))
        self._strangers = (
            EVERYONE,
            _stranger(OTHER_ACCOUNT),
            _stranger(account or NO_ACCOUNT),
        )

    def facts(self) -> PolicyFacts:
        """Everything at once."""
        others = [one for one in self._named if self._foreign(one)]
        every = (*WRITES, *DELETES, *EXPIRES, *ADMINISTERS, *READS, *LISTS)
        return PolicyFacts(
            public=self._public(),
            writers=self._who(WRITES),
            deleters=self._who((*DELETES, *EXPIRES)),
            administrators=self._who(ADMINISTERS),
            cross_account=_names(one for one in others if self._may_any(one, every)),
            accounts_known=bool(self._account) or not any(one.kind == "AWS" for one in self._named),
            write_denied=self._closed(WRITES),
            delete_denied=self._closed(DELETES),
            tls_only=self._tls_only(),
            presigned_limit=self._presigned_limit(),
            networks=self._networks(),
            unproved=tuple(one.sid for one in self._statements if not _understood(one)),
        )

    # --- who

    def _candidates(self) -> Iterable[Principal]:
        """Everybody whom the policy names, as a principal or in a condition about the principal."""
        for statement in self._statements:
            if not statement.not_principals:
                yield from statement.principals
            elif statement.allows:
                yield EVERYONE
            for condition in statement.conditions:
                if condition.key == "aws:principalarn":
                    yield from (Principal("AWS", value) for value in condition.values if value.startswith("arn:"))
                elif condition.key == "aws:principalaccount":
                    yield from (Principal("AWS", value) for value in condition.values)
                elif condition.key.startswith(_ABOUT_PEOPLE):
                    yield from (Principal(_SOMEBODY, f"{condition.key}={value}") for value in condition.values)

    def _foreign(self, who: Principal) -> bool:
        if who == EVERYONE or who.kind in ("Federated", "CanonicalUser", _SOMEBODY):
            return True
        return who.kind == "AWS" and bool(self._account) and who.account != self._account

    def _who(self, actions: tuple[str, ...]) -> tuple[str, ...]:
        return _names(one for one in self._named if self._may_any(one, actions))

    def _may_any(self, who: Principal, actions: Iterable[str]) -> bool:
        return any(self._may(who, action) for action in actions)

    def _may(self, who: Principal, action: str) -> bool:
        """Whether the policy might allow it."""
        asked = self._request(who, action, {})
        allowed = any(one.allows and applies(one, asked) is not Held.NO for one in self._statements)
        return allowed and not self._denied(asked)

    def _denied(self, asked: Request) -> bool:
        return any(not one.allows and applies(one, asked) is Held.YES for one in self._statements)

    def _closed(self, actions: tuple[str, ...]) -> bool:
        """Whether all of it is denied to every stranger, whatever their own policies say."""
        return all(self._denied(self._request(one, action, {})) for one in self._strangers for action in actions)

    def _public(self) -> bool:
        return any(
            one.allows
            and not any(_bounds(condition) for condition in one.conditions)
            and applies(one, asked) is not Held.NO
            and not self._denied(asked)
            for action in (*READS, *LISTS, *WRITES, *DELETES, *EXPIRES, *ADMINISTERS)
            for asked in (self._request(EVERYONE, action, {"aws:securetransport": "true"}),)
            for one in self._statements
        )

    def _request(self, who: Principal, action: str, facts: dict[str, str | None]) -> Request:
        on_objects = action in (*WRITES, *DELETES, *READS)
        asking = _witness(who)
        resource = self._objects if on_objects else self._bucket
        return Request(asking, action, resource, {**_facts(asking), **facts})

    # --- how

    def _tls_only(self) -> bool:
        everybody = (*self._strangers, *self._named)
        actions = (*READS, *WRITES, *DELETES, *LISTS)
        bare: dict[str, str | None] = {"aws:securetransport": "false"}
        return all(self._denied(self._request(who, action, bare)) for who in everybody for action in actions)

    def _presigned_limit(self) -> int | None:
        ages = sorted({age for one in self._statements if not one.allows for age in _ages(one.conditions)})
        for limit, age in ((0, 0), *((limit, limit + 1) for limit in ages)):
            facts: dict[str, str | None] = {"s3:authtype": "REST-QUERY-STRING", "s3:signatureage": str(age)}
            everybody = (*self._strangers[1:], *(one for one in self._named if one != EVERYONE))
            actions = (READS[0], WRITES[0])
            if all(self._denied(self._request(who, action, facts)) for who in everybody for action in actions):
                return -(-limit // 1000)
        return None

    def _networks(self) -> tuple[str, ...]:
        """The VPCs and endpoints to which strangers are bound: from elsewhere they are denied."""
        keys = ("aws:sourcevpce", "aws:sourcevpc")
        elsewhere: dict[str, str | None] = dict.fromkeys(keys)
        if not all(self._denied(self._request(who, READS[0], elsewhere)) for who in self._strangers):
            return ()
        if all(self._denied(self._request(who, READS[0], {})) for who in self._strangers):
            return ()  # denied from everywhere: no network binds it
        found = [
            value
            for one in self._statements
            if not one.allows
            for condition in one.conditions
            if condition.key in keys and "Not" in condition.operator
            for value in condition.values
        ]
        return tuple(sorted(set(found)))


def _stranger(account: str) -> Principal:
    return Principal("AWS", f"arn:aws:iam::{account}:role/weighbridge-nobody-by-this-name")


def _witness(who: Principal) -> Principal:
    """Somebody who is meant: for an account somebody in it, for a pattern of ARNs one that fits it."""
    if who.is_account:
        return _stranger(who.account)
    if who.kind == "AWS" and re.search(r"[*?]", who.name):
        return Principal("AWS", who.name.replace("*", "x").replace("?", "x"))
    return who


def _facts(who: Principal) -> dict[str, str | None]:
    """What is known of a request by who asks; what depends on where and how it is asked is left open."""
    if who == EVERYONE:
        absent = ("aws:principalarn", "aws:principalaccount", "aws:principalorgid", "aws:userid", "aws:username")
        return {**dict.fromkeys(absent), "aws:principalisawsservice": "false"}
    if who.kind == "AWS":
        facts: dict[str, str | None] = {"aws:principalarn": who.name, "aws:principalisawsservice": "false"}
        if who.account:
            facts["aws:principalaccount"] = who.account
        if who.account == OTHER_ACCOUNT:
            facts["aws:principalorgid"] = "o-nobody"
        return facts
    return {"aws:principalisawsservice": "true"} if who.kind == "Service" else {}


def _ages(conditions: Iterable[Condition]) -> Iterable[int]:
    for one in conditions:
        if one.key == "s3:signatureage" and one.operator in ("NumericGreaterThan", "NumericGreaterThanEquals"):
            for value in one.values:
                if re.fullmatch(r"\d{1,15}", value):
                    yield int(value)


def _bounds(condition: Condition) -> bool:
    """Whether a condition keeps a statement for everyone from being public."""
    if condition.key not in _BOUNDING or "Not" in condition.operator or condition.if_exists:
        return False
    if condition.operator in ("Null", "Bool") and condition.key != "aws:viaawsservice":
        return False
    wide = [value for value in condition.values if value.strip("*?:") == "" or value in ("0.0.0.0/0", "::/0")]
    return not wide


def _understood(statement: Statement) -> bool:
    return all(one.operator in OPERATORS for one in statement.conditions)


def _names(who: Iterable[Principal]) -> tuple[str, ...]:
    return tuple(sorted({one.name if one.kind in ("AWS", "*", _SOMEBODY) else f"{one.kind}:{one.name}" for one in who}))
