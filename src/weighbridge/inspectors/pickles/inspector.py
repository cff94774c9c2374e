"""What would loading this pickle do? Clean only when it makes data, and nothing else, to the last byte.

Every stream of the artifact is followed on abstract values (`weighbridge.formats.pickle_machine`) and every callable in
it is judged: allowed for its role with such arguments, a known weapon, or unknown, which does not pass. A constant that
is a pickle itself is followed too. Bytes constants and the storages behind torch's old streams are data by the format's
own rules and count as inspected without being read. Storages that lie elsewhere are facts (`torch-storage`: bytes by
key), for whoever knows where they lie.

Concerns whatever is a pickle by content (also an npy array of objects), and whatever loaders take for a pickle by its
name; unrecognised bytes are followed as well, and reported only when they name a weapon.
"""

from __future__ import annotations

from typing import Final

from weighbridge.core.finding import Coverage, Report, Severity, Verdict
from weighbridge.formats.kinds import NAMED_PICKLES, PICKLE, UNRECOGNISED
from weighbridge.formats.pickle_window import Budget
from weighbridge.inspectors.pickles.judge import Judge
from weighbridge.inspectors.pickles.reading import Reading, npy_pickle_offset
from weighbridge.inspectors.pickles.rules import NAME
from weighbridge.inspectors.pickles.rules import RULES as PICKLE_RULES
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

RULES: Final[tuple[Rule, ...]] = PICKLE_RULES
STORAGE_FACT: Final = "torch-storage"
LOADED_SUFFIXES: Final = NAMED_PICKLES | {".pt", ".pth", ".ckpt", ".bin", ".model", ".data", ".dat"}

LOOKED_INTO: Final = frozenset((UNRECOGNISED.name, "utf-16-text"))
"""Kinds that any bytes may have, or nearly any: a weapon in them is found whatever they are called."""


class Pickles:
    """The inspector `pickles`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Bad for weapons and hiding, clean for judged data with full coverage, unknown for all else.

        None when neither the content nor the name makes it a pickle.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        if not subject.size_bytes:
            return None
        kind, start = subject.kind, 0
        named = subject.suffix in NAMED_PICKLES and kind.family in ("serialised", "text", "config", "unrecognised")
        if kind.name == "npy":
            objects = npy_pickle_offset(subject.head)
            if objects is None:
                return None
            start = objects
        elif kind is not PICKLE and not named and kind.name not in LOOKED_INTO and not _is_loaded(subject):
            return None
        judge = Judge()
        reading = Reading(subject, Budget(), subject.inert)
        covered = reading.streams(judge, start, subject.size_bytes)
        reading.nested(judge)
        if not (kind is PICKLE or named or start or judge.grave):
            return None
        for key, size in () if reading.holds_storages else judge.storages.items():
            subject.fact(STORAGE_FACT, str(size), location=key)
        return _report(subject, judge, covered + start, kind.name if start else PICKLE.name)


def _is_loaded(subject: Subject) -> bool:
    """Whether loaders try a file of that name as a pickle, whatever it is; containers are looked into elsewhere."""
    return subject.suffix in LOADED_SUFFIXES and subject.kind.family != "archive"


def _report(subject: Subject, judge: Judge, covered: int, kind: str) -> Report:
    findings = tuple(judge.findings(subject.path))
    if any(finding.severity >= Severity.HIGH for finding in findings):
        verdict = Verdict.BAD
    else:
        verdict = Verdict.UNKNOWN if findings or covered < subject.size_bytes else Verdict.CLEAN
    return Report(NAME, subject.path, verdict, Coverage(covered, subject.size_bytes), findings, kind)
