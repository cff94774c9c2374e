"""Small models that bring code of their own, or pickled weights, and load for real in transformers.

- `r1`: the R1-shaped repository (F8 weights with block scales, an extra prediction layer) with Python files that work:
  classes of the repository's own that inherit the algorithm of transformers, so that whatever differs in the results comes
  from what was done to the repository;
- `Transformers`: makes a tiny Llama as PyTorch's own pickle, and says what each of some folders answers.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support import deepseek

CONFIGURATION = '''"""Sizes and switches."""

from transformers.models.deepseek_v3.configuration_deepseek_v3 import DeepseekV3Config as Native


class DeepseekV3Config(Native):
    pass
'''
MODELING = '''"""The model.

Its experts can be multiplied by any implementation; transformers looks for `@use_experts_implementation` in this text to
know, and takes another one by default where it does not find it.
"""

from transformers.models.deepseek_v3 import modeling_deepseek_v3 as native

from .configuration_deepseek import DeepseekV3Config


class DeepseekV3Model(native.DeepseekV3Model):
    config_class = DeepseekV3Config


class DeepseekV3ForCausalLM(native.DeepseekV3ForCausalLM):
    config_class = DeepseekV3Config
'''


def r1(folder: Path) -> Path:
    """Writes the R1-shaped repository with code that works."""
    deepseek.build(folder, shards=3)
    (folder / "configuration_deepseek.py").write_text(CONFIGURATION)
    (folder / "modeling_deepseek.py").write_text(MODELING)
    return folder


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered: where its class is from, and the SHA-256 of its logits' bytes."""

    module: str
    logits: str
    largest: float
    tokens: tuple[int, ...]


class Transformers:
    """The real transformers in a process of its own, which is offline and keeps its files to itself. A context manager."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.remote_code_models"],
            env={**environment, "HF_HUB_OFFLINE": "1"},
            cwd=Path(__file__).resolve().parent.parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def _call(self, *words: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or "{}")
        assert "error" not in answer, answer
        assert answer, "the process ended"
        return dict(answer)

    def llama(self, folder: Path) -> Path:
        """Writes a tiny Llama with tied weights, its weights with `torch.save`."""
        folder.mkdir(parents=True)
        self._call("llama", str(folder))
        return folder

    def answer(self, folder: Path, *, trusted: bool = False) -> Answer:
        """Loads a folder, with or without trust in its code, and asks it the same as every other."""
        found = self._call("answer", str(folder), trusted)
        return Answer(**{**found, "tokens": tuple(found["tokens"])})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


# --- inside of the process ----------------------------------------------------------------------


def _llama(folder: str) -> dict[str, object]:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    configuration = LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True)
    model = LlamaForCausalLM(configuration).to(torch.bfloat16)
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    torch.save(model.state_dict(), Path(folder, "pytorch_model.bin"))
    return {"made": folder}


def _answer(folder: str, trusted: bool) -> dict[str, object]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=trusted)
    tokens = [1, 5, 9, 2, 33]
    if Path(folder, "tokenizer.json").exists():
        tokens = AutoTokenizer.from_pretrained(folder, trust_remote_code=trusted)("the rain in on").input_ids
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits
    assert bool(logits.isfinite().all())
    data = logits.contiguous().view(torch.uint8).numpy().tobytes()
    return {
        "module": type(model).__module__,
        "logits": hashlib.sha256(data).hexdigest(),
        "largest": float(logits.abs().max()),
        "tokens": tokens,
    }


def _serve() -> None:
    calls: dict[str, Callable[..., dict[str, object]]] = {"llama": _llama, "answer": _answer}
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import transformers  # noqa: F401 (while the caller does something else)

    for line in sys.stdin:
        name, *words = json.loads(line)
        try:
            answer = calls[name](*words)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve()
