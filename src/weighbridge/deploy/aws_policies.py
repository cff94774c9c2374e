"""Writes the AWS policies of a weighbridge installation: what each role may do, and what buckets, keys and endpoints refuse.

Within the bucket's account, roles are allowed by their own policies and the buckets' policies only deny: what nobody must do is
then refused also to a role that somebody gave too much. Keys are the other way round: their policies name every user, and nobody
is allowed to use a key by a policy of his own. Nothing is said twice: every statement, value and condition makes a difference to
some request. `docs/reference/aws-policies.md` has the whole table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from weighbridge.core.errors import ConfigError
from weighbridge.core.layout import INCOMING, INDEX, MODELS, RECORDS, model_prefix
from weighbridge.core.names import ModelName
from weighbridge.deploy.aws_parties import Hosting, Parties, Place, account_of_role, is_key_prefix
from weighbridge.deploy.iam.conditions import Condition
from weighbridge.deploy.iam.document import EVERYONE, Effect, Element, PolicyDocument, Principals, Statement
from weighbridge.deploy.plan import RenderedFile

_LOOKING: Final = ("s3:Get*", "s3:List*")
_TOP: Final = (INCOMING, MODELS, RECORDS, INDEX)


def revision_prefixes(model_name: ModelName, revision: str, *, verified: bool = False) -> tuple[str, ...]:
    """What a deployment of one revision reads: its files; with `verified`, also what `weighbridge run` proves them by."""
    files = model_prefix(model_name, revision)
    return (files, f"{RECORDS}{model_name}/{revision}/", INDEX) if verified else (files,)


# Buckets


def approved_bucket_policy(parties: Parties) -> PolicyDocument:
    """Of the approved bucket: only the promoter writes, once and with the key; nobody deletes; only named roles read."""
    place = parties.approved
    objects = (f"{parties.bucket_arn(place)}/*",)
    statements = [
        *_transport(parties, place),
        _deny(
            "OnlyNamedRolesRead",
            ("s3:GetObject*", "s3:ListBucket*", "s3:ListMultipartUploadParts"),
            (parties.bucket_arn(place), *objects),
            _nobody_but(parties.promote, parties.inspect, *parties.readers),
        ),
        _deny("OnlyThePromoterWrites", _LOOKING, objects, _nobody_but(parties.promote), except_actions=True),
        _deny("NobodyDeletes", ("s3:DeleteObject*",), objects),
        *_locks(objects),
        *_writes(parties, place),
        *_settings(parties, place),
    ]
    if parties.strangers:
        statements += _foreign_readers(parties)
    return PolicyDocument(tuple(statements), name="approved bucket")


def quarantine_bucket_policy(parties: Parties) -> PolicyDocument:
    """Of the bucket that models come into: ingest writes, inspection and promotion add records, what serves never reads."""
    place = parties.quarantine
    bucket, objects = parties.bucket_arn(place), (f"{parties.bucket_arn(place)}/*",)
    collect = (parties.collect,) if parties.collect else ()
    working = (parties.ingest, parties.inspect, parties.promote, *collect)
    recording = Condition("ArnEquals", "aws:PrincipalArn", (parties.inspect, parties.promote))
    ingesting = Condition("ArnEquals", "aws:PrincipalArn", (parties.ingest,))
    records, incoming = (parties.arn(place, RECORDS),), (parties.arn(place, INCOMING),)
    return PolicyDocument(
        (
            *_transport(parties, place),
            _deny("OnlyNamedRolesTouchObjects", ("s3:*",), objects, _nobody_but(*working)),
            _deny("OnlyNamedRolesList", ("s3:ListBucket*",), (bucket,), _nobody_but(*working)),
            _deny("JudgesWriteOnlyRecords", _LOOKING, records, recording, except_actions=True, except_resources=True),
            _deny("OnlyIngestAndCollectDelete", ("s3:DeleteObject*",), objects, _nobody_but(parties.ingest, *collect)),
            _deny("IngestDeletesOnlyWhatIsStaged", ("s3:DeleteObject*",), incoming, ingesting, except_resources=True),
            *_locks(objects),
            *_writes(parties, place),
            *_settings(parties, place),
        ),
        name="quarantine bucket",
    )


def _transport(parties: Parties, place: Place) -> list[Statement]:
    """How requests must come: encrypted, signed lately, through the endpoints."""
    everything = (parties.bucket_arn(place), f"{parties.bucket_arn(place)}/*")
    oldest = str(parties.signature_seconds * 1000)
    statements = [
        _deny("OnlyTls", ("s3:*",), everything, Condition("Bool", "aws:SecureTransport", ("false",))),
        _deny("OnlyRecentTls", ("s3:*",), everything, Condition("NumericLessThan", "s3:TlsVersion", ("1.2",))),
        _deny(
            "OnlyFreshSignatures",
            ("s3:*",),
            everything,
            Condition("NumericGreaterThan", "s3:signatureAge", (oldest,)),
        ),
    ]
    if parties.vpc_endpoints:
        elsewhere = Condition("StringNotEquals", "aws:SourceVpce", parties.vpc_endpoints)
        statements.append(
            _deny("OnlyThroughEndpoints", ("s3:*",), everything, elsewhere, _nobody_but(parties.administrator))
        )
    return statements


def _locks(objects: tuple[str, ...]) -> list[Statement]:
    """Nobody loosens an object lock."""
    lifted = Condition("StringNotEquals", "s3:object-lock-legal-hold", ("ON",))
    return [
        _deny("NobodyBypassesLocks", ("s3:BypassGovernanceRetention",), objects),
        _deny("NobodyLiftsHolds", ("s3:PutObjectLegalHold",), objects, lifted),
    ]


def _writes(parties: Parties, place: Place) -> list[Statement]:
    """Models are written where nothing is, and everything is encrypted with the store's key."""
    objects = (f"{parties.bucket_arn(place)}/*",)
    asked, key = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"
    return [
        _deny(
            "ModelsAreWrittenOnce",
            ("s3:PutObject",),
            (parties.arn(place, MODELS),),
            Condition("Null", "s3:if-none-match", ("true",)),
            Condition("Bool", "s3:ObjectCreationOperation", ("true",)),
        ),
        _deny(
            "NoOtherKey",
            ("s3:PutObject",),
            objects,
            # Not StringNotEqualsIfExists: that holds for requests which name no key, and those get the bucket's own.
            Condition("Null", key, ("false",)),
            Condition("StringNotEquals", key, (place.key,)),
        ),
        _deny(
            "NoEncryptionWithoutTheKey",
            ("s3:PutObject",),
            objects,
            Condition("Null", asked, ("false",)),
            Condition("Null", key, ("true",)),
        ),
        _deny(
            "NoKeysOfCustomers",
            ("s3:PutObject",),
            objects,
            Condition("Null", "s3:x-amz-server-side-encryption-customer-algorithm", ("false",)),
        ),
    ]


