"""Moves channels and revokes revisions in the signed index, so that a reader sees the old state or the new one, whole.

How a state is written, all but the last object without replacing any:

1. the bins that changed, each under the next free version of its name;
2. the snapshot under exactly the next number. Only one writer gets it; it is the claim to be the next state, made after
   the last one, so no change is lost. Whoever is second reads the new state and tries again;
3. the timestamp, the only object that is replaced. It has the snapshot's number, so the same number never names two
   states. After it was put the writer looks whether a later state was claimed meanwhile, and publishes that.

A writer that is killed before 3 leaves the old state; its claim is complete, and the next writer builds on it. A claim
that is not signed as the root asks is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    Targets,
    Timestamp,
)

from weighbridge.admit.index import (
    Edit,
    LedgerMark,
    ModelEntry,
    Pointed,
    Revocation,
    Revoke,
    SetChannel,
    bin_prefix,
    bits_for,
    key_of,
    moment,
    role_of,
)
from weighbridge.admit.index_keys import Lifetimes, TufSignature, encoded, new_root, read_root, tuf_key
from weighbridge.admit.index_lists import MARK, binned, bits_of, entries_of, mark_of, meta_file, roles_of, target_files
from weighbridge.admit.index_state import (
    MAX_SNAPSHOT_BYTES,
    MAX_TARGETS_BYTES,
    TrustedIndex,
    read_bounded,
    translated,
)
from weighbridge.attest.public_keys import SigningKey
from weighbridge.core.errors import (
    Busy,
    ConfigError,
    Conflict,
    LimitExceeded,
    ObjectMissing,
    SignatureInvalid,
    StatementMismatch,
    TrustError,
)
from weighbridge.core.names import ModelName
from weighbridge.core.ports import ObjectStore
from weighbridge.store.ledger import now_rfc3339

ATTEMPTS = 64
"""How often a writer that others overtake begins again, and how many taken names it passes over."""
MAX_CLAIMS = 1_000
MAX_NUMBER = 1 << 40
"""Beyond this a version was driven up by an attacker, and new keys begin anew below it."""
_ALWAYS = datetime.fromtimestamp(0, UTC)
"""A writer may build on a state that has expired: its time is over, not its truth."""

EditsSince = Callable[[LedgerMark], tuple[Sequence[Edit], LedgerMark]]
"""What an index that tells so much of the ledger lacks, and what it tells then."""


@dataclass(frozen=True, slots=True)
class _Base:
    """The state to build on. `number` is the next snapshot's; `published` the one that readers see, 0 for none."""

    root: Root
    targets: Targets | None
    meta: Mapping[str, MetaFile]
    mark: LedgerMark
    models: int
    number: int
    published: int
    snapshot: bytes = b""

    @property
    def bits(self) -> int:
        return bits_of(self.targets) if self.targets is not None else 0


@dataclass(frozen=True, slots=True)
class _Plan:
    """The next state: the roles to write anew with all their models, and what the snapshot says beside them."""

    bits: int
    roles: Mapping[str, Mapping[ModelName, ModelEntry]]
    mark: LedgerMark
    models: int
    delegate: bool = False
    """Whether the top-level targets have to be written anew although the models lie in bins."""


