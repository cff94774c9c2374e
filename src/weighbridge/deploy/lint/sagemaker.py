"""Judges resources of AWS: SageMaker's models and endpoints, and buckets; what policies allow is judged by `policies`.

Types of instances with local disks take no volume's size, and their hardware encrypts the disks: a KMS key is taken there and
does not reach them (SageMaker's CreateEndpointConfig). Nothing is said of a key or a size that is missing where all are such.
What is known only when it is deployed is said to be unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from weighbridge.deploy.lint import rules
from weighbridge.deploy.lint.approved import Approved, judge_address, of_a_limit
from weighbridge.deploy.lint.parts import (
    Findings,
    Json,
    Resource,
    Said,
    is_open,
    mapping,
    number_of,
    sequence,
    shown,
    text_of,
)
from weighbridge.deploy.lint.unresolved import is_given, open_text, say_unknown, switch_of
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


def isolated(resource: Resource) -> bool | None:
    """Whether a SageMaker model can reach no network; None where that is known only when it is deployed."""
    return switch_of(resource.get("EnableNetworkIsolation"))


def judge_resource(
    resource: Resource, everything: Sequence[Resource], facts: Approved | None, findings: Findings
) -> None:
    """What the properties of a resource that has to do with models say; `everything` are all resources of the linted files."""
    for place, what in resource.doubts:
        findings.say(rules.NOT_READ, place, f"{shown(resource.name)}: {what}")
    if resource.kind == MODEL:
        _model(resource, facts, findings)
    elif resource.kind == ENDPOINT:
        _endpoint(resource, everything, facts, findings)
    elif resource.kind == "AWS::S3::Bucket":
        _bucket(resource, everything, findings)
    elif resource.kind == "AWS::S3::BucketAcl":
        _acl(resource, resource.get("Acl"), ("Acl",), findings)
    elif resource.kind == "AWS::S3::PublicAccessBlock":
        _blocked(resource, mapping(dict(resource.properties)), (), findings)


_MODELISH: Final = re.compile(r"model|weight|checkpoint|sagemaker|huggingface|llm|inference", re.IGNORECASE)


def concerned_in(everything: Sequence[Resource]) -> list[Resource]:
    """The resources that have to do with models: by their names, or because something serves one in the same files."""
    if any(one.kind in (MODEL, ENDPOINT) for one in everything):
        return list(everything)
    return [one for one in everything if any(_MODELISH.search(name) for name in _names(one))]


def _names(resource: Resource) -> Iterator[str]:
    yield resource.name
    for key in ("Bucket", "BucketName", "RoleName", "PolicyName", "Role", "Name"):
        yield text_of(resource.get(key)) or ""


# --- SageMaker ---------------------------------------------------------------------------------------


def _model(resource: Resource, facts: Approved | None, findings: Findings) -> None:
    is_isolated = isolated(resource)
    where = resource.place("EnableNetworkIsolation")
    if is_isolated is None:
        say_unknown(findings, where, "EnableNetworkIsolation", resource.get("EnableNetworkIsolation"))
    elif not is_isolated:
        findings.say(rules.NO_ISOLATION, where, f"{shown(resource.name)} may reach any network")
    network = resource.get("VpcConfig")
    given = [is_given(network)]
    if isinstance(network, dict) and network:
        given = [is_given(network.get(key)) for key in ("Subnets", "SecurityGroupIds")]
    if False in given:
        findings.say(rules.NO_VPC, resource.place(), f"{shown(resource.name)} has no VpcConfig")
    elif None in given:
        say_unknown(findings, resource.place("VpcConfig"), "VpcConfig", network)
    for keys, one in _containers(resource):
        _loaded(resource, keys, one, facts, findings)


def _loaded(
    resource: Resource, keys: tuple[str, ...], one: dict[str, Json], facts: Approved | None, findings: Findings
) -> None:
    """What a container loads."""
    source = mapping(mapping(one.get("ModelDataSource")).get("S3DataSource"))
    if source:
        _source(resource, keys, source, facts, findings)
    elif one.get("ModelDataUrl") is not None:
        said = Said(text_of(one["ModelDataUrl"]) or "${ModelDataUrl}", resource.place(*keys, "ModelDataUrl"))
        judge_address(said, facts, findings, is_prefix=False)
        if said.text.endswith((".tar.gz", ".tgz")):
            findings.say(rules.COMPRESSED, said.place, f"{shown(said.text)} is one archive")
        elif said.is_open:
            say_unknown(findings, said.place, "the model's address", said.text)


def _source(
    resource: Resource, keys: tuple[str, ...], source: dict[str, Json], facts: Approved | None, findings: Findings
) -> None:
    where = resource.place(*keys, "ModelDataSource", "S3DataSource", "S3Uri")
    said = Said(text_of(source.get("S3Uri")) or "${S3Uri}", where)
    judge_address(said, facts, findings, is_prefix=text_of(source.get("S3DataType")) != "S3Object")
    compression = source.get("CompressionType")
    if text_of(compression) == "Gzip":
        findings.say(rules.COMPRESSED, where, f"{shown(said.text)} is one archive")
    elif open_text(compression):
        say_unknown(findings, where, "CompressionType", compression)


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
    has_key = is_given(resource.get("KmsKeyId"))
    if has_key is False and takes_key and not serverless:
        findings.say(rules.NO_KMS, resource.place(), f"the volumes of {shown(resource.name)} have no KmsKeyId")
    elif has_key is None and takes_key and not serverless:
        say_unknown(findings, resource.place("KmsKeyId"), "KmsKeyId", resource.get("KmsKeyId"))
    for name in ("ProductionVariants", "ShadowProductionVariants"):
        if open_text(resource.get(name)):
            say_unknown(findings, resource.place(name), name, resource.get(name))
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
    access = one.get("EnableSSMAccess", one.get("EnableSsmAccess"))
    logs_in = switch_of(access)
    if logs_in is None:
        say_unknown(findings, resource.place(*keys, "EnableSSMAccess"), "EnableSSMAccess", access)
    elif logs_in:
        findings.say(rules.SSM, resource.place(*keys, "EnableSSMAccess"), f"EnableSSMAccess is on in {'/'.join(keys)}")
    if facts is None or not size:
        return
    for name in ("ModelDataDownloadTimeoutInSeconds", "ContainerStartupHealthCheckTimeoutInSeconds"):
        seconds = number_of(one.get(name))
        place = resource.place(*keys, name)
        if open_text(one.get(name)):
            say_unknown(findings, place, name, one.get(name))
        elif seconds and size / seconds > facts.rate:
            what = f"{size} bytes in {seconds:.0f} s need {size / seconds / 1e6:.0f} MB/s"
            findings.say(rules.TIMEOUT, place, what, severity=of_a_limit(size / seconds))
    _volume(resource, keys, one, size, findings)


def _volume(resource: Resource, keys: tuple[str, str], one: dict[str, Json], size: int, findings: Findings) -> None:
    """Whether a variant's volume, or its own disk, can hold so many bytes."""
    volume = number_of(one.get("VolumeSizeInGB"))
    kind = text_of(one.get("InstanceType")) or ""
    where = resource.place(*keys, "VolumeSizeInGB")
    if volume is not None:
        if volume * _GIB < size:
            findings.say(rules.VOLUME, where, f"{volume:.0f} GB, and the model has {size} bytes")
    elif size > LARGEST_VOLUME_GB * _GIB and is_open(kind):
        say_unknown(findings, resource.place(*keys, "InstanceType"), "InstanceType", kind)
    elif size > LARGEST_VOLUME_GB * _GIB and kind and not _LOCAL_DISKS.match(kind):
        what = f"{kind} has no disks of its own, and {size} bytes fit no volume of SageMaker's"
        findings.say(rules.VOLUME, resource.place(*keys), what)
    elif open_text(one.get("VolumeSizeInGB")):
        say_unknown(findings, where, "VolumeSizeInGB", one.get("VolumeSizeInGB"))