def _settings(parties: Parties, place: Place) -> list[Statement]:
    """Only the administrator changes the bucket, and nobody removes it."""
    bucket = (parties.bucket_arn(place),)
    return [
        _deny(
            "OnlyTheAdministratorConfigures", _LOOKING, bucket, _nobody_but(parties.administrator), except_actions=True
        ),
        _deny("NobodyRemovesTheBucket", ("s3:DeleteBucket",), bucket),
    ]


def _foreign_readers(parties: Parties) -> list[Statement]:
    place = parties.approved
    who = Principals(tuple(("AWS", arn) for arn in parties.strangers))
    keys = tuple(parties.arn(place, top) for top in (MODELS, RECORDS, INDEX))
    return [
        Statement(
            Effect.ALLOW,
            Element(("s3:GetObject", "s3:GetObjectVersion")),
            Element(keys),
            who,
            sid="ReadersOfOtherAccounts",
        ),
        Statement(
            Effect.ALLOW,
            Element(("s3:ListBucket",)),
            Element((parties.bucket_arn(place),)),
            who,
            sid="ListingFromOtherAccounts",
        ),
    ]


def _deny(
    sid: str,
    actions: tuple[str, ...],
    resources: tuple[str, ...],
    *conditions: Condition,
    except_actions: bool = False,
    except_resources: bool = False,
) -> Statement:
    everyone = Principals(((EVERYONE, EVERYONE),))
    action, resource = Element(actions, except_actions), Element(resources, except_resources)
    return Statement(Effect.DENY, action, resource, everyone, conditions, sid)


def _nobody_but(*roles: str) -> Condition:
    return Condition("ArnNotEquals", "aws:PrincipalArn", roles)


