"""The bill of materials of a revision, in the two formats that organisations ask for.

- `cyclonedx`: CycloneDX 1.6 (ECMA-424) JSON with a machine-learning-model component and its model card.
- `spdx`: SPDX 3.0.1 JSON-LD with the AI, Dataset and Simple Licensing profiles.

Both are pure functions of `BomFacts`: the same facts and version of weighbridge give the same bytes. They need the extra `bom`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.attest.bom_facts import BomFacts, gather, missing_extra
from weighbridge.core.errors import ConfigError

__all__ = ["FORMATS", "BomFacts", "cyclonedx", "gather", "spdx", "write"]

FORMATS: Final[Mapping[str, str]] = {"cyclonedx": "bom.cyclonedx.json", "spdx": "bom.spdx.json"}
"""The formats, and the name of the record that each is kept under."""


def cyclonedx(facts: BomFacts) -> bytes:
    """The CycloneDX document, JSON in UTF-8 with a line break at the end. Raises as `write`."""
    return write(facts, "cyclonedx")


def spdx(facts: BomFacts) -> bytes:
    """The SPDX document, JSON-LD in UTF-8 with a line break at the end. Raises as `write`."""
    return write(facts, "spdx")


def write(facts: BomFacts, form: str) -> bytes:
    """The document in one of `FORMATS`.

    Raises:
        ConfigError: there is no such format, or the extra `bom` is not installed.
    """
    if form not in FORMATS:
        raise ConfigError(f"'{form}' is no format of a bill of materials", hint=f"Take one of {', '.join(FORMATS)}.")
    try:
        if form == "cyclonedx":
            from weighbridge.attest.cyclonedx import document
        else:
            from weighbridge.attest.spdx import document
    except ModuleNotFoundError as error:
        raise missing_extra() from error
    return document(facts)
