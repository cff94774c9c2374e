"""The servers that `benchmarks.gateway` loads: the gateway with and without proof, a bare Starlette app, and olah.

- The gateway is put together as `weighbridge serve` does it, with every layer; only what one asker may have is wider, because
  all load comes from one address.
- `boto3`, which only our tests need, is hidden from the gateway: a library that verifies the index would load it if it were there,
  and no installation has it.
- All of ours run the same uvicorn with uvloop and httptools, in one process. olah runs as its own command does, in front of a
  local Hub whose files it has fetched before.
- A server is killed at the end, with whatever it started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.scanners import build
from benchmarks.servers import hub
from benchmarks.tools import HOME

REQUIREMENTS = Path(__file__).with_name("gateway_peers.txt")
NAME = "acme/big"
INFO = f"/api/models/{NAME}/revision/main"
FILE = f"/{NAME}/resolve/main/model.safetensors"
START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers. `took` is the seconds from its command to its first answer."""

    url: str
    pid: int
    took: float

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    def rss(self) -> float:
        """Memory that it holds now, in MiB."""
        return self._status("VmRSS")

    def peak(self) -> float:
        """The most memory that it ever held, in MiB."""
        return self._status("VmHWM")

    def _status(self, name: str) -> float:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024

    def cpu_seconds(self) -> float:
        """CPU time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def started(command: list[str | Path], port: int, *, cwd: Path | None = None) -> Iterator[Running]:
    """A server, from its command to its first answer and to the end of the block."""
    url = f"http://127.0.0.1:{port}"
    began = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd=cwd
    )
    try:
        while not _answers(port):
            if process.poll() is not None or time.monotonic() - began > START_SECONDS:
                raise SystemExit(f"did not start: {' '.join(map(str, command))}")
            time.sleep(0.005)
        yield Running(url, process.pid, time.monotonic() - began)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(f"GET {INFO} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            return sock.recv(12) == b"HTTP/1.1 200"
    except OSError:
        return False


@contextlib.contextmanager
def served(mode: str, home: Path, body: Path) -> Iterator[Running]:
    """One of ours: `gateway`, `unverified`, `bare`, or `granian` (the bare app under that server)."""
    port = free_port()
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.gateway_servers", mode, home, body, str(port)]
    with started(command, port) as running:
        yield running


@contextlib.contextmanager
def as_installed(home: Path) -> Iterator[Running]:
    """The gateway by its command, as it is installed and with its own limits."""
    port = free_port()
    start = "import sys; sys.modules['boto3'] = None; from weighbridge.cli.app import entry_point; entry_point()"
    command: list[str | Path] = [sys.executable, "-c", start, "serve", "--port", str(port), "--home", home]
    with started(command, port) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Olah:
    """olah in front of a local Hub; `folder` keeps what it fetched over a restart."""

    bin: Path
    upstream: str
    folder: Path

    @contextlib.contextmanager
    def running(self) -> Iterator[Running]:
        """It, with its cache as it is."""
        port = free_port()
        own = f"127.0.0.1:{port}"
        command: list[str | Path] = [self.bin / "olah-cli", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--hf-scheme", "http", "--hf-netloc", self.upstream, "--hf-lfs-netloc", self.upstream]
        command += ["--mirror-scheme", "http", "--mirror-netloc", own, "--mirror-lfs-netloc", own]
        command += ["--repos-path", self.folder / "repos", "--log-path", self.folder / "logs"]
        with started(command, port, cwd=self.folder) as found:
            yield found


@contextlib.contextmanager
def olah(source: Path, folder: Path) -> Iterator[Olah]:
    """olah, installed once, with every file of `source` in its cache.

    Raises:
        BenchmarkFailed: it cannot be installed.
    """
    lines = [line for line in REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")]
    (packages,) = [line.partition(":")[2].split() for line in lines if line.startswith("olah:")]
    folder.mkdir()
    with hub({NAME: source}) as upstream:
        found = Olah(build(HOME / "gateway" / "olah", packages), upstream.endpoint.removeprefix("http://"), folder)
        with found.running() as running:
            for path in (INFO, *(f"/{NAME}/resolve/main/{one.name}" for one in source.iterdir())):
                subprocess.run(["curl", "-sSfL", "-o", "/dev/null", running.url + path], check=True)
        yield found


# --- inside of the processes ------------------------------------------------------------------------


def bare_app(body: bytes) -> Any:
    """A Starlette app with one route that answers with the same bytes."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def info(_request: Request) -> Response:
        return Response(body, media_type="application/json")

    return Starlette(routes=[Route("/api/models/{org}/{name}/revision/{ref}", info)])