# Keys


def approved_key_policy(parties: Parties) -> PolicyDocument:
    """Of the approved store's key: the promoter writes with it, named roles read, always through S3 and for that bucket."""
    readers = (parties.inspect, *parties.readers)
    return _key_policy(parties, parties.approved, (parties.promote,), readers, name="approved key")


def quarantine_key_policy(parties: Parties) -> PolicyDocument:
    """Of quarantine's key."""
    writers = (parties.ingest, parties.inspect, parties.promote)
    return _key_policy(parties, parties.quarantine, writers, (), name="quarantine key")


def _key_policy(
    parties: Parties, place: Place, writers: tuple[str, ...], readers: tuple[str, ...], *, name: str
) -> PolicyDocument:
    suffix = "amazonaws.com.cn" if parties.partition == "aws-cn" else "amazonaws.com"
    through_s3 = (
        Condition("StringEquals", "kms:ViaService", (f"s3.{parties.region}.{suffix}",)),
        Condition(
            "StringLike",
            "kms:EncryptionContext:aws:s3:arn",
            # With a bucket key the context names the bucket alone.
            (parties.bucket_arn(place), f"{parties.bucket_arn(place)}/*"),
        ),
    )
    administering = (
        "kms:DescribeKey",
        "kms:GetKeyPolicy",
        "kms:GetKeyRotationStatus",
        "kms:ListResourceTags",
        "kms:PutKeyPolicy",
        "kms:EnableKeyRotation",
        "kms:TagResource",
        "kms:UntagResource",
    )
    statements = [
        _allow_roles("Administration", (parties.administrator,), administering),
        _allow_roles("WritingThroughS3", writers, ("kms:GenerateDataKey", "kms:Decrypt"), through_s3),
    ]
    if readers:
        statements.append(_allow_roles("ReadingThroughS3", readers, ("kms:Decrypt",), through_s3))
    return PolicyDocument(tuple(statements), name=name)


def _allow_roles(
    sid: str, roles: tuple[str, ...], actions: tuple[str, ...], conditions: tuple[Condition, ...] = ()
) -> Statement:
    who = Principals(tuple(("AWS", arn) for arn in roles))
    return Statement(Effect.ALLOW, Element(actions), Element(("*",)), who, conditions, sid)


# Roles


def ingest_policy(parties: Parties) -> PolicyDocument:
    """Of the role that brings models into quarantine."""
    place = parties.quarantine
    return _identity(
        "ingest",
        _looking(parties, place, "s3:GetBucketVersioning", "s3:ListBucketMultipartUploads"),
        _allow("Read", ("s3:GetObject", "s3:GetObjectVersion"), _all(parties, place)),
        _allow("Write", _WRITING, _all(parties, place)),
        _allow("ClearStaging", ("s3:DeleteObject", "s3:DeleteObjectVersion"), (parties.arn(place, INCOMING),)),
    )


def inspect_policy(parties: Parties) -> PolicyDocument:
    """Of the role that inspects again and verifies, on both sides."""
    place, approved = parties.quarantine, parties.approved
    return _identity(
        "inspect",
        _looking(parties, place, "s3:GetBucketVersioning"),
        _allow("Read", ("s3:GetObject", "s3:GetObjectVersion"), (*_all(parties, place), *_all(parties, approved))),
        _allow("Record", ("s3:PutObject",), (parties.arn(place, RECORDS),)),
        _allow("LookAtApproved", ("s3:ListBucket",), (parties.bucket_arn(approved),)),
    )


def promote_policy(parties: Parties) -> PolicyDocument:
    """Of the role that decides, promotes and moves channels."""
    place, approved = parties.quarantine, parties.approved
    both = (parties.bucket_arn(place), parties.bucket_arn(approved))
    return _identity(
        "promote",
        _allow("Look", ("s3:ListBucket", "s3:GetBucketVersioning", "s3:ListBucketMultipartUploads"), both),
        _allow("Read", ("s3:GetObject", "s3:GetObjectVersion"), (*_all(parties, place), *_all(parties, approved))),
        _allow("Record", ("s3:PutObject",), (parties.arn(place, RECORDS),)),
        _allow("Promote", _WRITING, _all(parties, approved)),
    )


