"""What to make of a new revision upstream, while all of it is still there: the difference, the inspection, the policy.

Rules:

- nothing is downloaded: headers, changed small files and samples are read by ranges; what did not change keeps the reports of
  the stored revision's inspection, for its bytes are the same by digest;
- policy judges the revision by the same terms that will judge it once it is sealed; cooldown counts from its publication;
- a difference that a takeover would make holds, whatever policy says: code, template, tokenizer, weights or publisher changed,
  anything of medium risk and more, or something that could not be compared. Policy can only add to that;
- held or not, people are asked by a request that carries the evidence.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from weighbridge.admit.facts import Facts, Follows, earlier_owner_ids, licence_from
from weighbridge.admit.judge import judge
from weighbridge.admit.judge_provenance import time_of
from weighbridge.admit.judge_revision import Surroundings as Beside
from weighbridge.admit.licences import MAX_CARD_BYTES, MAX_LICENCE_BYTES, Licence
from weighbridge.admit.policy import Policy
from weighbridge.admit.succession import CARD as CARD_CHANGE
from weighbridge.admit.succession import beside_cards, card_reader
from weighbridge.core import canonical
from weighbridge.core.canonical import JsonValue
from weighbridge.core.config import TransferSettings
from weighbridge.core.decision import Decision, Outcome
from weighbridge.core.finding import Inspection, Severity
from weighbridge.core.names import ModelName
from weighbridge.core.ports import Source
from weighbridge.core.shown import plain
from weighbridge.core.snapshot import Snapshot
from weighbridge.drift.change import Area, Change, Difference
from weighbridge.drift.compare import Options
from weighbridge.drift.files import Pairing
from weighbridge.drift.side import Side
from weighbridge.transfer.comparing import ComparedSides, Inspect, Opened, compare_opened, open_upstream
from weighbridge.watch.news import Judgement

TAKEOVER_AREAS: Final = frozenset((Area.CODE, Area.TEMPLATE, Area.PUBLISHER, Area.TOKENIZER, Area.WEIGHTS))
MAX_REASONS: Final = 12
MAX_REASON: Final = 240
MAX_EVIDENCE_BYTES: Final = 6 * 1024


@dataclass(frozen=True, slots=True)
class Bench:
    """What a judgement works with. `inspect` inspects at a source; `beside` is what earlier revisions are read by.

    `approved` is the approved revision that differs from the stored one in words of its card at most.
    """

    policy: Policy
    beside: Beside
    settings: TransferSettings
    inspect: Inspect
    options: Options
    cancelled: threading.Event
    say: Callable[[str], None]
    now: str
    approved: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """What was made of a revision at its source.

    `card_only` says that nothing but words of the model card differ and policy lets that pass by itself; `again_at` is when only
    time stood in the way until then, "" else.
    """

    judgement: Judgement
    difference: Difference
    decision: Decision
    reasons: tuple[str, ...]
    published_at: str
    card_only: bool = False
    again_at: str = ""

    @property
    def risk(self) -> Severity | None:
        """The gravest change."""
        return self.difference.highest

    def evidence(self) -> dict[str, JsonValue]:
        """What a reviewer is told; `fitted` makes it fit for a request."""
        return {
            "judgement": self.judgement.value,
            "risk": self.risk.label if self.risk else "none",
            "summary": plain(self.difference.summary, MAX_REASON),
            "complete": self.difference.complete,
            "published_at": plain(self.published_at, 40),
            "policy": {"name": self.decision.policy_name, "digest": self.decision.policy_digest},
            "outcome": self.decision.outcome.value,
            "rules": list(self.decision.rules[:MAX_REASONS]),
            "rules_version": self.decision.rules_version,
            "reasons": list(self.reasons),
            "changes": [_told(change) for change in self.difference.changes[:MAX_REASONS]],
            "change_count": len(self.difference.changes),
            "read_bytes": self.difference.read_bytes,
        }


def fitted(evidence: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Evidence within the bounds of a request: the least of its changes and reasons are left out, and it says so."""
    record = dict(evidence)
    for name in ("changes", "reasons", "rules"):
        listed = record.get(name)
        kept = list(listed) if isinstance(listed, list) else []
        while kept and len(canonical.encode(record)) > MAX_EVIDENCE_BYTES:
            kept.pop()
            record[name], record["cut"] = list(kept), True
    return record


def _told(change: Change) -> dict[str, JsonValue]:
    return {
        "area": change.area.value,
        "path": plain(change.path),
        "what": plain(change.what),
        "risk": change.label,
    }


