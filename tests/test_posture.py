"""The posture report: what each answer rests on, what follows from the answers, and how the report is shown."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from gettext import GNUTranslations
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.conftest import Command, folder_files
from tests.support import deepseek
from tests.support.browser import chromium, sources_of
from tests.support.cases import each
from tests.support.hub import HubServer
from tests.support.in_process import InProcess, own_environment, prepared, put_back
from tests.support.postures import BUCKET, CROSSING, EVALUATED, HUB, R1, SEEN, dossier
from tests.support.seaweed import S3Server
from weighbridge.cli.console import Output
from weighbridge.cli.posturing import sheet_of
from weighbridge.cli.settings import Home
from weighbridge.cli.yard import OpenYard
from weighbridge.core import canonical
from weighbridge.posture.evidence import Dossier, Evidence, Unobtained
from weighbridge.posture.judging import Unfit, View
from weighbridge.posture.questions import BY_ID, QUESTIONS, judge
from weighbridge.posture.recommending import DECIDING, recommend
from weighbridge.posture.render_html import as_html
from weighbridge.posture.render_markdown import as_markdown
from weighbridge.posture.render_text import as_json, as_lines
from weighbridge.posture.report import Cell, Posture, Route, Row, Standing, Words, english
from weighbridge.posture.speech import LANGUAGES, Speech
from weighbridge.serve.token_store import Tokens, create_token
from weighbridge.serve.tokens import Scope
from weighbridge.serve.web import WebSettings, routes
from weighbridge.serve.web_session import Sessions
from weighbridge.serve.web_tokens import TokensDoor

ROOT: Final = Path(__file__).parents[1]
STORED: Final = Path(__file__).parent / "data" / "posture"
SCHEMA: Final = json.loads((ROOT / "docs/reference/posture.schema.json").read_text(encoding="utf-8"))
COMMIT: Final = str(HUB["hub.revision.commit"])
LOOSE: Final = {"objects": 20, "retained": 19, "held": 0, "until": ""}
MET, PARTLY, NOT_MET, UNPROVED = Standing.MET, Standing.PARTLY, Standing.NOT_MET, Standing.UNPROVED
HOSTILE: Final = (
    '<script>alert(1)</script> | [x](javascript:alert(1)) `\u202eexe.txt\x1b[31m "><img src=x onerror=alert(1)>'
)


def cell(question: str, route: Route, values: dict[str, Any] | None = None, /, **changed: Any) -> Cell:
    """The answer of a route, R1's facts by default."""
    return BY_ID[question].judge(route)(dossier(values, **changed))


def hub(question: str, **changed: Any) -> Standing:
    """Where the Hub route stands, R1's facts with changes."""
    return cell(question, Route.HUB, **changed).standing


def bucket(question: str, **changed: Any) -> Standing:
    """Where the bucket route stands, R1's facts with changes."""
    return cell(question, Route.BUCKET, **changed).standing


def record(name: str, **changed: Any) -> dict[str, Any]:
    """A record of the crossing with some keys changed, as a keyword of `dossier`."""
    return {f"crossing__{name}": {**CROSSING[f"crossing.{name}"], **changed}}


# --- the rule of evidence ---------------------------------------------------------------------------


def every_cell() -> Iterator[tuple[str, Route]]:
    """All questions and routes."""
    return ((one.id, route) for one in QUESTIONS for route in Route)


PINNED: Final = dossier(
    hub__revision__pinned=True, hub__scan__not_scanned=[], hub__code=[], evaluation__result=EVALUATED
)


@each("name", [f"{question}-{route.value}" for question, route in every_cell()])
@pytest.mark.parametrize("whole", [dossier(evaluation__result=EVALUATED), PINNED], ids=["as used", "pinned"])
def test_a_cell_without_any_one_piece_of_its_evidence_is_unproved(name: str, whole: Dossier) -> None:
    question, _, route = name.partition("-")
    judged = BY_ID[question].judge(Route(route))
    found = judged(whole)
    assert found.standing is not UNPROVED
    assert found.evidence, "a cell rests on something"
    for id_ in found.evidence:
        without = judged(whole.without(id_))
        assert without.standing is UNPROVED
        assert id_ in english(without.why) or (id_ == "evaluation.result" and "Not assessed" in english(without.why))
        assert english(without.next_step)


@given(st.sets(st.sampled_from(sorted({**R1, "evaluation.result": None}))), st.booleans())
@settings(max_examples=60, deadline=None)
def test_whatever_is_missing_no_cell_is_better_than_what_it_rests_on(missing: set[str], pinned: bool) -> None:
    whole = PINNED if pinned else dossier(evaluation__result=EVALUATED)
    for one in QUESTIONS:
        for route in Route:
            before, after = one.judge(route)(whole), one.judge(route)(whole.without(*missing))
            assert (after.standing is UNPROVED) == bool(missing & set(before.evidence))
            if after.standing is not UNPROVED:
                assert (after.standing, after.evidence) == (before.standing, before.evidence)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["holds", "why", "path", "rule"]), inner)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted({**R1, "evaluation.result": None})), json_values, max_size=12))
