"""`deploy lint`: every rule finds what it is for and nothing in the same deployment mended; honest deployments yield nothing."""

from __future__ import annotations

import base64
import importlib
import json
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.deployment_corpus import PAIRS, TOKEN, Pair, bucket, compose_file, pod, policy, template
from tests.support.loading import Depot
from tests.support.policy_corpus import POLICY_PAIRS, UNKNOWN
from tests.support.public_deployments import PUBLISHED, Published
from tests.support.work import calls_of
from weighbridge.cli.commands.deploy_lint import lint_command
from weighbridge.core.errors import ConfigError
from weighbridge.core.finding import Severity, Verdict
from weighbridge.core.names import ModelName
from weighbridge.deploy.deployable import Deployable
from weighbridge.deploy.lint import RULES, Approved, inspect_files, lint_files
from weighbridge.deploy.rules import OF_RENDERING
from weighbridge.deploy.rules import RULES as EVERY_RULE
from weighbridge.inspectors.rule import Rule


def rules_of(files: dict[str, str], facts: Approved | None = None) -> set[str]:
    """The rules that a deployment breaks."""
    return {one.rule for one in lint_files(_bytes(files), facts)}


@each("pair", [*PAIRS, *POLICY_PAIRS], ids=lambda pair: f"{pair.rule}: {pair.name}")
def test_each_rule_finds_the_mistake_and_not_its_remedy(pair: Pair) -> None:
    assert pair.rule in rules_of(pair.bad, pair.facts)
    assert pair.rule not in rules_of(pair.good, pair.facts)


def test_every_rule_has_its_cases() -> None:
    assert set(RULES) == {pair.rule for pair in (*PAIRS, *POLICY_PAIRS)}


@each("name", UNKNOWN)
def test_what_only_the_deployment_knows_is_told_and_never_fine(name: str) -> None:
    opened, said = (inspect_files(_bytes(files)) for files in UNKNOWN[name])
    assert {one.rule for one in opened.findings} == {"deploy-not-read"}
    assert opened.verdict is Verdict.UNKNOWN
    assert said.verdict is Verdict.CLEAN, said.findings


def test_every_rule_of_deployments_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    found = {
        one.id
        for name in list(sys.modules)
        if name.startswith("weighbridge.deploy.")
        for one in vars(sys.modules[name]).values()
        if isinstance(one, Rule)
    }
    assert found == set(EVERY_RULE)
    assert {"deploy-sagemaker-disk-too-small", "deploy-model-configures-engine"} <= OF_RENDERING
    for rule in sorted(OF_RENDERING):
        assert run("--explain", rule) == 0
        assert rule in capsys.readouterr().out


@each("one", PUBLISHED, ids=lambda one: f"{one.name} ({one.file})")
def test_a_published_deployment_yields_what_is_wrong_with_it_and_nothing_else(one: Published) -> None:
    found = {rule.removeprefix("deploy-") for rule in rules_of({one.file: one.text})}
    must = set(one.must.split())
    assert must <= found
    assert found <= must | set(one.may.split())


# --- honest deployments ----------------------------------------------------------------------------


@each("files", [pod(), template(), bucket(), compose_file()], ids=lambda files: next(iter(files)))
def test_an_honest_deployment_is_clean(files: dict[str, str]) -> None:
    inspection = inspect_files({name: text.encode() for name, text in files.items()})
    assert inspection.findings == ()
    assert inspection.verdict is Verdict.CLEAN


DIGEST = "sha256:" + "a" * 64
OPTIONS = {
    "image": f"registry.example/engine@{DIGEST}",
    "fetch_image": f"registry.example/weighbridge@{DIGEST}",
    "engine_version": "99.0.0",
    "instance_type": "ml.p5.48xlarge",
}
MODEL = Deployable(
    ModelName("acme", "tiny"),
    "production",
    "0" * 39 + "1",
    "b" * 64,
    "s3://models-approved",
    {"config.json": 1000, "model.safetensors": 5_000_000_000},
)


