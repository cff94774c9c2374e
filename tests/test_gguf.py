"""GGUF: every unsound file by its rule, real files clean, and whatever is accepted, the reference accepts too."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import gguf
import numpy
import pytest
from gguf.constants import GGML_QUANT_SIZES
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.gguf_corpus import (
    ARCHITECTURE,
    ARR,
    F32,
    I32,
    STR,
    U16,
    U32,
    VOCABULARY,
    Gguf,
    Raw,
    Tensor,
    archive,
    hostile,
    sound,
    vocabulary,
    vocabulary_alone,
)
from tests.support.inspecting import Bytes, answer, subject_of, verdict_of
from weighbridge.core.errors import IntegrityError, Truncated
from weighbridge.core.finding import Report, Severity, Verdict
from weighbridge.formats.gguf import BLOCKS, MAX_PADDING_READS, read_gguf
from weighbridge.formats.gguf_values import MAX_HEAD_BYTES
from weighbridge.inspectors.all_rules import RULES
from weighbridge.inspectors.weights.gguf import GgufStructure

CASES = hostile()
UNANSWERED = {"gguf-limit", "gguf-type-not-understood", "gguf-version-retired", "gguf-metadata-limit"}


def judged(data: bytes, path: str = "model.gguf") -> Report:
    report = answer(GgufStructure(), Bytes(path, data))
    assert report is not None
    return report


def rules(data: bytes) -> list[str]:
    return [finding.rule for finding in judged(data).findings]


def test_the_corpus_is_large_and_breaks_every_rule() -> None:
    assert len(CASES) >= 220
    assert len({name for name, _, _ in CASES}) == len(CASES)
    tested = {rule for _, _, named in CASES for rule in named.split("|")}
    ours = {rule for rule in RULES if rule.startswith("gguf-")}
    assert tested <= ours
    assert ours - tested == {"gguf-limit", "gguf-metadata-limit"}  # tested below: their files are large


@each(("data", "rule"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_an_unsound_file_is_refused_by_its_rule(data: bytes, rule: str) -> None:
    report = judged(data)
    assert [finding.rule for finding in report.findings] in [[one] for one in rule.split("|")]
    finding = report.findings[0]
    if finding.severity.is_grave:
        assert report.verdict is Verdict.BAD
    elif finding.rule in UNANSWERED:
        assert report.verdict is Verdict.UNKNOWN
    assert len(finding.message) < 400
    assert finding.message.isascii()


# --- published weaknesses of readers, by their names -------------------------------------------------


@each(
    ("advisory", "data", "rule"),
    [
        ("CVE-2024-21802, rank beyond four", sound(tensors=[Tensor(shape=(1,) * 9)]), "gguf-dimensions"),
        (
            "CVE-2024-21825, array of texts that wraps",
            sound(("x", ARR, Raw(struct.pack("<IQ", STR, (1 << 60) + 1) + bytes(99)))),
            "gguf-array-length",
        ),
        ("CVE-2024-21825, array of arrays", sound(("x", ARR, (ARR, ((U32, (1,)),)))), "gguf-nested-array"),
        ("CVE-2024-21836, count of tensors", Gguf([ARCHITECTURE], n_tensors=(1 << 64) // 96 + 1), "gguf-count"),
        (
            "CVE-2024-23496, text of 2^64 - 1 bytes",
            sound(("x", STR, Raw(struct.pack("<Q", (1 << 64) - 1)))),
            "gguf-string-length",
        ),
        ("CVE-2024-23605, count of keys", Gguf([], n_pairs=(1 << 64) // 48 + 1), "gguf-count"),
        ("CVE-2024-25664, count of keys", Gguf([ARCHITECTURE], n_pairs=0x55555555555555A), "gguf-count"),
        (
            "CVE-2024-25665, length of a key",
            sound((Raw(struct.pack("<Q", (1 << 64) - 1) + b"A" * 64), STR, "x")),
            "gguf-string-length",
        ),
        ("CVE-2024-25666, count of tensors", Gguf([ARCHITECTURE], n_tensors=0x2E8BA2E8BA2E8BB), "gguf-count"),
        (
            "CVE-2024-25667, elements of an array",
            sound(("x", ARR, Raw(struct.pack("<IQ", U32, (1 << 62) + 1) + b"A" * 64))),
            "gguf-array-length",
        ),
        (
            "CVE-2024-25668, texts of an array",
            sound(("x", ARR, Raw(struct.pack("<IQ", STR, 0x1000000000000001) + b"A" * 64))),
            "gguf-array-length",
        ),
        ("CVE-2024-39720, four bytes", b"GGUF", "gguf-not-gguf"),
        (
            "CVE-2025-49847, a token of many bytes",
            vocabulary(tokens=(STR, ("a", "b" * 99_999, "c"))),
            "gguf-token-length",
        ),
        (
            "CVE-2025-53630, sizes that sum to nothing",
            sound(tensors=[Tensor(f"t{i}", ((1 << 61) - 32,), data=b"", offset=i * ((1 << 63) - 128)) for i in (0, 1)]),
            "gguf-size-overflow",
        ),
        (
            "CVE-2025-53630, elements that wrap",
            sound(tensors=[Tensor(shape=(1152, (1 << 42) + 1, 1 << 12))]),
            "gguf-dimension-overflow",
        ),
        (
            "CVE-2026-27940, sizes and overhead that wrap",
            sound(tensors=[Tensor(shape=(1 << 60, 2), data=b""), Tensor("b", (1 << 60, 2), data=b"", offset=1 << 63)]),
            "gguf-size-overflow",
        ),
        (
            "CVE-2026-7482, a tensor larger than the file",
            sound(tensors=[Tensor(shape=(1 << 20, 1 << 10))]),
            "gguf-data-truncated",
        ),
        ("GHSA-96jg-mvhq-q7q7, alignment of 2 GiB", sound(("general.alignment", U32, 1 << 31)), "gguf-alignment"),
        ("alignment zero", sound(("general.alignment", U32, 0)), "gguf-alignment"),
        (
            "llama.cpp 24759, padding wraps",
            sound(tensors=[Tensor(shape=((1 << 62) - 1,), data=b"")]),
            "gguf-size-overflow",
        ),
        ("llama.cpp 26051, 600 layers", sound(("plamo2.block_count", U32, 600)), "gguf-hyperparameter"),
        ("llama.cpp 26511, byte token -1", vocabulary(tokens=(STR, ("a", "b", "<0x-1>"))), "gguf-byte-token"),
        ("llama.cpp 26690, scores of bytes", vocabulary(scores=(0, (0, 0, 0))), "gguf-tokenizer-array"),
        ("llama.cpp 20735, too few types", vocabulary(token_type=(I32, (1,))), "gguf-tokenizer-array"),
        (
            "llama.cpp 27188, array of 2^63",
            Gguf([("x", ARR, Raw(struct.pack("<IQ", 0, 1 << 63)))]),
            "gguf-array-length",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_a_published_weakness_is_met(advisory: str, data: Gguf | bytes, rule: str) -> None:
    assert rules(data if isinstance(data, bytes) else data.build()) == [rule], advisory


# --- real files ---------------------------------------------------------------------------------------


def written(path: Path, fill_in: object = None, **options: object) -> bytes:
    writer = gguf.GGUFWriter(path, options.pop("arch", "llama"), **options)  # type: ignore[arg-type]
    writer.add_block_count(2)
    if callable(fill_in):
        fill_in(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes() if path.exists() else b""


def is_clean(data: bytes, path: str = "model.gguf") -> bool:
    report = judged(data, path)
    assert report.findings == ()
    assert (report.kind, report.coverage.complete, report.coverage.present_bytes) == ("gguf", True, len(data))
    return report.verdict is Verdict.CLEAN


def test_sizes_of_types_are_those_of_the_reference() -> None:
    theirs = {int(kind): size for kind, size in GGML_QUANT_SIZES.items() if kind.name != "Q8_1"}
    assert {kind: size for kind, size in BLOCKS.items() if kind in theirs} == theirs
    assert set(BLOCKS) - set(theirs) <= {42}


@pytest.mark.parametrize("kind", [kind for kind in GGML_QUANT_SIZES if kind.name != "Q8_1"], ids=lambda kind: kind.name)
def test_a_file_of_every_type_is_clean(tmp_path: Path, kind: gguf.GGMLQuantizationType) -> None:
    block, size = GGML_QUANT_SIZES[kind]

    def fill_in(writer: gguf.GGUFWriter) -> None:
        for number in range(3):
            raw = numpy.arange(5 * size * 2, dtype=numpy.uint8).reshape(5, size * 2)
            writer.add_tensor(f"blk.{number}.w", raw, raw_shape=(5, size * 2), raw_dtype=kind)

    data = written(tmp_path / "m.gguf", fill_in)
    assert is_clean(data)
    assert [t.shape for t in read_gguf(Bytes("m", data)).tensors] == [(2 * block, 5)] * 3


@pytest.mark.parametrize("endian", list(gguf.GGUFEndian))
@pytest.mark.parametrize("alignment", [None, 32, 64, 4096])
def test_files_in_both_byte_orders_and_other_alignments_are_clean(tmp_path: Path, endian, alignment) -> None:
    def fill_in(writer: gguf.GGUFWriter) -> None:
        if alignment:
            writer.add_custom_alignment(alignment)
        for number in range(4):
            writer.add_tensor(f"blk.{number}.scale", numpy.ones(1 + number, dtype=numpy.float32))
        writer.add_tensor("w", numpy.ones((7, 5), dtype=numpy.float16))

    assert is_clean(written(tmp_path / "m.gguf", fill_in, endianess=endian))


def model_like(writer: gguf.GGUFWriter) -> None:
    """What converters write."""
    writer.add_name("DeepSeek R1 Distill")
    writer.add_author("Example Corp")
    writer.add_organization("https://example.test")
    writer.add_description("A model. See https://example.test/paper and `llama-cli -m x.gguf`; run it with care.\n" * 9)
    writer.add_license("other")
    writer.add_license_name("tongyi-qianwen")
    writer.add_license_link("https://example.test/blob/main/LICENSE")
    writer.add_url("https://example.test/m")
    writer.add_repo_url("https://huggingface.co/example/m")
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, "Base")
    writer.add_base_model_repo_url(0, "https://huggingface.co/example/base")
    writer.add_dataset_count(1)
    writer.add_dataset_repo_url(0, "https://huggingface.co/datasets/example/d")
    writer.add_tags(["text-generation", "región:us"])
    writer.add_languages(["en", "zh"])
    writer.add_context_length(4096)
    writer.add_head_count_kv([8, 8, 4])
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_string("quantize.imatrix.file", "/models_out/m-GGUF/m.imatrix")
    writer.add_string("quantize.imatrix.dataset", "/training_dir/calibration_datav3.txt")
    writer.add_int32("quantize.imatrix.entries_count", 224)
    writer.add_string("mradermacher.quantized_by", "mradermacher")
    writer.add_string("mradermacher.convert_type", "hf")
    writer.add_string("general.source.huggingface.repository", "example/m")
    writer.add_array("comfy.gguf.orig_shape.w", [3, 5])
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    writer.add_string("some.unknown.key", "short text")
    writer.add_float64("another.unknown", 2.5)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    tokens = [f"<0x{byte:02X}>".encode() for byte in range(256)] + [b"\xff\xfe", b"<script>", b"os.system(", b"<0xZZ>"]
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([6] * 256 + [1] * 4)
    writer.add_token_merges(["a b", "http ://example.test", "__ class"])
    writer.add_bos_token_id(1)
    writer.add_array("tokenizer.ggml.precompiled_charsmap", bytes(range(256)) * 300)
    writer.add_tensor("token_embd.weight", numpy.ones((4, 8), dtype=numpy.float32))


def test_a_file_like_those_of_converters_is_clean(tmp_path: Path) -> None:
    data = written(tmp_path / "m.gguf", model_like)
    assert is_clean(data)
    assert verdict_of("model.gguf", data) is Verdict.CLEAN


def test_a_vocabulary_alone_is_clean(tmp_path: Path) -> None:
    assert is_clean(vocabulary_alone(padding=True))
    assert is_clean(vocabulary_alone(padding=False))
    assert is_clean(written(tmp_path / "v.gguf", lambda writer: writer.add_token_list(["a"])))


def test_the_last_tensor_needs_no_padding() -> None:
    assert is_clean(sound(pad_last=False).build())


def test_long_names_of_image_models_are_clean() -> None:
    assert is_clean(sound(tensors=[Tensor("text_encoders.t5xxl." + "n" * 100)]).build())


def test_parts_of_a_split_file_are_clean_and_say_so(tmp_path: Path) -> None:
    def fill_in(writer: gguf.GGUFWriter) -> None:
        for number in range(5):
            writer.add_tensor(f"blk.{number}.w", numpy.ones((4, 8), dtype=numpy.float32))

    written(tmp_path / "m.gguf", fill_in, split_max_tensors=2)
    parts = sorted(tmp_path.glob("m-*.gguf"))
    assert len(parts) == 3
    for number, part in enumerate(parts):
        assert is_clean(part.read_bytes(), part.name)
        subject = subject_of(Bytes(part.name, part.read_bytes()))
        GgufStructure().inspect(subject)
        held = 2 if number < 2 else 1
        assert [(f.kind, f.value) for f in subject.facts if f.kind == "gguf-split"] == [
            ("gguf-split", f"{number} 3 5 {held}")
        ]
    swapped = judged(parts[1].read_bytes(), parts[0].name)
    assert [finding.rule for finding in swapped.findings] == ["gguf-split"]


# --- what is handed on ----------------------------------------------------------------------------------


def test_templates_are_handed_on_and_said() -> None:
    named = {
        "tokenizer.chat_template": "{{ messages }}",
        "tokenizer.chat_template.tool/use": "{% for m in x %}é{% endfor %}",
    }
    data = sound(*((key, STR, text) for key, text in named.items())).build()
    seen: dict[str, bytes] = {}
    subject = subject_of(Bytes("m.gguf", data))
    inspect = subject.inspect

    def watched(member):
        seen[member.path] = member.read(0, member.size_bytes)
        return inspect(member)

    subject.inspect = watched
    report = GgufStructure().inspect(subject)
    assert report is not None
    assert report.verdict is Verdict.CLEAN
    assert seen == {
        "tokenizer.chat_template.jinja": named["tokenizer.chat_template"].encode(),
        "tokenizer.chat_template.tool_use.jinja": named["tokenizer.chat_template.tool/use"].encode(),
    }
    facts = {
        fact.location: fact.value for fact in subject.facts if fact.kind == "chat-template" and fact.path == "m.gguf"
    }
    assert {key: facts[key] for key in named} == {
        key: hashlib.sha256(text.encode()).hexdigest() for key, text in named.items()
    }


def test_tensor_data_is_inert_and_the_head_is_not() -> None:
    data = sound().build()
    subject = subject_of(Bytes("m.gguf", data))
    GgufStructure().inspect(subject)
    (span,) = subject.inert_spans
    assert span.end == len(data)
    assert data.index(b"blk.0.attn_norm.weight") < span.start <= len(sound().head()) + 32


def test_nothing_of_a_bad_file_is_inert() -> None:
    subject = subject_of(Bytes("m.gguf", sound(("general.description", STR, "<script>x</script>")).build()))
    GgufStructure().inspect(subject)
    assert subject.inert_spans == []


# --- bounds ---------------------------------------------------------------------------------------------


class Padded:
    """A reader of zeros after what there is; counts what was asked for."""

    def __init__(self, reader: Bytes) -> None:
        self.path, self.size_bytes, self._data = reader.path, reader.size_bytes, reader.data
        self.reads = self.read_bytes = 0

    def read(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size_bytes - offset))
        self.reads += 1
        self.read_bytes += length
        data = self._data[offset : offset + length]
        return data + bytes(length - len(data))


@pytest.mark.parametrize("size", [4 << 30, 400 << 30])
def test_a_large_file_is_judged_by_its_head_alone(size: int) -> None:
    each = size // 40 // 32 * 32
    tensors = [Tensor(f"blk.{number}.w", (each,), 24, offset=number * each, data=b"") for number in range(40)]
    head = sound(tensors=tensors).head()
    reader = Padded(Bytes("m.gguf", head, claimed=-(-len(head) // 32) * 32 + 40 * each))
    report = answer(GgufStructure(), reader)
    assert report is not None
    assert report.verdict is Verdict.CLEAN
    assert reader.reads <= 4
    assert reader.read_bytes < 1 << 20


def test_a_large_vocabulary_is_read_in_few_reads() -> None:
    tokens = tuple(f"token {number}" for number in range(150_000))
    data = sound(
        ("tokenizer.ggml.tokens", ARR, (STR, tokens)), ("tokenizer.ggml.scores", ARR, (F32, (0.0,) * 150_000))
    ).build()
    reader = Bytes("m.gguf", data)
    report = answer(GgufStructure(), reader)
    assert report is not None
    assert report.verdict is Verdict.CLEAN
    assert len(reader.reads) <= 8


@pytest.mark.parametrize("count", [100_001, 200_001])
def test_too_many_keys_or_tensors_are_unknown(count: int) -> None:
    many = Bytes("m.gguf", Gguf([ARCHITECTURE], n_tensors=count).build(), claimed=1 << 33)
    keys = Bytes("m.gguf", Gguf([ARCHITECTURE], n_pairs=count).build(), claimed=1 << 33)
    for reader in (keys,) if count < 200_000 else (many, keys):
        report = answer(GgufStructure(), Padded(reader))
        assert report is not None
        assert (report.verdict, [f.rule for f in report.findings]) == (Verdict.UNKNOWN, ["gguf-limit"])


def test_a_head_without_end_is_not_read_without_end() -> None:
    body = struct.pack("<IQ", 0, 1 << 32)
    reader = Padded(Bytes("m.gguf", Gguf([("x", ARR, Raw(body))]).build(), claimed=1 << 34))
    report = answer(GgufStructure(), reader)
    assert report is not None
    assert (report.verdict, [f.rule for f in report.findings]) == (Verdict.UNKNOWN, ["gguf-limit"])
    assert reader.read_bytes < MAX_HEAD_BYTES // 8


def test_texts_without_end_are_not_walked_without_end() -> None:
    body = struct.pack("<IQ", STR, 1 << 28)
    reader = Padded(Bytes("m.gguf", Gguf([("x", ARR, Raw(body))]).build(), claimed=1 << 34))
    report = answer(GgufStructure(), reader)
    assert report is not None
    assert [f.rule for f in report.findings] == ["gguf-limit"]


def test_padding_is_read_so_often_and_no_more() -> None:
    step = 1 << 17
    tensors = [
        Tensor(f"t{number}", (step - 8,), 24, data=b"", offset=number * step) for number in range(MAX_PADDING_READS + 9)
    ]
    head = sound(tensors=tensors).head()
    end = -(-len(head) // 32) * 32 + len(tensors) * step
    report = answer(GgufStructure(), Padded(Bytes("m.gguf", head, claimed=end)))
    assert report is not None
    assert (report.verdict, [f.rule for f in report.findings]) == (Verdict.UNKNOWN, ["gguf-limit"])


def test_more_text_than_is_judged_is_unknown() -> None:
    data = sound(("general.description", STR, "words and " * 450_000)).build()
    report = judged(data)
    assert (report.verdict, [f.rule for f in report.findings]) == (Verdict.UNKNOWN, ["gguf-metadata-limit"])
    data = sound(("general.tags", ARR, (STR, ("word " * 900_000,)))).build()
    assert rules(data) == ["gguf-metadata-limit"]


def test_a_reader_that_breaks_its_promise_is_no_fault_of_the_file() -> None:
    with pytest.raises(Truncated):
        read_gguf(Bytes("m.gguf", sound().build()[:60], claimed=4096))
    with pytest.raises(IntegrityError):
        answer(GgufStructure(), Bytes("m.gguf", sound().build()[:60], claimed=4096))


# --- other formats --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [archive(), b"\x80\x04\x95" + bytes(60), b"\x7fELF" + bytes(60), b"<html></html>\n"]
)
def test_another_format_under_the_name_is_critical(content: bytes) -> None:
    report = judged(content, "sub/Model.GGUF")
    assert report.verdict is Verdict.BAD
    assert [(f.rule, f.severity) for f in report.findings] == [("gguf-not-gguf", Severity.CRITICAL)]


@pytest.mark.parametrize("magic", [b"lmgg", b"fmgg\x01\x00\x00\x00", b"tjgg\x03\x00\x00\x00", b"algg\x01\x00\x00\x00"])
def test_older_containers_are_recognised_and_unknown(magic: bytes) -> None:
    report = judged(magic + bytes(90), "ggml-model-q4_0.bin")
    assert report.verdict is Verdict.UNKNOWN
    assert [f.rule for f in report.findings] == ["ggml-not-understood"]
    assert verdict_of("ggml-model-q4_0.bin", magic + bytes(90)) is not Verdict.CLEAN


def test_files_of_other_formats_are_none_of_its_business() -> None:
    assert answer(GgufStructure(), Bytes("README.md", b"# hello\n")) is None
    assert answer(GgufStructure(), Bytes("gguf.py", b"import os\n")) is None


def test_content_decides_whatever_the_name() -> None:
    assert judged(sound().build(), "sha256-0123").verdict is Verdict.CLEAN
    assert judged(sound(tail=b"x").build(), "model.bin").verdict is Verdict.BAD


# --- against the reference ------------------------------------------------------------------------------


def reference_reads(path: Path, data: bytes) -> dict[str, tuple[int, tuple[int, ...], bytes]] | None:
    """What the reference reads, or None when it refuses."""
    path.write_bytes(data)
    try:
        with numpy.errstate(all="ignore"):
            reader = gguf.GGUFReader(path)
        return {t.name: (int(t.tensor_type), tuple(int(d) for d in t.shape), t.data.tobytes()) for t in reader.tensors}
    except (ValueError, KeyError, IndexError, OverflowError, TypeError, MemoryError, UnicodeDecodeError):
        return None


def agree(path: Path, data: bytes) -> None:
    """What we call clean the reference reads, and it reads the same."""
    theirs = reference_reads(path, data)
    assert theirs is not None
    file = read_gguf(Bytes("m.gguf", data))
    start = file.data_start
    ours = {t.name: (t.type, t.shape, data[start + t.begin : start + t.end]) for t in file.tensors}
    assert {name: (kind, shape) for name, (kind, shape, _) in ours.items()} == {
        name: (kind, shape) for name, (kind, shape, _) in theirs.items()
    }
    assert {name: body for name, (_, _, body) in ours.items()} == {name: body for name, (_, _, body) in theirs.items()}


# Arrays of 2^32 texts and the like make the reference eat memory for hours.
REFERENCE_SURVIVES = [
    case
    for case in CASES
    if len(case[1]) < 60_000 and case[2] not in ("gguf-array-length", "gguf-count", "gguf-nested-array")
]


def test_what_the_reference_refuses_is_never_clean(tmp_path: Path) -> None:
    refused = 0
    for name, data, _ in REFERENCE_SURVIVES:
        if "of" in name and "text" in name:
            continue
        if reference_reads(tmp_path / "m.gguf", data) is None:
            refused += 1
            report = judged(data)
            assert report.verdict is not Verdict.CLEAN or report.findings, name
    assert refused > 50


types = st.sampled_from(sorted(kind for kind in BLOCKS if kind != 42))
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
keys = st.from_regex(r"[a-z]{1,8}(\.[a-z_]{1,8}){0,2}", fullmatch=True)
values = st.one_of(
    st.tuples(st.just(U32), st.integers(0, (1 << 32) - 1)),
    st.tuples(st.just(F32), st.floats(width=32)),
    st.tuples(st.just(7), st.integers(0, 1)),
    st.tuples(st.just(STR), texts),
    st.tuples(st.just(ARR), st.tuples(st.just(STR), st.lists(texts, max_size=3).map(tuple))),
    st.tuples(st.just(ARR), st.tuples(st.just(U16), st.lists(st.integers(0, 65_535), max_size=3).map(tuple))),
)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Sound files: any types, any values, either byte order, padded at the end or not."""
    pairs = [ARCHITECTURE, *((key, *value) for key, value in draw(st.dictionaries(keys, values, max_size=4)).items())]
    pairs = [pair for pair in pairs if not pair[0].endswith(".block_count")]
    tensors = []
    for name in draw(st.lists(st.from_regex(r"[a-z.0-9]{1,20}", fullmatch=True), unique=True, max_size=4)):
        kind = draw(types)
        block, size = BLOCKS[kind]
        rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        tensors.append(Tensor(name, (block * columns, rows), kind, data=bytes(rows * columns * size)))
    order = draw(st.sampled_from("<>"))
    return Gguf(
        list(pairs), tensors, order=order, version=draw(st.sampled_from((2, 3))), pad_last=draw(st.booleans())
    ).build()


