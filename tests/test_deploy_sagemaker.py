"""SageMaker: requests that the service takes, templates that say the same, and applying that changes nothing of others."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command
from tests.support.cases import each
from tests.support.sagemaker_server import SageMakerServer, arn, pairs
from tests.support.seaweed import S3Server
from weighbridge.core.errors import (
    AccessRefused,
    Busy,
    ConfigError,
    Denied,
    IntegrityError,
    Interrupted,
    NothingCollected,
    Revoked,
    WeighbridgeError,
)
from weighbridge.core.names import ModelName
from weighbridge.deploy.apply_sagemaker import SageMaker, Watch, apply, check_plan, delete, rollback, status
from weighbridge.deploy.applying import platform_of
from weighbridge.deploy.architecture import Architecture
from weighbridge.deploy.aws_calls import Aws
from weighbridge.deploy.deployable import Deployable
from weighbridge.deploy.deployments import APPLIED, recorded_of
from weighbridge.deploy.environment import TOKEN_VARIABLES
from weighbridge.deploy.iam import Outcome, PolicyDocument, PolicyKind, Principal, Request, evaluate
from weighbridge.deploy.lint import lint_files
from weighbridge.deploy.plan import Plan, Target
from weighbridge.deploy.service_model import ServiceModel, load_service_model
from weighbridge.deploy.targets.sagemaker import (
    CLOUDFORMATION,
    REQUESTS,
    ROLE,
    TERRAFORM,
    TRUST,
    Options,
    Prepared,
    calls,
    prepare,
    render,
)
from weighbridge.deploy.targets.sagemaker_environment import MOUNT
from weighbridge.deploy.targets.sagemaker_record import read_requests
from weighbridge.deploy.targets.sagemaker_terraform import snake

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/vllm@sha256:" + "c" * 64
R1_BYTES = 690_000_000_000
VERSIONS = {"vllm": "0.33.0", "tgi": "3.3.7", "lmi": "0.36.0"}
NETWORK: dict[str, Any] = {
    "execution_role": "arn:aws:iam::111122223333:role/inference",
    "subnets": ("subnet-0a1b2c3d4e5f60718",),
    "security_groups": ("sg-0a1b2c3d4e5f60718",),
    "kms_key": "arn:aws:kms:us-east-1:111122223333:key/0123",
}


def model(
    size: int = 16_000_000_000, *, shards: int = 4, revision: str = "a" * 40, files: tuple[str, ...] = ()
) -> Deployable:
    """An approved revision of so many bytes."""
    weights = {f"model-{n:05d}-of-{shards:06d}.safetensors": size // shards for n in range(shards)}
    shape = Architecture(
        names=("LlamaForCausalLM",), layers=32, attention_heads=32, key_value_heads=8, context_length=131_072
    )
    everything = {**weights, "config.json": 700, "tokenizer.json": 9_000, **dict.fromkeys(files, 10)}
    return Deployable(
        ModelName("acme", "Tiny.Chat"), "production", revision, "b" * 64, "s3://approved/store", everything, shape
    )


def options(engine: str = "vllm", **chosen: Any) -> Options:
    """Choices that are complete."""
    given = {"instance_type": "ml.g6e.12xlarge", **NETWORK, **chosen}
    return Options(engine=engine, image=IMAGE, engine_version=VERSIONS[engine], **given)


VARIANTS = {
    "plain": options(),
    "parameters": Options(image=IMAGE, engine_version="0.33.0", instance_type="ml.g6e.12xlarge"),
    "volume": options("tgi", instance_type="ml.p3.8xlarge", instances=3, traffic="linear", alarm_latency_ms=900),
    "scaled": options(instances=2, scale_min=2, scale_max=6, region="eu-central-1"),
    "made": options(execution_role="", make_role=True),
    "queue": options(
        "lmi",
        async_output="s3://answers/out",
        async_failures="s3://answers/failed",
        async_concurrency=4,
        scale_min=0,
        scale_max=4,
    ),
}


@pytest.fixture(params=VARIANTS)
def prepared(request: pytest.FixtureRequest) -> Prepared:
    """Each kind of endpoint."""
    return prepare(model(), VARIANTS[request.param])


# --- the validator ---------------------------------------------------------------------------------


def test_every_pattern_of_the_services_used_is_understood() -> None:
    for name in ("sagemaker", "cloudwatch", "application-autoscaling"):
        service = load_service_model(name)
        for shape_name, shape in service.shapes.items():
            if "pattern" in shape:
                found = list(service._check(shape_name, "x" * int(str(shape.get("min", 1)) or 1), "x", 0))
                assert all(one.rule != "not-understood" for one in found), shape["pattern"]


def leaves(service: ServiceModel, shape_name: str, value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """(path, shape's name) of all parts of a request."""
    shape: Mapping[str, Any] = service.shapes[shape_name]
    yield path, shape_name
    if shape["type"] == "structure":
        for name, item in value.items():
            yield from leaves(service, shape["members"][name]["shape"], item, (*path, name))
    elif shape["type"] == "list":
        for index, item in enumerate(value):
            yield from leaves(service, shape["member"]["shape"], item, (*path, index))
    elif shape["type"] == "map":
        for key, item in value.items():
            yield from leaves(service, shape["value"]["shape"], item, (*path, key))


def breakings(shape: Mapping[str, Any], value: Any) -> Iterator[tuple[str, Any]]:
    """(rule, value) that break what a shape asks for."""
    yield "type", object()
    if "enum" in shape:
        yield "enum", value + "x"
        yield "enum", value.swapcase()
    if "pattern" in shape:
        wrong = next((one for one in ("", " ", "\n", "*", "a b", "-", "ünï\x00") if _mismatch(shape, one)), None)
        if wrong is not None:
            yield "pattern", wrong
    for rule, bound, beyond in (("max", shape.get("max"), 1), ("min", shape.get("min"), -1)):
        if bound is not None and (made := _of_size(shape["type"], value, bound + beyond)) is not None:
            yield rule, made
    yield from {"structure": _structures, "boolean": _others, "integer": _others}.get(shape["type"], _none)(
        shape, value
    )


def _of_size(kind: str, value: Any, size: int) -> Any:
    if kind in ("integer", "long", "float", "double"):
        return size
    if size < 0:
        return None
    return {"string": "a" * size, "list": [value[0] if value else "x"] * size if kind == "list" else None}.get(kind)


def _structures(shape: Mapping[str, Any], value: Any) -> Iterator[tuple[str, Any]]:
    yield "unknown", {**value, "Invented": 1}
    for name in shape.get("required", ()):
        yield "required", {key: item for key, item in value.items() if key != name}
        yield "required", {**value, name: None}


def _others(_shape: Mapping[str, Any], value: Any) -> Iterator[tuple[str, Any]]:
    yield "type", str(value)
    if not isinstance(value, bool):
        yield "type", True


def _none(_shape: Mapping[str, Any], _value: Any) -> Iterator[tuple[str, Any]]:
    return iter(())


def _mismatch(shape: Mapping[str, Any], text: str) -> bool:
    if not shape.get("min", 0) <= len(text) <= shape.get("max", 1 << 20):
        return False
    pattern = re.sub(r"\\p\{[LZN]\}", "a-zA-Z0-9 ", shape["pattern"])
    try:
        return re.fullmatch(pattern, text) is None
    except re.error:
        return False


def put(request: Any, path: Sequence[Any], value: Any) -> Any:
    """A copy of a request with another value in one place."""
    if not path:
        return value
    changed = copy.copy(request)
    changed[path[0]] = put(request[path[0]], path[1:], value)
    return changed


def plain(value: Any) -> Any:
    """A request without references."""
    examples = {
        "ExecutionRoleArn": NETWORK["execution_role"],
        "wake": "arn:aws:autoscaling:us-east-1:111122223333:policy",
    }
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | type(None)) else examples[value.name]


