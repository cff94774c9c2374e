"""`python -m benchmarks.channels [--models 10 1000 10000] [--workspace DIR]`: what the signed index of channels costs.

Each size has three channels for each model, in a folder store. Figures are medians of wall and CPU time within one
process. The peer is python-tuf's own `Updater` over the same files; the other layout is the same index without bins.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from weighbridge.admit import index
from weighbridge.admit.channels import Channels
from weighbridge.admit.index import Pointed, SetChannel
from weighbridge.admit.index_reader import IndexReader
from weighbridge.admit.index_writer import IndexWriter
from weighbridge.attest.keys import LocalKey
from weighbridge.core.layout import SEAL, record_key
from weighbridge.core.names import ModelName
from weighbridge.core.ports import Buffer, ByteStream, ObjectStore, StoredObject
from weighbridge.store.folder import FolderStore
from weighbridge.store.ledger import Ledger, now_rfc3339

CHANNELS = ("production", "staging", "canary")
ROUNDS = 15
MOST_IN_ONE_LIST = 6_000
"""One list of more models is larger than readers read."""


class Counted(FolderStore):
    """A folder store that counts what is moved."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.moved_bytes = 0
        self.requests = 0

    @contextmanager
    def open(self, key: str, start: int, end: int, *, version_id: str = "") -> Iterator[ByteStream]:
        self.moved_bytes += end - start
        self.requests += 1
        with super().open(key, start, end, version_id=version_id) as stream:
            yield stream

    def put(self, key: str, body: Buffer | bytes, *, replace: bool = False) -> StoredObject:
        self.moved_bytes += len(body)
        self.requests += 1
        return super().put(key, body, replace=replace)


class FolderFetcher(FetcherInterface):
    """Hands the stock client the store's files."""

    def __init__(self, store: Counted) -> None:
        self._store = store

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = Path(self._store.address) / url.removeprefix("folder://").lstrip("/")
        if not path.is_file():
            raise DownloadHTTPError(f"no {path.name}", 404)
        data = path.read_bytes()
        self._store.moved_bytes += len(data)
        self._store.requests += 1
        yield data


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    models: int
    layout: str
    what: str
    wall_ms: float
    cpu_ms: float
    moved_bytes: int
    requests: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.channels", description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[10, 1_000, 10_000])
    parser.add_argument("--workspace", type=Path, help="where the index lies (default: the temporary folder)")
    parser.add_argument(
        "--without-bins", action="store_true", help="also one list for all models, the layout not chosen"
    )
    chosen = parser.parse_args(arguments)
    figures: list[Figure] = []
    for models in chosen.models:
        for layout in (
            "bins",
            *(["one list"] if chosen.without_bins and index.BIN_MODELS < models <= MOST_IN_ONE_LIST else []),
        ):
            with tempfile.TemporaryDirectory(dir=chosen.workspace) as folder:
                figures += measure(Path(folder), models, layout)
    print(f"python-tuf {importlib.metadata.version('tuf')}, {os.cpu_count()} processors, median of {ROUNDS}\n")
    print("| models | layout | what | wall ms | CPU ms | bytes moved | requests |\n|---|---|---|---|---|---|---|")
    for one in figures:
        print(
            f"| {one.models:,} | {one.layout} | {one.what} | {one.wall_ms:.2f} | {one.cpu_ms:.2f} "
            f"| {one.moved_bytes:,} | {one.requests} |"
        )


def measure(folder: Path, models: int, layout: str) -> list[Figure]:
    """All figures of one size."""
    usual = index.BIN_MODELS
    index.BIN_MODELS = usual if layout == "bins" else 1 << 40  # type: ignore[misc]
    try:
        return list(_measure(folder, models, layout))
    finally:
        index.BIN_MODELS = usual  # type: ignore[misc]


def _measure(folder: Path, models: int, layout: str) -> Iterator[Figure]:
    store = Counted(folder / "approved")
    key = LocalKey.create(folder / "key.pem")
    writer = IndexWriter(store, key, folder / "trust-writer")
    names = [ModelName("bench", f"m{number}") for number in range(models)]
    writer.apply([SetChannel(name, channel, _pointed(1)) for name in names for channel in CHANNELS])
    root = (folder / "approved" / "index" / "1.root.json").read_bytes()

    def figure(
        what: str, act: Callable[[int], object], before: Callable[[int], object], rounds: int, counted: Counted = store
    ) -> Figure:
        walls, cpus, moved, requests = [], [], [], []
        for number in range(rounds):
            before(number)
            counted.moved_bytes = counted.requests = 0
            wall, cpu = time.perf_counter(), time.process_time()
            act(number)
            cpus.append(time.process_time() - cpu)
            walls.append(time.perf_counter() - wall)
            moved.append(counted.moved_bytes)
            requests.append(counted.requests)
        return Figure(
            models,
            layout,
            what,
            statistics.median(walls) * 1e3,
            statistics.median(cpus) * 1e3,
            round(statistics.median(moved)),
            round(statistics.median(requests)),
        )

    def move(number: int) -> None:
        writer.set_channel(names[number % models], "production", _revision(number + 2), "f" * 64)

    reader = _reader(store, folder / "trust-reader", root)
    reader.current()
    quick = ROUNDS if models < 5_000 or layout == "bins" else 3
    yield figure("move a channel", move, _nothing, quick)
    yield figure(
        "a reader first reads all of it", lambda n: _reader(store, folder / f"new-{n}", root).current(), _nothing, 3
    )
    yield figure("it looks, nothing changed", lambda _: reader.current(), lambda _: reader.current(), 200)
    yield figure("it looks, one channel moved", lambda _: reader.current(), move, quick)
    yield figure(
        "a new process asks for one model",
        lambda n: _reader(store, folder / f"one-{n}", root).find(names[0]),
        _nothing,
        quick,
    )
    with Ledger(f"sqlite:///{folder / 'ledger.sqlite'}", head_path=folder / "head.json", signer=key) as ledger:
        other = Counted(folder / "other")
        for number in (1, 2):
            other.put(record_key(names[0], _revision(number), SEAL), b"sealed")
        channels = Channels(ledger, IndexWriter(other, key, folder / "trust-other"), actor="benchmark")
        channels.sync()
        channels.point(names[0], "production", _revision(1), "f" * 64)
        yield figure(
            "rollback, ledger and index (of one model)",
            lambda _: channels.rollback(names[0], "production"),
            lambda _: channels.point(names[0], "production", _revision(2), "f" * 64),
            ROUNDS,
            other,
        )
    stock = folder / "stock"
    stock.mkdir()
    _stock(store, stock, root, names[0])
    yield figure(
        "python-tuf's Updater, nothing changed", lambda _: _stock(store, stock, root, names[0]), _nothing, quick
    )
    yield figure(
        "python-tuf's Updater, that channel moved",
        lambda _: _stock(store, stock, root, names[0]),
        lambda n: move(n * models),
        quick,
    )


def _nothing(_: int) -> None:
    pass


def _reader(store: ObjectStore, trust: Path, root: bytes) -> IndexReader:
    return IndexReader(store, trust, now_rfc3339, root=root)


def _stock(store: Counted, folder: Path, root: bytes, name: ModelName) -> object:
    client = Updater(str(folder), "folder://index/", fetcher=FolderFetcher(store), bootstrap=root)
    client.refresh()
    return client.get_targetinfo(str(name))


def _revision(number: int) -> str:
    return f"{number:040x}"


def _pointed(number: int) -> Pointed:
    return Pointed(_revision(number), "f" * 64, now_rfc3339())


if __name__ == "__main__":
    main()
