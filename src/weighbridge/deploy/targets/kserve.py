"""KServe: an InferenceService that proves what it loads, one that loads by `storageUri`, or an LLMInferenceService.

`load="verified"` is a predictor whose init container is `weighbridge fetch`. The other two let KServe's storage initialiser
copy the approved prefix, which proves nothing: they are rendered with a finding. Manifests are for KServe 0.21.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import ConfigError
from weighbridge.core.finding import Finding
from weighbridge.deploy.deployable import Deployable
from weighbridge.deploy.plan import Plan, RenderedFile, Target
from weighbridge.deploy.targets.choices import Chosen, chosen, label
from weighbridge.deploy.targets.kubernetes import cost_drivers, pod_notes, pod_settings, resource_of, rollout, trust_map
from weighbridge.deploy.targets.pods import (
    Object,
    PodOptions,
    check_pods,
    config_map,
    engine_container,
    engine_resources,
    files_name,
    labels,
    metadata,
    network_policy,
    pod_spec,
    store_egress,
    variable,
)
from weighbridge.deploy.targets.rules import UNPROVEN_LOAD
from weighbridge.deploy.targets.serving import engine_environment, serving_of
from weighbridge.deploy.targets.text import yaml_text

FILE: Final = "kserve.yaml"
MOUNTED: Final = "/mnt/models"
"""Where KServe mounts what its storage initialiser copied."""
CONTAINER: Final = "kserve-container"
LOADS: Final = ("verified", "storage-uri", "llm")
ENGINES: Final = ("vllm", "tgi", "sglang", "lmi", "transformers-serve")
MODEL_FORMAT: Final = "weighbridge"
_SCHEMES: Final = ("s3://", "gs://")


@dataclass(frozen=True, slots=True)
class Options(PodOptions):
    """What can be chosen of an engine that KServe runs."""

    engine: str = "vllm"
    """`vllm`, `tgi`, `sglang`, `lmi` or `transformers-serve`."""
    load: str = "verified"
    """`verified`, `storage-uri` or `llm` (LLMInferenceService)."""
    max_replicas: int = 0
    """To scale up to; as many as `replicas` when 0."""
    cluster_runtime: bool = False
    """Whether `storage-uri` puts its runtime at the cluster's disposal instead of the namespace's."""
    service_account: str = ""
    """Whose credentials KServe's storage initialiser has; not used by `verified`."""


def render(deployable: Deployable, options: Options) -> Plan:
    """An engine in KServe, thought through.

    Raises:
        ConfigError: a choice is missing, malformed, or does not fit the model.
        Denied: the engine's version is not to be run, or an argument not to be had.
    """
    _check(deployable, options)
    made = chosen(deployable, options, options.engine, file=FILE)
    documents = _WRITERS[options.load](made, options)
    findings: tuple[Finding, ...] = made.findings
    if options.load != "verified":
        message = "the storage initialiser compares no digest"
        findings = (*findings, UNPROVEN_LOAD.finding(FILE, message, location="storageUri"))
    return Plan(
        target=Target.KSERVE,
        name=made.name,
        deployable=deployable,
        files=(RenderedFile(FILE, yaml_text(documents, deployable)),),
        resources=tuple(resource_of(document) for document in documents),
        cost_drivers=cost_drivers(made, replicas=max(options.replicas, 1), shared=False),
        findings=findings,
        notes=(*made.notes, *_notes(options)),
        settings={**pod_settings(made, options), "load": options.load, "max_replicas": options.max_replicas},
    )


def _check(deployable: Deployable, options: Options) -> None:
    check_pods(options)
    if options.engine not in ENGINES:
        raise ConfigError(f"{options.engine!r:.40} is not run by KServe here", hint=f"One of {', '.join(ENGINES)}.")
    if options.load not in LOADS:
        raise ConfigError(f"{options.load!r:.40} is no way to load", hint=f"One of {', '.join(LOADS)}.")
    if options.storage != "node":
        raise ConfigError("KServe's pods fetch for themselves", hint="Leave storage at `node`.")
    if options.max_replicas and options.max_replicas < options.replicas:
        raise ConfigError("the most replicas are fewer than the least")
    if options.service_account:
        label(options.service_account, "a service account")
    if options.load == "llm" and options.engine != "vllm":
        raise ConfigError("an LLMInferenceService is run by vLLM")
    if options.load != "verified" and options.engine in ("lmi", "transformers-serve"):
        raise ConfigError(f"{options.engine} is rendered with load=verified alone")
    if options.load != "verified" and not deployable.prefix.startswith(_SCHEMES):
        raise ConfigError(
            f"KServe cannot copy from {deployable.store}",
            hint="The approved store is s3:// or gs://, or load=verified is used.",
        )


def _verified(made: Chosen, options: Options) -> list[Object]:
    serving = serving_of(made)
    documents: list[Object] = [trust_map(made, options)] if made.trust_text else []
    if serving.files:
        data = {path.rsplit("/", 1)[1]: text for path, text in serving.files.items()}
        documents.append(config_map(made, options, files_name(made), data))
    pod = pod_spec(made, options, serving)
    pod["containers"] = [engine_container(made, options, serving, name=CONTAINER)]
    return [*documents, network_policy(made, options, serving, fetches=True), _service(made, options, pod)]