# --- buckets -----------------------------------------------------------------------------------------


def _bucket(resource: Resource, everything: Sequence[Resource], findings: Findings) -> None:
    for key in ("AccessControl", "Acl"):
        _acl(resource, resource.get(key), (key,), findings)
    stated = resource.get("PublicAccessBlockConfiguration")
    blocks = mapping(stated)
    names = (resource.name, text_of(resource.get("BucketName")) or "", text_of(resource.get("Bucket")) or "")
    if blocks:
        _blocked(resource, blocks, ("PublicAccessBlockConfiguration",), findings)
    elif open_text(stated):
        say_unknown(findings, resource.place(), "PublicAccessBlockConfiguration", stated)
    elif not _has_beside(everything, "AWS::S3::PublicAccessBlock", resource, names):
        findings.say(
            rules.NO_ACCESS_BLOCK, resource.place(), f"{shown(resource.name)} has no PublicAccessBlockConfiguration"
        )
    beside = [one for one in everything if one.kind == "AWS::S3::Encryption" and _is_about(one, resource, names)]
    stated = resource.get("BucketEncryption") or resource.get("ServerSideEncryptionConfiguration")
    said = json_text_of([stated, *(dict(one.properties) for one in beside)])
    if "aws:kms" not in said and is_open(said):
        say_unknown(findings, resource.place(), f"how {shown(resource.name)} is encrypted by default", said)
    elif "aws:kms" not in said:
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
    elif is_open(text):
        say_unknown(findings, resource.place(*keys), f"the ACL of {shown(resource.name)}", text)


def _blocked(resource: Resource, blocks: Mapping[str, Json], keys: tuple[str, ...], findings: Findings) -> None:
    states = {name: switch_of(blocks[name]) for name in _BLOCKS if blocks.get(name) is not None}
    for name in (name for name, state in states.items() if state is None):
        say_unknown(findings, resource.place(*keys, name), f"{name} of {shown(resource.name)}", blocks[name])
    lifted = [name for name, state in states.items() if state is False]
    if lifted:
        where = resource.place(*keys, lifted[0])
        findings.say(rules.PUBLIC_BUCKET, where, f"{', '.join(lifted)} of {shown(resource.name)} is false")
