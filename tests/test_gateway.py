"""The gateway as a server process with the Hub's real clients: what they get, and what nobody gets."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import Command
from tests.support.gateway import CHUNK, GatewayProcess, Shelf, gateway, running, sha256, shelf
from tests.support.waiting import PATIENCE_SECONDS, eventually
from weighbridge.core.errors import ConfigError
from weighbridge.serve.chunk_cache import MIN_BYTES, ChunkCache

__all__ = ["gateway", "shelf"]
HF = str(Path(sys.executable).with_name("hf"))
LARGE = "/acme/large/resolve/main/model.safetensors"


def client(gateway: GatewayProcess, home: Path, script: str) -> Any:
    """Runs a Python script as a client and returns the JSON on its last line."""
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env=gateway.client(home),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def hf(gateway: GatewayProcess, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the Hub's command line."""
    return subprocess.run(
        [HF, *arguments], env=gateway.client(home), capture_output=True, text=True, timeout=120, check=False
    )


@contextlib.contextmanager
def asking_on(gateway: GatewayProcess, path: str) -> Iterator[list[int]]:
    """Somebody asks again and again; the statuses they got."""
    ended, answers = threading.Event(), [gateway.ask(path).status]

    def ask() -> None:
        while not ended.wait(0.01):
            answers.append(gateway.ask(path).status)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield answers
    finally:
        ended.set()
        asking.join()


def files_of(folder: Path) -> dict[str, str]:
    """All files of a folder, by path, with their digests."""
    return {path.relative_to(folder).as_posix(): sha256(path) for path in folder.rglob("*") if path.is_file()}


# --- clients, unmodified -------------------------------------------------------------------------

HUB_CALLS = """
import hashlib, json, os
from huggingface_hub import HfApi, hf_hub_download, get_hf_file_metadata, hf_hub_url, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError
api, name = HfApi(), "acme/tiny"
info = api.model_info(name, files_metadata=True)
small = api.model_info(name, expand=["siblings"])
meta = get_hf_file_metadata(hf_hub_url(name, "model.safetensors"))
said = {}
def tries(key, call):
    try: call()
    except Exception as error: said[key] = [type(error).__name__, str(error)]
tries("file", lambda: hf_hub_download(name, "nope.bin"))
tries("ref", lambda: hf_hub_download(name, "config.json", revision="beta"))
tries("model", lambda: api.model_info("acme/held"))
tries("pr", lambda: api.model_info(name, revision="refs/pr/1"))
folder = snapshot_download(name, revision="staging")
print(json.dumps({
    "sha": info.sha, "sizes": {one.rfilename: one.size for one in info.siblings}, "expanded": [small.sha, len(small.siblings)],
    "lfs": {one.rfilename: one.lfs.sha256 for one in info.siblings if one.lfs},
    "files": sorted(api.list_repo_files(name)),
    "tree": sorted((one.path, type(one).__name__) for one in api.list_repo_tree(name)),
    "inside": [one.path for one in api.list_repo_tree(name, "sub folder")],
    "paths": [one.path for one in api.get_paths_info(name, ["config.json", "sub folder", "nope"])],
    "branches": {one.name: one.target_commit for one in api.list_repo_refs(name).branches},
    "commits": [one.commit_id for one in api.list_repo_commits(name)],
    "models": [one.id for one in api.list_models()], "found": [one.id for one in api.list_models(search="TIN", author="acme")],
    "exists": [api.file_exists(name, "config.json"), api.file_exists(name, "x"), api.repo_exists(name), api.repo_exists("acme/held")],
    "etag": meta.etag, "size": meta.size, "commit": meta.commit_hash, "xet": meta.xet_file_data is None, "said": said,
    "got": {os.path.relpath(os.path.join(at, one), folder): hashlib.sha256(open(os.path.join(at, one), "rb").read()).hexdigest()
            for at, _, names in os.walk(folder) for one in names},
}))
"""


