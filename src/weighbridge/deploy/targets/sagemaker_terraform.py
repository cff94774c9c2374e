"""The requests of an endpoint as Terraform in JSON (`*.tf.json`), for the provider hashicorp/aws; what is not said is a variable.

The provider's names are the service's in other letters, with the exceptions that stand here. It has no word for keeping the
number of instances that scaling made: an update by Terraform begins with the number that is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.deploy.iam.document import PolicyDocument
from weighbridge.deploy.targets.sagemaker_requests import WAKE, Reference, Request, Requests, Value
from weighbridge.deploy.targets.sagemaker_role import BucketPolicies, Role

PROVIDER: Final = ">= 5.80"
_VARIABLES: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {
        "ExecutionRoleArn": ("execution_role_arn", "string", "Role that SageMaker reads the model and the image with"),
        "Subnets": ("subnets", "list(string)", "Private subnets with an endpoint for S3"),
        "SecurityGroups": ("security_groups", "list(string)", "Security groups of the endpoint"),
        "KmsKeyArn": ("kms_key_arn", "string", "Key for volumes and outputs"),
    }
)
_NAMES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "aws_sagemaker_model": {"ModelName": "name"},
        "aws_sagemaker_endpoint_configuration": {"EndpointConfigName": "name", "KmsKeyId": "kms_key_arn"},
        "aws_sagemaker_endpoint": {"EndpointName": "name"},
        "aws_cloudwatch_metric_alarm": {},
        "aws_appautoscaling_target": {},
        "aws_appautoscaling_policy": {"PolicyName": "name", "StepAdjustments": "step_adjustment"},
    }
)
"""Where the provider's word for a member of the outermost object, or of a list, is another."""
_PLAIN: Final = ("Environment",)
"""Members whose keys are the reader's and stay as they are."""


def terraform(requests: Requests, role: Role | None = None, store: BucketPolicies | None = None) -> str:
    """The file's text; with the role that it makes, and the policies of the store's bucket and key."""
    config = "aws_sagemaker_endpoint_configuration"
    instead = {"ExecutionRoleArn": "${aws_iam_role.execution.arn}"} if role else {}
    model = _block("aws_sagemaker_model", requests.model, instead)
    resources: dict[str, JsonValue] = {
        **_access(role, store, requests),
        "aws_sagemaker_model": {
            "this": {**model, "depends_on": after} if (after := _before_the_model(role, store)) else model
        },
        config: {
            "this": {
                **_block(config, requests.config, {"ModelName": "${aws_sagemaker_model.this.name}"}),
                "lifecycle": {"create_before_destroy": True},
            }
        },
        "aws_sagemaker_endpoint": {
            "this": {
                **_block(
                    "aws_sagemaker_endpoint", requests.endpoint, {"EndpointConfigName": f"${{{config}.this.name}}"}
                ),
                "depends_on": [f"aws_cloudwatch_metric_alarm.{_last(one['AlarmName'])}" for one in requests.alarms],
            }
        },
        "aws_cloudwatch_metric_alarm": {
            _last(one["AlarmName"]): _block("aws_cloudwatch_metric_alarm", one, {})
            for one in (*requests.alarms, *requests.wake_alarms)
        },
    }
    if requests.scaling_target is not None:
        resources["aws_appautoscaling_target"] = {
            "this": {
                **_block("aws_appautoscaling_target", requests.scaling_target, {}),
                "depends_on": ["aws_sagemaker_endpoint.this"],
            }
        }
        resources["aws_appautoscaling_policy"] = {
            _last(one["PolicyName"]): {
                **_block("aws_appautoscaling_policy", one, {}),
                "depends_on": ["aws_appautoscaling_target.this"],
            }
            for one in requests.scaling_policies
        }
    document: dict[str, JsonValue] = {
        "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws", "version": PROVIDER}}},
    }
    if missing := [name for name in requests.missing() if name not in instead]:
        document["variable"] = {
            name: {"type": kind, "description": text} for name, kind, text in (_VARIABLES[one] for one in missing)
        }
    document["resource"] = resources
    document["output"] = {"endpoint_name": {"value": "${aws_sagemaker_endpoint.this.name}"}}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _access(role: Role | None, store: BucketPolicies | None, requests: Requests) -> dict[str, JsonValue]:
    """The role, and the policies of the store once the role is there."""
    found: dict[str, JsonValue] = {}
    if role is not None:
        # What serves the revision before keeps its role until the endpoint has changed.
        lasting: dict[str, JsonValue] = {"create_before_destroy": True}
        found["aws_iam_role"] = {
            "execution": {
                "name": role.name,
                "description": f"Reads one revision for the endpoint {requests.name}",
                "assume_role_policy": _policy(role.trusted),
                "tags": _pairs(requests.model["Tags"], "Key"),
                "lifecycle": lasting,
            }
        }
        found["aws_iam_role_policy"] = {
            "execution": {
                "name": "endpoint",
                "role": "${aws_iam_role.execution.id}",
                "policy": _policy(role.allowed),
                "lifecycle": lasting,
            }
        }
    if store is not None:
        after: dict[str, JsonValue] = {"depends_on": ["aws_iam_role.execution"]} if role is not None else {}
        found["aws_s3_bucket_policy"] = {"approved": {"bucket": store.bucket, "policy": _policy(store.policy), **after}}
        found["aws_kms_key_policy"] = {"approved": {"key_id": store.key, "policy": _policy(store.key_policy), **after}}
    return found


