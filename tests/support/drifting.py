"""What the tests of differences share: revisions in memory and on disk, takeovers of the R1-shaped fixture, the command."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from tests.support.inspecting import Bytes, inspection_of
from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.manifest import Artifact, Manifest
from weighbridge.core.names import ModelName
from weighbridge.core.snapshot import Origin
from weighbridge.drift.change import Area, Change, Difference
from weighbridge.drift.compare import Options, compare
from weighbridge.drift.side import Side

HUB = Origin("hub", "hf://acme/tiny", "https://hub", "acme/tiny", "r1", "acme", "o1", "organization", "main", "1" * 40, "2026-01-01T00:00:00Z")  # fmt: skip
Files = Mapping[str, bytes]


@dataclass
class Revision:
    """A side in memory whose reads are counted."""

    files: Files
    readers: dict[str, Bytes] = field(default_factory=dict)
    side: Side = field(init=False)

    def reader(self, path: str) -> Bytes:
        return self.readers.setdefault(path, Bytes(path, self.files[path]))

    @property
    def read_bytes(self) -> int:
        return sum(reader.read_bytes for reader in self.readers.values())


def artifact(path: str, data: bytes) -> Artifact:
    """What a manifest says of a file."""
    chunks = tuple(blake3(data[at : at + CHUNK_BYTES]).hexdigest() for at in range(0, len(data), CHUNK_BYTES))
    return Artifact(path, len(data), hashlib.sha256(data).hexdigest(), chunks)


def revision(files: Files, *, name: str = "acme/tiny", origin: Origin = HUB, inspected: bool = True) -> Revision:
    """A sealed revision of these files."""
    artifacts = tuple(artifact(path, data) for path, data in sorted(files.items()))
    number = hashlib.sha1(repr(artifacts).encode()).hexdigest()
    manifest = Manifest(ModelName.parse(name), number, origin, artifacts)
    found = Revision(files)
    inspection = inspection_of(dict(files)) if inspected else None
    found.side = Side.of_manifest(manifest, found.reader, inspection=inspection)
    return found


def differ(before: Files, after: Files, *, inspected: bool = False, options: Options | None = None) -> Difference:
    """The difference of two sets of files; what inspectors find does not count unless asked for."""
    sides = revision(before, inspected=inspected).side, revision(after, inspected=inspected).side
    difference = compare(*sides, options)
    if inspected:
        return difference
    kept = tuple(change for change in difference.changes if change.area is not Area.FINDINGS)
    return Difference(difference.before, difference.after, kept, difference.summary, difference.read_bytes)


def of(difference: Difference, area: Area) -> list[Change]:
    """The changes of one area."""
    return [change for change in difference.changes if change.area is area]


def only(difference: Difference, area: Area) -> Change:
    """The one change of an area."""
    (change,) = of(difference, area)
    return change


# --- files ---------------------------------------------------------------------------------------


def safetensors(
    tensors: Mapping[str, tuple[str, Sequence[int], bytes]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """A safetensors file of (dtype, shape, data) by name."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + len(data)]}
        position += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values())


def floats(values: Sequence[float], dtype: str = "F32") -> tuple[str, list[int], bytes]:
    """A tensor of values."""
    code = {"F32": "f", "F16": "e", "F64": "d"}.get(dtype)
    data = struct.pack(f"<{len(values)}{code}", *values) if code else bf16(values)
    return dtype, [len(values)], data


def bf16(values: Sequence[float]) -> bytes:
    """Values cut to BF16."""
    return b"".join(struct.pack("<f", value)[2:] for value in values)


def tokenizer_config(template: str | None, **more: object) -> bytes:
    """A `tokenizer_config.json`."""
    tokens = {"bos_token": "<s>", "eos_token": {"content": "</s>", "special": True}}
    return json.dumps({**tokens, **({"chat_template": template} if template is not None else {}), **more}).encode()


def edit_json(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Rewrites a JSON file."""
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def copied(source: Path, target: Path) -> Path:
    """A copy of a folder that may be changed."""
    return Path(shutil.copytree(source, target))
