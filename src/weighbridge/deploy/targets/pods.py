"""Parts of Kubernetes manifests: a pod whose init container proves the model, and an engine that can only read it.

The engine's container has no credentials, no service account's token, a root file system it cannot write to, and the model
mounted read-only. A NetworkPolicy cannot tell an init container from the pod's others: where no egress at all is wanted once
the model is there, the model is fetched by a Job into a claim (`storage="claim"`).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import ConfigError
from weighbridge.deploy.sizing import (
    GIB,
    cpu_memory_bytes,
    fetch_seconds,
    host_memory_bytes,
    startup_seconds,
    volume_bytes,
)
from weighbridge.deploy.targets.choices import MODELS, Chosen, ServingOptions, label, slug
from weighbridge.deploy.targets.serving import CACHE, Serving

Object = dict[str, JsonValue]

PROBE_SECONDS: Final = 10
MAX_REPLICAS: Final = 1000
STATE: Final = "/state"
TRUST_FOLDER: Final = "/etc/weighbridge"
TRUST_KEY: Final = "trust.json"
IDENTITY_FOLDER: Final = "/var/run/secrets/store"
STORAGES: Final = ("node", "claim")
_ROLE = re.compile(r"arn:aws[a-z-]{0,20}:iam::\d{12}:role/[\w+=,.@/-]{1,512}", re.ASCII)
_RESOURCE = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,250}[a-z0-9])?/[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class PodOptions(ServingOptions):
    """What can be chosen of an engine in Kubernetes."""

    namespace: str = "models"
    """The namespace of everything that is made."""
    replicas: int = 1
    """How many pods serve."""
    storage: str = "node"
    """`node`: each pod fetches into a volume of its own. `claim`: a Job fetches into a claim, and pods have no egress."""
    claim_class: str = ""
    """The storage class of the claim; the cluster's default when empty."""
    claim_access: str = "ReadWriteOnce"
    """How the claim is mounted; replicas on several nodes need `ReadWriteMany`."""
    store_cidrs: tuple[str, ...] = ()
    """Addresses of the store (and of the service that gives credentials), for the NetworkPolicy."""
    store_port: int = 443
    """The store's port, for the NetworkPolicy."""
    role_arn: str = ""
    """An AWS role that the fetch assumes by a projected token; the engine does not get it."""
    credentials_secret: str = ""
    """A Secret with the store's credentials as variables, for the fetch alone."""
    trust_config_map: str = "weighbridge-trust"
    """A ConfigMap with `trust.json`, where no trust file was given."""
    state_claim: str = ""
    """A claim that keeps what was seen of the index from start to start."""
    clients: tuple[str, ...] = ()
    """Namespaces whose pods may call; the deployment's own alone when empty."""
    gpu_resource: str = "nvidia.com/gpu"
    """What the cluster calls a device."""
    in_place: bool = False
    """Whether a roll-out stops an old pod before it starts a new one, where there is no room for one more."""


def check_pods(options: PodOptions) -> None:
    """Returns when what was chosen of Kubernetes can be.

    Raises:
        ConfigError: it cannot.
    """
    label(options.namespace, "a namespace")
    for namespace in options.clients:
        label(namespace, "a namespace")
    for name, what in (
        (options.trust_config_map, "a ConfigMap"),
        (options.credentials_secret, "a Secret"),
        (options.state_claim, "a claim"),
        (options.claim_class, "a storage class"),
    ):
        if name:
            label(name.replace(".", "-"), what)
    if options.storage not in STORAGES:
        raise ConfigError(f"{options.storage!r:.40} is no storage", hint=f"One of {', '.join(STORAGES)}.")
    if options.claim_access not in ("ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"):
        raise ConfigError(f"{options.claim_access!r:.40} is no way to mount a claim")
    if not 0 <= options.replicas <= MAX_REPLICAS or not 1 <= options.store_port <= 65535:
        raise ConfigError("the number of replicas or the store's port cannot be")
    if options.role_arn and not _ROLE.fullmatch(options.role_arn):
        raise ConfigError(f"{options.role_arn!r:.120} is no role", hint="arn:aws:iam::<12 digits>:role/<name>")
    if not _RESOURCE.fullmatch(options.gpu_resource):
        raise ConfigError(f"{options.gpu_resource!r:.120} is no resource", hint="Write nvidia.com/gpu.")
    check_blocks(options.store_cidrs)


