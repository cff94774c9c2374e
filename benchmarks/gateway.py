"""`python -m benchmarks.gateway [--seconds 5] [--megabytes 512] [--only metadata]`: the gateway beside a bare app and olah.

Servers run one process each, over a folder in memory where the machine has one; contenders take turns, so that a busy machine is
as busy for all, and medians are told. `wrk` asks for metadata, `curl` for bytes. The load runs on the same machine. Every bar is
told as met or missed; nothing is asserted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

from benchmarks.gateway_servers import FILE, INFO, REQUIREMENTS, Olah, Running, as_installed, olah, served
from benchmarks.measure import BenchmarkFailed

CLIENTS = (32, 256, 1_000)
READERS = (1, 4, 16)
STREAMS = 64
IDLE, DRIPPING = 2_000, 200
DRIP_BYTES = 10_000
SETTLE_SECONDS = 5
"""Until every one of the bad clients has its first bytes: what they cost at once is not what they cost from then on."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `met` None: there is no bar."""

    what: str
    who: str
    figure: str
    ratio: str = ""
    bar: str = ""
    met: bool | None = None


@dataclass
class Table:
    """Rows as they come; each is told on stderr as well, for who waits."""

    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """One more."""
        self.rows.append(row)
        print(f"{row.what}  {row.who}  {row.figure}  {row.ratio}", file=sys.stderr, flush=True)

    def text(self) -> str:
        """All of it, in columns."""
        verdicts = {True: "met", False: "MISSED", None: ""}
        lines = [("what", "who", "figure", "ratio", "bar", "")]
        lines += [(row.what, row.who, row.figure, row.ratio, row.bar, verdicts[row.met]) for row in self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(6)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


@dataclass(frozen=True, slots=True)
class Setting:
    """What is served, by whom, and how long each measurement lasts."""

    home: Path
    body: Path
    seconds: int
    rounds: int
    granian: bool
    olah: Olah | None

    def contenders(self, *modes: str) -> dict[str, Callable[[], contextlib.AbstractContextManager[Running]]]:
        """How each of them is started."""
        found: dict[str, Callable[[], contextlib.AbstractContextManager[Running]]] = {
            mode: lambda mode=mode: served(mode, self.home, self.body)  # type: ignore[misc]
            for mode in modes
        }
        if self.olah is not None:
            found["olah"] = self.olah.running
        return found


# --- the load ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """What `wrk` saw: requests per second, latencies in ms, and requests that were not answered in two seconds."""

    rate: float
    half: float
    late: float
    failed: int


def wrk(url: str, clients: int, seconds: int) -> Asked:
    """So many clients that ask again and again."""
    words = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--latency", url]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", ran.stdout)
    found = {at: _milliseconds(ran.stdout, at) for at in ("50", "99")}
    if rate is None or "Non-2xx" in ran.stdout:
        raise SystemExit(f"{url} refused:\n{ran.stdout}")
    failed = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", ran.stdout)
    return Asked(float(rate.group(1)), found["50"], found["99"], sum(map(int, failed.groups())) if failed else 0)


def _milliseconds(text: str, percent: str) -> float:
    found = re.search(rf"\s{percent}%\s+([\d.]+)(us|ms|s)", text)
    milliseconds = float(found.group(1)) * {"us": 0.001, "ms": 1, "s": 1000}[found.group(2)] if found else 0.0
    # Of no answer at all `wrk` says 0.
    return milliseconds or float("inf")


def fetch(url: str, clients: int) -> tuple[float, float]:
    """Megabytes per second that so many curls at once get, and the megabytes of all of them together."""
    began = time.monotonic()
    running = [
        subprocess.Popen(["curl", "-sSfL", "-o", "/dev/null", "-w", "%{size_download}", url], stdout=subprocess.PIPE)
        for _ in range(clients)
    ]
    total = sum(int(one.communicate()[0]) for one in running)
    return total / 1e6 / (time.monotonic() - began), total / 1e6


@contextlib.contextmanager
def connected(server: Running, count: int, *, request: str = "") -> Iterator[list[socket.socket]]:
    """So many connections, each with a request that differs in `{start}` or with none."""
    socks = []
    try:
        for number in range(count):
            sock = socket.create_connection(server.address)
            socks.append(sock)
            if request:
                sock.sendall(request.format(start=(number * 9_000_001) % 200_000_000).encode())
        yield socks
    finally:
        for sock in socks:
            sock.close()


