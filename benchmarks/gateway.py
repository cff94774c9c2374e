"""`python -m benchmarks.gateway [--seconds 5] [--megabytes 512]`: the gateway beside a bare Starlette app and its own stack without proof.

All servers run the same uvicorn with uvloop and httptools, one process each, one at a time, over a folder in memory where the
machine has one; the bare app also under Granian. `wrk` asks for metadata, `curl` for bytes. The load runs on the same machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

MODES = ("bare", "granian", "gateway", "unverified")
INFO = "/api/models/acme/big/revision/main"
FILE = "/acme/big/resolve/main/model.safetensors"
ROUNDS = 5


# --- the servers, each in a process of its own ---------------------------------------------------


def bare_app(body: bytes) -> Any:
    """A Starlette app with one route that answers with the same bytes."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def info(_request: Request) -> Response:
        return Response(body, media_type="application/json")

    return Starlette(routes=[Route("/api/models/{org}/{name}/revision/{ref}", info)])


def gateway_app(home: str, *, verified: bool) -> Any:
    """The gateway over a home; without proof only the hash is left out."""
    from weighbridge.cli.channeling import index_reader
    from weighbridge.cli.console import Output
    from weighbridge.cli.settings import find_home
    from weighbridge.cli.yard import OpenYard
    from weighbridge.serve import streaming
    from weighbridge.serve.app import build_app
    from weighbridge.serve.approved import Approved

    if not verified:

        def unproven(store: Any, stored: Any, artifact: Any, numbers: Any, buffer: Any) -> Iterator[Any]:
            start = numbers[0] * streaming.CHUNK_BYTES
            end = min(start + streaming.CHUNK_BYTES, artifact.size_bytes)
            with store.open(stored.key, start, end) as stream:
                view, filled = memoryview(buffer)[: end - start], 0
                while filled < len(view):
                    filled += stream.readinto(view[filled:])
            yield numbers[0], view

        streaming.read_chunks = unproven
    yard = OpenYard(find_home(home), Output(as_json=False, quiet=True, colour=False))
    return build_app(Approved(yard.approved(), index_reader(yard), yard.trusted))


def app_of_granian() -> Any:
    """The bare app, from the file that the environment names."""
    return bare_app(Path(os.environ["BENCH_BODY"]).read_bytes())


def serve(mode: str, home: str, body: str, port: int) -> None:
    """Runs one server until it is killed."""
    if mode == "granian":
        from granian import Granian

        os.environ["BENCH_BODY"] = body
        Granian(
            "benchmarks.gateway:app_of_granian", port=port, interface="asgi", factory=True, log_enabled=False
        ).serve()
        return
    from weighbridge.serve.server import ServerSettings, listen
    from weighbridge.serve.server import serve as run

    app = bare_app(Path(body).read_bytes()) if mode == "bare" else gateway_app(home, verified=mode != "unverified")
    run(app, listen("127.0.0.1", port), ServerSettings(), on_ready=lambda: None)


@contextlib.contextmanager
def served(mode: str, home: Path, body: Path) -> Iterator[tuple[str, int, float]]:
    """A running server: its address, its process, and how long it took to answer."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    began = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.gateway", "--serve", mode, str(home), str(body), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if time.monotonic() - began > 60:
                raise SystemExit(f"{mode} did not start")
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}", process.pid, time.monotonic() - began
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# --- the load ------------------------------------------------------------------------------------


def wrk(url: str, clients: int, seconds: int) -> tuple[float, float]:
    """Requests per second, and the 99th percentile of latency in ms."""
    ran = subprocess.run(
        ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--latency", url], capture_output=True, text=True, check=True
    )
    rate = re.search(r"Requests/sec:\s+([\d.]+)", ran.stdout)
    late = re.search(r"99%\s+([\d.]+)(us|ms|s)", ran.stdout)
    assert rate, ran.stdout
    assert late, ran.stdout
    if "Non-2xx" in ran.stdout:
        raise SystemExit(f"{url} refused:\n{ran.stdout}")
    return float(rate.group(1)), float(late.group(1)) * {"us": 0.001, "ms": 1, "s": 1000}[late.group(2)]


def fetch(url: str, clients: int) -> tuple[float, float]:
    """Megabytes per second that so many curls at once get, and the CPU seconds of all of them together with nothing else."""
    began = time.monotonic()
    running = [
        subprocess.Popen(["curl", "-sSf", "-o", "/dev/null", "-w", "%{size_download}", url], stdout=-1)
        for _ in range(clients)
    ]
    total = sum(int(one.communicate()[0]) for one in running)
    return total / 1e6 / (time.monotonic() - began), total / 1e6


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> float:
    """Memory that a process holds, in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextlib.contextmanager
def hostile(url: str, idle: int, dripping: int) -> Iterator[None]:
    """So many connections that say nothing, and so many that read a file at 10 kB a second."""
    host, port = url.removeprefix("http://").split(":")
    socks = []
    for number in range(idle + dripping):
        sock = socket.create_connection((host, int(port)))
        socks.append(sock)
        if number >= idle:
            start = (number * 9_000_001) % 200_000_000
            sock.sendall(f"GET {FILE} HTTP/1.1\r\nHost: x\r\nRange: bytes={start}-\r\n\r\n".encode())
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(1):
            for sock in socks[idle:]:
                with contextlib.suppress(OSError):
                    sock.recv(10_000)

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        for sock in socks:
            sock.close()