@each("target", ["vllm", "tgi", "lmi", "kserve", "compose"])
def test_what_is_rendered_here_is_clean_and_stays_so_only_unchanged(target: str) -> None:
    module = importlib.import_module(f"weighbridge.deploy.targets.{target}")
    known = {name: value for name, value in OPTIONS.items() if name in module.Options.__dataclass_fields__}
    plan = module.render(MODEL, module.Options(**known))
    files = {file.name: file.text for file in plan.files}
    assert lint_files(_bytes(files), Approved.of([MODEL])) == []
    for old, new, rule in (
        ("HF_HUB_OFFLINE", "HF_HUB_ONLINE", "deploy-not-offline"),
        (f"engine@{DIGEST}", "engine:1", "deploy-mutable-image"),
    ):
        changed = {name: text.replace(old, new) for name, text in files.items()}
        assert changed == files or rule in rules_of(changed)


# --- which of several wins ---------------------------------------------------------------------------


def test_a_hub_name_that_wins_over_the_mounted_model_is_graver_than_one_that_does_not() -> None:
    image = {"Image": f"763104351884.dkr.ecr.us-east-1.amazonaws.com/vllm@{DIGEST}"}

    def severity(**variables: str) -> Severity:
        files = template({"HF_MODEL_ID": "", **variables}, container=image)
        (found,) = [one for one in lint_files(_bytes(files)) if one.rule == "deploy-hub-beside-mount"]
        return found.severity

    assert severity(SM_VLLM_MODEL="org/model") is Severity.HIGH
    assert severity(HF_MODEL_ID="org/model") is Severity.MEDIUM


def test_a_time_limit_that_no_link_meets_is_grave() -> None:
    for seconds, label in ((600, "medium"), (60, "medium"), (50, "high")):
        files = template(variant={"ContainerStartupHealthCheckTimeoutInSeconds": seconds})
        found = lint_files(_bytes(files), Approved(size_bytes=690_000_000_000))
        assert [one.severity.label for one in found if one.rule == "deploy-timeout-short"] == [label]


def test_findings_say_file_line_and_pointer() -> None:
    (found,) = lint_files({"a.yaml": b"apiVersion: x/v1\nkind: E\nspec:\n  trustRemoteCode: true\n"})
    assert (found.path, found.location) == ("a.yaml", "line 4, /spec/trustRemoteCode")
    assert found.remedy


def test_a_token_is_never_repeated() -> None:
    for one in lint_files(
        {"a.env": f"HF_TOKEN={TOKEN}\n".encode(), "b.yaml": pod(env={"HF_TOKEN": TOKEN})["app.yaml"].encode()}
    ):
        assert TOKEN[3:] not in str(one.to_json())


_REFERRING = """\
services:
  engine:
    image: vllm/vllm-openai@sha256:%s
    command: [--model, /models/m]
    volumes: [/srv/m:/models/m:ro]
    environment: {HF_TOKEN: "${HF_TOKEN}"}
""" % ("a" * 64)
OTHER = TOKEN[:-4] + "9zQ7"
TOLD = {
    "in a Pod": ({"app.yaml": pod(env={"HF_TOKEN": TOKEN})["app.yaml"]}, 1),
    "in a comment": ({"app.yaml": pod()["app.yaml"] + f"\n# {TOKEN}\n"}, 1),
    "as a value and in a comment": ({"app.yaml": pod(env={"HF_TOKEN": TOKEN})["app.yaml"] + f"\n# {TOKEN}\n"}, 2),
    "two of them": ({"app.yaml": pod(env={"HF_TOKEN": TOKEN, "HUGGING_FACE_HUB_TOKEN": OTHER})["app.yaml"]}, 2),
    "in a file of variables": ({".env": f"HF_TOKEN={TOKEN}\n"}, 1),
    "in a Secret that an engine is given": (
        {
            "app.yaml": pod(container={"envFrom": [{"secretRef": {"name": "s"}}]})["app.yaml"],
            "s.json": json.dumps(
                {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"HF_TOKEN": TOKEN}}
            ),
        },
        1,
    ),
    "referred to, and written in another file": (
        {".env": f"HF_TOKEN={TOKEN}\n", "compose.yaml": _REFERRING},
        1,
    ),
}


@each("name", TOLD)
def test_a_token_is_told_once_where_it_is_written(name: str) -> None:
    files, times = TOLD[name]
    found = [one for one in lint_files(_bytes(files)) if one.rule == "deploy-hub-token"]
    assert len(found) == times, found
    places = {(one.path, one.location) for one in lint_files(_bytes(files)) if one.rule == "deploy-hub-token-given"}
    assert not places & {(one.path, one.location) for one in found}


