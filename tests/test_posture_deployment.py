"""What is gathered of a deployment's files."""

from __future__ import annotations

import pytest

from tests.support.gathered import NOW, noted, value
from weighbridge.core.canonical import JsonValue
from weighbridge.posture import deployment_facts
from weighbridge.posture.evidence import Dossier

CLOSED = {
    "pod.yaml": b"""
apiVersion: apps/v1
kind: Deployment
metadata: {name: llm, namespace: models}
spec:
  template:
    metadata: {labels: {app: llm}}
    spec:
      containers:
      - name: engine
        image: vllm/vllm-openai@sha256:%(image)s
        args: [--model, /mnt/models]
        env:
        - {name: HF_HUB_OFFLINE, value: "1"}
        volumeMounts: [{name: model, mountPath: /mnt/models/acme/tiny/%(commit)s, readOnly: true}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: models}
spec:
  podSelector: {matchLabels: {app: llm}}
  policyTypes: [Ingress, Egress]
  egress:
  - to: [{podSelector: {matchLabels: {app: gateway}}}]
"""
    % {b"image": b"a" * 64, b"commit": b"1" * 40}
}


def deployed(files: dict[str, bytes]) -> Dossier:
    return noted(deployment_facts.collect(files, observed_at=NOW), deployment_facts.IDS)


def states(files: dict[str, bytes]) -> tuple[JsonValue, ...]:
    found = deployed(files)
    return tuple(value(found, f"deployment.{name}") for name in ("offline", "isolated", "pinned"))


def test_a_closed_deployment_is_offline_isolated_and_pinned() -> None:
    assert states(CLOSED) == (True, True, True)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (b'value: "1"', b'value: "0"', (False, True, True)),
        (b"HF_HUB_OFFLINE", b"HF_HUB_ONLINE", (False, True, True)),
        (b"--model, /mnt/models", b"--model, deepseek-ai/DeepSeek-R1", (False, True, True)),
        (b"--model, /mnt/models", b"--model=deepseek-ai/DeepSeek-R1", (False, True, True)),
        (b'value: "1"}', b'value: "1"}\n        - {name: HF_MODEL_ID, value: org/name}', (False, True, True)),
        (b'value: "1"}', b"valueFrom: {configMapKeyRef: {name: a, key: b}}}", (False, True, True)),
        (b"namespace: models}\nspec:\n  podSelector", b"namespace: other}\nspec:\n  podSelector", (True, False, True)),
        (b"podSelector: {matchLabels: {app: llm}}", b"podSelector: {matchLabels: {app: web}}", (True, False, True)),
        (b"policyTypes: [Ingress, Egress]", b"policyTypes: [Ingress]", (True, False, True)),
        (b"- to: [{podSelector: {matchLabels: {app: gateway}}}]", b"- {}", (True, False, True)),
        (b"[{podSelector: {matchLabels: {app: gateway}}}]", b"[{ipBlock: {cidr: 0.0.0.0/0}}]", (True, False, True)),
        (b"@sha256:" + b"a" * 64, b":latest", (True, True, False)),
        (b"1" * 40, b"main", (True, True, False)),
    ],
)
def test_one_open_end_opens_a_deployment(before: bytes, after: bytes, expected: tuple[bool, ...]) -> None:
    assert CLOSED["pod.yaml"].count(before) == 1
    assert states({"pod.yaml": CLOSED["pod.yaml"].replace(before, after)}) == expected


def test_a_second_engine_that_is_open_opens_the_whole() -> None:
    open_one = b"services:\n  side:\n    image: vllm/vllm-openai:latest\n    command: [--model, org/name]\n"
    assert states({**CLOSED, "compose.yaml": open_one}) == (False, False, False)


def sagemaker(flag: str) -> dict[str, bytes]:
    return {
        "template.yaml": f"""
Resources:
  Model:
    Type: AWS::SageMaker::Model
    Properties:
      EnableNetworkIsolation: {flag}
      PrimaryContainer:
        Image: 1.dkr.ecr.us-east-1.amazonaws.com/vllm@sha256:{"a" * 64}
        Environment: {{HF_HUB_OFFLINE: "1", SM_VLLM_MODEL: /opt/ml/model}}
        ModelDataSource: {{S3DataSource: {{S3Uri: "s3://b/models/acme/tiny/{"1" * 40}/"}}}}
""".encode()
    }


@pytest.mark.parametrize(("flag", "isolated"), [("true", True), ("false", False)])
def test_network_isolation_of_sagemaker(flag: str, isolated: bool) -> None:
    assert states(sagemaker(flag)) == (True, isolated, True)


def test_an_isolation_that_is_told_only_when_it_is_deployed_is_no_fact() -> None:
    found = deployed(sagemaker("!Ref Isolation"))
    assert "cannot be told from these files" in found.unobtained["deployment.isolated"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("main.tf", b'resource "aws_sagemaker_model" "m" {'),
        ("deploy.py", b"import sagemaker"),
        ("chart.yaml", b"kind: Pod\nspec: {{ .Values.spec }}\n"),
        ("a.yaml", b"a: &a [*a]"),
        ("a.yaml", b"a: !!python/object/apply:os.system [id]"),
        ("a.yaml", b"kind: Pod\nkind: Service\n"),
        ("a.yaml", b"\xff\xfe"),
        ("a.json", b"{" * 100_000),
        (
            "a.yaml",
            b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(b"b%d: &b%d [*a,*a,*a]\n" % (n, n) for n in range(20_000)),
        ),
        ("a.yaml", b"words: only\n"),
    ],
)
def test_a_file_that_is_not_read_leaves_all_states_unobtained(name: str, data: bytes) -> None:
    found = deployed({**CLOSED, name: data} if name != "a.yaml" or b"words" not in data else {name: data})
    assert not [id_ for id_ in found.facts if id_ in deployment_facts.STATE_IDS]


def test_what_lint_finds_is_evidence() -> None:
    pod = CLOSED["pod.yaml"].replace(b"/mnt/models]", b"org/name, --trust-remote-code]")
    found = deployed({"pod.yaml": pod})
    rows = value(found, "deployment.findings")
    assert isinstance(rows, list)
    said = {str(one["rule"]): one for one in rows if isinstance(one, dict)}
    assert said["deploy-remote-code"]["severity"] == "high"
    assert said["deploy-remote-code"]["path"] == "pod.yaml"
    assert found.facts["deployment.findings"].digest
    assert not deployed({}).facts
