"""`weighbridge ingest`: brings a model in."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output, duration, size
from weighbridge.cli.options import (
    cancellable,
    common,
    content_options,
    content_settings,
    fail_on_option,
    severity_code,
)
from weighbridge.cli.settings import Home
from weighbridge.core.finding import Finding, Inspection, Severity

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.core.ports import Observer, Source
    from weighbridge.core.snapshot import Snapshot
    from weighbridge.transfer.ingest import Ingested
    from weighbridge.transfer.inspecting import Inspecting
    from weighbridge.transfer.preflight import Preflight

SHOWN_FINDINGS = 12

EPILOG = """\b
Examples:
  weighbridge ingest hf://deepseek-ai/DeepSeek-R1
  weighbridge ingest hf://org/name@v1.2 --to s3://models-quarantine --include '*.safetensors' --include '*.json'
  weighbridge ingest ./folder --as acme/tiny
  weighbridge ingest s3://other/prefix --json
"""


@click.command("ingest", epilog=EPILOG)
@click.argument("source")
@click.option("--to", default=None, metavar="STORE", help="Folder, s3://bucket/prefix, gs:// or az://.")
@click.option("--as", "as_name", default="", metavar="ORG/NAME", help="The name to store it under.")
@click.option("--include", multiple=True, metavar="PATTERN", help="Only files that match (may be repeated).")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="No files that match (may be repeated).")
@click.option("--hub", default=None, metavar="URL", help="The Hub's endpoint, instead of HF_ENDPOINT.")
@click.option("--allow-pull-requests", is_flag=True, default=None, help="Accept refs/pr/*, which anyone may open.")
@click.option("--allow-unversioned", is_flag=True, default=None, help="Accept a bucket that keeps no versions.")
@click.option("--streams", type=int, default=None, help="Ranges read at once.")
@click.option("--uploads", type=int, default=None, help="Parts stored at once.")
@click.option("--part-bytes", type=int, default=None, help="Size of a part, a multiple of 8388608.")
@click.option("--memory-bytes", type=int, default=None, help="All buffers together.")
@fail_on_option(None, shown="high")
@click.option(
    "--preflight",
    "preflight",
    flag_value="always",
    default=None,
    help="Look first, by ranged reads, and store nothing when a finding is as severe as --fail-on "
    "(default: for models of 256 MiB and more).",
)
@click.option("--no-preflight", "preflight", flag_value="never", help="Store first, judge then.")
@content_options
@click.option("--dry-run", is_flag=True, help="Pin the revision and show what would come, without reading it.")
@common
def ingest_command(
    home: Home,
    output: Output,
    /,
    *,
    source: str,
    to: str | None,
    as_name: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    dry_run: bool,
    deep: bool | None,
    without: tuple[str, ...],
    **flags: object,
) -> int:
    """Bring one model into the store: pinned, streamed once, proven, inspected, sealed.

    SOURCE is hf://org/name[@branch|tag|commit], s3://bucket/prefix, or a folder. A run that was stopped or killed goes on
    where it was when the same command is given again.
    """
    from weighbridge.cli.yard import OpenYard
    from weighbridge.core.names import Address, ModelName
    from weighbridge.source.opening import open_source
    from weighbridge.transfer.inspecting import Inspecting

    name = ModelName.parse(as_name) if as_name else None
    with OpenYard(home, output, _settings(to, flags) | content_settings(deep, without)) as yard:
        origin = open_source(Address.parse(source), yard.config, yard.http, as_name=name)
        if dry_run:
            _show_plan(output, origin.pin().select(include, exclude))
            return 0
        started = time.monotonic()
        with Inspecting(yard.config.inspection) as inspecting:
            inspecting.start()
            outcome = _ingest(yard, origin, inspecting, include, exclude)
        _show(yard, outcome, time.monotonic() - started)
        return severity_code(outcome.revision.inspection.highest_severity, yard.config.inspection.fail_on)


def _ingest(
    yard: OpenYard, origin: Source, inspecting: Inspecting, include: tuple[str, ...], exclude: tuple[str, ...]
) -> Ingested:
    from weighbridge.cli.crossing import ingesting
    from weighbridge.cli.progress import watching
    from weighbridge.transfer.ingest import ingest

    with cancellable(yard.output) as cancelled, watching(yard.output, "ingesting") as observer:
        bridge = ingesting(yard, yard.store(), inspecting, observer, cancelled)
        ahead = _preflight(yard, inspecting, observer, cancelled)
        return ingest(origin, replace(bridge, preflight=ahead), include=include, exclude=exclude)


def _preflight(
    yard: OpenYard, inspecting: Inspecting, observer: Observer, cancelled: threading.Event
) -> Preflight | None:
    """The look ahead, quiet: the progress that is shown is the ingest's own."""
    from weighbridge.cli.progress import OnlyRetries
    from weighbridge.transfer.preflight import AUTO_BYTES, Preflight
    from weighbridge.transfer.scan import Scanner

    settings = yard.config.inspection
    if settings.preflight == "never" or settings.fail_on == "never":
        return None
    scanner = Scanner(yard.config.transfer, inspecting, OnlyRetries(observer), cancelled, content=False)
    least_bytes = 0 if settings.preflight == "always" else AUTO_BYTES
    return Preflight(scanner, Severity[settings.fail_on.upper()], least_bytes)


