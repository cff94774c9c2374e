"""The statement about a remediation: from which revision another was derived, by which steps, and how that is known.

An in-toto statement in a DSSE envelope, kept as the record `remediation.dsse.json` of the derived revision. Its one subject
is the derived manifest by SHA-256 of its stored bytes. Type: `https://weighbridge.dev/remediation/v1`.

It says nothing about whether the derived revision is any good: that is what its own inspection is for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from weighbridge import __version__
from weighbridge.attest.statement import Statement, Subject, open_statement, sign_statement
from weighbridge.core import layout
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.digests import is_sha256
from weighbridge.core.errors import ConfigError, FormatError, StatementMismatch
from weighbridge.core.manifest import Manifest
from weighbridge.core.names import ModelName, is_revision
from weighbridge.core.ports import SignatureVerifier, Signer

REMEDIATION_TYPE: Final = "https://weighbridge.dev/remediation/v1"
REMEDIATION: Final = "remediation.dsse.json"
"""The record's name."""


@dataclass(frozen=True, slots=True)
class Changed:
    """An artifact that a step made, by what it is in the derived manifest."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Taken:
    """One step that was taken; `proof` is in the form that the remedy documents."""

    remedy: str
    dropped: tuple[str, ...]
    made: tuple[Changed, ...]
    proof: Mapping[str, JsonValue]

    def to_json(self) -> dict[str, JsonValue]:
        """The record of this step."""
        return {
            "remedy": self.remedy,
            "dropped": list(self.dropped),
            "made": [{"path": made.path, "size_bytes": made.size_bytes, "sha256": made.sha256} for made in self.made],
            "proof": dict(self.proof),
        }


@dataclass(frozen=True, slots=True)
class Remediation:
    """What a valid statement says. `remediated_at` is RFC 3339 in UTC and the signer's word, not a proven time."""

    model_name: ModelName
    revision: str
    manifest_digest: str
    parent_revision: str
    parent_manifest_digest: str
    steps: tuple[Taken, ...]
    remediated_at: str
    weighbridge_version: str

    @property
    def parent(self) -> str:
        """`org/name@revision` of the revision that it was derived from."""
        return f"{self.model_name}@{self.parent_revision}"

    @property
    def remedies(self) -> tuple[str, ...]:
        """The names of the steps."""
        return tuple(step.remedy for step in self.steps)

    def check_about(self, manifest: Manifest) -> None:
        """Returns when the statement is about that derived revision and what it made is in its manifest.

        Raises:
            StatementMismatch: it is about another.
        """
        if (self.model_name, self.revision, self.manifest_digest) != (
            manifest.model_name,
            manifest.revision,
            manifest.digest,
        ):
            raise StatementMismatch(
                f"the remediation found at {manifest.reference} is about {self.model_name}@{self.revision}",
                hint="Someone put one revision's records in the place of another's.",
            )
        if manifest.origin.address != self.parent:
            raise StatementMismatch(f"the manifest of {manifest.reference} names another parent than its remediation")
        present = {artifact.path: artifact for artifact in manifest.artifacts}
        made = {one.path: one for step in self.steps for one in step.made}
        for path, one in made.items():
            artifact = present.get(path)
            if artifact is None or (artifact.size_bytes, artifact.sha256) != (one.size_bytes, one.sha256):
                raise StatementMismatch(f"'{path}' of {manifest.reference} is not what the remediation made")
        left = {path for step in self.steps for path in step.dropped} - set(made)
        if left & set(present):
            raise StatementMismatch(f"'{min(left & set(present))}' of {manifest.reference} was to be dropped")


def make_remediation(
    manifest: Manifest, parent: Manifest, steps: Sequence[Taken], *, remediated_at: str, signer: Signer
) -> bytes:
    """The statement about a derived revision, a DSSE envelope: the bytes of its record.

    Raises:
        ConfigError: the revisions are of two models, or no step was taken.
    """
    if manifest.model_name != parent.model_name or not steps:
        raise ConfigError(f"{manifest.reference} was not derived from {parent.reference}")
    statement = Statement(
        subjects=(Subject(layout.MANIFEST, hashlib.sha256(manifest.to_bytes()).hexdigest()),),
        predicate_type=REMEDIATION_TYPE,
        predicate={
            "model": str(manifest.model_name),
            "revision": manifest.revision,
            "manifest_digest": manifest.digest,
            "parent": {"revision": parent.revision, "manifest_digest": parent.digest},
            "steps": [step.to_json() for step in steps],
            "remediated_at": remediated_at,
            "weighbridge_version": __version__,
        },
    )
    return sign_statement(statement, signer)


def open_remediation(envelope: bytes, manifest: Manifest, verifier: SignatureVerifier) -> Remediation:
    """What a statement says, once a trusted key is known to have signed it about that derived manifest.

    Raises:
        SignatureInvalid, Revoked: see `open_statement`.
        StatementMismatch: signed, but not about this, or not a remediation.
    """
    statement = open_statement(envelope, verifier, predicate_type=REMEDIATION_TYPE)
    expected = (Subject(layout.MANIFEST, hashlib.sha256(manifest.to_bytes()).hexdigest()),)
    if statement.subjects != expected:
        raise StatementMismatch(f"the remediation found at {manifest.reference} has another manifest as its subject")
    try:
        remediation = _read(statement)
    except (FormatError, ConfigError) as error:
        raise StatementMismatch(f"the signed statement is not a remediation: {error.message}") from error
    remediation.check_about(manifest)
    return remediation


def _read(statement: Statement) -> Remediation:
    fields = Fields(statement.predicate, what="the remediation")
    parent = fields.fields("parent")
    remediation = Remediation(
        model_name=ModelName.parse(fields.text("model")),
        revision=fields.text("revision"),
        manifest_digest=fields.text("manifest_digest"),
        parent_revision=parent.text("revision"),
        parent_manifest_digest=parent.text("manifest_digest"),
        steps=tuple(_read_step(Fields(item, what="a step of the remediation")) for item in fields.items("steps")),
        remediated_at=fields.text("remediated_at"),
        weighbridge_version=fields.text("weighbridge_version"),
    )
    parent.done()
    fields.done()
    digests = (remediation.manifest_digest, remediation.parent_manifest_digest)
    revisions = (remediation.revision, remediation.parent_revision)
    if not (all(map(is_revision, revisions)) and all(map(is_sha256, digests)) and remediation.steps):
        raise StatementMismatch("a revision or a digest of the remediation is not well-formed, or it has no steps")
    return remediation


def _read_step(fields: Fields) -> Taken:
    proof = fields.value("proof")
    if not isinstance(proof, dict):
        raise StatementMismatch("a step of the remediation has no proof")
    taken = Taken(
        fields.text("remedy"),
        fields.texts("dropped"),
        tuple(_read_made(Fields(item, what="what a step made")) for item in fields.items("made")),
        proof,
    )
    fields.done()
    return taken


def _read_made(fields: Fields) -> Changed:
    made = Changed(fields.text("path"), fields.integer("size_bytes"), fields.text("sha256"))
    fields.done()
    if not is_sha256(made.sha256):
        raise StatementMismatch(f"what a step made of '{made.path}' has no SHA-256")
    return made
