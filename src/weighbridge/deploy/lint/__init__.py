"""Lints anyone's deployment: does it serve what was approved, and nothing else?

Files are read together: ConfigMaps, claims, policies, `.env` files and variables of one are known in the others. What could not be
read is a finding, and leaves the file's verdict unknown. The judgement is a function of the files, the rules and, where given,
the facts of the approved store; nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from weighbridge.core.finding import Coverage, Finding, Inspection, Report, Verdict
from weighbridge.deploy.lint import aws, rules
from weighbridge.deploy.lint.anywhere import judge_anywhere, judge_tokens
from weighbridge.deploy.lint.approved import Approved, prefix_of
from weighbridge.deploy.lint.commands import containers_run
from weighbridge.deploy.lint.compose import EnvFiles, Service, scripts_of, services_of
from weighbridge.deploy.lint.documents import FileRead, read_file
from weighbridge.deploy.lint.judge_confinement import (
    judge_image,
    judge_pod,
    judge_rights,
    judge_room,
    judge_unknown,
    judge_version,
)
from weighbridge.deploy.lint.judge_models import judge_git, judge_models
from weighbridge.deploy.lint.kubernetes import Cluster, carried_by, pods_of, unread_in
from weighbridge.deploy.lint.models import Serving, serving_of
from weighbridge.deploy.lint.parts import Document, Findings, Place, Resource, Said, Workload, mapping, shown
from weighbridge.deploy.lint.policies import judge_document, judge_policies
from weighbridge.deploy.lint.rules import RULES, VERSION
from weighbridge.deploy.lint.sagemaker import MODEL, concerned_in, isolated, judge_resource

__all__ = ["RULES", "VERSION", "Approved", "inspect_files", "lint_files", "prefixes_named"]

MAX_FILES: Final = 2_000


def lint_files(files: Mapping[str, bytes], facts: Approved | None = None) -> list[Finding]:
    """What is wrong with a deployment's files, by file, the worst first. Never raises for what files hold."""
    return [finding for report in inspect_files(files, facts).reports for finding in report.findings]


def inspect_files(files: Mapping[str, bytes], facts: Approved | None = None) -> Inspection:
    """As `lint_files`, with a verdict for each file: unknown where something could not be read."""
    findings = Findings()
    read = [read_file(name, data) for name, data in sorted(files.items())]
    for one in read:
        for pointer, what, line in one.problems:
            findings.say(rules.NOT_READ, Place(one.file, pointer, line), what)
        for key, line in one.repeated:
            findings.say(rules.DUPLICATE_KEY, Place(one.file, key, line), f"{shown(key)} is there twice")
    if not any(one.holds_something or one.problems for one in read):
        for one in read:
            findings.say(rules.NOT_READ, Place(one.file), "there is nothing in it: did what was to write it fail?")
    _judge(read, facts, findings)
    judge_tokens(files, findings)
    by_file: dict[str, list[Finding]] = {}
    for finding in findings.found:
        by_file.setdefault(finding.path, []).append(finding)
    return Inspection(tuple(_report(one, by_file.get(one.file, [])) for one in read), VERSION)


def prefixes_named(files: Mapping[str, bytes]) -> list[str]:
    """The prefixes of the form `…/models/org/name/revision/` that the files name, to be looked up for `Approved`."""
    found = set()
    for name, data in files.items():
        read = read_file(name, data)
        for resource in _resources([read]):
            found |= {prefix_of(one.model.text) for one in aws.workloads_of(resource[1]) if one.model is not None}
        cluster = Cluster.of(_kubernetes([read]))
        for document in cluster.documents:
            for pod in pods_of(document, cluster):
                found |= {prefix_of(one.model.text) for one in pod.workloads if one.model is not None}
    return sorted(found - {""})


def _report(one: FileRead, findings: Sequence[Finding]) -> Report:
    unread = any(finding.rule == rules.NOT_READ.id for finding in findings)
    coverage = Coverage(0 if unread else one.size_bytes, one.size_bytes)
    verdict = Verdict.UNKNOWN if unread else Verdict.CLEAN
    if any(finding.severity.is_grave for finding in findings):
        verdict = Verdict.BAD
    return Report(rules.INSPECTOR, one.file, verdict, coverage, tuple(findings), one.kind or "unrecognised")


