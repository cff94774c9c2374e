"""Keyless signatures by Sigstore: a statement signed for a person or a workload, without a key that anybody has to keep.

- Signing asks Fulcio for a certificate of ten minutes over a key made for the moment, on the strength of an identity token, and
  enters the signature into Rekor, a public log: **the identity and the digest of the statement become public for good**.
- The token comes from a file, or from what runs this (CI, a workload's identity). Nobody is asked in a browser.
- A bundle is verified by the `sigstore` library: certificate, its transparency, its time, the log's promise and proof, and the
  identity that must be named. What it signed is then opened like any other attestation.
- Seals, model signatures and the ledger's head need a key that lasts and cannot be keyless.

Needs the extra `sigstore`, and for signing a network that reaches a Sigstore.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weighbridge.attest.public_keys import elliptic, pem_of
from weighbridge.attest.statement import PAYLOAD_TYPE, Statement, envelope_of
from weighbridge.attest.trust import TrustedKeys
from weighbridge.core import canonical
from weighbridge.core.errors import ConfigError, SignatureInvalid, Unreachable
from weighbridge.wire.files import read_small

MAX_BUNDLE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """Who must have signed: the name in the certificate (an e-mail address, a workflow's URL) and who vouched for it."""

    name: str
    issuer: str


def sign_keyless(statement: Statement, *, token_file: str = "") -> bytes:
    """The Sigstore bundle (v0.3, JSON) of a statement.

    Raises:
        ConfigError: the extra is missing, or there is no identity token, or none that Sigstore takes.
        Unreachable: Sigstore cannot be reached.
    """
    sigstore = _library()
    raw = _token(sigstore, token_file)
    with _translated(sigstore):
        token = sigstore.oidc.IdentityToken(raw)
        context = sigstore.sign.SigningContext.from_trust_config(sigstore.models.ClientTrustConfig.production())
        with context.signer(token) as signer:
            bundle = signer.sign_dsse(sigstore.dsse.Statement(canonical.encode(statement.to_json())))
        return str(bundle.to_json()).encode("utf-8")


def open_bundle(bundle: bytes, identity: Identity, *, trusted_root: str = "") -> tuple[bytes, TrustedKeys]:
    """The envelope in a bundle and the one key that counts for it, once the identity is known to have signed it.

    `trusted_root` is the path of a Sigstore trusted root (JSON); without it, the public instance's is brought up to date over
    the network.

    Raises:
        ConfigError: the extra is missing, or the trusted root is none.
        SignatureInvalid: it is no bundle around a statement, or does not verify for that identity.
        Unreachable: the public instance's root cannot be brought up to date.
    """
    sigstore = _library()
    if len(bundle) > MAX_BUNDLE_BYTES:
        raise SignatureInvalid(f"the bundle is larger than {MAX_BUNDLE_BYTES} bytes")
    verifier = _verifier(sigstore, trusted_root)
    policy = sigstore.verify.policy.Identity(identity=identity.name, issuer=identity.issuer)
    try:
        opened = sigstore.models.Bundle.from_json(bundle)
        payload_type, payload = verifier.verify_dsse(opened, policy)
        public = elliptic(opened.signing_certificate.public_key(), "the certificate's key")
        signature = bytes(opened.signature)
    except (sigstore.errors.Error, ValueError, KeyError, TypeError, ConfigError) as error:
        raise SignatureInvalid(
            f"the Sigstore bundle does not verify for '{identity.name}': {error}",
            hint="Check --identity and --issuer, and that the bundle is whole.",
        ) from error
    if payload_type != PAYLOAD_TYPE:
        raise SignatureInvalid("the Sigstore bundle does not hold an in-toto statement")
    keys = TrustedKeys().with_key(pem_of(public))
    (key_id,) = keys.key_ids
    return envelope_of(payload, signature, key_id=key_id), keys


def is_bundle(data: bytes) -> bool:
    """Whether the bytes look like a Sigstore bundle and not like an envelope of ours."""
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and "sigstore.bundle" in str(record.get("mediaType", ""))


def _verifier(sigstore: Any, trusted_root: str) -> Any:
    if trusted_root:
        try:
            root = sigstore.models.TrustedRoot.from_file(trusted_root)
        except (OSError, sigstore.errors.Error, ValueError) as error:
            raise ConfigError(f"'{trusted_root}' is no trusted root of a Sigstore: {error}") from error
        return sigstore.verify.Verifier(trusted_root=root)
    with _translated(sigstore):
        return sigstore.verify.Verifier.production()


def _token(sigstore: Any, token_file: str) -> str:
    if token_file:
        try:
            return read_small(Path(token_file), f"'{token_file}'").decode("ascii").strip()
        except UnicodeDecodeError as error:
            raise ConfigError(f"'{token_file}' holds no identity token") from error
    with _translated(sigstore):
        found: str | None = sigstore.oidc.detect_credential()
    if not found:
        raise ConfigError(
            "there is no identity token to sign with",
            hint="Run this where CI or the cloud gives one (GitHub: permissions: id-token: write), or name a file: "
            "--identity-token FILE.",
        )
    return found


def _library() -> Any:
    try:
        import sigstore.dsse
        import sigstore.errors
        import sigstore.models
        import sigstore.oidc
        import sigstore.sign
        import sigstore.verify
        import sigstore.verify.policy
    except ImportError as error:
        raise ConfigError(
            "keyless signatures need the 'sigstore' extra, which is not installed",
            hint="pip install 'weighbridge[sigstore]'",
        ) from error
    return sigstore


@contextmanager
def _translated(sigstore: Any) -> Iterator[None]:
    """The library's errors as ours; those of its clients have no common base and no public name."""
    import requests
    from sigstore._internal.fulcio.client import ExpiredCertificate, FulcioClientError
    from sigstore._internal.rekor import RekorClientError

    try:
        yield
    except (sigstore.oidc.IdentityError, sigstore.oidc.ExpiredIdentity) as error:
        raise ConfigError(
            f"the identity token is not one that Sigstore takes: {error}",
            hint="It must be for the audience 'sigstore' and not have expired.",
        ) from error
    except (sigstore.errors.NetworkError, sigstore.errors.TUFError, requests.RequestException) as error:
        raise Unreachable(
            f"Sigstore cannot be reached ({type(error).__name__})",
            hint="Keyless signing needs a network; sign with a key here, or verify with --trusted-root FILE.",
        ) from error
    except (sigstore.errors.Error, FulcioClientError, RekorClientError, ExpiredCertificate) as error:
        raise SignatureInvalid(f"Sigstore would not sign: {error}", hint="Nothing was signed.") from error