def test_the_hubs_own_library_notices_nothing(gateway: GatewayProcess, shelf: Shelf, tmp_path: Path) -> None:
    got = client(gateway, tmp_path, HUB_CALLS)
    source = files_of(shelf.folders["tiny"])
    assert got["got"] == source
    assert got["sha"] == got["commit"] == shelf.revisions["tiny"] == got["commits"][0]
    assert got["expanded"] == [None, len(source)]
    assert got["lfs"] == source
    assert got["etag"] == source["model.safetensors"]
    assert got["files"] == sorted(source)
    assert (
        got["size"] == got["sizes"]["model.safetensors"] == (shelf.folders["tiny"] / "model.safetensors").stat().st_size
    )
    assert ["sub folder", "RepoFolder"] in got["tree"]
    assert ["config.json", "RepoFile"] in got["tree"]
    assert got["inside"] == ["sub folder/a b%41+&#?.json"]
    assert got["paths"] == ["config.json", "sub folder"]
    assert got["branches"] == dict.fromkeys(("main", "production", "staging"), shelf.revisions["tiny"])
    assert {"acme/tiny", "acme/large"} <= set(got["models"])
    assert "acme/held" not in got["models"]
    assert got["found"] == ["acme/tiny"]
    assert got["exists"] == [True, False, True, False]
    assert got["xet"]
    assert got["said"]["file"][0] == "RemoteEntryNotFoundError"
    assert got["said"]["ref"][0] == got["said"]["pr"][0] == "RevisionNotFoundError"
    assert "Channels of acme/tiny: production, staging" in got["said"]["ref"][1]
    assert got["said"]["model"][0] == "RepositoryNotFoundError"
    assert "Ask for it: weighbridge request acme/held" in got["said"]["model"][1]


def test_163_shards_by_the_hubs_command_line(
    gateway: GatewayProcess, shelf: Shelf, r1_folder: Path, tmp_path: Path
) -> None:
    shelf.ingest("r1", r1_folder)
    with asking_on(gateway, "/api/models/acme/r1") as answers:
        shelf.approve("r1")
        # Whoever asked a moment ago leaves no "not here" behind for those who come after.
        assert gateway.ask("/api/models/acme/r1").status == 200
    assert answers[0] == 404
    done = hf(gateway, tmp_path, "download", "acme/r1", "--quiet")
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert folder.name == shelf.revisions["r1"]
    assert files_of(folder) == files_of(r1_folder)
    verified = hf(gateway, tmp_path, "cache", "verify", "acme/r1")
    assert verified.returncode == 0, verified.stderr
    first = gateway.ask("/api/models/acme/r1/tree/main?limit=100&recursive=true")
    assert len(first.json) == 100
    assert 'rel="next"' in first.headers["link"]


def test_curl_downloads_and_goes_on(gateway: GatewayProcess, shelf: Shelf, tmp_path: Path) -> None:
    file, source = tmp_path / "model", shelf.folders["large"] / "model.safetensors"
    file.write_bytes(source.read_bytes()[: CHUNK + 5])
    subprocess.run(["curl", "-sSf", "-C", "-", "-o", file, gateway.endpoint + LARGE], check=True, timeout=60)
    assert sha256(file) == sha256(source)


def test_the_way_of_llama_cpp_and_of_the_rust_client(gateway: GatewayProcess, shelf: Shelf) -> None:
    refs = gateway.ask("/api/models/acme/tiny/refs").json
    commit = {one["name"]: one["targetCommit"] for one in refs["branches"]}["main"]
    tree = {one["path"]: one for one in gateway.ask(f"/api/models/acme/tiny/tree/{commit}?recursive=true").json}
    assert tree["model.safetensors"]["lfs"]["oid"] == sha256(shelf.folders["tiny"] / "model.safetensors")
    probe = gateway.ask("/acme/tiny/resolve/main/model.safetensors", headers={"Range": "bytes=0-0"})
    size = tree["model.safetensors"]["size"]
    assert (probe.status, probe.headers["content-range"]) == (206, f"bytes 0-0/{size}")
    assert probe.headers["x-repo-commit"] == commit
    assert probe.headers["x-linked-etag"] == probe.headers["etag"] == f'"{tree["model.safetensors"]["lfs"]["oid"]}"'
    assert not [name for name in probe.headers if "xet" in name]


