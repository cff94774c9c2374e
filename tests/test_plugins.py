"""The distributions under `plugins/`: transformers itself loads a model, and vLLM's loader does by the names vLLM has."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import folder_files
from tests.support.loading import Depot
from weighbridge.core.errors import ConfigError, DigestMismatch, IntegrityError, Revoked
from weighbridge.serve.loading.folder import FetchOptions, fetch
from weighbridge.serve.loading.partial import _Unwatched

R1 = tuple[Depot, Any, dict[str, torch.Tensor]]
PLUGINS = Path(__file__).parents[1] / "plugins"

VLLM = {
    "vllm/__init__.py": "",
    "vllm/model_executor/__init__.py": "",
    "vllm/model_executor/model_loader/__init__.py": """
from vllm.model_executor.model_loader.base_loader import BaseModelLoader
LOADERS = {}
def register_model_loader(load_format):
    def register(loader):
        if not issubclass(loader, BaseModelLoader):
            raise ValueError("no model loader")
        LOADERS[load_format] = loader
        return loader
    return register
""",
    "vllm/model_executor/model_loader/base_loader.py": """
from abc import ABC, abstractmethod
class BaseModelLoader(ABC):
    def __init__(self, load_config):
        self.load_config = load_config
    @abstractmethod
    def download_model(self, model_config): ...
    @abstractmethod
    def load_weights(self, model, model_config): ...
""",
}
"""vLLM's names and signatures as of 0.32. With the real one `scripts/try_vllm.py` does what is done here, and more."""


@pytest.fixture(scope="module")
def r1(tmp_path_factory: pytest.TempPathFactory) -> R1:
    """A store with a tiny model of DeepSeek-R1's architecture in shards, that model, and its weights as saved."""
    # Here, so that the process which runs other files only does not import it.
    from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

    torch.manual_seed(7)
    config = DeepseekV3Config(
        hidden_size=32,
        intermediate_size=48,
        moe_intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        n_routed_experts=8,
        n_group=2,
        topk_group=1,
        num_experts_per_tok=2,
        first_k_dense_replace=1,
        kv_lora_rank=8,
        q_lora_rank=8,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=8,
        vocab_size=64,
        max_position_embeddings=64,
    )
    model = DeepseekV3ForCausalLM(config).eval()
    folder = tmp_path_factory.mktemp("r1")
    model.save_pretrained(folder / "model", max_shard_size="50KB")
    depot = Depot(folder / "depot")
    shards = sorted((folder / "model").glob("*.safetensors"))
    weights = {name: tensor for shard in shards for name, tensor in load_file(shard).items()}
    depot.approve({path: file.read_bytes() for path, file in folder_files(folder / "model").items()}, name="acme/r1")
    return depot, model, weights


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Both plugins on the path, and what stands for vLLM."""
    for path, text in VLLM.items():
        (tmp_path / "vllm-like" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "vllm-like" / path).write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "vllm-like")
    for name in ("weighbridge-vllm", "weighbridge-transformers"):
        monkeypatch.syspath_prepend(PLUGINS / name / "src")
    monkeypatch.setenv("WEIGHBRIDGE_STATE", str(tmp_path / "state"))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in ("vllm", "weighbridge_vllm")]:
        del sys.modules[name]


@pytest.mark.usefixtures("plugins")
def test_transformers_loads_what_was_approved(r1: R1) -> None:
    from transformers import AutoModelForCausalLM
    from weighbridge_transformers import from_pretrained, state_dict

    depot, model, weights = r1
    loaded, words = from_pretrained("acme/r1", AutoModelForCausalLM, trust=depot.trust(), tokenizer=False)
    assert type(loaded).__name__ == "DeepseekV3ForCausalLM"
    assert words is None
    asked = torch.arange(12).reshape(1, 12)
    with torch.no_grad():
        assert torch.equal(loaded.eval()(asked).logits, model(asked).logits)
    saved = state_dict("acme/r1", trust=depot.trust())
    assert saved.keys() == weights.keys()
    assert all(tensor.equal(weights[name]) for name, tensor in saved.items())
    with pytest.raises(ValueError, match="trust_remote_code"):
        from_pretrained("acme/r1", AutoModelForCausalLM, trust=depot.trust(), trust_remote_code=True)


class Taking(torch.nn.Module):
    """A model as vLLM has them: it takes weights by name and says which it took."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.got: dict[str, torch.Tensor] = {}
        self.named = {name: torch.nn.Parameter(torch.zeros(1)) for name in names}

    def named_parameters(self, *_: Any, **__: Any) -> Any:
        return iter(self.named.items())

    def load_weights(self, weights: Any) -> set[str]:
        self.got.update((name, tensor.clone()) for name, tensor in weights)
        return set(self.got)


