"""Files a request when a client asks for what is not approved, and says in the answer how that request stands.

Rules:

- a token needs the action `request` for the model; without a token only this machine may ask, by its own name, and never a
  page in a browser, which could be somebody else's. Who may not is told nothing about requests;
- the first asking is in the ledger before the answer says so. Further ones are counted, once a minute for each asker, and
  recorded together every `FLUSH_SECONDS` and at the end: a kill loses the counts since, and no request;
- the ledger is read and written by threads. What is known already is answered from memory; a new name waits at most
  `ANSWER_SECONDS`, and no more than `MAX_WAITING` of them wait at once;
- each asker has a rate, and all of them together; what goes beyond is answered and not filed;
- nothing is ever asked for outside.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from weighbridge.admit.asking import Asking, Repeat, Request, Source, State, Wanted
from weighbridge.admit.requests import RequestBook
from weighbridge.core.closing import Closing
from weighbridge.core.errors import ConfigError, Denied, WeighbridgeError
from weighbridge.core.names import ModelName
from weighbridge.serve.access import PERMIT, Permit, host_is_here, is_loopback
from weighbridge.serve.following import Following
from weighbridge.serve.tokens import Action
from weighbridge.store.ledger import Ledger, now_rfc3339

POLL_SECONDS: Final = 0.5
FLUSH_SECONDS: Final = 600.0
COUNT_SECONDS: Final = 60.0
ANSWER_SECONDS: Final = 2.0
SETTLE_SECONDS: Final = 60.0
"""How long after a promotion a miss is taken for an index that is not read yet."""
MAX_WAITING: Final = 16
MAX_COUNTED: Final = 1_000
MAX_ASKERS: Final = 1_000
ACTOR: Final = "gateway"
_log = logging.getLogger("weighbridge.gateway")
_FOREIGN: Final = frozenset((b"origin", b"sec-fetch-site"))
"""Headers of browsers: a page of anybody can make one ask, so that its asking is nobody's request."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How many new requests are filed: at once, and so many a second afterwards; each asker's, and all together."""

    burst: int = 10
    per_second: float = 1 / 30
    burst_in_all: int = 60
    per_second_in_all: float = 1.0


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float

    def has(self, burst: int, per_second: float, now: float) -> bool:
        self.left = min(float(burst), self.left + max(0.0, now - self.at) * per_second)
        self.at = now
        return self.left >= 1


@dataclass(slots=True)
class _Count:
    """Further askings of one asker for one request: those not recorded yet, and when one was counted last."""

    times: int = 0
    last_at: str = ""
    counted_at: float = field(default=float("-inf"))


class Requesting(Closing):
    """The requests of a running gateway; a context manager: leaving it records what was counted.

    `counted` is told how each miss of somebody who may ask ended: `filed`, `known` or `refused`.

    Raises:
        LedgerError, StoreError: the ledger cannot be read at the start.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        pace: Pace = Pace(),
        flush_seconds: float = FLUSH_SECONDS,
        count_seconds: float = COUNT_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        counted: Callable[[str], None] = lambda _result: None,
    ) -> None:
        self._book = RequestBook(ledger).refresh()
        self._counted = counted
        self._pace = pace
        self._flush_seconds = flush_seconds
        self._count_seconds = count_seconds
        self._monotonic = monotonic
        self._all = _Bucket(float(pace.burst_in_all), monotonic())
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._counts: OrderedDict[tuple[int, str], _Count] = OrderedDict()
        self._lock = threading.Lock()
        self._filing: dict[Wanted, asyncio.Future[tuple[Request, bool]]] = {}
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="requests")
        self._flushed = monotonic()
        self._following = Following("requests", self._look, POLL_SECONDS)

    def close(self) -> None:
        """Records what was counted, and files nothing more."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._following.end()
        self._flush()

    # --- one asking

    async def words(self, model_name: ModelName, ref: str, scope: Mapping[str, Any]) -> str | None:
        """What a client is told that missed, once its request is filed; None: what it is told without requests."""
        permit = scope.get(PERMIT)
        if not isinstance(permit, Permit) or not may_ask(permit, model_name, scope):
            return None
        try:
            wanted = Wanted.of(model_name, ref)
        except ConfigError as error:
            self._counted("refused")
            return f"'{model_name}' is not approved here at that revision. {error.hint}"
        known = self._book.newest(wanted)
        if known is not None and known.state is State.DONE:
            if _is_fresh(known):
                return f"'{model_name}' was approved just now; try again in a moment"
            known = None
        if known is not None and known.state is State.SUPERSEDED:
            known = None
        if known is not None:
            self._counted("known")
            self._count(known, permit)
            return told(known, new=False)
        return await self._filed(wanted, permit, scope)

    async def _filed(self, wanted: Wanted, permit: Permit, scope: Mapping[str, Any]) -> str:
        missing = f"'{wanted.model_name}' is not approved here{_at(wanted)}"
        running = self._filing.get(wanted)
        first = running is None
        if running is None:
            if len(self._filing) >= MAX_WAITING or not self._may_file(permit.key):
                self._counted("refused")
                return f"{missing}; too many are asked for at once: try again in a minute to file a request for it"
            asking = Asking(wanted, Source.GATEWAY, permit.who, address=address_class(scope))
            running = asyncio.get_running_loop().run_in_executor(self._threads, self._book.file, asking)
            self._filing[wanted] = running
            running.add_done_callback(lambda done: self._settled(wanted, done))
        try:
            request, new = await asyncio.wait_for(asyncio.shield(running), ANSWER_SECONDS)
        except TimeoutError:
            return f"{missing}; your request is being filed"
        except Denied as error:
            self._counted("refused")
            return f"{missing}, and no request can be filed now: {error.message}"
        except WeighbridgeError as error:
            self._counted("refused")
            return f"{missing}, and no request can be filed now ({type(error).__name__}): try again later"
        self._counted("filed" if first and new else "known")
        if not (first and new):
            self._count(request, permit)
        return told(request, new=new)

    def _settled(self, wanted: Wanted, done: asyncio.Future[tuple[Request, bool]]) -> None:
        self._filing.pop(wanted, None)
        error = None if done.cancelled() else done.exception()
        if error is not None:
            _log.log(
                logging.INFO if isinstance(error, Denied) else logging.WARNING,
                "a request for %s was not filed: %s",
                wanted,
                error,
            )

    def _may_file(self, key: str) -> bool:
        now, pace = self._monotonic(), self._pace
        bucket = self._buckets.pop(key, None) or _Bucket(float(pace.burst), now)
        self._buckets[key] = bucket
        while len(self._buckets) > MAX_ASKERS:
            self._buckets.popitem(last=False)
        own = bucket.has(pace.burst, pace.per_second, now)
        if not (own and self._all.has(pace.burst_in_all, pace.per_second_in_all, now)):
            return False
        bucket.left -= 1
        self._all.left -= 1
        return True

    def _count(self, request: Request, permit: Permit) -> None:
        key, now = (request.number, permit.who), self._monotonic()
        with self._lock:
            count = self._counts.setdefault(key, _Count())
            if now - count.counted_at >= self._count_seconds:
                count.times += 1
                count.last_at, count.counted_at = now_rfc3339(), now
            self._counts.move_to_end(key)
            while len(self._counts) > MAX_COUNTED:
                self._counts.popitem(last=False)

    # --- beside the answers

    def _look(self) -> None:
        if self._monotonic() - self._flushed >= self._flush_seconds:
            self._flushed = self._monotonic()
            self._flush()
        self._book.refresh()

    def _flush(self) -> None:
        with self._lock:
            found = [Repeat(key[0], key[1], one.times, one.last_at) for key, one in self._counts.items() if one.times]
            for one in self._counts.values():
                one.times = 0
        try:
            self._book.record_repeats(found, actor=ACTOR)
        except WeighbridgeError as error:
            _log.warning("%d counts of requests were not recorded: %s", len(found), error.message)


def may_ask(permit: Permit, model_name: ModelName, scope: Mapping[str, Any]) -> bool:
    """Whether an asker may file a request; see the rules above."""
    if any(name.lower() in _FOREIGN for name, _ in scope["headers"]):
        return False
    if permit.token is not None:
        return permit.may(Action.REQUEST, model_name)
    return address_class(scope) == "loopback" and host_is_here(scope)


def address_class(scope: Mapping[str, Any]) -> str:
    """Where an asker is: `loopback`, `private` (this network) or `public`; never the address itself."""
    host = str((scope.get("client") or ("", 0))[0]).partition("%")[0]
    if is_loopback(host):
        return "loopback"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    if mapped is not None:
        address = mapped
    return "loopback" if address.is_loopback else "private" if address.is_private else "public"


def told(request: Request, *, new: bool) -> str:
    """How a request stands, in a line for whoever asked."""
    wanted, word = request.wanted, request.word
    missing = f"'{wanted.model_name}' is not approved here{_at(wanted)}"
    if word is None:
        if new:
            return f"{missing}; your request {request.number} for it is filed, and a reviewer will look at it"
        return f"{missing}; request {request.number} for it is already filed and waits for a reviewer"
    day = word.at[:10]
    if word.accepts:
        return f"{missing} yet; request {request.number} for it was accepted on {day}, and it is being brought in"
    return f"{missing}; request {request.number} for it was declined on {day} because: {word.reason}"


def _at(wanted: Wanted) -> str:
    return "" if wanted.ref == "main" else f" at '{wanted.ref}'"


def _is_fresh(request: Request) -> bool:
    try:
        age = datetime.fromisoformat(now_rfc3339()) - datetime.fromisoformat(request.done_at)
    except ValueError:
        return False
    return 0 <= age.total_seconds() < SETTLE_SECONDS
