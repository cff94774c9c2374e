"""The manifest: the canonical list of a revision's artifacts, sizes and digests, and where they came from.

The manifest's *digest* covers everything but its times, so that an ingest that was killed and run again, today or
tomorrow, ends at the same digest; its *bytes*, times included, are what the seal signs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.digests import (
    CHUNK_ALGORITHM,
    CHUNK_BYTES,
    chunk_count,
    is_sha1,
    is_sha256,
)
from weighbridge.core.errors import ConfigError, Malformed
from weighbridge.core.names import ModelName, check_paths, is_revision
from weighbridge.core.snapshot import Origin

FORMAT = "weighbridge.manifest/1"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of a revision: whole-file SHA-256 and the BLAKE3 digest of each 8 MiB chunk, all lowercase hex.

    `git_sha1` is Git's blob id where upstream keeps the file in Git itself, else "". `proven` says which of upstream's
    claims the bytes were proven against: `sha256`, `git-sha1` or `` (upstream claimed nothing).
    """

    path: str
    size_bytes: int
    sha256: str
    chunks: tuple[str, ...]
    git_sha1: str = ""
    proven: str = ""

    def to_json(self) -> dict[str, JsonValue]:
        """The record of this artifact."""
        return {
            "path": self.path,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "git_sha1": self.git_sha1,
            "proven": self.proven,
            "chunks": list(self.chunks),
        }

    @classmethod
    def from_json(cls, value: JsonValue) -> Artifact:
        """Reads the record of an artifact.

        Raises:
            Malformed: a field is missing, unknown, of the wrong type or inconsistent with the size.
        """
        fields = Fields(value, what="an artifact of the manifest")
        artifact = cls(
            path=fields.text("path"),
            size_bytes=fields.integer("size_bytes"),
            sha256=fields.text("sha256"),
            chunks=fields.texts("chunks"),
            git_sha1=fields.text("git_sha1"),
            proven=fields.text("proven"),
        )
        fields.done()
        if (
            not is_sha256(artifact.sha256)
            or (artifact.git_sha1 and not is_sha1(artifact.git_sha1))
            or not all(is_sha256(chunk) for chunk in artifact.chunks)
            or len(artifact.chunks) != chunk_count(artifact.size_bytes)
        ):
            raise Malformed(f"the digests of '{artifact.path}' in the manifest are not well-formed")
        return artifact


@dataclass(frozen=True, slots=True)
class Manifest:
    """A revision, whole. `artifacts` are in order of path; `created_at` is RFC 3339 in UTC.

    Raises:
        UnsafePath: a path is unsafe or two collide.
        Malformed: the revision is not 40 hex digits, or the artifacts are not in order.
    """

    model_name: ModelName
    revision: str
    origin: Origin
    artifacts: tuple[Artifact, ...]
    include: tuple[str, ...] = field(default=())
    exclude: tuple[str, ...] = field(default=())
    created_at: str = ""

    def __post_init__(self) -> None:
        if not is_revision(self.revision):
            raise Malformed(f"'{self.revision}' is not a revision")
        paths = [artifact.path for artifact in self.artifacts]
        if paths != sorted(paths):
            raise Malformed("the artifacts of the manifest are not in order of path")
        check_paths(paths, of=f"{self.model_name}@{self.revision}")

    @property
    def reference(self) -> str:
        """`org/name@revision`."""
        return f"{self.model_name}@{self.revision}"

    @property
    def total_bytes(self) -> int:
        """The bytes of all artifacts."""
        return sum(artifact.size_bytes for artifact in self.artifacts)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical manifest without its times, 64 hex digits."""
        record = self._record()
        del record["created_at"]
        return canonical.digest(record)

    def artifact(self, path: str) -> Artifact | None:
        """The artifact with that path."""
        return next((artifact for artifact in self.artifacts if artifact.path == path), None)

    def to_bytes(self) -> bytes:
        """The canonical bytes, times included: what is stored and signed."""
        return canonical.encode(self._record())

    def _record(self) -> dict[str, JsonValue]:
        return {
            "format": FORMAT,
            "model": str(self.model_name),
            "revision": self.revision,
            "origin": asdict(self.origin),
            "chunk": {"algorithm": CHUNK_ALGORITHM, "size_bytes": CHUNK_BYTES},
            "include": list(self.include),
            "exclude": list(self.exclude),
            "artifacts": [artifact.to_json() for artifact in self.artifacts],
            "created_at": self.created_at,
        }

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Reads a stored manifest.

        Raises:
            Malformed, LimitExceeded, UnsafePath: it is not exactly what `to_bytes` writes.
        """
        fields = Fields(canonical.decode_object(data, what="the manifest"), what="the manifest")
        if fields.text("format") != FORMAT:
            raise Malformed("the manifest has a format this version does not read")
        chunk = fields.fields("chunk")
        if chunk.text("algorithm") != CHUNK_ALGORITHM or chunk.integer("size_bytes") != CHUNK_BYTES:
            raise Malformed("the manifest has chunks this version does not read")
        chunk.done()
        manifest = cls(
            model_name=_model_name(fields.text("model")),
            revision=fields.text("revision"),
            origin=_origin(fields.fields("origin")),
            artifacts=tuple(Artifact.from_json(item) for item in fields.items("artifacts")),
            include=fields.texts("include"),
            exclude=fields.texts("exclude"),
            created_at=fields.text("created_at"),
        )
        fields.done()
        if manifest.to_bytes() != data:
            raise Malformed("the manifest is not in canonical form")
        return manifest


def _model_name(text: str) -> ModelName:
    try:
        return ModelName.parse(text)
    except ConfigError as error:
        raise Malformed(f"the manifest is of no model: {error.message}") from error


def _origin(record: Fields) -> Origin:
    origin = Origin(**{field.name: record.text(field.name) for field in dataclasses.fields(Origin)})
    record.done()
    return origin


def content_revision(artifacts: Iterable[Artifact]) -> str:
    """The revision of a model whose source has no commits: 40 hex of the SHA-256 of its artifacts in canonical form.

    Paths, sizes and digests count; what upstream claimed about them does not. Equal content has an equal revision
    wherever it lay and whenever it came.
    """
    return canonical.digest(
        [
            {
                "path": artifact.path,
                "size_bytes": artifact.size_bytes,
                "sha256": artifact.sha256,
                "chunks": list(artifact.chunks),
            }
            for artifact in artifacts
        ]
    )[:40]
