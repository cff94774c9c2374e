"""What a deployment would create, before anything is: resources, what drives their cost, files, and what lint says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from weighbridge.core.canonical import JsonValue
from weighbridge.core.finding import Finding
from weighbridge.deploy.deployable import Deployable

FORMAT = "weighbridge.deployment/1"


class Target(Enum):
    """Where a model can be made to run."""

    SAGEMAKER = "sagemaker"
    VLLM = "vllm"
    TGI = "tgi"
    LMI = "lmi"
    KSERVE = "kserve"
    COMPOSE = "compose"


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing that would exist: `kind` in the target's own words (`AWS::SageMaker::Model`, `InferenceService`)."""

    kind: str
    name: str
    summary: str


@dataclass(frozen=True, slots=True)
class CostDriver:
    """What costs, and how much of it: no prices, which change; quantities, which do not."""

    what: str
    quantity: str
    why: str


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """A file of a deployment; `name` is relative and plain."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A deployment, thought through."""

    target: Target
    name: str
    deployable: Deployable
    files: tuple[RenderedFile, ...]
    resources: tuple[Resource, ...]
    cost_drivers: tuple[CostDriver, ...] = ()
    findings: tuple[Finding, ...] = ()
    """What lint says of the files."""
    notes: tuple[str, ...] = ()
    """What a person should know and no rule says."""
    settings: Mapping[str, JsonValue] = field(default_factory=dict)
    """What was chosen, as it was understood."""

    def to_json(self) -> dict[str, JsonValue]:
        """The plan as one JSON document."""
        model = self.deployable
        return {
            "format": FORMAT,
            "target": self.target.value,
            "name": self.name,
            "model": str(model.model_name),
            "channel": model.channel,
            "revision": model.revision,
            "manifest_digest": model.manifest_digest,
            "prefix": model.prefix,
            "size_bytes": model.size_bytes,
            "settings": dict(self.settings),
            "resources": [{"kind": one.kind, "name": one.name, "summary": one.summary} for one in self.resources],
            "cost_drivers": [{"what": one.what, "quantity": one.quantity, "why": one.why} for one in self.cost_drivers],
            "findings": [finding.to_json() for finding in self.findings],
            "notes": list(self.notes),
            "files": [{"name": file.name, "text": file.text} for file in self.files],
        }
