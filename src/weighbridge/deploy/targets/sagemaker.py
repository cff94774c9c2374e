"""SageMaker: an endpoint that reads exactly an approved revision's prefix, isolated, encrypted, updated blue to green.

Rendered as CloudFormation and as Terraform, and applied by `deploy.apply_sagemaker`: three forms of the same requests, each of
which is checked against the service's model before anything leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.deploy.deployable import Deployable
from weighbridge.deploy.plan import CostDriver, Plan, RenderedFile, Resource, Target
from weighbridge.deploy.service_model import load_service_model
from weighbridge.deploy.sizing import decimal_size
from weighbridge.deploy.targets.sagemaker_choices import chosen
from weighbridge.deploy.targets.sagemaker_cloudformation import cloudformation
from weighbridge.deploy.targets.sagemaker_options import Chosen, Options
from weighbridge.deploy.targets.sagemaker_record import requests_text
from weighbridge.deploy.targets.sagemaker_requests import Reference, Requests, Value, requests_of
from weighbridge.deploy.targets.sagemaker_role import BucketPolicies, Role, bucket_policies, made_role, role_policies
from weighbridge.deploy.targets.sagemaker_terraform import terraform

__all__ = [
    "BUCKET",
    "CLOUDFORMATION",
    "KEY",
    "REQUESTS",
    "ROLE",
    "TERRAFORM",
    "TRUST",
    "Options",
    "Prepared",
    "check_requests",
    "prepare",
    "render",
]

CLOUDFORMATION: Final = "sagemaker.cloudformation.json"
TERRAFORM: Final = "sagemaker.tf.json"
REQUESTS: Final = "sagemaker.requests.json"
ROLE: Final = "sagemaker.role.json"
TRUST: Final = "sagemaker.role-trust.json"
BUCKET: Final = "sagemaker.approved-bucket.json"
KEY: Final = "sagemaker.approved-key.json"
_EXAMPLES: Final[Mapping[str, Value]] = MappingProxyType(
    {
        "ExecutionRoleArn": "arn:aws:iam::111122223333:role/inference",
        "Subnets": ["subnet-0"],
        "SecurityGroups": ["sg-0"],
        "KmsKeyArn": "arn:aws:kms:us-east-1:111122223333:key/0",
        "wake": "arn:aws:autoscaling:us-east-1:111122223333:scalingPolicy:0",
    }
)
"""What stands for a parameter while the rest of a request is checked."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan, and the requests that carry it out."""

    plan: Plan
    requests: Requests


def render(deployable: Deployable, options: Options) -> Plan:
    """An endpoint on SageMaker, thought through.

    Raises:
        ConfigError: a choice is missing, malformed, does not fit the model, or is one that the service would refuse.
        Denied: the version is not to be run, or a variable not to be had.
    """
    return prepare(deployable, options).plan


def prepare(deployable: Deployable, options: Options) -> Prepared:
    """The plan of an endpoint together with its requests, for `apply`.

    Raises:
        ConfigError, Denied: as `render`.
    """
    choice = chosen(deployable, options, file=CLOUDFORMATION)
    requests = requests_of(choice)
    check_requests(requests)
    role = made_role(choice)
    store = bucket_policies(choice, role)
    plan = Plan(
        target=Target.SAGEMAKER,
        name=choice.name,
        deployable=deployable,
        files=(
            RenderedFile(CLOUDFORMATION, cloudformation(requests, deployable, role, store)),
            RenderedFile(TERRAFORM, terraform(requests, role, store)),
            RenderedFile(REQUESTS, requests_text(requests)),
            *_role(choice, store),
        ),
        resources=(*_access(role, store), *_resources(choice, requests)),
        cost_drivers=tuple(_cost_drivers(choice, requests)),
        findings=choice.findings,
        notes=choice.notes,
        settings=_settings(choice, requests),
    )
    return Prepared(plan, requests)


def check_requests(requests: Requests) -> None:
    """Returns when every request is one that the services' models allow; parameters without a value are taken as right.

    Raises:
        ConfigError: one is not; or botocore, which holds the models, is not installed.
    """
    for service, operation, request in calls(requests):
        filled = _filled(request)
        load_service_model(service).validate(operation, filled if isinstance(filled, Mapping) else {})


def calls(requests: Requests) -> list[tuple[str, str, Mapping[str, Value]]]:
    """Service, operation and request of all that makes or updates an endpoint."""
    return [
        ("sagemaker", "CreateModel", requests.model),
        ("sagemaker", "CreateEndpointConfig", requests.config),
        ("sagemaker", "CreateEndpoint", requests.endpoint),
        ("sagemaker", "UpdateEndpoint", requests.update),
        *(("cloudwatch", "PutMetricAlarm", one) for one in (*requests.alarms, *requests.wake_alarms)),
        *(
            ("application-autoscaling", "RegisterScalableTarget", one)
            for one in (requests.scaling_target,)
            if one is not None
        ),
        *(("application-autoscaling", "PutScalingPolicy", one) for one in requests.scaling_policies),
    ]