MODEL_OF_A_HUB = {"primary_container": {"image": f"engine@{DIGEST}", "environment": {"HF_MODEL_ID": "acme/tiny"}}}
PIPED = {
    "terraform": json.dumps({"resource": {"aws_sagemaker_model": {"m": MODEL_OF_A_HUB}}}),
    "terraform of a module": json.dumps({"module": {"m": {"source": "./m", "hf_model_id": "acme/tiny"}}, "locals": {}}),
    "terraform in its own language": '# m\nresource "aws_sagemaker_model" "m" {\n  primary_container {\n'
    '    environment = { HF_MODEL_ID = "acme/tiny" }\n  }\n}\n',
    "dockerfile": f'# m\nARG A\nFROM vllm/vllm-openai@{DIGEST}\nCMD ["vllm", "serve", "acme/tiny"]\n',
    "unit": "[Unit]\n[Service]\nExecStart=vllm serve acme/tiny\n",
}


@each("name", PIPED)
def test_what_comes_from_a_pipe_is_known_by_how_it_begins(name: str) -> None:
    report = inspect_files({"stdin": PIPED[name].encode()}).reports[0]
    assert report.kind == name.split()[0]
    assert "deploy-hub-model" in {one.rule for one in report.findings}


@each("text", ["", "\n", "# all of it was left out\n", "---\n---\n"])
def test_nothing_at_all_is_no_pass(text: str) -> None:
    assert inspect_files({"stdin": text.encode()}).verdict is Verdict.UNKNOWN
    assert inspect_files({"none.yaml": text.encode(), **_bytes(pod())}).verdict is Verdict.CLEAN


def test_files_know_each_other() -> None:
    source = {
        "containers": [
            {
                "name": "v",
                "image": f"vllm/vllm-openai@{DIGEST}",
                "args": ["--model", "$(M)"],
                "envFrom": [{"configMapRef": {"name": "c"}}],
            }
        ]
    }
    alone = {"pod.json": json.dumps({"apiVersion": "v1", "kind": "Pod", "spec": source})}
    assert "deploy-not-read" in rules_of(alone)
    assert "deploy-hub-model" not in rules_of(alone)
    beside = {"map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {M: org/model}\n"}
    assert "deploy-hub-model" in rules_of({**alone, **beside})


# --- hostile files -----------------------------------------------------------------------------------


