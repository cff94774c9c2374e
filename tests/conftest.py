"""Fixtures that most tests share: a home, a Hub, an S3 server, the R1-shaped fixture, and the command line."""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support import deepseek, scheduling, seaweed
from tests.support.forking import Forked, Template
from tests.support.hub import HubServer
from tests.support.postgres import postgres
from tests.support.waiting import PATIENCE_SECONDS

__all__ = ["postgres"]

# Torch and transformers do without it on a processor; it costs half a second, and complains at the end of the run.
sys.modules.setdefault("triton", None)  # type: ignore[arg-type]

FAST = {
    "WEIGHBRIDGE_TRANSFER_RETRY_WAIT_SECONDS": "0.01",
    "WEIGHBRIDGE_TRANSFER_READ_TIMEOUT_SECONDS": "30",
}
"""A test of what never answers says itself how long it waits."""


settings.register_profile(
    "suite", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("fuzz", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
# The suite tries the same examples every time, however busy the machine is; `make fuzz` looks for others, and for long.
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "suite")
settings.load_profile(PROFILE)
FUZZ_FACTOR = 20
"""How many times as many examples `make fuzz` tries."""


@pytest.fixture(scope="session")
def r1_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The DeepSeek-R1-shaped repository: 163 shards, remote code, real layout."""
    return deepseek.build(tmp_path_factory.mktemp("r1") / "DeepSeek-R1")


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A Hub of its own for each test."""
    with HubServer() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[seaweed.S3Server]:
    """The real S3 server."""
    with seaweed.running() as server:
        yield server


FIRST = (
    "test_real_inference.py",
    "test_s3.py",
    "test_gateway_clients.py",
    "test_ledger.py",
    "test_posture_hub.py",
    "test_posture_crossing.py",
    "test_deploy_commands.py",
    "test_isolated_inference.py",
    "test_remediate.py",
)
"""Files that take longest: begun last, one process would work on them while the others are done."""
APART = ("test_docs.py", "test_faults.py", "test_ingest_hub.py", "test_cli.py")
"""Files whose tests share nothing: they come last and one by one, so that all processes end together."""
SERVERS = {"s3_server": "s3", "postgres": "postgres"}
"""Fixtures that files share, and the group of the tests that ask for one."""
TOGETHER = {
    "test_gateway.py": "gateways",
    "test_gateway_clients.py": "gateways",
    "test_ledger.py": "postgres",
    "test_catalog.py": "postgres",
    "test_benign_pickles.py": "transformers",
    "test_drift.py": "transformers",
    "test_plugins.py": "transformers",
    "test_to_safetensors.py": "transformers",
}
"""Files that share a gateway over a filled home, ask for a server only once they run, or import what takes seconds."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts the longest files first, and keeps a file in one process: what its tests share is then made once.

    Within a file, the order stays.
    """
    items.sort(key=lambda item: _place(item.path.name))
    if PROFILE == "fuzz":
        _try_more(items)
    scheduling.leave(config, {item.nodeid: group for item in items if (group := _group(item))})


def _try_more(items: Sequence[pytest.Item]) -> None:
    for test in {getattr(item, "function", None) for item in items}:
        # A test's own number wins over the profile's, and hypothesis offers no other way to change it afterwards.
        if (own := getattr(test, "_hypothesis_internal_use_settings", None)) is not None:
            test._hypothesis_internal_use_settings = settings(own, max_examples=FUZZ_FACTOR * own.max_examples)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells a process that is to run tests where to leave the groups."""
    scheduling.tell(node.workerinput)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The one that knows the groups, for `--dist loadgroup`."""
    return scheduling.Grouped(config, log) if config.getvalue("dist") == "loadgroup" else None


def _place(file: str) -> int:
    if file in APART:
        return len(FIRST) + 1 + APART.index(file)
    return FIRST.index(file) if file in FIRST else len(FIRST)


def _group(item: pytest.Item) -> str:
    if (marked := item.get_closest_marker("xdist_group")) is not None:
        return str(marked.args[0])
    for name in getattr(item, "fixturenames", ()):
        if name in SERVERS:
            return SERVERS[name]
    file = item.path.name
    return "" if file in APART else TOGETHER.get(file, item.path.stem)


def pytest_collection_finish() -> None:
    """What was imported is no garbage: nobody looks through it again."""
    gc.collect()
    gc.freeze()


@functools.cache
def template() -> Template:
    """The process that commands are forked from; it ends with this one."""
    forking = Template()
    atexit.register(forking.close)
    return forking


@dataclass
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON lines on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]

    def event(self, name: str) -> dict[str, Any]:
        """The last event with that name."""
        found = [event for event in self.events if event.get("event") == name]
        assert found, f"no event {name!r} in:\n{self.out}\n{self.err}"
        return found[-1]


@dataclass
class Command:
    """The installed command, run as a user runs it, against a home of its own.

    With `fresh` each run has a new interpreter; else it is forked from one that has imported what commands import.
    """

    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    fresh: bool = False

    def environ(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment of a run; nothing of the tester's own Hub, AWS settings or terminal leaks in."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("WEIGHBRIDGE_", "HF_", "AWS_", "HUGGING", "PYTHONDONTWRITE", "COLUMNS", "LINES"))
        }
        return {
            **kept,
            "WEIGHBRIDGE_HOME": str(self.home),
            "HF_HOME": str(self.home / "hf"),
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",
            **FAST,
            **self.environment,
            **(extra or {}),
        }

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str] | Forked:
        """Starts the command and returns at once."""
        environment = self.environ(env)
        if not self.fresh and template().fits(environment):
            return template().start(arguments, environment)
        return subprocess.Popen(
            [sys.executable, "-m", "weighbridge", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def __call__(self, *arguments: str, env: Mapping[str, str] | None = None, code: int | None = 0) -> Ran:
        """Runs the command to its end; `code` is the exit code it must have, or None."""
        process = self.start(*arguments, env=env)
        out, err = process.communicate(timeout=2 * PATIENCE_SECONDS)
        ran = Ran(process.returncode, out, err)
        assert "Traceback" not in err, err
        if code is not None:
            assert ran.code == code, f"exit {ran.code}, not {code}\nstdout: {out}\nstderr: {err}"
        return ran


@pytest.fixture
def weighbridge(tmp_path: Path) -> Command:
    """The command line with a fresh home."""
    return Command(tmp_path / "home")


@pytest.fixture
def on_hub(weighbridge: Command, hub: HubServer) -> Command:
    """The command line pointed at the test's Hub."""
    weighbridge.environment["HF_ENDPOINT"] = hub.endpoint
    return weighbridge


@pytest.fixture
def on_s3(weighbridge: Command, s3_server: seaweed.S3Server) -> Command:
    """The command line with the real S3 server's credentials."""
    weighbridge.environment.update(s3_server.environment)
    return weighbridge


def folder_files(folder: Path) -> dict[str, Path]:
    """All files below a folder by relative path."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def publish(hub: HubServer) -> Callable[..., str]:
    """Publishes a folder on the test's Hub and returns the commit."""

    def publish_folder(name: str, folder: Path, **more: Any) -> str:
        repository = hub.repository(name)
        return repository.commit(folder_files(folder), **more)

    return publish_folder
