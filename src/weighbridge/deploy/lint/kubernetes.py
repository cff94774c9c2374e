"""Finds what runs in Kubernetes objects: pods in whatever holds them, KServe's models, and the policies that confine them.

The whole object is walked, so that a template in a Deployment, a LeaderWorkerSet or a resource that nobody here knows is found as
in a Pod. ConfigMaps, Secrets and claims are looked up among the files that are linted together; others are not known.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from weighbridge.core.errors import FormatError
from weighbridge.deploy.environment import TOKEN_VARIABLES
from weighbridge.deploy.lint.commands import GREAT_CAPABILITIES, script_of
from weighbridge.deploy.lint.parts import (
    Document,
    Json,
    Mount,
    Place,
    Said,
    Variable,
    Workload,
    mapping,
    pointer_of,
    quantity_of,
    sequence,
    text_of,
)
from weighbridge.deploy.lint.properties import read_properties
from weighbridge.deploy.lint.unresolved import open_text, switch_of

MODEL_FOLDER: Final = "/mnt/models"
"""Where KServe's storage initializer puts a model."""
_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
_CONTAINER_KEYS: Final = ("args", "command", "env", "envFrom", "volumeMounts", "storageUri")
_HOOKS: Final = (
    ("lifecycle", "postStart"),
    ("lifecycle", "preStop"),
    ("startupProbe",),
    ("readinessProbe",),
    ("livenessProbe",),
)
_URIS: Final = ("storageUri", "storage_uri", "modelUri", "uri")
_SOCKETS: Final = ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/crio/crio.sock")
OTHER_POLICIES: Final = ("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy", "GlobalNetworkPolicy")


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, or what becomes one. `labels` is None where they are not known."""

    kind: str
    namespace: str
    labels: Mapping[str, str] | None
    place: Place
    workloads: tuple[Workload, ...]
    budget: tuple[float | None, Place] | None = None
    """Seconds that its container may take to be ready, where probes say so; None for a number that is not known."""


@dataclass(slots=True)
class Cluster:
    """All objects of the linted files together."""

    documents: list[Document] = field(default_factory=list)
    maps: dict[tuple[str, str], tuple[Document, str]] = field(default_factory=dict)
    claims: dict[str, tuple[int | None, bool]] = field(default_factory=dict)
    policies: list[tuple[Document, str, dict[str, Json]]] = field(default_factory=list)

    @classmethod
    def of(cls, documents: Sequence[Document]) -> Cluster:
        """The objects of documents, those of Lists too."""
        cluster = cls()
        for document in documents:
            for pointer, one in objects_of(document):
                cluster._take(document, pointer, one)
        cluster.documents = list(documents)
        return cluster

    def _take(self, document: Document, pointer: str, one: dict[str, Json]) -> None:
        kind, name = text_of(one.get("kind")) or "", text_of(mapping(one.get("metadata")).get("name")) or ""
        if kind in ("ConfigMap", "Secret"):
            self.maps[kind, name] = (document, pointer)
        elif kind == "PersistentVolumeClaim":
            spec = mapping(one.get("spec"))
            modes = sequence(spec.get("accessModes"))
            self.claims[name] = (_capacity(spec), bool(modes) and all(mode == "ReadOnlyMany" for mode in modes))
        elif kind == "NetworkPolicy" or kind in OTHER_POLICIES:
            self.policies.append((document, pointer, one))

    def entries(self, kind: str, name: str) -> dict[str, tuple[str, Place]] | None:
        """The texts of a ConfigMap or Secret by their keys; None where it is not among the files."""
        if (kind, name) not in self.maps:
            return None
        document, pointer = self.maps[kind, name]
        one = mapping(_at(document.value, pointer))
        found = {}
        for part in ("data", "stringData", "binaryData"):
            for key, value in mapping(one.get(part)).items():
                text = text_of(value) or ""
                if part == "binaryData" or (kind == "Secret" and part == "data"):
                    text = _decoded(text)
                found[key] = (text, document.place(pointer + pointer_of(part, key)))
        return found


def objects_of(document: Document) -> Iterator[tuple[str, dict[str, Json]]]:
    """The objects of a document, with their pointers; a List's one by one."""
    value = mapping(document.value)
    items = value.get("items")
    if isinstance(items, list) and (text_of(value.get("kind")) or "").endswith("List"):
        yield from ((pointer_of("items", at), mapping(item)) for at, item in enumerate(items))
    elif value:
        yield "", value


