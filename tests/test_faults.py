"""Whatever the upstream does, there is the right artifact, or none and a typed error: never a wrong one."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.support.hub import (
    FOREIGN_LOCATIONS,
    HOSTILE_PATHS,
    Cut,
    Drip,
    Endless,
    Expire,
    Fault,
    Flip,
    HubServer,
    Listing,
    Missing,
    Pointer,
    Redirect,
    Refuse,
    Relabel,
    Shift,
    Stall,
    Then,
    Truncate,
    Whole,
)
from tests.support.waiting import PATIENCE_SECONDS, eventually
from tests.support.weights import weights

MIB = 1024 * 1024
SIZE = 20 * MIB + 4321
PARTS = ("--part-bytes", str(8 * MIB), "--memory-bytes", str(32 * MIB), "--streams", "3")
WEIGHTS = weights(SIZE, seed=7)

pytestmark = pytest.mark.fault


@pytest.fixture
def commit(hub: HubServer) -> str:
    """A model with one file of three parts."""
    return hub.repository("acme/tiny").commit({"config.json": b"{}", "w.bin": WEIGHTS}, lfs=("*.bin",))


def stored(command: Command, commit: str) -> Path:
    """Where the weights lie once they are in."""
    return command.home / "store/models/acme/tiny" / commit / "w.bin"


def in_place(command: Command) -> list[Path]:
    """All artifacts of the weights anywhere in the store, by name."""
    return list((command.home / "store").rglob("w.bin"))


PASSING: dict[str, list[Fault]] = {
    "cut by reset in every part": [Fault(Cut(MIB, "rst"), path="w.bin", times=3)],
    "cut by end in every part": [Fault(Cut(3 * MIB, "fin"), path="w.bin", times=3)],
    "cut before the first byte": [Fault(Cut(0), path="w.bin", times=4)],
    "truncated, length right": [Fault(Truncate(MIB, "right"), path="w.bin", times=2)],
    "truncated, length wrong": [Fault(Truncate(MIB, "wrong"), path="w.bin", times=2)],
    "truncated, no length": [Fault(Truncate(MIB, "absent"), path="w.bin", times=2)],
    "range ignored": [Fault(Whole(), path="w.bin", times=3)],
    "content-range lies": [Fault(Relabel({"Content-Range": f"bytes 0-9/{SIZE}"}), path="w.bin", times=3)],
    "etag changes once": [Fault(Relabel({"ETag": '"other"'}), path="w.bin", times=1, skip=1)],
    "content-encoding lies": [Fault(Relabel({"Content-Encoding": "gzip"}), path="w.bin", times=3)],
    "endless body": [Fault(Endless(), path="w.bin", times=2)],
    "stalls": [Fault(Stall(MIB), path="w.bin", times=1)],
    "drips": [Fault(Drip(50), path="w.bin", times=1)],
    "rate limited, seconds": [Fault(Refuse(429, retry_after="0"), times=2)],
    "rate limited, junk": [Fault(Refuse(429, retry_after="soon"), times=2)],
    "rate limited, negative": [Fault(Refuse(429, retry_after="-5"), times=2)],
    "rate limited, a past date": [Fault(Refuse(429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"), times=2)],
    "a storm of server errors": [
        Fault(Refuse(status), on="content", path="w.bin", times=2) for status in (500, 502, 503, 504)
    ],
    "the link expires": [Fault(Expire(), path="w.bin", times=2, skip=1)],
    "one bit flipped, once": [Fault(Flip(9 * MIB), path="w.bin", times=1)],
    "a bit flipped in a small file, once": [Fault(Flip(1), path="config.json", times=1)],
    "a shifted range, once": [Fault(Shift(1), path="w.bin", times=1)],
    "metadata fails twice": [Fault(Refuse(503), on="info", times=2)],
    "the listing is rate limited": [Fault(Refuse(429, retry_after="0"), on="tree", times=2)],
}


def patience(name: str) -> dict[str, str]:
    """How long bytes that do not come are waited for."""
    return {"WEIGHBRIDGE_TRANSFER_READ_TIMEOUT_SECONDS": "0.5"} if name.startswith(("stalls", "drips")) else {}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_tried_again(on_hub: Command, hub: HubServer, commit: str, name: str) -> None:
    hub.faults.add(*PASSING[name])
    on_hub("ingest", "hf://acme/tiny", *PARTS, "--json", env={"WEIGHBRIDGE_TRANSFER_ATTEMPTS": "12", **patience(name)})
    assert hub.faults.fired >= 1
    assert stored(on_hub, commit).read_bytes() == WEIGHTS


FINAL: dict[str, tuple[list[Fault], int, str]] = {
    "always cut at once": ([Fault(Cut(0), path="w.bin")], 1, "Unreachable|Truncated"),
    "always the whole file": ([Fault(Whole(), path="w.bin", skip=1)], 1, "Unreachable"),
    "always a lying range": ([Fault(Relabel({"Content-Range": "bytes 1-2/3"}), path="w.bin")], 6, "LengthMismatch"),
    "always a flipped bit": ([Fault(Flip(9 * MIB), path="w.bin")], 6, "DigestMismatch"),
    "always a flipped bit in a small file": ([Fault(Flip(1), path="config.json")], 6, "DigestMismatch"),
    "always a shifted range": ([Fault(Shift(1), path="w.bin")], 6, "DigestMismatch"),
    "always server errors": ([Fault(Refuse(503), path="w.bin")], 1, "Unreachable"),
    "asked to wait 30 years": ([Fault(Refuse(429, retry_after="1000000000"), path="w.bin")], 1, "RateLimited"),
    "another commit": ([Fault(Relabel({"X-Repo-Commit": "f" * 40}), on="resolve", path="w.bin")], 6, "RevisionMoved"),
    "another digest announced": (
        [Fault(Relabel({"X-Linked-Etag": '"' + "0" * 64 + '"'}), on="resolve", path="w.bin")],
        6,
        "ContentChanged",
    ),
    "the pointer instead of the file": ([Fault(Pointer(), path="w.bin")], 6, "LengthMismatch|ContentChanged"),
    "the file is not there": ([Fault(Missing(), path="w.bin")], 1, "NotFound"),
    "stalls for ever": ([Fault(Stall(0), path="w.bin")], 1, "Unreachable"),
    "drips for ever": ([Fault(Drip(50), path="w.bin")], 1, "Unreachable"),
}


@pytest.mark.parametrize("name", FINAL)
def test_what_does_not_pass_is_a_typed_error_and_no_artifact(
    on_hub: Command, hub: HubServer, commit: str, name: str
) -> None:
    faults, code, kind = FINAL[name]
    hub.faults.add(*faults)
    few = {"WEIGHBRIDGE_TRANSFER_ATTEMPTS": "3", **patience(name)}
    failed = on_hub("ingest", "hf://acme/tiny", *PARTS, "--json", env=few, code=code)
    error = failed.event("error")
    assert error["error"] in kind.split("|"), error
    assert error["exit_code"] == code
    wrong = [path for path in in_place(on_hub) if path.read_bytes() != WEIGHTS]
    assert not wrong
    if "small" in name:
        assert not list((on_hub.home / "store/models").rglob("config.json"))
    else:
        assert not in_place(on_hub)
    assert on_hub("ls", "--json").json == []
    # and when the upstream recovers, the same command brings it in
    hub.faults.clear()
    on_hub("ingest", "hf://acme/tiny", *PARTS)
    assert stored(on_hub, commit).read_bytes() == WEIGHTS


# The test's own Hub lies on loopback, so loopback is where its files may lie.
@pytest.mark.parametrize(
    "location", [place for place in FOREIGN_LOCATIONS if not re.search(r"127\.0\.0\.1:9/$|0x7f|2130706433", place)]
)
def test_redirects_lead_nowhere_else(on_hub: Command, hub: HubServer, commit: str, location: str) -> None:
    hub.faults.add(Fault(Redirect(location), path="w.bin"))
    failed = on_hub("ingest", "hf://acme/tiny", "--json", code=1)
    assert failed.event("error")["error"] == "SourceError"
    assert not in_place(on_hub)


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_hostile_names_are_refused_before_anything_is_read(on_hub: Command, hub: HubServer, path: str) -> None:
    hub.repository("acme/tiny").commit({"config.json": b"{}"})
    hub.faults.add(Fault(Listing(extra=(path,))))
    failed = on_hub("ingest", "hf://acme/tiny", "--json", code=6)
    assert failed.event("error")["error"] == "UnsafePath"
    assert not [asked for asked in hub.requests if "/resolve/" in asked.path]
    assert "\u202e" not in failed.err
    assert "\0" not in failed.err


def test_a_renamed_repository_is_not_followed(on_hub: Command, hub: HubServer) -> None:
    hub.repository("acme/old").commit({"config.json": b"{}"})
    hub.rename("acme/old", "mallory/new")
    failed = on_hub("ingest", "hf://acme/old", "--json", code=6)
    assert failed.event("error")["error"] == "RepositoryMoved"
    assert "mallory/new" in failed.err


def test_a_repository_renamed_midway_is_not_followed(on_hub: Command, hub: HubServer, commit: str) -> None:
    hub.faults.add(Fault(Then(lambda: hub.rename("acme/tiny", "mallory/tiny")), on="tree", times=1))
    failed = on_hub("ingest", "hf://acme/tiny", "--json", code=6)
    assert failed.event("error")["error"] == "RepositoryMoved"
    assert not in_place(on_hub)


def test_a_branch_that_moves_midway_does_not_mix_revisions(on_hub: Command, hub: HubServer, commit: str) -> None:
    repository = hub.repository("acme/other")
    first = repository.commit({"a.txt": b"1", "b.txt": b"1"})
    hub.faults.add(
        Fault(Then(lambda: repository.commit({"a.txt": b"2", "b.txt": b"2"})), repository="acme/other", times=1)
    )
    done = on_hub("ingest", "hf://acme/other", "--json").event("ingested")
    assert done["revision"] == first
    folder = on_hub.home / "store/models/acme/other" / first
    assert {path.read_bytes() for path in folder.iterdir()} == {b"1"}


def test_a_name_registered_again_by_a_stranger_shows_another_owner(on_hub: Command, hub: HubServer) -> None:
    hub.repository("acme/tiny", owner_id="a" * 24).commit({"a.txt": b"1"})
    on_hub("ingest", "hf://acme/tiny")
    before = on_hub("show", "acme/tiny", "--json").json["manifest"]["origin"]
    hub.recreate("acme/tiny", owner_id="b" * 24)
    hub.repositories["acme/tiny"].commit({"a.txt": b"evil"})
    on_hub("ingest", "hf://acme/tiny")
    after = on_hub("show", "acme/tiny", "--json").json["manifest"]["origin"]
    assert (before["owner_id"], after["owner_id"]) == ("a" * 24, "b" * 24)
    assert before["repository_id"] != after["repository_id"]
    assert len(on_hub("ls", "acme/tiny", "--json").json) == 2


@pytest.mark.parametrize("ref", ["refs/pr/1", "refs%2Fpr%2F1"])
def test_pull_requests_are_refused_unless_asked_for(on_hub: Command, hub: HubServer, ref: str) -> None:
    repository = hub.repository("acme/tiny")
    repository.commit({"a.txt": b"1"})
    proposed = repository.commit({"a.txt": b"2"}, ref="refs/pr/1")
    failed = on_hub("ingest", f"hf://acme/tiny@{ref}", code=2)
    if ref == "refs/pr/1":
        assert "pull request" in failed.err
        done = on_hub("ingest", f"hf://acme/tiny@{ref}", "--allow-pull-requests", "--json").event("ingested")
        assert done["revision"] == proposed


def test_a_missing_shard_is_found_before_the_weights_move(on_hub: Command, hub: HubServer) -> None:
    index = b'{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}'
    files = {"model.safetensors.index.json": index, "model-1.safetensors": b"x" * 1000}
    hub.repository("acme/tiny").commit(files, lfs=("*.safetensors",))
    failed = on_hub("ingest", "hf://acme/tiny", "--json", code=6)
    assert failed.event("error")["error"] == "MissingShard"
    assert hub.bytes_sent("model-1.safetensors") == 0


@pytest.mark.parametrize("shard", ["../../etc/passwd", "/etc/passwd", "a/../../b"])
def test_an_index_that_points_outside_is_refused(on_hub: Command, hub: HubServer, shard: str) -> None:
    index = b'{"weight_map": {"a": "%s"}}' % shard.encode()
    hub.repository("acme/tiny").commit({"model.safetensors.index.json": index})
    assert on_hub("ingest", "hf://acme/tiny", "--json", code=6).event("error")["error"] == "UnsafePath"


def test_a_pointer_committed_in_place_of_the_file(on_hub: Command, hub: HubServer) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1000\n"
    hub.repository("acme/tiny").commit({"model.safetensors": pointer}, lfs=())
    failed = on_hub("ingest", "hf://acme/tiny", "--json", code=6)
    assert failed.event("error")["error"] == "PointerInsteadOfFile"


def test_killed_anywhere_it_ends_at_the_same_manifest(on_hub: Command, hub: HubServer) -> None:
    big = weights(64 * MIB + 5, seed=1)
    files = {"config.json": b"{}", "a.bin": big, "b.bin": WEIGHTS}
    hub.repository("acme/big").commit(files, lfs=("*.bin",))
    command = ("ingest", "hf://acme/big", *PARTS, "--json")
    reference = on_hub(*command).event("ingested")
    on_hub.home = on_hub.home.with_name("killed")
    hub.forget_requests()
    kills = _kill_until_done(on_hub, command, lambda: hub.bytes_sent("a.bin") + hub.bytes_sent("b.bin"))
    done = on_hub(*command).event("ingested")
    assert done["manifest_digest"] == reference["manifest_digest"]
    assert kills >= 2
    # a killed run may lose one part for each of its three reading and four storing threads
    assert hub.bytes_sent("a.bin") + hub.bytes_sent("b.bin") <= len(big) + SIZE + kills * 7 * 8 * MIB
    on_hub("verify", "acme/big", "--deep")
    assert on_hub("check", "--json").json["ledger"] == "ok"
    assert len(on_hub("ls", "--json").json) == 1
    leftovers = on_hub("check", "--json").json["stores"][0]["leftovers"]
    assert leftovers == []


def _kill_until_done(command: Command, arguments: tuple[str, ...], sent: Callable[[], int]) -> int:
    """Kills at once, then after ever more bytes, however fast this machine is; returns how often."""
    kills = 0
    for wanted in (0, 2 * MIB, 6 * MIB, 10 * MIB, 15 * MIB, 20 * MIB, 30 * MIB):
        before, deadline = sent(), time.monotonic() + 60
        process = command.start(*arguments)
        while process.poll() is None and sent() - before < wanted and time.monotonic() < deadline:
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        if process.returncode == 0:
            break
    return kills


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_cleanly_and_it_can_be_taken_up(
    on_hub: Command, hub: HubServer, commit: str, number: int, code: int
) -> None:
    slow = Fault(Drip(2 * MIB), path="w.bin")
    hub.faults.add(slow)
    process = on_hub.start("ingest", "hf://acme/tiny", *PARTS)
    eventually(lambda: hub.bytes_sent("w.bin"))
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == code, err
    assert "goes on where it stopped" in err
    assert "Traceback" not in err
    assert not in_place(on_hub)
    hub.faults.clear()
    on_hub("ingest", "hf://acme/tiny", *PARTS)
    assert hashlib.sha256(stored(on_hub, commit).read_bytes()).digest() == hashlib.sha256(WEIGHTS).digest()


def test_two_at_once_do_not_disturb_each_other(on_hub: Command, hub: HubServer, commit: str) -> None:
    hub.faults.add(Fault(Drip(8 * MIB), path="w.bin"))
    impatient = {
        "WEIGHBRIDGE_TRANSFER_MINIMUM_RATE_BYTES_PER_SECOND": str(MIB),
        "WEIGHBRIDGE_TRANSFER_READ_TIMEOUT_SECONDS": "2",
        "WEIGHBRIDGE_TRANSFER_ATTEMPTS": "50",
    }
    first = on_hub.start("ingest", "hf://acme/tiny", *PARTS, env=impatient)
    eventually(lambda: hub.bytes_sent("w.bin"))
    second = on_hub("ingest", "hf://acme/tiny", *PARTS, "--json", code=1)
    assert second.event("error")["error"] == "Busy"
    hub.faults.clear()
    first.communicate(timeout=PATIENCE_SECONDS)
    assert first.returncode == 0
    assert stored(on_hub, commit).read_bytes() == WEIGHTS


def test_a_full_store_says_so(on_hub: Command, hub: HubServer, commit: str, tmp_path: Path) -> None:
    import subprocess

    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(small)], check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        failed = on_hub("ingest", "hf://acme/tiny", "--to", str(small / "store"), *PARTS, "--json", code=1)
        assert failed.event("error")["error"] == "OutOfSpace"
        assert not list(small.rglob("w.bin"))
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_read_only_store_says_so(on_hub: Command, hub: HubServer, commit: str) -> None:
    if os.getuid() == 0:
        target = "/proc/weighbridge"
    else:
        target = "/usr/weighbridge"
    failed = on_hub("ingest", "hf://acme/tiny", "--to", target, code=1)
    assert "weighbridge" in failed.err
    assert "Traceback" not in failed.err
