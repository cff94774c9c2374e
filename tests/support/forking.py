"""Runs `weighbridge` in a process of its own without starting an interpreter for it: a template process forks.

Most of a short command is imports. One template per test process imports what commands import, once, and forks for each
command; the child then has a command's own arguments, environment, folder and pipes, runs `weighbridge`'s own `main`, waits for its
threads and runs what was to run at exit. It is a process like any other: it can be signalled and killed, and is waited for.

Rules:

- nothing that reads the environment when it is imported, and nothing that starts threads, is imported ahead (see `LATE`);
- who changes Python's own settings (`PYTHON...`) needs a fresh interpreter: `fits` says so.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

LATE = ("weighbridge.__main__", "weighbridge.store.migrations", "weighbridge.source.hub")
"""What of weighbridge is not imported ahead: programs, and what brings `huggingface_hub`."""
ALSO = (
    "sqlalchemy.dialects.sqlite.pysqlite",
    "sqlalchemy.dialects.postgresql.psycopg",
    "psycopg",
    "httpx2",
    "httpcore2",
    "filelock",
    "yara_x",
    "html",
    "decimal",
    "rich.table",
    "rich.progress",
    "yaml",
    "jinja2",
)
_ENOUGH = 1 << 20


# --- the template -------------------------------------------------------------------------------


def _import_ahead() -> None:
    import weighbridge

    for found in pkgutil.walk_packages(weighbridge.__path__, "weighbridge."):
        if not found.name.startswith(LATE):
            # What is missing or broken is so for the command as well, which then says so.
            with contextlib.suppress(Exception):
                importlib.import_module(found.name)
    for name in ALSO:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    assert "huggingface_hub" not in sys.modules, "it reads its settings when it is imported"
    assert len(os.listdir("/proc/self/task")) == 1, "a process with threads must not fork"


def serve(control: socket.socket) -> list[str] | None:
    """Forks for each request; returns the arguments in a child, and None when nobody asks any more."""
    children: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    handle = int(key.fd)
                    selector.unregister(handle)
                    child, reply = children.pop(handle)
                    _, status = os.waitpid(child, 0)
                    with contextlib.suppress(OSError):
                        reply.send(str(os.waitstatus_to_exitcode(status)).encode())
                    reply.close()
                    os.close(handle)
                    continue
                message, descriptors, _, _ = socket.recv_fds(control, _ENOUGH, 3)
                if not message:
                    return None
                child = os.fork()
                if child == 0:
                    return _become(json.loads(message), descriptors)
                out, err, back = descriptors
                os.close(out)
                os.close(err)
                reply = socket.socket(fileno=back)
                handle = os.pidfd_open(child)
                reply.send(str(child).encode())
                children[handle] = (child, reply)
                selector.register(handle, selectors.EVENT_READ)


def _become(asked: Mapping[str, Any], descriptors: Sequence[int]) -> list[str]:
    """Makes this process the one that was asked for."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, standard in ((nothing, 0), (descriptors[0], 1), (descriptors[1], 2)):
        os.dup2(descriptor, standard)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments: list[str] = asked["arguments"]
    return arguments


def main() -> int:
    """The template process: its socket is the one that its argument names."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _import_ahead()
    gc.collect()
    gc.freeze()
    arguments = serve(socket.socket(fileno=int(sys.argv[1])))
    if arguments is None:
        return 0
    from weighbridge.cli.app import main as weighbridge

    sys.argv = ["weighbridge", *arguments]
    code = weighbridge()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    # Taking a thousand modules apart costs more than a short command.
    os._exit(code)


# --- the side of the tests ----------------------------------------------------------------------


class Forked:
    """A command under way; the part of `subprocess.Popen[str]` that the tests use."""

    def __init__(self, arguments: Sequence[str], out: int, err: int, reply: socket.socket) -> None:
        self.args = arguments
        self.stdout, self.stderr = (os.fdopen(descriptor, encoding="utf-8") for descriptor in (out, err))
        self._reply = reply
        self.pid = int(reply.recv(32))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, negative for a signal."""
        if self.returncode is None:
            self._reply.settimeout(timeout)
            try:
                said = self._reply.recv(32)
            except (TimeoutError, BlockingIOError) as error:
                raise subprocess.TimeoutExpired(list(self.args), timeout or 0) from error
            assert said, "the template process is gone"
            self._reply.close()
            self.returncode = int(said)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it writes, once it has ended."""
        deadline = None if timeout is None else time.monotonic() + timeout
        parts: dict[int, list[bytes]] = {self.stdout.fileno(): [], self.stderr.fileno(): []}
        with selectors.DefaultSelector() as selector:
            for descriptor in parts:
                selector.register(descriptor, selectors.EVENT_READ)
            while selector.get_map():
                left = None if deadline is None else deadline - time.monotonic()
                ready = selector.select(left) if left is None or left > 0 else []
                if not ready:
                    raise subprocess.TimeoutExpired(list(self.args), timeout or 0)
                for key, _ in ready:
                    data = os.read(key.fd, 1 << 16)
                    parts[key.fd].append(data)
                    if not data:
                        selector.unregister(key.fd)
        out, err = (b"".join(part).decode("utf-8").replace("\r\n", "\n") for part in parts.values())
        self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        self.stdout.close()
        self.stderr.close()
        return out, err

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Asks it to end."""
        self.send_signal(signal.SIGTERM)


class Template:
    """A template process, and what it is asked for. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._python = _python_settings(os.environ)
        # Ends when its socket does: with this process, however that ends.
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", __name__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Whether a fork can stand for a new interpreter with this environment."""
        return _python_settings(environment) == self._python

    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> Forked:
        """Runs `weighbridge` with these arguments."""
        asked = {"arguments": list(arguments), "environment": dict(environment), "folder": os.getcwd()}
        (out, their_out), (err, their_err) = os.pipe(), os.pipe()
        reply, their_reply = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with self._lock:
            socket.send_fds(self._control, [json.dumps(asked).encode()], [their_out, their_err, their_reply.fileno()])
        os.close(their_out)
        os.close(their_err)
        their_reply.close()
        return Forked(["weighbridge", *arguments], out, err, reply)

    def close(self) -> None:
        """Ends the template process."""
        self._control.close()
        self._process.wait()


def _python_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """What decides how an interpreter starts."""
    deciding = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC")
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(deciding) and name not in ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")
    }


if __name__ == "__main__":
    raise SystemExit(main())
