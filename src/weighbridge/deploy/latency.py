"""How long a model takes to load, by route: from a Hub, through a gateway, from the store, from a disk. A calculation, no test.

What the figures mean:

- a load is a number of requests over a link. The link gives all streams together so many bytes a second, and one stream at
  most so many; every request waits a round trip before its first byte, and a new connection some more. Streams share the
  work evenly, so that few streams over a far link are bound by round trips and many by the link;
- what is proven is hashed beside the transfer: the slower of the two counts, not their sum. A route that proves nothing while
  it loads costs no less time than its transfer;
- each new connection starts slowly (RFC 6928: ten segments, doubled each round trip), so that a small share of a far load
  takes a few round trips whatever the link gives;
- what an engine does with the bytes afterwards (copies to devices, compilation) is not in here.

`benchmarks/latency.py` compares these figures with measured ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, log2
from typing import Final

from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import ConfigError

FIRST_WINDOW_BYTES: Final = 10 * 1460
"""What TCP sends before the first acknowledgement."""
VERIFY_RATE: Final = 700_000_000
"""Bytes a second that one processor reads, hashes and writes. Measured: 0.6 to 1.1 GB/s, by processor and library."""
MAX_STREAMS: Final = 256


@dataclass(frozen=True, slots=True)
class Link:
    """A way to bytes: what it gives all streams together, one stream at most (0: as much as all), and its round trip."""

    bytes_per_second: float
    round_trip_seconds: float = 0.0
    stream_bytes_per_second: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.bytes_per_second < float("inf") and 0 <= self.round_trip_seconds <= 60):
            raise ConfigError(
                "a link gives more than no bytes a second, and its round trip is at most a minute",
                hint="Measure it: the rate in bytes a second, the round trip in seconds.",
            )
        if not 0 <= self.stream_bytes_per_second < float("inf"):
            raise ConfigError("one stream of a link gives 0 (as much as all) or more bytes a second")

    @property
    def stream_rate(self) -> float:
        """What one stream alone gets."""
        return min(self.stream_bytes_per_second or self.bytes_per_second, self.bytes_per_second)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a client loads: so many streams, ranges of so many bytes (0: whole files), and the round trips beside the bytes'."""

    streams: int = 8
    range_bytes: int = 0
    first_round_trips: int = 2
    """One after the other, before anything is loaded: names resolved to a revision, lists, records."""
    file_round_trips: int = 0
    """For each file, before its first byte: a HEAD, a redirect."""
    connect_round_trips: int = 2
    """For each connection, once: TCP, and TLS 1.3."""
    verified: bool = False
    """Whether every byte is hashed while it is loaded."""

    def __post_init__(self) -> None:
        if not 1 <= self.streams <= MAX_STREAMS or self.range_bytes < 0:
            raise ConfigError(f"a load has 1 to {MAX_STREAMS} streams, and ranges of 0 (whole files) or more bytes")


@dataclass(frozen=True, slots=True)
class Machine:
    """Who loads: its processors, what one of them proves a second, and what its disk takes or gives (0: no bound)."""

    processors: int = 8
    verify_bytes_per_second: float = VERIFY_RATE
    disk_bytes_per_second: float = 0.0
    start_seconds: float = 0.0
    """Until the first request: a program starts, imports and opens what it needs."""

    def __post_init__(self) -> None:
        if self.processors < 1 or not self.verify_bytes_per_second > 0 or self.disk_bytes_per_second < 0:
            raise ConfigError("a machine has a processor, and proves and reads more than nothing")


HUB: Final = Manner(streams=8, first_round_trips=3, file_round_trips=2, connect_round_trips=3)
"""`hf download`: eight whole files at once; for each a HEAD, and a redirect to where its bytes are."""
GATEWAY: Final = Manner(streams=8, first_round_trips=3, file_round_trips=1, connect_round_trips=2, verified=True)
"""The same client with `HF_ENDPOINT`: no redirect; the gateway proves each chunk before it sends it."""
STORE: Final = Manner(
    streams=16, range_bytes=2 * CHUNK_BYTES, first_round_trips=12, connect_round_trips=2, verified=True
)
"""`weighbridge fetch` and `open_tensors`: the index and the records first, then ranges of two chunks, each chunk proven."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a load is expected to take, and what holds it up."""

    route: str
    seconds: float
    transfer_seconds: float
    """The bytes, without what comes before."""
    waiting_seconds: float
    """Before the first byte: round trips one after the other."""
    bound: str
    """`link`, `round trips`, `slow start`, `stream`, `verification` or `disk`: what would have to be faster."""


