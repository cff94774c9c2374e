"""Builds a tiny random model in the exact shape of the `deepseek-ai/DeepSeek-R1` repository, without torch.

Rules:

- layout, file names, tensor names, dtypes, configuration keys, special tokens and chat template are R1's; dimensions,
  vocabulary, weights and the text of the two Python files are our own;
- linear weights are F8_E4M3 with one F32 `weight_scale_inv` per block of 128 x 128, everything else is BF16; no value is
  NaN or infinite;
- the same arguments give the same bytes.

Limits: the weights mean nothing; one multi-token-prediction layer follows the last layer, as in R1.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = 128
HIDDEN = 128
INTERMEDIATE = 256
EXPERT = 128
HEADS = 4
NOPE, ROPE, VALUE = 64, 32, 32
Q_RANK, KV_RANK = 128, 128
EXPERTS = 8
DENSE_LAYERS = 3
PADDING_TENSOR = "padding.{shard:05}"

_ITEM_BYTES = {"F8_E4M3": 1, "U8": 1, "BF16": 2, "F32": 4}
# 0x7F and 0xFF are E4M3's only NaNs and it has no infinities.
_FINITE_F8 = bytes(0x7E if byte == 0x7F else 0xFE if byte == 0xFF else byte for byte in range(256))
# High bytes 0x3C and 0xBC make every BF16 lie between 0.0078 and 0.032, or its negative.
_SMALL_BF16_HIGH = bytes(0xBC if byte & 1 else 0x3C for byte in range(256))
_ONE_BF16 = b"\x80\x3f"


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor to be written; `fill` is `random` or `one`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    fill: str = "random"

    @property
    def size_bytes(self) -> int:
        """Bytes of its data."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count * _ITEM_BYTES[self.dtype]


