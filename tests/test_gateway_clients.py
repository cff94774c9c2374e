"""The matrix of clients: what each of them asks of the gateway, at the versions that people have, and what it gets."""

from __future__ import annotations

import hashlib
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support import deepseek
from tests.support.clients import VERSIONS, cut_once, environment, program
from tests.support.gateway import CHUNK, GatewayProcess, Shelf, gateway, sha256, shelf

__all__ = ["gateway", "shelf"]
LARGE = "/acme/large/resolve/main/model.safetensors"
CUT = 12_345_678
NEWEST = next(reversed(VERSIONS))


@pytest.fixture(scope="module")
def sharded(shelf: Shelf, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of four shards, an index, and no code."""
    folder = deepseek.build(tmp_path_factory.mktemp("clients") / "sharded", shards=4)
    for path in folder.glob("*.py"):
        path.unlink()
    config = json.loads((folder / "config.json").read_text())
    del config["auto_map"]
    (folder / "config.json").write_text(json.dumps(config))
    shelf.ingest("sharded", folder)
    shelf.approve("sharded")
    return "acme/sharded"


def python(version: str, script: str, variables: dict[str, str]) -> Any:
    """Runs a script with a client's library and returns the JSON on its last line."""
    ran = subprocess.run(
        [environment(version) / "python", "-c", script],
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def command(version: str, variables: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Runs a client's command line."""
    return subprocess.run(
        [program(version), *words], env=variables, capture_output=True, text=True, timeout=120, check=False
    )


def sent_bytes(gateway: GatewayProcess) -> int:
    """Bytes of files that the gateway handed out so far."""
    told = gateway.ask("/metrics").body.decode().splitlines()
    return sum(
        int(line.rpartition(" ")[2])
        for line in told
        if line.startswith('weighbridge_sent_bytes_total{route="resolve"}')
    )


def digests(folder: Path) -> dict[str, str]:
    """All files of a folder, by path; not what a client notes beside them."""
    return {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in folder.rglob("*")
        if path.is_file() and ".cache" not in path.parts and ".huggingface" not in path.parts
    }


# --- huggingface_hub, from the oldest to the newest -------------------------------------------------

LIBRARY = """
import hashlib, json, os, sys
import huggingface_hub
from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_download, hf_hub_url, snapshot_download
api, name, out = HfApi(), "acme/tiny", {}
def digest(path):
    return hashlib.sha256(open(path, "rb").read()).hexdigest()
info = api.model_info(name, files_metadata=True)
out["version"], out["sha"] = huggingface_hub.__version__, info.sha
out["sizes"] = {one.rfilename: one.size for one in info.siblings}
out["files"] = sorted(api.list_repo_files(name))
out["branches"] = {one.name: one.target_commit for one in api.list_repo_refs(name).branches}
out["commits"] = [one.commit_id for one in api.list_repo_commits(name)]
out["models"] = [getattr(one, "id", None) or one.modelId for one in api.list_models(search="tiny", author="acme")]
if hasattr(api, "list_repo_tree"):
    out["tree"] = sorted(one.path for one in api.list_repo_tree(name, recursive=True, expand=True) if hasattr(one, "size"))
    out["paths"] = [one.path for one in api.get_paths_info(name, ["config.json", "nope"])]
else:
    out["tree"] = sorted(one.rfilename if hasattr(one, "rfilename") else one.path for one in api.list_files_info(name))
    out["paths"] = [one.rfilename if hasattr(one, "rfilename") else one.path for one in api.list_files_info(name, ["config.json"])]
meta = get_hf_file_metadata(hf_hub_url(name, "model.safetensors"))
out["meta"] = [meta.etag, meta.size, meta.commit_hash, getattr(meta, "xet_file_data", None) is None]
one = hf_hub_download(name, "sub folder/a b%41+&#?.json")
out["one"] = digest(one)
folder = snapshot_download(name, revision="staging")
out["folder"] = os.path.basename(folder)
out["got"] = {os.path.relpath(os.path.join(at, one), folder): digest(os.path.join(at, one)) for at, _, names in os.walk(folder) for one in names}
out["again"] = snapshot_download(name, revision=info.sha) == folder
if hasattr(api, "get_safetensors_metadata"):
    found = api.get_safetensors_metadata("acme/sharded")
    out["tensors"] = [found.sharded, len(found.weight_map), len(found.files_metadata), dict(found.parameter_count)]
    header = api.parse_safetensors_file_metadata("acme/large", "model.safetensors")
    out["header"] = {key: value.shape for key, value in header.tensors.items()}
said = {}
for key, call in {
    "file": lambda: hf_hub_download(name, "nope.bin"),
    "ref": lambda: hf_hub_download(name, "config.json", revision="beta"),
    "model": lambda: api.model_info("acme/held"),
    "dataset": lambda: api.dataset_info("acme/tiny"),
}.items():
    try: said[key] = [repr(call()), ""]
    except Exception as error: said[key] = [type(error).__name__, str(error)]
out["said"] = said
print(json.dumps(out))
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_the_library(version: str, gateway: GatewayProcess, shelf: Shelf, sharded: str, tmp_path: Path) -> None:
    source = digests(shelf.folders["tiny"])
    commit = shelf.revisions["tiny"]
    got = python(version, LIBRARY, gateway.client(tmp_path))
    assert got["version"].startswith(version)
    assert got["sha"] == got["folder"] == got["commits"][0] == commit
    assert got["got"] == source
    assert got["again"]
    assert got["one"] == source["sub folder/a b%41+&#?.json"]
    assert got["files"] == got["tree"] == sorted(got["sizes"]) == sorted(source)
    assert got["paths"] == ["config.json"]
    assert got["branches"] == dict.fromkeys(("main", "production", "staging"), commit)
    assert got["models"] == ["acme/tiny"]
    size = (shelf.folders["tiny"] / "model.safetensors").stat().st_size
    assert got["meta"] == [source["model.safetensors"], size, commit, True]
    assert got["sizes"]["model.safetensors"] == size
    said = got["said"]
    assert said["file"][0] in ("EntryNotFoundError", "RemoteEntryNotFoundError")
    assert said["ref"][0] == "RevisionNotFoundError"
    assert "Channels of acme/tiny: production, staging" in said["ref"][1]
    assert said["model"][0] == "RepositoryNotFoundError"
    assert "Ask for it: weighbridge request acme/held" in said["model"][1]
    assert "Error" in said["dataset"][0]
    if version != "0.17":
        index = json.loads((shelf.folders["sharded"] / "model.safetensors.index.json").read_text())
        assert got["tensors"][:3] == [True, len(index["weight_map"]), 4]
        assert set(got["tensors"][3]) == {"F8_E4M3", "BF16", "F32"}
        assert got["header"] == {"w": [int(2.5 * CHUNK) // 4]}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_command_line(version: str, gateway: GatewayProcess, shelf: Shelf, tmp_path: Path) -> None:
    variables = gateway.client(tmp_path / "hf")
    whole = command(version, variables, "download", "acme/tiny", "--quiet")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    folder = Path(whole.stdout.strip().splitlines()[-1])
    assert folder.name == shelf.revisions["tiny"]
    assert digests(folder) == digests(shelf.folders["tiny"])
    if version in ("1.33", "2.4"):
        verified = command(version, variables, "cache", "verify", "acme/tiny")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        (blob,) = [one for one in (tmp_path / "hf").rglob(sha256(folder / "model.safetensors")) if one.is_file()]
        blob.write_bytes(blob.read_bytes()[:-1] + b"x")
        altered = command(version, variables, "cache", "verify", "acme/tiny")
        assert altered.returncode != 0
        assert "model.safetensors" in altered.stdout + altered.stderr
    held = command(version, variables, "download", "acme/held")
    assert held.returncode != 0
    assert "Ask for it: weighbridge request acme/held" in held.stdout + held.stderr


GOES_ON = """
import json, os
from huggingface_hub import hf_hub_download, __version__
more = {"resume_download": True} if __version__.startswith("0.17") else {}
# From 1.0 on a client goes on by itself; before, the next call does.
for attempt in range(2):
    try:
        path = hf_hub_download("acme/large", "model.safetensors", **more)
        break
    except Exception as error:
        assert attempt == 0 and __version__.startswith("0."), repr(error)
print(json.dumps({"path": path}))
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_an_interrupted_download_goes_on(version: str, gateway: GatewayProcess, shelf: Shelf, tmp_path: Path) -> None:
    with cut_once(gateway.address, "model.safetensors", CUT) as proxy:
        variables = {**gateway.client(tmp_path), "HF_ENDPOINT": proxy.endpoint}
        got = python(version, GOES_ON, variables)
        assert sha256(Path(got["path"])) == sha256(shelf.folders["large"] / "model.safetensors")
        first, second = proxy.heads
        assert "\r\nrange:" not in first.lower()
        # It goes on from what it had written; clients write 10 MiB at a time.
        (asked,) = [line for line in second.split("\r\n") if line.lower().startswith("range:")]
        begin = int(asked.partition("bytes=")[2].partition("-")[0])
        assert 0 < begin <= CUT


ACCELERATED = """
import json, sys
import hf_xet, {module}
from huggingface_hub import hf_hub_download
print(json.dumps(hf_hub_download("acme/large", "model.safetensors")))
"""


@pytest.mark.parametrize(
    ("version", "module", "variable"),
    [("0.36", "hf_transfer", "HF_HUB_ENABLE_HF_TRANSFER"), ("2.4", "hf_xet", "HF_XET_HIGH_PERFORMANCE")],
)
def test_with_accelerators_installed_the_bytes_are_still_ours(
    version: str, module: str, variable: str, gateway: GatewayProcess, shelf: Shelf, tmp_path: Path
) -> None:
    source = shelf.folders["large"] / "model.safetensors"
    before = sent_bytes(gateway)
    variables = {**gateway.client(tmp_path), variable: "1"}
    path = python(version, ACCELERATED.format(module=module), variables)
    assert sha256(Path(path)) == sha256(source)
    assert sent_bytes(gateway) - before >= source.stat().st_size


LISTS = """
import json
from huggingface_hub import HfApi, HfFileSystem
files = HfFileSystem()
with files.open("acme/large/model.safetensors", "rb") as opened:
    size = int.from_bytes(opened.read(8), "little")
    header = json.loads(opened.read(size))
    opened.seek(-16, 2)
    tail = opened.read().hex()
try: refused = str(HfApi().dataset_info("acme/tiny"))
except Exception as error: refused = type(error).__name__
print(json.dumps({
    "ls": sorted(files.ls("acme/tiny", detail=False)),
    "glob": files.glob("acme/tiny/**/*.json"),
    "at": files.glob("acme/tiny@staging/*.safetensors"),
    "find": len(files.find("acme/tiny")), "info": files.info("acme/tiny/config.json")["size"],
    "isdir": files.isdir("acme/tiny/sub folder"), "exists": files.exists("acme/tiny/nope"),
    "header": header["w"]["shape"], "tail": tail, "refused": refused,
    "cat": files.cat_file("acme/tiny/config.json", start=2, end=9).decode(),
}))
"""


def test_listings_and_reads_as_the_datasets_library_does_them(
    gateway: GatewayProcess, shelf: Shelf, tmp_path: Path
) -> None:
    source = digests(shelf.folders["tiny"])
    got = python(NEWEST, LISTS, gateway.client(tmp_path))
    assert got["ls"] == sorted({f"acme/tiny/{path.partition('/')[0]}" for path in source})
    assert sorted(got["glob"]) == sorted(f"acme/tiny/{path}" for path in source if path.endswith(".json"))
    assert got["at"] == ["acme/tiny@staging/model.safetensors"]
    assert got["find"] == len(source)
    assert got["isdir"]
    assert not got["exists"]
    config = (shelf.folders["tiny"] / "config.json").read_bytes()
    assert (got["info"], got["cat"]) == (len(config), config[2:9].decode())
    assert got["header"] == [int(2.5 * CHUNK) // 4]
    with (shelf.folders["large"] / "model.safetensors").open("rb") as file:
        file.seek(-16, 2)
        assert got["tail"] == file.read().hex()
    assert got["refused"] == "RepositoryNotFoundError"


# --- clients in other languages, by the requests that they send --------------------------------------


def test_llama_cpp_takes_a_model_and_goes_on(gateway: GatewayProcess, shelf: Shelf) -> None:
    """`llama-cli -hf`: refs, the tree of that commit, HEAD, and a GET that goes on where the last one ended."""
    said = {"User-Agent": "llama-cpp/b6000", "Accept": "application/json"}
    refs = gateway.ask("/api/models/acme/large/refs", headers=said).json
    (commit,) = {one["targetCommit"] for one in refs["branches"] if one["name"] == "main"}
    assert commit == shelf.revisions["large"]
    tree = gateway.ask(f"/api/models/acme/large/tree/{commit}?recursive=true", headers=said).json
    (weights,) = [one for one in tree if one["type"] == "file" and one["path"].endswith(".safetensors")]
    whole = (shelf.folders["large"] / weights["path"]).read_bytes()
    assert (weights["size"], weights["lfs"]["oid"]) == (len(whole), hashlib.sha256(whole).hexdigest())
    path = f"/acme/large/resolve/{commit}/{quote(weights['path'])}"
    head = gateway.ask(path, method="HEAD", headers=said)
    assert head.status == 200
    assert head.headers["accept-ranges"] == "bytes"
    assert int(head.headers["content-length"]) == len(whole)
    assert head.headers["etag"] == f'"{weights["lfs"]["oid"]}"'
    rest = gateway.ask(path, headers={**said, "Range": f"bytes={CHUNK - 7}-"})
    assert rest.status == 206
    assert rest.headers["content-range"] == f"bytes {CHUNK - 7}-{len(whole) - 1}/{len(whole)}"
    assert rest.body == whole[CHUNK - 7 :]
    # A manifest as Ollama's registry has it is what it tries for a tag; there is none here, and it is told so.
    assert gateway.ask("/v2/acme/large/manifests/latest", headers=said).status == 404


def test_the_rust_client_takes_a_model_in_pieces(gateway: GatewayProcess, shelf: Shelf) -> None:
    """`hf-hub`: info, a GET of one byte for commit, ETag and size, then ranges of 10 MB side by side."""
    said = {"User-Agent": "unkown/None; hf-hub/0.4.3; rust/unknown"}
    info = gateway.ask("/api/models/acme/large/revision/main", headers=said).json
    assert info["sha"] == shelf.revisions["large"]
    name = next(one["rfilename"] for one in info["siblings"] if one["rfilename"].endswith(".safetensors"))
    path = f"/acme/large/resolve/main/{name}"
    probe = gateway.ask(path, headers={**said, "Range": "bytes=0-0"})
    assert (probe.status, len(probe.body)) == (206, 1)
    assert probe.headers["x-repo-commit"] == info["sha"]
    size = int(probe.headers["content-range"].rpartition("/")[2])
    etag = (probe.headers.get("x-linked-etag") or probe.headers["etag"]).strip('"')
    step = 10_000_000
    spans = [(start, min(start + step, size) - 1) for start in range(0, size, step)]

    def piece(span: tuple[int, int]) -> bytes:
        got = gateway.ask(path, headers={**said, "Range": f"bytes={span[0]}-{span[1]}"})
        assert got.status == 206
        return got.body

    with ThreadPoolExecutor(4) as pool:
        assert hashlib.sha256(b"".join(pool.map(piece, spans))).hexdigest() == etag


def curl(gateway: GatewayProcess, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs curl, which tells the status."""
    return subprocess.run(
        ["curl", "-sS", "-w", "%{http_code}", *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_curl_with_ranges_and_conditions(gateway: GatewayProcess, shelf: Shelf, tmp_path: Path) -> None:
    whole = (shelf.folders["large"] / "model.safetensors").read_bytes()
    url, got, tag = gateway.endpoint + LARGE, tmp_path / "got", tmp_path / "tag"
    first = curl(gateway, "-r", "0-99", "--etag-save", tag, "-o", got, url)
    assert (first.stdout, got.read_bytes()) == ("206", whole[:100])
    assert tag.read_text().strip() == f'"{hashlib.sha256(whole).hexdigest()}"'
    assert curl(gateway, "--etag-compare", tag, "-o", tmp_path / "same", url).stdout == "304"
    assert not (tmp_path / "same").exists()
    assert curl(gateway, "-C", "-", "-H", f"If-Range: {tag.read_text().strip()}", "-o", got, url).stdout == "206"
    assert got.read_bytes() == whole
    other = f'If-Range: "{"0" * 64}"'
    assert curl(gateway, "-r", "5-9", "-H", other, "-o", got, url).stdout == "200"
    assert got.stat().st_size == len(whole)
    assert curl(gateway, "-r", "-16", "-o", got, url).stdout == "206"
    assert got.read_bytes() == whole[-16:]
    assert curl(gateway, "-r", f"{len(whole)}-", "-o", got, url).stdout == "416"
    assert curl(gateway, "-H", 'If-Match: "x"', "-o", got, url).stdout == "412"
    # Bytes of a model are what they are: nobody encodes them on the way, whatever a client would take.
    packed = curl(gateway, "--compressed", "-r", "0-99", "-D", tmp_path / "head", "-o", got, url)
    assert (packed.stdout, got.read_bytes()) == ("206", whole[:100])
    assert "content-encoding" not in (tmp_path / "head").read_text().lower()
    spaced = quote("sub folder/a b%41+&#?.json")
    named = curl(gateway, "-OJ", "--output-dir", tmp_path, f"{gateway.endpoint}/acme/tiny/resolve/main/{spaced}")
    assert named.stdout.endswith("200"), named.stderr
    assert (shelf.folders["tiny"] / "sub folder/a b%41+&#?.json").read_bytes() in [
        path.read_bytes() for path in tmp_path.iterdir() if path.name.endswith(".json")
    ]
    private = curl(gateway, "-u", "someone:hf_" + "a" * 37, "-o", got, "-r", "0-9", url)
    assert private.stdout == "206"
