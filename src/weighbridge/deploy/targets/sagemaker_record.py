"""The requests of an endpoint as a file of the plan: what is recorded of a deployment, and applied again by a rollback.

A file that comes back from a ledger is checked like any other: it has exactly the parts that are written here, and the services'
models are asked before anything is sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from weighbridge.core import canonical
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import Malformed
from weighbridge.deploy.targets.sagemaker_requests import Reference, Request, Requests, Value

FORMAT: Final = "weighbridge.sagemaker-requests/1"
_KINDS: Final = ("parameter", "policy")
_ONE: Final = ("model", "config", "endpoint")
_MANY: Final = ("alarms", "wake_alarms", "scaling_policies")


def requests_text(requests: Requests) -> str:
    """The file's text."""
    document: dict[str, JsonValue] = {
        "format": FORMAT,
        "name": requests.name,
        "model": _written(requests.model),
        "config": _written(requests.config),
        "endpoint": _written(requests.endpoint),
        "alarms": [_written(one) for one in requests.alarms],
        "wake_alarms": [_written(one) for one in requests.wake_alarms],
        "scaling_target": None if requests.scaling_target is None else _written(requests.scaling_target),
        "scaling_policies": [_written(one) for one in requests.scaling_policies],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def read_requests(text: str) -> Requests:
    """The requests that a file holds.

    Raises:
        Malformed, LimitExceeded: it is not what `requests_text` writes.
    """
    document = canonical.decode_object(text.encode("utf-8"), what="the file of requests")
    if set(document) != {"format", "name", *_ONE, *_MANY, "scaling_target"} or document["format"] != FORMAT:
        raise Malformed("the file of requests has other parts than this version writes")
    name, target = document["name"], document["scaling_target"]
    if not isinstance(name, str):
        raise Malformed("the file of requests names no deployment")
    requests = Requests(
        name=name,
        model=_request(document, "model"),
        config=_request(document, "config"),
        endpoint=_request(document, "endpoint"),
        alarms=_requests(document, "alarms"),
        wake_alarms=_requests(document, "wake_alarms"),
        scaling_target=None if target is None else _request(document, "scaling_target"),
        scaling_policies=_requests(document, "scaling_policies"),
    )
    if requests.endpoint.get("EndpointName") != name or requests.endpoint.get(
        "EndpointConfigName"
    ) != requests.config.get("EndpointConfigName"):
        raise Malformed("the parts of the file of requests are not of one deployment")
    return requests


def _written(value: Value) -> JsonValue:
    if isinstance(value, Reference):
        return {f"weighbridge:{value.kind}": value.name}
    if isinstance(value, Mapping):
        return {key: _written(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_written(item) for item in value]
    return value


def _requests(document: Mapping[str, JsonValue], part: str) -> tuple[Request, ...]:
    entries = document[part]
    if not isinstance(entries, list):
        raise Malformed(f"{part} of the file of requests is no list")
    return tuple(_request({part: one}, part) for one in entries)


def _request(document: Mapping[str, JsonValue], part: str) -> Request:
    value = _read(document[part])
    if not isinstance(value, Mapping):
        raise Malformed(f"{part} of the file of requests is no object")
    return value


def _read(value: JsonValue) -> Value:
    if isinstance(value, Mapping):
        for kind in _KINDS:
            name = value.get(f"weighbridge:{kind}")
            if isinstance(name, str) and len(value) == 1:
                return Reference(kind, name)
        return {key: _read(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_read(item) for item in value]
    return value
