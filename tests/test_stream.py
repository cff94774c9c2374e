"""The pass itself, in this process and without sockets: under any schedule of faults the right bytes land, or none."""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.hub import Cut, Effect, Fault, Flip, Hub, Pointer, Refuse, Relabel, Shift, Truncate, Whole
from tests.support.memory_hub import MemorySource
from weighbridge.core.config import TransferSettings
from weighbridge.core.errors import Interrupted, WeighbridgeError
from weighbridge.core.ports import PartReceipt
from weighbridge.core.snapshot import Entry
from weighbridge.store.folder import FolderStore
from weighbridge.transfer.journal import Journal
from weighbridge.transfer.stream import Bridge, Crossed, Pass

MIB = 1024 * 1024
PART = 8 * MIB
FILES = {
    "a.bin": random.Random(1).randbytes(19 * MIB + 3),
    "b.bin": random.Random(2).randbytes(8 * MIB),
    "c.json": b"{}",
    "empty": b"",
}


class Watcher:
    """Counts what was read and landed."""

    def __init__(self) -> None:
        self.read = 0
        self._lock = threading.Lock()

    def planned(self, artifacts: int, total_bytes: int, done_bytes: int) -> None:
        pass

    def advanced(self, path: str, size_bytes: int, total_bytes: int) -> None:
        with self._lock:
            self.read += size_bytes

    def retrying(self, path: str, reason: str, wait_seconds: float) -> None:
        pass

    def finished(self, path: str, how: str) -> None:
        pass


def hub_with_files() -> Hub:
    hub = Hub()
    hub.repository("acme/tiny").commit(FILES, lfs=("*.bin",))
    return hub


def cross(hub: Hub, folder: Path, *, cancelled: threading.Event | None = None, streams: int = 3) -> dict[str, Crossed]:
    """One run of the pass into a folder store; what landed, by path."""
    source = MemorySource(hub, "acme/tiny")
    entries = source.pin().entries
    landed: dict[str, Crossed] = {}
    options = TransferSettings(
        streams=streams, uploads=2, part_bytes=PART, memory_bytes=4 * PART, attempts=4, retry_wait_seconds=0.0
    )
    with Journal(folder / "journal", "run", started_at="now", part_bytes=PART) as journal:
        bridge = Bridge(
            source, FolderStore(folder / "store"), journal, options, Watcher(), cancelled or threading.Event()
        )
        Pass(bridge, prefix="models/", done=lambda crossed: landed.update({crossed.artifact.path: crossed})).run(
            entries
        )
    return landed


def stored(folder: Path) -> dict[str, bytes]:
    root = folder / "store" / "models"
    return {path.name: path.read_bytes() for path in root.glob("*")} if root.is_dir() else {}


EFFECTS: st.SearchStrategy[Effect] = st.one_of(
    st.builds(Cut, st.integers(0, 20 * MIB), st.sampled_from(["fin", "rst"])),
    st.builds(Truncate, st.integers(0, 9 * MIB), st.sampled_from(["right", "wrong", "absent"])),
    st.builds(Flip, st.integers(0, 19 * MIB)),
    st.just(Whole()),
    st.builds(Shift, st.integers(1, 100)),
    st.sampled_from([Relabel({"ETag": '"x"'}), Relabel({"Content-Range": "bytes 0-1/2"}), Pointer()]),
    st.builds(Refuse, st.sampled_from([429, 500, 503])),
)
FAULTS = st.lists(
    st.builds(
        Fault,
        EFFECTS,
        path=st.sampled_from([r"a\.bin", r"b\.bin", r"c\.json", r".*"]),
        times=st.integers(1, 4),
        skip=st.integers(0, 3),
    ),
    max_size=5,
)


@given(faults=FAULTS, streams=st.integers(1, 5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_schedule_of_faults_ends_in_the_right_bytes_or_none(faults: list[Fault], streams: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="wb-stream-"))
    try:
        hub = hub_with_files()
        hub.faults.add(*faults)
        with contextlib.suppress(WeighbridgeError):
            assert set(cross(hub, folder, streams=streams)) == set(FILES)
        for name, data in stored(folder).items():
            assert data == FILES[name]
        hub.faults.clear()
        cross(hub, folder, streams=streams)
        assert stored(folder) == FILES
        assert not list((folder / "store" / ".uploads").iterdir())
    finally:
        shutil.rmtree(folder)


class StopsAt:
    """A source that asks for a stop once so many bytes were read."""

    def __init__(self, inner: MemorySource, after: int, cancelled: threading.Event) -> None:
        self._inner = inner
        self._left = after
        self._cancelled = cancelled

    def pin(self) -> object:
        return self._inner.pin()

    def open(self, entry: Entry, start: int, end: int) -> object:
        self._left -= end - start
        if self._left < 0:
            self._cancelled.set()
        return self._inner.open(entry, start, end)

    def close(self) -> None:
        self._inner.close()


@pytest.mark.parametrize("after", [0, 1, 9 * MIB, 17 * MIB, 25 * MIB])
def test_stopped_at_any_part_it_is_taken_up(tmp_path: Path, after: int) -> None:
    hub = hub_with_files()
    cancelled = threading.Event()
    source = StopsAt(MemorySource(hub, "acme/tiny"), after, cancelled)
    entries = MemorySource(hub, "acme/tiny").pin().entries
    options = TransferSettings(streams=1, uploads=1, part_bytes=PART, memory_bytes=4 * PART)
    source.pin()
    with Journal(tmp_path / "journal", "run", started_at="now", part_bytes=PART) as journal:
        bridge = Bridge(source, FolderStore(tmp_path / "store"), journal, options, Watcher(), cancelled)  # type: ignore[arg-type]
        with pytest.raises(Interrupted):
            Pass(bridge, prefix="models/", done=lambda _crossed: None).run(entries)
    cross(hub, tmp_path)
    assert stored(tmp_path) == FILES


def test_no_more_is_held_than_the_settings_allow(tmp_path: Path) -> None:
    """Far more is read than the buffers hold, while storing is slower than reading."""
    hub = Hub()
    hub.repository("acme/tiny").commit({"w.bin": bytes(96 * MIB)}, lfs=("*.bin",))
    source = MemorySource(hub, "acme/tiny")
    entries = source.pin().entries
    held = 0
    most = 0
    lock = threading.Lock()

    class Slow(FolderStore):
        def put_part(self, key: str, upload_id: str, number: int, offset: int, body: memoryview) -> PartReceipt:
            nonlocal held, most
            threading.Event().wait(0.02)
            receipt = super().put_part(key, upload_id, number, offset, body)
            with lock:
                held -= len(body)
            return receipt

    class Counting(Watcher):
        def advanced(self, path: str, size_bytes: int, total_bytes: int) -> None:
            nonlocal held, most
            with lock:
                held += size_bytes
                most = max(most, held)

    options = TransferSettings(streams=4, uploads=2, part_bytes=PART, memory_bytes=3 * PART)
    with Journal(tmp_path / "journal", "run", started_at="now", part_bytes=PART) as journal:
        bridge = Bridge(source, Slow(tmp_path / "store"), journal, options, Counting(), threading.Event())
        Pass(bridge, prefix="models/", done=lambda _crossed: None).run(entries)
    assert PART <= most <= 3 * PART
