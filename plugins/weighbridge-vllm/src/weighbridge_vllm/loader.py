"""vLLM's model loader that streams proven tensors from an approved store.

`--model` is a folder of `weighbridge fetch --no-weights`; `--model-loader-extra-config` may hold `trust`, `store`, `streams` and
`memory_bytes`, as `weighbridge.serve.loader.open_partial` takes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from vllm.model_executor.model_loader.base_loader import BaseModelLoader

from weighbridge.serve.loader import VerifiedTensors, open_partial

OPTIONS = frozenset(("trust", "store", "streams", "memory_bytes"))
ELSEWHERE = {
    "secondary_weights": "reads a second set of weights, which is not approved with this one",
    "allow_patterns_overrides": "chooses files by patterns of its own, and gets here those that the index names",
}
"""Attributes by which a model of vLLM wants other files than the revision's index names: refused."""


class WeighbridgeModelLoader(BaseModelLoader):
    """Loads weights that were proven, and none that were not."""

    def __init__(self, load_config: Any) -> None:
        super().__init__(load_config)
        self._options: dict[str, Any] = dict(load_config.model_loader_extra_config or {})
        unknown = sorted(self._options.keys() - OPTIONS)
        if unknown:
            raise ValueError(f"the load format weighbridge does not know: {', '.join(unknown)}")

    def _open(self, model_config: Any) -> VerifiedTensors:
        return open_partial(model_config.model, **self._options)

    def download_model(self, model_config: Any) -> None:
        """Downloads nothing; returns when folder and revision can be proven."""
        self._open(model_config).close()

    def load_weights(self, model: torch.nn.Module, model_config: Any) -> None:
        """Hands the tensors of the revision to the model as they are proven.

        Raises:
            WeighbridgeError: something cannot be proven; nothing of it was handed over.
            ValueError: the model wants weights from elsewhere, or tensors are missing.
        """
        for attribute, what in ELSEWHERE.items():
            if getattr(model, attribute, None):
                raise ValueError(f"{type(model).__name__} {what}")
        with self._open(model_config) as tensors:
            loaded = model.load_weights(_as_torch(tensors))  # type: ignore[operator]
        if loaded is not None and getattr(model_config, "quantization", None) is None:
            missing = {name for name, _ in model.named_parameters()} - set(loaded)
            if missing:
                raise ValueError(f"the approved weights have nothing for {', '.join(sorted(missing)[:5])}")


def _as_torch(tensors: VerifiedTensors) -> Iterator[tuple[str, torch.Tensor]]:
    for name, tensor in tensors.stream():
        yield name, torch.from_dlpack(tensor)
