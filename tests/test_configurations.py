"""Configurations: what can act is named by its rule wherever it stands; what public models hold says nothing."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.config_controls import CONFIGS, TOKENIZERS
from tests.support.config_corpus import HOSTILE, LLAMA, Hostile, configurations_of_transformers, dump
from tests.support.inspecting import Bytes, answer, examined, subject_of
from weighbridge.core.errors import FormatError, IntegrityError, LimitExceeded, Truncated
from weighbridge.core.finding import Severity, Verdict
from weighbridge.formats.json_text import MAX_TEXT_BYTES, MAX_VALUES, JsonProblem, parse
from weighbridge.inspectors.template_copies import template_digest
from weighbridge.inspectors.texts.config_rules import RULES
from weighbridge.inspectors.texts.configs import Configurations

SEVERITY = {rule.id: rule.severity for rule in RULES}


def broken(path: str, data: bytes) -> set[str]:
    report = answer(Configurations(), Bytes(path, data))
    assert report is not None
    return {finding.rule for finding in report.findings}


# --- hostile ------------------------------------------------------------------------------------


def test_the_corpus_is_large_and_names_every_rule() -> None:
    assert len(HOSTILE) >= 200
    assert len({case.name for case in HOSTILE}) == len(HOSTILE)
    assert {case.rule for case in HOSTILE} == set(SEVERITY)


@each("case", HOSTILE, ids=lambda case: case.name)
def test_what_acts_is_named(case: Hostile) -> None:
    report = answer(Configurations(), Bytes(case.path, case.data))
    assert report is not None
    assert case.rule in {finding.rule for finding in report.findings}
    if SEVERITY[case.rule].is_grave:
        assert report.verdict is Verdict.BAD
    if case.rule in ("config-not-understood", "config-trailing-data"):
        assert report.settled_verdict is Verdict.UNKNOWN
    for finding in report.findings:
        assert finding.message.isascii()
        assert len(finding.message) < 500


# --- advisories ---------------------------------------------------------------------------------


def severity_of(path: str, value: object) -> Severity | None:
    found = [finding.severity for report in examined(path, dump(value)).reports for finding in report.findings]
    return max(found, default=None)


def test_cve_2026_4372_internal_attention_implementation() -> None:
    config = {**LLAMA, "_attn_implementation_internal": "attacker/kernel"}
    assert broken("config.json", dump(config)) == {"config-hub-kernel"}
    assert severity_of("config.json", config) is Severity.CRITICAL


def test_cve_2026_5241_lightglue_takes_trust_from_its_configuration() -> None:
    nested = {"model_type": "superglue", "auto_map": {"AutoConfig": "attacker/x--configuration_x.XConfig"}}
    config = {"model_type": "lightglue", "trust_remote_code": True, "keypoint_detector_config": nested}
    assert broken("config.json", dump(config)) == {"config-trust-remote-code", "config-remote-code-elsewhere"}


def test_cve_2025_66448_auto_map_in_the_vision_configuration() -> None:
    config = {"architectures": ["Llama_Nemotron_Nano_VL"], "vision_config": {"auto_map": {"AutoModel": "a/b--m.M"}}}
    assert broken("config.json", dump(config)) == {"config-remote-code-elsewhere"}


def test_cve_2026_22807_auto_map_run_without_trust() -> None:
    assert severity_of("config.json", {**LLAMA, "auto_map": {"AutoModel": "modeling_x.X"}}) is Severity.MEDIUM


def test_cve_2026_27893_trust_hard_coded_for_nested_models() -> None:
    config = {"model_type": "kimi_k25", "text_config": {"auto_map": {"AutoConfig": "configuration_kimi.KimiConfig"}}}
    assert broken("config.json", dump(config)) == {"config-remote-code"}


def test_cve_2026_44513_pipeline_named_none() -> None:
    pipeline = {"_class_name": [None, "Pipe"], "_diffusers_version": "0.35.0", "unet": ["diffusers", "UNet2DModel"]}
    assert severity_of("model_index.json", pipeline) is Severity.HIGH


def test_cve_2026_45804_pipeline_of_the_repository() -> None:
    pipeline = {"_class_name": ["pipeline", "Pipe"], "_diffusers_version": "0.35.0"}
    assert broken("model_index.json", dump(pipeline)) == {"config-remote-code"}


def test_diffusers_13446_component_hidden_from_the_search_for_code() -> None:
    pipeline = {"_class_name": "P", "_diffusers_version": "0.35.0", "unet": [["unet", "x"], "UNet"]}
    assert "config-code-reference-escape" in broken("model_index.json", dump(pipeline))


def test_cve_2025_23304_and_cve_2026_22584_hydra_targets() -> None:
    config = {"model": {"_target_": "subprocess.check_output", "args": ["id"]}}
    assert severity_of("config.json", config) is Severity.CRITICAL


def test_cve_2025_68664_langchain_objects() -> None:
    value = {"kwargs": {"lc": 1, "type": "secret", "id": ["OPENAI_API_KEY"]}}
    assert broken("config.json", dump(value)) == {"config-interpolation"}


def test_cve_2025_14926_and_cve_2025_14928_evaluated_layers() -> None:
    config = {"model": {"conv_feature_layers": "[(1,1,1)] + [__import__('os').system('id')]"}}
    assert "config-evaluated-text" in broken("config.json", dump(config))


def test_cve_2025_3263_expression_over_file_names() -> None:
    assert broken("config.json", dump({"configuration_files": ["config." * 5000]})) == {"config-odd-name"}


def test_cve_2023_7018_pickled_vocabulary() -> None:
    config = {"tokenizer_class": "TransfoXLTokenizer", "pretrained_vocab_file": "vocab.pkl"}
    assert broken("tokenizer_config.json", dump(config)) == {"config-pickle-reference"}


def test_cve_2023_6730_pickled_index_of_a_retriever() -> None:
    assert "config-pickle-reference" in broken("config.json", dump({"index_path": "my_index.pkl"}))


def test_cve_2024_11392_configuration_of_a_conversion_by_address() -> None:
    assert "config-path-escape" in broken("config.json", dump({"config_path": "http://evil.example/mobilevit.yaml"}))


def test_cve_2025_1550_and_cve_2024_3660_layers_with_code() -> None:
    layer = {"class_name": "Lambda", "config": {"name": "l", "function": {"class_name": "__lambda__", "config": {}}}}
    assert broken("architecture.json", dump({"class_name": "Sequential", "config": {"layers": [layer]}})) == {
        "config-keras-lambda"
    }


# --- controls -----------------------------------------------------------------------------------


def test_every_model_type_of_transformers_is_ordinary() -> None:
    configurations = configurations_of_transformers()
    assert len(configurations) > 800
    for name, config in configurations.items():
        report = answer(Configurations(), Bytes("config.json", dump(config)))
        assert report is not None
        assert report.findings == (), name
        assert report.settled_verdict is Verdict.CLEAN, name


@each("path", [*CONFIGS, *TOKENIZERS])
def test_ordinary_files_are_clean_to_every_inspector(path: str) -> None:
    found = examined(path, {**CONFIGS, **TOKENIZERS}[path])
    said = [finding for report in found.reports for finding in report.findings]
    assert said == []
    if b"chat_template" not in CONFIGS.get(path, b""):
        assert found.verdict is Verdict.CLEAN


def test_a_name_that_ends_as_a_word_of_danger_is_a_name() -> None:
    values = {"a": "model.layers.0.exec", "b": "self_attn.q_proj", "c": "code", "d": "google/flan-t5", "e": "os"}
    assert broken("config.json", dump(values)) == set()


# --- what is said to the repository -------------------------------------------------------------


def test_facts() -> None:
    config = {
        "auto_map": {"AutoConfig": "configuration_x.XConfig", "AutoModel": "o/r--modeling_x.X"},
        "base_model_name_or_path": "org/base",
        "weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors", "c": "m-1.safetensors"},
    }
    subject = subject_of(Bytes("config.json", dump(config)))
    Configurations().inspect(subject)
    facts = {(fact.kind, fact.value) for fact in subject.facts}
    assert facts == {
        ("code-reference", "configuration_x.XConfig"),
        ("code-reference-elsewhere", "o/r--modeling_x.X"),
        ("base-model", "org/base"),
        ("shard", "m-1.safetensors"),
        ("shard", "m-2.safetensors"),
    }


def test_a_component_of_a_pipeline_is_looked_for_in_its_folder() -> None:
    pipeline = {"_class_name": "P", "_diffusers_version": "1", "unet": ["my_unet", "MyUNet"]}
    subject = subject_of(Bytes("model_index.json", dump(pipeline)))
    Configurations().inspect(subject)
    assert [fact.value for fact in subject.facts] == ["unet/my_unet.MyUNet"]


@pytest.mark.parametrize(
    ("value", "locations", "members"),
    [
        ("{{ x }}", {"chat_template"}, {"chat_template.jinja"}),
        (
            [{"name": "default", "template": "{{ x }}"}, {"name": "tool use", "template": "{{ y }}"}],
            {"chat_template.default", "chat_template.tool use"},
            {"chat_template-default.jinja", "chat_template-tool_use.jinja"},
        ),
        ({"rag": "{{ z }}"}, {"chat_template.rag"}, {"chat_template-rag.jinja"}),
    ],
)
def test_chat_templates_are_handed_on(value: object, locations: set[str], members: set[str]) -> None:
    seen: list[str] = []
    subject = subject_of(Bytes("tokenizer_config.json", dump({"chat_template": value})))
    inner = subject.inspect
    subject.inspect = lambda member: (seen.append(member.path), inner(member))[1]
    Configurations().inspect(subject)
    assert {fact.location for fact in subject.facts if fact.kind == "chat-template"} == locations
    assert set(seen) == members


def test_copies_of_a_template_have_one_digest() -> None:
    text = "{% for m in messages %}\n{{ m }}\n{% endfor %}"
    found = set()
    for path, data in {
        "tokenizer_config.json": dump({"chat_template": text}),
        "chat_template.json": dump({"chat_template": text}),
        "chat_template.jinja": (text + "\n").encode(),
        "sub/chat_template.jinja": text.replace("\n", "\r\n").encode(),
    }.items():
        subject = subject_of(Bytes(path, data))
        Configurations().inspect(subject)
        found |= {(fact.location, fact.value) for fact in subject.facts}
    assert found == {("chat_template", template_digest(text.encode()))}


def test_an_additional_template_goes_by_its_name() -> None:
    subject = subject_of(Bytes("additional_chat_templates/rag.jinja", b"{{ x }}"))
    Configurations().inspect(subject)
    assert [fact.location for fact in subject.facts] == ["chat_template.rag"]


# --- bounds -------------------------------------------------------------------------------------


def test_other_kinds_are_none_of_its_business() -> None:
    for path, data in {"a.py": b"import os\n", "README.md": b"{}", "w.safetensors": b"\x02" + bytes(7) + b"{}"}.items():
        assert answer(Configurations(), Bytes(path, data)) is None


def test_what_is_too_large_is_refused_before_it_is_read() -> None:
    file = Bytes("config.json", b'{"a": 1}', claimed=MAX_TEXT_BYTES + 1)
    subject = subject_of(file)
    subject.__dict__["head"] = b'{"a": 1}'
    with pytest.raises(LimitExceeded):
        Configurations().inspect(subject)


def test_values_are_counted_before_they_are_built() -> None:
    with pytest.raises(LimitExceeded):
        parse(b"[" + b"[]," * (MAX_VALUES // 2 + 1) + b"0]")


def test_a_reader_that_gives_too_little_is_an_error() -> None:
    with pytest.raises(Truncated):
        answer(Configurations(), Bytes("config.json", b'{"a": 1}', claimed=20_000))


def test_findings_are_bounded() -> None:
    data = dump({"x": [{"trust_remote_code": True, "auto_map": {"AutoModel": "a/b--c.D"}} for _ in range(5000)]})
    report = answer(Configurations(), Bytes("config.json", data))
    assert report is not None
    assert 100 <= len(report.findings) <= 500
    assert report.verdict is Verdict.BAD


@pytest.mark.parametrize("path", ["config.json", "adapter_config.json", "sd/model_index.json", "modules.json"])
def test_cut_short_or_continued_no_file_is_clean(path: str) -> None:
    data = CONFIGS[path].rstrip()
    for changed in (*(data[:end] for end in range(2, len(data) - 1, 7)), data + b"x", data + b"{}", data + b"\x00"):
        assert examined(path, changed).verdict is not Verdict.CLEAN


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(HOSTILE), st.data())
def test_any_bytes_are_answered_or_refused(case: Hostile, data: st.DataObject) -> None:
    mutated = bytearray(case.data[:20_000])
    for _ in range(data.draw(st.integers(1, 8))):
        position = data.draw(st.integers(0, len(mutated) - 1))
        mutated[position] = data.draw(st.integers(0, 255))
    with contextlib.suppress(FormatError, IntegrityError):
        answer(Configurations(), Bytes(case.path, bytes(mutated)))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(sorted({c.data.decode(errors="ignore").split('"')[1] if b'"' in c.data else "a" for c in HOSTILE[:400]} | {"auto_map", "_target_", "chat_template", "weight_map", "class_name", "lc", "py/object", "vocab_file", "custom_pipelines", "_class_name"})), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(_JSON)
def test_any_value_under_any_acting_key_is_answered(value: object) -> None:
    report = answer(Configurations(), Bytes("model_index.json", b" " + json.dumps({"x": value}).encode()))
    assert report is not None


def test_json_is_read_as_python_reads_it() -> None:
    text = parse(b'{"a": NaN, "b": [Infinity, -Infinity], "c": "\\ud800", "d": 1e999}')
    assert text.not_finite
    assert json.dumps(text.value) == '{"a": NaN, "b": [Infinity, -Infinity], "c": "\\ud800", "d": Infinity}'
    with pytest.raises(JsonProblem, match=re.escape("line 2")):
        list(
            __import__("weighbridge.formats.json_text", fromlist=["read_lines"]).read_lines(
                Bytes("a.jsonl", b"{}\n{]\n")
            )
        )


def test_the_page_names_every_rule() -> None:
    page = (Path(__file__).parents[1] / "docs/reference/inspectors/configurations.md").read_text(encoding="utf-8")
    assert [rule.id for rule in RULES if f"`{rule.id}`" not in page] == []
