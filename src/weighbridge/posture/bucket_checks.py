"""Checks that several questions of the bucket route share: records of the crossing that hold, settings of the bucket."""

from __future__ import annotations

from typing import Final

from weighbridge.posture.judging import Check, View, some
from weighbridge.posture.report import Standing, Words

PARTLY, NOT_MET = Standing.PARTLY, Standing.NOT_MET

FRESH_DAYS: Final = 30
"""After how many days upstream should have been looked at again."""
SIGNATURE_SECONDS: Final = 3600
"""Longer than that no presigned address should be good."""
CODE_RULES: Final = (
    "config-remote-code",
    "config-trust-remote-code",
    "kind-python-code",
    "python-",
    "pickle-",
)
"""Beginnings of the ids of rules that speak of code which comes with a model."""

INGEST: Final = Words("Bring it in again, inspected and sealed: weighbridge ingest hf://%(model)s")
VERIFY: Final = Words("Find out what does not hold: weighbridge verify %(model)s --deep")
RESCAN: Final = Words("Judge the stored bytes by the present rules: weighbridge rescan %(model)s")
DECIDE: Final = Words("See what policy says and what would change it: weighbridge decide %(model)s")
PROMOTE: Final = Words("Let it pass: weighbridge promote %(model)s --channel production")
VERSIONING: Final = Words(
    "aws s3api put-bucket-versioning --bucket %(bucket_name)s --versioning-configuration Status=Enabled"
)
LOCK: Final = Words(
    "Lock what is promoted: set store.approved_lock_mode and store.approved_lock_days in the settings, on a bucket with object lock"
)
BLOCK_PUBLIC: Final = Words(
    "aws s3api put-public-access-block --bucket %(bucket_name)s --public-access-block-configuration "
    "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true"
)
TIGHTEN: Final = Words("Narrow the bucket's policy: aws s3api get-bucket-policy --bucket %(bucket_name)s")
LOG: Final = Words(
    "Log access: aws s3api put-bucket-logging --bucket %(bucket_name)s --bucket-logging-status file://logging.json"
)
CLOSE: Final = Words(
    "Close the engine's network and set HF_HUB_OFFLINE=1, then judge the files again with --deployment"
)

LOOK_UPSTREAM: Final = Words("Look upstream again: weighbridge watch add %(model)s, then weighbridge watch run")
ASK_PEOPLE: Final = Words("Let people look at it: weighbridge approve %(model)s --reason TEXT")
ENCRYPT: Final = Words(
    "aws s3api put-bucket-encryption --bucket %(bucket_name)s --server-side-encryption-configuration file://encryption.json"
)
VERIFY_AUDIT: Final = Words("Find out where the history was changed: weighbridge audit verify")


def broken(id_: str, why: Words, step: Words) -> Check:
    """A record of ours that does not hold."""
    return Check(NOT_MET, (id_,), lambda view: not view.holds(id_), why, step, lambda view: {"why": view.why(id_)})


