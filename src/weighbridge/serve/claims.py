"""Derives what the Hub says of a model beside its files: card, tags, task, library, architecture, numbers of parameters.

- All of it is what the publisher claims in files of the sealed revision, each held against the signed manifest before it is
  read: the front matter of `README.md`, `config.json`, the headers of safetensors files. Nothing of it is a judgement.
- A card or configuration that cannot be read claims nothing; the model is served all the same.
- What is said of a revision is made once and kept, at most `MAX_KEPT_BYTES` of it; texts and lists are cut (`MAX_TEXT`,
  `MAX_TAGS`). At most `READERS` revisions are read at a time, so that memory is bounded.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import FormatError, IntegrityError, LimitExceeded
from weighbridge.core.manifest import Artifact
from weighbridge.core.names import ModelName
from weighbridge.core.ports import ObjectStore
from weighbridge.formats import json_text
from weighbridge.formats.card import Card, read_card
from weighbridge.formats.safetensors import read_header
from weighbridge.vault.chunks import read_chunks
from weighbridge.vault.reading import read_range
from weighbridge.vault.records import SealedRevision

MAX_CARD_BYTES: Final = 4 * 1024 * 1024
MAX_CONFIG_BYTES: Final = 1024 * 1024
MAX_INDEX_BYTES: Final = 12 * 1024 * 1024
"""The index of DeepSeek-R1's 163 shards takes 9 MB."""
MAX_SHARDS: Final = 8
"""Files of weights whose headers are read; of a model of more, the index says how many parameters, if it does."""
MAX_TAGS: Final = 200
MAX_TEXT: Final = 200
MAX_KEPT_BYTES: Final = 16 * 1024 * 1024
READERS: Final = 2
_TASKS: Final = (
    ("ForCausalLM", "text-generation", "AutoModelForCausalLM"),
    ("LMHeadModel", "text-generation", "AutoModelForCausalLM"),
    ("ForSequenceClassification", "text-classification", "AutoModelForSequenceClassification"),
    ("ForTokenClassification", "token-classification", "AutoModelForTokenClassification"),
    ("ForQuestionAnswering", "question-answering", "AutoModelForQuestionAnswering"),
    ("ForMaskedLM", "fill-mask", "AutoModelForMaskedLM"),
    ("ForImageClassification", "image-classification", "AutoModelForImageClassification"),
    ("ForObjectDetection", "object-detection", "AutoModelForObjectDetection"),
    ("ForSemanticSegmentation", "image-segmentation", "AutoModelForSemanticSegmentation"),
    ("ForDepthEstimation", "depth-estimation", "AutoModelForDepthEstimation"),
    ("ForCTC", "automatic-speech-recognition", "AutoModelForCTC"),
    ("ForSpeechSeq2Seq", "automatic-speech-recognition", "AutoModelForSpeechSeq2Seq"),
    ("WhisperForConditionalGeneration", "automatic-speech-recognition", "AutoModelForSpeechSeq2Seq"),
    ("ForAudioClassification", "audio-classification", "AutoModelForAudioClassification"),
    ("CLIPModel", "zero-shot-image-classification", "AutoModel"),
)
"""What a class of transformers is for and which auto class loads it, by how its name ends; a card's own word on its task
overrules it."""
_LIBRARIES: Final = (
    ("model_index.json", "diffusers"),
    ("config_sentence_transformers.json", "sentence-transformers"),
    ("modules.json", "sentence-transformers"),
    ("adapter_config.json", "peft"),
)
_FORMATS: Final = {".safetensors": "safetensors", ".gguf": "gguf", ".onnx": "onnx", ".keras": "keras"}
_HIDDEN: Final = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,95}")
Told = Callable[[str, str, str], None]
Record = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Claims:
    """What is said of a revision; "" and empty where nothing is. `parameters` counts tensors' elements by type."""

    card: Mapping[str, JsonValue] = field(default_factory=dict)
    config: Mapping[str, JsonValue] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    pipeline_tag: str = ""
    library: str = ""
    base_models: tuple[str, ...] = ()
    parameters: Mapping[str, int] = field(default_factory=dict)
    total: int = 0
    auto_model: str = ""
    dated: str = ""
    """When the revision was published upstream, else when it came in, RFC 3339."""

    def to_record(self) -> Record:
        """The Hub's properties, as `GET /api/models/{id}` gives them; those of which nothing is known are left out."""
        record: Record = {"tags": [*self.tags]}
        if self.pipeline_tag:
            record["pipeline_tag"] = self.pipeline_tag
        if self.library:
            record["library_name"] = self.library
        if self.card:
            record["cardData"] = dict(self.card)
        if self.config:
            record["config"] = dict(self.config)
        if self.base_models:
            record["baseModels"] = [*self.base_models]
        if self.auto_model:
            record["transformersInfo"] = {"auto_model": self.auto_model, "pipeline_tag": self.pipeline_tag}
        if self.parameters:
            record["safetensors"] = {"parameters": dict(self.parameters), "total": self.total}
        return record


