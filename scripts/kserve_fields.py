"""Writes `tests/data/kserve-fields.json`: the fields of KServe's kinds, as the models of its Python package say them.

    pip download --no-deps kserve==0.21.0 && unzip kserve-*.whl -d FOLDER
    python scripts/kserve_fields.py FOLDER 0.21.0

Each model that is reached from the kinds rendered here: its fields by their names in manifests, their types, and which it cannot be
without. Types of Kubernetes itself (V1Container …) stand by name alone. The package is read, not imported.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "tests/data/kserve-fields.json"
KINDS = ("V1beta1InferenceService", "V1alpha1ServingRuntime", "V1alpha1ClusterServingRuntime")


def models(folder: Path) -> dict[str, tuple[dict[str, str], list[str]]]:
    """All models by name: the types of their fields, and the required ones."""
    found = {}
    for file in sorted((folder / "kserve/models").glob("v1*.py")):
        text = file.read_text("utf-8")
        for node in ast.parse(text).body:
            if not isinstance(node, ast.ClassDef):
                continue
            tables = {
                target.id: ast.literal_eval(one.value)
                for one in node.body
                if isinstance(one, ast.Assign)
                for target in one.targets
                if isinstance(target, ast.Name) and target.id in ("openapi_types", "attribute_map")
            }
            named = tables["attribute_map"]
            required = re.findall(r"Invalid value for `(\w+)`, must not be `None`", text)
            types = {named[name]: kind for name, kind in tables["openapi_types"].items()}
            found[node.name] = (dict(sorted(types.items())), sorted({named[one] for one in required}))
    return found


def main() -> None:
    """Reads the package and writes the models that are reached."""
    known = models(Path(sys.argv[1]))
    found: dict[str, dict[str, object]] = {}
    queue = list(KINDS)
    while queue:
        name = queue.pop()
        if name in found or name not in known:
            continue
        types, required = known[name]
        found[name] = {"types": types, "required": required}
        queue += [part for kind in types.values() for part in re.findall(r"\w+", kind)]
    said = {"source": f"the wheel of kserve {sys.argv[2]}: kserve/models", "models": dict(sorted(found.items()))}
    TARGET.write_text(json.dumps(said, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
