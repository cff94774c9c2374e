"""What would loading this pickle do? Clean only when it makes data, and nothing else, to the last byte.

Every stream of the artifact is followed on abstract values (`weighbridge.formats.pickle_machine`) and every callable in
it is judged: allowed for its role with such arguments, a known weapon, or unknown, which does not pass. A constant that
is a pickle itself is followed too. Zip archives (torch's, numpy's) are read by their directory, and the pickles in them
in place. Bytes constants and torch's storages are data by the format's own rules and count as inspected without being
read.

Concerns whatever is a pickle, or an archive of pickles, by content, and whatever loaders take for a pickle by its name;
unrecognised bytes are followed as well, and reported only when they name a weapon.
"""

from __future__ import annotations

from typing import Final

from weighbridge.core.finding import Coverage, Report, Severity, Verdict
from weighbridge.core.ports import RangeReader
from weighbridge.formats.kinds import PICKLE, UNRECOGNISED
from weighbridge.formats.pickle_window import Budget
from weighbridge.inspectors.pickle_archives import Archive
from weighbridge.inspectors.pickle_judge import Judge
from weighbridge.inspectors.pickle_reading import Reading, npy_pickle_offset
from weighbridge.inspectors.pickle_rules import NAME, ZIP_RULES
from weighbridge.inspectors.pickle_rules import RULES as PICKLE_RULES
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

RULES: Final[tuple[Rule, ...]] = (*PICKLE_RULES, *ZIP_RULES)
PICKLE_SUFFIXES: Final = frozenset((".pkl", ".pickle", ".p", ".joblib", ".dill", ".cloudpickle"))
LOADED_SUFFIXES: Final = PICKLE_SUFFIXES | {".pt", ".pth", ".ckpt", ".bin", ".model", ".data", ".dat"}


class Pickles:
    """The inspector `pickles`; see the module."""

    name = NAME

    def inspect(self, reader: Subject) -> Report | None:
        """Bad for weapons and hiding, clean for judged data with full coverage, unknown for all else.

        None when neither the content nor the name makes it a pickle, or an archive with pickles.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        if not reader.size_bytes:
            return None
        head, kind, suffix = reader.head, reader.kind, reader.suffix
        judge, budget = Judge(), Budget()
        archive = Archive(reader, budget, judge)
        if kind.name == "zip":
            archive.look()
            if not archive.pickles and not judge.findings(reader.path):
                return None
            return _report(reader, judge, reader.size_bytes if archive.complete else archive.covered, "zip")
        start = 0
        named = suffix in PICKLE_SUFFIXES and kind.family in ("serialised", "text", "config", "unrecognised")
        if kind.name == "npy":
            objects = npy_pickle_offset(head)
            if objects is None:
                return None
            start = objects
        elif kind is not PICKLE and not named and kind is not UNRECOGNISED and suffix not in LOADED_SUFFIXES:
            return None
        reading = Reading(reader, budget)
        covered = reading.streams(judge, start, reader.size_bytes)
        reading.nested(judge)
        archive.look(expected=False)
        if archive.readable:
            message = "the file is a zip archive as well, to those who read from the end"
            judge.note("zip-ambiguous", message, message, reader.size_bytes)
        if not (kind is PICKLE or named or start or judge.grave or archive.readable):
            return None
        return _report(reader, judge, covered + start, PICKLE.name)


def _report(reader: RangeReader, judge: Judge, covered: int, kind: str) -> Report:
    findings = tuple(judge.findings(reader.path))
    if any(finding.severity >= Severity.HIGH for finding in findings):
        verdict = Verdict.BAD
    else:
        verdict = Verdict.UNKNOWN if findings or covered < reader.size_bytes else Verdict.CLEAN
    return Report(NAME, reader.path, verdict, Coverage(covered, reader.size_bytes), findings, kind)
