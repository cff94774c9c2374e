"""A real engine answers a chat: from the private side, where nothing but the store is reached; and from a Hub, recorded.

The R1-shaped model goes from a Hub through every gate into an approved store in S3. `weighbridge run` then becomes
`transformers serve` in a network namespace whose only way out leads to that store. Beside it the same engine runs as it is
usually run, with a Hub's name for the model, in a namespace whose only way out is a proxy that records. Then the Hub dies, and
both start again on empty nodes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import Command, folder_files
from tests.support import deepseek
from tests.support.egress import recording, relaying
from tests.support.gateway import sha256
from tests.support.hub import HubServer
from tests.support.isolation import Isolated, isolated
from tests.support.remote_code_models import CONFIGURATION, MODELING
from tests.support.seaweed import S3Server
from tests.test_isolated_inference import NAME, admitted
from weighbridge.core.names import ModelName
from weighbridge.posture.egress import read_egress
from weighbridge.posture.gathering import Notes

BIN = Path(sys.executable).parent
SHARDS = 24
PORT = 18080
"""Within a namespace every port is free."""
HUB = "huggingface.co"
TOKEN = "hf_" + "x" * 34

WATCH = """
import os, sys
_log = os.environ.get("CONNECTIONS_LOG")
if _log:
    def _seen(event, given):
        if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
            what = given[1] if event == "socket.connect" else given[0]
            program = os.path.basename(getattr(sys, "argv", ["?"])[0])
            with open(_log, "a") as log:
                log.write(f"{program}|{event}|{what}\\n")
    sys.addaudithook(_seen)
"""
"""A `sitecustomize` that writes down every connection that a Python program tries to make."""

SERVE = """
import json, subprocess, sys, time, urllib.error, urllib.request
words, port, asked, seconds = json.loads(%r)
began = time.monotonic()
process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
open_ = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
def ask(path, body=None):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body, headers={"content-type": "application/json"})
    with open_(request, timeout=60) as answer:
        return json.loads(answer.read() or "null")
got = {"ready": None, "answer": None}
while process.poll() is None and time.monotonic() - began < seconds:
    try:
        ask("/health")
        got["ready"] = time.monotonic() - began
        break
    except OSError:
        time.sleep(0.1)
if got["ready"] is not None:
    got["answer"] = ask("/v1/chat/completions", json.dumps(asked).encode())
    process.terminate()
try:
    said, _ = process.communicate(timeout=20)
except subprocess.TimeoutExpired:
    process.kill()
    said, _ = process.communicate()
print(json.dumps({**got, "code": process.returncode, "said": said[-4000:]}))
"""


@dataclass
class Node:
    """A machine that an engine runs on: a namespace, and what a start of the engine left."""

    space: Isolated
    folder: Path
    starts: int = field(default=0)

    def start(self, words: list[str], model: str, environment: dict[str, str], *, seconds: float = 240) -> Any:
        """Starts the engine with nothing on its disk, asks it once, and stops it."""
        self.starts += 1
        disk = self.folder / f"start-{self.starts}"
        (disk / "cache").mkdir(parents=True)
        site = disk / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(WATCH)
        asked = {"model": model, "messages": [{"role": "user", "content": "the rain in"}], "max_tokens": 8}
        placed = [word.replace("DISK", str(disk)) for word in words]
        script = SERVE % json.dumps([placed, PORT, asked, seconds])
        return self.space.json(
            script,
            {
                "PATH": f"{BIN}:/usr/bin:/bin",
                "HOME": str(disk),
                "HF_HOME": str(disk / "hf"),
                "HF_HUB_CACHE": str(disk / "cache"),
                "PYTHONPATH": str(site),
                "CONNECTIONS_LOG": str(disk / "connections"),
                "NO_COLOR": "1",
                "OMP_NUM_THREADS": "1",
                **{name: value.replace("DISK", str(disk)) for name, value in environment.items()},
            },
        )

    def connections(self, program: str) -> set[str]:
        """What the engine's own process tried to reach in all starts."""
        found = set()
        for log in self.folder.glob("start-*/connections"):
            for line in log.read_text().splitlines():
                name, event, what = line.split("|", 2)
                if name == program:
                    found.add(f"{event} {what}")
        return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The repository as upstream has it, in fewer files: 8-bit floats, with Python files that work."""
    folder = deepseek.build(tmp_path / "upstream", shards=SHARDS)
    (folder / "configuration_deepseek.py").write_text(CONFIGURATION)
    (folder / "modeling_deepseek.py").write_text(MODELING)
    return folder


@pytest.fixture
def spaces() -> Iterator[tuple[Isolated, Isolated]]:
    """Two namespaces with one way out each."""
    with isolated() as first, isolated() as second:
        yield first, second


def private(command: Command, s3: S3Server, space: Isolated, folder: Path) -> tuple[list[str], dict[str, str]]:
    """How an engine is started from the private side: with a trust file and read access to the store."""
    trust = folder / "trust.json"
    command("trust", "export", str(trust))
    words = [str(BIN / "weighbridge"), "run", NAME, "--dir", "DISK/model", "--", "transformers", "serve", "{}"]
    environment = {
        **s3.environment,
        "WEIGHBRIDGE_TRUST": str(trust),
        "WEIGHBRIDGE_TRUST_SHA256": sha256(trust),
        "WEIGHBRIDGE_STATE": str(folder / "state"),
        "WEIGHBRIDGE_STORE_S3_ENDPOINT": f"http://127.0.0.1:{space.port}",
    }
    return [*words, "--host", "127.0.0.1", "--port", str(PORT)], environment


def public(space: Isolated) -> tuple[list[str], dict[str, str]]:
    """How it is usually started: with the model's name on the Hub, a token, and whatever way out there is."""
    proxy = f"http://127.0.0.1:{space.port}"
    environment = {"HF_ENDPOINT": f"http://{HUB}", "HF_TOKEN": TOKEN, "HTTP_PROXY": proxy, "HTTPS_PROXY": proxy}
    words = [str(BIN / "transformers"), "serve", NAME, "--host", "127.0.0.1", "--port", str(PORT)]
    return words, {**environment, "http_proxy": proxy, "https_proxy": proxy, "NO_PROXY": "", "no_proxy": ""}


