"""Follows all streams of one artifact: one after the other, behind garbage, and within constants."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import field
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.later import later
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly
from weighbridge.formats.held import Held
from weighbridge.formats.pickle import Blob, LongText, tokens, unescape
from weighbridge.formats.pickle_machine import Machine
from weighbridge.formats.pickle_values import Ending, Outcome, Value
from weighbridge.formats.pickle_walker import walk
from weighbridge.formats.pickle_window import Budget
from weighbridge.formats.recent_reads import Recent
from weighbridge.inspectors.pickles.judge import Judge

MAX_DEPTH = 4
MAX_STREAMS = 10_000
MAX_NESTED = 2_000
MAX_NESTED_TEXT = 1024 * 1024
MAX_COMPARED = 20_000
"""Names of one stream up to which the two readers' sets are compared."""

MAX_COUNTED = 1_000
"""Storages of torch's old format whose counts are read; of more, their total is enough."""

MAX_SEARCHED_BYTES = 1024 * 1024
MAX_SEARCHED_STREAMS = 64
MAX_SEARCHED_OPCODES = 500_000

_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_TORCH_LEGACY_STREAMS = 5
_TEXT_OPCODES = frozenset(("BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BINSTRING", "SHORT_BINSTRING", "STRING"))
_STREAM_START = later(rb"\x80[\x02-\x05]|\(?[ci][A-Za-z_][\w.]{0,100}\n[A-Za-z_]\w{0,100}\n")
_NPY_HEADER: Final = later(rb"\x93NUMPY[\x01-\x03]\x00", re.DOTALL)


def npy_pickle_offset(head: bytes) -> int | None:
    """Where in an npy file of objects its pickle begins; None for other files and plain numbers."""
    if not _NPY_HEADER.match(head):
        return None
    width = 2 if head[6] == 1 else 4
    length = int.from_bytes(head[8 : 8 + width], "little")
    return 8 + width + length if b"O" in head[8 + width : 8 + width + length] else None


