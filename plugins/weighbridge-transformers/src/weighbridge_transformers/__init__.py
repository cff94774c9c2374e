"""Loads approved models into transformers: proven files for configuration and tokenizer, proven tensors for the weights."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer

from weighbridge.serve.loader import VerifiedTensors, open_tensors
from weighbridge.serve.loading.partial import without_weights

__all__ = ["from_pretrained", "state_dict"]


def state_dict(reference: str, **options: Any) -> dict[str, torch.Tensor]:
    """All tensors of an approved revision; `options` are those of `weighbridge.serve.loader.open_tensors`.

    Raises:
        WeighbridgeError: something cannot be proven.
    """
    with open_tensors(reference, **options) as tensors:
        return _tensors(tensors)


def from_pretrained(
    reference: str,
    model_class: Any,
    *,
    trust: str | os.PathLike[str] | None = None,
    store: str = "",
    tokenizer: bool = True,
    **model_options: Any,
) -> tuple[Any, Any]:
    """A model of an approved revision, and its tokenizer (or None); `model_options` go to `model_class.from_pretrained`.

    Raises:
        WeighbridgeError: something cannot be proven.
        ValueError: remote code was asked for, or transformers does not know the architecture.
    """
    if model_options.get("trust_remote_code"):
        raise ValueError("the model's own code is not run: take trust_remote_code out")
    with (
        open_tensors(reference, trust=trust, store=store) as tensors,
        tempfile.TemporaryDirectory(prefix="weighbridge-") as name,
    ):
        folder = Path(name)
        for artifact in without_weights(tensors.revision.manifest):
            if artifact.path.endswith(".py"):
                continue
            path = folder / artifact.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(tensors.read_file(artifact.path))
        chosen: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        config = AutoConfig.from_pretrained(folder, **chosen)
        words = AutoTokenizer.from_pretrained(folder, **chosen) if tokenizer else None
        if hasattr(model_class, "from_config"):
            # An Auto class chooses the architecture by the configuration, and takes no state dict itself.
            with torch.device("meta"):
                model_class = type(model_class.from_config(config, trust_remote_code=False))
        model = model_class.from_pretrained(None, config=config, state_dict=_tensors(tensors), **model_options)
    return model, words


def _tensors(tensors: VerifiedTensors) -> dict[str, torch.Tensor]:
    return {name: torch.from_dlpack(tensor) for name, tensor in tensors.stream()}
