"""Policies of roles and buckets that shapes get wrong, each with one that does the same and may be; and values nobody knows yet."""

from __future__ import annotations

import json
from typing import Any

from tests.support.deployment_corpus import DIGEST, PREFIX, Files, Pair, bucket, pod, policy, template

ARN = "arn:aws:s3:::models"
ROLE = "arn:aws:iam::111122223333:role/reader"


def statement(**members: Any) -> dict[str, Any]:
    """One that lets a model be read; and what a case changes of it. None takes a member out."""
    whole = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{ARN}/*", **members}
    return {key: value for key, value in whole.items() if value is not None}


def role(*statements: dict[str, Any]) -> Files:
    """The policy of a role, by itself."""
    return {"role.json": json.dumps({"Version": "2012-10-17", "Statement": list(statements)})}


def on_bucket(*statements: dict[str, Any], **parameters: Any) -> Files:
    """The policy of a bucket, in a template."""
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    resource = {"Type": "AWS::S3::BucketPolicy", "Properties": {"Bucket": "models", "PolicyDocument": document}}
    return {"stack.json": json.dumps({"Parameters": parameters, "Resources": {"ModelsPolicy": resource}})}


def trusted(principal: Any, condition: dict[str, Any] | None = None, action: str = "sts:AssumeRole") -> Files:
    """Who may take a role, in a template."""
    one = statement(Action=action, Resource=None, Principal=principal, Condition=condition)
    properties = {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [one]}}
    return {
        "stack.json": json.dumps({"Resources": {"ModelRole": {"Type": "AWS::IAM::Role", "Properties": properties}}})
    }


def attached(arn: Any) -> Files:
    """A role with a policy of AWS's."""
    properties = {"AssumeRolePolicyDocument": _SAGEMAKER, "ManagedPolicyArns": [arn]}
    return {
        "stack.json": json.dumps({"Resources": {"ModelRole": {"Type": "AWS::IAM::Role", "Properties": properties}}})
    }


def terraform(body: str) -> Files:
    """A file of Terraform beside a model's bucket."""
    return {"main.tf": 'resource "aws_s3_bucket_acl" "models" {\n  bucket = "models"\n  acl = "private"\n}\n' + body}


_SAGEMAKER = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
_EVERY_BUCKET = statement(Action="s3:*", Resource="*")
_READ = statement()


def with_denial(kind: str, roles: Any) -> Files:
    """A role that may do everything, and a policy beside it that denies."""
    inline = {"PolicyName": "models", "PolicyDocument": {"Statement": [_EVERY_BUCKET]}}
    denial = {
        "Version": "2012-10-17",
        "Statement": [statement(Effect="Deny", Action="*", NotResource=f"{ARN}/*", Resource=None)],
    }
    resources = {
        "ModelRole": {
            "Type": "AWS::IAM::Role",
            "Properties": {"AssumeRolePolicyDocument": _SAGEMAKER, "Policies": [inline]},
        },
        "Denial": {"Type": kind, "Properties": {"PolicyName": "d", "Roles": roles, "PolicyDocument": denial}},
    }
    return {"stack.json": json.dumps({"Resources": resources})}


def _wide(name: str, bad: dict[str, Any], *good: dict[str, Any]) -> Pair:
    return Pair("deploy-wide-role", name, role(bad), role(*(good or (_READ,))))


def _public(name: str, bad: dict[str, Any], *good: dict[str, Any]) -> Pair:
    everybody = {"Principal": "*"}
    return Pair(
        "deploy-public-bucket",
        name,
        on_bucket(statement(**everybody | bad)),
        on_bucket(*(good or (statement(Principal={"AWS": ROLE}),))),
    )


_DATA = """
data "aws_iam_policy_document" "models" {
  statement {
    actions   = ["s3:GetObject"]
    resources = ["%s"]
    principals {
      type        = "%s"
      identifiers = ["%s"]
    }
  }
}
resource "aws_s3_bucket_policy" "models" {
  bucket = "models"
  policy = data.aws_iam_policy_document.models.json
}
"""
_ENCODED = """
variable "what" { default = "%s" }
resource "aws_iam_role_policy" "models" {
  role   = "models"
  policy = jsonencode({ Statement = [{ Effect = "Allow", Action = "s3:*", Resource = var.what }] })
}
"""

_ATTACHED_WITHIN = f"""
resource "aws_iam_policy" "models" {{
  policy = jsonencode({{ Statement = [{{ Effect = "Allow", Action = "s3:*", Resource = "*" }}] }})
}}
resource "aws_iam_policy" "bound" {{
  policy = jsonencode({{ Statement = [{{ Effect = "Allow", Action = "s3:*", Resource = "{ARN}/*" }}] }})
}}
resource "aws_iam_role" "inference" {{
  assume_role_policy   = jsonencode({json.dumps(_SAGEMAKER)})
  permissions_boundary = aws_iam_policy.bound.arn
}}
resource "aws_iam_role_policy_attachment" "models" {{
  role       = aws_iam_role.inference.name
  policy_arn = aws_iam_policy.models.arn
}}
"""
_ATTACHED_TO_ANOTHER = """
resource "aws_iam_role_policy_attachment" "other" {
  role       = "other"
  policy_arn = aws_iam_policy.models.arn
}
"""

KEY = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"
_POWER = "arn:aws:iam::aws:policy/AWSKeyManagementServicePowerUser"
_EXECUTION = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
_KEY = """
resource "aws_kms_key" "models" {
  policy = jsonencode({ Statement = [{ Effect = "Allow", Principal = { AWS = "%s" }, Action = "kms:*", Resource = "*" }] })
  enable_key_rotation = %s
}
"""


def _decrypting(resource: str) -> dict[str, Any]:
    return statement(Action="kms:Decrypt", Resource=resource)


def _on_key(**members: Any) -> dict[str, Any]:
    """A statement of a key's policy, as every key has one for its own account."""
    account = {"AWS": "arn:aws:iam::111122223333:root"}
    return statement(**{"Principal": account, "Action": "kms:*", "Resource": "*", **members})


def key(*statements: dict[str, Any], rotated: bool | None = True, **properties: Any) -> Files:
    """A key for models, in a template."""
    document = {"Version": "2012-10-17", "Statement": [_on_key(), *statements]}
    said = {"KeyPolicy": document, "EnableKeyRotation": rotated, **properties}
    given = {name: value for name, value in said.items() if value is not None}
    return {"stack.json": json.dumps({"Resources": {"ModelsKey": {"Type": "AWS::KMS::Key", "Properties": given}}})}


def _key(name: str, bad: dict[str, Any], good: dict[str, Any] | None = None) -> Pair:
    return Pair("deploy-open-key", name, key(_on_key(**bad)), key(_on_key(**(good or {"Principal": {"AWS": ROLE}}))))


def bounded(within: str, *, has: bool = True, attach: bool = False, wide: dict[str, Any] | None = None) -> Files:
    """A role that may do much within a boundary, in a template; the boundary may be attached to it as well."""
    inline = {"PolicyName": "models", "PolicyDocument": {"Statement": [wide or _EVERY_BUCKET]}}
    role_of = {"AssumeRolePolicyDocument": _SAGEMAKER, "Policies": [inline]}
    if has:
        role_of["PermissionsBoundary"] = {"Ref": "ModelBoundary"}
    if attach:
        role_of["ManagedPolicyArns"] = [{"Ref": "ModelBoundary"}]
    document = {"Version": "2012-10-17", "Statement": [statement(Action="s3:*", Resource=within)]}
    resources = {
        "ModelRole": {"Type": "AWS::IAM::Role", "Properties": role_of},
        "ModelBoundary": {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document}},
    }
    return {"stack.json": json.dumps({"Resources": resources})}


POLICY_PAIRS: tuple[Pair, ...] = (
    _wide("wildcards within the action", statement(Action="s3:*Object", Resource="*")),
    _wide("in other letters", statement(Action="S3:getobject", Resource="arn:aws:s3:::*")),
    _wide("one character's wildcard", statement(Action="s3:GetObjec?", Resource="arn:aws:s3:::*/*")),
    _wide("all actions but some", statement(Action=None, NotAction="iam:*", Resource="*")),
    _wide("all resources but one", statement(Resource=None, NotResource=f"{ARN}/*")),
    _wide(
        "a condition that bounds nothing", statement(Resource="*", Condition={"Bool": {"aws:SecureTransport": "true"}})
    ),
    _wide(
        "a denial that is not certain", statement(Resource="*", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})
    ),
    _wide("handing on roles", statement(Action="iam:Pass*", Resource="*")),
    _wide(
        "denied again",
        _EVERY_BUCKET,
        _EVERY_BUCKET,
        statement(Effect="Deny", Action="*", Resource=None, NotResource=[f"{ARN}/*", ARN]),
    ),
    _wide(
        "denied by halves",
        _EVERY_BUCKET,
        statement(Resource="*"),
        statement(Effect="Deny", Action="s3:Get*", Resource="*"),
    ),
    _wide(
        "bounded by a tag",
        statement(Resource="*"),
        statement(Resource="*", Condition={"StringEquals": {"aws:ResourceTag/use": "models"}}),
    ),
    _wide(
        "a variable of IAM",
        _EVERY_BUCKET,
        statement(Action="s3:*", Resource="arn:aws:s3:::${aws:PrincipalAccount}-models/*"),
    ),
    Pair(
        "deploy-wide-role",
        "denied by another policy of the role",
        with_denial("AWS::IAM::Policy", ["another"]),
        with_denial("AWS::IAM::Policy", [{"Ref": "ModelRole"}]),
    ),
    Pair(
        "deploy-wide-role",
        "a policy of AWS's",
        attached("arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"),
        attached("arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"),
    ),
    Pair("deploy-wide-role", "in a call of jsonencode", terraform(_ENCODED % "*"), terraform(_ENCODED % f"{ARN}/*")),
    Pair(
        "deploy-wide-role",
        "an attachment",
        terraform(
            'resource "aws_iam_role_policy_attachment" "models" {\n role = "m"\n policy_arn = "arn:aws:iam::aws:policy/AmazonS3FullAccess"\n}\n'
        ),
        terraform(
            'resource "aws_iam_role_policy_attachment" "models" {\n role = "m"\n policy_arn = aws_iam_policy.m.arn\n}\n'
        ),
    ),
    _public("an object for everybody", {"Principal": {"AWS": ["*"]}}),
    _public("a condition that bounds nobody", {"Condition": {"Bool": {"aws:SecureTransport": "true"}}}),
    _public("a network of all", {"Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}}),
    _public("any endpoint", {"Condition": {"StringLike": {"aws:SourceVpce": "vpce-*"}}}),
    _public("everybody but one", {"Principal": None, "NotPrincipal": {"AWS": ROLE}}),
    _public("a part of the bucket", {"Resource": f"{ARN}/open/*"}),
    _public("listing", {"Action": "s3:List*", "Resource": ARN}),
    _public("all actions but some", {"Action": None, "NotAction": "s3:PutObject"}),
    _public("a reference to the bucket", {"Resource": {"Fn::Sub": "${ModelsBucket.Arn}/*"}}),
    _public("bounded", {}, statement(Principal="*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}})),
    _public(
        "denied to strangers",
        {},
        statement(Principal="*"),
        statement(
            Effect="Deny", Principal="*", Action="*", Condition={"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}
        ),
    ),
    _public(
        "denied elsewhere only",
        {"Resource": f"{ARN}/*"},
        statement(Principal="*", Resource=f"{ARN}/a/*"),
        statement(Effect="Deny", Principal="*", Action="s3:*", Resource=f"{ARN}/*"),
    ),
    Pair(
        "deploy-public-bucket",
        "a block of data",
        terraform(_DATA % (f"{ARN}/*", "AWS", "*")),
        terraform(_DATA % (f"{ARN}/*", "AWS", ROLE)),
    ),
    Pair(
        "deploy-public-bucket",
        "a policy by itself",
        {"policy.json": json.dumps({"Statement": statement(Principal="*")})},
        {
            "endpoint.json": json.dumps(
                {"Statement": [statement(Principal="*"), statement(Principal="*", Resource="arn:aws:s3:::o/*")]}
            )
        },
    ),
    Pair("deploy-not-offline", "known only when it is deployed", pod(env={"HF_HUB_OFFLINE": "${OFFLINE}"}), pod()),
    Pair("deploy-open-role", "everybody", trusted({"AWS": "*"}), trusted({"Service": "sagemaker.amazonaws.com"})),
    Pair(
        "deploy-open-role",
        "of one's organisation",
        trusted("*", {"StringLike": {"aws:PrincipalOrgID": "*"}}),
        trusted("*", {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}),
    ),
    Pair(
        "deploy-open-role",
        "every repository",
        trusted(
            {"Federated": "arn:aws:iam::111122223333:oidc-provider/tokens.example"},
            {"StringEquals": {"tokens.example:aud": "sts.amazonaws.com"}},
            "sts:AssumeRoleWithWebIdentity",
        ),
        trusted(
            {"Federated": "arn:aws:iam::111122223333:oidc-provider/tokens.example"},
            {"StringEquals": {"tokens.example:sub": "repo:acme/serving"}},
            "sts:AssumeRoleWithWebIdentity",
        ),
    ),
    _wide("decrypting with every key", statement(Action="kms:Decrypt", Resource="*"), _decrypting(KEY)),
    _wide(
        "through any service or none",
        statement(Action="kms:*", Resource="*"),
        statement(
            Action="kms:Decrypt",
            Resource="*",
            Condition={"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}},
        ),
    ),
    Pair("deploy-wide-role", "a key's administrator", attached(_POWER), attached(_EXECUTION)),
    Pair("deploy-wide-role", "a boundary that bounds nothing", bounded("*"), bounded(f"{ARN}/*")),
    Pair("deploy-wide-role", "no boundary of its own", bounded(f"{ARN}/*", has=False), bounded(f"{ARN}/*")),
    Pair(
        "deploy-wide-role",
        "a boundary of the role that a policy is attached to",
        terraform(_ATTACHED_WITHIN.replace("aws_iam_policy.bound.arn", "null")),
        terraform(_ATTACHED_WITHIN),
    ),
    Pair(
        "deploy-wide-role",
        "a boundary of one of two roles that a policy is attached to",
        terraform(_ATTACHED_WITHIN + _ATTACHED_TO_ANOTHER),
        terraform(_ATTACHED_WITHIN),
    ),
    Pair(
        "deploy-wide-role",
        "a boundary that is attached too",
        bounded("*", attach=True, wide=_READ),
        bounded("*", wide=_READ),
    ),
    _key("everybody", {"Principal": "*"}),
    _key("some actions", {"Principal": {"AWS": "*"}, "Action": ["kms:Decrypt", "kms:DescribeKey"]}),
    _key("everybody but one", {"Principal": None, "NotPrincipal": {"AWS": ROLE}}),
    _key(
        "through a service of any account",
        {"Principal": "*", "Condition": {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}}},
        {"Principal": "*", "Condition": {"StringEquals": {"kms:CallerAccount": "111122223333"}}},
    ),
    Pair(
        "deploy-open-key",
        "a policy by itself",
        {"key.json": json.dumps({"Statement": _on_key(Principal="*")})},
        {"key.json": json.dumps({"Statement": _on_key()})},
    ),
    Pair(
        "deploy-open-key",
        "in Terraform",
        terraform(_KEY % ("*", "true")),
        terraform(_KEY % ("arn:aws:iam::111122223333:root", "true")),
    ),
    Pair("deploy-key-not-rotated", "not said", key(rotated=None), key()),
    Pair(
        "deploy-key-not-rotated",
        "an asymmetric key has none",
        key(rotated=False),
        key(rotated=None, KeySpec="RSA_4096"),
    ),
    Pair("deploy-key-not-rotated", "in Terraform", terraform(_KEY % (ROLE, "false")), terraform(_KEY % (ROLE, "true"))),
)


# --- what only the deployment knows ----------------------------------------------------------------


def parametrised(name: str, files: Files, kind: str = "String", **more: Any) -> Files:
    """A template with a parameter of that name."""
    ((file, text),) = files.items()
    document = json.loads(text)
    document["Parameters"] = {name: {"Type": kind, **more}}
    return {file: json.dumps(document, indent=1)}


REF = {"Ref": "X"}


def conditional(condition: str, **parameter: Any) -> Files:
    """A template whose condition decides on the isolation."""
    ((file, text),) = template(model={"EnableNetworkIsolation": {"Fn::If": [condition, True, False]}}).items()
    document = json.loads(text)
    document["Parameters"] = {"X": {"Type": "String", **{key: value for key, value in parameter.items() if value}}}
    document["Conditions"] = {
        "Asked": {"Fn::Equals": [REF, "yes"]},
        "Circle": {"Fn::And": [{"Condition": "Circle"}, {"Condition": "Asked"}]},
        "Either": {"Fn::Or": [{"Condition": "Circle"}, {"Fn::Not": [{"Condition": "Asked"}]}]},
    }
    return {file: json.dumps(document)}


def planned(values: dict[str, Any], unknown: dict[str, Any]) -> Files:
    """A plan of Terraform, as `terraform show -json` prints it."""
    source = {"s3_uri": PREFIX, "s3_data_type": "S3Prefix", "compression_type": "None"}
    container = {
        "image": f"registry.example/djl-inference@{DIGEST}",
        "environment": {"HF_MODEL_ID": "/opt/ml/model", "HF_HUB_OFFLINE": "1"},
        "model_data_source": [{"s3_data_source": [source]}],
    }
    network = [{"subnets": ["subnet-1"], "security_group_ids": ["sg-1"]}]
    whole = {"name": "m", "primary_container": [container], "vpc_config": network, **values}
    address = "aws_sagemaker_model.m"
    one = {"address": address, "type": "aws_sagemaker_model", "name": "m", "values": whole}
    document = {
        "planned_values": {"root_module": {"resources": [one]}},
        "resource_changes": [{"address": address, "change": {"after_unknown": unknown}}],
    }
    return {"plan.json": json.dumps(document)}


_EITHER = {"Fn::If": ["Asked", {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}, {"Ref": "AWS::NoValue"}]}
_TF = f"""
resource "aws_sagemaker_model" "m" {{
  name                     = "m"
  enable_network_isolation = var.isolated
  vpc_config {{
    subnets            = ["subnet-1"]
    security_group_ids = ["sg-1"]
  }}
  primary_container {{
    image = "registry.example/djl-inference@{DIGEST}"
    environment = {{ HF_MODEL_ID = "/opt/ml/model", HF_HUB_OFFLINE = "1" }}
    model_data_source {{
      s3_data_source {{
        s3_uri           = "{PREFIX}"
        s3_data_type     = "S3Prefix"
        compression_type = "None"
      }}
    }}
  }}
}}
variable "isolated" {{
%s
}}
"""
UNKNOWN: dict[str, tuple[Files, Files]] = {
    "isolation": (
        parametrised("X", template(model={"EnableNetworkIsolation": REF})),
        parametrised("X", template(model={"EnableNetworkIsolation": REF}), Default="true"),
    ),
    "isolation of Terraform": ({"a.tf": _TF % "type = bool"}, {"a.tf": _TF % "default = true"}),
    "isolation by a condition": (
        conditional("Asked", Default=None),
        conditional("Asked", Default="yes"),
    ),
    "isolation in a plan": (
        planned({}, {"enable_network_isolation": True}),
        planned({"enable_network_isolation": True}, {}),
    ),
    "isolation by a condition of itself": (conditional("Circle", Default="yes"), conditional("Either", Default="no")),
    "a network by a condition": (template(model={"VpcConfig": _EITHER}), template()),
    "a key by a condition": (
        template(endpoint={"KmsKeyId": {"Fn::If": ["Asked", "alias/k", {"Ref": "AWS::NoValue"}]}}),
        parametrised("X", template(endpoint={"KmsKeyId": REF})),
    ),
    "a shell": (
        parametrised("X", template(variant={"EnableSSMAccess": REF})),
        parametrised("X", template(variant={"EnableSSMAccess": REF}), Default="false"),
    ),
    "where the model lies": (
        parametrised("X", template(source={"S3Uri": REF, "S3DataType": "S3Prefix", "CompressionType": "None"})),
        parametrised(
            "X", template(source={"S3Uri": REF, "S3DataType": "S3Prefix", "CompressionType": "None"}), Default=PREFIX
        ),
    ),
    "the image": (
        parametrised("X", template(container={"Image": REF})),
        parametrised("X", template(container={"Image": REF}), Default=f"registry.example/djl-inference@{DIGEST}"),
    ),
    "code of the model": (
        parametrised("X", template({"OPTION_TRUST_REMOTE_CODE": REF})),  # type: ignore[dict-item]
        parametrised("X", template({"OPTION_TRUST_REMOTE_CODE": REF}), Default="false"),  # type: ignore[dict-item]
    ),
    "a bucket's ACL": (
        parametrised("X", bucket(AccessControl=REF)),
        parametrised("X", bucket(AccessControl=REF), Default="Private"),
    ),
    "a bucket's block": (
        parametrised("X", bucket(PublicAccessBlockConfiguration=dict.fromkeys(("BlockPublicAcls",), REF))),
        bucket(),
    ),
    "a bucket's key": (
        parametrised("X", bucket(BucketEncryption=REF)),
        bucket(),
    ),
    "what a role may": (
        parametrised("X", on_bucket(statement(Principal={"AWS": ROLE}, Action=REF))),
        parametrised("X", on_bucket(statement(Principal={"AWS": ROLE}, Action=REF)), Default="s3:GetObject"),
    ),
    "who may read": (
        parametrised("X", on_bucket(statement(Principal={"AWS": REF}))),
        parametrised(
            "X", on_bucket(statement(Principal={"AWS": REF})), AllowedPattern="arn:aws:iam::[0-9]{12}:role/.+"
        ),
    ),
    "a policy from a file": (
        terraform('resource "aws_s3_bucket_policy" "models" {\n bucket = "models"\n policy = file("p.json")\n}\n'),
        terraform(_DATA % (f"{ARN}/*", "AWS", ROLE)),
    ),
    "a policy of others": (
        terraform(
            _DATA.replace("  statement {", '  source_policy_documents = ["x"]\n  statement {', 1)
            % (f"{ARN}/*", "AWS", ROLE)
        ),
        terraform(_DATA % (f"{ARN}/*", "AWS", ROLE)),
    ),
    "an operator that is not known": (
        on_bucket(statement(Principal={"AWS": ROLE}, Condition={"StringSounds": {"aws:x": "y"}})),
        on_bucket(statement(Principal={"AWS": ROLE}, Condition={"StringLike": {"aws:x": "y"}})),
    ),
    "a policy of AWS's that is not known": (
        attached("arn:aws:iam::aws:policy/SomethingNew"),
        attached("arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"),
    ),
    "a pod's rights": (
        pod(container={"securityContext": {"privileged": "${PRIVILEGED}"}}),
        pod(container={"securityContext": {"privileged": False}}),
    ),
    "a pod's network": (pod(spec={"hostNetwork": "${HOST}"}), pod(spec={"hostNetwork": False})),
    "a pod's image": (pod(image="${IMAGE}"), pod()),
    "where a policy lets pods": (
        pod(policies=[policy([{"to": [{"ipBlock": {"cidr": "${CIDR}"}}]}])]),
        pod(policies=[policy([{"to": [{"ipBlock": {"cidr": "10.1.2.0/24"}}]}])]),
    ),
    "the way of loading": (
        pod(["--model", "/models/m", "--load-format", "${FORMAT}"]),
        pod(["--model", "/models/m", "--load-format", "auto"]),
    ),
    "the hub": (pod(env={"HF_ENDPOINT": "${HUB}"}), pod(env={"HF_ENDPOINT": "https://models.example"})),
    "an operator's switch": (
        {"x.yaml": "apiVersion: x/v1\nkind: Engine\nspec: {trustRemoteCode: '${TRUST}'}\n"},
        {"x.yaml": "apiVersion: x/v1\nkind: Engine\nspec: {trustRemoteCode: false}\n"},
    ),
}
"""By what is not known: a deployment that leaves it open, and one that says it, or must be told a thing that cannot be anything else."""
