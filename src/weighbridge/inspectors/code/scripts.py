"""Does this script, or source in another language, hold one of the known attacks on whoever runs it?

Only patterns are looked for: no shell is parsed here, so a script that has none of them stays what the census says of it,
a script that nobody judged. Covers shell, batch and PowerShell scripts, source files of other languages than Python, and
path files (`.pth` texts), whose import lines Python runs whenever it starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from weighbridge.core.finding import Coverage, Finding, Report, Severity, Verdict
from weighbridge.inspectors.code.python_powers import COMMANDS, DROP_SITES, PERSISTENCE, SECRET_FILES
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

NAME: Final = "scripts"
MAX_SCRIPT_BYTES: Final = 4 * 1024 * 1024
MAX_LINE: Final = 20_000
MAX_FINDINGS: Final = 40
_NEVER = "Do not run it. Report the repository."


def _rule(name: str, title: str, severity: Severity, explanation: str) -> Rule:
    return Rule(f"script-{name}", title, severity, NAME, explanation, _NEVER)


RULES: Final[tuple[Rule, ...]] = (
    _rule("reverse-shell", "Shell handed to the network", Severity.CRITICAL, "Somebody elsewhere gets a shell."),
    _rule("hidden-code", "Code that is decoded and then run", Severity.CRITICAL, "Nobody reads what runs."),
    _rule("downloaded-code", "Code that is fetched and then run", Severity.HIGH, "What runs is decided elsewhere."),
    _rule(
        "dangerous-command", "Command that attacks the machine", Severity.HIGH, "The command is one of known attacks."
    ),
    _rule(
        "persistence", "Script that makes itself run again", Severity.HIGH, "Start-up files or schedules are changed."
    ),
    _rule("secret-files", "Credential files read", Severity.HIGH, "Keys and tokens are nothing that a model needs."),
    _rule("drop-site", "Address that malware reports to", Severity.HIGH, "What is stolen is collected there."),
    _rule("path-file", "Path file with code", Severity.HIGH, "Python runs its import lines whenever it starts."),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}
_SHELL = re.compile(
    r"/dev/(?:tcp|udp)/|\b(?:nc|ncat|netcat)\b[^\n]{0,80}\s-[a-z]*[ec]\b|bash\s+-i\s*>&|mkfifo\s+/tmp|socat\s[^\n]{0,80}exec|"
    r"TCPClient\([^\n]{0,200}|fsockopen\([^\n]{0,200}exec|openssl\s+s_client[^\n]{0,80}\||new\s+net\.Socket\(\)[^\n]{0,300}spawn|"
    r"Socket\.tcp[^\n]{0,100}exec|perl\s+-e[^\n]{0,200}socket|child_process[^\n]{0,200}net\.connect",
    re.IGNORECASE,
)
_HIDDEN = re.compile(
    r"base64\s+(?:-d|-D|--decode)[^|\n]{0,200}\|\s*(?:sudo\s+)?(?:ba|z|da)?sh|eval\s+[\"'$(`]*(?:echo|base64|printf|xxd)|-(?:e|en|enc|encodedcommand)\s+"
    r"[A-Za-z0-9+/=]{20,}|FromBase64String[^\n]{0,300}(?:IEX|Invoke|Load)|(?:IEX|Invoke-Expression)[^\n]{0,300}FromBase64String|"
    r"xxd\s+-r[^\n]{0,80}\|\s*(?:ba)?sh|eval\s*\(\s*(?:atob|unescape|Buffer\.from|base64_decode|gzinflate|str_rot13)|"
    r"gunzip[^\n]{0,80}\|\s*(?:ba)?sh|openssl\s+enc\s+-d[^\n]{0,200}\|\s*(?:ba)?sh|String\.fromCharCode\([^)]{80,}|"
    r"tail\s+-n\s*\+\d+\s+[\"']?\$0[^\n]{0,100}\|\s*(?:tar|gunzip|sh|bash)|rev\s*\|\s*(?:ba)?sh|\|\s*tr\s[^\n]{0,60}\|\s*(?:ba)?sh",
    re.IGNORECASE,
)
_FETCHED = re.compile(
    r"(?:curl|wget|fetch)\b[^|;&\n]{0,300}\|\s*(?:sudo\s+)?(?:ba|z|da|k)?sh\b|(?:curl|wget)\b[^\n]{0,300}\|\s*python3?\b|"
    r"(?:ba|z)?sh\s+(?:-c\s+)?[\"'<(]*\$?\(\s*(?:curl|wget)|source\s+<\(\s*curl|(?:curl|wget)\b[^\n]{0,300}(?:&&|;)\s*(?:sudo\s+)?(?:chmod\s|sh\s|bash\s|\./)|"
    r"DownloadString|DownloadFile[^\n]{0,200}(?:Start-Process|Invoke)|Invoke-WebRequest[^\n]{0,200}(?:\.exe|\|\s*iex)|\biwr\b[^\n]{0,100}\|\s*iex|"
    r"bitsadmin\s[^\n]{0,200}/transfer|certutil\b[^\n]{0,80}-urlcache|mshta\s+http|eval\s+[\"']?\$\((?:curl|wget)",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"^\s*(?:#(?!!)|//|rem\s|::|\*|<!--|--\s)", re.IGNORECASE)
_PATH_LINE = re.compile(r"^import[ \t]\S", re.MULTILINE)


class Scripts:
    """The inspector `scripts`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Bad for known attacks; None for all else, which leaves the census's word as it is.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        kind = subject.kind
        if subject.suffix == ".pth" and kind.family == "text":
            return self._report(subject, _in_path_file(subject))
        if kind.name not in ("script", "source") or subject.size_bytes > MAX_SCRIPT_BYTES:
            return None
        text = subject.read_exactly(0, subject.size_bytes).decode("utf-8", "replace")
        return self._report(subject, list(_attacks(subject.path, text))[:MAX_FINDINGS])

    def _report(self, subject: Subject, findings: list[Finding]) -> Report | None:
        if not findings:
            return None
        return Report(NAME, subject.path, Verdict.BAD, Coverage(0, subject.size_bytes), tuple(findings))


def _in_path_file(subject: Subject) -> list[Finding]:
    text = subject.read_exactly(0, min(subject.size_bytes, MAX_SCRIPT_BYTES)).decode("utf-8", "replace")
    found = _PATH_LINE.search(text)
    return [_BY_ID["script-path-file"].finding(subject.path, "a line begins with import")] if found else []


def _spoken_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines that are no comments, each with those that it goes on in, and their numbers. A comment ends with its line."""
    held, first = "", 0
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")
        if not held and _COMMENT.match(line):
            continue
        first = first if held else number
        held += line
        if line.endswith("\\") and len(held) < MAX_LINE:
            held = held[:-1] + " "
            continue
        yield first, held
        held = ""
    if held:
        yield first, held


def _attacks(path: str, text: str) -> Iterator[Finding]:
    said: set[str] = set()
    for number, line in _spoken_lines(text):
        for rule, pattern in _PATTERNS:
            found = pattern.search(line[:MAX_LINE])
            if found and rule not in said:
                said.add(rule)
                message = f"the line says {found.group()[:80]!a}"
                yield _BY_ID[f"script-{rule}"].finding(path, message, location=f"line {number}")


_PATTERNS: Final = (
    ("reverse-shell", _SHELL),
    ("hidden-code", _HIDDEN),
    ("downloaded-code", _FETCHED),
    ("dangerous-command", COMMANDS),
    ("persistence", PERSISTENCE),
    ("secret-files", SECRET_FILES),
    ("drop-site", DROP_SITES),
)
