"""Applies an endpoint on SageMaker, tells how it stands, rolls it back and takes it away.

Rules:

- names follow from content, so applying twice does nothing twice, and what an interrupted run left is taken up;
- nothing is changed or deleted that does not carry this deployment's tag; names alone prove nothing;
- what is found under a name is compared with what that name stands for: a difference is an error, never taken over;
- an update is SageMaker's own (blue/green, alarms); a rollback is one UpdateEndpoint to the configuration before, at once and
  without alarms, because what is in service is what is to be left;
- once a version serves, what only older ones had is taken away: it follows from the record, and a rollback makes it again;
- waiting is bounded, and ending to wait undoes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Final

from weighbridge.core.errors import (
    Busy,
    ConfigError,
    Denied,
    FormatError,
    IntegrityError,
    NothingCollected,
    WeighbridgeError,
)
from weighbridge.core.names import ModelName
from weighbridge.deploy.aws_calls import Answer, Aws
from weighbridge.deploy.deployments import Recorded
from weighbridge.deploy.plan import RenderedFile
from weighbridge.deploy.platforms import Part, accounted
from weighbridge.deploy.sagemaker_forms import differences, entries, sent
from weighbridge.deploy.sagemaker_removal import remove_owned, remove_policies
from weighbridge.deploy.sagemaker_state import (
    BROKEN,
    CLOUDWATCH,
    MOVING,
    SAGEMAKER,
    SCALING,
    EndpointState,
    alarm_tags,
    heads_for,
    reason,
    status,
    tags,
)
from weighbridge.deploy.targets.sagemaker import REQUESTS, Prepared, check_requests
from weighbridge.deploy.targets.sagemaker_record import read_requests
from weighbridge.deploy.targets.sagemaker_requests import (
    DIMENSION,
    MODEL_TAG,
    OWNER_TAG,
    REPLACED_TAG,
    REVISION_TAG,
    WAKE,
    Request,
    Requests,
    resource_id,
)
from weighbridge.deploy.targets.sagemaker_rules import RULES

__all__ = [
    "EndpointState",
    "Outcome",
    "SageMaker",
    "Watch",
    "apply",
    "check_plan",
    "delete",
    "prune",
    "rollback",
    "status",
]

_NEVER_WORK: Final = frozenset(rule.id for rule in RULES)

Progress = Callable[[str, float], None]
"""Is told the endpoint's status and the seconds waited."""


@dataclass(frozen=True, slots=True)
class Watch:
    """How a change is waited for."""

    poll_seconds: float = 15.0
    """Between two questions; the first ones follow sooner, from a second on."""
    timeout_seconds: float = 4 * 3600.0
    settle_seconds: float = 60.0
    """How long an answer that shows no change yet is not believed."""
    progress: Progress | None = None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did: in its order, in plain words; empty when all was as it should be."""

    state: EndpointState
    done: tuple[str, ...]
    kept: tuple[str, ...] = ()
    """What was found under the deployment's names and is not its own."""


class SageMaker:
    """Recorded deployments on SageMaker, as `platforms.Platform` wants them; the region is the record's place."""

    def __init__(self, aws_of: Callable[[str], Aws] = lambda region: Aws(region=region), watch: Watch | None = None):
        self._aws_of = aws_of
        self._watch = watch or Watch()

    def apply(self, deployment: Recorded, *, wait_seconds: float) -> None:
        """As `Platform.apply`; the requests are those of the recorded files.

        Raises:
            ConfigError: the record holds no requests, or such as do not make what it says; else as `apply`.
        """
        apply(_recorded_requests(deployment), self._aws_of(deployment.place), self._waiting(wait_seconds))

    def rollback(
        self, deployment: Recorded, *, may_serve: Callable[[ModelName, str], None], wait_seconds: float
    ) -> Outcome:
        """Puts the recorded deployment back in service at once; what of it was taken away is made again."""
        aws = self._aws_of(deployment.place)
        to = _recorded_requests(deployment)
        return rollback(deployment.name, aws, may_serve=may_serve, to=to, watch=self._waiting(wait_seconds))

    def prune(
        self, deployment: Recorded, older: Sequence[RenderedFile] = (), *, wait_seconds: float = 0.0
    ) -> tuple[str, ...]:
        """As `Platform.prune`; what is this deployment's is told by tags and not by files."""
        return prune(_recorded_requests(deployment), self._aws_of(deployment.place)).done

    def status(self, deployment: Recorded) -> tuple[Part, ...]:
        """As `Platform.status`."""
        state = status(deployment.name, self._aws_of(deployment.place))
        if state.status == "Absent":
            return (Part("endpoint", deployment.name, "missing", ready=False),)
        told = [state.status, *([state.failure] if state.failure else [])]
        parts = [Part("endpoint", deployment.name, ": ".join(told), ready=state.status == "InService")]
        served = f"{state.model}@{state.revision}" if state.revision else "not known"
        parts.append(Part("configuration", state.config, served, ready=state.revision == deployment.revision))
        parts += [Part("deviation", deployment.name, one, ready=False) for one in state.deviations]
        return tuple(parts)

    def delete(self, deployment: Recorded) -> None:
        """As `Platform.delete`."""
        delete(deployment.name, self._aws_of(deployment.place), self._watch)

    def _waiting(self, seconds: float) -> Watch:
        watch = self._watch
        return replace(watch, timeout_seconds=seconds)