def _settings(to: str | None, flags: dict[str, object]) -> dict[str, object]:
    """Flags as settings; flags that were not given are None."""
    return {
        "store.quarantine": to,
        "store.allow_unversioned": flags["allow_unversioned"],
        "hub.endpoint": flags["hub"],
        "hub.allow_pull_requests": flags["allow_pull_requests"],
        "transfer.streams": flags["streams"],
        "transfer.uploads": flags["uploads"],
        "transfer.part_bytes": flags["part_bytes"],
        "transfer.memory_bytes": flags["memory_bytes"],
        "inspection.fail_on": flags["fail_on"],
        "inspection.preflight": flags["preflight"],
    }


def _show_plan(output: Output, snapshot: Snapshot) -> None:
    if output.as_json:
        output.document(
            {
                "model": str(snapshot.model_name),
                "revision": snapshot.revision,
                "total_bytes": snapshot.total_bytes,
                "files": [
                    {"path": entry.path, "size_bytes": entry.size_bytes, "sha256": entry.sha256}
                    for entry in snapshot.entries
                ],
            }
        )
        return
    output.table(
        ("file", "size"), [(entry.path, size(entry.size_bytes)) for entry in snapshot.entries], right=("size",)
    )
    revision = snapshot.revision or "(known once the bytes are read)"
    output.say(f"{snapshot.model_name}@{revision}: {len(snapshot.entries)} files, {size(snapshot.total_bytes)}")


def _show(yard: OpenYard, outcome: Ingested, seconds: float) -> None:
    output, manifest = yard.output, outcome.revision.manifest
    if output.as_json:
        output.document(
            {
                "event": "ingested",
                "model": str(manifest.model_name),
                "revision": manifest.revision,
                "store": yard.store().address,
                "manifest_digest": manifest.digest,
                "artifacts": len(manifest.artifacts),
                "total_bytes": manifest.total_bytes,
                "streamed_bytes": outcome.streamed_bytes,
                "how": dict(outcome.how),
                "resumed": outcome.resumed,
                "verdict": outcome.revision.seal.verdict.value,
                "findings": [finding.to_json() for finding in outcome.revision.inspection.findings],
                "milliseconds": round(seconds * 1000),
            }
        )
        return
    how = ", ".join(f"{count} {word}" for word, count in outcome.how.items() if count)
    rate = f", {size(outcome.streamed_bytes / seconds)}/s" if outcome.streamed_bytes else ""
    output.line(f"{manifest.reference}")
    output.say(f"  {len(manifest.artifacts)} files, {size(manifest.total_bytes)}: {how}; {duration(seconds)}{rate}")
    output.say(f"  in {yard.store().address}")
    output.say(f"  manifest {manifest.digest}")
    output.say(f"  signed by {yard.key.key_id[:16]}…; {_proven(outcome)}")
    output.say(f"  verdict: {outcome.revision.seal.verdict.value}")
    _show_findings(output, outcome.revision.inspection)
    output.say(f"Next: weighbridge show {manifest.model_name}@{manifest.revision[:12]}")


def _proven(outcome: Ingested) -> str:
    artifacts = outcome.revision.manifest.artifacts
    proven = sum(1 for artifact in artifacts if artifact.proven)
    if proven == len(artifacts):
        return "every file proven against the upstream's own digests"
    if not proven:
        return "the source announces no digests: the manifest is the first record of these bytes"
    return f"{proven} of {len(artifacts)} files proven against the upstream's own digests"


def _show_findings(output: Output, inspection: Inspection) -> None:
    findings = inspection.findings
    for name, coverage in sorted(inspection.coverage().items()):
        output.say(f"  {name}: {size(coverage.inspected_bytes)} of {size(coverage.present_bytes)} understood")
    for finding in findings[:SHOWN_FINDINGS]:
        output.say(f"  {_one(finding)}")
    if len(findings) > SHOWN_FINDINGS:
        output.say(f"  … and {len(findings) - SHOWN_FINDINGS} more (weighbridge show)")


def _one(finding: Finding) -> str:
    return f"{finding.severity.label:8} {finding.rule}: {finding.path}: {finding.message}"
