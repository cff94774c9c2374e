"""The generated AWS policies allow exactly what a table written by hand says, and every part of them makes a difference to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest
from click import UsageError
from click.testing import CliRunner

from tests.support.aws_table import (
    ABROAD,
    EXECUTION,
    HOME,
    PARTIES,
    REVISION,
    Trial,
    generated,
    key_arn,
    outcome,
    role,
    trials,
)
from weighbridge.cli.commands.deploy_policies import policies_command
from weighbridge.core.errors import ConfigError
from weighbridge.core.names import ModelName
from weighbridge.deploy.aws_parties import Hosting, Parties, Place, read_parties
from weighbridge.deploy.aws_policies import (
    approved_bucket_policy,
    collect_policy,
    execution_role_policy,
    gateway_policy,
    inference_endpoint_policy,
    inference_policy,
    policy_files,
    quarantine_bucket_policy,
    revision_prefixes,
    sagemaker_trust_policy,
)
from weighbridge.deploy.iam import (
    Condition,
    Effect,
    Element,
    Outcome,
    PolicyDocument,
    PolicyKind,
    Principals,
    Statement,
    explain,
)
from weighbridge.deploy.iam.evaluation import apply

KINDS = {
    **dict.fromkeys(("approved", "quarantine", "approved key", "quarantine key", "endpoint"), PolicyKind.RESOURCE),
    "trust": PolicyKind.TRUST,
}


@pytest.fixture(scope="module")
def documents() -> dict[str, PolicyDocument]:
    return generated()


@pytest.fixture(scope="module")
def table() -> list[Trial]:
    return list(trials())


def test_every_request_comes_out_as_the_table_says(table: list[Trial], documents: dict[str, PolicyDocument]) -> None:
    assert len(table) > 10_000
    assert sum(trial.wanted for trial in table) > 500
    wanted = {True: Outcome.ALLOWED, False: Outcome.DENIED}
    wrong = [trial for trial in table if outcome(trial, documents) is not wanted[trial.wanted]]
    assert wrong == []


# Mutations


OPPOSITES = {
    "ArnEquals": "ArnNotEquals",
    "ArnNotEquals": "ArnEquals",
    "ArnLike": "ArnNotLike",
    "StringEquals": "StringNotEquals",
    "StringNotEquals": "StringEquals",
    "StringLike": "StringNotLike",
    "NumericLessThan": "NumericLessThanEquals",
    "NumericGreaterThan": "NumericGreaterThanEquals",
}


def mutated(statement: Statement) -> Iterator[tuple[str, Statement | None]]:
    """The statement, altered in every single place; None: it is gone."""
    yield "removed", None
    other = Effect.ALLOW if statement.effect is Effect.DENY else Effect.DENY
    yield "turned", replace(statement, effect=other)
    for name, element in (("action", statement.action), ("resource", statement.resource)):
        for what, one in _elements(element):
            yield f"{name} {what}", replace(statement, **{name: one})
    for what, principals in _principals(statement.principals):
        yield f"principal {what}", replace(statement, principals=principals)
    for place, condition in enumerate(statement.conditions):
        before, after = statement.conditions[:place], statement.conditions[place + 1 :]
        yield f"without {condition}", replace(statement, conditions=before + after)
        for what, one in _conditions(condition):
            yield f"{condition} {what}", replace(statement, conditions=(*before, one, *after))


def _elements(element: Element | None) -> Iterator[tuple[str, Element]]:
    if element is None:
        return
    yield "excluded instead", replace(element, excluded=not element.excluded)
    for place, value in enumerate(element.values):
        rest = element.values[:place] + element.values[place + 1 :]
        yield f"without {value}", replace(element, values=rest or ("arn:aws:s3:::nothing",))


def _principals(principals: Principals | None) -> Iterator[tuple[str, Principals]]:
    if principals is None:
        return
    for place, value in enumerate(principals.values):
        rest = principals.values[:place] + principals.values[place + 1 :]
        yield f"without {value}", replace(principals, values=rest or (("AWS", role("nobody")),))
    if principals.values != (("*", "*"),):
        yield "everyone", replace(principals, values=(("*", "*"),))


def _conditions(condition: Condition) -> Iterator[tuple[str, Condition]]:
    if condition.operator in OPPOSITES:
        yield "with its opposite", replace(condition, operator=OPPOSITES[condition.operator])
    if condition.values[0] in ("true", "false"):
        yield "turned", replace(condition, values=("false" if condition.values[0] == "true" else "true",))
        return
    for place, value in enumerate(condition.values):
        rest = condition.values[:place] + condition.values[place + 1 :]
        yield f"without {value}", replace(condition, values=rest or (f"{value}9",))


def mutants(documents: Mapping[str, PolicyDocument]) -> Iterator[tuple[str, str, Statement, Statement | None]]:
    for name, document in documents.items():
        if name != "everything":
            for statement in document.statements:
                for what, altered in mutated(statement):
                    yield name, f"{name}: {statement.sid} {what}", statement, altered


Said = tuple[str, Effect]


def is_noticed(
    name: str,
    statement: Statement,
    altered: Statement | None,
    involved: list[Trial],
    documents: dict[str, PolicyDocument],
    unaltered: Callable[[Trial], Said],
) -> bool:
    """Whether some request comes out otherwise."""
    document = documents[name]
    place = document.statements.index(statement)
    rest = document.statements[:place] + ((altered,) if altered else ()) + document.statements[place + 1 :]
    others = {**documents, name: replace(document, statements=rest)}
    changed = replace(document, statements=(altered,)) if altered else None
    for at, trial in enumerate(involved):
        before, after = unaltered(trial), said(changed, trial) if changed else None
        if (after is None and before[0] == "no") or after == before:
            continue
        if (outcome(trial, others) is Outcome.ALLOWED) is not trial.wanted:
            # What showed one mutation often shows the next.
            involved.insert(0, involved.pop(at))
            return True
    return False


def said(policy: PolicyDocument, trial: Trial) -> Said:
    """What the policy's only statement says to a request."""
    applied = apply(policy, trial.request)[0]
    return applied.truth.value, applied.effect


