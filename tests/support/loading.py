"""An approved store with sealed revisions and a signed index, made in process, and nodes that read it by a trust file."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from tests.support.indexes import WrappedStore, _Memory
from tests.support.manifests import inspection_of, manifest_of
from weighbridge.admit.index_state import trust_folder
from weighbridge.admit.index_writer import IndexWriter
from weighbridge.attest.keys import LocalKey, TrustedKeys
from weighbridge.core.errors import LengthMismatch, WeighbridgeError
from weighbridge.core.finding import Confidence, Coverage, Finding, Inspection, Report, Severity, Verdict
from weighbridge.core.layout import model_prefix
from weighbridge.core.manifest import Manifest
from weighbridge.core.ports import ByteStream, ObjectStore
from weighbridge.serve.loading.node import Node, NodeSettings, open_node
from weighbridge.serve.loading.trust import Trust
from weighbridge.store.folder import FolderStore
from weighbridge.vault.records import seal_revision

NOW = "2026-11-23T12:00:00.000000Z"


class Depot:
    """An approved store as promotion leaves it, and whoever may write to it."""

    def __init__(self, folder: Path, store: ObjectStore | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.store: ObjectStore = store or FolderStore(folder / "approved")
        self.key = LocalKey.create(folder / "home.pem")
        self.writer = IndexWriter(self.store, self.key, trust_folder(folder / "index-trust", self.store))
        self.manifests: dict[str, Manifest] = {}

    def approve(
        self, files: Mapping[str, bytes], *, name: str = "acme/tiny", channel: str = "production", code: bool = False
    ) -> Manifest:
        """Seals a revision of files and points a channel to it; with `code`, remote code was found and accepted."""
        listed = hashlib.sha256(b"".join(path.encode() + data for path, data in sorted(files.items()))).hexdigest()
        manifest = manifest_of(dict(files), name=name, revision=listed[:40])
        prefix = model_prefix(manifest.model_name, manifest.revision)
        placed = {path: self.store.put(f"{prefix}{path}", data) for path, data in files.items()}
        inspection = inspection_of(manifest)
        if code:
            found = Finding("modeling.py", "python-remote-code", Severity.MEDIUM, Confidence.HIGH, "code of its own")
            report = Report("code", "modeling.py", Verdict.UNKNOWN, Coverage(1, 1), (found,))
            inspection = Inspection((*inspection.reports, report), inspection.rules_version)
        seal_revision(self.store, manifest, placed, inspection, self.key, sealed_at=NOW)
        if not self.manifests:
            self.writer.create()
        self.writer.set_channel(manifest.model_name, channel, manifest.revision, manifest.digest)
        self.manifests[name] = manifest
        return manifest

    def path(self, manifest: Manifest, path: str) -> Path:
        """Where an artifact lies."""
        return self.folder / "approved" / model_prefix(manifest.model_name, manifest.revision) / path

    def trust(self, *, index_version: int = 0, keys: TrustedKeys | None = None) -> Path:
        """A trust file of this store."""
        trusted = keys or TrustedKeys().with_key(self.key.public_pem)
        root = self.writer.trusted.newest_root()
        trust = Trust.of(trusted, root, self.store.address, index_version=index_version)
        file = self.folder / "trust.json"
        file.write_bytes(trust.to_bytes())
        return file

    def node(self, state: Path | None = None) -> AbstractContextManager[Node]:
        """A node by that trust file."""
        settings = NodeSettings(trust=self.trust(), state=state or self.folder / "state")
        return open_node(settings, {})


Read = Callable[[bytes, int, int], bytes]
"""What a store answers for a range of an object's true bytes."""


class Lying(WrappedStore):
    """A store whose model files somebody changes between reads: `answer(key, data, start, end)` is what a read gets."""

    def __init__(self, inner: ObjectStore, answer: Callable[[str, int, int], bytes | None]) -> None:
        super().__init__(inner)
        self._answer = answer
        self.lies = 0

    def open(self, key: str, start: int, end: int, *, version_id: str = "") -> AbstractContextManager[ByteStream]:
        if key.startswith("models/"):
            try:
                data = self._answer(key, start, end)
            except WeighbridgeError:
                self.lies += 1
                raise
            if data is not None:
                self.lies += 1
                return nullcontext(_Memory(data))
        return super().open(key, start, end, version_id=version_id)


def race_files(value: float, *, shards: int = 5, elements: int = 64) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """A small model in shards with an index, and the bytes of its tensors: every one is `value` and its number."""
    import torch
    from safetensors.torch import save

    files, truth, index = {}, {}, {}
    for shard in range(shards):
        tensors = {f"t{shard}.{n}": torch.full((elements,), value + shard * 10 + n) for n in range(4)}
        path = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        files[path] = save(tensors)
        truth.update({name: tensor.numpy().tobytes() for name, tensor in tensors.items()})
        index.update(dict.fromkeys(tensors, path))
    files["model.safetensors.index.json"] = json.dumps({"weight_map": index}).encode()
    return files, truth


KINDS = ("swapped", "truncated", "older", "mixed", "flipped", "none")


def race(inner: ObjectStore, older: Mapping[str, bytes], seed: int) -> Lying:
    """A store in which, at one or more reads, something else lies in the object's place than was sealed."""
    chance = random.Random(seed)
    kind = chance.choice(KINDS)
    rate = chance.choice((0.2, 0.5, 1.0))

    def true(key: str, start: int, end: int) -> bytes:
        with inner.open(key, start, end) as stream:
            buffer = bytearray(end - start)
            view, filled = memoryview(buffer), 0
            while count := stream.readinto(view[filled:]):
                filled += count
            return bytes(buffer)

    def answer(key: str, start: int, end: int) -> bytes | None:
        if kind == "none" or chance.random() > rate:
            return None
        length = end - start
        other = older.get(key.rpartition("/")[2], b"")[start:end].ljust(length, b"\0")
        cut = chance.randrange(length + 1)
        if kind == "swapped":
            return chance.randbytes(length)
        if kind == "truncated":
            raise LengthMismatch(f"'{key}' is shorter than its record says")
        if kind == "older":
            return other
        data = bytearray(true(key, start, end))
        if kind == "mixed":
            data[cut:] = other[cut:]
        else:
            data[chance.randrange(length)] ^= 1 << chance.randrange(8)
        return bytes(data)

    return Lying(inner, answer)


@contextmanager
def lying_node(node: Node, store: ObjectStore) -> Iterator[Node]:
    """The node with another store below it, what it resolved kept."""
    kept = node.approved.store
    node.approved.store = store
    try:
        yield node
    finally:
        node.approved.store = kept
