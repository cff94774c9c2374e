"""The command line in this process, against a home of its own: quicker than starting one for every step."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Ran
from weighbridge.cli import app


@dataclass(frozen=True)
class InProcess:
    """The command line of this process."""

    home: Path

    def __call__(self, *arguments: str, code: int | None = 0) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            ended = app.main([*arguments, "--home", str(self.home)])
        ran = Ran(ended, out.getvalue(), err.getvalue())
        assert code is None or ran.code == code, f"exit {ran.code}\n{ran.out}\n{ran.err}"
        return ran


def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the tester's own settings leaks in, and what weighbridge itself does wrong is shown."""
    for name in [name for name in os.environ if name.startswith("WEIGHBRIDGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WEIGHBRIDGE_DEBUG", "1")


def ingest(run: InProcess, name: str, files: Mapping[str, str]) -> None:
    """A real ingest, without the inspectors that take their time to start."""
    folder = run.home.parent / name
    folder.mkdir()
    for path, text in files.items():
        (folder / path).write_text(text)
    run("ingest", str(folder), "--as", f"acme/{name}", "--without", "secrets", "--without", "malware")


def prepared(folder: Path, files: Mapping[str, str]) -> InProcess:
    """A home with acme/tiny in it. Stores are known by their path, so it is put back rather than copied."""
    run = InProcess(folder / "home")
    with pytest.MonkeyPatch.context() as monkeypatch:
        own_environment(monkeypatch)
        ingest(run, "tiny", files)
    keep(run.home)
    return run


def put_back(prepared: InProcess) -> InProcess:
    """That home, as it was at first."""
    restore(prepared.home)
    return prepared


def keep(home: Path) -> None:
    """Keeps a copy of a home, for `restore`."""
    shutil.copytree(home, home.with_name("kept"))


def restore(home: Path) -> None:
    """The home as it was when it was kept."""
    shutil.rmtree(home)
    shutil.copytree(home.with_name("kept"), home)
