"""The requests that make an endpoint, in the service's own words; templates say the same things in other forms.

Names carry the digest of what they name: equal content has equal names, so nothing is made twice and nothing that runs is
altered under its name. What only AWS or the reader knows stands as a `Reference`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from weighbridge.deploy.targets.sagemaker_environment import engine_environment
from weighbridge.deploy.targets.sagemaker_options import Chosen

VARIANT: Final = "AllTraffic"
OWNER_TAG: Final = "weighbridge:deployment"
MODEL_TAG: Final = "weighbridge:model"
REVISION_TAG: Final = "weighbridge:revision"
MANIFEST_TAG: Final = "weighbridge:manifest"
REPLACED_TAG: Final = "weighbridge:replaced"
"""On a configuration: the one that was in service before it."""
MAX_UPDATE_SECONDS: Final = 14_400
MIN_UPDATE_SECONDS: Final = 600
NAMESPACE: Final = "AWS/SageMaker"
DIMENSION: Final = "sagemaker:variant:DesiredInstanceCount"
WAKE: Final = "wake"
"""The policy that takes a queue from no instance to one."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a template is told, or AWS says: `parameter` (role, network, key) or `policy` (the ARN of a scaling policy)."""

    kind: str
    name: str


Value = None | bool | int | str | Reference | Sequence["Value"] | Mapping[str, "Value"]
Request = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Requests:
    """All that makes one endpoint. Each is what the service's operation takes."""

    name: str
    model: Request
    """CreateModel"""
    config: Request
    """CreateEndpointConfig"""
    endpoint: Request
    """CreateEndpoint; UpdateEndpoint takes the same without tags."""
    alarms: tuple[Request, ...]
    """PutMetricAlarm"""
    wake_alarms: tuple[Request, ...]
    """PutMetricAlarm whose action is a scaling policy."""
    scaling_target: Request | None
    """RegisterScalableTarget"""
    scaling_policies: tuple[Request, ...]
    """PutScalingPolicy"""

    @property
    def config_name(self) -> str:
        """The configuration that is to be in service."""
        return str(self.config["EndpointConfigName"])

    @property
    def reference(self) -> tuple[str, str]:
        """The model and the revision, as the configuration's tags say."""
        tags = self.config.get("Tags")
        entries = tags if isinstance(tags, Sequence) and not isinstance(tags, str) else ()
        said = {str(one["Key"]): str(one["Value"]) for one in entries if isinstance(one, Mapping)}
        return said.get(MODEL_TAG, ""), said.get(REVISION_TAG, "")

    @property
    def update(self) -> Request:
        """UpdateEndpoint, for an endpoint that is there."""
        update = {key: value for key, value in self.endpoint.items() if key != "Tags"}
        # What scaling made of the number of instances is kept.
        return update if self.scaling_target is None else {**update, "RetainAllVariantProperties": True}

    def missing(self) -> list[str]:
        """Names of the parameters that have no value yet."""
        found: list[str] = []
        for request in (self.model, self.config, self.endpoint):
            _collect(request, found)
        return sorted(set(found))


def requests_of(chosen: Chosen) -> Requests:
    """The requests for choices that hold together."""
    model = _named("ModelName", f"{chosen.name}-{chosen.deployable.revision[:8]}-", 8, _model(chosen), chosen)
    config = _named("EndpointConfigName", f"{chosen.name}-", 12, _config(chosen, str(model["ModelName"])), chosen)
    alarms = _alarms(chosen)
    names = [str(one["AlarmName"]) for one in alarms] + list(chosen.options.alarms)
    endpoint = {
        "EndpointName": chosen.name,
        "EndpointConfigName": config["EndpointConfigName"],
        "DeploymentConfig": _deployment(chosen, names),
        "Tags": _tags(chosen, of_revision=False),
    }
    scales = chosen.options.scale_max is not None
    return Requests(
        name=chosen.name,
        model=model,
        config=config,
        endpoint=endpoint,
        alarms=tuple(alarms),
        wake_alarms=tuple(_wake_alarms(chosen)),
        scaling_target=_scaling_target(chosen) if scales else None,
        scaling_policies=tuple(_scaling_policies(chosen)) if scales else (),
    )


