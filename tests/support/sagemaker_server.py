"""A real HTTP server that answers as SageMaker, CloudWatch and application autoscaling do, keeps state, and takes no wrong request.

It checks each request by the services' own models (every enum, pattern, range) and by rules that are in no model and that the
services' documentation names. It is not AWS: nothing is started, no role is assumed, no object is read, and what AWS refuses for
other reasons it does not know of. `moto` was not used: it forgets network isolation, and takes what AWS does not.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from weighbridge.deploy.service_model import ServiceModel, load_service_model

ACCOUNT = "111122223333"
REGION = "us-east-1"
TARGETS = {
    "SageMaker": "sagemaker",
    "AnyScaleFrontendService": "application-autoscaling",
    "GraniteServiceVersion20100801": "cloudwatch",
}
CHANGING = ("Create", "Update", "Delete", "Add", "Put", "Register", "Deregister")
LOCAL_DISK = re.compile(r"ml\.(g4dn|g5|g6|g6e|p4d|p4de|p5|p5e|p5en|p6-b200|p6-b300)\.")


class Refused(Exception):
    """What the service says no with."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def invalid(message: str) -> Refused:
    """The error that SageMaker has for nearly everything."""
    return Refused("ValidationException", message)


@dataclass
class Endpoint:
    """An endpoint and the change it is in."""

    config: str
    status: str
    tags: dict[str, str]
    deployment: Mapping[str, Any] = field(default_factory=dict)
    pending: str = ""
    polls: int = 0
    ends: str = "ok"
    reason: str = ""


