"""`inspection-accuracy`: which malicious files each scanner stops, and which honest ones."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from benchmarks.measure import MIB, ROOT, BenchmarkFailed, Cell, Outcome, Target
from benchmarks.scanners import (
    CASE,
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
        answers = asked(cases, notes, setting)
        ours = answers[ALL]
        wrong, sampled = (
            [(case, said[case.key]) for case in cases if case.key in said and is_wrong(case, said[case.key])]
            for said in (ours, answers[OURS])
        )
        return Outcome(
            "inspection-accuracy",
            "Malicious files stopped and honest files stopped, of each class",
            table(cases, answers),
            targets(cases, ours),
            [*notes_of(setting.sample), *notes],
            details={
                "sample": setting.sample,
                "scanners": {scanner.name: told_of(scanner) for scanner in (WEIGHBRIDGE, *SCANNERS)},
                "cases": sizes(cases),
                "answers": counts(cases, answers),
                "cost": costs(answers),
                "misses": [told(case, found) for case, found in wrong if case.side == "malicious"],
                "false alarms": [told(case, found) for case, found in wrong if case.side == "benign"],
                "wrong in the sample": [told(case, found) | {"side": case.side} for case, found in sampled],
                "scatter": scatter(cases, answers),
            },
        )


def notes_of(sampled: int) -> tuple[str, ...]:
    """What must be known to read the table."""
    return (
        "Each cell: stopped of asked; `+n` more ended in an error: an exit code that says so, a crash, or a limit "
        f"({CASE.cpu_seconds} s of processor, {CASE.wall_seconds} s by the clock, {CASE.room_bytes >> 30} GiB).",
        "`stopped` is what the exit code of the scanner's own command line says at its default settings. Ours is every "
        "exit code from 11 to 14, and 4: could not judge.",
        f"All judge the same sample, chosen by the hash of the case's name: at most {sampled} of each class and side."
        if sampled
        else "All judge every case.",
        "`weighbridge, every case`: all cases, the engines for secrets and malware off, in one process; what has no "
        "number there (secrets, programs and commands) is the engines' to find. The bars are of this column.",
        "The hostile cases and our rules have the same authors: the column of ours is no estimate of recall in the "
        "field. Test files of peers were made by others.",
        "`policy` are honest files that by design need somebody's decision: Python and other programs that a model brings "
        "along, bytes of no known format, a card that quotes attacks to its reader.",
    )


def told_of(scanner: Scanner) -> dict[str, object]:
    """What a results file says of a scanner: what was run, and what it claims to read."""
    packages = ["this source"] if scanner.name == OURS else requirements()[scanner.environment]
    reads = None if scanner.reads is None else sorted(scanner.reads)
    return {"packages": packages, "arguments": scanner.arguments, "reads": reads}


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
    """At most `size` of each class and side, 0 for all, by the hash of their names.

    A larger sample holds every smaller one and begins with it: what was asked before a run was broken off serves.
    """
    groups: dict[tuple[str, str], list[Told]] = {}
    for case in cases:
        groups.setdefault((case.family, case.side), []).append(case)
    for group in groups.values():
        group.sort(key=lambda case: zlib.crc32(case.name.encode("utf-8", "surrogatepass")))
    ranked = [case for rank in zip_longest(*groups.values()) for case in rank if case is not None]
    places = {case.key: place for group in groups.values() for place, case in enumerate(group)}
    return {case.key: case.path for case in ranked if not size or places[case.key] < size}


def asked(cases: Sequence[Told], notes: list[str], setting: Setting) -> dict[str, dict[str, Judged]]:
    """What every scanner says of its cases, by the scanner's name. The slow ones begin, ours ends."""
    chosen = sample(cases, setting.sample)
    everything = {case.key: case.path for case in cases if case.family not in BY_ENGINES}

    def ask(scanner: Scanner | None) -> dict[str, Judged] | str:
        began = time.monotonic()
        try:
            if scanner is None:
                found = judge_in_one_process(everything, keep=True, fresh=setting.fresh)
            else:
                found = judge(scanner, chosen, keep=True, fresh=setting.fresh)
        except BenchmarkFailed as error:
            return str(error)
        name = ALL if scanner is None else scanner.name
        taken = time.monotonic() - began
        print(f"  {name}: {len(found)} cases in {taken:.0f} s", file=sys.stderr, flush=True)
        return found

    order = (*reversed(SCANNERS), None, WEIGHBRIDGE)
    with ThreadPoolExecutor(setting.jobs) as threads:
        said = dict(zip((ALL if one is None else one.name for one in order), threads.map(ask, order), strict=True))
    answers = {}
    for name in (OURS, *(scanner.name for scanner in SCANNERS), ALL):
        found = said[name]
        if not isinstance(found, str):
            answers[name] = found
        elif name in (OURS, ALL):
            raise BenchmarkFailed(f"our own scanner did not answer: {found}")
        else:
            notes.append(f"{name} was left out: {found.splitlines()[0]}")
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
            line: dict[str, Cell] = {"class": family, "side": side}
            rows.append(line | {name: cell(group, found) for name, found in columns.items()})
        if side != "policy" and chosen:
            named: dict[str, Cell] = {"class": f"**all {side}**", "side": side}
            rows.append(named | {name: percent(chosen, found) for name, found in columns.items()})
    return rows


