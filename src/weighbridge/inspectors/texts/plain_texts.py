"""Is this plain data, requirements or settings, and does anything in it make a tool fetch or run something?

- tables (`.csv`, `.tsv`): text, read in blocks whatever their size; cells that a spreadsheet would run as formulas that reach out are named;
- requirements: each line names a package; addresses, other indexes and options that change what is installed are named;
- path files of Python (`.pth` that are text): each line is a folder to import from, or a program;
- style sheets (`.css`): text; scripts in them, and what they load from elsewhere, are named;
- settings (`.toml`, `.ini`, `.cfg`, `.conf`, `.env`): `key = value` and sections, with the few keys that make packaging
  and test tools run something named;
- beside the inspectors that account for them: files that describe an environment (`environments`: conda, MLflow projects,
  Dockerfiles), or a model to a server (`serving_files`), the manifest of TorchServe's archives (a handler of its own), settings of coding assistants (programs that
  they start).

Every byte is read. Text that is none of these is not judged here.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Final

from weighbridge.core.finding import Finding, Report, Severity
from weighbridge.formats.bounded import blocks, read_whole
from weighbridge.formats.json_text import Json, JsonProblem, parse
from weighbridge.formats.kinds import is_legacy_text, is_text
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject, report_of
from weighbridge.inspectors.texts import environments, serving_files

NAME: Final = "plain-texts"
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_TABLE_BYTES: Final = 1024 * 1024 * 1024
MAX_LINE_BYTES: Final = 4 * 1024 * 1024
"""What of one line of a table is looked at together."""
MAX_FOUND: Final = 50

_LEAVE_OUT = "Leave the file out with --exclude; install what the model needs from your own index."


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str = _LEAVE_OUT) -> Rule:
    return Rule(name, title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "requirements-address",
        "Requirement that is an address",
        Severity.MEDIUM,
        "Whoever installs the requirements runs code from that place, whatever it holds on that day.",
    ),
    _rule(
        "requirements-index",
        "Requirements from another package index",
        Severity.HIGH,
        "Packages of any name are taken from a server of the publisher's choosing.",
    ),
    _rule(
        "requirements-option",
        "Option that changes how requirements are installed",
        Severity.MEDIUM,
        "Trusted hosts, nested files and build options change what is installed or skip checks.",
    ),
    _rule(
        "requirements-unpinned",
        "Requirements without versions",
        Severity.LOW,
        "What is installed depends on the day.",
        "Pin versions and hashes in your own environment.",
    ),
    _rule(
        "requirements-malformed",
        "Requirement that is none",
        Severity.MEDIUM,
        "The line is no package name, option or comment.",
    ),
    _rule(
        "table-formula",
        "Cell that a spreadsheet runs",
        Severity.MEDIUM,
        "Opened in a spreadsheet, the cell starts a program or sends data away.",
        "Open the table as text.",
    ),
    _rule(
        "style-script",
        "Style sheet with a script",
        Severity.HIGH,
        "A browser that shows the page may run it, with the rights of the page.",
    ),
    _rule(
        "style-external",
        "Style sheet that loads from elsewhere",
        Severity.LOW,
        "Showing the page tells the other side who looks.",
    ),
    _rule(
        "path-file-import",
        "Path file that runs code",
        Severity.CRITICAL,
        "Put where Python finds packages, each line that begins with import is run at every start of Python.",
        "Do not unpack the file anywhere. A model's weights may share the ending; this is none.",
    ),
    _rule(
        "path-file",
        "Path file of Python",
        Severity.MEDIUM,
        "Put where Python finds packages, it adds folders to import from.",
    ),
    _rule(
        "settings-runs-code",
        "Settings that make a tool run something",
        Severity.MEDIUM,
        "Building, testing or installing in this folder runs what the settings name.",
    ),
    _rule(
        "settings-index",
        "Settings that change where packages come from",
        Severity.HIGH,
        "Packages of any name are taken from a server of the publisher's choosing.",
    ),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}

_INDEXES = re.compile(
    r"(?i)https://(?:download\.pytorch\.org|pypi\.nvidia\.com|data\.pyg\.org|wheels\.vllm\.ai)(?:/|\s|$)"
)
_INDEX_OPTION = re.compile(r"(?:-i|--index-url|--extra-index-url|-f|--find-links)(?:[= ]\s*|$)")
_REQUIREMENT = re.compile(
    r"[A-Za-z0-9][\w.-]{0,100}\s*(?:\[[\w\s,.-]{0,200}\])?\s*"
    r"(?P<version>\(?\s*(?:===?|~=|!=|<=?|>=?)[\w\s.*+!,<>=~^-]{1,200}\)?)?\s*(?:;.{0,400})?"
)
_ADDRESS = re.compile(
    r"(?i)(?:git|hg|svn|bzr)\+|https?://|ftp://|file:|\.\.?/|/|[A-Za-z]:\\|[^@\s]{1,200}\s{0,20}@\s{0,20}(?:\S{1,100}://|git\+)"
)
_ITEM = re.compile(r"[ \t]{0,40}-[ \t]{1,20}(?![ \t])(.{1,1000})")
_CONDA = re.compile(r"(?i)https://(?:conda\.anaconda\.org|repo\.anaconda\.com|repo\.prefix\.dev)(?:/|\s|$)")
_HANDLERS: Final = frozenset(
    ("image_classifier", "image_segmenter", "object_detector", "text_classifier", "text_handler", "base_handler")
)
"""What TorchServe brings along."""
_FORMULA = re.compile(
    r"(?im)(?:^|[,;\t\"])[ \t]{0,40}[=+@-][ \t]{0,40}(?:cmd|powershell|msexcel|rundll32)[ \t]{0,40}\|"
    r"|(?:^|[,;\t\"])[ \t]{0,40}[=+@-][ \t]{0,40}(?:HYPERLINK|WEBSERVICE|IMPORT(?:XML|DATA|HTML|FEED|RANGE)|FILTERXML|DDE|EXEC|CALL|REGISTER)[ \t]{0,40}\("
)
_FORMULA_WORDS = (
    *("cmd", "powershell", "msexcel", "rundll32", "hyperlink", "webservice", "importxml", "importdata", "importhtml"),
    *("importfeed", "importrange", "filterxml", "dde", "exec", "call", "register"),
)
_SETTINGS_INDEX = re.compile(
    r"(?im)^[ \t]{0,40}(?:extra[-_])?index[-_]url[ \t]{0,40}=[ \t]{0,40}\S|^[ \t]{0,40}find[-_]links[ \t]{0,40}=[ \t]{0,40}\S|^[ \t]{0,40}trusted[-_]host[ \t]{0,40}="
)
_SETTINGS_ADDRESS = re.compile(
    r"(?im)^(?![ \t]{0,40}[#;])[^\n]{0,300}[\w\])][ \t]{0,20}@[ \t]{0,20}(?:(?:git|hg|svn|bzr)\+|https?://|ftp://|file:)[^\n]{0,100}"
    r"|^[ \t]{0,40}dependency_links[ \t]{0,40}=[ \t]{0,40}(?:\S|\r?\n[ \t]{1,40}\S)"
)
_SETTINGS_RUN = re.compile(
    r"(?im)^[ \t]{0,40}(?:build-backend(?![ \t]{0,9}=[ \t]{0,9}[\"'](?:setuptools\.build_meta|hatchling\.build|flit_core\.buildapi|mesonpy|maturin"
    r"|poetry\.core\.masonry\.api|scikit_build_core\.build|pdm\.backend|uv_build)[\"'])|backend-path|cmdclass|script_launcher|commands|commands_pre|install_command|entry_points"
    r"|setup_hooks|before-build|before-all|python_files|hooksPath|sshCommand|fsmonitor|pager|editor)[ \t]{0,40}=[ \t]{0,40}"
    r"(?!(?:\"\"|'')[ \t]{0,40}(?:#[^\n]{0,200})?(?:\r?\n|\Z))(?:\S|\r?\n[ \t]{1,40}\S)"
    r"|^[ \t]{0,40}\[(?:project\.(?:scripts|entry-points[^\]]*)|tool\.(?:poetry|pdm)\.scripts|options\.entry_points|alias|filter[^\]]*"
    r"|testenv[^\]]*)\]"
)


_TOOLS: Final = re.compile(
    r"(?i)(?:\A|/)(?:\.vscode/(?:tasks|mcp)\.json|\.devcontainer(?:/(?:[^/]+/)?devcontainer)?\.json|devcontainer\.json"
    r"|\.(?:claude|gemini|codex|qwen|cursor|windsurf|kiro)/(?:[^/]+/)?[\w.-]+\.json|\.?mcp(?:_config)?\.json|package\.json|composer\.json)\Z"
)
"""Settings that are read without asking when somebody works in the folder."""
_CONTAINER_COMMAND: Final = r"(?:initialize|onCreate|updateContent|postCreate|postStart|postAttach)Command"
_CONTAINER_KEY: Final = re.compile(_CONTAINER_COMMAND + r"|(?:pre|post)-(?:install|update|autoload)-\w+")
_PACKAGE_KEY: Final = re.compile(r"(?:pre|post)?install|(?:pre|post)?prepare|dependencies:postinstall")
_STARTED_TEXT: Final = re.compile(r'"(?:command|' + _CONTAINER_COMMAND + r')"\s{0,20}:\s{0,20}[^\n]{0,200}')
_CSS_ESCAPE: Final = re.compile(r"\\([0-9A-Fa-f]{1,6})[ \t\n]?")
_CSS_COMMENT: Final = re.compile(r"/\*[^*]*\*+(?:[^/*][^*]*\*+)*/")
_STYLE_SCRIPT: Final = re.compile(
    r"(?i)(?:url\(|@import)[ \t\"']{0,20}(?:java|vb)script[ \t]{0,20}:|[:\s,(]expression\s{0,20}\(|-moz-binding\s{0,20}:|[;{\s]behavior\s{0,20}:\s{0,20}url(?!\(\s{0,9}[\"']?#)"
    r"|data:\s{0,20}text/html|</style|<\s{0,20}script"
)
_STYLE_EXTERNAL: Final = re.compile(
    r"(?i)@import\s{1,20}(?:url\(\s{0,20})?[\"']?\s{0,20}(?:https?:|ftp:|file:|//)"
    r"|(?:url|image|image-set|src)\(\s{0,20}[\"']?\s{0,20}(?:https?:|ftp:|file:|//)"
)


class PlainTexts:
    """The inspector `plain-texts`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage for plain data; None for what is none of these.

        Raises:
            LimitExceeded: the text is longer than is read.
            Truncated: the reader returned less than the artifact's size promises.
        """
        kind = subject.kind.name
        if kind in ("yaml", "json") or (
            environments.reading_of(subject.path, kind) and kind not in ("requirements", "settings")
        ):
            return _beside(subject)
        if subject.suffix == ".pth" and subject.kind.family == "text":
            kind = "path-file"
        elif kind == "table":
            return _table(subject)
        elif kind not in ("requirements", "settings", "stylesheet"):
            return None
        data = read_whole(subject, MAX_BYTES)
        if not is_text(data, whole=True):
            return report_of(NAME, subject, (), 0, kind=subject.kind.name)
        text = data.decode("utf-8").removeprefix("\ufeff")
        findings = list(islice(_READERS[kind](subject.path, text), MAX_FOUND))
        return report_of(NAME, subject, findings, subject.size_bytes, kind=subject.kind.name)


def _beside(subject: Subject) -> Report | None:
    """What other inspectors account for, but install or start something by; None where nothing is said."""
    base = subject.path.rpartition("/")[2].lower()
    described = environments.reading_of(subject.path, subject.kind.name)
    if described is not None:
        reading = _chained(described, _environment) if base.startswith(environments.YAML_NAMES) else described
    elif subject.kind.name != "json":
        return None
    else:
        reading = _manifest if subject.path.endswith("MAR-INF/MANIFEST.json") else _programs
        if reading is _programs and not (_TOOLS.search(subject.path) or b'"mcpServers"' in subject.head):
            reading = None
    if reading is None or subject.size_bytes > MAX_BYTES:
        return None
    text = read_whole(subject, MAX_BYTES).decode("utf-8", "replace")
    findings = list(islice(reading(subject.path, text), MAX_FOUND))
    if subject.kind.name == "structured-text" and is_text(text.encode(), whole=True):
        # Text of Triton's own, which nobody else accounts for.
        return report_of(NAME, subject, findings, subject.size_bytes, kind=subject.kind.name)
    return report_of(NAME, subject, findings, subject.size_bytes) if findings else None


def _chained(*readings: environments.Reading) -> environments.Reading:
    return lambda path, text: (found for reading in readings for found in reading(path, text))


def _environment(path: str, text: str) -> Iterator[Finding]:
    """An environment of conda: packages from addresses, and other indexes."""
    for number, raw in enumerate(text.splitlines(), start=1):
        item = _ITEM.match(raw)
        line = re.sub(r"\s#.*", "", item.group(1)).strip().strip("\"'") if item else ""
        rule = ""
        if _INDEX_OPTION.match(line) and not _INDEXES.search(line):
            rule = "requirements-index"
        elif (_ADDRESS.match(line) or line.startswith("-e")) and not _CONDA.match(line):
            rule = "requirements-address"
        if rule:
            yield _BY_ID[rule].finding(path, f"the line is {_shown(line)}", location=f"line {number}")


def _manifest(path: str, text: str) -> Iterator[Finding]:
    """TorchServe's archive: its handler is run when the model is loaded."""
    described = parse(text.encode()).value
    model = described.get("model") if isinstance(described, dict) else None
    handler = model.get("handler") if isinstance(model, dict) else None
    if handler is not None and handler not in _HANDLERS:
        yield _BY_ID["settings-runs-code"].finding(path, f"the handler is {_shown(str(handler)[:200])}")