_MADE_ELSEWHERE: Final = {
    "HelmRelease": "the chart that it installs is not read",
    "HelmChart": "the chart that it installs is not read",
    "Application": "what it synchronises is not read",
    "ApplicationSet": "what it synchronises is not read",
    "Kustomization": "what it builds is not read",
}


def unread_in(document: Document) -> Iterator[tuple[Place, str]]:
    """Objects that stand for others which are not among the files."""
    for pointer, one in objects_of(document):
        kind, group = text_of(one.get("kind")) or "", text_of(one.get("apiVersion")) or ""
        if kind in _MADE_ELSEWHERE and ("argoproj" in group or "fluxcd" in group or "helm." in group):
            yield document.place(pointer + "/spec"), f"{kind}: {_MADE_ELSEWHERE[kind]}"


def carried_by(document: Document, cluster: Cluster) -> Iterator[Workload]:
    """Scripts, properties and tokens that ConfigMaps and Secrets of a document carry."""
    for pointer, one in objects_of(document):
        kind, name = text_of(one.get("kind")) or "", text_of(mapping(one.get("metadata")).get("name")) or ""
        if kind not in ("ConfigMap", "Secret") or cluster.maps.get((kind, name)) != (document, pointer):
            continue
        entries = cluster.entries(kind, name) or {}
        variables = {key: Variable(text, place) for key, (text, place) in entries.items() if key in TOKEN_VARIABLES}
        tokens = {key: one for key, one in variables.items() if (one.value or "").startswith("hf_")}
        if tokens:
            yield Workload("kubernetes", name, document.place(pointer), variables=tokens, is_init=True)
        for key, (text, place) in entries.items():
            script = script_of(key, text, place)
            if script is not None:
                yield script
            elif key == "serving.properties":
                yield Workload("properties", key, place, properties=properties_at(text, place))


def pods_of(document: Document, cluster: Cluster) -> Iterator[Pod]:
    """All pods that the objects of a document have, make or describe."""
    for pointer, one in objects_of(document):
        kind = text_of(one.get("kind")) or ""
        if kind in ("ConfigMap", "Secret", "CustomResourceDefinition", "NetworkPolicy"):
            continue
        about = mapping(one.get("metadata"))
        namespace = text_of(about.get("namespace")) or ""
        walked = _walk(document, cluster, pointer, one, (kind, namespace, mapping(about.get("labels"))))
        if kind == "LLMInferenceService":
            yield from _with_uri(document, pointer, one, list(walked))
        else:
            yield from walked


def _with_uri(document: Document, pointer: str, one: dict[str, Json], pods: list[Pod]) -> Iterator[Pod]:
    """The pods of an LLMInferenceService: those of its templates serve the model that stands beside them."""
    at = pointer + "/spec/model"
    uri = text_of(mapping(mapping(one.get("spec")).get("model")).get("uri")) or ""
    own = [pod for pod in pods if pod.place.pointer != at]
    if not own or "://" not in uri:
        yield from pods
        return
    said = Said(uri, document.place(at + "/uri"))
    for pod in own:
        yield replace(
            pod,
            workloads=tuple(
                work if work.is_init else replace(work, model=said, folder=MODEL_FOLDER) for work in pod.workloads
            ),
        )


