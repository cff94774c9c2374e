"""What follows from the choices for an endpoint on SageMaker: disk, time limits, layout over devices.

What the service would refuse is an error here. What it would take and then fail with hours later (a disk that is too small, a
download that cannot end in time) is a finding of the plan: it can be rendered and looked at, and is not applied.
"""

from __future__ import annotations

import re
from math import ceil
from typing import Final

from weighbridge.core.errors import ConfigError
from weighbridge.core.finding import Finding
from weighbridge.core.names import Address
from weighbridge.deploy.aws_parties import is_key_prefix
from weighbridge.deploy.deployable import Deployable
from weighbridge.deploy.engines import RECORDED, Engine, engine
from weighbridge.deploy.sizing import (
    CACHE_SHARE,
    GIB,
    MAX_DEVICES,
    RUNTIME_BYTES,
    USABLE_SHARE,
    device_memory,
    divides_heads,
    exceeds,
    fetch_seconds,
    load_seconds,
    required_rate,
    startup_seconds,
    volume_bytes,
)
from weighbridge.deploy.targets.choices import (
    ServingOptions,
    check_image,
    check_numbers,
    check_version,
    deployment_name,
    slug,
)
from weighbridge.deploy.targets.rules import VULNERABLE_ENGINE, too_large
from weighbridge.deploy.targets.sagemaker_environment import ENGINES_HERE, obeyed_files
from weighbridge.deploy.targets.sagemaker_instances import GB, INSTANCES, MAX_VOLUME_GB, Instance
from weighbridge.deploy.targets.sagemaker_options import Chosen, Layout, Options
from weighbridge.deploy.targets.sagemaker_rules import DISK_TOO_SMALL, LOAD_TOO_SLOW, MODEL_CONFIGURES_ENGINE

MAX_SECONDS: Final = 3600
MIN_SECONDS: Final = 60
MAX_INSTANCES: Final = 100
MAX_THRESHOLD: Final = 1_000_000_000
SUGGESTIONS: Final = 3
TRAFFIC: Final = ("all-at-once", "canary", "linear")
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SERVED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,199}")
_ACCOUNT = re.compile(r"\d{12}")
_KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]{1,64}")
_GPU_AMI: Final = {
    "vllm": "al2-ami-sagemaker-inference-gpu-3-1",
    "tgi": "al2-ami-sagemaker-inference-gpu-3-1",
    "lmi": "al2-ami-sagemaker-inference-gpu-3-1",
}
"""The machine image whose driver the engines' images are made for."""


def chosen(deployable: Deployable, options: Options, *, file: str) -> Chosen:
    """Checks choices; `file` is the rendered file that findings are about.

    Raises:
        ConfigError: a choice is missing, malformed, or does not fit the model or another.
        Denied: the engine's version has a grave weakness and nobody gave a reason.
    """
    of = _engine(options.engine)
    _check_deployable(deployable, of)
    _check(deployable, options)
    serving = ServingOptions(
        image=options.image,
        engine_version=options.engine_version,
        accept_vulnerable=options.accept_vulnerable,
        tensor_parallel=options.tensor_parallel,
        context_length=options.context_length,
        transfer_rate=options.transfer_rate,
    )
    check_numbers(serving)
    findings = check_image(options.image, f"{of.title}'s image", allow_tags=options.allow_tags, file=file)
    version, known = check_version(of, serving)
    findings += [
        VULNERABLE_ENGINE.finding(file, f"{one.cve} concerns {of.title} {version}: {one.summary}", location="Image")
        for one in known
    ]
    findings += [
        MODEL_CONFIGURES_ENGINE.finding(file, f"the model brings {path!a:.100}", location="S3Uri")
        for path in obeyed_files(deployable)
    ]
    instance = _instance(deployable, options)
    layout = _layout(deployable, options, of, instance)
    if layout.fits is False:
        never = instance is not None and exceeds(
            deployable, instance.devices * device_memory(instance.device), options.environment
        )
        findings.append(too_large(file, f"{layout.why}, on {options.instance_type}", "InstanceType", certain=never))
    volume, found, notes = _disk(deployable, options, instance, file)
    download, startup, slow, more = _times(deployable, options, file)
    return Chosen(
        deployable=deployable,
        options=options,
        engine=of,
        name=deployment_name(options.name or slug(deployable.model_name.name)),
        version=version,
        instance=instance,
        layout=layout,
        served_name=_served(options, deployable),
        volume_gb=volume,
        download_seconds=download,
        startup_seconds=startup,
        ami=options.ami or (_GPU_AMI[of.name] if instance else ""),
        traffic=_traffic(options),
        findings=(*findings, *found, *slow),
        notes=(*_notes(deployable, options), *notes, *more),
    )