def test_every_part_of_every_policy_makes_a_difference(
    table: list[Trial], documents: dict[str, PolicyDocument]
) -> None:
    by_name = {
        name: [one for one in table if name in (*one.identity, one.resource, one.endpoint)] for name in documents
    }
    for one in by_name.values():
        # What must be allowed shows most mutations of denials; deterministic, and early.
        one.sort(key=lambda trial: not trial.wanted)
    unnoticed = []
    number = 0
    # What a statement says unaltered is asked once for all its mutations.
    for (name, statement), altered_ones in groupby(mutants(documents), key=lambda one: (one[0], one[2])):
        alone = replace(documents[name], statements=(statement,))
        known: dict[int, Said] = {}

        def unaltered(trial: Trial, alone: PolicyDocument = alone, known: dict[int, Said] = known) -> Said:
            if id(trial) not in known:
                known[id(trial)] = said(alone, trial)
            return known[id(trial)]

        for _, what, _, altered in altered_ones:
            number += 1
            if not is_noticed(name, statement, altered, by_name[name], documents, unaltered):
                unnoticed.append(what)
    assert unnoticed == [], "\n".join(unnoticed)
    assert number > 400


# What a person, or a posture report, is told


def test_the_approved_bucket_explains_itself_as_locked_down(documents: dict[str, PolicyDocument]) -> None:
    access = explain(documents["approved"], account=HOME, bucket="models-out", prefix="a/")
    assert (access.public, access.tls_only, access.unproved) == (False, True, ())
    assert (access.writers, access.deleters, access.unlockers, access.configurers) == ((), (), (), ())
    assert (access.write_denied, access.write_exempt) == (True, (role("promote"),))
    assert (access.delete_denied, access.delete_exempt) == (True, ())
    assert (access.settings_denied, access.settings_exempt) == (True, (role("admin"),))
    assert access.cross_account == access.readers == (role("inference", ABROAD),)
    assert access.presigned_seconds == 3_600
    assert access.endpoints == ("vpce-0123456789abcdef0",)


def test_quarantine_explains_itself_as_locked_down(documents: dict[str, PolicyDocument]) -> None:
    access = explain(documents["quarantine"], account=HOME, bucket="models-in", prefix="q/")
    assert (access.public, access.tls_only, access.unproved, access.cross_account) == (False, True, (), ())
    assert access.write_exempt == tuple(sorted(role(one) for one in ("collect", "ingest", "inspect", "promote")))
    assert access.delete_exempt == (role("collect"), role("ingest"))
    staged = explain(documents["quarantine"], account=HOME, bucket="models-in", prefix="q/models/")
    assert staged.delete_exempt == (role("collect"),)
    assert staged.write_exempt == (role("collect"), role("ingest"))


def test_without_endpoints_any_network_will_do() -> None:
    open_network = replace(PARTIES, vpc_endpoints=(), signature_seconds=60)
    access = explain(approved_bucket_policy(open_network), account=HOME, bucket="models-out", prefix="a/")
    assert (access.endpoints, access.presigned_seconds, access.tls_only) == ((), 60, True)


def test_nobody_deletes_from_quarantine_when_nobody_collects() -> None:
    policy = quarantine_bucket_policy(replace(PARTIES, collect=""))
    access = explain(policy, account=HOME, bucket="models-in", prefix="q/models/")
    assert (access.delete_denied, access.delete_exempt) == (True, ())
    with pytest.raises(ConfigError):
        collect_policy(replace(PARTIES, collect=""))


