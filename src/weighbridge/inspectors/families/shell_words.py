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
    "echo printf pwd ls cat head tail wc sort uniq cut tr grep egrep fgrep test [ [[ ]] true false : exit return shift local"
    " export declare readonly typeset unset set read wait sleep date basename dirname realpath readlink seq jq du df nproc"
    " free uname whoami id which type command break continue mkdir touch tee diff cmp sha256sum"
    " mktemp md5sum sha1sum paste rev nl expr popd clear file stat for case time column fold shuf numfmt tput"
)
_MOVING: Final = _words("cp mv rm ln rmdir")
_GOING: Final = _words("cd pushd")
_WRITING: Final = _words("tee touch mkdir uniq")
_PYTHON: Final = re.compile(r"python(?:3(?:\.\d{1,2})?)?")
_LAUNCHERS: Final = _words("torchrun accelerate deepspeed")
_OTHERWISE: Final = _words("-m --module --no_python --no-python --no_local_rank --launcher_args")
_MODULES: Final = _words("torch.distributed.launch torch.distributed.run accelerate.commands.launch")
_FETCHING: Final = _words("wget curl unzip")
_FETCH_OPTIONS: Final = re.compile(
    r"-[qcLOfsSkv#]{1,6}|-[oOPt]|-n[cvdHp]|-N|--(?:quiet|continue|location|output(?:-document)?|fail|silent|show-error|no-check-certificate"
    r"|retry|tries|directory-prefix|no-clobber|remote-name|show-progress|progress(?:=\w+)?|create-dirs|no-verbose)(?:=\S*)?"
)
_SAFE_NAME: Final = re.compile(r"(?!.*(?:^|/)\.\.(?:/|$))(?![/~-])[\w./${}:%@+,= *?-]*")
_DROPPED: Final = re.compile(
    r"\.(?:sh|bash|zsh|py|pth|pyc|so(?:\.\d+)*|exe|bat|ps1|rc|profile|desktop|service)\Z|(?:^|/)\.\w", re.IGNORECASE
)
_DATA: Final = re.compile(r"[^*?]*[^$*?]\.(?:log|txt|out|err|jsonl?|csv|tsv)")
"""What may be written under a name that is known only in part: no program, whatever the rest is."""
_RUNS: Final = re.compile(r"[\w./${}-]+\.py")
_STEERING: Final = re.compile(
    r"PATH|LD_\w+|DYLD_\w+|PYTHON(?!UNBUFFERED|HASHSEED|WARNINGS|IOENCODING|FAULTHANDLER)\w*|BASH_ENV|ENV|IFS|PS4|PROMPT_COMMAND|EDITOR|PAGER"
    r"|CC|CXX|LD|AR|NVCC\w*|CUDA_HOME|CUDA_PATH|TRITON_\w+|TORCH_EXTENSIONS_DIR|TORCHINDUCTOR\w*|GCC_EXEC_PREFIX|COMPILER_PATH"
    r"|GCONV_PATH|LOCPATH|NLSPATH|OPENSSL_\w+|SSL_CERT\w*|REQUESTS_CA\w*|CURL_\w+|WGETRC|MATPLOTLIBRC|MPLCONFIGDIR|LESS\w*"
    r"|BROWSER|VISUAL|MANPAGER|PS0|GIT_\w+|PIP_\w+|UV_\w+|\w*_PROXY|\w*_proxy|SHELLOPTS|BASHOPTS|PERL\w*|NODE_\w+|RUBY\w*|JAVA_\w+|HF_ENDPOINT|HOME|SHELL"
    r"|\w*TRUST_REMOTE_CODE|BASH_FUNC\w*|CDPATH|GLOBIGNORE"
)
_STEERS: Final = re.compile(
    r"-[vopR]\b|-o\w*\Z|--(?!(?:unique|numeric-sort|version-sort|reverse|count|utc|iso-8601|date|rfc-3339)(?:=|\Z)|\Z)\w"
    r"|[A-Za-z_]\w*\["
)
"""Options that write or run something, however much of their name is given; and variables whose place is worked out."""
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
    fetches = launches = away = writes = False
    for command in found:
        why = _command(command, functions)
        if why:
            return why
        first = command.words[0].text if command.words else ""
        away = away or (first in _GOING and not all(_stays(word) for word in command.words[1:]))
        writes = writes or bool(command.targets) or first in _MOVING or first in _WRITING or first in _FETCHING
        fetches = fetches or first in _FETCHING
        launches = launches or first in _LAUNCHERS or _PYTHON.fullmatch(first) is not None
    if away and writes:
        return "it leaves its folder and writes"
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


def _stays(word: Word) -> bool:
    """Whether a folder to go to lies in the one that the script is in, or is that of the script."""
    return word.text == "--" or (word.fixed and _SAFE_NAME.fullmatch(word.text) is not None)


def _is_written_safely(word: Word) -> bool:
    if word.text in ("/dev/null", "/dev/stderr", "/dev/stdout"):
        return True
    if "$" in word.text and not _DATA.fullmatch(word.text):
        return False
    return _SAFE_NAME.fullmatch(word.text) is not None and not _DROPPED.search(word.text) and "$()" not in word.text


