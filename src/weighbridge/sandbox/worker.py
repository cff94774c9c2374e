"""The inspecting process: is told of an artifact, asks its parent for bytes, and answers.

It has no network, no files and no way to start programs (`limits`). A defect in an inspector, or a bound that the bytes
made it break, ends the process: its parent notices, says so in a finding, and starts another one.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import InspectorCrashed, SourceError, Truncated
from weighbridge.core.ports import RangeReader
from weighbridge.inspectors.content.malware import Malware
from weighbridge.inspectors.content.session import ContentSession, ContentSettings
from weighbridge.inspectors.content.spool import Spool
from weighbridge.inspectors.registry import inspect_artifact
from weighbridge.sandbox.answers import encode
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
        # What came with the question is not fetched twice: over HTTP that would be half of a shard's header.
        known = self.head[offset:]
        offset, length = offset + len(known), length - len(known)
        if offset >= self.size_bytes:
            return known
        self.channel.send(FrameKind.READ, _RANGE.pack(offset, min(length, self.size_bytes - offset, 0xFFFFFFFF)))
        kind, payload = self.channel.receive()
        if kind is FrameKind.BROKEN:
            raise Truncated(payload.decode("utf-8", "replace"))
        if kind is not FrameKind.BYTES:
            raise SourceError("the parent cannot reach the bytes")
        return known + payload if known else payload


def unpack_range(payload: bytes) -> tuple[int, int]:
    """Offset and length of a `READ` frame."""
    offset, length = _RANGE.unpack(payload)
    return offset, length


@dataclass(frozen=True, slots=True)
class Station:
    """What a worker is started with: memory, what to look for in content, and the files that it may append to.

    `text` and `raw` are descriptors of spools (`inspectors.spool`), 0 for none.
    """

    memory_bytes: int
    content: ContentSettings
    text: int = 0
    raw: int = 0

    def to_json(self) -> dict[str, JsonValue]:
        """For a new interpreter's command line."""
        content = self.content
        return {
            "memory_bytes": self.memory_bytes,
            "text": self.text,
            "raw": self.raw,
            "deep": content.deep,
            "secrets": content.secrets,
            "malware": content.malware,
            "clamd": content.clamd,
            "rule_folders": [str(folder) for folder in content.rule_folders],
            "spool_bytes": content.spool_bytes,
        }

    @classmethod
    def from_json(cls, value: JsonValue) -> Station:
        """Reads what `to_json` wrote."""
        fields = Fields(value, what="the worker's settings")
        content = ContentSettings(
            deep=fields.boolean("deep"),
            secrets=fields.boolean("secrets"),
            malware=fields.boolean("malware"),
            clamd=fields.text("clamd"),
            rule_folders=tuple(Path(folder) for folder in fields.texts("rule_folders")),
            spool_bytes=fields.integer("spool_bytes"),
        )
        return cls(fields.integer("memory_bytes"), content, fields.integer("text"), fields.integer("raw"))


class _Desk:
    """The content session at hand, and how much of its spools' index the parent knows."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._number = 0
        self._content: ContentSession | None = None
        self._known: dict[str, int] = {}

    def content(self, number: int) -> ContentSession | None:
        """The session of that number, begun anew when it is another than the last; none for 0."""
        if not number:
            return None
        if number != self._number:
            station = self._station
            text, raw = (
                Spool(descriptor, station.content.spool_bytes) if descriptor else None
                for descriptor in (station.text, station.raw)
            )
            self._content = ContentSession(station.content, text, raw)
            self._number, self._known = number, {}
        return self._content

    def news(self) -> dict[str, JsonValue]:
        """What was spooled since the parent was last told."""
        told: dict[str, JsonValue] = {}
        if self._content is None:
            return told
        for name, spool in (("text", self._content.text), ("raw", self._content.raw)):
            if spool is not None:
                told[name] = spool.to_json(first_label=self._known.get(name, 0))
                self._known[name] = len(spool.labels)
        return told


def serve(channel: Channel, station: Station) -> None:
    """Answers until the parent has no more questions."""
    desk = _Desk(station)
    while True:
        try:
            kind, payload = channel.receive()
        except InspectorCrashed:
            # The parent ended without a word, as when it is killed: nobody is left to be told.
            return
        if kind is not FrameKind.INSPECT:
            return
        (length,) = struct.unpack_from("<I", payload)
        asked = Fields(json.loads(payload[4 : 4 + length]), what="a question")
        content = desk.content(asked.integer("session"))
        start = 4 + length
        for item in asked.items("artifacts"):
            artifact = Fields(item, what="an artifact")
            end = start + artifact.integer("head_bytes")
            reader = RemoteReader(channel, artifact.text("path"), artifact.integer("size_bytes"), payload[start:end])
            start = end
            try:
                found = inspect_artifact(reader, content)
            except SourceError:
                channel.send(FrameKind.STOPPED, b"")
                break
            # At once: what comes next may end this process.
            channel.send(FrameKind.ANSWER, encode(found, desk.news() if content is not None else {}))


def question(artifacts: Iterable[tuple[RangeReader, bytes]], session: int) -> tuple[bytes, ...]:
    """The payload of an `INSPECT` frame, in parts: artifacts, each with its first bytes, to be answered one by one.

    `session` numbers what belongs together; 0: leave content out.
    """
    described, heads = [], []
    for reader, head in artifacts:
        described.append({"path": reader.path, "size_bytes": reader.size_bytes, "head_bytes": len(head)})
        heads.append(head)
    asked = json.dumps({"session": session, "artifacts": described}).encode("utf-8")
    return struct.pack("<I", len(asked)) + asked, *heads


def run(incoming: int, outgoing: int, station: Station) -> None:
    """Confines this process and serves."""
    if station.content.malware:
        Malware.load(station.content.rule_folders)
    confine(station.memory_bytes, written_bytes=station.content.spool_bytes)
    serve(Channel(incoming, outgoing), station)


def main(arguments: list[str]) -> int:
    """A new interpreter's start: descriptors for questions and answers, and a `Station` as JSON."""
    incoming, outgoing, station = arguments
    run(int(incoming), int(outgoing), Station.from_json(json.loads(station)))
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # Nothing is left to tidy up, and tearing an interpreter down costs more than the work did.
    os._exit(code)