@settings(max_examples=30, deadline=None)
def test_a_fact_of_any_other_form_is_no_proof_and_no_crash(changed: dict[str, Any]) -> None:
    whole = dossier(evaluation__result=EVALUATED)
    facts = {**whole.facts, **{id_: Evidence(id_, value, "a file", SEEN) for id_, value in changed.items()}}
    posture = judge(Dossier(facts))
    for row in posture.rows:
        for route in Route:
            found = row.cell(route)
            assert found.why.template
            assert bool(found.next_step.template) == (found.standing is not MET)
    jsonschema.validate(posture.to_json(), SCHEMA)
    assert as_markdown(posture, Speech("ja"))


def test_without_any_evidence_nothing_is_claimed() -> None:
    posture = judge(Dossier())
    assert {row.cell(route).standing for row in posture.rows for route in Route} == {UNPROVED}
    assert "Deploy from neither yet" in english(posture.recommendation[0])


def test_a_check_cannot_read_a_fact_that_it_does_not_name() -> None:
    view = View(dossier(), ("hub.gated",))
    assert view.word("hub.gated") == ""
    with pytest.raises(Unfit):
        view.flag("hub.private")


def test_why_something_could_not_be_had_is_told() -> None:
    whole = dossier().without("bucket.logging")
    told = Dossier.of([*whole, Unobtained("bucket.logging", "needs s3:GetBucketLogging")])
    found = BY_ID["accountability"].bucket(told)
    assert found.standing is UNPROVED
    assert "bucket.logging (needs s3:GetBucketLogging)" in english(found.why)
    assert "--bucket s3://acme-models/approved" in english(found.next_step)


def test_what_is_known_against_a_route_is_told_although_it_is_unproved() -> None:
    whole = dossier(bucket__policy__public=True).without("bucket.policy.tls_only")
    found = BY_ID["exposure"].bucket(whole)
    assert found.standing is UNPROVED
    assert [english(words) for words in found.also] == ["The bucket is open to everybody."]


# --- the questions ----------------------------------------------------------------------------------


def test_all_that_was_asked_is_answered() -> None:
    assert len(QUESTIONS) >= 15
    ids = {one.id for one in QUESTIONS}
    asked = "control scanning latency responsibility tamper versions convenience community built_in_scanning dependency"
    assert {*asked.split(), "malicious", "authenticity", "exposure", "remote_code", "behaviour"} <= ids
    assert set(DECIDING) <= ids


def test_every_fact_that_a_cell_rests_on_is_documented() -> None:
    page = (ROOT / "docs/reference/posture-evidence.md").read_text(encoding="utf-8")
    named = {id_ for one in QUESTIONS for route in Route for id_ in one.judge(route).needs}
    assert {id_ for id_ in named if f"`{id_}`" not in page and f"`.{id_.rpartition('.')[2]}`" not in page} == set()
    lines = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("|") and "`" in line}
    for one in QUESTIONS:
        for route in Route:
            listed = lines[one.id].split("|")[2 if route is Route.HUB else 3]
            assert tuple(re.findall("`([^`]+)`", listed)) == one.judge(route).needs, "a table of the page has drifted"


