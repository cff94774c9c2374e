"""Forms of requests to SageMaker: as they are sent, and held against what the service says is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from weighbridge.deploy.targets.sagemaker_requests import Reference, Request, Value


def entries(value: Value) -> Sequence[Mapping[str, Value]]:
    """The objects of a list; none of anything else."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return ()
    return [one for one in value if isinstance(one, Mapping)]


def sent(value: Request, policies: Mapping[str, str]) -> dict[str, object]:
    """A request as it is sent: a reference is the address of the policy of that name."""
    return {key: _plain(item, policies) for key, item in value.items()}


def _plain(value: Value, policies: Mapping[str, str]) -> object:
    if isinstance(value, Reference):
        return policies[value.name]
    if isinstance(value, Mapping):
        return {key: _plain(item, policies) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item, policies) for item in value]
    return value


def differences(expected: object, found: object, path: str = "") -> list[str]:
    """Members, below `path`, that are not as expected. What a service adds beside them is no difference, except to an environment."""
    if isinstance(expected, Mapping):
        if not isinstance(found, Mapping):
            return [path]
        keys = set(expected) | (set(found) if path.endswith("Environment") else set())
        return [
            one
            for key in sorted(keys)
            for one in differences(expected.get(key), found.get(key), f"{path}.{key}" if path else str(key))
        ]
    if isinstance(expected, Sequence) and not isinstance(expected, str):
        if not isinstance(found, Sequence) or isinstance(found, str) or len(found) != len(expected):
            return [path]
        # Subnets, groups and dimensions are sets to the service: it may tell them in another order.
        pairs = zip(sorted(expected, key=_order), sorted(found, key=_order), strict=True)
        return [one for index, (a, b) in enumerate(pairs) for one in differences(a, b, f"{path}[{index}]")]
    return [] if expected == found else [path]


def _order(value: object) -> str:
    """What entries of a list are told apart by."""
    if isinstance(value, Mapping):
        return str(next((value[key] for key in ("Name", "VariantName", "AlarmName") if key in value), ""))
    return str(value)
