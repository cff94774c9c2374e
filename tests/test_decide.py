"""Deciding about what is stored: verified first, recorded once, and closed when anything it rests on does not hold."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Command, folder_files
from tests.support import deepseek
from tests.support.hub import HubServer
from weighbridge.store.ledger import Ledger

CARD = "---\nlicense: apache-2.0\n---\n# Words\n"


@pytest.fixture
def tiny(weighbridge: Command, tmp_path: Path) -> Command:
    """A home with `acme/tiny`, clean, from a folder."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "README.md").write_text(CARD)
    (folder / "LICENSE").write_text("Do as you like.\n")
    weighbridge("ingest", str(folder), "--as", "acme/tiny")
    return weighbridge


def policy_of(command: Command, text: str, *, extends: str = "balanced") -> Path:
    """A policy file beside the home, put into force."""
    path = command.home.parent / "policy.toml"
    path.write_text(f'name = "ours"\nextends = "{extends}"\n{text}')
    command.environment["WEIGHBRIDGE_POLICY_FILE"] = str(path)
    return path


def records(home: Path) -> list[Path]:
    return sorted((home / "store" / "records").rglob("decisions/*.json"))


def test_a_decision_is_one_record_and_one_event_however_often_it_is_made(tiny: Command) -> None:
    before = tiny("check", "--json").json
    other = tiny.home.parent / "other.toml"
    other.write_text('name = "other"\nextends = "balanced"\n[sizes]\ntotal_bytes = 1\n')
    assert "size" in tiny("decide", "acme/tiny", "--policy", str(other), "--dry-run", code=5).out
    assert records(tiny.home) == []
    assert tiny("check", "--json").json == before

    ran = tiny("decide", "acme/tiny")
    first, last = ran.out.splitlines()
    assert re.fullmatch(r"acme/tiny@[0-9a-f]{40}: admit", first)
    assert last == "needs approval by 1 person (may be the one who asks)"
    assert "recorded" in ran.err
    (record,) = records(tiny.home)
    again = tiny("decide", "acme/tiny", "--json").json
    assert (again["entered"], again["digest"]) == (False, record.stem)
    kept = json.loads(record.read_bytes())
    assert kept["facts_digest"] == again["facts_digest"]
    assert kept["decided_at"] != again["decided_at"]

    record.unlink()
    assert tiny("decide", "acme/tiny", "--json").json["entered"] is True
    assert records(tiny.home) == [record]
    tiny("check")
    with Ledger(
        f"sqlite:///{tiny.home}/ledger.sqlite", head_path=tiny.home / "ledger.head.json", signer=None
    ) as ledger:
        events = [event for event in ledger.events() if event.kind == "revision.decided"]
    assert [event.payload["decision_digest"] for event in events] == [record.stem] * 2
    assert {event.payload["outcome"] for event in events} == {"admit"}


def test_deciding_does_not_forget_what_a_rescan_found(tiny: Command) -> None:
    """Events about a revision that say nothing of its inspection leave the newest inspection in force."""
    tiny("decide", "acme/tiny")
    done = tiny("rescan", "acme/tiny", "--without", "malware", "--json", "--fail-on", "never").json
    assert done["entered"] is True
    policy_of(tiny, '[coverage]\nrequire = ["malware"]\n')
    for _ in range(2):
        held = tiny("decide", "acme/tiny", "--json", code=5).json
        assert [reason["rule"] for reason in held["reasons"]] == ["inspection-incomplete"]


def test_the_r1_shaped_model_waits_for_its_code_to_be_stripped(weighbridge: Command, tmp_path: Path) -> None:
    folder = deepseek.build(tmp_path / "R1", shards=3)
    weighbridge("ingest", str(folder), "--as", "deepseek-ai/DeepSeek-R1", "--fail-on", "never")
    held = weighbridge("decide", "deepseek-ai/DeepSeek-R1", "--json", code=5).json
    assert held["outcome"] == "hold"
    (reason,) = held["reasons"]
    assert reason["rule"] == "remote-code"
    assert (
        f"weighbridge remediate deepseek-ai/DeepSeek-R1@{held['revision'][:12]} --strip-remote-code" in reason["change"]
    )
    assert held["facts"]["licence"]["ids"] == ["mit"]
    assert list(held["facts"]["licence"]["files"]) == ["LICENSE"]
    named = policy_of(
        weighbridge,
        f'[[remote_code.revision]]\nmodel = "deepseek-ai/DeepSeek-R1"\nrevision = "{held["revision"]}"\nreason = "read"\n',
    )
    admitted = weighbridge("decide", "deepseek-ai/DeepSeek-R1", "--json").json
    assert admitted["digest"] != held["digest"]
    shown = weighbridge("policy", "explain", "deepseek-ai/DeepSeek-R1").out
    assert "this revision is named: read" in shown
    assert f"said by {named}:3" in shown
    weighbridge.environment.pop("WEIGHBRIDGE_POLICY_FILE")
    weighbridge("remediate", "deepseek-ai/DeepSeek-R1", "--strip-remote-code")
    stripped = weighbridge("decide", "deepseek-ai/DeepSeek-R1", "--json").json
    assert stripped["revision"] != held["revision"]
    assert (stripped["outcome"], stripped["approvals"], stripped["reasons"]) == ("admit", 1, [])
    lineage = stripped["facts"]["lineage"]
    assert lineage["parent"] == f"deepseek-ai/DeepSeek-R1@{held['revision']}"
    assert (lineage["origin"]["kind"], lineage["origin"]["address"]) == ("folder", str(folder))
    (statement,) = (weighbridge.home / "store" / "records").rglob("remediation.dsse.json")
    statement.unlink()
    assert "nothing says how" in weighbridge("decide", f"deepseek-ai/DeepSeek-R1@{stripped['revision']}", code=7).err


