"""`weighbridge ls` and `weighbridge show`: what is there."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import STYLES, Output, printable, size
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import NothingCollected
from weighbridge.core.finding import Inspection
from weighbridge.core.names import ModelName

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.store.catalog import CataloguedRevision
    from weighbridge.store.chain import Event
    from weighbridge.vault.records import SealedRevision

REVOCATION = ("revision.revoked", "revision.reinstated")
STANDING = ("revision.decided", "revision.promoted", *REVOCATION)
SEVERITIES = ("critical", "high", "medium", "low")


def summary(row: CataloguedRevision, yard: OpenYard, revoked: frozenset[str]) -> dict[str, JsonValue]:
    """A catalogued revision as JSON; `revoked` are those that are, as `org/name@revision`."""
    return {
        "stage": "approved" if row.store == yard.approved().address else "quarantine",
        "channels": list(_channels(row, yard)),
        "revoked": f"{row.model_name}@{row.revision}" in revoked,
        "model": str(row.model_name),
        "revision": row.revision,
        "store": row.store,
        "source": row.source,
        "verdict": row.verdict,
        "findings": dict(row.findings),
        "artifacts": row.artifact_count,
        "total_bytes": row.total_bytes,
        "manifest_digest": row.manifest_digest,
        "ingested_at": row.ingested_at,
    }


def _revoked(yard: OpenYard, subject: str = "") -> frozenset[str]:
    """The revisions that are revoked, as `org/name@revision`; with `subject`, that one if it is."""
    events = yard.ledger().events(subject=subject, kinds=REVOCATION) if yard.has_ledger else ()
    last = {event.subject: event.kind for event in events}
    return frozenset(subject for subject, kind in last.items() if kind == REVOCATION[0])


def _channels(row: CataloguedRevision, yard: OpenYard) -> list[str]:
    """The channels that point to the revision."""
    pointed = yard.ledger().catalog().channels(row.model_name)
    return sorted(channel for channel, revision in pointed.items() if revision == row.revision)


def _standing(row: CataloguedRevision, yard: OpenYard) -> list[tuple[str, str]]:
    """How a revision came to where it is: what was decided, who let it in, what points to it, whether it was revoked."""
    last: dict[str, Event] = {}
    subject = f"{row.model_name}@{row.revision}"
    for event in yard.ledger().events(subject=subject, kinds=STANDING):
        last[event.kind] = event
    rows = yard.ledger().catalog().revisions(row.model_name)
    ingested = min(one.ingested_at for one in rows if one.revision == row.revision)
    found = [("ingested", ingested), ("channels", ", ".join(_channels(row, yard)))]
    if decided := last.get("revision.decided"):
        said = decided.payload
        found.append(("decision", f"{said.get('outcome')} by policy {said.get('policy')}, {decided.time[:10]}"))
    if promoted := last.get("revision.promoted"):
        people = promoted.payload.get("approved_by")
        names = ", ".join(str(one) for one in people) if isinstance(people, list) else ""
        found.append(("approved by", names + (" (own request)" if promoted.payload.get("own_approval") else "")))
        found.append(("promoted", f"{promoted.time} by {promoted.actor}"))
    revoked = max((last[kind] for kind in REVOCATION if kind in last), key=lambda event: event.sequence, default=None)
    if revoked is not None and revoked.kind == REVOCATION[0]:
        found.append(("revoked", f"{revoked.time} by {revoked.actor}: {revoked.payload.get('reason')}"))
    return found


def _where(rows: list[CataloguedRevision], yard: OpenYard, revoked: frozenset[str]) -> str:
    """How far a revision came, from all its records, and whether it was taken back."""
    if f"{rows[0].model_name}@{rows[0].revision}" in revoked:
        return "revoked"
    approved = any(row.store == yard.approved().address for row in rows)
    return " ".join(["approved" if approved else "quarantine", *(f"@{one}" for one in _channels(rows[0], yard))])


def counted(findings: Iterable[tuple[str, int]]) -> str:
    """`2 high, 1 medium`, worst first."""
    by_severity = dict(findings)
    return ", ".join(f"{by_severity[name]} {name}" for name in SEVERITIES if by_severity.get(name)) or "none"


@click.command("ls", epilog="\b\nExamples:\n  weighbridge ls\n  weighbridge ls org/name --json")
@click.argument("model", required=False, default="")
@common
def ls_command(home: Home, output: Output, /, *, model: str) -> int:
    """List the models in the stores, newest first; or the revisions of one MODEL."""
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        name = ModelName.parse(model) if model else None
        rows = yard.ledger().catalog().revisions(name) if yard.has_ledger else []
        if name is not None and not rows:
            raise NothingCollected(f"there is no revision of {name} here", hint="`weighbridge ls` lists all models.")
        revoked = _revoked(yard)
        if output.as_json:
            output.document([summary(row, yard, revoked) for row in rows])
            return 0
        revisions: dict[tuple[str, str], list[CataloguedRevision]] = {}
        for row in rows:
            revisions.setdefault((str(row.model_name), row.revision), []).append(row)
        came = sorted(revisions.values(), key=lambda records: records[-1].sequence, reverse=True)
        output.table(
            ("model", "revision", "verdict", "findings", "files", "size", "ingested", "where"),
            [
                (
                    str(records[0].model_name),
                    records[0].revision[:12],
                    records[0].verdict,
                    counted(records[0].findings.items()),
                    str(records[0].artifact_count),
                    size(records[0].total_bytes),
                    records[-1].ingested_at[:19].replace("T", " "),
                    _where(records, yard, revoked),
                )
                for records in came
            ],
            right=("files", "size"),
            spare=("ingested", "files", "size", "findings"),
        )
        if not rows:
            output.say("Nothing is here yet. Bring a model in: weighbridge ingest hf://org/name")
        return 0


@click.command("show", epilog="\b\nExamples:\n  weighbridge show org/name\n  weighbridge show org/name@1a2b3c --files")
@click.argument("reference", metavar="MODEL[@REV]")
@click.option("--files", is_flag=True, help="List every file with its digest.")
@common
def show_command(home: Home, output: Output, /, *, reference: str, files: bool) -> int:
    """Show one revision: where it came from, what was proven, what was found. Its signatures are verified first."""
    from weighbridge.cli.yard import OpenYard
    from weighbridge.vault.inspections import latest_inspection

    with OpenYard(home, output) as yard:
        row = yard.resolve(reference)
        revision = yard.open_sealed(row)
        inspection = latest_inspection(yard.store(row.store), revision, yard.ledger())
        if output.as_json:
            output.document(
                {
                    **summary(row, yard, _revoked(yard, f"{row.model_name}@{row.revision}")),
                    "manifest": json.loads(revision.manifest.to_bytes()),
                    "inspection": inspection.to_json(),
                    "seal": {"sealed_at": revision.seal.sealed_at, "key_ids": _signed_by(revision)},
                }
            )
            return 0
        _facts(output, row, revision, _standing(row, yard))
        _found(output, inspection)
        if files:
            output.table(
                ("file", "size", "SHA-256", "proven by"),
                [
                    (artifact.path, size(artifact.size_bytes), artifact.sha256, artifact.proven or "nothing upstream")
                    for artifact in revision.manifest.artifacts
                ],
                right=("size",),
            )
        return 0


def _signed_by(revision: SealedRevision) -> list[JsonValue]:
    return [str(signature.get("keyid", "")) for signature in json.loads(revision.seal_bytes).get("signatures", [])]


def _facts(output: Output, row: CataloguedRevision, revision: SealedRevision, standing: list[tuple[str, str]]) -> None:
    manifest, origin = revision.manifest, revision.manifest.origin
    facts = [
        ("model", str(manifest.model_name)),
        ("revision", manifest.revision),
        ("verdict", row.verdict),
        ("findings", counted(row.findings.items())),
        ("files", f"{len(manifest.artifacts)}, {size(manifest.total_bytes)}"),
        ("from", origin.address + (f" at {origin.endpoint}" if origin.endpoint else "")),
        ("asked for", origin.requested_ref),
        ("owner", f"{origin.owner} ({origin.owner_kind or 'kind unknown'}, id {origin.owner_id or 'unknown'})"),
        ("repository id", origin.repository_id),
        ("published", origin.published_at),
        standing[0],
        ("store", row.store),
        *standing[1:],
        ("manifest", manifest.digest),
        ("signed by", ", ".join(str(key) for key in _signed_by(revision))),
        ("selection", " ".join([*(f"+{p}" for p in manifest.include), *(f"-{p}" for p in manifest.exclude)])),
    ]
    hidden = {"owner", "repository id", "asked for"} if origin.kind != "hub" else set()
    rows = [(label, value) for label, value in facts if value and label not in hidden]
    if not output.rich:
        for label, value in rows:
            output.line(f"{label}\t{value}")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for label, value in rows:
        table.add_row(Text(label, style="dim"), Text(printable(value), style=STYLES.get(value, "")))
    output.show(table)


def _found(output: Output, inspection: Inspection) -> None:
    findings = inspection.findings
    if findings:
        output.table(
            ("severity", "rule", "file", "what"),
            [(found.severity.label, found.rule, found.path, found.message) for found in findings],
        )
