"""What a folder store shows of unfinished work, and what looking at it leaves alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

from weighbridge.store.folder import SMALL_WRITE_SECONDS, UPLOADS, FolderStore

STRAY = "put-" + "0" * 32


def test_looking_touches_no_write_that_may_be_under_way(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.check()
    stray = tmp_path / UPLOADS / STRAY
    stray.write_bytes(b"half")
    assert list(store.unfinished("")) == []
    assert stray.exists()


def test_what_a_crash_left_of_a_small_write_is_named_and_removed(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.check()
    stray = tmp_path / UPLOADS / STRAY
    stray.write_bytes(b"half")
    long_ago = time.time() - 2 * SMALL_WRITE_SECONDS
    os.utime(stray, (long_ago, long_ago))
    (left,) = store.unfinished("")
    assert left.upload_id == STRAY
    assert stray.exists()
    store.abort(left.key, left.upload_id)
    assert not stray.exists()
