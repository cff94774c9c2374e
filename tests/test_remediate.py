"""Remediation: what comes out loads and answers the same, says where it came from, and is refused where it must be guessed."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command, folder_files
from tests.support import remote_code_models
from tests.support.remote_code_models import Answer, Transformers
from tests.support.secrets_corpus import leaks
from weighbridge.attest.keys import LocalKey, TrustedKeys
from weighbridge.core.errors import (
    ConfigError,
    InspectError,
    StatementMismatch,
    TrustError,
)
from weighbridge.core.finding import Confidence, Coverage, Finding, Inspection, Report, Severity, Verdict
from weighbridge.core.manifest import content_revision
from weighbridge.core.names import ModelName
from weighbridge.core.snapshot import Entry
from weighbridge.remediate.secrets import drop_secrets
from weighbridge.store.folder import FolderStore
from weighbridge.vault.records import SealedRevision, open_revision
from weighbridge.vault.remediated import read_remediation

pytestmark = pytest.mark.xdist_group("remediate")
"""The models that are loaded for real are made once."""

STRIP = "--strip-remote-code"
CONVERT = "--to-safetensors"
DROP = "--drop-secrets"


# --- real models, loaded for real ---------------------------------------------------------------


@dataclass
class Loaded:
    """Models before and after, the command that made them, and what each answered."""

    command: Command
    folders: dict[str, Path]
    answers: dict[str, Answer] = field(default_factory=dict)
    remedied: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """The R1-shaped model with its code, a pickled Llama, both remedied and exported, and all four asked the same."""
    place = tmp_path_factory.mktemp("loaded")
    command = Command(place / "home")
    with Transformers(command.environ({"HF_HOME": str(place / "hf")})) as transformers:
        found = Loaded(command, {"r1": remote_code_models.r1(place / "r1")})
        remedy(found, "r1", STRIP, place)
        found.folders["llama"] = transformers.llama(place / "llama")
        remedy(found, "llama", CONVERT, place)
        for name, folder in found.folders.items():
            found.answers[name] = transformers.answer(folder, trusted=name == "r1")
    return found


def remedy(loaded: Loaded, name: str, remedy: str, place: Path) -> None:
    """Brings a model in, remedies it, and exports what came out."""
    command, folder = loaded.command, place / f"{name}-remedied"
    command("ingest", str(loaded.folders[name]), "--as", f"acme/{name}")
    loaded.remedied[name] = command("remediate", f"acme/{name}", remedy, "--json").json
    command("export", f"acme/{name}@{loaded.remedied[name]['revision']}", str(folder), "--no-signature")
    loaded.folders[f"{name} remedied"] = folder


def written(command: Command) -> list[tuple[str, int]]:
    """What a run that writes nothing leaves as it was: every object, and the signed head of the ledger."""
    files = [(str(path), path.stat().st_mtime_ns) for path in (command.home / "store").rglob("*") if path.is_file()]
    return [*sorted(files), ((command.home / "ledger.head.json").read_text(), 0)]


def test_the_r1_shaped_model_loads_without_its_code_and_answers_the_same_bit_for_bit(loaded: Loaded) -> None:
    before, after = loaded.answers["r1"], loaded.answers["r1 remedied"]
    assert before.module.startswith("transformers_modules.")
    assert after.module == "transformers.models.deepseek_v3.modeling_deepseek_v3"
    assert before.tokens == after.tokens
    assert before.logits == after.logits
    assert before.largest > 0.01


def test_a_pickled_model_becomes_safetensors_and_answers_the_same_bit_for_bit(loaded: Loaded) -> None:
    before, after = loaded.answers["llama"], loaded.answers["llama remedied"]
    assert before.logits == after.logits
    assert before.largest > 0.01
    assert sorted(folder_files(loaded.folders["llama remedied"])) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
    ]
    (step,) = loaded.remedied["llama"]["steps"]
    (account,) = step["proof"]["artifacts"]
    digests = [tensor["sha256"] for tensor in account["tensors"]]
    assert len(digests) == 21
    assert all(len(digest) == 64 for digest in digests)


def test_nothing_but_the_code_is_gone(loaded: Loaded) -> None:
    before, after = (folder_files(loaded.folders[name]) for name in ("r1", "r1 remedied"))
    assert before.keys() - after.keys() == {"configuration_deepseek.py", "modeling_deepseek.py"}
    changed = {path for path in after if after[path].read_bytes() != before[path].read_bytes()}
    assert changed == {"config.json"}
    old, new = (files["config.json"].read_text().splitlines() for files in (before, after))
    assert [line for line in old if line not in new] == [
        '  "auto_map": {',
        '    "AutoConfig": "configuration_deepseek.DeepseekV3Config",',
        '    "AutoModel": "modeling_deepseek.DeepseekV3Model",',
        '    "AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM"',
    ]
    assert [line for line in new if line not in old] == []


def test_findings_before_and_after_are_told(loaded: Loaded) -> None:
    told = loaded.remedied["r1"]["findings"]
    assert {finding["rule"] for finding in told["before"]} == {"config-remote-code", "python-remote-code"}
    assert told["after"] == []
    assert loaded.remedied["r1"]["how"] == {"streamed": 1, "copied": 11, "kept": 0}


def opened(command: Command, reference: str) -> tuple[FolderStore, SealedRevision, TrustedKeys]:
    name, _, revision = reference.partition("@")
    store = FolderStore(command.home / "store")
    trusted = TrustedKeys().with_key(LocalKey.load(command.home / "keys" / "signing.pem").public_pem)
    return store, open_revision(store, ModelName.parse(name), revision, trusted), trusted


def test_the_statement_names_parent_steps_and_proof(loaded: Loaded) -> None:
    told = loaded.remedied["r1"]
    store, revision, trusted = opened(loaded.command, f"acme/r1@{told['revision']}")
    remediation = read_remediation(store, revision, trusted)
    assert remediation is not None
    assert remediation.parent == told["parent"] == revision.manifest.origin.address
    assert revision.manifest.origin.kind == "derived"
    assert remediation.remedies == ("strip-remote-code",)
    (step,) = remediation.steps
    assert step.proof["needs"] == {"transformers": ">=4.51"}
    assert {one["class"] for one in step.proof["native"]} == {
        "DeepseekV3Config",
        "DeepseekV3Model",
        "DeepseekV3ForCausalLM",
    }
    _, parent, _ = opened(loaded.command, told["parent"])
    assert remediation.parent_manifest_digest == parent.manifest.digest
    assert read_remediation(store, parent, trusted) is None


def test_an_altered_or_missing_statement_or_one_of_another_revision_is_refused(loaded: Loaded) -> None:
    told = loaded.remedied["r1"]
    store, revision, trusted = opened(loaded.command, f"acme/r1@{told['revision']}")
    records = loaded.command.home / "store" / "records" / "acme"
    path = records / "r1" / told["revision"] / "remediation.dsse.json"
    other = records / "llama" / loaded.remedied["llama"]["revision"] / "remediation.dsse.json"
    honest = path.read_bytes()
    draw = random.Random(0)
    spoilt = [other.read_bytes(), b"{}", honest[:-1]]
    for _ in range(60):
        at, bit = draw.randrange(len(honest)), 1 << draw.randrange(8)
        spoilt.append(honest[:at] + bytes([honest[at] ^ bit]) + honest[at + 1 :])
    path.chmod(0o600)
    try:
        for data in spoilt:
            path.write_bytes(data)
            with pytest.raises(TrustError):
                read_remediation(store, revision, trusted)
        path.unlink()
        with pytest.raises(StatementMismatch, match="nothing says how"):
            read_remediation(store, revision, trusted)
    finally:
        path.write_bytes(honest)
    assert read_remediation(store, revision, trusted) is not None


def test_a_second_run_finds_the_first_and_moves_nothing(loaded: Loaded) -> None:
    told = loaded.remedied["llama"]
    before = written(loaded.command)
    again = loaded.command("remediate", told["parent"], CONVERT, "--json").json
    assert again["revision"] == told["revision"]
    assert (again["fresh"], again["streamed_bytes"]) == (False, 0)
    assert again["steps"] == told["steps"]
    assert written(loaded.command) == before
    loaded.command("remediate", f"acme/llama@{told['revision']}", CONVERT, code=3)


def test_without_a_remedy_it_says_what_applies_and_a_dry_run_writes_nothing(loaded: Loaded) -> None:
    parent = loaded.remedied["r1"]["parent"]
    before = written(loaded.command)
    offered = loaded.command("remediate", parent, "--json").json
    assert {one["remedy"]: one["answer"] for one in offered["remedies"]} == {
        "to-safetensors": "nothing to do",
        "strip-remote-code": "applies",
        "drop-secrets": "nothing to do",
    }
    dry = loaded.command("remediate", parent, STRIP, "--dry-run", "--json").json
    assert dry["event"] == "planned"
    assert [(one["path"], one["what"]) for one in dry["files"]] == [
        ("config.json", "changed"),
        ("configuration_deepseek.py", "dropped"),
        ("modeling_deepseek.py", "dropped"),
    ]
    assert dry["findings"]["after"] == []
    said = loaded.command("remediate", parent, STRIP, "--dry-run")
    assert "config-remote-code\t3\t0" in said.out
    assert "Nothing was written" in said.err
    assert written(loaded.command) == before


def test_an_engine_that_is_too_old_is_refused_and_told_which_is_not(loaded: Loaded) -> None:
    parent = loaded.remedied["r1"]["parent"]
    said = loaded.command("remediate", parent, STRIP, "--engine-version", "4.48.3", code=2)
    assert "since transformers 4.51" in said.err
    assert "--engine-version 4.51" in said.err


# --- crashes ------------------------------------------------------------------------------------

KILL = """
import os, signal, sys
import weighbridge.transfer.ingest as ingest, weighbridge.transfer.remedy as remedy
from weighbridge.store.ledger import Ledger
from weighbridge.cli.app import main
where = sys.argv.pop(1)
def dying(real):
    def killed(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGKILL)
    return killed
