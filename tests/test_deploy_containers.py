"""Engines in containers and units: what is rendered holds to its targets' schemas, and to what a deployment promises."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import compose_spec
import kubernetes_validate
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Command
from tests.support.cases import each
from tests.support.loading import Depot
from weighbridge.core.canonical import encode
from weighbridge.core.errors import ConfigError, Denied
from weighbridge.core.names import ModelName
from weighbridge.deploy.architecture import Architecture
from weighbridge.deploy.deployable import Deployable
from weighbridge.deploy.engines import (
    ENGINES,
    advisories,
    engine_of_image,
    minimum_version,
    read_version,
    version_in_tag,
)
from weighbridge.deploy.environment import (
    CODE_SWITCHES,
    TOKEN_VARIABLES,
    offline_environment,
)
from weighbridge.deploy.lint import lint_files
from weighbridge.deploy.plan import Plan
from weighbridge.deploy.sizing import (
    GIB,
    USABLE_SHARE,
    device_memory,
    devices_needed,
    divides_heads,
    load_seconds,
    parallelism,
    required_rate,
    startup_seconds,
)
from weighbridge.deploy.targets import compose, kserve, lmi, tgi, vllm
from weighbridge.deploy.targets.arguments import REFUSED, check_arguments
from weighbridge.deploy.targets.engine_arguments import ARGUMENTS, arguments_of
from weighbridge.deploy.targets.pods import PodOptions
from weighbridge.serve.loading.engine import HUB_ID_VARIABLES, OFFLINE, asks_for_remote_code

DIGEST = "sha256:" + "a" * 64
KUBERNETES = ("1.31", "1.37")


def image(name: str) -> str:
    """An image by digest."""
    return f"registry.example/{name}@{DIGEST}"


def model(name: str = "acme/Tiny.Model", size: int = 3_000_000_000, shards: int = 1, **shape: Any) -> Deployable:
    """An approved revision with safetensors of a size."""
    files = {f"model-{n + 1:05d}-of-{shards:05d}.safetensors": size // shards for n in range(shards)}
    return Deployable(
        ModelName.parse(name),
        "production",
        "2" * 40,
        "c" * 64,
        "s3://models-approved",
        {**files, "config.json": 900, "tokenizer.json": 7_000_000},
        Architecture(**{"layers": 28, "attention_heads": 12, "key_value_heads": 2, "context_length": 32768, **shape}),
    )


TINY = model()
R1 = model(
    "deepseek-ai/DeepSeek-R1",
    690_000_000_000,
    163,
    layers=61,
    attention_heads=128,
    key_value_heads=128,
    context_length=163_840,
    asks_for_code=True,
)
COMMON: dict[str, Any] = {"fetch_image": image("weighbridge")}
VLLM: dict[str, Any] = {**COMMON, "image": image("vllm/vllm-openai"), "engine_version": "0.33.0"}


def of_vllm(deployable: Deployable = TINY, **more: Any) -> Plan:
    """vLLM in Kubernetes."""
    return vllm.render(deployable, vllm.Options(**{**VLLM, **more}))


RENDERED: Mapping[str, Callable[[Deployable, dict[str, Any]], Plan]] = {
    "vllm": lambda on, more: of_vllm(on, **more),
    "vllm-claim": lambda on, more: of_vllm(on, storage="claim", store_cidrs=("10.1.0.0/24",), **more),
    "vllm-role": lambda on, more: of_vllm(on, role_arn="arn:aws:iam::123456789012:role/reader", **more),
    "vllm-secret": lambda on, more: of_vllm(on, credentials_secret="store", clients=("apps",), replicas=3, **more),
    "tgi": lambda on, more: tgi.render(
        on, tgi.Options(**{**COMMON, "image": image("tgi"), "engine_version": "3.3.7", **more})
    ),
    "lmi": lambda on, more: lmi.render(
        on, lmi.Options(**{**COMMON, "image": image("djl-inference"), "engine_version": "0.36.0", **more})
    ),
    "kserve": lambda on, more: kserve.render(on, kserve.Options(**{**VLLM, **more})),
    "kserve-uri": lambda on, more: kserve.render(
        on, kserve.Options(**{**VLLM, "load": "storage-uri", "service_account": "reader", **more})
    ),
    "kserve-llm": lambda on, more: kserve.render(on, kserve.Options(**{**VLLM, "load": "llm", **more})),
    "compose": lambda on, more: compose.render(on, compose.Options(**{**VLLM, **more})),
    "compose-lmi": lambda on, more: compose.render(
        on, compose.Options(**{**COMMON, "engine": "lmi", "image": image("lmi"), "engine_version": "0.36.0", **more})
    ),
}
MODELS: Mapping[str, tuple[Deployable, dict[str, Any]]] = {
    "tiny": (TINY, {"gpu": "l4"}),
    "r1": (R1, {"gpus": 8, "gpu": "h200", "context_length": 65536}),
    "cpu": (TINY, {"gpus": 0}),
}


def all_plans() -> Iterator[tuple[str, Plan]]:
    """Every target with every model."""
    for how, render in RENDERED.items():
        for which, (deployable, more) in MODELS.items():
            yield f"{how}-{which}", render(deployable, more)


PLANS = dict(all_plans())


def documents(plan: Plan) -> list[dict[str, Any]]:
    """All YAML documents of a plan."""
    texts = [file.text for file in plan.files if file.name.endswith(".yaml")]
    return [document for text in texts for document in loaded(text)]


@functools.cache
def loaded(text: str) -> list[dict[str, Any]]:
    """The documents of one file."""
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))


def of_kind(plan: Plan, kind: str) -> list[dict[str, Any]]:
    """The manifests of a kind."""
    return [document for document in documents(plan) if document.get("kind") == kind]


def pods(plan: Plan) -> list[dict[str, Any]]:
    """The pods that a plan's manifests would make."""
    found = []
    for document in documents(plan):
        spec = document.get("spec", {})
        match document.get("kind"):
            case "Deployment" | "Job":
                found.append(spec["template"]["spec"])
            case "InferenceService":
                found.append(spec["predictor"])
            case "ServingRuntime" | "ClusterServingRuntime":
                found.append(spec)
            case "LLMInferenceService":
                found.append(spec["template"])
    return found


