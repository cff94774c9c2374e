"""IAM policies are read strictly, and decided as AWS documents it or not at all."""

from __future__ import annotations

import json
import re
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.core.errors import ConfigError, FormatError
from weighbridge.deploy.iam import (
    Outcome,
    PolicyDocument,
    PolicyKind,
    Principal,
    Request,
    evaluate,
    explain,
)
from weighbridge.deploy.iam.patterns import Truth, matches, matches_under, read_pattern

HOME, ABROAD = "111122223333", "444455556666"
ROLE = f"arn:aws:iam::{HOME}:role/app/reader"
SESSION = f"arn:aws:sts::{HOME}:assumed-role/reader/one"
USER = f"arn:aws:iam::{HOME}:user/somebody"
FOREIGN = f"arn:aws:iam::{ABROAD}:role/reader"
OBJECT = "arn:aws:s3:::bucket/models/x"


def statement(**members: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/*", **members}


def identity(*statements: dict[str, Any], version: str = "2012-10-17") -> PolicyDocument:
    text = json.dumps({"Version": version, "Statement": list(statements)})
    return PolicyDocument.parse(text, kind=PolicyKind.IDENTITY)


def resource(*statements: dict[str, Any]) -> PolicyDocument:
    text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    return PolicyDocument.parse(text, kind=PolicyKind.RESOURCE)


def asked(who: str | Principal = ROLE, action: str = "s3:GetObject", arn: str = OBJECT, **context: Any) -> Request:
    principal = Principal.of(who) if isinstance(who, str) else who
    return Request(principal, action, arn, HOME, {key.replace("__", ":"): value for key, value in context.items()})


def outcome_of(condition: dict[str, Any], context: dict[str, Any], **members: Any) -> Outcome:
    policy = identity(statement(Condition=condition, **members))
    return evaluate(Request(Principal.of(ROLE), "s3:GetObject", OBJECT, HOME, context), [policy]).outcome


YES, NO, OPEN = Outcome.ALLOWED, Outcome.DENIED, Outcome.UNPROVED

# Reading


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"Statement": []}',
        '{"Statement": "x"}',
        '{"Version": "2020-01-01", "Statement": [%s]}',
        '{"Version": 1, "Statement": [%s]}',
        '{"Statement": [%s], "Statements": []}',
        '{"Statement": [%s], "Statement": [%s]}',
        '{"Statement": [%s]} x',
        '\ufeff{"Statement": [%s]}',
        '{"Statement": [{"Effect": "Allow", "Action": "s3:*"}]}',
        '{"Statement": [{"Effect": "allow", "Action": "s3:*", "Resource": "*"}]}',
        '{"Statement": [{"Effect": "Allow", "Resource": "*"}]}',
        '{"Statement": [{"Effect": "Allow", "Action": [], "Resource": "*"}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "", "Resource": "*"}]}',
        '{"Statement": [{"Effect": "Allow", "Action": 1, "Resource": "*"}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*", "NotAction": "*", "Resource": "*"}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "NotResource": "*"}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Sid": 1}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Conditions": {}}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": []}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Bool": "x"}}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Bool": {"a:b": {}}}}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Bool": {"a:b": []}}}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Bool": {"a:b": "1", "A:B": "1"}}}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Bool": {"a:b": NaN}}}]}',
        '{"Statement": [{"Effect": "Allow", "Effect": "Deny", "Action": "*", "Resource": "*"}]}',
        "[" * 200,
        '{"Statement": ' + "[" * 50_000,
        '{"Id": "' + "x" * 70_000 + '"}',
    ],
)
def test_what_is_no_policy_is_an_error_and_never_evaluated(text: str) -> None:
    whole = '{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}'
    with pytest.raises(FormatError):
        PolicyDocument.parse(text.replace("%s", whole), kind=PolicyKind.IDENTITY)


@pytest.mark.parametrize(
    "principal",
    [None, "arn:aws:iam::111122223333:root", {}, {"AWS": []}, {"AWS": 1}, {"Role": "*"}, ["*"]],
)
def test_a_resource_policy_says_whom_it_means(principal: Any) -> None:
    members = {} if principal is None else {"Principal": principal}
    with pytest.raises(FormatError):
        resource(statement(**members))


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["Statement", "Effect", "Action", "Resource", "Principal", "Condition", "AWS", "Version"]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(list(PolicyKind)),
)
def test_any_json_is_a_policy_or_an_error(value: Any, kind: PolicyKind) -> None:
    try:
        policy = PolicyDocument.parse(json.dumps({"Version": "2012-10-17", "Statement": value}), kind=kind)
    except FormatError:
        return
    assert PolicyDocument.parse(policy.to_text(), kind=kind) == policy
    evaluate(asked(), [policy] if kind is PolicyKind.IDENTITY else (), None if kind is PolicyKind.IDENTITY else policy)


# Patterns


@settings(max_examples=300, deadline=None)
@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_wildcards_match_what_the_same_expression_matches(pattern: str, text: str) -> None:
    expression = "".join({"*": ".*", "?": "."}.get(one, one) for one in pattern)
    read = read_pattern(pattern)
    assert read is not None
    assert matches(read, text) == bool(re.fullmatch(expression, text))


@settings(max_examples=300, deadline=None)
@given(
    st.text("ab*?", max_size=6), st.text("ab", max_size=4), st.lists(st.text("abc", min_size=1, max_size=4), max_size=8)
)
def test_what_is_said_of_a_prefix_holds_of_all_that_lies_under_it(pattern: str, prefix: str, tails: list[str]) -> None:
    read = read_pattern(pattern)
    assert read is not None
    said = matches_under(read, prefix)
    found = {matches(read, prefix + tail) for tail in tails}
    if said is Truth.YES:
        assert found <= {True}
    if said is Truth.NO:
        assert found <= {False}


def test_a_pattern_made_to_take_long_does_not() -> None:
    read = read_pattern("*a" * 1_000 + "b")
    assert read is not None
    assert not matches(read, "a" * 1_024)


# Conditions: IAM User Guide, "Condition operators" and "Multivalued context keys"


@pytest.mark.parametrize(
    ("operator", "wanted", "given_value", "expected"),
    [
        ("StringEquals", "a", "a", YES),
        ("StringEquals", "a", "A", NO),
        ("StringEquals", ["a", "b"], "b", YES),
        ("StringEquals", "*", "a", NO),
        ("StringEquals", "a", None, NO),
        ("StringEqualsIfExists", "a", None, YES),
        ("StringEqualsIfExists", "a", "b", NO),
        ("StringNotEquals", "a", "b", YES),
        ("StringNotEquals", ["a", "b"], "b", NO),
        ("StringNotEquals", "a", None, YES),
        ("StringNotEqualsIfExists", "a", None, YES),
        ("StringNotEqualsIfExists", "a", "a", NO),
        ("StringEqualsIgnoreCase", "AbC", "aBc", YES),
        ("StringNotEqualsIgnoreCase", "AbC", "aBc", NO),
        ("StringLike", "a*c?", "abbbcd", YES),
        ("StringLike", "a*", "b", NO),
        ("StringNotLike", "a*", "b", YES),
        ("StringNotLike", ["x*", "b*"], "b", NO),
        ("NumericEquals", "10", "10.0", YES),
        ("NumericNotEquals", "10", "11", YES),
        ("NumericLessThan", "1.2", "1.1", YES),
        ("NumericLessThan", "1.2", "1.2", NO),
        ("NumericLessThan", "1.2", None, NO),
        ("NumericLessThanEquals", "1.2", "1.2", YES),
        ("NumericGreaterThan", "3600000", "3600001", YES),
        ("NumericGreaterThanEquals", 10, "10", YES),
        ("NumericLessThan", "ten", "1", OPEN),
        ("NumericLessThan", "10", "one", OPEN),
        ("NumericLessThan", "1e9", "1", OPEN),
        ("DateLessThan", "2026-01-02T00:00:00Z", "2026-01-01T23:59:59Z", YES),
        ("DateLessThan", "2026-01-02", "2026-01-03T00:00:00Z", NO),
        ("DateGreaterThan", "1767225600", "2026-01-01T00:00:01Z", YES),
        ("DateEquals", "2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00Z", YES),
        ("DateLessThan", "tomorrow", "2026-01-01T00:00:00Z", OPEN),
        ("Bool", "true", "true", YES),
        ("Bool", True, "true", YES),
        ("Bool", "false", "true", NO),
        ("Bool", "false", None, NO),
        ("BoolIfExists", "false", None, YES),
        ("Bool", "yes", "true", OPEN),
        ("Null", "true", None, YES),
        ("Null", "true", "x", NO),
        ("Null", "false", "x", YES),
        ("Null", "false", None, NO),
        ("Null", "maybe", None, OPEN),
        ("NullIfExists", "true", None, OPEN),
        ("IpAddress", "203.0.113.0/24", "203.0.113.9", YES),
        ("IpAddress", "203.0.113.9", "203.0.113.9", YES),
        ("IpAddress", "203.0.113.0/24", "203.0.114.9", NO),
        ("IpAddress", "2001:db8::/32", "2001:db8::1", YES),
        ("IpAddress", "203.0.113.0/24", "2001:db8::1", NO),
        ("NotIpAddress", "203.0.113.0/24", "203.0.114.9", YES),
        ("NotIpAddress", "203.0.113.0/24", None, YES),
        ("NotIpAddress", "203.0.113.0/24", "2001:db8::1", OPEN),
        ("NotIpAddress", ["203.0.113.0/24", "2001:db8::/32"], "2001:db8::1", NO),
        ("IpAddress", "everywhere", "203.0.113.9", OPEN),
        ("ArnEquals", "arn:aws:iam::*:role/a", "arn:aws:iam::1:role/a", YES),
        ("ArnLike", "arn:aws:iam::1:role/*", "arn:aws:iam::1:role/a/b", YES),
        ("ArnLike", "arn:aws:*:1:role/a", "arn:aws:iam::1:role/a", OPEN),
        ("ArnLike", "arn:aws:iam:*:role/a", "arn:aws:iam::1:role/a", OPEN),
        ("ArnLike", "*", "arn:aws:iam::1:role/a", OPEN),
        ("ArnNotEquals", "arn:aws:iam::1:role/a", "arn:aws:iam::1:role/b", YES),
        ("ArnNotLike", "arn:aws:iam::1:role/*", "arn:aws:iam::1:role/b", NO),
        ("ArnNotEquals", "arn:aws:iam::1:role/a", None, YES),
        ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", YES),
        ("ForAnyValue:StringEquals", ["a", "b"], ["b", "c"], YES),
        ("ForAnyValue:StringEquals", ["a", "b"], ["c"], NO),
        ("ForAnyValue:StringEquals", "a", None, NO),
        ("ForAnyValue:StringNotEquals", "a", ["a", "b"], YES),
        ("ForAnyValue:StringNotEquals", "a", ["a"], NO),
        ("ForAnyValue:StringNotEquals", "a", None, NO),
        ("ForAnyValue:StringNotEqualsIfExists", "a", None, OPEN),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "b"], YES),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], NO),
        ("ForAllValues:StringEquals", "a", None, YES),
        ("ForAllValues:StringNotEquals", "a", ["b", "c"], YES),
        ("ForAllValues:StringNotEquals", "a", ["a", "c"], NO),
        ("ForAllValues:StringLike", "a*", ["ab", "ac"], YES),
        ("StringEquals", "a", ["a", "b"], OPEN),
        ("ForSomeValues:StringEquals", "a", "a", OPEN),
        ("StringMatches", "a", "a", OPEN),
        ("stringequals", "a", "a", OPEN),
    ],
)
def test_a_condition_is_decided_as_documented_or_left_open(
    operator: str, wanted: Any, given_value: Any, expected: Outcome
) -> None:
    context = {} if given_value is None else {"s3:test": given_value}
    assert outcome_of({operator: {"S3:Test": wanted}}, context) is expected


def test_all_conditions_must_hold_and_an_open_one_does_not_hide_a_false_one() -> None:
    both = {"StringEquals": {"a:x": "1", "a:y": "2"}}
    assert outcome_of(both, {"a:x": "1", "a:y": "2"}) is YES
    assert outcome_of(both, {"a:x": "1", "a:y": "3"}) is NO
    unknown = {"StringMatches": {"a:x": "1"}, "StringEquals": {"a:y": "2"}}
    assert outcome_of(unknown, {"a:x": "1", "a:y": "3"}) is NO
    assert outcome_of(unknown, {"a:x": "1", "a:y": "2"}) is OPEN


def test_variables_bring_text_and_never_wildcards() -> None:
    policy = identity(statement(Resource="arn:aws:s3:::bucket/${aws:PrincipalTag/team}/*"))
    assert evaluate(asked(arn="arn:aws:s3:::bucket/a/x", **{"aws:PrincipalTag/team": "a"}), [policy]).outcome is YES
    assert evaluate(asked(arn="arn:aws:s3:::bucket/b/x", **{"aws:PrincipalTag/team": "a"}), [policy]).outcome is NO
    assert evaluate(asked(arn="arn:aws:s3:::bucket/b/x", **{"aws:PrincipalTag/team": "*"}), [policy]).outcome is NO
    assert evaluate(asked(arn="arn:aws:s3:::bucket/b/x"), [policy]).outcome is OPEN
    default = identity(statement(Resource="arn:aws:s3:::bucket/${aws:PrincipalTag/team, 'b'}/*"))
    assert evaluate(asked(arn="arn:aws:s3:::bucket/b/x"), [default]).outcome is YES
    star = identity(statement(Resource="arn:aws:s3:::bucket/${*}"))
    assert evaluate(asked(arn="arn:aws:s3:::bucket/*"), [star]).outcome is YES
    assert evaluate(asked(arn="arn:aws:s3:::bucket/a"), [star]).outcome is NO
    old = identity(statement(Resource="arn:aws:s3:::bucket/${aws:username}"), version="2008-10-17")
    assert evaluate(asked(arn="arn:aws:s3:::bucket/me", **{"aws:username": "me"}), [old]).outcome is NO
    assert evaluate(asked(arn="arn:aws:s3:::bucket/${aws:username}"), [old]).outcome is YES


# Statements


@pytest.mark.parametrize(
    ("members", "action", "arn", "expected"),
    [
        ({"Action": "S3:getobject"}, "s3:GetObject", OBJECT, YES),
        ({"Action": "s3:Get*"}, "s3:GetObjectVersion", OBJECT, YES),
        ({"Action": "s3:*Object"}, "s3:GetObjectVersion", OBJECT, NO),
        ({"Action": "*"}, "ecr:BatchGetImage", OBJECT, YES),
        ({"Action": ["s3:Put?bject", "s3:List*"]}, "s3:PutObject", OBJECT, YES),
        ({"Resource": "arn:aws:s3:::BUCKET/*"}, "s3:GetObject", OBJECT, NO),
        ({"Resource": "arn:aws:s3:::bucket"}, "s3:GetObject", OBJECT, NO),
        ({"Resource": "arn:aws:s3:::bucket*"}, "s3:GetObject", OBJECT, YES),
        ({"Resource": "arn:*:s3:::bucket/*"}, "s3:GetObject", OBJECT, YES),
        ({"Resource": "bucket/*"}, "s3:GetObject", OBJECT, OPEN),
        ({"Resource": "*"}, "s3:GetObject", "*", YES),
        ({"Resource": ["arn:aws:s3:::other/*", OBJECT]}, "s3:GetObject", OBJECT, YES),
    ],
)
def test_actions_and_resources(members: dict[str, Any], action: str, arn: str, expected: Outcome) -> None:
    assert evaluate(asked(action=action, arn=arn), [identity(statement(**members))]).outcome is expected


def test_not_action_and_not_resource_mean_all_others() -> None:
    policy = identity(
        {"Effect": "Allow", "NotAction": "s3:Get*", "NotResource": "arn:aws:s3:::bucket/private/*"},
    )
    assert evaluate(asked(action="s3:PutObject"), [policy]).outcome is YES
    assert evaluate(asked(action="s3:GetObject"), [policy]).outcome is NO
    assert evaluate(asked(action="s3:PutObject", arn="arn:aws:s3:::bucket/private/x"), [policy]).outcome is NO


# Evaluation logic


def test_nothing_is_allowed_without_a_statement_and_a_denial_wins_over_all() -> None:
    deny = statement(Effect="Deny", Sid="Never")
    assert evaluate(asked()).outcome is NO
    decision = evaluate(asked(), [identity(statement(), deny)])
    assert (decision.outcome, decision.explicit, decision.statements) == (NO, True, ("'Never'",))
    allowed = evaluate(asked(), [identity(statement(Sid="Read"))])
    assert (allowed.outcome, allowed.explicit, allowed.statements) == (YES, False, ("'Read'",))


def test_an_unknown_denial_is_never_an_allow_and_an_unknown_allow_never_a_denial() -> None:
    odd = {"StringMatches": {"a:x": "1"}}
    denial = evaluate(asked(), [identity(statement(), statement(Effect="Deny", Sid="Odd", Condition=odd))])
    assert denial.outcome is OPEN
    assert denial.doubts == ("'Odd': the operator 'StringMatches' is not known",)
    assert evaluate(asked(), [identity(statement(Condition=odd))]).outcome is OPEN
    assert evaluate(asked(), [identity(statement(Effect="Deny", Condition=odd))]).outcome is NO


@pytest.mark.parametrize("principal", [ROLE, {"AWS": ROLE}, "*", {"AWS": "*"}])
def test_within_the_account_the_resource_s_own_allow_is_enough(principal: Any) -> None:
    named = principal if principal != ROLE else {"AWS": [ROLE]}
    assert evaluate(asked(), (), resource(statement(Principal=named))).outcome is YES


def test_an_account_as_principal_leaves_the_decision_to_the_account() -> None:
    for account in (HOME, f"arn:aws:iam::{HOME}:root"):
        policy = resource(statement(Principal={"AWS": account}))
        assert evaluate(asked(), (), policy).outcome is NO
        assert evaluate(asked(), [identity(statement())], policy).outcome is YES
        assert evaluate(asked(f"arn:aws:iam::{HOME}:root"), (), policy).outcome is YES


def test_between_accounts_both_sides_must_allow() -> None:
    mine, theirs = identity(statement()), resource(statement(Principal={"AWS": FOREIGN}))
    assert evaluate(asked(FOREIGN), [mine], theirs).outcome is YES
    assert evaluate(asked(FOREIGN), (), theirs).outcome is NO
    assert evaluate(asked(FOREIGN), [mine]).outcome is NO
    assert evaluate(asked(FOREIGN), [mine], resource(statement(Principal={"AWS": ABROAD}))).outcome is YES
    assert evaluate(asked(FOREIGN), [mine], resource(statement(Principal={"AWS": HOME}))).outcome is NO


def test_a_session_is_its_role_and_only_itself() -> None:
    assert evaluate(asked(SESSION), (), resource(statement(Principal={"AWS": ROLE}))).outcome is YES
    assert evaluate(asked(SESSION), (), resource(statement(Principal={"AWS": SESSION}))).outcome is YES
    assert evaluate(asked(SESSION), (), resource(statement(Principal={"AWS": f"{SESSION}2"}))).outcome is NO
    assert evaluate(asked(ROLE), (), resource(statement(Principal={"AWS": SESSION}))).outcome is NO
    condition = {"ArnEquals": {"aws:PrincipalArn": f"arn:aws:iam::{HOME}:role/reader"}}
    assert evaluate(asked(SESSION), [identity(statement(Condition=condition))]).outcome is YES


def test_nobody_and_services_are_allowed_by_resources_only() -> None:
    everyone, service = Principal.anonymous(), Principal.service("sagemaker.amazonaws.com")
    assert evaluate(asked(everyone), (), resource(statement(Principal="*"))).outcome is YES
    assert evaluate(asked(everyone), (), resource(statement(Principal={"AWS": HOME}))).outcome is NO
    assert evaluate(asked(everyone), [identity(statement())]).outcome is NO
    named = resource(statement(Principal={"Service": "sagemaker.amazonaws.com"}))
    assert evaluate(asked(service), (), named).outcome is YES
    assert evaluate(asked(Principal.service("ec2.amazonaws.com")), (), named).outcome is NO
    assert evaluate(asked(ROLE), (), named).outcome is NO


def test_principals_that_nobody_can_tell_leave_it_open() -> None:
    assert evaluate(asked(), (), resource(statement(Principal={"CanonicalUser": "79a59d"}))).outcome is OPEN
    assert evaluate(asked(), (), resource(statement(Principal={"AWS": f"{ROLE[:-4]}*"}))).outcome is OPEN
    assert evaluate(asked(), (), resource(statement(Principal={"AWS": "arn:aws:iam::*:role/x"}))).outcome is OPEN
    assert evaluate(asked(), (), resource(statement(Principal={"AWS": "AROAEXAMPLEEXAMPLE12"}))).outcome is NO


def test_not_principal_spares_whom_it_names_with_the_account() -> None:
    allowing = [identity(statement())]

    def denied_but(*names: str) -> PolicyDocument:
        return resource(statement(Effect="Deny", NotPrincipal={"AWS": list(names)}))

    assert evaluate(asked(), allowing, denied_but(ROLE, HOME)).outcome is YES
    assert evaluate(asked(USER), allowing, denied_but(ROLE, HOME)).outcome is not YES
    assert evaluate(asked(), allowing, denied_but(ROLE)).outcome is OPEN
    assert evaluate(asked(), allowing, denied_but(FOREIGN, ABROAD)).outcome is NO
    assert evaluate(asked(), (), resource(statement(NotPrincipal={"AWS": [FOREIGN, ABROAD]}))).outcome is OPEN


def test_keys_and_trust_decide_for_themselves() -> None:
    key = f"arn:aws:kms:eu-central-1:{HOME}:key/1"
    mine = [identity(statement(Action="kms:*", Resource="*"))]
    direct = resource(statement(Action="kms:Decrypt", Resource="*", Principal={"AWS": ROLE}))
    account = resource(statement(Action="kms:Decrypt", Resource="*", Principal={"AWS": HOME}))
    request = asked(action="kms:Decrypt", arn=key)
    assert evaluate(request, mine).outcome is NO
    assert evaluate(request, mine, resource(statement(Action="kms:Encrypt", Resource="*", Principal="*"))).outcome is NO
    assert evaluate(request, (), direct).outcome is YES
    assert evaluate(request, (), account).outcome is NO
    assert evaluate(request, mine, account).outcome is YES
    trust = PolicyDocument.parse(
        json.dumps({"Statement": {"Effect": "Allow", "Principal": {"AWS": USER}, "Action": "sts:AssumeRole"}}),
        kind=PolicyKind.TRUST,
    )
    assert evaluate(asked(USER, "sts:AssumeRole", ROLE), (), trust).outcome is YES
    assert evaluate(asked(ROLE, "sts:AssumeRole", ROLE), mine, trust).outcome is NO


def test_a_boundary_and_an_endpoint_only_narrow() -> None:
    mine = [identity(statement(Action="s3:*"))]
    reading = identity(statement(Action="s3:Get*"))
    assert evaluate(asked(), mine, boundary=reading).outcome is YES
    assert evaluate(asked(action="s3:PutObject"), mine, boundary=reading).outcome is NO
    assert evaluate(asked(), (), boundary=reading).outcome is NO
    writing = resource(statement(Action="s3:*", Principal={"AWS": [ROLE, SESSION, USER]}))
    assert evaluate(asked(ROLE, "s3:PutObject"), (), writing, boundary=reading).outcome is NO
    assert evaluate(asked(SESSION, "s3:PutObject"), (), writing, boundary=reading).outcome is YES
    assert evaluate(asked(USER, "s3:PutObject"), (), writing, boundary=reading).outcome is YES
    through = resource(statement(Principal="*", Resource="arn:aws:s3:::other/*"))
    assert evaluate(asked(), mine, endpoint_policy=through).outcome is NO
    assert evaluate(asked(arn="arn:aws:s3:::other/x"), (), endpoint_policy=through).outcome is NO


def test_a_request_known_in_part_is_decided_only_where_every_rest_agrees() -> None:
    tls = {"Bool": {"aws:SecureTransport": "true"}}
    known = Request(Principal.of(ROLE), "s3:GetObject", OBJECT, HOME, {}, complete=False)
    assert evaluate(known, [identity(statement(Condition=tls))]).outcome is OPEN
    assert evaluate(known, [identity(statement())]).outcome is YES
    assert evaluate(known, [identity(statement(Condition=tls, Action="s3:PutObject"))]).outcome is NO
    everything = Request(Principal.of(ROLE), "s3:GetObject", "arn:aws:s3:::bucket/models/", HOME, under=True)
    assert evaluate(everything, [identity(statement())]).outcome is YES
    assert evaluate(everything, [identity(statement(Resource="arn:aws:s3:::bucket/models/*.json"))]).outcome is OPEN
    assert evaluate(everything, [identity(statement(Resource="arn:aws:s3:::bucket/other/*"))]).outcome is NO


@pytest.mark.parametrize(
    "arn", ["", "*", ROLE.replace("role/", "role"), "arn:aws:iam::1:role/x", "arn:aws:s3:::bucket"]
)
def test_who_asks_must_be_somebody(arn: str) -> None:
    with pytest.raises(ConfigError):
        Principal.of(arn)


# Explained


def bucket(*statements: dict[str, Any]) -> Any:
    return explain(resource(*statements), account=HOME, bucket="bucket", prefix="models/")


def deny(**members: Any) -> dict[str, Any]:
    both = ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"]
    return {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": both, **members}


def test_who_may_write_and_delete_is_told() -> None:
    writer, other = f"arn:aws:iam::{HOME}:role/writer", f"arn:aws:iam::{HOME}:role/other"
    access = bucket(
        statement(Principal={"AWS": [writer, other]}, Action=["s3:PutObject", "s3:DeleteObject"]),
        deny(Action="s3:PutObject", Condition={"ArnNotEquals": {"aws:PrincipalArn": writer}}),
    )
    assert (access.writers, access.deleters) == ((writer,), (other, writer))
    assert (access.write_denied, access.delete_denied) == (False, False)
    suffix = bucket(statement(Principal={"AWS": writer}, Action="s3:PutObject", Resource="arn:aws:s3:::bucket/*.txt"))
    assert suffix.writers == (writer,)
    elsewhere = bucket(statement(Principal={"AWS": writer}, Action="s3:*", Resource="arn:aws:s3:::bucket/other/*"))
    assert elsewhere.writers == ()


@pytest.mark.parametrize(
    ("condition", "public"),
    [
        ({}, True),
        ({"Bool": {"aws:SecureTransport": "true"}}, True),
        ({"StringLike": {"aws:UserAgent": "secret"}}, True),
        ({"StringEquals": {"aws:SourceVpce": "vpce-1"}}, False),
        ({"StringLike": {"aws:SourceVpce": "vpce-*"}}, True),
        ({"StringEqualsIfExists": {"aws:SourceVpce": "vpce-1"}}, True),
        ({"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}, True),
        ({"StringEquals": {"aws:PrincipalOrgID": "o-1"}}, False),
        ({"ForAllValues:StringEquals": {"aws:PrincipalOrgID": "o-1"}}, True),
        ({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, False),
        ({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}, True),
        ({"IpAddress": {"aws:SourceIp": ["0.0.0.0/1", "128.0.0.0/1"]}}, True),
    ],
)
def test_what_is_public_is_called_public(condition: dict[str, Any], public: bool) -> None:
    assert bucket(statement(Principal="*", Condition=condition)).public is public
    assert bucket(statement(Principal={"AWS": "*"}, Condition=condition)).public is public
    assert bucket(statement(Principal={"AWS": ROLE}, Condition=condition)).public is False


def test_a_certain_denial_keeps_an_open_bucket_from_being_public() -> None:
    mine = {"StringNotEquals": {"aws:PrincipalAccount": HOME}}
    access = bucket(statement(Principal="*", Action="s3:*"), deny(Condition=mine))
    assert (access.public, access.cross_account, access.readers) == (False, (), ("*",))


def test_other_accounts_are_told_apart() -> None:
    service = "logging.s3.amazonaws.com"
    access = bucket(
        statement(Principal={"AWS": [ROLE, FOREIGN, "999988887777"], "Service": service}, Action="s3:PutObject")
    )
    assert access.cross_account == ("999988887777", FOREIGN)
    assert access.writers == ("999988887777", ROLE, FOREIGN, service)


@pytest.mark.parametrize(
    ("members", "tls_only"),
    [
        ({}, True),
        ({"Resource": "arn:aws:s3:::bucket/*"}, False),
        ({"Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/models/a/*"]}, False),
        ({"Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/models/*"]}, True),
        ({"Action": "s3:GetObject"}, False),
        ({"Principal": {"AWS": ROLE}}, False),
        ({"Condition": {"Bool": {"aws:SecureTransport": "true"}}}, False),
        ({"Condition": {"BoolIfExists": {"aws:SecureTransport": "false"}}}, True),
        ({"Condition": {"Bool": {"aws:SecureTransport": "false"}, "StringEquals": {"aws:UserAgent": "x"}}}, False),
        (
            {"Condition": {"Bool": {"aws:SecureTransport": "false"}, "ArnNotEquals": {"aws:PrincipalArn": ROLE}}},
            False,
        ),
    ],
)
def test_tls_only_means_every_request(members: dict[str, Any], tls_only: bool) -> None:
    plain = {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    assert bucket(deny(**{**plain, **members})).tls_only is tls_only


def test_limits_of_signatures_and_networks_are_told_where_nobody_is_spared() -> None:
    old = {"NumericGreaterThan": {"s3:signatureAge": "600000"}}
    assert bucket(deny(Condition=old)).presigned_seconds == 600
    assert bucket(deny(Condition=old, Principal={"AWS": ROLE})).presigned_seconds is None
    assert bucket(deny(Condition={"StringEquals": {"s3:authType": "REST-QUERY-STRING"}})).presigned_seconds == 0
    assert bucket(deny(Condition={"StringNotEquals": {"s3:authType": "REST-HEADER"}})).presigned_seconds == 0
    network = {"StringNotEquals": {"aws:SourceVpce": ["vpce-1", "vpce-2"]}}
    assert bucket(deny(Condition=network)).endpoints == ("vpce-1", "vpce-2")
    assert bucket(deny(Condition={"StringNotEquals": {"aws:SourceVpc": "vpc-1"}})).endpoints == ("vpc-1",)
    spared = {**network, "ArnNotLike": {"aws:PrincipalArn": f"arn:aws:iam::{HOME}:role/ci-*"}}
    assert bucket(deny(Condition=spared)).endpoints == ()


def test_whom_a_denial_spares_is_told_patterns_too() -> None:
    pattern = f"arn:aws:iam::{HOME}:role/ci-*"
    access = bucket(deny(Action="s3:Put*", Condition={"ArnNotLike": {"aws:PrincipalArn": [pattern, ROLE]}}))
    assert access.write_denied is False
    every = deny(Condition={"ArnNotLike": {"aws:PrincipalArn": [pattern, ROLE]}})
    assert bucket(every).write_exempt == tuple(sorted((pattern, ROLE)))
    by_id = deny(Condition={"StringNotLike": {"aws:userId": "AROAEXAMPLE:*"}})
    assert bucket(by_id).write_denied is False


def test_what_is_not_understood_is_listed() -> None:
    access = bucket(
        statement(Principal="*", Sid="Odd", Condition={"StringMatches": {"a:x": "1"}}),
        statement(Principal={"CanonicalUser": "79a59d"}, Sid="Old"),
        statement(Effect="Deny", Action="s3:PutObject", Sid="But", NotPrincipal={"AWS": ROLE}),
    )
    assert len(access.unproved) == 3
    assert access.unproved[0] == "'Odd': the operator 'StringMatches' is not known"
    assert access.public is True
    assert access.to_json()["statements"] == 3


@settings(max_examples=100, deadline=None)
@given(st.text(string.ascii_letters + "*?${}:/", max_size=40), st.text(string.printable, max_size=40))
def test_hostile_texts_are_explained_without_failing(text: str, value: str) -> None:
    policy = statement(
        Principal={"AWS": text or "*"}, Resource=value or "*", Condition={"StringLike": {text or "a": value}}
    )
    bucket(
        policy,
        deny(
            Condition={"ArnNotLike": {"aws:PrincipalArn": text or "*"}, "NumericLessThan": {"s3:signatureAge": value}}
        ),
    )


def test_a_policy_that_would_take_long_to_explain_is_refused_at_once() -> None:
    roles = [f"arn:aws:iam::{HOME}:role/{number}" for number in range(300)]
    with pytest.raises(FormatError):
        bucket(*(statement(Action="*", Resource="*", Principal={"AWS": one}) for one in roles))
    assert len(bucket(*(statement(Principal={"AWS": one}) for one in roles[:60])).readers) == 60