if where == "sealing": ingest.seal_revision = dying(ingest.seal_revision)
if where == "entering": ingest.record_ingested = dying(ingest.record_ingested)
if where == "attesting": remedy._attest = dying(remedy._attest)
if where == "telling":
    append = Ledger.append
    Ledger.append = lambda self, kind, *args, **more: (
        os.kill(os.getpid(), signal.SIGKILL) if kind == "revision.remediated" else append(self, kind, *args, **more))
sys.exit(main(sys.argv[1:]))
"""


def small_model(folder: Path) -> Path:
    """A repository with code and no weights to speak of."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    (folder / "modeling_tiny.py").write_text("class LlamaForCausalLM:\n    pass\n")
    (folder / "README.md").write_text("# Tiny\n")
    return folder


CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "auto_map": {"AutoModelForCausalLM": "modeling_tiny.LlamaForCausalLM"},
    "model_type": "llama",
    "rms_norm_eps": 1e-06,
}


@pytest.mark.fault
def test_killed_anywhere_nothing_looks_remedied_and_the_next_run_ends_at_the_same(tmp_path: Path) -> None:
    command = Command(tmp_path / "home")
    parent = command("ingest", str(small_model(tmp_path / "tiny")), "--as", "acme/tiny", "--quiet").out.strip()
    records = command.home / "store" / "records" / "acme" / "tiny"
    seen = set()
    for where in ("sealing", "entering", "attesting", "telling"):
        ran = subprocess.run(
            [sys.executable, "-c", KILL, where, "remediate", parent, STRIP, "--quiet"],
            env=command.environ(),
            capture_output=True,
            check=False,
        )
        assert ran.returncode == -9, ran.stderr
        sealed = {f"acme/tiny@{seal.parent.name}" for seal in records.rglob("seal.dsse.json")} - {parent}
        assert len(sealed) == (0 if where == "sealing" else 1)
        seen |= sealed
        if where in ("entering", "attesting"):
            store, revision, trusted = opened(command, *sealed)
            with pytest.raises(StatementMismatch, match="nothing says how"):
                read_remediation(store, revision, trusted)
    done = command("remediate", parent, STRIP, "--json").json
    assert seen == {f"acme/tiny@{done['revision']}"}
    assert done["fresh"] is True
    store, revision, trusted = opened(command, *seen)
    assert content_revision(revision.manifest.artifacts) == done["revision"]
    assert read_remediation(store, revision, trusted) is not None
    assert not [path for path in (command.home / "store" / "incoming").rglob("*") if path.is_file()]
    assert not list((command.home / "journal").glob("*.jsonl"))


