"""What a file that describes a model to what serves or logs makes it load: MLflow, Triton, Ollama, Python's logging.

- `MLmodel` (MLflow): `loader_module` is imported, from the model's own `code` first; paths are joined to the model's folder.
- `config.pbtxt` (Triton): the backend's library, libraries of operations, an environment of Python that is unpacked and run.
- `Modelfile` (Ollama): what is built in comes from the paths that it names.
- settings of `logging.config.fileConfig` (`uvicorn --log-config logging.ini`): `class`, `args` and `kwargs` are evaluated.
- settings with hydra's keys (`_target_`, `class_path`): what they name is imported and called.

Text is looked at line by line, not parsed. Sources: MLflow `models/model.py` and `pyfunc`; Triton `model_config.proto` and its
Python backend; Python's `logging/config.py` (`_install_handlers`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from weighbridge.core.finding import Finding, Severity
from weighbridge.inspectors.dotted_names import Standing, standing_of
from weighbridge.inspectors.notes import shown
from weighbridge.inspectors.rule import Rule

_REMEDY: Final = "Leave the file out with --exclude; describe the model to your own server yourself."


def _rule(name: str, title: str, severity: Severity, explanation: str) -> Rule:
    return Rule(f"serving-{name}", title, severity, "plain-texts", explanation, _REMEDY)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "weapon",
        "Names a callable that runs code",
        Severity.CRITICAL,
        "What reads the file imports and calls it: it starts processes, evaluates text or loads other objects.",
    ),
    _rule(
        "loader",
        "Names code that is imported",
        Severity.MEDIUM,
        "What serves the model imports the module, or runs the environment of Python, that the file names.",
    ),
    _rule(
        "library",
        "Names a native library that is loaded",
        Severity.MEDIUM,
        "The server loads the library into its own process.",
    ),
    _rule(
        "path-escape",
        "Path that leads out of the model",
        Severity.HIGH,
        "The server reads, or runs, what lies outside of the model's folder.",
    ),
    _rule(
        "evaluated",
        "Settings of logging that are evaluated as code",
        Severity.HIGH,
        "`logging.config.fileConfig` evaluates classes and arguments of handlers as Python; these do more than name values.",
    ),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}

_LOADER: Final = re.compile(
    r"[\"']?\b(?:loader_module|python_model_class)[\"']?\s{0,9}:\s{0,9}[\"']?([^\s\"',}]{1,300})"
)
_CLIMBS: Final = re.compile(r"(?:\A|[\"'/\s:\\])\.\.(?:[/\\\"'\s]|\Z)")
_LIBRARY: Final = re.compile(r"(?:op_library_filename|runtime)\s{0,9}:\s{0,9}\[?\s{0,9}\"([^\"]{1,300})\"")
_ENVIRONMENT: Final = re.compile(
    r"\"EXECUTION_ENV_PATH\"[\s,]{0,9}value\s{0,9}:?\s{0,9}\{\s{0,9}string_value\s{0,9}:\s{0,9}\"([^\"]{0,300})"
)
_BUILT_IN: Final = re.compile(r"(?i)\s{0,9}(?:FROM|ADAPTER)\s{1,9}([\"']?(?:/|~|[A-Za-z]:\\)\S{0,300})")
_LOGGING: Final = re.compile(r"(?m)^\[(?:loggers|handlers|formatters|handler_\w+|formatter_\w+)\]")
_EVALUATED: Final = re.compile(
    r"(?m)^(class|args|kwargs)[ \t]{0,20}[=:][ \t]{0,20}([^\n]{1,2000}(?:\n[ \t]{1,40}[^\n]{1,2000}){0,40})"
)
_CALL: Final = re.compile(r"(?<![\w.])((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)\s{0,9}\(|__|\blambda\b|\bfor\b")
_QUOTED: Final = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")
_QUIET_CALLS: Final = frozenset(
    ("os.getenv", "os.environ.get", "os.path.join", "os.path.expanduser", "str", "int", "dict")
)
_TARGET: Final = re.compile(
    r"(?<!\w)[\"']?(?:_target_|__target__|class_path|_call_)[\"']?[ \t]{0,20}[=:][ \t]{0,20}[\"']?([\w.]{1,300})"
)


def mlflow(path: str, text: str) -> Iterator[Finding]:
    """An `MLmodel`."""
    for number, line in enumerate(text.splitlines(), start=1):
        place = f"line {number}"
        for match in _LOADER.finditer(line):
            name = match[1]
            if standing_of(name) is Standing.WEAPON:
                yield _BY_ID["serving-weapon"].finding(path, f"MLflow imports {shown(name)}", location=place)
            elif not name.startswith("mlflow."):
                yield _BY_ID["serving-loader"].finding(path, f"MLflow imports {shown(name)}", location=place)
        yield from _climbing(path, line, place)


def triton(path: str, text: str) -> Iterator[Finding]:
    """A `config.pbtxt`."""
    for rule, pattern, what in (
        ("serving-library", _LIBRARY, "the server loads"),
        ("serving-loader", _ENVIRONMENT, "the backend unpacks and runs the environment"),
    ):
        for match in pattern.finditer(text):
            place = f"line {text.count(chr(10), 0, match.start()) + 1}"
            yield _BY_ID[rule].finding(path, f"{what} {shown(match[1])}", location=place)
    for number, line in enumerate(text.splitlines(), start=1):
        yield from _climbing(path, line, f"line {number}")


def ollama(path: str, text: str) -> Iterator[Finding]:
    """A `Modelfile`."""
    for number, line in enumerate(text.splitlines(), start=1):
        match = _BUILT_IN.match(line)
        if match:
            message = f"the model takes in {shown(match[1])}"
            yield _BY_ID["serving-path-escape"].finding(path, message, location=f"line {number}")
        elif re.match(r"(?i)\s{0,9}(?:FROM|ADAPTER)\s", line):
            yield from _climbing(path, line, f"line {number}")


def called_by_settings(path: str, text: str) -> Iterator[Finding]:
    """What settings of any kind have evaluated, or imported and called."""
    for match in _TARGET.finditer(text):
        if standing_of(match[1]) is Standing.WEAPON:
            place = f"line {text.count(chr(10), 0, match.start()) + 1}"
            yield _BY_ID["serving-weapon"].finding(path, f"the settings name {shown(match[1])}", location=place)
    if not _LOGGING.search(text):
        return
    for match in _EVALUATED.finditer(text):
        if _does_more(match[1], match[2].strip()):
            place = f"line {text.count(chr(10), 0, match.start()) + 1}"
            message = f"{match[1]} is {shown(match[2])}"
            yield _BY_ID["serving-evaluated"].finding(path, message, location=place)


def _does_more(key: str, value: str) -> bool:
    """Whether an evaluated value does more than name a class, or values."""
    if key == "class":
        return re.fullmatch(r"[\w.]+", value) is None or standing_of(value) is Standing.WEAPON
    bare = _QUOTED.sub("''", value)
    return any(match[1] not in _QUIET_CALLS for match in _CALL.finditer(bare))


def _climbing(path: str, line: str, place: str) -> Iterator[Finding]:
    if _CLIMBS.search(line) and not line.lstrip().startswith("#"):
        yield _BY_ID["serving-path-escape"].finding(path, f"the line is {shown(line.strip())}", location=place)
