"""Every download in the ledger: who took which file of which revision, when, how much, and with what status.

Rules:

- a download is acknowledged by the head of its answer. Before the head is sent, the journal on this machine's disk holds who
  takes what (`serve.journal`); so whoever got a byte is known, also after a SIGKILL or a power cut;
- how much was sent is known when it ended. Of a download that the gateway did not live to end it is "lost", and said so;
- bytes of models never wait for the ledger: segments of the journal are recorded behind them, each as one event
  `gateway.downloads` with one line for each asker, file and status. A segment is removed once its event is durable; its name
  is the event's subject, so that no segment is ever recorded twice;
- where the journal cannot be written no download begins: 503.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as HttpScope

from weighbridge.core.canonical import JsonObject, JsonValue
from weighbridge.core.closing import Closing
from weighbridge.core.errors import Busy, StoreError, WeighbridgeError
from weighbridge.core.names import is_revision
from weighbridge.serve.access import PERMIT, Permit, Refusal, address_key, target_of
from weighbridge.serve.journal import (
    Download,
    GatewayLock,
    Journal,
    Segment,
    read_segment,
    segments_in,
)
from weighbridge.store.ledger import Ledger, now_rfc3339

DOWNLOADS: Final = "gateway.downloads"
FLUSH_SECONDS: Final = 10.0
ROUTES: Final = frozenset({"resolve", "raw"})
ANSWERED: Final = frozenset({200, 206, 301, 302, 303, 307, 308})
_log = logging.getLogger(__name__)


class Downloads(Closing):
    """Takes downloads into the ledger. Thread-safe; a context manager: leaving it records what is left.

    What gateways before this one left in `folder` is recorded in the background.

    Raises:
        StoreError: the folder cannot be written.
    """

    def __init__(
        self,
        ledger: Ledger,
        folder: Path,
        *,
        actor: str = "gateway",
        flush_seconds: float = FLUSH_SECONDS,
        clock: Callable[[], str] = now_rfc3339,
    ) -> None:
        self._ledger = ledger
        self._folder = folder
        self._actor = actor
        self._clock = clock
        self._flush_seconds = flush_seconds
        self._closed: list[Segment] = []
        self._lock = threading.Lock()
        self._recording = threading.Lock()
        self._wake = threading.Event()
        self._ended = False
        self._journal = Journal(folder, closed=self._segment_closed, segment_seconds=flush_seconds)
        self._thread = threading.Thread(target=self._follow, name="downloads", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many segments wait for the ledger."""
        with self._lock:
            return len(self._closed)

    async def begin(self, download: Download) -> int:
        """Returns when it is on the disk that a download begins.

        Raises:
            StoreError: it is not; the download must not begin.
        """
        return await self._journal.begin(download)

    def end(self, number: int, *, sent_bytes: int, whole: bool) -> None:
        """A download ended."""
        self._journal.end(number, sent_bytes=sent_bytes, whole=whole)

    def close(self) -> None:
        """Records what is left; what the ledger does not take is kept for the next gateway. Call it when nothing runs."""
        self._ended = True
        self._wake.set()
        self._thread.join()
        self._journal.close()
        left = self._record_closed(last=True)
        self._journal.release(remove=not left)

    # --- into the ledger

    def _segment_closed(self, segment: Segment) -> None:
        with self._lock:
            self._closed.append(segment)
        self._wake.set()

    def _follow(self) -> None:
        while not self._ended:
            self._recover()
            self._record_closed(last=False)
            self._wake.wait(self._flush_seconds)
            self._wake.clear()

    def _record_closed(self, *, last: bool) -> bool:
        """Records closed segments in order; returns whether one is left. `last`: nothing follows the last of them."""
        with self._recording:
            while True:
                with self._lock:
                    segments = list(self._closed)
                if not segments:
                    return False
                ends = last and len(segments) == 1
                if not self._record(segments[0], following=None, ends=ends):
                    return True
                with self._lock:
                    self._closed.remove(segments[0])

    def _recover(self) -> None:
        """Records what dead gateways left."""
        found = [one for one in self._segments() if one.gateway != self._journal.gateway]
        for gateway in sorted({one.gateway for one in found}):
            try:
                held = GatewayLock(self._folder, gateway)
            except (Busy, OSError):
                continue
            # Once more: it may have written on until the lock was free.
            left = [one for one in self._segments() if one.gateway == gateway]
            following: list[Segment | None] = [*left[1:], None]
            whole = all(
                self._record(one, following=after, ends=after is None)
                for one, after in zip(left, following, strict=True)
            )
            held.release(remove=whole)

    def _segments(self) -> list[Segment]:
        try:
            return segments_in(self._folder)
        except OSError as error:
            _log.warning("the journals of downloads cannot be listed: %s", error.strerror)
            return []

    def _record(self, segment: Segment, *, following: Segment | None, ends: bool) -> bool:
        """Whether the segment is in the ledger now. What did not end in it is in the `following` one, unless it `ends`."""
        try:
            ended, running, damaged = read_segment(segment.path)
            if following is not None:
                carried = self._numbers(following)
                running = [one for one in running if one.number not in carried]
            lost = running if ends or following is not None else []
            if ended or lost or damaged:
                self._append(segment, [*ended, *lost], damaged)
            segment.path.unlink()
        except FileNotFoundError:
            return True
        except OSError as error:
            _log.warning("the journal '%s' cannot be read: %s", segment.path.name, error.strerror)
            return False
        except WeighbridgeError as error:
            _log.warning("the ledger does not take downloads, they wait: %s", error.message)
            return False
        return True

    def _numbers(self, segment: Segment) -> set[int]:
        ended, running, _ = read_segment(segment.path)
        return {one.number for one in (*ended, *running)}

    def _append(self, segment: Segment, found: list[Download], damaged: int) -> None:
        subject = f"downloads:{segment.name}"
        if next(self._ledger.events(subject=subject, kinds=(DOWNLOADS,), limit=1), None) is not None:
            return
        payload: JsonObject = {"lines": summed(found), "damaged_lines": damaged}
        self._ledger.append(DOWNLOADS, subject, payload, actor=self._actor)


