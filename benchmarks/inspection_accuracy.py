"""`inspection-accuracy`: which malicious files each scanner stops, and which honest ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import ROOT, BenchmarkFailed, Cell, Outcome, Target
from benchmarks.scanners import (
    OURS,
    SCANNERS,
    WEIGHBRIDGE,
    Judged,
    Scanner,
    build,
    judge,
    judge_in_one_process,
    requirements,
)
from benchmarks.setting import Setting
from benchmarks.tools import HOME

CORPUS = Path(__file__).with_name("corpus.txt")
PUBLISHED = ("modelaudit", "picklescan", "hayward", "purser", "modelscan", "fickling", "aisbom")
UNSEEN = "unseen"
ALL = "weighbridge, every case"
BY_ENGINES = ("secrets", "programs and commands")
"""Classes that the engines for content judge, not the inspectors of structure."""
MALICIOUS_BAR, BENIGN_BAR, UNSEEN_BAR = 99.5, 0.5, 5.0


@dataclass(frozen=True, slots=True)
class Told:
    """One line of `cases.jsonl`, and where the file lies."""

    key: str
    family: str
    name: str
    side: str
    path: Path


def measure(setting: Setting) -> Outcome:
    """Collects the cases and asks every scanner."""
    with tempfile.TemporaryDirectory(prefix="weighbridge-cases-") as scratch:
        notes: list[str] = []
        cases = collect(Path(scratch), notes, corpus_python=setting.corpus_python)
        answers = asked(cases, notes)
        ours = answers[ALL]
        wrong = [(case, ours[case.key]) for case in cases if case.key in ours and is_wrong(case, ours[case.key])]
        return Outcome(
            "inspection-accuracy",
            "Malicious files stopped and honest files stopped, of each class",
            table(cases, answers),
            targets(cases, ours),
            [*NOTES, *notes],
            details={
                "misses": [told(case, found) for case, found in wrong if case.side == "malicious"],
                "false alarms": [told(case, found) for case, found in wrong if case.side == "benign"],
                "scatter": scatter(cases, answers),
            },
        )


NOTES = (
    "Each cell: stopped of asked; `+n` more ended in an error (crash, time-out of 30 s, or an exit code that says so).",
    "`stopped` is what the exit code of the scanner's own command line says at its default settings. Ours is every exit "
    "code from 11 to 14, and 4: could not judge.",
    "All judge a sample that is chosen by the hash of the case's name: at most 25 of each class and side, purser 12.",
    "`weighbridge, every case`: all cases, the engines for secrets and malware off, in one process; what has no number "
    "there (secrets, programs and commands) is the engines' to find. The bars are of this column.",
    "The hostile cases and our rules have the same authors: the column of ours is no estimate of recall in the field. "
    "Test files of peers were made by others.",
    "`policy` are honest files that by design need somebody's decision: Python that a model brings along.",
)


def collect(folder: Path, notes: list[str], *, corpus_python: Path | None) -> list[Told]:
    """Writes the cases, in processes of their own: this one stays small."""
    assets = folder / "published"
    assets.mkdir()
    for name in PUBLISHED:
        if why := _unpack_published(name, assets):
            notes.append(f"{name}: {why}")
    told_by = _collector(folder / "cases", ["benchmarks.cases", "--assets", str(assets)], Path(sys.executable), notes)
    try:
        python = corpus_python or build(HOME / "corpus", _corpus()) / "python"
        told_by += _collector(folder / "unseen", ["benchmarks.unseen"], python, notes)
    except BenchmarkFailed as error:
        notes.append(f"no unseen files: {error}")
    return told_by


def _corpus() -> list[str]:
    return [line for line in CORPUS.read_text().splitlines() if line and not line.startswith("#")]


def _collector(out: Path, words: Sequence[str], python: Path, notes: list[str]) -> list[Told]:
    module, *more = words
    done = subprocess.run(
        [python, "-m", module, out, *more], cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ
    )
    if done.returncode:
        raise BenchmarkFailed(f"{module} ended with {done.returncode}\n{done.stderr[-2000:]}")
    notes += [line for line in done.stdout.splitlines() if line.startswith("not collected")]
    found = []
    for line in (out / "cases.jsonl").read_text().splitlines():
        case = json.loads(line)
        path = out / case["id"] / case["path"]
        found.append(Told(f"{out.name}/{case['id']}", case["family"], case["name"], case["side"], path))
    return found


def _unpack_published(name: str, out: Path) -> str:
    """Unpacks the test assets in a peer's source distribution; why there are none, or ""."""
    held = HOME / "published" / name
    package = next(one for one in requirements()[name] if "==" in one).partition("[")
    wanted = package[0] + ("==" + package[2].rpartition("==")[2] if package[2] else "")
    if not held.is_dir():
        held.mkdir(parents=True)
        python = build(HOME / "downloader", ["pip==26.2", "hatchling==1.32.0"]) / "python"
        command: list[str | Path] = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*command, "--dest", held, wanted], check=False, capture_output=True, text=True)
    archives = list(held.glob("*.tar.gz"))
    if not archives:
        return "its source distribution could not be had"
    count = 0
    for archive in archives:
        with tarfile.open(archive) as members:
            for member in members:
                if member.isfile() and "/tests/assets/" in member.name:
                    members.extract(member, out / name, filter="data")
                    count += 1
    return "" if count else "its source distribution brings no test files, only programs that make them"