def predict(route: str, sizes: Iterable[int], manner: Manner, *, link: Link, machine: Machine) -> Predicted:
    """How long files of these sizes take over a link.

    Raises:
        ConfigError: a size is below nothing.
    """
    listed = _sizes(sizes)
    total, requests = sum(listed), _requests(listed, manner.range_bytes)
    streams = max(1, min(manner.streams, requests))
    rates = _rates(total / max(requests, 1), streams, link)
    rates |= _machine_rates(machine, verified=manner.verified)
    bound = min(rates, key=lambda name: rates[name])
    transfer = total / rates[bound] if total else 0.0
    if (slowly := _slow_start(total / streams, link)) > transfer:
        bound, transfer = "slow start", slowly
    trip = link.round_trip_seconds
    per_file = manner.file_round_trips * trip * ceil(len(listed) / streams)
    # One more until the first byte of the first request.
    waiting = machine.start_seconds + (manner.first_round_trips + manner.connect_round_trips + 1) * trip + per_file
    return Predicted(route, waiting + transfer, transfer, waiting, bound)


def predict_cached(sizes: Iterable[int], *, machine: Machine) -> Predicted:
    """How long it takes to prove files that lie on this machine: as fast as the disk gives and the processors hash.

    Raises:
        ConfigError: a size is below nothing.
    """
    total = sum(_sizes(sizes))
    rates = _machine_rates(machine, verified=True)
    bound = min(rates, key=lambda name: rates[name])
    transfer = total / rates[bound]
    return Predicted("cached", machine.start_seconds + transfer, transfer, machine.start_seconds, bound)


def routes(sizes: Iterable[int], *, hub: Link, store: Link, machine: Machine) -> tuple[Predicted, ...]:
    """All routes side by side; the gateway stands where the store does.

    Raises:
        ConfigError: a size is below nothing.
    """
    listed = _sizes(sizes)
    return (
        predict("hub", listed, HUB, link=hub, machine=machine),
        predict("gateway", listed, GATEWAY, link=store, machine=machine),
        predict("store", listed, STORE, link=store, machine=machine),
        predict_cached(listed, machine=machine),
    )


def _sizes(sizes: Iterable[int]) -> tuple[int, ...]:
    listed = tuple(sizes)
    if any(size < 0 for size in listed):
        raise ConfigError("a file has no fewer than no bytes")
    return listed


def _requests(sizes: tuple[int, ...], range_bytes: int) -> int:
    if not range_bytes:
        return len(sizes)
    return sum(max(1, ceil(size / range_bytes)) for size in sizes)


def _rates(request_bytes: float, streams: int, link: Link) -> dict[str, float]:
    """Bytes a second that each part of a link allows all streams together.

    A stream that waits a round trip for each request is busy for `request / rate` of `round trip + request / rate`. Where the
    streams together ask for more than the link gives, their waits hide behind each other's bytes.
    """
    rates = {"link": link.bytes_per_second, "stream": streams * link.stream_rate}
    if link.round_trip_seconds and request_bytes:
        busy = request_bytes / link.stream_rate
        rates["round trips"] = streams * request_bytes / (link.round_trip_seconds + busy)
    return rates


def _machine_rates(machine: Machine, *, verified: bool) -> dict[str, float]:
    rates = {"disk": machine.disk_bytes_per_second} if machine.disk_bytes_per_second else {}
    if verified or not rates:
        rates["verification"] = machine.processors * machine.verify_bytes_per_second
    return rates


def _slow_start(stream_bytes: float, link: Link) -> float:
    """The least that a new connection takes to carry so much, were the link without end."""
    return link.round_trip_seconds * log2(1 + stream_bytes / FIRST_WINDOW_BYTES)
