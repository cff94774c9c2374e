"""What is gathered of buckets, as a server of AWS's answers about them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.support import moto_server
from tests.support.gathered import NOW, answering, http_pool, noted, value
from tests.support.moto_server import ACCOUNT, AwsServer
from weighbridge.core.canonical import JsonValue
from weighbridge.core.config import StoreSettings
from weighbridge.core.names import Address
from weighbridge.posture import bucket_facts
from weighbridge.posture.bucket_facts import BucketQuestion
from weighbridge.posture.evidence import Dossier
from weighbridge.wire.http import Http


@pytest.fixture
def http() -> Iterator[Http]:
    with http_pool() as pool:
        yield pool


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsServer]:
    """AWS's settings APIs."""
    with moto_server.running() as server:
        yield server


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "weighbridge-tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "weighbridge-tests")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def look(http: Http, aws: AwsServer, name: str, **more: Any) -> Dossier:
    """The evidence of a bucket, with these neighbouring services at hand."""
    services = more.pop("services", ())
    more.setdefault("account", ACCOUNT)
    question = BucketQuestion(
        Address.parse(f"s3://{name}/approved"),
        StoreSettings(s3_endpoint=aws.endpoint),
        endpoints=aws.endpoints(*services),
        **more,
    )
    return noted(bucket_facts.collect(http, question, observed_at=NOW), bucket_facts.IDS)


def policy_of(name: str, *statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [*statements]})


def statement(name: str, effect: str, actions: list[str], **more: Any) -> dict[str, Any]:
    resources = [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
    return {"Effect": effect, "Principal": "*", "Action": actions, "Resource": resources, **more}


PROMOTER = f"arn:aws:iam::{ACCOUNT}:role/promoter"
FOREIGN = "arn:aws:iam::210987654321:role/partner"


def set_policy(aws: AwsServer, name: str, *statements: dict[str, Any]) -> None:
    aws.client("s3").put_bucket_policy(Bucket=name, Policy=policy_of(name, *statements))


@pytest.fixture
def kept(aws: AwsServer) -> str:
    """A bucket as it should be."""
    name = aws.bucket(ObjectLockEnabledForBucket=True)
    s3, kms = aws.client("s3"), aws.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    kms.enable_key_rotation(KeyId=key)
    flags = dict.fromkeys(bucket_facts.FLAGS, True)
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=flags)
    s3.put_bucket_ownership_controls(
        Bucket=name, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    )
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=rules)
    s3.put_object_lock_configuration(
        Bucket=name,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Years": 1}},
        },
    )
    others = {"ArnNotEquals": {"aws:PrincipalArn": PROMOTER}}
    set_policy(
        aws,
        name,
        statement(name, "Deny", ["s3:*"], Sid="Tls", Condition={"Bool": {"aws:SecureTransport": "false"}}),
        statement(name, "Deny", ["s3:*"], Sid="Age", Condition={"NumericGreaterThan": {"s3:signatureAge": "600000"}}),
        statement(
            name, "Deny", ["s3:*"], Sid="Net", Condition={"StringNotEquals": {"aws:SourceVpce": "vpce-1a2b3c4d"}}
        ),
        statement(name, "Deny", ["s3:Put*", "s3:ReplicateObject", "s3:RestoreObject"], Sid="Write", Condition=others),
        statement(name, "Deny", ["s3:DeleteObject*"], Sid="Delete"),
        statement(name, "Allow", ["s3:PutObject"], Sid="Promote", Principal={"AWS": PROMOTER}),
    )
    return name


