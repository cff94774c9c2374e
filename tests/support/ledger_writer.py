"""A process that appends to a ledger until it is done or killed, and the test keys it signs with.

    python ledger_writer.py URL HEAD_PATH KEY_PATH EVENTS

prints `sequence digest` once an event was acknowledged.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from weighbridge.core.errors import SignatureInvalid


class EcKey:
    """A P-256 key that signs and trusts itself alone."""

    def __init__(self, pem: bytes = b"") -> None:
        key = serialization.load_pem_private_key(pem, None) if pem else ec.generate_private_key(ec.SECP256R1())
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key

    @property
    def key_id(self) -> str:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return hashlib.sha256(self._key.public_key().public_bytes(serialization.Encoding.PEM, form)).hexdigest()

    def pem(self) -> bytes:
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return self._key.private_bytes(encoding, form, serialization.NoEncryption())

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))

    def verify(self, data: bytes, signature: bytes, *, key_id: str) -> None:
        if key_id != self.key_id:
            raise SignatureInvalid(f"the key {key_id[:12]} is not trusted here")
        try:
            self._key.public_key().verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise SignatureInvalid("the signature was not made over these bytes") from error


def main(url: str, head_path: str, key_path: str, events: str) -> None:
    from weighbridge.store.ledger import Ledger

    with Ledger(url, head_path=Path(head_path), signer=EcKey(Path(key_path).read_bytes())) as ledger:
        for number in range(int(events)):
            event = ledger.append("test.counted", "counter", {"number": number}, actor="writer")
            print(event.sequence, event.digest, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
