"""For each rule of `deploy lint`, deployments that break it and the same ones mended."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weighbridge.deploy.lint import Approved
from weighbridge.deploy.lint.approved import Revision

Files = dict[str, str]
DIGEST = "sha256:" + "ab" * 32
VLLM = f"vllm/vllm-openai@{DIGEST}"
TGI = f"ghcr.io/huggingface/text-generation-inference:3.3.7@{DIGEST}"
LLAMA_CPP = f"ghcr.io/ggml-org/llama.cpp:server-b11900@{DIGEST}"
REVISION = "0123456789abcdef0123456789abcdef01234567"
PREFIX = f"s3://models-approved/models/acme/tiny/{REVISION}/"
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
TOKEN = "hf_" + "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xYzA"


@dataclass(frozen=True)
class Pair:
    """A deployment that breaks a rule, and one that does the same and does not."""

    rule: str
    name: str
    bad: Files
    good: Files
    facts: Approved | None = field(default=None)


def policy(egress: list[Any] | None = None) -> dict[str, Any]:
    """A NetworkPolicy for all pods."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "none"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": egress or []},
    }


def pod(
    args: list[str] | None = None,
    env: Mapping[str, str | None] | None = None,
    *,
    image: str = VLLM,
    policies: list[dict[str, Any]] | None = None,
    read_only: bool = True,
    spec: dict[str, Any] | None = None,
    container: dict[str, Any] | None = None,
    volume: dict[str, Any] | None = None,
    others: list[dict[str, Any]] | None = None,
) -> Files:
    """A Deployment of vLLM with a mounted model, confined; and what a case changes of it."""
    variables = {**OFFLINE, **(env or {})}
    engine = {
        "name": "engine",
        "image": image,
        "args": ["--model", "/models/m"] if args is None else args,
        "env": [{"name": name, "value": value} for name, value in variables.items() if value is not None],
        "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": read_only}],
        **(container or {}),
    }
    inner = {
        "containers": [engine],
        "volumes": [{"name": "models", **(volume or {"persistentVolumeClaim": {"claimName": "models"}})}],
        **(spec or {}),
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "m"},
        "spec": {"template": {"metadata": {"labels": {"app": "m"}}, "spec": inner}},
    }
    documents = [deployment, *([policy()] if policies is None else policies), *(others or [])]
    return {"app.yaml": "\n---\n".join(json.dumps(one, indent=1) for one in documents)}


def template(
    environment: Mapping[str, str] | None = None,
    *,
    model: dict[str, Any] | None = None,
    source: dict[str, Any] | None = None,
    variant: dict[str, Any] | None = None,
    endpoint: dict[str, Any] | None = None,
    others: dict[str, Any] | None = None,
    container: dict[str, Any] | None = None,
) -> Files:
    """A CloudFormation template of a SageMaker endpoint, confined; and what a case changes of it."""
    properties = {
        "EnableNetworkIsolation": True,
        "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        "PrimaryContainer": {
            "Image": f"763104351884.dkr.ecr.us-east-1.amazonaws.com/djl-inference@{DIGEST}",
            "Environment": {**OFFLINE, "HF_MODEL_ID": "/opt/ml/model", **(environment or {})},
            "ModelDataSource": {
                "S3DataSource": source or {"S3Uri": PREFIX, "S3DataType": "S3Prefix", "CompressionType": "None"}
            },
            **(container or {}),
        },
        **(model or {}),
    }
    variants = [{"VariantName": "all", "InstanceType": "ml.c5.xlarge", **(variant or {})}]
    resources = {
        "Model": {"Type": "AWS::SageMaker::Model", "Properties": properties},
        "Config": {
            "Type": "AWS::SageMaker::EndpointConfig",
            "Properties": {"KmsKeyId": "alias/k", "ProductionVariants": variants, **(endpoint or {})},
        },
        **(others or {}),
    }
    return {"stack.json": json.dumps({"Resources": resources}, indent=1)}