def smallest(deployable: Deployable) -> list[Instance]:
    """The smallest instances on which the model is estimated to fit, devices and disk, at most `SUGGESTIONS`."""
    fitting = [
        one
        for one in INSTANCES.values()
        if _each(deployable, one.devices) <= device_memory(one.device) * USABLE_SHARE
        and (one.disk_gb or MAX_VOLUME_GB) * GB >= deployable.size_bytes
    ]
    return sorted(fitting, key=lambda one: (one.devices * device_memory(one.device), one.disk_gb))[:SUGGESTIONS]


def _engine(name: str) -> Engine:
    if name not in ENGINES_HERE:
        raise ConfigError(f"{name!r:.40} has no image on SageMaker", hint=f"One of {', '.join(ENGINES_HERE)}.")
    return engine(name)


def _check_deployable(deployable: Deployable, of: Engine) -> None:
    address = Address.parse(deployable.store)
    if address.scheme != "s3":
        raise ConfigError(
            f"SageMaker reads models from S3, and the approved store is {deployable.store}",
            hint="Promote into an s3:// store, or use another target.",
        )
    if not any(path.endswith(".safetensors") for path in deployable.files):
        raise ConfigError(
            f"{deployable.reference} has no .safetensors files, and {of.title} is given no others here",
            hint="`weighbridge remediate` converts pickled weights.",
        )
    shape = deployable.architecture
    if shape is None:
        raise ConfigError(f"{deployable.reference} has no config.json that can be read: no engine here could load it")


def _check(deployable: Deployable, options: Options) -> None:
    shape = deployable.architecture
    most = shape.context_length if shape else None
    if options.context_length is not None and most is not None and options.context_length > most:
        raise ConfigError(
            f"{options.context_length} tokens of context are more than the {most} that the model was made for"
        )
    if options.kms_key and not _KEY.fullmatch(options.kms_key):
        raise ConfigError(
            f"{options.kms_key!a:.120} is no ARN of a key",
            hint="arn:aws:kms:<region>:<account>:key/<id>, not an alias.",
        )
    if options.region and not _REGION.fullmatch(options.region):
        raise ConfigError(f"{options.region!a:.40} is no region", hint="For example eu-central-1.")
    if not 1 <= options.instances <= MAX_INSTANCES:
        raise ConfigError(f"{options.instances} instances cannot be", hint=f"1 to {MAX_INSTANCES}.")
    _check_role(options)
    _check_scaling(options)
    if (options.async_failures or options.async_concurrency is not None) and not options.async_output:
        raise ConfigError("an asynchronous endpoint needs a place for its answers", hint="Say async_output.")
    for place in (options.async_output, options.async_failures):
        if place:
            _check_answers(place, Address.parse(deployable.store))
    for value, what in ((options.alarm_errors, "errors in a minute"), (options.alarm_latency_ms, "ms of latency")):
        if value is not None and not 1 <= value <= MAX_THRESHOLD:
            raise ConfigError(f"{value} {what} cannot trip an alarm", hint=f"1 to {MAX_THRESHOLD}.")


def _check_role(options: Options) -> None:
    """A role that is made names the network that it joins and the account that it is in."""
    if options.account and not _ACCOUNT.fullmatch(options.account):
        raise ConfigError(f"{options.account!a:.40} is no account", hint="12 digits.")
    if not options.make_role:
        if options.parties is not None and not options.execution_role:
            raise ConfigError(
                "the bucket's policy names the role, and which that is is not said",
                hint="Say execution_role or make_role.",
            )
        return
    if options.execution_role:
        raise ConfigError(
            "a role is named and is to be made as well", hint="Say execution_role or make_role, not both."
        )
    if not (options.subnets and options.security_groups):
        raise ConfigError(
            "a role that is made is bound to its network, which is not said", hint="Say subnets and security_groups."
        )


