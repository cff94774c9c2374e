"""The documentation does what it says: its commands run, its examples have today's fields, its links lead somewhere.

Rules for a page under `docs/tutorial` and `docs/how-to`:

- a block tagged `console` is run, line by line, in one shell for the whole page and in a folder of its own; lines that
  begin with `$ ` are commands, `> ` goes on with the one before, everything else is what it must print;
- what is printed is matched whole: `...` stands for anything within a line, a line of only `...` for any number of
  lines, and white space within a line counts as one space;
- a command must succeed, unless the page shows its exit code with `echo $?` next;
- what cannot run here (a real cloud, a terminal) is tagged `text`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command, folder_files, template
from tests.support import deepseek
from tests.support.cases import each
from tests.support.hub import Fault, Flip, HubServer, Stall
from tests.support.postgres import postgres

__all__ = ["postgres"]

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
RUN = [*sorted((DOCS / "tutorial").glob("*.md")), *sorted((DOCS / "how-to").glob("*.md"))]
WRITTEN = [
    *sorted(DOCS.rglob("*.md")),
    *(path for path in (ROOT / "README.md", ROOT / "CHANGELOG.md") if path.exists()),
]
BLOCK = re.compile(r"^```(?P<tag>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
MIB = 1024 * 1024
COMMAND_SECONDS = 170.0


# --- pages that run -----------------------------------------------------------------------------


@dataclass
class Step:
    """One command of a page and the lines it must print."""

    command: str
    expected: list[str] = field(default_factory=list)


def steps(page: Path) -> list[Step]:
    """All commands of a page, in order."""
    found: list[Step] = []
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        if block["tag"] != "console":
            continue
        first = len(found)
        for line in block["body"].splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:]))
            elif line.startswith("> "):
                found[-1].command += f"\n{line[2:]}"
            else:
                assert len(found) > first, f"{page.name}: a console block begins without a command: {line!r}"
                found[-1].expected.append(line)
    return found


_JOB_NOTICE = re.compile(r"bash: line \d+: +\d+ Killed ")
"""What a shell says of a job that was killed, now or with a later command, as its scheduler pleases."""


def matches(expected: Sequence[str], printed: Sequence[str]) -> bool:
    """Whether the printed lines are the expected ones, as the rules above say."""
    pattern = "".join(
        r"(?:[^\n]*\n)*" if line.strip() == "..." else f"{_line_pattern(line)}\n" for line in map(_spaced, expected)
    )
    return re.fullmatch(pattern, "".join(f"{_spaced(line)}\n" for line in printed)) is not None


def _line_pattern(line: str) -> str:
    return r"[^\n]*".join(re.escape(piece) for piece in line.split("..."))


def _spaced(line: str) -> str:
    return " ".join(line.split())


class Shell:
    """One bash that keeps its folder, variables and background jobs from command to command."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._mark = f"--{uuid.uuid4().hex}--"
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str) -> tuple[list[str], int]:
        """What the command printed on both streams, and its exit code, which `$?` still holds for the next."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(
            f"{{ {command}\n}} </dev/null\n__code=$?; printf '\\n{self._mark} %d\\n' $__code; (exit $__code)\n"
        )
        self._process.stdin.flush()
        lines: list[str] = []
        patience = threading.Timer(COMMAND_SECONDS, self._kill)
        patience.start()
        try:
            for line in self._process.stdout:
                if line.startswith(self._mark):
                    while lines and not lines[-1].strip():
                        lines.pop()
                    return lines, int(line.split()[1])
                if not _JOB_NOTICE.match(line):
                    lines.append(line.rstrip("\n"))
        finally:
            patience.cancel()
        raise AssertionError(f"the shell ended during: {command}\n" + "\n".join(lines))

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Ends the shell and whatever it left running."""
        self._kill()
        self._process.communicate()