def nested(depth: int, opening: str, closing: str) -> str:
    """Brackets within brackets."""
    return opening * depth + closing * depth


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
MANY = 5_000
HOSTILE = {
    "statements.json": json.dumps(
        {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:Get*", "Resource": "*"}] * MANY}
    ),
    "holes.json": json.dumps({"Statement": [{"Effect": "Allow", "Action": "${" * 30_000, "Resource": "*"}]}),
    "conditions.json": json.dumps(
        {
            "Resources": {
                "M": {
                    "Type": "AWS::SageMaker::Model",
                    "Properties": {"EnableNetworkIsolation": {"Fn::If": ["C0", 1, 0]}},
                }
            },
            "Conditions": {f"C{n}": {"Fn::And": [{"Condition": f"C{n + 1}"}] * 10} for n in range(200)},
        }
    ),
    "roles.json": json.dumps(
        {
            "Resources": {
                f"R{n}": {
                    "Type": "AWS::IAM::Policy",
                    "Properties": {
                        "Roles": ["model"],
                        "PolicyName": "model",
                        "PolicyDocument": {"Statement": [{"Effect": "Deny", "Action": "${X}", "Resource": "*"}]},
                    },
                }
                for n in range(300)
            }
        }
    ),
    "locals.tf": "locals {\n  a0 = [1, 1, 1]\n"
    + "".join(f"  a{n} = [{', '.join([f'local.a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    + '}\nresource "aws_sagemaker_model" "m" {\n  tags = local.a11\n  enable_network_isolation = var.x\n}\n',
    "bomb.yaml": BOMB,
    "deep.yaml": nested(50_000, "[", "]"),
    "deep.json": nested(50_000, "[", "]"),
    "deep.tf": "a = " + nested(50_000, "[", "]"),
    "texts.tf": 'a = "' + '${"' * 5_000,
    "comment.tf": "a = 1 /* never ends",
    "heredoc.tf": "a = <<EOT\nnever ends",
    "object.yaml": "a: !!python/object/apply:os.system [id]\n",
    "recursive.yaml": "a: &a [*a]\n",
    "keys.yaml": "? [a, b]\n: c\n",
    "huge.yaml": "a: b\n" * 300_000,
    "binary.yaml": "\x00\x01\x02",
    "numbers.json": '{"a": ' + "9" * 10_000 + "}",
    "many.json": "[" + "1," * 300_000 + "1]",
    "broken.json": '{"a": ',
    "unit.service": "not a unit",
    "Dockerfile": "HELLO world\n",
    "lines.env": "this is no variable\n",
    "long.sh": "a" * 300_000,
    "program.py": "import os",
    "chart.tpl": "{{ define }}",
    "kustomization.yaml": "resources: [a.yaml]\n",
    "nothing-known.yaml": "hello: world\n",
}


@each("name", HOSTILE)
def test_what_cannot_be_read_is_a_finding_and_never_a_pass(name: str) -> None:
    inspection = inspect_files({name: HOSTILE[name].encode("latin-1", "replace")})
    assert inspection.verdict is not Verdict.CLEAN
    assert "deploy-not-read" in {one.rule for one in inspection.findings}


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(range(len(PUBLISHED))), st.data())
def test_any_change_of_a_file_ends_in_an_answer(which: int, data: st.DataObject) -> None:
    one = PUBLISHED[which]
    text = bytearray(one.text.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(text) - 1, 0)))
        text[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    assert len(inspect_files({one.file: bytes(text)}).reports) == 1


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["a.tf", "a.yaml", "a.json", "a.env", "serving.properties", "Dockerfile", "a.service", "a.sh"]),
    st.binary(max_size=300),
)
def test_any_bytes_end_in_an_answer(name: str, data: bytes) -> None:
    assert len(inspect_files({name: data}).reports) == 1


# --- the approved store and the command -------------------------------------------------------------


@pytest.fixture
def depot(tmp_path: Path) -> Depot:
    """An approved store with one model."""
    return Depot(tmp_path / "depot")


def run(*arguments: str) -> int:
    """The exit code of `lint` with these arguments."""
    code = lint_command.main(args=list(arguments), standalone_mode=False)
    assert isinstance(code, int)
    return code


