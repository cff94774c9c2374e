"""How a bucket is kept, read through the S3 API and those of KMS, EC2 and IAM: the evidence of the bucket route.

Rules: a setting that is not set is a fact; one that could not be read is unobtained, with the permission that is missing or
the call that the server does not implement; policies are evaluated, not searched for words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from weighbridge.core import canonical
from weighbridge.core.canonical import JsonValue
from weighbridge.core.config import StoreSettings
from weighbridge.core.errors import AccessRefused, ConfigError, Malformed, NotFound, WeighbridgeError
from weighbridge.core.names import Address
from weighbridge.core.ports import ObjectStore, SignatureVerifier
from weighbridge.core.shown import plain
from weighbridge.deploy.iam import Outcome, PolicyDocument, PolicyKind, Principal, Request, evaluate, explain
from weighbridge.deploy.iam.access import BucketAccess
from weighbridge.deploy.iam.principals import account_of
from weighbridge.posture.bucket_asking import BucketAsking, Services, Setting, objects, text
from weighbridge.posture.bucket_objects import IDS as OBJECT_IDS
from weighbridge.posture.bucket_objects import SAMPLE_IDS, ObjectsQuestion, read_objects, sample
from weighbridge.posture.evidence import Evidence, Unobtained
from weighbridge.posture.gathering import Gathered, Notes, bounded, gathered, listed, sha256
from weighbridge.posture.iam_facts import IDS as IAM_IDS
from weighbridge.posture.iam_facts import read_identities
from weighbridge.vault.records import SealedRevision
from weighbridge.wire.http import Http
from weighbridge.wire.s3 import Bucket

FLAGS: Final = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
EVERYONE_GROUPS: Final = (
    "http://acs.amazonaws.com/groups/global/AllUsers",
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
)
POLICY_IDS: Final = (
    "bucket.policy",
    "bucket.policy.public",
    "bucket.policy.readers",
    "bucket.policy.writers",
    "bucket.policy.deleters",
    "bucket.policy.administrators",
    "bucket.policy.cross_account",
    "bucket.policy.write_denied",
    "bucket.policy.write_exempt",
    "bucket.policy.delete_denied",
    "bucket.policy.delete_exempt",
    "bucket.policy.tls_only",
    "bucket.policy.presigned_limit",
    "bucket.vpc_endpoint",
)
SETTING_IDS: Final[Mapping[str, tuple[str, ...]]] = {
    "access": ("bucket.public_access_block", "bucket.public_access_block.off"),
    "ownership": ("bucket.ownership",),
    "acl": ("bucket.acl.public", "bucket.acl.grants"),
    "encryption": ("bucket.encryption", "bucket.kms_key"),
    "key": ("bucket.kms_key.users", "bucket.kms_key.rotated"),
    "versioning": ("bucket.versioning", "bucket.versioning.mfa_delete"),
    "lock": ("bucket.object_lock", "bucket.retention_days"),
    "logging": ("bucket.logging",),
    "replication": ("bucket.replication",),
    "lifecycle": ("bucket.lifecycle.deletes",),
    "endpoint": ("bucket.vpc_endpoint.policy",),
}
IDS: Final = (*(id_ for ids in SETTING_IDS.values() for id_ in ids), *POLICY_IDS, *SAMPLE_IDS, *IAM_IDS, *OBJECT_IDS)
"""All that `collect` promises: each comes out, as evidence or as unobtained."""

_DAYS_OF_A_YEAR: Final = 365
_UNKNOWN_ACCOUNT: Final = "000000000001"
"""Stands for an account that is not known: numbers begin higher."""


@dataclass(frozen=True, slots=True)
class BucketQuestion:
    """What is asked about: `s3://bucket[/prefix]`, reached as the settings say.

    `store` is the store at that address and `revision` the one of the model in it, where there is one; `account` is the
    owner's, asked of STS where it is not given; `endpoints` are those of the services beside S3, by name.
    """

    address: Address
    settings: StoreSettings
    store: ObjectStore | None = None
    revision: SealedRevision | None = None
    verifier: SignatureVerifier | None = None
    account: str = ""
    endpoints: Mapping[str, str] = field(default_factory=dict)
    measure_bytes: int = 0


def collect(http: Http, question: BucketQuestion, *, observed_at: str) -> Gathered:
    """The evidence of the bucket route; never raises for what cannot be read."""
    notes = Notes(observed_at)
    try:
        looking = _Looking(http, question, notes)
    except WeighbridgeError as error:
        for id_ in IDS:
            yield Unobtained(id_, plain(error.diagnostics(), 400))
        return
    parts = {
        "access": looking.public_access,
        "ownership": looking.ownership,
        "acl": looking.acl,
        "encryption": looking.encryption,
        "key": looking.key,
        "versioning": looking.versioning,
        "lock": looking.lock,
        "logging": looking.logging,
        "replication": looking.replication,
        "lifecycle": looking.lifecycle,
    }
    for name, part in parts.items():
        yield from gathered(SETTING_IDS[name], part)
    yield from gathered(POLICY_IDS, looking.policy)
    yield from gathered(SETTING_IDS["endpoint"], looking.endpoint)
    yield from gathered(SAMPLE_IDS, lambda: sample(notes, looking.bucket, question.address, question.revision))
    yield from gathered(IAM_IDS, lambda: read_identities(notes, looking.services, question.address, looking.partition))
    asked = ObjectsQuestion(question.address, question.store, question.revision, question.verifier)
    yield from read_objects(notes, asked, http, question.settings, measure_bytes=question.measure_bytes)


class _Looking:
    """One look at one bucket; what one answer says and another question needs is kept."""

    def __init__(self, http: Http, question: BucketQuestion, notes: Notes) -> None:
        if question.address.scheme != "s3":
            raise ConfigError(f"{question.address} is no S3 bucket: its settings are not read")
        settings = question.settings
        opened = Bucket(question.address.bucket, http=http, endpoint=settings.s3_endpoint, region=settings.s3_region)
        self.bucket = BucketAsking(opened)
        region = settings.s3_region or str(opened.control.meta.region_name)
        self.services = Services(region, own_server=bool(settings.s3_endpoint), endpoints=question.endpoints)
        self.partition = {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(
            region.rpartition("-")[0].rpartition("-")[0], "aws"
        )
        self._question = question
        self._notes = notes
        self._key = ""
        self._networks: tuple[str, ...] = ()

    def _saw(self, id_: str, value: JsonValue, setting: Setting | None, call: str) -> Evidence:
        source = setting.source if setting else f"{call} of s3://{self.bucket.name}: there is none"
        return self._notes.saw(id_, value, source, digest=setting.digest if setting else "")

    # --- who may, by settings

    def public_access(self) -> Iterator[Evidence]:
        """All four settings must be on; a bucket without the setting may be covered by its account's, which is not seen."""
        call = "GetPublicAccessBlock"
        found = self.bucket.setting(
            call, "s3:GetBucketPublicAccessBlock", none=("NoSuchPublicAccessBlockConfiguration",)
        )
        flags = found.object("PublicAccessBlockConfiguration") if found else {}
        if found and not set(FLAGS) & set(flags):
            raise _strange(found)
        off = [flag for flag in FLAGS if flags.get(flag) is not True]
        yield self._saw("bucket.public_access_block", not off, found, call)
        yield self._saw("bucket.public_access_block.off", listed(off), found, call)

    def ownership(self) -> Iterator[Evidence]:
        """Who owns what others upload."""
        call = "GetBucketOwnershipControls"
        none = ("OwnershipControlsNotFoundError", "NoSuchOwnershipControls")
        found = self.bucket.setting(call, "s3:GetBucketOwnershipControls", none=none)
        rules = _rules(found, "OwnershipControls")
        yield self._saw("bucket.ownership", plain(text(rules[0], "ObjectOwnership")) if rules else "", found, call)

    def acl(self) -> Iterator[Evidence]:
        """Grants to others than the owner."""
        call = "GetBucketAcl"
        found = self.bucket.setting(call, "s3:GetBucketAcl")
        if found is None or not isinstance(found.fields.get("Grants"), list):
            raise Malformed(f"{call} of s3://{self.bucket.name} answers without 'Grants'")
        owner = text(found.object("Owner"), "ID") if isinstance(found.fields.get("Owner"), Mapping) else ""
        public, grants = False, []
        for grant in found.objects("Grants"):
            grantee = grant.get("Grantee")
            who = grantee if isinstance(grantee, Mapping) else {}
            uri, name = text(who, "URI"), text(who, "ID") or text(who, "EmailAddress")
            public = public or uri in EVERYONE_GROUPS
            if uri or not owner or name != owner:
                grants.append(f"{uri or name or 'somebody'}: {text(grant, 'Permission')}")
        yield self._saw("bucket.acl.public", public, found, call)
        yield self._saw("bucket.acl.grants", listed(grants), found, call)

    # --- what happens to what lies there

    def encryption(self) -> Iterator[Evidence]:
        """The default encryption, and its key."""
        call = "GetBucketEncryption"
        none = ("ServerSideEncryptionConfigurationNotFoundError", "NoSuchServerSideEncryptionConfiguration")
        found = self.bucket.setting(call, "s3:GetEncryptionConfiguration", none=none)
        rules = _rules(found, "ServerSideEncryptionConfiguration")
        default = rules[0].get("ApplyServerSideEncryptionByDefault") if rules else None
        fields = default if isinstance(default, Mapping) else {}
        self._key = text(fields, "KMSMasterKeyID")
        yield self._saw("bucket.encryption", plain(text(fields, "SSEAlgorithm")), found, call)
        yield self._saw("bucket.kms_key", plain(self._key), found, call)

    def key(self) -> Iterator[Evidence]:
        """Who may decrypt by the key's own policy, and whether the key is exchanged by itself."""
        if not self._key:
            raise NotFound("no key of your own encrypts this bucket")
        rotated = self.services.ask("kms", "GetKeyRotationStatus", "kms:GetKeyRotationStatus", KeyId=self._key)
        if rotated is not None and isinstance(rotated.fields.get("KeyRotationEnabled"), bool):
            on = rotated.fields["KeyRotationEnabled"]
            yield self._notes.saw("bucket.kms_key.rotated", on, rotated.source, digest=rotated.digest)
        found = self.services.ask("kms", "GetKeyPolicy", "kms:GetKeyPolicy", KeyId=self._key, PolicyName="default")
        data = text(found.fields, "Policy").encode("utf-8") if found else b""
        policy = PolicyDocument.parse(data, kind=PolicyKind.RESOURCE)
        source = found.source if found else ""
        yield self._notes.saw("bucket.kms_key.users", listed(_users(policy, self._key)), source, digest=sha256(data))

    def versioning(self) -> Iterator[Evidence]:
        """Whether an overwrite leaves a trace."""
        call = "GetBucketVersioning"
        found = self.bucket.setting(call, "s3:GetBucketVersioning")
        fields = found.fields if found else {}
        yield self._saw("bucket.versioning", plain(text(fields, "Status")) or "Never", found, call)
        yield self._saw("bucket.versioning.mfa_delete", text(fields, "MFADelete") == "Enabled", found, call)

    def lock(self) -> Iterator[Evidence]:
        """Whether versions can be deleted before their time."""
        call = "GetObjectLockConfiguration"
        none = ("ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration")
        found = self.bucket.setting(call, "s3:GetBucketObjectLockConfiguration", none=none)
        fields = found.object("ObjectLockConfiguration") if found else {}
        if found and "ObjectLockEnabled" not in fields:
            raise _strange(found)
        rule = fields.get("Rule")
        default = rule.get("DefaultRetention") if isinstance(rule, Mapping) else None
        retention = default if isinstance(default, Mapping) else {}
        on = text(fields, "ObjectLockEnabled") == "Enabled"
        days, years = retention.get("Days"), retention.get("Years")
        total = (days if isinstance(days, int) else 0) + _DAYS_OF_A_YEAR * (years if isinstance(years, int) else 0)
        mode = plain(text(retention, "Mode")) or "none"
        yield self._saw("bucket.object_lock", mode if on else "", found, call)
        yield self._saw("bucket.retention_days", max(0, total) if on else 0, found, call)

    def logging(self) -> Iterator[Evidence]:
        """Where accesses are written down."""
        call = "GetBucketLogging"
        found = self.bucket.setting(call, "s3:GetBucketLogging")
        target = found.fields.get("LoggingEnabled") if found else None
        fields = target if isinstance(target, Mapping) else {}
        where = f"s3://{text(fields, 'TargetBucket')}/{text(fields, 'TargetPrefix')}" if fields else ""
        yield self._saw("bucket.logging", plain(where), found, call)

    def replication(self) -> Iterator[Evidence]:
        """Where copies go."""
        call = "GetBucketReplication"
        found = self.bucket.setting(
            call, "s3:GetReplicationConfiguration", none=("ReplicationConfigurationNotFoundError",)
        )
        rules = _rules(found, "ReplicationConfiguration")
        enabled = [rule.get("Destination") for rule in rules if text(rule, "Status") == "Enabled"]
        yield self._saw(
            "bucket.replication",
            listed(text(one, "Bucket") for one in enabled if isinstance(one, Mapping)),
            found,
            call,
        )

    def lifecycle(self) -> Iterator[Evidence]:
        """What is deleted by itself under the prefix."""
        call = "GetBucketLifecycleConfiguration"
        found = self.bucket.setting(call, "s3:GetLifecycleConfiguration", none=("NoSuchLifecycleConfiguration",))
        if found and not isinstance(found.fields.get("Rules"), list):
            raise _strange(found)
        rules = found.objects("Rules") if found else []
        deleting = [one for rule in rules if text(rule, "Status") == "Enabled" for one in self._deletes(rule)]
        yield self._saw("bucket.lifecycle.deletes", bounded(deleting), found, call)

    def _deletes(self, rule: Mapping[str, JsonValue]) -> Iterator[dict[str, JsonValue]]:
        prefix = _prefix_of(rule)
        ours = f"{self._question.address.prefix}/" if self._question.address.prefix else ""
        if not (ours.startswith(prefix) or prefix.startswith(ours)):
            return
        for key, what, days in (
            ("Expiration", "objects", "Days"),
            ("NoncurrentVersionExpiration", "versions", "NoncurrentDays"),
        ):
            action = rule.get(key)
            if not isinstance(action, Mapping) or (days not in action and "Date" not in action):
                continue
            count = action.get(days)
            yield {
                "rule": plain(text(rule, "ID")),
                "prefix": plain(prefix),
                "what": what,
                "days": count if isinstance(count, int) else 0,
            }

    # --- the policy

    def policy(self) -> Iterator[Evidence | Unobtained]:
        """The bucket policy, evaluated."""
        found = self.bucket.setting("GetBucketPolicy", "s3:GetBucketPolicy", none=("NoSuchBucketPolicy",))
        data = text(found.fields, "Policy").encode("utf-8") if found else b""
        if found and not data:
            raise Malformed(f"{found.source} answers without 'Policy'")
        policy = PolicyDocument.parse(data, kind=PolicyKind.RESOURCE) if found else None
        account = self._account()
        facts = self._explained(policy, account)
        self._networks = facts.endpoints
        about: dict[str, JsonValue] = {
            "present": policy is not None,
            "statements": facts.statements,
            "unproved": listed(facts.unproved),
        }
        told: tuple[tuple[str, JsonValue], ...] = (
            ("bucket.policy", about),
            ("bucket.policy.public", facts.public or (found is not None and self._said_public())),
            ("bucket.policy.readers", listed(facts.readers)),
            ("bucket.policy.writers", listed(facts.writers)),
            ("bucket.policy.deleters", listed((*facts.deleters, *facts.unlockers))),
            ("bucket.policy.administrators", listed(facts.configurers)),
            ("bucket.policy.write_denied", facts.write_denied),
            ("bucket.policy.write_exempt", listed(facts.write_exempt)),
            ("bucket.policy.delete_denied", facts.delete_denied),
            ("bucket.policy.delete_exempt", listed(facts.delete_exempt)),
            ("bucket.policy.tls_only", facts.tls_only),
            ("bucket.policy.presigned_limit", facts.presigned_seconds),
            ("bucket.vpc_endpoint", listed(facts.endpoints)),
        )
        source = f"{found.source}, evaluated" if found else f"GetBucketPolicy of s3://{self.bucket.name}: there is none"
        digest = sha256(data) if found else ""
        for id_, value in told:
            yield self._notes.saw(id_, value, source, digest=digest)
        if account or not facts.cross_account:
            across = listed(facts.cross_account)
            yield self._notes.saw("bucket.policy.cross_account", across, source, digest=digest)
        else:
            why = "the policy names principals, and the owner's account is not known: name it, or allow sts:GetCallerIdentity"
            yield Unobtained("bucket.policy.cross_account", why)

    def _explained(self, policy: PolicyDocument | None, account: str) -> BucketAccess:
        """What the policy comes to; a bucket without one allows and denies nobody."""
        prefix = self._question.address.prefix
        return explain(
            policy or PolicyDocument(()),
            account=account or _UNKNOWN_ACCOUNT,
            bucket=self.bucket.name,
            prefix=f"{prefix}/" if prefix else "",
            partition=self.partition,
        )

    def _said_public(self) -> bool:
        """The server's own word on the policy; where it has none, ours alone counts."""
        try:
            found = self.bucket.setting(
                "GetBucketPolicyStatus", "s3:GetBucketPolicyStatus", none=("NoSuchBucketPolicy",)
            )
            return found is not None and found.object("PolicyStatus").get("IsPublic") is True
        except WeighbridgeError:
            return False

    def _account(self) -> str:
        if self._question.account:
            return self._question.account
        try:
            found = self.services.ask("sts", "GetCallerIdentity", "sts:GetCallerIdentity")
        except WeighbridgeError:
            return ""
        return text(found.fields, "Account") if found else ""

    def endpoint(self) -> Iterator[Evidence]:
        """Whether the endpoints that the policy binds requests to are bounded themselves."""
        endpoints = [one for one in self._networks if one.startswith("vpce-")]
        if not endpoints:
            raise NotFound("the bucket's policy names no VPC endpoint")
        call, permission = "DescribeVpcEndpoints", "ec2:DescribeVpcEndpoints"
        found = self.services.ask("ec2", call, permission, VpcEndpointIds=endpoints[:100])
        rows: list[JsonValue] = []
        for one in found.objects("VpcEndpoints") if found else ():
            data = text(one, "PolicyDocument").encode("utf-8")
            rows.append({"endpoint": plain(text(one, "VpcEndpointId")), "bounded": _bounded(data)})
        if found is None or len(rows) < len(endpoints):
            raise AccessRefused("not all VPC endpoints of the policy are seen from here", hint=f"Missing: {permission}")
        rows.sort(key=canonical.digest)
        yield self._notes.saw("bucket.vpc_endpoint.policy", bounded(rows), found.source, digest=found.digest)