NOTHING: Final = Claims()


@dataclass(frozen=True, slots=True)
class _Kept:
    """The claims of the manifest with that digest, and what they take."""

    digest: str
    claims: Claims
    size_bytes: int


class ClaimsOf:
    """Reads the claims of revisions, and keeps them. Thread-safe; `of` blocks on the store, `peek` never does."""

    def __init__(self, store: ObjectStore, told: Told) -> None:
        self._store = store
        self._told = told
        self._lock = threading.Lock()
        self._few = threading.Semaphore(READERS)
        self._kept: OrderedDict[tuple[ModelName, str], _Kept] = OrderedDict()
        self._kept_bytes = 0

    def peek(self, sealed: SealedRevision) -> Claims | None:
        """What is known already."""
        manifest = sealed.manifest
        kept = self._kept.get((manifest.model_name, manifest.revision))
        return kept.claims if kept is not None and kept.digest == sealed.seal.manifest_digest else None

    def named(self, model_name: ModelName, revision: str) -> Claims | None:
        """What was known of a revision when it was last asked for, without opening it: enough to list it, not to serve it."""
        kept = self._kept.get((model_name, revision))
        return kept.claims if kept is not None else None

    def of(self, sealed: SealedRevision) -> Claims:
        """What the revision's files claim.

        Raises:
            StoreError: they cannot be read now.
        """
        if (known := self.peek(sealed)) is not None:
            return known
        with self._few:
            if (known := self.peek(sealed)) is not None:
                return known
            claims = _gathered(_Files(self._store, sealed, self._told))
        kept = _Kept(sealed.seal.manifest_digest, claims, len(json.dumps(claims.to_record())) + 300)
        key = (sealed.manifest.model_name, sealed.manifest.revision)
        with self._lock:
            before = self._kept.pop(key, None)
            self._kept_bytes += kept.size_bytes - (before.size_bytes if before is not None else 0)
            self._kept[key] = kept
            while self._kept_bytes > MAX_KEPT_BYTES:
                self._kept_bytes -= self._kept.popitem(last=False)[1].size_bytes
        return claims


# --- the files ---------------------------------------------------------------------------------------


class _Files:
    """Proven bytes of a revision's small files. What is no longer as it was sealed is told of, and claims nothing."""

    def __init__(self, store: ObjectStore, sealed: SealedRevision, told: Told) -> None:
        self._store = store
        self._sealed = sealed
        self._told = told
        self.dated = sealed.manifest.origin.published_at or sealed.manifest.created_at
        self.artifacts = {artifact.path: artifact for artifact in sealed.manifest.artifacts}

    def whole(self, path: str, limit: int) -> bytes:
        """The file; b"" where there is none, it is larger than the limit, or not what was sealed."""
        artifact = self.artifacts.get(path)
        if artifact is None or artifact.size_bytes > limit:
            return b""
        stored = self._sealed.placed[path]
        try:
            data = read_range(self._store, stored.key, 0, artifact.size_bytes, version_id=stored.version_id)
        except IntegrityError as error:
            return self._altered(path, error.message)
        if hashlib.sha256(data).hexdigest() != artifact.sha256:
            return self._altered(path, "it is not what was sealed")
        return data

    def beginning(self, artifact: Artifact) -> bytes:
        """The first chunk of a file, b"" where it is not what was sealed."""
        if not artifact.chunks:
            return b""
        buffer = bytearray(min(CHUNK_BYTES, artifact.size_bytes))
        placed = self._sealed.placed[artifact.path]
        try:
            for _, view in read_chunks(self._store, placed, artifact, (0,), buffer):
                return bytes(view)
        except IntegrityError as error:
            self._altered(artifact.path, error.message)
        return b""

    def _altered(self, path: str, why: str) -> bytes:
        self._told("nothing is said of a model's file", f"{self._sealed.manifest.reference} {path}", why)
        return b""


