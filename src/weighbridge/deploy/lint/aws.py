"""Finds resources of AWS in CloudFormation, in Terraform and in requests, all told by CloudFormation's names.

References to variables become their defaults where they have one, and stay open (`${…}`) where not. Blocks of Terraform become
lists or mappings as CloudFormation has them. Requests are those of SageMaker's CreateModel and CreateEndpointConfig.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from weighbridge.core.errors import FormatError
from weighbridge.deploy.lint.cloudformation import MAX_TEXT, cloudformation
from weighbridge.deploy.lint.hcl import read_hcl
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
from weighbridge.deploy.lint.unresolved import open_text, switch_of
from weighbridge.formats import json_text

__all__ = [
    "MODEL_FOLDER",
    "Known",
    "cloudformation",
    "not_read",
    "requests",
    "terraform",
    "terraform_plan",
    "terraform_variables",
    "workloads_of",
]

MODEL_FOLDER: Final = "/opt/ml/model"
_MAX_VARIABLES: Final = 10_000
AFTER_APPLY: Final = "${known_after_apply}"
"""What a plan of Terraform does not know yet."""
_MAX_PUT: Final = 65_536


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
    "aws_iam_user_policy": "AWS::IAM::Policy",
    "aws_iam_group_policy": "AWS::IAM::Policy",
    "aws_iam_role": "AWS::IAM::Role",
    "aws_iam_role_policy_attachment": "AWS::IAM::Attachment",
    "aws_iam_policy_attachment": "AWS::IAM::Attachment",
    "aws_ecs_task_definition": "AWS::ECS::TaskDefinition",
    "aws_kms_key": "AWS::KMS::Key",
    "aws_kms_external_key": "AWS::KMS::ExternalKey",
    "aws_kms_key_policy": "AWS::KMS::KeyPolicy",
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
    "assume_role_policy": "AssumeRolePolicyDocument",
    "inline_policy": "Policies",
}
_LISTS: Final = frozenset(("ProductionVariants", "ShadowProductionVariants", "Containers", "Policies"))
_AS_THEY_ARE: Final = ("environment", "tags", "container_definitions")
_POLICIES: Final = ("policy", "assume_role_policy")

Known = Mapping[str, Json]
"""Values by how Terraform names them: `var.x`, `local.x`, `data.aws_iam_policy_document.x.json`."""


def terraform_variables(documents: list[Document]) -> dict[str, Json]:
    """The defaults of variables and locals of all files together, and the policies that data blocks write, by their names."""
    found: dict[str, Json] = {}
    for document in documents:
        for name, value in _defaults(mapping(document.value)):
            found.setdefault(name, value)
    for document in documents:
        if document.file.endswith((".tfvars", ".tfvars.json")):
            found |= {f"var.{name}": value for name, value in mapping(document.value).items()}
    # A local may be made of variables and of other locals.
    for name in [name for name in found if name.startswith("local.")][:_MAX_VARIABLES]:
        found[name] = _put(found[name], found)
    policies: dict[str, Json] = {}
    for document in documents:
        written = mapping(mapping(mapping(document.value).get("data")).get("aws_iam_policy_document"))
        for name, one in written.items():
            policies[f"{_DATA}.{name}.json"] = _policy_written(mapping(_put(_one(one), found)))
    return found | policies


def _defaults(root: dict[str, Json]) -> Iterator[tuple[str, Json]]:
    for name, one in mapping(root.get("variable")).items():
        if "default" in mapping(_one(one)):
            yield f"var.{name}", mapping(_one(one))["default"]
    for block in _many(root.get("locals")):
        for name, value in mapping(block).items():
            yield f"local.{name}", value


_DATA: Final = "data.aws_iam_policy_document"


def _policy_written(block: dict[str, Json]) -> Json:
    """The policy that a block `aws_iam_policy_document` becomes; a text that stays open where it is made of others."""
    if any(key in block for key in ("source_policy_documents", "override_policy_documents", "dynamic")):
        return f"${{{_DATA}, made of others}}"
    statements = [mapping(one) for one in _many(block.get("statement"))]
    if any("dynamic" in one for one in statements):
        return f"${{{_DATA}, with dynamic blocks}}"
    return {"Version": block.get("version", "2012-10-17"), "Statement": [_statement_written(one) for one in statements]}


def _statement_written(one: dict[str, Json]) -> Json:
    statement: dict[str, Json] = {"Effect": one.get("effect", "Allow")}
    statement |= {name: one[key] for key, name in _STATEMENT.items() if key in one}
    for key, name in (("principals", "Principal"), ("not_principals", "NotPrincipal")):
        named: dict[str, Json] = {}
        for principal in _many(one.get(key)):
            kind = text_of(mapping(principal).get("type")) or ""
            named[kind] = [*sequence(named.get(kind)), *_many(mapping(principal).get("identifiers"))]
        if named:
            statement[name] = "*" if set(named) == {"*"} else dict(named)
    conditions: dict[str, Json] = {}
    for condition in _many(one.get("condition")):
        test, key = (text_of(mapping(condition).get(part)) or "" for part in ("test", "variable"))
        conditions[test] = {**mapping(conditions.get(test)), key: mapping(condition).get("values")}
    return {**statement, "Condition": conditions} if conditions else statement


_STATEMENT: Final = {
    "sid": "Sid",
    "actions": "Action",
    "not_actions": "NotAction",
    "resources": "Resource",
    "not_resources": "NotResource",
}


def _many(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [] if value is None else [value]


def terraform(document: Document, known: Known) -> Iterator[Resource]:
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
    changes = [mapping(one) for one in sequence(mapping(document.value).get("resource_changes"))]
    unknown = {text_of(one.get("address")): mapping(mapping(one.get("change")).get("after_unknown")) for one in changes}
    while modules:
        at, module = modules.pop()
        for place, item in enumerate(sequence(mapping(module).get("resources"))):
            one = mapping(item)
            kind = _KINDS.get(text_of(one.get("type")) or "")
            if kind:
                name, pointer = text_of(one.get("name")) or "", f"{at}/resources/{place}/values"
                later = {
                    key: AFTER_APPLY
                    for key, value in unknown.get(text_of(one.get("address")), {}).items()
                    if value is True
                }
                values = _cloud({**later, **mapping(one.get("values"))}, {})
                yield Resource(kind, name, mapping(values), document, pointer, "terraform")
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


def _cloud(value: Json, known: Known) -> Json:
    """Properties under CloudFormation's names, variables put in; blocks are mappings, or lists where CloudFormation has them."""
    found: dict[str, Json] = {}
    for key, inner in mapping(value).items():
        name = _SPELT.get(key, "".join(word.capitalize() for word in key.split("_")))
        if key in _POLICIES:
            found[name] = _policy(inner, known)
        elif key in _AS_THEY_ARE:
            found[name] = _put(inner, known)
        elif isinstance(inner, dict):
            found[name] = [_cloud(inner, known)] if name in _LISTS else _cloud(inner, known)
        elif isinstance(inner, list) and inner and all(isinstance(one, dict) for one in inner):
            many = [_cloud(one, known) for one in inner]
            found[name] = many if name in _LISTS or len(many) > 1 else many[0]
        else:
            found[name] = _put(inner, known)
    return found


