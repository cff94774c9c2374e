"""The gateway over a real S3 store: proven bytes, shared reads, and redirects to short-lived addresses of sealed versions."""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import json
import random
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import requests
from blake3 import blake3

from tests.conftest import Command
from tests.support.cutting_proxy import CuttingProxy, cutting
from tests.support.gateway import CHUNK, POLICY, GatewayProcess, Shelf, large, running, sha256
from tests.support.seaweed import S3Server
from tests.support.waiting import eventually
from weighbridge.admit.policy_file import load_policy
from weighbridge.core.config import StoreSettings
from weighbridge.core.errors import ConfigError, ObjectMissing, StoreUnreachable
from weighbridge.core.manifest import Artifact
from weighbridge.core.names import Address
from weighbridge.core.ports import StoredObject
from weighbridge.serve.chunk_cache import ChunkCache
from weighbridge.serve.conditions import Conditions, Plan
from weighbridge.serve.redirects import POLICY_SECONDS, Redirects, RedirectTerms
from weighbridge.serve.streaming import ProvenBytes
from weighbridge.store.folder import FolderStore
from weighbridge.store.s3 import S3Store
from weighbridge.wire.http import Http

pytestmark = [pytest.mark.s3, pytest.mark.xdist_group("s3")]

HF = str(Path(sys.executable).with_name("hf"))
LARGE = "/acme/tiny/resolve/main/model.safetensors"
OTHERS_TOKEN = "hf_" + "A" * 34
ALLOWED = POLICY + "[serve]\nredirects = true\n"
AWKWARD = ("sub folder/a b%41+&#?.json", "模型/é.json", 'say "hi"; x=y.json')
MIB = 1024 * 1024
REDIRECTS = {"WEIGHBRIDGE_GATEWAY_REDIRECTS": "on", "WEIGHBRIDGE_GATEWAY_REDIRECT_MIN_BYTES": str(MIB)}


@pytest.fixture(scope="module")
def bay(tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server) -> Shelf:
    """A home whose stores are both in S3, with an approved model, and an adopted policy that allows redirects."""
    base = tmp_path_factory.mktemp("bay")
    policy = base / "policy.toml"
    policy.write_text(ALLOWED)
    bucket = s3_server.bucket()
    command = Command(
        base / "home",
        {
            **s3_server.environment,
            "WEIGHBRIDGE_POLICY_FILE": str(policy),
            "WEIGHBRIDGE_STORE_QUARANTINE": f"s3://{bucket}/q",
            "WEIGHBRIDGE_STORE_APPROVED": f"s3://{bucket}/approved",
        },
    )
    shelf = Shelf(command)
    folder = large(base / "models" / "tiny", seed=1)
    for awkward in AWKWARD:
        (folder / awkward).parent.mkdir(exist_ok=True)
        (folder / awkward).write_text(json.dumps({"name": awkward}))
    shelf.ingest("tiny", folder)
    shelf.approve("tiny")
    command("policy", "adopt", "--person", getpass.getuser())
    return shelf


def bucket_of(shelf: Shelf) -> str:
    """The bucket that a home's stores are in."""
    return urlsplit(shelf.command.environment["WEIGHBRIDGE_STORE_APPROVED"]).netloc


def key_of(shelf: Shelf, name: str, path: str) -> str:
    """Where an artifact lies in the bucket."""
    return f"approved/models/acme/{name}/{shelf.revisions[name]}/{path}"


@pytest.fixture(scope="module")
def proxy(s3_server: S3Server) -> Iterator[CuttingProxy]:
    """What gateways and clients reach S3 through; it remembers what was asked."""
    with cutting(s3_server.endpoint) as through:
        yield through


@pytest.fixture
def heads(proxy: CuttingProxy) -> list[str]:
    """Of the requests that reach S3 during one test."""
    proxy.heads.clear()
    return proxy.heads


@pytest.fixture(scope="module")
def proving(bay: Shelf, proxy: CuttingProxy) -> Iterator[GatewayProcess]:
    """A gateway through which every byte comes, although the policy would allow otherwise."""
    with running(bay.command, env={"WEIGHBRIDGE_STORE_S3_ENDPOINT": proxy.endpoint}) as process:
        yield process


