"""Writes `native_architectures.json`: which classes transformers and vLLM have built in, and since which version.

    python scripts/native_architectures.py --transformers 4.48.3=FOLDER … --vllm 0.14.0=FOLDER …

Each FOLDER is where one release was unpacked (`uv pip install --no-deps --target FOLDER transformers==4.48.3`). The
releases' own tables are read as text, by their syntax tree; nothing of them is imported. A class is said to be there
since the oldest of the given releases that has it without a gap up to its last one: releases in between that were not
given may have it earlier, never later. Patch releases do not add architectures, so versions are kept as `major.minor`.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "src/weighbridge/remediate/native_architectures.json"
OTHER_CLASSES = {
    "AutoConfig": "CONFIG_MAPPING_NAMES",
    "AutoTokenizer": "TOKENIZER_MAPPING_NAMES",
    "AutoProcessor": "PROCESSOR_MAPPING_NAMES",
    "AutoImageProcessor": "IMAGE_PROCESSOR_MAPPING_NAMES",
    "AutoFeatureExtractor": "FEATURE_EXTRACTOR_MAPPING_NAMES",
    "AutoVideoProcessor": "VIDEO_PROCESSOR_MAPPING_NAMES",
}
Table = dict[str, set[str]]
Release = dict[str, Table]
Version = tuple[int, int]


def _written(value: object, depth: int) -> str:
    """JSON with a line for each model type, so that a new release reads as a small difference."""
    if not depth or not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    inner = (f"{json.dumps(key)}: {_written(one, depth - 1)}" for key, one in sorted(value.items()))
    return "{\n" + ",\n".join(inner) + "\n}"


def main() -> None:
    """Reads the releases and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transformers", nargs="+", required=True, metavar="VERSION=FOLDER")
    parser.add_argument("--vllm", nargs="+", required=True, metavar="VERSION=FOLDER")
    given = parser.parse_args()
    transformers = {version: transformers_release(folder) for version, folder in releases(given.transformers)}
    vllm = {version: vllm_release(folder) for version, folder in releases(given.vllm)}
    document = {
        "transformers": {"versions": [shown(v) for v in transformers], "classes": spans(transformers)},
        "vllm": {
            "versions": [shown(v) for v in vllm],
            "classes": spans({version: release for version, (release, _) in vllm.items()}),
            "transformers": {shown(version): least for version, (_, least) in vllm.items()},
        },
    }
    TARGET.write_text(_written(document, 4) + "\n", encoding="utf-8")


def releases(arguments: list[str]) -> list[tuple[Version, Path]]:
    """Versions in order, and where each was unpacked."""
    found = []
    for argument in arguments:
        version, _, folder = argument.partition("=")
        major, minor, *_ = version.split(".")
        found.append(((int(major), int(minor)), Path(folder)))
    return sorted(found)


def shown(version: Version) -> str:
    """`major.minor`."""
    return f"{version[0]}.{version[1]}"


def spans(of: dict[Version, Release]) -> dict[str, dict[str, list[str]]]:
    """By loader and key: `Class`, `Class>=since` or `Class>=since<gone`; bare where all releases have it."""
    versions = list(of)
    seen: dict[tuple[str, str, str], list[bool]] = defaultdict(lambda: [False] * len(versions))
    for number, version in enumerate(versions):
        for loader, table in of[version].items():
            for key, names in table.items():
                for name in names:
                    seen[loader, key, name][number] = True
    result: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for (loader, key, name), there in sorted(seen.items()):
        last = max(number for number, is_there in enumerate(there) if is_there)
        first = last
        while first and there[first - 1]:
            first -= 1
        since = f">={shown(versions[first])}" if first else ""
        gone = f"<{shown(versions[last + 1])}" if last + 1 < len(versions) else ""
        result[loader][key].append(f"{name}{since}{gone}")
    return {loader: dict(table) for loader, table in result.items()}


# --- transformers -------------------------------------------------------------------------------


