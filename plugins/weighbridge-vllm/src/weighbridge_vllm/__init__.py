"""Registers vLLM's load format `weighbridge`; see `loader`."""

from __future__ import annotations

__all__ = ["LOAD_FORMAT", "register"]

LOAD_FORMAT = "weighbridge"


def register() -> None:
    """What vLLM calls in each of its processes (entry point `vllm.general_plugins`). May be called again."""
    from vllm.model_executor.model_loader import register_model_loader

    from weighbridge_vllm.loader import WeighbridgeModelLoader

    register_model_loader(LOAD_FORMAT)(WeighbridgeModelLoader)