def test_an_earlier_revision_is_served_by_its_commit(gateway: GatewayProcess, shelf: Shelf) -> None:
    commit = shelf.revisions["first"]
    card = gateway.ask(f"/acme/tiny/resolve/{commit}/README.md")
    assert (card.status, card.headers["x-repo-commit"]) == (200, commit)
    assert b"More words" not in card.body
    assert b"More words" in gateway.ask("/acme/tiny/raw/main/README.md").body
    assert gateway.ask(f"/acme/tiny/resolve/{commit[:12]}/README.md").status == 404


# --- ranges and conditions -----------------------------------------------------------------------

SIZE = "size"
RANGES: list[tuple[str, int, Any]] = [
    ("bytes=0-7", 206, (0, 8)),
    ("bytes=0-0", 206, (0, 1)),
    (f"bytes={CHUNK - 3}-{CHUNK + 3}", 206, (CHUNK - 3, CHUNK + 4)),
    (f"bytes={2 * CHUNK}-", 206, (2 * CHUNK, None)),
    ("bytes=-100", 206, (-100, None)),
    ("bytes=5-99999999999", 206, (5, None)),
    ("bytes=-99999999999", 206, (0, None)),
    ("bytes=99999999999-", 416, None),
    ("bytes=-0", 416, None),
    ("bytes=7-3", 200, (0, None)),
    ("bytes=-", 200, (0, None)),
    ("bytes=0-1,5-6", 200, (0, None)),
    ("bytes=" + ",".join(["0-"] * 900), 200, (0, None)),
    ("lines=0-1", 200, (0, None)),
    ("bytes=+1-2", 200, (0, None)),
    ("bytes=0x1-2", 200, (0, None)),
]


@pytest.mark.parametrize(("asked", "status", "span"), RANGES, ids=[asked[:24] for asked, _, _ in RANGES])
def test_ranges(gateway: GatewayProcess, shelf: Shelf, asked: str, status: int, span: Any) -> None:
    whole = (shelf.folders["large"] / "model.safetensors").read_bytes()
    got = gateway.ask(LARGE, headers={"Range": asked})
    assert got.status == status
    if span is None:
        assert (got.body, got.headers["content-range"]) == (b"", f"bytes */{len(whole)}")
        return
    wanted = whole[slice(*span)]
    assert hashlib.sha256(got.body).digest() == hashlib.sha256(wanted).digest()
    assert int(got.headers["content-length"]) == len(wanted)


def test_conditions(gateway: GatewayProcess) -> None:
    head = gateway.ask(LARGE, method="HEAD")
    tag, other = head.headers["etag"], f'"{"0" * 64}"'

    def status(**headers: str) -> int:
        return gateway.ask(
            LARGE, headers={"Range": "bytes=0-9", **{k.replace("_", "-"): v for k, v in headers.items()}}
        ).status

    assert status(If_None_Match=tag) == status(If_None_Match=f"{other}, W/{tag}") == status(If_None_Match="*") == 304
    assert status(If_None_Match=other) == status(If_Match=tag) == status(If_Range=tag) == 206
    assert status(If_Match=other) == status(If_Match=f"W/{tag}") == 412
    assert (
        status(If_Range=other) == status(If_Range="Mon, 23 Nov 2026 09:00:00 GMT") == status(If_Range=f"W/{tag}") == 200
    )


@pytest.mark.parametrize(
    "path", ["model.safetensors", quote("sub folder/a b%41+&#?.json"), quote('say "hi"; x=y.json')]
)
def test_head_and_get_say_the_same(gateway: GatewayProcess, path: str) -> None:
    head, get = (gateway.ask(f"/acme/tiny/resolve/main/{path}", method=method) for method in ("HEAD", "GET"))
    for one in (head, get):
        one.headers.pop("date")
    assert head.headers == get.headers
    assert (head.status, head.body, len(get.body)) == (200, b"", int(head.headers["x-linked-size"]))


# --- hostile clients -----------------------------------------------------------------------------