def test_each_enum_pattern_range_and_member_that_is_broken_is_caught() -> None:
    broken = 0
    rules = set()
    for chosen in ("volume", "scaled", "queue"):
        for service_name, operation, request in calls(prepare(model(), VARIANTS[chosen]).requests):
            service = load_service_model(service_name)
            good = plain(request)
            assert service.violations(operation, good) == []
            top = str(service.operations[operation]["input"]["shape"])  # type: ignore[index]
            for path, shape_name in leaves(service, top, good, ()):
                value = good
                for step in path:
                    value = value[step]
                for rule, wrong in breakings(service.shapes[shape_name], value):
                    found = service.violations(operation, put(good, path, wrong))
                    assert rule in {one.rule for one in found}, (operation, path, rule, wrong)
                    broken += 1
                    rules.add(rule)
    assert broken > 1500
    assert rules == {"type", "enum", "pattern", "min", "max", "required", "unknown"}


def test_what_botocore_lets_through_is_refused() -> None:
    """The three that botocore's own validator was measured to pass."""
    service = load_service_model("sagemaker")
    source = {"S3Uri": "s3://b/p/", "S3DataType": "S3Prefix", "CompressionType": "Zstd"}
    request = {
        "ModelName": "m",
        "ExecutionRoleArn": "arn:aws:iam::1:role/x" + "x" * 10,
        "PrimaryContainer": {"ModelDataSource": {"S3DataSource": source}},
    }
    with pytest.raises(ConfigError, match=r"CompressionType: 'Zstd' is none of None, Gzip") as caught:
        service.validate("CreateModel", request)
    assert "ExecutionRoleArn" in caught.value.message
    assert service.violations("CreateModle", {})[0].rule == "operation"


# --- templates -------------------------------------------------------------------------------------


PARTIES = """
account = "111122223333"
region = "us-east-1"
administrator = "arn:aws:iam::111122223333:role/administrator"
ingest = "arn:aws:iam::111122223333:role/ingest"
inspect = "arn:aws:iam::111122223333:role/inspect"
promote = "arn:aws:iam::111122223333:role/promote"
[quarantine]
bucket = "quarantine"
key = "arn:aws:kms:us-east-1:111122223333:key/quarantine"
[approved]
bucket = "approved"
prefix = "store"
key = "arn:aws:kms:us-east-1:111122223333:key/approved"
"""


def parties(folder: Path, before: str = "", after: str = "") -> Path:
    """The file of parties of an installation."""
    file = folder / "parties.toml"
    file.write_text(PARTIES.replace(before, after) if before else PARTIES)
    return file


def text_of(plan: Plan, name: str) -> str:
    return next(file.text for file in plan.files if file.name == name)


def test_templates_pass_cfn_lint_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    from cfnlint.api import lint
    from cfnlint.config import ManualArgs

    region = ManualArgs(regions=["us-east-1"])
    made = replace(VARIANTS["made"], parties=parties(tmp_path))
    for chosen in (VARIANTS["parameters"], VARIANTS["queue"], made):
        text = text_of(render(model(), chosen), CLOUDFORMATION)
        assert [str(one) for one in lint(text, config=region)] == [], chosen
    wrong = text_of(render(model(), VARIANTS["volume"]), CLOUDFORMATION).replace('"S3Prefix"', '"S3Prefixx"')
    assert lint(wrong, config=region)


