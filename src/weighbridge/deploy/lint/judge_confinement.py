"""Judges how a workload is confined: its image, its rights, what it may write to, where it may go, and whether it has the room and time."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from weighbridge.core.finding import Severity
from weighbridge.deploy.engines import (
    ENGINES,
    RUNTIMES,
    Engine,
    advisories,
    read_version,
    runtime_of_image,
)
from weighbridge.deploy.lint import rules
from weighbridge.deploy.lint.approved import Approved, judge_address, of_a_limit
from weighbridge.deploy.lint.kubernetes import OTHER_POLICIES, Cluster, Pod
from weighbridge.deploy.lint.models import Serving, version_of
from weighbridge.deploy.lint.parts import (
    Findings,
    Json,
    Place,
    Said,
    Workload,
    is_open,
    mapping,
    sequence,
    shown,
    text_of,
)
from weighbridge.deploy.lint.unresolved import open_text, say_unknown
from weighbridge.deploy.targets.rules import MUTABLE_IMAGE, VULNERABLE_ENGINE

_DIGEST: Final = re.compile(r"@sha256:[0-9a-f]{64}\Z")
_PINNED: Final = re.compile(r"\A([A-Za-z0-9_.-]+?)(?:\[[^\]]*\])?==([A-Za-z0-9.+!-]+)\Z")
_PACKAGES: Final = {
    "vllm": "vllm",
    "sglang": "sglang",
    "transformers": "transformers-serve",
    "llama-cpp-python": "",
    "ray": "ray",
}
_MAX_CITED: Final = 4


def judge_image(image: Said, findings: Findings) -> None:
    """Whether an image can be moved to other bytes."""
    if _DIGEST.search(image.text) or re.search(r"@(?:sha256:)?\$\{[^{}]*\}\Z", image.text):
        return
    name = image.text.rsplit("/", 1)[-1]
    if _is_unknown(image.text):
        return
    how = f"by the tag {shown(name.partition(':')[2])}" if ":" in name else "without a tag, which means latest,"
    findings.say(MUTABLE_IMAGE, image.place, f"{shown(image.text)} is named {how} and can be moved to other bytes")


def judge_unknown(workload: Workload, findings: Findings) -> None:
    """An image that is known only when it is deployed may be any engine, with any weakness."""
    if workload.image is not None and _is_unknown(workload.image.text):
        say_unknown(findings, workload.image.place, f"the image of {shown(workload.name)}", workload.image.text)


def _is_unknown(image: str) -> bool:
    """Whether more of an image's name is open than its tag or digest."""
    name = image.rpartition("@")[0] or image
    return is_open(name.rsplit("/", 1)[-1].partition(":")[0] if "/" in name else name.partition(":")[0]) or (
        is_open(name) and ":" not in name.rsplit("/", 1)[-1]
    )


def judge_version(serving: Serving, findings: Findings) -> None:
    """Published weaknesses of the engine's version, by its image's tag or by what is installed."""
    workload = serving.workload
    runtime = runtime_of_image(workload.image.text) if workload.image is not None else None
    for held in (serving.engine, runtime):
        version = version_of(workload, held) if held is not None else ""
        if held is not None and workload.image is not None and version:
            _weak(held, version, workload.image.place, findings)
    for command in serving.lines.commands:
        if command.name not in ("pip", "pip3", "uv", "python", "python3"):
            continue
        for word in command.words:
            package, pins, wanted = word.text.partition("==")
            if pins and is_open(wanted) and package.partition("[")[0].lower() in _PACKAGES:
                say_unknown(findings, word.place, f"the version of {shown(package)}", wanted)
            pinned = _PINNED.match(word.text)
            name = _PACKAGES.get(pinned.group(1).lower(), "") if pinned else ""
            engine = ENGINES.get(name) or RUNTIMES.get(name)
            if pinned and engine and read_version(pinned.group(2)):
                _weak(engine, pinned.group(2), word.place, findings)


def _weak(engine: Engine, version: str, place: Place, findings: Findings) -> None:
    known = advisories(engine.name, version)
    if not known:
        return
    cited = "; ".join(f"{one.cve} ({one.summary}; {_mended(one.fixed_in)})" for one in known[:_MAX_CITED])
    more = f"; and {len(known) - _MAX_CITED} more" if len(known) > _MAX_CITED else ""
    worst = min(max(one.severity for one in known), Severity.HIGH)
    findings.say(VULNERABLE_ENGINE, place, f"{engine.title} {version}: {cited}{more}", severity=worst)


def _mended(fixed_in: str) -> str:
    return f"mended in {fixed_in}" if fixed_in else "mended in no version that is known"


def judge_rights(workload: Workload, findings: Findings) -> None:
    """What a workload has of the machine's rights."""
    for said in workload.rights:
        findings.say(rules.PRIVILEGED, said.place, f"{shown(workload.name)} has {shown(said.text)}")
    for mount in workload.mounts:
        if mount.source in ("root", "socket"):
            what = "the host's root" if mount.source == "root" else "the container runtime's socket"
            findings.say(rules.PRIVILEGED, mount.place, f"{shown(workload.name)} is given {what}")
    for said in workload.unknown:
        findings.say(rules.NOT_READ, said.place, f"{shown(said.text)}: that cannot be told from these files")
    for said in workload.shares:
        findings.say(rules.HOST_NAMESPACE, said.place, f"{shown(workload.name)} has {shown(said.text)}")


_OBJECT: Final = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,9}\Z")
"""How the address of a single object ends."""