def _walk(
    document: Document, cluster: Cluster, pointer: str, root: Json, of: tuple[str, str, Mapping[str, Json]]
) -> Iterator[Pod]:
    kind, namespace, outer = of
    stack: list[tuple[str, Json, Mapping[str, Json] | None]] = [(pointer, root, outer if kind == "Pod" else None)]
    while stack:
        at, node, labels = stack.pop()
        if isinstance(node, list):
            stack.extend((f"{at}/{place}", inner, labels) for place, inner in reversed(list(enumerate(node))))
            continue
        if not isinstance(node, dict):
            continue
        found = _workloads(document, cluster, at, node)
        if found:
            known = {key: text_of(value) or "" for key, value in labels.items()} if labels is not None else None
            yield Pod(kind, namespace, known, document.place(at), tuple(found), _budget(document, at, node))
        below = mapping(mapping(node.get("metadata")).get("labels"))
        inner_labels = below if "spec" in node and at != pointer and "metadata" in node else labels
        skipped = (*_CONTAINERS, "env", "args", "command", "status") if found else ("status",)
        stack.extend(
            (at + pointer_of(key), inner, inner_labels)
            for key, inner in reversed(list(node.items()))
            if key not in skipped or (key == "containers" and not isinstance(inner, list))
        )


def _workloads(document: Document, cluster: Cluster, at: str, node: dict[str, Json]) -> list[Workload]:
    """The containers of a pod's specification; of KServe's `model`, the one that it becomes."""
    lists = [(key, node[key]) for key in _CONTAINERS if isinstance(node.get(key), list)]
    found = []
    for key, items in lists:
        for place, item in enumerate(sequence(items)):
            if isinstance(item, dict):
                where = at + pointer_of(key, place)
                container = _container(document, cluster, where, item, node, is_init=key == "initContainers")
                found += [container, *_hooks(document, where, item, container)]
    if lists:
        return _with_model(document, at, node, found)
    is_container = bool(_image(node)) and any(key in node for key in _CONTAINER_KEYS)
    is_model = "modelFormat" in node or any(key in node for key in _URIS[:3])
    if is_container or is_model or ("uri" in node and at.endswith("/model")):
        return _with_model(document, at, node, [_container(document, cluster, at, node, {}, is_init=False)])
    return []


def _with_model(document: Document, at: str, node: dict[str, Json], found: list[Workload]) -> list[Workload]:
    for key in _URIS:
        uri = node.get(key)
        if isinstance(uri, str) and "://" in uri:
            model = Said(uri, document.place(at + pointer_of(key)))
            return [one if one.is_init else replace(one, model=model, folder=MODEL_FOLDER) for one in found]
    return [_with_variable(one) for one in found]


def _with_variable(one: Workload) -> Workload:
    """KServe takes `STORAGE_URI` of a container for the address of its model."""
    said = one.variables.get("STORAGE_URI")
    if said is None or not said.value or "://" not in said.value or one.is_init:
        return one
    return replace(one, model=Said(said.value, said.place), folder=MODEL_FOLDER)


def _container(
    document: Document, cluster: Cluster, at: str, one: dict[str, Json], pod: dict[str, Json], *, is_init: bool
) -> Workload:
    variables, more = _variables(document, cluster, at, one)
    words = [
        Said(text, document.place(at + pointer_of(key, place)))
        for key in ("command", "args")
        for place, value in enumerate(_listed(one.get(key)))
        if (text := text_of(value)) is not None
    ]
    image = _image(one)
    return Workload(
        platform="kubernetes",
        name=text_of(one.get("name")) or "container",
        place=document.place(at),
        image=Said(image, document.place(at + "/image")) if image else None,
        words=tuple(words),
        variables=variables,
        properties=_properties(cluster, pod),
        mounts=tuple(_mounts(document, cluster, at, one, pod)),
        is_init=is_init,
        has_more=more,
        has_devices=_asks_for_devices(one),
        is_model_server="modelFormat" in one,
        rights=tuple(_rights(document, at, one)),
        shares=tuple(
            Said(key, document.place(at.rpartition("/")[0].rpartition("/")[0] + pointer_of(key)))
            for key in ("hostNetwork", "hostPID")
            if switch_of(pod.get(key))
        ),
        unknown=tuple(_unknown(document, at, one, pod)),
    )