def _check_answers(place: str, store: Address) -> None:
    address = Address.parse(place)
    if address.scheme != "s3" or not _BUCKET.fullmatch(address.bucket) or not is_key_prefix(address.prefix):
        raise ConfigError(
            f"{place!a:.100} is no place for answers", hint="s3://bucket/prefix, of letters, digits and . _ - /"
        )
    if address.bucket == store.bucket:
        raise ConfigError(
            f"{place} lies in the approved store's bucket, where nothing but approved revisions may be written",
            hint="Use another bucket for answers.",
        )


def _check_scaling(options: Options) -> None:
    if options.scale_max is None:
        return
    least = 0 if options.async_output else 1
    if not least <= options.scale_min <= options.scale_max <= MAX_INSTANCES:
        raise ConfigError(
            f"{options.scale_min} to {options.scale_max} instances cannot be scaled between",
            hint=f"At least {least} (none at all only where requests are queued), at most {MAX_INSTANCES}.",
        )
    if not max(1, options.scale_min) <= options.instances <= options.scale_max:
        raise ConfigError(
            f"{options.instances} instances to begin with lie outside of {options.scale_min} to {options.scale_max}"
        )
    if options.scale_target < 1:
        raise ConfigError(f"scaling cannot aim at {options.scale_target} requests")


def _instance(deployable: Deployable, options: Options) -> Instance | None:
    if options.instance_type:
        return INSTANCES.get(options.instance_type)
    fitting = (
        ", ".join(one.name for one in smallest(deployable)) or "none that is known: the model is too large for one"
    )
    raise ConfigError(
        "which instances are meant is not said", hint=f"instance_type; the smallest that should do: {fitting}."
    )


def _each(deployable: Deployable, devices: int) -> int:
    return ceil(deployable.weight_bytes * (1 + CACHE_SHARE) / devices) + RUNTIME_BYTES


def _layout(deployable: Deployable, options: Options, of: Engine, instance: Instance | None) -> Layout:
    asked = options.tensor_parallel
    if asked is not None:
        if asked > (instance.devices if instance else MAX_DEVICES):
            raise ConfigError(f"{options.instance_type} has not {asked} devices")
        if not divides_heads(deployable, asked):
            raise ConfigError(f"the model's attention heads cannot be shared by {asked} devices")
    if instance is None:
        return Layout(asked or 1, 1, None, f"what {options.instance_type} has is not known here")
    usable = [n for n in range(1, instance.devices + 1) if divides_heads(deployable, n)]
    tensor = asked or max(usable)
    memory = device_memory(instance.device) * USABLE_SHARE
    pipeline = 1
    shape = deployable.architecture
    deepest = shape.layers if shape and shape.layers else 1
    # Stages are slower than shards of a tensor: they are used only where the model does not fit otherwise.
    while (
        of.name == "vllm"
        and _each(deployable, tensor * pipeline) > memory
        and tensor * (pipeline + 1) <= instance.devices
        and pipeline < deepest
    ):
        pipeline += 1
    each = _each(deployable, tensor * pipeline)
    why = f"{tensor} x {pipeline} of {instance.devices} devices, about {ceil(each / GIB)} GiB on each"
    return Layout(tensor, pipeline, each <= memory, why)


def _disk(
    deployable: Deployable, options: Options, instance: Instance | None, file: str
) -> tuple[int | None, list[Finding], list[str]]:
    """The volume to ask for, None where there is a local disk; and what is to be said of it."""
    size = deployable.size_bytes
    if instance is not None and instance.disk_gb:
        if options.volume_gb is not None:
            raise ConfigError(
                f"{instance.name} has a local disk of {instance.disk_gb} GB and takes no volume's size",
                hint="Leave volume_gb out.",
            )
        found = _too_small(size, instance.disk_gb, f"the local disk of {instance.name}", file)
        told = "which its own hardware encrypts: kms_key does not reach it"
        return None, found, [f"{instance.name} keeps the model on its local disk, {told}."]
    needed = volume_bytes(size) // GIB
    volume = options.volume_gb if options.volume_gb is not None else min(needed, MAX_VOLUME_GB)
    if not 1 <= volume <= MAX_VOLUME_GB:
        raise ConfigError(f"a volume of {volume} GB cannot be", hint=f"1 to {MAX_VOLUME_GB}.")
    found = _too_small(size, volume, f"a volume of {volume} GB (the most is {MAX_VOLUME_GB})", file)
    notes = ["A volume (gp2) gives at most 250 MB/s, whatever the bucket gives."]
    if instance is None:
        notes.append(f"What {options.instance_type} has is not known here: that the model fits is not claimed.")
    return volume, found, notes


