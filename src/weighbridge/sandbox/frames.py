"""What parent and worker say to each other: frames of one byte of kind, four of length, and the payload.

The worker is not trusted: it has read hostile bytes. Lengths are bounded and every answer is parsed as strictly as a
stored record.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import time
from enum import IntEnum

from weighbridge.core.errors import InspectorCrashed, InspectorTimedOut

MAX_FRAME_BYTES = 160 * 1024 * 1024
_HEAD = struct.Struct("<BI")
_STEP = 1024 * 1024
_AHEAD = 64 * 1024


class FrameKind(IntEnum):
    """What a frame says. To the worker: `INSPECT`, `BYTES`, `BROKEN`, `GONE`; to the parent: `READ`, `ANSWER`, `STOPPED`."""

    INSPECT = 1
    BYTES = 2
    BROKEN = 3
    GONE = 4
    READ = 5
    ANSWER = 6
    STOPPED = 7


class Channel:
    """One end of a conversation over two pipes. With `patient` false, a `send` may be given a time to end in."""

    def __init__(self, incoming: int, outgoing: int, *, patient: bool = True) -> None:
        self._incoming = incoming
        self._held = b""
        self._outgoing = outgoing
        # A pipe that is full blocks its writer for as long as the other end pleases.
        os.set_blocking(outgoing, patient)
        enlarge = getattr(fcntl, "F_SETPIPE_SZ", None)
        if enlarge is not None and not patient:
            # What fits is handed over without waiting; a system may allow no more than it has given.
            with contextlib.suppress(OSError):
                fcntl.fcntl(outgoing, enlarge, _STEP)

    def send(self, kind: FrameKind, *parts: bytes, seconds: float | None = None) -> None:
        """Writes one frame; waits at most `seconds` for the other end to take it.

        Raises:
            InspectorCrashed: nobody reads. InspectorTimedOut: it was not taken in time.
        """
        length = sum(len(part) for part in parts)
        deadline = None if seconds is None else time.monotonic() + seconds
        try:
            self._write(_HEAD.pack(kind, length) + (parts[0] if len(parts) == 1 and length < _STEP else b""), deadline)
            if len(parts) != 1 or length >= _STEP:
                for part in parts:
                    self._write(part, deadline)
        except (BrokenPipeError, OSError) as error:
            raise InspectorCrashed("the inspecting process is gone") from error

    def _write(self, data: bytes, deadline: float | None) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._outgoing, view) :]
            except BlockingIOError:
                if not _is_ready(self._outgoing, select.POLLOUT, deadline):
                    raise InspectorTimedOut("the inspecting process did not take its bytes in time") from None

    def receive(self, seconds: float | None = None) -> tuple[FrameKind, bytes]:
        """The next frame; waits at most `seconds` for all of it.

        Raises:
            InspectorTimedOut: it did not come. InspectorCrashed: the other end is gone, or talks nonsense.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        kind, length = _HEAD.unpack(self._read(_HEAD.size, deadline))
        if length > MAX_FRAME_BYTES or kind not in FrameKind.__members__.values():
            raise InspectorCrashed("the inspecting process talks nonsense")
        return FrameKind(kind), self._read(length, deadline)

    def _read(self, length: int, deadline: float | None) -> bytes:
        held, self._held = self._held, b""
        if len(held) >= length:
            self._held = held[length:]
            return held[:length]
        pieces, missing = [held], length - len(held)
        while missing > 0:
            if deadline is not None and not _is_ready(self._incoming, select.POLLIN, deadline):
                raise InspectorTimedOut("the inspecting process did not answer in time")
            # What follows is taken along: frames are small, and calls dear.
            piece = os.read(self._incoming, max(_AHEAD, min(missing, _STEP)))
            if not piece:
                raise InspectorCrashed("the inspecting process is gone")
            pieces.append(piece)
            missing -= len(piece)
        if missing < 0:
            self._held, pieces[-1] = pieces[-1][missing:], pieces[-1][:missing]
        return b"".join(pieces)

    def close(self) -> None:
        """Closes both pipes."""
        os.close(self._incoming)
        os.close(self._outgoing)


def _is_ready(descriptor: int, what: int, deadline: float | None) -> bool:
    """Waits until there is something to read, or room to write, or the other end is gone; not beyond the deadline."""
    # `select` itself takes no descriptor of 1024 or more, and a process may have that many open.
    poll = select.poll()
    poll.register(descriptor, what)
    left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
    return bool(poll.poll(left))