def _judge(read: list[FileRead], facts: Approved | None, findings: Findings) -> None:
    env_files = {one.file.replace("\\", "/").rsplit("/", 1)[-1]: one.variables for one in read if one.kind == "env"}
    cluster = Cluster.of(_kubernetes(read))
    resources = _resources(read)
    everything = [resource for _, resource in resources]
    properties = _properties(read)
    for one in read:
        if one.kind in ("kubernetes", "yaml", "json"):
            _judge_objects(one, cluster, facts, findings)
        elif one.kind == "compose":
            _judge_compose(one, env_files, facts, findings)
        elif one.kind == "policy":
            for document in one.documents:
                judge_document(document.value, document.place(), findings)
        elif one.kind in ("cloudformation", "terraform"):
            _judge_unread(one, findings)
        _judge_workloads(one, env_files, facts, findings)
        _judge_lines(one, findings)
    concerned = concerned_in(everything)
    judge_policies(concerned, everything, findings)
    for resource in concerned:
        judge_resource(resource, everything, facts, findings)
    for resource in everything:
        for workload in aws.workloads_of(resource):
            known = replace(workload, properties=properties) if workload.platform == "sagemaker" else workload
            _judge_one(
                serving_of(known), facts, findings, isolated=resource.kind == MODEL and isolated(resource) is True
            )


def _kubernetes(read: Iterable[FileRead]) -> list[Document]:
    return [document for one in read if one.kind in ("kubernetes", "yaml", "json") for document in one.documents]


def _resources(read: Sequence[FileRead]) -> list[tuple[FileRead, Resource]]:
    known = aws.terraform_variables([document for one in read if one.kind == "terraform" for document in one.documents])
    found: list[tuple[FileRead, Resource]] = []
    for one in read:
        for document in one.documents:
            if one.kind == "cloudformation":
                found += [(one, resource) for resource in aws.cloudformation(document)]
            elif one.kind == "terraform":
                found += [(one, resource) for resource in aws.terraform(document, known)]
            elif one.kind == "terraform-plan":
                found += [(one, resource) for resource in aws.terraform_plan(document)]
            elif one.kind == "request":
                found += [(one, resource) for resource in aws.requests(document)]
            elif one.kind == "ecs":
                value = mapping(document.value)
                definitions = value.get("containerDefinitions", value.get("ContainerDefinitions"))
                task = Resource(
                    "AWS::ECS::TaskDefinition", "task", {"ContainerDefinitions": definitions}, document, "", "request"
                )
                found.append((one, task))
    return found


def _properties(read: Iterable[FileRead]) -> Mapping[str, Said]:
    """What the one `serving.properties` among the files says: it is taken to lie beside the model."""
    found = [one.properties for one in read if one.kind == "properties" and _is_serving(one)]
    return found[0] if len(found) == 1 else {}


def _is_serving(one: FileRead) -> bool:
    return any(key.startswith("option.") for key in one.properties)


def _judge_objects(one: FileRead, cluster: Cluster, facts: Approved | None, findings: Findings) -> None:
    for document in one.documents:
        for pod in pods_of(document, cluster):
            servings = [serving_of(workload) for workload in pod.workloads]
            concerned = any(serving.serves and not serving.workload.is_init for serving in servings)
            for serving in servings:
                judge_models(serving, findings)
                judge_version(serving, findings)
                judge_unknown(serving.workload, findings)
                if concerned:
                    _confined(serving, facts, findings)
            if concerned:
                judge_pod(pod, servings, cluster, facts, findings)
        judge_anywhere(document, findings)
        for place, what in unread_in(document):
            findings.say(rules.NOT_READ, place, what)
        for workload in carried_by(document, cluster):
            judge_models(serving_of(workload), findings)


