"""What do the files of a revision say of each other: do copies agree, is what is named there, and do the names act?

A pure function of the paths, their sizes and the facts that inspectors said of each file; it reads no bytes. It judges

- chat templates that are not the same in all their copies;
- files that an index, a configuration or another file names and that are not there, and shards that no index names;
- weights that are there twice, empty, or as a pickle beside safetensors; adapters that take the place of a model;
- names: those that are another file elsewhere, and those that make a tool run or read the file.

Python files that nothing names are left to who judges Python: helper modules are imported by those that are named, so
that nobody names one says nothing.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.finding import Coverage, Finding, Report, Verdict
from weighbridge.core.later import later
from weighbridge.inspectors.repository.names import collisions, judge_name
from weighbridge.inspectors.repository.rules import BY_ID, NAME, RULES
from weighbridge.inspectors.subject import Fact
from weighbridge.inspectors.template_copies import TEMPLATE_FACT

__all__ = ["NAME", "RULES", "RepositoryFile", "inspect_repository"]

MAX_FINDINGS: Final = 2_000
_MISSING: Final = frozenset(("repository-shard-missing", "repository-index-without-shards"))
MAX_LISTED: Final = 5
"""Names that one message lists."""

_SHARD = later(
    r"(?P<stem>.*?)-?(?P<number>\d{5})-of-(?P<count>\d{5,6})(?P<ending>\.(?:safetensors|bin|gguf|pt|pth|ckpt))"
)
_WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt", ".pth", ".ckpt", ".onnx", ".h5", ".msgpack")
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_LOADED_PICKLES = later(r"extra_data\.pickle|rng_state(?:_\d+)?\.pth|vocab\.pkl|(?:.+\.)?index(?:_meta)?\.(?:pkl|dpr)")


@dataclass(frozen=True, slots=True)
class RepositoryFile:
    """A file of the revision."""

    path: str
    size_bytes: int


def inspect_repository(
    paths: Sequence[RepositoryFile], facts: Sequence[Fact], *, alone: bool = False
) -> tuple[Report, ...]:
    """One report for each file that something is to be said of; none when all is in order.

    `facts` are those of all files of the revision. Facts of other kinds than those judged here are passed by. `alone`
    says that the files are some of a revision whose others nobody looked for: no weights are said to be missing then.
    """
    sizes = {file.path: file.size_bytes for file in paths}
    by_kind: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        by_kind[fact.kind].append(fact)
    found: dict[str, list[Finding]] = defaultdict(list)
    for count, finding in enumerate(_everything(sizes, by_kind)):
        if count >= MAX_FINDINGS:
            break
        if alone and finding.rule in _MISSING:
            continue
        found[finding.path].append(finding)
    return tuple(_report(path, tuple(findings)) for path, findings in found.items())


def _report(path: str, findings: tuple[Finding, ...]) -> Report:
    bad = any(finding.severity.is_grave for finding in findings)
    return Report(NAME, path, Verdict.BAD if bad else Verdict.CLEAN, Coverage(0, 0), findings)


def _everything(sizes: Mapping[str, int], facts: Mapping[str, list[Fact]]) -> Iterator[Finding]:
    yield from _templates(facts.get(TEMPLATE_FACT, []))
    yield from _code(sizes, facts.get("code-reference", []))
    yield from _shards(sizes, facts.get("shard", []))
    yield from _references(sizes, facts.get("file-reference", []))
    yield from _weights(sizes)
    for path in sizes:
        for rule, message in judge_name(path):
            yield _finding(rule, path, message)
    for path, other in collisions(tuple(sizes)):
        yield _finding("name-collision", path, f"the name is the same as {_shown(other)} where case or form is ignored")


def _finding(rule: str, path: str, message: str) -> Finding:
    return BY_ID[f"repository-{rule}"].finding(path, message)


def _shown(text: str) -> str:
    shown = ascii(text)
    return shown if len(shown) <= 100 else f"{shown[:100]}…"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(_shown(name) for name in names[:MAX_LISTED]) + more


# --- templates ----------------------------------------------------------------------------------


def _templates(facts: Iterable[Fact]) -> Iterator[Finding]:
    """Copies of one template: those of one folder, and those of GGUF files beside the files of the top folder."""
    copies: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for fact in facts:
        folder = posixpath.dirname(fact.path)
        if folder.rpartition("/")[2] == "additional_chat_templates":
            folder = posixpath.dirname(folder)
        if fact.path.lower().endswith(".gguf"):
            folder = ""
        copies[folder, _template_name(fact.location)][fact.value].append(fact.path)
    for (_, name), by_digest in copies.items():
        if len(by_digest) < 2:
            continue
        groups = sorted(by_digest.values(), key=lambda group: (-len(group), group[0]))
        for group in groups[1:]:
            for path in group:
                yield _finding(
                    "template-differs", path, f"the template {_shown(name)} is another than in {_listed(groups[0])}"
                )


def _template_name(location: str) -> str:
    """`chat_template`, `tokenizer.chat_template` and a template called default are one; others go by their name."""
    name = re.sub(r"\A(?:.*\.)?chat_template(?:_jinja)?", "", location).lstrip(".")
    return name or "default"


# --- what is named ------------------------------------------------------------------------------


def _beside(path: str, name: str) -> str:
    """The path that `name` means in the file at `path`; leading `../` stay."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), name))