def containers(plan: Plan, *, fetch: bool) -> list[dict[str, Any]]:
    """The containers that fetch, or the engines."""
    every = [one for pod in pods(plan) for key in ("initContainers", "containers") for one in pod.get(key, ())]
    return [one for one in every if (one["name"] == "fetch") is fetch]


def in_compose(deployable: Deployable, engine: str, version: str, **more: Any) -> Plan:
    """An engine that only compose and units have."""
    held = {**COMMON, "engine": engine, "image": image("engine"), "engine_version": version}
    return compose.render(deployable, compose.Options(**held, **more))


def given_to_engine(plan: Plan) -> list[str]:
    """The arguments of a plan's engine."""
    for engine in containers(plan, fetch=False):
        return list(engine["args"])
    return [str(word) for word in documents(plan)[0]["services"]["engine"]["command"]]


def env_of(container: Mapping[str, Any]) -> dict[str, str]:
    """A container's variables."""
    return {one["name"]: one["value"] for one in container.get("env", ())}


# --- engines -------------------------------------------------------------------------------------------------------------


@each(
    "engine, version, cve",
    [
        ("vllm", "0.8.4", "CVE-2025-32444"),
        ("vllm", "0.8.4", "CVE-2025-47277"),
        ("vllm", "0.11.0", "CVE-2025-62164"),
        ("vllm", "v0.11.0-cu128", "CVE-2025-66448"),
        ("vllm", "0.10.1", "CVE-2026-22807"),
        ("vllm", "0.13.0", "CVE-2026-22807"),
        ("vllm", "0.14.0", "CVE-2026-22778"),
        ("vllm", "0.17.1", "CVE-2026-27893"),
        ("vllm", "0.21.0", "CVE-2026-48746"),
        ("vllm", "0.21.0", "CVE-2026-47155"),
        ("vllm", "0.23.0", "CVE-2026-53923"),
        ("tgi", "3.3.6", "CVE-2026-0599"),
        ("lmi", "0.31.0-lmi13.0.0-cu124", "CVE-2025-0851"),
        ("sglang", "0.5.9", "CVE-2026-3059"),
        ("sglang", "0.5.9", "CVE-2026-3060"),
        ("sglang", "0.5.18", "CVE-2026-5760"),
        ("sglang", "0.5.18", "CVE-2026-86793"),
        ("transformers-serve", "5.2.0", "CVE-2026-5241"),
        ("ollama", "0.34.2", "CVE-2026-103663"),
        ("transformers-serve", "5.2.0", "CVE-2026-4372"),
        ("transformers-serve", "4.37.2", "CVE-2024-3568"),
        ("llama.cpp", "b8145", "CVE-2026-27940"),
        ("llama.cpp", "b9058", "CVE-2026-43629"),
        ("llama.cpp", "b8864", "CVE-2026-21869"),
        ("llama.cpp", "b5720", "CVE-2025-52566"),
        ("ollama", "0.17.0", "CVE-2026-7482"),
    ],
)
def test_a_version_with_a_known_weakness_is_named_with_its_advisory(engine: str, version: str, cve: str) -> None:
    found = {one.cve: one for one in advisories(engine, version)}
    assert cve in found
    assert found[cve].severity.is_grave


@each(
    "engine, version, cve",
    [
        ("vllm", "0.14.0", "CVE-2026-22807"),
        ("vllm", "0.10.0", "CVE-2026-22807"),
        ("vllm", "0.18.0", "CVE-2026-27893"),
        ("tgi", "3.3.7", "CVE-2026-0599"),
        ("transformers-serve", "4.55.0", "CVE-2026-4372"),
        ("llama.cpp", "b9059", "CVE-2026-43629"),
        ("vllm", "0.23.1rc0", "CVE-2026-53923"),
    ],
)
def test_a_version_from_before_or_after_a_weakness_is_not(engine: str, version: str, cve: str) -> None:
    assert cve not in {one.cve for one in advisories(engine, version)}


@each("engine", list(ENGINES))
def test_an_engines_minimum_has_no_grave_weakness_that_was_mended(engine: str) -> None:
    least = minimum_version(engine)
    assert least
    assert not [one for one in advisories(engine, least) if one.severity.is_grave and one.fixed_in]


@each("text", ["latest", "nightly", "sha-3c02262", "3c02262", "20251105", "", "main", "0.11.0cu", "v"])
def test_what_is_no_version_is_never_taken_for_one(text: str) -> None:
    assert read_version(text) is None
    with pytest.raises(ConfigError, match="no version"):
        advisories("vllm", text)


def test_versions_compare_as_versions_do() -> None:
    order = [
        "0.9.2",
        "0.10.0.dev1",
        "0.10.0a1",
        "0.10.0rc1",
        "0.10.0rc2",
        "0.10.0",
        "0.10.0.post1",
        "0.10.1",
        "0.100.0",
    ]
    read = [read_version(one) for one in order]
    assert None not in read
    assert read == sorted(one for one in read if one)
    assert len(set(read)) == len(order)


def test_an_images_engine_and_version_are_read_from_its_name() -> None:
    held = engine_of_image("763104351884.dkr.ecr.us-east-1.amazonaws.com/djl-inference:0.33.0-lmi15.0.0-cu128")
    assert held is ENGINES["lmi"]
    assert engine_of_image("localhost:5000/vllm/vllm-openai:v0.33.0") is ENGINES["vllm"]
    assert engine_of_image("registry.example/our/own") is None
    assert version_in_tag("tgi", "2.7.0-tgi3.3.4-gpu-py311-cu124") == "3.3.4"
    assert version_in_tag("llama.cpp", "server-cuda-b8145") == "b8145"
    assert version_in_tag("llama.cpp", "server-cuda") == ""
    assert version_in_tag("vllm", "latest") == ""


# --- environment ---------------------------------------------------------------------------------------------------------


@each("engine", ["", *ENGINES])
def test_every_engine_is_kept_offline_by_the_list_that_run_has(engine: str) -> None:
    environment = offline_environment(engine)
    assert OFFLINE.items() <= environment.items()
    assert not set(environment) & {*HUB_ID_VARIABLES, *TOKEN_VARIABLES, *CODE_SWITCHES}


# --- sizing --------------------------------------------------------------------------------------------------------------


