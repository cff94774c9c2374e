"""Channels as acts: points them to revisions, rolls them back, revokes revisions; the ledger first, the index second.

The ledger is the truth and the signed index what readers see of it. The index says how much of the ledger it tells
(`LedgerMark`), so whoever writes next, or refreshes, also makes up for a process that was killed between the two.

Kinds of event, and their payload:

- `channel.set`, subject `org/name@channel`: `model`, `channel`, `revision`, `manifest_digest`, `previous` ("" for none),
  `act` (`promote` or `rollback`), `reason`;
- `revision.revoked` and `revision.reinstated`, subject `org/name@revision`: `model`, `revision`, `reason`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from weighbridge.admit.index import (
    MAX_REASON_CHARACTERS,
    Edit,
    LedgerMark,
    ModelEntry,
    Pointed,
    Reinstate,
    Revocation,
    Revoke,
    SetChannel,
    check_channel,
)
from weighbridge.admit.index_writer import IndexWriter
from weighbridge.core.canonical import Fields
from weighbridge.core.errors import ConfigError, LedgerError, Malformed, NothingCollected, Revoked
from weighbridge.core.names import ModelName, Reference, is_revision
from weighbridge.store.ledger import Event, Ledger
from weighbridge.vault.records import is_sealed

CHANNEL_SET = "channel.set"
REVOKED = "revision.revoked"
REINSTATED = "revision.reinstated"
PROMOTE = "promote"
ROLLBACK = "rollback"
_KINDS = (CHANNEL_SET, REVOKED, REINSTATED)


@dataclass(frozen=True, slots=True)
class Moved:
    """A channel that points elsewhere than before; `before` is "" when it was new."""

    model_name: ModelName
    channel: str
    pointed: Pointed
    before: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A revision that readers refuse from now on, and the channels that still point to it."""

    model_name: ModelName
    revision: str
    reason: str
    channels: tuple[str, ...] = field(default=())


