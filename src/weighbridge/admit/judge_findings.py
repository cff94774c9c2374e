"""Judges what was found: by rule where the policy names one, as remote code, as a callable, else by severity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from weighbridge.admit.facts import Facts
from weighbridge.admit.judge_terms import Ground, allowed_callable, excusing
from weighbridge.admit.policy import REMOTE_CODE_RULES, FindingRule, Policy
from weighbridge.core.decision import Outcome
from weighbridge.core.finding import Finding

_NOT_READ: Final = frozenset(("python-not-understood", "python-limit", "python-torchscript-unknown"))
_PYTHON: Final = "python"


def finding_grounds(policy: Policy, facts: Facts) -> Iterator[Ground]:
    """What the policy says of every finding, and of code that comes with the model."""
    overrides = {rule: policy.findings.rule_for(rule) for rule in {one.rule for one in facts.inspection.findings}}
    remote: dict[str, list[Finding]] = {path: [] for path, kind in facts.kinds.items() if kind == _PYTHON}
    for finding in facts.inspection.findings:
        if is_remote_code(facts, finding, overrides[finding.rule] is not None):
            remote.setdefault(finding.path, []).append(finding)
        else:
            yield _finding(policy, finding, overrides[finding.rule])
    for path, findings in sorted(remote.items()):
        yield _remote_code(policy, facts, path, findings)


def is_remote_code(facts: Facts, finding: Finding, overridden: bool) -> bool:
    """Whether `[remote_code]` judges a finding: what is less than high, says that code comes along, or lies in such code.

    What the policy judges by rule id, and code that could not be read, stays with the findings.
    """
    if finding.severity.is_grave:
        return False
    if finding.rule in REMOTE_CODE_RULES:
        return True
    in_code = finding.rule.startswith("python-") and facts.kinds.get(finding.path) == _PYTHON
    return in_code and finding.rule not in _NOT_READ and not overridden


def _finding(policy: Policy, finding: Finding, override: tuple[int, FindingRule] | None) -> Ground:
    outcome, key, note = _by_policy(policy, finding, override)
    return Ground(
        "finding",
        outcome,
        f"{finding.severity.label} finding {finding.rule}",
        "" if outcome is Outcome.ADMIT else _change(finding),
        key,
        finding.path,
        (finding.rule,),
        gathers=True,
        detail=finding.message[:300],
        note=note,
    )


def _by_policy(policy: Policy, finding: Finding, override: tuple[int, FindingRule] | None) -> tuple[Outcome, str, str]:
    """What a finding comes to, the key that says so, and the reason that the policy gives."""
    name = allowed_callable(finding)
    if name in policy.callables and name:
        return Outcome.ADMIT, f"callables.allow[{policy.callables.index(name)}]", f"the policy allows {name}"
    if override is not None:
        place, rule = override
        return rule.outcome, f"findings.rule[{place}]", rule.reason
    outcome = policy.findings.outcome(finding.severity)
    return outcome, "findings.deny" if outcome is Outcome.DENY else "findings.hold", ""


def _change(finding: Finding) -> str:
    steps = []
    if finding.rule.startswith("pickle-"):
        steps.append("remediate with --to-safetensors")
    elif finding.rule.startswith("secret-"):
        steps.append("remediate with --drop-secrets")
    elif finding.remedy:
        steps.append(finding.remedy.rstrip(".")[:300])
    name = allowed_callable(finding)
    if name:
        steps.append(f"name '{name}' in callables.allow")
    return "; ".join([*steps, f"or {excusing(finding.rule)}"])


def _remote_code(policy: Policy, facts: Facts, path: str, findings: list[Finding]) -> Ground:
    """One file that is, or names, code of the model's own."""
    terms, revision = policy.remote_code, facts.revision
    rules = tuple(sorted({finding.rule for finding in findings}))
    says = "code comes with the model"
    named = [
        (place, one)
        for place, one in enumerate(terms.revisions)
        if one.model == str(facts.model_name) and one.revision in facts.revisions_of(path)
    ]
    if named:
        place, one = named[0]
        whose = "this revision" if one.revision == revision else f"{one.revision[:12]}, which has the same file,"
        key, note = f"remote_code.revision[{place}]", f"{whose} is named: {one.reason}"
        return Ground("remote-code", Outcome.ADMIT, says, "", key, path, rules, gathers=True, note=note)
    strip = f"strip it: weighbridge remediate {facts.model_name}@{revision[:12]} --strip-remote-code"
    name_it = "read the code and name this revision in [[remote_code.revision]]"
    outcomes = {
        "deny": (Outcome.DENY, f"{strip}; or {name_it}"),
        "strip": (Outcome.HOLD, f"{strip}; or {name_it}"),
        "hold": (Outcome.HOLD, f"{name_it}; or {strip}"),
        "allow": (Outcome.ADMIT, ""),
    }
    outcome, change = outcomes[terms.mode]
    return Ground("remote-code", outcome, says, change, "remote_code.mode", path, rules, gathers=True)