def test_r1_takes_eight_large_devices_and_no_eight_small_ones() -> None:
    laid = parallelism(R1, 8, device_memory("h200"))
    assert (laid.tensor, laid.pipeline, laid.fits) == (8, 1, True)
    assert parallelism(R1, 8, device_memory("h100")).fits is False
    assert devices_needed(R1, device_memory("h100")) == 16


def test_heads_that_eight_devices_do_not_divide_are_laid_over_fewer_or_in_stages() -> None:
    qwen = model(size=60 * GIB, attention_heads=28, key_value_heads=4, layers=28)
    assert not divides_heads(qwen, 8)
    laid = parallelism(qwen, 8, 16 * GIB)
    assert laid.fits
    assert divides_heads(qwen, laid.tensor)
    assert laid.pipeline > 1


@given(
    heads=st.integers(1, 256),
    shared=st.integers(1, 64),
    layers=st.integers(1, 200) | st.none(),
    gpus=st.integers(1, 16),
    memory=st.integers(1, 300),
    size=st.integers(1, 1 << 40),
)
def test_a_layout_divides_the_heads_and_claims_to_fit_only_where_its_estimate_does(
    heads: int, shared: int, layers: int | None, gpus: int, memory: int, size: int
) -> None:
    on = model(size=size, attention_heads=heads, key_value_heads=shared, layers=layers)
    laid = parallelism(on, gpus, memory * GIB)
    assert laid.devices <= gpus
    assert heads % laid.tensor == 0
    assert laid.pipeline <= (layers or 1)
    assert laid.fits is (laid.device_bytes <= memory * GIB * USABLE_SHARE)


def test_numbers_of_a_strangers_configuration_do_not_take_time_or_memory() -> None:
    absurd = model(attention_heads=1 << 40, key_value_heads=(1 << 40) - 1, layers=1 << 40)
    assert parallelism(absurd, 16, 80 * GIB).fits


def test_time_limits_of_690_gb() -> None:
    assert required_rate(690_000_000_000, 3600) == pytest.approx(191.7e6, rel=0.001)
    assert load_seconds(690_000_000_000, 192e6) < 3600
    assert startup_seconds(R1) > 10 * startup_seconds(TINY)
    for call in (lambda: load_seconds(1, 0), lambda: required_rate(1, 0), lambda: load_seconds(1, float("nan"))):
        with pytest.raises(ConfigError):
            call()


@each("text", ["", "gpu", "0", "-1", "1e9", "h200 or so", "9" * 30])
def test_a_device_that_nobody_knows_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no device"):
        device_memory(text)


# --- what is rendered: schemas -------------------------------------------------------------------------------------------


@each("name", [*(name for name in PLANS if name.endswith("-r1")), "vllm-cpu", "vllm-secret-tiny", "kserve-uri-cpu"])
def test_manifests_hold_to_the_schemas_of_kubernetes(name: str) -> None:
    """KServe's own kinds by the pods in them: their other fields are held to its models below."""
    for document in documents(PLANS[name]):
        if "kserve.io" not in document.get("apiVersion", "kserve.io"):
            for version in KUBERNETES if name == "vllm-claim-r1" else KUBERNETES[-1:]:
                kubernetes_validate.validate(document, version, strict=True)
    for pod in pods(PLANS[name]):
        spec = {key: value for key, value in pod.items() if key not in KSERVE_POD_FIELDS}
        if not name.startswith("kserve") or not spec.get("containers"):
            continue
        wrapped = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}
        kubernetes_validate.validate(wrapped, KUBERNETES[-1], strict=True)


KSERVE_POD_FIELDS = {
    "annotations",
    "labels",
    "minReplicas",
    "maxReplicas",
    "deploymentStrategy",
    "model",
    "supportedModelFormats",
    "protocolVersions",
}
KSERVE_MODELS = json.loads((Path(__file__).parent / "data/kserve-fields.json").read_text())["models"]
"""The fields of KServe's kinds, from its Python package (`scripts/kserve_fields.py`)."""
LLM_FIELDS = {
    "llm": {"model", "replicas", "parallelism", "template", "router"},
    "parallelism": {"tensor", "pipeline", "data", "dataLocal", "dataRPCPort", "expert"},
}
"""Fields of an LLMInferenceService, which its Python package has no model of."""


def against_kserve(kind: str, value: Any, where: str) -> list[str]:
    """What a manifest has that a model of KServe does not, and what it lacks."""
    listed = re.fullmatch(r"list\[(\w+)\]", kind)
    if listed:
        return [wrong for n, one in enumerate(value) for wrong in against_kserve(listed[1], one, f"{where}[{n}]")]
    if kind in ("str", "int", "bool"):
        return [] if type(value).__name__ == kind else [f"{where} is no {kind}"]
    if kind not in KSERVE_MODELS:
        return []
    said = KSERVE_MODELS[kind]
    found = [f"{where}.{name} is unknown" for name in value.keys() - said["types"].keys()]
    found += [f"{where}.{name} is missing" for name in set(said["required"]) - value.keys()]
    known = value.keys() & said["types"].keys()
    return found + [
        wrong for name in known for wrong in against_kserve(said["types"][name], value[name], f"{where}.{name}")
    ]


@each("name", [name for name in PLANS if name.startswith("kserve")])
def test_kserves_kinds_have_no_field_that_its_models_do_not_have(name: str) -> None:
    plan = PLANS[name]
    for service in of_kind(plan, "InferenceService"):
        assert service["apiVersion"] == "serving.kserve.io/v1beta1"
        assert against_kserve("V1beta1InferenceService", service, "service") == []
    for runtime in of_kind(plan, "ServingRuntime"):
        assert against_kserve("V1alpha1ServingRuntime", runtime, "runtime") == []
    for service in of_kind(plan, "LLMInferenceService"):
        assert set(service["spec"]) <= LLM_FIELDS["llm"]
        assert set(service["spec"]["parallelism"]) <= LLM_FIELDS["parallelism"]


def test_a_field_that_kserve_does_not_have_is_seen() -> None:
    [service] = of_kind(PLANS["kserve-tiny"], "InferenceService")
    predictor = dict(service["spec"]["predictor"])
    predictor["minReplica"] = predictor.pop("minReplicas")
    predictor["maxReplicas"] = "2"
    wrong = against_kserve("V1beta1InferenceService", {**service, "spec": {"predictor": predictor}}, "service")
    assert sorted(wrong) == [
        "service.spec.predictor.maxReplicas is no int",
        "service.spec.predictor.minReplica is unknown",
    ]


