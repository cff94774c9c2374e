"""The upstream that other tests rely on is faithful: the Hub's own client is satisfied, and each fault shows."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import urllib3
from huggingface_hub import HfApi, RepoFile, get_hf_file_metadata, hf_hub_download, hf_hub_url, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.support import hub as upstream
from tests.support.hub import Fault, HubServer, Repository, git_blob_id
from tests.support.memory_hub import MemorySource
from tests.support.waiting import PATIENCE_SECONDS
from weighbridge.core import errors
from weighbridge.core.ports import Source
from weighbridge.core.snapshot import Entry

WEIGHTS = bytes(range(256)) * 16_384  # 4 MiB
CONFIG = b'{"model_type": "tiny"}\n'
NAME = "acme/tiny"
SHARD = "model-00001-of-000001.safetensors"


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def repository(hub: HubServer, tmp_path: Path) -> Repository:
    weights = tmp_path / "weights"
    weights.write_bytes(WEIGHTS)
    created = hub.repository(NAME, owner_id="a" * 24)
    created.commit({"config.json": b"{}", "README.md": b"# old\n"}, message="First\n\nAs planned.")
    created.tag("v0", created.refs["refs/heads/main"])
    created.commit(
        {"config.json": CONFIG, "README.md": b"# new\n", "figures/a.txt": b"a", SHARD: weights},
        message="Second",
    )
    return created


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=False)


@pytest.fixture
def http() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager(retries=False, timeout=PATIENCE_SECONDS) as pool:
        yield pool


def head_commit(repository: Repository) -> str:
    return repository.refs["refs/heads/main"]


def resolve_url(hub: HubServer, path: str, ref: str = "main") -> str:
    return f"{hub.endpoint}/{NAME}/resolve/{ref}/{path}"


def signed_url(hub: HubServer, http: urllib3.PoolManager) -> str:
    answer = http.request("GET", resolve_url(hub, SHARD), redirect=False)
    assert answer.status == 302
    return answer.headers["Location"]


def get_range(http: urllib3.PoolManager, url: str, start: int, stop: int) -> urllib3.BaseHTTPResponse:
    return http.request("GET", url, headers={"Range": f"bytes={start}-{stop - 1}"}, redirect=False)


class TestTheHubsOwnClient:
    def test_model_info_carries_true_git_and_lfs_ids(self, repository: Repository, api: HfApi) -> None:
        info = api.model_info(NAME, files_metadata=True)

        assert (info.id, info.author, info.sha) == (NAME, "acme", head_commit(repository))
        assert info.private is False
        assert info.gated is False
        assert info.siblings is not None
        files = {sibling.rfilename: sibling for sibling in info.siblings}
        assert set(files) == {"config.json", "README.md", "figures/a.txt", SHARD}
        assert files["config.json"].size == len(CONFIG)
        assert files["config.json"].blob_id == git_blob_id(CONFIG)
        lfs = files[SHARD].lfs
        assert lfs is not None
        assert (lfs["sha256"], lfs["size"]) == (sha256(WEIGHTS), len(WEIGHTS))
        assert lfs["pointer_size"] == len(upstream.lfs_pointer(sha256(WEIGHTS), len(WEIGHTS)))

    def test_model_info_without_blobs_has_names_only(self, repository: Repository, api: HfApi) -> None:
        info = api.model_info(NAME)
        assert info.siblings is not None
        assert {sibling.size for sibling in info.siblings} == {None}

    def test_ids_are_the_ones_git_gives(self, repository: Repository, tmp_path: Path) -> None:
        tree = tmp_path / "checkout"
        (tree / "figures").mkdir(parents=True)
        pointer = upstream.lfs_pointer(sha256(WEIGHTS), len(WEIGHTS))
        files = {"config.json": CONFIG, "README.md": b"# new\n", "figures/a.txt": b"a", SHARD: pointer}
        for path, body in files.items():
            (tree / path).write_bytes(body)

        def git(*arguments: str) -> str:
            run = ["git", "-c", "init.defaultBranch=main", *arguments]
            return subprocess.run(run, cwd=tree, check=True, capture_output=True, text=True).stdout.strip()

        git("init", "-q")
        git("add", ".")
        commit = repository.resolve("main")
        assert commit is not None
        assert git("write-tree") == commit.folders[""]
        assert git("hash-object", "config.json") == commit.files["config.json"].blob_id

    def test_commit_ids_depend_on_content_alone(self) -> None:
        def build(body: bytes) -> str:
            return upstream.Hub().repository(NAME).commit({"config.json": body})

        assert build(CONFIG) == build(CONFIG) != build(b"{}")

    def test_list_repo_tree_follows_pages(self, api: HfApi, hub: HubServer) -> None:
        files: dict[str, bytes | Path] = {f"d{n % 3}/{n:03}.txt": str(n).encode() for n in range(120)}
        hub.repository("acme/many").commit(files)
        hub.page_size = 50

        for expand in (False, True):
            hub.forget_requests()
            entries = list(api.list_repo_tree("acme/many", recursive=True, expand=expand))
            listed = [entry for entry in entries if isinstance(entry, RepoFile)]
            assert {entry.path: entry.blob_id for entry in listed} == {
                path: git_blob_id(body) for path, body in files.items() if isinstance(body, bytes)
            }
            assert len(entries) == 123
            assert len(hub.requests) == 3
            assert all((entry.last_commit is not None) is expand for entry in entries)

    def test_list_repo_tree_of_one_folder(self, repository: Repository, api: HfApi) -> None:
        assert [entry.path for entry in api.list_repo_tree(NAME, "figures")] == ["figures/a.txt"]
        assert {entry.path for entry in api.list_repo_tree(NAME)} == {"README.md", "config.json", "figures", SHARD}
        with pytest.raises(EntryNotFoundError):
            list(api.list_repo_tree(NAME, "absent"))

    def test_get_paths_info_leaves_out_what_is_absent(self, repository: Repository, api: HfApi) -> None:
        rows = api.get_paths_info(NAME, [SHARD, "figures", "absent"], expand=True)
        assert [row.path for row in rows] == [SHARD, "figures"]
        assert isinstance(rows[0], RepoFile)
        assert rows[0].lfs is not None
        assert rows[0].lfs["sha256"] == sha256(WEIGHTS)
        assert rows[0].security is not None

    def test_refs_and_commits(self, repository: Repository, api: HfApi) -> None:
        first, second = repository.resolve("v0"), head_commit(repository)
        assert first is not None
        request = repository.commit({"config.json": b"[]"}, ref="refs/pr/1")

        refs = api.list_repo_refs(NAME, include_pull_requests=True)
        assert [(ref.name, ref.target_commit) for ref in refs.branches] == [("main", second)]
        assert [(ref.name, ref.target_commit) for ref in refs.tags] == [("v0", first.commit_id)]
        assert refs.pull_requests is not None
        assert [(ref.ref, ref.target_commit) for ref in refs.pull_requests] == [("refs/pr/1", request)]
        assert api.list_repo_refs(NAME).pull_requests is None

        commits = api.list_repo_commits(NAME)
        assert [(one.commit_id, one.title) for one in commits] == [(second, "Second"), (first.commit_id, "First")]
        assert commits[1].message == "As planned."
        assert api.model_info(NAME, revision="refs/pr/1").sha == request

    def test_commit_times_are_the_ones_given(self, hub: HubServer, api: HfApi) -> None:
        at = datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)
        hub.repository(NAME).commit({"a": b""}, committed_at=at)
        assert api.model_info(NAME).last_modified == at

    def test_snapshot_download_gives_the_exact_bytes(
        self, repository: Repository, hub: HubServer, tmp_path: Path
    ) -> None:
        folder = Path(snapshot_download(NAME, endpoint=hub.endpoint, cache_dir=tmp_path / "cache", token=False))

        assert folder.name == head_commit(repository)
        assert (folder / SHARD).read_bytes() == WEIGHTS
        assert (folder / "config.json").read_bytes() == CONFIG
        assert (folder / "figures/a.txt").read_bytes() == b"a"
        assert hub.bytes_sent(SHARD) >= len(WEIGHTS)
        assert {one.status for one in hub.requests if one.origin == "cdn"} == {200}

    @pytest.mark.parametrize("ref", ["main", "v0", "commit", "refs/pr/7"])
    @pytest.mark.parametrize("resolve_cache", [False, True])
    def test_hf_hub_download_at_each_kind_of_ref(
        self, repository: Repository, hub: HubServer, tmp_path: Path, ref: str, resolve_cache: bool
    ) -> None:
        hub.resolve_cache = resolve_cache
        repository.branch("refs/pr/7", head_commit(repository))
        revision = head_commit(repository) if ref == "commit" else ref
        got = hf_hub_download(
            NAME, "config.json", revision=revision, endpoint=hub.endpoint, cache_dir=tmp_path / "cache", token=False
        )
        assert Path(got).read_bytes() == (b"{}" if ref == "v0" else CONFIG)

    def test_absent_things_raise_the_clients_own_errors(
        self, repository: Repository, api: HfApi, hub: HubServer, tmp_path: Path
    ) -> None:
        with pytest.raises(RepositoryNotFoundError):
            api.model_info("acme/absent")
        with pytest.raises(RevisionNotFoundError):
            api.model_info(NAME, revision="absent")
        with pytest.raises(RevisionNotFoundError):
            api.model_info(NAME, revision="0" * 40)
        with pytest.raises(EntryNotFoundError):
            hf_hub_download(NAME, "absent", endpoint=hub.endpoint, cache_dir=tmp_path / "cache", token=False)

    def test_a_private_repository_opens_only_to_its_tokens(self, hub: HubServer, tmp_path: Path) -> None:
        hub.repository("acme/secret", private=True).commit({"config.json": CONFIG})
        hub.token("hf_" + "a" * 34, user="insider", access=["acme/secret"])
        hub.token("hf_" + "b" * 34, user="outsider")

        for token in (False, "hf_" + "b" * 34):
            with pytest.raises(RepositoryNotFoundError):
                HfApi(endpoint=hub.endpoint, token=token).model_info("acme/secret")
        with pytest.raises(HfHubHTTPError, match="Invalid credentials"):
            HfApi(endpoint=hub.endpoint, token="hf_" + "c" * 34).model_info("acme/secret")
        insider = HfApi(endpoint=hub.endpoint, token="hf_" + "a" * 34)
        assert insider.model_info("acme/secret").private is True
        assert insider.whoami()["name"] == "insider"
        got = insider.hf_hub_download("acme/secret", "config.json", cache_dir=tmp_path / "cache")
        assert Path(got).read_bytes() == CONFIG

    def test_a_gated_repository_is_listed_but_not_handed_out(self, hub: HubServer, tmp_path: Path) -> None:
        hub.repository("acme/gated", gated=True).commit({SHARD: WEIGHTS})
        hub.token("hf_" + "a" * 34, access=["acme/gated"])
        hub.token("hf_" + "b" * 34)

        for token in (False, "hf_" + "b" * 34):
            other = HfApi(endpoint=hub.endpoint, token=token)
            assert other.model_info("acme/gated").gated == "manual"
            with pytest.raises(GatedRepoError):
                get_hf_file_metadata(hf_hub_url("acme/gated", SHARD, endpoint=hub.endpoint), token=token)
        member = HfApi(endpoint=hub.endpoint, token="hf_" + "a" * 34)
        got = member.hf_hub_download("acme/gated", SHARD, cache_dir=tmp_path / "cache")
        assert Path(got).read_bytes() == WEIGHTS

    def test_a_token_never_reaches_the_cdn(self, repository: Repository, hub: HubServer, tmp_path: Path) -> None:
        hub.token("hf_" + "a" * 34)
        hf_hub_download(NAME, SHARD, endpoint=hub.endpoint, cache_dir=tmp_path / "cache", token="hf_" + "a" * 34)
        assert any("authorization" in one.headers for one in hub.requests if one.origin == "hub")
        assert not any("authorization" in one.headers for one in hub.requests if one.origin == "cdn")

    def test_a_renamed_repository_redirects_until_the_name_is_taken(
        self, repository: Repository, hub: HubServer, api: HfApi, http: urllib3.PoolManager, tmp_path: Path
    ) -> None:
        hub.rename(NAME, "acme/huge")

        answer = http.request("GET", f"{hub.endpoint}/api/models/{NAME}/revision/main", redirect=False)
        assert (answer.status, answer.headers["Location"]) == (307, "/api/models/acme/huge/revision/main")
        assert api.model_info(NAME).id == "acme/huge"
        for path, body in (("config.json", CONFIG), (SHARD, WEIGHTS)):
            got = hf_hub_download(NAME, path, endpoint=hub.endpoint, cache_dir=tmp_path / "cache", token=False)
            assert Path(got).read_bytes() == body

        hub.repository(NAME, owner_id="b" * 24).commit({"config.json": b"hijacked"})
        assert api.model_info(NAME).id == NAME

    def test_accounts_have_ids_and_a_new_owner_has_another(
        self, repository: Repository, hub: HubServer, api: HfApi
    ) -> None:
        hub.account("ann", kind="user")
        assert api.get_organization_overview("acme").name == "acme"
        assert api.get_user_overview("ann").username == "ann"
        with pytest.raises(HfHubHTTPError):
            api.get_user_overview("acme")
        commit, was = head_commit(repository), hub.repository_id(NAME)

        hub.recreate(NAME, owner_id="b" * 24)

        assert vars(api.get_organization_overview("acme"))["_id"] == "b" * 24
        info = api.model_info(NAME)
        assert info.sha == commit
        assert vars(info)["_id"] == hub.repository_id(NAME) != was

    def test_xet_is_announced_and_plain_ranges_still_work(self, hub: HubServer, http: urllib3.PoolManager) -> None:
        hub.repository(NAME, xet=True).commit({SHARD: WEIGHTS, "config.json": CONFIG})
        metadata = get_hf_file_metadata(resolve_url(hub, SHARD), token=False, endpoint=hub.endpoint)
        assert metadata.xet_file_data is not None
        assert len(metadata.xet_file_data.file_hash) == 64
        assert http.request("GET", metadata.xet_file_data.refresh_route).json()["exp"] > 0
        plain = get_hf_file_metadata(resolve_url(hub, "config.json"), token=False)
        assert plain.xet_file_data is None
        assert get_range(http, signed_url(hub, http), 5, 9).data == WEIGHTS[5:9]


class TestRanges:
    @pytest.mark.parametrize(
        ("asked", "start", "stop"),
        [("bytes=0-0", 0, 1), ("bytes=5-8", 5, 9), ("bytes=10-", 10, None), ("bytes=-7", -7, None)],
    )
    @pytest.mark.parametrize("path", ["config.json", SHARD])
    def test_one_range(
        self,
        repository: Repository,
        hub: HubServer,
        http: urllib3.PoolManager,
        path: str,
        asked: str,
        start: int,
        stop: int | None,
    ) -> None:
        body = CONFIG if path == "config.json" else WEIGHTS
        url = resolve_url(hub, path) if path == "config.json" else signed_url(hub, http)
        answer = http.request("GET", url, headers={"Range": asked})
        assert answer.status == 206
        assert answer.data == body[start:stop]
        first = start % len(body)
        assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(answer.data) - 1}/{len(body)}"

    def test_a_range_beyond_the_end_is_416(
        self, repository: Repository, hub: HubServer, http: urllib3.PoolManager
    ) -> None:
        answer = get_range(http, signed_url(hub, http), len(WEIGHTS), len(WEIGHTS) + 1)
        assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{len(WEIGHTS)}")

    def test_the_redirect_carries_the_files_metadata(
        self, repository: Repository, hub: HubServer, http: urllib3.PoolManager
    ) -> None:
        for method in ("HEAD", "GET"):
            answer = http.request(method, resolve_url(hub, SHARD), redirect=False)
            assert answer.status == 302
            assert answer.headers["X-Repo-Commit"] == head_commit(repository)
            assert answer.headers["X-Linked-Etag"] == f'"{sha256(WEIGHTS)}"'
            assert answer.headers["X-Linked-Size"] == str(len(WEIGHTS))
            assert answer.headers["Accept-Ranges"] == "bytes"
            assert answer.headers["Location"].startswith(f"{hub.cdn}/cdn/{sha256(WEIGHTS)}?")
        assert hub.cdn != hub.endpoint

    def test_the_cdn_refuses_tokens_and_links_it_did_not_sign(
        self, repository: Repository, hub: HubServer, http: urllib3.PoolManager
    ) -> None:
        url = signed_url(hub, http)
        leaking = http.request("GET", url, headers={"Authorization": "Bearer hf_x"})
        assert (leaking.status, b"InvalidArgument" in leaking.data) == (400, True)
        assert http.request("GET", url[:-1] + ("0" if url[-1] != "0" else "1")).status == 403
        assert http.request("GET", url.replace("Expires=", "Expires=9")).status == 403
        hub.link_lifetime_seconds = -1
        assert b"expired" in http.request("GET", signed_url(hub, http)).data

    def test_every_byte_sent_is_counted(
        self, repository: Repository, hub: HubServer, http: urllib3.PoolManager
    ) -> None:
        url = signed_url(hub, http)
        hub.forget_requests()
        assert http.request("GET", url).data == WEIGHTS
        assert get_range(http, url, 3, 10).status == 206
        assert hub.bytes_sent(SHARD) == hub.bytes_sent() == len(WEIGHTS) + 7
        assert [one.status for one in hub.requests] == [200, 206]


def drain(answer: urllib3.BaseHTTPResponse, into: bytearray) -> None:
    while block := answer.read1(1000):
        into += block


@pytest.mark.fault
class TestFaultsOfBodies:
    @pytest.mark.parametrize("how", ["fin", "rst"])
    def test_a_cut_connection_ends_after_so_many_bytes(
        self, repository: Repository, hub: HubServer, http: urllib3.PoolManager, how: str
    ) -> None:
        url = signed_url(hub, http)
        hub.faults.add(Fault(upstream.Cut(100_000, "rst" if how == "rst" else "fin"), times=1))
        answer = http.request("GET", url, preload_content=False)
        assert answer.headers["Content-Length"] == str(len(WEIGHTS))
        got = bytearray()
        with pytest.raises(urllib3.exceptions.ProtocolError) as caught:
            drain(answer, got)
        assert isinstance(caught.value.__context__, ConnectionResetError) is (how == "rst")
        assert bytes(got) == WEIGHTS[: len(got)]
        assert len(got) == 100_000
        assert http.request("GET", url).data == WEIGHTS

    @pytest.mark.parametrize(
        ("length", "declared"), [("right", "1000"), ("wrong", str(len(WEIGHTS))), ("absent", None)]
    )
    def test_truncation(
        self, repository: Repository, hub: HubServer, http: urllib3.PoolManager, length: str, declared: str | None
    ) -> None:
        hub.faults.add(Fault(upstream.Truncate(1000, length)))  # type: ignore[arg-type]
        answer = http.request("GET", signed_url(hub, http), preload_content=False)
        assert answer.headers.get("Content-Length") == declared
        if length == "wrong":
            with pytest.raises(urllib3.exceptions.ProtocolError):
                answer.read()
        else:
            assert answer.read() == WEIGHTS[:1000]

    def test_one_flipped_bit(self, repository: Repository, hub: HubServer, http: urllib3.PoolManager) -> None:
        url = signed_url(hub, http)
        hub.faults.add(Fault(upstream.Flip(2_000_000, 0x10), path=r".*\.safetensors", times=1))
        assert get_range(http, url, 0, 1000).data == WEIGHTS[:1000]
        got = http.request("GET", url).data
        assert [n for n in range(1_999_990, 2_000_010) if got[n] != WEIGHTS[n]] == [2_000_000]
        assert got[2_000_000] ^ WEIGHTS[2_000_000] == 0x10
        assert http.request("GET", url).data == WEIGHTS

    def test_a_range_that_is_ignored(self, repository: Repository, hub: HubServer, http: urllib3.PoolManager) -> None:
        hub.faults.add(Fault(upstream.Whole()))
        answer = get_range(http, signed_url(hub, http), 10, 20)
        assert (answer.status, "Content-Range" in answer.headers) == (200, False)
        assert answer.data == WEIGHTS

    @pytest.mark.parametrize("start", [100, len(WEIGHTS) - 50])
    def test_a_range_that_is_shifted(
        self, repository: Repository, hub: HubServer, http: urllib3.PoolManager, start: int
    ) -> None:
        hub.faults.add(Fault(upstream.Shift(7)))
        answer = get_range(http, signed_url(hub, http), start, start + 50)
        moved = start + 7 if start == 100 else start - 7
        assert answer.headers["Content-Range"] == f"bytes {start}-{start + 49}/{len(WEIGHTS)}"
        assert answer.data == WEIGHTS[moved : moved + 50]

    def test_an_endless_body(self, repository: Repository, hub: HubServer, http: urllib3.PoolManager) -> None:
        hub.faults.add(Fault(upstream.Endless(), path=r"config\.json"))
        answer = http.request("GET", resolve_url(hub, "config.json"), preload_content=False)
        assert "Content-Length" not in answer.headers
        got = answer.read(3_000_000)
        assert got == CONFIG.ljust(3_000_000, b"\0")
        answer.close()

    def test_a_stalled_body(self, repository: Repository, hub: HubServer, http: urllib3.PoolManager) -> None:
        hub.faults.add(Fault(upstream.Stall(500)))
        with urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(read=2)) as impatient:
            answer = impatient.request("GET", signed_url(hub, http), preload_content=False)
            assert answer.read(500) == WEIGHTS[:500]
            with pytest.raises(urllib3.exceptions.ReadTimeoutError):
                answer.read(1)

    def test_a_dripping_body_comes_byte_by_byte(
        self, repository: Repository, hub: HubServer, http: urllib3.PoolManager
    ) -> None:
        hub.faults.add(Fault(upstream.Drip(200.0), path=r"config\.json"))
        answer = http.request("GET", resolve_url(hub, "config.json"), preload_content=False)
        pieces = []
        while piece := answer.read1(1000):
            pieces.append(piece)
        assert b"".join(pieces) == CONFIG
        assert len(pieces) > 3

    def test_a_lying_content_encoding(self, repository: Repository, hub: HubServer, http: urllib3.PoolManager) -> None:
        hub.faults.add(Fault(upstream.Relabel({"Content-Encoding": "gzip"})))
        answer = http.request("GET", signed_url(hub, http), preload_content=False)
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.read(decode_content=False) == WEIGHTS

    def test_a_pointer_in_place_of_the_file(
        self, repository: Repository, hub: HubServer, http: urllib3.PoolManager
    ) -> None:
        hub.faults.add(Fault(upstream.Pointer()))
        answer = http.request("GET", resolve_url(hub, SHARD), redirect=False)
        assert answer.status == 200
        assert answer.data == upstream.lfs_pointer(sha256(WEIGHTS), len(WEIGHTS))
        assert http.request("GET", resolve_url(hub, "config.json")).data == CONFIG


@pytest.mark.fault
class TestFaultsOfAnswers:
    @pytest.mark.parametrize("wait", upstream.RETRY_AFTER)
    def test_too_many_requests(
        self, repository: Repository, hub: HubServer, http: urllib3.PoolManager, wait: str
    ) -> None:
        hub.faults.add(Fault(upstream.Refuse(429, retry_after=wait), times=2))
        for _ in range(2):
            answer = http.request("HEAD", resolve_url(hub, "config.json"))
            assert (answer.status, answer.headers["Retry-After"]) == (429, wait)
        assert http.request("HEAD", resolve_url(hub, "config.json")).status == 200

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    @pytest.mark.parametrize("on", ["info", "tree", "resolve", "cdn"])
    def test_server_errors_on_each_route(
        self, repository: Repository, hub: HubServer, http: urllib3.PoolManager, status: int, on: str
    ) -> None:
        urls = {
            "info": f"{hub.endpoint}/api/models/{NAME}",
            "tree": f"{hub.endpoint}/api/models/{NAME}/tree/main",
            "resolve": resolve_url(hub, "config.json"),
            "cdn": signed_url(hub, http),
        }
        hub.faults.add(Fault(upstream.Refuse(status), on=on))
        got = {route: http.request("GET", url).status for route, url in urls.items()}
        assert got == {route: status if route == on else 200 for route in urls}

    def test_a_storm_repeats_for_its_seed(self) -> None:
        def storm(seed: int) -> list[int]:
            with HubServer(seed=seed) as hub, urllib3.PoolManager(retries=False) as http:
                hub.repository(NAME).commit({"config.json": CONFIG})
                hub.faults.add(Fault(upstream.Refuse(503), probability=0.5))
                return [http.request("GET", resolve_url(hub, "config.json")).status for _ in range(64)]

        assert storm(1) == storm(1) != storm(2)
        assert 10 < storm(1).count(503) < 54

    @pytest.mark.parametrize("header", ["ETag", "X-Repo-Commit", "X-Linked-Etag", "X-Linked-Size"])
    def test_headers_that_change_midway(
        self, repository: Repository, hub: HubServer, http: urllib3.PoolManager, header: str
    ) -> None:
        hub.faults.add(Fault(upstream.Relabel({header: f'"{upstream.ETAG_CHANGED}"'}), on="resolve", skip=2))
        seen = [http.request("HEAD", resolve_url(hub, SHARD), redirect=False).headers[header] for _ in range(4)]
        assert seen[0] == seen[1] != seen[2]
        assert seen[2:] == [f'"{upstream.ETAG_CHANGED}"'] * 2

    def test_an_expired_link_is_cured_by_resolving_again(
        self, repository: Repository, hub: HubServer, http: urllib3.PoolManager
    ) -> None:
        hub.faults.add(Fault(upstream.Expire(), times=1))
        assert http.request("GET", signed_url(hub, http)).status == 403
        assert http.request("GET", signed_url(hub, http)).data == WEIGHTS

    @pytest.mark.parametrize("location", upstream.FOREIGN_LOCATIONS)
    def test_redirects_to_foreign_places(
        self, repository: Repository, hub: HubServer, http: urllib3.PoolManager, location: str
    ) -> None:
        hub.faults.add(Fault(upstream.Redirect(location), path=r".*\.safetensors"))
        answer = http.request("GET", resolve_url(hub, SHARD), redirect=False)
        assert (answer.status, answer.headers["Location"]) == (302, location)
        assert answer.headers["X-Linked-Etag"] == f'"{sha256(WEIGHTS)}"'

    def test_a_missing_shard_is_listed_all_the_same(
        self, repository: Repository, hub: HubServer, api: HfApi, http: urllib3.PoolManager
    ) -> None:
        hub.faults.add(Fault(upstream.Missing(), path=r".*\.safetensors"))
        answer = http.request("GET", resolve_url(hub, SHARD), redirect=False)
        assert (answer.status, answer.headers["X-Error-Code"]) == (404, "EntryNotFound")
        assert SHARD in {entry.path for entry in api.list_repo_tree(NAME)}

    def test_a_listing_with_hostile_names(self, repository: Repository, hub: HubServer, api: HfApi) -> None:
        hub.faults.add(Fault(upstream.Listing(extra=upstream.HOSTILE_PATHS, drop=r".*\.safetensors")))
        listed = {entry.path for entry in api.list_repo_tree(NAME, recursive=True)}
        assert listed == {"config.json", "README.md", "figures", "figures/a.txt", *upstream.HOSTILE_PATHS}

    def test_hostile_names_can_be_committed_and_fetched(
        self, hub: HubServer, api: HfApi, http: urllib3.PoolManager
    ) -> None:
        files: dict[str, bytes | Path] = {name: name.encode() for name in (*upstream.HOSTILE_PATHS, "config.json")}
        hub.repository(NAME).commit(files)
        listed = {entry.path for entry in api.list_repo_tree(NAME, recursive=True) if isinstance(entry, RepoFile)}
        assert listed == set(files)
        info = api.model_info(NAME)
        assert info.siblings is not None
        assert {sibling.rfilename for sibling in info.siblings} == set(files)
        assert http.request("GET", resolve_url(hub, "back%5Cslash.txt")).data == b"back\\slash.txt"
        assert http.request("GET", resolve_url(hub, "%2Fetc%2Fabsolute")).data == b"/etc/absolute"

    def test_a_ref_that_moves_once_it_was_read(self, repository: Repository, hub: HubServer, api: HfApi) -> None:
        pinned = head_commit(repository)
        hub.faults.add(Fault(upstream.Then(lambda: repository.commit({"config.json": b"[]"})), times=1))
        assert api.model_info(NAME).sha == pinned
        moved = api.model_info(NAME).sha
        assert moved not in (None, pinned)
        metadata = get_hf_file_metadata(resolve_url(hub, "config.json"), token=False)
        assert metadata.commit_hash == moved

    def test_an_owner_that_changes_once_it_was_read(self, repository: Repository, hub: HubServer, api: HfApi) -> None:
        hub.faults.add(Fault(upstream.Then(lambda: hub.recreate(NAME, owner_id="b" * 24)), times=1))
        before, after = (vars(api.model_info(NAME))["_id"] for _ in range(2))
        assert before != after
        assert vars(api.get_organization_overview("acme"))["_id"] == "b" * 24

    def test_faults_keep_to_their_repository_and_end_when_cleared(
        self, repository: Repository, hub: HubServer, http: urllib3.PoolManager
    ) -> None:
        hub.repository("acme/other").commit({"config.json": CONFIG})
        hub.faults.add(Fault(upstream.Refuse(503), repository="acme/other"))
        other = f"{hub.endpoint}/acme/other/resolve/main/config.json"
        assert http.request("GET", other).status == 503
        assert http.request("GET", resolve_url(hub, "config.json")).status == 200
        assert hub.faults.fired == 1
        hub.faults.clear()
        assert http.request("GET", other).status == 200

    def test_nothing_stays_behind_when_a_stalled_server_ends(self) -> None:
        with urllib3.PoolManager(retries=False, timeout=PATIENCE_SECONDS) as http:
            with HubServer() as hub:
                hub.repository(NAME).commit({"config.json": CONFIG})
                hub.faults.add(Fault(upstream.Stall(3)))
                answer = http.request("GET", resolve_url(hub, "config.json"), preload_content=False)
                assert answer.read(3) == CONFIG[:3]
            with pytest.raises(urllib3.exceptions.ProtocolError):
                answer.read(1)
            with pytest.raises(urllib3.exceptions.NewConnectionError):
                http.request("GET", resolve_url(hub, "config.json"))


def read_all(source: MemorySource, entry: Entry, start: int, stop: int) -> bytes:
    got = bytearray()
    with source.open(entry, start, stop) as stream:
        block = memoryview(bytearray(65_536))
        while count := stream.readinto(block):
            got += block[:count]
    return bytes(got)


class TestTheSourceInMemory:
    @pytest.fixture
    def memory(self) -> upstream.Hub:
        hub = upstream.Hub(page_size=2)
        hub.repository(NAME, owner_id="a" * 24).commit({"config.json": CONFIG, "a/b": b"", SHARD: WEIGHTS})
        return hub

    def test_it_keeps_the_ports_contract(self, memory: upstream.Hub) -> None:
        source: Source = MemorySource(memory, NAME)
        snapshot = source.pin()
        assert snapshot.revision == head_commit(memory.repositories[NAME])
        assert snapshot.origin.owner_id == "a" * 24
        entries = {entry.path: entry for entry in snapshot.entries}
        assert set(entries) == {"config.json", "a/b", SHARD}
        assert entries["config.json"].git_sha1 == git_blob_id(CONFIG)
        assert entries[SHARD].sha256 == sha256(WEIGHTS)

    def test_it_gives_exactly_the_range(self, memory: upstream.Hub) -> None:
        source = MemorySource(memory, NAME)
        entries = {entry.path: entry for entry in source.pin().entries}
        assert read_all(source, entries[SHARD], 0, len(WEIGHTS)) == WEIGHTS
        assert read_all(source, entries[SHARD], 1_000_001, 1_100_000) == WEIGHTS[1_000_001:1_100_000]
        assert read_all(source, entries["config.json"], 0, len(CONFIG)) == CONFIG
        assert read_all(source, entries["a/b"], 0, 0) == b""

    @pytest.mark.fault
    @pytest.mark.parametrize(
        ("effect", "error"),
        [
            (upstream.Cut(1000, "rst"), errors.Unreachable),
            (upstream.Cut(1000, "fin"), errors.Truncated),
            (upstream.Stall(1000), errors.Unreachable),
            (upstream.Truncate(1000, "right"), errors.LengthMismatch),
            (upstream.Truncate(1000, "wrong"), errors.Truncated),
            (upstream.Truncate(1000, "absent"), errors.Truncated),
            (upstream.Whole(), errors.LengthMismatch),
            (upstream.Relabel({"Content-Range": "bytes 1-2/3"}), errors.LengthMismatch),
            (upstream.Relabel({"Content-Encoding": "gzip"}), errors.LengthMismatch),
            (upstream.Pointer(), errors.PointerInsteadOfFile),
            (upstream.Missing(), errors.NotFound),
            (upstream.Redirect("http://169.254.169.254/"), errors.RepositoryMoved),
            (upstream.Refuse(429, retry_after="7"), errors.RateLimited),
            (upstream.Refuse(503), errors.Unreachable),
            (upstream.Refuse(403, code="GatedRepo"), errors.Gated),
        ],
    )
    def test_each_fault_is_its_own_error(
        self, memory: upstream.Hub, effect: upstream.Effect, error: type[errors.WeighbridgeError]
    ) -> None:
        source = MemorySource(memory, NAME)
        entry = next(entry for entry in source.pin().entries if entry.path == SHARD)
        memory.faults.add(Fault(effect, path=r".*\.safetensors", times=1))
        with pytest.raises(error):
            read_all(source, entry, 10, 200_000)
        assert read_all(source, entry, 10, 200_000) == WEIGHTS[10:200_000]

    @pytest.mark.fault
    @pytest.mark.parametrize("header", ["X-Repo-Commit", "X-Linked-Etag"])
    def test_another_revision_midway_is_noticed(self, memory: upstream.Hub, header: str) -> None:
        source = MemorySource(memory, NAME)
        entry = next(entry for entry in source.pin().entries if entry.path == SHARD)
        memory.faults.add(Fault(upstream.Relabel({header: upstream.ETAG_CHANGED}), on="resolve", skip=1))
        assert read_all(source, entry, 0, 9) == WEIGHTS[:9]
        with pytest.raises(errors.RevisionMoved):
            read_all(source, entry, 0, 9)

    @pytest.mark.fault
    def test_silent_faults_change_the_bytes_only(self, memory: upstream.Hub) -> None:
        source = MemorySource(memory, NAME)
        entry = next(entry for entry in source.pin().entries if entry.path == SHARD)
        for effect in (upstream.Flip(70_000), upstream.Shift(3)):
            memory.faults.clear()
            memory.faults.add(Fault(effect, times=1))
            assert read_all(source, entry, 10, 200_000) != WEIGHTS[10:200_000]
            assert read_all(source, entry, 10, 200_000) == WEIGHTS[10:200_000]

    @pytest.mark.fault
    def test_an_expired_link_is_resolved_again(self, memory: upstream.Hub) -> None:
        source = MemorySource(memory, NAME)
        entry = next(entry for entry in source.pin().entries if entry.path == SHARD)
        memory.faults.add(Fault(upstream.Expire(), times=1))
        assert read_all(source, entry, 0, 100) == WEIGHTS[:100]
        assert memory.faults.fired == 1

    @pytest.mark.fault
    @pytest.mark.parametrize("path", upstream.HOSTILE_PATHS)
    def test_hostile_listings_are_refused(self, memory: upstream.Hub, path: str) -> None:
        memory.faults.add(Fault(upstream.Listing(extra=(path,))))
        with pytest.raises(errors.UnsafePath):
            MemorySource(memory, NAME).pin()

    def test_a_renamed_repository_is_not_followed(self, memory: upstream.Hub) -> None:
        memory.rename(NAME, "acme/huge")
        with pytest.raises(errors.RepositoryMoved):
            MemorySource(memory, NAME).pin()
