"""Runs `weighbridge` in a process of its own without starting an interpreter for it: a template process forks.

Most of a short command is imports. One template per test process imports what commands import, once, and forks for each
command; the child then has a command's own arguments, environment, folder and pipes, runs `weighbridge`'s own `main`, waits for its
threads and runs what was to run at exit. It is a process like any other: it can be signalled and killed, and is waited for.

Rules:

- nothing that reads the environment when it is imported, and nothing that starts threads, is imported ahead (see `LATE`);
- who changes Python's own settings (`PYTHON...`) needs a fresh interpreter: `fits` says so;
- for a shell there is a program (`Template.program`) that asks the template and then stands for the command: it hands over its
  streams, and ends as the command does; a command whose program is gone is killed.
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
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
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
    "_strptime",
    "boolean",
    "cryptography.hazmat.backends.openssl",
    "cyclonedx.spdx",
    "importlib.resources.readers",
    "license_expression",
    "platformdirs.unix",
    "pwd",
    "sqlite3",
    "tuf.api.serialization.json",
)
_ENOUGH = 1 << 20
PROGRAM = """#!PYTHON -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
    asking.connect(ADDRESS)
    asked = {"program": "weighbridge", "arguments": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd()}
    socket.send_fds(asking, [json.dumps(asked).encode()], [0, 1, 2])
    asking.recv(32)
    code = int(asking.recv(32))
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""
"""What stands for a command in a shell."""


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
    from weighbridge.inspectors.content.malware import Malware

    Malware.load()
    assert "huggingface_hub" not in sys.modules, "it reads its settings when it is imported"
    assert len(os.listdir("/proc/self/task")) == 1, "a process with threads must not fork"


class _Children:
    """The commands that run, and who is to be told of their end."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._running: dict[int, tuple[int, socket.socket]] = {}
        self._programs: dict[int, int] = {}

    def began(self, child: int, descriptors: Sequence[int], asking: socket.socket, *, program: bool) -> None:
        """Tells who asked: a `program` on the socket on which it asks, and stays; others on the last descriptor."""
        for descriptor in descriptors[:3]:
            os.close(descriptor)
        reply = asking if program else socket.socket(fileno=descriptors[3])
        handle = os.pidfd_open(child)
        with contextlib.suppress(OSError):
            reply.send(str(child).encode())
        self._running[handle] = (child, reply)
        if program:
            self._programs[reply.fileno()] = child
        self._selector.register(handle, selectors.EVENT_READ)

    def ended(self, handle: int) -> None:
        """Tells who asked, and forgets the child."""
        self._selector.unregister(handle)
        child, reply = self._running.pop(handle)
        _, status = os.waitpid(child, 0)
        if self._programs.pop(reply.fileno(), 0):
            self._selector.unregister(reply)
        with contextlib.suppress(OSError):
            reply.send(str(os.waitstatus_to_exitcode(status)).encode())
        reply.close()
        os.close(handle)

    def left(self, reply: socket.socket) -> None:
        """The program that stood for a child is gone."""
        self._selector.unregister(reply)
        if child := self._programs.pop(reply.fileno(), 0):
            os.kill(child, signal.SIGKILL)


def serve(control: socket.socket, door: socket.socket) -> Mapping[str, Any] | None:
    """Forks for each request; returns what was asked for in a child, and None when nobody asks any more."""
    with selectors.DefaultSelector() as selector:
        children = _Children(selector)
        for source in (control, door):
            selector.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                asking = key.fileobj
                if not isinstance(asking, socket.socket):
                    children.ended(key.fd)
                elif asking is door:
                    selector.register(door.accept()[0], selectors.EVENT_READ)
                elif asking.fileno() >= 0:  # else it was closed a moment ago, with its child
                    message, descriptors, _, _ = socket.recv_fds(asking, _ENOUGH, 4)
                    if message and (child := os.fork()) == 0:
                        return _become(json.loads(message), descriptors)
                    if message:
                        children.began(child, descriptors, asking, program=asking is not control)
                    elif asking is control:
                        return None
                    else:
                        children.left(asking)


def _become(asked: Mapping[str, Any], descriptors: Sequence[int]) -> Mapping[str, Any]:
    """Makes this process the one that was asked for; the first three descriptors are its streams."""
    for standard, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, standard)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [asked["program"], *asked["arguments"]]
    sys.orig_argv = [sys.executable, "-m", *sys.argv]
    return asked


def main() -> int:
    """The template process: its sockets are those that its arguments name."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _import_ahead()
    gc.collect()
    gc.freeze()
    control, door = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    asked = serve(control, door)
    if asked is None:
        return 0
    if asked["program"] == "weighbridge":
        from weighbridge.cli.app import main as weighbridge

        code = weighbridge()
    else:
        code = int(importlib.import_module(asked["program"]).main(*asked["arguments"]) or 0)
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
        self._address = f"\0weighbridge-tests-{uuid.uuid4().hex}"
        door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        door.bind(self._address)
        door.listen()
        self._python = _python_settings(os.environ)
        # Ends when its socket does: with this process, however that ends.
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", __name__, str(theirs.fileno()), str(door.fileno())],
            pass_fds=[theirs.fileno(), door.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        door.close()

    def program(self, path: Path) -> Path:
        """Writes a program that stands for `weighbridge`: for shells, which start what they find on their path."""
        path.write_text(PROGRAM.replace("PYTHON", sys.executable).replace("ADDRESS", repr(self._address)))
        path.chmod(0o755)
        return path

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Whether a fork can stand for a new interpreter with this environment."""
        return _python_settings(environment) == self._python

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], *, program: str = "weighbridge"
    ) -> Forked:
        """Runs `weighbridge`, or the `main` of another module, with these arguments."""
        asked = {
            "program": program,
            "arguments": list(arguments),
            "environment": dict(environment),
            "folder": os.getcwd(),
        }
        (out, their_out), (err, their_err) = os.pipe(), os.pipe()
        reply, their_reply = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        nothing = os.open(os.devnull, os.O_RDONLY)
        handed = [nothing, their_out, their_err, their_reply.fileno()]
        with self._lock:
            socket.send_fds(self._control, [json.dumps(asked).encode()], handed)
        for descriptor in handed[:3]:
            os.close(descriptor)
        their_reply.close()
        return Forked([program, *arguments], out, err, reply)

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
