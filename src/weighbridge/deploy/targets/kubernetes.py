"""A Kubernetes deployment of an engine: manifests, resources and cost drivers, the same for each engine."""

from __future__ import annotations

from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.deploy.deployable import Deployable
from weighbridge.deploy.plan import CostDriver, Plan, RenderedFile, Resource, Target
from weighbridge.deploy.sizing import GIB, decimal_size, fetch_seconds, startup_seconds, volume_bytes
from weighbridge.deploy.targets.choices import Chosen, chosen
from weighbridge.deploy.targets.pods import (
    TRUST_KEY,
    Object,
    PodOptions,
    check_pods,
    claim_name,
    config_map,
    deadline_seconds,
    fetch_container,
    files_name,
    labels,
    metadata,
    network_policy,
    pod_security,
    pod_spec,
    quantity,
    selector,
    trust_name,
    volumes,
)
from weighbridge.deploy.targets.serving import Serving, serving_of
from weighbridge.deploy.targets.text import yaml_text

FETCH_FILE: Final = "1-fetch.yaml"
SERVE_FILE: Final = "2-serve.yaml"
ONE_FILE: Final = "kubernetes.yaml"


def kubernetes_plan(deployable: Deployable, options: PodOptions, engine_name: str, target: Target) -> Plan:
    """An engine in Kubernetes, thought through.

    Raises:
        ConfigError: a choice is missing, malformed, or does not fit the model.
        Denied: the engine's version is not to be run, or an argument not to be had.
    """
    check_pods(options)
    by_claim = options.storage == "claim"
    made = chosen(deployable, options, engine_name, file=SERVE_FILE if by_claim else ONE_FILE)
    serving = serving_of(made)
    first = _fetch_documents(made, options) if by_claim else []
    second = _serve_documents(made, options, serving)
    files: tuple[RenderedFile, ...]
    if by_claim:
        files = (
            RenderedFile(FETCH_FILE, yaml_text(first, deployable)),
            RenderedFile(SERVE_FILE, yaml_text(second, deployable)),
        )
    else:
        files = (RenderedFile(ONE_FILE, yaml_text(second, deployable)),)
    return Plan(
        target=target,
        name=made.name,
        deployable=deployable,
        files=files,
        resources=tuple(resource_of(document) for document in (*first, *second)),
        cost_drivers=cost_drivers(made, replicas=options.replicas, shared=by_claim),
        findings=made.findings,
        notes=(*made.notes, *pod_notes(options)),
        settings=pod_settings(made, options),
    )


def _serve_documents(made: Chosen, options: PodOptions, serving: Serving) -> list[Object]:
    fetches = options.storage == "node"
    documents: list[Object] = []
    if fetches and made.trust_text:
        documents.append(trust_map(made, options))
    if serving.files:
        data = {path.rsplit("/", 1)[1]: text for path, text in serving.files.items()}
        documents.append(config_map(made, options, files_name(made), data))
    documents.append(network_policy(made, options, serving, fetches=fetches))
    documents.append(deployment(made, options, serving))
    documents.append(service(made, options))
    if options.replicas > 1:
        documents.append(disruption_budget(made, options))
    return documents


def trust_map(made: Chosen, options: PodOptions) -> Object:
    """The trust file, as pods are given it."""
    return config_map(made, options, trust_name(made, options), {TRUST_KEY: made.trust_text})


def rollout(options: PodOptions) -> Object:
    """How new pods take the place of old ones: a new one is ready before an old one goes, unless there is no room."""
    fewer, more = (1, 0) if options.in_place else (0, 1)
    return {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": fewer, "maxSurge": more}}


def disruption_budget(made: Chosen, options: PodOptions) -> Object:
    """However many nodes are drained at once, one replica goes at a time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(made, options),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector(made)}},
    }


def deployment(made: Chosen, options: PodOptions, serving: Serving) -> Object:
    """The engine's Deployment."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(made, options),
        "spec": {
            "replicas": options.replicas,
            "revisionHistoryLimit": 5,
            "progressDeadlineSeconds": deadline_seconds(made, fetches=options.storage == "node"),
            "selector": {"matchLabels": selector(made)},
            "strategy": rollout(options),
            "template": {
                "metadata": {
                    "labels": labels(made),
                    "annotations": metadata(made, options)["annotations"],
                },
                "spec": pod_spec(made, options, serving),
            },
        },
    }