@each(
    "case",
    [
        ("control", {"hub__egress__hosts": []}, PARTLY),
        ("scanning", {"hub__revision__pinned": True}, NOT_MET),
        ("scanning", {"hub__revision__pinned": True, "hub__scan__not_scanned": []}, PARTLY),
        (
            "scanning",
            {"hub__revision__pinned": True, "hub__scan__not_scanned": [], "hub__scan__flagged": ["a"]},
            NOT_MET,
        ),
        ("latency", {"hub__load_seconds": 600}, MET),
        ("latency", {"hub__load_seconds": 601}, PARTLY),
        ("latency", {"hub__load_seconds": 3601}, NOT_MET),
        ("responsibility", {"hub__egress__token_sent": True, "hub__egress__token_hosts": ["a", "b"]}, NOT_MET),
        ("tamper", {"hub__revision__pinned": True}, PARTLY),
        ("versions", {"hub__revision__pinned": True}, MET),
        ("convenience", {"hub__gated": "manual"}, PARTLY),
        ("convenience", {"hub__disabled": True}, NOT_MET),
        ("community", {"hub__downloads": 3, "hub__likes": 0}, NOT_MET),
        ("community", {"hub__downloads": 5_000}, PARTLY),
        ("built_in_scanning", {"hub__scan__not_scanned": []}, MET),
        ("built_in_scanning", {"hub__scan__files": []}, NOT_MET),
        ("built_in_scanning", {"hub__scan__flagged": ["x.bin"]}, NOT_MET),
        ("dependency", {}, NOT_MET),
        ("malicious", {"hub__revision__pinned": True}, PARTLY),
        ("malicious", {"hub__revision__pinned": True, "hub__secrets": [{"path": "a", "rule": "b"}]}, NOT_MET),
        ("malicious", {"hub__revision__pinned": True, "hub__formats__unsafe": ["pytorch_model.bin"]}, NOT_MET),
        ("authenticity", {"hub__history__renamed": True}, NOT_MET),
        ("authenticity", {"hub__owner__verified": False}, NOT_MET),
        ("authenticity", {"hub__owner__verified": False, "hub__commit__signed": True}, PARTLY),
        ("exposure", {"hub__egress__hosts": [], "hub__egress__model_named": False}, MET),
        ("exposure", {"hub__egress__token_sent": True}, NOT_MET),
        ("remote_code", {"hub__code": []}, MET),
        ("remote_code", {"hub__code": ["convert.py"]}, PARTLY),
        ("remote_code", {"hub__code": ["model_index.json#custom_pipelines"]}, NOT_MET),
        ("behaviour", {}, UNPROVED),
        ("behaviour", {"evaluation__result": EVALUATED}, NOT_MET),
        ("behaviour", {"evaluation__result": EVALUATED, "hub__revision__pinned": True}, PARTLY),
        ("changes", {"hub__revision__pinned": True}, PARTLY),
        ("loss", {"hub__disabled": True}, NOT_MET),
        ("accountability", {"hub__history__commits": 0}, NOT_MET),
        ("terms", {"hub__licence": ""}, NOT_MET),
    ],
)
def test_the_hub_route(case: tuple[str, dict[str, Any], Standing]) -> None:
    question, changed, expected = case
    assert hub(question, **changed) is expected


def test_the_commit_to_name_is_the_one_that_was_looked_at() -> None:
    brought, taken = "1" * 40, "2" * 40
    step = cell("versions", Route.HUB, **record("manifest", commit=brought), hub__revision__commit=taken).next_step
    assert step is not None
    assert brought in english(step)
    assert taken not in english(step)