def bucket(**properties: Any) -> Files:
    """A bucket that is closed and encrypted; and what a case changes of it."""
    closed = dict.fromkeys(("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True)
    rule = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    all_of_it: dict[str, Any] = {
        "PublicAccessBlockConfiguration": closed,
        "BucketEncryption": {"ServerSideEncryptionConfiguration": [rule]},
        **properties,
    }
    kept = {key: value for key, value in all_of_it.items() if value is not None}
    return {
        "bucket.json": json.dumps({"Resources": {"Models": {"Type": "AWS::S3::Bucket", "Properties": kept}}}, indent=1)
    }


def compose(text: str) -> Files:
    """A compose file."""
    return {"compose.yaml": text}


FACTS = Approved(
    "s3://models-approved",
    {PREFIX: Revision({"config.json": 100, "model.safetensors": 690_000_000_000})},
    690_000_000_000,
)
EXTRA = Approved(
    "s3://models-approved",
    {PREFIX: Revision({"config.json": 100}, ("config.json", "pytorch_model.bin"))},
)
WHOLE = Approved("s3://models-approved", {PREFIX: Revision({"config.json": 100}, ("config.json",))})

_RULES = "deploy-"
_COMPOSE = f"""\
services:
  vllm:
    image: {VLLM}
    command: ["--model", "/models/m"]
    environment: {{HF_HUB_OFFLINE: "1", TRANSFORMERS_OFFLINE: "1"}}
    volumes: ["./models:/models:ro"]
    networks: [closed]
networks: {{closed: {{internal: true}}}}
"""


def compose_file() -> Files:
    """A compose file of vLLM with a mounted model, confined."""
    return compose(_COMPOSE)


_UNIT = """\
[Service]
Environment=HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1
ExecStart=/usr/bin/vllm serve /models/m
"""
_DOCKERFILE = (
    f'FROM {VLLM}\nENV HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1\nCOPY m /models/m\nCMD ["--model", "/models/m"]\n'
)
_TF_MODEL = f"""\
variable "model_id" {{ default = "/opt/ml/model" }}
resource "aws_sagemaker_model" "m" {{
  enable_network_isolation = true
  primary_container {{
    image = "763104351884.dkr.ecr.us-east-1.amazonaws.com/djl-inference@{DIGEST}"
    environment = {{
      HF_MODEL_ID    = var.model_id
      HF_HUB_OFFLINE = "1"
    }}
    model_data_source {{
      s3_data_source {{
        s3_uri           = "{PREFIX}"
        s3_data_type     = "S3Prefix"
        compression_type = "None"
      }}
    }}
  }}
  vpc_config {{
    subnets            = var.subnets
    security_group_ids = [aws_security_group.m.id]
  }}
}}
"""
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/m/*"}],
}


def _hub(rule: str, name: str, bad: Files, good: Files) -> Pair:
    return Pair(f"{_RULES}{rule}", name, bad, good)


def _changed(files: Files, old: str, new: str) -> Files:
    changed = {name: text.replace(old, new) for name, text in files.items()}
    assert changed != files, old
    return changed


def _with_service(line: str) -> Files:
    return compose(f"services:\n  a:\n    image: registry.example/tools@{DIGEST}\n    {line}\n")


def _shell(script: str) -> Files:
    return pod([script], container={"command": ["sh", "-c"]})


def _config_map(part: str, text: str, key: str = "run") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, part: {key: text}}


def _ray(tag: str) -> Files:
    return pod(container={"image": f"rayproject/ray-llm:{tag}"})


def _with_init(args: list[str]) -> Files:
    init = {"name": "get", "image": f"registry.example/tools@{DIGEST}", "command": args}
    return pod(spec={"initContainers": [init]})


PAIRS: tuple[Pair, ...] = (
    _hub("hub-model", "argument", {"a.sh": "vllm serve org/model\n"}, {"a.sh": "vllm serve /models/m\n"}),
    _hub(
        "hub-model",
        "storageUri",
        {
            "isvc.yaml": "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: m}\nspec: {predictor: {model: {modelFormat: {name: huggingface}, storageUri: hf://org/model}}}\n"
        },
        {
            "isvc.yaml": f"apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {{name: m}}\nspec: {{predictor: {{model: {{modelFormat: {{name: huggingface}}, storageUri: '{PREFIX}'}}}}}}\n"
        },
    ),
    _hub(
        "hub-model",
        "compose",
        compose(
            _COMPOSE.replace("/models/m", "org/model")
            .replace('HF_HUB_OFFLINE: "1", ', "")
            .replace("/models", "/var/cache/huggingface")
        ),
        compose(_COMPOSE),
    ),
    _hub(
        "hub-model", "unit", {"m.service": "[Service]\nExecStart=/usr/bin/vllm serve org/model\n"}, {"m.service": _UNIT}
    ),
    _hub(
        "hub-model",
        "Dockerfile",
        {"Dockerfile": f'FROM {VLLM}\nCMD ["--model", "org/model"]\n'},
        {"Dockerfile": _DOCKERFILE},
    ),
    _hub("hub-model", ".env", {"tgi.env": "HF_MODEL_ID=org/model\n"}, {"tgi.env": "HF_MODEL_ID=/data/m\n"}),
    _hub(
        "hub-model",
        "properties",
        {"serving.properties": "option.model_id=org/model\n"},
        {"serving.properties": "option.model_id=/opt/ml/model\n"},
    ),
    _hub(
        "hub-model",
        "an operator's own key",
        {"ray.yaml": "apiVersion: ray.io/v1\nkind: RayService\nspec: {serveConfig: {model_source: org/model}}\n"},
        {"ray.yaml": "apiVersion: ray.io/v1\nkind: RayService\nspec: {serveConfig: {model_source: /models/m}}\n"},
    ),
    _hub(
        "hub-model",
        "gateway",
        pod(["--tokenizer", "org/model", "--model", "/models/m"], {"HF_HUB_OFFLINE": "0"}),
        pod(
            ["--tokenizer", "org/model", "--model", "/models/m"],
            {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "https://models.example"},
        ),
    ),
    _hub("hub-beside-mount", "argument", pod(["--model", "org/model"]), pod()),
    *(
        _hub("hub-beside-mount", how, _shell(script), _shell(script.replace("org/model", "/models/m")))
        for how, script in {
            "text that a shell evaluates": 'eval "vllm serve org/model"',
            "behind a program that starts others": "timeout --foreground 3600 numactl -N 0 vllm serve org/model",
            "a here-document for a shell": "sh -e <<'END'\nvllm serve org/model\nEND\n",
        }.items()
    ),
    _hub(
        "hub-model",
        "a script in binaryData",
        pod(
            others=[
                _config_map("binaryData", base64.b64encode(b"#!/usr/bin/env bash\nvllm serve org/model\n").decode())
            ]
        ),
        pod(others=[_config_map("binaryData", base64.b64encode(b"#!/usr/bin/env bash\nvllm serve /m\n").decode())]),
    ),
    *(
        _hub("download-at-start", how, _with_init(["sh", "-c", bad]), _with_init(["sh", "-c", good]))
        for how, bad, good in (
            ("behind xargs", "echo org/model | xargs -n 1 hf download", "echo org/model | xargs -n 1 echo"),
            ("behind uvx", "uvx --from huggingface_hub hf download org/model", "uvx --from huggingface_hub hf version"),
            (
                "an imported name",
                "python -c \"from huggingface_hub import snapshot_download as s; s('org/model')\"",
                "true",
            ),
            (
                "a here-document for Python",
                "python3 - <<E\nfrom huggingface_hub import snapshot_download\nsnapshot_download('org/model')\nE\n",
                "python3 - <<E\nprint('org/model')\nE\n",
            ),
            ("a module", "python -m huggingface_hub.cli.hf download org/model", "python -m huggingface_hub.cli.hf env"),
            (
                "an address without a scheme",
                "wget huggingface.co/org/model/resolve/main/x",
                "wget host.example/org/model/x",
            ),
            ("a host in a variable", "curl $HUB/org/model/resolve/main/x", "curl $HUB/org/model/x"),
        )
    ),
    _hub(
        "download-at-start",
        "when the container has started",
        pod(container={"lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "hf download org/model"]}}}}),
        pod(container={"lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "hf env"]}}}}),
    ),
    *(
        _hub("download-at-start", how, _with_service(bad), _with_service(bad.replace("download", "env")))
        for how, bad in {
            "when a service has started": 'post_start: [{command: ["hf", "download", "org/model"]}]',
            "to see whether a service is well": 'healthcheck: {test: ["CMD-SHELL", "hf download org/model"]}',
        }.items()
    ),
    _hub(
        "hub-model",
        "a script in a compose file",
        compose('configs: {run: {content: "#!/bin/sh\\nexec vllm serve org/model\\n"}}\n' + _COMPOSE),
        compose('configs: {run: {content: "#!/bin/sh\\nexec vllm serve /models/m\\n"}}\n' + _COMPOSE),
    ),
    _hub(
        "not-read",
        "a service that extends another file's",
        compose("services: {a: {extends: {file: b.yaml, service: b}}}\n"),
        compose(f"services: {{a: {{image: '{VLLM}', command: [/models/m]}}}}\n"),
    ),
    _hub(
        "download-at-start",
        "Python in a ConfigMap",
        pod(others=[_config_map("data", "from huggingface_hub import *\nsnapshot_download('org/model')\n", "get.py")]),
        pod(others=[_config_map("data", "print('org/model')\n", "get.py")]),
    ),
    *(
        _hub("not-offline", how, _shell(bad), _shell("exec vllm serve /models/m"))
        for how, bad in {
            "said before the engine": "HF_HUB_OFFLINE=0 exec vllm serve /models/m",
            "exported over what the pod says": "export HF_HUB_OFFLINE=0\nexec vllm serve /models/m",
            "unset": "unset HF_HUB_OFFLINE; exec vllm serve /models/m",
            "taken out by env in a shell": "exec env -u HF_HUB_OFFLINE vllm serve /models/m",
        }.items()
    ),
    _hub(
        "not-offline",
        "taken out by env",
        pod(["-u", "HF_HUB_OFFLINE", "vllm", "serve", "/models/m"], container={"command": ["env"]}),
        pod(["vllm", "serve", "/models/m"], container={"command": ["env"]}),
    ),
    *(
        _hub("not-read", how, _with_init(["sh", "-c", bad]), _with_init(["sh", "-c", good]))
        for how, bad, good in (
            (
                "what a pipe gives a shell",
                "curl -s https://host.example/get.sh | sh",
                "curl -s https://host.example/x | wc",
            ),
            ("what a substitution gives a shell", 'sh -c "$(cat /cfg/run)"', 'sh -c "cat /cfg/run"'),
            ("a program that a substitution names", "$(which hf) download org/model", "which hf"),
        )
    ),
    _hub("vulnerable-engine", "Ray under an engine", _ray("2.46.0-py311-cu124"), _ray("2.54.0-py311-cu124")),
    _hub(
        "vulnerable-engine",
        "Ray that is installed",
        {"Dockerfile": f"FROM {VLLM}\nRUN pip install 'ray[serve]==2.40.0'\n"},
        {"Dockerfile": f"FROM {VLLM}\nRUN pip install 'ray[serve]==2.54.0'\n"},
    ),
    _hub(
        "unverified-copy",
        "of what no address names",
        _with_init(["rclone", "copy", "far:models/m", "/models"]),
        _with_init(["rclone", "lsd", "far:models/m"]),
    ),
    _hub(
        "hub-beside-mount",
        "SM_VLLM_MODEL",
        template({"SM_VLLM_MODEL": "org/model"}),
        template({"SM_VLLM_MODEL": "/opt/ml/model"}),
    ),
    _hub("hub-beside-mount", "HF_MODEL_ID", template({"HF_MODEL_ID": "org/model"}), template()),
    _hub(
        "hub-beside-mount",
        "OPTION_MODEL_ID",
        template({"OPTION_MODEL_ID": "org/model"}),
        template({"OPTION_MODEL_ID": "/opt/ml/model"}),
    ),
    _hub(
        "hub-beside-mount",
        "the file over the environment",
        {**template(), "serving.properties": "option.model_id=org/model\n"},
        {**template(), "serving.properties": "option.model_id=/opt/ml/model\n"},
    ),
    _hub(
        "hub-beside-mount",
        "Terraform, by a variable's default",
        {"main.tf": _TF_MODEL.replace('default = "/opt/ml/model"', 'default = "org/model"')},
        {"main.tf": _TF_MODEL},
    ),
    _hub(
        "hub-beside-mount",
        "a parameter's default",
        {
            "s.yaml": template({"HF_MODEL_ID": "PARAM"})["stack.json"]
            .replace('"PARAM"', '{"Ref": "Id"}')
            .replace(
                '{\n "Resources"', '{"Parameters": {"Id": {"Type": "String", "Default": "org/model"}},\n "Resources"', 1
            )
        },
        {"s.yaml": template()["stack.json"]},
    ),
    _hub(
        "model-ambiguous",
        "file and environment",
        {**template({"OPTION_MODEL_ID": "/models/b"}), "serving.properties": "option.model_id=/opt/ml/model\n"},
        {**template(), "serving.properties": "option.model_id=/opt/ml/model\n"},
    ),
    _hub(
        "other-hub", "modelscope", pod(env={"VLLM_USE_MODELSCOPE": "True"}), pod(env={"VLLM_USE_MODELSCOPE": "False"})
    ),
    _hub(
        "hub-endpoint",
        "mirror",
        pod(env={"HF_ENDPOINT": "https://hf-mirror.com"}),
        pod(env={"HF_ENDPOINT": "https://models.example"}),
    ),
    _hub(
        "plain-http",
        "gateway",
        pod(env={"HF_ENDPOINT": "http://models.example"}),
        pod(env={"HF_ENDPOINT": "http://localhost:8080"}),
    ),
    _hub(
        "model-unpinned",
        "branch",
        {"a.sh": "vllm serve org/model --revision main\n"},
        {"a.sh": f"vllm serve org/model --revision {REVISION}\n"},
    ),
    *(
        _hub(
            "remote-code",
            " ".join(spelt),
            pod(["--model", "/models/m", *spelt]),
            pod(["--model", "/models/m", *mended]),
        )
        for spelt, mended in (
            (["--trust-remote-code"], []),
            (["--trust_remote_code"], ["--trust-remote-code=false"]),
            (["--trust-remote-code", "true"], ["--trust-remote-code", "false"]),
            (["--trust-remote-code=True"], ["--no-trust-remote-code"]),
            (["--hf-overrides", '{"trust_remote_code": true}'], ["--hf-overrides", '{"trust_remote_code": false}']),
        )
    ),
    *(
        _hub("remote-code", name, pod(env={name: "true"}), pod(env={name: "false"}))
        for name in (
            "TRUST_REMOTE_CODE",
            "HF_MODEL_TRUST_REMOTE_CODE",
            "OPTION_TRUST_REMOTE_CODE",
            "SM_VLLM_TRUST_REMOTE_CODE",
        )
    ),
    _hub(
        "remote-code",
        "properties",
        {"serving.properties": "option.model_id=/opt/ml/model\noption.trust_remote_code=true\n"},
        {"serving.properties": "option.model_id=/opt/ml/model\noption.trust_remote_code=false\n"},
    ),
    _hub(
        "remote-code",
        "a shell in a shell",
        pod([], container={"command": ["/bin/sh", "-c", "exec bash -lc 'vllm serve /models/m --trust-remote-code'"]}),
        pod([], container={"command": ["/bin/sh", "-c", "exec bash -lc 'vllm serve /models/m'"]}),
    ),
    _hub(
        "remote-code",
        "by a variable",
        pod(["--model", "/models/m", "$(EXTRA)"], {"EXTRA": "--trust-remote-code"}),
        pod(["--model", "/models/m", "$(EXTRA)"], {"EXTRA": "--dtype=auto"}),
    ),
    _hub(
        "remote-code",
        "an operator's own key",
        {"x.yaml": "apiVersion: x/v1\nkind: Engine\nspec: {trustRemoteCode: true}\n"},
        {"x.yaml": "apiVersion: x/v1\nkind: Engine\nspec: {trustRemoteCode: false}\n"},
    ),
    _hub(
        "code-by-name",
        "plug-in",
        pod(["--model", "/models/m", "--tool-parser-plugin", "/models/m/p.py"]),
        pod(["--model", "/models/m", "--tool-call-parser", "hermes"]),
    ),
    _hub(
        "code-by-name",
        "connector",
        pod(
            ["--model", "/models/m", "--kv-transfer-config", '{"kv_connector": "X", "kv_connector_module_path": "x.y"}']
        ),
        pod(["--model", "/models/m", "--kv-transfer-config", '{"kv_connector": "LMCacheConnectorV1"}']),
    ),
    _hub(
        "unknown-argument",
        "misspelt, the version not said",
        pod(["--model", "/models/m", "--gpu-memory-utilisation", "0.9"]),
        pod(["--model", "/models/m", "--gpu-memory-utilization", "0.9"]),
    ),
    _hub(
        "unknown-argument",
        "of another version",
        pod(["--model", "/models/m", "--disable-prefix-caching"], image=f"vllm/vllm-openai:v0.32.0@{DIGEST}"),
        pod(["--model", "/models/m", "--no-enable-prefix-caching"], image=f"vllm/vllm-openai:v0.32.0@{DIGEST}"),
    ),
    _hub(
        "unknown-argument",
        "of another engine",
        pod(["/app/llama-server", "-m", "/models/m.gguf", "--max-model-len", "4096"], image=LLAMA_CPP),
        pod(["/app/llama-server", "-m", "/models/m.gguf", "--ctx-size", "4096", "-ngl", "99"], image=LLAMA_CPP),
    ),
    _hub(
        "unknown-argument",
        "a property that LMI ignores",
        {"serving.properties": "option.model_id=/opt/ml/model\noption.trust_remote_codes=false\n"},
        {"serving.properties": "option.model_id=/opt/ml/model\noption.max_model_len=4096\noption.async_mode=true\n"},
    ),
    _hub(
        "open-door",
        "a tunnel",
        pod(["--model-id", "/models/m", "--ngrok"], image=TGI),
        pod(["--model-id", "/models/m", "--json-output"], image=TGI),
    ),
    _hub(
        "open-door",
        "a tunnel by a variable",
        pod(["--model-id", "/models/m"], {"NGROK": "true"}, image=TGI),
        pod(["--model-id", "/models/m"], {"NGROK": "false"}, image=TGI),
    ),
    _hub(
        "open-door",
        "tools",
        pod(["/app/llama-server", "-m", "/models/m.gguf", "--tools", "all"], image=LLAMA_CPP),
        pod(["/app/llama-server", "-m", "/models/m.gguf", "--jinja"], image=LLAMA_CPP),
    ),
    _hub(
        "hub-model",
        "an argument that stands for a model",
        pod(["/app/llama-server", "--gpt-oss-20b-default"], image=LLAMA_CPP),
        pod(["/app/llama-server", "--model", "/models/m.gguf"], image=LLAMA_CPP),
    ),
    _hub(
        "key-written-out",
        "in an argument",
        pod(["--model", "/models/m", "--api-key", "s3cret"]),
        pod(["--model", "/models/m", "--api-key", "$(VLLM_API_KEY)"]),
    ),
    _hub(
        "key-written-out",
        "in a variable",
        pod(env={"VLLM_API_KEY": "s3cret"}),
        pod(container={"envFrom": []}),
    ),
    _hub(
        "tls-unchecked",
        "by a variable",
        pod(env={"S3_VERIFY_SSL": "0"}),
        pod(env={"S3_VERIFY_SSL": "1"}),
    ),
    _hub(
        "tls-unchecked",
        "by a command",
        pod(["sh", "-c", "curl -k -o /tmp/x https://models.example/x && exec vllm serve /models/m"]),
        pod(["sh", "-c", "curl -k https://localhost:8443/ready && exec vllm serve /models/m"]),
    ),
    _hub(
        "pickle-weights",
        "load format",
        pod(["--model", "/models/m", "--load-format", "pt"]),
        pod(["--model", "/models/m", "--load-format", "safetensors"]),
    ),
    _hub(
        "pickle-weights",
        "variable",
        pod(env={"VLLM_ALLOW_INSECURE_SERIALIZATION": "1"}),
        pod(env={"VLLM_ALLOW_INSECURE_SERIALIZATION": "0"}),
    ),
    _hub(
        "pickle-weights",
        "file",
        pod(["--model", "/models/m/pytorch_model.bin"]),
        pod(["--model", "/models/m/model.safetensors"]),
    ),
    _hub(
        "prompt-embeds",
        "option",
        pod(["--model", "/models/m", "--enable-prompt-embeds"]),
        pod(["--model", "/models/m", "--no-enable-prompt-embeds"]),
    ),
    _hub("hub-token", "variable", pod(env={"HF_TOKEN": TOKEN}), pod(env={"HF_TOKEN": ""})),
    _hub("hub-token", "argument", pod(["--model", "/models/m", "--hf-token", TOKEN]), pod()),
    _hub("hub-token", "a comment", {"a.env": f"# {TOKEN}\nHF_MODEL_ID=/m\n"}, {"a.env": "# hf_…\nHF_MODEL_ID=/m\n"}),
    _hub(
        "hub-token-given",
        "secret",
        pod(
            container={
                "env": [
                    {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                    *({"name": name, "value": value} for name, value in OFFLINE.items()),
                ]
            }
        ),
        pod(),
    ),
    _hub(
        "hub-token-given",
        "compose",
        compose(_COMPOSE.replace('HF_HUB_OFFLINE: "1"', 'HF_HUB_OFFLINE: "1", HF_TOKEN: "${HF_TOKEN}"')),
        compose(_COMPOSE),
    ),
    _hub("not-offline", "missing", pod(env={"HF_HUB_OFFLINE": None}), pod()),
    _hub("not-offline", "off", pod(env={"HF_HUB_OFFLINE": "0"}), pod()),
    *(
        _hub(
            "download-at-start",
            command[0],
            _with_init(command),
            _with_init(["weighbridge", "fetch", "org/model@production", "/models/m"]),
        )
        for command in (
            ["hf", "download", "org/model", "--local-dir", "/models/m"],
            ["huggingface-cli", "download", "org/model"],
            ["sh", "-c", "set -e\ngit clone https://huggingface.co/org/model /models/m"],
            ["wget", "-O", "/models/m.gguf", "https://huggingface.co/org/model/resolve/main/m.gguf"],
            ["bash", "-c", "curl -L https://hf.co/org/model/resolve/main/m.gguf > /models/m.gguf"],
            ["python", "-c", "from huggingface_hub import snapshot_download; snapshot_download('org/model')"],
        )
    ),
    _hub(
        "download-at-start",
        "RUN",
        {"Dockerfile": _DOCKERFILE.replace("COPY m /models/m", "RUN pip install x && hf download org/model")},
        {"Dockerfile": _DOCKERFILE},
    ),
    _hub(
        "unverified-copy",
        "aws s3 sync",
        _with_init(["aws", "s3", "sync", "s3://models/m", "/models/m"]),
        _with_init(["weighbridge", "fetch", "org/m", "/models/m"]),
    ),
    _hub(
        "unpinned-git",
        "pip",
        {"Dockerfile": _DOCKERFILE + "RUN pip install git+https://host.example/x.git\n"},
        {"Dockerfile": _DOCKERFILE + f"RUN pip install git+https://host.example/x.git@{REVISION}\n"},
    ),
    _hub(
        "unpinned-git",
        "build",
        compose(_COMPOSE.replace("    command", "    build: https://host.example/x.git#main\n    command")),
        compose(_COMPOSE.replace("    command", f"    build: https://host.example/x.git#{REVISION}\n    command")),
    ),
    _hub("mutable-image", "tag", pod(image="vllm/vllm-openai:v99.0.0"), pod()),
    _hub("mutable-image", "compose, no tag", compose(_COMPOSE.replace(VLLM, "vllm/vllm-openai")), compose(_COMPOSE)),
    _hub(
        "vulnerable-engine",
        "image",
        pod(image=f"vllm/vllm-openai:v0.10.2@{DIGEST}"),
        pod(image=f"vllm/vllm-openai:v99.0.0@{DIGEST}"),
    ),
    _hub(
        "vulnerable-engine",
        "pip",
        {"Dockerfile": _DOCKERFILE + "RUN pip install vllm==0.8.4\n"},
        {"Dockerfile": _DOCKERFILE + "RUN pip install vllm==99.0.0\n"},
    ),
    _hub(
        "prefix-without-slash",
        "template",
        template(source={"S3Uri": PREFIX.rstrip("/"), "S3DataType": "S3Prefix", "CompressionType": "None"}),
        template(),
    ),
    _hub(
        "prefix-without-slash",
        "Terraform",
        {"main.tf": _TF_MODEL.replace(f'{REVISION}/"', f'{REVISION}"')},
        {"main.tf": _TF_MODEL},
    ),
    Pair(
        "deploy-prefix-extra-objects",
        "an object too many",
        template(),
        {
            **template(
                source={
                    "S3Uri": f"s3://models-approved/models/acme/tiny/{'1' * 40}/",
                    "S3DataType": "S3Prefix",
                    "CompressionType": "None",
                }
            )
        },
        EXTRA,
    ),
    Pair(
        "deploy-prefix-not-approved",
        "drafts",
        template(
            source={"S3Uri": "s3://models-approved/drafts/m/", "S3DataType": "S3Prefix", "CompressionType": "None"}
        ),
        template(),
        WHOLE,
    ),
    _hub(
        "compressed-model",
        "archive",
        template(container={"ModelDataSource": None, "ModelDataUrl": "s3://b/model.tar.gz"}),
        template(),
    ),
    _hub("public-bucket", "ACL", bucket(AccessControl="PublicRead"), bucket(AccessControl="Private")),
    _hub("public-bucket", "lifted block", bucket(PublicAccessBlockConfiguration={"BlockPublicAcls": False}), bucket()),
    _hub(
        "public-bucket",
        "policy",
        {
            "s.json": json.dumps(
                {
                    "Resources": {
                        "P": {
                            "Type": "AWS::S3::BucketPolicy",
                            "Properties": {
                                "Bucket": "models",
                                "PolicyDocument": {
                                    "Statement": [
                                        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}
                                    ]
                                },
                            },
                        }
                    }
                }
            )
        },
        {
            "s.json": json.dumps(
                {
                    "Resources": {
                        "P": {
                            "Type": "AWS::S3::BucketPolicy",
                            "Properties": {
                                "Bucket": "models",
                                "PolicyDocument": {
                                    "Statement": [
                                        {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}
                                    ]
                                },
                            },
                        }
                    }
                }
            )
        },
    ),
    _hub(
        "public-bucket",
        "Terraform",
        {"b.tf": 'resource "aws_s3_bucket_acl" "b" {\n  bucket = "models"\n  acl = "public-read"\n}\n'},
        {"b.tf": 'resource "aws_s3_bucket_acl" "b" {\n  bucket = "models"\n  acl = "private"\n}\n'},
    ),
    _hub("no-public-access-block", "missing", bucket(PublicAccessBlockConfiguration=None), bucket()),
    _hub("no-kms", "bucket", bucket(BucketEncryption=None), bucket()),
    _hub("no-kms", "endpoint", template(endpoint={"KmsKeyId": None}), template()),
    _hub(
        "no-kms",
        "endpoint with local disks needs none",
        template(endpoint={"KmsKeyId": None}),
        template(endpoint={"KmsKeyId": None}, variant={"InstanceType": "ml.p5.48xlarge"}),
    ),
    _hub("no-network-isolation", "off", template(model={"EnableNetworkIsolation": False}), template()),
    _hub(
        "no-network-isolation",
        "Terraform",
        {"main.tf": _TF_MODEL.replace("  enable_network_isolation = true\n", "")},
        {"main.tf": _TF_MODEL},
    ),
    _hub("no-vpc", "missing", template(model={"VpcConfig": None}), template()),
    Pair(
        "deploy-timeout-short",
        "download",
        template(variant={"ModelDataDownloadTimeoutInSeconds": 600, "InstanceType": "ml.p5.48xlarge"}),
        template(variant={"ModelDataDownloadTimeoutInSeconds": 3600, "InstanceType": "ml.p5.48xlarge"}),
        FACTS,
    ),
    Pair(
        "deploy-timeout-short",
        "probe",
        pod(container={"livenessProbe": {"initialDelaySeconds": 60, "periodSeconds": 10, "failureThreshold": 3}}),
        pod(
            container={
                "startupProbe": {"periodSeconds": 10, "failureThreshold": 600},
                "livenessProbe": {"periodSeconds": 10},
            }
        ),
        FACTS,
    ),
    Pair(
        "deploy-volume-small",
        "claim",
        pod(volume={"emptyDir": {"sizeLimit": "512Gi"}}),
        pod(volume={"emptyDir": {"sizeLimit": "800Gi"}}),
        FACTS,
    ),
    Pair(
        "deploy-volume-small",
        "endpoint",
        template(variant={"VolumeSizeInGB": 512}),
        template(variant={"InstanceType": "ml.p5.48xlarge"}),
        FACTS,
    ),
    _hub("ssm-access", "on", template(variant={"EnableSSMAccess": True}), template(variant={"EnableSSMAccess": False})),
    _hub(
        "wide-role",
        "all of S3",
        {"role.json": json.dumps({**_POLICY, "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})},
        {"role.json": json.dumps(_POLICY)},
    ),
    _hub(
        "wide-role",
        "jsonencode",
        {
            "r.tf": 'resource "aws_iam_role_policy" "sagemaker" {\n  policy = jsonencode({\n    Statement = [{ Effect = "Allow", Action = ["s3:*"], Resource = "*" }]\n  })\n}\n'
        },
        {
            "r.tf": 'resource "aws_iam_role_policy" "sagemaker" {\n  policy = jsonencode({\n    Statement = [{ Effect = "Allow", Action = ["s3:GetObject"], Resource = "arn:aws:s3:::b/m/*" }]\n  })\n}\n'
        },
    ),
    _hub("egress-open", "no policy", pod(policies=[]), pod()),
    _hub(
        "egress-open",
        "everywhere",
        pod(policies=[policy([{}])]),
        pod(policies=[policy([{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}])]),
    ),
    _hub(
        "egress-open",
        "for other pods",
        pod(policies=[{**policy(), "spec": {**policy()["spec"], "podSelector": {"matchLabels": {"app": "other"}}}}]),
        pod(policies=[{**policy(), "spec": {**policy()["spec"], "podSelector": {"matchLabels": {"app": "m"}}}}]),
    ),
    _hub("egress-open", "compose", compose(_COMPOSE.replace("internal: true", "internal: false")), compose(_COMPOSE)),
    _hub("writable-model", "mount", pod(read_only=False), pod()),
    _hub("writable-model", "compose", compose(_COMPOSE.replace(":/models:ro", ":/models")), compose(_COMPOSE)),
    _hub(
        "privileged",
        "container",
        pod(container={"securityContext": {"privileged": True}}),
        pod(container={"securityContext": {"privileged": False}}),
    ),
    _hub(
        "privileged",
        "capability",
        pod(container={"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}),
        pod(container={"securityContext": {"capabilities": {"drop": ["ALL"]}}}),
    ),
    _hub(
        "privileged",
        "socket",
        compose(_COMPOSE.replace('"./models:/models:ro"', '"./models:/models:ro", "/var/run/docker.sock:/s"')),
        compose(_COMPOSE),
    ),
    _hub(
        "privileged",
        "docker run",
        {"a.sh": f"docker run --privileged -v /m:/models/m:ro -e HF_HUB_OFFLINE=1 {VLLM} --model /models/m\n"},
        {"a.sh": f"docker run -v /m:/models/m:ro -e HF_HUB_OFFLINE=1 {VLLM} --model /models/m\n"},
    ),
    _hub("host-namespace", "network", pod(spec={"hostNetwork": True}), pod(spec={"hostNetwork": False})),
    _hub(
        "duplicate-key",
        "env",
        {"a.yaml": "apiVersion: v1\nkind: Service\nspec: {a: 1}\nspec: {a: 2}\n"},
        {"a.yaml": "apiVersion: v1\nkind: Service\nspec: {a: 2}\n"},
    ),
    _hub(
        "not-read",
        "a chart's template",
        {"t.yaml": "apiVersion: v1\nkind: Pod\nspec:\n  {{- if .Values.gpu }}\n  x: 1\n  {{- end }}\n"},
        {"t.yaml": "apiVersion: v1\nkind: Pod\nspec:\n  x: 1\n"},
    ),
    _hub("not-read", "a program", {"deploy.py": "print(1)\n"}, {"a.env": "A=1\n"}),
)
