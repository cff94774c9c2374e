"""`weighbridge deploy` as a person uses it: plan, render, apply, status, rollback and delete of approved revisions.

`kubectl` is a program of the test's own that keeps objects in a file and answers as the real one does: nothing here says
that a cluster takes these manifests.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import stat
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.conftest import Command, Ran
from tests.support.cases import each
from weighbridge.cli.deploying import write_folder
from weighbridge.core.errors import LedgerError

CARD = "---\nlicense: apache-2.0\n---\n# words\n"
DIGEST = "a" * 64
CHOICES = f"""
fetch_image = "registry.example/weighbridge@sha256:{DIGEST}"
[compose]
image = "registry.example/vllm/vllm-openai@sha256:{DIGEST}"
engine_version = "0.33.0"
[vllm]
image = "registry.example/vllm/vllm-openai@sha256:{DIGEST}"
engine_version = "0.33.0"
namespace = "models"
"""
KUBECTL = f"""#!{sys.executable} -SE
import json, os, pathlib, sys
sys.path.append({str(Path(yaml.__file__).parent.parent)!r})
import yaml
state = pathlib.Path(os.environ["CLUSTER"])
objects = json.loads(state.read_text()) if state.exists() else {{}}
words = sys.argv[1:]
with open(os.environ["CLUSTER"] + ".log", "a") as log:
    log.write(" ".join(words) + "\\n")
if os.environ.get("CLUSTER_DOWN"):
    logged = "E1123 16:37:30.262934   12022 memcache.go:265] \\"Unhandled Error\\" err=\\"no server\\"\\n"
    sys.exit(3 * logged + 3 * "Unable to connect to the server\\n")
if os.environ.get("STOPPED_AT") in words:
    import signal, time
    os.kill(os.getppid(), int(os.environ["STOPPED_BY"]))
    time.sleep(60)
key = lambda one: f"{{one['kind']}}/{{one['metadata']['name']}}"
given = [one for one in yaml.load_all(sys.stdin, Loader=yaml.CSafeLoader) if one] if "-" in words else []
if words[0] == "apply":
    for one in given:
        if one["kind"] == "Deployment":
            one["status"] = {{"readyReplicas": one["spec"]["replicas"]}}
        objects[key(one)] = one
elif words[0] == "delete":
    for one in given:
        objects.pop(key(one), None)
elif words[0] == "get":
    found = [objects[key(one)] for one in given if key(one) in objects]
    if found:
        print(json.dumps({{"kind": "List", "items": found}}))
state.write_text(json.dumps(objects))
"""


class Cluster:
    """What the test's kubectl keeps."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "cluster.json"
        self.bin = folder / "bin"
        self.bin.mkdir()
        program = self.bin / "kubectl"
        program.write_text(KUBECTL)
        program.chmod(program.stat().st_mode | stat.S_IEXEC)

    @property
    def objects(self) -> dict[str, dict[str, object]]:
        return dict(json.loads(self.file.read_text())) if self.file.exists() else {}

    @property
    def calls(self) -> list[str]:
        log = Path(f"{self.file}.log")
        return log.read_text().splitlines() if log.exists() else []

    def put(self, kind: str, name: str) -> None:
        objects = {**self.objects, f"{kind}/{name}": {"kind": kind, "metadata": {"name": name}}}
        self.file.write_text(json.dumps(objects))

    def model(self, name: str) -> str:
        """The revision that an engine's Deployment says it runs."""
        metadata = self.objects[f"Deployment/{name}"]["metadata"]
        assert isinstance(metadata, dict)
        return str(metadata["annotations"]["weighbridge.dev/model"]).partition("@")[2]