@each(
    "case",
    [
        ("control", {"bucket__acl__public": True}, NOT_MET),
        ("control", {"deployment__offline": False}, NOT_MET),
        ("control", {"deployment__isolated": False}, PARTLY),
        ("control", {"bucket__vpc_endpoint": []}, PARTLY),
        ("scanning", record("inspection", holds=False, why="altered"), NOT_MET),
        ("scanning", record("inspection", verdict="bad", rules=["pickle-dangerous-callable"]), NOT_MET),
        ("scanning", record("inspection", verdict="unknown"), PARTLY),
        ("scanning", record("inspection", current=False), PARTLY),
        ("scanning", record("coverage", inspected_bytes=1), PARTLY),
        ("scanning", record("decision", outcome="deny", rules=["remote_code"]), NOT_MET),
        ("scanning", record("decision", outcome="hold"), PARTLY),
        ("scanning", record("decision", current=False), PARTLY),
        ("latency", {"bucket__load_seconds": 4000}, NOT_MET),
        ("responsibility", {"bucket__logging": ""}, PARTLY),
        ("responsibility", {"bucket__encryption": ""}, NOT_MET),
        ("responsibility", {"deployment__findings": [{"rule": "token-in-environment", "severity": "high"}]}, NOT_MET),
        ("responsibility", {"deployment__findings": [{"rule": "no-probe", "severity": "low"}]}, MET),
        ("tamper", {"bucket__versioning": "Suspended"}, NOT_MET),
        ("tamper", {"bucket__object_lock": "none"}, MET),
        ("tamper", {"bucket__object_lock": "", "bucket__object_lock__sample": LOOSE}, PARTLY),
        ("tamper", {"bucket__retention_days": 0, "bucket__object_lock__sample": {**LOOSE, "held": 20}}, MET),
        ("tamper", {"bucket__retention_days": 0, "bucket__object_lock__sample": {**LOOSE, "objects": 0}}, PARTLY),
        ("tamper", {"bucket__objects__differ": ["model.safetensors"]}, NOT_MET),
        ("tamper", {"bucket__objects__extra": ["pytorch_model.bin"]}, NOT_MET),
        ("tamper", record("seal", holds=False, why="another key"), NOT_MET),
        ("versions", record("channel", revoked=True), NOT_MET),
        ("versions", record("channel", channels=[]), NOT_MET),
        ("versions", {"crossing__upstream_checked_at": "2026-01-01T00:00:00Z"}, PARTLY),
        ("convenience", {}, PARTLY),
        ("community", {"crossing__upstream_checked_at": "2026-01-01T00:00:00Z"}, NOT_MET),
        ("built_in_scanning", {"bucket__models__unscanned": ["a/b@c"]}, NOT_MET),
        ("dependency", {"bucket__objects__missing": ["model.safetensors"]}, NOT_MET),
        ("dependency", {"deployment__offline": False}, NOT_MET),
        ("malicious", record("approvals", approved=["Ada"]), NOT_MET),
        ("malicious", record("approvals", rejected=["Grace"]), NOT_MET),
        ("malicious", record("approvals", needed=0, approved=[]), PARTLY),
        ("malicious", record("decision", outcome="hold"), PARTLY),
        ("authenticity", {"bucket__models__unsigned": ["a/b@c"]}, NOT_MET),
        ("authenticity", record("attestations", failed=[{"kind": "ingest", "why": "x"}]), NOT_MET),
        ("authenticity", record("manifest", commit=""), PARTLY),
        ("authenticity", record("seal", in_ledger=False), PARTLY),
        ("exposure", {"bucket__policy__public": True}, NOT_MET),
        ("exposure", {"bucket__policy__tls_only": False}, PARTLY),
        ("exposure", {"bucket__public_access_block": False}, PARTLY),
        ("exposure", {"bucket__policy__cross_account": ["arn:aws:iam::999988887777:root"]}, PARTLY),
        ("remote_code", record("inspection", rules=["config-remote-code"]), PARTLY),
        ("behaviour", {"evaluation__result": EVALUATED}, MET),
        ("behaviour", {"evaluation__result": {**EVALUATED, "failed": ["jailbreak"]}}, NOT_MET),
        ("behaviour", {"evaluation__result": {**EVALUATED, "manifest": "0" * 64}}, PARTLY),
        ("changes", {"bucket__policy__writers": ["*"]}, NOT_MET),
        ("changes", {"bucket__policy__administrators": ["*"]}, NOT_MET),
        ("changes", {"bucket__policy__write_exempt": ["*"]}, NOT_MET),
        ("changes", {"bucket__policy__write_denied": False, "bucket__policy__delete_denied": False}, NOT_MET),
        ("changes", {"bucket__policy__delete_denied": False}, PARTLY),
        ("changes", {"bucket__policy__presigned_limit": None}, PARTLY),
        (
            "loss",
            {"bucket__lifecycle__deletes": [{"rule": "expire", "prefix": "", "what": "objects", "days": 30}]},
            NOT_MET,
        ),
        ("loss", {"bucket__replication": []}, PARTLY),
        ("accountability", record("audit", holds=False, why="event 3 was altered"), NOT_MET),
        ("accountability", record("audit", head_signed=False), PARTLY),
        ("terms", record("bom", holds=False, why="a file cannot be read"), NOT_MET),
    ],
)
def test_the_bucket_route(case: tuple[str, dict[str, Any], Standing]) -> None:
    question, changed, expected = case
    assert bucket(question, **changed) is expected


def test_a_bucket_without_controls_is_not_met() -> None:
    bare = {
        **{id_: False for id_, value in BUCKET.items() if value is True},
        "bucket.acl.public": False,
        "bucket.policy.public": True,
        "bucket.versioning": "Never",
        "bucket.encryption": "",
        "bucket.kms_key": "",
        "bucket.object_lock": "",
        "bucket.retention_days": 0,
        "bucket.logging": "",
        "bucket.vpc_endpoint": [],
        "bucket.replication": [],
        "bucket.policy.presigned_limit": None,
    }
    posture = judge(dossier({**R1, **bare}))
    stands = {row.question: row.bucket.standing for row in posture.rows}
    assert {stands[one] for one in ("control", "tamper", "exposure", "changes", "loss", "responsibility")} == {NOT_MET}
    assert "Deploy from neither yet" in english(posture.recommendation[0])


def test_a_record_that_does_not_hold_says_nothing_else() -> None:
    broken = {id_: {"holds": False, "why": "the signature is another's"} for id_ in CROSSING if not id_.endswith("_at")}
    posture = judge(dossier({**R1, **broken}))
    for question in ("scanning", "tamper", "malicious", "authenticity", "versions", "accountability", "terms"):
        row = next(row for row in posture.rows if row.question == question)
        assert row.bucket.standing is NOT_MET
        assert "the signature is another's" in english(row.bucket.why)


# --- the recommendation -----------------------------------------------------------------------------


def rows(hub: dict[str, Standing], bucket: dict[str, Standing]) -> list[Row]:
    """Rows that are met but for those named."""
    return [
        Row(
            one.id,
            one.title,
            Cell(hub.get(one.id, MET), Words("x"), (), Words("do that")),
            Cell(bucket.get(one.id, MET), Words("x"), (), Words("do that")),
        )
        for one in QUESTIONS
    ]