def origin(address: str) -> tuple[str, int]:
    """Host and port of an endpoint."""
    parts = urlsplit(address)
    return str(parts.hostname), int(parts.port or 80)


@pytest.fixture
def dying() -> Iterator[ExitStack]:
    """What is to end before its test does."""
    with ExitStack() as stack:
        yield stack


@pytest.mark.slow
@pytest.mark.s3
@pytest.mark.timeout(400)
def test_a_real_engine_answers_from_the_store_alone_and_restarts_when_the_hub_is_dead(
    weighbridge: Command,
    source: Path,
    s3_server: S3Server,
    spaces: tuple[Isolated, Isolated],
    tmp_path: Path,
    dying: ExitStack,
) -> None:
    hub = dying.enter_context(HubServer())
    bucket = s3_server.bucket()
    weighbridge.environment.update(
        {
            **s3_server.environment,
            "HF_ENDPOINT": hub.endpoint,
            "WEIGHBRIDGE_STORE_QUARANTINE": f"s3://{bucket}/q",
            "WEIGHBRIDGE_STORE_APPROVED": f"s3://{bucket}/approved",
        }
    )
    hub.repository(NAME).commit(folder_files(source))
    hub.token(TOKEN)
    revision = admitted(weighbridge)
    inside, outside = Node(spaces[0], tmp_path / "private"), Node(spaces[1], tmp_path / "public")
    for node in (inside, outside):
        node.folder.mkdir()
    store = origin(s3_server.endpoint)
    from_store = private(weighbridge, s3_server, spaces[0], inside.folder)
    from_hub = public(spaces[1])
    cdn = urlsplit(hub.cdn).netloc
    answers = {HUB: origin(hub.endpoint), cdn: origin(hub.cdn)}
    with (
        relaying(spaces[0].socket, store),
        recording(spaces[1].socket, answers) as recorder,
        ThreadPoolExecutor() as both,
    ):

        def start() -> tuple[Any, Any]:
            kept = both.submit(
                inside.start, from_store[0], f"{inside.folder}/start-{inside.starts + 1}/model", from_store[1]
            )
            fetched = both.submit(outside.start, from_hub[0], NAME, from_hub[1])
            return kept.result(), fetched.result()

        kept, fetched = start()
        talked(kept)
        talked(fetched)
        evidence = tmp_path / "egress.json"
        evidence.write_bytes(recorder.to_bytes())
        dying.close()
        kept_again, failed = start()
    talked(kept_again)
    assert failed["answer"] is None, "an engine with a Hub's name answered, and there is no Hub"
    assert failed["code"] != 0
    prove_nothing_else_was_tried(inside)
    prove_folder(inside, revision)
    prove_recorded(evidence, cdn)


def talked(got: Any) -> None:
    """The engine answered as OpenAI's chat completions do."""
    assert got["answer"] is not None, got["said"]
    answer = got["answer"]
    assert answer["object"] == "chat.completion"
    (choice,) = answer["choices"]
    assert choice["message"]["role"] == "assistant"
    assert answer["usage"]["completion_tokens"] >= 1
    assert answer["usage"]["prompt_tokens"] > 3


def prove_nothing_else_was_tried(node: Node) -> None:
    """From the private side the engine does not even try: no name is looked up, nothing but itself is connected to."""
    tried = node.connections("transformers")
    assert not [one for one in tried if HUB in one], tried
    elsewhere = [one for one in tried if "127.0.0.1" not in one and "localhost" not in one]
    assert not elsewhere, elsewhere


def prove_folder(node: Node, revision: str) -> None:
    """Each start brought the approved revision, without the code that upstream has."""
    for number in range(1, node.starts + 1):
        folder = node.folder / f"start-{number}" / "model"
        names = {path.name for path in folder.rglob("*") if path.is_file()}
        assert sum(name.endswith(".safetensors") for name in names) == SHARDS
        assert not [name for name in names if name.endswith(".py")]
        assert "auto_map" not in json.loads((folder / "config.json").read_text())
    assert len(revision) == 40


def prove_recorded(evidence: Path, cdn: str) -> None:
    """The recording shows what leaves by the usual way: hosts, the model's name, the client's make, and the token."""
    rows = json.loads(evidence.read_text())
    assert {row["host"] for row in rows} >= {HUB, cdn.partition(":")[0]}
    assert all(set(row) == {"host", "method", "path", "user_agent", "authorization", "outcome"} for row in rows)
    asked = [row for row in rows if row["host"] == HUB]
    assert all(row["authorization"] for row in asked if "/resolve/" in row["path"])
    assert not [row for row in rows if row["authorization"] and row["host"] != HUB]
    assert "transformers/5.23" in max((row["user_agent"] for row in asked), key=len)
    assert TOKEN not in evidence.read_text()
    notes = Notes("2026-11-23T12:00:00Z")
    facts = {one.id: one for one in read_egress(notes, evidence.read_bytes(), "the run", ModelName.parse(NAME))}
    assert HUB in str(facts["hub.egress.hosts"].value)
    assert facts["hub.egress.token_sent"].value is True
    assert facts["hub.egress.model_named"].value is True
