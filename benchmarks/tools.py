"""Builds the virtual environment of the peers and of the plot, once for each content of `peers.txt`."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import ROOT, BenchmarkFailed, clean_environment, run

REQUIREMENTS = Path(__file__).with_name("peers.txt")
HOME = ROOT / ".run" / "benchmarks"


def tools() -> Path:
    """The environment's `bin` folder; built by `uv` where it is installed, else by `venv` and `pip`."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    folder, stamp = HOME / "venv", HOME / "venv" / "built-from"
    if stamp.exists() and stamp.read_text() == wanted:
        return folder / "bin"
    print(f"building the peers' environment in {folder.relative_to(ROOT)} ...", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    uv = shutil.which("uv")
    installer: list[str | Path] = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
    subprocess.run([*installer, "--quiet", "-r", REQUIREMENTS], check=True)
    # Without compiled modules a peer would be charged for compiling itself.
    subprocess.run([python, "-m", "compileall", "-q", folder / "lib"], check=False, stdout=subprocess.DEVNULL)
    stamp.write_text(wanted)
    return folder / "bin"


def versions() -> dict[str, str]:
    """What is compared, by the peers' own words and `peers.txt`."""
    found = dict(
        line.split("==") for line in REQUIREMENTS.read_text().splitlines() if "==" in line and not line.startswith("#")
    )
    for name, command in {"sha256sum": ["sha256sum", "--version"], "openssl": ["openssl", "version"]}.items():
        try:
            found[name] = run(command, environment=clean_environment()).output.splitlines()[0]
        except (OSError, BenchmarkFailed) as error:
            found[name] = f"missing ({type(error).__name__})"
    return found
