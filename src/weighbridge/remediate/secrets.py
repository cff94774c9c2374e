"""Drops the files in which a secret was found, whole, where the model loads without them.

Nothing is cut out of a file: who knows where a secret was knows how long it was, and half of one may do. A secret that
was published is known to others; it must be revoked, whatever is dropped here.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import ConfigError, InspectError
from weighbridge.core.finding import Finding, Inspection
from weighbridge.core.snapshot import Entry
from weighbridge.remediate.plan import Step

NAME: Final = "drop-secrets"
FOUND: Final = "secret-"
"""What the rules about secrets that were found begin with."""
_UNKNOWN: Final = ("secrets-engine-missing", "secrets-engine-failed")
_NAMES_CODE: Final = ("config-remote-code", "config-remote-code-elsewhere", "config-code-reference-escape")

_NEEDED = re.compile(
    r"""
    .*\.(?:safetensors|bin|gguf|ggml|pt|pth|ckpt|onnx|onnx_data|h5|hdf5|keras|msgpack|npz|npy|tflite|pb|pdiparams|model
        |tiktoken|spm|vocab|bpe|pkl|joblib|skops|nemo|mlmodel|engine|plan)
    | .*\.index\.json | .*config[^/]*\.json | .*tokenizer[^/]*\.json | modules\.json | model_index\.json | added_tokens\.json
    | special_tokens_map\.json | vocab[^/]*\.(?:json|txt) | merges\.txt | .*\.jinja2? | .*params[^/]*\.json | model\.py
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Files that loaders open: weights, configurations, tokenizers, templates."""


def drop_secrets(
    entries: Sequence[Entry], inspection: Inspection, *, without: Collection[str] = frozenset()
) -> Step | None:
    """What is to be dropped; None when no secret was found. `without` are paths that another remedy drops or makes anew.

    Raises:
        ConfigError: a secret is in a file that the model needs.
        InspectError: it is not known where secrets are.
    """
    if "-secrets" in inspection.rules_version or any(finding.rule in _UNKNOWN for finding in inspection.findings):
        raise InspectError(
            "the model was not searched for secrets",
            hint="Install weighbridge[secrets] and run `weighbridge rescan`; then remedy it.",
        )
    by_path: dict[str, list[Finding]] = defaultdict(list)
    for finding in inspection.findings:
        if finding.rule.startswith(FOUND):
            by_path[finding.path].append(finding)
    has_code = any(finding.rule in _NAMES_CODE for finding in inspection.findings)
    needed = sorted(path for path in by_path if path not in without and is_needed(path, has_code=has_code))
    if needed:
        raise ConfigError(
            f"a secret is in {', '.join(needed[:5])}{' and more' if len(needed) > 5 else ''}, which the model needs",
            hint="Nothing was dropped. Ask the publisher to revoke the secret and to publish the file without it.",
        )
    dropped = [entry for entry in entries if entry.path in by_path and entry.path not in without]
    if not dropped:
        return None
    return Step(
        NAME,
        tuple(entry.path for entry in dropped),
        proof={"dropped": [_record(entry, by_path[entry.path]) for entry in dropped]},
    )


def is_needed(path: str, *, has_code: bool) -> bool:
    """Whether a loader opens the file; `has_code` when configurations name Python code, which may import any other."""
    base = posixpath.basename(path)
    return _NEEDED.fullmatch(base) is not None or (has_code and base.endswith(".py"))


def _record(entry: Entry, findings: Iterable[Finding]) -> dict[str, JsonValue]:
    """A dropped file and why, without any of what was found."""
    found: list[JsonValue] = [
        {"rule": finding.rule, "location": finding.location} for finding in sorted(findings, key=Finding.sort_key)
    ]
    return {"path": entry.path, "size_bytes": entry.size_bytes, "sha256": entry.sha256, "findings": found}
