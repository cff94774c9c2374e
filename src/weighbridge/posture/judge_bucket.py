"""What the bucket route answers to each question: an engine that loads the sealed revision from a bucket of your own.

A bucket alone answers little: what counts is that the model crossed the bridge, that the bucket is closed, and that the
deployment reads nothing else. Where a control is missing the answer is `not_met`, as it would be for anybody else's bucket.
"""

from __future__ import annotations

from typing import Final

from weighbridge.posture.bucket_checks import (
    ASK_PEOPLE,
    AUDIT,
    BAD,
    BLOCK_PUBLIC,
    CHANNEL,
    DECIDE,
    DECISION,
    DENIED,
    DIFFERENT,
    ENCRYPT,
    EXTRA,
    FOREIGN,
    FRESH_DAYS,
    HELD,
    INGEST,
    INSPECTION,
    LOOK_UPSTREAM,
    MANIFEST,
    NETWORK_OPEN,
    NOT_MET,
    NOWHERE,
    OLD_DECISION,
    OLD_RULES,
    ONLINE,
    PARTLY,
    PUBLIC,
    RESCAN,
    REVOKED,
    SEAL,
    SIGNATURE_SECONDS,
    TIGHTEN,
    UNKNOWN,
    UNLOCKED,
    UNLOGGED,
    UNVERSIONED,
    VERIFY,
    VERIFY_AUDIT,
    broken,
    code_rules,
)
from weighbridge.posture.judging import Check, Judge, some
from weighbridge.posture.report import Words
from weighbridge.posture.route_checks import ASSESS_AGAIN, BEHAVIOUR_CHECKS, BEHAVIOUR_MET, latency

