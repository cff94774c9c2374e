"""The OpenSSF model signature (OMS): one file that says, for any verifier, which bytes a model is.

A Sigstore bundle v0.3 around a DSSE envelope around an in-toto statement, as `model_signing` 1.1 writes with an
elliptic-curve key, made from the digests in the manifest without reading a file. `model_signing verify key` accepts it
on a folder that holds the manifest's files and the signature as `model.sig`.

What the stock signer leaves out of its resources is left out here too, at the top of the model only: `.git`, `.github`
and all below them, `.gitattributes`, `.gitignore`, and the signature's own place, `model.sig`. The stock verifier skips
these whatever the signature says, so a listed one would be reported missing. They are bound by the seal, which signs
the whole manifest. `ignore_paths` are relative to the model: absolute ones would only hold where they were written.

A signer that has certificates (`attest.certificate`) puts its chain in the place of its key's hint; `model_signing verify
certificate` then accepts the signature of whoever trusts the chain's anchor.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from weighbridge.attest.public_keys import Certified, check_signature
from weighbridge.attest.statement import ALTERED, PAYLOAD_TYPE, STATEMENT_TYPE, decode_base64, pae
from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.digests import is_sha256
from weighbridge.core.errors import FormatError, SignatureInvalid, StatementMismatch
from weighbridge.core.manifest import Manifest
from weighbridge.core.ports import SignatureVerifier, Signer

if TYPE_CHECKING:
    from weighbridge.attest.certificate import Anchors, Chain

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
SIGNATURE_NAME = "model.sig"
IGNORED = (".git", ".gitattributes", ".github", ".gitignore", SIGNATURE_NAME)
"""Top-level names that a model signature does not speak of."""


def is_unsigned(path: str) -> bool:
    """Whether a model signature leaves the artifact with that path out."""
    return path.partition("/")[0] in IGNORED


def sign_model(manifest: Manifest, signer: Signer) -> bytes:
    """The model signature of a revision: the bytes of a `model.sig` file."""
    # The stock tool indents the payload and escapes beyond ASCII; whoever compares the two by eye sees the same.
    payload = json.dumps(_statement(manifest), indent=2, allow_nan=False).encode("ascii")
    signature = signer.sign(pae(PAYLOAD_TYPE, payload))
    bundle = {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {**_material(signer), "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode("ascii"),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode("ascii"), "keyid": ""}],
        },
    }
    return json.dumps(bundle, separators=(",", ":")).encode("ascii")


def _material(signer: Signer) -> dict[str, JsonValue]:
    """What tells a verifier whose signature it is: the key's id, or its certificates."""
    if not isinstance(signer, Certified):
        return {"publicKey": {"hint": signer.key_id}}
    chain = [{"rawBytes": base64.b64encode(der).decode("ascii")} for der in signer.certificates]
    return {"x509CertificateChain": {"certificates": chain}}


def verify_model(signature: bytes, manifest: Manifest, verifier: SignatureVerifier) -> None:
    """Returns when a trusted key signed exactly the artifacts of `manifest`, by path and SHA-256.

    The model's name in the signature is not compared: the stock signer writes the folder's. The artifacts that model
    signatures leave out (`is_unsigned`) may be listed or not; a listed one must match.

    Raises:
        SignatureInvalid: these bytes are no model signature made with a key, or no trusted key made it.
        Revoked: the key that signed was revoked.
        StatementMismatch: signed, but over other artifacts, or in a form that does not cover whole files by SHA-256.
    """
    # 1. The bytes are a Sigstore bundle v0.3 with a key's hint or a chain, and a DSSE envelope of one signature.
    # 2. Payload and signature are canonical base64.
    payload, signed, key = _open_bundle(signature)
    # 3. The trusted, unrevoked key of the hint, or of the chain's first certificate, signed type and payload.
    key_id = key if isinstance(key, str) else _chain(key).key_id
    verifier.verify(pae(PAYLOAD_TYPE, payload), signed, key_id=key_id)
    _check_payload(payload, manifest)


def verify_certified_model(signature: bytes, manifest: Manifest, anchors: Anchors, *, at: datetime) -> Chain:
    """The chain of whoever signed exactly the artifacts of `manifest`, once it leads to an anchor and holds at that time.

    For signatures of those whose key is not known here but whose authority is: a publisher's, for example.

    Raises:
        SignatureInvalid: these bytes are no model signature with a chain, the chain does not hold (see
            `attest.certificate`), or its key did not sign.
        Expired: a certificate's time is over, or has not come.
        StatementMismatch: as for `verify_model`.
    """
    payload, signed, ders = _open_bundle(signature)
    if isinstance(ders, str):
        raise SignatureInvalid("the model signature has no certificates", hint="Verify it by its key.")
    chain = _chain(ders)
    chain.check(anchors, at=at)
    check_signature(chain.public_key, pae(PAYLOAD_TYPE, payload), signed)
    _check_payload(payload, manifest)
    return chain


def _check_payload(payload: bytes, manifest: Manifest) -> None:
    """Steps 4 to 6: what was signed is the manifest's artifacts."""
    # 4. Only now is the payload read: a model signature of version 1.0, over whole files, by SHA-256.
    # 5. Its resources are each named once, and hash to the digest of its subject.
    try:
        resources = _read_resources(payload)
    except FormatError as error:
        raise StatementMismatch(f"the signed payload is not a model signature: {error.message}") from error
    # 6. Every resource is an artifact of the manifest with the same digest, and none is missing.
    expected = {artifact.path: artifact.sha256 for artifact in manifest.artifacts}
    required = {path for path in expected if not is_unsigned(path)}
    wrong = sorted(path for path in set(expected) & set(resources) if expected[path] != resources[path])
    missing, extra = sorted(required - set(resources)), sorted(set(resources) - set(expected))
    if wrong or missing or extra:
        raise StatementMismatch(
            f"the model signature is not about {manifest.reference}: {_some('other digest', wrong)}"
            f"{_some('not signed', missing)}{_some('signed but not in the manifest', extra)}".rstrip("; "),
            hint="The signature belongs to another revision, or the manifest was altered.",
        )


