"""Which artifacts of a revision hold its tensors, and where in them each tensor lies.

The index file (`*.safetensors.index.json`) chooses the shards when there is one, for a repository may hold the same weights
twice; where a tensor lies is taken from the shards' own headers. Index and headers are proven like every other byte.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import Ambiguous, ConfigError, LimitExceeded, Malformed, MissingShard, NotFound
from weighbridge.core.manifest import Artifact
from weighbridge.core.ports import ObjectStore, StoredObject
from weighbridge.formats.safetensors import LENGTH_BYTES, SafetensorsHeader, TensorEntry, read_header
from weighbridge.vault.proven import ProvenReaders
from weighbridge.vault.records import SealedRevision

SUFFIX: Final = ".safetensors"
INDEX: Final = "model.safetensors.index.json"
WHOLE: Final = "model.safetensors"
MAX_INDEX_BYTES: Final = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Shard:
    """One safetensors file. `first` is its first chunk, proven, when it was just read for the header."""

    artifact: Artifact
    stored: StoredObject
    header: SafetensorsHeader
    first: memoryview | None = None

    @property
    def data_start(self) -> int:
        """Where in the file the tensors' data begin."""
        return LENGTH_BYTES + self.header.header_bytes

    def span(self, tensor: TensorEntry) -> tuple[int, int]:
        """The bytes of the file that a tensor has."""
        return self.data_start + tensor.begin, self.data_start + tensor.end


class Shards:
    """The shards of a revision, in order of path. Thread-safe; headers are read when they are first needed, and kept."""

    def __init__(self, store: ObjectStore, revision: SealedRevision, files: Sequence[str] = ()) -> None:
        self._store = store
        self._revision = revision
        self._readers = ProvenReaders(store, revision)
        self._artifacts = {artifact.path: artifact for artifact in revision.manifest.artifacts}
        self._index: Mapping[str, str] = {}
        self._headers: dict[str, SafetensorsHeader] = {}
        self._lock = threading.Lock()
        self.paths = self._chosen(files)

    def _chosen(self, files: Sequence[str]) -> tuple[str, ...]:
        if files:
            for path in files:
                if path not in self._artifacts or not path.endswith(SUFFIX):
                    raise ConfigError(f"'{path:.200}' is no safetensors file of {self._revision.manifest.reference}")
            return tuple(sorted(set(files)))
        if INDEX in self._artifacts:
            self._index = self._read_index()
            return tuple(sorted(set(self._index.values())))
        found = [path for path in self._artifacts if path.endswith(SUFFIX) and "/" not in path]
        if not found:
            raise NotFound(
                f"{self._revision.manifest.reference} has no safetensors file at its root",
                hint="Name the files, or convert the weights: weighbridge remediate MODEL@REV",
            )
        return (WHOLE,) if WHOLE in found else tuple(sorted(found))

    def _read_index(self) -> dict[str, str]:
        """Tensor to shard, as the index file says."""
        data = self.read(INDEX, MAX_INDEX_BYTES)
        try:
            record = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise Malformed(f"'{INDEX}' is not JSON") from error
        placed = record.get("weight_map") if isinstance(record, dict) else None
        if not isinstance(placed, dict) or not placed or not all(isinstance(path, str) for path in placed.values()):
            raise Malformed(f"'{INDEX}' says of no tensor where it lies")
        for path in set(placed.values()):
            if path not in self._artifacts or not path.endswith(SUFFIX):
                raise MissingShard(f"'{INDEX}' names {path!r:.200}, which is no safetensors file of the revision")
        return placed

    def read(self, path: str, most: int) -> bytes:
        """A whole artifact, proven.

        Raises:
            NotFound: there is none. LimitExceeded: it is larger than `most` bytes.
            DigestMismatch, StoreError, IntegrityError: it is not what was sealed, or cannot be read.
        """
        size = self._readers.size_bytes(path) if path in self._artifacts else 0
        if size > most:
            raise LimitExceeded(f"'{path}' has {size} bytes, more than {most}")
        reader = self._readers(path)
        return b"".join(reader.read(start, min(CHUNK_BYTES, size - start)) for start in range(0, size, CHUNK_BYTES))

    def open(self, path: str, *, keep_first: bool = False) -> Shard:
        """A shard with its header.

        Raises:
            HeaderProblem: the file is no safetensors.
            DigestMismatch, StoreError, IntegrityError: it is not what was sealed, or cannot be read.
        """
        artifact = self._artifacts[path]
        with self._lock:
            header = self._headers.get(path)
        first = self._readers.chunk(path, 0) if artifact.chunks and (header is None or keep_first) else None
        if header is None:
            header = read_header(self._readers(path))
            with self._lock:
                self._headers[path] = header
        return Shard(artifact, self._revision.placed[path], header, first if keep_first else None)

    def where(self, name: str) -> str:
        """The shard that holds a tensor.

        Raises:
            KeyError: there is no such tensor; or as `open`.
        """
        if name in self._index:
            return self._index[name]
        if self._index:
            raise KeyError(name)
        return self._by_name()[name]

    def names(self) -> tuple[str, ...]:
        """The names of all tensors, in order. Raises as `open`; Ambiguous: two shards hold one of the same name."""
        return tuple(sorted(self._index or self._by_name()))

    def _by_name(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for path in self.paths:
            for tensor in self.open(path).header.tensors:
                if tensor.name in found:
                    raise Ambiguous(f"both '{found[tensor.name]}' and '{path}' hold the tensor {tensor.name!r:.120}")
                found[tensor.name] = path
        return found