@dataclass
class Depot:
    """A home with two promoted revisions of a model, and choices for its deployments."""

    command: Command
    folder: Path
    revisions: list[str] = field(default_factory=list)
    cluster: Cluster = field(init=False)

    def bring(self, card: str, *channels: str) -> None:
        folder = self.folder / "words"
        folder.mkdir(exist_ok=True)
        (folder / "README.md").write_text(card)
        (folder / "config.json").write_text("{}")
        header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
        done = self.command("ingest", str(folder), "--as", "acme/words", "--json").event("ingested")
        reference = f"acme/words@{done['revision']}"
        self.command("approve", reference, "--reason", "read it")
        for channel in channels:
            self.command("promote", reference, "--channel", channel)
        self.revisions.append(str(done["revision"]))

    def renew(self, folder: Path) -> None:
        """Another cluster."""
        self.cluster = Cluster(folder)
        self.command.environment["CLUSTER"] = str(self.cluster.file)
        self.command.environment["PATH"] = f"{self.cluster.bin}:{os.environ['PATH']}"

    def row(self, name: str, *, code: int = 0) -> dict[str, object]:
        """What is on record of a deployment."""
        rows = self("status", "--json", code=code).json["deployments"]
        (found,) = [row for row in rows if row["name"] == name]
        return dict(found)

    def __call__(self, *words: str, code: int | None = 0) -> Ran:
        return self.command("deploy", *words, code=code)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Depot:
    """The home that all tests share; each has deployments of its own names, and a cluster of its own."""
    folder = tmp_path_factory.mktemp("deploy")
    (folder / "deploy.toml").write_text(CHOICES)
    depot = Depot(Command(folder / "home", {"WEIGHBRIDGE_DEPLOY_CHOICES": str(folder / "deploy.toml")}), folder)
    depot.bring(CARD, "earlier", "moving")
    depot.bring(CARD + "More words.\n", "production", "moving")
    return depot


@pytest.fixture
def depot(filled: Depot, tmp_path: Path) -> Depot:
    filled.renew(tmp_path)
    return filled


def test_a_plan_tells_what_would_exist_and_creates_nothing(depot: Depot) -> None:
    plan = depot("plan", "acme/words", "--target", "vllm", "--json").json
    assert (plan["target"], plan["model"], plan["revision"]) == ("vllm", "acme/words", depot.revisions[1])
    assert {one["kind"] for one in plan["resources"]} >= {"Deployment", "Service", "NetworkPolicy"}
    assert [one["route"] for one in plan["load"]] == ["hub", "gateway", "store", "cached"]
    assert depot.cluster.calls == []
    assert "words" not in [row["name"] for row in depot("status", "--json").json["deployments"]]
    told = depot("plan", "acme/words", "--target", "vllm").out.splitlines()
    assert told[0].startswith("vllm: words\tacme/words@")
    assert {line.split("\t")[0] for line in told[1:]} >= {"resource", "file", "cost", "load", "note"}


def test_stopped_while_it_applies_it_says_what_is_there_and_which_command_goes_on(depot: Depot) -> None:
    name = "stopped"
    words = ("acme/words", "--target", "vllm", "--storage", "claim", "--name", name)

    def stopped(number: int, at: str, *command: str) -> str:
        depot.command.environment |= {"STOPPED_AT": at, "STOPPED_BY": str(int(number))}
        try:
            return depot(*command, code=128 + number).err
        finally:
            del depot.command.environment["STOPPED_AT"]

    said = stopped(signal.SIGINT, "wait", "apply", *words)
    assert f"PersistentVolumeClaim {name}" in said
    assert "the cluster goes on with what was made" in said
    assert f"`weighbridge deploy delete {name} --target vllm --place models` removes what was made" in said
    assert depot.row(name)["state"] == "planned"
    depot("apply", *words)
    assert depot.row(name)["state"] == "applied"
    assert "removed so far: nothing" in stopped(signal.SIGTERM, "delete", "delete", name)
    assert depot.row(name)["state"] == "applied"
    depot("delete", name)
    assert not [one for one in depot.cluster.objects if name in one]


def test_files_appear_when_the_ledger_has_them_and_not_before(tmp_path: Path) -> None:
    folder = tmp_path / "files"

    def recorded() -> None:
        assert not folder.exists()
        raise LedgerError("it cannot be written")

    with pytest.raises(LedgerError):
        write_folder(folder, {"a.yaml": "a: 1\n"}, before=recorded)
    assert list(tmp_path.iterdir()) == []
    write_folder(folder, {"a.yaml": "a: 1\n"})
    assert [path.name for path in folder.iterdir()] == ["a.yaml"]


