"""The requests of an endpoint as one CloudFormation template in JSON; what is not said becomes a parameter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.deploy.deployable import Deployable
from weighbridge.deploy.targets.sagemaker_requests import WAKE, Reference, Request, Requests, Value

_PARAMETERS: Final[Mapping[str, Mapping[str, JsonValue]]] = MappingProxyType(
    {
        "ExecutionRoleArn": {
            "Type": "String",
            "Description": "Role that SageMaker reads the model and the image with",
            "AllowedPattern": "arn:aws[a-z-]*:iam::[0-9]{12}:role/.+",
        },
        "Subnets": {
            "Type": "List<AWS::EC2::Subnet::Id>",
            "Description": "Private subnets with an endpoint for S3",
        },
        "SecurityGroups": {
            "Type": "List<AWS::EC2::SecurityGroup::Id>",
            "Description": "Security groups of the endpoint",
        },
        "KmsKeyArn": {
            "Type": "String",
            "Description": "Key for volumes and outputs",
            "AllowedPattern": "arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+",
        },
    }
)
_POLICIES: Final = MappingProxyType({"load": "ScalingPolicy", WAKE: "WakePolicy"})


def cloudformation(requests: Requests, deployable: Deployable) -> str:
    """The template's text."""
    resources: dict[str, JsonValue] = {
        "Model": _resource("AWS::SageMaker::Model", requests.model),
        "EndpointConfig": _resource(
            "AWS::SageMaker::EndpointConfig",
            requests.config,
            {"ModelName": {"Fn::GetAtt": ["Model", "ModelName"]}},
        ),
        "Endpoint": _resource(
            "AWS::SageMaker::Endpoint",
            {**requests.endpoint, **({"RetainAllVariantProperties": True} if requests.scaling_target else {})},
            {"EndpointConfigName": {"Fn::GetAtt": ["EndpointConfig", "EndpointConfigName"]}},
        ),
    }
    for request in (*requests.alarms, *requests.wake_alarms):
        name = "".join(part.capitalize() for part in str(request["AlarmName"]).rsplit("-", 1)[1:])
        resources[f"{name}Alarm"] = _resource("AWS::CloudWatch::Alarm", request)
    _guard(resources)
    if requests.scaling_target is not None:
        target = _resource("AWS::ApplicationAutoScaling::ScalableTarget", requests.scaling_target)
        resources["ScalableTarget"] = {**target, "DependsOn": "Endpoint"}
    for request in requests.scaling_policies:
        logical = _POLICIES[str(request["PolicyName"]).rsplit("-", 1)[1]]
        policy = _resource("AWS::ApplicationAutoScaling::ScalingPolicy", request)
        resources[logical] = {**policy, "DependsOn": "ScalableTarget"}
    document: dict[str, JsonValue] = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"{deployable.reference}, manifest {deployable.manifest_digest}; rendered by weighbridge deploy",
    }
    if missing := requests.missing():
        document["Parameters"] = {name: _PARAMETERS[name] for name in missing}
    document["Resources"] = resources
    document["Outputs"] = {"EndpointName": {"Value": {"Fn::GetAtt": ["Endpoint", "EndpointName"]}}}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _guard(resources: dict[str, JsonValue]) -> None:
    """Alarms of this template are made before the endpoint that they guard."""
    made = [name for name in resources if name.endswith("Alarm") and not name.startswith(WAKE.capitalize())]
    endpoint = resources["Endpoint"]
    if made and isinstance(endpoint, Mapping):
        resources["Endpoint"] = {**endpoint, "DependsOn": made}


def _resource(kind: str, request: Request, instead: Mapping[str, JsonValue] | None = None) -> dict[str, JsonValue]:
    return {"Type": kind, "Properties": _rendered(request, instead or {})}


def _rendered(value: Value, instead: Mapping[str, JsonValue]) -> JsonValue:
    if isinstance(value, Reference):
        return {"Ref": value.name if value.kind == "parameter" else _POLICIES[value.name]}
    if isinstance(value, Mapping):
        return {key: instead[key] if key in instead else _rendered(item, instead) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rendered(item, instead) for item in value]
    return value
