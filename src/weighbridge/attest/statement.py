"""in-toto statements in DSSE envelopes: saying something about records, signed, and reading it back.

- Statement: in-toto Attestation Framework v1 (`https://in-toto.io/Statement/v1`), subjects by SHA-256 alone.
- Envelope: DSSE 1.0 (`https://github.com/secure-systems-lab/dsse`), with exactly one signature. DSSE allows several; one
  leaves nothing to choose from, and no signature that nobody checked.
- An envelope has one spelling: canonical JSON, standard base64 with its padding. Everything else is refused, so that
  changing any bit of an envelope breaks it.
- What cannot be opened raises a `TrustError`, whatever the reason: a caller needs to catch nothing else.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonObject, JsonValue
from weighbridge.core.digests import is_sha256
from weighbridge.core.errors import FormatError, SignatureInvalid, StatementMismatch
from weighbridge.core.ports import SignatureVerifier, Signer

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
ALTERED = "It was altered or cut short; restore it, and find out who altered it."


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """What a statement is about: a name and the SHA-256 of its bytes, 64 hex digits."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Statement:
    """Something said about subjects: the shape of `predicate` is what `predicate_type`, a URI, stands for."""

    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: JsonObject

    def to_json(self) -> dict[str, JsonValue]:
        """The in-toto statement."""
        return {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": subject.name, "digest": {"sha256": subject.sha256}} for subject in self.subjects],
            "predicateType": self.predicate_type,
            "predicate": self.predicate,
        }


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding, the bytes that are signed: no two envelopes share one."""
    name = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)


def sign_statement(statement: Statement, signer: Signer) -> bytes:
    """The DSSE envelope of a statement, as canonical JSON."""
    payload = canonical.encode(statement.to_json())
    return envelope_of(payload, signer.sign(pae(PAYLOAD_TYPE, payload)), key_id=signer.key_id)


def open_statement(envelope: bytes, verifier: SignatureVerifier, *, predicate_type: str) -> Statement:
    """The statement in a DSSE envelope, once a trusted key is known to have signed it.

    Raises:
        SignatureInvalid: these bytes are no envelope, or no trusted key signed what is in it.
        Revoked: the key that signed was revoked.
        StatementMismatch: signed, but not a statement of the expected type.
    """
    # 1. The bytes are one JSON object with the keys of an envelope and exactly one signature.
    # 2. Payload and signature are well-formed base64, the key id is a key id.
    payload_type, payload, signature, key_id = _parts(envelope)
    # 3. The payload says it is an in-toto statement. (The type is part of what is signed.)
    if payload_type != PAYLOAD_TYPE:
        raise SignatureInvalid("the envelope does not hold an in-toto statement", hint=ALTERED)
    # 4. The envelope is spelt the one way we spell it, so nothing in it escapes the signature.
    if envelope_of(payload, signature, key_id=key_id) != envelope:
        raise SignatureInvalid("the envelope is not in canonical form", hint=ALTERED)
    # 5. A trusted, unrevoked key made the signature over type and payload.
    verifier.verify(pae(payload_type, payload), signature, key_id=key_id)
    # 6. Only now is the payload read: a statement of version 1, with subjects that have a SHA-256.
    try:
        statement = _read_statement(payload)
    except FormatError as error:
        raise StatementMismatch(f"the signed payload is not a statement: {error.message}") from error
    # 7. It says the kind of thing the caller asked about.
    if statement.predicate_type != predicate_type:
        raise StatementMismatch(f"the statement is about '{statement.predicate_type}', not '{predicate_type}'")
    return statement


def unverified(envelope: bytes) -> tuple[str, Statement]:
    """The key id and the statement of an envelope, neither of them proven: only to find out which key must be asked.

    Raises:
        SignatureInvalid, StatementMismatch: these bytes are no envelope around a statement.
    """
    _, payload, _, key_id = _parts(envelope)
    try:
        return key_id, _read_statement(payload)
    except FormatError as error:
        raise StatementMismatch(f"the payload is not a statement: {error.message}") from error


def decode_base64(text: str, *, what: str) -> bytes:
    """The bytes of standard base64 in its one canonical spelling.

    Raises:
        SignatureInvalid: it is spelt otherwise (other alphabet, line breaks, missing or loose padding bits).
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureInvalid(f"{what} is not base64", hint=ALTERED) from error
    if base64.b64encode(data).decode("ascii") != text:
        raise SignatureInvalid(f"{what} is not canonical base64", hint=ALTERED)
    return data


def envelope_of(payload: bytes, signature: bytes, *, key_id: str) -> bytes:
    """The one spelling of an envelope around a signed payload."""
    return canonical.encode(
        {
            "payload": base64.b64encode(payload).decode("ascii"),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": key_id, "sig": base64.b64encode(signature).decode("ascii")}],
        }
    )


def _parts(envelope: bytes) -> tuple[str, bytes, bytes, str]:
    """Payload type, payload, signature and key id of an envelope, none of them believed yet."""
    try:
        fields = Fields(canonical.decode_object(envelope, what="the envelope"), what="the envelope")
        payload_type, payload = fields.text("payloadType"), fields.text("payload")
        signatures = fields.items("signatures")
        fields.done()
        if len(signatures) != 1:
            raise SignatureInvalid(f"the envelope has {len(signatures)} signatures instead of one", hint=ALTERED)
        signature = Fields(signatures[0], what="the signature of the envelope")
        key_id, signed = signature.text("keyid"), signature.text("sig")
        signature.done()
    except FormatError as error:
        raise SignatureInvalid(error.message, hint=ALTERED) from error
    if not is_sha256(key_id):
        raise SignatureInvalid("the envelope does not say which key signed it", hint=ALTERED)
    return (
        payload_type,
        decode_base64(payload, what="the payload of the envelope"),
        decode_base64(signed, what="the signature of the envelope"),
        key_id,
    )


def _read_statement(payload: bytes) -> Statement:
    record = canonical.decode_object(payload, what="the statement")
    fields = Fields(record, what="the statement")
    if fields.text("_type") != STATEMENT_TYPE:
        raise StatementMismatch("the signed payload is not an in-toto statement of version 1")
    predicate_type, predicate = fields.text("predicateType"), record.get("predicate")
    subjects = tuple(_read_subject(item) for item in fields.items("subject"))
    if not isinstance(predicate, dict):
        raise StatementMismatch("the statement says nothing about its subjects")
    fields.fields("predicate")
    fields.done()
    if not subjects or len({subject.name for subject in subjects}) != len(subjects):
        raise StatementMismatch("the statement has no subjects, or two of the same name")
    return Statement(subjects, predicate_type, predicate)


def _read_subject(item: JsonValue) -> Subject:
    fields = Fields(item, what="a subject of the statement")
    name, digests = fields.text("name"), fields.mapping("digest")
    fields.done()
    if set(digests) != {"sha256"} or not is_sha256(digests["sha256"]):
        raise StatementMismatch(f"the subject {name!r} of the statement has no SHA-256")
    return Subject(name, digests["sha256"])