def resource_id(name: str, variant: str = VARIANT) -> str:
    """What application autoscaling names an endpoint's variant by."""
    return f"endpoint/{name}/variant/{variant}"


def _model(chosen: Chosen) -> dict[str, Value]:
    options = chosen.options
    source = {"S3Uri": chosen.deployable.prefix, "S3DataType": "S3Prefix", "CompressionType": "None"}
    environment = engine_environment(
        chosen.engine.name,
        tensor=chosen.layout.tensor,
        pipeline=chosen.layout.pipeline,
        served_name=chosen.served_name,
        context_length=options.context_length,
        startup_seconds=chosen.startup_seconds,
        added=options.environment,
    )
    return {
        "ExecutionRoleArn": options.execution_role or Reference("parameter", "ExecutionRoleArn"),
        "EnableNetworkIsolation": True,
        "PrimaryContainer": {
            "Image": options.image,
            "Mode": "SingleModel",
            "ModelDataSource": {"S3DataSource": source},
            "Environment": dict(sorted(environment.items())),
        },
        "VpcConfig": {
            "Subnets": list(options.subnets) or Reference("parameter", "Subnets"),
            "SecurityGroupIds": list(options.security_groups) or Reference("parameter", "SecurityGroups"),
        },
    }


def _config(chosen: Chosen, model_name: str) -> dict[str, Value]:
    options = chosen.options
    variant: dict[str, Value] = {
        "VariantName": VARIANT,
        "ModelName": model_name,
        "InstanceType": options.instance_type,
        "InitialInstanceCount": options.instances,
        "InitialVariantWeight": 1,
        "ModelDataDownloadTimeoutInSeconds": chosen.download_seconds,
        "ContainerStartupHealthCheckTimeoutInSeconds": chosen.startup_seconds,
        "EnableSSMAccess": False,
    }
    if chosen.volume_gb is not None:
        variant["VolumeSizeInGB"] = chosen.volume_gb
    if chosen.ami:
        variant["InferenceAmiVersion"] = chosen.ami
    if not chosen.is_async:
        variant["RoutingConfig"] = {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}
    key = options.kms_key or Reference("parameter", "KmsKeyArn")
    config: dict[str, Value] = {"KmsKeyId": key, "ProductionVariants": [variant]}
    if chosen.is_async:
        output: dict[str, Value] = {"S3OutputPath": options.async_output, "KmsKeyId": key}
        if options.async_failures:
            output["S3FailurePath"] = options.async_failures
        queue: dict[str, Value] = {"OutputConfig": output}
        if options.async_concurrency is not None:
            queue["ClientConfig"] = {"MaxConcurrentInvocationsPerInstance": options.async_concurrency}
        config["AsyncInferenceConfig"] = queue
    return config


def _deployment(chosen: Chosen, alarm_names: Sequence[str]) -> dict[str, Value]:
    options = chosen.options
    routing: dict[str, Value] = {
        "Type": chosen.traffic.upper().replace("-", "_"),
        "WaitIntervalInSeconds": options.bake_seconds,
    }
    shifts = 1
    if chosen.traffic == "canary":
        routing["CanarySize"], shifts = {"Type": "INSTANCE_COUNT", "Value": 1}, 2
    elif chosen.traffic == "linear":
        routing["LinearStepSize"], shifts = {"Type": "CAPACITY_PERCENT", "Value": 50}, 2
    waits = shifts * options.bake_seconds + options.keep_old_seconds
    seconds = chosen.download_seconds + chosen.startup_seconds + waits + 1800
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": options.keep_old_seconds,
            "MaximumExecutionTimeoutInSeconds": max(MIN_UPDATE_SECONDS, min(MAX_UPDATE_SECONDS, seconds)),
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarm_names]},
    }


def _alarms(chosen: Chosen) -> list[dict[str, Value]]:
    options = chosen.options
    found = [_alarm(chosen, "errors", "Invocation5XXErrors", "Sum", options.alarm_errors)]
    if options.alarm_latency_ms is not None:
        found.append(_alarm(chosen, "latency", "ModelLatency", "Average", options.alarm_latency_ms * 1000))
    return found