def build(folder: Path, *, shards: int = 163, seed: int = 0, pad_bytes_per_shard: int = 0) -> Path:
    """Writes the repository into `folder` (made if absent) and returns it.

    Layers are added until every shard holds at least one tensor. `pad_bytes_per_shard` adds a U8 tensor of that size to
    each shard, for figures that need weight.
    """
    if shards < 1:
        raise ValueError("a model has at least one shard")
    layers = DENSE_LAYERS + 1
    while len(tensors := list(_tensors(layers))) < shards:
        layers += 1
    folder.mkdir(parents=True, exist_ok=True)
    _write_texts(folder, layers)
    weight_map: dict[str, str] = {}
    total = 0
    for number in range(1, shards + 1):
        name = f"model-{number:05}-of-{shards:06}.safetensors"
        chosen = tensors[(number - 1) * len(tensors) // shards : number * len(tensors) // shards]
        if pad_bytes_per_shard:
            chosen.append(Tensor(PADDING_TENSOR.format(shard=number), "U8", (pad_bytes_per_shard,)))
        _write_shard(folder / name, chosen, seed)
        weight_map.update({tensor.name: name for tensor in chosen})
        total += sum(tensor.size_bytes for tensor in chosen)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    _write_json(folder / "model.safetensors.index.json", index)
    return folder


# --- tensors ------------------------------------------------------------------------------------


def _tensors(layers: int) -> Iterator[Tensor]:
    """All tensors in the order in which R1 lays them over its shards."""
    vocabulary = len(_vocabulary()) + len(_LATE_TOKENS)
    yield Tensor("model.embed_tokens.weight", "BF16", (vocabulary, HIDDEN))
    for layer in range(layers):
        yield from _layer(f"model.layers.{layer}", dense=layer < DENSE_LAYERS)
    yield Tensor("model.norm.weight", "BF16", (HIDDEN,), "one")
    yield Tensor("lm_head.weight", "BF16", (vocabulary, HIDDEN))
    prediction = f"model.layers.{layers}"
    yield from _layer(prediction, dense=False)
    yield Tensor(f"{prediction}.embed_tokens.weight", "BF16", (vocabulary, HIDDEN))
    yield Tensor(f"{prediction}.enorm.weight", "BF16", (HIDDEN,), "one")
    yield Tensor(f"{prediction}.hnorm.weight", "BF16", (HIDDEN,), "one")
    yield Tensor(f"{prediction}.eh_proj.weight", "BF16", (HIDDEN, 2 * HIDDEN))
    yield Tensor(f"{prediction}.shared_head.norm.weight", "BF16", (HIDDEN,), "one")
    yield Tensor(f"{prediction}.shared_head.head.weight", "BF16", (vocabulary, HIDDEN))


def _layer(prefix: str, *, dense: bool) -> Iterator[Tensor]:
    attention = f"{prefix}.self_attn"
    yield from _linear(f"{attention}.q_a_proj", Q_RANK, HIDDEN)
    yield Tensor(f"{attention}.q_a_layernorm.weight", "BF16", (Q_RANK,), "one")
    yield from _linear(f"{attention}.q_b_proj", HEADS * (NOPE + ROPE), Q_RANK)
    yield from _linear(f"{attention}.kv_a_proj_with_mqa", KV_RANK + ROPE, HIDDEN)
    yield Tensor(f"{attention}.kv_a_layernorm.weight", "BF16", (KV_RANK,), "one")
    yield from _linear(f"{attention}.kv_b_proj", HEADS * (NOPE + VALUE), KV_RANK)
    yield from _linear(f"{attention}.o_proj", HIDDEN, HEADS * VALUE)
    if dense:
        yield from _feed_forward(f"{prefix}.mlp", INTERMEDIATE)
    else:
        yield Tensor(f"{prefix}.mlp.gate.weight", "BF16", (EXPERTS, HIDDEN))
        yield Tensor(f"{prefix}.mlp.gate.e_score_correction_bias", "BF16", (EXPERTS,))
        for expert in range(EXPERTS):
            yield from _feed_forward(f"{prefix}.mlp.experts.{expert}", EXPERT)
        yield from _feed_forward(f"{prefix}.mlp.shared_experts", EXPERT)
    yield Tensor(f"{prefix}.input_layernorm.weight", "BF16", (HIDDEN,), "one")
    yield Tensor(f"{prefix}.post_attention_layernorm.weight", "BF16", (HIDDEN,), "one")


def _feed_forward(prefix: str, width: int) -> Iterator[Tensor]:
    yield from _linear(f"{prefix}.gate_proj", width, HIDDEN)
    yield from _linear(f"{prefix}.up_proj", width, HIDDEN)
    yield from _linear(f"{prefix}.down_proj", HIDDEN, width)


def _linear(prefix: str, rows: int, columns: int) -> Iterator[Tensor]:
    blocks = (-(-rows // BLOCK), -(-columns // BLOCK))
    yield Tensor(f"{prefix}.weight", "F8_E4M3", (rows, columns))
    yield Tensor(f"{prefix}.weight_scale_inv", "F32", blocks)


def _data(tensor: Tensor, seed: int) -> bytes:
    draw = random.Random(f"{seed}:{tensor.name}")
    count = tensor.size_bytes // _ITEM_BYTES[tensor.dtype]
    if tensor.fill == "one":
        return _ONE_BF16 * count
    if tensor.dtype == "F8_E4M3":
        return draw.randbytes(count).translate(_FINITE_F8)
    if tensor.dtype == "F32":
        return b"".join(struct.pack("<f", draw.uniform(1e-4, 2e-4)) for _ in range(count))
    body = bytearray(draw.randbytes(2 * count))
    body[1::2] = body[1::2].translate(_SMALL_BF16_HIGH)
    return bytes(body)


def _write_shard(path: Path, tensors: list[Tensor], seed: int) -> None:
    """A safetensors file: eight bytes of header length, the header in JSON, the data without gaps."""
    ordered = sorted(tensors, key=lambda tensor: (-_ITEM_BYTES[tensor.dtype], tensor.name))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for tensor in ordered:
        stop = offset + tensor.size_bytes
        header[tensor.name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [offset, stop]}
        offset = stop
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(encoded)) + encoded)
        for tensor in ordered:
            if tensor.dtype == "U8":
                _write_padding(stream.write, tensor.size_bytes, f"{seed}:{tensor.name}")
            else:
                stream.write(_data(tensor, seed))


def _write_padding(write: object, size: int, key: str) -> None:
    assert callable(write)
    block = random.Random(key).randbytes(min(size, 1 << 20))
    for at in range(0, size, len(block)):
        write(block[: size - at])


# --- texts --------------------------------------------------------------------------------------


def _write_texts(folder: Path, layers: int) -> None:
    (folder / "figures").mkdir(exist_ok=True)
    (folder / "figures/benchmark.jpg").write_bytes(_JPEG)
    for name, body in {
        ".gitattributes": _GITATTRIBUTES,
        "LICENSE": _LICENSE,
        "README.md": _README,
        "configuration_deepseek.py": _CONFIGURATION,
        "modeling_deepseek.py": _MODELING,
    }.items():
        (folder / name).write_text(body, encoding="utf-8", newline="\n")
    _write_json(folder / "config.json", _config(layers))
    generation: dict[str, object] = {
        "_from_model_config": True,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "do_sample": True,
    }
    generation |= {"temperature": 0.6, "top_p": 0.95, "transformers_version": "4.39.3"}
    _write_json(folder / "generation_config.json", generation)
    _write_json(folder / "tokenizer.json", _tokenizer())
    _write_json(folder / "tokenizer_config.json", _tokenizer_config())


def write_tokenizer(folder: Path) -> int:
    """Writes R1's tokenizer, small, for a model of any architecture into a folder (made if absent); returns how many tokens it has."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "tokenizer.json", _tokenizer())
    _write_json(folder / "tokenizer_config.json", _tokenizer_config() | {"tokenizer_class": "PreTrainedTokenizerFast"})
    return len(_vocabulary()) + len(_LATE_TOKENS)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


_QUANTIZATION: dict[str, object] = {
    "activation_scheme": "dynamic",
    "fmt": "e4m3",
    "quant_method": "fp8",
    "weight_block_size": [BLOCK, BLOCK],
}
_ROPE_SCALING: dict[str, object] = {
    "beta_fast": 32,
    "beta_slow": 1,
    "factor": 40,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "original_max_position_embeddings": 4096,
    "type": "yarn",
}


def _config(layers: int) -> dict[str, object]:
    return {
        "architectures": ["DeepseekV3ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "auto_map": {
            "AutoConfig": "configuration_deepseek.DeepseekV3Config",
            "AutoModel": "modeling_deepseek.DeepseekV3Model",
            "AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM",
        },
        "aux_loss_alpha": 0.001,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "ep_size": 1,
        "first_k_dense_replace": DENSE_LAYERS,
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "initializer_range": 0.02,
        "intermediate_size": INTERMEDIATE,
        "kv_lora_rank": KV_RANK,
        "max_position_embeddings": 163840,
        "model_type": "deepseek_v3",
        "moe_intermediate_size": EXPERT,
        "moe_layer_freq": 1,
        "n_group": 4,
        "n_routed_experts": EXPERTS,
        "n_shared_experts": 1,
        "norm_topk_prob": True,
        "num_attention_heads": HEADS,
        "num_experts_per_tok": 2,
        "num_hidden_layers": layers,
        "num_key_value_heads": HEADS,
        "num_nextn_predict_layers": 1,
        "pretraining_tp": 1,
        "q_lora_rank": Q_RANK,
        "qk_nope_head_dim": NOPE,
        "qk_rope_head_dim": ROPE,
        "quantization_config": _QUANTIZATION,
        "rms_norm_eps": 1e-06,
        "rope_scaling": _ROPE_SCALING,
        "rope_theta": 10000,
        "routed_scaling_factor": 2.5,
        "scoring_func": "sigmoid",
        "seq_aux": True,
        "tie_word_embeddings": False,
        "topk_group": 2,
        "topk_method": "noaux_tc",
        "torch_dtype": "bfloat16",
        "transformers_version": "4.33.1",
        "use_cache": True,
        "v_head_dim": VALUE,
        "vocab_size": len(_vocabulary()) + len(_LATE_TOKENS),
    }


# --- the tokenizer ------------------------------------------------------------------------------

_EARLY_TOKENS = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>")
_LATE_TOKENS = (
    "<think>",
    "</think>",
    "<｜fim▁hole｜>",
    "<｜fim▁begin｜>",
    "<｜fim▁end｜>",
    "<｜User｜>",
    "<｜Assistant｜>",
    "<|EOT|>",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁calls▁end｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁call▁end｜>",
    "<｜tool▁outputs▁begin｜>",
    "<｜tool▁outputs▁end｜>",
    "<｜tool▁output▁begin｜>",
    "<｜tool▁output▁end｜>",
    "<｜tool▁sep｜>",
)
_MERGES = ("Ġ t", "h e", "i n", "Ġt he", "e r", "o n", "r e", "a t", "Ġ a", "o u", "in g", "Ġ s", "Ġ w", "e n", "o r")
_SPECIAL = {"<｜User｜>": False, "<｜Assistant｜>": False, "<think>": False, "</think>": False}


def _byte_letters() -> list[str]:
    """The printable letter of each byte in byte-level BPE, as GPT-2 defined them."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in kept else chr(next(others)) for byte in range(256)]


def _vocabulary() -> dict[str, int]:
    pieces = [*_EARLY_TOKENS, *sorted(_byte_letters()), *(merge.replace(" ", "") for merge in _MERGES)]
    return {piece: number for number, piece in enumerate(pieces)}


def _tokenizer() -> dict[str, object]:
    vocabulary = _vocabulary()
    added = {**{token: vocabulary[token] for token in _EARLY_TOKENS}}
    added |= {token: len(vocabulary) + number for number, token in enumerate(_LATE_TOKENS)}
    flags = {"single_word": False, "lstrip": False, "rstrip": False}
    splits = [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", r" ?[\p{L}\p{M}]+|\s+|[^\s\p{L}\p{M}\p{N}]+"]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    split_steps: list[dict[str, object]] = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False} for pattern in splits
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": token, **flags, "normalized": False, "special": _SPECIAL.get(token, True)}
            for token, number in added.items()
        ],
        "normalizer": {"type": "Sequence", "normalizers": []},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*split_steps, {**byte_level, "use_regex": False}]},
        "post_processor": {**byte_level, "trim_offsets": False, "use_regex": True},
        "decoder": {**byte_level, "add_prefix_space": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": vocabulary,
            "merges": list(_MERGES),
        },
    }


