"""Which roles and users of the account may write or delete under a prefix by their own policies, read through IAM.

All policies of each are evaluated with everything that conditions leave open taken as given; a permissions boundary and
service control policies narrow it further and are not counted on. More than `MAX_PAGES` pages are not read: unobtained.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import ConfigError, LimitExceeded, Malformed
from weighbridge.core.names import Address
from weighbridge.core.shown import plain
from weighbridge.deploy.iam import Outcome, PolicyDocument, PolicyKind, Principal, Request, evaluate
from weighbridge.deploy.iam.access import DELETE, UNLOCK, WRITE
from weighbridge.posture.bucket_asking import Services, objects, text
from weighbridge.posture.evidence import Evidence
from weighbridge.posture.gathering import Notes, listed

IDS: Final = ("bucket.iam.writers", "bucket.iam.deleters")
MAX_PAGES: Final = 100
PERMISSION: Final = "iam:GetAccountAuthorizationDetails"
_Rows = list[Mapping[str, JsonValue]]


def read_identities(notes: Notes, services: Services, address: Address, partition: str) -> Iterator[Evidence]:
    """The facts of the account's roles and users.

    Raises:
        AccessRefused: the permission is missing. StoreError, FormatError: there is no answer that can be used.
    """
    rows: dict[str, _Rows] = {key: [] for key in ("RoleDetailList", "UserDetailList", "GroupDetailList", "Policies")}
    marker: dict[str, Any] = {}
    for _ in range(MAX_PAGES):
        found = services.ask("iam", "GetAccountAuthorizationDetails", PERMISSION, MaxItems=500, **marker)
        fields = found.fields if found else {}
        for key, kept in rows.items():
            kept += objects(fields.get(key))
        if not fields.get("IsTruncated"):
            break
        marker = {"Marker": text(fields, "Marker")}
    else:
        raise LimitExceeded(f"the account has more than {MAX_PAGES} pages of roles and users")
    managed = {text(one, "Arn"): _default_version(one) for one in rows["Policies"]}
    groups = {text(one, "GroupName"): _own(one, managed) for one in rows["GroupDetailList"]}
    below = f"arn:{partition}:s3:::{address.bucket}/" + (f"{address.prefix}/" if address.prefix else "")
    for id_, actions in zip(IDS, (WRITE, (*DELETE, *UNLOCK)), strict=True):
        able = []
        for one in (*rows["RoleDetailList"], *rows["UserDetailList"]):
            policies = _own(one, managed)
            names = one.get("GroupList")
            for name in names if isinstance(names, list) else ():
                policies += groups.get(str(name), ())
            arn = text(one, "Arn")
            if any(_may(policies, arn, action, below) for action in actions):
                able.append(arn)
        yield notes.saw(id_, listed(able), "GetAccountAuthorizationDetails of IAM, evaluated")


def _may(policies: tuple[PolicyDocument, ...], arn: str, action: str, below: str) -> bool:
    """Whether somebody's own policies might allow it."""
    try:
        who = Principal.of(arn)
    except ConfigError as error:
        raise Malformed(f"IAM names {plain(arn)!a}, which is no role or user") from error
    asked = Request(who, action, below, who.account, complete=False, under=True)
    return evaluate(asked, policies).outcome is not Outcome.DENIED


def _own(one: Mapping[str, JsonValue], managed: Mapping[str, tuple[PolicyDocument, ...]]) -> tuple[PolicyDocument, ...]:
    """The statements of everything that is attached to a role, a user or a group."""
    found: tuple[PolicyDocument, ...] = ()
    for key in ("RolePolicyList", "UserPolicyList", "GroupPolicyList"):
        for policy in objects(one.get(key)):
            found += (_read(policy.get("PolicyDocument")),)
    for attached in objects(one.get("AttachedManagedPolicies")):
        arn = text(attached, "PolicyArn")
        if arn not in managed:
            raise Malformed(f"IAM names the policy {plain(arn)} and does not show it")
        found += managed[arn]
    return found


def _default_version(policy: Mapping[str, JsonValue]) -> tuple[PolicyDocument, ...]:
    versions = objects(policy.get("PolicyVersionList"))
    default = next((one for one in versions if one.get("IsDefaultVersion") is True), None)
    return (_read(default.get("Document")),) if default is not None else ()


def _read(value: JsonValue) -> PolicyDocument:
    """A policy document: botocore hands it out decoded, other readers as percent-encoded text."""
    data = unquote(value) if isinstance(value, str) else json.dumps(value)
    return PolicyDocument.parse(data, kind=PolicyKind.IDENTITY)