def run_page(page: Path, shell: Shell) -> None:
    """Runs a page's commands and holds what they print against the page."""
    todo = steps(page)
    assert todo, f"{page.name} has no console block"
    for number, step in enumerate(todo):
        # What a page sends signals to is the program itself, which is next on the path.
        printed, code = shell.run(f'PATH="${{PATH#*:}}" {step.command}' if step.command.endswith("&") else step.command)
        expected = list(step.expected)
        while expected and not expected[-1].strip():
            expected.pop()
        told = f"{page.name}: $ {step.command}\nexit {code}\n" + "\n".join(printed)
        assert matches(expected, printed), f"{told}\n--- the page says:\n" + "\n".join(expected)
        shown = number + 1 < len(todo) and todo[number + 1].command == "echo $?"
        assert shown or code == 0, told


@pytest.fixture
def surroundings(weighbridge: Command, tmp_path: Path) -> dict[str, str]:
    """The environment of a page: a fresh home, this Python and the checkout's test support on the path."""
    environment = weighbridge.environ()
    here = str(Path(sys.executable).parent)
    return {**environment, "PATH": f"{here}{os.pathsep}{environment['PATH']}", "PYTHONPATH": str(ROOT)}


def _tiny(folder: Path, *, seed: int = 0) -> dict[str, Path]:
    return folder_files(deepseek.build(folder, shards=3, seed=seed))


