"""Brings the names of tensors to one form, so that the same model under another wrapper, or in GGUF, has the same names.

Only what is known is changed: prefixes of wrappers, and llama.cpp's names of the usual parts of a decoder. A name that is not
known stays as it is.
"""

from __future__ import annotations

import re
from typing import Final

PREFIXES: Final = (
    "module.",
    "_orig_mod.",
    "base_model.model.",
    "model.",
    "transformer.",
    "language_model.",
    "text_model.",
    "backbone.",
    "decoder.",
)
_LAYER: Final = re.compile(r"^(?:layers|h|blocks|block|blk)\.(\d{1,6})\.")
_NUMBER: Final = re.compile(r"(?:^|[^0-9A-Za-z])(\d{1,6})(?:[^0-9A-Za-z]|$)")
_EXPERT: Final = re.compile(r"(?:^|\.)experts\.(\d{1,6})\.")
_STACKED: Final = re.compile(r"_exps\.weight$|\.experts\.[a-z_]+(?:\.weight)?$")
_GGUF_HEADS: Final = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "output": "lm_head",
    "rope_freqs": "inv_freq",
}
_GGUF_PARTS: Final = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_q_a": "self_attn.q_a_proj",
    "attn_q_b": "self_attn.q_b_proj",
    "attn_kv_a_mqa": "self_attn.kv_a_proj_with_mqa",
    "attn_kv_b": "self_attn.kv_b_proj",
    "attn_q_a_norm": "self_attn.q_a_layernorm",
    "attn_kv_a_norm": "self_attn.kv_a_layernorm",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate_inp": "mlp.gate",
    "ffn_gate_shexp": "mlp.shared_experts.gate_proj",
    "ffn_up_shexp": "mlp.shared_experts.up_proj",
    "ffn_down_shexp": "mlp.shared_experts.down_proj",
    "ffn_gate_exps": "mlp.experts.gate_proj",
    "ffn_up_exps": "mlp.experts.up_proj",
    "ffn_down_exps": "mlp.experts.down_proj",
}
COMPANIONS: Final = (
    "weight_scale",
    "weight_scale_inv",
    "input_scale",
    "SCB",
    "absmax",
    "quant_map",
    "nested_absmax",
    "nested_quant_map",
    "bitsandbytes__nf4",
    "bitsandbytes__fp4",
    "qzeros",
    "scales",
    "g_idx",
)
"""Last parts of the names of tensors that a quantiser adds: they are no part of the architecture."""
COMPUTED: Final = (
    "inv_freq",
    "position_ids",
    "masked_bias",
    "cos_cached",
    "sin_cached",
    "attn.bias",
    "num_batches_tracked",
)
"""Tensors that are computed and not learned: the same in every model of an architecture."""


def plain(name: str) -> str:
    """The name in the one form."""
    found = True
    while found:
        found = False
        for prefix in PREFIXES:
            if name.startswith(prefix) and len(name) > len(prefix):
                name, found = name.removeprefix(prefix), True
    layer = _LAYER.match(name)
    head, dot, rest = (name[layer.end() :] if layer else name).partition(".")
    known = (_GGUF_PARTS if layer and name.startswith("blk.") else {} if layer else _GGUF_HEADS).get(head, head)
    return f"layers.{layer[1]}.{known}{dot}{rest}" if layer else f"{known}{dot}{rest}"


def layer_of(name: str) -> int | None:
    """The first number in a name."""
    found = _NUMBER.search(name)
    return int(found[1]) if found else None


def is_added(name: str) -> bool:
    """Whether a quantiser added the tensor, or it is computed."""
    return name.rpartition(".")[2] in COMPANIONS or name.endswith(COMPUTED)


def expert_of(name: str) -> int | None:
    """The number of the expert that the tensor is a part of."""
    found = _EXPERT.search(name)
    return int(found[1]) if found else None


def holds_experts(name: str) -> bool:
    """Whether the tensor holds all experts of a layer, one after the other."""
    return _STACKED.search(name) is not None