def _some(what: str, paths: list[str]) -> str:
    shown = ", ".join(repr(path) for path in paths[:3])
    return f"{what}: {shown}{' and more' if len(paths) > 3 else ''}; " if paths else ""


def _statement(manifest: Manifest) -> dict[str, JsonValue]:
    # Order of path components, not of characters: `a b/c` comes before `a-b`, as the stock signer's paths compare.
    signed = sorted((a for a in manifest.artifacts if not is_unsigned(a.path)), key=lambda a: a.path.split("/"))
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": manifest.model_name.name, "digest": {"sha256": _root(artifact.sha256 for artifact in signed)}}
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": list(IGNORED),
            },
            "resources": [
                {"name": artifact.path, "algorithm": "sha256", "digest": artifact.sha256} for artifact in signed
            ],
        },
    }


def _root(digests: Iterable[str]) -> str:
    """The digest of the subject: SHA-256 over the resources' digests, as bytes, in their order."""
    root = hashlib.sha256()
    for digest in digests:
        root.update(bytes.fromhex(digest))
    return root.hexdigest()


def _chain(ders: tuple[bytes, ...]) -> Chain:
    from weighbridge.attest.certificate import Chain

    return Chain.decode(ders)


def _open_bundle(data: bytes) -> tuple[bytes, bytes, str | tuple[bytes, ...]]:
    """Payload, signature, and key id or certificates of a bundle, none of them believed yet."""
    try:
        bundle = Fields(canonical.decode_object(data, what="the model signature"), what="the model signature")
        media_type, key = bundle.text("mediaType"), _key(bundle.value("verificationMaterial"))
        envelope = bundle.fields("dsseEnvelope")
        bundle.done()
        payload_type, payload = envelope.text("payloadType"), envelope.text("payload")
        signatures = envelope.items("signatures")
        envelope.done()
        if len(signatures) != 1:
            raise SignatureInvalid(f"the model signature has {len(signatures)} signatures", hint=ALTERED)
        signature = Fields(signatures[0], what="the envelope of the model signature")
        signed, named = signature.text("sig"), signature.text("keyid")
        signature.done()
    except FormatError as error:
        raise SignatureInvalid(error.message, hint=ALTERED) from error
    if media_type != BUNDLE_TYPE or payload_type != PAYLOAD_TYPE or named:
        raise SignatureInvalid("the model signature is not a Sigstore bundle v0.3 made with a key", hint=ALTERED)
    return (
        decode_base64(payload, what="the payload of the model signature"),
        decode_base64(signed, what="the signature of the model signature"),
        key,
    )


def _key(record: JsonValue) -> str | tuple[bytes, ...]:
    """The key id or the certificates that a bundle's verification material holds; exactly one of them, and no log entries."""
    material = Fields(record, what="the verification material of the model signature")
    log = material.items("tlogEntries")
    if isinstance(record, Mapping) and "x509CertificateChain" in record:
        chain = material.fields("x509CertificateChain")
        key: str | tuple[bytes, ...] = tuple(_der(item) for item in chain.items("certificates"))
        chain.done()
        material.done()
    else:
        public_key = material.fields("publicKey")
        material.done()
        key = public_key.text("hint")
        public_key.done()
    if log or (isinstance(key, str) and not is_sha256(key)):
        raise SignatureInvalid("the model signature is not a Sigstore bundle v0.3 made with a key", hint=ALTERED)
    return key


def _der(item: JsonValue) -> bytes:
    fields = Fields(item, what="a certificate of the model signature")
    raw = fields.text("rawBytes")
    fields.done()
    return decode_base64(raw, what="a certificate of the model signature")


def _read_resources(payload: bytes) -> Mapping[str, str]:
    """The digests of the files that a signed payload lists, by path."""
    statement = Fields(canonical.decode_object(payload, what="the statement"), what="the statement")
    if statement.text("_type") != STATEMENT_TYPE or statement.text("predicateType") != PREDICATE_TYPE:
        raise StatementMismatch("the signed payload is not an OpenSSF model signature of version 1.0")
    subjects, predicate = statement.items("subject"), statement.fields("predicate")
    serialization = predicate.fields("serialization")
    if serialization.text("method") != "files" or serialization.text("hash_type") != "sha256":
        raise StatementMismatch("the model signature does not cover whole files by SHA-256")
    resources: dict[str, str] = {}
    for item in predicate.items("resources"):
        resource = Fields(item, what="a resource of the model signature")
        path, digest = resource.text("name"), resource.text("digest")
        if resource.text("algorithm") != "sha256" or not is_sha256(digest) or path in resources:
            raise StatementMismatch(f"the model signature lists {path!r} twice or without a SHA-256")
        resources[path] = digest
    if len(subjects) != 1:
        raise StatementMismatch("the model signature is not about one model")
    if Fields(subjects[0], what="its subject").mapping("digest") != {"sha256": _root(resources.values())}:
        raise StatementMismatch("the resources of the model signature do not hash to the digest of its subject")
    return resources
