"""What rendering itself finds of a deployment it was told to render all the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from weighbridge.core.finding import Finding, Severity
from weighbridge.inspectors.rule import Rule

INSPECTOR: Final = "deploy"

MUTABLE_IMAGE: Final = Rule(
    "deploy-mutable-image",
    "An image is named by a tag",
    Severity.MEDIUM,
    INSPECTOR,
    "A tag can be moved to other bytes, by its owner or by whoever took the owner's account; a digest cannot.",
    "Name the image by its digest: registry/name@sha256:…",
    "breaks it: vllm/vllm-openai:latest; does not: vllm/vllm-openai@sha256:<64 hex digits>",
)
VULNERABLE_ENGINE: Final = Rule(
    "deploy-vulnerable-engine",
    "An engine with a published weakness",
    Severity.HIGH,
    INSPECTOR,
    "The engine's version is one of those that an advisory names.",
    "Use a version in which it is mended.",
    "breaks it: vLLM 0.10.2 (CVE-2026-22807); does not: vLLM 0.33.0",
)
TOO_LARGE: Final = Rule(
    "deploy-model-too-large",
    "The model is estimated not to fit the devices",
    Severity.MEDIUM,
    INSPECTOR,
    "Weights, a fifth of them again for the cache, and 2 GiB for each device are more than nine tenths of its memory. It is high where "
    "the weights alone are more than all devices have: the engine would never be ready.",
    "Use more devices, larger ones, or a quantised revision.",
    "breaks it: 690 GB of weights on 8 x 48 GiB; does not: on 8 x 141 GiB",
)
UNPROVEN_LOAD: Final = Rule(
    "deploy-unproven-load",
    "Nothing proves the model between the store and the engine",
    Severity.MEDIUM,
    INSPECTOR,
    "KServe's storage initialiser copies every object under the prefix and compares no digest: an object that was exchanged, or"
    " put beside the others, is loaded.",
    "Let `weighbridge fetch` bring the model (load=verified).",
    "breaks it: load=storage-uri; does not: load=verified",
)
RULES: Final = (MUTABLE_IMAGE, VULNERABLE_ENGINE, TOO_LARGE, UNPROVEN_LOAD)


def too_large(file: str, why: str, location: str, *, certain: bool) -> Finding:
    """That the model does not fit; `certain` where its weights alone are more than all devices have."""
    if not certain:
        return TOO_LARGE.finding(file, why, location=location)
    found = TOO_LARGE.finding(file, f"{why}: the weights alone are more than all devices have", location=location)
    return replace(found, severity=Severity.HIGH)
