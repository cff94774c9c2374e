"""Starts the real Azurite (Azure's storage emulator, an npm package) on a free loopback port, and makes containers in it."""

from __future__ import annotations

import base64
import contextlib
import email.utils
import fcntl
import hashlib
import hmac
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "azurite@3.35.0"
CACHE = Path(__file__).resolve().parents[2] / ".run" / PACKAGE
START_SECONDS = 60.0
ACCOUNT = "devstoreaccount1"
# The emulator's well-known development key: public, the same in every Azurite.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class AzureServer:
    """A running server; `process` is its process group's leader."""

    endpoint: str
    process: subprocess.Popen[bytes]

    @property
    def environment(self) -> dict[str, str]:
        """What obstore needs to reach it."""
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            "AZURE_STORAGE_ENDPOINT": self.endpoint,
            "AZURE_ALLOW_HTTP": "true",
        }

    def container(self) -> str:
        """A new container."""
        name = f"wb-{uuid.uuid4().hex[:12]}"
        date = email.utils.formatdate(usegmt=True)
        # Shared Key: verb, eleven empty standard headers, x-ms-* headers, the resource with the account twice in an emulator.
        to_sign = f"PUT{chr(10) * 12}x-ms-date:{date}\nx-ms-version:2021-08-06\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
        signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), to_sign.encode(), hashlib.sha256)).decode()
        request = urllib.request.Request(
            f"{self.endpoint}/{name}?restype=container",
            method="PUT",
            headers={
                "x-ms-date": date,
                "x-ms-version": "2021-08-06",
                "Authorization": f"SharedKey {ACCOUNT}:{signature}",
            },
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            assert answer.status == 201
        return name

    def stop(self) -> None:
        """Ends the server at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _installed() -> Path:
    """The command, installed on first use; one process at a time."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("Azurite needs npm and node, which are not installed")
    command = CACHE / "node_modules" / ".bin" / "azurite-blob"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (CACHE / "complete").exists():
            subprocess.run(
                [npm, "install", "--prefix", str(CACHE), "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE],
                check=True,
                stdout=subprocess.DEVNULL,
                timeout=600,
            )
            (CACHE / "complete").touch()
    return command


@contextlib.contextmanager
def running() -> Iterator[AzureServer]:
    """A server with fresh data, stopped and removed at the end."""
    command = _installed()
    folder = Path(tempfile.mkdtemp(prefix="wb-azurite-"))
    log = folder / "log"
    arguments = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--extentMemoryLimit", "1024"]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(command), *arguments, "--disableTelemetry", "--silent"],
            cwd=folder,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    server = AzureServer(_endpoint(process, log), process)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _endpoint(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text(errors="replace").splitlines():
            if "successfully listens on " in line:
                return f"{line.rpartition(' ')[2].rstrip('/')}/{ACCOUNT}"
        time.sleep(0.1)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    raise RuntimeError(f"Azurite did not start:\n{log.read_text(errors='replace')[-2000:]}")