def _code(sizes: Mapping[str, int], facts: Iterable[Fact]) -> Iterator[Finding]:
    missing: dict[tuple[str, str], str] = {}
    for fact in facts:
        module = fact.value.rpartition(".")[0]
        folder, _, last = module.rpartition("/")
        name = posixpath.join(folder, last.replace(".", "/")) + ".py"
        package = name.removesuffix(".py") + "/__init__.py"
        places = (_beside(fact.path, name), posixpath.normpath(name), _beside(fact.path, package), package)
        if not any(place in sizes for place in places):
            missing[fact.path, name] = fact.location
    for (path, name), location in missing.items():
        yield BY_ID["repository-code-missing"].finding(
            path, f"the code {_shown(name)} that it names is not part of the revision", location=location
        )


def _references(sizes: Mapping[str, int], facts: Iterable[Fact]) -> Iterator[Finding]:
    for path, name in dict.fromkeys((fact.path, fact.value) for fact in facts):
        if _beside(path, name) not in sizes:
            yield _finding("shard-missing", path, f"the file {_shown(name)} that it names is not part of the revision")


def _shards(sizes: Mapping[str, int], facts: Iterable[Fact]) -> Iterator[Finding]:
    named: dict[str, list[str]] = defaultdict(list)
    for fact in facts:
        named[fact.path].append(fact.value)
    known: set[str] = set()
    for path, names in named.items():
        places = {name: _beside(path, name) for name in dict.fromkeys(names)}
        known.update(places.values())
        missing = sorted(name for name, place in places.items() if place not in sizes)
        if missing and len(missing) == len(places):
            yield _finding("index-without-shards", path, f"none of {len(places)} named files is there")
        elif missing:
            yield _finding(
                "shard-missing", path, f"{len(missing)} of {len(places)} files are missing: {_listed(missing)}"
            )
    yield from _numbered(sizes, named, known)


def _numbered(sizes: Mapping[str, int], named: Mapping[str, list[str]], known: set[str]) -> Iterator[Finding]:
    """Shards by the numbers in their names: are all there, and does an index beside them name each?"""
    groups: dict[tuple[str, str, int], dict[int, str]] = defaultdict(dict)
    for path in sizes:
        shard = _SHARD.fullmatch(path)
        if shard:
            key = (shard["stem"], shard["ending"], int(shard["count"]))
            groups[key][int(shard["number"])] = path
    indexed = {(posixpath.dirname(path), posixpath.splitext(name)[1]) for path, all_ in named.items() for name in all_}
    for (_, ending, count), parts in groups.items():
        first = parts[min(parts)]
        if (posixpath.dirname(first), ending) in indexed:
            for path in parts.values():
                if path not in known:
                    yield _finding("shard-unnamed", path, "no index beside it names the file")
            continue
        lost = count - sum(1 for number in parts if 1 <= number <= count)
        if lost and 0 not in parts:
            yield _finding("shard-missing", first, f"{lost} of {count} parts are not there")
        for number, path in parts.items():
            if number > count:
                yield _finding("shard-unnamed", path, f"the name says part {number} of {count}")


# --- weights ------------------------------------------------------------------------------------


def _weights(sizes: Mapping[str, int]) -> Iterator[Finding]:
    folders: dict[str, list[str]] = defaultdict(list)
    for path, size in sizes.items():
        folders[posixpath.dirname(path)].append(posixpath.basename(path))
        base = posixpath.basename(path).lower()
        if base.endswith(_WEIGHTS) and size == 0:
            yield _finding("weights-empty", path, "the file of weights is empty")
        if _LOADED_PICKLES.fullmatch(base):
            yield _finding("loaded-pickle", path, "loaders unpickle a file of this name")
    for folder, names in folders.items():
        yield from _in_folder(folder, frozenset(names))


def _in_folder(folder: str, names: frozenset[str]) -> Iterator[Finding]:
    stems = {_stem(name) for name in names if name.endswith(".safetensors")}
    for name in sorted(names):
        if name.endswith(_PICKLED) and _stem(name) in stems:
            yield _finding(
                "pickle-beside-safetensors", posixpath.join(folder, name), "the same weights are there as safetensors"
            )
            break
    for name in sorted(names):
        if name.endswith(".index.json") and name.removesuffix(".index.json") in names:
            path = posixpath.join(folder, name.removesuffix(".index.json"))
            yield _finding("weights-ambiguous", path, f"the weights are whole here and in the shards of {_shown(name)}")
    whole = any(re.fullmatch(r"(?:pytorch_)?model(?:-\d{5}-of-\d{5,6})?\.(?:safetensors|bin)", name) for name in names)
    if whole and {"adapter_config.json", "config.json"} <= names:
        path = posixpath.join(folder, "adapter_config.json")
        yield _finding("adapter-beside-model", path, "the folder holds an adapter and the weights of a model")


def _stem(name: str) -> str:
    """What a file of weights is called apart from its format and number: `pytorch_model.bin` is `model`."""
    stem = re.sub(r"-\d{5}-of-\d{5,6}", "", name.rpartition(".")[0])
    return re.sub(r"\Apytorch_model", "model", stem)
