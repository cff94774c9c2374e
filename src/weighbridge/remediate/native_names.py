"""Holds the classes that a repository names against those that an engine has built in.

Each name must be there as it is: behind the same loader, for the same model type. `deepseek_v3` under
`AutoModelForCausalLM` is `DeepseekV3ForCausalLM` and nothing else.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import ConfigError
from weighbridge.formats.json_text import Json
from weighbridge.remediate import native
from weighbridge.remediate.native import Built, Engine, Version

_PROCESSORS: Final = {
    "AutoProcessor": "processor_class",
    "AutoImageProcessor": "image_processor_type",
    "AutoFeatureExtractor": "feature_extractor_type",
    "AutoVideoProcessor": "video_processor_type",
}
_KEEP: Final = "Have the code reviewed and keep it, or use a model that needs none."


@dataclass(frozen=True, slots=True)
class Reference:
    """Classes that a file names for a loader; `siblings` are the keys beside, `task` is set for a pipeline."""

    path: str
    siblings: Mapping[str, Json]
    loader: str
    names: tuple[str, ...]
    task: str = ""


@dataclass(frozen=True, slots=True)
class Native:
    """A class that was named and that the engine has, since that version of it at the latest."""

    path: str
    loader: str
    name: str
    engine: str
    since: Version

    def to_json(self) -> dict[str, JsonValue]:
        """The record of it."""
        return {
            "path": self.path,
            "loader": self.loader,
            "class": self.name,
            "since": f"{self.engine} {native.shown(self.since)}",
        }


def check_native(
    references: Sequence[Reference], configurations: Mapping[str, Json], paths: Collection[str], engine: Engine
) -> list[Native]:
    """The built-in classes that take the place of those named; `paths` are all files of the model.

    Raises:
        ConfigError: there is none for one of them, or the model does not say what it is.
    """
    names = _Names(configurations, frozenset(paths), engine)
    found = [*names.model_types(references)]
    for reference in references:
        found += names.replacing(reference)
    return list(dict.fromkeys(found))


class _Names:
    """The names of one model and one engine."""

    def __init__(self, configurations: Mapping[str, Json], paths: Collection[str], engine: Engine) -> None:
        self._configurations = configurations
        self._paths = paths
        self._engine = engine
        self._transformers = native.transformers_of(engine)

    def model_types(self, references: Sequence[Reference]) -> Iterator[Native]:
        """The model itself, which must be known without its code also where nothing named a class."""
        root = self._object("config.json")
        if root is None:
            if "model_index.json" not in self._paths:
                raise ConfigError(
                    "the model has code and no config.json that can be read, so nothing says what would load it",
                    hint=_KEEP,
                )
            return
        model_type = root.get("model_type")
        if isinstance(model_type, str) or references:
            yield from self._architectures(root, self._model_type(root, "config.json"))

    def replacing(self, reference: Reference) -> Iterator[Native]:
        """What takes the place of the classes of one reference."""
        if reference.loader == "AutoTokenizer":
            yield from self._tokenizer(reference)
            return
        for name in reference.names:
            built = self._built(reference, name)
            if built is None:
                raise self._refusal(reference, name)
            yield self._native(reference, name, built)

    def _native(self, reference: Reference, name: str, built: Built) -> Native:
        return Native(reference.path, reference.loader, name, self._transformers.name, built.since)

    def _built(self, reference: Reference, name: str) -> Built | None:
        transformers, loader = self._transformers, reference.loader
        if loader == "Pipeline":
            return native.built(transformers, loader, reference.task, name)
        if loader in _PROCESSORS:
            named = reference.siblings.get(_PROCESSORS[loader])
            if named is None:
                # Without its name in the file, the engine takes the one of the model type.
                return native.built(transformers, loader, self._type_of(reference), name)
            return native.any_built(transformers, loader, name) if named == name else None
        if not native.has_loader(transformers, loader):
            return None
        return native.built(transformers, loader, self._type_of(reference), name)

    def _refusal(self, reference: Reference, name: str) -> ConfigError:
        """Why a class cannot be replaced, and what can be done."""
        loader, newest = reference.loader, native.engine("transformers")
        if loader == "Pipeline":
            return self._no(f"'{reference.path}' brings a pipeline of its own, {name}, for {reference.task[:80]!a}")
        if loader in _PROCESSORS:
            return self._no(f"'{reference.path}' names {name} for {loader}, which {self._transformers} does not have")
        key = self._type_of(reference)
        later = native.built(newest, loader, key, name)
        if later is not None:
            return ConfigError(
                f"{name} is built in since transformers {native.shown(later.since)}, not in {self._engine}",
                hint=f"Serve with a newer engine and say so: --engine-version {native.shown(later.since)}.",
            )
        has = native.class_of(newest, loader, key)
        instead = f"has {', '.join(has)} there" if has else "has nothing there"
        return self._no(
            f"'{reference.path}' names {name} for {loader} and the model type {key[:80]!a}; {newest} {instead}"
        )

    @staticmethod
    def _no(what: str) -> ConfigError:
        return ConfigError(what, hint=_KEEP)

    # --- what the model says it is --------------------------------------------------------------

    def _object(self, path: str) -> Mapping[str, Json] | None:
        value = self._configurations.get(path)
        return value if isinstance(value, dict) else None

    def _type_of(self, reference: Reference) -> str:
        """The model type that a reference is for: beside it, in its file, or in the configuration beside the file."""
        beside = posixpath.join(posixpath.dirname(reference.path), "config.json")
        for one in (
            reference.siblings,
            self._object(reference.path),
            self._object(beside),
            self._object("config.json"),
        ):
            if one is not None and isinstance(one.get("model_type"), str):
                return self._model_type(one, reference.path)
        raise ConfigError(f"'{reference.path}' names code for no model type", hint=_KEEP)

    def _model_type(self, one: Mapping[str, Json], path: str) -> str:
        model_type = one.get("model_type")
        if not isinstance(model_type, str) or not model_type:
            raise ConfigError(f"'{path}' has no model_type, so nothing says what would load it", hint=_KEEP)
        known = native.class_of(self._transformers, "AutoConfig", model_type)
        if known:
            return model_type
        newest = native.engine("transformers")
        later = [
            native.built(newest, "AutoConfig", model_type, name)
            for name in native.class_of(newest, "AutoConfig", model_type)
        ]
        if later and later[0] is not None:
            since = native.shown(later[0].since)
            raise ConfigError(
                f"the model type {model_type[:80]!a} is built in since transformers {since}, not in {self._engine}",
                hint=f"Serve with a newer engine and say so: --engine-version {since}.",
            )
        raise ConfigError(
            f"the model type {model_type[:80]!a} is not built in to {newest}: the model is its own code",
            hint="Have the code reviewed and keep it, or wait for a version of the engine that has the architecture. "
            "Nothing is guessed from names that resemble each other.",
        )

    def _architectures(self, root: Mapping[str, Json], model_type: str) -> Iterator[Native]:
        """`architectures` of the configuration, each of which some loader of the engine must have for the type."""
        transformers = self._transformers
        for name in native.class_of(transformers, "AutoConfig", model_type):
            built = native.built(transformers, "AutoConfig", model_type, name)
            if built is not None:
                yield Native("config.json", "AutoConfig", name, transformers.name, built.since)
        named = root.get("architectures")
        if self._engine.name == "vllm" and not named:
            raise self._no("config.json names no architectures, by which vLLM finds the model's class")
        for one in named if isinstance(named, list) else []:
            yield from self._architecture(one, model_type)

    def _architecture(self, name: Json, model_type: str) -> Iterator[Native]:
        if not isinstance(name, str) or not name.isidentifier():
            raise ConfigError(f"architectures in config.json holds {str(name)[:80]!a}, which is no class", hint=_KEEP)
        built = native.in_any_loader(self._transformers, model_type, name)
        if built is None:
            raise self._no(
                f"config.json names the architecture {name[:80]!a} for the model type {model_type[:80]!a}, which "
                f"{self._transformers} does not have"
            )
        yield Native("config.json", "architectures", name, self._transformers.name, built.since)
        if self._engine.name == "vllm":
            served = native.built(self._engine, "architectures", name, name)
            if served is None:
                raise self._no(f"{self._engine} does not serve the architecture {name[:80]!a} by itself")
            yield Native("config.json", "architectures", name, self._engine.name, served.since)

    def _tokenizer(self, reference: Reference) -> Iterator[Native]:
        """A tokenizer: the class that `tokenizer_class` names, or nothing but its `tokenizer.json`."""
        named = reference.siblings.get("tokenizer_class")
        if not isinstance(named, str):
            raise self._no(f"'{reference.path}' names a tokenizer of its own and no tokenizer_class")
        built = native.tokenizer(self._transformers, named)
        if built is None:
            raise self._no(f"the tokenizer {named[:80]!a} is code of its own; {self._transformers} does not have it")
        if named in native.GENERIC_TOKENIZERS:
            whole = posixpath.join(posixpath.dirname(reference.path), "tokenizer.json")
            if whole not in self._paths:
                raise self._no(f"'{reference.path}' names {named}, which needs a tokenizer.json; there is none")
        elif any(name.removesuffix("Fast") != named.removesuffix("Fast") for name in reference.names):
            raise self._no(f"'{reference.path}' names both {named} and {', '.join(reference.names)}, of its own code")
        yield self._native(reference, named, built)
