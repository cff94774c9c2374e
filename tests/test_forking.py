"""What stands for the command in tests does as the command does."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from tests.conftest import Command, template
from tests.support.scheduling import KEY, leave


def test_a_program_prints_and_ends_as_the_command_does(weighbridge: Command, tmp_path: Path) -> None:
    program = template().program(tmp_path / "weighbridge")
    for words, code in ((("--version",), 0), (("nonsense",), 2)):
        ran, fresh = (
            subprocess.run([*command, *words], env=weighbridge.environ(), capture_output=True, text=True, check=False)
            for command in ((program,), (sys.executable, "-m", "weighbridge"))
        )
        assert (ran.returncode, ran.stdout, ran.stderr) == (fresh.returncode, fresh.stdout, fresh.stderr)
        assert ran.returncode == code


def test_a_command_does_not_outlive_its_program(weighbridge: Command, tmp_path: Path) -> None:
    program = template().program(tmp_path / "weighbridge")
    with subprocess.Popen(
        [program, "serve", "--port", "0"],
        env=weighbridge.environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = next(line for line in process.stderr if "HF_ENDPOINT=" in line)
        address = ("127.0.0.1", int(said.strip().rpartition(":")[2]))
        socket.create_connection(address, timeout=5).close()
        process.kill()
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(address, timeout=5).close()
        except OSError:
            break
        assert time.monotonic() < end
        time.sleep(0.02)


def test_groups_are_left_for_who_asked_for_them_alone(tmp_path: Path) -> None:
    told = SimpleNamespace(workerinput={"workerid": "gw0", KEY: str(tmp_path / "groups.json")})
    leave(told, {"tests/test_a.py::test_b": "a"})  # type: ignore[arg-type]
    assert (tmp_path / "groups.json").read_text() == '{"tests/test_a.py::test_b": "a"}'
    leave(SimpleNamespace(), {"x": "y"})  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["groups.json"]