def _too_small(size: int, gigabytes: int, what: str, file: str) -> list[Finding]:
    if size <= gigabytes * GB:
        return []
    return [DISK_TOO_SMALL.finding(file, f"{_gb(size)} do not fit {what}", location="VolumeSizeInGB")]


def _times(deployable: Deployable, options: Options, file: str) -> tuple[int, int, list[Finding], list[str]]:
    """Both time limits, what cannot end within them, and what has little room."""
    size, rate = deployable.size_bytes, options.transfer_rate
    download = _seconds(options.download_seconds, fetch_seconds(deployable, rate), "the download")
    startup = _seconds(options.startup_seconds, startup_seconds(deployable, rate), "the start")
    needs = ceil(required_rate(size, download) / 1_000_000)
    notes = [f"Within {download} s the download needs at least {needs} MB/s; {rate // 1_000_000} MB/s were taken."]
    found = []
    if load_seconds(size, rate) > download:
        message = f"{_gb(size)} in {download} s need {needs} MB/s, and {rate // 1_000_000} MB/s were taken"
        found.append(LOAD_TOO_SLOW.finding(file, message, location="ModelDataDownloadTimeoutInSeconds"))
    if startup_seconds(deployable, rate) > startup:
        needs = ceil(required_rate(deployable.weight_bytes, startup) / 1_000_000)
        notes.append(
            f"The engine has {startup} s to read the weights from disk: at least {needs} MB/s, and time to compile."
        )
    return download, startup, found, notes


def _seconds(asked: int | None, estimate: int, what: str) -> int:
    if asked is None:
        return max(MIN_SECONDS, min(MAX_SECONDS, ceil(estimate / 60) * 60))
    if not MIN_SECONDS <= asked <= MAX_SECONDS:
        raise ConfigError(f"{asked} seconds cannot limit {what}", hint=f"{MIN_SECONDS} to {MAX_SECONDS}.")
    return asked


def _traffic(options: Options) -> str:
    fewest = options.instances if options.scale_max is None else min(options.instances, options.scale_min)
    if not options.traffic:
        return "canary" if fewest >= 2 else "all-at-once"
    if options.traffic not in TRAFFIC:
        raise ConfigError(f"{options.traffic!a:.40} is no way to shift traffic", hint=f"One of {', '.join(TRAFFIC)}.")
    if options.traffic != "all-at-once" and fewest < 2:
        raise ConfigError(f"{options.traffic} shifts a part of the instances, and there may be only {fewest}")
    return options.traffic


def _served(options: Options, deployable: Deployable) -> str:
    served = options.served_name or str(deployable.model_name)
    if not _SERVED.fullmatch(served):
        raise ConfigError(f"{served!a:.80} cannot be what callers name the model")
    return served


def _notes(deployable: Deployable, options: Options) -> list[str]:
    notes = [
        "SageMaker copies the objects under the prefix and compares no digest with the manifest: that they are what was "
        "approved rests on the bucket's policy and versioning. Check it before and after: `weighbridge verify`.",
        f"Weaknesses of engines are known as of {RECORDED}; what was published later is not weighed.",
    ]
    if options.engine == "lmi":
        notes.append("LMI holds a vLLM of its own, whose version its release notes tell: it is not weighed here.")
    if options.accept_vulnerable.strip():
        notes.append(f"A version with known weaknesses was accepted: {options.accept_vulnerable.strip()}")
    if deployable.has_code:
        notes.append("The model brings Python. No engine here runs it; one that cannot do without will not start.")
    missing = [
        what
        for what, value in (
            ("execution_role", options.execution_role or options.make_role),
            ("subnets", options.subnets),
            ("security_groups", options.security_groups),
            ("kms_key", options.kms_key),
        )
        if not value
    ]
    if options.async_output:
        notes.append("Callers name where a request lies: the role needs s3:GetObject there, which is not rendered.")
    if options.make_role:
        notes.append("The templates make the execution role. `apply` makes no roles: it takes one that is there.")
    if options.parties is not None:
        notes.append(
            "A bucket has one policy: the one in the templates shuts out every role that the file of parties does not name."
        )
    if missing:
        notes.append(f"Not said, and so parameters of the templates: {', '.join(missing)}. `apply` needs them.")
    return notes


def _gb(size: int) -> str:
    return f"{size / GB:.0f} GB" if size >= GB else f"{size / 1_000_000:.0f} MB"
