"""What people have accepted: findings by rule, place and the artifact's digest, each with a reason and an end.

A baseline is a JSON file that is kept beside the deployment's configuration and reviewed like code. An entry accepts
one finding in one artifact with one digest: when the bytes change, it accepts nothing any more; after `expires` (a date,
UTC) neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import Final

from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import ConfigError, FormatError, Malformed

FORMAT: Final = "weighbridge.baseline/1"
MAX_BYTES: Final = 8 * 1024 * 1024

DigestOf = Callable[[str], str]
"""The digest of the artifact at a path, as `sha256:<hex>` or `git-sha1:<hex>`."""


@dataclass(frozen=True, slots=True, order=True)
class Acceptance:
    """One accepted finding. `digest` is the artifact's, or the manifest's facts where a finding is about the whole."""

    path: str
    rule: str
    location: str
    digest: str
    reason: str
    expires: str
    accepted_by: str

    def to_json(self) -> dict[str, JsonValue]:
        """The entry as it is written."""
        return {
            "path": self.path,
            "rule": self.rule,
            "location": self.location,
            "digest": self.digest,
            "reason": self.reason,
            "expires": self.expires,
            "accepted_by": self.accepted_by,
        }


@dataclass(frozen=True, slots=True)
class Baseline:
    """All that was accepted."""

    accepted: tuple[Acceptance, ...] = ()

    @classmethod
    def from_bytes(cls, data: bytes, *, name: str) -> Baseline:
        """Reads a baseline file.

        Raises:
            ConfigError: it is not one; `name` says which.
        """
        try:
            if len(data) > MAX_BYTES:
                raise Malformed(f"it is larger than {MAX_BYTES} bytes")
            fields = Fields(canonical.decode_object(data, what="the baseline"), what="the baseline")
            if fields.text("format") != FORMAT:
                raise Malformed("it has a format this version does not read")
            return cls(tuple(_read(Fields(item, what="an entry")) for item in fields.items("accepted")))
        except FormatError as error:
            raise ConfigError(
                f"'{name}' is no baseline: {error.message}", hint="`weighbridge scan --write-baseline FILE` writes one."
            ) from error

    def to_json(self) -> dict[str, JsonValue]:
        """The file's content, in order."""
        return {"format": FORMAT, "accepted": [entry.to_json() for entry in sorted(self.accepted)]}

    def find(self, *, path: str, rule: str, location: str, digest_of: DigestOf, today: date) -> Acceptance | None:
        """The entry that accepts a finding today; the digest is only asked for when the rest fits."""
        for entry in self.accepted:
            fits = (entry.path, entry.rule, entry.location) == (path, rule, location)
            if fits and date.fromisoformat(entry.expires) >= today and entry.digest == digest_of(path):
                return entry
        return None

    def expired(self, today: date) -> tuple[Acceptance, ...]:
        """Entries whose time is over."""
        return tuple(entry for entry in self.accepted if date.fromisoformat(entry.expires) < today)


def accept(
    wanted: Iterable[tuple[str, str, str]], *, digest_of: DigestOf, reason: str, expires: date, accepted_by: str
) -> Baseline:
    """A baseline of (path, rule, location) triples, all for one reason.

    Raises:
        ConfigError: no reason is given.
    """
    if not reason.strip():
        raise ConfigError("a baseline needs a reason", hint="Say why with --reason; reviewers will ask.")
    digests: dict[str, str] = {}
    entries = []
    for path, rule, location in sorted(set(wanted)):
        if path not in digests:
            digests[path] = digest_of(path)
        entries.append(
            Acceptance(path, rule, location, digests[path], reason.strip(), expires.isoformat(), accepted_by)
        )
    return Baseline(tuple(entries))


def _read(fields: Fields) -> Acceptance:
    entry = Acceptance(
        **{name: fields.text(name) for name in ("path", "rule", "location", "digest", "reason", "expires")},
        accepted_by=fields.text("accepted_by"),
    )
    try:
        date.fromisoformat(entry.expires)
    except ValueError as error:
        raise Malformed(f"'{entry.expires}' is not a date like 2027-01-31") from error
    if not entry.reason.strip():
        raise Malformed(f"the entry for '{entry.path}' gives no reason")
    return entry
