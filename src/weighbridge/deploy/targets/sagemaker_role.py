"""The policies of an endpoint's execution role: what it may do, and who may take it. Read the one revision, and nothing wider.

They follow from what was said: the account from the role or the key, the region from the choice or the key, the image's
repository from its name. Where account or region cannot be told, there are none.
"""

from __future__ import annotations

import re
from typing import Final

from weighbridge.core.names import Address
from weighbridge.deploy.aws_parties import Hosting, Parties, Place
from weighbridge.deploy.aws_policies import execution_role_policy, revision_prefixes, sagemaker_trust_policy
from weighbridge.deploy.iam.document import Effect, Element, PolicyDocument, Statement
from weighbridge.deploy.targets.sagemaker_choices import Chosen

_ARN: Final = re.compile(r"arn:aws[a-z-]*:(?:iam|kms):([a-z0-9-]*):(\d{12}):")
_ECR: Final = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([a-z0-9._/-]+?)(?:[:@].*)?")
_UNSAID: Final = "weighbridge-not-said"
"""Stands for parts of an installation that do not go into a role of an endpoint."""


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
    if not said or not region:
        return None
    account = said[0][2]
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
