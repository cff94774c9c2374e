"""What a cluster admits: real manifests over real HTTP, as an API server sends them."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from tests.conftest import Command
from tests.support.cases import each
from tests.support.gateway import running
from weighbridge.core.errors import ConfigError, LimitExceeded, NothingCollected, Revoked, StoreUnreachable
from weighbridge.core.names import ModelName
from weighbridge.serve.admission_webhook import (
    MAX_REVIEW_BYTES,
    AdmissionWebhook,
    Review,
    Rules,
    judge,
    review_of,
)
from weighbridge.serve.metrics import Metrics
from weighbridge.serve.workloads import Claim, claims_of

WORKLOADS = Path(__file__).parent / "data" / "workloads"
CURRENT, OLDER, REVOKED = "a" * 40, "b" * 40, "c" * 40
NAMES = {
    "endpoint": "https://models.example",
    "store": "s3://models-approved/q",
    "digest": "d" * 64,
    "current": CURRENT,
    "older": OLDER,
    "revoked": REVOKED,
}
RULES = Rules(endpoints=(NAMES["endpoint"],), stores=(NAMES["store"],))


def revision_of(model_name: ModelName, ref: str) -> str:
    """As `Approved.resolve` answers for a model with two approved revisions and a revoked one."""
    if str(model_name) == "down/model":
        raise StoreUnreachable("no connection to s3://models-approved")
    if str(model_name) != "acme/tiny":
        raise NothingCollected("no")
    if ref == REVOKED:
        raise Revoked("revoked")
    found = {"main": CURRENT, "production": CURRENT, "staging": OLDER, CURRENT: CURRENT, OLDER: OLDER}.get(ref)
    if found is None:
        raise NothingCollected("no")
    return found


def filled(value: Any) -> Any:
    if isinstance(value, str):
        for name, text in NAMES.items():
            value = value.replace(f"{{{name}}}", text)
        return value
    if isinstance(value, dict):
        return {key: filled(inner) for key, inner in value.items()}
    return [filled(inner) for inner in value] if isinstance(value, list) else value


def workloads(name: str) -> list[dict[str, Any]]:
    found = [filled(one) for one in yaml.safe_load_all((WORKLOADS / f"{name}.yaml").read_text()) if one]
    assert len(found) > 9
    return found


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    app = Starlette(routes=[AdmissionWebhook(RULES, revision_of, Metrics()).route])
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, ws="none", lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/admission/v1"
    server.should_exit = True
    thread.join(10)


def review(workload: Any, old: Any = None, operation: str = "CREATE") -> dict[str, Any]:
    """As an API server asks."""
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": (workload or {}).get("kind", "Pod")},
            "operation": operation,
            "userInfo": {"username": "admin", "groups": ["system:authenticated"]},
            "object": workload,
            "oldObject": old,
            "dryRun": False,
        },
    }


def asked(url: str, workload: Any, **rest: Any) -> dict[str, Any]:
    answer = httpx.post(url, json=review(workload, **rest), verify=False)
    assert answer.status_code == 200
    document = answer.json()
    assert (document["apiVersion"], document["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert document["response"]["uid"] == "705ab4f5-6393-11e8-b7cc-42010a800002"
    return document["response"]


@each("workload", workloads("allowed"), ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_what_names_approved_revisions_or_no_model_is_admitted(workload: dict[str, Any], url: str) -> None:
    answer = asked(url, workload)
    assert answer["allowed"], answer["status"]["message"]
    assert "warnings" not in answer


@each("workload", workloads("refused"), ids=lambda one: one["metadata"]["name"])
def test_what_does_not_is_refused_and_told_where_and_what_to_write(workload: dict[str, Any], url: str) -> None:
    answer = asked(url, workload)
    assert not answer["allowed"]
    assert answer["status"]["code"] == 403
    for words in workload["metadata"]["annotations"]["says"].split("|"):
        assert words in answer["status"]["message"]


def named(name: str) -> dict[str, Any]:
    return next(one for one in workloads("refused") if one["metadata"]["name"] == name)


def verdict(workload: Any, **rules: Any) -> Review:
    made = {"endpoints": RULES.endpoints, "stores": RULES.stores, **rules}
    return judge(workload, Rules(**made), revision_of)


@each("name", ["value-from", "env-from", "volume", "local-path"])
def test_what_cannot_be_known_is_only_warned_about_where_rules_say_so(name: str) -> None:
    found = verdict(named(name), unknown="warn")
    assert found.allowed
    assert "cannot be known here" in found.warnings[0]


@each("name", ["public-id", "revoked", "remote-code", "mutable-image", "neighbour", "by-position"])
def test_a_warning_never_stands_for_what_is_known_to_be_wrong(name: str) -> None:
    assert not verdict(named(name), unknown="warn").allowed


def test_rules_can_allow_code_and_tags() -> None:
    assert verdict(named("remote-code"), remote_code=True).allowed
    assert verdict(named("mutable-image"), images_by_digest=False).allowed


def test_rules_can_want_the_commit() -> None:
    deployment = next(one for one in workloads("allowed") if one["kind"] == "Deployment")
    found = verdict(deployment, pinned=True)
    assert not found.allowed
    assert f"Pin the revision: {CURRENT}" in found.message
    sglang = next(one for one in workloads("allowed") if one["kind"] == "LeaderWorkerSet")
    assert verdict(sglang, pinned=True).allowed


def test_a_storage_initializer_that_is_known_to_use_the_gateway_may_take_hub_uris() -> None:
    service = {"kind": "InferenceService", "spec": {"predictor": {"model": {"storageUri": f"hf://acme/tiny:{OLDER}"}}}}
    assert not verdict(service).allowed
    assert verdict(service, cluster_endpoint=True).allowed
    service["spec"]["predictor"]["model"]["storageUri"] = f"hf://acme/tiny@{REVOKED}"  # type: ignore[index]
    assert not verdict(service, cluster_endpoint=True).allowed


IMAGES = ("vllm/vllm-openai", "lmsysorg/*", "registry.example:5000/serving/*", "nginx")


@each(
    "image, serves",
    [
        ("vllm/vllm-openai:v0.11", True),
        ("docker.io/vllm/vllm-openai@sha256:" + "d" * 64, True),
        ("vllm/vllm-openai:v1@sha256:" + "d" * 64, True),
        ("registry.example:5000/serving/tgi:3", True),
        ("lmsysorg/sglang:v1", True),
        ("docker.io/lmsysorg/sglang", True),
        ("lmsysorg", False),
        ("evil.example/lmsysorg/sglang", False),
        ("registry.example:5000/serving/deep/tgi", True),
        ("docker.io/library/nginx", True),
        ("nginx:1.27", True),
        ("vllm/vllm-openai-evil", False),
        ("evil/vllm/vllm-openai", False),
        ("quay.io/vllm/vllm-openai", False),
        ("registry.example:5000/serving", False),
        ("registry.example:5000/serving/../evil/tgi", False),
        ("registry.example:5000/servingevil/tgi", False),
        ("registry.example/serving/tgi", False),
        ("evil.example/registry.example:5000/serving/tgi", False),
        ("localhost/nginx", False),
        ("nginx\n", False),
        (" nginx", False),
        ("", False),
    ],
)
def test_rules_can_name_the_images_that_serve_models(image: str, serves: bool) -> None:
    assert Rules(images=IMAGES).may_serve(image) is serves
    pod = {
        "kind": "Pod",
        "spec": {
            "containers": [
                {
                    "image": image,
                    "command": ["vllm", "serve", "acme/tiny"],
                    "env": [{"name": "HF_ENDPOINT", "value": NAMES["endpoint"]}],
                }
            ]
        },
    }
    found = verdict(pod, images=IMAGES, images_by_digest=False)
    assert found.allowed is serves
    assert serves or "may not serve models. Take one of vllm/vllm-openai" in found.message


@each(
    "rules",
    [
        {"images": ("*",)},
        {"images": ("reg*/x",)},
        {"images": ("a/*/b",)},
        {"exempt_namespaces": ("kube-*",)},
        {"unknown": "allow"},
    ],
)
def test_rules_that_would_mean_more_than_they_say_are_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Rules(**rules)


def test_an_exempt_namespace_is_one_that_the_api_server_names() -> None:
    rules = Rules(exempt_namespaces=("kube-system",))

    def allowed(**request: Any) -> bool:
        asked = review(named("public-id") | {"metadata": {"name": "x", "namespace": "kube-system"}})
        asked["request"].update(request)
        return review_of(json.dumps(asked).encode(), rules, revision_of)[1].allowed

    assert allowed(namespace="kube-system")
    for namespace in ("default", "kube-system-2", "", None, ["kube-system"], 7):
        assert not allowed(namespace=namespace)
    assert not allowed()


def test_the_settings_of_a_home_are_what_its_webhook_goes_by(tmp_path: Path) -> None:
    command = Command(tmp_path / "home")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text(
        '[admission]\nexempt_namespaces = "tools, kube-system"\nimages = "vllm/*"\nimages_by_digest = false\nunknown = "warn"\n'
        'endpoints = "https://models.example"\n'
    )

    def pod(image: str, **container: Any) -> dict[str, Any]:
        endpoint = [{"name": "HF_ENDPOINT", "value": "https://models.example"}]
        return {"kind": "Pod", "spec": {"containers": [{"image": image, "env": endpoint, **container}]}}

    with running(command) as gateway:

        def answer(workload: Any, **request: Any) -> dict[str, Any]:
            asked = review(workload)
            asked["request"].update(request)
            json_ = {"Content-Type": "application/json"}
            return gateway.ask("/admission/v1", method="POST", headers=json_, body=json.dumps(asked).encode()).json[
                "response"
            ]

        unknown = pod("vllm/vllm-openai:v1", args=["--model", "/models/x"])
        assert answer(unknown)["allowed"], answer(unknown)
        assert "cannot be known here" in answer(unknown)["warnings"][0]
        # Nothing was promoted yet, so that nothing is approved.
        missing = pod("vllm/vllm-openai:v1", args=["--model", "acme/none"])
        assert answer(missing)["status"]["code"] == 403
        assert answer(missing, namespace="tools")["allowed"]
        other = pod("evil/vllm:v1", args=["--model", "/models/x"])
        assert "may not serve models" in answer(other)["status"]["message"]
    (tmp_path / "home" / "config.toml").write_text('[admission]\nunknown = "allow"\n')
    assert "'admission.unknown' must be refuse, warn" in command("config", code=2).err


def test_what_runs_a_revoked_revision_can_still_be_deleted_and_labelled_but_not_changed(url: str) -> None:
    pod = named("revoked")
    assert asked(url, None, old=pod, operation="DELETE")["allowed"]
    labelled = {**pod, "metadata": {**pod["metadata"], "finalizers": []}, "status": {"phase": "Failed"}}
    assert asked(url, labelled, old=pod, operation="UPDATE")["allowed"]
    changed = {**labelled, "spec": {**pod["spec"], "priority": 1}}
    assert not asked(url, changed, old=pod, operation="UPDATE")["allowed"]
    ending = {**changed, "metadata": {**changed["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert asked(url, ending, old=pod, operation="UPDATE")["allowed"]
    assert not asked(url, ending)["allowed"], "a new object is not being deleted"


def test_while_the_store_cannot_be_read_nothing_with_a_model_is_admitted(url: str) -> None:
    pod = json.loads(json.dumps(named("not-approved")).replace("other/model", "down/model"))
    answer = asked(url, pod)
    assert (answer["allowed"], answer["status"]["code"]) == (False, 503)
    assert "s3://" not in answer["status"]["message"]


DEEP = "[" * 5_000 + "]" * 5_000
NO_UID = json.dumps({**review({}), "request": {"object": {}}})


@each(
    ("body", "kind", "status"),
    [
        ("", "application/json", 400),
        ("{", "application/json", 400),
        ("[]", "application/json", 400),
        ("{}", "application/json", 400),
        (DEEP, "application/json", 400),
        ("9" * 100_000, "application/json", 400),
        (NO_UID, "application/json", 400),
        (json.dumps(review({})).replace("admission.k8s.io/v1", "admission.k8s.io/v1beta1"), "application/json", 400),
        (json.dumps(review({})).replace('"dryRun"', '"uid"'), "application/json", 400),
        (json.dumps(review({})), "text/plain", 415),
        (json.dumps(review({})), "application/json; charset=utf-8", 200),
        (" " * (MAX_REVIEW_BYTES + 1), "application/json", 413),
    ],
    ids=lambda case: str(case[0])[:30],
)
def test_what_is_no_review_gets_no_answer(body: str, kind: str, status: int, url: str) -> None:
    answer = httpx.post(url, content=body, headers={"content-type": kind}, verify=False)
    assert answer.status_code == status


def test_an_object_too_deep_or_too_large_is_refused() -> None:
    deep: Any = {}
    for _ in range(500):
        deep = {"a": deep}
    assert not verdict(deep).allowed
    wide = {"spec": {"containers": [{"image": f"i{n}", "args": ["x"] * 40} for n in range(2_000)]}}
    with pytest.raises(LimitExceeded):
        claims_of(wide)
    many = {"containers": [{"image": "vllm", "args": ["--model", "acme/tiny"]} for _ in range(500)]}
    assert "more than" in verdict(many).message


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text("a/-$(){}='\"\\ h:f.", max_size=30)
    | st.sampled_from(["--model", "acme/tiny"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "spec",
                    "containers",
                    "image",
                    "args",
                    "command",
                    "env",
                    "envFrom",
                    "name",
                    "value",
                    "storageUri",
                    "uri",
                    "model",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(VALUES)
@settings(max_examples=150, deadline=None)
def test_whatever_an_object_holds_it_is_judged(workload: Any) -> None:
    assert isinstance(verdict(workload).allowed, bool)


@given(VALUES)
@settings(max_examples=75, deadline=None)
def test_nothing_beside_it_hides_a_model_that_is_not_approved(beside: Any) -> None:
    pod = named_once("not-approved")
    assert not verdict({"beside": beside, **pod}).allowed
    assert not verdict({"items": [beside, pod, beside]}).allowed


_NOT_APPROVED = named("not-approved")


def named_once(_name: str) -> dict[str, Any]:
    return _NOT_APPROVED


def test_a_quoted_or_expanded_name_is_still_found() -> None:
    container = {
        "image": "vllm/vllm-openai",
        "command": ["sh", "-c", "vllm 'serve' \"oth\"er/mo'del' --revision=$REV"],
        "env": [{"name": "REV", "value": OLDER}],
    }
    (said,) = (one for one in claims_of({"containers": [container]}) if one.claim is Claim.MODEL)
    assert (said.value, said.revision) == ("other/model", OLDER)
