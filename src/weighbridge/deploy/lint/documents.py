"""Reads the files of a deployment: tells by name and content what each is, and says what of it was not read.

Nothing is expanded but what the format itself says: templates of Helm, Kustomize's patches, programs (CDK, Pulumi, the SageMaker
SDK) are told to be not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from weighbridge.core.errors import FormatError, LimitExceeded, Malformed
from weighbridge.deploy.lint.hcl import read_hcl
from weighbridge.deploy.lint.parts import Document, Json, Said, Variable, Workload, mapping, sequence, text_of
from weighbridge.deploy.lint.properties import lines_of, read_env, read_properties
from weighbridge.deploy.lint.units import Image, read_dockerfile, read_unit
from weighbridge.deploy.lint.yaml_text import read_yaml
from weighbridge.formats import json_text

MAX_FILE_BYTES: Final = 4 * 1024 * 1024
MAX_JSON_VALUES: Final = 200_000
_PROGRAMS: Final = (
    ".py",
    ".ipynb",
    ".ts",
    ".js",
    ".go",
    ".java",
    ".kt",
    ".cs",
    ".rb",
    ".jsonnet",
    ".libsonnet",
    ".cue",
    ".dhall",
    ".bicep",
)
_TEMPLATES: Final = (".tpl", ".j2", ".jinja", ".jinja2", ".gotmpl", ".tmpl", ".erb", ".mustache", ".tftpl")
_TEMPLATE: Final = re.compile(
    r"\{\{-?\s*(?:\.|\$|if\b|range\b|with\b|include\b|template\b|define\b|end\b|else\b|toYaml\b|/\*)|\{%"
)
_UNITS: Final = (".service", ".container", ".pod", ".kube", ".socket", ".timer", ".slice", ".target")
_SHELLS: Final = (".sh", ".bash", ".zsh", ".ksh")
_BLOCKS: Final = frozenset(
    [
        "resource",
        "data",
        "module",
        "provider",
        "variable",
        "output",
        "locals",
        "terraform",
        "ephemeral",
        "moved",
        "removed",
        "import",
        "check",
        "//",
    ]
)
"""What may stand at the top of a file of Terraform, in JSON as in its own language."""
_MAKING: Final = frozenset(("resource", "module", "data"))
_LOOKS_LIKE: Final = (
    (
        ".tf",
        re.compile(
            rb"\s*(?:(?:resource|data)\s+\"[^\"\n]+\"\s+\"|(?:module|provider|variable)\s+\"|(?:terraform|locals)\s*\{)"
        ),
    ),
    (".dockerfile", re.compile(rb"\s*(?:ARG[ \t][^\n]*\n\s*)*FROM\s", re.IGNORECASE)),
    (".service", re.compile(rb"\s*\[(?:Unit|Service|Container|Pod|Kube)\]")),
)
"""How files begin that come without a name, from a pipe, and are of kinds that nothing but their names tells else."""
_COMMENTS: Final = re.compile(rb"(?:\s*(?:#|//|;)[^\n]*\n)*")


@dataclass(slots=True)
class FileRead:
    """A file, read. `problems` say what was not (where it was read in part); an empty `kind` is none that is known."""

    file: str
    size_bytes: int
    kind: str = ""
    documents: list[Document] = field(default_factory=list)
    workloads: list[Workload] = field(default_factory=list)
    variables: Mapping[str, Variable] = field(default_factory=dict)
    properties: Mapping[str, Said] = field(default_factory=dict)
    image: Image | None = None
    repeated: list[tuple[str, int]] = field(default_factory=list)
    problems: list[tuple[str, str, int]] = field(default_factory=list)
    """Pointer, what, and line."""

    @property
    def holds_something(self) -> bool:
        """Whether there is anything in it that could be judged."""
        values = any(document.value not in (None, {}, []) for document in self.documents)
        return values or bool(self.workloads or self.variables or self.properties or self.image)


def read_file(file: str, data: bytes) -> FileRead:
    """Reads a file as what it is; what cannot be read is a problem of the result."""
    found = FileRead(file, len(data))
    try:
        if len(data) > MAX_FILE_BYTES:
            raise LimitExceeded(f"it has more than {MAX_FILE_BYTES} bytes, and no more are read")
        name = PurePosixPath(file.replace("\\", "/")).name.lower()
        _read(found, name if "." in name or data[:2] == b"#!" else name + _ending_of(data), data)
    except FormatError as error:
        text = data[:MAX_FILE_BYTES].decode("utf-8", "replace")
        is_template = found.kind in ("", "yaml", "json") and _TEMPLATE.search(text) is not None
        found.problems.append(("", f"it is a template: {error.message}" if is_template else error.message, 0))
    return found


def _read(found: FileRead, name: str, data: bytes) -> None:
    file = found.file
    if name.endswith(_TEMPLATES):
        raise Malformed("it is a template, which becomes a deployment only when it is rendered")
    if name.endswith(_PROGRAMS):
        raise Malformed("it is a program: what it deploys is known only when it runs")
    if name.endswith((".tf", ".tfvars", ".hcl")):
        found.kind = "terraform"
        value, lines = read_hcl(data)
        found.documents.append(Document(file, value, lines))
    elif name.endswith(".properties"):
        found.kind = "properties"
        found.properties = read_properties(data, file)
    elif name == ".env" or name.startswith(".env.") or name.endswith(".env"):
        found.kind = "env"
        found.variables = read_env(data, file)
    elif name.startswith(("dockerfile", "containerfile")) or name.endswith((".dockerfile", ".containerfile")):
        found.kind = "dockerfile"
        found.image = read_dockerfile(data, file)
        found.workloads = found.image.workloads
    elif name.endswith(_UNITS):
        found.kind = "unit"
        found.workloads = read_unit(data, file)
    elif name.endswith(_SHELLS) or data[:2] == b"#!":
        _shell(found, data)
    else:
        _values(found, name, data)


def _ending_of(data: bytes) -> str:
    """The ending that a file without any should have, by how it begins."""
    begins = data[:65_536].removeprefix(b"\xef\xbb\xbf")
    at = _COMMENTS.match(begins)
    rest = begins[at.end() if at else 0 :]
    return next((ending for ending, looks in _LOOKS_LIKE if looks.match(rest)), "")


def _shell(found: FileRead, data: bytes) -> None:
    first = data[:100].split(b"\n", 1)[0]
    if first.startswith(b"#!") and not re.search(rb"\b(?:ba|da|a|z|k)?sh\b", first):
        raise Malformed("it is a program: what it deploys is known only when it runs")
    found.kind = "shell"
    text = "\n".join(lines_of(data, "script"))
    place = Document(found.file, None, {"": 1}).place()
    found.workloads = [Workload("shell", "script", place, script=Said(text, place))]


def _values(found: FileRead, name: str, data: bytes) -> None:
    """JSON or YAML, and what it says it is."""
    if data[:2000].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") and not name.endswith((".yaml", ".yml")):
        found.kind = "json"
        parsed = json_text.parse(data, max_values=MAX_JSON_VALUES)
        found.documents = [Document(found.file, parsed.value, _json_lines(data, parsed.value))]
        found.repeated = [(f"/{key}", 0) for key in parsed.repeated]
    else:
        found.kind = "yaml"
        for one in read_yaml(data):
            found.documents.append(Document(found.file, one.value, one.lines))
            found.repeated += one.repeated
    kinds = {_kind_of(document.value, name) for document in found.documents}
    if len(kinds) == 1:
        found.kind = kinds.pop() or found.kind
    elif kinds:
        found.kind = "kubernetes" if kinds <= {"kubernetes", ""} else found.kind
    if not found.documents:
        return
    if found.kind == "kustomization":
        raise Malformed("it is a kustomization: what it makes is known only when it is built")
    if found.kind == "kubernetes" and "" in kinds:
        found.problems.append(("", "a document in it is no Kubernetes object", 0))
    if found.kind in ("json", "yaml"):
        found.problems.append(("", _unknown(found, name), 0))


def _unknown(found: FileRead, name: str) -> str:
    value = mapping(found.documents[0].value)
    if name.startswith("values") or ("image" in value and "repository" in mapping(value.get("image"))):
        return "it looks like a chart's values: what they become is known only when the chart is rendered"
    return "it is no kind of deployment that is known here"


def _kind_of(value: Json, name: str) -> str:
    """What a value is: `kubernetes`, `cloudformation`, `terraform`, `compose`, `request`, `policy`, `ecs`, or nothing known."""
    root = mapping(value)
    if name.startswith("kustomization") or text_of(root.get("kind")) == "Kustomization":
        return "kustomization"
    if "apiVersion" in root and "kind" in root:
        return "kubernetes"
    resources = mapping(root.get("Resources"))
    if any(isinstance(mapping(one).get("Type"), str) for one in resources.values()):
        return "cloudformation"
    if "planned_values" in root:
        return "terraform-plan"
    if name.endswith((".tf.json", ".tfvars.json")) or (root and root.keys() <= _BLOCKS and root.keys() & _MAKING):
        return "terraform"
    if isinstance(root.get("services"), dict):
        return "compose"
    if "Statement" in root:
        return "policy"
    if "containerDefinitions" in root or "ContainerDefinitions" in root:
        return "ecs"
    many = [root, *root.values(), *sequence(value)]
    if any(key in mapping(one) for one in many for key in ("ProductionVariants", "PrimaryContainer")):
        return "request"
    return ""


def _json_lines(data: bytes, value: Json) -> dict[str, int]:
    """The lines of a JSON text's values, as the YAML that it nearly is; none where it is large, or no YAML."""
    if len(data) > 128 * 1024 or data.count(b"\t") or not isinstance(value, (dict, list)):
        return {}
    try:
        read = read_yaml(data)
    except FormatError:
        return {}
    return read[0].lines if len(read) == 1 else {}