@dataclass(slots=True)
class Reading:
    """Follows the streams of one artifact under one budget."""

    reader: RangeReader
    budget: Budget
    inert: Callable[[int, int], None] | None = None
    """Is told which bytes of the reader are arrays, by the rules of who writes them."""

    complete: bool = False
    """Whether the streams that were followed last all came to their STOP and left nothing over."""

    _results: list[Value] = field(default_factory=list)
    _starts: list[int] = field(default_factory=list)

    def streams(self, judge: Judge, start: int, end: int) -> int:
        """Follows streams back to back and returns how many bytes were understood."""
        position = start
        for _ in range(MAX_STREAMS):
            first = position == start
            trial = judge if first else Judge(judge.prefix)
            outcome = self._one(trial, position, end)
            if outcome.ending is not Ending.STOPPED:
                self._ended(judge, trial, outcome, position=position, end=end)
                return max(0, outcome.end - start) if first else position - start
            if not first:
                judge.absorb(trial)
            if len(self._results) < _TORCH_LEGACY_STREAMS:
                self._results.append(outcome.result)
                self._starts.append(position)
            position = outcome.end
            if position == end or self._torch_storages_follow(judge, position, end):
                self._tell(judge)
                self.complete = True
                return end - start
        judge.note("limit-exceeded", "streams", f"more than {MAX_STREAMS} streams follow each other", position)
        return position - start

    def _one(self, judge: Judge, start: int, end: int) -> Outcome:
        """Follows one stream, and lets the second reader follow it too."""
        judge.named.clear()
        judge.stacked.clear()
        recent = Recent(self.reader)
        machine = Machine(recent, start, end, self.budget)
        for event in machine.run():
            judge.see(event)
        judge.settle()
        outcome = machine.outcome
        if outcome.ending is Ending.STOPPED and (judge.named or judge.stacked):
            self._compare(judge, recent, start, machine)
        if machine.arrays:
            self._as_others_read(judge, start, end)
        return outcome

    def _compare(self, judge: Judge, recent: Recent, start: int, machine: Machine) -> None:
        end = machine.outcome.end
        if len(judge.named) + len(judge.stacked) > MAX_COMPARED:
            return
        other = walk(recent, start, end, machine.arrays)
        # An array of objects is a stream of its own, whose names the second reader is not shown.
        inner = judge.named if machine.arrays else other.named
        if other.unsure or (other.end == end and judge.named == inner | other.named and other.stacked <= judge.stacked):
            return
        seen = sorted(other.named ^ judge.named | (other.stacked - judge.stacked))
        what = ".".join(seen[0]) if seen else f"an end at {other.end}, not {end}"
        message = f"one reader sees {what[:100]!a}, the other does not"
        judge.note("readers-disagree", "", message, start)

    def _tell(self, judge: Judge) -> None:
        if self.inert is not None:
            for start, end in judge.data:
                self.inert(start, end)

    def _as_others_read(self, judge: Judge, start: int, end: int) -> None:
        """Follows a stream as loaders do that know nothing of joblib: its arrays are opcodes to them.

        Only a weapon is worth a word, for the bytes of an honest array spell anything.
        """
        trial = Judge(judge.prefix)
        for event in Machine(self.reader, start, end, self.budget, joblib=False).run():
            trial.see(event)
        if trial.grave:
            judge.absorb(trial)

    def _ended(self, judge: Judge, trial: Judge, outcome: Outcome, *, position: int, end: int) -> None:
        """A stream that did not reach its STOP: cut, too long, or never one."""
        if trial is not judge:
            judge.note("trailing-data", "", f"{end - position} bytes after the last stream are no pickle", position)
            if trial.grave:
                judge.absorb(trial)
        if outcome.ending is Ending.LIMIT:
            judge.note("limit-exceeded", outcome.message, outcome.message, outcome.end)
            return
        if trial is judge:
            judge.note("broken-stream", outcome.message, outcome.message, outcome.end)
        self._search(judge, outcome.end + 1, end)

    @property
    def holds_storages(self) -> bool:
        """Whether the streams are torch's old format, whose storages follow in the same file."""
        return len(self._results) >= _TORCH_LEGACY_STREAMS and self._results[0] == _TORCH_MAGIC

    def _torch_storages_follow(self, judge: Judge, position: int, end: int) -> bool:
        """Whether what is left is exactly the storages of torch's old format, in the order of its last stream.

        Each is a count of elements, which must be the pickle's, and the elements.
        """
        if not self.holds_storages or len(self._results) != _TORCH_LEGACY_STREAMS:
            return False
        sizes = judge.storages
        if end - position != sum(8 + size for size in sizes.values()):
            return False
        keys = self._keys(self._starts[-1], position)
        if sorted(keys) != sorted(sizes):
            return False
        spans: list[tuple[int, int]] = []
        for number, key in enumerate(keys):
            if number < MAX_COUNTED:
                count = self.reader.read(position, 8)
                if int.from_bytes(count, "little") != judge.elements[key]:
                    judge.note(
                        "broken-stream",
                        "storage",
                        f"the storage {key[:40]!a} has another size than its pickle says",
                        position,
                    )
                    return False
            spans.append((position + 8, position + 8 + sizes[key]))
            position += 8 + sizes[key]
        judge.data += spans
        return True

    def _keys(self, start: int, end: int) -> list[str]:
        """The texts of torch's list of storages, in order."""
        found = []
        for token in tokens(self.reader, start):
            if token.offset >= end:
                break
            if token.opcode.name in _TEXT_OPCODES and isinstance(token.argument, str):
                found.append(token.argument)
        return found

    def _search(self, judge: Judge, start: int, end: int) -> None:
        """Looks for streams further on. Only one that names a weapon is worth a word: it is anybody's guess."""
        wanted = min(MAX_SEARCHED_BYTES, end - start)
        if wanted <= 0:
            return
        data = read_exactly(self.reader, start, wanted)
        passed, budget = 0, Budget(64 * MAX_SEARCHED_BYTES, MAX_SEARCHED_OPCODES)
        for number, match in enumerate(_STREAM_START.finditer(data)):
            if number >= MAX_SEARCHED_STREAMS:
                return
            if match.start() < passed:
                continue
            trial = Judge()
            machine = Machine(self.reader, start + match.start(), end, budget)
            for event in machine.run():
                trial.see(event)
            trial.settle()
            if trial.grave:
                judge.absorb(trial)
                passed = machine.outcome.end - start

    def nested(self, judge: Judge) -> None:
        """Follows constants that are pickles themselves, and theirs, breadth first."""
        waiting = [(self.reader, judge.prefix, offset, value, 1) for offset, value in judge.constants]
        followed = 0
        while waiting:
            reader, prefix, offset, value, depth = waiting.pop(0)
            followed += 1
            if followed > MAX_NESTED or depth > MAX_DEPTH:
                judge.note("limit-exceeded", "nested", "more pickles within pickles than are followed", offset)
                return
            inner, start, end = _range_of(reader, value, self.budget)
            place = f"{prefix}constant at {offset}, "
            trial = Judge(place)
            within = Reading(inner, self.budget)
            within.streams(trial, start, end)
            if not (trial.grave or within.complete or (trial.acted and _has_header(value))):
                continue
            judge.note("nested", "", "a constant is a pickle itself", offset)
            judge.merge(trial, self.reader.path)
            waiting += [(inner, place, at, each, depth + 1) for at, each in trial.constants]


def _has_header(value: Value) -> bool:
    head = value.head if isinstance(value, Blob | LongText) else value
    return head[:1] in (b"\x80", "\x80") if isinstance(head, bytes | str) else False


def _range_of(reader: RangeReader, value: Value, budget: Budget) -> tuple[RangeReader, int, int]:
    """Where the bytes of a constant can be read."""
    if isinstance(value, Blob):
        return reader, value.offset, value.offset + value.length
    if isinstance(value, LongText):
        length = min(value.length, MAX_NESTED_TEXT)
        budget.read_bytes -= length
        data = reader.read(value.offset, length) if budget.read_bytes >= 0 else b""
        if value.encoding == "string-escape":
            data = unescape(data)
        elif value.encoding != "latin-1":
            data = data.decode(value.encoding, "replace").encode("latin-1", "replace")
    else:
        data = str(value).encode("latin-1", "replace")
    held = Held(reader.path, data)
    return held, 0, held.size_bytes