def test_a_prefix_is_held_against_the_approved_store(
    tmp_path: Path, depot: Depot, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = depot.approve({"config.json": b"{}", "model.safetensors": b"\0" * 64})
    prefix = f"{depot.store.address}/models/acme/tiny/{manifest.revision}/"

    def found(uri: str) -> set[str]:
        source = {"S3Uri": uri, "S3DataType": "S3Prefix", "CompressionType": "None"}
        (tmp_path / "stack.json").write_text(template(source=source)["stack.json"])
        options = ["--trust", str(depot.trust()), "--state", str(tmp_path / "state"), "--approved", "--json"]
        run(str(tmp_path / "stack.json"), *options)
        return {one["rule"] for one in json.loads(capsys.readouterr().out)["findings"]}

    assert found(prefix) == set()
    assert found(prefix.replace(manifest.revision, "f" * 40)) == {"deploy-prefix-not-approved"}
    assert found("s3://elsewhere/m/") == {"deploy-prefix-not-approved"}
    (depot.path(manifest, "model.safetensors").parent / "pytorch_model.bin").write_bytes(b"x")
    assert found(prefix) == {"deploy-prefix-extra-objects"}


def test_the_command_ends_as_scan_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad, odd = tmp_path / "good.yaml", tmp_path / "bad.yaml", tmp_path / "odd.py"
    good.write_text(pod()["app.yaml"])
    bad.write_text(pod(["--model", "/models/m", "--trust-remote-code"])["app.yaml"])
    odd.write_text("print()")
    assert run(str(good)) == 0
    assert run(str(bad)) == 13
    assert run(str(bad), "--fail-on", "critical") == 0
    assert run(str(odd)) == 11
    assert run(str(odd), "--fail-on", "high") == 4
    assert run(str(tmp_path)) == 13
    assert run("--explain", "deploy-remote-code") == 0
    with pytest.raises(ConfigError):
        run(str(tmp_path / "missing.yaml"))
    assert "before  vllm serve" in capsys.readouterr().out


def test_a_baseline_accepts_what_was_there_and_nothing_after_a_change(tmp_path: Path) -> None:
    file, baseline = tmp_path / "bad.yaml", tmp_path / "accepted.json"
    file.write_text(pod(["--model", "org/model"])["app.yaml"])
    run(str(file), "--write-baseline", str(baseline), "--reason", "read by Ada")
    assert run(str(file), "--baseline", str(baseline)) == 0
    file.write_text(file.read_text() + "\n# a change\n")
    assert run(str(file), "--baseline", str(baseline)) == 13


@each("chosen", ["table", "json", "sarif", "html", "markdown"])
def test_every_report_names_rule_file_and_line(chosen: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file, report = Path(folder) / "bad.yaml", Path(folder) / "report"
        file.write_text("apiVersion: x/v1\nkind: E\nspec:\n  trustRemoteCode: true\n")
        assert run(str(file), "--format", chosen, "--output", str(report)) == 13
        text = report.read_text()
        assert "deploy-remote-code" in text
        assert "bad.yaml" in text
        if chosen == "sarif":
            (result,) = json.loads(text)["runs"][0]["results"]
            assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 4}


def _bytes(files: dict[str, str]) -> dict[str, bytes]:
    return {name: text.encode() for name, text in files.items()}


# --- what stands for something that is not here ------------------------------------------------------


@each(
    "name, text",
    [
        ("a.tf", 'resource "kubernetes_deployment" "m" {\n  spec {}\n}\n'),
        ("a.tf", 'resource "helm_release" "m" {\n  chart = "vllm"\n}\n'),
        ("a.yaml", "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec: {values: {}}\n"),
        ("a.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {path: x}}\n"),
        ("compose.yaml", "include: [other.yaml]\nservices: {a: {image: x}}\n"),
        ("s.yaml", "Resources: {N: {Type: 'AWS::CloudFormation::Stack', Properties: {TemplateURL: x}}}\n"),
        ("a.sh", "vllm serve /models/m --config options.yaml\n"),
        ("a.sh", 'vllm serve "$1"\n'),
        ("a.service", "[Service]\nEnvironmentFile=/etc/vllm.env\nExecStart=vllm serve /models/m\n"),
    ],
)
def test_what_is_not_among_the_files_is_said(name: str, text: str) -> None:
    assert "deploy-not-read" in rules_of({name: text})


@each(
    "name, text, rule",
    [
        ("a.tf", 'module "m" {\n  source = "x"\n  hf_model_id = "org/model"\n}\n', "deploy-hub-model"),
        (
            "c.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  start.sh: |\n    hf download org/model\n",
            "deploy-download-at-start",
        ),
        (
            "c.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  serving.properties: |\n    option.model_id=org/model\n",
            "deploy-hub-model",
        ),
        (
            "c.yaml",
            f"apiVersion: v1\nkind: Secret\nmetadata: {{name: c}}\ndata: {{HF_TOKEN: {base64.b64encode(TOKEN.encode()).decode()}}}\n",
            "deploy-hub-token",
        ),
        (
            "s.yaml",
            "Resources: {C: {Type: 'AWS::SageMaker::InferenceComponent', Properties: {Specification: {Container: {Image: x, Environment: {HF_MODEL_ID: org/model}}}}}}\n",
            "deploy-hub-model",
        ),
        (
            "p.yaml",
            "kind: Pod\napiVersion: v1\nspec: {containers: [{image: own/server, env: [{name: MODEL, value: org/model}], resources: {limits: {nvidia.com/gpu: 1}}}]}\n",
            "deploy-hub-model",
        ),
        (
            "p.yaml",
            "kind: Pod\napiVersion: v1\nspec: {containers: [{image: own/server, args: [--model, org/model]}]}\n",
            "deploy-hub-model",
        ),
        (
            "p.yaml",
            "kind: List\napiVersion: v1\nitems: [{kind: Pod, apiVersion: v1, spec: {containers: [{image: own/server, args: [--model, org/model]}]}}]\n",
            "deploy-hub-model",
        ),
    ],
)
def test_what_is_carried_elsewhere_is_found(name: str, text: str, rule: str) -> None:
    assert rule in rules_of({name: text})


def test_a_client_names_the_model_that_it_asks_for() -> None:
    text = "kind: Pod\napiVersion: v1\nspec: {containers: [{image: bench, args: [--model, org/model, --base-url, 'http://vllm']}]}\n"
    assert rules_of({"p.yaml": text}) == set()


def test_a_unit_is_given_the_variables_of_its_file() -> None:
    unit = "[Service]\nEnvironmentFile=/etc/vllm.env\nExecStart=vllm serve /models/m\n"
    assert rules_of({"m.service": unit, "vllm.env": "HF_HUB_OFFLINE=1\n"}) == set()
    assert rules_of({"m.service": unit, "vllm.env": "HF_HUB_OFFLINE=0\n"}) == {"deploy-not-offline"}


# --- confinement, closely -----------------------------------------------------------------------------


@each(
    "selector, egress, is_open",
    [
        ({}, [], False),
        ({"matchLabels": {"app": "other"}}, [], True),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["m"]}]}, [], False),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["m"]}]}, [], True),
        ({"matchExpressions": [{"key": "none", "operator": "Exists"}]}, [], True),
        ({}, [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}}]}], True),
        ({}, [{"to": [{"ipBlock": {"cidr": "0.0.0.0/1"}}, {"ipBlock": {"cidr": "128.0.0.0/1"}}]}], True),
        ({}, [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}], False),
        ({}, [{"ports": [{"port": 53}]}], False),
        ({}, [{"ports": [{"port": 443}]}], True),
    ],
)
def test_a_policy_confines_the_pods_that_it_selects(
    selector: dict[str, object], egress: list[object], is_open: bool
) -> None:
    one = policy(egress)
    one["spec"]["podSelector"] = selector
    assert ("deploy-egress-open" in rules_of(pod(policies=[one]))) == is_open


