"""The index of channels: which revision each channel of each model points to, and which revisions are revoked.

The nouns and the spelling of one model's record; no signature is judged and nothing is read or written here.

- A model's record is the `custom` part of a TUF target that is named like the model, `org/name`. Nothing else has to be
  fetched; `length` and `hashes` of the target are those of the record's canonical bytes.
- Up to `BIN_MODELS` models lie in the top-level targets. More are spread over hash bins (TAP 15), so that moving one
  channel rewrites one bin; bins are only ever split, never joined.
- A record with an unknown format or an unknown key is refused: a field that nobody checks protects nobody.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.digests import is_sha256
from weighbridge.core.errors import ConfigError, Expired, FormatError, NothingCollected, Revoked, StatementMismatch
from weighbridge.core.names import ModelName, is_revision

FORMAT = "weighbridge.channels/1"
PREFIX = "index/"
"""Where the index lies in the approved store."""
BIN_MODELS = 64
"""How many models a bin holds on average before bins are split."""
BIN_BITS = (0, 4, 8)
"""Powers of two of the number of bins; 0 is none."""
MAX_REASON_CHARACTERS = 500
_CHANNEL = re.compile(r"[a-z][a-z0-9]*(?:[._-][a-z0-9]+)*")
_HEXADECIMAL = re.compile(r"[0-9a-f]{4,}")
MAX_CHANNEL_CHARACTERS = 64
STALE_HINT = "Have the index signed again where channels are moved: weighbridge channels refresh"


def check_channel(channel: str) -> str:
    """Returns `channel` when it can name one.

    Raises:
        ConfigError: it is no lowercase word, or could be taken for the beginning of a revision.
    """
    if len(channel) > MAX_CHANNEL_CHARACTERS or not _CHANNEL.fullmatch(channel) or _HEXADECIMAL.fullmatch(channel):
        raise ConfigError(
            f"{channel!r:.100} is not the name of a channel",
            hint="Write a lowercase word such as production or staging, which is no hexadecimal number.",
        )
    return channel


@dataclass(frozen=True, slots=True)
class Pointed:
    """What a channel points to: a revision and the digest of its manifest (`Manifest.digest`), since when (RFC 3339)."""

    revision: str
    manifest_sha256: str
    set_at: str


@dataclass(frozen=True, slots=True)
class Revocation:
    """A revision that nobody may use any more: why, and since when (RFC 3339)."""

    revision: str
    reason: str
    revoked_at: str


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """All the index says of one model: channels by name, revocations by revision."""

    model_name: ModelName
    channels: Mapping[str, Pointed] = field(default_factory=dict)
    revoked: Mapping[str, Revocation] = field(default_factory=dict)

    def to_json(self) -> dict[str, JsonValue]:
        """The record of this model."""
        return {
            "format": FORMAT,
            "model": str(self.model_name),
            "channels": {
                channel: {
                    "revision": pointed.revision,
                    "manifest_sha256": pointed.manifest_sha256,
                    "set_at": pointed.set_at,
                }
                for channel, pointed in self.channels.items()
            },
            "revoked": {
                revision: {"reason": revocation.reason, "revoked_at": revocation.revoked_at}
                for revision, revocation in self.revoked.items()
            },
        }

    @classmethod
    def from_json(cls, record: JsonValue, *, model: str) -> ModelEntry:
        """Reads the record of `model`.

        Raises:
            StatementMismatch: it is of another model, of another format, or not what `to_json` writes.
        """
        what = f"the index's record of {model!r:.120}"
        try:
            fields = Fields(record, what=what)
            if fields.text("format") != FORMAT:
                raise StatementMismatch(f"{what} has a format this version does not read", hint="Install a newer one.")
            if fields.text("model") != model:
                raise StatementMismatch(f"{what} is the record of another model")
            entry = cls(ModelName.parse(model), _channels(fields), _revocations(fields))
            fields.done()
        except (FormatError, ConfigError) as error:
            raise StatementMismatch(f"{what} cannot be read: {error.message}") from error
        return entry


def _channels(fields: Fields) -> dict[str, Pointed]:
    listed = fields.fields("channels")
    channels: dict[str, Pointed] = {}
    for channel in _keys(fields.value("channels")):
        one = listed.fields(check_channel(channel))
        pointed = Pointed(one.text("revision"), one.text("manifest_sha256"), one.text("set_at"))
        one.done()
        if not is_revision(pointed.revision) or not is_sha256(pointed.manifest_sha256):
            raise ConfigError(f"channel '{channel}' points to no revision")
        channels[channel] = pointed
    return channels


def _revocations(fields: Fields) -> dict[str, Revocation]:
    listed = fields.fields("revoked")
    revoked: dict[str, Revocation] = {}
    for revision in _keys(fields.value("revoked")):
        one = listed.fields(revision)
        revoked[revision] = Revocation(revision, one.text("reason"), one.text("revoked_at"))
        one.done()
        if not is_revision(revision):
            raise ConfigError("what is revoked is no revision")
    return revoked


def _keys(record: JsonValue) -> Iterator[str]:
    return iter(record) if isinstance(record, Mapping) else iter(())


@dataclass(frozen=True, slots=True)
class SetChannel:
    """Points a channel to a revision."""

    model_name: ModelName
    channel: str
    pointed: Pointed

    def __post_init__(self) -> None:
        check_channel(self.channel)
        if not is_revision(self.pointed.revision) or not is_sha256(self.pointed.manifest_sha256):
            raise ConfigError("a channel points to a whole revision (40 hex digits) and its manifest's SHA-256")

    def applied_to(self, entry: ModelEntry) -> ModelEntry:
        """The entry after the change."""
        return replace(entry, channels={**entry.channels, self.channel: self.pointed})


@dataclass(frozen=True, slots=True)
class Revoke:
    """Revokes a revision; the first reason stays."""

    model_name: ModelName
    revocation: Revocation

    def __post_init__(self) -> None:
        reason = self.revocation.reason
        if not is_revision(self.revocation.revision):
            raise ConfigError("what is revoked is a whole revision (40 hex digits)")
        if not reason.strip() or len(reason) > MAX_REASON_CHARACTERS or not reason.isprintable():
            raise ConfigError(
                f"a reason is one line of at most {MAX_REASON_CHARACTERS} characters", hint='Give --reason "…".'
            )

    def applied_to(self, entry: ModelEntry) -> ModelEntry:
        """The entry after the change."""
        return replace(entry, revoked={self.revocation.revision: self.revocation, **entry.revoked})


@dataclass(frozen=True, slots=True)
class Reinstate:
    """Takes a revocation back."""

    model_name: ModelName
    revision: str

    def applied_to(self, entry: ModelEntry) -> ModelEntry:
        """The entry after the change."""
        return replace(entry, revoked={key: one for key, one in entry.revoked.items() if key != self.revision})


Edit = SetChannel | Revoke | Reinstate


@dataclass(frozen=True, slots=True)
class LedgerMark:
    """How much of which ledger an index tells: the digest of its first event, the last event told, and that one's digest."""

    ledger: str = ""
    sequence: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Index:
    """The whole index as one signed state of it says. `version` only grows; `expires` is the first of all expiries (RFC 3339).

    `entries` and `revoked` are complete: a model that is not in `entries` has no channel.
    """

    entries: Mapping[ModelName, Mapping[str, Pointed]]
    revoked: frozenset[tuple[ModelName, str]]
    revocations: Mapping[tuple[ModelName, str], Revocation]
    version: int
    root_version: int
    expires: str
    root_expires: str
    mark: LedgerMark

    def pointed(self, model_name: ModelName, channel: str) -> Pointed:
        """What the channel points to.

        Raises:
            NothingCollected: the index names no such channel.
            Revoked: it points to a revoked revision.
        """
        channels = self.entries.get(model_name, {})
        if channel not in channels:
            known = ", ".join(sorted(channels)) or "none"
            raise NothingCollected(
                f"{model_name} has no channel {channel!r:.100}", hint=f"Channels of {model_name}: {known}."
            )
        self.check(model_name, channels[channel].revision)
        return channels[channel]

    def check(self, model_name: ModelName, revision: str) -> None:
        """Returns when the revision is not revoked.

        Raises:
            Revoked: it is.
        """
        revocation = self.revocations.get((model_name, revision))
        if revocation is not None:
            raise Revoked(
                f"{model_name}@{revision} was revoked at {revocation.revoked_at}: {revocation.reason}",
                hint="Use another revision; `weighbridge channels` lists what each channel points to.",
            )

    def check_fresh(self, now: str) -> None:
        """Returns when the index has not expired at `now` (RFC 3339).

        Raises:
            Expired: it has.
        """
        if moment(now) >= moment(self.expires):
            raise Expired(f"the index of channels expired at {self.expires}", hint=STALE_HINT)


