"""What a person may choose of an engine that serves a folder, and what is made of the choices: checked, or refused.

An image is named by its digest and its engine's version is said, because a digest tells none; a version that is known to be
weak is refused unless somebody gives a reason, which the plan then records.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import ConfigError, Denied
from weighbridge.core.finding import Finding
from weighbridge.deploy.deployable import Deployable
from weighbridge.deploy.engines import (
    RECORDED,
    Advisory,
    Engine,
    advisories,
    engine,
    engine_of_image,
    minimum_version,
    version_in_tag,
)
from weighbridge.deploy.sizing import DEFAULT_RATE, Parallelism, device_memory, divides_heads, exceeds, parallelism
from weighbridge.deploy.targets.arguments import check_arguments
from weighbridge.deploy.targets.rules import MUTABLE_IMAGE, VULNERABLE_ENGINE, too_large
from weighbridge.serve.loading.trust import read_trust

MAX_NAME: Final = 40
"""Of a deployment: room is left for what is put after it in the names of its parts (63 characters at most)."""
MODELS: Final = "/models"
"""Where models are mounted."""
MAX_GPUS: Final = 16
"""On one node."""
MAX_REASON: Final = 500
UNWEIGHED_VLLM: Final = (
    "LMI holds a vLLM of its own, whose version its image's release notes tell: it is not weighed here."
)
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_IMAGE = re.compile(
    r"(?P<name>[a-z0-9](?:[a-z0-9._-]{0,127})(?::\d{1,5})?(?:/[a-z0-9][a-z0-9._-]{0,127}){0,8})"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_SERVED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,199}")


@dataclass(frozen=True, slots=True)
class ServingOptions:
    """What can be chosen for any engine that serves a folder."""

    name: str = ""
    """Of the deployment; from the model's name when empty."""
    image: str = ""
    """The engine's image, by digest."""
    engine_version: str = ""
    """What the image holds; read from its tag when empty and the image has one."""
    fetch_image: str = ""
    """The image of `weighbridge`, by digest."""
    allow_tags: bool = False
    """Whether images may be named by a tag, which can be moved to other bytes."""
    accept_vulnerable: str = ""
    """Why a version with known weaknesses is run all the same."""
    gpus: int = 1
    """Devices for each replica; 0 for none."""
    gpu: str = ""
    """The device's name (`h100`) or its GiB: says whether the model fits."""
    tensor_parallel: int | None = None
    """Devices that share each layer; worked out when None."""
    pipeline_parallel: int | None = None
    """Stages that the layers are cut into; worked out when None."""
    context_length: int | None = None
    """The most tokens of a prompt and its answer; the model's own when None."""
    served_name: str = ""
    """What callers name the model; the model's name when empty."""
    trust: Path | None = None
    """The trust file that nodes are given; its digest is pinned."""
    transfer_rate: int = DEFAULT_RATE
    """Bytes a second that the store gives one node: time limits follow from it."""
    user_id: int = 10001
    """Whose processes these are; never 0."""
    arguments: tuple[str, ...] = ()
    """Further arguments for the engine."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Choices that hold together."""

    deployable: Deployable
    options: ServingOptions
    engine: Engine
    name: str
    version: str
    layout: Parallelism
    served_name: str
    trust_text: str = ""
    trust_digest: str = ""
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    settings: dict[str, JsonValue] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Where the engine finds the model."""
        return f"{MODELS}/{slug(self.deployable.model_name.name)}"

    @property
    def on_gpus(self) -> bool:
        """Whether the engine has devices."""
        return self.options.gpus > 0


def chosen(deployable: Deployable, options: ServingOptions, engine_name: str, *, file: str) -> Chosen:
    """Checks choices for an engine; `file` is the rendered file that findings are about.

    Raises:
        ConfigError: a choice is missing, malformed, or does not fit the model.
        Denied: the engine's version has a grave weakness and nobody gave a reason, or an argument is not to be had.
    """
    of = engine(engine_name)
    name = deployment_name(options.name or slug(deployable.model_name.name))
    findings: list[Finding] = []
    check_numbers(options)
    for choice, image, what in (
        ("image", options.image, f"{of.title}'s image"),
        ("fetch_image", options.fetch_image, "weighbridge's image"),
    ):
        findings += check_image(image, what, allow_tags=options.allow_tags, file=file, choice=choice)
    version, known = check_version(of, options)
    check_arguments(of.name, options.arguments, version)
    findings += [weak(of, version, one, file) for one in known]
    layout = _layout(deployable, options, of)
    if layout.fits is False:
        never = exceeds(deployable, options.gpus * device_memory(options.gpu), options.arguments)
        findings.append(too_large(file, f"{layout.why}, and {options.gpu} was said", "resources", certain=never))
    trusted = read_trust(options.trust) if options.trust is not None else None
    trust_digest = trusted.digest if trusted else ""
    return Chosen(
        deployable=deployable,
        options=options,
        engine=of,
        name=name,
        version=version,
        layout=layout,
        served_name=_served(options, deployable),
        trust_text=trusted.to_bytes().decode("utf-8") if trusted else "",
        trust_digest=trust_digest,
        findings=tuple(findings),
        notes=tuple(_notes(deployable, options, of, trusted.store if trusted else "")),
        settings=_settings(options, of, version, layout, trust_digest),
    )


def slug(text: str) -> str:
    """A name that DNS and Kubernetes take, from any."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:MAX_NAME].strip("-")
    return plain if plain[:1].isalpha() else f"m-{plain}"[:MAX_NAME].strip("-")