def test_choices_come_from_the_file_and_the_line_wins(depot: Depot) -> None:
    settings = depot("plan", "acme/words", "--target", "vllm", "--engine-version", "0.34.0", "--json").json["settings"]
    assert settings["engine_version"] == "0.34.0"
    assert settings["fetch_image"].startswith("registry.example/weighbridge@")
    other = depot.cluster.bin / "other.toml"
    other.write_text("replicas = 3\ninstance_type = 'ml.g6e.xlarge'\n" + CHOICES)
    plan = depot("plan", "acme/words", "--target", "vllm", "--choices", str(other), "--json").json
    deployment = next(
        one for one in yaml.safe_load_all(plan["files"][0]["text"]) if one and one["kind"] == "Deployment"
    )
    assert deployment["spec"]["replicas"] == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--instance-type", "ml.g6e.xlarge"), "'instance_type' cannot be chosen for vllm"),
        (("--engine-version", "0.6.0"), "CVE-"),
        (("--image", "registry.example/vllm:latest"), "a tag, which can be moved"),
        (("--gpus", "many"), "not a valid integer"),
    ],
    ids=["another target's", "a weak engine", "a tag", "no number"],
)
def test_a_choice_that_cannot_be_is_told(depot: Depot, words: tuple[str, ...], says: str) -> None:
    ran = depot("plan", "acme/words", "--target", "vllm", *words, code=None)
    assert ran.code in (2, 5)
    assert says in ran.err


@each(
    "says, text",
    [
        ("'surprise' in", 'surprise = "x"\n'),
        ("not valid TOML", "= 3"),
        ("'replicas' is to be a whole number", "[vllm]\nreplicas = 'two'\n"),
        ("'arguments' is to be a list of texts", "[vllm]\narguments = [1]\n"),
    ],
)
def test_a_file_of_choices_is_read_strictly(depot: Depot, says: str, text: str) -> None:
    file = depot.cluster.bin / "wrong.toml"
    file.write_text(text)
    ran = depot("plan", "acme/words", "--target", "vllm", "--choices", str(file), code=2)
    assert says in ran.err


