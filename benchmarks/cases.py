"""Writes every case of the tests' corpora and of the peers' published test files into a folder: one folder each.

`python -m benchmarks.cases OUT [--assets FOLDER]`, in the environment that the tests run in. `OUT/cases.jsonl`
names each case, its class, its side (`malicious`, `benign`, or `policy`: honest, but by design not let through without a
decision) and its path. A corpus that cannot be had here is named on standard output with the reason. Nothing is loaded.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

Side = Literal["malicious", "benign", "policy"]
LARGEST_BYTES = 64 * 1024 * 1024
PROGRAM = re.compile(r"\.(?:py|bat|cmd|ps1|js|cu|c|cpp|rb|pl)\Z")
"""Programs that a model brings along: honest ones need somebody's decision as well, which is what `policy` counts."""


@dataclass(frozen=True, slots=True)
class Case:
    """One file to be judged. `family` is the row it is counted in."""

    family: str
    name: str
    side: Side
    path: str
    data: bytes


def corpora() -> dict[str, Callable[[], Iterator[Case]]]:
    """All corpora by name; each is a function that imports what it needs."""
    return {
        "pickles": _pickles,
        "published bypasses": _bypasses,
        "pickle archives": _pickle_archives,
        "archives": _archives,
        "safetensors": _safetensors,
        "gguf": _gguf,
        "numpy": lambda: _rows("test_arrays", "HOSTILE", "numpy", "a.npy"),
        "flax": lambda: _rows("test_flax", "HOSTILE", "flax", "flax_model.msgpack"),
        "onnx": _onnx,
        "hdf5": lambda: _rows("test_graphs_hdf5", "CASES", "hdf5 and keras", "model.h5"),
        "hdf5 benign": lambda: _stored("test_graphs_hdf5", "hdf5 and keras", "model.h5"),
        "keras": _keras,
        "tensorflow": _tensorflow,
        "tflite": lambda: _rows("test_graphs_tflite", "CASES", "tensorflow", "model.tflite"),
        "configurations": _configurations,
        "tokenizers": _tokenizers,
        "templates": _templates,
        "python": _python,
        "notebooks and scripts": _notebooks,
        "cards": _cards,
        "media": _media,
        "families": _families,
        "malware": _malware,
        "secrets": _secrets,
    }


def _test(name: str) -> Any:
    return importlib.import_module(f"tests.{name}")


def _support(name: str) -> Any:
    return importlib.import_module(f"tests.support.{name}")


def _rows(module: str, table: str, family: str, path: str) -> Iterator[Case]:
    for name, data, *_ in getattr(_test(module), table):
        yield Case(family, name, "malicious", path, data)


def _stored(module: str, family: str, path: str) -> Iterator[Case]:
    stored = _support("graphs").stored
    for name in _test(module).BENIGN:
        yield Case(family, name, "benign", path, stored(f"{name}.h5"))


def _pickles() -> Iterator[Case]:
    for name, data, _ in _support("pickles").corpus():
        yield Case("pickle streams", name, "malicious", "model.pkl", data)


def _bypasses() -> Iterator[Case]:
    for name, data, *_ in _test("test_published_bypasses").CASES:
        yield Case("published pickle bypasses", name, "malicious", "model.pkl", data)


def _pickle_archives() -> Iterator[Case]:
    for name, (make, _rule) in _test("test_pickle_archives").TRICKS.items():
        data = make()
        yield Case("torch archives", name, "malicious", "model.pt" if data.startswith(b"PK") else "model.pkl", data)


def _archives() -> Iterator[Case]:
    for case in _support("archive_corpus").corpus():
        yield Case("archives", case.name, "malicious", case.path, case.data)


def _safetensors() -> Iterator[Case]:
    for name, data, _ in _support("safetensors_corpus").hostile():
        yield Case("safetensors", name, "malicious", "model.safetensors", data)
    safetensors = importlib.import_module("safetensors.numpy")
    numpy = importlib.import_module("numpy")
    for name, metadata in _test("test_metadata_text").HONEST.items():
        data = safetensors.save({"a": numpy.ones(2)}, metadata=metadata)
        yield Case("safetensors", name, "benign", "model.safetensors", data)


def _gguf() -> Iterator[Case]:
    corpus = _support("gguf_corpus")
    for name, data, _ in corpus.hostile():
        yield Case("gguf", name, "malicious", "model.gguf", data)
    for name, model in (("one tensor", corpus.sound()), ("vocabulary", corpus.vocabulary())):
        yield Case("gguf", name, "benign", "model.gguf", model.build())


