"""The parts of a transfer: resumable hashes, bounded buffers, patience, the journal, one artifact's state, shards."""

from __future__ import annotations

import hashlib
import itertools
import json
import mmap
import random
import shutil
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.hub import lfs_pointer
from weighbridge.core.config import TransferSettings
from weighbridge.core.digests import CHUNK_BYTES, EMPTY_SHA256, git_blob_header
from weighbridge.core.errors import (
    Busy,
    ConfigError,
    DigestMismatch,
    Interrupted,
    MissingShard,
    NotFound,
    PointerInsteadOfFile,
    RateLimited,
    Unreachable,
    UnsafePath,
    WeighbridgeError,
)
from weighbridge.core.manifest import Artifact
from weighbridge.core.ports import PartReceipt, StoredObject
from weighbridge.core.snapshot import Entry
from weighbridge.transfer import sha256
from weighbridge.transfer.artifact import HEAD_BYTES, ChunkDigests, Crossing, FilledPart, Part
from weighbridge.transfer.buffers import BufferPool
from weighbridge.transfer.journal import Journal, Progress, running, waiting
from weighbridge.transfer.sha256 import ResumableSha256
from weighbridge.transfer.shards import check_index, is_index
from weighbridge.vault.patience import PROGRESS_BYTES, Patience

CONTENT = random.Random(1).randbytes(400)

# --- a hash that can be taken up again -----------------------------------------------------------


@pytest.fixture
def state() -> str:
    """The state after some bytes, where this Python can give it."""
    hasher = ResumableSha256()
    hasher.update(bytearray(CONTENT[:100]))
    found = hasher.state()
    if found is None:
        pytest.skip("this Python's OpenSSL does not give its state away")
    return found


def test_a_hash_goes_on_from_every_boundary(state: str) -> None:
    for boundary in range(len(CONTENT) + 1):
        first = ResumableSha256()
        first.update(bytearray(CONTENT[:boundary]))
        saved = first.state()
        assert saved is not None
        second = ResumableSha256.restore(saved)
        assert second is not None
        assert second.hexdigest() == first.hexdigest() == hashlib.sha256(CONTENT[:boundary]).hexdigest()
        second.update(bytearray(CONTENT[boundary:]))
        assert second.hexdigest() == hashlib.sha256(CONTENT).hexdigest()
        assert first.state() == saved


@given(st.lists(st.binary(max_size=200), max_size=6))
@budget(max_examples=60, deadline=None)
def test_any_slicing_has_the_digest_of_the_whole(slices: list[bytes]) -> None:
    hasher = ResumableSha256()
    for piece in slices:
        hasher.update(memoryview(bytearray(piece)))
        saved = hasher.state()
        restored = ResumableSha256.restore(saved) if saved else hasher
        assert restored is not None
        hasher = restored
    assert hasher.hexdigest() == hashlib.sha256(b"".join(slices)).hexdigest()


def test_a_slice_of_a_map_is_hashed_where_it_lies() -> None:
    buffer = mmap.mmap(-1, len(CONTENT))
    buffer[:] = CONTENT
    hasher = ResumableSha256()
    hasher.update(memoryview(buffer)[17:300])
    assert hasher.hexdigest() == hashlib.sha256(CONTENT[17:300]).hexdigest()


def test_a_state_counts_on_beyond_four_billion_bits(state: str) -> None:
    """OpenSSL keeps the length in two words: more than 2^32 bits were hashed before the state was saved."""
    block, hasher = bytearray(1 << 20), ResumableSha256()
    expected = hashlib.sha256()
    for _ in range(520):
        hasher.update(block)
        expected.update(block)
    saved = hasher.state()
    assert saved is not None
    restored = ResumableSha256.restore(saved)
    assert restored is not None
    restored.update(block)
    expected.update(block)
    assert restored.hexdigest() == expected.hexdigest()


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: "",
        lambda state: ":",
        lambda state: state.partition(":")[2],
        lambda state: "openssl-1-little-112:" + state.partition(":")[2],
        lambda state: state.replace("little", "big") if "little" in state else state.replace("big", "little"),
        lambda state: state[:-2],
        lambda state: state + "00",
        lambda state: state[:-1] + "g",
        lambda state: state[:-1] + "é",
        lambda state: "x" + state,
    ],
)
def test_a_foreign_or_damaged_state_is_not_taken_up(state: str, damage: Callable[[str], str]) -> None:
    assert damage(state) != state
    assert ResumableSha256.restore(damage(state)) is None


def _with_counters(state: str, pending: int, digest_bytes: int) -> str:
    counters = pending.to_bytes(4, sys.byteorder) + digest_bytes.to_bytes(4, sys.byteorder)
    return state[: -2 * len(counters)] + counters.hex()


