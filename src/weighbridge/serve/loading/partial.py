"""A folder that holds a revision without its weights: what it leaves out, and whose it is.

Such a folder is for engines that stream the weights from the store and read the rest from disk. It says that it is partial in a
file of its own, so that nobody takes it for the whole.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from weighbridge.core import canonical
from weighbridge.core.canonical import Fields
from weighbridge.core.errors import ConfigError, FormatError
from weighbridge.core.manifest import Artifact, Manifest
from weighbridge.serve.loading.checking import check_folder

PARTIAL: Final = "WEIGHBRIDGE-PARTIAL.json"
FORMAT: Final = "weighbridge.partial/1"
MAX_BYTES: Final = 16 * 1024 * 1024
WEIGHTS: Final = (
    *(".safetensors", ".gguf", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".onnx_data", ".npz"),
)
"""Ends of names of files that hold weights and little else."""


class _Unwatched:
    """Nobody watches."""

    def planned(self, artifacts: int, total_bytes: int, done_bytes: int) -> None:
        """See `core.ports.Observer`."""

    def advanced(self, path: str, size_bytes: int, total_bytes: int) -> None:
        """See `core.ports.Observer`."""

    def retrying(self, path: str, reason: str, wait_seconds: float) -> None:
        """See `core.ports.Observer`."""

    def finished(self, path: str, how: str) -> None:
        """See `core.ports.Observer`."""


def without_weights(manifest: Manifest) -> list[Artifact]:
    """The artifacts of a revision whose names do not say that they hold weights."""
    return [artifact for artifact in manifest.artifacts if not artifact.path.lower().endswith(WEIGHTS)]


def marker_of(manifest: Manifest, artifacts: Sequence[Artifact]) -> dict[str, bytes]:
    """The file that says which revision a folder of these artifacts is a part of."""
    kept = {artifact.path for artifact in artifacts}
    record = {
        "format": FORMAT,
        "model": str(manifest.model_name),
        "revision": manifest.revision,
        "left_out": [artifact.path for artifact in manifest.artifacts if artifact.path not in kept],
    }
    return {PARTIAL: canonical.encode(record)}


def partial_reference(folder: Path) -> str:
    """`org/name@revision` of the revision that a folder is a part of.

    Raises:
        ConfigError: it does not say.
    """
    try:
        with (folder / PARTIAL).open("rb") as file:
            fields = Fields(canonical.decode_object(file.read(MAX_BYTES), what=f"'{PARTIAL}'"), what=f"'{PARTIAL}'")
        if fields.text("format") != FORMAT:
            raise ConfigError(f"'{folder / PARTIAL}' has a format that this version does not read")
        return f"{fields.text('model')}@{fields.text('revision')}"
    except (OSError, FormatError) as error:
        raise ConfigError(
            f"'{folder}' is no folder without weights: '{PARTIAL}' cannot be read",
            hint="Make one: weighbridge fetch MODEL DIR --no-weights",
        ) from error


def check_partial(folder: Path, manifest: Manifest, streams: int) -> None:
    """Returns when the folder holds exactly the revision's files but for the weights, each byte read and proven.

    Raises:
        ConfigError: it holds something else. DigestMismatch, LengthMismatch: a file was altered.
        AccessRefused: a file cannot be read.
    """
    artifacts = without_weights(manifest)
    marker = marker_of(manifest, artifacts)
    check_folder(folder, artifacts, marker, streams, observer=_Unwatched(), cancelled=threading.Event())
