"""Finds resources of AWS in CloudFormation, in Terraform and in requests, all told by CloudFormation's names.

References to parameters and variables become their defaults where they have one, and stay open (`${…}`) where not. Blocks of Terraform
become lists or mappings as CloudFormation has them. Requests are those of SageMaker's CreateModel and CreateEndpointConfig.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from weighbridge.core.errors import FormatError
from weighbridge.deploy.lint.parts import (
    Document,
    Json,
    Mount,
    Place,
    Resource,
    Said,
    Variable,
    Workload,
    mapping,
    pointer_of,
    sequence,
    text_of,
)
from weighbridge.formats import json_text

MODEL_FOLDER: Final = "/opt/ml/model"
_SUBSTITUTED: Final = re.compile(r"\$\{([A-Za-z0-9_.:]+)\}")
_MAX_TEXT: Final = 8_192


def cloudformation(document: Document) -> Iterator[Resource]:
    """The resources of a template."""
    root = mapping(document.value)
    known: dict[str, str] = {}
    for name, one in mapping(root.get("Parameters")).items():
        default = text_of(mapping(one).get("Default"))
        if default is not None and mapping(one).get("NoEcho") not in (True, "true"):
            known[name] = default
    for name, one in mapping(root.get("Resources")).items():
        kind = text_of(mapping(one).get("Type")) or ""
        properties = mapping(_resolved(mapping(one).get("Properties"), known))
        yield Resource(kind, name, properties, document, pointer_of("Resources", name, "Properties"))


def _resolved(value: Json, known: Mapping[str, str]) -> Json:
    """The value with intrinsic functions written out; as deep as the value, which is bounded."""
    if isinstance(value, list):
        return [_resolved(one, known) for one in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, inner),) = value.items()
        if key == "Ref" and isinstance(inner, str):
            return known.get(inner, f"${{{inner}}}")
        if key.startswith("Fn::"):
            return _called(key, _resolved(inner, known), known)
    return {key: _resolved(one, known) for key, one in value.items()}


def _called(name: str, inner: Json, known: Mapping[str, str]) -> Json:
    if name == "Fn::Sub":
        parts = sequence(inner)
        text = text_of(parts[0] if parts else inner) or ""
        names = {**known}
        for key, one in mapping(parts[1] if len(parts) > 1 else None).items():
            names[key] = text_of(one) or f"${{{key}}}"
        return _SUBSTITUTED.sub(lambda found: names.get(found[1], found[0])[:_MAX_TEXT], text[:_MAX_TEXT])
    if name == "Fn::Join" and len(sequence(inner)) == 2:
        separator, parts = text_of(sequence(inner)[0]) or "", sequence(sequence(inner)[1])
        return separator.join(text_of(part) or "${}" for part in parts)[:_MAX_TEXT]
    if name == "Fn::If" and len(sequence(inner)) == 3:
        first, second = sequence(inner)[1:]
        if isinstance(first, dict) or isinstance(second, dict):
            return first if isinstance(first, dict) else second
        return first if text_of(first) == text_of(second) else f"${{If {text_of(first)} else {text_of(second)}}}"
    shown = text_of(inner) or ".".join(text_of(one) or "" for one in sequence(inner))
    return f"${{{name.removeprefix('Fn::')} {shown}}}"


# --- Terraform -------------------------------------------------------------------------------------

_KINDS: Final = {
    "aws_sagemaker_model": "AWS::SageMaker::Model",
    "aws_sagemaker_endpoint_configuration": "AWS::SageMaker::EndpointConfig",
    "aws_s3_bucket": "AWS::S3::Bucket",
    "aws_s3_bucket_policy": "AWS::S3::BucketPolicy",
    "aws_s3_bucket_acl": "AWS::S3::BucketAcl",
    "aws_s3_bucket_public_access_block": "AWS::S3::PublicAccessBlock",
    "aws_s3_bucket_server_side_encryption_configuration": "AWS::S3::Encryption",
    "aws_iam_policy": "AWS::IAM::ManagedPolicy",
    "aws_iam_role_policy": "AWS::IAM::Policy",
    "aws_ecs_task_definition": "AWS::ECS::TaskDefinition",
}
_SPELT: Final = {
    "environment": "Environment",
    "kms_key_arn": "KmsKeyId",
    "primary_container": "PrimaryContainer",
    "container": "Containers",
    "volume_size_in_gb": "VolumeSizeInGB",
    "enable_ssm_access": "EnableSSMAccess",
    "model_data_download_timeout_in_seconds": "ModelDataDownloadTimeoutInSeconds",
    "policy": "PolicyDocument",
}
_LISTS: Final = frozenset(("ProductionVariants", "ShadowProductionVariants", "Containers"))


def terraform_variables(documents: list[Document]) -> dict[str, str]:
    """The defaults of variables and locals of all files together, by how they are named (`var.x`, `local.x`)."""
    found: dict[str, str] = {}
    for document in documents:
        root = mapping(document.value)
        for name, one in mapping(root.get("variable")).items():
            default = text_of(mapping(_one(one)).get("default"))
            if default is not None:
                found.setdefault(f"var.{name}", default)
        for block in [root["locals"]] if isinstance(root.get("locals"), dict) else sequence(root.get("locals")):
            for name, value in mapping(block).items():
                if (text := text_of(value)) is not None:
                    found.setdefault(f"local.{name}", text)
        if document.file.endswith((".tfvars", ".tfvars.json")):
            found |= {f"var.{name}": text for name, value in root.items() if (text := text_of(value)) is not None}
    return found


def terraform(document: Document, known: Mapping[str, str]) -> Iterator[Resource]:
    """The resources of a file that rules know."""
    kinds = mapping(mapping(document.value).get("resource"))
    for spelt, names in kinds.items():
        if spelt in _KINDS:
            for name, one in mapping(names).items():
                properties = mapping(_cloud(_one(one), known))
                pointer = pointer_of("resource", spelt, name) + ("/0" if isinstance(one, list) else "")
                yield Resource(_KINDS[spelt], name, properties, document, pointer, "terraform")


def terraform_plan(document: Document) -> Iterator[Resource]:
    """The resources of what `terraform show -json` prints of a plan, in all modules."""
    modules = [
        ("/planned_values/root_module", mapping(mapping(document.value).get("planned_values")).get("root_module"))
    ]
    while modules:
        at, module = modules.pop()
        for place, item in enumerate(sequence(mapping(module).get("resources"))):
            one = mapping(item)
            kind = _KINDS.get(text_of(one.get("type")) or "")
            if kind:
                name, pointer = text_of(one.get("name")) or "", f"{at}/resources/{place}/values"
                yield Resource(kind, name, mapping(_cloud(one.get("values"), {})), document, pointer, "terraform")
        below = sequence(mapping(module).get("child_modules"))
        modules += [(f"{at}/child_modules/{place}", one) for place, one in enumerate(below)]


_NOT_READ_KINDS: Final = re.compile(
    r"(?:kubernetes_(?:deployment|pod|job|cron_job|stateful_set|daemon_?set|replication_controller|manifest)\w*|helm_release|kubectl_manifest"
    r"|docker_container|google_cloud_run\w*|google_vertex_ai_endpoint\w*|nomad_job|aws_cloudformation_stack\w*|aws_batch_job_definition"
    r"|aws_apprunner_service|azurerm_container_\w+|aws_instance|google_compute_instance)\Z"
)
_NOT_READ_TYPES: Final = (
    "AWS::CloudFormation::Stack",
    "AWS::SageMaker::ModelPackage",
    "AWS::Batch::JobDefinition",
    "AWS::EKS::Addon",
    "Custom::AWSCDK-EKS-HelmChart",
    "Custom::AWSCDK-EKS-KubernetesResource",
)


def not_read(document: Document, kind: str) -> Iterator[tuple[Place, str]]:
    """What a template or a Terraform file has of kinds that may serve models and are not read here."""
    root = mapping(document.value)
    if kind == "cloudformation":
        for name, one in mapping(root.get("Resources")).items():
            spelt = text_of(mapping(one).get("Type")) or ""
            if spelt in _NOT_READ_TYPES:
                yield document.place(pointer_of("Resources", name)), spelt
        return
    for spelt, names in mapping(root.get("resource")).items():
        for name in mapping(names) if _NOT_READ_KINDS.match(spelt) else ():
            yield document.place(pointer_of("resource", spelt, name)), spelt


def _one(value: Json) -> Json:
    return value[0] if isinstance(value, list) and value else value


def _cloud(value: Json, known: Mapping[str, str]) -> Json:
    """Properties under CloudFormation's names, variables put in; blocks are mappings, or lists where CloudFormation has them."""
    found: dict[str, Json] = {}
    for key, inner in mapping(value).items():
        name = _SPELT.get(key, "".join(word.capitalize() for word in key.split("_")))
        if key in ("environment", "tags", "policy", "container_definitions"):
            found[name] = _put(inner, known)
        elif isinstance(inner, dict):
            found[name] = [_cloud(inner, known)] if name in _LISTS else _cloud(inner, known)
        elif isinstance(inner, list) and inner and all(isinstance(one, dict) for one in inner):
            many = [_cloud(one, known) for one in inner]
            found[name] = many if name in _LISTS or len(many) > 1 else many[0]
        else:
            found[name] = _put(inner, known)
    return found


