"""What the files of a deployment say: what lint finds in them, and whether they keep the engine offline, isolated and pinned.

Rules: files are read, and workloads recognised, by `deploy.lint`, and what it finds against a state makes the state false; true
takes more than no finding: everything was read, something that serves a model was recognised, and each of those shows it. What
is known only when it is deployed shows nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import Malformed, NothingCollected
from weighbridge.core.finding import Finding
from weighbridge.core.shown import plain
from weighbridge.deploy.lint import aws, lint_files, rules
from weighbridge.deploy.lint.approved import Approved
from weighbridge.deploy.lint.compose import services_of
from weighbridge.deploy.lint.documents import FileRead, read_file
from weighbridge.deploy.lint.kubernetes import Cluster, pods_of
from weighbridge.deploy.lint.models import Origin, Serving, serving_of
from weighbridge.deploy.lint.parts import Document, Resource, Workload
from weighbridge.deploy.lint.sagemaker import MODEL
from weighbridge.deploy.targets.rules import MUTABLE_IMAGE
from weighbridge.posture.evidence import Evidence, Unobtained
from weighbridge.posture.gathering import Gathered, Notes, bounded, gathered, sha256

FINDING_IDS: Final = ("deployment.findings",)
STATE_IDS: Final = ("deployment.offline", "deployment.isolated", "deployment.pinned")
IDS: Final = (*FINDING_IDS, *STATE_IDS)
"""All that `collect` promises: each comes out, as evidence or as unobtained."""

AGAINST: Final[Mapping[str, frozenset[str]]] = {
    "deployment.offline": frozenset(
        one.id
        for one in (
            *(rules.HUB_MODEL, rules.HUB_BESIDE_MOUNT, rules.AMBIGUOUS, rules.OTHER_HUB, rules.HUB_ENDPOINT),
            *(rules.NOT_OFFLINE, rules.DOWNLOAD),
        )
    ),
    "deployment.isolated": frozenset((rules.NO_ISOLATION.id, rules.EGRESS.id)),
    "deployment.pinned": frozenset((rules.UNPINNED.id, rules.UNPINNED_GIT.id, rules.NOT_APPROVED.id, MUTABLE_IMAGE.id)),
}
"""Findings that are against a state."""
UNREAD: Final = frozenset((rules.NOT_READ.id, rules.DUPLICATE_KEY.id))
_DIGEST: Final = re.compile(r"@sha256:[0-9a-f]{64}\Z")
_REVISION: Final = re.compile(rb"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])")


@dataclass(frozen=True, slots=True)
class _Unit:
    """Something that serves a model, and whether its network is closed; None where these files cannot say."""

    serving: Serving
    closed: bool | None


def collect(files: Mapping[str, bytes], *, observed_at: str, approved: Approved | None = None) -> Gathered:
    """The evidence of a deployment's files, by name; never raises for what cannot be read."""
    notes = Notes(observed_at)
    found: list[Finding] = []
    yield from gathered(FINDING_IDS, lambda: _findings(notes, files, approved, found))
    yield from gathered(STATE_IDS, lambda: _states(notes, files, found))


def _source(files: Mapping[str, bytes]) -> tuple[str, str]:
    """The files' names, and a digest over all of them.

    Raises:
        NothingCollected: there are none.
    """
    if not files:
        raise NothingCollected("no file of a deployment was given", hint="Name them: --deployment FILE.")
    digests = "".join(f"{name}\0{sha256(data)}\n" for name, data in sorted(files.items()))
    return plain(", ".join(sorted(files))), sha256(digests.encode("utf-8", "surrogateescape"))


def _findings(
    notes: Notes, files: Mapping[str, bytes], approved: Approved | None, found: list[Finding]
) -> Iterator[Evidence]:
    source, digest = _source(files)
    found += sorted(lint_files(files, approved), key=lambda one: (-one.severity, one.path, one.rule, one.location))
    rows: list[JsonValue] = [
        {
            "rule": one.rule,
            "severity": one.severity.label,
            "path": plain(one.path),
            "location": plain(one.location),
            "message": plain(one.message, 400),
        }
        for one in found
    ]
    yield notes.saw("deployment.findings", bounded(rows), f"lint of {source}", digest=digest)


