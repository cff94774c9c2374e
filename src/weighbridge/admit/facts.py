"""Everything that policy judges of one revision, gathered once: manifest, inspection, licence, provenance, lineage.

`Facts` is frozen and has a canonical record and a digest; the same sealed revision with the same inspection gives the same
facts wherever and whenever they are gathered. Gathering reads the model card and licence files from the store, each bounded,
from the exact versions that were sealed, and proves each against its digest in the manifest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Final

from weighbridge.admit.licences import (
    MAX_CARD_BYTES,
    MAX_LICENCE_BYTES,
    MAX_LICENCE_FILES,
    Licence,
    LicenceFile,
    is_licence_file,
    licence_of,
    text_digest,
)
from weighbridge.core import canonical
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import DigestMismatch, ObjectMissing, Revoked
from weighbridge.core.finding import Inspection
from weighbridge.core.manifest import Artifact
from weighbridge.core.names import ModelName
from weighbridge.core.ports import ObjectStore, SignatureVerifier
from weighbridge.core.snapshot import Origin
from weighbridge.store.catalog import CataloguedRevision
from weighbridge.vault.readers import StoredReader
from weighbridge.vault.records import SealedRevision, open_revision

FORMAT: Final = "weighbridge.facts/1"
CARD: Final = "README.md"
CENSUS: Final = "file-kinds"
"""The inspector whose word on an artifact's kind comes before others'."""
MAX_EARLIER: Final = 5
"""Earlier revisions of a model whose owner is compared, the first that came in before all others."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a derived revision was made from. `parent` is `org/name@revision`; `origin` is the parent's."""

    parent: str
    remedies: tuple[str, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Follows:
    """A revision of the same model from which a revision differs in the words of its card alone.

    `same` are the files whose bytes are the same in both. Only what proved that from bytes makes one.
    """

    revision: str
    same: frozenset[str]


@dataclass(frozen=True)
class Facts:
    """All that is judged of one revision.

    `sizes` is by path; `earlier_owner_ids` are the Hub's ids of the owner of earlier revisions of the model here, whose owner
    had the same name; `sealed_at` is RFC 3339. The manifest's digest stands for its artifacts, the inspection's for all that
    was found, in whatever order.
    """

    model_name: ModelName
    revision: str
    manifest_digest: str
    origin: Origin
    sizes: Mapping[str, int]
    inspection: Inspection
    licence: Licence = field(default_factory=Licence)
    lineage: Lineage | None = None
    earlier_owner_ids: tuple[str, ...] = ()
    sealed_at: str = ""
    follows: Follows | None = None

    def revisions_of(self, path: str) -> tuple[str, ...]:
        """The revisions that a file is of: this one and, where it has the same bytes there, the one that this one follows."""
        if self.follows is None or path not in self.follows.same:
            return (self.revision,)
        return (self.revision, self.follows.revision)

    @property
    def upstream(self) -> Origin:
        """Where the content came from: for a derived revision, where its parent did."""
        return self.origin if self.lineage is None else self.lineage.origin

    @cached_property
    def kinds(self) -> Mapping[str, str]:
        """What each artifact is by content; those that nobody named are `unrecognised`."""
        named: dict[str, tuple[bool, str]] = {}
        for report in self.inspection.reports:
            if report.kind:
                said = (report.inspector != CENSUS, report.kind)
                named[report.path] = min(said, named.get(report.path, said))
        return {path: named.get(path, (True, "unrecognised"))[1] for path in self.sizes}

    @property
    def total_bytes(self) -> int:
        """The bytes of all artifacts."""
        return sum(self.sizes.values())

    def to_json(self) -> dict[str, JsonValue]:
        """The record of the facts."""
        lineage: JsonValue = None
        if self.lineage is not None:
            remedies = list(self.lineage.remedies)
            lineage = {"parent": self.lineage.parent, "remedies": remedies, "origin": asdict(self.lineage.origin)}
        follows: dict[str, JsonValue] = {}
        if self.follows is not None:
            follows = {"follows": {"revision": self.follows.revision, "same": sorted(self.follows.same)}}
        return {
            "format": FORMAT,
            "model": str(self.model_name),
            "revision": self.revision,
            "manifest_digest": self.manifest_digest,
            "origin": asdict(self.origin),
            "inspection_digest": canonical.digest(self.inspection.to_json()),
            "rules_version": self.inspection.rules_version,
            "artifacts": len(self.sizes),
            "total_bytes": self.total_bytes,
            "licence": self.licence.to_json(),
            "lineage": lineage,
            "earlier_owner_ids": list(self.earlier_owner_ids),
            "sealed_at": self.sealed_at,
            **follows,
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical record, 64 hex digits."""
        return canonical.digest(self.to_json())


def gather(
    store: ObjectStore,
    revision: SealedRevision,
    inspection: Inspection,
    *,
    lineage: Lineage | None = None,
    earlier_owner_ids: Iterable[str] = (),
) -> Facts:
    """The facts of a sealed revision, with its newest inspection (`vault.inspections.latest_inspection`).

    Raises:
        StoreError: the card or a licence file cannot be read.
        DigestMismatch: one of them is not what was sealed.
    """
    manifest = revision.manifest
    sizes = {artifact.path: artifact.size_bytes for artifact in manifest.artifacts}
    placed = {artifact.path: artifact for artifact in manifest.artifacts}
    licence = licence_from(sizes, lambda path: _read(store, revision, placed[path]))
    return Facts(
        manifest.model_name,
        manifest.revision,
        manifest.digest,
        manifest.origin,
        sizes=sizes,
        inspection=inspection,
        licence=licence,
        lineage=lineage,
        earlier_owner_ids=tuple(sorted(set(earlier_owner_ids))),
        sealed_at=revision.seal.sealed_at,
    )


def licence_from(sizes: Mapping[str, int], read: Callable[[str], bytes]) -> Licence:
    """The licence by the card and the licence files among these; `read` gives a file whole, and raises what it raises."""
    files = [path for path in sizes if is_licence_file(path)]
    texts = tuple(
        LicenceFile(
            path,
            text_digest(read(path)) if number < MAX_LICENCE_FILES and sizes[path] <= MAX_LICENCE_BYTES else "",
        )
        for number, path in enumerate(files)
    )
    if sizes.get(CARD, 0) > MAX_CARD_BYTES:
        return Licence(files=texts, problem=f"{CARD} is larger than {MAX_CARD_BYTES} bytes")
    return licence_of(read(CARD) if CARD in sizes else b"", texts)


def _read(store: ObjectStore, revision: SealedRevision, artifact: Artifact) -> bytes:
    data = StoredReader(store, revision.placed[artifact.path], artifact.path).read(0, artifact.size_bytes)
    if hashlib.sha256(data).hexdigest() != artifact.sha256:
        raise DigestMismatch(
            f"'{artifact.path}' of {revision.manifest.reference} is not what was sealed",
            hint="weighbridge verify --deep says what else differs. Do not use the revision.",
        )
    return data


def earlier_owner_ids(
    rows: Iterable[CataloguedRevision],
    origin: Origin,
    *,
    sealed_at: str,
    store_of: Callable[[str], ObjectStore],
    verifier: SignatureVerifier,
) -> tuple[str, ...]:
    """The ids under which the owner of `origin` published what was sealed before, from the sealed manifests.

    `rows` are catalogued revisions of the model; the first `MAX_EARLIER` of them are read. One that is gone, or
    that a key sealed which was revoked since, says nothing.

    Raises:
        StoreError, TrustError, FormatError: an earlier revision cannot be read: who published it is then not known.
    """
    if origin.kind != "hub":
        return ()
    first = {row.revision: row for row in sorted(rows, key=lambda row: row.sequence, reverse=True)}
    found = set()
    for row in sorted(first.values(), key=lambda row: row.sequence)[:MAX_EARLIER]:
        try:
            earlier = open_revision(store_of(row.store), row.model_name, row.revision, verifier)
        except (ObjectMissing, Revoked):
            continue
        before = earlier.manifest.origin
        same = before.kind == "hub" and before.owner.lower() == origin.owner.lower()
        if same and before.endpoint == origin.endpoint and before.owner_id and earlier.seal.sealed_at < sealed_at:
            found.add(before.owner_id)
    return tuple(sorted(found))
