"""The scanners that ours is compared with: their environments, command lines, what their exit codes say, what they read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from benchmarks.answers import Kept, digest, own_source
from benchmarks.measure import ROOT, BenchmarkFailed, clean_environment
from benchmarks.tools import HOME

REQUIREMENTS = Path(__file__).with_name("scanners.txt")
OURS = "weighbridge"
PROGRESS_SECONDS = 15.0

Answer = Literal["stopped", "passed", "error"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one case may take: seconds by the clock, seconds of processor in each process, bytes of address space.

    On a busy machine the clock runs faster than the work; so the processor's seconds are what ends a case, and the clock
    only what waits for ever.
    """

    wall_seconds: int
    cpu_seconds: int
    room_bytes: int


CASE = Limits(150, 30, 8 << 30)

PICKLES = frozenset({"pickle streams", "published pickle bypasses", "torch archives"})
"""The classes of hostile files that are pickles; everything that libraries wrote counts with them."""
WRITTEN = ("honest: ", "kept apart: ", "unseen: ")
GRAPHS = frozenset({"hdf5 and keras", "tensorflow"})


@dataclass(frozen=True, slots=True)
class Scanner:
    """`arguments` follow the program's name, with {} for the path. Exit codes that are in neither list are errors.

    `reads` are the classes of which its own documentation says that it looks for something in them; None for all.
    """

    name: str
    environment: str
    entry: str
    arguments: tuple[str, ...]
    stops: tuple[int, ...]
    passes: tuple[int, ...]
    reads: frozenset[str] | None = PICKLES
    preload: tuple[str, ...] = ()

    def claims(self, family: str) -> bool:
        """Whether a class is one that its documentation names, wholly or in large part."""
        if self.reads is None or family in self.reads or family == "test files of peers":
            return True
        return family.startswith(WRITTEN) and bool(self.reads & PICKLES)

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
    reads=None,
    preload=("weighbridge.cli.commands.scan", "weighbridge.transfer.scan", "weighbridge.sandbox.pool"),
)
FICKLING = ("--check-safety", "{}", "--json-output", os.devnull)
AISBOM = PICKLES | {"numpy", "hdf5 and keras", "onnx", "gguf"}
MODELAUDIT = PICKLES | GRAPHS
MODELAUDIT |= {"numpy", "archives", "safetensors", "gguf", "flax", "onnx", "configurations", "chat templates"}
MODELAUDIT |= {"cards and requirements", "other families", "secrets"}
HAYWARD = PICKLES | GRAPHS | {"numpy", "archives", "safetensors", "gguf", "onnx", "configurations", "chat templates"}
PURSER = PICKLES | GRAPHS | {"numpy", "safetensors", "gguf", "onnx", "configurations", "python code", "secrets"}
# It refuses to write to a device; what it prints goes to one.
MODELAUDIT_WORDS = ("scan", "{}", "--no-cache", "--quiet", "--format", "json")
MODELAUDIT_MODULES = ("modelaudit.cli", "modelaudit.core")