def _programs(path: str, text: str) -> Iterator[Finding]:
    """Settings of editors, coding assistants and package managers: programs that they start when a folder is opened.

    Or when work in it begins, its container is built, its packages are installed.
    """
    try:
        waiting: list[tuple[str, Json]] = [("", parse(text.encode("utf-8", "surrogatepass")).value)]
    except JsonProblem:
        # Who judges JSON says so; comments are ordinary in some of these files.
        found = _STARTED_TEXT.search(text)
        if found:
            yield _BY_ID["settings-runs-code"].finding(path, f"the settings have {_shown(found.group())}")
        return
    name = path.rpartition("/")[2].lower()
    started = _PACKAGE_KEY if name == "package.json" else _CONTAINER_KEY
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(str(one), inner) for one, inner in value.items()]
            command = value.get("command")
            if isinstance(command, str) and (_is_unasked(value) if name == "tasks.json" else name != "package.json"):
                yield _BY_ID["settings-runs-code"].finding(path, f"a command is {_shown(command)}")
        elif isinstance(value, list):
            waiting += [(key, inner) for inner in value]
        elif isinstance(value, str) and value and started.fullmatch(key):
            yield _BY_ID["settings-runs-code"].finding(path, f"{key} is {_shown(value)}")


def _is_unasked(task: Mapping[str, Json]) -> bool:
    """Whether an editor's task is started when the folder is opened."""
    options = task.get("runOptions")
    return isinstance(options, dict) and options.get("runOn") == "folderOpen"


