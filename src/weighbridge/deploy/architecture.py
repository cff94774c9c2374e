"""What a model's config.json says of its shape: enough to size a deployment, nothing that is ever executed.

Numbers that are absent, negative or absurd are None: sizing then says that it does not know, rather than guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from weighbridge.core.errors import FormatError
from weighbridge.core.ports import RangeReader
from weighbridge.formats.json_text import Json, read_json

MAX_NUMBER: Final = 1 << 40
MAX_WORD_CHARACTERS: Final = 128
_TEXT_PART: Final = ("text_config", "language_config", "llm_config")
"""Where composite models (vision and language) keep the language model's numbers."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """The shape of a model. Numbers are None where the configuration does not say them."""

    names: tuple[str, ...] = ()
    """`architectures`, for example `DeepseekV3ForCausalLM`."""
    model_type: str = ""
    dtype: str = ""
    """Of the weights as the configuration says: `bfloat16`, `float16`, `float32` …"""
    quantization: str = ""
    """`quant_method` of the quantisation stanza: `fp8`, `awq`, `gptq` …"""
    layers: int | None = None
    attention_heads: int | None = None
    key_value_heads: int | None = None
    hidden_size: int | None = None
    vocabulary: int | None = None
    context_length: int | None = None
    """Positions the model was made for."""
    experts: int | None = None
    asks_for_code: bool = False
    """Whether an `auto_map` would have a loader import Python that came with the model."""


def read_architecture(reader: RangeReader) -> Architecture:
    """The shape that a config.json describes.

    Raises:
        FormatError: it is no JSON object.
        StoreError, IntegrityError: it cannot be read.
    """
    value = read_json(reader).value
    if not isinstance(value, dict):
        raise FormatError(f"'{reader.path}' is no JSON object")
    return architecture_of(value)


def architecture_of(config: Mapping[str, Json]) -> Architecture:
    """The shape that a parsed configuration describes."""
    text = next((part for key in _TEXT_PART if isinstance(part := config.get(key), dict)), {})
    names = config.get("architectures")
    quantization = config.get("quantization_config", text.get("quantization_config"))
    return Architecture(
        names=tuple(name[:MAX_WORD_CHARACTERS] for name in names if isinstance(name, str))
        if isinstance(names, list)
        else (),
        model_type=_word(config, {}, "model_type"),
        dtype=_word(config, text, "torch_dtype", "dtype"),
        quantization=_word(quantization, {}, "quant_method") if isinstance(quantization, dict) else "",
        layers=_number(config, text, "num_hidden_layers", "n_layer", "num_layers"),
        attention_heads=_number(config, text, "num_attention_heads", "n_head"),
        key_value_heads=_number(config, text, "num_key_value_heads", "num_kv_heads"),
        hidden_size=_number(config, text, "hidden_size", "n_embd", "d_model"),
        vocabulary=_number(config, text, "vocab_size"),
        context_length=_number(config, text, "max_position_embeddings", "n_positions", "max_seq_len"),
        experts=_number(config, text, "n_routed_experts", "num_local_experts", "num_experts"),
        asks_for_code="auto_map" in config or "auto_map" in text,
    )


def _word(config: Mapping[str, Json], text: Mapping[str, Json], *keys: str) -> str:
    for part in (config, text):
        for key in keys:
            if isinstance(value := part.get(key), str):
                return value[:MAX_WORD_CHARACTERS]
    return ""


def _number(config: Mapping[str, Json], text: Mapping[str, Json], *keys: str) -> int | None:
    for part in (config, text):
        for key in keys:
            value = part.get(key)
            if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_NUMBER:
                return value
    return None