def _hooks(document: Document, at: str, one: dict[str, Json], container: Workload) -> Iterator[Workload]:
    """The commands that a container is made to run beside its own: at its start and end, and to probe it."""
    for keys in _HOOKS:
        hook: Json = one
        for key in (*keys, "exec", "command"):
            hook = mapping(hook).get(key)
        where = at + pointer_of(*keys, "exec", "command")
        words = [
            Said(text, document.place(where + pointer_of(place)))
            for place, word in enumerate(sequence(hook))
            if (text := text_of(word)) is not None
        ]
        if words:
            yield Workload(
                platform="kubernetes",
                name=container.name,
                place=document.place(where),
                words=tuple(words),
                variables={name: said for name, said in container.variables.items() if name.startswith("HF_ENDPOINT")},
                is_init=True,
            )


def _image(one: dict[str, Json]) -> str:
    """The image of a container; operators have repository, tag and digest apart."""
    image = one.get("image")
    if isinstance(image, str):
        return image
    repository, tag, digest = (text_of(mapping(image).get(key)) or "" for key in ("repository", "tag", "digest"))
    return repository + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "") if repository else ""


def _unknown(document: Document, at: str, one: dict[str, Json], pod: dict[str, Json]) -> Iterator[Said]:
    """Rights and namespaces that are decided when it is deployed."""
    security = mapping(one.get("securityContext"))
    outer = at.rpartition("/")[0].rpartition("/")[0]
    inner = at + pointer_of("securityContext")
    said = [(key, pod.get(key), outer + pointer_of(key)) for key in ("hostNetwork", "hostPID")]
    said.append(("privileged", security.get("privileged"), inner + "/privileged"))
    said += [
        ("a capability", name, inner + pointer_of("capabilities", "add", place))
        for place, name in enumerate(sequence(mapping(security.get("capabilities")).get("add")))
    ]
    for what, value, pointer in said:
        if text := open_text(value):
            yield Said(f"{what} is {text}", document.place(pointer))


def _asks_for_devices(one: dict[str, Json]) -> bool:
    resources = mapping(one.get("resources"))
    names = [*mapping(resources.get("limits")), *mapping(resources.get("requests"))]
    return any(word in name for name in names for word in ("gpu", "neuron", "gaudi", "tpu"))


def _listed(value: Json) -> list[Json]:
    return [value] if isinstance(value, str) else sequence(value)


def _variables(
    document: Document, cluster: Cluster, at: str, one: dict[str, Json]
) -> tuple[dict[str, Variable], Place | None]:
    found: dict[str, Variable] = {}
    more: Place | None = None
    for place, item in enumerate(sequence(one.get("envFrom"))):
        where = document.place(at + pointer_of("envFrom", place))
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            name = text_of(mapping(mapping(item).get(key)).get("name"))
            if name is None:
                continue
            entries = cluster.entries(kind, name)
            if entries is None:
                more = where
            prefix = text_of(mapping(item).get("prefix")) or ""
            for variable, (text, told) in (entries or {}).items():
                found[prefix + variable] = Variable(None if kind == "Secret" else text, told, kind == "Secret")
    for place, item in enumerate(sequence(one.get("env"))):
        name = text_of(mapping(item).get("name"))
        if name is not None:
            found[name] = _variable(document.place(at + pointer_of("env", place)), cluster, mapping(item))
    return found, more


def _variable(place: Place, cluster: Cluster, item: dict[str, Json]) -> Variable:
    source = mapping(item.get("valueFrom"))
    if not source:
        return Variable(text_of(item.get("value")) or "", place)
    if "secretKeyRef" in source:
        return Variable(None, place, is_secret=True)
    reference = mapping(source.get("configMapKeyRef"))
    entries = cluster.entries("ConfigMap", text_of(reference.get("name")) or "") or {}
    text = entries.get(text_of(reference.get("key")) or "")
    return Variable(text[0] if text else None, place)


def _properties(cluster: Cluster, pod: dict[str, Json]) -> dict[str, Said]:
    """What a `serving.properties` says that a ConfigMap gives the pod."""
    for volume in sequence(pod.get("volumes")):
        name = text_of(mapping(mapping(volume).get("configMap")).get("name"))
        entries = cluster.entries("ConfigMap", name) if name else None
        for key, (text, place) in (entries or {}).items():
            if key == "serving.properties":
                return properties_at(text, place)
    return {}