@pytest.fixture
def served(r1: R1, plugins: None, tmp_path: Path) -> tuple[Depot, Any, Any]:
    """The plugin's loader as vLLM finds it, and the configuration of a model whose folder has no weights."""
    depot, _, _ = r1
    registered = tomllib.loads((PLUGINS / "weighbridge-vllm" / "pyproject.toml").read_text())
    module, _, attribute = registered["project"]["entry-points"]["vllm.general_plugins"]["weighbridge"].partition(":")
    for _ in range(2):
        getattr(__import__(module), attribute)()
    from vllm.model_executor.model_loader import LOADERS  # type: ignore[import-not-found]

    with depot.node() as node:
        import threading

        options = FetchOptions(_Unwatched(), threading.Event(), 2, weights=False)
        fetch(node.approved, node.resolve("acme/r1"), tmp_path / "r1", options)
    loader = LOADERS["weighbridge"](SimpleNamespace(model_loader_extra_config={"trust": str(depot.trust())}))
    return depot, loader, SimpleNamespace(model=str(tmp_path / "r1"), quantization=None)


def test_vllm_gets_the_approved_weights_and_no_others(served: tuple[Depot, Any, Any], r1: R1) -> None:
    _, loader, config = served
    loader.download_model(config)
    true = r1[2]
    taking = Taking(*true)
    loader.load_weights(taking, config)
    assert taking.got.keys() == true.keys()
    assert all(tensor.equal(true[name]) for name, tensor in taking.got.items())
    with pytest.raises(ValueError, match="nothing for more"):
        loader.load_weights(Taking(*true, "more"), config)


def test_a_model_that_reads_other_weights_is_refused(served: tuple[Depot, Any, Any], r1: R1) -> None:
    _, loader, config = served
    for attribute, value in (("secondary_weights", ["other"]), ("allow_patterns_overrides", ["*er/*.safetensors"])):
        taking = Taking(*r1[2])
        setattr(taking, attribute, value)
        with pytest.raises(ValueError, match="Taking"):
            loader.load_weights(taking, config)
        assert taking.got == {}


def test_vllm_never_loads_by_a_folder_that_was_altered(served: tuple[Depot, Any, Any], r1: R1) -> None:
    _, loader, config = served
    file = Path(config.model) / "config.json"
    file.chmod(0o600)
    file.write_bytes(file.read_bytes().replace(b"64", b"46"))
    taking = Taking()
    with pytest.raises(IntegrityError):
        loader.load_weights(taking, config)
    (Path(config.model) / "WEIGHBRIDGE-PARTIAL.json").unlink()
    with pytest.raises(ConfigError):
        loader.download_model(config)
    assert taking.got == {}


def test_vllm_never_loads_altered_or_revoked_weights(served: tuple[Depot, Any, Any], r1: R1) -> None:
    depot, loader, config = served
    manifest = depot.manifests["acme/r1"]
    shards = [artifact.path for artifact in manifest.artifacts if artifact.path.endswith(".safetensors")]
    assert len(shards) > 1
    path = depot.path(manifest, shards[-1])
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        taking = Taking()
        with pytest.raises(DigestMismatch):
            loader.load_weights(taking, config)
        true = r1[2]
        assert all(tensor.equal(true[name]) for name, tensor in taking.got.items())
    finally:
        path.write_bytes(whole)
    depot.writer.revoke(manifest.model_name, manifest.revision, "found out")
    with pytest.raises(Revoked):
        loader.load_weights(Taking(), config)


@pytest.mark.usefixtures("plugins")
def test_an_unknown_option_is_refused() -> None:
    import weighbridge_vllm.loader

    with pytest.raises(ValueError, match="trust_remote_code"):
        weighbridge_vllm.loader.WeighbridgeModelLoader(
            SimpleNamespace(model_loader_extra_config={"trust_remote_code": True})
        )