def _role(choice: Chosen, store: BucketPolicies | None) -> list[RenderedFile]:
    policies = role_policies(choice)
    of_store = (
        [RenderedFile(BUCKET, store.policy.to_text()), RenderedFile(KEY, store.key_policy.to_text())] if store else []
    )
    if policies is None:
        return of_store
    allowed, trusted = policies
    return [RenderedFile(ROLE, allowed.to_text()), RenderedFile(TRUST, trusted.to_text()), *of_store]


def _access(role: Role | None, store: BucketPolicies | None) -> list[Resource]:
    found = []
    if role is not None:
        found.append(
            Resource("AWS::IAM::Role", role.name, "reads this revision and its image, logs, joins the network")
        )
    if store is not None:
        summary = "only named roles read, this one among them; nobody deletes"
        found.append(Resource("AWS::S3::BucketPolicy", store.bucket, summary))
    return found


def _filled(value: Value) -> Value:
    if isinstance(value, Reference):
        return _EXAMPLES[value.name]
    if isinstance(value, Mapping):
        return {key: _filled(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_filled(item) for item in value]
    return value


def _resources(choice: Chosen, requests: Requests) -> list[Resource]:
    options = choice.options
    kind = "asynchronous" if choice.is_async else "real-time"
    found = [
        Resource(
            "AWS::SageMaker::Model",
            str(requests.model["ModelName"]),
            f"{choice.engine.title} {choice.version} over {choice.deployable.prefix}, network isolation",
        ),
        Resource(
            "AWS::SageMaker::EndpointConfig",
            requests.config_name,
            f"{options.instances} x {options.instance_type}, download {choice.download_seconds} s, "
            f"start {choice.startup_seconds} s",
        ),
        Resource("AWS::SageMaker::Endpoint", choice.name, f"{kind}, updates {choice.traffic}, rolled back by alarms"),
    ]
    found += [
        Resource("AWS::CloudWatch::Alarm", str(one["AlarmName"]), str(one["AlarmDescription"]))
        for one in (*requests.alarms, *requests.wake_alarms)
    ]
    if requests.scaling_target is not None:
        summary = f"{options.scale_min} to {options.scale_max} instances, {options.scale_target} requests for each"
        found.append(Resource("AWS::ApplicationAutoScaling::ScalableTarget", choice.name, summary))
        found += [
            Resource("AWS::ApplicationAutoScaling::ScalingPolicy", str(one["PolicyName"]), str(one["PolicyType"]))
            for one in requests.scaling_policies
        ]
    return found


def _cost_drivers(choice: Chosen, requests: Requests) -> list[CostDriver]:
    options = choice.options
    least, most = (options.scale_min, options.scale_max) if options.scale_max is not None else (options.instances,) * 2
    count, hours = (f"{a}" if a == b else f"{a} to {b}" for a, b in ((least, most), (24 * least, 24 * most)))
    size = choice.deployable.size_bytes
    starts = choice.download_seconds + choice.startup_seconds + options.bake_seconds + options.keep_old_seconds
    found = [
        CostDriver(
            "instance hours", f"{hours} a day: {count} x {options.instance_type}", "as long as it exists, asked or not"
        ),
        CostDriver(
            "instance hours of an update",
            f"up to {options.instances * starts / 3600:.1f}: {options.instances} x {options.instance_type} again",
            "old and new instances run side by side until the old ones are ended",
        ),
        CostDriver(
            "reads from the bucket",
            f"{decimal_size(size)} for each instance that starts, {decimal_size(size * options.instances)} to begin with",
            "free within the region through a gateway endpoint; paid by the byte through a NAT gateway",
        ),
        CostDriver("storage in the bucket", decimal_size(size), "the approved revision, whether it runs or not"),
    ]
    if choice.volume_gb is not None:
        whole = f"{choice.volume_gb} GB for each instance, {choice.volume_gb * options.instances} GB to begin with"
        found.append(CostDriver("volumes", whole, "gp2, by the hour"))
    alarms = len(requests.alarms) + len(requests.wake_alarms)
    found.append(CostDriver("alarms", str(alarms), "by the month"))
    return found


def _settings(choice: Chosen, requests: Requests) -> dict[str, JsonValue]:
    options = choice.options
    return {
        "engine": choice.engine.name,
        "engine_version": choice.version,
        "accepted": options.accept_vulnerable.strip(),
        "image": options.image,
        "instance_type": options.instance_type,
        "instances": options.instances,
        "tensor_parallel": choice.layout.tensor,
        "pipeline_parallel": choice.layout.pipeline,
        "fits": choice.layout.fits,
        "layout": choice.layout.why,
        "volume_gb": choice.volume_gb,
        "download_seconds": choice.download_seconds,
        "startup_seconds": choice.startup_seconds,
        "traffic": choice.traffic,
        "asynchronous": choice.is_async,
        "transfer_rate": options.transfer_rate,
        "model_name": str(requests.model["ModelName"]),
        "endpoint_config": requests.config_name,
        "parameters": requests.missing(),
        "region": options.region,
    }