def test_a_bucket_as_it_should_be(http: Http, aws: AwsServer, kept: str, credentials: None) -> None:
    found = look(http, aws, kept, services=("kms",))
    expected: dict[str, JsonValue] = {
        "bucket.public_access_block": True,
        "bucket.public_access_block.off": [],
        "bucket.ownership": "BucketOwnerEnforced",
        "bucket.acl.public": False,
        "bucket.acl.grants": [],
        "bucket.policy": {"present": True, "statements": 6, "unproved": []},
        "bucket.policy.public": False,
        "bucket.policy.writers": [PROMOTER],
        "bucket.policy.deleters": [],
        "bucket.policy.administrators": [],
        "bucket.policy.cross_account": [],
        "bucket.policy.write_denied": True,
        "bucket.policy.delete_denied": True,
        "bucket.policy.tls_only": True,
        "bucket.policy.presigned_limit": 600,
        "bucket.vpc_endpoint": ["vpce-1a2b3c4d"],
        "bucket.encryption": "aws:kms",
        "bucket.kms_key.rotated": True,
        "bucket.kms_key.users": [f"arn:aws:iam::{ACCOUNT}:root"],
        "bucket.versioning": "Enabled",
        "bucket.object_lock": "COMPLIANCE",
        "bucket.retention_days": 365,
        "bucket.logging": "",
        "bucket.replication": [],
        "bucket.lifecycle.deletes": [],
    }
    assert {id_: value(found, id_) for id_ in expected} == expected


def test_a_bucket_left_as_it_was_made_has_no_controls(http: Http, aws: AwsServer, credentials: None) -> None:
    """What is not set is a fact, and a bad one; it is not unobtained."""
    found = look(http, aws, aws.bucket())
    expected: dict[str, JsonValue] = {
        "bucket.public_access_block": False,
        "bucket.ownership": "",
        "bucket.policy": {"present": False, "statements": 0, "unproved": []},
        "bucket.policy.public": False,
        "bucket.policy.write_denied": False,
        "bucket.policy.delete_denied": False,
        "bucket.policy.tls_only": False,
        "bucket.policy.presigned_limit": None,
        "bucket.vpc_endpoint": [],
        "bucket.encryption": "",
        "bucket.kms_key": "",
        "bucket.versioning": "Never",
        "bucket.object_lock": "",
        "bucket.retention_days": 0,
    }
    assert {id_: value(found, id_) for id_ in expected} == expected


def test_a_bucket_open_to_everyone(http: Http, aws: AwsServer, credentials: None) -> None:
    name = aws.bucket()
    s3 = aws.client("s3")
    s3.put_bucket_acl(Bucket=name, ACL="public-read")
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    set_policy(aws, name, statement(name, "Allow", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]))
    found = look(http, aws, name)
    assert value(found, "bucket.acl.public") is True
    assert value(found, "bucket.acl.grants") == ["http://acs.amazonaws.com/groups/global/AllUsers: READ"]
    assert value(found, "bucket.policy.public") is True
    assert value(found, "bucket.policy.writers") == ["*"]
    assert value(found, "bucket.policy.deleters") == ["*"]
    assert value(found, "bucket.policy.cross_account") == ["*"]
    assert value(found, "bucket.versioning") == "Suspended"


def test_words_of_a_policy_that_do_not_hold_count_for_nothing(http: Http, aws: AwsServer, credentials: None) -> None:
    """TLS asked of one action, a limit that spares writing, a denial of reading elsewhere: each looks right to a search."""
    name = aws.bucket()
    elsewhere = {"Resource": [f"arn:aws:s3:::{name}/other/*"]}
    set_policy(
        aws,
        name,
        statement(name, "Deny", ["s3:GetObject"], Condition={"Bool": {"aws:SecureTransport": "false"}}),
        {**statement(name, "Deny", ["s3:DeleteObject*"]), **elsewhere},
        statement(
            name,
            "Deny",
            ["s3:*"],
            Condition={"Bool": {"aws:SecureTransport": "false"}, "StringEquals": {"aws:PrincipalTag/team": "red"}},
        ),
        statement(name, "Deny", ["s3:PutObject"], Condition={"StringLike": {"s3:prefix": "secret/*"}}),
    )
    found = look(http, aws, name)
    assert value(found, "bucket.policy.tls_only") is False
    assert value(found, "bucket.policy.delete_denied") is False
    assert value(found, "bucket.policy.write_denied") is False


