"""Pickled weights become safetensors: bit for bit those that torch loads, or nothing at all."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import struct
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from tests.support.checkpoints import (
    Call,
    Id,
    Name,
    Raw,
    Revision,
    index_of,
    opcodes,
    pickled,
    storage,
    stream_checkpoint,
    tar_checkpoint,
    tensor,
    zip_checkpoint,
)
from tests.support.inspecting import rules_of
from weighbridge.core.errors import (
    Ambiguous,
    DigestMismatch,
    FormatError,
    IntegrityError,
    LimitExceeded,
    Malformed,
    MissingShard,
)
from weighbridge.formats import torch_pickle
from weighbridge.formats.held import Held
from weighbridge.formats.safetensors import LENGTH_BYTES, read_header
from weighbridge.remediate import equality, strides
from weighbridge.remediate.equality import FileDigests, file_digests, prove
from weighbridge.remediate.plan import Span

FLOATS = struct.pack("<6f", *range(6))
ONE = {"w": tensor(storage("0", 6), (2, 3))}


@pytest.fixture(scope="module")
def torch() -> ModuleType:
    import torch as module

    return module


def saved(torch: ModuleType, value: object, *, zipped: bool = True) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=zipped)
    return out.getvalue()


def same_bits(torch: ModuleType, one: Any, other: Any) -> bool:
    return (one.dtype, one.shape) == (other.dtype, other.shape) and bits(torch, one) == bits(torch, other)


def bits(torch: ModuleType, one: Any) -> bytes:
    return torch.empty(one.numel(), dtype=one.dtype).copy_(one.detach().flatten()).view(torch.uint8).numpy().tobytes()


def everything(torch: ModuleType) -> dict[str, Any]:
    """All types that safetensors has, and all ways to lay a tensor out."""
    torch.manual_seed(1)
    base = torch.randn(8, 6, 5)
    tensors = {
        f"dtype.{dtype}": torch.randint(0, 256, (3, 8), dtype=torch.uint8).view(dtype)
        for dtype in (
            torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
            torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.complex64, torch.float8_e4m3fn,
            torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz,
        )
    }  # fmt: skip
    return tensors | {
        "bool": torch.tensor([True, False, True]),
        "transposed": torch.randn(40, 30).t(),
        "permuted": base.permute(2, 0, 1),
        "channels_last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "stepped": torch.arange(100, dtype=torch.int16)[3:90:7],
        "column": torch.randn(9, 9).to(torch.bfloat16)[:, 4],
        "expanded": torch.randn(3, 1, 2).expand(3, 7, 2),
        "one value": torch.tensor(2.5).expand(11, 13),
        "windows": torch.arange(30.0).unfold(0, 5, 2),
        "offset": torch.arange(50.0)[7:19],
        "block": torch.randn(10, 10)[2:5, 3:9],
        "scalar": torch.tensor(3, dtype=torch.int64),
        "empty": torch.empty(0, 4),
        "empty view": torch.arange(10.0)[4:4],
        "parameter": torch.nn.Parameter(torch.randn(4)),
        'née "quoted"\n': torch.randn(2),
        "": torch.randn(1),
    }  # fmt: skip


@pytest.fixture(scope="module")
def real(torch: ModuleType) -> dict[str, bytes]:
    tensors = everything(torch)
    classic = {
        name: one for name, one in tensors.items() if "float8" not in name and "uint" not in name.replace("uint8", "")
    }
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    weight = torch.randn(5, 4)
    return {
        "zip": saved(torch, tensors),
        "stream": saved(torch, classic, zipped=False),
        "module": saved(torch, module.state_dict()),
        "module as stream": saved(torch, module.state_dict(), zipped=False),
        "tied": saved(
            torch, {"head": weight, "embedding": weight, "part": weight[1:3], "turned": weight.t(), "other": weight + 1}
        ),
        "wrapped": saved(torch, {"epoch": 3, "args": {"lr": [0.1, None]}, "state_dict": module.state_dict()}),
        "optimizer": saved(torch, {"state_dict": module.state_dict(), "optimizer": {"state": [torch.ones(2)]}}),
    }


def one_file(data: bytes, path: str = "pytorch_model.bin") -> Revision:
    return Revision({path: data})


# --- the same bits as torch ----------------------------------------------------------------------


@pytest.mark.parametrize("form", ["zip", "stream", "module", "module as stream", "tied"])
def test_every_tensor_is_what_torch_loads(torch: ModuleType, real: dict[str, bytes], form: str) -> None:
    revision = one_file(real[form])
    step = revision.convert()
    expected = torch.load(io.BytesIO(real[form]), weights_only=True)
    converted = load_safetensors(revision.made["model.safetensors"])
    assert converted.keys() == expected.keys()
    assert [name for name in expected if not same_bits(torch, converted[name], expected[name])] == []
    assert step.dropped == ("pytorch_model.bin",)


@pytest.mark.parametrize("form", ["zip", "stream", "module"])
def test_the_file_is_what_the_official_writer_writes(torch: ModuleType, real: dict[str, bytes], form: str) -> None:
    revision = one_file(real[form])
    revision.convert()
    loaded = torch.load(io.BytesIO(real[form]), weights_only=True)
    unshared = {name: one.detach().clone(memory_format=torch.contiguous_format) for name, one in loaded.items()}
    assert revision.made["model.safetensors"] == save_safetensors(unshared, metadata={"format": "pt"})


def test_any_cut_of_the_made_file_gives_the_same_bytes(real: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    revision = one_file(real["zip"])
    revision.convert()
    whole = revision.made
    monkeypatch.setattr(strides, "TILE_BYTES", 96)
    monkeypatch.setattr(strides, "BLOCK_BYTES", 40)
    for block in (7, 64):
        revision.convert(block)
        assert revision.made == whole


def test_what_lies_in_order_is_not_computed(real: dict[str, bytes]) -> None:
    revision = one_file(real["module"])
    step = revision.convert()
    assert all(isinstance(piece, Span) for piece in step.made[0].pieces[1:])


def test_the_stream_and_the_zip_form_of_a_module_become_the_same_file(torch: ModuleType) -> None:
    state = torch.nn.Linear(3, 2).state_dict()
    made = []
    for zipped in (True, False):
        revision = one_file(saved(torch, state, zipped=zipped))
        revision.convert()
        made.append(revision.made)
    assert made[0] == made[1]


def test_a_tar_of_old_torch_is_what_torch_loads(torch: ModuleType, tmp_path: Path) -> None:
    value = Call("collections", "OrderedDict", ([["a", Id(10)], ["b", Id("11")], ["c", Id(12)]],))
    data = tar_checkpoint(
        value,
        [(1, "FloatStorage", 6, FLOATS), (2, "LongStorage", 2, struct.pack("<2q", 7, -8))],
        [(10, 1, (3, 2), (1, 3), 0), (11, 2, (2,), (1,), 0), (12, 3, (2,), (1,), 1)],
        views=[(3, 1, 2, 3)],
    )
    old = tmp_path / "old.pth"
    old.write_bytes(data)
    expected = torch.load(old, weights_only=False)
    revision = one_file(data, "old.pth")
    step = revision.convert()
    converted = load_safetensors(revision.made["old.safetensors"])
    assert converted.keys() == expected.keys() == {"a", "b", "c"}
    assert all(same_bits(torch, converted[name], expected[name]) for name in expected)
    prove(step, revision.reader, revision.derived)


def test_a_view_of_a_storage_in_the_stream_form(torch: ModuleType) -> None:
    def view(*window: object) -> Id:
        return Id(("storage", Name("torch", "FloatStorage"), "s", "cpu", 6, tuple(window) or None))

    value = {"whole": tensor(view(), (6,)), "part": tensor(view("v", 2, 3), (2,), (1,), 1)}
    data = stream_checkpoint(value, [("s", 6, FLOATS)])
    expected = torch.load(io.BytesIO(data), weights_only=True)
    revision = one_file(data)
    revision.convert()
    converted = load_safetensors(revision.made["model.safetensors"])
    assert all(same_bits(torch, converted[name], expected[name]) for name in ("whole", "part"))
    beyond = stream_checkpoint({"part": tensor(view("v", 2, 3), (3,), (1,), 1)}, [("s", 6, FLOATS)])
    with pytest.raises(Malformed, match="'part' needs 16 bytes of a storage of 12"):
        one_file(beyond).plan()


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    sizes=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), max_size=5),
    offset=st.integers(0, 9),
    kind=st.sampled_from([("ByteStorage", 1), ("HalfStorage", 2), ("IntStorage", 4), ("DoubleStorage", 8)]),
    tile=st.integers(8, 200),
    block=st.integers(8, 100),
)
def test_any_strides_are_followed_as_torch_follows_them(
    torch: ModuleType,
    sizes: list[tuple[int, int]],
    offset: int,
    kind: tuple[str, int],
    tile: int,
    block: int,
) -> None:
    name, item = kind
    shape, steps = [size for size, _ in sizes], [step for _, step in sizes]
    count = offset + 1 + sum(max(0, size - 1) * step for size, step in sizes)
    data = bytes(index * 31 % 251 for index in range(count * item))
    dtype = {1: torch.uint8, 2: torch.float16, 4: torch.int32, 8: torch.float64}[item]
    flat = torch.frombuffer(bytearray(data), dtype=dtype)
    expected = torch.as_strided(flat, shape, steps, offset).contiguous()
    revision = one_file(zip_checkpoint({"w": tensor(storage("0", count, name), shape, steps, offset)}, {"0": data}))
    with pytest.MonkeyPatch.context() as patch:
        for module in (strides, equality):
            patch.setattr(module, "BLOCK_BYTES", block // 8 * 8)
        patch.setattr(strides, "TILE_BYTES", tile)
        patch.setattr(equality, "GROUP_BYTES", tile)
        step = revision.convert(13)
        proof = prove(step, revision.reader, revision.derived)
    assert same_bits(torch, load_safetensors(revision.made["model.safetensors"])["w"], expected)
    assert proof["artifacts"][0]["tensors"][0]["sha256"] == digest_of(torch, expected)


def digest_of(torch: ModuleType, value: Any) -> str:
    """What an auditor with torch computes."""
    return hashlib.sha256(bits(torch, value)).hexdigest()


# --- proof ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["zip", "stream", "tied"])
def test_the_proof_carries_a_digest_of_every_tensor_that_torch_confirms(
    torch: ModuleType, real: dict[str, bytes], form: str
) -> None:
    revision = one_file(real[form])
    proof = prove(revision.convert(), revision.reader, revision.derived)
    loaded = torch.load(io.BytesIO(real[form]), weights_only=True)
    tensors = proof["artifacts"][0]["tensors"]
    assert {one["name"]: one["sha256"] for one in tensors} == {
        name: digest_of(torch, one) for name, one in loaded.items()
    }
    assert {one["name"]: one["how"] for one in tensors} == {
        name: "span" if one.is_contiguous() else "gathered" for name, one in loaded.items()
    }
    assert proof["equality"]["tensors"] == len(loaded)


def test_one_changed_bit_of_any_tensor_ends_the_proof(real: dict[str, bytes]) -> None:
    revision = one_file(real["module"])
    step = revision.convert()
    good = revision.made["model.safetensors"]
    header = read_header(Held("x", good))
    for entry in header.tensors:
        bad = bytearray(good)
        bad[LENGTH_BYTES + header.header_bytes + entry.end - 1] ^= 1
        revision.made["model.safetensors"] = bytes(bad)
        with pytest.raises(DigestMismatch, match=entry.name):
            prove(step, revision.reader, revision.derived)


def test_a_renamed_reshaped_or_missing_tensor_ends_the_proof(real: dict[str, bytes]) -> None:
    revision = one_file(real["module"])
    step = revision.convert()
    good = revision.made["model.safetensors"]
    for old, new in ((b'"0.bias"', b'"0.bios"'), (b"[3,4]", b"[4,3]"), (b'"I64"', b'"F64"')):
        assert old in good
        revision.made["model.safetensors"] = good.replace(old, new)
        with pytest.raises(DigestMismatch):
            prove(step, revision.reader, revision.derived)


def test_the_plan_is_not_believed_by_the_proof(real: dict[str, bytes]) -> None:
    """Bytes of another tensor of the same size, planned and written without an error."""
    revision = one_file(real["module"])
    step = revision.convert()
    made = bytearray(revision.made["model.safetensors"])
    header = read_header(Held("x", bytes(made)))
    mean, var = (next(one for one in header.tensors if one.name == f"1.running_{name}") for name in ("mean", "var"))
    base = LENGTH_BYTES + header.header_bytes
    made[base + mean.begin : base + mean.end] = made[base + var.begin : base + var.end]
    revision.made["model.safetensors"] = bytes(made)
    with pytest.raises(DigestMismatch, match=r"1\.running_mean"):
        prove(step, revision.reader, revision.derived)


def test_digests_taken_while_writing_are_those_of_the_file(real: dict[str, bytes]) -> None:
    revision = one_file(real["zip"])
    revision.convert()
    data = revision.made["model.safetensors"]
    header = read_header(Held("x", data))
    for cut in (1, 5, 4096):
        digests = FileDigests(header)
        body = data[LENGTH_BYTES + header.header_bytes :]
        for start in range(0, len(body), cut):
            digests.update(body[start : start + cut])
        assert digests.finish() == file_digests(Held("x", data))
    with pytest.raises(Malformed):
        digests.update(b"x")
    short = FileDigests(header)
    short.update(body[:-1])
    with pytest.raises(Malformed):
        short.finish()


# --- names that share a tensor -------------------------------------------------------------------


def test_tied_names_are_all_written_and_the_metadata_says_so(real: dict[str, bytes]) -> None:
    revision = one_file(real["tied"])
    step = revision.convert()
    header = read_header(Held("x", revision.made["model.safetensors"]))
    assert dict(header.metadata) == {"format": "pt", "head": "embedding"}
    tensors = {one["name"]: one for one in step.proof["artifacts"][0]["tensors"]}
    assert tensors["head"]["tied_to"] == "embedding"
    assert not any("tied_to" in tensors[name] for name in ("embedding", "part", "turned", "other"))


def test_what_is_made_is_clean_by_our_own_inspection(real: dict[str, bytes]) -> None:
    for form in ("zip", "tied", "module as stream"):
        revision = one_file(real[form])
        revision.convert()
        assert rules_of("model.safetensors", revision.made["model.safetensors"]) == set()


def test_a_tied_tensor_named_format_does_not_pose_as_the_format(torch: ModuleType) -> None:
    revision = one_file(zip_checkpoint({"format": ONE["w"], "a": ONE["w"]}, {"0": FLOATS}))
    revision.convert()
    assert dict(read_header(Held("x", revision.made["model.safetensors"])).metadata) == {"format": "pt"}


def test_a_real_model_with_tied_weights_loads_and_answers_as_before(torch: ModuleType, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        tie_word_embeddings=True,
    )
    original = LlamaForCausalLM(config).eval()
    revision = one_file(saved(torch, original.state_dict()))
    revision.convert()
    config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(revision.made["model.safetensors"])
    loaded, info = LlamaForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info
    assert loaded.lm_head.weight.data_ptr() == loaded.model.embed_tokens.weight.data_ptr()
    tokens = torch.arange(10)[None]
    with torch.no_grad():
        assert torch.equal(original(tokens).logits, loaded.eval()(tokens).logits)


def test_several_threads_may_read_a_gathered_tensor_at_once(torch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strides, "TILE_BYTES", 256)
    revision = one_file(saved(torch, {"w": torch.randn(60, 50).t()}))
    step = revision.convert()
    piece = step.made[0].pieces[1]
    starts = [number * 97 % 11_900 for number in range(400)]
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda start: piece.read(revision.reader, start, start + 100), starts))
    whole = revision.made["model.safetensors"][-12_000:]
    assert parts == [whole[start : start + 100] for start in starts]


# --- which files, and what they become -----------------------------------------------------------


def shards(total: int = 2) -> dict[str, bytes]:
    return {
        f"pytorch_model-{number:05}-of-{total:05}.bin": zip_checkpoint({f"w{number}": ONE["w"]}, {"0": FLOATS})
        for number in range(1, total + 1)
    }


def test_shards_and_their_index_keep_their_numbers() -> None:
    files = shards()
    names = list(files)
    revision = Revision(files | {"pytorch_model.bin.index.json": index_of({"w1": names[0], "w2": names[1]})})
    step = revision.convert()
    assert set(revision.made) == {
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    }
    assert json.loads(revision.made["model.safetensors.index.json"]) == {
        "metadata": {"total_size": 48},
        "weight_map": {"w1": "model-00001-of-00002.safetensors", "w2": "model-00002-of-00002.safetensors"},
    }
    assert set(step.dropped) == set(revision.files)
    prove(step, revision.reader, revision.derived)


def test_a_shard_or_a_tensor_that_is_promised_and_missing_is_an_error() -> None:
    files = shards()
    first, second = files
    whole = {"w1": first, "w2": second}
    cases: list[tuple[dict[str, bytes], dict[str, str], type[Exception]]] = [
        ({first: files[first]}, whole, MissingShard),
        ({first: files[first]}, {}, MissingShard),
        (files, {"w1": first}, Ambiguous),
        (files, whole | {"w3": second}, Malformed),
        (files, {"w1": second, "w2": first}, Malformed),
        (files, whole | {"w3": "../../etc/passwd"}, Malformed),
        ({first: files[first], second: files[first]}, {}, Ambiguous),
    ]
    for held, table, error in cases:
        index = {"pytorch_model.bin.index.json": index_of(table)} if table else {}
        with pytest.raises(error):
            Revision(held | index).plan()


@pytest.mark.parametrize(
    ("path", "made"),
    [
        ("pytorch_model.bin", "model.safetensors"),
        ("pytorch_model.fp16.bin", "model.fp16.safetensors"),
        ("unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.safetensors"),
        ("adapter_model.bin", "adapter_model.safetensors"),
        ("1_Dense/pytorch_model.bin", "1_Dense/model.safetensors"),
        ("consolidated.00.pth", "consolidated.00.safetensors"),
        ("weights/best.pt", "weights/best.safetensors"),
        ("v1-5-pruned.ckpt", "v1-5-pruned.safetensors"),
        ("learned_embeds.bin", "learned_embeds.safetensors"),
    ],
)
def test_what_each_file_becomes(path: str, made: str) -> None:
    revision = one_file(zip_checkpoint(ONE, {"0": FLOATS}), path)
    assert revision.convert().dropped == (path,)
    assert set(revision.made) == {made}


def test_files_that_are_no_checkpoints_are_left_alone_and_said_to_be() -> None:
    others = {"config.json": b"{}", "data.bin": b"\x00" * 99, "model.gguf": b"GGUF", "old.ckpt": b"TensorFlow" * 60}
    assert Revision(others).plan() is None
    step = Revision(others | {"pytorch_model.bin": zip_checkpoint(ONE, {"0": FLOATS})}).plan()
    assert step is not None
    assert step.dropped == ("pytorch_model.bin",)
    assert [one["path"] for one in step.proof["left_alone"]] == ["old.ckpt"]


@pytest.mark.parametrize("data", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"\x80\x04}."])
def test_a_weight_file_that_is_no_checkpoint_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed, match=r"pytorch_model\.bin"):
        one_file(data).plan()


def test_state_of_a_training_run_is_dropped_unread_by_name() -> None:
    names = ("optimizer.pt", "scheduler.pt", "rng_state_3.pth", "training_args.bin", "a/scaler.pt")
    revision = Revision(dict.fromkeys(names, b"\x80\x04cos\nsystem\n."))
    step = revision.convert()
    assert set(step.dropped) == set(names)
    assert step.made == ()
    assert all("training" in one["why"] for one in step.proof["dropped"])


def test_a_second_copy_is_dropped_and_the_proof_says_how_far_they_agree() -> None:
    pickle = zip_checkpoint(ONE, {"0": FLOATS})
    original = one_file(pickle)
    original.convert()
    safe = original.made["model.safetensors"]
    evil = zip_checkpoint({"w": Call("os", "system", ("id",))}, {})
    cases = {pickle: True, zip_checkpoint({"v": ONE["w"]}, {"0": FLOATS}): False, evil: None}
    for data, same in cases.items():
        step = Revision({"pytorch_model.bin": data, "model.safetensors": safe}).convert()
        assert (step.dropped, step.made) == (("pytorch_model.bin",), ())
        (said,) = step.proof["dropped"]
        assert said.get("same") is same
        assert "not compared" in said["why"]
        assert ("os.system" in said.get("because", "")) == (same is None)


def test_pickles_are_not_dropped_for_safetensors_that_are_not_all_there() -> None:
    index = index_of({"w": "model-00001-of-00002.safetensors", "v": "model-00002-of-00002.safetensors"})
    with pytest.raises(MissingShard):
        Revision(
            {"pytorch_model.bin": zip_checkpoint(ONE, {"0": FLOATS}), "model.safetensors.index.json": index}
        ).plan()


def test_two_pickles_of_one_name_are_ambiguous() -> None:
    data = zip_checkpoint(ONE, {"0": FLOATS})
    with pytest.raises(Ambiguous, match="one name"):
        Revision({"model.pt": data, "model.pth": data}).plan()


# --- what is in the dictionary -------------------------------------------------------------------


def test_the_one_dictionary_of_weights_in_a_checkpoint_is_taken_and_the_rest_is_named(real: dict[str, bytes]) -> None:
    revision = one_file(real["wrapped"], "last.ckpt")
    step = revision.convert()
    assert {one.name for one in read_header(revision_reader(revision)).tensors} >= {"0.weight", "1.running_var"}
    left = step.proof["artifacts"][0]["left_behind"]
    assert "'epoch': the int 3" in left
    assert "'args': a dictionary" in left


def revision_reader(revision: Revision) -> Held:
    return Held("made", next(iter(revision.made.values())))


def test_tensors_beside_the_weights_are_not_lost_in_silence(real: dict[str, bytes]) -> None:
    with pytest.raises(Malformed, match="'optimizer' holds a tensor beside the weights"):
        one_file(real["optimizer"], "last.ckpt").plan()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"w": ONE["w"], "step": 3}, "'step' is the int 3 among tensors"),
        ({"w": ONE["w"], "inner": ONE}, "'inner' is a dictionary among tensors"),
        ({"model": ONE, "state_dict": ONE}, "which of its entries are the weights is not plain"),
        ({"encoder": ONE}, "which of its entries are the weights is not plain"),
        ({1: ONE["w"]}, "cannot be the name"),
        ({"__metadata__": ONE["w"]}, "cannot be the name"),
        ({"\ud800": ONE["w"]}, "cannot be the name"),
        ({"x" * 2000: ONE["w"]}, "a key of a dictionary is a long text"),
        ([ONE["w"]], "holds a list"),
        (ONE["w"], "holds a tensor"),
    ],
    ids=str,
)
def test_what_is_no_dictionary_of_tensors_is_refused(value: object, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        one_file(zip_checkpoint(value, {"0": FLOATS})).plan()


# --- hostile pickles -----------------------------------------------------------------------------

F = storage("0", 6)
HOOKS = Call("collections", "OrderedDict", ())


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"w": Call("os", "system", ("id",))}, r"it names 'os\.system'"),
        ({"w": Call("builtins", "eval", ("1",))}, r"builtins\.eval"),
        ({"w": Call("torch", "load", ("x",))}, r"torch\.load"),
        ({"w": Call("torch._utils", "_rebuild_qtensor", ())}, "_rebuild_qtensor"),
        ({"w": Call("torch._utils", "_rebuild_sparse_tensor", ())}, "_rebuild_sparse_tensor"),
        ({"w": Call("torch", "FloatStorage", ())}, r"calls 'torch\.FloatStorage'"),
        ({"w": tensor(storage("0", 6, "QInt8Storage"), (6,))}, r"torch\.QInt8Storage"),
        ({"w": tensor(storage("1", 1, "ComplexDoubleStorage"), (1,))}, "complex128, which safetensors does not know"),
        ({"w": tensor(F, (2, 3), (3, 1), 0, {"conj": True})}, "conjugated"),
        ({"w": tensor(F, (2, 3), (3, 1), 0, {}, {})}, "arguments that are not known"),
        ({"w": tensor(F, (7,))}, "needs 28 bytes of a storage of 24"),
        ({"w": tensor(F, (2, 3), (4, 1))}, "needs 28 bytes"),
        ({"w": tensor(F, (6,), (1,), 1)}, "needs 28 bytes"),
        ({"w": tensor(F, (0,), (1,), 7)}, "needs 28 bytes"),
        ({"w": tensor(F, (2, 3), (-3, 1), 3)}, "a size, stride or offset is the int -3"),
        ({"w": tensor(F, (-6,))}, "a size, stride or offset"),
        ({"w": tensor(F, (True, 6))}, "a size, stride or offset"),
        ({"w": tensor(F, (2, 3), (3,))}, "2 dimensions and 1 strides"),
        ({"w": tensor(F, [1] * 65)}, "at most 64"),
        ({"w": Call("torch._utils", "_rebuild_tensor_v2", (F, 0, (6,), (1,), 3, HOOKS))}, "requires a gradient"),
        ({"w": Call("torch._utils", "_rebuild_tensor_v2", (F, 0, (6,), (1,), True, {"a": 1}))}, "backward hooks"),
        ({"w": tensor("no storage", (1,))}, "made of what is no storage"),
        ({"w": tensor(storage("9", 6), (6,))}, "'9' is not in the archive"),
        ({"w": tensor(storage("0", 5), (5,))}, "has 24 bytes and the pickle says 20"),
        ({"w": tensor(storage("0", 1 << 61), (6,))}, "has 24 bytes and the pickle says"),
        ({"w": tensor(storage("0", -6), (6,))}, "a storage has the int -6 elements"),
        ({"w": tensor(storage("0", 6, location="meta"), (6,))}, "no device with bytes"),
        ({"w": tensor(Id(("module", Name("torch", "Tensor"), None, None)), (6,))}, "that of no storage"),
        ({"w": Raw(b"\x8c\x02os\x8c\x06system\x93")}, r"os\.system"),
        ({"w": Raw(b"(S'id'\nios\nsystem\n")}, "opcode"),
        ({"w": Raw(b"cos\nsystem\n(X\x02\x00\x00\x00ido")}, r"os\.system"),
        ({"w": Raw(b"\x82\x01")}, "EXT1"),
        ({"w": Raw(b"Pid\n")}, "PERSID"),
        ({"w": Raw(b"h\x63")}, "no entry 99"),
        ({"w": Raw(opcodes({}) + opcodes({"__class__": 1}) + b"b")}, "gives attributes to a dictionary"),
        ({"w": Raw(b"0" * 9)}, "holds too little"),
        ({"w": Raw(b"U\x01\xff")}, "not ASCII"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_pickle_that_is_not_fully_understood_is_refused(value: object, said: str) -> None:
    with pytest.raises(FormatError, match=said) as caught:
        one_file(zip_checkpoint(value, {"0": FLOATS, "1": bytes(16)})).plan()
    assert "pytorch_model.bin" in caught.value.message
    assert caught.value.hint


def test_numbers_that_overflow_are_limits() -> None:
    wide = {"w": tensor(F, [1 << 40] * 3, [0, 0, 0])}
    with pytest.raises(LimitExceeded, match="too many elements"):
        one_file(zip_checkpoint(wide, {"0": FLOATS})).plan()


def test_a_few_bytes_expanded_to_terabytes_are_refused() -> None:
    with pytest.raises(LimitExceeded, match="made of a checkpoint of"):
        one_file(zip_checkpoint({"w": tensor(F, (1 << 40,), (0,))}, {"0": FLOATS})).plan()
    many = {f"w{number}": tensor(F, (1 << 22,), (0,)) for number in range(99)}
    with pytest.raises(LimitExceeded, match="made of a checkpoint of"):
        one_file(zip_checkpoint(many, {"0": FLOATS})).plan()


def test_strides_that_would_take_forever_are_refused() -> None:
    value = {"w": tensor(storage("0", 54), [2] * 25, [0, 1] * 12 + [0])}
    with pytest.raises(LimitExceeded, match="runs"):
        one_file(zip_checkpoint(value, {"0": FLOATS * 9})).plan()


def test_bombs_of_opcodes_end_early(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("MAX_OPCODES", "MAX_TABLES"):
        monkeypatch.setattr(torch_pickle, limit, 100_000)
    loop = b"}q\x00" + b"h\x00" * 99_999
    for body in (
        b"N0" * 50_000,
        loop,
        b"}" * 99_999 + b"}",
        b"](" * 49_000 + b"N" + b"e" * 10,
        b")" + b"\x85" * 90_000,
    ):
        with pytest.raises(FormatError):
            one_file(zip_checkpoint(b"\x80\x02" + body + b".", {})).plan()


def test_a_dictionary_within_itself_is_no_trap() -> None:
    inside = Raw(b"}q\x01X\x01\x00\x00\x00dh\x01s")
    step = one_file(zip_checkpoint({"state_dict": ONE, "args": inside}, {"0": FLOATS}), "a.ckpt").plan()
    assert step is not None


def test_a_list_named_a_thousand_times_is_looked_at_once() -> None:
    many = b"".join(opcodes(f"k{number}") + b"h\x05" for number in range(900))
    long = b"](" + b"N" * 50_000 + b"eq\x05"
    body = b"\x80\x02}(" + opcodes("first") + long + many + opcodes("state_dict") + opcodes(ONE) + b"u."
    step = one_file(zip_checkpoint(body, {"0": FLOATS}), "a.ckpt").plan()
    assert step is not None
    assert len(step.proof["artifacts"][0]["left_behind"]) == 902
    with pytest.raises(LimitExceeded, match="not all can be named"):
        one_file(zip_checkpoint({"state_dict": ONE} | {f"k{n}": 1 for n in range(1100)}, {"0": FLOATS}), "a.pt").plan()


def test_a_key_set_twice_is_ambiguous() -> None:
    twice = b"\x80\x02}" + b"".join(opcodes("w") + opcodes(ONE["w"]) + b"s" for _ in range(2)) + b"."
    with pytest.raises(Ambiguous, match="set twice"):
        one_file(zip_checkpoint(twice, {"0": FLOATS})).plan()


def test_a_storage_described_in_two_ways_is_ambiguous() -> None:
    value = {"w": ONE["w"], "v": tensor(storage("0", 6, "IntStorage"), (6,))}
    with pytest.raises(Ambiguous, match="two ways"):
        one_file(zip_checkpoint(value, {"0": FLOATS})).plan()


# --- hostile containers --------------------------------------------------------------------------


def test_archives_that_readers_disagree_about_are_refused() -> None:
    good = zip_checkpoint(ONE, {"0": FLOATS})
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = zip_checkpoint(ONE, {"0": FLOATS}, more=[("data/0", FLOATS[::-1])])
    at = good.rfind(b"PK\x01\x02")
    local = bytearray(good)
    local[good.find(b"archive/data/0") + 13] = ord("1")
    cases = {
        "twice": (twice, "zip-duplicate-name"),
        "deflated": (zip_checkpoint(ONE, {"0": FLOATS}, packed=["data/0"]), "'archive/data/0' is packed"),
        "deflated pickle": (zip_checkpoint(ONE, {"0": FLOATS}, packed=["data.pkl"]), "'archive/data.pkl' is packed"),
        "big-endian": (zip_checkpoint(ONE, {"0": FLOATS}, byteorder=b"big"), "big-endian"),
        "two pickles": (good_and_other(), "2 members"),
        "script": (
            zip_checkpoint(ONE, {"0": FLOATS}, more=[("constants.pkl", b""), ("code/a.py", b"")]),
            "TorchScript",
        ),
        "stranger": (zip_checkpoint(ONE, {"0": FLOATS}, more=[("run.py", b"x")]), "none that torch.save writes"),
        "after the pickle": (zip_checkpoint(pickled(ONE) + b"x", {"0": FLOATS}), "something follows"),
        "local name": (bytes(local), "zip-"),
        "before": (b"PK\x03\x04" + good, "zip-"),
        "cut": (good[:-30], "zip-"),
        "no directory": (good[:at], "zip-"),
    }
    for name, (data, said) in cases.items():
        with pytest.raises(FormatError, match=said or None):
            print(name, one_file(data).plan())


def good_and_other() -> bytes:
    out = io.BytesIO(zip_checkpoint(ONE, {"0": FLOATS}))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("other/data.pkl", pickled({}))
    return out.getvalue()


def test_a_storage_that_nothing_names_is_left_behind_and_named() -> None:
    step = one_file(zip_checkpoint(ONE, {"0": FLOATS, "1": b"smuggled"})).convert()
    assert step.proof["artifacts"][0]["left_behind"] == ["the storage '1', which nothing names"]


def test_streams_that_lie_are_refused() -> None:
    value = {"w": tensor(Id(("storage", Name("torch", "FloatStorage"), "k", "cpu", 6, None)), (6,))}
    whole = ("k", 6, FLOATS)
    good = stream_checkpoint(value, [whole])
    assert one_file(good).plan() is not None
    cases = {
        "count": (stream_checkpoint(value, [("k", 5, FLOATS)]), "has 20 bytes and the pickle says 24"),
        "missing": (stream_checkpoint(value, []), "'k' is not in the file"),
        "twice": (stream_checkpoint(value, [whole, whole]), "listed twice"),
        "stranger": (stream_checkpoint(value, [whole, ("x", 6, FLOATS)]), "used nowhere"),
        "after": (stream_checkpoint(value, [whole], after=b"PK\x03\x04"), "4 bytes follow"),
        "endian": (stream_checkpoint(value, [whole], little_endian=False), "little-endian"),
        "cut": (good[:-1], "ends within"),
        "cut early": (good[: len(good) // 2], ""),
        "magic": (good.replace(b"\xe9\x03.", b"\xea\x03.").replace(b"J\xe9\x03", b"J\xea\x03"), "protocol"),
    }
    for name, (data, said) in cases.items():
        with pytest.raises((FormatError, IntegrityError), match=said or None):
            print(name, one_file(data).plan())


def test_tars_that_lie_are_refused() -> None:
    value, stored = {"w": Id(10)}, [(1, "FloatStorage", 6, FLOATS)]
    good = [(10, 1, (2, 3), (3, 1), 0)]
    assert one_file(tar_checkpoint(value, stored, good)).plan() is not None
    cases = {
        "strides": (tar_checkpoint(value, stored, [(10, 1, (2, 3), (4, 1), 0)]), "needs 28 bytes"),
        "negative": (tar_checkpoint(value, stored, [(10, 1, (2,), (-1,), 1)]), "stride"),
        "storage": (tar_checkpoint(value, stored, [(10, 2, (2,), (1,), 0)]), "no storage"),
        "twice": (tar_checkpoint(value, stored, good * 2), "twice"),
        "id": (tar_checkpoint({"w": Id(11)}, stored, good), "'11'"),
        "count": (tar_checkpoint(value, [(1, "FloatStorage", 7, FLOATS)], good), ""),
        "view": (tar_checkpoint(value, stored, good, views=[(3, 1, 4, 3)]), "beyond"),
        "call": (tar_checkpoint({"w": Call("os", "system", ("id",))}, stored, good), r"os\.system"),
        "cut": (tar_checkpoint(value, stored, good)[:1024], ""),
    }
    for name, (data, said) in cases.items():
        with pytest.raises((FormatError, IntegrityError), match=said or None):
            print(name, one_file(data, "old.pth").plan())


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_mutated_checkpoint_is_converted_as_torch_would_read_it_or_refused(
    torch: ModuleType, data: st.DataObject
) -> None:
    value = {"a": tensor(F, (3, 2), (1, 3)), "b": tensor(storage("1", 4, "HalfStorage"), (4,)), "c": ONE["w"]}
    legacy = {"a": tensor(Id(("storage", Name("torch", "FloatStorage"), "k", "cpu", 6, None)), (3, 2), (1, 3))}
    zipped = data.draw(st.booleans())
    bad = bytearray(pickled(value) if zipped else stream_checkpoint(legacy, [("k", 6, FLOATS)]))
    for _ in range(data.draw(st.integers(1, 3))):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.one_of(st.integers(0, 255), st.sampled_from(bad)))
    mutated = zip_checkpoint(bytes(bad), {"0": FLOATS, "1": b"12345678"}) if zipped else bytes(bad)
    revision = one_file(mutated)
    try:
        step = revision.convert()
    except (FormatError, IntegrityError):
        return
    prove(step, revision.reader, revision.derived)
    converted = load_safetensors(revision.made["model.safetensors"])
    try:
        expected = torch.load(io.BytesIO(mutated), weights_only=True)
    except (RuntimeError, pickle.UnpicklingError):
        return  # A device that is not here, or an opcode that only its unrestricted loader knows.
    assert converted.keys() == expected.keys()
    assert {name for name in expected if not same_bits(torch, converted[name], expected[name])} == set()