def test_a_removed_or_broken_policy_decides_nothing(tiny: Command) -> None:
    path = policy_of(tiny, "")
    tiny("decide", "acme/tiny")
    kept = records(tiny.home)
    path.write_text(path.read_text() + "[licences]\nmising = 'admit'\n")
    assert "line 4" in tiny("decide", "acme/tiny", code=2).err
    path.unlink()
    for command in (("decide", "acme/tiny"), ("policy", "explain", "acme/tiny")):
        assert "cannot be read" in tiny(*command, code=2).err
    tiny.environment["WEIGHBRIDGE_POLICY_FILE"] = ""
    tiny.environment["WEIGHBRIDGE_POLICY_PRESET"] = "lenient"
    tiny("decide", "acme/tiny", code=2)
    assert records(tiny.home) == kept


def test_altered_records_and_files_are_errors_and_no_decision(tiny: Command) -> None:
    (licence,) = (tiny.home / "store" / "models").rglob("LICENSE")
    licence.chmod(0o600)
    licence.write_text("Do as we like..\n")
    assert "'LICENSE' of acme/tiny" in tiny("decide", "acme/tiny", code=6).err
    (seal,) = (tiny.home / "store" / "records").rglob("seal.dsse.json")
    seal.chmod(0o600)
    seal.write_bytes(b"{}")
    tiny("decide", "acme/tiny", code=7)
    assert records(tiny.home) == []


def test_no_such_revision(weighbridge: Command) -> None:
    weighbridge("decide", "acme/none", code=3)
    weighbridge("decide", "nothing", code=2)


def test_an_owner_name_taken_over_by_a_stranger_is_denied(
    on_hub: Command, hub: HubServer, publish: Callable[..., str], tmp_path: Path
) -> None:
    folder = tmp_path / "upstream"
    folder.mkdir()
    (folder / "README.md").write_text(CARD)
    publish("acme/tiny", folder)
    on_hub("ingest", "hf://acme/tiny")
    assert on_hub("decide", "acme/tiny", "--json").json["facts"]["earlier_owner_ids"] == []
    known = hub.owners["acme"].owner_id
    (folder / "README.md").write_text(CARD + "better\n")
    hub.account("acme", owner_id="f" * 24)
    hub.repository("acme/tiny").commit(folder_files(folder))
    on_hub("ingest", "hf://acme/tiny")
    denied = on_hub("decide", "acme/tiny", "--json", code=5).json
    assert denied["outcome"] == "deny"
    (reason,) = denied["reasons"]
    assert reason["rule"] == "publisher-taken-over"
    assert known in reason["message"]
    assert "f" * 24 in reason["message"]
    policy_of(on_hub, f'[[publishers.allow]]\nname = "acme"\nid = "{"f" * 24}"\n')
    on_hub("decide", "acme/tiny")


# --- weighbridge policy -------------------------------------------------------------------------


def test_check_says_what_a_policy_means(weighbridge: Command) -> None:
    assert weighbridge("policy", "check").out.startswith("preset balanced: valid\n  Findings: high and worse deny")
    policy_of(weighbridge, '[[publishers.allow]]\nname = "acme"\n', extends="strict")
    record = weighbridge("policy", "check", "--json").json
    assert (record["policy"]["name"], len(record["digest"])) == ("ours", 64)
    assert "the publisher 'acme' is listed without an id" in record["warnings"][0]


def test_the_tests_of_a_policy_fail_when_it_does_not_keep_its_promises(weighbridge: Command) -> None:
    path = policy_of(weighbridge, "")
    tests = path.with_suffix(".tests.toml")
    assert "no tests" in weighbridge("policy", "test", code=3).err
    tests.write_text('[[test]]\nname = "code waits"\nremote_code = true\noutcome = "hold"\n')
    assert weighbridge("policy", "test").out == "code waits\thold\thold\tok\n"
    path.write_text(path.read_text() + '[remote_code]\nmode = "allow"\n')
    ran = weighbridge("policy", "test", str(path), code=1)
    assert ran.out == "code waits\thold\tadmit\tis admit, not hold\n"
    tests.write_text("[[test]]\n")
    weighbridge("policy", "test", code=2)


def test_explain_tells_a_rule_and_knows_near_names(weighbridge: Command) -> None:
    policy_of(weighbridge, '[[findings.rule]]\nid = "config-callable"\noutcome = "admit"\nreason = "known"\n')
    out = weighbridge("policy", "explain", "config-callable").out
    assert out.splitlines()[0] == "config-callable (medium): admit"
    assert "policy.toml:3 (findings.rule[0])" in out
    assert "remote_code.mode" in weighbridge("policy", "explain", "python-remote-code").out
    assert "did you mean 'cooldown'" in weighbridge("policy", "explain", "cooldwn", code=2).err
