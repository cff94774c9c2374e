"""A model comes in from the Hub: exact, proven, described, signed, and from one read of the network."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Command, folder_files
from tests.support.hub import HubServer

Publish = Callable[..., str]


def test_r1_comes_in_whole_and_is_read_once(on_hub: Command, hub: HubServer, publish: Publish, r1_folder: Path) -> None:
    commit = publish("deepseek-ai/DeepSeek-R1", r1_folder)
    done = on_hub("ingest", "hf://deepseek-ai/DeepSeek-R1", "--json").event("ingested")
    assert done["revision"] == commit
    assert done["artifacts"] == len(folder_files(r1_folder))
    assert done["how"]["streamed"] == done["artifacts"]
    stored = on_hub.home / "store" / "models" / "deepseek-ai" / "DeepSeek-R1" / commit
    assert {path: file.read_bytes() for path, file in folder_files(stored).items()} == {
        path: file.read_bytes() for path, file in folder_files(r1_folder).items()
    }
    bodies = [
        asked for asked in hub.requests if asked.method == "GET" and asked.status in (200, 206) and asked.artifact
    ]
    assert sum(asked.bytes_sent for asked in bodies) == done["total_bytes"]
    assert len({asked.artifact for asked in bodies}) == len(bodies)


def test_the_manifest_says_where_everything_came_from(
    on_hub: Command, hub: HubServer, publish: Publish, r1_folder: Path
) -> None:
    commit = publish("deepseek-ai/DeepSeek-R1", r1_folder)
    on_hub("ingest", "hf://deepseek-ai/DeepSeek-R1")
    shown = on_hub("show", "deepseek-ai/DeepSeek-R1", "--json").json
    manifest = shown["manifest"]
    assert manifest["origin"]["commit"] == commit
    assert manifest["origin"]["owner"] == "deepseek-ai"
    assert len(manifest["origin"]["owner_id"]) == 24
    assert len(manifest["origin"]["repository_id"]) == 24
    assert manifest["origin"]["requested_ref"] == "main"
    assert manifest["origin"]["endpoint"] == hub.endpoint
    for artifact in manifest["artifacts"]:
        data = (r1_folder / artifact["path"]).read_bytes()
        assert artifact["sha256"] == hashlib.sha256(data).hexdigest()
        assert artifact["size_bytes"] == len(data)
        assert artifact["proven"] in ("sha256", "git-sha1")
    assert shown["verdict"] == "clean"  # remote code was read and is unremarkable; that it is there is for policy
    assert {finding["rule"] for report in shown["inspection"]["reports"] for finding in report["findings"]} == {
        "config-remote-code",
        "python-remote-code",
    }


def test_the_stock_tool_accepts_the_signature_of_an_exported_folder(
    on_hub: Command, publish: Publish, r1_folder: Path, tmp_path: Path
) -> None:
    publish("deepseek-ai/DeepSeek-R1", r1_folder)
    on_hub("ingest", "hf://deepseek-ai/DeepSeek-R1")
    out = tmp_path / "exported"
    on_hub("export", "deepseek-ai/DeepSeek-R1", str(out))
    public = on_hub.home / "keys" / "signing.pem.pub"
    stock = [str(Path(sys.executable).parent / "model_signing"), "verify", "key", str(out)]
    stock += ["--signature", str(out / "model.sig"), "--public_key", str(public)]
    assert subprocess.run(stock, capture_output=True, check=False).returncode == 0
    shard = next(out.glob("*.safetensors"))
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.chmod(0o644)
    shard.write_bytes(data)
    assert subprocess.run(stock, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("kind", ["branch", "tag", "commit"])
def test_branch_tag_and_commit_lead_to_the_same_revision(on_hub: Command, hub: HubServer, kind: str) -> None:
    repository = hub.repository("acme/tiny")
    commit = repository.commit({"config.json": b"{}"})
    repository.commit({"config.json": b'{"a": 1}'})
    repository.branch("stable", commit)
    repository.tag("v1", commit)
    ref = {"branch": "stable", "tag": "v1", "commit": commit}[kind]
    done = on_hub("ingest", f"hf://acme/tiny@{ref}", "--json").event("ingested")
    assert done["revision"] == commit


def test_selection_by_patterns(on_hub: Command, hub: HubServer) -> None:
    files = {"a.json": b"{}", "b.txt": b"b", "figures/c.json": b"{}", "d.json": b"{}"}
    hub.repository("acme/tiny").commit(files)
    run = on_hub("ingest", "hf://acme/tiny", "--include", "*.json", "--exclude", "figures/*", "--json")
    paths = {event["path"] for event in run.events if event["event"] == "artifact"}
    assert paths == {"a.json", "d.json"}
    other = on_hub("ingest", "hf://acme/tiny", code=1)
    assert "another selection" in other.err
    assert on_hub("ingest", "hf://acme/tiny", "--include", "*.onnx", code=3).code == 3


def test_a_second_ingest_changes_nothing(on_hub: Command, hub: HubServer) -> None:
    hub.repository("acme/tiny").commit({"config.json": b"{}", "w.bin": os.urandom(50_000)}, lfs=("*.bin",))
    first = on_hub("ingest", "hf://acme/tiny", "--json").event("ingested")
    hub.forget_requests()
    second = on_hub("ingest", "hf://acme/tiny", "--json").event("ingested")
    assert second["manifest_digest"] == first["manifest_digest"]
    assert second["how"] == {"kept": 2}
    assert hub.bytes_sent("w.bin") == 0
    assert len(on_hub("ls", "--json").json) == 1


def test_what_the_store_holds_is_not_fetched_again(on_hub: Command, hub: HubServer) -> None:
    weights = os.urandom(300_000)
    repository = hub.repository("acme/tiny")
    repository.commit({"README.md": b"one", "w.bin": weights}, lfs=("*.bin",))
    on_hub("ingest", "hf://acme/tiny")
    repository.commit({"README.md": b"two", "renamed.bin": weights}, lfs=("*.bin",))
    hub.forget_requests()
    done = on_hub("ingest", "hf://acme/tiny", "--json").event("ingested")
    assert done["how"] == {"streamed": 1, "copied": 1, "kept": 0}
    assert hub.bytes_sent("renamed.bin") == 0
    on_hub("verify", "acme/tiny", "--deep")
    models = on_hub.home / "store" / "models"
    inodes = {path.stat().st_ino for path in models.rglob("*.bin")}
    assert len(inodes) == 1


def test_the_token_goes_to_the_hub_and_nowhere_else(on_hub: Command, hub: HubServer) -> None:
    hub.repository("acme/closed", private=True).commit({"w.bin": os.urandom(9_000)}, lfs=("*.bin",))
    hub.token("hf_letmein", user="alice", access={"acme/closed"})
    refused = on_hub("ingest", "hf://acme/closed", code=1)
    assert "without a token" in refused.err
    on_hub("ingest", "hf://acme/closed", env={"HF_TOKEN": "hf_letmein"})
    for asked in hub.requests:
        if asked.origin == "cdn":
            assert "authorization" not in {name.lower() for name in asked.headers}
    assert "hf_letmein" not in refused.err + refused.out


def test_a_gated_model_says_what_to_do(on_hub: Command, hub: HubServer) -> None:
    hub.repository("acme/gated", gated=True).commit({"config.json": b"{}"})
    hub.token("hf_nobody", user="bob", access=set())
    refused = on_hub("ingest", "hf://acme/gated", env={"HF_TOKEN": "hf_nobody"}, code=1)
    assert "gated" in refused.err
    assert "licence" in refused.err


def test_xet_backed_files_come_by_plain_ranges(on_hub: Command, hub: HubServer) -> None:
    data = os.urandom(100_000)
    commit = hub.repository("acme/xet", xet=True).commit({"w.bin": data}, lfs=("*.bin",))
    on_hub("ingest", "hf://acme/xet")
    assert (on_hub.home / "store/models/acme/xet" / commit / "w.bin").read_bytes() == data


def test_small_files_behind_the_resolve_cache(weighbridge: Command) -> None:
    with HubServer(resolve_cache=True) as hub:
        hub.repository("acme/tiny").commit({"config.json": b"{}"})
        weighbridge("ingest", "hf://acme/tiny", "--hub", hub.endpoint)


def test_an_empty_file_and_many_parts(on_hub: Command, hub: HubServer) -> None:
    big = os.urandom(40 * 1024 * 1024 + 17)
    commit = hub.repository("acme/big").commit({"empty": b"", "w.bin": big}, lfs=("*.bin",))
    part = ["--part-bytes", str(8 * 1024 * 1024), "--memory-bytes", str(32 * 1024 * 1024)]
    on_hub("ingest", "hf://acme/big", *part)
    assert (on_hub.home / "store/models/acme/big" / commit / "w.bin").read_bytes() == big
    manifest = on_hub("show", "acme/big", "--json").json["manifest"]
    assert [len(artifact["chunks"]) for artifact in manifest["artifacts"]] == [0, 6]
    on_hub("verify", "acme/big", "--deep")


def test_dry_run_reads_no_file(on_hub: Command, hub: HubServer) -> None:
    hub.repository("acme/tiny").commit({"config.json": b"{}", "w.bin": b"x" * 5_000}, lfs=("*.bin",))
    plan = on_hub("ingest", "hf://acme/tiny", "--dry-run", "--json").json
    assert plan["total_bytes"] == 5_002
    assert not [asked for asked in hub.requests if "/resolve/" in asked.path]
    assert not (on_hub.home / "store").exists()