def _onnx() -> Iterator[Case]:
    yield from _rows("test_graphs_onnx", "CASES", "onnx", "model.onnx")
    for name, data in _test("test_graphs_onnx").BENIGN.items():
        yield Case("onnx", name, "benign", "model.onnx", data)


def _keras() -> Iterator[Case]:
    module = _test("test_graphs_keras")
    for name, config, *_ in module.CASES:
        yield Case("hdf5 and keras", name, "malicious", "config.json", json.dumps(config).encode())
    yield from _rows("test_graphs_keras", "RAW", "hdf5 and keras", "config.json")
    for name, data in module.BENIGN.items():
        yield Case("hdf5 and keras", name, "benign", "config.json", data)


def _tensorflow() -> Iterator[Case]:
    module = _test("test_graphs_tensorflow")
    for name, path, data, *_ in module.CASES:
        yield Case("tensorflow", name, "malicious", path, data)
    for name, (path, data) in module.BENIGN.items():
        yield Case("tensorflow", name, "benign", path, data)


def _configurations() -> Iterator[Case]:
    corpus, controls = _support("config_corpus"), _support("config_controls")
    for case in corpus.HOSTILE:
        yield Case("configurations", case.name, "malicious", case.path, case.data)
    for path, data in controls.CONFIGS.items():
        yield Case("configurations", path, "benign", path, data)
    for name, value in corpus.configurations_of_transformers().items():
        yield Case("configurations", f"transformers {name}", "benign", "config.json", corpus.dump(value))


def _tokenizers() -> Iterator[Case]:
    corpus = _support("tokenizer_corpus")
    for case in corpus.HOSTILE_TOKENIZERS:
        yield Case("tokenizers", case.name, "malicious", case.path, case.data)
    for path, data in _support("config_controls").TOKENIZERS.items():
        yield Case("tokenizers", path, "benign", path, data)


def _templates() -> Iterator[Case]:
    """Every second one as the file of its own, the others as transformers kept them before: in the configuration."""
    module = _test("test_templates")

    def written(number: int, name: str, side: Side, text: str) -> Case:
        if number % 2:
            document = json.dumps({"chat_template": text}).encode("utf-8", "surrogatepass")
            return Case("chat templates", name, side, "tokenizer_config.json", document)
        return Case("chat templates", name, side, "chat_template.jinja", text.encode("utf-8", "surrogatepass"))

    for number, case in enumerate(module.HOSTILE):
        yield written(number, case.name, "malicious", case.text)
    for number, path in enumerate(module.PUBLISHED):
        yield written(number, path.stem, "benign", path.read_text())
    for number, (name, text) in enumerate(module.ORDINARY.items()):
        yield written(number, name, "benign", text)


def _python() -> Iterator[Case]:
    module = _test("test_python_code")
    for case in module.HOSTILE_PYTHON:
        yield Case("python code", case.name, "malicious", case.path, case.text.encode())
    for path in module.PUBLISHED:
        yield Case("remote code of publishers", path.stem, "policy", "modeling_x.py", path.read_bytes())


def _notebooks() -> Iterator[Case]:
    corpus = _support("notebook_corpus")
    for name, data, _ in corpus.HOSTILE_NOTEBOOKS:
        yield Case("notebooks and scripts", name, "malicious", "use.ipynb", data)
    for name, path, text, _ in corpus.HOSTILE_SCRIPTS:
        yield Case("notebooks and scripts", name, "malicious", path, text.encode())
    for path, text in corpus.ORDINARY_SCRIPTS.items():
        side: Side = "policy" if PROGRAM.search(path) or "pip install" in text else "benign"
        yield Case("notebooks and scripts", path, side, path, text.encode())


def _cards() -> Iterator[Case]:
    corpus = _support("card_corpus")
    for name, text, _ in corpus.HOSTILE_CARDS:
        whole = f"# Model\n\nSome words.\n\n{text}\n\nMore words.\n"
        yield Case("cards and requirements", name, "malicious", "README.md", whole.encode())
    for path, text in corpus.CARDS.items():
        yield Case("cards and requirements", path, "benign", path, text.encode())
    for name, text, rules in corpus.REQUIREMENTS:
        if rules != {"requirements-unpinned"}:
            side: Side = "malicious" if rules else "benign"
            yield Case("cards and requirements", name, side, "requirements.txt", text.encode())