def _policy(value: Json, known: Known) -> Json:
    """A policy as a value, where it is written out as JSON, as a call of `jsonencode`, or by a block of data."""
    put = _put(value, known)
    if not isinstance(put, str):
        return put
    text = put.strip()
    try:
        if called := re.fullmatch(r"\$\{\s*jsonencode\((.*)\)\s*\}", text, re.DOTALL):
            return _put(read_hcl(b"policy = " + called.group(1).encode("utf-8"))[0].get("policy"), known)
        return json_text.parse(text.encode("utf-8")).value if text.startswith("{") else text
    except FormatError:
        return text


_VARIABLE: Final = re.compile(r"\$\{\s*((?:var|local|data\.aws_iam_policy_document)\.[A-Za-z0-9_.-]+)\s*\}")


def _put(value: Json, known: Known) -> Json:
    """The value with what is known of variables: a text that is one variable becomes its value, of whatever type."""
    if isinstance(value, str):
        whole = _VARIABLE.fullmatch(value)
        if whole is not None and whole[1] in known and _is_flat(known[whole[1]], whole[1]):
            return known[whole[1]]
        text = _VARIABLE.sub(lambda found: (text_of(known.get(found[1])) or found[0])[:MAX_TEXT], value[:_MAX_PUT])
        return text[:_MAX_PUT]
    if isinstance(value, list):
        return [_put(one, known) for one in value]
    if isinstance(value, dict):
        return {key: _put(one, known) for key, one in value.items()}
    return value


def _is_flat(value: Json, name: str) -> bool:
    """Whether a value may be put in many times: what holds others could grow with each step."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return name.startswith(_DATA) or not any(isinstance(one, (dict, list)) for one in inner)


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
            rights=(Said("privileged", place),) if switch_of(one.get("privileged")) else (),
            unknown=tuple(Said(f"privileged is {text}", place) for text in [open_text(one.get("privileged"))] if text),
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