TRICKS = [
    "/acme/tiny/resolve/main/../../../../etc/passwd",
    "/acme/tiny/resolve/main/%2e%2e/%2e%2e/etc/passwd",
    "/acme/tiny/resolve/main/..%2f..%2fetc%2fpasswd",
    "/acme/tiny/resolve/main/sub%20folder%2fa%20b%2541%2b%26%23%3f.json",
    "/acme/tiny/resolve/main/sub%20folder/../config.json",
    "/acme/tiny/resolve/main/./config.json",
    "/acme/tiny/resolve/main//config.json",
    "/acme/tiny/resolve/main/config.json/",
    "/acme/tiny/resolve/main/config.json%00",
    "/acme/tiny/resolve/main/config.json%0d%0aX-Evil:%201",
    "/acme/tiny/resolve/main/..%5c..%5cconfig.json",
    "/acme/tiny/resolve/main/%c0%ae%c0%ae/config.json",
    "/acme/tiny/resolve/main/%ff",
    "/acme/tiny/resolve/main/config.jso%6",
    "/acme/tiny/resolve/main/CONFIG.JSON",
    "/acme/tiny/resolve/main/e%CC%81.json",
    "/acme/tiny/resolve/main/config.json%E2%80%8B",
    "/acme/tiny/resolve/..%2f..%2frecords/config.json",
    "/acme/tiny/resolve/main%2fconfig.json/config.json",
    "/acme%2ftiny/resolve/main/config.json",
    "/acme/tiny%2f..%2ftiny/resolve/main/config.json",
    "/acme/../acme/tiny/resolve/main/config.json",
    "/ACME/tiny/resolve/main/config.json",
    "/tiny/resolve/main/config.json",
    "/datasets/acme/tiny/resolve/main/config.json",
    "/acme/tiny/resolve/production@main/config.json",
    "/api/models/acme/tiny/revision/..%2fproduction",
    "/api/models/acme/tiny/tree/main/..",
    "/api/models/acme/tiny/tree/main/%2e%2e%2frecords",
    "/api/models/../records/acme",
    "/api/models/acme/tiny/revision/" + "a" * 4000,
    "/api/datasets/acme/tiny",
    "/index/timestamp.json",
    "/records/acme/tiny",
    "/acme/tiny/blob/main/config.json",
]


@pytest.mark.parametrize("trick", TRICKS, ids=[trick[:70] for trick in TRICKS])
def test_no_way_of_writing_a_path_reaches_what_is_not_there(gateway: GatewayProcess, trick: str) -> None:
    for method in ("GET", "HEAD"):
        answer = gateway.ask(trick, method=method)
        assert answer.status in (400, 404), answer
        assert "x-evil" not in answer.headers
        assert answer.headers["x-error-message"]


def test_awkward_names_are_served_and_end_no_header(gateway: GatewayProcess, shelf: Shelf) -> None:
    for path in ("sub folder/a b%41+&#?.json", "模型/é.json", 'say "hi"; x=y.json'):
        answer = gateway.ask(f"/acme/tiny/resolve/main/{quote(path)}")
        assert answer.body == (shelf.folders["tiny"] / path).read_bytes()
        disposition = answer.headers["content-disposition"]
        assert disposition.startswith('attachment; filename="')
        assert disposition.isascii()
        assert disposition.count('"') == 2
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_too_much_is_refused(gateway: GatewayProcess) -> None:
    where = "/api/models/acme/tiny/paths-info/main"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert gateway.ask(where, method="POST", body=b"paths=config.json&expand=False", headers=form).json[0]["size"]
    as_json = {"Content-Type": "application/json"}
    asked = json.dumps({"paths": ["config.json", "sub folder", "/x", "../y"], "expand": True}).encode()
    found = gateway.ask(where, method="POST", body=asked, headers=as_json).json
    assert [one["path"] for one in found] == ["config.json", "sub folder"]
    assert found[0]["lastCommit"]["id"]
    for body, headers, status in (
        (b"[" * 200_000, as_json, 400),
        (b'{"paths": [1]}', as_json, 400),
        (b"[]", as_json, 400),
        (b"\xff\xfe", as_json, 400),
        (json.dumps({"paths": ["x"] * 1_001}).encode(), as_json, 413),
        (b"paths=x&" * 5_000, form, 400),
        (b"x" * (1024 * 1024 + 1), as_json, 413),
    ):
        assert gateway.ask(where, method="POST", body=body, headers=headers).status == status
    assert gateway.ask(where).status == 405
    assert gateway.ask("/api/models/acme/tiny", method="DELETE").status == 405
    assert gateway.ask("/api/models?cursor=%00%00").status == 400
    assert gateway.ask("/api/models?" + "a=1&" * 3_000).status in (400, 414)