class Channels:
    """The channels of one approved store. `actor` is who acts, for the ledger."""

    def __init__(self, ledger: Ledger, writer: IndexWriter, *, actor: str) -> None:
        self._ledger = ledger
        self._writer = writer
        self._actor = actor

    # --- acts

    def point(
        self, model_name: ModelName, channel: str, revision: str, manifest_digest: str, *, reason: str = ""
    ) -> Pointed:
        """Points a channel to a promoted revision. Nothing is entered when it points there already.

        Raises:
            ConfigError: a name or digest is none, or this key may not sign the index.
            NothingCollected: the revision is not promoted.
            Revoked: it was revoked.
            TrustError, LedgerError, StoreError: the ledger or the index cannot be written. After `LedgerError` nothing
                happened; after the others the ledger has it, and the next act or refresh brings it into the index.
        """
        return self._set(Reference(model_name, channel), revision, manifest_digest, act=PROMOTE, reason=reason).pointed

    def previous(self, model_name: ModelName, channel: str) -> str:
        """The revision that a rollback of the channel goes back to: the last before the present one that may be used.

        What was rolled back from is not gone back to, and a revoked or removed revision is passed over.

        Raises:
            NothingCollected: there is none.
        """
        for event in reversed(self._stack(model_name, channel)[:-1]):
            revision = _text(event, "revision")
            if not revocation(self._ledger, model_name, revision) and is_sealed(
                self._writer.store, model_name, revision
            ):
                return revision
        raise NothingCollected(
            f"channel '{channel}' of {model_name} points to nothing earlier that may be used",
            hint="Name a promoted revision with --to, or promote another one.",
        )

    def rollback(self, model_name: ModelName, channel: str, *, to: str = "", reason: str = "") -> Moved:
        """Points a channel back to its previous revision, or to the one given (40 hex digits). Moves no weights.

        Raises:
            NothingCollected: the channel was never set, or there is nothing to go back to.
            Others as `point`.
        """
        events = self._history(model_name, check_channel(channel))
        if not events:
            raise NothingCollected(
                f"{model_name} has no channel '{channel}'", hint="`weighbridge channels` lists those that there are."
            )
        revision = to or self.previous(model_name, channel)
        digest = next((_text(one, "manifest_digest") for one in events if _text(one, "revision") == revision), "")
        return self._set(
            Reference(model_name, channel),
            revision,
            digest or self._manifest_digest(model_name, revision),
            act=ROLLBACK,
            reason=reason,
        )

    def revoke(self, model_name: ModelName, revision: str, reason: str) -> Withdrawn:
        """Makes every reader refuse a revision, whatever points to it.

        Raises:
            ConfigError: it is no revision, or the reason is no line of text.
            LedgerError: nothing happened. Others: the ledger has it, the index not yet; refresh it.
        """
        Revoke(model_name, Revocation(revision, reason, ""))
        if not revocation(self._ledger, model_name, revision):
            self._enter(REVOKED, model_name, revision, reason)
        self.sync()
        return Withdrawn(model_name, revision, reason, self.pointing_to(model_name, revision))

    def reinstate(self, model_name: ModelName, revision: str, reason: str) -> None:
        """Takes a revocation back.

        Raises:
            NothingCollected: the revision is not revoked. Others as `revoke`.
        """
        Revoke(model_name, Revocation(revision, reason, ""))
        if not revocation(self._ledger, model_name, revision):
            raise NothingCollected(f"{model_name}@{revision} is not revoked")
        self._enter(REINSTATED, model_name, revision, reason)
        self.sync()

    def sync(self) -> int:
        """Brings the index up to the ledger; returns its version. Costs little when nothing is missing."""
        return self._writer.follow(lambda mark: edits_since(self._ledger, mark))

    def refresh(self) -> int:
        """As `sync`, and signs the index again, so that it does not expire."""
        return self._writer.refresh(lambda mark: edits_since(self._ledger, mark))

    def rebuild(self, *, root: bytes = b"") -> int:
        """Writes the whole index anew from the ledger: after damage, or for new keys with the next root.

        Raises:
            As `IndexWriter.rewrite`.
        """
        edits, mark = edits_since(self._ledger, LedgerMark())
        entries: dict[ModelName, ModelEntry] = {}
        for edit in edits:
            entry = entries.get(edit.model_name, ModelEntry(edit.model_name))
            entries[edit.model_name] = edit.applied_to(entry)
        self._writer.rewrite(entries.values(), mark, root=root)
        # Another writer may have told of more meanwhile.
        return self.sync()

    # --- what the ledger says

    def pointing_to(self, model_name: ModelName, revision: str) -> tuple[str, ...]:
        """The channels of the model that point to a revision."""
        channels = self._ledger.catalog().channels(model_name)
        return tuple(sorted(channel for channel, pointed in channels.items() if pointed == revision))

    def _history(self, model_name: ModelName, channel: str) -> list[Event]:
        return [one for one in self._ledger.events(subject=f"{model_name}@{channel}") if one.kind == CHANNEL_SET]

    def _stack(self, model_name: ModelName, channel: str) -> list[Event]:
        """The settings that were not rolled back from, the present one last."""
        stack: list[Event] = []
        for event in self._history(model_name, channel):
            revisions = [_text(one, "revision") for one in stack]
            revision = _text(event, "revision")
            if _text(event, "act") == ROLLBACK and revision in revisions:
                last = len(revisions) - 1 - revisions[::-1].index(revision)
                del stack[last:]
            stack.append(event)
        return stack

    def _manifest_digest(self, model_name: ModelName, revision: str) -> str:
        rows = self._ledger.catalog().revisions(model_name)
        digest = next((row.manifest_digest for row in rows if row.revision == revision), "")
        if not digest:
            raise NothingCollected(f"{model_name}@{revision} is not known here", hint="`weighbridge ls` lists all.")
        return digest

    def _set(self, place: Reference, revision: str, manifest_digest: str, *, act: str, reason: str) -> Moved:
        model_name, channel = place.model_name, check_channel(place.selector)
        if not is_revision(revision) or len(reason) > MAX_REASON_CHARACTERS or not (not reason or reason.isprintable()):
            raise ConfigError("a channel points to a whole revision, for a reason of at most one line")
        self._check_usable(model_name, revision)
        self._writer.check()
        history = self._history(model_name, channel)
        present = history[-1] if history else None
        before = _text(present, "revision") if present else ""
        if present is None or before != revision:
            SetChannel(model_name, channel, Pointed(revision, manifest_digest, ""))
            present = self._ledger.append(
                CHANNEL_SET,
                f"{model_name}@{channel}",
                {
                    "model": str(model_name),
                    "channel": channel,
                    "revision": revision,
                    "manifest_digest": manifest_digest,
                    "previous": before,
                    "act": act,
                    "reason": reason,
                },
                actor=self._actor,
            )
        self.sync()
        pointed = Pointed(revision, _text(present, "manifest_digest"), present.time)
        return Moved(model_name, channel, pointed, before)

    def _check_usable(self, model_name: ModelName, revision: str) -> None:
        check_not_revoked(self._ledger, model_name, revision)
        if not is_sealed(self._writer.store, model_name, revision):
            raise NothingCollected(
                f"{model_name}@{revision} is not promoted: {self._writer.store.address} has no seal of it",
                hint="Promote it first: weighbridge promote",
            )

    def _enter(self, kind: str, model_name: ModelName, revision: str, reason: str) -> None:
        self._ledger.append(
            kind,
            f"{model_name}@{revision}",
            {"model": str(model_name), "revision": revision, "reason": reason},
            actor=self._actor,
        )