def check_blocks(cidrs: Sequence[str]) -> None:
    """Returns when all are blocks of addresses.

    Raises:
        ConfigError: one is none.
    """
    for cidr in cidrs:
        try:
            ipaddress.ip_network(cidr)
        except ValueError as error:
            raise ConfigError(f"{cidr!r:.60} is no block of addresses", hint="Write 10.0.0.0/24.") from error


def labels(chosen: Chosen, role: str = "engine") -> Object:
    """Labels by which a deployment's pods are found."""
    return {
        "app.kubernetes.io/name": chosen.engine.name,
        "app.kubernetes.io/instance": chosen.name,
        "app.kubernetes.io/component": role,
        "app.kubernetes.io/managed-by": "weighbridge",
    }


def selector(chosen: Chosen, role: str = "engine") -> Object:
    """The labels that pods are selected by: those that stay when the engine is exchanged for another."""
    return {"app.kubernetes.io/instance": chosen.name, "app.kubernetes.io/component": role}


def metadata(chosen: Chosen, options: PodOptions, name: str = "", role: str = "engine") -> Object:
    """A part's name, namespace, labels, and annotations that say which revision it is about."""
    model = chosen.deployable
    return {
        "name": name or chosen.name,
        "namespace": options.namespace,
        "labels": labels(chosen, role),
        "annotations": {
            "weighbridge.dev/model": model.reference,
            "weighbridge.dev/channel": model.channel,
            "weighbridge.dev/manifest-sha256": model.manifest_digest,
            "weighbridge.dev/prefix": model.prefix,
        },
    }


def pod_spec(chosen: Chosen, options: PodOptions, serving: Serving) -> Object:
    """The engine's pod; with `storage="node"` it begins by fetching the model."""
    spec: Object = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(options),
        "terminationGracePeriodSeconds": 120,
    }
    if options.storage == "node":
        spec["initContainers"] = [fetch_container(chosen, options)]
    spec["containers"] = [engine_container(chosen, options, serving)]
    spec["volumes"] = volumes(chosen, options, serving, fetches=options.storage == "node")
    if chosen.on_gpus:
        spec["tolerations"] = [{"key": options.gpu_resource, "operator": "Exists", "effect": "NoSchedule"}]
    return spec


def fetch_container(chosen: Chosen, options: PodOptions) -> Object:
    """`weighbridge fetch`: the only container that knows where the store is."""
    environment: list[JsonValue] = [
        variable("WEIGHBRIDGE_TRUST", f"{TRUST_FOLDER}/{TRUST_KEY}"),
        variable("WEIGHBRIDGE_STATE", STATE),
        variable("HOME", "/tmp"),  # noqa: S108 (a volume of the pod's own)
    ]
    if chosen.trust_digest:
        environment.insert(1, variable("WEIGHBRIDGE_TRUST_SHA256", chosen.trust_digest))
    mounts: list[JsonValue] = [
        mount("models", MODELS),
        mount("trust", TRUST_FOLDER, read_only=True),
        mount("state", STATE),
        mount("fetch-tmp", "/tmp"),  # noqa: S108
    ]
    if options.role_arn:
        environment += [
            variable("AWS_ROLE_ARN", options.role_arn),
            variable("AWS_WEB_IDENTITY_TOKEN_FILE", f"{IDENTITY_FOLDER}/token"),
        ]
        mounts.append(mount("identity", IDENTITY_FOLDER, read_only=True))
    container: Object = {
        "name": "fetch",
        "image": options.fetch_image,
        "args": ["fetch", chosen.deployable.reference, chosen.folder],
        "env": environment,
        "volumeMounts": mounts,
        "resources": resources(cpu="1", memory_bytes=2 * GIB, cpu_limit="4"),
        "securityContext": container_security(),
    }
    if options.credentials_secret:
        container["envFrom"] = [{"secretRef": {"name": options.credentials_secret}}]
    return container