def check_plan(prepared: Prepared) -> None:
    """Returns when a plan is one that can come to serve.

    Raises:
        Denied: it cannot, by a finding of SageMaker's own limits.
    """
    grave = [one for one in prepared.plan.findings if one.severity.is_grave and one.rule in _NEVER_WORK]
    if grave:
        raise Denied(
            f"the plan is not applied: {grave[0].message}",
            rules=tuple(sorted({one.rule for one in grave})),
            hint=grave[0].remedy,
        )


def apply(requests: Requests, aws: Aws, watch: Watch | None = None) -> Outcome:
    """Makes an endpoint as requested, or updates it, and waits until it serves.

    Raises:
        ConfigError: a parameter has no value, or a request is not what the service takes; nothing was sent.
        Denied: something of one of the names is not this deployment's.
        IntegrityError: what lies under a name is not what the name stands for.
        Busy: the endpoint is being changed.
        WeighbridgeError: the service refused, the endpoint failed or was rolled back, or the time ran out.
    """
    if missing := requests.missing():
        raise ConfigError(
            f"not said, and needed to apply: {', '.join(missing)}",
            hint="Say execution_role (apply makes no roles), subnets, security_groups and kms_key, or hand the rendered "
            "template to CloudFormation.",
        )
    check_requests(requests)
    done: list[str] = []
    with _accounted("made", requests.name, aws, done):
        present = _own_endpoint(aws, requests.name)
        if present is not None:
            _check_ready(present, requests)
        _make(aws, requests, present, done)
        _wait(aws, requests.name, watch or Watch(), config=requests.config_name)
        _scale(aws, requests, done)
        return Outcome(status(requests.name, aws), tuple(done))


def _accounted(word: str, name: str, aws: Aws, done: list[str]) -> AbstractContextManager[None]:
    """As `platforms.accounted`; what goes on is the endpoint's own change, which nobody here can stop."""

    def goes_on() -> str:
        changes = aws.unanswered and not aws.unanswered.startswith(("Describe", "List"))
        asked = f"whether {aws.unanswered} was done is not known; " if changes else ""
        found = aws.find(SAGEMAKER, "DescribeEndpoint", {"EndpointName": name})
        if found is None:
            return f"{asked}there is no endpoint {name}, and nothing goes on at SageMaker"
        now = str(found["EndpointStatus"])
        if now in MOVING:
            to = "" if now == "Deleting" else f", to {heads_for(found)}"
            return f"{asked}SageMaker goes on by itself: the endpoint {name} is {now}{to}"
        return (
            f"{asked}the endpoint {name} is {now} with {found['EndpointConfigName']}, and nothing goes on at SageMaker"
        )

    return accounted(word, done, goes_on)


def rollback(
    name: str,
    aws: Aws,
    *,
    may_serve: Callable[[ModelName, str], None],
    to: Requests | None = None,
    watch: Watch | None = None,
) -> Outcome:
    """Puts what was in service before back, at once, by one update, and waits until it is.

    `to` is what that was, as it is on record: what of it is gone is made again. Without it, it is the configuration that the
    one in service says it replaced. `may_serve` raises if its revision is not to be used any more.

    Raises:
        NothingCollected: there is no such endpoint, or no configuration before.
        Denied: it is not this deployment's; Revoked or what else `may_serve` raises.
        Busy, IntegrityError, WeighbridgeError: as `apply`.
    """
    done: list[str] = []
    with _accounted("made", name, aws, done):
        return _roll_back(name, aws, may_serve, to, (watch or Watch(), done))


