"""The signed head: a small file beside the ledger that says how far the ledger reaches, so that a cut shows.

Rules:

- the file is canonical JSON `{digest, key_id, sequence, signature, time}`, replaced atomically and synced to the disk; the
  signature (base64) is over `HEAD_CONTEXT` followed by the canonical JSON of the other fields;
- it never moves backwards: writers hold a lock (a file beside it) and compare sequences;
- it may lag behind the ledger, never the other way round: the event is committed first;
- it proves nothing against somebody who puts back an old ledger and the old head that belongs to it; keep copies elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonObject
from weighbridge.core.errors import Busy, FormatError, LedgerError, Malformed, Revoked, SignatureInvalid
from weighbridge.core.ports import SignatureVerifier, Signer
from weighbridge.wire.files import flush_folder, locked_file

HEAD_CONTEXT = b"weighbridge ledger head v1\n"
"""Comes before the signed bytes, so that no signature over another kind of record can pass for a head's."""

MAX_HEAD_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Head:
    """How far the ledger reaches: its last event's sequence and digest, and who says so.

    `key_id` and `signature` are empty in a head that nobody signed.
    """

    sequence: int
    digest: str
    time: str
    key_id: str = ""
    signature: bytes = b""

    def signed_bytes(self) -> bytes:
        """What the signature is over."""
        record: JsonObject = {
            "digest": self.digest,
            "key_id": self.key_id,
            "sequence": self.sequence,
            "time": self.time,
        }
        return HEAD_CONTEXT + canonical.encode(record)

    def signed_by(self, signer: Signer | None) -> Head:
        """The same head with a signature, or without one when there is no signer."""
        if signer is None:
            return replace(self, key_id="", signature=b"")
        unsigned = replace(self, key_id=signer.key_id, signature=b"")
        return replace(unsigned, signature=signer.sign(unsigned.signed_bytes()))

    def check(self, verifier: SignatureVerifier) -> None:
        """Returns when the signature holds.

        Raises:
            LedgerError: the head is not signed.
            SignatureInvalid, Revoked: the verifier does not accept the signature or the key.
        """
        if not self.signature:
            raise LedgerError(
                f"the ledger's head (event {self.sequence}) is not signed",
                hint="Record the next event with a signing key, or find out who replaced the head file.",
            )
        try:
            verifier.verify(self.signed_bytes(), self.signature, key_id=self.key_id)
        except (SignatureInvalid, Revoked) as error:
            raise type(error)(
                f"the signature of the ledger's head (event {self.sequence}) does not hold: {error.message}",
                hint=error.hint or "The head file was altered, or signed with a key that is not trusted here.",
            ) from error

    def encode(self) -> bytes:
        """The file's bytes."""
        return canonical.encode(
            {
                "digest": self.digest,
                "key_id": self.key_id,
                "sequence": self.sequence,
                "signature": base64.b64encode(self.signature).decode("ascii"),
                "time": self.time,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Head:
        """Reads the file's bytes.

        Raises:
            Malformed: they are not a head.
        """
        fields = Fields(canonical.decode_object(data, what="the ledger's head"), what="the ledger's head")
        try:
            signature = base64.b64decode(fields.text("signature"), validate=True)
        except (binascii.Error, ValueError) as error:
            raise Malformed("the signature of the ledger's head is not base64") from error
        head = cls(
            fields.integer("sequence"), fields.text("digest"), fields.text("time"), fields.text("key_id"), signature
        )
        fields.done()
        if head.sequence == 0:
            raise Malformed("the ledger's head names no event")
        if base64.b64encode(signature).decode("ascii") != fields.text("signature"):
            raise Malformed("the signature of the ledger's head is not canonical base64")
        return head


class HeadFile:
    """The head file of one ledger. Thread-safe, and safe among processes of one machine."""

    def __init__(self, path: Path, *, wait_seconds: float = 30.0) -> None:
        self.path = path
        self._wait_seconds = wait_seconds
        self._threads = threading.Lock()

    def read(self) -> Head | None:
        """The head, or None where no event was recorded yet.

        Raises:
            LedgerError: the file cannot be read or is not a head.
        """
        try:
            with self.path.open("rb") as stream:
                data = stream.read(MAX_HEAD_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LedgerError(
                f"the ledger's head {self.path} cannot be read ({error.strerror})",
                hint="Check that it is a file and that its permissions allow it.",
            ) from error
        try:
            if len(data) > MAX_HEAD_BYTES:
                raise Malformed("the ledger's head is too large")
            return Head.decode(data)
        except FormatError as error:
            raise LedgerError(
                f"the ledger's head {self.path} was altered or damaged: {error.message}",
                hint="Restore it from a backup; then verify the ledger.",
            ) from error

    def write(self, head: Head) -> None:
        """Replaces the head; the caller holds the lock. An older head than the present one changes nothing.

        Raises:
            LedgerError: the present head names another event of the same sequence, or the file cannot be written.
        """
        present = self.read()
        if present is not None and present.sequence >= head.sequence:
            if present.sequence == head.sequence and present.digest != head.digest:
                raise LedgerError(
                    f"the ledger's head {self.path} names another event {head.sequence} than the ledger holds",
                    hint="Two ledgers share one head file, or the history was replaced; verify the ledger.",
                )
            if present.sequence > head.sequence:
                return
        temporary = self.path.with_name(f"{self.path.name}.new")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(head.encode())
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(self.path)
            flush_folder(self.path.parent)
        except OSError as error:
            raise LedgerError(
                f"event {head.sequence} is recorded, but the ledger's head {self.path} cannot be written "
                f"({error.strerror})",
                hint="Make room or correct the permissions; the next event brings the head up to date.",
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the lock that writers share, among threads and processes.

        Raises:
            Busy: somebody else held it for too long.
            LedgerError: the lock file cannot be created.
        """
        if not self._threads.acquire(timeout=self._wait_seconds):
            raise self._busy()
        try:
            with ExitStack() as closing:
                try:
                    lock = self.path.with_name(f"{self.path.name}.lock")
                    closing.enter_context(locked_file(lock, wait_seconds=self._wait_seconds))
                except TimeoutError as error:
                    raise self._busy() from error
                except OSError as error:
                    raise LedgerError(
                        f"the lock beside the ledger's head {self.path} cannot be created ({error.strerror})",
                        hint="Check that the folder exists and may be written to.",
                    ) from error
                yield
        finally:
            self._threads.release()

    def _busy(self) -> Busy:
        return Busy(
            f"another process has been writing to the ledger beside {self.path} for {self._wait_seconds:g} s",
            hint="Try again, or end the process that holds the lock.",
        )