_VARIABLE: Final = re.compile(r"\$\{\s*((?:var|local)\.[A-Za-z0-9_-]+)\s*\}")


def _put(value: Json, known: Mapping[str, str]) -> Json:
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: known.get(found[1], found[0])[:_MAX_TEXT], value[:65_536])
    if isinstance(value, list):
        return [_put(one, known) for one in value]
    if isinstance(value, dict):
        return {key: _put(one, known) for key, one in value.items()}
    return value


# --- requests ---------------------------------------------------------------------------------------


def requests(document: Document) -> Iterator[Resource]:
    """SageMaker's requests: one, or several by their names (`{"CreateModel": {…}}`) or in a list."""
    value = document.value
    parts = (
        [("", value)]
        if isinstance(value, dict) and _request_kind(value)
        else [(pointer_of(key), one) for key, one in mapping(value).items()]
        + [(pointer_of(at), one) for at, one in enumerate(sequence(value))]
    )
    for pointer, one in parts:
        kind = _request_kind(mapping(one))
        if kind:
            yield Resource(
                kind, text_of(mapping(one).get("ModelName")) or kind, mapping(one), document, pointer, "request"
            )


def _request_kind(one: Mapping[str, Json]) -> str:
    if "ProductionVariants" in one:
        return "AWS::SageMaker::EndpointConfig"
    if ("PrimaryContainer" in one or "Containers" in one) and ("ModelName" in one or "ExecutionRoleArn" in one):
        return "AWS::SageMaker::Model"
    return ""


