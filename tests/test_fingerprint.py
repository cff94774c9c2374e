"""A model is told by its weights: copies match whatever they are called and held in, other weights never do."""

from __future__ import annotations

import itertools
import json
import math
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch

from tests.support.cases import each
from tests.support.copies import (
    Ranged,
    State,
    decoder,
    each_matrix,
    int8_rows,
    nf4,
    of_path,
    of_state,
    scaled_eight_bits,
    widened,
    with_noise,
    write_gguf,
    write_safetensors,
)
from tests.support.drifting import safetensors
from tests.support.hub import HubServer
from tests.support.in_process import InProcess, own_environment
from weighbridge.core.errors import FormatError
from weighbridge.drift.fingerprint import MAX_SKETCHED, Fingerprint, fingerprint
from weighbridge.drift.likeness import ALIKE_BITS, Verdict, compare
from weighbridge.drift.quantised import BY_NUMBER
from weighbridge.drift.sketch import BITS, sketch, windows_of
from weighbridge.drift.tensor_names import plain
from weighbridge.formats.gguf import read_gguf

BASE = decoder(1)
OTHER = decoder(2, hidden=512, layers=1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Fingerprint:
    return of_state(tmp_path_factory.mktemp("base"), BASE)


# --- copies --------------------------------------------------------------------------------------


def _renamed(state: State) -> State:
    return {f"w{number:03}": value for number, value in enumerate(state.values())}


def _wrapped(state: State) -> State:
    return {f"module._orig_mod.{name}": value for name, value in state.items()}


CAST: Mapping[str, Callable[[State], State]] = {
    "as it is": lambda state: state,
    "float64": lambda state: each_matrix(state, torch.Tensor.double),
    "bfloat16": lambda state: each_matrix(state, torch.Tensor.bfloat16),
    "float16": lambda state: each_matrix(state, torch.Tensor.half),
    "bfloat16 and back": lambda state: each_matrix(state, lambda value: value.bfloat16().float()),
    "float16 and back": lambda state: each_matrix(state, lambda value: value.half().float()),
    "8-bit floats": lambda state: each_matrix(state, lambda value: value.to(torch.float8_e4m3fn)),
    "8-bit floats, e5m2": lambda state: each_matrix(state, lambda value: value.to(torch.float8_e5m2)),
    "8-bit floats with scales": scaled_eight_bits,
    "8-bit floats with scales, widened": lambda state: each_matrix(state, widened),
    "int8": lambda state: each_matrix(state, int8_rows),
    "wrapped names": _wrapped,
    "arbitrary names": _renamed,
    "arbitrary names, bfloat16": lambda state: _renamed(each_matrix(state, torch.Tensor.bfloat16)),
}


@each("name", CAST)
def test_a_cast_or_renamed_copy_is_the_same(name: str, base: Fingerprint, tmp_path: Path) -> None:
    made = of_state(tmp_path / name.replace(" ", "-"), CAST[name](BASE))
    found = compare(base, made)
    assert found.verdict is Verdict.SAME, (name, found)
    assert found.alike == found.agreeing == found.of
    assert compare(made, base).verdict is Verdict.SAME
    assert found.same_architecture is not name.startswith("arbitrary")
    assert found.same_shapes


def test_a_tied_head_may_be_written_out_or_left_out(tmp_path: Path) -> None:
    tied = {**BASE, "lm_head.weight": BASE["model.embed_tokens.weight"].clone()}
    left_out = {name: value for name, value in tied.items() if name != "lm_head.weight"}
    one, other = of_state(tmp_path / "a", tied), of_state(tmp_path / "b", left_out)
    assert compare(one, other).verdict is compare(other, one).verdict is Verdict.SAME


@each("shards", [2, 7])
def test_a_resharded_copy_has_the_very_fingerprint(shards: int, base: Fingerprint, tmp_path: Path) -> None:
    made = of_path(write_safetensors(tmp_path / str(shards), BASE, shards=shards))
    assert (made.digest, made.names_digest, made.files) == (base.digest, base.names_digest, shards)


@each("legacy", [False, True])
def test_a_checkpoint_of_torch_has_the_very_fingerprint(legacy: bool, base: Fingerprint, tmp_path: Path) -> None:
    path = tmp_path / f"{legacy}.bin"
    torch.save(BASE, path, _use_new_zipfile_serialization=not legacy)
    made = of_path(path)
    assert made.digest == base.digest
    assert made.names_digest == base.names_digest


def test_gguf_with_its_own_names_and_turned_rows_is_the_same(tmp_path: Path) -> None:
    state = decoder(4, hidden=512, layers=1)
    wide = of_state(tmp_path / "wide", state)
    for kind in ("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_1", "Q5_0", "Q4_K", "Q4_1", "Q4_0", "MXFP4", "Q4_K_M"):
        made = of_path(write_gguf(tmp_path / f"{kind}.gguf", state, kind))
        found = compare(wide, made)
        assert found.verdict is Verdict.SAME, (kind, found)
        assert found.alike == found.of
        assert found.same_architecture
        assert made.quantised == (found.grain if "Q" in kind or "4" in kind else ""), kind
        assert kind.startswith(found.grain)
        again = Fingerprint.from_bytes(json.dumps(made.to_json()).encode())
        assert compare(again, wide) == found


def test_turned_rows_that_are_shorter_than_a_window_are_seen_as_other_tensors(
    base: Fingerprint, tmp_path: Path
) -> None:
    found = compare(base, of_path(write_gguf(tmp_path / "narrow.gguf", BASE, "F16")))
    assert (found.verdict, found.of - found.alike) == (Verdict.RELATED, 6)
    assert found.agreeing == found.alike


def test_quantised_blocks_are_decoded_as_the_format_s_own_library_does() -> None:
    import gguf
    import numpy

    drawn = numpy.random.default_rng(3)
    for value, kind in BY_NUMBER.items():
        number = gguf.GGMLQuantizationType(value)
        assert number.name == kind.name
        data = drawn.integers(0, 256, (16, kind.block_bytes), dtype=numpy.uint8)
        with numpy.errstate(all="ignore"):
            expected = gguf.quants.dequantize(data.ravel(), number)
            values = numpy.array(kind.decode(data.tobytes())[0], dtype=numpy.float32)
        assert numpy.allclose(values, expected, rtol=1e-5, equal_nan=True), kind.name


def test_experts_are_the_same_one_by_one_and_stacked(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(5)
    experts = torch.randn(6, 48, 32, generator=generator)
    rest = {f"model.layers.0.mlp.shared.{n}.weight": torch.randn(48, 32, generator=generator) for n in range(3)}
    single = {f"model.layers.0.mlp.experts.{number}.up_proj.weight": experts[number] for number in range(6)}
    apart = of_state(tmp_path / "apart", {**rest, **single})
    stacked = of_state(tmp_path / "stacked", {**rest, "model.layers.0.mlp.experts.up_proj": experts})
    assert compare(apart, stacked).verdict is Verdict.SAME
    assert len(apart.tensors) == 4, "of experts only the first is sampled"


def test_a_quantised_copy_of_what_was_tuned_is_related(tmp_path: Path) -> None:
    base = decoder(4, hidden=512, layers=2)
    wide = of_state(tmp_path / "wide", base)
    cases = {
        "all of it": with_noise(base, 0.03),
        "two kinds of matrices": with_noise(with_noise(base, 0.05, names="q_proj"), 0.05, names="v_proj"),
        "another head": {**base, "lm_head.weight": decoder(5, hidden=512)["lm_head.weight"]},
    }
    for name, state in cases.items():
        found = compare(wide, of_path(write_gguf(tmp_path / "tuned.gguf", state, "Q4_K_M")))
        assert found.verdict is Verdict.RELATED, (name, found)
        assert found.similarity > 850, (name, found)
    copy = of_path(write_gguf(tmp_path / "copy.gguf", base, "Q4_K_M"))
    assert compare(wide, copy).verdict is compare(copy, wide).verdict is Verdict.SAME
    other = of_path(write_gguf(tmp_path / "other.gguf", decoder(5, hidden=512, layers=2), "Q4_K_M"))
    assert compare(wide, other).verdict is Verdict.DIFFERENT


def test_a_copy_in_four_bits_of_bitsandbytes_is_the_same(base: Fingerprint, tmp_path: Path) -> None:
    packed = nf4(BASE)
    made = of_state(tmp_path / "copy", packed)
    found = compare(base, made)
    assert (found.verdict, found.grain, found.same_architecture) == (Verdict.SAME, "NF4", True)
    assert made.quantised == "NF4"
    assert compare(base, of_state(tmp_path / "tuned", nf4(with_noise(BASE, 0.1)))).verdict is Verdict.RELATED
    assert compare(base, of_state(tmp_path / "other", nf4(decoder(2)))).verdict is Verdict.DIFFERENT
    # States that lie about the shape, or are none, leave bytes that nobody reads.
    for said in (b"{", b"[]", b'{"shape":[64,65]}', b'{"shape":[-64,-64]}', b'{"shape":[1e9]}', b'{"shape":[true,8]}'):
        lying = {
            name: torch.tensor(list(said), dtype=torch.uint8) if name.endswith("__nf4") else value
            for name, value in packed.items()
        }
        made = of_state(tmp_path / "lying", lying)
        assert any("U8" in line for line in made.left_out), said
        assert len(made.tensors) == 2, said


def test_blocks_whose_scales_are_none_are_no_copy(tmp_path: Path) -> None:
    """Infinite, not a number, the largest, the least, and zero: in the place of every scale of a file."""
    state = decoder(4, hidden=512, layers=1)
    wide = of_state(tmp_path / "wide", state)
    data = bytearray(write_gguf(tmp_path / "x.gguf", state, "Q4_0").read_bytes())
    head = read_gguf(Ranged("x", len(data), {0: bytes(data)}))
    blocks = [one for one in head.tensors if BY_NUMBER.get(one.type)]
    assert len(blocks) == 9
    for scale in (0x7C00, 0x7E00, 0xFC00, 0x7BFF, 0x0001, 0x0000):
        for one in blocks:
            begin, end = head.data_start + one.begin, head.data_start + one.end
            count = (end - begin) // 18
            data[begin:end:18], data[begin + 1 : end : 18] = bytes([scale & 255]) * count, bytes([scale >> 8]) * count
        file = Ranged("x", len(data), {0: bytes(data)})
        made = fingerprint([("x", "gguf")], lambda _path, file=file: file)  # type: ignore[misc]
        assert compare(wide, made).verdict is not Verdict.SAME, hex(scale)
        assert Fingerprint.from_bytes(json.dumps(made.to_json()).encode()) == made
        if scale in (0x7C00, 0x7E00, 0xFC00, 0x0000):
            assert not made.tensors, hex(scale)


# --- other weights -------------------------------------------------------------------------------


def test_no_two_seeds_match_in_any_types(tmp_path: Path) -> None:
    made: list[Fingerprint] = []
    for seed in range(24):
        casts = list(CAST.values())
        state = decoder(seed + 100, hidden=32, layers=2, vocabulary=96)
        made.append(of_state(tmp_path / str(seed), casts[seed % len(casts)](state)))
    for one, other in itertools.combinations(made, 2):
        found = compare(one, other)
        assert found.verdict is Verdict.DIFFERENT
        assert found.similarity < 50


def test_bits_of_unrelated_tensors_agree_by_chance_alone() -> None:
    generator = torch.Generator().manual_seed(7)
    bits = []
    for number in range(500):
        # Small tensors give several bits for each group; they must be as good as one.
        count = (256, 512, 1024)[number % 3]
        made = sketch(torch.randn(count, generator=generator).tolist(), "F32")
        assert made is not None
        bits.append(made.bits)
    apart = [(one ^ other).bit_count() for one, other in itertools.combinations(bits, 2)]
    mean = sum(apart) / len(apart)
    spread = math.sqrt(sum((one - mean) ** 2 for one in apart) / len(apart))
    assert abs(mean - BITS / 2) < 0.3
    assert abs(spread - math.sqrt(BITS) / 2) < 0.3, "each bit is as good as a coin of its own"
    assert min(apart) > ALIKE_BITS


def test_tensors_that_every_model_of_a_kind_shares_prove_nothing(tmp_path: Path) -> None:
    positions = torch.arange(64).unsqueeze(1) / torch.pow(10_000, torch.arange(32) / 32)
    shared = {
        "model.positions.weight": torch.cat((positions.sin(), positions.cos()), 1),
        "mask": torch.ones(64, 64).tril(),
    }
    one, other = (of_state(tmp_path / str(seed), {**decoder(seed), **shared}) for seed in (1, 2))
    assert compare(one, other).verdict is Verdict.DIFFERENT


# --- made from it --------------------------------------------------------------------------------


def test_what_was_trained_on_is_related_and_never_the_same(base: Fingerprint, tmp_path: Path) -> None:
    cases = {
        "a low-rank update merged": with_noise(BASE, 0.02, names="q_proj"),
        "all of it tuned": with_noise(BASE, 0.01),
        "tuned and cast": each_matrix(with_noise(BASE, 0.05), torch.Tensor.bfloat16),
        "one tensor edited": with_noise(BASE, 0.01, names="layers.1.mlp.down_proj"),
        "one tensor swapped": {
            **BASE,
            "model.layers.1.mlp.up_proj.weight": decoder(9)["model.layers.1.mlp.up_proj.weight"],
        },
        "one tensor emptied": {**BASE, "model.layers.1.mlp.up_proj.weight": torch.zeros(192, 64)},
        "one tensor emptied, all renamed": _renamed({**BASE, "lm_head.weight": torch.zeros(320, 64)}),
        "without the head": {name: value for name, value in BASE.items() if name != "lm_head.weight"},
        "a third replaced": {**BASE, **{n: v for n, v in decoder(9).items() if "layers.1." in n}},
        "words added": {**BASE, "model.embed_tokens.weight": decoder(9, vocabulary=352)["model.embed_tokens.weight"]},
        "a layer fewer": {name: value for name, value in BASE.items() if "layers.2." not in name},
    }
    for name, state in cases.items():
        found = compare(base, of_state(tmp_path / name.replace(" ", "-"), state))
        assert found.verdict is Verdict.RELATED, (name, found)
        assert found.similarity > 500, (name, found)


def test_noise_against_recognition_has_to_ruin_the_weights(base: Fingerprint, tmp_path: Path) -> None:
    similar = []
    for number, relative in enumerate((0.001, 0.1, 0.3, 0.5, 2.5)):
        found = compare(base, of_state(tmp_path / str(number), with_noise(BASE, relative)))
        assert found.verdict is (Verdict.DIFFERENT if relative > 1 else Verdict.RELATED), (relative, found)
        similar.append(found.similarity)
    assert similar == sorted(similar, reverse=True)
    assert similar[3] > 800, "half as much noise as weight"


# --- hostile and odd -----------------------------------------------------------------------------


def _f32(values: list[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def _odd() -> Iterator[tuple[str, bytes]]:
    one = [0.5] * 4096
    spread = torch.randn(4096, generator=torch.Generator().manual_seed(1)).tolist()
    yield "zeros", _f32([0.0] * 4096)
    yield "a constant", _f32(one)
    yield "no numbers", b"\xff" * 4 * 4096
    yield "infinite", _f32([math.inf, -math.inf] * 2048)
    yield "too large", struct.pack("<4096f", *(3e38 if number % 2 else -3e38 for number in range(4096)))
    yield "mostly zeros", _f32([value if not number % 16 else 0.0 for number, value in enumerate(spread)])
    yield "a ramp of equal blocks", _f32([float(number // 8) for number in range(4096)])


@each("name, data", _odd())
def test_weights_that_say_nothing_match_nothing(name: str, data: bytes) -> None:
    tensors = {f"layers.{number}.w": ("F32", [64, 64], data) for number in range(8)}
    content = safetensors(tensors)
    made = fingerprint([("w", "safetensors")], lambda path: Ranged(path, len(content), {0: content}))
    assert not made.tensors, name
    assert any("say nothing" in line for line in made.left_out)
    assert compare(made, made).verdict is Verdict.UNKNOWN


def test_files_that_break_the_rules_are_said_to(tmp_path: Path) -> None:
    for name, data in {
        "overlapping": safetensors({"a": ("F32", [4], bytes(16))}).replace(b"[0,16]", b"[8,16]"),
        "cut": safetensors({"a": ("F32", [64, 64], bytes(4 * 4096))})[:-1],
        "absurd": safetensors({"a": ("F32", [2**62, 2**62], bytes(16))}),
        "gguf": b"GGUF" + bytes(300),
        "torch": b"PK\x03\x04" + bytes(300),
    }.items():
        kind = name if name in ("gguf", "torch") else "safetensors"
        made = fingerprint([("w", kind)], lambda path, data=data: Ranged(path, len(data), {0: data}))  # type: ignore[misc]
        assert not made.tensors
        assert made.left_out
        assert "not understood" in made.left_out[0]


def test_shapes_alone_say_where_samples_lie() -> None:
    for shape in ((1,), (16, 16), (7168, 2048), (129_280, 7168), (3, 5, 7, 64), (2**20, 2**20), (16_385, 1)):
        count = math.prod(shape)
        windows = windows_of(shape)
        assert sum(size for _, size in windows) <= 1024
        assert all(start >= 0 and start + size <= count for start, size in windows)
        assert all(start % 32 == 0 for start, _ in windows)


def test_names_are_brought_to_one_form() -> None:
    same = (
        "model.layers.3.self_attn.q_proj.weight",
        "module.model.layers.3.self_attn.q_proj.weight",
        "blk.3.attn_q.weight",
    )
    assert len({plain(name) for name in same}) == 1
    assert plain("transformer.h.3.attn.c_attn.weight") == "layers.3.attn.c_attn.weight"
    assert plain("model.") == "model."
    assert plain("blk.99999999.attn_q.weight") == "blk.99999999.attn_q.weight"


def r1_shaped(experts_of_a_layer: int) -> tuple[dict[str, bytes], dict[str, int]]:
    """Headers of shards with the tensors of DeepSeek-R1 in its real sizes, and the sizes of the shards."""
    tensors: dict[str, tuple[str, list[int]]] = {"model.embed_tokens.weight": ("BF16", [129_280, 7168])}

    def eight(name: str, rows: int, columns: int) -> None:
        tensors[f"{name}.weight"] = ("F8_E4M3", [rows, columns])
        tensors[f"{name}.weight_scale_inv"] = ("F32", [-(-rows // 128), -(-columns // 128)])

    for layer in range(61):
        at = f"model.layers.{layer}"
        for name, rows, columns in (("q_a_proj", 1536, 7168), ("q_b_proj", 24_576, 1536), ("kv_a_proj_with_mqa", 576, 7168), ("kv_b_proj", 32_768, 512), ("o_proj", 7168, 16_384)):  # fmt: skip
            eight(f"{at}.self_attn.{name}", rows, columns)
        experts = (
            ["mlp"]
            if layer < 3
            else ["mlp.shared_experts", *(f"mlp.experts.{number}" for number in range(experts_of_a_layer))]
        )
        for expert in experts:
            width = 18_432 if layer < 3 else 2048
            for name, rows, columns in (
                ("gate_proj", width, 7168),
                ("up_proj", width, 7168),
                ("down_proj", 7168, width),
            ):
                eight(f"{at}.{expert}.{name}", rows, columns)
    headers, sizes, shard, position, number = {}, {}, {}, 0, 0
    for name, (dtype, shape) in [*tensors.items(), ("", ("", [0]))]:
        size = math.prod(shape) * {"BF16": 2, "F32": 4, "F8_E4M3": 1, "": 0}[dtype]
        if not name or position + size > 4_300_000_000:
            text = json.dumps(shard, separators=(",", ":")).encode()
            path = f"model-{(number := number + 1):05}.safetensors"
            headers[path], sizes[path] = struct.pack("<Q", len(text)) + text, 8 + len(text) + position
            shard, position = {}, 0
        if name:
            shard[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + size]}
            position += size
    return headers, sizes


def test_of_the_largest_models_a_few_megabytes_are_read() -> None:
    headers, sizes = r1_shaped(32)
    assert sum(sizes.values()) > 80e9
    made = fingerprint(
        [(path, "safetensors") for path in sizes], lambda path: Ranged(path, sizes[path], {0: headers[path]})
    )
    ahead = sum(max(len(header), 64 * 1024) for header in headers.values())
    assert made.tensor_count > 10_000
    assert made.read_bytes - ahead < 4_000_000
    assert made.reads < 3 * len(headers) + 2 * MAX_SKETCHED


def test_a_record_is_read_back_and_anything_else_is_refused(base: Fingerprint) -> None:
    record = json.dumps(base.to_json()).encode()
    again = Fingerprint.from_bytes(record)
    assert again == base
    assert compare(again, base).verdict is Verdict.SAME
    value = json.loads(record)
    for change in (
        {"format": "weighbridge.fingerprint/2"},
        {"sketches": [["a", [1], "zz", "F32", "00"]]},
        {"sketches": ["a"]},
        {"sketches": [[1, 2, 3, 4, 5]]},
        {"sketches": [["a", [64, 64], "0" * 32, "F7", "00" * 32]]},
        {"weights": {}},
        {"read": 1},
    ):
        with pytest.raises(FormatError):
            Fingerprint.from_bytes(json.dumps({**value, **change}).encode())


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """A home with acme/tiny and acme/other in it; the other is wide enough for blocks of 256 values."""
    folder = tmp_path_factory.mktemp("fingerprints")
    command = InProcess(folder / "home")
    with pytest.MonkeyPatch.context() as monkeypatch:
        own_environment(monkeypatch)
        for name, state in (("tiny", BASE), ("other", OTHER)):
            model = write_safetensors(folder / name, state, shards=2)
            command("ingest", str(model), "--as", f"acme/{name}", "--without", "secrets", "--without", "malware")
        yield command


def test_the_command_names_the_sealed_revision_that_a_copy_comes_from(run: InProcess, tmp_path: Path) -> None:
    copy = write_safetensors(tmp_path / "copy", _renamed(each_matrix(BASE, torch.Tensor.bfloat16)))
    said = run("fingerprint", str(copy), "--json").json
    (nearest,) = said["nearest"]
    assert nearest["model"].startswith("acme/tiny@")
    assert nearest["likeness"]["verdict"] == "same"
    assert said["held_against"] == 2
    text = run("fingerprint", str(copy), "--quiet").out
    assert "\nsame\tacme/tiny@" in text
    # One against the other, and against what was written before.
    written = tmp_path / "tiny.json"
    written.write_text(run("fingerprint", "acme/tiny", "--json").out)
    assert run("fingerprint", str(copy), str(written)).out.startswith("same\t")
    assert run("fingerprint", "acme/other", str(written)).out.startswith("different\t")
    single = write_gguf(tmp_path / "x.gguf", OTHER, "Q8_0")
    assert run("fingerprint", str(single), "acme/other", "--json").json["likeness"]["grain"] == "Q8_0"


def test_an_inventory_says_in_which_type_a_copy_is_held(run: InProcess, tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_gguf(models / "blobs/sha256-0", OTHER, "Q4_K_M")
    write_gguf(models / "tuned.gguf", with_noise(OTHER, 0.05), "Q4_K_M")
    write_gguf(models / "stranger.gguf", decoder(3, hidden=512, layers=1), "Q4_K_M")
    write_safetensors(models / "whole", each_matrix(OTHER, torch.Tensor.bfloat16))
    packed = {
        name: torch.zeros(64, 512, dtype=torch.int32) if "proj" in name else value for name, value in OTHER.items()
    }
    write_safetensors(models / "gptq", packed)
    found = {line["place"]: line for line in run("inventory", str(models), "--json").json["models"]}
    assert {place: line["status_text"] for place, line in found.items()} == {
        "blobs/sha256-0": "copy (quantised Q4_K)",
        "tuned.gguf": "related (quantised Q4_K)",
        "stranger.gguf": "unknown",
        "whole/model.safetensors": "copy",
        "gptq/model.safetensors": "unknown",
    }
    notes = found["gptq/model.safetensors"]["notes"]
    assert any("7 tensors of I32" in note for note in notes)
    assert any(
        note.startswith("too little to tell, but 2 of its 2 sampled tensors alike those of acme/other")
        for note in notes
    )
    blob = found["blobs/sha256-0"]
    assert (blob["status"], blob["quantised"], blob["of"].partition("@")[0]) == ("copy", "Q4_K", "acme/other")
    for arguments in ((), ("--format", "markdown"), ("--format", "html")):
        assert "copy (quantised Q4_K)" in run("inventory", str(models), *arguments).out
    assert "Q4_K, 3 Q6_K" in run("fingerprint", str(models / "tuned.gguf")).out


def test_places_that_are_no_folder_are_told(run: InProcess, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe.json")
    for command in ("inventory", "fingerprint"):
        assert "cannot be read" in run(command, str(tmp_path / "loop"), code=1).err
    assert "not opened" in run("inventory", str(tmp_path / "pipe.json"), code=1).err
    assert "no fingerprint" in run("fingerprint", str(tmp_path / "pipe.json"), code=2).err
    data = write_gguf(tmp_path / "x.gguf", decoder(1, hidden=64, layers=1), "Q8_0").read_bytes()
    (tmp_path / "x.gguf").write_bytes(data[: len(data) // 2])
    assert "no tensor" in run("fingerprint", str(tmp_path / "x.gguf"), code=4).err


def test_what_is_kept_is_made_once_and_made_again_where_it_does_not_fit(run: InProcess) -> None:
    listed = run("fingerprint", "--all", "--json").json["models"]
    assert len(listed) == 2
    kept = {path: path.read_bytes() for path in run.home.glob("fingerprints/acme/*/*.json")}
    assert len(kept) == 2
    (tiny, good), (other, wrong) = sorted(kept.items(), key=lambda item: "other" in str(item[0]))
    for spoiled in (b"", b"{}", wrong, good[:-1], good.replace(b'"manifest_digest":"', b'"manifest_digest":"0')):
        tiny.write_bytes(spoiled)
        assert run("fingerprint", "--all", "--json").json["models"] == listed
        assert tiny.read_bytes() == good
    assert other.read_bytes() == wrong


@each("arguments, code", [((), 2), (("acme/none",), 3), (("./none",), 1), (("x", "--all"), 2)])
def test_what_cannot_be_asked_is_told(arguments: tuple[str, ...], code: int, run: InProcess) -> None:
    run("fingerprint", *arguments, code=code)


def test_a_model_without_weights_is_told(run: InProcess, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Nothing\n" * 50)
    ran = run("fingerprint", str(tmp_path), code=3)
    assert "safetensors, GGUF and torch" in ran.err
    (tmp_path / "bad.json").write_text("{}")
    assert "no fingerprint" in run("fingerprint", str(tmp_path / "bad.json"), code=2).err


def test_on_the_hub_a_model_is_told_by_ranged_reads(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_environment(monkeypatch)
    monkeypatch.setenv("WEIGHBRIDGE_HUB_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    folder = write_safetensors(tmp_path / "large", {**BASE, "extra": torch.zeros(3_000_000)}, shards=2)
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    commit = hub.repository("acme/large").commit({path.name: path for path in folder.iterdir()})
    said = InProcess(tmp_path / "home")("fingerprint", "hf://acme/large", "--json").json
    assert said["model"] == f"hf://acme/large@{commit}"
    assert said["config"] == {"names": ["LlamaForCausalLM"]}
    assert said["fingerprint"]["weights"]["types"] == {"F32": 28}
    assert said["fingerprint"]["read"]["bytes"] < 2_000_000
    assert (said["nearest"], said["held_against"]) == ([], 0)