# Documents


def test_every_document_is_what_iam_takes_and_reads_back_the_same(documents: dict[str, PolicyDocument]) -> None:
    limits = {"approved": 20_480, "quarantine": 20_480, "approved key": 32_768, "quarantine key": 32_768}
    for name, document in documents.items():
        text = document.to_text()
        again = PolicyDocument.parse(text, kind=KINDS.get(name, PolicyKind.IDENTITY), name=document.name)
        assert again == document
        # Roles' inline policies together may have 10,240 characters without white space, trust policies 2,048.
        limit = limits.get(name, 2_048 if name == "trust" else 10_240)
        assert len(json.dumps(json.loads(text), separators=(",", ":"))) < limit
        sids = [one.sid for one in document.statements]
        assert len(set(sids)) == len(sids)
        assert all(one.isalnum() for one in sids if one)


def test_other_partitions_have_their_own_names() -> None:
    china = Parties(
        account=HOME,
        region="cn-north-1",
        quarantine=Place("models-in", key_arn("in").replace("arn:aws:", "arn:aws-cn:")),
        approved=Place("models-out", key_arn("out").replace("arn:aws:", "arn:aws-cn:")),
        **{
            part: role(part).replace("arn:aws:", "arn:aws-cn:")
            for part in ("administrator", "ingest", "inspect", "promote")
        },
    )
    policy = approved_bucket_policy(china)
    assert "arn:aws:" not in policy.to_text()
    access = explain(policy, account=HOME, bucket="models-out", partition="aws-cn")
    assert access.write_exempt == (china.promote,)


def test_a_deployment_reads_its_revision_and_what_proves_it() -> None:
    name = ModelName("org", "name")
    files = f"models/org/name/{'a' * 40}/"
    assert revision_prefixes(name, "a" * 40) == (files,)
    assert revision_prefixes(name, "a" * 40, verified=True) == (files, f"records/org/name/{'a' * 40}/", "index/")


@pytest.mark.parametrize(
    "prefix",
    ["", "/", "*/", "models", "models/*/", "models/${aws:username}/", "models/org/name", "other/", "../", "models/?/"],
)
def test_a_role_is_not_bound_to_what_iam_would_read_more_widely(prefix: str) -> None:
    with pytest.raises(ConfigError):
        inference_policy(PARTIES, (prefix,))
    with pytest.raises(ConfigError):
        execution_role_policy(PARTIES, (prefix,), Hosting())


