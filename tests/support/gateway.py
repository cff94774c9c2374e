"""A gateway, run as a user runs it, over a home that holds approved models; both are made once for a whole run of tests."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import numpy
import pytest
from safetensors.numpy import save_file

from tests.conftest import Command
from tests.support.forking import Forked
from tests.support.waiting import PATIENCE_SECONDS, eventually

CHUNK = 8 * 1024 * 1024
CARD = "---\nlicense: apache-2.0\n---\n# Made for tests\n"
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
    "dtype": "float32",
}
POLICY = """name = "gateway"
extends = "balanced"
[[exception]]
id = "code"
rules = ["remote-code"]
models = ["acme/r1"]
reason = "read"
person = "ada"
expires = 2099-01-01
[[exception]]
id = "names"
rules = ["repository-name-reserved"]
models = ["acme/tiny"]
reason = "awkward on purpose"
person = "ada"
expires = 2099-01-01
"""


@dataclass
class Answer:
    """An answer, whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its body as JSON."""
        return json.loads(self.body)


@dataclass
class GatewayProcess:
    """A running gateway."""

    process: subprocess.Popen[str] | Forked
    endpoint: str
    said: list[str] = field(default_factory=list)
    listening: Sequence[threading.Thread] = ()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.endpoint)
        return str(parts.hostname), int(parts.port or 0)

    def ask(
        self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """One request on a connection of its own; the path is sent as it is written."""
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE_SECONDS)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            read = response.read()
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, read)

    def raw(self, data: bytes, *, seconds: float = PATIENCE_SECONDS) -> bytes:
        """Sends bytes and returns what comes until the other side closes, or for so long."""
        with socket.create_connection(self.address, timeout=seconds) as sock:
            sock.sendall(data)
            got = b""
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                while part := sock.recv(65536):
                    got += part
            return got

    def rss_bytes(self) -> int:
        """The memory it holds now."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def hear(self, words: str) -> str:
        """The first line with these words, now or soon."""
        return eventually(lambda: self._line(words) or self._last_line(words))

    def _line(self, words: str) -> str:
        return next((line for line in self.said if words in line), "")

    def _last_line(self, words: str) -> str:
        if self.process.poll() is None:
            return ""
        for one in self.listening:
            one.join(PATIENCE_SECONDS)
        found = self._line(words)
        assert found, f"it ended, and never said {words!r}:\n{''.join(self.said)}"
        return found

    def client(self, home: Path) -> dict[str, str]:
        """The environment of a client of the Hub that knows only this gateway."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "WEIGHBRIDGE_"))}
        return {
            **kept,
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "NO_COLOR": "1",
        }


@contextlib.contextmanager
def running(command: Command, *options: str, env: Mapping[str, str] | None = None) -> Iterator[GatewayProcess]:
    """A gateway over a home, on a free port, until the end of the block."""
    process = command.start("serve", "--port", "0", *options, env=env)
    said: list[str] = []
    listening = [
        threading.Thread(target=_listen, args=(stream, said), daemon=True)
        for stream in (process.stdout, process.stderr)
    ]
    for one in listening:
        one.start()
    gateway = GatewayProcess(process, "", said, listening)
    try:
        gateway.endpoint = gateway.hear("HF_ENDPOINT=").partition("=")[2].strip()
        yield gateway
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for one in listening:
            one.join(5)


def _listen(stream: IO[str], said: list[str]) -> None:
    with stream:
        said.extend(iter(stream.readline, ""))


@dataclass
class Shelf:
    """A home with approved models, the folders they came from, and their revisions."""

    command: Command
    folders: dict[str, Path] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)

    def ingest(self, name: str, folder: Path) -> str:
        """Brings a folder in as `acme/<name>`, into quarantine."""
        done = self.command("ingest", str(folder), "--as", f"acme/{name}", "--fail-on", "never", "--json", code=None)
        revision = str(done.event("ingested")["revision"])
        self.folders[name], self.revisions[name] = folder, revision
        return revision

    def approve(self, name: str, *, channel: str = "production") -> None:
        """Approves the newest revision and points a channel to it."""
        reference = f"acme/{name}@{self.revisions[name]}"
        self.command("approve", reference, "--reason", "looked at it")
        self.command("promote", reference, "--channel", channel)

    def stored(self, name: str, path: str) -> Path:
        """Where an artifact lies in the approved store."""
        return self.command.home / "approved" / "models" / "acme" / name / self.revisions[name] / path


def sha256(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def llama(folder: Path) -> Path:
    """A tiny model that transformers loads, with file names that are awkward in URLs."""
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(CARD)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    for awkward in ("sub folder/a b%41+&#?.json", "模型/é.json", 'say "hi"; x=y.json'):
        (folder / awkward).parent.mkdir(exist_ok=True)
        (folder / awkward).write_text(json.dumps({"name": awkward}))
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (64, 16), "lm_head.weight": (64, 16)}
    shapes["model.norm.weight"] = (16,)
    for part, shape in (
        *((f"self_attn.{name}_proj", (16, 16)) for name in "qkvo"),
        ("mlp.gate_proj", (32, 16)),
        ("mlp.up_proj", (32, 16)),
        ("mlp.down_proj", (16, 32)),
        ("input_layernorm", (16,)),
        ("post_attention_layernorm", (16,)),
    ):
        shapes[f"model.layers.0.{part}.weight"] = shape
    random = numpy.random.default_rng(7)
    tensors = {name: random.standard_normal(shape).astype(numpy.float32) for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def large(folder: Path, *, seed: int, chunks: float = 2.5) -> Path:
    """A model of several chunks."""
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(CARD)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    count = int(chunks * CHUNK) // 4
    tensors = {"w": numpy.random.default_rng(seed).standard_normal(count, dtype=numpy.float32)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def fill(home: Path, folder: Path) -> Shelf:
    """A home with `acme/tiny` (two revisions, two channels), `acme/large` and `acme/gone`, and `acme/held` unapproved."""
    home.parent.mkdir(parents=True, exist_ok=True)
    policy = home.parent / "policy.toml"
    policy.write_text(POLICY)
    shelf = Shelf(Command(home, {"WEIGHBRIDGE_POLICY_FILE": str(policy)}))
    tiny = llama(folder / "tiny")
    shelf.revisions["first"] = shelf.ingest("tiny", tiny)
    shelf.approve("tiny")
    (tiny / "README.md").write_text(CARD + "More words.\n")
    shelf.ingest("tiny", tiny)
    shelf.approve("tiny")
    shelf.command("promote", f"acme/tiny@{shelf.revisions['tiny']}", "--channel", "staging")
    shelf.ingest("large", large(folder / "large", seed=1))
    shelf.approve("large")
    shelf.ingest("gone", large(folder / "gone", seed=2, chunks=0.1))
    shelf.approve("gone")
    shelf.ingest("held", large(folder / "held", seed=3, chunks=0.1))
    return shelf


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """The filled home, shared by all tests of a run."""
    base = tmp_path_factory.mktemp("gateway")
    return fill(base / "home", base / "models")


@pytest.fixture(scope="session")
def gateway(shelf: Shelf) -> Iterator[GatewayProcess]:
    """A gateway over the filled home, shared by all tests of a run."""
    with running(shelf.command) as process:
        yield process
