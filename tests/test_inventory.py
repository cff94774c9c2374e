"""Models on a disk or in a bucket are found by content, known ones are recognised, and what cannot be looked at is told."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import socket
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.cases import each
from tests.support.copies import decoder, each_matrix, with_noise, write_gguf, write_safetensors
from tests.support.in_process import InProcess, own_environment
from tests.support.inspecting import Bytes
from tests.support.seaweed import S3Server
from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.inventory.models import sort_models
from weighbridge.inventory.places import MAX_DEPTH, FolderPlace, Found, Troubles
from weighbridge.inventory.weight_files import format_of

BASE = decoder(1)
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": 3, "hidden_size": 64}


@dataclass(frozen=True)
class Laid:
    """A home with acme/tiny in it, and a disk."""

    run: InProcess
    original: Path
    disk: Path

    def take(self, *arguments: str, place: Path | None = None, code: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.run("inventory", str(place or self.disk), "--json", *arguments, code=code).json
        return found


def _cache(hub: Path, name: str, folder: Path) -> None:
    """A repository in the Hub's cache: blobs under digests, and links to them."""
    repository = hub / f"models--{name.replace('/', '--')}"
    snapshot, blobs = repository / "snapshots" / ("a" * 40), repository / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for file in folder.iterdir():
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copyfile(file, blobs / digest)
        (snapshot / file.name).symlink_to(f"../../blobs/{digest}")
    stray = write_gguf(repository / "stray.gguf", decoder(7), "F16")
    stray.rename(blobs / ("b" * 64))


def _ollama(root: Path) -> None:
    blob = write_gguf(root / "x.gguf", decoder(1, hidden=64), "Q8_0")
    digest = hashlib.sha256(blob.read_bytes()).hexdigest()
    (root / "blobs").mkdir()
    blob.rename(root / "blobs" / f"sha256-{digest}")
    manifest = root / "manifests/registry.ollama.ai/library/llama3/8b"
    manifest.parent.mkdir(parents=True)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}"}
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": [layer]}))


def _fill(disk: Path, original: Path) -> None:
    """All kinds of places that models lie in."""
    shutil.copytree(original, disk / "copied")
    _cache(disk / "hub", "someone/else", original)
    _ollama(disk / "ollama")
    half = write_safetensors(disk / "half", each_matrix(BASE, torch.Tensor.bfloat16), shards=3)
    (half / "config.json").write_text(
        json.dumps({**CONFIG, "_name_or_path": "big/name", "auto_map": {"AutoModel": "m.M"}})
    )
    (half / "README.md").write_text("---\nbase_model: meta/llama\nbase_model_relation: finetune\n---\n# Half\n")
    write_safetensors(disk / "tuned", with_noise(BASE, 0.02, names="q_proj"))
    write_safetensors(disk / "stranger", decoder(9))
    (disk / "loose").mkdir()
    torch.save({"state_dict": {f"module.{name}": value for name, value in BASE.items()}}, disk / "loose/holiday.jpg")
    torch.save({"w": torch.zeros(8)}, disk / "loose/more.txt")
    (disk / "loose/evil.pkl").write_bytes(b"\x80\x04cposix\nsystem\n(X\x02\x00\x00\x00idtR." + b" " * 200)
    (disk / "loose/notes.txt").write_text("No model at all.\n" * 40)


@pytest.fixture(scope="module")
def laid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laid]:
    root = tmp_path_factory.mktemp("inventory")
    original = write_safetensors(root / "original", BASE, shards=2)
    (original / "config.json").write_text(json.dumps(CONFIG))
    run = InProcess(root / "home")
    with pytest.MonkeyPatch.context() as monkeypatch:
        own_environment(monkeypatch)
        run("ingest", str(original), "--as", "acme/tiny", "--without", "secrets", "--without", "malware")
        _fill(root / "disk", original)
        yield Laid(run, original, root / "disk")