def _roll_back(
    name: str,
    aws: Aws,
    may_serve: Callable[[ModelName, str], None],
    to: Requests | None,
    told: tuple[Watch, list[str]],
) -> Outcome:
    watch, done = told
    found = _own_endpoint(aws, name)
    if found is None:
        raise NothingCollected(f"there is no endpoint {name}")
    current = heads_for(found)
    # One that was stopped is taken up where it is: SageMaker went on with it.
    if str(found["EndpointStatus"]) in MOVING and (to is None or current != to.config_name):
        raise Busy(f"{name} is {found['EndpointStatus']}", hint="SageMaker takes no other change until that has ended.")
    if to is None:
        previous = _replaced(aws, name, current, may_serve)
    else:
        previous = to.config_name
        model, revision = to.reference
        may_serve(ModelName.parse(model), revision)
        check_requests(to)
        _ensure(aws, "Model", to.model, done)
        _ensure(aws, "EndpointConfig", to.config, done)
        for alarm in to.alarms:
            _put_alarm(aws, to, alarm, {}, done)
    if previous != current:
        aws.call(SAGEMAKER, "UpdateEndpoint", _at_once(aws, name, previous))
        done.append(f"the update of the endpoint {name} from {current} back to {previous}")
    _wait(aws, name, watch, config=previous)
    if to is not None:
        _scale(aws, to, done)
    return Outcome(status(name, aws), tuple(done))


def _replaced(aws: Aws, name: str, current: str, may_serve: Callable[[ModelName, str], None]) -> str:
    """The configuration that the one in service says it replaced."""
    previous = tags(aws, _config_arn(aws, current)).get(REPLACED_TAG, "")
    if not previous:
        raise NothingCollected(f"nothing was in service of {name} before {current}", hint="Apply another revision.")
    said = tags(aws, _config_arn(aws, previous))
    if said.get(OWNER_TAG) != name:
        raise Denied(f"the configuration {previous} is not of the deployment {name}", rules=("not-ours",))
    may_serve(ModelName.parse(said.get(MODEL_TAG, "")), said.get(REVISION_TAG, ""))
    return previous


def _at_once(aws: Aws, name: str, config: str) -> dict[str, object]:
    """The request that puts a configuration in service without waiting and without alarms."""
    routing = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    request: dict[str, object] = {
        "EndpointName": name,
        "EndpointConfigName": config,
        "DeploymentConfig": {
            "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 0}
        },
    }
    if _scaling_target(aws, name) is not None:
        request["RetainAllVariantProperties"] = True
    return request


def delete(name: str, aws: Aws, watch: Watch | None = None) -> Outcome:
    """Takes away the endpoint and all configurations, models, alarms and scaling that carry its tag, and nothing else.

    Raises:
        Denied: an endpoint of that name is not this deployment's; nothing was deleted.
        Busy, WeighbridgeError: as `apply`.
    """
    done: list[str] = []
    with _accounted("removed", name, aws, done):
        found = _own_endpoint(aws, name)
        if found is not None:
            if str(found["EndpointStatus"]) in MOVING - {"Deleting"}:
                raise Busy(f"{name} is {found['EndpointStatus']}", hint="It can be deleted when that has ended.")
            if _scaling_target(aws, name) is not None:
                aws.call(SCALING, "DeregisterScalableTarget", _scaled(name))
                done.append("its scaling")
            if str(found["EndpointStatus"]) != "Deleting":
                aws.call(SAGEMAKER, "DeleteEndpoint", {"EndpointName": name})
            _wait(aws, name, watch or Watch(), config="")
            done.append(f"the endpoint {name}")
        kept = remove_owned(name, aws, done)
    return Outcome(EndpointState(name, "Absent"), tuple(done), kept)


def prune(requests: Requests, aws: Aws) -> Outcome:
    """Takes away what only older versions of an endpoint had: configurations, models, alarms and policies that carry its tag.

    Raises:
        Busy: the endpoint does not serve what was requested; nothing was removed.
        Denied: it is not this deployment's. WeighbridgeError: the service refused.
    """
    done: list[str] = []
    with _accounted("removed", requests.name, aws, done):
        found = _own_endpoint(aws, requests.name)
        if found is None or not _serves(found, requests.config_name):
            now = "Absent" if found is None else str(found["EndpointStatus"])
            raise Busy(
                f"{requests.name} is {now} and does not serve {requests.config_name}",
                hint="What older versions had was left. Apply again when the endpoint is in service.",
            )
        alarms = (str(one["AlarmName"]) for one in (*requests.alarms, *requests.wake_alarms))
        keep = {requests.config_name, str(requests.model["ModelName"]), *alarms}
        remove_policies(requests, aws, done)
        kept = remove_owned(requests.name, aws, done, keep=keep)
        return Outcome(status(requests.name, aws), tuple(done), kept)