@pytest.mark.parametrize(
    "wrong",
    [
        {"account": "1"},
        {"account": "999988887777"},
        {"region": "eu central 1"},
        {"approved": Place("models-*", key_arn("out"))},
        {"approved": Place("models-out", key_arn("out"), "a*")},
        {"approved": Place("models-out", key_arn("out"), "${aws:username}")},
        {"approved": Place("models-out", "alias/models")},
        {"approved": Place("models-in", key_arn("out"))},
        {"approved": Place("models-out", key_arn("in"))},
        {"promote": role("*")},
        {"promote": role("promote", ABROAD)},
        {"promote": role("ingest")},
        {"promote": f"arn:aws:iam::{HOME}:root"},
        {"promote": f"arn:aws:iam::{HOME}:user/somebody"},
        {"collect": "*"},
        {"gateway": "gateway"},
        {"inference": ("*",)},
        {"inference": (role("inference"), role("inference"))},
        {"vpc_endpoints": ("vpce-*",)},
        {"signature_seconds": 0},
        {"signature_seconds": 604_801},
    ],
)
def test_parties_that_would_widen_a_policy_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        replace(PARTIES, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"repositories": ("*",)},
        {"subnets": ("subnet-*",), "security_groups": ("sg-0123456789abcdef0",)},
        {"subnets": ("subnet-0123456789abcdef0",)},
        {"subnets": ("subnet-0123456789abcdef0",), "security_groups": ("*",)},
    ],
)
def test_hosting_that_would_widen_a_role_is_refused(wrong: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(ConfigError):
        Hosting(**wrong)


def test_an_endpoint_that_nobody_may_use_is_not_written() -> None:
    with pytest.raises(ConfigError):
        inference_endpoint_policy(replace(PARTIES, gateway="", inference=()))


def test_a_gateway_of_another_account_decrypts_by_both_sides() -> None:
    abroad = replace(PARTIES, gateway=role("gateway", ABROAD))
    assert "kms:Decrypt" in gateway_policy(abroad).to_text()
    assert "kms:Decrypt" not in gateway_policy(PARTIES).to_text()
    assert "ReadersOfOtherAccounts" in approved_bucket_policy(abroad).to_text()
    assert "ReadersOfOtherAccounts" not in approved_bucket_policy(replace(PARTIES, inference=())).to_text()


def test_only_sagemaker_for_this_account_takes_the_execution_role() -> None:
    text = sagemaker_trust_policy(PARTIES).to_text()
    assert '"Service": "sagemaker.amazonaws.com"' in text
    assert f"arn:aws:sagemaker:eu-central-1:{HOME}:*" in text
    role_policy = execution_role_policy(PARTIES, (REVISION,), Hosting())
    assert "ecr:" not in role_policy.to_text()
    assert "ec2:" not in role_policy.to_text()
    assert role_policy.name == EXECUTION


# From a file


PARTIES_FILE = f"""
account = "{HOME}"
region = "eu-central-1"
administrator = "{role("admin")}"
ingest = "{role("ingest")}"
inspect = "{role("inspect")}"
promote = "{role("promote")}"
gateway = "{role("gateway")}"
inference = ["{role("inference")}", "{role("inference", ABROAD)}"]
collect = "{role("collect")}"
vpc_endpoints = ["vpce-0123456789abcdef0"]
[quarantine]
bucket = "models-in"
prefix = "q"
key = "{key_arn("in")}"
[approved]
bucket = "models-out"
prefix = "a"
key = "{key_arn("out")}"
"""


def test_parties_are_read_from_a_file_and_written_as_policies() -> None:
    parties = read_parties(PARTIES_FILE.encode())
    assert parties == PARTIES
    files = {file.name: file.text for file in policy_files(parties)}
    assert files["approved-bucket.json"] == approved_bucket_policy(PARTIES).to_text()
    assert "kms:Decrypt" in files[f"inference-role-{ABROAD}.json"]
    assert {"inference-role.json", "collect-role.json", "gateway-role.json"} <= files.keys()
    few = policy_files(replace(PARTIES, gateway="", inference=(), collect=""))
    assert {file.name for file in few} == {
        *("approved-bucket.json", "approved-key.json", "quarantine-bucket.json", "quarantine-key.json"),
        *("ingest-role.json", "inspect-role.json", "promote-role.json"),
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("account", "acount"),
        (f'account = "{HOME}"', ""),
        (f'account = "{HOME}"', f"account = {HOME}"),
        ('prefix = "q"', "prefix = 1"),
        ('bucket = "models-in"', ""),
        ('bucket = "models-in"', 'bucket = "models-in"\nregion = "x"'),
        ("[quarantine]", "[[quarantine]]"),
        ("collect =", "signature_seconds = true\ncollect ="),
        ('vpc_endpoints = ["vpce-0123456789abcdef0"]', 'vpc_endpoints = "vpce-0123456789abcdef0"'),
        ('vpc_endpoints = ["vpce-0123456789abcdef0"]', "vpc_endpoints = [1]"),
        ("region", "region ="),
        ("region", "\x00"),
        ("region", "#" * 70_000),
    ],
)
def test_a_file_of_parties_is_read_strictly(before: str, after: str) -> None:
    assert before in PARTIES_FILE
    with pytest.raises(ConfigError):
        read_parties(PARTIES_FILE.replace(before, after, 1).encode())


def test_a_file_of_parties_that_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigError):
        read_parties(b"\xff\xfe")


# The command


def test_the_command_writes_the_policies_and_explains_them(tmp_path: Path) -> None:
    parties, folder = tmp_path / "parties.toml", tmp_path / "policies"
    parties.write_text(PARTIES_FILE)
    run = CliRunner()
    written = run.invoke(policies_command, [str(parties), "--output", str(folder)], standalone_mode=False)
    assert written.return_value == 0
    assert (folder / "approved-bucket.json").read_text() == approved_bucket_policy(PARTIES).to_text()
    again = run.invoke(policies_command, [str(parties), "--output", str(folder)], standalone_mode=False)
    assert isinstance(again.exception, ConfigError)
    as_json = run.invoke(policies_command, [str(parties), "--json"], standalone_mode=False)
    assert json.loads(as_json.stdout)["ingest-role.json"]["Version"] == "2012-10-17"
    asked = ["--explain", str(folder / "approved-bucket.json"), "--account", HOME, "--bucket", "models-out", "--json"]
    told = json.loads(run.invoke(policies_command, asked, standalone_mode=False).stdout)
    assert (told["write_exempt"], told["tls_only"], told["public"]) == ([role("promote")], True, False)


@pytest.mark.parametrize(
    "arguments",
    [[], ["--explain", "x.json"], ["missing.toml"], ["--explain", "missing", "--account", HOME, "--bucket", "b"]],
)
def test_the_command_says_what_it_lacks(arguments: list[str]) -> None:
    answer = CliRunner().invoke(policies_command, arguments, standalone_mode=False)
    assert isinstance(answer.exception, (ConfigError, UsageError))
