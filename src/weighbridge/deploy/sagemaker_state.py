"""How an endpoint on SageMaker stands: what serves, which revision that is, and what is not as weighbridge makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from weighbridge.core.canonical import JsonValue
from weighbridge.deploy.aws_calls import Answer, Aws, printable
from weighbridge.deploy.targets.sagemaker_requests import MANIFEST_TAG, MODEL_TAG, OWNER_TAG, REPLACED_TAG, REVISION_TAG

SAGEMAKER: Final = "sagemaker"
CLOUDWATCH: Final = "cloudwatch"
SCALING: Final = "application-autoscaling"
MOVING: Final = frozenset(("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"))
"""States in which SageMaker takes no change."""
BROKEN: Final = frozenset(("Failed", "OutOfService", "UpdateRollbackFailed"))


@dataclass(frozen=True, slots=True)
class EndpointState:
    """How a deployment stands."""

    name: str
    status: str
    """SageMaker's word; `Absent` where there is no endpoint."""
    config: str = ""
    pending: str = ""
    """The configuration that an update goes to."""
    previous: str = ""
    """What a rollback would go to."""
    model: str = ""
    revision: str = ""
    manifest: str = ""
    instances: int | None = None
    failure: str = ""
    deviations: tuple[str, ...] = ()
    """What is not as weighbridge makes it."""

    def to_json(self) -> dict[str, JsonValue]:
        """The state as JSON."""
        return {
            "name": self.name,
            "status": self.status,
            "config": self.config,
            "pending": self.pending,
            "previous": self.previous,
            "model": self.model,
            "revision": self.revision,
            "manifest_digest": self.manifest,
            "instances": self.instances,
            "failure": self.failure,
            "deviations": list(self.deviations),
        }


def status(name: str, aws: Aws) -> EndpointState:
    """How the deployment of a name stands. Changes nothing.

    Raises:
        WeighbridgeError: the service did not answer or refused.
    """
    found = aws.find(SAGEMAKER, "DescribeEndpoint", {"EndpointName": name})
    if found is None:
        return EndpointState(name, "Absent")
    owned = tags(aws, str(found["EndpointArn"]))
    deviations = [] if owned.get(OWNER_TAG) == name else [f"the endpoint does not carry the tag {OWNER_TAG}={name}"]
    config_name = str(found.get("EndpointConfigName", ""))
    config = aws.find(SAGEMAKER, "DescribeEndpointConfig", {"EndpointConfigName": config_name}) if config_name else None
    of_config: dict[str, str] = {}
    if config is None:
        deviations.append("the configuration in service is gone: it cannot be scaled or rolled back to")
    else:
        of_config = tags(aws, str(config["EndpointConfigArn"]))
        deviations += _config_deviations(aws, config)
    variants: Sequence[Mapping[str, Any]] = found.get("ProductionVariants", ())
    return EndpointState(
        name=name,
        status=str(found["EndpointStatus"]),
        config=config_name,
        pending=pending(found),
        previous=of_config.get(REPLACED_TAG, ""),
        model=of_config.get(MODEL_TAG, ""),
        revision=of_config.get(REVISION_TAG, ""),
        manifest=of_config.get(MANIFEST_TAG, ""),
        instances=sum(int(one.get("CurrentInstanceCount", 0)) for one in variants) if variants else None,
        failure=reason(found),
        deviations=tuple(deviations),
    )


def _config_deviations(aws: Aws, config: Answer) -> list[str]:
    found = []
    if not config.get("KmsKeyId"):
        found.append("volumes are not encrypted with a key of yours")
    for variant in config.get("ProductionVariants", ()):
        if variant.get("EnableSSMAccess"):
            found.append("people can log in to its instances (EnableSSMAccess)")
        model = aws.find(SAGEMAKER, "DescribeModel", {"ModelName": str(variant.get("ModelName", ""))})
        if model is None:
            found.append(f"the model {variant.get('ModelName')} is gone: no further instance can start")
            continue
        container = model.get("PrimaryContainer", {})
        source = container.get("ModelDataSource", {}).get("S3DataSource", {})
        for wrong, what in (
            (not model.get("EnableNetworkIsolation"), "the model has no network isolation"),
            (not model.get("VpcConfig"), "the model is in no VPC"),
            ("@sha256:" not in str(container.get("Image", "")), "the image is named by a tag"),
            (
                not str(source.get("S3Uri", "")).endswith("/"),
                "the model is not read from a prefix that ends in a slash",
            ),
        ):
            if wrong:
                found.append(what)
    return found


def reason(found: Answer) -> str:
    """Why an endpoint failed, as far as SageMaker says: one line that a terminal takes."""
    return printable(str(found.get("FailureReason", "")))


def pending(found: Answer) -> str:
    """The configuration that an update goes to; empty while there is none."""
    summary = found.get("PendingDeploymentSummary")
    return str(summary.get("EndpointConfigName", "")) if isinstance(summary, Mapping) else ""


def heads_for(found: Answer) -> str:
    """The configuration that is in service once no change is under way."""
    return pending(found) or str(found.get("EndpointConfigName", ""))


def tags(aws: Aws, arn: str) -> dict[str, str]:
    """The tags of something of SageMaker."""
    entries = aws.pages(SAGEMAKER, "ListTags", {"ResourceArn": arn}, "Tags")
    return {str(one["Key"]): str(one["Value"]) for one in entries}


def alarm_tags(aws: Aws, arn: str) -> dict[str, str]:
    """The tags of an alarm."""
    answer = aws.find(CLOUDWATCH, "ListTagsForResource", {"ResourceARN": arn}) or {}
    return {str(one["Key"]): str(one["Value"]) for one in answer.get("Tags", ())}
