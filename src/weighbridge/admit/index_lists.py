"""Lists of models as TUF targets, and back: which role holds a model, and what a snapshot says of the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import MetaFile, Snapshot, TargetFile, Targets

from weighbridge.admit.index import BIN_BITS, LedgerMark, ModelEntry, bin_prefix, record_bytes, role_of
from weighbridge.admit.index_state import ALTERED
from weighbridge.core.canonical import Fields
from weighbridge.core.errors import FormatError, StatementMismatch
from weighbridge.core.names import ModelName

MARK = "weighbridge"
"""The snapshot's field for what the index tells of the ledger."""


def roles_of(bits: int) -> list[str]:
    """The roles whose targets hold models."""
    if not bits:
        return ["targets"]
    return [f"{bin_prefix(bits)}-{number:0{-(-bits // 4)}x}" for number in range(1 << bits)]


def bits_of(targets: Targets) -> int:
    """How many bits of a name's hash choose its bin, as the top-level targets say.

    Raises:
        StatementMismatch: they delegate in a way that no writer of ours does.
    """
    if targets.delegations is None:
        return 0
    roles = targets.delegations.succinct_roles
    if roles is None or roles.bit_length not in BIN_BITS or roles.name_prefix != bin_prefix(roles.bit_length):
        raise StatementMismatch("the index delegates in a way this version does not read", hint="Install a newer one.")
    if targets.targets:
        raise StatementMismatch("the index names models beside its bins", hint=ALTERED)
    return roles.bit_length


def entries_of(targets: Targets, role: str, bits: int) -> Iterator[ModelEntry]:
    """The models that the targets of a role name.

    Raises:
        StatementMismatch: a record is of another model, lies in another bin than its own, or cannot be read.
    """
    for path, target in targets.targets.items():
        if role_of(path, bits) != role:
            raise StatementMismatch(f"{path!r:.120} lies in '{role}', where it does not belong", hint=ALTERED)
        entry = ModelEntry.from_json(target.custom, model=path)
        try:
            target.verify_length_and_hashes(record_bytes(entry))
        except RepositoryError as error:
            raise StatementMismatch(f"the record of {path!r:.120} is not the one its digest names") from error
        yield entry


def mark_of(snapshot: Snapshot) -> tuple[LedgerMark, int]:
    """How much of the ledger a snapshot tells, and how many models there are.

    Raises:
        StatementMismatch: it does not say so in a way this version reads.
    """
    try:
        fields = Fields(snapshot.unrecognized_fields.get(MARK), what="the ledger's mark in the index")
        mark = LedgerMark(fields.text("ledger"), fields.integer("sequence"), fields.text("digest"))
        models = fields.integer("models")
        fields.done()
    except FormatError as error:
        raise StatementMismatch(error.message, hint="Install a newer version.") from error
    return mark, models


def binned(entries: Mapping[ModelName, ModelEntry], bits: int) -> dict[str, dict[ModelName, ModelEntry]]:
    """All models by the role whose targets hold them; every role is there."""
    binned: dict[str, dict[ModelName, ModelEntry]] = {role: {} for role in roles_of(bits)}
    for name, entry in entries.items():
        binned[role_of(str(name), bits)][name] = entry
    return binned


def target_files(entries: Iterable[ModelEntry]) -> dict[str, TargetFile]:
    """Models as TUF targets."""
    found: dict[str, TargetFile] = {}
    for entry in entries:
        data, path = record_bytes(entry), str(entry.model_name)
        digest = {"sha256": hashlib.sha256(data).hexdigest()}
        found[path] = TargetFile(len(data), digest, path, unrecognized_fields={"custom": entry.to_json()})
    return found


def meta_file(version: int, data: bytes) -> MetaFile:
    """What names metadata by version, length and digest."""
    return MetaFile(version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})
