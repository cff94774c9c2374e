"""Loads models by this project's plugin and by vLLM's own loader, within one process, and compares every parameter and buffer.

    python scripts/vllm_parameters.py FOLDER MODEL…

Run by the Python of an environment that has vLLM, weighbridge and the plugin, where a node's settings are
(`WEIGHBRIDGE_TRUST` and its like); `scripts/try_vllm.py` does. The last line of its output is one JSON document.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from vllm.config import set_current_vllm_config
from vllm.distributed import destroy_model_parallel, init_distributed_environment, initialize_model_parallel
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.model_loader import get_model_loader
from vllm.plugins import load_general_plugins


def loaded(folder: Path, load_format: str) -> dict[str, torch.Tensor]:
    """The model's state as a loader leaves it, before anything is made of it for a device."""
    asked = EngineArgs(str(folder), load_format=load_format, dtype="bfloat16", max_model_len=128, enforce_eager=True)
    config = asked.create_engine_config()
    with set_current_vllm_config(config):
        if not torch.distributed.is_initialized():
            init_distributed_environment(1, 0, f"file://{folder}.meeting", 0, backend="gloo")
        # Models with experts have a group more than others.
        destroy_model_parallel()
        initialize_model_parallel()
        loader = get_model_loader(config.load_config)
        loader.download_model(config.model_config)
        with torch.device("cpu"):
            torch.set_default_dtype(config.model_config.dtype)
            model = loader.create_model(vllm_config=config, model_config=config.model_config)
        for one in model.parameters():
            one.data.fill_(float("nan"))
        loader.load_weights(model, config.model_config)
        return {name: one.detach().clone() for name, one in model.named_parameters()}


def compared(name: str, folder: Path) -> dict[str, Any]:
    """How many parameters a model has, how many came out the same, and which did not."""
    program = Path(sys.executable).parent / "weighbridge"
    for kind, more in (("whole", ()), ("partial", ("--no-weights",))):
        subprocess.run([program, "fetch", f"acme/{name}", folder / kind, "--quiet", *more], check=True, env=os.environ)
    own, ours = loaded(folder / "whole", "safetensors"), loaded(folder / "partial", "weighbridge")
    assert own.keys() == ours.keys()
    differ = [key for key, one in own.items() if not torch.equal(one, ours[key])]
    return {"parameters": len(own), "same": len(own) - len(differ), "differ": differ[:5]}


def main() -> None:
    """Prints what was found of each model."""
    folder = Path(sys.argv[1])
    load_general_plugins()
    found = {}
    for name in sys.argv[2:]:
        try:
            found[name] = compared(name, folder / name)
        except (
            RuntimeError,
            AssertionError,
            ValueError,
            NotImplementedError,
            ImportError,
            TypeError,
            KeyError,
        ) as error:
            found[name] = {"failed": f"{type(error).__name__}: {error}"[:400]}
        print(name, found[name], file=sys.stderr, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
