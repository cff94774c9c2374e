"""`weighbridge policy`: is a policy valid, what does it mean, does it keep its promises, and why does it say so?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import ConfigError, NothingCollected

if TYPE_CHECKING:
    from weighbridge.admit.policy_file import PolicyFile
    from weighbridge.admit.policy_tests import Tested


@click.group("policy")
def policy_command() -> None:
    """Check, test and explain the policy that revisions are judged by."""


@policy_command.command(
    "check", epilog="\b\nExamples:\n  weighbridge policy check\n  weighbridge policy check policy.toml --json"
)
@click.argument("file", required=False, default="")
@common
def check_command(home: Home, output: Output, /, *, file: str) -> int:
    """Say whether a policy is valid and what it means. FILE is the policy of the settings where none is given."""
    from datetime import UTC, datetime

    from weighbridge.admit.policy_words import meaning, warnings
    from weighbridge.cli.commands.decide import open_policy
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        found = open_policy(yard, file)
    doubts = list(warnings(found.policy, datetime.now(UTC).date()))
    if output.as_json:
        record: dict[str, JsonValue] = {"policy": found.policy.to_json(), "digest": found.policy.digest}
        output.document({**record, "file": found.name, "meaning": list(meaning(found.policy)), "warnings": doubts})
        return 0
    output.line(f"{found.name}: valid")
    for sentence in meaning(found.policy):
        output.line(f"  {sentence}")
    for doubt in doubts:
        output.line(f"  warning: {doubt}")
    output.say(f"  digest {found.policy.digest}")
    return 0


@policy_command.command(
    "test",
    epilog="\b\nExamples:\n  weighbridge policy test policy.toml            runs policy.tests.toml\n"
    "  weighbridge policy test policy.toml --tests more.toml",
)
@click.argument("file", required=False, default="")
@click.option("--tests", default="", metavar="FILE", help="The tests (default: policy.tests.toml for policy.toml).")
@common
def test_command(home: Home, output: Output, /, *, file: str, tests: str) -> int:
    """Run a policy's own tests. Exits 1 when one of them fails."""
    from weighbridge.admit.policy_tests import run_tests
    from weighbridge.cli.commands.decide import open_policy
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        found = open_policy(yard, file)
        named = file or yard.config.policy.file
    if not tests and not named:
        raise NothingCollected(f"the {found.name} has no tests of its own", hint="Name some with --tests FILE.")
    place = tests or str(Path(named).expanduser().with_suffix(".tests.toml"))
    ran = run_tests(found.policy, _bytes(place), name=place)
    failed = [one for one in ran if one.problems]
    if output.as_json:
        output.document({"tests": [_tested(one) for one in ran], "failed": len(failed)})
    else:
        output.table(
            ("test", "expected", "got", "result"),
            [
                (one.name, one.expected, one.decision.outcome.value, "; ".join(one.problems) if one.problems else "ok")
                for one in ran
            ],
        )
        output.say(f"  {len(ran) - len(failed)} of {len(ran)} tests passed")
    return 1 if failed else 0


def _bytes(place: str) -> bytes:
    from weighbridge.admit.policy_file import MAX_BYTES

    try:
        with Path(place).open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise NothingCollected(f"there are no tests: '{place}' is not there", hint="Name them with --tests.") from error
    except OSError as error:
        raise ConfigError(f"the tests '{place}' cannot be read: {error.strerror}") from error


def _tested(one: Tested) -> dict[str, JsonValue]:
    return {
        "name": one.name,
        "passed": not one.problems,
        "problems": list(one.problems),
        "outcome": one.decision.outcome.value,
        "rules": list(one.decision.rules),
        "approvals": one.decision.approvals,
    }


@policy_command.command(
    "explain",
    epilog="\b\nExamples:\n  weighbridge policy explain org/name@1a2b        why it is decided so, and by which lines\n"
    "  weighbridge policy explain config-remote-code    what becomes of such findings\n"
    "  weighbridge policy explain cooldown              what a rule of policy means",
)
@click.argument("what", metavar="MODEL[@REV]|RULE")
@click.option("--policy", "policy_name", default="", metavar="FILE", help="A policy file (default: policy.file).")
@common
def explain_command(home: Home, output: Output, /, *, what: str, policy_name: str) -> int:
    """Say why a revision is decided as it is, or what the policy makes of a rule, and which line says so."""
    from weighbridge.cli.commands.decide import open_policy
    from weighbridge.cli.yard import OpenYard

    if "/" in what:
        return _explain_revision(home, output, what, policy_name)
    with OpenYard(home, output) as yard:
        found = open_policy(yard, policy_name)
    lines = list(_rule(found, what))
    if output.as_json:
        output.document({"rule": what, "policy": found.name, "explanation": lines})
    else:
        for line in lines:
            output.line(line)
    return 0