def deployment_name(name: str) -> str:
    """The name, if it can be one.

    Raises:
        ConfigError: it cannot.
    """
    if not _LABEL.fullmatch(name) or len(name) > MAX_NAME or not name[0].isalpha():
        raise ConfigError(
            f"{name!r:.80} cannot name a deployment",
            hint=f"Use a-z, 0-9 and '-', first a letter, at most {MAX_NAME} characters.",
        )
    return name


def label(name: str, what: str) -> str:
    """A namespace's or another part's name, if it can be one.

    Raises:
        ConfigError: it cannot.
    """
    if not _LABEL.fullmatch(name):
        raise ConfigError(f"{name!r:.80} cannot name {what}", hint="Use a-z, 0-9 and '-', at most 63 characters.")
    return name


def check_image(image: str, what: str, *, allow_tags: bool, file: str, choice: str = "image") -> list[Finding]:
    """Nothing for an image by digest, a finding for one by a tag that was allowed; `choice` is what names it.

    Raises:
        ConfigError: there is none, it is malformed, or has no digest and tags were not allowed.
    """
    if not image:
        flag = f"--{choice.replace('_', '-')}"
        raise ConfigError(
            f"{what} is not said",
            hint=f"Name it by digest: {flag} registry/name@sha256:<64 hex digits>, or {choice} in the file of choices.",
        )
    read = _IMAGE.fullmatch(image)
    if read is None:
        raise ConfigError(f"{what} {image!r:.120} is no name of an image", hint="registry/name@sha256:<64 hex digits>")
    if read["digest"]:
        return []
    if not allow_tags:
        raise ConfigError(
            f"{what} is named by a tag, which can be moved to other bytes: {image}",
            hint="Name it by digest (docker buildx imagetools inspect IMAGE shows it), or allow tags (--allow-tags).",
        )
    return [MUTABLE_IMAGE.finding(file, f"{image} can be moved to other bytes", location="image")]


def check_version(of: Engine, options: ServingOptions) -> tuple[str, tuple[Advisory, ...]]:
    """The engine's version and what is published against it, all of it bearable or accepted.

    Raises:
        ConfigError: the version is not said, cannot be compared, or the image is another engine's.
        Denied: a grave weakness, and no reason given.
    """
    read = _IMAGE.fullmatch(options.image)
    held = engine_of_image(options.image)
    if held is not None and held.name != of.name:
        raise ConfigError(
            f"{options.image} is an image of {held.title}, not of {of.title}",
            hint=f"Name one of {of.title} (--image), or choose the target or engine that the image is for.",
        )
    version = options.engine_version or version_in_tag(of.name, (read["tag"] or "") if read else "")
    if len(options.accept_vulnerable) > MAX_REASON or not options.accept_vulnerable.isprintable():
        raise ConfigError(f"a reason is one line of at most {MAX_REASON} characters")
    if version and not _VERSION.fullmatch(version):
        raise ConfigError(f"{version!r:.60} is no version")
    if not version:
        raise ConfigError(
            f"which version of {of.title} the image holds is not said, and its name does not tell",
            hint=f"--engine-version {minimum_version(of.name) or 'N'} or later.",
        )
    return version, bearable(of, version, options.accept_vulnerable)


def bearable(of: Engine, version: str, reason: str) -> tuple[Advisory, ...]:
    """What is published against a version, all of it bearable or accepted with a reason.

    Raises:
        ConfigError: the version cannot be compared.
        Denied: a grave weakness, and no reason given.
    """
    known = advisories(of.name, version)
    grave = [one for one in known if one.severity.is_grave]
    if grave and not reason.strip():
        first = "; ".join(_weakness(of, version, one) for one in grave[:3])
        more = f" (and {len(grave) - 3} more)" if len(grave) > 3 else ""
        raise Denied(
            f"{of.title} {version} is not to be run: {first}{more}",
            rules=(VULNERABLE_ENGINE.id, *(one.cve for one in grave)),
            hint=f"Use {minimum_version(of.name)} or later, or give a reason to accept it (--accept-vulnerable).",
        )
    return known


def check_numbers(options: ServingOptions) -> None:
    """Returns when the numbers are ones that can be.

    Raises:
        ConfigError: one is not.
    """
    for value, least, most, what in (
        (options.gpus, 0, MAX_GPUS, "devices for each replica"),
        (options.user_id, 1, (1 << 31) - 1, "a user's number (never 0, which is root)"),
        (options.transfer_rate, 1_000_000, 1_000_000_000_000, "bytes a second from the store"),
        (options.context_length, 1, 1 << 27, "tokens of context"),
        (options.tensor_parallel, 1, MAX_GPUS, "tensor parallelism"),
        (options.pipeline_parallel, 1, MAX_GPUS, "pipeline parallelism"),
    ):
        if value is not None and not least <= value <= most:
            raise ConfigError(f"{value} cannot be {what}", hint=f"{least} to {most}.")


