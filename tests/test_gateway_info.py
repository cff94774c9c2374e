"""What the Hub's own client is told of a model beside its bytes: card, task, library, tags, numbers; and how models are found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from tests.conftest import Command
from tests.support.admission import new_key
from tests.support.cases import each
from tests.support.gateway import CONFIG, GatewayProcess, Shelf, llama, running
from tests.support.manifests import REVISION, inspection_of, manifest_of
from weighbridge.attest.keys import TrustedKeys
from weighbridge.core.ports import StoredObject
from weighbridge.serve.claims import Claims, ClaimsOf
from weighbridge.serve.listing import Wanted
from weighbridge.serve.refusals import Refusal
from weighbridge.store.folder import FolderStore
from weighbridge.vault.records import open_revision, seal_revision

CARD = """---
license: apache-2.0
base_model: acme/parent
base_model_relation: finetune
language: [en, de]
tags: [example, "a tag"]
library_name: transformers
pipeline_tag: text-generation
datasets:
  - acme/words
---
# A model
"""
HOSTILE_CARDS = {
    "bomb": "---\n" + "a: &a [x,x,x]\n" + "".join(f"b{n}: [*a,*a]\n" for n in range(50)) + "tags: *a\n---\n",
    "constructs": "---\ntags: !!python/object/apply:os.system ['touch /tmp/owned']\npipeline_tag: text-generation\n---\n",
    "markup": '---\ntags: [\'<script>alert(1)</script>\', "x\\u202ey", "a\\r\\nX-Evil: 1"]\nlicense: mit\n---\n',
    "long": "---\npipeline_tag: " + "x" * 90_000 + "\n---\n",
    "many": "---\ntags: [" + ",".join(f"t{n}" for n in range(1_900)) + "]\nlicense: mit\n---\n",
    "deep": "---\ntags: " + "[" * 5_000 + "]" * 5_000 + "\n---\n",
    "binary": "---\n\x00\xff\n---\n",
}
"""Front matter that would harm a reader; each model of it is served, and its card claims nothing or little."""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    base = tmp_path_factory.mktemp("info")
    shelf = Shelf(Command(base / "home"))
    tiny = llama(base / "tiny")
    for awkward in ("sub folder", "模型", 'say "hi"; x=y.json'):
        target = tiny / awkward
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    (tiny / "README.md").write_text(CARD)
    words = Tokenizer(WordLevel({f"w{n}": n for n in range(64)}, unk_token="w0"))
    words.save(str(tiny / "tokenizer.json"))
    (tiny / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "w0"}')
    shelf.ingest("tiny", tiny)
    shelf.approve("tiny")
    plain = base / "plain"
    plain.mkdir()
    (plain / "README.md").write_text("No front matter.\n")
    (plain / "config.json").write_text(json.dumps(CONFIG | {"architectures": ["LlamaForSequenceClassification"]}))
    save_file({"w": numpy.zeros((3, 5), numpy.float16)}, plain / "model.safetensors", metadata={"format": "pt"})
    shelf.ingest("plain", plain)
    shelf.approve("plain")
    return shelf


@pytest.fixture(scope="module")
def gateway(shelf: Shelf) -> Iterator[GatewayProcess]:
    with running(shelf.command) as process:
        yield process


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


CALLS = """
import json
from huggingface_hub import HfApi
api, name = HfApi(), "acme/tiny"
info = api.model_info(name, securityStatus=True, files_metadata=True)
said = {}
def tries(key, call):
    try: said[key] = call()
    except Exception as error: said[key] = [type(error).__name__, str(error)[:900]]
