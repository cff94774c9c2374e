"""Judges what a revision is: its coverage, kinds of artifacts, code, sizes and licence.

Also the noun of all judging, `Ground`: one objection, or one thing that was taken and is worth saying.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from weighbridge.admit.facts import Facts
from weighbridge.admit.policy import LicenceTerms, Policy
from weighbridge.core.decision import Outcome, Reason
from weighbridge.core.finding import Finding, Report, Verdict

UNKNOWN_CALLABLE: Final = "pickle-unknown-callable"
_NAMED_CALLABLE = re.compile(
    r"names ([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+), which nobody has judged(?: \(\d+ times\))?", re.ASCII
)
MANY_FINDINGS: Final = 1_000
"""So many findings of one report are all that inspectors list; there may be more."""


@dataclass(frozen=True, slots=True)
class Ground:
    """One rule of policy that has something to say. `key` is the policy's key that decides.

    Grounds that `gather` are told together, with the paths of all; `detail` is what the first of them says, `note` what the
    policy says of it. The rest is as in `core.decision.Reason`.
    """

    rule: str
    outcome: Outcome
    message: str
    change: str
    key: str
    path: str = ""
    findings: tuple[str, ...] = ()
    exception: str = ""
    timed: bool = False
    gathers: bool = False
    detail: str = ""
    note: str = ""

    @property
    def reason(self) -> Reason:
        """What the decision says of it."""
        return Reason(
            self.rule,
            self.outcome,
            self.message,
            self.change,
            self.path,
            self.findings,
            self.exception,
            self.timed,
        )


def excusing(rule: str, path: str = "") -> str:
    """How an exception for a rule is asked for."""
    return f"an exception for '{rule}'{f' and the path {path!a}' if path else ''}, with a reason, a person and a date"


def term_grounds(policy: Policy, facts: Facts) -> Iterator[Ground]:
    """What the policy says of coverage, formats, sizes and licence."""
    yield from _coverage(policy, facts)
    yield from _formats(policy, facts)
    yield from _sizes(policy, facts)
    yield from _licences(policy, facts)


# --- coverage -----------------------------------------------------------------------------------


def _coverage(policy: Policy, facts: Facts) -> Iterator[Ground]:
    terms, looked_at = policy.coverage, set()
    for report in facts.inspection.reports:
        looked_at.add(report.path)
        yield from _answer(policy, report)
    for path in facts.sizes:
        if path not in looked_at:
            yield Ground(
                "not-inspected",
                terms.unknown,
                "no inspector looked at it",
                f"inspect again (weighbridge rescan {facts.model_name}), or {excusing('not-inspected', path)}",
                "coverage.unknown",
                path,
                gathers=True,
            )
    switched_off = facts.inspection.rules_version.split("-")[1:]
    for place, name in enumerate(terms.require):
        if name in switched_off:
            message = f"{name} was not looked for, and the policy requires it"
            change = f"inspect again with it switched on (weighbridge rescan {facts.model_name})"
            yield Ground("inspection-incomplete", terms.unknown, message, change, f"coverage.require[{place}]")


def _answer(policy: Policy, report: Report) -> Iterator[Ground]:
    """What one inspector left open of one artifact."""
    of = f"'{report.path}'" if report.path else "the whole"
    if report.settled_verdict is Verdict.BAD and not any(found.severity.is_grave for found in report.findings):
        message = f"{report.inspector} says bad of {of} and lists no grave finding"
        yield Ground("verdict-bad", Outcome.DENY, message, "inspect again", "findings.deny", report.path)
    if len(report.findings) >= MANY_FINDINGS:
        message = f"{report.inspector} found more in {of} than it lists"
        change = f"leave the file out, or {excusing('findings-cut', report.path)}"
        yield Ground("findings-cut", policy.coverage.unknown, message, change, "coverage.unknown", report.path)
    if report.settled_verdict is Verdict.UNKNOWN and not _settled_by_callables(policy, report):
        yield _unknown(policy, report)


def _settled_by_callables(policy: Policy, report: Report) -> bool:
    """Whether all that keeps `pickles` from an answer is callables that the policy allows."""
    names = [allowed_callable(finding) for finding in report.findings]
    told = report.inspector == "pickles" and report.coverage.complete and len(names) < MANY_FINDINGS
    return told and bool(names) and all(name in policy.callables for name in names)


def allowed_callable(finding: Finding) -> str:
    """The callable that a finding says nobody has judged, as a dotted name; "" where it is of another kind or shape."""
    found = _NAMED_CALLABLE.fullmatch(finding.message) if finding.rule == UNKNOWN_CALLABLE else None
    return found[1] if found else ""


def _unknown(policy: Policy, report: Report) -> Ground:
    coverage, terms = report.coverage, policy.coverage
    understood = 100 * coverage.inspected_bytes // coverage.present_bytes if coverage.present_bytes else 100
    shown = f", {understood} % of its bytes were understood" if not coverage.complete else ""
    outcome, key = terms.unknown, "coverage.unknown"
    if not coverage.complete and understood < terms.minimum_percent:
        outcome, key = Outcome.DENY, "coverage.minimum_percent"
    change = f"leave the file out, inspect it again by newer rules, or {excusing('verdict-unknown', report.path)}"
    if not report.path:
        change = "inspect again with what is missing installed (see weighbridge doctor), or without it (--without)"
    detail = f"{report.inspector}{shown}"
    message = "an inspector could not answer"
    return Ground("verdict-unknown", outcome, message, change, key, report.path, gathers=True, detail=detail)


# --- formats and sizes --------------------------------------------------------------------------


def _formats(policy: Policy, facts: Facts) -> Iterator[Ground]:
    terms = policy.formats
    for path, kind in facts.kinds.items():
        outcome = terms.outcome(kind)
        if outcome is not Outcome.ADMIT:
            key = "formats.deny" if terms.refuses(kind) else "formats.allow"
            listing = f"take '{kind}' out of formats.deny" if terms.refuses(kind) else f"name '{kind}' in formats.allow"
            change = f"leave it out (--exclude), {_remedy(kind)}or {listing}"
            message = f"{kind} is no kind that the policy takes"
            yield Ground("format", outcome, message, change, key, path, gathers=True)


def _remedy(kind: str) -> str:
    if kind in ("pickle", "zip", "tar"):
        return "remediate with --to-safetensors, "
    return "remediate with --strip-remote-code, " if kind == "python" else ""


def _sizes(policy: Policy, facts: Facts) -> Iterator[Ground]:
    terms = policy.sizes
    if terms.total_bytes and facts.total_bytes > terms.total_bytes:
        message = f"all artifacts are {facts.total_bytes} bytes, more than {terms.total_bytes}"
        change = "ingest fewer files (--include, --exclude), or raise sizes.total_bytes"
        yield Ground("size", Outcome.DENY, message, change, "sizes.total_bytes")
    for path, size in facts.sizes.items():
        if terms.artifact_bytes and size > terms.artifact_bytes:
            message, change = (
                f"more than {terms.artifact_bytes} bytes",
                "leave it out (--exclude), or raise sizes.artifact_bytes",
            )
            detail = f"{size} bytes"
            yield Ground(
                "size", Outcome.DENY, message, change, "sizes.artifact_bytes", path, gathers=True, detail=detail
            )


# --- licence ------------------------------------------------------------------------------------


def _licences(policy: Policy, facts: Facts) -> Iterator[Ground]:
    terms, licence = policy.licences, facts.licence
    if not licence.ids:
        on_hub = facts.upstream.kind == "hub"
        outcome, key = (
            (terms.missing, "licences.missing") if on_hub else (terms.missing_elsewhere, "licences.missing_elsewhere")
        )
        if licence.problem and (terms.allow or terms.deny) and outcome is Outcome.ADMIT:
            # A card that nobody can read must not be the way around a list.
            outcome = Outcome.HOLD
        message = f"the licence is not known: {licence.problem or 'the model card names none'}"
        if outcome is not Outcome.ADMIT:
            change = f"ask the publisher to name one in the model card, or {excusing('licence-missing')}"
            yield Ground("licence-missing", outcome, message, change, key)
    for one in licence.ids:
        yield from _licence(terms, one, licence.name)
    yield from _texts(terms, facts)


def _licence(terms: LicenceTerms, licence: str, name: str) -> Iterator[Ground]:
    known_name = licence == "other" and name in terms.names
    if licence in terms.deny or (licence == "other" and name in terms.deny):
        message = f"the licence '{_shown(licence, name)}' is refused"
        change = f"use another model, or {excusing('licence-denied')}"
        yield Ground("licence-denied", Outcome.DENY, message, change, "licences.deny")
    elif terms.allow and not known_name and licence not in terms.allow and terms.unlisted is not Outcome.ADMIT:
        where = (
            f"'{name[:100]}' in licences.names"
            if licence == "other" and name
            else f"'{licence[:100]}' in licences.allow"
        )
        message = f"the licence '{_shown(licence, name)}' is not one that the policy names"
        change = f"read it, then name {where}, or {excusing('licence-unlisted')}"
        yield Ground("licence-unlisted", terms.unlisted, message, change, "licences.allow")


def _shown(licence: str, name: str) -> str:
    return f"{licence}: {name}"[:200] if licence == "other" and name else licence[:200]


def _texts(terms: LicenceTerms, facts: Facts) -> Iterator[Ground]:
    known = {text.sha256 for text in terms.texts}
    for file in facts.licence.files if known and terms.unlisted_text is not Outcome.ADMIT else ():
        if file.digest not in known:
            read = f"its words have the digest {file.digest}" if file.digest else "it is too large to be read"
            message = f"the text of '{file.path}' is not one that the policy names; {read}"
            change = f"read it, then list the digest in [[licences.text]], or {excusing('licence-text', file.path)}"
            yield Ground("licence-text", terms.unlisted_text, message, change, "licences.unlisted_text", file.path)
