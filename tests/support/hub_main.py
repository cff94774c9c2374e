"""Serves folders as repositories of a local Hub, for demonstrations and benchmarks.

`python -m tests.support.hub_main --port 0 --folder org/name=DIR [--lfs '*.safetensors']` prints one JSON line with the
endpoint, the CDN's origin and each repository's commit, and serves until it is interrupted. Every file is hashed before
the line appears.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.support.hub import DEFAULT_LFS, HubServer


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the server until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.hub_main", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--folder", action="append", required=True, metavar="ORG/NAME=DIR")
    parser.add_argument("--lfs", action="append", metavar="PATTERN", help="may be repeated")
    parser.add_argument("--xet", action="store_true", help="announce Xet storage as well")
    parser.add_argument(
        "--delay", type=float, default=0.0, metavar="SECONDS", help="before each answer, as a network would"
    )
    chosen = parser.parse_args(arguments)

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with HubServer(port=chosen.port, delay_seconds=chosen.delay) as hub:
        commits: dict[str, str] = {}
        for pair in chosen.folder:
            name, equals, folder = pair.partition("=")
            root = Path(folder)
            if not equals or name.count("/") != 1 or not root.is_dir():
                parser.error(f"--folder wants org/name=DIR of an existing folder, not {pair!r}")
            files = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}
            repository = hub.repository(name, xet=chosen.xet)
            commits[name] = repository.commit(files, lfs=chosen.lfs or DEFAULT_LFS)
        line = {"endpoint": hub.endpoint, "cdn": hub.cdn, "commits": commits}
        print(json.dumps(line), flush=True)
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
