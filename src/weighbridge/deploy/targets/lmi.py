"""LMI in Kubernetes: DJL Serving with vLLM; `serving.properties` holds every setting, because it overrides the environment."""

from __future__ import annotations

from dataclasses import dataclass, replace

from weighbridge.deploy.deployable import Deployable
from weighbridge.deploy.engines import ENGINES
from weighbridge.deploy.plan import Plan, Target
from weighbridge.deploy.targets.choices import UNWEIGHED_VLLM, bearable, weak
from weighbridge.deploy.targets.kubernetes import kubernetes_plan
from weighbridge.deploy.targets.pods import PodOptions


@dataclass(frozen=True, slots=True)
class Options(PodOptions):
    """What can be chosen of LMI in Kubernetes."""

    vllm_version: str = ""
    """The vLLM inside the image, as its release notes tell; weighed where it is said."""


def render(deployable: Deployable, options: Options) -> Plan:
    """LMI in Kubernetes, thought through.

    Raises:
        ConfigError: a choice is missing, malformed, or does not fit the model.
        Denied: the version of LMI or of the vLLM in it is not to be run, or an argument not to be had.
    """
    plan = kubernetes_plan(deployable, options, "lmi", Target.LMI)
    if not options.vllm_version:
        return plan
    inside = ENGINES["vllm"]
    known = bearable(inside, options.vllm_version, options.accept_vulnerable)
    found = tuple(weak(inside, options.vllm_version, one, plan.files[-1].name) for one in known)
    return replace(
        plan,
        findings=(*plan.findings, *found),
        notes=tuple(note for note in plan.notes if note != UNWEIGHED_VLLM),
        settings={**plan.settings, "vllm_version": options.vllm_version},
    )
