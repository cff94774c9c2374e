"""The seal of a revision: one signed statement that binds all its records and what they came to.

The subjects are the records by SHA-256 of their stored bytes; the predicate repeats what a reader needs before opening
them. A record that the seal does not name is not part of the revision. Type: `https://weighbridge.dev/seal/v1`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from weighbridge import __version__
from weighbridge.attest.statement import Statement, Subject, open_statement, sign_statement
from weighbridge.core import layout
from weighbridge.core.canonical import Fields
from weighbridge.core.digests import is_sha256
from weighbridge.core.errors import ConfigError, FormatError, StatementMismatch
from weighbridge.core.finding import Verdict
from weighbridge.core.manifest import Manifest
from weighbridge.core.names import ModelName, is_revision
from weighbridge.core.ports import SignatureVerifier, Signer

SEAL_TYPE = "https://weighbridge.dev/seal/v1"
RECORDS = layout.SEALED_RECORDS
"""The records that a seal binds; all of them, always."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What a valid seal says. `records` are the bound records; `commit`, `owner` and `owner_id` are the origin's.

    `sealed_at` is RFC 3339 in UTC and is the signer's word, not a proven time.
    """

    model_name: ModelName
    revision: str
    manifest_digest: str
    commit: str
    owner: str
    owner_id: str
    verdict: Verdict
    rules_version: str
    sealed_at: str
    weighbridge_version: str
    records: tuple[Subject, ...]

    def check_record(self, name: str, data: bytes) -> None:
        """Returns when `data` are the bytes of the record that was sealed under that name.

        Raises:
            StatementMismatch: they are not, or the seal names no such record.
        """
        sealed = next((record.sha256 for record in self.records if record.name == name), None)
        if sealed is None:
            raise StatementMismatch(f"the seal of {self.model_name}@{self.revision} does not name the record {name!r}")
        if hashlib.sha256(data).hexdigest() != sealed:
            raise StatementMismatch(
                f"the record {name!r} of {self.model_name}@{self.revision} is not the one that was sealed",
                hint="It was altered after sealing; restore it, and find out who altered it.",
            )

    def check_about(self, model_name: ModelName, revision: str) -> None:
        """Returns when the seal is about that revision of that model, and not a valid one of another.

        Raises:
            StatementMismatch: it is about another.
        """
        if (self.model_name, self.revision) != (model_name, revision):
            raise StatementMismatch(
                f"the seal found at {model_name}@{revision} is about {self.model_name}@{self.revision}",
                hint="Someone put one revision's records in the place of another's.",
            )

    def check_manifest(self, manifest: Manifest) -> None:
        """Returns when the seal is about that manifest: model, revision, digest and the stored bytes.

        Raises:
            StatementMismatch: it is about another.
        """
        self.check_about(manifest.model_name, manifest.revision)
        self.check_record(layout.MANIFEST, manifest.to_bytes())
        if manifest.digest != self.manifest_digest:
            raise StatementMismatch(f"the seal of {manifest.reference} names another manifest digest")


def make_seal(
    manifest: Manifest,
    records: Mapping[str, bytes],
    *,
    verdict: Verdict,
    rules_version: str,
    sealed_at: str,
    signer: Signer,
) -> bytes:
    """The seal of a revision, a DSSE envelope: the bytes of its `seal.json`.

    `records` are the stored bytes of exactly `RECORDS`; `sealed_at` is RFC 3339 in UTC.

    Raises:
        ConfigError: a record is missing, unknown, or the manifest's is not that of `manifest`.
    """
    if set(records) != set(RECORDS):
        raise ConfigError(f"a seal binds {', '.join(RECORDS)}; given were {', '.join(sorted(records)) or 'none'}")
    if records[layout.MANIFEST] != manifest.to_bytes():
        raise ConfigError(f"the manifest record to be sealed is not that of {manifest.reference}")
    statement = Statement(
        subjects=tuple(Subject(name, hashlib.sha256(records[name]).hexdigest()) for name in sorted(records)),
        predicate_type=SEAL_TYPE,
        predicate={
            "model": str(manifest.model_name),
            "revision": manifest.revision,
            "manifest_digest": manifest.digest,
            "origin": {
                "commit": manifest.origin.commit,
                "owner": manifest.origin.owner,
                "owner_id": manifest.origin.owner_id,
            },
            "verdict": verdict.value,
            "rules_version": rules_version,
            "sealed_at": sealed_at,
            "weighbridge_version": __version__,
        },
    )
    return sign_statement(statement, signer)


def open_seal(envelope: bytes, verifier: SignatureVerifier) -> Seal:
    """What a seal says, once a trusted key is known to have signed it.

    Raises:
        SignatureInvalid, Revoked: see `open_statement`.
        StatementMismatch: signed, but not a seal.
    """
    statement = open_statement(envelope, verifier, predicate_type=SEAL_TYPE)
    try:
        return _read_seal(statement)
    except (FormatError, ConfigError) as error:
        raise StatementMismatch(f"the signed statement is not a seal: {error.message}") from error


def _read_seal(statement: Statement) -> Seal:
    fields = Fields(statement.predicate, what="the seal")
    origin = fields.fields("origin")
    verdict = fields.text("verdict")
    if verdict not in {known.value for known in Verdict}:
        raise StatementMismatch(f"the seal has the verdict {verdict!r}, which this version does not know")
    seal = Seal(
        model_name=ModelName.parse(fields.text("model")),
        revision=fields.text("revision"),
        manifest_digest=fields.text("manifest_digest"),
        commit=origin.text("commit"),
        owner=origin.text("owner"),
        owner_id=origin.text("owner_id"),
        verdict=Verdict(verdict),
        rules_version=fields.text("rules_version"),
        sealed_at=fields.text("sealed_at"),
        weighbridge_version=fields.text("weighbridge_version"),
        records=statement.subjects,
    )
    origin.done()
    fields.done()
    if not is_revision(seal.revision) or not is_sha256(seal.manifest_digest):
        raise StatementMismatch("the revision or the manifest digest of the seal is not well-formed")
    if {record.name for record in seal.records} != set(RECORDS):
        raise StatementMismatch(
            f"the seal of {seal.model_name}@{seal.revision} does not bind the records of a revision"
        )
    return seal