def _layout(deployable: Deployable, options: ServingOptions, of: Engine) -> Parallelism:
    if options.gpus == 0:
        if options.tensor_parallel not in (None, 1) or options.pipeline_parallel not in (None, 1):
            raise ConfigError("there is no parallelism over no devices", hint="Say how many devices there are.")
        return Parallelism(1, 1, None, 0, "no devices: the weights lie in the container's memory")
    memory = device_memory(options.gpu) if options.gpu else 0
    if options.tensor_parallel is None and options.pipeline_parallel is None:
        laid = parallelism(deployable, options.gpus, memory)
        return _without_pipeline(deployable, options, laid, memory) if of.name in ("tgi", "lmi") else laid
    tensor, pipeline = options.tensor_parallel or 1, options.pipeline_parallel or 1
    if tensor * pipeline > options.gpus:
        raise ConfigError(f"{tensor} x {pipeline} devices are needed, and there are {options.gpus}")
    if not divides_heads(deployable, tensor):
        heads = deployable.architecture.attention_heads if deployable.architecture else None
        raise ConfigError(
            f"the model's {heads} attention heads cannot be shared by {tensor} devices",
            hint=f"Say {parallelism(deployable, options.gpus).tensor}, or leave it to be worked out.",
        )
    if of.name in ("tgi", "lmi") and pipeline > 1:
        raise ConfigError(f"{of.title} has no pipeline parallelism here")
    return _as_said(deployable, tensor, pipeline, memory)


def _without_pipeline(deployable: Deployable, options: ServingOptions, laid: Parallelism, memory: int) -> Parallelism:
    """The same over tensors alone: the most devices that divide the heads."""
    if laid.pipeline == 1:
        return laid
    tensor = max(n for n in range(1, options.gpus + 1) if divides_heads(deployable, n))
    return _as_said(deployable, tensor, 1, memory)


def _as_said(deployable: Deployable, tensor: int, pipeline: int, memory: int) -> Parallelism:
    laid = parallelism(deployable, tensor * pipeline)
    each = laid.device_bytes * laid.devices // (tensor * pipeline)
    return Parallelism(
        tensor,
        pipeline,
        None if not memory else each <= memory * 9 // 10,
        each,
        f"as said: {tensor} x {pipeline} devices, about {-(-each // (1 << 30))} GiB on each",
    )


def weak(of: Engine, version: str, advisory: Advisory, file: str) -> Finding:
    """A weakness as a finding; one that no refusal follows from is no graver than it is."""
    found = VULNERABLE_ENGINE.finding(file, _weakness(of, version, advisory), location="image")
    return replace(found, severity=min(advisory.severity, VULNERABLE_ENGINE.severity))


def _weakness(of: Engine, version: str, advisory: Advisory) -> str:
    mended = f"mended in {advisory.fixed_in}" if advisory.fixed_in else "mended in no version that is known"
    return f"{advisory.cve} concerns {of.title} {version}: {advisory.summary} ({mended})"


def _served(options: ServingOptions, deployable: Deployable) -> str:
    served = options.served_name or str(deployable.model_name)
    if not _SERVED.fullmatch(served):
        raise ConfigError(f"{served!r:.80} cannot be what callers name the model")
    return served


def _notes(deployable: Deployable, options: ServingOptions, of: Engine, store: str) -> list[str]:
    notes = [f"Weaknesses of engines are known as of {RECORDED}; what was published later is not weighed."]
    if options.accept_vulnerable.strip():
        notes.append(f"A version with known weaknesses was accepted: {options.accept_vulnerable.strip()}")
    if options.trust is None:
        notes.append("No trust file was given: put one in place and pin its digest before this is applied.")
    if deployable.has_code:
        notes.append("The model brings Python. No engine here runs it; one that cannot do without will not start.")
    if deployable.architecture is None:
        notes.append("There is no config.json that could be read: parallelism and context were not worked out.")
    if options.gpus and not options.gpu:
        notes.append("Which devices these are was not said, so whether the model fits was not worked out.")
    if "://" not in (store or deployable.store):
        notes.append(
            "The approved store is a folder of this machine: give nodes a trust file that names one they reach."
        )
    if of.name == "lmi":
        notes.append(UNWEIGHED_VLLM)
    return notes


def _settings(
    options: ServingOptions, of: Engine, version: str, layout: Parallelism, trust_digest: str
) -> dict[str, JsonValue]:
    return {
        "engine": of.name,
        "engine_version": version,
        "minimum_version": minimum_version(of.name),
        "accepted": options.accept_vulnerable.strip(),
        "image": options.image,
        "fetch_image": options.fetch_image,
        "gpus": options.gpus,
        "gpu": options.gpu,
        "tensor_parallel": layout.tensor,
        "pipeline_parallel": layout.pipeline,
        "fits": layout.fits,
        "layout": layout.why,
        "trust_sha256": trust_digest,
        "transfer_rate": options.transfer_rate,
    }
