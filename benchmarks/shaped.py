"""A link of a known rate and round trip, as a proxy: `python -m benchmarks.shaped --rate BYTES --round-trip SECONDS [--to HOST:PORT]`.

It stands between a client and servers on this machine, for kernels without netem. With `--to` every connection leads there;
without, it is a forward proxy (`http_proxy`) for GET and HEAD. Bytes towards clients pass one queue at the link's rate, all
connections together; each direction adds half a round trip, a new connection a whole one. Slow starts are not imitated: the
kernel's loopback has none that matter. It prints its port, and serves until it is ended.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from collections.abc import Callable
from urllib.parse import urlsplit

BLOCK = 32 * 1024
AHEAD_BYTES = 128 * 1024


class Link:
    """The shared way: says when so many bytes have passed."""

    def __init__(self, rate: float, round_trip: float) -> None:
        self.rate = rate
        self.half_trip = round_trip / 2
        self._free_at = 0.0

    def passed_at(self, count: int) -> float:
        """When the next `count` bytes have passed the bottleneck, in the loop's time."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(now, self._free_at) + count / self.rate
        return self._free_at


async def _pass_on(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, due: Callable[[int], float], half_trip: float
) -> None:
    """Bytes of one direction, each block when it is due; what is on its way does not hold up what follows."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            at, block = await waiting.get()
            if (left := at - loop.time()) > 0:
                await asyncio.sleep(left)
            if not block:
                return
            sink.write(block)
            await sink.drain()

    delivering = asyncio.create_task(deliver())
    try:
        while block := await source.read(BLOCK):
            passed = due(len(block))
            await waiting.put((passed + half_trip, block))
            if (left := passed - loop.time()) > AHEAD_BYTES / 1e9:
                await asyncio.sleep(left)
    finally:
        await waiting.put((loop.time() + half_trip, b""))
        with contextlib.suppress(ConnectionError):
            await delivering
            if sink.can_write_eof():
                sink.write_eof()


async def _serve(
    client: asyncio.StreamReader, back: asyncio.StreamWriter, link: Link, target: tuple[str, int] | None
) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        first = b"" if target else await client.readuntil(b"\r\n\r\n")
        await asyncio.sleep(2 * link.half_trip)
        there, sink = await asyncio.open_connection(*(target or _origin(first)), limit=BLOCK)
        down = asyncio.create_task(_pass_on(there, back, link.passed_at, link.half_trip))
        try:
            if target:
                await _pass_on(client, sink, lambda _count: loop.time(), link.half_trip)
            else:
                await _requests(client, sink, first, link.half_trip)
            await down
        finally:
            down.cancel()
            sink.close()
    back.close()


async def _requests(client: asyncio.StreamReader, sink: asyncio.StreamWriter, head: bytes, half_trip: float) -> None:
    """Requests without bodies, one after the other, their targets as a server wants them."""
    while head:
        line, _, rest = head.partition(b"\r\n")
        method, target, version = line.decode("latin-1").split(" ", 2)
        path = urlsplit(target)._replace(scheme="", netloc="").geturl() or "/"
        await asyncio.sleep(half_trip)
        sink.write(f"{method} {path} {version}\r\n".encode("latin-1") + rest)
        await sink.drain()
        try:
            head = await client.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            sink.write_eof()
            return


def _origin(head: bytes) -> tuple[str, int]:
    url = urlsplit(head.split(b" ", 2)[1].decode("latin-1"))
    return str(url.hostname), url.port or 80


async def _main(rate: float, round_trip: float, target: tuple[str, int] | None) -> None:
    link = Link(rate, round_trip)
    server = await asyncio.start_server(lambda r, w: _serve(r, w, link, target), "127.0.0.1", 0, limit=BLOCK)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shaped", description=__doc__)
    parser.add_argument("--rate", type=float, required=True, metavar="BYTES", help="a second")
    parser.add_argument("--round-trip", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--to", default="", metavar="HOST:PORT")
    chosen = parser.parse_args()
    host, _, port = chosen.to.rpartition(":")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(chosen.rate, chosen.round_trip, (host, int(port)) if port else None))


if __name__ == "__main__":
    main()