def _by_storage_uri(made: Chosen, options: Options) -> list[Object]:
    serving = serving_of(made, folder=MOUNTED)
    container = engine_container(made, options, serving, name=CONTAINER)
    mounts = container["volumeMounts"]
    assert isinstance(mounts, list)
    # KServe adds its own mount of what it copied, read-only.
    container["volumeMounts"] = [one for one in mounts if isinstance(one, dict) and one["name"] != "models"]
    spec = pod_spec(made, options, serving)
    volumes = spec["volumes"]
    assert isinstance(volumes, list)
    scratch = [one for one in volumes if isinstance(one, dict) and one["name"] in ("cache", "tmp", "shm")]
    runtime: Object = {
        "annotations": {"prometheus.kserve.io/port": str(serving.port), "prometheus.kserve.io/path": "/metrics"},
        "supportedModelFormats": [{"name": MODEL_FORMAT, "version": "1", "autoSelect": False}],
        "protocolVersions": ["v2"],
        "containers": [container],
        "volumes": list[JsonValue](scratch),
    }
    about = metadata(made, options, f"{made.name}-runtime")
    if options.cluster_runtime:
        about.pop("namespace")
    kind = "ClusterServingRuntime" if options.cluster_runtime else "ServingRuntime"
    predictor: Object = {
        "automountServiceAccountToken": False,
        "securityContext": spec["securityContext"],
        "model": {
            "modelFormat": {"name": MODEL_FORMAT, "version": "1"},
            "runtime": f"{made.name}-runtime",
            "storageUri": made.deployable.prefix,
            "env": container["env"],
            "resources": engine_resources(made, options),
        },
    }
    if options.service_account:
        predictor["serviceAccountName"] = options.service_account
    if "tolerations" in spec:
        predictor["tolerations"] = spec["tolerations"]
    return [
        network_policy(made, options, serving, fetches=True),
        {"apiVersion": "serving.kserve.io/v1alpha1", "kind": kind, "metadata": about, "spec": runtime},
        _service(made, options, predictor),
    ]


def _service(made: Chosen, options: Options, pod: Object) -> Object:
    about = metadata(made, options)
    annotations = about["annotations"]
    assert isinstance(annotations, dict)
    about["annotations"] = {
        **annotations,
        "serving.kserve.io/deploymentMode": "Standard",
        "serving.kserve.io/autoscalerClass": "hpa" if options.max_replicas > options.replicas else "none",
        "storage.kserve.io/readonly": "true",
    }
    predictor: Object = {
        "minReplicas": options.replicas,
        "maxReplicas": options.max_replicas or max(options.replicas, 1),
        "labels": labels(made),
        "annotations": annotations,
        "deploymentStrategy": rollout(options),
        **pod,
    }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": about,
        "spec": {"predictor": predictor},
    }


def _llm(made: Chosen, options: Options) -> list[Object]:
    """KServe's own template starts vLLM here; what it is told beside comes by the variable that template reads."""
    serving_of(made, folder=MOUNTED)
    more = ["--load-format", "safetensors"]
    if made.options.context_length is not None:
        more += ["--max-model-len", str(made.options.context_length)]
    more += made.options.arguments
    environment = {
        name: value for name, value in engine_environment(made).items() if not name.endswith(("HOME", "_CACHE", "_DIR"))
    }
    environment["VLLM_ADDITIONAL_ARGS"] = shlex.join(more)
    container: Object = {
        "name": "main",
        "image": options.image,
        "env": [variable(key, value) for key, value in sorted(environment.items())],
        "resources": engine_resources(made, options),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    template: Object = {"automountServiceAccountToken": False, "containers": [container]}
    if options.service_account:
        template["serviceAccountName"] = options.service_account
    if made.on_gpus:
        template["tolerations"] = [{"key": options.gpu_resource, "operator": "Exists", "effect": "NoSchedule"}]
    spec: Object = {
        "model": {"uri": made.deployable.prefix, "name": made.served_name},
        "replicas": options.replicas,
        "parallelism": {"tensor": made.layout.tensor, "pipeline": made.layout.pipeline},
        "template": template,
        "router": {"gateway": {}, "route": {}, "scheduler": {}},
    }
    about = metadata(made, options)
    made_by_kserve: Object = {"app.kubernetes.io/name": made.name, "kserve.io/component": "workload"}
    policy: Object = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(made, options, f"{made.name}-egress"),
        "spec": {
            "podSelector": {"matchLabels": made_by_kserve},
            "policyTypes": ["Egress"],
            "egress": store_egress(options),
        },
    }
    service: Object = {
        "apiVersion": "serving.kserve.io/v1alpha2",
        "kind": "LLMInferenceService",
        "metadata": about,
        "spec": spec,
    }
    return [policy, service]


_WRITERS: Final = {"verified": _verified, "storage-uri": _by_storage_uri, "llm": _llm}


def _notes(options: Options) -> list[str]:
    notes = ["Manifests follow KServe 0.21 (deployment mode Standard); no cluster was asked."]
    if options.load == "verified":
        return [*notes, *pod_notes(options)]
    notes.append("Credentials for the copy are the service account's: give it no more than to read under the prefix.")
    if options.load == "llm":
        notes.append("The NetworkPolicy holds egress alone: KServe's scheduler and gateway have callers of their own.")
    return notes
