"""A real S3 server, given bucket policies, allows what the evaluator says, and the generated policies hold there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.aws_table import EVERYTHING, PARTIES
from tests.support.seaweed import S3Server
from weighbridge.deploy.aws_policies import approved_bucket_policy
from weighbridge.deploy.iam import Effect, Outcome, PolicyDocument, PolicyKind, Principal, Request, evaluate

pytestmark = pytest.mark.s3
HOME = "111122223333"
ADMIN = Principal.of(f"arn:aws:iam::{HOME}:user/admin")
READER = Principal.of(f"arn:aws:iam::{HOME}:user/reader")
READING = PolicyDocument.parse(
    '{"Statement":{"Effect":"Allow","Action":["s3:Get*","s3:List*"],"Resource":"*"}}', kind=PolicyKind.IDENTITY
)
NETWORK = {"aws:SecureTransport": "false", "aws:SourceIp": "127.0.0.1"}
"""How the suite reaches the server."""


def deny(**members: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "OBJECTS", **members}


@pytest.mark.parametrize(
    "statement",
    [
        deny(Action="s3:DeleteObject"),
        deny(Action="s3:Delete*"),
        deny(Action="s3:?etObject"),
        deny(Action=["s3:PutObject", "s3:DeleteObject"], Resource="BUCKET/models/*"),
        deny(Action="s3:PutObject", Resource="BUCKET/*/x"),
        deny(Action="s3:GetObject", Resource="BUCKET/models/?"),
        deny(Action="s3:ListBucket", Resource="BUCKET"),
        deny(Action="s3:ListBucket", Resource="BUCKET/*"),
        deny(Action="s3:GetObject", Condition={"Bool": {"aws:SecureTransport": "false"}}),
        deny(Action="s3:GetObject", Condition={"Bool": {"aws:SecureTransport": "true"}}),
        deny(Action="s3:PutObject", Condition={"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}),
        deny(Action="s3:PutObject", Condition={"NotIpAddress": {"aws:SourceIp": "127.0.0.0/8"}}),
        deny(
            Action="s3:PutObject",
            Condition={"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}, "Bool": {"aws:SecureTransport": "true"}},
        ),
    ],
    ids=lambda one: json.dumps({key: one[key] for key in one if key not in ("Effect", "Principal")}),
)
def test_a_server_and_the_evaluator_agree(statement: dict[str, Any], s3_server: S3Server) -> None:
    name = s3_server.bucket()
    arn = f"arn:aws:s3:::{name}"
    clients = {"admin": s3_server.client(), "reader": _reader(s3_server)}
    for key in ("models/x", "other/y"):
        clients["admin"].put_object(Bucket=name, Key=key, Body=b"1")
    document = {"Version": "2012-10-17", "Statement": [statement]}
    text = json.dumps(document).replace("OBJECTS", f"{arn}/*").replace("BUCKET", arn)
    clients["admin"].put_bucket_policy(Bucket=name, Policy=text)
    policy = PolicyDocument.parse(text, kind=PolicyKind.RESOURCE)
    for who, client in clients.items():
        principal, own = (ADMIN, EVERYTHING) if who == "admin" else (READER, READING)
        for action, resource, call in _calls(client, name, arn):
            said = evaluate(Request(principal, f"s3:{action}", resource, HOME, NETWORK), [own], policy).outcome
            assert (said is Outcome.ALLOWED) == _is_allowed(call), (who, action, resource)


def test_the_approved_bucket_s_policy_refuses_an_administrator_of_a_real_server(s3_server: S3Server) -> None:
    """The statements whose keys this server fills: reading without TLS, deleting, bypassing."""
    name = s3_server.bucket()
    client = s3_server.client()
    client.put_object(Bucket=name, Key="models/x", Body=b"1")
    generated = approved_bucket_policy(PARTIES)
    kept = [one for one in generated.statements if one.sid in ("NobodyDeletes", "NobodyBypassesLocks")]
    assert len(kept) == 2
    assert {one.effect for one in kept} == {Effect.DENY}
    text = PolicyDocument(tuple(kept)).to_text().replace("models-out", name)
    client.put_bucket_policy(Bucket=name, Policy=text)
    version = client.head_object(Bucket=name, Key="models/x")["VersionId"]
    assert not _is_allowed(lambda: client.delete_object(Bucket=name, Key="models/x"))
    assert not _is_allowed(lambda: client.delete_object(Bucket=name, Key="models/x", VersionId=version))
    assert client.get_object(Bucket=name, Key="models/x")["Body"].read() == b"1"
    tls = [one for one in generated.statements if one.sid == "OnlyTls"]
    client.put_bucket_policy(Bucket=name, Policy=PolicyDocument(tuple(tls)).to_text().replace("models-out", name))
    assert not _is_allowed(lambda: client.get_object(Bucket=name, Key="models/x"))
    assert not _is_allowed(lambda: client.list_objects_v2(Bucket=name))


def _reader(server: S3Server) -> Any:
    return server.client(access_key=server.reader_key, secret_key=server.reader_secret)


def _calls(client: Any, name: str, arn: str) -> list[tuple[str, str, Any]]:
    calls: list[tuple[str, str, Any]] = [("ListBucket", arn, lambda: client.list_objects_v2(Bucket=name))]
    for key in ("models/x", "other/y"):
        place = {"Bucket": name, "Key": key}
        calls += [
            ("GetObject", f"{arn}/{key}", lambda place=place: client.get_object(**place)),
            ("PutObject", f"{arn}/{key}", lambda place=place: client.put_object(**place, Body=b"2")),
        ]
    calls.append(("DeleteObject", f"{arn}/models/x", lambda: client.delete_object(Bucket=name, Key="models/x")))
    calls.append(("DeleteObject", f"{arn}/other/y", lambda: client.delete_object(Bucket=name, Key="other/y")))
    return calls


def _is_allowed(call: Any) -> bool:
    try:
        call()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        # The reader comes second: what the administrator deleted before is not there, and that is no refusal.
        if code not in ("AccessDenied", "NoSuchKey"):
            raise
        return bool(code == "NoSuchKey")
    return True
