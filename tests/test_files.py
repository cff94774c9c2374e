"""Files on this machine: replaced whole or not at all, read with a bound, held by one at a time."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from weighbridge.core.errors import AccessRefused, ConfigError, OutOfSpace, StoreError
from weighbridge.wire.files import as_store_errors, hold_file, locked_file, read_small, replace_file


def test_a_file_is_replaced_whole_with_the_mode_it_is_given(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"before")
    replace_file(path, memoryview(b"after"), mode=0o600)
    assert path.read_bytes() == b"after"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["kept"]


def test_what_cannot_be_replaced_stays_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        replace_file(path, b"after")
    assert path.is_dir()
    assert os.listdir(tmp_path) == ["folder"]


def test_a_small_file_is_read_up_to_its_limit_and_no_further(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"12345")
    assert read_small(path, "the secret", limit=5) == b"12345"
    with pytest.raises(ConfigError, match="the secret is larger than 4 bytes"):
        read_small(path, "the secret", limit=4)
    with pytest.raises(ConfigError, match="the secret cannot be read: No such file"):
        read_small(tmp_path / "none", "the secret")


def test_a_held_file_is_nobody_elses_until_it_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = hold_file(path)
    with pytest.raises(BlockingIOError):
        hold_file(path)
    with pytest.raises(TimeoutError), locked_file(path, wait_seconds=0.01):
        pass
    os.close(held)
    with locked_file(path, wait_seconds=0):
        pass


@pytest.mark.parametrize(
    ("number", "kind", "hint"),
    [
        (errno.ENOSPC, OutOfSpace, "make room"),
        (errno.EDQUOT, OutOfSpace, "make room"),
        (errno.EROFS, AccessRefused, "look at the mode"),
        (errno.EIO, StoreError, ""),
    ],
)
def test_the_systems_errors_are_told_apart(number: int, kind: type[StoreError], hint: str) -> None:
    with (
        pytest.raises(kind, match=r"^'x': ") as raised,
        as_store_errors("'x'", room="make room", access="look at the mode"),
    ):
        raise OSError(number, os.strerror(number))
    assert type(raised.value) is kind
    assert raised.value.hint == hint
