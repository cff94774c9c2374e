"""`weighbridge bom`: a revision's bill of materials, as CycloneDX or SPDX."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output, size, write_whole
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.errors import ConfigError, NothingCollected

if TYPE_CHECKING:
    from weighbridge.attest.bom_facts import BomFacts
    from weighbridge.cli.yard import OpenYard
    from weighbridge.core.finding import Inspection
    from weighbridge.core.manifest import Manifest
    from weighbridge.core.ports import ObjectStore
    from weighbridge.vault.records import SealedRevision

MAX_PARENTS = 16


@click.command(
    "bom",
    epilog="\b\nExamples:\n  weighbridge bom org/name                          CycloneDX 1.6, to stdout\n"
    "  weighbridge bom org/name@1a2b --format spdx -o model.spdx.json",
)
@click.argument("reference", metavar="MODEL[@REV]")
@click.option(
    "--format",
    "form",
    type=click.Choice(["cyclonedx", "spdx"]),
    default="cyclonedx",
    show_default=True,
    help="CycloneDX 1.6 ML-BOM, or SPDX 3.0.1 with its AI profile.",
)
@click.option("--output", "-o", "target", default="", metavar="FILE", help="Write it there instead of to stdout.")
@common
def bom_command(home: Home, output: Output, /, *, reference: str, form: str, target: str) -> int:
    """Write a revision's bill of materials: files with digests, licence, base models, data sets, architecture, lineage.

    Signatures are verified first, and what is read is held against the manifest. The document is JSON, so --json changes
    what --output prints only: where the file is, and its SHA-256.
    """
    from weighbridge.attest.bom import write
    from weighbridge.cli.yard import OpenYard
    from weighbridge.vault.inspections import latest_inspection

    with OpenYard(home, output) as yard:
        row = yard.resolve(reference)
        store, revision = yard.store(row.store), yard.open_sealed(row)
        facts = gather_facts(yard, store, revision, latest_inspection(store, revision, yard.ledger()))
    data = write(facts, form)
    for reason in facts.unread:
        output.say(f"warning: not in the document: {reason}")
    if not target:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return 0
    write_whole(Path(target), data)
    if output.as_json:
        digest = hashlib.sha256(data).hexdigest()
        output.document({"path": target, "format": form, "size_bytes": len(data), "sha256": digest})
    else:
        output.say(f"{facts.manifest.reference}: {target}, {size(len(data))}")
    return 0


def gather_facts(yard: OpenYard, store: ObjectStore, revision: SealedRevision, inspection: Inspection) -> BomFacts:
    """What a bill of materials of a stored revision is made from.

    Raises:
        TrustError, IntegrityError, StoreError: it, or what it was derived from, is not as it was sealed.
    """
    from weighbridge.attest.bom_facts import gather
    from weighbridge.vault.readers import StoredReader

    def read(path: str) -> bytes | None:
        placed = revision.placed.get(path)
        return None if placed is None else StoredReader(store, placed, path).read(0, placed.size_bytes)

    return gather(
        read,
        revision.manifest,
        inspection=inspection,
        sealed_at=revision.seal.sealed_at,
        parents=_parents(yard, revision.manifest),
    )


def _parents(yard: OpenYard, manifest: Manifest) -> list[Manifest]:
    """The manifests of what a derived revision was made from, the nearest first, as far as they are here."""
    from weighbridge.vault.records import open_revision

    found: list[Manifest] = []
    while manifest.origin.kind == "derived" and len(found) < MAX_PARENTS:
        try:
            row = yard.resolve(manifest.origin.address)
        except (NothingCollected, ConfigError):
            break
        manifest = open_revision(yard.store(row.store), row.model_name, row.revision, yard.trusted).manifest
        found.append(manifest)
    return found
