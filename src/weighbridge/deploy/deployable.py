"""What a deployment is made from: one approved revision, resolved through the signed index and proven by its seal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from weighbridge.admit.asking import PRODUCTION
from weighbridge.admit.index import Index
from weighbridge.core.errors import FormatError, IntegrityError
from weighbridge.core.layout import model_prefix
from weighbridge.core.names import ModelName, Reference, is_revision
from weighbridge.core.ports import ObjectStore, SignatureVerifier
from weighbridge.deploy.architecture import Architecture, read_architecture
from weighbridge.vault.proven import ProvenReaders
from weighbridge.vault.recorded import check_recorded
from weighbridge.vault.records import SealedRevision, open_revision

CONFIG: Final = "config.json"
WEIGHT_SUFFIXES: Final = (".safetensors", ".gguf", ".bin", ".pt", ".pth", ".onnx", ".h5", ".msgpack")


@dataclass(frozen=True, slots=True)
class Deployable:
    """An approved revision as a deployment sees it.

    `store` is the approved store's address; `files` are the sizes of all artifacts by path; `architecture` is None where
    there is no config.json that can be read.
    """

    model_name: ModelName
    channel: str
    """The channel it was reached by; empty when a revision was named."""
    revision: str
    manifest_digest: str
    store: str
    files: Mapping[str, int]
    architecture: Architecture | None = None

    @property
    def prefix(self) -> str:
        """The address of the model's files, ending in a slash: exactly the manifest's artifacts lie under it."""
        return f"{self.store.rstrip('/')}/{model_prefix(self.model_name, self.revision)}"

    @property
    def size_bytes(self) -> int:
        """All artifacts together."""
        return sum(self.files.values())

    @property
    def weight_bytes(self) -> int:
        """The artifacts that look like weights by their names, together."""
        return sum(size for path, size in self.files.items() if path.endswith(WEIGHT_SUFFIXES))

    @property
    def has_code(self) -> bool:
        """Whether Python lies beside the weights, or the configuration asks for some."""
        asks = self.architecture is not None and self.architecture.asks_for_code
        return asks or any(path.endswith(".py") for path in self.files)

    @property
    def reference(self) -> str:
        """`org/name@revision`."""
        return f"{self.model_name}@{self.revision}"


def open_deployable(reference: Reference, index: Index, store: ObjectStore, verifier: SignatureVerifier) -> Deployable:
    """The approved revision that a reference names, its records verified.

    Raises:
        NothingCollected: the index names no such model, channel or revision.
        Revoked: it is not to be used any more.
        TrustError, IntegrityError, StoreError: it is not as it was sealed, or cannot be read.
    """
    channel, revision = _named(reference, index)
    return deployable_of(open_revision(store, reference.model_name, revision, verifier), channel, store)


def deployable_of(sealed: SealedRevision, channel: str, store: ObjectStore) -> Deployable:
    """An approved revision that was opened already, by the channel that led to it, "" for none.

    Raises:
        IntegrityError, StoreError: its configuration is not as it was sealed, or cannot be read.
    """
    manifest = sealed.manifest
    files = {artifact.path: artifact.size_bytes for artifact in manifest.artifacts}
    architecture = None
    if CONFIG in files:
        try:
            architecture = read_architecture(ProvenReaders(store, sealed)(CONFIG))
        except FormatError:
            architecture = None
    return Deployable(
        manifest.model_name, channel, manifest.revision, sealed.seal.manifest_digest, store.address, files, architecture
    )


def check_prefix(store: ObjectStore, sealed: SealedRevision) -> None:
    """Returns when the store says that exactly the sealed objects lie under the revision's prefix; no content is read.

    For platforms that copy what lies there, and prove nothing of it.

    Raises:
        IntegrityError: one is missing, was overwritten, or is more than was sealed. StoreError: the store did not answer.
    """
    problems = check_recorded(store, sealed)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise IntegrityError(
            f"{sealed.manifest.reference} is not in the store as it was sealed: {problems[0].message}{more}",
            hint="The platform would copy it so. Find out who wrote there; `weighbridge verify` tells all, also what is in the bytes.",
        )


def _named(reference: Reference, index: Index) -> tuple[str, str]:
    if is_revision(reference.selector):
        index.check(reference.model_name, reference.selector)
        return "", reference.selector
    channel = reference.selector or PRODUCTION
    return channel, index.pointed(reference.model_name, channel).revision
