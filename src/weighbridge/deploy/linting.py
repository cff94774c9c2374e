"""What lint says of a plan's own files, beside what rendering found of them."""

from __future__ import annotations

from weighbridge.core.finding import Finding
from weighbridge.deploy.lint import Approved, lint_files
from weighbridge.deploy.plan import Plan

TRUST_FILE = "trust.json"
"""What nodes trust: no kind of deployment, and nothing to lint."""


def lint_plan(plan: Plan) -> tuple[Finding, ...]:
    """The plan's findings and lint's, worst first; a rule that rendering applied to a file is not told twice."""
    files = {file.name: file.text.encode("utf-8") for file in plan.files if file.name != TRUST_FILE}
    found = lint_files(files, Approved.of([plan.deployable]))
    told = {(one.path, one.rule) for one in plan.findings}
    more = (one for one in found if (one.path, one.rule) not in told)
    return tuple(sorted((*plan.findings, *more), key=lambda one: (-one.severity, one.sort_key())))
