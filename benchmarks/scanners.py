"""The scanners that ours is compared with: their environments, their command lines, and what their exit codes say."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.measure import ROOT, BenchmarkFailed, clean_environment
from benchmarks.tools import HOME

REQUIREMENTS = Path(__file__).with_name("scanners.txt")
CASE_SECONDS = 30.0
OURS = "weighbridge"

Answer = Literal["stopped", "passed", "error"]


@dataclass(frozen=True, slots=True)
class Scanner:
    """`arguments` follow the program's name, with {} for the path. Exit codes that are in neither list are errors.

    All are given a sample of the cases, the slow ones a sample of that: `sampled` of each class and side at most; 0 for
    all.
    """

    name: str
    environment: str
    entry: str
    arguments: tuple[str, ...]
    stops: tuple[int, ...]
    passes: tuple[int, ...]
    sampled: int = 25
    preload: tuple[str, ...] = ()

    def says(self, code: int | str) -> Answer:
        """What an exit code means to whoever waits for it."""
        return "stopped" if code in self.stops else "passed" if code in self.passes else "error"

    def words(self, path: Path) -> list[str]:
        """The command line for one path."""
        return [self.environment, *(word.replace("{}", str(path)) for word in self.arguments)]


WEIGHBRIDGE = Scanner(
    OURS,
    OURS,
    "weighbridge.cli.app:entry_point",
    ("scan", "{}", "--quiet"),
    (4, 11, 12, 13, 14),
    (0,),
    preload=("weighbridge.cli.commands.scan", "weighbridge.transfer.scan", "weighbridge.sandbox.pool"),
)
SCANNERS = (
    Scanner("picklescan", "picklescan", "picklescan.cli:main", ("-p", "{}", "-l", "ERROR"), (1,), (0,)),
    Scanner(
        "picklescan --strict", "picklescan", "picklescan.cli:main", ("--strict", "-p", "{}", "-l", "ERROR"), (1,), (0,)
    ),
    Scanner(
        "fickling",
        "fickling",
        "fickling.__main__:main",
        ("--check-safety", "{}", "--json-output", os.devnull),
        (1,),
        (0,),
    ),
    # 3 says that no file was of a kind it inspects.
    Scanner("modelscan", "modelscan", "modelscan.cli:main", ("scan", "-p", "{}", "-l", "ERROR"), (1,), (0, 3)),
    Scanner("hayward", "hayward", "hayward.cli:main", ("scan", "--quiet", "{}"), (1,), (0,)),
    Scanner("aisbom", "aisbom", "aisbom.cli:app", ("scan", "{}", "--output", os.devnull), (2,), (0,)),
    Scanner("purser", "purser", "purser.cli:main", ("scan", "{}"), (1, 2), (0,), sampled=12),
    Scanner(
        "modelaudit",
        "modelaudit",
        "modelaudit.__main__:_run",
        # It refuses to write to a device; what it prints goes to one.
        ("scan", "{}", "--no-cache", "--quiet", "--format", "json"),
        (1,),
        (0,),
        preload=("modelaudit.cli", "modelaudit.core"),
    ),
)


def requirements() -> dict[str, list[str]]:
    """What each environment holds, by its name."""
    lines = [line for line in REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")]
    return {name: packages.split() for name, _, packages in (line.partition(":") for line in lines)}


def environment(name: str) -> Path:
    """The `bin` folder of a scanner's environment; built once for each version by `uv`, else by `venv` and `pip`.

    Raises:
        BenchmarkFailed: it cannot be installed.
    """
    return build(HOME / "scanners" / name, requirements()[name])


def build(folder: Path, packages: Sequence[str]) -> Path:
    """The `bin` folder of an environment with these packages; what is there already is used.

    Raises:
        BenchmarkFailed: it cannot be installed.
    """
    wanted = hashlib.sha256("\n".join(packages).encode()).hexdigest()
    stamp = folder / "built-from"
    if stamp.exists() and stamp.read_text() == wanted:
        return folder / "bin"
    print(f"building the environment {folder.name} ...", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    python = folder / "bin" / "python"
    uv = shutil.which("uv")
    installer: list[str | Path] = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([*installer, "--quiet", *packages], check=True)
    except (subprocess.CalledProcessError, OSError) as error:
        raise BenchmarkFailed(f"{folder.name} cannot be installed: {error}") from error
    # Without compiled modules a scanner would be charged for compiling itself.
    subprocess.run([python, "-m", "compileall", "-q", folder / "lib"], check=False, stdout=subprocess.DEVNULL)
    stamp.write_text(wanted)
    return folder / "bin"


def interpreter(scanner: Scanner) -> Path:
    """The interpreter that has the scanner."""
    return Path(sys.executable) if scanner.name == OURS else environment(scanner.environment) / "python"


@contextmanager
def quiet_environment() -> Iterator[dict[str, str]]:
    """Variables for a process that shall not steer by this machine's settings, write anywhere, or call home."""
    with tempfile.TemporaryDirectory(prefix="weighbridge-scanners-") as home:
        yield clean_environment(
            HOME=home,
            TMPDIR=home,
            WEIGHBRIDGE_HOME=f"{home}/weighbridge",
            CI="1",
            DO_NOT_TRACK="1",
            PROMPTFOO_DISABLE_TELEMETRY="1",
            AISBOM_NO_TELEMETRY="1",
            HTTP_PROXY="http://127.0.0.1:9",
            HTTPS_PROXY="http://127.0.0.1:9",
            PYTHONDONTWRITEBYTECODE="1",
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """What a scanner said of one case: its exit code, or why there is none."""

    answer: Answer
    code: int | str
    wall_seconds: float
    cpu_seconds: float


def judge(scanner: Scanner, paths: dict[str, Path], *, seconds: float = CASE_SECONDS) -> dict[str, Judged]:
    """What a scanner says of each path, by its key. One that did not come to an answer says `error`.

    Raises:
        BenchmarkFailed: it cannot be installed or started.
    """
    questions = [[case, scanner.words(path)] for case, path in paths.items()]
    command: list[str | Path] = [interpreter(scanner), Path(__file__).with_name("forked.py"), scanner.entry]
    return _answers(scanner, [*command, str(seconds), *scanner.preload], questions)


def judge_in_one_process(paths: dict[str, Path]) -> dict[str, Judged]:
    """What our inspectors say of each path, the engines for content aside.

    Raises:
        BenchmarkFailed: they did not answer.
    """
    questions = [[case, str(path)] for case, path in paths.items()]
    return _answers(WEIGHBRIDGE, [sys.executable, "-m", "benchmarks.one_process"], questions)


def _answers(scanner: Scanner, command: Sequence[str | Path], questions: Sequence[list[object]]) -> dict[str, Judged]:
    with quiet_environment() as variables, tempfile.TemporaryFile("w+") as complained:
        process = subprocess.run(
            command,
            input="".join(json.dumps(question) + "\n" for question in questions),
            text=True,
            stdout=subprocess.PIPE,
            stderr=complained,
            env=variables,
            check=False,
            cwd=ROOT,
        )
        complained.seek(0)
        told = complained.read()[-2000:]
    found = {}
    for line in process.stdout.splitlines():
        case, code, wall, cpu = json.loads(line)
        found[case] = Judged(scanner.says(code), code, wall, cpu)
    if missing := {question[0] for question in questions} - set(found):
        raise BenchmarkFailed(f"{scanner.name} did not answer {len(missing)} cases\n{told}")
    return found


def counted(judged: Sequence[Judged]) -> Counter[Answer]:
    """How often each answer was given."""
    return Counter(one.answer for one in judged)