one = lambda **words: [one.id for one in api.list_models(**words)]
expanded = api.model_info(name, expand=["pipeline_tag", "cardData", "config", "safetensors", "tags", "baseModels", "lastModified", "usedStorage"])
plain = api.model_info("acme/plain")
listed = {one.id: one for one in api.list_models(full=True, cardData=True)}
meta = api.get_safetensors_metadata(name)
file = next(iter(api.get_paths_info(name, ["model.safetensors"], expand=True)))
tries("auth", lambda: api.auth_check(name))
tries("auth_missing", lambda: api.auth_check("acme/none"))
tries("likers", lambda: list(api.list_repo_likers(name)))
tries("discussions", lambda: list(api.get_repo_discussions(name)))
tries("bad_sort", lambda: one(sort="nonsense"))
tries("dataset", lambda: api.dataset_info("acme/words").id)
tries("spaces", lambda: list(api.list_spaces()))
tries("create", lambda: api.create_repo("acme/mine"))
tries("upload", lambda: api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=name))
tries("delete", lambda: api.delete_repo(name))
tries("tag", lambda: api.create_tag(name, tag="v1"))
tries("revision", lambda: api.model_info(name, revision="v9"))
tries("page", lambda: len(list(api.list_models(limit=1))))
print(json.dumps({
    "task": info.pipeline_tag, "library": info.library_name, "tags": info.tags, "gated": info.gated, "private": info.private,
    "card": info.card_data.to_dict(), "config": info.config, "auto": info.transformers_info and info.transformers_info.auto_model,
    "parameters": [info.safetensors.parameters, info.safetensors.total], "security": info.security_repo_status, "base": info.base_models,
    "expanded": [expanded.pipeline_tag, expanded.card_data.license, expanded.config["model_type"], expanded.safetensors.total,
                 expanded.sha, expanded.used_storage > 0, expanded.last_modified is not None, expanded.base_models],
    "plain": [plain.pipeline_tag, plain.library_name, plain.card_data and plain.card_data.to_dict(), plain.safetensors.parameters],
    "listed": [listed[name].pipeline_tag, listed[name].card_data.license, len(listed[name].siblings), listed[name].last_modified is not None],
    "all": one(), "search": one(search="LAI"), "author": one(author="other"), "task_": one(pipeline_tag="text-generation"),
    "filter": one(filter=["license:apache-2.0", "en"]), "filter_no": one(filter=["en", "fr"]), "library_": one(filter="transformers"),
    "count": one(num_parameters="max:100"), "gated_": one(gated=True), "inference_": one(inference="warm"),
    "sorted": one(sort="created_at", limit=2), "expand": [one.pipeline_tag for one in api.list_models(expand=["pipeline_tag"])],
    "exists": [api.file_exists(name, "config.json"), api.file_exists(name, "x"), api.repo_exists(name), api.repo_exists("acme/none"),
               api.revision_exists(name, "production"), api.revision_exists(name, "v9")],
    "files": api.list_repo_files(name), "tree": [one.path for one in api.list_repo_tree(name, expand=True)],
    "file": [file.size, file.security.status, file.last_commit.oid], "refs": [one.name for one in api.list_repo_refs(name, include_pull_requests=True).branches],
    "commits": [one.commit_id for one in api.list_repo_commits(name)], "tensors": [len(meta.files_metadata["model.safetensors"].tensors), meta.sharded],
    "info": api.repo_info(name).id, "whoami": api.whoami(token="hf_" + "a" * 34)["name"], "said": said,
}))
"""


@pytest.fixture(scope="module")
def told(gateway: GatewayProcess, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return client(gateway, tmp_path_factory.mktemp("client"), CALLS)


def test_the_hubs_client_learns_what_the_card_and_the_configuration_say(told: Any, shelf: Shelf) -> None:
    assert (told["task"], told["library"], told["gated"], told["private"]) == (
        "text-generation",
        "transformers",
        False,
        False,
    )
    assert told["card"]["license"] == "apache-2.0"
    assert told["card"]["base_model"] == "acme/parent"
    assert told["card"]["language"] == ["en", "de"]
    assert told["card"]["tags"] == ["example", "a tag"]
    assert told["config"] == {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    assert told["auto"] == "AutoModelForCausalLM"
    assert told["base"] == ["acme/parent"]
    wanted = {"transformers", "safetensors", "llama", "example", "a tag", "en", "de", "license:apache-2.0"}
    assert wanted | {"base_model:acme/parent", "base_model:finetune:acme/parent", "dataset:acme/words"} == {
        *told["tags"]
    }
    assert told["parameters"][0] == {"F32": told["parameters"][1]}
    assert told["parameters"][1] == 64 * 16 * 2 + 16 * 3 + 16 * 16 * 4 + 32 * 16 * 3
    assert told["security"] == {"scansDone": True, "filesWithIssues": []}
    assert told["expanded"] == [
        "text-generation",
        "apache-2.0",
        "llama",
        told["parameters"][1],
        None,
        True,
        True,
        ["acme/parent"],
    ]


def test_without_a_card_the_configuration_tells_the_task(told: Any) -> None:
    assert told["plain"] == ["text-classification", "transformers", None, {"F16": 15}]


def test_models_are_found_by_what_they_claim(told: Any) -> None:
    assert told["all"] == ["acme/plain", "acme/tiny"]
    assert told["search"] == ["acme/plain"]
    assert told["task_"] == told["filter"] == ["acme/tiny"]
    assert told["library_"] == ["acme/plain", "acme/tiny"]
    assert told["count"] == ["acme/plain"]
    assert told["author"] == told["filter_no"] == told["gated_"] == told["inference_"] == []
    assert told["sorted"] == ["acme/plain", "acme/tiny"]  # the newest first
    assert told["expand"] == ["text-classification", "text-generation"]
    assert told["listed"] == ["text-generation", "apache-2.0", 5, True]


def test_every_reading_call_of_the_hubs_client_is_answered(told: Any, shelf: Shelf) -> None:
    revision, files = shelf.revisions["tiny"], sorted(one.name for one in shelf.folders["tiny"].iterdir())
    assert told["exists"] == [True, False, True, False, True, False]
    assert told["files"] == told["tree"] == files
    assert told["file"] == [(shelf.folders["tiny"] / "model.safetensors").stat().st_size, "safe", revision]
    assert told["refs"] == ["main", "production"]
    assert told["commits"] == [revision]
    assert told["tensors"] == [12, False]
    assert (told["info"], told["whoami"]) == ("acme/tiny", "anonymous")
    assert told["said"]["auth"] is None
    assert told["said"]["likers"] == told["said"]["discussions"] == []
    assert told["said"]["page"] == 1


def test_what_is_not_here_is_refused_in_words_that_the_client_prints(told: Any) -> None:
    said = told["said"]
    assert said["auth_missing"][0] == "RepositoryNotFoundError"
    assert said["revision"][0] == "RevisionNotFoundError"
    assert "one of" in said["bad_sort"][1]
    for key in ("dataset", "spaces"):
        assert "models only" in said[key][1], said[key]
    for key in ("create", "upload", "delete", "tag"):
        assert "read-only" in said[key][1], said[key]


HOSTILE_CONFIG = json.dumps(CONFIG | {"architectures": ["<b>", "x" * 5000, 7], "model_type": {"a": 1}}).encode()


def claimed(folder: Path, files: dict[str, bytes], *, altered: str = "") -> tuple[Claims, list[str]]:
    """What a sealed revision of these files claims, and the trouble that was told of; `altered` is changed after sealing."""
    store, key = FolderStore(folder), new_key()
    manifest = manifest_of(files)
    prefix = f"models/{manifest.model_name}/{manifest.revision}/"
    placed = {one.path: StoredObject(f"{prefix}{one.path}", one.size_bytes) for one in manifest.artifacts}
    seal_revision(store, manifest, placed, inspection_of(manifest), key, sealed_at="2026-11-23T12:00:00Z")
    for path, data in files.items():
        store.put(f"{prefix}{path}", data[::-1] if path == altered else data)
    trusted = TrustedKeys().with_key(key.public_pem)
    sealed = open_revision(store, manifest.model_name, manifest.revision, trusted)
    told: list[str] = []
    return ClaimsOf(store, lambda _what, where, _why: told.append(where)).of(sealed), told


@pytest.mark.parametrize("name", HOSTILE_CARDS)
def test_hostile_cards_are_harmless(name: str, tmp_path: Path) -> None:
    card = HOSTILE_CARDS[name].encode("latin-1" if name == "binary" else "utf-8")
    claims, _ = claimed(tmp_path, {"README.md": card, "config.json": HOSTILE_CONFIG})
    record = claims.to_record()
    assert len(json.dumps(record)) < 32 * 1024
    assert len(claims.tags) <= 200
    assert not any(ord(one) < 32 or one == "\u202e" for tag in claims.tags for one in tag)
    assert {"config", "pipeline_tag", "library_name", "transformersInfo"}.isdisjoint(record)
    assert not Path("/tmp/owned").exists()


def test_numbers_come_from_headers_of_any_sort(tmp_path: Path) -> None:
    def weights(header: bytes) -> bytes:
        return len(header).to_bytes(8, "little") + header

    honest = (
        weights(json.dumps({"w": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}}).encode()) + b"0" * 12
    )
    assert claimed(tmp_path / "1", {"model.safetensors": honest})[0].parameters == {"BF16": 6}
    for number, hostile in enumerate(
        (
            b"",
            b"\xff" * 8,
            weights(b"[" * 10_000),
            weights(b"{}")[:9],
            weights(json.dumps({"w": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}}).encode()),
        )
    ):
        files = {"model.safetensors": hostile, "config.json": json.dumps(CONFIG).encode()}
        claims, _ = claimed(tmp_path / f"hostile{number}", files)
        assert (claims.parameters, claims.total, claims.pipeline_tag) == ({}, 0, "text-generation")
    many = {f"model-{n:05}-of-00009.safetensors": honest for n in range(1, 10)}
    assert claimed(tmp_path / "many", many)[0].parameters == {}
    index = json.dumps({"metadata": {"total_parameters": 54}, "weight_map": {}}).encode()
    assert claimed(tmp_path / "index", many | {"model.safetensors.index.json": index})[0].total == 54


def test_what_was_altered_in_the_store_claims_nothing_and_is_told_of(tmp_path: Path) -> None:
    files = {"README.md": CARD.encode(), "config.json": json.dumps(CONFIG).encode()}
    claims, told = claimed(tmp_path, files, altered="README.md")
    assert "cardData" not in claims.to_record()
    assert claims.pipeline_tag == "text-generation"  # the configuration says so, and is what was sealed
    assert told == [f"acme/tiny@{REVISION} README.md"]


CLAIMS = Claims(tags=("a", "license:mit"), pipeline_tag="fill-mask", total=7_000_000_000)


@each(
    "query, fits",
    [
        ({}, True),
        ({"filter": ["a"]}, True),
        ({"filter": ["a,license:mit"]}, True),
        ({"filter": ["a", "b"]}, False),
        ({"filter": ["fill-mask"]}, True),
        ({"pipeline_tag": ["fill-mask"]}, True),
        ({"pipeline_tag": ["fill"]}, False),
        ({"num_parameters": ["min:6B,max:8B"]}, True),
        ({"num_parameters": ["min:7.5b"]}, False),
        ({"num_parameters": ["max:6B"]}, False),
    ],
)
def test_claims_narrow_a_list(query: dict[str, list[str]], fits: bool) -> None:
    assert Wanted.of(query).fits(CLAIMS) is fits


@each(
    "query",
    [
        {"num_parameters": ["6B"]},
        {"num_parameters": ["min:1e9"]},
        {"sort": ["; drop table"]},
        {"filter": ["x"] * 51},
        {"filter": [",".join("x" * 51)]},
    ],
)
def test_a_question_without_meaning_is_refused(query: dict[str, list[str]]) -> None:
    with pytest.raises(Refusal) as refused:
        Wanted.of(query)
    assert refused.value.status == 400