# --- asking --------------------------------------------------------------------------------------


def sample(cases: Sequence[Told], size: int) -> dict[str, Path]:
    """At most `size` of each class and side, by the hash of their names; a larger sample holds every smaller one."""
    groups: dict[tuple[str, str], list[Told]] = {}
    for case in cases:
        groups.setdefault((case.family, case.side), []).append(case)
    found = {}
    for group in groups.values():
        group.sort(key=lambda case: zlib.crc32(case.name.encode("utf-8", "surrogatepass")))
        found |= {case.key: case.path for case in (group[:size] if size else group)}
    return found


def asked(cases: Sequence[Told], notes: list[str]) -> dict[str, dict[str, Judged]]:
    """What every scanner says of its cases, by the scanner's name. Two scanners work at a time."""

    def ask(scanner: Scanner) -> tuple[str, dict[str, Judged] | str]:
        try:
            found = judge(scanner, sample(cases, scanner.sampled))
        except BenchmarkFailed as error:
            return scanner.name, str(error)
        print(f"  {scanner.name}: {len(found)} cases", file=sys.stderr, flush=True)
        return scanner.name, found

    def ask_all() -> dict[str, Judged]:
        return judge_in_one_process({case.key: case.path for case in cases if case.family not in BY_ENGINES})

    answers = {}
    with ThreadPoolExecutor(2) as threads:
        everything = threads.submit(ask_all)
        for name, found in threads.map(ask, (WEIGHBRIDGE, *SCANNERS)):
            if isinstance(found, str):
                notes.append(f"{name} was left out: {found.splitlines()[0]}")
            else:
                answers[name] = found
        answers[ALL] = everything.result()
    if OURS not in answers:
        raise BenchmarkFailed(f"our own scanner did not answer: {notes[-1]}")
    return answers


# --- counting ------------------------------------------------------------------------------------


def is_wrong(case: Told, found: Judged) -> bool:
    """Whether a malicious file was let in, or an honest one was not."""
    return (found.answer == "passed") is (case.side == "malicious") and case.side != "policy"


def told(case: Told, found: Judged) -> dict[str, object]:
    """One miss or false alarm, for the results file."""
    return {"family": case.family, "name": case.name, "file": case.path.name, "exit": found.code}


def share(cases: Sequence[Told], found: Mapping[str, Judged]) -> tuple[int, int, int]:
    """How many were stopped, how many ended in an error, and of how many."""
    answers = [found[case.key].answer for case in cases if case.key in found]
    return answers.count("stopped"), answers.count("error"), len(answers)


def cell(cases: Sequence[Told], found: Mapping[str, Judged]) -> str:
    """As it stands in the table."""
    stopped, errors, asked_for = share(cases, found)
    if not asked_for:
        return ""
    return f"{stopped}/{asked_for}" + (f" +{errors}" if errors else "")


def percent(cases: Sequence[Told], found: Mapping[str, Judged]) -> str:
    """As `cell`, in per cent."""
    stopped, errors, asked_for = share(cases, found)
    if not asked_for:
        return ""
    return f"{100 * stopped / asked_for:.1f} %" + (f" +{100 * errors / asked_for:.1f}" if errors else "")


def table(cases: Sequence[Told], answers: Mapping[str, Mapping[str, Judged]]) -> list[dict[str, Cell]]:
    """One row for each class and side, and the sums."""
    columns = {name: answers[name] for name in (ALL, OURS)} | dict(answers)
    rows: list[dict[str, Cell]] = []
    for side in ("malicious", "benign", "policy"):
        chosen = [case for case in cases if case.side == side]
        for family in dict.fromkeys(case.family for case in chosen):
            group = [case for case in chosen if case.family == family]
            rows.append({"class": family, "side": side} | {name: cell(group, found) for name, found in columns.items()})
        if side != "policy" and chosen:
            named: dict[str, Cell] = {"class": f"**all {side}**", "side": side}
            rows.append(named | {name: percent(chosen, found) for name, found in columns.items()})
    return rows


def scatter(cases: Sequence[Told], answers: Mapping[str, Mapping[str, Judged]]) -> list[dict[str, Cell]]:
    """Recall and false alarms of each scanner, in per cent, over all classes and over the pickles alone."""
    found = []
    for name, said in answers.items():
        line: dict[str, Cell] = {"what": name}
        for side in ("malicious", "benign"):
            stopped, errors, asked_for = share([case for case in cases if case.side == side], said)
            line[side] = round(100 * stopped / max(1, asked_for), 2)
            line[f"{side} errors"] = round(100 * errors / max(1, asked_for), 2)
        found.append(line)
    return found


def targets(cases: Sequence[Told], ours: Mapping[str, Judged]) -> list[Target]:
    """The bars of the project: stopped is all that does not exit with 0."""
    found = []
    for name, side, unseen, sense, bound in (
        ("malicious stopped", "malicious", False, "at least", MALICIOUS_BAR),
        ("honest stopped", "benign", False, "at most", BENIGN_BAR),
        ("unseen honest stopped", "benign", True, "at most", UNSEEN_BAR),
    ):
        group = [case for case in cases if case.side == side and case.family.startswith(UNSEEN) is unseen]
        if group:
            stopped, errors, asked_for = share(group, ours)
            value = 100 * (stopped + errors) / asked_for
            found.append(Target(name, value, "at least" if sense == "at least" else "at most", bound, "%"))
    return found
