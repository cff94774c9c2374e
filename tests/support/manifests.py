"""Manifests and inspections made of nothing but names: what attestations are about, without a store."""

from __future__ import annotations

import hashlib

import blake3

from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.finding import Confidence, Coverage, Finding, Inspection, Report, Severity, Verdict
from weighbridge.core.manifest import Artifact, Manifest
from weighbridge.core.names import ModelName
from weighbridge.core.snapshot import Origin

REVISION = "0123456789abcdef0123456789abcdef01234567"
TREE = {"README.md": b"# a model\n", "config.json": b"{}", "model.safetensors": bytes(range(256)) * 40}


def manifest_of(files: dict[str, bytes], *, name: str = "acme/tiny", revision: str = REVISION) -> Manifest:
    """The manifest of files, as if they had come from the Hub."""

    def chunks(data: bytes) -> tuple[str, ...]:
        return tuple(blake3.blake3(data[i : i + CHUNK_BYTES]).hexdigest() for i in range(0, len(data), CHUNK_BYTES))

    artifacts = tuple(
        Artifact(path, len(data), hashlib.sha256(data).hexdigest(), chunks(data))
        for path, data in sorted(files.items())
    )
    origin = Origin("hub", f"hf://{name}", commit=revision, owner="acme", owner_id="5f0c746619cb630495b814fd")
    return Manifest(ModelName.parse(name), revision, origin, artifacts, created_at="2026-11-01T00:00:00Z")


def shards(count: int = 163) -> dict[str, bytes]:
    """As many weight files as the largest models have, each a few bytes."""
    return {f"model-{i:05}-of-{count:06}.safetensors": i.to_bytes(4, "big") for i in range(1, count + 1)}


def inspection_of(manifest: Manifest, *, bad: str = "", rules_version: str = "2026.11.1") -> Inspection:
    """An inspection by two inspectors, clean but for a finding on the file `bad`."""
    reports = []
    for artifact in manifest.artifacts:
        size = artifact.size_bytes
        finding = Finding(artifact.path, "pickle-x", Severity.HIGH, Confidence.HIGH, "runs code")
        found = (finding,) if artifact.path == bad else ()
        verdict = Verdict.BAD if found else Verdict.CLEAN
        reports.append(Report("kinds", artifact.path, verdict, Coverage(size, size), found, kind="data"))
        reports.append(Report("secrets", artifact.path, Verdict.CLEAN, Coverage(size, size)))
    return Inspection(tuple(reports), rules_version)
