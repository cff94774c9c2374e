"""The tiny DeepSeek-R1 is complete, readable by the real reader, and the same for the same seed."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors

from tests.support.deepseek import BLOCK, CHAT_TEMPLATE, build


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read(shard: Path) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = safetensors.deserialize(shard.read_bytes())  # type: ignore[no-untyped-call]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("r1"))


@pytest.fixture(scope="module")
def tensors(folder: Path) -> dict[str, dict[str, Any]]:
    """All tensors as the real safetensors reader gives them, each shard read whole."""
    found: dict[str, dict[str, Any]] = {}
    for shard in sorted(folder.glob("*.safetensors")):
        for name, tensor in read(shard):
            assert name not in found
            found[name] = {**tensor, "file": shard.name}
    return found


def test_the_layout_is_r1s(folder: Path) -> None:
    shards = {f"model-{number:05}-of-000163.safetensors" for number in range(1, 164)}
    assert set(digests(folder)) == shards | {
        ".gitattributes",
        "LICENSE",
        "README.md",
        "config.json",
        "configuration_deepseek.py",
        "figures/benchmark.jpg",
        "generation_config.json",
        "model.safetensors.index.json",
        "modeling_deepseek.py",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_the_index_names_every_tensor_and_its_shard(folder: Path, tensors: dict[str, dict[str, Any]]) -> None:
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == {name: tensor["file"] for name, tensor in tensors.items()}
    assert len(set(index["weight_map"].values())) == 163
    sizes = [len(tensor["data"]) for tensor in tensors.values()]
    assert index["metadata"]["total_size"] == sum(sizes)


def test_every_quantized_weight_has_a_scale_per_block(tensors: dict[str, dict[str, Any]]) -> None:
    quantized = {name for name, tensor in tensors.items() if tensor["dtype"] == "F8_E4M3"}
    scales = {name for name, tensor in tensors.items() if tensor["dtype"] == "F32"}
    assert scales == {f"{name}_scale_inv" for name in quantized}
    for name in quantized:
        shape, blocks = tensors[name]["shape"], tensors[f"{name}_scale_inv"]["shape"]
        assert isinstance(shape, list)
        assert blocks == [math.ceil(extent / BLOCK) for extent in shape]
    assert {tensors[name]["dtype"] for name in set(tensors) - quantized - scales} == {"BF16"}


def test_every_value_is_finite(tensors: dict[str, dict[str, Any]]) -> None:
    for name, tensor in tensors.items():
        data = tensor["data"]
        assert isinstance(data, bytes | bytearray)
        if tensor["dtype"] == "F8_E4M3":
            assert not np.isin(np.frombuffer(data, np.uint8) & 0x7F, 0x7F).any(), name
        elif tensor["dtype"] == "BF16":
            widened = np.frombuffer(data, np.uint16).astype(np.uint32) << 16
            assert np.isfinite(widened.view(np.float32)).all(), name
        else:
            values = np.frombuffer(data, np.float32)
            assert (np.isfinite(values) & (values > 0)).all(), name


def test_shapes_agree_with_the_configuration(folder: Path, tensors: dict[str, dict[str, Any]]) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["DeepseekV3ForCausalLM"]
    layers = {int(name.split(".")[2]) for name in tensors if name.startswith("model.layers.")}
    assert layers == set(range(config["num_hidden_layers"] + config["num_nextn_predict_layers"]))
    assert tensors["lm_head.weight"]["shape"] == [config["vocab_size"], config["hidden_size"]]
    attention = "model.layers.0.self_attn"
    assert tensors[f"{attention}.kv_a_proj_with_mqa.weight"]["shape"] == [
        config["kv_lora_rank"] + config["qk_rope_head_dim"],
        config["hidden_size"],
    ]
    moe = config["first_k_dense_replace"]
    experts = {name.split(".")[5] for name in tensors if name.startswith(f"model.layers.{moe}.mlp.experts.")}
    assert len(experts) == config["n_routed_experts"]
    assert f"model.layers.{moe - 1}.mlp.gate_proj.weight" in tensors
    for module in config["auto_map"].values():
        file, _, name = module.partition(".")
        assert f"class {name}(" in (folder / f"{file}.py").read_text()


def test_the_python_files_compile(folder: Path) -> None:
    for name in ("configuration_deepseek.py", "modeling_deepseek.py"):
        compile((folder / name).read_text(), name, "exec")


def test_the_tokenizer_covers_every_byte_and_r1s_tokens(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    added = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    assert (added["<｜begin▁of▁sentence｜>"], added["<｜end▁of▁sentence｜>"]) == (0, 1)
    assert {"<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"} <= set(added)
    assert set(vocabulary.values()) | set(added.values()) == set(range(config["vocab_size"]))
    assert sum(len(piece) == 1 for piece in vocabulary) == 256
    for merge in tokenizer["model"]["merges"]:
        left, right = merge.split(" ")
        assert {left, right, left + right} <= set(vocabulary)
    assert json.loads((folder / "tokenizer_config.json").read_text())["chat_template"] == CHAT_TEMPLATE


def test_a_seed_decides_every_byte(tmp_path: Path) -> None:
    first = digests(build(tmp_path / "a", shards=5, seed=3))
    assert digests(build(tmp_path / "b", shards=5, seed=3)) == first
    other = digests(build(tmp_path / "c", shards=5, seed=4))
    assert {name for name in first if first[name] != other[name]} == {
        f"model-{number:05}-of-000005.safetensors" for number in range(1, 6)
    }


@pytest.mark.parametrize("shards", [1, 400])
def test_any_number_of_shards_is_filled(tmp_path: Path, shards: int) -> None:
    folder = build(tmp_path, shards=shards)
    written = sorted(folder.glob("*.safetensors"))
    assert len(written) == shards
    for shard in written:
        body = shard.read_bytes()
        header = json.loads(body[8 : 8 + struct.unpack("<Q", body[:8])[0]])
        assert len(header) >= 2


def test_padding_makes_shards_heavy_and_stays_readable(tmp_path: Path) -> None:
    plain = build(tmp_path / "plain", shards=3)
    heavy = build(tmp_path / "heavy", shards=3, pad_bytes_per_shard=3_000_000)
    for shard in plain.glob("*.safetensors"):
        grown = heavy / shard.name
        assert 3_000_000 < grown.stat().st_size - shard.stat().st_size < 3_001_000
        assert max(len(tensor["data"]) for _, tensor in read(grown)) == 3_000_000
    weight_map = json.loads((heavy / "model.safetensors.index.json").read_text())["weight_map"]
    assert weight_map["padding.00002"] == "model-00002-of-000003.safetensors"