@contextlib.contextmanager
def reading(socks: list[socket.socket], every: float) -> Iterator[None]:
    """Takes `DRIP_BYTES` from each connection, again and again."""
    stop = threading.Event()

    def read() -> None:
        while not stop.wait(every):
            for sock in socks:
                with contextlib.suppress(OSError):
                    sock.recv(DRIP_BYTES, socket.MSG_DONTWAIT)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


RANGED = f"GET {FILE} HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes={{start}}-\r\n\r\n"


# --- the parts -----------------------------------------------------------------------------------


def metadata_part(setting: Setting, table: Table) -> None:
    """Requests per second and latency."""
    modes = ("bare", "granian", "gateway") if setting.granian else ("bare", "gateway")
    for clients in CLIENTS:
        with contextlib.ExitStack() as stack:
            servers = {name: stack.enter_context(make()) for name, make in setting.contenders(*modes).items()}
            seen: dict[str, list[Asked]] = {name: [] for name in servers}
            for _ in range(setting.rounds):
                for name, server in servers.items():
                    seen[name].append(wrk(server.url + INFO, clients, setting.seconds))
            peaks = {name: server.peak() for name, server in servers.items()}
        rates = {name: statistics.median(one.rate for one in found) for name, found in seen.items()}
        lates = {name: statistics.median(one.late for one in found) for name, found in seen.items()}
        for name, found in seen.items():
            ours = name == "gateway"
            half, failed = statistics.median(one.half for one in found), sum(one.failed for one in found)
            share, times = rates[name] / rates["bare"], lates[name] / lates["bare"]
            lost = f", {failed} unanswered" if failed else ""
            what = f"metadata, {clients} clients"
            table.add(
                Row(
                    what,
                    name,
                    f"{rates[name]:.0f} requests/s{lost}",
                    f"{share:.0%} of bare",
                    "80 %" if ours else "",
                    share >= 0.8 if ours else None,
                )
            )
            barred = ours and clients == 256
            table.add(
                Row(
                    what,
                    name,
                    f"p50 {half:.1f} ms, p99 {lates[name]:.1f} ms",
                    f"{times:.1f} x bare",
                    "3 x" if barred else "",
                    times < 3 if barred else None,
                )
            )
            barred = ours and clients == 1_000
            table.add(
                Row(
                    what,
                    name,
                    f"peak {peaks[name]:.1f} MiB",
                    "",
                    "96 MiB" if barred else "",
                    peaks[name] < 96 if barred else None,
                )
            )


def bytes_part(setting: Setting, table: Table) -> None:
    """Streaming with proof, without, and by olah from its cache."""
    with contextlib.ExitStack() as stack:
        contenders = setting.contenders("unverified", "gateway")
        servers = {name: stack.enter_context(make()) for name, make in contenders.items()}
        for clients in READERS:
            seen: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
            for _ in range(setting.rounds):
                for name, server in servers.items():
                    before = server.cpu_seconds()
                    rate, moved = fetch(server.url + FILE, clients)
                    seen[name].append((rate, (server.cpu_seconds() - before) / moved * 1000))
            base = statistics.median(rate for rate, _ in seen["unverified"])
            for name, found in seen.items():
                rate, cpu = (statistics.median(column) for column in zip(*found, strict=True))
                ours, share = name == "gateway", rate / base
                figure = f"{rate:.0f} MB/s, {cpu:.2f} CPU-s/GB"
                table.add(
                    Row(
                        f"bytes, {clients} clients",
                        name,
                        figure,
                        f"{share:.0%} of unverified",
                        "80 %" if ours else "",
                        share >= 0.8 if ours else None,
                    )
                )