CONTROL: Final = Judge(
    Words("The bucket is yours and closed, and the engine's network leads nowhere else."),
    (
        PUBLIC,
        ONLINE,
        NETWORK_OPEN,
        FOREIGN,
        Check(
            PARTLY,
            ("bucket.vpc_endpoint",),
            lambda view: not view.items("bucket.vpc_endpoint"),
            Words("The bucket answers requests from any network."),
            Words("Bind the bucket's policy to your VPC endpoint (aws:SourceVpce)."),
        ),
    ),
)
SCANNING: Final = Judge(
    Words(
        "All %(bytes)s bytes were inspected by the present rules before anything could load them, and policy admits them."
    ),
    (
        INSPECTION,
        BAD,
        DECISION,
        DENIED,
        UNKNOWN,
        OLD_RULES,
        Check(
            PARTLY,
            ("crossing.coverage",),
            lambda view: (
                view.number("crossing.coverage", "inspected_bytes") < view.number("crossing.coverage", "present_bytes")
            ),
            Words("Inspected were %(inspected)s of %(present)s bytes."),
            RESCAN,
            lambda view: {
                "inspected": view.number("crossing.coverage", "inspected_bytes"),
                "present": view.number("crossing.coverage", "present_bytes"),
            },
        ),
        HELD,
        OLD_DECISION,
    ),
    lambda view: {"bytes": view.number("crossing.coverage", "present_bytes")},
)
LATENCY: Final = latency("bucket.load_seconds")
RESPONSIBILITY: Final = Judge(
    Words("All of it is yours, and done: encrypted, logged, audited, and the deployment has no serious finding."),
    (
        Check(
            NOT_MET,
            ("deployment.findings",),
            lambda view: bool(view.serious("deployment.findings")),
            Words("All of it is yours, and the deployment has serious findings: %(rules)s."),
            Words("Mend what the findings name, then judge the files again with --deployment"),
            lambda view: {"rules": some(view.serious("deployment.findings"))},
        ),
        AUDIT,
        Check(
            PARTLY,
            ("deployment.pinned",),
            lambda view: not view.flag("deployment.pinned"),
            Words("An image or the model is named so that somebody may change what the name stands for."),
            Words("Have images named by digest and the model by its revision: weighbridge deploy render"),
        ),
        Check(
            NOT_MET,
            ("bucket.encryption",),
            lambda view: not view.word("bucket.encryption"),
            Words("All of it is yours, and the bucket does not encrypt."),
            ENCRYPT,
        ),
        UNLOGGED,
        Check(
            PARTLY,
            ("bucket.kms_key",),
            lambda view: not view.word("bucket.kms_key"),
            Words("The bucket is not encrypted with a key of your own, which you could take away."),
            Words("Set a key of your own: store.s3_kms_key in the settings, and as the bucket's default"),
        ),
    ),
)
TAMPER: Final = Judge(
    Words(
        "Every byte is named by a signed manifest and sealed, the bucket holds just that, and locked versions cannot be overwritten."
    ),
    (MANIFEST, SEAL, DIFFERENT, EXTRA, UNVERSIONED, UNLOCKED),
)
VERSIONS: Final = Judge(
    Words(
        "Channels (%(channels)s) point to it, and one command leads back. Days since upstream was looked at: %(days)s."
    ),
    (
        CHANNEL,
        REVOKED,
        NOWHERE,
        Check(
            PARTLY,
            ("crossing.upstream_checked_at",),
            lambda view: view.days_old("crossing.upstream_checked_at") > FRESH_DAYS,
            Words("Days since upstream was looked at: %(days)s. What is mended there goes unnoticed."),
            LOOK_UPSTREAM,
            lambda view: {"days": view.days_old("crossing.upstream_checked_at")},
        ),
    ),
    lambda view: {
        "channels": some(view.names("crossing.channel", "channels")),
        "days": view.days_old("crossing.upstream_checked_at"),
    },
)
CONVENIENCE: Final = Judge(
    Words(""),
    (
        CHANNEL,
        NOWHERE,
        Check(
            PARTLY,
            (),
            lambda _view: True,
            Words(
                "Engines load it by the same name once HF_ENDPOINT leads to the gateway; bringing in, deciding and running that are work."
            ),
            Words("Serve it under its name: weighbridge serve"),
        ),
    ),
)
COMMUNITY: Final = Judge(
    Words(""),
    (
        Check(
            NOT_MET,
            ("crossing.upstream_checked_at",),
            lambda view: view.days_old("crossing.upstream_checked_at") > FRESH_DAYS,
            Words("Days since upstream was looked at: %(days)s. What others find there does not reach the bucket."),
            LOOK_UPSTREAM,
            lambda view: {"days": view.days_old("crossing.upstream_checked_at")},
        ),
        Check(
            PARTLY,
            ("crossing.upstream_checked_at",),
            lambda view: view.days_old("crossing.upstream_checked_at") >= 0,
            Words(
                "A bucket has no community. Days since upstream was looked at: %(days)s, so what is said there is known."
            ),
            LOOK_UPSTREAM,
            lambda view: {"days": view.days_old("crossing.upstream_checked_at")},
        ),
    ),
)
BUILT_IN_SCANNING: Final = Judge(
    Words(
        "A bucket scans nothing by itself; weighbridge does: every model under the prefix has an inspection, this one by the present rules."
    ),
    (
        Check(
            NOT_MET,
            ("bucket.models.unscanned",),
            lambda view: bool(view.items("bucket.models.unscanned")),
            Words("A bucket scans nothing by itself, and these were not wholly inspected: %(models)s."),
            RESCAN,
            lambda view: {"models": some(view.names("bucket.models.unscanned"))},
        ),
        INSPECTION,
        BAD,
        OLD_RULES,
    ),
)
DEPENDENCY: Final = Judge(
    Words("The engine is told to stay offline, its network is closed, and everything it needs is in the bucket."),
    (
        ONLINE,
        DIFFERENT,
        NETWORK_OPEN,
    ),
)
MALICIOUS: Final = Judge(
    Words(
        "It was inspected and is clean, policy admits it, and these people approved it: %(people)s. A later change upstream does not reach it."
    ),
    (
        INSPECTION,
        BAD,
        DECISION,
        Check(
            NOT_MET,
            ("crossing.approvals",),
            lambda view: bool(view.items("crossing.approvals", "rejected")),
            Words("People rejected it: %(people)s."),
            DECIDE,
            lambda view: {"people": some(view.names("crossing.approvals", "rejected"))},
        ),
        Check(
            NOT_MET,
            ("crossing.approvals",),
            lambda view: (
                len(view.items("crossing.approvals", "approved")) < view.number("crossing.approvals", "needed")
            ),
            Words("Approvals are missing: %(given)s of %(needed)s."),
            ASK_PEOPLE,
            lambda view: {
                "given": len(view.items("crossing.approvals", "approved")),
                "needed": view.number("crossing.approvals", "needed"),
            },
        ),
        DENIED,
        REVOKED,
        HELD,
        UNKNOWN,
        Check(
            PARTLY,
            ("crossing.approvals",),
            lambda view: not view.items("crossing.approvals", "approved"),
            Words("Policy asks for no approval, and no person looked at it."),
            ASK_PEOPLE,
        ),
    ),
    lambda view: {"people": some(view.names("crossing.approvals", "approved"))},
)
AUTHENTICITY: Final = Judge(
    Words(
        "Manifest, seal and attestations hold, and tie every byte to commit %(commit_of_manifest)s of the publisher's repository."
    ),
    (
        MANIFEST,
        SEAL,
        Check(
            NOT_MET,
            ("bucket.models.unsigned",),
            lambda view: bool(view.items("bucket.models.unsigned")),
            Words("Models without a seal that holds lie in the bucket: %(models)s."),
            INGEST,
            lambda view: {"models": some(view.names("bucket.models.unsigned"))},
        ),
        Check(
            NOT_MET,
            ("crossing.attestations",),
            lambda view: bool(view.items("crossing.attestations", "failed")),
            Words("Attestations that do not hold: %(kinds)s."),
            VERIFY,
            lambda view: {"kinds": some(view.names("crossing.attestations", "failed"))},
        ),
        broken("crossing.attestations", Words("The attestations do not hold: %(why)s."), VERIFY),
        Check(
            PARTLY,
            ("crossing.manifest",),
            lambda view: not view.text("crossing.manifest", "commit"),
            Words("Sealed as it came in, but from a source without commits: nothing ties it to its publisher."),
            INGEST,
        ),
        Check(
            PARTLY,
            ("crossing.seal",),
            lambda view: not view.flag("crossing.seal", "in_ledger"),
            Words("The seal holds, but the ledger does not know of it."),
            Words("Enter it in the ledger: weighbridge rebuild"),
        ),
    ),
    lambda view: {"commit_of_manifest": view.text("crossing.manifest", "commit")[:12]},
)
EXPOSURE: Final = Judge(
    Words(
        "Closed to the public and to other accounts, encrypted, only over TLS; the engine tells nobody outside anything."
    ),
    (
        PUBLIC,
        Check(
            NOT_MET,
            ("bucket.encryption",),
            lambda view: not view.word("bucket.encryption"),
            Words("The bucket does not encrypt."),
            ENCRYPT,
        ),
        Check(
            PARTLY,
            ("bucket.public_access_block",),
            lambda view: not view.flag("bucket.public_access_block"),
            Words("Nothing keeps the bucket from being made public by one wrong policy or ACL."),
            BLOCK_PUBLIC,
        ),
        Check(
            PARTLY,
            ("bucket.policy.tls_only",),
            lambda view: not view.flag("bucket.policy.tls_only"),
            Words("Requests without TLS are answered."),
            Words("Deny requests without TLS in the bucket's policy (aws:SecureTransport)."),
        ),
        FOREIGN,
        NETWORK_OPEN,
    ),
)
REMOTE_CODE: Final = Judge(
    Words("The inspection found no code that comes with it."),
    (
        INSPECTION,
        BAD,
        Check(
            PARTLY,
            ("crossing.inspection",),
            lambda view: bool(code_rules(view)),
            Words("Code came in with it: %(rules)s."),
            Words(
                "Take it out, with proof that the model is the same: weighbridge remediate %(model)s --strip-remote-code"
            ),
            lambda view: {"rules": some(code_rules(view))},
        ),
        UNKNOWN,
        broken(
            "crossing.remediation",
            Words("What it was derived from cannot be proven: %(why)s."),
            Words("Derive it again: weighbridge remediate %(model)s"),
        ),
    ),
)
BEHAVIOUR: Final = Judge(
    BEHAVIOUR_MET,
    (
        *BEHAVIOUR_CHECKS,
        Check(
            PARTLY,
            ("evaluation.result", "crossing.manifest"),
            lambda view: view.text("evaluation.result", "manifest") != view.text("crossing.manifest", "digest"),
            Words("Another revision was evaluated than the one that is sealed."),
            ASSESS_AGAIN,
        ),
    ),
)
NOBODY: Final = Words("nobody")
CHANGES: Final = Judge(
    Words(
        "Exempt from the denial of writing: %(writers)s; from that of deleting: %(deleters)s. Everybody else is denied, and presigned addresses end within the hour."
    ),
    (
        Check(
            NOT_MET,
            ("bucket.policy.writers", "bucket.policy.deleters", "bucket.policy.administrators"),
            lambda view: (
                "*"
                in [
                    *view.names("bucket.policy.writers"),
                    *view.names("bucket.policy.deleters"),
                    *view.names("bucket.policy.administrators"),
                ]
            ),
            Words("Everybody may write, delete, or change the settings."),
            TIGHTEN,
        ),
        Check(
            NOT_MET,
            ("bucket.policy.write_denied", "bucket.policy.delete_denied"),
            lambda view: not view.flag("bucket.policy.write_denied") and not view.flag("bucket.policy.delete_denied"),
            Words("The bucket denies nobody: every role of the account that may use S3 can write and delete."),
            TIGHTEN,
        ),
        Check(
            PARTLY,
            ("bucket.policy.write_denied", "bucket.policy.delete_denied"),
            lambda view: view.flag("bucket.policy.write_denied") != view.flag("bucket.policy.delete_denied"),
            Words("The bucket denies others only one of writing and deleting."),
            TIGHTEN,
        ),
        FOREIGN,
        Check(
            NOT_MET,
            ("bucket.policy.write_exempt", "bucket.policy.delete_exempt"),
            lambda view: "*" in [*view.names("bucket.policy.write_exempt"), *view.names("bucket.policy.delete_exempt")],
            Words("The denials spare everybody."),
            TIGHTEN,
        ),
        Check(
            PARTLY,
            ("bucket.policy.presigned_limit",),
            lambda view: (
                (view.number_or_none("bucket.policy.presigned_limit") or SIGNATURE_SECONDS + 1) > SIGNATURE_SECONDS
            ),
            Words("A presigned address may be good for longer than an hour."),
            Words("Deny older signatures in the bucket's policy (s3:signatureAge)."),
        ),
    ),
    lambda view: {
        "writers": some(view.names("bucket.policy.write_exempt")) or NOBODY,
        "deleters": some(view.names("bucket.policy.delete_exempt")) or NOBODY,
    },
)

