"""Writes tiny models of several architectures with transformers: random weights, a tokenizer with a chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.support.deepseek import write_tokenizer

_HEADS: Final = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}
_COMMON: Final = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "max_position_embeddings": 256}
MODELS: Final[dict[str, dict[str, Any]]] = {
    "tiny": {"model_type": "llama", **_COMMON, **_HEADS},
    "tied": {"model_type": "qwen2", **_COMMON, **_HEADS, "tie_word_embeddings": True},
    "experts": {
        "model_type": "qwen3_moe",
        **_COMMON,
        **_HEADS,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 64,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    },
    "mixtral": {"model_type": "mixtral", **_COMMON, **_HEADS, "num_local_experts": 4},
    "gemma": {"model_type": "gemma3_text", **_COMMON, **_HEADS, "query_pre_attn_scalar": 32},
    "gpt2": {"model_type": "gpt2", "n_embd": 128, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "latent": {
        "model_type": "deepseek_v3",
        **_COMMON,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "moe_intermediate_size": 64,
        "n_routed_experts": 8,
        "topk_method": "noaux_tc",
        "scoring_func": "sigmoid",
        "n_group": 2,
        "topk_group": 1,
        "num_experts_per_tok": 2,
        "first_k_dense_replace": 1,
        "kv_lora_rank": 512,
        "q_lora_rank": 64,
        "qk_rope_head_dim": 64,
        "qk_nope_head_dim": 128,
        "v_head_dim": 128,
    },
}
"""By name: what is said of the architecture. `tiny` is the one that chats."""


def write_model(name: str, folder: Path) -> Path:
    """Writes the model of a name into a folder, in several shards; returns the folder."""
    torch.manual_seed(len(name))
    words = write_tokenizer(folder)
    about = {"vocab_size": words, "bos_token_id": 0, "eos_token_id": 1, "dtype": "bfloat16"}
    shape = dict(MODELS[name])
    config = AutoConfig.for_model(shape.pop("model_type"), **about, **shape)
    model = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="300KB")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model with random weights\n")
    assert json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    return folder
