"""Looks into a zip archive (torch's, numpy's, or any) for pickles, and accounts for what else is in it."""

from __future__ import annotations

from typing import Final

from weighbridge.core.ports import RangeReader
from weighbridge.formats.kinds import PICKLE, kind_of, suffix_of
from weighbridge.formats.pickle_window import Budget
from weighbridge.formats.zips import ZipMember, ZipProblem, open_member, peek_member, read_directory
from weighbridge.inspectors.pickle_judge import Judge
from weighbridge.inspectors.pickle_reading import Reading, npy_pickle_offset
from weighbridge.inspectors.pickle_rules import BY_ID

MAX_OPENED_BYTES = 256 * 1024 * 1024
"""Bytes of members that are unpacked, or read for their checksum, in one archive."""

MEMBER_SUFFIXES: Final = frozenset((".pkl", ".pickle", ".p", ".joblib", ".dill", ".cloudpickle"))
_PEEK_BYTES = 512
_SMALL: Final = ("version", "byteorder", ".format_version", ".storage_alignment", ".data/serialization_id")
_SMALL_BYTES = 64


class Archive:
    """One archive under inspection.

    After `look`, `pickles` counts those that were followed, `covered` the packed bytes of members understood, and
    `complete` says whether every byte of the archive is.
    """

    def __init__(self, reader: RangeReader, budget: Budget, judge: Judge) -> None:
        self._reader = reader
        self._budget = budget
        self._judge = judge
        self._left = MAX_OPENED_BYTES
        self._understood: set[int] = set()
        self.pickles = 0
        self.covered = 0
        self.complete = False
        self.readable = False

    def look(self, *, expected: bool = True) -> None:
        """Reads the directory and follows every pickle. That there is none is only a problem where one is expected.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        directory = read_directory(self._reader)
        self.readable = directory.readable
        if not self.readable and not expected:
            return
        for problem in directory.problems:
            self._say(problem)
        storages: dict[str, int] = {}
        named = {member.name for member in directory.members if _is_named(member)}
        for member in directory.members:
            if member.name in named:
                storages |= self._follow(member)
        for member in directory.members:
            if member.name not in named:
                self._account(member, storages)
        self._missing(directory.members, storages)
        self.covered = sum(m.packed_bytes for m in directory.members if m.header_offset in self._understood)
        everything = all(member.header_offset in self._understood for member in directory.members)
        self.complete = everything and not directory.problems and directory.readable

    def _say(self, problem: ZipProblem) -> None:
        rule = f"zip-{problem.rule}"
        self._judge.note(rule, problem.message, problem.message, problem.offset, severity=BY_ID[rule].severity)

    def _follow(self, member: ZipMember) -> dict[str, int]:
        """Judges a pickle; returns the storages it names, by the names of the members that hold them."""
        expected = max(member.packed_bytes, member.size_bytes)
        if expected > self._left and member.method:
            self._say(ZipProblem("limit", "more would have to be unpacked than is", member.header_offset))
            return {}
        content, problem = open_member(self._reader, member)
        if problem is not None:
            self._say(problem)
        if content is None:
            return {}
        self._left -= content.size_bytes if content.held is not None else 0
        self.pickles += 1
        trial, reading = Judge(f"{member.name[:100]!a}, "), Reading(content, self._budget)
        covered = reading.streams(trial, 0, content.size_bytes)
        reading.nested(trial)
        self._judge.merge(trial, self._reader.path)
        if covered == content.size_bytes and problem is None:
            self._understood.add(member.header_offset)
        folder = member.name.rpartition("/")[0]
        folder = f"{folder}/" if folder else ""
        return {f"{folder}data/{key}": size for key, size in trial.storages.items()}

    def _account(self, member: ZipMember, storages: dict[str, int]) -> None:
        """A member that is not named like a pickle: a storage, a known trifle, or a pickle after all."""
        size = storages.get(member.name)
        if size is not None and not member.method:
            if size == member.packed_bytes:
                self._understood.add(member.header_offset)
                return
            message = f"{member.name!a} has {member.packed_bytes} bytes, and the pickle makes {size} of them a tensor"
            self._say(ZipProblem("storage-size", message, member.header_offset))
        if member.name.endswith("/") and not member.packed_bytes:
            self._understood.add(member.header_offset)
            return
        head = peek_member(self._reader, member, _PEEK_BYTES)
        if kind_of(member.name, head, member.size_bytes) is PICKLE:
            self._follow(member)
        elif npy_pickle_offset(head) is not None:
            self._follow_array(member, head)
        elif member.name.endswith(_SMALL) and member.size_bytes <= _SMALL_BYTES and head.strip().isalnum():
            self._understood.add(member.header_offset)

    def _follow_array(self, member: ZipMember, head: bytes) -> None:
        start = npy_pickle_offset(head)
        content, problem = open_member(self._reader, member)
        if problem is not None:
            self._say(problem)
        if content is None or start is None:
            return
        self.pickles += 1
        self._left -= content.size_bytes if content.held is not None else 0
        trial, reading = Judge(f"{member.name[:100]!a}, "), Reading(content, self._budget)
        covered = reading.streams(trial, start, content.size_bytes)
        reading.nested(trial)
        self._judge.merge(trial, self._reader.path)
        if covered == content.size_bytes - start and problem is None:
            self._understood.add(member.header_offset)

    def _missing(self, members: tuple[ZipMember, ...], storages: dict[str, int]) -> None:
        missing = storages.keys() - {member.name for member in members}
        if missing:
            message = f"{len(missing)} storages are not there, such as {min(missing)!a}"
            self._say(ZipProblem("storage-size", message, 0))


def _is_named(member: ZipMember) -> bool:
    return suffix_of(member.name) in MEMBER_SUFFIXES
