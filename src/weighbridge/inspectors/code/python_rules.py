"""The rules about Python code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.core.finding import Severity
from weighbridge.inspectors.rule import Rule

NAME: Final = "python-code"

_REVIEW = "Have the code reviewed, or use an architecture that the engine has built in and leave it out with --exclude."
_NEVER = "Do not run it, and do not load the model with trust_remote_code. Report the repository."


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str = "") -> Rule:
    remedy = remedy or (_NEVER if severity.is_grave else _REVIEW)
    return Rule(f"python-{name}", title, severity, NAME, explanation, remedy)


_CRITICAL, _HIGH, _MEDIUM = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM

RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "remote-code",
        "Python code that comes with the model",
        _MEDIUM,
        "The repository brings Python code that a loader runs when it is told to trust remote code. It was read to the "
        "end, and nothing in it is remarkable.",
    ),
    _rule(
        "hidden-code",
        "Code that is decoded and then run",
        _CRITICAL,
        "What runs was encoded, compressed or put together from pieces, so that nobody reads it.",
    ),
    _rule("downloaded-code", "Code that is fetched and then run", _CRITICAL, "What runs is decided elsewhere, later."),
    _rule(
        "reverse-shell",
        "Shell handed to the network",
        _CRITICAL,
        "A connection's ends are joined to those of a shell, or a port is opened for one.",
    ),
    _rule(
        "exfiltration",
        "Secrets or the machine's description sent away",
        _CRITICAL,
        "Code that reads credentials, the environment or who runs it stands beside code that sends data out.",
    ),
    _rule(
        "shellcode",
        "Machine code written to memory and called",
        _CRITICAL,
        "Executable memory, or a function pointer into a buffer, is made by ctypes or mmap.",
    ),
    _rule(
        "runs-at-import",
        "Programs run when the module is imported",
        _HIGH,
        "They run before anybody has asked the model for anything.",
    ),
    _rule(
        "network-at-import",
        "Network used when the module is imported",
        _HIGH,
        "Importing the model's code calls out, before anybody has asked for anything.",
    ),
    _rule("dangerous-command", "Command that attacks the machine", _HIGH, "The command line is one of known attacks."),
    _rule(
        "secret-files",
        "Credential files read",
        _HIGH,
        "Keys, tokens, browsers' and wallets' files are nothing that a model needs.",
    ),
    _rule(
        "persistence",
        "Code that makes itself run again",
        _HIGH,
        "Start-up files, schedules and authorised keys are written.",
    ),
    _rule("destroys", "Code that deletes what is not its own", _HIGH, "A home folder, a root or a disk is removed."),
    _rule(
        "drop-site",
        "Address that malware reports to",
        _HIGH,
        "Webhooks, paste sites, tunnels, onion services and bare network addresses collect what is stolen.",
    ),
    _rule(
        "obscure-access",
        "Objects reached around their names",
        _HIGH,
        "Functions are fetched from Python's internals, or by names that are put together, which hides what is called.",
    ),
    _rule(
        "invisible-text",
        "Invisible or reordering characters",
        _HIGH,
        "The code that runs is not the code that is seen (Trojan Source, CVE-2021-42574).",
    ),
    _rule(
        "homoglyph",
        "Names that look like others",
        _HIGH,
        "Letters of several alphabets, or ones that Python folds into ASCII, in one name (CVE-2021-42694).",
    ),
    _rule(
        "encoding",
        "Source in an encoding that hides code",
        _HIGH,
        "The declared encoding turns what looks like comments or text into code.",
    ),
    _rule(
        "patches-python",
        "Python itself is changed",
        _HIGH,
        "Built-in functions, the import system or tracing are replaced for the whole process.",
    ),
    _rule(
        "runs-unasked",
        "File that Python or a tool runs by its name",
        _HIGH,
        "sitecustomize, usercustomize and path files run whenever Python starts in their folder.",
    ),
    _rule(
        "internals",
        "Python's internals looked at",
        _MEDIUM,
        "Subclasses or frames are enumerated, as registries and tracebacks do; nothing leads on to the built-ins.",
    ),
    _rule("process", "Programs run", _MEDIUM, "The code starts other programs when its functions are called."),
    _rule("network", "Network used", _MEDIUM, "The code fetches or sends data when its functions are called."),
    _rule("dynamic-code", "Code made at run time", _MEDIUM, "Text or bytes become code when its functions are called."),
    _rule(
        "dynamic-import",
        "Modules chosen at run time",
        _MEDIUM,
        "Which module is imported is decided by what the code is given.",
    ),
    _rule(
        "deserialises",
        "Unsafe loading of objects",
        _MEDIUM,
        "pickle and what is built on it, and remote code of further models, run what the data says.",
    ),
    _rule("native-code", "Native libraries loaded or built", _MEDIUM, "What they do was not judged."),
    _rule("writes-files", "Files written or removed", _MEDIUM, "The code writes or removes files."),
    _rule("reads-secrets", "Credentials read from the environment", _MEDIUM, "The code reads a token or a key."),
    _rule("installs", "Packages installed", _MEDIUM, "The code installs packages, which then run as well."),
    _rule(
        "encoded-literal",
        "Long encoded text",
        _MEDIUM,
        "A literal of encoded or compressed data; compiled kernels are shipped so, and payloads.",
    ),
    _rule("patches-modules", "Other modules changed", _MEDIUM, "Importing it changes what other modules do."),
    _rule("runs-by-name", "File that a tool runs by its name", _MEDIUM, "Installers, test runners and servers run it."),
    _rule(
        "not-understood",
        "Source that is no Python 3",
        _MEDIUM,
        "Another version of Python may run it; what it does there was not judged.",
    ),
    _rule("limit", "Source beyond the bounds of reading", _MEDIUM, "It is larger or nested deeper than is read."),
    _rule(
        "torchscript",
        "TorchScript that does more than compute",
        _HIGH,
        "The archive's code reads or writes files, or calls operators that are not torch's own.",
        "Do not load the archive.",
    ),
    _rule(
        "torchscript-unknown",
        "TorchScript with unknown constructs",
        _MEDIUM,
        "The archive's code is not what torch writes.",
        "Have the archive made again from its source.",
    ),
)
BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}
UNJUDGED: Final = frozenset(("python-not-understood", "python-limit", "python-torchscript-unknown"))
"""Rules that say that something was not judged: the verdict is unknown."""
