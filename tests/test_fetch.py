"""A verified folder on an inference node: whole or absent, resumable, never something else; and the engine that loads it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Command, Ran
from tests.support.cases import each
from tests.support.cutting_proxy import Cue, cutting
from tests.support.gateway import Shelf, large
from tests.support.loading import Depot, Lying, lying_node
from tests.support.seaweed import S3Server
from weighbridge.cli.progress import Silent
from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import (
    Busy,
    ConfigError,
    Denied,
    DigestMismatch,
    IntegrityError,
    LengthMismatch,
    OutOfSpace,
    Revoked,
    StoreUnreachable,
)
from weighbridge.serve.loading.engine import asks_for_remote_code, check_remote_code, engine_command, engine_environment
from weighbridge.serve.loading.folder import Fetched, FetchOptions, fetch
from weighbridge.serve.loading.node import Node
from weighbridge.serve.loading.partial import PARTIAL

FILES = {
    "config.json": b"{}",
    "README.md": b"# words\n",
    "nested/deep/vocab.txt": b"a\nb\n",
    "empty.txt": b"",
    "model.safetensors": random.Random(1).randbytes(2 * CHUNK_BYTES + 12_345),
}


class Seen(Silent):
    """Counts what advanced; at `stop_at` bytes it calls `then`."""

    def __init__(self, stop_at: int = 1 << 60, then: Callable[[], None] = lambda: None) -> None:
        self.bytes = 0
        self._stop_at = stop_at
        self._then = then

    def advanced(self, path: str, size_bytes: int, total_bytes: int) -> None:
        self.bytes += size_bytes
        if self.bytes >= self._stop_at:
            self._then()


def options(observer: Seen | None = None, **more: bool) -> FetchOptions:
    """Options of a fetch with one stream, so that what is read when is known."""
    return FetchOptions(observer or Seen(), threading.Event(), 1, **more)


def contents(folder: Path) -> dict[str, bytes]:
    """What lies in a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def left_beside(folder: Path) -> list[str]:
    """What else lies where the folder is to appear."""
    return sorted(path.name for path in folder.parent.iterdir() if path != folder)


@pytest.fixture
def depot(tmp_path: Path) -> Depot:
    """An approved store with one model."""
    found = Depot(tmp_path / "depot")
    found.approve(FILES)
    return found


