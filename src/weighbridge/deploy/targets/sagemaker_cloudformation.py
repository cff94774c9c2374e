"""The requests of an endpoint as one CloudFormation template in JSON; what is not said becomes a parameter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.deploy.deployable import Deployable
from weighbridge.deploy.targets.sagemaker_requests import WAKE, Reference, Request, Requests, Value
from weighbridge.deploy.targets.sagemaker_role import BucketPolicies, Role

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
_ROLE: Final = "ExecutionRole"
_POLICIES: Final = MappingProxyType({"load": "ScalingPolicy", WAKE: "WakePolicy"})


def cloudformation(
    requests: Requests, deployable: Deployable, role: Role | None = None, store: BucketPolicies | None = None
) -> str:
    """The template's text; with the role that it makes, and the policy of the store's bucket."""
    instead: dict[str, JsonValue] = {"ExecutionRoleArn": {"Fn::GetAtt": [_ROLE, "Arn"]}} if role else {}
    resources: dict[str, JsonValue] = {
        **_access(role, store, requests),
        "Model": _after_the_store(_resource("AWS::SageMaker::Model", requests.model, instead), store),
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
    if missing := [name for name in requests.missing() if name not in instead]:
        document["Parameters"] = {name: _PARAMETERS[name] for name in missing}
    document["Resources"] = resources
    document["Outputs"] = {"EndpointName": {"Value": {"Fn::GetAtt": ["Endpoint", "EndpointName"]}}}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _access(role: Role | None, store: BucketPolicies | None, requests: Requests) -> dict[str, JsonValue]:
    """The role, and the bucket's policy once the role is there."""
    found: dict[str, JsonValue] = {}
    if role is not None:
        properties: dict[str, JsonValue] = {
            "RoleName": role.name,
            "Description": f"Reads one revision for the endpoint {requests.name}",
            "AssumeRolePolicyDocument": role.trusted.to_json(),
            "Policies": [{"PolicyName": "endpoint", "PolicyDocument": role.allowed.to_json()}],
            "Tags": _rendered(requests.model["Tags"], {}),
        }
        found[_ROLE] = {"Type": "AWS::IAM::Role", "Properties": properties}
    if store is not None:
        document: dict[str, JsonValue] = {"Bucket": store.bucket, "PolicyDocument": store.policy.to_json()}
        policy: dict[str, JsonValue] = {"Type": "AWS::S3::BucketPolicy", "Properties": document}
        # The store outlives the endpoint: its policy is not taken away with it.
        policy |= {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
        found["ApprovedBucketPolicy"] = {**policy, "DependsOn": _ROLE} if role is not None else policy
    return found


def _after_the_store(model: dict[str, JsonValue], store: BucketPolicies | None) -> dict[str, JsonValue]:
    """SageMaker reads under the prefix when a model is made: the bucket has to let the role by then."""
    return {**model, "DependsOn": "ApprovedBucketPolicy"} if store is not None else model


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