def _strange(found: Setting) -> Malformed:
    """A success that does not hold what such a success holds: whoever answered does not know the call."""
    return Malformed(f"{found.source} is answered with something else")


def _rules(found: Setting | None, key: str) -> list[Mapping[str, JsonValue]]:
    """The rules of a configuration; none where there is none.

    Raises:
        Malformed: what was answered is none.
    """
    if found is None:
        return []
    rules = found.object(key).get("Rules")
    if not isinstance(rules, list):
        raise _strange(found)
    return objects(rules)


def _bounded(data: bytes) -> bool:
    """Whether an endpoint's policy keeps requests from a stranger's bucket: through an open one data leaves."""
    policy = PolicyDocument.parse(data, kind=PolicyKind.RESOURCE)
    somebody = Principal.of(f"arn:aws:iam::{_UNKNOWN_ACCOUNT}:role/weighbridge-nobody-has-this-name")
    foreign = Request(
        somebody, "s3:PutObject", "arn:aws:s3:::weighbridge-nobody-has-this-bucket/x", _UNKNOWN_ACCOUNT, complete=False
    )
    return evaluate(foreign, resource_policy=policy).outcome is Outcome.DENIED


def _users(policy: PolicyDocument, key: str) -> Iterator[str]:
    """The principals whom a key's policy may let decrypt."""
    names = {value for one in policy.statements if one.principals for _, value in one.principals.values}
    for name in names:
        account = account_of(name)
        if name == "*":
            who = Principal.anonymous()
        elif account:
            who = Principal.of(f"arn:aws:iam::{account}:root" if name == account else name)
        else:
            who = Principal.service(name)
        asked = Request(who, "kms:Decrypt", key, account or _UNKNOWN_ACCOUNT, complete=False)
        if evaluate(asked, resource_policy=policy).outcome is not Outcome.DENIED:
            yield name


def _prefix_of(rule: Mapping[str, JsonValue]) -> str:
    """What a lifecycle rule is about; tags and sizes narrow it further, which is not counted on."""
    part = rule.get("Filter")
    if isinstance(part, Mapping):
        both = part.get("And")
        return text(both, "Prefix") if isinstance(both, Mapping) else text(part, "Prefix")
    return text(rule, "Prefix")