@pytest.fixture
def node(depot: Depot) -> Iterator[Node]:
    """A node of that store."""
    with depot.node() as opened:
        yield opened


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where a folder is to appear."""
    (tmp_path / "models").mkdir()
    return tmp_path / "models" / "tiny"


def get(node: Node, target: Path, chosen: FetchOptions | None = None, name: str = "acme/tiny") -> Fetched:
    """Fetches a model."""
    return fetch(node.approved, node.resolve(name), target, chosen or options())


# --- whole or absent ----------------------------------------------------------------------------


def test_the_folder_holds_exactly_the_files_and_nobody_writes_to_them(node: Node, target: Path) -> None:
    fetched = get(node, target)
    assert fetched.how == "fetched"
    assert contents(target) == FILES
    assert left_beside(target) == []
    assert {path.stat().st_mode & 0o777 for path in target.rglob("*") if path.is_file()} == {0o444}
    assert {path.stat().st_mode & 0o777 for path in (target, target / "nested")} == {0o755}


def test_a_folder_that_holds_it_already_is_proven_and_left_alone(node: Node, target: Path) -> None:
    get(node, target)
    before = target.stat().st_ino
    again = get(node, target)
    assert (again.how, again.read_bytes, target.stat().st_ino) == ("kept", 0, before)


def altered(path: Path) -> None:
    """One bit of a file is changed, and nothing shows it."""
    status = path.stat()
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    path.chmod(0o444)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def linked(path: Path) -> None:
    """A file is exchanged for a link to the same bytes."""
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


CHANGES: dict[str, tuple[Callable[[Path], object], type[Exception]]] = {
    "a bit": (lambda folder: altered(folder / "model.safetensors"), DigestMismatch),
    "a byte less": (lambda folder: os.truncate(folder / "config.json", 1), LengthMismatch),
    "a file more": (lambda folder: (folder / "modeling.py").write_text("import os"), ConfigError),
    "a file less": (lambda folder: (folder / "config.json").unlink(), ConfigError),
    "a link": (lambda folder: linked(folder / "model.safetensors"), ConfigError),
    "a linked folder": (lambda folder: (folder / "more").symlink_to("/"), ConfigError),
}


@each("change", CHANGES)
def test_other_content_is_refused_unless_it_is_to_be_replaced(tmp_path: Path, change: str) -> None:
    depot = Depot(tmp_path / change)
    depot.approve({**FILES, "model.safetensors": b"weights"})
    target = tmp_path / change / "models" / "tiny"
    with depot.node() as node:
        get(node, target)
        alter, error = CHANGES[change]
        alter(target)
        with pytest.raises(error) as refused:
            get(node, target)
        assert "--replace" in str(getattr(refused.value, "hint", ""))
        assert get(node, target, options(replace=True)).how == "replaced"
        assert contents(target) == {**FILES, "model.safetensors": b"weights"}
        assert not any(name.startswith(".tiny") for name in left_beside(target))


def test_a_newer_revision_is_exchanged_in_one_step(depot: Depot, node: Node, target: Path) -> None:
    get(node, target)
    depot.approve({**FILES, "config.json": b'{"newer": 1}'})
    with depot.node() as later:
        with pytest.raises((IntegrityError, ConfigError)):
            get(later, target)
        seen: set[bytes] = set()
        over = threading.Event()

        def look() -> None:
            while not over.is_set():
                seen.add((target / "config.json").read_bytes())

        looking = threading.Thread(target=look)
        looking.start()
        get(later, target, options(replace=True))
        over.set()
        looking.join()
    assert seen <= {b"{}", b'{"newer": 1}'}
    assert (target / "config.json").read_bytes() == b'{"newer": 1}'


@each("lies", [{"thesis.tex": b"years"}, {"README.md": b"mine"}, {".git/config": b"", "src/model.py": b""}])
def test_a_folder_that_holds_no_model_is_never_removed(node: Node, target: Path, lies: dict[str, bytes]) -> None:
    for name, data in lies.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(data)
    with pytest.raises(ConfigError, match="holds no model, and would be removed"):
        get(node, target, options(replace=True))
    assert contents(target) == lies
    shutil.rmtree(target)


def test_the_folder_that_the_command_was_started_in_is_never_removed(
    node: Node, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (target / "below").mkdir(parents=True)
    (target / "config.json").write_bytes(b"another's")
    monkeypatch.chdir(target / "below")
    with pytest.raises(ConfigError, match="where this command was started"):
        get(node, target, options(replace=True))
    assert (target / "config.json").read_bytes() == b"another's"


def test_what_is_no_folder_is_in_the_way(node: Node, target: Path) -> None:
    target.write_text("mine")
    with pytest.raises(ConfigError, match="no folder"):
        get(node, target, options(replace=True))
    target.unlink()
    target.symlink_to(target.parent)
    with pytest.raises(ConfigError, match="no folder"):
        get(node, target)


def test_an_empty_folder_is_filled(node: Node, target: Path) -> None:
    target.mkdir()
    assert get(node, target).how == "fetched"
    assert contents(target) == FILES


def test_a_folder_without_weights_says_so(node: Node, target: Path) -> None:
    get(node, target, options(weights=False))
    left = contents(target)
    assert json.loads(left.pop(PARTIAL))["left_out"] == ["model.safetensors"]
    assert left == {path: data for path, data in FILES.items() if path != "model.safetensors"}
    assert get(node, target, options(weights=False)).how == "kept"
    with pytest.raises(ConfigError):
        get(node, target)


# --- what goes wrong ----------------------------------------------------------------------------


def stopped_half_way(node: Node, target: Path) -> None:
    """A fetch that is interrupted after its first whole chunk."""
    stop = threading.Event()
    chosen = FetchOptions(Seen(CHUNK_BYTES, stop.set), stop, 1)
    with pytest.raises(Exception, match="stopped"):
        get(node, target, chosen)


def test_it_goes_on_where_it_was_stopped(node: Node, target: Path) -> None:
    stopped_half_way(node, target)
    assert not target.exists()
    assert left_beside(target) != []
    again = get(node, target)
    assert again.resumed_bytes >= CHUNK_BYTES
    assert again.read_bytes + again.resumed_bytes == sum(map(len, FILES.values()))
    assert contents(target) == FILES
    assert left_beside(target) == []


def test_what_changed_while_it_was_stopped_is_read_again(node: Node, target: Path) -> None:
    stopped_half_way(node, target)
    (staging,) = target.parent.iterdir()
    with (staging / "files" / "model.safetensors").open("r+b") as file:
        file.write(b"evil")
    with (staging / "journal").open("ab") as journal:
        journal.write(random.Random(3).randbytes(8 * 50 + 3))
    get(node, target)
    assert contents(target) == FILES


def test_a_journal_of_something_else_counts_for_nothing(node: Node, target: Path) -> None:
    stopped_half_way(node, target)
    (staging,) = target.parent.iterdir()
    (staging / "journal").write_bytes(b"f" * 64 + b"\n" + bytes(800))
    assert get(node, target).resumed_bytes == 0
    assert contents(target) == FILES


def test_two_at_once_do_not_mix(node: Node, target: Path) -> None:
    sealed = node.resolve("acme/tiny")
    refused: list[str] = []

    def other() -> None:
        try:
            fetch(node.approved, sealed, target, options())
        except Busy as error:
            refused.append(error.message)

    def begin() -> None:
        if not refused:
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()

    fetch(node.approved, sealed, target, options(Seen(1, begin)))
    assert len(refused) == 1
    assert contents(target) == FILES


@each("name", ["model.safetensors", "seal.dsse.json"])
def test_what_is_missing_from_the_store_is_told_with_its_revision(tmp_path: Path, name: str) -> None:
    depot = Depot(tmp_path / name)
    depot.approve(FILES)
    (missing,) = (depot.folder / "approved").rglob(name)
    missing.unlink()
    target = tmp_path / name / "models" / "tiny"
    with depot.node() as node, pytest.raises(IntegrityError) as refused:
        get(node, target)
    assert refused.value.message.startswith("acme/tiny@")
    assert name in refused.value.message
    assert "Restore the object" in refused.value.hint
    assert not target.exists()


@pytest.mark.fault
@each("kind", ("flipped", "older", "shorter"))
def test_swapped_bytes_never_make_a_folder(tmp_path: Path, kind: str) -> None:
    depot = Depot(tmp_path / kind)
    manifest = depot.approve(FILES)
    data = FILES["model.safetensors"]
    wrong = {
        "flipped": bytes([*data[:CHUNK_BYTES], data[CHUNK_BYTES] ^ 1, *data[CHUNK_BYTES + 1 :]]),
        "older": random.Random(2).randbytes(len(data)),
        "shorter": data[:-1],
    }
    depot.path(manifest, "model.safetensors").write_bytes(wrong[kind])
    target = tmp_path / kind / "models" / "tiny"
    with depot.node() as node:
        with pytest.raises(IntegrityError):
            get(node, target)
        assert not target.exists()
        depot.path(manifest, "model.safetensors").write_bytes(data)
        get(node, target)
    assert contents(target) == FILES


@pytest.mark.fault
def test_a_stream_that_breaks_is_taken_up_again(node: Node, target: Path) -> None:
    asked: set[tuple[str, int]] = set()

    def answer(key: str, start: int, _end: int) -> bytes | None:
        if (key, start) not in asked:
            asked.add((key, start))
            raise StoreUnreachable(f"'{key}' does not answer")
        return None

    store = Lying(node.store, answer)
    with lying_node(node, store):
        get(node, target)
    assert contents(target) == FILES


def test_revoked_while_it_was_fetched_it_does_not_appear(depot: Depot, node: Node, target: Path) -> None:
    sealed = node.resolve("acme/tiny")
    manifest = sealed.manifest

    def revoke() -> None:
        depot.writer.revoke(manifest.model_name, manifest.revision, "found out")
        time.sleep(0.6)

    with pytest.raises(Revoked):
        fetch(node.approved, sealed, target, options(Seen(sum(map(len, FILES.values())), revoke)))
    assert not target.exists()


def test_a_volume_that_is_too_small_is_known_beforehand(
    node: Node, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = os.statvfs(target.parent)
    full = os.statvfs_result((*found[:4], 1, *found[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _path: full)
    with pytest.raises(OutOfSpace, match="room"):
        get(node, target)
    assert not target.exists()


def test_room_that_a_stopped_fetch_took_is_not_asked_for_again(
    node: Node, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_half_way(node, target)
    for path in next(target.parent.glob(".*.fetching")).glob("files/**/*"):
        if path.is_file():
            path.write_bytes(b"?" * path.stat().st_size)
    found = os.statvfs(target.parent)
    full = os.statvfs_result((*found[:4], 1, *found[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _path: full)
    get(node, target)
    assert contents(target) == FILES


def test_a_limit_that_is_met_while_writing_is_told(depot: Depot, target: Path, tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({CHUNK_BYTES}, {CHUNK_BYTES}))\n"
        "from weighbridge.cli.app import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    arguments = ["fetch", "acme/tiny", str(target), "--trust", str(depot.trust()), "--state", str(tmp_path / "s")]
    ran = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 1, ran.stderr
    assert "cannot be written" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not target.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder to somebody else")
def test_a_staging_folder_of_somebody_else_is_not_used(node: Node, target: Path) -> None:
    stopped_half_way(node, target)
    (staging,) = target.parent.iterdir()
    os.chown(staging, 12345, 12345)
    with pytest.raises(ConfigError, match="not ours"):
        get(node, target)


# --- the command --------------------------------------------------------------------------------


@pytest.fixture
def on_node(weighbridge: Command, depot: Depot, tmp_path: Path) -> Command:
    """The command line of a node: no home, a trust file, a folder of state."""
    weighbridge.environment.update({"WEIGHBRIDGE_TRUST": str(depot.trust()), "WEIGHBRIDGE_STATE": str(tmp_path / "st")})
    return weighbridge


def test_fetch_as_an_init_container_runs_it(on_node: Command, depot: Depot, target: Path) -> None:
    ran = on_node("fetch", "acme/tiny", str(target), "--json")
    done = ran.event("fetched")
    manifest = depot.manifests["acme/tiny"]
    assert (done["how"], done["revision"], done["manifest_sha256"]) == ("fetched", manifest.revision, manifest.digest)
    assert on_node("fetch", "acme/tiny@production", str(target), "--json").event("fetched")["how"] == "kept"
    assert on_node("fetch", "acme/none", str(target), code=3).code == 3
    altered(target / "config.json")
    assert "altered" in on_node("fetch", "acme/tiny", str(target), code=6).err
    depot.writer.revoke(manifest.model_name, manifest.revision, "found out")
    assert "revoked" in on_node("fetch", "acme/tiny", str(target), code=7).err
    assert not (on_node.home / "ledger.sqlite").exists()
    assert not (on_node.home / "keys").exists()


def test_without_anything_to_trust_nothing_is_fetched(weighbridge: Command, target: Path) -> None:
    ran = weighbridge("fetch", "acme/tiny", str(target), code=2)
    assert "weighbridge trust export" in ran.err
    assert weighbridge("fetch", "acme/tiny", str(target), "--store", "s3://elsewhere", code=2).code == 2


def stopped_by(on_node: Command, number: int, target: Path, *words: str) -> tuple[int, str]:
    """Exit code and stderr of a command that got a signal when part of the model was there."""
    for _ in range(20):
        process = on_node.start(*words)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if any(path.stat().st_size > 73 for path in target.parent.glob(".*/journal")):
                process.send_signal(number)
                break
            time.sleep(0.001)
        out, err = process.communicate(timeout=60)
        assert process.returncode is not None
        if process.returncode:
            assert "engine started" not in out
            return process.returncode, err
        # It was quicker than the signal.
        shutil.rmtree(target)
    raise AssertionError("never stopped half way")


@pytest.mark.fault
@each(
    "number, code, words",
    (
        (signal.SIGKILL, -signal.SIGKILL, ("fetch", "acme/long", "TARGET", "--streams", "1")),
        (signal.SIGTERM, 143, ("fetch", "acme/long", "TARGET", "--streams", "1")),
        (signal.SIGINT, 130, ("fetch", "acme/long", "TARGET", "--streams", "1")),
        (
            signal.SIGTERM,
            143,
            ("run", "acme/long", "--dir", "TARGET", "--streams", "1", "--", "echo", "engine started"),
        ),
    ),
)
def test_stopped_half_way_nothing_looks_whole_and_it_goes_on(
    on_node: Command, depot: Depot, tmp_path: Path, number: int, code: int, words: tuple[str, ...]
) -> None:
    files = {"config.json": b"{}", "model.safetensors": bytes(5 * CHUNK_BYTES + 1)}
    if "acme/long" not in depot.manifests:
        depot.approve(files, name="acme/long")
    target = tmp_path / f"{words[0]}{number}" / "models" / "long"
    target.parent.mkdir(parents=True)
    got, err = stopped_by(on_node, number, target, *(str(target) if word == "TARGET" else word for word in words))
    assert (got, "Traceback" in err) == (code, False), err
    assert not target.exists()
    (staging,) = target.parent.iterdir()
    assert (staging.name[0], staging.stat().st_mode & 0o077) == (".", 0)
    done = on_node("fetch", "acme/long", str(target), "--json").event("fetched")
    assert done["resumed_bytes"] >= CHUNK_BYTES
    assert done["resumed_bytes"] + done["read_bytes"] == sum(map(len, files.values()))
    assert contents(target) == files
    assert left_beside(target) == []


def engine(on_node: Command, *words: str, script: str, code: int = 0) -> Ran:
    """Runs a model with an engine that is a few lines of Python."""
    return on_node("run", "acme/tiny", *words, "--", sys.executable, "-c", script, "{}", code=code)


def test_run_becomes_the_engine(on_node: Command, target: Path) -> None:
    on_node.environment.update(
        {
            "HF_TOKEN": "hf_secret",
            "HTTPS_PROXY": "http://proxy.example:3128",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "eu-west-1",
            "OPENAI_BASE": "kept",
            "TRUST_REMOTE_CODE": "true",
        }
    )
    script = "import os, sys, json; print(json.dumps([os.getpid(), sys.argv[1:], dict(os.environ)])); sys.exit(41)"
    process = on_node.start(
        "run", "acme/tiny", "--dir", str(target), "--", sys.executable, "-c", script, "{}", "a=$MODEL_DIR"
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 41, err
    pid, arguments, environment = json.loads(out)
    assert pid == process.pid
    assert arguments == [str(target), f"a={target}"]
    assert (
        environment.items()
        >= {
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "MODEL_DIR": str(target),
            "AWS_REGION": "eu-west-1",
            "OPENAI_BASE": "kept",
        }.items()
    )
    gone = {"HF_TOKEN", "HTTPS_PROXY", "AWS_SECRET_ACCESS_KEY", "TRUST_REMOTE_CODE", "WEIGHBRIDGE_TRUST"}
    assert gone.isdisjoint(environment)
    assert "HF_TOKEN" in err
    assert "hf_secret" not in err
    assert contents(target) == FILES


@each("program", ["no-such-engine", "./no-such-engine", "/etc/passwd", "/tmp"])
def test_a_command_that_is_not_there_is_told_before_anything_is_fetched(
    on_node: Command, target: Path, program: str
) -> None:
    ran = on_node("run", "acme/tiny", "--dir", str(target), "--", program, "{}", code=2)
    assert f"'{program}' is no program that can be run here" in ran.err
    assert left_beside(target) == []


def test_signals_reach_the_engine(on_node: Command, target: Path) -> None:
    script = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "print('ready', flush=True)\ntime.sleep(60)"
    )
    process = on_node.start("run", "acme/tiny", "--dir", str(target), "-q", "--", sys.executable, "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 7
    process.communicate(timeout=5)


def test_the_engine_starts_as_any_program_does(on_node: Command, target: Path) -> None:
    """Python ignores two signals, which programs inherit and do not expect; and no open file is left to the engine."""
    on_node("fetch", "acme/tiny", str(target))
    ran = on_node("run", "acme/tiny", "--dir", str(target), "-q", "--", "cat", "/proc/self/status")
    ignored = int(next(line for line in ran.out.splitlines() if line.startswith("SigIgn")).split()[1], 16)
    assert not ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)
    listed = on_node("run", "acme/tiny", "--dir", str(target), "-q", "--", "ls", "-l", "/proc/self/fd").out
    assert str(target.parent.parent) not in listed
    assert "socket:" not in listed


def test_an_engine_never_starts_on_what_was_altered(on_node: Command, target: Path) -> None:
    engine(on_node, "--dir", str(target), script="")
    altered(target / "model.safetensors")
    ran = engine(on_node, "--dir", str(target), script="print('started')", code=6)
    assert "started" not in ran.out
    assert "started" in engine(on_node, "--dir", str(target), "--replace", script="print('started')").out


def test_what_cannot_be_run_is_a_mistake_of_usage(on_node: Command, target: Path) -> None:
    on_node("run", "acme/tiny", "--dir", str(target), code=2)
    ran = on_node("run", "acme/tiny", "--dir", str(target), "--", "no-such-engine", "{}", code=2)
    assert "no-such-engine" in ran.err


# --- what an engine is told ---------------------------------------------------------------------


def test_places_in_the_command() -> None:
    words = engine_command(["vllm", "serve", "{}", "--x=${MODEL_DIR}/y", "$MODEL_DIRS"], Path("/m"))
    assert words == ["vllm", "serve", "/m", "--x=/m/y", "$MODEL_DIRS"]
    with pytest.raises(ConfigError):
        engine_command([], Path("/m"))


ASKING = (
    "--trust-remote-code",
    "--trust_remote_code",
    "--trust-remote-code=true",
    "--trust-remote-c",
    "--TRUST-REMOTE-CODE",
    '--hf-overrides={"trust_remote_code": true}',
    "trust_remote_code=True",
)
NOT_ASKING = (
    "--trust-remote-code=false",
    "trust_remote_code=False",
    '{"trust_remote_code": false}',
    "--no-trust-remote-code",
)


@each("word", ASKING)
def test_remote_code_is_noticed_however_it_is_asked_for(word: str) -> None:
    assert asks_for_remote_code(["vllm", "serve", "{}", word]) == word


@each("word", NOT_ASKING)
def test_who_declines_remote_code_does_not_ask_for_it(word: str) -> None:
    assert asks_for_remote_code(["vllm", "serve", "{}", word]) == ""


def test_remote_code_runs_only_when_it_was_accepted_and_is_allowed(depot: Depot) -> None:
    depot.approve({"config.json": b"{}", "modeling.py": b"x = 1\n"}, name="acme/code", code=True)
    with depot.node() as node:
        plain, code = node.resolve("acme/tiny"), node.resolve("acme/code")
    command = ["vllm", "serve", "{}", "--trust-remote-code"]
    check_remote_code(command, code, allowed=True)
    check_remote_code(command[:-1], plain, allowed=False)
    for sealed, allowed in ((code, False), (plain, True), (plain, False)):
        with pytest.raises(Denied):
            check_remote_code(command, sealed, allowed=allowed)


def test_the_engine_gets_no_secret_unless_it_is_named() -> None:
    secrets = {
        "HF_TOKEN": "t", "HUGGING_FACE_HUB_TOKEN": "t", "HUGGINGFACE_TOKEN": "t", "https_proxy": "p", "ALL_PROXY": "p",
        "NO_PROXY": "p", "AWS_ACCESS_KEY_ID": "a", "AWS_SESSION_TOKEN": "a", "AWS_WEB_IDENTITY_TOKEN_FILE": "a",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "a", "GOOGLE_APPLICATION_CREDENTIALS": "g", "AZURE_CLIENT_SECRET": "z",
        "WEIGHBRIDGE_STORE": "s", "HF_ENDPOINT": "e", "VLLM_USE_MODELSCOPE": "True", "HF_TRUST_REMOTE_CODE": "1",
        "MODEL_ID": "org/another", "HF_MODEL_ID": "another", "LLAMA_ARG_HF_REPO": "org/another", "SGLANG_USE_MODELSCOPE": "1",
        "LLAMA_ARG_MODEL_URL": "https://hub.example/a.gguf",
    }  # fmt: skip
    kept = {
        "PATH": "/bin",
        "SM_VLLM_MODEL": "/opt/ml/model",
        "AWS_DEFAULT_REGION": "r",
        "CUDA_VISIBLE_DEVICES": "0",
        "HF_HOME": "/h",
    }
    environment, taken = engine_environment({**secrets, **kept}, Path("/m"), keep=("NO_PROXY",))
    assert taken == sorted(secrets.keys() - {"NO_PROXY"})
    assert environment.items() >= {**kept, "NO_PROXY": "p"}.items()
    assert engine_environment({"HF_TRUST_REMOTE_CODE": "1"}, Path("/m"), remote_code=True)[1] == []


# --- a real bucket ------------------------------------------------------------------------------


@pytest.mark.s3
def test_from_a_bucket_with_read_only_credentials_through_cut_connections(
    on_s3: Command, s3_server: S3Server, tmp_path: Path
) -> None:
    bucket = s3_server.bucket()
    on_s3.environment["WEIGHBRIDGE_STORE_APPROVED"] = f"s3://{bucket}/approved"
    on_s3.environment["WEIGHBRIDGE_STORE_QUARANTINE"] = f"s3://{bucket}/quarantine"
    shelf = Shelf(on_s3)
    shelf.ingest("large", large(tmp_path / "large", seed=1))
    shelf.approve("large")
    exported = on_s3("trust", "export", str(tmp_path / "trust.json"), "--json").json
    assert on_s3("trust", "show", str(tmp_path / "trust.json"), "--json").json == exported
    assert on_s3("fetch", "acme/large", str(tmp_path / "at-home"), "--json").event("fetched")["how"] == "fetched"
    with cutting(s3_server.endpoint) as proxy:
        node = Command(
            tmp_path / "no-home",
            {
                "AWS_ACCESS_KEY_ID": s3_server.reader_key,
                "AWS_SECRET_ACCESS_KEY": s3_server.reader_secret,
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
                "WEIGHBRIDGE_STORE_S3_ENDPOINT": proxy.endpoint,
                "WEIGHBRIDGE_TRUST": str(tmp_path / "trust.json"),
                "WEIGHBRIDGE_TRUST_SHA256": exported["sha256"],
                "WEIGHBRIDGE_STATE": str(tmp_path / "state"),
            },
        )
        proxy.cues.append(Cue(r"GET /.*model\.safetensors", times=2, after=50))
        target = tmp_path / "models" / "large"
        node("fetch", "acme/large", str(target))
        assert proxy.cues[0].struck == 2
        assert contents(target) == contents(tmp_path / "large")
        # The version that was approved is read, whatever lies above it now.
        key = f"approved/models/acme/large/{shelf.revisions['large']}/model.safetensors"
        s3_server.client().put_object(Bucket=bucket, Key=key, Body=b"swapped")
        again = node("run", "acme/large", "--dir", str(tmp_path / "other"), "--", sys.executable, "-c", "print('up')")
        assert again.out == "up\n"
        assert contents(tmp_path / "other") == contents(tmp_path / "large")