class SageMakerServer:
    """One account in one region. `fate` decides how the next change ends: `ok`, `fail` (instances do not start) or `alarm`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._specs: dict[str, ServiceModel] = {name: load_service_model(name) for name in TARGETS.values()}
        self.reset()

    def reset(self) -> None:
        """An account that holds nothing."""
        self.models: dict[str, dict[str, Any]] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.alarms: dict[str, dict[str, Any]] = {}
        self.targets: dict[str, dict[str, Any]] = {}
        self.policies: dict[tuple[str, str], dict[str, Any]] = {}
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.fate = "ok"
        self.polls = 2
        self.throttle = 0
        """So many of the next requests are refused for being too many."""
        self.refuse_after: int | None = None
        """After so many changing requests all further ones are refused, as where a caller was killed."""

    def __enter__(self) -> Self:
        server = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, answer = server.answer(self.headers, body)
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def endpoints_by_service(self) -> dict[str, str]:
        """Addresses for `Aws`."""
        return dict.fromkeys(self._specs, self.address)

    def changes(self) -> list[str]:
        """Operations that changed something, in order."""
        return [operation for _, operation, _ in self.requests if operation.startswith(CHANGING)]

    def answer(self, headers: Any, body: bytes) -> tuple[int, bytes]:
        """Status and body for a request."""
        prefix, operation = headers["X-Amz-Target"].split(".")
        service = TARGETS[prefix]
        try:
            scope = {"cloudwatch": "monitoring"}.get(service, service)
            if f"/{REGION}/{scope}/aws4_request" not in headers.get("Authorization", ""):
                raise Refused("IncompleteSignature", "the request is not signed for this service and region")
            with self.lock:
                said = self._do(service, operation, json.loads(body))
        except Refused as error:
            return error.status, json.dumps({"__type": error.code, "message": error.message}).encode()
        return 200, json.dumps(said).encode()

    def _do(self, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        wrong = self._specs[service].violations(operation, request)
        if wrong:
            raise invalid("; ".join(str(one) for one in wrong))
        if self.throttle > 0:
            self.throttle -= 1
            raise Refused("ThrottlingException", "Rate exceeded")
        changes = operation.startswith(CHANGING)
        if changes and self.refuse_after is not None and len(self.changes()) >= self.refuse_after:
            raise Refused("AccessDeniedException", f"not authorized to perform {operation}")
        self.requests.append((service, operation, request))
        method = getattr(self, "do_" + re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())
        return method(request) or {}

    # --- SageMaker ---------------------------------------------------------------------------------

    def do_create_model(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["ModelName"]
        if name in self.models:
            raise invalid(f'Cannot create already existing model "{arn("model", name)}".')
        source = request["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]
        if source["S3DataType"] == "S3Prefix" and not source["S3Uri"].endswith("/"):
            raise invalid("S3Uri of an S3Prefix must end with a forward slash")
        self.models[name] = request
        return {"ModelArn": arn("model", name)}

    def do_describe_model(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["ModelName"]
        if name not in self.models:
            raise invalid(f'Could not find model "{arn("model", name)}".')
        said = {key: value for key, value in self.models[name].items() if key != "Tags"}
        return {**said, "ModelArn": arn("model", name), "CreationTime": 1.0}

    def do_list_models(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._listed(request, self.models, "Models", "Model")

    def do_delete_model(self, request: dict[str, Any]) -> None:
        if self.models.pop(request["ModelName"], None) is None:
            raise invalid("Could not find model")

    def do_create_endpoint_config(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["EndpointConfigName"]
        if name in self.configs:
            raise invalid(f'Cannot create already existing endpoint configuration "{name}".')
        for variant in request["ProductionVariants"]:
            if variant["ModelName"] not in self.models:
                raise invalid(f'Could not find model "{variant["ModelName"]}".')
            if LOCAL_DISK.match(variant["InstanceType"]) and "VolumeSizeInGB" in variant:
                raise invalid(f"VolumeSizeInGB is not allowed for the selected Instance type {variant['InstanceType']}")
        self.configs[name] = request
        return {"EndpointConfigArn": arn("endpoint-config", name)}

    def do_describe_endpoint_config(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["EndpointConfigName"]
        if name not in self.configs:
            raise invalid(f'Could not find endpoint configuration "{name}".')
        said = {key: value for key, value in self.configs[name].items() if key != "Tags"}
        return {**said, "EndpointConfigArn": arn("endpoint-config", name), "CreationTime": 1.0}

    def do_list_endpoint_configs(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._listed(request, self.configs, "EndpointConfigs", "EndpointConfig")

    def do_delete_endpoint_config(self, request: dict[str, Any]) -> None:
        name = request["EndpointConfigName"]
        if any(name in (one.config, one.pending) and one.status != "InService" for one in self.endpoints.values()):
            raise invalid("Cannot delete a configuration of an endpoint that is changing")
        if self.configs.pop(name, None) is None:
            raise invalid("Could not find endpoint configuration")

    def _listed(self, request: dict[str, Any], things: Mapping[str, Any], member: str, what: str) -> dict[str, Any]:
        """Two at a time, so that there are pages."""
        names = [name for name in sorted(things) if request.get("NameContains", "") in name]
        begin = int(request.get("NextToken", "0"))
        path = {"Model": "model", "EndpointConfig": "endpoint-config"}[what]
        said: dict[str, Any] = {
            member: [
                {f"{what}Name": name, f"{what}Arn": arn(path, name), "CreationTime": 1.0}
                for name in names[begin : begin + 2]
            ]
        }
        return said if begin + 2 >= len(names) else {**said, "NextToken": str(begin + 2)}

    def do_create_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["EndpointName"]
        if name.lower() in {one.lower() for one in self.endpoints}:
            raise invalid(f'Cannot create already existing endpoint "{name}".')
        self._check_deployment(request)
        self.endpoints[name] = Endpoint(
            config=request["EndpointConfigName"],
            status="Creating",
            tags=pairs(request.get("Tags", ())),
            deployment=request.get("DeploymentConfig", {}),
            polls=self.polls,
            ends="fail" if self.fate == "fail" else "ok",
        )
        return {"EndpointArn": arn("endpoint", name)}

    def do_update_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        endpoint = self._endpoint(request["EndpointName"])
        if endpoint.status != "InService":
            raise invalid(f"Cannot update in-progress endpoint ({endpoint.status}).")
        if request["EndpointConfigName"] == endpoint.config:
            raise invalid("Cannot update an endpoint to the configuration it has")
        self._check_deployment(request)
        endpoint.pending, endpoint.status = request["EndpointConfigName"], "Updating"
        endpoint.polls, endpoint.ends = self.polls, self.fate
        endpoint.deployment = request.get("DeploymentConfig", {})
        return {"EndpointArn": arn("endpoint", request["EndpointName"])}

    def _check_deployment(self, request: dict[str, Any]) -> None:
        if request["EndpointConfigName"] not in self.configs:
            raise invalid("Could not find endpoint configuration")
        deployment = request.get("DeploymentConfig", {})
        for alarm in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", ()):
            if alarm["AlarmName"] not in self.alarms:
                raise invalid(f"The alarm {alarm['AlarmName']} does not exist")
        routing = deployment.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {})
        if ("CanarySize" in routing) != (routing.get("Type") == "CANARY"):
            raise invalid("CanarySize goes with CANARY and nothing else")
        if ("LinearStepSize" in routing) != (routing.get("Type") == "LINEAR"):
            raise invalid("LinearStepSize goes with LINEAR and nothing else")

    def do_describe_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["EndpointName"]
        self._step(name)
        endpoint = self._endpoint(name)
        said: dict[str, Any] = {
            "EndpointName": name,
            "EndpointArn": arn("endpoint", name),
            "EndpointConfigName": endpoint.config,
            "EndpointStatus": endpoint.status,
            "CreationTime": 1.0,
            "LastModifiedTime": time.time(),
        }
        if endpoint.reason:
            said["FailureReason"] = endpoint.reason
        if endpoint.pending:
            said["PendingDeploymentSummary"] = {"EndpointConfigName": endpoint.pending}
        variants = self.configs.get(endpoint.config, {}).get("ProductionVariants", ())
        said["ProductionVariants"] = [
            {"VariantName": one["VariantName"], "CurrentInstanceCount": one["InitialInstanceCount"]} for one in variants
        ]
        return said

    def _step(self, name: str) -> None:
        endpoint = self.endpoints.get(name)
        if endpoint is None or endpoint.status not in ("Creating", "Updating", "RollingBack", "Deleting"):
            return
        endpoint.polls -= 1
        if endpoint.polls > 0:
            return
        if endpoint.status == "Deleting":
            del self.endpoints[name]
        elif endpoint.status == "Creating" and endpoint.ends == "fail":
            endpoint.status, endpoint.reason = "Failed", "The primary container did not pass the ping health check."
        elif endpoint.status == "Updating" and endpoint.ends != "ok":
            endpoint.status, endpoint.polls = "RollingBack", 1
            endpoint.reason = "Alarms were tripped." if endpoint.ends == "alarm" else "New instances did not start."
        elif endpoint.status == "RollingBack":
            endpoint.status, endpoint.pending = "InService", ""
        else:
            endpoint.config = endpoint.pending or endpoint.config
            endpoint.status, endpoint.pending, endpoint.reason = "InService", "", ""

    def do_delete_endpoint(self, request: dict[str, Any]) -> None:
        endpoint = self._endpoint(request["EndpointName"])
        if endpoint.status in ("Creating", "Updating", "RollingBack"):
            raise invalid("Cannot delete an endpoint that is changing")
        endpoint.status, endpoint.polls = "Deleting", self.polls

    def _endpoint(self, name: str) -> Endpoint:
        if name not in self.endpoints:
            raise invalid(f'Could not find endpoint "{arn("endpoint", name)}".')
        return self.endpoints[name]

    def do_list_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"Tags": [{"Key": key, "Value": value} for key, value in self._tagged(request["ResourceArn"]).items()]}

    def do_add_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        kind, name = request["ResourceArn"].split(":", 5)[5].split("/", 1)
        added = pairs(request["Tags"])
        if kind == "endpoint":
            self.endpoints[name].tags |= added
        else:
            thing = (self.configs if kind == "endpoint-config" else self.models)[name]
            kept = pairs(thing.get("Tags", ())) | added
            thing["Tags"] = [{"Key": key, "Value": value} for key, value in kept.items()]
        return {"Tags": request["Tags"]}

    def _tagged(self, resource: str) -> dict[str, str]:
        kind, name = resource.split(":", 5)[5].split("/", 1)
        if kind == "endpoint" and name in self.endpoints:
            return self.endpoints[name].tags
        thing = {"endpoint-config": self.configs, "model": self.models}.get(kind, {}).get(name)
        if thing is None:
            raise invalid(f"Could not find {resource}")
        return pairs(thing.get("Tags", ()))

    # --- CloudWatch --------------------------------------------------------------------------------

    def do_put_metric_alarm(self, request: dict[str, Any]) -> None:
        present = self.alarms.get(request["AlarmName"])
        if present is not None:
            # CloudWatch leaves the tags of an alarm that is there as they are.
            request = {**request, "Tags": present.get("Tags", [])}
        for action in request.get("AlarmActions", ()):
            if action not in [one["PolicyARN"] for one in self.policies.values()]:
                raise Refused("ValidationError", f"there is no action {action}")
        self.alarms[request["AlarmName"]] = request

    def do_describe_alarms(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted = request.get("AlarmNames")
        found = [
            {**{key: value for key, value in alarm.items() if key != "Tags"}, "AlarmArn": alarm_arn(name)}
            for name, alarm in sorted(self.alarms.items())
            if (wanted is None or name in wanted) and name.startswith(request.get("AlarmNamePrefix", ""))
        ]
        return {"MetricAlarms": found, "CompositeAlarms": []}

    def do_list_tags_for_resource(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["ResourceARN"].rsplit(":", 1)[1]
        if name not in self.alarms:
            raise Refused("ResourceNotFoundException", "no such alarm", 404)
        return {"Tags": self.alarms[name].get("Tags", [])}

    def do_delete_alarms(self, request: dict[str, Any]) -> None:
        for name in request["AlarmNames"]:
            self.alarms.pop(name, None)

    # --- application autoscaling -------------------------------------------------------------------

    def do_register_scalable_target(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["ResourceId"].split("/")[1]
        if self.endpoints.get(name) is None or self.endpoints[name].status != "InService":
            raise invalid(f"the endpoint {name} is not InService")
        self.targets[request["ResourceId"]] = self.targets.get(request["ResourceId"], {}) | request
        return {"ScalableTargetARN": f"arn:aws:application-autoscaling:{REGION}:{ACCOUNT}:scalable-target/0"}

    def do_describe_scalable_targets(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted = request.get("ResourceIds")
        found = [one for name, one in self.targets.items() if wanted is None or name in wanted]
        return {"ScalableTargets": [{**one, "RoleARN": "arn", "CreationTime": 1.0} for one in found]}

    def do_deregister_scalable_target(self, request: dict[str, Any]) -> None:
        if self.targets.pop(request["ResourceId"], None) is None:
            raise Refused("ObjectNotFoundException", "no scalable target is registered")
        self.policies = {key: one for key, one in self.policies.items() if key[0] != request["ResourceId"]}

    def do_put_scaling_policy(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["ResourceId"] not in self.targets:
            raise Refused("ObjectNotFoundException", "no scalable target is registered")
        policy_arn = f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:scalingPolicy:0:policyName/{request['PolicyName']}"
        self.policies[request["ResourceId"], request["PolicyName"]] = {**request, "PolicyARN": policy_arn}
        return {"PolicyARN": policy_arn, "Alarms": []}

    def do_delete_scaling_policy(self, request: dict[str, Any]) -> None:
        if self.policies.pop((request["ResourceId"], request["PolicyName"]), None) is None:
            raise Refused("ObjectNotFoundException", "no such scaling policy")

    def do_describe_scaling_policies(self, request: dict[str, Any]) -> dict[str, Any]:
        found = [
            one
            for (resource, name), one in self.policies.items()
            if resource == request.get("ResourceId", resource) and name in request.get("PolicyNames", [name])
        ]
        return {"ScalingPolicies": [{**one, "CreationTime": 1.0} for one in found]}


def arn(kind: str, name: str) -> str:
    """The ARN of something of SageMaker."""
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name}"


def alarm_arn(name: str) -> str:
    """The ARN of an alarm."""
    return f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"


def pairs(tags: Any) -> dict[str, str]:
    """Tags as a mapping."""
    return {one["Key"]: one["Value"] for one in tags}
