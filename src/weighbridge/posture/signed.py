"""Evidence under a signature: an in-toto statement in a DSSE envelope, so that whoever judges it knows who gathered it."""

from __future__ import annotations

from typing import Final

from weighbridge.attest.statement import Statement, Subject, open_statement, sign_statement, unverified
from weighbridge.core import canonical
from weighbridge.core.errors import StatementMismatch
from weighbridge.core.ports import SignatureVerifier, Signer
from weighbridge.posture.evidence import Dossier, Evidence
from weighbridge.posture.gathering import sha256

EVIDENCE_TYPE: Final = "https://weighbridge.dev/evidence/v1"
SIGNED_BY: Final = "report.signed_by"


def sign_dossier(dossier: Dossier, signer: Signer) -> bytes:
    """The envelope: the subject is the model with the digest of the dossier's canonical record, the predicate is the record."""
    plain = dossier.without(SIGNED_BY)
    fact = plain.facts.get("report.model")
    name = fact.value if fact is not None and isinstance(fact.value, str) else "evidence"
    record = plain.to_json()
    return sign_statement(Statement((Subject(name, sha256(canonical.encode(record))),), EVIDENCE_TYPE, record), signer)


def is_signed(data: bytes) -> bool:
    """Whether bytes look like an envelope rather than a bare dossier; nothing is believed of them."""
    return b'"payloadType"' in data[-4096:] or b'"payloadType"' in data[:4096]


def open_dossier(envelope: bytes, verifier: SignatureVerifier) -> Dossier:
    """The dossier in an envelope, with the key that signed it as the fact `report.signed_by`.

    Raises:
        SignatureInvalid, Revoked: no trusted key signed it. StatementMismatch: it is signed and no evidence.
        Malformed, LimitExceeded: the record in it is no dossier.
    """
    statement = open_statement(envelope, verifier, predicate_type=EVIDENCE_TYPE)
    record = canonical.encode(statement.predicate)
    if [subject.sha256 for subject in statement.subjects] != [sha256(record)]:
        raise StatementMismatch("the signed evidence is not what its own digest says")
    dossier = Dossier.from_bytes(record)
    key_id, _ = unverified(envelope)
    newest = max((fact.observed_at for fact in dossier), default="")
    return Dossier(
        {**dossier.facts, SIGNED_BY: Evidence(SIGNED_BY, key_id, "the signature of the evidence", newest)},
        dossier.unobtained,
    )
