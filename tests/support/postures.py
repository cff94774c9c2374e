"""Dossiers for reports of posture: a model in the shape of R1, from a Hub as it is used and a bucket that is closed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from weighbridge.posture.evidence import Dossier, Evidence, Unobtained
from weighbridge.posture.questions import judge
from weighbridge.posture.render_html import as_html
from weighbridge.posture.render_markdown import as_markdown
from weighbridge.posture.render_text import as_json
from weighbridge.posture.speech import LANGUAGES, Speech

SEEN: Final = "2026-11-23T12:00:00Z"
COMMIT: Final = "56d4cbbb4d29f4355bab4b9a39ccb717a14ad5ad"
SEALED: Final = "8f2c1f0d6a3b4c5e7d9f0a1b2c3d4e5f60718293"
MANIFEST: Final = hashlib.sha256(b"manifest of the derived revision").hexdigest()
ROLE: Final = "arn:aws:iam::111122223333:role"
MODEL_BYTES: Final = 688_586_727_753

HUB: Final[dict[str, Any]] = {
    "hub.revision.ref": "main",
    "hub.revision.commit": COMMIT,
    "hub.revision.pinned": False,
    "hub.revision.moved_since": False,
    "hub.revision.still_there": True,
    "hub.owner.name": "deepseek-ai",
    "hub.owner.kind": "organization",
    "hub.owner.verified": True,
    "hub.owner.id_unchanged": True,
    "hub.repository.id_unchanged": True,
    "hub.gated": False,
    "hub.private": False,
    "hub.disabled": False,
    "hub.commit.signed": False,
    "hub.scan.files": [
        {"path": f"model-{number:05}-of-000163.safetensors", "status": "safe", "scanners": ["av", "pickle"]}
        for number in range(1, 164)
    ],
    "hub.scan.not_scanned": ["configuration_deepseek.py", "modeling_deepseek.py"],
    "hub.scan.flagged": [],
    "hub.formats": {"safetensors": 163, "json": 5, "python": 2, "markdown": 1},
    "hub.formats.unsafe": [],
    "hub.code": ["config.json#auto_map", "configuration_deepseek.py", "modeling_deepseek.py"],
    "hub.secrets": [],
    "hub.licence": "mit",
    "hub.downloads": 1_204_331,
    "hub.likes": 12_874,
    "hub.history.commits": 21,
    "hub.history.renamed": False,
    "hub.egress.hosts": ["cas-bridge.xethub.hf.co", "huggingface.co", "transfer.xethub.hf.co"],
    "hub.egress.token_sent": False,
    "hub.egress.token_hosts": [],
    "hub.egress.user_agent": "unknown/None; hf_hub/1.32.0; python/3.11.2; torch/2.13.0; transformers/5.23.0",
    "hub.egress.model_named": True,
    "hub.load_seconds": 5508,
    "hub.load.measured": {"read_bytes": 16_000_000, "milliseconds": 128, "model_bytes": MODEL_BYTES},
}
BUCKET: Final[dict[str, Any]] = {
    "bucket.public_access_block": True,
    "bucket.acl.public": False,
    "bucket.policy.public": False,
    "bucket.policy.writers": [f"{ROLE}/weighbridge-promoter"],
    "bucket.policy.deleters": [],
    "bucket.policy.write_denied": True,
    "bucket.policy.write_exempt": [f"{ROLE}/weighbridge-promoter"],
    "bucket.policy.delete_exempt": [],
    "bucket.policy.administrators": [],
    "bucket.policy.delete_denied": True,
    "bucket.policy.cross_account": [],
    "bucket.policy.tls_only": True,
    "bucket.policy.presigned_limit": 900,
    "bucket.vpc_endpoint": ["vpce-0a1b2c3d4e5f60718"],
    "bucket.encryption": "aws:kms",
    "bucket.kms_key": "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "bucket.versioning": "Enabled",
    "bucket.object_lock": "COMPLIANCE",
    "bucket.retention_days": 365,
    "bucket.object_lock.sample": {"objects": 20, "retained": 20, "held": 0, "until": "2027-11-20T09:15:02Z"},
    "bucket.logging": "s3://acme-logs/models/",
    "bucket.replication": ["arn:aws:s3:::acme-models-replica"],
    "bucket.lifecycle.deletes": [],
    "bucket.objects.extra": [],
    "bucket.objects.missing": [],
    "bucket.objects.differ": [],
    "bucket.models.unsigned": [],
    "bucket.models.unscanned": [],
    "bucket.load_seconds": 551,
    "bucket.load.measured": {"read_bytes": 16_000_000, "milliseconds": 13, "model_bytes": MODEL_BYTES},
}
CROSSING: Final[dict[str, Any]] = {
    "crossing.manifest": {
        "holds": True,
        "digest": MANIFEST,
        "revision": SEALED,
        "artifacts": 172,
        "bytes": MODEL_BYTES,
        "commit": COMMIT,
        "source": "hf://deepseek-ai/DeepSeek-R1",
    },
    "crossing.seal": {"holds": True, "key_id": "b1d0…", "sealed_at": "2026-11-20T09:12:44Z", "in_ledger": True},
    "crossing.inspection": {
        "holds": True,
        "verdict": "clean",
        "rules_version": "2026.11",
        "findings": {"low": 0},
        "rules": [],
        "current": True,
    },
    "crossing.coverage": {
        "holds": True,
        "inspected_bytes": MODEL_BYTES,
        "present_bytes": MODEL_BYTES,
        "incomplete": [],
    },
    "crossing.decision": {
        "holds": True,
        "outcome": "admit",
        "policy": "production",
        "policy_digest": hashlib.sha256(b"policy").hexdigest(),
        "decided_at": "2026-11-20T09:15:02Z",
        "rules": [],
        "current": True,
    },
    "crossing.approvals": {
        "holds": True,
        "needed": 2,
        "approved": ["Ada", "Grace"],
        "rejected": [],
        "requester": "Alan",
    },
    "crossing.channel": {"holds": True, "channels": ["production"], "revoked": False},
    "crossing.attestations": {"holds": True, "kinds": ["ingest", "inspect", "remediate"], "failed": [], "passed": True},
    "crossing.bom": {"holds": True, "formats": ["cyclonedx", "spdx"], "components": 172, "digests": {}},
    "crossing.audit": {"holds": True, "events": 418, "head_signed": True, "unsigned_events": 0},
    "crossing.remediation": {"holds": True, "derived": True, "parent": COMMIT, "remedies": ["strip-remote-code"]},
    "crossing.upstream_checked_at": "2026-11-22T12:00:00Z",
}
DEPLOYMENT: Final[dict[str, Any]] = {
    "deployment.findings": [],
    "deployment.offline": True,
    "deployment.isolated": True,
    "deployment.pinned": True,
}
NAMED: Final[dict[str, Any]] = {
    "report.model": "deepseek-ai/DeepSeek-R1",
    "report.bucket": "s3://acme-models/approved",
}
R1: Final = {**NAMED, **HUB, **BUCKET, **CROSSING, **DEPLOYMENT}
EVALUATED: Final[dict[str, Any]] = {"holds": True, "failed": [], "commit": COMMIT, "manifest": MANIFEST}
"""The record of an evaluation that found nothing."""
_SOURCES: Final = {
    "hub.egress": "run.json",
    "hub.": f"GET /api/models/deepseek-ai/DeepSeek-R1/revision/{COMMIT}",
    "bucket.": "s3://acme-models/approved",
    "crossing.": f"deepseek-ai/DeepSeek-R1@{SEALED}",
    "deployment.": "deploy.yaml",
    "report.": "the command line",
    "evaluation.": "the record of the evaluation",
}


def dossier(values: dict[str, Any] | None = None, /, **changed: Any) -> Dossier:
    """The dossier of these facts, R1's by default; keywords change some, dots written as `__`."""
    facts = dict(R1 if values is None else values)
    facts.update({name.replace("__", "."): value for name, value in changed.items()})
    if "evaluation.result" not in facts:
        return Dossier.of([*map(_fact, facts.items()), Unobtained("hub.owner.created_at", "the Hub does not say it")])
    return Dossier.of(map(_fact, facts.items()))


def _fact(item: tuple[str, Any]) -> Evidence:
    id_, value = item
    source = next(text for prefix, text in _SOURCES.items() if id_.startswith(prefix))
    digest = hashlib.sha256(id_.encode()).hexdigest() if id_.startswith(("hub.", "deployment.")) else ""
    return Evidence(id_, value, source, SEEN, digest)


def store(folder: Path) -> None:
    """Renews the stored evidence of R1 and the reports that follow from it."""
    whole = dossier()
    posture = judge(whole)
    text = json.dumps(whole.to_json(), ensure_ascii=False, indent=1) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "r1.evidence.json").write_text(text, encoding="utf-8")
    (folder / "r1.json").write_text(as_json(posture), encoding="utf-8")
    for language in LANGUAGES:
        (folder / f"r1.{language}.html").write_text(as_html(posture, Speech(language)), encoding="utf-8")
        (folder / f"r1.{language}.md").write_text(as_markdown(posture, Speech(language)), encoding="utf-8")


if __name__ == "__main__":
    store(Path(__file__).parents[1] / "data" / "posture")
