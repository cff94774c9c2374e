"""What may be chosen of an endpoint on SageMaker, and what was, once all of it holds together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weighbridge.core.finding import Finding
from weighbridge.deploy.deployable import Deployable
from weighbridge.deploy.engines import Engine
from weighbridge.deploy.sizing import DEFAULT_RATE
from weighbridge.deploy.targets.sagemaker_instances import Instance


@dataclass(frozen=True, slots=True)
class Options:
    """What can be chosen of an endpoint. What is empty of role, network and key is a parameter of the templates."""

    name: str = ""
    """Of the endpoint; from the model's name when empty."""
    engine: str = "vllm"
    """`vllm`, `tgi` or `lmi` on SageMaker."""
    image: str = ""
    """The engine's image in ECR, by digest."""
    engine_version: str = ""
    """What the image holds; read from its tag when empty and the image has one."""
    allow_tags: bool = False
    """Whether the image may be named by a tag, which can be moved to other bytes."""
    accept_vulnerable: str = ""
    """Why a version with known weaknesses is run all the same."""
    instance_type: str = ""
    """For example `ml.g6e.12xlarge`."""
    instances: int = 1
    """How many there are to begin with."""
    region: str = ""
    """Where it runs; that of the credentials when empty."""
    execution_role: str = ""
    """The role that SageMaker reads the model and the image with."""
    make_role: bool = False
    """Whether the templates make that role themselves, with rights to this revision alone."""
    account: str = ""
    """The account that the role is made in, 12 digits; that of the key when empty."""
    parties: Path | None = None
    """The file of parties that deploy policies reads: the templates then hold the approved bucket's policy too, with this role."""
    subnets: tuple[str, ...] = ()
    """Private subnets, with an endpoint for S3."""
    security_groups: tuple[str, ...] = ()
    """Security groups of the instances."""
    kms_key: str = ""
    """ARN of the key for volumes and for outputs."""
    tensor_parallel: int | None = None
    context_length: int | None = None
    """The most tokens of a prompt and its answer; the model's own when None."""
    served_name: str = ""
    """What callers name the model; the model's name when empty."""
    environment: tuple[str, ...] = ()
    """Further variables, NAME=VALUE, of those that may be added."""
    transfer_rate: int = DEFAULT_RATE
    """Bytes a second that the bucket gives one instance: time limits follow from it."""
    download_seconds: int | None = None
    """The time limit for the download; worked out when None."""
    startup_seconds: int | None = None
    """The time limit until the engine is healthy; worked out when None."""
    volume_gb: int | None = None
    """Of an instance without a local disk; worked out when None."""
    ami: str = ""
    """The machine image (`InferenceAmiVersion`); one that fits the engine when empty."""
    traffic: str = ""
    """How an update shifts callers: `all-at-once`, `canary` or `linear`; canary with two instances or more when empty."""
    bake_seconds: int = 300
    """How long alarms are watched after each shift."""
    keep_old_seconds: int = 300
    """How long the old instances are kept after the last shift."""
    alarm_errors: int = 5
    """Answers of 5xx within a minute that roll an update back."""
    alarm_latency_ms: int | None = None
    """Average latency of the model that rolls an update back; no such alarm when None."""
    alarms: tuple[str, ...] = ()
    """Further alarms of your own, by name."""
    scale_max: int | None = None
    """The most instances; without it nothing scales."""
    scale_min: int = 1
    """The fewest instances; 0 only where requests are queued."""
    scale_target: int = 4
    """Requests at once for each instance (asynchronous: requests waiting for each) that scaling aims at."""
    async_output: str = ""
    """s3://bucket/prefix for answers: makes the endpoint asynchronous."""
    async_failures: str = ""
    """s3://bucket/prefix for failures."""
    async_concurrency: int | None = None
    """Requests at once that an instance is given."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the model lies over an instance's devices: all that divide its heads are used, since nothing else would."""

    tensor: int
    pipeline: int
    fits: bool | None
    why: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """Choices that hold together."""

    deployable: Deployable
    options: Options
    engine: Engine
    name: str
    version: str
    instance: Instance | None
    layout: Layout
    served_name: str
    volume_gb: int | None
    download_seconds: int
    startup_seconds: int
    ami: str
    traffic: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def is_async(self) -> bool:
        """Whether requests are queued and answers are put in a bucket."""
        return bool(self.options.async_output)
