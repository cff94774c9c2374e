"""What policy makes of a revision: admit, hold or deny, each with its reasons and what would change it."""

from __future__ import annotations

from enum import Enum

from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.dataclass import dataclass
from weighbridge.core.digests import is_sha256
from weighbridge.core.errors import ConfigError, Malformed
from weighbridge.core.names import ModelName, is_revision

FORMAT = "weighbridge.decision/1"


class Outcome(Enum):
    """The answer of policy. `HOLD` waits for something that `Reason.change` names: approvals, time, another scan."""

    ADMIT = "admit"
    HOLD = "hold"
    DENY = "deny"


@dataclass(frozen=True, slots=True, order=True)
class Reason:
    """One rule of policy that had something to say.

    `rule` is the policy rule's kebab-case id; `findings` are rule ids of the inspection it rests on; `change` says what
    would lift it; `exception` names the exception of the policy file that lifted it already. A `timed` reason lifts
    itself (a cooldown) and is no part of the decision's digest, so that approvals outlive it.
    """

    rule: str
    outcome: Outcome
    message: str
    change: str = ""
    path: str = ""
    findings: tuple[str, ...] = ()
    exception: str = ""
    timed: bool = False

    def to_json(self) -> dict[str, JsonValue]:
        """The record of this reason."""
        return {
            "rule": self.rule,
            "outcome": self.outcome.value,
            "message": self.message,
            "change": self.change,
            "path": self.path,
            "findings": list(self.findings),
            "exception": self.exception,
            "timed": self.timed,
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """What one policy makes of one revision at one time.

    `approvals` is how many people must approve; `self_approval` whether whoever asked for it may be one of them.
    `facts_digest` covers everything that was judged (findings, coverage, provenance, licence), `policy_digest` the policy
    file; `decided_at` is RFC 3339 in UTC.
    """

    model_name: ModelName
    revision: str
    manifest_digest: str
    outcome: Outcome
    reasons: tuple[Reason, ...]
    approvals: int
    self_approval: bool
    policy_name: str
    policy_digest: str
    facts_digest: str
    rules_version: str
    decided_at: str

    @property
    def digest(self) -> str:
        """SHA-256 of the decision without its time and without timed reasons, 64 hex digits: what people approve."""
        record = self.to_json()
        del record["decided_at"]
        record["reasons"] = [reason.to_json() for reason in self.reasons if not reason.timed]
        record["outcome"] = self.lasting.value
        return canonical.digest(record)

    @property
    def lasting(self) -> Outcome:
        """What it comes to without what lifts itself with time."""
        return worst(tuple(reason for reason in self.reasons if not reason.timed))

    @property
    def rules(self) -> tuple[str, ...]:
        """The rule ids that keep it from being admitted."""
        return tuple(dict.fromkeys(one.rule for one in self.reasons if one.outcome is not Outcome.ADMIT))

    def to_json(self) -> dict[str, JsonValue]:
        """The record of this decision."""
        return {
            "format": FORMAT,
            "model": str(self.model_name),
            "revision": self.revision,
            "manifest_digest": self.manifest_digest,
            "outcome": self.outcome.value,
            "reasons": [reason.to_json() for reason in self.reasons],
            "approvals": self.approvals,
            "self_approval": self.self_approval,
            "policy": {"name": self.policy_name, "digest": self.policy_digest},
            "facts_digest": self.facts_digest,
            "rules_version": self.rules_version,
            "decided_at": self.decided_at,
        }

    def to_bytes(self) -> bytes:
        """The canonical bytes of the record."""
        return canonical.encode(self.to_json())

    @classmethod
    def from_json(cls, record: JsonValue) -> Decision:
        """Reads a stored decision.

        Raises:
            Malformed: it is not what `to_json` writes.
        """
        fields = Fields(record, what="the decision")
        if fields.text("format") != FORMAT:
            raise Malformed("the decision has a format this version does not read")
        policy = fields.fields("policy")
        try:
            decision = cls(
                model_name=ModelName.parse(fields.text("model")),
                revision=fields.text("revision"),
                manifest_digest=fields.text("manifest_digest"),
                outcome=Outcome(fields.text("outcome")),
                reasons=tuple(_reason(Fields(item, what="a reason")) for item in fields.items("reasons")),
                approvals=fields.integer("approvals"),
                self_approval=fields.boolean("self_approval"),
                policy_name=policy.text("name"),
                policy_digest=policy.text("digest"),
                facts_digest=fields.text("facts_digest"),
                rules_version=fields.text("rules_version"),
                decided_at=fields.text("decided_at"),
            )
        except (ValueError, ConfigError) as error:
            raise Malformed("the decision has an outcome or a model name that is none") from error
        policy.done()
        fields.done()
        digests = (decision.manifest_digest, decision.policy_digest, decision.facts_digest)
        if not is_revision(decision.revision) or not all(is_sha256(digest) for digest in digests):
            raise Malformed("the decision has a digest or revision that is none")
        return decision


def worst(reasons: tuple[Reason, ...]) -> Outcome:
    """The outcome that all reasons together come to: deny wins, then hold."""
    outcomes = {reason.outcome for reason in reasons}
    if Outcome.DENY in outcomes:
        return Outcome.DENY
    return Outcome.HOLD if Outcome.HOLD in outcomes else Outcome.ADMIT


def _reason(fields: Fields) -> Reason:
    reason = Reason(
        rule=fields.text("rule"),
        outcome=Outcome(fields.text("outcome")),
        message=fields.text("message"),
        change=fields.text("change"),
        path=fields.text("path"),
        findings=fields.texts("findings"),
        exception=fields.text("exception"),
        timed=fields.boolean("timed"),
    )
    fields.done()
    return reason