# --- what is left ---


def test_code_that_cannot_be_taken_out_stops_it_before_anything_is_written(
    weighbridge: Command, tmp_path: Path
) -> None:
    folder = small_model(tmp_path / "tiny")
    (folder / "modules.json").write_text('[{"idx": 0, "name": "0", "path": "", "type": "modeling_tiny.Pooling"}]')
    weighbridge("ingest", str(folder), "--as", "acme/tiny")
    before = written(weighbridge)
    said = weighbridge("remediate", "acme/tiny", STRIP, code=1)
    assert "remote code would be left in 'modules.json'" in said.err
    assert written(weighbridge) == before


# --- secrets ------------------------------------------------------------------------------------


def test_files_with_secrets_are_dropped_whole_and_named(weighbridge: Command, tmp_path: Path) -> None:
    leak = next(leak for leak in leaks() if leak.secret and leak.secret.rule == "secret-provider-token")
    assert leak.secret is not None
    folder = small_model(tmp_path / "tiny")
    for name in ("deploy.txt", "train.py"):
        (folder / name).write_text(leak.secret.text)
    weighbridge("ingest", str(folder), "--as", "acme/tiny", "--fail-on", "never")
    said = weighbridge("remediate", "acme/tiny", DROP, code=2)
    assert "a secret is in train.py, which the model needs" in said.err
    assert "Nothing was dropped" in said.err
    # When all code goes, the code with the secret goes with it.
    ran = weighbridge("remediate", "acme/tiny", DROP, STRIP, "--json")
    done = ran.json
    assert {(one["path"], one["what"], one["remedy"]) for one in done["files"]} == {
        ("config.json", "changed", "strip-remote-code"),
        ("deploy.txt", "dropped", "drop-secrets"),
        ("modeling_tiny.py", "dropped", "strip-remote-code"),
        ("train.py", "dropped", "strip-remote-code"),
    }
    (proof,) = [step["proof"]["dropped"] for step in done["steps"] if step["remedy"] == "drop-secrets"]
    assert [(one["path"], one["findings"][0]["rule"]) for one in proof] == [("deploy.txt", "secret-provider-token")]
    assert not [one for one in done["findings"]["after"] if one["rule"].startswith("secret-")]
    assert leak.secret.hidden not in ran.out