def moment(text: str) -> datetime:
    """The time that RFC 3339 text names.

    Raises:
        ConfigError: it names none, or says not in which zone.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text!r:.60} is not a time in RFC 3339") from error
    if found.tzinfo is None:
        raise ConfigError(f"{text!r:.60} is a time without a zone")
    return found


def key_of(role: str, version: int | None = None) -> str:
    """Where a role's metadata lies in the store; only the timestamp has no version in its name."""
    return f"{PREFIX}{role}.json" if version is None else f"{PREFIX}{version}.{role}.json"


def bits_for(models: int, *, at_least: int = 0) -> int:
    """How many bits of a name's hash choose its bin when there are so many models."""
    fitting = next((bits for bits in BIN_BITS if models <= BIN_MODELS << bits), BIN_BITS[-1])
    return max(fitting, at_least)


def bin_prefix(bits: int) -> str:
    """The beginning of the names of the bins."""
    return f"models{1 << bits}"


def role_of(model: str, bits: int) -> str:
    """The role whose targets hold a model, as TAP 15 computes it."""
    if not bits:
        return "targets"
    number = int.from_bytes(hashlib.sha256(model.encode("utf-8")).digest()[:4], "big") >> (32 - bits)
    return f"{bin_prefix(bits)}-{number:0{-(-bits // 4)}x}"


def record_bytes(entry: ModelEntry) -> bytes:
    """The canonical bytes of a model's record."""
    return canonical.encode(entry.to_json())
