"""What every object store must do, as tests: inherit from `StoreContract` and give a fixture `store`."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from weighbridge.core.errors import Conflict, IncompleteUpload, LengthMismatch, ObjectMissing
from weighbridge.core.ports import ObjectStore, PartReceipt

PART_BYTES = 5 * 1024 * 1024
"""S3 takes no smaller parts, except the last."""


def read(store: ObjectStore, key: str, start: int, end: int, *, version_id: str = "") -> bytes:
    """Bytes `start` to `end` of an object, read to the end of the stream in small, uneven steps."""
    got = bytearray()
    with store.open(key, start, end, version_id=version_id) as stream:
        buffer = memoryview(bytearray(70_001))
        while count := stream.readinto(buffer):
            got += buffer[:count]
    return bytes(got)


def body(size_bytes: int, *, seed: int = 1) -> bytes:
    """Bytes that do not repeat."""
    return random.Random(seed).randbytes(size_bytes)


def send(store: ObjectStore, key: str, data: bytes, upload_id: str, order: Sequence[int]) -> list[PartReceipt]:
    """Sends the parts with these numbers, in this order, from four threads, each of which reuses one buffer."""
    waiting = iter(order)
    lock = threading.Lock()
    receipts: list[PartReceipt] = []

    def work() -> None:
        buffer = bytearray(PART_BYTES)
        while True:
            with lock:
                number = next(waiting, None)
            if number is None:
                return
            offset = (number - 1) * PART_BYTES
            part = data[offset : offset + PART_BYTES]
            buffer[: len(part)] = part
            receipt = store.put_part(key, upload_id, number, offset, memoryview(buffer)[: len(part)])
            buffer[:] = bytes(PART_BYTES)
            with lock:
                receipts.append(receipt)

    with ThreadPoolExecutor(4) as pool:
        for task in [pool.submit(work) for _ in range(4)]:
            task.result()
    return receipts


def part_numbers(data: bytes) -> list[int]:
    """The numbers of all parts."""
    return list(range(1, -(-len(data) // PART_BYTES) + 1))


class StoreContract:
    """The contract of `core.ports.ObjectStore`."""

    def test_what_is_put_is_described_and_read_back(self, store: ObjectStore) -> None:
        data = body(300_000)
        put = store.put("a/b.bin", data)
        found = store.head("a/b.bin")
        assert (put.key, put.size_bytes) == (found.key, found.size_bytes) == ("a/b.bin", len(data))
        assert (put.etag, put.version_id) == (found.etag, found.version_id)
        assert read(store, "a/b.bin", 0, len(data), version_id=put.version_id) == data

    def test_a_key_is_never_overwritten_by_accident(self, store: ObjectStore) -> None:
        store.put("key", b"first")
        with pytest.raises(Conflict):
            store.put("key", b"other")
        with pytest.raises(Conflict):
            store.put("key", b"longer than the first")
        assert read(store, "key", 0, 5) == b"first"

    def test_the_same_bytes_again_are_no_conflict(self, store: ObjectStore) -> None:
        store.put("key", b"first")
        assert store.put("key", memoryview(bytearray(b"first"))).size_bytes == 5

    def test_replace_replaces(self, store: ObjectStore) -> None:
        store.put("key", b"first")
        store.put("key", b"the second", replace=True)
        assert read(store, "key", 0, 10) == b"the second"

    def test_an_empty_object(self, store: ObjectStore) -> None:
        store.put("empty", b"")
        assert store.head("empty").size_bytes == 0
        assert read(store, "empty", 0, 0) == b""

    @pytest.mark.parametrize(("start", "end"), [(0, 1), (0, 100), (99, 100), (17, 63), (50, 50)])
    def test_ranges_are_exact(self, store: ObjectStore, start: int, end: int) -> None:
        data = body(100)
        store.put("key", data)
        assert read(store, "key", start, end) == data[start:end]

    @pytest.mark.parametrize(("start", "end"), [(0, 101), (90, 101), (100, 101), (500, 501)])
    def test_a_range_past_the_end_is_an_error(self, store: ObjectStore, start: int, end: int) -> None:
        store.put("key", body(100))
        with pytest.raises(LengthMismatch):
            read(store, "key", start, end)

    def test_a_missing_key(self, store: ObjectStore) -> None:
        with pytest.raises(ObjectMissing):
            store.head("nothing")
        with pytest.raises(ObjectMissing):
            read(store, "nothing", 0, 1)
        with pytest.raises(ObjectMissing):
            store.copy("nothing", "elsewhere")
        store.delete("nothing")
        assert list(store.list("")) == []

    def test_keys_that_need_escaping(self, store: ObjectStore) -> None:
        key = "models/org/na me/100% #1?+~&=é日本.bin"
        store.put(key, b"here")
        assert [item.key for item in store.list("models/org/na m")] == [key]
        assert read(store, key, 1, 3) == b"er"
        store.copy(key, f"{key}2")
        store.delete(key)
        assert [item.key for item in store.list("")] == [f"{key}2"]

    def test_lists_come_in_order_of_key_and_by_prefix(self, store: ObjectStore) -> None:
        for key in ("models/b/2", "models/a-b/1", "models/a/10", "models/a/2", "records/a/1", "models/a.b/1"):
            store.put(key, key.encode())
        everything = [item.key for item in store.list("")]
        assert everything == sorted(everything)
        assert len(everything) == 6
        assert [item.key for item in store.list("models/a/")] == ["models/a/10", "models/a/2"]
        assert [item.key for item in store.list("models/a")] == [
            "models/a-b/1",
            "models/a.b/1",
            "models/a/10",
            "models/a/2",
        ]
        listed = next(iter(store.list("records/")))
        assert listed.size_bytes == len("records/a/1")
        assert listed.modified_at
        assert list(store.list("models/c")) == []

    def test_a_copy_is_equal_and_never_overwrites(self, store: ObjectStore) -> None:
        data = body(100_000)
        put = store.put("one", data)
        assert store.copy("one", "two/deep", version_id=put.version_id).size_bytes == len(data)
        assert read(store, "two/deep", 0, len(data)) == data
        assert store.copy("one", "two/deep").size_bytes == len(data)
        store.put("taken", body(100_000, seed=2))
        with pytest.raises(Conflict):
            store.copy("one", "taken")
        assert read(store, "taken", 0, 100_000) == body(100_000, seed=2)

    def test_delete(self, store: ObjectStore) -> None:
        put = store.put("models/one", b"1")
        store.put("models/two", b"2")
        store.delete("models/one", version_id=put.version_id)
        with pytest.raises(ObjectMissing):
            store.head("models/one")
        assert [item.key for item in store.list("")] == ["models/two"]

    @pytest.mark.parametrize("order", [[1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5], [4, 3, 2, 1, 6, 5]])
    def test_parts_from_four_threads_make_one_object(self, store: ObjectStore, order: list[int]) -> None:
        data = body(PART_BYTES * 5 + 12_345)
        upload_id = store.begin("models/big", len(data))
        receipts = send(store, "models/big", data, upload_id, order)
        assert list(store.list("")) == [], "an object appeared before it was whole"
        stored = store.complete("models/big", upload_id, receipts, size_bytes=len(data))
        found = store.head("models/big")
        assert (stored.size_bytes, stored.version_id) == (found.size_bytes, found.version_id)
        assert found.size_bytes == len(data)
        assert read(store, "models/big", 0, len(data)) == data
        assert [item.key for item in store.list("")] == ["models/big"]
        assert list(store.unfinished("")) == []

    def test_a_part_may_be_sent_again(self, store: ObjectStore) -> None:
        data = body(PART_BYTES + 10)
        upload_id = store.begin("big", len(data))
        send(store, "big", data, upload_id, [1])
        receipts = send(store, "big", data, upload_id, [1, 2])
        store.complete("big", upload_id, receipts, size_bytes=len(data))
        assert read(store, "big", 0, len(data)) == data

    def test_abort_leaves_nothing(self, store: ObjectStore) -> None:
        data = body(PART_BYTES * 2)
        upload_id = store.begin("big", len(data))
        send(store, "big", data, upload_id, [1])
        store.abort("big", upload_id)
        with pytest.raises(ObjectMissing):
            store.head("big")
        assert list(store.unfinished("")) == []
        assert list(store.list("")) == []
        with pytest.raises(IncompleteUpload):
            store.put_part("big", upload_id, 2, PART_BYTES, memoryview(data)[PART_BYTES:])
        store.abort("big", upload_id)

    def test_an_upload_with_a_hole_does_not_complete(self, store: ObjectStore) -> None:
        data = body(PART_BYTES * 3)
        upload_id = store.begin("big", len(data))
        receipts = send(store, "big", data, upload_id, [1, 3])
        with pytest.raises(IncompleteUpload):
            store.complete("big", upload_id, receipts, size_bytes=len(data))
        with pytest.raises(ObjectMissing):
            store.head("big")
        store.abort("big", upload_id)

    def test_an_upload_never_overwrites(self, store: ObjectStore) -> None:
        data = body(PART_BYTES + 10)
        upload_id = store.begin("big", len(data))
        receipts = send(store, "big", data, upload_id, part_numbers(data))
        store.put("big", b"someone was faster")
        with pytest.raises(Conflict):
            store.complete("big", upload_id, receipts, size_bytes=len(data))
        assert read(store, "big", 0, 18) == b"someone was faster"
        store.abort("big", upload_id)
        assert list(store.unfinished("")) == []

    def test_an_upload_of_what_is_there_is_no_conflict(self, store: ObjectStore) -> None:
        data = body(PART_BYTES + 10)
        store.put("big", data)
        upload_id = store.begin("big", len(data))
        receipts = send(store, "big", data, upload_id, part_numbers(data))
        assert store.complete("big", upload_id, receipts, size_bytes=len(data)).size_bytes == len(data)
        assert read(store, "big", 0, len(data)) == data
        assert list(store.unfinished("")) == []
