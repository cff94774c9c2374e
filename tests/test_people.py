"""People, their keys and their words: who counts, what for, how long; each test is named after the attack or the promise."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from tests.conftest import Command
from tests.support.admission import ADMITTED, DENIED, NOW, Office, new_key
from weighbridge.admit.adoption import ADOPTED, ADOPTION_TYPE, adopt, check_adopted
from weighbridge.admit.approvals import APPROVED, Approval, Speaker, Standing, say, standing
from weighbridge.admit.people import ADDED, Role, add_person, oidc_login, remove_person, roster_of
from weighbridge.attest.statement import Statement, Subject, decode_base64, envelope_of, sign_statement
from weighbridge.core import canonical
from weighbridge.core.decision import Decision, Outcome, Reason
from weighbridge.core.errors import ConfigError, Denied, LedgerError


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path / "office")
    yield made
    made.close()


@pytest.fixture
def staffed(office: Office) -> Office:
    """An admin, two reviewers and a requester."""
    office.admit("ada", Role.ADMIN, logins=("ada@desk",))
    office.admit("rob", Role.REVIEWER)
    office.admit("rita", Role.REVIEWER)
    office.admit("quinn", Role.REQUESTER, logins=("ingest@build",))
    return office


def approve(office: Office, name: str, decision: Decision = ADMITTED, **changes: object) -> Approval:
    arguments = {"approves": True, "reason": "looked at it", "now": NOW, **changes}
    case = office.case(decision)
    return say(office.ledger, case, office.roster, Speaker(*office.who(name)), **arguments)  # type: ignore[arg-type]


def now_standing(
    office: Office, decision: Decision = ADMITTED, *, now: str = NOW, requester: str = "ingest@build"
) -> Standing:
    return standing(office.case(decision, requester), office.roster, office.ledger.events(), now=now)


# --- who is who ----------------------------------------------------------------------------------


def test_the_first_person_admits_himself_and_is_an_admin(office: Office) -> None:
    office.keys["rob"] = new_key()
    with pytest.raises(Denied, match="first person is an admin"):
        office.admit("rob", Role.REVIEWER)
    office.admit("rob", Role.ADMIN)
    assert [(one.name, one.is_admin) for one in office.roster.people] == [("rob", True)]


def test_only_an_admin_admits_people(staffed: Office) -> None:
    with pytest.raises(Denied, match="'rob' is no admin"):
        staffed.admit("mallory", Role.ADMIN, by="rob")
    staffed.keys["ada"] = new_key()
    with pytest.raises(Denied, match="not the admin's key"):
        staffed.admit("mallory", Role.ADMIN, by="ada")
    assert "mallory" not in {one.name for one in staffed.roster.people}


def test_the_same_key_twice_is_not_two_people(staffed: Office) -> None:
    staffed.keys["twin"] = staffed.keys["rob"]
    with pytest.raises(ConfigError, match="two people never share one"):
        staffed.admit("twin", Role.REVIEWER)


def test_a_name_is_never_given_twice(staffed: Office) -> None:
    remove_person(staffed.ledger, "rob", admin=staffed.who("ada"))
    staffed.keys["rob"] = new_key()
    with pytest.raises(ConfigError, match="is taken"):
        staffed.admit("rob", Role.REVIEWER)


def test_the_last_admin_stays(staffed: Office) -> None:
    with pytest.raises(ConfigError, match="the last admin"):
        remove_person(staffed.ledger, "ada", admin=staffed.who("ada"))


def forged(staffed: Office, statement: bytes, person: str = "mallory") -> None:
    """What somebody can do who has the ledger's signing key and database, but no admin's key."""
    staffed.ledger.append(ADDED, person, {"person": person, "statement": statement.decode()}, actor="ada")
    with pytest.raises(LedgerError, match=f"does not make '{person}' a person"):
        roster_of(staffed.ledger)


def last_statement(office: Office) -> bytes:
    return str(list(office.ledger.events(kinds=(ADDED,)))[-1].payload["statement"]).encode()


def test_who_can_write_to_the_ledger_cannot_make_himself_a_reviewer(staffed: Office, tmp_path: Path) -> None:
    elsewhere = Office(tmp_path / "elsewhere")
    elsewhere.admit("mallory", Role.ADMIN)
    forged(staffed, last_statement(elsewhere))
    elsewhere.close()


def test_a_statement_of_another_ledger_admits_nobody_here(staffed: Office, tmp_path: Path) -> None:
    elsewhere = Office(tmp_path / "elsewhere")
    elsewhere.keys = {"ada": staffed.keys["ada"]}
    elsewhere.admit("ada", Role.ADMIN)
    elsewhere.admit("mallory", Role.REVIEWER)
    forged(staffed, last_statement(elsewhere))
    elsewhere.close()


def test_a_statement_under_another_persons_name_is_an_error(staffed: Office) -> None:
    forged(staffed, last_statement(staffed))


# --- words ---------------------------------------------------------------------------------------


def test_an_approval_counts_once_its_person_may(staffed: Office) -> None:
    assert now_standing(staffed).missing == 1
    with pytest.raises(Denied, match="0 of 1 approvals"):
        now_standing(staffed).check()
    approve(staffed, "rob")
    found = now_standing(staffed)
    assert [word.person for word in found.approved] == ["rob"]
    found.check()


def test_four_eyes_the_requester_cannot_approve(staffed: Office) -> None:
    case = staffed.case(requester="rob")
    with pytest.raises(Denied, match="asked for") as refused:
        say(staffed.ledger, case, staffed.roster, Speaker(*staffed.who("rob")), approves=True, reason="mine", now=NOW)
    assert refused.value.rules == ("four-eyes",)
    assert "rita" in refused.value.hint


def test_an_approval_counts_no_more_when_its_person_turns_out_to_have_asked(staffed: Office) -> None:
    approve(staffed, "rob")
    found = now_standing(staffed, requester="rob")
    assert not found.approved
    assert "asked for a revision" in found.set_aside[0]


def test_who_acts_under_a_login_is_the_same_person(staffed: Office) -> None:
    case = staffed.case(requester="ada@desk")
    with pytest.raises(Denied, match="asked for"):
        say(staffed.ledger, case, staffed.roster, Speaker(*staffed.who("ada")), approves=True, reason="mine", now=NOW)


def test_one_person_alone_approves_his_own_where_policy_lets_him_and_it_says_so(office: Office) -> None:
    office.admit("ada", Role.ADMIN, logins=("ingest@build",))
    alone = replace(ADMITTED, self_approval=True)
    assert approve(office, "ada", alone).own
    now_standing(office, alone).check()
    office.admit("rob", Role.REVIEWER)
    with pytest.raises(Denied, match="0 of 1"):
        now_standing(office, alone).check()


def test_who_only_asks_cannot_approve(staffed: Office) -> None:
    with pytest.raises(Denied, match="may not approve"):
        approve(staffed, "quinn")


def test_one_person_is_not_two_approvals(staffed: Office) -> None:
    two = replace(ADMITTED, approvals=2)
    approve(staffed, "rob", two)
    approve(staffed, "rob", two, reason="looked again")
    assert now_standing(staffed, two).missing == 1
    approve(staffed, "rita", two)
    now_standing(staffed, two).check()


def test_stale_approval_other_findings(staffed: Office) -> None:
    approve(staffed, "rob")
    changed = replace(ADMITTED, facts_digest="5" * 64)
    found = now_standing(staffed, changed)
    assert not found.approved
    assert "not what policy says now" in found.set_aside[0]


def test_stale_approval_other_policy(staffed: Office) -> None:
    approve(staffed, "rob")
    assert not now_standing(staffed, replace(ADMITTED, policy_digest="6" * 64)).approved


def test_a_cooldown_that_ends_does_not_undo_an_approval(staffed: Office) -> None:
    waiting = Reason("cooldown", Outcome.HOLD, "published yesterday", "wait", timed=True)
    held = replace(ADMITTED, outcome=Outcome.HOLD, reasons=(waiting,))
    approve(staffed, "rob", held)
    with pytest.raises(Denied, match="published yesterday"):
        now_standing(staffed, held).check()
    now_standing(staffed, ADMITTED).check()


def test_an_approval_ends(staffed: Office) -> None:
    approve(staffed, "rob", valid_days=7)
    now_standing(staffed, now="2026-11-30T11:59:59Z").check()
    late = now_standing(staffed, now="2026-11-30T12:00:00Z")
    assert not late.approved
    assert "expired" in late.set_aside[0]


def test_an_approval_from_the_future_does_not_count(staffed: Office) -> None:
    approve(staffed, "rob")
    assert "not come yet" in now_standing(staffed, now="2026-11-22T12:00:00Z").set_aside[0]


def test_a_rejection_stands_against_any_number_of_approvals(staffed: Office) -> None:
    approve(staffed, "rob")
    approve(staffed, "rita", approves=False, reason="the licence is not ours to accept")
    with pytest.raises(Denied, match="rejected by 'rita': the licence"):
        now_standing(staffed).check()
    assert now_standing(staffed, replace(ADMITTED, facts_digest="5" * 64)).rejected
    approve(staffed, "rita", reason="settled with the lawyers")
    now_standing(staffed).check()


def test_a_replayed_approval_does_not_take_a_rejection_back(staffed: Office) -> None:
    approve(staffed, "rob")
    approve(staffed, "rob", approves=False, reason="found something")
    first = next(iter(staffed.ledger.events(kinds=(APPROVED,))))
    staffed.ledger.append(APPROVED, first.subject, dict(first.payload), actor="rob")
    found = now_standing(staffed)
    assert not found.approved
    assert any("repeats" in reason for reason in found.set_aside)


def test_nor_does_a_replay_under_the_signatures_twin(staffed: Office) -> None:
    """(r, n - s) is as valid an ECDSA signature as (r, s), and anybody can compute it."""
    approve(staffed, "rob")
    approve(staffed, "rob", approves=False, reason="found something")
    first = next(iter(staffed.ledger.events(kinds=(APPROVED,))))
    envelope = canonical.decode_object(str(first.payload["statement"]).encode(), what="it")
    signature = envelope["signatures"][0]  # type: ignore[index,call-overload]
    r, s = decode_dss_signature(decode_base64(signature["sig"], what="it"))  # type: ignore[index,call-overload,arg-type]
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    payload = decode_base64(str(envelope["payload"]), what="it")
    twin = envelope_of(payload, encode_dss_signature(r, order - s), key_id=staffed.keys["rob"].key_id)
    staffed.ledger.append(APPROVED, first.subject, {**first.payload, "statement": twin.decode()}, actor="rob")
    found = now_standing(staffed)
    assert not found.approved
    assert any("repeats" in reason for reason in found.set_aside)


def test_an_approval_for_another_revision_does_not_count_here(staffed: Office) -> None:
    other = replace(ADMITTED, revision="9" * 40, manifest_digest="8" * 64)
    approve(staffed, "rob", other)
    moved = next(iter(staffed.ledger.events(kinds=(APPROVED,))))
    staffed.ledger.append(APPROVED, f"acme/tiny@{'1' * 40}", dict(moved.payload), actor="rob")
    found = now_standing(staffed)
    assert not found.approved
    assert "another revision" in found.set_aside[0]


def test_an_approval_of_another_ledger_does_not_count_here(staffed: Office, tmp_path: Path) -> None:
    elsewhere = Office(tmp_path / "elsewhere")
    elsewhere.keys = dict(staffed.keys)
    elsewhere.admit("ada", Role.ADMIN)
    elsewhere.admit("rob", Role.REVIEWER, by="ada")
    approve(elsewhere, "rob")
    said = next(iter(elsewhere.ledger.events(kinds=(APPROVED,))))
    staffed.ledger.append(APPROVED, said.subject, dict(said.payload), actor="rob")
    elsewhere.close()
    assert "another ledger" in now_standing(staffed).set_aside[0]


def test_a_removed_person_counts_no_more(staffed: Office) -> None:
    approve(staffed, "rob")
    remove_person(staffed.ledger, "rob", admin=staffed.who("ada"))
    found = now_standing(staffed)
    assert not found.approved
    assert "revoked" in found.set_aside[0]
    with pytest.raises(Denied, match="no person 'rob'"):
        approve(staffed, "rob")


def test_an_edited_date_breaks_the_word(staffed: Office) -> None:
    approve(staffed, "rob", valid_days=1)
    event = next(iter(staffed.ledger.events(kinds=(APPROVED,))))
    envelope = str(event.payload["statement"])
    record = canonical.decode_object(envelope.encode(), what="it")
    payload = decode_base64(str(record["payload"]), what="it").replace(b"2026-11-24", b"2036-11-24")
    signature = decode_base64(str(record["signatures"][0]["sig"]), what="it")  # type: ignore[index,call-overload]
    edited = envelope_of(payload, signature, key_id=staffed.keys["rob"].key_id).decode()
    staffed.ledger.append(APPROVED, event.subject, {**event.payload, "statement": edited}, actor="rob")
    late = now_standing(staffed, now="2026-11-25T00:00:00Z")
    assert not late.approved
    assert any("not made by key" in reason for reason in late.set_aside)


def test_a_gateway_passes_on_the_word_of_whom_it_authenticated(staffed: Office) -> None:
    login = oidc_login("https://login.acme.example", "00u1")
    staffed.admit("door", Role.GATEWAY)
    staffed.admit("olga", Role.REVIEWER, logins=(login,))
    case, key = staffed.case(), staffed.keys["door"]

    def through_the_door(name: str, proved: str, *, gateway: str = "door") -> Approval:
        speaker = Speaker(name, staffed.keys[gateway], gateway, proved)
        return say(staffed.ledger, case, staffed.roster, speaker, approves=True, reason="read it", now=NOW)

    with pytest.raises(Denied, match="not the key of 'rob'"):
        through_the_door("rob", login)
    with pytest.raises(Denied, match="not the key of 'olga'"):
        through_the_door("olga", oidc_login("https://login.acme.example", "00u2"))
    with pytest.raises(Denied, match="not the key of 'olga'"):
        through_the_door("olga", login, gateway="rob")
    with pytest.raises(Denied, match="may not approve"):
        say(staffed.ledger, case, staffed.roster, Speaker("door", key), approves=True, reason="me", now=NOW)
    assert through_the_door("olga", login).through == "door"
    assert [word.person for word in now_standing(staffed).approved] == ["olga"]
    remove_person(staffed.ledger, "door", admin=staffed.who("ada"))
    assert not now_standing(staffed).approved


def test_a_gateway_is_no_person_besides(office: Office) -> None:
    office.admit("ada", Role.ADMIN)
    both, key = frozenset((Role.GATEWAY, Role.REVIEWER)), new_key()
    with pytest.raises(ConfigError, match="cannot be a gateway and"):
        add_person(office.ledger, "door", key.public_pem, roles=both, logins=(), admin=office.who("ada"))
    with pytest.raises(ConfigError, match="issuer"):
        oidc_login("http://login.acme.example", "00u1")
    with pytest.raises(ConfigError, match="issuer"):
        oidc_login("https://login.acme.example#a", "00u1")


def test_nobody_approves_what_policy_denies(staffed: Office) -> None:
    with pytest.raises(Denied, match="no approval lifts that") as refused:
        approve(staffed, "rob", DENIED)
    assert refused.value.rules == ("findings-grave",)
    approve(staffed, "rob", DENIED, approves=False, reason="indeed")


def test_a_word_needs_a_reason(staffed: Office) -> None:
    with pytest.raises(Denied, match="reason"):
        approve(staffed, "rob", reason="  ")


def test_it_is_said_when_there_are_too_few_people(office: Office) -> None:
    office.admit("ada", Role.ADMIN)
    with pytest.raises(Denied) as refused:
        now_standing(office, replace(ADMITTED, approvals=2)).check()
    assert "admit more" in refused.value.hint


def test_a_decision_reads_back_and_its_digest_leaves_out_only_time() -> None:
    decision = replace(ADMITTED, reasons=(Reason("a", Outcome.HOLD, "m", "c", "p", ("f",), "e"),), outcome=Outcome.HOLD)
    assert Decision.from_json(decision.to_json()) == decision
    assert replace(decision, decided_at="2030-01-01T00:00:00Z").digest == decision.digest
    changed: dict[str, object] = {"approvals": 2, "self_approval": True, "outcome": Outcome.ADMIT, "reasons": ()}
    for field in dataclasses.fields(Decision):
        if field.name in ("decided_at", "outcome"):
            continue
        value = changed.get(field.name, "7" * len(str(getattr(decision, field.name))))
        if field.name == "model_name":
            value = type(decision.model_name)("acme", "other")
        assert replace(decision, **{field.name: value}).digest != decision.digest, field.name


# --- which policy counts --------------------------------------------------------------------------


def test_once_a_policy_is_adopted_no_other_one_counts(staffed: Office) -> None:
    check_adopted(staffed.ledger, ADMITTED)
    with pytest.raises(Denied, match="no admin"):
        adopt(staffed.ledger, "lenient", "9" * 64, admin=staffed.who("rob"))
    adopt(staffed.ledger, "test", ADMITTED.policy_digest, admin=staffed.who("ada"))
    check_adopted(staffed.ledger, ADMITTED)
    with pytest.raises(Denied, match="not the one that counts") as refused:
        check_adopted(staffed.ledger, replace(ADMITTED, policy_digest="9" * 64))
    assert refused.value.rules == ("policy-not-adopted",)


def test_an_earlier_adoption_entered_again_adopts_nothing(staffed: Office) -> None:
    for digest in ("9" * 64, ADMITTED.policy_digest):
        adopt(staffed.ledger, "test", digest, admin=staffed.who("ada"))
    old = next(iter(staffed.ledger.events(kinds=(ADOPTED,))))
    staffed.ledger.append(ADOPTED, old.subject, dict(old.payload), actor="ada")
    with pytest.raises(LedgerError, match="another time"):
        check_adopted(staffed.ledger, replace(ADMITTED, policy_digest="9" * 64))


def test_a_policy_that_only_the_ledgers_key_adopts_closes_the_gate(staffed: Office) -> None:
    statement = Statement((Subject("policy:x", "9" * 64),), ADOPTION_TYPE, {"policy": "x", "by": "ada"})
    envelope = sign_statement(statement, staffed.key).decode()
    staffed.ledger.append(ADOPTED, "policy:x", {"policy": "x", "statement": envelope}, actor="ada")
    with pytest.raises(LedgerError, match="does not adopt a policy"):
        check_adopted(staffed.ledger, ADMITTED)


# --- the command line ----------------------------------------------------------------------------


def test_people_by_the_command_line(weighbridge: Command, tmp_path: Path) -> None:
    assert "Nobody yet" in weighbridge("people", "list").err
    assert "the first person is an admin" in weighbridge("people", "add", "bob", "--role", "reviewer", code=2).err
    weighbridge("people", "add", "ada", "--role", "admin")
    public = weighbridge("people", "key", "rob", "--home", str(tmp_path / "robs")).out.strip()
    weighbridge("people", "add", "rob", "--role", "reviewer", "--key", public, "--login", "rob@desk")
    listed = weighbridge("people", "list", "--json").json
    assert [(one["person"], one["roles"], one["active"]) for one in listed] == [
        ("ada", ["admin"], True),
        ("rob", ["reviewer"], True),
    ]
    assert "cannot be read" in weighbridge("people", "add", "eve", "--role", "reviewer", "--key", "no.pub", code=2).err
    assert "no name" in weighbridge("people", "key", "../eve", code=2).err
    weighbridge("people", "remove", "rob")
    assert [one["active"] for one in weighbridge("people", "list", "--json").json] == [True, False]