def test_a_head_without_end_is_cut_off(gateway: GatewayProcess) -> None:
    for flood in (b"X-A: " + b"a" * 300_000, b"".join(b"X-%d: y\r\n" % n for n in range(30_000))):
        got = gateway.raw(b"GET /api/models HTTP/1.1\r\nHost: x\r\n" + flood)
        assert not got.startswith(b"HTTP/1.1 200")
    assert gateway.raw(b"GET /api/models HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert gateway.ask("/healthz").status == 200


def test_no_host_header_writes_the_link(gateway: GatewayProcess) -> None:
    asked = b'GET /api/models?limit=1 HTTP/1.1\r\nHost: evil"><x\r\nConnection: close\r\n\r\n'
    assert b"evil" not in gateway.raw(asked).partition(b"\r\n\r\n")[0]


# --- bytes ---------------------------------------------------------------------------------------


def test_many_readers_get_the_same_bytes(gateway: GatewayProcess, shelf: Shelf) -> None:
    wanted = sha256(shelf.folders["large"] / "model.safetensors")

    def digest(_: int) -> str:
        return hashlib.sha256(gateway.ask(LARGE).body).hexdigest()

    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(digest, range(10))) == {wanted}


@contextlib.contextmanager
def altered(file: Path, offset: int, *, keep_times: bool = True) -> Iterator[None]:
    """One byte of a stored file is another one for a while."""
    before, mode = file.stat(), file.stat().st_mode
    file.chmod(0o644)

    def flip() -> None:
        with file.open("r+b") as opened:
            opened.seek(offset)
            (byte,) = opened.read(1)
            opened.seek(offset)
            opened.write(bytes((byte ^ 1,)))
        if keep_times:
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    flip()
    try:
        yield
    finally:
        flip()
        file.chmod(mode)


def test_swapped_bytes_never_make_a_whole_file(shelf: Shelf, tmp_path: Path) -> None:
    stored, url = shelf.stored("large", "model.safetensors"), LARGE
    cache = tmp_path / "cache"
    with running(shelf.command, "--cache", str(cache), "--cache-bytes", str(MIN_BYTES)) as own:
        with altered(stored, 2 * CHUNK + 1_000):
            fetched = subprocess.run(
                ["curl", "-sS", "-o", tmp_path / "cut", own.endpoint + url], timeout=60, check=False
            )
            assert fetched.returncode == 18
            assert (tmp_path / "cut").stat().st_size == 2 * CHUNK
            own.hear("a download was cut off")
            own.hear("is not what was ingested")
            beyond = own.ask(url, headers={"Range": "bytes=-1"})
            assert (beyond.status, beyond.headers["x-error-message"]) == (
                409, "the stored bytes are not those that were approved; nothing of them was sent",
            )  # fmt: skip
            failed = hf(own, tmp_path / "hf", "download", "acme/large", "model.safetensors")
            assert failed.returncode != 0
            assert "not those that were approved" in failed.stdout + failed.stderr
            got = [path for path in (tmp_path / "hf").rglob("*") if path.is_file() and path.stat().st_size > 2 * CHUNK]
            assert got == []
            assert own.ask("/acme/large/resolve/main/config.json").status == 200
        eventually(lambda: own.ask(url, headers={"Range": "bytes=-1"}).status == 206)
        repaired = own.ask(url)
        assert hashlib.sha256(repaired.body).hexdigest() == sha256(shelf.folders["large"] / "model.safetensors")
        # What lies in the cache is believed no more than what lies in the store.
        kept = [path for path in cache.rglob("*") if path.is_file()]
        assert kept
        for path in kept:
            path.write_bytes(b"\0" * path.stat().st_size)
    with running(shelf.command, "--cache", str(cache), "--cache-bytes", str(MIN_BYTES)) as own:
        assert hashlib.sha256(own.ask(url).body).hexdigest() == sha256(shelf.folders["large"] / "model.safetensors")


