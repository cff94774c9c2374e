"""The sealed revisions that a found model is held against: their files' digests and their fingerprints, kept beside the ledger.

What is kept for a revision is derived from its manifest and its weights, and is made when it is first needed: a file for each
revision, bound to the manifest's digest. It may be deleted at any time. Making one reads headers and samples, no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.errors import Malformed, WeighbridgeError
from weighbridge.core.manifest import Artifact, Manifest
from weighbridge.core.names import ModelName
from weighbridge.core.ports import ObjectStore
from weighbridge.drift.fingerprint import Fingerprint, fingerprint
from weighbridge.inventory.weight_files import chosen, weights_of
from weighbridge.store.catalog import CataloguedRevision
from weighbridge.vault.readers import StoredReader
from weighbridge.vault.records import SealedRevision
from weighbridge.wire.files import read_small, replace_file

FORMAT: Final = "weighbridge.known/2"
"""One more whenever more of a model is read: what was kept before is then made again."""
MAX_KEPT_BYTES: Final = 64 * 1024 * 1024

OpenSealed = Callable[[CataloguedRevision], SealedRevision]
OpenStore = Callable[[str], ObjectStore]


@dataclass(frozen=True, slots=True)
class KnownRevision:
    """A sealed revision. `files` are path, size in bytes and SHA-256 of each artifact."""

    model_name: ModelName
    revision: str
    manifest_digest: str
    files: tuple[tuple[str, int, str], ...]
    fingerprint: Fingerprint

    @property
    def reference(self) -> str:
        """`org/name@revision`."""
        return f"{self.model_name}@{self.revision}"

    def to_bytes(self) -> bytes:
        """The file that is kept."""
        return canonical.encode(
            {
                "format": FORMAT,
                "model": str(self.model_name),
                "revision": self.revision,
                "manifest_digest": self.manifest_digest,
                "files": [list(file) for file in self.files],
                "fingerprint": self.fingerprint.to_json(),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> KnownRevision:
        """Reads such a file.

        Raises:
            FormatError: it is none, or of another version.
        """
        record = Fields(canonical.decode_object(data, what="a kept fingerprint"), what="a kept fingerprint")
        if record.text("format") != FORMAT:
            raise Malformed("the kept fingerprint has a format this version does not read")
        return cls(
            ModelName.parse(record.text("model")),
            record.text("revision"),
            record.text("manifest_digest"),
            tuple(_file(item) for item in record.items("files")),
            Fingerprint.from_json(record.value("fingerprint")),
        )


def _file(item: JsonValue) -> tuple[str, int, str]:
    if not isinstance(item, list) or len(item) != 3 or not isinstance(item[1], int):
        raise Malformed("a file of a kept fingerprint is not well-formed")
    return str(item[0]), item[1], str(item[2])


@dataclass(frozen=True, slots=True)
class Records:
    """Where sealed revisions and what is derived of them are found."""

    folder: Path
    open_sealed: OpenSealed
    open_store: OpenStore

    def known(self, row: CataloguedRevision) -> KnownRevision:
        """What is kept of a revision; made, and kept, where it is not there yet or is of another manifest.

        Raises:
            WeighbridgeError: the revision is not as it was sealed, or cannot be read.
        """
        path = self.folder / str(row.model_name) / f"{row.revision}.json"
        kept = _kept(path)
        if kept and (kept.manifest_digest, kept.revision, kept.model_name) == (
            row.manifest_digest, row.revision, row.model_name
        ):  # fmt: skip
            return kept
        sealed = self.open_sealed(row)
        made = make_known(sealed, self.open_store(row.store))
        _keep(path, made.to_bytes())
        return made


def make_known(sealed: SealedRevision, store: ObjectStore) -> KnownRevision:
    """What is kept of a sealed revision, from its manifest and by ranged reads of its weights.

    Raises:
        StoreError, IntegrityError: its artifacts cannot be read.
    """
    manifest = sealed.manifest

    def reader(path: str) -> StoredReader:
        return StoredReader(store, sealed.placed[path], path)

    return KnownRevision(
        manifest.model_name,
        manifest.revision,
        manifest.digest,
        tuple((one.path, one.size_bytes, one.sha256) for one in manifest.artifacts),
        fingerprint(chosen(weights_of(sealed.placed, reader)), reader),
    )


def _kept(path: Path) -> KnownRevision | None:
    try:
        return KnownRevision.from_bytes(read_small(path, f"'{path}'", limit=MAX_KEPT_BYTES))
    except WeighbridgeError:
        return None


def _keep(path: Path, data: bytes) -> None:
    """Written whole; that it cannot be kept is no reason not to answer."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(path, data, flush=False)


def once(rows: Iterable[CataloguedRevision]) -> list[CataloguedRevision]:
    """Each revision once, however many stores it lies in."""
    return list({(row.model_name, row.revision): row for row in rows}.values())


def read_fingerprint(path: Path) -> Fingerprint:
    """A fingerprint that was written as JSON.

    Raises:
        FormatError: it is none. ConfigError: it cannot be read, or is too large.
    """
    if not path.is_file():
        raise Malformed(f"'{path}' is no regular file")
    value = canonical.decode_object(read_small(path, f"'{path}'", limit=MAX_KEPT_BYTES), what="the record")
    return Fingerprint.from_json(value.get("fingerprint"))


def artifacts_by_size(manifest: Manifest) -> dict[int, list[Artifact]]:
    """The artifacts of a manifest by their size in bytes."""
    found: dict[int, list[Artifact]] = {}
    for one in manifest.artifacts:
        found.setdefault(one.size_bytes, []).append(one)
    return found


def holding(known: Sequence[KnownRevision], sizes: Sequence[int]) -> list[KnownRevision]:
    """The revisions that have a file of each of these sizes."""
    wanted = set(sizes)
    return [one for one in known if wanted <= {size for _, size, _ in one.files}]