def service(made: Chosen, options: PodOptions) -> Object:
    """How the engine is called, within the cluster."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(made, options),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(made),
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def _fetch_documents(made: Chosen, options: PodOptions) -> list[Object]:
    model = made.deployable
    claim: Object = {
        "accessModes": [options.claim_access],
        "resources": {"requests": {"storage": quantity(volume_bytes(model.size_bytes))}},
    }
    if options.claim_class:
        claim["storageClassName"] = options.claim_class
    pod: Object = {
        "restartPolicy": "OnFailure",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(options),
        "containers": [fetch_container(made, options)],
        "volumes": volumes(made, options, None, fetches=True),
    }
    documents: list[Object] = [trust_map(made, options)] if made.trust_text else []
    return [
        *documents,
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata(made, options, claim_name(made), "fetch"),
            "spec": claim,
        },
        network_policy(made, options, None, fetches=True),
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata(made, options, f"{claim_name(made)}-fetch", "fetch"),
            "spec": {
                "backoffLimit": 6,
                "activeDeadlineSeconds": 4 * fetch_seconds(model, made.options.transfer_rate),
                "template": {"metadata": {"labels": labels(made, "fetch")}, "spec": pod},
            },
        },
    ]


def resource_of(document: Object) -> Resource:
    """A manifest as a line of the plan."""
    about = document["metadata"]
    assert isinstance(about, dict)
    kind = str(document["kind"])
    return Resource(kind, str(about["name"]), _SUMMARIES.get(kind, ""))


_SUMMARIES: Final = {
    "ConfigMap": "files that pods read",
    "NetworkPolicy": "who may call, and where pods may go",
    "Deployment": "the engine, with the model mounted read-only",
    "Service": "how the engine is called, within the cluster",
    "PodDisruptionBudget": "one replica at a time goes for a node's sake",
    "PersistentVolumeClaim": "holds one revision",
    "Job": "fetches and proves one revision into the claim",
    "ServingRuntime": "how KServe starts the engine",
    "ClusterServingRuntime": "how KServe starts the engine",
    "InferenceService": "the engine, as KServe runs it",
    "LLMInferenceService": "the engine, as KServe runs large language models",
}


def cost_drivers(made: Chosen, *, replicas: int, shared: bool) -> tuple[CostDriver, ...]:
    """What costs: devices by the hour, volumes, what is kept in and read from the store, and what an update takes beside that."""
    model = made.deployable
    drivers = []
    devices = made.layout.devices if made.on_gpus else 0
    volume = volume_bytes(model.size_bytes) // GIB
    # On one host, and in place, what runs goes before the new version starts.
    in_place = not isinstance(made.options, PodOptions) or made.options.in_place
    once_more = [f"{volume} GiB"] if shared or not in_place else []
    if devices:
        kind = made.options.gpu or "GPU"
        each = f"{replicas} {'replica' if replicas == 1 else 'replicas'}, {made.layout.why}"
        drivers.append(CostDriver("devices", f"{devices * replicas} x {kind}", each))
        hours = f"{24 * devices * replicas} a day"
        drivers.append(CostDriver("device hours", hours, "as long as it runs, asked or not"))
        once_more = [*([] if in_place else [f"{devices} x {kind}"]), *once_more]
    where = "all replicas read one copy" if shared else "each replica holds the model"
    drivers.append(CostDriver("volume", f"{volume * (1 if shared else replicas)} GiB", where))
    kept = "the approved revision, whether it runs or not"
    drivers.append(CostDriver("storage in the store", decimal_size(model.size_bytes), kept))
    reads = model.size_bytes * (1 if shared else max(1, replicas))
    when = "once for each revision" if shared else "at each start of each pod"
    drivers.append(CostDriver("reads from the store", decimal_size(reads), when))
    update = "beside what runs, until the new version is ready and what only the old one had is removed"
    if once_more:
        drivers.append(CostDriver("an update", " and ".join(once_more), update))
    rate = made.options.transfer_rate
    drivers.append(
        CostDriver(
            "time to start",
            f"up to {fetch_seconds(model, rate) + startup_seconds(model, rate)} s",
            f"budgets at {rate / 1e6:.0f} MB/s from the store, halved for caution",
        )
    )
    return tuple(drivers)


def pod_notes(options: PodOptions) -> list[str]:
    """What a person should know of the manifests."""
    notes = []
    if options.storage == "node":
        notes.append(
            "A NetworkPolicy holds for a pod's whole life: the engine can reach what the fetch can, without credentials."
            " storage=claim fetches by a Job, and leaves the engine no egress at all."
        )
    else:
        notes.append(
            f"Apply {FETCH_FILE}, wait for its Job to complete, then apply {SERVE_FILE}: the engine has no way to wait."
        )
        if options.replicas > 1 and options.claim_access != "ReadWriteMany":
            notes.append("Replicas on several nodes need a claim that several nodes can mount (ReadWriteMany).")
    if not options.in_place:
        notes.append("A roll-out needs room for one replica more (in_place=true stops an old one first).")
    if not options.store_cidrs:
        notes.append("No addresses of the store were given: the NetworkPolicy lets the fetch reach name servers alone.")
    if not options.role_arn and not options.credentials_secret:
        notes.append("The fetch was given no credentials: it has those of its node, or none.")
    if not options.state_claim:
        notes.append(
            "What was seen of the index is forgotten with each pod: state_claim keeps it, and shows a roll-back."
        )
    notes.append("A NetworkPolicy needs a network plugin that enforces it.")
    return notes


def pod_settings(made: Chosen, options: PodOptions) -> dict[str, JsonValue]:
    """What was chosen, for the plan."""
    return {
        **made.settings,
        "namespace": options.namespace,
        "replicas": options.replicas,
        "storage": options.storage,
        "store_cidrs": list(options.store_cidrs),
        "clients": list(options.clients),
    }