def _moved(rest: Sequence[Word]) -> str:
    for word in rest:
        if not re.fullmatch(r"-[a-zA-Z]{1,4}|--[\w-]+", word.text) and not (
            _is_written_safely(word) and not re.search(r"[${]", word.text)
        ):
            return f"it moves or removes {word.text[:60]!a}"
    return ""


def _set(rest: Sequence[Word]) -> str:
    """`export` and its like: as assignments."""
    for word in rest:
        name, _, value = word.text.partition("=")
        if re.fullmatch(r"[-+][xaAgrp]{1,3}|--", word.text):
            continue
        if not re.fullmatch(r"[A-Za-z_]\w*\+?", name):
            return f"it says {word.text[:60]!a}"
        said = _command(Command([], [], [(name, Word(value, word.fixed))]), set())
        if said:
            return said
    return ""


def _made(rest: Sequence[Word]) -> str:
    bad = next((one for one in rest if not one.text.startswith("-") and not _is_written_safely(one)), None)
    return f"it writes {bad.text[:60]!a}" if bad else ""


def _folders(rest: Sequence[Word]) -> str:
    """Folders are no programs, wherever they are made."""
    bad = next((one for one in rest if _DROPPED.search(one.text)), None)
    return f"it makes {bad.text[:60]!a}" if bad else ""


def _going(rest: Sequence[Word]) -> str:
    return "it goes to several places" if len(rest) > 2 else ""


def _uniq(rest: Sequence[Word]) -> str:
    return _made(rest) or _named(rest)


def _versions(rest: Sequence[Word]) -> str:
    """Tools that could write or run something, asked what they are or see."""
    bad = next(
        (
            one
            for one in rest
            if not re.fullmatch(r"-[VLi]|--(?:version|query-[\w-]+=[\w.,]+|format=[\w,]+|list-gpus)|topo|-m", one.text)
        ),
        None,
    )
    return f"it says {bad.text[:60]!a}" if bad else ""


def _named(rest: Sequence[Word]) -> str:
    """What sets variables by their names, or could run what an option names."""
    for word in rest:
        if _STEERING.fullmatch(word.text) or _STEERS.match(word.text):
            return f"it says {word.text[:60]!a}"
    return ""


def _command_of(rest: Sequence[Word]) -> str:
    return "" if rest and rest[0].text in ("-v", "-V") else "it runs a command by its name"


def _python(rest: Sequence[Word]) -> str:
    """Python on a file that lies beside, or one of the launchers."""
    place = 0
    while place < len(rest) and rest[place].text in ("-u", "-O", "-B", "-Wignore", "-W"):
        if rest[place].text == "-W" and [one.text for one in rest[place + 1 : place + 2]] != ["ignore"]:
            return "it runs Python with warnings that are not known"
        place += 2 if rest[place].text == "-W" else 1
    if place < len(rest) and rest[place].text == "-m" and place + 1 < len(rest) and rest[place + 1].text in _MODULES:
        return _launched(rest[place + 2 :])
    if place >= len(rest) or not _runs_beside(rest[place]):
        return "it runs Python on what is not a file beside it"
    return _arguments(rest[place + 1 :])


def _launched(rest: Sequence[Word]) -> str:
    """A launcher's own options, then a file that lies beside, then that file's."""
    if any(word.text in _OTHERWISE for word in rest):
        return "it launches what is not a file beside it"
    for place, word in enumerate(rest):
        if word.text.endswith(".py"):
            return "" if _runs_beside(word) and not _arguments(rest) else f"it launches {word.text[:60]!a}"
        if not (word.fixed or place):
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
        if address and _DROPPED.search(word.text.partition("?")[0].rpartition("/")[2]):
            return f"it fetches {word.text[-60:]!a}"
        if word.text.startswith("-") and not _FETCH_OPTIONS.fullmatch(word.text):
            return f"it fetches with {word.text[:40]!a}"
        if not address and not word.text.startswith("-") and not _is_written_safely(word):
            return f"it fetches {word.text[:60]!a}"
    return ""


_JUDGES: Final[Mapping[str, Callable[[Sequence[Word]], str]]] = {
    **dict.fromkeys(_MOVING, _moved),
    **dict.fromkeys(("export", "declare", "typeset", "local", "readonly"), _set),
    **dict.fromkeys(("tee", "touch"), _made),
    **dict.fromkeys(("nvcc", "nvidia-smi"), _versions),
    **dict.fromkeys(_GOING, _going),
    "mkdir": _folders,
    "uniq": _uniq,
    **dict.fromkeys(("torchrun", "deepspeed"), _launched),
    "accelerate": lambda rest: _launched(rest[1:]) if rest and rest[0].text == "launch" else "it runs accelerate",
    "command": _command_of,
    **dict.fromkeys(("read", "for", "unset", "printf", "test", "[", "[[", "sort", "shuf", "wait", "date"), _named),
    **dict.fromkeys(("wget", "curl"), _fetched),
    "unzip": _unzipped,
}
