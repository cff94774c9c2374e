"""Runs the secrets engine (Betterleaks, a program inside a Python package) once over a spool, and reads where it points.

No shell, an empty environment, the spool as standard input, our rules (`rules/secrets.toml`) on top of the engine's own,
and nothing on the command line that tells what is searched. It validates nothing and opens no connection. Its answer is
redacted and bounded, and read in memory only.

The rule set is that of one version of the engine plus ours, known by a digest that the engine computes; an engine with
other rules does not answer. Nothing that only happens to be installed on a machine counts.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from weighbridge.core.canonical import Fields, decode_object
from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import FormatError, InspectorCrashed, InspectorTimedOut
from weighbridge.inspectors.content.spool import Spool

if TYPE_CHECKING:
    import subprocess

PACKAGE: Final = "betterleaks"
RULES_DIGEST: Final = "cdbdf93bc825d04bc1cc25f820f6243a12b2a22a4dd2fa9dff12b4187e642816"
"""What the engine says is the digest of its rules and ours together."""

RE2_FROM_BYTES: Final = 2 * 1024 * 1024
WAITING_BYTES: Final = 1024 * 1024
"""What a pipe takes at once, without privileges."""

TIMEOUT_SECONDS: Final = 600.0
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """Where the engine points: bytes `start` to `end` of the spool, `line` from 1, and under which of its rules."""

    rule: str
    confidence: str
    line: int
    start: int
    end: int
    fingerprint: str
    """SHA-256 of what was found, as hex."""


@dataclass(slots=True)
class Waiting:
    """An engine that waits for what it is to search; ended by `close`, or used once.

    It reads from a pipe that takes all at once: given in parts, the engine would cut what it reads elsewhere, and could
    find something else. What does not fit is for an engine that reads from a file.
    """

    process: subprocess.Popen[bytes]
    writing: int

    def fed(self, spool: Spool) -> subprocess.Popen[bytes] | None:
        """The process, now with all of the spool before it; None when it is of no use."""
        if self.writing < 0 or not 0 < spool.size_bytes <= WAITING_BYTES:
            return None
        data = spool.read(0, spool.size_bytes)
        os.set_blocking(self.writing, False)
        try:
            taken = os.write(self.writing, data)
        except OSError:
            taken = -1
        if taken != spool.size_bytes:
            self.close()
            return None
        os.close(self.writing)
        self.writing = -1
        return self.process

    def close(self) -> None:
        """Ends it, unless it was used."""
        if self.writing < 0:
            return
        os.close(self.writing)
        self.writing = -1
        self.process.kill()
        with self.process:
            pass


@dataclass(frozen=True, slots=True)
class Engine:
    """The program that searches, and the rules it is given."""

    program: Path
    rules: Path
    timeout_seconds: float = TIMEOUT_SECONDS
    rules_digest: str = RULES_DIGEST

    @classmethod
    def installed(cls) -> Engine | None:
        """The one that comes with the extra `secrets`; None when it is missing."""
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            return None
        program = Path(spec.origin).parent / "bin" / "betterleaks"
        rules = Path(__file__).parent / "rules" / "secrets.toml"
        return cls(program, rules) if program.is_file() else None

    def command(self, spool_bytes: int) -> list[str]:
        """What is run over so many bytes."""
        # Both read the same expressions in linear time. RE2 starts 0.5 s later and is four times as fast. Neither writes
        # a cache of compiled code: that needs a home folder, which the environment does not name.
        expressions = "re2" if spool_bytes > RE2_FROM_BYTES else "stdlib"
        return [
            *(
                str(self.program),
                "stdin",
                "--config",
                str(self.rules),
                "--jsonl",
                "--redact",
                "--no-banner",
                "--no-color",
            ),
            # A comment in the model ("gitleaks:allow") must not silence a finding.
            *("--no-allow-signatures", "--log-level", "error", "--exit-code", "0"),
            *("--regex-engine", expressions, "--jobs", "1"),
        ]

    def begin(self) -> Waiting | None:
        """Starts the engine ahead of its search: it reads its rules for as long as a small scan takes.

        None where that cannot be done so that it makes no difference to what is found.
        """
        enlarge = getattr(fcntl, "F_SETPIPE_SZ", None)
        if enlarge is None:
            return None
        reading, writing = os.pipe()
        try:
            fcntl.fcntl(writing, enlarge, WAITING_BYTES)
            return Waiting(self._started(reading, 0), writing)
        except (OSError, InspectorCrashed):
            os.close(writing)
            return None
        finally:
            os.close(reading)

    def search(self, spool: Spool, waiting: Waiting | None = None) -> list[Place]:
        """Everything the engine points at. One that is `waiting` does it, if it can.

        Raises:
            InspectorCrashed, InspectorTimedOut: it is not known what is in the spool.
        """
        if not spool.size_bytes:
            return []
        spool.flush()
        if spool.broken:
            raise InspectorCrashed("what was to be searched could not be written to a temporary file")
        try:
            records = [
                Fields(decode_object(line, what="a line of the secrets engine"), what="a line of the secrets engine")
                for line in self._run(spool, waiting).splitlines()
                if line
            ]
            return self._read(records, spool)
        except FormatError as error:
            # Its message may quote what was read, so only its kind is told.
            raise InspectorCrashed(f"the secrets engine's answer is not understood ({type(error).__name__})") from None

    def _started(self, source: int, spool_bytes: int) -> subprocess.Popen[bytes]:
        """The program, reading from a descriptor."""
        # Most scans of weights start no engine (`secrets_silence`).
        import subprocess

        try:
            return subprocess.Popen(
                self.command(spool_bytes),
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
            )
        except OSError as error:
            raise InspectorCrashed(f"the secrets engine does not start: {error.strerror}") from error

    def _run(self, spool: Spool, waiting: Waiting | None) -> bytes:
        process = waiting.fed(spool) if waiting is not None else None
        if process is None:
            os.lseek(spool.descriptor, 0, os.SEEK_SET)
            process = self._started(spool.descriptor, spool.size_bytes)
        timer = threading.Timer(self.timeout_seconds, process.kill)
        timer.start()
        with process:
            assert process.stdout is not None
            answer = process.stdout.read(MAX_ANSWER_BYTES + 1)
            if len(answer) > MAX_ANSWER_BYTES:
                process.kill()
        timed_out = not timer.is_alive()
        timer.cancel()
        if timed_out:
            raise InspectorTimedOut(f"the secrets engine took more than {self.timeout_seconds:.0f} seconds")
        if len(answer) > MAX_ANSWER_BYTES:
            raise InspectorCrashed("the secrets engine found more than can be read")
        if process.returncode:
            raise InspectorCrashed(f"the secrets engine ended with {process.returncode}")
        return answer

    def _read(self, records: list[Fields], spool: Spool) -> list[Place]:
        if not records or records[-1].text("schema_version") != "1":
            raise InspectorCrashed("the secrets engine gave no account of its search")
        scan = records[-1].fields("scan")
        searched, wanted = scan.integer("bytes_scanned"), spool.size_bytes
        if scan.text("state") != "complete" or searched != wanted:
            raise InspectorCrashed(f"the secrets engine searched {searched} of {wanted} bytes")
        if scan.text("config_hash") != self.rules_digest:
            raise InspectorCrashed("the installed secrets engine has other rules than weighbridge was tested with")
        found = [(one, one.fields("location")) for one in (record.fields("finding") for record in records[:-1])]
        lines = {where.integer(key) for _, where in found for key in ("start_line", "end_line")}
        starts = spool.positions_of_lines(lines)
        return [_place(one, where, starts) for one, where in found]


def _place(finding: Fields, where: Fields, starts: dict[int, int]) -> Place:
    line, last = where.integer("start_line"), where.integer("end_line")
    if line not in starts or last not in starts:
        raise InspectorCrashed("the secrets engine points outside of what it was given")
    return Place(
        rule=finding.text("rule_id"),
        confidence=finding.text("confidence"),
        line=line,
        start=starts[line] + max(0, where.integer("start_column") - 1),
        end=starts[last] + where.integer("end_column"),
        fingerprint=finding.fields("match").text("fingerprint"),
    )
