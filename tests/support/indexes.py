"""A signed index of channels in a real folder store, its readers, and what its attackers can do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp

from weighbridge.admit.index_keys import Lifetimes, TufSignature, encoded
from weighbridge.admit.index_reader import IndexReader
from weighbridge.admit.index_state import read_bounded
from weighbridge.admit.index_writer import IndexWriter
from weighbridge.attest.keys import LocalKey
from weighbridge.core.names import ModelName
from weighbridge.core.ports import Buffer, ByteStream, ObjectStore, StoredObject
from weighbridge.store.folder import FolderStore

TINY = ModelName.parse("acme/tiny")
OTHER = ModelName.parse("acme/other")
MANIFEST = "f" * 64


def revision(number: int) -> str:
    """A revision."""
    return f"{number:040x}"


@dataclass
class Clock:
    """A clock that stands still until it is told."""

    now: datetime = field(default_factory=lambda: datetime(2026, 3, 1, 12, tzinfo=UTC))

    def __call__(self) -> str:
        return self.now.isoformat().replace("+00:00", "Z")

    def advance(self, **time: float) -> None:
        self.now += timedelta(**time)


class Killed(BaseException):
    """The process ended here."""


class WrappedStore:
    """A store that passes everything on."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def head(self, key: str, *, version_id: str = "") -> StoredObject:
        return self._inner.head(key, version_id=version_id)

    def open(self, key: str, start: int, end: int, *, version_id: str = "") -> AbstractContextManager[ByteStream]:
        return self._inner.open(key, start, end, version_id=version_id)

    def put(self, key: str, body: Buffer | bytes, *, replace: bool = False) -> StoredObject:
        return self._inner.put(key, body, replace=replace)


class Watched(WrappedStore):
    """Calls `before(number, key)` and `after(number, key)` around every put; `number` counts from 0."""

    def __init__(
        self,
        inner: ObjectStore,
        *,
        before: Callable[[int, str], None] = lambda _number, _key: None,
        after: Callable[[int, str], None] = lambda _number, _key: None,
    ) -> None:
        super().__init__(inner)
        self.puts: list[str] = []
        self._before = before
        self._after = after

    def put(self, key: str, body: Buffer | bytes, *, replace: bool = False) -> StoredObject:
        number = len(self.puts)
        self.puts.append(key)
        self._before(number, key)
        stored = super().put(key, body, replace=replace)
        self._after(number, key)
        return stored


class _Memory:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def readinto(self, view: memoryview, /) -> int:
        count = min(len(view), len(self._data))
        view[:count] = self._data[:count]
        self._data = self._data[count:]
        return count


class Counted(WrappedStore):
    """Counts what is read; shows other bytes under some keys."""

    def __init__(self, inner: ObjectStore, shown: Mapping[str, bytes] | None = None) -> None:
        super().__init__(inner)
        self.shown = dict(shown or {})
        self.heads: list[str] = []
        self.reads: list[str] = []
        self.read_bytes = 0

    def head(self, key: str, *, version_id: str = "") -> StoredObject:
        self.heads.append(key)
        if key in self.shown:
            return StoredObject(key, len(self.shown[key]))
        return super().head(key, version_id=version_id)

    def open(self, key: str, start: int, end: int, *, version_id: str = "") -> AbstractContextManager[ByteStream]:
        self.reads.append(key)
        self.read_bytes += end - start
        if key in self.shown:
            return self._shown(self.shown[key][start:end])
        return super().open(key, start, end, version_id=version_id)

    @contextmanager
    def _shown(self, data: bytes) -> Iterator[ByteStream]:
        yield _Memory(data)