SEAL: Final = broken("crossing.seal", Words("The seal does not hold: %(why)s."), VERIFY)
MANIFEST: Final = broken("crossing.manifest", Words("The manifest does not hold: %(why)s."), VERIFY)
INSPECTION: Final = broken("crossing.inspection", Words("No inspection of these bytes holds: %(why)s."), RESCAN)
CHANNEL: Final = broken("crossing.channel", Words("No channel of the signed index points to it: %(why)s."), PROMOTE)
AUDIT: Final = broken(
    "crossing.audit",
    Words("The audit does not hold: %(why)s."),
    VERIFY_AUDIT,
)
DECISION: Final = broken("crossing.decision", Words("No decision of policy holds: %(why)s."), DECIDE)
REVOKED: Final = Check(
    NOT_MET,
    ("crossing.channel",),
    lambda view: view.flag("crossing.channel", "revoked"),
    Words("The revision was revoked."),
    Words("Go back to the revision before: weighbridge rollback %(model)s --channel production"),
)
NOWHERE: Final = Check(
    NOT_MET,
    ("crossing.channel",),
    lambda view: not view.items("crossing.channel", "channels"),
    Words("No channel points to it, so no engine gets it by its name."),
    PROMOTE,
)
BAD: Final = Check(
    NOT_MET,
    ("crossing.inspection",),
    lambda view: view.text("crossing.inspection", "verdict") == "bad",
    Words("The inspection calls it bad, by these rules: %(rules)s."),
    DECIDE,
    lambda view: {"rules": some(view.names("crossing.inspection", "rules"))},
)
UNKNOWN: Final = Check(
    PARTLY,
    ("crossing.inspection",),
    lambda view: view.text("crossing.inspection", "verdict") not in ("clean", "bad"),
    Words("Not everything in it is understood: the verdict is unknown."),
    DECIDE,
)
OLD_RULES: Final = Check(
    PARTLY,
    ("crossing.inspection",),
    lambda view: not view.flag("crossing.inspection", "current"),
    Words("It was inspected by older rules (%(version)s)."),
    RESCAN,
    lambda view: {"version": view.text("crossing.inspection", "rules_version")},
)
DENIED: Final = Check(
    NOT_MET,
    ("crossing.decision",),
    lambda view: view.text("crossing.decision", "outcome") == "deny",
    Words("Policy denies it, by: %(rules)s."),
    DECIDE,
    lambda view: {"rules": some(view.names("crossing.decision", "rules"))},
)
HELD: Final = Check(
    PARTLY,
    ("crossing.decision",),
    lambda view: view.text("crossing.decision", "outcome") not in ("admit", "deny"),
    Words("Policy holds it until people say more."),
    DECIDE,
)
OLD_DECISION: Final = Check(
    PARTLY,
    ("crossing.decision",),
    lambda view: not view.flag("crossing.decision", "current"),
    Words("Policy decided on an older inspection than the newest."),
    DECIDE,
)
DIFFERENT: Final = Check(
    NOT_MET,
    ("bucket.objects.differ", "bucket.objects.missing"),
    lambda view: bool(view.items("bucket.objects.differ") or view.items("bucket.objects.missing")),
    Words("The bucket does not hold what was sealed. Changed: %(differ)s. Missing: %(missing)s."),
    VERIFY,
    lambda view: {
        "differ": some(view.names("bucket.objects.differ")) or "-",
        "missing": some(view.names("bucket.objects.missing")) or "-",
    },
)
EXTRA: Final = Check(
    NOT_MET,
    ("bucket.objects.extra",),
    lambda view: bool(view.items("bucket.objects.extra")),
    Words("Objects lie beside the sealed ones, and engines copy whole prefixes: %(paths)s."),
    Words("Take them away, or promote into a prefix of its own: weighbridge check"),
    lambda view: {"paths": some(view.names("bucket.objects.extra"))},
)
UNVERSIONED: Final = Check(
    NOT_MET,
    ("bucket.versioning",),
    lambda view: view.text("bucket.versioning") != "Enabled",
    Words("Versioning is not on (%(status)s): what is overwritten or deleted is gone."),
    VERSIONING,
    lambda view: {"status": view.text("bucket.versioning") or "-"},
)
UNLOCKED: Final = Check(
    PARTLY,
    ("bucket.object_lock", "bucket.retention_days", "bucket.object_lock.sample"),
    lambda view: not _locked(view),
    Words("No retention holds the objects: an administrator, or a stolen role, can delete versions."),
    LOCK,
)
UNLOGGED: Final = Check(
    PARTLY,
    ("bucket.logging",),
    lambda view: not view.word("bucket.logging"),
    Words("Access to the bucket is not logged."),
    LOG,
)
PUBLIC: Final = Check(
    NOT_MET,
    ("bucket.acl.public", "bucket.policy.public"),
    lambda view: view.flag("bucket.acl.public") or view.flag("bucket.policy.public"),
    Words("The bucket is open to everybody."),
    BLOCK_PUBLIC,
)
FOREIGN: Final = Check(
    PARTLY,
    ("bucket.policy.cross_account",),
    lambda view: bool(view.items("bucket.policy.cross_account")),
    Words("Other accounts are let in: %(who)s."),
    TIGHTEN,
    lambda view: {"who": some(view.names("bucket.policy.cross_account"))},
)
ONLINE: Final = Check(
    NOT_MET,
    ("deployment.offline",),
    lambda view: not view.flag("deployment.offline"),
    Words("The engine may still ask the Hub: it is not told to stay offline, or names a Hub model."),
    CLOSE,
)
NETWORK_OPEN: Final = Check(
    PARTLY,
    ("deployment.isolated",),
    lambda view: not view.flag("deployment.isolated"),
    Words("The engine's network is open: nothing but its settings keeps it from elsewhere."),
    CLOSE,
)


def _locked(view: View) -> bool:
    """By the bucket's default, or because every object that was looked at is retained or held."""
    by_default = view.word("bucket.object_lock") in ("COMPLIANCE", "GOVERNANCE") and view.number(
        "bucket.retention_days"
    )
    objects, retained, held = (view.number("bucket.object_lock.sample", key) for key in ("objects", "retained", "held"))
    return bool(by_default) or (objects > 0 and max(retained, held) >= objects)


def code_rules(view: View) -> list[str]:
    """Rules of the inspection that speak of code which comes with the model."""
    return [rule for rule in view.names("crossing.inspection", "rules") if rule.startswith(CODE_RULES)]