def judge_room(serving: Serving, facts: Approved | None, findings: Findings) -> None:
    """What the engine may write to, and whether what holds the model is large enough."""
    workload = serving.workload
    if workload.model is not None and workload.platform == "kubernetes":
        # KServe copies every object of S3 whose key begins so; what is a neighbour's lands beside the model's own files.
        is_prefix = workload.model.text.startswith("s3://") and _OBJECT.search(workload.model.text) is None
        judge_address(workload.model, facts, findings, is_prefix=is_prefix, severity=Severity.MEDIUM)
    size = facts.size_of(workload.model.text if workload.model is not None else "") if facts is not None else 0
    for mount in serving.model_mounts:
        if not mount.read_only and not workload.is_init:
            what = f"{shown(workload.name)} may write to {shown(mount.path)}"
            findings.say(rules.WRITABLE, mount.place, what)
        if mount.capacity_bytes is not None and 0 < mount.capacity_bytes < size:
            findings.say(rules.VOLUME, mount.place, f"{mount.capacity_bytes} bytes, and the model has {size}")


def judge_pod(
    pod: Pod, servings: Iterable[Serving], cluster: Cluster, facts: Approved | None, findings: Findings
) -> None:
    """Where a pod may go, and whether its probes give it the time to load."""
    address = next((one.workload.model.text for one in servings if one.workload.model is not None), "")
    _egress(pod, cluster, findings)
    size = facts.size_of(address) if facts is not None else 0
    if pod.budget is not None and facts is not None and size:
        seconds, place = pod.budget
        if seconds is None:
            findings.say(rules.NOT_READ, place, "how long the probe waits cannot be told from these files")
        elif size / max(seconds, 1.0) > facts.rate:
            need = size / max(seconds, 1.0) / 1e6
            findings.say(
                rules.TIMEOUT,
                place,
                f"the probe ends the container after {seconds:.0f} s; {size} bytes need {need:.0f} MB/s",
                severity=of_a_limit(need * 1e6),
            )


def _egress(pod: Pod, cluster: Cluster, findings: Findings) -> None:
    chosen = [
        (document.place(pointer), one)
        for document, pointer, one in cluster.policies
        if _selects(one, pod) and _confines(mapping(one.get("spec")))
    ]
    if not chosen:
        findings.say(
            rules.EGRESS, pod.place, f"no NetworkPolicy in these files denies egress to this {pod.kind or 'pod'}"
        )
        return
    for place, one in chosen:
        for rule in sequence(mapping(one.get("spec")).get("egress")):
            if _is_anywhere(mapping(rule), others=text_of(one.get("kind")) in OTHER_POLICIES):
                findings.say(rules.EGRESS, place, "this NetworkPolicy lets its pods go anywhere")
            for text in _open_blocks(mapping(rule)):
                say_unknown(findings, place, "where this NetworkPolicy lets its pods go", text)


def _confines(spec: Mapping[str, Json]) -> bool:
    types = [text_of(one) for one in sequence(spec.get("policyTypes", spec.get("types")))]
    return "Egress" in types if types else "egress" in spec or "egressDeny" in spec


def _selects(policy: Mapping[str, Json], pod: Pod) -> bool:
    """Whether a policy holds for a pod; where labels are not known, it is taken to."""
    about = mapping(policy.get("metadata"))
    namespace = text_of(about.get("namespace")) or ""
    if namespace and pod.namespace and namespace != pod.namespace:
        return False
    spec = mapping(policy.get("spec"))
    selector = mapping(spec.get("podSelector") or spec.get("endpointSelector"))
    labels = pod.labels
    if labels is None:
        return True
    wanted = mapping(selector.get("matchLabels"))
    expressions = [mapping(one) for one in sequence(selector.get("matchExpressions"))]
    return all(labels.get(key) == text_of(value) for key, value in wanted.items()) and all(
        _fits(labels, one) for one in expressions
    )


def _fits(labels: Mapping[str, str], expression: Mapping[str, Json]) -> bool:
    """Whether labels are as an expression of a selector wants them."""
    value = labels.get(text_of(expression.get("key")) or "")
    values = [text_of(one) for one in sequence(expression.get("values"))]
    match text_of(expression.get("operator")):
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    return False


def _is_anywhere(rule: Mapping[str, Json], *, others: bool) -> bool:
    """Whether a rule lets pods go to any address; `others` are policies of Cilium and Calico."""
    if others:
        entities = {text_of(one) for one in sequence(rule.get("toEntities"))}
        blocks = [text_of(one) or "" for one in sequence(rule.get("toCIDR"))]
        return bool(entities & {"world", "all"}) or any(_is_wide(one) for one in blocks)
    peers = sequence(rule.get("to"))
    if not peers:
        ports = [mapping(one).get("port") for one in sequence(rule.get("ports"))]
        return not ports or any(port not in (53, "53", "dns", "dns-tcp") for port in ports)
    return any(_is_wide(text_of(mapping(mapping(peer).get("ipBlock")).get("cidr")) or "") for peer in peers)


def _open_blocks(rule: Mapping[str, Json]) -> Iterator[str]:
    """Addresses of a rule that are known only when it is deployed."""
    blocks = [mapping(mapping(peer).get("ipBlock")).get("cidr") for peer in sequence(rule.get("to"))]
    yield from (text for block in (*blocks, *sequence(rule.get("toCIDR"))) if (text := open_text(block)))


def _is_wide(block: str) -> bool:
    """Whether a block of addresses is so large that it holds the internet, whatever it leaves out."""
    try:
        network = ipaddress.ip_network(block, strict=False)
    except ValueError:
        return False
    return network.prefixlen < (8 if network.version == 4 else 16)