@each(
    "case",
    [
        ({"tamper": NOT_MET}, {}, "Deploy from the bucket: it holds on every question that decides, and the Hub does"),
        ({"tamper": UNPROVED}, {}, "Deploy from the bucket: it holds on every question that decides; of the Hub that"),
        ({}, {"tamper": NOT_MET}, "Deploy from the Hub, at this commit: it holds on every question that decides, and"),
        ({}, {"tamper": UNPROVED}, "Deploy from the Hub, at this commit: it holds on every question that decides; of"),
        ({}, {}, "Both routes hold on every question that decides; the Hub meets as many or more (19 against 19)"),
        (
            {"latency": NOT_MET},
            {},
            "Both routes hold on every question that decides; the bucket meets more (19 against 18)",
        ),
        (
            {},
            {"latency": NOT_MET},
            "Both routes hold on every question that decides; the Hub meets as many or more (19",
        ),
        ({"tamper": PARTLY}, {"tamper": NOT_MET}, "Deploy from the Hub, at this commit"),
        ({"tamper": NOT_MET, "exposure": NOT_MET}, {"tamper": UNPROVED}, "Deploy from neither yet"),
    ],
)
def test_the_recommendation_follows_from_the_cells(
    case: tuple[dict[str, Standing], dict[str, Standing], str],
) -> None:
    hub, bucket, expected = case
    said = [english(words) for words in recommend(rows(hub, bucket))]
    assert said[0].startswith(expected)


@given(*[st.fixed_dictionaries({one.id: st.sampled_from(Standing) for one in QUESTIONS}) for _ in Route])
@settings(max_examples=200, deadline=None)
def test_no_route_is_preferred_by_its_name(one: dict[str, Standing], other: dict[str, Standing]) -> None:
    """The same cells on the other side give the other route, but where both are even."""
    first, turned = english(recommend(rows(one, other))[0]), english(recommend(rows(other, one))[0])
    assert first.startswith("Deploy from the ") == turned.startswith("Deploy from the ")
    if first.startswith("Deploy from the "):
        assert ("Deploy from the Hub" in first) != ("Deploy from the Hub" in turned)
    unfit = [
        route
        for route, of in ((Route.HUB, one), (Route.BUCKET, other))
        if any(of[name] is NOT_MET for name in DECIDING)
    ]
    for route in unfit:
        assert not first.startswith(f"Deploy from {'the Hub' if route is Route.HUB else 'the bucket'}")


def test_behaviour_that_nobody_assessed_is_said_of_both() -> None:
    said = [english(words) for words in judge(dossier()).recommendation]
    assert any(one.startswith("Neither route says how the model behaves") for one in said)
    assert not any("behaves" in english(one) for one in judge(dossier(evaluation__result=EVALUATED)).recommendation)


# --- the words --------------------------------------------------------------------------------------


