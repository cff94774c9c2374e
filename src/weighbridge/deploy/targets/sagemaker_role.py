"""An endpoint's execution role: what it may do, and who may take it; and the bucket's policy that lets it. One revision, nothing wider.

They follow from what was said: the account from the role or the key, the region from the choice or the key, the image's
repository from its name. Where account or region cannot be told, there are none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from weighbridge.core.errors import ConfigError
from weighbridge.core.names import Address
from weighbridge.deploy.aws_parties import MAX_FILE_BYTES, Hosting, Parties, Place, read_parties
from weighbridge.deploy.aws_policies import (
    approved_bucket_policy,
    approved_key_policy,
    execution_role_policy,
    revision_prefixes,
    sagemaker_trust_policy,
)
from weighbridge.deploy.iam.document import Effect, Element, PolicyDocument, Statement
from weighbridge.deploy.targets.sagemaker_options import Chosen
from weighbridge.wire.files import read_small

_ARN: Final = re.compile(r"arn:aws[a-z-]*:(?:iam|kms):([a-z0-9-]*):(\d{12}):")
_ECR: Final = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([a-z0-9._/-]+?)(?:[:@].*)?")
_NAME_CHARACTERS: Final = 44
_UNSAID: Final = "weighbridge-not-said"
"""Stands for parts of an installation that do not go into a role of an endpoint."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role that templates make. Its name has the revision's: a role that still serves is never narrowed to another."""

    name: str
    arn: str
    allowed: PolicyDocument
    trusted: PolicyDocument


@dataclass(frozen=True, slots=True)
class BucketPolicies:
    """The policies of the approved bucket and its key, with an endpoint's role among the readers."""

    bucket: str
    policy: PolicyDocument
    key: str
    key_policy: PolicyDocument


def made_role(chosen: Chosen) -> Role | None:
    """The role that the templates make; None where one is named, or a parameter.

    Raises:
        ConfigError: account or region are not told; else as `role_policies`.
    """
    if not chosen.options.make_role:
        return None
    parties, policies = _parties(chosen), role_policies(chosen)
    if parties is None or policies is None:
        raise ConfigError(
            "which account and region the role is for is not said", hint="Say kms_key, or account and region."
        )
    name = f"{chosen.name[:_NAME_CHARACTERS].rstrip('-')}-{chosen.deployable.revision[:8]}-execution"
    return Role(name, f"arn:{parties.partition}:iam::{parties.account}:role/{name}", *policies)


def bucket_policies(chosen: Chosen, role: Role | None) -> BucketPolicies | None:
    """The policies of the store, where the parties of the installation are said.

    Raises:
        ConfigError: the file cannot be read, is no file of parties, or of another store.
    """
    file, store = chosen.options.parties, Address.parse(chosen.deployable.store)
    if file is None:
        return None
    parties = read_parties(read_small(file, f"'{file}'", limit=MAX_FILE_BYTES), name=f"'{file}'")
    if (parties.approved.bucket, parties.approved.prefix.strip("/")) != (store.bucket, store.prefix.strip("/")):
        raise ConfigError(f"the approved store of '{file}' is not {chosen.deployable.store}")
    arn = role.arn if role is not None else chosen.options.execution_role
    if arn not in parties.inference:
        parties = replace(parties, inference=(*parties.inference, arn))
    return BucketPolicies(
        parties.approved.bucket,
        approved_bucket_policy(parties),
        parties.approved.key,
        approved_key_policy(parties),
    )


def role_policies(chosen: Chosen) -> tuple[PolicyDocument, PolicyDocument] | None:
    """What the execution role may do, and who may take it; None where account or region are not told.

    Raises:
        ConfigError: the store's prefix, a subnet or a security group cannot stand in a policy.
    """
    parties = _parties(chosen)
    if parties is None:
        return None
    options, model = chosen.options, chosen.deployable
    image = _ECR.fullmatch(options.image)
    hosting = Hosting(
        repositories=(f"arn:{parties.partition}:ecr:{image[2]}:{image[1]}:repository/{image[3]}",) if image else (),
        subnets=options.subnets if options.security_groups else (),
        security_groups=options.security_groups if options.subnets else (),
    )
    allowed = execution_role_policy(parties, revision_prefixes(model.model_name, model.revision), hosting)
    extra = tuple(_answering(chosen, parties))
    return (
        PolicyDocument((*allowed.statements, *extra), name=allowed.name),
        sagemaker_trust_policy(parties),
    )


def _parties(chosen: Chosen) -> Parties | None:
    options = chosen.options
    said = [found for arn in (options.execution_role, options.kms_key) if (found := _ARN.match(arn))]
    region = options.region or next((found[1] for found in said if found[1]), "")
    account = options.account or (said[0][2] if said else "")
    if not account or not region:
        return None
    address = Address.parse(chosen.deployable.store)
    # A role of an endpoint is written from the approved store, the account and the region; the rest is not in it.
    role, key = f"arn:aws:iam::{account}:role/{_UNSAID}", f"arn:aws:kms:{region}:{account}:key/{_UNSAID}"
    return Parties(
        account=account,
        region=region,
        quarantine=Place(f"{_UNSAID}-quarantine", f"{key}-quarantine"),
        approved=Place(address.bucket, key, address.prefix),
        administrator=f"{role}-administrator",
        ingest=f"{role}-ingest",
        inspect=f"{role}-inspect",
        promote=f"{role}-promote",
    )


def _answering(chosen: Chosen, parties: Parties) -> list[Statement]:
    """What an asynchronous endpoint needs to put its answers away."""
    options = chosen.options
    places = [Address.parse(place) for place in (options.async_output, options.async_failures) if place]
    if not places:
        return []
    objects = tuple(
        f"arn:{parties.partition}:s3:::{place.bucket}/{place.prefix}{'/' if place.prefix else ''}*" for place in places
    )
    found = [Statement(Effect.ALLOW, Element(("s3:PutObject",)), Element(objects), None, (), "PutAnswersAway")]
    if options.kms_key:
        use = Element(("kms:GenerateDataKey", "kms:Decrypt"))
        found.append(Statement(Effect.ALLOW, use, Element((options.kms_key,)), None, (), "EncryptAnswers"))
    return found
