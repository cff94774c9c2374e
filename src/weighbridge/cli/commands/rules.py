"""`weighbridge rules`: every rule, and what one of them means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.canonical import JsonValue

if TYPE_CHECKING:
    from weighbridge.inspectors.rule import Rule


@click.command("rules", epilog="\b\nExamples:\n  weighbridge rules\n  weighbridge rules pickle-dangerous-callable")
@click.argument("rule", required=False, default="")
@common
def rules_command(_home: Home, output: Output, /, *, rule: str) -> int:
    """List every rule, or explain one: what it means and what to do."""
    if rule:
        return explain(output, rule)
    from weighbridge.inspectors.all_rules import RULES

    if output.as_json:
        output.document([_record(one) for one in RULES.values()])
    else:
        output.table(
            ("rule", "severity", "inspector", "what"),
            [(one.id, one.severity.label, one.inspector, one.title) for one in RULES.values()],
            spare=("inspector",),
        )
    return 0


def explain(output: Output, rule: str, rules: Mapping[str, Rule] | None = None) -> int:
    """Says what one rule means and what to do; 0. `rules` are those of the inspectors if not given.

    Raises:
        click.UsageError: there is no such rule.
    """
    import difflib

    listed = "`weighbridge rules` lists them" if rules is None else f"there are {', '.join(sorted(rules))}"
    if rules is None:
        from weighbridge.inspectors.all_rules import RULES as INSPECTORS_RULES

        rules = INSPECTORS_RULES
    if rule not in rules:
        close = difflib.get_close_matches(rule, rules, n=1)
        hint = f"did you mean '{close[0]}'?" if close else listed
        raise click.UsageError(f"there is no rule '{rule}'; {hint}")
    if output.as_json:
        output.document([_record(rules[rule])])
        return 0
    one = rules[rule]
    output.line(f"{one.id} ({one.severity.label}, {one.inspector}): {one.title}")
    output.line(f"  {one.explanation}")
    output.line(f"  {one.remedy}")
    if one.example:
        output.line("")
        for line in one.example.splitlines():
            output.line(f"    {line}")
    return 0


def _record(one: Rule) -> dict[str, JsonValue]:
    return {
        "id": one.id,
        "title": one.title,
        "severity": one.severity.label,
        "inspector": one.inspector,
        "explanation": one.explanation,
        "remedy": one.remedy,
        "example": one.example,
    }