def _shown(text: str) -> str:
    # Addresses may carry a password before the host.
    shown = ascii(re.sub(r"//[^/@\s]{1,200}@", "//…@", text.strip()))
    return shown if len(shown) <= 100 else f"{shown[:100]}…"


def _requirements(path: str, text: str) -> Iterator[Finding]:
    unpinned = 0
    joined = re.sub(r"\\\r?\n", " ", text)
    for number, raw in enumerate(joined.splitlines(), start=1):
        line = re.sub(r"(?:^|\s)#.*", "", raw).strip()
        if not line:
            continue
        rule = _line(line)
        if rule == "requirements-unpinned":
            unpinned += 1
        elif rule:
            yield _BY_ID[rule].finding(path, f"the line is {_shown(line)}", location=f"line {number}")
    if unpinned:
        yield _BY_ID["requirements-unpinned"].finding(path, f"{unpinned} packages are named without a version")


def _line(line: str) -> str:
    """The rule that a line of requirements breaks, or ""."""
    if line.startswith("-"):
        if _INDEX_OPTION.match(line):
            return "" if _INDEXES.search(line) else "requirements-index"
        if line.startswith(("-e", "--editable")):
            return "requirements-address"
        return "" if line.startswith(("--hash", "--no-cache-dir", "--pre", "--only-binary")) else "requirements-option"
    if _ADDRESS.match(line):
        return "requirements-address"
    named = _REQUIREMENT.fullmatch(re.sub(r"\s+--hash=\S+", "", line))
    if named is None:
        return "requirements-malformed"
    return "" if named.group("version") else "requirements-unpinned"