def summed(found: list[Download]) -> list[JsonValue]:
    """One line for each asker, file and status. `cut`: ended by one side before the end; `lost`: nobody knows how far."""
    lines: dict[tuple[str, str, str, str, str, int], dict[str, JsonValue]] = {}
    for one in sorted(found, key=lambda one: (one.at, one.number)):
        key = (one.who, one.address, one.model, one.revision, one.path, one.status)
        line = lines.setdefault(
            key,
            {
                "who": one.who,
                "address": one.address,
                "model": one.model,
                "revision": one.revision,
                "path": one.path,
                "status": one.status,
                "first_at": one.at,
                "last_at": one.at,
                "downloads": 0,
                "sent_bytes": 0,
                "cut": 0,
                "lost": 0,
            },
        )
        lost = one.sent_bytes < 0
        line["last_at"] = one.at
        _add(line, "downloads", 1)
        _add(line, "sent_bytes", max(0, one.sent_bytes))
        _add(line, "cut", int(not one.whole and not lost))
        _add(line, "lost", int(lost))
    return list(lines.values())


def _add(line: dict[str, JsonValue], name: str, number: int) -> None:
    value = line[name]
    assert isinstance(value, int)
    line[name] = value + number


class Audited:
    """The middleware: an answer with a file's bytes, or a redirect to them, begins once its journal line is on the disk.

    The revision is what the answer says in `X-Repo-Commit`.
    """

    def __init__(self, app: ASGIApp, downloads: Downloads, *, clock: Callable[[], str] = now_rfc3339) -> None:
        self._app = app
        self._downloads = downloads
        self._clock = clock

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["method"] == "HEAD" or target_of(scope).route not in ROUTES:
            await self._app(scope, receive, send)
            return
        sending = _Sending(scope, send, self._downloads, self._clock)
        try:
            await self._app(scope, receive, sending)
        finally:
            sending.end()


class _Sending:
    """One answer on its way out."""

    def __init__(self, scope: HttpScope, send: Send, downloads: Downloads, clock: Callable[[], str]) -> None:
        self._scope = scope
        self._send = send
        self._downloads = downloads
        self._clock = clock
        self._number = 0
        self._sent = 0
        self._length = 0
        self._whole = False
        self._refused = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] in ANSWERED:
            try:
                await self._begin(message)
            except StoreError as error:
                _log.error("a download was refused: %s", error.message)
                self._refused = True
                refusal = Refusal(503, "", "Downloads cannot be recorded now; try again.", ((b"retry-after", b"10"),))
                await refusal.send(self._scope, self._send)
        if self._refused:
            return
        await self._send(message)
        if message["type"] == "http.response.body":
            self._sent += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
        elif message["type"] == "http.response.pathsend":
            self._sent, self._whole = self._length, True

    async def _begin(self, message: Message) -> None:
        headers = dict(message.get("headers", ()))
        length = headers.get(b"content-length", b"0")
        self._length = int(length) if length.isdigit() else 0
        target = target_of(self._scope)
        permit = self._scope.get(PERMIT)
        who = permit.who if isinstance(permit, Permit) else "anonymous"
        commit = headers.get(b"x-repo-commit", b"").decode("latin-1")
        self._number = await self._downloads.begin(
            Download(
                0,
                self._clock(),
                who,
                address_key(self._scope),
                str(target.model_name),
                commit if is_revision(commit) else "",
                target.path.encode("utf-8", "replace").decode("utf-8"),
                message["status"],
            )
        )

    def end(self) -> None:
        """The answer ended, whole or not."""
        if self._number:
            self._downloads.end(self._number, sent_bytes=self._sent, whole=self._whole)