def test_another_account_is_named_as_such(http: Http, aws: AwsServer, credentials: None) -> None:
    name = aws.bucket()
    allowed = [statement(name, "Allow", ["s3:GetObject"], Principal={"AWS": [FOREIGN, PROMOTER]})]
    set_policy(aws, name, *allowed)
    assert value(look(http, aws, name, services=("sts",), account=""), "bucket.policy.cross_account") == [FOREIGN]
    without = look(http, aws, name, account="")
    assert "account is not known" in without.unobtained["bucket.policy.cross_account"]


def test_a_condition_nobody_knows_makes_its_statement_unproved(http: Http, aws: AwsServer, credentials: None) -> None:
    name = aws.bucket()
    set_policy(aws, name, statement(name, "Deny", ["s3:*"], Sid="Odd", Condition={"MoonPhase": {"aws:Moon": "full"}}))
    found = look(http, aws, name)
    policy = value(found, "bucket.policy")
    assert isinstance(policy, dict)
    assert len(policy["unproved"]) == 1
    assert value(found, "bucket.policy.write_denied") is False


def test_rules_that_delete_under_the_prefix_are_told_and_others_are_not(
    http: Http, aws: AwsServer, credentials: None
) -> None:
    name = aws.bucket()
    rules = [
        {"ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}},
        {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 1}},
        {"ID": "off", "Status": "Disabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 2}},
        {
            "ID": "old",
            "Status": "Enabled",
            "Filter": {"Prefix": "approved/models/"},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
        },
    ]
    aws.client("s3").put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
    assert value(look(http, aws, name), "bucket.lifecycle.deletes") == [
        {"rule": "all", "prefix": "", "what": "objects", "days": 30},
        {"rule": "old", "prefix": "approved/models/", "what": "versions", "days": 7},
    ]


def test_logs_and_copies_are_named(http: Http, aws: AwsServer, credentials: None) -> None:
    name, other = aws.bucket(), aws.bucket()
    s3 = aws.client("s3")
    for one in (name, other):
        s3.put_bucket_versioning(Bucket=one, VersioningConfiguration={"Status": "Enabled"})
    delivery = statement(
        other,
        "Allow",
        ["s3:PutObject"],
        Principal={"Service": "logging.s3.amazonaws.com"},
        Resource=f"arn:aws:s3:::{other}/*",
    )
    set_policy(aws, other, delivery)
    target = {"TargetBucket": other, "TargetPrefix": "logs/"}
    s3.put_bucket_logging(Bucket=name, BucketLoggingStatus={"LoggingEnabled": target})
    rule = {"ID": "copy", "Status": "Enabled", "Prefix": "", "Destination": {"Bucket": f"arn:aws:s3:::{other}"}}
    replication = {"Role": f"arn:aws:iam::{ACCOUNT}:role/copier", "Rules": [rule]}
    s3.put_bucket_replication(Bucket=name, ReplicationConfiguration=replication)
    found = look(http, aws, name)
    assert value(found, "bucket.logging") == f"s3://{other}/logs/"
    assert value(found, "bucket.replication") == [f"arn:aws:s3:::{other}"]
    assert value(look(http, aws, other), "bucket.policy.cross_account") == []


def test_an_endpoint_that_lets_everything_through_is_told_from_a_bounded_one(
    http: Http, aws: AwsServer, credentials: None
) -> None:
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    ours = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::ours/*"}
    made = [
        ec2.create_vpc_endpoint(
            VpcId=vpc,
            ServiceName="com.amazonaws.us-east-1.s3",
            PolicyDocument=policy_of("", {**ours, **more}),
        )["VpcEndpoint"]["VpcEndpointId"]
        for more in ({}, {"Action": "*", "Resource": "*"})
    ]
    name = aws.bucket()
    set_policy(aws, name, statement(name, "Deny", ["s3:*"], Condition={"StringNotEquals": {"aws:SourceVpce": made}}))
    rows = value(look(http, aws, name, services=("ec2",)), "bucket.vpc_endpoint.policy")
    assert isinstance(rows, list)
    assert {one["endpoint"]: one["bounded"] for one in rows if isinstance(one, dict)} == dict(
        zip(made, (True, False), strict=True)
    )


def test_roles_whose_own_policies_reach_the_prefix_are_named(http: Http, aws: AwsServer, credentials: None) -> None:
    iam, name = aws.client("iam"), aws.bucket()
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    arns = {}
    for role, action, resource in (
        ("writer", "s3:Put*", f"arn:aws:s3:::{name}/approved/*"),
        ("reader", "s3:Get*", "*"),
        ("elsewhere", "s3:*", f"arn:aws:s3:::{name}/other/*"),
        ("admin", "*", "*"),
    ):
        arns[role] = iam.create_role(RoleName=f"{name}-{role}", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        document = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": action, "Resource": resource}}
        iam.put_role_policy(RoleName=f"{name}-{role}", PolicyName="own", PolicyDocument=json.dumps(document))
    found = look(http, aws, name, services=("iam",))
    writers, deleters = value(found, "bucket.iam.writers"), value(found, "bucket.iam.deleters")
    assert isinstance(writers, list)
    assert isinstance(deleters, list)
    ours = set(arns.values())
    assert ours & set(map(str, writers)) == {arns["writer"], arns["admin"]}
    assert ours & set(map(str, deleters)) == {arns["admin"]}


def test_a_missing_permission_is_named(
    http: Http, aws: AwsServer, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    iam, name = aws.client("iam"), aws.bucket()
    iam.create_user(UserName=name)
    document = {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "s3:GetBucketVersioning", "Resource": "*"},
    }
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    with aws.enforcing():
        found = look(http, aws, name, services=("iam",))
    assert value(found, "bucket.versioning") == "Never"
    for id_, permission in (
        ("bucket.public_access_block", "s3:GetBucketPublicAccessBlock"),
        ("bucket.acl.public", "s3:GetBucketAcl"),
        ("bucket.policy.public", "s3:GetBucketPolicy"),
        ("bucket.encryption", "s3:GetEncryptionConfiguration"),
        ("bucket.iam.writers", "iam:GetAccountAuthorizationDetails"),
    ):
        assert permission in found.unobtained[id_], found.unobtained[id_]


def test_no_bucket_no_credentials_no_server_is_all_unobtained(
    http: Http, aws: AwsServer, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not look(http, aws, "wb-there-is-none").facts.keys() & {
        "bucket.versioning",
        "bucket.policy",
        "bucket.encryption",
    }
    gone = BucketQuestion(Address.parse("s3://b"), StoreSettings(s3_endpoint="http://127.0.0.1:9"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    assert not noted(bucket_facts.collect(http, gone, observed_at=NOW), bucket_facts.IDS).facts
    folder = replace(gone, address=Address.parse("/tmp"))
    assert not noted(bucket_facts.collect(http, folder, observed_at=NOW), bucket_facts.IDS).facts


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>welcome</html>",
        b"<AccessControlPolicy><AccessControlList><Grant/></AccessControlList></AccessControlPolicy>",
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>',
    ],
)
def test_a_server_that_answers_something_else_gives_no_good_fact(http: Http, credentials: None, body: bytes) -> None:
    """A success with another body must not read as "no rule deletes" or "nobody is allowed"."""

    with answering(lambda _path: body) as endpoint:
        server = AwsServer(endpoint)
        found = look(http, server, "bucket", services=("iam",) if b"html" in body else (), account="")
    known = {id_: one.value for id_, one in found.facts.items() if not id_.startswith("bucket.acl")}
    assert known == {
        "bucket.versioning": "Never",
        "bucket.versioning.mfa_delete": False,
        "bucket.logging": "",
    }