def _table(subject: Subject) -> Report:
    """A table, block by block: the first cell that a spreadsheet would run is said."""
    findings: list[Finding] = []
    legacy = not is_text(subject.head, whole=subject.size_bytes <= len(subject.head))
    decoder = codecs.getincrementaldecoder("latin-1" if legacy else "utf-8")()
    if subject.size_bytes > MAX_TABLE_BYTES:
        return report_of(NAME, subject, (), 0, kind=subject.kind.name)
    line, rest, position = 1, "", 0
    for block in blocks(subject):
        try:
            text = rest + decoder.decode(block, final=position + len(block) == subject.size_bytes)
        except UnicodeDecodeError:
            return report_of(NAME, subject, findings, position, kind=subject.kind.name)
        if not is_legacy_text(block):
            return report_of(NAME, subject, findings, position, kind=subject.kind.name)
        position += len(block)
        cut = text.rfind("\n") + 1 if position < subject.size_bytes else len(text)
        looked = text if len(text) - cut > MAX_LINE_BYTES else text[:cut]
        # Looking for the words and what follows them takes a tenth of the time.
        small = "" if findings else looked.lower()
        match = _FORMULA.search(looked) if _names_formula(small) else None
        if match and not findings:
            place = f"line {line + text.count(chr(10), 0, match.start())}"
            findings.append(
                _BY_ID["table-formula"].finding(subject.path, f"a cell is {_shown(match.group())}", location=place)
            )
        line += text.count("\n", 0, cut)
        rest = text[max(cut, len(text) - MAX_LINE_BYTES) :]
    return report_of(NAME, subject, findings, subject.size_bytes, kind=subject.kind.name)