class Place:
    """An approved store, one machine that writes its index, and as many readers as asked for."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.store = FolderStore(folder / "approved")
        self.clock = Clock()
        self.key = self.new_key("home")
        self.writer = self.machine("home")

    def new_key(self, name: str) -> LocalKey:
        """A key of somebody."""
        (self.folder / "keys").mkdir(exist_ok=True)
        return LocalKey.create(self.folder / "keys" / f"{name}.pem")

    def machine(self, name: str, *, store: ObjectStore | None = None, key: LocalKey | None = None) -> IndexWriter:
        """A machine that may write; each has its own folder of trust."""
        trust = self.folder / f"trust-{name}"
        writer = IndexWriter(store or self.store, key or self.key, trust, self.clock, lifetimes=Lifetimes())
        if not writer.trusted.has_root and name != "home":
            writer.trusted.trust_root(self.root)
        return writer

    @property
    def root(self) -> bytes:
        """The first root, as readers are given it."""
        return self.bytes("1.root.json")

    def bytes(self, name: str) -> bytes:
        """What lies in the index under a name."""
        return read_bounded(self.store, f"index/{name}", 10_000_000)

    def plant(self, name: str, data: bytes) -> None:
        """What somebody who may write to the store can do."""
        self.store.put(f"index/{name}", data, replace=True)

    def save(self) -> dict[str, bytes]:
        """The whole index."""
        return {path.name: path.read_bytes() for path in (self.folder / "approved" / "index").iterdir()}

    def reader(self, name: str = "reader", *, store: Any = None, tries: int = 1) -> IndexReader:
        """A reader with a folder of trust of its own, given the first root."""
        return IndexReader(store or self.store, self.folder / f"trust-{name}", self.clock, root=self.root, tries=tries)

    def fresh(self, store: Any = None) -> IndexReader:
        """A reader that has seen nothing yet."""
        shutil.rmtree(self.folder / "trust-fresh", ignore_errors=True)
        return self.reader("fresh", store=store)

    def point(self, number: int, channel: str = "production", model_name: ModelName = TINY) -> int:
        """Points a channel to one of the numbered revisions."""
        return self.writer.set_channel(model_name, channel, revision(number), MANIFEST)


class Attacker:
    """Somebody with a key, who makes whatever it can sign."""

    def __init__(self, place: Place, key: LocalKey) -> None:
        self.place = place
        self.key = key

    def sign(self, signed: Any) -> bytes:
        """Metadata with this key's signature."""
        metadata = Metadata(signed)
        metadata.sign(TufSignature(self.key))
        return encoded(metadata)

    def present(self, name: str) -> Any:
        """What is signed in some metadata of the index, to be changed."""
        return Metadata.from_bytes(self.place.bytes(name)).signed

    def publish(self, targets: Targets, *, number: int, change: Callable[[Snapshot], None] | None = None) -> None:
        """A whole state with these top-level targets."""
        data = self.sign(targets)
        self.place.plant(f"{targets.version}.targets.json", data)
        snapshot = self.present(f"{self.present('timestamp.json').snapshot_meta.version}.snapshot.json")
        snapshot.version = number
        snapshot.meta["targets.json"] = meta(targets.version, data)
        if change is not None:
            change(snapshot)
        data = self.sign(snapshot)
        self.place.plant(f"{number}.snapshot.json", data)
        timestamp = Timestamp(
            version=number, expires=self.present("timestamp.json").expires, snapshot_meta=meta(number, data)
        )
        self.place.plant("timestamp.json", self.sign(timestamp))

    def targets(self) -> Targets:
        """The present top-level targets, one version on."""
        number = self.present("timestamp.json").snapshot_meta.version
        version = self.present(f"{number}.snapshot.json").meta["targets.json"].version
        targets = self.present(f"{version}.targets.json")
        assert isinstance(targets, Targets)
        targets.version += 1
        return targets


def meta(version: int, data: bytes) -> MetaFile:
    """What names metadata by version, length and digest."""
    return MetaFile.from_data(version, data, ["sha256"])


def target(path: str, custom: Mapping[str, Any]) -> TargetFile:
    """A target with a record, whose digest is right."""
    from weighbridge.core import canonical

    found = TargetFile.from_data(path, canonical.encode(custom), ["sha256"])
    found.unrecognized_fields["custom"] = dict(custom)
    return found