def _tokenizer_config() -> dict[str, object]:
    def token(content: str) -> dict[str, object]:
        flags = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
        return {"__type": "AddedToken", "content": content, **flags}

    begin, end, _ = _EARLY_TOKENS
    return {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": token(begin),
        "clean_up_tokenization_spaces": False,
        "eos_token": token(end),
        "legacy": True,
        "model_max_length": 16384,
        "pad_token": token(end),
        "sp_model_kwargs": {},
        "unk_token": None,
        "tokenizer_class": "LlamaTokenizerFast",
        "chat_template": CHAT_TEMPLATE,
    }


_TOOL_CALL = (
    "'<｜tool▁call▁begin｜>' + tool['type'] + '<｜tool▁sep｜>' + tool['function']['name'] + '\\n' + '```json' + '\\n'"
    " + tool['function']['arguments'] + '\\n' + '```' + '<｜tool▁call▁end｜>'"
)
CHAT_TEMPLATE = (
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
    "{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='') %}"
    "{%- for message in messages %}{%- if message['role'] == 'system' %}"
    "{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}"
    "{{bos_token}}{{ns.system_prompt}}"
    "{%- for message in messages %}"
    "{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<｜User｜>' + message['content']}}{%- endif %}"
    "{%- if message['role'] == 'assistant' and message['content'] is none %}{%- set ns.is_tool = false -%}"
    "{%- for tool in message['tool_calls']%}{%- if not ns.is_first %}"
    f"{{{{'<｜Assistant｜><｜tool▁calls▁begin｜>' + {_TOOL_CALL}}}}}{{%- set ns.is_first = true -%}}"
    f"{{%- else %}}{{{{'\\n' + {_TOOL_CALL}}}}}"
    "{{'<｜tool▁calls▁end｜><｜end▁of▁sentence｜>'}}{%- endif %}{%- endfor %}{%- endif %}"
    "{%- if message['role'] == 'assistant' and message['content'] is not none %}{%- if ns.is_tool %}"
    "{{'<｜tool▁outputs▁end｜>' + message['content'] + '<｜end▁of▁sentence｜>'}}{%- set ns.is_tool = false -%}"
    "{%- else %}{% set content = message['content'] %}{% if '</think>' in content %}"
    "{% set content = content.split('</think>')[-1] %}{% endif %}"
    "{{'<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>'}}{%- endif %}{%- endif %}"
    "{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{%- if ns.is_output_first %}"
    "{{'<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>' + message['content'] + '<｜tool▁output▁end｜>'}}"
    "{%- set ns.is_output_first = false %}{%- else %}"
    "{{'\\n<｜tool▁output▁begin｜>' + message['content'] + '<｜tool▁output▁end｜>'}}{%- endif %}{%- endif %}"
    "{%- endfor -%}{% if ns.is_tool %}{{'<｜tool▁outputs▁end｜>'}}{% endif %}"
    "{% if add_generation_prompt and not ns.is_tool %}{{'<｜Assistant｜><think>\\n'}}{% endif %}"
)

