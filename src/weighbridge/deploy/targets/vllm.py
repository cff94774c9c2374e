"""vLLM in Kubernetes: `vllm serve` over safetensors, with tensor and pipeline parallelism within one node."""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.deploy.deployable import Deployable
from weighbridge.deploy.plan import Plan, Target
from weighbridge.deploy.targets.kubernetes import kubernetes_plan
from weighbridge.deploy.targets.pods import PodOptions


@dataclass(frozen=True, slots=True)
class Options(PodOptions):
    """What can be chosen of vLLM in Kubernetes."""


def render(deployable: Deployable, options: Options) -> Plan:
    """An engine of vLLM in Kubernetes, thought through.

    Raises:
        ConfigError: a choice is missing, malformed, or does not fit the model.
        Denied: the version is not to be run, or an argument not to be had.
    """
    return kubernetes_plan(deployable, options, "vllm", Target.VLLM)