def _recorded_requests(deployment: Recorded) -> Requests:
    text = next((file.text for file in deployment.files if file.name == REQUESTS), "")
    if not text:
        raise ConfigError(f"the record of {deployment.name} holds no {REQUESTS}", hint="Plan it again.")
    try:
        requests = read_requests(text)
    except FormatError as error:
        raise ConfigError(f"{REQUESTS} of {deployment.name} cannot be read: {error.message}") from error
    if requests.name != deployment.name or requests.reference != (str(deployment.model_name), deployment.revision):
        raise ConfigError(f"{REQUESTS} of {deployment.name} is of another deployment than the record says")
    return requests


def _own_endpoint(aws: Aws, name: str) -> Answer | None:
    found = aws.find(SAGEMAKER, "DescribeEndpoint", {"EndpointName": name})
    if found is not None and tags(aws, str(found["EndpointArn"])).get(OWNER_TAG) != name:
        raise Denied(
            f"there is an endpoint {name} that weighbridge did not make",
            rules=("not-ours",),
            hint="Nothing was changed. Use another name.",
        )
    return found


def _check_ready(present: Answer, requests: Requests) -> None:
    now = str(present["EndpointStatus"])
    if now in BROKEN:
        raise WeighbridgeError(
            f"{requests.name} is {now}: {reason(present) or 'no reason given'}",
            hint="Look into its logs, then `weighbridge deploy delete` and apply again.",
        )
    if now in MOVING and heads_for(present) != requests.config_name:
        raise Busy(f"{requests.name} is {now}, to another configuration", hint="Apply when that has ended.")


def _make(aws: Aws, requests: Requests, present: Answer | None, done: list[str]) -> None:
    _ensure(aws, "Model", requests.model, done)
    current = str(present["EndpointConfigName"]) if present is not None else ""
    replaces = present is not None and heads_for(present) != requests.config_name
    _ensure(aws, "EndpointConfig", requests.config, done)
    if replaces:
        # Said on the configuration before it goes into service: a rollback then needs no other memory.
        arn = _config_arn(aws, requests.config_name)
        aws.call(SAGEMAKER, "AddTags", {"ResourceArn": arn, "Tags": [{"Key": REPLACED_TAG, "Value": current}]})
    for alarm in requests.alarms:
        _put_alarm(aws, requests, alarm, {}, done)
    if present is None:
        aws.call(SAGEMAKER, "CreateEndpoint", sent(requests.endpoint, {}))
        done.append(f"the endpoint {requests.name}")
    elif replaces:
        aws.call(SAGEMAKER, "UpdateEndpoint", sent(requests.update, {}))
        done.append(f"the update of the endpoint {requests.name} from {current} to {requests.config_name}")


def _ensure(aws: Aws, what: str, request: Request, done: list[str]) -> None:
    key = f"{what}Name"
    name = str(request[key])
    found = aws.find(SAGEMAKER, f"Describe{what}", {key: name})
    if found is None:
        aws.call(SAGEMAKER, f"Create{what}", sent(request, {}))
        done.append(f"the {'configuration' if what == 'EndpointConfig' else 'model'} {name}")
        return
    owner = next(str(one["Value"]) for one in entries(request["Tags"]) if one["Key"] == OWNER_TAG)
    if tags(aws, str(found[f"{what}Arn"])).get(OWNER_TAG) != owner:
        raise Denied(f"{name} is there and was not made for {owner}", rules=("not-ours",), hint="Use another name.")
    expected = {member: value for member, value in request.items() if member != "Tags"}
    if different := differences(expected, found, ""):
        raise IntegrityError(
            f"{name} is not what its name stands for: {', '.join(different[:5])}",
            hint="Somebody made it under a name that is not theirs. Delete it, and look who did.",
        )


def _put_alarm(aws: Aws, requests: Requests, alarm: Request, policies: Mapping[str, str], done: list[str]) -> None:
    name = str(alarm["AlarmName"])
    found = aws.call(CLOUDWATCH, "DescribeAlarms", {"AlarmNames": [name]}).get("MetricAlarms", ())
    request = sent(alarm, policies)
    if found:
        if alarm_tags(aws, str(found[0]["AlarmArn"])).get(OWNER_TAG) != requests.name:
            raise Denied(f"there is an alarm {name} that weighbridge did not make", rules=("not-ours",))
        expected = {key: value for key, value in request.items() if key != "Tags"}
        if not differences(expected, found[0], ""):
            return
        request = expected
    aws.call(CLOUDWATCH, "PutMetricAlarm", request)
    done.append(f"the alarm {name}")