def _confined(serving: Serving, facts: Approved | None, findings: Findings) -> None:
    judge_git(serving, findings)
    if serving.workload.image is not None:
        judge_image(serving.workload.image, findings)
    judge_rights(serving.workload, findings)
    judge_room(serving, facts, findings)


def _judge_unread(one: FileRead, findings: Findings) -> None:
    """What a template has that may serve models and is not read; keys of modules that name models."""
    for document in one.documents:
        for place, kind in aws.not_read(document, one.kind):
            findings.say(rules.NOT_READ, place, f"resources of the kind {shown(kind)} are not read")
        if one.kind == "terraform":
            judge_anywhere(document, findings, under="module")


def _judge_compose(one: FileRead, env_files: EnvFiles, facts: Approved | None, findings: Findings) -> None:
    for document in one.documents:
        if "include" in mapping(document.value):
            findings.say(rules.NOT_READ, document.place("/include"), "compose files that are taken in are not read")
        for service in services_of(document, env_files):
            serving = serving_of(service.workload)
            _judge_one(serving, facts, findings)
            for hook in service.hooks:
                judge_models(serving_of(hook), findings)
            more = service.workload.has_more
            if serving.serves:
                _judge_service(service, findings)
            elif more is not None and more.pointer.endswith("/extends") and service.workload.image is None:
                findings.say(rules.NOT_READ, more, f"what {shown(service.workload.name)} extends is not read")
        for script in scripts_of(document):
            judge_models(serving_of(script), findings)


def _judge_service(service: Service, findings: Findings) -> None:
    if not service.is_internal:
        what = f"the networks of {shown(service.workload.name)} are not internal"
        findings.say(rules.EGRESS, service.workload.place, what)
    if service.git is not None:
        ref = service.git.text.rpartition("#")[2].split(":")[0] if "#" in service.git.text else ""
        if not (len(ref) == 40 and all(letter in "0123456789abcdef" for letter in ref)):
            findings.say(rules.UNPINNED_GIT, service.git.place, f"it is built from {shown(service.git.text)}")


def _judge_workloads(one: FileRead, env_files: EnvFiles, facts: Approved | None, findings: Findings) -> None:
    """Dockerfiles, units and scripts; the containers that scripts start."""
    servings = [serving_of(_given(workload, env_files)) for workload in one.workloads]
    concerned = any(serving.serves and not serving.workload.is_init for serving in servings)
    for serving in servings:
        judge_models(serving, findings)
        judge_version(serving, findings)
        if concerned:
            judge_git(serving, findings)
        if serving.serves and one.kind == "unit":
            _confined(serving, facts, findings)
        for command in serving.lines.commands:
            container = containers_run(command, env_files)
            if container is not None:
                _judge_one(serving_of(container), facts, findings)
    if one.image is not None:
        for said in one.image.git:
            findings.say(rules.UNPINNED_GIT, said.place, f"{shown(said.text)} is taken in")
        for base in one.image.bases if concerned else ():
            judge_image(base, findings)


def _given(workload: Workload, env_files: EnvFiles) -> Workload:
    """The workload with the variables of the file that it names, if that is among the linted ones."""
    if workload.reads_from is None:
        return workload
    read = env_files.get(workload.reads_from.text.rsplit("/", 1)[-1])
    return workload if read is None else replace(workload, variables={**workload.variables, **read}, has_more=None)


def _judge_one(serving: Serving, facts: Approved | None, findings: Findings, *, isolated: bool = False) -> None:
    judge_models(serving, findings, isolated=isolated)
    judge_version(serving, findings)
    judge_unknown(serving.workload, findings)
    if serving.serves:
        _confined(serving, facts, findings)


def _judge_lines(one: FileRead, findings: Findings) -> None:
    """Files of variables and properties, by themselves."""
    if one.kind == "env":
        place = Place(one.file)
        judge_models(serving_of(Workload("env", one.file, place, variables=one.variables)), findings)
    elif one.kind == "properties" and _is_serving(one):
        judge_models(serving_of(Workload("properties", one.file, Place(one.file), properties=one.properties)), findings)
