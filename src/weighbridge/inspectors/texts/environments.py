"""What a file that describes an environment makes its tool load, fetch or run: conda, MLflow projects, Dockerfiles, `.env`.

- variables by which programs load a library or code of the publisher's choosing (`LD_PRELOAD`, `PYTHONSTARTUP`), or search
  for it in another place (`PYTHONPATH`, `LD_LIBRARY_PATH`);
- indexes and addresses that packages and models come from;
- commands of an MLflow project's entry points; scripts that conda runs when it installs or activates.

Text is looked at line by line, not parsed: the tools differ in what they make of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from weighbridge.core.finding import Finding, Severity
from weighbridge.inspectors.notes import shown
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.texts import serving_files

_REMEDY: Final = "Leave the file out with --exclude; describe the environment in your own."
MAX_LINE: Final = 20_000


def _rule(name: str, title: str, severity: Severity, explanation: str) -> Rule:
    return Rule(f"environment-{name}", title, severity, "plain-texts", explanation, _REMEDY)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "preload",
        "Variable that makes programs load code",
        Severity.HIGH,
        "Every program of the environment loads the library, or runs the code, that the variable names.",
    ),
    _rule(
        "search-path",
        "Variable that changes where code is found",
        Severity.MEDIUM,
        "Libraries and modules of that folder are taken before those that are installed.",
    ),
    _rule(
        "index",
        "Environment from another index",
        Severity.HIGH,
        "Packages or models of any name are taken from a server of the publisher's choosing.",
    ),
    _rule(
        "address",
        "Environment from addresses",
        Severity.MEDIUM,
        "Whoever builds it runs what lies there, whatever that is on the day.",
    ),
    _rule(
        "command",
        "Project that runs more than Python on its files",
        Severity.MEDIUM,
        "Running the project hands the command to a shell.",
    ),
    _rule(
        "link-script",
        "Script that conda runs unasked",
        Severity.MEDIUM,
        "It runs when a package is installed or removed, or whenever the environment is activated.",
    ),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}

_SET: Final = r"[\"']?\s{0,20}(?::|=|\s)\s{0,20}[\"']?"
_PRELOAD: Final = re.compile(
    r"(?<![\w$])(LD_PRELOAD|LD_AUDIT|DYLD_INSERT_LIBRARIES|PYTHONSTARTUP|PYTHONBREAKPOINT|BASH_ENV|PROMPT_COMMAND|GIT_SSH_COMMAND"
    rf"|NODE_OPTIONS|PERL5OPT|RUBYOPT|JAVA_TOOL_OPTIONS|PYTHONPLATLIBDIR|GCONV_PATH){_SET}([^\s\"',}}]+)"
)
_SEARCH: Final = re.compile(
    rf"(?<![\w$])(PYTHONPATH|PYTHONHOME|LD_LIBRARY_PATH|DYLD_LIBRARY_PATH|PERL5LIB|NODE_PATH|PYTHONUSERBASE){_SET}([^\s\"',}}]+)"
)
_ALLOCATORS: Final = re.compile(
    r"/(?:usr|opt|lib)[\w./-]{0,120}/lib(?:tcmalloc|jemalloc|iomp5|gomp|mimalloc)[\w-]{0,30}\.so[\d.]*:?"
)
"""What people preload for speed, from where systems keep it."""
_ORDINARY_PATHS: Final = re.compile(
    r"(?:(?:\$\{?\w+\}?(?::[-+]?\w*\}?)?|/(?:app|code|workspace|src|home/\w+|root|usr|opt|var/task|databricks|mnt)(?:/[\w.-]+)*/?|\.|src|lib):?)+"
)
_INDEX: Final = re.compile(
    r"(?i)(?<![\w-])(?:--(?:extra-)?index-url|--find-links|--trusted-host|--default-index|(?:PIP|UV)_(?:EXTRA_)?(?:INDEX(?:_URL)?|FIND_LINKS|TRUSTED_HOST)"
    r"|(?:(?<=[\s\"'{,])|^)(?:extra_)?index_url|find_links|trusted_host|(?<=[\"'])-[if]|UV_DEFAULT_INDEX|PIP_CONFIG_FILE|HF_ENDPOINT|NPM_CONFIG_REGISTRY|CONDA_CHANNEL_ALIAS|HF_HUB_ENDPOINT)"
    r"[\"']?\s{0,20}(?::\s|[=\s])\s{0,20}\[?\s{0,20}[\"']?([^\s\"',}]+)"
)
_KNOWN_INDEXES: Final = re.compile(
    r"(?i)(?:https://)?(?:download\.pytorch\.org|pypi\.nvidia\.com|data\.pyg\.org|wheels\.vllm\.ai|(?:www\.)?pypi\.org|files\.pythonhosted\.org"
    r"|huggingface\.co|hf-mirror\.com|storage\.googleapis\.com/(?:jax|libtpu)-releases|flashinfer\.ai|abetlen\.github\.io|developer\.download\.nvidia\.com)(?:[/:\"']|\Z)|\$"
)
_SOURCE: Final = re.compile(
    r"(?m)^[ \t]{0,20}\[\[(?:tool\.(?:poetry\.source|uv\.index|pdm\.source)|source)\]\]([^\[]{0,600})"
)
_URL: Final = re.compile(r"(?m)^[ \t]{0,20}url[ \t]{0,20}=[ \t]{0,20}[\"']([^\"'\n]{1,500})")
_VCS: Final = re.compile(
    r"(?i)\bpip3?\b[^\n]{0,300}\binstall\b[^\n]{0,1000}?\s[\"']?((?:[\w\[\],.-]{1,80}\s{0,4}@\s{0,4})?(?:(?:git|hg|svn|bzr)\+|https?://(?![^\s]{0,200}(?:pytorch|pypi)\.org))[^\s\"']{1,300})"
)
_ADDED: Final = re.compile(r"(?i)^\s{0,20}ADD\s+(?:--\S+\s+){0,5}((?:https?://|git@|git://)\S{1,300})")
_COMMAND: Final = re.compile(r"^\s{0,40}[\"']?command[\"']?\s{0,10}:\s{0,10}(.{0,2000})")
_PLAIN_COMMAND: Final = re.compile(
    r"[\"']?(?:python3?(?:\s+-u)?\s+(?:-m\s+)?(?!-)[\w./{}-]+|mlflow\s+run\s+\.|jupyter\s+nbconvert)(?:\s+[\w./{}=,:@+\"'%-]*)*[\"']?"
)
_LINKED: Final = re.compile(
    r"(?i)(?:^|/)(?:\.?[\w.-]*(?:pre|post)-(?:un)?link\.(?:sh|bat)|etc/conda/(?:de)?activate\.d/[^/]+)\Z"
)

Reading = Callable[[str, str], Iterator[Finding]]
YAML_NAMES: Final = ("environment", "conda", "python_env", "bentofile")
"""How the names of YAML begin that lists packages."""


def reading_of(path: str, kind: str) -> Reading | None:
    """How a file of that name and kind is looked at; None when it describes no environment."""
    base = path.rpartition("/")[2].lower()
    if kind == "yaml" and base.startswith(YAML_NAMES):
        return described
    if base in _BY_NAME:
        return _BY_NAME[base]
    if base.startswith(("dockerfile", "containerfile")) or base.endswith((".dockerfile", ".containerfile")):
        return _dockerfile
    return _linked if _LINKED.search(path) else None


def described(path: str, text: str) -> Iterator[Finding]:
    """Variables and indexes, whatever the file is."""
    for number, line in _lines(text):
        # Requirements within an environment of conda are judged as such.
        if not line.lstrip().startswith(("- -", '- "-', "- '-")):
            yield from _variables(path, line, number, paths=True)
    for source in _SOURCE.finditer(text):
        address = _URL.search(source[1])
        if address and not _KNOWN_INDEXES.match(address[1]):
            line_number = text.count("\n", 0, source.start()) + 1
            message = f"the source is {_address(address[1])}"
            yield _BY_ID["environment-index"].finding(path, message, location=f"line {line_number}")


def _variables(path: str, line: str, number: int, *, paths: bool) -> Iterator[Finding]:
    place = f"line {number}"
    for match in _PRELOAD.finditer(line):
        if not _ALLOCATORS.fullmatch(match[2]):
            message = f"{match[1]} is set to {shown(match[2])}"
            yield _BY_ID["environment-preload"].finding(path, message, location=place)
    for match in _SEARCH.finditer(line):
        if paths or not _ORDINARY_PATHS.fullmatch(match[2]):
            message = f"{match[1]} is set to {shown(match[2])}"
            yield _BY_ID["environment-search-path"].finding(path, message, location=place)
    for match in _INDEX.finditer(line):
        if not _KNOWN_INDEXES.match(match[1]):
            message = f"the line names {_address(match[1])}"
            yield _BY_ID["environment-index"].finding(path, message, location=place)


def _address(text: str) -> str:
    """An address as it is shown: it may carry a password before the host."""
    return shown(re.sub(r"//[^/@]{1,200}@", "//…@", text))


def _dockerfile(path: str, text: str) -> Iterator[Finding]:
    for number, line in _lines(text):
        yield from _variables(path, line, number, paths=False)
        for match in (_ADDED.match(line), _VCS.search(line)):
            if match:
                message = f"the line fetches {_address(match[1])}"
                yield _BY_ID["environment-address"].finding(path, message, location=f"line {number}")


def _project(path: str, text: str) -> Iterator[Finding]:
    for number, line in _lines(text):
        yield from _variables(path, line, number, paths=True)
        command = _COMMAND.match(line)
        said = command[1].strip() if command else ""
        if command and not _PLAIN_COMMAND.fullmatch(said):
            message = f"an entry point runs {shown(said)}"
            yield _BY_ID["environment-command"].finding(path, message, location=f"line {number}")


def _linked(path: str, _text: str) -> Iterator[Finding]:
    yield _BY_ID["environment-link-script"].finding(path, f"conda runs {shown(path.rpartition('/')[2])}")


_BY_NAME: Final = {
    "mlproject": _project,
    "mlmodel": serving_files.mlflow,
    "config.pbtxt": serving_files.triton,
    "modelfile": serving_files.ollama,
}


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines that are no comments, each with those that it goes on in."""
    held, first = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("#"):
            continue
        first = first if held else number
        held += line
        if line.endswith("\\") and len(held) < MAX_LINE:
            held = held[:-1] + " "
            continue
        yield first, held[:MAX_LINE]
        held = ""
    if held:
        yield first, held[:MAX_LINE]