def _explain_revision(home: Home, output: Output, reference: str, policy_name: str) -> int:
    from weighbridge.admit.judge import reasons_and_keys
    from weighbridge.cli.commands.decide import approvals_words, judged_by
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        found, judged, _ = judged_by(yard, reference, policy_name)
    decision = judged.decision
    told = reasons_and_keys(found.policy, judged.facts, decision.decided_at)
    if output.as_json:
        reasons: list[JsonValue] = [{**one.to_json(), "policy_line": found.place(key)} for one, key in told]
        output.document({**decision.to_json(), "digest": decision.digest, "reasons": reasons})
    else:
        output.line(f"{decision.model_name}@{decision.revision}: {decision.outcome.value}, {approvals_words(decision)}")
        for one, key in told:
            output.line(f"  {one.outcome.value} {one.rule}: {one.message}")
            output.line(f"    said by {found.place(key)}")
            if one.change:
                output.line(f"    what would change it: {one.change}")
    return 0


def _rule(found: PolicyFile, rule: str) -> Iterator[str]:
    """What the policy makes of a rule, of its own or of the inspection."""
    from weighbridge.admit.policy import POLICY_RULES, REMOTE_CODE_RULES
    from weighbridge.admit.policy_file import severity_of_rules
    from weighbridge.admit.policy_spec import near

    policy = found.policy
    severities = {} if rule in POLICY_RULES else severity_of_rules()
    if rule in POLICY_RULES:
        key, title = POLICY_RULES[rule]
        yield f"{rule}: {title}."
        yield f"  decided by {found.place(key)}"
    elif rule not in severities:
        known = (*POLICY_RULES, *severities)
        raise click.UsageError(f"there is no rule '{rule}'{near(rule, known)}")
    elif rule in REMOTE_CODE_RULES:
        yield f"{rule} says that code comes with the model."
        yield f"  [remote_code] decides: {policy.remote_code.mode}; {found.place('remote_code.mode')}"
    else:
        severity, override = severities[rule], policy.findings.rule_for(rule)
        outcome = policy.findings.outcome(severity) if override is None else override[1].outcome
        key = (
            f"findings.{'deny' if outcome.value == 'deny' else 'hold'}"
            if override is None
            else f"findings.rule[{override[0]}]"
        )
        yield f"{rule} ({severity.label}): {outcome.value}"
        yield f"  said by {found.place(key)}"
    for place, one in enumerate(policy.exceptions):
        if rule in one.rules:
            yield f"  exception '{one.id}' until {one.expires}, by {one.person}: {one.reason}"
            yield f"    {found.place(f'exception[{place}]')}"


@policy_command.command(
    "adopt",
    epilog="\b\nExamples:\n  weighbridge policy adopt policy.toml\n  weighbridge policy adopt --person ada",
)
@click.argument("file", required=False, default="")
@click.option("--person", default=None, metavar="ADMIN", help="The admin who says so.")
@common
def adopt_command(home: Home, output: Output, /, *, file: str, person: str | None) -> int:
    """Make a policy (default: that of the settings) the only one by which anything is approved or promoted here.

    An admin's key signs, and the ledger keeps it. Whoever names another file, or edits this one, is refused.
    """
    from weighbridge.admit.adoption import adopt
    from weighbridge.cli.commands.decide import open_policy
    from weighbridge.cli.identity import acting
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output, {"identity.name": person}) as yard:
        policy = open_policy(yard, file).policy
        adopt(yard.ledger(writing=True), policy.name, policy.digest, admin=acting(yard))
        if output.as_json:
            output.document({"policy": policy.name, "policy_digest": policy.digest})
        else:
            output.line(f"{policy.name}\t{policy.digest}")
            output.say("from now on nothing is approved or promoted by another policy")
    return 0
