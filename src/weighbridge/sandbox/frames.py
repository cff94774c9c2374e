"""What parent and worker say to each other: frames of one byte of kind, four of length, and the payload.

The worker is not trusted: it has read hostile bytes. Lengths are bounded and every answer is parsed as strictly as a
stored record.
"""

from __future__ import annotations

import os
import select
import struct
import time
from enum import IntEnum

from weighbridge.core.errors import InspectorCrashed, InspectorTimedOut

MAX_FRAME_BYTES = 160 * 1024 * 1024
_HEAD = struct.Struct("<BI")
_STEP = 1024 * 1024


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
    """One end of a conversation over two pipes."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    def send(self, kind: FrameKind, *parts: bytes) -> None:
        """Writes one frame.

        Raises:
            InspectorCrashed: nobody reads.
        """
        length = sum(len(part) for part in parts)
        try:
            self._write(_HEAD.pack(kind, length) + (parts[0] if len(parts) == 1 and length < _STEP else b""))
            if len(parts) != 1 or length >= _STEP:
                for part in parts:
                    self._write(part)
        except (BrokenPipeError, OSError) as error:
            raise InspectorCrashed("the inspecting process is gone") from error

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._outgoing, view) :]

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
        pieces, missing = [], length
        while missing:
            if deadline is not None:
                ready, _, _ = select.select([self._incoming], [], [], max(0.0, deadline - time.monotonic()))
                if not ready:
                    raise InspectorTimedOut("the inspecting process did not answer in time")
            piece = os.read(self._incoming, min(missing, _STEP))
            if not piece:
                raise InspectorCrashed("the inspecting process is gone")
            pieces.append(piece)
            missing -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Closes both pipes."""
        os.close(self._incoming)
        os.close(self._outgoing)