def test_what_was_never_promoted_is_not_served_from_the_approved_store(gateway: GatewayProcess, shelf: Shelf) -> None:
    """Somebody who can write to the approved store copies a sealed revision out of quarantine."""
    revision = shelf.revisions["held"]
    home, inside = shelf.command.home, f"acme/held/{revision}"
    for kind in ("models", "records"):
        shutil.copytree(home / "store" / kind / inside, home / "approved" / kind / inside)
    for path in (f"/acme/held/resolve/{revision}/config.json", f"/api/models/acme/held/revision/{revision}"):
        answer = gateway.ask(path)
        assert (answer.status, answer.headers["x-error-code"]) == (404, "RevisionNotFound")
    shutil.rmtree(home / "approved" / "models" / "acme" / "held")
    shutil.rmtree(home / "approved" / "records" / "acme" / "held")


FALLS_BACK = """
import json
from huggingface_hub import hf_hub_download, snapshot_download
said = []
for call in (lambda: hf_hub_download("acme/gone", "config.json"), lambda: snapshot_download("acme/gone")):
    try: said.append(call())
    except Exception as error: said.append(type(error).__name__ + str(error))
print(json.dumps(said))
"""


def test_a_revocation_is_seen_within_a_second(gateway: GatewayProcess, shelf: Shelf, tmp_path: Path) -> None:
    assert "gone" in client(gateway, tmp_path, FALLS_BACK)[1]
    revision = shelf.revisions["gone"]
    shelf.command("revoke", f"acme/gone@{revision}", "--reason", "it phones home")
    end = time.monotonic() + 1
    # Asked all the time: what was answered a moment ago must not be answered again. However long an answer takes, what counts
    # is when it was asked for.
    paths = (
        "/acme/gone/resolve/main/config.json",
        "/api/models/acme/gone",
        f"/api/models/acme/gone/revision/{revision}",
    )
    while (begun := time.monotonic()) and any(gateway.ask(path).status == 200 for path in paths):
        assert begun < end
    for ref in ("main", "production", revision):
        refused = gateway.ask(f"/acme/gone/resolve/{ref}/config.json")
        assert refused.status == 410
        assert "it phones home" in refused.headers["x-error-message"]
    # A client that has it already must not fall back to it in silence.
    for said in client(gateway, tmp_path, FALLS_BACK):
        assert said.startswith("RevisionNotFoundError")
        assert "it phones home" in said
    assert "acme/gone" not in [one["id"] for one in gateway.ask("/api/models").json]


def test_nothing_proven_nothing_served(gateway: GatewayProcess, shelf: Shelf) -> None:
    """An index that cannot be believed closes the gateway; nothing older is shown in its place."""
    timestamp = shelf.command.home / "approved" / "index" / "timestamp.json"
    whole, mode = timestamp.read_bytes(), timestamp.stat().st_mode
    timestamp.chmod(0o644)
    timestamp.write_bytes(whole.replace(b'"version"', b'"Version"', 1))
    try:
        eventually(lambda: gateway.ask("/api/models/acme/tiny").status != 200)
        assert gateway.ask("/acme/tiny/resolve/main/config.json").status == 503
        assert gateway.ask("/readyz").status == 503
    finally:
        timestamp.write_bytes(whole)
        timestamp.chmod(mode)
    eventually(lambda: gateway.ask("/api/models/acme/tiny").status == 200)


def test_before_the_first_promotion_everything_is_missing_and_nothing_is_broken(
    weighbridge: Command, tmp_path: Path
) -> None:
    absent = "b" * 40
    with running(weighbridge) as own:
        assert (own.ask("/readyz").status, own.ask("/api/models").json) == (200, [])
        for path, code in (
            ("/api/models/acme/x", "RepoNotFound"),
            ("/acme/x/resolve/main/config.json", "RepoNotFound"),
            (f"/api/models/acme/x/revision/{absent}", "RevisionNotFound"),
        ):
            answer = own.ask(path)
            assert (answer.status, answer.headers["x-error-code"]) == (404, code)
            assert "Ask for it: weighbridge request acme/x" in answer.headers["x-error-message"]
            assert str(weighbridge.home) not in answer.body.decode()
    # An index that somebody else wrote is there, and nothing here says whether it may be believed.
    index = weighbridge.home / "approved" / "index"
    index.mkdir(parents=True)
    (index / "timestamp.json").write_bytes(b"{}")
    with running(weighbridge) as own:
        assert own.ask("/readyz").status == own.ask("/api/models/acme/x").status == 503


