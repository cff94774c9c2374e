"""Judges resources of AWS: SageMaker's models and endpoints, buckets, and what roles and policies allow.

Types of instances with local disks take no KMS key and no volume's size (SageMaker's API refuses both): nothing is said of
either there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from weighbridge.core.errors import FormatError
from weighbridge.deploy.lint import rules
from weighbridge.deploy.lint.approved import Approved, judge_address
from weighbridge.deploy.lint.parts import (
    Findings,
    Json,
    Place,
    Resource,
    Said,
    is_open,
    mapping,
    number_of,
    sequence,
    shown,
    text_of,
)
from weighbridge.formats import json_text

MODEL: Final = "AWS::SageMaker::Model"
ENDPOINT: Final = "AWS::SageMaker::EndpointConfig"
_LOCAL_DISKS: Final = re.compile(
    r"ml\.(?:g4dn|g4ad|g5|g6|g6e|g6f|gr6|g7e|p3dn|p4d|p4de|p5|p5e|p5en|p6\w*(?:-\w+)?|trn1|trn1n|trn2|c5d|c6gd|c6id|m5d|m6gd|m6id"
    r"|m7gd|r5d|r6gd|r6id|r7gd|c7gd|c8gd|m8gd|r8gd|i3en?)\."
)
_PUBLIC_ACLS: Final = re.compile(r"public-?read(?:-?write)?|authenticated-?read", re.IGNORECASE)
_BLOCKS: Final = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
_GIB: Final = 1 << 30
LARGEST_VOLUME_GB: Final = 512
"""SageMaker's limit of VolumeSizeInGB."""
_OFF: Final = (None, False, "false", "False")


def is_on(value: Json) -> bool:
    """Whether a property is true, or known only later."""
    return value is True or (isinstance(value, str) and (value.lower() == "true" or is_open(value)))


def isolated(resource: Resource) -> bool:
    """Whether a SageMaker model can reach no network."""
    return is_on(resource.get("EnableNetworkIsolation"))


def judge_resource(
    resource: Resource, everything: Sequence[Resource], facts: Approved | None, findings: Findings
) -> None:
    """What a resource's properties say; `everything` are all resources of the linted files."""
    if resource.kind == MODEL:
        _model(resource, facts, findings)
    elif resource.kind == ENDPOINT:
        _endpoint(resource, everything, facts, findings)
    elif not _concerned(resource, everything):
        return
    elif resource.kind == "AWS::S3::Bucket":
        _bucket(resource, everything, findings)
    elif resource.kind == "AWS::S3::BucketAcl":
        _acl(resource, resource.get("Acl"), ("Acl",), findings)
    elif resource.kind == "AWS::S3::PublicAccessBlock":
        _blocked(resource, mapping(dict(resource.properties)), (), findings)
    if resource.kind.startswith(("AWS::IAM::", "AWS::S3::BucketPolicy")):
        for place, document in _policies(resource):
            judge_policy(document, place, findings, on_bucket=resource.kind == "AWS::S3::BucketPolicy")


_MODELISH: Final = re.compile(r"model|weight|checkpoint|sagemaker|huggingface|llm|inference", re.IGNORECASE)


def _concerned(resource: Resource, everything: Sequence[Resource]) -> bool:
    """Whether a bucket or a role has to do with models: by its name, or by what stands beside it."""
    names = (
        resource.name,
        *(text_of(resource.get(key)) or "" for key in ("Bucket", "BucketName", "RoleName", "PolicyName")),
    )
    return any(_MODELISH.search(name) for name in names) or any(one.kind in (MODEL, ENDPOINT) for one in everything)


# --- SageMaker ---------------------------------------------------------------------------------------


def _model(resource: Resource, facts: Approved | None, findings: Findings) -> None:
    if not isolated(resource):
        findings.say(
            rules.NO_ISOLATION,
            resource.place("EnableNetworkIsolation"),
            f"{shown(resource.name)} may reach any network",
        )
    if resource.get("VpcConfig") in (None, {}, []):
        findings.say(rules.NO_VPC, resource.place(), f"{shown(resource.name)} has no VpcConfig")
    for keys, one in _containers(resource):
        source = mapping(mapping(one.get("ModelDataSource")).get("S3DataSource"))
        if source:
            where = resource.place(*keys, "ModelDataSource", "S3DataSource", "S3Uri")
            said = Said(text_of(source.get("S3Uri")) or "${S3Uri}", where)
            is_prefix = text_of(source.get("S3DataType")) != "S3Object"
            judge_address(said, facts, findings, is_prefix=is_prefix)
            if text_of(source.get("CompressionType")) == "Gzip":
                findings.say(rules.COMPRESSED, where, f"{shown(said.text)} is one archive")
        elif one.get("ModelDataUrl") is not None:
            said = Said(text_of(one["ModelDataUrl"]) or "${ModelDataUrl}", resource.place(*keys, "ModelDataUrl"))
            judge_address(said, facts, findings, is_prefix=False)
            if said.text.endswith((".tar.gz", ".tgz")):
                findings.say(rules.COMPRESSED, said.place, f"{shown(said.text)} is one archive")