def test_a_script_sets_variables_for_what_it_starts() -> None:
    start = "vllm serve org/model --revision main\n"
    assert "deploy-hub-model" in rules_of({"a.sh": start})
    assert rules_of({"a.sh": f"export HF_ENDPOINT=https://models.example\n{start}"}) == set()
    assert "deploy-other-hub" in rules_of({"a.sh": f"export VLLM_USE_MODELSCOPE=True\n{start}"})


def test_twice_the_policies_are_about_twice_the_work() -> None:
    def policies(count: int) -> dict[str, bytes]:
        document = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "a"}],
        }
        made = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document}}
        resources = {"Model": {"Type": "AWS::SageMaker::Model"}, **{f"P{number}": made for number in range(count)}}
        return {"t.json": json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}).encode()}

    small, large = (calls_of(partial(lint_files, policies(count))) for count in (100, 200))
    assert large < 2.5 * small


def test_buckets_and_roles_that_have_nothing_to_do_with_models_are_left_alone() -> None:
    website = bucket(AccessControl="PublicRead")["bucket.json"].replace("Models", "Website")
    assert rules_of({"website.json": website}) == set()
    assert "deploy-public-bucket" in rules_of({"website.json": website, **template()})


def test_arguments_in_a_variable_are_arguments() -> None:
    assert "deploy-pickle-weights" in rules_of(pod(env={"VLLM_ADDITIONAL_ARGS": "--load-format pt"}))
    assert rules_of(pod(env={"VLLM_ADDITIONAL_ARGS": "--load-format safetensors"})) == set()


def test_the_template_of_an_llm_service_serves_the_model_beside_it() -> None:
    def service(uri: str, env: str) -> set[str]:
        text = (
            f"apiVersion: serving.kserve.io/v1alpha2\nkind: LLMInferenceService\nmetadata: {{name: m}}\nspec:\n  model: {{uri: '{uri}'}}\n"
            f"  template: {{containers: [{{name: main, image: 'vllm/vllm-openai@{DIGEST}', env: [{env}]}}]}}\n"
        )
        return rules_of({"m.yaml": text, "policy.json": json.dumps(policy())})

    offline = "{name: HF_HUB_OFFLINE, value: '1'}"
    assert service("s3://models/m/", offline) == set()
    assert service("s3://models/m/", "") == {"deploy-not-offline"}
    assert "deploy-hub-model" in service("hf://org/model", offline)
