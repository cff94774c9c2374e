"""Installs what a test needs of Debian: once, one process at a time, and only where it cannot ask for a password."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path


def install(package: str, *, is_there: Callable[[], bool]) -> None:
    """Installs a package unless `is_there` says that another process did meanwhile; whoever needs it looks again."""
    apt = shutil.which("apt-get")
    if apt is None:
        return
    command = [apt] if os.geteuid() == 0 else ["sudo", "-n", apt]
    if command[0] == "sudo" and shutil.which("sudo") is None:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with (Path(tempfile.gettempdir()) / f"wb-{package}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_there():
            for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", package]):
                subprocess.run([*command, *words], env=environment, capture_output=True, check=False, timeout=600)