def _containers(resource: Resource) -> Iterator[tuple[tuple[str, ...], dict[str, Json]]]:
    if isinstance(resource.get("PrimaryContainer"), dict):
        yield ("PrimaryContainer",), mapping(resource.get("PrimaryContainer"))
    for at, one in enumerate(sequence(resource.get("Containers"))):
        yield ("Containers", str(at)), mapping(one)


def _endpoint(resource: Resource, everything: Sequence[Resource], facts: Approved | None, findings: Findings) -> None:
    variants = [
        (key, at, mapping(one))
        for key in ("ProductionVariants", "ShadowProductionVariants")
        for at, one in enumerate(sequence(resource.get(key)))
    ]
    types = [text_of(one.get("InstanceType")) or "" for _, _, one in variants]
    serverless = all("ServerlessConfig" in one for _, _, one in variants)
    takes_key = not types or not all(_LOCAL_DISKS.match(kind) for kind in types)
    if resource.get("KmsKeyId") is None and takes_key and not serverless:
        findings.say(rules.NO_KMS, resource.place(), f"the volumes of {shown(resource.name)} have no KmsKeyId")
    size = facts.size_of(_address(everything)) if facts is not None else 0
    for key, at, one in variants:
        _variant(resource, (key, str(at)), one, size, facts, findings)


def _address(everything: Iterable[Resource]) -> str:
    """The address of the model, where the files together have one alone."""
    found = {
        text_of(mapping(mapping(one.get("ModelDataSource")).get("S3DataSource")).get("S3Uri")) or ""
        for resource in everything
        if resource.kind == MODEL
        for _, one in _containers(resource)
    }
    return found.pop() if len(found) == 1 else ""


def _variant(
    resource: Resource,
    keys: tuple[str, str],
    one: dict[str, Json],
    size: int,
    facts: Approved | None,
    findings: Findings,
) -> None:
    if one.get("EnableSSMAccess", one.get("EnableSsmAccess")) not in _OFF:
        findings.say(rules.SSM, resource.place(*keys, "EnableSSMAccess"), f"EnableSSMAccess is on in {'/'.join(keys)}")
    if facts is None or not size:
        return
    for name in ("ModelDataDownloadTimeoutInSeconds", "ContainerStartupHealthCheckTimeoutInSeconds"):
        seconds = number_of(one.get(name))
        if seconds and size / seconds > facts.rate:
            place = resource.place(*keys, name)
            findings.say(rules.TIMEOUT, place, f"{size} bytes in {seconds:.0f} s need {size / seconds / 1e6:.0f} MB/s")
    volume = number_of(one.get("VolumeSizeInGB"))
    kind = text_of(one.get("InstanceType")) or ""
    if volume is not None and volume * _GIB < size:
        findings.say(
            rules.VOLUME, resource.place(*keys, "VolumeSizeInGB"), f"{volume:.0f} GB, and the model has {size} bytes"
        )
    elif (
        volume is None
        and size > LARGEST_VOLUME_GB * _GIB
        and kind
        and not is_open(kind)
        and not _LOCAL_DISKS.match(kind)
    ):
        findings.say(
            rules.VOLUME,
            resource.place(*keys),
            f"{kind} has no disks of its own, and {size} bytes fit no volume of SageMaker's",
        )


# --- buckets -----------------------------------------------------------------------------------------


def _bucket(resource: Resource, everything: Sequence[Resource], findings: Findings) -> None:
    for key in ("AccessControl", "Acl"):
        _acl(resource, resource.get(key), (key,), findings)
    blocks = mapping(resource.get("PublicAccessBlockConfiguration"))
    names = (resource.name, text_of(resource.get("BucketName")) or "", text_of(resource.get("Bucket")) or "")
    if blocks:
        _blocked(resource, blocks, ("PublicAccessBlockConfiguration",), findings)
    elif not _has_beside(everything, "AWS::S3::PublicAccessBlock", resource, names):
        findings.say(
            rules.NO_ACCESS_BLOCK, resource.place(), f"{shown(resource.name)} has no PublicAccessBlockConfiguration"
        )
    beside = [one for one in everything if one.kind == "AWS::S3::Encryption" and _is_about(one, resource, names)]
    stated = resource.get("BucketEncryption") or resource.get("ServerSideEncryptionConfiguration")
    said = json_text_of([stated, *(dict(one.properties) for one in beside)])
    if "aws:kms" not in said and not (beside and "${" in said):
        findings.say(
            rules.NO_KMS, resource.place(), f"{shown(resource.name)} is not encrypted with a key of KMS by default"
        )