def test_a_successor_takes_over_without_a_refused_connection(shelf: Shelf) -> None:
    with running(shelf.command) as own:
        failed: list[str] = []
        asked, stop = 0, threading.Event()

        def ask() -> None:
            nonlocal asked
            while not stop.is_set():
                try:
                    assert own.ask("/api/models/acme/tiny").status == 200
                    asked += 1
                except (OSError, http.client.HTTPException) as error:
                    failed.append(repr(error))
                time.sleep(0.01)

        asking = threading.Thread(target=ask)
        asking.start()
        own.process.send_signal(signal.SIGHUP)
        assert own.process.wait(PATIENCE_SECONDS) == 0
        stop.set()
        asking.join()
        assert failed == []
        assert asked > 0
        assert own.ask("/healthz").status == 200
        (heir,) = heirs(own)
        os.kill(heir, signal.SIGTERM)
        eventually(lambda: not heirs(own))


def heirs(own: GatewayProcess) -> list[int]:
    """The processes that listen on the gateway's port now."""
    port = f":{own.address[1]:04X}"
    inodes = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[1].endswith(port) and line.split()[3] == "0A"
    }
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                links = {os.readlink(one) for one in (folder / "fd").iterdir()}
                if links & {f"socket:[{inode}]" for inode in inodes}:
                    found.append(int(folder.name))
    return found


# --- the cache of chunks -------------------------------------------------------------------------


def chunk(number: int) -> tuple[str, bytes]:
    """A chunk and its digest."""
    from blake3 import blake3

    data = bytes((number,)) * CHUNK
    return blake3(data).hexdigest(), data


def test_the_cache_is_bounded_and_forgets_the_oldest(tmp_path: Path) -> None:
    cache = ChunkCache(tmp_path, MIN_BYTES)
    chunks = [chunk(number) for number in range(5)]
    view = memoryview(bytearray(CHUNK))
    for digest, data in chunks[:4]:
        cache.write(digest, memoryview(data))
    assert cache.read(chunks[0][0], view)
    cache.write(chunks[4][0], memoryview(chunks[4][1]))
    assert cache.total_bytes == sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) == MIN_BYTES
    assert [cache.read(digest, view) for digest, _ in chunks] == [True, False, True, True, True]
    again = ChunkCache(tmp_path, MIN_BYTES)
    assert again.read(chunks[4][0], view)
    assert bytes(view) == chunks[4][1]
    with pytest.raises(ConfigError):
        ChunkCache(tmp_path, CHUNK)


@pytest.mark.parametrize("attack", ["altered", "short", "long", "link", "pipe", "folder", "gone"])
def test_nothing_in_the_cache_is_believed(tmp_path: Path, attack: str) -> None:
    cache = ChunkCache(tmp_path / "cache", MIN_BYTES)
    digest, data = chunk(1)
    cache.write(digest, memoryview(data))
    (file,) = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    file.unlink()
    outside = tmp_path / "outside"
    outside.write_bytes(data)
    if attack in ("altered", "short", "long"):
        file.write_bytes({"altered": data[:-1] + b"x", "short": data[:-1], "long": data + b"x"}[attack])
    elif attack == "link":
        file.symlink_to(outside)
    elif attack == "pipe":
        os.mkfifo(file)
    elif attack == "folder":
        file.mkdir()
    assert not cache.read(digest, memoryview(bytearray(CHUNK)))
    assert cache.total_bytes == 0
    assert outside.read_bytes() == data
    if attack != "folder":
        cache.write(digest, memoryview(data))
        assert cache.read(digest, memoryview(bytearray(CHUNK)))


def test_metrics_count_what_was_proven_and_how_old_the_index_is(gateway: GatewayProcess) -> None:
    assert gateway.ask("/acme/tiny/resolve/main/config.json").status == 200
    told = gateway.ask("/metrics").body.decode().splitlines()
    found = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in told if not line.startswith("#")}
    assert found['weighbridge_chunks_total{result="good"}'] >= 1
    assert 0 <= found["weighbridge_index_age_seconds"] < 60
