"""What does an antivirus daemon (clamd) say of the bytes that are not tensor data?

Runs in the process that started the scan, over the raw spool, in windows that overlap and stay below the daemon's limits.
Which version of its signatures answered is in every report. A daemon that cannot be reached, breaks off or refuses a
window makes the answer unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.core.errors import InspectError, InspectorCrashed
from weighbridge.core.finding import Coverage, Finding, Report, Severity, Verdict
from weighbridge.inspectors.content.spool import Label, Spool
from weighbridge.inspectors.rule import Rule
from weighbridge.wire.clamd import MAX_STREAM_BYTES, Clamd

NAME: Final = "antivirus"
OVERLAP_BYTES: Final = 1024 * 1024

FOUND: Final = Rule(
    "antivirus-signature",
    "An antivirus signature matched",
    Severity.HIGH,
    NAME,
    "The antivirus daemon knows these bytes as malware.",
    "Do not load the file. Keep a copy for whoever investigates, and tell the place it came from.",
)
FAILED: Final = Rule(
    "antivirus-did-not-answer",
    "The antivirus daemon did not answer",
    Severity.MEDIUM,
    NAME,
    "It could not be reached, or did not look at everything, so nothing is known.",
    "Start clamd, check its address in the settings, and scan again.",
)
RULES: Final[tuple[Rule, ...]] = (FOUND, FAILED)


def reports_of(
    spool: Spool, places: Mapping[int, tuple[str, str]], address: str, *, timeout_seconds: float = 60.0
) -> list[Report]:
    """One report for each label; `places` says in which artifact, and where in it, each label's subject lies.

    Raises:
        ConfigError: there can be no daemon at such an address.
    """
    daemon = Clamd(address, timeout_seconds)
    spool.flush()
    try:
        if spool.broken:
            raise InspectorCrashed("what was to be searched could not be written to a temporary file")
        kind = daemon.version()
    except InspectError as error:
        return [
            _unknown(label, *places.get(i, (label.path, "")), error.message) for i, label in enumerate(spool.labels)
        ]
    return [
        _report(spool, label, daemon, places.get(i, (label.path, "")), kind) for i, label in enumerate(spool.labels)
    ]


def _report(spool: Spool, label: Label, daemon: Clamd, place: tuple[str, str], version: str) -> Report:
    path, within = place
    found: dict[str, Finding] = {}
    position = label.start
    while position < label.end:
        end = min(position + MAX_STREAM_BYTES, label.end)
        try:
            name = daemon.scan(spool.read(position, end))
        except InspectError as error:
            return _unknown(label, path, within, error.message)
        if name:
            where = f"offset {label.origin_of(position)} and on"
            message = f"'{name[:100]!a}' by {version[:100]!a}"
            location = f"{within}: {where}" if within else where
            found.setdefault(name, FOUND.finding(path, message, location=location))
        position = end if end == label.end else end - OVERLAP_BYTES
    complete = label.looked_bytes >= label.wanted_bytes
    verdict = Verdict.BAD if found else Verdict.CLEAN if complete else Verdict.UNKNOWN
    return Report(NAME, path, verdict, Coverage(label.looked_bytes, label.wanted_bytes), tuple(found.values()))


def _unknown(label: Label, path: str, within: str, message: str) -> Report:
    finding = FAILED.finding(path, message, location=within)
    return Report(NAME, path, Verdict.UNKNOWN, Coverage(0, label.wanted_bytes), (finding,))
