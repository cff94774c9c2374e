"""Is this HDF5 file numbers and their names, all of it here, and does nothing in it run?

The file is walked whole: every group, dataset and attribute, and every byte is given to the structure that owns it.
Raw data is inert by the format's own rules. What is not: Keras configurations in attributes (judged like any), pickles
that PyTables and pandas keep in attributes and arrays of variable length (inspected like any pickle), links and
datasets that make a reader open other files of the host. Bytes that belong to nothing are what deletions leave behind,
or a hiding place: they are not understood unless they are zeros, or few and short (`LEFT_OVER_BYTES`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from weighbridge.core.errors import FormatError
from weighbridge.core.finding import Finding, Report, Severity, Verdict
from weighbridge.formats import hdf5_types as types
from weighbridge.formats.hdf5 import Contents, Dataset, Named, find_base, read_contents
from weighbridge.formats.hdf5_bytes import Bytes, Hdf5Limit, Hdf5Problem
from weighbridge.formats.held import Held
from weighbridge.formats.kinds import HEAD_BYTES, PICKLE, is_text, kind_of
from weighbridge.formats.members import Slice
from weighbridge.formats.zip_tail import zip_at_the_end
from weighbridge.inspectors.graphs import keras_judge
from weighbridge.inspectors.notes import first_of_each
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject, report_of

NAME: Final = "hdf5"
KIND: Final = "hdf5"
MAX_SAME: Final = 20
LEFT_OVER_BYTES: Final = 128
LEFT_OVER_IN_ALL: Final = 1024
"""A gap of at most so many bytes, and all of them together, are what moving an attribute or a link leaves behind: the
library takes the next larger place and does not clear the old one. NetCDF-4 does so in nearly every file."""
MAX_HEAP_OBJECTS: Final = 200_000
MAX_ATTRIBUTE_BYTES: Final = 64 * 1024 * 1024
BOMB_BYTES: Final = 16 * 1024**3
BOMB_RATIO: Final = 2_000
"""Deflate packs at most 1032 to 1: a declared size of more than that many times the stored one is not compression."""

_REFUSE: Final = "Do not load the file. Ask its publisher for one that holds its own data."
_REFETCH: Final = (
    "Do not load the file. Fetch it again from its publisher; if it is the same there, ask for a sound one."
)


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str = _REFUSE) -> Rule:
    return Rule(f"hdf5-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "external-storage",
        "Dataset in another file of the host",
        Severity.HIGH,
        "Reading the dataset reads that file, whatever it is; its bytes become weights (CVE-2026-1669).",
    ),
    _rule(
        "external-link",
        "Link into another file of the host",
        Severity.HIGH,
        "Following the link opens that file (CVE-2026-1669).",
    ),
    _rule(
        "virtual-dataset",
        "Dataset put together from other files",
        Severity.HIGH,
        "Reading it opens files that the mapping names. A model's weights are in one file.",
    ),
    _rule(
        "user-link",
        "Link of a user-defined kind",
        Severity.HIGH,
        "Readers call a function that some library has registered for it.",
    ),
    _rule(
        "soft-link",
        "Link by name",
        Severity.LOW,
        "It leads to another object of the same file. Writers of weights do not use them.",
        "Nothing, if the reader of your choice knows them.",
    ),
    _rule(
        "filter",
        "Data behind a filter that nobody knows",
        Severity.MEDIUM,
        "Readers load a plug-in library for it from the host, if there is one.",
        "Ask for a file with standard compression.",
    ),
    _rule(
        "shape-bomb",
        "Dataset that declares far more than is stored",
        Severity.HIGH,
        "Readers allocate what is declared and run out of memory (CVE-2026-0897).",
    ),
    _rule(
        "overlap",
        "Data on top of other data",
        Severity.HIGH,
        "Two datasets, or a dataset and a structure, share bytes.",
    ),
    _rule(
        "trailing-data",
        "Bytes after the end of the file that it declares itself",
        Severity.HIGH,
        "No reader looks there; a payload or another file's end record does.",
    ),
    _rule("truncated", "Cut short", Severity.HIGH, "The file declares an end that lies beyond its bytes.", _REFETCH),
    _rule(
        "user-block",
        "Text before the file's own beginning",
        Severity.LOW,
        "The format allows a block for other uses before its content; this one holds text.",
        "Read the text; leave the file out if nothing needs it.",
    ),
    _rule(
        "polyglot",
        "Also a file of another format",
        Severity.HIGH,
        "The block before the content, or the end, is another format's: some read that, others this.",
    ),
    _rule(
        "unaccounted",
        "Bytes that belong to nothing",
        Severity.LOW,
        "Deleting objects leaves such bytes behind; they are also a place to hide. They were not understood.",
        "Ask for a file written anew (h5repack).",
    ),
    _rule(
        "hidden-content",
        "Another format in bytes that belong to nothing",
        Severity.HIGH,
        "A program, an archive or a serialised object lies where no reader of the format looks.",
    ),
    _rule(
        "not-readable",
        "Structures that do not hold",
        Severity.HIGH,
        "The file is damaged or made to break readers.",
        _REFETCH,
    ),
    _rule(
        "not-understood",
        "Structures that are not read here",
        Severity.MEDIUM,
        "They may be well-formed; nothing is known of what lies under them.",
        "Ask for a file written with h5py's defaults.",
    ),
)
_BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}
_UNSETTLED: Final = keras_judge.UNSETTLED | {"hdf5-filter", "hdf5-not-understood"}

# HDF5's own filters, and those of PyTables, h5py and hdf5plugin by their registered numbers.
_FILTERS: Final = frozenset((1, 2, 3, 4, 5, 6, 305, 307, 32000, 32001, 32004, 32008, 32013, 32015, 32018, 32022, 32026))
_MATLAB_BLOCK: Final = re.compile(rb"MATLAB 7\.\d MAT-file[\x20-\x7e]{0,96}[\x00 ]{0,104}\x00\x02IM\x00{384}")
"""What MATLAB writes before the content since 7.3: a line about itself, its version, and nothing."""
_CONTAINERS: Final = frozenset(("executable", "archive", "serialised"))


class Hdf5:
    """The inspector `hdf5`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage when every byte has an owner and nothing runs; None for files of other formats.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        if subject.kind.name != KIND and len(subject.head) < 520:
            return None
        named = subject.kind.name == KIND or subject.suffix in (".h5", ".hdf5", ".hdf", ".he5", ".keras")
        base = find_base(subject, subject.head) if named else _base_in_head(subject.head)
        if base is None:
            return None
        try:
            contents, file = read_contents(subject, base)
        except Hdf5Limit as error:
            note = _BY_ID["hdf5-not-understood"].finding(subject.path, error.message)
            return report_of(NAME, subject, [note], 0, kind=subject.kind.name)
        except Hdf5Problem as error:
            note = _BY_ID["hdf5-not-readable"].finding(subject.path, error.message)
            return report_of(NAME, subject, [note], 0, kind=subject.kind.name)
        for start, end in file.data:
            subject.inert(start + base, end + base)
        looking = _Looking(subject, contents, file)
        findings = first_of_each(looking.findings(), MAX_SAME)
        report = report_of(NAME, subject, findings, subject.size_bytes - looking.unowned, kind=subject.kind.name)
        if report.verdict is Verdict.CLEAN and any(finding.rule in _UNSETTLED for finding in findings):
            return replace(report, verdict=Verdict.UNKNOWN)
        return report