@each("name", [name for name in PLANS if name.startswith("compose")])
def test_compose_files_hold_to_the_specification(name: str) -> None:
    [file] = [file for file in PLANS[name].files if file.name == "compose.yaml"]
    compose_spec.PyCompose.from_yaml(file.text)
    with pytest.raises(ValueError, match="read_onli"):
        compose_spec.PyCompose.from_yaml(file.text.replace("read_only", "read_onli"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
def test_units_are_understood_by_systemd_and_little_exposed(tmp_path: Path) -> None:
    options = compose.Options(
        **VLLM, gpus=0, command="/bin/true", engine_folder=str(tmp_path), client_cidrs=("10.0.0.0/8",)
    )
    (tmp_path / "vllm").write_text("#!/bin/sh\n")
    (tmp_path / "vllm").chmod(0o755)
    units = [file for file in compose.render(TINY, options).files if file.name.endswith(".service")]
    assert len(units) == 2
    for unit in units:
        (tmp_path / unit.name).write_text(unit.text)
    paths = [str(tmp_path / unit.name) for unit in units]
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True, check=False
    )
    assert not [line for line in verified.stderr.splitlines() if "tiny-model" in line], verified.stderr
    for path in paths:
        judged = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=20", path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert judged.returncode == 0, judged.stdout[-200:]


# --- what is rendered: promises ------------------------------------------------------------------------------------------


@each("name", [name for name in PLANS if not name.startswith("compose")])
def test_an_engines_container_can_do_little_and_reads_only_the_model(name: str) -> None:
    plan = PLANS[name]
    engines = containers(plan, fetch=False)
    assert len(engines) == 1
    [engine] = engines
    security = engine["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert (security["allowPrivilegeEscalation"], security["privileged"], security["runAsNonRoot"]) == (
        False,
        False,
        True,
    )
    assert security.get("readOnlyRootFilesystem") is (None if name.startswith("kserve-llm") else True)
    assert engine["image"].endswith(DIGEST)
    assert "envFrom" not in engine
    for mounted in engine.get("volumeMounts", ()):
        assert mounted.get("readOnly") or mounted["mountPath"] in ("/cache", "/tmp", "/dev/shm"), mounted
    for pod in pods(plan):
        assert pod.get("automountServiceAccountToken", "supportedModelFormats" not in pod) is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)


@each("name", list(PLANS))
def test_no_engine_is_told_of_the_hub_of_a_token_or_of_the_models_code(name: str) -> None:
    plan = PLANS[name]
    for engine in containers(plan, fetch=False):
        environment = env_of(engine)
        assert OFFLINE.items() <= {**OFFLINE, **environment}.items()
        assert environment["HF_HUB_OFFLINE"] == "1"
        assert not set(environment) & {*HUB_ID_VARIABLES, *TOKEN_VARIABLES, *CODE_SWITCHES}
        assert not [key for key in environment if key.startswith(("AWS_", "WEIGHBRIDGE_"))]
        assert not asks_for_remote_code([*engine.get("command", ()), *engine.get("args", ())])
    for file in plan.files:
        for line in file.text.splitlines():
            assert not re.search(r"trust.remote.code(?!=false)", line, re.IGNORECASE), line
            assert not re.search(r"(?<!UnsetEnvironment=)\bHF_TOKEN\b", line), line


@each("name", list(PLANS))
def test_every_image_is_named_by_its_digest(name: str) -> None:
    images = re.findall(r"image: (\S+)", "".join(file.text for file in PLANS[name].files))
    assert images
    assert all(re.fullmatch(r"[^@]+@sha256:[0-9a-f]{64}", one) for one in images)