def collect_policy(parties: Parties) -> PolicyDocument:
    """Of the role that removes from quarantine what was never sealed.

    Raises:
        ConfigError: there is no such role among the parties.
    """
    if not parties.collect:
        raise ConfigError("no role collects garbage among these parties", hint="Name one: collect.")
    place = parties.quarantine
    return _identity(
        "collect",
        _looking(parties, place, "s3:ListBucketMultipartUploads", "s3:GetBucketVersioning"),
        _allow("Read", ("s3:GetObject", "s3:GetObjectVersion"), _all(parties, place)),
        _allow(
            "Remove",
            ("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload"),
            _all(parties, place),
        ),
    )


def gateway_policy(parties: Parties) -> PolicyDocument:
    """Of the role that the gateway reads the approved store with."""
    place = parties.approved
    readable = tuple(parties.arn(place, top) for top in (MODELS, RECORDS, INDEX))
    foreign = bool(parties.gateway) and account_of_role(parties.gateway) != parties.account
    return _identity(
        "gateway",
        _looking(parties, place),
        _allow("Read", ("s3:GetObject", "s3:GetObjectVersion"), readable),
        *(_decrypting(place) if foreign else ()),
    )


def inference_policy(parties: Parties, prefixes: Sequence[str] = (MODELS,), *, foreign: bool = False) -> PolicyDocument:
    """Of a role that an engine reads models with: these keys of the approved store, each ending in a slash, nothing else.

    `foreign` says that the role is of another account than the bucket.

    Raises:
        ConfigError: a prefix does not end in a slash, lies in no part of a store, or holds what IAM reads as a wildcard.
    """
    place = parties.approved
    for prefix in prefixes:
        if not prefix.endswith("/") or not prefix.startswith(_TOP) or not is_key_prefix(prefix):
            raise ConfigError(
                f"{prefix[:100]!a} is no prefix of a store that a role could be bound to",
                hint="For example models/org/name/REVISION/, with the slash: without it, the longer names match too.",
            )
    start = len(parties.bucket_arn(place)) + 1
    keys = tuple(parties.arn(place, prefix) for prefix in prefixes)
    listed = Condition("StringLike", "s3:prefix", tuple(key[start:] for key in keys))
    return _identity(
        "inference",
        _allow("ReadTheModel", ("s3:GetObject", "s3:GetObjectVersion"), keys),
        _allow("ListTheModel", ("s3:ListBucket",), (parties.bucket_arn(place),), listed),
        *(_decrypting(place) if foreign else ()),
    )


def _decrypting(place: Place) -> tuple[Statement, ...]:
    return (_allow("Decrypt", ("kms:Decrypt",), (place.key,)),)


_WRITING: Final = (
    "s3:PutObject",
    "s3:ListMultipartUploadParts",
    "s3:AbortMultipartUpload",
    "s3:PutObjectRetention",
    "s3:PutObjectLegalHold",
)


def _all(parties: Parties, place: Place) -> tuple[str, ...]:
    return (parties.arn(place),)


def _looking(parties: Parties, place: Place, *actions: str) -> Statement:
    # Not bound to the store's prefix: S3 answers "not there" rather than "refused" only to who may list the bucket.
    return _allow("Look", ("s3:ListBucket", *actions), (parties.bucket_arn(place),))


def _allow(sid: str, actions: tuple[str, ...], resources: tuple[str, ...], *conditions: Condition) -> Statement:
    return Statement(Effect.ALLOW, Element(actions), Element(resources), None, conditions, sid)


def _identity(name: str, *statements: Statement) -> PolicyDocument:
    return PolicyDocument(statements, name=name)


# SageMaker


