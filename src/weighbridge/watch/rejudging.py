"""What today's rules say of a stored revision that the rules of its day did not, and which advisories concern one.

An advisory is a published one (CVE, GHSA, PYSEC) that this version of weighbridge knows, in one of two places:

- a rule of the inspection names it as its reason. It concerns a stored revision when today's inspection finds that rule in it
  and the one before did not;
- the list of engines has it. It concerns a stored revision that was deployed from here, and not deleted since, with an image of
  such an engine whose tag tells a version with that weakness.

Nothing is asked of an advisory database: what was published later is known once weighbridge is updated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.finding import Finding
from weighbridge.core.shown import plain
from weighbridge.deploy.deployments import deployments
from weighbridge.deploy.engines import Advisory, advisories, engine_of_image, version_in_tag
from weighbridge.store.catalog import CataloguedRevision
from weighbridge.store.ledger import Ledger
from weighbridge.transfer.rescan import Rescanned
from weighbridge.watch.news import Judgement, Kind, News

MAX_TOLD: Final = 12
_IMAGE: Final = re.compile(r"""(?i)\bimage["']?\s{0,8}[:=]\s{0,8}["']?([a-z0-9][\w./:@-]{2,300})""")
_ADVISORY: Final = re.compile(r"\b(?:CVE-\d{4}-\d{4,7}|GHSA(?:-[0-9a-z]{4}){3}|PYSEC-\d{4}-\d+)\b")


@lru_cache(maxsize=1)
def advisories_by_rule() -> dict[str, tuple[str, ...]]:
    """The published advisories that each rule of the shipped set names."""
    from weighbridge.inspectors.all_rules import RULES

    found = {
        rule.id: tuple(dict.fromkeys(_ADVISORY.findall(f"{rule.title} {rule.explanation} {rule.remedy}")))
        for rule in RULES.values()
    }
    return {rule: names for rule, names in found.items() if names}


def rejudged(row: CataloguedRevision, found: Rescanned, now: str) -> Iterator[News]:
    """The news of an inspection that was made again; none where it says the same."""
    before, after = found.before, found.scanned.inspection
    rules: dict[str, JsonValue] = {"before": before.rules_version, "now": after.rules_version}
    if not found.new and not found.gone and before.verdict is after.verdict:
        return
    worst = max((one.severity for one in found.new), default=None)
    verdicts = (
        f"{before.verdict.value} -> {after.verdict.value}"
        if before.verdict is not after.verdict
        else after.verdict.value
    )
    yield News(
        Kind.REJUDGED,
        row.model_name,
        now,
        f"today's rules say of {row.model_name}@{row.revision[:12]}: {verdicts}; {len(found.new)} new, {len(found.gone)} gone",
        Judgement.NOTED,
        row.revision,
        risk=worst,
        reasons=tuple(map(_line, found.new[:MAX_TOLD])),
        details={
            "rules_version": rules,
            "verdict": {"before": before.verdict.value, "now": after.verdict.value},
            "new": [one.rule for one in found.new[:MAX_TOLD]],
            "gone": [one.rule for one in found.gone[:MAX_TOLD]],
        },
    )
    known = {one.rule for one in before.findings}
    named = [one for one in found.new if one.rule in advisories_by_rule() and one.rule not in known]
    for rule in dict.fromkeys(one.rule for one in named):
        finding = next(one for one in named if one.rule == rule)
        names = advisories_by_rule()[rule]
        yield News(
            Kind.ADVISORY,
            row.model_name,
            now,
            plain(f"{', '.join(names)} concerns {row.model_name}@{row.revision[:12]}: {finding.message}", 400),
            Judgement.NOTED,
            row.revision,
            risk=finding.severity,
            reasons=(_line(finding),),
            details={"advisories": list(names), "rule": rule, "path": plain(finding.path)},
        )


def of_engines(ledger: Ledger, now: str) -> Iterator[News]:
    """The advisories that concern what was deployed from here, each with what it runs on.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    for deployment in deployments(ledger).values():
        done = deployment.running
        if done is None:
            continue
        for image in sorted({found for file in done.files for found in _IMAGE.findall(file.text)})[:MAX_TOLD]:
            for engine, version, one in _known(image):
                words = (
                    f"{one.cve} concerns {engine} {version}, which {done.reference} was deployed with: {one.summary}"
                )
                yield News(
                    Kind.ADVISORY,
                    done.model_name,
                    now,
                    plain(words, 400),
                    Judgement.NOTED,
                    done.revision,
                    risk=one.severity,
                    reasons=(f"it is mended in {one.fixed_in}" if one.fixed_in else "no release is known to mend it",),
                    details={
                        "advisories": [one.cve],
                        "engine": engine,
                        "version": version,
                        "deployment": plain(done.name),
                        "target": done.target.value,
                        "fixed_in": one.fixed_in,
                    },
                )


def _known(image: str) -> Iterator[tuple[str, str, Advisory]]:
    """Engine, version and grave advisory of an image whose name and tag tell them."""
    named = engine_of_image(image)
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    version = version_in_tag(named.name, tag) if named is not None and tag else ""
    if named is not None and version:
        for one in advisories(named.name, version):
            if one.severity.is_grave:
                yield named.title, version, one


def _line(finding: Finding) -> str:
    return plain(f"{finding.severity.label} {finding.rule}: {finding.path}: {finding.message}", 240)