def test_the_template_isolates_encrypts_and_reads_the_approved_prefix(prepared: Prepared) -> None:
    resources = json.loads(text_of(prepared.plan, CLOUDFORMATION))["Resources"]
    of_model = resources["Model"]["Properties"]
    source = of_model["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]
    assert source == {
        "S3Uri": f"s3://approved/store/models/acme/Tiny.Chat/{'a' * 40}/",
        "S3DataType": "S3Prefix",
        "CompressionType": "None",
    }
    assert of_model["EnableNetworkIsolation"] is True
    assert of_model["VpcConfig"]["Subnets"]
    assert "@sha256:" in of_model["PrimaryContainer"]["Image"]
    config = resources["EndpointConfig"]["Properties"]
    assert config["KmsKeyId"]
    assert config["ProductionVariants"][0]["EnableSSMAccess"] is False
    rollback_by = resources["Endpoint"]["Properties"]["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    made = {one["Properties"]["AlarmName"] for one in resources.values() if one["Type"] == "AWS::CloudWatch::Alarm"}
    assert {one["AlarmName"] for one in rollback_by} <= made


PROVIDER_SAYS = json.loads((Path(__file__).parent / "data/terraform-aws.json").read_text())["resources"]
"""What the provider's own schema says of the resources that are rendered (`scripts/terraform_schema.py`)."""
META = {"lifecycle", "depends_on"}
"""What Terraform itself takes in any resource."""


def against_the_provider(said: Mapping[str, Any], block: Mapping[str, Any], where: str) -> list[str]:
    """What a block has that the provider does not take, and what it lacks."""
    unknown = block.keys() - said["arguments"].keys() - said["blocks"].keys()
    lacking = {name for name, how in said["arguments"].items() if how == "required"} - block.keys()
    found = [f"{where}.{name} is unknown" for name in unknown] + [f"{where}.{name} is missing" for name in lacking]
    for name, inner in said["blocks"].items():
        given = block.get(name, [])
        given = given if isinstance(given, list) else [given]
        if not inner["least"] <= len(given) <= (inner["most"] or len(given)):
            found.append(f"{where}.{name} stands {len(given)} times")
        found += [wrong for one in given for wrong in against_the_provider(inner, one, f"{where}.{name}")]
    return found


def wrong_in(terraform: Mapping[str, Any]) -> list[str]:
    """All that the provider would refuse of rendered resources."""
    return [
        wrong
        for kind, blocks in terraform.items()
        for block in blocks.values()
        for wrong in against_the_provider(
            PROVIDER_SAYS[kind], {name: one for name, one in block.items() if name not in META}, kind
        )
    ]


def test_terraform_is_what_the_providers_own_schema_takes(prepared: Prepared) -> None:
    terraform = json.loads(text_of(prepared.plan, TERRAFORM))["resource"]
    assert wrong_in(terraform) == []


def test_terraform_with_role_and_policies_is_what_the_providers_own_schema_takes(tmp_path: Path) -> None:
    chosen = replace(VARIANTS["queue"], execution_role="", make_role=True, parties=parties(tmp_path))
    terraform = json.loads(text_of(render(model(), chosen), TERRAFORM))["resource"]
    assert wrong_in(terraform) == []
    assert terraform.keys() == PROVIDER_SAYS.keys()
    [variant] = terraform["aws_sagemaker_endpoint_configuration"]["this"]["production_variants"]
    variant["volume_size"] = variant.pop("model_data_download_timeout_in_seconds")
    del terraform["aws_sagemaker_endpoint"]["this"]["endpoint_config_name"]
    assert sorted(wrong_in(terraform)) == [
        "aws_sagemaker_endpoint.endpoint_config_name is missing",
        "aws_sagemaker_endpoint_configuration.production_variants.volume_size is unknown",
    ]


def scalars(value: Any) -> list[str]:
    """What a document says, without its names."""
    if isinstance(value, Mapping):
        if set(value) <= {"Ref", "Fn::GetAtt"}:
            return []
        return [one for key, item in value.items() if key != "DependsOn" for one in scalars(item)]
    if isinstance(value, list):
        return [one for item in value for one in scalars(item)]
    return [] if isinstance(value, str) and value.startswith("${") else [json.dumps(value)]


def test_terraform_says_what_cloudformation_says_in_the_providers_words(prepared: Prepared) -> None:
    formation = json.loads(text_of(prepared.plan, CLOUDFORMATION))["Resources"]
    terraform = json.loads(text_of(prepared.plan, TERRAFORM))["resource"]
    pairs = {
        "Model": terraform["aws_sagemaker_model"]["this"],
        "EndpointConfig": terraform["aws_sagemaker_endpoint_configuration"]["this"],
        "Endpoint": terraform["aws_sagemaker_endpoint"]["this"],
    }
    for logical, block in pairs.items():
        said = dict(formation[logical]["Properties"])
        said.pop("RetainAllVariantProperties", None)
        said["Tags"] = [one["Value"] for one in said["Tags"]]
        block = {key: item for key, item in block.items() if key not in ("lifecycle", "depends_on")}
        assert sorted(scalars(said)) == sorted(scalars(block)), logical


def test_names_are_turned_into_the_providers() -> None:
    assert snake("VolumeSizeInGB") == "volume_size_in_gb"
    assert snake("EnableSSMAccess") == "enable_ssm_access"
    assert snake("S3OutputPath") == "s3_output_path"
    assert snake("ModelDataDownloadTimeoutInSeconds") == "model_data_download_timeout_in_seconds"


def test_names_follow_from_content_and_the_record_reads_back(prepared: Prepared) -> None:
    again = prepare(model(), VARIANTS["plain"]).requests
    assert again == prepare(model(), VARIANTS["plain"]).requests
    assert prepare(model(revision="d" * 40), VARIANTS["plain"]).requests.config_name != again.config_name
    assert prepare(model(), replace(VARIANTS["plain"], context_length=4096)).requests.config_name != again.config_name
    assert read_requests(text_of(prepared.plan, REQUESTS)) == prepared.requests


def test_the_role_reads_the_one_revision_and_its_image() -> None:
    plan = render(model(), replace(VARIANTS["queue"], region="us-east-1"))
    allowed = {one["Sid"]: one for one in json.loads(text_of(plan, ROLE))["Statement"]}
    assert allowed["ReadTheModel"]["Resource"] == f"arn:aws:s3:::approved/store/models/acme/Tiny.Chat/{'a' * 40}/*"
    assert allowed["PullTheImage"]["Resource"] == "arn:aws:ecr:us-east-1:763104351884:repository/vllm"
    assert allowed["PutAnswersAway"] == {
        "Sid": "PutAnswersAway",
        "Effect": "Allow",
        "Action": "s3:PutObject",
        "Resource": ["arn:aws:s3:::answers/out/*", "arn:aws:s3:::answers/failed/*"],
    }
    [trusted] = json.loads(text_of(plan, TRUST))["Statement"]
    assert trusted["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert trusted["Condition"]["ArnLike"]["aws:SourceArn"] == "arn:aws:sagemaker:us-east-1:111122223333:*"
    assert "not-said" not in text_of(plan, ROLE) + text_of(plan, TRUST)
    assert not [file for file in render(model(), VARIANTS["parameters"]).files if "role" in file.name]


REVISION = f"approved/store/models/acme/Tiny.Chat/{'a' * 40}"
ROLE_MAY = {
    ("s3:GetObject", f"arn:aws:s3:::{REVISION}/config.json"): True,
    ("s3:GetObject", f"arn:aws:s3:::{REVISION}0/config.json"): False,
    ("s3:GetObject", f"arn:aws:s3:::{REVISION.replace('a' * 40, 'b' * 40)}/config.json"): False,
    ("s3:GetObject", "arn:aws:s3:::approved/store/records/acme/Tiny.Chat/x"): False,
    ("s3:GetObject", "arn:aws:s3:::answers/out/1"): False,
    ("s3:PutObject", f"arn:aws:s3:::{REVISION}/config.json"): False,
    ("s3:DeleteObject", f"arn:aws:s3:::{REVISION}/config.json"): False,
    ("s3:PutObject", "arn:aws:s3:::answers/out/1"): True,
    ("s3:PutObject", "arn:aws:s3:::answers/failed/1"): True,
    ("s3:PutObject", "arn:aws:s3:::answers/outside/1"): False,
    ("s3:PutObject", "arn:aws:s3:::approved/anything"): False,
    ("kms:GenerateDataKey", NETWORK["kms_key"]): True,
    ("kms:Decrypt", "arn:aws:kms:us-east-1:111122223333:key/other"): False,
    ("kms:PutKeyPolicy", NETWORK["kms_key"]): False,
    ("ecr:BatchGetImage", "arn:aws:ecr:us-east-1:763104351884:repository/vllm"): True,
    ("ecr:BatchGetImage", "arn:aws:ecr:us-east-1:763104351884:repository/other"): False,
    ("ecr:PutImage", "arn:aws:ecr:us-east-1:763104351884:repository/vllm"): False,
    ("iam:PassRole", NETWORK["execution_role"]): False,
    ("sagemaker:CreateModel", "arn:aws:sagemaker:us-east-1:111122223333:model/x"): False,
    ("logs:PutLogEvents", "arn:aws:logs:us-east-1:111122223333:log-group:/aws/sagemaker/Endpoints/chat"): True,
    ("logs:PutLogEvents", "arn:aws:logs:us-east-1:111122223333:log-group:/aws/lambda/x"): False,
}


def test_the_role_may_what_it_needs_and_nothing_else_by_evaluation() -> None:
    text = text_of(render(model(), replace(VARIANTS["queue"], region="us-east-1")), ROLE)
    policy = PolicyDocument.parse(text, kind=PolicyKind.IDENTITY)
    principal = Principal.of(NETWORK["execution_role"])

    # A key's own policy must say that the account's policies count: the one that AWS gives a new key.
    account = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}}
    statement = {**account, "Action": "kms:*", "Resource": "*"}
    key = PolicyDocument.parse(
        json.dumps({"Version": "2012-10-17", "Statement": [statement]}), kind=PolicyKind.RESOURCE
    )

    def cells(document: PolicyDocument) -> dict[tuple[str, str], bool]:
        found = {}
        for action, resource in ROLE_MAY:
            request = Request(principal, action, resource, "111122223333")
            decision = evaluate(request, [document], key if action.startswith("kms:") else None)
            found[action, resource] = decision.outcome is Outcome.ALLOWED
        return found

    assert cells(policy) == ROLE_MAY
    for sid in ("ReadTheModel", "PullTheImage", "Log", "PutAnswersAway", "EncryptAnswers"):
        left = tuple(one for one in policy.statements if one.sid != sid)
        assert len(left) == len(policy.statements) - 1
        assert cells(replace(policy, statements=left)) != ROLE_MAY, sid


def test_a_role_that_templates_make_may_the_same_in_both_and_the_bucket_lets_it(tmp_path: Path) -> None:
    chosen = replace(VARIANTS["queue"], execution_role="", make_role=True, parties=parties(tmp_path))
    plan = render(model(), chosen)
    resources = json.loads(text_of(plan, CLOUDFORMATION))["Resources"]
    blocks = json.loads(text_of(plan, TERRAFORM))["resource"]
    made, block = resources["ExecutionRole"]["Properties"], blocks["aws_iam_role"]["execution"]
    assert resources["Model"]["Properties"]["ExecutionRoleArn"] == {"Fn::GetAtt": ["ExecutionRole", "Arn"]}
    assert blocks["aws_sagemaker_model"]["this"]["execution_role_arn"] == "${aws_iam_role.execution.arn}"
    assert made["RoleName"] == block["name"] == f"tiny-chat-{'a' * 8}-execution"
    # SageMaker reads under the prefix when the model is made, so all that lets it comes before.
    assert resources["Model"]["DependsOn"] == "ApprovedBucketPolicy"
    assert blocks["aws_sagemaker_model"]["this"]["depends_on"] == [
        "aws_iam_role_policy.execution",
        "aws_s3_bucket_policy.approved",
        "aws_kms_key_policy.approved",
    ]
    [inline] = made["Policies"]
    allowed = json.loads(text_of(plan, ROLE))
    assert inline["PolicyDocument"] == json.loads(blocks["aws_iam_role_policy"]["execution"]["policy"]) == allowed
    trusted = json.loads(text_of(plan, TRUST))
    assert made["AssumeRolePolicyDocument"] == json.loads(block["assume_role_policy"]) == trusted
    for text in (text_of(plan, CLOUDFORMATION), text_of(plan, TERRAFORM)):
        assert "execution_role_arn" not in json.loads(text).get("variable", {})
        assert "ExecutionRoleArn" not in json.loads(text).get("Parameters", {})

    bucket = resources["ApprovedBucketPolicy"]["Properties"]["PolicyDocument"]
    assert bucket == json.loads(blocks["aws_s3_bucket_policy"]["approved"]["policy"])
    key = PolicyDocument.of(json.loads(blocks["aws_kms_key_policy"]["approved"]["policy"]), kind=PolicyKind.RESOURCE)
    identity = PolicyDocument.of(inline["PolicyDocument"], kind=PolicyKind.IDENTITY)
    policy = PolicyDocument.of(bucket, kind=PolicyKind.RESOURCE)
    reads, home = f"arn:aws:s3:::{REVISION}/config.json", "arn:aws:iam::111122223333:role/"
    context = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3", "s3:signatureAge": "10"}

    def may(role: str, action: str, resource: str, on: PolicyDocument, **more: str) -> bool:
        request = Request(Principal.of(home + role), action, resource, "111122223333", {**context, **more})
        return evaluate(request, [identity], on).outcome is Outcome.ALLOWED

    assert may(made["RoleName"], "s3:GetObject", reads, policy)
    assert not may("another", "s3:GetObject", reads, policy)
    assert not may(made["RoleName"], "s3:GetObject", reads.replace("a" * 40, "b" * 40), policy)
    assert not may(made["RoleName"], "s3:PutObject", reads, policy)
    through = {"kms:ViaService": "s3.us-east-1.amazonaws.com", "kms:EncryptionContext:aws:s3:arn": reads}
    decrypting = ("kms:Decrypt", "arn:aws:kms:us-east-1:111122223333:key/approved", key)
    assert may(made["RoleName"], *decrypting, **through)
    assert not may(made["RoleName"], *decrypting)
    assert not may("another", *decrypting, **through)
    assert lint_files({file.name: file.text.encode() for file in plan.files}) == []
    assert {one.kind for one in plan.resources} >= {"AWS::IAM::Role", "AWS::S3::BucketPolicy"}
    updated = render(model(revision="c" * 40), chosen)
    assert (
        json.loads(text_of(updated, CLOUDFORMATION))["Resources"]["ExecutionRole"]["Properties"]["RoleName"]
        != made["RoleName"]
    )


@each(
    "chosen, message",
    [
        ({"make_role": True}, "is named and is to be made"),
        ({"make_role": True, "execution_role": "", "subnets": (), "security_groups": ()}, "bound to its network"),
        ({"make_role": True, "execution_role": "", "kms_key": ""}, "which account and region"),
        ({"make_role": True, "execution_role": "", "kms_key": "", "account": "1"}, "no account"),
        ({"execution_role": "", "parties": Path("parties.toml")}, "which that is is not said"),
        ({"parties": Path("/nowhere/parties.toml")}, "cannot be read"),
    ],
)
def test_a_role_that_cannot_be_made_is_told(chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        render(model(), options(**chosen))


def test_a_file_of_another_store_s_parties_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not s3://approved/store"):
        render(model(), options(parties=parties(tmp_path, 'prefix = "store"', 'prefix = "another"')))


def test_lint_finds_nothing_in_what_is_rendered(prepared: Prepared) -> None:
    files = {file.name: file.text.encode() for file in prepared.plan.files}
    assert lint_files(files) == []


# --- environment -----------------------------------------------------------------------------------


def what_the_image_loads(engine: str, environment: Mapping[str, str], mounted: bool, properties: str = "") -> str:
    """The order in which AWS and DJL document that the images choose a model."""
    if engine == "vllm":
        return environment.get("SM_VLLM_MODEL") or (MOUNT if mounted else environment.get("HF_MODEL_ID", ""))
    if engine == "lmi" and properties:
        return properties
    return environment.get("HF_MODEL_ID", "")


@pytest.mark.parametrize("engine", ["vllm", "tgi", "lmi"])
def test_no_image_falls_through_to_the_hub(engine: str) -> None:
    request = prepare(model(), options(engine, context_length=8192)).requests.model
    environment: dict[str, str] = request["PrimaryContainer"]["Environment"]  # type: ignore[index,call-overload,assignment]
    assert what_the_image_loads(engine, environment, mounted=True) == MOUNT
    assert what_the_image_loads(engine, environment, mounted=False) == MOUNT
    assert environment["HF_HUB_OFFLINE"] == environment["TRANSFORMERS_OFFLINE"] == "1"
    assert not set(environment) & set(TOKEN_VARIABLES)
    assert not [name for name, value in environment.items() if "TRUST" in name and value != "false"]
    assert (
        environment[{"vllm": "SM_VLLM_MAX_MODEL_LEN", "tgi": "MAX_TOTAL_TOKENS", "lmi": "OPTION_MAX_MODEL_LEN"}[engine]]
        == "8192"
    )


@each(
    "engine, line, error",
    [
        ("vllm", "SM_VLLM_TOKENIZER=org/other", Denied),
        ("vllm", "SM_VLLM_MODEL=org/other", ConfigError),
        ("vllm", "SM_VLLM_TRUST_REMOTE_CODE=true", Denied),
        ("vllm", "SM_VLLM_LOAD_FORMAT=pt", ConfigError),
        ("vllm", "SM_VLLM_HF_OVERRIDES={}", Denied),
        ("vllm", "SM_VLLM_NO_SUCH_THING=1", ConfigError),
        ("vllm", "SM_VLLM_SEED=--trust-remote-code", Denied),
        ("vllm", "HF_MODEL_ID=org/other", ConfigError),
        ("vllm", "HF_TOKEN=hf_x", ConfigError),
        ("vllm", "HTTPS_PROXY=http://x", ConfigError),
        ("vllm", "VLLM_PLUGINS=x", ConfigError),
        ("tgi", "HF_MODEL_ID=org/other", ConfigError),
        ("tgi", "HF_MODEL_TRUST_REMOTE_CODE=true", Denied),
        ("tgi", "REVISION=main", ConfigError),
        ("lmi", "OPTION_MODEL_ID=org/other", ConfigError),
        ("lmi", "OPTION_ENTRYPOINT=x", ConfigError),
        ("lmi", "OPTION_SPECULATIVE_DRAFT_MODEL=org/x", ConfigError),
        ("lmi", "HF_HUB_OFFLINE=0", ConfigError),
        ("lmi", "lower=1", ConfigError),
    ],
)
def test_a_variable_that_would_undo_it_is_refused(engine: str, line: str, error: type[WeighbridgeError]) -> None:
    with pytest.raises(error):
        render(model(), options(engine, environment=(line,)))


def test_a_variable_of_the_engine_is_taken() -> None:
    for engine, line in (
        ("vllm", "SM_VLLM_MAX_NUM_SEQS=64"),
        ("tgi", "MAX_CONCURRENT_REQUESTS=64"),
        ("lmi", "OPTION_MAX_NUM_SEQS=64"),
    ):
        assert f'"{line.split("=")[0]}": "64"' in text_of(
            render(model(), options(engine, environment=(line,))), TERRAFORM
        )


def test_a_value_that_a_template_would_read_as_its_own_language_stays_text() -> None:
    plan = render(model(), options(environment=("SM_VLLM_SEED=${aws_sagemaker_model.this.arn}%{if true}",)))
    block = json.loads(text_of(plan, TERRAFORM))["resource"]["aws_sagemaker_model"]["this"]
    said = block["primary_container"]["environment"]["SM_VLLM_SEED"]
    assert said == "$${aws_sagemaker_model.this.arn}%%{if true}"


# --- sizes and times -------------------------------------------------------------------------------


def test_r1_does_not_fit_a_volume_and_needs_192_megabytes_a_second() -> None:
    r1 = model(R1_BYTES, shards=163)
    plan = render(r1, options(instance_type="ml.p3.16xlarge"))
    [found] = [one for one in plan.findings if one.rule == "deploy-sagemaker-disk-too-small"]
    assert "690 GB do not fit a volume of 512 GB" in found.message
    with pytest.raises(Denied, match="690 GB do not fit"):
        check_plan(prepare(r1, options(instance_type="ml.p3.16xlarge")))
    plan = render(r1, options(instance_type="ml.p5en.48xlarge"))
    assert plan.findings == ()
    assert any("at least 192 MB/s" in note for note in plan.notes)
    variant = json.loads(text_of(plan, CLOUDFORMATION))["Resources"]["EndpointConfig"]["Properties"][
        "ProductionVariants"
    ][0]
    assert "VolumeSizeInGB" not in variant
    assert variant["ModelDataDownloadTimeoutInSeconds"] == 3600
    check_plan(prepare(r1, options(instance_type="ml.p5en.48xlarge")))


def test_what_costs_is_counted_for_690_gb() -> None:
    chosen = options(instance_type="ml.p5en.48xlarge", instances=2, scale_min=2, scale_max=4)
    costs = {one.what: one.quantity for one in render(model(R1_BYTES), chosen).cost_drivers}
    assert costs["instance hours"] == "48 to 96 a day: 2 to 4 x ml.p5en.48xlarge"
    assert costs["storage in the bucket"] == "690.0 GB"
    assert costs["reads from the bucket"] == "690.0 GB for each instance that starts, 1380.0 GB to begin with"
    # Within its limits an update takes 3600 s to download, 3600 s to start, and ten minutes to be watched.
    assert costs["instance hours of an update"].startswith("up to 4.3: 2 x ")
    assert "volumes" not in costs
    small = {one.what: one.quantity for one in render(model(), VARIANTS["volume"]).cost_drivers}
    assert small["volumes"] == "18 GB for each instance, 54 GB to begin with"


def test_a_rate_that_is_too_low_is_found() -> None:
    r1 = model(R1_BYTES, shards=163)
    slow = options(instance_type="ml.p5en.48xlarge", transfer_rate=150_000_000)
    [found] = render(r1, slow).findings
    assert found.rule == "deploy-sagemaker-load-too-slow"
    assert "need 192 MB/s, and 150 MB/s were taken" in found.message
    assert render(model(1_000_000_000), options(download_seconds=60, transfer_rate=1_000_000_000)).findings == ()
    assert render(model(100_000_000_000), options(download_seconds=60)).findings


def test_a_model_that_brings_instructions_for_the_image_is_found() -> None:
    for name in ("serving.properties", "model.py", "code/inference.py", "requirements.txt"):
        findings = render(model(files=(name,)), options("lmi")).findings
        assert [one.rule for one in findings] == ["deploy-model-configures-engine"], name


def test_devices_are_used_that_divide_the_heads_and_too_few_are_found() -> None:
    assert render(model(), options()).settings["tensor_parallel"] == 4
    big = render(model(400_000_000_000), options())
    assert [one.rule for one in big.findings] == ["deploy-model-too-large"]
    assert big.settings["fits"] is False
    with pytest.raises(ConfigError, match="heads cannot be shared by 3"):
        render(model(), options(tensor_parallel=3))


def test_the_smallest_instances_are_told_where_none_was_chosen() -> None:
    with pytest.raises(ConfigError, match="which instances") as caught:
        render(model(R1_BYTES), options(instance_type=""))
    assert "ml.p5en.48xlarge" in caught.value.hint


@each(
    "chosen, message",
    [
        ({"engine": "sglang"}, "has no image on SageMaker"),
        ({"image": IMAGE.replace("@sha256:" + "c" * 64, ":latest")}, "named by a tag"),
        ({"image": ""}, "is not said"),
        ({"instance_type": "ml.g6e.13xlarge"}, "is none of"),
        ({"execution_role": "arn:aws:iam::1:role/x"}, "ExecutionRoleArn"),
        ({"subnets": ("subnet_0",)}, "Subnets"),
        ({"security_groups": tuple(f"sg-{n}" for n in range(6))}, "SecurityGroupIds"),
        ({"kms_key": "alias/models"}, "no ARN of a key"),
        ({"instances": 0}, "instances cannot be"),
        ({"volume_gb": 100}, "has a local disk"),
        ({"instance_type": "ml.p3.8xlarge", "volume_gb": 513}, "volume of 513 GB"),
        ({"download_seconds": 7200}, "7200 seconds cannot limit"),
        ({"startup_seconds": 10}, "10 seconds cannot limit"),
        ({"ami": "my-ami"}, "InferenceAmiVersion"),
        ({"traffic": "sideways"}, "no way to shift traffic"),
        ({"traffic": "canary"}, "there may be only 1"),
        ({"bake_seconds": 4000}, "WaitIntervalInSeconds"),
        ({"scale_max": 0}, "cannot be scaled between"),
        ({"scale_max": 4, "scale_min": 0}, "cannot be scaled between"),
        ({"scale_max": 4, "instances": 5}, "lie outside"),
        ({"async_failures": "s3://x/y"}, "needs a place for its answers"),
        ({"async_output": "https://x/y"}, "not a kind of address"),
        ({"async_output": "s3://approved/store/answers"}, "lies in the approved store"),
        ({"async_output": "s3://approved"}, "lies in the approved store"),
        ({"async_output": "s3://answers/*"}, "no place for answers"),
        ({"async_output": "s3://b"}, "no place for answers"),
        ({"alarm_errors": -1}, "cannot trip an alarm"),
        ({"alarm_latency_ms": 0}, "cannot trip an alarm"),
        ({"context_length": 1_000_000}, "more than the 131072"),
        ({"served_name": "a b"}, "cannot be what callers name"),
        ({"region": "us-east-1.evil.example"}, "is no region"),
        ({"name": "Tiny_Chat"}, "cannot name a deployment"),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        render(model(), replace(options(), **chosen))


def test_a_store_that_is_not_in_s3_and_pickled_weights_are_refused() -> None:
    with pytest.raises(ConfigError, match="reads models from S3"):
        render(replace(model(), store="gs://approved"), options())
    with pytest.raises(ConfigError, match=r"no \.safetensors"):
        render(replace(model(), files={"pytorch_model.bin": 10, "config.json": 5}), options())


def test_a_weak_engine_is_refused_with_its_advisory() -> None:
    with pytest.raises(Denied, match="CVE-"):
        render(model(), replace(options(), engine_version="0.10.2"))
    plan = render(model(), replace(options(), engine_version="0.10.2", accept_vulnerable="frozen until March"))
    assert "deploy-vulnerable-engine" in {one.rule for one in plan.findings}


# --- applying --------------------------------------------------------------------------------------


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[str] = []

    def watch(self, **limits: float) -> Watch:
        return Watch(
            progress=lambda word, _: self.told.append(word), sleep=self.sleep, clock=lambda: self.now, **limits
        )

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def account() -> Iterator[tuple[SageMakerServer, Aws]]:
    """One server and the clients of it: botocore takes its time to make them."""
    with pytest.MonkeyPatch.context() as patch, SageMakerServer() as running:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }.items():
            patch.setenv(name, value)
        yield running, Aws(region="us-east-1", endpoints=running.endpoints_by_service)


@pytest.fixture
def server(account: tuple[SageMakerServer, Aws]) -> SageMakerServer:
    """An empty account."""
    account[0].reset()
    return account[0]


@pytest.fixture
def aws(account: tuple[SageMakerServer, Aws], server: SageMakerServer) -> Aws:
    """Clients of the empty account."""
    return account[1]


FIRST = prepare(model(revision="1" * 40), VARIANTS["plain"])
SECOND = prepare(model(revision="2" * 40), VARIANTS["plain"])
THIRD = prepare(model(revision="3" * 40), VARIANTS["plain"])
NAME = FIRST.requests.name


def allow(_model: ModelName, _revision: str) -> None:
    """Whatever was in service may be again."""


def test_an_endpoint_is_made_and_applying_again_changes_nothing(
    server: SageMakerServer, aws: Aws, clock: Clock
) -> None:
    outcome = apply(FIRST.requests, aws, clock.watch())
    assert outcome.state.status == "InService"
    assert (outcome.state.model, outcome.state.revision) == ("acme/Tiny.Chat", "1" * 40)
    assert outcome.state.deviations == ()
    assert clock.told == ["Creating", "InService"]
    assert server.changes() == ["CreateModel", "CreateEndpointConfig", "PutMetricAlarm", "CreateEndpoint"]
    before = len(server.changes())
    assert apply(FIRST.requests, aws, clock.watch()).done == ()
    assert len(server.changes()) == before
    assert server.models[str(FIRST.requests.model["ModelName"])]["EnableNetworkIsolation"] is True


def test_an_update_is_blue_green_with_alarms_and_one_call_rolls_it_back(
    server: SageMakerServer, aws: Aws, clock: Clock
) -> None:
    apply(FIRST.requests, aws, clock.watch())
    state = apply(SECOND.requests, aws, clock.watch()).state
    assert (state.config, state.previous) == (SECOND.requests.config_name, FIRST.requests.config_name)
    assert server.endpoints[NAME].deployment["AutoRollbackConfiguration"]["Alarms"]
    asked: list[tuple[str, str]] = []
    before = len(server.changes())
    outcome = rollback(
        NAME, aws, may_serve=lambda name, revision: asked.append((str(name), revision)), watch=clock.watch()
    )
    assert server.changes()[before:] == ["UpdateEndpoint"]
    assert asked == [("acme/Tiny.Chat", "1" * 40)]
    assert outcome.state.revision == "1" * 40
    with pytest.raises(NothingCollected):
        rollback(NAME, aws, may_serve=allow, watch=clock.watch())


def test_rollbacks_follow_what_was_in_service_and_not_what_was_made_first(
    server: SageMakerServer, aws: Aws, clock: Clock
) -> None:
    for one in (FIRST, SECOND, THIRD, FIRST):
        apply(one.requests, aws, clock.watch())
    assert rollback(NAME, aws, may_serve=allow, watch=clock.watch()).state.revision == "3" * 40
    assert rollback(NAME, aws, may_serve=allow, watch=clock.watch()).state.revision == "2" * 40


def test_nothing_is_rolled_back_to_a_revision_that_was_revoked(server: SageMakerServer, aws: Aws, clock: Clock) -> None:
    apply(FIRST.requests, aws, clock.watch())
    apply(SECOND.requests, aws, clock.watch())

    def refuse(name: ModelName, revision: str) -> None:
        raise Revoked(f"{name}@{revision} was revoked")

    before = len(server.changes())
    with pytest.raises(Revoked):
        rollback(NAME, aws, may_serve=refuse, watch=clock.watch())
    assert len(server.changes()) == before


def test_an_alarm_during_an_update_leaves_what_was_in_service(server: SageMakerServer, aws: Aws, clock: Clock) -> None:
    apply(FIRST.requests, aws, clock.watch())
    server.fate = "alarm"
    with pytest.raises(WeighbridgeError, match=r"rolled back to .*Alarms were tripped"):
        apply(SECOND.requests, aws, clock.watch())
    assert "RollingBack" in clock.told
    assert status(NAME, aws).revision == "1" * 40
    server.fate = "ok"
    assert apply(SECOND.requests, aws, clock.watch()).state.revision == "2" * 40


def test_an_endpoint_that_does_not_start_says_why_and_can_be_deleted(
    server: SageMakerServer, aws: Aws, clock: Clock
) -> None:
    server.fate = "fail"
    for _ in range(2):
        with pytest.raises(WeighbridgeError, match="did not pass the ping health check"):
            apply(FIRST.requests, aws, clock.watch())
    delete(NAME, aws, clock.watch())
    server.fate = "ok"
    assert apply(FIRST.requests, aws, clock.watch()).state.status == "InService"


def test_what_somebody_else_made_is_neither_changed_nor_deleted(
    server: SageMakerServer, aws: Aws, clock: Clock
) -> None:
    apply(FIRST.requests, aws, clock.watch())
    theirs = {key: value for key, value in server.configs[FIRST.requests.config_name].items() if key != "Tags"}
    server.configs[f"{NAME}-theirs"] = {**theirs, "EndpointConfigName": f"{NAME}-theirs"}
    server.models[f"{NAME}-theirs"] = {"ModelName": f"{NAME}-theirs"}
    server.alarms[f"{NAME}-pager"] = {"AlarmName": f"{NAME}-pager"}
    server.configs["other"] = {**theirs, "EndpointConfigName": "other"}
    outcome = delete(NAME, aws, clock.watch())
    assert set(outcome.kept) == {f"{NAME}-theirs", f"{NAME}-pager"}
    assert (set(server.configs), set(server.models)) == ({f"{NAME}-theirs", "other"}, {f"{NAME}-theirs"})
    assert (set(server.alarms), server.endpoints) == ({f"{NAME}-pager"}, {})


def test_an_endpoint_without_our_tag_is_left_alone_by_every_command(
    server: SageMakerServer, aws: Aws, clock: Clock
) -> None:
    apply(FIRST.requests, aws, clock.watch())
    server.endpoints[NAME].tags.clear()
    before = len(server.changes())
    for command in (
        lambda: apply(SECOND.requests, aws, clock.watch()),
        lambda: rollback(NAME, aws, may_serve=allow, watch=clock.watch()),
        lambda: delete(NAME, aws, clock.watch()),
    ):
        with pytest.raises(Denied, match="did not make"):
            command()
    assert len(server.changes()) == before
    assert any("does not carry the tag" in one for one in status(NAME, aws).deviations)


def test_an_alarm_of_our_name_without_our_tag_is_not_overwritten(
    server: SageMakerServer, aws: Aws, clock: Clock
) -> None:
    server.alarms[f"{NAME}-errors"] = {"AlarmName": f"{NAME}-errors"}
    with pytest.raises(Denied, match="an alarm"):
        apply(FIRST.requests, aws, clock.watch())
    assert server.alarms[f"{NAME}-errors"] == {"AlarmName": f"{NAME}-errors"}


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("EnableNetworkIsolation", False),
        ("ExecutionRoleArn", "arn:aws:iam::111122223333:role/admin"),
        ("Image", "evil@sha256:" + "0" * 64),
        ("S3Uri", "s3://elsewhere/x/"),
        ("Environment", {"SM_VLLM_MODEL": "org/other"}),
    ],
)
def test_a_model_planted_under_our_name_is_not_served(
    server: SageMakerServer, aws: Aws, clock: Clock, member: str, value: Any
) -> None:
    planted = copy.deepcopy(plain(FIRST.requests.model))
    container = planted["PrimaryContainer"]
    place = {
        "Image": container,
        "S3Uri": container["ModelDataSource"]["S3DataSource"],
        "Environment": container,
    }.get(member, planted)
    place[member] = {**place[member], **value} if isinstance(value, dict) else value
    server.models[planted["ModelName"]] = planted
    with pytest.raises(IntegrityError, match=member):
        apply(FIRST.requests, aws, clock.watch())
    assert NAME not in server.endpoints


def test_killed_after_any_request_the_next_run_ends_where_it_should(
    server: SageMakerServer, aws: Aws, clock: Clock
) -> None:
    queue = prepare(model(revision="1" * 40), VARIANTS["queue"]).requests
    steps = 0
    while True:
        server.refuse_after = len(server.changes()) + 1
        try:
            apply(queue, aws, clock.watch())
        except AccessRefused:
            steps += 1
        else:
            break
    assert steps >= 7
    changes = server.changes()
    assert sorted(changes) == sorted(set(changes) | {"PutMetricAlarm", "PutScalingPolicy"}) or len(changes) == steps + 1
    assert [one for one in changes if one.startswith("Create")] == [
        "CreateModel",
        "CreateEndpointConfig",
        "CreateEndpoint",
    ]
    assert len(server.alarms) == 2
    assert len(server.policies) == 2
    assert next(iter(server.targets.values()))["MinCapacity"] == 0
    [wake] = server.alarms[f"{NAME}-wake"]["AlarmActions"]
    assert wake.endswith(f"policyName/{NAME}-wake")


class _Stopped:
    """Waiting that somebody stops with Ctrl-C at the first pause."""

    def __init__(self, clock: Clock) -> None:
        self.watch = replace(clock.watch(), sleep=self._stop)

    def _stop(self, _seconds: float) -> None:
        raise KeyboardInterrupt


def test_stopped_while_it_waits_it_says_what_was_made_and_what_goes_on(
    server: SageMakerServer, aws: Aws, clock: Clock
) -> None:
    server.polls = 5
    config = FIRST.requests.config_name
    with pytest.raises(Interrupted) as stopped:
        apply(FIRST.requests, aws, _Stopped(clock).watch)
    assert f"the configuration {config}" in stopped.value.message
    assert f"SageMaker goes on by itself: the endpoint {NAME} is Creating, to {config}" in stopped.value.message
    before = server.changes()
    assert apply(FIRST.requests, aws, clock.watch()).state.status == "InService"
    assert not [one for one in server.changes()[len(before) :] if one.startswith("Create")]
    apply(SECOND.requests, aws, clock.watch())
    with pytest.raises(Interrupted, match=r"is Updating, to "):
        rollback(NAME, aws, may_serve=allow, to=FIRST.requests, watch=_Stopped(clock).watch)
    updates = server.changes().count("UpdateEndpoint")
    assert rollback(NAME, aws, may_serve=allow, to=FIRST.requests, watch=clock.watch()).state.revision == "1" * 40
    assert server.changes().count("UpdateEndpoint") == updates
    with pytest.raises(Interrupted, match=rf"removed so far: nothing; .* {NAME} is Deleting"):
        delete(NAME, aws, _Stopped(clock).watch)
    delete(NAME, aws, clock.watch())
    assert (server.models, server.configs, server.endpoints) == ({}, {}, {})


def test_refused_half_way_it_says_what_was_made_before(server: SageMakerServer, aws: Aws, clock: Clock) -> None:
    server.refuse_after = 2
    with pytest.raises(AccessRefused) as refused:
        apply(FIRST.requests, aws, clock.watch())
    assert f"Before that, made: the model {FIRST.requests.model['ModelName']}, " in refused.value.hint


KILLED = """
import json, sys
from weighbridge.deploy.apply_sagemaker import Watch, apply
from weighbridge.deploy.aws_calls import Aws
from weighbridge.deploy.targets.sagemaker_record import read_requests
def told(state, waited):
    print(state, flush=True)
    sys.stdin.readline()
apply(read_requests(sys.argv[1]), Aws(region="us-east-1", endpoints=json.loads(sys.argv[2])), Watch(progress=told))
"""


def test_killed_while_sagemaker_works_a_second_apply_goes_on(server: SageMakerServer, aws: Aws, clock: Clock) -> None:
    words = [sys.executable, "-c", KILLED]
    record = text_of(FIRST.plan, REQUESTS)
    with subprocess.Popen(
        [*words, record, json.dumps(server.endpoints_by_service)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "Creating\n"
        process.kill()
    made = server.changes()
    assert apply(FIRST.requests, aws, clock.watch()).state.status == "InService"
    assert server.changes() == made


def test_an_answer_in_another_order_is_no_difference(server: SageMakerServer, aws: Aws, clock: Clock) -> None:
    both = replace(VARIANTS["plain"], subnets=("subnet-00000001", "subnet-00000002"))
    requests = prepare(model(), both).requests
    apply(requests, aws, clock.watch())
    made = server.models[str(requests.model["ModelName"])]
    made["VpcConfig"]["Subnets"].reverse()
    made["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]["ETag"] = "told by the service"
    server.alarms[f"{NAME}-errors"]["Dimensions"].reverse()
    assert apply(requests, aws, clock.watch()).done == ()


def test_what_a_service_says_is_one_line_for_a_terminal(server: SageMakerServer, aws: Aws, clock: Clock) -> None:
    apply(FIRST.requests, aws, clock.watch())
    server.endpoints[NAME].reason = "bad\x1b[2J\nnews " + "x" * 9000
    failure = status(NAME, aws).failure
    assert failure.startswith("bad [2J news x")
    assert len(failure) <= 600


def test_scaling_that_is_asked_for_no_more_is_ended(server: SageMakerServer, aws: Aws, clock: Clock) -> None:
    scaled = prepare(model(), VARIANTS["scaled"]).requests
    apply(scaled, aws, clock.watch())
    assert server.targets
    assert apply(scaled, aws, clock.watch()).done == ()
    done = apply(prepare(model(revision="2" * 40), VARIANTS["scaled"]).requests, aws, clock.watch()).done
    assert len(done) == 3
    [update] = [request for _, operation, request in server.requests if operation == "UpdateEndpoint"]
    assert update["RetainAllVariantProperties"] is True
    assert "scaling ended" in apply(prepare(model(), VARIANTS["plain"]).requests, aws, clock.watch()).done
    assert not server.targets


def test_a_change_that_is_under_way_is_not_cut_into(server: SageMakerServer, aws: Aws, clock: Clock) -> None:
    apply(FIRST.requests, aws, clock.watch())
    server.polls = 10_000
    with pytest.raises(WeighbridgeError, match="still Updating after"):
        apply(SECOND.requests, aws, clock.watch(timeout_seconds=60))
    for command in (
        lambda: apply(THIRD.requests, aws, clock.watch()),
        lambda: rollback(NAME, aws, may_serve=allow, watch=clock.watch()),
        lambda: delete(NAME, aws, clock.watch()),
    ):
        with pytest.raises(Busy):
            command()
    assert status(NAME, aws).pending == SECOND.requests.config_name
    server.endpoints[NAME].polls = 3
    assert apply(SECOND.requests, aws, clock.watch()).state.revision == "2" * 40


def test_status_tells_what_was_changed_by_hand(server: SageMakerServer, aws: Aws, clock: Clock) -> None:
    assert status("never-made", aws).status == "Absent"
    apply(FIRST.requests, aws, clock.watch())
    made = server.models[str(FIRST.requests.model["ModelName"])]
    made["EnableNetworkIsolation"] = False
    made["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]["S3Uri"] = "s3://approved/store"
    server.configs[FIRST.requests.config_name]["ProductionVariants"][0]["EnableSSMAccess"] = True
    del server.configs[FIRST.requests.config_name]["KmsKeyId"]
    said = " ".join(status(NAME, aws).deviations)
    for word in ("no network isolation", "ends in a slash", "EnableSSMAccess", "not encrypted"):
        assert word in said


def test_parameters_without_a_value_are_asked_for_before_anything_is_sent(server: SageMakerServer, aws: Aws) -> None:
    with pytest.raises(ConfigError, match="ExecutionRoleArn, KmsKeyArn, SecurityGroups, Subnets"):
        apply(prepare(model(), VARIANTS["parameters"]).requests, aws)
    assert server.requests == []


def test_no_request_that_the_model_forbids_leaves(server: SageMakerServer, aws: Aws) -> None:
    with pytest.raises(ConfigError, match="EndpointName"):
        status("not a name", aws)
    assert server.requests == []


def test_missing_credentials_and_a_dead_service_are_said(
    server: SageMakerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AccessRefused, match="no AWS credentials"):
        status("x", Aws(region="us-east-1", endpoints=server.endpoints_by_service))
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    with pytest.raises(ConfigError, match="region"):
        status("x", Aws())


def test_a_recorded_deployment_is_applied_again_from_its_files(server: SageMakerServer, aws: Aws, clock: Clock) -> None:
    regions: list[str] = []

    def aws_of(region: str) -> Aws:
        regions.append(region)
        return aws

    platform = SageMaker(aws_of, clock.watch())
    first, second = (
        recorded_of(render(model(revision=one * 40), replace(VARIANTS["plain"], region="us-east-1")), APPLIED)
        for one in "12"
    )
    platform.apply(first, wait_seconds=600)
    platform.apply(second, wait_seconds=600)
    assert [part.ready for part in platform.status(second)] == [True, True]
    assert [part.ready for part in platform.status(first)] == [True, False]
    platform.apply(first, wait_seconds=600)
    assert platform.status(first)[1].state == f"acme/Tiny.Chat@{'1' * 40}"
    platform.rollback(second, may_serve=allow, wait_seconds=600)
    assert platform.status(second)[1].ready
    platform.delete(first)
    assert platform.status(first)[0].state == "missing"
    assert set(regions) == {"us-east-1"}


def names(requests: Any) -> tuple[set[str], set[str], set[str], set[str]]:
    """What there is of a version: its configuration, model, alarms and scaling policies."""
    return (
        {requests.config_name},
        {requests.model["ModelName"]},
        {one["AlarmName"] for one in (*requests.alarms, *requests.wake_alarms)},
        {one["PolicyName"] for one in requests.scaling_policies},
    )


def there(server: SageMakerServer) -> tuple[set[str], set[str], set[str], set[str]]:
    """What there is."""
    return set(server.configs), set(server.models), set(server.alarms), {policy for _, policy in server.policies}


def test_apply_and_rollback_end_with_exactly_what_the_version_has(
    server: SageMakerServer, aws: Aws, clock: Clock
) -> None:
    region = {"region": "us-east-1"}
    loud = replace(VARIANTS["queue"], engine="vllm", alarm_latency_ms=900, **region)
    plans = [prepare(model(revision=one * 40), chosen) for one, chosen in (("1", loud), ("2", options(**region)))]
    first, second = (recorded_of(one.plan, APPLIED) for one in plans)
    platform = SageMaker(lambda _: aws, clock.watch())
    platform.apply(first, wait_seconds=600)
    assert platform.prune(first) == ()
    assert there(server) == names(plans[0].requests)
    platform.apply(second, wait_seconds=600)
    server.models[f"{NAME}-theirs"] = {"ModelName": f"{NAME}-theirs"}
    removed = platform.prune(second)
    assert len(removed) == 4
    del server.models[f"{NAME}-theirs"]
    assert there(server) == names(plans[1].requests)
    assert platform.prune(second) == ()
    platform.rollback(first, may_serve=allow, wait_seconds=600)
    platform.prune(first)
    assert there(server) == names(plans[0].requests)
    assert status(NAME, aws).deviations == ()
    with pytest.raises(Busy, match="does not serve"):
        platform.prune(second)
    assert there(server) == names(plans[0].requests)


@each(
    "change",
    [
        lambda text: "",
        lambda text: text[:-20],
        lambda text: text.replace("weighbridge.sagemaker-requests/1", "weighbridge.sagemaker-requests/9"),
        lambda text: text.replace('"format"', '"form"'),
        lambda text: text.replace("1" * 40, "9" * 40),
        lambda text: text.replace('"EndpointName": "tiny-chat"', '"EndpointName": "another"'),
        lambda text: text.replace('"model": {', '"model": {"ModelName": "twice", '),
        lambda text: text.replace('"None"', '"Zstd"'),
        lambda text: text.replace("true", '"true"', 1),
    ],
)
def test_recorded_files_that_were_altered_are_not_applied(
    server: SageMakerServer, aws: Aws, clock: Clock, change: Any
) -> None:
    record = recorded_of(FIRST.plan, APPLIED)
    files = tuple(replace(file, text=change(file.text)) if file.name == REQUESTS else file for file in record.files)
    platform = SageMaker(lambda _: aws, clock.watch())
    with pytest.raises(ConfigError):
        platform.apply(replace(record, files=files), wait_seconds=60)
    assert server.changes() == []


def test_the_platform_of_the_target_is_this_one(tmp_path: Path) -> None:
    assert isinstance(platform_of(Target.SAGEMAKER, folder=tmp_path), SageMaker)


def test_arns_are_as_the_service_writes_them() -> None:
    assert load_service_model("sagemaker").violations("ListTags", {"ResourceArn": arn("endpoint", "x")}) == []


# --- as a person uses it ---------------------------------------------------------------------------


@pytest.mark.s3
@pytest.mark.xdist_group("s3")
def test_a_model_is_applied_updated_rolled_back_and_deleted_from_the_command_line(
    weighbridge: Command, s3_server: S3Server, server: SageMakerServer, tmp_path: Path
) -> None:
    server.polls = 1
    bucket = s3_server.bucket(locked=True)
    weighbridge.environment.update(
        s3_server.environment
        | {
            "WEIGHBRIDGE_STORE_QUARANTINE": f"s3://{bucket}/quarantine",
            "WEIGHBRIDGE_STORE_APPROVED": f"s3://{bucket}/approved",
        }
        | {
            f"AWS_ENDPOINT_URL_{name}": server.address
            for name in ("SAGEMAKER", "CLOUDWATCH", "APPLICATION_AUTO_SCALING")
        }
    )
    folder = tmp_path / "chat"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    (folder / "config.json").write_text('{"num_attention_heads": 32, "num_hidden_layers": 32}')
    choices = tmp_path / "deploy.toml"
    given = {"engine_version": "0.33.0", "image": IMAGE, "instance_type": "ml.g6e.12xlarge", "region": "us-east-1"}
    lines = [
        f"{key} = {json.dumps(list(value) if isinstance(value, tuple) else value)}"
        for key, value in (given | NETWORK).items()
    ]
    choices.write_text("\n".join(lines))
    apply_it = ("deploy", "apply", "acme/chat", "--target", "sagemaker", "--choices", str(choices), "--reason", "T-7")
    revisions = []
    for card in ("# one", "# two"):
        (folder / "README.md").write_text(f"---\nlicense: apache-2.0\n---\n{card}\n")
        revisions.append(
            weighbridge("ingest", str(folder), "--as", "acme/chat", "--quiet").out.strip().partition("@")[2]
        )
        weighbridge("approve", "acme/chat", "--reason", "read", "--quiet")
        weighbridge("promote", "acme/chat", "--channel", "production", "--quiet")
        if card == "# one":
            # Instances that do not start: said, on record as planned, and deleted before another try.
            server.fate, server.polls = "fail", 2
            assert "did not pass the ping health check" in weighbridge(*apply_it, code=1).err
            assert json.loads(weighbridge("deploy", "status", "--json").out)["deployments"][0]["state"] == "planned"
            weighbridge("deploy", "delete", "chat", "--reason", "does not start")
            assert there(server) == (set(), set(), set(), set())
            server.fate, server.throttle, server.polls = "ok", 2, 1
        else:
            # An alarm during the update: what was in service is, and is what the record says.
            server.fate = "alarm"
            assert "rolled back to" in weighbridge(*apply_it, code=1).err
            assert revisions[0] in weighbridge("deploy", "status", "chat", "--json").out
            server.fate = "ok"
        applied = weighbridge(*apply_it, "--json").json
        assert [len(one) for one in there(server)] == [1, 1, 1, 0]
        assert server.throttle == 0
    assert [one.split()[1] for one in applied["removed"]] == ["configuration", "model"]
    made = [operation for operation in server.changes() if operation in ("CreateEndpoint", "UpdateEndpoint")]
    assert made == ["CreateEndpoint", "CreateEndpoint", "UpdateEndpoint", "UpdateEndpoint"]
    [endpoint] = server.endpoints.values()
    serving = pairs(server.configs[endpoint.config]["Tags"])
    assert serving["weighbridge:revision"].startswith(revisions[1])
    uri = server.models[server.configs[endpoint.config]["ProductionVariants"][0]["ModelName"]]
    prefix = uri["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]["S3Uri"]
    assert prefix == f"s3://{bucket}/approved/models/acme/chat/{serving['weighbridge:revision']}/"
    # SageMaker copies what lies under the prefix: more than was sealed, or other than that, is neither applied nor put back.
    within = prefix.removeprefix(f"s3://{bucket}/")
    brought = within + "serving.properties"
    s3_server.client().put_object(Bucket=bucket, Key=brought, Body=b"option.model_id=org/model")
    for command in (("deploy", "plan", *apply_it[2:7]), apply_it):
        assert "serving.properties' lies under the revision and is not part of it" in weighbridge(*command, code=6).err
    s3_server.client().delete_object(Bucket=bucket, Key=brought)
    older = within.replace(revisions[1], revisions[0])
    config = s3_server.client().put_object(Bucket=bucket, Key=older + "config.json", Body=b'{"num_hidden_layers": 33}')
    before = server.changes()
    assert "'config.json'" in weighbridge("deploy", "rollback", "chat", "--reason", "Latin", code=6).err
    assert server.changes() == before
    s3_server.client().delete_object(Bucket=bucket, Key=older + "config.json", VersionId=config["VersionId"])
    weighbridge("deploy", "rollback", "chat", "--reason", "Latin")
    assert pairs(server.configs[endpoint.config]["Tags"])["weighbridge:revision"].startswith(revisions[0])
    assert [len(one) for one in there(server)] == [1, 1, 1, 0]
    assert revisions[0] in weighbridge("deploy", "status", "chat", "--json").out
    weighbridge("deploy", "delete", "chat", "--reason", "done")
    assert (server.endpoints, server.configs, server.models, server.alarms) == ({}, {}, {}, {})
    kinds = weighbridge("audit", "log", "--json").out
    for kind in ("deployment.applied", "deployment.rolled-back", "deployment.deleted"):
        assert kind in kinds