def test_an_engine_whose_model_lies_in_a_claim_has_no_egress_at_all() -> None:
    plan = PLANS["vllm-claim-r1"]
    policies = {
        one["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]: one["spec"]
        for one in of_kind(plan, "NetworkPolicy")
    }
    assert policies["engine"]["egress"] == []
    assert policies["engine"]["policyTypes"] == ["Ingress", "Egress"]
    assert policies["fetch"]["ingress"] == []
    assert {"ipBlock": {"cidr": "10.1.0.0/24"}} in policies["fetch"]["egress"][1]["to"]
    [deployment] = of_kind(plan, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert "initContainers" not in pod
    assert pod["volumes"][0]["persistentVolumeClaim"]["readOnly"] is True
    assert (
        deployment["spec"]["template"]["metadata"]["labels"].items()
        >= {"app.kubernetes.io/component": "engine"}.items()
    )
    [job] = of_kind(plan, "Job")
    assert job["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"] == "fetch"
    [claim] = of_kind(plan, "PersistentVolumeClaim")
    assert int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) * GIB > R1.size_bytes


@each("name", ["vllm-role-tiny", "vllm-secret-tiny"])
def test_what_reads_the_store_is_given_to_the_fetch_alone(name: str) -> None:
    plan = PLANS[name]
    [fetch], [engine] = containers(plan, fetch=True), containers(plan, fetch=False)
    assert "AWS_ROLE_ARN" in env_of(fetch) or fetch["envFrom"] == [{"secretRef": {"name": "store"}}]
    secret = {one["name"] for one in fetch["volumeMounts"]} & {"identity", "trust", "state"}
    assert not secret & {one["name"] for one in engine["volumeMounts"]}
    assert fetch["args"][1] == TINY.reference


def test_policies_select_the_pods_they_are_about() -> None:
    for name, plan in PLANS.items():
        selected = [one["spec"]["podSelector"]["matchLabels"] for one in of_kind(plan, "NetworkPolicy")]
        made = [
            one["spec"]["template"]["metadata"]["labels"]
            for kind in ("Deployment", "Job")
            for one in of_kind(plan, kind)
        ]
        made += [one["spec"]["predictor"]["labels"] for one in of_kind(plan, "InferenceService")]
        for labels in made:
            assert any(select.items() <= labels.items() for select in selected), name


def test_an_llm_service_reaches_the_store_alone() -> None:
    plan = kserve.render(R1, kserve.Options(**VLLM, gpus=8, load="llm", store_cidrs=("10.1.0.0/24",)))
    [policy] = of_kind(plan, "NetworkPolicy")
    assert policy["spec"]["policyTypes"] == ["Egress"]
    assert policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == plan.name
    assert [one["to"] for one in policy["spec"]["egress"]][1] == [{"ipBlock": {"cidr": "10.1.0.0/24"}}]
    [service] = of_kind(plan, "LLMInferenceService")
    assert service["spec"]["model"] == {"uri": R1.prefix, "name": "deepseek-ai/DeepSeek-R1"}
    assert service["spec"]["parallelism"] == {"tensor": 8, "pipeline": 1}
    assert "--load-format safetensors" in env_of(service["spec"]["template"]["containers"][0])["VLLM_ADDITIONAL_ARGS"]


def test_time_and_memory_grow_with_the_model() -> None:
    for name in ("vllm", "tgi", "lmi", "kserve"):
        small, large = (containers(PLANS[f"{name}-{which}"], fetch=False)[0] for which in ("tiny", "r1"))
        budget = large["startupProbe"]["failureThreshold"] * large["startupProbe"]["periodSeconds"]
        assert budget >= load_seconds(R1.weight_bytes, 200e6)
        assert small["startupProbe"]["failureThreshold"] < large["startupProbe"]["failureThreshold"]
        assert large["resources"]["limits"]["nvidia.com/gpu"] == "8"
    [deployment] = of_kind(PLANS["vllm-r1"], "Deployment")
    assert deployment["spec"]["progressDeadlineSeconds"] > 2 * load_seconds(R1.size_bytes, 200e6)
    cpu = containers(PLANS["vllm-cpu"], fetch=False)[0]
    assert int(cpu["resources"]["limits"]["memory"].removesuffix("Gi")) * GIB > TINY.weight_bytes
    assert "nvidia.com/gpu" not in cpu["resources"]["limits"]


def test_lmi_is_told_everything_by_the_file_that_overrides_the_environment() -> None:
    [files] = [one for one in of_kind(PLANS["lmi-r1"], "ConfigMap") if "serving.properties" in one["data"]]
    properties = dict(line.split("=", 1) for line in files["data"]["serving.properties"].splitlines())
    assert properties["option.model_id"] == "/models/deepseek-r1"
    assert properties["option.trust_remote_code"] == "false"
    assert properties["option.load_format"] == "safetensors"
    assert properties["option.tensor_parallel_degree"] == "8"
    assert properties["option.max_model_len"] == "65536"
    [engine] = containers(PLANS["lmi-r1"], fetch=False)
    assert not [key for key in env_of(engine) if key.startswith(("OPTION_", "SERVING_", "TENSOR_PARALLEL"))]
    assert {"name": "files", "mountPath": "/opt/ml/model", "readOnly": True} in engine["volumeMounts"]


@each(
    "engine, plan",
    [
        ("vllm", PLANS["vllm-r1"]),
        ("vllm", PLANS["kserve-r1"]),
        ("vllm", PLANS["vllm-cpu"]),
        ("tgi", PLANS["tgi-r1"]),
        ("sglang", in_compose(R1, "sglang", "0.5.23", gpus=16, gpu="h200", context_length=65536)),
        ("llama.cpp", in_compose(dataclasses.replace(TINY, files={"m.gguf": 10**9}), "llama.cpp", "b11900", gpus=1)),
    ],
)
def test_engines_are_given_arguments_that_they_know(engine: str, plan: Plan) -> None:
    names = [word.removeprefix("--") for word in given_to_engine(plan) if word.startswith("--")]
    assert names
    for release in ARGUMENTS[engine]:
        assert set(names) <= release.names - release.deprecated, release.release


def test_vllm_is_told_to_load_safetensors_from_the_models_folder() -> None:
    arguments = given_to_engine(PLANS["vllm-r1"])
    assert arguments[arguments.index("--load-format") + 1] == "safetensors"
    assert arguments[0].startswith("/models/")


def test_an_engine_in_compose_has_no_network_but_an_internal_one() -> None:
    for which in MODELS:
        document = documents(PLANS[f"compose-{which}"])[0]
        services, networks = document["services"], document["networks"]
        assert services["engine"]["networks"] == ["inside"]
        assert networks["inside"] == {"internal": True}
        assert "ports" not in services["engine"]
        assert services["engine"]["volumes"][0]["read_only"] is True
        for service in services.values():
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
            assert service["user"] == "10001:10001"
        assert services["engine"]["depends_on"]["fetch"]["condition"] == "service_completed_successfully"


def test_the_plain_env_file_is_one_variable_a_line() -> None:
    [file] = [file for file in PLANS["compose-tiny"].files if file.name.endswith(".env")]
    lines = [line for line in file.text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Z_]+=[^\s'\"]+", line) for line in lines)
    assert dict(line.split("=", 1) for line in lines).items() >= OFFLINE.items()


def test_a_load_that_nothing_proves_is_a_finding() -> None:
    for which in MODELS:
        for how, expected in (("kserve-uri", ["deploy-unproven-load"]), ("kserve", [])):
            assert [one.rule for one in PLANS[f"{how}-{which}"].findings] == expected
    [service] = of_kind(PLANS["kserve-uri-r1"], "InferenceService")
    assert service["spec"]["predictor"]["model"]["storageUri"] == R1.prefix
    assert R1.prefix.endswith(f"/{R1.revision}/")


def test_what_costs_is_counted_for_690_gb() -> None:
    three = {one.what: one.quantity for one in of_vllm(R1, gpus=8, gpu="h200", replicas=3).cost_drivers}
    assert (three["devices"], three["device hours"], three["volume"]) == ("24 x h200", "576 a day", "2124 GiB")
    assert (three["storage in the store"], three["reads from the store"]) == ("690.0 GB", "2070.0 GB")
    assert three["an update"] == "8 x h200 and 708 GiB"
    one = {one.what: one.quantity for one in of_vllm(R1, gpus=8, gpu="h200", in_place=True).cost_drivers}
    assert "an update" not in one
    host = {one.what: one.quantity for one in PLANS["compose-r1"].cost_drivers}
    assert host["an update"] == "708 GiB"


def test_the_same_is_rendered_for_the_same_and_a_plan_is_one_json_document() -> None:
    for name, plan in all_plans():
        assert plan.files == PLANS[name].files
        assert json.loads(encode(plan.to_json()))["files"]
        assert plan.resources
        assert plan.cost_drivers
        names = [file.name for file in plan.files]
        assert len(set(names)) == len(names)


@each("name", [name for name in PLANS if name.endswith("-tiny") and not name.startswith("kserve-llm")])
def test_lint_has_nothing_to_say_of_what_is_rendered(name: str) -> None:
    assert lint_files({file.name: file.text.encode() for file in PLANS[name].files}) == []


# --- what is refused -----------------------------------------------------------------------------------------------------


def test_a_tag_is_refused_and_where_it_is_allowed_it_is_a_finding() -> None:
    tagged = {"image": "vllm/vllm-openai:v0.33.0", "engine_version": ""}
    with pytest.raises(ConfigError, match="tag, which can be moved"):
        of_vllm(**tagged)
    plan = of_vllm(**tagged, allow_tags=True)
    assert [one.rule for one in plan.findings] == ["deploy-mutable-image"]
    assert plan.settings["engine_version"] == "v0.33.0"
    with pytest.raises(ConfigError, match="which version"):
        of_vllm(image="vllm/vllm-openai:latest", engine_version="", allow_tags=True)


@each(
    "bad",
    [
        "",
        "vllm/vllm-openai",
        "vllm/vllm-openai@sha256:abc",
        f"vllm/vllm-openai@sha256:{'A' * 64}",
        f"vllm vllm@{DIGEST}",
        f"x\nimage: evil@{DIGEST}",
        f"../x@{DIGEST}",
        f"-x@{DIGEST}",
        f"x@{DIGEST}@{DIGEST}",
        f"{'a/' * 9}a@{DIGEST}",
        "a" * 100_000,
    ],
)
def test_an_image_that_is_none_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="image"):
        of_vllm(image=bad)
    with pytest.raises(ConfigError, match="image"):
        of_vllm(fetch_image=bad)


def test_another_engines_image_is_refused() -> None:
    with pytest.raises(ConfigError, match="not of vLLM"):
        of_vllm(image=image("huggingface/text-generation-inference"))


def test_a_vulnerable_version_is_refused_by_name_and_accepted_only_with_a_reason_that_is_kept() -> None:
    with pytest.raises(Denied, match="CVE-2026-48746") as refused:
        of_vllm(engine_version="0.21.0")
    assert "CVE-2026-48746" in refused.value.rules
    assert minimum_version("vllm") in refused.value.hint
    with pytest.raises(Denied):
        of_vllm(engine_version="0.21.0", accept_vulnerable="  ")
    plan = of_vllm(engine_version="0.21.0", accept_vulnerable="behind a gateway until Friday")
    assert plan.settings["accepted"] == "behind a gateway until Friday"
    assert any("behind a gateway" in note for note in plan.notes)
    assert any("CVE-2026-48746" in one.message for one in plan.findings)
    assert {one.rule for one in plan.findings} == {"deploy-vulnerable-engine"}


def test_the_vllm_inside_lmi_is_weighed_where_it_is_said() -> None:
    with pytest.raises(Denied, match="CVE-2026-27893"):
        RENDERED["lmi"](TINY, {"vllm_version": "0.14.0"})
    plan = RENDERED["lmi"](TINY, {"vllm_version": "0.14.0", "accept_vulnerable": "no multimodal model is served"})
    assert {one.rule for one in plan.findings} == {"deploy-vulnerable-engine"}
    assert plan.settings["vllm_version"] == "0.14.0"
    assert not any("not weighed here" in note for note in plan.notes)
    assert any("not weighed here" in note for note in PLANS["lmi-r1"].notes)
    with pytest.raises(ConfigError, match="no version"):
        RENDERED["lmi"](TINY, {"vllm_version": "latest"})


def test_a_version_that_callers_can_make_fall_over_is_rendered_and_said() -> None:
    plan = of_vllm(engine_version="0.31.0")
    assert [one.rule for one in plan.findings] == ["deploy-vulnerable-engine"] * len(plan.findings)
    assert any("CVE-2026-115911" in one.message for one in plan.findings)
    assert not any(one.severity.is_grave for one in plan.findings)


@each("name", sorted(REFUSED))
def test_arguments_that_would_undo_the_deployment_are_refused_in_every_spelling(name: str) -> None:
    for spelt in (f"--{name}", f"--{name}=x", f"--{name.replace('-', '_')}", f"--{name.replace('-', '_')}=x"):
        with pytest.raises(Denied):
            of_vllm(arguments=(spelt, "x"))


@each(
    "arguments",
    [
        ("--trust-remote-code",),
        ("--trust_remote_code",),
        ("--trust-remote",),
        ("--hf-overrides", '{"trust_remote_code": true}'),
        ("--model-loader-extra-config", '{"trust-remote-code": true}'),
        ("--toke", "other/tokenizer"),
        ("--load-f", "pt"),
        ("--rev", "main"),
        ("-tp", "4"),
        ("-sc", '{"model": "other/model"}'),
        ("-sc.model", "other/model"),
        ("-s", "{}"),
        ("--structured-outputs-config.reasoning_parser_plugin", "/tmp/x.py"),
    ],
)
def test_shortened_and_nested_arguments_are_refused_too(arguments: tuple[str, ...]) -> None:
    with pytest.raises((Denied, ConfigError)):
        of_vllm(arguments=arguments)


def test_ordinary_arguments_are_passed_on_and_unknown_ones_are_not() -> None:
    plan = of_vllm(arguments=("--gpu-memory-utilization", "0.85", "--no-enable-prefix-caching", "--seed", "-1"))
    [engine] = containers(plan, fetch=False)
    assert engine["args"][-5:] == ["--gpu-memory-utilization", "0.85", "--no-enable-prefix-caching", "--seed", "-1"]
    with pytest.raises(ConfigError, match="knows no"):
        of_vllm(arguments=("--gpu-memory-utilisation", "0.9"))
    with pytest.raises(ConfigError, match="takes no arguments"):
        RENDERED["lmi"](TINY, {"arguments": ("--x",)})


def test_an_argument_is_weighed_by_the_release_that_gets_it() -> None:
    known = [arguments_of("vllm", version) for version in ("0.30.0", "0.32.1", "0.33.0", "1.2", "")]
    assert [one.release for one in known if one] == ["0.32.0", "0.32.0", "0.33.0", "0.33.0", "0.33.0"]
    of_vllm(arguments=("-cc.mode", "none", "-O3", "-q=awq", "--disable-prefix-caching"))
    with pytest.raises(ConfigError, match=r"0\.32\.0 knows no") as refused:
        of_vllm(arguments=("--disable-prefix-caching",), engine_version="0.32.0")
    assert refused.value.hint == "vLLM 0.33.0 does."


@each(
    "engine, arguments",
    [
        ("tgi", ("--ngrok", "--ngrok-authtoken", "x")),
        ("tgi", ("--lora-adapters", "other/adapter")),
        ("tgi", ("--tokenizer-config-path", "/tmp/x.json")),
        ("tgi", ("--usage-stats", "on")),
        ("tgi", ("-p", "80")),
        ("sglang", ("--speculative-draft-model-path", "other/model")),
        ("sglang", ("--custom-weight-loader", "os.system")),
        ("sglang", ("--forward-hooks", "[]")),
        ("sglang", ("--tp", "4")),
        ("llama.cpp", ("-hf", "other/model")),
        ("llama.cpp", ("-hfr", "other/model")),
        ("llama.cpp", ("--model-draft", "/tmp/x.gguf")),
        ("llama.cpp", ("--rpc", "10.0.0.1:50052")),
        ("llama.cpp", ("--gpt-oss-20b-default",)),
        ("llama.cpp", ("--fim-qwen-7b-spec",)),
        ("llama.cpp", ("--tools", "all")),
        ("llama.cpp", ("-ag",)),
        ("llama.cpp", ("--mcp-servers-config", "/tmp/x.json")),
        ("llama.cpp", ("--media-path", "/")),
        ("llama.cpp", ("--path", "/")),
    ],
)
def test_what_other_engines_call_it_is_refused_too(engine: str, arguments: tuple[str, ...]) -> None:
    with pytest.raises((Denied, ConfigError)):
        check_arguments(engine, arguments)


@each(
    "engine, arguments",
    [
        ("tgi", ("--max-input-tokens", "1024", "--max-batch-prefill-tokens", "2048", "--quantize", "fp8")),
        ("tgi", ("--a-newer-argument-than-is-known", "1")),
        ("sglang", ("--mem-fraction-static", "0.8", "--tokenizer-mode", "auto", "--random-seed", "-1")),
        ("llama.cpp", ("--threads", "8", "--parallel", "2", "--temp", "0.5", "-fa", "on", "--no-warmup", "-ngl", "99")),
        ("transformers-serve", ("--anything-at-all",)),
    ],
)
def test_ordinary_arguments_of_other_engines_are_taken(engine: str, arguments: tuple[str, ...]) -> None:
    check_arguments(engine, arguments)


@each(
    "engine, argument, meant",
    [
        ("vllm", "--gpu-memory-utilisation", "--gpu-memory-utilization"),
        ("tgi", "--max-input-token", "--max-input-tokens"),
        ("sglang", "--mem-fraction-statik", "--mem-fraction-static"),
        ("llama.cpp", "--n-gpu-layer", "--n-gpu-layers"),
    ],
)
def test_a_misspelt_argument_is_refused_with_the_one_that_was_meant(engine: str, argument: str, meant: str) -> None:
    with pytest.raises(ConfigError, match="knows no") as refused:
        check_arguments(engine, (argument, "1"))
    assert refused.value.hint == f"Did you mean {meant}?"


def test_an_argument_of_another_release_is_said_to_be_one() -> None:
    with pytest.raises(ConfigError, match=r"SGLang 0\.5\.19 knows no") as refused:
        check_arguments("sglang", ("--enable-response-store",), "0.5.20")
    assert refused.value.hint == "SGLang 0.5.23 does."


def test_llama_cpp_is_kept_offline_by_a_variable_that_it_reads() -> None:
    known = arguments_of("llama.cpp")
    assert known
    assert "offline" in {known.environment.get(name) for name in offline_environment("llama.cpp")}
    of_hubs = ("hf-repo", "model-url", "docker-repo", "spec-draft-hf", "mmproj-url")
    assert {name for name, long in known.environment.items() if long in of_hubs} <= set(HUB_ID_VARIABLES)


def test_the_lists_of_arguments_say_where_they_are_from() -> None:
    for file in Path(compose.__file__).parent.glob("*_arguments.json"):
        for release, said in json.loads(file.read_text()).items():
            assert release
            assert re.search(r"wheel|distribution|at [0-9a-f]{12}", said["source"]), file


@each(
    "field, value",
    [
        ("name", "Tiny"),
        ("name", "a\n---\nkind: Secret"),
        ("name", "a" * 64),
        ("name", "1abc"),
        ("namespace", "x: y"),
        ("namespace", ""),
        ("clients", ("a b",)),
        ("trust_config_map", "../x"),
        ("credentials_secret", "x\ny"),
        ("served_name", "a\nb"),
        ("served_name", '"; rm -rf /'),
        ("storage", "host"),
        ("claim_access", "ReadWriteEverything"),
        ("store_cidrs", ("0.0.0.0/33",)),
        ("store_cidrs", ("example.com",)),
        ("store_port", 0),
        ("replicas", -1),
        ("gpus", 17),
        ("gpus", -1),
        ("gpu", "toaster"),
        ("user_id", 0),
        ("transfer_rate", 0),
        ("context_length", 0),
        ("context_length", 40_000),
        ("tensor_parallel", 5),
        ("tensor_parallel", 2),
        ("engine_version", "latest"),
        ("engine_version", "0.33.0\nkind: Secret"),
        ("accept_vulnerable", "a\n\x1b[2J"),
        ("arguments", ("--seed\nExecStartPre=/bin/x",)),
        ("arguments", ("",)),
        ("role_arn", "arn:aws:iam::1:role/x"),
        ("role_arn", "reader"),
        ("gpu_resource", "nvidia"),
        ("gpu_resource", "a b/gpu"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError):
        of_vllm(**{field: value})


@each(
    "field, value",
    [
        ("host_folder", "relative"),
        ("host_folder", "/srv/../etc"),
        ("host_folder", "/srv/a b"),
        ("store_variables", "/etc/x\ny"),
        ("command", "/bin/sh -c"),
        ("client_cidrs", ("any",)),
        ("engine", "ollama"),
        ("engine", "toaster"),
    ],
)
def test_a_choice_of_a_host_that_cannot_be_is_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError):
        compose.render(TINY, compose.Options(**{**VLLM, field: value, "accept_vulnerable": "x"}))


@each("load", ["storage-uri", "llm"])
def test_kserve_cannot_copy_from_a_folder(load: str) -> None:
    local = dataclasses.replace(TINY, store="/srv/store")
    with pytest.raises(ConfigError, match="cannot copy"):
        kserve.render(local, kserve.Options(**VLLM, load=load))
    assert any("folder of this machine" in note for note in of_vllm(local).notes)


def test_a_model_without_safetensors_is_refused_by_engines_that_would_unpickle() -> None:
    pickled = dataclasses.replace(TINY, files={"pytorch_model.bin": 5, "config.json": 2})
    for how in ("vllm", "tgi", "lmi", "kserve", "compose"):
        with pytest.raises(ConfigError, match=r"no \.safetensors"):
            RENDERED[how](pickled, {})
    gguf = dataclasses.replace(TINY, files={"tiny.gguf": 5})
    options = compose.Options(
        **{**COMMON, "engine": "llama.cpp", "image": image("x"), "engine_version": "b12000", "gpus": 0}
    )
    assert (
        "/models/tiny-model/tiny.gguf" in documents(compose.render(gguf, options))[0]["services"]["engine"]["command"]
    )


def test_a_model_that_does_not_fit_is_a_finding_with_the_reason() -> None:
    plan = of_vllm(R1, gpus=8, gpu="h100")
    [finding] = plan.findings
    assert finding.rule == "deploy-model-too-large"
    assert "GiB" in finding.message
    assert plan.settings["fits"] is False


def test_it_is_grave_where_the_weights_alone_are_more_than_the_devices_have() -> None:
    def gravity(**chosen: object) -> str:
        [finding] = of_vllm(R1, gpus=8, **chosen).findings
        assert finding.rule == "deploy-model-too-large"
        return finding.severity.label

    assert gravity(gpu="a100-40gb") == "high"
    assert gravity(gpu="96") == "medium"
    assert gravity(gpu="a100-40gb", arguments=("--cpu-offload-gb", "64")) == "medium"


def test_dollars_and_percent_signs_stay_what_they_are() -> None:
    options = compose.Options(**VLLM, arguments=("--root-path", '/a$HOME%h"b c'))
    plan = compose.render(TINY, options)
    command = documents(plan)[0]["services"]["engine"]["command"]
    assert command[-1] == '/a$$HOME%h"b c'
    [unit] = [file for file in plan.files if file.name == "tiny-model.service"]
    assert '--root-path "/a$$HOME%%h\\"b c"' in unit.text


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=4), st.text(max_size=20))
def test_words_of_an_operator_stay_words_in_every_file(arguments: list[str], reason: str) -> None:
    given_words = ("--root-path", *arguments)
    try:
        plan = of_vllm(arguments=given_words, accept_vulnerable=reason)
        on_host = compose.render(TINY, compose.Options(**VLLM, arguments=given_words))
    except (ConfigError, Denied):
        return
    [engine] = containers(plan, fetch=False)
    assert tuple(engine["args"][-len(given_words) :]) == given_words
    [document] = documents(on_host)
    command = [word.replace("$$", "$") for word in document["services"]["engine"]["command"]]
    assert tuple(command[-len(given_words) :]) == given_words
    [unit] = [file for file in on_host.files if file.name == "tiny-model.service"]
    assert len([line for line in unit.text.splitlines() if line.startswith("ExecStart")]) == 1


