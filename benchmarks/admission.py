"""Decision, attestations and promotion of 163 shards: seconds, and how many bytes pass through this machine.

`python -m benchmarks.admission [--megabytes 650]`. The store is a real S3 server behind a proxy that counts bytes. The peer
does what there is without weighbridge: every object is fetched from one bucket and put into the other (boto3, 8 threads).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import seaweed
from tests.support.deepseek import build

SHARDS = 163
POLICY = """\
name = "bench"
extends = "balanced"
[[exception]]
id = "code"
rules = ["remote-code"]
models = ["bench/r1"]
reason = "read"
person = "bench"
expires = 2099-01-01
"""


@dataclass
class Counting:
    """A TCP proxy that counts what passes, both ways together."""

    target: tuple[str, int]
    passed_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self) -> str:
        """Starts and returns the endpoint."""
        listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    def _accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(self.target)
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pipe, args=(one, other), daemon=True).start()

    def _pipe(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 18):
                with self._lock:
                    self.passed_bytes += len(data)
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)


@dataclass(frozen=True)
class Took:
    """What one step cost."""

    what: str
    seconds: float
    cpu_seconds: float
    passed_bytes: int


@contextlib.contextmanager
def _timed(what: str, proxy: Counting, table: list[Took]) -> Iterator[None]:
    before, started, cpu = proxy.passed_bytes, time.monotonic(), _children()
    yield
    table.append(Took(what, time.monotonic() - started, _children() - cpu, proxy.passed_bytes - before))


def _children() -> float:
    times = os.times()
    return times.children_user + times.children_system + times.user + times.system


def _run(environment: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "weighbridge", *arguments]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode not in (0, 12):
        raise SystemExit(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def main() -> int:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=650)
    chosen = parser.parse_args()
    table: list[Took] = []
    with tempfile.TemporaryDirectory(dir="/dev/shm") as temporary, seaweed.running() as server:
        folder = Path(temporary)
        model = build(folder / "r1", shards=SHARDS, pad_bytes_per_shard=chosen.megabytes * 1_000_000 // SHARDS)
        (folder / "policy.toml").write_text(POLICY)
        host, _, port = server.endpoint.removeprefix("http://").partition(":")
        proxy = Counting((host, int(port)))
        first, second, third = server.bucket(), server.bucket(), server.bucket()
        environment = {
            **{
                name: value for name, value in os.environ.items() if not name.startswith(("WEIGHBRIDGE_", "PYTHONDONT"))
            },
            **server.environment,
            "WEIGHBRIDGE_HOME": str(folder / "home"),
            "WEIGHBRIDGE_STORE_S3_ENDPOINT": proxy.serve(),
            "WEIGHBRIDGE_STORE_QUARANTINE": f"s3://{first}/in",
            "WEIGHBRIDGE_STORE_APPROVED": f"s3://{second}/out",
            "WEIGHBRIDGE_POLICY_FILE": str(folder / "policy.toml"),
        }
        with _timed("ingest, to compare", proxy, table):
            _run(environment, "ingest", str(model), "--as", "bench/r1", "--fail-on", "never", "--quiet")
        size = sum(path.stat().st_size for path in model.rglob("*") if path.is_file())
        with _timed("decide", proxy, table):
            _run(environment, "decide", "bench/r1", "--quiet")
        with _timed("attest (three statements)", proxy, table):
            _run(environment, "attest", "bench/r1", "--quiet")
        with _timed("approve", proxy, table):
            _run(environment, "approve", "bench/r1", "--reason", "measured", "--quiet")
        with _timed("promote and point a channel", proxy, table):
            _run(environment, "promote", "bench/r1", "--channel", "production", "--quiet")
        with _timed("promote again, to another channel", proxy, table):
            _run(environment, "promote", "bench/r1", "--channel", "staging", "--quiet")
        with _timed("peer: boto3 get and put, 8 threads", proxy, table):
            _peer(seaweed.S3Server(environment["WEIGHBRIDGE_STORE_S3_ENDPOINT"]), first, third)
    print(f"{SHARDS} shards, {size / 1e6:.0f} MB")
    print(f"{'step':42}{'wall s':>9}{'CPU s':>9}{'MB through here':>17}")
    for one in table:
        print(f"{one.what:42}{one.seconds:9.2f}{one.cpu_seconds:9.2f}{one.passed_bytes / 1e6:17.2f}")
    print(json.dumps([one.__dict__ for one in table]))
    return 0


def _peer(server: seaweed.S3Server, origin: str, target: str) -> None:
    client = server.client()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=origin, Prefix="in/models/")
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]

    def move(key: str) -> None:
        body = client.get_object(Bucket=origin, Key=key)["Body"].read()
        client.put_object(Bucket=target, Key=key, Body=body)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(move, keys))


if __name__ == "__main__":
    raise SystemExit(main())