def _alarm(chosen: Chosen, what: str, metric: str, statistic: str, threshold: int) -> dict[str, Value]:
    return {
        "AlarmName": f"{chosen.name}-{what}",
        "AlarmDescription": f"{metric} of {chosen.name}: an update during which it trips is rolled back",
        "Namespace": NAMESPACE,
        "MetricName": metric,
        "Dimensions": [
            {"Name": "EndpointName", "Value": chosen.name},
            {"Name": "VariantName", "Value": VARIANT},
        ],
        "Statistic": statistic,
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": threshold,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
        "Tags": _tags(chosen, of_revision=False),
    }


def _wake_alarms(chosen: Chosen) -> list[dict[str, Value]]:
    if not _wakes(chosen):
        return []
    alarm = _alarm(chosen, WAKE, "HasBacklogWithoutCapacity", "Average", 1)
    alarm["AlarmDescription"] = f"Requests wait for {chosen.name} and no instance is there"
    alarm["Dimensions"] = [{"Name": "EndpointName", "Value": chosen.name}]
    alarm["TreatMissingData"] = "missing"
    alarm["AlarmActions"] = [Reference("policy", WAKE)]
    return [alarm]


def _wakes(chosen: Chosen) -> bool:
    return chosen.is_async and chosen.options.scale_max is not None and chosen.options.scale_min == 0


def _scaling_target(chosen: Chosen) -> dict[str, Value]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": resource_id(chosen.name),
        "ScalableDimension": DIMENSION,
        "MinCapacity": chosen.options.scale_min,
        "MaxCapacity": chosen.options.scale_max,
    }


def _scaling_policies(chosen: Chosen) -> list[dict[str, Value]]:
    place: dict[str, Value] = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": resource_id(chosen.name),
        "ScalableDimension": DIMENSION,
    }
    tracking: dict[str, Value] = {
        "TargetValue": chosen.options.scale_target,
        "ScaleInCooldown": 600,
        "ScaleOutCooldown": 300,
    }
    if chosen.is_async:
        tracking["CustomizedMetricSpecification"] = {
            "MetricName": "ApproximateBacklogSizePerInstance",
            "Namespace": NAMESPACE,
            "Dimensions": [{"Name": "EndpointName", "Value": chosen.name}],
            "Statistic": "Average",
        }
    else:
        metric = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
        tracking["PredefinedMetricSpecification"] = {"PredefinedMetricType": metric}
    policies: list[dict[str, Value]] = [
        {
            "PolicyName": f"{chosen.name}-load",
            **place,
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": tracking,
        }
    ]
    if _wakes(chosen):
        steps: dict[str, Value] = {
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Average",
            "Cooldown": 300,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        }
        policies.append(
            {
                "PolicyName": f"{chosen.name}-{WAKE}",
                **place,
                "PolicyType": "StepScaling",
                "StepScalingPolicyConfiguration": steps,
            }
        )
    return policies


def _tags(chosen: Chosen, *, of_revision: bool) -> list[Value]:
    model = chosen.deployable
    tags = {OWNER_TAG: chosen.name}
    if of_revision:
        tags |= {
            MODEL_TAG: str(model.model_name),
            REVISION_TAG: model.revision,
            MANIFEST_TAG: model.manifest_digest,
        }
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _named(key: str, prefix: str, digits: int, content: dict[str, Value], chosen: Chosen) -> dict[str, Value]:
    """The content under a name that follows from it, with the tags that say whose it is."""
    tagged = {**content, "Tags": _tags(chosen, of_revision=True)}
    text = json.dumps(tagged, sort_keys=True, default=lambda one: [one.kind, one.name])
    return {key: f"{prefix}{hashlib.sha256(text.encode()).hexdigest()[:digits]}", **tagged}


def _collect(value: Value, found: list[str]) -> None:
    if isinstance(value, Reference):
        found.append(value.name)
    elif isinstance(value, Mapping):
        for item in value.values():
            _collect(item, found)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            _collect(item, found)