def translations() -> ModuleType:
    """The script that keeps the catalogues."""
    spec = importlib.util.spec_from_file_location("translations", ROOT / "scripts" / "translations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@each("language", [one for one in LANGUAGES if one != "en"])
def test_every_sentence_is_translated_with_the_same_placeholders(language: str) -> None:
    module = translations()
    assert module.problems(language) == []
    compiled = (module.LOCALE / language / "posture.mo").read_bytes()
    catalogue = GNUTranslations(io.BytesIO(compiled))
    said = module.sentences()
    assert len(said) > 200
    assert [one for one in said if catalogue.gettext(one) == one and not one.startswith(("aws ", "SHA-256"))] == []


def test_a_catalogue_that_drifts_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = translations()
    good = module.read_po(module.LOCALE / "ja" / "posture.po")
    one, other, third = list(good)[11], list(good)[18], list(good)[20]
    bad = {**good, one: "%(wrong)s", other: "", "no longer there": "x"}
    (tmp_path / "ja").mkdir()
    (tmp_path / "ja" / "posture.po").write_text(module.write_po("ja", bad, bad), encoding="utf-8")
    (tmp_path / "ja" / "posture.mo").write_bytes(module.compile_mo("ja", good))
    monkeypatch.setattr(module, "LOCALE", tmp_path)
    found = "\n".join(module.problems("ja"))
    for expected in (
        f"other placeholders: {one}",
        f"not translated: {other}",
        "no longer said: no longer there",
        ".mo",
    ):
        assert expected in found
    assert third not in found


def test_every_sentence_of_a_judge_can_be_said() -> None:
    """A template with a value that its check does not show would fail when it is said."""
    for question, route in every_cell():
        judged = BY_ID[question].judge(route)
        for id_ in judged.needs:
            assert english(judged(dossier().without(id_)).why)
        assert [check for check in judged.checks if not check.step.template] == []


# --- the pages --------------------------------------------------------------------------------------


def test_the_report_of_r1_is_regenerated_from_its_evidence_alone() -> None:
    """To renew what is stored: python -m tests.support.postures."""
    stored = Dossier.from_bytes((STORED / "r1.evidence.json").read_bytes())
    assert stored.to_json() == dossier().to_json()
    posture = judge(stored)
    assert as_json(posture) == (STORED / "r1.json").read_text(encoding="utf-8")
    for language in LANGUAGES:
        assert as_html(posture, Speech(language)) == (STORED / f"r1.{language}.html").read_text(encoding="utf-8")
        assert as_markdown(posture, Speech(language)) == (STORED / f"r1.{language}.md").read_text(encoding="utf-8")


def test_the_document_fits_its_schema() -> None:
    for whole in (dossier(), dossier(evaluation__result=EVALUATED), Dossier()):
        jsonschema.validate(json.loads(as_json(judge(whole))), SCHEMA)


def test_lines_for_a_pipe_hold_every_cell() -> None:
    found = [line.split("\t") for line in as_lines(judge(dossier()), Speech())]
    assert {len(cells) for cells in found} == {5}
    assert [tuple(cells[:2]) for cells in found[: 2 * len(QUESTIONS)]] == [(q, r.value) for q, r in every_cell()]
    assert found[2 * len(QUESTIONS)][0] == "recommendation"


def hostile() -> Posture:
    """A report whose every text is an attack."""

    def attacked(value: Any) -> Any:
        if isinstance(value, str):
            return HOSTILE
        if isinstance(value, list):
            return [HOSTILE]
        return {key: attacked(one) for key, one in value.items()} if isinstance(value, dict) else value

    facts = {id_: Evidence(id_, attacked(value), HOSTILE, SEEN) for id_, value in R1.items()}
    facts["x" + HOSTILE] = Evidence("x" + HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    return judge(Dossier(facts, {"bucket.logging": HOSTILE}))


def test_text_of_strangers_does_nothing_in_any_form() -> None:
    posture = hostile()
    for language in LANGUAGES:
        page = as_html(posture, Speech(language))
        assert "<script" not in page
        assert "<img" not in page
        assert "\u202e" not in page
        assert "\x1b" not in page
        marked = re.sub(r"(`+)(?:(?!\1).)*\1", "", as_markdown(posture, Speech(language)))
        assert "<script>" not in marked
        assert re.search(r"(?<!\\)\]\(javascript", marked) is None
        assert "\u202e" not in marked
    for line in as_lines(posture, Speech()):
        assert line.count("\t") == 4


def test_no_command_that_is_shown_holds_what_strangers_wrote() -> None:
    for one in ("a/b; rm -rf ~", "a/$(id)", "-a/b", "a/b\nc", HOSTILE):
        facts = {id_: Evidence(id_, value, "x", SEEN) for id_, value in R1.items()}
        for id_ in ("report.model", "report.bucket", "hub.revision.commit"):
            facts[id_] = Evidence(id_, f"s3://{one}" if id_ == "report.bucket" else one, "x", SEEN)
        for row in judge(Dossier(facts)).rows:
            for route in Route:
                assert one not in english(row.cell(route).next_step)


def test_a_page_needs_nothing_else_and_says_its_language() -> None:
    for language in LANGUAGES:
        page = as_html(judge(dossier()), Speech(language))
        assert f'<html lang="{language}">' in page
        assert "default-src 'none'" in page
        assert re.findall(r"(?:src|srcset|data)\s*=|@import|url\(|<script|<link|<iframe", page) == []
        assert [href for href in re.findall(r'href="([^"]*)"', page) if not href.startswith("#")] == []
        ids = re.findall(r'id="([^"]*)"', page)
        assert len(ids) == len(set(ids))
        assert {href[1:] for href in re.findall(r'href="(#[^"]*)"', page)} <= set(ids)


@pytest.mark.slow
def test_the_page_in_a_browser(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(as_html(hostile(), Speech()), encoding="utf-8")
    (tmp_path / "r1.html").write_text(as_html(judge(dossier()), Speech("ja")), encoding="utf-8")
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 420, "height": 900}, color_scheme="dark")
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: asked.append(dialog.message))
        page.goto(f"file://{tmp_path}/page.html")
        page.goto(f"file://{tmp_path}/r1.html")
        assert asked == [f"file://{tmp_path}/page.html", f"file://{tmp_path}/r1.html"]
        assert page.evaluate("document.documentElement.scrollWidth") <= 420, "nothing runs out of a narrow page"
        assert page.locator("circle.hub").count() == len(QUESTIONS) + 1
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 21, 27)"
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.locator(".paper").is_visible()
        page.set_viewport_size({"width": 710, "height": 1020})
        assert page.evaluate("document.querySelector('.answers').getBoundingClientRect().bottom") <= 1020, "one sheet"


