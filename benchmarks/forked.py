"""Runs a scanner's own command line over many cases: imported once, then one forked process for each case.

Run as a file by each scanner's own interpreter, so it knows nothing but the standard library:
`python forked.py MODULE:FUNCTION SECONDS < QUESTIONS > ANSWERS`. A question is a JSON list `[id, [argument, ...]]`; an
answer is `[id, exit code or "timed out" or "killed", wall seconds, CPU seconds]`. A second line of defence against
whatever a scanner does with hostile bytes is up to whoever runs this; nothing is unpickled here.
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


def main() -> int:
    """Answers every question."""
    entry, seconds, *preload = sys.argv[1:]
    module, _, function = entry.partition(":")
    call = getattr(importlib.import_module(module), function)
    for name in preload:
        importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        case, arguments = json.loads(line)
        json.dump([case, *_ask(call, arguments, float(seconds))], answers)
        answers.write("\n")
        answers.flush()
    return 0


def _ask(call: object, arguments: list[str], seconds: float) -> tuple[object, float, float]:
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    child = os.fork()
    if child == 0:
        _become(call, arguments)
    status = None
    while status is None and time.monotonic() - began < seconds:
        done, found = os.waitpid(child, os.WNOHANG)
        if done:
            status = found
        else:
            time.sleep(0.002)
    late = status is None
    # Also what the case has started and left behind.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if status is None:
        _, status = os.waitpid(child, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    code = os.waitstatus_to_exitcode(status)
    said: object = "timed out" if late else "killed" if code < 0 else code
    return said, round(time.monotonic() - began, 4), round(cpu, 4)


def _become(call: object, arguments: list[str]) -> None:
    code = 97
    try:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
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
    except BaseException:  # noqa: BLE001 (whatever a scanner raises is its answer)
        code = 98
    finally:
        os._exit(code & 0xFF)


if __name__ == "__main__":
    sys.exit(main())