def _media() -> Iterator[Case]:
    corpus = _support("media_corpus")
    both: tuple[tuple[Side, Any], ...] = (("malicious", corpus.HOSTILE), ("benign", corpus.HONEST))
    for side, media in both:
        for medium in media:
            yield Case("media", medium.name, side, medium.path, medium.data)


def _families() -> Iterator[Case]:
    for name, path, data, _ in _support("hostile_models").hostile():
        yield Case("other families", name, "malicious", path, data)
    for name, path, data in _support("honest_models").honest():
        yield Case("other families", name, "benign", path, data)


def _malware() -> Iterator[Case]:
    corpus = _support("malware_corpus")
    for sample in corpus.samples():
        yield Case("programs and commands", sample.name, "malicious", sample.path, sample.data)
    for sample in corpus.honest():
        # What quotes attacks to its reader, programs, and bytes of no known format are for somebody to decide.
        decided = (
            sample.name in ("model card", "installer", "notebook")
            or PROGRAM.search(sample.path)
            or sample.path.endswith(".bin")
        )
        side: Side = "policy" if decided else "benign"
        yield Case("programs and commands", sample.name, side, sample.path, sample.data)


def _secrets() -> Iterator[Case]:
    corpus = _support("secrets_corpus")
    for number, leak in enumerate(corpus.leaks()):
        yield Case("secrets", f"{leak.name} {number}", "malicious", leak.path, leak.data)
    for leak in corpus.controls():
        side: Side = "policy" if PROGRAM.search(leak.path) else "benign"
        yield Case("secrets", leak.name, side, leak.path, leak.data)


def benign(*, held_out: bool) -> Iterator[Case]:
    """What real libraries wrote: the part that the profiles were written by, or the part that was kept from that."""
    module = _support("benign_pack")
    families = {
        "tensors": "torch",
        "modules": "torch",
        "states": "torch",
        "trainer": "torch",
        "standard": "plain values",
    }
    prefix = "kept apart: " if held_out else "honest: "
    for part, controls in module.packed().items():
        for control in controls:
            if module.held_out(control.subject) is held_out:
                yield Case(prefix + families.get(part, part), control.name, "benign", control.path, control.data)


BAD = re.compile(r"exploit|attack|malicious|obfuscated|traversal|injection|decode_exec|nested_pickle|simple_nested")
GOOD = re.compile(r"/safe_|/benign|license_scenarios/.*\.(pkl|json|npy)$|/huggingface_model_cards/|sentencepiece/")
UNDECIDED = re.compile(r"edge_cases|suspicious|\.py$|\.md$|manifest\.json$")


def assets(folder: Path) -> Iterator[Case]:
    """The test files that the peers publish with their source, judged by the names that their authors gave them."""
    for path in sorted(folder.rglob("*")):
        name = "/" + path.relative_to(folder).as_posix()
        if not path.is_file() or "/assets/" not in name or UNDECIDED.search(name):
            continue
        side: Side | None = "malicious" if BAD.search(name) else "benign" if GOOD.search(name) else None
        if side is not None:
            last = "README.md" if path.name.endswith("README.txt") else path.name
            yield Case("test files of peers", name, side, last, path.read_bytes())


def collect(folder: Path | None, said: Callable[[str], None]) -> Iterator[Case]:
    """Everything that can be had here; `said` is told what cannot."""
    sources = corpora()
    sources["honest pickles"] = lambda: benign(held_out=False)
    sources["honest pickles, kept apart"] = lambda: benign(held_out=True)
    if folder is not None:
        sources["test files of peers"] = lambda: assets(folder)
    for name, make in sources.items():
        try:
            yield from make()
        except (ImportError, NameError, AttributeError, OSError) as error:
            said(f"not collected: {name}: {error}")


def write(cases: Iterable[Case], out: Path) -> int:
    """Writes each case into a folder of its own; returns how many. What has a path no file can have is left out."""
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    with (out / "cases.jsonl").open("w") as index:
        for case in cases:
            path = PurePosixPath(case.path)
            if path.is_absolute() or ".." in path.parts or "\0" in case.path or len(case.data) > LARGEST_BYTES:
                continue
            place = out / f"{count:05}" / path
            place.parent.mkdir(parents=True)
            place.write_bytes(case.data)
            line = {"id": f"{count:05}", "family": case.family, "name": case.name, "side": case.side, "path": str(path)}
            index.write(json.dumps(line) + "\n")
            count += 1
    return count


def main() -> int:
    """Writes the cases and says how many there are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--assets", type=Path)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    count = write(collect(chosen.assets, lambda text: print(text, flush=True)), chosen.out)
    print(f"{count} cases", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