def engine_container(chosen: Chosen, options: PodOptions, serving: Serving, *, name: str = "engine") -> Object:
    """The engine, with the model mounted read-only and nothing else to read."""
    mounts: list[JsonValue] = [
        mount("models", MODELS, read_only=True),
        mount("cache", CACHE),
        mount("tmp", "/tmp"),  # noqa: S108
        mount("shm", "/dev/shm"),  # noqa: S108
    ]
    mounts += [mount("files", folder, read_only=True) for folder in sorted(_folders(serving))]
    container: Object = {"name": name, "image": options.image}
    if serving.command:
        container["command"] = list(serving.command)
    container |= {
        "args": list(serving.arguments),
        "env": [variable(key, value) for key, value in sorted(serving.environment.items())],
        "ports": [{"name": "http", "containerPort": serving.port, "protocol": "TCP"}],
        **probes(chosen, serving),
        "resources": engine_resources(chosen, options),
        "volumeMounts": mounts,
        "securityContext": container_security(),
    }
    return container


def engine_resources(chosen: Chosen, options: PodOptions) -> Object:
    """What the engine asks for: its devices, and memory by the model's size."""
    if not chosen.on_gpus:
        return resources(cpu="4", memory_bytes=cpu_memory_bytes(chosen.deployable))
    devices = chosen.layout.devices
    return resources(
        cpu=str(4 * devices),
        memory_bytes=host_memory_bytes(chosen.deployable, devices) + shm_bytes(chosen),
        extended={options.gpu_resource: str(devices)},
    )


def resources(*, cpu: str, memory_bytes: int, cpu_limit: str = "", extended: Mapping[str, str] | None = None) -> Object:
    """Requests and limits; memory is the same in both, so that nothing is evicted for having used what it was given."""
    memory = quantity(memory_bytes)
    more = dict(extended or {})
    limits: Object = {"memory": memory, **more}
    if cpu_limit:
        limits["cpu"] = cpu_limit
    return {"requests": {"cpu": cpu, "memory": memory, **more}, "limits": limits}


def probes(chosen: Chosen, serving: Serving) -> Object:
    """Start-up has a budget by the model's size; after that, ready and alive are asked separately."""
    get: Object = {"httpGet": {"path": serving.health_path, "port": "http"}}
    budget = startup_seconds(chosen.deployable, chosen.options.transfer_rate)
    return {
        "startupProbe": {
            **get,
            "periodSeconds": PROBE_SECONDS,
            "timeoutSeconds": 5,
            "failureThreshold": max(30, ceil(budget / PROBE_SECONDS)),
        },
        "readinessProbe": {**get, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 3},
        "livenessProbe": {**get, "periodSeconds": 30, "timeoutSeconds": 15, "failureThreshold": 6},
    }


def volumes(chosen: Chosen, options: PodOptions, serving: Serving | None, *, fetches: bool) -> list[JsonValue]:
    """The volumes of a pod: those of the fetch only where there is one."""
    models: Object = {"name": "models", "emptyDir": {"sizeLimit": quantity(volume_bytes(chosen.deployable.size_bytes))}}
    if options.storage == "claim":
        models = {"name": "models", "persistentVolumeClaim": {"claimName": claim_name(chosen)}}
        if not fetches:
            models["persistentVolumeClaim"] = {"claimName": claim_name(chosen), "readOnly": True}
    found: list[JsonValue] = [models]
    if fetches:
        found += _fetch_volumes(chosen, options)
    if serving is not None:
        found += [
            {"name": "cache", "emptyDir": {"sizeLimit": "20Gi"}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "10Gi"}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": quantity(shm_bytes(chosen))}},
        ]
        if serving.files:
            found.append({"name": "files", "configMap": {"name": files_name(chosen)}})
    return found