def transformers_release(folder: Path) -> Release:
    """The tables of one release: loader (`AutoModelForCausalLM`) to model type to class names."""
    tables: dict[str, Table] = {}
    mappings: dict[str, str] = {}
    loaders = dict(OTHER_CLASSES)
    sources = sorted((folder / "transformers/models/auto").glob("*.py"))
    # The generated tables come first: the others add to them.
    nodes = [
        node
        for path in sorted(sources, key=lambda source: source.name != "auto_mappings.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    ]
    for name, value in (pair for node in nodes for pair in assigned(node)):
        if name.endswith("_NAMES"):
            merge(tables.setdefault(name, {}), value, tables)
        elif isinstance(value, ast.Call) and named(value.func) == "_LazyAutoMapping":
            mappings[name] = named(value.args[1])
    for node in (node for node in nodes if isinstance(node, ast.ClassDef)):
        pairs = (pair for inner in node.body for pair in assigned(inner))
        loaders.update({node.name.lstrip("_"): named(value) for name, value in pairs if name == "_model_mapping"})
    found = {loader: tables.get(mappings.get(table, table), {}) for loader, table in loaders.items()}
    release = {loader: table for loader, table in found.items() if table}
    release["AutoTokenizer"] = {"": tokenizers(folder, release["AutoTokenizer"])}
    release["Pipeline"] = pipelines(folder)
    return {loader: table for loader, table in release.items() if not loader.startswith(("TF", "Flax"))}


def assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """What one statement assigns to a name, or adds to it with `update`."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        yield node.targets[0].id, node.value
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        yield node.target.id, node.value
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "update"
        and isinstance(node.func.value, ast.Name)
        and node.args
    ):
        yield node.func.value.id, node.args[0]


def named(node: ast.expr) -> str:
    """The name that an expression is, or ""."""
    return node.id if isinstance(node, ast.Name) else ""


def merge(table: Table, value: ast.expr, tables: dict[str, Table]) -> None:
    """Adds what an expression holds: lists of pairs, dicts, `OrderedDict(…)` of either, other tables."""
    if isinstance(value, ast.Call):
        for inner in (*value.args, *(keyword.value for keyword in value.keywords)):
            merge(table, inner, tables)
    elif isinstance(value, ast.Name):
        for key, names in tables.get(value.id, {}).items():
            table.setdefault(key, set()).update(names)
    else:
        for key, names in pairs_of(value):
            table.setdefault(key, set()).update(names)


def pairs_of(value: ast.expr) -> Iterator[tuple[str, set[str]]]:
    """Keys and class names of a list of pairs or a dict."""
    pairs: list[tuple[ast.expr | None, ast.expr]] = []
    if isinstance(value, ast.List):
        pairs = [(pair.elts[0], pair.elts[1]) for pair in value.elts if isinstance(pair, ast.Tuple)]
    elif isinstance(value, ast.Dict):
        pairs = list(zip(value.keys, value.values, strict=True))
    for key, held in pairs:
        if isinstance(key, ast.Constant):
            yield str(key.value), class_names(held)


def class_names(node: ast.expr) -> set[str]:
    """All class names in a value: a text, a tuple of them, one of two by what is installed, or a dict's values."""
    if isinstance(node, ast.Constant):
        return {node.value} if isinstance(node.value, str) else set()
    inner: list[ast.expr] = []
    if isinstance(node, ast.IfExp):
        inner = [node.body, node.orelse]
    elif isinstance(node, (ast.Tuple, ast.List)):
        inner = list(node.elts)
    elif isinstance(node, ast.Dict):
        inner = list(node.values)
    return {name for one in inner for name in class_names(one)}


def tokenizers(folder: Path, table: Table) -> set[str]:
    """All tokenizers by name: those of the table, and every class of a tokenizer's module.

    `AutoTokenizer` takes any of them that `tokenizer_class` names, whatever the model type is; since version 5 also
    with `Fast` behind the name.
    """
    names = {name for some in table.values() for name in some}
    for path in sorted((folder / "transformers/models").glob("*/tokenization_*.py")):
        classes = (node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef))
        names |= {node.name for node in classes if re.search(r"Tokenizer(?:Fast)?$", node.name)}
    return names


def pipelines(folder: Path) -> Table:
    """The pipelines by task."""
    found: Table = {}
    tree = ast.parse((folder / "transformers/pipelines/__init__.py").read_text(encoding="utf-8"))
    for name, value in (pair for node in ast.walk(tree) for pair in assigned(node)):
        if name == "SUPPORTED_TASKS" and isinstance(value, ast.Dict):
            for task, about in zip(value.keys, value.values, strict=True):
                if isinstance(task, ast.Constant) and isinstance(about, ast.Dict):
                    for key, held in zip(about.keys, about.values, strict=True):
                        if isinstance(key, ast.Constant) and key.value == "impl":
                            dotted = held.value if isinstance(held, ast.Constant) else named(held)
                            found[str(task.value)] = {str(dotted).rpartition(".")[2]}
    return found


# --- vLLM ---------------------------------------------------------------------------------------


def vllm_release(folder: Path) -> tuple[Release, str]:
    """Architectures and configurations of one release, and the least transformers it asks for."""
    architectures: Table = {}
    (registry,) = folder.rglob("registry.py")
    for name, value in (
        pair for node in ast.walk(ast.parse(registry.read_text(encoding="utf-8"))) for pair in assigned(node)
    ):
        # What needs the transformers backend (`_TRANSFORMERS_…`) takes any class, also of remote code.
        if name.endswith("_MODELS") and not name.startswith(("_TRANSFORMERS", "_VLLM")) and isinstance(value, ast.Dict):
            keys = [key.value for key in value.keys if isinstance(key, ast.Constant)]
            architectures.update({str(key): {str(key)} for key in keys if name != "_PREVIOUSLY_SUPPORTED_MODELS"})
    (metadata,) = folder.rglob("METADATA")
    least = re.search(r"^Requires-Dist: transformers[^\n]*?>=\s*(\d+\.\d+)", metadata.read_text("utf-8"), re.MULTILINE)
    if least is None:
        raise SystemExit(f"{metadata} does not say which transformers it needs")
    return {"architectures": architectures}, least.group(1)


if __name__ == "__main__":
    main()