def _before_the_model(role: Role | None, store: BucketPolicies | None) -> list[JsonValue]:
    """SageMaker reads under the prefix when a model is made: role, bucket and key have to let it by then."""
    found: list[JsonValue] = ["aws_iam_role_policy.execution"] if role is not None else []
    return [*found, "aws_s3_bucket_policy.approved", "aws_kms_key_policy.approved"] if store is not None else found


def _policy(document: PolicyDocument) -> str:
    """A policy as the text that the provider takes."""
    return _escaped(json.dumps(document.to_json(), ensure_ascii=False))


def snake(name: str) -> str:
    """A member's name as the provider writes it: `VolumeSizeInGB` is `volume_size_in_gb`."""
    text = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text).lower()


def _last(name: Value) -> str:
    return str(name).rsplit("-", 1)[1]


def _block(resource: str, request: Request, instead: Mapping[str, str]) -> dict[str, JsonValue]:
    names = _NAMES[resource]
    found: dict[str, JsonValue] = {}
    for key, value in request.items():
        if key == "Tags":
            found["tags"] = _pairs(value, "Key")
        elif key == "Dimensions" and resource == "aws_cloudwatch_metric_alarm":
            found["dimensions"] = _pairs(value, "Name")
        else:
            found[names.get(key, snake(key))] = instead.get(key) or _rendered(key, value, names, instead)
    return found


def _rendered(key: str, value: Value, names: Mapping[str, str], instead: Mapping[str, str]) -> JsonValue:
    if isinstance(value, Reference):
        if value.kind == "parameter":
            return f"${{var.{_VARIABLES[value.name][0]}}}"
        return f"${{aws_appautoscaling_policy.{WAKE}.arn}}"
    if isinstance(value, Mapping):
        if key in _PLAIN:
            return {name: _escaped(str(item)) for name, item in value.items()}
        return {
            _inner_name(name, names): instead.get(name) or _rendered(name, item, names, instead)
            for name, item in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rendered(key, item, names, instead) for item in value]
    return _escaped(value) if isinstance(value, str) else value


def _inner_name(name: str, names: Mapping[str, str]) -> str:
    # The key of the configuration is an ARN; that of asynchronous outputs keeps its name.
    return names[name] if name in names and name.endswith("s") else snake(name)


def _escaped(text: str) -> str:
    """Text that Terraform takes as it is: its templates begin with `${` and `%{`."""
    return text.replace("${", "$${").replace("%{", "%%{")


def _pairs(value: Value, key: str) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {}
    for one in value if isinstance(value, Sequence) and not isinstance(value, str) else ():
        if isinstance(one, Mapping):
            found[str(one[key])] = _escaped(str(one["Value"]))
    return found