def properties_at(text: str, place: Place) -> dict[str, Said]:
    """Properties that stand as a text in another file."""
    try:
        read = read_properties(text.encode("utf-8"), place.file, pointer=place.pointer)
    except FormatError:
        return {}
    return {
        key: Said(one.text, Place(place.file, place.pointer + pointer_of(key), place.line)) for key, one in read.items()
    }


def _mounts(
    document: Document, cluster: Cluster, at: str, one: dict[str, Json], pod: dict[str, Json]
) -> Iterator[Mount]:
    volumes = {text_of(mapping(volume).get("name")): mapping(volume) for volume in sequence(pod.get("volumes"))}
    for place, item in enumerate(sequence(one.get("volumeMounts"))):
        path = text_of(mapping(item).get("mountPath"))
        if path is None:
            continue
        source, read_only, capacity = _volume(volumes.get(text_of(mapping(item).get("name")), {}), cluster)
        where = document.place(at + pointer_of("volumeMounts", place))
        yield Mount(path, source, read_only or mapping(item).get("readOnly") is True, where, capacity)


def _volume(volume: dict[str, Json], cluster: Cluster) -> tuple[str, bool, int | None]:
    """What a volume is, whether it can be read alone, and what it holds."""
    if claim := mapping(volume.get("persistentVolumeClaim")):
        capacity, read_only = cluster.claims.get(text_of(claim.get("claimName")) or "", (None, False))
        return "claim", read_only or claim.get("readOnly") is True, capacity
    if "emptyDir" in volume:
        scratch = mapping(volume["emptyDir"])
        kind = "memory" if scratch.get("medium") == "Memory" else "scratch"
        return kind, False, quantity_of(scratch.get("sizeLimit"))
    if host := mapping(volume.get("hostPath")):
        path = text_of(host.get("path")) or ""
        return "root" if path == "/" else "socket" if path in _SOCKETS else "host", False, None
    if ephemeral := mapping(volume.get("ephemeral")):
        return "claim", False, _capacity(mapping(mapping(ephemeral.get("volumeClaimTemplate")).get("spec")))
    for key in ("configMap", "secret", "projected", "downwardAPI", "image"):
        if key in volume:
            return key, True, None
    csi = mapping(volume.get("csi"))
    return "volume", csi.get("readOnly") is True, None


def _capacity(spec: dict[str, Json]) -> int | None:
    return quantity_of(mapping(mapping(spec.get("resources")).get("requests")).get("storage"))


def _rights(document: Document, at: str, one: dict[str, Json]) -> Iterator[Said]:
    security = mapping(one.get("securityContext"))
    if switch_of(security.get("privileged")):
        yield Said("privileged", document.place(at + pointer_of("securityContext", "privileged")))
    for place, name in enumerate(sequence(mapping(security.get("capabilities")).get("add"))):
        if (text_of(name) or "").upper() in GREAT_CAPABILITIES:
            where = document.place(at + pointer_of("securityContext", "capabilities", "add", place))
            yield Said(f"capability {text_of(name)}", where)


def _budget(document: Document, at: str, pod: dict[str, Json]) -> tuple[float | None, Place] | None:
    """Seconds until a probe ends a container that is still loading; None where none does."""
    shortest: tuple[float, Place] | None = None
    for place, item in enumerate(sequence(pod.get("containers"))):
        one = mapping(item)
        key = "startupProbe" if "startupProbe" in one else "livenessProbe"
        probe = mapping(one.get(key))
        if not probe:
            continue
        values = [probe.get("initialDelaySeconds", 0), probe.get("periodSeconds", 10), probe.get("failureThreshold", 3)]
        if any(open_text(value) for value in values):
            return None, document.place(at + pointer_of("containers", place, key))
        delay, period, failures = (value if isinstance(value, (int, float)) else 0 for value in values)
        if not (period and failures):
            continue
        budget = (delay + period * failures, document.place(at + pointer_of("containers", place, key)))
        shortest = min(shortest, budget, key=lambda one: one[0]) if shortest else budget
    return shortest


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text.encode("ascii", "ignore")[: 64 * 1024], validate=False).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def _at(value: Json, pointer: str) -> Json:
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            value = mapping(value).get(key)
    return value
