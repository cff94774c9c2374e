"""Reads files and hashes them with hashlib's SHA-256 on several threads: `python -m benchmarks.raw_sha256 THREADS FILE...`."""

from __future__ import annotations

import hashlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

READ_BYTES = 1024 * 1024


def digest(path: Path) -> str:
    """The file's SHA-256, through one buffer that is used again for every read."""
    view = memoryview(bytearray(READ_BYTES))
    sha256 = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(view):
            sha256.update(view[:count])
    return sha256.hexdigest()


def main() -> int:
    """Prints one JSON object, path to SHA-256."""
    threads, *names = sys.argv[1:]
    paths = [Path(name) for name in names]
    with ThreadPoolExecutor(int(threads)) as pool:
        found = list(pool.map(digest, paths))
    print(json.dumps({str(path): text for path, text in zip(paths, found, strict=True)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