def _scale(aws: Aws, requests: Requests, done: list[str]) -> None:
    """Scaling as asked for; scaling that is asked for no more is ended."""
    target = requests.scaling_target
    present = _scaling_target(aws, requests.name)
    if target is None:
        if present is not None:
            aws.call(SCALING, "DeregisterScalableTarget", _scaled(requests.name))
            done.append("scaling ended")
        return
    if present is None or differences(target, present, ""):
        aws.call(SCALING, "RegisterScalableTarget", sent(target, {}))
        done.append(f"scaling from {target['MinCapacity']} to {target['MaxCapacity']} instances")
    arns: dict[str, str] = {}
    for policy in requests.scaling_policies:
        name = str(policy["PolicyName"])
        listed = aws.pages(
            SCALING,
            "DescribeScalingPolicies",
            {"ServiceNamespace": "sagemaker", "ResourceId": resource_id(requests.name), "PolicyNames": [name]},
            "ScalingPolicies",
        )
        found = next(iter(listed), None)
        if found is None or differences(policy, found, ""):
            found = aws.call(SCALING, "PutScalingPolicy", sent(policy, {}))
            done.append(f"the scaling policy {name}")
        arns[name.rsplit("-", 1)[1]] = str(found["PolicyARN"])
    for alarm in requests.wake_alarms:
        _put_alarm(aws, requests, alarm, {WAKE: arns[WAKE]}, done)


def _scaled(name: str) -> dict[str, object]:
    return {"ServiceNamespace": "sagemaker", "ResourceId": resource_id(name), "ScalableDimension": DIMENSION}


def _scaling_target(aws: Aws, name: str) -> Answer | None:
    request = {"ServiceNamespace": "sagemaker", "ResourceIds": [resource_id(name)], "ScalableDimension": DIMENSION}
    found: Answer | None = next(iter(aws.pages(SCALING, "DescribeScalableTargets", request, "ScalableTargets")), None)
    return found


def _wait(aws: Aws, name: str, watch: Watch, *, config: str) -> None:
    """Returns when the endpoint serves a configuration, or is gone where none is named."""
    begun, moved, pause = watch.clock(), False, 1.0
    while True:
        found = aws.find(SAGEMAKER, "DescribeEndpoint", {"EndpointName": name})
        now = "Absent" if found is None else str(found["EndpointStatus"])
        waited = watch.clock() - begun
        if watch.progress is not None:
            watch.progress(now, waited)
        if found is None:
            if config:
                raise WeighbridgeError(f"{name} is gone: somebody deleted it meanwhile")
            return
        moved = moved or now in MOVING
        # An answer may be older than the request before it: what has not moved yet is not taken for its end.
        if now not in MOVING and config and (moved or waited >= watch.settle_seconds or _serves(found, config)):
            _check_served(name, found, config)
            return
        if waited >= watch.timeout_seconds:
            raise WeighbridgeError(
                f"{name} is still {now} after {waited:.0f} s",
                hint="Nothing was undone: it goes on. `weighbridge deploy status` tells how it ends.",
            )
        watch.sleep(min(pause, watch.poll_seconds))
        pause *= 2


def _serves(found: Answer, config: str) -> bool:
    return str(found["EndpointStatus"]) == "InService" and str(found["EndpointConfigName"]) == config


def _check_served(name: str, found: Answer, config: str) -> None:
    now, why = str(found["EndpointStatus"]), reason(found)
    if _serves(found, config):
        return
    if now == "InService":
        raise WeighbridgeError(
            f"{name} was rolled back to {found['EndpointConfigName']}: {why or 'an alarm tripped'}",
            hint="What was in service before is in service. Look into the alarms and the new instances' logs.",
        )
    raise WeighbridgeError(f"{name} is {now}: {why or 'no reason given'}", hint="Look into its logs in CloudWatch.")


def _config_arn(aws: Aws, name: str) -> str:
    found = aws.find(SAGEMAKER, "DescribeEndpointConfig", {"EndpointConfigName": name})
    if found is None:
        raise NothingCollected(f"the configuration {name} is gone", hint="Apply the revision again.")
    return str(found["EndpointConfigArn"])