def memory_part(setting: Setting, table: Table) -> None:
    """Memory with 1,000 connections that ask for metadata, and what each of so many downloads adds to it."""
    for name, make in setting.contenders("gateway").items():
        ours = name == "gateway"
        with make() as server, connected(server, 1_000 - 64):
            wrk(server.url + INFO, 64, setting.seconds)
            before, peak = server.rss(), server.peak()
            with connected(server, STREAMS, request=RANGED) as socks, reading(socks, 0.05):
                time.sleep(SETTLE_SECONDS)
                held = server.rss()
        each = (held - before) / STREAMS
        what = "memory, 1000 clients"
        table.add(Row(what, name, f"peak {peak:.1f} MiB", "", "96 MiB" if ours else "", peak < 96 if ours else None))
        what = f"memory, {STREAMS} downloads beside them"
        figure = f"{held:.1f} MiB in all, {each:.2f} MiB each"
        table.add(Row(what, name, figure, "", "4 MiB each" if ours else "", each <= 4 if ours else None))


def hostile_part(setting: Setting, table: Table) -> None:
    """What good clients feel of bad ones."""
    what = f"hostile, {IDLE} idle and {DRIPPING} dripping"
    for name, make in setting.contenders("gateway").items():
        calms, lates = [], []
        for _ in range(setting.rounds):
            with make() as server:
                calms.append(wrk(server.url + INFO, 32, setting.seconds).late)
                before = server.rss()
                with connected(server, IDLE), connected(server, DRIPPING, request=RANGED) as socks, reading(socks, 1.0):
                    time.sleep(SETTLE_SECONDS)
                    lates.append(wrk(server.url + INFO, 32, setting.seconds).late)
                    after = server.rss()
        calm, late = statistics.median(calms), statistics.median(lates)
        ours, times = name == "gateway", late / calm
        table.add(
            Row(
                what,
                name,
                f"p99 {calm:.1f} -> {late:.1f} ms; {before:.1f} -> {after:.1f} MiB",
                f"{times:.1f} x",
                "2 x" if ours else "",
                times < 2 if ours else None,
            )
        )


def restart_part(setting: Setting, table: Table) -> None:
    """From the command to the first answer about a model."""
    contenders: dict[str, Callable[[], contextlib.AbstractContextManager[Running]]] = {
        "gateway": lambda: as_installed(setting.home)
    }
    if setting.olah is not None:
        contenders["olah"] = setting.olah.running
    for name, make in contenders.items():
        found = []
        for _ in range(setting.rounds):
            with make() as server:
                found.append(server.took)
                held = server.rss()
        took, ours = statistics.median(found), name == "gateway"
        figure = f"{took:.2f} s to the first answer, {held:.1f} MiB"
        table.add(Row("restart", name, figure, "", "1 s" if ours else "", took < 1 if ours else None))


PARTS = {
    "metadata": metadata_part,
    "bytes": bytes_part,
    "memory": memory_part,
    "hostile": hostile_part,
    "restart": restart_part,
}


# --- what is served ------------------------------------------------------------------------------


def fill(folder: Path, megabytes: int) -> Path:
    """A home with one approved model of so many megabytes; its source stays in `big`."""
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


def versions() -> str:
    """What is compared, and on what."""
    names = ("starlette", "uvicorn", "uvloop", "httptools", "blake3")
    found = [f"{name} {metadata.version(name)}" for name in names]
    found += [line for line in REQUIREMENTS.read_text().splitlines() if not line.startswith("#")]
    python = f"Python {sys.version.split()[0]}"
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {python}, {', '.join(found)}"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement of metadata")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=512, help="of the model")
    parser.add_argument("--only", choices=PARTS, action="append", help="may be repeated")
    parser.add_argument("--without-olah", action="store_true")
    parser.add_argument("--granian", action="store_true", help="the bare app also under Granian")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.megabytes < 300:
        parser.error("streams begin within the first 200 MB of the model: give it at least 300")
    told, table = versions(), Table()
    workspace = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=workspace) as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        home, body = fill(folder, options.megabytes), folder / "body"
        with as_installed(home) as server:
            body.write_bytes(
                subprocess.run(["curl", "-sSf", server.url + INFO], capture_output=True, check=True).stdout
            )
        try:
            peer = None if options.without_olah else stack.enter_context(olah(folder / "big", folder / "olah"))
        except BenchmarkFailed as error:
            print(f"without olah: {error}", file=sys.stderr)
            peer = None
        setting = Setting(home, body, options.seconds, options.rounds, options.granian, peer)
        for part in options.only or PARTS:
            PARTS[part](setting, table)
    print(f"{told}\n\n{table.text()}")
    if options.json:
        rows = [asdict(row) for row in table.rows]
        options.json.write_text(json.dumps({"versions": told, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
