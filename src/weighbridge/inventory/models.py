"""Sorts the files that were found into models, and reads what each says of itself.

- A folder with a `config.json`, an index or a `model_index.json` is one model with all weights in it; a `model_index.json` takes the
  folders below it as well. In other folders each file, with the other shards of its name, is a model.
- A cache of the Hub holds a model for each snapshot; blobs that no snapshot names are models of their own. In a store of Ollama the
  blobs are, under the names that its manifests give them.

What a model says of itself (folder name, config, card) is a claim, and is shown as one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from weighbridge.core.errors import FormatError, IntegrityError, SourceError, StoreError
from weighbridge.core.ports import RangeReader
from weighbridge.deploy.architecture import Architecture, architecture_of
from weighbridge.formats.bounded import read_whole
from weighbridge.formats.card import read_card
from weighbridge.formats.gguf import read_gguf
from weighbridge.formats.json_text import Json, parse
from weighbridge.inventory.places import Found
from weighbridge.inventory.weight_files import RUNS_CODE, stem_of

MAX_CONFIG_BYTES: Final = 4 * 1024 * 1024
MAX_CARD_BYTES: Final = 256 * 1024
MAX_MANIFESTS: Final = 10_000
MAX_MANIFEST_BYTES: Final = 64 * 1024
MAX_CLAIM_CHARACTERS: Final = 200
_MARKS: Final = ("config.json", "adapter_config.json", "model_index.json")
_SNAPSHOT: Final = re.compile(r"(?:^|/)models--([^/]+?)--([^/]+)/snapshots/([^/]+)(?:/|$)")
_REPOSITORY: Final = re.compile(r"(?:^|/)models--([^/]+?)--([^/]+)/")
_OLLAMA: Final = re.compile(r"(?:^|/)blobs/sha256[-:]([0-9a-f]{64})$")
_MANIFEST: Final = re.compile(r"(?:^|/)manifests/([^/]+)/([^/]+)/([^/]+)/([^/]+)$")

Open = Callable[[str], RangeReader]


@dataclass(frozen=True, slots=True)
class Claim:
    """A name that something near a model gives it. Nobody has proven it."""

    name: str
    said_by: str


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model where it lies: its weight files by path with their formats, and the files beside them."""

    place: str
    weights: Mapping[str, str]
    files: tuple[Found, ...]
    root: str = ""
    """The folder that paths are relative to, when they are compared with a revision's."""

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats of its weights."""
        return tuple(sorted(set(self.weights.values())))

    @property
    def size_bytes(self) -> int:
        """Of all its files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def weight_files(self) -> list[Found]:
        """The files with weights."""
        return [file for file in self.files if file.path in self.weights]


@dataclass(frozen=True, slots=True)
class SaidOfItself:
    """What a model says of itself. `notes` are what could not be read."""

    architecture: Architecture = field(default_factory=Architecture)
    claims: tuple[Claim, ...] = ()
    risks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def sort_models(files: Sequence[Found], formats: Mapping[str, str]) -> list[FoundModel]:
    """The models among all files; `formats` are those of the files that hold weights, by path."""
    targets = {file.target for file in files if file.target}
    by_folder: dict[str, list[Found]] = {}
    for file in files:
        if file.path not in targets:
            by_folder.setdefault(_folder(file.path), []).append(file)
    pipelines = sorted(folder for folder, held in by_folder.items() if _has(held, ("model_index.json",)))
    groups: dict[str, list[Found]] = {}
    for folder, held in by_folder.items():
        groups.setdefault(_pipeline_of(folder, pipelines), []).extend(held)
    models: list[FoundModel] = []
    for folder, held in sorted(groups.items()):
        weights = {file.path: formats[file.path] for file in held if file.path in formats}
        if weights and (folder in pipelines or _has(held, _MARKS) or any(_is_index(file.path) for file in held)):
            models.append(FoundModel(folder or ".", weights, tuple(held), folder))
        elif weights:
            models += _single(folder, held, weights)
    return models


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _has(held: Iterable[Found], names: Sequence[str]) -> bool:
    return any(file.path.rpartition("/")[2] in names for file in held)


def _is_index(path: str) -> bool:
    return path.endswith((".safetensors.index.json", ".bin.index.json"))


def _pipeline_of(folder: str, pipelines: Sequence[str]) -> str:
    """The outermost pipeline that a folder belongs to, or the folder itself."""
    return next((one for one in pipelines if not one or folder == one or folder.startswith(f"{one}/")), folder)


def _single(folder: str, held: Sequence[Found], weights: Mapping[str, str]) -> list[FoundModel]:
    stems: dict[str, list[Found]] = {}
    for file in held:
        if file.path in weights:
            stems.setdefault(stem_of(file.path), []).append(file)
    beside = [file for file in held if file.path not in weights and file.path.endswith((".py", "README.md"))]
    return [
        FoundModel(
            shards[0].path if len(shards) == 1 else stem,
            {file.path: weights[file.path] for file in shards},
            (*shards, *(beside if len(stems) == 1 else ())),
            folder,
        )
        for stem, shards in sorted(stems.items())
    ]


# --- what they say of themselves -----------------------------------------------------------------