# --- the command ------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    """The command line over an empty home."""
    own_environment(monkeypatch)
    return InProcess(tmp_path / "home")


def test_signed_evidence_opens_for_those_who_trust_its_key_alone(run: InProcess, tmp_path: Path) -> None:
    plain, signed = str(STORED / "r1.evidence.json"), tmp_path / "evidence.dsse.json"
    run("posture", "--evidence", plain, "--save-evidence", str(signed), "--sign")
    first = json.loads(run("posture", "--evidence", plain, "--json").out)
    again = json.loads(run("posture", "--evidence", str(signed), "--json").out)
    assert again["rows"] == first["rows"]
    (by,) = [one for one in again["evidence"]["facts"] if one["id"] == "report.signed_by"]
    assert len(by["value"]) == 64
    elsewhere = InProcess(tmp_path / "other")("posture", "--evidence", str(signed), code=7)
    assert "trust" in elsewhere.err
    envelope = json.loads(signed.read_bytes())
    payload = base64.b64decode(envelope["payload"]).replace(b'"met"', b'"xet"').replace(b"safetensors", b"safetensorz")
    signed.write_bytes(canonical.encode({**envelope, "payload": base64.b64encode(payload).decode()}))
    run("posture", "--evidence", str(signed), code=7)
    run("posture", "--evidence", plain, "--sign", code=2)


def test_stored_evidence_is_judged_without_asking_anybody(run: InProcess, tmp_path: Path) -> None:
    evidence = str(STORED / "r1.evidence.json")
    document = json.loads(run("posture", "--evidence", evidence, "--json").out)
    assert document["rows"][0]["hub"]["standing"] == "not_met"
    assert document == json.loads(
        run("posture", "deepseek-ai/DeepSeek-R1", "--evidence", evidence, "--format", "json").out
    )
    for language in LANGUAGES:
        run(
            "posture",
            "--evidence",
            evidence,
            "--format",
            "html",
            "--lang",
            language,
            "--output",
            str(tmp_path / "x.html"),
        )
        assert (tmp_path / "x.html").read_text(encoding="utf-8").rstrip("\n") == (
            STORED / f"r1.{language}.html"
        ).read_text(encoding="utf-8").rstrip("\n")
    run("posture", "--evidence", evidence, "--save-evidence", str(tmp_path / "again.json"))
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads(Path(evidence).read_text())
    assert run("posture", "--evidence", evidence).out.splitlines()[0].split("\t")[:3] == ["control", "hub", "not_met"]


@each(
    "arguments",
    [
        (),
        ("org/name", "--evidence", str(STORED / "r1.evidence.json")),
        ("--evidence", str(STORED / "r1.evidence.json"), "--bucket", "s3://x/y"),
        ("--evidence", str(STORED / "r1.evidence.json"), "--offline"),
        ("--evidence", str(STORED / "no-such-file.json")),
        ("s3://bucket/prefix",),
        ("org/name", "--offline", "--deployment", "no-such-file.yaml"),
        ("org/name", "--bucket", "ftp://x"),
    ],
)
def test_a_wrong_command_line_says_so(run: InProcess, arguments: tuple[str, ...]) -> None:
    ran = run("posture", *arguments, code=2)
    assert ran.err.strip()
    assert "Traceback" not in ran.err


