"""What would reading this R object (.rds, .rda, .RData) do, and what code does it bring?

Every item is walked (`weighbridge.formats.r_data`). Vectors, lists, factors, data frames and S4 objects are data. A promise
whose value is not there yet runs its expression when the object is touched (CVE-2024-27322). Functions, bytecode and
calls do nothing when they are read and are the object's code afterwards: for policy, unless a call names what runs
commands or loads libraries. Compressed files are unpacked by the inspector of archives first.
"""

from __future__ import annotations

from typing import Final

from weighbridge.core.errors import Malformed
from weighbridge.core.finding import Report, Severity
from weighbridge.formats.r_data import Met, RWalk
from weighbridge.inspectors.notes import Notes, shown
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

NAME: Final = "r-data"


def _rule(name: str, title: str, severity: Severity, explanation: str) -> Rule:
    remedy = "Do not read the file. Ask its publisher for the plain data, or for the model in a format without code."
    return Rule(f"r-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "promise",
        "Promise that runs when it is touched",
        Severity.CRITICAL,
        "R before 4.4.0 evaluates its expression when the object is first used or printed (CVE-2024-27322).",
    ),
    _rule(
        "kept-promise", "Promise with its value", Severity.MEDIUM, "Current versions of R refuse files with promises."
    ),
    _rule(
        "weapon",
        "Call that runs commands or loads code",
        Severity.HIGH,
        "The object holds a call to a function that starts processes, evaluates text, loads libraries or fetches files.",
    ),
    _rule(
        "hook",
        "Name that R calls by itself",
        Severity.HIGH,
        "Loaded into the workspace, `.First` and its like run when R starts or ends.",
    ),
    _rule("closure", "Function in an R object", Severity.MEDIUM, "Code that runs when the object's user calls it."),
    _rule("bytecode", "Compiled code in an R object", Severity.MEDIUM, "R runs it without checking it."),
    _rule(
        "pointer", "Pointer in an R object", Severity.MEDIUM, "What it pointed to is not here; packages may follow it."
    ),
    _rule(
        "language",
        "Calls kept in an R object",
        Severity.LOW,
        "Formulas and calls of ordinary models; nothing runs them when they are read.",
    ),
    _rule(
        "environment", "Environment in an R object", Severity.LOW, "It may hold more than the model: data, functions."
    ),
    _rule("trailing-data", "Bytes after an R object", Severity.HIGH, "Nobody reads them: a payload can hide there."),
    _rule(
        "broken", "R object that cannot be followed", Severity.MEDIUM, "It is cut or damaged, or made to break readers."
    ),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WEAPONS: Final = _words(
    "system system2 shell shell.exec pipe eval evalq source sys.source parse str2lang str2expression dyn.load"
    " library.dynam library.dynam.unload .C .Call .External .External2 .Fortran .Internal .Primitive loadNamespace"
    " attachNamespace requireNamespace download.file download.packages install.packages unserialize readRDS load url"
    " socketConnection serverSocket make.socket curl_download Sys.setenv file.remove unlink file.copy file.rename"
    " write writeLines writeBin cat sink save saveRDS do.call match.fun getFromNamespace assignInNamespace"
    " reg.finalizer delayedAssign makeActiveBinding setHook addTaskCallback makeCluster fork mcparallel system.file.exec"
    " processx::run callr::r rJava::.jcall py_run_string py_eval cppFunction sourceCpp inline::cfunction"
)
_LOADS: Final = _words("system system2 shell shell.exec pipe eval evalq source sys.source str2lang str2expression dyn.load"
    " library.dynam .C .Call .External .External2 .Fortran .Internal download.file install.packages unserialize"
    " socketConnection url delayedAssign makeActiveBinding reg.finalizer py_run_string sourceCpp parse")  # fmt: skip
_HOOKS: Final = _words(".First .Last .First.sys .Last.sys .onLoad .onAttach .onUnload .Rprofile .First.lib .Last.lib")
_SIMPLE: Final = {
    "promise": ("r-promise", "a promise waits to be evaluated"),
    "kept promise": ("r-kept-promise", "a promise has its value"),
    "closure": ("r-closure", "there is a function"),
    "bytecode": ("r-bytecode", "there is compiled code"),
    "pointer": ("r-pointer", "there is a pointer or weak reference"),
    "environment": ("r-environment", "there is an environment"),
    "expression": ("r-language", "there are expressions"),
}


class RData:
    """The inspector `r-data`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage for data; None for what is no serialised R object.

        Raises:
            LimitExceeded: the object is larger or deeper than is walked.
            Truncated: the reader returned less than the artifact's size promises.
        """
        if subject.kind.name != "r-data":
            return None
        notes = Notes(subject, _BY_ID)
        judge = _Judge(notes)
        try:
            end = RWalk(subject, judge.take).walk()
        except Malformed as problem:
            judge.settle()
            notes.say("r-broken", problem.message)
            return notes.report(NAME, 0)
        judge.settle()
        if end != subject.size_bytes:
            notes.say(
                "r-trailing-data", f"{subject.size_bytes - end} bytes follow the object", location=f"offset {end}"
            )
        return notes.report(NAME, end)


class _Judge:
    """Judges what the walk meets. Calls are judged at the end: those in functions are the functions' own."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._first: dict[str, Met] = {}
        self._calls: dict[str, int] = {}

    def take(self, met: Met) -> None:
        if met.what == "call":
            self._calls.setdefault(met.name, met.offset)
        elif met.what == "variable" and met.name in _HOOKS:
            self._notes.say("r-hook", f"the workspace defines {shown(met.name)}", location=f"offset {met.offset}")
        else:
            self._first.setdefault(met.what, met)

    def settle(self) -> None:
        for what, met in self._first.items():
            if what in _SIMPLE:
                rule, message = _SIMPLE[what]
                self._notes.say(rule, message, location=f"offset {met.offset}")
        # Every function of a package calls some of these; alone, in data, none is ordinary.
        weapons = _LOADS if "closure" in self._first else _WEAPONS
        for name, offset in self._calls.items():
            if name in weapons:
                self._notes.say("r-weapon", f"there is a call of {shown(name)}", location=f"offset {offset}")
        if self._calls and "r-weapon" not in self._notes:
            self._notes.say("r-language", f"there are calls, such as {shown(next(iter(self._calls)))}")