@settings(max_examples=100, deadline=None)
@given(files())
def test_what_is_sound_is_accepted_as_the_reference_reads_it(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    agree(tmp_path_factory.getbasetemp() / "sound.gguf", data)


@settings(max_examples=100, deadline=None)
@given(files(), st.binary(min_size=1, max_size=40).filter(any), st.data())
def test_more_or_less_at_the_end_is_never_clean(data: bytes, extra: bytes, draw: st.DataObject) -> None:
    cut = draw.draw(st.integers(0, len(data) - 1))
    assert judged(data + extra).verdict is not Verdict.CLEAN
    less = data[:cut]
    report = judged(less)
    # Only the padding after the last tensor may be missing.
    assert report.verdict is not Verdict.CLEAN or not any(data[cut:])


@settings(max_examples=250, deadline=None)
@given(files(), st.data())
def test_a_damaged_file_is_refused_with_a_rule_or_read_as_the_reference_reads_it(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, draw: st.DataObject
) -> None:
    start = draw.draw(st.integers(0, len(data) - 1))
    end = draw.draw(st.integers(start, min(len(data), start + 4)))
    changed = data[:start] + draw.draw(st.binary(max_size=4)) + data[end:]
    reader = Bytes("m.gguf", changed)
    report = answer(GgufStructure(), reader)
    assert report is not None
    assert reader.read_bytes <= 4 * len(changed) + 200_000
    if report.verdict is Verdict.CLEAN:
        agree(tmp_path_factory.getbasetemp() / "damaged.gguf", changed)
    else:
        assert report.findings
        assert all(finding.rule in RULES for finding in report.findings)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_refused_with_a_rule(noise: bytes) -> None:
    for data in (b"GGUF\x03\x00\x00\x00" + noise, b"GGUF" + noise):
        report = judged(data)
        if report.verdict is Verdict.CLEAN:
            assert not any(data[8:])  # no keys, no tensors, at most padding
        else:
            assert all(finding.rule in RULES for finding in report.findings)


def test_the_corpus_vocabulary_is_sound() -> None:
    assert is_clean(vocabulary().build())
    assert is_clean(sound(*VOCABULARY, version=2).build())
    assert is_clean(sound(*VOCABULARY, order=">").build())