def _fetch_volumes(chosen: Chosen, options: PodOptions) -> list[JsonValue]:
    state: Object = {"emptyDir": {"sizeLimit": "64Mi"}}
    if options.state_claim:
        state = {"persistentVolumeClaim": {"claimName": options.state_claim}}
    found: list[JsonValue] = [
        {"name": "trust", "configMap": {"name": trust_name(chosen, options)}},
        {"name": "state", **state},
        {"name": "fetch-tmp", "emptyDir": {"sizeLimit": "1Gi"}},
    ]
    if options.role_arn:
        token: Object = {"path": "token", "audience": "sts.amazonaws.com", "expirationSeconds": 3600}
        found.append({"name": "identity", "projected": {"sources": [{"serviceAccountToken": token}]}})
    return found


def pod_security(options: PodOptions) -> Object:
    """Nobody's processes, nobody's group."""
    return {
        "runAsNonRoot": True,
        "runAsUser": options.user_id,
        "runAsGroup": options.user_id,
        "fsGroup": options.user_id,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Object:
    """No privilege, none to be had, and a root file system that cannot be written to."""
    return {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }


def network_policy(chosen: Chosen, options: PodOptions, serving: Serving | None, *, fetches: bool) -> Object:
    """Who may call, and where pods may go: to the store and to name servers where they fetch, else nowhere."""
    role = "engine" if serving is not None else "fetch"
    ingress: list[JsonValue] = []
    if serving is not None:
        peers: list[JsonValue] = [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": one}}} for one in options.clients
        ]
        ingress = [{"from": peers or [{"podSelector": {}}], "ports": [{"port": serving.port, "protocol": "TCP"}]}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(chosen, options, f"{chosen.name}-{role}", role),
        "spec": {
            "podSelector": {"matchLabels": selector(chosen, role)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": store_egress(options) if fetches else [],
        },
    }


def store_egress(options: PodOptions) -> list[JsonValue]:
    """To the store's addresses, and to the cluster's name servers."""
    names: Object = {
        "to": [
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
            }
        ],
        "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
    }
    if not options.store_cidrs:
        return [names]
    blocks: list[JsonValue] = [{"ipBlock": {"cidr": cidr}} for cidr in options.store_cidrs]
    return [names, {"to": blocks, "ports": [{"port": options.store_port, "protocol": "TCP"}]}]


def config_map(chosen: Chosen, options: PodOptions, name: str, data: Mapping[str, str]) -> Object:
    """Files for pods, which nobody changes in place: another content has another name."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(chosen, options, name),
        "immutable": True,
        "data": dict(data),
    }


def trust_name(chosen: Chosen, options: PodOptions) -> str:
    """The ConfigMap that holds the trust file."""
    return f"{chosen.name}-trust-{chosen.trust_digest[:8]}" if chosen.trust_digest else options.trust_config_map


def files_name(chosen: Chosen) -> str:
    """The ConfigMap that holds the engine's files."""
    return f"{chosen.name}-files-{chosen.deployable.revision[:8]}"


def claim_name(chosen: Chosen) -> str:
    """The claim that holds one revision."""
    return f"{chosen.name}-{slug(chosen.deployable.revision[:8]).removeprefix('m-')}"


def shm_bytes(chosen: Chosen) -> int:
    """Shared memory, through which an engine's workers talk."""
    return (1 if chosen.layout.devices == 1 else 8) * GIB


def variable(name: str, value: str) -> Object:
    """One variable of a container."""
    return {"name": name, "value": value}


def mount(name: str, path: str, *, read_only: bool = False) -> Object:
    """One mount of a volume."""
    return {"name": name, "mountPath": path, "readOnly": True} if read_only else {"name": name, "mountPath": path}


def quantity(size_bytes: int) -> str:
    """Bytes as Kubernetes writes them, in whole GiB."""
    return f"{ceil(size_bytes / GIB)}Gi"


def deadline_seconds(chosen: Chosen, *, fetches: bool) -> int:
    """How long a roll-out may go without progress: the fetch, the start, and ten minutes for images and nodes."""
    rate = chosen.options.transfer_rate
    return (fetch_seconds(chosen.deployable, rate) if fetches else 0) + startup_seconds(chosen.deployable, rate) + 600


def _folders(serving: Serving) -> Sequence[str]:
    return sorted({path.rsplit("/", 1)[0] for path in serving.files})