def with_hub(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """A Hub with what the how-to pages speak of: `acme/tiny` with a tag and a pull request, `acme/gated` with a token."""
    hub: HubServer = request.getfixturevalue("hub")
    files = _tiny(tmp_path / "upstream")
    tiny = hub.repository("acme/tiny")
    commit = tiny.commit(files)
    tiny.tag("v1.0", commit)
    tiny.commit({**files, "NOTES.md": b"# Notes\n"}, ref="refs/pr/1")
    hub.repository("acme/gated", gated=True).commit(_tiny(tmp_path / "gated", seed=1))
    hub.token("hf_example", access=["acme/gated"])
    return {"HF_ENDPOINT": hub.endpoint}


def with_news(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """As `with_hub`; on the branch `next` of `acme/tiny` somebody added code."""
    environment = with_hub(request, tmp_path)
    tiny = request.getfixturevalue("hub").repositories["acme/tiny"]
    files = folder_files(tmp_path / "upstream")
    tiny.branch("next", tiny.refs["refs/heads/main"])
    tiny.commit({**files, "helper.py": b"import os\nos.system('id')\n"}, ref="next")
    return environment


def with_a_heavy_model(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """A Hub with a model that takes long enough to be killed on its way."""
    hub: HubServer = request.getfixturevalue("hub")
    built = deepseek.build(tmp_path / "heavy", pad_bytes_per_shard=MIB)
    hub.repository("acme/heavy").commit(folder_files(built))
    return {"HF_ENDPOINT": hub.endpoint}


def with_s3(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """A Hub, and buckets on a real S3 server: one with versions and object lock, one without."""
    environment = with_hub(request, tmp_path)
    request.getfixturevalue("hub").repository("acme/other").commit(_tiny(tmp_path / "other", seed=2))
    server = request.getfixturevalue("s3_server")
    given = dict(server.environment)
    endpoint = given.pop("WEIGHBRIDGE_STORE_S3_ENDPOINT")
    return {
        **environment,
        **given,
        "S3_ENDPOINT": endpoint,
        "BUCKET": server.bucket(locked=True),
        "UNVERSIONED_BUCKET": server.bucket(versioned=False),
    }


def with_postgres(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """A Hub, and an empty database on a real PostgreSQL server."""
    return {**with_hub(request, tmp_path), "LEDGER_URL": request.getfixturevalue("postgres").url()}


Given = Callable[[pytest.FixtureRequest, Path], dict[str, str]]
GIVEN: Mapping[str, Given] = {
    "first-crossing": lambda _request, _folder: {},
    "resume-and-clean-up": with_a_heavy_model,
    "watch-upstream": with_news,
    "use-s3": with_s3,
    "gateway-on-s3": with_s3,
    "deploy-on-sagemaker": with_s3,
    "share-a-ledger-on-postgresql": with_postgres,
}
ON_S3 = (pytest.mark.s3, pytest.mark.xdist_group("s3"))
ON_SERVERS = {
    "use-s3": ON_S3,
    "gateway-on-s3": ON_S3,
    "deploy-on-sagemaker": ON_S3,
    "share-a-ledger-on-postgresql": (pytest.mark.xdist_group("postgres"),),
}
NOT_RUN = {"use-gcs-or-azure"}
"""Pages about servers that cannot be had here; they hold no console block."""


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=page.stem, marks=ON_SERVERS.get(page.stem, ())) for page in RUN if page.stem not in NOT_RUN],
)
def test_a_page_does_what_it_says(
    page: Path, surroundings: dict[str, str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    surroundings.update(GIVEN.get(page.stem, with_hub)(request, tmp_path))
    (tmp_path / "page").mkdir()
    # Most of a short command is imports.
    (tmp_path / "bin").mkdir()
    template().program(tmp_path / "bin" / "weighbridge")
    surroundings["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{surroundings['PATH']}"
    shell = Shell(tmp_path / "page", surroundings)
    try:
        run_page(page, shell)
    finally:
        shell.close()


@each("name", sorted(NOT_RUN))
def test_a_page_that_is_not_run_holds_no_command_that_claims_to_be(name: str) -> None:
    assert steps(DOCS / "how-to" / f"{name}.md") == []


@pytest.mark.parametrize(
    ("expected", "printed", "fits"),
    [
        (["a"], ["a"], True),
        (["a"], ["b"], False),
        ([], ["a"], False),
        (["a"], [], False),
        (["a   b"], ["a\tb"], True),
        (["a...c"], ["abbc"], True),
        (["a...c"], ["ab", "c"], False),
        (["a", "...", "d"], ["a", "b", "c", "d"], True),
        (["a", "...", "d"], ["a", "d"], True),
        (["a", "...", "d"], ["a", "b"], False),
        (["(a|b)"], ["a"], False),
    ],
)
def test_the_matcher_tells_pages_from_output(expected: list[str], printed: list[str], fits: bool) -> None:
    assert matches(expected, printed) is fits


# --- reference ----------------------------------------------------------------------------------


def test_generated_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def shape(value: Any) -> Any:
    """The keys of a JSON value, all the way down; lists by their longest item, objects keyed by paths by theirs."""
    if isinstance(value, list):
        return [shape(max(value, key=lambda item: len(json.dumps(item))))] if value else []
    if not isinstance(value, dict):
        return type(value).__name__
    if any("." in key for key in value):
        return {"<path>": shape(next(iter(value.values())))}
    return {key: shape(value[key]) for key in sorted(value)}


def examples(page: Path) -> dict[str, Any]:
    """The JSON examples of a page, by the word after `json` in their tag."""
    found = {}
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        language, _, name = block["tag"].partition(" ")
        if language == "json" and name:
            found[name] = json.loads(block["body"])
    return found


@pytest.fixture
def records(on_hub: Command, hub: HubServer, tmp_path: Path) -> dict[str, Any]:
    """Every kind of record that one ingest leaves, read from where the pages say they are."""
    files = {**_tiny(tmp_path / "upstream"), "w.bin": b"\x00" * (9 * MIB)}
    commit = hub.repository("acme/tiny").commit(files)
    small = ("--part-bytes", str(8 * MIB), "--memory-bytes", str(32 * MIB))
    # A digest that never fits ends the first run with its journal in place.
    hub.faults.add(Fault(Flip(8 * MIB + 1), path="w.bin"))
    on_hub("ingest", "hf://acme/tiny", *small, code=6)
    (journal,) = (on_hub.home / "journal").glob("*.jsonl")
    lines = [json.loads(line[9:]) for line in journal.read_text().splitlines()]
    hub.faults.clear()
    on_hub("ingest", "hf://acme/tiny", *small)
    folder = on_hub.home / "store/records/acme/tiny" / commit
    found: dict[str, Any] = {f"journal-{line['fact']}": line for line in lines}
    for name in ("manifest.json", "placement.json", "inspection.json", "seal.dsse.json", "model.sig"):
        found[name.split(".")[0]] = json.loads((folder / name).read_bytes())
    found["seal-payload"] = json.loads(base64.b64decode(found["seal"]["payload"]))
    found["model-payload"] = json.loads(base64.b64decode(found["model"]["dsseEnvelope"]["payload"]))
    found["head"] = json.loads((on_hub.home / "ledger.head.json").read_bytes())
    with contextlib.closing(sqlite3.connect(on_hub.home / "ledger.sqlite")) as connection:
        connection.row_factory = sqlite3.Row
        event = dict(connection.execute("SELECT * FROM ledger_events WHERE kind = 'revision.ingested'").fetchone())
    found["event"] = {**event, "payload": json.loads(event["payload"])}
    return found


def test_the_formats_page_shows_the_fields_that_a_run_writes(records: dict[str, Any]) -> None:
    shown = examples(DOCS / "reference/formats.md")
    assert set(shown) == set(records)
    for name, example in shown.items():
        assert shape(example) == shape(records[name]), name


def test_the_events_page_shows_the_events_that_an_ingest_writes(
    on_hub: Command, hub: HubServer, tmp_path: Path
) -> None:
    shown = examples(DOCS / "reference/events.md")
    hub.repository("acme/tiny").commit({**_tiny(tmp_path / "upstream"), "w.bin": b"\x00" * (2 * MIB)})
    hub.faults.add(Fault(Stall(MIB), path="w.bin", times=1))
    # Longer than the second between two words of progress.
    impatient = {"WEIGHBRIDGE_TRANSFER_READ_TIMEOUT_SECONDS": "2"}
    written = {event["event"]: event for event in on_hub("ingest", "hf://acme/tiny", "--json", env=impatient).events}
    failed = on_hub("ingest", "hf://acme/none", "--json", code=1).event("error")
    written["error"] = failed
    assert set(shown) == set(written)
    for name, example in shown.items():
        assert shape(example) == shape(written[name]), name


# --- all pages ----------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    found = set()
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for heading in re.findall(r"^#{1,6} +(.+?) *$", text, re.MULTILINE):
        found.add(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"))
    return found


def links(page: Path) -> Iterator[str]:
    """The targets of a page's links, those in code left out."""
    text = re.sub(r"`[^`\n]*`", "", BLOCK.sub("", page.read_text(encoding="utf-8")))
    yield from re.findall(r"\]\(([^)\s]+)\)", text)


@each("page", WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor and found.suffix == ".md":
            assert anchor in anchors(found), f"{page.name} links to {target}"


def test_every_page_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    ahead = [DOCS / "index.md"]
    while ahead:
        page = ahead.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        ahead += [
            (page.parent / link.partition("#")[0]).resolve() for link in links(page) if not link.startswith("http")
        ]
    ours = {path for path in DOCS.rglob("*.md") if path.parent.name != "decisions"}
    assert ours <= seen, sorted(str(path) for path in ours - seen)


FORBIDDEN = re.compile(
    r"\bsessions?\b|\bagents?\b|design document|(?<![\w&])#\d+\b|/work/|/root/|pypi\.org|pythonhosted", re.IGNORECASE
)


@each("page", WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_speak_of_the_project_alone(page: Path) -> None:
    found = FORBIDDEN.search(page.read_text(encoding="utf-8"))
    assert found is None, f"{page.name} says {found and found[0]!r}"
