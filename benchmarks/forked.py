"""Runs a scanner's own command line over many cases: imported once, then one forked process for each case.

Run as a file by each scanner's own interpreter, so it knows nothing but the standard library:
`python forked.py MODULE:FUNCTION WALL CPU BYTES [MODULE ...] < QUESTIONS > ANSWERS`: a case may take WALL seconds, CPU
seconds of processor in each of its processes, and BYTES of address space. A question is a JSON list
`[id, [argument, ...]]`; an answer is `[id, said, wall seconds, CPU seconds, peak bytes]`, where `said` is the exit code
or one of the words below. A second line of defence against whatever a scanner does with hostile bytes is up to whoever
runs this; nothing is unpickled here.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import time

LATE, BUSY, FULL, CRASHED, KILLED = "timed out", "out of CPU time", "out of memory", "crashed", "killed"
_FULL, _CRASHED = 96, 98


def main() -> int:
    """Answers every question."""
    # What lies beside this file shall not stand before a scanner's own modules.
    sys.path.append(sys.path.pop(0))
    entry, wall, cpu, room, *preload = sys.argv[1:]
    module, _, function = entry.partition(":")
    call = getattr(importlib.import_module(module), function)
    for name in preload:
        importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        case, arguments = json.loads(line)
        json.dump([case, *_ask(call, arguments, float(wall), (int(cpu), int(room)))], answers)
        answers.write("\n")
        answers.flush()
    return 0


def _ask(
    call: object, arguments: list[str], seconds: float, limits: tuple[int, int]
) -> tuple[int | str, float, float, int]:
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    child = os.fork()
    if child == 0:
        _become(call, arguments, limits)
    status = None
    while status is None and time.monotonic() - began < seconds:
        done, found, usage = os.wait4(child, os.WNOHANG)
        if done:
            status = found
        else:
            time.sleep(0.002)
    late = status is None
    # Also what the case has started and left behind.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if status is None:
        _, status, usage = os.wait4(child, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    said = LATE if late else _said(os.waitstatus_to_exitcode(status))
    return said, round(time.monotonic() - began, 4), round(cpu, 4), usage.ru_maxrss * 1024


def _said(code: int) -> int | str:
    if code < 0:
        return BUSY if -code == signal.SIGXCPU else KILLED
    return {_FULL: FULL, _CRASHED: CRASHED}.get(code, code)


def _become(call: object, arguments: list[str], limits: tuple[int, int]) -> None:
    code = 97
    try:
        os.setpgid(0, 0)
        cpu, room = limits
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 5))
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        os.chdir(tempfile.gettempdir())
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
        sys.argv = arguments
        answered = call()  # type: ignore[operator]
        code = answered if isinstance(answered, int) else 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except MemoryError:
        code = _FULL
    except BaseException:  # noqa: BLE001 (whatever a scanner raises is its answer)
        code = _CRASHED
    finally:
        os._exit(code & 0xFF)


if __name__ == "__main__":
    sys.exit(main())