def was_rolled_back(ledger: Ledger, model_name: ModelName, channel: str) -> bool:
    """Whether the channel points where it does because somebody stepped back from something later."""
    act = ""
    for event in ledger.events(subject=f"{model_name}@{channel}", kinds=(CHANNEL_SET,)):
        act = _text(event, "act")
    return act == ROLLBACK


def revocation(ledger: Ledger, model_name: ModelName, revision: str) -> str:
    """Why a revision is revoked, "" when it is not."""
    reason = ""
    for event in ledger.events(subject=f"{model_name}@{revision}", kinds=(REVOKED, REINSTATED)):
        reason = _text(event, "reason") if event.kind == REVOKED else ""
    return reason


def check_not_revoked(ledger: Ledger, model_name: ModelName, revision: str) -> None:
    """Returns when a revision is not revoked.

    Raises:
        Revoked: it is; says why.
    """
    if why := revocation(ledger, model_name, revision):
        raise Revoked(
            f"{model_name}@{revision} was revoked: {why}",
            hint="Choose another revision; `weighbridge revoke --undo` takes a revocation back.",
        )


def edits_since(ledger: Ledger, mark: LedgerMark) -> tuple[Sequence[Edit], LedgerMark]:
    """What an index lacks that tells the ledger up to `mark`, and how much it tells then.

    Raises:
        LedgerError: the index tells of another ledger, or of more than this one has.
        Malformed: an event cannot be read.
    """
    first = next(ledger.events(limit=1), None)
    if first is None:
        if mark.sequence:
            raise _other_ledger(mark)
        return (), mark
    if mark.ledger and mark.ledger != first.digest:
        raise _other_ledger(mark)
    if mark.sequence:
        told = next(ledger.events(after=mark.sequence - 1, limit=1), None)
        if told is None or told.sequence != mark.sequence or told.digest != mark.digest:
            raise _other_ledger(mark)
    edits: list[Edit] = []
    last = LedgerMark(first.digest, mark.sequence, mark.digest)
    for event in ledger.events(after=mark.sequence):
        edits.extend(_edits(event))
        last = LedgerMark(first.digest, event.sequence, event.digest)
    return edits, last


def pending(ledger: Ledger, mark: LedgerMark) -> int:
    """How many changes the ledger has that an index with this mark does not tell yet. Raises as `edits_since`."""
    return len(edits_since(ledger, mark)[0])


def _edits(event: Event) -> Iterator[Edit]:
    if event.kind not in _KINDS:
        return
    fields = Fields(event.payload, what=f"the payload of event {event.sequence} ('{event.kind}')")
    try:
        model_name, revision = ModelName.parse(fields.text("model")), fields.text("revision")
        if event.kind == CHANNEL_SET:
            pointed = Pointed(revision, fields.text("manifest_digest"), event.time)
            yield SetChannel(model_name, fields.text("channel"), pointed)
        elif event.kind == REVOKED:
            yield Revoke(model_name, Revocation(revision, fields.text("reason"), event.time))
        else:
            yield Reinstate(model_name, revision)
    except ConfigError as error:
        raise Malformed(f"event {event.sequence} cannot be told by the index: {error.message}") from error


def _text(event: Event, key: str) -> str:
    return Fields(event.payload, what=f"the payload of event {event.sequence}").text(key, "")


def _other_ledger(mark: LedgerMark) -> LedgerError:
    return LedgerError(
        f"the index tells of event {mark.sequence} of a ledger that is not this one, or of more than this one has",
        hint="Restore the ledger, or write the index anew from this one: weighbridge channels refresh --rebuild",
    )
