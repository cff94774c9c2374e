"""The Hub's Python clients at fixed versions, each in an environment of its own; and a proxy that cuts an answer in the middle.

Rules:

- an environment is made once for each content of `VERSIONS`, under `.run/clients` of the checkout, by `uv` where it is on the
  path, else by `venv` and `pip`; one process makes it at a time;
- where no package index is reached, what needs the client is skipped, and says so.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import pytest

HOME: Final = Path(__file__).resolve().parent.parent.parent / ".run" / "clients"
VERSIONS: Final[dict[str, tuple[str, ...]]] = {
    # The first that has `huggingface-cli download`.
    "0.17": ("huggingface_hub==0.17.3",),
    # The last before 1.0; `hf_transfer` was dropped after it.
    "0.36": ("huggingface_hub==0.36.2", "hf_transfer==0.1.9", "hf_xet==1.8.0"),
    "1.33": ("huggingface_hub==1.33.0", "hf_xet==1.8.0"),
    "2.4": ("huggingface_hub==2.4.0", "hf_xet==1.8.0"),
}


@cache
def environment(version: str) -> Path:
    """The `bin` folder of the environment with that client."""
    wanted = "\n".join((*VERSIONS[version], sys.version.split()[0]))
    folder = HOME / f"{version}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _build(folder, VERSIONS[version])
            (folder / "complete").touch()
    return folder / "bin"


def _build(folder: Path, packages: tuple[str, ...]) -> None:
    uv = shutil.which("uv")
    python = folder / "bin" / "python"
    steps: list[list[str | Path]] = (
        [
            [uv, "venv", "--quiet", "--python", sys.executable, folder],
            [uv, "pip", "install", "--quiet", "--python", python, *packages],
        ]
        if uv
        else [
            [sys.executable, "-m", "venv", folder],
            [python, "-m", "pip", "install", "--quiet", *packages],
        ]
    )
    for step in steps:
        ran = subprocess.run(step, capture_output=True, text=True, check=False, timeout=600)
        if ran.returncode:
            told = (ran.stderr.strip() or ran.stdout.strip()).splitlines()[-1:]
            pytest.skip(f"CLIENTS ARE MISSING, so the gateway is not tried with {' '.join(packages)}: {' '.join(told)}")


def program(version: str) -> Path:
    """The command line of that version: `hf`, or `huggingface-cli` as it was called before 0.34."""
    folder = environment(version)
    return next(found for name in ("hf", "huggingface-cli") if (found := folder / name).exists())


# --- an answer that is cut ------------------------------------------------------------------------


@dataclass
class CutAnswers:
    """Forwards to a server; the first answer to a GET of `path` ends after `after` bytes, as if the network had gone."""

    target: tuple[str, int]
    path: str
    after: int
    heads: list[str] = field(default_factory=list)
    """Heads of GETs of that path, in order."""
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def endpoint(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def accept(self) -> None:
        """Serves until the listener is shut."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def shut(self) -> None:
        """Accepts no more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self, client: socket.socket) -> None:
        left = [-1]
        with client, socket.create_connection(self.target) as server, contextlib.suppress(OSError):
            threading.Thread(target=self._answer, args=(server, client, left), daemon=True).start()
            while data := client.recv(65_536):
                head = data.decode("latin-1")
                if head.startswith("GET ") and self.path in head.partition("\r\n")[0]:
                    self.heads.append(head)
                    left[0] = self.after if len(self.heads) == 1 else -1
                server.sendall(data)

    def _answer(self, server: socket.socket, client: socket.socket, left: list[int]) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65_536):
                if 0 <= left[0] <= len(data):
                    client.sendall(data[: left[0]])
                    break
                left[0] -= len(data) if left[0] >= 0 else 0
                client.sendall(data)
        # An orderly end: newer clients go on after one, and give up after a reset.
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def cut_once(target: tuple[str, int], path: str, after: int) -> Iterator[CutAnswers]:
    """That proxy, running."""
    proxy = CutAnswers(target, path, after)
    threading.Thread(target=proxy.accept, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.shut()
