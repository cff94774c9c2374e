"""Scanning where a model lies: little is read, nothing is stored, and the exit code says what was found."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.support.hub import Fault, HubServer, Refuse

MIB = 1024 * 1024
EVIL = b"cposix\nsystem\n(S'id'\ntR."


def safetensors(size_bytes: int) -> bytes:
    header = json.dumps({"w": {"dtype": "U8", "shape": [size_bytes], "data_offsets": [0, size_bytes]}}).encode()
    return len(header).to_bytes(8, "little") + header + os.urandom(size_bytes)


def test_a_large_model_on_the_hub_costs_its_headers(on_hub: Command, hub: HubServer) -> None:
    files = {f"model-{n}.safetensors": safetensors(10 * MIB) for n in range(4)}
    hub.repository("acme/big").commit({"README.md": b"# Big\n", **files}, lfs=("*.safetensors",))
    found = on_hub("scan", "hf://acme/big", "--json").json
    assert found["verdict"] == "clean"
    assert found["findings"] == []
    assert found["total_bytes"] > 40 * MIB
    assert found["read_bytes"] < MIB
    sent = sum(asked.bytes_sent for asked in hub.requests if asked.status in (200, 206) and asked.artifact)
    assert sent == found["read_bytes"]
    assert not (on_hub.home / "store").exists()


def test_r1_is_named_and_not_accused(on_hub: Command, hub: HubServer, r1_folder: Path) -> None:
    found = on_hub("scan", str(r1_folder), "--json", code=12).json
    assert {finding["rule"] for finding in found["findings"]} == {"config-remote-code", "python-remote-code"}
    assert {finding["severity"] for finding in found["findings"]} == {"medium"}
    assert found["verdict"] == "clean"
    assert found["not_understood"] == []


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("data.pkl", pickle.dumps({"a": [1, 2]}), 0),
        ("evil.pkl", EVIL, 14),
        ("strange.pkl", b"cmodule\nthing\n)R.", 12),
        ("config.json", b"{}", 0),
        ("notes.xyz", b"who knows\n", 4),
        ("README.md", b"# Words\n", 0),
        ("model.safetensors", safetensors(1000), 0),
        ("model.safetensors", safetensors(1000) + b"x", 13),
    ],
)
def test_one_file_and_its_exit_code(weighbridge: Command, tmp_path: Path, name: str, data: bytes, code: int) -> None:
    (tmp_path / name).write_bytes(data)
    (tmp_path / "other.pkl").write_bytes(EVIL)
    weighbridge("scan", str(tmp_path / name), code=code)


def test_only_what_is_severe_enough_fails(weighbridge: Command, tmp_path: Path) -> None:
    # Nobody can say what a command does that is not known.
    (tmp_path / "run.sh").write_text("#!/bin/sh\n./install --all\n")
    weighbridge("scan", str(tmp_path / "run.sh"), code=12)
    weighbridge("scan", str(tmp_path / "run.sh"), "--fail-on", "high", code=4)


def test_a_file_that_is_scanned_alone_is_not_said_to_miss_what_lies_beside_it(
    weighbridge: Command, tmp_path: Path
) -> None:
    index = {
        "metadata": {},
        "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"},
    }
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(safetensors(1000))
    for name in ("model.safetensors.index.json", "model-00001-of-00002.safetensors"):
        weighbridge("scan", str(tmp_path / name), code=0)
    found = weighbridge("scan", str(tmp_path), "--json", code=12).json
    assert "repository-shard-missing" in {finding["rule"] for finding in found["findings"]}
    # What a name says by itself is said all the same.
    escaping = {"metadata": {}, "weight_map": {"a": "../../model.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(escaping))
    weighbridge("scan", str(tmp_path / "model.safetensors.index.json"), code=13)


def test_an_upstream_that_does_not_answer_is_no_verdict(on_hub: Command, hub: HubServer) -> None:
    hub.repository("acme/tiny").commit({"data.pkl": EVIL})
    hub.faults.add(Fault(Refuse(503), path=r"data\.pkl"))
    failed = on_hub("scan", "hf://acme/tiny", env={"WEIGHBRIDGE_TRANSFER_ATTEMPTS": "2"}, code=1)
    assert "clean" not in failed.out


def test_rules_are_listed_and_explained(weighbridge: Command) -> None:
    listed = {rule["id"] for rule in weighbridge("rules", "--json").json}
    assert {"pickle-dangerous-callable", "safetensors-overlap", "kind-python-code"} <= listed
    assert "pickle-dangerous-callable" in weighbridge("rules", "pickle-dangerous-callable").out
    weighbridge("rules", "no-such-rule", code=2)


def test_a_folder_may_have_a_name_that_no_model_can_have(weighbridge: Command, tmp_path: Path) -> None:
    folder = tmp_path / "joblib~34 (copy)"
    folder.mkdir()
    (folder / "README.md").write_text("# Words\n")
    assert weighbridge("scan", str(folder)).out.startswith(f"{folder}: clean")


def test_what_cannot_be_a_model_is_an_answer_and_no_mistake(weighbridge: Command, tmp_path: Path) -> None:
    (tmp_path / "self").symlink_to("self")
    os.mkfifo(tmp_path / "pipe")
    deep = tmp_path / "deep" / "/".join(["a"] * 80)
    deep.mkdir(parents=True)
    (deep / "config.json").write_text("{}")
    sources = {"n" * 5_000: 1, "/".join(["n" * 200] * 30): 1, "self": 1, "pipe": 1, "missing.pt": 1, "deep": 6}
    for source, code in sources.items():
        done = weighbridge("scan", str(tmp_path / source), code=code)
        assert "itself made a mistake" not in done.err
        assert done.err.startswith("error: ")


def test_compiled_python_in_a_folder_is_scanned_and_not_brought_in(weighbridge: Command, tmp_path: Path) -> None:
    (tmp_path / "m" / "__pycache__").mkdir(parents=True)
    (tmp_path / "m" / "config.json").write_text("{}")
    compiled = b"\xa7\r\r\n" + b"\0" * 12 + b"\xe3" + b"\0" * 40
    (tmp_path / "m" / "__pycache__" / "handler.cpython-311.pyc").write_bytes(compiled)
    assert "executable-bytecode" in weighbridge("scan", str(tmp_path / "m"), code=13).out
    weighbridge("ingest", str(tmp_path / "m"), "--as", "acme/tiny")