# --- the remaining files ------------------------------------------------------------------------

_LFS_PATTERNS = (
    "*.7z *.arrow *.bin *.bz2 *.ckpt *.ftz *.gz *.h5 *.joblib *.lfs.* *.mlmodel *.model *.msgpack *.npy *.npz *.onnx "
    "*.ot *.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors saved_model/**/* *.tar.* *.tar *.tflite *.tgz "
    "*.wasm *.xz *.zip *.zst *tfevents*"
)
_GITATTRIBUTES = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in _LFS_PATTERNS.split())

_README = """---
license: mit
library_name: transformers
---
# DeepSeek-R1

<p align="center">
  <img width="80%" src="figures/benchmark.jpg">
</p>

A tiny random model in the shape of DeepSeek-R1, for tests. Its answers mean nothing.
"""

_LICENSE = """MIT License

Copyright (c) 2023 DeepSeek

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""

_CONFIGURATION = '''from transformers.configuration_utils import PretrainedConfig
from transformers.utils import logging

logger = logging.get_logger(__name__)


class DeepseekV3Config(PretrainedConfig):
    """Sizes and switches of a DeepSeek-V3 model."""

    model_type = "deepseek_v3"
    keys_to_ignore_at_inference = ["past_key_values"]

    def __init__(
        self,
        vocab_size=129280,
        hidden_size=7168,
        intermediate_size=18432,
        moe_intermediate_size=2048,
        num_hidden_layers=61,
        num_nextn_predict_layers=1,
        num_attention_heads=128,
        n_shared_experts=1,
        n_routed_experts=256,
        num_experts_per_tok=8,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=False,
        **kwargs,
    ):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.moe_intermediate_size = moe_intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_nextn_predict_layers = num_nextn_predict_layers
        self.num_attention_heads = num_attention_heads
        self.n_shared_experts = n_shared_experts
        self.n_routed_experts = n_routed_experts
        self.num_experts_per_tok = num_experts_per_tok
        super().__init__(
            bos_token_id=bos_token_id,
            eos_token_id=eos_token_id,
            tie_word_embeddings=tie_word_embeddings,
            **kwargs,
        )
'''

_MODELING = """import math
import warnings
from typing import List, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import logging

