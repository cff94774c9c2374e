"""The inspecting process: is told of an artifact, asks its parent for bytes, and answers.

It has no network, no files and no way to start programs (`limits`). A defect in an inspector, or a bound that the bytes
made it break, ends the process: its parent notices, says so in a finding, and starts another one.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from dataclasses import dataclass

from weighbridge.core.errors import SourceError, Truncated
from weighbridge.core.finding import Inspection
from weighbridge.inspectors.registry import RULES_VERSION, inspect_artifact
from weighbridge.inspectors.subject import Inspected
from weighbridge.sandbox.frames import Channel, FrameKind
from weighbridge.sandbox.limits import confine

_RANGE = struct.Struct("<QI")


@dataclass(frozen=True, slots=True)
class RemoteReader:
    """An artifact whose bytes the parent holds; `head` came with the question."""

    channel: Channel
    path: str
    size_bytes: int
    head: bytes

    def read(self, offset: int, length: int) -> bytes:
        """See `core.ports.RangeReader`."""
        if offset + length <= len(self.head):
            return self.head[offset : offset + length]
        if length <= 0 or offset >= self.size_bytes:
            return b""
        self.channel.send(FrameKind.READ, _RANGE.pack(offset, min(length, 0xFFFFFFFF)))
        kind, payload = self.channel.receive()
        if kind is FrameKind.BROKEN:
            raise Truncated(payload.decode("utf-8", "replace"))
        if kind is not FrameKind.BYTES:
            raise SourceError("the parent cannot reach the bytes")
        return payload


def unpack_range(payload: bytes) -> tuple[int, int]:
    """Offset and length of a `READ` frame."""
    offset, length = _RANGE.unpack(payload)
    return offset, length


def serve(channel: Channel) -> None:
    """Answers until the parent has no more questions."""
    while True:
        kind, payload = channel.receive()
        if kind is not FrameKind.INSPECT:
            return
        (length,) = struct.unpack_from("<I", payload)
        question = json.loads(payload[4 : 4 + length])
        reader = RemoteReader(channel, question["path"], question["size_bytes"], payload[4 + length :])
        try:
            found = inspect_artifact(reader)
        except SourceError:
            channel.send(FrameKind.STOPPED, b"")
            continue
        channel.send(FrameKind.ANSWER, encode(found))


def question(path: str, size_bytes: int, head: bytes) -> tuple[bytes, bytes, bytes]:
    """The payload of an `INSPECT` frame, in parts."""
    asked = json.dumps({"path": path, "size_bytes": size_bytes}).encode("utf-8")
    return struct.pack("<I", len(asked)), asked, head


def encode(found: Inspected) -> bytes:
    """The payload of an `ANSWER` frame."""
    reports = Inspection(found.reports, RULES_VERSION).to_bytes()
    facts = [[fact.kind, fact.path, fact.location, fact.value] for fact in found.facts]
    return struct.pack("<I", len(reports)) + reports + json.dumps(facts).encode("utf-8")


def main(arguments: list[str]) -> int:
    """The process's own start: file descriptors for questions and answers, and bytes of memory."""
    incoming, outgoing, memory_bytes = (int(argument) for argument in arguments)
    run(incoming, outgoing, memory_bytes)
    return 0


def run(incoming: int, outgoing: int, memory_bytes: int) -> None:
    """Confines this process and serves."""
    confine(memory_bytes)
    serve(Channel(incoming, outgoing))


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # Nothing is left to tidy up, and tearing an interpreter down costs more than the work did.
    os._exit(code)