def test_every_option_has_a_default() -> None:
    for module in (vllm, tgi, lmi, kserve, compose):
        module.Options()
        assert dataclasses.fields(module.Options)
        for flag, said in (("--image ", {}), ("--fetch-image ", {"image": image("engine")})):
            with pytest.raises(ConfigError, match="image is not said") as refused:
                module.render(TINY, module.Options(**said))
            assert flag in refused.value.hint
    assert issubclass(kserve.Options, PodOptions)


# --- the trust file, and the fetch as it would run -----------------------------------------------------------------------


def test_the_init_container_as_it_is_rendered_brings_the_model(tmp_path: Path, weighbridge: Command) -> None:
    depot = Depot(tmp_path / "depot")
    manifest = depot.approve({"config.json": b"{}", "model.safetensors": b"x" * 5000})
    sizes = {artifact.path: artifact.size_bytes for artifact in manifest.artifacts}
    on = Deployable(manifest.model_name, "production", manifest.revision, manifest.digest, depot.store.address, sizes)
    plan = of_vllm(on, trust=depot.trust())
    [fetch] = containers(plan, fetch=True)
    [trusted] = [one for one in of_kind(plan, "ConfigMap") if "trust.json" in one["data"]]
    assert trusted["immutable"] is True
    [volume] = [one for one in pods(plan)[0]["volumes"] if one["name"] == "trust"]
    assert volume["configMap"]["name"] == trusted["metadata"]["name"]
    root = tmp_path / "pod"
    for mounted in fetch["volumeMounts"]:
        (root / mounted["mountPath"].lstrip("/")).mkdir(parents=True, exist_ok=True)
    (root / "etc/weighbridge/trust.json").write_text(trusted["data"]["trust.json"])
    environment = {name: f"{root}{value}" if value.startswith("/") else value for name, value in env_of(fetch).items()}
    action, reference, folder = fetch["args"]
    ran = subprocess.run(
        [sys.executable, "-m", "weighbridge", action, reference, f"{root}{folder}"],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert sorted(path.name for path in (root / folder.lstrip("/")).iterdir()) == ["config.json", "model.safetensors"]
    (root / "etc/weighbridge/trust.json").write_text(trusted["data"]["trust.json"].replace("acme", "evil") + " ")
    weighbridge(action, reference, f"{root}/models/again", env=environment, code=7)


def test_a_trust_file_that_is_none_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "trust.json"
    bad.write_text("{}")
    with pytest.raises(ConfigError, match="trust file"):
        of_vllm(trust=bad)
    with pytest.raises(ConfigError):
        of_vllm(trust=tmp_path / "absent.json")