def sizes(cases: Sequence[Told]) -> dict[str, dict[str, int]]:
    """How many cases there are of each class and side, before a sample is drawn."""
    found: dict[str, dict[str, int]] = {}
    for case in cases:
        sides = found.setdefault(case.family, {})
        sides[case.side] = sides.get(case.side, 0) + 1
    return found


def counts(cases: Sequence[Told], answers: Mapping[str, Mapping[str, Judged]]) -> dict[str, dict[str, object]]:
    """Stopped, errors and asked of each scanner, class and side."""
    families = dict.fromkeys((case.family, case.side) for case in cases)
    groups = {key: [case for case in cases if (case.family, case.side) == key] for key in families}
    found: dict[str, dict[str, object]] = {}
    for name, said in answers.items():
        lines: dict[str, dict[str, tuple[int, int, int]]] = {}
        for (family, side), group in groups.items():
            if (line := share(group, said))[2]:
                lines.setdefault(family, {})[side] = line
        found[name] = dict(lines)
    return found


def costs(answers: Mapping[str, Mapping[str, Judged]]) -> dict[str, dict[str, float]]:
    """What the cases cost each scanner: processor seconds together, of half of them at most, and of the slowest."""
    found: dict[str, dict[str, float]] = {}
    for name, said in answers.items():
        spent = sorted(one.cpu_seconds for one in said.values())
        peak = max(one.peak_bytes for one in said.values()) / MIB
        line = {"files": len(spent), "CPU s": sum(spent), "median": statistics.median(spent), "slowest": spent[-1]}
        found[name] = {key: round(value, 3) for key, value in (line | {"peak MiB": peak}).items()}
    return found


def scatter(cases: Sequence[Told], answers: Mapping[str, Mapping[str, Judged]]) -> list[dict[str, Cell]]:
    """Recall and false alarms of each scanner, in per cent: over everything, and over the classes it claims to read."""
    reads = {scanner.name: scanner.claims for scanner in SCANNERS}
    found = []
    for name, said in answers.items():
        line: dict[str, Cell] = {"what": name}
        for side in ("malicious", "benign"):
            group = [case for case in cases if case.side == side]
            for key, chosen in (
                (side, group),
                (f"{side} claimed", [case for case in group if name not in reads or reads[name](case.family)]),
            ):
                stopped, errors, asked_for = share(chosen, said)
                line[key] = round(100 * stopped / max(1, asked_for), 2)
                line[f"{key} errors"] = round(100 * errors / max(1, asked_for), 2)
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