# --- what runs in them -----------------------------------------------------------------------------


def workloads_of(resource: Resource) -> Iterator[Workload]:
    """The containers of a SageMaker model, or of an ECS task."""
    if resource.kind == "AWS::SageMaker::InferenceComponent":
        part = mapping(resource.get("Specification", "Container"))
        if part:
            spelt = {"ModelDataUrl": part.get("ArtifactUrl"), **part}
            yield _model_container(resource, ("Specification", "Container"), spelt)
    elif resource.kind == "AWS::SageMaker::Model":
        if isinstance(resource.get("PrimaryContainer"), dict):
            yield _model_container(resource, ("PrimaryContainer",), mapping(resource.get("PrimaryContainer")))
        for at, one in enumerate(sequence(resource.get("Containers"))):
            yield _model_container(resource, ("Containers", str(at)), mapping(one))
    elif resource.kind == "AWS::ECS::TaskDefinition":
        yield from _tasks(resource)


def _model_container(resource: Resource, keys: tuple[str, ...], one: dict[str, Json]) -> Workload:
    place = resource.place(*keys)
    variables = {
        name: Variable(
            text_of(value), resource.document.place(f"{resource.place(*keys, 'Environment').pointer}{pointer_of(name)}")
        )
        for name, value in mapping(one.get("Environment")).items()
    }
    source = mapping(mapping(one.get("ModelDataSource")).get("S3DataSource"))
    model: Said | None = None
    if source:
        where = resource.place(*keys, "ModelDataSource", "S3DataSource", "S3Uri")
        model = Said(text_of(source.get("S3Uri")) or "${S3Uri}", where)
    elif one.get("ModelDataUrl") is not None:
        model = Said(text_of(one["ModelDataUrl"]) or "${ModelDataUrl}", resource.place(*keys, "ModelDataUrl"))
    image = text_of(one.get("Image"))
    return Workload(
        platform="sagemaker",
        name=resource.name,
        place=place,
        image=Said(image, resource.place(*keys, "Image")) if image is not None else None,
        variables=variables,
        model=model,
        folder=MODEL_FOLDER if model is not None else "",
    )


def _tasks(resource: Resource) -> Iterator[Workload]:
    definitions = resource.get("ContainerDefinitions")
    if isinstance(definitions, str):
        try:
            definitions = json_text.parse(definitions.encode("utf-8")).value
        except FormatError:
            definitions = []
    for at, item in enumerate(sequence(definitions)):
        one = {key[:1].lower() + key[1:]: value for key, value in mapping(item).items()}
        place = resource.place("ContainerDefinitions", str(at))
        image = text_of(one.get("image"))
        yield Workload(
            platform="ecs",
            name=text_of(one.get("name")) or resource.name,
            place=place,
            image=Said(image, place) if image is not None else None,
            words=tuple(
                Said(text, place)
                for key in ("entryPoint", "command")
                for word in sequence(one.get(key))
                if (text := text_of(word)) is not None
            ),
            variables=_task_variables(one, place),
            mounts=tuple(_task_mounts(one, place)),
            rights=(Said("privileged", place),) if one.get("privileged") is True else (),
        )


def _task_variables(one: Mapping[str, Json], place: Place) -> dict[str, Variable]:
    found: dict[str, Variable] = {}
    for key in ("environment", "secrets"):
        for item in sequence(one.get(key)):
            pair = {name.lower(): value for name, value in mapping(item).items()}
            if (name := text_of(pair.get("name"))) is not None:
                secret = key == "secrets"
                found[name] = Variable(None if secret else text_of(pair.get("value")), place, secret)
    return found


def _task_mounts(one: Mapping[str, Json], place: Place) -> Iterator[Mount]:
    for item in sequence(one.get("mountPoints")):
        pair = {name[:1].lower() + name[1:]: value for name, value in mapping(item).items()}
        if path := text_of(pair.get("containerPath")):
            yield Mount(path, "volume", pair.get("readOnly") is True, place)