def judge_upstream(bench: Bench, stored: Opened, source: Source) -> Judged:
    """Compares what a source holds now with the stored revision, and judges it by policy.

    Raises:
        SourceError, StoreError, IntegrityError: one of the two cannot be read, or is not what its digests say.
        ConfigError: the time is none.
    """
    upstream = open_upstream(source, bench.settings, bench.cancelled, bench.say)
    found = compare_opened(stored, upstream, bench.inspect, bench.options)
    snapshot = found.after.snapshot
    assert snapshot is not None
    facts = _facts(bench, found, snapshot)
    decision = judge(bench.policy, facts, bench.now)
    words_only = found.difference.only_readme and not beside_cards(found.pairing)
    passes = words_only and CARD_CHANGE in bench.policy.watch.passes
    read_by = card_reader(found.before.side, found.pairing) if passes else ""
    passes = passes and not read_by
    if passes and bench.approved and decision.lasting is not Outcome.ADMIT:
        # As `admit.succession.judge_following` will have it of the sealed bytes.
        follows = Follows(bench.approved, frozenset(found.pairing.same))
        followed = judge(bench.policy, replace(facts, follows=follows), bench.now)
        decision = followed if followed.lasting is Outcome.ADMIT else decision
    grave = [change for change in found.difference.changes if _looks_like_takeover(change)]
    admitted = decision.outcome is Outcome.ADMIT
    held = not admitted or bool(grave)
    return Judged(
        Judgement.HELD if held else Judgement.REQUESTED,
        found.difference,
        decision,
        (
            *((plain(f"it does not pass by itself: {read_by}", MAX_REASON),) if read_by else ()),
            *_reasons(decision, grave),
        ),
        snapshot.origin.published_at,
        card_only=passes and not held,
        again_at="" if admitted else _again_at(bench, decision, snapshot.origin.published_at),
    )


def _looks_like_takeover(change: Change) -> bool:
    if not change.compared or (change.risk is not None and change.risk >= Severity.MEDIUM):
        return True
    return change.area in TAKEOVER_AREAS and change.risk is not None


def _reasons(decision: Decision, grave: Iterable[Change]) -> Iterable[str]:
    lines = [
        plain(
            f"{change.label} {change.area.value}: {f'{change.path}: ' if change.path else ''}{change.what}", MAX_REASON
        )
        for change in grave
    ]
    lines += [
        plain(f"policy {one.outcome.value} {one.rule}: {one.message}", MAX_REASON)
        for one in decision.reasons
        if one.outcome is not Outcome.ADMIT
    ]
    return list(dict.fromkeys(lines))[:MAX_REASONS]


def _again_at(bench: Bench, decision: Decision, published_at: str) -> str:
    """When a new judgement is due: the end of the cooldown, where time is all that is wanted."""
    objections = [one for one in decision.reasons if one.outcome is not Outcome.ADMIT]
    moment = time_of(published_at)
    if not objections or not all(one.timed for one in objections) or moment is None:
        return ""
    if bench.policy.cooldown.since != "publication":
        return ""
    try:
        return (moment + timedelta(days=bench.policy.cooldown.days)).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return ""


# --- facts of what is not sealed ----------------------------------------------------------------


def _facts(bench: Bench, found: ComparedSides, snapshot: Snapshot) -> Facts:
    """As `admit.facts.gather` has them of a sealed revision. The listing's digest stands for the manifest's."""
    listing: list[JsonValue] = [
        {"path": one.path, "size_bytes": one.size_bytes, "sha256": one.sha256, "git_sha1": one.git_sha1}
        for one in snapshot.entries
    ]
    rows = bench.beside.ledger.catalog().revisions(snapshot.model_name)
    owners = earlier_owner_ids(
        rows, snapshot.origin, sealed_at=bench.now, store_of=bench.beside.store_of, verifier=bench.beside.verifier
    )
    return Facts(
        snapshot.model_name,
        snapshot.revision,
        canonical.digest(listing),
        snapshot.origin,
        sizes={entry.path: entry.size_bytes for entry in snapshot.entries},
        inspection=_together(found.before.side, found.after.side, found.pairing),
        licence=_licence(found.after.side),
        earlier_owner_ids=owners,
        sealed_at=bench.now,
    )


def _together(before: Side, after: Side, pairing: Pairing) -> Inspection:
    """The new reports on what changed and on the whole, and the stored ones on what did not."""
    old = before.inspection or Inspection((), "")
    new = after.inspection or Inspection((), "")
    kept = [report for report in old.reports if not report.path or report.path in set(pairing.same)]
    told = set(new.reports)
    return Inspection((*new.reports, *(one for one in kept if one not in told)), new.rules_version or old.rules_version)


def _licence(side: Side) -> Licence:
    """By the card and the licence files, read from the source, each bounded and proven against its digest."""
    sizes = {path: side.files[path].size_bytes for path in sorted(side.files)}
    return licence_from(sizes, lambda path: side.whole(path, max(MAX_CARD_BYTES, MAX_LICENCE_BYTES)))


def summary_of(
    model_name: ModelName, commit: str, judged: Judged, passed: Mapping[str, JsonValue] | None = None
) -> str:
    """A line about a new revision."""
    words = plain(judged.difference.summary, 120)
    suffix = ""
    if passed is not None:
        channels = passed.get("channels")
        names = [str(one) for one in channels] if isinstance(channels, list) else []
        suffix = f"; it came in by itself{f', and {chr(44).join(names)} moved' if names else ''}"
    return f"{model_name} has a new revision {commit[:12]}: {words}{suffix}"