def inspected(*found: tuple[str, str], rules_version: str = "1") -> Inspection:
    """An inspection with a finding of each rule in each file."""
    findings = [Finding(path, rule, Severity.HIGH, Confidence.HIGH, "found") for path, rule in found]
    reports = (Report("secrets", one.path, Verdict.BAD, Coverage(1, 1), (one,)) for one in findings)
    return Inspection(tuple(reports), rules_version)


@pytest.mark.parametrize(
    "path",
    [
        "config.json",
        "sub/generation_config.json",
        "tokenizer_config.json",
        "tokenizer.json",
        "model-00001-of-00002.safetensors",
        "pytorch_model.BIN",
        "model.safetensors.index.json",
        "adapter_config.json",
        "chat_template.jinja",
        "vocab.txt",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "ggml-model-q4_0.gguf",
    ],
)
def test_nothing_that_a_model_needs_is_dropped(path: str) -> None:
    entries = [Entry(path, 1), Entry("notes.txt", 1)]
    with pytest.raises(ConfigError, match="which the model needs"):
        drop_secrets(entries, inspected((path, "secret-generic"), ("notes.txt", "secret-password")))


def test_only_files_with_secrets_are_dropped() -> None:
    entries = [Entry(path, 1) for path in ("a.env", "b.env", "c.py", "README.md")]
    found = inspected(("a.env", "secret-generic"), ("b.env", "card-odd"), ("c.py", "secret-private-key"))
    step = drop_secrets(entries, found)
    assert step is not None
    assert step.dropped == ("a.env", "c.py")
    assert drop_secrets(entries, inspected(("a.env", "config-remote-code"))) is None
    code = inspected(("c.py", "secret-private-key"), ("config.json", "config-remote-code"))
    with pytest.raises(ConfigError, match=r"c\.py, which the model needs"):
        drop_secrets(entries, code)


@pytest.mark.parametrize(
    "unknown", [inspected(("", "secrets-engine-missing")), inspected(rules_version="2026.1-secrets")]
)
def test_where_nobody_looked_for_secrets_nothing_is_said_to_be_free_of_them(unknown: Inspection) -> None:
    with pytest.raises(InspectError, match="not searched for secrets"):
        drop_secrets([Entry("a.env", 1)], unknown)


# --- the stored parent --------------------------------------------------------------------------


def test_weights_that_changed_in_the_store_are_not_converted(loaded: Loaded) -> None:
    command, parent = loaded.command, loaded.remedied["llama"]["parent"]
    (stored,) = (command.home / "store" / "models").rglob("pytorch_model.bin")
    honest = stored.read_bytes()
    stored.chmod(0o600)
    stored.write_bytes(
        honest[: len(honest) // 2] + bytes([honest[len(honest) // 2] ^ 1]) + honest[len(honest) // 2 + 1 :]
    )
    try:
        assert "is not what was ingested" in command("remediate", parent, CONVERT, "--dry-run", code=6).err
    finally:
        stored.write_bytes(honest)