def test_without_the_network_a_recorded_run_and_the_reference_still_count(run: InProcess, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[]")
    ran = run("posture", f"org/name@{COMMIT}", "--offline", "--egress", str(tmp_path / "run.json"), "--json")
    facts = {one["id"]: one["value"] for one in json.loads(ran.out)["evidence"]["facts"]}
    assert facts["hub.revision.pinned"] is True
    assert facts["hub.egress.hosts"] == []
    (tmp_path / "run.json").write_text('{"no": "list"}')
    assert run("posture", "org/name", "--offline", "--egress", str(tmp_path / "run.json"), code=None).code != 0


def test_a_model_of_which_nothing_can_be_learned_is_no_report(run: InProcess) -> None:
    ran = run("posture", "nobody/nothing", "--offline", code=3)
    assert "nothing could be learned about nobody/nothing" in ran.err
    assert not ran.out


def test_evidence_that_is_none_is_refused(run: InProcess, tmp_path: Path) -> None:
    for text in (
        "",
        "[]",
        '{"format":"x"}',
        '{"format":"weighbridge.evidence/1","facts":[{}],"unobtained":[]}',
        "[" * 99_999,
    ):
        (tmp_path / "evidence.json").write_text(text)
        ran = run("posture", "--evidence", str(tmp_path / "evidence.json"), code=None)
        assert ran.code != 0
        assert "Traceback" not in ran.err


# --- a real Hub and a real bucket -------------------------------------------------------------------


COMPOSE: Final = f"""\
services:
  engine:
    image: vllm/vllm-openai@sha256:{"0" * 64}
    environment: {{HF_HUB_OFFLINE: "1"}}
    network_mode: none
    command: [--model, /models/m]
"""


@pytest.mark.s3
@pytest.mark.xdist_group("s3")
def test_a_real_hub_and_a_real_bucket_without_controls(
    on_s3: Command, s3_server: S3Server, hub: HubServer, tmp_path: Path
) -> None:
    where = f"s3://{s3_server.bucket(locked=True)}/store"
    commit = hub.repository("acme/tiny").commit(folder_files(deepseek.build(tmp_path / "up", shards=3)))
    on_s3("ingest", "hf://acme/tiny", "--hub", hub.endpoint, "--to", where, "--without", "malware", "--quiet")
    sent = {"host": "elsewhere.example", "method": "GET", "path": "/acme/tiny", "user_agent": "hf_hub/1"}
    (tmp_path / "run.json").write_text(json.dumps([{**sent, "authorization": "Bearer hf_abcdefghijklmnop"}]))
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    given = ("--egress", str(tmp_path / "run.json"), "--deployment", str(tmp_path / "compose.yaml"), "--bucket", where)
    ran = on_s3("posture", f"acme/tiny@{commit}", "--hub", hub.endpoint, *given, "--format", "json")
    document = json.loads(ran.out)
    jsonschema.validate(document, SCHEMA)
    assert document["revision"] == commit
    stands = {row["question"]: (row["hub"]["standing"], row["bucket"]["standing"]) for row in document["rows"]}
    assert stands["control"] == ("not_met", "partly"), "any network may ask the bucket"
    assert stands["dependency"] == ("not_met", "met")
    assert stands["changes"] == ("partly", "not_met"), "the bucket has no policy"
    assert stands["responsibility"][1] == "not_met", "the bucket does not encrypt"
    assert stands["versions"][0] == "met", "the commit was named"
    assert stands["remote_code"] == ("not_met", "partly")
    assert stands["behaviour"] == ("unproved", "unproved")
    assert stands["exposure"][0] == "not_met"
    assert "hf_abcdef" not in ran.out + (on_s3.home / "posture" / "acme" / "tiny.json").read_text()


# --- the catalog ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prepared_home(tmp_path_factory: pytest.TempPathFactory) -> InProcess:
    """A home with a model in it, made once."""
    return prepared(tmp_path_factory.mktemp("posture"), {"config.json": "{}"})


def shown(run: InProcess, *, token: bool) -> str:
    """The model's page of the catalog, as a stranger or the holder of a token sees it."""
    with OpenYard(Home(run.home), Output(quiet=True)) as yard:
        secret, _ = create_token(yard.ledger(writing=True), secrets.token_hex(4), Scope(), actor="t", lifetime=None)
    with OpenYard(Home(run.home), Output(quiet=True)) as yard, Tokens(yard.ledger()) as tokens:
        sources = replace(sources_of(yard, speaks=False), posture=partial(sheet_of, yard.home))
        door = TokensDoor(tokens, yard.ledger())
        web = WebSettings(Sessions(b"k" * 32, secure=False), is_open=lambda _scope: True, doors=door)
        with ExitStack() as closing:
            client = TestClient(Starlette(routes=routes(sources, web, closing=closing)))
            if token:
                (code,) = re.findall(r'name="code" value="([^"]+)"', client.get("/login").text)[:1]
                headers = {"Origin": "http://testserver", "Host": "testserver"}
                entered = client.post("/login", data={"token": secret, "code": code}, headers=headers)
                assert entered.status_code == 200
            page = client.get("/models/acme/tiny")
            assert page.status_code == 200
            return page.text


def test_the_catalog_shows_the_newest_report_and_its_reasons_to_those_who_are_known(
    prepared_home: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_environment(monkeypatch)
    run = put_back(prepared_home)
    assert "Nobody gathered evidence yet" in shown(run, token=True)
    run("posture", "acme/tiny", "--offline", "--quiet")
    for told in (False, True):
        page = shown(run, token=told)
        assert "Deploy from neither yet" in page
        assert page.count("unproved") >= len(QUESTIONS)
        assert ("no bucket was named" in page) is told
    kept = run.home / "posture" / "acme" / "tiny.json"
    hostile_facts = {**json.loads(kept.read_text()), "facts": []}
    hostile_facts["unobtained"] = [{"id": "bucket.logging", "why": HOSTILE}]
    kept.write_text(json.dumps(hostile_facts))
    assert "<script>alert" not in shown(run, token=True)
    kept.write_text("{")
    assert "cannot be judged" in shown(run, token=True)
