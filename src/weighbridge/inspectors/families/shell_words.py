"""Which shell commands need nobody's decision: they show, count, move and fetch files, and launch Python that lies beside.

A script passes when every command in it is known here, with arguments that keep it from running anything else, writing
outside of its folder or sending anything away. What it launches are files of the repository, which are judged by
themselves; so a script that also fetches something does not pass, for it could launch what it fetched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from weighbridge.formats.shell import Command, Word, commands


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SHOWING: Final = _words(
    "echo printf cd pwd ls cat head tail wc sort uniq cut tr grep egrep fgrep test [ [[ ]] true false : exit return shift local"
    " export declare readonly typeset unset set read wait sleep date basename dirname realpath readlink seq jq du df nproc"
    " free nvidia-smi nvcc uname whoami id which type command break continue mkdir touch tee diff cmp sha256sum"
    " mktemp md5sum sha1sum paste rev nl expr pushd popd clear file stat for case time column fold shuf numfmt tput"
)
_MOVING: Final = _words("cp mv rm ln rmdir")
_PYTHON: Final = re.compile(r"python(?:3(?:\.\d{1,2})?)?")
_LAUNCHERS: Final = _words("torchrun accelerate deepspeed")
_MODULES: Final = _words("torch.distributed.launch torch.distributed.run accelerate.commands.launch")
_FETCHING: Final = _words("wget curl unzip")
_FETCH_OPTIONS: Final = re.compile(
    r"-[qcNLOfsSkvxnd#]{1,6}|-[oOPt]|-nc|-nv|-N|--(?:quiet|continue|location|output(?:-document)?|fail|silent|show-error|no-check-certificate"
    r"|retry|tries|directory-prefix|no-clobber|remote-name|show-progress|progress(?:=\w+)?|create-dirs|no-verbose)(?:=\S*)?"
)
_SAFE_NAME: Final = re.compile(r"(?!.*(?:^|/)\.\.(?:/|$))(?![/~-])[\w./${}:%@+,= *?-]*")
_DROPPED: Final = re.compile(
    r"\.(?:sh|bash|zsh|py|pth|pyc|so|exe|bat|ps1|rc|profile|desktop|service)\Z|(?:^|/)\.\w", re.IGNORECASE
)
_RUNS: Final = re.compile(r"[\w./${}-]+\.py")
_STEERING: Final = re.compile(
    r"PATH|LD_\w+|DYLD_\w+|PYTHON(?!UNBUFFERED|HASHSEED|WARNINGS|IOENCODING|FAULTHANDLER)\w*|BASH_ENV|ENV|IFS|PS4|PROMPT_COMMAND|EDITOR|PAGER"
    r"|GIT_\w+|PIP_\w+|UV_\w+|\w*_PROXY|\w*_proxy|SHELLOPTS|BASHOPTS|PERL\w*|NODE_\w+|RUBY\w*|JAVA_\w+|HF_ENDPOINT|HOME|SHELL"
    r"|\w*TRUST_REMOTE_CODE|BASH_FUNC\w*|CDPATH|GLOBIGNORE"
)
_TRUSTING: Final = re.compile(r"--trust[_-]remote[_-]code(?!=(?:false|0|no)\b)|trust_remote_code=true", re.IGNORECASE)
_SECRET: Final = re.compile(
    r"(?:^|/)\.(?:ssh|aws|netrc|config|kube|docker|gnupg|huggingface|cache/huggingface/token)|/etc/(?:passwd|shadow)|/proc/|/dev/(?!null|stderr|stdout)"
)


def unjudged(text: str) -> str:
    """The command by which nobody knows what a script does; "" when all are known.

    Raises:
        LimitExceeded, Malformed: the script is not followed to its end.
    """
    found = commands(text)
    functions = {one.words[1].text for one in found if one.words and one.words[0].text == "()"}
    if functions & (_SHOWING | _MOVING | _FETCHING | _LAUNCHERS) or any(_PYTHON.fullmatch(name) for name in functions):
        return "it gives a command another meaning"
    fetches = launches = False
    for command in found:
        why = _command(command, functions)
        if why:
            return why
        first = command.words[0].text if command.words else ""
        fetches = fetches or first in _FETCHING
        launches = launches or first in _LAUNCHERS or _PYTHON.fullmatch(first) is not None
    return "it launches what it may have fetched" if fetches and launches else ""


def _command(command: Command, functions: set[str]) -> str:
    for name, value in command.assigned:
        if _STEERING.fullmatch(name) and not (
            name == "PYTHONPATH" and re.fullmatch(r"(?:\.|\$PYTHONPATH|\$\{PYTHONPATH\}|:)+", value.text)
        ):
            return f"it sets {name[:40]}"
    for target in command.targets:
        if not _is_written_safely(target):
            return f"it writes or reads {target.text[:60]!a}"
    everything = [*command.words, *(value for _, value in command.assigned), *command.targets]
    if any(_SECRET.search(word.text) for word in everything):
        return "it names files of secrets or devices"
    if not command.words:
        return ""
    first, rest = command.words[0], command.words[1:]
    if not first.fixed:
        return "what it runs is known only when it runs"
    if first.text == "()" or first.text in functions:
        return ""
    judge = _JUDGES.get(first.text) or (_python if _PYTHON.fullmatch(first.text) else None)
    if judge is not None:
        return judge(rest)
    return "" if first.text in _SHOWING else f"it runs {first.text[:60]!a}"


def _is_written_safely(word: Word) -> bool:
    if word.text in ("/dev/null", "/dev/stderr", "/dev/stdout"):
        return True
    return _SAFE_NAME.fullmatch(word.text) is not None and not _DROPPED.search(word.text) and "$()" not in word.text


def _moved(rest: Sequence[Word]) -> str:
    for word in rest:
        if not re.fullmatch(r"-[a-zA-Z]{1,4}|--[\w-]+", word.text) and not (
            _is_written_safely(word) and "$" not in word.text
        ):
            return f"it moves or removes {word.text[:60]!a}"
    return ""


def _set(rest: Sequence[Word]) -> str:
    """`export` and its like: as assignments."""
    for word in rest:
        name, _, value = word.text.partition("=")
        said = _command(Command([], [], [(name, Word(value, word.fixed))]), set())
        if said:
            return said
    return ""


def _made(rest: Sequence[Word]) -> str:
    bad = next((one for one in rest if not one.text.startswith("-") and not _is_written_safely(one)), None)
    return f"it writes {bad.text[:60]!a}" if bad else ""


def _named(rest: Sequence[Word]) -> str:
    """What sets variables by their names, or could run what an option names."""
    for word in rest:
        if _STEERING.fullmatch(word.text) or re.match(r"-[vop]\b|-o\w*\Z|--(?:compress|output|files0|set)", word.text):
            return f"it says {word.text[:60]!a}"
    return ""


def _command_of(rest: Sequence[Word]) -> str:
    return "" if rest and rest[0].text in ("-v", "-V") else "it runs a command by its name"


def _python(rest: Sequence[Word]) -> str:
    """Python on a file that lies beside, or one of the launchers."""
    place = 0
    while place < len(rest) and rest[place].text in ("-u", "-O", "-B", "-W", "ignore"):
        place += 1
    if place < len(rest) and rest[place].text == "-m" and place + 1 < len(rest) and rest[place + 1].text in _MODULES:
        return _launched(rest[place + 2 :])
    if place >= len(rest) or not _runs_beside(rest[place]):
        return "it runs Python on what is not a file beside it"
    return _arguments(rest[place + 1 :])


def _launched(rest: Sequence[Word]) -> str:
    """A launcher's own options, then a file that lies beside, then that file's."""
    for place, word in enumerate(rest):
        if word.text.endswith(".py"):
            return "" if _runs_beside(word) and not _arguments(rest) else f"it launches {word.text[:60]!a}"
        if word.text in ("-m", "--module", "--no_python", "--no-python") or not (word.fixed or place):
            break
    return "it launches what is not a file beside it"


def _arguments(rest: Sequence[Word]) -> str:
    trusting = next((one for one in rest if _TRUSTING.search(one.text)), None)
    return f"it says {trusting.text[:60]!a}" if trusting else ""


def _runs_beside(word: Word) -> bool:
    return word.fixed and _RUNS.fullmatch(word.text) is not None and _SAFE_NAME.fullmatch(word.text) is not None


def _unzipped(rest: Sequence[Word]) -> str:
    """`unzip` below the folder; what it unpacks counts as fetched."""
    for word in rest:
        if not re.fullmatch(r"-[qondjul]{1,4}", word.text) and not _is_written_safely(word):
            return f"it unpacks {word.text[:60]!a}"
    return ""


def _fetched(rest: Sequence[Word]) -> str:
    for word in rest:
        address = "://" in word.text
        if address and not (word.fixed and re.fullmatch(r"https?://[\w.-]+/[\w./%?=&+~@,:-]*", word.text)):
            return "it fetches from, or tells something to, an address that is made when it runs"
        if word.text.startswith("-") and not _FETCH_OPTIONS.fullmatch(word.text):
            return f"it fetches with {word.text[:40]!a}"
        if not address and not word.text.startswith("-") and not _is_written_safely(word):
            return f"it fetches {word.text[:60]!a}"
    return ""


_JUDGES: Final[Mapping[str, Callable[[Sequence[Word]], str]]] = {
    **dict.fromkeys(_MOVING, _moved),
    **dict.fromkeys(("export", "declare", "typeset", "local", "readonly"), _set),
    **dict.fromkeys(("tee", "touch", "mkdir"), _made),
    **dict.fromkeys(("torchrun", "deepspeed"), _launched),
    "accelerate": lambda rest: _launched(rest[1:]) if rest and rest[0].text == "launch" else "it runs accelerate",
    "command": _command_of,
    **dict.fromkeys(
        ("read", "for", "unset", "printf", "test", "[", "[[", "sort", "shuf", "uniq", "wait", "date"), _named
    ),
    **dict.fromkeys(("wget", "curl"), _fetched),
    "unzip": _unzipped,
}