def _names_formula(small: str) -> bool:
    return any(word in small and re.search(rf"{word}[ \t]{{0,40}}[(|]", small) for word in _FORMULA_WORDS)


def _style(path: str, text: str) -> Iterator[Finding]:
    spelled = _CSS_ESCAPE.sub(lambda code: chr(min(int(code[1], 16), 0x10FFFF)), _CSS_COMMENT.sub("", text))
    for rule, pattern in (("style-script", _STYLE_SCRIPT), ("style-external", _STYLE_EXTERNAL)):
        match = pattern.search(text) or pattern.search(spelled)
        if match:
            yield _BY_ID[rule].finding(path, f"the style sheet has {_shown(match.group())}")


def _settings(path: str, text: str) -> Iterator[Finding]:
    for rule, pattern in (
        ("settings-index", _SETTINGS_INDEX),
        ("settings-runs-code", _SETTINGS_RUN),
        ("requirements-address", _SETTINGS_ADDRESS),
    ):
        match = pattern.search(text)
        if match:
            line = text.count("\n", 0, match.start()) + 1
            yield _BY_ID[rule].finding(path, f"the settings have {_shown(match.group())}", location=f"line {line}")
    yield from environments.described(path, text)
    yield from serving_files.called_by_settings(path, text)


def _path_file(path: str, text: str) -> Iterator[Finding]:
    imports = [line for line in text.splitlines() if line.startswith(("import ", "import\t"))]
    if imports:
        yield _BY_ID["path-file-import"].finding(path, f"a line runs {_shown(imports[0])}")
    else:
        yield _BY_ID["path-file"].finding(path, "the file is text and names folders")


_READERS: Final[Mapping[str, Callable[[str, str], Iterator[Finding]]]] = {
    "requirements": _requirements,
    "stylesheet": _style,
    "settings": _settings,
    "path-file": _path_file,
}
