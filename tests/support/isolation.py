"""A network namespace in which nothing answers but a gateway, and programs that run in it.

Rules:

- the namespace has one interface, its own loopback, and no route; the gateway runs outside, on a socket that was made inside
  and handed to it as systemd hands sockets over (`LISTEN_FDS`). So whatever is reached from inside is the gateway;
- no privilege is needed where the machine lets users make namespaces; as root one is made without a user namespace;
- where neither is permitted, whoever asks is skipped, and says so.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from tests.conftest import Command
from tests.support.gateway import GatewayProcess
from tests.support.waiting import PATIENCE_SECONDS

MISSING = "NETWORK NAMESPACES ARE NOT PERMITTED HERE, so nothing was proven about clients that reach only the gateway"
HOLD = """
import fcntl, json, os, socket, struct, subprocess, sys
control = socket.socket(fileno=int(sys.argv[1]))
down = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
name, flags = struct.unpack("16sh", fcntl.ioctl(down, SIOCGIFFLAGS, struct.pack("16sh", b"lo", 0)))
fcntl.ioctl(down, SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | IFF_UP))
listening = socket.create_server(("127.0.0.1", 0), backlog=256)
socket.send_fds(control, [str(listening.getsockname()[1]).encode()], [listening.fileno()])
listening.close()
for line in sys.stdin:
    words, environment = json.loads(line)
    ran = subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    print(json.dumps([ran.returncode, ran.stdout, ran.stderr]), flush=True)
"""
"""What keeps the namespace: makes the socket, hands it out, and runs one program after the other."""
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3, inheritable=True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Starts a program as systemd does one whose socket it opened."""


@cache
def _unshare() -> tuple[str, ...]:
    program = shutil.which("unshare")
    for words in (("--net",), ("--user", "--map-root-user", "--net")):
        command = (program or "unshare", *words)
        with contextlib.suppress(OSError):
            if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
                return command
    pytest.skip(MISSING)


@dataclass
class Isolated:
    """A namespace that is kept open."""

    holder: subprocess.Popen[str]
    socket: socket.socket
    port: int

    def run(self, words: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Runs a program inside to its end."""
        assert self.holder.stdin is not None
        assert self.holder.stdout is not None
        self.holder.stdin.write(json.dumps([list(words), dict(environment)]) + "\n")
        self.holder.stdin.flush()
        line = self.holder.stdout.readline()
        assert line, "the namespace is gone"
        code, out, err = json.loads(line)
        return subprocess.CompletedProcess(list(words), code, out, err)

    def json(self, script: str, environment: Mapping[str, str]) -> Any:
        """Runs a Python script inside and returns the JSON on its last line."""
        ran = self.run([sys.executable, "-c", script], environment)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return json.loads(ran.stdout.splitlines()[-1])


@contextlib.contextmanager
def isolated() -> Iterator[Isolated]:
    """A namespace with a listening socket, whose other end of accepting lies outside."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        holder = subprocess.Popen(
            [*_unshare(), sys.executable, "-c", HOLD, str(theirs.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(theirs.fileno(),),
        )
        try:
            theirs.close()
            ours.settimeout(PATIENCE_SECONDS)
            port, descriptors, _, _ = socket.recv_fds(ours, 16, 1)
            assert descriptors, "the namespace did not come up"
            with socket.socket(fileno=descriptors[0]) as listening:
                yield Isolated(holder, listening, int(port))
        finally:
            holder.kill()
            holder.communicate()


@contextlib.contextmanager
def gateway_for(space: Isolated, command: Command, *options: str) -> Iterator[GatewayProcess]:
    """A gateway that runs outside and is reached from inside alone."""
    handed = space.socket.fileno()
    process = subprocess.Popen(
        [sys.executable, "-c", ACTIVATE, str(handed), sys.executable, "-m", "weighbridge", "serve", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=command.environ(),
        pass_fds=(handed,),
    )
    assert process.stderr is not None
    said: list[str] = []
    listening = threading.Thread(target=lambda: said.extend(iter(process.stderr.readline, "")), daemon=True)  # type: ignore[union-attr]
    listening.start()
    gateway = GatewayProcess(process, f"http://127.0.0.1:{space.port}", said, [listening])
    try:
        assert f"HF_ENDPOINT={gateway.endpoint}" in gateway.hear("HF_ENDPOINT=")
        yield gateway
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE_SECONDS)
        process.kill()
        process.wait()
        listening.join(5)