from .configuration_deepseek import DeepseekV3Config

logger = logging.get_logger(__name__)
_CONFIG_FOR_DOC = "DeepseekV3Config"


class DeepseekV3RMSNorm(nn.Module):
    def __init__(self, hidden_size, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.variance_epsilon = eps

    def forward(self, hidden_states):
        variance = hidden_states.float().pow(2).mean(-1, keepdim=True)
        return self.weight * (hidden_states.float() * torch.rsqrt(variance + self.variance_epsilon)).to(hidden_states)


class DeepseekV3MLP(nn.Module):
    def __init__(self, config, hidden_size=None, intermediate_size=None):
        super().__init__()
        hidden_size = hidden_size or config.hidden_size
        intermediate_size = intermediate_size or config.intermediate_size
        self.gate_proj = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class MoEGate(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.top_k = config.num_experts_per_tok
        self.weight = nn.Parameter(torch.empty(config.n_routed_experts, config.hidden_size))
        self.e_score_correction_bias = nn.Parameter(torch.empty(config.n_routed_experts))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, hidden_states):
        scores = F.linear(hidden_states.float(), self.weight.float()).sigmoid()
        _, chosen = torch.topk(scores + self.e_score_correction_bias, k=self.top_k, dim=-1, sorted=False)
        return chosen, scores.gather(-1, chosen)


class DeepseekV3PreTrainedModel(PreTrainedModel):
    config_class = DeepseekV3Config
    base_model_prefix = "model"
    _no_split_modules = ["DeepseekV3DecoderLayer"]


class DeepseekV3Model(DeepseekV3PreTrainedModel):
    def __init__(self, config: DeepseekV3Config):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.norm = DeepseekV3RMSNorm(config.hidden_size)
        self.post_init()


class DeepseekV3ForCausalLM(DeepseekV3PreTrainedModel):
    _tied_weights_keys = ["lm_head.weight"]

    def __init__(self, config):
        super().__init__(config)
        self.model = DeepseekV3Model(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()
"""

# Eight by eight grey pixels, baseline: one table of ones, two one-symbol Huffman tables, one byte of scan.
_JPEG = b"".join(
    (
        b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00",
        b"\xff\xdb\x00\x43\x00" + b"\x01" * 64,
        b"\xff\xc0\x00\x0b\x08\x00\x08\x00\x08\x01\x01\x11\x00",
        b"\xff\xc4\x00\x14\x00\x01" + b"\x00" * 15 + b"\x00",
        b"\xff\xc4\x00\x14\x10\x01" + b"\x00" * 15 + b"\x00",
        b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x3f",
        b"\xff\xd9",
    )
)