def app_of_granian() -> Any:
    """The bare app, from the file that the environment names."""
    return bare_app(Path(os.environ["BENCH_BODY"]).read_bytes())


def _unproven() -> None:
    """Leaves the hash of the whole chunk out, and nothing else."""
    from weighbridge.core.digests import CHUNK_BYTES
    from weighbridge.serve import streaming

    def read_unproven(store: Any, stored: Any, artifact: Any, numbers: Any, buffer: Any) -> Iterator[Any]:
        start = numbers[0] * CHUNK_BYTES
        end = min(start + CHUNK_BYTES, artifact.size_bytes)
        with store.open(stored.key, start, end) as stream:
            view, filled = memoryview(buffer)[: end - start], 0
            while filled < len(view):
                filled += stream.readinto(view[filled:])
        yield numbers[0], view

    streaming.read_chunks = read_unproven  # type: ignore[attr-defined]


def _wider() -> None:
    """What one asker may have: all load comes from one address."""
    from weighbridge.serve import layers, limits

    layers_of, guarded = layers.layers_of, limits.guarded
    rates = limits.Rates(requests=8_192, per_second=1e9, burst=1_000_000_000)
    sizes = limits.Sizes(requests=8_192)
    connections = limits.Connections(most=8_192, per_address=8_192)
    layers.layers_of = lambda made: layers_of(replace(made, rates=rates, sizes=sizes))
    limits.guarded = lambda _limits, *, hit: guarded(connections, hit=hit)  # type: ignore[assignment,misc]


def _serve_gateway(home: str, port: int, *, verified: bool) -> None:
    import gc

    from weighbridge.cli.console import Output
    from weighbridge.cli.settings import find_home
    from weighbridge.cli.yard import OpenYard
    from weighbridge.serve.access import ExposureFlags
    from weighbridge.serve.server import ServerSettings, listen
    from weighbridge.serve.server import serve as run

    _wider()
    if not verified:
        _unproven()
    from weighbridge.cli.gateway import Chosen, open_gateway

    with OpenYard(find_home(home), Output(as_json=False, quiet=True, colour=False)) as yard:
        chosen = Chosen("127.0.0.1", f"http://127.0.0.1:{port}", tls=False, flags=ExposureFlags())
        with open_gateway(yard, chosen) as opened:
            gc.freeze()
            run(
                opened.app,
                listen("127.0.0.1", port),
                ServerSettings(protocol=opened.protocol),
                on_ready=lambda: None,
            )


def main() -> None:
    """Runs one server until it is killed."""
    mode, home, body, port = sys.argv[1:]
    sys.modules["boto3"] = None  # type: ignore[assignment]
    if mode in ("gateway", "unverified"):
        _serve_gateway(home, int(port), verified=mode == "gateway")
        return
    if mode == "granian":
        from granian import Granian
        from granian.constants import Interfaces

        os.environ["BENCH_BODY"] = body
        factory = "benchmarks.gateway_servers:app_of_granian"
        Granian(factory, port=int(port), interface=Interfaces.ASGI, factory=True, log_enabled=False).serve()
        return
    from weighbridge.serve.server import ServerSettings, listen
    from weighbridge.serve.server import serve as run

    run(bare_app(Path(body).read_bytes()), listen("127.0.0.1", int(port)), ServerSettings(), on_ready=lambda: None)


if __name__ == "__main__":
    main()
