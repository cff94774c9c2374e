"""Strips a model of the code it brings, where the engine that will serve it has the architecture built in.

What goes:

- Python modules and compiled code (`.py`, `.so` …), all of them;
- `auto_map` and `custom_pipelines`, at any depth of any JSON file, which name classes of such modules;
- keys that switch on trust in remote code, and those that name a kernel of the Hub. They choose no architecture.

What must be true of the rest, or nothing is stripped: whatever `auto_map` named is named the same in the engine, behind
the same loader and for the same model type; so are `architectures` and the tokenizer. Nothing is renamed to fit.

Names are all that is compared. That the engine's class of that name computes what the repository's did is likely and not
proven here: see the page on remediation for how to measure it.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import (
    Ambiguous,
    ConfigError,
    DigestMismatch,
    FormatError,
    LimitExceeded,
    Malformed,
)
from weighbridge.core.snapshot import Entry
from weighbridge.formats.bounded import read_whole
from weighbridge.formats.json_text import Json, JsonProblem, JsonText, parse, texts
from weighbridge.remediate.json_edit import MAX_EDITED_BYTES, Path, objects, rest, shown, without
from weighbridge.remediate.native import Engine
from weighbridge.remediate.native_names import Native, Reference, check_native
from weighbridge.remediate.plan import Literal, Made, ReaderOf, Step

NAME: Final = "strip-remote-code"

CODE_ENDINGS: Final = (".py", ".pyc", ".pyo", ".pyw", ".pyd", ".pyz", ".so", ".dll", ".dylib")
MAX_FILES: Final = 2_000
"""JSON files that are looked into; no honest model has a tenth."""
_MAX_SHOWN: Final = 200
_REPAIR: Final = "Nobody knows whether it names code. Ask the publisher for a sound file."
_ASK: Final = "Honest files do not hold this; do not load the model with it. Ask the publisher why it is there."

_DATA_NAMES = re.compile(r"tokenizer\.json|vocab\.json|.*\.index\.json")
"""Large files that no loader takes a class from."""
_CONFIGURATION = re.compile(r".*config[^/]*\.json|modules\.json|model_index\.json", re.IGNORECASE)
"""Names that loaders take classes from: such a file must be read, and be read one way."""
_TRUST: Final = ("trust_remote_code", "trust_remote_codes", "hf_trust_remote_code", "_trust_remote_code")
_KERNEL_SWITCHES: Final = ("use_kernels", "use_kernel", "hub_kernels", "use_hub_kernels")
_KERNELS = re.compile(r"_*(?:attn|attention|experts|moe)_impl(?:ementation)?\w*|\w*kernel\w*")
_ALWAYS_CODE: Final = ("custom_generate", "custom_pipeline", "tool_class")
_GENERATION: Final = "custom_generate/generate.py"


@dataclass(slots=True)
class _Found:
    """What one file holds of remote code: where, and which classes it names."""

    entry: Entry
    data: bytes
    text: JsonText
    unwanted: list[Path] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)


def strip_remote_code(entries: Sequence[Entry], readers: ReaderOf, engine: Engine) -> Step | None:
    """What is to be done so that the model loads in `engine` without code of its own; None when it has none.

    Raises:
        ConfigError: the engine cannot load it without its code; the hint says what to do.
        FormatError: a configuration cannot be read the same way by everybody.
        SourceError, StoreError, IntegrityError: the parent's bytes cannot be read, or are not its own.
    """
    code = tuple(entry for entry in entries if entry.path.lower().endswith(CODE_ENDINGS))
    texts = dict(_texts(entries, readers))
    found = [_look(entry, data, text) for entry, data, text in texts.values()]
    named = [one for one in found if one.unwanted]
    if not code and not named:
        return None
    if any(entry.path == _GENERATION for entry in code):
        raise _only_there(f"'{_GENERATION}' is how this model generates", engine)
    configurations = {path: text.value for path, (_, _, text) in texts.items()}
    references = [reference for one in named for reference in one.references]
    native = check_native(references, configurations, [entry.path for entry in entries], engine)
    files = [(one, without(one.data, one.unwanted, of=one.entry.path)) for one in named]
    return Step(
        remedy=NAME,
        dropped=tuple(entry.path for entry in code),
        made=tuple(Made(one.entry.path, (Literal(edited),)) for one, edited in files),
        proof=_proof(code, files, native, engine),
    )


# --- what is there ------------------------------------------------------------------------------


def _texts(entries: Iterable[Entry], readers: ReaderOf) -> Iterator[tuple[str, tuple[Entry, bytes, JsonText]]]:
    """Every JSON file that can be read. Those that cannot stay as they are, unless a loader would read them."""
    named = [entry for entry in entries if entry.path.lower().endswith(".json")]
    chosen = [entry for entry in named if not _DATA_NAMES.fullmatch(posixpath.basename(entry.path))]
    if len(chosen) > MAX_FILES:
        raise ConfigError(f"the model has {len(chosen)} JSON files; at most {MAX_FILES} are looked into", hint=_REPAIR)
    for entry in chosen:
        is_read = _CONFIGURATION.fullmatch(posixpath.basename(entry.path)) is not None
        try:
            data = read_whole(readers(entry.path), MAX_EDITED_BYTES)
            text = parse(data)
        except (JsonProblem, LimitExceeded) as error:
            if is_read:
                raise Malformed(f"'{entry.path}' cannot be read: {error.message}", hint=_REPAIR) from error
            continue
        if entry.sha256 and hashlib.sha256(data).hexdigest() != entry.sha256:
            raise DigestMismatch(f"'{entry.path}' is not what the manifest says")
        if is_read and text.repeated:
            raise Ambiguous(f"'{entry.path}' has the key {text.repeated[0][:80]!a} twice", hint=_REPAIR)
        yield entry.path, (entry, data, text)


def _look(entry: Entry, data: bytes, text: JsonText) -> _Found:
    found = _Found(entry, data, text)
    for path, one in objects(text.value):
        for key, value in one.items():
            here = (*path, key)
            if key == "auto_map" and value not in (None, {}, [], ""):
                found.references += _auto_map(entry.path, value, one, here)
                found.unwanted.append(here)
            elif key == "custom_pipelines" and value not in (None, {}):
                found.references += _custom_pipelines(entry.path, value, one, here)
                found.unwanted.append(here)
            elif key in _ALWAYS_CODE and isinstance(value, str) and value:
                raise ConfigError(
                    f"'{entry.path}' says that {key} is {value[:_MAX_SHOWN]!a}, which no engine has built in",
                    hint="Review the code and keep it, or ask the publisher for a model without it.",
                )
            elif _switches(key, value):
                found.unwanted.append(here)
    outer = set(found.unwanted)
    # What stands inside of something that goes, goes with it.
    found.unwanted = [path for path in found.unwanted if not any(path[:end] in outer for end in range(len(path)))]
    return found


def _switches(key: str, value: Json) -> bool:
    """Whether it trusts remote code by itself, or has compiled code fetched."""
    if key in _TRUST:
        return value not in (None, False, 0, "", "false", "False", "no", "0")
    if key in _KERNEL_SWITCHES and value is True:
        return True
    if len(key) <= 64 and (key in _KERNEL_SWITCHES or _KERNELS.fullmatch(key)):
        return any("/" in text for text in texts(value))
    return False


def _auto_map(path: str, value: Json, siblings: Mapping[str, Json], where: Path) -> Iterator[Reference]:
    """The classes that an `auto_map` names. As a list it is the older form for a slow and a fast tokenizer."""
    loaders = value if isinstance(value, dict) else {"AutoTokenizer": value}
    for loader, named in loaders.items():
        texts = named if isinstance(named, list) else [named]
        given = [text for text in texts if text not in (None, "", False)]
        if not given:
            continue
        if not all(isinstance(text, str) for text in given):
            raise FormatError(f"'{path}': {shown(where)}.{loader[:80]!a} is not a class's name", hint=_ASK)
        yield Reference(path, siblings, loader, tuple(_class_name(path, str(text)) for text in given))


def _custom_pipelines(path: str, value: Json, siblings: Mapping[str, Json], where: Path) -> Iterator[Reference]:
    for task, about in value.items() if isinstance(value, dict) else [("", value)]:
        named = about.get("impl") if isinstance(about, dict) else about
        if not isinstance(named, str):
            raise FormatError(f"'{path}': {shown(where)}.{task[:80]!a} names no class", hint=_ASK)
        yield Reference(path, siblings, "Pipeline", (_class_name(path, named),), task)


def _class_name(path: str, text: str) -> str:
    """`Class` of `module.Class` or `org/repo--module.Class`."""
    if not re.fullmatch(r"(?:[\w.-]{1,96}(?:/[\w.-]{1,96})?--)?(?:[^\W\d]\w{0,99}[./]){1,8}[^\W\d]\w{0,99}", text):
        raise FormatError(
            f"'{path}' names the code {text[:_MAX_SHOWN]!a}, which is no class of a module",
            hint=_ASK,
        )
    return text.rpartition(".")[2]


def _only_there(what: str, engine: Engine) -> ConfigError:
    return ConfigError(
        f"{what}, and {engine} has nothing in its place",
        hint="Have the code reviewed and keep it, or use a model that needs none.",
    )


# --- the proof ----------------------------------------------------------------------------------


def _proof(
    code: Sequence[Entry], files: Sequence[tuple[_Found, bytes]], native: Sequence[Native], engine: Engine
) -> dict[str, JsonValue]:
    needs: dict[str, str] = {}
    for one in sorted(native, key=lambda it: it.since):
        needs[one.engine] = f">={one.since[0]}.{one.since[1]}"
    return {
        "engine": str(engine),
        "needs": needs,
        "native": [one.to_json() for one in native],
        "changed": [_change(one, edited) for one, edited in files],
        "dropped": [{"path": one.path, "size_bytes": one.size_bytes, "sha256": one.sha256} for one in code],
    }


def _change(found: _Found, edited: bytes) -> dict[str, JsonValue]:
    """One configuration: what went, and the digest of the values that stayed, which is the same on both sides."""
    stayed = hashlib.sha256(rest(parse(edited).value).encode("ascii")).hexdigest()
    return {
        "path": found.entry.path,
        "before": {"sha256": hashlib.sha256(found.data).hexdigest(), "size_bytes": len(found.data)},
        "after": {"sha256": hashlib.sha256(edited).hexdigest(), "size_bytes": len(edited)},
        "removed": [{"key": shown(path), "value": _value_at(found.text.value, path)} for path in found.unwanted],
        "kept_values_sha256": stayed,
    }


def _value_at(value: Json, path: Path) -> str:
    """The value of a member as a text, cut where it is long; `path` ends in a key."""
    holder = next(one for where, one in objects(value) if where == path[:-1])
    text = rest(holder[str(path[-1])])
    return text if len(text) <= _MAX_SHOWN * 5 else f"{text[: _MAX_SHOWN * 5]}…"