def test_the_counters_are_where_the_next_test_puts_them(state: str) -> None:
    assert _with_counters(state, 100 % 64, 32) == state


@pytest.mark.parametrize(("pending", "digest_bytes"), [(64, 32), (200, 32), (0xFFFFFFFF, 32), (36, 64), (36, 0)])
def test_a_state_whose_counters_leave_the_structure_is_not_taken_up(
    state: str, pending: int, digest_bytes: int
) -> None:
    assert ResumableSha256.restore(_with_counters(state, pending, digest_bytes)) is None


def test_a_state_with_spaces_for_digits_is_not_taken_up(state: str) -> None:
    assert ResumableSha256.restore(state[:-4] + "    ") is None


def test_without_the_library_the_digest_is_right_and_there_is_no_state(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sha256, "_library", lambda: None)
    hasher = ResumableSha256()
    hasher.update(bytearray())
    hasher.update(bytearray(CONTENT[:100]))
    hasher.update(memoryview(bytearray(CONTENT[100:])))
    assert hasher.hexdigest() == hashlib.sha256(CONTENT).hexdigest()
    assert hasher.state() is None
    assert ResumableSha256.restore(state) is None


# --- buffers -------------------------------------------------------------------------------------


def test_there_are_never_more_buffers_than_agreed() -> None:
    pool = BufferPool(3, 4096, threading.Event())
    held = [pool.acquire() for _ in range(3)]
    assert len({id(buffer) for buffer in held}) == 3
    assert all(len(buffer) == 4096 for buffer in held)
    seen = {id(buffer) for buffer in held}
    for _ in range(20):
        pool.release(held.pop())
        held.append(pool.acquire())
        seen.add(id(held[-1]))
    assert len(seen) == 3


def test_whoever_finds_no_buffer_waits_for_one() -> None:
    pool, got = BufferPool(1, 4096, threading.Event()), []
    first = pool.acquire()
    waiter = threading.Thread(target=lambda: got.append(pool.acquire()), daemon=True)
    waiter.start()
    waiter.join(0.2)
    assert waiter.is_alive()
    assert not got
    pool.release(first)
    waiter.join(10)
    assert got == [first]


def test_cancelling_wakes_everyone_who_waits() -> None:
    cancelled = threading.Event()
    pool, stopped = BufferPool(1, 4096, cancelled), []
    held = pool.acquire()

    def wait() -> None:
        try:
            pool.acquire()
        except Interrupted as error:
            stopped.append(error)

    waiters = [threading.Thread(target=wait, daemon=True) for _ in range(4)]
    for waiter in waiters:
        waiter.start()
    cancelled.set()
    for waiter in waiters:
        waiter.join(10)
    assert len(stopped) == 4
    pool.release(held)
    with pytest.raises(Interrupted):
        pool.acquire()


# --- patience ------------------------------------------------------------------------------------


