"""Shapes of repositories: hostile ones with exactly the rules they break, and ordinary ones that break none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from weighbridge.inspectors.repository.inspector import RepositoryFile
from weighbridge.inspectors.subject import Fact

ORDINARY = [
    ".gitattributes", "README.md", "LICENSE", "config.json", "generation_config.json", "model.safetensors",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt",
]  # fmt: skip


class Shape(NamedTuple):
    """A repository and the rules, without their prefix, that it breaks."""

    name: str
    paths: list[str]
    facts: list[Fact]
    rules: set[str]

    @property
    def files(self) -> list[RepositoryFile]:
        """Its files; those whose name says so are empty."""
        return [RepositoryFile(path, 0 if "empty" in path else 100) for path in self.paths]


def template(path: str, digest: str, location: str = "chat_template") -> Fact:
    """A copy of a chat template."""
    return Fact("chat-template", path, location, digest)


def shards(index: str, *names: str) -> list[Fact]:
    """What an index says."""
    return [Fact("shard", index, "weight_map", name) for name in names]


def numbered(count: int, ending: str = "safetensors", stem: str = "model") -> list[str]:
    """The names of all shards."""
    return [f"{stem}-{number:05}-of-{count:05}.{ending}" for number in range(1, count + 1)]


INDEX = "model.safetensors.index.json"

_NAMES: dict[str, str] = {
    "../evil.json": "name-escape", "a/../b.json": "name-escape", "/etc/passwd2": "name-escape", "a//b.json": "name-escape",
    "./a.json": "name-escape", "a\\b.json": "name-escape", "~/a.json": "name-escape",
    "con\u202egnp.txt": "name-hidden", "a\u200bb.json": "name-hidden", "a\x1bb.json": "name-hidden", "\ufeffa.json": "name-hidden",
    "a\u2066b.py": "name-hidden", "a\ue000.json": "name-hidden", "x\u3164.py": "name-hidden", "a\nb.json": "name-hidden",
    "con": "name-reserved", "NUL.txt": "name-reserved", "a/aux.json": "name-reserved", "com1.bin": "name-reserved",
    "LPT9.npy": "name-reserved", "prn.safetensors": "name-reserved", "dockerfile.pkl": "workflow",
    "a.": "name-reserved", "dir /a.json": "name-reserved", "a?.json": "name-reserved", "ab:c": "name-reserved", "a|b": "name-reserved",
    "model.safetensors.exe": "name-double", "config.json.py": "name-double", "README.md.lnk": "name-double",
    "model.gguf.pkl": "name-double", "image.png.scr": "name-double", "weights.bin.sh": "name-double",
    "cоnfig.json": "name-lookalike", "mоdel.safetensors": "name-lookalike", "tokenizеr.json": "name-lookalike",
    "confıg.json": "name-lookalike", "tokenizer․model": "name-lookalike", "mοdeling_x.py": "name-lookalike",
    "/".join("abcdefghijklmnopqrs") + ".json": "name-deep",
    "sitecustomize.py": "startup-code", "usercustomize.py": "startup-code", "lib/sitecustomize.py": "startup-code", "None.py": "startup-code",
    "torch.py": "shadowing", "transformers.py": "shadowing", "json.py": "shadowing", "numpy/__init__.py": "shadowing",
    "os.py": "shadowing", "safetensors/__init__.py": "shadowing", "typing.py": "shadowing",
    "handler.py": "runs-by-name", "hubconf.py": "runs-by-name", "conftest.py": "runs-by-name", "setup.py": "runs-by-name",
    "tests/conftest.py": "runs-by-name", "pkg/__main__.py": "runs-by-name", "noxfile.py": "runs-by-name", "x-1.0.dist-info/entry_points.txt": "runs-by-name", "tasks.py": "runs-by-name",
    ".github/workflows/ci.yml": "workflow", "Dockerfile": "workflow", "docker/Dockerfile.gpu": "workflow", "Makefile": "workflow",
    "docker-compose.yml": "workflow", ".vscode/tasks.json": "workflow", ".devcontainer/devcontainer.json": "workflow",
    ".gitlab-ci.yml": "workflow", ".envrc": "workflow", ".pre-commit-config.yaml": "workflow", ".idea/workspace.xml": "workflow",
    ".env": "credentials", ".env.local": "credentials", ".netrc": "credentials", ".npmrc": "credentials", ".pypirc": "credentials",
    ".ssh/id_ed25519": "credentials", "keys/id_rsa": "credentials", ".aws/credentials": "credentials", ".git-credentials": "credentials",
    ".docker/config.json": "credentials", ".huggingface/token": "credentials", ".bash_history": "credentials",
    "server.pem": "credentials", "credentials.json": "credentials", "service-account.json": "credentials", ".kube/config": "credentials",
    ".git/config": "git-folder", ".git/hooks/post-checkout": "git-folder", "sub/.git/HEAD": "git-folder", ".gitmodules": "git-folder",
    ".GIT/hooks/pre-commit": "git-folder", ".gitconfig": "git-folder",
    ".hidden/payload.bin": "hidden-file", ".payload": "hidden-file", "a/.secret.json": "hidden-file", ".config/run.ini": "hidden-file",
    "extra_data.pickle": "loaded-pickle", "rng_state.pth": "loaded-pickle", "checkpoint-5/rng_state_3.pth": "loaded-pickle",
    "vocab.pkl": "loaded-pickle", "hf_bert_base.hnswSQ8_correct_phi_128.c_index_meta.dpr": "",
    "empty.safetensors": "weights-empty", "empty.gguf": "weights-empty", "onnx/empty.onnx": "weights-empty",
}  # fmt: skip


def _collisions() -> Iterator[Shape]:
    for one, other in (
        ("config.json", "Config.json"), ("README.md", "readme.MD"), ("a/b.json", "A/b.json"), ("\u00e9.json", "e\u0301.json"),
        ("ﬁle.json", "file.json"), ("stra\u00dfe.txt", "STRASSE.txt"), ("a", "a/b.json"), ("x.json", "x.json/y.json"),
    ):  # fmt: skip
        yield Shape(f"collision {one!a}", [one, other], [], {"name-collision"})


def _copies() -> Iterator[Shape]:
    differ = {"template-differs"}
    for one, other, location in (
        ("tokenizer_config.json", "chat_template.jinja", "chat_template"),
        ("tokenizer_config.json", "chat_template.json", "chat_template"),
        ("chat_template.jinja", "chat_template.json", "chat_template"),
        ("tokenizer_config.json", "model.gguf", "tokenizer.chat_template"),
        ("tokenizer_config.json", "quants/q4/model-Q4_K_M.gguf", "tokenizer.chat_template"),
        ("processor_config.json", "tokenizer_config.json", "chat_template"),
    ):
        facts = [template(one, "a"), template(other, "b", location)]
        yield Shape(f"templates {one} {other} {location}", [one, other], facts, differ)
    named = [template("tokenizer_config.json", "a", "chat_template.rag"), template("additional_chat_templates/rag.jinja", "b", "chat_template.rag")]  # fmt: skip
    yield Shape("named templates", ["tokenizer_config.json", "additional_chat_templates/rag.jinja"], named, differ)
    quants = [template("a.gguf", "a", "tokenizer.chat_template"), template("b.gguf", "b", "tokenizer.chat_template")]
    yield Shape("two quants", ["a.gguf", "b.gguf"], quants, differ)


def _code() -> Iterator[Shape]:
    for path, value in {
        "config.json": "modeling_x.X", "tokenizer_config.json": "tokenization_x.T", "sub/config.json": "modeling_x.X",
        "model_index.json": "unet/my_unet.MyUNet", "modules.json": "custom_st.Transformer", "a/config.json": "code/deep.X",
    }.items():  # fmt: skip
        yield Shape(
            f"code {path} {value}", [path, "other.py"], [Fact("code-reference", path, "x", value)], {"code-missing"}
        )


def _weights() -> Iterator[Shape]:
    names = numbered(4)
    facts = shards(INDEX, *names)
    yield Shape("shard missing", [INDEX, *names[:3]], facts, {"shard-missing"})
    yield Shape("only one shard", [INDEX, names[0]], facts, {"shard-missing"})
    yield Shape("no shards", [INDEX], facts, {"index-without-shards"})
    yield Shape(
        "shard in a folder missing",
        [f"t/{INDEX}", "t/" + names[0], *names[1:]],
        [*shards(f"t/{INDEX}", *names)],
        {"shard-missing"},
    )
    yield Shape("shard unnamed", [INDEX, *names, "model-00005-of-00005.safetensors"], facts, {"shard-unnamed"})
    yield Shape("other shards", [INDEX, *names, *numbered(2)], facts, {"shard-unnamed"})
    yield Shape("part without index", names[:3], [], {"shard-missing"})
    yield Shape("first part missing", numbered(3, "gguf")[1:], [], {"shard-missing"})
    yield Shape("part beyond", [*names, "model-00009-of-00004.safetensors"], [], {"shard-unnamed"})
    yield Shape("whole and sharded", [INDEX, *names, "model.safetensors"], facts, {"weights-ambiguous"})
    yield Shape(
        "data of a graph missing", ["m.onnx"], [Fact("file-reference", "m.onnx", "w", "m.onnx_data")], {"shard-missing"}
    )
    for one, other in (
        ("pytorch_model.bin", "model.safetensors"), ("adapter_model.bin", "adapter_model.safetensors"),
        ("unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.safetensors"), ("model.ckpt", "model.safetensors"),
        ("model.pt", "model.safetensors"), ("v1-5.ckpt", "v1-5.safetensors"),
    ):  # fmt: skip
        yield Shape(f"pickle {one}", [one, other], [], {"pickle-beside-safetensors"})
    bins = numbered(2, "bin", "pytorch_model")
    yield Shape("pickled shards", [*bins, *numbered(2)], [], {"pickle-beside-safetensors"})
    yield Shape("adapter", ["config.json", "adapter_config.json", "model.safetensors"], [], {"adapter-beside-model"})
    yield Shape("adapter in a folder", ["x/config.json", "x/adapter_config.json", *(f"x/{n}" for n in numbered(2))], [], {"adapter-beside-model"})  # fmt: skip


SHAPES: list[Shape] = [
    *(Shape(f"name {path!a}", [*ORDINARY, path], [], {rule} if rule else set()) for path, rule in _NAMES.items()),
    *_collisions(),
    *_copies(),
    *_code(),
    *_weights(),
]

_SAME = [
    template("tokenizer_config.json", "a"),
    template("chat_template.jinja", "a"),
    template("m.gguf", "a", "tokenizer.chat_template"),
]
CONTROLS: list[Shape] = [
    Shape("plain", ORDINARY, [], set()),
    Shape("sharded", [*ORDINARY[:5], INDEX, *numbered(163)], shards(INDEX, *numbered(163)), set()),
    Shape("sharded in folders", ["t/" + INDEX, *(f"t/{n}" for n in numbered(2))], shards("t/" + INDEX, *numbered(2)), set()),
    Shape("both formats", ["pytorch_model.bin.index.json", *numbered(2, "bin", "pytorch_model")], shards("pytorch_model.bin.index.json", *numbered(2, "bin", "pytorch_model")), set()),
    Shape("quants", ["README.md", *numbered(3, "gguf", "Q4_K_M/m-Q4_K_M"), "m-Q8_0.gguf"], [], set()),
    Shape("code", ["config.json", "modeling_x.py", "configuration_x.py"], [Fact("code-reference", "config.json", "auto_map", "modeling_x.X"), Fact("code-reference", "config.json", "auto_map", "configuration_x.C")], set()),
    Shape("code at the top for a folder", ["text/config.json", "modeling_x.py"], [Fact("code-reference", "text/config.json", "auto_map", "modeling_x.X")], set()),
    Shape("component", ["model_index.json", "unet/my_unet.py"], [Fact("code-reference", "model_index.json", "unet", "unet/my_unet.U")], set()),
    Shape("package", ["config.json", "code/__init__.py"], [Fact("code-reference", "config.json", "auto_map", "code.X")], set()),
    Shape("code elsewhere", ["config.json"], [Fact("code-reference-elsewhere", "config.json", "auto_map", "o/r--m.X")], set()),
    Shape("copies", ["tokenizer_config.json", "chat_template.jinja", "m.gguf"], _SAME, set()),
    Shape("named copies", ["tokenizer_config.json"], [template("tokenizer_config.json", "a", "chat_template.default"), template("tokenizer_config.json", "b", "chat_template.tool_use")], set()),
    Shape("models in folders", ["a/chat_template.jinja", "b/chat_template.jinja"], [template("a/chat_template.jinja", "a"), template("b/chat_template.jinja", "b")], set()),
    Shape("adapter", ["adapter_config.json", "adapter_model.safetensors", "README.md"], [], set()),
    Shape("diffusers", ["model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "vae/config.json", "vae/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json", "tokenizer/vocab.json"], [], set()),
    Shape("sentence", ["modules.json", "1_Pooling/config.json", "2_Normalize/config.json", "onnx/model.onnx", "openvino/openvino_model.bin", "openvino/openvino_model.xml"], [], set()),
    Shape("original", ["model.safetensors", "original/consolidated.00.pth", "original/params.json", "original/tokenizer.model"], [], set()),
    Shape("mistral", ["consolidated.safetensors", "params.json", INDEX, *numbered(2)], shards(INDEX, *numbered(2)), set()),
    Shape("hidden", [".gitattributes", ".gitignore", ".DS_Store", "a/.DS_Store", ".ipynb_checkpoints/a.ipynb", ".cache/huggingface/x", ".gitkeep", "._README.md"], [], set()),
    Shape("names", ["Modèle.json", "模型.safetensors", "модель.safetensors", "My Model (v1.0) [fp16].safetensors", "a+b=c,d@e.json", "v1.5-pruned.safetensors", "ae.safetensors"], [], set()),
    Shape("training", ["checkpoint-500/model.safetensors", "checkpoint-500/trainer_state.json", "checkpoint-500/training_args.bin", "runs/Dec01/events.out.tfevents.1"], [], set()),
    Shape("graph", ["m.onnx", "m.onnx_data"], [Fact("file-reference", "m.onnx", "w", "m.onnx_data"), Fact("file-reference", "m.onnx", "w2", "./m.onnx_data")], set()),
    Shape("python", ["modeling_x.py", "utils.py", "__init__.py", "src/__init__.py", "inference.py"], [], set()),
    Shape("other facts", ["README.md"], [Fact("licence", "README.md", "", "MIT"), Fact("unheard-of", "x", "", "y")], set()),
    Shape("nothing", [], [], set()),
]  # fmt: skip