def _by_place(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {model["place"]: model for model in document["models"]}


def test_every_model_on_a_disk_is_found_and_said_to_be_what_it_is(laid: Laid) -> None:
    document = laid.take()
    found = _by_place(document)
    snapshot = f"hub/models--someone--else/snapshots/{'a' * 40}"
    stray = f"hub/models--someone--else/blobs/{'b' * 64}"
    (blob,) = (place for place in found if place.startswith("ollama/"))
    assert {place: model["status"] for place, model in found.items()} == {
        "copied": "sealed",
        snapshot: "sealed",
        stray: "unknown",
        blob: "related",
        "half": "copy",
        "tuned/model.safetensors": "related",
        "stranger/model.safetensors": "unknown",
        "loose/holiday.jpg": "copy",
        "loose/more.txt": "unknown",
        "loose/evil.pkl": "unknown",
    }
    assert document["counts"] == {"sealed": 2, "copy": 2, "related": 2, "unknown": 4}
    assert document["complete"]
    assert all(model["of"].startswith("acme/tiny@") for model in found.values() if model["status"] != "unknown")
    assert found["copied"]["basis"] == "sizes of 2 weight files, and 2 chunks of up to 8 MiB"
    assert found[snapshot]["claims"] == [{"name": f"someone/else@{'a' * 40}", "said_by": "folder of the Hub's cache"}]
    assert {"name": "llama3:8b", "said_by": "manifest of Ollama"} in found[blob]["claims"]
    assert found[blob]["architecture"] == {"model_type": "llama", "layers": 3}
    assert found[blob]["likeness"]["agreeing"] == found[blob]["likeness"]["alike"]
    half = found["half"]
    assert half["claims"] == [
        {"name": "big/name", "said_by": "config.json: _name_or_path"},
        {"name": "meta/llama", "said_by": "README.md: base_model (finetune)"},
    ]
    assert (half["risks"], half["weight_files"], half["formats"]) == (["remote code"], 3, ["safetensors"])
    assert half["architecture"]["names"] == ["LlamaForCausalLM"]
    assert found["stranger/model.safetensors"]["notes"] == [
        f"the architecture of {found['copied']['of']}, with other weights"
    ]
    assert found["loose/evil.pkl"]["risks"] == ["pickle"]
    assert found["loose/holiday.jpg"]["formats"] == ["torch"]


def test_what_is_missing_added_or_changed_in_a_known_model_is_told(laid: Laid, tmp_path: Path) -> None:
    for name in ("less", "more", "other"):
        shutil.copytree(laid.original, tmp_path / name)
    shards = sorted(path.name for path in laid.original.glob("*.safetensors"))
    (tmp_path / "less" / shards[1]).unlink()
    (tmp_path / "more" / "pytorch_model.bin").write_bytes(
        b"\x80\x04cposix\nsystem\n(X\x02\x00\x00\x00idtR." + b" " * 200
    )
    data = bytearray((tmp_path / "other" / shards[0]).read_bytes())
    data[-1] ^= 1
    (tmp_path / "other" / shards[0]).write_bytes(data)
    found = _by_place(laid.take(place=tmp_path))
    assert (found["less"]["status"], found["less"]["differing"]) == ("sealed", ["1 of 2 weight files missing"])
    more = found["more"]
    assert (more["status"], more["differing"]) == ("copy", ["more/pytorch_model.bin: no part of it"])
    assert more["notes"] == ["not part of its fingerprint: more/pytorch_model.bin"]
    assert found["other"]["status"] == "copy"
    assert "and other bytes" in found["other"]["notes"][0]


def test_reports_for_people_say_the_same_and_cannot_be_written_into(laid: Laid, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    model = write_safetensors(disk / "<script>alert(1)</script>", decoder(3))
    (model / "config.json").write_text(json.dumps({"architectures": ["A|B`<b>\u202e"], "_name_or_path": "<img src=x>"}))
    text = laid.run("inventory", str(disk), "--quiet").out
    assert text.count("\n") == 1
    assert "\tunknown\t" in text
    assert "\u202e" not in text
    page = laid.run("inventory", str(disk), "--format", "html", "--quiet").out
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    assert "Content-Security-Policy" in page
    report = tmp_path / "report.md"
    laid.run("inventory", str(disk), "--format", "markdown", "--output", str(report))
    assert "`<script>alert(1)</script>`" in report.read_text()
    assert "1 model in 2 files: 0 sealed, 0 copy, 0 related, 1 unknown" in report.read_text()


@each(
    "place, fail_on, code",
    [
        ("stranger", "unknown", 12),
        ("stranger", "never", 0),
        ("tuned", "unknown", 0),
        ("tuned", "related", 12),
        ("half", "related", 0),
        ("half", "copy", 12),
        ("copied", "copy", 0),
    ],
)
def test_the_exit_code_says_how_little_is_known(place: str, fail_on: str, code: int, laid: Laid) -> None:
    laid.take("--fail-on", fail_on, place=laid.disk / place, code=code)


def test_every_byte_is_read_when_asked_and_a_changed_one_is_seen(laid: Laid, tmp_path: Path) -> None:
    changed = shutil.copytree(laid.original, tmp_path / "changed")
    assert laid.take("--hash", place=changed)["models"][0]["basis"] == "every byte of 2 weight files (SHA-256)"
    shard = min(changed.glob("*.safetensors"))
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    for arguments in ((), ("--hash",)):
        # Of files up to 8 MiB the one chunk is the whole file; with --hash that is so of any.
        (model,) = laid.take(*arguments, place=changed)["models"]
        assert model["status"] in ("copy", "related")
        assert model["of"].startswith("acme/tiny@")


def test_what_lies_beside_the_weights_of_a_sealed_revision_is_compared(laid: Laid, tmp_path: Path) -> None:
    changed = shutil.copytree(laid.original, tmp_path / "changed")
    (changed / "config.json").write_text(json.dumps({**CONFIG, "auto_map": {"AutoModel": "m.M"}}))
    (changed / "m.py").write_text("import os\n")
    (model,) = laid.take(place=changed)["models"]
    assert model["status"] == "sealed"
    assert model["differing"] == ["config.json differs", "m.py is not part of it"]
    assert model["risks"] == ["remote code"]


def test_of_revisions_with_the_same_weights_the_one_that_fits_is_named(laid: Laid, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(laid.run.home, home)
    run = InProcess(home)
    other = shutil.copytree(laid.original, tmp_path / "other")
    (other / "config.json").write_text(json.dumps({**CONFIG, "vocab_size": 320}))
    run("ingest", str(other), "--as", "acme/reworded", "--without", "secrets", "--without", "malware")
    for place, name in ((other, "acme/reworded"), (laid.original, "acme/tiny")):
        (model,) = run("inventory", str(place), "--json").json["models"]
        assert (model["of"].partition("@")[0], model["differing"]) == (name, [])


def test_a_snapshot_of_a_cache_is_a_place_though_it_is_all_links(laid: Laid) -> None:
    snapshot = laid.disk / "hub/models--someone--else/snapshots" / ("a" * 40)
    document = laid.take(place=snapshot)
    (model,) = document["models"]
    assert (model["status"], document["complete"]) == ("sealed", True)
    assert model["claims"][0]["name"].startswith("someone/else@")
    (model,) = laid.take(place=snapshot / "model-00001-of-00002.safetensors")["models"]
    assert model["status"] in ("related", "sealed")


def _zip(*names: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name in names:
            archive.writestr(name, b"x" * 200)
    return held.getvalue()


@each(
    "data, kind",
    [
        (_zip("m/data.pkl", "m/data/0", "m/version"), "torch"),
        (_zip("m/data.pkl", "m/constants.pkl", "m/code/m.py"), "torchscript"),
        (_zip("config.json", "metadata.json", "model.weights.h5"), "keras"),
        (_zip("word/document.xml"), ""),
        (b"\x89HDF\r\n\x1a\n" + bytes(500), "hdf5"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(500), "tflite"),
        (b"GGUF" + bytes(500), "gguf"),
        (b"\x80\x02}q\x00." + bytes(500), "pickle"),
        (b"PK\x03\x04" + bytes(500), ""),
        (b"A sentence.\n" * 50, ""),
        (bytes(500), ""),
        (b"GGUF", ""),
    ],
)
def test_weights_are_told_by_their_content(data: bytes, kind: str) -> None:
    assert format_of(Bytes("holiday.jpg", data)) == kind


def test_one_file_is_a_place_too(laid: Laid) -> None:
    (model,) = laid.take(place=laid.disk / "loose/holiday.jpg")["models"]
    assert (model["place"], model["status"]) == ("holiday.jpg", "copy")


# --- what is not looked at -----------------------------------------------------------------------


def test_links_out_and_special_files_are_told_and_never_opened(laid: Laid, tmp_path: Path) -> None:
    outside = write_safetensors(tmp_path / "outside", decoder(5))
    disk = write_safetensors(tmp_path / "disk/model", decoder(6)).parent
    (disk / "file").symlink_to(outside / "model.safetensors")
    (disk / "folder").symlink_to(outside)
    (disk / "up").symlink_to("../outside/model.safetensors")
    (disk / "loop").symlink_to("loop")
    (disk / "within").symlink_to("model")
    (disk / "nowhere").symlink_to("nothing")
    os.mkfifo(disk / "pipe")
    with socket.socket(socket.AF_UNIX) as listening, contextlib.chdir(disk):
        listening.bind("socket")
    document = laid.take(place=disk)
    assert [model["place"] for model in document["models"]] == ["model/model.safetensors"]
    told = {one["path"]: one["why"] for one in document["not_looked_at"]}
    assert set(told) == {"file", "folder", "up", "loop", "within", "nowhere", "pipe", "socket"}
    assert "out of the folder" in told["file"]
    assert "out of the folder" in told["up"]
    assert "special file" in told["within"] or "folder" in told["within"]
    assert "not opened" in told["pipe"]
    assert not document["complete"]
    laid.take("--fail-on", "unknown", place=disk, code=12)
    shutil.rmtree(disk / "model")
    laid.take("--fail-on", "unknown", place=disk, code=4)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read")
def test_a_folder_and_a_file_that_may_not_be_read_are_told() -> None:
    root = Path(tempfile.mkdtemp())
    try:
        root.chmod(0o755)
        (root / "closed").mkdir(mode=0o700)
        (root / "open").mkdir(mode=0o755)
        (root / "open/secret").write_bytes(b"x" * 200)
        (root / "open/secret").chmod(0o600)
        troubles, place = Troubles(), FolderPlace(str(root))
        os.seteuid(65_534)
        try:
            found = [file.path for file in place.walk(troubles)]
            with pytest.raises(Exception, match="Permission denied"):
                place.reader("open/secret")
        finally:
            os.seteuid(0)
        assert found == ["open/secret"]
        assert [(one.path, "Permission denied" in one.what) for one in troubles.kept] == [("closed", True)]
    finally:
        shutil.rmtree(root)


def test_a_file_that_becomes_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "secret").write_bytes(b"secret" * 100)
    (tmp_path / "disk/model").write_bytes(b"x" * 600)
    place = FolderPlace(str(tmp_path / "disk"))
    assert [file.path for file in place.walk(Troubles())] == ["model"]
    reader = place.reader("model")
    (tmp_path / "disk/model").unlink()
    (tmp_path / "disk/model").symlink_to(tmp_path / "secret")
    with pytest.raises(Exception, match="cannot be read"):
        reader.read(0, 10)


def test_folders_in_folders_end_and_names_that_are_no_text_are_shown(laid: Laid, tmp_path: Path) -> None:
    deep = tmp_path / "disk"
    for number in range(MAX_DEPTH + 3):
        deep /= f"d{number}"
    deep.mkdir(parents=True)
    odd = tmp_path.joinpath("disk").as_posix().encode() + b"/\xff\xfe.pt"
    torch.save(BASE, os.fsdecode(odd))
    document = laid.take(place=tmp_path / "disk")
    (model,) = document["models"]
    assert model["status"] == "copy"
    assert model["place"] == "\\udcff\\udcfe.pt"
    assert "folders deep" in document["not_looked_at"][0]["why"]
    laid.run("inventory", str(tmp_path / "disk"), "--format", "html")


@each(
    "name, config",
    [
        ("no JSON", b"{" * 5000),
        ("deep", b"[" * 100_000),
        ("odd", json.dumps({"architectures": [1, {}], "hidden_size": -1, "_name_or_path": "x" * 10_000}).encode()),
        ("a list", b"[1]"),
        ("large", b" " * 5_000_000),
    ],
)
def test_a_hostile_configuration_is_a_note(name: str, config: bytes, laid: Laid, tmp_path: Path) -> None:
    model = write_safetensors(tmp_path / "model", BASE)
    (model / "config.json").write_bytes(config)
    (model / "README.md").write_bytes(b"---\n- no mapping\n---\n")
    (said,) = laid.take(place=model)["models"]
    assert said["status"] == "copy", name
    assert any("README.md" in note for note in said["notes"])
    assert all(len(claim["name"]) <= 200 for claim in said["claims"])


def test_a_place_that_is_none_is_told(laid: Laid) -> None:
    assert "no folder" in laid.run("inventory", "/nowhere/at/all", code=1).err
    assert "fingerprint hf://" in laid.run("inventory", "hf://acme/tiny", code=2).err


def test_without_anything_sealed_all_are_unknown(laid: Laid, tmp_path: Path) -> None:
    document = InProcess(tmp_path / "home")("inventory", str(laid.disk), "--json").json
    assert document["held_against"] == 0
    assert document["counts"]["unknown"] == len(document["models"]) == 10
    assert not (tmp_path / "home").exists()


def test_pipelines_and_shards_are_one_model_and_loose_files_one_each() -> None:
    paths = ("p/model_index.json", "p/unet/config.json", "p/unet/a.safetensors", "p/vae/b.safetensors",
             "g/x-Q4-00001-of-00002.gguf", "g/x-Q4-00002-of-00002.gguf", "g/x-Q8.gguf", "c/config.json", "c/pytorch_model.bin",
             "c/model.safetensors")  # fmt: skip
    kinds = {".safetensors": "safetensors", ".gguf": "gguf", ".bin": "torch"}
    formats = {path: kinds[Path(path).suffix] for path in paths if Path(path).suffix in kinds}
    models = sort_models([Found(path, CHUNK_BYTES) for path in paths], formats)
    assert [(one.place, len(one.weights)) for one in models] == [
        ("c", 2),
        ("g/x-Q4.gguf", 2),
        ("g/x-Q8.gguf", 1),
        ("p", 2),
    ]


# --- a bucket ------------------------------------------------------------------------------------


@pytest.mark.s3
@pytest.mark.xdist_group("s3")
def test_a_bucket_is_looked_through_by_ranged_reads(
    laid: Laid, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    bucket, client = s3_server.bucket(), s3_server.client()
    for folder in (laid.original, laid.disk / "half", laid.disk / "stranger"):
        for file in folder.iterdir():
            client.put_object(Bucket=bucket, Key=f"team/{folder.name}/{file.name}", Body=file.read_bytes())
    client.put_object(Bucket=bucket, Key="other/model.safetensors", Body=b"x" * 300)
    # A key that no file could have is no reason to look at nothing.
    client.put_object(Bucket=bucket, Key="team/con:.bin", Body=b"y" * 300)
    said = laid.run("inventory", f"s3://{bucket}/team", "--json", "--fail-on", "unknown", code=12).json
    assert {place: model["status"] for place, model in _by_place(said).items()} == {
        "original": "sealed",
        "half": "copy",
        "stranger/model.safetensors": "unknown",
    }
    assert said["complete"]
