"""Takes away what carries a deployment's tag on SageMaker: all of it, or what its present version does not have. Names prove nothing."""

from __future__ import annotations

from collections.abc import Collection

from weighbridge.deploy.aws_calls import Aws
from weighbridge.deploy.sagemaker_state import CLOUDWATCH, SAGEMAKER, SCALING, alarm_tags, tags
from weighbridge.deploy.targets.sagemaker_requests import OWNER_TAG, Requests, resource_id


def remove_owned(name: str, aws: Aws, done: list[str], *, keep: Collection[str] = ()) -> tuple[str, ...]:
    """Removes configurations, models and alarms of a deployment but those in `keep`; what it removed it adds to `done`.

    What has one of its names and is not its own is left, and returned.

    Raises:
        WeighbridgeError: the service refused or did not answer.
    """
    kept: list[str] = []
    for what, listing, member in (
        ("EndpointConfig", "ListEndpointConfigs", "EndpointConfigs"),
        ("Model", "ListModels", "Models"),
    ):
        for one in list(aws.pages(SAGEMAKER, listing, {"NameContains": name}, member)):
            own_name = str(one[f"{what}Name"])
            if not own_name.startswith(f"{name}-") or own_name in keep:
                continue
            if tags(aws, str(one[f"{what}Arn"])).get(OWNER_TAG) != name:
                kept.append(own_name)
                continue
            aws.find(SAGEMAKER, f"Delete{what}", {f"{what}Name": own_name})
            done.append(f"the {'configuration' if what == 'EndpointConfig' else 'model'} {own_name}")
    _remove_alarms(name, aws, keep, (done, kept))
    return tuple(kept)


def remove_policies(requests: Requests, aws: Aws, done: list[str]) -> None:
    """Removes scaling policies of the endpoint that its present version does not have, but those of other programs.

    What it removed it adds to `done`.

    Raises:
        WeighbridgeError: the service refused or did not answer.
    """
    wanted = {str(one["PolicyName"]) for one in requests.scaling_policies}
    place = {"ServiceNamespace": "sagemaker", "ResourceId": resource_id(requests.name)}
    for one in list(aws.pages(SCALING, "DescribeScalingPolicies", place, "ScalingPolicies")):
        policy = str(one["PolicyName"])
        if policy not in wanted and policy.startswith(f"{requests.name}-"):
            place_of = {**place, "ScalableDimension": str(one["ScalableDimension"]), "PolicyName": policy}
            aws.find(SCALING, "DeleteScalingPolicy", place_of)
            done.append(f"the scaling policy {policy}")


def _remove_alarms(name: str, aws: Aws, keep: Collection[str], told: tuple[list[str], list[str]]) -> None:
    done, kept = told
    own = []
    for one in list(aws.pages(CLOUDWATCH, "DescribeAlarms", {"AlarmNamePrefix": f"{name}-"}, "MetricAlarms")):
        alarm = str(one["AlarmName"])
        if alarm in keep:
            continue
        if alarm_tags(aws, str(one["AlarmArn"])).get(OWNER_TAG) == name:
            own.append(alarm)
        else:
            kept.append(alarm)
    if own:
        aws.call(CLOUDWATCH, "DeleteAlarms", {"AlarmNames": own})
        done += [f"the alarm {one}" for one in own]