@dataclass(frozen=True, slots=True)
class _Beginning:
    """A file of which only the beginning is at hand; see `core.ports.RangeReader`."""

    path: str
    size_bytes: int
    data: bytes

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the beginning.

        Raises:
            LimitExceeded: others were asked for.
        """
        end = min(offset + length, self.size_bytes)
        if end > len(self.data):
            raise LimitExceeded(f"the header of '{self.path}' is longer than what is looked at")
        return self.data[offset:end]


# --- what they claim ---------------------------------------------------------------------------------


def _gathered(files: _Files) -> Claims:
    card = _card(files.whole("README.md", MAX_CARD_BYTES))
    config = _config(_json_object(files.whole("config.json", MAX_CONFIG_BYTES)))
    task, auto_model = _task(config)
    library = card.library if _WORD.fullmatch(card.library) else _library(files.artifacts, config)
    task = card.pipeline_tag if _WORD.fullmatch(card.pipeline_tag) else task
    if not task and library == "sentence-transformers":
        task = "sentence-similarity"
    parameters = _parameters(files)
    return Claims(
        card=_card_data(card),
        config=config,
        tags=tuple(_tags(card, library, files.artifacts, config)),
        pipeline_tag=task,
        library=library,
        base_models=tuple(_plain(card.base_models)),
        parameters=parameters,
        total=sum(parameters.values()),
        auto_model=auto_model,
        dated=files.dated,
    )


def _card(data: bytes) -> Card:
    try:
        return read_card(data) or Card()
    except FormatError:
        return Card()


def _json_object(data: bytes) -> dict[str, json_text.Json]:
    if not data:
        return {}
    try:
        found = json_text.parse(data).value
    except FormatError:
        return {}
    return found if isinstance(found, dict) else {}


def _config(found: Mapping[str, json_text.Json]) -> Record:
    """Architectures, kind and quantisation: of the Hub's `config` what tells how to load a model, and nothing that runs."""
    config: Record = {}
    architectures = found.get("architectures")
    if isinstance(architectures, list):
        words = [one for one in architectures[:20] if isinstance(one, str) and _WORD.fullmatch(one)]
        config.update({"architectures": list(words)} if words else {})
    kind = found.get("model_type")
    if isinstance(kind, str) and _WORD.fullmatch(kind):
        config["model_type"] = kind
    quantised = found.get("quantization_config")
    method = quantised.get("quant_method") if isinstance(quantised, dict) else None
    if isinstance(method, str) and _WORD.fullmatch(method):
        config["quantization_config"] = {"quant_method": method}
    return config


def _task(config: Record) -> tuple[str, str]:
    architectures = config.get("architectures")
    for one in architectures if isinstance(architectures, list) else []:
        for ending, task, auto_model in _TASKS:
            if str(one).endswith(ending):
                return task, auto_model
    return "", ""


def _library(paths: Iterable[str], config: Record) -> str:
    names = frozenset(paths)
    found = next((library for path, library in _LIBRARIES if path in names), "")
    if found:
        return found
    if "model_type" in config and "architectures" in config:
        return "transformers"
    return "gguf" if any(path.endswith(".gguf") for path in names) else ""


def _plain(texts: Iterable[str]) -> list[str]:
    """Texts fit to be shown: of bounded number and length, nothing invisible in them."""
    fit = (one for one in texts if len(one) <= MAX_TEXT and not any(unicodedata.category(c) in _HIDDEN for c in one))
    return list(dict.fromkeys(fit))[:MAX_TAGS]


def _card_data(card: Card) -> Record:
    """The fields of the front matter that are read, in the Hub's names; one value stands alone, as cards write it."""
    several = {
        "license": card.licences,
        "base_model": card.base_models,
        "datasets": card.datasets,
        "language": card.languages,
        "tags": card.tags,
    }
    data: Record = {}
    for name, texts in several.items():
        if plain := _plain(texts):
            data[name] = plain[0] if len(plain) == 1 and name in ("license", "base_model") else list(plain)
    for name, text in {
        "license_name": card.licence_name,
        "license_link": card.licence_link,
        "base_model_relation": card.base_model_relation,
        "library_name": card.library,
        "pipeline_tag": card.pipeline_tag,
    }.items():
        if plain := _plain([text] if text else []):
            data[name] = plain[0]
    return data


def _tags(card: Card, library: str, paths: Iterable[str], config: Record) -> list[str]:
    formats = {said for path in paths for ending, said in _FORMATS.items() if path.endswith(ending)}
    relation = card.base_model_relation
    tags = [
        library,
        *sorted(formats),
        str(config.get("model_type", "")),
        *card.tags,
        *card.languages,
        *(f"dataset:{one}" for one in card.datasets),
        *(f"base_model:{one}" for one in card.base_models),
        *(f"base_model:{relation}:{one}" for one in card.base_models if relation),
        *(f"license:{one}" for one in card.licences),
    ]
    return _plain(one for one in tags if one)


def _parameters(files: _Files) -> dict[str, int]:
    """Elements of all tensors by type, from the headers of the weights; what the index says of a model of many files."""
    weights = [one for path, one in files.artifacts.items() if path.endswith(".safetensors") and "/" not in path]
    if len(weights) > MAX_SHARDS:
        metadata = _json_object(files.whole("model.safetensors.index.json", MAX_INDEX_BYTES)).get("metadata")
        total = metadata.get("total_parameters") if isinstance(metadata, dict) else None
        whole = isinstance(total, int) and not isinstance(total, bool) and 0 < total < 2**53
        return {"unknown": int(str(total))} if whole else {}
    found: dict[str, int] = {}
    for artifact in weights:
        try:
            header = read_header(_Beginning(artifact.path, artifact.size_bytes, files.beginning(artifact)))
        except FormatError:
            return {}
        for tensor in header.tensors:
            elements = 1
            for size in tensor.shape:
                elements *= size
            found[tensor.dtype] = found.get(tensor.dtype, 0) + elements
    return dict(sorted(found.items()))