class Instant(threading.Event):
    """A real event whose waits take no time."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


GONE = Unreachable("the connection broke")


def patient(cancelled: threading.Event | None = None, **settings: Any) -> tuple[Patience, list[float]]:
    waits: list[float] = []
    patience = Patience(
        TransferSettings(**settings), cancelled or Instant(), lambda reason, seconds: waits.append(seconds)
    )
    return patience, waits


@pytest.mark.parametrize("attempts", [1, 2, 5, 256])
def test_a_request_is_tried_as_often_as_the_settings_say(attempts: int) -> None:
    patience, waits = patient(attempts=attempts)
    tries = []

    def fail() -> None:
        tries.append(1)
        raise GONE

    with pytest.raises(Unreachable):
        patience.call(fail)
    assert len(tries) == attempts
    assert len(waits) == attempts - 1


def test_waits_double_with_jitter_up_to_the_limit() -> None:
    patience, waits = patient(attempts=256, retry_wait_seconds=1.0, retry_wait_limit_seconds=20.0)
    for _ in range(255):
        patience.failed(GONE)
    for number, wait in enumerate(waits):
        full = min(20.0, 2.0**number)
        assert full / 2 <= wait <= full
    assert len(set(waits[10:])) > 100


def test_what_succeeds_is_returned_and_what_is_not_transient_is_raised_at_once() -> None:
    patience, waits = patient()
    assert patience.call(lambda: 7) == 7
    with pytest.raises(NotFound):
        patience.call(lambda: (_ for _ in ()).throw(NotFound("no such file")))
    with pytest.raises(KeyError):
        patience.call(lambda: {}["a bug"])
    assert waits == []


def test_a_request_that_recovers_is_answered() -> None:
    patience, waits = patient(attempts=3)
    answers = iter([GONE, GONE, "whole"])

    def ask() -> str:
        answer = next(answers)
        if isinstance(answer, WeighbridgeError):
            raise answer
        return answer

    assert patience.call(ask) == "whole"
    assert len(waits) == 2


@pytest.mark.parametrize(("asked", "least"), [(30.0, 30.0), (120.0, 120.0), (0.0, 0.5), (None, 0.5)])
def test_a_server_that_asks_to_wait_is_obeyed_up_to_the_limit(asked: float | None, least: float) -> None:
    patience, waits = patient(retry_wait_seconds=1.0, retry_wait_limit_seconds=120.0)
    patience.failed(RateLimited("slow down", retry_after_seconds=asked))
    assert len(waits) == 1
    assert least <= waits[0] <= max(1.0, least)


@pytest.mark.parametrize("asked", [120.5, 86_400.0, 999_999_999_999.0, float("inf")])
def test_a_server_that_asks_for_too_much_is_reported_and_not_slept_through(asked: float) -> None:
    patience, waits = patient(retry_wait_limit_seconds=120.0)
    with pytest.raises(RateLimited, match="slow down") as told:
        patience.failed(RateLimited("slow down", retry_after_seconds=asked))
    assert "retry_wait_limit_seconds (120)" in told.value.hint
    assert waits == []


def test_only_enough_progress_forgives_earlier_failures() -> None:
    for moved, forgiven in (
        ([PROGRESS_BYTES], True),
        ([PROGRESS_BYTES // 2] * 2, True),
        ([PROGRESS_BYTES - 1], False),
        ([1] * 1000, False),
        ([], False),
    ):
        patience, waits = patient(attempts=3)
        patience.failed(GONE)
        patience.failed(GONE)
        for count in moved:
            patience.moved(count)
        if forgiven:
            patience.failed(GONE)
            patience.failed(GONE)
            assert len(waits) == 4
        with pytest.raises(Unreachable):
            patience.failed(GONE)


def test_a_stream_that_brings_bytes_each_time_may_be_cut_without_end() -> None:
    patience, waits = patient(attempts=2)
    for _ in range(100):
        patience.moved(PROGRESS_BYTES)
        patience.failed(GONE)
    assert len(waits) == 100


def test_cancelling_ends_the_wait_and_the_tries() -> None:
    cancelled = threading.Event()
    patience, _ = patient(cancelled, retry_wait_seconds=3600.0, retry_wait_limit_seconds=3600.0)
    threading.Timer(0.05, cancelled.set).start()
    with pytest.raises(Interrupted):
        patience.failed(GONE)
    with pytest.raises(Unreachable):
        patience.failed(GONE)


# --- the journal ---------------------------------------------------------------------------------

RECEIPTS = [PartReceipt(number, (number - 1) * 10, 10, f'"etag-{number}"', f"crc{number}==") for number in (1, 2, 3)]
ARTIFACT = Artifact("done é.bin", 3, "1" * 64, ("2" * 64,), proven="sha256")
STORED = StoredObject("models/done é.bin", 3, "v1", '"etag"', "crc==")


def journal(folder: Path, *, started_at: str = "2025-01-20T12:00:00Z", part_bytes: int = CHUNK_BYTES) -> Journal:
    return Journal(folder, "acme-tiny", started_at=started_at, part_bytes=part_bytes)


def _fill(folder: Path) -> list[dict[str, Progress]]:
    """Writes a journal, and returns what must be known after each of its lines."""
    with journal(folder) as written:
        written.begin("a.bin", "v1", "upload-1")
        written.part("a.bin", RECEIPTS[0], ("c1",), "state-1")
        written.part("a.bin", RECEIPTS[1], ("c2", "c3"), None)
        written.artifact("v2", ARTIFACT, STORED)
        written.begin("b.bin", "v3", "upload-2")
        written.forget("b.bin")
        written.part("a.bin", RECEIPTS[2], ("c4",), "state-3")
    begun = Progress("v1", "upload-1")
    one = replace(begun, receipts={1: RECEIPTS[0]}, chunks={1: ("c1",)}, states={1: "state-1"})
    two = replace(
        one,
        receipts={1: RECEIPTS[0], 2: RECEIPTS[1]},
        chunks={1: ("c1",), 2: ("c2", "c3")},
        states={1: "state-1", 2: ""},
    )
    done = {ARTIFACT.path: Progress("v2", artifact=ARTIFACT, stored=STORED)}
    three = replace(
        two,
        receipts=two.receipts | {3: RECEIPTS[2]},
        chunks=two.chunks | {3: ("c4",)},
        states=two.states | {3: "state-3"},
    )
    return [
        {},
        {},
        {"a.bin": begun},
        {"a.bin": one},
        {"a.bin": two},
        {"a.bin": two, **done},
        {"a.bin": two, **done, "b.bin": Progress("v3", "upload-2")},
        {"a.bin": two, **done},
        {"a.bin": three, **done},
    ]


def test_a_journal_remembers_what_was_acknowledged(tmp_path: Path) -> None:
    with journal(tmp_path) as fresh:
        assert not fresh.resumed
        assert fresh.progress == {}
    known = _fill(tmp_path / "other")
    with journal(tmp_path / "other", started_at="later", part_bytes=1) as again:
        assert again.resumed
        assert again.progress == known[-1]
        assert (again.started_at, again.part_bytes) == ("2025-01-20T12:00:00Z", CHUNK_BYTES)


def test_a_changed_validator_makes_an_artifact_fresh(tmp_path: Path) -> None:
    _fill(tmp_path)
    with journal(tmp_path) as again:
        assert again.of("a.bin", "v1").upload_id == "upload-1"
        assert again.of(ARTIFACT.path, "v2").artifact == ARTIFACT
        assert again.of("a.bin", "v9") == Progress("v9")
        assert again.of("a.bin", "") == Progress("")
        assert again.of("unknown", "v1") == Progress("v1")


def test_beginning_again_drops_the_parts_of_the_earlier_upload(tmp_path: Path) -> None:
    _fill(tmp_path)
    with journal(tmp_path) as again:
        again.begin("a.bin", "v1", "upload-9")
    with journal(tmp_path) as third:
        assert third.progress["a.bin"] == Progress("v1", "upload-9")


def test_a_torn_last_line_is_as_if_it_had_not_been_written(tmp_path: Path) -> None:
    known = _fill(tmp_path / "whole")
    data = (tmp_path / "whole" / "acme-tiny.jsonl").read_bytes()
    last = data.splitlines(keepends=True)[-1]
    torn = tmp_path / "torn"
    for kept in range(len(last)):
        shutil.rmtree(torn, ignore_errors=True)
        torn.mkdir()
        (torn / "acme-tiny.jsonl").write_bytes(data[: len(data) - len(last) + kept])
        with journal(torn) as again:
            assert again.resumed
            assert again.progress == known[-2]
            again.part("a.bin", RECEIPTS[2], ("c4",), "state-3")
        assert (torn / "acme-tiny.jsonl").read_bytes() == data


@pytest.mark.parametrize("seed", [1, 2])
def test_a_flipped_bit_ends_what_is_believed_at_its_line(tmp_path: Path, seed: int) -> None:
    known = _fill(tmp_path)
    path, chance = tmp_path / "acme-tiny.jsonl", random.Random(seed)
    data = path.read_bytes()
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        lines_before = data[:position].count(b"\n")
        with journal(tmp_path) as again:
            assert again.progress == known[lines_before]
            assert again.resumed is (lines_before > 0)
        kept = path.read_bytes()
        assert kept.startswith(b"".join(data.splitlines(keepends=True)[:lines_before]))


def test_a_journal_of_noise_begins_anew(tmp_path: Path) -> None:
    for noise in (b"\x00" * 4096, b"\n\n\n", b"00000000 {}\n", random.Random(3).randbytes(5000), b"{}\n"):
        (tmp_path / "acme-tiny.jsonl").write_bytes(noise)
        with journal(tmp_path, part_bytes=7) as fresh:
            assert not fresh.resumed
            assert (fresh.progress, fresh.part_bytes) == ({}, 7)
        with journal(tmp_path, part_bytes=8) as again:
            assert (again.resumed, again.part_bytes) == (True, 7)


def _line(body: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(body), body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"fact":"part","path":"a.bin"}', b'{"fact":1}', b'{"path":"a.bin"}', b'["fact"]', b'{"fact":"begin","path":1}',
        b'{"fact":"part","path":"a.bin","number":-1,"offset":0,"size_bytes":1,"etag":"","crc64nvme":""}',
    ],
)  # fmt: skip
def test_a_line_of_another_form_ends_what_is_believed(tmp_path: Path, body: bytes) -> None:
    known = _fill(tmp_path)
    with (tmp_path / "acme-tiny.jsonl").open("ab") as lines:
        lines.write(_line(body) + _line(b'{"fact":"forget","path":"a.bin"}'))
    with journal(tmp_path) as again:
        assert again.progress.keys() == known[-1].keys()
        assert again.progress["a.bin"] == known[-1]["a.bin"]


@pytest.mark.parametrize(
    "body", [b'{"fact":"artifact","path":"x","validator":""}', b"{not json", b"\xff", b"[" * 100_000]
)
def test_a_line_of_another_version_ends_what_is_believed(tmp_path: Path, body: bytes) -> None:
    _fill(tmp_path)
    with (tmp_path / "acme-tiny.jsonl").open("ab") as lines:
        lines.write(_line(body))
    with journal(tmp_path) as again:
        assert again.progress["a.bin"].upload_id == "upload-1"


def test_one_process_holds_a_journal_at_a_time(tmp_path: Path) -> None:
    held = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, pathlib\n"
            "from weighbridge.transfer.journal import Journal\n"
            "with Journal(pathlib.Path(sys.argv[1]), 'acme-tiny', started_at='', part_bytes=8):\n"
            "    print('held', flush=True)\n"
            "    sys.stdin.read()\n",
            str(tmp_path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert held.stdout is not None
    assert held.stdout.readline() == "held\n"
    with pytest.raises(Busy, match="already running"):
        journal(tmp_path)
    assert list(running(tmp_path)) == ["acme-tiny"]
    assert list(waiting(tmp_path)) == []
    Journal(tmp_path, "acme-other", started_at="", part_bytes=8).close()
    held.kill()
    held.communicate()
    assert list(running(tmp_path)) == []
    assert list(waiting(tmp_path)) == ["acme-other", "acme-tiny"]
    with journal(tmp_path) as again:
        assert again.resumed


def test_a_finished_journal_leaves_nothing_to_resume(tmp_path: Path) -> None:
    _fill(tmp_path)
    with journal(tmp_path) as again:
        again.finish()
    assert list(waiting(tmp_path)) == []
    with journal(tmp_path) as fresh:
        assert not fresh.resumed


def test_the_journal_is_for_its_owner_only(tmp_path: Path) -> None:
    _fill(tmp_path / "journal")
    assert (tmp_path / "journal").stat().st_mode & 0o077 == 0
    assert (tmp_path / "journal" / "acme-tiny.jsonl").stat().st_mode & 0o077 == 0


def test_a_journal_that_cannot_be_written_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "acme-tiny.lock").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        journal(tmp_path)


def test_a_journal_below_a_file_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError):
        journal(tmp_path / "file")


def test_a_line_that_does_not_fit_on_the_disk_is_not_acknowledged(tmp_path: Path) -> None:
    """A file size limit stands in for a full disk: the first write is cut short, as write(2) allows."""
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            "import pathlib, resource, sys\n"
            "from weighbridge.core.errors import WeighbridgeError\n"
            "from weighbridge.transfer.journal import Journal\n"
            "folder = pathlib.Path(sys.argv[1])\n"
            "with Journal(folder, 'acme-tiny', started_at='', part_bytes=8) as journal:\n"
            "    size = (folder / 'acme-tiny.jsonl').stat().st_size\n"
            "    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, resource.RLIM_INFINITY))\n"
            "    try:\n"
            "        journal.begin('a.bin', 'v1', 'upload-1')\n"
            "    except WeighbridgeError:\n"
            "        print('refused')\n",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.stdout == "refused\n", ran.stderr


# --- chunk digests -------------------------------------------------------------------------------

LARGE = random.Random(2).randbytes(1 << 20) * 17 + b"tail"
LARGE_DIGESTS = tuple(blake3(LARGE[i : i + CHUNK_BYTES]).hexdigest() for i in range(0, len(LARGE), CHUNK_BYTES))
EDGES = st.one_of(
    st.integers(0, len(LARGE)),
    st.sampled_from([0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, len(LARGE)]),
)


@given(st.lists(EDGES, max_size=5))
@budget(max_examples=25, deadline=None)
def test_chunk_digests_do_not_depend_on_the_slices(cuts: list[int]) -> None:
    digests, view = ChunkDigests(), memoryview(LARGE)
    edges = [0, *sorted(cuts), len(LARGE)]
    for start, end in itertools.pairwise(edges):
        digests.update(view[start:end])
    assert digests.finish() == LARGE_DIGESTS


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_chunk_digests_at_the_edges(size: int) -> None:
    digests = ChunkDigests()
    digests.update(memoryview(LARGE)[:size])
    found = digests.finish()
    assert found == tuple(
        blake3(LARGE[i : min(size, i + CHUNK_BYTES)]).hexdigest() for i in range(0, size, CHUNK_BYTES)
    )
    assert digests.finish() == found


# --- one artifact on its way ---------------------------------------------------------------------


def entry_of(data: bytes, *, git: bool = True, sha: bool = True) -> Entry:
    git_sha1 = hashlib.sha1(git_blob_header(len(data)) + data).hexdigest() if git else ""
    return Entry("model.bin", len(data), hashlib.sha256(data).hexdigest() if sha else "", git_sha1, "v1")


def fill(part: Part, data: bytes) -> FilledPart:
    buffer = mmap.mmap(-1, part.size_bytes + 3)
    buffer[: part.size_bytes] = data[part.offset : part.offset + part.size_bytes]
    return FilledPart(part, buffer, (f"chunk-{part.number}",))


def receipt(part: Part) -> PartReceipt:
    return PartReceipt(part.number, part.offset, part.size_bytes, f"etag-{part.number}")


def bring(crossing: Crossing, part: Part, data: bytes) -> list[tuple[FilledPart, str | None]]:
    """One part arrives, is hashed when it is its turn, and everything now in order is acknowledged."""
    filled = fill(part, data)
    hashed = crossing.claim(part)
    if hashed:
        crossing.hash(filled.view)
    ready: list[tuple[FilledPart, str | None]] = []
    crossing.arrived(filled, hashed=hashed, emit=lambda part, state: ready.append((part, state)))
    for one, _ in ready:
        crossing.acknowledged(receipt(one.part), one.chunks)
    return ready


@given(st.data(), st.integers(1, 60), st.integers(1, 13))
@budget(max_examples=150, deadline=None)
def test_the_hashes_are_right_in_whatever_order_parts_come(drawn: st.DataObject, size: int, part_bytes: int) -> None:
    data = CONTENT[:size]
    crossing = Crossing(entry_of(data), key="k", part_bytes=part_bytes)
    parts = crossing.remaining()
    assert sum(part.size_bytes for part in parts) == size
    # Each part begins and ends at some time; the order of all these events is drawn.
    events = drawn.draw(st.permutations([part.number for part in parts] * 2))
    filled: dict[int, tuple[FilledPart, bool]] = {}
    handed: list[int] = []
    complete = False
    for number in events:
        part = parts[number - 1]
        if number not in filled:
            filled[number] = (fill(part, data), crossing.claim(part))
            continue
        arrived, hashed = filled[number]
        for start in range(0, part.size_bytes if hashed else 0, 4):
            crossing.hash(arrived.view[start : start + 4])
        emitted: list[FilledPart] = []
        crossing.arrived(arrived, hashed=hashed, emit=lambda part, _state, to=emitted: to.append(part))
        for ready in emitted:
            handed.append(ready.part.number)
            assert not complete
            complete = crossing.acknowledged(receipt(ready.part), ready.chunks)
    assert handed == [part.number for part in parts]
    assert complete
    assert [one.number for one in crossing.receipts()] == handed
    proven = crossing.prove()
    assert proven == Artifact(
        "model.bin", size, hashlib.sha256(data).hexdigest(), tuple(f"chunk-{number}" for number in handed),
        git_sha1=crossing.entry.git_sha1, proven="sha256",
    )  # fmt: skip
    assert crossing.head == data[: parts[0].size_bytes]


def test_many_threads_may_bring_parts_at_once() -> None:
    data = random.Random(4).randbytes(200_003)
    crossing = Crossing(entry_of(data), key="k", part_bytes=1_000)
    parts, lock, finished = iter(crossing.remaining()), threading.Lock(), []

    def work() -> None:
        while True:
            with lock:
                part = next(parts, None)
            if part is None:
                return
            finished.extend(one.part.number for one, _ in bring(crossing, part, data))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(finished) == list(range(1, 202))
    assert crossing.prove().sha256 == hashlib.sha256(data).hexdigest()


def test_only_one_claims_and_only_the_next_in_order() -> None:
    crossing = Crossing(entry_of(CONTENT), key="k", part_bytes=100)
    first, second, *_ = crossing.remaining()
    assert not crossing.claim(second)
    assert crossing.claim(first)
    assert not crossing.claim(first)
    assert not crossing.claim(second)


@pytest.mark.parametrize("size", [0, 1, 100, 101, 400])
def test_an_artifact_is_cut_into_parts_without_gaps(size: int) -> None:
    crossing = Crossing(entry_of(CONTENT[:size]), key="k", part_bytes=100)
    parts = crossing.remaining()
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert [part.offset for part in parts] == list(range(0, size, 100))
    assert sum(part.size_bytes for part in parts) == size
    assert crossing.whole is (size <= 100)
    assert not crossing.acknowledged_whole
    assert crossing.resumed_bytes == 0


def test_an_empty_artifact_is_proven_without_bytes() -> None:
    proven = Crossing(entry_of(b""), key="k", part_bytes=100).prove(())
    assert (proven.sha256, proven.chunks, proven.proven) == (EMPTY_SHA256, (), "sha256")
    assert proven.git_sha1 == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def test_no_more_than_the_beginning_is_kept() -> None:
    data = bytes(HEAD_BYTES + 10)
    crossing = Crossing(entry_of(data), key="k", part_bytes=len(data))
    bring(crossing, crossing.remaining()[0], data)
    assert crossing.head == data[:HEAD_BYTES]


@pytest.mark.parametrize(
    ("git", "sha", "proven"),
    [(True, True, "sha256"), (False, True, "sha256"), (True, False, "git-sha1"), (False, False, "")],
)
def test_it_is_said_which_claim_was_proven(git: bool, sha: bool, proven: str) -> None:
    crossing = Crossing(entry_of(CONTENT, git=git, sha=sha), key="k", part_bytes=1000)
    bring(crossing, crossing.remaining()[0], CONTENT)
    artifact = crossing.prove()
    assert artifact.proven == proven
    assert artifact.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert bool(artifact.git_sha1) is git


@pytest.mark.parametrize("claim", [{"sha256": "0" * 64}, {"git_sha1": "0" * 40}])
def test_bytes_that_are_not_what_was_announced_are_refused(claim: dict[str, str]) -> None:
    crossing = Crossing(replace(entry_of(CONTENT), **claim), key="k", part_bytes=100)
    for part in crossing.remaining():
        bring(crossing, part, CONTENT)
    with pytest.raises(DigestMismatch, match=next(iter(claim.values()))) as refused:
        crossing.prove()
    assert "model.bin" in refused.value.message
    assert refused.value.exit_code == 6


@given(st.integers(0, len(CONTENT) * 8 - 1))
@budget(max_examples=50, deadline=None)
def test_one_flipped_bit_is_noticed(bit: int) -> None:
    flipped = bytearray(CONTENT)
    flipped[bit // 8] ^= 1 << bit % 8
    for git, sha in ((True, False), (False, True)):
        crossing = Crossing(entry_of(CONTENT, git=git, sha=sha), key="k", part_bytes=64)
        for part in crossing.remaining():
            bring(crossing, part, bytes(flipped))
        with pytest.raises(DigestMismatch):
            crossing.prove()


def test_a_pointer_in_place_of_its_file_is_refused_even_when_its_digest_is_right() -> None:
    pointer = lfs_pointer("a" * 64, 12345)
    for git, sha in ((True, True), (True, False), (False, False)):
        crossing = Crossing(entry_of(pointer, git=git, sha=sha), key="k", part_bytes=1000)
        bring(crossing, crossing.remaining()[0], pointer)
        with pytest.raises(PointerInsteadOfFile, match=r"model\.bin"):
            crossing.prove()


@pytest.mark.parametrize(
    "data",
    [
        b"version https://git-lfs.github.com/spec/v1",
        b" " + lfs_pointer("a" * 64, 1),
        lfs_pointer("a" * 64, 1) + bytes(1024),
    ],
)
def test_what_only_resembles_a_pointer_is_a_file(data: bytes) -> None:
    crossing = Crossing(entry_of(data), key="k", part_bytes=10_000)
    bring(crossing, crossing.remaining()[0], data)
    assert crossing.prove().size_bytes == len(data)


# --- taking an artifact up again -----------------------------------------------------------------


def _interrupted(count: int, *, git: bool = False) -> Progress:
    """What the journal knows after `count` parts of 100 bytes."""
    crossing = Crossing(entry_of(CONTENT, git=git), key="k", part_bytes=100)
    known = Progress("v1", "upload-1")
    for part in crossing.remaining()[:count]:
        for ready, state in bring(crossing, part, CONTENT):
            known.receipts[ready.part.number] = receipt(ready.part)
            known.chunks[ready.part.number] = ready.chunks
            known.states[ready.part.number] = state or ""
    return known


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_an_artifact_goes_on_after_its_last_acknowledged_part(state: str, count: int) -> None:
    crossing = Crossing(entry_of(CONTENT, git=False), key="k", part_bytes=100, known=_interrupted(count))
    assert crossing.resumed_bytes == 100 * count
    assert crossing.upload_id == ("upload-1" if count else "")
    assert [part.number for part in crossing.remaining()] == list(range(count + 1, 5))
    assert crossing.acknowledged_whole is (count == 4)
    for part in crossing.remaining():
        bring(crossing, part, CONTENT)
    assert len(crossing.receipts()) == 4
    assert crossing.prove() == Artifact(
        "model.bin", 400, hashlib.sha256(CONTENT).hexdigest(), tuple(f"chunk-{n}" for n in range(1, 5)), proven="sha256"
    )


def test_a_gap_or_a_missing_state_ends_what_is_taken_up(state: str) -> None:
    known = _interrupted(4)
    del known.receipts[3]
    assert Crossing(entry_of(CONTENT, git=False), key="k", part_bytes=100, known=known).resumed_bytes == 200
    known = _interrupted(4)
    known.states[2] = ""
    assert Crossing(entry_of(CONTENT, git=False), key="k", part_bytes=100, known=known).resumed_bytes == 100
    known = _interrupted(4)
    del known.receipts[1]
    assert Crossing(entry_of(CONTENT, git=False), key="k", part_bytes=100, known=known).resumed_bytes == 0


@pytest.mark.parametrize("why", ["no upload", "foreign state", "git"])
def test_what_cannot_be_taken_up_begins_anew(state: str, why: str) -> None:
    known = _interrupted(2)
    if why == "no upload":
        known.upload_id = ""
    if why == "foreign state":
        known.states[2] = "other-library:00"
    crossing = Crossing(entry_of(CONTENT, git=why == "git"), key="k", part_bytes=100, known=known)
    assert (crossing.upload_id, crossing.resumed_bytes, crossing.receipts()) == ("", 0, [])
    for part in crossing.remaining():
        bring(crossing, part, CONTENT)
    assert crossing.prove().sha256 == hashlib.sha256(CONTENT).hexdigest()


# --- shards --------------------------------------------------------------------------------------

HELD = frozenset(
    {"model.safetensors.index.json", "a.safetensors", "b.safetensors", "sub/c.safetensors", "sub/x.index.json"}
)


def index(*shards: object, **more: Any) -> bytes:
    return json.dumps({"weight_map": {f"tensor.{n}": shard for n, shard in enumerate(shards)}} | more).encode()


@pytest.mark.parametrize(
    ("path", "yes"),
    [
        ("model.safetensors.index.json", True), ("pytorch_model.bin.index.json", True), ("sub/x.index.json", True),
        ("index.json", False), ("model.json", False), ("model.index.json.bak", False), ("MODEL.INDEX.JSON", False),
    ],
)  # fmt: skip
def test_an_index_is_known_by_its_name(path: str, yes: bool) -> None:
    assert is_index(path) is yes


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("model.safetensors.index.json", index("a.safetensors", "b.safetensors", "a.safetensors")),
        ("model.safetensors.index.json", index("sub/c.safetensors")),
        ("model.safetensors.index.json", index()),
        ("model.safetensors.index.json", index("a.safetensors", metadata={"total_size": 1.5})),
        ("sub/x.index.json", index("c.safetensors")),
    ],
)
def test_an_index_whose_shards_are_held_passes(path: str, data: bytes) -> None:
    check_index(path, data, HELD, of="acme/tiny")


@pytest.mark.parametrize(
    ("path", "data", "named"),
    [
        ("model.safetensors.index.json", index("a.safetensors", "z.safetensors"), "1 of 2 shards .* z.safetensors"),
        ("model.safetensors.index.json", index("c.safetensors"), "c.safetensors"),
        ("model.safetensors.index.json", index("A.safetensors"), "A.safetensors"),
        ("model.safetensors.index.json", index("sub"), "sub"),
        ("sub/x.index.json", index("a.safetensors"), "a.safetensors"),
        ("model.safetensors.index.json", index(*(f"{n}.bin" for n in range(9))), "9 of 9 .*0.bin, 1.bin, 2.bin …"),
    ],
)
def test_a_shard_that_is_not_held_is_missing(path: str, data: bytes, named: str) -> None:
    with pytest.raises(MissingShard, match=named) as missing:
        check_index(path, data, HELD, of="acme/tiny")
    assert path in missing.value.message


@each("path", ["model.safetensors.index.json", "sub/x.index.json"])
@each(
    "shard",
    [
        "../a.safetensors", "/etc/passwd", "..", "", "./a.safetensors", "a.safetensors/", "C:\\a", "a\x00b", "a\u202eb",
        "con", "a//b", "\ud800", "x" * 2000, "https://evil.example/a.safetensors",
    ],
    ids=range(14),
)  # fmt: skip
def test_a_shard_outside_of_the_model_is_unsafe(path: str, shard: str) -> None:
    with pytest.raises(UnsafePath, match="outside of the model"):
        check_index(path, index("a.safetensors", shard), HELD, of="acme/tiny")


@each(
    "data",
    [
        b"", b"{", b"[]", b"null", b"{}", b'{"weight_map":[]}', b'{"weight_map":null}', b'{"weight_map":{"t":1}}', b"\xff",
        b"[" * 100_000, b'{"weight_map":{"t":["a"]}}', b'{"weight_map":"a"}',
    ],
    ids=range(12),
)  # fmt: skip
def test_what_is_no_index_is_left_to_the_inspectors(data: bytes) -> None:
    check_index("model.safetensors.index.json", data, HELD, of="acme/tiny")


@given(
    st.binary(max_size=40)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["weight_map", "a", "b"]), inner, max_size=3)
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
@budget(max_examples=150, deadline=None)
def test_any_bytes_pass_or_are_refused_by_a_typed_error(data: bytes) -> None:
    try:
        check_index("model.safetensors.index.json", data, HELD, of="acme/tiny")
    except (MissingShard, UnsafePath):
        return