class IndexWriter:
    """See above. `trust` is the folder of what this machine believes, the same as its readers'; `signer` an online key."""

    def __init__(
        self,
        store: ObjectStore,
        signer: SigningKey,
        trust: Path,
        clock: Callable[[], str] = now_rfc3339,
        *,
        lifetimes: Lifetimes | None = None,
    ) -> None:
        self.store = store
        self.trusted = TrustedIndex(store, trust)
        self.lifetimes = lifetimes or Lifetimes()
        self._signer = signer
        self._clock = clock

    # --- what others call

    def create(self, root: bytes = b"") -> bool:
        """Makes an empty index, unless there is one; whether it was made. Without `root` our key alone signs everything.

        Raises:
            ConfigError: there is one whose root is not trusted here.
            SignatureInvalid: the given root lacks signatures.
            StoreError: it could not be written.
        """
        with self.trusted.locked():
            if self.trusted.has_root or self._own_root_is_there():
                return False
            data = root or self._own_root()
            metadata = read_root(data)
            with translated("the root"):
                metadata.signed.verify_delegate(Root.type, metadata.signed_bytes, metadata.signatures)
            self._check_may_sign(metadata.signed)
            try:
                self.store.put(key_of("root", 1), data)
            except Conflict as error:
                raise self._unknown_root() from error
            self.trusted.trust_root(data)
            self._write(lambda mark: ((), mark), force=True)
        return True

    def set_channel(self, model_name: ModelName, channel: str, revision: str, manifest_sha256: str) -> int:
        """Points a channel to a revision; returns the index's version."""
        pointed = Pointed(revision, manifest_sha256, self._clock())
        return self.apply([SetChannel(model_name, channel, pointed)])

    def revoke(self, model_name: ModelName, revision: str, reason: str) -> int:
        """Revokes a revision; returns the index's version."""
        return self.apply([Revoke(model_name, Revocation(revision, reason, self._clock()))])

    def apply(self, edits: Sequence[Edit]) -> int:
        """Makes some changes at once; returns the index's version. No change is no new version."""
        return self.follow(lambda mark: (edits, mark))

    def follow(self, edits_since: EditsSince) -> int:
        """Makes the changes that the index lacks, asked again whenever another writer was first; returns the version.

        Raises:
            ConfigError: no root is trusted here, or this key may not sign.
            TrustError: what the store shows must not be built on.
            Busy: other writers were first all the time.
            StoreError: it could not be written; readers see the old state.
        """
        self.create()
        with self.trusted.locked():
            return self._write(edits_since)

    def refresh(self, edits_since: EditsSince = lambda mark: ((), mark)) -> int:
        """Signs the index again, and whatever lists have lived half of their life; returns the version. Raises as `follow`."""
        self.create()
        with self.trusted.locked():
            return self._write(edits_since, force=True, renew=True)

    def check(self) -> None:
        """Makes sure, before anything is promised, that there is an index and this key may sign it. Raises as `follow`."""
        self.create()
        with self.trusted.locked():
            self._check_may_sign(self.trusted.load_root(_ALWAYS))

    def rewrite(self, entries: Iterable[ModelEntry], mark: LedgerMark, *, root: bytes = b"") -> int:
        """Writes every list anew from what is known to be true, on top of whatever the store shows; returns the version.

        With `root`, the next root, for new keys: the lists are written first, then the root, then the timestamp.

        Raises:
            SignatureInvalid, StatementMismatch: the root lacks signatures, or is not the next one.
            ConfigError, Conflict, StoreError: it could not be written.
        """
        by_name = {entry.model_name: entry for entry in entries}
        if not root:
            self.create()
        with self.trusted.locked():
            before = self.trusted.load_root(_ALWAYS)
            after = self._next_root(before, root) if root else before
            self._check_may_sign(after)
            base = replace(self._base_or_less(), root=after)
            bits = bits_for(len(by_name), at_least=base.bits)
            plan = _Plan(bits, binned(by_name, bits), mark, len(by_name), delegate=True)
            number, data = self._claim_any(base, plan)
            if root:
                self.store.put(key_of("root", after.version), root)
                self.trusted.load_root(_ALWAYS)
            self._publish(after, number, data)
            return number

    def trusted_mark(self) -> LedgerMark:
        """How much of the ledger the index that is believed here tells; nothing when it cannot be believed."""
        with self.trusted.locked():
            self.trusted.load_root(_ALWAYS)
            return self._base_or_less().mark

    # --- the state to build on

    def _write(self, edits_since: EditsSince, *, force: bool = False, renew: bool = False) -> int:
        for _ in range(ATTEMPTS):
            base = self._base()
            self._check_may_sign(base.root)
            edits, mark = edits_since(base.mark)
            plan = self._plan(base, edits, mark, renew=renew)
            # Events that concern no channel are no reason for a new state.
            if not force and base.published and not plan.roles and (not edits or mark == base.mark):
                if base.snapshot:
                    self._publish(base.root, base.number - 1, base.snapshot)
                return base.number - 1
            try:
                data = self._claim(base, plan)
            except Conflict:
                continue
            self._publish(base.root, base.number, data)
            return base.number
        raise Busy(f"other writers keep changing the index in {self.store.address}", hint="Try again.")

    def _base(self) -> _Base:
        trusted = self.trusted
        try:
            trusted.load(_ALWAYS)
        except ObjectMissing:
            if trusted.seen_version():
                raise
            return self._grown(_Base(trusted.root, None, {}, LedgerMark(), 0, 1, 0))
        mark, models = mark_of(trusted.snapshot)
        number = trusted.snapshot.version
        base = _Base(trusted.root, trusted.targets, trusted.snapshot.meta, mark, models, number + 1, number)
        return self._grown(base)

    def _grown(self, base: _Base) -> _Base:
        """The base with every state that was claimed after it."""
        first = base.number
        while base.number < first + MAX_CLAIMS:
            try:
                data = read_bounded(self.store, key_of("snapshot", base.number), MAX_SNAPSHOT_BYTES)
            except ObjectMissing:
                return base
            except LimitExceeded:
                data = b""
            base = replace(self._claimed(base, data), number=base.number + 1)
        raise Busy(f"{MAX_CLAIMS} states of the index in {self.store.address} were claimed and never published")

    def _claimed(self, base: _Base, data: bytes) -> _Base:
        """The base after the claim, or unchanged when nobody who may sign made it."""
        try:
            metadata = Metadata[Snapshot].from_bytes(data)
            base.root.verify_delegate(Snapshot.type, metadata.signed_bytes, metadata.signatures)
            snapshot = metadata.signed
            mark, models = mark_of(snapshot)
            follows = all(
                name in snapshot.meta and snapshot.meta[name].version >= listed.version
                for name, listed in base.meta.items()
            )
            if snapshot.type != Snapshot.type or snapshot.version != base.number or not follows:
                return base
            targets = self._targets("targets", snapshot.meta, base.root)
        except (RepositoryError, ValueError, TrustError, ObjectMissing):
            return base
        return replace(base, targets=targets, meta=snapshot.meta, mark=mark, models=models, snapshot=data)

    def _base_or_less(self) -> _Base:
        """The base, or, when what the store shows is not to be believed, only a number to go on with."""
        try:
            base = self._base()
        except (TrustError, ObjectMissing, LimitExceeded, Busy):
            base = _Base(self.trusted.root, None, {}, LedgerMark(), 0, self.trusted.seen_version() + 1, 0)
        if base.number > MAX_NUMBER:
            return replace(base, targets=None, meta={}, number=1)
        return base

    def _targets(self, role: str, meta: Mapping[str, MetaFile], delegator: Root | Targets) -> Targets:
        """A list that the base names, verified."""
        named = meta[f"{role}.json"]
        data = self.trusted.kept(role, named)
        if data is None:
            data = read_bounded(self.store, key_of(role, named.version), MAX_TARGETS_BYTES)
        with translated(f"'{role}'"):
            named.verify_length_and_hashes(data)
            metadata = Metadata[Targets].from_bytes(data)
            delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
        if metadata.signed.type != Targets.type or metadata.signed.version != named.version:
            raise StatementMismatch(f"'{role}' of the index is not the one that was signed for")
        return metadata.signed

    def _entries(self, base: _Base, role: str) -> dict[ModelName, ModelEntry]:
        if base.targets is None:
            return {}
        targets = self._targets(role, base.meta, base.targets) if base.bits else base.targets
        return {entry.model_name: entry for entry in entries_of(targets, role, base.bits)}

    # --- the next state

    def _plan(self, base: _Base, edits: Sequence[Edit], mark: LedgerMark, *, renew: bool) -> _Plan:
        changed: dict[str, dict[ModelName, ModelEntry]] = {}
        present: dict[str, dict[ModelName, ModelEntry]] = {}
        models = base.models
        for edit in edits:
            role = role_of(str(edit.model_name), base.bits)
            if role not in changed:
                present[role] = self._entries(base, role)
                changed[role] = dict(present[role])
            entries = changed[role]
            models += edit.model_name not in entries
            entries[edit.model_name] = edit.applied_to(entries.get(edit.model_name, ModelEntry(edit.model_name)))
        bits = bits_for(models, at_least=base.bits)
        if bits > base.bits:
            everything = {
                name: entry for role in roles_of(base.bits) for name, entry in self._entries(base, role).items()
            }
            everything |= {name: entry for entries in changed.values() for name, entry in entries.items()}
            return _Plan(bits, binned(everything, bits), mark, models, delegate=True)
        changed = {role: entries for role, entries in changed.items() if entries != present[role]}
        if renew:
            changed |= {role: self._entries(base, role) for role in self._due(base) if role not in changed}
        if base.targets is None:
            changed.setdefault("targets", {})
        return _Plan(bits, changed, mark, models, delegate=renew and bits > 0 and self._is_due(base.targets))

    def _due(self, base: _Base) -> list[str]:
        if base.targets is None:
            return []
        targets = (
            {role: self._targets(role, base.meta, base.targets) for role in roles_of(base.bits)} if base.bits else {}
        )
        return [role for role, found in (targets or {"targets": base.targets}).items() if self._is_due(found)]

    def _is_due(self, targets: Targets | None) -> bool:
        half = timedelta(days=self.lifetimes.lists_days) / 2
        return targets is not None and targets.expires < moment(self._clock()) + half

    def _claim(self, base: _Base, plan: _Plan) -> bytes:
        """Puts lists and snapshot and returns the snapshot's bytes. Raises Conflict when another writer has the number."""
        now = moment(self._clock())
        meta = dict(base.meta)
        for role, entries in plan.roles.items():
            targets = Targets(expires=self.lifetimes.lists(now), targets=target_files(entries.values()))
            meta[f"{role}.json"] = self._put_list(role, targets, meta)
        if plan.bits and plan.delegate:
            targets = Targets(expires=self.lifetimes.lists(now), delegations=self._delegations(base.root, plan.bits))
            meta["targets.json"] = self._put_list("targets", targets, meta)
        snapshot = Snapshot(
            version=base.number,
            expires=self.lifetimes.lists(now),
            meta=meta,
            unrecognized_fields={
                MARK: {
                    "ledger": plan.mark.ledger,
                    "sequence": plan.mark.sequence,
                    "digest": plan.mark.digest,
                    "models": plan.models,
                }
            },
        )
        data = self._signed(Metadata(snapshot))
        self.store.put(key_of("snapshot", base.number), data)
        return data

    def _claim_any(self, base: _Base, plan: _Plan) -> tuple[int, bytes]:
        step = 1
        for _ in range(ATTEMPTS):
            try:
                return base.number, self._claim(base, plan)
            except Conflict:
                base = replace(base, number=base.number + step)
                step *= 2
        raise Busy(f"no number is free for the index in {self.store.address}")

    def _put_list(self, role: str, targets: Targets, meta: Mapping[str, MetaFile]) -> MetaFile:
        """Puts a list under the next free version: killed writers leave some that no snapshot names."""
        listed = meta.get(f"{role}.json")
        targets.version, step = (listed.version if listed else 0) + 1, 1
        for _ in range(ATTEMPTS):
            data = self._signed(Metadata(targets))
            if len(data) > MAX_TARGETS_BYTES:
                raise LimitExceeded(f"'{role}' of the index would be {len(data)} bytes, more than readers read")
            try:
                self.store.put(key_of(role, targets.version), data)
            except Conflict:
                targets.version += step
                step *= 2
                continue
            return meta_file(targets.version, data)
        raise Busy(f"no version of '{role}' is free in {self.store.address}")

    def _delegations(self, root: Root, bits: int) -> Delegations:
        keys = {key_id: root.keys[key_id] for key_id in root.roles[Targets.type].keyids}
        return Delegations(keys, succinct_roles=SuccinctRoles(sorted(keys), 1, bits, bin_prefix(bits)))

    def _publish(self, root: Root, number: int, data: bytes) -> None:
        """Puts the timestamp for a claimed state, and for every one that is claimed until it is there."""
        while True:
            number, data = self._newest(root, number, data)
            expires = self.lifetimes.timestamp(moment(self._clock()))
            timestamp = Timestamp(version=number, expires=expires, snapshot_meta=meta_file(number, data))
            signed = self._signed(Metadata(timestamp))
            self.store.put(key_of("timestamp"), signed, replace=True)
            if self._newest(root, number, data)[0] == number:
                self.trusted.adopt(signed, data)
                return

    def _newest(self, root: Root, number: int, data: bytes) -> tuple[int, bytes]:
        with translated("the snapshot"):
            snapshot = Metadata[Snapshot].from_bytes(data).signed
        grown = self._grown(_Base(root, None, snapshot.meta, LedgerMark(), 0, number + 1, number))
        if not grown.snapshot:
            return number, data
        return Metadata[Snapshot].from_bytes(grown.snapshot).signed.version, grown.snapshot

    # --- keys

    def _signed(self, metadata: Metadata[Snapshot] | Metadata[Targets] | Metadata[Timestamp]) -> bytes:
        metadata.sign(TufSignature(self._signer))
        return encoded(metadata)

    def _own_root(self) -> bytes:
        key = tuf_key(self._signer.public_pem)
        root = Metadata(new_root([key], 1, [key], self.lifetimes.root(moment(self._clock()))))
        root.sign(TufSignature(self._signer))
        return encoded(root)

    def _own_root_is_there(self) -> bool:
        """Whether an index is there already; one that our key alone vouches for needs nobody else's word."""
        try:
            data = read_bounded(self.store, key_of("root", 1), MAX_SNAPSHOT_BYTES)
        except ObjectMissing:
            return False
        root = read_root(data).signed
        if root.roles[Root.type].keyids != [self._signer.key_id]:
            raise self._unknown_root()
        self.trusted.trust_root(data)
        return True

    def _unknown_root(self) -> ConfigError:
        return ConfigError(
            f"there is an index in {self.store.address} already, and its root is not trusted here",
            hint="Get root.json from whoever made it, by a way you trust: weighbridge channels trust FILE",
        )

    def _check_may_sign(self, root: Root) -> None:
        for role in (Timestamp.type, Snapshot.type, Targets.type):
            if root.roles[role].threshold != 1 or self._signer.key_id not in root.roles[role].keyids:
                raise ConfigError(
                    f"the key {self._signer.key_id[:16]}… may not sign the index in {self.store.address}",
                    hint="Whoever holds the root keys can add it: weighbridge channels rotate-keys",
                )

    def _next_root(self, before: Root, data: bytes) -> Root:
        metadata = read_root(data)
        with translated("the new root"):
            before.verify_delegate(Root.type, metadata.signed_bytes, metadata.signatures)
            metadata.signed.verify_delegate(Root.type, metadata.signed_bytes, metadata.signatures)
        if metadata.signed.version != before.version + 1:
            raise StatementMismatch(
                f"the new root has version {metadata.signed.version}, the next is {before.version + 1}",
                hint="Make the draft again from the present root.",
            )
        if metadata.signed.expires <= moment(self._clock()):
            raise SignatureInvalid("the new root has expired already")
        return metadata.signed