SCANNERS = (
    Scanner(
        "picklescan", "picklescan", "picklescan.cli:main", ("-p", "{}", "-l", "ERROR"), (1,), (0,), PICKLES | {"numpy"}
    ),
    Scanner(
        "picklescan --strict",
        "picklescan",
        "picklescan.cli:main",
        ("--strict", "-p", "{}", "-l", "ERROR"),
        (1,),
        (0,),
        PICKLES | {"numpy"},
    ),
    Scanner("fickling", "fickling", "fickling.__main__:main", FICKLING, (1,), (0,)),
    Scanner("fickling, as a library", "fickling", "fickling_api:main", ("{}",), (1,), (0,)),
    # 3 says that no file was of a kind it inspects.
    Scanner(
        "modelscan",
        "modelscan",
        "modelscan.cli:main",
        ("scan", "-p", "{}", "-l", "ERROR"),
        (1,),
        (0, 3),
        # SavedModel as well where TensorFlow is installed, which it is not here.
        PICKLES | {"numpy", "hdf5 and keras"},
    ),
    Scanner("hayward", "hayward", "hayward.cli:main", ("scan", "--quiet", "{}"), (1,), (0,), HAYWARD),
    Scanner("aisbom", "aisbom", "aisbom.cli:app", ("scan", "{}", "--output", os.devnull), (2,), (0,), AISBOM),
    Scanner(
        "aisbom --strict",
        "aisbom",
        "aisbom.cli:app",
        ("scan", "{}", "--strict", "--output", os.devnull),
        (2,),
        (0,),
        AISBOM,
    ),
    Scanner("purser", "purser", "purser.cli:main", ("scan", "{}"), (1, 2), (0,), PURSER),
    Scanner(
        "modelaudit",
        "modelaudit",
        "modelaudit.__main__:_run",
        MODELAUDIT_WORDS,
        (1,),
        (0,),
        MODELAUDIT,
        MODELAUDIT_MODULES,
    ),
    # Its verdict depends on what the machine has installed.
    Scanner(
        "modelaudit, torch installed",
        "modelaudit-torch",
        "modelaudit.__main__:_run",
        MODELAUDIT_WORDS,
        (1,),
        (0,),
        MODELAUDIT,
        (*MODELAUDIT_MODULES, "torch"),
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
    peak_bytes: int = 0


def judge(
    scanner: Scanner, paths: Mapping[str, Path], *, limits: Limits = CASE, keep: bool = False, fresh: bool = False
) -> dict[str, Judged]:
    """What a scanner says of each path, by its key. One that did not come to an answer says `error`.

    With `keep`, what it said of the same file before is taken, unless `fresh`, and what it says is kept.

    Raises:
        BenchmarkFailed: it cannot be installed or started.
    """
    command: list[str | Path] = [interpreter(scanner), Path(__file__).with_name("forked.py"), scanner.entry]
    command += [str(limits.wall_seconds), str(limits.cpu_seconds), str(limits.room_bytes), *scanner.preload]
    questions: dict[str, object] = {case: scanner.words(path) for case, path in paths.items()}
    source = own_source() if scanner.name == OURS else requirements()[scanner.environment]
    asked_as = [source, scanner.entry, scanner.arguments, scanner.preload, asdict(limits), sys.version]
    kept = Kept(scanner.name, asked_as) if keep else None
    return _judged(scanner, command, questions, paths, kept, fresh=fresh)


def judge_in_one_process(paths: Mapping[str, Path], *, keep: bool = False, fresh: bool = False) -> dict[str, Judged]:
    """What our inspectors say of each path, the engines for content aside.

    Raises:
        BenchmarkFailed: they did not answer.
    """
    questions: dict[str, object] = {case: str(path) for case, path in paths.items()}
    kept = Kept("weighbridge in one process", [own_source(), sys.version]) if keep else None
    command = [sys.executable, "-m", "benchmarks.one_process"]
    return _judged(WEIGHBRIDGE, command, questions, paths, kept, fresh=fresh)


def _judged(
    scanner: Scanner,
    command: Sequence[str | Path],
    questions: Mapping[str, object],
    paths: Mapping[str, Path],
    kept: Kept | None,
    *,
    fresh: bool,
) -> dict[str, Judged]:
    digests = {case: digest(path) for case, path in paths.items()} if kept is not None else {}
    found: dict[str, Judged] = {}
    if kept is not None and not fresh:
        for case, mark in digests.items():
            if (known := kept.get(mark)) is not None:
                found[case] = Judged(scanner.says(known[0]), *known)
    left = {case: question for case, question in questions.items() if case not in found}
    if left:
        print(f"  {scanner.name}: {len(left)} to ask, {len(found)} known", file=sys.stderr, flush=True)
    for case, answer in _answers(scanner.name, command, left):
        found[case] = Judged(scanner.says(answer[0]), *answer)
        if kept is not None:
            kept.keep(digests[case], answer)
    return found


def _answers(
    name: str, command: Sequence[str | Path], questions: Mapping[str, object]
) -> Iterator[tuple[str, tuple[int | str, float, float, int]]]:
    """Each answer as it comes, and a line of progress now and then."""
    if not questions:
        return
    said, told_at = 0, time.monotonic()
    with (
        quiet_environment() as variables,
        tempfile.TemporaryFile("w+") as asking,
        tempfile.TemporaryFile("w+") as complained,
    ):
        asking.writelines(json.dumps([case, question]) + "\n" for case, question in questions.items())
        asking.seek(0)
        with subprocess.Popen(
            command, stdin=asking, stdout=subprocess.PIPE, stderr=complained, text=True, env=variables, cwd=ROOT
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    case, *answer = json.loads(line)
                    said += 1
                    if time.monotonic() - told_at > PROGRESS_SECONDS:
                        told_at = time.monotonic()
                        print(f"  {name}: {said} of {len(questions)}", file=sys.stderr, flush=True)
                    yield case, (answer[0], answer[1], answer[2], answer[3])
            except BaseException:
                process.kill()
                raise
        if said < len(questions):
            complained.seek(0)
            raise BenchmarkFailed(f"{name} did not answer {len(questions) - said} cases\n{complained.read()[-2000:]}")


def counted(judged: Sequence[Judged]) -> Counter[Answer]:
    """How often each answer was given."""
    return Counter(one.answer for one in judged)
