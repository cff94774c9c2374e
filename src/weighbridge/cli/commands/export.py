"""`weighbridge export`: a plain folder again."""

from __future__ import annotations

from pathlib import Path

import click

from weighbridge.cli.console import Output, size
from weighbridge.cli.options import cancellable, common
from weighbridge.cli.settings import Home


@click.command(
    "export",
    epilog="\b\nExamples:\n  weighbridge export org/name ./model\n"
    "  model_signing verify key ./model --signature ./model/model.sig --public_key <home>/keys/signing.pem.pub",
)
@click.argument("reference", metavar="MODEL[@REV]")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--signature/--no-signature", default=True, help="Put the OpenSSF model signature in as model.sig.")
@common
def export_command(home: Home, output: Output, /, *, reference: str, folder: Path, signature: bool) -> int:
    """Write a revision to a new FOLDER, every chunk proven before it is written. The folder appears only when whole."""
    from weighbridge.cli.progress import watching
    from weighbridge.cli.yard import OpenYard
    from weighbridge.vault.export import export

    with OpenYard(home, output) as yard:
        row = yard.resolve(reference)
        store = yard.store(row.store)
        revision = yard.open_sealed(row)
        with cancellable(output) as cancelled, watching(output, "exporting") as observer:
            export(store, revision, folder, signature=signature, observer=observer, cancelled=cancelled)
        manifest = revision.manifest
        if output.as_json:
            output.document(
                {
                    "event": "exported",
                    "model": str(manifest.model_name),
                    "revision": manifest.revision,
                    "folder": str(folder),
                    "artifacts": len(manifest.artifacts),
                    "total_bytes": manifest.total_bytes,
                }
            )
        else:
            output.line(str(folder))
            output.say(f"  {manifest.reference}: {len(manifest.artifacts)} files, {size(manifest.total_bytes)}, proven")
    return 0
