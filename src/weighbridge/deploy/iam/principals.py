"""Who asks, and whether a policy's principals name them: directly, by their account, or as part of everyone.

A role and a session of it are told apart only where a policy names the session. Roles are compared by name where one side does
not know the role's path: names are unique within an account.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from weighbridge.core.errors import ConfigError
from weighbridge.deploy.iam.document import EVERYONE, Principals

_ARN: Final = re.compile(
    r"arn:(aws[a-z0-9-]*):(iam|sts)::(\d{12}):(root|user/.+|role/.+|assumed-role/[^/]+/.+|federated-user/.+)"
)
_ACCOUNT: Final = re.compile(r"\d{12}")
_UNIQUE_ID: Final = re.compile(r"A[A-Z]{3}[A-Z0-9]{12,}")


class Kind(Enum):
    """What a principal is."""

    ROLE = "role"
    SESSION = "session of a role"
    USER = "user"
    ROOT = "account"
    SERVICE = "service"
    ANONYMOUS = "anonymous"
    ANYONE = "anyone"
    """Whoever it is: what holds of this one holds of every principal."""


class Named(Enum):
    """How principals name somebody."""

    NOT = "not"
    ACCOUNT = "account"
    """Only the account: what its own policies say decides too."""
    DIRECTLY = "directly"
    SESSION = "session"
    """This very session of a role, which a permissions boundary does not bound."""
    UNKNOWN = "unknown"


_EVERYONE: Final = ((EVERYONE, EVERYONE),)
_RANK: Final = (Named.NOT, Named.UNKNOWN, Named.ACCOUNT, Named.DIRECTLY, Named.SESSION)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. Made by `of`, `service`, `anonymous` and `anyone`."""

    kind: Kind
    name: str = ""
    """The ARN, or a service's name."""
    account: str = ""

    @classmethod
    def of(cls, arn: str) -> Principal:
        """The role, session, user or account (`…:root`) of that ARN.

        Raises:
            ConfigError: it is no such ARN.
        """
        found = _ARN.fullmatch(arn)
        if found is None:
            raise ConfigError(
                f"{arn[:100]!a} is not the ARN of a role, a session, a user or an account",
                hint="For example arn:aws:iam::111122223333:role/inference",
            )
        word = found[4].partition("/")[0]
        kinds = {"root": Kind.ROOT, "role": Kind.ROLE, "assumed-role": Kind.SESSION}
        return cls(kinds.get(word, Kind.USER), arn, found[3])

    @classmethod
    def service(cls, name: str) -> Principal:
        """An AWS service, by its name: `sagemaker.amazonaws.com`."""
        return cls(Kind.SERVICE, name)

    @classmethod
    def anonymous(cls) -> Principal:
        """A request that nobody signed."""
        return cls(Kind.ANONYMOUS)

    @classmethod
    def anyone(cls) -> Principal:
        """Every principal at once: only what names everyone is certain of them."""
        return cls(Kind.ANYONE)

    @property
    def role_arn(self) -> str:
        """`aws:PrincipalArn`: a session's role, otherwise the principal itself."""
        if self.kind is not Kind.SESSION:
            return self.name
        head, _, rest = self.name.partition(":assumed-role/")
        return f"{head.replace(':sts:', ':iam:')}:role/{rest.partition('/')[0]}"

    def context(self) -> dict[str, tuple[str, ...]]:
        """The keys that follow from who asks."""
        if self.kind is Kind.ANYONE:
            return {}
        if self.kind is Kind.ANONYMOUS:
            return {
                "aws:principalarn": (),
                "aws:principalaccount": (),
                "aws:principalorgid": (),
                "aws:principalisawsservice": ("false",),
                "aws:principaltype": ("Anonymous",),
            }
        if self.kind is Kind.SERVICE:
            return {
                "aws:principalarn": (),
                "aws:principalaccount": (),
                "aws:principalisawsservice": ("true",),
                "aws:principalservicename": (self.name,),
            }
        types = {Kind.ROOT: "Account", Kind.USER: "User"}
        return {
            "aws:principalarn": (self.role_arn,),
            "aws:principalaccount": (self.account,),
            "aws:principalisawsservice": ("false",),
            "aws:principaltype": (types.get(self.kind, "AssumedRole"),),
        }


def naming(principals: Principals, principal: Principal) -> Named:
    """How an Allow or Deny statement's principals name somebody; with `NotPrincipal`, whether the statement applies to them."""
    if principals.values == _EVERYONE and not principals.excluded:
        return Named.DIRECTLY
    best = max((_one(kind, value, principal) for kind, value in principals.values), key=_RANK.index)
    if not principals.excluded:
        return best
    if best is Named.NOT:
        return Named.DIRECTLY
    # Whoever is listed must be listed with the account: AWS may judge either first.
    accounts = [value for kind, value in principals.values if kind == "AWS" and account_of(value) == principal.account]
    whole = any(_is_account(value) for value in accounts)
    if best in (Named.DIRECTLY, Named.SESSION) and (whole or not principal.account):
        return Named.NOT
    return Named.UNKNOWN


def account_of(value: str) -> str:
    """The account that a principal of type AWS belongs to; empty when it does not say."""
    if _ACCOUNT.fullmatch(value):
        return value
    found = _ARN.fullmatch(value)
    return found[3] if found else ""


def _is_account(value: str) -> bool:
    return bool(_ACCOUNT.fullmatch(value)) or value.endswith(":root")


def _one(kind: str, value: str, principal: Principal) -> Named:
    if (kind in ("AWS", EVERYONE)) and value == EVERYONE:
        return Named.DIRECTLY
    if principal.kind is Kind.ANYONE:
        return Named.UNKNOWN
    if kind == "Service":
        return Named.DIRECTLY if principal.kind is Kind.SERVICE and principal.name == value else Named.NOT
    if kind == "AWS":
        return _aws(value, principal)
    # Federated users ask through a session of a role; canonical ids name an account without saying which.
    return Named.NOT if kind == "Federated" or principal.kind is Kind.SERVICE else Named.UNKNOWN


def _aws(value: str, principal: Principal) -> Named:
    if not principal.account:
        return Named.NOT
    if "*" in value or "?" in value:
        # AWS takes no wildcards here; other servers read them.
        return Named.UNKNOWN
    if not account_of(value):
        # The id of somebody who was deleted names nobody; anything else is not understood.
        return Named.NOT if _UNIQUE_ID.fullmatch(value) else Named.UNKNOWN
    if account_of(value) != principal.account:
        return Named.NOT
    if _is_account(value):
        return Named.DIRECTLY if principal.kind is Kind.ROOT else Named.ACCOUNT
    if value == principal.name:
        return Named.SESSION if principal.kind is Kind.SESSION else Named.DIRECTLY
    return Named.DIRECTLY if principal.kind is Kind.SESSION and _same_role(value, principal) else Named.NOT


def _same_role(value: str, principal: Principal) -> bool:
    _, _, named = value.partition(":role/")
    return bool(named) and named.rpartition("/")[2] == principal.role_arn.rpartition("/")[2]