def ollama_names(files: Sequence[Found], open_file: Open) -> dict[str, str]:
    """The names that manifests of Ollama give to digests."""
    names: dict[str, str] = {}
    listed = [(file, match) for file in files if (match := _MANIFEST.search(file.path))]
    for file, match in listed[:MAX_MANIFESTS]:
        try:
            value = parse(read_whole(open_file(file.path), MAX_MANIFEST_BYTES)).value
        except (FormatError, IntegrityError, SourceError, StoreError):
            continue
        layers = value.get("layers") if isinstance(value, dict) else None
        for layer in layers if isinstance(layers, list) else ():
            digest = layer.get("digest") if isinstance(layer, dict) else None
            if isinstance(digest, str):
                host, owner, name, tag = match.groups()
                short = f"{name}:{tag}" if owner == "library" else f"{owner}/{name}:{tag}"
                names.setdefault(digest.removeprefix("sha256:"), short if "ollama" in host else f"{host}/{short}")
    return names


def read_about(model: FoundModel, open_file: Open, names: Mapping[str, str]) -> SaidOfItself:
    """What a model says of itself; what cannot be read is a note."""
    claims, notes = _claims_of_place(model, names), list[str]()
    architecture = Architecture()
    files = {file.path: file for file in model.files}
    prefix = f"{model.root}/" if model.root else ""
    for name in (f"{prefix}config.json", f"{prefix}adapter_config.json"):
        if name in files:
            try:
                config = _object(read_whole(open_file(name), MAX_CONFIG_BYTES), name)
            except (FormatError, IntegrityError, SourceError, StoreError) as error:
                notes.append(f"'{name}' cannot be read: {error.message}")
                continue
            if name.endswith("/config.json") or name == "config.json":
                architecture = architecture_of(config)
            for key in ("_name_or_path", "base_model_name_or_path"):
                if isinstance(said := config.get(key), str) and said:
                    claims.append(Claim(said[:MAX_CLAIM_CHARACTERS], f"{name.rpartition('/')[2]}: {key}"))
    if f"{prefix}README.md" in files:
        found, problem = _card_claims(open_file, f"{prefix}README.md")
        claims += found
        notes += problem
    if not architecture.names and (gguf := next((p for p, kind in model.weights.items() if kind == "gguf"), "")):
        architecture, found = _of_gguf(open_file, gguf)
        claims += found
    return SaidOfItself(architecture, tuple(claims), tuple(_risks(model, architecture)), tuple(notes))


def _object(data: bytes, name: str) -> dict[str, Json]:
    value = parse(data).value
    if not isinstance(value, dict):
        raise FormatError(f"'{name}' is no JSON object")
    return value


def _claims_of_place(model: FoundModel, names: Mapping[str, str]) -> list[Claim]:
    first = next(iter(model.weights))
    if cached := _SNAPSHOT.search(first) or _REPOSITORY.search(first):
        commit = f"@{cached[3]}" if cached.re is _SNAPSHOT else ""
        return [Claim(f"{cached[1]}/{cached[2]}{commit}"[:MAX_CLAIM_CHARACTERS], "folder of the Hub's cache")]
    blob = _OLLAMA.search(first)
    if blob and blob[1] in names:
        return [Claim(names[blob[1]][:MAX_CLAIM_CHARACTERS], "manifest of Ollama")]
    return []


def _card_claims(open_file: Open, name: str) -> tuple[list[Claim], list[str]]:
    try:
        reader = open_file(name)
        card = read_card(reader.read(0, min(MAX_CARD_BYTES, reader.size_bytes)))
    except (FormatError, IntegrityError, SourceError, StoreError) as error:
        return [], [f"'{name}' cannot be read: {error.message}"]
    relation = f" ({card.base_model_relation})" if card and card.base_model_relation else ""
    bases = card.base_models[:8] if card else ()
    return [Claim(base[:MAX_CLAIM_CHARACTERS], f"README.md: base_model{relation}") for base in bases], []


def _of_gguf(open_file: Open, path: str) -> tuple[Architecture, list[Claim]]:
    try:
        pairs = read_gguf(open_file(path)).pairs
    except (FormatError, IntegrityError, SourceError, StoreError):
        return Architecture(), []
    kind = pairs.get("general.architecture")
    word = kind[:MAX_CLAIM_CHARACTERS] if isinstance(kind, str) else ""
    claims = [
        Claim(value[:MAX_CLAIM_CHARACTERS], f"GGUF: {key}")
        for key in ("general.name", "general.base_model.0.repo_url")
        if isinstance(value := pairs.get(key), str) and value
    ]

    def number(key: str) -> int | None:
        value = pairs.get(f"{word}.{key}")
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None

    return Architecture(
        model_type=word,
        layers=number("block_count"),
        attention_heads=number("attention.head_count"),
        hidden_size=number("embedding_length"),
        context_length=number("context_length"),
    ), claims


def _risks(model: FoundModel, architecture: Architecture) -> list[str]:
    words = {RUNS_CODE[kind] for kind in model.weights.values() if kind in RUNS_CODE}
    if architecture.asks_for_code:
        words.add("remote code")
    elif any(file.path.endswith(".py") for file in model.files):
        words.add("Python files")
    return sorted(words)