# --- the table -----------------------------------------------------------------------------------


def fill(folder: Path, megabytes: int) -> Path:
    """A home with one approved model of so many megabytes."""
    source = folder / "big"
    source.mkdir(parents=True)
    (source / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Big\n")
    (source / "config.json").write_text('{"model_type":"llama","architectures":["LlamaForCausalLM"]}')
    size = megabytes * 1_000_000 // 4 * 4
    header = b'{"w":{"dtype":"F32","shape":[%d],"data_offsets":[0,%d]}}' % (size // 4, size)
    header += b" " * (-len(header) % 8)
    block = os.urandom(1_000_000)
    with (source / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for start in range(0, size, len(block)):
            file.write(block[: size - start])
    home = folder / "home"
    for words in (
        ("ingest", str(source), "--as", "acme/big"),
        ("approve", "acme/big", "--reason", "benchmark"),
        ("promote", "acme/big", "--channel", "production"),
    ):
        environment = {**os.environ, "WEIGHBRIDGE_HOME": str(home)}
        subprocess.run([sys.executable, "-m", "weighbridge", *words, "--quiet"], env=environment, check=True)
    shutil.rmtree(home / "store")
    return home


def metadata_rows(home: Path, body: Path, seconds: int) -> None:
    """Requests per second and latency, in turns, so that a busy machine is as busy for all."""
    with contextlib.ExitStack() as stack:
        servers = {mode: stack.enter_context(served(mode, home, body)) for mode in ("bare", "granian", "gateway")}
        for clients in (32, 256, 1_000):
            figures: dict[str, list[tuple[float, float]]] = {mode: [] for mode in servers}
            for _ in range(3):
                for mode, (url, _, _) in servers.items():
                    figures[mode].append(wrk(url + INFO, clients, seconds))
            base = statistics.median(rate for rate, _ in figures["bare"])
            for mode, found in figures.items():
                rate, late = (statistics.median(column) for column in zip(*found, strict=True))
                print(
                    f"metadata  {mode:<10} {clients:>5} clients  {rate:>8.0f} requests/s ({rate / base:4.0%} of bare)  "
                    f"p99 {late:7.1f} ms  {rss(servers[mode][1]):6.1f} MiB"
                )


def bytes_rows(home: Path, body: Path) -> None:
    """Streaming with and without proof, in turns."""
    with contextlib.ExitStack() as stack:
        servers = {mode: stack.enter_context(served(mode, home, body)) for mode in ("unverified", "gateway")}
        for clients in (1, 4, 16):
            figures: dict[str, list[tuple[float, float]]] = {mode: [] for mode in servers}
            for _ in range(ROUNDS):
                for mode, (url, pid, _) in servers.items():
                    before = cpu_seconds(pid)
                    rate, moved = fetch(url + FILE, clients)
                    figures[mode].append((rate, (cpu_seconds(pid) - before) / moved * 1000))
            base = statistics.median(rate for rate, _ in figures["unverified"])
            for mode, found in figures.items():
                rate, cpu = (statistics.median(column) for column in zip(*found, strict=True))
                print(
                    f"bytes     {mode:<10} {clients:>5} clients  {rate:>8.0f} MB/s ({rate / base:4.0%} of unverified)  "
                    f"{cpu:5.2f} CPU-s/GB  {rss(servers[mode][1]):6.1f} MiB"
                )


def hostile_rows(home: Path, body: Path, seconds: int) -> None:
    """What good clients feel of bad ones."""
    with served("gateway", home, body) as (url, pid, took):
        print(f"start     gateway    {took:.2f} s to the first accepted connection, {rss(pid):.1f} MiB")
        _, calm = wrk(url + INFO, 32, seconds)
        before = rss(pid)
        with hostile(url, 2_000, 200):
            time.sleep(5)
            _, late = wrk(url + INFO, 32, seconds)
            print(
                f"hostile   gateway    2000 idle, 200 dripping: p99 {calm:.1f} ms -> {late:.1f} ms ({late / calm:.1f} times); "
                f"{before:.1f} -> {rss(pid):.1f} MiB"
            )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", nargs=4, metavar=("MODE", "HOME", "BODY", "PORT"), help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--only", choices=("metadata", "bytes", "hostile"), default="")
    options = parser.parse_args()
    if options.serve:
        mode, home, body, port = options.serve
        serve(mode, home, body, int(port))
        return
    versions = {
        name: metadata.version(name) for name in ("starlette", "uvicorn", "granian", "uvloop", "httptools", "blake3")
    }
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, {versions}; load {os.getloadavg()[0]:.1f}")
    workspace = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=workspace) as name:
        folder = Path(name)
        home, body = fill(folder, options.megabytes), folder / "body"
        with served("gateway", home, body) as (url, _, _):
            body.write_bytes(subprocess.run(["curl", "-sSf", url + INFO], capture_output=True, check=True).stdout)
        if options.only in ("", "metadata"):
            metadata_rows(home, body, options.seconds)
        if options.only in ("", "bytes"):
            bytes_rows(home, body)
        if options.only in ("", "hostile"):
            hostile_rows(home, body, options.seconds)


if __name__ == "__main__":
    main()