def execution_role_policy(parties: Parties, prefixes: Sequence[str], hosting: Hosting) -> PolicyDocument:
    """Of a SageMaker endpoint's execution role: the model, its image, its logs and metrics, its network interfaces.

    Raises:
        ConfigError: as `inference_policy`.
    """
    statements = list(inference_policy(parties, prefixes).statements)
    if hosting.repositories:
        pulling = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability")
        statements += [
            _allow("PullTheImage", pulling, hosting.repositories),
            _allow("LogInToTheRegistry", ("ecr:GetAuthorizationToken",), ("*",)),
        ]
    here = f"arn:{parties.partition}:{{}}:{parties.region}:{parties.account}:"
    logging = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams")
    namespaces = Condition("StringLike", "cloudwatch:namespace", ("AWS/SageMaker", "/aws/sagemaker/*"))
    statements += [
        _allow("Log", logging, (f"{here.format('logs')}log-group:/aws/sagemaker/Endpoints/*",)),
        _allow("Measure", ("cloudwatch:PutMetricData",), ("*",), namespaces),
    ]
    if hosting.subnets:
        ec2 = here.format("ec2")
        interfaces = f"{ec2}network-interface/*"
        within = tuple(f"{ec2}subnet/{one}" for one in hosting.subnets)
        guarded = tuple(f"{ec2}security-group/{one}" for one in hosting.security_groups)
        changing = (
            "ec2:CreateNetworkInterfacePermission",
            "ec2:DeleteNetworkInterface",
            "ec2:DeleteNetworkInterfacePermission",
        )
        seeing = tuple(
            f"ec2:Describe{what}" for what in ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups")
        )
        statements += [
            _allow("JoinTheNetwork", ("ec2:CreateNetworkInterface",), (interfaces, *within, *guarded)),
            _allow("KeepTheInterfaces", changing, (interfaces,)),
            _allow("SeeTheNetwork", seeing, ("*",)),
        ]
    return PolicyDocument(tuple(statements), name="execution role")


def sagemaker_trust_policy(parties: Parties) -> PolicyDocument:
    """Who may take the execution role: SageMaker, for resources of this account and region."""
    source = f"arn:{parties.partition}:sagemaker:{parties.region}:{parties.account}:*"
    statement = Statement(
        Effect.ALLOW,
        Element(("sts:AssumeRole",)),
        None,
        Principals((("Service", "sagemaker.amazonaws.com"),)),
        (Condition("ArnLike", "aws:SourceArn", (source,)),),
        "SageMakerOnlyForThisAccount",
    )
    return PolicyDocument((statement,), name="trust")


# Network


def inference_endpoint_policy(parties: Parties) -> PolicyDocument:
    """Of the VPC endpoint for S3 that inference uses: reading the approved bucket and image layers, nothing else.

    What gets hold of a container there can send nothing to a bucket of its own.
    """
    place = parties.approved
    reading = Condition("ArnEquals", "aws:PrincipalArn", parties.readers)
    if not parties.readers:
        raise ConfigError("nobody reads the approved store among these parties", hint="Name inference or gateway.")
    everyone = Principals(((EVERYONE, EVERYONE),))
    layers = f"arn:{parties.partition}:s3:::prod-{parties.region}-starport-layer-bucket/*"
    return PolicyDocument(
        (
            Statement(
                Effect.ALLOW,
                Element(("s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket")),
                Element((parties.bucket_arn(place), *_all(parties, place))),
                everyone,
                (reading,),
                "ReadApprovedModels",
            ),
            Statement(Effect.ALLOW, Element(("s3:GetObject",)), Element((layers,)), everyone, sid="PullImageLayers"),
        ),
        name="VPC endpoint",
    )


# All of them


def policy_files(parties: Parties) -> tuple[RenderedFile, ...]:
    """Every policy of an installation as a file, named for what it is attached to.

    Roles that read are given all approved models; a deployment's own role is `inference_policy` with its revision's prefixes.
    """
    policies = {
        "approved-bucket": approved_bucket_policy(parties),
        "approved-key": approved_key_policy(parties),
        "quarantine-bucket": quarantine_bucket_policy(parties),
        "quarantine-key": quarantine_key_policy(parties),
        "ingest-role": ingest_policy(parties),
        "inspect-role": inspect_policy(parties),
        "promote-role": promote_policy(parties),
    }
    if parties.collect:
        policies["collect-role"] = collect_policy(parties)
    if parties.gateway:
        policies["gateway-role"] = gateway_policy(parties)
    accounts = sorted({account_of_role(arn) for arn in parties.inference})
    for account in accounts:
        name = "inference-role" if account == parties.account else f"inference-role-{account}"
        policies[name] = inference_policy(parties, (MODELS, RECORDS, INDEX), foreign=account != parties.account)
    if parties.readers:
        policies["inference-vpc-endpoint"] = inference_endpoint_policy(parties)
    return tuple(RenderedFile(f"{name}.json", policy.to_text()) for name, policy in policies.items())