def _states(notes: Notes, files: Mapping[str, bytes], found: Sequence[Finding]) -> Iterator[Evidence | Unobtained]:
    source, digest = _source(files)
    broken = {one.rule for one in found}
    for id_, against in AGAINST.items():
        if against & broken:
            said = f"lint of {source}: {', '.join(sorted(against & broken))}"
            yield notes.saw(id_, False, said, digest=digest)
    unread = next((one for one in found if one.rule in UNREAD), None)
    if unread is not None:
        raise Malformed(f"not everything was read: {plain(unread.path)}: {plain(unread.message)}")
    read = [read_file(name, data) for name, data in sorted(files.items())]
    units = list(_units(read))
    if not units:
        raise NothingCollected(f"nothing that serves a model was recognised in {source}")
    revised = all(_REVISION.search(data) for data in files.values())
    shown = {
        "deployment.offline": all(_offline(unit) for unit in units),
        "deployment.isolated": None
        if any(unit.closed is None for unit in units)
        else all(unit.closed for unit in units),
        "deployment.pinned": revised and all(_pinned(unit.serving.workload) for unit in units),
    }
    for id_, state in shown.items():
        if not AGAINST[id_] & broken:
            if state is None:
                yield Unobtained(id_, f"{source} says nothing of the network that it runs in")
            else:
                yield notes.saw(id_, state, source, digest=digest)


def _units(read: Sequence[FileRead]) -> Iterator[_Unit]:
    """Everything that serves a model, by what it was written in."""
    objects = [one for one in read if one.kind in ("kubernetes", "yaml", "json")]
    cluster = Cluster.of([document for one in objects for document in one.documents])
    for one in objects:
        for document in one.documents:
            for pod in pods_of(document, cluster):
                # Lint says `egress` of a pod that serves and is not closed.
                yield from _serving(pod.workloads, closed=True)
    env_files = {one.file.replace("\\", "/").rsplit("/", 1)[-1]: one.variables for one in read if one.kind == "env"}
    for one in read:
        if one.kind == "compose":
            for document in one.documents:
                for service in services_of(document, env_files):
                    yield from _serving((service.workload,), closed=service.is_internal)
        yield from _serving(one.workloads, closed=None)
    for resource in _resources(read):
        yield from _serving(aws.workloads_of(resource), closed=_isolated(resource) if resource.kind == MODEL else None)


def _isolated(resource: Resource) -> bool:
    """Whether a SageMaker model is isolated for certain: a parameter may say otherwise when it is deployed."""
    return resource.get("EnableNetworkIsolation") in (True, "true", "True")


def _serving(workloads: Iterable[Workload], *, closed: bool | None) -> Iterator[_Unit]:
    for workload in workloads:
        serving = serving_of(workload)
        if serving.serves and not workload.is_init:
            yield _Unit(serving, closed)


def _resources(read: Sequence[FileRead]) -> Iterator[Resource]:
    """Resources of AWS, in whatever they were written."""
    known = aws.terraform_variables([document for one in read if one.kind == "terraform" for document in one.documents])
    for one in read:
        for document in one.documents:
            yield from _of(one.kind, document, known)


def _of(kind: str, document: Document, known: aws.Known) -> Iterable[Resource]:
    if kind == "cloudformation":
        return aws.cloudformation(document)
    if kind == "terraform":
        return aws.terraform(document, known)
    if kind == "terraform-plan":
        return aws.terraform_plan(document)
    return aws.requests(document) if kind == "request" else ()


def _offline(unit: _Unit) -> bool:
    """Whether libraries are told to stay at home, or cannot leave, and every model is one's own, known now."""
    at_home = unit.serving.is_offline or (unit.closed is True and unit.serving.workload.platform == "sagemaker")
    return at_home and all(one.origin in (Origin.PATH, Origin.STORE) for one in unit.serving.settings)


def _pinned(workload: Workload) -> bool:
    """Whether its image is named by its digest; what has no image of its own takes the platform's, which moves."""
    return workload.image is not None and _DIGEST.search(workload.image.text) is not None