def _has_beside(everything: Sequence[Resource], kind: str, bucket: Resource, names: tuple[str, ...]) -> bool:
    return any(one.kind == kind and _is_about(one, bucket, names) for one in everything)


def _is_about(one: Resource, bucket: Resource, names: tuple[str, ...]) -> bool:
    """Whether a resource is about a bucket: by its name, by a reference to it, or by what cannot be told."""
    about = text_of(one.get("Bucket")) or ""
    reference = re.fullmatch(r"\$\{\s*aws_s3_bucket\.([\w-]+)(?:\[[^\]]*\])?\.\w+\s*\}", about)
    if reference:
        return reference.group(1) == bucket.name
    return about in names or is_open(about)


def json_text_of(value: Json) -> str:
    """The texts of a value, one after another."""
    return " ".join(json_text.texts(value))


def _acl(resource: Resource, value: Json, keys: tuple[str, ...], findings: Findings) -> None:
    text = text_of(value) or ""
    if _PUBLIC_ACLS.fullmatch(text):
        findings.say(rules.PUBLIC_BUCKET, resource.place(*keys), f"the ACL of {shown(resource.name)} is {shown(text)}")


def _blocked(resource: Resource, blocks: Mapping[str, Json], keys: tuple[str, ...], findings: Findings) -> None:
    lifted = [name for name in _BLOCKS if blocks.get(name) in (False, "false")]
    if lifted:
        where = resource.place(*keys, lifted[0])
        findings.say(rules.PUBLIC_BUCKET, where, f"{', '.join(lifted)} of {shown(resource.name)} is false")


# --- policies -----------------------------------------------------------------------------------------


def _policies(resource: Resource) -> Iterator[tuple[Place, Json]]:
    if resource.get("PolicyDocument") is not None:
        yield resource.place("PolicyDocument"), _document(resource.get("PolicyDocument"))
    for at, one in enumerate(sequence(resource.get("Policies"))):
        yield resource.place("Policies", str(at), "PolicyDocument"), _document(mapping(one).get("PolicyDocument"))


def _document(value: Json) -> Json:
    """A policy as a value: Terraform has it as a text, or as a call of `jsonencode`."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    try:
        if called := re.fullmatch(r"\$\{\s*jsonencode\((.*)\)\s*\}", text, re.DOTALL):
            from weighbridge.deploy.lint.hcl import read_hcl

            return read_hcl(b"policy = " + called.group(1).encode("utf-8"))[0].get("policy")
        return json_text.parse(text.encode("utf-8")).value if text.startswith("{") else None
    except FormatError:
        return None


def judge_policy(document: Json, place: Place, findings: Findings, *, on_bucket: bool = False) -> None:
    """What the statements of a policy allow to too many, or too much of."""
    statements = mapping(document).get("Statement")
    for one in [statements] if isinstance(statements, dict) else sequence(statements):
        statement = mapping(one)
        if statement.get("Effect") != "Allow":
            continue
        actions, resources = _texts(statement.get("Action")), _texts(statement.get("Resource"))
        name = text_of(statement.get("Sid")) or "a statement"
        principal = statement.get("Principal")
        everybody = principal == "*" or "*" in _texts(mapping(principal).get("AWS"))
        if (
            everybody
            and not statement.get("Condition")
            and (on_bucket or any(one.startswith("s3:") for one in actions))
        ):
            findings.say(rules.PUBLIC_BUCKET, place, f"{shown(name)} allows {', '.join(actions)[:80]} to everybody")
        broad = any(one in ("*", "s3:*") for one in actions) and any(_is_all(one) for one in resources)
        if broad and not on_bucket:
            findings.say(rules.WIDE_ROLE, place, f"{shown(name)} allows {', '.join(actions)[:80]} on every bucket")


def _is_all(resource: str) -> bool:
    return resource in ("*", "arn:aws:s3:::*", "arn:aws:s3:::*/*")


def _texts(value: Json) -> list[str]:
    return (
        [value] if isinstance(value, str) else [text for one in sequence(value) if (text := text_of(one)) is not None]
    )