LOSS: Final = Judge(
    Words("Everything sealed is there, in locked versions, with a copy in: %(copies)s. No lifecycle rule deletes it."),
    (
        DIFFERENT,
        Check(
            NOT_MET,
            ("bucket.lifecycle.deletes",),
            lambda view: bool(view.items("bucket.lifecycle.deletes")),
            Words("Lifecycle rules delete under the prefix: %(rules)s."),
            Words("aws s3api get-bucket-lifecycle-configuration --bucket %(bucket_name)s"),
            lambda view: {"rules": some(view.names("bucket.lifecycle.deletes"))},
        ),
        UNVERSIONED,
        UNLOCKED,
        Check(
            PARTLY,
            ("bucket.replication",),
            lambda view: not view.items("bucket.replication"),
            Words("There is no second copy."),
            Words("Replicate the bucket, or keep an export elsewhere: weighbridge export %(model)s FOLDER"),
        ),
    ),
    lambda view: {"copies": some(view.names("bucket.replication"))},
)
ACCOUNTABILITY: Final = Judge(
    Words(
        "Who brought it in, who judged it and who let it pass is in a signed chain (events: %(events)s); access is logged."
    ),
    (
        AUDIT,
        Check(
            PARTLY,
            ("crossing.audit",),
            lambda view: not view.flag("crossing.audit", "head_signed"),
            Words("The end of the audit is not signed: events could be cut off unseen."),
            VERIFY_AUDIT,
        ),
        UNLOGGED,
    ),
    lambda view: {"events": view.number("crossing.audit", "events")},
)
TERMS: Final = Judge(
    Words(
        "The card names a licence (%(licence)s), policy admits the revision, and a bill of materials can be made of it."
    ),
    (
        DECISION,
        DENIED,
        broken("crossing.bom", Words("No bill of materials can be made: %(why)s."), VERIFY),
        Check(
            PARTLY,
            ("hub.licence",),
            lambda view: not view.text("hub.licence"),
            Words("The card names no licence, whatever policy says."),
            Words("Ask the publisher for one before you use it."),
        ),
        HELD,
    ),
    lambda view: {"licence": view.text("hub.licence")},
)