def test_rendered_files_appear_whole_and_are_on_record(depot: Depot, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    compose = ("acme/words", "--target", "compose", "--name", "rendered")
    depot("render", *compose, "--output", str(folder))
    assert {"compose.yaml", "trust.json", "rendered.service"} <= {path.name for path in folder.iterdir()}
    assert "is there already" in depot("render", *compose, "--output", str(folder), code=2).err
    assert "--output DIR" in depot("render", *compose, code=2).err
    text = depot("render", "acme/words", "--target", "vllm", "--no-record").out
    assert {one["kind"] for one in yaml.safe_load_all(text)} >= {"Deployment", "NetworkPolicy"}
    row = depot.row("rendered")
    assert (row["target"], row["state"], row["standing"]) == ("compose", "planned", "current")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_apply_rollback_and_delete_follow_the_ledger(depot: Depot) -> None:
    first, second = depot.revisions
    vllm = ("--target", "vllm", "--name", "talks")
    applied = depot("apply", "acme/words@earlier", *vllm, "--reason", "TICKET-7", "--json").json
    assert (applied["event"], applied["revision"], applied["before"]) == ("applied", first, "")
    assert depot.cluster.model("talks") == first
    status = depot("status", "talks", "--json").json
    assert {(part["kind"], part["ready"]) for part in status["parts"]} >= {("Deployment", True)}
    (row,) = status["deployments"]
    assert (row["state"], row["standing"], row["reason"]) == ("applied", "current", "TICKET-7")

    of_first = set(depot.cluster.objects)
    depot.cluster.put("ConfigMap", "somebody-elses")
    changed = depot("apply", "acme/words", *vllm, "--replicas", "2", "--json").json
    assert changed["before"] == f"acme/words@{first}"
    assert depot.cluster.model("talks") == second
    of_two = {*of_first, "PodDisruptionBudget/talks"}
    assert set(depot.cluster.objects) == {*of_two, "ConfigMap/somebody-elses"}
    assert changed["removed"] == []
    alone = depot("apply", "acme/words", *vllm, "--json").json
    assert alone["removed"] == ["PodDisruptionBudget talks"]
    assert depot.cluster.calls[-2].startswith("rollout status")
    assert set(depot.cluster.objects) == {*of_first, "ConfigMap/somebody-elses"}
    depot("apply", "acme/words", *vllm)

    depot("rollback", "talks", "--keep-old")
    assert set(depot.cluster.objects) == {*of_two, "ConfigMap/somebody-elses"}
    depot("rollback", "talks", "--reason", "answers in Latin")
    assert depot.cluster.model("talks") == first
    assert set(depot.cluster.objects) == {*of_first, "ConfigMap/somebody-elses"}
    alone = depot("rollback", "talks", code=3).err
    assert "nothing that talks ran before" in alone
    assert "to run another revision, apply it" in alone
    assert depot.row("talks")["revision"] == first

    depot("delete", "talks")
    assert set(depot.cluster.objects) == {"ConfigMap/somebody-elses"}
    assert depot.row("talks")["state"] == "deleted"
    assert depot("delete", "talks").out == ""


def test_a_channel_that_moved_on_is_told(depot: Depot) -> None:
    first, second = depot.revisions
    depot("apply", "acme/words@moving", "--target", "vllm", "--name", "moved")
    assert depot.row("moved")["standing"] == "current"
    depot.command("rollback", "acme/words", "--channel", "moving", "--to", first)
    row = depot.row("moved")
    assert (row["standing"], row["may_run"], row["revision"]) == ("behind", True, second)


def test_what_runs_and_was_revoked_is_told_and_not_rolled_back_to(depot: Depot) -> None:
    first, second = (f"acme/words@{revision}" for revision in depot.revisions)
    vllm = ("--target", "vllm", "--name", "withdrawn")
    depot("apply", "acme/words@earlier", *vllm)
    depot("apply", "acme/words", *vllm)
    depot.command("revoke", first, "--reason", "CVE-2026-0001")
    try:
        assert "revoked" in depot("rollback", "withdrawn", code=7).err
        assert depot.cluster.model("withdrawn") == depot.revisions[1]
        assert "revoked" in depot("apply", "acme/words@earlier", *vllm, code=7).err
        depot.command("revoke", second, "--reason", "CVE-2026-0002")
        row = depot.row("withdrawn", code=7)
        assert (row["standing"], row["may_run"]) == ("revoked", False)
        assert "CVE-2026-0002" in str(row["why"])
    finally:
        for reference in (first, second):
            depot.command("revoke", reference, "--undo", "--reason", "for the next test", code=None)
    assert depot.row("withdrawn")["standing"] == "current"


def test_what_somebody_else_made_is_left_alone(depot: Depot) -> None:
    depot.cluster.put("Service", "words")
    refused = depot("apply", "acme/words", "--target", "vllm", code=5)
    assert "not part of this deployment" in refused.err
    assert set(depot.cluster.objects) == {"Service/words"}
    assert [call for call in depot.cluster.calls if call.startswith(("apply", "delete"))] == []


def test_a_cluster_that_does_not_answer_leaves_a_plan_on_record(depot: Depot) -> None:
    depot.command.environment["CLUSTER_DOWN"] = "1"
    failed = depot("apply", "acme/words", "--target", "vllm", "--name", "down", code=1)
    assert failed.err.count("Unable to connect to the server") == 1
    assert "memcache" not in failed.err
    assert "--context chooses another" in failed.err
    assert depot.row("down")["state"] == "planned"
    assert "One that was stopped is taken up by the same command" in depot("status", "down").err
    del depot.command.environment["CLUSTER_DOWN"]
    depot("delete", "down")
    assert depot.row("down")["state"] == "deleted"


def test_a_record_that_was_altered_is_not_applied(depot: Depot, tmp_path: Path) -> None:
    vllm = ("--target", "vllm", "--name", "altered")
    depot("apply", "acme/words@earlier", *vllm)
    depot("apply", "acme/words", *vllm)
    file = depot.command.home / "ledger.sqlite"
    shutil.copy(file, tmp_path / "whole")
    with sqlite3.connect(file) as ledger:
        changed = ledger.execute(
            "UPDATE ledger_events SET payload = replace(payload, 'runAsNonRoot: true', 'runAsNonRoot: false')"
            " WHERE kind = 'deployment.applied'"
        )
        assert changed.rowcount >= 2
    ledger.close()
    calls = len(depot.cluster.calls)
    try:
        assert "event" in depot("rollback", "altered", code=6).err
        assert len(depot.cluster.calls) == calls
    finally:
        shutil.copy(tmp_path / "whole", file)


def test_names_that_are_not_there(depot: Depot) -> None:
    assert "no deployment 'other'" in depot("rollback", "other", code=3).err
    assert "where to deploy is not said" in depot("plan", "acme/words", code=2).err
    assert depot("plan", "acme/none", "--target", "vllm", code=3).out == ""
    nowhere = depot("plan", "acme/words@nowhere", "--target", "vllm", code=3)
    assert nowhere.out == ""
    assert "`weighbridge channels` where models are promoted" in nowhere.err