@pytest.fixture(scope="module")
def redirecting(bay: Shelf, proxy: CuttingProxy) -> Iterator[GatewayProcess]:
    """A gateway that redirects from 1 MiB on."""
    with running(bay.command, env={**REDIRECTS, "WEIGHBRIDGE_STORE_S3_ENDPOINT": proxy.endpoint}) as process:
        yield process


DOWNLOADS = """
import hashlib, json, os
from huggingface_hub import HfFileSystem, hf_hub_download, snapshot_download
sums = lambda folder: {os.path.relpath(os.path.join(at, one), folder): hashlib.sha256(open(os.path.join(at, one), "rb").read()).hexdigest()
                       for at, _, names in os.walk(folder) for one in names}
path = hf_hub_download("acme/tiny", "model.safetensors")
part = HfFileSystem().cat_file("acme/tiny/model.safetensors", 5_000_000, 12_000_000)
assert part == open(path, "rb").read()[5_000_000:12_000_000]
print(json.dumps({name: sums(snapshot_download("acme/" + name)) for name in ("tiny",)}))
"""


def downloaded(gateway: GatewayProcess, home: Path) -> Any:
    """What the Hub's own library gets, with a token of another place in its environment."""
    env = {**gateway.client(home), "HF_TOKEN": OTHERS_TOKEN}
    ran = subprocess.run(
        [sys.executable, "-c", DOWNLOADS], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def hf(gateway: GatewayProcess, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the Hub's command line."""
    return subprocess.run(
        [HF, *arguments], env=gateway.client(home), capture_output=True, text=True, timeout=120, check=False
    )


def files_of(shelf: Shelf) -> dict[str, dict[str, str]]:
    """Digests of all files of the model."""
    return {
        name: {path.relative_to(folder).as_posix(): sha256(path) for path in folder.rglob("*") if path.is_file()}
        for name, folder in shelf.folders.items()
    }


def models_asked(heads: list[str]) -> list[str]:
    """Requests for bytes of artifacts."""
    return [head for head in heads if head.startswith("GET ") and "/approved/models/" in head]


def header(head: str, name: str) -> str:
    """A header of a request."""
    found = [line.partition(":")[2].strip() for line in head.splitlines() if line.lower().startswith(f"{name}:")]
    return found[0] if found else ""


# --- every byte through the gateway --------------------------------------------------------------


def test_the_hubs_library_gets_proven_bytes_of_sealed_versions(
    proving: GatewayProcess, bay: Shelf, heads: list[str], tmp_path: Path
) -> None:
    assert downloaded(proving, tmp_path) == files_of(bay)
    asked = models_asked(heads)
    assert asked
    for head in asked:
        assert "?versionId=" in head
        assert header(head, "authorization").startswith("AWS4-HMAC-SHA256 ")
        assert OTHERS_TOKEN not in head


@pytest.mark.parametrize("span", [(0, 8), (CHUNK - 3, CHUNK + 4), (2 * CHUNK + 5, 2 * CHUNK + 6), (1, 2 * CHUNK + 9)])
def test_ranges_of_a_stored_object(proving: GatewayProcess, bay: Shelf, span: tuple[int, int]) -> None:
    whole = (bay.folders["tiny"] / "model.safetensors").read_bytes()
    got = proving.ask(LARGE, headers={"Range": f"bytes={span[0]}-{span[1] - 1}"})
    assert (got.status, got.headers["content-range"]) == (206, f"bytes {span[0]}-{span[1] - 1}/{len(whole)}")
    assert hashlib.sha256(got.body).digest() == hashlib.sha256(whole[slice(*span)]).digest()


def fetched(heads: list[str]) -> int:
    """How many bytes of artifacts S3 was asked for."""
    return sum(_span(head) for head in models_asked(heads))


def _span(head: str) -> int:
    first, _, last = header(head, "range").removeprefix("bytes=").partition("-")
    return int(last) - int(first) + 1


@dataclass
class Ended:
    """What a gateway with a cache left, that redirected three times and served many readers itself."""

    digests: set[str]
    fetched_by_many: int
    fetched_later: int
    metrics: str
    said: str


@pytest.fixture(scope="module")
def ended(bay: Shelf, proxy: CuttingProxy, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A gateway that ran and ended, so that its downloads are in the ledger."""
    env = {**REDIRECTS, "WEIGHBRIDGE_STORE_S3_ENDPOINT": proxy.endpoint}
    proxied = LARGE.replace("/resolve/", "/raw/")  # never a redirect
    with running(bay.command, "--cache", str(tmp_path_factory.mktemp("cache")), env=env) as own:

        def digests(readers: int) -> set[str]:
            with ThreadPoolExecutor(readers) as pool:
                return set(pool.map(lambda _: hashlib.sha256(own.ask(proxied).body).hexdigest(), range(readers)))

        for _ in range(3):
            assert own.ask(LARGE + "?download=true").status == 302
        proxy.heads.clear()
        found, by_many = digests(12), fetched(proxy.heads)
        proxy.heads.clear()
        found |= digests(1) | digests(2)
        return Ended(found, by_many, fetched(proxy.heads), own.ask("/metrics").body.decode(), "".join(own.said))


def test_many_readers_fetch_each_chunk_from_s3_once(ended: Ended, bay: Shelf) -> None:
    source = bay.folders["tiny"] / "model.safetensors"
    assert ended.digests == {sha256(source)}
    assert ended.fetched_by_many == source.stat().st_size
    assert ended.fetched_later == 0


@pytest.mark.parametrize("altered", [False, True], ids=["kept", "altered on the disk"])
def test_readers_of_every_speed_share_the_cache_and_nothing_in_it_is_believed(
    store: S3Store, proxy: CuttingProxy, tmp_path: Path, altered: bool
) -> None:
    """Those who are slower than the memory are served in pieces: from the disk, and from S3 where that does not fit."""
    data = b"".join(random.Random(seed).randbytes(MIB) * 8 for seed in range(4))
    stored = store.put("w.bin", data)
    settings = StoreSettings(s3_endpoint=proxy.endpoint)
    http = Http(user_agent="test", connections=4)
    chunks = tuple(blake3(data[at : at + CHUNK]).hexdigest() for at in range(0, len(data), CHUNK))
    artifact = Artifact("w.bin", len(data), hashlib.sha256(data).hexdigest(), chunks)
    cache = ChunkCache(tmp_path, 8 * CHUNK)
    proven = ProvenBytes(
        S3Store(Address.parse(store.address), http=http, settings=settings), cache=cache, memory_bytes=0
    )
    proxy.heads.clear()

    async def gate() -> None:
        """Always open."""

    async def reader(through: asyncio.Event, *, quick: bool) -> str:
        """A quick one takes everything at once; the others go on from their first bytes when that one is through."""
        digest = hashlib.sha256()
        async for part in proven.read(stored, artifact, (0, len(data)), gate=gate):
            digest.update(part)
            if not quick:
                await through.wait()
        if altered and quick:
            for file in (path for path in tmp_path.rglob("*") if path.is_file()):
                with file.open("r+b") as opened:
                    opened.write(b"\0" * CHUNK)
        through.set()
        return digest.hexdigest()

    async def all_of_them() -> list[str]:
        through = asyncio.Event()
        return await asyncio.gather(*(reader(through, quick=number == 0) for number in range(6)))

    assert set(asyncio.run(all_of_them())) == {artifact.sha256}
    taken = sum(_span(head) for head in proxy.heads if "/w.bin?" in head)
    assert (taken > len(data)) if altered else (taken == len(data))
    assert (cache.rejected > 0) == altered
    proven.close()
    http.close()


# --- redirects -----------------------------------------------------------------------------------


def test_the_hubs_library_takes_large_files_from_s3_itself(
    redirecting: GatewayProcess, bay: Shelf, heads: list[str], tmp_path: Path
) -> None:
    redirecting.hear("unproven by the gateway")
    assert downloaded(redirecting, tmp_path) == files_of(bay)
    straight = [head for head in models_asked(heads) if "X-Amz-Signature=" in head]
    assert [header(head, "range").partition("-")[0] for head in straight] == ["", "bytes=5000000"]
    for head in straight:
        assert "/model.safetensors?versionId=" in head
        assert not header(head, "authorization")
        assert OTHERS_TOKEN not in head
    assert hf(redirecting, tmp_path, "cache", "verify", "acme/tiny").returncode == 0


def test_a_redirect_says_what_the_answer_would_have_said(redirecting: GatewayProcess, bay: Shelf) -> None:
    get, head = redirecting.ask(LARGE), redirecting.ask(LARGE, method="HEAD")
    assert (get.status, get.body, head.status) == (302, b"", 200)
    assert "location" not in head.headers
    for name in ("etag", "x-linked-etag", "x-linked-size", "x-repo-commit"):
        assert get.headers[name] == head.headers[name]
    assert get.headers["x-linked-size"] == str((bay.folders["tiny"] / "model.safetensors").stat().st_size)
    assert get.headers["cache-control"] == "no-store"
    assert get.headers["content-length"] == "0"
    query = parse_qs(urlsplit(get.headers["location"]).query)
    assert query["X-Amz-Expires"] == ["300"]
    assert query["response-content-type"] == ["application/octet-stream"]
    assert query["response-content-disposition"][0].startswith("attachment;")
    with urllib.request.urlopen(get.headers["location"]) as answer:
        assert answer.headers["Content-Disposition"].startswith("attachment;")
        assert hashlib.sha256(answer.read()).hexdigest() == sha256(bay.folders["tiny"] / "model.safetensors")


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": f"bytes=0-{MIB - 2}"},
        {"Range": "bytes=-100"},
        {"Range": f"bytes={CHUNK}-", "If-Range": "the etag"},
        {"If-Match": "the etag"},
        {"If-None-Match": '"other"'},
    ],
    ids=["small range", "small end", "if-range", "if-match", "if-none-match"],
)
def test_small_ranges_and_conditions_are_answered_here(redirecting: GatewayProcess, headers: dict[str, str]) -> None:
    """A condition compares with our ETag; the store has another one."""
    tag = redirecting.ask(LARGE, method="HEAD").headers["etag"]
    got = redirecting.ask(LARGE, headers={name: value.replace("the etag", tag) for name, value in headers.items()})
    assert got.status == (206 if "Range" in headers else 200)
    assert len(got.body) == int(got.headers["content-length"]) > 0


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/acme/tiny/raw/main/model.safetensors", 200),
        ("/acme/tiny/resolve/main/config.json", 200),
        (f"/acme/tiny/resolve/main/{quote('模型/é.json')}", 200),
        ("/acme/tiny/resolve/main/nothing", 404),
        ("/acme/held/resolve/main/model.safetensors", 404),
    ],
)
def test_what_is_small_raw_or_missing_is_never_a_redirect(redirecting: GatewayProcess, path: str, status: int) -> None:
    assert redirecting.ask(path).status == status


def test_large_ranges_go_to_the_store_with_the_clients_own_range(redirecting: GatewayProcess, bay: Shelf) -> None:
    whole = (bay.folders["tiny"] / "model.safetensors").read_bytes()
    wanted = {"Range": f"bytes={CHUNK - 5}-", "Authorization": f"Bearer {OTHERS_TOKEN}"}
    got = requests.get(redirecting.endpoint + LARGE, headers=wanted, timeout=20)
    assert [one.status_code for one in got.history] == [302]
    assert (got.status_code, got.content == whole[CHUNK - 5 :]) == (206, True)


@pytest.mark.parametrize("client", ["requests", "curl"])
def test_no_client_takes_its_token_to_the_store(
    redirecting: GatewayProcess, bay: Shelf, heads: list[str], tmp_path: Path, client: str
) -> None:
    authorization, url = f"Bearer {OTHERS_TOKEN}", redirecting.endpoint + LARGE
    if client == "requests":
        data = requests.get(url, headers={"Authorization": authorization}, timeout=20).content
    else:
        curl = ["curl", "-sSfL", "-H", f"Authorization: {authorization}", "-o", str(tmp_path / "file"), url]
        subprocess.run(curl, check=True, timeout=20)
        data = (tmp_path / "file").read_bytes()
    assert hashlib.sha256(data).hexdigest() == sha256(bay.folders["tiny"] / "model.safetensors")
    (straight,) = [head for head in models_asked(heads) if "X-Amz-Signature=" in head]
    assert not header(straight, "authorization")


def test_a_redirect_is_a_download_in_the_ledger_and_its_address_is_nowhere(ended: Ended, bay: Shelf) -> None:
    assert 'method="GET",status="302"} 3' in ended.metrics
    told = bay.command("audit", "log", "--kind", "gateway.downloads", "--json")
    lines = [line for event in told.events for line in event["payload"]["lines"] if line["status"] == 302]
    assert sum(line["downloads"] for line in lines) == 3
    assert {(line["model"], line["path"]) for line in lines} == {("acme/tiny", "model.safetensors")}
    assert {line["revision"] for line in lines} == {bay.revisions["tiny"]}
    for text in (ended.metrics, ended.said, told.out):
        assert "X-Amz" not in text
        assert "versionId" not in text
    for file in bay.command.home.rglob("*"):
        assert not file.is_file() or b"X-Amz-Signature" not in file.read_bytes(), file


# --- bytes that are not the approved ones --------------------------------------------------------


def test_an_overwrite_reaches_nobody(
    proving: GatewayProcess, redirecting: GatewayProcess, bay: Shelf, s3_server: S3Server
) -> None:
    """Whoever may write to the bucket makes a newer version; the sealed one is what everybody gets."""
    path, bucket = "config.json", bucket_of(bay)
    sealed = (bay.folders["tiny"] / path).read_bytes()
    client = s3_server.client()
    client.put_object(Bucket=bucket, Key=key_of(bay, "tiny", path), Body=b"{}")
    weights = key_of(bay, "tiny", "model.safetensors")
    client.put_object(Bucket=bucket, Key=weights, Body=b"other weights")
    try:
        assert proving.ask(f"/acme/tiny/resolve/main/{path}").body == sealed
        with urllib.request.urlopen(redirecting.ask(LARGE).headers["location"]) as answer:
            assert hashlib.sha256(answer.read()).hexdigest() == sha256(bay.folders["tiny"] / "model.safetensors")
    finally:
        for key in (weights, key_of(bay, "tiny", path)):
            newest = client.head_object(Bucket=bucket, Key=key)["VersionId"]
            client.delete_object(Bucket=bucket, Key=key, VersionId=newest)


def test_bytes_altered_below_a_version_are_refused_here_and_found_by_the_client_after_a_redirect(
    redirecting: GatewayProcess, bay: Shelf, s3_server: S3Server, tmp_path: Path
) -> None:
    """Somebody on the storage side swaps bytes of the very version: same key, same version, same length."""
    key, bucket = key_of(bay, "tiny", "model.safetensors"), bucket_of(bay)
    version = s3_server.client().head_object(Bucket=bucket, Key=key)["VersionId"]
    behind = f"{s3_server.filer}/buckets/{bucket}/{key}.versions/v_{version}"
    whole = (bay.folders["tiny"] / "model.safetensors").read_bytes()
    altered = whole[: CHUNK + 100] + bytes((whole[CHUNK + 100] ^ 1,)) + whole[CHUNK + 101 :]
    swap = urllib.request.Request(behind, data=altered, method="PUT")
    assert urllib.request.urlopen(swap).status == 201
    try:
        policy = tmp_path / "policy.toml"
        policy.write_text(ALLOWED.replace('"balanced"', '"research"'))  # allows it, and is not the adopted one
        env = {**REDIRECTS, "WEIGHBRIDGE_POLICY_FILE": str(policy)}
        with running(bay.command, env=env) as own:
            own.hear("the policy that counts does not allow it")
            cut = subprocess.run(["curl", "-sS", "-o", tmp_path / "cut", own.endpoint + LARGE], timeout=60, check=False)
            assert cut.returncode == 18
            assert (tmp_path / "cut").read_bytes() == whole[:CHUNK]
            assert own.ask(LARGE, headers={"Range": f"bytes={CHUNK}-{CHUNK}"}).status == 409
        # After a redirect nobody stands between: the size is right, so only who looks at the digest sees it.
        assert hf(redirecting, tmp_path, "download", "acme/tiny", "model.safetensors").returncode == 0
        verified = hf(redirecting, tmp_path, "cache", "verify", "acme/tiny")
        assert verified.returncode != 0
        assert "model.safetensors" in verified.stdout + verified.stderr
    finally:
        back = urllib.request.Request(behind, data=whole, method="PUT")
        assert urllib.request.urlopen(back).status == 201


# --- addresses -----------------------------------------------------------------------------------


@pytest.fixture
def store(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Store]:
    """A store in a bucket of its own, opened with the standard chain of credentials."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    http = Http(user_agent="test", connections=4)
    settings = StoreSettings(s3_endpoint=s3_server.endpoint)
    yield S3Store(Address.parse(f"s3://{s3_server.bucket()}/p"), http=http, settings=settings)
    http.close()


def get(address: str) -> tuple[int, bytes]:
    """Status and body."""
    try:
        with urllib.request.urlopen(address) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize("key", ["w.bin", "sub folder/a b%41+&#?.json", "模型/é.json", 'say "hi"; x=y.json', "a~b/c"])
def test_an_address_is_of_one_version_of_one_key_and_ends(store: S3Store, key: str) -> None:
    sealed = store.put(key, b"sealed")
    store.put(key, b"newer", replace=True)
    address = store.presign(key, version_id=sealed.version_id, seconds=60)
    assert get(address) == (200, b"sealed")
    assert address.startswith(f"{store.presign_origin}/")
    assert address.isascii()
    newest = store.head(key).version_id
    assert get(address.replace(sealed.version_id, newest))[0] == 403
    assert get(address.replace("/p/", "/q/", 1))[0] == 403
    assert get(address.replace("X-Amz-Expires=60", "X-Amz-Expires=600"))[0] == 403


def test_an_address_ends(store: S3Store) -> None:
    sealed = store.put("w.bin", b"sealed")
    address = store.presign("w.bin", version_id=sealed.version_id, seconds=1)
    eventually(lambda: get(address)[0] == 403)
    assert get(store.presign("w.bin", version_id=sealed.version_id, seconds=60))[0] == 200


def test_no_address_without_a_version_or_of_any_length(store: S3Store) -> None:
    with pytest.raises(ObjectMissing, match="no version"):
        store.presign("w.bin", version_id="", seconds=60)
    for seconds in (0, -1, 3_601):
        with pytest.raises(ConfigError, match="1 to 3600"):
            store.presign("w.bin", version_id="v", seconds=seconds)


@pytest.mark.parametrize("left", [50, 1_000])
def test_an_address_does_not_outlive_the_credentials(
    store: S3Store, monkeypatch: pytest.MonkeyPatch, s3_server: S3Server, left: int
) -> None:
    """Temporary credentials, as a role gives them."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", (datetime.now(UTC) + timedelta(seconds=left)).isoformat())
    http = Http(user_agent="test", connections=4)
    temporary = S3Store(Address.parse(store.address), http=http, settings=StoreSettings(s3_endpoint=s3_server.endpoint))
    query = parse_qs(urlsplit(temporary.presign("w", version_id="v", seconds=3_600)).query)
    assert left // 3 < int(query["X-Amz-Expires"][0]) <= left
    assert query["X-Amz-Security-Token"] == ["token"]
    assert parse_qs(urlsplit(temporary.presign("w", version_id="v", seconds=5)).query)["X-Amz-Expires"] == ["5"]
    http.close()


# --- where a redirect is allowed -----------------------------------------------------------------

TERMS = RedirectTerms(min_bytes=10, seconds=60)
NO_CONDITION = Conditions()


def told_nothing(what: str, where: str, why: str) -> None:
    """Nobody."""


def test_only_answers_with_enough_bytes_are_wanted(store: S3Store) -> None:
    redirects = Redirects(store, TERMS, lambda: True, told=told_nothing)
    for status, span, expected in (
        (200, (0, 10), True),
        (206, (5, 15), True),
        (200, (0, 9), False),
        (206, (5, 14), False),
        (416, None, False),
        (304, None, False),
    ):
        assert redirects.wanted(Plan(status, [], span), NO_CONDITION) is expected
    everything = Redirects(store, RedirectTerms(0, 60), lambda: True, told=told_nothing)
    assert everything.wanted(Plan(200, [], (0, 1)), NO_CONDITION)
    assert not everything.wanted(Plan(200, [], (0, 0)), NO_CONDITION)


def test_policy_is_asked_again_and_what_it_cannot_say_is_no(store: S3Store, tmp_path: Path) -> None:
    file, now, told = tmp_path / "policy.toml", [0.0], list[str]()
    stored = store.put("w.bin", b"sealed")
    redirects = Redirects(
        store,
        TERMS,
        lambda: load_policy(str(file), "").policy.serve.redirects,
        told=lambda _what, _where, why: told.append(why),
        clock=lambda: now[0],
    )

    def goes() -> bool:
        now[0] += POLICY_SECONDS
        return redirects.location(stored, []) is not None

    assert not goes()
    assert "cannot be read" in told[-1]
    assert not goes()
    assert len(told) == 1, "said once, not for each download"
    file.write_text(ALLOWED)
    assert redirects.location(stored, []) is None, "the answer before is good for a while"
    assert goes()
    file.write_text(POLICY)
    assert redirects.location(stored, []) is not None
    assert not goes()
    file.write_text(ALLOWED + "unknown = 1\n")
    assert not goes()


def test_an_object_without_a_version_is_proven_here(store: S3Store) -> None:
    redirects = Redirects(store, TERMS, lambda: True, told=told_nothing)
    assert redirects.location(StoredObject("w.bin", 100), []) is None


class LyingStore(S3Store):
    """A store whose addresses are somebody else's."""

    lie = ""

    def presign(self, key: str, **_: Any) -> str:
        """The lie."""
        if self.lie == "unreachable":
            raise StoreUnreachable("the credentials were not refreshed")
        return self.lie.replace("ORIGIN", self.presign_origin)


@pytest.mark.parametrize(
    "lie",
    [
        "https://evil.example/w.bin?X-Amz-Signature=secret",
        "//evil.example/w.bin?secret",
        "ORIGIN@evil.example/w.bin?secret",
        "ORIGIN.evil.example/w.bin?secret",
        "ORIGIN/w.bin?secret\r\nSet-Cookie: a=b",
        "ORIGIN/w b.bin?secret",
        "ORIGIN/é.bin?secret",
        "ORIGIN/" + "secret" * 2_000,
        "javascript:secret",
        "unreachable",
    ],
)
def test_nobody_is_sent_elsewhere_and_no_header_is_ended(store: S3Store, lie: str) -> None:
    told: list[str] = []
    store.__class__ = LyingStore
    assert isinstance(store, LyingStore)
    store.lie = lie
    redirects = Redirects(store, TERMS, lambda: True, told=lambda *words: told.append(" ".join(words)))
    assert redirects.location(StoredObject("w.bin", 100, "v"), []) is None
    assert told
    assert "secret" not in told[0]


def test_a_store_that_cannot_is_told_at_the_start(tmp_path: Path, weighbridge: Command) -> None:
    with pytest.raises(ConfigError, match="cannot hand out addresses"):
        Redirects(FolderStore(tmp_path), TERMS, lambda: True, told=told_nothing)
    refused = weighbridge("serve", "--port", "0", env=REDIRECTS, code=None)
    assert refused.code != 0
    assert "cannot hand out addresses" in refused.err
    refused = weighbridge("config", env={"WEIGHBRIDGE_GATEWAY_REDIRECT_SECONDS": "3601"}, code=None)
    assert refused.code != 0
    assert "between 1 and 3600" in refused.err


def test_no_client_is_sent_to_a_store_in_the_clear(bay: Shelf) -> None:
    clear = {**REDIRECTS, "WEIGHBRIDGE_STORE_S3_ENDPOINT": "http://s3.example:8333"}
    refused = bay.command("serve", "--port", "0", env=clear, code=None)
    assert refused.code != 0
    assert "in the clear" in refused.err


def test_presets_do_not_allow_redirects_and_a_policy_that_does_says_so(bay: Shelf) -> None:
    for preset in ("strict", "balanced", "research"):
        assert load_policy("", preset).policy.serve.redirects is False
    assert tomllib.loads(ALLOWED)["serve"] == {"redirects": True}
    checked = bay.command("policy", "check", bay.command.environment["WEIGHBRIDGE_POLICY_FILE"], code=None)
    assert "may send clients to the store" in checked.out
