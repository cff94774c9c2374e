"""What is stripped of remote code and what is refused, how JSON is edited, and what a derived source gives."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.native_architectures import transformers_release
from tests.support.inspecting import Bytes
from weighbridge.core.errors import (
    ConfigError,
    FormatError,
    WeighbridgeError,
)
from weighbridge.core.names import Address, ModelName
from weighbridge.core.ports import RangeReader
from weighbridge.core.snapshot import Entry, Origin, Snapshot
from weighbridge.formats.json_text import parse
from weighbridge.remediate import native
from weighbridge.remediate.derived import STEP_BYTES, DerivedSource
from weighbridge.remediate.json_edit import Path as JsonPath
from weighbridge.remediate.json_edit import objects, rest, without
from weighbridge.remediate.plan import Literal, Made, Span, Step
from weighbridge.remediate.remote_code import strip_remote_code

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "auto_map": {"AutoModelForCausalLM": "modeling_tiny.LlamaForCausalLM"},
    "model_type": "llama",
    "rms_norm_eps": 1e-06,
}


# --- what is refused ----------------------------------------------------------------------------


def stripped(files: dict[str, Any], engine: native.Engine | None = None) -> Step | None:
    """The step for files in memory: texts and bytes as they are, everything else as JSON."""
    data = {
        path: one if isinstance(one, bytes) else (one if isinstance(one, str) else json.dumps(one, indent=2)).encode()
        for path, one in files.items()
    }
    entries = [Entry(path, len(one), hashlib.sha256(one).hexdigest()) for path, one in data.items()]
    return strip_remote_code(entries, readers_of(data), engine or native.engine("transformers"))


def readers_of(data: dict[str, bytes]) -> Callable[[str], RangeReader]:
    return lambda path: Bytes(path, data[path])


def config(**keys: Any) -> dict[str, Any]:
    return {**CONFIG, **keys}


def model(**keys: str) -> dict[str, Any]:
    return config(auto_map={name: f"modeling_tiny.{value}" for name, value in keys.items()})


TOKENIZER = {
    "auto_map": {"AutoTokenizer": ["tokenization_tiny.TinyTokenizer", None]},
    "tokenizer_class": "TinyTokenizer",
}
GENERIC = {**TOKENIZER, "tokenizer_class": "PreTrainedTokenizerFast"}
NESTED = {"vision_config": {"auto_map": {"AutoModel": "modeling_tiny.TinyVisionModel"}, "model_type": "tiny_vision"}}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown model type": ({"config.json": config(model_type="tiny")}, "'tiny' is not built in"),
    "one that resembles another": ({"config.json": config(model_type="Llama")}, "'Llama' is not built in"),
    "no model type": ({"config.json": {"auto_map": CONFIG["auto_map"]}}, "no model_type"),
    "another class": ({"config.json": model(AutoModelForCausalLM="TinyForCausalLM")}, "names TinyForCausalLM"),
    "another configuration": ({"config.json": model(AutoConfig="TinyConfig")}, "LlamaConfig there"),
    "class of another type": ({"config.json": model(AutoModelForCausalLM="MistralForCausalLM")}, "MistralForCausalLM"),
    "class of another loader": ({"config.json": model(AutoModel="LlamaForCausalLM")}, "LlamaForCausalLM for AutoModel"),
    "loader that is none": ({"config.json": model(AutoModelForDreams="LlamaForCausalLM")}, "AutoModelForDreams"),
    "architecture of its own": ({"config.json": config(architectures=["TinyForCausalLM"])}, "'TinyForCausalLM'"),
    "architecture that is no class": ({"config.json": config(architectures=[["os", "system"]])}, "is no class"),
    "nested, unknown": ({"config.json": config(**NESTED)}, "'tiny_vision' is not built in"),
    "custom tokenizer": ({"config.json": config(), "tokenizer_config.json": TOKENIZER}, "tokenizer 'TinyTokenizer'"),
    "fast tokenizer without its file": (
        {"config.json": config(), "tokenizer_config.json": GENERIC},
        "needs a tokenizer.json",
    ),
    "tokenizer of another class": (
        {"config.json": config(), "tokenizer_config.json": {**TOKENIZER, "tokenizer_class": "LlamaTokenizer"}},
        "both LlamaTokenizer and TinyTokenizer",
    ),
    "custom processor": (
        {
            "config.json": config(),
            "preprocessor_config.json": {"auto_map": {"AutoImageProcessor": "image_tiny.TinyImageProcessor"}},
        },
        "TinyImageProcessor for AutoImageProcessor",
    ),
    "processor that only its code names": (
        {
            "config.json": config(),
            "preprocessor_config.json": {"auto_map": {"AutoImageProcessor": "image_tiny.CLIPImageProcessor"}},
        },
        "CLIPImageProcessor for AutoImageProcessor",
    ),
    "custom pipeline": (
        {"config.json": config(custom_pipelines={"tiny-talk": {"impl": "pipe.TinyPipeline", "pt": []}})},
        "pipeline of its own",
    ),
    "custom generation": (
        {"config.json": config(), "custom_generate/generate.py": "x = 1"},
        "how this model generates",
    ),
    "custom generation by name": (
        {"config.json": config(), "generation_config.json": {"custom_generate": "org/repo"}},
        "custom_generate is 'org/repo'",
    ),
    "code and no configuration": ({"model.py": "x = 1"}, "no config.json"),
    "reference out of the repository": (
        {"config.json": config(auto_map={"AutoModelForCausalLM": "../../tmp/x.LlamaForCausalLM"})},
        "no class of a module",
    ),
    "reference that is no text": ({"config.json": config(auto_map={"AutoModel": {"a": 1}})}, "not a class's name"),
    "configuration in UTF-16": ({"config.json": json.dumps(CONFIG).encode("utf-16")}, "cannot be read"),
    "configuration nested beyond reason": ({"config.json": config(), "x_config.json": "[" * 5000}, "cannot be read"),
    "two configurations in one file": ({"config.json": json.dumps(CONFIG) + "{}"}, "cannot be read"),
    "key given twice beside": ({"config.json": config(), "tokenizer_config.json": '{"a": 1, "a": 2}'}, "twice"),
    "key given twice": (
        {
            "config.json": '{"model_type": "llama", "auto_map": {"AutoModel": "a.LlamaModel"}, "auto_map": {"AutoModel": "b.LlamaModel"}}'
        },
        "twice",
    ),
    "holder given twice": (
        {
            "config.json": '{"model_type": "llama", "a": {"auto_map": {"AutoModel": "a.LlamaModel"}}, "a": {}, "auto_map": {"AutoModel": "b.LlamaModel"}}'
        },
        "twice",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_have_to_be_guessed_is_refused_with_what_to_do(name: str) -> None:
    files, message = REFUSED[name]
    with pytest.raises((ConfigError, FormatError)) as refused:
        stripped(files)
    assert message in refused.value.message
    assert refused.value.hint


def test_vllm_must_serve_the_architecture_by_itself() -> None:
    albert = {
        "architectures": ["AlbertForMaskedLM"],
        "model_type": "albert",
        "auto_map": {"AutoModel": "m.AlbertModel"},
    }
    assert stripped({"config.json": albert}) is not None
    r1 = {
        "architectures": ["DeepseekV3ForCausalLM"],
        "model_type": "deepseek_v3",
        "auto_map": {"AutoModel": "m.DeepseekV3Model"},
    }
    step = stripped({"config.json": r1}, native.engine("vllm", "0.14"))
    assert step is not None
    assert step.proof["needs"] == {"transformers": ">=4.51", "vllm": ">=0.9"}
    with pytest.raises(ConfigError, match="names no architectures"):
        stripped({"config.json": {**albert, "architectures": []}}, native.engine("vllm", "0.14"))
    with pytest.raises(ConfigError, match="does not serve"):
        stripped({"config.json": albert}, native.engine("vllm", "0.14"))
    for version in ("0.1", "new", "4.20"):
        with pytest.raises(ConfigError):
            native.engine("vllm" if version != "4.20" else "transformers", version)


def test_what_is_native_is_stripped_at_any_depth_and_everything_else_stays() -> None:
    outer = config(
        text_config={
            "model_type": "llama",
            "auto_map": {"AutoModel": "org/other--modeling_tiny.LlamaModel"},
            "x": 1.50,
        },
        trust_remote_code=True,
        _attn_implementation="evil/kernel",
        attn_implementation="sdpa",
        conv_kernel=4,
        use_kernels=True,
        auto_maps={"kept": True},
    )
    files = {
        "config.json": outer,
        "tokenizer_config.json": {**GENERIC, "model_max_length": 10**30},
        "tokenizer.json": {},
        "sub/preprocessor_config.json": {
            "auto_map": {"AutoImageProcessor": "image.CLIPImageProcessor"},
            "image_processor_type": "CLIPImageProcessor",
        },
        "a.py": "x = 1",
        "lib/b.so": b"\x7fELF",
        "notes.txt": "auto_map",
        "results.json": {"auto_map": None},
    }
    step = stripped(files)
    assert step is not None
    assert set(step.dropped) == {"a.py", "lib/b.so"}
    made = {one.path: json.loads(b"".join(p.data for p in one.pieces if isinstance(p, Literal))) for one in step.made}
    assert made["config.json"] == {
        **{key: outer[key] for key in ("architectures", "model_type", "rms_norm_eps", "attn_implementation")},
        "text_config": {"model_type": "llama", "x": 1.5},
        "conv_kernel": 4,
        "auto_maps": {"kept": True},
    }
    assert made["tokenizer_config.json"] == {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 10**30}
    assert made["sub/preprocessor_config.json"] == {"image_processor_type": "CLIPImageProcessor"}
    assert made.keys() == {"config.json", "tokenizer_config.json", "sub/preprocessor_config.json"}


def test_a_model_without_code_has_nothing_to_strip() -> None:
    assert stripped({"config.json": {"model_type": "anything"}, "x.json": "not json", "deep.json": "[" * 5000}) is None


def test_bytes_that_are_not_those_of_the_manifest_are_not_edited() -> None:
    data = {"config.json": json.dumps(CONFIG).encode()}
    entries = [Entry("config.json", len(data["config.json"]), "0" * 64)]
    with pytest.raises(WeighbridgeError, match="not what the manifest says"):
        strip_remote_code(entries, readers_of(data), native.engine("transformers"))


def test_the_table_says_what_the_installed_transformers_has() -> None:
    """Fails when a newer transformers is installed than the table knows: run scripts/native_architectures.py."""
    distribution = importlib.metadata.distribution("transformers")
    release = transformers_release(Path(str(distribution.locate_file(""))))
    engine = native.engine("transformers", distribution.version)
    assert len(release["AutoConfig"]) > 500
    for loader, table in release.items():
        for key, names in table.items():
            assert set(native.class_of(engine, loader, key)) == names, (loader, key)


# --- a derived source ---------------------------------------------------------------------------


def derived(data: dict[str, bytes], *steps: Step) -> DerivedSource:
    entries = tuple(Entry(path, len(one), hashlib.sha256(one).hexdigest()) for path, one in sorted(data.items()))
    name, address = ModelName("acme", "tiny"), Address("folder", "/tiny")
    origin = Origin("hub", "hf://acme/tiny", owner="acme", commit="a" * 40, published_at="2026-01-01T00:00:00Z")
    snapshot = Snapshot(name, address, origin, entries, "b" * 40)
    parent = SimpleNamespace(open=None, pin=lambda: snapshot, close=lambda: None)
    return DerivedSource(parent, snapshot, steps, readers_of(data))


def read(source: DerivedSource, entry: Entry, start: int, end: int, step: int) -> bytes:
    got = bytearray()
    with source.open(entry, start, end) as stream:
        buffer = memoryview(bytearray(step))
        while count := stream.readinto(buffer):
            got += buffer[:count]
    return bytes(got)


@given(
    cuts=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 40)), min_size=1, max_size=12),
    literals=st.lists(st.binary(max_size=9), max_size=12),
    ranges=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400), st.integers(1, 33)), min_size=1, max_size=8),
)
@settings(max_examples=80, deadline=None)
def test_any_range_of_a_made_artifact_is_that_part_of_the_whole(
    cuts: list[tuple[int, int]], literals: list[bytes], ranges: list[tuple[int, int, int]]
) -> None:
    data = random.Random(1).randbytes(100)
    pieces: list[Any] = [Span("old", start, min(size, 100 - start)) for start, size in cuts]
    for number, literal in enumerate(literals):
        pieces.insert(number * 2, Literal(literal))
    whole = b"".join(
        piece.data if isinstance(piece, Literal) else data[piece.offset : piece.offset + piece.size_bytes]
        for piece in pieces
    )
    source = derived({"old": data}, Step("r", dropped=("old",), made=(Made("new", tuple(pieces)),)))
    (entry,) = source.pin().entries
    assert entry.size_bytes == len(whole)
    with ThreadPoolExecutor(4) as threads:
        asked = [(min(a, b, len(whole)), min(max(a, b), len(whole)), step) for a, b, step in ranges]
        got = list(threads.map(lambda one: read(source, entry, *one), asked))
    assert got == [whole[start:end] for start, end, _ in asked]


def test_a_large_piece_is_read_a_few_mebibytes_at_a_time() -> None:
    parent = Bytes("old", bytes(3 * STEP_BYTES))
    made = Made("new", (Literal(b"head"), Span("old", 7, 3 * STEP_BYTES - 7)))
    name, address = ModelName("acme", "tiny"), Address("folder", "/tiny")
    snapshot = Snapshot(name, address, Origin("folder", "/tiny"), (Entry("old", parent.size_bytes),), "b" * 40)
    source = DerivedSource(SimpleNamespace(), snapshot, [Step("r", ("old",), (made,))], lambda _path: parent)
    (entry,) = source.pin().entries
    assert len(read(source, entry, 0, entry.size_bytes, 8 * STEP_BYTES)) == entry.size_bytes
    assert max(length for _, length in parent.reads) == STEP_BYTES
    assert parent.read_bytes == 3 * STEP_BYTES - 7


def test_what_is_derived_keeps_the_owner_and_names_its_parent() -> None:
    source = derived({"a": b"1", "b": b"2"}, Step("r", dropped=("b",), made=(Made("c", (Literal(b"3"),)),)))
    snapshot = source.pin()
    assert (snapshot.revision, snapshot.origin.kind) == ("", "derived")
    assert snapshot.origin.address == f"acme/tiny@{'b' * 40}"
    assert (snapshot.origin.owner, snapshot.origin.commit) == ("acme", "a" * 40)
    assert [(entry.path, entry.sha256) for entry in snapshot.entries] == [
        ("a", hashlib.sha256(b"1").hexdigest()),
        ("c", hashlib.sha256(b"3").hexdigest()),
    ]


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (Step("r", dropped=("missing",)),),
        (Step("r", dropped=("a", "b")),),
        (Step("r", made=(Made("a", ()),)), Step("s", made=(Made("a", ()),))),
        (Step("r", made=(Made("a", ()),)), Step("s", dropped=("a",))),
        (Step("r", made=(Made("../a", (Literal(b""),)),)),),
        (Step("r", made=(Made("A", (Literal(b""),)),)),),
    ],
)
def test_steps_that_do_not_fit_are_refused(steps: tuple[Step, ...]) -> None:
    with pytest.raises(WeighbridgeError):
        derived({"a": b"1", "b": b"2"}, *steps)


# --- editing JSON -------------------------------------------------------------------------------

KEYS = st.sampled_from(["auto_map", "a", 'q"', "\u00e9", "{", "b,"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@given(value=st.dictionaries(KEYS, VALUES, max_size=5), indent=st.sampled_from([None, 0, 2]), ascii_only=st.booleans())
@settings(max_examples=100, deadline=None)
def test_taking_keys_out_leaves_every_other_character(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    paths: list[JsonPath] = [(*path, "auto_map") for path, one in objects(value) if "auto_map" in one]
    outer = [path for path in paths if not any(path[:end] in paths for end in range(len(path)))]
    try:
        text.decode()
    except UnicodeDecodeError:
        return
    edited = without(text, outer, of="x")

    def pruned(one: Any) -> Any:
        if isinstance(one, dict):
            return {key: pruned(inner) for key, inner in one.items() if key != "auto_map"}
        return [pruned(inner) for inner in one] if isinstance(one, list) else one

    assert rest(parse(edited).value) == rest(pruned(value))
    remaining: Iterator[str] = iter(text.decode())
    assert all(character in remaining for character in edited.decode())


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_a_spoilt_configuration_is_refused_or_stripped_and_nothing_else(data: st.DataObject) -> None:
    text = bytearray(json.dumps(config(text_config={"auto_map": {"AutoModel": "m.LlamaModel"}}), indent=1).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.sampled_from([b"", b'"', b"{", b"]", b",", b"\\", b"1"])
        )
    try:
        step = stripped({"config.json": bytes(text)})
    except WeighbridgeError:
        return
    if step is None:
        return
    (made,) = step.made
    after = parse(b"".join(piece.data for piece in made.pieces if isinstance(piece, Literal)))
    assert not any("auto_map" in one for _, one in objects(after.value))