def _base_in_head(head: bytes) -> int | None:
    """Where another format's file has HDF5 behind a block of its own."""
    signature = b"\x89HDF\r\n\x1a\n"
    return next((base for base in (512, 1024, 2048, 4096) if head[base : base + 8] == signature), None)


class _Looking:
    """Judges what was read. `unowned` counts the bytes that nobody understood."""

    def __init__(self, subject: Subject, contents: Contents, file: Bytes) -> None:
        self._subject = subject
        self._contents = contents
        self._file = file
        self.unowned = 0

    def findings(self) -> Iterator[Finding]:
        """Everything there is to say."""
        path, contents = self._subject.path, self._contents
        for where, link in contents.links:
            rule = {"soft": "soft-link", "external": "external-link"}.get(link.kind, "user-link")
            yield _BY_ID[f"hdf5-{rule}"].finding(path, f"a link to {link.target!a:.100}", location=where[-200:])
        for where, name in contents.external:
            yield _BY_ID["hdf5-external-storage"].finding(
                path, f"the data lies in {name!a:.100}", location=where[-200:]
            )
        for what, count in Counter(contents.unread).items():
            yield _BY_ID["hdf5-not-understood"].finding(path, f"{what}, {count} times")
        for dataset in contents.datasets:
            yield from self._dataset(dataset)
        yield from self._bounds()
        yield from self._gaps()
        for named in contents.attributes:
            yield from self._attribute(named)
        yield from self._heap_objects()

    def _dataset(self, dataset: Dataset) -> Iterator[Finding]:
        path, where = self._subject.path, dataset.path[-200:]
        if dataset.kind == "virtual":
            yield _BY_ID["hdf5-virtual-dataset"].finding(path, "a virtual dataset", location=where)
        unknown = sorted(set(dataset.filters) - _FILTERS)
        if unknown:
            yield _BY_ID["hdf5-filter"].finding(path, f"filter {unknown[0]}", location=where)
        declared, stored = dataset.declared_bytes, dataset.stored_bytes
        plain = dataset.kind == "contiguous" and stored and declared != stored
        if plain or (declared > BOMB_BYTES and declared > BOMB_RATIO * max(stored, self._subject.size_bytes)):
            message = f"{declared} bytes declared, {stored} stored"
            yield _BY_ID["hdf5-shape-bomb"].finding(path, message, location=where)
        bytewise = dataset.datatype and dataset.datatype.sort in (types.STRING, types.OPAQUE, types.FIXED)
        if (
            bytewise
            and dataset.end - dataset.start > 2
            and dataset.datatype
            and self._is_bytes(dataset.datatype, dataset)
        ):
            yield from self._pickle(dataset.start, dataset.end - dataset.start, where)

    def _is_bytes(self, kind: types.Datatype, dataset: Dataset) -> bool:
        """Whether the raw data is bytes that were put there as such."""
        return kind.sort in (types.STRING, types.OPAQUE) or (kind.size == 1 and len(dataset.dimensions) <= 1)

    def _pickle(self, start: int, length: int, where: str) -> Iterator[Finding]:
        """Bytes that are a pickle are inspected as one."""
        head = self._subject.read_exactly(start, min(length, 256))
        if kind_of("", head, length) is not PICKLE:
            return
        try:
            self._subject.descend(Slice(where[-100:] or "/", self._subject, start, length))
        except FormatError as error:
            yield _BY_ID["hdf5-not-understood"].finding(self._subject.path, error.message, location=where)

    def _bounds(self) -> Iterator[Finding]:
        """The block before the content, the end, and what lies on what."""
        subject, contents, path = self._subject, self._contents, self._subject.path
        if contents.end > subject.size_bytes:
            message = f"the file ends at {subject.size_bytes} and declares {contents.end} bytes"
            yield _BY_ID["hdf5-truncated"].finding(path, message)
        elif contents.end < subject.size_bytes:
            message = f"{subject.size_bytes - contents.end} bytes after the end"
            yield _BY_ID["hdf5-trailing-data"].finding(path, message, location=f"offset {contents.end}")
        block = subject.read_exactly(0, min(contents.base, HEAD_BYTES))
        if block.strip(b"\0") and not _MATLAB_BLOCK.fullmatch(block):
            text = is_text(block.rstrip(b"\0"), whole=contents.base <= HEAD_BYTES) and not block.startswith(b"#!")
            plain = text and subject.kind.name == KIND
            rule = "user-block" if plain else "polyglot"
            yield _BY_ID[f"hdf5-{rule}"].finding(path, f"a block of {contents.base} bytes before the content")
        for start, end in self._file.overlaps()[:MAX_SAME]:
            place = f"offset {start + contents.base}"
            yield _BY_ID["hdf5-overlap"].finding(path, f"{end - start} bytes lie on others", location=place)
        if zip_at_the_end(subject) is not None:
            yield _BY_ID["hdf5-polyglot"].finding(path, "a zip archive's directory ends at the end")

    def _gaps(self) -> Iterator[Finding]:
        base, unowned, longest = self._contents.base, 0, 0
        first, hidden = 0, False
        for start, end in self._file.gaps():
            held = self._file.at(start, end - start)
            rest = held.lstrip(b"\0")
            if not rest:
                continue
            unowned += end - start
            # What is moved lies between others; what was put behind all of them was not left by the library.
            hidden |= end == self._file.size_bytes
            longest = max(longest, end - start)
            first = first or start + base
            kind = kind_of("", rest[:HEAD_BYTES], len(rest))
            if kind.family in _CONTAINERS:
                hidden = True
                place = f"offset {end - len(rest) + base}"
                message = f"{kind.name} in {end - start} bytes that belong to nothing"
                yield _BY_ID["hdf5-hidden-content"].finding(self._subject.path, message, location=place)
        if unowned <= LEFT_OVER_IN_ALL and longest <= LEFT_OVER_BYTES and not hidden:
            return
        if unowned:
            message = f"{unowned} bytes belong to nothing"
            yield _BY_ID["hdf5-unaccounted"].finding(self._subject.path, message, location=f"offset {first}")
        self.unowned += unowned

    def _attribute(self, named: Named) -> Iterator[Finding]:
        attribute, where = named.attribute, f"{named.path[-150:]} attribute {named.attribute.name[:80]!a}"
        kind = attribute.datatype
        if kind is None:
            message = "an attribute whose type is kept elsewhere"
            yield _BY_ID["hdf5-not-understood"].finding(self._subject.path, message, location=where)
            return
        if kind.sort in (types.STRING, types.OPAQUE):
            yield from self._text(attribute.data, where)
        elif kind.sort == types.VLEN:
            for i in range(min(attribute.count, 10_000)):
                entry = attribute.data[16 * i : 16 * i + 16]
                length, address = int.from_bytes(entry[:4], "little"), int.from_bytes(entry[4:12], "little")
                if address and length:
                    start, held = self._file_object(address, int.from_bytes(entry[12:16], "little"))
                    if 0 < held <= MAX_ATTRIBUTE_BYTES:
                        yield from self._text(self._subject.read_exactly(start, held), where, is_heap=True)

    def _file_object(self, address: int, index: int) -> tuple[int, int]:
        return self._contents.by_reference.get((address, index), (0, 0))

    def _text(self, data: bytes, where: str, *, is_heap: bool = False) -> Iterator[Finding]:
        """A configuration, or a pickle (those in heaps are found there)."""
        text = data.rstrip(b"\0 ")
        if text[:1] == b"{" and (b"class_name" in text or b"\\u00" in text):
            yield from keras_judge.judge_bytes(text, self._subject.path, where)
        elif not is_heap and len(text) > 2 and kind_of("", text[:HEAD_BYTES], len(text)) is PICKLE:
            try:
                # A text's padding is not the pickle's, which ends with a full stop.
                held = data.rstrip(b"\0")
                self._subject.descend(Held(where, held, self._subject), unpacked_bytes=len(held))
            except FormatError as error:
                yield _BY_ID["hdf5-not-understood"].finding(self._subject.path, error.message, location=where)

    def _heap_objects(self) -> Iterator[Finding]:
        objects = self._contents.heap_objects
        if len(objects) > MAX_HEAP_OBJECTS:
            message = f"{len(objects)} texts and arrays of variable length"
            yield _BY_ID["hdf5-not-understood"].finding(self._subject.path, message)
        for start, length in objects[:MAX_HEAP_OBJECTS]:
            if length > 2:
                head = self._file.at(start - self._contents.base, min(length, 256))
                if kind_of("", head, length) is PICKLE:
                    yield from self._pickle(start, length, f"heap object at {start}")
