"""What is stored, scanned again: by today's rules, from the exact objects, with a trace in the ledger."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from tests.conftest import Command

EVIL = b"cposix\nsystem\n(S'id'\ntR."


@pytest.fixture
def stored(weighbridge: Command, tmp_path: Path) -> Command:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "README.md").write_text("# Words\n")
    (folder / "data.pkl").write_bytes(pickle.dumps({"a": 1}))
    weighbridge("ingest", str(folder), "--as", "acme/tiny")
    (folder / "data.pkl").write_bytes(EVIL)
    weighbridge("ingest", str(folder), "--as", "acme/evil", "--fail-on", "never")
    return weighbridge


def grow_old(home: Path, monkeypatch_file: Path) -> None:
    """Makes `weighbridge` believe in other rules: what a new version would bring."""
    monkeypatch_file.write_text(
        "import sys\n"
        "from weighbridge.inspectors.all_rules import RULES\n"
        "import weighbridge.transfer.inspecting as inspecting\n"
        "inspecting.RULES_VERSION = '2099.1'\n"
        "from weighbridge.inspectors.census import FileKinds\n"
        "from weighbridge.inspectors import census\n"
        "from dataclasses import replace\n"
        "from weighbridge.core.finding import Verdict\n"
        "from weighbridge.inspectors.rule import Rule\n"
        "old = FileKinds.inspect\n"
        "def inspect(self, subject):\n"
        "    report = old(self, subject)\n"
        "    if subject.path == 'README.md':\n"
        "        finding = RULES['kind-script'].finding(subject.path, 'words are suspicious now')\n"
        "        report = replace(report, findings=(finding,))\n"
        "    return report\n"
        "FileKinds.inspect = inspect\n"
        "from weighbridge.cli.app import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )


def test_a_stored_revision_is_scanned_like_any_source(stored: Command) -> None:
    found = stored("scan", "acme/evil", "--json", code=14).json
    assert {finding["path"] for finding in found["findings"]} == {"data.pkl"}
    assert len(found["revision"]) == 40
    stored("scan", "acme/tiny")
    assert "no file or folder" in stored("scan", "./acme/tiny", code=1).err


def test_nothing_new_leaves_no_trace(stored: Command) -> None:
    before = stored("check", "--json").json
    done = stored("rescan", "acme/tiny", "--json").json
    assert done["verdict"] == {"before": "clean", "now": "clean"}
    assert (done["new"], done["gone"], done["entered"]) == ([], [], False)
    assert stored("check", "--json").json == before


def test_all_of_it_and_the_exit_code_is_the_worst(stored: Command) -> None:
    lines = [json.loads(line) for line in stored("rescan", "--all", "--json", code=14).out.splitlines()]
    assert {line["model"]: line["verdict"]["now"] for line in lines} == {"acme/tiny": "clean", "acme/evil": "bad"}
    stored("rescan", "--all", "--fail-on", "never")
    stored("rescan", code=2)
    stored("rescan", "--all", "acme/tiny", code=2)


def test_a_new_rule_shows_in_the_catalog_and_survives_a_rebuild(stored: Command, tmp_path: Path) -> None:
    import subprocess
    import sys

    script = tmp_path / "newer.py"
    grow_old(stored.home, script)
    ran = subprocess.run(
        [sys.executable, str(script), "rescan", "acme/tiny", "--home", str(stored.home), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    done = json.loads(ran.stdout)
    assert done["rules_version"]["now"] == "2099.1"
    assert [finding["message"] for finding in done["new"]] == ["words are suspicious now"]
    assert done["entered"] is True
    (row,) = [row for row in stored("ls", "--json").json if row["model"] == "acme/tiny"]
    assert row["findings"]["medium"] == 1
    shown = stored("show", "acme/tiny", "--json").json
    assert shown["inspection"]["rules_version"] == "2099.1"
    stored("check")
    stored("rebuild")
    (again,) = [row for row in stored("ls", "--json").json if row["model"] == "acme/tiny"]
    assert again["findings"] == row["findings"]
    back = stored("rescan", "acme/tiny", "--json").json
    assert [finding["message"] for finding in back["gone"]] == ["words are suspicious now"]


def test_a_changed_inspection_is_noticed(stored: Command, tmp_path: Path) -> None:
    import subprocess
    import sys

    script = tmp_path / "newer.py"
    grow_old(stored.home, script)
    command = [sys.executable, str(script), "rescan", "acme/tiny", "--home", str(stored.home)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    (record,) = (stored.home / "store" / "records" / "acme" / "tiny").rglob("inspections/*.json")
    record.chmod(0o600)
    record.write_bytes(record.read_bytes().replace(b"medium", b"low"))
    assert "not the one in the ledger" in stored("show", "acme/tiny", code=7).err


def test_a_revision_that_cannot_be_read_does_not_keep_the_others(stored: Command) -> None:
    (seal,) = (stored.home / "store" / "records" / "acme" / "evil").rglob("seal.dsse.json")
    seal.chmod(0o600)
    seal.write_bytes(b"{}")
    ran = stored("rescan", "--all", code=7)
    assert "acme/tiny" in ran.out
    assert "acme/evil" in ran.err
