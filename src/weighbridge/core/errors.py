"""Every way in which weighbridge cannot answer, as one tree.

::

    WeighbridgeError                exit 1
      ConfigError                   exit 2   a setting, an address or an argument is wrong
      NothingCollected              exit 3   the selection matched no artifact, the name no revision
      SourceError                   exit 1   the upstream would not, or could not, hand over the bytes
        RevisionMoved               exit 6   a name points elsewhere than it did when it was pinned
        RepositoryMoved             exit 6   the repository was renamed, redirected or re-created
        ContentChanged              exit 6   the file changed at its source while it was read (transient)
        Gated                       exit 1   the upstream wants a token or an accepted licence
        NotFound                    exit 1   no such repository, revision or file
        RateLimited                 exit 1   told to wait (transient)
        Unreachable                 exit 1   no connection, server error, stalled (transient)
        UnsafePath                  exit 6   a file name that would escape, collide or confuse
        PointerInsteadOfFile        exit 6   a Git LFS pointer where the file itself should be
        MissingShard                exit 6   an index names a shard that the revision does not hold
      IntegrityError                exit 6   bytes are not the bytes they were said to be
        LengthMismatch, DigestMismatch, Truncated
      FormatError                   exit 1   bytes do not follow the format they claim
        Malformed, LimitExceeded, Ambiguous
      InspectError                  exit 4   an inspector could not answer: the verdict is unknown
        InspectorCrashed, InspectorTimedOut, FoundAhead
      StoreError                    exit 1   the store would not, or could not, keep or return the bytes
        StoreUnreachable            exit 1   no connection, server error (transient)
        Conflict, IncompleteUpload, OutOfSpace, AccessRefused, ObjectMissing, Unversioned, Busy
      LedgerError                   exit 6   the history was altered, cut or cannot be written
      TrustError                    exit 7   a signature or statement does not hold
        SignatureInvalid, StatementMismatch, Expired, RolledBack, Revoked
      SignerUnavailable             exit 1   the key that signs lies elsewhere and did not answer (transient)
      Denied                        exit 5   policy said no; carries the rule ids
      Interrupted                   exit 130 stopped by a person or a signal

`IntegrityError` and the moved-name errors share an exit code because they mean the same to whoever called: what
arrived is not what was asked for.
"""

from __future__ import annotations


class WeighbridgeError(Exception):
    """Base of all errors of weighbridge.

    `message` says what happened, to which artifact of which model; `hint` says what to do next. Neither ever carries a
    secret: callers pass redacted addresses.
    """

    exit_code: int = 1
    transient: bool = False
    """Whether trying the same request again may succeed."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def diagnostics(self) -> str:
        """The message and, below it, what to do next."""
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class ConfigError(WeighbridgeError):
    """A setting, an address or an argument is wrong."""

    exit_code = 2


class NothingCollected(WeighbridgeError):
    """There was nothing to work on."""

    exit_code = 3


class SourceError(WeighbridgeError):
    """The upstream would not, or could not, hand over the bytes."""


class RevisionMoved(SourceError):
    """A name points elsewhere than it did when it was pinned."""

    exit_code = 6


class RepositoryMoved(SourceError):
    """The repository was renamed, redirected, or re-created under another owner."""

    exit_code = 6


class ContentChanged(SourceError):
    """The file changed at its source while it was read, or two answers about it disagree."""

    exit_code = 6
    transient = True


class Gated(SourceError):
    """The upstream wants a token, or a licence accepted by the token's owner."""


class NotFound(SourceError):
    """No such repository, revision or file."""


class RateLimited(SourceError):
    """The upstream asked to wait."""

    transient = True

    def __init__(self, message: str, *, hint: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class Unreachable(SourceError):
    """No connection, a server error, or a stalled transfer."""

    transient = True


class UnsafePath(SourceError):
    """A file name that would escape its folder, collide with another, or confuse a reader."""

    exit_code = 6


class PointerInsteadOfFile(SourceError):
    """A Git LFS pointer lies where the file itself should be."""

    exit_code = 6


class MissingShard(SourceError):
    """An index names a shard that the revision does not hold."""

    exit_code = 6


class IntegrityError(WeighbridgeError):
    """Bytes are not the bytes they were said to be."""

    exit_code = 6


class LengthMismatch(IntegrityError):
    """A length differs from the one that was recorded."""


class DigestMismatch(IntegrityError):
    """A digest differs from the one that was recorded."""


class Truncated(IntegrityError):
    """A body ended before its announced length."""

    transient = True


class FormatError(WeighbridgeError):
    """Bytes do not follow the format they claim."""


class Malformed(FormatError):
    """The format's own rules are broken."""


class LimitExceeded(FormatError):
    """A stranger's number is larger than any honest file needs."""


class Ambiguous(FormatError):
    """Two readers could understand the same bytes differently."""


class InspectError(WeighbridgeError):
    """An inspector could not answer: its verdict is unknown."""

    exit_code = 4


class InspectorCrashed(InspectError):
    """An inspector ended without an answer."""


class InspectorTimedOut(InspectError):
    """An inspector took longer than it may."""


class FoundAhead(InspectError):
    """A first look found what stops an ingest; the exit code is that of the severity, 11 to 14."""


class StoreError(WeighbridgeError):
    """The store would not, or could not, keep or return the bytes."""


class StoreUnreachable(StoreError):
    """The store did not answer, or answered with a server error."""

    transient = True


class Conflict(StoreError):
    """Something else is already stored under that key."""


class IncompleteUpload(StoreError):
    """An upload cannot be completed from the parts that arrived."""


class OutOfSpace(StoreError):
    """The store is full."""


class AccessRefused(StoreError):
    """The credentials do not allow the request."""


class ObjectMissing(StoreError):
    """No object under that key (or no such version of it)."""


class Unversioned(StoreError):
    """The bucket keeps no versions, so an overwrite would leave no trace."""


class Busy(StoreError):
    """Another process holds what is needed."""


class LedgerError(WeighbridgeError):
    """The history was altered, cut short, or cannot be written."""

    exit_code = 6


class TrustError(WeighbridgeError):
    """A signature or statement does not hold."""

    exit_code = 7


class SignatureInvalid(TrustError):
    """The signature was not made by the key over these bytes."""


class StatementMismatch(TrustError):
    """A valid signature over a statement about something else."""


class Expired(TrustError):
    """A statement or key is past its time."""


class RolledBack(TrustError):
    """An older state is shown in place of a newer one."""


class Revoked(TrustError):
    """The key or the revision was revoked."""


class SignerUnavailable(WeighbridgeError):
    """The key that signs lies elsewhere (a token, a key service) and did not answer."""

    transient = True


class Denied(WeighbridgeError):
    """Policy said no."""

    exit_code = 5

    def __init__(self, message: str, *, rules: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.rules = rules


class Interrupted(WeighbridgeError):
    """Stopped by a person or a signal; what was done so far is kept for the next run."""

    exit_code = 130
